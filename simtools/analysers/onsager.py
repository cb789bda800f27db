"""Onsager coefficients between all species, conductivity and transport numbers. Units: Å, ps, e."""

from dataclasses import dataclass, replace

import numpy as np

from simtools.analysers.bootstrap import bootstrap_covariance
from simtools.analysers.charge_shares import (
    independent_share,
    quadratic_form,
    slope_estimate,
    transport_numbers,
    unseen_hops_A2_per_ps,
)
from simtools.analysers.diffusion import fit_slopes
from simtools.analysers.displacements import blocked_displacements
from simtools.analysers.molecular_ions import bound_hydrogen
from simtools.analysers.replicas import check_replicas, default_host, few_replicas, formal_charge_e
from simtools.analysers.uncertainty import covariance_of_means
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import A2_PER_PS_TO_CM2_PER_S, conductivity_S_per_cm

__all__ = ["OnsagerResult", "analyse_onsager", "summed_displacements"]

_THEORY_DOF = 20.0
_SIGNIFICANT = 2.0
_BOOTSTRAP_APART = 2.0


@dataclass(frozen=True, eq=False, kw_only=True)
class OnsagerResult(Result):
    r"""Coupled diffusion of all species at one temperature.

    `coefficients_A2_per_ps` is :math:`\Lambda_{ab} = L_{ab} V k_B T = \frac16 \frac{d}{dt} \langle \Delta R_a
    \cdot \Delta R_b\rangle` with R the sum over the ions of a species; `covariance` is that of its upper
    triangle in the order of ``numpy.triu_indices``. The Nernst-Einstein conductivity adds up all
    species' tracer diffusion, the Haven ratio is that over the conductivity. Transport numbers belong to the
    frame named in `frame`; the conductivity of a neutral cell does not.
    """

    species: tuple
    charges_e: tuple
    n_ions: tuple
    temperature_K: float = quantity("K")
    volume_A3: float = quantity("angstrom^3")
    n_replicas: int
    frame: str
    coefficients_A2_per_ps: np.ndarray = quantity("angstrom^2/ps", shape="(n_species, n_species)")
    stderr_A2_per_ps: np.ndarray = quantity("angstrom^2/ps", shape="(n_species, n_species)")
    covariance: np.ndarray = quantity("angstrom^4/ps^2", shape="(n_pairs, n_pairs)")
    dof: float
    ionic_conductivity_S_per_cm: Estimate = quantity("S/cm")
    conductivity_per_axis_S_per_cm: tuple = quantity("S/cm")
    nernst_einstein_conductivity_S_per_cm: Estimate = quantity("S/cm")
    haven_ratio: Estimate = quantity("1")
    bootstrap_stderr_S_per_cm: float = quantity("S/cm")
    transport_numbers: dict = quantity("1")
    window_ps: np.ndarray = quantity("ps", shape="(2,)")
    lag_times_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    charge_displacement_A2: np.ndarray = quantity("e^2 angstrom^2", shape="(n_lags,)")
    warnings: tuple = ()

    def correlation_coefficients(self):
        """Return the coefficients as correlations, nan for species within two standard errors of rest."""
        diagonal = np.diag(self.coefficients_A2_per_ps)
        moves = diagonal > _SIGNIFICANT * np.diag(self.stderr_A2_per_ps)
        scale = np.sqrt(np.where(moves, diagonal, np.nan))
        return self.coefficients_A2_per_ps / np.outer(scale, scale)


def summed_displacements(trajectory, species):
    """Return each species' summed displacement since the first frame, shape (n_frames, n_species, 3)."""
    r_tnc = trajectory.positions_A
    return np.stack(
        [
            (r_tnc[:, trajectory.indices_of(name)] - r_tnc[0, trajectory.indices_of(name)]).sum(axis=1)
            for name in species
        ],
        axis=1,
    )


