"""Vacancy walks in a whole Li3OCl crystal: ions, still host, and the sites that both have."""

from dataclasses import replace

import numpy as np
from ase import Atoms

from simtools.md.trajectory import LatticeSites
from simtools.testing import vacancy_walk

A = 3.9
REPEATS = (4, 4, 4)
CHARGES = {"Li": 1, "O": -2, "Cl": -1}
UNIT = Atoms(
    ["Li", "Li", "Li", "O", "Cl"],
    scaled_positions=[(0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5), (0.5, 0.5, 0.5), (0, 0, 0)],
    cell=[A, A, A],
    pbc=True,
)


def crystal_walk(n_frames=400, *, seed=1, n_vacancies=6, hop_rate_per_ps=0.05, shift_A=0.0, rattle_A=0.15):
    """Return a vacancy walk with its O and Cl, every ion rattling, all shifted by the same distance."""
    walk = vacancy_walk(
        n_frames,
        seed=seed,
        n_vacancies=n_vacancies,
        supercell=REPEATS,
        lattice_parameter_A=A,
        hop_rate_per_ps=hop_rate_per_ps,
        rattle_A=rattle_A,
        frame_interval_ps=0.5,
        temperature_K=900,
    )
    grid = A * np.stack(np.meshgrid(*map(np.arange, REPEATS), indexing="ij"), axis=-1).reshape(-1, 3)
    host = np.concatenate([grid + A / 2, grid])
    rng = np.random.default_rng(seed + 1000)
    host_tnc = host + rattle_A * rng.standard_normal((n_frames, *host.shape))
    species = ["Li"] * walk.positions_A.shape[1] + ["O"] * len(grid) + ["Cl"] * len(grid)
    scaled = np.concatenate([walk.lattice_sites.scaled_positions, host / (A * np.array(REPEATS))])
    names = ["Li"] * len(walk.lattice_sites.species) + ["O"] * len(grid) + ["Cl"] * len(grid)
    return replace(
        walk,
        positions_A=np.concatenate([walk.positions_A, host_tnc], axis=1) + shift_A,
        species=species,
        masses_amu=np.array([{"Li": 6.9, "O": 16.0, "Cl": 35.5}[name] for name in species]),
        formal_charges_e=CHARGES,
        lattice_sites=LatticeSites(scaled, names),
    )


def without_sites(trajectory):
    """Return what somebody else's file would hold."""
    return replace(trajectory, lattice_sites=None)
