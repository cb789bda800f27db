"""Pair energies and forces over a neighbour list: from tables (production) or pair by pair (reference).

No units or defaults here: the lists come from neighbours.py, the tables from tables.py. Forces are written
for local atoms and their images together; the virial is then the sum of force times position over both.
"""

import numpy as np

from simtools.core.accelerate import kernel

REASSOCIATING = {"reassoc", "contract", "nsz", "arcp"}
"""Fast-math flags of the force kernel. NaN and infinity stay themselves: the callers look for them."""


@kernel(fastmath=REASSOCIATING)
def table_forces(
    r_xc, type_x, first_it, neighbour_k, coefficients_pbk, index_tt, top_tt, inverse_inner2, base, shift, f_xc
):
    """Write dE/ds (r_j - r_i) sums into `f_xc` (zeroed here) and return the energy.

    The true forces are `f_xc` times 2 * `inverse_inner2`; `fold_forces` applies that.
    """
    n_types = top_tt.shape[0]
    n_local = (first_it.shape[0] - 1) // n_types
    last = coefficients_pbk.shape[1] - 1
    mask = ~((np.int64(1) << shift) - np.int64(1))
    f_xc[:] = 0.0
    energy = 0.0
    for i in range(n_local):
        x, y, z = r_xc[i, 0], r_xc[i, 1], r_xc[i, 2]
        fx, fy, fz = 0.0, 0.0, 0.0
        type_i = type_x[i]
        for t in range(n_types):
            table = coefficients_pbk[index_tt[type_i, t]]
            top = top_tt[type_i, t]
            for k in range(first_it[i * n_types + t], first_it[i * n_types + t + 1]):
                j = neighbour_k[k]
                dx, dy, dz = r_xc[j, 0] - x, r_xc[j, 1] - y, r_xc[j, 2] - z
                s = (dx * dx + dy * dy + dz * dz) * inverse_inner2
                bits = np.float64(s).view(np.int64)
                b = max((bits >> shift) - base, 0)
                b = b if s < top else last
                v = s - np.int64(bits & mask).view(np.float64)
                c0, c1, c2, c3 = table[b, 0], table[b, 1], table[b, 2], table[b, 3]
                energy += c0 + v * (c1 + v * (c2 + v * c3))
                slope = c1 + v * (2.0 * c2 + v * (3.0 * c3))
                fx += slope * dx
                fy += slope * dy
                fz += slope * dz
                f_xc[j, 0] -= slope * dx
                f_xc[j, 1] -= slope * dy
                f_xc[j, 2] -= slope * dz
        f_xc[i, 0] += fx
        f_xc[i, 1] += fy
        f_xc[i, 2] += fz
    return energy


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
