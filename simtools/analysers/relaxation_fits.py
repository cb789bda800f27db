"""Correlation functions of rotors one by one, fits of their slow part and jackknife errors."""

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
    "time_estimate",
    "unit_correlations",
    "unknown",
]

RELAXED = 0.1
"""Share of a fit's amplitude that may be left at the longest lag of a function that has relaxed."""

_FEWEST_UNITS = 12
_GROUPS = 24
_N_LAGS = 120
_N_FITTED = 40
_SHORTEST_STEPS = 3
_LATEST_START = 0.1
_LEAST_LEFT = 0.25
_AGREES = 1.5
_FINEST = 0.002
_LEAST_SLOW = 0.02
_STRETCHING = (0.4, 2.0)
_AT_BOUND = 1e-3
_WIDEST = 100.0
_ALIKE = 1.25
_NO_PLATEAU = 1e-9
_EXTRAPOLATED = "fit that the run does not reach: no interval"


@dataclass(frozen=True)
class RelaxationFit:
    """A fitted plateau + amplitude exp(-(t/tau)^beta) of the slow part.

    Attributes
    ----------
    parameters
        Plateau, amplitude, ln tau and beta.
    tau_ps, integral_ps
        Integral time of the slow part, tau Gamma(1/beta)/beta, and the integral to the longest lag of
        (C - plateau)/(1 - plateau), ps.
    left
        Share of the slow part at the longest lag; 1 where beta or the plateau is on a bound of the fit, and
        where a slower relaxation without plateau agrees as well.
    start_lag
        First lag of the fit, in frames.
    stretched
        Whether beta was free.
    determined
        Whether a slow part was seen at all: 0.02 and three standard errors of C at the first lag of the fit.
    """

    parameters: np.ndarray
    tau_ps: float
    integral_ps: float
    plateau: float
    left: float
    start_lag: int
    stretched: bool
    determined: bool

    def relaxed(self, tau) -> bool:
        """Return whether the time was measured: also not where its interval spans over a factor of 100."""
        low, high = tau.ci95
        return self.left < RELAXED and self.determined and not high > _WIDEST * low


