"""Exact reciprocal sums of point charges, every wave vector of a sphere; its radius is chosen elsewhere.

Wave vectors come as columns (m1, m2) of one half space; in each column the third index runs over +m3
and -m3 together, because both follow from the same four real products.
"""

import math

import numpy as np

from simtools.core.accelerate import kernel

__all__ = ["BLOCK", "reciprocal_columns", "reciprocal_forces", "reciprocal_weights", "structure_products"]

BLOCK = 64  # atoms worked on together: their phase tables stay in the cache


@kernel
def reciprocal_columns(reciprocal_gc, largest_m, k_cut):
    """Return the columns (m1, m2, start, top) of the half space within `k_cut`, and the number of rows.

    `top` is the largest abs(m3) of the column with a vector inside, `start` its first row in the flat lists.
    """
    columns = np.empty(((largest_m[0] + 1) * (2 * largest_m[1] + 1), 4), dtype=np.int64)
    n_columns = 0
    n_rows = 0
    for m1 in range(largest_m[0] + 1):
        for m2 in range(-largest_m[1] if m1 > 0 else 0, largest_m[1] + 1):
            top = -1
            for m3 in range(-largest_m[2], largest_m[2] + 1):
                k_squared = 0.0
                for c in range(3):
                    k = m1 * reciprocal_gc[0, c] + m2 * reciprocal_gc[1, c] + m3 * reciprocal_gc[2, c]
                    k_squared += k * k
                if k_squared <= k_cut * k_cut:
                    top = max(top, abs(m3))
            if top >= 0:
                columns[n_columns, 0] = m1
                columns[n_columns, 1] = m2
                columns[n_columns, 2] = n_rows
                columns[n_columns, 3] = top
                n_columns += 1
                n_rows += top + 1
    return columns[:n_columns], n_rows


@kernel
def _fill_phases(fractions_nc, first, size, phases):
    """Write cos and sin of 2 pi m s into `phases[axis, m, 0|1, n]` for one block of atoms."""
    for axis in range(3):
        for n in range(BLOCK):
            fraction = fractions_nc[first + n, axis] if n < size else 0.0
            angle = 2.0 * math.pi * (fraction - math.floor(fraction))
            phases[axis, 0, 0, n] = 1.0
            phases[axis, 0, 1, n] = 0.0
            phases[axis, 1, 0, n] = math.cos(angle)
            phases[axis, 1, 1, n] = math.sin(angle)
        for m in range(2, phases.shape[1]):
            half, rest = m // 2, m - m // 2
            for n in range(BLOCK):
                a, b = phases[axis, half, 0, n], phases[axis, half, 1, n]
                c, d = phases[axis, rest, 0, n], phases[axis, rest, 1, n]
                phases[axis, m, 0, n] = a * c - b * d
                phases[axis, m, 1, n] = a * d + b * c


@kernel
def _plane_phase(phases, m1, m2, cosine_n, sine_n):
    """Write exp(2 pi i (m1 s1 + m2 s2)) of one block, m2 of either sign."""
    sign = -1.0 if m2 < 0 else 1.0
    for n in range(BLOCK):
        a, b = phases[0, m1, 0, n], phases[0, m1, 1, n]
        c, d = phases[1, abs(m2), 0, n], sign * phases[1, abs(m2), 1, n]
        cosine_n[n] = a * c - b * d
        sine_n[n] = a * d + b * c


@kernel(fastmath={"reassoc", "contract", "nsz"})
def structure_products(fractions_nc, charges_n, columns, n_rows, largest_m):
    """Return per row the sums over atoms of q cos cos, q sin sin, q cos sin, q sin cos, shape (n_rows, 4).

    The first factor belongs to the column's plane phase, the second to the third axis.
    """
    n_atoms = len(charges_n)
    products = np.zeros((n_rows, 4))
    phases = np.empty((3, max(largest_m.max(), 1) + 1, 2, BLOCK))
    cosine_n, sine_n = np.empty(BLOCK), np.empty(BLOCK)
    charge_n = np.zeros(BLOCK)
    for first in range(0, n_atoms, BLOCK):
        size = min(BLOCK, n_atoms - first)
        _fill_phases(fractions_nc, first, size, phases)
        for n in range(BLOCK):
            charge_n[n] = charges_n[first + n] if n < size else 0.0
        for column in range(len(columns)):
            start, top = columns[column, 2], columns[column, 3]
            _plane_phase(phases, columns[column, 0], columns[column, 1], cosine_n, sine_n)
            for n in range(BLOCK):
                cosine_n[n] *= charge_n[n]
                sine_n[n] *= charge_n[n]
            for m3 in range(top + 1):
                cc = ss = cs = sc = 0.0
                for n in range(BLOCK):
                    cosine, sine = phases[2, m3, 0, n], phases[2, m3, 1, n]
                    cc += cosine_n[n] * cosine
                    ss += sine_n[n] * sine
                    cs += cosine_n[n] * sine
                    sc += sine_n[n] * cosine
                products[start + m3, 0] += cc
                products[start + m3, 1] += ss
                products[start + m3, 2] += cs
                products[start + m3, 3] += sc
    return products


