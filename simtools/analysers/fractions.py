"""Means of fractions that change in time and differ between replicas. Whose: see association.py."""

import numpy as np
from scipy import stats

from simtools.core.results import Estimate

__all__ = ["average_fraction"]

_FEW_SAMPLES = 10
_FEWEST_REPLICAS = 3
_DIFFERENT = 0.05
_DRIFT_SIGMAS = 3.0
_SOKAL = 5.0
_SELF_CONSISTENCY = 10


def average_fraction(series, n_vacancies, interval_ps):
    """Return the mean of time series of a fraction, its correlation time and what to know about it.

    Parameters
    ----------
    series
        One series per replica, each shape (n_frames,): the fraction of its vacancies in some state.
    n_vacancies
        In each replica.
    interval_ps
        Time between frames, ps.

    Returns
    -------
    estimate : Estimate
        The error is the larger of what the correlation time gives and of what the scatter of the replicas
        gives (three or more). The 95 % interval is Jeffreys' for the number of independent vacancies that
        reproduces that error, widened by Student's t.
    correlation_time_ps : float
        ps; infinite where nothing changed.
    notes : tuple of str
        Too few samples, memory of the start, drift, replicas that differ.

    Notes
    -----
    Limits: independent vacancies that come and go give the binomial error; replicas that never change give
    that of their scatter.
    """
    mean = float(np.concatenate(series).mean())
    deviations = [one - mean for one in series]
    variance = float(np.mean(np.concatenate(deviations) ** 2))
    notes = []
    if variance == 0:
        n_samples = n_vacancies * len(series)
        low, high = _jeffreys(mean, n_samples)
        notes.append(f"the bound fraction stayed at {mean:.3g}: no exchange between bound and free was seen")
        estimate = Estimate(
            value=mean,
            stderr=float(np.sqrt(max(mean * (1 - mean), 0.25 / n_samples) / n_samples)),
            ci95=(low, high),
            method=f"constant in time; Jeffreys interval for {n_samples} vacancies",
            n_eff=float(n_samples),
        )
        return estimate, float("inf"), tuple(notes)
    stderr, tau, dof = _error_of_mean(deviations, variance)
    n_times = max((variance + stderr**2) / stderr**2, 1.0)
    n_eff, method = n_times, "integrated correlation time"
    between = _error_between(series, mean)
    if between > stderr:
        if stats.chi2.sf((len(series) - 1) * (between / stderr) ** 2, len(series) - 1) < _DIFFERENT:
            lowest, highest = (f([one.mean() for one in series]) for f in (min, max))
            notes.append(
                f"the replicas' bound fractions ({lowest:.3f} to {highest:.3f}) differ by more than their "
                "own errors: what does not exchange within a run decides; more replicas narrow the interval"
            )
        drift_stderr, stderr, dof = stderr, between, len(series) - 1.0
        n_eff, method = min(n_times, float(len(series))), "scatter of the replicas"
    else:
        drift_stderr = stderr
    widening = stats.t.ppf(0.975, dof) / stats.norm.ppf(0.975)
    n_independent = mean * (1 - mean) / stderr**2
    low, high = _jeffreys(mean, n_independent / widening**2)
    if n_times < _FEW_SAMPLES:
        notes.append(
            f"only {n_times:.1f} independent samples of the bound fraction (correlation time "
            f"{tau * interval_ps:.3g} ps): run longer before quoting it"
        )
    elif min(map(len, series)) < _FEW_SAMPLES * tau:
        notes.append(
            f"runs of {min(map(len, series)) * interval_ps:.3g} ps are short beside the correlation time of "
            f"the bound fraction ({tau * interval_ps:.3g} ps): it still remembers how the defects were placed"
        )
    halves = [np.mean([half.mean() for half in part]) for part in zip(*map(_halves, series), strict=True)]
    if abs(halves[1] - halves[0]) > _DRIFT_SIGMAS * 2 * drift_stderr:  # a half has sqrt(2) times the error
        notes.append(
            f"the bound fraction drifts from {halves[0]:.3f} in the first half to {halves[1]:.3f} in the "
            "second: association is not in equilibrium"
        )
    estimate = Estimate(
        value=mean,
        stderr=stderr,
        ci95=(low, high),
        method=f"time and replica average; {method}; Jeffreys interval, Student's t",
        n_eff=float(n_eff),
    )
    return estimate, tau * interval_ps, tuple(notes)


def _error_between(series, mean):
    """Return the standard error that the scatter of replicas gives the mean; 0 for fewer than three."""
    if len(series) < _FEWEST_REPLICAS:
        return 0.0
    shares = np.array([len(one) for one in series]) / sum(map(len, series))
    deviations = np.array([one.mean() for one in series]) - mean
    return float(np.sqrt(len(series) / (len(series) - 1) * np.sum((shares * deviations) ** 2)))


def _halves(series):
    return np.array_split(series, 2)


def _jeffreys(fraction, n):
    low, high = stats.beta.ppf([0.025, 0.975], fraction * n + 0.5, (1 - fraction) * n + 0.5)
    return (0.0 if fraction == 0 else float(low)), (1.0 if fraction == 1 else float(high))


def _error_of_mean(deviations, variance):
    """Return the standard error of the mean, the correlation time (frames), and degrees of freedom.

    The integrated correlation time is cut by Sokal's window, over replicas about their common mean.
    Deviations from a sample mean hide the mean's own variance from every lag; it is put back
    self-consistently. Degrees of freedom follow from the variance of the windowed sum (N. Madras and
    A. D. Sokal, J. Stat. Phys. 50, 109 (1988)), or are those of the replicas.
    """
    n_frames = sum(len(one) for one in deviations)
    longest = max(len(one) for one in deviations)
    padded = 1 << (2 * longest - 1).bit_length()
    total, count = np.zeros(longest), np.zeros(longest)
    for one in deviations:
        transform = np.fft.rfft(one, padded)
        total[: len(one)] += np.fft.irfft(transform * transform.conj(), padded)[: len(one)]
        count[: len(one)] += len(one) - np.arange(len(one))
    covariance = total / np.maximum(count, 1)
    fading = 1 - np.arange(longest) / longest
    hidden = 0.0
    for _ in range(_SELF_CONSISTENCY):
        correlation = (covariance + hidden) / (variance + hidden)
        times = np.maximum(0.5 + np.append(0.0, np.cumsum((fading * correlation)[1:])), 0.5)
        enough = np.flatnonzero(np.arange(len(times)) >= _SOKAL * times)
        window = int(enough[0]) if len(enough) else len(times) - 1
        tau = float(times[window])
        hidden = min(2 * tau / n_frames, 1.0) * (variance + hidden)
    return float(np.sqrt(hidden)), tau, max(n_frames / (2 * window + 1), len(deviations) - 1.0, 1.0)
