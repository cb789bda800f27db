"""Dynamics of rigid molecules: the ensembles of dynamics.py with bodies in place of their atoms.

Free motion and what a body is: rigid_bodies.py. Everything is reversible, symplectic without a thermostat,
and continued bit for bit.

References
----------
.. [1] T. F. Miller III et al., J. Chem. Phys. 116, 8649 (2002). doi:10.1063/1.1473654
.. [2] A. Dullweber, B. Leimkuhler and R. McLachlan, J. Chem. Phys. 107, 5840 (1997). doi:10.1063/1.474310
"""

import math

import numpy as np

from simtools.core.units import BOLTZMANN_EV_PER_K, EV_PER_A3_TO_GPA
from simtools.md.dynamics import (
    BussiDynamics,
    IsotropicNPT,
    LangevinDynamics,
    NoseHooverDynamics,
    VelocityVerlet,
    exprel,
)
from simtools.md.rigid_bodies import RigidBodies

__all__ = [
    "RigidBussi",
    "RigidLangevin",
    "RigidNPT",
    "RigidNoseHoover",
    "RigidVerlet",
    "build_rigid_dynamics",
]


class RigidMotion:
    """What bodies change of an integrator; comes before it in a class's bases.

    Parameters
    ----------
    evaluator, timestep_fs
        As for the integrator; the atoms need the array ``molecule_id``.
    rigid
        A `simtools.md.rigid_bodies.RigidMolecules`.
    held_n
        Which atoms never move, or None; one of a molecule holds the centre of mass.
    """

    def __init__(self, evaluator, timestep_fs, *, rigid, held_n=None, **options):
        atoms = evaluator.atoms
        if not atoms.has("momenta"):
            atoms.set_momenta(np.zeros((len(atoms), 3)))
        self.bodies = RigidBodies(atoms, rigid, held_n)
        super().__init__(evaluator, timestep_fs, degrees_of_freedom=self.bodies.degrees_of_freedom, **options)
        self.bodies.write_momenta(self.momenta)

    def step(self, stress=False):
        """Move one time step."""
        super().step(stress)
        self.bodies.write_momenta(self.momenta)

    def _kick(self):
        self._push(0.5 * self.dt)

    def _push(self, interval):
        forces_uc, torques_bc = self.bodies.forces_and_torques(self.evaluator.forces_eV_A)
        self.bodies.momenta_uc += interval * forces_uc
        self.bodies.angular_bc += interval * torques_bc

    def _drift(self, interval_over_m):
        interval = self.dt if interval_over_m is self._dt_over_m else 0.5 * self.dt
        bodies = self.bodies
        bodies.centres_uc += interval * bodies.momenta_uc / bodies.masses_u1
        bodies.rotate(interval)
        bodies.place(self.positions)

    def _scale(self, factor):
        self.bodies.scale(factor)

    def make_rotation_thermal(self):
        """Turn the rotation of freshly drawn atoms into a thermal one of the scaled inertia."""
        self.bodies.make_rotation_thermal()
        self.bodies.write_momenta(self.momenta)

    def kinetic_energy_eV(self):
        """Return the kinetic energy of translation and rotation, eV."""
        return self.bodies.translational_energy_eV() + self.bodies.rotational_energy_eV()

    def translational_temperature_K(self):
        """Return the kinetic temperature of the centres of mass, K; NaN where all are held."""
        n = self.bodies.n_translational
        if n == 0:
            return math.nan
        return 2 * self.bodies.translational_energy_eV() / (n * BOLTZMANN_EV_PER_K)

    def rotational_temperature_K(self):
        """Return the kinetic temperature of the rotation, K; NaN where nothing rotates."""
        if self.bodies.n_rotational == 0:
            return math.nan
        return 2 * self.bodies.rotational_energy_eV() / (self.bodies.n_rotational * BOLTZMANN_EV_PER_K)

    def molecular_virial_eV(self):
        """Return the trace of dE/dstrain when only centres of mass follow the cell, eV."""
        atomic = float(self.evaluator.stress_eV_A3[:3].sum()) * self.volume_A3()
        return atomic + self.bodies.inner_virial_eV(self.evaluator.forces_eV_A)

    def pressure_GPa(self):
        """Return the molecular pressure with its kinetic part, GPa; NaN without a stress."""
        if self.evaluator.stress_eV_A3 is None:
            return math.nan
        kinetic = 2 * self.bodies.translational_energy_eV()
        return (kinetic - self.molecular_virial_eV()) / (3 * self.volume_A3()) * EV_PER_A3_TO_GPA

    def get_state(self):
        """Return the bodies beside what the integrator keeps."""
        return {**super().get_state(), "bodies": self.bodies.get_state()}

    def set_state(self, state):
        """Take back what `get_state` gave."""
        super().set_state(state)
        self.bodies.set_state(state["bodies"])


