"""Jumps, rates and correlation factors held against walks on lattices whose every jump is known."""

import numpy as np
import pytest

from simtools.analysers.jump_rates import JumpRates, jump_rates, poisson_rate
from simtools.analysers.jumps import find_jumps
from simtools.analysers.lattice_gas import (
    TooFewJumpsError,
    independent_vacancies,
    site_network,
    tracer_correlation_factor,
    vacancy_lattice_gas,
)
from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.md.trajectory import LatticeSites, Trajectory
from simtools.testing import vacancy_walk
from simtools.testing.walkers import x3_sublattice


def rail(x_t, *, interval_ps=0.1, species="Li"):
    """Return one ion on a row of eight sites 3 Å apart, with a still host of two ions."""
    x_t = np.asarray(x_t, dtype=float)
    r_tnc = np.zeros((len(x_t), 3, 3))
    r_tnc[:, 0, 0] = x_t
    r_tnc[:, 1] = [0.0, 6.0, 6.0]
    r_tnc[:, 2] = [12.0, 6.0, 6.0]
    sites = np.zeros((10, 3))
    sites[:8, 0] = np.arange(8) / 8
    sites[8:] = np.array([[0.0, 6.0, 6.0], [12.0, 6.0, 6.0]]) / [24, 12, 12]
    return Trajectory(
        positions_A=r_tnc,
        species=[species, "Cl", "Cl"],
        cells_A=np.diag([24.0, 12.0, 12.0]),
        frame_interval_ps=interval_ps,
        lattice_sites=LatticeSites(sites, [species] * 8 + ["Cl"] * 2),
    )


def test_noise_at_a_border_is_no_jump():
    telegraph = 1.5 + 0.3 * np.where(np.random.default_rng(0).random(400) < 0.5, -1, 1)
    jumps = find_jumps(rail(np.concatenate([np.zeros(10), telegraph, np.zeros(10)])), species="Li")
    assert jumps.n_crossings > 100
    assert jumps.n_jumps == 0
    assert jumps.n_recrossings == 0


def test_a_rattle_between_two_sites_shrinks_to_what_lasts():
    rattle = np.tile([3.0, 0.0], 50)
    back = find_jumps(rail(np.concatenate([np.zeros(20), rattle, np.zeros(20)])), species="Li")
    assert back.n_jumps == 0
    assert back.n_recrossings == 50
    there = find_jumps(rail(np.concatenate([np.zeros(20), rattle, np.full(20, 3.0)])), species="Li")
    assert there.n_jumps == 1
    assert there.initial_sites.tolist() == [0]
    assert there.final_sites.tolist() == [1]
    kept = find_jumps(rail(np.concatenate([np.zeros(20), rattle])), species="Li", shortest_stay_ps=0)
    assert kept.n_jumps == 100


def test_passing_through_a_site_is_two_jumps_and_images_are_distances():
    path = np.concatenate([np.full(10, 21.0), [24.0], np.full(10, 27.0)])
    jumps = find_jumps(rail(path), species="Li")
    assert jumps.final_sites.tolist() == [0, 1]
    assert np.allclose(jumps.vectors_A, [[3, 0, 0], [3, 0, 0]])
    assert jumps.times_ps == pytest.approx([0.95, 1.05])


def test_time_of_transit_is_known():
    path = np.concatenate([np.zeros(10), [1.2, 1.5, 1.8], np.full(10, 3.0)])
    (jump,) = [find_jumps(rail(path, species="O"), species="O")]
    assert jump.last_ps[0] == pytest.approx(0.9)
    assert jump.first_ps[0] == pytest.approx(1.3)


def test_jumps_near_the_ends_are_not_counted():
    jumps = find_jumps(rail(np.concatenate([np.zeros(20), [3.0]])), species="Li")
    assert jumps.n_jumps == 0
    assert jumps.observed_ps == pytest.approx([0.2, 1.8])


def test_every_jump_of_a_walk_is_found_with_its_length():
    walk = vacancy_walk(
        1500, seed=1, n_vacancies=3, rattle_A=0.2, frame_interval_ps=0.02, hop_rate_per_ps=0.2
    )
    jumps = find_jumps(walk, species="Li", shortest_stay_ps=0)
    assert jumps.n_jumps == pytest.approx(walk.metadata["n_jumps"], abs=2)
    assert np.allclose(jumps.lengths_A, 3.9 / np.sqrt(2))
    assert jumps.n_vacancies == 3
    rates = jump_rates(jumps)
    assert len(rates.directions_A) == 12
    assert rates.direction_counts.sum() == jumps.n_jumps
    assert rates.length_counts.tolist() == [jumps.n_jumps]
    low, high = rates.rate_per_vacancy.ci95
    assert low < 8 * 0.2 * (1 - 2 / 191) < high
    assert JumpRates.from_json(rates.to_json()).to_json() == rates.to_json()


def test_replicas_add_up_and_still_ions_give_a_limit():
    still = find_jumps(rail(np.zeros(101)), species="Li", shortest_stay_ps=0)
    rates = jump_rates([still, still])
    assert rates.rate_per_ion.is_limit
    assert rates.rate_per_ion.upper_limit == pytest.approx(2.9957 / 20, rel=1e-4)
    assert rates.mean_residence is None
    assert rates.n_replicas == 2
    assert rates.stay_survival.tolist() == [1.0]


