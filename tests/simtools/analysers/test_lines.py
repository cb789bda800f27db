import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.analysers.lines import (
    brownian_covariance,
    fit_variance_exponent,
    gls_line,
    gls_weights,
    least_squares,
)
from simtools.core.errors import ConfigError
from tests.reference import msd as reference

TIMES = 0.1 * np.array([2.0, 3, 4, 6, 8, 12, 16])


@pytest.mark.parametrize("exponent", [0.3, 1.0, 1.7])
def test_a_straight_line_is_returned_whatever_the_weights(exponent):
    assert_allclose(gls_weights(TIMES, exponent) @ (0.4 + 2.5 * TIMES), [0.4, 2.5], rtol=1e-10)


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_the_closed_form_equals_the_inverted_matrix(exponent):
    rng = np.random.default_rng(0)
    msd = 0.3 + TIMES + 0.05 * rng.normal(size=len(TIMES))
    variance, n_independent = 0.6 * TIMES ** (exponent + 1), 40 / TIMES
    ours = gls_line(TIMES, msd, variance=variance, n_independent=n_independent, variance_exponent=exponent)
    theirs = reference.gls(TIMES, msd, variance, n_independent, exponent)
    assert_allclose(ours[0], theirs[0], rtol=1e-8)
    assert_allclose(ours[1], theirs[1], rtol=1e-8)


def test_brownian_walkers_scatter_as_the_generalised_least_squares_says():
    rng = np.random.default_rng(1)
    lags = np.array([4, 5, 6, 8, 10])
    slopes = []
    for _ in range(400):
        r_tnc = np.cumsum(rng.normal(0, 3**-0.5, size=(300, 8, 3)), axis=0)
        squares = [np.sum((r_tnc[k:] - r_tnc[:-k]) ** 2, axis=-1) for k in lags]
        fit, covariance = gls_line(
            lags,
            [item.mean() for item in squares],
            variance=[item.var() for item in squares],
            n_independent=8 * 300 / lags,
        )
        slopes.append((fit[1], covariance[1, 1]))
    values, variances = np.array(slopes).T
    assert abs(values.mean() - 1) < 0.02
    # N_i = N T / t_i ignores what overlapping windows add: the claim is on the safe side, by less than 1.6
    assert 0.9 < np.sqrt(variances.mean()) / values.std() < 1.6


def test_covariance_of_one_walker_behind_noise_is_exact():
    rng = np.random.default_rng(2)
    lags, n_frames, noise = (1, 3, 8), 40, 1.5
    r_tnc = np.cumsum(rng.normal(0, 3**-0.5, size=(n_frames, 30000, 3)), axis=0)
    r_tnc += rng.normal(0, np.sqrt(noise / 3), size=r_tnc.shape)
    samples = [np.mean(np.sum((r_tnc[k:] - r_tnc[:-k]) ** 2, axis=-1), axis=0) for k in lags]
    parts = brownian_covariance(lags, n_frames)
    assert_allclose(np.cov(samples), parts[0] + noise * parts[1] + noise**2 * parts[2], rtol=0.06)


def test_covariance_of_a_smoothed_walker_is_exact_too():
    rng = np.random.default_rng(3)
    lags, n_frames = (5, 8, 12), 50
    smoothing = np.hanning(7)[1:-1] / np.hanning(7).sum()
    r_tnc = np.cumsum(rng.normal(0, 3**-0.5, size=(n_frames + 4, 8000, 3)), axis=0)
    r_tnc += rng.normal(0, 3**-0.5, size=r_tnc.shape)
    smooth = sum(weight * r_tnc[i : n_frames + i] for i, weight in enumerate(smoothing))
    samples = [np.mean(np.sum((smooth[k:] - smooth[:-k]) ** 2, axis=-1), axis=0) for k in lags]
    parts = brownian_covariance(lags, n_frames, tuple(smoothing.tolist()))
    assert_allclose(np.cov(samples), parts.sum(axis=0), rtol=0.1)


def test_least_squares_returns_the_slope_of_a_line():
    lags = np.array([1, 2, 4, 8])
    weights = least_squares(lags, brownian_covariance((1, 2, 4, 8), 100)[0])
    assert weights @ (3.0 + 0.7 * lags) == pytest.approx(0.7, rel=1e-10)


def test_variance_exponent_is_one_for_brownian_motion_and_bounded():
    assert fit_variance_exponent(TIMES, 0.7 * TIMES**2) == pytest.approx(1.0)
    assert fit_variance_exponent(TIMES, TIMES) == 0.25
    assert fit_variance_exponent(TIMES, np.zeros_like(TIMES)) == 1.0


def test_times_that_do_not_increase_are_refused():
    with pytest.raises(ConfigError, match="increasing"):
        gls_weights([1.0, 1.0, 2.0], 1.0)
