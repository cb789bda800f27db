"""Where a run stands: from its points where they are few, from the index alone where they are many."""

from pathlib import Path

from simtools.core.errors import ConfigError
from simtools.core.records import is_number, is_whole
from workflows.index import NAME, read_index
from workflows.progress import PointProgress
from workflows.safety import printable
from workflows.statepoints import is_locked

__all__ = ["MANY_POINTS", "is_running", "status_of", "status_text"]

MANY_POINTS = 500
_SHOWN = {
    "known": "not started",
    "started": "unfinished",
    "stopped": "unfinished",
    "failed": "failed",
    "quarantined": "set aside",
    "done": "done",
}
_CASES_FILE = "campaign.json"


def status_of(directory, *, from_index=None):
    """Return where every point of a run directory stands.

    Parameters
    ----------
    directory
        Of ``simtools run``.
    from_index
        True: read the index and the progress of what is running, nothing else. False: look at every point.
        None: the index beyond `MANY_POINTS` points.

    Returns
    -------
    dict
        JSON-able: ``n_points``, ``n_done``, ``running``, ``source`` (``"index"`` or ``"points"``),
        ``n_damaged_lines`` of the index, ``points`` (each with ``label``, ``state``, ``detail``) and
        ``n_waiting``, those whose volume is not known yet.

    Raises
    ------
    ConfigError
        If the directory holds no run, or a file in it is damaged.
    """
    directory = Path(directory)
    if not any((directory / name).is_file() for name in ("recipe.toml", _CASES_FILE)):
        raise ConfigError(f"{directory}: not a run directory (no recipe.toml or {_CASES_FILE} in it)")
    state = read_index(directory)
    n_planned = state.plan.get("n_points") if state is not None else None
    if from_index and not is_whole(n_planned):
        raise ConfigError(f"{directory / NAME}: missing or without a plan; leave --index out")
    if from_index is None:
        from_index = is_whole(n_planned) and n_planned > MANY_POINTS
    if from_index:
        rows = [_row_of_event(directory, event) for event in state.points.values()]
    else:
        rows, n_planned = _rows_of_points(directory)
    return {
        "n_points": n_planned,
        "n_done": sum(row["state"] == "done" for row in rows),
        "n_waiting": max(n_planned - len(rows), 0),
        "running": is_running(directory),
        "source": "index" if from_index else "points",
        "n_damaged_lines": state.n_damaged if state is not None else 0,
        "points": rows,
    }


def status_text(status):
    """Return a status as a table."""
    rows = [(row["label"], row["state"], row["detail"]) for row in status["points"]]
    if status["n_waiting"]:
        rows.append((f"{status['n_waiting']} replicas", "waiting", "for the volume of their temperature"))
    width = max((len(label) for label, _, _ in rows), default=0)
    lines = [
        " ".join(f"{label:<{width}}  {state:<11}  {detail}".splitlines()).rstrip()
        for label, state, detail in rows
    ]
    now = "running" if status["running"] else "not running"
    source = ", as its index says" if status["source"] == "index" else ""
    lines.append(f"{status['n_done']} of {status['n_points']} points done; {now}{source}")
    return printable("\n".join(lines))


def is_running(directory):
    """Return whether another process is running the campaign in `directory`."""
    try:
        return is_locked(directory)
    except OSError:
        return False


def _row_of_event(directory, event):
    name, what = event["point"], event["event"]
    row = {
        "name": name,
        "label": str(event.get("label", name)),
        "state": _SHOWN.get(what, what),
        "detail": "",
    }
    if what == "done":
        row["detail"] = _kelvin(event.get("temperature_K"))
    elif what in ("failed", "quarantined"):
        row["detail"] = str(event.get("message", ""))
    elif what == "stopped" and isinstance(event.get("total_steps"), int):
        row["detail"] = _share(event.get("done_steps"), event["total_steps"], event.get("temperature_K"))
    elif what in ("started", "stopped"):
        row["detail"] = _progress(_folder(directory, event))
    return row


def _folder(directory, event):
    case, _, name = event["point"].rpartition("/")
    parts = ("cases", case) if case else ()
    return directory.joinpath(*parts, "points", name)


def _rows_of_points(directory):
    from workflows.campaign import open_campaign
    from workflows.failures import quarantined
    from workflows.sweep_campaign import open_cases

    campaigns = open_cases(directory)
    campaigns = [open_campaign(directory)] if campaigns is None else campaigns
    rows = []
    for campaign in campaigns:
        for job, outcome in campaign.points():
            row = {"name": job.name, "label": job.label, "state": "not started", "detail": ""}
            if outcome is not None:
                row |= {"state": "done", "detail": _kelvin(outcome.get("mean_temperature_K"))}
            elif (reason := quarantined(job.directory)) is not None:
                row |= {"state": "set aside", "detail": reason}
            elif detail := _progress(job.directory):
                row |= {"state": "unfinished", "detail": detail}
            rows.append(row)
    return rows, sum(campaign.n_points for campaign in campaigns)


def _progress(folder):
    state = PointProgress.read(folder)
    return "" if state is None else _share(state.done_steps, state.total_steps, state.temperature_K)


def _share(done, total, temperature_K):
    if not (is_number(done) and is_number(total)):
        return ""
    told = f", {temperature_K:.0f} K" if is_number(temperature_K) else ""
    return f"{100 * done / max(total, 1):.0f} %{told}"


def _kelvin(temperature_K):
    return f"{temperature_K:.1f} K" if is_number(temperature_K) else ""
