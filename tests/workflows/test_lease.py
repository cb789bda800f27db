import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simtools.core.errors import LeaseLostError
from simtools.md.checkpoint import replace_file
from simtools.md.h5md import read_trajectory
from workflows.campaign import prepare
from workflows.lease import FOLDER, LeaseHeldError, hold_lease
from workflows.point import run_point
from workflows.recipe import read_recipe
from workflows.slurm_queue import QueueUnavailableError

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from workflows.lease import hold_lease
with hold_lease(sys.argv[1], beat_s=0.1, patience_s=float(sys.argv[2])) as lease:
    print("holds", lease.number, flush=True)
    {body}
"""
STOP_BETWEEN = """
    import os, pathlib, signal
    from simtools.md.checkpoint import replace_file
    class Fence:
        mark = lease.mark
        def __call__(self):
            lease()
            print("stops", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
    result = pathlib.Path(sys.argv[1]) / "result"
    try:
        replace_file(result, lambda stream: stream.write(b"late"), fence=Fence())
    except FileNotFoundError:
        print("refused", flush=True)
"""
RUN_POINT_AND_SLEEP = """
import os, signal, sys
from workflows.campaign import open_campaign
from workflows.point import run_point
(job,) = [job for job, _ in open_campaign(sys.argv[1]).points()]
second = job.directory / "trajectory" / "production-000002.h5md"
def sleep_once(slept=[]):
    if not slept and second.exists():
        slept.append(True)
        print("sleeps", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
    return False
outcome = run_point(job, should_stop=sleep_once)
print(outcome.status, outcome.message, flush=True)
"""


def start(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def kill(process):
    process.kill()
    process.communicate(timeout=30)


def test_the_next_owner_gets_a_higher_number(tmp_path):
    with hold_lease(tmp_path) as first:
        first()
    with hold_lease(tmp_path) as second:
        assert second.number == first.number + 1
        second()
    with pytest.raises(LeaseLostError, match="taken"):
        first()


def test_of_processes_that_start_together_one_at_a_time_is_inside(tmp_path):
    body = "\n    ".join(
        [
            "import os",
            "os.mkdir(sys.argv[1] + '/inside')",
            "time.sleep(0.05)",
            "os.rmdir(sys.argv[1] + '/inside')",
        ]
    )
    code = "import time, sys\nfrom workflows.lease import LeaseHeldError\n"
    code += "while True:\n  try:\n" + "".join(
        f"    {line}\n" for line in HOLD.format(body=body).strip().splitlines() if "import sys" not in line
    )
    code += "    break\n  except LeaseHeldError:\n    time.sleep(0.02)\n"
    crowd = [start(code, tmp_path, 20) for _ in range(4)]
    told = [process.communicate(timeout=60)[0].split() for process in crowd]
    assert [process.returncode for process in crowd] == [0] * 4
    assert sorted(int(number) for _, number in told) == [1, 2, 3, 4]


def test_a_dead_owner_on_this_machine_is_not_waited_for(tmp_path):
    owner = start(HOLD.format(body="time.sleep(60)"), tmp_path, 60)
    assert owner.stdout.readline() == "holds 1\n"
    kill(owner)
    began = time.monotonic()
    with hold_lease(tmp_path) as lease:
        assert lease.number == 2
    assert time.monotonic() - began < 10


def test_a_live_owner_is_named(tmp_path):
    owner = start(HOLD.format(body="time.sleep(60)"), tmp_path, 60)
    assert owner.stdout.readline() == "holds 1\n"
    try:
        with pytest.raises(LeaseHeldError, match=f"pid {owner.pid}"), hold_lease(tmp_path):
            pytest.fail("two owners")
    finally:
        kill(owner)


def test_an_owner_on_another_machine_is_dead_when_its_counter_stands_still(tmp_path):
    owner = start(HOLD.format(body="time.sleep(60)"), tmp_path, 60)
    assert owner.stdout.readline() == "holds 1\n"
    record_file = tmp_path / FOLDER / "000001.lease"
    record = {**json.loads(record_file.read_text()), "host": "elsewhere"}
    record_file.write_text(json.dumps(record))
    kill(owner)
    began = time.monotonic()
    with hold_lease(tmp_path, patience_s=1.0) as lease:
        assert lease.number == 2
    assert time.monotonic() - began > 1.0


@pytest.fixture
def held_elsewhere(tmp_path, monkeypatch):
    """A lease of the second life of Slurm job 70_3 on another machine; it cannot be seen to be dead there."""
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "here")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "70")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    with hold_lease(tmp_path):
        record_file = tmp_path / FOLDER / "000001.lease"
        record = {**json.loads(record_file.read_text()), "host": "elsewhere"}
    next((tmp_path / FOLDER).glob("*.beat")).write_bytes(b"7".rjust(20))
    record_file.write_text(json.dumps(record))
    return tmp_path


def taken_at_once(folder):
    """Return whether a lease is had without waiting."""
    try:
        with hold_lease(folder, patience_s=600, should_stop=lambda: True) as lease:
            return lease.number == 2
    except LeaseHeldError:
        return False


@pytest.mark.parametrize(("restarts", "free"), [("0", False), ("1", False), ("2", True)])
def test_a_slurm_job_started_again_does_not_wait_for_its_earlier_life(
    held_elsewhere, monkeypatch, restarts, free
):
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    assert taken_at_once(held_elsewhere) is free


@pytest.mark.parametrize(
    ("answer", "free"), [("COMPLETING\n", False), ("", True), ("NODE_FAIL\n", True), (None, False)]
)
def test_the_owners_slurm_job_is_asked_for(held_elsewhere, monkeypatch, answer, free):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "71")
    asked = []

    def output(command):
        asked.append(command)
        if answer is None:
            raise QueueUnavailableError("squeue: Unable to contact slurm controller")
        return answer

    monkeypatch.setattr("workflows.slurm_queue._output", output)
    assert taken_at_once(held_elsewhere) is free
    assert [command[command.index("--jobs") + 1] for command in asked] == ["70_3"]


@pytest.mark.parametrize("name", ["SLURM_CLUSTER_NAME", "SLURM_ARRAY_JOB_ID"])
def test_of_another_clusters_jobs_and_outside_slurm_nothing_is_believed(held_elsewhere, monkeypatch, name):
    monkeypatch.setenv("SLURM_RESTART_COUNT", "9")
    monkeypatch.delenv(name)
    monkeypatch.setattr("workflows.slurm_queue._output", lambda command: pytest.fail("asked"))
    assert not taken_at_once(held_elsewhere)


def test_an_owner_stopped_between_its_last_look_and_the_rename_publishes_nothing(tmp_path):
    owner = start(HOLD.format(body=STOP_BETWEEN), tmp_path, 60)
    assert owner.stdout.readline() == "holds 1\n"
    assert owner.stdout.readline() == "stops\n"
    with hold_lease(tmp_path, patience_s=0.5) as lease:
        replace_file(tmp_path / "result", lambda stream: stream.write(b"ours"), fence=lease)
        owner.send_signal(signal.SIGCONT)
        assert owner.communicate(timeout=30)[0] == "refused\n"
        assert owner.returncode == 0
        lease()
    assert (tmp_path / "result").read_bytes() == b"ours"


def test_a_removed_and_a_replaced_folder_end_the_lease(tmp_path):
    folder = tmp_path / "point"
    folder.mkdir()
    with hold_lease(folder) as lease:
        shutil.move(folder, tmp_path / "away")
        with pytest.raises(LeaseLostError, match="replaced"):
            lease()
        shutil.move(tmp_path / "away", folder)
        lease()
        shutil.rmtree(folder)
        folder.mkdir()
        with hold_lease(folder) as other:
            other()
            with pytest.raises(LeaseLostError, match="replaced"):
                lease()


def test_a_file_that_cannot_be_read_as_a_lease_is_waited_for_and_overruled(tmp_path):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "000007.lease").write_bytes(b"\xff[")
    with hold_lease(tmp_path, patience_s=0.3) as lease:
        assert lease.number == 8


def test_a_point_whose_owner_slept_is_finished_by_another_and_the_sleeper_changes_nothing(
    argon, tmp_path, monkeypatch
):
    overrides = ["md.replicas=1", "md.temperatures_K=[130]"]
    with prepare(read_recipe(argon, overrides), tmp_path / "run") as campaign:
        ((job, _),) = campaign.points()
    with prepare(read_recipe(argon, overrides), tmp_path / "alone") as campaign:
        ((alone, _),) = campaign.points()
    monkeypatch.setitem(hold_lease.__wrapped__.__kwdefaults__, "patience_s", 1.0)
    sleeper = start(RUN_POINT_AND_SLEEP, tmp_path / "run")
    try:
        assert sleeper.stdout.readline() == "sleeps\n"
        assert not (job.directory / "done.json").exists()
        assert run_point(job).status == "done"
        before = {path: path.read_bytes() for path in job.directory.rglob("*") if path.is_file()}
        sleeper.send_signal(signal.SIGCONT)
        said, _ = sleeper.communicate(timeout=60)
    finally:
        sleeper.kill()
    assert said.startswith("stopped")
    assert "nothing more is written" in said or "replaced" in said
    after = {path: path.read_bytes() for path in job.directory.rglob("*") if path.is_file()}
    assert {path.name for path in before} == {path.name for path in after}
    assert all(content == before[path] for path, content in after.items() if path.name != "log.txt")
    assert run_point(alone).status == "done"
    ours, theirs = read_trajectory(job.directory), read_trajectory(alone.directory)
    assert (ours.positions_A == theirs.positions_A).all()
