"""Hydroxide anti-perovskites as toys: cations hop by vacancies, hydroxides turn for known reasons."""

import numpy as np

from simtools.core.errors import ConfigError
from simtools.md.trajectory import LatticeSites, Trajectory
from simtools.testing.walkers import vacancy_walk

__all__ = ["hydroxide_crystal"]

_MOTIONS = ("independent", "follow vacancies")
_DIRECTIONS = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1.0, 0], [0, -1, 0], [0, 0, 1.0], [0, 0, -1]])


def hydroxide_crystal(
    n_frames,
    *,
    seed,
    motion="independent",
    turn_rate_per_ps=0.02,
    delay_ps=0.3,
    n_vacancies=4,
    supercell=(3, 3, 3),
    lattice_parameter_A=3.9,
    hop_rate_per_ps=0.02,
    frame_interval_ps=0.05,
    rattle_A=0.1,
    libration=0.15,
    bond_A=0.97,
    temperature_K=600.0,
    wrapped=False,
):
    """Return Li, O, H and Cl of a cubic Li3OCl lattice with vacancies, every O carrying an H.

    Parameters
    ----------
    n_frames, seed, frame_interval_ps, temperature_K
        As for other toys.
    motion
        "independent": each hydroxide jumps among the six directions to its Li sites, whatever Li does;
        "follow vacancies": its H points to a vacancy next to it, once that has been there for `delay_ps`: it
        turns because of hops and drives none.
    turn_rate_per_ps
        Rate of independent jumps, 1/ps.
    delay_ps
        Time from the arrival of a vacancy to the turn, ps.
    n_vacancies, supercell, lattice_parameter_A, hop_rate_per_ps
        Of `simtools.testing.vacancy_walk`.
    rattle_A, libration
        Thermal noise of every atom (Å) and of the bond's direction (rad), drawn anew in every frame.
    bond_A
        O-H distance, Å.
    wrapped
        Fold every atom into the cell.

    Returns
    -------
    Trajectory
        With `lattice_sites`.
    """
    if motion not in _MOTIONS:
        raise ConfigError(f"motion must be one of {', '.join(_MOTIONS)}; got {motion!r}")
    rng = np.random.default_rng([seed, 1])
    walk = vacancy_walk(
        n_frames,
        seed=seed,
        n_vacancies=n_vacancies,
        supercell=supercell,
        lattice_parameter_A=lattice_parameter_A,
        hop_rate_per_ps=hop_rate_per_ps,
        frame_interval_ps=frame_interval_ps,
        temperature_K=temperature_K,
    )
    repeats = np.asarray(supercell)
    cells = np.stack(np.meshgrid(*map(np.arange, repeats), indexing="ij"), axis=-1).reshape(-1, 3)
    centres = lattice_parameter_A * (cells + 0.5)
    n_rotors = len(centres)
    if motion == _MOTIONS[0]:
        index = rng.integers(6, size=(n_frames, n_rotors))
        jumps = rng.random((n_frames, n_rotors)) < turn_rate_per_ps * frame_interval_ps
        jumps[0] = True
        frame = np.maximum.accumulate(np.where(jumps, np.arange(n_frames)[:, None], 0), axis=0)
        index = np.take_along_axis(index, frame, axis=0)
    else:
        index = _following(
            walk, cells, repeats, lattice_parameter_A, round(delay_ps / frame_interval_ps), rng
        )
    u = _DIRECTIONS[index] + libration * rng.normal(size=(n_frames, n_rotors, 3))
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    oxygen = centres + rattle_A * rng.normal(size=u.shape)
    chloride = lattice_parameter_A * cells + rattle_A * rng.normal(size=u.shape)
    lithium = walk.positions_A + rattle_A * rng.normal(size=walk.positions_A.shape)
    r_tnc = np.concatenate([lithium, oxygen, oxygen + bond_A * u, chloride], axis=1)
    edge = lattice_parameter_A * repeats
    sites = np.concatenate([walk.lattice_sites.scaled_positions, (cells + 0.5) / repeats, cells / repeats])
    names = ["Li"] * len(walk.lattice_sites.species) + ["O"] * n_rotors + ["Cl"] * n_rotors
    return Trajectory(
        positions_A=r_tnc % edge if wrapped else r_tnc,
        species=np.array(["Li"] * lithium.shape[1] + ["O"] * n_rotors + ["H"] * n_rotors + ["Cl"] * n_rotors),
        cells_A=np.diag(edge.astype(float)),
        frame_interval_ps=frame_interval_ps,
        temperature_K=temperature_K,
        lattice_sites=LatticeSites(sites, names),
    )


def _following(walk, cells, repeats, a, delay, rng):
    """Return direction indices of hydroxides that turn to a vacancy once it has stayed for `delay` frames."""
    n_frames = walk.n_frames
    twice = np.rint(2 * walk.positions_A / a).astype(np.int64) % (2 * repeats)
    key = np.ravel_multi_index(np.moveaxis(twice, -1, 0), 2 * repeats)
    n_keys = int(np.prod(2 * repeats))
    around = (2 * cells[:, None] + 1 + _DIRECTIONS.astype(int)[None]) % (2 * repeats)
    around = np.ravel_multi_index(np.moveaxis(around, -1, 0), 2 * repeats)
    index = np.empty((n_frames, len(cells)), dtype=np.int64)
    now = rng.integers(6, size=len(cells))
    since = np.zeros((len(cells), 6), dtype=np.int64)
    for t in range(n_frames):
        taken = np.zeros(n_keys, dtype=bool)
        taken[key[t]] = True
        vacant = ~taken[around]
        since = np.where(vacant, since + 1, 0)
        ready = since > delay
        elsewhere = ready.any(axis=1) & ~np.take_along_axis(ready, now[:, None], axis=1)[:, 0]
        now = np.where(elsewhere, np.argmax(ready, axis=1), now)
        index[t] = now
    return index
