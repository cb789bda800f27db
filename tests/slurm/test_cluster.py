"""A real Slurm on this machine: time limits of one minute, requeues, a driver that is killed, plain scripts.

Slurm looks at its limits twice a minute and sends its signal when the limit is less than 30 s and the lead
away, so with a lead of 5 s a job of one minute has 25 to 55 s. Every evaluation of the forces waits, so a
point takes 115 s of wall time, hardly any of the processor's, and at least two requeues.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from simtools.md.h5md import read_trajectory

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
N_POINTS = int(os.environ.get("SIMTOOLS_SLURM_POINTS", "4"))
PAUSE_S = 0.0575
RECIPE = """
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
temperatures_K = [40, 60]
replicas = {replicas}
lattice_parameter_A = 5.8
timestep_fs = 5
equilibration_ps = 1
production_ps = 9
sample_every_fs = 100
checkpoint_every_ps = 0.5
[analysis]
mobile = "Ar"
[slurm]
time_limit_min = 1
signal_lead_s = 5
"""
VOLUMES = """
title = "argon with volumes"
[structure]
prototype = "fcc"
formula = "Ar"
supercell = [3, 3, 3]
[potential]
name = "lennard_jones"
[md]
temperatures_K = [20, 40]
replicas = 2
timestep_fs = 5
npt_ps = 1
npt_equilibration_ps = 0.5
equilibration_ps = 0.5
production_ps = 1
sample_every_fs = 100
[analysis]
mobile = "Ar"
[slurm]
time_limit_min = 5
memory_GB = 0.5
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Start Slurm; give the environment for its programs and ours."""
    script = HERE / "cluster.sh"
    installed = subprocess.run([script, "install"], capture_output=True, text=True, check=False, timeout=1000)
    if installed.returncode == 3:
        pytest.skip(installed.stderr.strip())
    assert installed.returncode == 0, installed.stderr
    pytest.importorskip("submitit", reason="submitit is not installed: pip install '.[slurm]'")
    folder = tmp_path_factory.mktemp("cluster")
    began = time.monotonic()
    try:
        log = folder / "start.log"  # a pipe would stay open in the daemons
        with open(log, "w", encoding="utf-8") as stream:
            command = [script, "start", folder, str(os.getpid())]
            started = subprocess.run(command, stdout=stream, stderr=stream, check=False, timeout=120)
        if started.returncode == 3:
            pytest.skip(log.read_text(encoding="utf-8").strip())
        assert started.returncode == 0, log.read_text(encoding="utf-8")
        assert time.monotonic() - began < 60
        environment = {
            **os.environ,
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PYTHONPATH": f"{ROOT}:{HERE / 'slow_forces'}:{os.environ.get('PYTHONPATH', '')}".rstrip(":"),
            "TMPDIR": str(tmp_path_factory.mktemp("node")),
            "XDG_CONFIG_HOME": str(folder / "no-settings-of-the-user"),
        }
        yield folder, environment
    finally:
        subprocess.run([script, "stop", folder], check=True, timeout=120)


@pytest.fixture
def recipe(tmp_path):
    """The slow recipe, with its calculator's model file."""
    (tmp_path / "model.txt").write_text("not read\n", encoding="utf-8")
    path = tmp_path / "slow.toml"
    path.write_text(RECIPE.format(replicas=N_POINTS // 2), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def volumes(cluster, tmp_path_factory):
    """A recipe whose volumes are found first, and its run in one process."""
    folder = tmp_path_factory.mktemp("volumes")
    recipe = folder / "volumes.toml"
    recipe.write_text(VOLUMES, encoding="utf-8")
    return recipe, inline(recipe, folder / "inline", cluster[1])


def simtools(*arguments):
    return [sys.executable, "-m", "workflows", *map(str, arguments)]


def call(command, environment, timeout=300):
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout
    )


def inline(recipe, directory, environment):
    done = call(simtools("run", recipe, "-o", directory, "--executor", "inline", "-q"), environment)
    assert done.returncode == 0, done.stderr
    return directory


def points_of(directory):
    return sorted((directory / "points").iterdir())


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


def wait_for(condition, timeout_s):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(1)


def test_requeued_points_of_a_killed_driver_end_with_the_bits_of_one_process(cluster, recipe, tmp_path):
    folder, environment = cluster
    expected = inline(recipe, tmp_path / "inline", environment)
    directory = tmp_path / "slurm"
    slow = {**environment, "SLOW_FORCES_PAUSE_S": str(PAUSE_S)}
    command = simtools("run", recipe, "-o", directory, "--executor", "slurm")
    before = requeues(folder)
    with open(tmp_path / "driver.log", "w", encoding="utf-8") as log:
        driver = subprocess.Popen(command, env=slow, cwd=ROOT, stdout=log, stderr=log)
        try:
            wait_for(lambda: len(list(directory.glob("points/*/progress.json"))) == N_POINTS, 180)
        finally:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
    again = call(command, slow, timeout=1500)
    assert again.returncode == 0, again.stderr
    assert f"{N_POINTS} points are in Slurm's queue already" in again.stderr
    assert "submitted" not in again.stderr
    mine = {task: count for task, count in requeues(folder).items() if task not in before}
    assert len(mine) == N_POINTS
    assert min(mine.values()) >= 2, mine
    for point in points_of(directory):
        assert (point / "log.txt").read_text().count("continuing from step") >= 2
    assert_same_bits(expected, directory)
    print(f"requeues: {mine}")


def test_volumes_come_first(cluster, volumes, tmp_path):
    _, environment = cluster
    recipe, expected = volumes
    done = call(
        simtools("run", recipe, "-o", tmp_path / "slurm", "--executor", "slurm", "--max-concurrent", 3),
        environment,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert_same_bits(expected, tmp_path / "slurm")


def test_a_cancelled_job_is_checkpointed_and_stays_cancelled(cluster, recipe, tmp_path):
    _, environment = cluster
    recipe.write_text(RECIPE.format(replicas=1), encoding="utf-8")
    directory = tmp_path / "slurm"
    slow = {**environment, "SLOW_FORCES_PAUSE_S": str(PAUSE_S)}
    command = simtools("run", recipe, "-o", directory, "--executor", "slurm")
    with open(tmp_path / "driver.log", "w", encoding="utf-8") as log:
        driver = subprocess.Popen(command, env=slow, cwd=ROOT, stdout=log, stderr=log)
        try:
            wait_for(lambda: len(list(directory.glob("points/*/progress.json"))) == 2, 180)
            assert call(["scancel", "--me"], environment).returncode == 0
            assert driver.wait(120) == 75
        finally:
            driver.kill()
    assert (tmp_path / "driver.log").read_text().count("was cancelled") == 2
    for point in points_of(directory):
        assert "stopped at a checkpoint" in (point / "log.txt").read_text()
    assert not call(["squeue", "--noheader"], environment).stdout.strip()


def test_exported_scripts_run_the_campaign_without_a_driver(cluster, volumes, tmp_path):
    _, environment = cluster
    recipe, expected = volumes
    directory = tmp_path / "it's $(touch hacked) run"
    exported = call(simtools("export", directory, "--slurm", "--recipe", recipe), environment)
    assert exported.returncode == 0, exported.stderr
    submitted = call(["bash", directory / "slurm" / "submit.sh"], environment)
    assert submitted.returncode == 0, submitted.stderr
    wait_for((directory / "report.html").exists, 600)
    assert_same_bits(expected, directory)
    assert not list(tmp_path.rglob("hacked"))
    wait_for(lambda: not call(["squeue", "--noheader"], environment).stdout.strip(), 60)


def test_exported_scripts_requeue_a_point_that_runs_out_of_time(cluster, recipe, tmp_path):
    folder, environment = cluster
    slow = {**environment, "SLOW_FORCES_PAUSE_S": str(PAUSE_S)}
    recipe.write_text(RECIPE.format(replicas=1).replace("[40, 60]", "[40]").replace("= 9", "= 5"))
    expected = inline(recipe, tmp_path / "inline", environment)
    directory = tmp_path / "export"
    assert call(simtools("export", directory, "--slurm", "--recipe", recipe), environment).returncode == 0
    before = requeues(folder)
    assert call(["bash", directory / "slurm" / "submit.sh"], slow).returncode == 0
    wait_for((directory / "report.html").exists, 400)
    wait_for(lambda: not call(["squeue", "--noheader"], environment).stdout.strip(), 60)
    assert_same_bits(expected, directory)
    assert sum(count for task, count in requeues(folder).items() if task not in before) >= 1
