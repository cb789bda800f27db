"""What each species adds to the conductivity: Nernst-Einstein, Haven ratio and transport numbers."""

import numpy as np
from scipy import stats

from simtools.analysers.kernels import msd as kernels
from simtools.analysers.uncertainty import covariance_of_means, log_interval, poisson_upper_limit
from simtools.core.results import Estimate

__all__ = [
    "independent_share",
    "quadratic_form",
    "slope_estimate",
    "transport_numbers",
    "unseen_hops_A2_per_ps",
]

_SIGNIFICANT = 2.0
_FEWEST_HOPS = 5  # as in transport.py
_ROUNDING = 1e-12  # of a share, in sums of double precision


def quadratic_form(charges):
    """Return what turns the upper triangle of a symmetric matrix into z' L z, shape (n_pairs,)."""
    i, j = np.triu_indices(len(charges))
    return charges[i] * charges[j] * np.where(i == j, 1.0, 2.0)


def unseen_hops_A2_per_ps(blocks, hop_length_A):
    """Return the largest 6 D* that fewer than five hops allow (95 %, Poisson), 0 for more, Å²/ps."""
    if blocks.n_hops >= _FEWEST_HOPS:
        return 0.0
    ion_time_ps = blocks.n_ions * blocks.observed_frames * blocks.frame_interval_ps
    return poisson_upper_limit(blocks.n_hops) / ion_time_ps * hop_length_A**2


def slope_estimate(value, error, dof, *, method, fixed=False, least=0.0):
    """Return the `Estimate` of a slope that cannot be negative: a limit within two standard errors of zero.

    Parameters
    ----------
    value, error
        Slope and standard error, any unit.
    dof
        Degrees of freedom of the error.
    method
        How the slope was found.
    fixed
        True where the displacement is fixed and there is no slope to measure.
    least
        Where positive, too few hops were seen for a value: the limit is no lower than this.
    """
    if least > 0:
        return Estimate.limit(
            max(least, value + stats.t.ppf(0.95, dof) * error),
            method="fewer than five lasting hops: Poisson limit of what was not seen",
        )
    if fixed:
        return Estimate.limit(0.0, method=f"{method}; the summed displacement is fixed")
    if not value > _SIGNIFICANT * error:
        limit = max(value, 0.0) + float(stats.t.ppf(0.95, dof)) * error
        return Estimate.limit(limit, method=f"{method}; within two standard errors of zero", n_eff=dof)
    relative = (error / value) ** 2
    return Estimate(
        value=value,
        stderr=error,
        ci95=log_interval(value, relative, dof),
        method=f"{method}, Student interval of the logarithm",
        n_eff=float(2 / 3 / relative),
    )


def independent_share(framed, blocks, slopes, charged_species, charge_rb, collective):
    """Return the sum of z² N D* over species, Å²/ps, and its ratio to the summed charge's slope.

    Parameters
    ----------
    framed
        Replicas in the frame of the host.
    blocks, slopes
        `DisplacementBlocks` of the mobile ion and the `Slopes` of the total charge.
    charged_species
        (symbol, formal charge) of every species.
    charge_rb
        Contributions of replicas and time blocks to the summed charge's slope, shape (n_replicas, n_blocks).
    collective
        That slope, its standard error, its degrees of freedom, whether it is only a limit, and `least` of
        `slope_estimate`.
    """
    sigma, error, dof, is_limit, least = collective
    weights_k, correlation = slopes.weights_qk[0], slopes.correlation_blocks
    used = np.flatnonzero(weights_k)
    tracer_rb = np.zeros_like(charge_rb)
    for r, item in enumerate(framed):
        for name, charge in charged_species:
            if charge:
                r_tnc = item.positions_of(name)
                mean_kb, _ = kernels.blocked_displacements(r_tnc, blocks.lags[used], blocks.n_blocks)
                tracer_rb[r] += charge**2 * r_tnc.shape[1] / 6 * (weights_k[used] @ mean_kb)
    weights_r = blocks.weights_r
    value = float(weights_r @ tracer_rb.mean(axis=1))
    own = covariance_of_means(tracer_rb[..., None], weights_r=weights_r, correlation=correlation[0])
    # what fit_slopes adds to the mobile ion's scatter (trends, replicas) is added in proportion
    raw = covariance_of_means(
        (blocks.tracer_rbk @ weights_k)[..., None], weights_r=weights_r, correlation=correlation[0]
    )
    more = slopes.covariance[0, 0] / raw.covariance[0, 0] if raw.covariance[0, 0] > 0 else 1.0
    variance = float(own.covariance[0, 0] * max(more, 1.0))
    einstein = slope_estimate(
        value,
        variance**0.5,
        own.dof,
        method="sum over species of z² N D*",
        least=least,
    )
    if einstein.is_limit or is_limit:
        why = "the conductivity or every tracer diffusivity is only a limit"
        return einstein, Estimate.limit(np.inf, method=why)
    both = covariance_of_means(
        np.stack([tracer_rb, charge_rb], axis=-1), weights_r=weights_r, correlation=correlation.max()
    ).covariance
    shared = both[0, 1] / np.sqrt(both[0, 0] * both[1, 1])
    one, two = variance**0.5 / value, error / sigma
    relative = max(one**2 + two**2 - 2 * shared * one * two, 0.25 * two**2)
    return einstein, Estimate(
        value=value / sigma,
        stderr=value / sigma * relative**0.5,
        ci95=log_interval(value / sigma, relative, min(dof, own.dof)),
        method="sum over species of z² N D* over the summed charge's slope, with the covariance of both",
        n_eff=float(2 / 3 / relative),
    )


def transport_numbers(species, charges, values_p, covariance, dof, conductivity):
    """Return {species: `Estimate`} of each row of the Onsager matrix over the conductivity.

    Parameters
    ----------
    species, charges
        Symbols and formal charges, e.
    values_p, covariance
        Upper triangle of the matrix and its covariance.
    dof
        Degrees of freedom of the covariance.
    conductivity
        `Estimate`; where it is a limit, so are the shares (of 1).

    Notes
    -----
    Limit: the only species of the host is at rest in its own frame, and its share is 0.
    """
    numbers = {}
    form = quadratic_form(charges)
    sigma = form @ values_p
    i, j = np.triu_indices(len(charges))
    for a, name in enumerate(species):
        if conductivity.is_limit:
            numbers[name] = Estimate.limit(1.0, method="the conductivity is only a limit")
            continue
        row = charges[i] * charges[j] * ((i == a) * 0.5 + (j == a) * 0.5) * np.where(i == j, 1.0, 2.0)
        row = np.where((i == j) & (i == a), charges[a] ** 2, row)
        value = float(row @ values_p / sigma)
        gradient = (row - value * form) / sigma
        error = float(np.sqrt(max(gradient @ covariance @ gradient, 0.0)))
        half = float(stats.t.ppf(0.975, dof)) * error
        if abs(value) + half < _ROUNDING:
            numbers[name] = Estimate(
                value=0.0,
                stderr=0.0,
                ci95=(0.0, 0.0),
                method="at rest in this frame: zero but for rounding",
                n_eff=conductivity.n_eff,
            )
            continue
        numbers[name] = Estimate(
            value=value,
            stderr=error,
            ci95=(value - half, value + half),
            method="row of the Onsager matrix over its sum, linear propagation, Student interval",
            n_eff=conductivity.n_eff,
        )
    return numbers
