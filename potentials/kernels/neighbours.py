"""Neighbour lists over explicit image atoms, for any triclinic periodic cell. No potentials: see pair.py.

Every pair within the cutoff is kept exactly once: a local atom beside a later local atom, or beside an
image shifted by a lattice vector whose first non-zero component is positive. The cell may be smaller than
the cutoff, and an atom may neighbour its own images.
"""

import numpy as np

from simtools.core.accelerate import kernel


@kernel
def wrap_atoms(positions_nc, inverse_cell):
    """Return fractional positions in [0, 1) and the lattice offsets that were removed, or a negative flag.

    The flag is the index of the first atom whose position is not finite, else -1.
    """
    n_atoms = positions_nc.shape[0]
    fractional_nc = np.empty((n_atoms, 3))
    offset_nc = np.empty((n_atoms, 3))
    for n in range(n_atoms):
        for c in range(3):
            value = (
                positions_nc[n, 0] * inverse_cell[0, c]
                + positions_nc[n, 1] * inverse_cell[1, c]
                + positions_nc[n, 2] * inverse_cell[2, c]
            )
            if not np.isfinite(value):
                return fractional_nc, offset_nc, n
            offset = np.floor(value)
            if value - offset >= 1.0:
                offset += 1.0
            offset_nc[n, c] = offset
            fractional_nc[n, c] = max(value - offset, 0.0)
    return fractional_nc, offset_nc, -1


@kernel
def count_images(fractional_nc, margin_c, reach_c):
    """Return how many images lie within `margin_c` (fractional) of the cell; positive half of shifts."""
    count = 0
    for n in range(fractional_nc.shape[0]):
        for a in range(0, reach_c[0] + 1):
            if fractional_nc[n, 0] + a > 1.0 + margin_c[0]:
                continue
            for b in range(0 if a == 0 else -reach_c[1], reach_c[1] + 1):
                y = fractional_nc[n, 1] + b
                if y > 1.0 + margin_c[1] or y < -margin_c[1]:
                    continue
                for c in range(1 if a == 0 and b == 0 else -reach_c[2], reach_c[2] + 1):
                    z = fractional_nc[n, 2] + c
                    if z > 1.0 + margin_c[2] or z < -margin_c[2]:
                        continue
                    count += 1
    return count


@kernel
def make_images(fractional_nc, margin_c, reach_c, n_images):
    """Return owner index, lattice shift and fractional position of every image counted by `count_images`."""
    owner_g = np.empty(n_images, dtype=np.int64)
    shift_gc = np.empty((n_images, 3))
    fractional_gc = np.empty((n_images, 3))
    g = 0
    for n in range(fractional_nc.shape[0]):
        for a in range(0, reach_c[0] + 1):
            x = fractional_nc[n, 0] + a
            if x > 1.0 + margin_c[0]:
                continue
            for b in range(0 if a == 0 else -reach_c[1], reach_c[1] + 1):
                y = fractional_nc[n, 1] + b
                if y > 1.0 + margin_c[1] or y < -margin_c[1]:
                    continue
                for c in range(1 if a == 0 and b == 0 else -reach_c[2], reach_c[2] + 1):
                    z = fractional_nc[n, 2] + c
                    if z > 1.0 + margin_c[2] or z < -margin_c[2]:
                        continue
                    owner_g[g] = n
                    shift_gc[g, 0] = a
                    shift_gc[g, 1] = b
                    shift_gc[g, 2] = c
                    fractional_gc[g, 0] = x
                    fractional_gc[g, 1] = y
                    fractional_gc[g, 2] = z
                    g += 1
    return owner_g, shift_gc, fractional_gc


