"""A real Slurm on this machine: limits of one minute, requeues, a driver that is killed, plain scripts."""

import signal

import pytest

from tests.slurm.campaigns import (
    N_POINTS,
    assert_same_bits,
    call,
    driver,
    inline,
    log_of,
    owner,
    points_of,
    requeues,
    simtools,
    slow,
    through_slurm,
    wait_for,
    wait_for_an_empty_queue,
    write_slow_recipe,
)

pytestmark = pytest.mark.slurm

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
def volumes(cluster, tmp_path_factory):
    """A recipe whose volumes are found first, and its run in one process."""
    folder = tmp_path_factory.mktemp("volumes")
    recipe = folder / "volumes.toml"
    recipe.write_text(VOLUMES, encoding="utf-8")
    return recipe, inline(recipe, folder / "inline", cluster[1])


def test_requeued_points_of_a_killed_driver_end_with_the_bits_of_one_process(cluster, tmp_path):
    folder, environment = cluster
    recipe = write_slow_recipe(tmp_path, replicas=N_POINTS // 2)
    expected = inline(recipe, tmp_path / "inline", environment)
    directory = tmp_path / "slurm"
    command = through_slurm(recipe, directory)
    before = requeues(folder)
    with driver(command, slow(environment), tmp_path / "driver.log") as first:
        wait_for(lambda: len(list(directory.glob("points/*/progress.json"))) == N_POINTS, 300)
        first.send_signal(signal.SIGKILL)
    again = call(command, slow(environment), timeout=1400)
    assert again.returncode == 0, again.stderr
    assert f"{N_POINTS} points are in Slurm's queue already" in again.stderr
    assert "submitted" not in again.stderr
    mine = {task: count for task, count in requeues(folder).items() if task not in before}
    assert len(mine) == N_POINTS
    assert min(mine.values()) >= 2, mine
    for point in points_of(directory):
        assert log_of(point).count("continuing from step") >= 2
    assert_same_bits(expected, directory)
    print(f"requeues: {mine}")


def test_cancelled_jobs_are_checkpointed_and_stay_cancelled_until_the_next_command(cluster, tmp_path):
    _, environment = cluster
    recipe = write_slow_recipe(tmp_path, production_ps=3, time_limit_min=5)
    directory = tmp_path / "slurm"
    command = through_slurm(recipe, directory)
    with driver(command, slow(environment), tmp_path / "driver.log") as first:
        wait_for(lambda: len(list(directory.glob("points/*/progress.json"))) == 2, 300)
        for point, how in zip(points_of(directory), ([], ["--signal=KILL"]), strict=True):
            assert call(["scancel", *how, owner(point)[1]], environment).returncode == 0
        assert first.wait(120) == 75
    assert (tmp_path / "driver.log").read_text().count("was cancelled") == 2
    for point in points_of(directory):
        assert "stopped at a checkpoint" in log_of(point)
    assert not call(["squeue", "--noheader"], environment).stdout.strip()
    again = call(command, environment)
    assert again.returncode == 0, again.stderr
    assert "2 points submitted" in again.stderr
    for point in points_of(directory):
        assert log_of(point).count("continuing from step") == 1
    assert_same_bits(inline(recipe, tmp_path / "inline", environment), directory)


def test_volumes_come_first(cluster, volumes, tmp_path):
    _, environment = cluster
    recipe, expected = volumes
    done = call(through_slurm(recipe, tmp_path / "slurm", "--max-concurrent", 3), environment, timeout=600)
    assert done.returncode == 0, done.stderr
    assert_same_bits(expected, tmp_path / "slurm")


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
    wait_for_an_empty_queue(environment)


def test_exported_scripts_requeue_a_point_that_runs_out_of_time(cluster, tmp_path):
    folder, environment = cluster
    recipe = write_slow_recipe(tmp_path, temperatures_K="40", production_ps=5)
    expected = inline(recipe, tmp_path / "inline", environment)
    directory = tmp_path / "export"
    assert call(simtools("export", directory, "--slurm", "--recipe", recipe), environment).returncode == 0
    before = requeues(folder)
    assert call(["bash", directory / "slurm" / "submit.sh"], slow(environment)).returncode == 0
    wait_for((directory / "report.html").exists, 600)
    wait_for_an_empty_queue(environment)
    assert_same_bits(expected, directory)
    assert sum(count for task, count in requeues(folder).items() if task not in before) >= 1
