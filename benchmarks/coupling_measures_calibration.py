"""Whether every measure of rotation-hop coupling holds its level where there is no coupling.

Eight rotors and sixteen ions, frame by frame, for 100 ps (about 240 rotations and 210 hops), that know
nothing of each other: how often each measure has p of 0.05 or less. Seeds are 100000 times the number of the
case plus the repeat. Prints a table.

Writes benchmarks/results/coupling_measures_calibration.json.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from simtools.analysers.carry import carry_test
from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.coupling_series import conditional_displacement, information_flow, rotor_series
from simtools.analysers.coupling_velocities import velocity_coherence
from simtools.analysers.event_correlogram import event_correlogram
from simtools.analysers.hazard import hazard_ratio
from simtools.analysers.hop_geometry import bottleneck_at_hops
from simtools.analysers.joint_correlation import joint_correlation
from simtools.analysers.molecules import find_molecules, without_ligands
from simtools.analysers.orientations import orientations_of
from simtools.analysers.tilt_at_hops import tilt_at_hops
from simtools.core.provenance import library_versions
from simtools.testing.uncoupled import uncoupled_motion

CASES = {
    "independent": {},
    "fast and slow regions": {"heterogeneity": 0.8},
    "slow drift": {"drift": 0.8},
    "both": {"heterogeneity": 0.8, "drift": 0.8},
    "vacancy triggers both": {"vacancy_factor": 6.0},
    "20 % of hops turn their rotor": {"follow": 0.2},
}
NULL_CASES = tuple(CASES)[:4]
ADJUSTED = ("adjusted hazard", "lead", "carry")
N_SHIFTS, N_REPLICAS = 99, 1
NEAR_A, REACH_A = 2.2, 2.9


def one_repeat(case, repeat, n_replicas=N_REPLICAS):
    """Return the p of every measure for one seed."""
    seed = list(CASES).index(case) * 100_000 + repeat
    hosts, rotors, runs, vacant, whole = [], [], [], [], []
    for replica in range(n_replicas):
        motion = uncoupled_motion(seed=[seed, replica], **CASES[case])
        molecules = find_molecules(motion.trajectory, centre="O", ligands="H")
        whole.append(motion.trajectory)
        hosts.append(without_ligands(motion.trajectory, molecules))
        rotors.append(orientations_of(molecules))
        runs.append(RotorHops(**motion.events))
        vacant.append(motion.vacant)
    draws = {"n_shifts": N_SHIFTS, "seed": seed}
    steps = [
        rotor_series(turned, host, mobile="Li", radius_A=REACH_A, step_ps=0.5)
        for turned, host in zip(rotors, hosts, strict=True)
    ]
    ions = {"mobile": "Li", "radius_A": REACH_A}
    events = {"radius_A": NEAR_A}
    correlogram = event_correlogram(runs, distance_edges_A=(0.0, NEAR_A), longest_lag_ps=1.0, **draws)
    conditional = conditional_displacement(steps, **draws)
    information = information_flow(runs, **events, bin_ps=0.5, **draws)
    coherence = velocity_coherence(rotors, hosts, **ions, **draws)
    joint = joint_correlation(rotors, hosts, **ions, **draws)
    bottleneck = bottleneck_at_hops(whole, runs, mobile="Li", longest_lag_ps=1.0, **draws)
    return {
        "excess": correlogram.excess_p_value,
        "lead": correlogram.lead_p_value,
        "crude hazard": hazard_ratio(runs, **events).p_value,
        "adjusted hazard": hazard_ratio(runs, **events, covariates={"vacancies": vacant}).p_value,
        "carry": carry_test(runs, **events, **draws).p_value,
        "displacement, large": conditional.large_p_value,
        "displacement, small": conditional.small_p_value,
        "mutual information": conditional.information_p_value,
        "transfer, to hop": information.rotation_to_hop_p_value,
        "transfer, to rotation": information.hop_to_rotation_p_value,
        "coherence": coherence.p_value,
        "velocities": coherence.correlation_p_value,
        "joint, mean": joint.p_value,
        "joint, anywhere": joint.anywhere_p_value,
        "tilt at hops": tilt_at_hops(rotors, runs, **events, longest_lag_ps=1.0, **draws).p_value,
        "bottleneck": bottleneck.p_value,
    }


def shares(rows):
    """Return the share of repeats with p of 0.05 or less, measure by measure."""
    return {name: float(np.mean([row[name] <= 0.05 for row in rows])) for name in rows[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--case", action="append", choices=list(CASES), help="only these")
    parser.add_argument("--rows", type=Path, help="keep every repeat in this folder, and resume from it")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/coupling_measures_calibration.json")
    )
    arguments = parser.parse_args()
    found = {}
    for case in arguments.case or CASES:
        rows, kept = [], None
        if arguments.rows is not None:
            arguments.rows.mkdir(parents=True, exist_ok=True)
            kept = arguments.rows / f"{list(CASES).index(case)}.jsonl"
            if kept.exists():
                rows = [json.loads(line) for line in kept.read_text().splitlines()][: arguments.repeats]
        for repeat in range(len(rows), arguments.repeats):
            rows.append(one_repeat(case, repeat))
            if kept is not None:
                with kept.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
        found[case] = {"repeats": len(rows), "positive": shares(rows)}
    width = max(map(len, next(iter(found.values()))["positive"]))
    print(" " * width, *(f"{case:>22}" for case in found))
    for name in next(iter(found.values()))["positive"]:
        print(f"{name:{width}}", *(f"{100 * item['positive'][name]:22.1f}" for item in found.values()))
    report = {
        "seeds": "100000 times the number of the case, plus the repeat",
        "n_shifts": N_SHIFTS,
        "n_replicas": N_REPLICAS,
        "versions": library_versions(),
        "cases": found,
    }
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
