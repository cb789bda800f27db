"""Space group, operations and distinct atoms of a cell, by spglib. Defect sites: see simtools.defects."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import spglib
from ase import Atoms
from scipy.spatial import cKDTree

from simtools.core.errors import ConfigError, ShapeError, SimtoolsError

__all__ = ["CrystalSymmetry", "DistinctSite", "SymmetryError", "crystal_symmetry", "distinct_sites"]


class SymmetryError(SimtoolsError, RuntimeError):
    """The symmetry of a cell could not be determined."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CrystalSymmetry:
    """The operations that leave a periodic cell as it is, supercell translations included.

    Operation k takes the fractional coordinates x to ``rotations[k] @ x + translations[k]`` and atom i to
    where atom ``permutations[k, i]`` is.

    Attributes
    ----------
    space_group, number
        International symbol and number of the infinite crystal, as ``"Pm-3m"`` and 221.
    rotations
        Shape (n_operations, 3, 3), integers, in fractional coordinates of the cell given. A supercell whose
        shape is lower than the crystal's symmetry keeps the operations that map its lattice onto itself.
    translations
        Shape (n_operations, 3), fractions of the cell given.
    permutations
        Shape (n_operations, n_atoms).
    wyckoff_letters, site_symmetries
        Per atom, of the infinite crystal: ``"c"`` and ``"4/mm.m"`` for Li in Li3OCl.
    cell_A
        Lattice vectors as rows, shape (3, 3), Å.
    tolerance_A
        Distance below which two positions were taken to be the same, Å.
    """

    space_group: str
    number: int
    rotations: np.ndarray
    translations: np.ndarray
    permutations: np.ndarray
    wyckoff_letters: tuple[str, ...]
    site_symmetries: tuple[str, ...]
    cell_A: np.ndarray
    tolerance_A: float

    def __len__(self):
        return len(self.rotations)

    @property
    def orbits(self) -> np.ndarray:
        """The lowest index of the atoms equivalent to each atom in this cell, shape (n_atoms,)."""
        return self.permutations.min(axis=0)

    @property
    def cartesian_rotations(self) -> np.ndarray:
        """Shape (n_operations, 3, 3): a Cartesian row vector v becomes ``v @ matrix.T``."""
        transposed = np.linalg.inv(self.cell_A) @ self.rotations.transpose(0, 2, 1) @ self.cell_A
        return transposed.transpose(0, 2, 1)

    def stabiliser(self, atom: int) -> np.ndarray:
        """Return the operations that leave `atom` where it is (up to lattice vectors), as indices."""
        return np.flatnonzero(self.permutations[:, atom] == atom)

    def images_of(self, scaled_position) -> np.ndarray:
        """Return where every operation takes a point, in [0, 1), shape (n_operations, 3)."""
        images = self.rotations @ np.asarray(scaled_position, dtype=float) + self.translations
        images -= np.floor(images)
        return np.where(images >= 1.0, 0.0, images)


@dataclass(frozen=True, kw_only=True)
class DistinctSite:
    """One orbit of equivalent atoms.

    Attributes
    ----------
    index
        The lowest index among them.
    indices
        All of them.
    species
        Chemical symbol.
    wyckoff_letter, site_symmetry
        Of the infinite crystal, in spglib's standard setting.
    """

    index: int
    indices: tuple[int, ...]
    species: str
    wyckoff_letter: str
    site_symmetry: str

    @property
    def multiplicity(self) -> int:
        """How many equivalent atoms the given cell holds."""
        return len(self.indices)


def crystal_symmetry(
    atoms: Atoms, *, labels: Sequence | None = None, tolerance_A: float = 1e-3
) -> CrystalSymmetry:
    """Return the space group of a periodic cell and every operation that maps the cell onto itself.

    Parameters
    ----------
    atoms
        A unit cell, a supercell, or a cell with defects (whose symmetry is lower). Not changed.
    labels
        What tells atoms apart, one per atom; by default the element. Atoms of one element with different
        labels are never equivalent.
    tolerance_A
        Positions closer than this are the same, Å (spglib's symprec).

    Returns
    -------
    CrystalSymmetry
        Limits: one cubic X3BA cell has 48 operations, its 2x2x2 supercell 48 * 8, its 2x1x1 supercell 16 * 2.

    Raises
    ------
    ConfigError
        If the cell is empty or not periodic, or the tolerance is not positive.
    SymmetryError
        If spglib finds no symmetry, for example because two atoms coincide.

    References
    ----------
    .. [1] A. Togo, K. Shinohara, I. Tanaka, Sci. Technol. Adv. Mater. Meth. 4, 2384822 (2024), spglib.
    """
    if len(atoms) == 0 or not atoms.pbc.all():
        raise ConfigError(
            f"symmetry needs atoms in a cell periodic in three directions, got {len(atoms)} atoms with pbc = "
            f"{atoms.pbc.tolist()}"
        )
    if not 0 < tolerance_A < np.inf:
        raise ConfigError(f"tolerance_A must be a positive number of Å, got {tolerance_A!r}")
    kinds = _kinds(atoms, labels)
    scaled = atoms.get_scaled_positions(wrap=True)
    cell = atoms.cell.array
    dataset = _dataset(cell, scaled, kinds, tolerance_A)
    rotations = np.array(dataset.rotations, dtype=int)
    translations = np.array(dataset.translations, dtype=float)
    translations -= np.floor(translations)
    symmetry = CrystalSymmetry(
        space_group=dataset.international,
        number=int(dataset.number),
        rotations=rotations,
        translations=translations,
        permutations=_permutations(scaled, kinds, cell, rotations, translations, tolerance_A),
        wyckoff_letters=tuple(dataset.wyckoffs),
        site_symmetries=tuple(dataset.site_symmetry_symbols),
        cell_A=cell.copy(),
        tolerance_A=float(tolerance_A),
    )
    for array in (symmetry.rotations, symmetry.translations, symmetry.permutations, symmetry.cell_A):
        array.flags.writeable = False
    return symmetry


