"""Rotations and hops, and shifted copies of them. No units or defaults: see ../event_correlogram.py."""

import numpy as np

from simtools.core.accelerate import kernel


@kernel
def _squared_gap(r_c, centre_c, cell, inverse, gap):
    """Fill gap with the image of r - centre whose fractions lie within half a cell; return its square."""
    squared = 0.0
    f0, f1, f2 = 0.0, 0.0, 0.0
    for d in range(3):
        step = r_c[d] - centre_c[d]
        f0 += step * inverse[d, 0]
        f1 += step * inverse[d, 1]
        f2 += step * inverse[d, 2]
    f0 -= np.rint(f0)
    f1 -= np.rint(f1)
    f2 -= np.rint(f2)
    for c in range(3):
        gap[c] = f0 * cell[0, c] + f1 * cell[1, c] + f2 * cell[2, c]
        squared += gap[c] * gap[c]
    return squared


@kernel
def near_pairs(middle_hc, centre_jc, cell, inverse, radius):
    """Return (hops by rotor in the order given, where each rotor's begin, centre-to-middle vectors)."""
    n_rotors, n_hops = len(centre_jc), len(middle_hc)
    first = np.zeros(n_rotors + 1, dtype=np.int64)
    hops = np.empty(n_hops + 16, dtype=np.int64)
    gaps = np.empty((n_hops + 16, 3))
    gap = np.empty(3)
    n = 0
    for j in range(n_rotors):
        for h in range(n_hops):
            squared = _squared_gap(middle_hc[h], centre_jc[j], cell, inverse, gap)
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


@kernel
def shifted_tables(angle_tm, moved_tm, value_tm, shift_dm, count_dab, sum_da):
    """Fill tables of angle class against displacement class, and sums of displacement, for shifted angles.

    Classes below zero are missing values.
    """
    n_frames, n_rotors = angle_tm.shape
    for draw in range(len(shift_dm)):
        for m in range(n_rotors):
            k = shift_dm[draw, m]
            for t in range(n_frames):
                a, b = angle_tm[k, m], moved_tm[t, m]
                if a >= 0 and b >= 0:
                    count_dab[draw, a, b] += 1.0
                    sum_da[draw, a] += value_tm[t, m]
                k += 1
                if k == n_frames:
                    k = 0


@kernel
def shifted_triples(rotated_tm, hopped_tm, shift_dm, forward_d8, backward_d8):
    """Fill tables of (hop next, hop now, rotation now) and (rotation next, rotation now, hop now)."""
    n_frames, n_rotors = rotated_tm.shape
    for draw in range(len(shift_dm)):
        for m in range(n_rotors):
            k = shift_dm[draw, m]
            for t in range(n_frames - 1):
                follows = k + 1
                if follows == n_frames:
                    follows = 0
                r, r_next = rotated_tm[k, m], rotated_tm[follows, m]
                h, h_next = hopped_tm[t, m], hopped_tm[t + 1, m]
                forward_d8[draw, 4 * h_next + 2 * h + r] += 1.0
                backward_d8[draw, 4 * r_next + 2 * r + h] += 1.0
                k = follows


@kernel
def near_squares(r_tnc, later_tnc, centre_tmc, cells_tcc, inverse_tcc, radius, value_tm):
    """Fill value_tm with the mean squared step of the ions within `radius` of each rotor, -1 without any."""
    gap = np.empty(3)
    for t in range(r_tnc.shape[0]):
        k = t if cells_tcc.shape[0] > 1 else 0
        for m in range(centre_tmc.shape[1]):
            total, n_near = 0.0, 0
            for n in range(r_tnc.shape[1]):
                squared = _squared_gap(r_tnc[t, n], centre_tmc[t, m], cells_tcc[k], inverse_tcc[k], gap)
                if squared <= radius * radius:
                    n_near += 1
                    for c in range(3):
                        step = later_tnc[t, n, c] - r_tnc[t, n, c]
                        total += step * step
            value_tm[t, m] = total / n_near if n_near else -1.0


