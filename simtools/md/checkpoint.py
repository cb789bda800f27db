"""Checkpoints: everything a run needs to continue bit for bit, in files that are whole or absent.

Two files take turns, so a checkpoint that the disk spoiled leaves the one before it. No pickle: arrays in
``.npz``, everything else as JSON text inside it.
"""

import json
import logging
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from simtools.core.errors import ConfigError
from simtools.core.files import open_regular

logger = logging.getLogger(__name__)

__all__ = ["CHECKPOINT_NAMES", "CheckpointError", "load_checkpoint", "replace_file", "save_checkpoint"]

CHECKPOINT_NAMES = ("checkpoint-0.npz", "checkpoint-1.npz")
_FORMAT = 1
_DAMAGE = (  # what zipfile, numpy and json raise on flipped bits; a flipped length may ask for all memory
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class CheckpointError(ConfigError):
    """A checkpoint cannot be read."""


def replace_file(path, write, *, fence=None):
    """Write a file under a temporary name, flush it to the disk, then give it its name.

    Parameters
    ----------
    path
        Final path.
    write
        Called with the binary file object.
    fence
        Called between writing and naming; it raises if this process may no longer publish here. Its
        ``mark`` is part of the temporary name, so that whoever takes over can delete the files of its
        predecessors: one that wakes up after its last look at the fence finds its file gone.
    """
    path = Path(path)
    partial = partial_path(path, fence)
    with open(partial, "wb") as stream:
        write(stream)
        stream.flush()
        os.fsync(stream.fileno())
    if fence is not None:
        fence()
    os.replace(partial, path)
    sync_directory(path.parent)


def partial_path(path, fence):
    """Return the temporary name of `path` under `fence` (None: the only writer)."""
    return path.with_name(f"{path.name}{'' if fence is None else fence.mark}.partial")


def sync_directory(directory):
    """Make a rename in `directory` survive a power cut, where the system lets us."""
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_checkpoint(directory, state, *, count, fence=None):
    """Write `state` (nested dict of arrays and JSON values) as checkpoint number `count`."""
    arrays = {}
    tree = _without_arrays({"format": _FORMAT, "count": count, **state}, arrays)
    text = np.frombuffer(json.dumps(tree).encode(), dtype=np.uint8)
    path = Path(directory) / CHECKPOINT_NAMES[count % 2]
    replace_file(path, lambda stream: np.savez(stream, tree=text, **arrays), fence=fence)
    return path


def load_checkpoint(directory):
    """Return (state, warnings) of the newest readable checkpoint, or (None, ()) where there is none.

    Raises
    ------
    CheckpointError
        If there are checkpoints and none can be read.
    """
    states, broken = [], []
    for name in CHECKPOINT_NAMES:
        path = Path(directory) / name
        if path.exists():
            try:
                states.append(_read(path))
            except _DAMAGE as error:
                reason = " ".join(str(error).split())[:200]
                broken.append(f"{path} is damaged ({type(error).__name__}: {reason})")
    if broken and not states:
        raise CheckpointError(
            f"{broken[0]}; expected a whole checkpoint, and there is no other: "
            "remove the directory to start again"
        )
    for message in broken:
        logger.warning("%s; continuing from the checkpoint before it", message)
    if not states:
        return None, ()
    newest = max(states, key=lambda state: state["count"])
    return newest, tuple(f"{message}; continued from the checkpoint before it" for message in broken)


def _read(path):
    with open_regular(path) as stream, np.load(stream, allow_pickle=False) as archive:
        tree = json.loads(bytes(archive["tree"]).decode())
        arrays = {name: archive[name] for name in archive.files if name != "tree"}
    if tree.get("format") != _FORMAT:
        raise ValueError(f"format {tree.get('format')!r}, expected {_FORMAT}")
    state = _with_arrays(tree, arrays)
    if not isinstance(state["count"], int):
        raise ValueError(f"count {state['count']!r}, expected an integer")
    return state


def _without_arrays(value, arrays):
    if isinstance(value, np.ndarray):
        name = f"a{len(arrays)}"
        arrays[name] = value
        return {"__array__": name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): _without_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_arrays(item, arrays) for item in value]
    return value


def _with_arrays(value, arrays):
    if isinstance(value, dict):
        if set(value) == {"__array__"}:
            return arrays[value["__array__"]]
        return {key: _with_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    return value
