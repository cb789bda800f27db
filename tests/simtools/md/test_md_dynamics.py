"""Each integrator against what is known of it, and against ASE's."""

import numpy as np
import pytest
from ase import units
from ase.md.bussi import Bussi
from ase.md.nose_hoover_chain import IsotropicMTKNPT, NoseHooverChainNVT
from ase.md.verlet import VelocityVerlet as AseVelocityVerlet
from numpy.testing import assert_allclose

from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_EV_PER_K, EV_PER_A3_TO_GPA
from simtools.md.dynamics import (
    BussiDynamics,
    IsotropicNPT,
    LangevinDynamics,
    NoseHooverDynamics,
    VelocityVerlet,
    draw_momenta,
)
from simtools.md.forces import ForceEvaluator
from tests.simtools.md.md_toys import LaggingLennardJones, argon

T = 40.0


def warm(seed=1, **structure):
    atoms = argon(**structure)
    atoms.set_momenta(draw_momenta(atoms.get_masses(), 2 * T, np.random.default_rng(seed)))
    return atoms


def evolve(kind, atoms, n_steps, timestep_fs=4.0, **options):
    dynamics = kind(ForceEvaluator(atoms, LaggingLennardJones()), timestep_fs, **options)
    dynamics.start()
    conserved = [dynamics.conserved_energy_eV()]
    for _ in range(n_steps):
        dynamics.step()
        conserved.append(dynamics.conserved_energy_eV())
    return dynamics, np.array(conserved)


@pytest.mark.parametrize("n_atoms", [2, 5, 400])
def test_drawn_momenta_have_the_temperature_of_3n_minus_3_degrees_of_freedom(n_atoms):
    rng = np.random.default_rng(4)
    masses = rng.uniform(1, 100, n_atoms)
    n_draws = 4000 // n_atoms + 40
    draws = [draw_momenta(masses, 300.0, rng) for _ in range(n_draws)]
    kinetic = np.array([(p**2 / (2 * masses[:, None])).sum() for p in draws])
    expected = 0.5 * (3 * n_atoms - 3) * BOLTZMANN_EV_PER_K * 300
    spread = expected * np.sqrt(2 / (3 * n_atoms - 3) / n_draws)
    assert abs(kinetic.mean() - expected) < 4 * spread
    assert_allclose([p.sum(axis=0) for p in draws], 0, atol=1e-10)


def test_velocity_verlet_is_second_order():
    fluctuations = []
    for timestep_fs in (2.0, 4.0, 8.0):
        atoms = warm()
        _, conserved = evolve(VelocityVerlet, atoms, int(1600 / timestep_fs), timestep_fs)
        fluctuations.append(conserved.std())
    slopes = np.log2(np.array(fluctuations[1:]) / fluctuations[:-1])
    assert_allclose(slopes, 2.0, atol=0.15)


def test_forward_then_back_returns_home():
    atoms = warm()
    start = atoms.positions.copy()
    dynamics, _ = evolve(VelocityVerlet, atoms, 200)
    dynamics.momenta *= -1
    for _ in range(200):
        dynamics.step()
    assert_allclose(atoms.positions, start, atol=1e-9)


def test_the_nose_hoover_chain_runs_back_in_time():
    atoms = warm()
    start = atoms.positions.copy()
    dynamics, _ = evolve(NoseHooverDynamics, atoms, 100, temperature_K=T, tau_ps=0.2)
    dynamics.momenta *= -1
    state = dynamics.get_state()
    dynamics.set_state({"eta": state["eta"], "p_eta": -state["p_eta"]})
    for _ in range(100):
        dynamics.step()
    assert_allclose(atoms.positions, start, atol=1e-9)


BATHS = {
    "bussi": (BussiDynamics, {"temperature_K": T, "tau_ps": 0.1, "rng": 3}),
    "nose-hoover": (NoseHooverDynamics, {"temperature_K": T, "tau_ps": 0.2}),
    "langevin": (LangevinDynamics, {"temperature_K": T, "tau_ps": 0.1, "rng": 3}),
    "npt": (
        IsotropicNPT,
        {"temperature_K": T, "tau_ps": 0.2, "pressure_GPa": 0.05, "barostat_tau_ps": 0.5},
    ),
}


