"""Trajectory files, written: closed H5MD segments and an index of them. What is sampled: see observers.py.

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

from simtools.core.provenance import library_versions
from simtools.md.checkpoint import partial_path, sync_directory
from simtools.md.trajectory_index import (
    FOLDER,
    INDEX,
    TOPOLOGY,
    TrajectoryError,
    empty_index,
    read_index,
    verify_segment,
    write_index,
)

__all__ = ["Segment", "TrajectoryWriter", "write_topology"]

_FLOAT32_LIMIT_A = 1024.0  # float32 is spaced by 6e-5 Å just below


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
        index = read_index(self._folder) if (self._folder / INDEX).exists() else empty_index()
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
            verify_segment(self._folder / row["file"], row)
        index["segments"] = kept + ours
        index["complete"] = [name for name in index["complete"] if name != self._stage.name]
        write_index(self._folder, index, self._fence)
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
        index = read_index(self._folder)
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
        write_index(self._folder, index, self._fence)

    def finish(self):
        """Mark the stage as complete in the index."""
        index = read_index(self._folder)
        index["complete"] = sorted({*index["complete"], self._stage.name})
        write_index(self._folder, index, self._fence)

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