class RigidVerlet(RigidMotion, VelocityVerlet):
    """Constant energy: kick, free flight and free rotation, kick. Symplectic and reversible."""


class RigidBussi(RigidMotion, BussiDynamics):
    """Stochastic rescaling of all momenta, linear and angular, then a step at constant energy."""


class RigidNoseHoover(RigidMotion, NoseHooverDynamics):
    """One Nose-Hoover chain on translation and rotation together."""


class RigidLangevin(RigidMotion, LangevinDynamics):
    """Friction and noise on linear and angular momenta: reaches equilibrium fast, not for production."""

    def step(self, stress=False):
        """Kick, half a flight, friction and noise, half a flight, kick."""
        bodies = self.bodies
        self._kick()
        self._drift(self._half_dt_over_m)
        before = self.kinetic_energy_eV()
        spread = math.sqrt(1.0 - self._keep**2) * np.sqrt(self._kT_eV)
        noise = spread * np.sqrt(bodies.masses_u1) * self._rng.standard_normal(bodies.momenta_uc.shape)
        bodies.momenta_uc *= self._keep
        bodies.momenta_uc += self._at_rest(noise, bodies.masses_u1, bodies.held_u)
        if bodies.n_rotational:
            bodies.angular_bc *= self._keep
            twist = self._rng.standard_normal(bodies.angular_bc.shape)
            bodies.angular_bc += spread * np.sqrt(bodies.inertia_bc) * twist
        self._given_energy_eV += self.kinetic_energy_eV() - before
        self._drift(self._half_dt_over_m)
        self.evaluator.evaluate(stress=stress)
        self._kick()
        bodies.write_momenta(self.momenta)


class RigidNPT(RigidMotion, IsotropicNPT):
    """Constant pressure: the cell carries centres of mass along, turns nothing; the virial is molecular."""

    def _kick_cell(self, interval):
        kinetic = 2 * self.bodies.translational_energy_eV() * self._coupling
        outer = 3 * self.volume_A3() * self.pressure_eV_A3
        self._p_strain += interval * (kinetic - self.molecular_virial_eV() - outer)

    @property
    def _coupling(self):
        return 1 + 3 / (3 * len(self.bodies.masses_u1) - 3)

    def _kick_ions(self, interval):
        forces_uc, torques_bc = self.bodies.forces_and_torques(self.evaluator.forces_eV_A)
        x = self._coupling * self._p_strain * interval / self._mass
        self.bodies.momenta_uc *= math.exp(-x)
        self.bodies.momenta_uc += interval * exprel(-x) * forces_uc
        self.bodies.angular_bc += interval * torques_bc

    def _move_ions_and_cell(self):
        bodies = self.bodies
        x = self.dt * self._p_strain / self._mass
        bodies.centres_uc *= math.exp(x)
        bodies.centres_uc += self.dt * exprel(x) * bodies.momenta_uc / bodies.masses_u1
        bodies.rotate(self.dt)
        self._strain += x
        self.atoms.cell[:] = self._cell0 * math.exp(self._strain)
        bodies.place(self.positions)


def build_rigid_dynamics(stage, evaluator, rng, rigid, *, held_n=None):
    """Return the integrator of rigid molecules that a `simtools.md.stages.Stage` asks for."""
    if stage.ensemble == "NVE":
        return RigidVerlet(evaluator, stage.timestep_fs, rigid=rigid, held_n=held_n)
    options = {"rigid": rigid, "temperature_K": stage.temperature_K, "tau_ps": stage.tau_ps}
    if stage.ensemble == "NPT":
        return RigidNPT(
            evaluator,
            stage.timestep_fs,
            pressure_GPa=stage.pressure_GPa,
            barostat_tau_ps=stage.barostat_tau_ps,
            **options,
        )
    options["held_n"] = held_n
    if stage.thermostat == "nose-hoover":
        return RigidNoseHoover(evaluator, stage.timestep_fs, **options)
    kind = {"bussi": RigidBussi, "langevin": RigidLangevin}[stage.thermostat]
    return kind(evaluator, stage.timestep_fs, rng=rng, **options)
