"""Whether the tests of rotation-hop coupling hold their level, and find what was planted.

Rotations and hops of 27 rotors in 600 ps (about 950 of each) with known coupling, or none, many times over
with different seeds: how often each test says yes at 5 %, whether intervals hold what was planted, and the
verdict. Seeds are case * 100000 + repeat. Resumes: what the output file holds is not done again.

Writes benchmarks/results/paddlewheel_calibration.json.
"""

import argparse
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np

from simtools.analysers.carry import carry_test
from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.event_correlogram import event_correlogram
from simtools.analysers.hazard import hazard_ratio
from simtools.analysers.verdict import reach_verdict, typical_angle_deg
from simtools.core.provenance import library_versions
from simtools.plots import plot_false_positives
from simtools.testing.coupled import planted_events
from simtools.testing.fleeing import fleeing_dipoles

RADIUS_A, SHELLS_A, N_SHIFTS = 2.2, (0.0, 2.2, 3.6), 200
CASES = {
    "independent": {},
    "fast and slow regions": {"heterogeneity": 0.9},
    "restless and quiet rotors": {"bursts": 0.9},
    "vacancy triggers both": {"vacancy_factor": 10.0},
    "5 % coupled": {"coupled_fraction": 0.05},
    "10 % coupled": {"coupled_fraction": 0.10},
    "10 % coupled and carried": {"coupled_fraction": 0.10, "carry": True},
    "10 % coupled, vacancy": {"coupled_fraction": 0.10, "vacancy_factor": 10.0},
    "slow drift": {"drift": 0.8},
    "fast rotors": {"rotation_rate_per_ps": 1.0},
    "dipoles leave vacancies": {"flights": 0.2},
    "10 % swept by dipoles": {"flights": 0.1, "carried": 1.0},
}
NULL_CASES = (*tuple(CASES)[:4], "slow drift", "fast rotors")
DIPOLE_CASES = {"dipoles leave vacancies": "dipole_null_repeats", "10 % swept by dipoles": "power_repeats"}
TESTS = (
    "band",
    "band, common shift",
    "excess",
    "excess, common shift",
    "lead",
    "crude hazard",
    "adjusted hazard",
    "reverse hazard",
    "carry",
)

CONFOUNDED_TESTS = ("lead", "adjusted hazard", "reverse hazard", "carry")


def one_repeat(case, repeat):
    """Return the outcome of every test for one seed."""
    options = CASES[case]
    seed = list(CASES).index(case) * 100_000 + repeat
    planted = planted_events(seed=seed, **options)
    events = RotorHops(**planted.events)
    correlogram = event_correlogram(events, distance_edges_A=SHELLS_A, n_shifts=N_SHIFTS, seed=seed)
    crude = hazard_ratio(events, radius_A=RADIUS_A)
    vacancies = {"vacancies": [planted.vacancy]}
    adjusted = hazard_ratio(events, radius_A=RADIUS_A, covariates=vacancies)
    reverse = hazard_ratio(events, radius_A=RADIUS_A, covariates=vacancies, direction="hop to rotation")
    carry = carry_test(events, radius_A=RADIUS_A, n_shifts=N_SHIFTS, seed=seed)
    verdict = reach_verdict(
        correlogram,
        crude=crude,
        adjusted=adjusted,
        reverse=reverse,
        carry=carry,
        coupled_angle_deg=typical_angle_deg([events], radius_A=RADIUS_A, window_ps=1.0),
    )
    coupled = planted.n_triggered / max(1, correlogram.n_near_hops)
    carried = 1.0 if options.get("carry") else 0.0
    p_values = (
        correlogram.p_value,
        correlogram.common_p_value,
        correlogram.excess_p_value,
        correlogram.excess_common_p_value,
        correlogram.lead_p_value,
        crude.p_value,
        adjusted.p_value,
        reverse.p_value,
        carry.p_value,
    )
    return {
        "p": dict(zip(TESTS, p_values, strict=True)),
        "hazard_ratio": adjusted.ratio.value,
        "planted_hazard_ratio": planted.hazard_ratio,
        "hazard_ratio_held": holds(adjusted.ratio, planted.hazard_ratio),
        "coupled_fraction": correlogram.coupled_fraction.value,
        "coupled_fraction_held": holds(correlogram.coupled_fraction, coupled),
        "limit_held": coupled <= correlogram.coupled_fraction_upper_limit,
        "peak_lag_ps": correlogram.peak_lag_ps,
        "carried_held": None if carry.carried is None else holds(carry.carried, carried),
        "carried": None if carry.carried is None else carry.carried.value,
        "verdict": verdict.verdict,
    }


