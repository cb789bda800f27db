"""On what a point was computed: one entry for each machine, version and commit that it was continued with."""

from pathlib import Path

from simtools.core.provenance import collect_provenance
from workflows.statepoints import read_json, write_json

__all__ = ["note_part", "read_parts", "same_kind"]

NAME = "parts.json"
_KIND = ("processor", "versions", "git_commit")


def note_part(directory, *, fence=None):
    """Note that this process continues the point in `directory`, unless one like it did so last."""
    about = collect_provenance()
    part = {
        key: about[key] for key in ("host", "platform", "processor", "versions", "git_commit", "time_utc")
    }
    parts = read_parts(directory)
    if parts and all(parts[-1].get(key) == part[key] for key in ("host", *_KIND)):
        return
    write_json(Path(directory) / NAME, {"parts": [*parts, part]}, durable=False, fence=fence)


def read_parts(directory):
    """Return the entries, oldest first; none for a point made before they were kept."""
    path = Path(directory) / NAME
    parts = read_json(path).get("parts") if path.exists() else []
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def same_kind(first, second):
    """Return the names of what differs between two entries: processor, libraries, commit."""
    differs = [key for key in ("processor", "git_commit") if first.get(key) != second.get(key)]
    ours, theirs = first.get("versions") or {}, second.get("versions") or {}
    return differs + sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
