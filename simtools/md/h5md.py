"""Trajectory files, read: the segments of a run, checked and joined. How they are written: h5md_writer.py."""

import json
from pathlib import Path

import h5py
import numpy as np

from simtools.core.errors import ConfigError, ShapeError
from simtools.md.trajectory import LatticeSites, Trajectory
from simtools.md.trajectory_index import FOLDER, INDEX, TrajectoryError, read_index, verify_segment

__all__ = ["read_trajectory", "recorded_charges_e", "segment_files"]


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
    index = read_index(folder)
    rows = [row for row in index["segments"] if row["stage"] == stage]
    if not rows:
        written = sorted({row["stage"] for row in index["segments"]})
        raise TrajectoryError(
            f"{folder / INDEX} lists no segment of stage {stage!r}; written so far: "
            f"{', '.join(written) or 'none'}"
        )
    parts = [_read_segment(folder / row["file"], row) for row in rows]
    first = parts[0]
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
    metadata = {**first["metadata"], "stage": settings, "complete": stage in index["complete"]}
    metadata["first_time_ps"] = float(first["step"][0] * settings["timestep_fs"] / 1000)
    metadata["rounding_A"] = max(part["rounding_A"] for part in parts)
    try:
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
    except (ConfigError, ShapeError) as error:
        raise TrajectoryError(f"{folder / rows[0]['file']} and the segments after it: {error}") from error


def segment_files(directory, *, stage="production"):
    """Return the paths of one stage's segments in order, for programs that chain files.

    ``MDAnalysis.Universe(topology, segment_files(...))`` with the ``topology.xyz`` beside them.
    """
    folder = Path(directory) / FOLDER
    if not (folder / INDEX).exists():
        raise TrajectoryError(f"{directory} holds no trajectory: expected {folder / INDEX}")
    return [str(folder / row["file"]) for row in read_index(folder)["segments"] if row["stage"] == stage]


def recorded_charges_e(directory, *, stage="production"):
    """Return {species: integer formal charge}, e, as the first segment of a stage has them."""
    with h5py.File(segment_files(directory, stage=stage)[0], "r") as file:
        return _read_text(file["parameters"], "formal_charges_e")


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
    if not path.exists():
        raise TrajectoryError(f"{path} is missing; the index lists it with {row['n_frames']} frames")
    verify_segment(path, row)
    try:
        with h5py.File(path, "r") as file:
            _refuse_other_files(file, set())
            part = _unpack(file)
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TrajectoryError(
            f"{path} is damaged ({reason}); expected a whole H5MD segment of {row['bytes']} bytes, "
            f"found {path.stat().st_size}"
        ) from error
    if len(part["positions"]) != row["n_frames"] or part["step"][0] != row["first_step"]:
        raise TrajectoryError(
            f"{path} holds {len(part['positions'])} frames from step {part['step'][0]}, the index expects "
            f"{row['n_frames']} from step {row['first_step']}"
        )
    return part


def _refuse_other_files(group, seen):
    """Refuse what leads out of a file that we did not write: links, and numbers kept in other files."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{name} is a link, expected data in the file itself")
        member = group[name]
        if isinstance(member, h5py.Dataset):
            if member.is_virtual or member.external:
                raise ValueError(f"{member.name} is kept in other files, expected data in the file itself")
        elif isinstance(member, h5py.Group):
            address = h5py.h5o.get_info(member.id).addr
            if address in seen:
                raise ValueError(f"{member.name} is inside itself")
            _refuse_other_files(member, seen | {address})


def _unpack(file):
    particles, parameters = file["particles/trajectory"], file["parameters"]
    species = particles["species"]
    names = {number: name for name, number in h5py.check_enum_dtype(species.dtype).items()}
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
    return part


def _read_text(group, name):
    return json.loads(group[name][()].decode())
