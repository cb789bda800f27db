"""Energy, forces and stress of rigid ions by the textbook formulas: slow, plain numpy, every image summed.

Written without a look at the kernels and sharing none of their code: lattice images are laid out one by
one, distances come from a KD-tree, the pair forms are spelt out again here. Double precision throughout;
the splitting parameter only moves work between the two sums.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree
from scipy.special import erfc

from simtools.core.units import COULOMB_EV_A

TAIL = 6.4  # erfc(6.4) = 1.4e-19, exp(-6.4^2) = 1.6e-18: nothing a double would notice


@dataclass(frozen=True)
class Evaluation:
    """What the formulas give; `stress` is the full (3, 3) tensor dE/dstrain / V, eV/Å^3."""

    energy_eV: float
    energies_eV: np.ndarray
    forces_eV_per_A: np.ndarray
    stress_eV_per_A3: np.ndarray


def evaluate(force_field, atoms, *, alpha_per_A=None):
    """Return the `Evaluation` of `atoms` with `force_field`; a net charge gets the uniform background."""
    symbols = np.array(atoms.get_chemical_symbols())
    charges = np.array([force_field.charges_e[s] for s in symbols])
    cell, volume = np.array(atoms.cell), abs(np.linalg.det(atoms.cell))
    positions = np.linalg.solve(cell.T, atoms.positions.T).T % 1.0 @ cell
    if alpha_per_A is None:
        alpha_per_A = np.clip(1.9 * (len(symbols) / volume**2) ** (1 / 6), 0.3, 1.2)
    charged = force_field.is_charged

    energies = np.zeros(len(symbols))
    forces = np.zeros((len(symbols), 3))
    virial = np.zeros((3, 3))

    reach = max(force_field.cutoff_A, TAIL / alpha_per_A if charged else 0.0)
    for i, j, d in neighbours(positions, cell, reach):
        r = np.linalg.norm(d, axis=1)
        energy, slope = np.zeros_like(r), np.zeros_like(r)
        if charged:
            qq = COULOMB_EV_A * charges[i] * charges[j]
            energy += qq * erfc(alpha_per_A * r) / r
            gauss = 2 * alpha_per_A / np.sqrt(np.pi) * np.exp(-((alpha_per_A * r) ** 2))
            slope -= qq * (erfc(alpha_per_A * r) / r**2 + gauss / r)
        for (a, b), terms in force_field.pairs.items():
            like = ((symbols[i] == a) & (symbols[j] == b)) | ((symbols[i] == b) & (symbols[j] == a))
            inside = like & (r < force_field.cutoff_A)
            for term in terms:
                v, dv = pair_form(term.kind, term.form, r[inside])
                if force_field.cutoff_mode == "shifted":
                    v = v - pair_form(term.kind, term.form, np.array([force_field.cutoff_A]))[0][0]
                energy[inside] += v
                slope[inside] += dv
        # every pair appears twice (once from each end), so each end takes half
        np.add.at(energies, i, 0.5 * energy)
        pull = (slope / r)[:, None] * d  # force on i: dV/dr along (r_j - r_i)/r
        np.add.at(forces, i, pull)
        virial += 0.5 * np.einsum("pa,pb->ab", pull, d)

    if charged:
        for part in (reciprocal, self_energy, background):
            part_energies, part_forces, part_virial = part(charges, positions, cell, volume, alpha_per_A)
            energies, forces, virial = energies + part_energies, forces + part_forces, virial + part_virial
    return Evaluation(float(energies.sum()), energies, forces, virial / volume)


def neighbours(positions, cell, reach, *, chunk=200):
    """Yield (i, j, r_j + image - r_i) for all ordered pairs closer than `reach`, own images included."""
    volume = abs(np.linalg.det(cell))
    heights = volume / np.linalg.norm(np.cross(np.roll(cell, -1, 0), np.roll(cell, -2, 0)), axis=1)
    most = np.floor(reach / heights).astype(int) + 1  # positions are wrapped into the cell
    shifts = np.array(list(product(*(range(-m, m + 1) for m in most)))) @ cell
    images = (positions[None, :, :] + shifts[:, None, :]).reshape(-1, 3)
    centre = 0.5 * (positions.min(0) + positions.max(0))
    radius = np.linalg.norm(positions - centre, axis=1).max() + reach
    near = np.flatnonzero(np.linalg.norm(images - centre, axis=1) <= radius + 1e-9)
    tree = cKDTree(images[near])
    for start in range(0, len(positions), chunk):
        found = tree.query_ball_point(positions[start : start + chunk], reach)
        i = np.repeat(np.arange(start, start + len(found)), [len(f) for f in found])
        k = near[np.concatenate([np.array(f, dtype=int) for f in found])]
        d = images[k] - positions[i]
        other = np.einsum("pc,pc->p", d, d) > 1e-16  # the ion itself
        yield i[other], k[other] % len(positions), d[other]


def reciprocal(charges, positions, cell, volume, alpha, *, chunk=2000):
    r"""E = 2 pi K/V sum_{k != 0} exp(-k^2/4 alpha^2)/k^2 |S(k)|^2, S(k) = sum_i q_i exp(i k r_i)."""
    recip = 2 * np.pi * np.linalg.inv(cell).T
    most = np.floor(2 * alpha * TAIL * np.linalg.norm(cell, axis=1) / (2 * np.pi)).astype(int)
    indices = np.array(list(product(*(range(-m, m + 1) for m in most))))
    k_all = indices @ recip
    k2 = np.einsum("kc,kc->k", k_all, k_all)
    half = (indices[:, 0] > 0) | ((indices[:, 0] == 0) & (indices[:, 1] > 0))
    half |= (indices[:, 0] == 0) & (indices[:, 1] == 0) & (indices[:, 2] > 0)
    k_all = k_all[half & (k2 < (2 * alpha * TAIL) ** 2)]  # -k gives the same as k: count each twice

    energies, forces, virial = np.zeros(len(charges)), np.zeros_like(positions), np.zeros((3, 3))
    for start in range(0, len(k_all), chunk):
        k = k_all[start : start + chunk]
        k2 = np.einsum("kc,kc->k", k, k)
        weight = 2 * (2 * np.pi * COULOMB_EV_A / volume) * np.exp(-k2 / (4 * alpha**2)) / k2
        phase = positions @ k.T
        cosine, sine = np.cos(phase), np.sin(phase)
        s_re, s_im = charges @ cosine, charges @ sine
        energies += charges * (cosine @ (weight * s_re) + sine @ (weight * s_im))
        forces += 2 * charges[:, None] * ((sine * (weight * s_re) - cosine * (weight * s_im)) @ k)
        term = weight * (s_re**2 + s_im**2)
        slope = 2 * (1 / k2 + 1 / (4 * alpha**2))
        virial += np.einsum("k,ka,kb->ab", term * slope, k, k) - term.sum() * np.eye(3)
    return energies, forces, virial


def self_energy(charges, positions, cell, volume, alpha):
    """-K alpha/sqrt(pi) q_i^2: each Gaussian's energy with itself, which the reciprocal sum contains."""
    return -COULOMB_EV_A * alpha / np.sqrt(np.pi) * charges**2, np.zeros_like(positions), np.zeros((3, 3))


