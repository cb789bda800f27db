"""Held atoms: exactly still, the right degrees of freedom and temperature, refused where they cannot be."""

import numpy as np
import pytest

from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.md.dynamics import VelocityVerlet, build_dynamics, draw_momenta
from simtools.md.h5md import read_trajectory
from simtools.md.held import HeldAtoms
from simtools.md.protocols import StoppedInTime, load_final_atoms, run_stages
from simtools.md.rigid import RigidVerlet, build_rigid_dynamics
from simtools.md.rigid_bodies import RigidBodies, RigidMolecules
from simtools.md.stages import Stage
from tests.simtools.md.rigid_toys import bodies_of


def framework_of(atoms):
    """The first atom of every molecule and every other single atom."""
    identity = atoms.arrays["molecule_id"]
    first = [np.flatnonzero(identity == k)[0] for k in range(identity.max() + 1)]
    return np.isin(np.arange(len(atoms)), [*first, *np.flatnonzero(identity < 0)[::2]])


def stage(name="production", **options):
    common = {"temperature_K": 300.0, "timestep_fs": 0.5, "thermo_every_fs": 5.0, "seed": 3}
    common |= {"sample_every_fs": 5.0, "ensemble": "NVT", "duration_ps": 0.04}
    return Stage(name=name, **{**common, **options})


@pytest.mark.parametrize("rigid", [None, RigidMolecules()])
@pytest.mark.parametrize("thermostat", ["langevin", "bussi", "nose-hoover"])
def test_what_is_held_is_still_and_the_rest_has_the_temperature(rigid, thermostat):
    evaluator = bodies_of("linear", n=24, temperature_K=400.0)
    atoms = evaluator.atoms
    held_n = framework_of(atoms)
    atoms.set_momenta(draw_momenta(atoms.get_masses(), 400.0, np.random.default_rng(2), at_rest=False))
    if rigid is None:
        atoms.arrays["momenta"][held_n] = 0.0
    bath = stage(temperature_K=400.0, thermostat=thermostat, tau_ps=0.03, timestep_fs=1.0)
    rng = np.random.default_rng(5)
    if rigid is None:
        dynamics = build_dynamics(bath, evaluator, rng, held_n=held_n)
        assert dynamics.degrees_of_freedom == 3 * (24 + 12)
    else:
        dynamics = build_rigid_dynamics(bath, evaluator, rng, rigid, held_n=held_n)
        assert dynamics.degrees_of_freedom == 3 * 12 + 2 * 24
    dynamics.start()
    start = atoms.positions.copy()
    centres = None if rigid is None else dynamics.bodies.centres_uc.copy()
    temperatures, conserved = [], []
    for step in range(1200):
        dynamics.step()
        if step >= 200:
            temperatures.append(dynamics.temperature_K())
            conserved.append(dynamics.conserved_energy_eV())
    if rigid is None:
        assert np.array_equal(atoms.positions[held_n], start[held_n])
        assert not dynamics.momenta[held_n].any()
    else:
        held_u = dynamics.bodies.held_u
        assert held_u.sum() == 12 + 24
        assert np.array_equal(dynamics.bodies.centres_uc[held_u], centres[held_u])
        assert np.abs(atoms.positions - start).max(axis=1)[atoms.arrays["molecule_id"] >= 0].min() > 0.0
    blocks = np.array(temperatures).reshape(10, -1).mean(axis=1)
    assert abs(blocks.mean() - 400.0) < 5 * max(blocks.std(ddof=1) / np.sqrt(10), 4.0)
    assert np.ptp(conserved) < 0.02 * dynamics.degrees_of_freedom * BOLTZMANN_EV_PER_K * 400.0


def test_draws_with_held_atoms_are_thermal():
    evaluator = bodies_of("asymmetric top", n=400, stiffness=0.0)
    held_n = framework_of(evaluator.atoms)
    rng = np.random.default_rng(4)
    evaluator.atoms.set_momenta(draw_momenta(evaluator.atoms.get_masses(), 300.0, rng, at_rest=False))
    dynamics = RigidVerlet(evaluator, 0.5, rigid=RigidMolecules(), held_n=held_n)
    assert dynamics.translational_temperature_K() == pytest.approx(300.0, rel=4 * np.sqrt(2 / 600))
    assert dynamics.rotational_temperature_K() == pytest.approx(300.0, rel=4 * np.sqrt(2 / 1200))


