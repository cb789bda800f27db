"""The steps of one stage by our own integrators, sampled, logged and checkpointed.

The stages of a run one after the other: protocols.py. Steps that another program makes: engine_stage.py.
"""

import time

from simtools.core.errors import SimtoolsError
from simtools.core.provenance import collect_provenance
from simtools.md.guards import Guards
from simtools.md.h5md_writer import TrajectoryWriter, write_topology
from simtools.md.inputs import plain, topology_arrays
from simtools.md.observers import Sampler
from simtools.md.trajectory import LatticeSites

__all__ = ["StageLoop", "StoppedInTime", "describe_trajectory", "stop_in"]

_POLL_S = 0.25


class StoppedInTime(SimtoolsError, RuntimeError):
    """The run was asked to stop, wrote a checkpoint and can be continued by the same call."""


class StageLoop:
    """The steps of one stage and everything that is sampled along them."""

    def __init__(self, run, stage, dynamics):
        self.run_state = run
        self.stage = stage
        self.dynamics = dynamics
        self.guards = Guards(stage, len(run.atoms))
        self.step = 0
        self.n_segments = 0
        self.n_before = 0
        self.sampler = self.writer = None
        if stage.write_trajectory:
            names = sorted(set(run.atoms.get_chemical_symbols()))
            self.sampler = Sampler(stage, dynamics, names, run.formal_charges_e)
            self.writer = TrajectoryWriter(
                run.directory, stage, describe_trajectory(run, names), fence=run.fence
            )

    def begin(self):
        """Take the samples of the starting point and write a checkpoint of it."""
        if self.writer:
            self.writer.resume(0)
            write_topology(self.run_state.directory, self.run_state.atoms, fence=self.run_state.fence)
        self.dynamics.start()
        self._record()
        self._log_row(None)
        self.run_state._save(self.stage, self)

    def run(self, progress, should_stop):
        """Run to the end of the stage."""
        stage, dynamics, evaluator = self.stage, self.dynamics, self.dynamics.evaluator
        n_steps, thermo, save = stage.n_steps, stage.thermo_stride, stage.checkpoint_stride
        fine, frames = stage.current_stride, stage.sample_stride
        want_stress = evaluator.has_stress
        step, polled = self.step, time.monotonic()
        if should_stop is not None and should_stop():
            self._stop()
        while step < n_steps:
            step += 1
            log_due = step % thermo == 0
            self.step = step
            dynamics.step(log_due and want_stress)
            self.guards.check_energy(step, evaluator.energy_eV)
            if self.sampler and (step % fine == 0 or step % frames == 0):
                self.sampler.record(step)
            if log_due:
                self._log_row(progress)
            if step % save == 0 and step < n_steps:
                self._checkpoint()
            if should_stop is not None and step < n_steps:
                now = time.monotonic()
                if log_due or now - polled > _POLL_S:
                    polled = now
                    if should_stop():
                        self._stop()
        if self.writer:
            self._write_segment()
            self.writer.finish()

    def where(self):
        """Return stage, step and time in words."""
        time_ps = self.step * self.stage.timestep_fs / 1000
        return f"stage {self.stage.name!r}, step {self.step} ({time_ps:g} ps)"

    def _record(self):
        if self.sampler:
            self.sampler.record(self.step)

    def _log_row(self, progress):
        run, dynamics, stage = self.run_state, self.dynamics, self.stage
        kinetic, potential = dynamics.kinetic_energy_eV(), dynamics.evaluator.energy_eV
        conserved, temperature = dynamics.conserved_energy_eV(), dynamics.temperature_K()
        host = run.host.displacement(dynamics.positions, run.atoms.cell)
        earlier_ps = sum(s.duration_ps for s in run.stages[: len(run.finished)])
        time_ps = earlier_ps + self.step * stage.timestep_fs / 1000
        pressure, volume = dynamics.pressure_GPa(), dynamics.volume_A3()
        run.log.append(
            stage.name, time_ps, temperature, potential, kinetic, conserved, volume, pressure, *host
        )
        self.guards.check(self.step, temperature, conserved)
        if progress is not None:
            progress(self.n_before + self.step, run.total_steps, temperature)

    def _write_segment(self):
        if self.sampler.segment.frame_steps:
            self.n_segments += 1
            self.writer.write(self.n_segments, self.sampler.take())

    def _checkpoint(self):
        if self.writer:
            self._write_segment()
        self.run_state._save(self.stage, self)

    def _stop(self):
        self._checkpoint()
        stop_in(self.where())

    def close(self):
        """Nothing is open between steps."""

    def get_state(self):
        """Return what the rest of the stage depends on."""
        state = {
            "step": self.step,
            "n_segments": self.n_segments,
            "dynamics": self.dynamics.get_state(),
            "guards": self.guards.get_state(),
        }
        if self.sampler:
            state["sampler"] = self.sampler.get_state()
        return state

    def set_state(self, state):
        """Take back what `get_state` gave, and drop what was written after it."""
        self.step = state["step"]
        self.n_segments = state["n_segments"]
        self.dynamics.set_state(state["dynamics"])
        self.guards.set_state(state["guards"])
        if self.writer:
            self.sampler.set_state(state["sampler"])
            self.writer.resume(self.n_segments)


def stop_in(place):
    """Raise the exception of a run that was asked to stop at `place`, in words."""
    raise StoppedInTime(f"stopped in {place} as asked; the same command continues from there")


def describe_trajectory(run, species_names):
    """Return what `TrajectoryWriter` writes about the atoms of a run of `simtools.md.protocols`."""
    sites = run.atoms.info.get("lattice_sites")
    if sites is not None:
        sites = LatticeSites(sites["scaled_positions"], sites["species"])
    return {
        "species": run.atoms.get_chemical_symbols(),
        "species_names": species_names,
        "masses_amu": run.atoms.get_masses(),
        "formal_charges_e": run.formal_charges_e,
        "lattice_sites": sites,
        "defects": plain(run.atoms.info.get("defects", [])),
        "metadata": {"info": run.inputs["info"], "provenance": collect_provenance()},
        **topology_arrays(run.atoms),
    }
