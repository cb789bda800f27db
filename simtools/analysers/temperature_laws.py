"""Is it one Arrhenius line? A bend, a transition and a VTF curve, compared by their evidence."""

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from simtools.analysers.arrhenius import fit_arrhenius_line
from simtools.core.errors import ConfigError, SimtoolsError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import BOLTZMANN_EV_PER_K

__all__ = ["LAWS", "ExtrapolationRefusedError", "TemperatureLawResult", "compare_temperature_laws"]

LAWS = ("arrhenius", "bend", "transition", "vtf")
_PRIOR_ENERGY_EV = (0.5, 0.5)  # mean and standard deviation of an activation energy
_PRIOR_CHANGE_EV = 0.3
_PRIOR_STEP = 2.0
_PRIOR_LEVEL = 30.0
_SCATTER_SCALE = 0.25  # as in arrhenius.py
_SCATTER_TAIL = 4.0
_SCATTER_GRID = np.geomspace(0.02, 60.0, 24)
_N_BREAKS = 24
_N_VTF = 24
_FEWEST_BESIDE = 2
_FEWEST_FITTED = 3
_DECISIVE_ODDS = 10.0


class ExtrapolationRefusedError(SimtoolsError, ValueError):
    """The points do not say what lies beyond a break."""

    def __init__(self, temperature_K, reason):
        super().__init__(temperature_K, reason)
        self.temperature_K, self.reason = temperature_K, reason

    def __str__(self):
        return f"no extrapolation to {self.temperature_K:g} K: {self.reason}"


@dataclass(frozen=True, eq=False, kw_only=True)
class TemperatureLawResult(Result):
    """Posterior probabilities of four temperature laws and what the preferred one says.

    `preferred` is ``"arrhenius"`` unless the bend, the transition and the VTF curve together are ten times
    as probable; then it is the most probable of them. `break_temperature_K` belongs to the bend and the
    transition, `vanishing_temperature_K` (T0) to the VTF curve.
    """

    temperatures_K: np.ndarray = quantity("K", shape="(n_temperatures,)")
    ln_values: np.ndarray = quantity("1", shape="(n_temperatures,)")
    ln_stderr: np.ndarray = quantity("1", shape="(n_temperatures,)")
    log_evidence: dict
    probabilities: dict
    preferred: str
    odds_against_arrhenius: float
    break_temperature_K: Estimate | None = quantity("K", default=None)
    activation_energies_eV: dict = quantity("eV")
    vanishing_temperature_K: Estimate | None = quantity("K", default=None)
    known_transitions_K: tuple = quantity("K", default=())
    curve_temperatures_K: np.ndarray = quantity("K", shape="(n_curve,)")
    curve_ln: np.ndarray = quantity("1", shape="(n_curve,)")
    method: str = "marginal likelihoods with equal prior probabilities"

    def extrapolate(self, temperature_K):
        """Return ln y at a temperature (`Estimate`) from the points on its side of every break.

        Raises
        ------
        ExtrapolationRefusedError
            Across a known transition or a detected break, where fewer than three points lie on that side, or
            where the points follow a VTF curve and the temperature lies outside their range by over a tenth.
        """
        walls = list(self.known_transitions_K)
        if self.preferred in ("bend", "transition"):
            walls.append(self.break_temperature_K.value)
        kept = np.ones(len(self.temperatures_K), dtype=bool)
        for wall in walls:
            kept &= (self.temperatures_K < wall) == (temperature_K < wall)
        if kept.sum() < _FEWEST_FITTED:
            listed = ", ".join(f"{wall:.4g}" for wall in walls)
            why = f"only {kept.sum()} points lie on its side of the break at {listed} K, 3 are needed"
            raise ExtrapolationRefusedError(temperature_K, why if walls else "fewer than 3 points")
        low, high = 0.9 * self.temperatures_K.min(), 1.1 * self.temperatures_K.max()
        if self.preferred == "vtf" and not low <= temperature_K <= high:
            raise ExtrapolationRefusedError(
                temperature_K, "the points follow a VTF curve, whose T0 is not known well enough"
            )
        line = fit_arrhenius_line(self.temperatures_K[kept], self.ln_values[kept], self.ln_stderr[kept])
        value, stderr = (float(item) for item in line.predict(temperature_K))
        half = float(line.half_width(stderr))
        return Estimate(
            value=value,
            stderr=stderr,
            ci95=(value - half, value + half),
            method=f"Arrhenius line through {kept.sum()} points on the same side of every break",
            n_eff=float(kept.sum()),
        )


