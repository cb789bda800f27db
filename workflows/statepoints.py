"""State points: what has to be run for a recipe, each named by what it is and by a hash of its inputs.

The hash covers everything that fixes a result: structure, defects, the force field's SHA-256 (or the
calculator's name), stages, volume, seeds, and `PROTOCOL`, which is raised whenever a change of this code
changes trajectories. It does not cover the package version (an update that leaves the numbers alone must not
throw away finished runs) nor how often checkpoints are written. Version and commit are recorded in each
``done.json`` instead.
"""

import fcntl
import hashlib
import json
import math
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simtools.core.errors import ConfigError, LeaseLostError, SimtoolsError

__all__ = [
    "PROTOCOL",
    "DamagedFileError",
    "PointSpec",
    "check_directory",
    "check_owner",
    "hold_directory",
    "locked",
    "needs_volume_point",
    "production_point",
    "read_json",
    "volume_point",
    "write_json",
]

PROTOCOL = 1
_OWNERS = {"system.json": "run", "campaign.json": "run", "cells": "defects", "paths": "barrier"}
_VOLUME_KEYS = ("npt_ps", "npt_equilibration_ps", "pressure_GPa", "barostat_tau_ps")
_PRODUCTION_KEYS = (
    "ensemble",
    "thermostat",
    "thermostat_tau_ps",
    "timestep_fs",
    "equilibration_ps",
    "production_ps",
    "sample_every_fs",
    "charge_current_every_fs",
    "velocities",
    "masses_amu",
    "rigid_molecules",
    "inertia_scale",
    "frozen_orientation",
    "cone_restraint_deg",
    "cone_stiffness_eV_per_rad2",
)
_SEED_KEYS = {"volume": 0, "production": 1}


class DamagedFileError(SimtoolsError, RuntimeError):
    """A file of a run directory cannot be read back."""


@dataclass(frozen=True, kw_only=True)
class PointSpec:
    """One run: the volume stage shared by the replicas of a temperature, or one production replica.

    Attributes
    ----------
    role
        ``"volume"`` or ``"production"``.
    temperature_K
        K.
    replica
        1, 2, ... for production; 0 for the volume stage.
    inputs
        Everything that fixes the result, as JSON-able data.
    """

    role: str
    temperature_K: float
    replica: int
    inputs: dict

    @property
    def label(self):
        """Readable name: ``700K-r02``, ``700K-cone30-r02`` of an altered run, or ``700K-volume``."""
        if self.role == "volume":
            return f"{self.temperature_K:g}K-volume"
        altered = f"{self.variant}-" if self.variant else ""
        return f"{self.temperature_K:g}K-{altered}r{self.replica:02d}"

    @property
    def variant(self):
        """Label of the counterfactual variant (``cone30``); None for a free run."""
        return self.inputs.get("counterfactual", {}).get("label")

    @property
    def digest(self):
        """SHA-256 of the inputs, hexadecimal."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def name(self):
        """Folder name: the label closed by the first ten digits of the hash."""
        return f"{self.label}-{self.digest[:10]}"

    def to_dict(self):
        """Return what ``spec.json`` holds."""
        return {
            "role": self.role,
            "temperature_K": self.temperature_K,
            "replica": self.replica,
            "inputs": self.inputs,
        }

    @classmethod
    def from_dict(cls, record):
        """Read what `to_dict` wrote."""
        return cls(**{name: record[name] for name in ("role", "temperature_K", "replica", "inputs")})


def needs_volume_point(recipe):
    """Return whether the volume comes from an NPT stage rather than from ``lattice_parameter_A``."""
    return recipe.md.lattice_parameter_A is None


def volume_point(recipe, temperature_K, *, potential, start_lattice_parameter_A):
    """Return the NPT stage of one temperature.

    Parameters
    ----------
    recipe
        The campaign.
    temperature_K
        K.
    potential
        Identity of the forces, from `systems.potential_identity`.
    start_lattice_parameter_A
        Where the cell starts, Å.
    """
    perfect = recipe.md.volume_from == "perfect_crystal"
    resolved = recipe.to_dict()
    identity = dict(potential)
    if perfect:
        identity.pop("net_charge", None)
    return PointSpec(
        role="volume",
        temperature_K=temperature_K,
        replica=0,
        inputs={
            "protocol": PROTOCOL,
            "structure": resolved["structure"],
            "defects": [] if perfect else resolved.get("defects", []),
            "potential": identity,
            "cell": {"lattice_parameter_A": start_lattice_parameter_A},
            "md": {
                name: resolved["md"][name]
                for name in ("timestep_fs", *_VOLUME_KEYS, "rigid_molecules")
                if name != "rigid_molecules" or name in resolved["md"]
            },
            "seeds": _seeds(recipe.md.seed, "volume", temperature_K, 0),
        },
    )


def production_point(
    recipe, temperature_K, replica, *, potential, lattice_parameter_A, volume_from=None, variant=None
):
    """Return one production replica.

    Parameters
    ----------
    recipe, temperature_K, potential
        As in `volume_point`.
    replica
        Counted from 1.
    lattice_parameter_A
        Edge of the conventional cell at which it runs, Å.
    volume_from
        Hash of the volume stage that gave it, or None if the recipe did.
    variant
        A `workflows.counterfactual_tables.Variant`, or None for a free run, whose hash does not depend on
        what variants there are. Seeds are those of the free replica.
    """
    resolved = recipe.to_dict()
    altered = {}
    if variant is not None:
        resolved["structure"] = {**resolved["structure"], **variant.structure}
        resolved["md"] = {**resolved["md"], **variant.md}
        altered["counterfactual"] = variant.block()
    cell = {"lattice_parameter_A": lattice_parameter_A}
    if volume_from is not None:
        cell["volume_point"] = volume_from
    return PointSpec(
        role="production",
        temperature_K=temperature_K,
        replica=replica,
        inputs={
            "protocol": PROTOCOL,
            "structure": resolved["structure"],
            "defects": resolved.get("defects", []),
            "potential": dict(potential),
            "cell": cell,
            "md": {name: resolved["md"][name] for name in _PRODUCTION_KEYS if name in resolved["md"]},
            "seeds": _seeds(recipe.md.seed, "production", temperature_K, replica),
            **altered,
        },
    )


def _seeds(seed, role, temperature_K, replica):
    """Return the seeds of one point: they depend on the point's identity, not on its place in a list."""
    sequence = np.random.SeedSequence(
        entropy=seed, spawn_key=(_SEED_KEYS[role], round(temperature_K * 1e6), replica)
    )
    defects, dynamics = sequence.generate_state(2, np.uint32)
    return {"defects": int(defects), "dynamics": int(dynamics)}