def analyse_onsager(
    trajectories, *, mobile, hop_length_A, temperature_K=None, host_species=None, n_resamples=200, seed=0
):
    r"""Return Onsager coefficients between all species, the conductivity and the transport numbers.

    .. math::
        L_{ab} = \frac{1}{6 V k_B T} \lim_{t\to\infty} \frac{d}{dt}
        \langle \Delta R_a \cdot \Delta R_b \rangle,
        \quad \sigma = e^2 \sum_{ab} z_a z_b L_{ab}, \quad
        t_a = \frac{e^2}{\sigma} z_a \sum_b z_b L_{ab}

    Parameters
    ----------
    trajectories
        Replicas (`Trajectory`) with integer formal charges of every species, production only. Molecular ions
        are one ion each (`with_molecular_ions`).
    mobile
        Symbol of the ion whose tracer diffusion tells when jumps back have died out.
    hop_length_A
        Distance between its neighbouring sites, Å.
    temperature_K
        Temperature, K; the trajectories' own by default.
    host_species
        Symbols in whose centre-of-mass frame coefficients and transport numbers are given; by default those
        of charge opposite to `mobile`. An empty tuple takes positions as they are.
    n_resamples, seed
        Of the bootstrap that the conductivity's error is compared with.

    Returns
    -------
    OnsagerResult

    Raises
    ------
    ConfigError
        As `analyse_transport`; for a formal charge missing or not an integer; for a charged cell without a
        host, whose conductivity depends on the frame; where no species is charged.
    UnknownSpeciesError
        If there is no such ion.

    Notes
    -----
    All pairs share one window of lags and one set of weights, so sum rules hold exactly: the conductivity is
    the quadratic form of the matrix, and a common drift of a neutral cell leaves it unchanged. Window and
    error of the total charge are those of the collective slope in `fit_slopes`. The covariance of the matrix
    is that of time blocks and replicas pooled, with 20 degrees of freedom, with that of Brownian walkers,
    :math:`\mathrm{cov}(L_{ab}, L_{cd}) = \tfrac{r}{2} (L_{ac} L_{bd} + L_{ad} L_{bc})`. Beside it stands a
    moving-block bootstrap; a warning says when the two errors differ by more than a factor of two.

    A molecule whose charge is split over its atoms has the same slope in the end, but its turning dipole adds
    noise, and a rise at lags shorter than its reorientation: group it first. A warning says so where hydrogen
    is bound and charged: in 12 ps of 27 hydroxides of D 1e-5 cm2/s that turned in 0.2 ps, sigma came out up
    to three times too large, and its interval missed the truth in two cases of five.

    Limits: independent ions give a diagonal matrix N_a D*_a; a salt whose pairs move as one gives zero.

    References
    ----------
    .. [1] F. Grasselli and S. Baroni, Nat. Phys. 15, 967 (2019): integer charges give the conductivity.
    .. [2] K. D. Fong, J. Self, B. D. McCloskey and K. A. Persson, Macromolecules 54, 2575 (2021):
       Onsager coefficients and transport numbers from displacements.
    """
    trajectories = tuple(trajectories)
    temperature_K = _temperature(trajectories, mobile, temperature_K)
    first = trajectories[0]
    species, counts = np.unique(first.species, return_counts=True)
    species = tuple(species.tolist())
    charges = np.array([_charge(first, name) for name in species], dtype=float)
    if host_species is None:
        host_species = default_host(mobile, species, first.formal_charges_e)
    if not charges.any():
        raise ConfigError("every formal charge is zero, so there is no conductivity: check formal_charges_e")
    if charges @ counts != 0 and not host_species:
        raise ConfigError(
            f"the cell carries a charge of {charges @ counts:+g} e, so sigma depends on the frame: "
            "name host_species"
        )
    framed = [item.in_host_frame(host_species) if host_species else item for item in trajectories]
    # the window must not depend on a drift, even where coefficients are asked for without a host
    window_host = host_species or default_host(mobile, species, first.formal_charges_e)
    blocks = blocked_displacements(
        [
            (item.in_host_frame(window_host) if window_host else item).positions_of(mobile)
            for item in trajectories
        ],
        frame_interval_ps=first.frame_interval_ps,
        hop_length_A=hop_length_A,
    )
    summed = [summed_displacements(item, species) for item in framed]
    raw = [_blocked_pairs(r_tsc, blocks, (1.0,)) for r_tsc in summed]
    smooth = [_blocked_pairs(r_tsc, blocks, blocks.smoothing) for r_tsc in summed]
    pairs_rbkv = np.array(smooth)  # v: species pairs (upper triangle) times axes
    form = quadratic_form(charges)
    n_mobile = blocks.n_ions
    total = replace(
        blocks,
        charge_rbk=np.einsum("rbkpc,p->rbk", np.array(raw), form) / n_mobile,
        smooth_charge_rbk=np.einsum("rbkpc,p->rbk", pairs_rbkv, form) / n_mobile,
    )
    slopes = fit_slopes(total, hop_length_A=hop_length_A)
    weights_k, correlation = slopes.weights_qk[1], float(slopes.correlation_blocks[1])
    influence_rbpc = np.einsum("rbkpc,k->rbpc", pairs_rbkv, weights_k) / 2
    influence_rbp = influence_rbpc.mean(axis=-1)
    values_p = blocks.weights_r @ influence_rbp.mean(axis=1)
    matrix = _symmetric(values_p, len(species))
    measured = covariance_of_means(influence_rbp, weights_r=blocks.weights_r, correlation=correlation)
    # relative variance of a collective slope, all doubts included, from the total charge's own fit
    known = slopes.values[1] != 0 and not slopes.fixed_sum
    relative = slopes.covariance[1, 1] / slopes.values[1] ** 2 if known else np.inf
    dof = float(slopes.dof[1])
    covariance = _pooled(measured, _wishart(_moved(pairs_rbkv, blocks, weights_k), min(relative, 1.0)))
    if known:
        variance = form @ covariance @ form
        covariance *= (form @ values_p) ** 2 * relative / variance
    factor = conductivity_S_per_cm(
        A2_PER_PS_TO_CM2_PER_S, number_density_per_A3=1.0, charge_e=1, temperature_K=temperature_K
    ) / float(np.average([item.mean_volume_A3 for item in trajectories], weights=blocks.weights_r))
    sigma = float(form @ values_p)
    error = float(np.sqrt(max(form @ covariance @ form, 0.0)))
    warnings = []
    least = first.formal_charges_e[mobile] ** 2 * n_mobile * unseen_hops_A2_per_ps(blocks, hop_length_A) / 6
    conductivity = slope_estimate(
        sigma,
        error,
        dof,
        fixed=slopes.fixed_sum,
        method="Einstein-Helfand slope of the summed charge",
        least=least,
    ).scaled(factor)
    if conductivity.is_limit:
        warnings.append("the charge displacement does not grow significantly; only an upper limit is given")
    einstein, ratio = independent_share(
        framed,
        blocks,
        slopes,
        tuple(zip(species, charges, strict=True)),
        np.einsum("rbp,p->rb", influence_rbp, form),
        (sigma, error, dof, conductivity.is_limit, least),
    )
    axes = np.einsum("rbpc,p->rbc", influence_rbpc, form)
    bootstrap = bootstrap_covariance(
        np.einsum("rbp,p->rb", influence_rbp, form)[..., None],
        weights_r=blocks.weights_r,
        correlation=correlation,
        n_resamples=n_resamples,
        seed=seed,
    )
    resampled = float(np.sqrt(bootstrap[0, 0]))
    if known and not 1 / _BOOTSTRAP_APART < resampled / error < _BOOTSTRAP_APART:
        warnings.append(
            f"the block bootstrap gives {resampled / error:.2g} times the error that blocks and theory give"
        )
    protons = [z for name, z in zip(species, charges, strict=True) if name in ("H", "D")]
    centres = bound_hydrogen(first) if any(protons) else ()
    if centres:
        warnings.append(
            f"hydrogen bound to {', '.join(centres)} is counted as an ion of its own: as the molecules turn, "
            "sigma comes out too large and its interval and those of the transport numbers too narrow; make "
            "each molecule one ion (with_molecular_ions; --molecule)"
        )
    if not slopes.settled:
        warnings.append("the mobile ion's slope still changes at the longest usable lag; run longer")
    warnings += few_replicas(len(trajectories), conductivity)
    return OnsagerResult(
        species=species,
        charges_e=tuple(int(z) for z in charges),
        n_ions=tuple(int(n) for n in counts),
        temperature_K=temperature_K,
        volume_A3=float(np.average([item.mean_volume_A3 for item in trajectories], weights=blocks.weights_r)),
        n_replicas=len(trajectories),
        frame=f"centre of mass of {', '.join(host_species)}" if host_species else "positions as they are",
        coefficients_A2_per_ps=matrix,
        stderr_A2_per_ps=_symmetric(np.sqrt(np.diag(covariance)), len(species)),
        covariance=covariance,
        dof=dof,
        ionic_conductivity_S_per_cm=conductivity,
        conductivity_per_axis_S_per_cm=tuple(
            _axis(
                axes[..., c], blocks.weights_r, correlation, error**2 / max(sigma**2, 1e-300), 3 * least
            ).scaled(factor)
            for c in range(3)
        ),
        nernst_einstein_conductivity_S_per_cm=einstein.scaled(factor),
        haven_ratio=ratio,
        bootstrap_stderr_S_per_cm=resampled * factor,
        transport_numbers=transport_numbers(species, charges, values_p, covariance, dof, conductivity),
        window_ps=slopes.windows_ps[1],
        lag_times_ps=blocks.lag_times_ps,
        charge_displacement_A2=total.charge_msd_k * n_mobile,
        warnings=tuple(f"{temperature_K:g} K: {note}" for note in warnings),
        provenance=collect_provenance(
            mobile=mobile,
            hop_length_A=hop_length_A,
            temperature_K=temperature_K,
            host_species=list(host_species),
            n_resamples=n_resamples,
            seed=seed,
        ),
    )


