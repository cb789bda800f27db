r"""What taking something away does to diffusion: ratios of D, differences of E_a, the exponent of inertia.

Errors are the scatter between replicas, because a frozen or restrained structure differs from replica to
replica in ways that no length of one run shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from simtools.analysers.inertia_law import InertiaExponent
from simtools.analysers.replica_ratios import (
    MeanDiffusivity,
    bounded_by_limits,
    combined_logs,
    diffusivity_ratio,
    mean_diffusivity,
    mean_of_replicas,
    replica_diffusivities,
)
from simtools.analysers.transport import TransportResult
from simtools.analysers.verdict import Counterfactuals
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import BOLTZMANN_EV_PER_K

__all__ = [
    "ActivationDifference",
    "CounterfactualResult",
    "activation_energy_difference",
    "compare_counterfactual",
    "counterfactuals_for_verdict",
]

_WIDEST_CONE_DEG = 60.0
_KEPT = 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class CounterfactualResult(Result):
    """One kind of altered run at one temperature beside its reference.

    Attributes
    ----------
    variant, kind : str
        Label (``cone30``) and kind (``cone_restraint``).
    parameter : float or None
        Angle of the cone, degrees; factor on the inertia; None for other kinds.
    reference : str
        What it is compared with: "free", or the label of another variant.
    temperature_K
        Of both.
    diffusivity_cm2_per_s, reference_diffusivity_cm2_per_s : Estimate
        D* of the altered runs and of the reference, as `TransportResult` gives them.
    ratio : Estimate
        D altered over D reference, or an upper limit where the altered runs did not diffuse.
    replica_diffusivities_cm2_per_s, reference_replicas_cm2_per_s : ndarray
        What the interval of the ratio rests on.
    energy_difference_eV_per_anion : Estimate or None
        Mean potential energy, altered less reference, over the number of molecules; with the energy of a
        cone. Far from 0 the altered runs are in states that the free ones do not visit.
    c1, c2, reference_c1, reference_c2 : dict
        {anion: C_l at `lag_ps`}: 1 is frozen, 0 relaxed. Empty without molecules.
    """

    variant: str
    kind: str
    parameter: float | None
    reference: str
    species: str
    temperature_K: float = quantity("K")
    n_replicas: int
    n_reference_replicas: int
    diffusivity_cm2_per_s: Estimate = quantity("cm^2/s")
    reference_diffusivity_cm2_per_s: Estimate = quantity("cm^2/s")
    ratio: Estimate = quantity("1")
    replica_diffusivities_cm2_per_s: np.ndarray = quantity("cm^2/s", shape="(n_replicas,)")
    reference_replicas_cm2_per_s: np.ndarray = quantity("cm^2/s", shape="(n_reference_replicas,)")
    lag_ps: float | None = quantity("ps", default=None)
    energy_difference_eV_per_anion: Estimate | None = quantity("eV", default=None)
    c1: dict
    c2: dict
    reference_c1: dict
    reference_c2: dict
    warnings: tuple = ()

    def to_summary(self):
        """Return the entry of ``summary.json``."""
        return {
            "variant": self.variant,
            "kind": self.kind,
            "parameter": self.parameter,
            "reference": self.reference,
            "species": self.species,
            "temperature_K": self.temperature_K,
            "n_replicas": self.n_replicas,
            "n_reference_replicas": self.n_reference_replicas,
            "tracer_diffusivity_cm2_per_s": self.diffusivity_cm2_per_s.to_dict(),
            "reference_diffusivity_cm2_per_s": self.reference_diffusivity_cm2_per_s.to_dict(),
            "diffusivity_ratio": self.ratio.to_dict(),
            "potential_energy_difference_eV_per_anion": None
            if self.energy_difference_eV_per_anion is None
            else self.energy_difference_eV_per_anion.to_dict(),
            "reorientation": {
                name: {
                    "lag_ps": self.lag_ps,
                    "c1": self.c1[name],
                    "c2": self.c2[name],
                    "reference_c1": self.reference_c1.get(name),
                    "reference_c2": self.reference_c2.get(name),
                }
                for name in self.c1
            },
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class ActivationDifference(Result):
    """E_a of altered runs less that of their reference.

    Attributes
    ----------
    difference_eV : Estimate
        Positive where what was taken away had lowered the barrier.
    omitted_temperatures_K
        Temperatures at which altered or reference runs did not diffuse.
    """

    variant: str
    kind: str
    reference: str
    temperatures_K: np.ndarray = quantity("K", shape="(n_temperatures,)")
    difference_eV: Estimate = quantity("eV")
    omitted_temperatures_K: tuple = quantity("K", default=())
    warnings: tuple = ()

    def to_summary(self):
        """Return the entry of ``summary.json``."""
        return {
            "variant": self.variant,
            "kind": self.kind,
            "reference": self.reference,
            "temperatures_K": self.temperatures_K.tolist(),
            "activation_energy_difference_eV": self.difference_eV.to_dict(),
            "omitted_temperatures_K": list(self.omitted_temperatures_K),
        }


def activation_energy_difference(ratios: Mapping[float, tuple], *, variant="", kind="", reference="free"):
    r"""Return how much higher the activation energy of altered runs is than that of their reference.

    .. math:: \Delta E_a = -\frac{d \ln (D_X / D_0)}{d (1/kT)}

    Parameters
    ----------
    ratios
        {temperature in K: (altered, reference)}, each a `MeanDiffusivity` or replica diffusivities; at least
        two temperatures. Temperatures where either did not move are left out, with a warning. Where the limit
        of their ratio lies off the line, the end of the interval that it would move is infinite.
    variant, kind, reference
        Names, kept with the result.

    Returns
    -------
    ActivationDifference or None
        None with fewer than two temperatures that moved. Every temperature counts alike: weights taken from
        few replicas would make the interval too narrow.
    """
    used, still = {}, {}
    for temperature, pair in ratios.items():
        means = [item if isinstance(item, MeanDiffusivity) else mean_of_replicas(item) for item in pair]
        if all(item.upper_limit is None for item in means):
            used[float(temperature)] = means
        else:
            still[float(temperature)] = means
    if len(used) < 2:
        return None
    temperatures = np.array(sorted(used))
    x = 1 / (BOLTZMANN_EV_PER_K * temperatures)
    weights = -(x - x.mean()) / np.sum((x - x.mean()) ** 2)
    logs = np.array([log(used[t][0].value / used[t][1].value) for t in temperatures])
    means = [item for t in temperatures for item in used[t]]
    estimate = combined_logs(
        weights @ logs,
        means,
        np.repeat(weights, 2),
        method=f"line through ln(D/D reference) at {len(temperatures)} temperatures, each alike",
    )
    centre, level = x.mean(), logs.mean()
    sides = set()
    for temperature, means in still.items():
        away = 1 / (BOLTZMANN_EV_PER_K * temperature) - centre
        off = _off_the_line(*means, level - estimate.value * away)
        sides.add(int(-off * np.sign(away)))
    sides -= {0}
    notes = ()
    if still:
        where = ", ".join(f"{temperature:g}" for temperature in sorted(still))
        said = "; their limits do not contradict the line"
        if sides:
            kind = "not bounded" if len(sides) > 1 else "a lower bound" if 1 in sides else "an upper bound"
            said = f"; the ratio of D there is off the line, so the difference of E_a is {kind}"
        notes = (
            f"{variant or 'altered'}: altered or reference runs did not diffuse measurably at {where} K, "
            f"which the difference of E_a leaves out{said}",
        )
    return ActivationDifference(
        variant=variant,
        kind=kind,
        reference=reference,
        temperatures_K=temperatures,
        difference_eV=bounded_by_limits(estimate, sides),
        omitted_temperatures_K=tuple(sorted(still)),
        warnings=notes,
        provenance=collect_provenance(variant=variant, reference=reference),
    )


def _off_the_line(altered, reference, predicted):
    """Return -1 where a limit puts ln(D/D reference) below `predicted`, 1 above, 0 where it does not tell."""
    if altered.upper_limit is not None and reference.upper_limit is not None:
        return 0
    if altered.upper_limit is not None:
        return -1 if log(altered.upper_limit / reference.value) < predicted else 0
    return 1 if log(altered.value / reference.upper_limit) > predicted else 0


def compare_counterfactual(
    altered: TransportResult,
    reference: TransportResult,
    *,
    variant: str,
    kind: str,
    parameter: float | None = None,
    reference_name: str = "free",
    turned: Mapping[str, tuple] | None = None,
    reference_turned: Mapping[str, tuple] | None = None,
    lag_ps: float | None = None,
    energy_difference_eV_per_anion: Estimate | None = None,
) -> CounterfactualResult:
    """Return altered runs beside their reference at one temperature.

    Parameters
    ----------
    altered, reference
        Transport of the same species at the same temperature, by the same analysis.
    variant, kind, parameter, reference_name
        As in `CounterfactualResult`.
    turned, reference_turned
        {anion: (C_1, C_2) at `lag_ps`} of either.
    lag_ps
        ps.
    energy_difference_eV_per_anion
        From `energy_difference`, if known.

    Raises
    ------
    ConfigError
        If species or temperature differ.
    """
    if (altered.species, altered.temperature_K) != (reference.species, reference.temperature_K):
        raise ConfigError(
            f"{variant}: {altered.species} at {altered.temperature_K:g} K cannot be compared with "
            f"{reference.species} at {reference.temperature_K:g} K; expected the same"
        )
    means = mean_diffusivity(altered), mean_diffusivity(reference)
    notes = []
    if min(item.n_replicas for item in means) < 2 and all(item.upper_limit is None for item in means):
        notes.append(
            f"{altered.temperature_K:g} K: {variant}: one replica has no scatter between replicas; the "
            "interval of the ratio rests on the errors within runs"
        )
    turned, before = turned or {}, reference_turned or {}
    return CounterfactualResult(
        variant=variant,
        kind=kind,
        parameter=parameter,
        reference=reference_name,
        species=altered.species,
        temperature_K=altered.temperature_K,
        n_replicas=altered.n_replicas,
        n_reference_replicas=reference.n_replicas,
        diffusivity_cm2_per_s=altered.tracer_diffusivity_cm2_per_s,
        reference_diffusivity_cm2_per_s=reference.tracer_diffusivity_cm2_per_s,
        ratio=diffusivity_ratio(*means),
        replica_diffusivities_cm2_per_s=_replicas_or_none(altered),
        reference_replicas_cm2_per_s=_replicas_or_none(reference),
        lag_ps=lag_ps,
        energy_difference_eV_per_anion=energy_difference_eV_per_anion,
        c1={name: float(pair[0]) for name, pair in turned.items()},
        c2={name: float(pair[1]) for name, pair in turned.items()},
        reference_c1={name: float(pair[0]) for name, pair in before.items()},
        reference_c2={name: float(pair[1]) for name, pair in before.items()},
        warnings=tuple(notes),
        provenance=collect_provenance(variant=variant, reference=reference_name),
    )


def _replicas_or_none(transport):
    if transport.tracer_diffusivity_cm2_per_s.is_limit:
        return np.zeros(0)
    return replica_diffusivities(transport)


def counterfactuals_for_verdict(
    results: Sequence[CounterfactualResult],
    exponents: Sequence[InertiaExponent] = (),
    *,
    temperature_K: float,
) -> Counterfactuals | None:
    """Return what the verdict at one temperature consumes, or None where no altered run is of use to it.

    Parameters
    ----------
    results, exponents
        Of any temperatures; those of the temperature nearest to `temperature_K` count. Those of another
        temperature are told but confirm nothing.
    temperature_K
        Of the verdict, K.

    Returns
    -------
    Counterfactuals or None
        ``restrained``: the narrowest cone (no choice by result) of up to 60 degrees, or a wider one that was
        seen to keep at least half of the C_2 that its reference loses by the same lag. ``frozen``: frozen
        orientations. Exponent: d ln D / d ln I, which is -p. Ratios to a reference that did not move are left
        out. Of two temperatures equally near the lower counts.
    """

    def nearest(items):
        kelvins = {item.temperature_K for item in items}
        near = min(kelvins, key=lambda kelvin: (abs(kelvin - temperature_K), kelvin), default=None)
        return [item for item in items if item.temperature_K == near]

    usable = [item for item in results if not item.ratio.is_limit or np.isfinite(item.ratio.upper_limit)]
    every = [item for item in usable if item.kind == "cone_restraint"]
    cones = nearest([item for item in every if _holds_back(item)])
    wide = [] if cones else every
    frozen = nearest([item for item in usable if item.kind == "frozen_orientation"])
    slopes = nearest(list(exponents))
    kelvin = slopes[0].temperature_K if slopes else None
    heavy = [item for item in usable if item.kind == "heavy_rotor" and item.temperature_K == kelvin]
    heaviest = max(heavy, key=lambda item: item.parameter, default=None)
    used = [*cones, *frozen, *slopes]
    if not used and not wide:
        return None
    elsewhere = [item.temperature_K for item in used if item.temperature_K != temperature_K]
    return Counterfactuals(
        restrained=min(cones, key=lambda item: item.parameter).ratio if cones else None,
        frozen=frozen[0].ratio if frozen else None,
        inertia_exponent=_negative(slopes[0].exponent) if slopes else None,
        heaviest_scale=None if heaviest is None else heaviest.parameter,
        heaviest=None if heaviest is None else heaviest.ratio,
        too_wide_deg=min((item.parameter for item in wide), default=None),
        elsewhere_K=elsewhere[0] if elsewhere else None,
    )


def _holds_back(cone):
    """Return whether a cone takes large rotations away: by its angle, or by what is left of C_2."""
    if cone.parameter <= _WIDEST_CONE_DEG:
        return True
    return bool(cone.c2) and all(
        name in cone.reference_c2 and 1 - c2 <= _KEPT * (1 - cone.reference_c2[name])
        for name, c2 in cone.c2.items()
    )


def _negative(estimate):
    low, high = estimate.ci95
    return Estimate(
        value=-estimate.value,
        stderr=estimate.stderr,
        ci95=(-high, -low),
        method=estimate.method,
        n_eff=estimate.n_eff,
    )
