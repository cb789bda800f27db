import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from numpy.testing import assert_allclose

from simtools.core.errors import ConfigError
from simtools.testing import (
    ARGON_EPSILON_EV,
    ARGON_SIGMA_A,
    lennard_jones_crystal,
    lennard_jones_fluid,
    rotor_orientations,
    rotors,
)


def reduced_energy(atoms, cutoff=3.0):
    """Energy per atom in units of epsilon, truncated at `cutoff` sigma and not shifted."""
    atoms.calc = LennardJones(sigma=ARGON_SIGMA_A, epsilon=ARGON_EPSILON_EV, rc=cutoff * ARGON_SIGMA_A)
    distances = atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)] / ARGON_SIGMA_A
    shift = 4 * (cutoff**-12 - cutoff**-6) * np.sum(distances < cutoff)
    return (atoms.get_potential_energy() / ARGON_EPSILON_EV + shift) / len(atoms)


def test_fluid_has_the_energy_of_the_published_monte_carlo_runs():
    # NIST SRSW, Lennard-Jones, truncated at 3 sigma with long-range correction: T* = 0.85, rho* = 0.776 gives
    # U*/N = -5.5121; the correction is (8/3) pi rho (1/(3 rc^9) - 1/rc^3).
    density = 0.776
    tail = 8 / 3 * np.pi * density * (1 / (3 * 3.0**9) - 1 / 3.0**3)
    energies = [
        reduced_energy(
            lennard_jones_fluid(
                400, reduced_density=density, reduced_temperature=0.85, n_sweeps=300, seed=seed
            )
        )
        for seed in range(6)
    ]
    error = np.std(energies, ddof=1) / np.sqrt(len(energies))
    assert error < 0.02
    assert abs(np.mean(energies) + tail + 5.5121) < 0.03 + 2 * error


def test_fluid_has_the_density_it_was_asked_for_and_no_close_contact():
    atoms = lennard_jones_fluid(108, reduced_density=0.7, seed=4)
    assert_allclose(len(atoms) * ARGON_SIGMA_A**3 / atoms.get_volume(), 0.7, rtol=1e-12)
    distances = atoms.get_all_distances(mic=True)[np.triu_indices(108, 1)]
    assert distances.min() > 0.8 * ARGON_SIGMA_A
    assert np.array_equal(lennard_jones_fluid(108, reduced_density=0.7, seed=4).positions, atoms.positions)


@pytest.mark.parametrize("options", [{"n_atoms": 0}, {"reduced_density": -1}, {"reduced_temperature": 0}])
def test_fluid_of_nothing_is_refused(options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))} must be positive"):
        lennard_jones_fluid(**options)


def test_crystal_has_its_size_and_its_displacements():
    atoms = lennard_jones_crystal((2, 3, 4))
    assert len(atoms) == 4 * 24
    moved = lennard_jones_crystal((6, 6, 6), displacement_A=0.1, seed=2)
    still = lennard_jones_crystal((6, 6, 6))
    assert_allclose(np.std(moved.positions - still.positions), 0.1, rtol=0.05)
    binary = lennard_jones_crystal(2, prototype="rocksalt", formula="ArKr", lattice_parameter_A=6.0)
    assert binary.get_chemical_formula() == "Ar32Kr32"


def correlation(u_tnc, lag, order):
    cosine = np.sum(u_tnc[lag:] * u_tnc[:-lag], axis=-1)
    return np.mean(np.polynomial.legendre.legval(cosine, np.eye(order + 1)[order]))


@pytest.mark.parametrize("order", [1, 2])
def test_rotational_diffusion_decorrelates_as_debye_says(order):
    u_tnc = rotor_orientations(2000, 200, seed=1, rotational_diffusivity_per_ps=0.05)
    for lag in (1, 4, 8):
        # independent samples: about n_rotors * n_frames / (2 tau)
        assert_allclose(correlation(u_tnc, lag, order), np.exp(-order * (order + 1) * 0.05 * lag), atol=0.012)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_random_jumps_decorrelate_every_order_alike(order):
    u_tnc = rotor_orientations(2000, 200, seed=2, jump_rate_per_ps=0.1, frame_interval_ps=0.5)
    for lag in (1, 5, 20):
        assert_allclose(correlation(u_tnc, lag, order), np.exp(-0.1 * 0.5 * lag), atol=0.012)


def test_rotors_are_rigid_bonds_around_fixed_centres():
    trajectory = rotors(50, 9, seed=3, rotational_diffusivity_per_ps=0.2, bond_A=0.97)
    bonds = trajectory.positions_of("H") - trajectory.positions_of("O")
    assert_allclose(np.linalg.norm(bonds, axis=-1), 0.97, rtol=1e-12)
    assert np.ptp(trajectory.positions_of("O"), axis=0).max() == 0
    assert trajectory.species.tolist() == ["O", "H"] * 9


def test_negative_rates_are_refused():
    with pytest.raises(ConfigError, match="rates must be 0 or more"):
        rotor_orientations(10, 2, seed=0, jump_rate_per_ps=-1.0)
