"""Site assignment and vacancies by the definition: every distance to every image, no shortcuts."""

import numpy as np

from simtools.core.periodic import minimum_image


def nearest_sites(s_tnc, cells_tcc, sites_sc):
    """Return the nearest site of every ion in every frame."""
    site_tn = np.empty(s_tnc.shape[:2], dtype=int)
    for t, s_nc in enumerate(s_tnc):
        cell = cells_tcc[t if len(cells_tcc) > 1 else 0]
        for n, s_c in enumerate(s_nc):
            site_tn[t, n] = np.argmin(np.linalg.norm(minimum_image((s_c - sites_sc) @ cell, cell), axis=1))
    return site_tn


def vacancies(site_tn, sites_sc, cell):
    """Return net vacancies and ions in excess of one frame after another."""
    empty, excess = [], []
    for sites in site_tn:
        occupancy = np.bincount(sites, minlength=len(sites_sc))
        n_excess = 0
        while occupancy.max() > 1:
            crowded = int(np.argmax(occupancy > 1))
            free = np.flatnonzero(occupancy == 0)
            gaps = np.linalg.norm(minimum_image((sites_sc[free] - sites_sc[crowded]) @ cell, cell), axis=1)
            occupancy[free[np.argmin(gaps)]] += 1
            occupancy[crowded] -= 1
            n_excess += 1
        empty.append(np.flatnonzero(occupancy == 0))
        excess.append(n_excess)
    return np.array(empty), np.array(excess)
