"""Points to Slurm as one job array, through submitit."""

import importlib
import os
import shlex
import shutil
import sys
from contextlib import contextmanager

from simtools.core.errors import ConfigError, RunFailedError
from workflows.node import thread_lines
from workflows.slurm_queue import QueueUnavailableError
from workflows.slurm_task import run_in_job

__all__ = ["check_available", "submit"]

_OF_THE_SITE = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")
_BUSY = ("timed out", "unable to contact", "temporarily", "connection refused", "try again", "resource limit")


def check_available():
    """Refuse early where submitit or Slurm is missing.

    Raises
    ------
    ConfigError
        Saying what to install, or that Slurm's programs are not here.
    """
    _submitit()
    missing = [name for name in ("sbatch", "squeue", "scontrol", "srun") if shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"--executor slurm: no {', '.join(missing)} on this machine; run it on the cluster's login node"
        )


def submit(folder, job_name, tasks, settings):
    """Submit `tasks` as one array called `job_name`; return its number in Slurm.

    Python replaces the batch shell, so that Slurm's signal reaches it, and job steps (srun) are left to the
    point. It does not look for modules in the current folder (``-P``).

    Parameters
    ----------
    folder
        New, for submitit's files: its scripts, logs and pickles.
    job_name
        In the queue.
    tasks
        What `workflows.slurm_task.run_in_job` takes, by array index.
    settings
        `workflows.slurm_settings.SlurmSettings`.

    Raises
    ------
    QueueUnavailableError
        If Slurm is too busy to answer; whether it took the job is not known.
    RunFailedError
        If Slurm refuses the job, with its reason.
    """
    submitit = _submitit()
    executor = submitit.SlurmExecutor(
        folder=folder, max_num_timeout=0, python=f"exec {shlex.quote(sys.executable)} -P"
    )
    executor.update_parameters(
        job_name=job_name,
        time=settings.time_limit_min,
        signal_delay_s=settings.signal_lead_s,
        setup=[*thread_lines(settings.cpus_per_task), *settings.setup],
        use_srun=False,
        wckey=None,
        stderr_to_stdout=True,
        array_parallelism=len(tasks),
        additional_parameters=settings.sbatch_options(),
    )
    try:
        with _outside_of_any_job(), executor.batch():
            jobs = [executor.submit(run_in_job, task) for task in tasks]
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        reason = " ".join(str(error).split())
        if any(word in reason.lower() for word in _BUSY):
            raise QueueUnavailableError(f"sbatch: {reason}") from error
        raise RunFailedError(f"Slurm refuses the job: {reason}") from error
    return jobs[0].job_id.split("_")[0]


@contextmanager
def _outside_of_any_job():
    """Hide what Slurm told the job in which this process may be running: sbatch would hand it on."""
    inherited = [name for name in os.environ if name.startswith("SLURM_") and name not in _OF_THE_SITE]
    hidden = {name: os.environ.pop(name) for name in inherited}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _submitit():
    try:
        return importlib.import_module("submitit")
    except ImportError as error:
        raise ConfigError(
            "--executor slurm needs submitit, which is not installed: pip install "
            "'antiperovskite-simtools[slurm]', or write plain scripts with simtools export"
        ) from error
