import numpy as np
import pytest

from simtools.analysers.uncertainty import covariance_of_means, log_interval, poisson_upper_limit


def moving_averages(n_replicas, n_blocks, reach, rng):
    """Blocks of two series correlated over `reach` blocks; the second holds minus half of the first."""
    white = rng.normal(size=(n_replicas, n_blocks + reach, 2))
    first = np.stack([white[:, i : i + n_blocks] for i in range(reach + 1)]).mean(axis=0)
    return np.stack([first[..., 0], first[..., 1] - 0.5 * first[..., 0]], axis=-1)


@pytest.mark.parametrize(("n_replicas", "reach"), [(1, 0), (1, 2), (4, 0), (4, 3)])
def test_the_variance_of_a_mean_is_unbiased_and_has_the_stated_freedom(n_replicas, reach):
    rng = np.random.default_rng(5)
    weights = np.full(n_replicas, 1 / n_replicas)
    means, variances, dof = [], [], 0.0
    for _ in range(1500):
        samples = moving_averages(n_replicas, 24, reach, rng)
        found = covariance_of_means(samples, weights_r=weights, correlation=1.5 * reach)
        means.append(samples.mean(axis=(0, 1)))
        variances.append(np.diag(found.covariance))
        dof = found.dof
    means, variances = np.array(means), np.array(variances)
    np.testing.assert_allclose(variances.mean(axis=0), means.var(axis=0), rtol=0.2)
    measured_dof = 2 * variances[:, 0].mean() ** 2 / variances[:, 0].var()
    assert 0.6 < measured_dof / dof < 1.7


def test_covariance_between_quantities_has_its_sign_and_size():
    rng = np.random.default_rng(6)
    samples = moving_averages(200, 24, 1, rng)
    found = covariance_of_means(samples, weights_r=np.full(200, 1 / 200), correlation=1.5)
    correlation = found.covariance[0, 1] / np.sqrt(np.prod(np.diag(found.covariance)))
    assert correlation == pytest.approx(-0.5 / np.sqrt(1.25), abs=0.08)


def test_replicas_that_differ_widen_the_error():
    rng = np.random.default_rng(7)
    same = rng.normal(size=(4, 24, 1))
    apart = same + 3 * np.arange(4)[:, None, None]
    weights = np.full(4, 0.25)
    narrow, wide = (
        covariance_of_means(samples, weights_r=weights, correlation=2.0).covariance[0, 0]
        for samples in (same, apart)
    )
    assert wide > 5 * narrow


def test_poisson_limit_for_nothing_seen_is_three():
    assert poisson_upper_limit(0) == pytest.approx(2.996, abs=1e-3)
    assert poisson_upper_limit(3) == pytest.approx(7.754, abs=1e-3)


def test_log_interval_is_positive_and_becomes_symmetric_when_narrow():
    low, high = log_interval(2.0, 1e-6, 1e6)
    assert high - 2.0 == pytest.approx(2.0 - low, rel=1e-2)
    assert log_interval(1.0, 4.0, 3.0)[0] > 0
