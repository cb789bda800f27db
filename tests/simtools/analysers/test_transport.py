import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.analysers.transport import TransportResult, analyse_transport
from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_J_PER_K, ELEMENTARY_CHARGE_C
from simtools.md.trajectory import Trajectory
from simtools.testing import lattice_walkers, vacancy_walk

HOP = 3.9 / np.sqrt(2)
QUANTITIES = ("tracer_diffusivity_cm2_per_s", "charge_diffusivity_cm2_per_s", "haven_ratio")


def walks(n_replicas=4, n_frames=400, n_ions=32, **options):
    return [
        lattice_walkers(n_frames, n_ions, seed=seed, temperature_K=800, **options)
        for seed in range(n_replicas)
    ]


def holds(estimate, truth, slack=1.0):
    low, high = np.log(estimate.ci95)
    middle, half = (low + high) / 2, slack * (high - low) / 2
    return abs(np.log(truth) - middle) <= half


def test_lock_step_ions_have_haven_ratio_one_over_n():
    result = analyse_transport(walks(group_size=32), species="Li", hop_length_A=1.0)
    assert holds(result.haven_ratio, 1 / 32, slack=1.5)
    assert result.effective_ions < 4


def test_independent_ions_have_haven_ratio_one_and_the_diffusivity_of_their_hops():
    result = analyse_transport(walks(), species="Li", hop_length_A=1.0)
    diffusivity = 0.2 / 6 * 1e-4
    for name, truth in zip(QUANTITIES, (diffusivity, diffusivity, 1.0), strict=True):
        assert holds(getattr(result, name), truth, slack=1.5), name


def test_the_error_bar_is_on_trial_too():
    pulls = []
    for seed in range(25):
        replicas = [
            lattice_walkers(300, 24, seed=100 * seed + i, group_size=4, temperature_K=800) for i in range(3)
        ]
        ratio = analyse_transport(replicas, species="Li", hop_length_A=1.0).haven_ratio
        pulls.append(np.log(ratio.value * 4) / (ratio.stderr / ratio.value))
    assert 0.6 < np.std(pulls) < 1.6
    assert abs(np.mean(pulls)) < 0.7


def test_conductivity_follows_from_charge_volume_and_temperature():
    result = analyse_transport(walks(), species="Li", hop_length_A=1.0)
    density_per_cm3 = result.n_ions / (result.volume_A3 * 1e-24)
    factor = density_per_cm3 * ELEMENTARY_CHARGE_C**2 / (BOLTZMANN_J_PER_K * 800)
    assert_allclose(
        result.nernst_einstein_conductivity_S_per_cm.value,
        factor * result.tracer_diffusivity_cm2_per_s.value,
        rtol=1e-12,
    )
    assert_allclose(
        result.ionic_conductivity_S_per_cm.ci95,
        factor * np.array(result.charge_diffusivity_cm2_per_s.ci95),
        rtol=1e-12,
    )


def test_a_doubly_charged_ion_conducts_four_times_as_much():
    single, double = (
        analyse_transport(walks(charge_e=charge), species="Li", hop_length_A=1.0) for charge in (1, 2)
    )
    ratio = double.ionic_conductivity_S_per_cm.value / single.ionic_conductivity_S_per_cm.value
    assert ratio == pytest.approx(4.0, rel=1e-12)


def test_a_drifting_host_does_not_move_its_ions():
    plain = walks(2)
    drift = np.linspace(0, 50, 400)[:, None, None] * np.array([1.0, 0.5, -1.0])

    def with_host(item, shift):
        host = np.zeros((400, 5, 3)) + np.arange(5)[:, None]
        return replace(
            item,
            positions_A=np.concatenate([item.positions_A, host], axis=1) + shift,
            species=np.array(["Li"] * 32 + ["O"] * 5),
        )

    still = analyse_transport([with_host(item, 0.0) for item in plain], species="Li", hop_length_A=1.0)
    moved = analyse_transport([with_host(item, drift) for item in plain], species="Li", hop_length_A=1.0)
    for name in QUANTITIES:
        assert getattr(moved, name).value == pytest.approx(getattr(still, name).value, rel=1e-9)