@kernel
def count_near(r_tnc, centre_tmc, cells_tcc, inverse_tcc, radius, count_tm):
    """Fill count_tm with the number of points within `radius` of each centre."""
    gap = np.empty(3)
    for t in range(r_tnc.shape[0]):
        k = t if cells_tcc.shape[0] > 1 else 0
        for m in range(centre_tmc.shape[1]):
            for n in range(r_tnc.shape[1]):
                squared = _squared_gap(r_tnc[t, n], centre_tmc[t, m], cells_tcc[k], inverse_tcc[k], gap)
                if squared <= radius * radius:
                    count_tm[t, m] += 1


@kernel
def near_field(r_tnc, v_tnc, centre_tmc, cells_tcc, inverse_tcc, radius, out_tmc):
    """Fill out_tmc with the mean of (unit vector to the ion) x (its velocity) over ions near each rotor."""
    gap = np.empty(3)
    for t in range(r_tnc.shape[0]):
        k = t if cells_tcc.shape[0] > 1 else 0
        for m in range(centre_tmc.shape[1]):
            n_near = 0
            for c in range(3):
                out_tmc[t, m, c] = 0.0
            for n in range(r_tnc.shape[1]):
                squared = _squared_gap(r_tnc[t, n], centre_tmc[t, m], cells_tcc[k], inverse_tcc[k], gap)
                if squared <= radius * radius and squared > 0:
                    n_near += 1
                    length = np.sqrt(squared)
                    for c in range(3):
                        a, b = (c + 1) % 3, (c + 2) % 3
                        out_tmc[t, m, c] += (gap[a] * v_tnc[t, n, b] - gap[b] * v_tnc[t, n, a]) / length
            if n_near:
                for c in range(3):
                    out_tmc[t, m, c] /= n_near


@kernel
def near_and_stay(r_tnc, centre_tmc, cells_tcc, inverse_tcc, radius, origins, lags, near_om, stay_omk):
    """Add the ions that are near each rotor at each origin, and those of them that are near a lag later."""
    gap = np.empty(3)
    varies = 1 if cells_tcc.shape[0] > 1 else 0
    for i in range(len(origins)):
        o = origins[i]
        for m in range(centre_tmc.shape[1]):
            for n in range(r_tnc.shape[1]):
                k = varies * o
                if (
                    _squared_gap(r_tnc[o, n], centre_tmc[o, m], cells_tcc[k], inverse_tcc[k], gap)
                    > radius * radius
                ):
                    continue
                near_om[i, m] += 1.0
                for lag in range(len(lags)):
                    t = o + lags[lag]
                    k = varies * t
                    squared = _squared_gap(r_tnc[t, n], centre_tmc[t, m], cells_tcc[k], inverse_tcc[k], gap)
                    if squared <= radius * radius:
                        stay_omk[i, m, lag] += 1.0


@kernel
def shifted_products(weight_omk, value_omk, shift_dm, out_dk):
    """Add, for every draw, sums over origins and rotors of weight times value, each rotor's value shifted."""
    n_origins, n_rotors, n_lags = weight_omk.shape
    for draw in range(len(shift_dm)):
        for m in range(n_rotors):
            o = shift_dm[draw, m]
            for origin in range(n_origins):
                for k in range(n_lags):
                    out_dk[draw, k] += weight_omk[origin, m, k] * value_omk[o, m, k]
                o += 1
                if o == n_origins:
                    o = 0


@kernel
def mean_of_nearest(r_tnc, places_pc, near_pn, cells_tcc, inverse_tcc, n_nearest, out_tp):
    """Fill out_tp with mean distances of the nearest atoms from each place; near_pn: candidates, then -1."""
    gap = np.empty(3)
    nearest = np.empty(n_nearest)
    for t in range(r_tnc.shape[0]):
        k = t if cells_tcc.shape[0] > 1 else 0
        for p in range(len(places_pc)):
            nearest[:] = np.inf
            for n in near_pn[p]:
                if n < 0:
                    break
                squared = _squared_gap(r_tnc[t, n], places_pc[p], cells_tcc[k], inverse_tcc[k], gap)
                slot = n_nearest - 1
                if squared < nearest[slot]:
                    while slot > 0 and nearest[slot - 1] > squared:
                        nearest[slot] = nearest[slot - 1]
                        slot -= 1
                    nearest[slot] = squared
            total = 0.0
            for slot in range(n_nearest):
                total += np.sqrt(nearest[slot])
            out_tp[t, p] = total / n_nearest
