"""Simple crystals by prototype name: fcc and ordered binaries for toy models, X3BA through its own module."""

import numpy as np
from ase import Atoms

from simtools.core.errors import ConfigError
from simtools.structures.antiperovskite import (
    FormulaError,
    build_antiperovskite,
    check_length,
    parse_formula,
)

_FCC = [[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]
_OCTAHEDRAL = [[0.5, 0.5, 0.5], [0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.5]]
_TETRAHEDRAL = [[x, y, z] for x in (0.25, 0.75) for y in (0.25, 0.75) for z in (0.25, 0.75)]

# Per prototype: element counts of one formula unit, and the basis as (index of the element, position).
_BASES = {
    "fcc": ((1,), [(0, site) for site in _FCC]),
    "cscl": ((1, 1), [(0, [0.0, 0.0, 0.0]), (1, [0.5, 0.5, 0.5])]),
    "rocksalt": ((1, 1), [(0, site) for site in _FCC] + [(1, site) for site in _OCTAHEDRAL]),
    "antifluorite": ((2, 1), [(0, site) for site in _TETRAHEDRAL] + [(1, site) for site in _FCC]),
    "l1_0": ((1, 1), [(0, _FCC[0]), (0, _FCC[3]), (1, _FCC[1]), (1, _FCC[2])]),
}
_EXAMPLES = {
    (1,): "one element, as in 'Ar'",
    (1, 1): "two elements 1:1, as in 'ArKr'",
    (2, 1): "two elements 2:1, cation first, as in 'Li2O'",
}
PROTOTYPES = ("cubic", *_BASES)


def build_prototype(
    prototype: str, formula: str, *, lattice_parameter_A: float, anion_centre: str | None = None
) -> Atoms:
    """Return one conventional cell of a perfect crystal.

    Parameters
    ----------
    prototype
        ``"cubic"``: anti-perovskite X3BA (see `build_antiperovskite`). ``"fcc"``: one element, four atoms.
        ``"cscl"``, ``"rocksalt"``: AB, two and eight atoms. ``"antifluorite"``: A2B, twelve atoms, B
        face-centred cubic from the origin and A in its tetrahedra. ``"l1_0"``: AB in alternating (001) layers
        of a face-centred cubic lattice, four atoms, c = a.
    formula
        ``"Li3OCl"``, ``"Ar"``, ``"ArKr"``, ``"Li2O"``; in AB the first element takes the origin, in A2B the
        second.
    lattice_parameter_A
        Edge of the cubic cell, Å.
    anion_centre
        Only for ``"cubic"``.

    Returns
    -------
    Atoms
        Periodic, with the array ``site`` (``"A"``, ``"B"``; also ``"X"`` for ``"cubic"``) and ``info``
        entries ``formula`` and ``prototype``.

    Raises
    ------
    FormulaError, ConfigError
        If the formula does not fit the prototype, or an argument is out of range.
    """
    if prototype == "cubic":
        return build_antiperovskite(
            formula, lattice_parameter_A=lattice_parameter_A, anion_centre=anion_centre
        )
    if prototype not in _BASES:
        raise ConfigError(f"prototype {prototype!r} is not known; expected one of: {', '.join(PROTOTYPES)}")
    if anion_centre is not None:
        raise ConfigError(f"anion_centre = {anion_centre!r} has no meaning for prototype {prototype!r}")
    wanted, basis = _BASES[prototype]
    counts = parse_formula(formula)
    if tuple(counts.values()) != wanted:
        raise FormulaError(formula, f"prototype {prototype!r} expects {_EXAMPLES[wanted]}")
    a = check_length(lattice_parameter_A, "lattice_parameter_A")
    symbols = list(counts)
    atoms = Atoms(
        [symbols[element] for element, _ in basis],
        scaled_positions=[position for _, position in basis],
        cell=np.eye(3) * a,
        pbc=True,
    )
    atoms.set_array("site", np.array(["AB"[element] for element, _ in basis]))
    written = (f"{symbol}{n}" if n > 1 else symbol for symbol, n in zip(symbols, wanted, strict=True))
    atoms.info.update(formula="".join(written), prototype=prototype)
    return atoms
