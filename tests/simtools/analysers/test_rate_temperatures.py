"""Arrhenius laws from counts of jumps, with temperatures at which nothing jumped."""

from dataclasses import replace

import numpy as np
import pytest

from simtools.analysers.arrhenius import TooFewTemperaturesError
from simtools.analysers.jump_rates import jump_rates
from simtools.analysers.lattice_gas import site_network, vacancy_lattice_gas
from simtools.analysers.rate_temperatures import RateTemperatures, fit_jump_rates
from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.testing.walkers import x3_sublattice

ENERGY, FREQUENCY = 0.4, 8.0
SITES, _, _ = x3_sublattice((2, 2, 2))
ONE = jump_rates(
    vacancy_lattice_gas(
        site_network(3.9 * SITES, 7.8 * np.eye(3)),
        n_vacancies=1,
        jump_rate_per_ps=0.1,
        duration_ps=20.0,
        seed=0,
    )
)


def counted(counts, exposure_ps):
    return [replace(ONE, n_jumps=int(n), ion_time_ps=exposure_ps, widened=False) for n in counts]


def expected(temperatures, exposure_ps):
    return exposure_ps * FREQUENCY * np.exp(-ENERGY / (BOLTZMANN_EV_PER_K * np.asarray(temperatures)))


def test_counts_on_a_law_give_the_law():
    temperatures = np.array([600.0, 700.0, 800.0, 900.0])
    rates = [replace(ONE, n_jumps=n, ion_time_ps=1e6, widened=False) for n in expected(temperatures, 1e6)]
    rates = [replace(item, n_jumps=round(item.n_jumps)) for item in rates]
    result = fit_jump_rates(rates, temperatures_K=temperatures)
    assert result.activation_energy_eV.value == pytest.approx(ENERGY, abs=1e-4)
    assert result.attempt_frequency_THz.value == pytest.approx(FREQUENCY, rel=2e-3)
    assert result.rate_per_ps(700.0) == pytest.approx(expected(700.0, 1.0), rel=1e-3)
    assert result.p_value > 0.99
    assert RateTemperatures.from_json(result.to_json()).to_json() == result.to_json()


@pytest.mark.parametrize(
    ("temperatures", "exposure_ps"), [((600, 700, 800, 900), 500), ((500, 600, 700), 1500)]
)
def test_intervals_cover_where_some_temperatures_have_no_jump(temperatures, exposure_ps):
    rng, energy, frequency, below, empty = np.random.default_rng(3), [], [], [], 0
    for _ in range(60):
        counts = rng.poisson(expected(temperatures, exposure_ps))
        empty += not counts.all()
        result = fit_jump_rates(counted(counts, exposure_ps), temperatures_K=temperatures)
        below.append(result.activation_energy_at_least_eV < ENERGY)
        if result.activation_energy_eV is not None:
            low, high = result.activation_energy_eV.ci95
            energy.append(low < ENERGY < high)
            low, high = result.attempt_frequency_THz.ci95
            frequency.append(low < FREQUENCY < high)
    assert empty > 5
    assert np.mean(energy) > 0.85
    assert np.mean(frequency) > 0.85
    assert np.mean(below) > 0.85


def test_a_temperature_without_jumps_makes_the_law_steeper_and_alone_bounds_it():
    with_zero = fit_jump_rates(counted([0, 10, 40], 100.0), temperatures_K=[600, 800, 1000])
    without = fit_jump_rates(counted([10, 40], 100.0), temperatures_K=[800, 1000])
    assert with_zero.activation_energy_at_least_eV > without.activation_energy_at_least_eV
    lone = fit_jump_rates(counted([0, 40], 100.0), temperatures_K=[600, 1000])
    assert lone.activation_energy_eV is None
    assert np.isnan(lone.rate_per_ps(800.0))
    # 40 jumps at 1000 K and fewer than three at 600 K
    bound = np.log(40 / 3) / (1 / 600 - 1 / 1000) * BOLTZMANN_EV_PER_K
    assert lone.activation_energy_at_least_eV == pytest.approx(bound, rel=0.35)
    flat = fit_jump_rates(counted([40, 0], 100.0), temperatures_K=[600, 1000])
    assert flat.activation_energy_at_least_eV == -np.inf


def test_counts_that_reject_the_law_are_said_to_and_widen_the_interval():
    counts = np.array([400, 100, 900, 1500])
    result = fit_jump_rates(counted(counts, 1e4), temperatures_K=[600, 700, 800, 900])
    assert result.p_value < 1e-6
    assert (result.dispersions > 20).all()
    low, high = result.activation_energy_eV.ci95
    assert high - low > 0.1


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(TooFewTemperaturesError):
        fit_jump_rates(counted([0, 0], 10.0), temperatures_K=[600, 700])
    with pytest.raises(TooFewTemperaturesError):
        fit_jump_rates(counted([5], 10.0), temperatures_K=[600])
    with pytest.raises(ConfigError, match="must differ"):
        fit_jump_rates(counted([5, 6], 10.0), temperatures_K=[600, 600])
    with pytest.raises(ConfigError, match="must be positive"):
        fit_jump_rates(counted([5, 6], 10.0), temperatures_K=[600, -1])
    with pytest.raises(ConfigError, match="one temperature for each"):
        fit_jump_rates(counted([5, 6], 10.0), temperatures_K=[600])
    with pytest.raises(ConfigError, match="need a vacancy"):
        fit_jump_rates(
            [replace(item, vacancy_time_ps=0.0) for item in counted([5, 6], 10.0)],
            temperatures_K=[600, 700],
            per="vacancy",
        )
