"""DCD, GROMACS XTC and TRR through MDAnalysis' compiled readers.

Its high-level readers would leave offset files beside the trajectory, reduce cells to rounded lengths and
angles and pass over a frame that is cut off; the compiled ones below them do none of that.
"""

from pathlib import Path

import numpy as np

from simtools.md.formats.raw import DamagedFileError, RawFrame, TruncatedFileError, cell_from_rows

__all__ = ["read_dcd", "read_trr", "read_xtc"]

_A_PER_NM = 10.0
_XTC, _XTC_WIDE = 1995, 2023
_XTC_PLAIN = 9  # so few atoms are not compressed
_XTC_SMALL = (9, 72)  # range of the index of small differences in libxdrfile's table


class _Place:
    """File and frame for complaints."""

    def __init__(self, path):
        self.path, self.frame = path, 0

    def wrong(self, expected):
        return DamagedFileError(self.path, self.frame, expected)

    def cut(self, expected):
        return TruncatedFileError(self.path, self.frame, expected)


def read_xtc(path, *, survey=False):
    """Yield `RawFrame` of an XTC file: positions rounded (usually to 0.01 Å), times in ps."""
    from MDAnalysis.lib.formats.libmdaxdr import XTCFile

    _check_xtc_heads(path)
    for place, frame in _gromacs(path, XTCFile, 92):
        rounding = 0.5 / frame.prec * _A_PER_NM if frame.prec > 0 else _spacing(frame.x) * _A_PER_NM
        yield RawFrame(
            [],
            frame.x.astype(float) * _A_PER_NM,
            cell_from_rows(place, frame.box.astype(float) * _A_PER_NM),
            time_ps=_even(frame.time),
            step=int(frame.step),
            rounding_A=rounding,
        )


def read_trr(path, *, survey=False):
    """Yield `RawFrame` of a TRR file; frames that hold velocities or forces only are left out."""
    from MDAnalysis.lib.formats.libmdaxdr import TRRFile

    for place, frame in _gromacs(path, TRRFile, 72):
        if not frame.hasx:
            continue
        yield RawFrame(
            [],
            frame.x.astype(float) * _A_PER_NM,
            cell_from_rows(place, frame.box.astype(float) * _A_PER_NM),
            time_ps=_even(frame.time),
            step=int(frame.step),
            velocities_A_per_ps=frame.v.astype(float) * _A_PER_NM if frame.hasv else None,
            rounding_A=_spacing(frame.x) * _A_PER_NM,
        )


