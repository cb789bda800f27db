"""The way through at the time of a hop: how wide the bottleneck is then, and otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.event_correlogram import randomisation_p
from simtools.analysers.kernels import coupling as kernels
from simtools.core.errors import ConfigError
from simtools.core.periodic import minimum_image
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.md.trajectory import Trajectory

__all__ = ["BottleneckAtHops", "bottleneck_at_hops"]

_MOST_HOPS = 2000
_N_LAGS = 20
_REACH_A = 6.0


@dataclass(frozen=True, eq=False, kw_only=True)
class BottleneckAtHops(Result):
    """Distance from the middle of a hop to the nearest atoms of the host, about the time of the hop.

    Attributes
    ----------
    lags_ps, widths_A
        Mean distance over hops and over the `n_nearest` atoms, that long after the hop (negative: before).
    band_low_A, band_high_A
        95 % of the same places at other times, lag by lag.
    excess : Estimate
        Mean within `window_ps` above that of other times, Å: positive where the way is wider when ions go.
    p_value
        Two-sided.
    """

    n_hops: int
    n_nearest: int
    n_shifts: int
    window_ps: float = quantity("ps")
    lags_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    widths_A: np.ndarray = quantity("angstrom", shape="(n_lags,)")
    band_low_A: np.ndarray = quantity("angstrom", shape="(n_lags,)")
    band_high_A: np.ndarray = quantity("angstrom", shape="(n_lags,)")
    excess: Estimate = quantity("angstrom")
    p_value: float = quantity("1")


def bottleneck_at_hops(
    trajectories: Trajectory | Sequence[Trajectory],
    runs: RotorHops | Sequence[RotorHops],
    *,
    mobile: str,
    n_nearest: int = 3,
    longest_lag_ps: float = 2.0,
    window_ps: float = 0.25,
    n_shifts: int = 200,
    seed: int = 0,
) -> BottleneckAtHops:
    """Return how far the host is from the way of hops, at the time of the hop and at others.

    Parameters
    ----------
    trajectories
        What `runs` are of, one or the replicas, in the frame of the host; ligands may be in it.
    runs
        From `common_events`; 2000 hops at most of each, evenly chosen.
    mobile
        The hopping ion; all other species are the host.
    n_nearest
        Atoms that make the bottleneck: three for a triangular window.
    longest_lag_ps, window_ps
        Range of the profile and of the tested mean, ps.
    n_shifts, seed
        Circular shifts of all hops together, which keep each place and the order of hops.

    Raises
    ------
    ConfigError
        Without hops, or with fewer atoms than make a bottleneck.

    Notes
    -----
    Limit: a host that does not know of hops has no excess.
    """
    parts = (trajectories,) if isinstance(trajectories, Trajectory) else tuple(trajectories)
    runs = (runs,) if isinstance(runs, RotorHops) else tuple(runs)
    interval_ps = parts[0].frame_interval_ps
    reach = max(1, round(longest_lag_ps / interval_ps))
    stride = max(1, reach // _N_LAGS)
    steps = np.arange(-(reach // stride), reach // stride + 1) * stride
    inside = np.abs(steps) * interval_ps <= window_ps
    rng = np.random.default_rng(seed)
    sums, n_chosen = np.zeros((n_shifts + 1, len(steps))), 0
    for trajectory, run in zip(parts, runs, strict=True):
        n_chosen += _add_widths(trajectory, run, mobile, n_nearest, stride, steps // stride, rng, sums)
    if n_chosen == 0:
        raise ConfigError(f"a bottleneck needs hops of {mobile}, got 0 hops")
    profiles = sums / n_chosen
    means = profiles[:, inside].mean(axis=1)
    spread, value = means[1:].std(), means[0] - means[1:].mean()
    half = stats.norm.ppf(0.975) * spread
    low, high = np.percentile(profiles[1:], [2.5, 97.5], axis=0)
    return BottleneckAtHops(
        n_hops=n_chosen,
        n_nearest=n_nearest,
        n_shifts=n_shifts,
        window_ps=float(window_ps),
        lags_ps=steps * interval_ps,
        widths_A=profiles[0],
        band_low_A=low,
        band_high_A=high,
        excess=Estimate(
            value=float(value),
            stderr=float(spread),
            ci95=(float(value - half), float(value + half)),
            method="mean width above circular shifts of all hops together",
            n_eff=float(n_chosen),
        ),
        p_value=randomisation_p(means),
        provenance=collect_provenance(mobile=mobile, n_nearest=n_nearest, n_shifts=n_shifts, seed=seed),
    )


def _add_widths(trajectory, run, mobile, n_nearest, stride, steps, rng, sums):
    """Add the widths about the hops of one run, as seen and shifted; return the number of hops."""
    host = np.flatnonzero(trajectory.species != mobile)
    if len(host) < n_nearest:
        raise ConfigError(f"a bottleneck needs {n_nearest} host atoms, got {len(host)} atoms")
    if run.n_hops == 0:
        return 0
    chosen = np.unique(np.linspace(0, run.n_hops - 1, min(run.n_hops, _MOST_HOPS)).astype(int))
    middles = run.hop_starts_A[chosen] + 0.5 * run.hop_vectors_A[chosen]
    times = (run.hop_times_ps[chosen] + run.start_ps) / trajectory.frame_interval_ps
    series = _widths(trajectory, host, middles, n_nearest, stride)
    n_kept = len(series)
    for draw in range(len(sums)):
        shift = int(rng.integers(n_kept)) if draw else 0
        at = (np.rint(times).astype(int) // stride + shift)[:, None] + steps[None, :]
        sums[draw] += series[at % n_kept, np.arange(len(chosen))[:, None]].sum(axis=0)
    return len(chosen)


def _widths(trajectory, host, middles, n_nearest, stride):
    """Return the mean distance of the nearest host atoms from each place, (n_frames kept, n_places), Å."""
    positions = np.ascontiguousarray(trajectory.positions_A[::stride][:, host])
    cells = np.ascontiguousarray(trajectory.cells_A.reshape(-1, 3, 3))
    if len(cells) > 1:
        cells = np.ascontiguousarray(cells[::stride])
    inverse = np.linalg.inv(cells)
    mean_cell = cells.mean(axis=0)
    widths = np.empty((len(positions), len(middles)))
    unique, group = np.unique(np.round(middles, 3), axis=0, return_inverse=True)
    typical, width = positions.mean(axis=0), np.empty(len(positions))
    for number, place in enumerate(unique):
        distance = np.linalg.norm(minimum_image(typical - place, mean_cell), axis=1)
        near = np.flatnonzero(distance <= max(_REACH_A, np.partition(distance, n_nearest - 1)[n_nearest - 1]))
        kernels.mean_of_nearest(positions[:, near], place, cells, inverse, n_nearest, width)
        widths[:, group.ravel() == number] = width[:, None]
    return widths
