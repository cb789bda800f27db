"""Recipes for a real Slurm, and what campaigns on it are asked.

Slurm looks at its limits twice a minute and sends its signal when the limit is less than 30 s and the lead
away, so with a lead of 5 s a job of one minute has 25 to 55 s. Every evaluation of the forces waits, so a
point of `SLOW` takes 115 s of wall time, hardly any of the processor's, and at least two requeues.
"""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from simtools.md.h5md import read_trajectory

ROOT = Path(__file__).resolve().parents[2]
N_POINTS = int(os.environ.get("SIMTOOLS_SLURM_POINTS", "4"))
PAUSE_S = 0.0575
SLOW = """
title = "argon that takes its time"
[structure]
prototype = "fcc"
formula = "Ar"
supercell = [2, 2, 2]
[potential]
calculator = "nep"
model = "model.txt"
formal_charges_e = {{ Ar = 0 }}
[md]
temperatures_K = [{temperatures_K}]
replicas = {replicas}
lattice_parameter_A = 5.8
timestep_fs = 5
equilibration_ps = 1
production_ps = {production_ps}
sample_every_fs = 100
checkpoint_every_ps = 0.5
[analysis]
mobile = "Ar"
[slurm]
time_limit_min = {time_limit_min}
signal_lead_s = 5
"""


def write_slow_recipe(
    folder, *, temperatures_K="40, 60", replicas=1, production_ps=9, time_limit_min=1, name="slow.toml"
):
    """Write `SLOW` and its calculator's model file; return the path."""
    (folder / "model.txt").write_text("not read\n", encoding="utf-8")
    text = SLOW.format(
        temperatures_K=temperatures_K,
        replicas=replicas,
        production_ps=production_ps,
        time_limit_min=time_limit_min,
    )
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def simtools(*arguments):
    return [sys.executable, "-m", "workflows", *map(str, arguments)]


def through_slurm(recipe, directory, *more):
    return simtools("run", recipe, "-o", directory, "--executor", "slurm", *more)


def call(command, environment, timeout=600):
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout
    )


def inline(recipe, directory, environment, *more):
    done = call(simtools("run", recipe, "-o", directory, "--executor", "inline", "-q", *more), environment)
    assert done.returncode == 0, done.stderr
    return directory


def slow(environment, pause_s=PAUSE_S):
    """Return the environment in which every evaluation of the forces of `SLOW` waits."""
    return {**environment, "SLOW_FORCES_PAUSE_S": str(pause_s)}


@contextmanager
def driver(command, environment, log):
    """Start a driver in the background, its words in `log`; whatever happens, it is dead afterwards."""
    with open(log, "w", encoding="utf-8") as stream:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=stream, stderr=stream)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def points_of(directory):
    return sorted((directory / "points").iterdir())


def log_of(point):
    return (point / "log.txt").read_text(encoding="utf-8")


def without_times(record):
    if isinstance(record, dict):
        return {name: without_times(value) for name, value in record.items() if name != "wall_s"}
    return [without_times(item) for item in record] if isinstance(record, list) else record


def assert_same_bits(expected, got):
    assert [path.name for path in points_of(expected)] == [path.name for path in points_of(got)]
    for one, other in zip(points_of(expected), points_of(got), strict=True):
        for file in ("thermo.csv", "spec.json", "inputs.json"):
            assert (one / file).read_bytes() == (other / file).read_bytes()
        outcomes = [json.loads((path / "done.json").read_text())["outcome"] for path in (one, other)]
        assert without_times(outcomes[0]) == without_times(outcomes[1])
        if (one / "trajectory").exists():
            whole, pieces = read_trajectory(one), read_trajectory(other)
            np.testing.assert_array_equal(whole.positions_A, pieces.positions_A)
            np.testing.assert_array_equal(whole.charge_current_e_A_per_ps, pieces.charge_current_e_A_per_ps)
    summaries = [json.loads((path / "summary.json").read_text()) for path in (expected, got)]
    assert summaries[0]["transport"] == summaries[1]["transport"]


def requeues(folder):
    """Return {array task: how often Slurm requeued it}, from the controller's log."""
    found = re.findall(r"Requeuing JobId=(\d+_\d+)", (folder / "slurmctld.log").read_text())
    return {task: found.count(task) for task in found}


def owner(point):
    """Return (process number, Slurm's number) of the job that runs a point, from its lease."""
    lease = json.loads(max((point / "lease").glob("*.lease")).read_text(encoding="utf-8"))
    return lease["pid"], lease["slurm"]["task"]


def starts(directory, point):
    """Return how often a process began or continued a point, from the index of its run directory."""
    lines = (directory / "index.log").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line.partition(" ")[2]) for line in lines]
    return sum(event["event"] == "started" and event["point"] == point.name for event in events)


def wait_for(condition, timeout_s):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(1)


def wait_for_checkpoints(directory, n_points):
    """Wait until so many points have come past their first segment of trajectory."""
    wait_for(lambda: len(list(directory.glob("points/*/trajectory/*-000001.h5md"))) == n_points, 300)


def wait_for_an_empty_queue(environment):
    wait_for(lambda: not call(["squeue", "--noheader"], environment).stdout.strip(), 90)
