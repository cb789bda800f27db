"""Neighbour list with a skin, remade when atoms or cell have moved too far. Loops: kernels/neighbours.py."""

import logging

import numpy as np

from potentials.errors import NonFiniteError
from potentials.kernels import neighbours as kernels

logger = logging.getLogger(__name__)

BINS_PER_REACH = 3


class NeighbourList:
    r"""Pairs of atoms within a cutoff, all periodic images included, each pair once.

    The list holds pairs up to cutoff + skin. It stays valid while

    .. math:: (r_c + u_1 + u_2) \max(1, \lVert F^{-1} \rVert_2) \le r_c + \text{skin},

    where r_c is the largest cutoff, F the deformation of the cell since the list was made and u_1, u_2 the
    two largest displacements beside that deformation; otherwise it is made again. A list is a pure function
    of `reference_positions_nc` and `reference_cell`, so restoring these two continues a run bit for bit.

    Parameters
    ----------
    type_n
        Type index of every atom, shape (n_atoms,).
    cutoff_tt
        Cutoff of every pair of types, Å, shape (n_types, n_types), symmetric; 0 for pairs that never
        interact.
    skin_A
        Extra distance kept in the list, Å.
    partner_n
        For every atom another one, -1 for none, that it is not listed with: not that atom itself, at its
        unwrapped position; the partner's periodic images are other atoms and stay listed.
    molecules
        Something with ``molecule_n`` (shape (n_atoms,), -1 for none) and ``shifts(positions_nc, cell)``
        (lattice vectors that make its molecules whole): atoms of one molecule are not listed with each other,
        wherever they are wrapped to; its periodic images stay listed.

    Attributes
    ----------
    r_xc : ndarray
        Current positions of local atoms (spatially sorted), then of their images, Å, shape
        (n_local + n_images, 4); the last column is unused.
    type_x, owner_x, home_x : ndarray
        Type, index in the caller's order and in the sorted order (of an image: of its atom) of each of these.
    order_n : ndarray
        Index in the caller's order of every local atom, sorted.
    first_it, neighbour_k : ndarray
        Neighbours of type t of sorted atom i: ``neighbour_k[first_it[i * n_types + t]:first_it[... + 1]]``.
    n_builds : int
        How often the list was made.
    """

    def __init__(self, type_n, cutoff_tt, skin_A, partner_n=None, molecules=None):
        self.type_n = np.ascontiguousarray(type_n, dtype=np.int64)
        self.cutoff_tt = np.ascontiguousarray(cutoff_tt, dtype=float)
        self.skin_A = float(skin_A)
        self.partner_n = None if partner_n is None else np.ascontiguousarray(partner_n, dtype=np.int64)
        self.molecules = molecules
        self.cutoff_A = float(self.cutoff_tt.max())
        self.n_types = len(self.cutoff_tt)
        self.n_builds = 0
        self.reference_positions_nc = None
        self.reference_cell = None
        self._last_cell = None
        self._shape_of = None
        self._reach_tt = np.where(self.cutoff_tt > 0.0, self.cutoff_tt + self.skin_A, 0.0)
        self._neighbour_k = np.empty(0, dtype=np.uint32)

    def update(self, positions_nc, cell):
        """Bring `r_xc` to these positions (n_atoms, 3) and cell, Å; return True if the list was remade."""
        places = self.places(positions_nc, cell)
        if places is not None and kernels.move_atoms(*places):
            return False
        self.rebuild(positions_nc, cell)
        return True

    def places(self, positions_nc, cell):
        """Return the arguments of the kernel that moves the atoms of this list; None before there is one."""
        if self.reference_positions_nc is None:
            return None
        if cell.tobytes() != self._last_cell:
            self._last_cell = cell.tobytes()
            if np.array_equal(cell, self.reference_cell):
                self._deformation, self._inverse_norm = np.eye(3), 1.0
            else:
                self._deformation = np.linalg.solve(self.reference_cell, cell)
                self._inverse_norm = float(max(np.linalg.norm(np.linalg.inv(self._deformation), 2), 1.0))
        return (
            positions_nc, self.reference_positions_nc, self._deformation, self._inverse_norm, self.cutoff_A,
            self.skin_A, self.order_n, self._offset_nc, self._owner_g, self._shift_gc, cell, self.r_xc,
        )  # fmt: skip

    def rebuild(self, positions_nc, cell):
        """Make the list from these positions and this cell, which become the reference."""
        positions_nc = np.array(positions_nc, dtype=float)
        cell = np.array(cell, dtype=float)
        if self._shape_of != cell.tobytes():
            self._shape_of, self._shape = cell.tobytes(), self._shape_for(cell)
        inverse, margin_c, reach_c, bins_c, rows = self._shape
        sorted_atoms, placed, bad = kernels.arrange(
            positions_nc, self.type_n, cell, inverse, margin_c, reach_c, bins_c
        )
        if bad >= 0:
            raise NonFiniteError("position", int(bad))
        self.type_x, start_local_b, start_image_b = sorted_atoms
        self.order_n, self._offset_nc, self._owner_g, self._shift_gc, self.owner_x, self.r_xc = placed
        self.reference_positions_nc, self.reference_cell = positions_nc, cell
        self._last_cell = cell.tobytes()
        self._deformation, self._inverse_norm = np.eye(3), 1.0
        self.n_local = len(positions_nc)
        self.home_x = np.concatenate([np.arange(self.n_local), self._owner_g]).astype(np.int32)
        first_it = np.zeros(self.n_local * self.n_types + 1, dtype=np.int64)
        while True:
            total = kernels.fill_list(
                self.r_xc.reshape(-1),
                self.type_x,
                start_local_b,
                start_image_b,
                bins_c,
                self._reach_tt**2,
                *rows,
                first_it,
                self._neighbour_k,
            )
            if total >= 0:
                break
            self._neighbour_k = np.empty(int(-total), dtype=np.uint32)
        self.first_it = first_it
        if self.partner_n is not None:
            total = kernels.drop_partners(
                self.owner_x,
                self._lattice_xc(),
                self.partner_n,
                self.n_types,
                self.first_it,
                self._neighbour_k,
            )
        if self.molecules is not None:
            shift_nc = self.molecules.shifts(positions_nc, cell)
            total = kernels.drop_companions(
                self.owner_x,
                self._lattice_xc() - shift_nc[self.owner_x],
                self.molecules.molecule_n,
                self.n_types,
                self.first_it,
                self._neighbour_k,
            )
        self.neighbour_k = self._neighbour_k[: int(total)]
        self.n_builds += 1
        logger.debug(
            "neighbour list: %d atoms, %d images, %d pairs", self.n_local, len(self._owner_g), int(total)
        )

    def _shape_for(self, cell):
        """Return what the list takes from the cell alone: inverse, margin, reach, bins and their rows."""
        inverse = np.linalg.inv(cell)
        heights = 1.0 / np.linalg.norm(inverse, axis=0)
        reach = self.cutoff_A + self.skin_A
        margin_c = reach / heights * (1.0 + 1e-12) + 1e-12
        bins_c = _bins((1.0 + 2.0 * margin_c) * heights, reach, len(self.type_n))
        bin_cell = cell * ((1.0 + 2.0 * margin_c) / bins_c)[:, None]
        rows = _rows_within(bin_cell, self._reach_tt.max(axis=1))
        return inverse, margin_c, np.ceil(margin_c).astype(np.int64), bins_c, rows

    def _lattice_xc(self):
        """Return by how many lattice vectors each entry of `r_xc` is away from its atom as handed in."""
        local = -self._offset_nc
        return np.concatenate([local, local[self._owner_g] + self._shift_gc]).astype(np.int64)


