"""LAMMPS holds molecules back as the embedded engine does: cones, frozen orientations, heavier rotors."""

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

from potentials.lammps import BAR_PER_EV_A3
from potentials.lammps_cone import REFERENCE_FIX, cone_data_section, cone_lines
from potentials.lammps_dynamics import LammpsEngine
from potentials.lammps_library import import_lammps
from potentials.schema import load_force_field
from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.md.dynamics import ASE_TIME_PER_PS
from simtools.md.h5md import read_trajectory
from simtools.md.restraints import ConeRestraint, RestrainedMolecules
from simtools.md.rigid_bodies import RigidBodies, RigidMolecules
from simtools.md.stages import Stage
from simtools.md.thermo import read_thermo
from simtools.structures import build_prototype, build_supercell
from tests.potentials.test_lammps_rigid import (
    PRODUCTION,
    SHORT,
    STAGES,
    WHY_NOT,
    Killed,
    both,
    rigid_crystal,
    run,
    warm,
)

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "LAMMPS is there")


SHAPES = {
    "pair": [[0, 0, 0], [0, 0, 1.0]],
    "triangle": [[0, 0, 0.4], [1.0, 0, -0.4], [-1.0, 0, -0.4]],
    "plane": [[0, 0, 0], [1.2, 0, 0], [-0.6, 1.04, 0], [-0.6, -1.04, 0]],
    "top": [[0, 0, 0], [0.7, 0.7, 0.7], [0.7, -0.7, -0.7], [-0.7, 0.7, -0.7], [-0.7, -0.7, 0.7]],
}


def turned_molecules(deformed_A):
    """Return atoms in a skewed cell, whole molecules turned by up to 175 degrees, and their reference."""
    rng, names = np.random.default_rng(11), [name for name in SHAPES for _ in range(12)]
    cell = np.array([[40.0, 0, 0], [6.0, 42.0, 0], [-5.0, 8.0, 44.0]])
    places = np.array([[i, j, k] for i in range(4) for j in range(4) for k in range(3)]) / [4, 4, 3] + 0.11
    positions, reference, number, masses = [], [], [], []
    for k, (name, place) in enumerate(zip(names, places, strict=True)):
        shape = np.array(SHAPES[name]) + (k % 2) * rng.normal(scale=deformed_A, size=np.shape(SHAPES[name]))
        axis = rng.normal(size=3)
        angle = np.radians([1.0, 3.0, 20.0, 90.0, 150.0, 175.0][k % 6])
        turn = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix()
        reference.append(place @ cell + shape @ Rotation.random(rng=rng).as_matrix())
        centre = reference[-1].mean(axis=0)
        moved = centre + (reference[-1] - centre) @ turn.T
        positions.append(moved + rng.normal(scale=deformed_A, size=moved.shape))
        number += [k] * len(shape)
        masses += rng.uniform(1.0, 30.0, len(shape)).tolist() if k % 3 else [11.0] + [1.0] * (len(shape) - 1)
    atoms = Atoms(f"H{len(number)}", positions=np.concatenate(positions), cell=cell, pbc=True, masses=masses)
    atoms.set_array("molecule_id", np.array(number))
    return atoms, np.concatenate(reference)


@pytest.mark.parametrize("deformed_A", [0.0, 0.08])
def test_formulas_are_the_gradient_at_any_angle(deformed_A):
    """Pairs, planar molecules and tops, turned by 1 to 175 degrees, with masses that are not symmetric."""
    atoms, reference = turned_molecules(deformed_A)
    cone = ConeRestraint(angle_deg=2.0, stiffness_eV_per_rad2=3.0, reference_positions_A=reference)
    molecules = RestrainedMolecules(atoms, cone)
    energy, forces, virial = molecules.energy_forces_and_virial(atoms.positions, np.array(atoms.cell))
    engine = import_lammps().lammps(cmdargs=["-screen", "none", "-log", "none"])
    (xx, _, _), (xy, yy, _), (xz, yz, zz) = np.array(atoms.cell).tolist()
    try:
        engine.commands_list(
            [
                "units metal",
                "atom_style molecular",
                "atom_modify map array",
                f"region box prism 0 {xx} 0 {yy} 0 {zz} {xy} {xz} {yz}",
                f"create_box {len(atoms)} box",
                *(f"mass {k} {mass!r}" for k, mass in enumerate(atoms.get_masses().tolist(), start=1)),
                "pair_style zero 5.0",
                "pair_coeff * *",
                REFERENCE_FIX,
            ]
        )
        ids, kinds = list(range(1, len(atoms) + 1)), list(range(1, len(atoms) + 1))
        engine.create_atoms(len(atoms), ids, kinds, atoms.positions.ravel().tolist())
        rows = cone_data_section(len(atoms), molecules, np.eye(3)).split("Reference\n\n")[1].splitlines()
        names = ("cone_x", "cone_y", "cone_z", "cone_w", "cone_n")
        for row, molecule in zip(rows, atoms.arrays["molecule_id"].tolist(), strict=True):
            number, *values = row.split()
            pairs = " ".join(f"d_{name} {value}" for name, value in zip(names, values, strict=True))
            engine.command(f"set atom {number} mol {molecule + 1} {pairs}")
        engine.commands_list([*cone_lines(molecules), "thermo_modify norm no", "run 0 post no"])
        found = np.array(engine.gather_atoms("f", 1, 3)).reshape(-1, 3)
        assert engine.get_thermo("pe") == pytest.approx(energy, rel=1e-10)
        stress = np.array([engine.get_thermo(name) for name in ("pxx", "pyy", "pzz")])
    finally:
        engine.close()
    assert_allclose(found, forces, atol=1e-8 * np.abs(forces).max())
    expected = -np.diag(virial) * BAR_PER_EV_A3 / atoms.get_volume()
    assert_allclose(stress, expected, atol=1e-6 * np.abs(expected).max())


