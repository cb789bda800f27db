"""Commands for clusters: the options of ``run --executor slurm``, and ``export`` and ``point``."""

import os
import sys
from pathlib import Path

from simtools.core.errors import ConfigError
from workflows.node import prepare_node

__all__ = ["add_export", "add_point", "add_slurm_options", "refuse_slurm_options", "slurm_settings_of"]


def add_slurm_options(run):
    """Add what ``simtools run`` takes for Slurm."""
    run.add_argument(
        "--slurm", type=Path, metavar="FILE", help="TOML file with a table [slurm]; over the recipe's"
    )
    run.add_argument(
        "--max-concurrent", type=int, metavar="N", help="with slurm: most points in the queue at a time"
    )


def add_export(commands):
    """Add ``simtools export``."""
    export = commands.add_parser("export", help="plain scripts that run a campaign, for Slurm or Snakemake")
    add = export.add_argument
    add("directory", type=Path, metavar="DIR", help="run directory")
    kind = export.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--slurm", nargs="?", const="", metavar="FILE", help="job arrays; FILE: TOML with a table [slurm]"
    )
    kind.add_argument("--snakemake", action="store_true", help="a Snakefile")
    add("--recipe", metavar="RECIPE", help="prepare DIR from it first, as simtools run would")
    add("--max-concurrent", type=int, metavar="N", help="most points at work at a time in one job array")
    export.set_defaults(command=_export)


def add_point(commands):
    """Add ``simtools point``."""
    point = commands.add_parser("point", help="run or continue one point of a prepared run directory")
    add = point.add_argument
    add("directory", type=Path, metavar="DIR", help="run directory")
    add("name", metavar="NAME", help="of the point: 700K-r02, 700K-volume, CASE/700K-r02")
    add("--threads", type=int, default=1, metavar="N", help="threads of this point (1)")
    add(
        "--time-limit", type=float, metavar="MIN", help="stop at a checkpoint before so many minutes are over"
    )
    add("--lead", type=float, metavar="S", help="how long before, s (default: a fifth, at most 300)")
    add("-q", "--quiet", action="store_true", help="no progress")
    point.set_defaults(command=_point)


def slurm_settings_of(arguments, *recipes):
    """Return the `SlurmSettings` of a command line and the recipes of all cases."""
    from workflows.slurm_settings import read_slurm_settings

    return read_slurm_settings(
        _common_table(recipes),
        file=arguments.slurm or None,
        max_concurrent=arguments.max_concurrent,
        mpi_ranks=max(recipe.potential.mpi_ranks or 1 for recipe in recipes),
    )


def _common_table(recipes):
    tables = {recipe.slurm for recipe in recipes}
    if len(tables) > 1:
        raise ConfigError("[slurm] differs between the cases, expected one for all of them")
    return tables.pop()


def refuse_slurm_options(arguments, there):
    """Refuse options that only Slurm understands `there`, where it does not run the points."""
    for option, value in (("--slurm", arguments.slurm), ("--max-concurrent", arguments.max_concurrent)):
        if value not in (None, False):
            raise ConfigError(f"{option} has no effect with {there}; remove one of them")


def _export(arguments):
    from workflows.export import write_slurm, write_snakemake

    if arguments.snakemake:
        refuse_slurm_options(arguments, "--snakemake")
    if arguments.recipe is not None:
        _prepare(arguments.recipe, arguments.directory)
    title, campaigns = _opened(arguments.directory)
    recipes = [campaign.recipe for campaign in campaigns]
    if arguments.snakemake:
        path = write_snakemake(arguments.directory, title, campaigns, _common_table(recipes))
        print(f"{path}\nrun: snakemake --cores N --snakefile that file")
        return 0
    settings = slurm_settings_of(arguments, *recipes)
    print(f"{write_slurm(arguments.directory, title, campaigns, settings)}\nrun: bash that file")
    return 0


def _prepare(recipe, directory):
    """Write the run directory of a recipe, or of all its cases, and run nothing."""
    from workflows.campaign import prepare
    from workflows.sweep import read_cases
    from workflows.sweep_campaign import prepare_cases

    title, cases = read_cases(recipe)
    if [case.name for case in cases] != [""]:
        with prepare_cases(title, cases, directory):
            return
    with prepare(cases[0].recipe, directory):
        return


def _opened(directory):
    """Return the title and the campaigns of a run directory: several where it holds cases."""
    from workflows.campaign import open_campaign
    from workflows.sweep_campaign import open_cases, title_of

    campaigns = open_cases(directory)
    if campaigns is not None:
        return title_of(directory), campaigns
    if not (directory / "recipe.toml").exists():
        raise ConfigError(f"{directory}: not a run directory; give --recipe RECIPE to prepare it")
    campaign = open_campaign(directory)
    return campaign.recipe.title, [campaign]


def _point(arguments):
    if arguments.threads < 1:
        raise ConfigError(f"--threads {arguments.threads}: expected a whole number above 0")
    left_s = _time_left_s(arguments)
    from workflows.stopping import StopRequest

    with StopRequest(left_s).listening() as stop:
        prepare_node(arguments.threads)
        from workflows.campaign import open_campaign
        from workflows.point import run_point
        from workflows.point_names import find_point
        from workflows.progress import progress_display
        from workflows.sweep_campaign import CASES, open_case

        if (arguments.directory / CASES).exists():
            case, _, name = arguments.name.rpartition("/")
            job = find_point(open_case(arguments.directory, case), name)
        else:
            job = find_point(open_campaign(arguments.directory), arguments.name)
        with progress_display(quiet=arguments.quiet) as display:
            outcome = run_point(
                job,
                should_stop=stop,
                on_progress=lambda: display.update([(job.label, job.directory)], 0, 1),
            )
    if outcome.status == "done":
        print(job.directory)
        return 0
    if outcome.status == "failed":
        print(f"simtools: {job.label} failed: {outcome.message} (log: {outcome.log})", file=sys.stderr)
        return 1
    why = outcome.message or stop.reason
    print(f"simtools: {job.label} stopped ({why}); the same command continues", file=sys.stderr)
    return 75


def _time_left_s(arguments):
    from workflows.stopping import seconds_left

    if arguments.time_limit is None:
        if arguments.lead is not None:
            raise ConfigError("--lead has no effect without --time-limit")
        return None
    limit_s = 60 * arguments.time_limit
    if not 0 < limit_s < float("inf"):
        raise ConfigError(f"--time-limit {arguments.time_limit:g}: expected minutes, above 0")
    lead_s = min(300.0, 0.2 * limit_s) if arguments.lead is None else arguments.lead
    if not 0 <= lead_s < limit_s:
        raise ConfigError(f"--lead {lead_s:g}: expected seconds, less than the limit of {limit_s:g} s")
    return seconds_left(arguments.time_limit, lead_s=lead_s, environment=os.environ)
