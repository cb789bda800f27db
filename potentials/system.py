"""Everything prepared for one composition in (nearly) one cell: types, charges, splitting, lists, meshes.

Pairs are summed in real_space.py, Coulomb beyond them in ewald_sum.py (exact) and mesh.py (production).
"""

import logging
import math

import numpy as np
from ase.data import chemical_symbols

from potentials.errors import NetChargeError
from potentials.ewald_sum import EwaldSum
from potentials.mesh import ParticleMesh
from potentials.real_space import FEWEST_IONS_FOR_TWO_THREADS, RealSpace
from potentials.splitting import choose_splitting
from simtools.core.accelerate import compute_threads
from simtools.core.errors import ConfigError, ShapeError, UnknownSpeciesError
from simtools.core.threads import at_once

logger = logging.getLogger(__name__)

EXACT_SCREENING = 6.2
"""alpha times cutoff of the exact sum: erfc(6.2) = 2e-18."""
NEGLIGIBLE_SHARE = 0.03
"""Part of the accuracy that one pair force beyond the Coulomb cutoff may be left out with."""
TABLE_SHARE = 0.02
"""Part of the accuracy that one pair force may lose to its table."""
NEUTRAL_FORCE_EV_PER_A = 0.05
"""RMS force in a crystal or liquid of neutral atoms: what accuracy is relative to without charges."""


class IonicSystem:
    """One composition in (nearly) one cell, with all that was prepared for it: rigid ions.

    Attributes
    ----------
    numbers, type_n, charges_n
        Atomic numbers, indices into `ForceField.species` and charges (e) of the ions.
    topology, given
        Species and molecules of the atoms where elements alone do not say them, and the arrays that said so.
    tuning
        Splitting, cutoff and mesh, JSON-able.
    real_space, reciprocal
        What sums the pairs, and Coulomb beyond them.
    """

    def __init__(self, calculator, numbers, cell, tuning, topology=None):
        field = calculator.field
        self.numbers, self.tuned_cell, self.last_cell = numbers, cell, cell
        self.topology, self.given = topology, None
        self.type_n = find_types(field, numbers) if topology is None else topology.type_n
        charges_n = np.array([field.charges_e[species] for species in field.species])[self.type_n]
        self.charges_n, self.electric_field_c = charges_n, calculator.electric_field_V_per_A
        self.net_charge_e = math.fsum(charges_n)
        self.is_charged_cell = not field.is_neutral(field.species[i] for i in self.type_n)
        if self.is_charged_cell and calculator.net_charge != "background":
            raise NetChargeError(self.net_charge_e, _charge_balance(field, self.type_n))
        if self.is_charged_cell and self.electric_field_c is not None:
            raise ConfigError(
                "electric_field_V_per_A needs a neutral cell, got a net charge of "
                f"{self.net_charge_e:+.6g} e ({_charge_balance(field, self.type_n)})"
            )
        self.tuning = self._tuned(calculator, cell) if tuning is None else tuning
        self.force_scale_eV_per_A = self.tuning.get("force_scale_eV_per_A", NEUTRAL_FORCE_EV_PER_A)
        self._extra_energy_n = 0.0
        self._prepare(calculator, cell)
        logger.debug("settings for %d ions: %s", len(numbers), self.tuning)

    def _tuned(self, calculator, cell):
        return tune(calculator, cell, self.charges_n)

    def _prepare(self, calculator, cell):
        self._prepare_sums(calculator, cell, calculator.field, self.type_n, self.charges_n)

    def _prepare_sums(self, calculator, cell, field, type_n, charges_n, **pairs):
        """Make `real_space` and `reciprocal` for these particles; `pairs` are options of `RealSpace`."""
        alpha = self.tuning["alpha_per_A"]
        self.real_space = self._pair_sum(calculator, field, type_n, **pairs)
        self.reciprocal = None
        if calculator.coulomb == "ewald":
            self.reciprocal = EwaldSum(cell, charges_n, alpha, relative_accuracy=1e-16)
        elif calculator.coulomb == "pme":
            self.reciprocal = ParticleMesh(
                cell,
                charges_n,
                alpha,
                mesh_shape=tuple(self.tuning["mesh_shape"]),
                order=self.tuning["mesh_order"],
            )

    def _pair_sum(self, calculator, field, type_n, **pairs):
        allowed = calculator.accuracy * self.force_scale_eV_per_A
        return RealSpace(
            field,
            type_n,
            alpha=self.tuning["alpha_per_A"],
            coulomb_cutoff_A=self.tuning["coulomb_cutoff_A"],
            skin_A=calculator.skin_A,
            method=calculator.pair_terms,
            negligible_force_eV_per_A=NEGLIGIBLE_SHARE * allowed,
            table_force_error_eV_per_A=TABLE_SHARE * allowed,
            **pairs,
        )

    @property
    def threads(self):
        """How many threads one evaluation uses: never more than two, and one for few particles."""
        n_particles = len(self.real_space.neighbours.type_n)
        if self.reciprocal is None or n_particles < FEWEST_IONS_FOR_TWO_THREADS:
            return 1
        return min(2, compute_threads())

    def polarization_e_A(self, positions_nc):
        """Return the sum of charge times position over all ions, shape (3,), e Å."""
        return self.charges_n @ positions_nc

    def compute(self, positions_nc, cell, stress):
        """Return energy, forces and dE/dstrain (None unless wanted); the field has no part in the last."""
        energy, forces_nc, virial_cc, self._extra_energy_n = self._sum(positions_nc, cell, stress)
        if self.electric_field_c is not None:
            field_energy_n = -self.charges_n * (positions_nc @ self.electric_field_c)
            energy += float(field_energy_n.sum())
            forces_nc += self.charges_n[:, None] * self.electric_field_c
            self._extra_energy_n = self._extra_energy_n + field_energy_n
        return energy, forces_nc, virial_cc

    def energies(self):
        """Return every ion's share of the energy last computed, shape (n_atoms,), eV: half of each pair."""
        return self.real_space.energies() + self._extra_energy_n

    def _sum(self, positions_nc, cell, stress):
        """Return energy, forces, dE/dstrain (None unless wanted) and reciprocal energies of the particles."""
        self.real_space.expect_pairs(stress)
        if self.reciprocal is None:
            energy, reciprocal_n = 0.0, 0.0
            forces_nc = np.zeros((len(positions_nc), 3))
            virial_cc = np.zeros((3, 3))
            self.real_space.sum_pairs(positions_nc, cell)
        else:
            energy, reciprocal_n, forces_nc, virial_cc = at_once(
                lambda: self.reciprocal.compute(positions_nc, cell, stress=stress),
                lambda prepared: self.real_space.sum_pairs(positions_nc, cell, prepared),
                help_second=self.real_space.help_with_pairs,
                worth_it=self.threads > 1,
            )
        real_energy, real_virial_cc = self.real_space.add_forces(forces_nc)
        if stress:
            virial_cc = virial_cc + real_virial_cc
        return energy + real_energy, forces_nc, virial_cc if stress else None, reciprocal_n

    def get_state(self):
        """Return the memory that the next answer depends on, as arrays."""
        return list_state(self.real_space)

    def set_state(self, state):
        """Take back what `get_state` gave."""
        set_list_state(self.real_space, state)