def read_json(path):
    """Return the content of a JSON file written by `write_json`.

    Raises
    ------
    DamagedFileError
        If it is not whole.
    """
    path = Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not record:
            raise ValueError("nothing in it")
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(
            f"{path}: damaged, not a whole JSON file ({error}); remove it to recompute"
        ) from error
    return record


def write_json(path, record, *, durable=True, fence=None):
    """Write a JSON file so that it is whole or absent, also after a power cut when `durable`.

    Numbers that JSON has no word for (nan, inf) become null. `fence` is that of
    `simtools.md.checkpoint.replace_file`.
    """
    path = Path(path)
    record = _jsonable(record)
    mark = "" if fence is None else fence.mark
    partial = path.with_name(f".{path.name}.{os.getpid()}{mark}.partial")
    try:
        with open(partial, "w", encoding="utf-8") as stream:
            json.dump(record, stream, indent=1, allow_nan=False)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        if fence is not None:
            fence()
        partial.replace(path)
    except (OSError, LeaseLostError):
        partial.unlink(missing_ok=True)
        raise


def _jsonable(record):
    if isinstance(record, dict):
        return {key: _jsonable(value) for key, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [_jsonable(value) for value in record]
    if isinstance(record, float) and not math.isfinite(record):
        return None
    return record


def check_directory(path):
    """Create `path` if need be and make sure that a file can be written in it.

    Raises
    ------
    ConfigError
        Naming the directory and the system's reason.
    """
    path = Path(path)
    probe = path / f".probe.{os.getpid()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"probe")
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose another -o DIR") from error


def check_owner(path, command):
    """Refuse a directory that holds what another command wrote: both write ``recipe.toml`` and more.

    Raises
    ------
    ConfigError
        Naming the other command.
    """
    for name, owner in _OWNERS.items():
        if owner != command and (Path(path) / name).exists():
            raise ConfigError(
                f"{path} holds what simtools {owner} wrote ({name}), and simtools {command} would write over "
                "it; choose another -o DIR"
            )


@contextmanager
def locked(directory):
    """Hold the directory's lock; the system frees it when the process ends, however it ends."""
    with open(Path(directory) / ".lock", "w", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"{directory}: another simtools run is working here; wait for it or stop it"
            ) from error
        yield


@contextmanager
def hold_directory(path, command):
    """Create `path` if need be and hold it for one command: writable, its own, and no other process in it.

    Raises
    ------
    ConfigError
        Saying which of these fails.
    """
    check_owner(path, command)
    check_directory(path)
    with locked(path):
        yield
