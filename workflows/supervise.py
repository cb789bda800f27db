"""One or several campaigns run to their end by one executor: tries, quarantine, and the status index.

What a campaign's points are is in campaign.py; what a failure means in failures.py.
"""

from dataclasses import dataclass, field, replace

from workflows import failures
from workflows.index import NAME, StatusIndex, read_index
from workflows.point import finished
from workflows.statepoints import write_json

__all__ = ["RETRIES", "Supervised", "supervise"]

RETRIES = 2


@dataclass
class Supervised:
    """How the points of one or several campaigns ended.

    Attributes
    ----------
    failures
        `workflows.point.PointOutcome` of those that failed now and may be tried again by the same command.
    quarantined
        {name: reason} of those set aside, now or earlier.
    n_done, n_points
        Of all.
    stopped
        Whether some are left for another reason than failure.
    """

    failures: list = field(default_factory=list)
    quarantined: dict = field(default_factory=dict)
    n_done: int = 0
    n_points: int = 0
    stopped: bool = False


class _Halt:
    """A stop request that the disk can make as well as the user."""

    def __init__(self, stop):
        self._stop = stop
        self.by_disk = False

    def __call__(self):
        return self.by_disk or self._stop()

    @property
    def requested(self):
        return self.by_disk or self._stop.requested


def supervise(
    campaigns, directory, *, executor, stop, display, retries=RETRIES, lift=False, before_first=None
):
    """Run what is missing of `campaigns`; return a `Supervised`.

    Parameters
    ----------
    campaigns
        `workflows.campaign.Campaign` of every case.
    directory
        Where the index is.
    executor, stop, display
        As for `workflows.campaign.run_campaign`.
    retries
        How often in a row a point that crashed is tried again.
    lift
        Whether to try quarantined points again.
    before_first
        Called before the first point runs.
    """
    run = _Supervision(campaigns, directory, _Halt(stop), display, retries)
    jobs = run.begin(lift)
    if jobs and not run.halt.requested:
        if before_first is not None:
            before_first()
        executor.run(jobs, after=run.after, stop=run.halt, display=display)
    return run.end()


class _Supervision:
    def __init__(self, campaigns, directory, halt, display, retries):
        self.campaigns = {campaign.case: campaign for campaign in campaigns}
        self.index = StatusIndex(directory)
        self.directory = directory
        self.halt, self.display, self.retries = halt, display, retries
        self.result = Supervised(n_points=sum(campaign.n_points for campaign in campaigns))
        self.failed = {}
        self._told_index = False

    def begin(self, lift):
        """Compare the index with what is on the disk, and return the points to run."""
        known = read_index(self.directory)
        known = {} if known is None else dict(known.points)
        jobs, events = [], [{"event": "plan", "n_points": self.result.n_points}]
        for campaign in self.campaigns.values():
            for job, outcome in campaign.points():
                state = known.pop(job.name, {}).get("event")
                reason = None if outcome is not None else failures.quarantined(job.directory)
                if reason is not None and lift:
                    failures.lift_quarantine(job.directory)
                    reason = None
                if outcome is not None:
                    if not (job.directory / "spec.json").exists():
                        write_json(job.directory / "spec.json", job.spec.to_dict())
                    wanted, more = ("done",), {"temperature_K": outcome.get("mean_temperature_K")}
                elif reason is not None:
                    self.result.quarantined[job.name] = reason
                    wanted, more = ("quarantined",), {"message": reason}
                else:
                    jobs.append(job)
                    wanted, more = ("known", "started", "stopped", "failed"), {}
                if state not in wanted:
                    events.append({"event": wanted[0], **_about(job), **more})
        events += [{"event": "forgotten", "point": name} for name in known]
        self.note(*events)
        return jobs

    def after(self, job, outcome):
        """Take note of how a point ended; return the points that this makes possible, or it again."""
        if outcome.status == "failed":
            return self._after_failure(job, outcome)
        self.failed.pop(job.name, None)
        if outcome.status != "done":
            if outcome.message:
                self.display.note(f"{job.label}: {outcome.message}")
            return []
        failures.clear_tries(job.directory)
        if job.spec.role != "volume":
            return []
        campaign = self.campaigns[job.case]
        added = campaign.production_jobs(job.spec.temperature_K, outcome.outcome)
        added = [new for new in added if finished(new) is None and not failures.quarantined(new.directory)]
        self.note(*({"event": "known", **_about(new)} for new in added))
        return added

    def _after_failure(self, job, outcome):
        try:
            decision = failures.judge(job, outcome, retries=self.retries)
            if decision == "quarantine":
                failures.quarantine(job, outcome)
        except OSError:  # where not even this can be noted, nothing can be computed either
            decision = "wait"
        if decision == "retry":
            self.display.note(f"{job.label}: {outcome.message}; tried again")
            return [job]
        if decision == "quarantine":
            self.result.quarantined[job.name] = outcome.message
            self.note({"event": "quarantined", **_about(job), "message": outcome.message})
            self.display.note(f"{job.label} is set aside: {outcome.message}\n  log: {outcome.log}")
            return []
        self.failed[job.name] = replace(outcome, name=job.name)
        self.note({"event": "failed", **_about(job), "message": outcome.message})
        self.display.note(f"{job.label} failed: {outcome.message}\n  log: {outcome.log}")
        self.halt.by_disk = self.halt.by_disk or decision == "wait"
        return []

    def end(self):
        """Count what is done."""
        result = self.result
        result.failures = list(self.failed.values())
        result.n_done = sum(
            outcome is not None for campaign in self.campaigns.values() for _, outcome in campaign.points()
        )
        left = result.n_points - result.n_done
        result.stopped = left > 0 and (self.halt.requested or not (result.failures or result.quarantined))
        return result

    def note(self, *events):
        """Add to the index; what a full disk refuses is put right by the next run, and said once."""
        try:
            if events:
                self.index.append(*events)
        except OSError as error:
            if not self._told_index:
                self._told_index = True
                self.display.note(
                    f"{self.directory / NAME}: {error.strerror}; simtools status is behind until the next run"
                )


def _about(job):
    return {"point": job.name, "label": job.label, "case": job.case}
