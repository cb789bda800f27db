"""Pair energies and forces over a neighbour list: from tables (production) or pair by pair (reference).

No units or defaults here: the lists come from neighbours.py, the tables from tables.py. Table forces are
summed in blocks of atoms that two threads can share: each block has an array of its own, and these are added
in one order, whoever summed them. Reference forces are written for local atoms and their images together; the
virial is then the sum of force times position over both.
"""

import numpy as np

from potentials.kernels.neighbours import move_atoms
from simtools.core.accelerate import fma, kernel, look, publish, take_next


@kernel
def table_forces(
    r_x,
    type_x,
    first_it,
    neighbour_k,
    coefficients,
    n_bins,
    index_tt,
    top_tt,
    inverse_inner2,
    base,
    shift,
    slot_x,
    start_b,
    touched_bc,
    virial_bs,
    next_block,
    f_bi,
    energy_b,
):
    """Sum the blocks of atoms that no other thread has taken from `next_block` yet.

    Block b holds the local atoms from ``start_b[b]`` up to ``start_b[b + 1]``. Its sums of dE/ds (r_j - r_i)
    go to ``f_bi[b]``, zeroed here where the block has neighbours (`touched_bc`, see `touched_atoms`): those
    of an image to its local atom (`slot_x` says where these four numbers begin). Its energy goes to
    ``energy_b[b]``, its sums of dE/ds (r_j - r_i) (r_j - r_i) to ``virial_bs[b]``, xx, yy, zz, yz, xz, xy,
    unless that is None. The true forces are these times 2 * inverse_inner2; `join_blocks` applies that.

    `r_x`, ``f_bi[b]`` and `coefficients` are flat: four numbers per atom (the last is zero) and per bin, read
    and written as one wide word. Indices are unsigned: whether a signed one is negative is asked each time.
    No fast-math flags: forces have the same bits with the virial and without.
    """
    n_types = top_tt.shape[0]
    n_blocks = len(energy_b)
    last = np.uint64(n_bins - 1)
    mask = ~((np.int64(1) << shift) - np.int64(1))
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    while True:
        block = take_next(next_block)
        if block >= n_blocks:
            break
        f_i = f_bi[block]
        for part in range(2):
            f_i[4 * touched_bc[block, 2 * part] : 4 * touched_bc[block, 2 * part + 1]] = 0.0
        energy = xx = yy = zz = yz = xz = xy = 0.0
        for i in range(start_b[block], start_b[block + 1]):
            at_i = np.uint64(i) << two
            x, y, z = r_x[at_i], r_x[at_i + one], r_x[at_i + two]
            fx, fy, fz, fw = 0.0, 0.0, 0.0, 0.0
            type_i = type_x[i]
            for t in range(n_types):
                row = i * n_types + t
                table = np.uint64(index_tt[type_i, t] * n_bins)
                top = top_tt[type_i, t]
                for k in range(np.uint64(first_it[row]), np.uint64(first_it[row + 1])):
                    place = np.uint64(neighbour_k[k])
                    j, home = place << two, np.uint64(slot_x[place])
                    dx, dy, dz, dw = r_x[j] - x, r_x[j + one] - y, r_x[j + two] - z, r_x[j + three]
                    s = ((dx * dx + dz * dz) + (dy * dy + dw * dw)) * inverse_inner2
                    bits = np.float64(s).view(np.int64)
                    b = np.uint64(max((bits >> shift) - base, 0))
                    b = b if s < top else last
                    v = s - np.int64(bits & mask).view(np.float64)
                    c = (table + b) << two
                    c0, c1, c2, c3 = (
                        coefficients[c],
                        coefficients[c + one],
                        coefficients[c + two],
                        coefficients[c + three],
                    )
                    cubic = v * c3
                    energy += fma(v, fma(v, c2 + cubic, c1), c0)
                    slope = fma(v, fma(3.0, cubic, c2 + c2), c1)
                    px, py, pz, pw = slope * dx, slope * dy, slope * dz, slope * dw
                    fx += px
                    fy += py
                    fz += pz
                    fw += pw
                    f0, f1, f2, f3 = f_i[home], f_i[home + one], f_i[home + two], f_i[home + three]
                    f_i[home] = f0 - px
                    f_i[home + one] = f1 - py
                    f_i[home + two] = f2 - pz
                    f_i[home + three] = f3 - pw
                    if virial_bs is not None:
                        xx += px * dx
                        yy += py * dy
                        zz += pz * dz
                        yz += py * dz
                        xz += px * dz
                        xy += px * dy
            f_i[at_i] += fx
            f_i[at_i + one] += fy
            f_i[at_i + two] += fz
            f_i[at_i + three] += fw
        energy_b[block] = energy
        if virial_bs is not None:
            virial = virial_bs[block]
            virial[0], virial[1], virial[2], virial[3], virial[4], virial[5] = xx, yy, zz, yz, xz, xy


