"""Tracer diffusion along every direction, one species at a time. The window: diffusion.py."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.charge_shares import slope_estimate, unseen_hops_A2_per_ps
from simtools.analysers.diffusion import fit_slopes
from simtools.analysers.displacements import blocked_displacements
from simtools.analysers.kernels import tensors as kernels
from simtools.analysers.replicas import check_drift, check_replicas, default_host
from simtools.analysers.trapping import count_escapes
from simtools.analysers.uncertainty import covariance_of_means, poisson_upper_limit
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import A2_PER_PS_TO_CM2_PER_S

__all__ = ["TracerTensorResult", "analyse_tracer_tensor"]

_FEWEST_TRAVELLED = 2  # as in transport.py
_AXES = ("xx", "yy", "zz", "yz", "xz", "xy")


@dataclass(frozen=True, eq=False, kw_only=True)
class TracerTensorResult(Result):
    """Tracer diffusion tensor of one species at one temperature.

    `components` holds xx, yy, zz, yz, xz and xy; `principal_values_cm2_per_s` are ascending, their axes the
    columns of `principal_axes`. `isotropy_p_value` is the chance of components as different from D times the
    unit tensor as these (Hotelling): small where diffusion is anisotropic, nan where no more than five
    degrees of freedom stand behind the covariance.
    """

    species: str
    temperature_K: float | None = quantity("K")
    n_replicas: int
    n_ions: int
    n_hops: int
    components_cm2_per_s: dict = quantity("cm^2/s")
    mean_cm2_per_s: Estimate = quantity("cm^2/s")
    covariance: np.ndarray = quantity("cm^4/s^2", shape="(6, 6)")
    dof: float
    principal_values_cm2_per_s: np.ndarray = quantity("cm^2/s", shape="(3,)")
    principal_axes: np.ndarray = quantity("1", shape="(3, 3)")
    isotropy_p_value: float
    window_ps: np.ndarray = quantity("ps", shape="(2,)")


def analyse_tracer_tensor(trajectories, *, species, hop_length_A, host_species=None):
    r"""Return the tracer diffusion tensor.

    .. math:: D_{ij} = \frac12 \frac{d}{dt} \langle \Delta r_i \Delta r_j \rangle

    Parameters
    ----------
    trajectories
        Replicas (`Trajectory`), production only.
    species
        Symbol of the ion.
    hop_length_A
        Distance between its neighbouring sites, Å.
    host_species
        Symbols in whose centre-of-mass frame displacements are measured; by default the species of opposite
        formal charge, an empty tuple for positions as they are.

    Returns
    -------
    TracerTensorResult
        A third of the trace is D* of `analyse_transport`, and its error is the same. Diagonal components are
        limits where they are within two standard errors of zero, fewer than five lasting hops were seen, or,
        as in `analyse_transport`, vacancies only circle a trap.

    Raises
    ------
    ConfigError
        As `analyse_transport`.
    UnknownSpeciesError
        If there is no such ion.

    Notes
    -----
    All components share the weights of the isotropic fit, so the tensor turns with the coordinates exactly.
    Limits: isotropic walkers give D times the unit tensor, ions in a plane a zero principal value.
    """
    trajectories = tuple(trajectories)
    if not trajectories:
        raise ConfigError("analyse_tracer_tensor needs at least one trajectory, got none")
    check_replicas(trajectories, species)
    first = trajectories[0]
    if host_species is None:
        host_species = default_host(species, first.species.tolist(), first.formal_charges_e)
    framed = [item.in_host_frame(host_species) if host_species else item for item in trajectories]
    positions = [item.positions_of(species) for item in framed]
    if not host_species:
        check_drift(positions, hop_length_A)
    blocks = blocked_displacements(
        positions, frame_interval_ps=first.frame_interval_ps, hop_length_A=hop_length_A
    )
    slopes = fit_slopes(blocks, hop_length_A=hop_length_A)
    weights_k, correlation = slopes.weights_qk[0], float(slopes.correlation_blocks[0])
    used = np.flatnonzero(weights_k)
    tensors = np.array(
        [
            kernels.blocked_tensors(np.ascontiguousarray(r), blocks.lags[used], blocks.n_blocks)
            for r in positions
        ]
    )
    influence_rbv = np.einsum("rbkv,k->rbv", tensors, weights_k[used]) / 2
    values = blocks.weights_r @ influence_rbv.mean(axis=1)
    measured = covariance_of_means(influence_rbv, weights_r=blocks.weights_r, correlation=correlation)
    covariance = measured.covariance
    trace = np.array([1.0, 1, 1, 0, 0, 0]) / 3
    raw = trace @ covariance @ trace
    wanted = slopes.covariance[0, 0] / 36
    covariance = covariance * (wanted / raw if raw > 0 else 1.0)
    factor, dof = A2_PER_PS_TO_CM2_PER_S, float(slopes.dof[0])
    error = np.sqrt(np.diag(covariance))
    matrix = values[np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])]
    principal, axes = np.linalg.eigh(matrix)
    escapes = count_escapes(
        trajectories, positions, species=species, hop_length_A=hop_length_A, window=blocks.hop_window
    )
    least, why = _least_A2_per_ps(blocks, escapes, slopes.values[0], hop_length_A)
    return TracerTensorResult(
        species=species,
        temperature_K=first.temperature_K,
        n_replicas=len(trajectories),
        n_ions=blocks.n_ions,
        n_hops=blocks.n_hops,
        components_cm2_per_s={
            name: _component(values[v], error[v], dof, 3 * least, why, diagonal=v < 3).scaled(factor)
            for v, name in enumerate(_AXES)
        },
        mean_cm2_per_s=_component(trace @ values, np.sqrt(wanted), dof, least, why, diagonal=True).scaled(
            factor
        ),
        covariance=covariance * factor**2,
        dof=dof,
        principal_values_cm2_per_s=principal * factor,
        principal_axes=axes,
        isotropy_p_value=_isotropy(values, covariance, dof),
        window_ps=slopes.windows_ps[0],
        provenance=collect_provenance(
            species=species, hop_length_A=hop_length_A, host_species=list(host_species)
        ),
    )


def _least_A2_per_ps(blocks, escapes, slope_A2_per_ps, hop_length_A):
    """Return the smallest limit of D, and why there can be no value; 0 and nothing where there can."""
    ion_time_ps = blocks.n_ions * blocks.observed_frames * blocks.frame_interval_ps
    few = unseen_hops_A2_per_ps(blocks, hop_length_A)
    if few:
        return few / 6, ""
    trapped = escapes.verdict(slope_A2_per_ps * ion_time_ps)
    if trapped:
        return escapes.bound_A2 / ion_time_ps / 6, f"{trapped}: "
    if escapes.n_vacancies == 0 and blocks.n_travelled < _FEWEST_TRAVELLED:
        bound = poisson_upper_limit(blocks.n_hops) / ion_time_ps * hop_length_A**2
        return bound / 6, f"{blocks.n_travelled} ions went farther than a neighbour: "
    return 0.0, ""


def _component(value, error, dof, least, why, *, diagonal):
    value, error = float(value), float(error)
    if diagonal:
        method = "slope of the mean squared displacement along one axis or all"
        estimate = slope_estimate(value, error, dof, method=method, least=least)
        if not why:
            return estimate
        return Estimate.limit(estimate.upper_limit, method=f"{why}limit from the {method}")
    half = float(stats.t.ppf(0.975, dof)) * error
    return Estimate(
        value=value,
        stderr=error,
        ci95=(value - half, value + half),
        method="slope of the mean displacement product, Student interval",
        n_eff=dof,
    )


def _isotropy(values, covariance, dof):
    """Return the p-value of xx = yy = zz and yz = xz = xy = 0 (Hotelling's T²)."""
    contrasts = np.zeros((5, 6))
    contrasts[0, :2], contrasts[1, 1:3] = (1, -1), (1, -1)
    contrasts[2:, 3:] = np.eye(3)
    apart, spread = contrasts @ values, contrasts @ covariance @ contrasts.T
    if not np.isfinite(spread).all() or np.linalg.matrix_rank(spread) < 5 or dof <= 5:
        return np.nan
    squared = apart @ np.linalg.solve(spread, apart)
    return float(stats.f.sf(squared * (dof - 4) / (5 * dof), 5, dof - 4))
