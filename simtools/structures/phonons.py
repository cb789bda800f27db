"""Phonons at the wave vectors that fit into a supercell: whether a crystal is stable, and where it is not."""

import math
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from scipy.constants import atomic_mass, elementary_charge

from simtools.core.errors import ConfigError
from simtools.structures.hessian import (
    DEFAULT_STEP_A,
    central_difference,
    check_at_rest,
    check_periodic,
    positive,
)
from simtools.structures.supercells import check_repeats
from simtools.structures.symmetry import crystal_symmetry

__all__ = ["PhononMode", "PhononStability", "phonon_stability"]

THZ_PER_ROOT = math.sqrt(elementary_charge * 1e20 / atomic_mass) / (2 * math.pi) * 1e-12
"""THz per sqrt(eV / (Å^2 amu))."""
DEFAULT_THRESHOLD_THZ = 0.05
_SAME_Q = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class PhononMode:
    """One mode at one wave vector.

    Attributes
    ----------
    q
        Wave vector in units of the crystal's reciprocal vectors, three numbers in (-1/2, 1/2].
    label
        Name of the point ("G", "X", "M", "R", ...) or "" for a general one.
    frequency_THz
        Frequency, THz; negative for an imaginary one.
    species_shares
        {element: share of the mode's squared eigenvector}, largest first, summing to 1.
    displacements
        Shape (N, 3): displacement of each ion of the crystal's cell at the phase where the largest is real,
        scaled so that this one has length 1. In a degenerate set the choice within the set is arbitrary.
    """

    q: tuple[float, float, float]
    label: str
    frequency_THz: float
    species_shares: dict
    displacements: np.ndarray

    def __str__(self):
        q = " ".join(f"{x:.3g}" for x in self.q)
        shares = ", ".join(f"{name} {share:.0%}" for name, share in self.species_shares.items())
        name = f"{self.label} " if self.label else ""
        size = f"{abs(self.frequency_THz):.3f}{'i' if self.frequency_THz < 0 else ''} THz"
        return f"{name}({q}): {size}; {shares}"


@dataclass(frozen=True, kw_only=True, eq=False)
class PhononStability:
    """Phonons of a crystal at all wave vectors commensurate with a supercell, one of each symmetric set.

    Attributes
    ----------
    supercell
        The repeats.
    q_points
        Shape (n_q, 3), units of the reciprocal vectors.
    labels
        Names of the points, "" for general ones.
    weights
        How many wave vectors of the supercell each stands for.
    frequencies_THz
        Shape (n_q, 3N), ascending, imaginary ones negative. At q = 0 three are the translations, near zero.
    imaginary_modes
        Those below the threshold, softest first.
    threshold_THz
        A mode counts as imaginary below minus this.
    step_A
        Displacement of the central differences, Å.
    acoustic_violation
        Largest sum of one row of force constants before it was enforced, over the largest force constant.
    """

    supercell: tuple[int, int, int]
    q_points: np.ndarray
    labels: tuple[str, ...]
    weights: np.ndarray
    frequencies_THz: np.ndarray
    imaginary_modes: tuple[PhononMode, ...]
    threshold_THz: float
    step_A: float
    acoustic_violation: float

    @property
    def is_stable(self):
        """True when no mode is imaginary."""
        return not self.imaginary_modes


