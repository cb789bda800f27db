"""The steps of a stage that another program makes, sampled, logged and checkpointed as our own are.

An engine is given to `simtools.md.protocols.run_stages` where a calculator is. It has ``begin_stage(atoms,
stage, folder, seed=, rigid=, held_n=, restrained=)``, whose answer moves the ions by itself: molecules as
rigid bodies or held back by a cone, and some ions not at all, if asked. ``start(state)`` returns the first
row of the log, ``advance(n_steps)`` more rows, ``frames()`` and ``species_momenta()`` what was sampled,
``checkpoint()`` all that a continuation needs; rows and frames as in `potentials.lammps_stage`.
"""

import logging
import time

import numpy as np

from simtools.core.errors import RunFailedError
from simtools.md.dynamics import ASE_TIME_PER_PS
from simtools.md.guards import Guards
from simtools.md.h5md_writer import Segment, TrajectoryWriter, write_topology
from simtools.md.rigid_bodies import RigidBodies

logger = logging.getLogger(__name__)

__all__ = ["EngineMemory", "EngineStageLoop", "is_engine"]

_CHUNK_S = 1.0
_LARGEST_SEED = 2**31


def is_engine(calculator):
    """Return whether `calculator` moves the ions itself."""
    return hasattr(calculator, "begin_stage")


class EngineMemory:
    """Stands where a `simtools.md.forces.ForceEvaluator` does: the engine keeps its state in its stages."""

    has_state = False

    def get_state(self):
        """Return nothing."""
        return {}

    def set_state(self, state):
        """Take nothing back."""

    def release(self):
        """Nothing is held between stages."""


