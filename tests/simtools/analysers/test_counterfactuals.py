"""Ratios of D, differences of E_a and exponents against planted ones, and how often intervals hold them."""

import numpy as np
import pytest
from scipy import stats

from simtools.analysers.counterfactuals import (
    activation_energy_difference,
    compare_counterfactual,
    counterfactuals_for_verdict,
)
from simtools.analysers.energy_shift import energy_difference
from simtools.analysers.inertia_law import inertia_exponent
from simtools.analysers.replica_ratios import (
    MeanDiffusivity,
    diffusivity_ratio,
    mean_diffusivity,
    replica_diffusivities,
)
from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.plots.text import format_estimate
from tests.synthetic_results import transport_result

N_REPEATS = 2000
TOLERANCE = 0.015  # three standard errors of a coverage of 95 % in 2000 repeats


def lognormal(rng, mean, scatter, n):
    return mean * np.exp(scatter * rng.standard_normal(n) - scatter**2 / 2)


def gamma(rng, mean, scatter, n):
    return mean * rng.gamma(scatter**-2, scatter**2, n)


def covered(estimate, truth):
    return estimate.ci95[0] <= truth <= estimate.ci95[1]


@pytest.mark.parametrize("draw", [lognormal, gamma])
@pytest.mark.parametrize(
    ("n_altered", "n_free", "scatter"),
    [(2, 2, (0.3, 0.3)), (3, 3, (0.5, 0.2)), (4, 4, (0.3, 0.3)), (6, 6, (0.3, 0.2)), (4, 6, (0.6, 0.6))],
)
def test_intervals_of_ratios_hold_what_they_say(draw, n_altered, n_free, scatter):
    rng = np.random.default_rng([n_altered, n_free])
    hits = sum(
        covered(
            diffusivity_ratio(
                draw(rng, 2e-6, scatter[0], n_altered).tolist(), draw(rng, 8e-6, scatter[1], n_free).tolist()
            ),
            0.25,
        )
        for _ in range(N_REPEATS)
    )
    assert 0.93 - TOLERANCE < hits / N_REPEATS < 0.98 + TOLERANCE


def test_two_replicas_against_six_do_not_borrow_their_degrees_of_freedom():
    rng = np.random.default_rng(3)
    pairs = [(lognormal(rng, 1.0, 0.3, 2), lognormal(rng, 1.0, 0.1, 6)) for _ in range(N_REPEATS)]
    assert np.mean([covered(diffusivity_ratio(a, b), 1.0) for a, b in pairs]) > 0.93


def test_a_ratio_is_welchs_for_equal_numbers():
    altered, free = np.array([1.0, 1.2, 0.9]), np.array([2.0, 2.3, 2.1])
    ratio = diffusivity_ratio(altered, free)
    parts = [item.var(ddof=1) / 3 / item.mean() ** 2 for item in (altered, free)]
    dof = sum(parts) ** 2 / sum(part**2 / 2 for part in parts)
    half = stats.t.ppf(0.975, dof) * np.sqrt(sum(parts))
    assert ratio.value == pytest.approx(altered.mean() / free.mean())
    assert np.log(ratio.ci95) == pytest.approx(np.log(ratio.value) + np.array([-half, half]))
    assert "3 and 3 replicas" in ratio.method


def test_limits_where_nothing_moved():
    still = MeanDiffusivity(value=0.0, relative_variance=np.inf, dof=1.0, n_replicas=3, upper_limit=2e-9)
    free = [1e-7, 1.1e-7, 0.9e-7]
    ratio = diffusivity_ratio(still, free)
    assert ratio.is_limit
    assert 2e-9 / 1e-7 < ratio.upper_limit < 0.04
    assert diffusivity_ratio(free, still).upper_limit == np.inf
    for values in ([1e-7], [1e-7, -1e-9], [0.0, 0.0], [1e-7, np.nan]):
        with pytest.raises(ConfigError):
            diffusivity_ratio(values, free)