def test_the_poisson_interval_is_garwoods():
    estimate = poisson_rate(10, 1.0)
    assert estimate.ci95 == pytest.approx((4.795389, 18.390356))
    wide = poisson_rate(40, 1.0, dispersion=4.0)
    assert np.array(wide.ci95) == pytest.approx(4 * np.array(estimate.ci95))


def test_stays_of_a_poisson_walk_are_exponential():
    sites, _, _ = x3_sublattice((3, 3, 3))
    gas = vacancy_lattice_gas(
        site_network(3.9 * sites, 11.7 * np.eye(3)),
        n_vacancies=80,
        jump_rate_per_ps=0.5,
        duration_ps=300.0,
        seed=3,
    )
    rates = jump_rates(gas)
    # one ion among 80 vacancies: every neighbour is free, 8 x 0.5 jumps per ps
    assert rates.mean_residence.value == pytest.approx(0.25, rel=0.06)
    middle = (rates.stay_survival > 0.1) & (rates.stay_survival < 0.9)
    slope = np.log(rates.stay_survival[middle]) / rates.stay_times_ps[middle]
    assert np.allclose(slope, -4.0, rtol=0.15)


def test_bursts_widen_the_interval():
    quiet = np.zeros(200)
    path = np.concatenate([quiet, 3.0 * np.repeat(np.arange(60), 3), np.full(200, 177.0)])
    rates = jump_rates(find_jumps(rail(path), species="Li"))
    assert rates.n_jumps == 59
    assert rates.dispersion > 4
    assert rates.rate_per_ion.n_eff == pytest.approx(59 / rates.dispersion)


def test_a_lone_vacancy_has_the_correlation_factor_of_the_sublattice():
    sites, neighbours, _ = x3_sublattice((4, 4, 4))
    network = site_network(3.9 * sites, 15.6 * np.eye(3))
    assert network.coordination == 8
    assert np.array_equal(np.sort(network.neighbours), np.sort(neighbours))
    gas = vacancy_lattice_gas(network, n_vacancies=1, jump_rate_per_ps=1.0, duration_ps=20000.0, seed=4)
    factor = tracer_correlation_factor(gas)
    assert factor.stderr < 0.005
    assert abs(factor.value - 0.6935) < 3 * factor.stderr + 0.002


def test_unrelated_jumps_have_factor_one_and_returns_zero():
    sites, _, _ = x3_sublattice((3, 3, 3))
    free = vacancy_lattice_gas(
        site_network(3.9 * sites, 11.7 * np.eye(3)),
        n_vacancies=80,
        jump_rate_per_ps=0.5,
        duration_ps=3000.0,
        seed=5,
    )
    parts = [
        vacancy_lattice_gas(
            site_network(3.9 * sites, 11.7 * np.eye(3)),
            n_vacancies=80,
            jump_rate_per_ps=0.5,
            duration_ps=500.0,
            seed=seed,
        )
        for seed in range(30)
    ]
    factor = tracer_correlation_factor(parts, lag_ps=1.0)
    assert abs(factor.value - 1) < 3 * factor.stderr < 0.1
    assert free.n_ions == 1
    to_and_fro = np.tile(np.repeat([0.0, 3.0], 10), 60)
    bound = find_jumps(rail(to_and_fro), species="Li")
    two = tracer_correlation_factor([bound, bound], lag_ps=8.0)
    assert abs(two.value) < 0.05


def test_a_lattice_gas_like_a_run_has_its_rate():
    walk = vacancy_walk(
        2000, seed=6, n_vacancies=20, rattle_A=0.15, hop_rate_per_ps=0.1, frame_interval_ps=0.05
    )
    jumps = find_jumps(walk, species="Li", shortest_stay_ps=0)
    like = independent_vacancies(jumps, seed=1, duration_ps=20 * jumps.duration_ps)
    assert like.n_vacancies == 20
    assert np.array_equal(like.sites_A, jumps.sites_A)
    seen, again = jump_rates(jumps).rate_per_ion.value, jump_rates(like).rate_per_ion.value
    assert again == pytest.approx(seen, rel=0.015)


def test_what_cannot_be_asked_is_refused_in_one_line():
    with pytest.raises(ConfigError, match="core_fraction"):
        find_jumps(rail(np.zeros(20)), species="Li", core_fraction=1.5)
    with pytest.raises(ConfigError, match="more than twice"):
        find_jumps(rail(np.zeros(4)), species="Li")
    with pytest.raises(UnknownSpeciesError):
        find_jumps(rail(np.zeros(20)), species="Na")
    with pytest.raises(TooFewJumpsError, match="at least 50"):
        tracer_correlation_factor(find_jumps(rail(np.zeros(20)), species="Li"))
    with pytest.raises(TooFewJumpsError, match="at least 1;"):
        independent_vacancies(find_jumps(rail(np.zeros(20)), species="Li"), seed=0)
    with pytest.raises(ConfigError, match="raise longest_A"):
        site_network(np.array([[0.0, 0, 0], [2.0, 0, 0]]), 20 * np.eye(3), longest_A=1.0)
