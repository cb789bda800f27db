"""The folder ``.slurm`` of a run directory: what was submitted, how it ended, and submitit's own files.

Only the user can enter it. Every submission gets a new folder in it with a name that nobody could foresee, so
that no pickle which came with a run directory is ever read; what simtools itself reads back is JSON.
"""

import os
import re
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from simtools.core.errors import ConfigError
from workflows.statepoints import DamagedFileError, read_json, write_json

__all__ = ["SlurmFolder", "Submission"]

_NAME = ".slurm"
_TOKEN = re.compile(r"[0-9a-f]{16}")  # it becomes part of paths that are removed


@dataclass(frozen=True)
class Submission:
    """Points that were handed to Slurm as one array: their folder names by array index."""

    token: str
    points: tuple[str, ...]

    @property
    def job_name(self):
        """Name of the job in Slurm's queue, by which it is found again."""
        return f"simtools-{self.token}"


class SlurmFolder:
    """``.slurm`` of one run directory.

    Parameters
    ----------
    run_directory
        Created by its campaign.

    Raises
    ------
    ConfigError
        If somebody else could write in it, or the path has characters that Slurm gives a meaning.
    """

    def __init__(self, run_directory):
        run_directory = Path(run_directory).resolve()
        if "%" in str(run_directory) or not str(run_directory).isprintable():
            raise ConfigError(
                f"-o {run_directory}: Slurm gives % in a path a meaning, expected a path without it and "
                "without control characters"
            )
        self.path = _private(run_directory / _NAME)
        self._submissions = _private(self.path / "submissions")
        self._records = _private(self.path / "records")

    def new_submission(self, points):
        """Note durably that `points` are about to be submitted; return the `Submission`."""
        points = list(points)
        submission = Submission(secrets.token_hex(8), tuple(points))
        self.job_folder(submission).mkdir(mode=0o700)
        write_json(self._submission_file(submission.token), {"points": points})
        return submission

    def submissions(self):
        """Return every `Submission` noted and not yet forgotten.

        Raises
        ------
        ConfigError
            If a file among them is none of ours, or damaged.
        """
        found = []
        for path in sorted(self._submissions.glob("*.json")):
            if not _TOKEN.fullmatch(path.stem):
                raise ConfigError(f"{path}: not the name of a submission of ours; remove it")
            points = read_json(path).get("points")
            if not isinstance(points, list) or not all(isinstance(name, str) for name in points):
                raise DamagedFileError(f"{path}: damaged, expected a list of points; remove it")
            found.append(Submission(path.stem, tuple(points)))
        return found

    def job_folder(self, submission):
        """Return where submitit keeps its files of a submission."""
        return self.path / submission.token

    def record_file(self, submission, index):
        """Return where the task of a point says how it ended."""
        return self._records / f"{submission.token}-{index}.json"

    def record(self, submission, index):
        """Return what the task of a point said last, or an empty dictionary."""
        path = self.record_file(submission, index)
        return read_json(path) if path.exists() else {}

    def forget(self, submission):
        """Remove what was kept of a submission."""
        shutil.rmtree(self.job_folder(submission), ignore_errors=True)
        for index in range(len(submission.points)):
            self.record_file(submission, index).unlink(missing_ok=True)
        self._submission_file(submission.token).unlink(missing_ok=True)

    def _submission_file(self, token):
        return self._submissions / f"{token}.json"


def _private(path):
    """Create `path` for the user alone, or make sure that it is such a folder."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        found = path.lstat()
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
        if not ours:
            raise ConfigError(
                f"{path}: expected a folder of yours that nobody else can enter; remove it"
            ) from None
    return path
