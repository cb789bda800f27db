"""Which lags are diffusive: past the cage and the jumps back, short enough to be sampled often."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.lines import brownian_covariance, fit_variance_exponent, gls_weights, least_squares
from simtools.analysers.uncertainty import covariance_of_means

__all__ = ["FitWindow", "charge_windows", "choose_window", "local_exponent", "tracer_windows"]

_SPAN = 2.5
_LONGEST_TRACER = 0.30
_LONGEST_CHARGE = 0.25


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
    lag_times_ps, msd_A2 = np.asarray(lag_times_ps, dtype=float), np.asarray(msd_A2, dtype=float)
    if len(lag_times_ps) < 2 or not (msd_A2 > 0).all():
        return np.full(len(lag_times_ps), np.nan)
    return np.gradient(np.log(msd_A2), np.log(lag_times_ps))


def tracer_windows(blocks):
    """Return the `FitWindow` that starts at each lag, a factor of 2.5 wide, up to 0.3 of the shortest run."""
    shortest = min(blocks.n_frames)
    variance_k = np.maximum(blocks.quartic_k - blocks.msd_k**2, 0.0)
    windows = []
    for first in range(len(blocks.lags)):
        last = _last_lag(blocks.lags, first, 0.0, _LONGEST_TRACER * shortest)
        if last is None:
            break
        used = slice(first, last + 1)
        times = blocks.lag_times_ps[used]
        weights_k = np.zeros(len(blocks.lags))
        weights_k[used] = gls_weights(times, fit_variance_exponent(times, variance_k[used]))[1]
        windows.append(_window(blocks, first, last, weights_k))
    return windows


def charge_windows(blocks, start):
    r"""Return windows for the smoothed summed displacement, weighted for one Brownian walker behind noise.

    Parameters
    ----------
    blocks
        `DisplacementBlocks`.
    start
        First lag to believe, as an index; what vibrations the smoothing has left is read from there on.

    Returns
    -------
    windows : list of FitWindow
        One for each first lag from `start` on and no shorter than the smoothing; as wide as the vibrations
        demand, up to a quarter of the shortest run. At least one.
    covariance : ndarray
        Relative covariance of the mean over all replicas: multiply by the squared slope; shape
        (n_lags, n_lags), ps².
    """
    lags, msd_k, width = blocks.lags, blocks.smooth_charge_msd_k, len(blocks.smoothing)
    shortest = min(blocks.n_frames) - width + 1
    limit = _LONGEST_CHARGE * shortest
    parts = brownian_covariance(tuple(lags.tolist()), shortest, blocks.smoothing)
    usable = [first for first in range(len(lags)) if _last_lag(lags, first, 0.0, limit) is not None]
    start = min(max(start, int(np.searchsorted(lags, width))), usable[-1])
    far = int(np.searchsorted(lags, limit / 2))
    # a smoothed walk lags behind: its MSD is shorter by a constant
    spread = np.convolve(blocks.smoothing, blocks.smoothing[::-1])
    lost = np.abs(np.arange(len(spread)) - (width - 1)) @ spread
    slope, noise = msd_k[far] / lags[far], 0.0
    for _ in range(3):
        excess = max(0.0, msd_k[start] - slope * (lags[start] - lost))
        noise = excess / (2 * slope * spread[width - 1])
        used = slice(start, _last_lag(lags, start, noise * spread[width - 1], limit) + 1)
        slope = max(least_squares(lags[used], _mixed(parts, noise)[used, used]) @ msd_k[used], 0.1 * slope)
    covariance = _mixed(parts, noise)
    windows = []
    for first in usable[usable.index(start) :]:
        last = _last_lag(lags, first, noise * spread[width - 1], limit)
        used = slice(first, last + 1)
        weights_k = np.zeros(len(lags))
        weights_k[used] = least_squares(blocks.lag_times_ps[used], covariance[used, used])
        windows.append(_window(blocks, first, last, weights_k))
    share = shortest / sum(blocks.n_frames)
    return windows, covariance * blocks.frame_interval_ps**2 * share


def choose_window(samples_rbk, windows, weights_r, *, significance, start=0, relative=0.0, covariance=None):
    """Return the earliest window whose slope agrees with that of every later one.

    Parameters
    ----------
    samples_rbk
        Squared displacements, shape (n_replicas, n_blocks, n_lags).
    windows
        From `tracer_windows` or `charge_windows`.
    weights_r
        Weights of the replicas.
    significance
        Two slopes disagree when a difference like theirs has a smaller chance than this. Slopes from one
        trajectory share most of their noise, so their difference is known far better than either. It has to
        be small: many pairs are compared, and a false alarm picks the most deviant of the late slopes.
    start
        First window allowed.
    relative
        Differences up to this fraction of the later slope are accepted in any case.
    covariance
        Relative covariance of the displacements from theory; the larger of both errors counts.

    Returns
    -------
    index : int
        The last window when no earlier one agrees with it.
    settled : bool
        False when only the last window was left.
    """
    weights_wk = np.array([window.weights_k for window in windows])
    slopes_rbw = samples_rbk @ weights_wk.T
    slope_w = weights_r @ slopes_rbw.mean(axis=1)
    for early in range(start, len(windows) - 1):
        for late in range(len(windows) - 1, early, -1):
            difference = slope_w[early] - slope_w[late]
            if abs(difference) <= relative * abs(slope_w[late]):
                continue
            spread = covariance_of_means(
                (slopes_rbw[:, :, early] - slopes_rbw[:, :, late])[:, :, None],
                weights_r=weights_r,
                correlation=windows[late].correlation_blocks,
            )
            variance = spread.covariance[0, 0]
            if covariance is not None:
                gap_k = weights_wk[early] - weights_wk[late]
                variance = max(variance, slope_w[early] ** 2 * (gap_k @ covariance @ gap_k))
            if abs(difference) > stats.t.isf(significance / 2, spread.dof) * np.sqrt(variance):
                break
        else:
            return early, True
    return len(windows) - 1, start >= len(windows) - 1


def _window(blocks, first, last, weights_k):
    reach = blocks.lags[last] * blocks.n_blocks / min(blocks.n_frames)
    return FitWindow(first, last, weights_k, float(reach))


def _last_lag(lags, first, noise, limit):
    """Return the index of the last lag of a window, or None where the run is too short for one."""
    shortest_end = max(int(np.searchsorted(lags, _SPAN * lags[first])), first + 1)
    if shortest_end >= len(lags) or (first > 0 and lags[shortest_end] > max(limit, lags[1])):
        return None
    wanted = int(np.searchsorted(lags, _SPAN * max(lags[first], 2 * noise)))
    allowed = int(np.searchsorted(lags, limit, side="right")) - 1
    return max(shortest_end, min(wanted, allowed))


def _mixed(parts, noise):
    return parts[0] + noise * parts[1] + noise**2 * parts[2]
