"""Methods side by side: silent where all is well, and the right one speaks where something was planted."""

from dataclasses import replace

import numpy as np
import pytest

from simtools.analysers.green_kubo import analyse_green_kubo
from simtools.analysers.method_agreement import MethodComparison, compare_methods
from simtools.analysers.transport import analyse_transport
from simtools.core.errors import ConfigError
from simtools.core.results import Estimate
from simtools.testing import correlated_species, langevin_current, lattice_walkers


def walkers(seed, *, n_replicas=4, n_frames=600, **options):
    seeds = np.random.SeedSequence(seed).spawn(n_replicas)
    return [lattice_walkers(n_frames, 32, seed=one, temperature_K=700, **options) for one in seeds]


def compared(trajectories, **options):
    transport = analyse_transport(trajectories, species="Li", hop_length_A=1.0)
    return transport, compare_methods(trajectories, transport, **options)


def test_independent_walkers_of_steady_rate_give_no_disagreement():
    alarms = [compared(walkers(seed))[1].disagreements for seed in range(12)]
    assert sum(map(bool, alarms)) <= 2
    transport, comparison = compared(walkers(0))
    assert comparison.agree
    rows = comparison.of("tracer_diffusivity_cm2_per_s")
    assert list(rows) == [
        "result", "ordinary least squares", "first half", "second half", "scatter of replicas",
        "independent ions", "block bootstrap",
    ]  # fmt: skip
    assert rows["result"] == transport.tracer_diffusivity_cm2_per_s
    for method in ("scatter of replicas", "independent ions", "block bootstrap"):
        assert rows[method].value == pytest.approx(rows["result"].value)
    for method in ("independent ions", "block bootstrap"):
        assert 0.4 < rows[method].stderr / rows["result"].stderr < 2.5
    assert MethodComparison.from_json(comparison.to_json()).to_json() == comparison.to_json()


def test_the_bootstrap_keeps_the_covariance_of_both_diffusivities():
    def correlation(group_size):
        found = []
        for seed in range(6):
            covariance = compared(walkers(seed, group_size=group_size))[1].bootstrap_log_covariance
            found.append(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))
        return np.mean(found)

    # in lock-step D_sigma is 32 D*, up to the different windows of the two fits
    assert correlation(32) > 0.4
    assert abs(correlation(1)) < 0.3
    ratio = compared(walkers(1, group_size=32))[1].of("haven_ratio")["block bootstrap"]
    assert ratio.ci95[0] < 1 / 32 < ratio.ci95[1]


def test_ions_in_rigid_groups_contradict_the_error_for_independent_ions():
    for seed in range(3):
        _, comparison = compared(walkers(seed, n_frames=1000, group_size=16))
        (sentence,) = [text for text in comparison.disagreements if "independent" in text]
        assert sentence.startswith("D*: the error for independent ions and that of the result disagree")
        rows = comparison.of("tracer_diffusivity_cm2_per_s")
        ratio = rows["independent ions"].stderr / rows["result"].stderr
        assert ratio == pytest.approx(1 / 4, rel=0.5)


def test_a_run_that_slows_down_contradicts_itself():
    slowing = []
    for item in walkers(3, n_frames=800):
        steps = np.diff(item.positions_A, axis=0)
        steps[400:] *= 0.6
        positions = np.concatenate([item.positions_A[:1], item.positions_A[0] + np.cumsum(steps, axis=0)])
        slowing.append(replace(item, positions_A=positions))
    _, comparison = compared(slowing)
    (sentence, *_) = [text for text in comparison.disagreements if text.startswith("D*: the first half")]
    assert "skip more of the start" in sentence
    rows = comparison.of("tracer_diffusivity_cm2_per_s")
    assert rows["second half"].value == pytest.approx(0.36 * rows["first half"].value, rel=0.25)


def test_green_kubo_and_einstein_helfand_are_held_against_each_other():
    trajectories = walkers(4)
    transport = analyse_transport(trajectories, species="Li", hop_length_A=1.0)
    series, _ = langevin_current(4000, seed=1, interval_ps=0.05)
    with_current = replace(
        correlated_species(20, 4, seed=1), charge_current_e_A_per_ps=series, fine_interval_ps=0.05
    )
    current = analyse_green_kubo([with_current])
    sigma = transport.ionic_conductivity_S_per_cm
    for factor, silent in ((1.0, True), (3.0, False)):
        other = replace(current, ionic_conductivity_S_per_cm=sigma.scaled(factor))
        comparison = compare_methods(trajectories, transport, green_kubo=other)
        said = [text for text in comparison.disagreements if "Green-Kubo and Einstein-Helfand" in text]
        assert (said == []) is silent
    limit = replace(transport, ionic_conductivity_S_per_cm=Estimate.limit(sigma.value / 10, method="test"))
    other = replace(current, ionic_conductivity_S_per_cm=sigma)
    (sentence,) = compare_methods(trajectories, limit, green_kubo=other).disagreements
    assert "the limit from displacements" in sentence


def test_limits_are_shown_and_other_trajectories_refused():
    still = walkers(5, hops_per_frame=0.0, rattle_A=0.1)
    transport, comparison = compared(still)
    assert comparison.agree
    assert comparison.of("tracer_diffusivity_cm2_per_s") == {"result": transport.tracer_diffusivity_cm2_per_s}
    with pytest.raises(ConfigError, match="expected the 4 trajectories with 32 Li"):
        compare_methods(still[:2], transport)
