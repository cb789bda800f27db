"""Lattice walks with exactly known transport, as trajectories. They are oracles for analysers, not models."""

from functools import lru_cache

import numpy as np

from simtools.core.accelerate import kernel
from simtools.core.errors import ConfigError
from simtools.md.kernels.lattice_walk import positions_at_frames, vacancy_events
from simtools.md.trajectory import LatticeSites, Trajectory

__all__ = ["lattice_walkers", "vacancy_walk", "x3_sublattice"]

_SMALLEST_CELL_HOPS = 20
_X3_BASIS = np.array([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])


@kernel
def _walk(steps_tgc, group_of_n, r_tnc):
    """Accumulate group steps into ion positions; r_tnc[0] holds the start."""
    for t in range(steps_tgc.shape[0]):
        for n in range(r_tnc.shape[1]):
            g = group_of_n[n]
            for c in range(3):
                r_tnc[t + 1, n, c] = r_tnc[t, n, c] + steps_tgc[t, g, c]


def lattice_walkers(
    n_frames,
    n_ions,
    *,
    seed,
    group_size=1,
    hops_per_frame=0.2,
    hop_length_A=1.0,
    rattle_A=0.0,
    frame_interval_ps=1.0,
    temperature_K=None,
    species="Li",
    charge_e=1,
    volume_A3=None,
):
    r"""Return ions that hop on a cubic lattice, alone or in rigid groups that hop as one.

    .. math:: D^* = \nu a^2 / 6, \qquad D_\sigma = g D^*, \qquad H_R = 1/g

    with the hop rate :math:`\nu` = `hops_per_frame` / `frame_interval_ps`.

    Parameters
    ----------
    n_frames, n_ions
        Size of the trajectory; `n_ions` is a multiple of `group_size`.
    seed
        Seed of the random generator.
    group_size
        g, the number of ions that always hop together: 1 for independent ions, `n_ions` for lock-step.
    hops_per_frame
        Mean number of hops of a group between two frames (Poisson); 0 leaves every ion at home.
    hop_length_A
        Length of one hop along a Cartesian axis, Å.
    rattle_A
        Standard deviation per axis of each ion's vibration about its site, drawn anew in every frame, Å.
    frame_interval_ps
        Time between frames, ps.
    temperature_K
        Temperature written into the trajectory, K.
    species, charge_e
        Symbol and integer formal charge of the ions.
    volume_A3
        Volume of the cubic cell, Å³; by default one site per ion and at least 20 hops along each edge, so
        that several hops between two frames cannot be taken for wrapping. Ions do not see each other.

    Returns
    -------
    Trajectory

    Raises
    ------
    ConfigError
        If `group_size` does not divide `n_ions`.
    """
    if n_ions % group_size:
        raise ConfigError(f"group_size must divide n_ions = {n_ions}, got {group_size}")
    rng = np.random.default_rng(seed)
    n_groups = n_ions // group_size
    hops = rng.poisson(hops_per_frame, size=(n_frames - 1, n_groups))
    steps = np.zeros((n_frames - 1, n_groups, 3))
    for hop in range(int(hops.max(initial=0))):
        frame, group = np.nonzero(hops > hop)
        axis = rng.integers(0, 3, size=len(frame))
        steps[frame, group, axis] += rng.choice([-hop_length_A, hop_length_A], size=len(frame))
    widest = max(np.ceil(np.cbrt(n_ions)), _SMALLEST_CELL_HOPS)
    edge = hop_length_A * widest if volume_A3 is None else np.cbrt(volume_A3)
    r_tnc = np.empty((n_frames, n_ions, 3))
    r_tnc[0] = rng.uniform(0, edge, size=(n_ions, 3))
    _walk(steps, np.arange(n_ions) // group_size, r_tnc)
    if rattle_A:
        r_tnc += rattle_A * rng.standard_normal(r_tnc.shape, dtype=np.float32)
    return Trajectory(
        positions_A=r_tnc,
        species=np.full(n_ions, species),
        cells_A=edge * np.eye(3),
        frame_interval_ps=frame_interval_ps,
        temperature_K=temperature_K,
        formal_charges_e={species: charge_e},
    )


def x3_sublattice(supercell):
    """Return the cation sublattice of cubic X3BA: the edge centres seen from B, the face centres of the cube.

    Parameters
    ----------
    supercell
        Three repeat counts, each at least 2 so that the eight neighbours of a site are distinct.

    Returns
    -------
    sites : ndarray
        Positions in lattice parameters, shape (n_sites, 3).
    neighbours : ndarray of int
        The eight nearest sites of each site, at 1/sqrt(2) lattice parameters, shape (n_sites, 8).
    steps : ndarray
        Vectors to those neighbours in lattice parameters, shape (n_sites, 8, 3).
    """
    repeats = np.asarray(supercell, dtype=int)
    if repeats.shape != (3,) or (repeats < 2).any():
        raise ConfigError(f"supercell must be three repeats of at least 2, got {supercell!r}")
    return _x3_sublattice(tuple(repeats.tolist()))


@lru_cache(maxsize=8)
def _x3_sublattice(repeats):
    repeats = np.array(repeats)
    cells = np.stack(np.meshgrid(*map(np.arange, repeats), indexing="ij"), axis=-1).reshape(-1, 3)
    sites = (cells[:, None, :] + _X3_BASIS).reshape(-1, 3)
    number_of = {tuple(twice): index for index, twice in enumerate(np.rint(2 * sites).astype(int).tolist())}
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    neighbours = np.empty((len(sites), 8), dtype=np.int64)
    steps = np.zeros((len(sites), 8, 3))
    for index, site in enumerate(np.rint(2 * sites).astype(int)):
        (flat,) = np.flatnonzero(site % 2 == 0)
        in_plane = [axis for axis in range(3) if axis != flat]
        for block, axis in enumerate(in_plane):
            for j, (along, up) in enumerate(signs):
                step = np.zeros(3, dtype=int)
                step[axis], step[flat] = along, up
                steps[index, 4 * block + j] = step / 2
                neighbours[index, 4 * block + j] = number_of[tuple(((site + step) % (2 * repeats)).tolist())]
    for array in (sites, neighbours, steps):
        array.flags.writeable = False
    return sites, neighbours, steps


def vacancy_walk(
    n_frames,
    *,
    seed,
    n_vacancies=2,
    supercell=(4, 4, 4),
    lattice_parameter_A=3.9,
    hop_rate_per_ps=0.05,
    rattle_A=0.0,
    frame_interval_ps=1.0,
    temperature_K=None,
    species="Li",
    charge_e=1,
):
    r"""Return cations that move by vacancies on the sublattice of cubic X3BA, with site exclusion only.

    A lone vacancy (n_s sites, hop rate :math:`\nu` to each of eight neighbours) gives

    .. math:: D_\sigma = \frac{8 \nu (a^2/2)}{6}\, \frac{n_v}{n_s - n_v}\,
        \left(1 - \frac{n_v - 1}{n_s - 1}\right), \qquad H_R = f = 0.69

    where the last bracket counts the neighbours that are ions and not vacancies. The expression for
    :math:`D_\sigma` is exact at any concentration: the eight steps of a site add up to zero, so the summed
    displacement has uncorrelated increments.

    Parameters
    ----------
    n_frames
        Number of frames.
    seed
        Seed of the random generator.
    n_vacancies
        Vacant sites; their first places are random.
    supercell
        Repeats of the cubic cell; three sites per cell.
    lattice_parameter_A
        Cubic lattice parameter a, Å; a hop is a/sqrt(2) long.
    hop_rate_per_ps
        Rate of each of the eight jumps of a lone vacancy, 1/ps.
    rattle_A
        Standard deviation per axis of each ion's vibration about its site, drawn anew in every frame, Å.
    frame_interval_ps
        Time between frames, ps.
    temperature_K
        Temperature written into the trajectory, K.
    species, charge_e
        Symbol and integer formal charge of the ions.

    Returns
    -------
    Trajectory
        With `lattice_sites`; `metadata["n_jumps"]` is the number of jumps made.
    """
    sites, neighbours, steps = x3_sublattice(supercell)
    if not 0 < n_vacancies < len(sites):
        raise ConfigError(f"n_vacancies must lie between 1 and {len(sites) - 1}, got {n_vacancies}")
    rng = np.random.default_rng(seed)
    vacancies = rng.permutation(len(sites))[:n_vacancies]
    occupied = np.setdiff1d(np.arange(len(sites)), vacancies)
    ion_on_site = np.full(len(sites), -1, dtype=np.int64)
    ion_on_site[occupied] = np.arange(len(occupied))
    times_ps, events = vacancy_events(
        rng, neighbours, vacancies, ion_on_site, hop_rate_per_ps, (n_frames - 1) * frame_interval_ps
    )
    r_tnc = positions_at_frames(
        times_ps,
        events[:, 0],
        -lattice_parameter_A * steps[events[:, 2], events[:, 3]],
        lattice_parameter_A * sites[occupied],
        n_frames,
        frame_interval_ps,
    )
    if rattle_A:
        r_tnc += rattle_A * rng.standard_normal(r_tnc.shape, dtype=np.float32)
    return Trajectory(
        positions_A=r_tnc,
        species=np.full(len(occupied), species),
        cells_A=lattice_parameter_A * np.diag(np.asarray(supercell, dtype=float)),
        frame_interval_ps=frame_interval_ps,
        temperature_K=temperature_K,
        formal_charges_e={species: charge_e},
        lattice_sites=LatticeSites(sites / np.asarray(supercell), np.full(len(sites), species)),
        metadata={"n_jumps": len(times_ps)},
    )
