"""How strongly partners hold vacancies: free energies from bound fractions. The fractions: association.py."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import BOLTZMANN_EV_PER_K

__all__ = ["BindingResult", "binding_free_energy", "fit_binding"]

_FEWEST_TEMPERATURES = 3
_REJECTED_BELOW = 0.01


@dataclass(frozen=True, eq=False, kw_only=True)
class BindingResult(Result):
    """Binding of one kind of vacancy to one kind of partner, over temperature.

    Attributes
    ----------
    species, partner, partner_kind
        As in `AssociationResult`.
    temperatures_K
        Rising, shape (n_temperatures,).
    free_energies_eV
        `binding_free_energy` at each temperature, eV; negative where partners hold vacancies.
    enthalpy_eV, entropy_kB
        Of a straight line through them, eV and k_B; None where no line is justified.
    p_value
        Chance of residuals as large as these about the line; nan without a line.
    warnings
        What to know before quoting the numbers.
    """

    species: str
    partner: str
    partner_kind: str
    temperatures_K: np.ndarray = quantity("K", shape="(n_temperatures,)")
    free_energies_eV: tuple[Estimate, ...] = quantity("eV")
    enthalpy_eV: Estimate | None = quantity("eV", default=None)
    entropy_kB: Estimate | None = quantity("k_B", default=None)
    p_value: float = float("nan")
    warnings: tuple[str, ...] = ()

    def to_summary(self) -> dict:
        """Return the entry of ``summary.json``: plain data, energies as quantities with intervals."""
        line = {} if self.enthalpy_eV is None else {"enthalpy_eV": self.enthalpy_eV.to_dict()}
        if self.entropy_kB is not None:
            line["entropy_kB"] = self.entropy_kB.to_dict()
        return {
            "species": self.species,
            "partner": self.partner,
            "partner_kind": self.partner_kind,
            "free_energies_eV": [
                {"temperature_K": float(temperature_K), **energy.to_dict()}
                for temperature_K, energy in zip(self.temperatures_K, self.free_energies_eV, strict=True)
            ],
            **line,
            "warnings": list(self.warnings),
        }


def binding_free_energy(fraction: Estimate, random_fraction: float, temperature_K: float) -> Estimate:
    r"""Return the effective free energy that holds vacancies beside their partners, eV.

    .. math:: \Delta F = -k_B T \ln \frac{f / (1 - f)}{f_0 / (1 - f_0)}

    with f the fraction bound and :math:`f_0` that of a random arrangement: the work that would turn random
    odds into those seen, per vacancy. It tends to the free energy of one pair (first shell against anywhere
    else) for few vacancies and partners; at finite content it is *effective*, as partners are shared and
    occupied sites leave fewer places.

    Parameters
    ----------
    fraction
        Bound fraction with its interval.
    random_fraction
        Between 0 and 1.
    temperature_K
        K.

    Returns
    -------
    Estimate
        Negative where partners hold vacancies; its interval is that of the fraction, transformed. A
        fraction of 1 gives an upper limit (bound at least so strongly), a fraction of 0 or an unknown
        temperature none (infinity).

    Notes
    -----
    Limits: ``fraction == random_fraction`` gives 0; one vacancy whose energy is E in the first shell of
    one partner and 0 elsewhere gives E.
    """
    if not 0 < random_fraction < 1:
        raise ConfigError(f"random_fraction must lie between 0 and 1, got {random_fraction!r}")
    kT = BOLTZMANN_EV_PER_K * temperature_K
    free_odds = random_fraction / (1 - random_fraction)

    def energy(f):
        return float(-kT * np.log(f / (1 - f) / free_odds))

    f = fraction.value
    if fraction.is_limit or not np.isfinite(kT) or f <= 0:
        return Estimate.limit(np.inf, method="no bound vacancy was seen, or no temperature is known")
    low, high = fraction.ci95
    if f >= 1:
        return Estimate.limit(
            energy(low) if 0 < low < 1 else np.inf,
            method="every vacancy was bound: from the lower end of the interval of the bound fraction",
            n_eff=fraction.n_eff,
        )
    return Estimate(
        value=energy(f),
        stderr=float(kT * fraction.stderr / (f * (1 - f))),
        ci95=(energy(high) if high < 1 else -np.inf, energy(low) if low > 0 else np.inf),
        method="odds of being bound over those of a random arrangement",
        n_eff=fraction.n_eff,
    )


def fit_binding(associations: Sequence) -> BindingResult:
    r"""Return the binding over temperature, with enthalpy and entropy where a straight line is justified.

    :math:`\Delta F = \Delta H - T \Delta S` by weighted least squares, if at least three temperatures have a
    value and the residuals do not reject the line (:math:`\chi^2`, p >= 0.01).

    Parameters
    ----------
    associations
        `AssociationResult` of one species and partner, one per temperature.

    Returns
    -------
    BindingResult

    Raises
    ------
    ConfigError
        If there are none, they are of different pairs, or a temperature appears twice.

    Notes
    -----
    Limit: free energies on a line give that line. Intervals are Student's with the degrees of freedom of the
    temperature that is known worst.
    """
    ordered = sorted(associations, key=lambda result: result.temperature_K)
    if len({(result.species, result.partner) for result in ordered}) != 1:
        raise ConfigError("binding is fitted to one kind of vacancy and one kind of partner")
    temperatures = np.array([result.temperature_K for result in ordered])
    if (np.diff(temperatures) == 0).any():
        raise ConfigError(f"binding is fitted to one result per temperature, got {temperatures.tolist()} K")
    energies = tuple(result.binding_free_energy_eV for result in ordered)
    known = np.array([not item.is_limit and np.isfinite(item.ci95).all() for item in energies])
    line, notes = {}, []
    if known.sum() >= _FEWEST_TEMPERATURES:
        line = _line(temperatures[known], [energies[i] for i in np.flatnonzero(known)])
        if line["p_value"] < _REJECTED_BELOW:
            notes.append(
                f"the binding free energies to {ordered[0].partner} do not lie on a straight line "
                f"(p = {line['p_value']:.2g}): no enthalpy is given"
            )
            line = {"p_value": line["p_value"]}
    first = ordered[0]
    return BindingResult(
        species=first.species,
        partner=first.partner,
        partner_kind=first.partner_kind,
        temperatures_K=temperatures,
        free_energies_eV=energies,
        warnings=tuple(notes),
        provenance=collect_provenance(species=first.species, partner=first.partner),
        **line,
    )


def _line(temperatures_K, energies):
    """Return enthalpy, entropy and the p-value of the weighted line through binding free energies."""
    values = np.array([item.value for item in energies])
    weights = 1 / np.array([item.stderr for item in energies])
    design = np.column_stack([np.ones(len(values)), -BOLTZMANN_EV_PER_K * temperatures_K])
    covariance = np.linalg.inv((design * weights[:, None] ** 2).T @ design)
    parameters = covariance @ (design * weights[:, None] ** 2).T @ values
    residuals = (values - design @ parameters) * weights
    dof = max(min(item.n_eff for item in energies) - 1, 1.0)
    half = stats.t.ppf(0.975, dof) * np.sqrt(np.diag(covariance))
    enthalpy, entropy = (
        Estimate(
            value=float(value),
            stderr=float(np.sqrt(variance)),
            ci95=(float(value - width), float(value + width)),
            method=f"weighted line through binding free energies at {len(values)} temperatures",
            n_eff=dof + 1,
        )
        for value, variance, width in zip(parameters, np.diag(covariance), half, strict=True)
    )
    p_value = float(stats.chi2.sf(residuals @ residuals, len(values) - 2))
    return {"enthalpy_eV": enthalpy, "entropy_kB": entropy, "p_value": p_value}
