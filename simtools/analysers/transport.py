"""Diffusivities, conductivities and the Haven ratio of one mobile species at one temperature."""

import logging
from dataclasses import dataclass

import numpy as np

from simtools.analysers.diffusion import brownian_covariance
from simtools.analysers.displacements import blocked_displacements
from simtools.analysers.uncertainty import covariance_of_means, log_interval, poisson_upper_limit
from simtools.analysers.window import candidate_windows, choose_window, local_exponent
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import A2_PER_PS_TO_CM2_PER_S, conductivity_S_per_cm

__all__ = ["TransportResult", "analyse_transport"]

logger = logging.getLogger(__name__)

_FEWEST_HOPS = 5
_SUMMARY_FIELDS = (
    "temperature_K",
    "species",
    "n_replicas",
    "tracer_diffusivity_cm2_per_s",
    "charge_diffusivity_cm2_per_s",
    "haven_ratio",
    "nernst_einstein_conductivity_S_per_cm",
    "ionic_conductivity_S_per_cm",
)


@dataclass(frozen=True, eq=False, kw_only=True)
class TransportResult(Result):
    """Transport of one species at one temperature, each quantity with its 95 % interval."""

    species: str
    temperature_K: float = quantity("K")
    n_replicas: int
    n_ions: int
    charge_e: int = quantity("e")
    volume_A3: float = quantity("angstrom^3")
    n_hops: int
    tracer_diffusivity_cm2_per_s: Estimate = quantity("cm^2/s")
    charge_diffusivity_cm2_per_s: Estimate = quantity("cm^2/s")
    haven_ratio: Estimate = quantity("1")
    nernst_einstein_conductivity_S_per_cm: Estimate = quantity("S/cm")
    ionic_conductivity_S_per_cm: Estimate = quantity("S/cm")
    lag_times_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    msd_A2: np.ndarray = quantity("angstrom^2", shape="(n_lags,)")
    msd_per_replica_A2: np.ndarray = quantity("angstrom^2", shape="(n_replicas, n_lags)")
    charge_msd_A2: np.ndarray = quantity("angstrom^2", shape="(n_lags,)")
    local_exponent: np.ndarray = quantity("1", shape="(n_lags,)")
    window_ps: np.ndarray = quantity("ps", shape="(2,)")
    charge_window_ps: np.ndarray = quantity("ps", shape="(2,)")
    log_covariance: np.ndarray = quantity("1", shape="(2, 2)")
    log_dof: np.ndarray = quantity("1", shape="(2,)")
    warnings: tuple = ()

    def to_summary(self):
        """Return the entry of this temperature and species in ``summary.json``."""
        values = {name: getattr(self, name) for name in _SUMMARY_FIELDS}
        return {
            name: value.to_dict() if isinstance(value, Estimate) else value for name, value in values.items()
        }


