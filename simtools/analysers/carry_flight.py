"""Does a polar rotor carry ions more than by turning its dipole out of their way? A null for the vector test.

The end of a dipole points into a vacancy and leaves it when an ion hops in. It may go anywhere but to that
vacancy and to where the ion comes from, and by geometry alone many of these turns would carry the ion along.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations, product

import numpy as np

from simtools.analysers.coupled_events import RotorHops

__all__ = ["FlightTest", "cosine_of_carry", "flight_test"]

_SAME = np.cos(np.radians(45.0))
_OPPOSITE = -0.98
_FEWEST = 20
_MOST_POOLED = 2000
_COUNTS = 10
_LEFT_OUT, _FROM_END, _FROM_START, _ARRIVES, _OTHER = -1, 0, 1, 2, 3


@dataclass(frozen=True, eq=False)
class FlightTest:
    """Cosines between hops and the carry of dipoles, above those of turns that only clear the way.

    Attributes
    ----------
    n_pairs : int
        Rotations that have a near hop within the window and an alternative.
    n_left_out : int
        Those with too few alternatives, or whose dipole went from or to where the ion did.
    cosine, null_cosine : float
        Mean, and its mean over redrawn turns.
    beyond_chance : float
        `n_pairs` above the mean number of pairs of shifted rotors.
    beyond_chance_error : float
        Spread of that number between shifts.
    most : float
        What the sum of cosines would be if dipoles of all pairs beyond chance had carried the ion.
    deviations : ndarray
        Sum of cosines above the mean over redrawn turns: observed, then draws, shape (n_draws + 1,).
    """

    n_pairs: int
    n_left_out: int
    cosine: float
    null_cosine: float
    beyond_chance: float
    beyond_chance_error: float
    most: float
    deviations: np.ndarray


def flight_test(
    runs: Sequence[RotorHops],
    *,
    stretches: Sequence[RotorHops],
    radius_A: float,
    window_ps: tuple[float, float],
    n_draws: int,
    rng,
) -> FlightTest:
    """Compare turns of dipoles at hops with turns of the same beginning without a hop.

    Each rotation goes with the near hop that is nearest in time. Its new direction (where that is neither
    end of the hop) is redrawn from those that dipoles take from the same old direction, within 45 degrees,
    while no ion hops near them, with both ends of the hop left out. Where the new direction is where the ion
    came from, the old one is redrawn in the same way: the same event backwards. Alternatives are those of
    the same rotor if there are 20, else of all rotors, else of all rotors under the rotations of a cube.

    Parameters
    ----------
    runs
        With `rotation_starts`.
    stretches
        The same in pieces, in which rotors are shifted to count pairs by chance.
    radius_A, window_ps
        As for `carry_test`.
    n_draws
        Number of redrawn sets.
    rng
        Random generator.

    Notes
    -----
    Limits: dipoles that leave for anywhere have no excess; dipoles that sweep the ion along have a cosine
    of 1. Alternatives are taken as known: their own scatter is left out, which hops in all
    directions about each rotor average away.
    """
    pooled, pairs = [], []
    n_rotations = sum(run.n_rotations for run in runs)
    for index, run in enumerate(runs):
        old = run.rotation_starts
        new = turned(old, run.rotation_vectors_rad)
        hops, starts, ends = _nearest_hops(run, run.near(radius_A), run.rotation_times_ps, window_ps)
        free = np.flatnonzero(hops < 0)
        owner = run.rotation_rotors.astype(np.int64) + 1_000_000 * index
        pooled.append((owner[free], old[free], new[free]))
        seen = np.flatnonzero(hops >= 0)
        pairs.append((owner[seen], old[seen], new[seen], starts[seen], ends[seen]))
    pooled = [np.concatenate(item) for item in zip(*pooled, strict=True)]
    owner, old, new, start, end = (np.concatenate(item) for item in zip(*pairs, strict=True))
    if len(pooled[0]) > _MOST_POOLED:
        kept = rng.choice(len(pooled[0]), _MOST_POOLED, replace=False)
        pooled = [item[kept] for item in pooled]
    kind = _kinds(old, new, start, end)
    usable = np.flatnonzero(kind != _LEFT_OUT)
    cosines = cosine_of_carry(old, new, start, end - start)
    found = [
        _alternatives(pooled, owner[k], old[k], new[k], start[k], end[k], kind[k] == _ARRIVES) for k in usable
    ]
    held = [k for k, item in zip(usable, found, strict=True) if len(item)]
    found = [item for item in found if len(item)]
    deviations = np.zeros(n_draws + 1)
    means = np.array([item.mean() for item in found])
    by_chance = _by_chance(stretches, radius_A, window_ps, rng) * len(held) / max(1, len(usable))
    seen = np.bincount(kind[held], minlength=4)
    room = 1 - np.bincount(kind[held], weights=means, minlength=4) / np.maximum(seen, 1)
    # rotations that belong to their hop are not there for pairs by chance
    by_chance *= 1 - (len(held) - by_chance.sum(axis=1, keepdims=True)) / (
        n_rotations - by_chance.sum(axis=1, keepdims=True)
    )
    beyond = seen - by_chance
    for k, item in zip(held, found, strict=True):
        deviations[0] += cosines[k] - item.mean()
        deviations[1:] += item[rng.integers(len(item), size=n_draws)] - item.mean()
    return FlightTest(
        n_pairs=len(held),
        n_left_out=len(owner) - len(held),
        cosine=float(cosines[held].mean()) if held else 0.0,
        null_cosine=float(means.mean()) if held else 0.0,
        beyond_chance=float(beyond.sum(axis=1).mean()),
        beyond_chance_error=float(beyond.sum(axis=1).std(ddof=1)),
        most=float((beyond @ room).mean()),
        deviations=deviations,
    )


def turned(directions, vectors_rad):
    """Return unit vectors turned by rotation vectors, both of shape (n, 3)."""
    angle = np.linalg.norm(vectors_rad, axis=1, keepdims=True)
    axis = vectors_rad / np.maximum(angle, 1e-300)
    along = np.sum(axis * directions, axis=1, keepdims=True)
    return (
        np.cos(angle) * directions
        + np.sin(angle) * np.cross(axis, directions)
        + (1 - np.cos(angle)) * along * axis
    )


def cosine_of_carry(old, new, place_A, step_A):
    """Return the cosine between a step and where the shortest turn of a dipole carries a place.

    Parameters
    ----------
    old, new
        Unit vectors, shape (..., 3). Half a turn has no axis of its own: the mean over all counts.
    place_A, step_A
        Where the ion begins, from the rotor's centre, and its step, (..., 3), Å.

    Returns
    -------
    ndarray
        0 where the place does not move.
    """
    cosine = np.sum(old * new, axis=-1, keepdims=True)
    both = old + new
    from_old = np.sum(old * place_A, axis=-1, keepdims=True)
    opposite = cosine < _OPPOSITE
    bend = np.sum(both * place_A, axis=-1, keepdims=True) / np.where(opposite, 1.0, 1 + cosine)
    carry = np.where(opposite, -place_A - from_old * old, 2 * from_old * new - bend * both)
    norm = np.linalg.norm(carry, axis=-1) * np.linalg.norm(step_A, axis=-1)
    moved = np.linalg.norm(carry, axis=-1) > 1e-9 * np.linalg.norm(place_A, axis=-1)
    return np.where(moved, np.sum(carry * step_A, axis=-1) / np.where(moved, norm, 1.0), 0.0)


def _kinds(old, new, start, end):
    """Return for each pair where its dipole pointed, or that it is left out (see `flight_test`)."""
    at_start, at_end = _unit(start), _unit(end)
    old_start, old_end, new_start, new_end = (
        np.sum(u * place, axis=1) > _SAME for u in (old, new) for place in (at_start, at_end)
    )
    leaves = ~(new_start | new_end)
    return np.select(
        [leaves & old_end, leaves & old_start, leaves, new_start & ~(old_start | old_end)],
        [_FROM_END, _FROM_START, _OTHER, _ARRIVES],
        _LEFT_OUT,
    )


def _by_chance(stretches, radius_A, window_ps, rng):
    """Return numbers of pairs of each kind in shifted copies of each rotor, shape (10, 4)."""
    found = np.zeros((_COUNTS, 4))
    for run in stretches:
        near, old = run.near(radius_A), run.rotation_starts
        new = turned(old, run.rotation_vectors_rad)
        for k in range(_COUNTS):
            shift = run.duration_ps * rng.random(run.n_rotors)
            times = (run.rotation_times_ps + shift[run.rotation_rotors]) % run.duration_ps
            hops, start, end = _nearest_hops(run, near, times, window_ps)
            kind = _kinds(old, new, start, end)
            found[k] += np.bincount(kind[(hops >= 0) & (kind != _LEFT_OUT)], minlength=4)
    return found


def _nearest_hops(run, near, times_ps, window_ps):
    """Return for each rotation the near hop nearest in time (-1: none), and its two ends from the rotor."""
    low, high = window_ps
    hops = np.full(run.n_rotations, -1, dtype=np.int64)
    starts, ends = np.zeros((run.n_rotations, 3)), np.zeros((run.n_rotations, 3))
    order, first = run.rotations_by_rotor()
    for rotor, (a, b) in enumerate(pairwise(near.first)):
        mine = order[first[rotor] : first[rotor + 1]]
        if a == b or len(mine) == 0:
            continue
        lag = run.hop_times_ps[near.hops[a:b]][None, :] - times_ps[mine][:, None]
        lag = np.where((lag >= low) & (lag < high), np.abs(lag), np.inf)
        best = lag.argmin(axis=1)
        seen = np.isfinite(lag[np.arange(len(mine)), best])
        chosen, which = mine[seen], a + best[seen]
        hops[chosen] = near.hops[which]
        starts[chosen] = near.starts_A[which]
        ends[chosen] = near.starts_A[which] + run.hop_vectors_A[near.hops[which]]
    return hops, starts, ends


def _alternatives(pooled, owner, old, new, start, end, backwards):
    """Return the cosines of the turns that might have been, empty if there are under 20."""
    owners, before, after = pooled
    if backwards:
        before, after, fixed = after, before, new
    else:
        fixed = old
    ends = np.stack([_unit(start), _unit(end)])

    def other(before, after, chosen):
        allowed = chosen & (before @ fixed > _SAME) & ((after @ ends.T) <= _SAME).all(axis=1)
        return before[allowed], after[allowed]

    for chosen in (owners == owner, np.ones(len(owners), dtype=bool)):
        a, b = other(before, after, chosen)
        if len(b) >= _FEWEST:
            break
    else:
        before, after = (np.einsum("gcd,nd->gnc", _CUBE, item).reshape(-1, 3) for item in (before, after))
        a, b = other(before, after, np.ones(len(before), dtype=bool))
        if len(b) < _FEWEST:
            return np.zeros(0)
    first, last = (b, a) if backwards else (a, b)
    return cosine_of_carry(first, last, start, end - start)


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-300)


def _cube():
    """Return the 24 rotations of a cube, shape (24, 3, 3)."""
    found = [
        np.eye(3)[list(order)] * np.array(signs)[:, None]
        for order in permutations(range(3))
        for signs in product((1.0, -1.0), repeat=3)
    ]
    return np.array([item for item in found if np.linalg.det(item) > 0])


_CUBE = _cube()
