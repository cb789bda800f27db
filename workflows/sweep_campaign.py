"""All cases of a recipe with lists in one directory: run together, compared in one report.

Each case is an ordinary run directory under ``cases/``; what its points are and how they are named is that of
`workflows.campaign`, so a case that is there already costs nothing.
"""

from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

from simtools import plots
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.plots import format_estimate
from simtools.runs import load_run
from workflows.analysed import is_analysed
from workflows.campaign import CampaignResult, collect, has_production, open_campaign, prepare
from workflows.failures import quarantined
from workflows.forces import forces_of
from workflows.planned_cost import planned_cost
from workflows.report import render_page, write_page
from workflows.report_figures import ReportFigure
from workflows.safety import inside, refuse_links
from workflows.statepoints import check_directory, check_owner, locked, read_json, write_json
from workflows.summary import numbers_or_null
from workflows.supervise import RETRIES, supervise
from workflows.system_checks import check_recipe
from workflows.systems import warm_up
from workflows.values import shown, suggestion

__all__ = [
    "CASES",
    "open_case",
    "open_cases",
    "prepare_cases",
    "refuse_plain_run",
    "report_cases",
    "run_cases",
    "title_of",
]

CASES = "campaign.json"
_FOLDER = "cases"
_MOST_ROWS = 60  # of one figure


@contextmanager
def prepare_cases(title, cases, directory):
    """Check every case, write their folders and ``campaign.json``, and hold the directory; nothing is run.

    Parameters
    ----------
    title, cases
        From `workflows.sweep.read_cases`.
    directory
        Created if need be; cases that are there already are kept.

    Yields
    ------
    list of workflows.campaign.Campaign

    Raises
    ------
    ConfigError
        If a case cannot be run as asked, or the directory holds something else or is being worked in.
    """
    directory = Path(directory)
    refuse_plain_run(directory)
    for case in cases:
        _check(case)
    check_directory(directory)
    refuse_links(directory, directory, directory / _FOLDER)
    (directory / _FOLDER).mkdir(exist_ok=True)
    with locked(directory):
        campaigns = [_prepared(case, directory) for case in cases]
        _write_cases(title, cases, directory)
        yield campaigns


def refuse_plain_run(directory):
    """Refuse a directory that holds something else than cases.

    Raises
    ------
    ConfigError
    """
    check_owner(directory, "run")
    if (directory / "recipe.toml").exists():
        raise ConfigError(f"{directory} holds a run of one recipe without lists; choose another -o DIR")


def run_cases(title, cases, directory, *, executor, stop, display, retries=RETRIES, lift=False):
    """Run what is missing of every case, analyse them and write the campaign's report.

    Parameters
    ----------
    title, cases
        From `workflows.sweep.read_cases`.
    directory
        Created if need be; cases that are there already are continued.
    executor, stop, display, retries, lift
        As for `workflows.campaign.run_campaign`.

    Returns
    -------
    workflows.campaign.CampaignResult
    """
    directory = Path(directory)
    with prepare_cases(title, cases, directory) as campaigns:
        done = sum(outcome is not None for campaign in campaigns for _, outcome in campaign.points())
        n_points = sum(campaign.n_points for campaign in campaigns)
        display.note(f"{title}: {len(cases)} cases, {n_points} points, {done} done; {directory}")

        def before_first():
            if executor.runs_here:
                for campaign in {str(item.forces.identity()): item for item in campaigns}.values():
                    warm_up(campaign.recipe, campaign.forces)
            display.note(planned_cost(campaigns, measure=executor.runs_here).text())

        ended = supervise(
            campaigns,
            directory,
            executor=executor,
            stop=stop,
            display=display,
            retries=retries,
            lift=lift,
            before_first=before_first,
        )
        failed = ended.failures or ended.quarantined
        result = CampaignResult(
            "failed" if failed else "stopped" if ended.stopped else "done",
            failures=ended.failures,
            quarantined=ended.quarantined,
            n_done=ended.n_done,
            n_points=ended.n_points,
        )
        if not ended.stopped:
            for campaign in campaigns:
                if stop.requested and not failed:
                    result.status = "stopped"
                    return result
                if has_production(campaign) and not is_analysed(campaign):
                    collect(campaign)
            result.report = report_cases(directory)
        return result


