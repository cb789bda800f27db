"""Tables of a force-field file, read value by value: kind, range, source and confidence mark of each."""

from __future__ import annotations

import difflib
import math

from potentials.force_field import CONFIDENCE_MARKS, ForceFieldError, Parameter

__all__ = ["TableReader", "suggestion"]


def suggestion(word: str, known) -> str:
    """Return "; did you mean 'x'?" for the closest of the known words, or nothing."""
    close = difflib.get_close_matches(word, [str(entry) for entry in known], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


class TableReader:
    """Reads values from the TOML tables of one file; every complaint carries the file and the table."""

    def __init__(self, data: dict, path: str):
        self.data, self.path = data, path
        self.references: dict = {}
        self.parameters: list[Parameter] = []

    def fail(self, where: str, problem: str):
        """Refuse the file: `where` is the table, `problem` what is wrong and what was expected."""
        raise ForceFieldError(f"{self.path}: {where}: {problem}")

    def check_keys(self, table, known, where: str):
        """Refuse what is no table, or a table with a key that is not `known`."""
        if not isinstance(table, dict):
            self.fail(where, f"expected a table, got {table!r}")
        for key in sorted(set(table) - set(known)):
            hint = suggestion(key, known)
            self.fail(where, f"unknown key {key!r}{hint}; known: {', '.join(known)}")

    def get(self, table: dict, key: str, where: str):
        """Return the value of a key that must be there."""
        if key not in table:
            self.fail(where, f"key {key!r} is missing")
        return table[key]

    def text(self, table: dict, key: str, where: str) -> str:
        """Return the value of a key that must be a text."""
        value = self.get(table, key, where)
        if not isinstance(value, str) or not value.strip():
            self.fail(where, f"{key} = {value!r} must be a non-empty string")
        return value

    def number(self, table: dict, key: str, where: str) -> float:
        """Return the value of a key that must be a finite number."""
        value = self.get(table, key, where)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(where, f"{key} = {value!r} must be a number")
        if not math.isfinite(value):
            self.fail(where, f"{key} = {value!r} must be a finite number")
        return float(value)

    def positive(self, table: dict, key: str, where: str) -> float:
        """Return the value of a key that must be a number above 0."""
        value = self.number(table, key, where)
        if value <= 0:
            self.fail(where, f"{key} = {value:g} must be greater than 0")
        return value

    def rows(self, key: str) -> list:
        """Return the rows of the array of tables `key`, none by default."""
        rows = self.data.get(key, [])
        if not isinstance(rows, list):
            self.fail(key, f"expected an array of tables, written [[{key}]], got {rows!r}")
        return rows

    def source(self, table: dict, where: str) -> str:
        """Return the source of a table: a key of [references]."""
        key = self.text(table, "source", where)
        if key not in self.references:
            hint = suggestion(key, self.references)
            self.fail(where, f"source = {key!r} names no entry of [references]{hint}")
        return key

    def mark(self, value, where: str) -> str:
        """Return a confidence mark, one of `CONFIDENCE_MARKS`."""
        if not isinstance(value, str) or value not in CONFIDENCE_MARKS:
            self.fail(
                where, f"confidence = {value!r} must be one of {', '.join(map(repr, CONFIDENCE_MARKS))}"
            )
        return value

    def parameter_marks(self, row: dict, names, where: str) -> dict[str, str]:
        """Return {name: confidence mark}: one for all parameters of a row, or a table of them."""
        given = self.get(row, "confidence", where)
        if isinstance(given, dict):
            self.check_keys(given, tuple(names), f"{where} confidence")
            return {name: self.mark(self.get(given, name, f"{where} confidence"), where) for name in names}
        return dict.fromkeys(names, self.mark(given, where))

    def note(self, table: dict, where: str) -> str:
        """Return the note of a table, empty by default."""
        return self.text(table, "note", where) if "note" in table else ""

    def sourced(self, table: dict, key: str, symbol: str, group: str, unit: str, where: str = "") -> float:
        """Return a number given with its source and confidence, and keep it among `parameters`."""
        where = where or f"[species.{symbol}]"
        entry = self.get(table, key, where)
        where = f"{where} {key}"
        self.check_keys(entry, ("value", "source", "confidence", "note"), where)
        value = self.number(entry, "value", where)
        mark = self.mark(self.get(entry, "confidence", where), where)
        source, note = self.source(entry, where), self.note(entry, where)
        self.parameters.append(Parameter(symbol, group, key, value, unit, source, mark, note))
        return value
