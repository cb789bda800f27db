"""Slopes of the tracer and the collective displacement with their covariance. Units: see transport.py."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.lines import fit_variance_exponent
from simtools.analysers.uncertainty import covariance_of_means
from simtools.analysers.window import charge_windows, choose_window, tracer_windows

__all__ = ["NOTABLE_TREND", "Slopes", "fit_slopes"]

_OCTAVE = 3
_TRACER_SIGNIFICANCE = 0.002
_CHARGE_SIGNIFICANCE = 0.001
_COARSE_AGREEMENT = 0.2
_MOVED_HOPS_SQUARED = 0.4
_EXTRAPOLATED_SHARE = 0.85
_TREND_PRIOR = 0.03
_TREND_ERRORS = (1.0, 1.5)  # of a step that counts, before and after ions have moved far enough
_TREND_DOUBT = 0.5
NOTABLE_TREND = 0.1
_UNKNOWN_TREND = 0.3
_THEORY_DOF = 20.0
_TRACER_THEORY_DOF = 8.0
_OVERLAPPING = 0.75
_REPLICA_SIGNIFICANCE = (0.001, 0.01)
_SEVERAL_REPLICAS = 4
_RINGING_SHARE_OF_STEP = 0.5
_RINGING_ERRORS = 3.0
_VIBRATING_PS = 1.6
_FIXED = 1e-10
_RINGING_SHARE = 0.04
_RINGING_MARGIN = 2.5


@dataclass(frozen=True, eq=False)
class Slopes:
    """Slopes of the mean squared displacement and of its collective counterpart.

    Attributes
    ----------
    values : ndarray
        6 D* and 6 D_sigma, shape (2,), Å²/ps.
    covariance : ndarray
        Shape (2, 2).
    dof : ndarray
        Degrees of freedom of the two variances, shape (2,).
    windows_ps : ndarray
        First and last lag of each fit, shape (2, 2), ps.
    settled : bool
        False when the tracer slope still changes at the longest usable lag.
    replicas_differ : bool
        True when replicas scatter more than their own time blocks explain; the error is then theirs.
    ordinary_slope : float
        Unweighted fit of the tracer in the same window, Å²/ps.
    fixed_sum : bool
        True where the summed displacement stays zero: all mobile ions and no host, momentum conserved.
    trend : float
        Part of the tracer slope that was extrapolated away, relative.
    independent_stderr : float
        What the tracer's error would be if the ions moved independently (generalised least squares with
        windows that do not overlap), Å²/ps.
    weights_qk : ndarray
        What turned displacements at the lags into the slopes, shape (2, n_lags), 1/ps: the tracer's applies
        to `tracer_rbk`, the collective one to `smooth_charge_rbk`.
    correlation_blocks : ndarray
        Longest lag of each fit in units of a time block, shape (2,).
    correlation_dof : float
        Degrees of freedom of the measured correlation between both slopes.
    """

    values: np.ndarray
    covariance: np.ndarray
    dof: np.ndarray
    windows_ps: np.ndarray
    settled: bool
    replicas_differ: bool
    ordinary_slope: float
    fixed_sum: bool
    trend: float
    independent_stderr: float
    weights_qk: np.ndarray
    correlation_blocks: np.ndarray
    correlation_dof: float


def fit_slopes(blocks, *, hop_length_A):
    r"""Return the `Slopes` of `DisplacementBlocks`.

    Parameters
    ----------
    blocks
        From `blocked_displacements`.
    hop_length_A
        Distance between neighbouring sites, Å.

    Returns
    -------
    Slopes

    Notes
    -----
    *Tracer.* The window begins where slopes stop changing, plus a factor of two, and no earlier than the lag
    at which an ion has moved by 0.4 squared hops: up to there a longer lag costs nothing (the noise is that
    of the number of hops) and jumps back die out. Where the run is too short for that, the slope is taken to
    fall further by as much as it fell over the last octave (a trend that falls as 1/t does so). That fall is
    noisy: it is combined with a prior that it lies between zero and a few per cent of the slope, and half of
    what is taken off is left as doubt. Where ions have moved that far, only a significant trend is taken off.
    Lags below 1.6 ps may still vibrate and tell no trend; a slope that swings there is left as it is, with
    half of the swing as doubt.

    *Collective.* One walker per replica, so the earliest window pays. The optical vibration of the whole
    sublattice would drown it: a running mean over 0.8 ps takes it out and leaves slopes beyond that lag as
    they are. The window begins there, where the tracer's slope has come within 20 % of its final one (jumps
    back and circling around a partner have died out) and where what is left of the vibration has died out,
    and later only if the collective slope itself says so.

    *Errors.* The slope is a mean over replicas and time blocks, so their scatter gives its variance however
    the ions are correlated, and the covariance of both slopes. A few long lags in a few runs leave that
    scatter with two to ten degrees of freedom, so it is pooled with theory: for the tracer, the variance of
    ions that move on their own (that of generalised least squares, three quarters of it as windows overlap)
    times D_sigma / D* where ions move in groups, which counts as 8 degrees of freedom; for the collective
    slope, the exact variance of a Brownian walker plus one over the number of hops, which counts as 20. Where
    the tracer's slope has not settled or had to be extrapolated by over 10 %, the collective slope inherits
    the doubt: the part extrapolated, or, beyond 30 %, all by which the tracer's slope in the collective
    window exceeds its final one. Where replicas scatter more than all that explains (chance below 1 %, or
    0.1 % with fewer than four, whose scatter alone says next to nothing), the error is their scatter.
    """
    weights_r = blocks.weights_r
    windows = tracer_windows(blocks)
    chosen, settled, moved = _tracer_window(blocks, windows, hop_length_A)
    window = windows[chosen]
    octave = windows[max(chosen - _OCTAVE, 0) : chosen + 1]
    independent = _independent_covariance(blocks, octave[0].first, window.last)
    tracer_k, shift, doubt, rings = _extrapolated(blocks, octave, independent, moved)

    fixed_sum = bool(blocks.charge_msd_k.max() <= _FIXED * blocks.msd_k.max())
    if fixed_sum:
        charge_window, theory = window, np.zeros((len(blocks.lags), len(blocks.lags)))
    else:
        slope = float(tracer_k @ blocks.msd_k)
        charge_window, theory = _charge_window(blocks, _coarse_agreement(blocks, windows, chosen, slope))

    influence_rbq = np.stack(
        [blocks.tracer_rbk @ tracer_k, blocks.smooth_charge_rbk @ charge_window.weights_k], axis=-1
    )
    values = weights_r @ influence_rbq.mean(axis=1)
    covariance, dof, correlation_dof = _joint_covariance(influence_rbq, weights_r, window, charge_window)
    grouping = max(1.0, values[1] / values[0]) if values[0] > 0 else 1.0
    relative = charge_window.weights_k @ theory @ charge_window.weights_k + grouping * _hop_noise(
        blocks, window
    )
    alone = tracer_k @ independent @ tracer_k
    expected = np.array([_OVERLAPPING * grouping * alone, values[1] ** 2 * relative])
    covariance, dof = _pool(covariance, dof, expected)
    covariance, dof, differ = _replica_scatter(influence_rbq, weights_r, covariance, dof)
    covariance[0, 0] += doubt**2
    trend = float(shift / abs(values[0])) if values[0] else 0.0
    if not settled or trend > NOTABLE_TREND:
        unknown = not settled or trend > _UNKNOWN_TREND
        covariance[1, 1] += _inherited_doubt(blocks, values, charge_window, None if unknown else trend) ** 2

    used = slice(window.first, window.last + 1)
    times, msd = blocks.lag_times_ps[used], blocks.msd_k[used]
    return Slopes(
        values=values,
        covariance=covariance,
        dof=dof,
        windows_ps=blocks.lag_times_ps[
            [[window.first, window.last], [charge_window.first, charge_window.last]]
        ],
        settled=settled and not rings,
        replicas_differ=differ,
        ordinary_slope=float(np.polyfit(times, msd, 1)[0]),
        fixed_sum=fixed_sum,
        trend=trend,
        independent_stderr=float(np.sqrt(alone)),
        weights_qk=np.stack([tracer_k, charge_window.weights_k]),
        correlation_blocks=np.array([window.correlation_blocks, charge_window.correlation_blocks]),
        correlation_dof=correlation_dof,
    )


def _tracer_window(blocks, windows, hop_length_A):
    """Return index of the window, whether slopes agree from there on, whether ions have moved far enough."""
    weights_r, msd_k = blocks.weights_r, blocks.msd_k
    agreed, settled = choose_window(blocks.tracer_rbk, windows, weights_r, significance=_TRACER_SIGNIFICANCE)
    chosen = min(agreed + _OCTAVE, len(windows) - 1)
    for index in range(chosen, len(windows)):
        diffusive = windows[index].weights_k @ msd_k * blocks.lag_times_ps[windows[index].first]
        if diffusive >= _MOVED_HOPS_SQUARED * hop_length_A**2:
            return index, settled, True
    return len(windows) - 1, settled, False


def _coarse_agreement(blocks, windows, chosen, slope):
    """Return the first lag from which on the tracer's slope stays within 20 % of its final one.

    Jumps back, and circling around a partner, raise the collective slope too, but its own noise hides that;
    the tracer, known far better, tells when they have died out.
    """
    slope_w = np.array([window.weights_k @ blocks.msd_k for window in windows[:chosen]])
    apart = np.flatnonzero(np.abs(slope_w - slope) > _COARSE_AGREEMENT * abs(slope))
    return windows[int(apart[-1]) + 1 if len(apart) else 0].first


def _charge_window(blocks, coarse):
    coarse = max(coarse, _end_of_ringing(blocks))
    windows, theory = charge_windows(blocks, coarse)
    index, _ = choose_window(
        blocks.smooth_charge_rbk,
        windows,
        blocks.weights_r,
        significance=_CHARGE_SIGNIFICANCE,
        covariance=theory,
    )
    return windows[index], theory


def _end_of_ringing(blocks):
    """Return the first lag beyond the coherent vibration of the whole sublattice, as an index.

    The mobile ions swing against their host together, so their summed displacement rings for a picosecond or
    two with an amplitude that no single ion has. Smoothing takes that out where frames are close enough; as
    long as the mean square still falls anywhere, slopes mean nothing. Falls at lags with few independent
    stretches are noise and are not looked at.
    """
    lags = blocks.lags
    fell = lags[1:][np.diff(blocks.smooth_charge_msd_k) < 0]
    fell = fell[fell <= _RINGING_SHARE * min(blocks.n_frames)]
    if len(fell) == 0:
        return 0
    return int(np.searchsorted(lags, _RINGING_MARGIN * fell[-1]))


def _extrapolated(blocks, windows, independent, moved):
    """Return the last window's weights with the slopes' own trend carried on.

    Returns
    -------
    weights_k : ndarray
    shift : float
        What was taken off the slope, Å²/ps.
    doubt : float
        Standard error that this leaves, Å²/ps.
    rings : bool
        True where the slope swings instead of falling: a vibration is still dying out, and there is no trend.
    """
    windows = [item for item in windows if blocks.lag_times_ps[item.first] >= _VIBRATING_PS] or windows
    earlier, window = windows[0], windows[-1]
    slope_w = np.array([item.weights_k @ blocks.msd_k for item in windows])
    slope, step, swing = slope_w[-1], slope_w[0] - slope_w[-1], slope_w[-1] - slope_w.min()
    step_k = earlier.weights_k - window.weights_k
    measured = covariance_of_means(
        (blocks.tracer_rbk @ step_k)[:, :, None],
        weights_r=blocks.weights_r,
        correlation=window.correlation_blocks,
    )
    grouping = max(1.0, window.weights_k @ blocks.smooth_charge_msd_k / slope) if slope > 0 else 1.0
    theory = _OVERLAPPING * grouping * (step_k @ independent @ step_k)
    variance = (_TRACER_THEORY_DOF * theory + measured.dof * measured.covariance[0, 0]) / (
        _TRACER_THEORY_DOF + measured.dof
    )
    if swing > max(_RINGING_SHARE_OF_STEP * abs(step), _RINGING_ERRORS * np.sqrt(variance)):
        return window.weights_k, 0.0, swing / 2, True
    plain = 0.0
    if step > 0:
        plain = _EXTRAPOLATED_SHARE * max(0.0, 1 - (_TREND_ERRORS[moved] ** 2) * variance / step**2)
    if moved or slope <= 0:
        return window.weights_k - plain * step_k, plain * step, plain * step, False
    prior = _TREND_PRIOR * slope
    # of a single window there is no trend to see, and the prior is all that is known
    share = prior**2 / (prior**2 + variance) if len(windows) > 1 else 0.0
    error = prior * np.sqrt(1 - share)
    z = share * step / error
    hazard = np.exp(stats.norm.logpdf(z) - stats.norm.logcdf(z))
    shift = share * step + error * hazard
    if plain * step > shift:
        return window.weights_k - plain * step_k, plain * step, plain * step, False
    share_here = share * (1 - z * hazard - hazard**2)
    weights_k = window.weights_k - share_here * step_k
    weights_k = weights_k * (slope - shift) / (slope - share_here * step)
    return weights_k, shift, _TREND_DOUBT * shift, False


def _hop_noise(blocks, window):
    """Return the relative variance that a slope has because displacements come in hops, not as a continuum.

    That is one over the number of hops. Those counted one by one may be too few, as they must last, and
    continuous motion has none; so the fourth moment of the displacements, which for a continuum is that of a
    Gaussian, bounds it, too.
    """
    used = slice(window.first, window.last + 1)
    excess = blocks.quartic_k[used] / np.maximum(blocks.msd_k[used] ** 2, 1e-300) - 5 / 3
    per_ion = float(np.mean(np.maximum(excess, 0.0) * blocks.lags[used]))
    return min(1 / max(blocks.n_hops, 1), per_ion / (blocks.n_ions * sum(blocks.n_frames)))


def _inherited_doubt(blocks, values, charge_window, trend):
    """Return how far the collective slope may be off where the tracer's has not settled, Å²/ps.

    Jumps back can raise both slopes at short lags: by the trend that had to be taken out of the tracer's, or,
    where that is large or still going on (None), by all that the tracer's slope in the collective window
    exceeds its final one.
    """
    if values[0] <= 0:
        return abs(values[1])
    if trend is None:
        trend = abs(float(charge_window.weights_k @ blocks.msd_k) / values[0] - 1)
    return abs(values[1]) * trend


def _joint_covariance(influence_rbq, weights_r, window, charge_window):
    tracer, charge = (
        covariance_of_means(influence_rbq, weights_r=weights_r, correlation=item.correlation_blocks)
        for item in (window, charge_window)
    )
    wide = tracer if window.last >= charge_window.last else charge
    scale = np.sqrt(np.diag(wide.covariance))
    correlation = wide.covariance[0, 1] / scale.prod() if scale.prod() > 0 else 0.0
    stderr = np.sqrt([tracer.covariance[0, 0], charge.covariance[1, 1]])
    covariance = np.outer(stderr, stderr) * np.array([[1.0, correlation], [correlation, 1.0]])
    return covariance, np.array([tracer.dof, charge.dof]), wide.dof


def _pool(covariance, dof, expected):
    """Return covariance and dof with both variances pooled with their theoretical values."""
    measured, theory_dof = np.diag(covariance), np.array([_TRACER_THEORY_DOF, _THEORY_DOF])
    pooled = (theory_dof * expected + dof * measured) / (theory_dof + dof)
    scale = np.sqrt(np.divide(pooled, measured, out=np.ones(2), where=measured > 0))
    covariance = covariance * np.outer(scale, scale)
    np.fill_diagonal(covariance, pooled)
    return covariance, dof + theory_dof


def _replica_scatter(influence_rbq, weights_r, covariance, dof):
    """Return covariance and dof of the replicas' own scatter where time blocks cannot explain it."""
    n_replicas = len(weights_r)
    if n_replicas < 2:
        return covariance, dof, False
    deviation_rq = influence_rbq.mean(axis=1) - weights_r @ influence_rbq.mean(axis=1)
    scatter = (deviation_rq.T * weights_r**2) @ deviation_rq * n_replicas / (n_replicas - 1)
    significance = _REPLICA_SIGNIFICANCE[n_replicas >= _SEVERAL_REPLICAS]
    excess = np.diag(scatter) > np.diag(covariance) * stats.f.isf(significance, n_replicas - 1, dof)
    if not excess.any():
        return covariance, dof, False
    scale = np.where(excess, np.sqrt(np.diag(scatter) / np.diag(covariance)), 1.0)
    return covariance * np.outer(scale, scale), np.where(excess, n_replicas - 1.0, dof), True


def _independent_covariance(blocks, first, last):
    """Return the covariance of the tracer's MSD between two lags if ions moved independently, Å⁴."""
    used = slice(first, last + 1)
    times, msd = blocks.lag_times_ps[used], blocks.msd_k[used]
    variance = np.maximum(blocks.quartic_k[used] - msd**2, 1e-300)
    q = fit_variance_exponent(times, variance)
    smooth = np.exp(np.mean(np.log(variance) - (q + 1) * np.log(times))) * times ** (q + 1)
    duration_ps = blocks.n_ions * sum(blocks.n_frames) * blocks.frame_interval_ps
    early, late = np.minimum.outer(smooth, smooth), np.maximum.outer(times, times)
    covariance = np.zeros((len(blocks.lags), len(blocks.lags)))
    covariance[used, used] = early * late / duration_ps
    return covariance
