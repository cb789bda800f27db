"""Which format is this file? Told by its content, not its name."""

from pathlib import Path

from simtools.core.errors import ConfigError
from simtools.md.formats.ase_files import read_traj
from simtools.md.formats.dcd import read_dcd
from simtools.md.formats.dlpoly import read_history
from simtools.md.formats.gromacs import read_trr, read_xtc
from simtools.md.formats.h5md_files import read_h5md
from simtools.md.formats.lammps import read_dump
from simtools.md.formats.raw import DamagedFileError
from simtools.md.formats.text_stream import READING_ERRORS, open_text
from simtools.md.formats.vasp import read_vasprun, read_xdatcar
from simtools.md.formats.xyz import read_xyz

__all__ = ["READERS", "detect_format"]

READERS = {
    "LAMMPS dump": read_dump,
    "DCD": read_dcd,
    "XDATCAR": read_xdatcar,
    "vasprun.xml": read_vasprun,
    "XYZ": read_xyz,
    "ASE traj": read_traj,
    "DL_POLY HISTORY": read_history,
    "XTC": read_xtc,
    "TRR": read_trr,
    "H5MD": read_h5md,
}
_MAGIC = {
    b"\x89HDF": "H5MD",
    b"- of": "ASE traj",
    b"\x00\x00\x07\xcb": "XTC",
    b"\x00\x00\x07\xe7": "XTC",
    b"\x00\x00\x07\xc9": "TRR",
}
_HEAD_CHARACTERS = 4000


def detect_format(path):
    """Return the name of a file's format, one of `READERS`.

    Raises
    ------
    ConfigError
        If there is no such file, it is empty, or it starts like none of the formats.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: expected a trajectory file, there is no such file")
    if path.stat().st_size == 0:
        raise DamagedFileError(path, 0, "expected a trajectory, the file is empty (zero bytes)")
    with open(path, "rb") as stream:
        head = stream.read(8)
    if head[4:] == b"CORD":
        return "DCD"
    if head[:4] in _MAGIC:
        return _MAGIC[head[:4]]
    try:
        with open_text(path) as stream:
            text = stream.read(_HEAD_CHARACTERS)
    except READING_ERRORS as error:
        raise DamagedFileError(path, 0, f"expected a text file, plain or compressed: {error}") from error
    found = _text_format(text)
    if found is None:
        packed = " (text may be compressed, binary files must be unpacked)" if head[:2] == b"\x1f\x8b" else ""
        raise DamagedFileError(
            path, 0, f"expected one of {', '.join(READERS)}; it starts like none of them{packed}"
        )
    return found


def _text_format(text):
    lines = text.splitlines()
    if not lines:
        return None
    if lines[0].startswith("ITEM:"):
        return "LAMMPS dump"
    if lines[0].lstrip().startswith(("<?xml", "<modeling")):
        return "vasprun.xml"
    if any(line.startswith("timestep") for line in lines[2:3]):
        return "DL_POLY HISTORY"
    if any("configuration=" in line for line in lines[:12]):
        return "XDATCAR"
    if lines[0].strip().isdigit() and len(lines) > 1:
        return "XYZ"
    return None