@kernel
def place_and_sum(places, forces, left, patience):
    """Bring the atoms of a list to new positions and sum their pairs; nothing and False for an old list.

    `places` are the arguments of `neighbours.move_atoms`, `forces` those of `table_forces`: one call without
    a stop between them, because a second thread that asks for Python's lock waits longer than they take.
    ``left[0]`` is set to 1 when nothing is touched any more. Then the other thread goes first: it says so
    with 2, which is looked for `patience` times.
    """
    if not move_atoms(*places):
        return False
    publish(forces[-3], np.int64(0))
    table_forces(*forces)
    publish(left, np.int64(1))
    for _ in range(patience):
        if look(left) == 2:
            break
    return True


@kernel
def has_begun(next_block, n_blocks, left, patience):
    """Look `patience` times whether the other thread has begun to sum, or has left already; say so."""
    for _ in range(patience):
        if look(next_block) < n_blocks or look(left) != 0:
            return True
    return False


@kernel
def help_and_wait(forces, left, patience):
    """Sum the blocks that are left over; look `patience` times whether the other thread has left, and say so.

    To be called after `has_begun`: before that, what `forces` holds may still be replaced.
    """
    table_forces(*forces)
    for _ in range(patience):
        if look(left) != 0:
            return True
    return False


@kernel
def touched_atoms(start_b, first_it, neighbour_k, home_x, n_types, touched_bc):
    """Write which local atoms each block of `table_forces` adds forces to: two ranges, without an overlap."""
    for b in range(len(start_b) - 1):
        n_local = start_b[-1]
        end, low, high = start_b[b + 1], n_local, 0
        for k in range(first_it[start_b[b] * n_types], first_it[start_b[b + 1] * n_types]):
            j = np.int64(neighbour_k[k])
            if j < n_local:
                end = max(end, j + 1)
            else:
                low = min(low, np.int64(home_x[j]))
                high = max(high, np.int64(home_x[j]) + 1)
        begin = start_b[b]
        if low < high and low <= end and begin <= high:
            begin, end, low, high = min(begin, low), max(end, high), 0, 0
        touched_bc[b, 0], touched_bc[b, 1] = begin, end
        touched_bc[b, 2], touched_bc[b, 3] = min(low, high), high


@kernel
def join_blocks(f_bi, touched_bc, virial_bs, energy_b, order_n, factor, total_i, force_nc, virial_cc):
    """Add `factor` times the forces of all blocks, always in their order, to `force_nc`; return the energy.

    Writes dE/dstrain into `virial_cc` unless `virial_bs` is None. The energy is NaN where a force is not
    finite.
    """
    total_i[:] = 0.0
    energy = check = 0.0
    for b in range(len(touched_bc)):
        energy += energy_b[b]
        for part in range(2):
            for x in range(4 * touched_bc[b, 2 * part], 4 * touched_bc[b, 2 * part + 1]):
                total_i[x] += f_bi[b, x]
    if virial_bs is not None:
        virial_v = factor * virial_bs.sum(axis=0)
        for c in range(3):
            virial_cc[c, c] = virial_v[c]
        virial_cc[1, 2] = virial_cc[2, 1] = virial_v[3]
        virial_cc[0, 2] = virial_cc[2, 0] = virial_v[4]
        virial_cc[0, 1] = virial_cc[1, 0] = virial_v[5]
    for i in range(len(order_n)):
        for c in range(3):
            force = factor * total_i[4 * i + c]
            force_nc[order_n[i], c] += force
            check += force
    return energy if np.isfinite(check) else np.nan


