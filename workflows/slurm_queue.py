"""What Slurm's own programs are asked: which jobs of ours it knows, and to run one of them again."""

import os
import subprocess
from dataclasses import dataclass

from simtools.core.errors import ConfigError, SimtoolsError

__all__ = [
    "ALIVE",
    "QueueUnavailableError",
    "QueuedTask",
    "accounted_state",
    "in_queue",
    "own_task",
    "queued_tasks",
    "requeue",
]

ALIVE = frozenset(
    "PENDING RUNNING SUSPENDED COMPLETING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD RESIZING SIGNALING "
    "SPECIAL_EXIT STAGE_OUT STOPPED RESV_DEL_HOLD".split()
)
_TIMEOUT_S = 60
_SEPARATOR = "|"


class QueueUnavailableError(SimtoolsError, RuntimeError):
    """Slurm does not answer; nothing follows about any job."""


@dataclass(frozen=True)
class QueuedTask:
    """One task of a job array as Slurm sees it: its number for scontrol, state, and the reason it gives."""

    task_id: str
    state: str
    reason: str

    @property
    def alive(self):
        """Whether it runs, waits, or will run again."""
        return self.state in ALIVE


def queued_tasks():
    """Return {(job name, array index): QueuedTask} of the user's jobs, those that ended lately included.

    Raises
    ------
    QueueUnavailableError
        If squeue fails or takes over a minute.
    ConfigError
        If there is no squeue.
    """
    command = ["squeue", "--user", str(os.getuid()), "--noheader", "--array", "--states=all"]
    fields = ("%j", "%F", "%K", "%T", "%r")
    output = _output([*command, "--format", _SEPARATOR.join(fields)])
    tasks = {}
    for line in output.splitlines():
        parts = line.strip().split(_SEPARATOR, 4)
        if len(parts) != 5:
            continue
        name, job, index, state, reason = parts
        task = QueuedTask(f"{job}_{index}" if index.isdecimal() else job, state, reason)
        place = (name, int(index) if index.isdecimal() else 0)
        if place not in tasks or task.alive:
            tasks[place] = task
    return tasks


def in_queue(task_id):
    """Return whether Slurm still has a task that runs, waits, or will run again.

    Raises
    ------
    QueueUnavailableError
        If squeue gives no answer.
    ConfigError
        If there is no squeue.
    """
    command = ["squeue", "--noheader", "--array", "--states=all", "--jobs", task_id, "--format", "%T"]
    try:
        return any(state in ALIVE for state in _output(command).split())
    except QueueUnavailableError as error:
        if "invalid job id" in str(error).lower():  # forgotten minutes after its end
            return False
        raise


def accounted_state(task_id):
    """Return (state in which a task ended, why it is not known) according to sacct; one of them is empty.

    Many sites keep no accounts, and then sacct is there and has nothing to tell.
    """
    command = ["sacct", "--noheader", "--allocations", "--parsable2", "--jobs", task_id, "--format", "State"]
    try:
        states = [line.split()[0] for line in _output(command).splitlines() if line.strip()]
    except QueueUnavailableError as error:
        return "", str(error)
    except ConfigError:
        return "", "there is no sacct here"
    if not states:
        return "", "sacct does not know it"
    return states[-1], ""


def requeue(task_id):
    """Ask Slurm to run a task again; return an empty text, or why it will not.

    `task_id` must be JOB_INDEX for a task of an array: the bare number of the job that Slurm made first is
    the number of the whole array, and all its tasks would be killed and started again.
    """
    try:
        _output(["scontrol", "requeue", task_id])
    except (QueueUnavailableError, ConfigError) as error:
        return str(error)
    return ""


def own_task(environment=os.environ):
    """Return the number under which the present process's job can be requeued, or None outside Slurm."""
    array, index = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    if array and index:
        return f"{array}_{index}"
    return environment.get("SLURM_JOB_ID")


def _output(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no {command[0]} here: run this where Slurm's programs are, or use simtools export"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise QueueUnavailableError(f"{command[0]} gave no answer in {_TIMEOUT_S} s") from error
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise QueueUnavailableError(f"{command[0]}: {reason}")
    return done.stdout
