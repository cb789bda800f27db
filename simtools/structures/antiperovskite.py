"""Cubic X3BA anti-perovskites from a formula. Supercells and defects are built elsewhere.

The prototype is Pm-3m with five atoms: the cage anion A at the corner (0, 0, 0), the anion centre B at the
body centre (1/2, 1/2, 1/2), and the cations X at the face centres, where they form an octahedron around B.
"""

import math
import numbers
import re
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from simtools.core.errors import ConfigError

CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Ag")
CHALCOGENIDES = ("O", "S", "Se", "Te")
HALIDES = ("F", "Cl", "Br", "I")
FORMAL_CHARGES_E = {
    **dict.fromkeys(CATIONS, 1),
    **dict.fromkeys(CHALCOGENIDES, -2),
    **dict.fromkeys(HALIDES, -1),
    "H": -1,
}
PROTOTYPES = ("cubic",)

_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_ELEMENT = re.compile(r"([A-Z][a-z]?)(\d+(?:\.\d+)?)?")
_EXPECTED = (
    "expected three cations, one anion at the octahedron's centre and one in the cage, as in "
    "Li3OCl, Na3OBr or Na3SI"
)


class FormulaError(ConfigError):
    """A formula cannot be built as the prototype that was asked for."""

    def __init__(self, formula, reason):
        super().__init__(formula, reason)
        self.formula, self.reason = formula, reason

    def __str__(self):
        return f"formula {self.formula!r}: {self.reason}"


@dataclass(frozen=True)
class Antiperovskite:
    """Which ion sits where in X3BA.

    Attributes
    ----------
    cation
        X, at the vertices of the octahedron; the mobile ion.
    anion_centre
        B, at the centre of the octahedron.
    cage_anion
        A, in the twelve-coordinated cage.
    """

    cation: str
    anion_centre: str
    cage_anion: str

    @property
    def formula(self) -> str:
        """The formula in the order X3BA, for example ``Li3OCl``."""
        return f"{self.cation}3{self.anion_centre}{self.cage_anion}"

    @property
    def species(self) -> tuple[str, str, str]:
        """Symbols in the order X, B, A."""
        return (self.cation, self.anion_centre, self.cage_anion)

    @property
    def formal_charges_e(self) -> dict[str, int]:
        """Integer formal charges, e; they close over one formula unit."""
        return {symbol: FORMAL_CHARGES_E[symbol] for symbol in self.species}


def parse_formula(formula: str) -> dict[str, float]:
    """Return the element counts of a plain formula, in the order they are written.

    Subscript digits are read as digits. Repeated elements are added up.

    Raises
    ------
    FormulaError
        If something is not an element symbol followed by an optional number.
    """
    if not isinstance(formula, str) or not formula.strip():
        raise FormulaError(formula, "expected a chemical formula such as 'Li3OCl'")
    text = formula.strip().translate(_SUBSCRIPTS)
    counts: dict[str, float] = {}
    end = 0
    for match in _ELEMENT.finditer(text):
        if match.start() != end:
            break
        symbol, number = match.groups()
        if symbol not in chemical_symbols[1:]:
            raise FormulaError(formula, f"{symbol!r} is not an element; {_EXPECTED}")
        count = float(number) if number else 1.0
        if count == 0:
            raise FormulaError(formula, f"{symbol} has count 0; leave it out or give it a positive count")
        counts[symbol] = counts.get(symbol, 0.0) + count
        end = match.end()
    if end != len(text):
        raise FormulaError(
            formula,
            f"cannot read {text[end:]!r}: expected element symbols (capital first) and counts, as in Li3OCl",
        )
    return counts


def parse_antiperovskite_formula(formula: str, *, anion_centre: str | None = None) -> Antiperovskite:
    """Return which ion of `formula` sits on X, B and A of the cubic X3BA prototype.

    The order in which the anions are written does not matter: ``Li3OCl`` and ``Li3ClO`` are the same crystal.
    A chalcogenide takes the octahedron's centre B and a halide the cage A, as in Li3OCl; a hydride takes the
    centre and a chalcogenide the cage, as in Li3HS. A fluoride beside S, Se or Te is small enough for either
    site, so `anion_centre` must say which is meant.

    Parameters
    ----------
    formula
        For example ``"Li3OCl"``.
    anion_centre
        Symbol of the anion at B, where the rule above is not meant or does not decide.

    Raises
    ------
    FormulaError
        A `ConfigError` and `ValueError`: the formula cannot be the prototype. The message says why and what
        was expected.
    """
    counts = parse_formula(formula)
    cations = [symbol for symbol in counts if FORMAL_CHARGES_E.get(symbol, 0) > 0]
    anions = [symbol for symbol in counts if FORMAL_CHARGES_E.get(symbol, 0) < 0]
    strangers = [symbol for symbol in counts if symbol not in FORMAL_CHARGES_E]
    if strangers:
        raise FormulaError(
            formula,
            f"{', '.join(strangers)} has no place in X3BA; cations X are {', '.join(CATIONS)}, anions "
            f"are H, {', '.join(CHALCOGENIDES + HALIDES)}",
        )
    if {"O", "H"} <= counts.keys():
        raise FormulaError(
            formula,
            "O with H is a hydroxide (a cluster anion on B), which the cubic X3BA prototype with "
            f"single-atom anions cannot hold; {_EXPECTED}",
        )
    if len(cations) != 1 or len(anions) != 2:
        raise FormulaError(
            formula,
            f"found {len(cations)} cation species ({', '.join(cations) or 'none'}) and {len(anions)} anion "
            f"species ({', '.join(anions) or 'none'}) where one and two were expected: {_EXPECTED}"
            + ("; build a pure crystal first and substitute ions in it" if len(counts) > 3 else ""),
        )
    _check_counts(formula, counts, cations[0], anions)
    charge = sum(FORMAL_CHARGES_E[symbol] * counts[symbol] for symbol in counts)
    if charge:
        balance = " ".join(
            f"{counts[symbol] * FORMAL_CHARGES_E[symbol]:+.0f} ({symbol})" for symbol in (cations[0], *anions)
        )
        raise FormulaError(
            formula,
            f"formal charges do not close: {balance} = {charge:+.0f} e; X3BA needs one divalent and one "
            "monovalent anion, as in Li3OCl",
        )
    centre = _anion_centre(formula, anions, anion_centre)
    cage = anions[1] if anions[0] == centre else anions[0]
    return Antiperovskite(cation=cations[0], anion_centre=centre, cage_anion=cage)


