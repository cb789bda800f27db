"""Bytes of a binary trajectory, with file and frame for complaints; nothing is taken that is not there."""

import struct
from pathlib import Path

import numpy as np

from simtools.md.formats.raw import Place

__all__ = ["FrameBytes", "in_double", "single_spacing"]


class FrameBytes(Place):
    """A binary file read piece by piece; sizes are held against what is left before memory is taken."""

    def __init__(self, path):
        super().__init__(path)
        self._stream = open(path, "rb")
        self.at, self.size = 0, Path(path).stat().st_size

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._stream.close()

    @property
    def left(self):
        """Bytes between here and the end of the file."""
        return self.size - self.at

    def take(self, n_bytes, what):
        """Return the next bytes; complain where there are fewer, or a negative number is asked for."""
        self._need(n_bytes, what)
        found = self._stream.read(n_bytes)
        self.at += len(found)
        if len(found) < n_bytes:
            raise self.cut(f"expected {n_bytes} bytes of {what}, the file has shrunk")
        return found

    def skip(self, n_bytes, what):
        """Pass over bytes that must be there."""
        self._need(n_bytes, what)
        self._stream.seek(n_bytes, 1)
        self.at += n_bytes

    def go(self, place, what):
        """Go to a byte of the file, which must be in it."""
        if not 0 <= place <= self.size:
            raise self.wrong(f"expected {what} within the {self.size} bytes of the file, at byte {place}")
        self._stream.seek(place)
        self.at = place

    def _need(self, n_bytes, what):
        if n_bytes < 0:
            raise self.wrong(f"expected {what} at byte {self.at}, its length reads {n_bytes}")
        if n_bytes > self.left:
            raise self.cut(f"expected {n_bytes} bytes of {what} at byte {self.at}, {self.left} are left")

    def unpack(self, layout, what):
        """Return the numbers of a header, by a `struct` layout."""
        return struct.unpack(layout, self.take(struct.calcsize(layout), what))

    def numbers(self, count, kind, what):
        """Return `count` numbers of a numpy type, big or little endian as `kind` says."""
        return np.frombuffer(self.take(count * np.dtype(kind).itemsize, what), dtype=kind)


def single_spacing(values):
    """Return half the spacing of the largest number in its own precision, in its unit."""
    largest = np.abs(values[np.isfinite(values)]).max(initial=0.0)
    return float(np.spacing(largest.astype(values.dtype.newbyteorder("=")))) / 2


def in_double(values):
    """Return numbers in double precision; what is not finite stays so, without a complaint here."""
    with np.errstate(invalid="ignore"):
        return values.astype(float)
