"""Do rotors tilt more when an ion hops beside them? Large rotations are left out: the soft cradle."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.coupling_velocities import paired
from simtools.analysers.event_correlogram import randomisation_p
from simtools.analysers.orientations import Orientations, rotation_vectors
from simtools.analysers.shift_null import above_shifts, circular_shifts, correlation_steps, stretch_slices
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity

__all__ = ["TiltAtHops", "tilt_at_hops"]

_SMALL_DEG = 45.0


@dataclass(frozen=True, eq=False, kw_only=True)
class TiltAtHops(Result):
    """How far rotors turn about the time of a hop beside them, large rotations left out.

    Attributes
    ----------
    lags_ps, tilts_deg
        Mean angle between the orientations `span_ps` apart, centred that long after the hop (negative:
        before), over hops and near rotors; angles over 45 degrees are left out.
    band_low_deg, band_high_deg
        95 % of circular shifts of each rotor, lag by lag.
    excess : Estimate
        Mean over lags within `window_ps` above that of shifts, degrees; each rotor's straight line in time
        is taken out of every stretch, so that tilts and hops that fade together are no coupling.
    p_value
        Two-sided.
    """

    n_pairs: int
    n_shifts: int
    span_ps: float = quantity("ps")
    window_ps: float = quantity("ps")
    lags_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    tilts_deg: np.ndarray = quantity("degree", shape="(n_lags,)")
    band_low_deg: np.ndarray = quantity("degree", shape="(n_lags,)")
    band_high_deg: np.ndarray = quantity("degree", shape="(n_lags,)")
    excess: Estimate | None = quantity("degree")
    p_value: float = quantity("1")


def tilt_at_hops(
    orientations: Orientations | Sequence[Orientations],
    runs: RotorHops | Sequence[RotorHops],
    *,
    radius_A: float,
    span_ps: float = 0.5,
    longest_lag_ps: float = 2.0,
    window_ps: float = 0.5,
    n_shifts: int = 200,
    seed: int = 0,
) -> TiltAtHops:
    """Return whether rotors tilt more when an ion hops beside them: the soft cradle.

    Parameters
    ----------
    orientations, runs
        Of one trajectory (`common_events`), or of replicas, which add up.
    radius_A
        Hops whose middle is within this of a rotor are near it, Å.
    span_ps
        Time over which a tilt is measured, ps.
    longest_lag_ps, window_ps
        Range of the profile, and of the tested mean, ps.
    n_shifts, seed
        Circular shifts of each rotor within stretches of the run (`shift_null`).

    Notes
    -----
    Limit: rotors that do not know of hops have no excess. Stretches are taken as periodic, so a lag that
    reaches over the end of one reads its start. A vacancy that comes by can make rotors tilt and
    ions hop, too.
    """
    rotors, runs = paired(orientations, runs)
    interval_ps = rotors[0].frame_interval_ps
    if any(abs(part.frame_interval_ps - interval_ps) > 1e-6 * interval_ps for part in rotors):
        raise ConfigError("replicas have different times between frames: expected one")
    half = max(1, round(0.5 * span_ps / interval_ps))
    reach = round(longest_lag_ps / interval_ps)
    stride = max(1, reach // 20)
    steps = np.arange(-(reach // stride), reach // stride + 1) * stride
    inside = np.abs(steps) * interval_ps <= window_ps
    rng = np.random.default_rng(seed)
    sums, weights = np.zeros((n_shifts + 1, len(steps))), np.zeros((n_shifts + 1, len(steps)))
    above = np.zeros(n_shifts + 1)
    n_pairs = 0
    for turned, run in zip(rotors, runs, strict=True):
        tilt, small, first = _tilts(turned, run, half)
        near = run.near(radius_A)
        owners = np.repeat(np.arange(run.n_rotors), np.diff(near.first))
        times = np.rint((run.hop_times_ps[near.hops] + run.start_ps) / interval_ps).astype(int) - first
        times = np.clip(times, 0, len(tilt) - 1)
        n_pairs += len(times)
        memory = max(reach + 1, correlation_steps(tilt))
        for stretch in stretch_slices(len(tilt), memory):
            now = (times >= stretch.start) & (times < stretch.stop)
            at, owner = times[now] - stretch.start, owners[now]
            here, counted = tilt[stretch], small[stretch]
            level = _level(here, counted)
            shifts = circular_shifts(rng, n_shifts, run.n_rotors, len(here))
            for draw, shift in enumerate(shifts):
                place = ((at + shift[owner])[:, None] + steps[None, :]) % len(here)
                sums[draw] += here[place, owner[:, None]].sum(axis=0)
                weights[draw] += counted[place, owner[:, None]].sum(axis=0)
                above[draw] += level[place[:, inside], owner[:, None]].sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        profiles = sums / weights
        means = above / weights[:, inside].sum(axis=1)
    if n_pairs == 0 or not np.isfinite(means).all():
        excess, p_value = None, 1.0
        low = high = np.full(len(steps), np.nan)
    else:
        excess = above_shifts(means, method="mean tilt above circular shifts of each rotor", n_eff=n_pairs)
        p_value = randomisation_p(means)
        low, high = np.nanpercentile(profiles[1:], [2.5, 97.5], axis=0)
    return TiltAtHops(
        n_pairs=n_pairs,
        n_shifts=n_shifts,
        span_ps=2 * half * interval_ps,
        window_ps=float(window_ps),
        lags_ps=steps * interval_ps,
        tilts_deg=profiles[0],
        band_low_deg=low,
        band_high_deg=high,
        excess=excess,
        p_value=p_value,
        provenance=collect_provenance(radius_A=radius_A, span_ps=span_ps, n_shifts=n_shifts, seed=seed),
    )


def _level(tilt_tm, small_tm):
    """Return tilts about the straight line in time of each rotor, 0 where they are not small."""
    weight = np.maximum(small_tm.sum(axis=0), 1)
    t = np.arange(len(tilt_tm))[:, None] * np.ones(small_tm.shape[1])
    t = np.where(small_tm, t - (t * small_tm).sum(axis=0) / weight, 0.0)
    level = np.where(small_tm, tilt_tm - tilt_tm.sum(axis=0) / weight, 0.0)
    slope = (t * level).sum(axis=0) / np.maximum(np.square(t).sum(axis=0), 1e-300)
    return level - slope * t


def _tilts(orientations, run, half):
    """Return tilts below 45 degrees (others 0) by frame and rotor, which they are, and the first frame."""
    interval_ps = orientations.frame_interval_ps
    x = orientations.points()
    first, last = round(run.start_ps / interval_ps), round((run.start_ps + run.duration_ps) / interval_ps)
    frames = np.arange(max(first, half), min(last, len(x) - half))
    if len(frames) == 0:
        raise ConfigError(f"a run of {len(x)} frames is too short for tilts over {2 * half} frames")
    tilt = np.degrees(np.linalg.norm(rotation_vectors(x[frames - half], x[frames + half]), axis=-1))
    small = tilt < _SMALL_DEG
    return np.where(small, tilt, 0.0), small, int(frames[0])
