"""Activation energies from diffusivities or conductivities at several temperatures, and the way to 300 K."""

from dataclasses import dataclass
from math import inf

import numpy as np
from scipy import stats

from simtools.core.errors import ConfigError, SimtoolsError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import BOLTZMANN_EV_PER_K

__all__ = [
    "ArrheniusLine",
    "ArrheniusResult",
    "TooFewTemperaturesError",
    "fit_arrhenius",
    "fit_arrhenius_line",
]

_EXTRAPOLATED_TO_K = 300.0
_REJECTED_BELOW = 0.01
_SAME_TEMPERATURE = 1e-6
_SCATTER_SCALE = 0.25
_SCATTER_TAIL = 4.0
_SCATTER_GRID = np.concatenate([[0.0], np.geomspace(0.02, 200.0, 80)])


class TooFewTemperaturesError(SimtoolsError, ValueError):
    """A slope needs at least two temperatures at which something moved."""

    def __init__(self, n_usable, n_limits):
        super().__init__(n_usable, n_limits)
        self.n_usable, self.n_limits = n_usable, n_limits

    def __str__(self):
        return (
            f"an activation energy needs at least 2 temperatures with a value, got {self.n_usable} "
            f"(and {self.n_limits} with only an upper limit); run longer or at higher temperatures"
        )


@dataclass(frozen=True, eq=False)
class ArrheniusLine:
    r"""Straight line :math:`\ln y = \ln y_0 - E_a / k_B T` and what is known about it.

    Attributes
    ----------
    ln_prefactor : float
        ln of y_0 in the unit of y.
    activation_energy_eV : float
        E_a, eV.
    covariance : ndarray
        Of (ln_prefactor, activation_energy_eV), shape (2, 2).
    dof : float
        Degrees of freedom of the Student intervals.
    excess_scatter : float
        Posterior mean of tau, the scatter of ln y beyond the points' own errors.
    p_value : float
        Chance of residuals as large as these if the points' errors were all (1 for two points).
    """

    ln_prefactor: float
    activation_energy_eV: float
    covariance: np.ndarray
    dof: float
    excess_scatter: float
    p_value: float

    def predict(self, temperature_K):
        """Return ln y and its standard error at temperatures of any shape, K."""
        beta = 1 / (BOLTZMANN_EV_PER_K * np.asarray(temperature_K, dtype=float))
        row = np.stack([np.ones_like(beta), -beta], axis=-1)
        mean = row @ np.array([self.ln_prefactor, self.activation_energy_eV])
        return mean, np.sqrt(np.einsum("...i,ij,...j->...", row, self.covariance, row))

    def half_width(self, stderr, *, level=0.95):
        """Return half of the Student interval that belongs to a standard error."""
        return stats.t.ppf(0.5 + level / 2, self.dof) * stderr


@dataclass(frozen=True, eq=False, kw_only=True)
class ArrheniusResult(Result):
    """Arrhenius fits of the ionic conductivity (ln sigma T) and of the tracer diffusivity (ln D*).

    Where the mobile species has no formal charge, or none is known, only the tracer's fit has values: what
    belongs to the conductivity is a limit of infinity (its value at 300 K one of zero for a charge of zero)
    and its curve is empty. Where the points reject the line, the conductivity at 300 K is a limit of
    infinity, too, and the curve ends at the lowest temperature.
    """

    species: str
    temperatures_K: np.ndarray = quantity("K", shape="(n_temperatures,)")
    activation_energy_eV: Estimate = quantity("eV")
    ln_prefactor: Estimate = quantity("ln(S K/cm)")
    conductivity_300K_S_per_cm: Estimate = quantity("S/cm")
    excess_scatter: float
    tracer_activation_energy_eV: Estimate | None = quantity("eV")
    ln_tracer_prefactor: Estimate | None = quantity("ln(cm^2/s)")
    curve_temperatures_K: np.ndarray = quantity("K", shape="(n_curve,)")
    curve_sigma_T: np.ndarray = quantity("S K/cm", shape="(n_curve,)")
    curve_sigma_T_ci95: np.ndarray = quantity("S K/cm", shape="(2, n_curve)")
    warnings: tuple = ()

    def to_summary(self):
        """Return the ``arrhenius`` entry of ``summary.json``."""
        summary = {
            "species": self.species,
            "n_temperatures": len(self.temperatures_K),
            "activation_energy_eV": self.activation_energy_eV.to_dict(),
            "ln_prefactor": self.ln_prefactor.to_dict(),
            "conductivity_300K_S_per_cm": {
                **self.conductivity_300K_S_per_cm.to_dict(),
                "extrapolated": True,
            },
        }
        if self.tracer_activation_energy_eV is not None:
            summary["tracer_activation_energy_eV"] = self.tracer_activation_energy_eV.to_dict()
            summary["ln_tracer_prefactor"] = self.ln_tracer_prefactor.to_dict()
        return summary


