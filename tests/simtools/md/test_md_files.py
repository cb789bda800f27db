"""What lies in the trajectory folder, for us and for other programs."""

import h5py
import MDAnalysis
import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose

from potentials.calculator import IonicCalculator
from potentials.check import prototype_cell
from simtools.core.errors import ConfigError
from simtools.md.h5md import read_trajectory, segment_files
from simtools.md.protocols import Stage, load_final_atoms, run_stages
from simtools.md.trajectory_index import TrajectoryError
from tests.simtools.md.md_toys import LaggingLennardJones, argon

CHARGES = {"Ar": 1, "Kr": -1}


def mixture():
    atoms = argon()
    atoms.symbols[::2] = "Kr"
    atoms.set_velocities(np.random.default_rng(0).normal(size=(len(atoms), 3)) * 0.01)
    return atoms


def with_mass(mass_amu):
    atoms = mixture()
    masses = atoms.get_masses()
    masses[3] = mass_amu
    atoms.set_masses(masses)
    return atoms


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    common = {"temperature_K": 40.0, "timestep_fs": 2.0, "sample_every_fs": 20.0, "current_every_fs": 4.0}
    stages = [
        Stage(name="equilibration", ensemble="NVT", thermostat="langevin", duration_ps=0.1, **common),
        Stage(
            name="production",
            ensemble="NVE",
            duration_ps=0.4,
            write_trajectory=True,
            velocities=True,
            checkpoint_every_ps=0.1,
            **common,
        ),
    ]
    outcome = run_stages(
        mixture(), LaggingLennardJones(), stages, directory, info={"formal_charges_e": CHARGES}
    )
    return directory, outcome


def segments(directory):
    return sorted((directory / "trajectory").glob("production-*.h5md"))


def test_segments_join_without_a_frame_lost_or_doubled(run):
    directory, _ = run
    trajectory = read_trajectory(directory)
    assert len(segments(directory)) == 4
    assert trajectory.positions_A.shape == (21, 32, 3)
    assert trajectory.frame_interval_ps == pytest.approx(0.02)
    assert trajectory.fine_interval_ps == pytest.approx(0.004)
    assert trajectory.charge_current_e_A_per_ps.shape == (101, 3)
    assert trajectory.temperature_K == 40.0
    assert trajectory.cells_A.shape == (3, 3)
    assert trajectory.metadata["complete"]
    assert trajectory.metadata["stage"]["seed"] == 0
    assert trajectory.metadata["first_time_ps"] == 0.0


def test_the_final_frame_is_the_final_configuration(run):
    directory, _ = run
    trajectory = read_trajectory(directory)
    final = load_final_atoms(directory)
    assert trajectory.metadata["rounding_A"] < 1e-5
    assert_allclose(trajectory.positions_A[-1], final.positions, atol=trajectory.metadata["rounding_A"])


def test_current_and_momenta_are_those_of_the_velocities(run):
    trajectory = read_trajectory(run[0])
    charges = np.array([CHARGES[name] for name in trajectory.species])
    current = np.einsum("n,tnc->tc", charges, trajectory.velocities_A_per_ps)
    assert_allclose(trajectory.charge_current_e_A_per_ps[::5], current, atol=1e-5)
    for name in CHARGES:
        indices = trajectory.indices_of(name)
        momenta = np.einsum(
            "n,tnc->tc", trajectory.masses_amu[indices], trajectory.velocities_A_per_ps[:, indices]
        )
        assert_allclose(trajectory.species_momenta_amu_A_per_ps[name][::5], momenta, atol=1e-3)


def test_velocities_are_in_angstrom_per_picosecond(run):
    trajectory = read_trajectory(run[0])
    velocities = (trajectory.positions_A[2:] - trajectory.positions_A[:-2]) / 0.04
    assert_allclose(velocities, trajectory.velocities_A_per_ps[1:-1], atol=0.05 * np.abs(velocities).max())


def test_sites_defects_and_charges_travel_inside(run):
    trajectory = read_trajectory(run[0])
    assert trajectory.formal_charges_e == CHARGES
    assert trajectory.lattice_sites.scaled_positions.shape == (32, 3)
    assert trajectory.lattice_sites.species[0] == "Ar"
    assert trajectory.defects == ({"kind": "none", "label": "x"},)
    assert "versions" in trajectory.metadata["provenance"]


def test_mdanalysis_selects_by_name_and_reads_every_segment(run):
    directory, _ = run
    topology = directory / "trajectory" / "topology.xyz"
    trajectory = read_trajectory(directory)
    one = MDAnalysis.Universe(str(topology), str(segments(directory)[1]))
    assert one.trajectory.ts.dt == pytest.approx(0.02)
    chained = MDAnalysis.Universe(str(topology), segment_files(directory))
    krypton = chained.select_atoms("name Kr")
    assert krypton.n_atoms == 16
    assert chained.trajectory.n_frames == 21
    frames = np.array([krypton.positions for _ in chained.trajectory])
    assert_allclose(frames, trajectory.positions_of("Kr"), atol=1e-5)
    assert_allclose(chained.trajectory.ts.dimensions, [10.8, 10.8, 10.8, 90, 90, 90], rtol=1e-6)
    times = [timestep.time for timestep in chained.trajectory]
    assert_allclose(times, 0.02 * np.arange(21), atol=1e-6)


