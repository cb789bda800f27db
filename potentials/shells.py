"""Cores and shells as particles: the force field that acts between them, and a shell's own core.

How shells come to rest is in shell_relaxation.py; the sums over all particles in core_shell.py.
"""

import math
from dataclasses import replace

import numpy as np
from scipy.special import erf

from potentials.force_field import ForceField, sorted_pair
from potentials.tables import pair_ranges
from simtools.core.units import COULOMB_EV_A

SERIES_BELOW = 0.6
"""alpha times distance below which the screened self term is summed as a series."""
SERIES_TERMS = 14
"""(0.6²)^14 / (14! 29) = 2e-19: below rounding."""
_n = np.arange(SERIES_TERMS + 1)
_ERF_SERIES = 2.0 / math.sqrt(math.pi) * (-1.0) ** _n / ([math.factorial(n) for n in _n] * (2 * _n + 1.0))
_SLOPE_SERIES = (2.0 * _n * _ERF_SERIES)[1:]
STIFFNESS_REACH_A = 6.0
"""Pair terms beyond this add nothing to speak of to the stiffness of a shell's surroundings."""


def shell_name(species):
    """Return the name of a species' shell as a particle."""
    return f"{species} shell"


def particle_field(field):
    """Return the force field between particles: cores in the order of the species, then their shells.

    A species with a shell keeps its name for the core, which has Coulomb only; its pair terms act on the
    shell. `ForceField.shells` is empty: springs are no pair terms.
    """
    carrier = {
        species: shell_name(species) if species in field.shells else species for species in field.species
    }
    shells = {shell_name(species): shell.charge_e for species, shell in field.shells.items()}
    return replace(
        field,
        species=(*field.species, *shells),
        charges_e={species: field.core_charge_e(species) for species in field.species} | shells,
        formal_charges_e=field.formal_charges_e | dict.fromkeys(shells, 0),
        masses_amu=field.masses_amu | dict.fromkeys(shells, 0.0),
        pairs={sorted_pair(carrier[a], carrier[b]): terms for (a, b), terms in field.pairs.items()},
        shells={},
    )


def closest_distances_A(field, particles):
    """Return how near each pair of particle types may come, Å, shape (n_types, n_types); 0 for no limit.

    Two ions fall into each other as the rigid ions of the same total charges would, measured between the
    particles that the pair terms act on. Other pairs of particles have no limit of their own.
    """
    floor_tt = np.zeros((len(particles.species),) * 2)
    ions_tt = pair_ranges(field, coulomb_cutoff_A=0.0).floor_tt
    carrier = [
        particles.species.index(shell_name(species) if species in field.shells else species)
        for species in field.species
    ]
    floor_tt[np.ix_(carrier, carrier)] = ions_tt
    return floor_tt


def screened_self_term(r2, alpha):
    """Return erf(alpha r)/r and its slope by r, divided by r: finite at r = 0.

    The reciprocal sum holds this for every pair, so also for a core and its own shell, which must not see
    each other. Limits at 0: 2 alpha / sqrt(pi) and -4 alpha³ / (3 sqrt(pi)).

    Parameters
    ----------
    r2
        Squared distances, Å².
    alpha
        Ewald splitting, 1/Å.

    Returns
    -------
    value, slope_over_r : ndarray
        In 1/Å and 1/Å³, shape of `r2`.
    """
    x2 = alpha**2 * np.asarray(r2, dtype=float)
    near = np.minimum(x2, SERIES_BELOW**2)
    value = alpha * np.polynomial.polynomial.polyval(near, _ERF_SERIES)
    slope = alpha**3 * np.polynomial.polynomial.polyval(near, _SLOPE_SERIES)
    far = x2 > SERIES_BELOW**2
    if np.any(far):
        x = np.sqrt(x2[far])
        value[far] = alpha * erf(x) / x
        gauss = 2.0 / math.sqrt(math.pi) * np.exp(-(x**2))
        slope[far] = alpha**3 * (gauss - erf(x) / x) / x**2
    return value, slope


class OwnCores:
    """What each shell shares with its own core: the spring, less the Coulomb that reciprocal space adds.

    Parameters
    ----------
    field
        The force field of the ions.
    species_m
        Species of the ion of every shell.
    alpha
        Ewald splitting, 1/Å.
    """

    def __init__(self, field: ForceField, species_m, alpha):
        shells = [field.shells[species] for species in species_m]
        self.alpha = alpha
        self.spring_m = np.array([shell.spring_eV_per_A2 for shell in shells])
        self.quartic_m = np.array([shell.quartic_spring_eV_per_A4 for shell in shells])
        cores = np.array([field.core_charge_e(species) for species in species_m])
        self.product_m = COULOMB_EV_A * cores * np.array([shell.charge_e for shell in shells])

    def compute(self, displacement_mc):
        """Return the energy of every shell (eV), and its slope over the displacement (eV/Å²)."""
        r2 = np.einsum("mc,mc->m", displacement_mc, displacement_mc)
        value, slope = screened_self_term(r2, self.alpha)
        energy_m = r2 * (self.spring_m / 2.0 + self.quartic_m * r2 / 24.0) - self.product_m * value
        stiffness_m = self.spring_m + self.quartic_m * r2 / 6.0 - self.product_m * slope
        return energy_m, stiffness_m


def surrounding_stiffness(field, type_p, first_p, second_p, r_p, step_A=1e-4):
    """Return a third of the Laplacian of the pair terms around every particle, eV/Å², shape (n_particles,).

    Coulomb has none. `field` is that of the particles; `first_p`, `second_p` and `r_p` (Å) list pairs once.
    """
    stiffness_n = np.zeros(len(type_p))
    near = r_p < min(STIFFNESS_REACH_A, field.cutoff_A - step_A)
    first_p, second_p, r_p = first_p[near], second_p[near], r_p[near]
    for i, a in enumerate(field.species):
        for j, b in enumerate(field.species):
            chosen = (type_p[first_p] == i) & (type_p[second_p] == j)
            if not field.terms(a, b) or not np.any(chosen):
                continue
            r = r_p[chosen]
            slopes = [field.pair_derivative(a, b, r + h) for h in (-step_A, step_A)]
            bend = (slopes[1] - slopes[0]) / (2.0 * step_A)
            third = (bend + (slopes[0] + slopes[1]) / r) / 3.0
            for n in (first_p[chosen], second_p[chosen]):
                np.add.at(stiffness_n, n, third)
    return stiffness_n
