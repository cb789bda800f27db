"""Points as Slurm jobs. What is known is on disk and in Slurm's queue, so a driver may die and be replaced.

A submission is noted before sbatch is called, under a random job name: whatever happened to the driver, the
next one finds its jobs in the queue by that name and submits no point twice. Results are read from the
points' own folders, never from submitit's pickles.
"""

import time
from collections import deque
from dataclasses import dataclass, fields
from pathlib import Path

from simtools.core.errors import RunFailedError, SimtoolsError
from workflows.failures import kind_of
from workflows.point import LOG_FILE, PointJob, PointOutcome, finished
from workflows.slurm_folder import SlurmFolder, Submission
from workflows.slurm_queue import QueueUnavailableError, accounted_state, queued_tasks
from workflows.slurm_submit import check_available, submit

__all__ = ["SlurmExecutor"]

_POLL_S = 15.0
_LOOK_S = 0.5
_GRACE_S = 60.0
_CLEANING_LOOKS = 6
_MOST_REFUSALS = 20
_LARGEST_ARRAY = 1000


class SlurmExecutor:
    """Run every point in a Slurm job of its own, as tasks of job arrays.

    Parameters
    ----------
    settings
        `workflows.slurm_settings.SlurmSettings`.
    poll_s
        Time between two looks at the queue, s.
    grace_s
        How long a job may be gone before its point's files must be visible here, s: network file systems
        show them late.
    """

    runs_here = False

    def __init__(self, settings, *, poll_s=_POLL_S, grace_s=_GRACE_S):
        check_available()
        self.settings = settings
        self.poll_s, self.grace_s = poll_s, grace_s

    def run(self, jobs, *, after, stop, display):
        """Run `jobs` and whatever ``after(job, outcome)`` adds; return {job: outcome}.

        When `stop` is requested the jobs are left to Slurm, and the next run finds them.
        """
        if not jobs:
            return {}
        driver = _Driver(self, jobs, after, display)
        driver.adopt()
        while driver.waiting or driver.flying:
            if stop.requested:
                driver.leave()
                break
            driver.submit_what_fits()
            driver.show()
            _wait(self.poll_s, stop)
            driver.look()
        driver.clean()
        return driver.outcomes


@dataclass
class _Flight:
    """A point in Slurm's hands."""

    job: PointJob
    submission: Submission
    index: int
    task_id: str
    state: str = "PENDING"
    missing_since: float | None = None

    @property
    def place(self):
        return self.submission.job_name, self.index


