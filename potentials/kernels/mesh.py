"""Smooth particle mesh: charges to a mesh, the mesh's convolution, forces back. No FFT here: see mesh.py.

The innermost mesh axis is worked on in rows of `LANES` points whatever the spline's order (weights beyond
the order are zero), so that every order runs the same wide instructions; the charge mesh is padded by
``LANES - 1`` points along that axis, folded back by `fold`.
"""

import math

import numpy as np

from simtools.core.accelerate import kernel

__all__ = [
    "LANES",
    "fold",
    "gather",
    "gather_at_rest",
    "influence",
    "mean_squared_error",
    "multiply",
    "multiply_with_virial",
    "spread",
    "unfold",
]

LANES = 8


@kernel(fastmath={"contract"})
def _splines(fraction, polynomials, order, weights, row):
    """Write the `order` B-spline weights at `fraction` past a mesh point into ``weights[row]``."""
    top = polynomials[order - 1]
    w0, w1, w2, w3, w4, w5, w6, w7 = top[0], top[1], top[2], top[3], top[4], top[5], top[6], top[7]
    for step in range(1, order):
        power = polynomials[order - 1 - step]
        w0 = w0 * fraction + power[0]
        w1 = w1 * fraction + power[1]
        w2 = w2 * fraction + power[2]
        w3 = w3 * fraction + power[3]
        w4 = w4 * fraction + power[4]
        w5 = w5 * fraction + power[5]
        w6 = w6 * fraction + power[6]
        w7 = w7 * fraction + power[7]
    out = weights[row]
    out[0] = w0
    out[1] = w1
    out[2] = w2
    out[3] = w3
    out[4] = w4
    out[5] = w5
    out[6] = w6
    out[7] = w7


@kernel
def _mesh_place(position, inverse, n_points):
    """Return the mesh index below a position along one axis and the fraction past it."""
    fraction = position[0] * inverse[0] + position[1] * inverse[1] + position[2] * inverse[2]
    scaled = (fraction - math.floor(fraction)) * n_points
    index = int(scaled)
    if index < 0 or index >= n_points:  # a fraction just below zero rounds up to one; NaN has no index
        return 0, scaled - math.floor(scaled)
    return index, scaled - index


@kernel(fastmath={"contract"})
def spread(
    positions_nc, charges_n, inverse_gc, order, values, slopes, starts_nc, weights_ngl, slopes_ngl, mesh
):
    """Add every charge to the padded `mesh`; keep where it went and with which weights for `gather`.

    `inverse_gc` holds the rows that turn a position into fractions; `values` and `slopes` are the spline's
    polynomial coefficients, power by lane.
    """
    n1, n2, n3 = mesh.shape[0], mesh.shape[1], mesh.shape[2] - LANES + 1
    n_points = (n1, n2, n3)
    mesh[:] = 0.0
    for n in range(len(charges_n)):
        weights, slope = weights_ngl[n], slopes_ngl[n]
        for axis in range(3):
            index, fraction = _mesh_place(positions_nc[n], inverse_gc[axis], n_points[axis])
            starts_nc[n, axis] = index
            _splines(fraction, values, order, weights, axis)
            _splines(fraction, slopes, order - 1, slope, axis)
        line = weights[2]
        l0, l1, l2, l3, l4, l5, l6, l7 = (
            line[0],
            line[1],
            line[2],
            line[3],
            line[4],
            line[5],
            line[6],
            line[7],
        )
        i = starts_nc[n, 0]
        start = starts_nc[n, 2]
        for a in range(order):
            charge = charges_n[n] * weights[0, a]
            plane = mesh[i]
            j = starts_nc[n, 1]
            for b in range(order):
                w = charge * weights[1, b]
                row = plane[j, start : start + LANES]
                row[0] += w * l0
                row[1] += w * l1
                row[2] += w * l2
                row[3] += w * l3
                row[4] += w * l4
                row[5] += w * l5
                row[6] += w * l6
                row[7] += w * l7
                j += 1
                if j == n2:
                    j = 0
            i += 1
            if i == n1:
                i = 0


