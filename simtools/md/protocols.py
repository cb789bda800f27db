"""Stages of dynamics run one after the other, from checkpoints, in one directory.

Continued bit for bit: a run killed anywhere and started again with the same inputs writes the files that an
uninterrupted run writes (on the same kind of processor and library versions), and recomputes at most what
lies after its last checkpoint. Analysis is left to simtools.analysers.
"""

import json
import logging
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from ase import Atoms

from simtools.core.errors import ConfigError, LeaseLostError, RunFailedError, SimtoolsError
from simtools.md.checkpoint import load_checkpoint, replace_file, save_checkpoint
from simtools.md.dynamics import build_dynamics, draw_momenta, remove_drift
from simtools.md.engine_stage import EngineMemory, EngineStageLoop, is_engine
from simtools.md.forces import ForceEvaluator
from simtools.md.guards import HostSublattice, host_species_of
from simtools.md.inputs import (
    check_info,
    check_inputs,
    describe_inputs,
    refuse_charged_npt,
    topology_arrays,
)
from simtools.md.lock import directory_lock
from simtools.md.observers import formal_charges_of
from simtools.md.outcomes import stage_outcome
from simtools.md.record import (
    INPUTS,
    OUTCOME,
    compare_inputs,
    digest_of,
    read_outcome,
    refuse_lost_checkpoints,
    write_inputs,
)
from simtools.md.restraints import RestrainedCalculator, RestrainedMolecules
from simtools.md.rigid import build_rigid_dynamics
from simtools.md.stage_loop import StageLoop, StoppedInTime, describe_trajectory, stop_in
from simtools.md.stages import Stage
from simtools.md.thermo import ThermoLog

logger = logging.getLogger(__name__)

__all__ = ["Stage", "StoppedInTime", "load_final_atoms", "run_stages"]


def run_stages(
    atoms,
    calculator,
    stages,
    directory,
    *,
    progress=None,
    should_stop=None,
    info=None,
    momenta="draw",
    rigid=None,
    restraint=None,
    held=None,
    fence=None,
):
    """Run `stages` one after the other, or continue them from what `directory` holds.

    Parameters
    ----------
    atoms
        Starting structure; not modified. ``info["lattice_sites"]``, ``info["defects"]`` and the arrays
        ``molecule_id`` and ``species_label`` go into the trajectory.
    calculator
        Any ASE calculator; see `simtools.md.forces.ForceEvaluator` for what a bit-identical continuation
        asks of it. It is reset before returning. One that knows molecules (``name_molecules(atoms)``) names
        them at the start. Or an engine that moves the ions itself (`simtools.md.engine_stage`), which scales
        no inertia and knows no restraint; after a clean stop it continues without a gap, but not bit for bit.
    stages
        Sequence of `Stage` with distinct names.
    directory
        Created if need be. One made from other inputs is refused.
    progress
        Called as ``progress(done_steps, total_steps, temperature_K)`` at every row of the log.
    should_stop
        Polled a few times per second; when it returns True a checkpoint is written and `StoppedInTime`
        raised.
    info
        ``formal_charges_e`` {species: int} for the charge current, ``host_species`` for the melting guard
        (anions by default); everything else is stored with the trajectory too, so it must be JSON-able. A key
        that looks like a misspelling of these two is refused.
    momenta
        "draw" Maxwell-Boltzmann momenta with the first stage's seed, or "keep" those of `atoms`; the drift
        is removed either way.
    rigid
        A `simtools.md.rigid_bodies.RigidMolecules`: the molecules of the array ``molecule_id`` move as rigid
        bodies in every stage, with the shape they have at the start.
    restraint
        A `simtools.md.restraints.ConeRestraint` on the orientations of the molecules, in every stage. Its
        energy is part of the potential energy of log and outcome.
    held
        A `simtools.md.held.HeldAtoms`: these never move. Not with NPT.
    fence
        Called before each file is published; it raises if this process may no longer write here. Its text
        ``mark`` tells temporary files of different owners apart (`simtools.md.checkpoint.replace_file`). With
        it the caller has made sure that one process runs here; without it a lock on the directory does.

    Returns
    -------
    dict
        JSON-able. ``stages``: one entry per stage with ``temperature_K``, ``potential_energy_eV``,
        ``volume_A3``, ``pressure_GPa`` (None without a stress) as estimates, ``mean_cell_A``,
        ``conserved_drift_eV_per_atom_per_ns``, ``host_displacement_A``, ``warnings``, ``n_steps``. At the top
        ``temperature_K``, ``volume_A3``, ``mean_cell_A`` of the last stage, all ``warnings``, ``n_steps``,
        ``wall_s``.

    Raises
    ------
    ConfigError
        Inputs that cannot be run, a directory of other inputs or that cannot be written, damaged files.
    RunFailedError
        A guard stopped the run or the disk is full; ``failure.xyz`` holds the last configuration.
    StoppedInTime
        As asked by `should_stop`.
    """
    run = _Run(atoms, calculator, stages, directory, info or {}, momenta, rigid, restraint, held, fence)
    run.prepare_directory()
    outcome = read_outcome(run.directory)
    if outcome is not None:
        return outcome
    with directory_lock(run.directory) if fence is None else nullcontext():
        try:
            return read_outcome(run.directory) or run.execute(progress, should_stop)
        finally:
            run.log.close()
            run.evaluator.release()


