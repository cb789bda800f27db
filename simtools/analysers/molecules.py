"""Molecules in a trajectory: who is bound to whom, and bonds that break. Rotation: orientations.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase.data import atomic_masses, atomic_numbers, covalent_radii

from simtools.analysers.breathing_cells import in_own_cells, in_reference_cell
from simtools.analysers.kernels import molecules as kernels
from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.core.periodic import cell_heights_A, minimum_image
from simtools.md.trajectory import Trajectory

__all__ = ["BondChange", "Molecules", "bond_cutoff_A", "find_molecules", "without_ligands"]

_COVALENT = 1.25
_BROKEN = 1.5
_ISOTOPES = {"D": "H", "T": "H"}
_BLOCK = 64
_NAMED = 3


@dataclass(frozen=True)
class BondChange:
    """One bond that did not stay as it was.

    Attributes
    ----------
    molecule : int
        Index of the molecule.
    ligand : int
        Index of the atom in the trajectory.
    kind : str
        "exchange" where another centre is nearer than its own, "dissociation" where the bond is longer than
        1.5 times the cutoff.
    first_frame, n_frames : int
        When it began, and in how many frames altogether it was so.
    longest_A : float
        Largest distance from the old centre in those frames, Å.
    new_centre : int or None
        Atom that the ligand was nearest to in the first frame of an exchange.
    """

    molecule: int
    ligand: int
    kind: str
    first_frame: int
    n_frames: int
    longest_A: float
    new_centre: int | None

    def __str__(self):
        where = "" if self.new_centre is None else f" to atom {self.new_centre}"
        return (
            f"{self.kind} of atom {self.ligand} from molecule {self.molecule}{where} in frame "
            f"{self.first_frame} ({self.longest_A:.3g} Å at most, {self.n_frames} frames)"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Molecules:
    """Molecules of one kind and their bond vectors in every frame.

    Attributes
    ----------
    centres : ndarray of int
        Central atoms, shape (n_molecules,).
    ligands : ndarray of int
        Atoms bound to them, shape (n_molecules, n_ligands).
    bonds_A : ndarray
        From centre to ligand, shortest image in the cell of the frame, shape (n_frames, n_molecules,
        n_ligands, 3), Å.
    centres_A : ndarray
        Unwrapped positions of the central atoms, shape (n_frames, n_molecules, 3), Å.
    centre_mass_amu, ligand_masses_amu
        Masses of the central atoms (n_molecules,) and of the ligands (n_molecules, n_ligands), amu.
    cells_A, frame_interval_ps
        As in `Trajectory`.
    changes : tuple of BondChange
        Bonds that broke or changed hands, in order of time.
    others : dict
        {number of ligands: how many centres} of what was left out.
    """

    name: str
    centres: np.ndarray
    ligands: np.ndarray
    bonds_A: np.ndarray
    centres_A: np.ndarray
    centre_mass_amu: np.ndarray
    ligand_masses_amu: np.ndarray
    cells_A: np.ndarray
    frame_interval_ps: float
    changes: tuple
    others: dict

    @property
    def n_molecules(self):
        """Number of molecules."""
        return len(self.centres)

    @property
    def n_ligands(self):
        """Ligands of each molecule."""
        return self.ligands.shape[1]

    @property
    def bond_lengths_A(self):
        """Shape (n_frames, n_molecules, n_ligands), Å."""
        return np.linalg.norm(self.bonds_A, axis=-1)

    def intact(self):
        """Return the molecules without any change, and the changes of the others as text.

        Raises
        ------
        ConfigError
            If no molecule stayed whole.
        """
        broken = {change.molecule for change in self.changes}
        kept = np.setdiff1d(np.arange(self.n_molecules), sorted(broken))
        if len(kept) == 0:
            raise ConfigError(
                f"none of {self.n_molecules} {self.name} stays whole: first {self.changes[0]}; expected "
                "molecules that do not react, or a longer bond cutoff"
            )
        if len(kept) == self.n_molecules:
            return self, ()
        examples = "; ".join(str(change) for change in self.changes[:_NAMED])
        note = (
            f"{len(broken)} of {self.n_molecules} {self.name} do not stay whole and are left out: {examples}"
        )
        return self.selected(kept), (note,)

    def selected(self, indices):
        """Return some of the molecules, by index."""
        indices = np.asarray(indices)
        new = {int(old): i for i, old in enumerate(indices)}
        return replace(
            self,
            centres=self.centres[indices],
            ligands=self.ligands[indices],
            bonds_A=self.bonds_A[:, indices],
            centres_A=self.centres_A[:, indices],
            centre_mass_amu=self.centre_mass_amu[indices],
            ligand_masses_amu=self.ligand_masses_amu[indices],
            changes=tuple(
                replace(change, molecule=new[change.molecule])
                for change in self.changes
                if change.molecule in new
            ),
        )


def bond_cutoff_A(centre: str, ligand: str) -> float:
    """Return the longest bond between two elements: 1.25 times the sum of their covalent radii, Å.

    Raises
    ------
    ConfigError
        For a symbol that is no element (give the cutoff then).
    """
    radii = []
    for symbol in (centre, ligand):
        number = atomic_numbers.get(_ISOTOPES.get(symbol, symbol))
        if not number:
            raise ConfigError(f"{symbol!r} is no element: give the cutoff of its bonds in Å")
        radii.append(covalent_radii[number])
    return float(_COVALENT * sum(radii))


def find_molecules(
    trajectory: Trajectory,
    *,
    centre: str,
    ligands: str | Sequence[str],
    n_ligands: int | None = None,
    cutoffs_A: Mapping[str, float] | float | None = None,
    topology: tuple | None = None,
) -> Molecules:
    """Find the molecules of one kind in the first frame and follow their bonds through all others.

    Parameters
    ----------
    trajectory
        Wrapped or unwrapped: bond vectors are the shortest images in the cell of each frame, so both give
        the same.
    centre, ligands
        Symbol of the central atom and of those bound to it: ``centre="B", ligands="H"`` for borohydride,
        ``"P"`` and ``("S", "O")`` for a mixed thiophosphate.
    n_ligands
        Ligands per molecule. Centres with another number are left out (oxide beside hydroxide, water beside
        both); by default all that have any must have the same number.
    cutoffs_A
        Longest bond, Å: one for all, or {ligand: Å}; by default `bond_cutoff_A`.
    topology
        ``(centres, ligands)``, atom indices of shapes (n,) and (n, n_ligands), instead of a search.

    Returns
    -------
    Molecules
        `changes` names every bond that broke or changed hands; see `Molecules.intact`.

    Raises
    ------
    ConfigError
        If nothing is bound, numbers of ligands differ, a ligand has two centres, or a cutoff is over half the
        smallest height of the cell.
    UnknownSpeciesError
        If there is no such atom.

    Notes
    -----
    Limit: rigid molecules with known topology are found, whatever the images of their atoms.
    """
    paths_A = trajectory.positions_A
    path_cells = in_reference_cell(trajectory).cells_A
    trajectory = in_own_cells(trajectory)
    symbols = (ligands,) if isinstance(ligands, str) else tuple(ligands)
    centre_atoms = trajectory.indices_of(centre)
    present = [symbol for symbol in symbols if (trajectory.species == symbol).any()]
    if not present:
        raise UnknownSpeciesError(symbols[0], sorted(set(trajectory.species.tolist())))
    cutoff_of = _cutoffs(centre, present, cutoffs_A)
    cells = np.ascontiguousarray(trajectory.cells_A.reshape(-1, 3, 3))
    largest = max(cutoff_of.values())
    room_A = min(float(cell_heights_A(cell).min()) for cell in cells) / 2
    if _BROKEN * largest >= room_A:
        raise ConfigError(
            f"bonds up to {_BROKEN * largest:.3g} Å (1.5 times the cutoff) cannot be told from their images "
            f"in a cell {2 * room_A:.3g} Å high: expected a cell over {2 * _BROKEN * largest:.3g} Å"
        )
    others = {}
    if topology is None:
        kept, bound, others = _bond_graph(
            trajectory, centre, centre_atoms, present, cutoff_of, n_ligands, cells[0]
        )
    else:
        kept, bound = _given(topology, len(trajectory.species))
    inverse = np.linalg.inv(cells)
    bonds = np.empty((trajectory.n_frames, len(kept), bound.shape[1], 3))
    kernels.bond_vectors(trajectory.positions_A, cells, inverse, kept, bound, bonds)
    limit_ml = np.vectorize(cutoff_of.get, otypes=[float])(trajectory.species[bound])
    masses = trajectory.masses_amu
    if masses is None:
        masses = np.array([_mass(symbol) for symbol in trajectory.species])
    return Molecules(
        name=_name(centre, trajectory.species[bound[0]]),
        centres=kept,
        ligands=bound,
        bonds_A=bonds,
        centres_A=paths_A[:, kept],
        centre_mass_amu=masses[kept],
        ligand_masses_amu=masses[bound],
        cells_A=path_cells,
        frame_interval_ps=trajectory.frame_interval_ps,
        changes=_changes(trajectory, cells, inverse, centre_atoms, kept, bound, bonds, limit_ml),
        others=others,
    )


def without_ligands(trajectory: Trajectory, molecules: Molecules) -> Trajectory:
    """Return the trajectory without the ligands: each molecule is its central atom, on one lattice site.

    Ligands would otherwise be taken for ions on whatever site is nearest (H of hydroxide on a lithium site).
    """
    kept = np.setdiff1d(np.arange(len(trajectory.species)), molecules.ligands)
    velocities, molecule_id = trajectory.velocities_A_per_ps, trajectory.molecule_id
    if molecule_id is not None:
        cut = np.unique(molecule_id[molecules.ligands])
        molecule_id = np.where(np.isin(molecule_id, cut), -1, molecule_id)[kept]
    return replace(
        trajectory,
        positions_A=trajectory.positions_A[:, kept],
        species=trajectory.species[kept],
        molecule_id=molecule_id,
        masses_amu=None if trajectory.masses_amu is None else trajectory.masses_amu[kept],
        velocities_A_per_ps=None if velocities is None else velocities[:, kept],
        defects=tuple(_renumbered(defect, kept) for defect in trajectory.defects),
    )


def _renumbered(defect, kept):
    """Return what the builder put in, with the numbers that its atoms now have."""
    if "atom_indices" not in defect:
        return defect
    atoms = [int(atom) for atom in defect["atom_indices"]]
    return {**defect, "atom_indices": [int(np.searchsorted(kept, atom)) for atom in atoms if atom in kept]}


def _cutoffs(centre, symbols, given):
    if given is None:
        return {symbol: bond_cutoff_A(centre, symbol) for symbol in symbols}
    if isinstance(given, Mapping):
        missing = [symbol for symbol in symbols if symbol not in given]
        if missing:
            raise ConfigError(f"cutoffs_A has no entry for {missing[0]!r}; it has {', '.join(given)}")
        found = {symbol: float(given[symbol]) for symbol in symbols}
    else:
        found = dict.fromkeys(symbols, float(given))
    for symbol, value in found.items():
        if not 0 < value < np.inf:
            raise ConfigError(f"the bond cutoff {centre}-{symbol} must be positive, got {value!r} Å")
    return found


def _bond_graph(trajectory, centre, centre_atoms, symbols, cutoff_of, n_ligands, cell):
    members = [[] for _ in centre_atoms]
    r_nc = trajectory.positions_A[0]
    for symbol in symbols:
        atoms = np.setdiff1d(trajectory.indices_of(symbol), centre_atoms)
        for start in range(0, len(atoms), _BLOCK):
            block = atoms[start : start + _BLOCK]
            gaps = minimum_image(r_nc[block][:, None] - r_nc[centre_atoms][None], cell)
            near = np.linalg.norm(gaps, axis=-1) <= cutoff_of[symbol]
            for index in np.flatnonzero(near.sum(axis=1) > 1)[:1]:
                raise ConfigError(
                    f"{symbol} atom {block[index]} has {near[index].sum()} {centre} within "
                    f"{cutoff_of[symbol]:.3g} Å in frame 0, expected 1 at most: give a shorter cutoff"
                )
            for ligand, place in np.argwhere(near):
                members[place].append(int(block[ligand]))
    counts = np.array([len(found) for found in members])
    wanted = sorted(set(counts[counts > 0].tolist()))
    if not wanted:
        limits = ", ".join(f"{symbol} {value:.3g} Å" for symbol, value in cutoff_of.items())
        raise ConfigError(f"no {centre} has a ligand within {limits} in frame 0: expected molecules")
    if n_ligands is None and len(wanted) > 1:
        seen = ", ".join(f"{(counts == n).sum()} with {n}" for n in wanted)
        raise ConfigError(f"{centre} atoms have different numbers of ligands ({seen}): give n_ligands")
    number = wanted[0] if n_ligands is None else n_ligands
    kept = np.flatnonzero(counts == number)
    if len(kept) == 0 or number < 1:
        raise ConfigError(f"no {centre} has {number} ligands in frame 0; they have {wanted}")
    others = {int(n): int((counts == n).sum()) for n in np.unique(counts) if n != number}
    return centre_atoms[kept], np.array([sorted(members[i]) for i in kept]), others


def _given(topology, n_atoms):
    centres, ligands = (np.asarray(item, dtype=np.int64) for item in topology)
    if centres.ndim != 1 or ligands.ndim != 2 or len(centres) != len(ligands) or ligands.size == 0:
        raise ConfigError(
            f"topology must be (centres, ligands) of shapes (n,) and (n, n_ligands), got {centres.shape} "
            f"and {ligands.shape}"
        )
    atoms = np.concatenate([centres, ligands.ravel()])
    if atoms.min() < 0 or atoms.max() >= n_atoms:
        raise ConfigError(f"topology names atom {atoms.max()}, the trajectory has {n_atoms}")
    return centres, ligands


def _changes(trajectory, cells, inverse, centre_atoms, centres, ligands, bonds, limit_ml):
    length = np.linalg.norm(bonds, axis=-1)
    stretched = np.argwhere(length > limit_ml)
    if len(stretched) == 0:
        return ()
    t, m, b = stretched.T
    pool = np.union1d(centre_atoms, centres)
    nearest, distance = kernels.nearest_centres(
        trajectory.positions_A, cells, inverse, t, ligands[m, b], pool
    )
    own = length[t, m, b]
    exchanged = (pool[nearest] != centres[m]) & (distance <= limit_ml[m, b])
    gone = ~exchanged & (own > _BROKEN * limit_ml[m, b])
    found = []
    for kind, chosen in (("exchange", exchanged), ("dissociation", gone)):
        for molecule, bond in sorted({(int(i), int(j)) for i, j in zip(m[chosen], b[chosen], strict=True)}):
            rows = np.flatnonzero(chosen & (m == molecule) & (b == bond))
            found.append(
                BondChange(
                    molecule=molecule,
                    ligand=int(ligands[molecule, bond]),
                    kind=kind,
                    first_frame=int(t[rows[0]]),
                    n_frames=len(rows),
                    longest_A=float(own[rows].max()),
                    new_centre=int(pool[nearest[rows[0]]]) if kind == "exchange" else None,
                )
            )
    return tuple(sorted(found, key=lambda change: (change.first_frame, change.molecule, change.ligand)))


def _mass(symbol):
    if symbol == "D":
        return 2.014
    number = atomic_numbers.get(_ISOTOPES.get(symbol, symbol))
    if not number:
        raise ConfigError(f"{symbol!r} is no element: expected masses_amu in the trajectory")
    return atomic_masses[number]


def _name(centre, ligand_symbols):
    symbols, counts = np.unique(ligand_symbols, return_counts=True)
    return centre + "".join(f"{s}{n if n > 1 else ''}" for s, n in zip(symbols, counts, strict=True))