def background(charges, positions, cell, volume, alpha):
    """-pi K Q^2/(2 V alpha^2): the uniform background that neutralises the net charge Q; it feels V."""
    energies = -np.pi * COULOMB_EV_A / (2 * volume * alpha**2) * charges * charges.sum()
    return energies, np.zeros_like(positions), -energies.sum() * np.eye(3)


def pair_form(kind, form, r):
    """Return (V, dV/dr) of one pair form, written out once more."""
    if kind == "buckingham":
        repulsion = form.A * np.exp(-r / form.rho)
        return repulsion - form.C * r**-6.0, -repulsion / form.rho + 6 * form.C * r**-7.0
    if kind == "born_mayer":
        repulsion = form.A * np.exp(-r / form.rho)
        return repulsion, -repulsion / form.rho
    if kind == "born_mayer_huggins":
        repulsion = form.A * np.exp((form.sigma - r) / form.rho)
        value = repulsion - form.C * r**-6.0 - form.D * r**-8.0
        return value, -repulsion / form.rho + 6 * form.C * r**-7.0 + 8 * form.D * r**-9.0
    if kind == "lennard_jones":
        twelve, six = 4 * form.epsilon * form.sigma**12, 4 * form.epsilon * form.sigma**6
        return twelve * r**-12.0 - six * r**-6.0, -12 * twelve * r**-13.0 + 6 * six * r**-7.0
    if kind == "morse":
        x = np.exp(-form.a * (r - form.r0))
        return form.D * ((1 - x) ** 2 - 1), 2 * form.D * form.a * (1 - x) * x
    if kind == "tabulated":
        spline = CubicSpline(form.r, form.V, bc_type="natural")
        return spline(r), spline(r, 1)
    raise NotImplementedError(kind)
