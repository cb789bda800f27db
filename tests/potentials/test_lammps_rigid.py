"""LAMMPS moves rigid molecules, other masses and a held framework as our own dynamics do."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from potentials.calculator import IonicCalculator
from potentials.lammps_dynamics import LammpsEngine
from potentials.lammps_library import LammpsUnavailableError
from potentials.lammps_process import find_lammps
from potentials.schema import load_force_field
from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.md.dynamics import ASE_TIME_PER_PS, draw_momenta
from simtools.md.h5md import read_trajectory
from simtools.md.held import HeldAtoms
from simtools.md.protocols import run_stages
from simtools.md.rigid_bodies import RigidBodies, RigidMolecules
from simtools.md.stages import Stage
from simtools.md.thermo import read_thermo
from simtools.structures import build_prototype, build_supercell
from tests.molecular_crystals import shaken

try:
    find_lammps()
    WHY_NOT = ""
except LammpsUnavailableError as missing:
    WHY_NOT = str(missing)
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "LAMMPS is there")

SAMPLES = {"sample_every_fs": 4.0, "thermo_every_fs": 4.0, "current_every_fs": 2.0}
PRODUCTION = {"name": "production", "temperature_K": 300.0, "timestep_fs": 0.5, "write_trajectory": True}
SHORT = Stage(ensemble="NVE", duration_ps=0.012, velocities=True, **PRODUCTION, **SAMPLES)


def warm(field, atoms, masses_amu=None, temperature_K=300.0):
    masses = {**field.element_masses_amu, **(masses_amu or {})}
    atoms.set_masses([masses[symbol] for symbol in atoms.get_chemical_symbols()])
    atoms.set_momenta(draw_momenta(atoms.get_masses(), temperature_K, np.random.default_rng(3)))
    return atoms


def run(atoms, engine, stages, directory, field, **options):
    info = {"formal_charges_e": field.element_formal_charges_e}
    return run_stages(atoms, engine, stages, directory, info=info, momenta="keep", **options)


def both(atoms, field, tmp_path, **options):
    """Run the short stage in both engines and compare all that is sampled; return the two logs."""
    charge_e = sum(field.element_formal_charges_e[symbol] for symbol in atoms.get_chemical_symbols())
    background = "background" if charge_e else None
    ours = IonicCalculator(field, accuracy=1e-7, net_charge=background)
    run(atoms, ours, (SHORT,), tmp_path / "ours", field, **options)
    theirs = LammpsEngine(field, accuracy=1e-6, net_charge=background)
    run(atoms, theirs, (SHORT,), tmp_path / "theirs", field, **options)
    a, b = read_trajectory(tmp_path / "ours"), read_trajectory(tmp_path / "theirs")
    assert np.abs(a.positions_A[-1] - a.positions_A[0]).max() > 0.05
    assert_allclose(b.positions_A, a.positions_A, atol=2e-5, rtol=0)
    assert_allclose(b.velocities_A_per_ps, a.velocities_A_per_ps, atol=5e-3, rtol=0)
    assert_allclose(b.charge_current_e_A_per_ps, a.charge_current_e_A_per_ps, atol=5e-3, rtol=0)
    for species, momenta in a.species_momenta_amu_A_per_ps.items():
        assert_allclose(b.species_momenta_amu_A_per_ps[species], momenta, atol=0.05, rtol=0)
    logs = read_thermo(tmp_path / "ours"), read_thermo(tmp_path / "theirs")
    for column in ("temperature_K", "potential_energy_eV", "kinetic_energy_eV", "conserved_energy_eV"):
        atol = 0.05 if column == "temperature_K" else 2e-3
        assert_allclose(logs[1][column], logs[0][column], atol=atol, rtol=1e-6, err_msg=column)
    return logs


def rigid_crystal(name, masses_amu=None):
    field, atoms = shaken(name, repeat=(4, 4, 3) if name == "li2ohcl_catlow_oh" else (3, 3, 3))
    return field, warm(field, atoms, masses_amu)


@pytest.mark.parametrize("name", ["li2ohcl_catlow_oh", "na3no3_esp", "na3obh4_esp"])
def test_bodies_take_the_path_of_the_embedded_engine(name, tmp_path):
    """Linear, planar and tetrahedral molecules, atoms of one body on both sides of the cell's faces."""
    field, atoms = rigid_crystal(name)
    ours, theirs = both(atoms, field, tmp_path, rigid=RigidMolecules())
    assert_allclose(theirs["pressure_GPa"][1:], ours["pressure_GPa"][1:], atol=0.05)
    assert np.isnan(theirs["pressure_GPa"][0])