def distinct_sites(
    atoms: Atoms, *, symmetry: CrystalSymmetry | None = None, tolerance_A: float = 1e-3
) -> tuple[DistinctSite, ...]:
    """Return the orbits of equivalent atoms of a cell, in the order of their lowest index.

    Parameters
    ----------
    atoms
        As in `crystal_symmetry`.
    symmetry
        Of `atoms`, where it is known already.
    tolerance_A
        As in `crystal_symmetry`.

    Notes
    -----
    Limit: cubic Li3OCl gives Li (multiplicity 3), O (1) and Cl (1); in an n x n x n supercell n³ times that.
    """
    symmetry = crystal_symmetry(atoms, tolerance_A=tolerance_A) if symmetry is None else symmetry
    orbits = symmetry.orbits
    symbols = atoms.get_chemical_symbols()
    return tuple(
        DistinctSite(
            index=first,
            indices=tuple(np.flatnonzero(orbits == first).tolist()),
            species=symbols[first],
            wyckoff_letter=symmetry.wyckoff_letters[first],
            site_symmetry=symmetry.site_symmetries[first],
        )
        for first in np.unique(orbits).tolist()
    )


def _dataset(cell, scaled, kinds, tolerance_A):
    """Return spglib's dataset; releases differ in whether they return None, warn, or raise."""
    reason, dataset = "", None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*OLD_ERROR_HANDLING", category=DeprecationWarning)
        try:
            dataset = spglib.get_symmetry_dataset((cell, scaled, kinds), symprec=float(tolerance_A))
        except spglib.SpglibError as error:
            reason = f" ({error})"
    if dataset is None:
        raise SymmetryError(
            f"spglib finds no symmetry in {len(kinds)} atoms with tolerance_A = {tolerance_A:g}{reason}; "
            "look for atoms on top of each other, or choose another tolerance"
        )
    return dataset


def _kinds(atoms, labels):
    if labels is None:
        return atoms.numbers
    if len(labels) != len(atoms):
        raise ShapeError("labels", (len(atoms),), (len(labels),))
    pairs = list(zip(atoms.numbers.tolist(), labels, strict=True))
    order = {pair: k for k, pair in enumerate(dict.fromkeys(pairs), start=1)}
    return np.array([order[pair] for pair in pairs])


def _permutations(scaled, kinds, cell, rotations, translations, tolerance_A):
    """Return the permutations, matching only pure translations and one operation per rotation."""
    pure = np.flatnonzero((rotations == np.eye(3, dtype=int)).all(axis=(1, 2)))
    tree = cKDTree(scaled, boxsize=1.0)
    identity = np.eye(3, dtype=int)
    moved = np.array([_match(tree, kinds, cell, identity, translations[k], tolerance_A) for k in pure])
    shifts = cKDTree(_into_cell(translations[pure]), boxsize=1.0)
    first = {}
    permutations = np.empty((len(rotations), len(scaled)), dtype=np.int32)
    for k, rotation in enumerate(rotations):
        key = rotation.tobytes()
        if key not in first:
            first[key] = (
                translations[k],
                _match(tree, kinds, cell, rotation, translations[k], tolerance_A),
            )
        start, permutation = first[key]
        shift = int(shifts.query(_into_cell(translations[k] - start))[1])
        permutations[k] = moved[shift][permutation]
    return permutations


def _match(tree, kinds, cell, rotation, translation, tolerance_A):
    images = _into_cell(tree.data @ rotation.T + translation)
    nearest = tree.query(images)[1]
    apart = images - tree.data[nearest]
    apart = np.linalg.norm((apart - np.round(apart)) @ cell, axis=1)
    permutes = len(np.unique(nearest)) == len(nearest) and np.array_equal(kinds[nearest], kinds)
    if not permutes or apart.max() > 4 * tolerance_A:
        raise SymmetryError(
            f"an operation found within tolerance_A = {tolerance_A:g} takes an atom {apart.max():.3g} Å from "
            "the nearest of its kind; choose a smaller tolerance"
        )
    return nearest


def _into_cell(scaled):
    wrapped = scaled - np.floor(scaled)
    return np.where(wrapped >= 1.0, 0.0, wrapped)
