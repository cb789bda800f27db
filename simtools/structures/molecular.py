"""Crystals with molecular anions: which ion sits where, in what number, and how the anions are turned.

Formulas are read in molecular_formula.py. The shape of an anion is handed in, usually a force field's.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from scipy.spatial.transform import Rotation

from simtools.core.errors import ConfigError
from simtools.core.periodic import minimum_image
from simtools.structures.antiperovskite import FormulaError, check_length
from simtools.structures.molecular_formula import MolecularFormula, parse_molecular_formula
from simtools.structures.supercells import check_repeats

__all__ = ["ORIENTATIONS", "build_molecular_crystal"]

ORIENTATIONS = ("random", "ordered", "best-packed")
LIOH_C_OVER_A = 4.334 / 3.549
LIOH_OXYGEN_HEIGHT = 0.194
"""Fraction of c in LiOH, P4/nmm; recalled, not opened: S. L. Mair, Acta Cryst. A 34, 542 (1978)."""
TRIAL_TURNS, SWEEPS = 48, 3
_FACES = [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]
_FCC = [[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]
_OCTAHEDRAL = [[0.5, 0.5, 0.5], [0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.5]]
_SITES = {
    # prototype: [(sublattice, fractional positions in the conventional cell)]
    "cubic": [("X", _FACES), ("B", [[0.5, 0.5, 0.5]]), ("A", [[0.0, 0.0, 0.0]])],
    "rocksalt": [("X", _OCTAHEDRAL), ("A", _FCC)],
    "lioh": [
        ("X", [[0.0, 0.0, 0.0], [0.5, 0.5, 0.0]]),
        ("A", [[0.0, 0.5, LIOH_OXYGEN_HEIGHT], [0.5, 0.0, -LIOH_OXYGEN_HEIGHT]]),
    ],
}


def build_molecular_crystal(
    formula: str,
    molecules,
    *,
    prototype: str = "cubic",
    lattice_parameter_A: float,
    supercell=(1, 1, 1),
    orientations: str = "best-packed",
    seed: int = 0,
) -> Atoms:
    """Return a supercell of a crystal with molecular anions.

    Parameters
    ----------
    formula
        ``"Li2OHCl"``, ``"Li2.5OH0.5Cl"`` (Li3-xOHxCl, any x), ``"Na3OBH4"``, ``"Na3NO3"``,
        ``"Na3O(BH4)0.5Cl0.5"``, ``"NaBH4"``, ``"LiOH"``: see `parse_molecular_formula`.
    molecules
        The anions that may occur: objects with ``name``, ``elements``, ``positions_A`` and
        ``formal_charge_e``, such as the molecules of a force field.
    prototype
        "cubic" (X3BA: hydroxide on B in place of oxide, every other anion on A), "rocksalt" (NaBH4) or
        "lioh" (P4/nmm, with the c/a of LiOH).
    lattice_parameter_A
        Edge a of the conventional cell, Å.
    supercell
        Conventional cells along each axis. Every count of the formula must come out whole in it.
    orientations
        "random": uniform over all rotations. "ordered": all as the anion's shape is given (in "lioh" along
        c, as in the crystal). "best-packed": each where its atoms keep farthest from everything else, found
        by trials and repeated until nothing turns; hydroxides so point to vacancies. A start, not a result.
    seed
        Of which sites are taken and how the anions are turned.

    Returns
    -------
    Atoms
        Atoms outside molecules first (X, B, A), then the molecules, each in the order of its shape with its
        centre of mass on the site. Arrays ``site`` (X, B or A) and ``molecule_id`` (-1 for none). ``info``
        has ``formula``, ``prototype``, ``supercell``, ``orientations`` and ``vacant_sites`` (species and
        scaled positions of the sites that charge balance leaves empty).

    Raises
    ------
    FormulaError, ConfigError
        If the formula does not fit the prototype or the supercell, or an argument is not known.

    Notes
    -----
    Limits: the charges of the formula close, so the formal charges of the cell do; with x = 0 and no
    molecule in the formula, use `build_antiperovskite`.
    """
    if orientations not in ORIENTATIONS:
        raise ConfigError(f"orientations = {orientations!r} must be one of {', '.join(ORIENTATIONS)}")
    if prototype not in _SITES:
        raise ConfigError(
            f"prototype {prototype!r} holds no molecular anions; expected one of: {', '.join(_SITES)}"
        )
    shapes = {molecule.name: molecule for molecule in molecules}
    ions = parse_molecular_formula(formula, shapes)
    repeats = check_repeats(supercell)
    a = check_length(lattice_parameter_A, "lattice_parameter_A")
    rng = np.random.default_rng(seed)
    edges = np.array([a, a, a * (LIOH_C_OVER_A if prototype == "lioh" else 1.0)])
    cells = np.stack(np.meshgrid(*map(range, repeats), indexing="ij"), axis=-1).reshape(-1, 3)
    occupied, vacant = [], []
    for sublattice, basis in _SITES[prototype]:
        positions = ((cells[:, None, :] + np.array(basis)[None]) * edges).reshape(-1, 3)
        wanted = _occupation(ions, prototype, sublattice, len(positions), formula)
        order = rng.permutation(len(positions)) if len(wanted) > 1 else np.arange(len(positions))
        start = 0
        for species, n in wanted:
            chosen = np.sort(order[start : start + n])
            start += n
            rows = [(species, sublattice, position) for position in positions[chosen]]
            (vacant if species is None else occupied).extend(rows)
    cell = np.diag(edges * repeats)
    atoms = _assembled(occupied, shapes, cell, orientations, _heights(prototype, edges), rng)
    empty = [position for _, _, position in vacant]
    atoms.info.update(
        formula=ions.formula,
        prototype=prototype,
        supercell=list(repeats),
        orientations=orientations,
        vacant_sites={
            "species": [ions.cation] * len(empty),
            "scaled_positions": (np.array(empty).reshape(-1, 3) / np.diag(cell)).tolist(),
        },
    )
    return atoms


def _occupation(ions: MolecularFormula, prototype, sublattice, n_sites, formula):
    """Return [(species or None for empty, number)] of one sublattice; raise unless they come out whole."""
    per_site = {"cubic": {"X": 3.0, "B": 1.0, "A": 1.0}}.get(prototype, {"X": 1.0, "A": 1.0})[sublattice]
    if sublattice == "X":
        shares = {ions.cation: ions.n_cations}
    else:
        shares = {s: n for s, n in ions.anions.items() if prototype != "cubic" or ions.site(s) == sublattice}
    total = sum(shares.values())
    if total > per_site + 1e-9 or (sublattice != "X" and total < per_site - 1e-9):
        raise FormulaError(
            formula,
            f"{total:g} {'cations' if sublattice == 'X' else 'anions ' + ', '.join(shares)} for the "
            f"{per_site:g} {sublattice} site{'s' if per_site != 1 else ''} of prototype {prototype!r}",
        )
    counts = []
    for species, share in shares.items():
        number = share / per_site * n_sites
        if abs(number - round(number)) > 1e-6:
            raise FormulaError(
                formula,
                f"{share:g} {species} make {number:g} in {n_sites} {sublattice} sites; expected a whole "
                "number: choose another supercell or composition",
            )
        counts.append((species, round(number)))
    missing = n_sites - sum(n for _, n in counts)
    return counts + ([(None, missing)] if missing else [])


def _heights(prototype, edges):
    """Return the height of the conventional cell where anions alternate up and down along c, else None."""
    return float(edges[2]) if prototype == "lioh" else None


def _assembled(occupied, shapes, cell, orientations, height_A, rng):
    singles = [row for row in occupied if row[0] not in shapes]
    groups = [row for row in occupied if row[0] in shapes]
    frame = np.array([position for _, _, position in singles]).reshape(-1, 3)
    centres = [position for _, _, position in groups]
    bodies = [_centred(shapes[name]) for name, _, _ in groups]
    turns = [_first_turn(centre, orientations, height_A, rng) for centre in centres]
    if orientations == "best-packed":
        turns = _pack(frame, centres, bodies, cell, rng)
    symbols = [species for species, _, _ in singles]
    sites = [site for _, site, _ in singles]
    positions, molecule = [frame], [-1] * len(singles)
    for k, (name, site, centre) in enumerate(groups):
        elements = shapes[name].elements
        symbols += elements
        sites += [site] * len(elements)
        molecule += [k] * len(elements)
        positions.append(centre + bodies[k] @ turns[k].T)
    atoms = Atoms(symbols, positions=np.concatenate(positions), cell=cell, pbc=True)
    atoms.set_array("site", np.array(sites))
    atoms.set_array("molecule_id", np.array(molecule, dtype=np.int64))
    return atoms


def _first_turn(centre, orientations, height_A, rng):
    if orientations == "random":
        return Rotation.random(random_state=rng).as_matrix()
    if height_A is not None and centre[2] / height_A % 1.0 > 0.5:  # below its lithium layer: upside down
        return np.diag([1.0, -1.0, -1.0])
    return np.eye(3)


def _centred(molecule):
    """Return the shape about its centre of mass, Å."""
    masses = np.array([atomic_masses[atomic_numbers[element]] for element in molecule.elements])
    shape = np.array(molecule.positions_A, dtype=float)
    return shape - masses @ shape / masses.sum()


def _pack(frame, centres, bodies, cell, rng):
    """Return turns in which each molecule's atoms keep farthest from all others, one after the other."""
    trials = Rotation.random(TRIAL_TURNS, random_state=rng).as_matrix()
    turns = [np.eye(3)] * len(centres)
    placed = [centre[None, :] for centre in centres]  # as points, until their turn comes
    for _ in range(SWEEPS):
        changed = False
        for k, (centre, body) in enumerate(zip(centres, bodies, strict=True)):
            others = np.concatenate([frame, *placed[:k], *placed[k + 1 :]])
            near = minimum_image(others - centre, cell)
            near = near[np.linalg.norm(near, axis=1) < np.linalg.norm(body, axis=1).max() + 6.0]
            rooms = [_room(near, body @ turn.T) for turn in trials]
            best = trials[int(np.argmax(rooms))]
            if len(placed[k]) == 1 or _room(near, body @ turns[k].T) < max(rooms) - 1e-9:
                turns[k], changed = best, True
                placed[k] = centre + body @ best.T
        if not changed:
            break
    return turns


def _room(near, atoms):
    """Return a soft measure of how far the atoms keep from `near`: minus the sum of inverse sixth powers."""
    squared = ((near[:, None, :] - atoms[None]) ** 2).sum(axis=-1)
    return -float((1.0 / squared**3).sum())
