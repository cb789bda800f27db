"""Orientations of molecules: vectors of linear rotors, quaternions of the others, steps between frames."""

from dataclasses import dataclass

import numpy as np

from simtools.analysers.molecules import Molecules
from simtools.core.errors import ConfigError, ShapeError

__all__ = [
    "Orientations",
    "align",
    "orientations_of",
    "quaternion_product",
    "rotation_matrices",
    "rotation_vectors",
]

_CHUNK = 4096
_REFINEMENTS = 2


@dataclass(frozen=True, eq=False, kw_only=True)
class Orientations:
    """Orientation of every molecule in every frame.

    Attributes
    ----------
    name : str
        Of the molecules.
    vectors : ndarray
        Unit vectors of the bonds, shape (n_frames, n_rotors, n_bonds, 3).
    quaternions : ndarray or None
        Rotation (w, x, y, z) from the reference to the molecule, continuous in sign, shape (n_frames,
        n_rotors, 4); None for linear rotors, whose turn about their own axis is nothing.
    reference_A : ndarray or None
        Mean shape of each molecule about its centre of mass in the orientation of the first frame, centre
        first, shape (n_rotors, n_bonds + 1, 3), Å.
    misfit_A : ndarray or None
        Mass-weighted root mean square distance from the turned reference, shape (n_frames, n_rotors), Å.
    centres_A : ndarray
        Unwrapped positions of the central atoms, shape (n_frames, n_rotors, 3), Å.
    cells_A, frame_interval_ps
        As in `Trajectory`.
    """

    name: str
    vectors: np.ndarray
    quaternions: np.ndarray | None
    reference_A: np.ndarray | None
    misfit_A: np.ndarray | None
    centres_A: np.ndarray
    cells_A: np.ndarray
    frame_interval_ps: float

    def __post_init__(self):
        if self.vectors.ndim != 4 or self.vectors.shape[-1] != 3:
            raise ShapeError("vectors", "(n_frames, n_rotors, n_bonds, 3)", self.vectors.shape)

    @property
    def n_frames(self):
        """Number of frames."""
        return len(self.vectors)

    @property
    def n_rotors(self):
        """Number of molecules."""
        return self.vectors.shape[1]

    @property
    def is_linear(self):
        """True for rotors described by one vector."""
        return self.quaternions is None

    @property
    def duration_ps(self):
        """Time from the first frame to the last, ps."""
        return (self.n_frames - 1) * self.frame_interval_ps

    def points(self):
        """Return the unit vectors (n_frames, n_rotors, 3) or the quaternions (n_frames, n_rotors, 4)."""
        return np.ascontiguousarray(self.vectors[:, :, 0]) if self.is_linear else self.quaternions

    def step_vectors(self):
        """Return the rotation from each frame to the next as vectors, rad, shape (n_frames - 1, n_rotors, 3).

        The shortest rotation is taken; steps near 180 degrees are not resolved.
        """
        x = self.points()
        return rotation_vectors(x[:-1], x[1:])


def orientations_of(molecules: Molecules) -> Orientations:
    """Return the orientations of molecules of one shape.

    Linear rotors (one ligand, or two in line with the centre) are unit vectors. Others are turned onto their
    mean shape with the least mass-weighted square distance [1]_; identities of ligands are kept, so a
    permutation counts as a rotation.

    Parameters
    ----------
    molecules
        From `find_molecules`, whole throughout (`Molecules.intact`).

    Returns
    -------
    Orientations

    Notes
    -----
    Limit: a rigid molecule is recovered to rounding, with no misfit.

    References
    ----------
    .. [1] B. K. P. Horn, J. Opt. Soc. Am. A 4, 629 (1987), eq. 6 ff.
    """
    bonds = molecules.bonds_A
    vectors = bonds / np.linalg.norm(bonds, axis=-1, keepdims=True)
    common = {
        "name": molecules.name,
        "vectors": vectors,
        "centres_A": molecules.centres_A,
        "cells_A": molecules.cells_A,
        "frame_interval_ps": molecules.frame_interval_ps,
    }
    if molecules.n_ligands == 1 or _in_line(vectors):
        return Orientations(quaternions=None, reference_A=None, misfit_A=None, **common)
    masses = np.concatenate([molecules.centre_mass_amu[:, None], molecules.ligand_masses_amu], axis=1)
    weights = masses / masses.sum(axis=1, keepdims=True)
    atoms = _about_centre_of_mass(bonds[:1], weights)[0]
    reference = atoms
    for _ in range(_REFINEMENTS):
        reference = _mean_shape(bonds, weights, reference)
    quaternions = np.empty((*bonds.shape[:2], 4))
    misfit = np.empty(bonds.shape[:2])
    for start in range(0, len(bonds), _CHUNK):
        part = slice(start, start + _CHUNK)
        quaternions[part], misfit[part] = align(
            reference, _about_centre_of_mass(bonds[part], weights), weights
        )
    return Orientations(
        quaternions=_continuous(quaternions), reference_A=reference, misfit_A=misfit, **common
    )


