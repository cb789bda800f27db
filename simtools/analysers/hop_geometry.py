"""The way through at the time of a hop: how wide the bottleneck is then, and otherwise."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.event_correlogram import randomisation_p
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
    trajectory: Trajectory,
    run: RotorHops,
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
    trajectory
        The one that `run` is of, in the frame of its host; ligands may be in it.
    run
        From `common_events`; 2000 hops at most, evenly chosen.
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
    host = np.flatnonzero(trajectory.species != mobile)
    if run.n_hops == 0 or len(host) < n_nearest:
        raise ConfigError(
            f"a bottleneck needs hops and {n_nearest} host atoms, got {run.n_hops} hops and {len(host)} atoms"
        )
    interval_ps = trajectory.frame_interval_ps
    chosen = np.unique(np.linspace(0, run.n_hops - 1, min(run.n_hops, _MOST_HOPS)).astype(int))
    middles = run.hop_starts_A[chosen] + 0.5 * run.hop_vectors_A[chosen]
    times = np.rint((run.hop_times_ps[chosen] + run.start_ps) / interval_ps).astype(int)
    reach = max(1, round(longest_lag_ps / interval_ps))
    stride = max(1, reach // _N_LAGS)
    steps = np.arange(-(reach // stride), reach // stride + 1) * stride
    inside = np.abs(steps) * interval_ps <= window_ps
    series = _widths(trajectory, host, middles, n_nearest, stride)
    n_kept = len(series)
    rng = np.random.default_rng(seed)
    profiles = np.empty((n_shifts + 1, len(steps)))
    for draw in range(n_shifts + 1):
        shift = int(rng.integers(n_kept)) if draw else 0
        at = (times // stride + shift)[:, None] + (steps // stride)[None, :]
        profiles[draw] = series[at % n_kept, np.arange(len(chosen))[:, None]].mean(axis=0)
    means = profiles[:, inside].mean(axis=1)
    spread, value = means[1:].std(), means[0] - means[1:].mean()
    half = stats.norm.ppf(0.975) * spread
    low, high = np.percentile(profiles[1:], [2.5, 97.5], axis=0)
    return BottleneckAtHops(
        n_hops=len(chosen),
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
            n_eff=float(len(chosen)),
        ),
        p_value=randomisation_p(means),
        provenance=collect_provenance(mobile=mobile, n_nearest=n_nearest, n_shifts=n_shifts, seed=seed),
    )


def _widths(trajectory, host, middles, n_nearest, stride):
    """Return the mean distance of the nearest host atoms from each place, (n_frames kept, n_places), Å."""
    positions = trajectory.positions_A[::stride][:, host]
    cells = np.broadcast_to(trajectory.cells_A, (trajectory.n_frames, 3, 3))[::stride]
    inverse = np.linalg.inv(cells)
    mean_cell = cells.mean(axis=0)
    widths = np.empty((len(positions), len(middles)))
    unique, group = np.unique(np.round(middles, 3), axis=0, return_inverse=True)
    typical = positions.mean(axis=0)
    for number, place in enumerate(unique):
        distance = np.linalg.norm(minimum_image(typical - place, mean_cell), axis=1)
        near = np.flatnonzero(distance <= max(_REACH_A, np.partition(distance, n_nearest - 1)[n_nearest - 1]))
        scaled = np.einsum("tnc,tcd->tnd", positions[:, near] - place, inverse)
        gaps = np.einsum("tnc,tcd->tnd", scaled - np.round(scaled), cells)
        lengths = np.linalg.norm(gaps, axis=-1)
        width = np.partition(lengths, n_nearest - 1, axis=1)[:, :n_nearest].mean(axis=1)
        widths[:, group.ravel() == number] = width[:, None]
    return widths