def test_replicas_that_did_not_move_count_as_zero():
    ratio = diffusivity_ratio([0.0, 2.0, 1.0], [1.0, 1.1, 0.9])
    assert ratio.value == pytest.approx(1.0)
    assert ratio.ci95[0] < 0.3


@pytest.mark.parametrize("temperatures", [(700.0, 900.0), (600.0, 700.0, 800.0, 900.0)])
def test_differences_of_activation_energies_hold_the_planted_one(temperatures):
    rng, hits, values = np.random.default_rng(8), 0, []
    for _ in range(1500):
        pairs = {
            t: (
                lognormal(rng, np.exp(-0.12 / (BOLTZMANN_EV_PER_K * t)), 0.3, 3).tolist(),
                lognormal(rng, 1.0, 0.3, 3).tolist(),
            )
            for t in temperatures
        }
        estimate = activation_energy_difference(pairs).difference_eV
        hits += covered(estimate, 0.12)
        values.append(estimate.value)
    assert np.mean(values) == pytest.approx(0.12, abs=4 * np.std(values) / np.sqrt(len(values)))
    assert 0.93 - 0.017 < hits / 1500 < 0.985 + 0.01


def test_no_activation_energy_from_one_temperature_that_moved():
    still = MeanDiffusivity(value=0.0, relative_variance=np.inf, dof=1.0, n_replicas=2, upper_limit=1e-9)
    assert activation_energy_difference({700.0: ([1.0, 1.1], [1.0, 0.9])}) is None
    assert activation_energy_difference({700.0: ([1.0, 1.1], [1.0, 0.9]), 600.0: (still, [1.0, 0.9])}) is None


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_the_exponent_of_inertia_is_found(p):
    rng, hits = np.random.default_rng(9), 0
    for _ in range(1000):
        values = {scale: lognormal(rng, scale**-p, 0.2, 4).tolist() for scale in (1, 4, 16, 64)}
        hits += covered(inertia_exponent(values, temperature_K=700.0).exponent, p)
    assert 0.92 < hits / 1000 < 0.985
    exact = {scale: [scale**-p * 0.999, scale**-p * 1.001] for scale in (1, 4, 16, 64)}
    assert inertia_exponent(exact, temperature_K=700.0).exponent.value == pytest.approx(p, abs=1e-12)
    assert inertia_exponent({1: [1.0, 1.1]}, temperature_K=700.0) is None


def test_a_bend_in_the_law_of_inertia_is_seen_and_a_line_is_not_called_bent():
    rng, called = np.random.default_rng(10), {0.0: 0, 0.1: 0}
    for bend in called:
        for _ in range(600):
            values = {
                scale: lognormal(rng, scale**-0.3 * np.exp(-bend * np.log(scale) ** 2), 0.15, 3).tolist()
                for scale in (1, 4, 16, 64)
            }
            found = inertia_exponent(values, temperature_K=700.0)
            called[bend] += found.misfit_p_value < 0.05
            assert bool(found.warnings) == (found.misfit_p_value < 0.05)
    assert 0.02 < called[0.0] / 600 < 0.085
    assert called[0.1] / 600 > 0.9
    two = inertia_exponent({1: [1.0, 1.1], 4: [0.5, 0.55]}, temperature_K=700.0)
    assert np.isnan(two.misfit)
    assert two.warnings == ()


def test_replicas_of_a_transport_result_average_to_its_diffusivity():
    result = transport_result(700, n_replicas=4)
    values = replica_diffusivities(result)
    assert values.mean() == pytest.approx(result.tracer_diffusivity_cm2_per_s.value)
    scatter = result.msd_per_replica_A2[:, -1] / result.msd_per_replica_A2[:, -1].mean()
    assert values / values.mean() == pytest.approx(scatter, rel=0.02)
    with pytest.raises(ConfigError, match="upper limit"):
        replica_diffusivities(transport_result(700, moved=False))
    one = mean_diffusivity(transport_result(700, n_replicas=1))
    assert not one.from_replicas
    assert "from within its run" in diffusivity_ratio(one, one).method


