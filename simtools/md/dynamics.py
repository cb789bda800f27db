"""Integrators: velocity Verlet and what thermostats and a barostat add to it. Stages: see protocols.py.

Why not ASE's classes: none of them hands over its thermostat, barostat and random state for a restart, and
their thermostats count 3N degrees of freedom. The equations of motion are the same, and the tests hold each
integrator against ASE's. Arrays are moved in place: about 0.01 ms per step for 320 ions.

Units inside are ASE's (eV, Å, amu; time in Å sqrt(amu/eV)).
"""

import math

import numpy as np
from ase import units

from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_EV_PER_K, EV_PER_A3_TO_GPA
from simtools.md.thermostats import (
    BussiThermostat,
    NoseHooverChain,
    restored_generator,
    stored_generator,
)

__all__ = [
    "BussiDynamics",
    "IsotropicNPT",
    "LangevinDynamics",
    "NoseHooverDynamics",
    "VelocityVerlet",
    "build_dynamics",
    "draw_momenta",
    "exprel",
    "remove_drift",
]

ASE_TIME_PER_PS = 1000 * units.fs


def draw_momenta(masses_amu, temperature_K, rng, *, at_rest=True):
    """Return Maxwell-Boltzmann momenta of a cell at rest, shape (n_atoms, 3), ASE units.

    The drift is taken out of a full draw, which leaves an exact canonical draw of the 3N - 3 remaining
    degrees of freedom: the mean kinetic energy is (3N - 3) kT/2 without any rescaling. ``at_rest=False``
    leaves the drift in, for cells in which held atoms take momentum up.
    """
    masses = np.asarray(masses_amu, dtype=float)[:, None]
    momenta = rng.standard_normal((len(masses), 3)) * np.sqrt(masses * BOLTZMANN_EV_PER_K * temperature_K)
    return remove_drift(momenta, masses) if at_rest else momenta


def remove_drift(momenta, masses):
    """Return `momenta` seen from the centre of mass; `masses` has shape (n_atoms, 1)."""
    return momenta - masses * (momenta.sum(axis=0) / masses.sum())


