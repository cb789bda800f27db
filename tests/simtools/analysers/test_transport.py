import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.analysers.displacements import blocked_displacements
from simtools.analysers.replicas import default_host
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
    assert limit.upper_limit == pytest.approx(2.9957 / (32 * 2 * (399 - 2.2 * 3)) / 6 * 1e-4, rel=1e-3)
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
    assert "formal charge is zero" in result.ionic_conductivity_S_per_cm.method


def test_an_unknown_charge_is_not_a_charge_of_zero():
    unknown = [replace(item, formal_charges_e={}) for item in walks(2)]
    result = analyse_transport(unknown, species="Li", hop_length_A=1.0)
    assert result.charge_e is None
    assert TransportResult.from_json(result.to_json()).charge_e is None
    assert not result.tracer_diffusivity_cm2_per_s.is_limit
    assert result.ionic_conductivity_S_per_cm.upper_limit == np.inf
    assert any("formal charge of Li is unknown" in note for note in result.warnings)


def mixture(seed, n_frames=1500):
    """Lithium and sodium that both walk, and chlorine that drifts away as a block."""
    cations = lattice_walkers(n_frames, 40, seed=seed, temperature_K=800, rattle_A=0.05)
    drift = np.linspace(0, 60, n_frames)[:, None, None] * np.array([1.0, -0.5, 0.0])
    host = np.random.default_rng(seed).normal(0, 0.05, size=(n_frames, 40, 3)) + 3.0
    return replace(
        cations,
        positions_A=np.concatenate([cations.positions_A, host], axis=1) + drift,
        species=np.array(["Li"] * 30 + ["Na"] * 10 + ["Cl"] * 40),
        cells_A=20 * np.eye(3),
        formal_charges_e={"Li": 1, "Na": 1, "Cl": -1},
    )


def test_other_mobile_cations_are_no_host():
    result = analyse_transport([mixture(seed) for seed in range(4)], species="Li", hop_length_A=1.0)
    assert result.provenance["arguments"]["host_species"] == ["Cl"]
    assert holds(result.haven_ratio, 1.0, slack=1.5)
    assert not any("belongs to the host" in note for note in result.warnings)


def test_a_host_that_hops_is_named():
    result = analyse_transport(
        [mixture(seed) for seed in range(2)], species="Li", hop_length_A=1.0, host_species=("Na", "Cl")
    )
    assert any("Na belongs to the host" in note for note in result.warnings)


@pytest.mark.parametrize(
    ("charges", "host"),
    [
        ({"Li": 1, "Na": 1, "O": -2, "Cl": -1}, ("Cl", "O")),
        ({"Cl": -1, "Li": 1, "O": -2, "Na": 1}, ("Cl", "O")),
        ({}, ("Cl", "Na", "O")),
        ({"Li": 1, "Na": 1}, ("Cl", "O")),
    ],
)
def test_the_default_host_has_the_opposite_charge(charges, host):
    assert default_host("Li", ["Li", "O", "Cl", "Na"], charges) == host


@pytest.mark.parametrize("hops_per_frame", [0.0, 0.1])
def test_ions_that_fly_off_together_without_a_host_are_refused(hops_per_frame):
    still = walks(2, n_frames=1000, hops_per_frame=hops_per_frame, rattle_A=0.1)
    flown = [
        replace(item, positions_A=item.positions_A + np.arange(1000)[:, None, None] * [0.02, 0, 0])
        for item in still
    ]
    analyse_transport(still, species="Li", hop_length_A=1.0)
    with pytest.raises(ConfigError, match="drift steadily"):
        analyse_transport(flown, species="Li", hop_length_A=1.0)


@pytest.mark.parametrize("origin", [0.0, -0.5])
def test_wrapped_positions_are_refused(origin):
    walk = lattice_walkers(400, 32, seed=3, temperature_K=800, rattle_A=0.1, volume_A3=12.0**3)
    scaled = walk.positions_A / 12.0 - origin
    wrapped = replace(walk, positions_A=12.0 * (scaled - np.floor(scaled) + origin))
    analyse_transport([walk], species="Li", hop_length_A=1.0)
    with pytest.raises(ConfigError, match="wrapped"):
        analyse_transport([wrapped], species="Li", hop_length_A=1.0)


