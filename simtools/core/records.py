"""Records that somebody else may have written: every value is of the kind that its readers take it for."""

import math

from simtools.core.errors import ConfigError

__all__ = [
    "check_done",
    "check_kinds",
    "check_lengths",
    "check_spec",
    "check_system",
    "is_number",
    "is_whole",
]


def is_number(value):
    """Return whether `value` is a finite number that double precision holds, and no truth value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= 1e300 if isinstance(value, int) else math.isfinite(value)


def is_whole(value):
    """Return whether `value` is a whole number of at most 18 digits, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18


def _is_text(value):
    return isinstance(value, str)


def _is_table(value):
    return isinstance(value, dict)


def _are_texts(value):
    return isinstance(value, list) and all(map(_is_text, value))


def _are_numbers(value):
    return isinstance(value, list) and all(map(is_number, value))


def _are_tables(value):
    return isinstance(value, list) and all(map(_is_table, value))


def _are_numbers_by_name(value):
    return isinstance(value, dict) and all(map(is_number, value.values()))


_WORDS = {
    _is_text: "a text",
    _is_table: "a table",
    _are_texts: "a list of texts",
    _are_numbers: "a list of numbers",
    _are_tables: "a list of tables",
    _are_numbers_by_name: "a table of numbers",
    is_number: "a number",
    is_whole: "a whole number",
}
_POTENTIAL = {name: _is_text for name in ("name", "calculator", "sha256", "engine", "version", "description")}
_SYSTEM = {
    "formula": _is_text,
    "prototype": _is_text,
    "n_atoms": is_whole,
    "composition": _are_numbers_by_name,
    "n_defects": is_whole,
    "net_charge_e": is_number,
    "formal_charges_e": _are_numbers_by_name,
    "hop_length_A": is_number,
    "host": _are_texts,
    "potential": _is_table,
    "start_lattice_parameter_A": is_number,
}
_SPEC = {"role": _is_text, "temperature_K": is_number, "replica": is_whole, "inputs": _is_table}
_INPUTS = dict.fromkeys(("md", "potential", "seeds", "cell", "structure"), _is_table)
_OUTCOME = {
    "defects": _are_tables,
    "n_steps": is_whole,
    "wall_s": is_number,
    "mean_temperature_K": is_number,
    "mean_volume_A3": is_number,
    "engine": _is_table,
    "composition": _is_table,
}
_NEEDED = ("n_atoms", "composition", "net_charge_e", "host", "potential")


def check_kinds(record, kinds, where, *, needed=()):
    """Refuse a record with a value of another kind; null stands for a value that is not there.

    Parameters
    ----------
    record
        Parsed JSON or TOML.
    kinds
        {key: function that says whether a value fits}.
    where
        Starts the message: the file, and the place in it.
    needed
        Keys that must be there.

    Raises
    ------
    ConfigError
        Naming `where`, the key and what was expected.
    """
    if not isinstance(record, dict):
        raise ConfigError(f"{where}: damaged: expected a table, got a {type(record).__name__}")
    for name in needed:
        if record.get(name) is None:
            raise ConfigError(f"{where}: damaged: {name} is missing")
    for name, fits in kinds.items():
        value = record.get(name)
        if value is not None and not fits(value):
            what = _WORDS.get(fits, "another kind of value")
            raise ConfigError(f"{where}: damaged: {name}: expected {what}, got {str(value)[:40]!r}")


def check_system(record, where, *, needed=_NEEDED):
    """Refuse a description of a simulated system (``system.json``) that its readers would trip over.

    Raises
    ------
    ConfigError
        As `check_kinds`.
    """
    check_kinds(record, _SYSTEM, where, needed=needed)
    potential = record.get("potential") or {}
    check_kinds(potential, _POTENTIAL, f"{where}: potential")
    weak = potential.get("low_confidence") or []
    if not isinstance(weak, list):
        raise ConfigError(f"{where}: potential: damaged: low_confidence: expected a list of tables")
    for row in weak:
        check_kinds(row, {"subject": _is_text, "confidence": _is_text}, f"{where}: potential: low_confidence")


def check_spec(record, where):
    """Refuse the ``spec.json`` of a point that its readers would trip over; raises as `check_kinds`."""
    check_kinds(record, _SPEC, where, needed=("role", "temperature_K", "replica"))
    check_kinds(record.get("inputs") or {}, _INPUTS, f"{where}: inputs")


def check_done(record, where):
    """Refuse the ``done.json`` of a point that its readers would trip over; raises as `check_kinds`."""
    check_kinds(record, {"outcome": _is_table, "provenance": _is_table}, where)
    outcome = record.get("outcome") or {}
    check_kinds(outcome, _OUTCOME, f"{where}: outcome")
    check_kinds(outcome.get("engine") or {}, {"threads": is_whole}, f"{where}: outcome: engine")


def check_lengths(record, where):
    """Refuse a recipe's [md] without numbers where points are counted; raises as `check_kinds`."""
    check_kinds(record, {"replicas": is_whole, "temperatures_K": _are_numbers}, where)