def fit_arrhenius_line(temperatures_K, ln_values, ln_stderr, *, dof=None):
    r"""Fit :math:`\ln y = \ln y_0 - E_a/k_BT` with room for scatter beyond the points' errors.

    .. math:: \ln y_k \sim N(\ln y_0 - E_a/k_B T_k,\; s_k^2 + \tau^2)

    Parameters
    ----------
    temperatures_K
        Shape (n,), at least two different ones, K.
    ln_values
        ln y at those temperatures, shape (n,).
    ln_stderr
        Standard errors s of ln y, shape (n,).
    dof
        Degrees of freedom of each s; infinite by default.

    Returns
    -------
    ArrheniusLine
        Averaged over tau with its posterior: a half-Student prior (4 degrees of freedom, scale 0.25 of the
        points' root mean square error) times the likelihood with the line integrated out.

    Raises
    ------
    TooFewTemperaturesError
        With fewer than two different temperatures.
    ConfigError
        For temperatures or errors that are not positive and finite, values that are not finite, or the same
        temperature twice.
    """
    temperatures_K = np.asarray(temperatures_K, dtype=float)
    y, s = np.asarray(ln_values, dtype=float), np.asarray(ln_stderr, dtype=float)
    _check_points(temperatures_K, y, s)
    beta = 1 / (BOLTZMANN_EV_PER_K * temperatures_K)
    nu = np.full(len(y), np.inf) if dof is None else np.asarray(dof, dtype=float)
    design = np.column_stack([np.ones_like(beta), -beta])
    scale = _SCATTER_SCALE * np.sqrt(np.mean(s**2))
    scatter_grid = scale * _SCATTER_GRID if len(np.unique(beta)) > 2 else np.zeros(1)
    lines, covariances, log_posterior, dofs = [], [], [], []
    for tau in scatter_grid:
        variance = s**2 + tau**2
        covariance = np.linalg.inv(design.T @ (design / variance[:, None]))
        hat = covariance @ design.T / variance
        line = hat @ y
        residual = y - design @ line
        log_likelihood = 0.5 * (
            np.linalg.slogdet(covariance)[1] - np.sum(np.log(variance)) - np.sum(residual**2 / variance)
        )
        parts = hat[1] ** 2 * s**2
        lines.append(line)
        covariances.append(covariance)
        log_prior = -0.5 * (_SCATTER_TAIL + 1) * np.log1p((tau / scale) ** 2 / _SCATTER_TAIL)
        log_posterior.append(log_likelihood + log_prior)
        dofs.append(covariance[1, 1] ** 2 / max(np.sum(parts**2 / nu), 1e-300))
    weights = np.exp(np.array(log_posterior) - np.max(log_posterior))
    weights *= np.gradient(scatter_grid) if len(scatter_grid) > 1 else 1.0
    weights /= weights.sum()
    lines = np.array(lines)
    mean = weights @ lines
    spread = lines - mean
    chi_squared = np.sum(((y - design @ lines[0]) / s) ** 2)
    p_value = float(stats.chi2.sf(chi_squared, len(y) - 2)) if len(y) > 2 else 1.0
    covariance = np.einsum("i,ijk->jk", weights, np.array(covariances)) + np.einsum(
        "i,ij,ik->jk", weights, spread, spread
    )
    return ArrheniusLine(
        ln_prefactor=float(mean[0]),
        activation_energy_eV=float(mean[1]),
        covariance=covariance,
        dof=float(np.clip(1 / (weights @ (1 / np.array(dofs))), 1.0, 1e6)),
        excess_scatter=float(weights @ scatter_grid),
        p_value=p_value,
    )


