"""Every shipped force field gives the same energy, forces and stress in our engine and in LAMMPS, to 1e-6.

Ours is the production path (tables and mesh), asked for an accuracy at which it is as good as exact sums.
Energies are compared relative to the energy, forces relative to the RMS force, and stress components relative
to the largest of them, in a hot crystal whose stress is a small rest of large terms.

Shells too, because their export leaves out LAMMPS' core-shell styles (`potentials.lammps_shells`): these add
1e-6 Å to the distance of a core and its own shell, which alone is 2e-5 of a stress.
"""

import numpy as np
import pytest

from potentials.calculator import IonicCalculator
from potentials.check import prototype_cell
from potentials.lammps import evaluate_with_lammps, write_force_field, write_lammps
from potentials.lammps_library import LammpsUnavailableError, import_lammps
from potentials.lammps_stage import bond_zero_eV
from potentials.lammps_text import atom_style
from potentials.schema import list_force_fields, load_force_field
from tests.molecular_crystals import CRYSTALS as MOLECULAR
from tests.reference.random_cells import CRYSTALS as RIGID

ANTIPEROVSKITES = {
    "li3ocl_mouta_clshell": ("Li3OCl", 3.9),
    "li3ocl_mouta_shells_fitted": ("Li3OCl", 3.9),
    "na3ocl_mouta_clshell": ("Na3OCl", 4.45),
    "na3ocl_popoff_coreshell": ("Na3OCl", 4.45),
}
TIGHT = {"kspace": "ewald", "accuracy": 1e-9, "coulomb_cutoff_A": 12.0}
LONGEST_WITH_SHELLS_A = 10.0  # ions must not see their own images within it and a tenth
SKEW = np.array([[1.0, 0.03, 0.0], [-0.02, 0.99, 0.04], [0.0, 0.02, 1.02]])
LIMITS = {"energy": 1e-6, "forces": 1e-6, "stress": 1e-6}

try:
    import_lammps()
    WHY_NOT = ""
except LammpsUnavailableError as error:
    WHY_NOT = str(error)
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


def hot_crystal(name):
    """Return a skewed crystal that suits a shipped force field, all of its species in it."""
    if name in MOLECULAR:
        atoms = MOLECULAR[name]() * (2, 2, 2)
    elif name in ANTIPEROVSKITES:
        atoms = prototype_cell("antiperovskite", *ANTIPEROVSKITES[name]) * (3, 3, 3)
    elif name in RIGID:
        prototype, formula, a, replaced = RIGID[name]
        atoms = prototype_cell(prototype, formula, a) * (2, 2, 2)
        for old, new in replaced.items():
            atoms.symbols[[np.flatnonzero(atoms.symbols == old)[0]]] = new
    else:
        raise KeyError(f"say which crystal suits the force field {name}")
    atoms.rattle(0.06, seed=3)
    atoms.set_cell(atoms.cell.array @ SKEW, scale_atoms=True)
    return atoms


def deviations(name, atoms):
    """Return the relative deviations of energy, forces and stress between the two engines."""
    field = load_force_field(name)
    charged = not field.has_topology and not field.is_neutral(atoms.get_chemical_symbols())
    background = {"net_charge": "background"} if charged else {}
    ours = IonicCalculator(field, accuracy=1e-8, **background)
    options = {**TIGHT, **background} if field.is_charged else {}
    if field.shells:
        options["coulomb_cutoff_A"] = LONGEST_WITH_SHELLS_A
        options["shell_displacements_A"] = ours.shell_displacements_A(atoms)
    found = evaluate_with_lammps(field, atoms, **options)
    forces, stress = ours.get_property("forces", atoms), ours.get_property("stress", atoms)
    wrong = np.linalg.norm(found.forces_eV_per_A - forces, axis=1)
    return {
        "energy": abs(found.energy_eV / ours.get_property("energy", atoms) - 1.0),
        "forces": np.sqrt((wrong**2).mean() / (forces**2).sum(axis=1).mean()),
        "stress": np.abs(found.stress_eV_per_A3 - stress).max() / np.abs(stress).max(),
    }


def assert_agree(name, atoms):
    found = deviations(name, atoms)
    assert all(found[key] <= LIMITS[key] for key in LIMITS), {key: f"{x:.1e}" for key, x in found.items()}


@pytest.mark.parametrize("name", list_force_fields())
def test_energy_forces_and_stress_agree(name):
    assert_agree(name, hot_crystal(name))


@pytest.mark.parametrize("name", list_force_fields())
def test_an_exported_force_field_gives_our_energy_for_a_data_file(name, tmp_path):
    field, atoms = load_force_field(name), hot_crystal(name)
    charged = not field.has_topology and not field.is_neutral(atoms.get_chemical_symbols())
    background = {"net_charge": "background"} if charged else {}
    data = write_lammps(field, atoms, tmp_path / "crystal", **background).data
    included = write_force_field(field, tmp_path / "field.in")
    text = included.read_text(encoding="utf-8")
    assert f"atom_style {atom_style(field)}" in text
    engine = import_lammps().lammps(cmdargs=["-screen", "none", "-log", "none"])
    try:
        engine.commands_string(
            f"units metal\natom_style {atom_style(field)}\nread_data {data}\ninclude {included}\n"
            "thermo_modify norm no\nrun 0"
        )
        found = engine.get_thermo("pe")
    finally:
        engine.close()
    found += bond_zero_eV(field, atoms)
    ours = IonicCalculator(field, accuracy=1e-6, **background).get_property("energy", atoms)
    assert found == pytest.approx(ours, rel=5e-6)  # the mesh of the file: 1e-5 of 14.4 eV/Å


@pytest.mark.parametrize("name", ["li3ocl_mouta_formal", "na3ocl_popoff_q067", "na3ocl_popoff_coreshell"])
def test_charged_cells_agree_too(name):
    atoms = hot_crystal(name)
    del atoms[[np.flatnonzero(np.isin(atoms.numbers, [3, 11]))[0]]]
    assert_agree(name, atoms)