@kernel
def bin_index(x, y, z, margin_c, bins_c, bin_c):
    """Write the bin of a fractional position of the extended cell into `bin_c`; return its flat index."""
    bin_c[0] = min(int((x + margin_c[0]) / (1.0 + 2.0 * margin_c[0]) * bins_c[0]), bins_c[0] - 1)
    bin_c[1] = min(int((y + margin_c[1]) / (1.0 + 2.0 * margin_c[1]) * bins_c[1]), bins_c[1] - 1)
    bin_c[2] = min(int((z + margin_c[2]) / (1.0 + 2.0 * margin_c[2]) * bins_c[2]), bins_c[2] - 1)
    return (bin_c[0] * bins_c[1] + bin_c[1]) * bins_c[2] + bin_c[2]


@kernel
def sort_into_bins(fractional_nc, margin_c, bins_c):
    """Return a stable order of the atoms by bin and the first position of every bin in that order."""
    n_atoms = fractional_nc.shape[0]
    n_bins = bins_c[0] * bins_c[1] * bins_c[2]
    start_b = np.zeros(n_bins + 1, dtype=np.int64)
    flat_n = np.empty(n_atoms, dtype=np.int64)
    bin_c = np.empty(3, dtype=np.int64)
    for n in range(n_atoms):
        flat_n[n] = bin_index(
            fractional_nc[n, 0], fractional_nc[n, 1], fractional_nc[n, 2], margin_c, bins_c, bin_c
        )
        start_b[flat_n[n] + 1] += 1
    for b in range(n_bins):
        start_b[b + 1] += start_b[b]
    cursor_b = start_b[:-1].copy()
    order_n = np.empty(n_atoms, dtype=np.int64)
    for n in range(n_atoms):
        order_n[cursor_b[flat_n[n]]] = n
        cursor_b[flat_n[n]] += 1
    return order_n, start_b


@kernel
def arrange(positions_nc, type_n, cell, inverse_cell, margin_c, reach_c, bins_c):
    """Return everything that `fill_list` needs, and the first atom whose position is not finite, else -1.

    One call, because every return to Python may wait for another thread.
    """
    fractional_nc, offset_nc, bad = wrap_atoms(positions_nc, inverse_cell)
    if bad >= 0:
        fractional_nc[:] = 0.5
        offset_nc[:] = 0.0
    order_n, start_local_b = sort_into_bins(fractional_nc, margin_c, bins_c)
    fractional_nc = fractional_nc[order_n]
    offset_nc = offset_nc[order_n]
    n_images = count_images(fractional_nc, margin_c, reach_c)
    owner_g, shift_gc, fractional_gc = make_images(fractional_nc, margin_c, reach_c, n_images)
    order_g, start_image_b = sort_into_bins(fractional_gc, margin_c, bins_c)
    owner_g, shift_gc = owner_g[order_g], shift_gc[order_g]
    n_local = len(order_n)
    owner_x = np.empty(n_local + n_images, dtype=np.int64)
    owner_x[:n_local] = order_n
    owner_x[n_local:] = order_n[owner_g]
    r_xc = np.zeros((n_local + n_images, 4))
    place_atoms(positions_nc, order_n, offset_nc, owner_g, shift_gc, cell, r_xc)
    return (
        (type_n[owner_x], start_local_b, start_image_b),
        (order_n, offset_nc, owner_g, shift_gc, owner_x, r_xc),
        bad,
    )


