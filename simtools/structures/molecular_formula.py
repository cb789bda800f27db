"""Formulas with molecular anions: ``Li2OHCl``, ``Na3O(BH4)0.5Cl0.5``, ``Na3NO3``. Crystals: molecular.py."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from simtools.structures.antiperovskite import (
    CATIONS,
    CHALCOGENIDES,
    FORMAL_CHARGES_E,
    HALIDES,
    FormulaError,
    parse_formula,
)

__all__ = ["CENTRE_ANIONS", "MolecularFormula", "has_molecules", "parse_molecular_formula"]

CENTRE_ANIONS = (*CHALCOGENIDES, "OH")
"""What sits at the octahedron's centre B of X3BA; hydroxide takes the place of oxide."""
_GROUP = re.compile(r"\((?P<name>[A-Za-z0-9]+)\)(?P<number>\d+(?:\.\d+)?)?")
_TELLTALE = {"OH": "H", "BH4": "B", "NO2": "N", "CN": "C", "BF4": "B", "BCl4": "B", "AlH4": "Al", "NH2": "N",
             "SO4": "S"}  # fmt: skip
_ROUNDING = 1e-6


@dataclass(frozen=True)
class MolecularFormula:
    """One formula unit: the cation, its number, and the anions (molecules by name) with theirs."""

    formula: str
    cation: str
    n_cations: float
    anions: dict[str, float]
    molecules: tuple[str, ...]

    def site(self, anion: str) -> str:
        """Return the sublattice of an anion in X3BA: B or A."""
        return "B" if anion in CENTRE_ANIONS else "A"


def has_molecules(formula: str, shapes) -> bool:
    """Return whether `formula` reads as one with molecular anions."""
    try:
        return bool(parse_molecular_formula(formula, shapes).molecules)
    except FormulaError:
        return False


def parse_molecular_formula(formula: str, shapes) -> MolecularFormula:
    """Return which cations and anions a formula holds.

    Parameters
    ----------
    formula
        Molecules in parentheses (``Na3O(BH4)0.5Cl0.5``), or one molecule without them (``Li2OHCl``,
        ``Na3OBH4``, ``Na3NO3``): then it is the one whose elements and charge leave a balanced rest.
    shapes
        {name: molecule} of the anions that may occur, with ``elements`` and ``formal_charge_e``.

    Raises
    ------
    FormulaError
        If no or several readings are balanced, or an ion has no place.
    """
    if not isinstance(formula, str) or not formula.strip():
        raise FormulaError(formula, "expected a chemical formula such as 'Li2OHCl'")
    groups: dict[str, float] = {}
    for match in _GROUP.finditer(formula):
        if match["name"] not in shapes:
            known = ", ".join(shapes) or "none"
            raise FormulaError(formula, f"the molecule ({match['name']}) is not known; known: {known}")
        groups[match["name"]] = groups.get(match["name"], 0.0) + float(match["number"] or 1.0)
    rest = _GROUP.sub("", formula)
    counts = parse_formula(rest)
    readings = [_balanced(formula, counts, groups, shapes)] if groups else []
    if not groups:
        for name in shapes:
            split = _split(counts, name, shapes[name])
            if split is not None:
                readings.append(_balanced(formula, split[1], {name: split[0]}, shapes))
    found = [reading for reading in readings if isinstance(reading, MolecularFormula)]
    if len(found) == 1:
        return found[0]
    if found:
        names = " or ".join(reading.molecules[0] for reading in found)
        raise FormulaError(formula, f"may hold {names}: put the molecule in parentheses")
    why = next((reading for reading in readings if isinstance(reading, str)), None)
    raise FormulaError(
        formula, why or f"holds none of the molecular anions {', '.join(shapes) or '(none is known)'}"
    )


def _split(counts, name, shape):
    """Return (number of the molecule, counts without it), or None where it does not fit in."""
    inside = Counter(shape.elements)
    telltale = _TELLTALE.get(name, shape.elements[0])
    if telltale not in counts or any(element not in counts for element in inside):
        return None
    number = counts[telltale] / inside[telltale]
    rest = {element: n - number * inside[element] for element, n in counts.items()}
    if min(rest.values()) < -_ROUNDING:
        return None
    return number, {element: n for element, n in rest.items() if n > _ROUNDING}


def _balanced(formula, counts, groups, shapes):
    """Return the `MolecularFormula`, or why it cannot be."""
    cations = [symbol for symbol in counts if symbol in CATIONS]
    strangers = [symbol for symbol in counts if symbol not in (*CATIONS, *CHALCOGENIDES, *HALIDES)]
    if strangers:
        return f"{', '.join(strangers)} has no place beside molecular anions"
    if len(cations) != 1:
        return f"found {len(cations)} cation species, expected one of {', '.join(CATIONS)}"
    anions = {symbol: n for symbol, n in counts.items() if symbol not in cations}
    charge = counts[cations[0]] + sum(FORMAL_CHARGES_E[symbol] * n for symbol, n in anions.items())
    charge += sum(shapes[name].formal_charge_e * n for name, n in groups.items())
    if abs(charge) > _ROUNDING:
        balance = ", ".join(f"{n:g} {name}" for name, n in {**counts, **groups}.items())
        return f"formal charges do not close: {balance} carry {charge:+g} e"
    return MolecularFormula(
        formula.strip(), cations[0], counts[cations[0]], {**anions, **groups}, tuple(groups)
    )
