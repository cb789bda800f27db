"""The recipe: one TOML file, read into frozen tables that are checked on arrival.

The tables are in recipe_tables.py; what a recipe means for atoms and forces is in systems.py and forces.py;
what it means for runs in statepoints.py.
"""

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from simtools.core.errors import ConfigError
from workflows import values as v
from workflows.counterfactual_tables import CounterfactualTable, read_counterfactuals
from workflows.quick import take_quick
from workflows.recipe_tables import (
    AnalysisTable,
    DefectTable,
    MDTable,
    PotentialTable,
    StructureTable,
    check_analysis,
    check_defect,
    check_potential,
    resolved_md,
    table_to_dict,
)
from workflows.safety import refuse_deep
from workflows.slurm_settings import SlurmTable
from workflows.static_tables import EnergeticsTable, HopTable, check_hop

__all__ = [
    "Recipe",
    "find_recipe",
    "list_recipes",
    "read_lists",
    "read_recipe",
    "read_record",
    "read_title",
    "recipe_from_dict",
    "set_value",
    "to_toml",
]

_SHIPPED = Path(__file__).parent / "recipes"
_OPTIONAL_TABLES = {"energetics": EnergeticsTable, "slurm": SlurmTable}
_LISTS = {"defects": (DefectTable, check_defect), "hops": (HopTable, check_hop)}
_BARE_WORD = re.compile(r"[A-Za-z0-9_.+/-]+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One simulation campaign; `source` is the file it came from, for messages."""

    title: str
    structure: StructureTable
    defects: tuple[DefectTable, ...]
    potential: PotentialTable
    md: MDTable
    analysis: AnalysisTable
    source: Path
    energetics: EnergeticsTable | None = None
    slurm: SlurmTable | None = None
    hops: tuple[HopTable, ...] = ()
    counterfactual: tuple[CounterfactualTable, ...] = ()

    def to_dict(self):
        """Return the resolved recipe as TOML-able data: every default spelt out, absent keys left out."""
        record = {"title": self.title}
        record["structure"] = table_to_dict(self.structure)
        if self.defects:
            record["defects"] = [table_to_dict(defect) for defect in self.defects]
        for name in ("potential", "md", "analysis", *_OPTIONAL_TABLES):
            if getattr(self, name) is not None:
                record[name] = table_to_dict(getattr(self, name))
        if self.hops:
            record["hops"] = [table_to_dict(hop) for hop in self.hops]
        if self.counterfactual:
            record["counterfactual"] = [table_to_dict(table) for table in self.counterfactual]
        return record


def list_recipes():
    """Return {name: path} of the recipes shipped with the package."""
    return {path.stem: path for path in sorted(_SHIPPED.glob("*.toml"))}


def find_recipe(name_or_path):
    """Return the path of a recipe file, or of a shipped recipe by its name."""
    path = Path(name_or_path)
    try:
        if path.is_file():
            return path
    except OSError as error:
        raise ConfigError(f"recipe file {v.shown(str(path))}: {error.strerror}") from error
    shipped = list_recipes()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    raise ConfigError(f"no recipe file {str(name_or_path)!r}{v.suggestion(name_or_path, shipped)}")


def read_recipe(name_or_path, overrides=(), *, quick=False):
    """Read and check a recipe.

    Parameters
    ----------
    name_or_path
        A TOML file, or the name of a shipped recipe.
    overrides
        ``table.key=value`` texts from ``--set``; values are TOML, plain words may go unquoted.
    quick
        Take the short form, with the changes of the table [quick]; `overrides` come after it.

    Raises
    ------
    ConfigError
        Naming the file, the key, the value and what was expected.
    """
    path, record, names = read_record(name_or_path, overrides, quick=quick)
    return recipe_from_dict(record, source=path, overrides=names)


def read_record(name_or_path, overrides=(), *, quick=False):
    """Return path and parsed TOML of a recipe, its [quick] table applied if `quick` and gone otherwise.

    `overrides` are applied after that; the third item returned are the names that they set.
    """
    path = find_recipe(name_or_path)
    try:
        record = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a UTF-8 text file ({error.reason} at byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    refuse_deep(record, path)
    record = take_quick(record, source=path, wanted=quick)
    return path, record, [_apply_override(record, override) for override in overrides]


def recipe_from_dict(record, *, source, overrides=()):
    """Build a `Recipe` from parsed TOML, resolve its defaults and check its keys against each other."""
    tables = {
        "structure": StructureTable,
        "potential": PotentialTable,
        "md": MDTable,
        "analysis": AnalysisTable,
        **_OPTIONAL_TABLES,
    }
    title = read_title(record, source, known=("title", "counterfactual", *_LISTS, *tables))
    read = {}
    for name, cls in tables.items():
        if name not in record:
            if name in _OPTIONAL_TABLES:
                continue
            raise ConfigError(f"{source}: the table [{name}] is missing")
        read[name] = v.read_table(cls, record[name], where=name, source=source, overrides=overrides)
    read.update(read_lists(record, source, overrides))
    check_potential(read["potential"], source)
    read["md"] = resolved_md(read["md"], set(record["md"]), source)
    check_analysis(read["analysis"], source)
    read["counterfactual"] = read_counterfactuals(
        record.get("counterfactual", []), read, source=source, overrides=overrides
    )
    return Recipe(title=title, source=Path(source), **read)


def read_title(record, source, *, known):
    """Return the title, the file's stem by default, after refusing keys at the top that are not `known`."""
    for name in record:
        if name not in known:
            raise ConfigError(f"{source}: no table or key {name!r}{v.suggestion(name, known)}")
    title = record.get("title", Path(source).stem)
    if not isinstance(title, str) or not title.strip():
        raise ConfigError(f"{source}: title = {v.shown(title)}: expected a text in quotes")
    return title


def read_lists(record, source, overrides):
    """Return {name: tuple of checked rows} of the lists of tables, [[defects]] and [[hops]]."""
    read = {}
    for name, (cls, check) in _LISTS.items():
        rows = record.get(name, [])
        if not isinstance(rows, list):
            raise ConfigError(f"{source}: {name} = {v.shown(rows)}: expected [[{name}]], double brackets")
        read[name] = tuple(
            v.read_table(cls, row, where=f"{name}.{i}", source=source, overrides=overrides)
            for i, row in enumerate(rows)
        )
        for i, row in enumerate(read[name]):
            check(row, where=f"{source}: [{name}.{i}]")
    return read


def _apply_override(record, override):
    """Set one ``table.key=value`` in `record`; return its dotted name."""
    name, equals, written = override.partition("=")
    name, written = name.strip(), written.strip()
    if not equals or not name or not written:
        raise ConfigError(f"--set {override!r}: expected table.key=value, such as md.replicas=4")
    if not override.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in override):
        raise ConfigError(f"--set {override!r}: not UTF-8 text")
    try:
        parsed = tomllib.loads(f"value = {written}")
    except (ValueError, RecursionError) as error:
        if not _BARE_WORD.fullmatch(written):
            raise ConfigError(f"--set {override!r}: the value is not TOML: {error}") from error
        parsed = {"value": written}
    if set(parsed) != {"value"}:
        raise ConfigError(f"--set {override!r}: expected one value")
    set_value(record, name, parsed["value"], f"--set {override!r}")
    return name


def set_value(record, name, value, told):
    """Set the value called `name` (dotted; list items by number) in a parsed recipe; `told` starts errors."""
    *path, last = name.split(".")
    place = record
    for part in path:
        place = _entered(place, part, told)
    if isinstance(place, list):
        _entered(place, last, told)
        place[int(last)] = value
    else:
        place[last] = value


def _entered(place, part, told):
    """Return the table or list item `part` of `place`, creating an absent table."""
    if isinstance(place, list):
        if not part.isdecimal() or int(part) > len(place):
            raise ConfigError(f"{told}: {part!r} must be a number from 0 to {len(place)}")
        if int(part) == len(place):
            place.append({})
        entered = place[int(part)]
    else:
        entered = place.setdefault(part, [] if part in ("defects", "hops", "counterfactual") else {})
    if not isinstance(entered, (dict, list)):
        raise ConfigError(f"{told}: {part!r} is a value, not a table")
    return entered


def to_toml(record):
    """Return TOML text for a recipe's dictionary (tables of plain values, lists of tables, one level)."""
    lines, tables = [], []
    for name, value in record.items():
        if isinstance(value, dict):
            tables.append((f"[{name}]", value))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            tables.extend((f"[[{name}]]", row) for row in value)
        else:
            lines.append(f"{name} = {_toml_value(value)}")
    for header, table in tables:
        lines += ["", header, *(f"{name} = {_toml_value(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


def _toml_value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml_key(k)} = {_toml_value(item)}" for k, item in value.items()) + " }"
    return "[" + ", ".join(_toml_value(item) for item in value) + "]"


def _toml_key(name):
    return name if _BARE_KEY.fullmatch(name) else _toml_value(name)
