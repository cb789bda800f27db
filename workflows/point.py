"""One state point in its folder: build, run, record. Doing it twice does it once; a stopped one goes on."""

import logging
import shutil
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simtools.core.errors import ConfigError, LeaseLostError, RunFailedError, SimtoolsError
from simtools.core.provenance import collect_provenance
from simtools.md.held import HeldAtoms
from simtools.md.protocols import StoppedInTime, load_final_atoms, run_stages
from simtools.md.restraints import ConeRestraint
from simtools.md.rigid_bodies import RigidMolecules
from simtools.md.rigid_settling import settle_rigid_molecules
from simtools.md.stages import Stage
from workflows.cost import engine_sentence
from workflows.failures import kind_of, one_line
from workflows.forces import forces_of
from workflows.lease import FOLDER as LEASE_FOLDER
from workflows.lease import LeaseHeldError, hold_lease
from workflows.molecular import framework_species, held_framework, molecules_of, with_molecular_masses
from workflows.parts import note_part, read_parts
from workflows.point_events import note_end, note_event
from workflows.point_log import logging_to
from workflows.progress import ProgressFile
from workflows.safety import refuse_links
from workflows.statepoints import DamagedFileError, PointSpec, read_json, write_json
from workflows.systems import build_cell

__all__ = ["FORCE_FIELD_FILE", "PointJob", "PointOutcome", "run_point"]

FORCE_FIELD_FILE = "force_field.toml"
LOG_FILE = "log.txt"
SETTLED_FILE = "settled.json"
_EQUILIBRATION_TAU_PS = 0.1
_LOG_INTERVAL_FS = 20.0
_ENGINE_LOG_INTERVAL_FS = 100.0  # every row costs another program a frame in a file

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PointJob:
    """A point to be run under ``run_directory/points``; what happens to it is noted in `index_directory`."""

    run_directory: str
    spec: PointSpec
    checkpoint_every_ps: float = 2.0
    mpi_ranks: int = 1
    case: str = ""
    index_directory: str | None = None

    @property
    def directory(self):
        """Folder of the point."""
        return Path(self.run_directory) / "points" / self.spec.name

    @property
    def name(self):
        """Name of the point, unique also among the cases of a campaign."""
        return f"{self.case}/{self.spec.name}" if self.case else self.spec.name

    @property
    def label(self):
        """Readable name."""
        return f"{self.case}/{self.spec.label}" if self.case else self.spec.label


@dataclass(frozen=True)
class PointOutcome:
    """How a point ended: ``done``, ``stopped`` (resumable) or ``failed`` with a message and a log.

    `kind` of a failure: see `workflows.failures.kind_of`; ``crashed`` if the process died.
    """

    name: str
    status: str
    outcome: dict | None = None
    message: str = ""
    log: str = ""
    kind: str = ""


def finished(job):
    """Return the recorded outcome of a finished point, or None.

    Raises
    ------
    ConfigError
        If its folder belongs to other inputs.
    DamagedFileError
        If a record is not whole.
    """
    spec_file, done_file = job.directory / "spec.json", job.directory / "done.json"
    if spec_file.exists() and read_json(spec_file) != job.spec.to_dict():
        raise ConfigError(f"{job.directory} holds a run with other inputs; choose another -o DIR")
    if not done_file.exists():
        return None
    outcome = read_json(done_file).get("outcome")
    if not outcome:
        raise DamagedFileError(f"{done_file}: damaged, no outcome in it; remove it to recompute")
    return outcome