def test_other_masses_act(tmp_path):
    field, atoms = rigid_crystal("li2ohcl_catlow_oh", {"Li": 9.0, "H": 17.0})
    both(atoms, field, tmp_path, rigid=RigidMolecules())
    field = load_force_field("li3ocl_mouta_formal")
    atoms = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=3.95), (3, 3, 3))
    atoms.rattle(0.1, seed=1)
    both(warm(field, atoms, {"Li": 3.0, "Cl": 70.0}), field, tmp_path / "ions")


def test_an_element_of_two_masses_carries_its_current(tmp_path):
    """Heavy oxygen in the anion beside light oxygen by itself, in all that is sampled."""
    field, atoms = rigid_crystal("na3no3_esp")
    LammpsEngine(field, net_charge="background").name_molecules(atoms)
    masses = atoms.get_masses()
    masses[(atoms.numbers == 8) & (atoms.arrays["molecule_id"] >= 0)] = 30.0
    atoms.set_masses(masses)
    atoms.set_momenta(draw_momenta(masses, 300.0, np.random.default_rng(3)))
    assert len(set(masses[atoms.numbers == 8].tolist())) == 2
    both(atoms, field, tmp_path, rigid=RigidMolecules())


def test_two_masses_of_one_species_are_refused(tmp_path):
    field, atoms = rigid_crystal("li2ohcl_catlow_oh")
    masses = atoms.get_masses()
    masses[np.flatnonzero(atoms.numbers == 3)[0]] = 9.0
    atoms.set_masses(masses)
    with pytest.raises(ConfigError, match=r"expected one mass per species for dynamics in LAMMPS"):
        run(atoms, LammpsEngine(field), (SHORT,), tmp_path, field)


def test_a_held_framework_stays(tmp_path):
    field = load_force_field("li3ocl_mouta_formal")
    atoms = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=3.95), (3, 3, 3))
    atoms.rattle(0.1, seed=1)
    warm(field, atoms)
    still = np.flatnonzero(atoms.numbers != 3)
    held = HeldAtoms(indices=tuple(still.tolist()))
    both(atoms, field, tmp_path, held=held)
    common = {"temperature_K": 900.0, "timestep_fs": 2.0, **SAMPLES}
    stages = (
        Stage(name="langevin", ensemble="NVT", thermostat="langevin", duration_ps=0.4, **common),
        Stage(name="nose", ensemble="NVT", thermostat="nose-hoover", duration_ps=0.2, **common),
        Stage(name="production", ensemble="NVT", write_trajectory=True, duration_ps=0.2, **common),
    )
    run(atoms, LammpsEngine(field), stages, tmp_path / "nvt", field, held=held)
    trajectory, table = read_trajectory(tmp_path / "nvt"), read_thermo(tmp_path / "nvt")
    still_A = np.broadcast_to(atoms.positions[still], trajectory.positions_A[:, still].shape)
    assert_allclose(trajectory.positions_A[:, still], still_A, rtol=0, atol=1e-5)
    kelvin = 2 * table["kinetic_energy_eV"] / (3 * (len(atoms) - len(still)) * BOLTZMANN_EV_PER_K)
    assert_allclose(table["temperature_K"], kelvin, rtol=1e-4)
    for name in ("langevin", "nose", "production"):
        rows = table[table["stage"] == name]
        assert np.ptp(rows["conserved_energy_eV"]) < 0.1, name
    assert table["temperature_K"].iloc[-20:].mean() > 500.0


