"""The law that made the points is the one that is preferred, and no break is crossed."""

from collections import Counter

import numpy as np
import pytest

from simtools.analysers.temperature_laws import (
    ExtrapolationRefusedError,
    TemperatureLawResult,
    compare_temperature_laws,
)
from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_EV_PER_K

TEMPERATURES = np.array([500.0, 600.0, 700.0, 800.0, 1000.0, 1200.0])


def beta(temperatures):
    return 1 / (BOLTZMANN_EV_PER_K * np.asarray(temperatures, dtype=float))


def line(t):
    return 5 - 0.4 * beta(t)


def bend(t):
    return 5 - 0.3 * beta(t) - 0.5 * np.maximum(beta(t) - beta(750), 0)


def step(t):
    return 5 - 0.3 * beta(t) - 2.0 * (t < 750)


def vtf(t):
    return 5 - 0.1 / (BOLTZMANN_EV_PER_K * (t - 300))


def compare(law, seed=0, error=0.1, **options):
    s = np.full(len(TEMPERATURES), error)
    y = law(TEMPERATURES) + error * np.random.default_rng(seed).standard_normal(len(s))
    return compare_temperature_laws(TEMPERATURES, y, s, **options)


@pytest.mark.parametrize(
    ("law", "name"), [(line, "arrhenius"), (bend, "bend"), (step, "transition"), (vtf, "vtf")]
)
def test_the_law_that_made_the_points_is_preferred(law, name):
    votes = Counter(compare(law, seed=seed).preferred for seed in range(8))
    assert votes[name] >= 6, votes


def test_a_bend_is_found_where_it_is_with_both_slopes():
    result = compare(bend, error=0.03)
    assert result.break_temperature_K.ci95[0] < 750 < result.break_temperature_K.ci95[1]
    for side, energy in (("high", 0.3), ("low", 0.8)):
        low, high = result.activation_energies_eV[side].ci95
        assert low < energy < high
    assert sum(result.probabilities.values()) == pytest.approx(1.0)
    assert TemperatureLawResult.from_json(result.to_json()).to_json() == result.to_json()


def test_extrapolation_stays_on_its_side():
    result = compare(bend, error=0.03)
    low, high = result.extrapolate(450.0).ci95
    assert low < bend(np.array([450.0]))[0] < high
    warm = compare_temperature_laws(TEMPERATURES[1:], bend(TEMPERATURES[1:]), np.full(5, 0.02))
    assert warm.preferred in ("bend", "transition")
    with pytest.raises(ExtrapolationRefusedError, match="only 2 points lie on its side of the break"):
        warm.extrapolate(300.0)


def test_a_known_transition_is_not_crossed():
    result = compare(line, known_transitions_K=(311.0,))
    assert result.extrapolate(350.0).value == pytest.approx(line(350.0), abs=0.5)
    with pytest.raises(
        ExtrapolationRefusedError, match="only 0 points lie on its side of the break at 311 K"
    ):
        result.extrapolate(300.0)


def test_a_vtf_curve_is_not_extrapolated():
    result = compare(vtf, error=0.02)
    assert result.preferred == "vtf"
    low, high = result.vanishing_temperature_K.ci95
    assert low < 300 < high
    with pytest.raises(ExtrapolationRefusedError, match="VTF"):
        result.extrapolate(300.0)


def test_three_points_have_no_break_to_look_for():
    result = compare_temperature_laws([600.0, 800.0, 1000.0], line(np.array([600.0, 800, 1000])), [0.1] * 3)
    assert set(result.log_evidence) == {"arrhenius", "vtf"}
    assert result.preferred == "arrhenius"


def test_bad_points_are_refused():
    with pytest.raises(ConfigError, match="known_transitions_K"):
        compare(line, known_transitions_K=(-1.0,))
    with pytest.raises(ConfigError, match="ln_stderr must be positive"):
        compare_temperature_laws([500.0, 600.0, 700.0], [1.0, 2.0, 3.0], [0.1, 0.0, 0.1])
