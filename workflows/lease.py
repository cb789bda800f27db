"""Who may run a point: a lease with a growing number, taken over from an owner that is dead.

Files only, so that it works between the nodes of a cluster: a lease is made by an atomic hard link, its owner
writes a counter every few seconds, and another process believes it dead when that counter has stood still for
`patience_s` of its own monotonic clock (no two clocks are compared). An owner that was only asleep finds out
before it publishes anything: see `Lease.__call__`.

Order matters: an owner writes a temporary file, looks at the fence, renames; a successor takes the lease,
then deletes its predecessors' temporary files. So a late owner either sees that the lease is gone, or its own
file is.
"""

import errno
import json
import math
import os
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from simtools.core.errors import LeaseLostError, RunFailedError
from simtools.core.files import read_regular, read_text
from workflows.lease_owner import describe_self, has_ended

__all__ = ["BEAT_S", "FOLDER", "PATIENCE_S", "Lease", "LeaseHeldError", "hold_lease"]

FOLDER = "lease"
BEAT_S = 5.0
PATIENCE_S = 60.0
_ASK_S = 15.0  # between two questions to Slurm
_WIDTH = 20  # digits of the counter: rewritten in place, so a full disk does not silence an owner
_RELEASED = b"released".ljust(_WIDTH)


class LeaseHeldError(RunFailedError):
    """Another process that is alive runs this point."""


@dataclass
class Lease:
    """The right to write in `directory`, as far as this process knows; call it before publishing."""

    directory: Path
    number: int
    nonce: str

    @property
    def mark(self):
        """Part of the names of this owner's temporary files."""
        return f".{self.number:06d}-{self.nonce}"

    def __call__(self):
        """Raise unless this lease is the newest in its directory.

        Raises
        ------
        LeaseLostError
            If another process has taken over, or the directory was removed or replaced.
        """
        folder = self.directory / FOLDER
        numbers = _numbers(folder)  # opening the folder makes a network file system ask its server
        owner = _owner(folder, self.number) if numbers and numbers[-1] == self.number else None
        if owner is None or owner.get("nonce") != self.nonce:
            raise LeaseLostError(
                f"{self.directory}: another process has taken this point over, or its folder was replaced; "
                "nothing more is written by this one"
            )


@contextmanager
def hold_lease(directory, *, beat_s=BEAT_S, patience_s=PATIENCE_S, should_stop=None):
    """Hold the lease of a point's folder, waiting for one that may be dead.

    Parameters
    ----------
    directory
        Folder of the point; it must exist.
    beat_s
        Between two heartbeats, s.
    patience_s
        How long a heartbeat must stand still before its owner is taken for dead, s. Owners that are known to
        be dead (same machine, no such process; Slurm has ended their job or started it again) and those that
        let go are not waited for.
    should_stop
        Polled while waiting; true gives up.

    Yields
    ------
    Lease

    Raises
    ------
    LeaseHeldError
        If the owner is alive.
    """
    directory = Path(directory)
    lease = _take(directory, patience_s, should_stop)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(lease, ended, beat_s), daemon=True)
    beating.start()
    try:
        _delete_partials(lease)
        yield lease
    finally:
        ended.set()
        beating.join()
        _let_go(lease)


def _take(directory, patience_s, should_stop):
    folder = directory / FOLDER
    watched, seen, since, asked = None, None, None, -math.inf
    poll_s = min(0.5, patience_s / 20)
    while True:
        numbers = _numbers(folder)
        newest = numbers[-1] if numbers else 0
        if newest == 0:
            folder.mkdir(exist_ok=True)
        ask = time.monotonic() - asked >= _ASK_S
        asked = time.monotonic() if ask else asked
        if newest == 0 or _is_free(folder, newest, ask):
            lease = _create(directory, newest + 1)
            if lease is not None:
                return lease
            continue
        beat, now = _read_beat(folder, newest), time.monotonic()
        if newest != watched:
            watched, seen, since = newest, beat, now
        elif beat != seen:
            owner = _owner(folder, newest) or {}
            raise LeaseHeldError(
                f"{directory} is being run by another process (pid {owner.get('pid')} on "
                f"{owner.get('host')}); wait for it or stop it"
            )
        elif now - since > patience_s:
            lease = _create(directory, newest + 1)
            if lease is not None:
                return lease
        if should_stop is not None and should_stop():
            raise LeaseHeldError(f"{directory}: stopped while waiting for the process that ran it before")
        time.sleep(poll_s)


def _create(directory, number):
    """Make lease `number` and return it, or None if another process was faster."""
    folder = directory / FOLDER
    lease = Lease(directory, number, secrets.token_hex(4))
    record = {"nonce": lease.nonce, **describe_self()}
    beat = folder / f"{number:06d}-{lease.nonce}.beat"
    draft = folder / f"{number:06d}-{lease.nonce}.draft"
    try:
        beat.write_bytes(b"0".rjust(_WIDTH))
        with open(draft, "w", encoding="utf-8") as stream:
            json.dump(record, stream)
            stream.flush()
            os.fsync(stream.fileno())
        made = _linked(draft, folder / f"{number:06d}.lease") and _numbers(folder)[-1:] == [number]
    except OSError:
        beat.unlink(missing_ok=True)
        raise
    finally:
        draft.unlink(missing_ok=True)
    if not made:
        beat.unlink(missing_ok=True)
        return None
    for path in list(folder.iterdir()):
        if path.name[:6].isdecimal() and int(path.name[:6]) < number:
            path.unlink(missing_ok=True)
    return lease


def _linked(draft, path):
    """Give `draft` its second name `path`; return whether it was this process that did."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return draft.stat().st_nlink == 2  # a network file system may have done it and lost the answer
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
            raise
        try:  # no hard links here
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        with open(descriptor, "wb") as stream:
            stream.write(draft.read_bytes())
    return True


def _beat(lease, ended, beat_s):
    """Renew the counter until the lease ends; a beat that fails is tried again at its next turn."""
    count = 0
    while not ended.wait(beat_s):
        count += 1
        try:
            _write_beat(lease, str(count).rjust(_WIDTH).encode())
        except OSError:
            continue  # the fence is what protects the data; a disk that comes back hears the next beat


def _write_beat(lease, content):
    path = lease.directory / FOLDER / f"{lease.number:06d}-{lease.nonce}.beat"
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(descriptor, content, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _let_go(lease):
    """Say that the lease is free; where that cannot be written its successor has to wait, and tidies up."""
    try:
        _delete_partials(lease, own=True)
        _write_beat(lease, _RELEASED)
    except OSError:
        return


def _delete_partials(lease, *, own=False):
    """Delete the temporary files of all other owners, or this owner's own, if it was ended in between."""
    for folder in (lease.directory, lease.directory / "trajectory"):
        names = os.listdir(folder) if folder.is_dir() else ()
        for name in names:
            if name.endswith(".partial") and (lease.mark in name) == own:
                (folder / name).unlink(missing_ok=True)


def _numbers(folder):
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return sorted(int(name[:-6]) for name in names if name.endswith(".lease") and name[:-6].isdecimal())


def _owner(folder, number):
    try:
        record = json.loads(read_text(folder / f"{number:06d}.lease"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _read_beat(folder, number):
    owner = _owner(folder, number)
    if owner is None:
        return None
    try:
        return read_regular(folder / f"{number:06d}-{owner.get('nonce')}.beat")
    except (OSError, ValueError):
        return None


def _is_free(folder, number, ask_slurm):
    """Return whether the owner let go or has certainly ended."""
    return _read_beat(folder, number) == _RELEASED or has_ended(_owner(folder, number), ask_slurm=ask_slurm)