class VelocityVerlet:
    """Constant-energy dynamics, and the arithmetic that the other ensembles share.

    Parameters
    ----------
    evaluator
        A `simtools.md.forces.ForceEvaluator`; its atoms' positions and momenta are moved in place.
    timestep_fs
        Time step, fs.
    degrees_of_freedom
        3N - 3 by default, 3 per free atom with held ones; anything else is for comparisons with other codes.
    held_n
        Which atoms never move, shape (n_atoms,), or None; see `simtools.md.held.HeldAtoms`.

    References
    ----------
    .. [1] W. C. Swope, H. C. Andersen, P. H. Berens and K. R. Wilson, J. Chem. Phys. 76, 637 (1982).
       doi:10.1063/1.442716
    """

    needs_stress = False

    def __init__(self, evaluator, timestep_fs, *, degrees_of_freedom=None, held_n=None):
        atoms = evaluator.atoms
        if not atoms.has("momenta"):
            atoms.set_momenta(np.zeros((len(atoms), 3)))
        self.evaluator = evaluator
        self.atoms = atoms
        self.positions = atoms.arrays["positions"]
        self.momenta = atoms.arrays["momenta"]
        self.masses = atoms.get_masses()[:, None]
        self.held_n = held_n
        n_free = 3 * len(atoms) - 3 if held_n is None else 3 * int(np.count_nonzero(~held_n))
        self.degrees_of_freedom = degrees_of_freedom or n_free
        self.dt = timestep_fs * units.fs
        self._dt_over_m = np.repeat(self.dt / self.masses, 3, axis=1)
        self._half_over_m = np.repeat(0.5 / self.masses, 3, axis=1)
        self._work = np.empty_like(self.momenta)

    def start(self):
        """Compute what the first step needs unless a checkpoint or an earlier stage brought it."""
        missing = self.needs_stress and self.evaluator.stress_eV_A3 is None
        if self.evaluator.forces_eV_A is None or missing:
            self.evaluator.evaluate(stress=self.needs_stress)

    def step(self, stress=False):
        """Move one time step; `stress` asks for the stress at the new positions too."""
        self._kick()
        self._drift(self._dt_over_m)
        self.evaluator.evaluate(stress=stress)
        self._kick()

    def _kick(self):
        np.multiply(self.evaluator.forces_eV_A, 0.5 * self.dt, out=self._work)
        if self.held_n is not None:
            self._work[self.held_n] = 0.0
        self.momenta += self._work

    def _at_rest(self, momenta, masses, held):
        """Return drawn `momenta` without their drift or, where some are held, with those at zero."""
        if held is None:
            return remove_drift(momenta, masses)
        momenta[held] = 0.0
        return momenta

    def _drift(self, interval_over_m):
        np.multiply(self.momenta, interval_over_m, out=self._work)
        self.positions += self._work

    def _scale(self, factor):
        self.momenta *= factor

    def kinetic_energy_eV(self):
        """Return the kinetic energy, eV."""
        np.multiply(self.momenta, self.momenta, out=self._work)
        self._work *= self._half_over_m
        return float(np.add.reduce(self._work, axis=None))

    def temperature_K(self):
        """Return the kinetic temperature of the degrees of freedom, 3N - 3 without held atoms, K."""
        return 2 * self.kinetic_energy_eV() / (self.degrees_of_freedom * BOLTZMANN_EV_PER_K)

    def volume_A3(self):
        """Return the volume of the cell, Å³."""
        return float(self.atoms.cell.volume)

    def pressure_GPa(self):
        """Return the instantaneous pressure with its kinetic part, GPa; NaN without a stress."""
        stress = self.evaluator.stress_eV_A3
        if stress is None:
            return math.nan
        kinetic = 2 * self.kinetic_energy_eV() / (3 * self.volume_A3())
        return (kinetic - float(stress[:3].sum()) / 3) * EV_PER_A3_TO_GPA

    def reservoir_energy_eV(self):
        """Return what to add to potential plus kinetic energy to get the conserved quantity, eV."""
        return 0.0

    def conserved_energy_eV(self):
        """Return the quantity that exact dynamics would keep constant, eV."""
        return self.evaluator.energy_eV + self.kinetic_energy_eV() + self.reservoir_energy_eV()

    def get_state(self):
        """Return everything beyond positions, momenta, cell and forces that the next step depends on."""
        return {}

    def set_state(self, state):
        """Take back what `get_state` gave."""


class BussiDynamics(VelocityVerlet):
    """Velocity Verlet after a stochastic rescaling of all momenta: canonical, and gentle on diffusion."""

    def __init__(self, evaluator, timestep_fs, *, temperature_K, tau_ps, rng, **options):
        super().__init__(evaluator, timestep_fs, **options)
        self.thermostat = BussiThermostat(
            BOLTZMANN_EV_PER_K * temperature_K,
            self.degrees_of_freedom,
            math.exp(-self.dt / (tau_ps * ASE_TIME_PER_PS)),
            rng,
        )

    def step(self, stress=False):
        """Rescale, then move one time step."""
        self._scale(self.thermostat.scale_factor(self.kinetic_energy_eV()))
        super().step(stress)

    def reservoir_energy_eV(self):
        """Return minus the energy that the thermostat has given, eV."""
        return self.thermostat.energy_eV()

    def get_state(self):
        """Return the thermostat's books and its random state."""
        return self.thermostat.get_state()

    def set_state(self, state):
        """Take back what `get_state` gave."""
        self.thermostat.set_state(state)


class NoseHooverDynamics(VelocityVerlet):
    """Velocity Verlet between two half steps of a Nose-Hoover chain: canonical and deterministic."""

    def __init__(self, evaluator, timestep_fs, *, temperature_K, tau_ps, **options):
        super().__init__(evaluator, timestep_fs, **options)
        self.thermostat = NoseHooverChain(
            BOLTZMANN_EV_PER_K * temperature_K, self.degrees_of_freedom, tau_ps * ASE_TIME_PER_PS
        )

    def step(self, stress=False):
        """Half a thermostat step, one time step, half a thermostat step."""
        self._scale(self.thermostat.scale_factor(2 * self.kinetic_energy_eV(), self.dt / 2))
        super().step(stress)
        self._scale(self.thermostat.scale_factor(2 * self.kinetic_energy_eV(), self.dt / 2))

    def reservoir_energy_eV(self):
        """Return the energy of the chain, eV."""
        return self.thermostat.energy_eV()

    def get_state(self):
        """Return the chain's coordinates and momenta."""
        return self.thermostat.get_state()

    def set_state(self, state):
        """Take back what `get_state` gave."""
        self.thermostat.set_state(state)


