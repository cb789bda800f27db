"""Dynamics in LAMMPS, in the form in which `simtools.md` runs an engine that moves the ions itself.

The same force field, written as for an export; a child process on any number of MPI ranks; samples read from
its files and turned back into the orientation, the lattice and the numbering of the ions that were given.
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units

from potentials.calculator import IonicCalculator
from potentials.force_field import ForceField
from potentials.lammps import SHELL_ACCURACY
from potentials.lammps_commands import (
    BAR_PER_GPA,
    COLUMNS,
    FINE_FILE,
    FRAMES_FILE,
    TABLE_FILE,
    check_stage,
    forces_lines,
    group_lines,
    sample_lines,
    stage_lines,
    start_lines,
    thermostat_words,
)
from potentials.lammps_dump import read_dump, read_table
from potentials.lammps_molecules import zero_of_bonds_eV
from potentials.lammps_process import LammpsProcess, find_lammps
from potentials.lammps_text import data_text, has_tables, lammps_frame, particles_of, table_text
from potentials.topology import find_topology, set_topology, species_labels
from simtools.core.errors import ConfigError

__all__ = ["Frame", "LammpsEngine", "LammpsStage", "Row"]

LOG_FILE = "lammps.log"
_SCRATCH = "lammps-"
_DEFAULT_ACCURACY = 1e-4
_KSPACE_SHARE = 0.1
"""LAMMPS' accuracy is relative to 14.4 eV/Å, ours to the RMS force, which is near 1.5 eV/Å in hot crystals."""
_ASE_TIME_PER_PS = 1000.0 * units.fs
_MESH = {
    "alpha_per_A": re.compile(r"G vector \(1/distance\) = (\S+)"),
    "mesh_shape": re.compile(r"grid = (\d+) (\d+) (\d+)"),
    "mesh_order": re.compile(r"stencil order = (\d+)"),
}


@dataclass(frozen=True)
class Row:
    """One row of the log: step, K, eV, eV, eV, Å³, GPa; the pressure of a charged cell is NaN."""

    step: int
    temperature_K: float
    potential_energy_eV: float
    kinetic_energy_eV: float
    conserved_energy_eV: float
    volume_A3: float
    pressure_GPa: float


@dataclass(frozen=True)
class Frame:
    """The ions at one step: unwrapped positions (Å), velocities (Å/ps) or None, cell (Å)."""

    step: int
    positions_A: np.ndarray
    velocities_A_per_ps: np.ndarray | None
    cell_A: np.ndarray


