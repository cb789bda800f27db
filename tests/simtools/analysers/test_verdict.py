"""The evidence ladder: each combination of evidence leads to the verdict that its words promise."""

from dataclasses import replace

import numpy as np
import pytest

from simtools.analysers.carry import carry_test
from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.event_correlogram import event_correlogram
from simtools.analysers.hazard import hazard_ratio
from simtools.analysers.multiple_testing import CouplingTest
from simtools.analysers.verdict import Counterfactuals, Verdict, reach_verdict, typical_angle_deg
from simtools.core.errors import ConfigError
from simtools.core.results import Estimate
from simtools.testing.coupled import planted_events


def estimate(value, low, high):
    return Estimate(value=value, stderr=(high - low) / 4, ci95=(low, high), method="test", n_eff=50.0)


@pytest.fixture(scope="module")
def carried():
    """Evidence of planted rotors that carry ions."""
    planted = planted_events(seed=3, coupled_fraction=0.12, carry=True, duration_ps=500.0)
    run = RotorHops(**planted.events)
    covariates = {"vacancies": [planted.vacancy]}
    return {
        "correlogram": event_correlogram(run, distance_edges_A=(0.0, 2.2), n_shifts=199),
        "crude": hazard_ratio(run, radius_A=2.2),
        "adjusted": hazard_ratio(run, radius_A=2.2, covariates=covariates),
        "reverse": hazard_ratio(run, radius_A=2.2, covariates=covariates, direction="hop to rotation"),
        "carry": carry_test(run, radius_A=2.2, n_shifts=199),
        "coupled_angle_deg": typical_angle_deg([run], radius_A=2.2, window_ps=1.0),
    }


def reached(evidence, **changes):
    evidence = {**evidence, **changes}
    return reach_verdict(evidence.pop("correlogram"), **evidence)


def quiet(evidence, *, limit):
    """Return the evidence of runs in which nothing goes together, with a limit on what was missed."""
    correlogram = replace(
        evidence["correlogram"],
        coupled_fraction=estimate(0.0, -limit, limit),
        coupled_fraction_upper_limit=limit,
        excess_p_value=0.6,
        excess_common_p_value=0.6,
        lead_p_value=0.5,
    )
    one = replace(evidence["crude"], p_value=0.5, ratio=estimate(1.0, 0.8, 1.2))
    return {
        **evidence,
        "correlogram": correlogram,
        "crude": one,
        "adjusted": replace(evidence["adjusted"], p_value=0.5, ratio=estimate(1.0, 0.8, 1.2)),
        "reverse": replace(evidence["reverse"], p_value=0.5, ratio=estimate(1.0, 0.8, 1.2)),
        "carry": replace(evidence["carry"], p_value=0.5, carried=None),
    }


def test_ions_carried_by_rotors_are_a_paddlewheel_until_counterfactuals_object(carried):
    alone = reached(carried)
    assert alone.verdict == "paddlewheel"
    assert not alone.confirmed
    assert "not yet tested" in alone.reason
    slower = Counterfactuals(restrained=estimate(0.5, 0.4, 0.6))
    assert reached(carried, counterfactuals=slower).confirmed
    same = Counterfactuals(restrained=estimate(1.0, 0.9, 1.1))
    assert reached(carried, counterfactuals=same).verdict == "co-triggered"
    cradle = replace(same, frozen=estimate(0.6, 0.5, 0.7))
    assert reached(carried, counterfactuals=cradle).verdict == "soft cradle"
    unclear = Counterfactuals(restrained=estimate(0.9, 0.6, 1.3))
    assert "too short to tell" in reached(carried, counterfactuals=unclear).reason
    still = Counterfactuals(restrained=Estimate.limit(0.1, method="did not move"))
    assert reached(carried, counterfactuals=still).confirmed
    short = Counterfactuals(restrained=Estimate.limit(1.4, method="did not move"))
    assert "too short to tell" in reached(carried, counterfactuals=short).reason


def test_counterfactuals_are_heard_wherever_the_ladder_ends(carried):
    same = Counterfactuals(restrained=estimate(1.0, 0.9, 1.1))
    slower = Counterfactuals(restrained=estimate(0.5, 0.4, 0.6))
    unknown = reached(carried, adjusted=None, counterfactuals=same)
    assert unknown.verdict == "co-triggered"
    assert unknown.rungs[-1]["question"] == "Do runs without large rotations agree?"
    assert unknown.rungs[-1]["answer"] == "no"
    still_open = reached(carried, adjusted=None, counterfactuals=slower)
    assert still_open.verdict == "undetermined"
    assert "yet without large rotations ions are slower" in still_open.reason


