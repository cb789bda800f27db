"""Reorientation events from orientations against time. No units or defaults: see ../reorientations.py."""

import numpy as np

from simtools.core.accelerate import kernel


@kernel
def lasting_turns(x_tmd, threshold, stay, memory):
    """Return events (rotor, frame, first and second half of the row: mean before and after) and recrossings.

    Orientations are vectors (d = 3) or quaternions of either sign (d = 4) whose product with the mean of the
    present stay falls below `threshold` when they turn away. A turn lasts when the mean over the `stay`
    frames that follow is away too; its second half starts the next mean, which forgets over `memory` frames.
    The orientation after a turn is that mean once it rests on `memory` frames, or where it ends before.
    """
    n_frames, n_rotors, d = x_tmd.shape
    events = np.empty((n_rotors + 16, 2), dtype=np.int64)
    means = np.empty((n_rotors + 16, 2, d))
    n_events = 0
    n_back = 0
    here = np.empty(d)
    trial = np.empty(d)
    for m in range(n_rotors):
        _mean(x_tmd, m, 0, stay, here)
        seen = float(stay)
        last = -1
        t = stay
        while t < n_frames:
            product = _product(x_tmd, m, t, here)
            if product >= threshold:
                seen = min(seen + 1.0, memory)
                sign = 1.0
                if d == 4:
                    plain = 0.0
                    for c in range(d):
                        plain += x_tmd[t, m, c] * here[c]
                    if plain < 0:
                        sign = -1.0
                norm = 0.0
                for c in range(d):
                    here[c] += (sign * x_tmd[t, m, c] - here[c]) / seen
                    norm += here[c] * here[c]
                norm = np.sqrt(norm)
                for c in range(d):
                    here[c] /= norm
                if last >= 0:
                    means[last, 1] = here
                    if seen >= memory:
                        last = -1
                t += 1
                continue
            if t + stay > n_frames:
                break
            _mean(x_tmd, m, t, stay, trial)
            overlap = 0.0
            for c in range(d):
                overlap += trial[c] * here[c]
            if d == 4:
                overlap = abs(overlap)
            if overlap >= threshold:
                n_back += 1
                while t < n_frames and _product(x_tmd, m, t, here) < threshold:
                    t += 1
                continue
            if n_events == len(events):
                events = np.concatenate((events, np.empty_like(events)))
                means = np.concatenate((means, np.empty_like(means)))
            half = stay // 2
            _mean(x_tmd, m, t + half, stay - half, trial)
            events[n_events, 0] = m
            events[n_events, 1] = t
            means[n_events, 0] = here
            means[n_events, 1] = trial
            last = n_events
            n_events += 1
            here[:] = trial
            seen = float(stay - half)
            t += stay
    return events[:n_events].copy(), means[:n_events].copy(), n_back


@kernel
def _product(x_tmd, m, t, here):
    total = 0.0
    for c in range(x_tmd.shape[2]):
        total += x_tmd[t, m, c] * here[c]
    return abs(total) if x_tmd.shape[2] == 4 else total


@kernel
def _mean(x_tmd, m, first, length, out):
    """Fill out with the normalised mean of some frames, quaternions taken with one sign."""
    d = x_tmd.shape[2]
    last = min(first + length, x_tmd.shape[0])
    out[:] = 0.0
    for t in range(first, last):
        sign = 1.0
        if d == 4:
            plain = 0.0
            for c in range(d):
                plain += x_tmd[t, m, c] * x_tmd[first, m, c]
            if plain < 0:
                sign = -1.0
        for c in range(d):
            out[c] += sign * x_tmd[t, m, c]
    norm = 0.0
    for c in range(d):
        norm += out[c] * out[c]
    norm = np.sqrt(norm)
    for c in range(d):
        out[c] = out[c] / norm if norm > 0 else x_tmd[first, m, c]


@kernel
def basin_visits(u_tmc, basins_bc, core):
    """Return visits to cores about directions, int64 (n_visits, 7) like those to cores of sites."""
    n_frames, n_rotors, _ = u_tmc.shape
    visits = np.zeros((4 * n_rotors + 16, 7), dtype=np.int64)
    n_visits = 0
    for m in range(n_rotors):
        present = -1
        for t in range(n_frames):
            best, product = -1, core
            for b in range(len(basins_bc)):
                along = (
                    u_tmc[t, m, 0] * basins_bc[b, 0]
                    + u_tmc[t, m, 1] * basins_bc[b, 1]
                    + u_tmc[t, m, 2] * basins_bc[b, 2]
                )
                if along > product:
                    best, product = b, along
            if best < 0:
                continue
            if best == present:
                visits[n_visits - 1, 6] = t
                continue
            if n_visits == len(visits):
                visits = np.concatenate((visits, np.zeros_like(visits)))
            visits[n_visits, 0] = m
            visits[n_visits, 1] = best
            visits[n_visits, 5] = t
            visits[n_visits, 6] = t
            present = best
            n_visits += 1
    return visits[:n_visits].copy()
