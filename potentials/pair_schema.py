"""Pair terms of a force-field file: read, checked, sourced. The rest of the file: schema.py."""

from __future__ import annotations

import itertools
from dataclasses import fields

from potentials.force_field import PairTerm, Parameter, sorted_pair
from potentials.forms import FORMS, Tabulated
from potentials.table_reader import suggestion

__all__ = ["check_every_pair", "read_no_interaction", "read_pairs"]

SHORTEST_TABLE_POINTS = 4
LENGTHS = ("rho", "sigma", "a", "r0")  # lengths and inverse lengths: greater than 0
STRENGTHS = ("A", "C", "D", "epsilon")  # each form states its sign, so none is negative


def read_pairs(reader, species, cutoff_A: float):
    """Return {pair: its terms} of the tables of every form, pairs in alphabetical order of species."""
    pairs: dict[tuple[str, str], tuple[PairTerm, ...]] = {}
    for kind, form_class in FORMS.items():
        names = tuple(f.name for f in fields(form_class))
        for index, row in enumerate(reader.rows(kind)):
            where = f"[[{kind}]] entry {index + 1}"
            reader.check_keys(row, ("pair", *names, "source", "confidence", "note"), where)
            pair = _pair(reader, row, where, species)
            where = f"[[{kind}]] {pair[0]}-{pair[1]}"
            if any(term.kind == kind for term in pairs.get(pair, ())):
                reader.fail(where, "this pair is given twice with the same form")
            pairs[pair] = (*pairs.get(pair, ()), _term(reader, kind, pair, row, where, cutoff_A))
    return pairs


def read_no_interaction(reader, species) -> dict[tuple[str, str], str]:
    """Return {pair: reason} of the pairs declared to have no term."""
    absent: dict[tuple[str, str], str] = {}
    for index, row in enumerate(reader.rows("no_interaction")):
        where = f"[[no_interaction]] entry {index + 1}"
        reader.check_keys(row, ("pair", "reason", "source", "confidence"), where)
        pair = _pair(reader, row, where, species)
        where = f"[[no_interaction]] {pair[0]}-{pair[1]}"
        if pair in absent:
            reader.fail(where, "this pair is given twice")
        absent[pair] = reader.text(row, "reason", where)
        mark = reader.mark(reader.get(row, "confidence", where), where)
        reader.parameters.append(
            Parameter(
                "-".join(pair),
                "no pair term",
                "V",
                0.0,
                "eV",
                reader.source(row, where),
                mark,
                absent[pair],
            )
        )
    return absent


def check_every_pair(reader, species, pairs, absent):
    """Refuse a pair of species with no term and no reason for that, or with both."""
    for pair in sorted(set(pairs) & set(absent)):
        reader.fail(f"pair {'-'.join(pair)}", "has a pair term and is declared in [[no_interaction]] as well")
    for i, a in enumerate(species):
        for b in species[i:]:
            pair = sorted_pair(a, b)
            if pair not in pairs and pair not in absent:
                reader.fail(
                    f"pair {'-'.join(pair)}",
                    "has no pair term; give one, or declare the pair in [[no_interaction]] with a reason",
                )


def _pair(reader, row: dict, where: str, species) -> tuple[str, str]:
    pair = reader.get(row, "pair", where)
    if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(x, str) for x in pair)):
        reader.fail(where, f'pair = {pair!r} must be two species, e.g. ["Li", "O"]')
    for symbol in pair:
        if symbol not in species:
            hint = suggestion(symbol, species)
            reader.fail(where, f"pair = {pair!r}: {symbol!r} has no [species] table{hint}")
    return sorted_pair(*pair)


def _term(reader, kind: str, pair, row: dict, where: str, cutoff_A: float) -> PairTerm:
    form_class = FORMS[kind]
    names = [f.name for f in fields(form_class)]
    if form_class is Tabulated:
        form = _table(reader, row, where, cutoff_A)
    else:
        values = {name: reader.number(row, name, where) for name in names}
        for name in names:
            if name in LENGTHS and (kind, name) != ("born_mayer_huggins", "sigma"):
                reader.positive(row, name, where)
            if name in STRENGTHS and values[name] < 0:
                reader.fail(where, f"{name} = {values[name]:g} must not be negative")
        form = form_class(**values)
    source, note = reader.source(row, where), reader.note(row, where)
    marks = reader.parameter_marks(row, names, where)
    subject = "-".join(pair)
    if form_class is Tabulated:
        count = float(len(form.r))
        reader.parameters.append(
            Parameter(subject, kind, "points (r, V)", count, "Å, eV", source, marks["V"], note)
        )
    else:
        for name in names:
            value, unit = getattr(form, name), form_class.units[name]
            reader.parameters.append(Parameter(subject, kind, name, value, unit, source, marks[name], note))
    weakest = max(marks.values(), key=("V", "D", "C", "R, corroborated", "R", "F").index)
    return PairTerm(pair, kind, form, source, weakest, marks, note)


def _table(reader, row: dict, where: str, cutoff_A: float) -> Tabulated:
    columns = {}
    for name in ("r", "V"):
        values = reader.get(row, name, where)
        if not isinstance(values, list):
            reader.fail(where, f"{name} must be an array of numbers, got {values!r}")
        columns[name] = [
            reader.number({f"{name}[{k}]": value}, f"{name}[{k}]", where) for k, value in enumerate(values)
        ]
    r, energies = columns["r"], columns["V"]
    if len(r) != len(energies) or len(r) < SHORTEST_TABLE_POINTS:
        reader.fail(
            where,
            f"r and V must have the same length, at least {SHORTEST_TABLE_POINTS}; "
            f"got {len(r)} and {len(energies)}",
        )
    if r[0] <= 0 or any(later <= earlier for earlier, later in itertools.pairwise(r)):
        reader.fail(where, "r must be positive and strictly ascending")
    if r[-1] < cutoff_A:
        reader.fail(where, f"the table ends at r = {r[-1]:g} Å, before the cutoff of {cutoff_A:g} Å")
    return Tabulated(tuple(r), tuple(energies))