def open_cases(directory):
    """Return the campaigns of a directory made by `run_cases`, or None if it is none.

    Raises
    ------
    ConfigError
        If ``campaign.json`` is damaged or names folders that are none of its own.
    """
    directory = Path(directory)
    if not (directory / CASES).exists():
        return None
    return [_opened(directory, row["name"]) for row in _read_cases(directory)["cases"]]


def open_case(directory, name):
    """Return the campaign of one case of a directory made by `run_cases`.

    Raises
    ------
    ConfigError
        If none is called `name`.
    """
    directory = Path(directory)
    names = [row["name"] for row in _read_cases(directory)["cases"]]
    if not name:
        raise ConfigError(f"{directory} holds several cases: name the point CASE/POINT, {names[0]}/700K-r01")
    if name not in names:
        raise ConfigError(f"{directory} has no case {name!r}{suggestion(name, names)}")
    return _opened(directory, name)


def title_of(directory):
    """Return the title of a campaign of cases."""
    return _read_cases(directory)["title"]


def _opened(directory, name):
    folder = inside(directory / _FOLDER, name, where=f"{directory / CASES}: name")
    return replace(open_campaign(folder), case=name, index_directory=directory)


def report_cases(directory):
    """Write ``summary.json``, ``figures/`` and ``report.html`` of what is analysed; return the page."""
    directory = Path(directory)
    record = _read_cases(directory)
    campaigns = open_cases(directory)
    runs = {
        campaign.case: load_run(campaign.directory)
        for campaign in campaigns
        if has_production(campaign) and (campaign.directory / "summary.json").exists()
    }
    listed = [pair for campaign in campaigns for pair in campaign.points()]
    aside = [
        (job.name, reason)
        for job, outcome in listed
        if outcome is None and (reason := quarantined(job.directory)) is not None
    ]
    n_left = sum(campaign.n_points for campaign in campaigns) - sum(
        outcome is not None for _, outcome in listed
    )
    notes = _notes(campaigns, runs, aside, n_left)
    results = {name: (_mobile(run), run.arrhenius) for name, run in runs.items()}
    summary = {
        "schema": 1,
        "title": record["title"],
        "provenance": collect_provenance(),
        "cases": [
            {
                "name": row["name"],
                "settings": row["settings"],
                "transport": [numbers_or_null(item.to_summary()) for item in _of(results, row, 0) or ()],
                "arrhenius": numbers_or_null(_of(results, row, 1).to_summary())
                if _of(results, row, 1)
                else {},
                "warnings": list(runs[row["name"]].warnings) if row["name"] in runs else [],
            }
            for row in record["cases"]
        ],
        "quarantined": [{"point": name, "reason": reason} for name, reason in aside],
        "warnings": notes,
    }
    write_json(directory / "summary.json", summary)
    figures = _figures({name: pair for name, pair in results.items() if pair[0]})
    context = {
        "title": record["title"],
        "notes": notes,
        "figures": figures,
        "case_table": _case_table(results),
        "settings_table": _settings_table(record["cases"], campaigns),
        "quarantine_table": _table(["point", "reason"], [list(row) for row in aside], None),
        "reports": [(name, len(run.warnings)) for name, run in runs.items()],
    }
    return write_page(render_page("campaign.html.j2", context), figures, directory)


def _check(case):
    """Refuse a case whose physics cannot be run, before anything is written."""
    recipe = case.recipe
    forces = forces_of(
        recipe.to_dict()["potential"],
        where=f"{recipe.source}: case {case.name}: [potential] ",
        relative_to=recipe.source.parent,
    )
    try:
        check_recipe(recipe, forces)
    except ConfigError as error:
        raise ConfigError(f"{error} (case {case.name})") from error


def _prepared(case, directory):
    """Prepare a case's folder; its own lock is held only meanwhile, that of the whole directory stays."""
    folder = directory / _FOLDER / case.name
    with prepare(case.recipe, folder) as campaign:
        return replace(campaign, case=case.name, index_directory=directory)


def _write_cases(title, cases, directory):
    rows = {case.name: {"name": case.name, "settings": case.settings} for case in cases}
    earlier = _read_cases(directory)["cases"] if (directory / CASES).exists() else []
    kept = [row for row in earlier if row["name"] not in rows]
    write_json(directory / CASES, {"title": title, "cases": [*rows.values()], "earlier_cases": kept})


