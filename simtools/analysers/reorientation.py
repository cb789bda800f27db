"""Reorientation functions C_1 and C_2, relaxation times, plateaus and what their ratio says of the motion."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special, stats
from scipy.fft import irfft, next_fast_len, rfft

from simtools.analysers.orientations import Orientations
from simtools.analysers.replica_scatter import with_replica_scatter
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity

__all__ = ["ReorientationResult", "legendre_correlations", "reorientation"]

_PRODUCTS = ((0, 0, 1.0), (1, 1, 1.0), (2, 2, 1.0), (0, 1, 2.0), (0, 2, 2.0), (1, 2, 2.0))
_FEWEST_UNITS = 12
_N_LAGS = 120
_N_FITTED = 40
_GROUPS = 24
_RELAXED = 0.1
_SHORTEST_STEPS = 3
_LOWEST = -0.3
_AT_BOUND = 1e-3


@dataclass(frozen=True, eq=False, kw_only=True)
class ReorientationResult(Result):
    r"""Reorientation functions of molecules of one kind.

    Attributes
    ----------
    c1, c2, c1_stderr, c2_stderr
        :math:`C_l(t) = \langle P_l(\hat u(0) \cdot \hat u(t)) \rangle` over bonds, rotors, replicas and time.
    tau1, tau2 : Estimate
        Relaxation time of the fitted slow part, :math:`\tau \Gamma(1/\beta)/\beta` of
        :math:`A_0 + A e^{-(t/\tau)^\beta}`, ps.
    integral1, integral2 : Estimate
        :math:`\int (C_l - A_0)/(1 - A_0)\,dt` to the longest lag: fast libration included.
    plateau1, plateau2 : Estimate
        A_0; that of C_2 is the squared order parameter S².
    stretching : ndarray
        Exponents beta of the two fits.
    relaxed : tuple of bool
        Whether each fit has come within a tenth of its amplitude of the plateau by the longest lag. Where
        not, its time is an extrapolation.
    ratio : Estimate
        tau1/tau2: 3 for small steps, 1 for jumps to anywhere.
    motion : str
        "small steps", "large jumps", "between", "wide wobble" (over 3: bonds wobble widely about a direction
        that turns slowly) or "not relaxed": where the interval of the ratio lies.
    static_order : ndarray
        :math:`|\langle \hat u \rangle_t|` of each rotor (first bond): 1 frozen, 0 all directions alike.
    n_units : int
        Rotors, or stretches of them, that errors were drawn from.
    """

    name: str
    n_rotors: int
    n_replicas: int
    n_units: int
    lag_times_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    c1: np.ndarray = quantity("1", shape="(n_lags,)")
    c1_stderr: np.ndarray = quantity("1", shape="(n_lags,)")
    c2: np.ndarray = quantity("1", shape="(n_lags,)")
    c2_stderr: np.ndarray = quantity("1", shape="(n_lags,)")
    tau1: Estimate = quantity("ps")
    tau2: Estimate = quantity("ps")
    integral1: Estimate = quantity("ps")
    integral2: Estimate = quantity("ps")
    plateau1: Estimate = quantity("1")
    plateau2: Estimate = quantity("1")
    stretching: np.ndarray = quantity("1", shape="(2,)")
    relaxed: tuple
    ratio: Estimate = quantity("1")
    motion: str
    static_order: np.ndarray = quantity("1", shape="(n_rotors,)")


def legendre_correlations(vectors, n_lags: int) -> np.ndarray:
    r"""Return C_1 and C_2 of one rotor, averaged over its bonds and all origins.

    .. math:: C_2(t) = \tfrac32 \sum_{ab} \langle u_a u_b(0)\, u_a u_b(t) \rangle - \tfrac12

    Parameters
    ----------
    vectors
        Unit vectors, shape (n_frames, n_bonds, 3).
    n_lags
        Lags 0 to n_lags - 1, at most n_frames.

    Returns
    -------
    ndarray
        Shape (2, n_lags). By FFT: three transforms for C_1 and six, of the distinct products, for C_2.
    """
    n_frames, n_bonds, _ = vectors.shape
    length = next_fast_len(n_frames + n_lags, real=True)
    power = np.zeros((2, length // 2 + 1))
    for bond in range(n_bonds):
        u_ct = np.ascontiguousarray(vectors[:, bond].T, dtype=float)
        spectrum = rfft(u_ct, length)
        power[0] += np.sum(spectrum.real**2 + spectrum.imag**2, axis=0)
        for a, b, weight in _PRODUCTS:
            spectrum = rfft(u_ct[a] * u_ct[b], length)
            power[1] += weight * (spectrum.real**2 + spectrum.imag**2)
    sums = irfft(power, length)[:, :n_lags]
    sums /= n_bonds * (n_frames - np.arange(n_lags))
    sums[1] = 1.5 * sums[1] - 0.5
    return sums


def reorientation(
    orientations: Orientations | Sequence[Orientations],
    *,
    max_lag_ps: float | None = None,
    seed: int = 0,
) -> ReorientationResult:
    """Return C_1, C_2 and relaxation times of one run or of replicas.

    Parameters
    ----------
    orientations
        From `orientations_of`; replicas add up.
    max_lag_ps
        Longest lag, ps; by default a third of the shortest run.
    seed
        Seed of the groups that are left out in turn, where there are more than 24 rotors.

    Returns
    -------
    ReorientationResult
        Errors are a jackknife over rotors and replicas, bonds of one rotor together; with fewer than 12 of
        them over stretches in time that are three times the longest lag or more. Where replicas differ by
        more than their rotors explain, errors of times, ratio and plateaus are a jackknife over replicas.

    Raises
    ------
    ConfigError
        For different molecules, different times between frames, or a longest lag that does not fit.

    Notes
    -----
    Limits: isotropic rotational diffusion gives exp(-l(l+1) D t), so tau1/tau2 = 3; jumps to random
    directions 1; a frozen rotor C_l = 1; wobbling in a cone of half-angle a, S² = [cos a (1 + cos a)/2]².
    Rotors that turn together are not independent: errors are then too small, and replicas are needed.
    """
    parts = (orientations,) if isinstance(orientations, Orientations) else tuple(orientations)
    _check(parts)
    interval_ps = parts[0].frame_interval_ps
    shortest = min(part.n_frames for part in parts)
    n_lags = shortest // 3 if max_lag_ps is None else int(max_lag_ps / interval_ps + 1e-9) + 1
    if not _SHORTEST_STEPS < n_lags <= shortest:
        raise ConfigError(
            f"the longest lag must be {_SHORTEST_STEPS} to {shortest - 1} frames of {interval_ps:g} ps, got "
            f"{n_lags - 1}"
        )
    stretches = 1
    n_rotors = sum(part.n_rotors for part in parts)
    if n_rotors < _FEWEST_UNITS:
        stretches = max(1, min(-(-_FEWEST_UNITS // n_rotors), shortest // (3 * n_lags)))
    units = np.array(
        [
            legendre_correlations(stretch, n_lags)
            for part in parts
            for rotor in range(part.n_rotors)
            for stretch in np.array_split(part.vectors[:, rotor], stretches)
        ],
    )
    lags = np.unique(np.round(np.geomspace(1, n_lags - 1, _N_LAGS)).astype(int))
    lags = np.concatenate([[0], lags])
    times_ps = interval_ps * lags
    mean = units.mean(axis=0)
    stderr = units.std(axis=0, ddof=1) / np.sqrt(len(units)) if len(units) > 1 else np.full_like(mean, np.nan)
    fits = [_fit(interval_ps, mean[which]) for which in (0, 1)]
    groups = np.array_split(np.random.default_rng(seed).permutation(len(units)), min(_GROUPS, len(units)))
    total = units.sum(axis=0)
    left_out = np.empty((len(groups) if len(units) > 1 else 0, 2, 3))
    for row, group in zip(left_out, groups, strict=False):
        sample = (total - units[group].sum(axis=0)) / (len(units) - len(group))
        for which in (0, 1):
            fit = _fit(interval_ps, sample[which], start=fits[which].parameters)
            row[which] = fit.tau_ps, fit.integral_ps, fit.plateau
    counts = [part.n_rotors * stretches for part in parts]
    runs = np.split(np.arange(len(units)), np.cumsum(counts)[:-1])
    without = np.empty((len(parts) if len(parts) > 1 else 0, 2, 3))
    for row, run in zip(without, runs, strict=False):
        sample = (total - units[run].sum(axis=0)) / (len(units) - len(run))
        for which in (0, 1):
            fit = _fit(interval_ps, sample[which], start=fits[which].parameters)
            row[which] = fit.tau_ps, fit.integral_ps, fit.plateau
    method = f"jackknife over {len(units)} {'rotors' if stretches == 1 else 'stretches of rotors'}, Student"
    common = {"n_units": len(units), "method": method}
    estimates = [
        [
            _estimate(
                fits[which].tau_ps, left_out[:, which, 0], without[:, which, 0], logarithmic=True, **common
            ),
            _estimate(fits[which].integral_ps, left_out[:, which, 1], without[:, which, 1], **common),
            _plateau(fits[which], left_out[:, which, 2], without[:, which, 2], **common),
        ]
        for which in (0, 1)
    ]
    ratio = _estimate(
        fits[0].tau_ps / fits[1].tau_ps,
        left_out[:, 0, 0] / left_out[:, 1, 0],
        without[:, 0, 0] / without[:, 1, 0],
        logarithmic=True,
        **common,
    )
    relaxed = tuple(fit.left < _RELAXED for fit in fits)
    return ReorientationResult(
        name=parts[0].name,
        n_rotors=n_rotors,
        n_replicas=len(parts),
        n_units=len(units),
        lag_times_ps=times_ps,
        c1=mean[0, lags],
        c1_stderr=stderr[0, lags],
        c2=mean[1, lags],
        c2_stderr=stderr[1, lags],
        tau1=estimates[0][0],
        tau2=estimates[1][0],
        integral1=estimates[0][1],
        integral2=estimates[1][1],
        plateau1=estimates[0][2],
        plateau2=estimates[1][2],
        stretching=np.array([fit.parameters[3] for fit in fits]),
        relaxed=relaxed,
        ratio=ratio,
        motion=_motion(ratio, relaxed),
        static_order=np.concatenate(
            [np.linalg.norm(part.vectors[:, :, 0].mean(axis=0), axis=-1) for part in parts]
        ),
        provenance=collect_provenance(max_lag_ps=float(interval_ps * (n_lags - 1)), seed=seed),
    )


@dataclass(frozen=True)
class _Fit:
    parameters: np.ndarray  # plateau, amplitude, ln tau, beta
    tau_ps: float
    integral_ps: float
    plateau: float
    left: float


def _fit(interval_ps, c_k, start=None):
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
    return _Fit(p, tau, integral, plateau, left)


def _estimate(value, left_out, without, *, n_units, method, logarithmic=False):
    """Return the delete-a-group jackknife's interval, of the logarithm for a positive quantity.

    Where replicas (`without` each of them) differ by more than their rotors explain, theirs is taken.
    """
    g = len(left_out)
    if g == 0:
        nan = float("nan")
        return Estimate(
            value=float(value), stderr=nan, ci95=(nan, nan), method="one rotor: no error", n_eff=1.0
        )
    points = np.log(left_out) if logarithmic else left_out
    error = np.sqrt((g - 1) / g * np.sum((points - points.mean()) ** 2))
    error, dof, widened = with_replica_scatter(np.log(without) if logarithmic else without, error, g - 1.0)
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


def _plateau(fit, left_out, without, **common):
    """Return the plateau; its interval is unknown where the run does not reach it."""
    estimate = _estimate(fit.plateau, left_out, without, **common)
    if fit.left < _RELAXED:
        return estimate
    nan = float("nan")
    return replace(
        estimate, stderr=nan, ci95=(nan, nan), method="fit that the run does not reach: no interval"
    )


def _motion(ratio, relaxed):
    if not all(relaxed):
        return "not relaxed"
    low, high = ratio.ci95
    if low > 2.0 and low <= 3.0 * 1.1:
        return "small steps"
    if high < 1.5:
        return "large jumps"
    if low > 3.0:
        return "wide wobble"
    return "between"


def _check(parts):
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