@kernel
def fill_list(
    r_x,
    type_x,
    start_local_b,
    start_image_b,
    bins_c,
    reach2_tt,
    row_ra,
    row_start_t,
    first_it,
    neighbour_k,
):
    """Write the neighbours of every local atom, grouped by their type; return their number.

    `r_x` holds locals then images, both in bin order, four numbers each.
    ``row_ra[row_start_t[t]:row_start_t[t + 1]]`` are the rows of bins (steps along the first two axes, first
    and last step along the third) within reach of an atom of type t. What is near a bin is gathered once for
    all its atoms, by type; their distances are then taken many at a time. `first_it[i * n_types + t]` is
    where the neighbours of type t of atom i start in `neighbour_k`. A negative return says that
    `neighbour_k` was too short, and how long it should be.
    """
    n_types = reach2_tt.shape[0]
    n_local = start_local_b[-1]
    present_t = np.zeros(n_types, dtype=np.bool_)
    widest = 0
    for n in range(n_local):
        present_t[type_x[n]] = True
    for t in range(n_types):
        if reach2_tt[t].max() > reach2_tt[widest].max():
            widest = t
    row_low = np.empty(row_start_t[-1], dtype=np.int64)
    row_high = np.empty(row_start_t[-1], dtype=np.int64)
    end_t = np.empty(n_types, dtype=np.uint64)
    x_k, y_k, z_k, d2_k = np.empty(0), np.empty(0), np.empty(0), np.empty(0)
    index_k = np.empty(0, dtype=np.uint32)
    room = np.uint64(0)
    one, two = np.uint64(1), np.uint64(2)
    total = np.uint64(0)
    first_it[0] = 0
    for b0 in range(bins_c[0]):
        for b1 in range(bins_c[1]):
            for b2 in range(bins_c[2]):
                here = (b0 * bins_c[1] + b1) * bins_c[2] + b2
                first_atom, end_atom = start_local_b[here], start_local_b[here + 1]
                if first_atom == end_atom:
                    continue
                n_rows = n_candidates = 0
                for row in range(row_start_t[widest], row_start_t[widest + 1]):
                    a, b = b0 + row_ra[row, 0], b1 + row_ra[row, 1]
                    if a < 0 or b < 0 or a >= bins_c[0] or b >= bins_c[1]:
                        continue
                    first_bin = (a * bins_c[1] + b) * bins_c[2]
                    low = first_bin + max(b2 + row_ra[row, 2], 0)
                    high = first_bin + min(b2 + row_ra[row, 3], bins_c[2] - 1) + 1
                    row_low[n_rows], row_high[n_rows] = low, high
                    n_rows += 1
                    n_candidates += max(start_local_b[high] - max(start_local_b[low], first_atom), 0)
                    n_candidates += start_image_b[high] - start_image_b[low]
                if n_candidates > room:
                    room = np.uint64(2 * n_candidates)
                    x_k, y_k, z_k = (
                        np.empty(n_types * room),
                        np.empty(n_types * room),
                        np.empty(n_types * room),
                    )
                    d2_k, index_k = np.empty(room), np.empty(n_types * room, dtype=np.uint32)
                for t in range(n_types):
                    end_t[t] = np.uint64(t) * room
                for row in range(n_rows):
                    low, high = row_low[row], row_high[row]
                    for part in range(2):
                        if part == 0:
                            begin, end = max(start_local_b[low], first_atom), start_local_b[high]
                        else:
                            begin, end = n_local + start_image_b[low], n_local + start_image_b[high]
                        for j in range(np.uint64(begin), np.uint64(max(end, begin))):
                            at_j = j << two
                            t = np.uint64(type_x[j])
                            place = end_t[t]
                            x_k[place], y_k[place], z_k[place] = r_x[at_j], r_x[at_j + one], r_x[at_j + two]
                            index_k[place] = j
                            end_t[t] = place + one
                if np.int64(total) + (end_atom - first_atom) * n_candidates >= neighbour_k.shape[0]:
                    done = max(first_atom, 1)
                    return -1.2 * (total * (n_local / done) + (end_atom - first_atom) * n_candidates) - 64.0
                for i in range(first_atom, end_atom):
                    at_i = np.uint64(i) << two
                    x, y, z = r_x[at_i], r_x[at_i + one], r_x[at_i + two]
                    for t in range(n_types):
                        reach2 = reach2_tt[type_x[i], t]
                        if present_t[t] and reach2 > 0.0:
                            start = np.uint64(t) * room
                            n_near = end_t[t] - start
                            for k in range(n_near):
                                dx, dy, dz = x_k[start + k] - x, y_k[start + k] - y, z_k[start + k] - z
                                d2_k[k] = dx * dx + dy * dy + dz * dz
                            for k in range(n_near):
                                j = index_k[start + k]
                                neighbour_k[total] = j
                                total += np.uint64((d2_k[k] < reach2) & (j > i))
                        first_it[i * n_types + t + 1] = total
    return float(total)


