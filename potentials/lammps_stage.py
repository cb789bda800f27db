"""One stage of dynamics in a LAMMPS process: begun from ions or a restart file, advanced, sampled.

Samples are read from its files and turned back into the orientation, lattice and order of the ions given.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from potentials.calculator import IonicCalculator
from potentials.lammps import SHELL_ACCURACY
from potentials.lammps_commands import (
    BAR_PER_GPA,
    BAROSTAT_POSITION,
    FINE_FILE,
    FRAMES_FILE,
    KINETIC_OF_ALL,
    TABLE_FILE,
    forces_lines,
    group_lines,
    held_group_lines,
    log_columns,
    mass_classes,
    sample_lines,
    stage_lines,
    start_lines,
)
from potentials.lammps_cone import REFERENCE_FIX, cone_data_section, cone_lines
from potentials.lammps_dump import read_dump, read_table
from potentials.lammps_inertia import BODIES_FILE, MOTION, BodyShapes, HeavyNoise, alters_inertia
from potentials.lammps_molecules import zero_of_bonds_eV
from potentials.lammps_pairs import has_tables, table_text
from potentials.lammps_process import LammpsProcess, check_ranks
from potentials.lammps_rigid import HEAT, needs_noise, rigid_group_lines
from potentials.lammps_shells import images_apart
from potentials.lammps_text import data_text, lammps_frame, particles_of
from potentials.topology import find_topology, species_labels
from simtools.core.units import BOLTZMANN_EV_PER_K

__all__ = ["Frame", "LammpsStage", "Row", "bond_zero_eV", "numbers_of", "write_start"]

LOG_FILE = "lammps.log"
SCRATCH = "lammps-"


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


class LammpsStage:
    """One stage in a LAMMPS process: begun from atoms or from a restart file, then advanced and sampled."""

    def __init__(
        self, engine, atoms, stage, folder, seed, *, field, rigid=None, held_n=None, restrained=None
    ):
        self._field, self._rigid, self._held_n, self._restrained = field, rigid, held_n, restrained
        self._engine, self._stage, self._seed = engine, stage, seed
        self._elements = sorted(set(atoms.get_chemical_symbols()))
        self._atoms = atoms.copy()
        self._folder = folder
        self._bond_zero_eV = bond_zero_eV(field, atoms)
        labels = species_labels(field, atoms)
        self._charged = not field.is_neutral(labels)
        self._process = self._scratch = None
        frame = lammps_frame(atoms.cell[:])
        self._rotation = frame.rotation
        self._small_cell = not images_apart(frame.cell, field.cutoff_A)
        self._change = np.rint(np.linalg.solve(atoms.cell[:].T, (frame.cell @ frame.rotation.T).T).T)
        self._lattice_nc = None
        self._offset = 0
        self._shift_eV = 0.0
        self._shapes = BodyShapes.of(field, atoms) if alters_inertia(rigid) else None
        self._noise = None

    def start(self, state=None):
        """Start LAMMPS, at the beginning of the stage or from `state`, and return the first row.

        `state` is what `checkpoint` gave.
        """
        for stale in self._folder.glob(f"{SCRATCH}*"):
            if stale.is_dir():
                shutil.rmtree(stale, ignore_errors=True)
        self._scratch = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=self._folder))
        field = self._field
        self._process = LammpsProcess(
            self._engine.program,
            mpi_ranks=self._engine.mpi_ranks,
            folder=self._scratch,
            log=self._folder / LOG_FILE,
        )
        if has_tables(field):
            (self._scratch / TABLE_FILE).write_text(table_text(field), encoding="utf-8")
        if state is None:
            write_start(field, self._atoms, self._engine.net_charge, self._scratch)
            return self._begin(self._start_lines(), None)
        (self._scratch / "old.restart").write_bytes(state["restart"].tobytes())
        self._lattice_nc = np.array(state["lattice"], dtype=float)
        self._rotation, self._change = np.array(state["rotation"]), np.array(state["change"])
        self._small_cell = state.get("small_cell", True)
        return self._begin(["read_restart old.restart"], state)

    def _start_lines(self):
        if self._restrained is None:
            return start_lines(self._field, "start.data")
        section = cone_data_section(len(self._atoms), self._restrained, self._rotation)
        with (self._scratch / "start.data").open("a", encoding="utf-8") as stream:
            stream.write(section)
        units, style, boundary, read = start_lines(self._field, "start.data", " fix reference NULL Reference")
        return [units, style, boundary, REFERENCE_FIX, read]

    def _begin(self, read, state):
        field, stage, engine = self._field, self._stage, self._engine
        for name in (FRAMES_FILE, FINE_FILE):
            (self._scratch / name).unlink(missing_ok=True)
        self._offset = 0
        step = 0 if state is None else state["step"]
        held = self._held_n is not None
        cone = [] if self._restrained is None else cone_lines(self._restrained)
        if cone and state is not None:
            read = [*read, REFERENCE_FIX]
        said = self._say(
            [
                *read,
                *group_lines(field, self._elements),
                f"group ions id <= {len(self._atoms)}",
                *forces_lines(field, engine.kspace_accuracy, small_cell=self._small_cell),
                *(rigid_group_lines(field, self._atoms) if self._rigid else []),
                *(held_group_lines(self._held_n) if held else []),
            ]
        )
        check_ranks(said, engine.mpi_ranks)
        if self._shapes is not None:
            self._write_bodies(step)
        motion = stage_lines(
            field, stage, self._seed + step, rigid=self._rigid, shapes=self._shapes, held=held
        )
        samples = sample_lines(field, stage, self._elements, rigid=self._rigid, held=held)
        self._say([*cone, f"variable first equal {step}", *motion, *samples])
        row = self._rows(self._process.command("run 0 post no"))[-1]
        self._conserved_eV = row.conserved_energy_eV if state is None else state["conserved_eV"]
        self._keep_count_of_heat(row)
        if self._lattice_nc is None:
            self._lattice_nc = self._lattice_shifts()
        if self._rigid:  # LAMMPS does not know the forces that hold bodies together before the first step
            row = replace(row, pressure_GPa=math.nan)
        return self._shifted(row)

    def _say(self, lines):
        return self._process.command("\n".join(lines))

    def _write_bodies(self, step):
        """Write what the fix of bodies reads, from the atoms as they are, and begin the noise."""
        self._say(["write_dump all custom bodies.bin id xu yu zu vx vy vz mass"])
        (now,), _ = read_dump(self._scratch / "bodies.bin")
        text = self._shapes.file_text(
            now.columns["mass"], now.vectors("xu", "yu", "zu"), now.vectors("vx", "vy", "vz"), self._rigid
        )
        (self._scratch / BODIES_FILE).write_text(text, encoding="utf-8")
        if needs_noise(self._stage, self._rigid):
            self._noise = HeavyNoise(self._shapes, self._seed, step)
            self._say(self._noise.lines(0))

    def _keep_count_of_heat(self, row):
        """Join the conserved energy to its last value: some thermostats count their heat anew each run."""
        if self._stage.thermostat == "langevin" or self._rigid:
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
        noise = [] if self._noise is None else self._noise.lines(n_steps)
        rows = self._rows(self._say([*noise, f"run {n_steps} pre no post no"]))
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
        """Return steps (n,), momenta (amu Å/ps) and sums of velocities (Å/ps) of the ions of each element.

        Both have shape (n, n_elements, 3), elements in alphabetical order.
        """
        steps, values = read_table(self._scratch / FINE_FILE)
        classes = mass_classes(self._field, self._elements)
        rows = values.reshape(len(steps), len(classes), 3) @ self._rotation.T
        momenta = np.zeros((len(steps), len(self._elements), 3))
        velocities = np.zeros_like(momenta)
        for k, (element, mass, _) in enumerate(classes):
            number = self._elements.index(element)
            momenta[:, number] += rows[:, k]
            velocities[:, number] += rows[:, k] / mass
        return steps, momenta, velocities

    def checkpoint(self, *, goes_on=True):
        """Return (state, frame with velocities, new frames, `species_momenta` or None) at this step.

        LAMMPS goes on from it if asked, and reads back what it wrote, so that a run continued from `state` is
        the run that was not stopped.
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
            "small_cell": self._small_cell,
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
        shelled = [label in self._field.shells for label in species_labels(self._field, self._atoms)]
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
        names = log_columns(self._field, self._stage, rigid=self._rigid)
        numbers = (numbers_of(line, len(names)) for line in lines)
        return [self._row(dict(zip(names, row, strict=True))) for row in numbers if row is not None]

    def _row(self, row):
        kinetic, conserved, kelvin = row["ke"], row["econserve"], row["temp"]
        if MOTION in row:
            kinetic, conserved = row[MOTION], conserved - kinetic + row[MOTION]
            kelvin *= kinetic / row["ke"]
        if KINETIC_OF_ALL in row:
            kinetic, conserved = row[KINETIC_OF_ALL], conserved - kinetic + row[KINETIC_OF_ALL]
        conserved -= row.get(HEAT, 0.0)
        if BAROSTAT_POSITION in row:
            conserved -= 2.0 * BOLTZMANN_EV_PER_K * self._stage.temperature_K * row[BAROSTAT_POSITION]
        return Row(
            step=int(row["step"]),
            temperature_K=kelvin,
            potential_energy_eV=row["pe"] + self._bond_zero_eV,
            kinetic_energy_eV=kinetic,
            conserved_energy_eV=conserved + self._bond_zero_eV,
            volume_A3=row["vol"],
            pressure_GPa=math.nan if self._charged else row["press"] / BAR_PER_GPA,
        )

    def _shifted(self, row):
        if self._shift_eV == 0.0:
            return row
        return replace(row, conserved_energy_eV=row.conserved_energy_eV + self._shift_eV)

    def close(self):
        """End LAMMPS and remove the scratch folder."""
        if self._process is not None:
            self._process.close()
            self._process = None
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None


def write_start(field, atoms, net_charge, folder):
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


def bond_zero_eV(field, atoms):
    """Return what our energy of the bonds has more than LAMMPS', eV."""
    return zero_of_bonds_eV(field, find_topology(field, atoms)) if field.molecules else 0.0


def numbers_of(line, n):
    """Return the `n` numbers of a line of the log, or None if it is something else."""
    parts = line.split()
    if len(parts) != n:
        return None
    try:
        return [float(part) for part in parts]
    except ValueError:
        return None