def load_final_atoms(directory):
    """Return the configuration of the newest checkpoint: positions unwrapped, with momenta and molecules."""
    state, _ = load_checkpoint(directory)
    if state is None:
        raise ConfigError(f"{directory} holds no checkpoint")
    atoms = Atoms(
        numbers=state["numbers"], positions=state["positions"], cell=state["cell"], pbc=state["pbc"]
    )
    atoms.set_masses(state["masses"])
    atoms.set_momenta(state["momenta"])
    for name, values in state.get("topology", {}).items():
        atoms.set_array(name, np.array(values))
    return atoms


class _Run:
    """The state of one call of `run_stages`."""

    def __init__(self, atoms, calculator, stages, directory, info, momenta, rigid, restraint, held, fence):
        self.stages = tuple(stages)
        self.fence = fence
        self.directory = Path(directory)
        self.info = info
        check_inputs(atoms, self.stages, momenta)
        if rigid is None and getattr(calculator, "has_rigid_molecules", False):
            raise ConfigError(
                "this force field has rigid molecules, which nothing holds together in these dynamics; give "
                "rigid = RigidMolecules()"
            )
        if restraint is not None and rigid is not None and rigid.frozen_orientation:
            raise ConfigError("a restraint has no effect with frozen_orientation; leave one of them out")
        self.engine = calculator if is_engine(calculator) else None
        if held is not None and any(stage.ensemble == "NPT" for stage in self.stages):
            raise ConfigError("NPT with held atoms is refused: what is held cannot follow the cell")
        self.rigid = rigid
        self.held_n = None if held is None else held.mask(len(atoms))
        if rigid is not None:
            rigid.in_stage(0, [stage.name for stage in self.stages])
        check_info(atoms, info)
        self.formal_charges_e = formal_charges_of(atoms.get_chemical_symbols(), info)
        refuse_charged_npt(atoms, self.stages, self.formal_charges_e, calculator)
        self.atoms = _private_copy(atoms)
        if hasattr(calculator, "name_molecules"):  # they keep their names, so none changes partners unseen
            calculator.name_molecules(self.atoms)
        self.inputs = describe_inputs(atoms, calculator, self.stages, info, momenta, rigid, restraint, held)
        self.restrained = None
        if restraint is not None and self.engine is not None:
            self.restrained = RestrainedMolecules(self.atoms, restraint)
        elif restraint is not None:
            calculator = RestrainedCalculator(calculator, self.atoms, restraint)
        self.evaluator = EngineMemory() if self.engine else ForceEvaluator(self.atoms, calculator)
        self.inputs_sha256 = digest_of(self.inputs)
        self.momenta = momenta
        host = host_species_of(self.formal_charges_e, info)
        self.host = HostSublattice(atoms, host)
        self.log = ThermoLog(self.directory, fence=fence)
        self.total_steps = sum(stage.n_steps for stage in self.stages)
        self.finished = []
        self.warnings = []
        self.count = 0
        self.wall_before_s = 0.0
        self.began = time.monotonic()

    def prepare_directory(self):
        """Make the directory, or refuse one that cannot be written or holds other inputs."""
        try:
            self.directory.mkdir(parents=self.fence is None, exist_ok=True)
            if (self.directory / INPUTS).exists():
                compare_inputs(self.directory, self.inputs)
            else:
                write_inputs(self.directory, self.inputs, fence=self.fence)
        except OSError as error:
            raise ConfigError(f"cannot write {self.directory}: {error.strerror or error}") from error

    def execute(self, progress, should_stop):
        """Run what is left and return the outcome."""
        try:
            state, warnings = load_checkpoint(self.directory)
            self.warnings.extend(warnings)
            if state is None:
                refuse_lost_checkpoints(self.directory)
                self._begin()
            else:
                self._restore(state)
            for number in range(len(self.finished), len(self.stages)):
                self._run_stage(number, state, progress, should_stop)
                state = None
            return self._close()
        except OSError as error:
            raise RunFailedError(
                f"cannot write {error.filename or self.directory}: {error.strerror or error}; "
                f"the last checkpoint in {self.directory} is intact"
            ) from error

    def _begin(self):
        rng = np.random.default_rng([self.stages[0].seed, 0])
        masses = self.atoms.get_masses()
        if self.momenta == "draw":
            drawn = draw_momenta(masses, self.stages[0].temperature_K, rng, at_rest=self.held_n is None)
        elif self.held_n is None:
            drawn = remove_drift(self.atoms.get_momenta(), masses[:, None])
        else:
            drawn = self.atoms.get_momenta()
        if self.held_n is not None and self.rigid is None:
            drawn[self.held_n] = 0.0
        self.atoms.arrays["momenta"][:] = drawn
        self.log.resume(0)

    def _restore(self, state):
        if state.get("inputs_sha256", self.inputs_sha256) != self.inputs_sha256:
            raise ConfigError(
                f"the checkpoint in {self.directory} was written with other inputs than {INPUTS} beside it "
                "records, expected the same; choose a new directory"
            )
        self.atoms.arrays["positions"][:] = state["positions"]
        self.atoms.arrays["momenta"][:] = state["momenta"]
        self.atoms.cell[:] = state["cell"]
        self.evaluator.set_state(state["evaluator"])
        self.finished = state["finished"]
        self.count = state["count"] + 1
        self.wall_before_s = state["wall_s"]
        self.log.resume(state["log_bytes"])
        logger.info("%s: continuing from step %d", self.directory, state["step"])

    def _run_stage(self, number, state, progress, should_stop):
        stage = self.stages[number]
        logger.info("%s: stage %s, %d steps", self.directory, stage.name, stage.n_steps)
        rigid = self._rigid_in(number)
        drawn = number == 0 and self.momenta == "draw"
        before = self._rigid_in(number - 1) if number else None
        begins = state is None or state["stage"] != stage.name
        thermal = begins and (drawn or (before is not None and before != rigid))
        loop = self._loop(stage, np.random.default_rng([stage.seed, 1, number]), rigid, thermal)
        loop.n_before = sum(earlier.n_steps for earlier in self.stages[:number])
        if begins:
            if rigid is not None and self.engine is None and thermal:
                loop.dynamics.make_rotation_thermal()
            loop.begin()
        else:
            loop.set_state(state["loop"])
        try:
            loop.run(progress, should_stop)
        except (StoppedInTime, LeaseLostError):
            raise
        except RunFailedError:
            self._keep_evidence()
            raise
        except SimtoolsError as error:
            self._keep_evidence()
            raise RunFailedError(f"{loop.where()}: {error}") from error
        except Exception as error:
            error.add_note(f"while running {loop.where()} in {self.directory}")
            raise
        finally:
            loop.close()
        self.log.flush()
        self.finished.append(stage_outcome(stage, self.directory, self.atoms, self.host, loop.guards))
        self._save(stage, loop, finished=True)

    def _loop(self, stage, rng, rigid, thermal):
        if self.engine is None:
            return StageLoop(self, stage, self._dynamics(stage, rng, rigid))
        names = sorted(set(self.atoms.get_chemical_symbols()))
        return EngineStageLoop(
            self,
            stage,
            rng,
            stop=stop_in,
            description=describe_trajectory(self, names),
            rigid=rigid,
            make_rotation_thermal=thermal,
        )

    def _rigid_in(self, number):
        return self.rigid and self.rigid.in_stage(number, [stage.name for stage in self.stages])

    def _dynamics(self, stage, rng, rigid):
        if rigid is None:
            return build_dynamics(stage, self.evaluator, rng, held_n=self.held_n)
        return build_rigid_dynamics(stage, self.evaluator, rng, rigid, held_n=self.held_n)

    def _keep_evidence(self):
        from ase.io import write

        self.log.flush()
        bare = self.atoms.copy()
        bare.info = {}
        write(self.directory / "failure.xyz", bare, format="extxyz")

    def _save(self, stage, loop, *, finished=False):
        state = {
            "inputs_sha256": self.inputs_sha256,
            "stage": None if finished else stage.name,
            "step": loop.n_before + loop.step,
            "finished": self.finished,
            "wall_s": self.wall_s(),
            "log_bytes": self.log.flush(),
            "numbers": self.atoms.numbers,
            "pbc": self.atoms.pbc,
            "masses": self.atoms.get_masses(),
            "positions": self.atoms.arrays["positions"],
            "momenta": self.atoms.arrays["momenta"],
            "cell": np.array(self.atoms.cell),
            "evaluator": self.evaluator.get_state(),
            "loop": {} if finished else loop.get_state(),
        }
        topology = topology_arrays(self.atoms)
        if topology:
            state["topology"] = topology
        save_checkpoint(self.directory, state, count=self.count, fence=self.fence)
        self.count += 1

    def wall_s(self):
        """Return the time spent on this run so far, over all its parts."""
        return self.wall_before_s + time.monotonic() - self.began

    def _close(self):
        last = self.finished[-1]
        outcome = {
            "schema": 1,
            "stages": self.finished,
            "temperature_K": last["temperature_K"],
            "volume_A3": last["volume_A3"],
            "mean_cell_A": last["mean_cell_A"],
            "n_atoms": len(self.atoms),
            "n_steps": self.total_steps,
            "wall_s": self.wall_s(),
            "warnings": [*self.warnings, *(text for row in self.finished for text in row["warnings"])],
            "bit_identical_restart": self.evaluator.has_state,
        }
        text = json.dumps(outcome, indent=1).encode()
        replace_file(self.directory / OUTCOME, lambda stream: stream.write(text), fence=self.fence)
        return json.loads(text)


def _private_copy(atoms):
    copied = atoms.copy()
    copied.set_array("positions", np.array(atoms.positions, dtype=float, order="C"))
    copied.set_momenta(atoms.get_momenta())
    return copied