def test_a_segment_follows_h5md(run):
    with h5py.File(segments(run[0])[0]) as file:
        assert file["h5md"].attrs["version"].tolist() == [1, 1]
        group = file["particles/trajectory"]
        assert group["box"].attrs["boundary"].tolist() == [b"periodic"] * 3
        assert group["position/value"].attrs["unit"] == "Angstrom"
        assert group["box/edges/time"] == group["position/time"]
        assert group["charge"].attrs["type"] == "formal"
        assert "float32" in file["parameters"].attrs["precision"]


def test_far_travellers_are_kept_in_double_precision(tmp_path):
    atoms = mixture()
    atoms.positions += 5000.0
    stage = Stage(name="production", ensemble="NVE", temperature_K=40, duration_ps=0.1, write_trajectory=True)
    run_stages(atoms, LaggingLennardJones(), [stage], tmp_path)
    trajectory = read_trajectory(tmp_path)
    assert trajectory.metadata["rounding_A"] < 1e-11
    assert trajectory.charge_current_e_A_per_ps is None
    assert trajectory.species_momenta_amu_A_per_ps["Kr"].shape == (21, 3)


def test_a_stage_without_frames_is_named(run, tmp_path):
    with pytest.raises(TrajectoryError, match="'equilibration'; written so far: production"):
        read_trajectory(run[0], stage="equilibration")
    with pytest.raises(TrajectoryError, match="holds no trajectory"):
        read_trajectory(tmp_path)


@pytest.mark.parametrize(
    ("atoms", "options", "message"),
    [
        (mixture(), {"info": {"formal_charges_e": {"Ar": 1}}}, "formal_charges_e has no Kr"),
        (mixture(), {"info": {"formal_charges_e": {"Ar": 1, "Kr": 0.5}}}, "Kr must be an integer"),
        (mixture(), {"info": {"formal_charges_e": {"Ar": float("nan"), "Kr": 1}}}, "Ar must be an integer"),
        (mixture(), {"info": {"formal_charges_e": {"Ar": float("inf"), "Kr": 1}}}, "Ar must be an integer"),
        (mixture(), {"info": {"formal_charges_e": {"Ar": "1", "Kr": 1}}}, "Ar must be an integer"),
        (mixture(), {"info": {"formal_charges_e": [1, -1]}}, "must be a dict"),
        (mixture(), {"info": {"formal_charge_e": CHARGES}}, "did you mean 'formal_charges_e'"),
        (mixture(), {"info": {"host_specie": ["Kr"]}}, "did you mean 'host_species'"),
        (mixture(), {"info": {"host_species": ["kr"]}}, "'kr', which is not there; available: Ar, Kr"),
        (mixture(), {"info": {"host_species": "Kr"}}, "expected a list of species"),
        (with_mass(0.0), {}, r"atom 3 \(Ar\) has mass 0 amu"),
        (with_mass(float("nan")), {}, "atom 3"),
        (argon(), {"momenta": "keep", "stage": {"ensemble": "NVT"}}, "Bussi thermostat can only rescale"),
        (mixture(), {"info": {"model": object()}}, "info holds a object"),
        (mixture(), {"momenta": "hot"}, "momenta = 'hot'"),
        (Atoms("Ar", cell=[9, 9, 9], pbc=True), {}, "at least 2 atoms"),
        (Atoms("Ar2", positions=[[0, 0, 0], [4, 0, 0]]), {}, "three-dimensional cell"),
    ],
)
def test_what_cannot_be_run_is_refused(tmp_path, atoms, options, message):
    asked = {"ensemble": "NVE", **options.get("stage", {})}
    options = {key: options[key] for key in options if key != "stage"}
    stage = Stage(name="production", temperature_K=40, duration_ps=0.1, **asked)
    with pytest.raises(ConfigError, match=message):
        run_stages(atoms, LaggingLennardJones(), [stage], tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_constant_pressure_of_a_charged_cell_is_refused(tmp_path):
    stage = Stage(name="volume", ensemble="NPT", temperature_K=40, duration_ps=0.1)
    with pytest.raises(ConfigError, match=r"net formal charge \+16 e"):
        run_stages(
            mixture(),
            LaggingLennardJones(),
            [stage],
            tmp_path,
            info={"formal_charges_e": {"Ar": 2, "Kr": -1}},
        )


def test_constant_pressure_is_refused_where_only_the_calculator_knows_of_the_charge(tmp_path):
    atoms = prototype_cell("antiperovskite", "Li3OCl", 3.9).repeat(2)
    del atoms[0]
    stage = Stage(name="volume", ensemble="NPT", temperature_K=300, duration_ps=0.1)
    calculator = IonicCalculator("li3ocl_mouta_formal", net_charge="background")
    with pytest.raises(ConfigError, match=r"NPT of a cell with net charge [+-]\d e is refused"):
        run_stages(atoms, calculator, [stage], tmp_path)


def test_kept_momenta_lose_only_their_drift(tmp_path):
    atoms = mixture()
    stage = Stage(
        name="production",
        ensemble="NVE",
        temperature_K=40,
        duration_ps=0.05,
        write_trajectory=True,
        velocities=True,
    )
    run_stages(atoms, LaggingLennardJones(), [stage], tmp_path, momenta="keep")
    trajectory = read_trajectory(tmp_path)
    from simtools.md.dynamics import ASE_TIME_PER_PS

    expected = atoms.get_velocities() * ASE_TIME_PER_PS
    expected -= atoms.get_momenta().sum(axis=0) / atoms.get_masses().sum() * ASE_TIME_PER_PS
    assert_allclose(trajectory.velocities_A_per_ps[0], expected, rtol=1e-6)
