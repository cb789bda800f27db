"""What the workflow layer costs on real dynamics: a campaign and, at the same time, the same stages by hand.

    python benchmarks/overhead_dynamics.py [--points 100] [--seconds 10] [--output FILE.json]

The campaign runs every point through ``simtools run``, once with the inline executor and once with two local
processes. By hand means one plain Python process for each process of the campaign, which builds the cell and
calls `simtools.md.protocols.run_stages` with the same stages, seeds and checkpoints: no lease, index, record,
heartbeat, progress file or driver. Both sides run side by side, so that whatever else the machine does meets
both. Analysis and report are left out: who runs points by hand has to analyse them too.

Counted is processor time of all processes of a side, from their start to their end. It has two answers. The
totals of the two sides differ by the overhead and by noise, which the scatter of the points gives. Free of
that noise is what lies beside the dynamics: the total less what the integrating thread spends in `run_stages`
outside the calls back into the workflow layer (progress, stop, fence).

The workflow layer writes its progress twice a second and its heartbeat every 5 s of the clock: on a machine
so busy that a point takes many times its processor time, its share is that many times larger. The start of
Python, once for each process, weighs the more the fewer points there are.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from simtools.core.provenance import collect_provenance
from simtools.md.protocols import run_stages
from workflows import campaign, cli, executors, point
from workflows.point import PointJob
from workflows.recipe import read_recipe
from workflows.statepoints import PointSpec

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 0.03
CHECKPOINT_PS = 2.0
_METER = "SIMTOOLS_OVERHEAD_METER"
RECIPE = """
title = "points for their cost"
[structure]
prototype = "fcc"
formula = "Ar"
supercell = [3, 3, 3]
[potential]
name = "lennard_jones"
[md]
temperatures_K = {temperatures_K}
replicas = {replicas}
lattice_parameter_A = 5.8
timestep_fs = 5
equilibration_ps = 1
production_ps = {production_ps}
sample_every_fs = 100
checkpoint_every_ps = {checkpoint_ps}
[analysis]
mobile = "Ar"
"""


class _Timed:
    """A function whose time in the calling thread is added to ``spent[0]``; other attributes are its own."""

    def __init__(self, function, spent):
        self._function, self._spent = function, spent

    def __call__(self, *arguments):
        began = time.thread_time()
        try:
            return self._function(*arguments)
        finally:
            self._spent[0] += time.thread_time() - began

    def __getattr__(self, name):
        return getattr(self._function, name)


def metered_stages(atoms, calculator, stages, directory, **options):
    """Call `run_stages`; append the processor time of the dynamics alone, s, to the file of the meter."""
    spent = [0.0]
    for name in ("progress", "should_stop", "fence"):
        if options.get(name) is not None:
            options[name] = _Timed(options[name], spent)
    began = time.thread_time()
    outcome = run_stages(atoms, calculator, stages, directory, **options)
    with open(os.environ[_METER], "a", encoding="utf-8") as stream:
        stream.write(f"{time.thread_time() - began - spent[0]!r}\n")
    return outcome


def metered_worker(job):
    """Run a point in a local worker, with the meter."""
    point.run_stages = metered_stages
    return _RUN_IN_WORKER(job)


_RUN_IN_WORKER = executors._run_in_worker


def run_campaign(arguments):
    """Be ``simtools run`` without analysis and report."""
    campaign.collect = lambda finished: None
    point.run_stages = metered_stages
    executors._run_in_worker = metered_worker
    return cli.main(["run", *arguments, "-q"])


def run_by_hand(folder, specs):
    """Run the points of a list of specifications one after the other."""
    for record in json.loads(Path(specs).read_text(encoding="utf-8")):
        job = PointJob(folder, PointSpec.from_dict(record), CHECKPOINT_PS)
        atoms, forces = point._system(job)
        metered_stages(
            atoms,
            forces.calculator(),
            point._stages(job.spec, CHECKPOINT_PS),
            job.directory,
            info=point._trajectory_info(job, atoms),
        )
    return 0


def start(meter, role, *arguments):
    """Start this file in another process as a campaign or by hand."""
    return subprocess.Popen(
        [sys.executable, __file__, "--role", role, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, _METER: str(meter), "PYTHONPATH": str(ROOT), **executors_threads()},
        stdout=subprocess.DEVNULL,
    )


def executors_threads():
    """Return the variables that give every process one compute thread, as workers have it."""
    return dict.fromkeys(executors.THREAD_VARIABLES, "1")


def processor_s(process):
    """Wait for a process; return its processor time and that of its children, s."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(process.args)}: exit status {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def side_by_side(folder, recipe, n_workers, executor):
    """Return {total, dynamics of every point, s} of the campaign and by hand."""
    folder.mkdir()
    with campaign.prepare(read_recipe(recipe), folder / "plan") as planned:
        records = [job.spec.to_dict() for job, _ in planned.points()]
    meters = [folder / "campaign.txt", folder / "hand.txt"]
    more = ["--workers", n_workers] if executor == "local" else []
    begun = [[start(meters[0], "campaign", recipe, "-o", folder / "run", "--executor", executor, *more)], []]
    for k in range(n_workers):
        specs = folder / f"specs{k}.json"
        specs.write_text(json.dumps(records[k::n_workers]), encoding="utf-8")
        begun[1].append(start(meters[1], "hand", folder / f"hand{k}", specs))
    found = []
    for processes, meter in zip(begun, meters, strict=True):
        total = sum(processor_s(process) for process in processes)
        found.append((total, np.array([float(line) for line in meter.read_text().split()])))
        if len(found[-1][1]) != len(records):
            sys.exit(f"{meter}: expected {len(records)} points, got {len(found[-1][1])}")
    return found


