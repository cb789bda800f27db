"""Ions with shells: sums over cores and shells, shells at rest, and what is left per ion.

The model is in shells.py, the search for rest in shell_relaxation.py, rigid ions in system.py.
"""

import logging

import numpy as np

from potentials.errors import CloseContactError, NonFiniteError, PolarizationCatastropheError
from potentials.shell_relaxation import Curvature, ShellHistory, refuse_unstable, relax_from
from potentials.shells import OwnCores, closest_distances_A, particle_field, shell_name, surrounding_stiffness
from potentials.system import IonicSystem, list_state, set_list_state, tune
from potentials.tables import ORDINARY_FORCE_EV_PER_A, largest_jump_eV_per_A

logger = logging.getLogger(__name__)

SHELL_SHARE = 0.5
"""Part of the force error that `accuracy` allows which a shell may still feel; ions feel a tenth of that."""
MESH_SAFETY = 0.6
"""A core and its shell see the mesh a little differently: up to 1.3 of the error of one ion was measured."""
EXACT_SHELL_TOLERANCE_EV_PER_A = 1e-8
"""Largest force left on a shell where all sums are exact."""
NOISE_GAIN = 0.3
"""By what the noise of relaxed shells is taken for noise of positions; 0.1 to 10 do about as well."""


class CoreShellSystem(IonicSystem):
    """One composition in (nearly) one cell with shells, which follow the ions without delay.

    Particles are the cores in the order of the ions, then the shells. At every call the shells are relaxed,
    so that energy, forces and stress are functions of the ions alone (pairs of cores, which stay where they
    are, are summed once per call); the force on an ion is that on core and
    shell together, and by the Hellmann-Feynman theorem its error is that of the forces left on the shells.

    Attributes
    ----------
    ion_m
        Index of the ion that every shell belongs to, shape (n_shells,).
    tolerance_eV_per_A
        Largest force left on a shell.
    displacement_mc
        Shells from their cores at the last call, Å, shape (n_shells, 3).
    n_evaluations
        How often forces were evaluated so far.
    """

    def _tuned(self, calculator, cell):
        """Split for the charges of whole ions: a core and its shell act as one at a distance."""
        charges_n = self.charges_n
        if not np.any(charges_n):
            shells = calculator.field.shells
            charges_n = np.array(
                [shells[s].charge_e if s in shells else 0.0 for s in calculator.field.species]
            )[self.type_n]
        return tune(calculator, cell, charges_n, MESH_SAFETY)

    def _prepare(self, calculator, cell):
        field = calculator.field
        particles = particle_field(field)
        species_n = [field.species[i] for i in self.type_n]
        self.ion_m = np.flatnonzero([species in field.shells for species in species_n])
        self.species_m = [species_n[ion] for ion in self.ion_m]
        shell_types = [particles.species.index(shell_name(species)) for species in self.species_m]
        self.type_p = np.concatenate([self.type_n, shell_types])
        charges_p = np.array([particles.charges_e[species] for species in particles.species])[self.type_p]
        n_ions, n_shells = len(self.type_n), len(self.ion_m)
        self.shell_charges_m = charges_p[n_ions:]
        partner_p = np.full(n_ions + n_shells, -1)
        partner_p[self.ion_m] = n_ions + np.arange(n_shells)
        partner_p[n_ions:] = self.ion_m
        self._particles = particles
        is_shell_t = np.arange(len(particles.species)) >= len(field.species)
        with_shells_tt = is_shell_t[:, None] | is_shell_t
        strongest = max(map(abs, particles.charges_e.values())) / max(
            1.0, *map(abs, field.charges_e.values())
        )
        shared = {
            "floor_tt": closest_distances_A(field, particles),
            "ordinary_force_eV_per_A": ORDINARY_FORCE_EV_PER_A * max(1.0, strongest) ** 2,
        }
        self._prepare_sums(
            calculator, cell, particles, self.type_p, charges_p,
            partner_n=partner_p, summed_tt=with_shells_tt, **shared,
        )  # fmt: skip
        self._core_space = self._pair_sum(
            calculator, particles, self.type_n, summed_tt=~with_shells_tt, **shared
        )
        self._resolution_eV_per_A = largest_jump_eV_per_A(
            particles, self.real_space.ranges, self.real_space.alpha
        )
        self._own = OwnCores(field, self.species_m, self.tuning["alpha_per_A"])
        self.tolerance_eV_per_A = calculator.shell_tolerance_eV_per_A
        if self.tolerance_eV_per_A is None:
            exact = calculator.coulomb == "ewald"
            allowed = SHELL_SHARE * calculator.accuracy * self.force_scale_eV_per_A
            self.tolerance_eV_per_A = EXACT_SHELL_TOLERANCE_EV_PER_A if exact else allowed
        self.history, self._curvature, self.stiffness_m = ShellHistory(), Curvature(), None
        self.displacement_mc = np.zeros((n_shells, 3))
        self.n_evaluations = 0

    def polarization_e_A(self, positions_nc):
        """Return the sum of charge times position, e Å, shape (3,); shells as last relaxed."""
        return self.charges_n @ positions_nc + self.shell_charges_m @ self.displacement_mc

    def compute(self, positions_nc, cell, stress):
        """Return energy, forces and dE/dstrain (None unless wanted) per ion, with the shells at rest."""
        if not np.isfinite(positions_nc).all():
            raise NonFiniteError("position", int(np.flatnonzero(~np.isfinite(positions_nc).all(axis=1))[0]))
        try:
            self._relax(positions_nc, cell, stress)
        except PolarizationCatastropheError as error:
            shell, distance_A = error.atom, error.displacement_A
            raise PolarizationCatastropheError(
                int(self.ion_m[shell]), self.species_m[shell], distance_A
            ) from None
        except CloseContactError as error:
            ions = tuple(self._ion(particle) for particle in error.atoms)
            raise CloseContactError(ions, error.species, error.distance_A, error.limit_A) from None
        except NonFiniteError as error:
            raise NonFiniteError(error.what, self._ion(error.atom)) from None
        energy, forces_pc, virial_cc, pull_m = self._answer
        forces_nc = self._per_ion(forces_pc)
        if self.electric_field_c is not None:
            forces_nc += self.charges_n[:, None] * self.electric_field_c
        if stress:
            inner_mc = pull_m[:, None] * self.displacement_mc
            if self.electric_field_c is not None:
                inner_mc -= self.shell_charges_m[:, None] * self.electric_field_c
            virial_cc = virial_cc + self.displacement_mc.T @ inner_mc
        return energy, forces_nc, virial_cc

    def energies(self):
        """Return every ion's share of the energy last computed, shape (n_atoms,), eV: half of each pair."""
        energy_n = self._per_ion(self.real_space.energies() + self._extra_energy_p)
        energy_n += self._core_space.energies()
        energy_n[self.ion_m] += self._own_energy_m
        return energy_n

    def _relax(self, positions_nc, cell, stress):
        """Bring the shells to rest; leave the sums over particles there in `_answer`."""
        stiffness_m = self.stiffness_m
        first = stiffness_m is None
        if first:
            self.real_space.neighbours.update(self._place(positions_nc, 0.0), cell)
            around_p = surrounding_stiffness(self._particles, self.type_p, *self.real_space.pairs())
            stiffness_m = self._own.spring_m + np.maximum(around_p[len(positions_nc) :], 0.0)
        noise_A = NOISE_GAIN * self.tolerance_eV_per_A / stiffness_m.min()
        forces_nc = np.zeros_like(positions_nc)
        self._between_cores = (forces_nc, *self._core_space.compute(positions_nc, cell, forces_nc))
        guess_mc = self.history.guess(positions_nc, cell, noise_A)
        if guess_mc is None:
            guess_mc = np.zeros_like(self.displacement_mc)

        def gradient(displacement_mc):
            return self._evaluate(positions_nc, cell, displacement_mc, stress)

        found_mc = relax_from(
            guess_mc,
            gradient,
            stiffness_m,
            self.tolerance_eV_per_A,
            self._resolution_eV_per_A,
            self._curvature,
        )
        if first:
            refuse_unstable(gradient, found_mc, stiffness_m)
            gradient(found_mc)
            self.stiffness_m = stiffness_m
        self.history.add(positions_nc, cell, found_mc)
        self.displacement_mc = found_mc

    def _evaluate(self, positions_nc, cell, displacement_mc, stress):
        """Sum over all particles, keep that in `_answer`, and return dE/d(displacement), eV/Å."""
        self.n_evaluations += 1
        n_ions = len(positions_nc)
        positions_pc = self._place(positions_nc, displacement_mc)
        energy, forces_pc, virial_cc, reciprocal_p = self._sum(positions_pc, cell, stress)
        core_forces_nc, core_energy, core_virial_cc = self._between_cores
        energy += core_energy
        forces_pc[:n_ions] += core_forces_nc
        if stress:
            virial_cc = virial_cc + core_virial_cc
        self._own_energy_m, pull_m = self._own.compute(displacement_mc)
        energy += float(self._own_energy_m.sum())
        slope_mc = pull_m[:, None] * displacement_mc - forces_pc[n_ions:]
        self._extra_energy_p = np.zeros(len(positions_pc)) + reciprocal_p
        if self.electric_field_c is not None:
            ions_n = -self.charges_n * (positions_nc @ self.electric_field_c)
            shells_m = -self.shell_charges_m * (displacement_mc @ self.electric_field_c)
            energy += float(ions_n.sum() + shells_m.sum())
            self._extra_energy_p += np.concatenate([ions_n, shells_m])
            slope_mc -= self.shell_charges_m[:, None] * self.electric_field_c
        self._answer = energy, forces_pc, virial_cc, pull_m
        return slope_mc

    def _place(self, positions_nc, displacement_mc):
        return np.concatenate([positions_nc, positions_nc[self.ion_m] + displacement_mc])

    def _per_ion(self, values_p):
        values_n = values_p[: len(self.type_n)].copy()
        values_n[self.ion_m] += values_p[len(self.type_n) :]
        return values_n

    def _ion(self, particle):
        n_ions = len(self.type_n)
        return int(particle) if particle < n_ions else int(self.ion_m[particle - n_ions])

    def get_state(self):
        """Return the memory that the next answer depends on, as arrays."""
        state = super().get_state()
        state.update({f"core_{name}": value for name, value in list_state(self._core_space).items()})
        if self.history.positions_knc:
            state["shell_stiffness_eV_per_A2"] = self.stiffness_m.copy()
            state["shell_history_positions_A"] = np.array(self.history.positions_knc)
            state["shell_history_displacements_A"] = np.array(self.history.displacements_kmc)
            if self._curvature.moves:
                state["shell_curvature_moves"] = np.array(self._curvature.moves)
                state["shell_curvature_changes"] = np.array(self._curvature.changes)
        return state

    def set_state(self, state):
        """Take back what `get_state` gave."""
        super().set_state(state)
        set_list_state(
            self._core_space,
            {name.removeprefix("core_"): state[name] for name in state if name.startswith("core_")},
        )
        if "shell_history_positions_A" not in state:
            return
        self.stiffness_m = np.array(state["shell_stiffness_eV_per_A2"], dtype=float)
        self.history.positions_knc = list(np.array(state["shell_history_positions_A"], dtype=float))
        self.history.displacements_kmc = list(np.array(state["shell_history_displacements_A"], dtype=float))
        self.displacement_mc = self.history.displacements_kmc[0]
        if "shell_curvature_moves" in state:
            self._curvature.moves = list(np.array(state["shell_curvature_moves"], dtype=float))
            self._curvature.changes = list(np.array(state["shell_curvature_changes"], dtype=float))
