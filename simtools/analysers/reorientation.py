"""Reorientation functions C_1 and C_2, relaxation times, plateaus and what their ratio says of the motion."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from simtools.analysers.orientations import Orientations
from simtools.analysers.relaxation_fits import (
    check_alike,
    fit_relaxation,
    jackknife_estimate,
    lag_count,
    left_out_means,
    plateau_estimate,
    shown_lags,
    time_estimate,
    unit_correlations,
    unknown,
)
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity

__all__ = ["ReorientationResult", "legendre_correlations", "reorientation"]

_PRODUCTS = ((0, 0, 1.0), (1, 1, 1.0), (2, 2, 1.0), (0, 1, 2.0), (0, 2, 2.0), (1, 2, 2.0))


@dataclass(frozen=True, eq=False, kw_only=True)
class ReorientationResult(Result):
    r"""Reorientation functions of molecules of one kind.

    Attributes
    ----------
    c1, c2, c1_stderr, c2_stderr
        :math:`C_l(t) = \langle P_l(\hat u(0) \cdot \hat u(t)) \rangle` over bonds, rotors, replicas and time.
    tau1, tau2 : Estimate
        Integral time of the slow part over its own amplitude, :math:`\tau \Gamma(1/\beta)/\beta` of
        :math:`A_0 + A e^{-(t/\tau)^\beta}`, ps; libration left out. Where an exponential agrees with the data
        beta is 1 and it is the decay time. See `fit_relaxation` for where the fit begins.
    integral1, integral2 : Estimate
        :math:`\int (C_l - A_0)/(1 - A_0)\,dt` to the longest lag: fast libration included.
    plateau1, plateau2 : Estimate
        A_0, 0 at least and not above the end of C; that of C_2 is the squared order parameter S².
    stretching : ndarray
        Exponents beta of the two fits, 1 where the data do not ask for another.
    relaxed : tuple of bool
        Whether each slow part has fallen to a tenth by the longest lag, with neither beta nor the plateau on
        a bound, and an interval of its time within a factor of 100. Where not, the time is an extrapolation
        without interval, and so is the ratio.
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
    check_alike(parts)
    interval_ps = parts[0].frame_interval_ps
    n_lags = lag_count(parts, max_lag_ps)
    units, stretches = unit_correlations(parts, n_lags, legendre_correlations)
    lags = shown_lags(n_lags)
    times_ps = interval_ps * lags
    mean = units.mean(axis=0)
    stderr = units.std(axis=0, ddof=1) / np.sqrt(len(units)) if len(units) > 1 else np.full_like(mean, np.nan)
    fits = [fit_relaxation(interval_ps, mean[which], units_uk=units[:, which]) for which in (0, 1)]
    left_out = np.array(
        [
            [
                (fit.tau_ps, fit.integral_ps, fit.plateau)
                for which in (0, 1)
                for fit in [
                    fit_relaxation(interval_ps, sample[which], units_uk=units[:, which], like=fits[which])
                ]
            ]
            for sample in left_out_means(units, seed)
        ]
    ).reshape(-1, 2, 3)
    without = _without_replicas(units, parts, interval_ps, fits)
    method = f"jackknife over {len(units)} {'rotors' if stretches == 1 else 'stretches of rotors'}, Student"
    estimates = [
        [
            time_estimate(
                fits[which], left_out[:, which, 0], len(units), method, without=without[:, which, 0]
            ),
            jackknife_estimate(
                fits[which].integral_ps,
                left_out[:, which, 1],
                len(units),
                method,
                without=without[:, which, 1],
            ),
            plateau_estimate(
                fits[which], left_out[:, which, 2], len(units), method, without=without[:, which, 2]
            ),
        ]
        for which in (0, 1)
    ]
    ratio = jackknife_estimate(
        fits[0].tau_ps / fits[1].tau_ps,
        left_out[:, 0, 0] / left_out[:, 1, 0],
        len(units),
        method,
        without=without[:, 0, 0] / without[:, 1, 0],
        logarithmic=True,
    )
    relaxed = tuple(fit.relaxed(times[0]) for fit, times in zip(fits, estimates, strict=True))
    if not all(relaxed):
        ratio = unknown(ratio)
    return ReorientationResult(
        name=parts[0].name,
        n_rotors=sum(part.n_rotors for part in parts),
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


def _without_replicas(units, parts, interval_ps, fits):
    """Return time, integral and plateau of both functions without each replica, (n_replicas, 2, 3)."""
    if len(parts) < 2:
        return np.empty((0, 2, 3))
    ends = np.cumsum([part.n_rotors * len(units) // sum(p.n_rotors for p in parts) for part in parts])
    total, found = units.sum(axis=0), []
    for run in np.split(np.arange(len(units)), ends[:-1]):
        sample = (total - units[run].sum(axis=0)) / (len(units) - len(run))
        again = [fit_relaxation(interval_ps, sample[i], units_uk=units[:, i], like=fits[i]) for i in (0, 1)]
        found.append([(fit.tau_ps, fit.integral_ps, fit.plateau) for fit in again])
    return np.array(found)


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
