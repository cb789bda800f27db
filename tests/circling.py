"""Vacancies that hop for ever around an anion vacancy: hops, and no diffusion. Oracle for the analysers."""

import numpy as np

from simtools.md.trajectory import LatticeSites, Trajectory
from simtools.testing.walkers import x3_sublattice

LATTICE_PARAMETER_A = 3.9


def circling_vacancies(n_frames, *, seed, n_pairs=1, hops_per_ps=1.0, frame_interval_ps=0.05, rattle_A=0.15):
    """Return cations whose vacancies visit only the twelve sites around their own partner."""
    rng = np.random.default_rng(seed)
    sites, neighbours, steps = x3_sublattice((4, 4, 4))
    corners = np.array([(i, j, k) for i in (0, 2) for j in (0, 2) for k in (0, 2)], dtype=float)
    shell_of = np.full(len(sites), -1)
    for number, corner in enumerate(corners):
        apart = sites - corner
        apart -= 4 * np.round(apart / 4)
        shell_of[np.linalg.norm(apart, axis=1) < 0.75] = number
    vacant = [int(rng.choice(np.flatnonzero(shell_of == pair))) for pair in range(n_pairs)]
    occupied = np.setdiff1d(np.arange(len(sites)), vacant)
    ion_on_site = np.full(len(sites), -1)
    ion_on_site[occupied] = np.arange(len(occupied))
    r_nc = sites[occupied].copy()
    r_tnc = np.empty((n_frames, *r_nc.shape))
    for t in range(n_frames):
        for pair in range(n_pairs):
            for _ in range(rng.poisson(hops_per_ps * frame_interval_ps)):
                site = vacant[pair]
                ways = np.flatnonzero(shell_of[neighbours[site]] == pair)
                way = rng.choice(ways)
                source = neighbours[site, way]
                ion = ion_on_site[source]
                r_nc[ion] -= steps[site, way]
                ion_on_site[site], ion_on_site[source] = ion, -1
                vacant[pair] = int(source)
        r_tnc[t] = r_nc
    r_tnc *= LATTICE_PARAMETER_A
    r_tnc += rng.normal(0, rattle_A, size=r_tnc.shape)
    return Trajectory(
        positions_A=r_tnc,
        species=np.full(len(occupied), "Li"),
        cells_A=4 * LATTICE_PARAMETER_A * np.eye(3),
        frame_interval_ps=frame_interval_ps,
        temperature_K=700.0,
        formal_charges_e={"Li": 1},
        lattice_sites=LatticeSites(sites / 4, np.full(len(sites), "Li")),
    )