def phonon_stability(
    crystal: Atoms,
    calculator,
    supercell=(2, 2, 2),
    *,
    step_A: float = DEFAULT_STEP_A,
    threshold_THz: float = DEFAULT_THRESHOLD_THZ,
) -> PhononStability:
    r"""Return frequencies and imaginary modes at the wave vectors that fit into a supercell.

    .. math:: D_{ij}(\mathbf q) = \frac{1}{\sqrt{m_i m_j}} \sum_{\mathbf R}
        \Phi_{0i,\mathbf Rj}\, e^{i\mathbf q\cdot\mathbf R}

    At these wave vectors nothing is interpolated: the result is exact for the supercell's force constants,
    long-range Coulomb forces included. A cubic crystal in [2, 2, 2] has Gamma, X, M and R. At Gamma the
    macroscopic field is zero: longitudinal optical modes fall on the transverse ones, because the
    nonanalytic term of small wave vectors (LO-TO splitting) is left out; it only raises frequencies.
    Dispersions between these points: ``ase.phonons.Phonons`` takes the same calculator.

    Parameters
    ----------
    crystal
        Crystal at rest, preferably primitive; not changed.
    calculator
        Any ASE calculator.
    supercell
        Three positive integers, or one.
    step_A
        Displacement of the central differences, Å; 6 N evaluations of the supercell's forces.
    threshold_THz
        Modes between minus this and zero count as stable.

    Raises
    ------
    NotAtRestError
        If the crystal was not relaxed.
    ConfigError
        If an argument is out of range.
    """
    step_A, threshold_THz = positive("step_A", step_A), positive("threshold_THz", threshold_THz)
    repeats = check_repeats(supercell)
    check_periodic(crystal)
    force_constants, violation = _force_constants(crystal, calculator, repeats, step_A)
    masses = crystal.get_masses()
    if not (masses > 0).all():
        raise ConfigError("every ion needs a mass for its vibrations: set atoms.set_masses")
    shifts = _cell_indices(repeats)
    q_points, labels, weights = _wave_vectors(crystal, repeats)
    n = len(crystal)
    root = np.sqrt(np.repeat(masses, 3))
    frequencies, imaginary = np.empty((len(q_points), 3 * n)), []
    for row, q in enumerate(q_points):
        phases = np.exp(2j * np.pi * (shifts @ q))
        dynamical = np.einsum("icRjd,R->icjd", force_constants, phases).reshape(3 * n, 3 * n)
        dynamical = (dynamical + dynamical.conj().T) / 2 / np.outer(root, root)
        squared, vectors = np.linalg.eigh(dynamical)
        frequencies[row] = np.sign(squared) * np.sqrt(np.abs(squared)) * THZ_PER_ROOT
        imaginary += [
            _mode(crystal, q, labels[row], frequencies[row, s], vectors[:, s], root)
            for s in np.flatnonzero(frequencies[row] < -threshold_THz)
        ]
    return PhononStability(
        supercell=repeats,
        q_points=q_points,
        labels=labels,
        weights=weights,
        frequencies_THz=frequencies,
        imaginary_modes=tuple(sorted(imaginary, key=lambda mode: mode.frequency_THz)),
        threshold_THz=threshold_THz,
        step_A=step_A,
        acoustic_violation=violation,
    )


def _force_constants(crystal, calculator, repeats, step_A):
    """Return force constants [i, c, R, j, d] of cell 0 with cell R, eV/Å^2, and the sum rule's violation."""
    work = crystal.copy()
    work.set_constraint()
    work = work.repeat(repeats)
    work.calc = calculator
    check_at_rest(work)
    n, n_cells = len(crystal), int(np.prod(repeats))
    start = work.positions.copy()
    rows = [
        -central_difference(work, start, j, step_A, lambda moved: moved.get_forces()) for j in range(3 * n)
    ]
    force_constants = np.array(rows).reshape(n, 3, n_cells, n, 3)
    totals = force_constants.sum(axis=(2, 3))
    for i in range(n):
        force_constants[i, :, 0, i, :] -= totals[i]
    return force_constants, float(np.abs(totals).max() / np.abs(force_constants).max())


def _cell_indices(repeats):
    """Return the cell index of each block of ions that ``Atoms.repeat`` lays out, shape (n_cells, 3)."""
    return np.array(
        [(i, j, k) for i in range(repeats[0]) for j in range(repeats[1]) for k in range(repeats[2])]
    )


def _wave_vectors(crystal, repeats):
    """Return the symmetry-distinct commensurate q points, their labels and weights."""
    mesh = _cell_indices(repeats) / np.array(repeats)
    mesh -= np.ceil(mesh - 0.5 - _SAME_Q)
    rotations = crystal_symmetry(crystal).rotations
    special = crystal.cell.bandpath(npoints=0).special_points
    left, chosen, labels, weights = np.ones(len(mesh), dtype=bool), [], [], []
    for row, q in enumerate(mesh):
        if not left[row]:
            continue
        # rotations act on q transposed; time reversal adds -q
        star = np.concatenate([rotations, -rotations]).transpose(0, 2, 1) @ q
        members = left & _in_star(mesh, star)
        left &= ~members
        chosen.append(row)
        weights.append(int(members.sum()))
        labels.append(next((name for name, x in special.items() if _in_star(x[None], star)[0]), ""))
    return mesh[chosen], tuple(labels), np.array(weights)


def _in_star(points, star):
    """Return which of `points` equal a member of `star` up to a reciprocal lattice vector."""
    offsets = points[:, None, :] - star[None, :, :]
    return (np.abs(offsets - np.round(offsets)) < _SAME_Q).all(axis=2).any(axis=1)


def _mode(crystal, q, label, frequency_THz, vector, root):
    shares_n = (np.abs(vector) ** 2).reshape(-1, 3).sum(axis=1)
    symbols = np.array(crystal.get_chemical_symbols())
    shares = {str(name): float(shares_n[symbols == name].sum()) for name in np.unique(symbols)}
    displacement = (vector / root).reshape(-1, 3)
    lengths = np.linalg.norm(displacement, axis=1)
    largest = displacement[np.argmax(lengths)]
    phase = largest[np.argmax(np.abs(largest))]
    return PhononMode(
        q=tuple(float(x) for x in q),
        label=label,
        frequency_THz=float(frequency_THz),
        species_shares=dict(sorted(shares.items(), key=lambda item: -item[1])),
        displacements=np.real(displacement * (abs(phase) / phase)) / lengths.max(),
    )
