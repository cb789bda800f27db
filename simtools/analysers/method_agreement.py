"""One quantity by several methods: do they agree? Each comes from its own analyser."""

from dataclasses import dataclass
from math import isfinite, log, nan

import numpy as np
from scipy import stats

from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity

__all__ = ["MethodAgreement", "conductivity_by_methods", "diffusivity_by_methods"]

_NORMAL_95 = 1.96
_OLS_ERRORS, _OLS_SHARE = 3.0, 0.02
_UNLIKELY = 0.01
_GLS, _OLS, _HOPS = "generalised least squares", "ordinary least squares", "jumps between sites"
_EINSTEIN, _ALL_IONS, _GREEN = "Einstein–Helfand", "Einstein–Helfand, all species", "Green–Kubo"


@dataclass(frozen=True, eq=False, kw_only=True)
class MethodAgreement(Result):
    """Estimates of one quantity, the first being the one that is reported.

    Attributes
    ----------
    quantity_name, unit : str
        What was estimated, and its unit.
    labels, estimates : tuple
        Method and `Estimate` of each; ordinary least squares has no honest interval and carries none.
    agrees : bool or None
        None where there was nothing to compare.
    statements : tuple of str
        One sentence for each comparison.
    """

    quantity_name: str
    unit: str
    species: str
    temperature_K: float = quantity("K")
    labels: tuple
    estimates: tuple
    agrees: bool | None
    statements: tuple

    def to_summary(self):
        """Return the entry of this quantity in ``summary.json``."""
        return {
            "temperature_K": self.temperature_K,
            "species": self.species,
            "quantity": self.quantity_name,
            "unit": self.unit,
            "agrees": self.agrees,
            "methods": [
                {"name": label, **estimate.to_dict()}
                for label, estimate in zip(self.labels, self.estimates, strict=True)
            ],
            "statements": list(self.statements),
        }


def diffusivity_by_methods(transport, *, replicas=(), hops=None):
    """Return D* by generalised and ordinary least squares, by replicas, and from jumps between sites.

    Parameters
    ----------
    transport
        `TransportResult` of all replicas together.
    replicas
        `TransportResult` of each replica alone.
    hops
        `HopStatistics` of the same ions, or None.

    Returns
    -------
    MethodAgreement

    Notes
    -----
    Ordinary least squares disagrees beyond three standard errors and 2 %; replicas, where their chi-square
    about the common value has a chance below 1 %; jumps, where the logarithms differ by more than 1.96 of the
    larger standard error (both come from the same run, so their difference is no wider than that).
    """
    main = transport.tracer_diffusivity_cm2_per_s
    labels, estimates, verdicts = [_GLS], [main], []
    value = transport.ordinary_least_squares_cm2_per_s
    if isfinite(value):
        labels.append(_OLS)
        estimates.append(
            Estimate(
                value=float(value),
                stderr=nan,
                ci95=(nan, nan),
                method="unweighted line, no honest error",
                n_eff=0.0,
            )
        )
        if not main.is_limit:
            apart = abs(value - main.value)
            fine = apart <= _OLS_ERRORS * main.stderr + _OLS_SHARE * abs(main.value)
            verdicts.append((fine, _apart(_OLS, value, main, fine)))
    if len(replicas) > 1:
        own = [item.tracer_diffusivity_cm2_per_s for item in replicas]
        labels += [f"replica {k + 1}" for k in range(len(own))]
        estimates += own
        known = [item for item in own if not item.is_limit]
        if not main.is_limit and len(known) > 1:
            verdicts.append(_scatter(known))
    if hops is not None and hops.hop_diffusivity_cm2_per_s is not None:
        labels.append(_HOPS)
        estimates.append(hops.hop_diffusivity_cm2_per_s)
        verdicts += _pair(main, hops.hop_diffusivity_cm2_per_s, _HOPS)
    return _agreement("tracer_diffusivity", "cm^2/s", transport, labels, estimates, verdicts)


def conductivity_by_methods(transport, *, onsager=None, green_kubo=None):
    """Return the ionic conductivity from displacements of one species, of all, and from the charge current.

    Parameters
    ----------
    transport
        `TransportResult` of the mobile ions, whose conductivity is the one reported.
    onsager, green_kubo
        `OnsagerResult` and `GreenKuboResult` of the same run, or None.

    Returns
    -------
    MethodAgreement
        Differences count as in `diffusivity_by_methods`. All species against one differ in truth where other
        ions conduct, too.
    """
    main = transport.ionic_conductivity_S_per_cm
    labels, estimates, verdicts = [f"{_EINSTEIN}, {transport.species} alone"], [main], []
    for label, result in ((_ALL_IONS, onsager), (_GREEN, green_kubo)):
        if result is not None:
            labels.append(label)
            estimates.append(result.ionic_conductivity_S_per_cm)
            verdicts += _pair(main, result.ionic_conductivity_S_per_cm, label)
    return _agreement("ionic_conductivity", "S/cm", transport, labels, estimates, verdicts)


def _agreement(name, unit, transport, labels, estimates, verdicts):
    return MethodAgreement(
        quantity_name=name,
        unit=unit,
        species=transport.species,
        temperature_K=transport.temperature_K,
        labels=tuple(labels),
        estimates=tuple(estimates),
        agrees=all(fine for fine, _ in verdicts) if verdicts else None,
        statements=tuple(text for _, text in verdicts),
        provenance=collect_provenance(),
    )


def _pair(main, other, label):
    if main.is_limit or other.is_limit or not (main.value > 0 and other.value > 0):
        return []
    error = max(main.stderr / main.value, other.stderr / other.value)
    fine = bool(abs(log(other.value / main.value)) <= _NORMAL_95 * error)
    return [(fine, _apart(label, other.value, main, fine))]


def _apart(label, value, main, fine):
    share = 100 * (value / main.value - 1)
    errors = abs(value - main.value) / main.stderr
    verb = "agrees" if fine else "DISAGREES"
    return f"{label} {verb}: {share:+.0f} %, {errors:.1f} standard errors of the reported value"


def _scatter(known):
    logs = np.log([item.value for item in known])
    errors = np.array([item.stderr / item.value for item in known])
    weights = 1 / errors**2
    squared = float(weights @ (logs - weights @ logs / weights.sum()) ** 2)
    chance = float(stats.chi2.sf(squared, len(known) - 1))
    fine = chance >= _UNLIKELY
    verb = "agree" if fine else "DISAGREE"
    return fine, f"{len(known)} replicas {verb} with each other (chi-square, p = {chance:.2g})"