@kernel
def drop_partners(owner_x, lattice_xc, partner_n, n_types, first_it, neighbour_k):
    """Take every atom's partner (the same lattice translation, no other image) out of its neighbours.

    `first_it` and `neighbour_k` are rewritten in place; returns the new number of neighbours.
    """
    total = 0
    begin = 0
    for row in range(len(first_it) - 1):
        i = row // n_types
        partner = partner_n[owner_x[i]]
        end = first_it[row + 1]
        for k in range(begin, end):
            j = neighbour_k[k]
            together = owner_x[j] == partner
            for c in range(3):
                together = together and lattice_xc[j, c] == lattice_xc[i, c]
            neighbour_k[total] = j
            total += not together
        begin = end
        first_it[row + 1] = total
    return total


@kernel
def drop_companions(owner_x, lattice_xc, group_n, n_types, first_it, neighbour_k):
    """Take atoms of the same group (not -1) and lattice translation out of each other's neighbours.

    `first_it` and `neighbour_k` are rewritten in place; returns the new number of neighbours.
    """
    total = 0
    begin = 0
    for row in range(len(first_it) - 1):
        i = row // n_types
        group = group_n[owner_x[i]]
        end = first_it[row + 1]
        for k in range(begin, end):
            j = neighbour_k[k]
            together = group >= 0 and group_n[owner_x[j]] == group
            for c in range(3):
                together = together and lattice_xc[j, c] == lattice_xc[i, c]
            neighbour_k[total] = j
            total += not together
        begin = end
        first_it[row + 1] = total
    return total


@kernel
def place_atoms(positions_nc, order_n, offset_nc, owner_g, shift_gc, cell, r_xc):
    """Write the wrapped, sorted local atoms and their images into `r_xc` (columns x, y, z, unused)."""
    n_local = positions_nc.shape[0]
    for i in range(n_local):
        n = order_n[i]
        for c in range(3):
            r_xc[i, c] = positions_nc[n, c] - (
                offset_nc[i, 0] * cell[0, c] + offset_nc[i, 1] * cell[1, c] + offset_nc[i, 2] * cell[2, c]
            )
    for g in range(owner_g.shape[0]):
        i = owner_g[g]
        for c in range(3):
            r_xc[n_local + g, c] = r_xc[i, c] + (
                shift_gc[g, 0] * cell[0, c] + shift_gc[g, 1] * cell[1, c] + shift_gc[g, 2] * cell[2, c]
            )


@kernel
def largest_displacements(positions_nc, reference_nc, deformation):
    """Return the sum of the two largest displacements from the (affinely deformed) reference positions.

    NaN where any position is not finite.
    """
    first, second, check = 0.0, 0.0, 0.0
    for n in range(positions_nc.shape[0]):
        d2 = 0.0
        for c in range(3):
            step = positions_nc[n, c] - (
                reference_nc[n, 0] * deformation[0, c]
                + reference_nc[n, 1] * deformation[1, c]
                + reference_nc[n, 2] * deformation[2, c]
            )
            d2 += step * step
        check += d2
        if d2 > first:
            second = first
            first = d2
        elif d2 > second:
            second = d2
    return np.sqrt(first) + np.sqrt(second) + 0.0 * check


@kernel
def move_atoms(
    positions_nc,
    reference_nc,
    deformation,
    inverse_norm,
    cutoff,
    skin,
    order_n,
    offset_nc,
    owner_g,
    shift_gc,
    cell,
    r_xc,
):
    """Bring `r_xc` to new positions and return True, or False where the list does not hold there any more."""
    moved = largest_displacements(positions_nc, reference_nc, deformation)
    if not (cutoff + moved) * inverse_norm <= cutoff + skin:
        return False
    place_atoms(positions_nc, order_n, offset_nc, owner_g, shift_gc, cell, r_xc)
    return True