def _read_cases(directory):
    path = Path(directory) / CASES
    record = read_json(path)
    rows = record.get("cases")
    whole = isinstance(rows, list) and all(
        isinstance(row, dict) and isinstance(row.get("name"), str) and isinstance(row.get("settings"), dict)
        for row in rows
    )
    if not whole or not isinstance(record.get("title"), str):
        raise ConfigError(f"{path}: damaged, expected a title and cases, each with name and settings")
    return record


def _mobile(run):
    mobile = run.recipe.get("analysis", {}).get("mobile")
    return tuple(item for item in run.transport if item.species == mobile)


def _of(results, row, part):
    return results[row["name"]][part] if row["name"] in results else None


def _notes(campaigns, runs, aside, n_left):
    notes = []
    if n_left > len(aside):
        notes.append(f"{n_left - len(aside)} points are not done: averages rest on what there is")
    missing = [campaign.case for campaign in campaigns if campaign.case not in runs]
    if missing:
        notes.append(f"not analysed yet: {', '.join(missing[:10])}{' and more' if len(missing) > 10 else ''}")
    behind = [c.case for c in campaigns if c.case in runs and not is_analysed(c)]
    if behind:
        notes.append(
            f"analysed before their last points were done, or by another version: {', '.join(behind[:10])}"
            f"{' and more' if len(behind) > 10 else ''}; simtools report does it again"
        )
    if aside:
        notes.append(f"{len(aside)} points are set aside and missing from the averages: see the table below")
    fields = {
        campaign.system["potential"].get("name") or campaign.system["potential"].get("calculator")
        for campaign in campaigns
    }
    if len(fields) > 1:
        notes.append(
            f"the cases use different forces ({', '.join(sorted(map(str, fields)))}): their differences are "
            "those of the forces too"
        )
    return notes


def _case_table(results):
    charged = any(item.charge_e for transports, _ in results.values() for item in transports)
    of, kind = ("σT", "activation_energy_eV") if charged else ("D*", "tracer_activation_energy_eV")
    rows = []
    for name, (transports, arrhenius) in results.items():
        energy = "–" if arrhenius is None else format_estimate(getattr(arrhenius, kind), "eV")
        for item in transports:
            rows.append(
                [
                    name,
                    item.species,
                    f"{item.temperature_K:g}",
                    format_estimate(item.ionic_conductivity_S_per_cm),
                    format_estimate(item.tracer_diffusivity_cm2_per_s),
                    format_estimate(item.haven_ratio),
                    energy,
                ]
            )
    columns = ["case", "ion", "T (K)", "σ, ionic (S cm⁻¹)", "D* (cm² s⁻¹)", "H_R", f"Eₐ of {of}"]
    return _table(columns, rows, "Values with 95 % intervals; “<” is a 95 % upper limit.")


def _figures(drawn):
    """Return the comparison as figures of a size that can be read and saved."""
    caption = (
        "One row per case: bars are 95 % intervals, triangles point from 95 % upper limits towards zero. "
        "Cases differ in what the table below says; force fields may differ too."
    )
    figures = []
    for start in range(0, len(drawn), _MOST_ROWS):
        part = dict(islice(drawn.items(), start, start + _MOST_ROWS))
        more = f": {start + 1} to {start + len(part)} of {len(drawn)}" if len(drawn) > _MOST_ROWS else ""
        figures.append(
            ReportFigure(
                f"cases-{start + 1}" if start else "cases",
                f"Transport and activation energy of the cases{more}",
                caption,
                plots.plot_cases(part)[0].figure,
            )
        )
    return figures


def _settings_table(rows, campaigns):
    """Return what the lists set in each case; where they set nothing, what the recipe says."""
    keys = list(dict.fromkeys(key for row in rows for key in row["settings"]))
    told = []
    for row, campaign in zip(rows, campaigns, strict=True):
        values = (_value(campaign.recipe.to_dict(), row["settings"], key) for key in keys)
        told.append([row["name"], *("–" if value is None else shown(value) for value in values)])
    return _table(["case", *keys], told, None)


def _value(record, settings, key):
    if key in settings:
        return settings[key]
    for part in key.split("."):
        if isinstance(record, list) and part.isdecimal() and int(part) < len(record):
            record = record[int(part)]
        else:
            record = record.get(part) if isinstance(record, dict) else None
    return record


def _table(columns, rows, caption):
    return {"columns": columns, "rows": rows, "caption": caption}
