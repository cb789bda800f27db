"""A recipe with lists: ``[[case]]`` and ``[sweep]`` give cases, each an ordinary recipe in its own folder.

``[[case]]`` tables say what goes together (a composition with its force field and its defects); every key of
``[sweep]`` is a list, and each case is taken with each combination. Temperatures, replicas and counterfactual
variants are lists of the recipe itself. Nothing is run here.
"""

import copy
import itertools
import math
import re
from dataclasses import dataclass

from simtools.core.errors import ConfigError
from workflows import values as v
from workflows.recipe import Recipe, read_record, recipe_from_dict, set_value

__all__ = ["MOST_CASES", "Case", "read_cases"]

MOST_CASES = 10_000
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=,-]{0,99}")
_EXPECTED = "expected at most 100 letters, digits and any of _ . + = , -"
_OTHER = re.compile(r"[^A-Za-z0-9_.+=-]+")
_OWN_LISTS = {
    "md.temperatures_K": "give all of them in [md] temperatures_K",
    "md.replicas": "give their number in [md] replicas",
    "title": "name the cases with [[case]] name",
}


@dataclass(frozen=True)
class Case:
    """One case of a campaign: its name (empty where the recipe has no lists), settings and recipe."""

    name: str
    settings: dict
    recipe: Recipe


def read_cases(name_or_path, overrides=(), *, quick=False):
    """Read a recipe and expand its lists.

    Parameters
    ----------
    name_or_path, overrides, quick
        As for `workflows.recipe.read_recipe`; overrides hold for every case.

    Returns
    -------
    title : str
    cases : tuple of Case
        One with an empty name where the recipe has neither ``[[case]]`` nor ``[sweep]``.

    Raises
    ------
    ConfigError
        Naming the file, the key, the value and what was expected.
    """
    path, record, names = read_record(name_or_path, overrides, quick=quick)
    rows, lists = record.pop("case", None), record.pop("sweep", None)
    if rows is None and lists is None:
        recipe = recipe_from_dict(record, source=path, overrides=names)
        return recipe.title, (Case("", {}, recipe),)
    named = _named_rows(rows, path)
    axes = _axes(lists, path)
    n_cases = len(named) * math.prod(len(values) for _, values in axes)
    if n_cases > MOST_CASES:
        raise ConfigError(f"{path}: [sweep] makes {n_cases} cases, expected at most {MOST_CASES}")
    cases = {}
    for (name, row), chosen in itertools.product(
        named, itertools.product(*(_choices(axis) for axis in axes))
    ):
        settings = row | {key: value for key, value, _ in chosen}
        full = "_".join(part for part in (name, *(told for _, _, told in chosen)) if part)
        if not _NAME.fullmatch(full) or full.endswith("."):
            raise ConfigError(
                f"{path}: the case {full[:120]!r} needs another name, {_EXPECTED}; give [[case]] name"
            )
        if full in cases:
            raise ConfigError(f"{path}: two cases are called {full!r}; give each a name of its own")
        cases[full] = Case(full, settings, _recipe_of(record, settings, f"{path}: case {full}", path, names))
    folded = [name.lower() for name in cases]
    for name in cases:
        if folded.count(name.lower()) > 1:
            raise ConfigError(f"{path}: two cases are called {name!r} but for capitals; give other names")
    title = record.get("title")
    return title if isinstance(title, str) and title.strip() else path.stem, tuple(cases.values())


def _recipe_of(record, settings, told, path, names):
    changed = copy.deepcopy(record)
    for key, value in settings.items():
        set_value(changed, key, copy.deepcopy(value), f"{told}: {key}")
    try:
        return recipe_from_dict(changed, source=path, overrides=names)
    except ConfigError as error:
        told = ", ".join(f"{key[:80]} = {v.shown(value)}" for key, value in settings.items())[:400]
        raise ConfigError(f"{error} (case {told})") from error


def _named_rows(rows, path):
    if rows is None:
        return [("", {})]
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ConfigError(f"{path}: case = {v.shown(rows)}: expected [[case]], double brackets")
    found = []
    for number, row in enumerate(rows):
        row = dict(row)
        name = row.pop("name", f"case{number + 1}")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(f"{path}: [case.{number}] name = {v.shown(name)}: {_EXPECTED}")
        settings = dict(_flat(row))
        _refuse_own_lists(settings, f"{path}: [case.{number}]", ("title",))
        found.append((name, settings))
    names = [name for name, _ in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{path}: two [[case]] are called {name!r}; give each a name of its own")
    return found


def _axes(lists, path):
    if lists is None:
        return []
    if not isinstance(lists, dict):
        raise ConfigError(f"{path}: sweep = {v.shown(lists)}: expected a table [sweep] of lists")
    axes = list(_flat(lists))
    if not axes:
        raise ConfigError(f"{path}: [sweep] is empty: expected lists, such as md.pressure_GPa = [0, 1]")
    for key, values in axes:
        if not isinstance(values, list) or not values:
            raise ConfigError(
                f"{path}: [sweep] {key} = {v.shown(values)}: expected a list with something in it"
            )
    _refuse_own_lists(dict(axes), f"{path}: [sweep]", _OWN_LISTS)
    return axes


def _refuse_own_lists(settings, where, refused):
    for key in settings:
        if key in refused:
            raise ConfigError(f"{where} {key}: no list of cases; {_OWN_LISTS[key]}")


def _choices(axis):
    """Return (key, value, how the case's name tells it) of every value of an axis."""
    key, values = axis
    short = key.rpartition(".")[2]
    found = []
    for number, value in enumerate(values, 1):
        plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
        told = f"{value:g}" if isinstance(value, float) else str(value)
        found.append((key, value, f"{short}={_OTHER.sub('-', told)[:40] if plain else number}"))
    return found


def _flat(table, above=""):
    """Yield (dotted key, value): tables inside tables are joined, quoted keys with dots are taken whole."""
    for key, value in table.items():
        if isinstance(value, dict) and "." not in key:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
