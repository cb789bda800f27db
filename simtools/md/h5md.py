"""Trajectory files: closed H5MD segments and an index of them. What is sampled when: see observers.py.

Every segment is a whole H5MD 1.1 file, written under a temporary name, flushed and renamed, so a kill at any
moment leaves each listed segment readable. The fine series lies under ``parameters/fine_series``, because
readers index ``observables`` by frame.
"""

import hashlib
import io
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from simtools.core.errors import ConfigError, ShapeError
from simtools.core.files import read_text
from simtools.core.provenance import library_versions
from simtools.core.records import is_number
from simtools.md.checkpoint import partial_path, replace_file, sync_directory
from simtools.md.trajectory import LatticeSites, Trajectory

__all__ = [
    "Segment",
    "TrajectoryError",
    "TrajectoryWriter",
    "read_trajectory",
    "recorded_charges_e",
    "segment_files",
    "write_topology",
]

FOLDER = "trajectory"
INDEX = "index.json"
TOPOLOGY = "topology.xyz"
_INDEX_ROW = {"file": str, "stage": str, "number": int, "first_step": int, "n_frames": int, "bytes": int}
_LONGEST_NAME = 255
_SERIES = ("velocities", "fine_step", "momenta", "current")
_SMALL = 1 << 16  # kept in the header of a dataset
_FLOAT32_LIMIT_A = 1024.0  # float32 is spaced by 6e-5 Å just below


class TrajectoryError(ConfigError):
    """A trajectory file is missing, damaged or does not follow on the one before it."""


@dataclass
class Segment:
    """What was sampled between two checkpoints, before it becomes a file.

    Frames are lists of arrays in house units; every list may be empty.
    """

    frame_steps: list = field(default_factory=list)
    positions_A: list = field(default_factory=list)
    velocities_A_per_ps: list = field(default_factory=list)
    cells_A: list = field(default_factory=list)
    fine_steps: list = field(default_factory=list)
    charge_current_e_A_per_ps: list = field(default_factory=list)
    species_momenta_amu_A_per_ps: list = field(default_factory=list)

    def get_state(self):
        """Return what was collected, for a checkpoint."""
        return {name: np.array(rows) for name, rows in vars(self).items() if rows}

    @classmethod
    def from_state(cls, state):
        """Read what `get_state` gave."""
        segment = cls()
        for name, rows in state.items():
            setattr(segment, name, rows.tolist() if rows.ndim == 1 else list(rows))
        return segment


