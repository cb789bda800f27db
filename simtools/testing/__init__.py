"""Toy systems with known answers, for our tests and for those of users.

Everything here is public: Lennard-Jones crystals and fluids as `Atoms`; lattice walkers, vacancy walks, caged
ions and rotors as trajectories whose diffusivity, Haven ratio or reorientation is known on paper; rotations
and hops with planted coupling.
"""

from simtools.testing.cages import caged_hoppers
from simtools.testing.coupled import PlantedEvents, planted_events
from simtools.testing.crystals import (
    ARGON_EPSILON_EV,
    ARGON_SIGMA_A,
    lennard_jones_crystal,
    lennard_jones_fluid,
)
from simtools.testing.currents import correlated_species, harmonic_ions, langevin_current
from simtools.testing.dumbbell_walks import dumbbell_walk
from simtools.testing.fleeing import fleeing_dipoles
from simtools.testing.rigid_rotors import cone_orientations, rigid_rotors, rotor_quaternions
from simtools.testing.rotor_crystals import hydroxide_crystal
from simtools.testing.rotors import rotor_orientations, rotors
from simtools.testing.uncoupled import UncoupledMotion, uncoupled_motion
from simtools.testing.walkers import lattice_walkers, vacancy_walk, x3_sublattice

__all__ = [
    "ARGON_EPSILON_EV",
    "ARGON_SIGMA_A",
    "PlantedEvents",
    "UncoupledMotion",
    "caged_hoppers",
    "cone_orientations",
    "correlated_species",
    "dumbbell_walk",
    "fleeing_dipoles",
    "harmonic_ions",
    "hydroxide_crystal",
    "langevin_current",
    "lattice_walkers",
    "lennard_jones_crystal",
    "lennard_jones_fluid",
    "planted_events",
    "rigid_rotors",
    "rotor_orientations",
    "rotor_quaternions",
    "rotors",
    "uncoupled_motion",
    "vacancy_walk",
    "x3_sublattice",
]
