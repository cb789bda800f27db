"""Ratios of D, differences of E_a and exponents against planted ones, and how often intervals hold them."""

import numpy as np
import pytest
from scipy import stats

from simtools.analysers.counterfactuals import (
    activation_energy_difference,
    compare_counterfactual,
    counterfactuals_for_verdict,
)
from simtools.analysers.inertia_law import inertia_exponent
from simtools.analysers.replica_ratios import (
    MeanDiffusivity,
    diffusivity_ratio,
    mean_diffusivity,
    replica_diffusivities,
)
from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_EV_PER_K
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
