"""Energy, forces and virial of everything summed over pairs. Reciprocal space: ewald_sum.py, mesh.py."""

import math
from dataclasses import replace

import numpy as np

from potentials.errors import CloseContactError, NonFiniteError
from potentials.kernels import pair as kernels
from potentials.neighbours import NeighbourList
from potentials.tables import ORDINARY_FORCE_EV_PER_A, fit_tables, pair_energy_and_slope, pair_ranges

FEWEST_IONS_FOR_TWO_THREADS = 150
"""Below this, waking a second thread takes longer than what it saves."""
PATIENCE = 50_000
"""How often one thread looks for the end of the other, some 50 microseconds, before it goes to sleep."""
COURTESY = 10_000
"""How often the second thread looks whether the first has gone on, before it asks for Python's lock."""


SHARES = np.array([0.25, 0.2, 0.16, 0.13, 0.1, 0.08, 0.05, 0.03])
"""Parts of the atoms whose pairs are summed at one go. The last are small: then two threads end together."""
SHARES_OF_FEW = np.array([0.4, 0.3, 0.2, 0.1])
"""The same for small cells, in which nearly every part touches nearly every atom."""
FEW_IONS = 1000


def block_starts(n_ions):
    """Return where blocks begin and the last ends: the same for one thread and for two, which share them."""
    if n_ions < FEWEST_IONS_FOR_TWO_THREADS:
        return np.array([0, n_ions])
    shares = SHARES_OF_FEW if n_ions < FEW_IONS else SHARES
    return np.rint(np.concatenate([[0.0], np.cumsum(shares)]) * n_ions).astype(np.int64)


