"""Text files, plain or compressed, that cannot fill the memory: bounded lines, bounded expansion."""

import bz2
import gzip
import io
import zlib
from pathlib import Path

__all__ = ["READING_ERRORS", "UnreadableTextError", "open_text"]

_CHUNK = 1 << 18
_LONGEST_LINE = 1 << 22
_LARGEST_EXPANSION = 100  # trajectories shrink by 2 to 10, vasprun.xml by up to 30
_ALWAYS_ALLOWED = 1 << 24
READING_ERRORS = (OSError, EOFError, ValueError, zlib.error)


class UnreadableTextError(OSError):
    """A text file expands, or goes on without a line's end, as no trajectory does."""


class _Bounded(io.RawIOBase):
    """Bytes of a file, counted."""

    def __init__(self, stream, most_bytes):
        self._stream, self._most_bytes = stream, most_bytes
        self._total = self._line = 0

    def readable(self):
        return True

    def close(self):
        self._stream.close()
        super().close()

    def readinto(self, buffer):
        found = self._stream.read(len(buffer))
        n = len(found)
        buffer[:n] = found
        self._total += n
        if self._most_bytes is not None and self._total > self._most_bytes:
            raise UnreadableTextError(
                f"it expands to over {_LARGEST_EXPANSION} times its size; if that is meant, unpack it first"
            )
        ended = found.rfind(b"\n")
        self._line = self._line + n if ended < 0 else n - ended - 1
        if self._line > _LONGEST_LINE:
            raise UnreadableTextError(f"a line goes on for over {_LONGEST_LINE} bytes")
        return n


def open_text(path):
    """Open a text file, plain, gzip or bzip2 by its first bytes.

    Reading raises `UnreadableTextError` where a line is over 4 MiB, or a compressed file becomes over a
    hundred times its size (and 16 MiB).
    """
    with open(path, "rb") as stream:
        magic = stream.read(3)
    opener = gzip.open if magic[:2] == b"\x1f\x8b" else bz2.open if magic == b"BZh" else None
    if opener is None:
        stream, most_bytes = open(path, "rb"), None
    else:
        stream = opener(path, "rb")
        most_bytes = _ALWAYS_ALLOWED + _LARGEST_EXPANSION * Path(path).stat().st_size
    buffered = io.BufferedReader(_Bounded(stream, most_bytes), _CHUNK)
    return io.TextIOWrapper(buffered, encoding="utf-8", errors="replace")
