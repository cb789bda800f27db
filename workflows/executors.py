"""Where points run: in this process, or in worker processes. State is on disk; nothing is kept here.

Workers are spawned, one compute thread each. Every worker slot has its own one-process pool, so that a worker
killed from outside takes one point down and not the campaign.
"""

import os
import signal
import threading
import traceback
from collections import deque
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process

from simtools.core.errors import ConfigError
from workflows.failures import kind_of
from workflows.node import THREAD_VARIABLES
from workflows.point import LOG_FILE, PointOutcome, run_point
from workflows.stopping import STOP_SIGNALS, StopRequest
from workflows.values import suggestion

__all__ = ["EXECUTORS", "InlineExecutor", "LocalExecutor", "StopRequest", "get_executor"]

_POLL_S = 0.25
EXECUTORS = ("local", "inline", "slurm")


class InlineExecutor:
    """Run one point after the other in this process: for tests, notebooks and debugging."""

    runs_here = True

    def run(self, jobs, *, after, stop, display):
        """Run `jobs` and whatever ``after(job, outcome)`` adds; return {job: outcome}."""
        waiting, outcomes = deque(jobs), {}
        while waiting and not stop.requested:
            job = waiting.popleft()
            running = [(job.label, job.directory)]

            def show(running=running):
                display.update(running, _n_done(outcomes), len(outcomes) + len(waiting) + 1)

            outcome = run_point(job, should_stop=stop, on_progress=show)
            outcomes[job.name] = outcome
            waiting.extend(after(job, outcome))
        return outcomes


class LocalExecutor:
    """Run points in up to `workers` processes on this machine."""

    runs_here = True

    def __init__(self, workers=None):
        self.workers = workers or available_cores()

    def run(self, jobs, *, after, stop, display):
        """Run `jobs` and whatever ``after(job, outcome)`` adds; return {job: outcome}."""
        context = get_context("spawn")
        flag = context.RawValue("b", 0)
        waiting, running, outcomes, idle = deque(jobs), {}, {}, []
        n_slots = 0
        with single_threaded_children():
            try:
                while waiting or running:
                    if stop.requested:
                        flag.value = 1
                        waiting.clear()
                    while waiting and (idle or n_slots < self.workers):
                        if not idle:
                            idle.append(_pool(context, flag))
                            n_slots += 1
                        pool, job = idle.pop(), waiting.popleft()
                        with _signals_held():
                            future = pool.submit(_run_in_worker, job)
                        running[future] = (job, pool)
                    done, _ = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                    for future in done:
                        job, pool = running.pop(future)
                        outcome = _outcome_of(future, job)
                        if outcome.status == "crashed":
                            pool.shutdown(wait=False)
                            n_slots -= 1
                            status = "stopped" if stop.requested else "failed"
                            outcome = PointOutcome(
                                job.spec.name, status, None, outcome.message, outcome.log, outcome.kind
                            )
                        else:
                            idle.append(pool)
                        outcomes[job.name] = outcome
                        added = after(job, outcome)
                        if not stop.requested:
                            waiting.extend(added)
                    display.update(
                        [(job.label, job.directory) for job, _ in running.values()],
                        _n_done(outcomes),
                        len(outcomes) + len(waiting) + len(running),
                    )
            finally:
                flag.value = 1
                for pool in [*idle, *(pool for _, pool in running.values())]:
                    pool.shutdown(wait=True, cancel_futures=True)
        return outcomes


def get_executor(name, workers=None, *, cores_per_point=1, slurm_settings=None):
    """Return the executor called `name`; by default as many local workers as the cores hold points.

    Parameters
    ----------
    name
        One of `EXECUTORS`.
    workers
        Processes of the local executor.
    cores_per_point
        Cores that a point keeps busy.
    slurm_settings
        Called without arguments for the `workflows.slurm_settings.SlurmSettings` if `name` is slurm.

    Raises
    ------
    ConfigError
        For an unknown one, one whose programs are not there, or a number of workers that cannot be.
    """
    if name not in EXECUTORS:
        raise ConfigError(f"--executor {name}: unknown{suggestion(name, EXECUTORS)}")
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers {workers}: expected a whole number above 0")
    if name != "local" and workers not in (None, 1):
        more = "; --max-concurrent limits jobs" if name == "slurm" else ""
        raise ConfigError(
            f"--workers {workers}: has no effect with --executor {name}; remove one of them{more}"
        )
    if name == "slurm":
        from workflows.slurm_executor import SlurmExecutor

        if slurm_settings is None:
            raise ConfigError("--executor slurm is for simtools run")
        return SlurmExecutor(slurm_settings())
    if name == "inline":
        return InlineExecutor()
    return LocalExecutor(workers or max(1, available_cores() // cores_per_point))


def available_cores():
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _n_done(outcomes):
    return sum(outcome.status == "done" for outcome in outcomes.values())


def _pool(context, flag):
    return ProcessPoolExecutor(
        max_workers=1, mp_context=context, initializer=_start_worker, initargs=(flag, os.getpid())
    )


def _outcome_of(future, job):
    log = str(job.directory / LOG_FILE)
    try:
        return future.result()
    except BrokenProcessPool:
        message = "the worker process died (killed, or out of memory)"
        return PointOutcome(job.spec.name, "crashed", message=message, log=log, kind="crashed")
    except Exception as error:
        job.directory.mkdir(parents=True, exist_ok=True)
        with open(log, "a", encoding="utf-8") as stream:
            stream.write("".join(traceback.format_exception(error)))
        return PointOutcome(
            job.spec.name, "failed", message=f"{type(error).__name__}: {error}", log=log, kind=kind_of(error)
        )


@contextmanager
def single_threaded_children():
    """Give processes started meanwhile one compute thread each: the points are the parallelism."""
    earlier = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in earlier.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _signals_held():
    """Hold the stop signals back; a process started meanwhile does so until `_start_worker` is ready."""
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


_worker = {}


def _start_worker(flag, parent):
    """Prepare a worker: Ctrl-C is the parent's business, the other signals mean stop at a checkpoint."""
    _worker.update(flag=flag, parent=parent, terminated=False, at_work=threading.Lock())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in STOP_SIGNALS - {signal.SIGINT}:
        signal.signal(number, _note_termination)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    threading.Thread(target=_leave_with_the_parent, daemon=True).start()


def _note_termination(number, frame):
    _worker["terminated"] = True


def _leave_with_the_parent():
    """End this process when the parent has ended, after the checkpoint of the point it is working on."""
    connection.wait([parent_process().sentinel])
    with _worker["at_work"]:
        os._exit(1)


def _worker_should_stop():
    return bool(_worker["flag"].value) or _worker["terminated"] or os.getppid() != _worker["parent"]


def _run_in_worker(job):
    _worker["terminated"] = False
    with _worker["at_work"]:
        return run_point(job, should_stop=_worker_should_stop)
