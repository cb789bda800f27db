"""Force fields in words: what ``simtools potentials [NAME]`` shows. Plain text, nothing computed."""

from __future__ import annotations

from textwrap import fill

from potentials.force_field import CONFIDENCE_MARKS, LOW_CONFIDENCE, ForceField
from potentials.schema import list_force_fields, list_templates, load_force_field

WIDTH = 110


def describe_all() -> str:
    """Return one block per shipped force field: name, what it is, how much of it is weakly sourced."""
    blocks = []
    for name in list_force_fields():
        field = load_force_field(name)
        weak = field.low_confidence()
        marks = sorted({row.confidence for row in weak})
        sourced = (
            f"{len(weak)} of {len(field.parameters)} numbers marked {'; '.join(marks)}"
            if weak
            else (f"all {len(field.parameters)} numbers verified or by definition")
        )
        shells = f" + shells on {' '.join(field.shells)}" if field.shells else ""
        molecules = ", ".join(molecule.formula() for molecule in field.molecules.values())
        shells += f" + molecules {molecules}" if molecules else ""
        blocks.append(
            f"{name} {field.version}\n"
            + _wrapped(field.description)
            + "\n"
            + _wrapped(f"species {' '.join(field.species)}; {_pair_kinds(field)}{shells}; {sourced}")
        )
    blocks.append(
        "Templates of molecular anions, geometry and charges only, not for runs: "
        + " ".join(list_templates())
    )
    blocks.append("simtools potentials NAME shows every number with its source.")
    return "\n\n".join(blocks)


def describe(force_field: ForceField) -> str:
    """Return every number of a force field with unit, source and confidence mark, and its references."""
    rows = [
        (row.subject, row.group, row.name, f"{row.value:.10g}", row.unit, row.confidence, row.source)
        for row in force_field.parameters_table()
    ]
    header = ("for", "what", "name", "value", "unit", "mark", "source")
    widths = [max(len(line[k]) for line in (header, *rows)) for k in range(len(header))]
    padded = (
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in (header, *rows)
    )
    table = ["  ".join(line).rstrip() for line in padded]
    parts = [
        f"{force_field.name} {force_field.version}   {force_field.path}",
        f"sha256 {force_field.sha256}",
        _wrapped(force_field.description),
        _wrapped(_cutoff_words(force_field)),
        *([_wrapped(_shell_words(force_field))] if force_field.shells else []),
        *(_wrapped(_molecule_words(molecule)) for molecule in force_field.molecules.values()),
        "",
        *table,
        "",
        "Marks",
        *(f"  {mark}: {CONFIDENCE_MARKS[mark]}" for mark in _marks_used(force_field)),
    ]
    weak = weak_parameters(force_field)
    if weak:
        parts += ["", "Not verified in a public text:", *(f"  {line}" for line in weak)]
    if force_field.no_interaction:
        parts += ["", "No pair term:"]
        parts += [f"  {'-'.join(pair)}: {why}" for pair, why in force_field.no_interaction.items()]
    if force_field.regression:
        parts += ["", "Regression values (simtools potentials NAME --check recomputes them)"]
        parts += [f"  {_regression_words(entry)}" for entry in force_field.regression]
    parts += ["", "References"]
    parts += [f"  {key}: {_reference_words(entry)}" for key, entry in force_field.references.items()]
    return "\n".join(parts)


def weak_parameters(force_field: ForceField, species=None) -> list[str]:
    """Return one line per pair or species that has numbers marked R, F or C.

    Give `species` to leave out what does not act among them.
    """
    grouped: dict[tuple[str, str, str], list] = {}
    for row in force_field.low_confidence(species):
        grouped.setdefault((row.subject, row.group, row.confidence), []).append(row)
    lines = []
    for (subject, group, mark), rows in grouped.items():
        numbers = ", ".join(f"{row.name} = {row.value:.10g} {row.unit}" for row in rows)
        note = f"; {rows[0].note}" if rows[0].note else ""
        lines.append(f"{subject} {group} ({mark}): {numbers}{note}")
    return lines


def _wrapped(text: str) -> str:
    return fill(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


def _pair_kinds(field: ForceField) -> str:
    kinds = sorted({term.kind for terms in field.pairs.values() for term in terms})
    return " + ".join([*kinds, *(["Coulomb"] if field.is_charged else [])])


def _cutoff_words(field: ForceField) -> str:
    at_cutoff = "shifted to zero there" if field.cutoff_mode == "shifted" else "truncated there"
    why = next(row.note for row in field.parameters if row.group == "cutoff")
    return f"Pair terms: {_pair_kinds(field)}; cut at {field.cutoff_A:g} Å, {at_cutoff}. {why}"


def _shell_words(field: ForceField) -> str:
    ions = "; ".join(
        f"{symbol} core {field.core_charge_e(symbol):+.7g} e, shell {shell.charge_e:+.7g} e, free "
        f"polarisability {shell.polarizability_A3:.3g} Å³"
        for symbol, shell in field.shells.items()
    )
    return (
        f"Shells: {ions}. Pair terms act on shells; springs are V = k r²/2 (+ k4 r⁴/24), so LAMMPS' K is k/2."
    )


def _molecule_words(molecule) -> str:
    inside = "flexible (V = k x²/2, so LAMMPS' K is k/2; Morse counts from -D)"
    return (
        f"Molecule {molecule.formula()}: {' '.join(molecule.species)}, "
        f"{'rigid' if molecule.is_rigid else inside}; neither Coulomb nor pair terms between its own atoms."
    )


def _marks_used(field: ForceField) -> list[str]:
    used = {row.confidence for row in field.parameters}
    return [mark for mark in ("V", "D", *LOW_CONFIDENCE) if mark in used]


def _regression_words(entry) -> str:
    words = f"{entry.formula} ({entry.prototype}) {entry.quantity} = {entry.value:g} {entry.unit}"
    if entry.earlier_value is not None:
        words += f"; another code of this project: {entry.earlier_value:g}"
        if entry.earlier_cutoff_A is not None:
            words += f" (truncated at {entry.earlier_cutoff_A:g} Å)"
    return words


def _reference_words(entry: dict) -> str:
    keys = [key for key in ("doi", "url", "location") if key in entry]
    return "; ".join([entry["citation"], *(f"doi:{entry[k]}" if k == "doi" else entry[k] for k in keys)])
