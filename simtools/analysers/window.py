"""Which lags are diffusive: past the cage and the jumps back, short enough to be sampled often."""

from dataclasses import dataclass

import numpy as np

from simtools.analysers.diffusion import fit_variance_exponent, gls_weights
from simtools.analysers.uncertainty import covariance_of_means

__all__ = ["FitWindow", "candidate_windows", "choose_window", "local_exponent"]

_SPAN = 4.0
_TOLERANCE = 1.5


@dataclass(frozen=True, eq=False)
class FitWindow:
    """Lags of a straight-line fit and the weights that turn displacements into a slope.

    Attributes
    ----------
    first, last : int
        First and last lag used, as indices into the lag grid.
    weights_k : ndarray
        Slope (Å²/ps) = weights_k @ msd_k, shape (n_lags,), 1/ps.
    correlation_blocks : float
        Longest lag in units of a time block.
    """

    first: int
    last: int
    weights_k: np.ndarray
    correlation_blocks: float


def local_exponent(lag_times_ps, msd_A2):
    """Return d ln(MSD) / d ln(t), shape (n_lags,): 2 for flight, 1 for diffusion, 0 in a cage."""
    if len(lag_times_ps) < 2:
        return np.full(len(lag_times_ps), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.gradient(np.log(msd_A2), np.log(lag_times_ps))


def candidate_windows(blocks, *, longest_fraction=0.25):
    """Return the `FitWindow` that starts at each lag, a factor of four wide, up to a fraction of the run."""
    lags = blocks.lags
    shortest = min(blocks.n_frames)
    limit = max(int(longest_fraction * shortest), 3)
    variance_k = np.maximum(blocks.quartic_k - blocks.msd_k**2, 0.0)
    windows = []
    for first in range(len(lags)):
        last = int(np.searchsorted(lags, _SPAN * lags[first]))
        if last >= len(lags) or lags[last] > limit:
            break
        used = slice(first, last + 1)
        times = blocks.lag_times_ps[used]
        weights_k = np.zeros(len(lags))
        weights_k[used] = gls_weights(times, fit_variance_exponent(times, variance_k[used]))[1]
        windows.append(FitWindow(first, last, weights_k, lags[last] * blocks.n_blocks / shortest))
    return windows


def choose_window(samples_rbk, windows, weights_r, *, start=0, tolerance=_TOLERANCE, relative=0.0):
    """Return the index of the earliest window whose slope agrees with that of every later one.

    Parameters
    ----------
    samples_rbk
        Squared displacements, shape (n_replicas, n_blocks, n_lags).
    windows
        From `candidate_windows`.
    weights_r
        Weights of the replicas.
    start
        First window allowed.
    tolerance
        Largest difference accepted, in its own standard errors. Two slopes from the same trajectory share
        most of their noise, so the difference is known far better than either.
    relative
        Largest difference accepted in any case, as a fraction of the later slope.

    Returns
    -------
    int
    """
    weights_wk = np.array([window.weights_k for window in windows])
    slopes_rbw = samples_rbk @ weights_wk.T
    slope_w = weights_r @ slopes_rbw.mean(axis=1)
    for early in range(start, len(windows)):
        for late in range(early + 1, len(windows)):
            difference = slope_w[early] - slope_w[late]
            if abs(difference) <= relative * abs(slope_w[late]):
                continue
            spread = covariance_of_means(
                (slopes_rbw[:, :, early] - slopes_rbw[:, :, late])[:, :, None],
                weights_r=weights_r,
                correlation=windows[late].correlation_blocks,
            )
            if difference**2 > tolerance**2 * spread.covariance[0, 0]:
                break
        else:
            return early
    return len(windows) - 1