def _bins(heights_A, reach_A, n_atoms):
    """Return numbers of bins along the axes: about `BINS_PER_REACH` to the reach, no crowd of empty ones."""
    bins_c = np.maximum((heights_A / (reach_A / BINS_PER_REACH)).astype(np.int64), 1)
    while np.prod(bins_c) > 16 * (n_atoms + 64):
        bins_c[np.argmax(bins_c)] = max(int(bins_c.max() * 0.8), 1)
    return bins_c


def _rows_within(bin_cell, reach_t):
    """Return the rows of bins within reach of some point of a bin, and where those of each type start.

    The distance between two bins is bounded from below by interval arithmetic along the axes of the
    triangular form of `bin_cell`: exact for right-angled bins.
    """
    lower = np.linalg.qr(bin_cell.T)[1].T  # lower triangular: the third axis alone reaches the third vector
    heights = 1.0 / np.linalg.norm(np.linalg.inv(bin_cell), axis=0)
    most = np.ceil(reach_t.max() / heights).astype(int) + 1
    steps = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), axis=-1)
    gap2 = np.zeros(steps.shape[:3])
    for axis in range(3):
        middle = steps @ lower[:, axis]
        gap2 += np.maximum(np.abs(middle) - np.abs(lower[:, axis]).sum() * (1.0 + 1e-9), 0.0) ** 2
    rows, starts = [], [0]
    for reach in reach_t:
        near = gap2 < reach**2
        a, b = np.nonzero(near.any(axis=2))
        first = near[a, b].argmax(axis=1) - most[2]
        last = most[2] - near[a, b, ::-1].argmax(axis=1)
        rows.append(np.stack([a - most[0], b - most[1], first, last], axis=1))
        starts.append(starts[-1] + len(a))
    return np.concatenate(rows).astype(np.int64), np.array(starts, dtype=np.int64)
