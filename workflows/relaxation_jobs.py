"""Many small relaxations, in worker processes, each kept on disk as soon as it is done.

One file per relaxed cell, named by a hash of all that fixes its result: the same command finds what is there
and does the rest. No result depends on the number of workers or on the order: every job builds its own
calculator.
"""

import hashlib
import json
import math
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import connection, get_context, parent_process
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write

from simtools.core.errors import ConfigError, RunFailedError, SimtoolsError
from simtools.core.periodic import minimum_image
from simtools.defects.binding import sites_changed
from simtools.defects.formation import relax_defect
from simtools.defects.insertion import PlacedDefect
from simtools.defects.kroger_vink import KrogerVink
from workflows.executors import single_threaded_children
from workflows.forces import forces_of
from workflows.statepoints import DamagedFileError, read_json, write_json

__all__ = [
    "PROTOCOL",
    "RelaxationJob",
    "RelaxedCell",
    "crystal_record",
    "placed_record",
    "run_relaxations",
]

PROTOCOL = 2
"""Raised whenever a change of the code changes the energies of relaxed cells, or what is kept of them."""
_POLL_S = 0.25
_CELLS = "cells"


@dataclass(frozen=True, kw_only=True)
class RelaxationJob:
    """One relaxed cell with defects in it.

    Attributes
    ----------
    name
        Readable start of the file name.
    potential
        Keys of the recipe's [potential] table.
    force_identity
        What fixes the forces (`workflows.forces.Forces.identity`).
    crystal
        Conventional cell at rest: symbols, positions (Å) and cell (Å), plain lists.
    placed
        Defects, as plain dicts.
    repeats, max_force_eV_per_A, pressure_GPa, seed
        As for `relax_defect`.
    relative_to
        Folder that a relative path in `potential` starts from; not part of the hash.
    """

    name: str
    potential: dict
    force_identity: dict
    crystal: dict
    placed: tuple[dict, ...]
    repeats: int
    max_force_eV_per_A: float
    pressure_GPa: float | None
    seed: int
    relative_to: str

    @property
    def digest(self) -> str:
        """Hash of all that fixes the result."""
        fixed = asdict(self)
        for name in ("name", "potential", "relative_to"):
            del fixed[name]
        text = json.dumps({"protocol": PROTOCOL, **fixed}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def file(self, directory) -> Path:
        """Return where its result is kept."""
        return Path(directory) / _CELLS / f"{self.name}-{self.digest}.json"


@dataclass(frozen=True, kw_only=True)
class RelaxedCell:
    """What is kept of a relaxed cell; it lies as extended XYZ beside.

    Attributes
    ----------
    energy_eV
        Less that of the perfect cell.
    cell_A
        Lattice vectors.
    net_charge_e
        Of the cell in the charges of the model, e; 0 where the calculator knows of none.
    changed
        What is on which site afterwards: pairs of label and site index.
    turned_deg
        How far the axis of a single dumbbell turned, degrees; 0 for anything else.
    n_steps, max_force_eV_per_A, max_displacement_A
        Of the relaxation.
    failed
        Why it did not come to rest; the numbers are then nan.
    """

    energy_eV: float
    cell_A: list
    net_charge_e: float
    changed: tuple
    turned_deg: float
    n_steps: int
    max_force_eV_per_A: float
    max_displacement_A: float
    failed: str | None = None

    def final_defects(self):
        """Return `changed` with parsed labels."""
        return tuple((KrogerVink.parse(label), site) for label, site in self.changed)


def crystal_record(atoms: Atoms) -> dict:
    """Return a crystal as plain data for a job."""
    return {
        "symbols": atoms.get_chemical_symbols(),
        "positions_A": atoms.positions.tolist(),
        "cell_A": atoms.cell.array.tolist(),
    }


def placed_record(defect: PlacedDefect) -> dict:
    """Return a placed defect as plain data for a job."""
    record = {name: value for name, value in asdict(defect).items() if name not in ("set", "request")}
    record["label"] = str(defect.label)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in record.items()
        if value is not None
    }


