"""Vibrations about sites held against harmonic wells, and free energies against rates that were set."""

from dataclasses import replace

import numpy as np
import pytest

from simtools.analysers.jump_rates import jump_rates
from simtools.analysers.lattice_gas import site_network, vacancy_lattice_gas
from simtools.analysers.site_vibrations import SiteVibrations, hop_free_energies, site_vibrations
from simtools.analysers.velocity_correlation import UnresolvedVibrationsError
from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.md.trajectory import LatticeSites
from simtools.testing import harmonic_ions
from simtools.testing.walkers import x3_sublattice


def on_lattice(n_frames=1500, *, seed=0, n=4, **options):
    """Return harmonic ions, each in a well on a cubic lattice of 5 Å."""
    free = harmonic_ions(n_frames, n**3, seed=seed, **options)
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) / n
    moved = free.positions_A - free.positions_A.mean(axis=0)
    return replace(
        free,
        positions_A=moved + 5.0 * n * grid,
        cells_A=5.0 * n * np.eye(3),
        velocities_A_per_ps=None,
        lattice_sites=LatticeSites(grid, ["Li"] * n**3),
    )


def test_harmonic_wells_give_their_frequencies_and_amplitude():
    result = site_vibrations(on_lattice(), species="Li")
    assert result.attempt_frequency_THz.value == pytest.approx((3 + 5 + 8) / 3, rel=0.01)
    assert result.n_ions == result.n_stays == 64
    thermal = np.sqrt(8.314462618 * 600 / 6.94e-3) * 1e-2
    squares = np.mean([(thermal / (2 * np.pi * f)) ** 2 for f in (3, 5, 8)])
    assert result.amplitude_A.ci95[0] < np.sqrt(squares) < result.amplitude_A.ci95[1]
    assert SiteVibrations.from_json(result.to_json()).to_json() == result.to_json()


def test_the_softest_axis_comes_first():
    soft = on_lattice(3000, n=3, frequencies_THz=(2.0, 8.0, 8.0), friction_per_ps=2.0)
    result = site_vibrations(soft, species="Li")
    assert result.frequencies_THz[0] == pytest.approx(2.0, rel=0.15)
    assert result.frequencies_THz[2] == pytest.approx(8.0, rel=0.15)


def test_damped_wells_cross_at_the_well_frequency_and_the_interval_covers():
    # Rice: the root mean square frequency of displacements is that of the well, whatever the friction
    hits, values = 0, []
    for seed in range(30):
        trajectory = on_lattice(
            1200, seed=seed, n=3, friction_per_ps=2.0, frequencies_THz=(4.0, 4.0, 4.0), frame_interval_ps=0.02
        )
        estimate = site_vibrations(trajectory, species="Li").attempt_frequency_THz
        hits += estimate.ci95[0] < 4.0 < estimate.ci95[1]
        values.append(estimate.value)
    assert np.mean(values) == pytest.approx(4.0, rel=0.02)
    assert hits >= 25


def test_frames_too_far_apart_are_refused():
    with pytest.raises(UnresolvedVibrationsError, match="cross the centre"):
        site_vibrations(on_lattice(400, frame_interval_ps=0.07), species="Li")
    with pytest.raises(ConfigError, match="store frames more often"):
        site_vibrations(on_lattice(10), species="Li")


def test_the_free_energy_of_a_jump_is_that_of_its_rate():
    sites, _, _ = x3_sublattice((3, 3, 3))
    gas = vacancy_lattice_gas(
        site_network(3.9 * sites, 11.7 * np.eye(3)),
        n_vacancies=2,
        jump_rate_per_ps=0.05,
        duration_ps=2000.0,
        seed=1,
    )
    vibrations = site_vibrations(on_lattice(), species="Li")
    rates = jump_rates(gas)
    (energy,) = hop_free_energies(rates, vibrations, ways=8)
    exact = np.log((16 / 3) / (0.05 * 2 / 80)) * BOLTZMANN_EV_PER_K * 600
    assert energy.ci95[0] < exact < energy.ci95[1]
    assert energy.ci95[1] - energy.ci95[0] < 0.02
    with pytest.raises(ConfigError, match="rates are of Li, vibrations of Na"):
        hop_free_energies(rates, replace(vibrations, species="Na"))
    with pytest.raises(ConfigError, match="temperature_K > 0"):
        hop_free_energies(rates, replace(vibrations, temperature_K=None))
