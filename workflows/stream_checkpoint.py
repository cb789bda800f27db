"""What a long analysis of files has summed so far, on disk: whole or absent, and for unchanged files only."""

import hashlib
import json
import os
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np

from simtools.core.errors import ConfigError
from simtools.core.files import read_text

__all__ = ["StreamCheckpoint", "fingerprint"]

_FOLDER = "stream"
_LAYOUT = 1  # of what the states hold
_SAMPLED_BYTES = 1 << 16


def fingerprint(paths):
    """Return {file: [size, time of change in ns, SHA-256 of its first and last 64 KiB]}."""
    return {str(path): _of_file(Path(path)) for path in paths}


def _of_file(path):
    digest, status = hashlib.sha256(), path.stat()
    with open(path, "rb") as file:
        digest.update(file.read(_SAMPLED_BYTES))
        file.seek(max(0, status.st_size - _SAMPLED_BYTES))
        digest.update(file.read(_SAMPLED_BYTES))
    return [status.st_size, status.st_mtime_ns, digest.hexdigest()]


class StreamCheckpoint:
    """The states of one analysis, one file for each replica, in ``DIR/stream``.

    Parameters
    ----------
    directory
        Where results go.
    files
        `fingerprint` of all trajectory files.
    settings
        What else the sums depend on, as JSON can say it.
    save_every_s
        Time between saved states, s.

    Raises
    ------
    ConfigError
        If states of other files, changed files or other settings are there: it says which.
    """

    def __init__(self, directory, files, settings, *, save_every_s):
        self.folder = Path(directory) / _FOLDER
        self._save_every_s, self._saved_at = save_every_s, time.monotonic()
        settings = {"layout": _LAYOUT, **settings}
        self._record = json.loads(json.dumps({"files": files, "settings": settings}))
        self._place = self.folder / "analysis.json"
        if self._place.is_file():
            self._compare()

    def _compare(self):
        try:
            found = json.loads(read_text(self._place))
            files, settings = found["files"], found["settings"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self._place} is damaged: {self._remedy}") from error
        for path, now in self._record["files"].items():
            if path in files and files[path] != now:
                raise ConfigError(
                    f"{path} has changed since the analysis in {self.folder} began, expected the same file: "
                    f"{self._remedy}"
                )
        changed = [name for name, value in self._record["settings"].items() if settings.get(name) != value]
        if list(files) != list(self._record["files"]):
            changed.insert(0, "files")
        if changed:
            raise ConfigError(
                f"{self.folder} holds an unfinished analysis with other {', '.join(changed)}: repeat that "
                f"one, or {self._remedy}"
            )

    @property
    def _remedy(self):
        return f"delete {self.folder} to begin anew, or choose another -o DIR"

    @property
    def is_due(self):
        """Whether the last state is old enough to be replaced."""
        return time.monotonic() - self._saved_at >= self._save_every_s

    def load(self, replica):
        """Return the last state of a replica as {name: array}, None where there is none."""
        path = self._path(replica)
        if not path.is_file():
            return None
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as state:
                return dict(state)
        except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ConfigError(f"{path} is damaged: {self._remedy}") from error

    def save(self, replica, state):
        """Keep the state of a replica in place of the one before; a kill leaves one of the two whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._place.is_file():
            self._replace(self._place, lambda file: file.write(json.dumps(self._record, indent=1).encode()))
        self._replace(self._path(replica), lambda file: np.savez(file, **state))
        self._saved_at = time.monotonic()

    def clear(self):
        """Take everything away once the results are written."""
        if self._place.is_file():
            shutil.rmtree(self.folder)

    def _path(self, replica):
        return self.folder / f"replica-{replica}.npz"

    @staticmethod
    def _replace(path, write):
        partial = path.with_name(f".{path.name}.partial")
        with open(partial, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
