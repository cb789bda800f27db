"""One process per run directory: an orphan of a killed campaign must not write beside its successor."""

import errno
import os
from contextlib import contextmanager
from pathlib import Path

from simtools.core.errors import RunFailedError
from simtools.core.files import open_lock_file

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

__all__ = ["directory_lock"]

_BUSY = {errno.EACCES, errno.EAGAIN}


@contextmanager
def directory_lock(directory):
    """Hold `directory` for this process; the system lets go when the process ends, however it ends.

    Raises
    ------
    RunFailedError
        If another process holds it. File systems without locks are taken as they are.
    ConfigError
        If ``run.lock`` is a symbolic link, or no regular file.
    """
    path = Path(directory) / "run.lock"
    try:
        stream = open_lock_file(path)
    except OSError as error:
        raise RunFailedError(f"cannot write {path}: {error.strerror or error}") from error
    with stream:
        if fcntl is not None:
            _lock(stream, path)
        yield


def _lock(stream, path):
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _BUSY:
            return
        stream.seek(0)
        raise RunFailedError(
            f"{path.parent} is being run by another process ({stream.read().strip() or 'unknown'}); "
            "wait for it or stop it"
        ) from error
    stream.seek(0)
    stream.truncate(0)
    stream.write(f"pid {os.getpid()}")
    stream.flush()