def _temperature(trajectories, mobile, temperature_K):
    if not trajectories:
        raise ConfigError("analyse_onsager needs at least one trajectory, got none")
    check_replicas(trajectories, mobile)
    temperature_K = trajectories[0].temperature_K if temperature_K is None else temperature_K
    if temperature_K is None or not temperature_K > 0:
        raise ConfigError(f"temperature_K must be given and positive, got {temperature_K!r}")
    return float(temperature_K)


def _charge(trajectory, name):
    charge = formal_charge_e(trajectory, name)
    if charge is None:
        raise ConfigError(f"formal_charges_e has no entry for {name}: every species needs its integer charge")
    return charge


def _symmetric(values_p, n):
    matrix = np.zeros((n, n))
    matrix[np.triu_indices(n)] = values_p
    return matrix + np.triu(matrix, 1).T


def _blocked_pairs(r_tsc, blocks, smoothing):
    """Return products of summed displacements averaged per time block: (n_blocks, n_lags, n_pairs, 3)."""
    if len(smoothing) > 1:
        r_tsc = np.apply_along_axis(np.convolve, 0, r_tsc, smoothing, "valid")
    n_blocks = blocks.n_blocks
    i, j = np.triu_indices(r_tsc.shape[1])
    mean_bkpc = np.empty((n_blocks, len(blocks.lags), len(i), 3))
    for k, lag in enumerate(blocks.lags):
        moved = r_tsc[lag:] - r_tsc[:-lag]
        edges = np.arange(n_blocks + 1) * len(moved) // n_blocks
        sums = np.add.reduceat(moved[:, i] * moved[:, j], edges[:-1], axis=0)
        mean_bkpc[:, k] = sums / np.diff(edges)[:, None, None]
    return mean_bkpc