def fit_relaxation(interval_ps, c_k, *, units_uk=None, like=None):
    r"""Fit plateau + amplitude exp(-t/tau) to what follows the fast drop of a correlation function.

    Parameters
    ----------
    interval_ps
        Time between frames, ps.
    c_k
        Correlation function, 1 at lag 0, shape (n_lags,).
    units_uk
        The independent functions whose mean it is, shape (n_units, n_lags), for its errors; by default none
        are known.
    like
        A `RelaxationFit` whose first lag and form are taken over: for samples of a jackknife.

    Returns
    -------
    RelaxationFit

    Notes
    -----
    Librations drop C within their period, and a fit through them takes their drop for relaxation. The fit
    begins at the first of 40 lags, evenly in their logarithm, from which an exponential and a plateau agree
    with all later lags: the root mean square of the deviations is at most 1.5 of their standard errors. Those
    follow from the scatter of the units less what the fit takes up, as errors of neighbouring lags are alike;
    0.002 is added in squares. The first lag is at most a tenth of the longest and before C falls to 0.25, so
    that no decay is taken for a drop, and 0.02 and three standard errors of C must be left to decay at it.
    Where no exponential agrees, a stretched one, 0.4 < beta < 2, is fitted under the same rule, and else the
    one that deviates least.

    The plateau is a mean square: 0 at least, and at most the mean of the last tenth of C plus three of its
    standard errors and 0.002. Where a stretched exponential without plateau agrees too and has a time over
    25 % away, the run cannot tell a plateau from slower relaxation, and `left` is 1.

    The integral of a function that relaxes to 0 takes off what fits best, by three standard errors below 0 at
    most.

    Limits: plateau + A exp(-t/tau) + (1 - A - plateau) exp(-t/t_fast) gives tau, where t_fast is a hundredth
    of the longest lag or less. 0.002 bends tau by up to 4 % with 40 lags and no noise.
    """
    c_k = np.asarray(c_k, dtype=float)
    noise_uk = np.zeros((1, len(c_k)))
    if units_uk is not None and len(units_uk) > 1:
        noise_uk = (units_uk - units_uk.mean(axis=0)) / np.sqrt(len(units_uk) * (len(units_uk) - 1))
    error_k = np.sqrt(np.sum(noise_uk**2, axis=0))
    last = len(c_k) - 1
    tail = slice(last - last // 10, None)
    highest = min(1.0, max(0.0, c_k[tail].mean() + 3 * error_k[tail].mean()) + _FINEST)
    if like is None:
        lags = _spaced(1, last)
        above = np.flatnonzero(c_k < _LEAST_LEFT)
        latest = min(_LATEST_START * last, above[0] - 1 if len(above) else last)
        starts = lags[lags <= max(1, latest)]
        fit = _first_that_agrees(interval_ps, c_k, noise_uk, starts, highest)
        bare, deviation = _fit_from(interval_ps, c_k, noise_uk, fit.start_lag, True, _NO_PLATEAU)
        if deviation <= _AGREES and fit.determined and not 1 / _ALIKE < bare.tau_ps / fit.tau_ps < _ALIKE:
            fit = replace(fit, left=1.0)
    else:
        form, start = (like.start_lag, like.stretched, highest), like.parameters
        fit, _ = _fit_from(interval_ps, c_k, noise_uk, *form, start)
    lowest = -3 * error_k[tail].mean()
    if lowest == 0 or fit.plateau > _AT_BOUND or (like or fit).left >= RELAXED:
        return fit
    # a plateau that may not be below 0 would make the integral too small on average
    form, start = (fit.start_lag, fit.stretched, highest), fit.parameters
    free, _ = _fit_from(interval_ps, c_k, noise_uk, *form, start, lowest)
    return replace(fit, integral_ps=free.integral_ps)


def _first_that_agrees(interval_ps, c_k, noise_uk, starts, highest):
    found = []
    for stretched in (False, True):
        for lag in starts:
            fit, deviation = _fit_from(interval_ps, c_k, noise_uk, lag, stretched, highest)
            if deviation <= _AGREES and fit.determined:
                return fit
            found.append((not fit.determined, not stretched, deviation, lag, fit))
    return min(found, key=lambda item: item[:4])[-1]


def _spaced(first, last):
    return np.unique(np.round(np.geomspace(first, last, _N_FITTED)).astype(int))


def _fit_from(interval_ps, c_k, noise_uk, start_lag, stretched, highest, start=None, lowest=0.0):
    """Return the fit from one lag on, and the root mean square of its deviations in standard errors."""
    last = len(c_k) - 1
    lags = _spaced(start_lag, last)
    t, y = interval_ps * lags, c_k[lags]
    # later lags rest on fewer independent stretches of time
    weight = np.sqrt(1 / (1 + t / t[-1] * 3))

    def model(p, times):
        return p[0] + p[1] * np.exp(-((times / np.exp(p[2])) ** p[3]))

    beta = _STRETCHING if stretched else (1.0 - 1e-9, 1.0 + 1e-9)
    longest = np.log(100 * t[-1])
    low, high = [lowest, 0.0, np.log(interval_ps / 20), beta[0]], [highest, 1.1, longest, beta[1]]
    if start is None:
        below = np.flatnonzero(y - y[-1] < (y[0] - y[-1]) / np.e)
        guess = t[below[0]] if len(below) else t[-1]
        start = [max(0.0, y[-1] - 0.1 * (y[0] - y[-1])), max(0.05, y[0] - y[-1]), np.log(guess), 0.95]
    margin = 1e-6 * np.subtract(high, low)
    start = np.clip(start, np.add(low, margin), np.subtract(high, margin))
    free = 4 if stretched else 3
    p = np.append(start[:free], [1.0] * (4 - free))
    found = optimize.least_squares(
        lambda q: weight * (model(np.append(q, [1.0] * (4 - free)), t) - y),
        start[:free],
        bounds=(low[:free], high[:free]),
        x_scale=[0.1, 0.1, 0.3, 0.1][:free],
    )
    p[:free] = found.x
    plateau, slow = float(p[0]), float(p[1] * np.exp(-((t[0] / np.exp(p[2])) ** p[3])))
    share = (c_k - plateau) / max(1 - plateau, 1e-12)
    left = float(np.exp(-((t[-1] / np.exp(p[2])) ** p[3])))
    edges = stretched and min(p[3] - beta[0], beta[1] - p[3]) < _AT_BOUND
    if edges or (plateau > highest - 1e-4 and highest < 1.0) or p[2] > longest - _AT_BOUND:
        left = 1.0
    fit = RelaxationFit(
        parameters=p,
        tau_ps=float(np.exp(p[2]) * special.gamma(1 / p[3]) / p[3]),
        integral_ps=float(interval_ps * (share.sum() - 0.5 * (share[0] + share[-1]))),
        plateau=plateau,
        left=left,
        start_lag=int(start_lag),
        stretched=stretched,
        determined=bool(slow > _LEAST_SLOW + 3 * np.linalg.norm(noise_uk[:, start_lag])),
    )
    # noise that the free parameters take up does not show in the deviations
    jacobian = found.jac[:, found.active_mask == 0]
    noise = noise_uk[:, lags] * weight
    noise = noise - (noise @ np.linalg.pinv(jacobian).T) @ jacobian.T
    variance = np.sum(noise**2, axis=0) + (weight * _FINEST) ** 2
    return fit, float(np.sqrt(np.mean(found.fun**2 / variance)))


def time_estimate(fit, left_out, n_units, method, *, without=()):
    """Return the relaxation time; its interval is unknown where the run does not reach it."""
    estimate = jackknife_estimate(fit.tau_ps, left_out, n_units, method, without=without, logarithmic=True)
    return estimate if fit.left < RELAXED and fit.determined else unknown(estimate)


def unknown(estimate):
    """Return the estimate without interval, as an extrapolation."""
    nan = float("nan")
    return replace(estimate, stderr=nan, ci95=(nan, nan), method=_EXTRAPOLATED)


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
    return estimate if fit.left < RELAXED else unknown(estimate)


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