class LangevinDynamics(VelocityVerlet):
    """Langevin dynamics by the BAOAB splitting: reaches equilibrium fast, but its friction changes D.

    The noise is drawn for all 3N momenta and its drift removed, which keeps the cell at rest and the
    3N - 3 other degrees of freedom canonical; with held atoms their noise is left out and no drift removed.

    References
    ----------
    .. [1] B. Leimkuhler and C. Matthews, J. Chem. Phys. 138, 174102 (2013). doi:10.1063/1.4802990
    """

    def __init__(self, evaluator, timestep_fs, *, temperature_K, tau_ps, rng, **options):
        super().__init__(evaluator, timestep_fs, **options)
        self._rng = rng
        self._keep = math.exp(-self.dt / (tau_ps * ASE_TIME_PER_PS))
        self._kT_eV = BOLTZMANN_EV_PER_K * temperature_K
        variance = (1 - self._keep**2) * BOLTZMANN_EV_PER_K * temperature_K
        self._noise = np.sqrt(self.masses * variance)
        self._half_dt_over_m = 0.5 * self._dt_over_m
        self._given_energy_eV = 0.0

    def step(self, stress=False):
        """Kick, half drift, friction and noise, half drift, kick."""
        self._kick()
        self._drift(self._half_dt_over_m)
        before = self.kinetic_energy_eV()
        self.momenta *= self._keep
        noise = self._rng.standard_normal(self.momenta.shape) * self._noise
        self.momenta += self._at_rest(noise, self.masses, self.held_n)
        self._given_energy_eV += self.kinetic_energy_eV() - before
        self._drift(self._half_dt_over_m)
        self.evaluator.evaluate(stress=stress)
        self._kick()

    def reservoir_energy_eV(self):
        """Return minus the energy that friction and noise have given, eV."""
        return -self._given_energy_eV

    def get_state(self):
        """Return the energy given so far and the random state."""
        return {"given_energy_eV": self._given_energy_eV, "rng": stored_generator(self._rng)}

    def set_state(self, state):
        """Take back what `get_state` gave."""
        self._given_energy_eV = state["given_energy_eV"]
        restored_generator(self._rng, state["rng"])