@kernel
def table_energies(
    r_xc,
    type_x,
    owner_x,
    first_it,
    neighbour_k,
    coefficients_pbk,
    index_tt,
    top_tt,
    inverse_inner2,
    base,
    shift,
    energy_n,
):
    """Add half of every pair energy to each of its two atoms in `energy_n` (caller's order)."""
    n_types = top_tt.shape[0]
    n_local = (first_it.shape[0] - 1) // n_types
    last = coefficients_pbk.shape[1] - 1
    mask = ~((np.int64(1) << shift) - np.int64(1))
    for i in range(n_local):
        for t in range(n_types):
            table = coefficients_pbk[index_tt[type_x[i], t]]
            top = top_tt[type_x[i], t]
            for k in range(first_it[i * n_types + t], first_it[i * n_types + t + 1]):
                j = neighbour_k[k]
                dx, dy, dz = r_xc[j, 0] - r_xc[i, 0], r_xc[j, 1] - r_xc[i, 1], r_xc[j, 2] - r_xc[i, 2]
                s = (dx * dx + dy * dy + dz * dz) * inverse_inner2
                bits = np.float64(s).view(np.int64)
                b = max((bits >> shift) - base, 0)
                b = b if s < top else last
                v = s - np.int64(bits & mask).view(np.float64)
                pair = table[b, 0] + v * (table[b, 1] + v * (table[b, 2] + v * table[b, 3]))
                energy_n[owner_x[i]] += 0.5 * pair
                energy_n[owner_x[j]] += 0.5 * pair


@kernel
def fold_forces(f_xc, r_xc, owner_x, factor, force_nc, virial_cc):
    """Add `factor` times the forces of atoms and images to `force_nc`; write dE/dstrain into `virial_cc`.

    Returns False where a force is not finite.
    """
    virial_cc[:] = 0.0
    check = 0.0
    for x in range(f_xc.shape[0]):
        n = owner_x[x]
        for c in range(3):
            force = factor * f_xc[x, c]
            force_nc[n, c] += force
            check += force
            for d in range(3):
                virial_cc[d, c] -= r_xc[x, d] * force
    return np.isfinite(check)


@kernel
def list_pairs(r_xc, type_x, first_it, neighbour_k, cutoff2_tt, i_p, j_p, r_p):
    """Write the pairs within their cutoffs (positions in `r_xc`, distance) and return their number."""
    n_types = cutoff2_tt.shape[0]
    n_local = (first_it.shape[0] - 1) // n_types
    p = 0
    for i in range(n_local):
        for t in range(n_types):
            cutoff2 = cutoff2_tt[type_x[i], t]
            for k in range(first_it[i * n_types + t], first_it[i * n_types + t + 1]):
                j = neighbour_k[k]
                dx, dy, dz = r_xc[j, 0] - r_xc[i, 0], r_xc[j, 1] - r_xc[i, 1], r_xc[j, 2] - r_xc[i, 2]
                d2 = dx * dx + dy * dy + dz * dz
                if d2 < cutoff2:
                    i_p[p] = i
                    j_p[p] = j
                    r_p[p] = np.sqrt(d2)
                    p += 1
    return p


@kernel
def spread_pairs(r_xc, owner_x, i_p, j_p, energy_p, slope_over_r_p, energy_n, f_xc):
    """Share pair energies between their atoms and add the pair forces to `f_xc`."""
    for p in range(len(i_p)):
        i, j = i_p[p], j_p[p]
        energy_n[owner_x[i]] += 0.5 * energy_p[p]
        energy_n[owner_x[j]] += 0.5 * energy_p[p]
        for c in range(3):
            pull = slope_over_r_p[p] * (r_xc[j, c] - r_xc[i, c])
            f_xc[i, c] += pull
            f_xc[j, c] -= pull
