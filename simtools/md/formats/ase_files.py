"""ASE's .traj files, and single structures (topologies) through ASE's readers.

A .traj file is a sequence of arrays with a JSON index (ulm), not a pickle. Only its numbers are taken, here:
ASE's reader builds the objects that a file names, and believes the sizes it gives.
"""

import json
import math
import re
from pathlib import Path

import numpy as np

from simtools.core.errors import ConfigError
from simtools.md.formats.frame_bytes import FrameBytes, in_double, single_spacing
from simtools.md.formats.raw import RawFrame, cell_from_rows

__all__ = ["read_structure", "read_traj"]

_NUMBERS = re.compile(r"(float|u?int)(8|16|32|64)")
_SAME_MASS_AMU = 0.1  # masses are written with as little as one decimal; Li-7 is 0.08 from Li
_STRUCTURES = {
    ".data": "lammps-data",
    ".lmp": "lammps-data",
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".cif": "cif",
    ".pdb": "proteindatabank",
    ".gro": "gromacs",
    ".vasp": "vasp",
    ".poscar": "vasp",
}


def read_traj(path, *, survey=False):
    """Yield `RawFrame` of an ASE trajectory: float64, no times.

    Raises
    ------
    DamagedFileError
        If the index or a frame cannot be read, or the cell is not periodic in all directions.
    """
    from ase import units
    from ase.data import atomic_masses, chemical_symbols

    with FrameBytes(path) as data:
        head, numbers, masses = None, None, None
        for item in _ulm_items(data):
            if head is None or "numbers." in item:
                head = item
                masses = _array(data, item, "masses", (None,)) if "masses." in item else None
                numbers = _array(data, item, "numbers", (None,)).astype(int)
            pbc = item.get("pbc", head.get("pbc"))
            if not np.all(pbc):
                raise data.wrong(f"expected a cell periodic in all directions, got pbc {pbc}")
            if not len(numbers) or numbers.min() < 1 or numbers.max() >= len(chemical_symbols):
                raise data.wrong("expected atomic numbers of elements")
            positions = _array(data, item, "positions", (len(numbers), 3))
            masses_amu = atomic_masses[numbers] if masses is None else masses
            if masses_amu.shape != numbers.shape:
                raise data.wrong(f"expected {len(numbers)} masses, got {len(masses_amu)}")
            velocities = None
            if "momenta." in item:
                momenta = _array(data, item, "momenta", (len(numbers), 3))
                velocities = momenta / masses_amu[:, None] * 1000 * units.fs
            yield RawFrame(
                [chemical_symbols[number] for number in numbers],
                positions,
                cell_from_rows(data, _numbers_of_list(data, item.get("cell"), 9)),
                velocities_A_per_ps=velocities,
                masses_amu=masses,
                rounding_A=single_spacing(positions),
            )
            data.frame += 1


def _ulm_items(data):
    """Yield the index of each item of an ulm file as plain JSON: {name: value}, arrays as "name."."""
    if data.take(8, "the header") not in (b"- of Ulm", b"AFFormat"):
        raise data.wrong("expected the header of an ASE trajectory")
    tag = data.take(16, "the header").decode("latin-1").rstrip()
    if tag != "ASE-Trajectory":
        raise data.wrong(f"expected a whole ASE trajectory, got a file of {tag[:40]!r}")
    _, n_items, start = data.unpack("<3q", "the header")
    data.go(start, "the index of frames")
    if not 0 <= 8 * n_items <= data.left:
        raise data.cut(f"expected an index of {n_items} frames, {data.left} bytes are left")
    for offset in data.numbers(n_items, "<i8", "the index of frames").tolist():
        data.go(offset, "the head of a frame")
        (size,) = data.unpack("<q", "the head of a frame")
        text = data.take(size, "the head of a frame")
        try:
            item = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise data.wrong(
                f"expected the head of a frame as JSON ({' '.join(str(error).split())[:80]})"
            ) from error
        if not isinstance(item, dict):
            raise data.wrong("expected the head of a frame, got no table")
        yield item


