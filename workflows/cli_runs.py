"""The commands ``run``, ``status``, ``report``, ``reproduce``, ``compare``: options, and what is printed."""

import json
import sys
from pathlib import Path

from simtools.core.errors import ConfigError
from workflows.cli_base import DONE, FAILED, STOPPED, add_recipe, complain
from workflows.cli_cluster import add_slurm_options, refuse_slurm_options, slurm_settings_of
from workflows.values import shown

__all__ = ["add_compare", "add_report", "add_reproduce", "add_run", "add_status"]

_MOST_TOLD = 20
_MOST_RETRIES = 1_000_000


def add_run(commands):
    """Add ``simtools run``."""
    run = commands.add_parser("run", help="build, run, analyse, report; the same command resumes")
    add_recipe(run)
    run.add_argument("--quick", action="store_true", help="the recipe's short form, its table [quick]")
    run.add_argument("-o", "--output", dest="directory", type=Path, metavar="DIR", help="run directory")
    run.add_argument("--executor", default="local", metavar="NAME", help="local (default), inline or slurm")
    run.add_argument("--workers", type=int, metavar="N", help="worker processes (default: one per core)")
    add_slurm_options(run)
    _add_campaign_options(run)
    run.add_argument("-q", "--quiet", action="store_true", help="no progress")
    run.set_defaults(command=_run)


def add_status(commands):
    """Add ``simtools status``."""
    parser = commands.add_parser("status", help="where a run stands")
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--index", action="store_true", help="read the index only (default beyond 500 points)")
    which.add_argument("--check", action="store_true", help="look at every point")
    parser.set_defaults(command=_status)


def add_report(commands):
    """Add ``simtools report``."""
    report = commands.add_parser("report", help="analyse and report again, also an unfinished run")
    report.add_argument("directory", type=Path, metavar="DIR")
    report.set_defaults(command=_report)


def add_reproduce(commands):
    """Add ``simtools reproduce``."""
    parser = commands.add_parser("reproduce", help="run a finished point again and compare")
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("point", metavar="POINT", help="name or label as simtools status shows it: 700K-r02")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="where to run it (default: DIR/reproduced)"
    )
    parser.set_defaults(command=_reproduce)


def add_compare(commands):
    """Add ``simtools compare``."""
    compare = commands.add_parser("compare", help="finished runs side by side, and beside the literature")
    compare.add_argument(
        "directories", type=Path, nargs="+", metavar="DIR", help="of simtools run; also of simtools defects"
    )
    compare.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="write summary.json, figures and report.html there"
    )
    compare.set_defaults(command=_compare)


def _add_campaign_options(parser):
    """Add what is asked about the campaign as a whole."""
    parser.add_argument("--plan", action="store_true", help="say what it will cost, run and write nothing")
    parser.add_argument(
        "--retries",
        type=int,
        default=2,
        metavar="N",
        help="tries in a row, after the first, of a point whose process died (2)",
    )
    parser.add_argument(
        "--retry-quarantined", action="store_true", help="try points again that were set aside"
    )


def _run(arguments):
    from simtools.runs import load_run
    from workflows.cost import cost_lines
    from workflows.executors import StopRequest, get_executor
    from workflows.progress import progress_display
    from workflows.sweep import read_cases

    if arguments.executor != "slurm":
        refuse_slurm_options(arguments, f"--executor {arguments.executor}")
    title, cases = read_cases(arguments.recipe, arguments.overrides, quick=arguments.quick)
    if not 0 <= arguments.retries <= _MOST_RETRIES:
        raise ConfigError(f"--retries {arguments.retries}: expected a whole number from 0 to {_MOST_RETRIES}")
    executor = get_executor(
        arguments.executor,
        arguments.workers,
        cores_per_point=max(case.recipe.potential.mpi_ranks or 1 for case in cases),
        slurm_settings=lambda: slurm_settings_of(arguments, *(case.recipe for case in cases)),
    )
    if arguments.directory is None:
        short = "-quick" if arguments.quick else ""
        arguments.directory = Path(f"{Path(arguments.recipe).stem}{short}-run")
    if arguments.plan:
        return _print_plan(title, cases, arguments.directory)
    with StopRequest().listening() as stop, progress_display(quiet=arguments.quiet) as display:
        result = _run_cases(title, cases, arguments, executor=executor, stop=stop, display=display)
    again = "the same command continues"
    if result.status == "stopped":
        done = f"{result.n_done} of {result.n_points} points done"
        return complain(f"stopped at a checkpoint, {done}; {again}", STOPPED)
    if result.status == "failed":
        return complain(_failure_text(result, again), FAILED)
    if [case.name for case in cases] == [""]:
        print("\n".join(cost_lines(load_run(arguments.directory))))
    print(f"summary: {arguments.directory / 'summary.json'}\nreport: {result.report}")
    return DONE