@kernel
def fold(mesh):
    """Add the padding of the innermost axis back onto the points it stands for."""
    n1, n2, n3 = mesh.shape[0], mesh.shape[1], mesh.shape[2] - LANES + 1
    for i in range(n1):
        for j in range(n2):
            row = mesh[i, j]
            for k in range(LANES - 1):
                row[k % n3] += row[n3 + k]


@kernel
def unfold(mesh):
    """Repeat the first points of the innermost axis in its padding."""
    n1, n2, n3 = mesh.shape[0], mesh.shape[1], mesh.shape[2] - LANES + 1
    for i in range(n1):
        for j in range(n2):
            row = mesh[i, j]
            for k in range(LANES - 1):
                row[n3 + k] = row[k % n3]


@kernel
def influence(mesh_shape, reciprocal_gc, alpha, prefactor, corrections, factors):
    """Fill `factors` with ``prefactor * exp(-k^2/4 alpha^2)/k^2`` times one spline correction per axis.

    Waves at the Nyquist index of an even axis stand for both signs of k at once; they are left out, which
    keeps the energy a smooth function of the cell and the virial its exact derivative.
    """
    n1, n2, n3 = mesh_shape
    width = 1.0 / (4.0 * alpha * alpha)
    for i in range(n1):
        m1 = i if 2 * i <= n1 else i - n1
        for j in range(n2):
            m2 = j if 2 * j <= n2 else j - n2
            x = m1 * reciprocal_gc[0, 0] + m2 * reciprocal_gc[1, 0]
            y = m1 * reciprocal_gc[0, 1] + m2 * reciprocal_gc[1, 1]
            z = m1 * reciprocal_gc[0, 2] + m2 * reciprocal_gc[1, 2]
            line = prefactor * corrections[0, i] * corrections[1, j]
            for k in range(1 if i == 0 and j == 0 else 0, n3 // 2 + 1):
                kx = x + k * reciprocal_gc[2, 0]
                ky = y + k * reciprocal_gc[2, 1]
                kz = z + k * reciprocal_gc[2, 2]
                k_squared = kx * kx + ky * ky + kz * kz
                factors[i, j, k] = line * corrections[2, k] * math.exp(-k_squared * width) / k_squared
    factors[0, 0, 0] = 0.0


@kernel
def multiply(waves, factors):
    """Multiply the waves of the charge mesh by the influence function in place."""
    n1, n2, n3 = waves.shape
    for i in range(n1):
        for j in range(n2):
            for k in range(n3):
                waves[i, j, k] *= factors[i, j, k]


@kernel(fastmath={"reassoc", "contract", "nsz"})
def multiply_with_virial(waves, factors, reciprocal_gc, alpha, n3, virial_cc):
    """Multiply as `multiply` does and set `virial_cc` to dE/dstrain, with E = sum(factors |waves|^2) / 2.

    The sum over the innermost half axis counts a wave twice where its mirror image is not stored.
    """
    n1, n2, n_stored = waves.shape
    width = 1.0 / (4.0 * alpha * alpha)
    total = xx = yy = zz = xy = xz = yz = 0.0
    for i in range(n1):
        m1 = i if 2 * i <= n1 else i - n1
        for j in range(n2):
            m2 = j if 2 * j <= n2 else j - n2
            x = m1 * reciprocal_gc[0, 0] + m2 * reciprocal_gc[1, 0]
            y = m1 * reciprocal_gc[0, 1] + m2 * reciprocal_gc[1, 1]
            z = m1 * reciprocal_gc[0, 2] + m2 * reciprocal_gc[1, 2]
            for k in range(n_stored):
                kx = x + k * reciprocal_gc[2, 0]
                ky = y + k * reciprocal_gc[2, 1]
                kz = z + k * reciprocal_gc[2, 2]
                k_squared = kx * kx + ky * ky + kz * kz
                if i == 0 and j == 0 and k == 0:
                    k_squared = 1.0
                wave = waves[i, j, k]
                factor = factors[i, j, k]
                mirror = 1.0 if k == 0 or 2 * k == n3 else 2.0
                term = mirror * factor * (wave.real * wave.real + wave.imag * wave.imag)
                slope = term * (1.0 / k_squared + width)
                total += term
                xx += slope * kx * kx
                yy += slope * ky * ky
                zz += slope * kz * kz
                xy += slope * kx * ky
                xz += slope * kx * kz
                yz += slope * ky * kz
                waves[i, j, k] = wave * factor
    virial_cc[0, 0] = xx - 0.5 * total
    virial_cc[1, 1] = yy - 0.5 * total
    virial_cc[2, 2] = zz - 0.5 * total
    virial_cc[0, 1] = virial_cc[1, 0] = xy
    virial_cc[0, 2] = virial_cc[2, 0] = xz
    virial_cc[1, 2] = virial_cc[2, 1] = yz


@kernel(fastmath={"reassoc", "contract", "nsz"})
def gather(mesh, charges_n, inverse_gc, order, starts_nc, weights_ngl, slopes_ngl, energies_n, forces_nc):
    """Write each charge's energy in the mesh potential and the force, minus its analytic derivative."""
    n1, n2, n3 = mesh.shape[0], mesh.shape[1], mesh.shape[2] - LANES + 1
    sums = np.empty((3, LANES))
    for n in range(len(charges_n)):
        weights, slope = weights_ngl[n], slopes_ngl[n]
        i = starts_nc[n, 0]
        start = starts_nc[n, 2]
        v0 = v1 = v2 = v3 = v4 = v5 = v6 = v7 = 0.0
        x0 = x1 = x2 = x3 = x4 = x5 = x6 = x7 = 0.0
        y0 = y1 = y2 = y3 = y4 = y5 = y6 = y7 = 0.0
        for a in range(order):
            plane = mesh[i]
            j = starts_nc[n, 1]
            p0 = p1 = p2 = p3 = p4 = p5 = p6 = p7 = 0.0
            q0 = q1 = q2 = q3 = q4 = q5 = q6 = q7 = 0.0
            for b in range(order):
                w, s = weights[1, b], slope[1, b]
                row = plane[j, start : start + LANES]
                r0, r1, r2, r3, r4, r5, r6, r7 = (
                    row[0],
                    row[1],
                    row[2],
                    row[3],
                    row[4],
                    row[5],
                    row[6],
                    row[7],
                )
                p0 += w * r0
                p1 += w * r1
                p2 += w * r2
                p3 += w * r3
                p4 += w * r4
                p5 += w * r5
                p6 += w * r6
                p7 += w * r7
                q0 += s * r0
                q1 += s * r1
                q2 += s * r2
                q3 += s * r3
                q4 += s * r4
                q5 += s * r5
                q6 += s * r6
                q7 += s * r7
                j += 1
                if j == n2:
                    j = 0
            w, s = weights[0, a], slope[0, a]
            v0 += w * p0
            v1 += w * p1
            v2 += w * p2
            v3 += w * p3
            v4 += w * p4
            v5 += w * p5
            v6 += w * p6
            v7 += w * p7
            x0 += s * p0
            x1 += s * p1
            x2 += s * p2
            x3 += s * p3
            x4 += s * p4
            x5 += s * p5
            x6 += s * p6
            x7 += s * p7
            y0 += w * q0
            y1 += w * q1
            y2 += w * q2
            y3 += w * q3
            y4 += w * q4
            y5 += w * q5
            y6 += w * q6
            y7 += w * q7
            i += 1
            if i == n1:
                i = 0
        v, x, y = sums[0], sums[1], sums[2]
        v[0] = v0
        v[1] = v1
        v[2] = v2
        v[3] = v3
        v[4] = v4
        v[5] = v5
        v[6] = v6
        v[7] = v7
        x[0] = x0
        x[1] = x1
        x[2] = x2
        x[3] = x3
        x[4] = x4
        x[5] = x5
        x[6] = x6
        x[7] = x7
        y[0] = y0
        y[1] = y1
        y[2] = y2
        y[3] = y3
        y[4] = y4
        y[5] = y5
        y[6] = y6
        y[7] = y7
        potential = by_1 = by_2 = by_3 = 0.0
        for k in range(LANES):
            potential += weights[2, k] * v[k]
            by_1 += weights[2, k] * x[k]
            by_2 += weights[2, k] * y[k]
            by_3 += slope[2, k] * v[k]
        charge = charges_n[n]
        by_1 *= n1 * charge
        by_2 *= n2 * charge
        by_3 *= n3 * charge
        energies_n[n] = 0.5 * charge * potential
        for c in range(3):
            forces_nc[n, c] = -(by_1 * inverse_gc[0, c] + by_2 * inverse_gc[1, c] + by_3 * inverse_gc[2, c])


@kernel
def gather_at_rest(constant_energies_n, gathering, net_c):
    """Do what `gather` does, add `constant_energies_n`, take the mean force out; return the energy.

    `gathering` are the arguments of `gather`; the sum of its forces goes to `net_c`.
    """
    unfold(gathering[0])
    gather(*gathering)
    energies_n, forces_nc = gathering[-2], gathering[-1]
    n_atoms = len(energies_n)
    energy = net_1 = net_2 = net_3 = 0.0
    for n in range(n_atoms):
        energies_n[n] += constant_energies_n[n]
        energy += energies_n[n]
        net_1 += forces_nc[n, 0]
        net_2 += forces_nc[n, 1]
        net_3 += forces_nc[n, 2]
    for n in range(n_atoms):
        forces_nc[n, 0] -= net_1 / n_atoms
        forces_nc[n, 1] -= net_2 / n_atoms
        forces_nc[n, 2] -= net_3 / n_atoms
    net_c[0], net_c[1], net_c[2] = net_1, net_2, net_3
    return energy


@kernel
def mean_squared_error(mesh_shape, reciprocal_gc, alpha, sums_dkm):
    """Return the mean squared force error between two unit charges placed at random, times volume squared.

    In units of (4 pi k_e)^2. `sums_dkm` holds per axis the rows of `alias_sums`; the exact sum is taken
    without aliases of its own, plus the tail beyond the mesh's own waves.
    """
    n1, n2, n3 = mesh_shape
    width = 1.0 / (2.0 * alpha * alpha)
    metric = reciprocal_gc @ reciprocal_gc.T
    total = 0.0
    for i in range(n1):
        m1 = i if 2 * i <= n1 else i - n1
        u1, a1, b1, c1 = sums_dkm[0, 0, i], sums_dkm[0, 1, i], sums_dkm[0, 2, i], sums_dkm[0, 3, i]
        for j in range(n2):
            m2 = j if 2 * j <= n2 else j - n2
            u2, a2, b2, c2 = sums_dkm[1, 0, j], sums_dkm[1, 1, j], sums_dkm[1, 2, j], sums_dkm[1, 3, j]
            for k in range(n3 // 2 + 1):
                if i == 0 and j == 0 and k == 0:
                    continue
                u3, a3, b3, c3 = sums_dkm[2, 0, k], sums_dkm[2, 1, k], sums_dkm[2, 2, k], sums_dkm[2, 3, k]
                k_squared = (
                    m1 * (m1 * metric[0, 0] + 2.0 * m2 * metric[0, 1] + 2.0 * k * metric[0, 2])
                    + m2 * (m2 * metric[1, 1] + 2.0 * k * metric[1, 2])
                    + k * k * metric[2, 2]
                )
                exact = math.exp(-k_squared * width) / k_squared
                mirror = 1.0 if k == 0 or 2 * k == n3 else 2.0
                if 2 * i == n1 or 2 * j == n2 or 2 * k == n3:
                    total += mirror * exact
                    continue
                product = a1 * a2 * a3
                ratio = u1 * u2 * u3 / product
                aliased = (
                    c1 * a2 * a3 * metric[0, 0]
                    + a1 * c2 * a3 * metric[1, 1]
                    + a1 * a2 * c3 * metric[2, 2]
                    + 2.0
                    * (
                        b1 * b2 * a3 * metric[0, 1]
                        + b1 * a2 * b3 * metric[0, 2]
                        + a1 * b2 * b3 * metric[1, 2]
                    )
                ) / (product * k_squared)
                total += mirror * exact * (1.0 - 2.0 * ratio * ratio + ratio * ratio * aliased)
    return total