def test_a_comparison_survives_json_and_reaches_the_verdict():
    free, slow = transport_result(700, seed=1), transport_result(700, moved=False)
    common = {"turned": {"OH": (0.9, 0.8)}, "reference_turned": {"OH": (0.1, 0.05)}, "lag_ps": 5.0}
    cones = [
        compare_counterfactual(
            transport_result(700, seed=seed), free, variant=f"cone{angle}", kind="cone_restraint",
            parameter=float(angle), **common,
        )
        for seed, angle in ((2, 60), (3, 30))
    ]  # fmt: skip
    frozen = compare_counterfactual(
        slow, free, variant="frozen", kind="frozen_orientation", reference_name="rigid"
    )
    again = type(frozen).from_json(cones[1].to_json())
    assert again.to_summary() == cones[1].to_summary()
    assert again.to_summary()["reorientation"]["OH"]["reference_c2"] == 0.05
    exponent = inertia_exponent({1: [1.0, 1.1], 4: [0.5, 0.55]}, temperature_K=700.0)
    found = counterfactuals_for_verdict([*cones, frozen], [exponent], temperature_K=650.0)
    assert found.restrained == cones[1].ratio
    assert found.frozen.is_limit
    assert found.inertia_exponent.value == pytest.approx(-exponent.exponent.value)
    assert counterfactuals_for_verdict([], temperature_K=700.0) is None
    with pytest.raises(ConfigError, match="expected the same"):
        compare_counterfactual(transport_result(800), free, variant="x", kind="cone_restraint")


def still(limit, n=3):
    return MeanDiffusivity(value=0.0, relative_variance=np.inf, dof=1.0, n_replicas=n, upper_limit=limit)


def test_heavy_rotors_that_stopped_ions_make_the_exponent_a_bound():
    """D(x64) is only known to be 50 times below the line through the others."""
    moved = {scale: [0.99 * scale**-0.1, scale**-0.1, 1.01 * scale**-0.1] for scale in (1, 4, 16)}
    found = inertia_exponent({**moved, 64: still(64**-0.1 / 50)}, temperature_K=700.0)
    low, high = found.exponent.ci95
    assert found.exponent.value == pytest.approx(0.1, abs=1e-9)
    assert 0.08 < low < 0.1
    assert high == np.inf
    assert "a lower bound" in found.exponent.method
    assert found.omitted_scales == (64.0,)
    assert found.inertia_scales.tolist() == [1.0, 4.0, 16.0]
    (line,) = found.warnings
    assert "did not diffuse measurably at inertia x 64" in line
    assert "p is a lower bound" in line
    assert type(found).from_json(found.to_json()).exponent == found.exponent
    assert format_estimate(found.exponent).endswith("or more)")
    verdict = counterfactuals_for_verdict([], [found], temperature_K=700.0).inertia_exponent
    assert verdict.ci95 == (-np.inf, -low)
    vague = inertia_exponent({**moved, 64: still(5.0)}, temperature_K=700.0)
    assert vague.exponent.ci95[1] < 0.12
    assert "do not contradict" in vague.warnings[0]
    stopped = inertia_exponent({4: moved[4], 16: moved[16], 1: still(1 / 50)}, temperature_K=700.0)
    assert stopped.exponent.ci95[0] == -np.inf
    assert "p is an upper bound" in stopped.warnings[0]
    assert inertia_exponent(moved, temperature_K=700.0).omitted_scales == ()


