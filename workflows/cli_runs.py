"""The commands ``run``, ``status``, ``report`` and ``reproduce``: options, and what is printed."""

import json
import sys
from pathlib import Path

from workflows.values import shown

__all__ = ["add_campaign_options", "add_reproduce", "add_status", "print_plan", "report", "run", "status"]

_MOST_TOLD = 20


def add_campaign_options(parser):
    """Add what ``simtools run`` asks about the campaign as a whole."""
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


def add_status(commands):
    """Add ``simtools status``."""
    parser = commands.add_parser("status", help="where a run stands")
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--index", action="store_true", help="read the index only (default beyond 500 points)")
    which.add_argument("--check", action="store_true", help="look at every point")
    parser.set_defaults(command=status)


def add_reproduce(commands):
    """Add ``simtools reproduce``."""
    parser = commands.add_parser("reproduce", help="run a finished point again and compare")
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("point", metavar="POINT", help="name or label as simtools status shows it: 700K-r02")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="where to run it (default: DIR/reproduced)"
    )
    parser.set_defaults(command=_reproduce)


def run(title, cases, arguments, *, executor, stop, display):
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


def print_plan(title, cases, directory):
    """Print what a recipe will cost; nothing is written."""
    from workflows.plan import plan_of

    cost, rows = plan_of(cases, directory)
    width = max(len(name) for name, _ in rows)
    for name, told in rows if len(rows) > 1 else []:
        print(f"{name:<{width}}  {told}")
    print(f"{shown(title)}\n{cost.text()}")
    return 0


def failure_text(result, again):
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


def status(arguments):
    """Print where a run stands."""
    from workflows.status import status_of, status_text

    from_index = True if arguments.index else False if arguments.check else None
    found = status_of(arguments.directory, from_index=from_index)
    print(json.dumps(found) if arguments.json else status_text(found))
    return 0


def report(arguments):
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
