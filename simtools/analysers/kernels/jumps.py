"""Visits of ions to the cores of sites, and which of them last. No units or defaults: see ../jumps.py."""

import numpy as np

from simtools.analysers.kernels.sites import squared_distance
from simtools.core.accelerate import kernel

ION, SITE, IMAGE, FIRST, LAST = 0, 1, 2, 5, 6
"""Columns of a table of visits: ion, site, three whole-cell images, first and last frame in the core."""


@kernel
def core_visits(s_tnc, cells_tcc, sites_sc, site_tn, core_t):
    """Return the visits to cores (spheres of `core_t` about sites), int64 (n_visits, 7), by ion and time.

    A visit ends when the ion enters another core, or the core of another image of the same site; leaving
    and coming back without that is one visit.
    """
    n_frames, n_ions, _ = s_tnc.shape
    visits = np.empty((4 * n_ions + 16, 7), dtype=np.int64)
    n_visits = 0
    image = np.empty(3, dtype=np.int64)
    for n in range(n_ions):
        open_visit = -1
        for t in range(n_frames):
            site = site_tn[t, n]
            cell = cells_tcc[t if cells_tcc.shape[0] > 1 else 0]
            core = core_t[t if core_t.shape[0] > 1 else 0]
            if squared_distance(s_tnc[t, n], sites_sc[site], cell) >= core * core:
                continue
            for c in range(3):
                image[c] = int(np.rint(s_tnc[t, n, c] - sites_sc[site, c]))
            if open_visit >= 0 and visits[open_visit, SITE] == site:
                same = True
                for c in range(3):
                    same &= visits[open_visit, IMAGE + c] == image[c]
                if same:
                    visits[open_visit, LAST] = t
                    continue
            if n_visits == len(visits):
                visits = np.concatenate((visits, np.empty_like(visits)))
            visits[n_visits, ION] = n
            visits[n_visits, SITE] = site
            visits[n_visits, IMAGE : IMAGE + 3] = image
            visits[n_visits, FIRST] = t
            visits[n_visits, LAST] = t
            open_visit = n_visits
            n_visits += 1
    return visits[:n_visits].copy()


@kernel
def lasting_visits(visits, shortest):
    """Take out returns: a visit of fewer than `shortest` frames after which the ion is back where it was.

    Removal is repeated as the visits of an ion are read, so a rattle between two sites shrinks to what
    remains of it. Passing through a site, however fast, is kept. Returns the visits and the number removed.
    """
    kept = np.empty_like(visits)
    n_kept = 0
    removed = 0
    for v in range(len(visits)):
        ion = visits[v, ION]
        back = (
            n_kept >= 2
            and kept[n_kept - 1, ION] == ion
            and kept[n_kept - 2, ION] == ion
            and visits[v, FIRST] - kept[n_kept - 1, FIRST] < shortest
        )
        if back:
            for c in range(SITE, FIRST):
                back &= kept[n_kept - 2, c] == visits[v, c]
        if back:
            n_kept -= 1
            kept[n_kept - 1, LAST] = visits[v, LAST]
            removed += 1
        else:
            kept[n_kept] = visits[v]
            n_kept += 1
    return kept[:n_kept].copy(), removed


@kernel
def settled_visits(s_tnc, cells_tcc, sites_sc, site_tn, nearer):
    """Return the visits to sites, int64 (n_visits, 7), by ion and time; every ion is always on some site.

    A visit ends when the ion is nearer to another site, or to another image of its own, by the factor
    `nearer` (below 1): what is left over near a border belongs to where it came from.
    """
    n_frames, n_ions, _ = s_tnc.shape
    visits = np.empty((2 * n_ions + 16, 7), dtype=np.int64)
    n_visits = 0
    image = np.empty(3, dtype=np.int64)
    for n in range(n_ions):
        for t in range(n_frames):
            site = site_tn[t, n]
            cell = cells_tcc[t if cells_tcc.shape[0] > 1 else 0]
            same = t > 0 and visits[n_visits - 1, SITE] == site
            for c in range(3):
                image[c] = int(np.rint(s_tnc[t, n, c] - sites_sc[site, c]))
                same = same and visits[n_visits - 1, IMAGE + c] == image[c]
            if not same and t > 0:
                here, there = 0.0, 0.0
                own = visits[n_visits - 1, SITE]
                for c in range(3):
                    x, y = 0.0, 0.0
                    for d in range(3):
                        s = s_tnc[t, n, d]
                        x += (s - sites_sc[own, d] - visits[n_visits - 1, IMAGE + d]) * cell[d, c]
                        y += (s - sites_sc[site, d] - image[d]) * cell[d, c]
                    here += x * x
                    there += y * y
                same = there >= nearer * nearer * here
            if same:
                visits[n_visits - 1, LAST] = t
                continue
            if n_visits == len(visits):
                visits = np.concatenate((visits, np.empty_like(visits)))
            visits[n_visits, ION] = n
            visits[n_visits, SITE] = site
            visits[n_visits, IMAGE : IMAGE + 3] = image
            visits[n_visits, FIRST] = t
            visits[n_visits, LAST] = t
            n_visits += 1
    return visits[:n_visits].copy()
