"""Slopes of the tracer and the collective displacement with their covariance. Units: see transport.py."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.lines import fit_variance_exponent, gls_line
from simtools.analysers.uncertainty import covariance_of_means
from simtools.analysers.window import charge_windows, choose_window, tracer_windows

__all__ = ["NOTABLE_TREND", "Slopes", "fit_slopes"]

_OCTAVE = 3
_TRACER_SIGNIFICANCE = 0.002
_CHARGE_SIGNIFICANCE = 0.001
_COARSE_AGREEMENT = 0.2
_MOVED_HOPS_SQUARED = 0.4
_EXTRAPOLATED_SHARE = 0.85
_EXTRAPOLATION_DOUBT = 1.0
NOTABLE_TREND = 0.1
_UNKNOWN_TREND = 0.3
_THEORY_DOF = 20.0
_REPLICA_SIGNIFICANCE = 0.01
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
        What the tracer's error would be if the ions moved independently (generalised least squares), Å²/ps.
    weights_qk : ndarray
        What turned displacements at the lags into the slopes, shape (2, n_lags), 1/ps: the tracer's applies
        to `tracer_rbk`, the collective one to `smooth_charge_rbk`.
    correlation_blocks : ndarray
        Longest lag of each fit in units of a time block, shape (2,).
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
    of the number of hops) and jumps back die out. Where the run is too short for that, the remaining trend
    of the slope over the last octave is extrapolated as far as it is significant.

    *Collective.* One walker per replica, so the earliest window pays. The optical vibration of the whole
    sublattice would drown it: a running mean over 0.8 ps takes it out and leaves slopes beyond that lag as
    they are. The window begins there, where the tracer's slope has come within 20 % of its final one (jumps
    back and circling around a partner have died out) and where what is left of the vibration has died out,
    and later only if the collective slope itself says so.

    *Errors.* The slope is a mean over replicas and time blocks, so their scatter gives its variance however
    the ions are correlated, and the covariance of both slopes. For the collective slope this is pooled with
    the exact variance of a Brownian walker plus one over the number of hops, which counts as 20 degrees of
    freedom. Where the tracer's slope has not settled or had to be extrapolated by over 10 %, the collective
    slope inherits the doubt: the part extrapolated, or, beyond 30 %, all by which the tracer's slope in the
    collective window exceeds its final one.
    """
    weights_r = blocks.weights_r
    windows = tracer_windows(blocks)
    chosen, settled = _tracer_window(blocks, windows, hop_length_A)
    window = windows[chosen]
    tracer_k, doubt = _extrapolated(blocks, window, windows[max(chosen - _OCTAVE, 0)])

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
    covariance, dof = _joint_covariance(influence_rbq, weights_r, window, charge_window)
    hops = max(blocks.n_hops, 1)
    grouping = max(1.0, values[1] / values[0]) if values[0] > 0 else 1.0
    relative = charge_window.weights_k @ theory @ charge_window.weights_k + grouping / hops
    covariance, dof = _pool(covariance, dof, values[1] ** 2 * relative)
    covariance, dof, differ = _replica_scatter(influence_rbq, weights_r, covariance, dof)
    covariance[0, 0] += doubt**2
    trend = float(doubt / _EXTRAPOLATION_DOUBT / abs(values[0])) if values[0] else 0.0
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
        settled=settled,
        replicas_differ=differ,
        ordinary_slope=float(np.polyfit(times, msd, 1)[0]),
        fixed_sum=fixed_sum,
        trend=trend,
        independent_stderr=_independent_stderr(blocks, used),
        weights_qk=np.stack([tracer_k, charge_window.weights_k]),
        correlation_blocks=np.array([window.correlation_blocks, charge_window.correlation_blocks]),
    )


def _tracer_window(blocks, windows, hop_length_A):
    """Return (index of the window, whether slopes agree from there on)."""
    weights_r, msd_k = blocks.weights_r, blocks.msd_k
    agreed, settled = choose_window(blocks.tracer_rbk, windows, weights_r, significance=_TRACER_SIGNIFICANCE)
    chosen = min(agreed + _OCTAVE, len(windows) - 1)
    while chosen + 1 < len(windows):
        diffusive = windows[chosen].weights_k @ msd_k * blocks.lag_times_ps[windows[chosen].first]
        if diffusive >= _MOVED_HOPS_SQUARED * hop_length_A**2:
            break
        chosen += 1
    return chosen, settled


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


def _extrapolated(blocks, window, earlier):
    """Return the tracer's weights with the slope's own trend carried on, and the doubt that leaves."""
    step_k = earlier.weights_k - window.weights_k
    step_rb = blocks.tracer_rbk @ step_k
    step = float(blocks.weights_r @ step_rb.mean(axis=1))
    if step <= 0:
        return window.weights_k, 0.0
    variance = covariance_of_means(
        step_rb[:, :, None], weights_r=blocks.weights_r, correlation=window.correlation_blocks
    ).covariance[0, 0]
    share = _EXTRAPOLATED_SHARE * max(0.0, 1 - variance / step**2)
    return window.weights_k - share * step_k, _EXTRAPOLATION_DOUBT * share * step


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
    return covariance, np.array([tracer.dof, charge.dof])


def _pool(covariance, dof, expected):
    """Return covariance and dof with the collective variance pooled with its theoretical value."""
    measured = covariance[1, 1]
    pooled = (_THEORY_DOF * expected + dof[1] * measured) / (_THEORY_DOF + dof[1])
    scale = np.array([1.0, np.sqrt(pooled / measured) if measured > 0 else 1.0])
    covariance = covariance * np.outer(scale, scale)
    covariance[1, 1] = pooled
    return covariance, dof + np.array([0.0, _THEORY_DOF])


def _replica_scatter(influence_rbq, weights_r, covariance, dof):
    """Return covariance and dof of the replicas' own scatter where time blocks cannot explain it."""
    n_replicas = len(weights_r)
    if n_replicas < 2:
        return covariance, dof, False
    deviation_rq = influence_rbq.mean(axis=1) - weights_r @ influence_rbq.mean(axis=1)
    scatter = (deviation_rq.T * weights_r**2) @ deviation_rq * n_replicas / (n_replicas - 1)
    excess = np.diag(scatter) > np.diag(covariance) * stats.f.isf(_REPLICA_SIGNIFICANCE, n_replicas - 1, dof)
    if not excess.any():
        return covariance, dof, False
    scale = np.where(excess, np.sqrt(np.diag(scatter) / np.diag(covariance)), 1.0)
    return covariance * np.outer(scale, scale), np.where(excess, n_replicas - 1.0, dof), True


def _independent_stderr(blocks, used):
    times, msd = blocks.lag_times_ps[used], blocks.msd_k[used]
    variance = np.maximum(blocks.quartic_k[used] - msd**2, 1e-300)
    samples = blocks.n_ions * sum(blocks.n_frames) / blocks.lags[used]
    _, covariance = gls_line(
        times,
        msd,
        variance=variance,
        n_independent=samples,
        variance_exponent=fit_variance_exponent(times, variance),
    )
    return float(np.sqrt(covariance[1, 1]))
