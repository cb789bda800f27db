"""Energy, forces and virial of everything summed over pairs. Reciprocal space: ewald_sum.py, mesh.py."""

from dataclasses import replace

import numpy as np

from potentials.errors import CloseContactError, NonFiniteError
from potentials.kernels import pair as kernels
from potentials.neighbours import NeighbourList
from potentials.tables import ORDINARY_FORCE_EV_PER_A, fit_tables, pair_energy_and_slope, pair_ranges


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
        self._f_xc = np.empty((0, 4))
        self._virial_cc = np.empty((3, 3))

    def compute(self, positions_nc, cell, force_nc):
        """Add the pair forces to `force_nc` (eV/Å) and return energy (eV) and dE/dstrain (eV, (3, 3))."""
        return self.add_forces(self.sum_pairs(positions_nc, cell), force_nc)

    def sum_pairs(self, positions_nc, cell):
        """Sum over pairs and keep their forces for `add_forces`; return the energy, eV."""
        nb = self.neighbours
        nb.update(positions_nc, cell)
        if len(self._f_xc) != len(nb.r_xc):
            self._f_xc = np.empty_like(nb.r_xc)
        if self.tables is None:
            return float(self._exact().sum())
        return kernels.table_forces(
            nb.r_xc, nb.type_x, nb.first_it, nb.neighbour_k, *self._table_arguments, self._f_xc
        )

    def add_forces(self, energy, force_nc):
        """Add what `sum_pairs` kept to `force_nc`; return its `energy`, eV, and dE/dstrain, eV, (3, 3).

        Raises
        ------
        CloseContactError, NonFiniteError
            Where energy or forces are no numbers.
        """
        nb = self.neighbours
        factor = 1.0 if self.tables is None else 2.0 * self._inverse_inner2
        finite = kernels.fold_forces(self._f_xc, nb.r_xc, nb.owner_x, factor, force_nc, self._virial_cc)
        if not (finite and np.isfinite(energy)):
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