def _check_xtc_heads(path):
    """Walk from header to header: the decompressor writes out of bounds where one of them is wrong."""
    place, size, start = _Place(path), Path(path).stat().st_size, 0
    first = None
    with open(path, "rb") as stream:
        while start < size:
            stream.seek(start)
            head = stream.read(92)
            if len(head) < 56:
                raise place.cut(f"expected a frame header at byte {start}, {len(head)} bytes are left")
            whole = np.frombuffer(head[: len(head) // 4 * 4], dtype=">i4")
            first = int(whole[1]) if first is None else first
            box = whole[4:13].view(">f4")
            wide = whole[0] == _XTC_WIDE
            if whole[0] not in (_XTC, _XTC_WIDE) or not 0 < whole[1] == first or not np.isfinite(box).all():
                raise place.wrong(f"expected the header of an XTC frame of {first} atoms at byte {start}")
            if first <= _XTC_PLAIN:
                start += 56 + 12 * first
            else:
                if len(head) < 92:
                    raise place.cut(f"expected a frame header at byte {start}, {len(head)} bytes are left")
                precision, small = float(whole[14:15].view(">f4")[0]), int(whole[21])
                low, high = whole[15:18].astype(np.int64), whole[18:21].astype(np.int64)
                length = (
                    int(np.frombuffer(stream.read(4), dtype=">i4")[0])
                    if wide and len(head) == 92
                    else int(whole[22])
                )
                sane = whole[13] == first and np.isfinite(precision) and precision > 0 and (low <= high).all()
                if (
                    not sane
                    or not _XTC_SMALL[0] <= small <= _XTC_SMALL[1]
                    or not 0 < length <= 16 * first + 64
                ):
                    raise place.wrong(
                        f"expected the header of {first} compressed positions at byte {start + 56}"
                    )
                start += (96 if wide else 92) + (length + 3) // 4 * 4
            if start > size:
                raise place.cut(f"expected a frame up to byte {start}, the file has {size}")
            place.frame += 1


def _gromacs(path, opener, head_bytes):
    """Yield (place, frame); a file of one system keeps its number of atoms in every header."""
    place, size = _Place(path), Path(path).stat().st_size
    if size < head_bytes:
        raise place.cut(f"expected at least {head_bytes} bytes of a first frame, found {size}")
    with open(path, "rb") as stream:
        head = np.frombuffer(stream.read(head_bytes), dtype=">i4")
    n_atoms = int(head[1]) if opener.__name__ == "XTCFile" else int(head[16])
    if not 0 < n_atoms <= size:
        raise place.wrong(f"expected a number of atoms that fits into {size} bytes, got {n_atoms}")
    try:
        with opener(str(path)) as file:
            while True:
                start = file._bytes_tell()
                if start == size:
                    return
                try:
                    frame = file.read()
                except StopIteration:
                    raise place.cut(f"expected a frame at byte {start} of {size}") from None
                yield place, frame
                place.frame += 1
    except (OSError, MemoryError, ValueError) as error:
        if isinstance(error, DamagedFileError):
            raise
        raise place.cut(f"expected a whole frame ({' '.join(str(error).split())})") from error


def read_dcd(path, *, survey=False):
    """Yield `RawFrame` of a DCD file: single precision; its times have no agreed unit and are not used."""
    from MDAnalysis.lib.formats.libdcd import DCDFile

    place, size = _Place(path), Path(path).stat().st_size
    _check_dcd_head(place, size)
    try:
        with DCDFile(str(path)) as file:
            if not file.header["is_periodic"]:
                raise place.wrong("expected a periodic cell in every frame, the header says there is none")
            body = size - file._header_size - file._firstframesize
            for frame in file:
                yield RawFrame(
                    [],
                    frame.xyz.astype(float),
                    cell_from_rows(place, _dcd_cell(place, np.asarray(frame.unitcell, dtype=float))),
                    rounding_A=_spacing(frame.xyz),
                )
                place.frame += 1
            if body % file._framesize:
                raise place.cut(
                    f"expected frames of {file._framesize} bytes, {body % file._framesize} are left"
                )
    except (OSError, MemoryError, ValueError) as error:
        if isinstance(error, DamagedFileError):
            raise
        raise place.cut(f"expected a whole frame ({' '.join(str(error).split())})") from error


def _dcd_cell(place, unitcell):
    """Return lattice vectors from A, gamma, B, beta, alpha, C; angles as cosines or in degrees."""
    a, gamma, b, beta, alpha, c = unitcell
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
        raise place.wrong(f"expected edges of a cell with cosines or degrees, got {unitcell.tolist()}")
    sine = np.sqrt(1 - gamma**2)
    skew = (alpha - beta * gamma) / sine if sine > 0 else np.nan
    height = np.sqrt(max(1 - beta**2 - skew**2, 0.0))
    return np.array([[a, 0, 0], [b * gamma, b * sine, 0], [c * beta, c * skew, c * height]])


def _check_dcd_head(place, size):
    with open(place.path, "rb") as stream:
        head = stream.read(92)
    if len(head) < 92:
        raise place.cut(f"expected a DCD header of at least 92 bytes, found {size}")
    order = "<" if head[:4] == b"T\0\0\0" else ">"
    control = np.frombuffer(head[8:88], dtype=f"{order}i4")
    if head[4:8] != b"CORD" or np.frombuffer(head[88:92], dtype=f"{order}i4")[0] != 84:
        raise place.wrong("expected the header of a DCD file (CORD between records of 84 bytes)")
    if control[8]:
        raise place.wrong(f"expected all atoms to be free, {control[8]} are fixed: write them all")


def _spacing(values):
    finite = np.abs(values[np.isfinite(values)])
    return float(np.spacing(finite.max().astype(np.float32))) / 2 if len(finite) else 0.0


def _even(time):
    """Return a float32 time with the digits it can have: 0.1 ps steps shall stay even."""
    return float(f"{float(time):.7g}")