def cone_about_others(atoms, field):
    """Return a narrow cone about orientations that most molecules have left, so that it pulls at once."""
    LammpsEngine(field, net_charge="background").name_molecules(atoms)
    shaken = atoms.positions + np.random.default_rng(5).normal(scale=0.08, size=atoms.positions.shape)
    cone = ConeRestraint(angle_deg=2.0, stiffness_eV_per_rad2=8.0, reference_positions_A=shaken)
    molecules = RestrainedMolecules(atoms, cone)
    assert np.mean(molecules.angles_deg(atoms.positions, np.array(atoms.cell)) > 2.0) > 0.3
    assert molecules.energy_forces_and_virial(atoms.positions, np.array(atoms.cell))[0] > 0.05
    return cone


@pytest.mark.parametrize(
    ("name", "rigid"),
    [
        ("li2ohcl_catlow_oh", None),
        ("na3no3_esp", None),
        ("na3obh4_esp", None),
        ("na3no3_esp", RigidMolecules()),
        pytest.param("na3obh4_esp", RigidMolecules(), marks=pytest.mark.physics),
        pytest.param("na3no3_esp", RigidMolecules(inertia_scale=4.0), marks=pytest.mark.physics),
    ],
)
def test_a_cone_pulls_as_the_embedded_one(name, rigid, tmp_path):
    """Axes and best rotations, planar and not, in pieces across faces; pressures hold the virial."""
    field, atoms = rigid_crystal(name)
    cone = cone_about_others(atoms, field)
    ours, theirs = both(atoms, field, tmp_path, restraint=cone, rigid=rigid)
    pressures = theirs["pressure_GPa"], ours["pressure_GPa"]
    assert_allclose(pressures[0][1:], pressures[1][1:], atol=1e-4 if rigid is None else 0.05)


@pytest.mark.parametrize(
    ("name", "rigid"),
    [
        ("li2ohcl_catlow_oh", RigidMolecules(frozen_orientation=True)),
        ("na3obh4_esp", RigidMolecules(inertia_scale=4.0)),
        pytest.param("na3no3_esp", RigidMolecules(frozen_orientation=True), marks=pytest.mark.physics),
        pytest.param("li2ohcl_catlow_oh", RigidMolecules(inertia_scale=4.0), marks=pytest.mark.physics),
    ],
)
def test_bodies_that_turn_slowly_or_not_at_all_take_the_path_of_the_embedded_engine(name, rigid, tmp_path):
    field, atoms = rigid_crystal(name)
    both(atoms, field, tmp_path, rigid=rigid)


@pytest.mark.parametrize(
    ("rigid", "angle_deg"),
    [
        (RigidMolecules(inertia_scale=16.0, inertia_scale_from="production"), 15.0),
        pytest.param(RigidMolecules(frozen_orientation=True), None, marks=pytest.mark.physics),
    ],
)
def test_the_thermostat_keeps_momentum_and_energy_and_goes_on_after_a_kill(rigid, angle_deg, tmp_path):
    field, atoms = rigid_crystal("na3no3_esp")
    options = {"rigid": rigid, "restraint": angle_deg and ConeRestraint(angle_deg=angle_deg)}

    def engine():
        return LammpsEngine(field, net_charge="background")

    run(atoms, engine(), STAGES, tmp_path / "whole", field, **options)
    whole, table = read_trajectory(tmp_path / "whole"), read_thermo(tmp_path / "whole")
    assert np.abs(sum(whole.species_momenta_amu_A_per_ps.values())).max() < 1e-6
    kept = atoms.copy()
    engine().name_molecules(kept)
    bodies = RigidBodies(kept, rigid)
    kinetic = 0.5 * bodies.degrees_of_freedom * BOLTZMANN_EV_PER_K * table["temperature_K"]
    assert_allclose(table["kinetic_energy_eV"], kinetic, rtol=1e-5)
    for name in ("equilibration", "production"):
        conserved = table[table["stage"] == name]["conserved_energy_eV"].to_numpy()
        quarter = len(conserved) // 4
        assert abs(conserved[-quarter:].mean() - conserved[:quarter].mean()) < 0.1, name

    def die(done, total, temperature_K):
        if done > 550:
            raise Killed

    with pytest.raises(Killed):
        run(atoms, engine(), STAGES, tmp_path / "killed", field, progress=die, **options)
    run(atoms, engine(), STAGES, tmp_path / "killed", field, **options)
    assert_array_equal(read_trajectory(tmp_path / "killed").positions_A, whole.positions_A)
    found = read_thermo(tmp_path / "killed")["conserved_energy_eV"]
    assert_allclose(found, table["conserved_energy_eV"], atol=1e-9)


