"""A recipe from start to report: prepare, run every point, collect. All state is in the run directory."""

import logging
import os
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from simtools.core.errors import ConfigError, RunFailedError
from simtools.runs import load_run
from workflows import statepoints
from workflows.analysed import note_analysed, source_of_analysis
from workflows.counterfactual_tables import variants_of
from workflows.forces import forces_of
from workflows.planned_cost import planned_cost
from workflows.point import FORCE_FIELD_FILE, PointJob, finished
from workflows.recipe import recipe_from_dict, to_toml
from workflows.safety import refuse_links
from workflows.same_inputs import check_same_inputs, refuse_cases
from workflows.statepoints import check_directory, check_owner, locked, read_json, write_json
from workflows.summary import analyse
from workflows.supervise import RETRIES, supervise
from workflows.system_checks import check_recipe
from workflows.systems import describe_system, start_lattice_parameter_A, warm_up

__all__ = [
    "Campaign",
    "CampaignResult",
    "collect",
    "has_production",
    "open_campaign",
    "prepare",
    "run_campaign",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Campaign:
    """A recipe in its run directory, with what preparing it found out."""

    recipe: object
    directory: Path
    forces: object
    system: dict
    case: str = ""
    index_directory: Path | None = None

    def points(self):
        """Return [(job, outcome or None)] in order: each volume stage, then the replicas that wait for it.

        Replicas whose volume is not known yet are not listed; see `n_waiting`.
        """
        found = []
        for temperature in self.recipe.md.temperatures_K:
            volume = self.volume_job(temperature)
            volume_outcome = None
            if volume is not None:
                volume_outcome = finished(volume)
                found.append((volume, volume_outcome))
                if volume_outcome is None:
                    continue
            found.extend((job, finished(job)) for job in self.production_jobs(temperature, volume_outcome))
        return found

    @property
    def n_points(self):
        """Number of points of the whole campaign."""
        replicas = self.recipe.md.replicas
        per_temperature = replicas + statepoints.needs_volume_point(self.recipe)
        altered = sum(len(variant.temperatures_K) for variant in variants_of(self.recipe))
        return len(self.recipe.md.temperatures_K) * per_temperature + altered * replicas

    def volume_job(self, temperature_K):
        """Return the NPT stage of a temperature, or None if the recipe gives the volume."""
        if not statepoints.needs_volume_point(self.recipe):
            return None
        spec = statepoints.volume_point(
            self.recipe,
            temperature_K,
            potential=self.forces.identity(),
            start_lattice_parameter_A=self.system["start_lattice_parameter_A"],
        )
        return self._job(spec)

    def _job(self, spec):
        return PointJob(
            str(self.directory),
            spec,
            self.recipe.md.checkpoint_every_ps,
            self.recipe.potential.mpi_ranks or 1,
            case=self.case,
            index_directory=str(self.index_directory or self.directory),
        )

    def production_jobs(self, temperature_K, volume_outcome=None):
        """Return the replicas of a temperature at the volume of its NPT stage, free ones first."""
        volume = self.volume_job(temperature_K)
        if volume is None:
            lattice, origin = self.recipe.md.lattice_parameter_at(temperature_K), None
        else:
            lattice = self._lattice_parameter_A(volume_outcome["mean_volume_A3"])
            origin = volume.spec.digest
        variants = [item for item in variants_of(self.recipe) if temperature_K in item.temperatures_K]
        return [
            self._job(
                statepoints.production_point(
                    self.recipe,
                    temperature_K,
                    replica,
                    potential=self.forces.identity(),
                    lattice_parameter_A=lattice,
                    volume_from=origin,
                    variant=variant,
                )
            )
            for variant in (None, *variants)
            for replica in range(1, self.recipe.md.replicas + 1)
        ]

    def _lattice_parameter_A(self, volume_A3):
        repeats = self.recipe.structure.supercell
        return (volume_A3 / (repeats[0] * repeats[1] * repeats[2])) ** (1 / 3)


@dataclass
class CampaignResult:
    """How a campaign ended."""

    status: str
    report: Path | None = None
    failures: list = field(default_factory=list)
    quarantined: dict = field(default_factory=dict)
    n_done: int = 0
    n_points: int = 0


@contextmanager
def prepare(recipe, directory):
    """Check a recipe against its directory and its physics, and hold the directory with what was settled.

    Nothing is run. Checks come first, so that a bad recipe leaves no trace; then, with the directory locked,
    ``recipe.toml``, the force field's file and ``system.json`` are written and the `Campaign` is given.

    Raises
    ------
    ConfigError
        If the recipe cannot be run as asked, the directory cannot be written, holds a run of other inputs or
        is being worked in by another process.
    """
    directory = Path(directory)
    check_owner(directory, "run")
    refuse_cases(directory)
    forces = forces_of(
        recipe.to_dict()["potential"],
        where=f"{recipe.source}: [potential] ",
        relative_to=recipe.source.parent,
    )
    cell = check_recipe(recipe, forces)
    check_same_inputs(recipe, forces, directory)
    system_file = directory / "system.json"
    start_A = None
    if statepoints.needs_volume_point(recipe):
        settled = system_file.exists() and (directory / "recipe.toml").exists()
        known = read_json(system_file) if settled else {}
        start_A = known.get("start_lattice_parameter_A") or start_lattice_parameter_A(recipe, forces)
        cell = check_recipe(recipe, forces, lattice_parameter_A=start_A)
    check_directory(directory)
    refuse_links(directory, directory, directory / "points")
    system = describe_system(recipe, forces, cell)
    if start_A is not None:
        system["start_lattice_parameter_A"] = start_A
    with locked(directory):
        check_same_inputs(recipe, forces, directory)
        if forces.force_field is not None:
            _write_bytes(directory / FORCE_FIELD_FILE, Path(forces.force_field.path).read_bytes())
        write_json(system_file, system)
        _write_bytes(directory / "recipe.toml", to_toml(recipe.to_dict()).encode("utf-8"))
        yield Campaign(recipe, directory, forces, system)


def open_campaign(directory):
    """Return the campaign of a run directory, as it was last prepared.

    Raises
    ------
    ConfigError
        If the directory holds none.
    """
    directory = Path(directory)
    recipe_file, system_file = directory / "recipe.toml", directory / "system.json"
    if not recipe_file.is_file() or not system_file.is_file():
        raise ConfigError(f"{directory}: not a run directory (no recipe.toml and system.json in it)")
    try:
        record = tomllib.loads(recipe_file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{recipe_file}: damaged, not a TOML file: {error}") from error
    recipe = recipe_from_dict(record, source=recipe_file)
    copy = directory / FORCE_FIELD_FILE
    system = read_json(system_file)
    table = recipe.to_dict()["potential"]
    for name in ("model", "lammps_version"):
        if name in system["potential"]:
            table[name] = system["potential"][name]
    forces = forces_of(
        table,
        where=f"{recipe_file}: [potential] ",
        path=copy if copy.exists() else None,
    )
    return Campaign(recipe, directory, forces, system)


def run_campaign(recipe, directory, *, executor, stop, display, retries=RETRIES, lift=False):
    """Run what is missing of a campaign, analyse all of it and write the report.

    Parameters
    ----------
    recipe
        A checked `Recipe`.
    directory
        The run directory; created if need be, continued if it holds the same inputs.
    executor
        See `workflows.executors`.
    stop
        A `StopRequest`.
    display
        See `workflows.progress`.
    retries
        How often in a row a point whose process died is tried again before it is set aside.
    lift
        Whether to try the points again that were set aside.

    Returns
    -------
    CampaignResult
        ``done``, ``stopped`` or ``failed``; in the last two cases what is done is kept, and analysed when
        no point is missing for a reason other than failure.
    """
    with prepare(recipe, directory) as campaign:
        listed = campaign.points()
        done = sum(outcome is not None for _, outcome in listed)
        display.note(_opening(campaign, done))

        def before_first():
            if executor.runs_here:
                warm_up(campaign.recipe, campaign.forces)
            display.note(planned_cost([campaign], measure=executor.runs_here).text())

        ended = supervise(
            [campaign],
            campaign.directory,
            executor=executor,
            stop=stop,
            display=display,
            retries=retries,
            lift=lift,
            before_first=before_first,
        )
        result = CampaignResult(
            "done",
            failures=ended.failures,
            quarantined=ended.quarantined,
            n_done=ended.n_done,
            n_points=ended.n_points,
        )
        if ended.failures or ended.quarantined:
            result.status = "failed"
        elif ended.stopped:
            result.status = "stopped"
        if not ended.stopped and has_production(campaign):
            result.report = collect(campaign)
        return result


def collect(campaign):
    """Analyse what is there, write ``summary.json`` and ``results/``, and the report; return its path.

    What they were made from is noted last: see `workflows.analysed`.
    """
    from workflows.report import write_report

    source = source_of_analysis(campaign)
    analyse(campaign)
    report = write_report(load_run(campaign.directory))
    note_analysed(campaign, source)
    return report


def _opening(campaign, done):
    system = campaign.system
    composition = " ".join(f"{symbol} {count}" for symbol, count in system["composition"].items())
    charge = f", net charge {system['net_charge_e']:+d} e" if system["net_charge_e"] else ", neutral"
    return (
        f"{campaign.recipe.title}: {system['n_atoms']} ions ({composition}{charge}), "
        f"{campaign.n_points} points, {done} done; {campaign.directory}"
    )


def has_production(campaign):
    """Return whether a production run of the campaign is done."""
    return any(job.spec.role == "production" and outcome for job, outcome in campaign.points())


def _write_bytes(path, content):
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def raise_if_unfinished(campaign):
    """Refuse to report on a directory without any production frames."""
    if not any(job.spec.role == "production" and job.directory.exists() for job, _ in campaign.points()):
        raise RunFailedError(
            f"{campaign.directory}: no production run has begun, so there is nothing to report"
        )
