"""Toy systems with known answers, for our tests and for those of users.

Everything here is public: Lennard-Jones crystals and fluids as `Atoms`, and lattice walkers, vacancy walks,
caged ions and rotors as trajectories whose diffusivity, Haven ratio or reorientation is known on paper.
"""

from simtools.testing.cages import caged_hoppers
from simtools.testing.crystals import (
    ARGON_EPSILON_EV,
    ARGON_SIGMA_A,
    lennard_jones_crystal,
    lennard_jones_fluid,
)
from simtools.testing.currents import correlated_species, harmonic_ions, langevin_current
from simtools.testing.dumbbell_walks import dumbbell_walk
from simtools.testing.rotors import rotor_orientations, rotors
from simtools.testing.walkers import lattice_walkers, vacancy_walk, x3_sublattice

__all__ = [
    "ARGON_EPSILON_EV",
    "ARGON_SIGMA_A",
    "caged_hoppers",
    "correlated_species",
    "dumbbell_walk",
    "harmonic_ions",
    "langevin_current",
    "lattice_walkers",
    "lennard_jones_crystal",
    "lennard_jones_fluid",
    "rotor_orientations",
    "rotors",
    "vacancy_walk",
    "x3_sublattice",
]
