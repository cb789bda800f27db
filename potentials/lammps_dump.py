"""What LAMMPS writes while it runs, read back: binary dumps of atoms and tables of averages."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from potentials.lammps_library import LammpsError

__all__ = ["Snapshot", "read_dump", "read_table"]

_MAGIC = b"DUMPCUSTOM"


@dataclass(frozen=True)
class Snapshot:
    """All atoms at one step, in the order of their numbers, in LAMMPS' own orientation.

    `origin_A` shape (3,) and `cell_A` shape (3, 3) are the box; `columns` maps the name of each dumped
    quantity to its values, shape (n_atoms,).
    """

    step: int
    origin_A: np.ndarray
    cell_A: np.ndarray
    columns: dict

    def vectors(self, *names):
        """Return three columns as an array of shape (n_atoms, 3)."""
        return np.stack([self.columns[name] for name in names], axis=1)


def read_dump(path, offset=0):
    """Return (list of `Snapshot`, offset after the last whole one) of a binary ``dump custom`` with ids.

    Parameters
    ----------
    path
        Written by ``dump custom`` to a file that ends in ``.bin``.
    offset
        Where to begin, in bytes.

    Raises
    ------
    LammpsError
        If the file is not such a dump, revision 2 of the format or later.
    """
    snapshots = []
    with open(path, "rb") as stream:
        stream.seek(offset)
        while True:
            try:
                snapshot = _read_snapshot(stream, path)
            except EOFError:
                return snapshots, offset
            snapshots.append(snapshot)
            offset = stream.tell()


def _read_snapshot(stream, path):
    (length,) = _take(stream, "q")
    if length >= 0 or _bytes(stream, -length) != _MAGIC:
        raise LammpsError(f"{path}: not a binary dump of atoms, expected one of format revision 2")
    _endian, revision, step, _n_atoms, triclinic, *_boundary = _take(stream, "iiqqi6i")
    if revision < 2 or triclinic not in (0, 1):
        raise LammpsError(
            f"{path}: dump revision {revision} with box type {triclinic}, expected revision 2 and no general "
            "triclinic box"
        )
    origin, cell = _box(np.array(_take(stream, "6d")), _take(stream, "3d") if triclinic else (0.0, 0.0, 0.0))
    _take(stream, "i")
    (n_units,) = _take(stream, "i")
    _bytes(stream, n_units)
    (has_time,) = _take(stream, "c")
    if has_time != b"\0":
        _take(stream, "d")
    (n_names,) = _take(stream, "i")
    names = _bytes(stream, n_names).decode().split()
    (n_chunks,) = _take(stream, "i")
    parts = []
    for _ in range(n_chunks):
        (n_values,) = _take(stream, "i")
        parts.append(np.frombuffer(_bytes(stream, 8 * n_values), dtype="f8"))
    table = np.concatenate(parts).reshape(-1, len(names))
    table = table[np.argsort(table[:, names.index("id")], kind="stable")]
    return Snapshot(step, origin, cell, {name: table[:, k].copy() for k, name in enumerate(names)})


def _box(bounds, tilts):
    """Return origin and cell from LAMMPS' bounding box and tilt factors."""
    xlo, xhi, ylo, yhi, zlo, zhi = bounds
    xy, xz, yz = tilts
    xlo, xhi = xlo - min(0.0, xy, xz, xy + xz), xhi - max(0.0, xy, xz, xy + xz)
    ylo, yhi = ylo - min(0.0, yz), yhi - max(0.0, yz)
    cell = np.array([[xhi - xlo, 0.0, 0.0], [xy, yhi - ylo, 0.0], [xz, yz, zhi - zlo]])
    return np.array([xlo, ylo, zlo]), cell


def _take(stream, layout):
    layout = "<" + layout
    return struct.unpack(layout, _bytes(stream, struct.calcsize(layout)))


def _bytes(stream, n):
    data = stream.read(n)
    if len(data) < n:
        raise EOFError
    return data


def read_table(path):
    """Return (steps, values) of a ``fix ave/time`` file: shapes (n_rows,) and (n_rows, n_columns)."""
    lines = Path(path).read_text(encoding="utf-8").split("\n")[:-1]  # the last line may be torn
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    steps = np.array([int(row[0]) for row in rows], dtype=np.int64)
    return steps, np.array([[float(value) for value in row[1:]] for row in rows]).reshape(len(rows), -1)
