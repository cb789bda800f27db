"""Coverage of the intervals of rates and correlation factors, and false alarms of the test for strings."""

import numpy as np
import pytest

from simtools.analysers.concerted import concerted_jumps
from simtools.analysers.defect_diffusion import defect_diffusion
from simtools.analysers.defect_tracks import follow_defects
from simtools.analysers.jump_rates import jump_rates
from simtools.analysers.jumps import find_jumps
from simtools.analysers.lattice_gas import site_network, tracer_correlation_factor, vacancy_lattice_gas
from simtools.testing import dumbbell_walk, vacancy_walk
from simtools.testing.walkers import x3_sublattice

pytestmark = pytest.mark.physics


def test_rates_found_in_trajectories_cover_the_rate_put_in():
    covered, counted = 0, 0
    for seed in range(200):
        walk = vacancy_walk(
            400,
            seed=seed,
            supercell=(3, 3, 3),
            n_vacancies=1,
            rattle_A=0.2,
            hop_rate_per_ps=0.1,
            frame_interval_ps=0.05,
        )
        rate = jump_rates(find_jumps(walk, species="Li", shortest_stay_ps=0)).rate_per_vacancy
        low, high = rate.ci95
        covered += low <= 8 * 0.1 <= high
        counted += rate.value / 200
    assert 0.92 <= covered / 200 <= 0.995
    # jumps undone between two frames are not seen: 8 x 0.1 /ps x 0.05 ps / 8, half a per cent
    assert counted == pytest.approx(0.8, rel=0.03)


def test_correlation_factor_of_a_lone_vacancy_and_its_interval():
    sites, _, _ = x3_sublattice((5, 5, 5))
    network = site_network(3.9 * sites, 19.5 * np.eye(3))
    values, covered = [], 0
    for seed in range(100):
        gas = vacancy_lattice_gas(network, n_vacancies=1, jump_rate_per_ps=1.0, duration_ps=5000.0, seed=seed)
        factor = tracer_correlation_factor(gas)
        values.append(factor.value)
        covered += factor.ci95[0] <= 0.6935 <= factor.ci95[1]
    assert np.mean(values) == pytest.approx(0.6935, abs=0.003)
    assert 0.87 <= covered / 100 <= 1.0


def test_p_values_of_independent_vacancies_are_uniform():
    sites, _, _ = x3_sublattice((4, 4, 4))
    network = site_network(3.9 * sites, 15.6 * np.eye(3))
    p_values = []
    for seed in range(100):
        gas = vacancy_lattice_gas(network, n_vacancies=4, jump_rate_per_ps=0.1, duration_ps=100.0, seed=seed)
        p_values.append(concerted_jumps(gas, n_repeats=39, seed=seed + 1000, window_ps=0.3).p_value)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.1)
    assert 0.01 <= np.mean(np.array(p_values) <= 0.1) <= 0.22


def test_p_values_of_vacancies_seen_through_frames_are_uniform():
    p_values = []
    for seed in range(100):
        walk = vacancy_walk(
            1500, seed=seed, n_vacancies=4, hop_rate_per_ps=0.1, frame_interval_ps=0.05, rattle_A=0.15
        )
        jumps = find_jumps(walk, species="Li")
        p_values.append(concerted_jumps(jumps, n_repeats=39, seed=seed + 1000, window_ps=0.3).p_value)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.1)
    assert np.mean(np.array(p_values) <= 0.1) <= 0.2


@pytest.mark.parametrize("kind", ["vacancy", "dumbbell"])
@pytest.mark.parametrize("n_frames", [1500, 3500, 9000])
def test_the_diffusivity_of_a_defect_or_its_limit_covers(kind, n_frames):
    exact, covered = 8 * 0.05 * 3.9**2 / 12 * 1e-4, 0
    make = {"vacancy": vacancy_walk, "dumbbell": dumbbell_walk}[kind]
    for seed in range(150):
        walk = make(
            n_frames,
            seed=seed,
            supercell=(2, 2, 2),
            hop_rate_per_ps=0.05,
            frame_interval_ps=0.05,
            **{"n_vacancies" if kind == "vacancy" else "n_dumbbells": 1},
        )
        found = defect_diffusion(follow_defects(walk, species="Li"), kind=kind).diffusivity_cm2_per_s
        covered += exact < found.upper_limit if found.is_limit else found.ci95[0] < exact < found.ci95[1]
    assert 0.88 <= covered / 150 <= 1.0
