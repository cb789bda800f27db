"""The index of a trajectory: which segments were written, and whether each is still what was written."""

import hashlib
import json
from pathlib import Path

from simtools.core.errors import ConfigError
from simtools.md.checkpoint import replace_file

__all__ = [
    "FOLDER",
    "INDEX",
    "TOPOLOGY",
    "TrajectoryError",
    "empty_index",
    "read_index",
    "verify_segment",
    "write_index",
]

FOLDER = "trajectory"
INDEX = "index.json"
TOPOLOGY = "topology.xyz"
_INDEX_ROW = {"file": str, "stage": str, "number": int, "first_step": int, "n_frames": int, "bytes": int}


class TrajectoryError(ConfigError):
    """A trajectory file is missing, damaged or does not follow on the one before it."""


def empty_index():
    """Return the index of a trajectory without segments."""
    return {"format": 1, "topology": TOPOLOGY, "segments": [], "complete": []}


def read_index(folder):
    """Return the index in `folder`; refuse one that is damaged."""
    path = folder / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        wrong = _what_is_wrong(index)
    except (ValueError, RecursionError) as error:
        wrong = str(error)
    if wrong:
        raise TrajectoryError(f"{path} is damaged ({wrong}); expected the list of segments")
    return index


def _what_is_wrong(index):
    """Return what keeps `index` from being the index of a trajectory, or None."""
    if not isinstance(index, dict):
        return f"it holds a {type(index).__name__}"
    if not isinstance(index.get("segments"), list) or not isinstance(index.get("complete"), list):
        return "it has no lists of segments and complete stages"
    for number, row in enumerate(index["segments"], 1):
        for key, kind in _INDEX_ROW.items():
            if not isinstance(row, dict) or not isinstance(row.get(key), kind):
                return f"segment {number} has no {key}"
        if row["file"] != Path(row["file"]).name or "\0" in row["file"] or row["file"] in ("", ".", ".."):
            return f"segment {number} has file = {row['file'][:80]!r}, not the name of a file beside it"
    return None


def write_index(folder, index, fence):
    """Write `index` to `folder`, replacing the file in one step; `fence` as for `replace_file`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(index, indent=1).encode()
    replace_file(folder / INDEX, lambda stream: stream.write(text), fence=fence)


def verify_segment(path, row):
    """Refuse a segment that is not, byte for byte, the one that was written; old indexes cannot tell."""
    if path.stat().st_size != row["bytes"]:
        raise TrajectoryError(
            f"{path} is damaged; expected a whole H5MD segment of {row['bytes']} bytes, found "
            f"{path.stat().st_size}"
        )
    if "sha256" in row and (found := _sha256(path)) != row["sha256"]:
        raise TrajectoryError(
            f"{path} is damaged; expected content with SHA-256 {row['sha256'][:12]}..., found {found[:12]}..."
        )


def _sha256(path):
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
