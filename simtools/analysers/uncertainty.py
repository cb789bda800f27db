"""Variances of time averages from blocks and replicas, with their degrees of freedom, and intervals."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special, stats

from simtools.core.results import Estimate

__all__ = [
    "MeanCovariance",
    "covariance_of_means",
    "log_interval",
    "normal_estimate",
    "poisson_upper_limit",
]

_SUBSAMPLES = 6


@dataclass(frozen=True, eq=False)
class MeanCovariance:
    """Covariance of several means and how well it is known.

    Attributes
    ----------
    covariance : ndarray
        Shape (n, n).
    dof : float
        Degrees of freedom of the variances.
    """

    covariance: np.ndarray
    dof: float


def covariance_of_means(influence_rbq, *, weights_r, correlation):
    r"""Return the covariance of means over replicas and time blocks that are correlated in time.

    The blocks' autocovariance is summed with Bartlett weights that reach past `correlation`; deviations
    are taken from the mean over *all* replicas, so differences between replicas count too. The factor
    that makes the estimator unbiased and its degrees of freedom (Satterthwaite) follow exactly from the
    quadratic form, for blocks that are correlated as overlapping Brownian windows are.

    Parameters
    ----------
    influence_rbq
        Contributions of each replica and block to n quantities, shape (n_replicas, n_blocks, n).
    weights_r
        Weight of each replica, adding up to 1.
    correlation
        Length over which blocks share data, in blocks.

    Returns
    -------
    MeanCovariance
    """
    n_replicas, n_blocks, _ = influence_rbq.shape
    form, dof = _quadratic_form(n_blocks, tuple(np.asarray(weights_r).tolist()), round(float(correlation), 3))
    mean_q = np.asarray(weights_r) @ influence_rbq.mean(axis=1)
    deviation = (influence_rbq - mean_q).reshape(n_replicas * n_blocks, -1)
    return MeanCovariance(deviation.T @ form @ deviation, dof)


@lru_cache(maxsize=256)
def _quadratic_form(n_blocks, weights_r, correlation):
    n_replicas = len(weights_r)
    bandwidth = int(np.clip(np.ceil(2 * correlation) + 1, 1, n_blocks))
    apart = np.abs(np.subtract.outer(np.arange(n_blocks), np.arange(n_blocks)))
    bartlett = np.maximum(0.0, 1 - apart / bandwidth)
    model = _block_correlation(n_blocks, correlation)[apart]
    share = np.repeat(np.asarray(weights_r) / n_blocks, n_blocks)
    centre = np.eye(len(share)) - share[None, :]
    raw = share[:, None] * np.kron(np.eye(n_replicas), bartlett) * share
    form = centre.T @ raw @ centre
    # a longer replica has the smaller variance per block: weights are shares of the frames
    relative = np.diag(1 / np.asarray(weights_r)) / n_replicas
    expected = np.kron(relative, model)
    truth = share @ expected @ share
    product = form @ expected
    mean = np.trace(product)
    return form * (truth / mean), mean**2 / np.sum(product * product.T)


def _block_correlation(n_blocks, correlation):
    """Return the correlation of block means when single windows share the square of their overlap."""
    points = (np.arange(_SUBSAMPLES) + 0.5) / _SUBSAMPLES
    gaps = np.arange(n_blocks)[:, None, None] + points[None, :, None] - points[None, None, :]
    shared = np.maximum(0.0, 1 - np.abs(gaps) / max(correlation, 1 / _SUBSAMPLES)) ** 2
    function = shared.mean(axis=(1, 2))
    return function / function[0]


def log_interval(value, relative_variance, dof, *, level=0.95):
    """Return the interval of a positive quantity whose logarithm has a Student distribution."""
    half = stats.t.ppf(0.5 + level / 2, dof) * np.sqrt(relative_variance)
    return float(value * np.exp(-half)), float(value * np.exp(half))


def normal_estimate(value, stderr, *, method, n_eff):
    """Return `value` with the interval of a normal distribution whose spread `stderr` is known."""
    half = stats.norm.ppf(0.975) * stderr
    return Estimate(
        value=float(value),
        stderr=float(stderr),
        ci95=(float(value - half), float(value + half)),
        method=method,
        n_eff=float(n_eff),
    )


def poisson_upper_limit(count, *, level=0.95):
    """Return the largest mean number of events that `count` events allow; 3.0 for none at 95 %."""
    return float(special.gammaincinv(count + 1, level))
