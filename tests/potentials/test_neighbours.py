"""The neighbour list against every image laid out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from potentials.errors import NonFiniteError
from potentials.neighbours import NeighbourList
from tests.reference import ewald


def listed_distances(neighbours, cutoff_A):
    """Return the sorted distances of listed pairs within the cutoff, and the types that they join."""
    found = []
    for i in range(neighbours.n_local):
        for t in range(neighbours.n_types):
            entry = i * neighbours.n_types + t
            for j in neighbours.neighbour_k[neighbours.first_it[entry] : neighbours.first_it[entry + 1]]:
                assert neighbours.type_x[j] == t
                distance = np.linalg.norm(neighbours.r_xc[j, :3] - neighbours.r_xc[i, :3])
                if distance < cutoff_A:
                    found.append((distance, *sorted((neighbours.owner_x[i], neighbours.owner_x[j]))))
    return np.array(sorted(found)).reshape(-1, 3)


def every_distance(positions_nc, cell, cutoff_A):
    """Return the same from all images: each pair of images once, so half of the ordered pairs."""
    found = []
    wrapped = (positions_nc @ np.linalg.inv(cell)) % 1.0 @ cell
    for i, j, d in ewald.neighbours(wrapped, cell, cutoff_A):
        found += [(r, *sorted(pair)) for r, *pair in zip(np.linalg.norm(d, axis=1), i, j, strict=True)]
    return np.array(sorted(found)).reshape(-1, 3)[::2]


def random_cell(rng, edge_A, tilt):
    return edge_A * (np.diag(rng.uniform(0.6, 1.6, 3)) + tilt * rng.uniform(-1, 1, (3, 3)))


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("n_atoms", "edge_A", "tilt"), [(1, 1.5, 0.0), (1, 2.0, 0.3), (5, 3.0, 0.45), (30, 9.0, 0.3)]
)
def test_every_pair_of_images_is_listed_once(n_atoms, edge_A, tilt):
    rng = np.random.default_rng(n_atoms)
    cell = random_cell(rng, edge_A, tilt)
    positions_nc = rng.uniform(-2, 3, (n_atoms, 3)) @ cell
    neighbours = NeighbourList(rng.integers(0, 2, n_atoms), np.full((2, 2), 4.0), 0.3)
    neighbours.update(positions_nc, cell)
    listed, expected = listed_distances(neighbours, 4.0), every_distance(positions_nc, cell, 4.0)
    assert len(listed) == len(expected)
    assert_allclose(listed[:, 0], expected[:, 0], atol=1e-10)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6), n_atoms=st.integers(1, 60), edge=st.floats(2.0, 16.0), tilt=st.floats(0, 0.4)
)
def test_any_cell_lists_every_pair_once(seed, n_atoms, edge, tilt):
    rng = np.random.default_rng(seed)
    cell = random_cell(rng, edge, tilt)
    positions_nc = rng.uniform(-1, 2, (n_atoms, 3)) @ cell
    neighbours = NeighbourList(rng.integers(0, 3, n_atoms), np.full((3, 3), 3.5), 0.4)
    neighbours.update(positions_nc, cell)
    listed, expected = listed_distances(neighbours, 3.5), every_distance(positions_nc, cell, 3.5)
    assert len(listed) == len(expected)
    assert_allclose(listed[:, 0], expected[:, 0], atol=1e-9)


def test_pairs_of_types_have_cutoffs_of_their_own():
    rng = np.random.default_rng(0)
    cell, positions_nc = np.eye(3) * 9.0, rng.uniform(0, 9, (50, 3))
    cutoff_tt = np.array([[0.0, 3.0], [3.0, 4.5]])
    neighbours = NeighbourList(rng.integers(0, 2, 50), cutoff_tt, 0.5)
    neighbours.update(positions_nc, cell)
    counted = np.zeros((2, 2))
    for i in range(50):
        for t in range(2):
            listed = neighbours.neighbour_k[
                neighbours.first_it[2 * i + t] : neighbours.first_it[2 * i + t + 1]
            ]
            reach = cutoff_tt[neighbours.type_x[i], t] + 0.5
            distance = np.linalg.norm(neighbours.r_xc[listed, :3] - neighbours.r_xc[i, :3], axis=1)
            assert np.all(distance < reach)
            counted[neighbours.type_x[i], t] += len(listed)
    assert counted[0, 0] == 0
    assert counted[1, 1] > 0


@pytest.mark.parametrize("breathe", [0.0, 0.02])
def test_no_pair_within_the_cutoff_is_missed_while_atoms_and_cell_move(breathe):
    rng = np.random.default_rng(5)
    cell0 = random_cell(rng, 8.0, 0.2)
    positions_nc = rng.uniform(0, 1, (40, 3)) @ cell0
    neighbours = NeighbourList(np.zeros(40, dtype=int), np.full((1, 1), 3.5), 0.6)
    cell, rebuilds = cell0, 0
    for step in range(25):
        strain = breathe * np.sin(0.7 * step) * np.array([[1, 0.5, 0], [0, -0.5, 0], [0.2, 0, 1]])
        new_cell = cell0 @ (np.eye(3) + strain)
        positions_nc = positions_nc @ np.linalg.solve(cell, new_cell) + rng.normal(0, 0.04, (40, 3))
        cell = new_cell
        rebuilds += neighbours.update(positions_nc, cell)
        listed, expected = listed_distances(neighbours, 3.5), every_distance(positions_nc, cell, 3.5)
        assert len(listed) == len(expected)
        assert_allclose(listed[:, 0], expected[:, 0], atol=1e-9)
    assert 1 < rebuilds < 25


def test_a_list_is_a_function_of_its_reference_alone():
    rng = np.random.default_rng(7)
    cell, positions_nc = random_cell(rng, 9.0, 0.2), rng.uniform(0, 9, (60, 3))
    types = rng.integers(0, 2, 60)
    used, fresh = (NeighbourList(types, np.full((2, 2), 4.0), 0.5) for _ in range(2))
    for _ in range(3):
        used.update(rng.uniform(0, 9, (60, 3)), cell)
    used.rebuild(positions_nc, cell)
    fresh.rebuild(positions_nc, cell)
    for name in ("r_xc", "owner_x", "type_x", "first_it", "neighbour_k"):
        assert_array_equal(getattr(used, name), getattr(fresh, name))


@pytest.mark.kernel
def test_a_position_that_is_no_number_is_named():
    neighbours = NeighbourList([0, 0], np.full((1, 1), 3.0), 0.5)
    positions_nc = np.array([[0.0, 0, 0], [1.5, 0, 0]])
    neighbours.update(positions_nc, np.eye(3) * 5.0)
    positions_nc[1, 2] = np.nan
    with pytest.raises(NonFiniteError, match="atom 1"):
        neighbours.update(positions_nc, np.eye(3) * 5.0)


def test_an_expanding_cell_does_not_stretch_the_patience_of_short_cutoffs():
    cell = np.eye(3) * 20.0
    positions_nc = np.array([[0.0, 0, 0], [3.05, 0, 0], [0, 9.0, 9.0], [9.0, 9.0, 0]])
    neighbours = NeighbourList([0, 0, 1, 1], np.array([[2.0, 2.0], [2.0, 6.0]]), 1.0)
    neighbours.update(positions_nc, cell)
    positions_nc = positions_nc * 1.05
    positions_nc[1, 0] = 1.99  # approached by 1.21 Å beside the strain: more than the skin
    assert neighbours.update(positions_nc, cell * 1.05)
    assert listed_distances(neighbours, 2.0)[0, 0] == pytest.approx(1.99)


@pytest.mark.kernel
@pytest.mark.parametrize(("edge_A", "tilt"), [(2.0, 0.3), (6.0, 0.2)])
def test_partners_are_left_out_once_each_and_their_images_stay(edge_A, tilt):
    rng = np.random.default_rng(8)
    cell = random_cell(rng, edge_A, tilt)
    first = rng.uniform(-2, 3, (6, 3)) @ cell
    positions_nc = np.concatenate([first, first + rng.normal(0.0, 0.1, first.shape)])
    partner_n = np.concatenate([np.arange(6, 12), np.arange(6)])
    types = rng.integers(0, 2, 12)
    whole = NeighbourList(types, np.full((2, 2), 4.0), 0.3)
    apart = NeighbourList(types, np.full((2, 2), 4.0), 0.3, partner_n)
    for neighbours in (whole, apart):
        neighbours.update(positions_nc, cell)
    expected = [tuple(row) for row in np.round(listed_distances(whole, 4.0), 9)]
    for n in range(6):
        distance = round(float(np.linalg.norm(positions_nc[n + 6] - positions_nc[n])), 9)
        expected.remove((distance, n, n + 6))
    assert [tuple(row) for row in np.round(listed_distances(apart, 4.0), 9)] == expected