def run_point(job, *, should_stop=None, on_progress=None):
    """Run one point unless it is done; continue it from its checkpoint if it was stopped.

    Parameters
    ----------
    job
        What to run, and where.
    should_stop
        Called during the dynamics; true asks for a checkpoint and a clean stop.
    on_progress
        Called without arguments after the progress file was renewed.

    Returns
    -------
    PointOutcome
        Failures are returned, not raised: the traceback is in the point's log. A point that another process
        runs, or took over while this one was asleep, is ``stopped`` with a message.
    """
    directory = job.directory
    try:
        outcome = finished(job)
        if outcome is not None:
            return PointOutcome(job.spec.name, "done", outcome)
        for folder in (directory.parent, directory):  # never the run directory itself: it may be moved away
            folder.mkdir(exist_ok=True)
        refuse_links(job.run_directory, directory)
        with hold_lease(directory, should_stop=should_stop) as lease:
            outcome = finished(job)
            if outcome is None:
                with logging_to(directory / LOG_FILE):
                    note_event(job, "started")
                    note_part(directory, fence=lease)
                    result = _run(job, lease, should_stop, on_progress)
                    note_end(job, result)
            else:
                result = PointOutcome(job.spec.name, "done", outcome)
        if result.status == "done":
            shutil.rmtree(directory / LEASE_FOLDER)
        return result
    except LeaseHeldError as error:
        return PointOutcome(job.spec.name, "stopped", message=str(error))
    except (SimtoolsError, OSError) as error:
        return PointOutcome(
            job.spec.name,
            "failed",
            message=one_line(error),
            log=str(directory / LOG_FILE),
            kind=kind_of(error),
        )


def _run(job, lease, should_stop, on_progress):
    directory, spec = job.directory, job.spec
    log = str(directory / LOG_FILE)
    try:
        if not (directory / "spec.json").exists():
            write_json(directory / "spec.json", spec.to_dict(), fence=lease)
        atoms, forces = _system(job)
        calculator = forces.engine(mpi_ranks=job.mpi_ranks)
        facts = _facts(spec, calculator)
        stages = _stages(spec, job.checkpoint_every_ps)
        sentence = engine_sentence(calculator.settings(atoms) if hasattr(calculator, "settings") else facts)
        if sentence is not None:
            logger.info("%s: engine: %s", spec.label, sentence)
        at_rest = forces.calculator() if forces.in_lammps else calculator
        settling = _settle(job, atoms, at_rest, lease)
        outcome = run_stages(
            atoms,
            calculator,
            stages,
            directory,
            progress=ProgressFile(directory, on_write=on_progress, fence=lease),
            should_stop=should_stop,
            info=_trajectory_info(job, atoms),
            rigid=_rigid_molecules(spec),
            restraint=_cone_restraint(spec),
            fence=lease,
            held=_held_atoms(spec, atoms),
        )
        outcome = {**_outcome(outcome, spec, atoms, load_final_atoms(directory), calculator), **settling}
        outcome["engine"].update(facts)
        if hasattr(calculator, "thermostats"):
            outcome["engine"]["thermostats"] = calculator.thermostats(stages)
        record = {
            "outcome": outcome,
            "provenance": collect_provenance(
                point=spec.name,
                spec_sha256=spec.digest,
                potential=spec.inputs["potential"],
                seeds=spec.inputs["seeds"],
                parts=read_parts(directory),
                **_program_of(calculator),
            ),
        }
        write_json(directory / "done.json", record, fence=lease)
        return PointOutcome(spec.name, "done", outcome)
    except StoppedInTime:
        logger.info("%s: stopped at a checkpoint", spec.label)
        return PointOutcome(spec.name, "stopped")
    except LeaseLostError as error:
        logger.warning("%s: %s", spec.label, error)
        return PointOutcome(spec.name, "stopped", message=str(error))
    except Exception as error:
        logger.error("%s failed\n%s", spec.label, traceback.format_exc())
        return PointOutcome(spec.name, "failed", message=one_line(error), log=log, kind=kind_of(error))


def _system(job):
    spec = job.spec
    inputs = spec.inputs
    copy = Path(job.run_directory) / FORCE_FIELD_FILE
    forces = forces_of(_potential_table(inputs["potential"]), path=copy if copy.exists() else None)
    if forces.force_field is not None and forces.force_field.sha256 != inputs["potential"]["sha256"]:
        raise ConfigError(f"{copy}: not the force field that {spec.name} was made with")
    if forces.force_field is None and forces.identity() != inputs["potential"]:
        raise ConfigError(
            f"calculator {forces.table['calculator']!r}: its weights are not those that {spec.name} was "
            "made with"
        )
    atoms = build_cell(
        inputs["structure"],
        inputs["defects"],
        forces,
        lattice_parameter_A=inputs["cell"]["lattice_parameter_A"],
        seed=inputs["seeds"]["defects"],
    )
    _set_masses(atoms, forces, inputs)
    atoms.info["formal_charges_e"] = forces.formal_charges_e
    if "molecule_id" in atoms.arrays and forces.force_field is not None:
        anions = [name for name in set(atoms.symbols) if forces.formal_charges_e[name] < 0]
        present = [m for m in molecules_of(forces) if set(m.elements) <= set(atoms.symbols)]
        atoms.info["framework"] = list(framework_species(anions, present))
    return atoms, forces