@kernel
def reciprocal_weights(products, columns, reciprocal_gc, k_cut, alpha, prefactor):
    """Return energy, virial and the conjugate field of every row.

    Energy is ``prefactor * sum over the half space of exp(-k^2 / 4 alpha^2) / k^2 * |S|^2``; virial is its
    derivative by strain. Fields hold (Re, Im) of the weighted conjugate structure factors summed and
    differenced over +m3 and -m3, shape (n_rows, 4).
    """
    fields = np.zeros_like(products)
    virial_cc = np.zeros((3, 3))
    energy = 0.0
    k_c = np.empty(3)
    for column in range(len(columns)):
        m1, m2 = columns[column, 0], columns[column, 1]
        for m3 in range(columns[column, 3] + 1):
            row = columns[column, 2] + m3
            cc, ss, cs, sc = products[row, 0], products[row, 1], products[row, 2], products[row, 3]
            for side in range(2):
                if m3 == 0 and (side == 1 or (m1 == 0 and m2 == 0)):
                    continue
                if side == 1 and m1 == 0 and m2 == 0:
                    continue
                sign = 1 - 2 * side
                k_squared = 0.0
                for c in range(3):
                    k_c[c] = (
                        m1 * reciprocal_gc[0, c] + m2 * reciprocal_gc[1, c] + sign * m3 * reciprocal_gc[2, c]
                    )
                    k_squared += k_c[c] * k_c[c]
                if k_squared > k_cut * k_cut:
                    continue
                weight = prefactor * math.exp(-k_squared / (4.0 * alpha * alpha)) / k_squared
                real, imaginary = cc - sign * ss, sign * cs + sc
                term = weight * (real * real + imaginary * imaginary)
                energy += term
                slope = 2.0 * (1.0 / k_squared + 1.0 / (4.0 * alpha * alpha))
                for a in range(3):
                    virial_cc[a, a] -= term
                    for b in range(3):
                        virial_cc[a, b] += term * slope * k_c[a] * k_c[b]
                fields[row, 0] += weight * real
                fields[row, 1] -= weight * imaginary
                fields[row, 2] += sign * weight * real
                fields[row, 3] -= sign * weight * imaginary
    return energy, virial_cc, fields


@kernel(fastmath={"contract"})
def reciprocal_forces(
    fractions_nc, charges_n, columns, largest_m, fields, reciprocal_gc, energies_n, forces_nc
):
    """Add each atom's share of the reciprocal energy and its force."""
    n_atoms = len(charges_n)
    phases = np.empty((3, max(largest_m.max(), 1) + 1, 2, BLOCK))
    cosine_n, sine_n = np.empty(BLOCK), np.empty(BLOCK)
    sums = np.empty((4, BLOCK))
    totals = np.empty((4, BLOCK))
    for first in range(0, n_atoms, BLOCK):
        size = min(BLOCK, n_atoms - first)
        _fill_phases(fractions_nc, first, size, phases)
        totals[:] = 0.0
        for column in range(len(columns)):
            m1, m2, start = columns[column, 0], columns[column, 1], columns[column, 2]
            _plane_phase(phases, m1, m2, cosine_n, sine_n)
            sums[:] = 0.0
            for m3 in range(columns[column, 3] + 1):
                sum_re, sum_im = fields[start + m3, 0], fields[start + m3, 1]
                diff_re, diff_im = fields[start + m3, 2], fields[start + m3, 3]
                for n in range(BLOCK):
                    cosine, sine = phases[2, m3, 0, n], phases[2, m3, 1, n]
                    sums[0, n] += sum_re * cosine - diff_im * sine
                    sums[1, n] += sum_im * cosine + diff_re * sine
                    sums[2, n] += m3 * (diff_re * cosine - sum_im * sine)
                    sums[3, n] += m3 * (diff_im * cosine + sum_re * sine)
            for n in range(BLOCK):
                slope = cosine_n[n] * sums[1, n] + sine_n[n] * sums[0, n]
                totals[0, n] += cosine_n[n] * sums[0, n] - sine_n[n] * sums[1, n]
                totals[1, n] += m1 * slope
                totals[2, n] += m2 * slope
                totals[3, n] += cosine_n[n] * sums[3, n] + sine_n[n] * sums[2, n]
        for n in range(size):
            charge = charges_n[first + n]
            energies_n[first + n] += charge * totals[0, n]
            for c in range(3):
                forces_nc[first + n, c] += (
                    2.0
                    * charge
                    * (
                        totals[1, n] * reciprocal_gc[0, c]
                        + totals[2, n] * reciprocal_gc[1, c]
                        + totals[3, n] * reciprocal_gc[2, c]
                    )
                )