class _Driver:
    """The state of one call of `SlurmExecutor.run`."""

    def __init__(self, executor, jobs, after, display):
        self.executor, self.after, self.display = executor, after, display
        self.folder = SlurmFolder(jobs[0].index_directory or jobs[0].run_directory)
        self.waiting = deque(jobs)
        self.flying = {}
        self.outcomes = {}
        self.refusals = 0

    def adopt(self):
        """Take over the points that an earlier driver submitted and that Slurm still has."""
        queue = self._queue()
        while queue is None:
            time.sleep(self.executor.poll_s)
            queue = self._queue()
        known = {job.name: job for job in self.waiting}
        for submission in self.folder.submissions():
            for index, name in enumerate(submission.points):
                task = queue.get((submission.job_name, index))
                if task is not None and task.alive and name in known:
                    self.flying[name] = _Flight(known[name], submission, index, task.task_id, task.state)
        if self.flying:
            self.waiting = deque(job for job in self.waiting if job.name not in self.flying)
            self.display.note(f"{len(self.flying)} points are in Slurm's queue already")

    def submit_what_fits(self):
        """Submit waiting points, at most `max_concurrent` in the queue at a time."""
        while self.waiting:
            room = len(self.waiting)
            if self.executor.settings.max_concurrent is not None:
                room = min(room, self.executor.settings.max_concurrent - len(self.flying))
            room = min(room, _LARGEST_ARRAY)
            if room <= 0 or not self._submit([self.waiting[k] for k in range(room)]):
                return
            for _ in range(room):
                self.waiting.popleft()

    def _submit(self, jobs):
        settings = self.executor.settings
        submission = self.folder.new_submission(job.name for job in jobs)
        tasks = [
            {
                "job": _fields(job),
                "spec": job.spec.to_dict(),
                "record": str(self.folder.record_file(submission, index)),
                "time_limit_min": settings.time_limit_min,
                "signal_lead_s": settings.signal_lead_s,
                "threads": settings.cpus_per_task,
            }
            for index, job in enumerate(jobs)
        ]
        try:
            number = submit(self.folder.job_folder(submission), submission.job_name, tasks, settings)
        except QueueUnavailableError as error:
            self.refusals += 1
            if self.refusals >= _MOST_REFUSALS:
                raise RunFailedError(f"{error}; given up after {self.refusals} tries") from error
            self.display.note(f"{error}; trying again")
            return False
        except RunFailedError:
            self.folder.forget(submission)
            raise
        self.refusals = 0
        self.display.note(f"{len(jobs)} points submitted as Slurm job {number} ({submission.job_name})")
        for index, job in enumerate(jobs):
            task_id = f"{number}_{index}" if len(jobs) > 1 else number  # submitit makes no array of one
            self.flying[job.name] = _Flight(job, submission, index, task_id)
        return True

    def look(self):
        """Ask the queue and the run directory how the points stand."""
        queue = self._queue()
        for name, flight in list(self.flying.items()):
            if queue is not None:
                task = queue.get(flight.place)
                flight.state = task.state if task else ""
                flight.task_id = task.task_id if task else flight.task_id
                if task is not None and task.alive:
                    flight.missing_since = None
                elif flight.missing_since is None:
                    flight.missing_since = time.monotonic()
            waits = queue is not None and flight.state == "PENDING"
            outcome = None if waits else self._outcome(flight)
            if outcome is None:
                continue
            del self.flying[name]
            if outcome.status == "again":
                self.display.note(f"{flight.job.label}: {outcome.message}; submitted again")
                self.waiting.append(flight.job)
                continue
            self.outcomes[name] = outcome
            self.waiting.extend(self.after(flight.job, outcome))

    def _outcome(self, flight):
        """Return how a point ended, ``again`` if it is to be submitted anew, or None while it is at work."""
        name = flight.job.name
        try:
            done = finished(flight.job)
        except SimtoolsError as error:
            log = str(flight.job.directory / LOG_FILE)
            return PointOutcome(name, "failed", message=str(error), log=log, kind=kind_of(error))
        if done is not None:
            return PointOutcome(name, "done", done)
        record = self.folder.record(flight.submission, flight.index)
        if record.get("status") == "failed":
            kind = record.get("kind", "")
            return PointOutcome(name, "failed", message=record["message"], log=record["log"], kind=kind)
        if flight.missing_since is None:
            return None
        gone_s = time.monotonic() - flight.missing_since
        if gone_s < self.executor.grace_s and record.get("status") != "stopped":
            return None
        state, why_unknown = flight.state, ""
        if not state:
            state, why_unknown = accounted_state(flight.task_id)
        if state.startswith("CANCELLED"):
            return PointOutcome(
                name,
                "stopped",
                message=f"Slurm job {flight.task_id} was cancelled; the same command continues",
            )
        if record.get("status") == "stopped":
            return PointOutcome(name, "again", message=f"stopped at a checkpoint ({record['message']})")
        if Path(flight.job.run_directory).is_dir():  # for the note of the try: the job may not have begun
            flight.job.directory.mkdir(parents=True, exist_ok=True)
        how = state or f"squeue has forgotten it; {why_unknown}"
        message = f"Slurm job {flight.task_id} ended without a word ({how})"
        log = str(self.folder.job_folder(flight.submission))
        return PointOutcome(name, "failed", message=message, log=log, kind="crashed")

    def _queue(self):
        try:
            return queued_tasks()
        except QueueUnavailableError as error:
            self.display.note(f"{error}; trying again")
            return None

    def show(self):
        """Display the points that are running."""
        running = [f.job for f in self.flying.values() if f.state == "RUNNING"]
        self.display.update(
            [(job.label, job.directory) for job in running],
            sum(outcome.status == "done" for outcome in self.outcomes.values()),
            len(self.outcomes) + len(self.waiting) + len(self.flying),
        )

    def leave(self):
        """Say what becomes of the jobs when the driver goes."""
        if self.flying:
            names = ",".join(sorted({flight.submission.job_name for flight in self.flying.values()}))
            self.display.note(
                f"{len(self.flying)} points go on in Slurm and are found again by the same command; "
                f"scancel --name={names} would end them"
            )

    def clean(self):
        """Forget submissions that have left the queue; those with a point that failed keep their logs."""
        failed = {name for name, outcome in self.outcomes.items() if outcome.status == "failed"}
        over = [item for item in self.folder.submissions() if failed.isdisjoint(item.points)]
        for _ in range(_CLEANING_LOOKS):
            queue = self._queue()
            if not over or queue is None:
                return
            alive = {name for (name, _), task in queue.items() if task.alive}
            for submission in [item for item in over if item.job_name not in alive]:
                self.folder.forget(submission)
                over.remove(submission)
            if over and not self.flying:
                time.sleep(_LOOK_S)


def _fields(job):
    """Return the fields of a job but its specification as plain data, paths made absolute."""
    plain = {item.name: getattr(job, item.name) for item in fields(job) if item.name != "spec"}
    for name in ("run_directory", "index_directory"):
        if plain[name] is not None:
            plain[name] = str(Path(plain[name]).resolve())
    return plain


def _wait(seconds, stop):
    """Sleep, but not on after a stop was asked for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stop.requested:
        time.sleep(min(_LOOK_S, max(0.0, end - time.monotonic())))
