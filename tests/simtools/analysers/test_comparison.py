"""Differences, ratios and pooled means against normal theory and against repeated experiments."""

import math

import numpy as np
import pytest
from scipy import stats

from simtools.analysers.comparison import difference, pooled, ratio
from simtools.core.errors import ConfigError
from simtools.core.results import Estimate


def normal(value, stderr, n_eff=1e6):
    half = stats.t.ppf(0.975, n_eff - 1) * stderr
    return Estimate(value=value, stderr=stderr, ci95=(value - half, value + half), method="", n_eff=n_eff)


def lognormal(value, relative):
    ends = tuple(value * np.exp(sign * 1.96 * relative) for sign in (-1, 1))
    return Estimate(value=value, stderr=value * relative, ci95=ends, method="", n_eff=50)


def test_normal_intervals_give_the_interval_of_the_difference():
    found = difference(normal(1.0, 0.3), normal(0.2, 0.4))
    assert found.value == pytest.approx(0.8)
    assert found.stderr == pytest.approx(0.5)
    assert found.ci95 == pytest.approx((0.8 - 1.96 * 0.5, 0.8 + 1.96 * 0.5), rel=1e-4)


def test_asymmetric_sides_stay_on_their_side():
    wide = Estimate(value=1.0, stderr=0.1, ci95=(0.9, 2.0), method="", n_eff=9)
    sharp = Estimate(value=0.0, stderr=1e-9, ci95=(-1e-9, 1e-9), method="", n_eff=9)
    assert difference(wide, sharp).ci95 == pytest.approx((0.9, 2.0))
    assert difference(sharp, wide).ci95 == pytest.approx((-2.0, -0.9))


def test_ratio_is_the_difference_of_logarithms():
    found = ratio(lognormal(6.0, 0.1), lognormal(2.0, 0.2))
    half = 1.96 * math.hypot(0.1, 0.2)
    assert found.value == pytest.approx(3.0)
    assert found.ci95 == pytest.approx((3 * np.exp(-half), 3 * np.exp(half)), rel=1e-9)
    assert ratio(lognormal(2.0, 0.2), lognormal(6.0, 0.1)).ci95[0] == pytest.approx(1 / found.ci95[1])


def test_intervals_of_small_samples_cover_the_difference():
    rng, covered = np.random.default_rng(2), 0
    for _ in range(2000):
        samples = rng.normal((1.0, 0.4), (0.2, 0.6), size=(5, 2))
        items = [normal(x.mean(), x.std(ddof=1) / np.sqrt(5), n_eff=5) for x in samples.T]
        low, high = difference(*items).ci95
        covered += low < 0.6 < high
    assert 0.94 < covered / 2000 < 0.985


def test_pooled_mean_covers_and_beats_its_parts():
    rng, covered = np.random.default_rng(4), 0
    for _ in range(2000):
        samples = rng.normal(1.0, [0.1, 0.2, 0.4], size=(12, 3))
        items = [normal(x.mean(), x.std(ddof=1) / np.sqrt(12), n_eff=12) for x in samples.T]
        mean = pooled(items)
        assert mean.stderr < min(item.stderr for item in items)
        covered += mean.ci95[0] < 1.0 < mean.ci95[1]
    assert 0.92 < covered / 2000 < 0.97


def test_limits_are_carried_where_they_mean_something():
    limit = Estimate.limit(-0.6, method="always bound")
    assert difference(limit, normal(-0.3, 0.1)).upper_limit == pytest.approx(-0.6 + 0.3 + 0.196, rel=1e-4)
    assert math.isinf(difference(normal(-0.3, 0.1), limit).upper_limit)
    assert ratio(Estimate.limit(1e-3, method=""), lognormal(1.0, 0.1)).upper_limit > 1e-3
    assert math.isinf(ratio(lognormal(1.0, 0.1), limit).upper_limit)
    assert pooled([limit]) is None


def test_a_ratio_of_what_is_not_positive_is_refused():
    with pytest.raises(ConfigError, match="positive values"):
        ratio(normal(-1.0, 0.1), normal(1.0, 0.1))