def list_state(real_space):
    """Return what the neighbour list of a `RealSpace` was made from, as arrays."""
    neighbours = real_space.neighbours
    if neighbours.reference_positions_nc is None:
        return {}
    return {
        "reference_positions_A": neighbours.reference_positions_nc.copy(),
        "reference_cell_A": neighbours.reference_cell.copy(),
    }


def set_list_state(real_space, state):
    """Make the neighbour list again from what `list_state` gave."""
    if "reference_positions_A" not in state:
        return
    reference = np.array(state["reference_positions_A"], dtype=float)
    n_particles = len(real_space.neighbours.type_n)
    if reference.shape != (n_particles, 3):
        raise ShapeError("reference_positions_A", f"({n_particles}, 3)", reference.shape)
    real_space.neighbours.rebuild(reference, np.array(state["reference_cell_A"], dtype=float))


def find_types(field, numbers):
    """Return the index into `ForceField.species` of every atom."""
    index = {species: i for i, species in enumerate(field.species)}
    types = np.empty(len(numbers), dtype=np.int64)
    for number in np.unique(numbers):
        symbol = chemical_symbols[number]
        if symbol not in index:
            raise UnknownSpeciesError(symbol, field.species)
        types[numbers == number] = index[symbol]
    return types


def _charge_balance(field, type_n):
    counts = np.bincount(type_n, minlength=len(field.species))
    return " ".join(
        f"{count} {species} x {field.charges_e[species]:+g}"
        for species, count in zip(field.species, counts, strict=True)
        if count
    )


def tune(calculator, cell, charges_n, safety=1.0):
    """Return the splitting (and for "pme" the mesh) for this cell as a JSON-able dict.

    `safety` is the part of the accuracy that splitting and mesh are chosen for.
    """
    if calculator.coulomb == "none":
        return {"alpha_per_A": 0.0, "coulomb_cutoff_A": 0.0}
    if calculator.coulomb == "ewald":
        cutoff = calculator.cutoff_A
        if cutoff is None:
            density = len(charges_n) / abs(np.linalg.det(cell))
            cutoff = float(
                np.clip(4.0 * (len(charges_n) / 40.0) ** (1.0 / 6.0) * density ** (-1.0 / 3.0), 6.0, 18.0)
            )
        return {"alpha_per_A": EXACT_SCREENING / cutoff, "coulomb_cutoff_A": cutoff}
    chosen = choose_splitting(
        cell, charges_n, accuracy=safety * calculator.accuracy, cutoff_A=calculator.cutoff_A
    )
    return {
        "alpha_per_A": float(chosen.alpha),
        "coulomb_cutoff_A": float(chosen.cutoff_A),
        "mesh_shape": [int(n) for n in chosen.mesh_shape],
        "mesh_order": int(chosen.order),
        "estimated_relative_rms_force_error": float(chosen.predicted_error),
        "force_scale_eV_per_A": float(chosen.rms_force_eV_per_A),
    }
