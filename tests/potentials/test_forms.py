"""Pair forms: slopes, signs and limits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from potentials import forms
from tests.reference.ewald import pair_form

GRID = np.linspace(0.5, 12.0, 60)
EXAMPLES = {
    "buckingham": forms.Buckingham(A=1388.77, rho=0.3623, C=175.0),
    "born_mayer": forms.BornMayer(A=433.2627, rho=0.3138),
    "born_mayer_huggins": forms.BornMayerHuggins(A=0.2109796, rho=0.317, sigma=3.17, C=72.4, D=145.4),
    "lennard_jones": forms.LennardJones(epsilon=0.0103, sigma=3.405),
    "morse": forms.Morse(D=7.0525, a=2.1986, r0=0.9485),
    "tabulated": forms.Tabulated(tuple(GRID), tuple(3.0 * np.exp(-GRID) * np.cos(GRID))),
}


def test_every_form_has_an_example():
    assert EXAMPLES.keys() == forms.FORMS.keys()
    assert all(type(form) is forms.FORMS[kind] for kind, form in EXAMPLES.items())


@pytest.mark.parametrize("kind", EXAMPLES)
def test_slope_is_the_derivative_of_the_energy(kind):
    form, r, h = EXAMPLES[kind], np.linspace(0.8, 11.0, 103), 1e-4
    points = [form.energy(r + k * h) for k in (-2, -1, 1, 2)]
    slope = (points[0] - 8 * points[1] + 8 * points[2] - points[3]) / (12 * h)
    tolerance = 3e-6 if kind == "tabulated" else 1e-8  # a spline's third derivative jumps at its points
    assert_allclose(form.derivative(r), slope, rtol=1e-8, atol=tolerance)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_scalar_and_array_distances_agree(kind):
    form = EXAMPLES[kind]
    assert np.ndim(form.energy(2.5)) == 0
    assert form.energy(2.5) == form.energy(np.array([2.5]))[0]
    assert form.derivative(2.5) == form.derivative(np.array([2.5]))[0]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_twin_writes_the_same_formula(kind):
    form, r = EXAMPLES[kind], np.linspace(0.8, 11.0, 50)
    value, slope = pair_form(kind, form, r)
    assert_allclose(form.energy(r), value, rtol=1e-12, atol=1e-14)
    assert_allclose(form.derivative(r), slope, rtol=1e-12, atol=1e-14)


def test_lennard_jones_has_its_minimum_at_two_to_the_sixth_sigma():
    form = EXAMPLES["lennard_jones"]
    r0 = 2 ** (1 / 6) * form.sigma
    assert form.energy(r0) == pytest.approx(-form.epsilon, rel=1e-14)
    assert form.derivative(r0) == pytest.approx(0.0, abs=1e-14)


def test_morse_is_minus_d_at_its_minimum_and_zero_far_away():
    form = EXAMPLES["morse"]
    assert form.energy(form.r0) == -form.D
    assert form.energy(40.0) == pytest.approx(0.0, abs=1e-30)


def test_fumi_tosi_equals_born_mayer_plus_dispersion():
    huggins = EXAMPLES["born_mayer_huggins"]
    plain = forms.BornMayer(huggins.A * np.exp(huggins.sigma / huggins.rho), huggins.rho)
    r = np.linspace(2.0, 6.0, 9)
    dispersion = huggins.C / r**6 + huggins.D / r**8
    assert_allclose(huggins.energy(r), plain.energy(r) - dispersion, rtol=1e-12)


def test_table_goes_through_its_points_and_refuses_to_extrapolate():
    form = EXAMPLES["tabulated"]
    assert_allclose(form.energy(np.array(form.r)), form.V, rtol=1e-13, atol=1e-16)
    with pytest.raises(forms.TableRangeError, match=r"r = 0\.4 Å lies outside the table \(0\.5 to 12 Å\)"):
        form.energy(np.array([1.0, 0.4]))
