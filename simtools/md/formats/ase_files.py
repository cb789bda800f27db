"""ASE's .traj files, and single structures (topologies) through ASE's readers.

A .traj file is a sequence of arrays with a JSON index (ulm), not a pickle. Only its numbers are taken:
building `ase.Atoms` from it would also build the constraints and calculators that the file names.
"""

from pathlib import Path

import numpy as np

from simtools.core.errors import ConfigError
from simtools.md.formats.raw import DamagedFileError, Place, RawFrame, TruncatedFileError, cell_from_rows

__all__ = ["read_structure", "read_traj"]

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
    from ase.io import ulm

    place = Place(path)
    expected = "expected a whole ASE trajectory"
    try:
        with ulm.open(path) as file:
            if file.get_tag() != "ASE-Trajectory":
                raise place.wrong(f"{expected}, got a file of {file.get_tag()[:40]!r}")
            head = file[0]
            numbers = np.asarray(head.numbers, dtype=int)
            masses = head.get("masses")
            for place.frame in range(len(file)):
                item = file[place.frame]
                if "numbers" in item:
                    numbers = np.asarray(item.numbers, dtype=int)
                    pbc = item.pbc
                else:
                    pbc = head.pbc
                if not np.all(pbc):
                    raise place.wrong(f"expected a cell periodic in all directions, got pbc {pbc}")
                if numbers.min() < 1 or numbers.max() >= len(chemical_symbols):
                    raise place.wrong("expected atomic numbers of elements")
                positions = np.asarray(item.positions, dtype=float)
                if positions.shape != (len(numbers), 3):
                    raise place.wrong(
                        f"expected positions of {len(numbers)} atoms, got shape {positions.shape}"
                    )
                masses_amu = np.asarray(masses if masses is not None else atomic_masses[numbers], dtype=float)
                velocities = None
                if "momenta" in item:
                    momenta = np.asarray(item.momenta, dtype=float)
                    velocities = momenta / masses_amu[:, None] * 1000 * units.fs
                yield RawFrame(
                    [chemical_symbols[number] for number in numbers],
                    positions,
                    cell_from_rows(place, item.cell),
                    velocities_A_per_ps=velocities,
                    masses_amu=masses_amu if masses is not None else None,
                    rounding_A=float(np.spacing(np.abs(positions).max())) / 2,
                )
    except DamagedFileError:
        raise
    except Exception as error:
        # a damaged index reaches numpy, json and struct inside ASE, each with its own errors
        raise TruncatedFileError(
            path, place.frame, f"{expected} ({' '.join(str(error).split())[:120] or type(error).__name__})"
        ) from error


def read_structure(path):
    """Return the species of a topology file (and its cell, or None), by suffix, with ASE.

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
    if kind == "lammps-data" and b"Masses" not in path.read_bytes():
        return [str(kind) for kind in atoms.arrays["type"]]
    return atoms.get_chemical_symbols()


def _gro_names(path):
    """Return the atom names of a GROMACS structure (fixed columns 11 to 15)."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if len(lines) < 3 or not lines[1].strip().isdigit() or len(lines) < int(lines[1]) + 3:
        raise ConfigError(f"topology {path}: expected a whole GROMACS structure")
    return [line[10:15].strip().rstrip("0123456789") for line in lines[2 : 2 + int(lines[1])]]
