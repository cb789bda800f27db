"""Cations that move by dumbbells: interstitialcy with exactly known diffusion, an oracle for analysers."""

import numpy as np

from simtools.core.errors import ConfigError
from simtools.md.trajectory import LatticeSites, Trajectory
from simtools.testing.walkers import x3_sublattice

__all__ = ["dumbbell_walk"]


def dumbbell_walk(
    n_frames,
    *,
    seed,
    n_dumbbells=1,
    supercell=(4, 4, 4),
    lattice_parameter_A=3.9,
    hop_rate_per_ps=0.05,
    separation=0.7,
    rattle_A=0.0,
    frame_interval_ps=0.1,
    temperature_K=None,
    species="Li",
    charge_e=1,
):
    r"""Return cations that move by <100> dumbbells on the sublattice of cubic X3BA, with site exclusion only.

    In a jump the ion of the dumbbell that points most towards the neighbouring site goes there, its partner
    takes the site, and the neighbour makes room: a new dumbbell, along a random one of the three axes. A lone
    dumbbell with rate :math:`\nu` to each of eight neighbours walks without memory, and all ions together
    move by what it moves:

    .. math:: D_d = \frac{8 \nu (a^2/2)}{6}, \qquad N D_\sigma = n_d D_d \left(1 - \frac{n_d - 1}{n_s - 1}
        \right)

    Parameters
    ----------
    n_frames, frame_interval_ps
        Frames, and time between them, ps.
    seed
        Seed of the random generator.
    n_dumbbells
        Sites with two ions; their first places are random.
    supercell, lattice_parameter_A
        Repeats and edge of the cubic cell, Å; three sites per cell.
    hop_rate_per_ps
        Rate of each of the eight jumps, 1/ps.
    separation
        Distance of the two ions over that of neighbouring sites.
    rattle_A
        Standard deviation per axis of each ion's vibration, drawn anew in every frame, Å.
    temperature_K, species, charge_e
        Written into the trajectory.

    Returns
    -------
    Trajectory
        With `lattice_sites`; `metadata["n_jumps"]` is the number of jumps, `metadata["axes"]` the axis (0, 1
        or 2) and `metadata["sites"]` the site of each dumbbell in every frame, shape (n_frames, n_dumbbells).
    """
    sites, neighbours, steps = x3_sublattice(supercell)
    n_sites = len(sites)
    if not 0 < n_dumbbells < n_sites:
        raise ConfigError(f"n_dumbbells must lie between 1 and {n_sites - 1}, got {n_dumbbells}")
    rng = np.random.default_rng(seed)
    half = 0.5 * separation / np.sqrt(2)  # in lattice parameters
    where = rng.permutation(n_sites)[:n_dumbbells].tolist()
    axes = rng.integers(3, size=n_dumbbells).tolist()
    ions_at = [[n] for n in range(n_sites)]
    centre_nc = np.concatenate([sites, sites[where]])
    offset_nc = np.zeros_like(centre_nc)
    for number, site in enumerate(where):
        ions_at[site].append(n_sites + number)
        offset_nc[site, axes[number]] = half
        offset_nc[n_sites + number, axes[number]] = -half
    r_tnc = np.empty((n_frames, *centre_nc.shape))
    axis_td, site_td = np.empty((2, n_frames, n_dumbbells), dtype=np.int64)
    interval_ps = 1 / (8 * hop_rate_per_ps * n_dumbbells)
    clock, n_jumps = rng.exponential(interval_ps), 0
    for t in range(n_frames):
        while clock < t * frame_interval_ps:
            number, way = int(rng.integers(n_dumbbells)), int(rng.integers(8))
            n_jumps += _hop(rng, number, way, where, axes, ions_at, centre_nc, offset_nc, neighbours, steps)
            clock += rng.exponential(interval_ps)
        r_tnc[t], axis_td[t], site_td[t] = centre_nc + offset_nc, axes, where
    r_tnc *= lattice_parameter_A
    if rattle_A:
        r_tnc += rattle_A * rng.standard_normal(r_tnc.shape)
    return Trajectory(
        positions_A=r_tnc,
        species=np.full(len(centre_nc), species),
        cells_A=lattice_parameter_A * np.diag(np.asarray(supercell, dtype=float)),
        frame_interval_ps=frame_interval_ps,
        temperature_K=temperature_K,
        formal_charges_e={species: charge_e},
        lattice_sites=LatticeSites(sites / np.asarray(supercell), np.full(n_sites, species)),
        metadata={"n_jumps": n_jumps, "axes": axis_td, "sites": site_td},
    )


def _hop(rng, number, way, where, axes, ions_at, centre_nc, offset_nc, neighbours, steps):
    """Let one dumbbell try one of its eight jumps; return whether it went."""
    site, step = where[number], steps[where[number], way]
    target = int(neighbours[site, way])
    if len(ions_at[target]) > 1:
        return False
    pair, old, new = ions_at[site], axes[number], int(rng.integers(3))
    along = [step[old] * offset_nc[ion, old] for ion in pair]
    goes = pair[int(rng.integers(2) if step[old] == 0 else np.argmax(along))]
    (stays,) = (ion for ion in pair if ion != goes)
    (pushed,) = ions_at[target]
    half = abs(offset_nc[goes, old])
    side = -np.sign(step[new]) or rng.choice([-1.0, 1.0])
    centre_nc[goes] += step
    offset_nc[[goes, stays]] = 0.0
    offset_nc[goes, new] = side * half
    offset_nc[pushed, new] = -side * half
    ions_at[site], ions_at[target] = [stays], [goes, pushed]
    where[number], axes[number] = target, new
    return True