class IsotropicNPT(VelocityVerlet):
    """Martyna-Tobias-Klein constant pressure: the cell keeps its shape, Nose-Hoover chains keep it warm.

    Parameters
    ----------
    evaluator, timestep_fs, degrees_of_freedom
        See `VelocityVerlet`; the calculator must give a stress.
    temperature_K, pressure_GPa
        What to hold.
    tau_ps, barostat_tau_ps
        Characteristic times of the ions' thermostat and of the barostat, ps.

    References
    ----------
    .. [1] G. J. Martyna, D. J. Tobias and M. L. Klein, J. Chem. Phys. 101, 4177 (1994).
       doi:10.1063/1.467468
    .. [2] M. E. Tuckerman et al., J. Phys. A 39, 5629 (2006). doi:10.1088/0305-4470/39/19/S18
    """

    needs_stress = True

    def __init__(
        self,
        evaluator,
        timestep_fs,
        *,
        temperature_K,
        pressure_GPa,
        tau_ps,
        barostat_tau_ps,
        degrees_of_freedom=None,
    ):
        super().__init__(evaluator, timestep_fs, degrees_of_freedom=degrees_of_freedom)
        if not evaluator.has_stress:
            raise ConfigError(
                f"NPT needs a calculator that gives a stress; {type(evaluator.calculator).__name__} does not"
            )
        kT = BOLTZMANN_EV_PER_K * temperature_K
        barostat_tau = barostat_tau_ps * ASE_TIME_PER_PS
        self.pressure_eV_A3 = pressure_GPa / EV_PER_A3_TO_GPA
        self._mass = (self.degrees_of_freedom + 3) * kT * barostat_tau**2
        self._ions = NoseHooverChain(kT, self.degrees_of_freedom, tau_ps * ASE_TIME_PER_PS)
        self._piston = NoseHooverChain(kT, 1, barostat_tau, first_mass_factor=9)
        self._cell0 = np.array(self.atoms.cell)
        self._volume0 = float(self.atoms.cell.volume)
        self._strain = 0.0
        self._p_strain = 0.0

    def step(self, stress=True):
        """Move ions and cell one time step; the stress is always computed."""
        half = self.dt / 2
        self._piston_bath(half)
        self._scale(self._ions.scale_factor(2 * self.kinetic_energy_eV(), half))
        self._kick_cell(half)
        self._kick_ions(half)
        self._move_ions_and_cell()
        self.evaluator.evaluate(stress=True, cell_moved=True)
        self._kick_ions(half)
        self._kick_cell(half)
        self._scale(self._ions.scale_factor(2 * self.kinetic_energy_eV(), half))
        self._piston_bath(half)

    def _piston_bath(self, interval):
        self._p_strain *= self._piston.scale_factor(self._p_strain**2 / self._mass, interval)

    def _kick_cell(self, interval):
        twice_kinetic = 2 * self.kinetic_energy_eV()
        virial = -float(self.evaluator.stress_eV_A3[:3].sum()) * self.volume_A3()
        self._p_strain += interval * (
            virial
            + twice_kinetic * (1 + 3 / self.degrees_of_freedom)
            - 3 * self.volume_A3() * self.pressure_eV_A3
        )

    def _kick_ions(self, interval):
        x = (1 + 3 / self.degrees_of_freedom) * self._p_strain * interval / self._mass
        self.momenta *= math.exp(-x)
        np.multiply(self.evaluator.forces_eV_A, interval * exprel(-x), out=self._work)
        self.momenta += self._work

    def _move_ions_and_cell(self):
        x = self.dt * self._p_strain / self._mass
        self.positions *= math.exp(x)
        np.multiply(self.momenta, self._dt_over_m, out=self._work)
        self._work *= exprel(x)
        self.positions += self._work
        self._strain += x
        self.atoms.cell[:] = self._cell0 * math.exp(self._strain)

    def volume_A3(self):
        """Return the volume of the cell, Å³."""
        return self._volume0 * math.exp(3 * self._strain)

    def reservoir_energy_eV(self):
        """Return the energy of chains, piston and pressure, eV."""
        return (
            self._ions.energy_eV()
            + self._piston.energy_eV()
            + self._p_strain**2 / (2 * self._mass)
            + self.pressure_eV_A3 * self.volume_A3()
        )

    def get_state(self):
        """Return chains, piston and the reference cell."""
        return {
            "ions": self._ions.get_state(),
            "piston": self._piston.get_state(),
            "cell0_A": self._cell0.copy(),
            "volume0_A3": self._volume0,
            "strain": self._strain,
            "p_strain": self._p_strain,
        }

    def set_state(self, state):
        """Take back what `get_state` gave."""
        self._ions.set_state(state["ions"])
        self._piston.set_state(state["piston"])
        self._cell0 = np.array(state["cell0_A"])
        self._volume0 = state["volume0_A3"]
        self._strain, self._p_strain = state["strain"], state["p_strain"]


def exprel(x):
    """Return (exp(x) - 1)/x, 1 at zero."""
    return math.expm1(x) / x if x else 1.0


def build_dynamics(stage, evaluator, rng, *, held_n=None):
    """Return the integrator that a `simtools.md.protocols.Stage` asks for; `held_n` as `VelocityVerlet`."""
    if stage.ensemble == "NVE":
        return VelocityVerlet(evaluator, stage.timestep_fs, held_n=held_n)
    bath = {"temperature_K": stage.temperature_K, "tau_ps": stage.tau_ps}
    if stage.ensemble == "NPT":
        return IsotropicNPT(
            evaluator,
            stage.timestep_fs,
            pressure_GPa=stage.pressure_GPa,
            barostat_tau_ps=stage.barostat_tau_ps,
            **bath,
        )
    bath["held_n"] = held_n
    if stage.thermostat == "nose-hoover":
        return NoseHooverDynamics(evaluator, stage.timestep_fs, **bath)
    kind = {"bussi": BussiDynamics, "langevin": LangevinDynamics}[stage.thermostat]
    return kind(evaluator, stage.timestep_fs, rng=rng, **bath)
