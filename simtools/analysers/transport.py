"""Diffusivities, conductivities and the Haven ratio of one mobile species at one temperature."""

import logging
from dataclasses import dataclass
from math import inf, nan

import numpy as np
from scipy import stats

from simtools.analysers.diffusion import fit_slopes
from simtools.analysers.displacements import blocked_displacements
from simtools.analysers.uncertainty import log_interval, poisson_upper_limit
from simtools.analysers.window import local_exponent
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import A2_PER_PS_TO_CM2_PER_S, conductivity_S_per_cm

__all__ = ["TransportResult", "analyse_transport"]

logger = logging.getLogger(__name__)

_FEWEST_HOPS = 5
_FEWEST_TRAVELLED = 2
_SIGNIFICANT = 2.0
_CM2_PER_S_FROM_SLOPE = A2_PER_PS_TO_CM2_PER_S / 6
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
    """Transport of one species at one temperature, each quantity with its 95 % interval.

    `log_covariance` and `log_dof` belong to (ln D*, ln D_sigma). `effective_ions` is the number of
    independent ions that would have given the error of D*: below `n_ions` where ions push each other along.
    """

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
    effective_ions: float = nan
    ordinary_least_squares_cm2_per_s: float = quantity("cm^2/s", default=nan)
    warnings: tuple = ()

    def to_summary(self):
        """Return the entry of this temperature and species in ``summary.json``."""
        values = {name: getattr(self, name) for name in _SUMMARY_FIELDS}
        return {
            name: value.to_dict() if isinstance(value, Estimate) else value for name, value in values.items()
        }


