"""Correlation factors held against lattice gases as long as the run."""

import numpy as np
import pytest

from simtools.analysers.hop_statistics import HopStatistics, hop_statistics
from simtools.analysers.jumps import find_jumps
from simtools.analysers.lattice_gas import site_network, vacancy_lattice_gas
from simtools.testing.walkers import x3_sublattice
from tests.crystal_walks import crystal_walk

SITES, _, _ = x3_sublattice((4, 4, 4))
NETWORK = site_network(3.9 * SITES, 15.6 * np.eye(3))


def gas(seed):
    return vacancy_lattice_gas(NETWORK, n_vacancies=4, jump_rate_per_ps=0.05, duration_ps=200, seed=seed)


def test_a_lattice_gas_differs_from_others_as_often_as_p_says():
    found = [hop_statistics(gas(seed), seed=seed) for seed in range(16)]
    p_values = np.array([item.p_value for item in found])
    assert (p_values < 0.1).sum() <= 6  # 1.6 expected; 7 or more have a chance of 5e-4
    assert (p_values > 0.5).sum() >= 2  # 8 expected; 1 or fewer have a chance of 3e-4
    pulls = [(item.correlation_factor.value - 0.70) / item.correlation_factor.stderr for item in found]
    assert 0.5 < np.std(pulls) < 1.4


def test_ions_that_go_to_and_fro_are_told_from_vacancies():
    jumps = find_jumps(_to_and_fro(), species="Li")
    found = hop_statistics(jumps, temperature_K=900.0)
    assert found.correlation_factor.value < 0.2
    assert found.differs
    assert found.p_value < 0.05
    assert found.hop_diffusivity_cm2_per_s.value == pytest.approx(
        found.correlation_factor.value
        * found.n_jumps
        * 2.7577**2
        / (6 * found.n_ions * found.observed_ps)
        * 1e-4,
        rel=1e-3,
    )


def test_what_cannot_be_said_is_not_said():
    still = hop_statistics(find_jumps(crystal_walk(60, hop_rate_per_ps=1e-9), species="Li"))
    assert still.rate_per_ion.is_limit
    assert still.correlation_factor is None
    assert "0 jumps are too few" in still.note
    host = hop_statistics(find_jumps(crystal_walk(60), species="O"))
    assert host.n_vacancies == 0
    assert host.rate_per_vacancy is None
    summary = host.to_summary()
    assert "upper_limit" in summary["rate_per_ion_per_ps"]
    assert "correlation_factor" not in summary


def test_the_statistics_survive_the_disk():
    found = hop_statistics([gas(1), gas(2)], temperature_K=700.0)
    again = HopStatistics.from_json(found.to_json())
    assert again.to_summary() == found.to_summary()
    np.testing.assert_array_equal(again.lattice_gas_range, found.lattice_gas_range)
    assert again.n_replicas == 2


def _to_and_fro():
    """A crystal in which six ions hop between their site and a vacancy and never get away."""
    from dataclasses import replace

    still = crystal_walk(400, hop_rate_per_ps=1e-9, n_vacancies=6)
    lattice, cell = still.lattice_sites, still.cells_A
    sites = lattice.scaled_positions[lattice.species == "Li"] @ cell
    r_tnc = still.positions_A.copy()
    lithium = np.flatnonzero(still.species == "Li")
    places = r_tnc[0, lithium]
    gaps = _away(places[:, None], sites[None], cell)
    empty = np.setdiff1d(np.arange(len(sites)), np.linalg.norm(gaps, axis=-1).argmin(axis=1))
    taken = set()
    for site in sites[empty]:
        steps = _away(places, site, cell)
        order = np.argsort(np.linalg.norm(steps, axis=1))
        ion = next(int(k) for k in order if int(k) not in taken)
        taken.add(ion)
        away = (np.arange(len(r_tnc)) // 10) % 2 == 1
        r_tnc[away, lithium[ion]] -= np.round(steps[ion] / 1.95) * 1.95
    return replace(still, positions_A=r_tnc)


def _away(places, site, cell):
    fractions = (places - site) @ np.linalg.inv(cell)
    return (fractions - np.round(fractions)) @ cell
