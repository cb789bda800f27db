"""Files from someone else: no link leads out of a run directory, no pipe waits, no record is bottomless."""

import os
import re
from pathlib import Path

from simtools.core.errors import ConfigError

__all__ = ["inside", "on_a_page", "printable", "refuse_deep", "refuse_links"]

_DEEPEST = 32
#: Controls, marks that turn the direction of writing, and halves of characters that no file can hold.
_TURNING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def refuse_deep(record, source):
    """Refuse a parsed record whose tables and lists are nested deeper than any of ours.

    What walks a record calls itself; 32 levels are far from Python's limit and from what a recipe needs.

    Raises
    ------
    ConfigError
        Naming `source` and the key.
    """
    for key, value in record.items():
        level = [value]
        for _ in range(_DEEPEST):
            level = [
                inner
                for outer in level
                if isinstance(outer, (dict, list))
                for inner in (outer.values() if isinstance(outer, dict) else outer)
            ]
            if not level:
                break
        else:
            raise ConfigError(f"{source}: {key[:60]!r}: nested deeper than {_DEEPEST} levels")


def refuse_links(root, *folders):
    """Refuse symbolic links that lead out of the run directory `root`, and pipes, sockets and devices in it.

    Looks at `folders` (at `root`, if none is given), their entries, and the entries of the folders in them.
    `root` itself may be a link: that is the user's own word.

    Raises
    ------
    ConfigError
        Naming the link and its target, or what is no file.
    """
    home = Path(root).resolve()
    for folder in map(Path, folders or (root,)):
        if folder != Path(root):
            _check(folder, home)
        for inner in _look_over(folder, home):
            for _ in _look_over(inner, home):
                pass


def _look_over(folder, home):
    """Check the entries of a folder, and yield the paths of the folders among them."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                _check(Path(entry.path), home)
            elif entry.is_dir():
                yield Path(entry.path)
            elif not entry.is_file():
                raise ConfigError(f"{entry.path}: a pipe, socket or device in a run directory; remove it")


def _check(path, home):
    if path.is_symlink() and not _target(path).is_relative_to(home):
        raise ConfigError(
            f"{path}: a symbolic link to {os.readlink(path)[:200]!r}, out of the run directory; nothing is "
            "written through it: replace it by what it points to, or remove it"
        )


def _target(path):
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # links in a circle
        return Path("/")


def inside(folder, name, *, where):
    """Return ``folder / name`` for a file name that a file from someone else gives.

    Raises
    ------
    ConfigError
        If `name` is not a plain name: absolute, with folders, or ``..``; `where` starts the message.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise ConfigError(f"{where}: expected the name of a file in {folder}, got {str(name)[:80]!r}")
    return Path(folder) / name


def printable(text):
    """Return `text` with what could command a terminal, or turn the direction of writing, shown as a code."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def on_a_page(value):
    """Return what a template writes: of a text, what would turn or break the page is shown as a code.

    Everything else, and text that is markup of ours already, is returned as it is.
    """
    if type(value) is not str:
        return value
    return _TURNING.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), value)