class LammpsEngine:
    """A force field whose dynamics LAMMPS runs; given to `run_stages` where a calculator is.

    Parameters
    ----------
    force_field
        The force field.
    mpi_ranks
        Number of processes. They change the last digits of forces, as another processor does.
    accuracy
        Relative RMS error of the Coulomb forces, as in `potentials.calculator.IonicCalculator`; LAMMPS is
        asked for a tenth of it, relative to its own 14.4 eV/Å. `self_check` measures what comes out.
    net_charge
        "background" allows a charged cell.

    Raises
    ------
    LammpsUnavailableError
        If there is no LAMMPS to start.
    ConfigError
        For a force field that needs what LAMMPS is not asked to do here.
    """

    def __init__(
        self,
        force_field: ForceField,
        *,
        mpi_ranks: int = 1,
        accuracy: float = _DEFAULT_ACCURACY,
        net_charge: str | None = None,
    ):
        self.field = force_field
        self.mpi_ranks = mpi_ranks
        self.accuracy = accuracy
        self.net_charge = net_charge
        self.program = find_lammps()
        self.thermostats = {}

    @property
    def has_rigid_molecules(self):
        """Whether the force field has molecules that no bond holds together."""
        return any(molecule.is_rigid for molecule in self.field.molecules.values())

    @property
    def kspace_accuracy(self):
        """The accuracy given to LAMMPS' ``kspace_style``; None without charges."""
        return _KSPACE_SHARE * self.accuracy if self.field.is_charged else None

    def name_molecules(self, atoms: Atoms):
        """Write ``molecule_id`` and ``species_label`` onto `atoms` where they lack them."""
        if self.field.has_topology and "molecule_id" not in atoms.arrays:
            set_topology(self.field, atoms)

    def fixed_settings(self):
        """Return what fixes the forces, and what a run must share with its continuation."""
        return {
            "force_field_sha256": self.field.sha256,
            "engine": "lammps",
            "lammps_version": self.program.version,
            "accuracy": self.accuracy,
            "net_charge": self.net_charge or "error",
        }

    def settings(self, atoms: Atoms):
        """Return what was chosen for `atoms`, JSON-able, in the words of the embedded engine's settings."""
        labels = species_labels(self.field, atoms)
        charged = not self.field.is_neutral(labels)
        return {
            "engine": f"LAMMPS {self.program.version}",
            "mpi_ranks": self.mpi_ranks,
            "force_field": self.field.name,
            "force_field_version": self.field.version,
            "force_field_sha256": self.field.sha256,
            "coulomb": "particle-particle particle-mesh of LAMMPS" if self.field.is_charged else "none",
            "accuracy": self.accuracy if self.field.is_charged else None,
            "kspace_accuracy": self.kspace_accuracy,
            "net_charge_e": float(self.field.formula_charge_e(labels)) if charged else 0.0,
            "background": charged,
            "pair_cutoff_A": self.field.cutoff_A,
            "pair_cutoff_mode": self.field.cutoff_mode,
            **({"thermostats": dict(self.thermostats)} if self.thermostats else {}),
        }

    def self_check(self, atoms: Atoms, folder=None):
        """Return mesh and force error at `atoms`, measured against exact sums; {} for shells, which move.

        Keys as in `potentials.calculator.IonicCalculator.self_check`.
        """
        if self.field.shells:
            return {}
        exact = IonicCalculator(
            self.field,
            coulomb="ewald" if self.field.is_charged else "none",
            pair_terms="exact",
            net_charge=self.net_charge,
        )
        energy, forces, mesh = self._evaluate(atoms, folder)
        reference = exact.get_property("forces", atoms)
        error_n = np.linalg.norm(forces - reference, axis=1)
        rms = math.sqrt(float((reference**2).sum()) / len(reference))
        return {
            "relative_rms_force_error": math.sqrt(float((error_n**2).mean())) / rms if rms else None,
            "max_relative_force_error": float(error_n.max()) / rms if rms else None,
            "rms_force_eV_per_A": rms,
            "energy_error_eV_per_atom": abs(energy - exact.get_property("energy", atoms)) / len(atoms),
            **mesh,
        }

    def _evaluate(self, atoms, folder):
        """Return energy (eV), forces (eV/Å) and what LAMMPS says about its mesh, on one rank."""
        at_rest = atoms.copy()
        self.name_molecules(at_rest)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder) as scratch:
            frame = _write_start(self.field, at_rest, self.net_charge, scratch)
            process = LammpsProcess(
                self.program, mpi_ranks=1, folder=scratch, log=Path(scratch) / "evaluation.log"
            )
            try:
                process.command(
                    "\n".join(
                        [
                            *start_lines(self.field, "start.data"),
                            *forces_lines(self.field, self.kspace_accuracy),
                        ]
                    )
                )
                lines = process.command(
                    "thermo_style custom step pe\nthermo_modify norm no format float %.17g\nrun 0\n"
                    "write_dump all custom forces.bin id fx fy fz"
                )
            finally:
                process.close()
            (snapshot,), _ = read_dump(Path(scratch) / "forces.bin")
        rows = [row for line in lines if (row := _numbers(line, 2)) is not None]
        energy = rows[-1][1] + _bond_zero_eV(self.field, at_rest)
        text = "\n".join(lines)
        mesh = {name: found.groups() for name, pattern in _MESH.items() if (found := pattern.search(text))}
        read = {
            name: [float(v) if name == "alpha_per_A" else int(v) for v in vs] for name, vs in mesh.items()
        }
        forces = snapshot.vectors("fx", "fy", "fz") @ frame.rotation.T
        return energy, forces, {name: v if len(v) > 1 else v[0] for name, v in read.items()}

    def begin_stage(self, atoms: Atoms, stage, folder, *, seed: int):
        """Return a `LammpsStage` that has not begun: nothing is started yet.

        Parameters
        ----------
        atoms
            Positions, momenta and cell at the start of the stage.
        stage
            With the attributes of `simtools.md.stages.Stage`.
        folder
            Of the run: the log and a scratch folder go there.
        seed
            Of the thermostat's noise.

        Raises
        ------
        ConfigError
            If the time step cannot follow the shells.
        """
        check_stage(self.field, stage.timestep_fs)
        words = thermostat_words(self.field, stage)
        if words is not None:
            self.thermostats[stage.name] = words
        return LammpsStage(self, atoms, stage, Path(folder), seed)


