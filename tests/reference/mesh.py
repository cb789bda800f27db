"""Smooth particle mesh Ewald by its formulas: one charge, one mesh point at a time, plain numpy."""

import itertools

import numpy as np
from scipy.interpolate import BSpline

from simtools.core.units import COULOMB_EV_A


def charge_mesh(positions, cell, charges, mesh_shape, order):
    """Spread each charge by products of cardinal B-splines, M_n(u - k), repeated over the mesh."""
    spline = BSpline.basis_element(np.arange(order + 1.0), extrapolate=False)
    mesh = np.zeros(mesh_shape)
    for position, charge in zip(positions, charges, strict=True):
        u = np.linalg.solve(cell.T, position) % 1.0 * mesh_shape
        lowest = np.floor(u).astype(int) - order + 1
        for offset in itertools.product(range(order), repeat=3):
            k = lowest + offset
            weight = np.prod(np.nan_to_num(spline(u - k)))
            mesh[tuple(k % mesh_shape)] += charge * weight
    return mesh


def reciprocal_energy(positions, cell, charges, alpha, mesh_shape, order):
    """Return the mesh energy, eV: the exact sum's terms, with |S|^2 interpolated and corrected per axis."""
    waves = np.fft.fftn(charge_mesh(positions, cell, charges, mesh_shape, order))
    volume, reciprocal = abs(np.linalg.det(cell)), 2 * np.pi * np.linalg.inv(cell).T
    energy = 0.0
    for index in itertools.product(*(range(n) for n in mesh_shape)):
        m = [i if 2 * i <= n else i - n for i, n in zip(index, mesh_shape, strict=True)]
        if not any(m) or any(2 * i == n for i, n in zip(index, mesh_shape, strict=True)):
            continue
        k2 = np.sum((m @ reciprocal) ** 2)
        factor = np.exp(-k2 / (4 * alpha**2)) / k2
        for i, n in zip(m, mesh_shape, strict=True):
            transforms = np.sinc(np.arange(i - 3 * n, i + 3 * n + 1, n) / n) ** (2 * order)
            factor *= transforms[3] / transforms.sum() ** 2
        energy += factor * abs(waves[index]) ** 2
    return 2 * np.pi * COULOMB_EV_A / volume * energy