class EngineStageLoop:
    """One stage run by an engine, in chunks of about a second.

    Parameters
    ----------
    run
        The run of `simtools.md.protocols` that this stage belongs to.
    stage
        The `Stage`.
    rng
        A numpy `Generator`: gives the engine's seed.
    stop
        Called with the place in words to raise the exception of a run that was asked to stop.
    description
        Of the trajectory, for `TrajectoryWriter`.
    rigid
        The `RigidMolecules` of this stage, or None.
    make_rotation_thermal
        Whether the rotation that the atoms have is one of the molecules' own inertia, not of the scaled.
    """

    def __init__(self, run, stage, rng, *, stop, description, rigid=None, make_rotation_thermal=False):
        self.run_state = run
        self.stage = stage
        self.guards = Guards(stage, len(run.atoms))
        self.step = 0
        self.n_before = 0
        self.n_segments = 0
        self._stop_now = stop
        self._seed = int(rng.integers(_LARGEST_SEED))
        self._engine_state = None
        self._logged = self._sampled = self._fine_before = -1
        self._hosts = {}
        self._segment = Segment()
        symbols = np.array(run.atoms.get_chemical_symbols())
        names = sorted(set(symbols.tolist()))
        self._charges_e = None
        if run.formal_charges_e:
            self._charges_e = np.array([run.formal_charges_e[name] for name in names], dtype=float)
        self._writer = (
            TrajectoryWriter(run.directory, stage, description, fence=run.fence)
            if stage.write_trajectory
            else None
        )
        if rigid is not None:  # whole molecules, and no motion within them
            bodies = RigidBodies(run.atoms, rigid)
            if make_rotation_thermal:
                bodies.make_rotation_thermal()
            bodies.write_momenta(run.atoms.arrays["momenta"])
        self._session = run.engine.begin_stage(
            run.atoms,
            stage,
            run.directory,
            seed=self._seed,
            rigid=rigid,
            held_n=run.held_n,
            restrained=run.restrained,
        )

    def begin(self):
        """Start the files of a stage that has not begun."""
        if self._writer:
            self._writer.resume(0)
            write_topology(self.run_state.directory, self.run_state.atoms, fence=self.run_state.fence)

    def run(self, progress, should_stop):
        """Run to the end of the stage."""
        n_steps, save = self.stage.n_steps, self.stage.checkpoint_stride
        if should_stop is not None and should_stop():
            self._stop_now(self.where())
        row = self._session.start(self._engine_state)
        self._take_frames(self._session.frames())
        self._log_rows([row], progress)
        chunk = self.stage.thermo_stride
        while self.step < n_steps:
            due = min(n_steps, (self.step // save + 1) * save)
            size = min(chunk, due - self.step)
            began = time.monotonic()
            rows = self._session.advance(size)
            self.step += size
            self._take_frames(self._session.frames())
            self._log_rows(rows, progress)
            chunk = _next_chunk(size, time.monotonic() - began, self.stage.thermo_stride)
            asked = should_stop is not None and self.step < n_steps and should_stop()
            if self.step < n_steps and (asked or self.step % save == 0):
                self._checkpoint(goes_on=not asked)
            if asked:
                self._stop_now(self.where())
        self._publish(goes_on=False)
        self._engine_state = None
        if self._writer:
            self._writer.finish()

    def where(self):
        """Return stage, step and time in words."""
        time_ps = self.step * self.stage.timestep_fs / 1000
        return f"stage {self.stage.name!r}, step {self.step} ({time_ps:g} ps)"

    def close(self):
        """End the engine's process."""
        self._session.close()

    def _take_frames(self, frames):
        """Measure the host at each new frame, and keep what belongs to the trajectory."""
        run, stage = self.run_state, self.stage
        for frame in frames:
            if frame.step <= self._sampled:
                continue
            self._sampled = frame.step
            run.atoms.arrays["positions"][:] = frame.positions_A
            run.atoms.cell[:] = frame.cell_A
            if frame.step % stage.thermo_stride == 0:
                self._hosts[frame.step] = run.host.displacement(frame.positions_A, frame.cell_A)
            if self._writer and frame.step % stage.sample_stride == 0:
                self._segment.frame_steps.append(frame.step)
                self._segment.positions_A.append(frame.positions_A)
                self._segment.cells_A.append(frame.cell_A)
                if stage.velocities:
                    self._segment.velocities_A_per_ps.append(frame.velocities_A_per_ps)

    def _log_rows(self, rows, progress):
        run, stage = self.run_state, self.stage
        earlier_ps = sum(s.duration_ps for s in run.stages[: len(run.finished)])
        for row in rows:
            self.guards.check_energy(row.step, row.potential_energy_eV)
            if row.step <= self._logged or row.step % stage.thermo_stride:
                continue
            if row.step not in self._hosts:
                raise self._incomplete(f"no frame of step {row.step}")
            self._logged = row.step
            run.log.append(
                stage.name,
                earlier_ps + row.step * stage.timestep_fs / 1000,
                row.temperature_K,
                row.potential_energy_eV,
                row.kinetic_energy_eV,
                row.conserved_energy_eV,
                row.volume_A3,
                row.pressure_GPa,
                *self._hosts.pop(row.step),
            )
            self.guards.check(row.step, row.temperature_K, row.conserved_energy_eV)
        if progress is not None:
            progress(self.n_before + self.step, run.total_steps, rows[-1].temperature_K)

    def _checkpoint(self, *, goes_on):
        self._publish(goes_on=goes_on)
        self.run_state._save(self.stage, self)

    def _publish(self, *, goes_on):
        """Take over the engine's state and list what was sampled since the last time."""
        self._engine_state, last, frames, fine = self._session.checkpoint(goes_on=goes_on)
        self._take_frames(frames)
        atoms = self.run_state.atoms
        atoms.arrays["positions"][:] = last.positions_A
        atoms.cell[:] = last.cell_A
        velocities = last.velocities_A_per_ps / ASE_TIME_PER_PS
        atoms.arrays["momenta"][:] = velocities * atoms.get_masses()[:, None]
        if self._writer:
            self._take_fine(*fine)
            self._check_samples()
            if self._segment.frame_steps:
                self.n_segments += 1
                self._writer.write(self.n_segments, self._segment)
                self._segment = Segment()

    def _take_fine(self, steps, momenta, velocities):
        for step, rows, sums in zip(steps.tolist(), momenta, velocities, strict=True):
            if step <= self._fine_before:
                continue
            self._fine_before = step
            self._segment.fine_steps.append(step)
            self._segment.species_momenta_amu_A_per_ps.append(rows)
            if self._charges_e is not None:
                self._segment.charge_current_e_A_per_ps.append(self._charges_e @ sums)

    def _check_samples(self):
        """Refuse samples that end before the present step: they would leave a gap."""
        for name, last, stride in (
            ("frames", self._sampled, self.stage.sample_stride),
            ("momenta", self._fine_before, self.stage.current_stride),
        ):
            if last < self.step - self.step % stride:
                raise self._incomplete(f"{name} up to step {last} only")

    def _incomplete(self, found):
        return RunFailedError(
            f"{self.where()}: the engine wrote {found}; make room on the disk if it is full, and run the "
            "same command again"
        )

    def get_state(self):
        """Return what the rest of the stage depends on."""
        return {
            "step": self.step,
            "n_segments": self.n_segments,
            "logged": self._logged,
            "sampled": self._sampled,
            "fine": self._fine_before,
            "engine": self._engine_state,
            "guards": self.guards.get_state(),
            "sampler": self._segment.get_state(),
        }

    def set_state(self, state):
        """Take back what `get_state` gave, and drop what was written after it."""
        self.step = state["step"]
        self.n_segments = state["n_segments"]
        self._logged, self._sampled, self._fine_before = state["logged"], state["sampled"], state["fine"]
        self._engine_state = state["engine"]
        self.guards.set_state(state["guards"])
        self._segment = Segment.from_state(state["sampler"])
        if self._writer:
            self._writer.resume(self.n_segments)


def _next_chunk(size, took_s, stride):
    """Return a number of steps that takes about a second, a multiple of the log's stride."""
    per_s = size / max(took_s, 1e-3)
    return max(1, round(per_s * _CHUNK_S / stride)) * stride
