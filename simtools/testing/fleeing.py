"""Dipoles that point into vacancies and leave them when an ion hops in: oracles for tests of carry."""

import numpy as np

from simtools.core.errors import ConfigError

__all__ = ["fleeing_dipoles"]

_SIX = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])


def fleeing_dipoles(
    *,
    seed,
    per_axis=3,
    duration_ps=600.0,
    rotation_rate_per_ps=0.06,
    hop_rate_per_ps=0.06,
    flights=0.2,
    carried=0.0,
    opposite=0.4,
    lag_ps=0.3,
    spacing_A=4.0,
):
    """Return rotations of dipoles and hops of ions, some of them into the place that a dipole then leaves.

    Dipoles on a cubic grid point to one of six corners about them and jump among them at random; ions hop
    across the edges of these octahedra at random. A share of hops ends where the dipole points: it leaves
    before, for any of the other corners but the one that the ion comes from, or sweeps the ion along.

    Parameters
    ----------
    seed, per_axis, duration_ps, spacing_A
        As for `simtools.testing.coupled.planted_events`.
    rotation_rate_per_ps, hop_rate_per_ps
        Mean rates per rotor, 1/ps, flights not among rotations.
    flights
        Share of hops that make a dipole leave.
    carried
        Share of those in which the dipole turns with the ion: its old corner comes where the quarter turn
        that takes the ion to its new place takes it.
    opposite
        How likely half a turn is beside each quarter turn, in all rotations.
    lag_ps
        Longest time from leaving to hop, ps.

    Returns
    -------
    dict
        Keyword arguments of `simtools.analysers.coupled_events.RotorHops`.
    """
    if not (0 <= flights < 1 and 0 <= carried <= 1 and opposite >= 0):
        raise ConfigError("expected flights in [0, 1), carried in [0, 1] and opposite of at least 0")
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(per_axis)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    turns, hops = [], []
    for rotor in range(len(grid)):
        n_turns, n_hops = (
            rng.poisson(rate * duration_ps) for rate in (rotation_rate_per_ps, hop_rate_per_ps)
        )
        hop_times = duration_ps * rng.random(n_hops)
        flees = rng.random(n_hops) < flights
        events = [(time, None) for time in duration_ps * rng.random(n_turns)]
        lags = lag_ps * rng.random(n_hops)
        events += [
            (max(0.0, time - lag), time)
            for time, lag, flee in zip(hop_times, lags, flees, strict=True)
            if flee
        ]
        for time in hop_times[~flees]:
            start = rng.integers(6)
            hops.append((time, rotor, start, _beside(rng, start)))
        now = rng.integers(6)
        for time, hop_time in sorted(events, key=lambda event: event[0]):
            if hop_time is None:
                new = _leave(rng, now, (), opposite)
            else:
                start = _beside(rng, now)
                hops.append((hop_time, rotor, start, now))
                swept = rng.random() < carried
                new = start ^ 1 if swept else _leave(rng, now, (start,), opposite)
            turns.append((time, rotor, now, new))
            now = new
    turns.sort()
    hops.sort()
    times, rotors, before, after = (np.array(column) for column in zip(*turns, strict=True))
    hop_times, owners, starts, ends = (np.array(column) for column in zip(*hops, strict=True))
    half = 0.5 * spacing_A
    centres = spacing_A * grid.astype(float)
    axes = np.cross(_SIX[before], _SIX[after]).astype(float)
    halves = (before ^ 1) == after
    axes[halves] = 2 * np.roll(_SIX[before[halves]], 1, axis=1)
    return {
        "rotation_rotors": rotors,
        "rotation_times_ps": times,
        "rotation_vectors_rad": 0.5 * np.pi * axes,
        "rotation_starts": _SIX[before].astype(float),
        "hop_times_ps": hop_times,
        "hop_starts_A": centres[owners] + half * _SIX[starts],
        "hop_vectors_A": half * (_SIX[ends] - _SIX[starts]).astype(float),
        "rotor_centres_A": centres,
        "cell_A": spacing_A * per_axis * np.eye(3),
        "duration_ps": float(duration_ps),
    }


def _beside(rng, corner):
    """Return one of the four corners that share an edge with a corner."""
    return int(rng.choice([k for k in range(6) if k // 2 != corner // 2]))


def _leave(rng, now, blocked, opposite):
    choices = [k for k in range(6) if k != now and k not in blocked]
    weight = np.array([opposite if k == now ^ 1 else 1.0 for k in choices])
    return int(rng.choice(choices, p=weight / weight.sum()))