def analyse_transport(trajectories, *, species, hop_length_A, temperature_K=None, host_species=None):
    """Return the `TransportResult` of replicas at one temperature."""
    trajectories = tuple(trajectories)
    first = trajectories[0]
    charge_e = int(first.formal_charges_e.get(species, 0))
    temperature_K = first.temperature_K if temperature_K is None else temperature_K
    if temperature_K is None:
        raise ConfigError("temperature_K is needed: the trajectory does not carry one")
    if host_species is None:
        host_species = tuple(sorted(set(first.species.tolist()) - {species}))
    framed = [item.in_host_frame(host_species) if host_species else item for item in trajectories]
    blocks = blocked_displacements(
        [item.positions_of(species) for item in framed],
        frame_interval_ps=first.frame_interval_ps,
        hop_length_A=hop_length_A,
    )
    volume_A3 = float(np.mean([item.mean_volume_A3 for item in trajectories]))
    windows = candidate_windows(blocks)
    weights_r = blocks.weights_r
    chosen = choose_window(blocks.tracer_rbk, windows, weights_r)
    rough = choose_window(blocks.tracer_rbk, windows, weights_r, relative=0.2)
    charge_chosen = choose_window(blocks.charge_rbk, windows, weights_r, start=rough)
    window, charge_window = windows[chosen], windows[charge_chosen]
    influence = np.stack(
        [blocks.tracer_rbk @ window.weights_k, blocks.charge_rbk @ charge_window.weights_k], axis=-1
    )
    slopes = weights_r @ influence.mean(axis=1)
    spread = covariance_of_means(
        influence,
        weights_r=weights_r,
        correlation=max(window.correlation_blocks, charge_window.correlation_blocks),
    )
    covariance, dof = spread.covariance.copy(), np.array([spread.dof, spread.dof])
    total_frames = sum(blocks.n_frames)
    single = brownian_covariance(tuple(blocks.lags.tolist()), min(blocks.n_frames))
    theory = charge_window.weights_k @ single @ charge_window.weights_k / blocks.frame_interval_ps**-2
    theory *= min(blocks.n_frames) / total_frames * slopes[1] ** 2
    prior = 20.0
    pooled = (prior * theory + dof[1] * covariance[1, 1]) / (prior + dof[1])
    scale = np.sqrt(pooled / covariance[1, 1]) if covariance[1, 1] > 0 else 1.0
    covariance[1, 1], dof[1] = pooled, dof[1] + prior
    covariance[0, 1] *= scale
    covariance[1, 0] *= scale

    elapsed_ps = total_frames * blocks.frame_interval_ps * blocks.n_ions
    limit_A2_per_ps = poisson_upper_limit(blocks.n_hops) / elapsed_ps * hop_length_A**2
    warnings = []
    estimates = []
    for name, slope, variance, nu in zip(
        ("tracer GLS", "charge GLS"), slopes, np.diag(covariance), dof, strict=True
    ):
        estimates.append(_diffusivity(name, slope, variance, nu, blocks.n_hops, limit_A2_per_ps))
    tracer, charge = estimates
    log_covariance = np.full((2, 2), np.nan)
    if not tracer.is_limit and not charge.is_limit:
        log_covariance = covariance / np.outer(slopes, slopes)
    conversion = conductivity_S_per_cm(
        1.0,
        number_density_per_A3=blocks.n_ions / volume_A3,
        charge_e=charge_e,
        temperature_K=temperature_K,
    )
    return TransportResult(
        species=species,
        temperature_K=float(temperature_K),
        n_replicas=blocks.n_replicas,
        n_ions=blocks.n_ions,
        charge_e=charge_e,
        volume_A3=volume_A3,
        n_hops=blocks.n_hops,
        tracer_diffusivity_cm2_per_s=tracer,
        charge_diffusivity_cm2_per_s=charge,
        haven_ratio=_ratio(tracer, charge, log_covariance, dof),
        nernst_einstein_conductivity_S_per_cm=_conductivity(tracer, conversion),
        ionic_conductivity_S_per_cm=_conductivity(charge, conversion),
        lag_times_ps=blocks.lag_times_ps,
        msd_A2=blocks.msd_k,
        msd_per_replica_A2=blocks.tracer_rbk.mean(axis=1),
        charge_msd_A2=blocks.charge_msd_k,
        local_exponent=local_exponent(blocks.lag_times_ps, blocks.msd_k),
        window_ps=blocks.lag_times_ps[[window.first, window.last]],
        charge_window_ps=blocks.lag_times_ps[[charge_window.first, charge_window.last]],
        log_covariance=log_covariance,
        log_dof=dof,
        warnings=tuple(warnings),
        provenance=collect_provenance(
            species=species, hop_length_A=hop_length_A, host_species=list(host_species)
        ),
    )


def _diffusivity(name, slope, variance, dof, n_hops, limit_A2_per_ps):
    to_cm2_per_s = A2_PER_PS_TO_CM2_PER_S / 6
    if n_hops < _FEWEST_HOPS or slope <= 1.7 * np.sqrt(variance):
        bound = max(limit_A2_per_ps, (max(slope, 0.0) + 1.7 * np.sqrt(variance)) if n_hops else 0.0)
        return Estimate.limit(
            bound * to_cm2_per_s, method=f"{name}: {n_hops} hops, Poisson limit", n_eff=float(n_hops)
        )
    relative = variance / slope**2
    low, high = log_interval(slope, relative, dof)
    return Estimate(
        value=float(slope) * to_cm2_per_s,
        stderr=float(np.sqrt(variance)) * to_cm2_per_s,
        ci95=(low * to_cm2_per_s, high * to_cm2_per_s),
        method=name,
        n_eff=float(2 / 3 / relative),
    )


def _ratio(tracer, charge, log_covariance, dof):
    if tracer.is_limit or charge.is_limit:
        return Estimate.limit(np.inf, method="no ratio: D* or D_sigma is a limit")
    ratio = tracer.value / charge.value
    variance = log_covariance[0, 0] + log_covariance[1, 1] - 2 * log_covariance[0, 1]
    low, high = log_interval(ratio, variance, dof.min())
    return Estimate(
        value=ratio,
        stderr=float(ratio * np.sqrt(variance)),
        ci95=(low, high),
        method="ratio of means, ln interval",
        n_eff=float(2 / 3 / variance),
    )


def _conductivity(diffusivity, conversion):
    if conversion == 0:
        return Estimate.limit(0.0, method="no formal charge")
    return diffusivity.scaled(conversion)