STAGES = (
    Stage(
        name="equilibration",
        ensemble="NVT",
        thermostat="langevin",
        temperature_K=600.0,
        timestep_fs=1.0,
        duration_ps=0.4,
        checkpoint_every_ps=0.1,
        **SAMPLES,
    ),
    Stage(
        ensemble="NVT",
        duration_ps=0.3,
        checkpoint_every_ps=0.1,
        seed=5,
        velocities=True,
        **{**PRODUCTION, "temperature_K": 600.0, "timestep_fs": 1.0},
        **SAMPLES,
    ),
)


class Killed(BaseException):
    """Stands for SIGKILL of the driver: nothing may catch it and tidy up."""


def test_one_thermostat_keeps_momentum_energy_and_shape_and_goes_on_after_a_kill(tmp_path):
    field, atoms = rigid_crystal("na3no3_esp")
    rigid = RigidMolecules()
    options = {"rigid": rigid}

    def engine():
        return LammpsEngine(field, net_charge="background")

    run(atoms, engine(), STAGES, tmp_path / "whole", field, **options)
    whole = read_trajectory(tmp_path / "whole")
    total = sum(whole.species_momenta_amu_A_per_ps.values())
    assert np.abs(total).max() < 1e-6
    table = read_thermo(tmp_path / "whole")
    for name in ("equilibration", "production"):
        conserved = table[table["stage"] == name]["conserved_energy_eV"].to_numpy()
        quarter = len(conserved) // 4
        assert abs(conserved[-quarter:].mean() - conserved[:quarter].mean()) < 0.05, name
    kept = atoms.copy()
    engine().name_molecules(kept)
    bodies = RigidBodies(kept, rigid)
    kinetic = 0.5 * bodies.degrees_of_freedom * BOLTZMANN_EV_PER_K * table["temperature_K"]
    assert_allclose(table["kinetic_energy_eV"], kinetic, rtol=1e-5)
    first = kept.positions[bodies.members[:3]]
    last = whole.positions_A[-1][bodies.members[:3]]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        distances = [np.linalg.norm(points[i] - points[j]) for points in (first, last)]
        assert distances[0] == pytest.approx(distances[1], abs=1e-6)

    def die(done, total, temperature_K):
        if done > 550:
            raise Killed

    with pytest.raises(Killed):
        run(atoms, engine(), STAGES, tmp_path / "killed", field, progress=die, **options)
    run(atoms, engine(), STAGES, tmp_path / "killed", field, **options)
    killed = read_trajectory(tmp_path / "killed")
    assert_array_equal(killed.positions_A, whole.positions_A)
    assert_array_equal(killed.charge_current_e_A_per_ps, whole.charge_current_e_A_per_ps)
    assert_allclose(
        read_thermo(tmp_path / "killed")["conserved_energy_eV"], table["conserved_energy_eV"], atol=1e-9
    )


@pytest.mark.parametrize("name", ["na3no3_esp"])
def test_two_ranks_take_the_path_of_one_and_keep_the_energy(name, tmp_path):
    """Bodies cross from one process to the other; 0.1 ps in which paths have not parted yet."""
    field, atoms = rigid_crystal(name)
    stage = Stage(ensemble="NVE", duration_ps=0.1, **{**PRODUCTION, "timestep_fs": 1.0}, **SAMPLES)
    for ranks in (1, 2):
        engine = LammpsEngine(field, mpi_ranks=ranks, accuracy=1e-6, net_charge="background")
        run(atoms, engine, (stage,), tmp_path / str(ranks), field, rigid=RigidMolecules())
    one, two = (read_trajectory(tmp_path / ranks) for ranks in "12")
    assert_allclose(two.positions_A, one.positions_A, atol=5e-6, rtol=0)
    assert np.ptp(read_thermo(tmp_path / "2")["conserved_energy_eV"]) < 0.02