def _run_cases(title, cases, arguments, *, executor, stop, display):
    """Run a recipe, or all cases of one; return the `CampaignResult`."""
    from workflows.campaign import run_campaign
    from workflows.sweep_campaign import run_cases

    options = {
        "executor": executor,
        "stop": stop,
        "display": display,
        "retries": arguments.retries,
        "lift": arguments.retry_quarantined,
    }
    if [case.name for case in cases] == [""]:
        return run_campaign(cases[0].recipe, arguments.directory, **options)
    return run_cases(title, cases, arguments.directory, **options)


def _print_plan(title, cases, directory):
    """Print what a recipe will cost; nothing is written."""
    from workflows.plan import plan_of

    cost, rows = plan_of(cases, directory)
    width = max(len(name) for name, _ in rows)
    for name, told in rows if len(rows) > 1 else []:
        print(f"{name:<{width}}  {told}")
    print(f"{shown(title)}\n{cost.text()}")
    return 0


def _failure_text(result, again):
    """Return what failed and what was set aside, one line per point, equal reasons of the disk once."""
    lines = []
    if result.failures:
        reasons = {}
        for item in result.failures:
            reasons.setdefault(item.message if item.kind == "disk" else id(item), []).append(item)
        lines.append(f"{len(result.failures)} of {result.n_points} points failed: ")
        told = []
        for items in list(reasons.values())[:3]:
            names = items[0].name if len(items) == 1 else f"{items[0].name} and {len(items) - 1} more"
            told.append(f"{names}: {items[0].message} (log: {items[0].log})")
        lines[0] += "; ".join(told) + (f"; {len(reasons) - 3} more" if len(reasons) > 3 else "")
    if result.quarantined:
        lines.append(
            f"{len(result.quarantined)} of {result.n_points} points are set aside (quarantine.json in their "
            "folders; simtools run --retry-quarantined tries them again):"
        )
        rows = list(result.quarantined.items())
        lines += [f"  {name}: {' '.join(reason.split())}" for name, reason in rows[:_MOST_TOLD]]
        lines += [f"  {len(rows) - _MOST_TOLD} more: simtools status"] if len(rows) > _MOST_TOLD else []
    return "\n".join([*lines, f"the others are kept; {again}"])


def _status(arguments):
    """Print where a run stands."""
    from workflows.status import status_of, status_text

    from_index = True if arguments.index else False if arguments.check else None
    found = status_of(arguments.directory, from_index=from_index)
    print(json.dumps(found) if arguments.json else status_text(found))
    return 0


def _report(arguments):
    """Analyse and report again."""
    from workflows.campaign import collect, has_production, open_campaign, raise_if_unfinished
    from workflows.safety import refuse_links
    from workflows.sweep_campaign import open_cases, report_cases

    refuse_links(arguments.directory)
    campaigns = open_cases(arguments.directory)
    if campaigns is None:
        campaign = open_campaign(arguments.directory)
        raise_if_unfinished(campaign)
        print(f"report: {collect(campaign)}")
        return 0
    for campaign in campaigns:
        refuse_links(arguments.directory, campaign.directory)
        if has_production(campaign):
            collect(campaign)
    print(f"report: {report_cases(arguments.directory)}")
    return 0


def _reproduce(arguments):
    from workflows.executors import StopRequest
    from workflows.progress import progress_display
    from workflows.reproduce import reproduce

    with StopRequest().listening() as stop, progress_display() as display:
        result = reproduce(
            arguments.directory, arguments.point, output=arguments.output, stop=stop, display=display
        )
    print(result.text())
    if result.status == "stopped":
        print("simtools: stopped at a checkpoint; the same command continues", file=sys.stderr)
        return 75
    return 0 if result.reproduced else 1


def _compare(arguments):
    from workflows.compare import read_comparison
    from workflows.compare_report import comparison_text, write_comparison

    comparison = read_comparison(arguments.directories)
    print(comparison_text(comparison))
    if arguments.output is not None:
        print(f"\nreport: {write_comparison(comparison, arguments.output)}")
    return DONE