def align(reference_A, atoms_A, weights):
    r"""Return the rotations that turn a reference onto the atoms, and the misfit that is left.

    .. math:: \min_q \sum_a w_a |x_a - R(q) r_a|^2

    Parameters
    ----------
    reference_A
        Shape (n_rotors, n_atoms, 3), Å.
    atoms_A
        Shape (n_frames, n_rotors, n_atoms, 3), Å, about the same origin.
    weights
        Shape (n_rotors, n_atoms) or (n_frames, n_rotors, n_atoms), adding up to 1 over atoms; an atom of
        weight 0 is missing.

    Returns
    -------
    quaternions : ndarray
        (w, x, y, z) of either sign, shape (n_frames, n_rotors, 4).
    misfit_A : ndarray
        Weighted root mean square distance, shape (n_frames, n_rotors), Å.
    """
    weights = np.broadcast_to(weights, atoms_A.shape[:3])
    s = np.einsum("tma,mai,tmaj->tmij", weights, reference_A, atoms_A, optimize=True)
    matrix = np.empty((*s.shape[:2], 4, 4))
    xx, xy, xz = s[..., 0, 0], s[..., 0, 1], s[..., 0, 2]
    yx, yy, yz = s[..., 1, 0], s[..., 1, 1], s[..., 1, 2]
    zx, zy, zz = s[..., 2, 0], s[..., 2, 1], s[..., 2, 2]
    rows = (
        (xx + yy + zz, yz - zy, zx - xz, xy - yx),
        (yz - zy, xx - yy - zz, xy + yx, zx + xz),
        (zx - xz, xy + yx, -xx + yy - zz, yz + zy),
        (xy - yx, zx + xz, yz + zy, -xx - yy + zz),
    )
    for i, row in enumerate(rows):
        for j, item in enumerate(row):
            matrix[..., i, j] = item
    values, vectors = np.linalg.eigh(matrix)
    size = np.einsum("tma,mai->tm", weights, reference_A**2) + np.einsum("tma,tmai->tm", weights, atoms_A**2)
    misfit = np.sqrt(np.maximum(0.0, size - 2 * values[..., -1]))
    return vectors[..., :, -1], misfit


def rotation_matrices(quaternions):
    """Return rotation matrices of quaternions (w, x, y, z), shape (..., 3, 3); rows act on vectors."""
    w, x, y, z = np.moveaxis(np.asarray(quaternions), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def quaternion_product(a, b):
    """Return a b of quaternions (w, x, y, z): first b is done, then a."""
    a0, av, b0, bv = a[..., :1], a[..., 1:], b[..., :1], b[..., 1:]
    scalar = a0 * b0 - np.sum(av * bv, axis=-1, keepdims=True)
    return np.concatenate([scalar, a0 * bv + b0 * av + np.cross(av, bv)], axis=-1)


def rotation_vectors(before, after):
    """Return the shortest rotation from one orientation to another, rad about its axis, shape (..., 3).

    Parameters
    ----------
    before, after
        Unit vectors (..., 3), whose rotation is about their common normal, or quaternions (..., 4).
    """
    before, after = np.asarray(before), np.asarray(after)
    if before.shape[-1] == 3:
        normal = np.cross(before, after)
        sine = np.linalg.norm(normal, axis=-1, keepdims=True)
        angle = np.arctan2(sine, np.sum(before * after, axis=-1, keepdims=True))
        opposite = (sine[..., 0] < 1e-12) & (angle[..., 0] > 1)
        if opposite.any():
            # half a turn has no axis of its own: any normal will do
            least = np.eye(3)[np.abs(before[opposite]).argmin(axis=-1)]
            normal[opposite] = np.cross(before[opposite], least)
            sine = np.linalg.norm(normal, axis=-1, keepdims=True)
        return normal * (angle / np.maximum(sine, 1e-300))
    conjugate = before * np.array([1.0, -1.0, -1.0, -1.0])
    turn = quaternion_product(after, conjugate)
    turn = np.where(turn[..., :1] < 0, -turn, turn)
    sine = np.linalg.norm(turn[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, turn[..., :1])
    return turn[..., 1:] * (angle / np.maximum(sine, 1e-300))


def _in_line(vectors):
    first = vectors[0]
    return first.shape[1] == 2 and bool((np.sum(first[:, 0] * first[:, 1], axis=-1) < -0.985).all())


def _about_centre_of_mass(bonds, weights):
    offset = np.einsum("ma,tmai->tmi", weights[:, 1:], bonds)
    atoms = np.concatenate([np.zeros_like(bonds[:, :, :1]), bonds], axis=2)
    return atoms - offset[:, :, None, :]


def _mean_shape(bonds, weights, reference):
    """Return the shape averaged over frames, each turned back onto `reference`."""
    stride = max(1, len(bonds) // _CHUNK)
    atoms = _about_centre_of_mass(bonds[::stride], weights)
    quaternions, _ = align(reference, atoms, weights)
    return np.einsum("tmji,tmaj->mai", rotation_matrices(quaternions), atoms) / len(atoms)


def _continuous(quaternions):
    """Return quaternions with signs such that no frame's is more than 90 degrees from the one before."""
    if len(quaternions) == 0:
        raise ConfigError("orientations need at least one frame, got none")
    flips = np.where(np.sum(quaternions[1:] * quaternions[:-1], axis=-1) < 0, -1.0, 1.0)
    first = np.where(quaternions[:1, :, :1] < 0, -1.0, 1.0)[..., 0]
    return quaternions * np.cumprod(np.concatenate([first, flips]), axis=0)[..., None]
