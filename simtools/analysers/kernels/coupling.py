"""Rotations and hops, and shifted copies of them. No units or defaults: see ../event_correlogram.py."""

import numpy as np

from simtools.core.accelerate import kernel


@kernel
def near_pairs(middle_hc, centre_jc, cell, inverse, radius):
    """Return (hops by rotor in the order given, where each rotor's begin, centre-to-middle vectors)."""
    n_rotors, n_hops = len(centre_jc), len(middle_hc)
    first = np.zeros(n_rotors + 1, dtype=np.int64)
    hops = np.empty(n_hops + 16, dtype=np.int64)
    gaps = np.empty((n_hops + 16, 3))
    fraction, gap = np.empty(3), np.empty(3)
    n = 0
    for j in range(n_rotors):
        for h in range(n_hops):
            for c in range(3):
                fraction[c] = 0.0
            for d in range(3):
                step = middle_hc[h, d] - centre_jc[j, d]
                for c in range(3):
                    fraction[c] += step * inverse[d, c]
            for c in range(3):
                fraction[c] -= np.rint(fraction[c])
            squared = 0.0
            for c in range(3):
                gap[c] = fraction[0] * cell[0, c] + fraction[1] * cell[1, c] + fraction[2] * cell[2, c]
                squared += gap[c] * gap[c]
            if squared <= radius * radius:
                if n == len(hops):
                    hops = np.concatenate((hops, np.empty_like(hops)))
                    gaps = np.concatenate((gaps, np.empty_like(gaps)))
                hops[n] = h
                gaps[n] = gap
                n += 1
        first[j + 1] = n
    return hops[:n].copy(), first, gaps[:n].copy()


@kernel
def add_shifted(correlation_rk, first_bin, n_lags, shift_d, total_drl):
    """Add to every draw the lags of one rotor's circular correlation, moved by that draw's shift in bins."""
    n_shells, n_bins = correlation_rk.shape
    for draw in range(len(shift_d)):
        for shell in range(n_shells):
            k = (first_bin + shift_d[draw]) % n_bins
            for lag in range(n_lags):
                total_drl[draw, shell, lag] += correlation_rk[shell, k]
                k += 1
                if k == n_bins:
                    k = 0


@kernel
def carried(
    rotation_first_j,
    rotation_t,
    turn_t3,
    hop_first_j,
    hop_t,
    place_h3,
    step_h3,
    shift_dj,
    duration,
    low,
    high,
    out_d4,
):
    """Sum over pairs within a window: count, cosine and product of step and predicted carry, its square.

    Rotations and near hops are sorted by rotor (first_j) and time. Hops of a rotor are those near it, with
    place relative to its centre. The carry is (R - 1) place for a rotation vector of that length and axis.
    """
    n_draws, n_rotors = shift_dj.shape
    carry = np.empty(3)
    for j in range(n_rotors):
        h0, h1 = hop_first_j[j], hop_first_j[j + 1]
        n_hops = h1 - h0
        if n_hops == 0:
            continue
        for r in range(rotation_first_j[j], rotation_first_j[j + 1]):
            x, y, z = turn_t3[r, 0], turn_t3[r, 1], turn_t3[r, 2]
            angle = np.sqrt(x * x + y * y + z * z)
            x, y, z = x / angle, y / angle, z / angle
            sine, versine = np.sin(angle), 1 - np.cos(angle)
            for draw in range(n_draws):
                start = (rotation_t[r] + shift_dj[draw, j]) % duration + low
                start -= duration * np.floor(start / duration)
                left, right = 0, n_hops
                while left < right:
                    middle = (left + right) // 2
                    if hop_t[h0 + middle] < start:
                        left = middle + 1
                    else:
                        right = middle
                for step in range(n_hops):
                    h = h0 + (left + step) % n_hops
                    behind = hop_t[h] - start
                    if behind < 0:
                        behind += duration
                    if behind >= high - low:
                        break
                    px, py, pz = place_h3[h, 0], place_h3[h, 1], place_h3[h, 2]
                    along = x * px + y * py + z * pz
                    carry[0] = sine * (y * pz - z * py) + versine * (x * along - px)
                    carry[1] = sine * (z * px - x * pz) + versine * (y * along - py)
                    carry[2] = sine * (x * py - y * px) + versine * (z * along - pz)
                    product = 0.0
                    square = 0.0
                    length = 0.0
                    for c in range(3):
                        product += carry[c] * step_h3[h, c]
                        square += carry[c] * carry[c]
                        length += step_h3[h, c] * step_h3[h, c]
                    norm = np.sqrt(square * length)
                    out_d4[draw, 0] += 1.0
                    out_d4[draw, 1] += product / norm if norm > 0 else 0.0
                    out_d4[draw, 2] += product
                    out_d4[draw, 3] += square


@kernel
def hazard_table(
    cause_first_j, cause_t, effect_first_j, effect_t, level_bj, width, window, n_blocks, n_levels, out
):
    """Fill out[0] with bins and out[1] with effects by rotor, time block and pattern, 2 level + exposed.

    A bin is exposed when a cause fell within `window` bins before it; causes in the bin itself do not count.
    """
    n_bins, n_rotors = level_bj.shape
    for j in range(n_rotors):
        c, e = cause_first_j[j], effect_first_j[j]
        last = -window - 1
        for b in range(n_bins):
            pattern = 2 * level_bj[b, j] + (1 if b - last <= window else 0)
            block = b * n_blocks // n_bins
            out[0, j, block, pattern] += 1.0
            while e < effect_first_j[j + 1] and int(effect_t[e] / width) <= b:
                out[1, j, block, pattern] += 1.0
                e += 1
            while c < cause_first_j[j + 1] and int(cause_t[c] / width) <= b:
                last = b
                c += 1