def _check_points(temperatures_K, ln_values, ln_stderr):
    if not temperatures_K.shape == ln_values.shape == ln_stderr.shape or temperatures_K.ndim != 1:
        raise ConfigError(
            "temperatures_K, ln_values and ln_stderr must be of one length, got shapes "
            f"{temperatures_K.shape}, {ln_values.shape} and {ln_stderr.shape}"
        )
    for name, values, good in (
        ("temperatures_K must be positive and finite", temperatures_K, temperatures_K > 0),
        ("ln_values must be finite", ln_values, True),
        ("ln_stderr must be positive and finite", ln_stderr, ln_stderr > 0),
    ):
        wrong = np.flatnonzero(~(np.isfinite(values) & good))
        if len(wrong):
            raise ConfigError(f"{name}, got {values[wrong[0]]!r} at index {wrong[0]}")
    ordered = np.sort(temperatures_K)
    same = np.flatnonzero(np.diff(ordered) <= _SAME_TEMPERATURE * ordered[1:])
    if len(ordered) - len(same) < 2:
        raise TooFewTemperaturesError(len(ordered) - len(same), 0)
    if len(same):
        raise ConfigError(
            f"temperatures_K must differ, got {ordered[same[0]]:g} K twice: analyse replicas of one "
            "temperature together"
        )


def fit_arrhenius(transports):
    r"""Return the `ArrheniusResult` of one species from its transport at several temperatures.

    Parameters
    ----------
    transports
        `TransportResult` of one species at each temperature, in any order. Those with only an upper limit
        are left out and named in the warnings, and so is a limit that lies below the fitted band.

    Returns
    -------
    ArrheniusResult
        From :math:`\ln(\sigma T)` with the ionic conductivity, and from :math:`\ln D^*`. The expected
        logarithm of a noisy estimate lies below the logarithm of its mean by half the relative variance;
        that is added back. A line that the points reject (p < 0.01) is not extrapolated to 300 K. Without a
        formal charge only the line of D* is fitted.

    Raises
    ------
    ConfigError
        For results of different species or formal charges, or the same temperature twice.
    TooFewTemperaturesError
        With a value at fewer than two temperatures.

    Notes
    -----
    Limits: exact points give the line; two temperatures give the line through both, with the interval of
    their own errors.
    """
    transports = sorted(transports, key=lambda item: item.temperature_K)
    warnings = []
    if not transports:
        raise TooFewTemperaturesError(0, 0)
    species = transports[0].species
    if {item.species for item in transports} != {species}:
        found = sorted({item.species for item in transports})
        raise ConfigError(f"fit_arrhenius needs results of one species, got {', '.join(found)}")
    if len({item.charge_e for item in transports}) > 1:
        found = ", ".join(str(item.charge_e) for item in transports)
        raise ConfigError(f"fit_arrhenius needs results of one formal charge, got {found}")
    tracer = [item for item in transports if not item.tracer_diffusivity_cm2_per_s.is_limit]
    tracer_line = None
    if len({item.temperature_K for item in tracer}) >= 2:
        tracer_line = _line(tracer, "tracer_diffusivity_cm2_per_s", 0, times_temperature=False)
        if tracer_line.p_value < _REJECTED_BELOW:
            warnings.append(_rejected("ln D*", tracer_line))
    tracer_method = "hierarchical Arrhenius fit of ln D*"
    common = {
        "species": species,
        "tracer_activation_energy_eV": tracer_line and _parameter(tracer_line, 1, tracer_method, len(tracer)),
        "ln_tracer_prefactor": tracer_line and _parameter(tracer_line, 0, tracer_method, len(tracer)),
        "provenance": collect_provenance(temperatures_K=[item.temperature_K for item in transports]),
    }
    if not transports[0].charge_e:
        if tracer_line is None:
            raise TooFewTemperaturesError(len(tracer), len(transports) - len(tracer))
        return _without_charge(tracer, tracer_line, transports, warnings, common)
    return _with_charge(transports, warnings, common)


def _with_charge(transports, warnings, common):
    moved = [item for item in transports if not item.ionic_conductivity_S_per_cm.is_limit]
    if len({item.temperature_K for item in moved}) < 2:
        raise TooFewTemperaturesError(len(moved), len(transports) - len(moved))
    _warn_of_few(moved, warnings)
    line = _line(moved, "ionic_conductivity_S_per_cm", 1, times_temperature=True)
    rejected = line.p_value < _REJECTED_BELOW
    if rejected:
        warnings.append(_rejected("ln(sigma T)", line) + "; not extrapolated to 300 K")
    _warn_of_limits(transports, "ionic_conductivity_S_per_cm", line, 1, warnings)
    n = len(moved)
    method = f"hierarchical Arrhenius fit of ln(sigma T), {n} temperatures"
    temperatures = np.array([item.temperature_K for item in moved])
    lowest = min(temperatures) if rejected else min(_EXTRAPOLATED_TO_K, min(temperatures))
    curve = 1 / np.linspace(1 / max(temperatures), 1 / lowest, 60)
    curve_mean, curve_stderr = line.predict(curve)
    band = line.half_width(curve_stderr)
    return ArrheniusResult(
        temperatures_K=temperatures,
        activation_energy_eV=_parameter(line, 1, method, n),
        ln_prefactor=_parameter(line, 0, method, n),
        conductivity_300K_S_per_cm=_at_300_K(line, method, n, rejected),
        excess_scatter=line.excess_scatter,
        curve_temperatures_K=curve,
        curve_sigma_T=np.exp(curve_mean),
        curve_sigma_T_ci95=np.exp(np.stack([curve_mean - band, curve_mean + band])),
        warnings=tuple(warnings),
        **common,
    )