def test_a_cone_that_slows_ions_is_no_proof_where_heavy_rotors_do_not(carried):
    cone = Counterfactuals(restrained=estimate(0.5, 0.4, 0.7), inertia_exponent=estimate(-0.09, -0.22, 0.05))
    found = reached(carried, counterfactuals=cone)
    assert found.verdict == "undetermined"
    assert not found.confirmed
    assert "takes configurations away" in found.reason
    heavy = replace(cone, inertia_exponent=estimate(-0.4, -0.5, -0.3))
    assert reached(carried, counterfactuals=heavy).verdict == "paddlewheel"
    assert reached(carried, counterfactuals=heavy).confirmed
    unsettled = replace(carried["correlogram"], lead_p_value=0.4)
    found = reached(carried, correlogram=unsettled, counterfactuals=heavy)
    assert (found.verdict, found.confirmed) == ("paddlewheel", False)
    assert "which comes first is not resolved" in found.reason
    borrowed = reached(carried, counterfactuals=replace(heavy, elsewhere_K=500.0))
    assert (borrowed.verdict, borrowed.confirmed) == ("paddlewheel", False)
    assert all("at 500 K" in rung["evidence"] for rung in borrowed.rungs[-2:])


def test_heavy_rotors_that_slow_ions_leave_no_verdict_of_uncoupled(carried):
    heavy = Counterfactuals(inertia_exponent=estimate(-0.1, -0.15, -0.05))
    assert reached(quiet(carried, limit=0.03)).verdict == "uncoupled"
    found = reached(quiet(carried, limit=0.03), counterfactuals=heavy)
    assert found.verdict == "undetermined"
    assert "beside heavier rotors" in found.reason


def test_without_knowing_vacancies_nothing_is_settled(carried):
    found = reached(carried, adjusted=None)
    assert found.verdict == "undetermined"
    assert "vacancy may trigger both" in found.reason


def test_a_common_cause_and_rotors_that_follow_are_co_triggered(carried):
    explained = replace(carried["adjusted"], p_value=0.6, ratio=estimate(1.0, 0.8, 1.25), upper_limit=1.2)
    assert reached(carried, adjusted=explained).verdict == "co-triggered"
    open_question = replace(explained, ratio=estimate(2.0, 0.8, 5.0), upper_limit=4.5)
    assert reached(carried, adjusted=open_question).verdict == "undetermined"
    late = replace(carried["reverse"], p_value=1e-4, ratio=estimate(3.0, 2.0, 4.0))
    follows = reached(carried, adjusted=open_question, reverse=late)
    assert follows.verdict == "co-triggered"
    assert "follow the vacancy" in follows.reason
    behind = replace(carried["correlogram"], lead=estimate(-0.2, -0.3, -0.1), lead_p_value=1e-4)
    assert reached(carried, correlogram=behind).verdict == "co-triggered"


def test_large_turns_that_do_not_carry_are_open_and_small_ones_a_cradle(carried):
    aside = replace(carried["carry"], p_value=0.4, carried=estimate(0.0, -0.2, 0.2))
    found = reached(carried, carry=aside)
    assert found.verdict == "undetermined"
    assert "do not carry" in found.reason
    assert reached(carried, carry=aside, coupled_angle_deg=20.0).verdict == "soft cradle"
    unknown = replace(carried["carry"], carried=None)
    assert "open" in reached(carried, carry=unknown).reason


def test_polar_rotors_must_carry_more_than_by_clearing_the_way(carried):
    moved = replace(
        carried["carry"],
        flight_pairs=100,
        flight_excess=estimate(0.0, -0.1, 0.1),
        flight_p_value=0.6,
        flight_carried=estimate(0.0, -0.2, 0.2),
    )
    found = reached(carried, carry=moved)
    assert found.verdict == "undetermined"
    assert "do not carry" in found.reason
    assert "beyond dipoles that only clear the way" in found.rungs[-1]["evidence"]
    assert "turns that only clear the way" in [test["null"] for test in found.tests]
    swept = replace(moved, flight_p_value=1e-4, flight_carried=estimate(0.9, 0.7, 1.1))
    assert reached(carried, carry=swept).verdict == "paddlewheel"
    unknown = replace(moved, flight_pairs=0, flight_excess=None, flight_p_value=1.0, flight_carried=None)
    assert "open" in reached(carried, carry=unknown).reason


def test_no_coupling_is_uncoupled_only_where_little_could_be_missed(carried):
    assert reached(quiet(carried, limit=0.02)).verdict == "uncoupled"
    vague = reached(quiet(carried, limit=0.2))
    assert vague.verdict == "undetermined"
    assert vague.excluded_coupled_fraction == 0.2
    assert "up to 20 % of hops are not excluded" in vague.reason
    tilt = CouplingTest(
        name="tilt at hops",
        estimate=estimate(3.0, 2.0, 4.0),
        unit="degree",
        null_value=0.0,
        null="shifts",
        p_value=0.001,
    )
    assert reached(quiet(carried, limit=0.02), cradle=(tilt,)).verdict == "soft cradle"
    less = replace(tilt, estimate=estimate(-3.0, -4.0, -2.0))
    assert reached(quiet(carried, limit=0.02), cradle=(less,)).verdict == "uncoupled"
    assert reached(quiet(carried, limit=0.02), further=(tilt,)).verdict == "uncoupled"