def build_antiperovskite(
    formula: str, *, lattice_parameter_A: float, prototype: str = "cubic", anion_centre: str | None = None
) -> Atoms:
    """Return the five-atom cell of an anti-perovskite.

    Parameters
    ----------
    formula
        See `parse_antiperovskite_formula`.
    lattice_parameter_A
        Edge of the cubic cell, Å. The X-B distance is half of it and X-A is ``a / sqrt(2)``.
    prototype
        Only ``"cubic"`` (Pm-3m).
    anion_centre
        See `parse_antiperovskite_formula`.

    Returns
    -------
    Atoms
        Periodic; atoms in the order X, X, X, B, A, named so in the array ``site``. ``info`` holds ``formula``
        and ``prototype``.

    Raises
    ------
    FormulaError
        If the formula cannot be this prototype.
    ConfigError
        If the prototype is unknown or the lattice parameter is not a positive number.
    """
    if prototype not in PROTOTYPES:
        raise ConfigError(f"prototype {prototype!r} is not known; expected one of: {', '.join(PROTOTYPES)}")
    ions = parse_antiperovskite_formula(formula, anion_centre=anion_centre)
    a = check_length(lattice_parameter_A, "lattice_parameter_A")
    atoms = Atoms(
        [ions.cation] * 3 + [ions.anion_centre, ions.cage_anion],
        scaled_positions=[
            [0.0, 0.5, 0.5],
            [0.5, 0.0, 0.5],
            [0.5, 0.5, 0.0],
            [0.5, 0.5, 0.5],
            [0.0, 0.0, 0.0],
        ],
        cell=np.eye(3) * a,
        pbc=True,
    )
    atoms.set_array("site", np.array(["X", "X", "X", "B", "A"]))
    atoms.info.update(formula=ions.formula, prototype=prototype)
    return atoms


def check_length(value, name: str) -> float:
    """Return `value` as a float, or raise `ConfigError` unless it is a positive, finite number of Å."""
    if (
        isinstance(value, bool)
        or not isinstance(value, numbers.Real)
        or not math.isfinite(value)
        or value <= 0
    ):
        raise ConfigError(f"{name} must be a positive number of Å, got {value!r}")
    return float(value)


def _check_counts(formula, counts, cation, anions):
    wanted = {cation: 3.0, anions[0]: 1.0, anions[1]: 1.0}
    if counts == wanted:
        return
    composition = ", ".join(f"{symbol} {count:g}" for symbol, count in counts.items())
    ratio = counts[anions[0]]
    if all(counts[symbol] == ratio * wanted[symbol] for symbol in wanted):
        hint = f"did you mean {cation}3{anions[0]}{anions[1]}? Write one formula unit and set the supercell"
    elif any(count != int(count) for count in counts.values()):
        hint = "non-stoichiometry is made by defects: build the perfect crystal and remove ions from it"
    else:
        hint = _EXPECTED
    raise FormulaError(formula, f"counts are {composition} where 3:1:1 was expected; {hint}")


def _anion_centre(formula, anions, explicit):
    if explicit is not None:
        if explicit not in anions:
            raise FormulaError(
                formula, f"anion_centre = {explicit!r} is not one of its anions ({', '.join(anions)})"
            )
        return explicit
    for symbol in anions:
        if symbol == "H":
            return symbol
    chalcogenide = next(symbol for symbol in anions if symbol in CHALCOGENIDES)
    if "F" in anions and chalcogenide != "O":
        raise FormulaError(
            formula,
            f"F and {chalcogenide} could each sit at the octahedron's centre; say which by anion_centre = 'F'"
            f" or anion_centre = {chalcogenide!r}",
        )
    return chalcogenide
