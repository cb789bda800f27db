"""LAMMPS gives the energies, forces and stress of our relaxed shells, in small cells by its own styles."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from potentials.calculator import IonicCalculator
from potentials.check import prototype_cell
from potentials.forms import Morse
from potentials.lammps import evaluate_with_lammps, write_lammps
from potentials.lammps_library import LammpsUnavailableError, import_lammps
from potentials.schema import load_force_field
from simtools.core.errors import ConfigError, ShapeError
from simtools.core.units import COULOMB_EV_A

TIGHT = {"kspace": "ewald", "accuracy": 1e-8, "coulomb_cutoff_A": 12.0}
OWN_PAIR = 1e-6  # Å: what LAMMPS adds to the distance of a core and its own shell before it takes erf(ar)/r
CRYSTALS = {
    "na3ocl_popoff_coreshell": ("Na3OCl", 4.45),
    "li3ocl_mouta_clshell": ("Li3OCl", 3.9),
    "li3ocl_mouta_shells_fitted": ("Li3OCl", 3.9),
}

try:
    import_lammps()
    WHY_NOT = ""
except LammpsUnavailableError as error:
    WHY_NOT = str(error)
needs_lammps = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


def shaken(name, repeat=(2, 2, 1)):
    formula, a = CRYSTALS[name]
    atoms = prototype_cell("antiperovskite", formula, a) * repeat
    atoms.set_cell(atoms.cell[:] @ np.array([[1, 0.1, 0], [-0.1, 1, 0.05], [0.05, 0, 1]]), scale_atoms=True)
    atoms.rattle(0.08, seed=7)
    return atoms


def assert_lammps_agrees(field, atoms):
    ours = IonicCalculator(field, coulomb="ewald")
    displacements = ours.shell_displacements_A(atoms)
    found = evaluate_with_lammps(field, atoms, shell_displacements_A=displacements, **TIGHT)
    products = [
        COULOMB_EV_A * abs(shell.charge_e * field.core_charge_e(symbol))
        for symbol, shell in field.shells.items()
    ]
    weight = max(products)  # eV Å: 37 and 54 for the shells of the literature, 691 for the fitted one
    energy = ours.get_property("energy", atoms)
    assert found.energy_eV == pytest.approx(energy, rel=1e-6 if weight < 100 else 5e-6)
    assert_allclose(found.forces_eV_per_A, ours.get_property("forces", atoms), atol=1e-5)
    assert_allclose(found.stress_eV_per_A3, ours.get_property("stress", atoms), atol=1e-6)
    assert found.shell_forces_eV_per_A.shape == (sum(s in field.shells for s in atoms.symbols), 3)
    assert_allclose(found.shell_forces_eV_per_A, 0.0, atol=10.0 * OWN_PAIR * weight)


@needs_lammps
@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("repeat", [(1, 1, 1), (2, 2, 1)])
def test_coreshell_styles_agree_at_the_relaxed_shells(name, repeat):
    assert_lammps_agrees(load_force_field(name), shaken(name, repeat))


@needs_lammps
def test_quartic_springs_and_several_forms_are_written_too():
    name = "na3ocl_popoff_coreshell"
    field = load_force_field(name)
    shells = {s: replace(shell, quartic_spring_eV_per_A4=5e4) for s, shell in field.shells.items()}
    (term,) = field.terms("Na", "Cl")
    second = replace(term, kind="morse", form=Morse(D=0.05, a=1.3, r0=2.9))
    field = replace(field, shells=shells, pairs=field.pairs | {("Cl", "Na"): (term, second)})
    assert_lammps_agrees(field, shaken(name))


@needs_lammps
def test_perfect_crystal_has_shells_on_their_cores_in_lammps_too():
    formula, a = CRYSTALS["na3ocl_popoff_coreshell"]
    atoms = prototype_cell("antiperovskite", formula, a)
    found = evaluate_with_lammps(load_force_field("na3ocl_popoff_coreshell"), atoms, **TIGHT)
    energy = IonicCalculator("na3ocl_popoff_q067", coulomb="ewald").get_property("energy", atoms)
    assert found.energy_eV == pytest.approx(energy, rel=1e-6)
    assert_allclose(found.forces_eV_per_A, 0.0, atol=1e-5)


@needs_lammps
def test_a_large_cell_needs_no_core_shell_styles_and_is_exact():
    """A perfect crystal, shells at distance 0 from their cores, and a hot one whose shells feel no force."""
    name = "na3ocl_popoff_coreshell"
    field, large = load_force_field(name), {**TIGHT, "coulomb_cutoff_A": 10.0}
    atoms = prototype_cell("antiperovskite", "Na3OCl", 4.45) * (3, 3, 3)
    found = evaluate_with_lammps(field, atoms, shell_displacements_A=np.zeros((len(atoms), 3)), **large)
    energy = IonicCalculator("na3ocl_popoff_q067", coulomb="ewald").get_property("energy", atoms)
    assert found.energy_eV == pytest.approx(energy, rel=1e-7)
    assert_allclose(found.forces_eV_per_A, 0.0, atol=1e-7)
    assert_allclose(found.shell_forces_eV_per_A, 0.0, atol=1e-7)
    atoms.rattle(0.08, seed=7)
    found = evaluate_with_lammps(field, atoms, **large)
    ours = IonicCalculator(field, coulomb="ewald")
    assert found.energy_eV == pytest.approx(ours.get_property("energy", atoms), rel=1e-7)
    assert_allclose(found.forces_eV_per_A, ours.get_property("forces", atoms), atol=1e-6)
    assert_allclose(found.stress_eV_per_A3, ours.get_property("stress", atoms), atol=1e-8)
    assert_allclose(found.shell_forces_eV_per_A, 0.0, atol=1e-5)


def test_a_large_cell_is_written_without_core_shell_styles(tmp_path):
    name = "na3ocl_popoff_coreshell"
    files = write_lammps(load_force_field(name), shaken(name, (3, 3, 3)), tmp_path / "cell")
    text = files.input.read_text()
    assert "/cs" not in text.replace("temp/cs", "")
    assert "neigh_modify exclude molecule/intra all" in text
    assert "bond_style lepton no_offset" in text


@needs_lammps
def test_lammps_finds_the_same_rest_of_the_shells():
    name = "na3ocl_popoff_coreshell"
    field, atoms = load_force_field(name), shaken(name)
    away = np.full((len(atoms), 3), 0.01)
    pushed = evaluate_with_lammps(field, atoms, shell_displacements_A=away, **TIGHT)
    rest = evaluate_with_lammps(field, atoms, **TIGHT)
    assert np.abs(pushed.shell_forces_eV_per_A).max() > 0.3
    assert np.abs(rest.shell_forces_eV_per_A).max() < 6e-4
    assert rest.energy_eV < pushed.energy_eV


def test_files_say_which_particle_is_what(tmp_path):
    name = "na3ocl_popoff_coreshell"
    files = write_lammps(load_force_field(name), shaken(name, (1, 1, 1)), tmp_path / "cell")
    data, text = files.data.read_text(), files.input.read_text()
    assert "7 atoms\n5 atom types\n2 bonds\n2 bond types\n" in data
    assert "atom_style full" in text
    assert "bond_coeff 1 34.448915 0.0  # O core-shell" in text
    assert "special_bonds lj/coul 0.0 0.0 0.0" in text
    assert "pair_style buck/coul/long/cs" in text
    masses = [float(line.split()[1]) for line in data.split("Masses")[1].splitlines()[2:7]]
    assert masses == pytest.approx([22.98976928, 0.9 * 15.999, 0.9 * 35.45, 1.5999, 3.545])


def test_displacements_that_cannot_be_meant_are_refused(tmp_path):
    atoms = shaken("li3ocl_mouta_clshell", (1, 1, 1))
    with pytest.raises(ShapeError, match="shell_displacements_A"):
        write_lammps(
            load_force_field("li3ocl_mouta_clshell"), atoms, tmp_path / "x", shell_displacements_A=[0.1]
        )
    with pytest.raises(ConfigError, match="no ion has a shell"):
        write_lammps(
            load_force_field("li3ocl_mouta_formal"),
            atoms,
            tmp_path / "x",
            shell_displacements_A=np.zeros((5, 3)),
        )