def compare_temperature_laws(temperatures_K, ln_values, ln_stderr, *, known_transitions_K=()):
    r"""Return the probabilities of one line, two lines with or without a step, and a VTF curve.

    .. math::
        \text{arrhenius: } a - E\beta, \quad \text{bend: } + \Delta\,(\beta - \beta_b)_+, \quad
        \text{transition: } + s\,\Theta(\beta - \beta_b) + \Delta\,(\beta - \beta_b)_+, \quad
        \text{vtf: } a - B / [k_B (T - T_0)]

    with :math:`\beta = 1/k_B T`.

    Parameters
    ----------
    temperatures_K
        Shape (n,), K.
    ln_values, ln_stderr
        ln y and its standard errors, shape (n,); y is sigma T or D*.
    known_transitions_K
        Temperatures of known phase transitions, K, that no extrapolation may cross.

    Returns
    -------
    TemperatureLawResult

    Raises
    ------
    ConfigError
        As `fit_arrhenius_line`; for known transitions that are not positive.
    TooFewTemperaturesError
        With fewer than two temperatures.

    Notes
    -----
    *Criterion.* The marginal likelihood of each law: linear parameters are integrated out exactly under
    normal priors (energies 0.5 ± 0.5 eV, their change at a break 0 ± 0.3 eV, step 0 ± 2, the same wide one
    for the level in all), the break over 1/T with at least two points on either side, T0 from 0.1 to 0.9 of
    the lowest temperature, and the excess scatter over the half-Student prior of `fit_arrhenius_line`. A law
    is preferred to the line when the odds against the line exceed ten. For VTF the prior energy is that of
    the local slope in the middle of the points. With three temperatures there is no break to look for.

    Limits: exact points on a line give the line; a change of the slope by many errors gives the break.

    References
    ----------
    .. [1] R. E. Kass and A. E. Raftery, J. Am. Stat. Assoc. 90, 773 (1995): evidence, odds of ten.
    """
    t, y, s = (np.asarray(item, dtype=float) for item in (temperatures_K, ln_values, ln_stderr))
    fit_arrhenius_line(t, y, s)  # its checks of the points are ours
    for item in known_transitions_K:
        if not (np.isfinite(item) and item > 0):
            raise ConfigError(f"known_transitions_K must be positive and finite, got {item!r}")
    order = np.argsort(t)
    t, y, s = t[order], y[order], s[order]
    curve = 1 / np.linspace(1 / t[-1], 1 / t[0], 80)
    fits = {law: _integrated(law, t, y, s, curve) for law in LAWS}
    evidence = {law: fit["log_evidence"] for law, fit in fits.items() if fit is not None}
    normal = special.logsumexp(list(evidence.values()))
    probability = {law: float(np.exp(evidence.get(law, -np.inf) - normal)) for law in LAWS}
    odds = (1 - probability["arrhenius"]) / max(probability["arrhenius"], 1e-300)
    others = [law for law in LAWS[1:] if law in evidence]
    preferred = max(others, key=evidence.get) if others and odds > _DECISIVE_ODDS else "arrhenius"
    chosen = fits[preferred]
    names = ("high", "low") if preferred in ("bend", "transition") else ("all",)
    energies = {"all": chosen["energy"], "high": chosen["energy"], "low": chosen["energy_low"]}
    return TemperatureLawResult(
        temperatures_K=t,
        ln_values=y,
        ln_stderr=s,
        log_evidence={law: float(value) for law, value in evidence.items()},
        probabilities=probability,
        preferred=preferred,
        odds_against_arrhenius=float(odds),
        break_temperature_K=chosen["place"] if preferred in ("bend", "transition") else None,
        activation_energies_eV={name: energies[name] for name in names},
        vanishing_temperature_K=chosen["place"] if preferred == "vtf" else None,
        known_transitions_K=tuple(float(item) for item in known_transitions_K),
        curve_temperatures_K=curve,
        curve_ln=chosen["curve"],
        provenance=collect_provenance(known_transitions_K=list(known_transitions_K)),
    )


def _places(law, t):
    """Return the grid of the one parameter that is not linear: the break or T0, K."""
    if law == "arrhenius":
        return np.array([np.nan])
    if law == "vtf":
        return t[0] * np.linspace(0.1, 0.9, _N_VTF)
    if len(t) < 2 * _FEWEST_BESIDE:
        return np.empty(0)
    return 1 / np.linspace(1 / t[-_FEWEST_BESIDE], 1 / t[_FEWEST_BESIDE - 1], _N_BREAKS)


