"""Files that somebody else may have put where we look: nothing waits on a pipe or reads a device.

What a file may say is its reader's business; where symbolic links may lead, that of workflows/safety.py.
"""

import os
import stat
from pathlib import Path

from simtools.core.errors import ConfigError

__all__ = [
    "LARGEST_RECORD",
    "UnusualFileError",
    "open_lock_file",
    "open_regular",
    "read_regular",
    "read_text",
]

#: Most bytes that a record (JSON, TOML, a table) is read with.
LARGEST_RECORD = 1 << 30
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class UnusualFileError(ConfigError):
    """A path is no regular file, or far larger than what it stands for."""


def open_regular(path):
    """Return a binary stream of a regular file; a symbolic link is followed to one.

    Raises
    ------
    UnusualFileError
        If it is a pipe, a device, a socket or a folder: opening those may wait for ever.
    OSError
        If there is none, or it cannot be opened.
    """
    _check(path, os.stat(path))
    stream = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY))
    try:
        _check(path, os.fstat(stream.fileno()))
    except UnusualFileError:
        stream.close()
        raise
    return stream


def read_regular(path, *, most_bytes=LARGEST_RECORD):
    """Return the content of a regular file.

    Raises
    ------
    UnusualFileError
        As `open_regular`, and if there are more than `most_bytes`.
    OSError
        As `open_regular`.
    """
    with open_regular(path) as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise UnusualFileError(f"{path}: expected at most {most_bytes} bytes, there are more")
    return content


def read_text(path, *, most_bytes=LARGEST_RECORD):
    """Return a regular file as UTF-8 text; `UnicodeDecodeError` if it is none. See `read_regular`."""
    return read_regular(path, most_bytes=most_bytes).decode("utf-8")


def open_lock_file(path):
    """Return a file of ours, made if need be, as a stream for reading and writing; nothing in it is changed.

    Raises
    ------
    UnusualFileError
        If it is a symbolic link (a lock is never taken through one) or no regular file.
    OSError
        If it cannot be made or opened.
    """
    if os.path.islink(path):
        raise UnusualFileError(
            f"{path}: a symbolic link to {os.readlink(path)[:200]!r}, expected a file; nothing is written "
            "through it: remove it"
        )
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    descriptor = os.open(path, flags, 0o666)
    try:
        _check(path, os.fstat(descriptor))
    except UnusualFileError:
        os.close(descriptor)
        raise
    return open(descriptor, "r+", encoding="utf-8")


def _check(path, status):
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "something else")
        raise UnusualFileError(f"{Path(path)}: expected a file, found {kind}")