def test_few_events_are_undetermined_with_an_honest_limit():
    planted = planted_events(seed=1, duration_ps=300.0, rotation_rate_per_ps=0.06, hop_rate_per_ps=1e-4)
    run = RotorHops(**planted.events)
    assert run.n_hops < 20
    correlogram = event_correlogram(run, distance_edges_A=(0.0, 2.2), n_shifts=99)
    found = reach_verdict(correlogram, crude=hazard_ratio(run, radius_A=2.2))
    assert found.verdict == "undetermined"
    assert "too few hops" in found.reason
    assert found.excluded_coupled_fraction > 2.0 / max(run.n_hops, 3)
    none = replace(
        run,
        hop_times_ps=np.zeros(0),
        hop_starts_A=np.zeros((0, 3)),
        hop_vectors_A=np.zeros((0, 3)),
    )
    nothing = event_correlogram(none, distance_edges_A=(0.0, 2.2), n_shifts=99)
    assert nothing.coupled_fraction_upper_limit == 1.0
    assert nothing.excess_p_value == 1.0
    assert reach_verdict(nothing, crude=hazard_ratio(none, radius_A=2.2)).verdict == "undetermined"


def test_every_test_has_its_q_and_the_verdict_survives_the_disk(carried):
    found = reached(carried)
    p = np.array([test["p"] for test in found.tests])
    q = np.array([test["q"] for test in found.tests])
    assert (q >= p).all()
    assert [rung["answer"] for rung in found.rungs] == ["yes", "yes", "yes", "yes", "yes", "open"]
    assert Verdict.from_json(found.to_json()).reason == found.reason
    with pytest.raises(ConfigError, match="with covariates"):
        reached(carried, adjusted=carried["crude"])


def test_the_typical_angle_is_that_of_rotations_with_hops(carried):
    assert carried["coupled_angle_deg"] == pytest.approx(90.0, abs=3.0)
    run = RotorHops(**planted_events(seed=1, duration_ps=60.0, hop_rate_per_ps=1e-6).events)
    assert typical_angle_deg([run], radius_A=2.2, window_ps=1.0) is None


def test_rotations_that_follow_hops_as_much_as_they_precede_them_are_no_paddlewheel(carried):
    unsettled = replace(carried["correlogram"], lead_p_value=0.4)
    ahead = replace(carried["adjusted"], p_value=1e-4, ratio=estimate(2.0, 1.5, 2.6))
    behind = replace(carried["reverse"], p_value=1e-4, ratio=estimate(3.0, 2.0, 4.0))
    slower = Counterfactuals(restrained=estimate(0.5, 0.4, 0.6))
    both = {"correlogram": unsettled, "adjusted": ahead, "counterfactuals": slower}
    found = reached(carried, reverse=behind, **both)
    assert (found.verdict, found.confirmed) == ("undetermined", False)
    assert "follow hops at least as much as they precede them" in found.reason
    less = replace(behind, ratio=estimate(1.7, 1.2, 2.2))
    found = reached(carried, reverse=less, **both)
    assert (found.verdict, found.confirmed) == ("paddlewheel", False)
    told = found.rungs[3]["evidence"]
    assert "rotations also follow hops: hazard ratio 1.7 (1.2 to 2.2)" in told
    assert "whose interval overlaps" in told
    unsure = replace(behind, ratio=estimate(3.0, 0.9, 9.0))
    assert reached(carried, reverse=unsure, **both).verdict == "paddlewheel"
    none = replace(behind, p_value=0.6)
    quiet_rung = reached(carried, reverse=none, **both).rungs[3]["evidence"]
    assert "follow" not in quiet_rung


def test_the_rung_of_heavy_rotors_says_what_is_left_at_the_largest_inertia(carried):
    cone = Counterfactuals(
        restrained=estimate(0.5, 0.4, 0.7),
        inertia_exponent=estimate(-0.1, -0.15, -0.05),
        heaviest_scale=64.0,
        heaviest=estimate(0.66, 0.55, 0.8),
    )
    rung = reached(carried, counterfactuals=cone).rungs[-1]
    assert rung["answer"] == "yes"
    assert "at 64 times the inertia D is 0.66 (0.55 to 0.8) of its reference" in rung["evidence"]
    bound = replace(
        cone,
        inertia_exponent=estimate(-0.1, -np.inf, -0.05),
        heaviest=Estimate.limit(0.02, method="did not move"),
    )
    rung = reached(carried, counterfactuals=bound).rungs[-1]
    assert rung["answer"] == "yes"
    assert "-0.05 or less" in rung["evidence"]
    assert "D is below 0.02 of its reference" in rung["evidence"]
    for ends, words in (((-0.15, np.inf), "-0.15 or more"), ((-np.inf, np.inf), "no interval known")):
        unsure = replace(cone, inertia_exponent=estimate(-0.1, *ends))
        rung = reached(carried, counterfactuals=unsure).rungs[-1]
        assert (rung["answer"], words in rung["evidence"]) == ("open", True)


def test_a_cone_that_is_too_wide_is_named_but_not_heard(carried):
    found = reached(carried, counterfactuals=Counterfactuals(too_wide_deg=80.0))
    assert "not yet tested" in found.reason
    assert "a cone of 80 degrees" in found.rungs[-1]["evidence"]
