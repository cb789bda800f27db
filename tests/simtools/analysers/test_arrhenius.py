from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.analysers.arrhenius import (
    ArrheniusResult,
    TooFewTemperaturesError,
    fit_arrhenius,
    fit_arrhenius_line,
)
from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_EV_PER_K
from tests.synthetic_results import ACTIVATION_ENERGY_EV, transport_result

TEMPERATURES = np.array([600.0, 700, 800, 900, 1000])


def exact_line(temperatures=TEMPERATURES):
    return 5.0 - 0.3 / (BOLTZMANN_EV_PER_K * temperatures)


def test_exact_points_give_the_line_back():
    line = fit_arrhenius_line(TEMPERATURES, exact_line(), np.full(5, 0.05))
    assert line.activation_energy_eV == pytest.approx(0.3, rel=1e-9)
    assert line.ln_prefactor == pytest.approx(5.0, rel=1e-9)
    assert line.predict(300.0)[0] == pytest.approx(5.0 - 0.3 / (BOLTZMANN_EV_PER_K * 300), rel=1e-9)


def test_two_temperatures_give_the_line_through_both_with_their_own_errors():
    temperatures, stderr = np.array([700.0, 1000.0]), np.array([0.05, 0.08])
    line = fit_arrhenius_line(temperatures, exact_line(temperatures), stderr)
    span = np.ptp(1 / (BOLTZMANN_EV_PER_K * temperatures))
    assert line.covariance[1, 1] == pytest.approx(np.sum(stderr**2) / span**2, rel=1e-9)
    assert line.half_width(1.0) == pytest.approx(1.96, abs=0.01)


def test_few_degrees_of_freedom_widen_the_interval():
    known = fit_arrhenius_line(TEMPERATURES, exact_line(), np.full(5, 0.05))
    vague = fit_arrhenius_line(TEMPERATURES, exact_line(), np.full(5, 0.05), dof=np.full(5, 1.5))
    assert vague.half_width(1.0) > 1.1 * known.half_width(1.0)


def test_scatter_beyond_the_errors_widens_the_interval_and_has_a_small_p_value():
    zigzag = 0.3 * np.array([1, -1, 1, -1, 1.0])
    smooth = fit_arrhenius_line(TEMPERATURES, exact_line(), np.full(5, 0.05))
    rough = fit_arrhenius_line(TEMPERATURES, exact_line() + zigzag, np.full(5, 0.05))
    assert rough.excess_scatter > 0.1
    assert rough.p_value < 1e-6
    assert rough.covariance[1, 1] > 4 * smooth.covariance[1, 1]


def test_intervals_hold_the_truth_and_are_not_too_wide():
    rng = np.random.default_rng(11)
    values, halves = [], []
    for _ in range(200):
        stderr = np.full(5, 0.1)
        line = fit_arrhenius_line(
            TEMPERATURES,
            exact_line() + rng.normal(0, stderr),
            stderr * np.sqrt(rng.chisquare(15, 5) / 15),
            dof=np.full(5, 15.0),
        )
        values.append(line.activation_energy_eV)
        halves.append(line.half_width(np.sqrt(line.covariance[1, 1])))
    values, halves = np.array(values), np.array(halves)
    assert 0.90 <= np.mean(np.abs(values - 0.3) < halves) <= 0.995
    assert 0.85 < halves.mean() / (1.96 * values.std()) < 1.5


def test_activation_energy_of_the_conductivity_is_that_of_sigma_t():
    results = [transport_result(temperature, seed=3) for temperature in (700, 800, 900, 1000)]
    fit = fit_arrhenius(results)
    low, high = fit.activation_energy_eV.ci95
    assert low < ACTIVATION_ENERGY_EV < high
    assert fit.tracer_activation_energy_eV.value == pytest.approx(ACTIVATION_ENERGY_EV, abs=0.02)
    summary = fit.to_summary()
    assert summary["conductivity_300K_S_per_cm"]["extrapolated"] is True
    assert ArrheniusResult.from_json(fit.to_json()).to_summary() == summary


def test_the_interval_at_300_k_is_wider_than_any_point():
    fit = fit_arrhenius([transport_result(temperature) for temperature in (700, 800, 900, 1000)])
    low, high = fit.conductivity_300K_S_per_cm.ci95
    measured = transport_result(700).ionic_conductivity_S_per_cm.ci95
    assert high / low > measured[1] / measured[0]


