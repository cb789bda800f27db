"""Rigid molecules: free rotation as Euler says, conserved energies, the right temperature and pressure."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.md.forces import ForceEvaluator
from simtools.md.protocols import StoppedInTime, load_final_atoms, run_stages
from simtools.md.rigid import RigidBussi, RigidLangevin, RigidNoseHoover, RigidNPT, RigidVerlet
from simtools.md.rigid_bodies import RigidBodies, RigidMolecules, rotation_matrices
from simtools.md.stages import Stage
from tests.simtools.md.rigid_toys import SHAPES, Springs, bodies_of

KINDS = list(SHAPES)


def verlet(kind, dt=0.5, rigid=None, **options):
    dynamics = RigidVerlet(bodies_of(kind, **options), dt, rigid=rigid or RigidMolecules())
    dynamics.start()
    return dynamics


def gaps(atoms):
    """Distances between the atoms of every molecule."""
    found = []
    for k in range(atoms.arrays["molecule_id"].max() + 1):
        place = atoms.positions[atoms.arrays["molecule_id"] == k]
        found.append(np.linalg.norm(place[:, None] - place[None], axis=-1))
    return np.array(found)


@pytest.mark.parametrize(("kind", "rotational"), [("linear", 2), ("spherical top", 3), ("asymmetric top", 3)])
def test_degrees_of_freedom_are_counted(kind, rotational):
    dynamics = verlet(kind, n=4)
    assert dynamics.degrees_of_freedom == 3 * 8 - 3 + 4 * rotational
    assert dynamics.bodies.n_rotational == 4 * rotational


@pytest.mark.parametrize("kind", KINDS)
def test_free_rotation_keeps_energy_and_angular_momentum_in_space(kind):
    evaluator = bodies_of(kind, stiffness=0.0)
    bodies = RigidBodies(evaluator.atoms, RigidMolecules())

    def spin():
        return np.einsum("bij,bj->bi", rotation_matrices(bodies.quaternions_bk), bodies.angular_bc)

    before, energy = spin(), bodies.rotational_energy_eV()
    energies = []
    for _ in range(500):
        bodies.rotate(0.05)
        energies.append(bodies.rotational_energy_eV())
    assert_allclose(spin(), before, atol=1e-10 * np.abs(before).max())
    limit = 1e-12 if kind != "asymmetric top" else 2e-3  # the splitting's error there oscillates
    assert np.abs(np.array(energies) / energy - 1).max() < limit


def test_asymmetric_top_follows_eulers_equations():
    evaluator = bodies_of("asymmetric top", n=1, stiffness=0.0)
    start = RigidBodies(evaluator.atoms, RigidMolecules())
    inertia, spin = start.inertia_bc[0], start.angular_bc[0].copy()

    def slope(angular):
        return np.cross(angular, angular / inertia)

    fine = 2.0 / 1000
    for _ in range(1000):  # Runge-Kutta of dL/dt = L x (L/I)
        k1 = slope(spin)
        k2 = slope(spin + fine / 2 * k1)
        k3 = slope(spin + fine / 2 * k2)
        spin = spin + fine / 6 * (k1 + 2 * k2 + 2 * k3 + slope(spin + fine * k3))
    errors = []
    for dt in (0.02, 0.01):
        bodies = RigidBodies(evaluator.atoms, RigidMolecules())
        for _ in range(round(2.0 / dt)):
            bodies.rotate(dt)
        errors.append(np.abs(bodies.angular_bc[0] - spin).max() / np.abs(spin).max())
    assert errors[1] < 1e-4
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_bodies_stay_rigid_and_momenta_are_those_of_their_motion(kind):
    dynamics = verlet(kind)
    start = gaps(dynamics.atoms)
    for _ in range(300):
        dynamics.step()
    assert_allclose(gaps(dynamics.atoms), start, atol=1e-12)
    atomic = 0.5 * (dynamics.momenta**2 / dynamics.masses).sum()
    assert atomic == pytest.approx(dynamics.kinetic_energy_eV(), rel=1e-12)
    assert_allclose(dynamics.momenta.sum(axis=0), dynamics.bodies.momenta_uc.sum(axis=0), atol=1e-12)
    dynamics.evaluator.calculator.stiffness = 0.0
    dynamics.evaluator.evaluate()
    moved, velocity = dynamics.positions.copy(), dynamics.momenta / dynamics.masses
    dynamics.dt *= 1e-4
    dynamics.step()
    assert_allclose((dynamics.positions - moved) / dynamics.dt, velocity, atol=1e-4 * np.abs(velocity).max())


@pytest.mark.parametrize("kind", KINDS)
def test_energy_error_falls_as_the_step_squared(kind):
    spreads = []
    for dt in (1.0, 0.5):
        dynamics, energies = verlet(kind, dt), []
        for _ in range(round(400 / dt)):
            dynamics.step()
            energies.append(dynamics.conserved_energy_eV())
        spreads.append(np.std(energies))
        assert abs(np.mean(energies[-100:]) - np.mean(energies[:100])) < spreads[-1]
    assert np.log2(spreads[0] / spreads[1]) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_forward_then_back_returns_home(kind):
    dynamics = verlet(kind)
    start = dynamics.positions.copy()
    for _ in range(200):
        dynamics.step()
    assert np.abs(dynamics.positions - start).max() > 0.05
    dynamics._scale(-1.0)
    for _ in range(200):
        dynamics.step()
    assert_allclose(dynamics.positions, start, atol=1e-10)


@pytest.mark.parametrize("scale", [4.0, 64.0])
def test_heavier_rotors_turn_slower_at_the_same_temperature_and_weigh_the_same(scale):
    light, heavy = (
        verlet("spherical top", n=200, stiffness=0.0, rigid=RigidMolecules(inertia_scale=factor))
        for factor in (1.0, scale)
    )
    heavy.make_rotation_thermal()
    assert heavy.rotational_temperature_K() == pytest.approx(light.rotational_temperature_K(), rel=1e-12)
    assert heavy.rotational_temperature_K() == pytest.approx(300.0, rel=4 * np.sqrt(2 / 600))
    rates = [np.linalg.norm(d.bodies.angular_bc / d.bodies.inertia_bc, axis=1) for d in (light, heavy)]
    assert_allclose(rates[0] / rates[1], np.sqrt(scale), rtol=1e-12)
    assert np.array_equal(light.bodies.masses_u1, heavy.bodies.masses_u1)
    assert heavy.translational_temperature_K() == light.translational_temperature_K()


def test_rigid_draw_is_thermal_for_linear_and_other_molecules():
    for kind in KINDS:
        dynamics = verlet(kind, n=400, stiffness=0.0)
        n = dynamics.bodies.n_rotational
        assert dynamics.rotational_temperature_K() == pytest.approx(300.0, rel=4 * np.sqrt(2 / n))


def test_heavier_hydrogen_slows_its_rotor_by_its_inertia():
    evaluator = bodies_of("spherical top", n=2)
    atoms = evaluator.atoms
    light = RigidBodies(atoms.copy(), RigidMolecules()).inertia_bc
    atoms.set_masses([2.014 if symbol == "H" else None for symbol in atoms.symbols])
    heavy = RigidBodies(atoms, RigidMolecules()).inertia_bc
    assert_allclose(heavy / light, 2.014 / 1.008, rtol=1e-9)  # B rests at the centre of mass


def test_frozen_orientation_carries_molecules_along_without_turning():
    dynamics = verlet("asymmetric top", rigid=RigidMolecules(frozen_orientation=True))
    assert dynamics.degrees_of_freedom == 3 * 8 - 3
    before = dynamics.positions.copy()
    for _ in range(200):
        dynamics.step()
    moved = dynamics.positions - before
    identity = dynamics.atoms.arrays["molecule_id"]
    for k in range(4):
        assert_allclose(moved[identity == k], moved[identity == k][:1].repeat(3, axis=0), atol=1e-12)
    assert np.isnan(dynamics.rotational_temperature_K())


@pytest.mark.parametrize("kind", ["linear", "asymmetric top"])
@pytest.mark.parametrize("name", ["langevin", "bussi", "nose-hoover"])
def test_thermostats_hold_the_temperature_and_their_conserved_energy(kind, name):
    rigid = RigidMolecules()
    evaluator = bodies_of(kind, n=24)
    if name == "nose-hoover":
        dynamics = RigidNoseHoover(evaluator, 1.0, rigid=rigid, temperature_K=400.0, tau_ps=0.03)
    else:
        rng = np.random.default_rng(5)
        cls = {"langevin": RigidLangevin, "bussi": RigidBussi}[name]
        dynamics = cls(evaluator, 1.0, rigid=rigid, temperature_K=400.0, tau_ps=0.03, rng=rng)
    dynamics.start()
    temperatures, conserved, kinds = [], [], []
    for step in range(1000):
        dynamics.step()
        if step >= 200:
            temperatures.append(dynamics.temperature_K())
            conserved.append(dynamics.conserved_energy_eV())
            kinds.append([dynamics.translational_temperature_K(), dynamics.rotational_temperature_K()])
    blocks = np.array(temperatures).reshape(8, -1).mean(axis=1)
    assert abs(blocks.mean() - 400.0) < 5 * max(blocks.std(ddof=1) / np.sqrt(8), 4.0)
    assert np.ptp(conserved) < 0.02 * dynamics.degrees_of_freedom * BOLTZMANN_EV_PER_K * 400.0
    if name == "langevin":  # the only one that warms each mode by itself
        assert_allclose(np.mean(kinds, axis=0), 400.0, rtol=0.12)


def test_molecular_pressure_is_the_slope_of_the_energy_with_centres_carried_along():
    evaluator = bodies_of("asymmetric top")
    dynamics = RigidVerlet(evaluator, 0.5, rigid=RigidMolecules())
    evaluator.evaluate(stress=True)
    energies, h = [], 1e-6
    for step in (h, -h):
        moved = evaluator.atoms.copy()
        bodies = RigidBodies(moved, RigidMolecules())
        bodies.centres_uc *= 1 + step
        moved.cell[:] = evaluator.atoms.cell.array * (1 + step)
        bodies.place(moved.positions)
        other = ForceEvaluator(moved, Springs(evaluator.calculator.scaled, 2.0))
        other.evaluate()
        energies.append(other.energy_eV)
    assert dynamics.molecular_virial_eV() == pytest.approx((energies[0] - energies[1]) / (2 * h), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_constant_pressure_conserves_its_energy_and_keeps_the_shapes(kind):
    spreads = []
    for dt in (1.0, 0.5):
        evaluator = bodies_of(kind, n=6)
        start = gaps(evaluator.atoms)
        dynamics = RigidNPT(
            evaluator, dt, rigid=RigidMolecules(), temperature_K=300.0, pressure_GPa=0.0, tau_ps=0.05,
            barostat_tau_ps=0.1,
        )  # fmt: skip
        dynamics.start()
        energies = []
        for _ in range(round(400 / dt)):
            dynamics.step()
            energies.append(dynamics.conserved_energy_eV())
        spreads.append(np.std(energies))
        assert_allclose(gaps(evaluator.atoms), start, atol=1e-11)
    assert np.log2(spreads[0] / spreads[1]) == pytest.approx(2.0, abs=0.4)


def stages(**options):
    common = {"temperature_K": 300.0, "timestep_fs": 0.5, "thermo_every_fs": 5.0, "seed": 3}
    common |= {"sample_every_fs": 5.0}
    return (
        Stage(name="warm", ensemble="NVT", thermostat="langevin", duration_ps=0.02, **common),
        Stage(name="volume", ensemble="NPT", duration_ps=0.02, **common),
        Stage(
            name="production", ensemble="NVT", duration_ps=0.05, write_trajectory=True,
            checkpoint_every_ps=0.01, **common,
        ),
    )  # fmt: skip


def test_run_stopped_anywhere_continues_bit_for_bit(tmp_path):
    rigid = RigidMolecules(inertia_scale=4.0)
    start = bodies_of("asymmetric top")
    whole = run_stages(start.atoms, start.calculator, stages(), tmp_path / "whole", rigid=rigid)
    calls = []

    def stop_now_and_then():
        calls.append(None)
        return len(calls) % 5 == 0

    for _ in range(60):
        try:
            parts = run_stages(
                start.atoms, start.calculator, stages(), tmp_path / "parts", rigid=rigid,
                should_stop=stop_now_and_then,
            )  # fmt: skip
            break
        except StoppedInTime:
            continue
    assert len(calls) > 5
    one, two = load_final_atoms(tmp_path / "whole"), load_final_atoms(tmp_path / "parts")
    assert np.array_equal(one.positions, two.positions)
    assert np.array_equal(one.get_momenta(), two.get_momenta())
    assert np.array_equal(one.cell.array, two.cell.array)
    assert [s["temperature_K"] for s in whole["stages"]] == [s["temperature_K"] for s in parts["stages"]]
    assert np.array_equal(one.arrays["molecule_id"], start.atoms.arrays["molecule_id"])


def test_another_inertia_is_another_run(tmp_path):
    start = bodies_of("linear")
    run_stages(start.atoms, start.calculator, stages()[:1], tmp_path, rigid=RigidMolecules())
    with pytest.raises(ConfigError, match="rigid_molecules differ"):
        run_stages(
            start.atoms, start.calculator, stages()[:1], tmp_path, rigid=RigidMolecules(inertia_scale=2.0)
        )
    with pytest.raises(ConfigError, match="rigid_molecules differ"):
        run_stages(start.atoms, start.calculator, stages()[:1], tmp_path)


def test_what_cannot_be_rigid_is_refused():
    evaluator = bodies_of("linear")
    atoms = evaluator.atoms
    for options, words in (
        ({"inertia_scale": 0.0}, "inertia_scale must be a positive number, got 0.0"),
        ({"inertia_scale": 4.0, "frozen_orientation": True}, "has no effect with frozen_orientation"),
    ):
        with pytest.raises(ConfigError, match=words):
            RigidMolecules(**options)
    atoms.arrays["molecule_id"][0] = -1
    with pytest.raises(ConfigError, match="molecule 0 has one atom"):
        RigidBodies(atoms, RigidMolecules())
    del atoms.arrays["molecule_id"]
    with pytest.raises(ConfigError, match="need the array molecule_id"):
        RigidBodies(atoms, RigidMolecules())
