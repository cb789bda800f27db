"""Lennard-Jones crystals and equilibrated fluids as Atoms, for any calculator. Walkers: see walkers.py."""

import numpy as np
from ase import Atoms

from simtools.core.accelerate import kernel
from simtools.core.errors import ConfigError
from simtools.structures.prototypes import build_prototype
from simtools.structures.supercells import build_supercell

__all__ = ["ARGON_EPSILON_EV", "ARGON_SIGMA_A", "lennard_jones_crystal", "lennard_jones_fluid"]

ARGON_SIGMA_A = 3.405
"""Length unit, Å: the usual argon value, that of the shipped force field ``lennard_jones``."""
ARGON_EPSILON_EV = 0.0103235652
"""Energy unit, eV: 119.8 K times Boltzmann's constant."""


def lennard_jones_crystal(
    supercell=(3, 3, 3),
    *,
    lattice_parameter_A=1.5496 * ARGON_SIGMA_A,
    prototype="fcc",
    formula="Ar",
    displacement_A=0.0,
    seed=0,
):
    """Return a Lennard-Jones crystal.

    Parameters
    ----------
    supercell
        Repeats of the conventional cell.
    lattice_parameter_A
        Edge of the conventional cell, Å. The default is the static fcc crystal of argon under the shipped
        force field's cutoff, 5.276 Å.
    prototype, formula
        As in `simtools.structures.build_prototype`: ``"fcc"`` and ``"Ar"``, ``"rocksalt"`` and ``"ArNe"``.
    displacement_A
        Standard deviation per axis of random displacements, Å.
    seed
        Seed of the displacements.

    Returns
    -------
    Atoms
        Periodic, without a calculator.
    """
    cell = build_prototype(prototype, formula, lattice_parameter_A=lattice_parameter_A)
    atoms = build_supercell(cell, supercell)
    if displacement_A:
        atoms.positions += np.random.default_rng(seed).normal(0.0, displacement_A, size=(len(atoms), 3))
    return atoms


def lennard_jones_fluid(
    n_atoms=108,
    *,
    reduced_density=0.7,
    reduced_temperature=1.5,
    n_sweeps=200,
    seed=0,
    symbol="Ar",
    sigma_A=ARGON_SIGMA_A,
):
    r"""Return a Lennard-Jones fluid, equilibrated by Metropolis moves from an expanded lattice.

    Parameters
    ----------
    n_atoms
        Number of atoms.
    reduced_density, reduced_temperature
        :math:`\rho\sigma^3` and :math:`k_B T/\varepsilon`. The triple point is near 0.845 and 0.69.
    n_sweeps
        Trial moves per atom. The potential is cut at 2.5 sigma or half the cell, whichever is shorter.
    seed
        Same seed, same fluid.
    symbol, sigma_A
        Chemical symbol, and the length unit in Å.

    Returns
    -------
    Atoms
        In a periodic cube, positions inside the cell, without a calculator.

    Raises
    ------
    ConfigError
        If a number is not positive.
    """
    numbers = {
        "n_atoms": n_atoms,
        "reduced_density": reduced_density,
        "reduced_temperature": reduced_temperature,
        "n_sweeps": n_sweeps,
        "sigma_A": sigma_A,
    }
    for name, value in numbers.items():
        if not value > 0:
            raise ConfigError(f"{name} must be positive, got {value!r}")
    rng = np.random.default_rng(seed)
    edge = np.cbrt(n_atoms / reduced_density)
    per_axis = int(np.ceil(np.cbrt(n_atoms) - 1e-9))
    grid = np.stack(np.meshgrid(*[np.arange(per_axis)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    r_nc = (rng.permutation(grid)[:n_atoms] + 0.5) * (edge / per_axis)
    _metropolis(
        r_nc,
        edge,
        min(2.5, edge / 2) ** 2,
        1.0 / reduced_temperature,
        0.3 * np.cbrt(0.5 / reduced_density),
        rng.integers(0, n_atoms, size=n_sweeps * n_atoms),
        rng.uniform(-0.5, 0.5, size=(n_sweeps * n_atoms, 3)),
        rng.random(n_sweeps * n_atoms),
    )
    return Atoms(symbol + str(n_atoms), positions=r_nc * sigma_A, cell=np.eye(3) * edge * sigma_A, pbc=True)


@kernel
def _energy_of(n, r_c, r_nc, edge, cutoff2):
    """Return the energy of atom n at r_c with all others, in units of epsilon."""
    total = 0.0
    for m in range(len(r_nc)):
        if m != n:
            squared = 0.0
            for c in range(3):
                step = r_c[c] - r_nc[m, c]
                step -= edge * np.rint(step / edge)
                squared += step * step
            if squared < cutoff2:
                inverse6 = 1.0 / (squared * squared * squared)
                total += 4.0 * inverse6 * (inverse6 - 1.0)
    return total


@kernel
def _metropolis(r_nc, edge, cutoff2, beta, stride, atom_k, step_kc, uniform_k):
    """Try the given moves one after the other, in place, lengths in units of sigma."""
    trial_c = np.empty(3)
    for k in range(len(atom_k)):
        n = atom_k[k]
        for c in range(3):
            moved = r_nc[n, c] + stride * step_kc[k, c]
            trial_c[c] = moved - edge * np.floor(moved / edge)
        change = _energy_of(n, trial_c, r_nc, edge, cutoff2) - _energy_of(n, r_nc[n], r_nc, edge, cutoff2)
        if change <= 0.0 or uniform_k[k] < np.exp(-beta * change):
            r_nc[n] = trial_c
