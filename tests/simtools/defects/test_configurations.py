"""Orbit counts against binomial coefficients, brute force over all placements, and shells known on paper."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from ase import spacegroup
from ase.neighborlist import neighbor_list
from numpy.testing import assert_allclose

from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.defects.configurations import distinct_configurations, distinct_hops
from simtools.structures import build_prototype, build_supercell, crystal_symmetry

A = 3.9


def li3ocl(repeats=1):
    return build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=A), repeats)


def brute_force_orbits(crystal, groups):
    """Return the sorted sizes of the orbits of all placements; groups are (sites, count), one per label."""
    operations = crystal_symmetry(crystal).permutations
    placements = [()]
    for sites, count in groups:
        placements = [
            (*earlier, chosen)
            for earlier in placements
            for chosen in combinations([s for s in sites if s not in sum(earlier, ())], count)
        ]
    left, sizes = set(placements), []
    while left:
        start = next(iter(left))
        orbit = {tuple(tuple(sorted(p[list(sites)].tolist())) for sites in start) for p in operations}
        sizes.append(len(orbit))
        left -= orbit
    return sorted(sizes)


@pytest.mark.parametrize(
    ("repeats", "counts", "groups"),
    [
        (2, {"V_Li'": 2}, [("Li", 2)]),
        (2, {"Br_Cl": 4}, [("Cl", 4)]),
        (2, {"Br_Cl": 7}, [("Cl", 7)]),
        ((2, 1, 1), {"Mg_Li.": 2, "V_Li'": 2}, [("Li", 2), ("Li", 2)]),
        ((2, 2, 1), {"V_Li'": 3, "O_Cl'": 1}, [("Li", 3), ("Cl", 1)]),
        ((3, 1, 1), {"S_O": 1, "V_Li'": 1, "Br_Cl": 2}, [("O", 1), ("Li", 1), ("Cl", 2)]),
    ],
)
def test_orbits_equal_brute_force(repeats, counts, groups):
    crystal = li3ocl(repeats)
    found = distinct_configurations(crystal, counts)
    sites = {name: np.flatnonzero(crystal.symbols == name).tolist() for name in ("Li", "O", "Cl")}
    expected = brute_force_orbits(crystal, [(sites[name], n) for name, n in groups])
    assert sorted(configuration.multiplicity for configuration in found) == expected
    for configuration in found:
        assert len({site for _, site in configuration.defects}) == sum(counts.values())
        for label, site in configuration.defects:
            assert crystal.symbols[site] == label.split("_")[1].rstrip(".'")


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_multiplicities_add_up_to_the_binomial_coefficient(n):
    found = distinct_configurations(li3ocl(3), {"V_Li'": n})
    assert sum(configuration.multiplicity for configuration in found) == comb(81, n)


def test_orderings_of_a_simple_cubic_sublattice_of_eight():
    """Half the corners of a cube with periodic edges: pairs of edges, faces and body diagonals, by hand.

    In the 2x2x2 torus the eight sites are the points of GF(2)^3, and four of them are a plane (14 of the 70)
    or not (56): the planes are layers (6), diagonal columns (6) and tetrahedra (2).
    """
    found = distinct_configurations(li3ocl(2), {"Br_Cl": 4})
    assert sorted(configuration.multiplicity for configuration in found) == [2, 6, 6, 8, 24, 24]


def test_pairs_in_a_supercell_have_the_shells_of_the_face_centres():
    crystal = li3ocl(4)
    found = distinct_configurations(crystal, {"Mg_Li.": 1, "V_Li'": 1})
    assert sum(configuration.multiplicity for configuration in found) == 192 * 191
    by_shell = {}
    for configuration in found:
        (distance,) = configuration.distances_A
        by_shell.setdefault(configuration.shell, []).append((distance, configuration.multiplicity // 192))
    assert_allclose(by_shell[1], [(A / np.sqrt(2), 8)])
    assert_allclose([distance for distance, _ in by_shell[2]], A)
    assert sorted(n for _, n in by_shell[2]) == [2, 4]
    assert_allclose(by_shell[3], [(A * np.sqrt(1.5), 16)])
    expected = np.unique(
        np.round(crystal.get_distances(0, range(1, len(crystal)), mic=True), 6)[(crystal.symbols == "Li")[1:]]
    )
    assert_allclose([by_shell[shell][0][0] for shell in sorted(by_shell)], expected, atol=1e-5)


def test_interstitial_positions_are_sites_too():
    crystal = li3ocl(2)
    grid = np.array([[i, j, k] for i in (0, 0.5) for j in (0, 0.5) for k in (0, 0.5)])
    positions = np.concatenate([grid + 0.25 * np.eye(3)[c] for c in range(3)])
    found = distinct_configurations(crystal, {"V_Li'": 1, "Li_i.": 1}, interstitial_positions=positions)
    assert sum(configuration.multiplicity for configuration in found) == 24 * 24
    assert found[0].distances_A == pytest.approx((A / 2,))
    assert all(40 <= configuration.defects[1][1] < 64 for configuration in found)
    brute = {}
    for v in np.flatnonzero(crystal.symbols == "Li"):
        offset = positions - crystal.get_scaled_positions()[v]
        for d in np.round(np.linalg.norm((offset - np.round(offset)) * 2 * A, axis=1), 4):
            brute[d] = brute.get(d, 0) + 1
    sums = {}
    for configuration in found:
        d = round(configuration.distances_A[0], 4)
        sums[d] = sums.get(d, 0) + configuration.multiplicity
    assert_allclose(sorted(sums.items()), sorted(brute.items()), atol=2e-4)


def test_what_cannot_be_enumerated_is_refused():
    with pytest.raises(ConfigError, match=r"at least \d+ distinct configurations, more than limit = 20000"):
        distinct_configurations(li3ocl(3), {"V_Li'": 9})
    with pytest.raises(ConfigError, match="more than limit = 3"):
        distinct_configurations(li3ocl(2), {"V_Li'": 2}, limit=3)
    with pytest.raises(ConfigError, match="do not fit: 2 of 3 Li sites are left"):
        distinct_configurations(li3ocl(), {"Mg_Li.": 1, "V_Li'": 3})
    with pytest.raises(UnknownSpeciesError, match="available: Li, O, Cl"):
        distinct_configurations(li3ocl(), {"V_Na'": 1})
    with pytest.raises(ConfigError, match="positive integer"):
        distinct_configurations(li3ocl(), {"V_Li'": 1.0})
    with pytest.raises(ConfigError, match="interstitial_positions"):
        distinct_configurations(li3ocl(), {"Li_i.": 1})
    with pytest.raises(ConfigError, match="not a Kröger-Vink label"):
        distinct_configurations(li3ocl(), {"lithium": 1})
    with pytest.raises(ConfigError, match="counts must map"):
        distinct_configurations(li3ocl(), {})
    with pytest.raises(ConfigError, match="this very cell"):
        distinct_configurations(li3ocl(2), {"V_Li'": 1}, symmetry=crystal_symmetry(li3ocl()))


@pytest.mark.parametrize("reach", ["near", 0, -1.0, float("nan"), None])
def test_a_reach_that_is_no_distance_is_refused(reach):
    with pytest.raises(ConfigError, match="max_distance_A must be a positive number"):
        distinct_hops(li3ocl(), "Li", max_distance_A=reach)


def test_the_cubic_crystal_has_one_nearest_hop_and_a_tetragonal_one_two():
    (hop,) = distinct_hops(li3ocl(2), "Li", max_distance_A=0.8 * A)
    assert hop.distance_A == pytest.approx(A / np.sqrt(2))
    assert (hop.multiplicity, hop.n_from_initial, hop.n_from_final, hop.reversible) == (96, 8, 8, True)
    tetragonal = li3ocl()
    tetragonal.set_cell(np.diag([A, A, 1.05 * A]), scale_atoms=True)
    found = distinct_hops(tetragonal, "Li", max_distance_A=0.8 * A)
    assert [(hop.multiplicity, hop.reversible) for hop in found] == [(4, True), (8, False)]
    assert_allclose([hop.distance_A for hop in found], A * np.sqrt([0.5, (1 + 1.05**2) / 4]))
    ends = {found[1].initial: found[1].n_from_initial, found[1].final: found[1].n_from_final}
    normal_to_c = 2
    assert ends.pop(normal_to_c) == 8
    assert list(ends.values()) == [4]


def test_hops_of_the_primitive_cell_and_its_supercell_are_the_same():
    for reach in (0.8, 1.1, 1.3):
        few, many = (distinct_hops(li3ocl(n), "Li", max_distance_A=reach * A) for n in (1, 3))
        assert [hop.multiplicity * 27 for hop in few] == [hop.multiplicity for hop in many]
        assert_allclose([hop.distance_A for hop in few], [hop.distance_A for hop in many])


@pytest.mark.parametrize("case", ["sheared", "mixed", "dopant"])
def test_hops_account_for_every_pair_of_neighbours(case):
    atoms = li3ocl((2, 2, 2) if case != "sheared" else 1)
    if case == "sheared":
        atoms.set_cell(atoms.cell.array @ [[1, 0.03, 0], [0, 1, 0.05], [0, 0, 1.04]], scale_atoms=True)
    if case == "mixed":
        atoms.symbols[np.flatnonzero(atoms.symbols == "Cl")[[0, 1, 2]]] = "Br"
    if case == "dopant":
        atoms.symbols[0] = "Mg"
    reach = 0.78 * A
    lithium = atoms[atoms.symbols == "Li"]
    big = lithium.repeat(3)
    centre = len(lithium) * 13
    n_pairs = 0
    for k in range(len(lithium)):
        distances = np.linalg.norm(big.positions - big.positions[centre + k], axis=1)
        n_pairs += int(np.sum((distances > 0.1) & (distances < reach)))
    hops = distinct_hops(atoms, "Li", max_distance_A=reach)
    assert 2 * sum(hop.multiplicity for hop in hops) == n_pairs
    assert len(hops) > 1
    orbits = crystal_symmetry(atoms).orbits
    for site in np.unique(orbits[atoms.symbols == "Li"]).tolist():
        distances = np.linalg.norm(big.positions - atoms.positions[site] - atoms.cell.sum(axis=0), axis=1)
        out = sum(
            hop.n_from_initial if orbits[hop.initial] == site else hop.n_from_final
            for hop in hops
            if site in (orbits[hop.initial], orbits[hop.final])
        )
        assert out == int(np.sum((distances > 0.1) & (distances < reach)))


@pytest.mark.parametrize(
    ("space_group", "cell", "position"),
    [
        (2, [5.2, 5.6, 6.1, 80, 95, 104], [0.12, 0.34, 0.21]),
        (14, [5.2, 5.6, 6.1, 90, 104, 90], [0.12, 0.34, 0.21]),
        (148, [5.8, 5.8, 7.3, 90, 90, 120], [0.12, 0.34, 0.21]),
        (198, [5.9, 5.9, 5.9, 90, 90, 90], [0.12, 0.12, 0.12]),
        (216, [5.9, 5.9, 5.9, 90, 90, 90], [0.25, 0.25, 0.25]),
    ],
)
def test_orbits_of_hops_equal_brute_force_in_other_crystals(space_group, cell, position):
    """Every hop is joined with its reverse and with its image under every operation."""
    atoms = spacegroup.crystal(["Li", "O"], [position, [0, 0, 0]], spacegroup=space_group, cellpar=cell)
    symmetry = crystal_symmetry(atoms)
    assert symmetry.number == space_group
    first, second, vectors = neighbor_list("ijD", atoms, 4.2)
    lithium = (atoms.symbols[first] == "Li") & (atoms.symbols[second] == "Li")
    first, second, vectors = first[lithium], second[lithium], vectors[lithium]
    names = np.arange(len(first))

    def merge(k, start, end, vector):
        (image,) = np.flatnonzero(
            (first == start) & (second == end) & (np.linalg.norm(vectors - vector, axis=1) < 0.01)
        )
        names[names == names[image]] = names[k]

    turns, moves = symmetry.cartesian_rotations, symmetry.permutations
    for k in range(len(first)):
        merge(k, second[k], first[k], -vectors[k])
        for turn, move in zip(turns, moves, strict=True):
            merge(k, move[first[k]], move[second[k]], turn @ vectors[k])
    hops = distinct_hops(atoms, "Li", max_distance_A=4.2)
    assert len(hops) > 0
    assert sorted(np.unique(names, return_counts=True)[1] // 2) == sorted(hop.multiplicity for hop in hops)
    for hop in hops:
        (k,) = np.flatnonzero(
            (first == hop.initial) & (np.linalg.norm(vectors - hop.vector_A, axis=1) < 1e-6)
        )
        assert hop.n_from_initial == np.sum((names == names[k]) & (first == hop.initial))
        assert hop.n_from_final == np.sum((names == names[k]) & (first == hop.final))


def test_a_hop_beside_a_dopant_is_not_reversible_by_symmetry():
    atoms = li3ocl(3)
    atoms.symbols[0] = "Mg"
    hops = distinct_hops(atoms, "Li", max_distance_A=0.8 * A)
    near = [hop for hop in hops if np.isclose(atoms.get_distance(0, hop.initial, mic=True), A / np.sqrt(2))]
    assert any(not hop.reversible for hop in near)
    assert {hop.n_from_initial for hop in hops if hop.reversible} <= {1, 2, 4, 8}


def test_hops_refuse_what_is_not_there():
    with pytest.raises(UnknownSpeciesError, match="'Na'"):
        distinct_hops(li3ocl(), "Na", max_distance_A=3.0)
    with pytest.raises(ConfigError, match="max_distance_A"):
        distinct_hops(li3ocl(), "Li", max_distance_A=-1.0)