def test_a_rattling_cage_gives_the_poisson_limit():
    result = analyse_transport(walks(2, hops_per_frame=0.0, rattle_A=0.1), species="Li", hop_length_A=1.0)
    assert result.n_hops == 0
    limit = result.tracer_diffusivity_cm2_per_s
    assert limit.is_limit
    assert limit.upper_limit == pytest.approx(2.9957 / (32 * 2 * 400) / 6 * 1e-4, rel=1e-3)
    assert result.haven_ratio.is_limit
    assert result.ionic_conductivity_S_per_cm.is_limit
    assert "lasting hops" in result.warnings[0]


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.002])
def test_ions_that_swap_between_two_sites_do_not_diffuse(rate):
    rng = np.random.default_rng(8)
    side = np.cumsum(rng.random((1000, 40)) < rate, axis=0) % 2
    r_tnc = rng.normal(0, 0.15, size=(1000, 40, 3))
    r_tnc[..., 0] += HOP * side
    trapped = replace(lattice_walkers(1000, 40, seed=0, temperature_K=500), positions_A=r_tnc)
    result = analyse_transport([trapped], species="Li", hop_length_A=HOP)
    assert result.n_hops > 20
    assert result.tracer_diffusivity_cm2_per_s.is_limit
    assert result.charge_diffusivity_cm2_per_s.is_limit


def test_ions_that_circle_a_ring_do_not_diffuse():
    rng = np.random.default_rng(9)
    place = np.cumsum(rng.choice([-1, 0, 1], p=[0.05, 0.9, 0.05], size=(4000, 30)), axis=0)
    angle = place * np.pi / 3
    r_tnc = np.stack([HOP * np.cos(angle), HOP * np.sin(angle), 0 * angle], axis=-1)
    r_tnc += rng.normal(0, 0.1, size=r_tnc.shape)
    ring = replace(lattice_walkers(4000, 30, seed=0, temperature_K=500), positions_A=r_tnc)
    result = analyse_transport([ring], species="Li", hop_length_A=HOP)
    assert result.n_hops > 1000
    limit = result.tracer_diffusivity_cm2_per_s
    assert limit.is_limit
    assert limit.upper_limit < 0.05 * 0.1 * HOP**2 / 6 * 1e-4


def test_a_lone_vacancy_has_its_geometric_haven_ratio():
    replicas = [
        vacancy_walk(
            2000, seed=seed, n_vacancies=1, hop_rate_per_ps=0.2, frame_interval_ps=0.2, temperature_K=800
        )
        for seed in range(6)
    ]
    result = analyse_transport(replicas, species="Li", hop_length_A=HOP)
    charge = 8 * 0.2 * HOP**2 / 6 / 191 * 1e-4
    assert holds(result.charge_diffusivity_cm2_per_s, charge, slack=1.5)
    assert holds(result.haven_ratio, 0.694, slack=1.5)


def test_one_replica_gives_wider_intervals_than_six():
    one, six = (analyse_transport(walks(count), species="Li", hop_length_A=1.0) for count in (1, 6))
    for name in QUANTITIES:
        widths = [np.log(getattr(item, name).ci95[1] / getattr(item, name).ci95[0]) for item in (one, six)]
        assert widths[0] > 1.5 * widths[1]


def test_vibrations_do_not_move_the_diffusivities():
    shaken = walks(4, n_frames=1500, rattle_A=0.4)
    result = analyse_transport(shaken, species="Li", hop_length_A=1.0)
    for name in QUANTITIES[:2]:
        assert holds(getattr(result, name), 0.2 / 6 * 1e-4, slack=1.5), name


