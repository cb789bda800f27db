"""What a job asks Slurm for: [slurm] of the recipe, a file of the user's, and what they mean together.

A recipe may come from somebody else, so its table holds plain words and numbers only. Lines of shell and
further options of sbatch are taken from the user's own files alone.
"""

import os
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from simtools.core.errors import ConfigError
from simtools.core.files import read_text
from workflows import values as v

__all__ = ["SlurmFileTable", "SlurmSettings", "SlurmTable", "read_slurm_settings", "user_file"]

_WORD = re.compile(r"[A-Za-z0-9_.,:+@=&|*()\[\]-]{1,200}")
_OPTION = re.compile(r"[a-z][a-z-]{0,40}")
_OURS = frozenset(
    "array chdir comment cpus-per-task dependency error job-name mem nodes ntasks open-mode output parsable "
    "requeue no-requeue signal time wait wrap".split()
)
_SHORTEST_LEAD_S, _LONGEST_LEAD_S, _LEAD_SHARE = 10, 300, 0.2


def _is_word(value):
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def _is_shell(value):
    return isinstance(value, list) and bool(value) and all(_is_line(item) for item in value)


def _is_line(value):
    return isinstance(value, str) and len(value.splitlines()) == 1


def _are_options(value):
    return isinstance(value, dict) and all(
        _OPTION.fullmatch(name) and name not in _OURS and (text is True or _is_word(text))
        for name, text in value.items()
    )


_WORDS = v.checked("one word of letters, digits and _ . , : + @ = & | * ( ) [ ] -", _is_word)
_SHELL = v.checked('a list of lines of shell such as ["module load python/3.11"]', _is_shell, tuple)
_OPTIONS = v.checked(
    'a table of long options of sbatch that have no key of their own, such as { gres = "gpu:1" }',
    _are_options,
)


@dataclass(frozen=True, kw_only=True)
class SlurmTable:
    """[slurm] of a recipe: what every job of the campaign asks for; one job runs one point."""

    partition: str | None = v.key(_WORDS, default=None)
    account: str | None = v.key(_WORDS, default=None)
    qos: str | None = v.key(_WORDS, default=None)
    constraint: str | None = v.key(_WORDS, default=None)
    time_limit_min: int | None = v.key(v.whole(1, 527_040), default=None)
    memory_GB: float | None = v.key(v.number(0.01, 100_000, "GB"), default=None)
    cpus_per_task: int | None = v.key(v.whole(1, 4096), default=None)
    signal_lead_s: int | None = v.key(v.whole(1, 86_400), default=None)
    max_concurrent: int | None = v.key(v.whole(1, 1_000_000), default=None)


@dataclass(frozen=True, kw_only=True)
class SlurmFileTable(SlurmTable):
    """[slurm] of a file of the user's: the keys of a recipe, and what only the user may say."""

    setup: tuple[str, ...] | None = v.key(_SHELL, default=None)
    options: dict | None = v.key(_OPTIONS, default=None)


@dataclass(frozen=True, kw_only=True)
class SlurmSettings:
    """What is asked for when every source has been read.

    Attributes
    ----------
    time_limit_min
        Wall time of one job, minutes. A point that needs longer is requeued as often as it takes.
    signal_lead_s
        How long before the limit the point is told to write a checkpoint, s. Slurm's own signal may come up
        to 60 s earlier.
    max_concurrent
        Most points in the queue at a time, pending or running; None for all of them.
    setup
        Lines of shell before Python starts.
    options
        {long option of sbatch: value, or True for a flag}.
    mpi_ranks
        Tasks of one job, each with `cpus_per_task`: the ranks of an engine that runs under MPI.
    """

    time_limit_min: int
    signal_lead_s: int
    cpus_per_task: int = 1
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    memory_GB: float | None = None
    max_concurrent: int | None = None
    setup: tuple[str, ...] = ()
    options: dict | None = None
    mpi_ranks: int = 1

    @property
    def memory_MB(self):
        """Memory of one job in whole MB, or None to leave it to the site."""
        return None if self.memory_GB is None else max(1, round(1024 * self.memory_GB))

    def sbatch_options(self):
        """Return {long option: value} of everything but names, files and the array."""
        asked = {
            "time": self.time_limit_min,
            "signal": f"B:USR1@{self.signal_lead_s}",
            "requeue": True,
            "nodes": 1,
            "ntasks": self.mpi_ranks,
            "cpus-per-task": self.cpus_per_task,
            "mem": None if self.memory_MB is None else f"{self.memory_MB}M",
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "open-mode": "append",
            **(self.options or {}),
        }
        return {name: value for name, value in asked.items() if value is not None}


def user_file():
    """Return where a user's own defaults are looked for: ``$XDG_CONFIG_HOME/simtools/slurm.toml``."""
    home = os.environ.get("XDG_CONFIG_HOME")
    base = Path(home) if home and Path(home).is_absolute() else Path.home() / ".config"
    return base / "simtools" / "slurm.toml"


def read_slurm_settings(table=None, *, file=None, max_concurrent=None, mpi_ranks=1):
    """Return the `SlurmSettings` from, in rising order: the user's defaults, the recipe, `file`.

    Parameters
    ----------
    table
        The `SlurmTable` of a recipe, or None.
    file
        TOML file with a table [slurm], or None. Unlike the user's defaults it must exist.
    max_concurrent
        Replaces that key of every source.
    mpi_ranks
        Of the potential's engine.

    Raises
    ------
    ConfigError
        For a file or key that cannot be meant, or when no source gives the time limit.
    """
    values = {}
    if user_file().is_file():
        values.update(_given(_read_file(user_file())))
    if table is not None:
        values.update(_given(table))
    if file is not None:
        values.update(_given(_read_file(Path(file))))
    if max_concurrent is not None:
        if max_concurrent < 1:
            raise ConfigError(f"--max-concurrent {max_concurrent}: expected a whole number above 0")
        values["max_concurrent"] = max_concurrent
    if "time_limit_min" not in values:
        raise ConfigError(
            "[slurm] time_limit_min is not given: put it in the recipe, in a file for --slurm, or in "
            f"{user_file()} (whole minutes; a point that needs longer is requeued)"
        )
    limit_s = 60 * values["time_limit_min"]
    lead_s = values.setdefault("signal_lead_s", _default_lead_s(limit_s))
    if 2 * lead_s > limit_s:
        raise ConfigError(
            f"[slurm] signal_lead_s = {lead_s}: expected at most half of time_limit_min, {limit_s // 2} s"
        )
    return SlurmSettings(**values, mpi_ranks=mpi_ranks)


def _default_lead_s(limit_s):
    return int(min(_LONGEST_LEAD_S, max(_SHORTEST_LEAD_S, _LEAD_SHARE * limit_s)))


def _given(table):
    pairs = ((item.name, getattr(table, item.name)) for item in fields(table))
    return {name: value for name, value in pairs if value is not None}


def _read_file(path):
    try:
        record = tomllib.loads(read_text(path))
    except OSError as error:
        raise ConfigError(f"--slurm {path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    for name in record:
        if name != "slurm":
            raise ConfigError(f"{path}: no table or key {name!r}; expected one table [slurm]")
    return v.read_table(SlurmFileTable, record.get("slurm", {}), where="slurm", source=path)
