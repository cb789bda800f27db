"""Correlation functions of rotors one by one, their stretched-exponential fits and jackknife errors."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special, stats

from simtools.analysers.replica_scatter import with_replica_scatter
from simtools.core.errors import ConfigError
from simtools.core.results import Estimate

__all__ = [
    "RELAXED",
    "RelaxationFit",
    "check_alike",
    "fit_relaxation",
    "jackknife_estimate",
    "lag_count",
    "left_out_means",
    "plateau_estimate",
    "shown_lags",
    "unit_correlations",
]

RELAXED = 0.1
"""Share of a fit's amplitude that may be left at the longest lag of a function that has relaxed."""

_FEWEST_UNITS = 12
_GROUPS = 24
_N_LAGS = 120
_N_FITTED = 40
_SHORTEST_STEPS = 3
_LOWEST = -0.3
_AT_BOUND = 1e-3


@dataclass(frozen=True)
class RelaxationFit:
    """A fitted plateau + amplitude exp(-(t/tau)^beta), and what is left of it at the longest lag."""

    parameters: np.ndarray  # plateau, amplitude, ln tau, beta
    tau_ps: float
    integral_ps: float
    plateau: float
    left: float


def fit_relaxation(interval_ps, c_k, start=None):
    """Fit plateau + amplitude exp(-(t/tau)^beta) to lags spaced evenly in their logarithm."""
    n_lags = len(c_k)
    lags = np.unique(np.round(np.geomspace(1, n_lags - 1, _N_FITTED)).astype(int))
    t, y = interval_ps * lags, c_k[lags]
    # later lags rest on fewer independent stretches of time
    weight = np.sqrt(1 / (1 + t / t[-1] * 3))

    def model(p, times):
        return p[0] + p[1] * np.exp(-((times / np.exp(p[2])) ** p[3]))

    longest = np.log(100 * t[-1])
    low, high = [_LOWEST, 0.0, np.log(interval_ps / 20), 0.3], [1.0, 1.1, longest, 1.2]
    if start is None:
        drop = np.flatnonzero(y < y[-1] + (1 - y[-1]) / np.e)
        guess = t[drop[0]] if len(drop) else t[-1]
        start = [max(0.0, y[-1]), max(0.05, 1 - max(0.0, y[-1])), np.log(guess), 0.95]
    start = np.clip(start, np.add(low, 1e-6), np.subtract(high, 1e-6))
    found = optimize.least_squares(
        lambda p: weight * (model(p, t) - y), start, bounds=(low, high), x_scale=[0.1, 0.1, 0.3, 0.1]
    )
    p = found.x
    tau = float(np.exp(p[2]) * special.gamma(1 / p[3]) / p[3])
    plateau = float(p[0])
    share = (c_k - plateau) / max(1 - plateau, 1e-12)
    integral = float(interval_ps * (share.sum() - 0.5 * (share[0] + share[-1])))
    left = float(np.exp(-((t[-1] / np.exp(p[2])) ** p[3])))
    if plateau < _LOWEST + _AT_BOUND or p[2] > longest - _AT_BOUND:
        left = 1.0
    return RelaxationFit(p, tau, integral, plateau, left)


def jackknife_estimate(value, left_out, n_units, method, *, without=(), logarithmic=False):
    """Return the delete-a-group jackknife's interval, of the logarithm for a positive quantity.

    Where replicas (`without` each of them) differ by more than that explains, theirs is taken.
    """
    g = len(left_out)
    if g == 0:
        nan = float("nan")
        return Estimate(
            value=float(value), stderr=nan, ci95=(nan, nan), method="one rotor: no error", n_eff=1.0
        )
    points = np.log(left_out) if logarithmic else left_out
    error = np.sqrt((g - 1) / g * np.sum((points - points.mean()) ** 2))
    without = np.log(without) if logarithmic else without
    error, dof, widened = with_replica_scatter(without, error, g - 1.0)
    if widened:
        method, n_units = f"jackknife over {len(without)} replicas, which differ; Student", len(without)
    half = stats.t.ppf(0.975, dof) * error
    ci95 = (value * np.exp(-half), value * np.exp(half)) if logarithmic else (value - half, value + half)
    return Estimate(
        value=float(value),
        stderr=float(error * value if logarithmic else error),
        ci95=(float(ci95[0]), float(ci95[1])),
        method=method,
        n_eff=float(n_units),
    )


def plateau_estimate(fit, left_out, n_units, method, *, without=()):
    """Return the plateau; its interval is unknown where the run does not reach it."""
    estimate = jackknife_estimate(fit.plateau, left_out, n_units, method, without=without)
    if fit.left < RELAXED:
        return estimate
    nan = float("nan")
    return replace(
        estimate, stderr=nan, ci95=(nan, nan), method="fit that the run does not reach: no interval"
    )


def lag_count(parts, max_lag_ps) -> int:
    """Return the number of lags up to `max_lag_ps`, by default a third of the shortest run.

    Raises
    ------
    ConfigError
        If they do not fit the runs.
    """
    interval_ps, shortest = parts[0].frame_interval_ps, min(part.n_frames for part in parts)
    n_lags = shortest // 3 if max_lag_ps is None else int(max_lag_ps / interval_ps + 1e-9) + 1
    if not _SHORTEST_STEPS < n_lags <= shortest:
        raise ConfigError(
            f"the longest lag must be {_SHORTEST_STEPS} to {shortest - 1} frames of {interval_ps:g} ps, got "
            f"{n_lags - 1}"
        )
    return n_lags


def shown_lags(n_lags):
    """Return lag 0 and 120 lags at most, evenly in their logarithm, in frames."""
    return np.concatenate([[0], np.unique(np.round(np.geomspace(1, n_lags - 1, _N_LAGS)).astype(int))])


def unit_correlations(parts, n_lags, correlate):
    """Return correlation functions of rotors, (n_units, ..., n_lags), and stretches of time per rotor.

    `correlate` takes the bonds of one rotor (n_frames, n_bonds, 3) and `n_lags`. Fewer than 12 rotors are cut
    into stretches of three times the longest lag or more.
    """
    n_rotors, shortest = sum(part.n_rotors for part in parts), min(part.n_frames for part in parts)
    stretches = 1
    if n_rotors < _FEWEST_UNITS:
        stretches = max(1, min(-(-_FEWEST_UNITS // n_rotors), shortest // (3 * n_lags)))
    units = [
        correlate(stretch, n_lags)
        for part in parts
        for rotor in range(part.n_rotors)
        for stretch in np.array_split(part.vectors[:, rotor], stretches)
    ]
    return np.array(units), stretches


def left_out_means(units, seed):
    """Return means over units with up to 24 random groups of them left out in turn; none for one unit."""
    groups = np.array_split(np.random.default_rng(seed).permutation(len(units)), min(_GROUPS, len(units)))
    total = units.sum(axis=0)
    if len(units) == 1:
        return []
    return [(total - units[group].sum(axis=0)) / (len(units) - len(group)) for group in groups]


def check_alike(parts):
    """Refuse no runs, molecules of different kinds, and runs with different times between frames."""
    if not parts:
        raise ConfigError("reorientation needs at least one trajectory, got none")
    names = {part.name for part in parts}
    if len(names) != 1:
        raise ConfigError(f"expected molecules of one kind, got {', '.join(sorted(names))}")
    intervals = [part.frame_interval_ps for part in parts]
    if max(intervals) > min(intervals) * (1 + 1e-6):
        raise ConfigError(
            f"replicas have frames every {min(intervals):g} and every {max(intervals):g} ps, expected one"
        )
