"""How far ions get in a given time (self), and where the others are then (distinct); how Gaussian that is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.kernels import pairs as kernels
from simtools.analysers.msd import LagRangeError
from simtools.analysers.rdf import bins_within, fractional, frame_cells, replicas_of
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Result, quantity
from simtools.md.trajectory import Trajectory

__all__ = [
    "DistinctVanHove",
    "NonGaussianParameter",
    "SelfVanHove",
    "distinct_van_hove",
    "non_gaussian_parameter",
    "self_van_hove",
]

_MOST_STARTS = 200
_INTERVAL_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False, kw_only=True)
class SelfVanHove(Result):
    """Probability density of an ion's displacement after each lag time.

    ``radial_density_per_A`` is 4πr²G_s(r, t); it integrates to one less `beyond`, the share of displacements
    past the last bin.
    """

    species: str
    lag_times_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    r_A: np.ndarray = quantity("angstrom", shape="(n_bins,)")
    density_per_A3: np.ndarray = quantity("1/angstrom^3", shape="(n_lags, n_bins)")
    radial_density_per_A: np.ndarray = quantity("1/angstrom", shape="(n_lags, n_bins)")
    beyond: np.ndarray = quantity("1", shape="(n_lags,)")


@dataclass(frozen=True, eq=False, kw_only=True)
class DistinctVanHove(Result):
    """Density of `neighbour` at distance r from where `centre` was a lag time ago, over its mean density."""

    centre: str
    neighbour: str
    lag_times_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    r_A: np.ndarray = quantity("angstrom", shape="(n_bins,)")
    ratio: np.ndarray = quantity("1", shape="(n_lags, n_bins)")


@dataclass(frozen=True, eq=False, kw_only=True)
class NonGaussianParameter(Result):
    """The parameter α₂ against lag time, with half-widths of its 95 % intervals (jackknife over ions)."""

    species: str
    n_ions: int
    lag_times_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    alpha_2: np.ndarray = quantity("1", shape="(n_lags,)")
    alpha_2_half_width: np.ndarray = quantity("1", shape="(n_lags,)")
    msd_A2: np.ndarray = quantity("angstrom^2", shape="(n_lags,)")


def self_van_hove(
    trajectory: Trajectory | Sequence[Trajectory],
    *,
    species: str,
    lag_times_ps: Sequence[float],
    r_max_A: float = 10.0,
    bin_width_A: float = 0.05,
) -> SelfVanHove:
    r"""Return the self part of the van Hove function.

    .. math:: G_s(r, t) = \langle \delta(r - |\Delta r(t)|) \rangle / 4 \pi r^2

    Parameters
    ----------
    trajectory
        One, or replicas; unwrapped, in the frame of the immobile sublattice (`Trajectory.in_host_frame`).
    species
        Symbol of the ion.
    lag_times_ps
        Lag times, ps; each is rounded to a whole number of frames.
    r_max_A, bin_width_A
        End of the histogram and width of its bins, Å.

    Returns
    -------
    SelfVanHove

    Raises
    ------
    LagRangeError
        If a lag time is not within the trajectory.
    ConfigError
        If the bins are not positive.
    UnknownSpeciesError
        If there is no such ion.

    Notes
    -----
    Limit: Brownian walkers give a Gaussian of variance 2Dt per axis. Hops between sites show as peaks at
    the distances of sites. L. van Hove, Phys. Rev. 95, 249 (1954).
    """
    if not 0 < bin_width_A <= r_max_A:
        raise ConfigError(f"need 0 < bin_width_A <= r_max_A, got {bin_width_A!r} and {r_max_A!r} Å")
    parts = replicas_of(trajectory)
    lags = _lags(parts, lag_times_ps)
    n_bins = max(1, round(r_max_A / bin_width_A))
    counts = sum(
        kernels.displacement_histogram(part.positions_of(species), lags, bin_width_A, n_bins)
        for part in parts
    )
    share = counts / counts.sum(axis=1, keepdims=True)
    edges_A = bin_width_A * np.arange(n_bins + 1)
    return SelfVanHove(
        species=species,
        lag_times_ps=lags * parts[0].frame_interval_ps,
        r_A=0.5 * (edges_A[1:] + edges_A[:-1]),
        density_per_A3=share[:, :-1] / np.diff(4 / 3 * np.pi * edges_A**3),
        radial_density_per_A=share[:, :-1] / bin_width_A,
        beyond=share[:, -1],
        provenance=collect_provenance(
            species=species, lag_times_ps=list(lag_times_ps), r_max_A=r_max_A, bin_width_A=bin_width_A
        ),
    )


def distinct_van_hove(
    trajectory: Trajectory | Sequence[Trajectory],
    *,
    centre: str,
    neighbour: str,
    lag_times_ps: Sequence[float],
    r_max_A: float | None = None,
    bin_width_A: float = 0.05,
) -> DistinctVanHove:
    """Return the distinct part of the van Hove function over the mean density, G_d(r, t)/ρ.

    Parameters
    ----------
    trajectory
        One, or replicas; unwrapped, in the frame of the immobile sublattice.
    centre, neighbour
        Symbols of the ion at the start and of the others at the end.
    lag_times_ps
        Lag times, ps, 0 included; each is rounded to a whole number of frames.
    r_max_A, bin_width_A
        End of the histogram, at most half the smallest height of the cell, and width of its bins, Å.

    Returns
    -------
    DistinctVanHove

    Raises
    ------
    LagRangeError, ConfigError, UnknownSpeciesError
        As `self_van_hove` and `radial_distribution`.

    Notes
    -----
    Limits: g(r) at lag 0; 1 at long lags in a liquid. A peak that grows at r = 0 says that ions move into
    places that others have left (vacancy hops, strings). A cell that changes with time enters by its mean.
    At most 200 window starts, evenly spread, are used for each lag.
    """
    parts = replicas_of(trajectory)
    lags = _lags(parts, lag_times_ps, smallest=0)
    mean_cells = [frame_cells(part).mean(axis=0) for part in parts]
    r_max_A, n_bins = bins_within(np.array(mean_cells), r_max_A, bin_width_A)
    edges_A = bin_width_A * np.arange(n_bins + 1)
    same = centre == neighbour
    ratio = np.zeros((len(lags), n_bins))
    for part, mean_cell in zip(parts, mean_cells, strict=True):
        a_tnc, b_tnc = fractional(part, centre), fractional(part, neighbour)
        n_pairs = a_tnc.shape[1] * (b_tnc.shape[1] - same)
        if n_pairs == 0:
            raise ConfigError(f"there is one {centre} only: no pair of {centre} and {neighbour}")
        expected = n_pairs * np.diff(4 / 3 * np.pi * edges_A**3) / abs(np.linalg.det(mean_cell))
        for row, lag in zip(ratio, lags, strict=True):
            n_starts = part.n_frames - lag
            starts = np.unique(np.linspace(0, n_starts - 1, min(n_starts, _MOST_STARTS)).astype(np.int64))
            counts = kernels.distinct_histogram(
                a_tnc, b_tnc, starts, lag, mean_cell, same, bin_width_A, n_bins
            )
            row += counts / len(starts) / expected / len(parts)
    return DistinctVanHove(
        centre=centre,
        neighbour=neighbour,
        lag_times_ps=lags * parts[0].frame_interval_ps,
        r_A=0.5 * (edges_A[1:] + edges_A[:-1]),
        ratio=ratio,
        provenance=collect_provenance(
            centre=centre,
            neighbour=neighbour,
            lag_times_ps=list(lag_times_ps),
            r_max_A=r_max_A,
            bin_width_A=bin_width_A,
        ),
    )


def non_gaussian_parameter(
    trajectory: Trajectory | Sequence[Trajectory],
    *,
    species: str,
    lag_times_ps: Sequence[float] | None = None,
) -> NonGaussianParameter:
    r"""Return :math:`\alpha_2(t) = 3\langle \Delta r^4\rangle / 5\langle \Delta r^2\rangle^2 - 1`.

    Parameters
    ----------
    trajectory
        One, or replicas; unwrapped, in the frame of the immobile sublattice.
    species
        Symbol of the ion.
    lag_times_ps
        Lag times, ps; by default about thirty, evenly spaced on a logarithmic axis, up to half the run.

    Returns
    -------
    NonGaussianParameter

    Raises
    ------
    LagRangeError, UnknownSpeciesError
        As `self_van_hove`.
    ConfigError
        If no ion moves.

    Notes
    -----
    Limits: 0 for Brownian walkers and for a harmonic rattle at any lag. Uncorrelated
    hops of one length, n on average within the lag, give 3/(5n); a maximum therefore marks the time at which
    a few ions have hopped and most have not. The interval treats ions as
    independent; ions that move together make it too narrow. A. Rahman, Phys. Rev. 136, A405 (1964).
    """
    parts = replicas_of(trajectory)
    if lag_times_ps is None:
        longest = max(1, (min(part.n_frames for part in parts) - 1) // 2)
        lags = np.unique(np.geomspace(1, longest, 30).round().astype(np.int64))
        lag_times_ps = (lags * parts[0].frame_interval_ps).tolist()
    lags = _lags(parts, lag_times_ps)
    moments = [kernels.displacement_moments(part.positions_of(species), lags) for part in parts]
    second_kn, fourth_kn = (np.concatenate(items, axis=1) for items in zip(*moments, strict=True))
    n_ions = second_kn.shape[1]
    if (second_kn.sum(axis=1) == 0).any():
        raise ConfigError(f"no {species} moves at all within {lags[0]} frames: alpha_2 is 0/0")
    value = _alpha_2(second_kn.mean(axis=1), fourth_kn.mean(axis=1))
    half = np.full(len(lags), np.nan)
    if n_ions > 1:
        left_out = [
            (moment.sum(axis=1, keepdims=True) - moment) / (n_ions - 1) for moment in (second_kn, fourth_kn)
        ]
        replicates = _alpha_2(*left_out)
        stderr = np.sqrt((n_ions - 1) * replicates.var(axis=1))
        half = stats.t.ppf(0.975, n_ions - 1) * stderr
    return NonGaussianParameter(
        species=species,
        n_ions=n_ions,
        lag_times_ps=lags * parts[0].frame_interval_ps,
        alpha_2=value,
        alpha_2_half_width=half,
        msd_A2=second_kn.mean(axis=1),
        provenance=collect_provenance(species=species, lag_times_ps=list(lag_times_ps)),
    )


def _alpha_2(second, fourth):
    return 3 * fourth / (5 * second**2) - 1


def _lags(parts, lag_times_ps, smallest=1):
    interval_ps = parts[0].frame_interval_ps
    if any(abs(part.frame_interval_ps / interval_ps - 1) > _INTERVAL_TOLERANCE for part in parts):
        raise ConfigError("replicas must be sampled alike, their frame intervals differ")
    shortest = min(parts, key=lambda part: part.n_frames)
    lags = np.rint(np.atleast_1d(np.asarray(lag_times_ps, dtype=float)) / interval_ps)
    inside = (lags >= smallest) & (lags < shortest.n_frames)
    if not inside.all():
        raise LagRangeError(float(np.atleast_1d(lag_times_ps)[~inside][0]), shortest.duration_ps)
    return lags.astype(np.int64)
