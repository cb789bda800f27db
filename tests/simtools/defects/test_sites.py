"""Interstitial sites against the holes of textbook structures, a grid search, and plain distances."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.core.errors import ConfigError
from simtools.core.units import COULOMB_EV_A
from simtools.defects.sites import equivalent_positions, interstitial_sites
from simtools.structures import build_prototype, build_supercell

A = 4.0
TETRAHEDRAL = np.sqrt(3) / 4
# prototype: formula and (multiplicity, nearest / a, neighbours, site symmetry) of every site, widest first
HOLES = {
    "fcc": ("Ar", [(4, 0.5, {"Ar": 6}, "m-3m"), (8, TETRAHEDRAL, {"Ar": 4}, "-43m")]),
    "rocksalt": ("LiCl", [(8, TETRAHEDRAL, {"Li": 4, "Cl": 4}, "-43m")]),
    "antifluorite": ("Li2O", [(4, TETRAHEDRAL, {"Li": 8, "O": 6}, "m-3m")]),
    "cscl": ("ArKr", [(12, np.sqrt(5) / 4, {"Ar": 2, "Kr": 2}, "mm2")]),
    "cubic": (
        "Li3OCl",
        [(3, 0.5, {"Li": 4, "Cl": 2}, "4/mmm"), (8, TETRAHEDRAL, {"Li": 3, "Cl": 1, "O": 1}, "3m")],
    ),
}


def cell_of(prototype):
    return build_prototype(prototype, HOLES[prototype][0], lattice_parameter_A=A)


def distances_to(atoms, scaled):
    """Return all distances from a point to the ions of 5 x 5 x 5 cells around it, by plain geometry."""
    shifts = np.array([[i, j, k] for i in range(-2, 3) for j in range(-2, 3) for k in range(-2, 3)])
    vectors = (atoms.get_scaled_positions()[None] + shifts[:, None] - scaled) @ atoms.cell.array
    return np.linalg.norm(vectors, axis=-1), np.tile(atoms.get_chemical_symbols(), (len(shifts), 1))


@pytest.mark.parametrize("prototype", HOLES)
def test_textbook_holes_are_found_and_nothing_else(prototype):
    sites = interstitial_sites(cell_of(prototype))
    found = [(site.multiplicity, site.neighbours, site.site_symmetry.replace(".", "")) for site in sites]
    expected = HOLES[prototype][1]
    assert found == [(n, around, symmetry) for n, _, around, symmetry in expected]
    assert_allclose([site.nearest_A for site in sites], [A * reach for _, reach, *_ in expected], rtol=1e-9)


@pytest.mark.parametrize("prototype", HOLES)
def test_equivalent_sites_see_the_same_surroundings(prototype):
    atoms = cell_of(prototype)
    for site in interstitial_sites(atoms):
        for position in site.equivalent_scaled_positions:
            distances, symbols = distances_to(atoms, np.array(position))
            assert distances.min() == pytest.approx(site.nearest_A, rel=1e-9)
            near = symbols[distances < 1.25 * site.nearest_A].tolist()
            assert {name: near.count(name) for name in set(near)} == site.neighbours
            for name, distance in site.distances_A.items():
                assert distances[symbols == name].min() == pytest.approx(distance, rel=1e-9)


def test_antiperovskite_sites_are_the_edge_centres_and_the_cube_octants():
    edge, octant = interstitial_sites(cell_of("cubic"))
    assert_allclose(edge.equivalent_scaled_positions, [[0, 0, 0.5], [0, 0.5, 0], [0.5, 0, 0]], atol=1e-9)
    quarters = [[x, y, z] for x in (0.25, 0.75) for y in (0.25, 0.75) for z in (0.25, 0.75)]
    assert_allclose(octant.equivalent_scaled_positions, quarters, atol=1e-9)
    assert edge.distances_A["O"] == pytest.approx(A / np.sqrt(2))
    assert (edge.wyckoff_letter, octant.wyckoff_letter) == ("d", "g")
    assert str(edge) == "(0 0 0.5) x3, 4/mm.m, nearest 2.000 Å: 4 Li 2 Cl"


def test_the_widest_site_is_the_widest_point_of_a_grid_search():
    atoms = cell_of("cubic")
    atoms.set_cell(atoms.cell.array @ [[1, 0.15, 0], [0, 1, 0.2], [0.1, 0, 1.1]], scale_atoms=True)
    atoms.rattle(0.1, seed=3)
    grid = np.stack(np.meshgrid(*[np.arange(24) / 24] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    shifts = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)])
    ions = (atoms.get_scaled_positions()[None] + shifts[:, None]).reshape(-1, 3) @ atoms.cell.array
    widest = np.linalg.norm(grid[:, None] @ atoms.cell.array - ions, axis=-1).min(axis=1).max()
    best = interstitial_sites(atoms)[0]
    assert widest <= best.nearest_A < widest + 0.12
    assert distances_to(atoms, np.array(best.scaled_position))[0].min() == pytest.approx(best.nearest_A)


def test_a_tetragonal_strain_splits_the_edges_and_keeps_the_count():
    atoms = cell_of("cubic")
    atoms.set_cell(np.diag([A, A, 1.07 * A]), scale_atoms=True)
    sites = interstitial_sites(atoms)
    assert [site.multiplicity for site in sites] == [1, 2, 8]
    assert sites[0].distances_A == pytest.approx({"Li": A / 2, "Cl": 1.07 * A / 2, "O": A / np.sqrt(2)})
    assert sites[2].site_symmetry.replace(".", "") == "m"


def test_small_noise_does_not_multiply_the_sites():
    atoms = cell_of("cubic")
    atoms.rattle(0.05, seed=2)
    sites = interstitial_sites(atoms)
    assert [site.multiplicity for site in sites] == [1] * 11
    assert [sum(site.neighbours.values()) for site in sites] == [6] * 3 + [5] * 8


@pytest.mark.parametrize(("repeats", "n_orbits"), [((2, 2, 2), 2), ((2, 1, 3), 4)])
def test_supercell_and_unit_cell_agree_on_every_position(repeats, n_orbits):
    """A supercell of another shape than the crystal's splits the three edges: its periodic images differ."""
    atoms = cell_of("cubic")
    expected = np.concatenate(
        [equivalent_positions(site, repeats=repeats) for site in interstitial_sites(atoms)]
    )
    sites = interstitial_sites(build_supercell(atoms, repeats))
    found = np.concatenate([site.equivalent_scaled_positions for site in sites])
    assert len(sites) == n_orbits
    assert found.shape == expected.shape
    order = [np.lexsort(np.round(positions, 6).T) for positions in (expected, found)]
    assert_allclose(expected[order[0]], found[order[1]], atol=1e-9)


