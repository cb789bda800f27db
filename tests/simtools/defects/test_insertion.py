"""Cells with given defects against counts, distances and charges worked out by hand."""

import io
import json

import ase.io
import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose

from simtools.core.errors import ConfigError
from simtools.defects import ChargeBalanceError, KrogerVink, PlacedDefect, insert_defects
from simtools.defects.insertion import HYDROXIDE_BOND_A
from simtools.structures import build_antiperovskite, build_supercell

CHARGES = {"Li": 1, "O": -2, "Cl": -1, "Mg": 2, "H": 1, "Na": 1}
A = 3.9
TETRAHEDRAL = (0.25 / 3,) * 3


def perfect(n=3):
    """Return atoms in the order Li Li Li O Cl, cell by cell."""
    return build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=A), n)


def defect(label, site=None, **options):
    return PlacedDefect(label=KrogerVink.parse(label), site_index=site, **options)


def inserted(*placed, **options):
    return insert_defects(perfect(), placed, formal_charges_e=CHARGES, **options)


ONE_OF_EACH = (
    defect("V_Li'", 0),
    defect("Mg_Li.", 1, set=1),
    defect("(Li2)_Li.", 2, direction=(0, 3, 0), separation_A=2.0),
    defect("(OH)_O.", 3, direction=(1, 1, 1)),
    defect("O_Cl'", 4),
    defect("V_Li'", 5),
    defect("Li_i.", scaled_position=TETRAHEDRAL, request=2),
    defect("V_Li'", 6),
)


def test_each_kind_changes_what_it_should_and_nothing_else():
    crystal = perfect()
    atoms = inserted(*ONE_OF_EACH)
    symbols = atoms.get_chemical_symbols()
    assert symbols[:4] == ["Mg", "Li", "O", "O"]
    assert symbols[4:-3] == crystal.get_chemical_symbols()[7:]
    assert symbols[-3:] == ["Li", "H", "Li"]
    assert_allclose(atoms.positions[[0, 2, 3]], crystal.positions[[1, 3, 4]])
    assert_allclose(atoms.positions[4:-3], crystal.positions[7:])
    assert_allclose(atoms.positions[1] - crystal.positions[2], [0, 1, 0], atol=1e-12)
    assert_allclose(atoms.positions[-3] - crystal.positions[2], [0, -1, 0], atol=1e-12)
    assert_allclose(atoms.positions[-2] - crystal.positions[3], HYDROXIDE_BOND_A / np.sqrt(3), atol=1e-12)
    assert_allclose(atoms.positions[-1], A / 4, atol=1e-12)
    assert atoms.arrays["site"].tolist()[-3:] == ["X", "B", "i"]
    assert np.flatnonzero(atoms.arrays["molecule_id"] == 0).tolist() == [2, len(atoms) - 2]
    assert np.unique(atoms.arrays["molecule_id"]).tolist() == [-1, 0]
    assert len(crystal) == 135
    assert "defects" not in crystal.info


def test_the_record_says_what_where_and_which_ions():
    atoms = inserted(*ONE_OF_EACH)
    records = atoms.info["defects"]
    assert [row["kind"] for row in records] == (
        "vacancy dopant dumbbell substitution antisite vacancy interstitial vacancy".split()
    )
    for row, placed in zip(records, ONE_OF_EACH, strict=True):
        label = KrogerVink.parse(row["label"])
        assert label == placed.label
        assert (row["species"], row["site_species"]) == (label.species, label.site)
        assert row["effective_charge_e"] == label.charge
        ions = [atoms.symbols[ion] for ion in row["atom_indices"]]
        assert sorted(ions) == sorted(label.elements)
        assert (row["site_index"], row["set"], row["request"]) == (
            placed.site_index,
            placed.set,
            placed.request,
        )
    assert records[2]["direction"] == [0, 1, 0]
    assert records[2]["separation_A"] == 2.0
    assert_allclose(records[6]["position_A"], A / 4)
    assert atoms.info["net_charge_e"] == 0
    assert sum(CHARGES[name] for name in atoms.get_chemical_symbols()) == 0
    assert atoms.info["lattice_sites"]["species"] == perfect().get_chemical_symbols()