def back_jumps(seed, n_frames=400, n_ions=40, away=0.02, back=0.8, stay_frames=60):
    """Ions that jump away and mostly jump back after a while."""
    rng = np.random.default_rng(seed)
    r_tnc, home, offset = np.zeros((n_frames, n_ions, 3)), np.zeros((n_ions, 3)), np.zeros((n_ions, 3))
    out = np.zeros(n_ions, dtype=bool)
    for t in range(n_frames):
        ends = out & (rng.random(n_ions) < 1 / stay_frames)
        lasts = ends & (rng.random(n_ions) > back)
        home[lasts] += offset[lasts]
        begins = np.flatnonzero(~out & (rng.random(n_ions) < away))
        offset[ends], out[ends] = 0.0, False
        offset[begins, rng.integers(0, 3, len(begins))] = rng.choice([-HOP, HOP], len(begins))
        out[begins] = True
        r_tnc[t] = home + offset
    r_tnc += rng.normal(0, 0.1, size=r_tnc.shape)
    walk = lattice_walkers(n_frames, n_ions, seed=0, temperature_K=800, frame_interval_ps=0.1)
    return replace(walk, positions_A=r_tnc, cells_A=20 * np.eye(3))


@pytest.mark.parametrize(("n_frames", "stay_frames"), [(400, 20), (400, 60), (1500, 60)])
def test_jumps_back_that_have_not_died_out_put_the_charge_diffusivity_in_doubt(n_frames, stay_frames):
    truth = 0.2 / (50 + stay_frames) / 0.1 * HOP**2 / 6 * 1e-4
    held = 0
    for seed in range(4):
        replicas = [back_jumps(10 * seed + i, n_frames=n_frames, stay_frames=stay_frames) for i in range(4)]
        result = analyse_transport(replicas, species="Li", hop_length_A=HOP)
        charge = result.charge_diffusivity_cm2_per_s
        held += charge.upper_limit > truth if charge.is_limit else charge.ci95[0] < truth < charge.ci95[1]
        assert not any("do not get away" in note for note in result.warnings)
    assert held == 4


@pytest.mark.parametrize("n_frames", [40, 60, 100])
def test_hops_are_counted_over_the_time_in_which_they_can_be(n_frames):
    rate, counted, observed = 0.002, 0, 0.0
    for seed in range(60):
        walk = lattice_walkers(n_frames, 100, seed=seed, hops_per_frame=rate, frame_interval_ps=0.1)
        blocks = blocked_displacements([walk.positions_A], frame_interval_ps=0.1, hop_length_A=1.0)
        counted += blocks.n_hops
        observed += 100 * blocks.observed_frames
    assert counted == pytest.approx(rate * observed, abs=3 * np.sqrt(rate * observed))


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
        ([first, replace(second, temperature_K=1000.0)], {}, "temperature_K"),
        ([first, replace(second, formal_charges_e={"Li": 2})], {}, "formal_charges_e"),
        ([first, replace(second, cells_A=1.01 * second.cells_A)], {}, "mean volume"),
        ([first, replace(second, species=np.array(["Li"] * 31 + ["O"]))], {}, "31 Li"),
        ([replace(first, temperature_K=None)], {}, "temperature_K"),
        ([replace(first, formal_charges_e={"Li": 0.67})], {}, "integer"),
        ([replace(first, formal_charges_e={"Li": 0.9999999})], {}, "integer"),
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


@pytest.mark.parametrize(("n_replicas", "told"), [(1, True), (3, True), (4, False)])
def test_few_replicas_say_how_little_is_known_of_collective_quantities(n_replicas, told):
    result = analyse_transport(walks(n_replicas), species="Li", hop_length_A=1.0)
    low, high = result.ionic_conductivity_S_per_cm.ci95
    notes = [note for note in result.warnings if f"within a factor of {high / low:.2g} (95 %)" in note]
    assert bool(notes) is told
    assert not told or f"{n_replicas} replica" in notes[0]


def test_one_replica_gives_an_interval_of_the_tracer_that_is_nearly_as_narrow_as_it_should_be():
    results = [
        analyse_transport([item], species="Li", hop_length_A=1.0).tracer_diffusivity_cm2_per_s
        for item in walks(30, n_ions=16, n_frames=300)
    ]
    spread = np.std(np.log([item.value for item in results]), ddof=1)
    half_widths = [np.log(item.ci95[1] / item.ci95[0]) / 2 for item in results]
    assert 0.8 < np.mean(half_widths) / (1.96 * spread) < 1.6


@pytest.mark.parametrize("n_frames", [70, 80])
def test_a_run_with_one_usable_window_after_the_vibrations_gives_finite_numbers(n_frames):
    replicas = walks(2, n_frames=n_frames, hops_per_frame=0.05, frame_interval_ps=0.2, rattle_A=0.02)
    estimate = analyse_transport(replicas, species="Li", hop_length_A=1.0).tracer_diffusivity_cm2_per_s
    assert np.isfinite(estimate.upper_limit if estimate.is_limit else estimate.value)
