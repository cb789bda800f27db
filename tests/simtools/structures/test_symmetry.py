"""Operations and orbits against the International Tables and against a direct check of each map."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.core.errors import ConfigError, ShapeError
from simtools.structures import build_prototype, build_supercell
from simtools.structures.symmetry import SymmetryError, crystal_symmetry, distinct_sites


def li3ocl(repeats=1):
    return build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=3.9), repeats)


@pytest.mark.parametrize(
    ("prototype", "formula", "space_group", "number", "n_operations"),
    [
        ("cubic", "Li3OCl", "Pm-3m", 221, 48),
        ("rocksalt", "LiCl", "Fm-3m", 225, 192),
        ("antifluorite", "Li2O", "Fm-3m", 225, 192),
        ("fcc", "Ar", "Fm-3m", 225, 192),
        ("l1_0", "ArKr", "P4/mmm", 123, 32),
    ],
)
def test_space_groups_of_the_prototypes(prototype, formula, space_group, number, n_operations):
    symmetry = crystal_symmetry(build_prototype(prototype, formula, lattice_parameter_A=5.0))
    assert (symmetry.space_group, symmetry.number, len(symmetry)) == (space_group, number, n_operations)


@pytest.mark.parametrize(
    ("repeats", "n_point"), [((2, 2, 2), 48), ((2, 1, 1), 16), ((2, 3, 4), 8), ((3, 3, 1), 16)]
)
def test_supercell_keeps_the_operations_that_keep_its_shape(repeats, n_point):
    symmetry = crystal_symmetry(li3ocl(repeats))
    assert symmetry.space_group == "Pm-3m"
    assert len(symmetry) == n_point * np.prod(repeats)


@pytest.mark.parametrize("case", ["supercell", "vacancy", "sheared", "noisy"])
def test_every_operation_is_a_symmetry_and_the_permutations_say_where_atoms_go(case):
    atoms = li3ocl((2, 2, 1))
    if case == "vacancy":
        del atoms[3]
    if case == "sheared":
        atoms.set_cell(atoms.cell.array @ [[1, 0.02, 0], [0, 1, 0], [0, 0.1, 1.1]], scale_atoms=True)
    if case == "noisy":
        atoms.rattle(2e-5, seed=1)
    symmetry = crystal_symmetry(atoms)
    scaled = atoms.get_scaled_positions()
    pairs = zip(symmetry.rotations, symmetry.permutations, strict=True)
    assert len({(rotation.tobytes(), permutation.tobytes()) for rotation, permutation in pairs}) == len(
        symmetry
    )
    for k in range(len(symmetry)):
        mapped = scaled @ symmetry.rotations[k].T + symmetry.translations[k]
        apart = mapped - scaled[symmetry.permutations[k]]
        assert_allclose((apart - np.round(apart)) @ atoms.cell.array, 0, atol=1e-3)
        assert np.array_equal(atoms.numbers[symmetry.permutations[k]], atoms.numbers)
    turns = symmetry.cartesian_rotations
    assert_allclose(turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turns.shape), atol=1e-4)
    vector = np.array([0.3, -0.4, 0.5])
    for turn, rotation in zip(turns, symmetry.rotations, strict=True):
        assert_allclose(
            (vector @ atoms.cell.array) @ turn.T, (rotation @ vector) @ atoms.cell.array, atol=1e-9
        )


def test_distinct_sites_of_the_perfect_crystal_carry_their_wyckoff_letters():
    found = [
        (site.species, site.multiplicity, site.wyckoff_letter, site.site_symmetry.replace(".", ""))
        for site in distinct_sites(li3ocl(2))
    ]
    assert found == [("Li", 24, "c", "4/mmm"), ("O", 8, "b", "m-3m"), ("Cl", 8, "a", "m-3m")]


def test_the_eight_neighbours_of_a_vacancy_are_one_orbit():
    perfect = li3ocl(3)
    distances = perfect.get_distances(0, range(1, len(perfect)), mic=True)
    atoms = perfect.copy()
    del atoms[0]
    symmetry = crystal_symmetry(atoms)
    assert (symmetry.space_group, len(symmetry)) == ("P4/mmm", 16)
    near = set(np.flatnonzero(np.isclose(distances, 3.9 / np.sqrt(2)) & (atoms.symbols == "Li")).tolist())
    assert len(near) == 8
    assert near in [set(site.indices) for site in distinct_sites(atoms, symmetry=symmetry)]


def test_labels_tell_atoms_of_one_element_apart():
    atoms = li3ocl()
    symmetry = crystal_symmetry(atoms, labels=["a", "b", "b", "x", "x"])
    assert symmetry.number == 123
    assert symmetry.orbits.tolist() == [0, 1, 1, 3, 4]


def test_bad_cells_are_refused():
    atoms = li3ocl()
    with pytest.raises(ShapeError, match="labels"):
        crystal_symmetry(atoms, labels=["a"])
    with pytest.raises(ConfigError, match="tolerance_A"):
        crystal_symmetry(atoms, tolerance_A=0)
    atoms.positions[1] = atoms.positions[0]
    with pytest.raises(SymmetryError, match="on top of each other"):
        crystal_symmetry(atoms)
    atoms.pbc = False
    with pytest.raises(ConfigError, match="periodic"):
        crystal_symmetry(atoms)