def bath(name):
    kind, options = BATHS[name]
    if "rng" in options:
        options = {**options, "rng": np.random.default_rng(options["rng"])}
    return kind, options


@pytest.mark.parametrize("name", list(BATHS))
def test_the_conserved_quantity_stays_flat(name):
    kind, options = bath(name)
    dynamics, conserved = evolve(kind, warm(), 800, 2.0, **options)
    kinetic = dynamics.kinetic_energy_eV()
    assert np.ptp(conserved) < 0.02 * kinetic
    assert abs(conserved[-100:].mean() - conserved[:100].mean()) < 0.005 * kinetic
    assert_allclose(dynamics.momenta.sum(axis=0), 0, atol=1e-9)


def ase_twin(kind, options, n_steps=60, timestep_fs=4.0):
    atoms = warm()
    atoms.calc = LaggingLennardJones(memory_A=1e9)
    kind(atoms, timestep_fs * units.fs, **options).run(n_steps)
    return atoms


def ours(kind, n_steps=60, **options):
    atoms = warm()
    evaluator = ForceEvaluator(atoms, LaggingLennardJones(memory_A=1e9))
    dynamics = kind(evaluator, 4.0, degrees_of_freedom=3 * len(atoms), **options)
    dynamics.start()
    for _ in range(n_steps):
        dynamics.step()
    return atoms


def same(one, other):
    assert_allclose(one.positions, other.positions, atol=1e-6)
    assert_allclose(one.get_momenta(), other.get_momenta(), atol=1e-6)
    assert_allclose(one.cell, other.cell, atol=1e-6)


def test_velocity_verlet_is_ases():
    same(ours(VelocityVerlet), ase_twin(AseVelocityVerlet, {}))


def test_bussi_with_3n_degrees_of_freedom_is_ases():
    mine = ours(BussiDynamics, temperature_K=T, tau_ps=0.1, rng=np.random.default_rng(7))
    options = {"temperature_K": T, "taut": 100 * units.fs, "rng": np.random.default_rng(7)}
    same(mine, ase_twin(Bussi, options))


def test_nose_hoover_chain_with_3n_degrees_of_freedom_is_ases():
    mine = ours(NoseHooverDynamics, temperature_K=T, tau_ps=0.1)
    same(mine, ase_twin(NoseHooverChainNVT, {"temperature_K": T, "tdamp": 100 * units.fs}))


def test_constant_pressure_with_3n_degrees_of_freedom_is_ases():
    mine = ours(IsotropicNPT, temperature_K=T, tau_ps=0.1, pressure_GPa=0.3, barostat_tau_ps=0.4)
    options = {
        "temperature_K": T,
        "pressure_au": 0.3 / EV_PER_A3_TO_GPA,
        "tdamp": 100 * units.fs,
        "pdamp": 400 * units.fs,
    }
    same(mine, ase_twin(IsotropicMTKNPT, options))


def test_constant_pressure_without_a_stress_is_refused():
    calculator = LaggingLennardJones()
    calculator.implemented_properties = ["energy", "forces"]
    with pytest.raises(ConfigError, match="stress"):
        IsotropicNPT(
            ForceEvaluator(warm(), calculator),
            1.0,
            temperature_K=T,
            tau_ps=0.1,
            pressure_GPa=0.0,
            barostat_tau_ps=1.0,
        )


def test_a_calculator_outside_ases_class_is_driven_through_atoms():
    class Wrapped:
        implemented_properties = ("energy", "forces", "stress")

        def __init__(self):
            self.inner = LaggingLennardJones(memory_A=1e9)

        def get_property(self, name, atoms, allow_calculation=True):
            self.inner.calculate(atoms)
            return self.inner.results[name]

        def get_forces(self, atoms):
            return self.get_property("forces", atoms)

        def get_potential_energy(self, atoms, force_consistent=False):
            return self.get_property("energy", atoms)

        def get_stress(self, atoms):
            return self.get_property("stress", atoms)

    atoms = warm()
    dynamics = VelocityVerlet(ForceEvaluator(atoms, Wrapped()), 4.0)
    dynamics.start()
    for _ in range(20):
        dynamics.step(stress=True)
    assert np.isfinite(dynamics.pressure_GPa())
    same(atoms, ours(VelocityVerlet, n_steps=20))
