r"""Whole paths from wrapped positions, in cells of any shape that may change from frame to frame.

Images are counted in whole numbers on scaled coordinates, and paths are expressed in one reference cell:

.. math:: S_{t+1} = s_{t+1} + n_{t+1}, \qquad u_t = S_t h_\mathrm{ref}

with the integers :math:`n` chosen so that each step of :math:`S` is the shortest image in the cell of the
later frame. For a constant cell this is the toroidal-view-preserving scheme (TOR) [1]_. In a cell that
breathes, TOR takes up a random change of the cell's edge whenever an ion crosses a face, and the lattice view
:math:`S_t h_t` (image flags times the present cell) the change times the number of cells travelled [1]_ [2]_;
here an ion at rest in the scaled frame stays at rest, wherever the faces are. The diffusivity is that of the
mean cell, to the relative variance of its edges (1e-5).

References
----------
.. [1] J. T. Bullerjahn, S. von Bülow, M. Heidari, J. Hénin and G. Hummer, J. Chem. Theory Comput. 19, 3406
   (2023), doi:10.1021/acs.jctc.3c00308.
.. [2] M. Kulke and J. V. Vermaas, J. Chem. Theory Comput. 18, 6161 (2022), doi:10.1021/acs.jctc.2c00327.
"""

from itertools import product

import numpy as np

from simtools.core.periodic import cell_heights_A

__all__ = ["Unwrapper", "shortest_images"]

_NEIGHBOURS = np.array(list(product((-1, 0, 1), repeat=3)), dtype=float)


def shortest_images(steps_s, cell, reduction):
    """Return the whole cells to subtract from scaled steps so that each is shortest, shape (n, 3).

    Parameters
    ----------
    steps_s
        Scaled steps, shape (n, 3).
    cell
        Lattice vectors as rows, shape (3, 3), Å.
    reduction
        Integer matrix that turns `cell` into its Minkowski-reduced form, shape (3, 3).
    """
    reduced = reduction @ cell
    fractions = steps_s @ np.linalg.inv(reduction)
    images = np.round(fractions)
    rest = fractions - images
    lengths = np.linalg.norm(rest @ reduced, axis=1)
    open_cases = np.flatnonzero(lengths > 0.5 * cell_heights_A(reduced).min())
    if len(open_cases):
        candidates = rest[open_cases, None, :] - _NEIGHBOURS
        squared = np.sum((candidates @ reduced) ** 2, axis=-1)
        # ties go to the plain rounding, which comes in the middle of the list
        squared[:, len(_NEIGHBOURS) // 2] *= 1 - 1e-12
        images[open_cases] += _NEIGHBOURS[np.argmin(squared, axis=1)]
    return np.round(images @ reduction)


class Unwrapper:
    """Follows atoms from frame to frame; see the module for the scheme.

    Parameters
    ----------
    reference_cell_A
        Cell in which paths are expressed, shape (3, 3), Å.
    """

    def __init__(self, reference_cell_A):
        from ase.geometry import minkowski_reduce

        self._reference = np.asarray(reference_cell_A, dtype=float)
        _, self.reduction = minkowski_reduce(self._reference, pbc=True)
        self._last = self._images = None
        self.half_height_A = 0.5 * float(cell_heights_A(self.reduction @ self._reference).min())

    def unwrap(self, scaled_positions, cell, *, whole=False):
        """Return unwrapped positions and the length of each atom's step since the frame before.

        Parameters
        ----------
        scaled_positions
            Shape (n_atoms, 3); `whole` says that images are already counted in them.
        cell
            Lattice vectors of this frame as rows, shape (3, 3), Å.
        whole
            True for unwrapped coordinates: nothing is folded.

        Returns
        -------
        positions_A : ndarray
            Shape (n_atoms, 3), Å, in the reference cell.
        steps_A : ndarray
            Lengths in the cell of this frame, shape (n_atoms,), Å; zeros in the first frame.
        """
        if self._last is None:
            self._images = np.zeros_like(scaled_positions)
            steps_A = np.zeros(len(scaled_positions))
        else:
            steps = scaled_positions - self._last
            if not whole:
                folds = shortest_images(steps, cell, self.reduction)
                steps = steps - folds
                self._images -= folds
            steps_A = np.linalg.norm(steps @ cell, axis=1)
        self._last = scaled_positions
        return (scaled_positions + self._images) @ self._reference, steps_A
