"""Jobs and drivers on a real Slurm, killed without a warning: no point is lost and none runs twice."""

import os
import signal

import pytest

from tests.slurm.campaigns import (
    assert_same_bits,
    call,
    driver,
    inline,
    log_of,
    owner,
    points_of,
    slow,
    starts,
    through_slurm,
    wait_for_checkpoints,
    write_slow_recipe,
)

pytestmark = pytest.mark.slurm


@pytest.fixture
def recipe(tmp_path):
    """Two points of half a minute that need no requeue."""
    return write_slow_recipe(tmp_path, production_ps=6, time_limit_min=5)


def kill_the_python_of(point, environment):
    os.kill(owner(point)[0], signal.SIGKILL)


def kill_through_slurm(point, environment):
    done = call(["scancel", "--batch", "--signal=KILL", owner(point)[1]], environment)
    assert done.returncode == 0, done.stderr


def test_jobs_that_are_killed_are_noticed_and_run_again_from_their_checkpoints(cluster, recipe, tmp_path):
    _, environment = cluster
    directory = tmp_path / "slurm"
    log = tmp_path / "driver.log"
    with driver(through_slurm(recipe, directory), slow(environment, 0.025), log) as one:
        wait_for_checkpoints(directory, 2)
        first, second = points_of(directory)
        kill_the_python_of(first, environment)
        kill_through_slurm(second, environment)
        assert one.wait(500) == 0, log.read_text()
    said = log.read_text()
    assert said.count("ended without a word (FAILED); tried again") == 2, said
    for point in points_of(directory):
        assert starts(directory, point) == 2
        assert log_of(point).count("continuing from step") == 1
        assert not (point / "tries.json").exists()
    assert_same_bits(inline(recipe, tmp_path / "inline", environment), directory)


def test_the_successor_of_a_killed_driver_adopts_what_lives_and_replaces_what_died(cluster, recipe, tmp_path):
    _, environment = cluster
    directory = tmp_path / "slurm"
    command = through_slurm(recipe, directory)
    with driver(command, slow(environment), tmp_path / "driver.log") as one:
        wait_for_checkpoints(directory, 2)
        one.send_signal(signal.SIGKILL)
    lives, dies = points_of(directory)
    kill_the_python_of(dies, environment)
    again = call(command, slow(environment), timeout=600)
    assert again.returncode == 0, again.stderr
    assert "1 points are in Slurm's queue already" in again.stderr
    assert again.stderr.count("submitted as Slurm job") == 1
    assert "1 points submitted" in again.stderr
    assert [starts(directory, point) for point in (lives, dies)] == [1, 2]
    assert "continuing from step" not in log_of(lives)
    assert log_of(dies).count("continuing from step") == 1
    assert_same_bits(inline(recipe, tmp_path / "inline", environment), directory)