@pytest.mark.parametrize(("at_K", "ends"), [(500.0, (False, True)), (1000.0, (True, False))])
def test_temperatures_at_which_altered_runs_stopped_make_the_difference_a_bound(at_K, ends):
    pairs = {
        t: ([0.99 * ratio, ratio, 1.01 * ratio], [0.99, 1.0, 1.01])
        for t in (600.0, 700.0, 800.0)
        for ratio in (np.exp(-0.1 / (BOLTZMANN_EV_PER_K * t)),)
    }
    line = np.exp(-0.1 / (BOLTZMANN_EV_PER_K * at_K))
    free = [0.99, 1.0, 1.01]
    found = activation_energy_difference({**pairs, at_K: (still(line / 50), free)}, variant="cone30")
    assert found.difference_eV.value == pytest.approx(0.1, abs=1e-9)
    assert tuple(np.isinf(found.difference_eV.ci95).tolist()) == ends
    assert found.omitted_temperatures_K == (at_K,)
    assert "did not diffuse measurably" in found.warnings[0]
    assert type(found).from_json(found.to_json()).difference_eV == found.difference_eV
    stuck = activation_energy_difference({**pairs, at_K: ([1.0, 1.01], still(1e-3))}, variant="cone30")
    assert tuple(np.isinf(stuck.difference_eV.ci95).tolist()) == ends[::-1]
    vague = activation_energy_difference({**pairs, at_K: (still(9.0), free)}, variant="cone30")
    assert np.isfinite(vague.difference_eV.ci95).all()
    assert "do not contradict" in vague.warnings[0]


def cone_of(angle, *, c2=(0.5, 0.1), kelvin=700, seed=1):
    return compare_counterfactual(
        transport_result(kelvin, seed=seed), transport_result(kelvin, seed=9), variant=f"cone{angle}",
        kind="cone_restraint", parameter=float(angle), turned={"OH": (0.9, c2[0])},
        reference_turned={"OH": (0.2, c2[1])}, lag_ps=5.0,
    )  # fmt: skip


def test_wide_cones_count_only_where_orientations_were_seen_to_be_kept():
    loose, held = cone_of(80, c2=(0.2, 0.1)), cone_of(75, c2=(0.7, 0.1))
    found = counterfactuals_for_verdict([loose], temperature_K=700.0)
    assert found.restrained is None
    assert found.too_wide_deg == 80.0
    assert counterfactuals_for_verdict([loose, held], temperature_K=700.0).restrained == held.ratio
    narrow = cone_of(60, c2=(0.2, 0.1), seed=2)
    found = counterfactuals_for_verdict([loose, narrow], temperature_K=700.0)
    assert found.restrained == narrow.ratio
    assert found.too_wide_deg is None


def test_of_two_temperatures_equally_near_one_is_used():
    low, high = cone_of(30, kelvin=600), cone_of(20, kelvin=800)
    for order in ([low, high], [high, low]):
        found = counterfactuals_for_verdict(order, temperature_K=700.0)
        assert found.restrained == low.ratio
        assert found.elsewhere_K == 600.0


def test_the_verdict_gets_what_is_left_at_the_largest_inertia():
    heavy = [
        compare_counterfactual(
            transport_result(700, seed=seed), transport_result(700, seed=9), variant=f"inertia{scale}",
            kind="heavy_rotor", parameter=float(scale), reference_name="rigid",
        )
        for seed, scale in ((1, 64), (2, 4))
    ]  # fmt: skip
    exponent = inertia_exponent({1: [1.0, 1.1], 4: [0.5, 0.55]}, temperature_K=700.0)
    found = counterfactuals_for_verdict(heavy, [exponent], temperature_K=700.0)
    assert found.heaviest_scale == 64.0
    assert found.heaviest == heavy[0].ratio


def test_differences_of_energies_hold_the_planted_one():
    rng, hits = np.random.default_rng(12), 0
    for _ in range(600):
        altered, free = rng.normal(-500.0, 0.5, 4), rng.normal(-502.7, 0.2, 3)
        found = energy_difference([(e, 0.1) for e in altered], [(e, 0.1) for e in free], n_anions=27)
        hits += covered(found, 0.1)
    assert 0.93 < hits / 600 < 0.98
    one = energy_difference([(-500.0, 0.3)], [(-502.7, 0.4)], n_anions=27)
    assert one.value == pytest.approx(0.1)
    assert one.stderr == pytest.approx(0.5 / 27)
    assert "errors within runs" in one.method
    with pytest.raises(ConfigError, match="expected replicas of both"):
        energy_difference([], [(1.0, 0.1)], n_anions=1)
