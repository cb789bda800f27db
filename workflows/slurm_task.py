"""One point inside its Slurm job: run it until it is done or the time is up, say how it ended, requeue it.

Nothing numerical is imported before the node is prepared; see node.py.
"""

import os
import platform
import traceback
from pathlib import Path

from workflows.node import prepare_node
from workflows.slurm_queue import own_task, requeue
from workflows.stopping import StopRequest, seconds_left

__all__ = ["FAILED", "STOPPED", "run_in_job"]

FAILED, STOPPED = 1, 75
_MOST_IDLE = 3
_OUT_OF_TIME = ("SIGUSR1", "wall time")


def run_in_job(task):
    """Run the point of `task`; called by submitit in the batch step of a job.

    The outcome is in the run directory: ``done.json`` of the point, or the record that `task` names. When
    the time was up, Slurm is asked to requeue this very task; if it will not, the driver submits it again.

    Parameters
    ----------
    task
        Plain data: ``job`` and ``spec`` (fields of the `PointJob` and its specification), ``record`` (path),
        ``time_limit_min``, ``signal_lead_s``, ``threads``.

    Raises
    ------
    SystemExit
        With 75 when stopped in time, 1 when the point failed.
    """
    left_s = seconds_left(task["time_limit_min"], lead_s=task["signal_lead_s"])
    with StopRequest(left_s).listening() as stop:
        prepare_node(task["threads"])
        from workflows.failures import kind_of
        from workflows.progress import PointProgress
        from workflows.statepoints import read_json, write_json

        path = Path(task["record"])
        earlier = read_json(path) if path.exists() else {}

        def note(status, message="", log="", **more):
            record = {"status": status, "message": message, "log": log, **_whereabouts(), **more}
            write_json(path, record)

        note("running", idle=earlier.get("idle", 0), done_steps=earlier.get("done_steps", -1))
        try:
            job, outcome = _run(task, stop)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            note("failed", message, _write_traceback(path), kind=kind_of(error))
            raise
        if outcome.status == "done":
            return
        if outcome.status == "failed":
            note("failed", outcome.message, outcome.log, kind=outcome.kind)
            raise SystemExit(FAILED)
        progress = PointProgress.read(job.directory)
        done_steps = progress.done_steps if progress else 0
        idle = earlier.get("idle", 0) + 1 if done_steps <= earlier.get("done_steps", -1) else 0
        if idle >= _MOST_IDLE:
            message = (
                f"{idle} jobs of {task['time_limit_min']} min in a row ended before the first step; give a "
                "longer time_limit_min"
            )
            note("failed", message, outcome.log)
            raise SystemExit(FAILED)
        note("stopped", stop.reason or outcome.message, idle=idle, done_steps=done_steps)
        if stop.reason in _OUT_OF_TIME:
            refusal = requeue(own_task())
            if refusal:
                note("stopped", f"{stop.reason}; not requeued: {refusal}", idle=idle, done_steps=done_steps)
        raise SystemExit(STOPPED)


def _run(task, stop):
    from workflows.point import PointJob, run_point
    from workflows.statepoints import PointSpec

    job = PointJob(spec=PointSpec.from_dict(task["spec"]), **task["job"])
    return job, run_point(job, should_stop=stop)


def _whereabouts():
    restarts = os.environ.get("SLURM_RESTART_COUNT", "0")
    return {"task": own_task(), "host": platform.node(), "restarts": int(restarts)}


def _write_traceback(record):
    log = record.with_suffix(".log")
    log.write_text(traceback.format_exc(), encoding="utf-8")
    return str(log)
