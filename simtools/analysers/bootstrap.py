"""Moving-block bootstrap over time and replicas, of several quantities at once. Blocks: displacements.py."""

import numpy as np

from simtools.core.errors import ConfigError

__all__ = ["bootstrap_covariance", "bootstrap_means"]


def bootstrap_means(influence_rbq, *, weights_r, correlation, n_resamples=1000, seed=0):
    """Return resampled means that keep the covariance of all quantities, shape (n_resamples, n).

    Parameters
    ----------
    influence_rbq
        Contributions of each replica and time block to n quantities, shape (n_replicas, n_blocks, n); the
        same blocks are drawn for all quantities.
    weights_r
        Weight of each replica, adding up to 1.
    correlation
        Length over which blocks share data, in blocks. Stretches of twice that, at least one block and at
        most half a replica, are drawn with replacement, at any start in any replica (circular).
    n_resamples, seed
        Number of draws and seed of the generator.

    Returns
    -------
    ndarray

    Raises
    ------
    ConfigError
        For fewer than two blocks in all: nothing can be drawn anew.

    References
    ----------
    .. [1] H. R. Künsch, Ann. Stat. 17, 1217 (1989); D. N. Politis and J. P. Romano, in *Exploring the
       Limits of Bootstrap* (Wiley, 1992), p. 263 (circular blocks).
    """
    n_replicas, n_blocks, n = influence_rbq.shape
    if n_replicas * n_blocks < 2:
        raise ConfigError("the bootstrap needs at least two time blocks, got one")
    rng = np.random.default_rng(seed)
    length = int(np.clip(np.ceil(2 * correlation), 1, max(1, n_blocks // 2)))
    pieces = -(-n_blocks // length)
    weights_r = np.asarray(weights_r, dtype=float)
    means = np.zeros((n_resamples, n))
    for weight in weights_r:
        # longer replicas are drawn more often
        source = rng.choice(n_replicas, p=weights_r, size=(n_resamples, pieces))
        start = rng.integers(0, n_blocks, size=(n_resamples, pieces))
        index = (start[..., None] + np.arange(length)) % n_blocks
        drawn = influence_rbq[source[..., None], index].reshape(n_resamples, pieces * length, n)
        means += weight * drawn[:, :n_blocks].mean(axis=1)
    return means


def bootstrap_covariance(influence_rbq, *, weights_r, correlation, n_resamples=1000, seed=0):
    """Return the covariance of `bootstrap_means`, shape (n, n).

    Notes
    -----
    Limit: many uncorrelated blocks give the covariance of their mean. With a few blocks per correlation
    length it is too small, as any bootstrap of few independent pieces; `covariance_of_means` is corrected
    for that and is what intervals are made of.
    """
    means = bootstrap_means(
        influence_rbq, weights_r=weights_r, correlation=correlation, n_resamples=n_resamples, seed=seed
    )
    return np.atleast_2d(np.cov(means.T))