def _without_charge(tracer, line, transports, warnings, common):
    known = transports[0].charge_e is not None
    why = "formal charge is zero" if known else "formal charge unknown"
    warnings.append(f"{why}: no conductivity to fit, only D*")
    _warn_of_few(tracer, warnings)
    _warn_of_limits(transports, "tracer_diffusivity_cm2_per_s", line, 0, warnings)
    nothing = Estimate.limit(inf, method=f"{why}: no conductivity to fit")
    none = Estimate.limit(0.0, method=f"{why}: no conductivity")
    return ArrheniusResult(
        temperatures_K=np.array([item.temperature_K for item in tracer]),
        activation_energy_eV=nothing,
        ln_prefactor=nothing,
        conductivity_300K_S_per_cm=none if known else nothing,
        excess_scatter=line.excess_scatter,
        curve_temperatures_K=np.empty(0),
        curve_sigma_T=np.empty(0),
        curve_sigma_T_ci95=np.empty((2, 0)),
        warnings=tuple(warnings),
        **common,
    )


def _rejected(what, line):
    return (
        f"{what} scatters about the Arrhenius line beyond its errors (p = {line.p_value:.1g}): curvature, a "
        "transition or underestimated errors"
    )


def _warn_of_few(moved, warnings):
    if len(moved) == 2:
        warnings.append("Arrhenius line through two temperatures only: it cannot show curvature or scatter")


def _warn_of_limits(transports, name, line, power, warnings):
    """Name the temperatures that were left out, and those whose limit contradicts the line."""
    for item in transports:
        estimate, temperature_K = getattr(item, name), item.temperature_K
        if not estimate.is_limit:
            continue
        warnings.append(f"{temperature_K:g} K: only an upper limit; left out of the Arrhenius fit")
        mean, stderr = line.predict(temperature_K)
        lowest = np.exp(mean - line.half_width(stderr)) / temperature_K**power
        if estimate.upper_limit < lowest:
            warnings.append(
                f"{temperature_K:g} K: the upper limit {estimate.upper_limit:.2g} lies below the 95 % band "
                f"of the fitted line, which begins at {lowest:.2g}: the line does not hold there"
            )


def _at_300_K(line, method, n, rejected):
    if rejected:
        return Estimate.limit(
            inf,
            method=f"not extrapolated: the points reject the Arrhenius line (p = {line.p_value:.1g})",
            n_eff=float(n),
        )
    mean, stderr = line.predict(_EXTRAPOLATED_TO_K)
    half = line.half_width(stderr)
    value = float(np.exp(mean) / _EXTRAPOLATED_TO_K)
    return Estimate(
        value=value,
        stderr=float(value * stderr),
        ci95=(float(value * np.exp(-half)), float(value * np.exp(half))),
        method=method + ", extrapolated",
        n_eff=float(n),
    )


def _line(items, name, index, *, times_temperature):
    values = [getattr(item, name) for item in items]
    temperatures = np.array([item.temperature_K for item in items])
    relative = np.array([value.stderr / value.value for value in values])
    ln_values = np.log([value.value for value in values]) + relative**2 / 2
    if times_temperature:
        ln_values = ln_values + np.log(temperatures)
    dof = np.array([item.log_dof[index] for item in items])
    return fit_arrhenius_line(temperatures, ln_values, relative, dof=dof)


def _parameter(line, index, method, n):
    value = (line.ln_prefactor, line.activation_energy_eV)[index]
    stderr = float(np.sqrt(line.covariance[index, index]))
    half = float(line.half_width(stderr))
    return Estimate(
        value=value, stderr=stderr, ci95=(value - half, value + half), method=method, n_eff=float(n)
    )
