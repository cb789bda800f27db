"""DCD as LAMMPS, NAMD, CHARMM, OpenMM and CP2K write it: Fortran records of single precision, either endian.

MDAnalysis' compiled reader trusts the lengths it finds; the tests hold this one against it.
"""

import numpy as np

from simtools.md.formats.frame_bytes import FrameBytes, in_double, single_spacing
from simtools.md.formats.raw import RawFrame, cell_from_rows

__all__ = ["read_dcd"]

_HEAD_BYTES = 84


def read_dcd(path, *, survey=False):
    """Yield `RawFrame` of a DCD file; its times have no agreed unit and are not used.

    A header without periodic cells, or a cell whose edges are all zero, gives frames without a cell.

    Raises
    ------
    DamagedFileError
        If a record is not as long as its header says, frames are fewer than promised, or atoms are fixed.
    """
    with FrameBytes(path) as data:
        order, promised, n_atoms, cells, four = _header(data)
        kind = f"{order}f4"
        while data.left:
            cell = _cell(data, _record(data, order, 48, "a cell", f"{order}f8")) if cells else None
            xyz = np.stack(
                [_record(data, order, 4 * n_atoms, f"{axis} of {n_atoms} atoms", kind) for axis in "xyz"],
                axis=1,
            )
            if four:
                _record(data, order, 4 * n_atoms, "a fourth coordinate", kind)
            yield RawFrame([], in_double(xyz), cell, rounding_A=single_spacing(xyz))
            data.frame += 1
        if promised > data.frame:
            raise data.cut(f"expected {promised} frames as the header says, found {data.frame}")


def _header(data):
    """Return byte order, number of frames and of atoms, whether there are cells and a fourth coordinate."""
    lead = data.take(8, "the header of a DCD file")
    order = "<" if lead[:4] == b"T\0\0\0" else ">"
    control = data.unpack(f"{order}20i", "the header of a DCD file")
    opening = int(np.frombuffer(lead[:4], f"{order}i4")[0])
    closing = data.unpack(f"{order}i", "the header of a DCD file")[0]
    if lead[4:] != b"CORD" or opening != _HEAD_BYTES or closing != _HEAD_BYTES:
        raise data.wrong("expected the header of a DCD file (CORD in a record of 84 bytes)")
    promised, fixed, cells, four, charmm = (control[k] for k in (0, 8, 10, 11, 19))
    if fixed:
        raise data.wrong(f"expected all atoms to be free, {fixed} are fixed: write them all")
    if promised < 0:
        raise data.wrong(f"expected a number of frames, got {promised}")
    if charmm and cells not in (0, 1):
        raise data.wrong(f"expected 1 for cells in every frame or 0 for none, the header says {cells}")
    length = data.unpack(f"{order}i", "the title")[0]
    title = data.take(length, "the title")
    n_lines = int(np.frombuffer(title[:4], f"{order}i4")[0]) if length >= 4 else -1
    if length != 4 + 80 * n_lines or data.unpack(f"{order}i", "the title")[0] != length:
        raise data.wrong(f"expected a title in lines of 80 characters, its record has {length} bytes")
    n_atoms = int(_record(data, order, 4, "the number of atoms", f"{order}i4")[0])
    if not 0 < 12 * n_atoms <= data.size:
        raise data.wrong(f"expected a number of atoms that fits into {data.size} bytes, got {n_atoms}")
    # without a version of CHARMM these words belong to X-PLOR's time step in double precision
    return order, promised, n_atoms, bool(charmm and cells), bool(charmm and four)


def _record(data, order, n_bytes, what, kind):
    """Return the numbers of one Fortran record, whose length stands before and behind it."""
    before = data.unpack(f"{order}i", what)[0]
    if before != n_bytes:
        raise data.wrong(f"expected {n_bytes} bytes of {what}, the record says {before}")
    values = data.numbers(n_bytes // np.dtype(kind).itemsize, kind, what)
    behind = data.unpack(f"{order}i", what)[0]
    if behind != n_bytes:
        raise data.wrong(f"expected {n_bytes} behind {what}, the record says {behind}")
    return values


def _cell(data, unitcell):
    """Return lattice vectors from A, gamma, B, beta, alpha, C (angles as cosines or in degrees), or None."""
    a, gamma, b, beta, alpha, c = (float(value) for value in unitcell)
    if a == b == c == 0:
        return None
    angles = np.array([alpha, beta, gamma])
    if not (np.isfinite(unitcell).all() and min(a, b, c) > 0 and (angles < 180).all()):
        angles = None
    elif (np.abs(angles) <= 1).all():
        alpha, beta, gamma = angles
    elif (angles > 1).all():
        alpha, beta, gamma = np.where(angles == 90, 0.0, np.cos(np.radians(angles)))
    else:
        angles = None
    if angles is None:
        raise data.wrong(f"expected edges of a cell with cosines or degrees, got {unitcell.tolist()}")
    sine = np.sqrt(1 - gamma**2)
    skew = (alpha - beta * gamma) / sine if sine > 0 else np.nan
    height = np.sqrt(max(1 - beta**2 - skew**2, 0.0))
    return cell_from_rows(data, [[a, 0, 0], [b * gamma, b * sine, 0], [c * beta, c * skew, c * height]])