def run_relaxations(
    jobs: Sequence[RelaxationJob],
    directory,
    *,
    workers: int = 1,
    stop: Callable[[], bool] = lambda: False,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> list[RelaxedCell]:
    """Return the result of every job, from disk where it is there already.

    Parameters
    ----------
    jobs
        In any order; equal ones are done once.
    directory
        Where results are kept, in the folder ``cells``.
    workers
        Processes; 1 works in this one.
    stop
        Asked between jobs; True ends with KeyboardInterrupt after what is running.
    on_done
        Told how many of how many are done.

    Raises
    ------
    RunFailedError
        If a worker dies.
    """
    folder = Path(directory) / _CELLS
    folder.mkdir(parents=True, exist_ok=True)
    waiting = {}
    for job in jobs:
        path = job.file(directory)
        if not path.exists():
            waiting[path] = job
    total, left = len({job.file(directory) for job in jobs}), len(waiting)
    on_done(total - left, total)
    if workers == 1 or left < 2:
        for n, (path, job) in enumerate(waiting.items(), start=1):
            if stop():
                raise KeyboardInterrupt
            _relax_and_keep(job, path)
            on_done(total - left + n, total)
    else:
        _run_in_pool(waiting, min(workers, left), stop, lambda done: on_done(total - left + done, total))
    return [_read(job.file(directory)) for job in jobs]


def _run_in_pool(waiting, workers, stop, on_done):
    with single_threaded_children():
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
        try:
            running = {pool.submit(_relax_and_keep, job, path) for path, job in waiting.items()}
            n_done = 0
            while running:
                if stop():
                    raise KeyboardInterrupt
                done, running = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    n_done += 1
                    on_done(n_done)
        except BrokenProcessPool as error:
            raise RunFailedError(
                "a worker process died (killed, or out of memory); the cells that are done are kept"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_worker():
    """Leave Ctrl-C to the parent, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_the_parent, daemon=True).start()


def _leave_with_the_parent():
    connection.wait([parent_process().sentinel])
    os._exit(1)


def _relax_and_keep(job, path):
    try:
        record = _relax(job, path)
    except SimtoolsError as error:
        if isinstance(error, ConfigError):
            raise
        record = {
            "energy_eV": None,
            "cell_A": [],
            "net_charge_e": 0.0,
            "changed": [],
            "turned_deg": 0.0,
            "n_steps": getattr(error, "n_steps", None),
            "max_force_eV_per_A": getattr(error, "max_force_eV_per_A", None),
            "max_displacement_A": None,
            "failed": str(error),
        }
    write_json(path, {**record, "sha256": _seal(path, record)}, durable=False)


def _relax(job, path):
    forces = forces_of(job.potential, relative_to=job.relative_to)
    crystal = Atoms(
        job.crystal["symbols"],
        positions=job.crystal["positions_A"],
        cell=job.crystal["cell_A"],
        pbc=True,
    )
    placed = [
        PlacedDefect(**{"site_index": None, **record, "label": KrogerVink.parse(record["label"])})
        for record in job.placed
    ]
    calculator = forces.calculator()
    relaxed = relax_defect(
        crystal,
        placed,
        job.repeats,
        calculator,
        formal_charges_e=forces.formal_charges_e,
        max_force_eV_per_A=job.max_force_eV_per_A,
        pressure_GPa=job.pressure_GPa,
        seed=job.seed,
    )
    changed = sites_changed(relaxed.atoms)
    partial = path.with_suffix(".partial.extxyz")
    write(partial, relaxed.atoms, format="extxyz")
    partial.replace(path.with_suffix(".extxyz"))
    return {
        "energy_eV": relaxed.energy_eV,
        "cell_A": relaxed.cell_A.tolist(),
        "net_charge_e": _net_charge_e(calculator, relaxed.atoms),
        "changed": [[str(label), site] for label, site in changed],
        "turned_deg": _turned_deg(relaxed.atoms),
        "n_steps": relaxed.n_steps,
        "max_force_eV_per_A": relaxed.max_force_eV_per_A,
        "max_displacement_A": relaxed.max_displacement_A,
        "failed": None,
    }


def _net_charge_e(calculator, atoms):
    settings = getattr(calculator, "settings", None)
    return 0.0 if settings is None else float(settings(atoms).get("net_charge_e", 0.0))


def _turned_deg(atoms):
    """Return the angle between the axis of a dumbbell and the one it was put in with."""
    record = atoms.info["defects"][0]
    if record["kind"] != "dumbbell":
        return 0.0
    first, second = record["atom_indices"]
    axis = minimum_image(atoms.positions[[first]] - atoms.positions[[second]], atoms.cell.array)[0]
    cosine = abs(np.dot(axis, record["direction"])) / np.linalg.norm(axis)
    return math.degrees(math.acos(min(float(cosine), 1.0)))


def _seal(path, record):
    """Return a hash of a record and the name it is kept under: no changed or misplaced file is believed."""
    text = json.dumps(record, sort_keys=True)
    return hashlib.sha256(f"{path.name} {text}".encode()).hexdigest()


def _read(path):
    record = read_json(path)
    if record.pop("sha256", None) != _seal(path, record):
        raise DamagedFileError(f"{path}: damaged, its contents have changed; remove it to recompute")
    try:
        values = {**record, "changed": tuple((str(label), int(site)) for label, site in record["changed"])}
        for name in ("energy_eV", "max_displacement_A"):
            values[name] = np.nan if record[name] is None else float(record[name])
        return RelaxedCell(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise SimtoolsError(f"{path}: not a relaxed cell of ours ({error}); delete the file") from error