def test_records_survive_json_and_extended_xyz():
    atoms = inserted(*ONE_OF_EACH)
    assert json.loads(json.dumps(atoms.info["defects"])) == atoms.info["defects"]
    text = io.StringIO()
    ase.io.write(text, atoms, format="extxyz")
    text.seek(0)
    assert ase.io.read(text, format="extxyz").info["defects"] == atoms.info["defects"]


def test_masses_follow_the_ions_and_a_mixed_dumbbell_keeps_the_host_ion():
    crystal = perfect()
    crystal.set_masses(crystal.get_masses())
    placed = [
        defect("Mg_Li.", 1),
        defect("(LiNa)_Li.", 2, direction=(0, 1, 0), separation_A=2.0),
        defect("V_Li'", 5),
        defect("V_Li'", 6),
    ]
    atoms = insert_defects(crystal, placed, formal_charges_e=CHARGES)
    assert_allclose(atoms.get_masses(), Atoms(atoms.get_chemical_symbols()).get_masses())
    first, second = atoms.info["defects"][1]["atom_indices"]
    assert (first, atoms.symbols[first], atoms.symbols[second]) == (2, "Li", "Na")


def test_charges_of_the_perfect_crystal_are_left_behind():
    crystal = perfect()
    crystal.set_initial_charges([CHARGES[symbol] for symbol in crystal.get_chemical_symbols()])
    placed = [defect("Mg_Li.", 1), defect("V_Li'", 5)]
    atoms = insert_defects(crystal, placed, formal_charges_e=CHARGES)
    assert "initial_charges" not in atoms.arrays
    assert crystal.has("initial_charges")


def test_hydroxides_are_numbered_after_the_molecules_of_the_host():
    crystal = perfect()
    numbers = np.full(len(crystal), -1)
    numbers[[8, 9]] = 0, 1
    crystal.set_array("molecule_id", numbers)
    placed = [defect("(OH)_O.", 3, direction=(0, 0, 1)), defect("V_Li'", 5)]
    atoms = insert_defects(crystal, placed, formal_charges_e={**CHARGES, "H": 1})
    assert sorted(atoms.arrays["molecule_id"][atoms.arrays["molecule_id"] >= 0]) == [0, 1, 2, 2]


def test_an_added_ion_may_stand_where_an_ion_has_left():
    beside = np.array([0, 0.5, 0.5]) / 3 + [0.01, 0, 0]
    placed = [defect("V_Li'", 0), defect("Li_i.", scaled_position=tuple(beside))]
    assert len(inserted(*placed)) == 135
    with pytest.raises(ConfigError, match=r"Li_i\.: its Li at .* would sit 0.12 Å from another ion"):
        inserted(placed[1], net_charge="background")


@pytest.mark.parametrize(
    ("placed", "words"),
    [
        ([defect("V_Li'", 0), defect("Mg_Li.", 0)], r"site 0 is taken twice: by V_Li' and Mg_Li\."),
        ([defect("V_Li'", 3)], "site 3 belongs to O, not to Li"),
        ([defect("V_Li'", 135)], "0 to 134"),
        ([defect("V_Li'")], "site_index"),
        ([defect("Li_i.", 3)], "site_index = None"),
        ([defect("Li_i.")], "three numbers"),
        ([defect("Mg_Li'", 0)], r"it is Mg_Li\. \(\+1 e\)"),
        ([defect("Ca_Li.", 0)], "no formal charge is given for Ca"),
        ([defect("(Li2)_Li.", 0, separation_A=2.0)], "direction must be"),
        ([defect("(Li2)_Li.", 0, separation_A=2.0, direction=(0, 0, 0))], "direction must be"),
        ([defect("(Li2)_Li.", 0, direction=(0, 0, 1))], "separation_A must be"),
        ([defect("(NaO)_O.", 3, direction=(0, 0, 1))], "only OH has a shape"),
        (["V_Li'"], "expected a PlacedDefect"),
    ],
)
def test_what_makes_no_cell_is_refused(placed, words):
    with pytest.raises(ConfigError, match=words):
        inserted(*placed, net_charge="background")


def test_a_charge_is_refused_or_declared():
    with pytest.raises(ChargeBalanceError, match=r"\+1 e \(1 x Mg_Li\. = \+1\).*V_Li'"):
        inserted(defect("Mg_Li.", 1))
    assert inserted(defect("Mg_Li.", 1), net_charge="background").info["net_charge_e"] == 1
