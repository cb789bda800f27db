"""The way through at the time of a hop: how wide the bottleneck is then, and otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.event_correlogram import checked_runs, randomisation_p
from simtools.analysers.kernels import coupling as kernels
from simtools.analysers.shift_null import above_shifts, circular_shifts, correlation_steps, stretch_slices
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
        Those that `runs` are of, in the frame of their host; ligands may be in them.
    runs
        From `common_events`, one or replicas, which add up; 2000 hops of each at most, evenly chosen.
    mobile
        The hopping ion; all other species are the host.
    n_nearest
        Atoms that make the bottleneck: three for a triangular window.
    longest_lag_ps, window_ps
        Range of the profile and of the tested mean, ps.
    n_shifts, seed
        Circular shifts of all hops together within stretches of the run (`shift_null`), which keep each place
        and the order of hops: windows that share atoms, and hops that come together, count once.

    Raises
    ------
    ConfigError
        Without hops, or with fewer atoms than make a bottleneck.

    Notes
    -----
    Limit: a host that does not know of hops has no excess.
    """
    parts = (trajectories,) if isinstance(trajectories, Trajectory) else tuple(trajectories)
    runs = checked_runs(runs)
    if len(parts) != len(runs):
        raise ConfigError(f"got {len(parts)} trajectories and events of {len(runs)} runs: expected the same")
    interval_ps = parts[0].frame_interval_ps
    if any(abs(part.frame_interval_ps - interval_ps) > 1e-6 * interval_ps for part in parts):
        raise ConfigError("replicas have different times between frames: expected one")
    n_all = sum(run.n_hops for run in runs)
    fewest = min(int((part.species != mobile).sum()) for part in parts)
    if n_all == 0 or fewest < n_nearest:
        raise ConfigError(
            f"a bottleneck needs hops and {n_nearest} host atoms, got {n_all} hops and {fewest} atoms"
        )
    reach = max(1, round(longest_lag_ps / interval_ps))
    stride = max(1, reach // _N_LAGS)
    offsets = np.arange(-(reach // stride), reach // stride + 1)
    steps = offsets * stride
    inside = np.abs(steps) * interval_ps <= window_ps
    rng = np.random.default_rng(seed)
    profiles = np.zeros((n_shifts + 1, len(steps)))
    n_hops = 0
    for trajectory, run in zip(parts, runs, strict=True):
        if run.n_hops == 0:
            continue
        chosen = np.unique(np.linspace(0, run.n_hops - 1, min(run.n_hops, _MOST_HOPS)).astype(int))
        n_hops += len(chosen)
        middles = run.hop_starts_A[chosen] + 0.5 * run.hop_vectors_A[chosen]
        times = np.rint((run.hop_times_ps[chosen] + run.start_ps) / interval_ps).astype(int) // stride
        host = np.flatnonzero(trajectory.species != mobile)
        series, place = _widths(trajectory, host, middles, n_nearest, stride)
        times = np.clip(times, 0, len(series) - 1)
        memory = max(len(offsets) // 2 + 1, correlation_steps(series))
        for stretch in stretch_slices(len(series), memory):
            now = (times >= stretch.start) & (times < stretch.stop)
            here = series[stretch]
            for draw, shift in enumerate(circular_shifts(rng, n_shifts, 1, len(here))[:, 0]):
                at = (times[now] - stretch.start + shift)[:, None] + offsets[None, :]
                profiles[draw] += here[at % len(here), place[now][:, None]].sum(axis=0)
    profiles /= n_hops
    means = profiles[:, inside].mean(axis=1)
    low, high = np.percentile(profiles[1:], [2.5, 97.5], axis=0)
    return BottleneckAtHops(
        n_hops=n_hops,
        n_nearest=n_nearest,
        n_shifts=n_shifts,
        window_ps=float(window_ps),
        lags_ps=steps * interval_ps,
        widths_A=profiles[0],
        band_low_A=low,
        band_high_A=high,
        excess=above_shifts(
            means, method="mean width above circular shifts of all hops together", n_eff=n_hops
        ),
        p_value=randomisation_p(means),
        provenance=collect_provenance(mobile=mobile, n_nearest=n_nearest, n_shifts=n_shifts, seed=seed),
    )


def _widths(trajectory, host, middles, n_nearest, stride):
    """Return mean distances of the nearest host atoms (n_frames kept, n_places), Å, and each hop's place."""
    positions = np.ascontiguousarray(trajectory.positions_A[::stride][:, host])
    cells = np.ascontiguousarray(trajectory.cells_A.reshape(-1, 3, 3))
    cells = cells[::stride] if len(cells) > 1 else cells
    mean_cell = cells.mean(axis=0)
    # hops that differ by a period of the cell go through the same place
    scaled = np.round(middles @ np.linalg.inv(mean_cell), 4) % 1.0
    _, index, group = np.unique(scaled, axis=0, return_index=True, return_inverse=True)
    places = middles[index]
    typical = positions.mean(axis=0)
    gaps = minimum_image((typical - places[:, None]).reshape(-1, 3), mean_cell)
    distances = np.linalg.norm(gaps, axis=1).reshape(len(places), len(host))
    near = np.full(distances.shape, -1)
    for row, distance in zip(near, distances, strict=True):
        farthest = max(_REACH_A, np.partition(distance, n_nearest - 1)[n_nearest - 1])
        found = np.flatnonzero(distance <= farthest)
        row[: len(found)] = found
    widths = np.empty((len(positions), len(places)))
    kernels.mean_of_nearest(
        positions, np.ascontiguousarray(places), near, cells, np.linalg.inv(cells), n_nearest, widths
    )
    return widths, group.ravel()
