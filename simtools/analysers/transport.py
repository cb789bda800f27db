"""Diffusivities, conductivities and the Haven ratio of one mobile species at one temperature."""

import logging
from dataclasses import dataclass
from math import inf, nan

import numpy as np
from scipy import stats

from simtools.analysers.diffusion import NOTABLE_TREND, fit_slopes
from simtools.analysers.displacements import HOP_FRACTION, blocked_displacements
from simtools.analysers.replicas import (
    check_drift,
    check_replicas,
    default_host,
    few_replicas,
    formal_charge_e,
    hopping_hosts,
)
from simtools.analysers.trapping import count_escapes
from simtools.analysers.uncertainty import log_interval, poisson_upper_limit
from simtools.analysers.window import local_exponent
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import A2_PER_PS_TO_CM2_PER_S, conductivity_S_per_cm

__all__ = ["TransportResult", "analyse_transport", "transport_of_blocks"]

logger = logging.getLogger(__name__)

_FEWEST_HOPS = 5
_FEWEST_TRAVELLED = 2
_MANY_TRAVELLED = 0.1
_SIGNIFICANT = 2.0
_FLAT_CORRELATION_DOF = 3.0  # a correlation of which nothing is known has the variance 1/3
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
    `charge_e` is None where the trajectories do not give the formal charge: conductivities are then limits
    of infinity, for a charge of zero limits of zero. `n_escapes` counts how often a vacancy settled more
    than 2.12 hops from where it was, None where the sites are unknown.
    """

    species: str
    temperature_K: float = quantity("K")
    n_replicas: int
    n_ions: int
    charge_e: int | None = quantity("e")
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
    n_escapes: int | None = None
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
        Symbols of the immobile sublattice, in whose frame displacements are measured; by default the species
        of opposite formal charge, or every other species where no charges are known. Without any, positions
        are used as they are, and a steady drift is refused.

    Returns
    -------
    TransportResult
        Intervals are Student intervals of the logarithm. Where fewer than five lasting hops were seen, or
        the slope is within two standard errors of zero (rattling, or circling a trap), the estimate is a
        one-sided 95 % upper limit. Where the trajectories carry `lattice_sites`, so it is where vacancies
        stay within two hops of where they were or get away far less often than the slope implies; elsewhere
        where fewer than two ions went farther than a neighbouring site.

    Raises
    ------
    ConfigError
        For no trajectory; replicas that differ in ions, temperature, formal charges, frame interval, or
        volume by over 2 %; wrapped positions; a formal charge that is not an integer; fewer than eight
        frames; no temperature; a steady drift without a host.
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
    charge_e = formal_charge_e(first, species)
    if host_species is None:
        host_species = default_host(species, first.species.tolist(), first.formal_charges_e)
    framed = [item.in_host_frame(host_species) if host_species else item for item in trajectories]
    positions = [item.positions_of(species) for item in framed]
    if not host_species:
        check_drift(positions, hop_length_A)
    blocks = blocked_displacements(
        positions, frame_interval_ps=first.frame_interval_ps, hop_length_A=hop_length_A
    )
    escapes = count_escapes(
        trajectories, positions, species=species, hop_length_A=hop_length_A, window=blocks.hop_window
    )
    host_hops = hopping_hosts(
        framed, host_species, window=blocks.hop_window, threshold_A=HOP_FRACTION * hop_length_A
    )
    volume_A3 = float(np.average([item.mean_volume_A3 for item in trajectories], weights=blocks.weights_r))
    return transport_of_blocks(
        blocks,
        species=species,
        hop_length_A=hop_length_A,
        temperature_K=temperature_K,
        charge_e=charge_e,
        volume_A3=volume_A3,
        escapes=escapes,
        host_species=host_species,
        host_hops=host_hops,
    )


def transport_of_blocks(
    blocks, *, species, hop_length_A, temperature_K, charge_e, volume_A3, escapes, host_species, host_hops
):
    """Return the `TransportResult` of displacements that are already summed, in memory or from a stream.

    Parameters
    ----------
    blocks
        `simtools.analysers.displacements.DisplacementBlocks` of one species.
    species, hop_length_A, temperature_K, host_species
        As for `analyse_transport`.
    charge_e
        Integer formal charge, e, or None where it is unknown.
    volume_A3
        Mean volume of the cell, Å³.
    escapes
        `simtools.analysers.trapping.Escapes`.
    host_hops
        {host species: lasting hops} of the host species that hop.
    """
    slopes = fit_slopes(blocks, hop_length_A=hop_length_A)
    trapped = escapes.verdict(slopes.values[0] * _ion_time_ps(blocks))
    tracer, charge = _diffusivities(blocks, slopes, hop_length_A, escapes, trapped)
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
        charge_e=charge_e or 0,
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
        haven_ratio=_ratio(tracer, charge, log_covariance, slopes),
        nernst_einstein_conductivity_S_per_cm=_conductivity(tracer, conversion, charge_e),
        ionic_conductivity_S_per_cm=_conductivity(charge, conversion, charge_e),
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
        n_escapes=escapes.n_escapes if escapes.n_vacancies else None,
        warnings=tuple(
            f"{temperature_K:g} K: {note}"
            for note in (
                *_warnings(blocks, slopes, tracer, charge, escapes, trapped),
                *_doubts(tracer, escapes, host_hops, charge_e, species),
                *few_replicas(blocks.n_replicas, charge),
            )
        ),
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
    check_replicas(trajectories, species)
    first = trajectories[0]
    temperature_K = first.temperature_K if temperature_K is None else temperature_K
    if temperature_K is None or not temperature_K > 0:
        raise ConfigError(f"temperature_K must be given and positive, got {temperature_K!r}")
    return float(temperature_K)


def _ion_time_ps(blocks):
    """Return the time over which hops were looked for, summed over ions and replicas, ps."""
    return blocks.n_ions * blocks.observed_frames * blocks.frame_interval_ps


def _diffusivities(blocks, slopes, hop_length_A, escapes, trapped):
    """Return the estimates of D* and D_sigma, cm²/s."""
    r = blocks.n_replicas
    hop_bound = poisson_upper_limit(blocks.n_hops) / _ion_time_ps(blocks) * hop_length_A**2
    samples = f"{r} replica{'s' if r > 1 else ''} x {blocks.n_blocks} time blocks"
    methods = (
        f"generalised least squares slope of the MSD, error from {samples}",
        f"generalised least squares slope of the collective MSD, error from {samples} and theory",
    )
    unmoved = _unmoved(blocks, escapes)
    estimates, still = [], bool(unmoved or trapped)
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
            reason = trapped or f"no significant slope in {blocks.n_hops} hops"
            how = f"{reason}: limit from {method}"
            if trapped:
                bound = max(bound, escapes.bound_A2 / _ion_time_ps(blocks))
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


def _unmoved(blocks, escapes):
    """Return why this is not diffusion, or an empty string."""
    if blocks.n_hops < _FEWEST_HOPS:
        return f"{blocks.n_hops} lasting hops seen, {_FEWEST_HOPS} are needed"
    if escapes.n_vacancies == 0 and blocks.n_travelled < _FEWEST_TRAVELLED:
        return (
            f"{blocks.n_hops} lasting hops seen, but {blocks.n_travelled} ions went farther than a neighbour"
        )
    return ""


def _ratio(tracer, charge, log_covariance, slopes):
    if tracer.is_limit or charge.is_limit:
        return Estimate.limit(inf, method="no ratio: D* or D_sigma is a limit")
    ratio = tracer.value / charge.value
    parts, shared = np.diag(log_covariance), log_covariance[0, 1]
    variance = parts.sum() - 2 * shared
    correlation = shared / np.sqrt(parts.prod())
    # how well that variance is known: both errors, and the correlation, of which a few blocks say little
    spread = np.sum(2 * (parts - shared) ** 2 / slopes.dof)
    spread += 4 * parts.prod() * (1 - correlation**2) ** 2 / (slopes.correlation_dof + _FLAT_CORRELATION_DOF)
    low, high = log_interval(ratio, variance, max(2 * variance**2 / spread, 1.0) if spread > 0 else np.inf)
    return Estimate(
        value=ratio,
        stderr=float(ratio * np.sqrt(variance)),
        ci95=(low, high),
        method="ratio of means over replicas, interval of its logarithm with the covariance of both",
        n_eff=float(2 / 3 / variance),
    )


def _conductivity(diffusivity, conversion, charge_e):
    if charge_e is None:
        return Estimate.limit(inf, method="formal charge unknown: set Trajectory.formal_charges_e")
    if charge_e == 0:
        return Estimate.limit(0.0, method="formal charge is zero: no conductivity")
    return diffusivity.scaled(conversion)


def _warnings(blocks, slopes, tracer, charge, escapes, trapped):
    unmoved = _unmoved(blocks, escapes)
    if unmoved:
        yield f"{unmoved}; only upper limits are given"
        return
    if trapped:
        yield f"{trapped}; only upper limits are given"
        return
    if tracer.is_limit:
        if blocks.n_travelled > _MANY_TRAVELLED * blocks.n_ions * blocks.n_replicas:
            why = "many ions travelled, but the slope of the MSD is not significant; the run is too short"
        else:
            why = "ions hop but do not get away (a rattling cage or a trap), or the run is too short"
        yield f"{why}; only upper limits are given"
        return
    if slopes.fixed_sum:
        yield "the ions' summed displacement is fixed, so there is no charge diffusivity to measure"
    elif charge.is_limit:
        yield "the summed displacement does not grow significantly; D_sigma is an upper limit"
    if not slopes.settled:
        yield "the slope of the MSD still changes at the longest usable lag; run longer"
    if slopes.trend > NOTABLE_TREND:
        yield (
            f"the run is short beside the time in which jumps back die out; the slope of the MSD "
            f"was extrapolated by {-100 * slopes.trend:.0f} %"
        )
    if slopes.replicas_differ:
        yield "replicas differ more than their time blocks explain; errors are their scatter"
    if abs(slopes.ordinary_slope - slopes.values[0]) > 3 * np.sqrt(slopes.covariance[0, 0]) + 0.02 * abs(
        slopes.values[0]
    ):
        yield "ordinary and generalised least squares differ by more than three standard errors"


def _doubts(tracer, escapes, host_hops, charge_e, species):
    """Yield what the displacements alone cannot tell."""
    if not tracer.is_limit and escapes.n_vacancies == 0 and escapes.n_far_ions < _FEWEST_TRAVELLED:
        yield (
            "no ion went beyond two hops, and without lattice_sites vacancies cannot be followed: circling "
            "around a partner cannot be told from diffusion"
        )
    for name, count in host_hops.items():
        yield (
            f"{name} belongs to the host in whose frame displacements are measured, but made {count} lasting "
            "hops; name an immobile host_species"
        )
    if charge_e is None:
        yield f"the formal charge of {species} is unknown: no conductivity is given"
