"""What one value of a recipe may be: its type, its range, and how to say so. The tables: recipe_tables.py."""

import difflib
import math
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from simtools.core.errors import ConfigError

__all__ = [
    "ValueKind",
    "anion_list",
    "checked",
    "choice",
    "choice_or_whole",
    "flag",
    "ion_list",
    "key",
    "named_texts",
    "number",
    "number_or_numbers",
    "numbers",
    "one_or_more",
    "read_table",
    "species",
    "species_charges",
    "species_list",
    "species_masses",
    "suggestion",
    "text",
    "texts",
    "three_whole_numbers",
    "whole",
    "whole_numbers",
]

_SYMBOL = re.compile(r"[A-Z][a-z]?[0-9]?")
_ION = re.compile(r"[A-Z][a-z]?[0-9]?|OH")
_ANION = re.compile(r"[A-Z][a-z]?([A-Z][a-z]?[0-9]*)+")
_MISFIT = object()


@dataclass(frozen=True)
class ValueKind:
    """A kind of value: `read` returns the value in its final type, or `_MISFIT`."""

    expected: str
    read: Callable[[Any], Any]


def key(kind, *, default=MISSING):
    """Declare a key of a recipe table: a dataclass field that knows which values it takes."""
    return field(metadata={"kind": kind}, **({} if default is MISSING else {"default": default}))


def checked(expected, fits, convert=None):
    """Return the kind of a value for which ``fits(value)``, turned into its final type by `convert`."""

    def read(value):
        if not fits(value):
            return _MISFIT
        return value if convert is None else convert(value)

    return ValueKind(expected, read)


def text(longest=1000):
    """Return the kind of a string with something in it, of at most `longest` characters."""
    return ValueKind(
        f"a text in quotes, at most {longest} characters",
        lambda value: (
            value if isinstance(value, str) and value.strip() and len(value) <= longest else _MISFIT
        ),
    )


def texts():
    """Return the kind of a list of different texts, at least one."""

    def read(value):
        if not isinstance(value, list) or not value or not all(_is_text(item) for item in value):
            return _MISFIT
        return tuple(value) if len(set(value)) == len(value) else _MISFIT

    return ValueKind("a list of different texts, each in quotes", read)


def named_texts():
    """Return the kind of a table from names to texts, kept in its order."""

    def read(value):
        if not isinstance(value, dict) or not value or not all(_is_text(item) for item in value.values()):
            return _MISFIT
        return dict(value)

    return ValueKind('a table of texts such as { LiCl = "rocksalt" }', read)


def whole_numbers(low, high):
    """Return the kind of a list of different whole numbers from `low` to `high`, at least one."""
    one = whole(low, high)

    def read(value):
        if not isinstance(value, list) or not value:
            return _MISFIT
        items = tuple(one.read(item) for item in value)
        return _MISFIT if _MISFIT in items or len(set(items)) != len(items) else items

    return ValueKind(f"a list of different whole numbers from {low} to {high}", read)


def choice(*names):
    """Return the kind of a string out of a few."""
    listed = " or ".join(repr(name) for name in names)
    return ValueKind(listed, lambda value: value if isinstance(value, str) and value in names else _MISFIT)


def flag():
    """Return the kind of true or false."""
    return ValueKind("true or false", lambda value: value if isinstance(value, bool) else _MISFIT)


def whole(low, high):
    """Return the kind of a whole number from `low` to `high`."""
    return ValueKind(
        f"a whole number from {low} to {high}",
        lambda value: value if _is_whole(value) and low <= value <= high else _MISFIT,
    )


def number(low, high, unit="", *, above=False):
    """Return the kind of a number from `low` (or above it) to `high`."""
    span = f"above {low:g} and at most {high:g}" if above else f"from {low:g} to {high:g}"
    return ValueKind(f"a number {span} {unit}".rstrip(), lambda value: _number(value, low, high, above))


def numbers(low, high, unit="", *, above=False):
    """Return the kind of a list of different numbers, at least one."""
    one = number(low, high, unit, above=above)

    def read(value):
        if not isinstance(value, list) or not value:
            return _MISFIT
        items = tuple(one.read(item) for item in value)
        return _MISFIT if _MISFIT in items or len(set(items)) != len(items) else items

    return ValueKind(f"a list of different numbers, each {one.expected.removeprefix('a number ')}", read)


def number_or_numbers(low, high, unit="", *, above=False):
    """Return the kind of one number or a list of them (repeats allowed)."""
    one = number(low, high, unit, above=above)

    def read(value):
        if isinstance(value, list):
            items = tuple(one.read(item) for item in value)
            return _MISFIT if not items or _MISFIT in items else items
        return one.read(value)

    return ValueKind(f"{one.expected}, or a list of such numbers (one per temperature)", read)


def one_or_more(low, high, unit="", *, above=False):
    """Return the kind of one number or a list of different ones."""
    one, several = number(low, high, unit, above=above), numbers(low, high, unit, above=above)
    return ValueKind(
        f"{one.expected}, or a list of different ones",
        lambda value: several.read(value) if isinstance(value, list) else one.read(value),
    )


