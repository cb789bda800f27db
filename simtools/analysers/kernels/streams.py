"""Displacements of a trajectory that arrives in chunks: every sum has one order, whatever the chunks are."""

from simtools.core.accelerate import kernel

N_SUMS = 8


@kernel
def add_pair(a_nc, b_nc, out_q):
    """Add the sums over ions of |b - a|^2, its xx, yy, zz, yz, xz, xy products and |b - a|^4 to `out_q`.

    Ions are summed in their order from zero and added at once, as `msd.blocked_displacements` does.
    """
    square, xx, yy, zz, yz, xz, xy, quartic = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for n in range(a_nc.shape[0]):
        x = b_nc[n, 0] - a_nc[n, 0]
        y = b_nc[n, 1] - a_nc[n, 1]
        z = b_nc[n, 2] - a_nc[n, 2]
        length2 = x * x + y * y + z * z
        square += length2
        quartic += length2 * length2
        xx += x * x
        yy += y * y
        zz += z * z
        yz += y * z
        xz += x * z
        xy += x * y
    out_q[0] += square
    out_q[1] += xx
    out_q[2] += yy
    out_q[3] += zz
    out_q[4] += yz
    out_q[5] += xz
    out_q[6] += xy
    out_q[7] += quartic


@kernel
def fold_segments(sums_sq):
    """Add neighbouring segments in pairs, in place, so that the upper half becomes free."""
    n_segments, n_sums = sums_sq.shape
    for s in range(n_segments // 2):
        for q in range(n_sums):
            sums_sq[s, q] = sums_sq[2 * s, q] + sums_sq[2 * s + 1, q]
    sums_sq[n_segments // 2 :] = 0.0


@kernel
def advance_lags(r_tnc, first_frame, stride, first_origin, ring_unc, lags_j, sums_jsq, length_j, starts_j):
    """Pair every `stride`-th frame with the earlier ones in the ring, then keep it there.

    Parameters
    ----------
    r_tnc
        The next frames, the first of which is number `first_frame`.
    stride
        Only frames whose number is a multiple of it are looked at, as ends and as origins.
    first_origin
        Number of the first frame in the ring, in units of `stride`: there is no origin before it.
    ring_unc
        The last frames looked at: number u * stride lies in slot u modulo the ring's length.
    lags_j
        Lags in units of `stride`, at most the ring's length.
    sums_jsq
        Sums of `add_pair` for each lag and each segment of its origins; written.
    length_j
        Origins in a segment; doubled, with the segments folded, whenever they run out; written.
    starts_j
        Origins seen so far; written.
    """
    n_ring, n_segments = ring_unc.shape[0], sums_jsq.shape[1]
    for t in range(r_tnc.shape[0]):
        if (first_frame + t) % stride != 0:
            continue
        u = (first_frame + t) // stride
        for j in range(len(lags_j)):
            origin = u - lags_j[j]
            if origin < first_origin:
                continue
            while origin // length_j[j] >= n_segments:
                fold_segments(sums_jsq[j])
                length_j[j] *= 2
            add_pair(ring_unc[origin % n_ring], r_tnc[t], sums_jsq[j, origin // length_j[j]])
            starts_j[j] += 1
        ring_unc[u % n_ring] = r_tnc[t]


@kernel
def join_lags(head_unc, first_u, first_origin, ring_unc, lags_j, sums_jsq, length_j, starts_j):
    """Pair the first frames of the next piece, from number `first_u` on, with those kept of this one.

    What the arrays are: `advance_lags`. The ring is left as it is.
    """
    n_ring, n_segments = ring_unc.shape[0], sums_jsq.shape[1]
    for j in range(len(lags_j)):
        for h in range(min(len(head_unc), lags_j[j])):
            origin = first_u + h - lags_j[j]
            if origin < first_origin:
                continue
            while origin // length_j[j] >= n_segments:
                fold_segments(sums_jsq[j])
                length_j[j] *= 2
            add_pair(ring_unc[origin % n_ring], head_unc[h], sums_jsq[j, origin // length_j[j]])
            starts_j[j] += 1


@kernel
def block_sums(sums_s, n_blocks, block_b):
    """Add the sums of single origins up to equal blocks, cut as in `msd.blocked_displacements`."""
    n_starts = len(sums_s)
    for b in range(n_blocks):
        total = 0.0
        for s in range(b * n_starts // n_blocks, (b + 1) * n_starts // n_blocks):
            total += sums_s[s]
        block_b[b] = total


@kernel
def ordered_sum(values_s):
    """Return the sum of `values_s`, added one after the other."""
    total = 0.0
    for s in range(len(values_s)):
        total += values_s[s]
    return total


@kernel
def weighted_sums(r_tnc, first_nc, weights_n, sums_tc):
    """Write the sum over ions of weight times displacement from `first_nc` for each frame."""
    for t in range(r_tnc.shape[0]):
        for c in range(3):
            total = 0.0
            for n in range(r_tnc.shape[1]):
                total += weights_n[n] * (r_tnc[t, n, c] - first_nc[n, c])
            sums_tc[t, c] = total


@kernel
def advance_hops(
    r_tnc, window, threshold, keep_first, counters, here_nc, previous_nc, home_nc, first_nc, hops_n, reach_n
):
    """Carry the count of lasting displacements on over the next frames.

    `counters` holds the frames in the window that is filling and the windows that are full. A hop counts when
    two windows in a row both lie farther than `threshold` from the ion's last home and closer than that to
    each other; the second becomes the new home. `reach_n` is the largest squared distance of a home from the
    first one, which stays as it is where `keep_first`. All arrays are written.
    """
    limit = threshold * threshold
    n_atoms = r_tnc.shape[1]
    for t in range(r_tnc.shape[0]):
        if counters[0] == 0:
            here_nc[:] = 0.0
        for n in range(n_atoms):
            for c in range(3):
                here_nc[n, c] += r_tnc[t, n, c]
        counters[0] += 1
        if counters[0] < window:
            continue
        counters[0] = 0
        for n in range(n_atoms):
            for c in range(3):
                here_nc[n, c] /= window
        if counters[1] == 0:
            home_nc[:] = here_nc
            if not keep_first:
                first_nc[:] = here_nc
        else:
            for n in range(n_atoms):
                away_here, away_previous, apart, reach = 0.0, 0.0, 0.0, 0.0
                for c in range(3):
                    away_here += (here_nc[n, c] - home_nc[n, c]) ** 2
                    away_previous += (previous_nc[n, c] - home_nc[n, c]) ** 2
                    apart += (here_nc[n, c] - previous_nc[n, c]) ** 2
                    reach += (here_nc[n, c] - first_nc[n, c]) ** 2
                if away_here > limit and away_previous > limit and apart < limit:
                    hops_n[n] += 1
                    home_nc[n] = here_nc[n]
                    reach_n[n] = max(reach_n[n], reach)
        previous_nc[:] = here_nc
        counters[1] += 1