def test_a_cone_on_two_ranks_is_that_on_one(tmp_path):
    field, atoms = rigid_crystal("na3no3_esp")
    cone = cone_about_others(atoms, field)
    for ranks in (1, 2):
        engine = LammpsEngine(field, mpi_ranks=ranks, accuracy=1e-6, net_charge="background")
        rigid = RigidMolecules(inertia_scale=2.0)
        run(atoms, engine, (SHORT,), tmp_path / str(ranks), field, restraint=cone, rigid=rigid)
    one, two = (read_trajectory(tmp_path / ranks).positions_A for ranks in "12")
    assert_allclose(two, one, atol=5e-6, rtol=0)


def test_a_cone_on_molecules_that_no_force_field_names_is_refused(tmp_path):
    field = load_force_field("li3ocl_mouta_formal")
    atoms = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=3.95), (3, 3, 3))
    atoms.set_array("molecule_id", np.repeat(np.arange(len(atoms) // 5), 5))
    cone = ConeRestraint(angle_deg=10.0)
    with pytest.raises(ConfigError, match="acts on molecules that the force field names"):
        run(warm(field, atoms), LammpsEngine(field), (SHORT,), tmp_path, field, restraint=cone)


@pytest.mark.physics
def test_heavy_rotors_are_as_warm_as_the_rest(tmp_path):
    """Kinetic temperatures of centres and of rotation of inertia x 4; the spread is the ensemble's."""
    field, atoms = rigid_crystal("na3no3_esp")
    rigid = RigidMolecules(inertia_scale=4.0, inertia_scale_from="production")
    warm(field, atoms, temperature_K=600.0)
    production = Stage(
        ensemble="NVT",
        duration_ps=40.0,
        tau_ps=0.5,
        velocities=True,
        checkpoint_every_ps=20.0,
        sample_every_fs=50.0,
        thermo_every_fs=50.0,
        current_every_fs=4.0,
        **{**PRODUCTION, "temperature_K": 600.0, "timestep_fs": 2.0},
    )
    engine = LammpsEngine(field, net_charge="background")
    engine.name_molecules(atoms)
    run(atoms, engine, (*STAGES[:1], production), tmp_path, field, rigid=rigid)
    trajectory, rows = read_trajectory(tmp_path), []
    for positions, velocities in zip(trajectory.positions_A, trajectory.velocities_A_per_ps, strict=True):
        atoms.positions = positions
        atoms.set_velocities(velocities / ASE_TIME_PER_PS)
        bodies = RigidBodies(atoms, RigidMolecules(inertia_scale=4.0))
        share = 2.0 / BOLTZMANN_EV_PER_K
        rows.append(
            [
                share * bodies.translational_energy_eV() / bodies.n_translational,
                share * bodies.rotational_energy_eV() / bodies.n_rotational,
            ]
        )
    rows = np.array(rows)[100:]
    blocks = rows[: len(rows) // 10 * 10].reshape(10, -1, 2).mean(axis=1)
    mean, error = blocks.mean(axis=0), blocks.std(axis=0, ddof=1) / np.sqrt(10)
    assert np.all(error < 20.0)
    assert np.all(np.abs(mean - 600.0) < 4 * error + 2.0)
    table = read_thermo(tmp_path)
    table = table[table["stage"] == "production"]
    spread = table["temperature_K"].iloc[100:].std()
    assert spread == pytest.approx(600.0 * np.sqrt(2.0 / bodies.degrees_of_freedom), rel=0.25)
    conserved = table["conserved_energy_eV"].to_numpy()
    drift = np.polyfit(np.arange(len(conserved)) * 5e-5, conserved, 1)[0] / len(atoms)
    assert abs(drift) < 0.2  # eV/ion/ns
