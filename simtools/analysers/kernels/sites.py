"""Which lattice site each ion is on, and which sites are empty, frame by frame. Compiled loops only."""

import numpy as np

from simtools.core.accelerate import kernel


@kernel
def squared_distance(a_c, b_c, cell_cc):
    """Return |a - b|^2 from fractional coordinates, exact for separations below half the cell's height."""
    x = a_c[0] - b_c[0]
    y = a_c[1] - b_c[1]
    z = a_c[2] - b_c[2]
    x -= np.rint(x)
    y -= np.rint(y)
    z -= np.rint(z)
    total = 0.0
    for c in range(3):
        component = x * cell_cc[0, c] + y * cell_cc[1, c] + z * cell_cc[2, c]
        total += component * component
    return total


@kernel
def assign_sites(s_tnc, cells_tcc, sites_sc, inscribed_t):
    """Return the nearest site of every ion in every frame, int32 (n_frames, n_ions).

    An ion closer to its last site than `inscribed_t` (half the smallest distance between sites) cannot be
    nearer to another one, so the search over all sites runs only when it has left that sphere.
    """
    n_frames, n_ions, _ = s_tnc.shape
    n_sites = sites_sc.shape[0]
    site_tn = np.empty((n_frames, n_ions), dtype=np.int32)
    for t in range(n_frames):
        cell = cells_tcc[t if cells_tcc.shape[0] > 1 else 0]
        sure = inscribed_t[t if inscribed_t.shape[0] > 1 else 0]
        sure *= sure
        for n in range(n_ions):
            best = -1
            if t > 0:
                last = site_tn[t - 1, n]
                if squared_distance(s_tnc[t, n], sites_sc[last], cell) < sure:
                    best = last
            if best < 0:
                smallest = np.inf
                for s in range(n_sites):
                    squared = squared_distance(s_tnc[t, n], sites_sc[s], cell)
                    if squared < smallest:
                        smallest = squared
                        best = s
            site_tn[t, n] = best
    return site_tn


@kernel
def empty_sites(site_tn, sites_sc, cells_tcc):
    """Return the net vacancies, int32 (n_frames, n_sites - n_ions), and the ions in excess, (n_frames,).

    Where several ions share a site, each ion in excess cancels the empty site nearest to it: a vacancy with
    an ion halfway out of the next site is one vacancy, not two.
    """
    n_frames, n_ions = site_tn.shape
    n_sites = sites_sc.shape[0]
    vacancy_tv = np.empty((n_frames, n_sites - n_ions), dtype=np.int32)
    excess_t = np.zeros(n_frames, dtype=np.int32)
    occupancy = np.empty(n_sites, dtype=np.int32)
    for t in range(n_frames):
        cell = cells_tcc[t if cells_tcc.shape[0] > 1 else 0]
        occupancy[:] = 0
        for n in range(n_ions):
            occupancy[site_tn[t, n]] += 1
        for s in range(n_sites):
            while occupancy[s] > 1:
                nearest = -1
                smallest = np.inf
                for empty in range(n_sites):
                    if occupancy[empty] == 0:
                        squared = squared_distance(sites_sc[s], sites_sc[empty], cell)
                        if squared < smallest:
                            smallest = squared
                            nearest = empty
                occupancy[nearest] = 1
                occupancy[s] -= 1
                excess_t[t] += 1
        v = 0
        for s in range(n_sites):
            if occupancy[s] == 0:
                vacancy_tv[t, v] = s
                v += 1
    return vacancy_tv, excess_t


@kernel
def nearest_shell(vacancy_tv, partner_tp, shell_vp, farthest):
    """Return the shell of the nearest partner of each vacancy in each frame, int32 (n_frames, n_vacancies).

    `shell_vp` holds the shell of each pair of (vacancy site, partner site); `farthest` is returned where no
    partner lies in a listed shell.
    """
    n_frames, n_vacancies = vacancy_tv.shape
    shell_tv = np.empty((n_frames, n_vacancies), dtype=np.int32)
    for t in range(n_frames):
        for v in range(n_vacancies):
            shell = farthest
            for p in range(partner_tp.shape[1]):
                candidate = shell_vp[vacancy_tv[t, v], partner_tp[t, p]]
                if candidate < shell:
                    shell = candidate
            shell_tv[t, v] = shell
    return shell_tv


@kernel
def within(s_tnc, cells_tcc, sites_sc, site_tn, radius):
    """Return whether each ion is within `radius` of the site it is nearest to, bool (n_frames, n_ions)."""
    n_frames, n_ions, _ = s_tnc.shape
    inside = np.empty((n_frames, n_ions), dtype=np.bool_)
    for t in range(n_frames):
        cell = cells_tcc[t if cells_tcc.shape[0] > 1 else 0]
        for n in range(n_ions):
            squared = squared_distance(s_tnc[t, n], sites_sc[site_tn[t, n]], cell)
            inside[t, n] = squared < radius * radius
    return inside


@kernel
def assign_to_moving(s_tnc, cells_tcc, sites_sc, shift_tsc, guess_tn, near_sk):
    """Return the nearest of moving sites for every ion in every frame, int32 (n_frames, n_ions).

    `shift_tsc` is added to the sites. The search begins at `guess_tn`, the nearest of the sites at rest, and
    goes on from site to site among the neighbours `near_sk` of each until none of them is nearer.
    """
    n_frames, n_ions, _ = s_tnc.shape
    site_tn = np.empty((n_frames, n_ions), dtype=np.int32)
    moved = np.empty_like(sites_sc)
    for t in range(n_frames):
        cell = cells_tcc[t if cells_tcc.shape[0] > 1 else 0]
        for s in range(sites_sc.shape[0]):
            for c in range(3):
                moved[s, c] = sites_sc[s, c] + shift_tsc[t, s, c]
        for n in range(n_ions):
            best, here = guess_tn[t, n], -1
            smallest = squared_distance(s_tnc[t, n], moved[best], cell)
            while here != best:
                here = best
                for k in range(near_sk.shape[1]):
                    s = near_sk[here, k]
                    squared = squared_distance(s_tnc[t, n], moved[s], cell)
                    if squared < smallest:
                        smallest = squared
                        best = s
            site_tn[t, n] = best
    return site_tn