def _moved(pairs_rbkv, blocks, weights_k):
    """Return the mean displacement products over twice their lag, averaged over the lags that were used.

    Beside the slope they hold what vibrations add, which scatters, too: without it a species at rest would
    have next to no error.
    """
    used = np.flatnonzero(weights_k)
    mean_kp = np.einsum("r,rkp->kp", blocks.weights_r, pairs_rbkv.mean(axis=(1, 4)))
    moved_p = (mean_kp[used] / (2 * blocks.lag_times_ps[used, None])).mean(axis=0)
    return _symmetric(moved_p, round((np.sqrt(8 * len(moved_p) + 1) - 1) / 2))


def _wishart(matrix, relative):
    i, j = np.triu_indices(len(matrix))
    return (
        relative
        / 2
        * (matrix[np.ix_(i, i)] * matrix[np.ix_(j, j)] + matrix[np.ix_(i, j)] * matrix[np.ix_(j, i)])
    )


def _pooled(measured, theory):
    return (_THEORY_DOF * theory + measured.dof * measured.covariance) / (_THEORY_DOF + measured.dof)


def _axis(influence_rb, weights_r, correlation, relative, least):
    """Return one direction's slope; its own walker has three times the relative variance of the mean."""
    value = float(weights_r @ influence_rb.mean(axis=1))
    measured = covariance_of_means(influence_rb[..., None], weights_r=weights_r, correlation=correlation)
    variance = (_THEORY_DOF * 3 * relative * value**2 + measured.dof * measured.covariance[0, 0]) / (
        _THEORY_DOF + measured.dof
    )
    return slope_estimate(
        value,
        float(np.sqrt(variance)),
        _THEORY_DOF + measured.dof,
        method="Einstein-Helfand slope along one axis",
        least=least,
    )
