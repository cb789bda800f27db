"""What a failed try of a point means: again, not again, or nothing can be written and all must wait.

The reasons are kept beside the point: ``tries.json`` while it may be tried again, ``quarantine.json`` with
its evidence once it may not.
"""

import errno
import os
from pathlib import Path

from potentials.lammps_library import LammpsEndedError
from simtools.core.errors import ConfigError, RunFailedError, SimtoolsError
from simtools.core.provenance import collect_provenance
from simtools.md.checkpoint import CHECKPOINT_NAMES
from workflows.statepoints import DamagedFileError, read_json, write_json

__all__ = [
    "DISK_ERRORS",
    "QUARANTINE",
    "clear_tries",
    "judge",
    "kind_of",
    "lift_quarantine",
    "one_line",
    "quarantine",
    "quarantined",
]

TRIES = "tries.json"
QUARANTINE = "quarantine.json"
DISK_ERRORS = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room within the quota",
    errno.EROFS: "make the file system writable",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
}
_EVIDENCE = ("failure.xyz", "log.txt", "thermo.csv", *CHECKPOINT_NAMES, "trajectory")


def kind_of(error):
    """Return what kind of failure an exception is.

    Returns
    -------
    str
        ``disk``: nothing can be written at the moment; ``input``: a file or a value that the user has to set
        right; ``physics``: a guard stopped the dynamics, and would again; ``error``: anything else.
    """
    seen = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in DISK_ERRORS:
            return "disk"
        if isinstance(seen, LammpsEndedError):
            return "error"
        seen = seen.__cause__ or seen.__context__
    if isinstance(error, (ConfigError, DamagedFileError)):
        return "input"
    if isinstance(error, RunFailedError) and not isinstance(error.__cause__, OSError):
        return "physics"
    return "error"


def one_line(error):
    """Return an exception as one line for the user; of a disk's refusal, with the cure."""
    text = " ".join(str(error).split()) or type(error).__name__
    if kind_of(error) == "disk":
        seen = error
        while not isinstance(seen, OSError) or seen.errno not in DISK_ERRORS:
            seen = seen.__cause__ or seen.__context__
        return (
            f"{os.strerror(seen.errno)}: what was checkpointed is kept; {DISK_ERRORS[seen.errno]} and run "
            "the same command again"
        )
    return text if isinstance(error, SimtoolsError) else f"{type(error).__name__}: {text}"


def judge(job, outcome, *, retries):
    """Return what to do about a failed try: ``retry``, ``quarantine``, ``wait`` (the disk) or ``report``.

    Parameters
    ----------
    job, outcome
        The point and how the try ended.
    retries
        How often to try again in a row. Tries that got as far as a new checkpoint are not counted.
    """
    if outcome.kind == "disk":
        return "wait"
    if outcome.kind == "input":
        return "report"
    if outcome.kind == "physics":
        return "quarantine"
    tries = [*_tries(job.directory), _try(job.directory, outcome)]
    write_json(job.directory / TRIES, {"tries": tries}, durable=False)
    in_a_row = 0
    for row in reversed(tries):
        if row["checkpoint"] != tries[-1]["checkpoint"]:
            break
        in_a_row += 1
    return "retry" if in_a_row <= retries else "quarantine"


def quarantine(job, outcome):
    """Set a point aside until `lift_quarantine`; return what ``quarantine.json`` holds."""
    directory = job.directory
    record = {
        "reason": outcome.message,
        "kind": outcome.kind,
        "tries": _tries(directory) or [_try(directory, outcome)],
        "evidence": [name for name in _EVIDENCE if (directory / name).exists()],
        "provenance": collect_provenance(point=job.spec.name, seeds=job.spec.inputs["seeds"]),
    }
    write_json(directory / QUARANTINE, record)
    return record


def quarantined(directory):
    """Return the reason why the point in `directory` was set aside, or None."""
    path = Path(directory) / QUARANTINE
    return str(read_json(path).get("reason")) if path.exists() else None


def lift_quarantine(directory):
    """Let a point be run again; the old record stays beside it under another name."""
    path = Path(directory) / QUARANTINE
    number = 1
    while path.with_name(f"quarantine-{number}.json").exists():
        number += 1
    path.replace(path.with_name(f"quarantine-{number}.json"))
    clear_tries(directory)


def clear_tries(directory):
    """Forget the tries of a point that is done or may start afresh."""
    (Path(directory) / TRIES).unlink(missing_ok=True)


def _tries(directory):
    path = Path(directory) / TRIES
    rows = read_json(path).get("tries") if path.exists() else []
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "checkpoint" in row for row in rows):
        raise DamagedFileError(f"{path}: damaged, no list of tries in it; remove it")
    return rows


def _try(directory, outcome):
    about = collect_provenance()
    return {
        "kind": outcome.kind,
        "reason": outcome.message,
        "host": about["host"],
        "time_utc": about["time_utc"],
        "checkpoint": _checkpoint_mark(directory),
    }


def _checkpoint_mark(directory):
    """Return a text that changes with every checkpoint."""
    stats = [(directory / name).stat() for name in CHECKPOINT_NAMES if (directory / name).exists()]
    return " ".join(f"{stat.st_ino}:{stat.st_mtime_ns}" for stat in stats)
