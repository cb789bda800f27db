"""A run directory from someone else must not lead out of itself: no symbolic link is written through."""

import os
from pathlib import Path

from simtools.core.errors import ConfigError

__all__ = ["inside", "refuse_links"]


def refuse_links(*folders):
    """Refuse folders that hold a symbolic link to somewhere outside, or that are one.

    Looks at the folders themselves, their entries and the entries of their ``trajectory``, ``lease``,
    ``figures`` and ``results``.

    Raises
    ------
    ConfigError
        Naming the link and its target.
    """
    for folder in map(Path, folders):
        home = folder.resolve().parent if not folder.is_symlink() else folder.parent.resolve() / folder.name
        _check(folder, home)
        for name in ("trajectory", "lease", "figures", "results"):
            if (folder / name).is_dir():
                _check(folder / name, home)


def _check(folder, home):
    paths = [folder, *folder.iterdir()] if folder.is_dir() else [folder]
    for path in paths:
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise ConfigError(
                f"{path}: a symbolic link to {os.readlink(path)}, out of the run directory; nothing is "
                "written through it: replace it by what it points to, or remove it"
            )


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
