"""Jumps, rates and correlation factors held against walks on lattices whose every jump is known."""

from dataclasses import replace

import numpy as np
import pytest

from simtools.analysers.defect_tracks import follow_defects
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


def mixed(*, labels="Na on Li sites"):
    """Return a vacancy walk of which every third ion is Na, with still Cl around it."""
    walk = vacancy_walk(
        1200, seed=8, n_vacancies=3, rattle_A=0.15, hop_rate_per_ps=0.1, frame_interval_ps=0.05
    )
    n_ions, n_sites = walk.positions_A.shape[1], 192
    species = np.where(np.arange(n_ions) % 3 == 0, "Na", "Li")
    corners = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    still = np.repeat(3.9 * corners[None].astype(float), 1200, axis=0)
    cations = np.where(np.arange(n_sites) % 2 == 0, "Li", "Na") if labels == "both" else ["Li"] * n_sites
    return walk, Trajectory(
        positions_A=np.concatenate([walk.positions_A, still], axis=1),
        species=[*species, *["Cl"] * 64],
        cells_A=walk.cells_A,
        frame_interval_ps=0.05,
        temperature_K=700.0,
        lattice_sites=LatticeSites(
            np.concatenate([walk.lattice_sites.scaled_positions, corners / 4]), [*cations, *["Cl"] * 64]
        ),
    )


def test_two_cations_on_one_sublattice_share_its_vacancies_and_add_up():
    walk, trajectory = mixed()
    whole = find_jumps(walk, species="Li", shortest_stay_ps=0)
    lithium, sodium = (find_jumps(trajectory, species=name, shortest_stay_ps=0) for name in ("Li", "Na"))
    both = find_jumps(trajectory, species=("Li", "Na"), shortest_stay_ps=0)
    assert lithium.n_vacancies == sodium.n_vacancies == both.n_vacancies == 3
    assert lithium.n_jumps + sodium.n_jumps == both.n_jumps == whole.n_jumps
    assert sodium.n_jumps > 10
    assert lithium.n_ions + sodium.n_ions == both.n_ions == 189
    assert both.species == "Li, Na"
    assert tracer_correlation_factor(both).value == pytest.approx(tracer_correlation_factor(whole).value)


def test_sites_of_two_cations_are_one_sublattice_where_they_exchange():
    walk, trajectory = mixed(labels="both")
    whole = find_jumps(walk, species="Li", shortest_stay_ps=0)
    both = find_jumps(trajectory, species=("Li", "Na"), shortest_stay_ps=0)
    assert both.n_jumps == whole.n_jumps
    lithium = find_jumps(trajectory, species="Li", sublattice=("Li", "Na"), shortest_stay_ps=0)
    sodium = find_jumps(trajectory, species="Na", sublattice=("Li", "Na"), shortest_stay_ps=0)
    assert lithium.n_jumps + sodium.n_jumps == whole.n_jumps
    assert lithium.n_sites == 192


@pytest.mark.parametrize("wrong", ["origin", "unit"])
def test_ions_that_are_not_on_the_sites_are_refused(wrong):
    walk = vacancy_walk(100, seed=2, rattle_A=0.1, frame_interval_ps=0.05)
    shifted = walk.positions_A + 0.98 if wrong == "origin" else 0.1 * walk.positions_A
    moved = replace(walk, positions_A=shifted)
    for analyse in (find_jumps, follow_defects):
        with pytest.raises(ConfigError, match="check origin, unit and order"):
            analyse(moved, species="Li")


def test_halides_that_never_jump_have_limits_in_every_analysis():
    _, trajectory = mixed()
    chloride = find_jumps(trajectory, species="Cl")
    assert (chloride.n_jumps, chloride.n_ions, chloride.n_vacancies) == (0, 64, 0)
    rates = jump_rates(chloride)
    assert rates.rate_per_ion.upper_limit == pytest.approx(2.9957 / (64 * chloride.duration_ps), rel=1e-4)
    assert rates.rate_per_vacancy is None
    with pytest.raises(ConfigError, match="no vacancies among the 64 Cl sites"):
        independent_vacancies(chloride, seed=0)


def test_jumps_do_not_depend_on_the_basis_of_a_skewed_cell():
    walk = vacancy_walk(600, seed=2, n_vacancies=3, rattle_A=0.2, hop_rate_per_ps=0.1, frame_interval_ps=0.05)
    turn = np.array([[1, 0, 0], [6, 1, 0], [-7, 9, 1]])
    sites = walk.lattice_sites
    skewed = Trajectory(
        positions_A=walk.positions_A,
        species=walk.species,
        cells_A=turn @ walk.cells_A,
        frame_interval_ps=0.05,
        lattice_sites=LatticeSites(sites.scaled_positions @ np.linalg.inv(turn), sites.species),
    )
    one, other = find_jumps(walk, species="Li"), find_jumps(skewed, species="Li")
    assert one.n_crossings == other.n_crossings
    assert np.array_equal(one.ions, other.ions)
    assert np.allclose(one.vectors_A, other.vectors_A)


@pytest.mark.parametrize("drift_A", [0.0, 40.0])
def test_ions_that_stay_do_not_jump_when_the_mobile_ones_wander_off(drift_A):
    rng, edge, n_frames = np.random.default_rng(3), 3.0, 600
    grid = edge * np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    hops = edge * (rng.random((n_frames, 27, 3)) < 0.02)  # all in one direction: 12 sites in the end
    mobile = grid + np.cumsum(hops, axis=0) - hops[:1]
    still = np.broadcast_to(grid + edge / 2, mobile.shape)
    r_tnc = np.concatenate([mobile, still], axis=1) + 0.1 * rng.standard_normal((n_frames, 54, 3))
    r_tnc[..., 0] += np.linspace(0, drift_A, n_frames)[:, None]
    walk = Trajectory(
        positions_A=r_tnc,
        species=["Li"] * 27 + ["O"] * 27,
        cells_A=np.eye(3) * 3 * edge,
        frame_interval_ps=0.1,
        lattice_sites=LatticeSites(
            np.concatenate([grid, grid + edge / 2]) / (3 * edge), ["Li"] * 27 + ["O"] * 27
        ),
    )
    assert find_jumps(walk, species="O").n_jumps == 0
    assert find_jumps(walk, species="Li").n_jumps > 500
