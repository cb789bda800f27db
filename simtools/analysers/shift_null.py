"""Circular shifts of each rotor within stretches of a run: the null of every measure of coupling."""

from itertools import pairwise

import numpy as np
from scipy import signal
from scipy.fft import irfft, next_fast_len, rfft

from simtools.analysers.uncertainty import normal_estimate

__all__ = [
    "above_shifts",
    "circular_shifts",
    "correlation_steps",
    "stretch_count",
    "stretch_slices",
    "upper_p",
]

_MOST_STRETCHES = 8
_MEMORIES_PER_STRETCH = 20
_FORGOTTEN = 0.1
_NOISE = 2.0


def correlation_steps(series) -> int:
    """Return the number of steps after which series have forgotten themselves, at least 1.

    Parameters
    ----------
    series
        Shape (n_steps, n_rotors). Each rotor's straight line in time is taken out first.

    Returns
    -------
    int
        First lag at which the autocorrelation over all rotors is below 0.1, or below twice its own noise.

    Notes
    -----
    Limits: 1 for white noise; about 2.3 correlation times for exponential decay.
    """
    series = np.asarray(series, dtype=float)
    n_steps = len(series)
    if n_steps < 4:
        return 1
    residual = signal.detrend(series, axis=0)
    spectrum = rfft(residual, next_fast_len(2 * n_steps, real=True), axis=0)
    power = np.sum(spectrum.real**2 + spectrum.imag**2, axis=1)
    sums = irfft(power, next_fast_len(2 * n_steps, real=True))[: n_steps // 2]
    if not sums[0] > 1e-12 * np.square(series).sum():
        return 1
    correlation = sums / sums[0] * n_steps / (n_steps - np.arange(len(sums)))
    lowest = max(_FORGOTTEN, _NOISE / np.sqrt(series.size))
    below = np.flatnonzero(correlation[1:] < lowest)
    return int(below[0]) + 1 if len(below) else len(sums)


def stretch_count(length, memory) -> int:
    """Return how many stretches of at least 20 times `memory` a run has room for, 1 to 8."""
    return int(np.clip(length / (_MEMORIES_PER_STRETCH * memory) + 1e-9, 1, _MOST_STRETCHES))


def stretch_slices(n_steps: int, memory: int) -> list[slice]:
    """Return the slices of a run's stretches, equal but for one step."""
    edges = np.linspace(0, n_steps, stretch_count(n_steps, memory) + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def circular_shifts(rng, n_shifts: int, n_rotors: int, n_steps: int) -> np.ndarray:
    """Return shifts in steps, shape (n_shifts + 1, n_rotors): the first row none, others anything at all.

    All shifts around a stretch are a group, so draws from all of them give an exact test. Leaving out those
    shorter than the correlation time does not: the mean of the others is then biased away from what is
    observed. Stretches are 20 correlation times long instead, so that few shifts are that short.
    """
    shifts = rng.integers(0, n_steps, size=(n_shifts + 1, n_rotors))
    shifts[0] = 0
    return shifts


def above_shifts(values, *, method, n_eff):
    """Return the first value above the mean of the draws of the null that follow it; error: their spread."""
    return normal_estimate(values[0] - values[1:].mean(), values[1:].std(), method=method, n_eff=n_eff)


def upper_p(values) -> float:
    """Return the one-sided p of the first value among draws of the null, (1 + those as large)/(1 + draws)."""
    slack = 1e-12 * np.abs(values[0])
    return float((1 + (values[1:] >= values[0] - slack).sum()) / len(values))