def _array(data, item, name, shape):
    """Return one array of an item in its own byte order; `shape` says which axes are known."""
    expected = data.wrong(
        f"expected {name} as an array of numbers of shape {shape}, got {str(item.get(name))[:60]}"
    )
    try:
        (axes, kind, offset) = item[f"{name}."]["ndarray"]
        axes, known = [int(n) for n in axes], _NUMBERS.fullmatch(kind) is not None
    except (KeyError, TypeError, ValueError) as error:
        raise expected from error
    if (
        not known
        or len(axes) != len(shape)
        or any(n not in (None, m) for n, m in zip(shape, axes, strict=True))
    ):
        raise data.wrong(f"expected {name} as numbers of shape {shape}, got {kind} of shape {axes}")
    if min(axes) < 0 or not isinstance(offset, int):
        raise expected
    data.go(offset, name)
    order = "<" if item.get("_little_endian", True) else ">"
    found = data.numbers(math.prod(axes), np.dtype(kind).newbyteorder(order), name)
    return in_double(found).reshape(axes)


def _numbers_of_list(data, values, count):
    try:
        found = np.array(values, dtype=float)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.size != count:
        raise data.wrong(f"expected a cell of {count} numbers, got {str(values)[:60]}")
    return found


def read_structure(path):
    """Return what a topology file calls its atoms, by suffix, with ASE.

    Raises
    ------
    ConfigError
        For an unknown suffix or a file that cannot be read.
    """
    from ase.io import read

    path = Path(path)
    kind = _STRUCTURES.get(path.suffix.lower())
    if kind is None and path.name.upper().startswith(("POSCAR", "CONTCAR")):
        kind = "vasp"
    if kind is None:
        raise ConfigError(f"topology {path}: expected a file {' '.join(_STRUCTURES)}, POSCAR or CONFIG")
    if not path.is_file():
        raise ConfigError(f"topology {path}: no such file")
    if kind == "gromacs":
        return _gro_names(path)
    options = {"sort_by_id": True} if kind == "lammps-data" else {}
    try:
        atoms = read(path, index=0, format=kind, **options)
    except Exception as error:  # ASE's readers raise whatever their parsing meets
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ConfigError(f"topology {path}: expected a {kind} file, it cannot be read ({reason})") from error
    if not len(atoms):
        raise ConfigError(f"topology {path}: expected atoms, found none")
    if kind == "lammps-data":
        return _names_of_types(atoms, has_masses=b"Masses" in path.read_bytes())
    return atoms.get_chemical_symbols()


def _names_of_types(atoms, *, has_masses):
    """Return the element whose mass an atom of a LAMMPS data file has, or the number of its type.

    ASE takes the nearest element however far its mass is, such as N for the core of O. A mass of one is
    that of reduced units, not of H.
    """
    from ase.data import atomic_masses, chemical_symbols

    names = [str(number) for number in atoms.arrays["type"]]
    if not has_masses:
        return names
    masses_amu = atoms.get_masses()
    nearest = np.argmin(np.abs(atomic_masses[1:] - masses_amu[:, None]), axis=1) + 1
    known = np.abs(atomic_masses[nearest] - masses_amu) < _SAME_MASS_AMU
    known &= np.abs(masses_amu - 1.0) > 1e-6
    return [
        chemical_symbols[number] if is_element else name
        for number, is_element, name in zip(nearest, known, names, strict=True)
    ]


def _gro_names(path):
    """Return the atom names of a GROMACS structure (fixed columns 11 to 15)."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if len(lines) < 3 or not lines[1].strip().isdigit() or len(lines) < int(lines[1]) + 3:
        raise ConfigError(f"topology {path}: expected a whole GROMACS structure")
    return [line[10:15].strip().rstrip("0123456789") for line in lines[2 : 2 + int(lines[1])]]