def one_dipole(case, repeat):
    """Return the outcome of the vector test for dipoles, by shifts alone and beyond clearing the way."""
    seed = list(CASES).index(case) * 100_000 + repeat
    events = RotorHops(**fleeing_dipoles(seed=seed, **CASES[case]))
    carry = carry_test(events, radius_A=RADIUS_A, n_shifts=N_SHIFTS, seed=seed)
    truth, found = CASES[case].get("carried", 0.0), carry.flight_carried
    return {
        "p": {"carry, shifts alone": carry.p_value, "carry, polar": carry.flight_p_value},
        "shifts_alone": None if carry.carried is None else carry.carried.value,
        "carried": None if found is None else found.value,
        "carried_held": None if found is None else holds(found, truth),
    }


def summarise_dipoles(case, rows):
    """Return shares and means over repeats of `one_dipole`."""

    def mean(key):
        values = [row[key] for row in rows if row[key] is not None]
        return float(np.mean(values)) if values else None

    return {
        "case": case,
        "repeats": len(rows),
        "positive": {test: float(np.mean([row["p"][test] <= 0.05 for row in rows])) for test in rows[0]["p"]},
        "carried": mean("carried"),
        "carried_coverage": mean("carried_held"),
        "carried_shifts_alone": mean("shifts_alone"),
    }


def holds(estimate, truth):
    """Return whether an interval holds the truth."""
    return bool(estimate.ci95[0] <= truth <= estimate.ci95[1])


def summarise(case, rows):
    """Return shares over repeats."""

    def mean(key):
        values = [row[key] for row in rows if row[key] is not None]
        return float(np.mean(values)) if values else None

    lag = 0.5
    return {
        "case": case,
        "repeats": len(rows),
        "positive": {test: float(np.mean([row["p"][test] <= 0.05 for row in rows])) for test in TESTS},
        "planted_hazard_ratio": mean("planted_hazard_ratio"),
        "median_hazard_ratio": float(np.median([row["hazard_ratio"] for row in rows])),
        "hazard_ratio_coverage": mean("hazard_ratio_held"),
        "coupled_fraction": mean("coupled_fraction"),
        "coupled_fraction_coverage": mean("coupled_fraction_held"),
        "limit_coverage": mean("limit_held"),
        "lag_within_0.2_ps": float(np.mean([abs(row["peak_lag_ps"] - lag) <= 0.2 for row in rows])),
        "carried": mean("carried"),
        "carried_coverage": mean("carried_held"),
        "verdicts": dict(Counter(row["verdict"] for row in rows).most_common()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--null-repeats", type=int, default=2000)
    parser.add_argument("--power-repeats", type=int, default=500)
    parser.add_argument("--dipole-null-repeats", type=int, default=2000)
    parser.add_argument("--case", action="append", choices=list(CASES), help="only these")
    parser.add_argument("--figure", type=Path, help="draw false positives into this file")
    parser.add_argument("--rows", type=Path, help="keep every repeat in this folder, and resume from it")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/paddlewheel_calibration.json")
    )
    arguments = parser.parse_args()
    summaries = []
    for case in arguments.case or CASES:
        null = "null_repeats" if case in NULL_CASES else "power_repeats"
        wanted = getattr(arguments, DIPOLE_CASES.get(case, null))
        repeat_once, summary = (
            (one_dipole, summarise_dipoles) if case in DIPOLE_CASES else (one_repeat, summarise)
        )
        rows, kept = [], None
        if arguments.rows is not None:
            arguments.rows.mkdir(parents=True, exist_ok=True)
            kept = arguments.rows / f"{list(CASES).index(case)}.jsonl"
            if kept.exists():
                rows = [json.loads(line) for line in kept.read_text().splitlines()][:wanted]
        start = time.perf_counter()
        for repeat in range(len(rows), wanted):
            rows.append(repeat_once(case, repeat))
            if kept is not None:
                with kept.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
        summaries.append(summary(case, rows))
        print(f"{case}: {time.perf_counter() - start:.0f} s", json.dumps(summaries[-1]), flush=True)
    report = {
        "seeds": "100000 times the number of the case, plus the repeat",
        "n_shifts": N_SHIFTS,
        "versions": library_versions(),
        "cases": summaries,
    }
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if arguments.figure is not None:
        draw(summaries, arguments.figure)


def draw(summaries, path):
    """Write the figure of false positives: where a vacancy triggers both, only tests that allow for that."""
    shown = {}
    for item in summaries:
        if item["case"] in NULL_CASES:
            confounded = item["case"] == "vacancy triggers both"
            shown[item["case"]] = {
                test: share
                for test, share in item["positive"].items()
                if not confounded or test in CONFOUNDED_TESTS
            }
    plot_false_positives(shown, TESTS).figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
