"""Kinetic Monte Carlo of vacancies on a network of sites. Compiled loops only."""

import numpy as np

from simtools.core.accelerate import kernel


@kernel
def vacancy_events(rng, neighbours, site_of_vacancy, ion_on_site, hop_rate, until):
    """Let vacancies walk with site exclusion only: each tries each of its neighbours at `hop_rate`.

    An attempt on another vacancy, or on a neighbour below zero (padding), does nothing, so time and rates
    are exact. `site_of_vacancy` and `ion_on_site` (-1 where empty) are updated in place. Returns the times
    of the jumps, (n_jumps,), and for each the ion, its old site, its new site and which neighbour of the
    new site the old one is, int64 (n_jumps, 4).
    """
    n_vacancies, n_neighbours = len(site_of_vacancy), neighbours.shape[1]
    interval = 1.0 / (hop_rate * n_vacancies * n_neighbours)
    times = np.empty(1024)
    events = np.empty((1024, 4), dtype=np.int64)
    n_jumps = 0
    clock = rng.exponential(interval)
    while clock < until:
        v = rng.integers(0, n_vacancies)
        j = rng.integers(0, n_neighbours)
        site = site_of_vacancy[v]
        source = neighbours[site, j]
        ion = ion_on_site[source] if source >= 0 else -1
        if ion >= 0:
            if n_jumps == len(times):
                times = np.concatenate((times, np.empty_like(times)))
                events = np.concatenate((events, np.empty_like(events)))
            ion_on_site[site] = ion
            ion_on_site[source] = -1
            site_of_vacancy[v] = source
            times[n_jumps] = clock
            events[n_jumps, 0] = ion
            events[n_jumps, 1] = source
            events[n_jumps, 2] = site
            events[n_jumps, 3] = j
            n_jumps += 1
        clock += rng.exponential(interval)
    return times[:n_jumps].copy(), events[:n_jumps].copy()


@kernel
def positions_at_frames(times, ions, vectors, start_nc, n_frames, interval):
    """Return the positions that jumps lead to at evenly spaced frames, (n_frames, n_ions, 3)."""
    n_ions = start_nc.shape[0]
    r_tnc = np.empty((n_frames, n_ions, 3))
    here = start_nc.copy()
    event = 0
    for t in range(n_frames):
        while event < len(times) and times[event] < t * interval:
            for c in range(3):
                here[ions[event], c] += vectors[event, c]
            event += 1
        r_tnc[t] = here
    return r_tnc