class RealSpace:
    """Short-range terms and the real-space Coulomb half of one system.

    Parameters
    ----------
    field
        The force field.
    type_n
        Index into ``field.species`` of every atom, shape (n_atoms,).
    alpha
        Ewald splitting, 1/Å; 0 without Coulomb.
    coulomb_cutoff_A
        Cutoff of ``erfc(alpha r)/r``, Å; 0 without Coulomb.
    skin_A
        Neighbour-list skin, Å.
    method
        "tables" (production: cubic tables in r²) or "exact" (forms and erfc evaluated pair by pair).
    negligible_force_eV_per_A
        Pair terms weaker than this beyond the Coulomb cutoff are not listed there (tables only).
    table_force_error_eV_per_A
        What the tables may add to the error of a pair force, eV/Å.
    floor_tt
        Closest distances of the types, Å; by default the turning points of `field`.
    partner_n
        Another atom that each atom does not interact with, -1 for none, shape (n_atoms,): see
        `NeighbourList`.
    molecules
        Molecules whose atoms do not interact with each other here: see `NeighbourList`.
    summed_tt
        Which pairs of types are summed here, shape (n_types, n_types); by default all that interact.
    ordinary_force_eV_per_A
        Largest pair force for which the tables are held to their error, eV/Å.
    """

    def __init__(
        self,
        field,
        type_n,
        *,
        alpha,
        coulomb_cutoff_A,
        skin_A,
        method,
        negligible_force_eV_per_A=0.0,
        table_force_error_eV_per_A=1e-6,
        floor_tt=None,
        partner_n=None,
        molecules=None,
        summed_tt=None,
        ordinary_force_eV_per_A=ORDINARY_FORCE_EV_PER_A,
    ):
        self.field, self.alpha, self.method = field, alpha, method
        exact = method == "exact"
        self.ranges = pair_ranges(
            field,
            coulomb_cutoff_A=coulomb_cutoff_A,
            negligible_force_eV_per_A=0.0 if exact else negligible_force_eV_per_A,
            floor_tt=floor_tt,
        )
        if summed_tt is not None:
            self.ranges = replace(self.ranges, list_tt=np.where(summed_tt, self.ranges.list_tt, 0.0))
        self.neighbours = NeighbourList(type_n, self.ranges.list_tt, skin_A, partner_n, molecules)
        self.tables = None
        if not exact:
            self.tables = fit_tables(
                field,
                self.ranges,
                alpha=alpha,
                force_error_eV_per_A=table_force_error_eV_per_A,
                ordinary_force_eV_per_A=ordinary_force_eV_per_A,
            )
            self._inverse_inner2 = 1.0 / self.tables.inner_A**2
            self._table_arguments = (
                self.tables.coefficients_pbk,
                self.tables.index_tt, self.tables.top_tt, self._inverse_inner2, self.tables.base,
                self.tables.shift_bits,
            )  # fmt: skip
            coefficients_pbk = np.ascontiguousarray(self.tables.coefficients_pbk)
            n_bins = coefficients_pbk.shape[1]
            self._tables = (coefficients_pbk.reshape(-1), n_bins, *self._table_arguments[1:])
        self._start_b = block_starts(len(type_n))
        n_blocks = len(self._start_b) - 1
        self._touched_bc = np.zeros((n_blocks, 4), dtype=np.int64)
        self._energy_b, self._virial_bs = np.empty(n_blocks), None
        self._next_block = np.full(1, n_blocks, dtype=np.int64)
        self._left = np.zeros(1, dtype=np.int64)
        self._followed_build = None
        self._r_x, self._slot_x = np.empty(0), np.empty(0, dtype=np.uint32)
        self._f_bi, self._f_i = np.empty((n_blocks, 4 * len(type_n))), np.empty(4 * len(type_n))
        self._virial_cc = np.empty((3, 3))

    def compute(self, positions_nc, cell, force_nc):
        """Add the pair forces to `force_nc` (eV/Å) and return energy (eV) and dE/dstrain (eV, (3, 3))."""
        self.expect_pairs(True)
        self.sum_pairs(positions_nc, cell)
        return self.add_forces(force_nc)

    def expect_pairs(self, stress):
        """Say that a `sum_pairs` is to come, with the virial or without; before it and `help_with_pairs`."""
        self._virial_bs = np.empty((len(self._energy_b), 6)) if stress else None
        self._left[0] = 0

    def sum_pairs(self, positions_nc, cell, prepared=None):
        """Sum over pairs and keep their forces for `add_forces`.

        `prepared()` is called, whatever happens, when `help_with_pairs` in another thread can take its part.
        """
        try:
            if self.tables is None:
                self._sum_exactly(positions_nc, cell)
                return
            places = self.neighbours.places(positions_nc, cell)
            if places is not None:
                self._follow_list()
                patience = 0 if prepared is None else COURTESY
                if kernels.place_and_sum(places, self._force_arguments(), self._left, patience):
                    return
            self._rebuild(positions_nc, cell)
        finally:
            if prepared is not None:
                prepared()
        kernels.table_forces(*self._force_arguments())

    def _sum_exactly(self, positions_nc, cell):
        self.neighbours.update(positions_nc, cell)
        self._f_xc = np.zeros_like(self.neighbours.r_xc)
        self._exact_energy = float(self._exact().sum())

    def _rebuild(self, positions_nc, cell):
        self.neighbours.rebuild(positions_nc, cell)
        self._follow_list()
        self._next_block[0] = 0

    def _follow_list(self):
        """Make what has the shape of the list anew after the list was, by whomever."""
        nb = self.neighbours
        if self._followed_build == nb.n_builds:
            return
        self._followed_build = nb.n_builds
        self._r_x, self._slot_x = nb.r_xc.reshape(-1), (4 * nb.home_x).astype(np.uint32)
        kernels.touched_atoms(
            self._start_b, nb.first_it, nb.neighbour_k, nb.home_x, nb.n_types, self._touched_bc
        )

    def help_with_pairs(self):
        """Sum the blocks of pairs that `sum_pairs` in another thread has not come to.

        Returns True when that thread is known to have done with them. To be called after `expect_pairs`.
        """
        if not kernels.has_begun(self._next_block, len(self._energy_b), self._left, PATIENCE):
            return False
        has_left = kernels.help_and_wait(self._force_arguments(), self._left, PATIENCE)
        if has_left:
            self._left[0] = 2
        return has_left

    def _force_arguments(self):
        nb = self.neighbours
        return (
            self._r_x, nb.type_x, nb.first_it, nb.neighbour_k, *self._tables, self._slot_x,
            self._start_b, self._touched_bc, self._virial_bs, self._next_block, self._f_bi, self._energy_b,
        )  # fmt: skip

    def add_forces(self, force_nc):
        """Add what `sum_pairs` kept to `force_nc`; return the energy, eV, and dE/dstrain, eV, (3, 3).

        Raises
        ------
        CloseContactError, NonFiniteError
            Where energy or forces are no numbers.
        """
        nb = self.neighbours
        if self.tables is None:
            energy = self._exact_energy
            if not kernels.fold_forces(self._f_xc, nb.r_xc, nb.owner_x, 1.0, force_nc, self._virial_cc):
                energy = np.nan
        else:
            energy = kernels.join_blocks(
                self._f_bi, self._touched_bc, self._virial_bs, self._energy_b, nb.order_n,
                2.0 * self._inverse_inner2, self._f_i, force_nc, self._virial_cc,
            )  # fmt: skip
        if not math.isfinite(energy):
            self._explain(force_nc)
        return energy, self._virial_cc

    def energies(self):
        """Return the pair energy of every atom at the positions last computed, eV: half of each pair."""
        nb = self.neighbours
        if self.tables is None:
            return self._exact()
        energy_n = np.zeros(nb.n_local)
        kernels.table_energies(
            nb.r_xc, nb.type_x, nb.owner_x, nb.first_it, nb.neighbour_k, *self._table_arguments, energy_n
        )
        return energy_n

    def pairs(self):
        """Return the pairs within their cutoffs: owners, in the caller's order, and distances, Å."""
        i_p, j_p, r_p = self._pairs()
        return self.neighbours.owner_x[i_p], self.neighbours.owner_x[j_p], r_p

    def _pairs(self):
        nb = self.neighbours
        i_p = np.empty(len(nb.neighbour_k), dtype=np.int64)
        j_p, r_p = np.empty_like(i_p), np.empty(len(i_p))
        n_pairs = kernels.list_pairs(
            nb.r_xc, nb.type_x, nb.first_it, nb.neighbour_k, self.ranges.list_tt**2, i_p, j_p, r_p
        )
        return i_p[:n_pairs], j_p[:n_pairs], r_p[:n_pairs]

    def _exact(self):
        nb = self.neighbours
        i_p, j_p, r_p = self._pairs()
        type_i, type_j = nb.type_x[i_p], nb.type_x[j_p]
        self._refuse_close_pairs(i_p, j_p, r_p)
        energy_p, slope_p = np.zeros(len(r_p)), np.zeros(len(r_p))
        for i, a in enumerate(self.field.species):
            for j, b in enumerate(self.field.species):
                chosen = np.flatnonzero((type_i == i) & (type_j == j))
                if len(chosen):
                    energy_p[chosen], slope_p[chosen] = pair_energy_and_slope(
                        self.field, a, b, r_p[chosen], alpha=self.alpha,
                        short_A=self.ranges.short_tt[i, j], coulomb_A=self.ranges.coulomb_A,
                    )  # fmt: skip
        energy_n = np.zeros(nb.n_local)
        self._f_xc[:] = 0.0
        kernels.spread_pairs(nb.r_xc, nb.owner_x, i_p, j_p, energy_p, slope_p / r_p, energy_n, self._f_xc)
        return energy_n

    def _refuse_close_pairs(self, i_p, j_p, r_p):
        nb = self.neighbours
        floor_p = self.ranges.floor_tt[nb.type_x[i_p], nb.type_x[j_p]]
        if self.tables is not None:
            floor_p = np.maximum(floor_p, self.tables.inner_A * 2.0**-6.5)
        close = np.flatnonzero(r_p <= floor_p)
        if len(close):
            p = close[np.argmin(r_p[close] - floor_p[close])]
            atoms = (int(nb.owner_x[i_p[p]]), int(nb.owner_x[j_p[p]]))
            species = tuple(self.field.species[nb.type_n[n]] for n in atoms)
            raise CloseContactError(atoms, species, float(r_p[p]), float(floor_p[p]))

    def _explain(self, force_nc):
        self._refuse_close_pairs(*self._pairs())
        bad = np.flatnonzero(~np.isfinite(force_nc).all(axis=1))
        raise NonFiniteError("force", int(bad[0]) if len(bad) else 0)