def test_equivalent_positions_follow_the_cells_of_the_supercell():
    atoms = cell_of("cubic")
    (edge, _), repeats = interstitial_sites(atoms), (2, 2, 2)
    positions = equivalent_positions(edge, repeats=repeats) @ (atoms.cell.array * 2)
    cells = build_supercell(atoms, repeats).positions[4::5]
    assert_allclose(positions[0::3] - cells, np.tile([0, 0, A / 2], (8, 1)), atol=1e-9)


def test_potentials_are_those_of_published_madelung_constants():
    """NaCl (1.7475645946) and ZnS (1.6380550534) give the potential of an fcc lattice in its holes.

    With f that of unit charges at their own sites (0), in octahedra (O) and in tetrahedra (T), f0 - fO and
    f0 - fT are these constants over the nearest distance, and the hole of M2X sees 2 fT - 2 fO. In X3BA the
    octants are at equal distances from all five ions' lattices, whose charges cancel.
    """
    rock, blende = 1.7475645946 / (A / 2), 1.6380550534 / (np.sqrt(3) / 4 * A)
    (hole,) = interstitial_sites(cell_of("antifluorite"), formal_charges_e={"Li": 1, "O": -2})
    assert hole.potential_V == pytest.approx(2 * COULOMB_EV_A * (blende - rock), rel=1e-9)
    (centre,) = interstitial_sites(cell_of("rocksalt"), formal_charges_e={"Li": 1, "Cl": -1})
    assert centre.potential_V == pytest.approx(0, abs=1e-9)
    edge, octant = interstitial_sites(cell_of("cubic"), formal_charges_e={"Li": 1, "O": -2, "Cl": -1})
    assert octant.potential_V == pytest.approx(0, abs=1e-9)
    assert edge.potential_V > 0.5


def test_potentials_do_not_depend_on_the_cell_they_are_calculated_in():
    charges = {"Li": 1, "O": -2, "Cl": -1}
    atoms = cell_of("cubic")
    few = interstitial_sites(atoms, formal_charges_e=charges)
    many = interstitial_sites(build_supercell(atoms, 2), formal_charges_e=charges)
    assert [site.potential_V for site in few] == pytest.approx([site.potential_V for site in many], abs=1e-9)


def test_narrow_holes_are_left_out_on_request():
    assert [site.multiplicity for site in interstitial_sites(cell_of("fcc"), minimum_distance_A=1.8)] == [4]
    assert interstitial_sites(cell_of("fcc"), minimum_distance_A=2.5) == ()


def test_bad_requests_are_refused():
    with pytest.raises(ConfigError, match="merge_A"):
        interstitial_sites(cell_of("fcc"), merge_A=-1)
    with pytest.raises(ConfigError, match="minimum_distance_A"):
        interstitial_sites(cell_of("fcc"), minimum_distance_A=np.nan)
    with pytest.raises(ConfigError, match="O is missing"):
        interstitial_sites(cell_of("antifluorite"), formal_charges_e={"Li": 1})
    with pytest.raises(ConfigError, match=r"sum to \+4 e"):
        interstitial_sites(cell_of("antifluorite"), formal_charges_e={"Li": 1, "O": -1})
    molecule = cell_of("fcc")
    molecule.pbc = False
    with pytest.raises(ConfigError, match="periodic"):
        interstitial_sites(molecule)
