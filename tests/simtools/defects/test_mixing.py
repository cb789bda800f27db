"""Orderings and short-range order against values known on paper, a direct count, and random arrangements."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.defects.mixing import (
    ordered_sites,
    pair_correlations,
    random_sites,
    special_quasirandom_sites,
)
from simtools.structures import build_prototype, build_supercell, crystal_symmetry


def li3ocl(repeats=4):
    return build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=3.9), repeats)


def with_bromide(crystal, sites):
    mixed = crystal.copy()
    mixed.symbols[sites] = "Br"
    return mixed


@pytest.mark.parametrize(
    ("ordering", "parameters", "space_group"),
    [
        ("rocksalt", [-1, 1, -1], "Fm-3m"),
        ("layered", [1 / 3, -1 / 3, -1], "P4/mmm"),
        ("columnar", [-1 / 3, -1 / 3, 1], "P4/mmm"),
    ],
)
def test_named_orderings_have_their_short_range_order_and_symmetry(ordering, parameters, space_group):
    crystal = li3ocl()
    sites = ordered_sites(crystal, "Cl", 32, ordering=ordering)
    assert_allclose(pair_correlations(crystal, "Cl", sites).warren_cowley, parameters, atol=1e-12)
    assert crystal_symmetry(with_bromide(crystal, sites)).space_group == space_group


def test_layers_lie_on_top_of_each_other_along_c():
    crystal = li3ocl((3, 1, 2))
    chosen = ordered_sites(crystal, "Cl", 3, ordering="layered")
    assert_allclose(crystal.positions[chosen, 2], 3.9)


@pytest.mark.parametrize("count", [0, 1, 2, 8, 32, 63, 64])
def test_separated_sites_are_apart(count):
    crystal = li3ocl()
    sites = ordered_sites(crystal, "Cl", count, seed=3)
    assert len(np.unique(sites)) == count
    assert set(crystal.symbols[sites]) <= {"Cl"}
    if 1 < count < 64:
        distances = crystal[sites].get_all_distances(mic=True)
        np.fill_diagonal(distances, np.inf)
        widest = {2: 2 * np.sqrt(3), 8: 2, 32: np.sqrt(2), 63: 1}[count] * 3.9
        assert distances.min() == pytest.approx(widest)


def test_short_range_order_is_what_a_direct_count_gives():
    crystal = li3ocl((3, 3, 4))
    chosen = random_sites(crystal, "Li", 31, seed=5)
    sites = np.flatnonzero(crystal.symbols == "Li")
    found = pair_correlations(crystal, "Li", chosen, n_shells=2)
    assert_allclose(found.distances_A, [3.9 / np.sqrt(2), 3.9])
    assert_allclose(found.coordination, [8, 6])
    for shell, distance in enumerate(found.distances_A):
        unlike = total = 0
        for i in chosen:
            for j in sites[sites != i]:
                if abs(crystal.get_distance(i, j, mic=True) - distance) < 0.01:
                    total += 1
                    unlike += j not in chosen
        assert found.warren_cowley[shell] == pytest.approx(1 - unlike / total / (77 / 108))


def test_random_sites_are_uniform_and_have_the_finite_cell_mean():
    crystal = li3ocl((3, 3, 3))
    draws = [random_sites(crystal, "Cl", 9, seed=seed) for seed in range(400)]
    hits = np.bincount(np.concatenate(draws), minlength=len(crystal))[crystal.symbols == "Cl"]
    expected = 400 * 9 / 27
    chi2 = np.sum((hits - expected) ** 2 / (expected * (1 - 9 / 27)))
    assert 8 < chi2 < 55  # 26 degrees of freedom: 99.9 % within
    order = np.array([pair_correlations(crystal, "Cl", draw, n_shells=1).warren_cowley[0] for draw in draws])
    assert abs(order.mean() + 1 / 26) < 4 * order.std() / np.sqrt(400)
    assert np.array_equal(draws[7], random_sites(crystal, "Cl", 9, seed=7))


@pytest.mark.parametrize(("species", "count"), [("Cl", 32), ("Cl", 13), ("Li", 48), ("O", 16)])
def test_a_quasirandom_cell_is_closer_to_random_than_random_cells(species, count):
    pytest.importorskip("sqsgenerator", reason="the optional package sqsgenerator is not installed")
    crystal = li3ocl()
    chosen = special_quasirandom_sites(crystal, species, count, seed=2, n_trials=5_000)
    assert len(chosen) == count
    assert set(crystal.symbols[chosen]) == {species}
    weights = 1 / np.arange(1, 4)
    order = weights @ np.abs(pair_correlations(crystal, species, chosen).warren_cowley)
    random = [
        weights
        @ np.abs(
            pair_correlations(crystal, species, random_sites(crystal, species, count, seed=k)).warren_cowley
        )
        for k in range(20)
    ]
    assert order < 0.5 * np.min(random)
    again = special_quasirandom_sites(crystal, species, count, seed=2, n_trials=5_000)
    assert np.array_equal(chosen, again)


def test_a_quasirandom_sublattice_may_be_distorted():
    pytest.importorskip("sqsgenerator", reason="the optional package sqsgenerator is not installed")
    crystal = li3ocl()
    crystal.rattle(0.003, seed=1)
    chosen = special_quasirandom_sites(crystal, "Cl", 32, seed=0, n_trials=5_000)
    assert np.abs(pair_correlations(crystal, "Cl", chosen).warren_cowley).max() < 0.05


def test_without_the_library_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sqsgenerator", None)
    with pytest.raises(ConfigError, match=r"pip install .*\[sqs\]") as error:
        special_quasirandom_sites(li3ocl(2), "Cl", 4, seed=0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda crystal: random_sites(crystal, "Cl", 65, seed=0), "64 Cl sites"),
        (lambda crystal: random_sites(crystal, "Cl", 2.0, seed=0), "count must be an integer"),
        (lambda crystal: random_sites(crystal, "Cl", 2, seed=-1), "seed must be"),
        (lambda crystal: ordered_sites(crystal, "Cl", 32, ordering="layers"), "expected one of: separated"),
        (lambda crystal: ordered_sites(crystal, "Cl", 31, ordering="layered"), "takes half"),
        (lambda crystal: ordered_sites(crystal, "Li", 96, ordering="layered"), "one Li site in each"),
        (lambda crystal: ordered_sites(li3ocl(3), "Cl", 13, ordering="columnar"), "along a and b, got 3x3x3"),
        (lambda crystal: special_quasirandom_sites(crystal, "Cl", 64, seed=0), "both kinds"),
        (lambda crystal: pair_correlations(crystal, "Cl", [0]), "chosen must be"),
        (lambda crystal: pair_correlations(li3ocl(2), "Cl", [4], n_shells=4), "has 3 shells"),
    ],
)
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(ConfigError, match=words):
        call(li3ocl())


def test_a_sublattice_must_be_there():
    with pytest.raises(UnknownSpeciesError, match="'Br'"):
        random_sites(li3ocl(), "Br", 1, seed=0)
