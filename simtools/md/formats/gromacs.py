"""GROMACS' XTC and TRR, frame by frame, with every length checked before it is believed.

MDAnalysis' compiled readers write out of bounds where a header or the compressed positions are damaged; the
tests hold these against them. Formats: xdrfile 1.1 (the XDR library of GROMACS) and, for XTC frames of over
298 261 617 atoms, GROMACS 2023.
"""

import numpy as np

from simtools.md.formats.frame_bytes import FrameBytes, in_double, single_spacing
from simtools.md.formats.raw import RawFrame, cell_from_rows
from simtools.md.kernels.xtc import FIRST_SMALL, LARGE, LAST_SMALL, decode_positions

__all__ = ["read_trr", "read_xtc"]

_A_PER_NM = 10.0
_XTC, _XTC_WIDE, _TRR = 1995, 2023, 1993
_XTC_PLAIN = 9  # so few atoms are not compressed
_WIDEST = 2**31 - 3
_WRONG = {
    1: "they end early",
    2: "a position is outside the range of its header",
    3: "a run of positions is longer than there are atoms",
    4: "a small difference is outside the table",
    5: "bytes are left over behind them",
    6: "their lowest or highest is not that of the header",
}
_TRR_NAME = b"\x00\x00\x00\x0d\x00\x00\x00\x0cGMX_trn_file"
_TRR_PARTS = ("ir", "e", "box", "vir", "pres", "top", "sym", "x", "v", "f")


def read_xtc(path, *, survey=False):
    """Yield `RawFrame` of an XTC file: positions rounded (usually to 0.01 Å), times in ps.

    A box of zeros is what GROMACS writes where it knows none: such a frame has no cell.

    Raises
    ------
    DamagedFileError
        If a header is not that of an XTC frame, or positions are not what a writer could have compressed.
    """
    with FrameBytes(path) as data:
        n_atoms = None
        while data.left:
            magic, n, step, time, *box, again = data.unpack(">3i10fi", "a frame's header")
            if magic not in (_XTC, _XTC_WIDE) or n <= 0 or n != (n_atoms or n):
                raise data.wrong(
                    f"expected the header of an XTC frame of {n_atoms or 'some'} atoms, got magic {magic}, "
                    f"{n} atoms"
                )
            n_atoms = n
            if again != n:
                raise data.wrong(f"expected positions of {n} atoms, their header says {again}")
            want = not survey or data.frame == 0
            positions, rounding = (_plain if n <= _XTC_PLAIN else _packed)(data, n, magic, want)
            yield RawFrame(
                [],
                positions,
                _cell(data, np.array(box, dtype=float)),
                time_ps=_even(time),
                step=step,
                rounding_A=rounding,
            )
            data.frame += 1


def _plain(data, n, magic, want):
    """Return (positions in Å, rounding) of a few atoms, which are not compressed."""
    values = data.numbers(3 * n, ">f4", "positions").reshape(n, 3)
    return in_double(values) * _A_PER_NM, single_spacing(values) * _A_PER_NM


def _packed(data, n, magic, want):
    """Return (positions in Å or None, rounding) of compressed positions."""
    layout = ">f7iq" if magic == _XTC_WIDE else ">f7ii"
    precision, *bounds, small, length = data.unpack(layout, "the header of positions")
    size = [high - low + 1 for low, high in zip(bounds[:3], bounds[3:], strict=True)]
    if not (0 < precision < np.inf and min(size) > 0 and max(size) < _WIDEST):
        raise data.wrong(f"expected a positive precision and a range of positions, got {precision:g}")
    if not FIRST_SMALL <= small <= LAST_SMALL:
        raise data.wrong(
            f"expected an index of small differences, {FIRST_SMALL} to {LAST_SMALL}, got {small}"
        )
    padding = -length % 4
    if not want:
        data.skip(length, "compressed positions")
        data.skip(padding, "compressed positions")
        return None, 0.5 * _A_PER_NM / precision
    stream = data.take(length, "compressed positions")
    data.skip(padding, "compressed positions")
    if n > 8 * length:
        raise data.wrong(f"expected positions of {n} atoms, {length} bytes are too few")
    together = 0 if max(size) > LARGE else (size[0] * size[1] * size[2]).bit_length()
    n_bits = np.array([together, *(n.bit_length() for n in size)])
    whole = np.empty((n, 3), dtype=np.int64)
    code, atom = decode_positions(
        np.frombuffer(stream + bytes(8), dtype=np.uint8),
        length,
        np.array(bounds[:3]),
        np.array(size),
        n_bits,
        small,
        whole,
    )
    if code:
        where = f" at atom {atom + 1}" if atom < n else ""
        raise data.wrong(f"expected compressed positions of {n} atoms{where}, {_WRONG[code]}")
    return whole * (_A_PER_NM / precision), 0.5 * _A_PER_NM / precision


def read_trr(path, *, survey=False):
    """Yield `RawFrame` of a TRR file in its own precision; frames without positions are left out.

    A frame without a box, or with one of zeros, has no cell.

    Raises
    ------
    DamagedFileError
        If a header is not that of a TRR frame, or the file ends within one.
    """
    with FrameBytes(path) as data:
        n_atoms = None
        while data.left:
            (magic,) = data.unpack(">i", "a frame's header")
            if magic != _TRR or data.take(len(_TRR_NAME), "a frame's header") != _TRR_NAME:
                raise data.wrong(f"expected the header of a TRR frame, got magic {magic}")
            words = data.unpack(">13i", "a frame's header")
            parts, (n, step, _) = dict(zip(_TRR_PARTS, words[:10], strict=True)), words[10:]
            if n <= 0 or n != (n_atoms or n):
                raise data.wrong(f"expected {n_atoms or 'a number of'} atoms, got {n}")
            n_atoms = n
            width = next((parts[key] // (3 * n) for key in "xvf" if parts[key]), 0)
            sizes = {"box": 9, "vir": 9, "pres": 9, "x": 3 * n, "v": 3 * n, "f": 3 * n}
            if width not in (4, 8) or any(
                size and size != width * sizes.get(key, 0) for key, size in parts.items()
            ):
                raise data.wrong(f"expected a frame of {n} atoms in single or double precision, got {parts}")
            kind = f">f{width}"
            time = data.numbers(2, kind, "a frame's header")[0]
            if sum(parts.values()) > data.left:
                raise data.cut(f"expected {sum(parts.values())} bytes of a frame, {data.left} are left")
            found = {key: data.numbers(parts[key] // width, kind, "a frame") for key in parts if parts[key]}
            if "x" not in found:
                continue
            velocities = in_double(found["v"].reshape(n, 3)) * _A_PER_NM if "v" in found else None
            yield RawFrame(
                [],
                in_double(found["x"].reshape(n, 3)) * _A_PER_NM,
                _cell(data, in_double(found["box"])) if "box" in found else None,
                time_ps=_even(time) if width == 4 else float(time),
                step=step,
                velocities_A_per_ps=velocities,
                rounding_A=single_spacing(found["x"]) * _A_PER_NM,
            )
            data.frame += 1


def _cell(data, box_nm):
    """Return lattice vectors in Å, or None for a box of zeros."""
    return cell_from_rows(data, box_nm * _A_PER_NM) if np.any(box_nm) else None


def _even(time):
    """Return a float32 time with the digits it can have: 0.1 ps steps shall stay even."""
    return float(f"{float(time):.7g}")