def test_replicas_that_disagree_are_reported_and_set_the_error():
    fast, slow = walks(2, n_frames=1000, hops_per_frame=0.4), walks(4, n_frames=1000, hops_per_frame=0.1)
    result = analyse_transport([*fast, *slow[2:]], species="Li", hop_length_A=1.0)
    assert any("replicas differ" in note for note in result.warnings)
    tracer = result.tracer_diffusivity_cm2_per_s
    assert tracer.ci95[1] / tracer.ci95[0] > 2


def test_a_fixed_sum_has_no_charge_diffusivity():
    fixed = [
        replace(item, positions_A=item.positions_A - item.positions_A.mean(axis=1, keepdims=True))
        for item in walks(2)
    ]
    result = analyse_transport(fixed, species="Li", hop_length_A=1.0)
    assert not result.tracer_diffusivity_cm2_per_s.is_limit
    assert result.charge_diffusivity_cm2_per_s.is_limit
    assert any("fixed" in note for note in result.warnings)


def test_neutral_atoms_diffuse_and_do_not_conduct():
    result = analyse_transport(walks(2, charge_e=0), species="Li", hop_length_A=1.0)
    assert not result.tracer_diffusivity_cm2_per_s.is_limit
    assert result.ionic_conductivity_S_per_cm.upper_limit == 0.0


@pytest.mark.parametrize("n_frames", [8, 9, 12, 20, 47])
def test_short_runs_give_wide_intervals_or_limits_and_never_fail(n_frames):
    result = analyse_transport(
        walks(1, n_frames=n_frames, hops_per_frame=0.5), species="Li", hop_length_A=1.0
    )
    for name in QUANTITIES:
        estimate = getattr(result, name)
        assert estimate.is_limit or estimate.ci95[0] < estimate.value < estimate.ci95[1]


def test_ions_that_never_move_at_all_give_limits():
    still = Trajectory(
        positions_A=np.zeros((50, 4, 3)),
        species=np.full(4, "Li"),
        cells_A=10 * np.eye(3),
        frame_interval_ps=0.1,
        formal_charges_e={"Li": 1},
    )
    result = analyse_transport([still], species="Li", hop_length_A=1.0, temperature_K=300)
    assert all(getattr(result, name).is_limit for name in QUANTITIES)


def test_result_survives_the_disk_and_the_summary_keeps_its_contract():
    result = analyse_transport(walks(2), species="Li", hop_length_A=1.0)
    again = TransportResult.from_json(result.to_json())
    assert again.to_summary() == result.to_summary()
    assert_allclose(again.log_covariance, result.log_covariance, rtol=0)
    summary = result.to_summary()
    assert summary["temperature_K"] == 800
    for name in (*QUANTITIES, "nernst_einstein_conductivity_S_per_cm", "ionic_conductivity_S_per_cm"):
        assert set(summary[name]) == {"value", "stderr", "ci95", "method", "n_eff"}


def test_inputs_that_do_not_belong_together_are_refused():
    first, second = walks(2)
    cases = [
        ([], {}, "at least one"),
        ([first, lattice_walkers(400, 30, seed=0)], {}, "30 Li"),
        ([first, replace(second, frame_interval_ps=0.5)], {}, "sampled alike"),
        ([replace(first, temperature_K=None)], {}, "temperature_K"),
        ([first], {"hop_length_A": 0.0}, "hop_length_A"),
    ]
    for trajectories, options, message in cases:
        with pytest.raises(ConfigError, match=message):
            analyse_transport(trajectories, species="Li", **{"hop_length_A": 1.0, **options})


def test_the_order_of_replicas_does_not_matter():
    replicas = walks(3)
    values = [
        analyse_transport(order, species="Li", hop_length_A=1.0).charge_diffusivity_cm2_per_s.value
        for order in itertools.permutations(replicas)
    ]
    assert_allclose(values, values[0], rtol=1e-9)
