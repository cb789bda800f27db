"""What the workflow layer costs beside the dynamics: a campaign of points that only sleep.

    python benchmarks/overhead.py [--points 100] [--seconds 10] [--output FILE.json]

The dynamics of every point are replaced by a sleep of `--seconds`; everything else is real: the folder,
the lease with its heartbeat, the log, the index, the record, the driver's bookkeeping. Analysis and
report are left out: who runs points by hand has to analyse them too. The overhead is the time of the
campaign less that of the sleeps, by the clock, and the processor time of this process, which other work
on the machine hardly changes. The start of a worker process, once per worker and not per point, is told
beside it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ase import Atoms

from simtools.core.provenance import collect_provenance
from workflows import campaign, point
from workflows.executors import InlineExecutor, StopRequest
from workflows.progress import progress_display
from workflows.recipe import read_recipe

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 0.03
POINT_S = 10.0
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
        for step in range(10):
            time.sleep(seconds / 10)
            progress(step + 1, 10, 100.0)
        slept[0] += time.perf_counter() - began
        fence()
        return {
            "stages": [last],
            "temperature_K": value,
            "volume_A3": value,
            "wall_s": seconds,
            "n_steps": 10,
        }

    return run_stages


def run(n_points, seconds):
    """Return the campaign's time and its processor time, and the time slept, s."""
    slept = [0.0]
    point.run_stages = sleeping(seconds, slept)
    point.load_final_atoms = lambda directory: Atoms("Ar")
    point._engine = lambda *arguments, **options: {}
    campaign.collect = lambda finished: None
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "sleep.toml"
        recipe.write_text(RECIPE.format(replicas=max(1, n_points // 10)), encoding="utf-8")
        with progress_display(quiet=True) as display:
            began, cpu = time.perf_counter(), time.process_time()
            result = campaign.run_campaign(
                read_recipe(recipe),
                Path(folder) / "run",
                executor=InlineExecutor(),
                stop=StopRequest(),
                display=display,
            )
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
    if result.status != "done":
        sys.exit(f"the campaign ended as {result.status}")
    return result.n_points, took, cpu, slept[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=POINT_S, help="length of each point")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    run(10, 0.01)  # compiles, imports
    n_points, took, cpu, slept = run(options.points, options.seconds)
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import workflows.executors"], cwd=ROOT, check=True)
    row = {
        "points": n_points,
        "seconds": options.seconds,
        "campaign_s": round(took, 3),
        "overhead_per_point_s": round((took - slept) / n_points, 4),
        "processor_per_point_s": round(cpu / n_points, 4),
        "share_of_10_s_points": round((took - slept) / n_points / POINT_S, 5),
        "start_of_a_worker_s": round(time.perf_counter() - began, 2),
    }
    print(row)
    if options.output:
        report = {**row, "provenance": collect_provenance()}
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if row["share_of_10_s_points"] < LIMIT else 1)


if __name__ == "__main__":
    main()
