"""Molecules made whole, and the terms inside them: bonds, angles, and what pairs that are left out still see.

Reciprocal space holds erf(alpha r)/r for every pair, so also for the pairs inside a molecule: it is taken off
here. Positions come whole, so no vector is folded but the bonds in `make_whole`.
"""

import math

import numpy as np

from simtools.core.accelerate import kernel

HARMONIC, MORSE = 0, 1


@kernel
def make_whole(positions_nc, cell, inverse, atom_a, parent_a, whole_nc, shift_nc):
    """Write positions with every bond folded to its nearest image, and the lattice vectors added for that.

    `atom_a` walks over the molecules, parents before children; `parent_a` is -1 for the first of each. Other
    atoms keep their positions.
    """
    for n in range(positions_nc.shape[0]):
        for c in range(3):
            whole_nc[n, c] = positions_nc[n, c]
            shift_nc[n, c] = 0
    step_c = np.empty(3)
    for a in range(atom_a.shape[0]):
        n, parent = atom_a[a], parent_a[a]
        if parent < 0:
            continue
        for d in range(3):
            fraction = 0.0
            for c in range(3):
                fraction += (positions_nc[n, c] - whole_nc[parent, c]) * inverse[c, d]
            step_c[d] = -np.rint(fraction)
            shift_nc[n, d] = np.int64(step_c[d])
        for c in range(3):
            whole_nc[n, c] += step_c[0] * cell[0, c] + step_c[1] * cell[1, c] + step_c[2] * cell[2, c]


@kernel
def longest_bond(whole_nc, i_b, j_b, longest_b):
    """Return the index of the first bond longer than allowed (or not finite), else -1."""
    for b in range(i_b.shape[0]):
        d2 = 0.0
        for c in range(3):
            d2 += (whole_nc[j_b[b], c] - whole_nc[i_b[b], c]) ** 2
        if not d2 < longest_b[b] ** 2:
            return b
    return -1


@kernel
def bond_forces(whole_nc, i_b, j_b, kind_b, parameter_bk, energy_n, force_nc, virial_cc):
    """Add the bonds' energies (half to each atom), forces and dE/dstrain."""
    d_c = np.empty(3)
    for b in range(i_b.shape[0]):
        i, j = i_b[b], j_b[b]
        d2 = 0.0
        for c in range(3):
            d_c[c] = whole_nc[j, c] - whole_nc[i, c]
            d2 += d_c[c] * d_c[c]
        r = math.sqrt(d2)
        if kind_b[b] == HARMONIC:
            x = r - parameter_bk[b, 1]
            energy = 0.5 * parameter_bk[b, 0] * x * x
            slope = parameter_bk[b, 0] * x
        else:
            x = math.exp(-parameter_bk[b, 1] * (r - parameter_bk[b, 2]))
            energy = parameter_bk[b, 0] * (x * x - 2.0 * x)
            slope = 2.0 * parameter_bk[b, 0] * parameter_bk[b, 1] * (x - x * x)
        energy_n[i] += 0.5 * energy
        energy_n[j] += 0.5 * energy
        add_pair(i, j, d_c, slope / r, force_nc, virial_cc)


@kernel
def add_pair(i, j, d_c, slope_over_r, force_nc, virial_cc):
    """Add the force and dE/dstrain of a pair energy with this slope (over r) at the vector from i to j."""
    for c in range(3):
        pull = slope_over_r * d_c[c]
        force_nc[i, c] += pull
        force_nc[j, c] -= pull
        for d in range(3):
            virial_cc[d, c] += d_c[d] * pull


@kernel
def angle_forces(whole_nc, i_a, j_a, k_a, stiffness_a, theta0_a, energy_n, force_nc, virial_cc):
    """Add the angles' energies (a third to each atom), forces and dE/dstrain; `j_a` is the vertex."""
    u_c, v_c = np.empty(3), np.empty(3)
    for a in range(i_a.shape[0]):
        i, j, k = i_a[a], j_a[a], k_a[a]
        uu, vv, uv = 0.0, 0.0, 0.0
        for c in range(3):
            u_c[c] = whole_nc[i, c] - whole_nc[j, c]
            v_c[c] = whole_nc[k, c] - whole_nc[j, c]
            uu += u_c[c] * u_c[c]
            vv += v_c[c] * v_c[c]
            uv += u_c[c] * v_c[c]
        lengths = math.sqrt(uu * vv)
        cosine = min(max(uv / lengths, -1.0), 1.0)
        sine = max(math.sqrt(1.0 - cosine * cosine), 1e-8)
        x = math.acos(cosine) - theta0_a[a]
        third = 0.5 * stiffness_a[a] * x * x / 3.0
        energy_n[i] += third
        energy_n[j] += third
        energy_n[k] += third
        slope = -stiffness_a[a] * x / sine  # dE/d(cosine)
        for c in range(3):
            pull_i = slope * (v_c[c] / lengths - cosine * u_c[c] / uu)
            pull_k = slope * (u_c[c] / lengths - cosine * v_c[c] / vv)
            force_nc[i, c] -= pull_i
            force_nc[k, c] -= pull_k
            force_nc[j, c] += pull_i + pull_k
            for d in range(3):
                virial_cc[d, c] += u_c[d] * pull_i + v_c[d] * pull_k


@kernel
def excluded_coulomb(whole_nc, i_e, j_e, product_e, alpha, energy_n, force_nc, virial_cc):
    """Take off what reciprocal space holds for the pairs inside molecules: k_e q_i q_j erf(alpha r)/r."""
    d_c = np.empty(3)
    gauss_factor = 2.0 * alpha / math.sqrt(math.pi)
    for e in range(i_e.shape[0]):
        i, j = i_e[e], j_e[e]
        d2 = 0.0
        for c in range(3):
            d_c[c] = whole_nc[j, c] - whole_nc[i, c]
            d2 += d_c[c] * d_c[c]
        r = math.sqrt(d2)
        value = math.erf(alpha * r) / r
        half = -0.5 * product_e[e] * value
        energy_n[i] += half
        energy_n[j] += half
        slope = (gauss_factor * math.exp(-alpha * alpha * d2) - value) / r
        add_pair(i, j, d_c, -product_e[e] * slope / r, force_nc, virial_cc)
