"""Who holds a lease, and whether that process has certainly ended.

A process is known by its number on its machine, and inside Slurm by its job as well: a job that Slurm has
started again, or no longer has, holds nothing. Slurm's word may be early, when a node that it has given up
still computes; then the lease's fence keeps the late owner from publishing, as it does with one that slept.
"""

import os
import re
import socket
from pathlib import Path

from simtools.core.errors import ConfigError
from workflows.slurm_queue import QueueUnavailableError, in_queue, own_task

__all__ = ["describe_self", "has_ended"]

_TASK = re.compile(r"\d{1,20}(_\d{1,20})?")


def describe_self():
    """Return what tells this process from all others, as plain data."""
    return {"pid": os.getpid(), "host": socket.gethostname(), **_process(os.getpid()), **_slurm_job()}


def has_ended(owner, *, ask_slurm=True):
    """Return whether the process that `owner` describes is known to be no more.

    Parameters
    ----------
    owner
        What its `describe_self` said, or None if that cannot be read.
    ask_slurm
        Whether squeue may be asked.
    """
    if owner is None:
        return False
    return _is_gone_from_here(owner) or _has_lost_its_job(owner, ask_slurm)


def _is_gone_from_here(owner):
    if owner.get("host") != socket.gethostname() or not isinstance(owner.get("pid"), int):
        return False
    here = _process(os.getpid())
    if not here or any(owner.get(key) != here[key] for key in ("boot", "namespace")):
        return False
    then = _process(owner["pid"])
    return not then or then["started"] != owner.get("started")


def _has_lost_its_job(owner, ask_slurm):
    """Return whether Slurm has ended the owner's job, or started it again: as this process, for one."""
    theirs, ours = owner.get("slurm"), _slurm_job().get("slurm")
    if not isinstance(theirs, dict) or ours is None or theirs.get("cluster") != ours["cluster"]:
        return False
    task, restarts = theirs.get("task"), theirs.get("restarts")
    if not isinstance(task, str) or not _TASK.fullmatch(task) or not isinstance(restarts, int):
        return False
    if task == ours["task"]:
        return restarts < ours["restarts"]
    try:
        return ask_slurm and not in_queue(task)
    except (QueueUnavailableError, ConfigError):  # nothing follows: the heartbeat decides
        return False


def _slurm_job():
    task = own_task()
    if task is None:
        return {}
    restarts = os.environ.get("SLURM_RESTART_COUNT", "0")
    cluster = os.environ.get("SLURM_CLUSTER_NAME", "")
    return {"slurm": {"cluster": cluster, "task": task, "restarts": int(restarts)}}


def _process(pid):
    """Return what tells a process from all others of this machine (Linux), or nothing if there is none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = os.readlink("/proc/self/ns/pid")
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return {}
    ended = state[0] in "ZX"
    return {} if ended else {"boot": boot, "namespace": namespace, "started": state[19]}
