"""Radial distribution of one species around another, with coordination numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.breathing_cells import in_own_cells
from simtools.analysers.kernels import pairs as kernels
from simtools.core.errors import ConfigError
from simtools.core.periodic import cell_heights_A
from simtools.core.provenance import collect_provenance
from simtools.core.results import Result, quantity
from simtools.md.trajectory import Trajectory

__all__ = ["RadialDistribution", "radial_distribution"]

_N_BLOCKS = 10


@dataclass(frozen=True, eq=False, kw_only=True)
class RadialDistribution(Result):
    """Density of `neighbour` at distance r from `centre`, over its mean density.

    `coordination` is the mean number of neighbours inside the outer edge of each bin. Half-widths are those
    of 95 % intervals from the scatter of ten time blocks (Student's t); nan with fewer than twenty frames.
    """

    centre: str
    neighbour: str
    n_frames: int
    r_A: np.ndarray = quantity("angstrom", shape="(n_bins,)")
    g: np.ndarray = quantity("1", shape="(n_bins,)")
    g_half_width: np.ndarray = quantity("1", shape="(n_bins,)")
    outer_edge_A: np.ndarray = quantity("angstrom", shape="(n_bins,)")
    coordination: np.ndarray = quantity("1", shape="(n_bins,)")


def radial_distribution(
    trajectory: Trajectory | Sequence[Trajectory],
    *,
    centre: str,
    neighbour: str,
    r_max_A: float | None = None,
    bin_width_A: float = 0.05,
    every: int = 1,
) -> RadialDistribution:
    r"""Return the radial distribution function g(r).

    .. math:: g_{ab}(r) = \Big\langle \frac{V\, n_{ab}(r, r + \Delta r)}{N_a N_b' \tfrac{4\pi}{3}
        [(r + \Delta r)^3 - r^3]} \Big\rangle

    with :math:`N_b' = N_b - 1` for a species around itself, and the volume of each frame.

    Parameters
    ----------
    trajectory
        One, or replicas; any cell, also one that changes with time; positions need not be wrapped.
    centre, neighbour
        Symbols of the two species.
    r_max_A
        Where the histogram ends, Å; by default, and at most, half the smallest height of the cell.
    bin_width_A
        Width of a bin, Å.
    every
        Use every n-th frame.

    Returns
    -------
    RadialDistribution

    Raises
    ------
    ConfigError
        If `r_max_A` reaches past the nearest images, or there is no pair.
    UnknownSpeciesError
        If a species is not there.

    Notes
    -----
    Limits: an ideal gas gives 1 at every distance; a crystal at rest, spikes at its shells.
    """
    if every < 1:
        raise ConfigError(f"every must be 1 or more, got {every!r}")
    parts = tuple(in_own_cells(part) for part in replicas_of(trajectory))
    part_cells = [frame_cells(part)[:: every if part.cells_A.ndim == 3 else 1] for part in parts]
    r_max_A, n_bins = bins_within(np.concatenate(part_cells), r_max_A, bin_width_A)
    edges_A = bin_width_A * np.arange(n_bins + 1)
    counts, ratios = [], []
    for part, cells in zip(parts, part_cells, strict=True):
        a_tnc, b_tnc = (fractional(part, species, every=every) for species in (centre, neighbour))
        same = centre == neighbour
        n_pairs = a_tnc.shape[1] * (b_tnc.shape[1] - same)
        if n_pairs == 0:
            raise ConfigError(f"there is one {centre} only: no pair of {centre} and {neighbour}")
        counts_tb = kernels.pair_histogram(a_tnc, b_tnc, cells, same, bin_width_A, n_bins)
        volume_t = np.abs(np.linalg.det(cells))[:, None]
        counts.append(counts_tb / a_tnc.shape[1])
        ratios.append(counts_tb * volume_t / (n_pairs * np.diff(4 / 3 * np.pi * edges_A**3)))
    counts_tb, g_tb = np.concatenate(counts), np.concatenate(ratios)
    return RadialDistribution(
        centre=centre,
        neighbour=neighbour,
        n_frames=len(g_tb),
        r_A=0.5 * (edges_A[1:] + edges_A[:-1]),
        g=g_tb.mean(axis=0),
        g_half_width=_half_width(g_tb),
        outer_edge_A=edges_A[1:],
        coordination=np.cumsum(counts_tb.mean(axis=0)),
        provenance=collect_provenance(
            centre=centre, neighbour=neighbour, r_max_A=r_max_A, bin_width_A=bin_width_A, every=every
        ),
    )


def replicas_of(trajectory):
    """Return one trajectory, or several, as a tuple that is not empty."""
    parts = (trajectory,) if isinstance(trajectory, Trajectory) else tuple(trajectory)
    if not parts:
        raise ConfigError("expected at least one trajectory, got none")
    return parts


def frame_cells(trajectory):
    """Return the cells as (n_frames or 1, 3, 3), C-contiguous, Å."""
    cells = np.asarray(trajectory.cells_A)
    return np.ascontiguousarray(cells[None] if cells.ndim == 2 else cells)


def fractional(trajectory, species, *, every=1):
    """Return fractional coordinates of `species`, each frame in its own cell, (n_frames, n_ions, 3)."""
    inverse = np.linalg.inv(trajectory.cells_A)
    positions = trajectory.positions_A[::every, trajectory.indices_of(species)]
    return np.ascontiguousarray(positions @ (inverse if inverse.ndim == 2 else inverse[::every]))


def bins_within(cells, r_max_A, bin_width_A):
    """Return the end of a histogram of distances, Å, and its number of bins; refuse one past the images."""
    widest_A = 0.5 * min(cell_heights_A(cell).min() for cell in cells)
    if not bin_width_A > 0:
        raise ConfigError(f"bin_width_A must be positive, got {bin_width_A!r}")
    if r_max_A is None:
        r_max_A = bin_width_A * int(widest_A / bin_width_A)
    if not bin_width_A <= r_max_A <= widest_A * (1 + 1e-12):
        raise ConfigError(
            f"r_max_A must lie between one bin ({bin_width_A:g} Å) and half the smallest height of the cell "
            f"({widest_A:.3f} Å), got {r_max_A:g}"
        )
    return float(r_max_A), max(1, round(r_max_A / bin_width_A))


def _half_width(g_tb):
    if len(g_tb) < 2 * _N_BLOCKS:
        return np.full(g_tb.shape[1], np.nan)
    blocks = np.array([part.mean(axis=0) for part in np.array_split(g_tb, _N_BLOCKS)])
    return stats.t.ppf(0.975, _N_BLOCKS - 1) * blocks.std(axis=0, ddof=1) / np.sqrt(_N_BLOCKS)