def _design(law, place, t, middle_K):
    """Return columns and the mean and standard deviation of their coefficients' priors; level first."""
    beta = 1 / (BOLTZMANN_EV_PER_K * t)
    middle = 1 / (BOLTZMANN_EV_PER_K * middle_K)
    energy, spread = _PRIOR_ENERGY_EV
    if law == "vtf":
        # d/d(beta) of B / [kB (T - T0)] at the middle is B (T / (T - T0))^2
        steep = (middle_K / (middle_K - place)) ** 2
        run = 1 / (BOLTZMANN_EV_PER_K * (t - place)) - 1 / (BOLTZMANN_EV_PER_K * (middle_K - place))
        columns, mean, width = [np.ones_like(t), -run / steep], [0.0, energy], [_PRIOR_LEVEL, spread]
        return np.column_stack(columns), np.array(mean), np.array(width)
    columns, mean, width = [np.ones_like(t), -(beta - middle)], [0.0, energy], [_PRIOR_LEVEL, spread]
    if law != "arrhenius":
        beyond = beta - 1 / (BOLTZMANN_EV_PER_K * place)
        columns.append(-np.maximum(beyond, 0.0))
        mean.append(0.0)
        width.append(_PRIOR_CHANGE_EV)
        if law == "transition":
            columns.append((beyond > 0).astype(float))
            mean.append(0.0)
            width.append(_PRIOR_STEP)
    return np.column_stack(columns), np.array(mean), np.array(width)


def _integrated(law, t, y, s, curve_K):
    places = _places(law, t)
    if len(places) == 0:
        return None
    middle_K = 2 / (1 / t[0] + 1 / t[-1])
    level = y.mean()
    scale = _SCATTER_SCALE * np.sqrt(np.mean(s**2))
    log_prior = stats.t.logpdf(_SCATTER_GRID, _SCATTER_TAIL) + np.log(np.gradient(_SCATTER_GRID))
    log_prior -= special.logsumexp(log_prior)
    logs, energies, energy_vars, lows, low_vars, curves = [], [], [], [], [], []
    for place in places:
        design, mean, width = _design(law, place, t, middle_K)
        wide, _, _ = _design(law, place, curve_K, middle_K)
        for tau, prior in zip(scale * _SCATTER_GRID, log_prior, strict=True):
            noise = s**2 + tau**2
            precision = np.diag(1 / width**2) + design.T @ (design / noise[:, None])
            covariance = np.linalg.inv(precision)
            solution = mean + covariance @ (design.T @ ((y - level - design @ mean) / noise))
            total = np.diag(noise) + (design * width**2) @ design.T
            logs.append(_log_normal(y - level - design @ mean, total) + prior)
            low = np.array([0.0, 1.0, 1.0, 0.0])[: len(mean)]
            energies.append(solution[1])
            energy_vars.append(covariance[1, 1])
            lows.append(low @ solution)
            low_vars.append(low @ covariance @ low)
            curves.append(level + wide @ solution)
    logs = np.array(logs) - np.log(len(places))
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    each = np.repeat(places, len(_SCATTER_GRID))
    return {
        "log_evidence": special.logsumexp(logs),
        "energy": _mixture(weights, energies, energy_vars, law),
        "energy_low": _mixture(weights, lows, low_vars, law),
        "curve": weights @ np.array(curves),
        "place": None if law == "arrhenius" else _mixture(weights, each, np.zeros(len(each)), law),
    }


def _log_normal(residual, covariance):
    factor = np.linalg.cholesky(covariance)
    white = np.linalg.solve(factor, residual)
    return -0.5 * (white @ white + len(residual) * np.log(2 * np.pi)) - np.log(np.diag(factor)).sum()


def _mixture(weights, means, variances, law):
    means = np.asarray(means)
    mean = float(weights @ means)
    error = float(np.sqrt(weights @ (np.asarray(variances) + (means - mean) ** 2)))
    return Estimate(
        value=mean,
        stderr=error,
        ci95=(mean - 1.96 * error, mean + 1.96 * error),
        method=f"posterior mean and standard deviation under the law {law!r}",
        n_eff=float(1 / np.sum(weights**2)),
    )
