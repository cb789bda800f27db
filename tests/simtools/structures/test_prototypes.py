import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.core.errors import ConfigError
from simtools.structures import PROTOTYPES, build_prototype, build_supercell

# formula, atoms in the cell, and around the first atom: distance / a -> {species: neighbours}
CASES = {
    "cubic": ("Li3OCl", 5, {0.5: {"O": 2}, np.sqrt(0.5): {"Li": 8, "Cl": 4}}),
    "fcc": ("Ar", 4, {np.sqrt(0.5): {"Ar": 12}, 1.0: {"Ar": 6}}),
    "cscl": ("ArKr", 2, {np.sqrt(0.75): {"Kr": 8}, 1.0: {"Ar": 6}}),
    "rocksalt": ("ArKr", 8, {0.5: {"Kr": 6}, np.sqrt(0.5): {"Ar": 12}}),
    "antifluorite": ("Li2O", 12, {np.sqrt(3) / 4: {"O": 4}, 0.5: {"Li": 6}}),
    "l1_0": ("ArKr", 4, {np.sqrt(0.5): {"Ar": 4, "Kr": 8}, 1.0: {"Ar": 6}}),
}


def test_every_prototype_is_covered():
    assert set(CASES) == set(PROTOTYPES)


@pytest.mark.parametrize("prototype", CASES)
def test_prototype_has_its_neighbours(prototype):
    formula, n_atoms, shells = CASES[prototype]
    cell = build_prototype(prototype, formula, lattice_parameter_A=5.0)
    assert len(cell) == len(cell.arrays["site"]) == n_atoms
    assert cell.info == {"formula": formula, "prototype": prototype}
    atoms = build_supercell(cell, 3)
    distances = atoms.get_distances(0, range(len(atoms)), mic=True) / 5.0
    symbols = np.array(atoms.get_chemical_symbols())
    for distance, expected in shells.items():
        found = symbols[np.isclose(distances, distance, rtol=1e-9)].tolist()
        assert {name: found.count(name) for name in set(found)} == expected


@pytest.mark.parametrize(
    ("prototype", "formula", "words"),
    [
        ("fcc", "ArKr", "one element"),
        ("rocksalt", "Ar", "two elements 1:1"),
        ("cscl", "Ar2Kr", "two elements 1:1"),
        ("antifluorite", "OLi2", "two elements 2:1, cation first"),
        ("antifluorite", "LiCl", "two elements 2:1"),
        ("diamond", "C", "expected one of: cubic, fcc"),
    ],
)
def test_formula_must_fit_the_prototype(prototype, formula, words):
    with pytest.raises(ConfigError, match=words):
        build_prototype(prototype, formula, lattice_parameter_A=5.0)


def test_antifluorite_has_its_anion_on_the_origin_in_a_cube_of_eight_cations():
    atoms = build_supercell(build_prototype("antifluorite", "Na2O", lattice_parameter_A=5.0), 3)
    assert atoms.symbols.get_chemical_formula() == "Na216O108"
    oxygen = int(np.flatnonzero((atoms.symbols == "O") & (np.abs(atoms.positions).max(axis=1) < 1e-9))[0])
    distances = atoms.get_distances(oxygen, range(len(atoms)), mic=True) / 5.0
    assert (atoms.symbols[np.isclose(distances, np.sqrt(3) / 4)] == "Na").sum() == 8
    assert (atoms.symbols[np.isclose(distances, np.sqrt(0.5))] == "O").sum() == 12


def test_anion_centre_is_not_ignored_where_it_means_nothing():
    with pytest.raises(ConfigError, match="anion_centre"):
        build_prototype("fcc", "Ar", lattice_parameter_A=5.0, anion_centre="Ar")


def test_supercell_keeps_sites_density_and_remembers_its_repeats():
    atoms = build_prototype("cubic", "Li3OCl", lattice_parameter_A=3.9)
    supercell = build_supercell(build_supercell(atoms, (1, 2, 1)), (2, 2, 3))
    assert supercell.info["supercell"] == [2, 4, 3]
    assert len(supercell) == 24 * 5
    assert (supercell.arrays["site"] == "X").sum() == 24 * 3
    assert_allclose(supercell.get_volume() / len(supercell), atoms.get_volume() / len(atoms), rtol=1e-13)


@pytest.mark.parametrize(
    "repeats", [(0, 1, 1), (1, 1), (1.5, 1, 1), "444", -1, (True, 1, 1), 2.0, [1, 2, 3, 4]]
)
def test_supercell_must_be_whole_repeats(repeats):
    with pytest.raises(ConfigError, match="three positive integers"):
        build_supercell(build_prototype("fcc", "Ar", lattice_parameter_A=5.0), repeats)


def test_supercell_of_a_defective_cell_is_refused():
    atoms = build_prototype("fcc", "Ar", lattice_parameter_A=5.0)
    atoms.info["defects"] = [{"label": "V_Ar"}]
    with pytest.raises(ConfigError, match="before the defects"):
        build_supercell(atoms, 2)


def test_one_repeat_count_serves_all_directions():
    atoms = build_prototype("cscl", "ArKr", lattice_parameter_A=4.0)
    assert np.array_equal(build_supercell(atoms, 2).positions, build_supercell(atoms, (2, 2, 2)).positions)