def test_limits_are_left_out_and_named():
    results = [transport_result(temperature) for temperature in (700, 800, 900)]
    fit = fit_arrhenius([transport_result(500, moved=False), *results])
    assert_allclose(fit.temperatures_K, [700, 800, 900])
    assert any("500 K" in note for note in fit.warnings)
    assert fit.activation_energy_eV.value == fit_arrhenius(results).activation_energy_eV.value


def test_one_temperature_is_not_a_line():
    with pytest.raises(TooFewTemperaturesError, match="at least 2 temperatures"):
        fit_arrhenius([transport_result(700), transport_result(500, moved=False)])


def test_species_do_not_share_a_line():
    with pytest.raises(ConfigError, match="one species"):
        fit_arrhenius([transport_result(700), transport_result(800, species="Na")])


def test_curvature_is_reported():
    results = [
        replace(item, ionic_conductivity_S_per_cm=item.ionic_conductivity_S_per_cm.scaled(factor))
        for item, factor in zip(
            [transport_result(temperature) for temperature in (600, 700, 800, 900, 1000)],
            (8.0, 1.0, 0.2, 1.0, 8.0),
            strict=True,
        )
    ]
    fit = fit_arrhenius(results)
    assert any("scatters" in note for note in fit.warnings)
    assert fit.conductivity_300K_S_per_cm.upper_limit == np.inf
    assert "not extrapolated" in fit.conductivity_300K_S_per_cm.method
    assert min(fit.curve_temperatures_K) == pytest.approx(600)


def test_a_limit_below_the_line_contradicts_it():
    results = [transport_result(temperature) for temperature in (700, 800, 900)]
    still = transport_result(500, moved=False)
    low, high = (
        replace(
            still,
            ionic_conductivity_S_per_cm=transport_result(500).ionic_conductivity_S_per_cm.limit(
                factor * transport_result(500).ionic_conductivity_S_per_cm.value, method="no hop"
            ),
        )
        for factor in (0.1, 10)
    )
    assert any("lies below" in note for note in fit_arrhenius([low, *results]).warnings)
    assert not any("lies below" in note for note in fit_arrhenius([high, *results]).warnings)


@pytest.mark.parametrize("charge_e", [0, None])
def test_without_a_charge_the_tracer_alone_is_fitted(charge_e):
    nothing = transport_result(700).ionic_conductivity_S_per_cm.limit(0.0, method="formal charge")
    results = [
        replace(transport_result(t), charge_e=charge_e, ionic_conductivity_S_per_cm=nothing)
        for t in (700, 800, 900, 1000)
    ]
    fit = fit_arrhenius(results)
    assert fit.tracer_activation_energy_eV.value == pytest.approx(ACTIVATION_ENERGY_EV, abs=0.02)
    assert fit.activation_energy_eV.is_limit
    assert fit.conductivity_300K_S_per_cm.is_limit
    assert (fit.conductivity_300K_S_per_cm.upper_limit == 0) is (charge_e == 0)
    assert not any("run longer" in note for note in fit.warnings)
    summary = fit.to_summary()
    assert ArrheniusResult.from_json(fit.to_json()).to_summary() == summary


@pytest.mark.parametrize(
    ("temperatures", "values", "errors", "message"),
    [
        ([700, 800, 900], [1, np.nan, 2], [0.1] * 3, "ln_values"),
        ([700, 800, 900], [1, 2, 3], [0.1, np.nan, 0.1], "ln_stderr"),
        ([700, 800, 900], [1, 2, 3], [0.1, 0.0, 0.1], "ln_stderr"),
        ([-700, 800, 900], [1, 2, 3], [0.1] * 3, "temperatures_K"),
        ([0, 800, 900], [1, 2, 3], [0.1] * 3, "temperatures_K"),
        ([800, 800.0000001, 900], [1, 2, 3], [0.1] * 3, "twice"),
        ([800, 900], [1, 2, 3], [0.1] * 3, "one length"),
    ],
)
def test_points_that_make_no_line_are_refused(temperatures, values, errors, message):
    with pytest.raises(ConfigError, match=message):
        fit_arrhenius_line(temperatures, values, errors)
