"""Means and drifts of correlated series. Transport coefficients are left to simtools.analysers."""

import numpy as np
from scipy.stats import t as student_t

from simtools.core.errors import ConfigError
from simtools.core.results import Estimate

__all__ = ["block_average", "drift_rate"]

_FEWEST_BLOCKS = 8


def block_average(samples, *, discard_fraction=0.0):
    """Return the mean of a correlated series with the error that blocking finds.

    Parameters
    ----------
    samples
        Evenly spaced, shape (n,).
    discard_fraction
        Leading part left out as equilibration, in [0, 1).

    Returns
    -------
    Estimate
        Blocks are doubled in length while at least eight remain, and the largest standard error is taken:
        it rises until the blocks are longer than the correlation. The interval is Student's with the number
        of blocks behind that error.

    References
    ----------
    .. [1] H. Flyvbjerg and H. G. Petersen, J. Chem. Phys. 91, 461 (1989). doi:10.1063/1.457480
    """
    samples = np.asarray(samples, dtype=float)
    kept = samples[int(np.ceil(discard_fraction * len(samples))) :]
    if len(kept) < 2:
        raise ConfigError(f"a mean with an error needs at least 2 samples, got {len(kept)}")
    mean = float(kept.mean())
    variance = float(kept.var(ddof=1))
    best_error, best_blocks = 0.0, len(kept)
    blocks = kept
    while len(blocks) >= min(_FEWEST_BLOCKS, len(kept)):
        error = float(blocks.std(ddof=1) / np.sqrt(len(blocks)))
        if error >= best_error:
            best_error, best_blocks = error, len(blocks)
        if len(blocks) < 4:
            break
        even = len(blocks) // 2 * 2
        blocks = blocks[len(blocks) - even :].reshape(-1, 2).mean(axis=1)
    half = float(student_t.ppf(0.975, best_blocks - 1)) * best_error
    n_eff = min(variance / best_error**2, len(kept)) if best_error > 0 else float(len(kept))
    return Estimate(
        value=mean,
        stderr=best_error,
        ci95=(mean - half, mean + half),
        method=f"mean, error by blocking (first {discard_fraction:.0%} discarded)",
        n_eff=float(n_eff),
    )


def drift_rate(times, values, *, n_blocks=20):
    """Return the slope of a line through the means of `n_blocks` blocks.

    Parameters
    ----------
    times, values
        Shape (n,), evenly spaced.
    n_blocks
        Fewer are used where there are fewer than two samples in each.

    Returns
    -------
    Estimate
        Slope in units of `values` per unit of `times`. Fast fluctuations average out within blocks; the
        error grows by the lag-one correlation of what remains, so a random walk is not taken for a drift.
    """
    n_blocks = min(n_blocks, len(values) // 2)
    if n_blocks < 4:
        raise ConfigError(f"a drift needs at least 8 samples, got {len(values)}")
    t = np.array([part.mean() for part in np.array_split(np.asarray(times, dtype=float), n_blocks)])
    y = np.array([part.mean() for part in np.array_split(np.asarray(values, dtype=float), n_blocks)])
    t_c, y_c = t - t.mean(), y - y.mean()
    slope = float(t_c @ y_c / (t_c @ t_c))
    residual = y_c - slope * t_c
    squares = float(residual @ residual)
    correlation = float(residual[1:] @ residual[:-1]) / squares if squares > 0 else 0.0
    correlation = min(max(correlation, 0.0), 0.9)
    widening = (1 + correlation) / (1 - correlation)
    stderr = float(np.sqrt(squares / (n_blocks - 2) / (t_c @ t_c) * widening))
    freedom = max((n_blocks - 2) / widening, 1.0)
    half = float(student_t.ppf(0.975, freedom)) * stderr
    return Estimate(
        value=slope,
        stderr=stderr,
        ci95=(slope - half, slope + half),
        method=f"least squares through {n_blocks} block means",
        n_eff=freedom,
    )