def _settle(job, atoms, calculator, lease):
    """Bring the ions to rest about quenched orientations, in place; return what that did, for the outcome.

    Where they came to rest is kept beside the point, so that a continued one starts from the same bits.
    """
    tolerance = job.spec.inputs.get("counterfactual", {}).get("settled_to_eV_per_A")
    if tolerance is None:
        return {}
    kept = job.directory / SETTLED_FILE
    if not kept.exists():
        try:
            settled = settle_rigid_molecules(atoms, calculator, max_force_eV_per_A=tolerance)
        except RunFailedError as error:
            raise RunFailedError(
                f"{job.spec.label}: {error}; another [md] seed draws other orientations, or leave "
                'kind = "quenched_orientations" out'
            ) from error
        record = {
            "energy_gain_eV": settled.energy_gain_eV,
            "max_displacement_A": settled.max_displacement_A,
            "n_steps": settled.n_steps,
            "positions_A": settled.atoms.get_positions().tolist(),
        }
        write_json(kept, record, fence=lease)
    record = read_json(kept)
    atoms.set_positions(record.pop("positions_A"))
    return {"settling": record}


def _set_masses(atoms, forces, inputs):
    """Give the atoms the masses of the force field, then those of [md], then those of the variant."""
    symbols = atoms.get_chemical_symbols()
    if forces.force_field is not None:
        masses = forces.force_field.element_masses_amu
        atoms.set_masses([masses[symbol] for symbol in symbols])
    own_n = atoms.get_masses()
    given = inputs["md"].get("masses_amu", {})
    atoms.set_masses([given.get(symbol, own) for symbol, own in zip(symbols, own_n, strict=True)])
    altered = inputs.get("counterfactual", {})
    if "masses_amu" in altered:
        with_molecular_masses(
            atoms, altered["masses_amu"], spread_over_n=own_n if altered["kind"] == "even_mass" else None
        )


def _potential_table(identity):
    """Return the [potential] keys behind a point's recorded identity."""
    keys = ("name", "calculator", "model", "engine", "options", "accuracy", "net_charge", "formal_charges_e")
    return {key: identity[key] for key in keys if key in identity}


def _stages(spec, checkpoint_every_ps):
    md = spec.inputs["md"]
    first, second = np.random.SeedSequence(spec.inputs["seeds"]["dynamics"]).generate_state(2, np.uint32)
    in_lammps = spec.inputs["potential"].get("engine") == "lammps"
    log_every_fs = _whole_steps(_ENGINE_LOG_INTERVAL_FS if in_lammps else _LOG_INTERVAL_FS, md)
    common = {
        "temperature_K": spec.temperature_K,
        "timestep_fs": md["timestep_fs"],
        "checkpoint_every_ps": _whole_steps(1000 * checkpoint_every_ps, md) / 1000,
    }
    unsampled = dict.fromkeys(("sample_every_fs", "current_every_fs", "thermo_every_fs"), log_every_fs)
    volume = spec.role == "volume"
    equilibration_ps = md["npt_equilibration_ps"] if volume else md["equilibration_ps"]
    stages = []
    if equilibration_ps > 0:
        stages.append(
            Stage(
                name="equilibration",
                ensemble="NVT",
                thermostat="langevin",
                tau_ps=_EQUILIBRATION_TAU_PS,
                duration_ps=equilibration_ps,
                seed=int(first),
                **unsampled,
                **common,
            )
        )
    if volume:
        stages.append(
            Stage(
                name="volume",
                ensemble="NPT",
                duration_ps=md["npt_ps"],
                pressure_GPa=md["pressure_GPa"],
                barostat_tau_ps=md["barostat_tau_ps"],
                seed=int(second),
                **unsampled,
                **common,
            )
        )
        return tuple(stages)
    thermostat = {}
    if md["ensemble"] == "NVT":
        thermostat = {"thermostat": md["thermostat"], "tau_ps": md["thermostat_tau_ps"]}
    stages.append(
        Stage(
            name="production",
            ensemble=md["ensemble"],
            duration_ps=md["production_ps"],
            sample_every_fs=md["sample_every_fs"],
            current_every_fs=md["charge_current_every_fs"],
            thermo_every_fs=md["sample_every_fs"],
            velocities=md["velocities"],
            seed=int(second),
            write_trajectory=True,
            **thermostat,
            **common,
        )
    )
    return tuple(stages)


