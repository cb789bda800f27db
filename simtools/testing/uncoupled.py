"""Rotors and hopping ions, frame by frame, that know nothing of each other: oracles for analysers."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from simtools.core.errors import ConfigError
from simtools.md.trajectory import Trajectory

__all__ = ["UncoupledMotion", "uncoupled_motion"]

_SIX = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])


@dataclass(frozen=True, eq=False)
class UncoupledMotion:
    """A trajectory and its true events.

    Attributes
    ----------
    trajectory : Trajectory
        O, H, Cl and Li; every O carries an H.
    events : dict
        Keyword arguments of `simtools.analysers.coupled_events.RotorHops`.
    vacant : ndarray of int8
        1 while both rates at a rotor are raised, shape (n_frames, n_rotors).
    """

    trajectory: Trajectory
    events: dict
    vacant: np.ndarray


def uncoupled_motion(
    *,
    seed,
    n_frames=2000,
    frame_interval_ps=0.05,
    per_axis=2,
    spacing_A=4.0,
    ions_per_rotor=2,
    rotation_rate_per_ps=0.3,
    hop_rate_per_ps=0.3,
    heterogeneity=0.0,
    drift=0.0,
    vacancy_factor=1.0,
    libration=0.15,
    rattle_A=0.1,
    memory_ps=0.1,
    follow=0.0,
):
    """Return rotors that turn by jumps and librate, and ions that hop beside them, independently.

    Rotors stand on a cubic grid; ions sit half way between two of them and hop across the edges of the
    octahedron about one. Rotations and hops are Poisson processes, rattle and libration Ornstein-Uhlenbeck.

    Parameters
    ----------
    seed, n_frames, frame_interval_ps
        Seed and size.
    per_axis, spacing_A, ions_per_rotor
        Of the grid; ions do not see each other.
    rotation_rate_per_ps, hop_rate_per_ps
        Mean rates per rotor, 1/ps.
    heterogeneity
        In [0, 1): one half of the cell is fast and one slow, in rates, libration and rattle alike.
    drift
        In [0, 1): all of these fall along the run, from 1 + this to 1 - this of their mean.
    vacancy_factor
        A third of the time (5 ps on average) a rotor turns and ions hop beside it so many times faster.
    libration, rattle_A, memory_ps
        Mean libration (rad) and rattle (Å) along each axis, and their correlation time, ps.
    follow
        Chance that a hop makes its rotor turn at the same time: coupling, to see that it is found.

    Returns
    -------
    UncoupledMotion
    """
    if not (0 <= heterogeneity < 1 and 0 <= drift < 1 and vacancy_factor >= 1 and 0 <= follow <= 1):
        raise ConfigError(
            "expected heterogeneity and drift in [0, 1), vacancy_factor >= 1 and follow in [0, 1]"
        )
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(per_axis)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    n_rotors, dt = len(grid), frame_interval_ps
    region = np.where(grid[:, 0] < per_axis / 2, 1 + heterogeneity, 1 - heterogeneity)
    ageing = 1 + drift * (1 - (2 * np.arange(n_frames)[:, None] + 1) / n_frames)
    vacant = _telegraph(rng, n_frames, n_rotors, dt / 5.0, dt / 10.0)
    lively = region * ageing * np.where(vacant, vacancy_factor, 1.0) / (1 + (vacancy_factor - 1) / 3)
    turned, hopped = (
        rng.random(lively.shape) < rate * dt * lively for rate in (rotation_rate_per_ps, hop_rate_per_ps)
    )
    hop_frames, owners = np.nonzero(hopped)
    sites, starts, ends, ions = _walk(rng, grid, per_axis, ions_per_rotor * n_rotors, hop_frames, owners)
    kept = ions >= 0
    hop_frames, owners, starts, ends, ions = (x[kept] for x in (hop_frames, owners, starts, ends, ions))
    following = rng.random(len(owners)) < follow
    turned[hop_frames[following], owners[following]] = True
    turned[0] = False
    which = np.empty((n_frames, n_rotors), dtype=int)
    which[0] = rng.integers(6, size=n_rotors)
    rotation_frames, rotors = np.nonzero(turned)
    vectors = np.empty((len(rotors), 3))
    now, last = which[0].copy(), 0
    for k, (frame, rotor) in enumerate(zip(rotation_frames, rotors, strict=True)):
        which[last:frame] = now
        last = frame
        axis = now[rotor] // 2
        new = rng.choice([i for i in range(6) if i // 2 != axis])
        vectors[k] = 0.5 * np.pi * np.cross(_SIX[now[rotor]], _SIX[new])
        now[rotor] = new
    which[last:] = now
    size = np.sqrt(region * ageing)[..., None]
    u = _SIX[which] + libration * size * _noise(rng, (n_frames, n_rotors, 3), dt / memory_ps)
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    centres = spacing_A * (grid + 0.5)
    oxygen, chloride = (
        place + rattle_A * size * _noise(rng, (n_frames, n_rotors, 3), dt / memory_ps)
        for place in (centres, spacing_A * grid)
    )
    lithium = np.broadcast_to(sites, (n_frames, *sites.shape)).copy()
    for frame, ion, step in zip(hop_frames, ions, ends - starts, strict=True):
        lithium[frame:, ion] += step
    lithium = 0.5 * spacing_A * lithium
    lithium += rattle_A * ageing[..., None] ** 0.5 * _noise(rng, lithium.shape, dt / memory_ps)
    trajectory = Trajectory(
        positions_A=np.concatenate([oxygen, oxygen + 0.97 * u, chloride, lithium], axis=1),
        species=np.array(["O"] * n_rotors + ["H"] * n_rotors + ["Cl"] * n_rotors + ["Li"] * len(sites)),
        cells_A=spacing_A * per_axis * np.eye(3),
        frame_interval_ps=dt,
    )
    events = {
        "rotation_rotors": rotors,
        "rotation_times_ps": rotation_frames * dt,
        "rotation_vectors_rad": vectors,
        "hop_times_ps": hop_frames * dt,
        "hop_starts_A": 0.5 * spacing_A * starts,
        "hop_vectors_A": 0.5 * spacing_A * (ends - starts),
        "rotor_centres_A": centres,
        "cell_A": spacing_A * per_axis * np.eye(3),
        "duration_ps": float((n_frames - 1) * dt),
    }
    return UncoupledMotion(trajectory, events, vacant)


def _walk(rng, grid, per_axis, n_ions, frames, owners):
    """Return first sites, and start, end and ion of each hop (-1 where none was), in half spacings."""
    period = 2 * per_axis
    first = (2 * grid + 1)[rng.integers(len(grid), size=n_ions)] + _SIX[rng.integers(6, size=n_ions)]
    now = first.copy()
    starts, ends, ions = np.zeros((len(frames), 3)), np.zeros((len(frames), 3)), np.full(len(frames), -1)
    half = per_axis
    for k, owner in enumerate(owners):
        gap = (now - (2 * grid[owner] + 1) + half) % period - half
        beside = np.flatnonzero(np.abs(gap).sum(axis=1) == 1)
        if len(beside) == 0:
            continue
        ion = rng.choice(beside)
        step = _SIX[rng.choice(np.flatnonzero(_SIX @ gap[ion] == 0))] - gap[ion]
        starts[k], ends[k], ions[k] = now[ion], now[ion] + step, ion
        now[ion] = now[ion] + step
    return first.astype(float), starts, ends, ions


def _noise(rng, shape, decay):
    """Return Ornstein-Uhlenbeck noise of unit variance along the first axis."""
    keep = np.exp(-decay)
    white = rng.normal(size=shape)
    white[1:] *= np.sqrt(1 - keep**2)
    return lfilter([1.0], [1.0, -keep], white, axis=0)


def _telegraph(rng, n_frames, n_rotors, leave, enter):
    state = np.empty((n_frames, n_rotors), dtype=np.int8)
    chance = rng.random((n_frames, n_rotors))
    state[0] = chance[0] < enter / (enter + leave)
    for t in range(1, n_frames):
        state[t] = np.where(state[t - 1], chance[t] >= leave, chance[t] < enter)
    return state
