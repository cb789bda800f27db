"""Periodic cells: heights, wrapping and the minimum image of any triclinic cell.

Lattice vectors are the rows of `cell`, as in ASE.
"""

import numpy as np

__all__ = ["cell_heights_A", "minimum_image", "scaled", "shortest_distance_A", "wrap"]


def cell_heights_A(cell):
    """Return the three distances between opposite faces, Å, shape (3,)."""
    return 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)


def scaled(positions_A, cell):
    """Return fractional coordinates, same shape as `positions_A`."""
    return positions_A @ np.linalg.inv(cell)


def wrap(positions_A, cell):
    """Return `positions_A` moved into the cell (fractions in [0, 1))."""
    fractions = scaled(positions_A, cell)
    fractions -= np.floor(fractions)
    fractions[fractions >= 1.0] = 0.0
    return fractions @ cell


def shortest_distance_A(positions_A, cell):
    """Return the smallest distance between two positions, or a position and its own image, Å.

    Parameters
    ----------
    positions_A
        Shape (n, 3), n at least 1, Å.
    cell
        Lattice vectors as rows, shape (3, 3), Å; any shape of cell.

    Returns
    -------
    float
        Limits: a lone position gives the shortest lattice vector, coinciding ones zero.
    """
    from ase.geometry import minkowski_reduce
    from scipy.spatial import cKDTree

    reduced, _ = minkowski_reduce(np.asarray(cell, dtype=float), pbc=True)
    inside = wrap(np.asarray(positions_A, dtype=float), reduced)
    shifts = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]) @ reduced
    images = (inside + shifts[:, None, :]).reshape(-1, 3)
    return float(cKDTree(images).query(inside, k=2)[0][:, 1].min())


def minimum_image(vectors_A, cell):
    """Return the shortest periodic image of each vector.

    Parameters
    ----------
    vectors_A
        Displacements, shape (..., 3), Å.
    cell
        Lattice vectors as rows, shape (3, 3), Å; any shape of cell.

    Returns
    -------
    ndarray
        Same shape, Å. The search runs over the images of the Minkowski-reduced cell, where the 27
        nearest contain the shortest one (P. Q. Nguyen and D. Stehlé, ACM Trans. Algorithms 5, 46 (2009)).
    """
    from ase.geometry import minkowski_reduce

    vectors_A = np.asarray(vectors_A, dtype=float)
    reduced, _ = minkowski_reduce(np.asarray(cell, dtype=float), pbc=True)
    fractions = vectors_A @ np.linalg.inv(reduced)
    nearest = (fractions - np.round(fractions)) @ reduced
    shifts = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]) @ reduced
    best = nearest
    best_squared = np.sum(best**2, axis=-1)
    for shift in shifts:
        candidate = nearest + shift
        squared = np.sum(candidate**2, axis=-1)
        closer = squared < best_squared
        best = np.where(closer[..., None], candidate, best)
        best_squared = np.minimum(squared, best_squared)
    return best