class TrajectoryWriter:
    """Writes the segments of one stage and keeps the index.

    Parameters
    ----------
    directory
        Run directory; files go to its ``trajectory`` folder.
    stage
        The `simtools.md.protocols.Stage` whose frames these are.
    description
        Constant for the whole run: ``species``, ``masses_amu``, ``species_names``, ``formal_charges_e``,
        ``lattice_sites``, ``defects``, ``metadata``; with molecules ``molecule_id`` and, where a force field
        named them, ``species_label``.
    fence
        See `simtools.md.checkpoint.replace_file`.
    """

    def __init__(self, directory, stage, description, *, fence=None):
        self._fence = fence
        self._folder = Path(directory) / FOLDER
        self._stage = stage
        self._description = description

    def resume(self, n_segments):
        """Keep the first `n_segments` of this stage; whatever came after the checkpoint is dropped."""
        index = _read_index(self._folder) if (self._folder / INDEX).exists() else _empty_index()
        kept = [row for row in index["segments"] if row["stage"] != self._stage.name]
        ours = [row for row in index["segments"] if row["stage"] == self._stage.name][:n_segments]
        if len(ours) < n_segments:
            raise TrajectoryError(
                f"{self._folder / INDEX} lists {len(ours)} segments of stage {self._stage.name!r}, "
                f"expected the {n_segments} that the checkpoint follows"
            )
        for row in kept + ours:
            if not (self._folder / row["file"]).exists():
                raise TrajectoryError(f"{self._folder / row['file']} is missing; the checkpoint follows it")
            _verify(self._folder / row["file"], row)
        index["segments"] = kept + ours
        index["complete"] = [name for name in index["complete"] if name != self._stage.name]
        _write_index(self._folder, index, self._fence)
        listed = {row["file"] for row in index["segments"]}
        for path in sorted(self._folder.glob(f"{self._stage.name}-*.h5md*")):
            if path.name not in listed:
                path.unlink()

    def write(self, number, segment):
        """Write `segment` as the stage's segment `number`, counted from 1, and list it."""
        name = f"{self._stage.name}-{number:06d}.h5md"
        path = self._folder / name
        partial = partial_path(path, self._fence)
        # built in memory: HDF5 cannot let go of a file that a full disk refuses, and takes the process down
        image = io.BytesIO()
        with h5py.File(image, "w", libver=("v108", "v110")) as file:
            self._fill(file, segment)
        with open(partial, "wb") as stream:
            stream.write(image.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())
        sha256 = hashlib.sha256(image.getbuffer()).hexdigest()
        if self._fence is not None:
            self._fence()
        os.replace(partial, path)
        sync_directory(self._folder)
        index = _read_index(self._folder)
        index["segments"].append(
            {
                "file": name,
                "stage": self._stage.name,
                "number": number,
                "first_step": int(segment.frame_steps[0]),
                "last_step": int(segment.frame_steps[-1]),
                "n_frames": len(segment.frame_steps),
                "n_fine": len(segment.fine_steps),
                "bytes": path.stat().st_size,
                "sha256": sha256,
            }
        )
        _write_index(self._folder, index, self._fence)

    def finish(self):
        """Mark the stage as complete in the index."""
        index = _read_index(self._folder)
        index["complete"] = sorted({*index["complete"], self._stage.name})
        _write_index(self._folder, index, self._fence)

    def _fill(self, file, segment):
        stage, about = self._stage, self._description
        h5md = file.create_group("h5md")
        h5md.attrs["version"] = np.array([1, 1])
        h5md.create_group("author").attrs["name"] = "simtools"
        creator = h5md.create_group("creator")
        creator.attrs["name"] = "antiperovskite-simtools"
        creator.attrs["version"] = library_versions()["antiperovskite-simtools"]
        particles = file.create_group("particles/trajectory")
        _constant(particles, "species", _enumerated(about["species"], about["species_names"]))
        _constant(particles, "mass", about["masses_amu"], unit="amu")
        if about["formal_charges_e"]:
            charges = np.array([about["formal_charges_e"][name] for name in about["species"]], dtype=float)
            _constant(particles, "charge", charges, unit="e").attrs["type"] = "formal"
        positions = np.array(segment.positions_A)
        width = "f4" if np.abs(positions).max() < _FLOAT32_LIMIT_A else "f8"
        times = self._element(particles, "position", segment.frame_steps, positions.astype(width), "Angstrom")
        rounding = float(np.spacing(np.abs(positions).max().astype(width))) / 2
        particles["position"].attrs["rounding_A"] = rounding
        if segment.velocities_A_per_ps:
            velocities = np.array(segment.velocities_A_per_ps, dtype="f4")
            self._element(particles, "velocity", times, velocities, "Angstrom ps-1")
        box = particles.create_group("box")
        box.attrs["dimension"] = 3
        box.attrs["boundary"] = np.array(["periodic"] * 3, dtype="S")
        self._element(box, "edges", times, np.array(segment.cells_A), "Angstrom")
        interval_ps = np.full(len(positions), stage.sample_every_fs / 1000)
        self._element(file.create_group("observables"), "dt", times, interval_ps, "ps")
        parameters = file.create_group("parameters")
        parameters.attrs["stage"] = json.dumps(stage.to_dict())
        parameters.attrs["precision"] = (
            f"positions unwrapped, {'float32' if width == 'f4' else 'float64'}, rounded by at most "
            f"{rounding:.1e} angstrom; cells, fine series: float64"
        )
        _text(parameters, "formal_charges_e", about["formal_charges_e"])
        _text(parameters, "defects", about["defects"])
        _text(parameters, "metadata", about["metadata"])
        if about["lattice_sites"] is not None:
            sites = parameters.create_group("lattice_sites")
            scaled = np.asarray(about["lattice_sites"].scaled_positions)
            _array(sites, "scaled_positions", scaled)
            _array(sites, "species", np.array(about["lattice_sites"].species, dtype="S"))
        if about.get("molecule_id") is not None:
            _constant(parameters, "molecule_id", np.asarray(about["molecule_id"], dtype=np.int64))
        if about.get("species_label") is not None:
            _text(parameters, "species_label", list(map(str, about["species_label"])))
        if segment.fine_steps:
            fine = parameters.create_group("fine_series")
            steps = np.array(segment.fine_steps, dtype=np.int64)
            _array(fine, "step", steps)
            _array(fine, "time", steps * stage.timestep_fs / 1000, unit="ps")
            momenta = np.array(segment.species_momenta_amu_A_per_ps)
            data = _array(fine, "species_momenta", momenta, unit="amu Angstrom ps-1")
            data.attrs["species"] = np.array(about["species_names"], dtype="S")
            if segment.charge_current_e_A_per_ps:
                current = np.array(segment.charge_current_e_A_per_ps)
                _array(fine, "charge_current", current, unit="e Angstrom ps-1")

    def _element(self, parent, name, steps, values, unit):
        """Write a time-dependent H5MD element; `steps` may be an element whose times it shares."""
        group = parent.create_group(name)
        if isinstance(steps, h5py.Group):
            group["step"], group["time"] = steps["step"], steps["time"]
        else:
            steps = np.array(steps, dtype=np.int64)
            _array(group, "step", steps)
            _array(group, "time", steps * self._stage.timestep_fs / 1000, unit="ps")
        _array(group, "value", values, unit=unit)
        return group


