"""D against the moment of inertia of rotors: the exponent, and whether one power describes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, nan

import numpy as np
from scipy import stats

from simtools.analysers.replica_ratios import (
    MeanDiffusivity,
    bounded_by_limits,
    combined_logs,
    mean_of_replicas,
)
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity

__all__ = ["InertiaExponent", "inertia_exponent"]

_BENT = 0.05


@dataclass(frozen=True, eq=False, kw_only=True)
class InertiaExponent(Result):
    """How D falls with the moment of inertia of the rotors, D ~ I^-p.

    Attributes
    ----------
    exponent : Estimate
        p: 0 where only the static landscape counts, above 0 where the speed of rotation does.
    misfit
        Scatter of ln D about the line over that of replicas (ratio of mean squares, 1 expected); nan for
        fewer than three inertias.
    misfit_p_value
        Chance of that or more if D follows one power of I.
    omitted_scales
        Factors at which only an upper limit of D is known: no part of the line.
    warnings
        Where it does not, and what was left out.
    """

    temperature_K: float = quantity("K")
    inertia_scales: np.ndarray = quantity("1", shape="(n_scales,)")
    exponent: Estimate = quantity("1")
    misfit: float = nan
    misfit_p_value: float = nan
    omitted_scales: tuple = ()
    warnings: tuple = ()

    def to_summary(self):
        """Return the entry of ``summary.json``."""
        return {
            "variant": "inertia",
            "kind": "heavy_rotor",
            "temperature_K": self.temperature_K,
            "inertia_scales": self.inertia_scales.tolist(),
            "inertia_exponent": self.exponent.to_dict(),
            "misfit": self.misfit,
            "misfit_p_value": self.misfit_p_value,
            "omitted_inertia_scales": list(self.omitted_scales),
        }


def inertia_exponent(diffusivities: Mapping[float, object], *, temperature_K: float):
    """Return p of D ~ I^-p from runs whose rotors have scaled moments of inertia.

    Parameters
    ----------
    diffusivities
        {factor on the inertia: `MeanDiffusivity` or replica diffusivities}; 1 is the reference. Factors at
        which nothing moved are left out of the line, with a warning. Where the limit of such a factor lies
        below the line, the end of the interval that it would move is infinite: p is then a bound.
    temperature_K
        K, kept with the result.

    Returns
    -------
    InertiaExponent or None
        None with fewer than two factors that moved. A line through ln D against ln I, weighted by the numbers
        of replicas. Whether a line holds is an F test of the scatter about it against that of replicas,
        pooled.

    Notes
    -----
    Limits: p = 0 for a static landscape; an ion that waits for a rotor which turns ballistically has p = 1/2.
    """
    used, still = {}, {}
    for scale, item in diffusivities.items():
        mean = item if isinstance(item, MeanDiffusivity) else mean_of_replicas(item)
        if mean.upper_limit is None:
            used[float(scale)] = mean
        else:
            still[float(scale)] = mean.upper_limit
    if len(used) < 2:
        return None
    scales = np.array(sorted(used))
    means = [used[scale] for scale in scales]
    x, n = np.log(scales), np.array([item.n_replicas for item in means], dtype=float)
    away = x - np.average(x, weights=n)
    weights = -n * away / np.sum(n * away**2)
    logs = np.array([log(item.value) for item in means])
    misfit, chance = _misfit(logs + (weights @ logs) * x, n, means)
    notes = []
    if chance < _BENT:
        notes.append(
            f"{temperature_K:g} K: ln D* against ln I is no line (p = {chance:.2g}): the exponent is a mean "
            "slope, not a law"
        )
    estimate = combined_logs(
        weights @ logs,
        means,
        weights,
        method=f"line through ln D* against ln I at {len(scales)} inertias, weighted by replicas",
    )
    intercept = np.average(logs + estimate.value * x, weights=n)
    below = {
        scale: float(np.sign(round(log(scale) - np.average(x, weights=n), 9)))
        for scale, limit in still.items()
        if log(limit) < intercept - estimate.value * log(scale)
    }
    if still:
        where = ", ".join(f"{scale:g}" for scale in sorted(still))
        notes.append(
            f"{temperature_K:g} K: ions did not diffuse measurably at inertia x {where}, which the exponent "
            f"leaves out{_meaning(set(below.values()))}"
        )
    estimate = bounded_by_limits(estimate, set(below.values()) - {0.0})
    return InertiaExponent(
        temperature_K=float(temperature_K),
        inertia_scales=scales,
        exponent=estimate,
        misfit=misfit,
        misfit_p_value=chance,
        omitted_scales=tuple(sorted(still)),
        warnings=tuple(notes),
        provenance=collect_provenance(temperature_K=temperature_K),
    )


def _meaning(sides):
    """Return what limits below the line say of the exponent, as words."""
    if not sides:
        return "; their limits do not contradict the line"
    if sides == {1.0}:
        return "; D is below the line there, so p is a lower bound"
    if sides == {-1.0}:
        return "; D is below the line there, so p is an upper bound"
    return "; D is below the line there, so no interval of p is known"


def _misfit(level, n, means):
    """Return the F ratio of the scatter of `level` (ln D less the line) to that of replicas, and chance."""
    beyond = len(level) - 2
    within = np.array([item.relative_variance for item in means]) * n
    dof = np.array([item.dof for item in means], dtype=float)
    pooled = float(np.sum(dof * within) / dof.sum())
    if beyond < 1 or not 0 < pooled < np.inf:
        return nan, nan
    ratio = float(np.sum(n * (level - np.average(level, weights=n)) ** 2) / beyond / pooled)
    return ratio, float(stats.f.sf(ratio, beyond, dof.sum()))