def analyse_transport(trajectories, *, species, hop_length_A, temperature_K=None, host_species=None):
    r"""Return the transport of one mobile species from all replicas at one temperature.

    .. math::
        D^* = \lim_{t\to\infty} \frac{1}{6 N} \frac{d}{dt} \sum_i \langle |\Delta r_i|^2 \rangle, \quad
        D_\sigma = \lim_{t\to\infty} \frac{1}{6 N} \frac{d}{dt} \Big\langle \Big| \sum_i \Delta r_i
        \Big|^2 \Big\rangle, \quad H_R = D^* / D_\sigma, \quad
        \sigma = \frac{N z^2 e^2}{V k_B T} D_\sigma

    Parameters
    ----------
    trajectories
        Replicas (`Trajectory`) of the same system, production only. One is enough for an interval, which is
        then wide.
    species
        Symbol of the mobile ion; all its ions carry the same formal charge.
    hop_length_A
        Distance between neighbouring sites of the mobile ion, Å: what counts as a hop.
    temperature_K
        Temperature, K; the trajectories' own by default.
    host_species
        Symbols of the immobile sublattice, in whose frame displacements are measured; by default every other
        species. Without any, positions are used as they are.

    Returns
    -------
    TransportResult
        Intervals are Student intervals of the logarithm. Where fewer than five lasting hops were seen, or
        the slope is within two standard errors of zero (rattling, or circling a trap), the estimate is a
        one-sided 95 % upper limit. So it is where fewer than two ions went farther than a neighbouring site.

    Raises
    ------
    ConfigError
        For no trajectory, replicas that differ in ions or frame interval, fewer than eight frames, no
        temperature.
    UnknownSpeciesError
        If there is no such ion.

    Notes
    -----
    Limits: independent ions give H_R = 1, N ions in lock-step 1/N, a lone vacancy on the cation sublattice
    of cubic X3BA 0.69. The conductivity uses the integer formal charge whatever charges the force field has.
    How windows and errors are found: `simtools.analysers.diffusion.fit_slopes`.

    References
    ----------
    .. [1] F. Grasselli and S. Baroni, Nat. Phys. 15, 967 (2019): integer charges give the conductivity.
    """
    trajectories = tuple(trajectories)
    temperature_K = _check(trajectories, species, hop_length_A, temperature_K)
    first = trajectories[0]
    if host_species is None:
        host_species = tuple(sorted(set(first.species.tolist()) - {species}))
    blocks = blocked_displacements(
        [
            (item.in_host_frame(host_species) if host_species else item).positions_of(species)
            for item in trajectories
        ],
        frame_interval_ps=first.frame_interval_ps,
        hop_length_A=hop_length_A,
    )
    volume_A3 = float(np.average([item.mean_volume_A3 for item in trajectories], weights=blocks.weights_r))
    charge_e = int(first.formal_charges_e.get(species, 0))
    slopes = fit_slopes(blocks, hop_length_A=hop_length_A)
    tracer, charge = _diffusivities(blocks, slopes, hop_length_A)
    log_covariance = np.full((2, 2), nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = slopes.covariance / np.outer(slopes.values, slopes.values)
    for i, item in enumerate((tracer, charge)):
        if not item.is_limit:
            log_covariance[i, i] = relative[i, i]
    if not tracer.is_limit and not charge.is_limit:
        log_covariance = relative
    conversion = conductivity_S_per_cm(
        1.0,
        number_density_per_A3=blocks.n_ions / volume_A3,
        charge_e=charge_e,
        temperature_K=temperature_K,
    )
    logger.debug(
        "%s at %g K: %d hops, tracer window %s ps, collective window %s ps",
        species,
        temperature_K,
        blocks.n_hops,
        *slopes.windows_ps,
    )
    variance = slopes.covariance[0, 0]
    return TransportResult(
        species=species,
        temperature_K=temperature_K,
        n_replicas=blocks.n_replicas,
        n_ions=blocks.n_ions,
        charge_e=charge_e,
        volume_A3=volume_A3,
        n_hops=blocks.n_hops,
        tracer_diffusivity_cm2_per_s=tracer,
        charge_diffusivity_cm2_per_s=charge,
        haven_ratio=_ratio(tracer, charge, log_covariance, slopes.dof),
        nernst_einstein_conductivity_S_per_cm=_conductivity(tracer, conversion),
        ionic_conductivity_S_per_cm=_conductivity(charge, conversion),
        lag_times_ps=blocks.lag_times_ps,
        msd_A2=blocks.msd_k,
        msd_per_replica_A2=blocks.tracer_rbk.mean(axis=1),
        charge_msd_A2=blocks.charge_msd_k,
        local_exponent=local_exponent(blocks.lag_times_ps, blocks.msd_k),
        window_ps=slopes.windows_ps[0],
        charge_window_ps=slopes.windows_ps[1],
        log_covariance=log_covariance,
        log_dof=slopes.dof,
        effective_ions=float(blocks.n_ions * slopes.independent_stderr**2 / variance) if variance else nan,
        ordinary_least_squares_cm2_per_s=slopes.ordinary_slope * _CM2_PER_S_FROM_SLOPE,
        warnings=tuple(_warnings(blocks, slopes, tracer, charge, temperature_K)),
        provenance=collect_provenance(
            species=species,
            hop_length_A=hop_length_A,
            temperature_K=temperature_K,
            host_species=list(host_species),
        ),
    )


def _check(trajectories, species, hop_length_A, temperature_K):
    if not trajectories:
        raise ConfigError("analyse_transport needs at least one trajectory, got none")
    if not hop_length_A > 0:
        raise ConfigError(f"hop_length_A must be positive, got {hop_length_A!r}")
    first = trajectories[0]
    for number, item in enumerate(trajectories):
        if item.n_of(species) != first.n_of(species):
            raise ConfigError(
                f"replica {number} has {item.n_of(species)} {species}, replica 0 has {first.n_of(species)}: "
                "analyse different systems apart"
            )
        if not np.isclose(item.frame_interval_ps, first.frame_interval_ps, rtol=1e-6):
            raise ConfigError(
                f"replica {number} has a frame every {item.frame_interval_ps} ps, replica 0 every "
                f"{first.frame_interval_ps} ps: replicas must be sampled alike"
            )
    temperature_K = first.temperature_K if temperature_K is None else temperature_K
    if temperature_K is None or not temperature_K > 0:
        raise ConfigError(f"temperature_K must be given and positive, got {temperature_K!r}")
    return float(temperature_K)


def _diffusivities(blocks, slopes, hop_length_A):
    """Return the estimates of D* and D_sigma, cm²/s."""
    n, r = blocks.n_ions, blocks.n_replicas
    elapsed_ps = sum(blocks.n_frames) * blocks.frame_interval_ps
    hop_bound = poisson_upper_limit(blocks.n_hops) / (n * elapsed_ps) * hop_length_A**2
    samples = f"{r} replica{'s' if r > 1 else ''} x {blocks.n_blocks} time blocks"
    methods = (
        f"generalised least squares slope of the MSD, error from {samples}",
        f"generalised least squares slope of the collective MSD, error from {samples} and theory",
    )
    unmoved = _unmoved(blocks)
    estimates, still = [], bool(unmoved)
    for value, variance, dof, method in zip(
        slopes.values, np.diag(slopes.covariance), slopes.dof, methods, strict=True
    ):
        stderr = float(np.sqrt(variance))
        limited = still or not value > _SIGNIFICANT * stderr
        if slopes.fixed_sum and estimates and not still:
            limited, bound, how = True, 0.0, "the summed displacement is fixed by momentum conservation"
        elif unmoved:
            bound, how = hop_bound, f"Poisson limit from {blocks.n_hops} hops, uncorrelated; {unmoved}"
        elif limited:
            bound = max(float(value), 0.0) + stats.t.ppf(0.95, dof) * stderr
            how = f"no lasting growth in {blocks.n_hops} hops: limit from {method}"
        if limited:
            estimates.append(
                Estimate.limit(bound * _CM2_PER_S_FROM_SLOPE, method=how, n_eff=float(blocks.n_hops))
            )
            still = True
            continue
        low, high = log_interval(value, variance / value**2, dof)
        estimates.append(
            Estimate(
                value=float(value) * _CM2_PER_S_FROM_SLOPE,
                stderr=stderr * _CM2_PER_S_FROM_SLOPE,
                ci95=(low * _CM2_PER_S_FROM_SLOPE, high * _CM2_PER_S_FROM_SLOPE),
                method=method,
                n_eff=float(2 / 3 * value**2 / variance),
            )
        )
    return estimates


def _unmoved(blocks):
    """Return why this is not diffusion, or an empty string."""
    if blocks.n_hops < _FEWEST_HOPS:
        return f"{blocks.n_hops} lasting hops seen, {_FEWEST_HOPS} are needed"
    if blocks.n_travelled < _FEWEST_TRAVELLED:
        return (
            f"{blocks.n_hops} lasting hops seen, but {blocks.n_travelled} ions went farther than a neighbour"
        )
    return ""


def _ratio(tracer, charge, log_covariance, dof):
    if tracer.is_limit or charge.is_limit:
        return Estimate.limit(inf, method="no ratio: D* or D_sigma is a limit")
    ratio = tracer.value / charge.value
    parts = np.diag(log_covariance)
    variance = parts.sum() - 2 * log_covariance[0, 1]
    low, high = log_interval(ratio, variance, parts.sum() ** 2 / np.sum(parts**2 / dof))
    return Estimate(
        value=ratio,
        stderr=float(ratio * np.sqrt(variance)),
        ci95=(low, high),
        method="ratio of means over replicas, interval of its logarithm with the covariance of both",
        n_eff=float(2 / 3 / variance),
    )


def _conductivity(diffusivity, conversion):
    if conversion == 0:
        return Estimate.limit(0.0, method="no formal charge")
    return diffusivity.scaled(conversion)


def _warnings(blocks, slopes, tracer, charge, temperature_K):
    where = f"{temperature_K:g} K"
    unmoved = _unmoved(blocks)
    if unmoved:
        yield f"{where}: {unmoved}; only upper limits are given"
        return
    if tracer.is_limit:
        yield (
            f"{where}: ions hop but do not get away (a rattling cage or a trap), or the run is too short; "
            "only upper limits are given"
        )
        return
    if slopes.fixed_sum:
        yield f"{where}: the ions' summed displacement is fixed, so there is no charge diffusivity to measure"
    elif charge.is_limit:
        yield f"{where}: the summed displacement does not grow significantly; D_sigma is an upper limit"
    if not slopes.settled:
        yield f"{where}: the slope of the MSD still changes at the longest usable lag; run longer"
    if slopes.trend > 0.1:
        yield (
            f"{where}: the run is short beside the time in which jumps back die out; the slope of the MSD "
            f"was extrapolated by {-100 * slopes.trend:.0f} %"
        )
    if slopes.replicas_differ:
        yield f"{where}: replicas differ more than their time blocks explain; errors are their scatter"
    if abs(slopes.ordinary_slope - slopes.values[0]) > 3 * np.sqrt(slopes.covariance[0, 0]) + 0.02 * abs(
        slopes.values[0]
    ):
        yield f"{where}: ordinary and generalised least squares differ by more than three standard errors"
