"""Rotations and hops with planted coupling, none, or a common cause: oracles for analysers of coupling."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from simtools.core.accelerate import kernel
from simtools.core.errors import ConfigError

__all__ = ["PlantedEvents", "planted_events"]

_DIRECTIONS = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1.0, 0], [0, -1, 0], [0, 0, 1.0], [0, 0, -1]])
_ACROSS = 0.5


@dataclass(frozen=True, eq=False)
class PlantedEvents:
    """Events with known coupling.

    Attributes
    ----------
    events : dict
        Keyword arguments of `simtools.analysers.coupled_events.RotorHops`.
    vacancy : ndarray of int8
        1 where a vacancy is next to the rotor, shape (n_bins, n_rotors).
    bin_ps : float
        Length of those bins, ps.
    n_triggered : int
        Hops that a rotation triggered.
    hazard_ratio : float
        Rate of hops at a rotor in the `window_ps` after it turned, over the rate otherwise, of the model.
    """

    events: dict
    vacancy: np.ndarray
    bin_ps: float
    n_triggered: int
    hazard_ratio: float


def planted_events(
    *,
    seed,
    per_axis=3,
    duration_ps=600.0,
    rotation_rate_per_ps=0.06,
    hop_rate_per_ps=0.06,
    heterogeneity=0.0,
    bursts=0.0,
    drift=0.0,
    vacancy_factor=1.0,
    coupled_fraction=0.0,
    lag_ps=0.5,
    lag_spread_ps=0.15,
    window_ps=1.0,
    carry=False,
    spacing_A=4.0,
    bin_ps=0.05,
):
    """Return rotations and hops of rotors on a cubic grid, with or without coupling.

    Hops run along the edges of the octahedron about their own rotor: their middles are 0.35 of the spacing
    from it and 0.79 from two others. Rotations and hops are Poisson processes but for what options add.

    Parameters
    ----------
    seed
        Seed of the random generator.
    per_axis, spacing_A
        Rotors along each edge of the periodic grid and their distance, Å.
    duration_ps
        Length of the run, ps.
    rotation_rate_per_ps, hop_rate_per_ps
        Mean rates per rotor, 1/ps.
    heterogeneity
        In [0, 1): one half of the cell is fast and one slow, rates times 1 ± this, rotations and hops alike.
    bursts
        In [0, 1): rotors are restless and quiet in turn (10 ps each), rotation rates times 1 ± this.
    drift
        In [0, 1): rates of rotations and hops fall along the run, from 1 + this to 1 - this of their mean.
    vacancy_factor
        With a vacancy next to it (a third of the time, 5 ps on average) a rotor turns and its ions hop so
        many times faster than without: a common cause, no coupling.
    coupled_fraction
        Share of hops that a rotation of their own rotor triggers.
    lag_ps, lag_spread_ps
        Mean and standard deviation (normal, cut at 0 and `window_ps`) from rotation to triggered hop, ps.
    window_ps
        Time after a rotation over which the planted hazard ratio is stated, ps.
    carry
        Triggered hops go where the rotation carries the ion; otherwise all directions are random.
    bin_ps
        Resolution of the vacancy record, ps.

    Returns
    -------
    PlantedEvents
    """
    shares = (heterogeneity, bursts, drift, coupled_fraction)
    if not (all(0 <= share < 1 for share in shares) and vacancy_factor >= 1):
        raise ConfigError(
            "heterogeneity, bursts, drift and coupled_fraction must lie in [0, 1) and vacancy_factor be 1 "
            "or more"
        )
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(per_axis)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    n_rotors, n_bins = len(grid), round(duration_ps / bin_ps)
    region = np.where(grid[:, 0] < per_axis / 2, 1 + heterogeneity, 1 - heterogeneity)
    region = region / region.mean()
    vacancy = _telegraph(rng, n_bins, n_rotors, bin_ps / 5.0, bin_ps / 10.0)
    restless = _telegraph(rng, n_bins, n_rotors, bin_ps / 10.0, bin_ps / 10.0)
    lively = np.where(vacancy, vacancy_factor, 1.0) / (1 + (vacancy_factor - 1) / 3)
    lively *= 1 + drift * (1 - (2 * np.arange(n_bins)[:, None] + 1) / n_bins)
    rotation_rate = rotation_rate_per_ps * region * lively * np.where(restless, 1 + bursts, 1 - bursts)
    free_rate = hop_rate_per_ps * (1 - coupled_fraction) * region * lively
    rotors, rotation_times = _poisson(rng, rotation_rate, bin_ps)
    owners, hop_times = _poisson(rng, free_rate, bin_ps)
    turns = (
        np.radians(90.0 + 8.0 * rng.normal(size=len(rotors)))[:, None]
        * _DIRECTIONS[rng.integers(6, size=len(rotors))]
    )
    wanted = hop_rate_per_ps * coupled_fraction * n_rotors * duration_ps
    lags = np.clip(rng.normal(lag_ps, lag_spread_ps, size=len(rotors)), 0.0, window_ps)
    # a share of the rate of hops then, so that the hazard ratio is the same with and without a vacancy
    then = np.minimum(((rotation_times + lags) / bin_ps).astype(np.int64), n_bins - 1)
    rate_then = free_rate[then, rotors]
    share = wanted / rate_then.sum() if coupled_fraction else 0.0
    if share * rate_then.max(initial=0.0) > 1:
        raise ConfigError("a rotation would have to trigger more than one hop: lower coupled_fraction")
    triggers = np.flatnonzero(
        (rng.random(len(rotors)) < share * rate_then) & (rotation_times + lags < duration_ps)
    )
    lags = lags[triggers]
    owner = np.concatenate([owners, rotors[triggers]])
    starts = _DIRECTIONS[rng.integers(6, size=len(owner))]
    vectors = _across(rng, starts)
    if carry and len(triggers):
        turned = Rotation.from_rotvec(turns[triggers])
        place = starts[len(owners) :].copy()
        # an ion on the axis of the rotation is not carried: put it beside
        along = np.abs(np.sum(place * turns[triggers], axis=1)) > 0.5
        place[along] = np.roll(place[along], 1, axis=1)
        starts[len(owners) :] = place
        vectors[len(owners) :] = turned.apply(place) - place
    half = _ACROSS * spacing_A
    centres = spacing_A * grid.astype(float)
    events = {
        "rotation_rotors": rotors,
        "rotation_times_ps": rotation_times,
        "rotation_vectors_rad": turns,
        "hop_times_ps": np.concatenate([hop_times, rotation_times[triggers] + lags]),
        "hop_starts_A": centres[owner] + half * starts,
        "hop_vectors_A": half * vectors,
        "rotor_centres_A": centres,
        "cell_A": spacing_A * per_axis * np.eye(3),
        "duration_ps": float(duration_ps),
    }
    turns = rotation_rate * window_ps
    crowding = np.sum(free_rate * turns) / np.sum(free_rate * -np.expm1(-turns))
    hazard_ratio = 1 + share / window_ps * crowding
    return PlantedEvents(events, vacancy, bin_ps, len(triggers), float(hazard_ratio))


def _across(rng, starts):
    """Return steps to one of the four neighbours of each start on the octahedron about its rotor."""
    axis = np.abs(starts).argmax(axis=1)
    other = (axis + rng.integers(1, 3, len(starts))) % 3
    ends = np.zeros_like(starts)
    ends[np.arange(len(starts)), other] = rng.choice([-1.0, 1.0], len(starts))
    return ends - starts


def _poisson(rng, rate_bj, bin_ps):
    """Return rotors and times of events at rates that change from bin to bin, in order of time."""
    highest = rate_bj.max()
    n_bins, n_rotors = rate_bj.shape
    count = rng.poisson(highest * bin_ps * n_bins * n_rotors)
    times, rotors = n_bins * bin_ps * rng.random(count), rng.integers(n_rotors, size=count)
    bins = np.minimum((times / bin_ps).astype(np.int64), n_bins - 1)
    kept = np.flatnonzero(rng.random(count) * highest < rate_bj[bins, rotors])
    kept = kept[np.argsort(times[kept], kind="stable")]
    return rotors[kept], times[kept]


def _telegraph(rng, n_bins, n_rotors, leave, enter):
    """Return independent two-state signals with chances per bin to leave 1 and to enter it."""
    state = np.empty((n_bins, n_rotors), dtype=np.int8)
    _switch(rng, state, leave, enter)
    return state


@kernel
def _switch(rng, state_bj, leave, enter):
    for j in range(state_bj.shape[1]):
        now = rng.random() < enter / (enter + leave)
        for b in range(state_bj.shape[0]):
            if rng.random() < (leave if now else enter):
                now = not now
            state_bj[b, j] = 1 if now else 0
