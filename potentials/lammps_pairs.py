"""LAMMPS' words for pair terms: one style for all where there is one, else one over the other; tables."""

from __future__ import annotations

from collections import Counter

import numpy as np

from potentials.force_field import sorted_pair
from potentials.forms import Tabulated

__all__ = ["has_tables", "hybrid_lines", "pair_lines", "table_text"]

TABLE_POINTS = 20000
STYLES = {
    "buckingham": "buck",
    "born_mayer": "buck",
    "born_mayer_huggins": "born",
    "lennard_jones": "lj/cut",
    "morse": "morse",
    "tabulated": "table",
}


def has_tables(force_field) -> bool:
    """Return whether any pair term is tabulated, so that a table file is needed."""
    return any(isinstance(term.form, Tabulated) for terms in force_field.pairs.values() for term in terms)


def _type_pairs(force_field):
    """Yield (i, j, terms) with 1-based LAMMPS types, i <= j."""
    for i, a in enumerate(force_field.species):
        for j, b in enumerate(force_field.species[i:], start=i):
            yield i + 1, j + 1, force_field.pairs.get(sorted_pair(a, b), ())


def pair_lines(force_field, table, coulomb_cutoff_A, variant) -> list[str]:
    """Return pair styles and coefficients; `variant` ends those with charges: "" or "/cs"."""
    cutoff = force_field.cutoff_A
    pairs = list(_type_pairs(force_field))
    kinds = _kinds(pairs)
    single = all(len(terms) <= 1 for _, _, terms in pairs)
    if force_field.is_charged and single and set(kinds) <= {"buckingham", "born_mayer"}:
        head = f"pair_style buck/coul/long{variant} {cutoff!r} {coulomb_cutoff_A!r}"
        return [head, *(f"pair_coeff {i} {j} {_buck(terms)}" for i, j, terms in pairs)]
    if not force_field.is_charged and kinds == ["lennard_jones"] and all(terms for _, _, terms in pairs):
        rows = (f"{i} {j} {_coefficients(terms[0], table, force_field)}" for i, j, terms in pairs)
        return [f"pair_style lj/cut {cutoff!r}", *(f"pair_coeff {row}" for row in rows)]
    style = f"coul/long{variant}"
    return hybrid_lines(force_field, table, (f"{style} {coulomb_cutoff_A!r}", style))


def _kinds(pairs):
    return sorted({term.kind for _, _, terms in pairs for term in terms})


def hybrid_lines(force_field, table, coulomb) -> list[str]:
    """Return every term in a style of its own; `coulomb` is style and coefficient of the charges."""
    pairs = list(_type_pairs(force_field))
    kinds = _kinds(pairs)
    styles, numbers = [], Counter()
    names = {}
    repeated = {style for style, n in Counter(STYLES[kind] for kind in kinds).items() if n > 1}
    for kind in kinds:
        style = STYLES[kind]
        numbers[style] += 1
        names[kind] = f"{style} {numbers[style]}" if style in repeated else style
        argument = f"spline {TABLE_POINTS}" if kind == "tabulated" else repr(force_field.cutoff_A)
        styles.append(f"{style} {argument}")
    if force_field.is_charged:
        styles.insert(0, coulomb[0])
    lines = [f"pair_style hybrid/overlay {' '.join(styles)}"]
    if force_field.is_charged:
        lines.append(f"pair_coeff * * {coulomb[1]}")
    for i, j, terms in pairs:
        if not terms and not force_field.is_charged:
            lines.append(f"pair_coeff {i} {j} none")
        for term in terms:
            lines.append(f"pair_coeff {i} {j} {names[term.kind]} {_coefficients(term, table, force_field)}")
    return lines


def _buck(terms) -> str:
    """Return A, rho and C of the only term of a pair, or of none."""
    if not terms:
        return "0.0 1.0 0.0"
    form = terms[0].form
    return f"{form.A!r} {form.rho!r} {getattr(form, 'C', 0.0)!r}"


def _coefficients(term, table, force_field) -> str:
    form = term.form
    if term.kind in ("buckingham", "born_mayer"):
        return _buck((term,))
    if term.kind == "born_mayer_huggins":  # LAMMPS adds D/r^8
        return f"{form.A!r} {form.rho!r} {form.sigma!r} {form.C!r} {-form.D!r}"
    if term.kind == "lennard_jones":
        return f"{form.epsilon!r} {form.sigma!r}"
    if term.kind == "morse":
        return f"{form.D!r} {form.a!r} {form.r0!r}"
    return f"{table.name} {'-'.join(term.species)} {force_field.cutoff_A!r}"


def table_text(force_field) -> str:
    """Return the table file of all tabulated pairs."""
    lines = ["# r from the first tabulated distance to the cutoff; energies shifted here, not by pair_modify"]
    for pair, terms in sorted(force_field.pairs.items()):
        for term in terms:
            if not isinstance(term.form, Tabulated):
                continue
            first, last = term.form.r[0], force_field.cutoff_A
            r = np.linspace(first, last, TABLE_POINTS)
            shift = term.form.energy(last) if force_field.cutoff_mode == "shifted" else 0.0
            energy, force = term.form.energy(r) - shift, -term.form.derivative(r)
            lines += ["", "-".join(pair), f"N {len(r)} R {first!r} {last!r}", ""]
            rows = zip(r.tolist(), energy.tolist(), force.tolist(), strict=True)
            lines += [f"{k} {x!r} {v!r} {f!r}" for k, (x, v, f) in enumerate(rows, start=1)]
    return "\n".join(lines) + "\n"