class LammpsStage:
    """One stage in a LAMMPS process: begun from atoms or from a restart file, then advanced and sampled."""

    def __init__(self, engine, atoms, stage, folder, seed):
        self._engine, self._stage, self._seed = engine, stage, seed
        self._elements = sorted(set(atoms.get_chemical_symbols()))
        self._atoms = atoms.copy()
        self._folder = folder
        self._bond_zero_eV = _bond_zero_eV(engine.field, atoms)
        labels = species_labels(engine.field, atoms)
        self._charged = not engine.field.is_neutral(labels)
        self._process = self._scratch = None
        frame = lammps_frame(atoms.cell[:])
        self._rotation = frame.rotation
        self._change = np.rint(np.linalg.solve(atoms.cell[:].T, (frame.cell @ frame.rotation.T).T).T)
        self._lattice_nc = None
        self._offset = 0
        self._shift_eV = 0.0

    def start(self, state=None):
        """Start LAMMPS, at the beginning of the stage or from `state`, and return the first row.

        `state` is what `checkpoint` gave.
        """
        for stale in self._folder.glob(f"{_SCRATCH}*"):
            if stale.is_dir():
                shutil.rmtree(stale, ignore_errors=True)
        self._scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=self._folder))
        field = self._engine.field
        self._process = LammpsProcess(
            self._engine.program,
            mpi_ranks=self._engine.mpi_ranks,
            folder=self._scratch,
            log=self._folder / LOG_FILE,
        )
        if has_tables(field):
            (self._scratch / TABLE_FILE).write_text(table_text(field), encoding="utf-8")
        if state is None:
            _write_start(field, self._atoms, self._engine.net_charge, self._scratch)
            return self._begin(start_lines(field, "start.data"), None)
        (self._scratch / "old.restart").write_bytes(state["restart"].tobytes())
        self._lattice_nc = np.array(state["lattice"], dtype=float)
        self._rotation, self._change = np.array(state["rotation"]), np.array(state["change"])
        return self._begin(["read_restart old.restart"], state)

    def _begin(self, read, state):
        field, stage, engine = self._engine.field, self._stage, self._engine
        for name in (FRAMES_FILE, FINE_FILE):
            (self._scratch / name).unlink(missing_ok=True)
        self._offset = 0
        step = 0 if state is None else state["step"]
        self._process.command(
            "\n".join(
                [
                    *read,
                    *group_lines(field, self._elements),
                    f"group ions id <= {len(self._atoms)}",
                    *forces_lines(field, engine.kspace_accuracy),
                    *stage_lines(field, stage, self._seed + step),
                    *sample_lines(field, stage, self._elements),
                ]
            )
        )
        row = self._rows(self._process.command("run 0 post no"))[-1]
        self._conserved_eV = row.conserved_energy_eV if state is None else state["conserved_eV"]
        self._keep_count_of_heat(row)
        if self._lattice_nc is None:
            self._lattice_nc = self._lattice_shifts()
        return self._shifted(row)

    def _keep_count_of_heat(self, row):
        """Join the conserved energy to its last value: fix langevin counts its heat anew in every run."""
        if self._stage.thermostat == "langevin":
            self._shift_eV = self._conserved_eV - row.conserved_energy_eV

    def _lattice_shifts(self):
        """Return by which lattice vectors the ions were moved into LAMMPS' box, shape (n_atoms, 3)."""
        self._process.command("write_dump ions custom first.bin id xu yu zu")
        (first,), _ = read_dump(self._scratch / "first.bin")
        moved = self._atoms.positions - self._turned_back(first)[0]
        return np.rint(np.linalg.solve(self._atoms.cell[:].T, moved.T).T)

    def _turned_back(self, snapshot):
        """Return positions and cell in the orientation of the ions that were given."""
        rotation = self._rotation
        positions = (snapshot.vectors("xu", "yu", "zu") - snapshot.origin_A) @ rotation.T
        cell = np.linalg.solve(self._change, snapshot.cell_A @ rotation.T)
        if self._lattice_nc is not None:
            positions += self._lattice_nc @ cell
        return positions, cell

    def advance(self, n_steps):
        """Run `n_steps` and return their rows of the log; the last step always has one."""
        rows = self._rows(self._process.command(f"run {n_steps} pre no post no"))
        self._keep_count_of_heat(rows[0])
        rows = [self._shifted(row) for row in rows]
        self._conserved_eV = rows[-1].conserved_energy_eV
        return rows

    def frames(self):
        """Return the frames written since the last call."""
        snapshots, self._offset = read_dump(self._scratch / FRAMES_FILE, self._offset)
        return [self._frame_of(snapshot) for snapshot in snapshots]

    def _frame_of(self, snapshot):
        positions, cell = self._turned_back(snapshot)
        velocities = None
        if "vx" in snapshot.columns:
            velocities = snapshot.vectors("vx", "vy", "vz") @ self._rotation.T
        return Frame(snapshot.step, positions, velocities, cell)

    def species_momenta(self):
        """Return steps and momenta of the elements in alphabetical order, amu Å/ps: (n,), (n, n_elements, 3)."""
        steps, values = read_table(self._scratch / FINE_FILE)
        return steps, values.reshape(len(steps), len(self._elements), 3) @ self._rotation.T

    def checkpoint(self, *, goes_on=True):
        """Return (state, frame with velocities, new frames, species momenta or None) at this step.

        LAMMPS goes on from it if asked, and reads back what it wrote, so that a run continued from `state` is the run that was not stopped.
        """
        self._process.command(
            "write_restart new.restart\nwrite_dump all custom last.bin id xu yu zu vx vy vz mass\nclear"
        )
        (snapshot,), _ = read_dump(self._scratch / "last.bin")
        momenta = self.species_momenta() if self._stage.write_trajectory else None
        state = {
            "step": int(snapshot.step),
            "restart": np.frombuffer((self._scratch / "new.restart").read_bytes(), dtype=np.uint8),
            "lattice": self._lattice_nc,
            "rotation": self._rotation,
            "change": self._change,
            "conserved_eV": self._conserved_eV,
        }
        frames = self.frames()
        last = self._frame_of(self._of_ions(snapshot))
        if goes_on:
            (self._scratch / "new.restart").replace(self._scratch / "old.restart")
            self._begin(["read_restart old.restart"], state)
        return state, last, frames, momenta

    def _of_ions(self, snapshot):
        """Return a snapshot of all particles as one of ions: at their cores, at the velocity of both."""
        n_ions = len(self._atoms)
        if len(snapshot.columns["id"]) == n_ions:
            return snapshot
        shelled = [
            label in self._engine.field.shells for label in species_labels(self._engine.field, self._atoms)
        ]
        mass = snapshot.columns["mass"]
        columns = {name: values[:n_ions].copy() for name, values in snapshot.columns.items()}
        for name in ("vx", "vy", "vz"):
            values = snapshot.columns[name]
            total = (mass * values)[:n_ions].copy()
            total[shelled] += (mass * values)[n_ions:]
            whole = mass[:n_ions].copy()
            whole[shelled] += mass[n_ions:]
            columns[name] = total / whole
        return type(snapshot)(snapshot.step, snapshot.origin_A, snapshot.cell_A, columns)

    def _rows(self, lines):
        shells = bool(self._engine.field.shells)
        numbers = (_numbers(line, len(COLUMNS) + shells) for line in lines)
        return [self._row(row) for row in numbers if row is not None]

    def _row(self, values):
        step, temperature, potential, kinetic, conserved, volume, bar = values[: len(COLUMNS)]
        if len(values) > len(COLUMNS):
            kinetic, conserved = values[-1], conserved - kinetic + values[-1]
        pressure = math.nan if self._charged else bar / BAR_PER_GPA
        zero = self._bond_zero_eV
        return Row(int(step), temperature, potential + zero, kinetic, conserved + zero, volume, pressure)

    def _shifted(self, row):
        if self._shift_eV == 0.0:
            return row
        values = {**vars(row), "conserved_energy_eV": row.conserved_energy_eV + self._shift_eV}
        return Row(**values)

    def close(self):
        """End LAMMPS and remove the scratch folder."""
        if self._process is not None:
            self._process.close()
            self._process = None
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None


def _write_start(field, atoms, net_charge, folder):
    """Write the data file of `atoms` and the pair tables into `folder`; return LAMMPS' frame."""
    displacements = np.zeros((len(atoms), 3))
    if field.shells:
        calculator = IonicCalculator(field, net_charge=net_charge, accuracy=SHELL_ACCURACY)
        displacements = calculator.shell_displacements_A(atoms)
    frame = lammps_frame(atoms.cell[:])
    particles = particles_of(field, atoms, displacements)
    text = data_text(field, atoms, frame, particles)
    (Path(folder) / "start.data").write_text(text, encoding="utf-8")
    if has_tables(field):
        (Path(folder) / TABLE_FILE).write_text(table_text(field), encoding="utf-8")
    return frame


def _bond_zero_eV(field, atoms):
    return zero_of_bonds_eV(field, find_topology(field, atoms)) if field.molecules else 0.0


def _numbers(line, n):
    """Return the `n` numbers of a line of the log, or None if it is something else."""
    parts = line.split()
    if len(parts) != n:
        return None
    try:
        return [float(part) for part in parts]
    except ValueError:
        return None