@pytest.mark.parametrize("rigid", [None, RigidMolecules()])
def test_energy_is_conserved_with_held_atoms_to_second_order(rigid):
    spreads = []
    for dt in (1.0, 0.5):
        evaluator = bodies_of("linear")
        held_n = framework_of(evaluator.atoms)
        if rigid is None:
            evaluator.atoms.arrays["momenta"][held_n] = 0.0
            dynamics = VelocityVerlet(evaluator, dt, held_n=held_n)
        else:
            dynamics = RigidVerlet(evaluator, dt, rigid=rigid, held_n=held_n)
        dynamics.start()
        energies = []
        for _ in range(round(400 / dt)):
            dynamics.step()
            energies.append(dynamics.conserved_energy_eV())
        spreads.append(np.std(energies))
    assert np.log2(spreads[0] / spreads[1]) == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("rigid", [None, RigidMolecules(inertia_scale=4.0)])
def test_a_held_run_continues_bit_for_bit_and_keeps_its_inputs(tmp_path, rigid):
    start = bodies_of("asymmetric top")
    held = HeldAtoms(indices=np.flatnonzero(framework_of(start.atoms)).tolist())
    stages = (
        stage("warm", thermostat="langevin", duration_ps=0.02),
        stage(write_trajectory=True, checkpoint_every_ps=0.01),
    )
    common = {"rigid": rigid, "held": held}
    run_stages(start.atoms, start.calculator, stages, tmp_path / "whole", **common)
    calls = []

    def stop_now_and_then():
        calls.append(None)
        return len(calls) % 5 == 0

    for _ in range(60):
        try:
            run_stages(
                start.atoms,
                start.calculator,
                stages,
                tmp_path / "parts",
                should_stop=stop_now_and_then,
                **common,
            )
            break
        except StoppedInTime:
            continue
    assert len(calls) > 5
    one, two = load_final_atoms(tmp_path / "whole"), load_final_atoms(tmp_path / "parts")
    assert np.array_equal(one.positions, two.positions)
    assert np.array_equal(one.get_momenta(), two.get_momenta())
    frames = read_trajectory(tmp_path / "whole").positions_A
    alone = [i for i in held.indices if start.atoms.arrays["molecule_id"][i] < 0]
    assert np.array_equal(frames[:, alone], frames[:1, alone].repeat(len(frames), axis=0))
    with pytest.raises(ConfigError, match="held_atoms differ"):
        run_stages(start.atoms, start.calculator, stages, tmp_path / "whole", rigid=rigid)


def test_inertia_is_scaled_from_a_stage_on_at_the_same_temperature(tmp_path):
    start = bodies_of("linear", n=200)
    rigid = RigidMolecules(inertia_scale=64.0, inertia_scale_from="production")
    names = ["warm", "production"]
    assert rigid.in_stage(0, names) == RigidMolecules()
    assert rigid.in_stage(1, names) == RigidMolecules(inertia_scale=64.0)
    stages = (
        stage("warm", thermostat="langevin", duration_ps=0.1, tau_ps=0.02),
        stage(duration_ps=0.01, thermostat="bussi", write_trajectory=True),
    )
    run_stages(start.atoms, start.calculator, stages, tmp_path, rigid=rigid)
    last = RigidBodies(load_final_atoms(tmp_path), RigidMolecules(inertia_scale=64.0))
    spin_K = 2 * last.rotational_energy_eV() / (last.n_rotational * BOLTZMANN_EV_PER_K)
    assert spin_K == pytest.approx(300.0, rel=0.35)  # 64 times that if the velocity had been kept
    with pytest.raises(ConfigError, match="inertia_scale_from = 'production': no such stage"):
        run_stages(start.atoms, start.calculator, stages[:1], tmp_path / "other", rigid=rigid)


def test_what_cannot_be_held_is_refused(tmp_path):
    start = bodies_of("linear")
    for indices, words in (((), "at least one"), ((-1,), "at least one"), ((1, 1), "named twice")):
        with pytest.raises(ConfigError, match=words):
            HeldAtoms(indices=indices)
    with pytest.raises(ConfigError, match="held atom 99"):
        HeldAtoms(indices=(99,)).mask(12)
    with pytest.raises(ConfigError, match="all atoms are held"):
        HeldAtoms(indices=range(12)).mask(12)
    with pytest.raises(ConfigError, match="NPT with held atoms"):
        run_stages(
            start.atoms,
            start.calculator,
            (stage(ensemble="NPT"),),
            tmp_path / "run",
            held=HeldAtoms(indices=(0,)),
        )
    assert not (tmp_path / "run").exists()