def write_topology(directory, atoms, *, fence=None):
    """Write names and starting positions beside the segments (extended XYZ: ASE and MDAnalysis read it)."""
    from ase.io import write

    path = Path(directory) / FOLDER / TOPOLOGY
    bare = atoms.copy()
    bare.info = {}
    for name in set(bare.arrays) - {"numbers", "positions"}:
        del bare.arrays[name]
    partial = partial_path(path, fence)
    write(partial, bare, format="extxyz")
    if fence is not None:
        fence()
    os.replace(partial, path)


def read_trajectory(directory, *, stage="production"):
    """Join the segments of one stage into a `Trajectory`.

    Parameters
    ----------
    directory
        Run directory, or its ``trajectory`` folder.
    stage
        Name of the stage; other stages (equilibration) are left out.

    Returns
    -------
    Trajectory
        Everything up to the last checkpoint. ``metadata["complete"]`` says whether the stage was finished.

    Raises
    ------
    TrajectoryError
        If a segment is missing, cut off, damaged, or does not follow on the one before it.
    """
    folder = Path(directory)
    if not (folder / INDEX).exists():
        folder = folder / FOLDER
    if not (folder / INDEX).exists():
        raise TrajectoryError(f"{directory} holds no trajectory: expected {folder / INDEX}")
    index = _read_index(folder)
    rows = [row for row in index["segments"] if row["stage"] == stage]
    if not rows:
        written = sorted({row["stage"] for row in index["segments"]})
        raise TrajectoryError(
            f"{folder / INDEX} lists no segment of stage {stage!r}; written so far: "
            f"{', '.join(written) or 'none'}"
        )
    parts = [_read_segment(folder / row["file"], row) for row in rows]
    try:
        return _joined(folder, rows, parts, complete=stage in index["complete"])
    except TrajectoryError:
        raise
    except (ConfigError, ShapeError, ValueError, TypeError, LookupError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise TrajectoryError(f"{folder / rows[0]['file']} and the segments after it: {reason}") from error


def _joined(folder, rows, parts, *, complete):
    """Return the `Trajectory` of segments that were read one by one."""
    first = parts[0]
    for row, part in zip(rows, parts, strict=True):
        if not _same_series(part, first):
            raise TrajectoryError(
                f"{folder / row['file']} holds other ions or other series than {folder / rows[0]['file']}, "
                "expected the segments of one run"
            )
    interval_ps = _interval(folder, rows, [part["step"] for part in parts], first)
    fine_ps = None
    if "fine_step" in first:
        fine_ps = _interval(folder, rows, [part["fine_step"] for part in parts], first)
    cells = np.concatenate([part["cells"] for part in parts])
    current = [part["current"] for part in parts if "current" in part]
    velocities = [part["velocities"] for part in parts if "velocities" in part]
    momenta = {}
    if fine_ps is not None:
        joined = np.concatenate([part["momenta"] for part in parts])
        momenta = {name: joined[:, k].copy() for k, name in enumerate(first["species_names"])}
    settings = first["stage"]
    metadata = {**first["metadata"], "stage": settings, "complete": complete}
    metadata["first_time_ps"] = float(first["step"][0] * settings["timestep_fs"] / 1000)
    metadata["rounding_A"] = max(part["rounding_A"] for part in parts)
    return Trajectory(
        positions_A=np.concatenate([part["positions"] for part in parts]),
        species=first["species"],
        cells_A=cells[0] if np.array_equal(cells, np.broadcast_to(cells[0], cells.shape)) else cells,
        frame_interval_ps=interval_ps,
        temperature_K=settings["temperature_K"],
        formal_charges_e=first["formal_charges_e"],
        masses_amu=first["masses"],
        charge_current_e_A_per_ps=np.concatenate(current) if current else None,
        fine_interval_ps=fine_ps,
        species_momenta_amu_A_per_ps=momenta,
        velocities_A_per_ps=np.concatenate(velocities) if velocities else None,
        lattice_sites=first["lattice_sites"],
        molecule_id=first.get("molecule_id"),
        defects=tuple(first["defects"]),
        metadata=metadata,
    )


def _same_series(part, first):
    """Return whether two segments hold the same ions and the same series: what is joined is the first's."""
    same = all(np.array_equal(part[name], first[name]) for name in ("species", "masses"))
    same = same and part["formal_charges_e"] == first["formal_charges_e"]
    return same and all((name in part) == (name in first) for name in _SERIES)


def segment_files(directory, *, stage="production"):
    """Return the paths of one stage's segments in order, for programs that chain files.

    ``MDAnalysis.Universe(topology, segment_files(...))`` with the ``topology.xyz`` beside them.
    """
    folder = Path(directory) / FOLDER
    if not (folder / INDEX).exists():
        raise TrajectoryError(f"{directory} holds no trajectory: expected {folder / INDEX}")
    return [str(folder / row["file"]) for row in _read_index(folder)["segments"] if row["stage"] == stage]


def recorded_charges_e(directory, *, stage="production"):
    """Return {species: integer formal charge}, e, as the first segment of a stage has them."""
    files = segment_files(directory, stage=stage)
    if not files:
        raise TrajectoryError(f"{directory} holds no segment of stage {stage!r}")
    return _taken(Path(files[0]), _charges_in)


def _interval(folder, rows, parts, first):
    """Return the even time between samples, ps; refuse a gap or a doubled sample."""
    steps = np.concatenate(parts)
    if len(steps) == 1:
        return first["stage"]["sample_every_fs"] / 1000
    strides = np.diff(steps)
    wrong = np.flatnonzero((strides != strides[0]) | (strides <= 0))
    if len(wrong):
        ends = np.cumsum([len(part) for part in parts])
        row = rows[int(np.searchsorted(ends, wrong[0] + 1, side="right"))]
        raise TrajectoryError(
            f"{folder / row['file']}: step {steps[wrong[0] + 1]} follows step {steps[wrong[0]]}, "
            f"expected every {strides[0]} steps without a gap"
        )
    return float(strides[0] * first["stage"]["timestep_fs"] / 1000)


def _read_segment(path, row):
    if not path.is_file():
        raise TrajectoryError(f"{path} is missing; the index lists it with {row['n_frames']} frames")
    _verify(path, row)
    part = _taken(path, _unpack)
    if len(part["positions"]) != row["n_frames"] or part["step"][0] != row["first_step"]:
        raise TrajectoryError(
            f"{path} holds {len(part['positions'])} frames from step {part['step'][0]}, the index expects "
            f"{row['n_frames']} from step {row['first_step']}"
        )
    return part


def _taken(path, take):
    """Return what `take` reads from a segment, of which nothing is believed."""
    try:
        with h5py.File(path, "r") as file:
            _refuse_other_files(file)
            return take(file)
    except (OSError, LookupError, ValueError, RuntimeError, TypeError, AttributeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise TrajectoryError(f"{path} is damaged ({reason}); expected a whole H5MD segment") from error


def _sha256(path):
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _verify(path, row):
    """Refuse a segment that is not, byte for byte, the one that was written; old indexes cannot tell."""
    if path.stat().st_size != row["bytes"]:
        raise TrajectoryError(
            f"{path} is damaged; expected a whole H5MD segment of {row['bytes']} bytes, found "
            f"{path.stat().st_size}"
        )
    if "sha256" in row and (found := _sha256(path)) != row["sha256"]:
        raise TrajectoryError(
            f"{path} is damaged; expected content with SHA-256 {row['sha256'][:12]}..., found {found[:12]}..."
        )


def _refuse_other_files(file):
    """Refuse what leads out of a file, what is there twice, and arrays larger than what the file holds."""
    waiting, seen = [file], set()
    while waiting:
        group = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{name} is a link, expected data in the file itself")
            member = group[name]
            if isinstance(member, h5py.Dataset):
                _refuse_absent_numbers(member)
            elif isinstance(member, h5py.Group):
                address = h5py.h5o.get_info(member.id).addr
                if address in seen:
                    raise ValueError(f"{name} is inside itself, or there twice")
                seen.add(address)
                waiting.append(member)


def _refuse_absent_numbers(data):
    """Refuse a dataset kept in other files, or declared larger than what is stored: ours are not packed."""
    if data.is_virtual or data.external:
        raise ValueError(f"{data.name} is kept in other files, expected data in the file itself")
    held = data.id.get_storage_size()
    if data.nbytes > held + _SMALL:
        raise ValueError(f"{data.name} is declared with {data.nbytes} bytes, the file holds {held}")


def _unpack(file):
    particles, parameters = file["particles/trajectory"], file["parameters"]
    species = particles["species"]
    names = {number: name for name, number in h5py.check_enum_dtype(species.dtype).items()}
    n_frames, n_atoms = particles["position/value"].shape[:2]
    if particles["position/value"].dtype.kind != "f":
        raise ValueError(f"positions of type {particles['position/value'].dtype}, expected numbers")
    part = {
        "species": np.array([names[number] for number in species[:].tolist()]),
        "masses": particles["mass"][:],
        "step": particles["position/step"][:],
        "positions": particles["position/value"][:].astype(float),
        "cells": particles["box/edges/value"][:],
        "rounding_A": float(particles["position"].attrs["rounding_A"]),
        "stage": json.loads(parameters.attrs["stage"]),
        "formal_charges_e": _read_text(parameters, "formal_charges_e"),
        "defects": _read_text(parameters, "defects"),
        "metadata": _read_text(parameters, "metadata"),
        "lattice_sites": None,
    }
    if "velocity" in particles:
        part["velocities"] = particles["velocity/value"][:].astype(float)
    if "lattice_sites" in parameters:
        sites = parameters["lattice_sites"]
        part["lattice_sites"] = LatticeSites(
            sites["scaled_positions"][:], [name.decode() for name in sites["species"][:].tolist()]
        )
    if "molecule_id" in parameters:
        part["molecule_id"] = parameters["molecule_id"][:]
    if "fine_series" in parameters:
        fine = parameters["fine_series"]
        part["fine_step"] = fine["step"][:]
        part["momenta"] = fine["species_momenta"][:]
        part["species_names"] = [name.decode() for name in fine["species_momenta"].attrs["species"].tolist()]
        if "charge_current" in fine:
            part["current"] = fine["charge_current"][:]
    _check_shapes(part, n_frames, n_atoms)
    return part


def _charges_in(file):
    charges_e = _read_text(file["parameters"], "formal_charges_e")
    _check_charges(charges_e)
    return charges_e


def _check_shapes(part, n_frames, n_atoms):
    """Refuse arrays and records of other shapes than ours: what joins them takes their word."""
    if not n_frames:
        raise ValueError("no frame in it")
    shapes = {
        "positions": (n_frames, n_atoms, 3),
        "velocities": (n_frames, n_atoms, 3),
        "cells": (n_frames, 3, 3),
        "step": (n_frames,),
        "masses": (n_atoms,),
        "species": (n_atoms,),
        "molecule_id": (n_atoms,),
    }
    for name, shape in shapes.items():
        if name in part and np.shape(part[name]) != shape:
            raise ValueError(f"{name} of shape {np.shape(part[name])}, expected {shape}")
    if not np.all((part["masses"] > 0) & (part["masses"] < np.inf)):
        raise ValueError("expected masses above 0")
    for name, kind in (("stage", dict), ("formal_charges_e", dict), ("metadata", dict), ("defects", list)):
        if not isinstance(part[name], kind):
            raise ValueError(f"{name} is no {'table' if kind is dict else 'list'}")
    _check_charges(part["formal_charges_e"])
    if "fine_step" in part:
        n_fine, n_names = len(part["fine_step"]), len(part["species_names"])
        for name, shape in (("momenta", (n_fine, n_names, 3)), ("current", (n_fine, 3))):
            if name in part and np.shape(part[name]) != shape:
                raise ValueError(f"{name} of shape {np.shape(part[name])}, expected {shape}")


def _check_charges(charges_e):
    if not isinstance(charges_e, dict) or not all(map(is_number, charges_e.values())):
        raise ValueError(f"expected formal charges as a table of numbers, got {str(charges_e)[:60]}")


def _enumerated(species, names):
    codes = {name: number for number, name in enumerate(names)}
    dtype = h5py.enum_dtype(codes, basetype="i4")
    return np.array([codes[name] for name in species], dtype=dtype)


def _array(group, name, values, *, unit=None):
    """Write a checksummed array; one chunk per frame where there are frames."""
    chunks = values.shape if values.ndim < 3 else (1, *values.shape[1:])
    data = group.create_dataset(name, data=values, chunks=chunks, fletcher32=True)
    if unit is not None:
        data.attrs["unit"] = unit
    return data


def _constant(group, name, values, *, unit=None):
    data = group.create_dataset(name, data=values, dtype=values.dtype)
    if unit is not None:
        data.attrs["unit"] = unit
    return data


def _text(group, name, value):
    group.create_dataset(name, data=json.dumps(value), dtype=h5py.string_dtype())


def _read_text(group, name):
    return json.loads(group[name][()].decode())


def _empty_index():
    return {"format": 1, "topology": TOPOLOGY, "segments": [], "complete": []}


def _read_index(folder):
    path = folder / INDEX
    try:
        index = json.loads(read_text(path))
        wrong = _what_is_wrong(index)
    except (ValueError, RecursionError) as error:
        wrong = str(error)
    if wrong:
        raise TrajectoryError(f"{path} is damaged ({wrong}); expected the list of segments")
    return index


def _what_is_wrong(index):
    """Return what keeps `index` from being the index of a trajectory, or None."""
    if not isinstance(index, dict):
        return f"it holds a {type(index).__name__}"
    if not isinstance(index.get("segments"), list) or not isinstance(index.get("complete"), list):
        return "it has no lists of segments and complete stages"
    for number, row in enumerate(index["segments"], 1):
        for key, kind in _INDEX_ROW.items():
            if not isinstance(row, dict) or not isinstance(row.get(key), kind):
                return f"segment {number} has no {key}"
        if row["file"] != Path(row["file"]).name or "\0" in row["file"] or row["file"] in ("", ".", ".."):
            return f"segment {number} has file = {row['file'][:80]!r}, not the name of a file beside it"
        if len(os.fsencode(row["file"])) > _LONGEST_NAME or not isinstance(row.get("sha256", ""), str):
            return f"segment {number} has a file name or sha256 that cannot be one"
    return None


def _write_index(folder, index, fence):
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(index, indent=1).encode()
    replace_file(folder / INDEX, lambda stream: stream.write(text), fence=fence)
