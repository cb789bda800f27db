"""What the workflow layer costs beside the dynamics: a campaign of points that only sleep.

    python benchmarks/overhead.py [--points 100] [--seconds 10] [--executor inline] [--output FILE.json]

The dynamics of every point are replaced by a sleep of `--seconds`; everything else is real: the folder,
the lease with its heartbeat, the log, the progress file, the index, the record, the driver's bookkeeping.
Analysis and report are left out: who runs points by hand has to analyse them too. The overhead is the time
of the campaign less that of the sleeps, by the clock (inline), and the processor time of all processes,
which other work on the machine hardly changes. With ``--executor local`` two workers sleep, and their start
is in the processor time. Real dynamics, side by side with the same stages by hand: overhead_dynamics.py.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from ase import Atoms

from simtools.core.provenance import collect_provenance
from workflows import campaign, executors, point
from workflows.executors import InlineExecutor, LocalExecutor, StopRequest
from workflows.progress import progress_display
from workflows.recipe import read_recipe

LIMIT = 0.03
POINT_S = 10.0
_ROWS = 100
_SECONDS = "SIMTOOLS_OVERHEAD_SECONDS"
RECIPE = """
title = "points that sleep"
[structure]
prototype = "fcc"
formula = "Ar"
supercell = [2, 2, 2]
[potential]
name = "lennard_jones"
[md]
temperatures_K = [100, 110, 120, 130, 140, 150, 160, 170, 180, 190]
replicas = {replicas}
lattice_parameter_A = 5.8
timestep_fs = 5
equilibration_ps = 1
production_ps = 6
sample_every_fs = 100
[analysis]
mobile = "Ar"
"""


def sleeping(seconds, slept):
    """Return a stand-in for `run_stages` that sleeps, and adds the time it really took to ``slept[0]``."""
    value = {"value": 100.0, "stderr": 1.0}
    last = {"conserved_drift_eV_per_atom_per_ns": 0.0}

    def run_stages(atoms, calculator, stages, directory, *, progress, should_stop, fence, **options):
        began = time.perf_counter()
        for step in range(_ROWS):
            time.sleep(seconds / _ROWS)
            progress(step + 1, _ROWS, 100.0)
            should_stop()
        slept[0] += time.perf_counter() - began
        fence()
        return {
            "stages": [last],
            "temperature_K": value,
            "volume_A3": value,
            "wall_s": seconds,
            "n_steps": _ROWS,
        }

    return run_stages


def put_to_sleep(seconds, slept):
    """Replace the dynamics in this process."""
    point.run_stages = sleeping(seconds, slept)
    point.load_final_atoms = lambda directory: Atoms("Ar")
    point._engine = lambda *arguments, **options: {}


def sleep_in_worker(job):
    """Run a point in a local worker, asleep."""
    put_to_sleep(float(os.environ[_SECONDS]), [0.0])
    return _RUN_IN_WORKER(job)


_RUN_IN_WORKER = executors._run_in_worker


def processor_s():
    """Return the processor time of this process and of its children that have ended, s."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run(n_points, seconds, executor):
    """Return the campaign's time and its processor time, and the time slept here, s."""
    slept = [0.0]
    put_to_sleep(seconds, slept)
    os.environ[_SECONDS] = str(seconds)
    executors._run_in_worker = sleep_in_worker
    campaign.collect = lambda finished: None
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "sleep.toml"
        recipe.write_text(RECIPE.format(replicas=max(1, n_points // 10)), encoding="utf-8")
        with progress_display(quiet=True) as display:
            began, cpu = time.perf_counter(), processor_s()
            result = campaign.run_campaign(
                read_recipe(recipe),
                Path(folder) / "run",
                executor=executor,
                stop=StopRequest(),
                display=display,
            )
            took, cpu = time.perf_counter() - began, processor_s() - cpu
    if result.status != "done":
        sys.exit(f"the campaign ended as {result.status}")
    return result.n_points, took, cpu, slept[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=POINT_S, help="length of each point")
    parser.add_argument("--executor", choices=("inline", "local"), default="inline")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    run(10, 0.01, InlineExecutor())  # compiles, imports
    local = options.executor == "local"
    executor = LocalExecutor(2) if local else InlineExecutor()
    n_points, took, cpu, slept = run(options.points, options.seconds, executor)
    row = {
        "executor": options.executor,
        "points": n_points,
        "seconds": options.seconds,
        "campaign_s": round(took, 3),
        "overhead_per_point_s": None if local else round((took - slept) / n_points, 4),
        "processor_s": round(cpu, 3),
        "processor_per_point_s": round(cpu / n_points, 4),
        "share_of_10_s_points": round(cpu / n_points / POINT_S, 5),
    }
    print(row)
    if options.output:
        report = {**row, "provenance": collect_provenance()}
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if row["share_of_10_s_points"] < LIMIT else 1)


if __name__ == "__main__":
    main()