def three_whole_numbers(low, high):
    """Return the kind of a list of three whole numbers."""
    one = whole(low, high)

    def read(value):
        if not isinstance(value, list) or len(value) != 3:
            return _MISFIT
        items = tuple(one.read(item) for item in value)
        return _MISFIT if _MISFIT in items else items

    return ValueKind(f"a list of three whole numbers from {low} to {high}", read)


def species():
    """Return the kind of one species label."""
    return ValueKind(
        'a species such as "Li"',
        lambda value: value if isinstance(value, str) and _SYMBOL.fullmatch(value) else _MISFIT,
    )


def species_list(pattern=_SYMBOL, example='["Li"] or ["Li", "Cl"]'):
    """Return the kind of a list of species labels; repeats count."""

    def read(value):
        fits = isinstance(value, list) and value
        fits = fits and all(isinstance(item, str) and pattern.fullmatch(item) for item in value)
        return tuple(value) if fits else _MISFIT

    return ValueKind(f"a list of species such as {example}", read)


def ion_list():
    """Return the kind of a list of ions that a defect consists of: elements, or the hydroxide ``OH``."""
    return species_list(_ION, '["Li"], ["Mg"], ["Li", "Cl"] or ["OH"]')


def anion_list():
    """Return the kind of a list of cluster anions, central atom first."""
    return species_list(_ANION, '["OH"] or ["BH4", "NO2"], central atoms first')


def choice_or_whole(*names, low, high):
    """Return the kind of a string out of a few, or a whole number from `low` to `high`."""
    word, count = choice(*names), whole(low, high)

    def read(value):
        return word.read(value) if isinstance(value, str) else count.read(value)

    return ValueKind(f"{word.expected} or {count.expected}", read)


def species_charges():
    """Return the kind of a table from species to whole formal charges."""
    one, charge_e = species(), whole(-20, 20)

    def read(value):
        if not isinstance(value, dict) or not value:
            return _MISFIT
        if any(_MISFIT in (one.read(name), charge_e.read(charge)) for name, charge in value.items()):
            return _MISFIT
        return dict(sorted(value.items()))

    return ValueKind("a table of whole charges in e such as { Li = 1, O = -2, Cl = -1 }", read)


def options():
    """Return the kind of a table of plain TOML values, tables and lists in it allowed."""

    def plain(value, depth=0):
        if depth > 5:
            return False
        if isinstance(value, dict):
            return all(_is_text(name) and plain(item, depth + 1) for name, item in value.items())
        if isinstance(value, list):
            return all(plain(item, depth + 1) for item in value)
        return isinstance(value, (bool, str, int)) or (isinstance(value, float) and math.isfinite(value))

    def read(value):
        return value if isinstance(value, dict) and value and plain(value) else _MISFIT

    return ValueKind('a table of plain values such as { device = "cpu" }', read)


def species_masses():
    """Return the kind of a table from species to masses."""
    one, mass_amu = species(), number(0, 10_000, "amu", above=True)

    def read(value):
        if not isinstance(value, dict) or not value:
            return _MISFIT
        if any(_MISFIT in (one.read(name), mass_amu.read(mass)) for name, mass in value.items()):
            return _MISFIT
        return {name: mass_amu.read(mass) for name, mass in sorted(value.items())}

    return ValueKind("a table of masses in amu such as { H = 2.014 }", read)


def suggestion(name, known):
    """Return ``; did you mean 'x'?`` for the nearest of `known`, or the whole list when none is near."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(known))}"


def read_table(cls, table, *, where, source, overrides=()):
    """Build the dataclass `cls` from one TOML table.

    Parameters
    ----------
    cls
        Dataclass whose fields were declared with `key`.
    table
        The parsed table.
    where
        Its name in the recipe: ``md``, ``defects.0``.
    source
        File name for messages.
    overrides
        Dotted names that came from ``--set``: a message about one of them says so.

    Raises
    ------
    ConfigError
        For an unknown key (with the nearest known one), a missing key, a wrong type or range.
    """
    if not isinstance(table, dict):
        raise ConfigError(f"{source}: {where} = {shown(table)}: expected a table [{where}]")
    known = {item.name: item.metadata["kind"] for item in fields(cls)}
    values = {}
    for name, value in table.items():
        origin = "--set" if f"{where}.{name}" in overrides else source
        if name not in known:
            raise ConfigError(f"{origin}: [{where}] has no key {name!r}{suggestion(name, known)}")
        read = known[name].read(value)
        if read is _MISFIT:
            raise ConfigError(f"{origin}: [{where}] {name} = {shown(value)}: expected {known[name].expected}")
        values[name] = read
    for item in fields(cls):
        if item.name not in values and item.default is MISSING:
            raise ConfigError(f"{source}: [{where}] needs {item.name}: {known[item.name].expected}")
    return cls(**values)


def shown(value):
    """Return `value` as the user would recognise it, in at most 80 characters."""
    try:
        written = repr(value).replace("\n", " ")
    except ValueError:
        return "a number of thousands of digits"
    return written if len(written) <= 80 else written[:76] + " ..."


def _is_whole(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value):
    return isinstance(value, str) and bool(value.strip()) and len(value) <= 1000


def _number(value, low, high, above):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return _MISFIT
    if not (low < value if above else low <= value) or value > high:
        return _MISFIT
    return float(value)
