"""What has happened to every point, one line per event: all that ``simtools status`` needs to read.

The truth is in the points' folders; the index repeats it so that ten thousand of them need not be opened, and
`simtools run` compares the two at its start. Every line carries a checksum, so that what a killed write or a
full disk left behind is told from an event and skipped.
"""

import errno
import fcntl
import json
import os
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from simtools.core.errors import ConfigError
from simtools.core.files import read_regular

__all__ = ["EVENTS", "NAME", "IndexState", "StatusIndex", "read_index"]

NAME = "index.log"
EVENTS = ("plan", "known", "started", "stopped", "failed", "quarantined", "done", "forgotten")
_LARGEST = 1 << 30
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@dataclass(frozen=True)
class IndexState:
    """What the index says.

    Attributes
    ----------
    points
        {name: last event}, in the order in which the points became known; an event is a dict with ``event``,
        ``label``, ``case`` and what was noted with it.
    plan
        The last ``plan`` event: ``n_points`` of the whole campaign.
    n_damaged
        Lines that are not whole.
    """

    points: dict
    plan: dict
    n_damaged: int


class StatusIndex:
    """Appends events to a run directory's index; processes of one machine or of several may do so at once."""

    def __init__(self, directory):
        self.path = Path(directory) / NAME

    def append(self, *events):
        """Add events, each a dict with ``event`` (one of `EVENTS`) and, but for ``plan``, ``point``.

        Raises
        ------
        OSError
            If they cannot be written whole; what was written of them is ignored by readers.
        """
        text = b"".join(_line(event) for event in events)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.path, flags, 0o666)
        try:
            _lock(descriptor)
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                text = b"\n" + text
            while text:
                text = text[os.write(descriptor, text) :]
        except OSError as error:
            error.filename = error.filename or str(self.path)
            raise
        finally:
            os.close(descriptor)


def read_index(directory):
    """Return the `IndexState` of a run directory, or None if it has no index.

    Raises
    ------
    ConfigError
        If the index cannot be read.
    """
    path = Path(directory) / NAME
    try:
        content = read_regular(path, most_bytes=_LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    points, plan, damaged = {}, {}, 0
    for line in content.split(b"\n"):
        if not line:
            continue
        event = _event(line)
        if event is None:
            damaged += 1
        elif event["event"] == "plan":
            plan = event
        elif event["event"] == "forgotten":
            points.pop(event["point"], None)
        else:
            points[event["point"]] = {**points.get(event["point"], {}), **event}
    return IndexState(points, plan, damaged)


def _line(event):
    if event["event"] not in EVENTS:
        raise ValueError(f"no event {event['event']!r}")
    text = json.dumps({"time_s": int(time.time()), **event}, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _event(line):
    """Return the event of a line, or None unless it is whole and says what it must."""
    if line[8:9] != b" " or b"%08x" % zlib.crc32(line[9:]) != line[:8]:
        return None
    try:
        event = json.loads(line[9:])
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or event.get("event") not in EVENTS:
        return None
    return event if event["event"] == "plan" or isinstance(event.get("point"), str) else None


def _lock(descriptor):
    """Wait for the file's lock: with it, appending is safe on network file systems too if they lock."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