def _rigid_molecules(spec):
    """Return how molecules are held rigid, or None. No inertia changes a mean volume: it is found at 1."""
    md = spec.inputs["md"]
    if not md.get("rigid_molecules"):
        return None
    return RigidMolecules(
        inertia_scale=md.get("inertia_scale", 1.0),
        frozen_orientation=md.get("frozen_orientation", False),
        inertia_scale_from=spec.inputs.get("counterfactual", {}).get("inertia_scale_from"),
    )


def _held_atoms(spec, atoms):
    """Return the framework that a counterfactual run holds, or None."""
    altered = spec.inputs.get("counterfactual", {})
    if altered.get("kind") != "frozen_framework":
        return None
    return HeldAtoms(indices=held_framework(atoms, altered["mobile"]))


def _cone_restraint(spec):
    """Return the cone that holds orientations to those of the start, or None. A mean volume is found free."""
    md = spec.inputs["md"]
    if "cone_restraint_deg" not in md:
        return None
    options = {"angle_deg": md["cone_restraint_deg"]}
    if "cone_stiffness_eV_per_rad2" in md:
        options["stiffness_eV_per_rad2"] = md["cone_stiffness_eV_per_rad2"]
    return ConeRestraint(**options)


def _whole_steps(interval_fs, md):
    """Return the nearest positive whole number of time steps, fs."""
    return max(1, round(interval_fs / md["timestep_fs"])) * md["timestep_fs"]


def _outcome(outcome, spec, atoms, last_atoms, calculator):
    """Return what the dynamics report, with the facts about the cell that the report tells."""
    symbols = atoms.get_chemical_symbols()
    last = outcome["stages"][-1]
    return {
        **outcome,
        "mean_temperature_K": outcome["temperature_K"]["value"],
        "mean_volume_A3": outcome["volume_A3"]["value"],
        "drift": last["conserved_drift_eV_per_atom_per_ns"],
        "composition": {symbol: symbols.count(symbol) for symbol in sorted(set(symbols))},
        "net_charge_e": atoms.info["net_charge_e"],
        "defects": atoms.info["defects"],
        "engine": _engine(last_atoms, calculator, measure=spec.replica == 1),
    }


def _program_of(calculator):
    """Return the program that ran the dynamics, where it is not ours."""
    program = getattr(calculator, "program", None)
    return {} if program is None else {"lammps": program.version, "mpi_ranks": calculator.mpi_ranks}


def _facts(spec, calculator):
    """Return what an external calculator is made of; nothing for an engine of ours."""
    potential = spec.inputs["potential"]
    if "calculator" not in potential:
        return {}
    return forces_of(_potential_table(potential)).facts(calculator)


def _engine(atoms, calculator, *, measure):
    """Return what the engine chose and, if `measure`, the force error of that at the last configuration."""
    if not hasattr(calculator, "settings"):
        return {}
    measured = {"self_check": calculator.self_check(atoms)} if measure else {}
    return {**calculator.settings(atoms), **measured}


def _trajectory_info(job, atoms):
    return {
        "point": job.spec.name,
        "replica": job.spec.replica,
        "seeds": job.spec.inputs["seeds"],
        "formal_charges_e": atoms.info["formal_charges_e"],
        **({"host_species": atoms.info["framework"]} if "framework" in atoms.info else {}),
    }
