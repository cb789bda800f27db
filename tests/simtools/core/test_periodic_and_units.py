import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import constants

from simtools.core import units
from simtools.core.periodic import cell_heights_A, minimum_image, scaled, shortest_distance_A, wrap

SKEWED = np.array([[4.0, 0.0, 0.0], [3.9, 1.5, 0.0], [-3.0, 2.9, 2.0]])


def test_constants_are_those_of_scipy():
    assert_allclose(units.BOLTZMANN_EV_PER_K, constants.k / constants.e, rtol=1e-12)
    assert_allclose(units.COULOMB_EV_A, constants.e / (4 * np.pi * constants.epsilon_0) * 1e10, rtol=2e-9)
    assert_allclose(units.EV_PER_A3_TO_GPA, constants.e * 1e21, rtol=1e-12)


def test_nernst_einstein_of_a_molar_solution():
    # 1 mol/L of unit charges with D = 1e-5 cm2/s at 298.15 K: F^2 c D/(R T) = 0.03755 S/cm
    density_per_A3 = constants.N_A * 1e-27
    sigma = units.conductivity_S_per_cm(
        1e-5, number_density_per_A3=density_per_A3, charge_e=1, temperature_K=298.15
    )
    expected = (constants.N_A * constants.e) ** 2 * 1e-3 * 1e-5 / (constants.R * 298.15)
    assert_allclose(sigma, expected, rtol=1e-9)


@pytest.mark.parametrize("cell", [np.diag([3.0, 4.0, 5.0]), SKEWED])
def test_minimum_image_beats_every_image_in_a_wide_search(cell):
    rng = np.random.default_rng(3)
    vectors = rng.normal(scale=8.0, size=(50, 3))
    found = np.linalg.norm(minimum_image(vectors, cell), axis=1)
    span = np.arange(-9, 10)
    shifts = np.stack(np.meshgrid(span, span, span), -1).reshape(-1, 3) @ cell
    near = (scaled(vectors, cell) - np.round(scaled(vectors, cell))) @ cell
    brute = np.array([np.linalg.norm(v + shifts, axis=1).min() for v in near])
    assert_allclose(found, brute, rtol=1e-12)


def test_wrapping_keeps_the_crystal():
    rng = np.random.default_rng(4)
    positions = rng.normal(scale=20.0, size=(30, 3))
    moved = scaled(positions - wrap(positions, SKEWED), SKEWED)
    assert_allclose(moved, np.round(moved), atol=1e-9)
    assert (scaled(wrap(positions, SKEWED), SKEWED) > -1e-9).all()


def test_heights_of_an_orthorhombic_cell_are_its_edges():
    assert_allclose(cell_heights_A(np.diag([3.0, 4.0, 5.0])), [3.0, 4.0, 5.0])


def test_minimum_image_of_one_vector_is_that_of_a_list_of_one():
    vector = np.array([7.0, -3.0, 2.0])
    assert_allclose(minimum_image(vector, SKEWED), minimum_image(vector[None], SKEWED)[0], rtol=1e-14)


def test_the_shortest_distance_counts_images_and_knows_no_basis():
    cell = np.array([[4.0, 0, 0], [0, 5.0, 0], [0, 0, 6.0]])
    turn = np.array([[1, 0, 0], [6, 1, 0], [-7, 9, 1]])
    apart = np.array([[0.1, 0, 0], [3.5, 0, 0], [0.1, 2.0, 3.0]])
    for basis in (cell, turn @ cell):
        assert shortest_distance_A(apart, basis) == pytest.approx(0.6)
        assert shortest_distance_A(apart[:1], basis) == pytest.approx(4.0)
        assert shortest_distance_A(apart[[0, 0]], basis) == 0.0
