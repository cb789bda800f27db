"""Chaos among the jobs of a real Slurm: `Chaos` with scancel. The trial itself is in chaos.py."""

import os
import signal
import subprocess
from pathlib import Path

from benchmarks.chaos import Chaos

__all__ = ["TABLE", "SlurmChaos"]

#: Limits short enough that jobs are requeued, long enough for a start of Python on a busy machine.
TABLE = """
[slurm]
time_limit_min = 2
signal_lead_s = 10
"""


class SlurmChaos(Chaos):
    """A campaign whose points are jobs of the Slurm in ``SLURM_CONF``."""

    acts = (*Chaos.acts, "cancel_task", "cancel_all")

    def options(self):
        """Return how the driver is told where points run."""
        return ["--executor", "slurm", "--max-concurrent", self.workers]

    def stop_worker(self):
        """SIGSTOP a job's process, which wakes up later; its driver goes on."""
        workers = self._workers()
        if workers:
            pid = self.rng.choice(workers)
            os.kill(pid, signal.SIGSTOP)
            self.asleep.append(pid)
            self.counts["worker asleep"] += 1

    def cancel_task(self):
        """``scancel`` one task of an array."""
        tasks = _asked("squeue", "--noheader", "--array", "--format=%i", f"--name={self._job_names()}")
        if tasks and _cancelled(self.rng.choice(tasks)):
            self.counts["task cancelled"] += 1

    def cancel_all(self):
        """``scancel`` every job of the campaign."""
        queued = _asked("squeue", "--noheader", "--format=%F", f"--name={self._job_names()}")
        if queued and _cancelled(f"--name={self._job_names()}"):
            self.counts["all cancelled"] += 1

    def close(self):
        """Cancel what is queued, stop what runs and give the disk back."""
        _cancelled(f"--name={self._job_names()}")
        super().close()

    def _job_names(self):
        notes = (self.directory / ".slurm" / "submissions").glob("*.json")
        return ",".join(f"simtools-{path.stem}" for path in notes) or "simtools-none"

    def _workers(self):
        found = []
        mark = f"SLURM_CONF={os.environ['SLURM_CONF']}".encode()
        for place in Path("/proc").glob("[0-9]*"):
            try:
                variables = (place / "environ").read_bytes().split(b"\0")
                words = (place / "cmdline").read_bytes().split(b"\0")
            except OSError:  # ended meanwhile
                continue
            in_job = any(word.startswith(b"SLURM_JOB_ID=") for word in variables)
            if mark in variables and in_job and b"submitit.core._submit" in words:
                found.append(int(place.name))
        return found


def _cancelled(what):
    """Call scancel; return whether it took it: a job may have ended meanwhile."""
    return subprocess.run(["scancel", what], capture_output=True).returncode == 0


def _asked(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