def compare(found):
    """Return the row of one way of running the points."""
    (total, dynamics), (hand_total, hand_dynamics) = found
    n_points = len(dynamics)
    noise = math.sqrt(n_points * (dynamics.var(ddof=1) + hand_dynamics.var(ddof=1)))
    beside, hand_beside = total - dynamics.sum(), hand_total - hand_dynamics.sum()
    return {
        "points": n_points,
        "by_hand_per_point_s": round(float(hand_dynamics.mean()), 3),
        "scatter_of_points": round(float(hand_dynamics.std(ddof=1) / hand_dynamics.mean()), 4),
        "campaign_total_s": round(total, 2),
        "by_hand_total_s": round(hand_total, 2),
        "share_of_totals": round(total / hand_total - 1, 5),
        "share_of_totals_stderr": round(noise / hand_total, 5),
        "campaign_beside_dynamics_s": round(beside, 3),
        "by_hand_beside_dynamics_s": round(hand_beside, 3),
        "overhead_per_point_s": round((beside - hand_beside) / n_points, 4),
        "share_beside_dynamics": round((beside - hand_beside) / float(hand_dynamics.sum()), 5),
    }


def write_recipe(path, n_points, production_ps):
    """Write a recipe of `n_points` points, two replicas each (one if the number is odd)."""
    replicas = 1 if n_points % 2 else 2
    text = RECIPE.format(
        temperatures_K=[60 + k for k in range(n_points // replicas)],
        replicas=replicas,
        production_ps=production_ps,
        checkpoint_ps=CHECKPOINT_PS,
    )
    path.write_text(text, encoding="utf-8")
    return path


def length_of(seconds, folder):
    """Return how many ps of a point take `seconds` of processor time, measured by hand."""
    trial_ps = 20.0
    found = side_by_side(folder / "trial", write_recipe(folder / "trial.toml", 1, trial_ps), 1, "inline")
    return max(trial_ps, round(trial_ps * seconds / float(found[1][1][0]), 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100, help="of the campaign, for each executor")
    parser.add_argument("--seconds", type=float, default=10.0, help="processor time of each point")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        production_ps = length_of(options.seconds, folder)
        recipe = write_recipe(folder / "points.toml", options.points, production_ps)
        rows = {
            executor: compare(side_by_side(folder / executor, recipe, n_workers, executor))
            for executor, n_workers in (("inline", 1), ("local", 2))
        }
    print(json.dumps(rows, indent=1))
    if options.output:
        report = {"production_ps": production_ps, **rows, "provenance": collect_provenance()}
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if all(row["share_beside_dynamics"] < LIMIT for row in rows.values()) else 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--role"]:
        sys.exit(run_campaign(sys.argv[3:]) if sys.argv[2] == "campaign" else run_by_hand(*sys.argv[3:]))
    main()
