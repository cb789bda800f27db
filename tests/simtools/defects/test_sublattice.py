"""Distances, shells and axes of a sublattice against those known on paper and a count by brute force."""

import numpy as np
import pytest
from ase.build import bulk
from ase.neighborlist import neighbor_list
from numpy.testing import assert_allclose

from simtools.core.errors import UnknownSpeciesError
from simtools.defects.configurations import distinct_configurations
from simtools.defects.mixing import pair_correlations
from simtools.defects.sublattice import (
    SHELL_TOLERANCE_A,
    SiteGeometry,
    family_axes,
    family_indices,
    nearest_distance_A,
    shell_numbers,
)
from simtools.structures import build_antiperovskite, build_supercell

A = 4.0
CRYSTAL = build_antiperovskite("Li3OCl", lattice_parameter_A=A)


def test_nearest_distances_count_periodic_images():
    assert nearest_distance_A(CRYSTAL, "Li") == pytest.approx(A / np.sqrt(2))
    assert nearest_distance_A(CRYSTAL, "Cl") == pytest.approx(A)
    assert nearest_distance_A(bulk("Li", "fcc", a=A), "Li") == pytest.approx(A / np.sqrt(2))
    with pytest.raises(UnknownSpeciesError, match="no species 'Na'"):
        nearest_distance_A(CRYSTAL, "Na")


def test_the_nearest_pair_counts_wherever_it_is():
    crystal = build_supercell(CRYSTAL, 2)
    crystal.rattle(0.2, seed=1)
    lithium = crystal[crystal.symbols == "Li"]
    first, distances = neighbor_list("id", lithium, A)
    assert nearest_distance_A(crystal, "Li") == pytest.approx(distances.min())
    geometry = SiteGeometry.of(lithium)
    for site in range(len(lithium)):
        assert geometry.nearest_alike_A(site) == pytest.approx(distances[first == site].min())


def test_distances_within_the_tolerance_of_the_one_before_are_a_shell():
    assert shell_numbers([3.0, 2.0, 2.09, 2.18, 3.0, 3.11]).tolist() == [1, 0, 0, 0, 1, 2]
    assert shell_numbers([]).tolist() == []


def test_one_shell_is_the_same_to_partners_configurations_and_correlations():
    crystal = CRYSTAL.copy()
    crystal.set_cell(np.diag([A, A, A + 1.2 * SHELL_TOLERANCE_A]), scale_atoms=True)
    crystal = build_supercell(crystal, 3)
    # Cl at a and at c are two shells; the face diagonals, 0.085 Å apart, are one
    expected = [A, A + 1.2 * SHELL_TOLERANCE_A]
    chlorine = np.flatnonzero(crystal.symbols == "Cl")
    found = pair_correlations(crystal, "Cl", chlorine[:9], n_shells=3)
    assert_allclose(found.distances_A[:2], expected)
    assert_allclose(found.coordination, [4, 2, 12])
    by_shell = {}
    for one in distinct_configurations(crystal, {"V_Cl.": 2}):
        by_shell.setdefault(one.shell, []).append(one.distances_A[0])
    assert_allclose([by_shell[1][0], by_shell[2][0]], expected)
    diagonals = [np.hypot(A, A), np.hypot(*expected)]
    assert_allclose(sorted(set(np.round(by_shell[3], 6))), diagonals, atol=1e-6)


@pytest.mark.parametrize(("family", "n"), [("100", 3), ("110", 6), ("111", 4)])
def test_a_family_has_one_of_each_pair_of_opposite_axes(family, n):
    axes = np.array(family_indices(family))
    assert len(axes) == n
    assert len(np.unique(np.vstack([axes, -axes]), axis=0)) == 2 * n
    assert np.all(np.abs(axes).sum(axis=1) == family.count("1"))
    assert_allclose(family_axes(3.0 * np.eye(3), family), axes / np.sqrt(family.count("1")))
