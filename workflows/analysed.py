"""What summary and report of a run directory were made from, so that old numbers never pass for new ones."""

import hashlib
import json

from simtools.core.provenance import collect_provenance
from workflows.failures import quarantined
from workflows.statepoints import read_json, write_json

__all__ = ["is_analysed", "note_analysed", "source_of_analysis"]

_NAME = "analysed.json"


def source_of_analysis(campaign):
    """Return the SHA-256 of what an analysis depends on: recipe, points, code and libraries; hexadecimal."""
    done, frames, aside = {}, {}, []
    for job, outcome in campaign.points():
        index = job.directory / "trajectory" / "index.json"
        if outcome is not None:
            done[job.name] = outcome
        elif index.exists():
            frames[job.name] = hashlib.sha256(index.read_bytes()).hexdigest()
        if outcome is None and quarantined(job.directory) is not None:
            aside.append(job.name)
    code = collect_provenance()
    source = {
        "recipe": campaign.recipe.to_dict(),
        "done": done,
        "frames": frames,
        "aside": aside,
        "code": [code["versions"], code["git_commit"]],
    }
    return hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()


def note_analysed(campaign, source):
    """Note that summary and report are written; `source_of_analysis` was asked before they were begun."""
    write_json(campaign.directory / _NAME, {"sha256": source})


def is_analysed(campaign):
    """Return whether summary and report are those of the present recipe, points and code."""
    path = campaign.directory / _NAME
    return path.exists() and read_json(path).get("sha256") == source_of_analysis(campaign)