@pytest.mark.parametrize(
    ("stage", "options", "message"),
    [
        ({"ensemble": "NPT", "write_trajectory": False}, {}, "NPT of rigid molecules beside free ions"),
        ({"ensemble": "NVT", "thermostat": "nose-hoover"}, {}, "do not keep the total momentum"),
        ({"ensemble": "NVT"}, {"held": HeldAtoms(indices=(0,))}, "held in LAMMPS without rigid molecules"),
    ],
)
def test_what_lammps_is_not_asked_to_do_is_refused(stage, options, message, tmp_path):
    field, atoms = rigid_crystal("na3obh4_esp")
    stage = Stage(**{**PRODUCTION, "duration_ps": 0.1, **SAMPLES, **stage})
    engine = LammpsEngine(field, net_charge="background")
    with pytest.raises(ConfigError, match=message):
        run(atoms, engine, (stage,), tmp_path, field, **{"rigid": RigidMolecules(), **options})


def test_rigid_molecules_that_no_force_field_names_are_refused(tmp_path):
    field = load_force_field("li3ocl_mouta_formal")
    atoms = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=3.95), (3, 3, 3))
    atoms.set_array("molecule_id", np.repeat(np.arange(len(atoms) // 5), 5))
    with pytest.raises(ConfigError, match="rigid molecules in LAMMPS are those that the force field names"):
        run(warm(field, atoms), LammpsEngine(field), (SHORT,), tmp_path, field, rigid=RigidMolecules())


@pytest.mark.physics
def test_rotors_and_translators_are_equally_warm(tmp_path):
    """Kinetic temperatures of free ions, of the bodies' centres and of their rotation, beside 600 K."""
    field, atoms = rigid_crystal("na3no3_esp")
    warm(field, atoms, temperature_K=600.0)
    production = Stage(
        name="production",
        ensemble="NVT",
        temperature_K=600.0,
        timestep_fs=2.0,
        duration_ps=60.0,
        velocities=True,
        write_trajectory=True,
        sample_every_fs=50.0,
        thermo_every_fs=50.0,
        current_every_fs=4.0,
        checkpoint_every_ps=20.0,
    )
    engine = LammpsEngine(field, net_charge="background")
    engine.name_molecules(atoms)
    run(atoms, engine, (*STAGES[:1], production), tmp_path, field, rigid=RigidMolecules())
    trajectory = read_trajectory(tmp_path)
    rows = []
    for positions, velocities in zip(trajectory.positions_A, trajectory.velocities_A_per_ps, strict=True):
        atoms.positions = positions
        atoms.set_velocities(velocities / ASE_TIME_PER_PS)
        rows.append(_temperatures(RigidBodies(atoms, RigidMolecules())))
    rows = np.array(rows)[200:]
    blocks = rows[: len(rows) // 10 * 10].reshape(10, -1, 3).mean(axis=1)
    mean, error = blocks.mean(axis=0), blocks.std(axis=0, ddof=1) / np.sqrt(10)
    print("ions, centres, rotation:", mean, error)
    assert np.all(error < 12.0)
    assert np.all(np.abs(mean - 600.0) < 4 * error + 2.0)
    conserved = read_thermo(tmp_path)["conserved_energy_eV"].to_numpy()[200:]
    drift = np.polyfit(np.arange(len(conserved)) * 5e-5, conserved, 1)[0] / len(atoms)
    print("drift, eV/ion/ns:", drift)
    assert abs(drift) < 1.0


def _temperatures(bodies):
    """Return the kinetic temperatures of free ions, of centres and of rotation, K."""
    energies = (bodies.momenta_uc**2 / (2.0 * bodies.masses_u1)).sum(axis=1)
    n_ions, n_bodies = bodies.n_singles, bodies.n_bodies
    share = 1.0 - 1.0 / (n_ions + n_bodies)  # the momentum of the whole is zero
    return [
        2 * energies[:n_ions].sum() / (3 * n_ions * share * BOLTZMANN_EV_PER_K),
        2 * energies[n_ions:].sum() / (3 * n_bodies * share * BOLTZMANN_EV_PER_K),
        2 * bodies.rotational_energy_eV() / (bodies.n_rotational * BOLTZMANN_EV_PER_K),
    ]
