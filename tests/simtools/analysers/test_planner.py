"""Runs that were planned reach about the error that was asked for."""

import numpy as np
import pytest

from simtools.analysers.planner import QUANTITIES, plan_from_guess, plan_from_pilot
from simtools.analysers.transport import analyse_transport
from simtools.core.errors import ConfigError
from simtools.testing import lattice_walkers

DIFFUSIVITY = 0.2 / 6 * 1e-4
GUESS = {
    "diffusivity_cm2_per_s": DIFFUSIVITY,
    "n_ions": 32,
    "hop_length_A": 1.0,
    "frame_interval_ps": 1.0,
}


def run(plan, seed):
    return analyse_transport(
        [
            lattice_walkers(int(plan.duration_ps) + 1, 32, seed=1000 * seed + r, temperature_K=700)
            for r in range(plan.n_replicas)
        ],
        species="Li",
        hop_length_A=1.0,
    )


@pytest.mark.parametrize("quantity", ["haven_ratio", "tracer_diffusivity"])
def test_a_guess_leads_to_the_error_asked_for(quantity):
    plan = plan_from_guess(**GUESS, quantity=quantity, relative_stderr=0.12)
    name = "haven_ratio" if quantity == "haven_ratio" else "tracer_diffusivity_cm2_per_s"
    logs = [np.log(getattr(run(plan, seed), name).value) for seed in range(15)]
    assert 0.55 < np.std(logs, ddof=1) / plan.expected_relative_stderr < 1.6


def test_a_pilot_leads_to_the_error_asked_for():
    pilot_plan = plan_from_guess(**GUESS, relative_stderr=0.2)
    pilot = run(pilot_plan, 3)
    plan = plan_from_pilot(pilot, pilot_ps=pilot_plan.total_ps, relative_stderr=0.08)
    reached = run(plan, 4).haven_ratio
    assert reached.stderr / reached.value == pytest.approx(0.08, rel=0.5)
    same = plan_from_pilot(
        pilot,
        pilot_ps=pilot_plan.total_ps,
        relative_stderr=pilot.haven_ratio.stderr / pilot.haven_ratio.value,
    )
    assert same.total_ps == pytest.approx(pilot_plan.total_ps, rel=0.25)


def test_the_sentence_says_it():
    plan = plan_from_guess(**GUESS, relative_stderr=0.1, temperature_K=700)
    assert str(plan).startswith(f"for 10 % on H_R at 700 K run about {plan.n_replicas} replicas of ")
    assert plan.n_replicas >= 4
    assert plan.duration_ps >= plan.shortest_ps


def test_replicas_that_must_not_be_shorter_say_what_they_give():
    rough, fine = (plan_from_guess(**GUESS, relative_stderr=error) for error in (0.5, 0.02))
    assert rough.duration_ps == rough.shortest_ps
    assert str(rough).endswith(
        f"; that gives {100 * rough.expected_relative_stderr:.2g} %, as shorter replicas would hold fewer "
        "than 12 fit windows"
    )
    assert "that gives" not in str(fine)


def test_half_the_error_costs_four_times_the_time():
    one, two = (plan_from_guess(**GUESS, relative_stderr=error) for error in (0.02, 0.01))
    assert two.total_ps == pytest.approx(4 * one.total_ps, rel=0.02)


def test_grouped_ions_need_more():
    alone, grouped = (
        plan_from_guess(**GUESS, relative_stderr=0.02, quantity="tracer_diffusivity", haven_ratio=h)
        for h in (1.0, 0.25)
    )
    assert grouped.total_ps > 3 * alone.total_ps


def test_bad_requests_are_refused():
    with pytest.raises(ConfigError, match=", ".join(QUANTITIES)):
        plan_from_guess(**GUESS, quantity="viscosity")
    with pytest.raises(ConfigError, match="relative_stderr must be positive"):
        plan_from_guess(**GUESS, relative_stderr=0.0)
    still = analyse_transport(
        [lattice_walkers(200, 16, seed=1, hops_per_frame=0.0, rattle_A=0.1, temperature_K=700)],
        species="Li",
        hop_length_A=1.0,
    )
    with pytest.raises(ConfigError, match="only as a limit"):
        plan_from_pilot(still, pilot_ps=200.0)
