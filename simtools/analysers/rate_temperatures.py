"""Jump rates at several temperatures, those without a single jump included. Rates: jump_rates.py."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats
from scipy.special import logsumexp

from simtools.analysers.arrhenius import TooFewTemperaturesError
from simtools.analysers.jump_rates import JumpRates
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import BOLTZMANN_EV_PER_K

__all__ = ["RateTemperatures", "fit_jump_rates"]

_STEEPEST_EV = 20.0
_REJECTED_BELOW = 0.01
_PER = ("ion", "vacancy")


@dataclass(frozen=True, eq=False, kw_only=True)
class RateTemperatures(Result):
    r"""Arrhenius law of jump rates, :math:`\Gamma = \nu \exp(-E/k_BT)`, from counts.

    Attributes
    ----------
    per : str
        Rates are per "ion" or per "vacancy".
    counts, exposures_ps
        Jumps, and the time in which they could be seen, at each temperature.
    activation_energy_eV : Estimate or None
        None where jumps were seen at one temperature only.
    activation_energy_at_least_eV : float
        One-sided 95 % bound from below; minus infinity where nothing bounds it.
    attempt_frequency_THz : Estimate or None
        The prefactor; with the entropy of the saddle and the number of ways out in it.
    p_value : float
        Chance of counts as far from the law as these; nan with two temperatures or less.
    """

    species: str
    per: str
    temperatures_K: np.ndarray = quantity("K", shape="(n_temperatures,)")
    counts: np.ndarray = quantity("1", shape="(n_temperatures,)")
    exposures_ps: np.ndarray = quantity("ps", shape="(n_temperatures,)")
    dispersions: np.ndarray = quantity("1", shape="(n_temperatures,)")
    activation_energy_eV: Estimate | None = quantity("eV")
    activation_energy_at_least_eV: float = quantity("eV")
    attempt_frequency_THz: Estimate | None = quantity("THz")
    p_value: float

    def rate_per_ps(self, temperature_K):
        """Return the most likely rate at a temperature, 1/ps; nan where no line is known."""
        if self.activation_energy_eV is None:
            return np.nan
        energy = self.activation_energy_eV.value
        return self.attempt_frequency_THz.value * np.exp(-energy / (BOLTZMANN_EV_PER_K * temperature_K))


def fit_jump_rates(
    rates: Sequence[JumpRates], *, temperatures_K: Sequence[float], per: str = "ion"
) -> RateTemperatures:
    r"""Fit an Arrhenius law to the counts of jumps at several temperatures.

    .. math:: n_k \sim \mathrm{Poisson}(\nu\, t_k\, e^{-E/k_B T_k})

    Counts are fitted and not logarithms of rates, so a temperature without any jump takes part: it says that
    the rate there is small.

    Parameters
    ----------
    rates
        From `jump_rates`, one result per temperature.
    temperatures_K
        Of each, K.
    per
        "ion" or "vacancy": whose time counts. Where the number of vacancies changes with temperature, rates
        per vacancy have the activation energy of their motion alone.

    Returns
    -------
    RateTemperatures
        Intervals from the profile likelihood, with each count's measured dispersion, and widened further by
        Pearson's where the counts reject the law (p < 0.01).

    Raises
    ------
    ConfigError
        For lists of different lengths, replicas of one temperature in two places, temperatures that are not
        positive, different species, or rates per vacancy where there are none.
    TooFewTemperaturesError
        With fewer than two temperatures, or no jump at any.

    Notes
    -----
    Limits: counts that follow a law exactly give it; with no jump but at the highest temperature E has a
    bound from below only.
    """
    rates, temperatures = list(rates), np.asarray(temperatures_K, dtype=float)
    if per not in _PER:
        raise ConfigError(f"per must be one of {', '.join(_PER)}; got {per!r}")
    if temperatures.shape != (len(rates),):
        raise ConfigError(f"expected one temperature for each of {len(rates)} rates, got {temperatures.size}")
    if not (np.isfinite(temperatures) & (temperatures > 0)).all():
        raise ConfigError(f"temperatures_K must be positive, got {temperatures.tolist()}")
    if len(set(temperatures.tolist())) != len(temperatures):
        raise ConfigError(
            "temperatures_K must differ: give replicas of one temperature to jump_rates together"
        )
    species = {item.species for item in rates}
    if len(species) > 1:
        raise ConfigError(f"expected rates of one species, got {', '.join(sorted(species))}")
    counts = np.array([item.n_jumps for item in rates], dtype=np.int64)
    if len(rates) < 2 or not counts.any():
        raise TooFewTemperaturesError(int((counts > 0).sum()), int((counts == 0).sum()))
    exposures = np.array([item.ion_time_ps if per == "ion" else item.vacancy_time_ps for item in rates])
    if not (exposures > 0).all():
        raise ConfigError(f"rates per {per} need a {per} at every temperature")
    dispersions = np.array([item.dispersion if item.widened else 1.0 for item in rates])
    law = _Law(temperatures, counts, exposures, dispersions)
    p_value = law.p_value()
    if p_value < _REJECTED_BELOW:
        law = _Law(temperatures, counts, exposures, dispersions * law.excess())
    energy = frequency = None
    if (counts > 0).sum() >= 2:
        energy, frequency = law.estimates(len(rates))
    return RateTemperatures(
        species=species.pop(),
        per=per,
        temperatures_K=temperatures,
        counts=counts,
        exposures_ps=exposures,
        dispersions=law.dispersions,
        activation_energy_eV=energy,
        activation_energy_at_least_eV=law.bound_below(),
        attempt_frequency_THz=frequency,
        p_value=p_value,
        provenance=collect_provenance(temperatures_K=temperatures.tolist(), per=per),
    )


class _Law:
    """Likelihood of counts in (ln of the prefactor, energy), and its profiles."""

    def __init__(self, temperatures, counts, exposures, dispersions):
        self.beta = 1 / (BOLTZMANN_EV_PER_K * temperatures)
        self.middle = self.beta.mean()
        self.counts, self.exposures, self.dispersions = counts, exposures, dispersions
        found = optimize.minimize_scalar(
            lambda energy: -self.profile(energy), bounds=(-_STEEPEST_EV, _STEEPEST_EV), method="bounded"
        )
        self.energy, self.best = float(found.x), -float(found.fun)

    def ln_expected(self, energy, ln_rate):
        """Return ln of the mean counts, with the rate given at the middle of the inverse temperatures."""
        return np.log(self.exposures) + ln_rate - energy * (self.beta - self.middle)

    def expected(self, energy, ln_rate):
        return np.exp(self.ln_expected(energy, ln_rate))

    def ln_rate(self, energy):
        """Return the most likely logarithm of the rate in the middle, at a given energy."""
        seen = (self.counts / self.dispersions).sum()
        return np.log(seen) - logsumexp(self.ln_expected(energy, 0.0) - np.log(self.dispersions))

    def likelihood(self, energy, ln_rate):
        ln_mean = self.ln_expected(energy, ln_rate)
        return float(((self.counts * ln_mean - np.exp(ln_mean)) / self.dispersions).sum())

    def profile(self, energy):
        return self.likelihood(energy, self.ln_rate(energy))

    def excess(self):
        mean = self.expected(self.energy, self.ln_rate(self.energy))
        squares = np.square(self.counts - mean) / np.maximum(mean, 1e-300) / self.dispersions
        return max(1.0, float(squares.sum() / max(1, len(mean) - 2)))

    def p_value(self):
        if len(self.counts) <= 2:
            return float("nan")
        # the deviance, unlike Pearson's sum, is not blown up by expected counts far below one
        mean = self.expected(self.energy, self.ln_rate(self.energy))
        ratio = np.where(self.counts > 0, self.counts, 1) / np.maximum(mean, 1e-300)
        terms = np.where(self.counts > 0, self.counts * np.log(ratio), 0.0) - (self.counts - mean)
        return float(stats.chi2.sf(2 * (terms / self.dispersions).sum(), len(mean) - 2))

    def _edge(self, profile, start, step, drop):
        """Return where a profile has fallen by `drop` in the direction of `step`, or infinity."""
        reach = start
        while abs(reach - start) < _STEEPEST_EV:
            reach += step
            if self.best - profile(reach) > drop:
                return optimize.brentq(lambda x: self.best - profile(x) - drop, reach - step, reach)
            step *= 1.3
        return np.sign(step) * np.inf

    def bound_below(self):
        drop = stats.chi2.ppf(0.9, 1) / 2
        return float(self._edge(self.profile, self.energy, -0.02, drop))

    def estimates(self, n):
        drop = stats.chi2.ppf(0.95, 1) / 2
        mean = self.expected(self.energy, self.ln_rate(self.energy)) / self.dispersions
        design = np.stack([np.ones(n), self.middle - self.beta])
        covariance = np.linalg.inv((design * mean) @ design.T)
        method = f"Poisson regression of jumps at {n} temperatures, profile likelihood"
        seen = float((self.counts / self.dispersions).sum())
        energy = Estimate(
            value=self.energy,
            stderr=float(np.sqrt(covariance[1, 1])),
            ci95=tuple(float(self._edge(self.profile, self.energy, step, drop)) for step in (-0.02, 0.02)),
            method=method,
            n_eff=seen,
        )
        row = np.array([1.0, self.middle])
        ln_value = float(self.ln_rate(self.energy) + self.energy * self.middle)
        error = float(np.sqrt(row @ covariance @ row))

        def of_prefactor(ln_frequency):
            # the likelihood is concave in the energy: one dimension is left
            return -optimize.minimize_scalar(
                lambda energy: -self.likelihood(energy, ln_frequency - energy * self.middle),
                bracket=(self.energy, self.energy + 0.05),
            ).fun

        edges = [self._edge(of_prefactor, ln_value, step * max(error, 0.1), drop) for step in (-0.5, 0.5)]
        value = float(np.exp(ln_value))
        frequency = Estimate(
            value=value,
            stderr=value * error,
            ci95=tuple(float(np.exp(edge)) for edge in edges),
            method=method,
            n_eff=seen,
        )
        return energy, frequency
