"""What a report says in words and tables, from the `Run` it is about. Layout is the template's business."""

import math
import re
from collections import Counter
from pathlib import Path

import simtools.reference as reference
from potentials.schema import CONFIDENCE_MARKS, LOW_CONFIDENCE, ForceFieldError, load_force_field
from simtools.plots import format_estimate, format_number

__all__ = [
    "arrhenius_rows",
    "association_table",
    "background_statement",
    "cautions",
    "engine_rows",
    "engine_table",
    "grouped_warnings",
    "headline_cards",
    "lead",
    "literature_of",
    "literature_table",
    "methods_table",
    "points_table",
    "potential_block",
    "provenance_rows",
    "sampling_table",
    "simulated_rows",
    "state_of",
    "traces_of",
    "transport_table",
    "why_no_arrhenius",
]

_DIFFUSIVITY, _CONDUCTIVITY = "cm² s⁻¹", "S cm⁻¹"
_QUANTITIES = (
    ("tracer_diffusivity_cm2_per_s", "D* (cm² s⁻¹)"),
    ("charge_diffusivity_cm2_per_s", "D_σ (cm² s⁻¹)"),
    ("haven_ratio", "H_R = D*/D_σ"),
    ("nernst_einstein_conductivity_S_per_cm", "σ, Nernst–Einstein (S cm⁻¹)"),
    ("ionic_conductivity_S_per_cm", "σ, ionic (S cm⁻¹)"),
)
_NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def production_points(run):
    """Return the points that sample transport, in order."""
    return [point for point in run.points if point.spec.get("role", "production") == "production"]


def volume_points(run):
    """Return the points that found a volume."""
    return [point for point in run.points if point.spec.get("role") == "volume"]


def lead(run):
    """Return the line under the title: formula, cell, defects, potential."""
    structure, md = run.recipe.get("structure", {}), run.recipe.get("md", {})
    cells = " × ".join(str(n) for n in structure.get("supercell", ())) or "unknown"
    parts = [f"{structure.get('formula', 'unknown formula')}, {cells} cells"]
    parts += [_defect_in_words(defect) for defect in run.recipe.get("defects", ())]
    temperatures = md.get("temperatures_K", ())
    if temperatures:
        low, high = min(temperatures), max(temperatures)
        span = f"{low:g} K" if low == high else f"{len(temperatures)} temperatures, {low:g} to {high:g} K"
        parts.append(f"{span}, {md.get('replicas', 1)} replica(s)")
    return "; ".join(parts)


def state_of(run):
    """Return the line about completeness, and whether anything is missing."""
    missing = [point for point in run.points if not point.outcome]
    done = len(run.points) - len(missing)
    if missing:
        return f"Unfinished: {done} of {len(run.points)} state points done; numbers will change", True
    return f"Complete: {done} state points", not run.points


def headline_cards(run):
    """Return the cards at the top: conductivities, activation energy, Haven ratio, with their basis."""
    if not run.transport:
        return []
    basis = _basis(run)
    cards = []
    if run.arrhenius is not None:
        fit = run.arrhenius
        temperatures = f"fit from {min(fit.temperatures_K):g} to {max(fit.temperatures_K):g} K"
        cards.append(_card("Activation energy", fit.activation_energy_eV, "eV", temperatures))
        cards.append(
            _card(
                "Ionic conductivity at 300 K, extrapolated",
                fit.conductivity_300K_S_per_cm,
                _CONDUCTIVITY,
                f"{temperatures}; no simulation was made at 300 K",
            )
        )
    ends = {result.temperature_K: result for result in (run.transport[0], run.transport[-1])}
    for temperature, result in ends.items():
        cards.append(
            _card(
                f"Ionic conductivity at {temperature:g} K",
                result.ionic_conductivity_S_per_cm,
                _CONDUCTIVITY,
                basis,
            )
        )
    known = [result for result in run.transport if _has_value(result.haven_ratio)]
    if known:
        best = min(known, key=lambda result: result.haven_ratio.stderr)
        cards.append(_card(f"Haven ratio at {best.temperature_K:g} K", best.haven_ratio, "", basis))
    return cards


def cautions(run):
    """Return what must be read before the numbers are used."""
    texts = []
    if any(point.spec.get("role") == "production" for point in run.points):
        few = [result for result in run.transport if result.n_replicas < 4]
        if few:
            texts.append(
                f"Collective quantities (σ, D_σ, H_R) rest on {min(result.n_replicas for result in few)} "
                "replica(s) per temperature; their intervals are wide for that reason."
            )
    return texts


def simulated_rows(run):
    """Return (name, text) about the system and the protocol."""
    recipe = run.recipe
    structure, md = recipe.get("structure", {}), recipe.get("md", {})
    rows = [
        ("Crystal", f"{structure.get('formula', 'unknown')}, {structure.get('prototype', 'cubic')} prototype"),
        ("Supercell", " × ".join(str(n) for n in structure.get("supercell", ())) + " conventional cells"),
    ]
    outcome = _first_outcome(run)
    counts = outcome.get("n_ions_by_species") or outcome.get("composition")
    if counts:
        total = sum(counts.values())
        listed = ", ".join(f"{n} {species}" for species, n in counts.items())
        rows.append(("Ions in the cell", f"{total}: {listed}"))
    defects = [_defect_in_words(defect) for defect in recipe.get("defects", ())]
    rows.append(("Defects", "; ".join(defects) if defects else "none: the perfect crystal"))
    if outcome.get("net_charge_e") is not None:
        rows.append(("Net charge of the cell", f"{outcome['net_charge_e']:+g} e"))
    rows.append(("Potential", _potential_name(recipe)))
    rows.append(("Volume", _volume_source(run)))
    rows += _protocol_rows(md)
    mobile = recipe.get("analysis", {}).get("mobile")
    if mobile:
        host = recipe.get("analysis", {}).get("host")
        frame = f"; displacements relative to the host ({', '.join(host)})" if host else ""
        rows.append(("Mobile ion", f"{mobile}{frame}"))
    return rows


def _protocol_rows(md):
    if not md:
        return []
    ensemble = md.get("ensemble", "NVT")
    if md.get("thermostat"):
        ensemble += f", {md['thermostat']} thermostat, τ = {md.get('thermostat_tau_ps', '?')} ps"
    return [
        ("Temperatures", ", ".join(f"{t:g}" for t in md.get("temperatures_K", ())) + " K"),
        ("Replicas", f"{md.get('replicas', 1)} per temperature, each with its own seed"),
        ("Ensemble in production", ensemble),
        (
            "Duration",
            f"{md.get('equilibration_ps', 0):g} ps equilibration, {md.get('production_ps', 0):g} ps production "
            f"per replica, step {md.get('timestep_fs', 0):g} fs, frames every "
            f"{md.get('sample_every_fs', 0):g} fs",
        ),
    ]


def _volume_source(run):
    md = run.recipe.get("md", {})
    given = md.get("lattice_parameter_A")
    if given is not None:
        values = given if isinstance(given, (list, tuple)) else [given]
        return f"lattice parameter given in the recipe: {', '.join(f'{a:g}' for a in values)} Å"
    if md.get("volume_from") == "perfect_crystal":
        text = (
            "mean volume of one NPT stage per temperature on the perfect, neutral crystal (a charged cell has "
            "no defined pressure); the volume change due to the defects is neglected"
        )
    else:
        text = "mean volume of one NPT stage per temperature on the defective cell"
    return f"{text}; {md.get('npt_ps', 0):g} ps at {md.get('pressure_GPa', 0):g} GPa"


def background_statement(run):
    """Return what a declared net charge means for this run, or None for a neutral cell."""
    if run.recipe.get("potential", {}).get("net_charge") != "background":
        return None
    charge = _first_outcome(run).get("net_charge_e")
    amount = f" of {charge:+g} e" if charge is not None else ""
    return (
        f"The cell carries a net charge{amount}, compensated by a uniform background as declared in the recipe. "
        "The background's energy and stress are included; NPT is refused for such a cell, because its pressure "
        "depends on the background. Absolute energies depend on the cell size; forces and transport do not feel "
        "the uniform background itself."
    )


def why_no_arrhenius(run):
    """Return why there is no activation energy, or None if there is one."""
    if run.arrhenius is not None or not run.transport:
        return None
    temperatures = {result.temperature_K for result in run.transport}
    if len(temperatures) == 1:
        return "One temperature: no activation energy can be given."
    return "Too few temperatures with a measured conductivity: no activation energy can be given."


def arrhenius_rows(run):
    """Return (name, text) of the Arrhenius fit."""
    fit = run.arrhenius
    if fit is None:
        return []
    rows = [
        ("Activation energy of σT", format_estimate(fit.activation_energy_eV, "eV")),
        ("ln prefactor of σT (S K cm⁻¹)", format_estimate(fit.ln_prefactor)),
        (
            "Conductivity at 300 K (extrapolated)",
            format_estimate(fit.conductivity_300K_S_per_cm, _CONDUCTIVITY),
        ),
        ("Fit", fit.activation_energy_eV.method),
    ]
    return rows


def transport_table(run):
    """Return the transport numbers, one row for each temperature and species."""
    columns = ["T (K)", "ion", *(heading for _, heading in _QUANTITIES)]
    rows = [
        [
            f"{result.temperature_K:g}",
            result.species,
            *(format_estimate(getattr(result, name)) for name, _ in _QUANTITIES),
        ]
        for result in run.transport
    ]
    return _table(columns, rows, "Values with 95 % intervals; “<” is a 95 % upper limit: nothing diffused.")


def sampling_table(run):
    """Return what each row of the transport table rests on."""
    columns = [
        "T (K)",
        "ion",
        "replicas",
        "mobile ions",
        "charge (e)",
        "volume (Å³)",
        "fit window (ps)",
        "longest MSD (Å²)",
        "n_eff of D*",
        "n_eff of σ",
    ]
    rows = [
        [
            f"{result.temperature_K:g}",
            result.species,
            result.n_replicas,
            result.n_ions,
            f"{result.charge_e:+g}",
            f"{result.volume_A3:.1f}",
            _window(result.window_ps),
            format_number(result.msd_A2[-1]),
            format_number(result.tracer_diffusivity_cm2_per_s.n_eff),
            format_number(result.ionic_conductivity_S_per_cm.n_eff),
        ]
        for result in run.transport
    ]
    return _table(columns, rows, "What each temperature rests on.")


def methods_table(run):
    """Return the distinct methods behind each quantity."""
    rows = []
    for name, heading in _QUANTITIES:
        methods = Counter(
            getattr(result, name).method for result in run.transport if getattr(result, name) is not None
        )
        rows += [[heading.split(" (")[0], method] for method in methods]
    return _table(["quantity", "method"], rows)


def literature_of(run):
    """Return the literature's points for the compound that was simulated."""
    formula = run.recipe.get("structure", {}).get("formula")
    return tuple(reference.literature_points(formula)) if formula else ()


def literature_table(points):
    """Return the literature's points as a table."""
    rows = [
        [
            point.label,
            f"{point.temperature_K:g}",
            format_number(point.conductivity_S_per_cm),
            getattr(point, "method", ""),
            getattr(point, "note", ""),
        ]
        for point in points
    ]
    return _table(["source", "T (K)", "σ (S cm⁻¹)", "kind", "note"], rows, "Literature for this compound.")


def association_table(run):
    """Return bound fractions, one row for each temperature."""
    rows = [
        [f"{result.temperature_K:g}", format_estimate(result.bound_fraction)] for result in run.association
    ]
    return _table(["T (K)", "bound fraction"], rows)


def grouped_warnings(warnings):
    """Return warnings that differ only in their numbers as one group each, most frequent first.

    Returns
    -------
    list of dict
        `text` (the first of the group), `count`, and `others`: the further texts that differ from it.
    """
    groups = {}
    for text in map(str, warnings):
        groups.setdefault(_NUMBER.sub("#", text), []).append(text)
    found = []
    for texts in groups.values():
        distinct = list(dict.fromkeys(texts))
        found.append({"text": distinct[0], "count": len(texts), "others": distinct[1:]})
    return sorted(found, key=lambda group: -group["count"])


def potential_block(run):
    """Return everything about the forces: model, parameters with their marks, sources."""
    table = run.recipe.get("potential", {})
    block = {
        "rows": [],
        "problem": None,
        "low_confidence": None,
        "parameters": [],
        "columns": ["ion or pair", "form", "parameter", "value", "unit", "mark", "source"],
        "marks": [],
        "references": [],
    }
    if table.get("calculator"):
        block["rows"] = [("Calculator", str(table["calculator"]))]
        block["problem"] = "An external ASE calculator: its parameters and their sources are not known here."
        return block
    try:
        field = load_force_field(table.get("name", ""))
    except ForceFieldError as error:
        block["rows"] = [("Name", str(table.get("name")))]
        block["problem"] = f"The force field could not be read for this report: {error}"
        return block
    block["rows"] = [
        ("Name", f"{field.name}, version {field.version}"),
        ("Model", field.description),
        ("Short-range cutoff", f"{field.cutoff_A:g} Å, {field.cutoff_mode}"),
        ("File", f"{Path(field.path).name}, SHA-256 {field.sha256[:16]}…"),
    ]
    used = _recorded_sha256(run)
    if used and used != field.sha256:
        block["problem"] = (
            f"The run used another version of this file (SHA-256 {used[:16]}…): the table below shows what is "
            "installed now, not what was used."
        )
    weak = field.low_confidence()
    if weak:
        counts = Counter(row.confidence for row in weak)
        listed = ", ".join(f"{n} × {letter}" for letter, n in counts.items())
        names = sorted({f"{row.subject} {row.name}" for row in weak if row.confidence != "C"})
        block["low_confidence"] = (
            f"{len(weak)} of {len(field.parameters)} parameters were not read in a public text ({listed}): "
            f"{', '.join(names)}."
        )
    block["parameters"] = [
        {
            "cells": [row.subject, row.group.replace("_", " "), row.name, f"{row.value:g}", row.unit],
            "mark": row.confidence,
            "source": row.source + (f": {row.note}" if row.note else ""),
        }
        for row in field.parameters_table()
    ]
    present = {row.confidence for row in field.parameters_table()}
    block["marks"] = [(mark, meaning) for mark, meaning in CONFIDENCE_MARKS.items() if mark in present]
    block["references"] = [
        (name, ", ".join(str(text) for text in entry.values())) for name, entry in field.references.items()
    ]
    return block


def engine_rows(run):
    """Return the settings of the force engine and its measured error, from the first finished point."""
    settings = _first_outcome(run).get("engine") or {}
    return [(_label(name), _text(value)) for name, value in _flat(settings)]


def engine_table(run):
    """Return steps, cost and drift of each finished point."""
    rows = [
        [
            point.name.rsplit("-", 1)[0],
            _number_or_dash(point.outcome.get("n_steps"), "{:d}"),
            _duration(point.outcome.get("wall_s")),
            _per_step(point.outcome),
            _number_or_dash(point.outcome.get("mean_temperature_K"), "{:.1f}"),
            _drift(point.outcome),
        ]
        for point in run.points
        if point.outcome
    ]
    columns = ["point", "steps", "wall time", "ms/step", "mean T (K)", "energy drift (eV/atom/ns)"]
    return _table(columns, rows, "Cost and conservation.")


def points_table(run):
    """Return every state point with its seeds, state and time."""
    rows = []
    for point in run.points:
        seeds = point.spec.get("inputs", {}).get("seeds", {})
        rows.append(
            [
                point.name,
                "done" if point.outcome else "not finished",
                ", ".join(f"{name} {value}" for name, value in seeds.items()) or "–",
                _duration((point.outcome or {}).get("wall_s")),
            ]
        )
    return _table(["point", "state", "seeds", "wall time"], rows)


def provenance_rows(run):
    """Return versions, host and commit."""
    record = run.summary.get("provenance", {})
    rows = []
    versions = record.get("versions", {})
    if versions:
        rows.append(("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    for name, heading in (
        ("git_commit", "Commit"),
        ("host", "Host"),
        ("platform", "Platform"),
        ("processor", "Processor"),
        ("time_utc", "Analysed"),
    ):
        if record.get(name):
            rows.append((heading, str(record[name])))
    seed = run.recipe.get("md", {}).get("seed")
    if seed is not None:
        rows.append(("Seed of the recipe", str(seed)))
    rows.append(("Directory", str(run.directory)))
    return rows


def traces_of(run):
    """Return [(temperature, [(label, thermo, number of ions)])] of the points that have a log."""
    found = {}
    for point in run.points:
        thermo = point.thermo()
        if thermo is None or not len(thermo):
            continue
        temperature = float(point.spec["temperature_K"])
        n_atoms = (point.outcome or {}).get("n_atoms")
        found.setdefault(temperature, []).append((point.name.rsplit("-", 1)[0], thermo, n_atoms))
    return sorted(found.items())


def _table(columns, rows, caption=None):
    return {"columns": columns, "rows": rows, "caption": caption}


def _card(name, estimate, unit, basis):
    if estimate is None:
        return {"name": name, "value": "not determined", "interval": "", "basis": basis}
    text = format_estimate(estimate, unit)
    value, _, interval = text.partition(" (")
    if not interval:
        return {"name": name, "value": text, "interval": "95 % upper limit", "basis": basis}
    inside, _, tail = interval.partition(")")
    return {"name": name, "value": f"{value}{tail}", "interval": f"95 %: {inside}{tail}", "basis": basis}


def _basis(run):
    replicas = {result.n_replicas for result in run.transport}
    shown = f"{min(replicas)} to {max(replicas)}" if len(replicas) > 1 else str(min(replicas))
    length = run.recipe.get("md", {}).get("production_ps")
    each = f" of {length:g} ps" if length else ""
    return f"{shown} replica{'s' if shown != '1' else ''}{each} per temperature"


def _has_value(estimate):
    return estimate is not None and not estimate.is_limit and math.isfinite(estimate.value)


def _defect_in_words(defect):
    amount = f"{defect['count']}" if defect.get("count") is not None else f"{100 * defect['fraction']:g} %"
    species = list(defect.get("species", ()))
    if defect.get("kind") == "schottky":
        name = "Schottky units " + " + ".join(f"V_{symbol}" for symbol in species)
    else:
        name = f"{defect.get('kind', 'defect')} on {', '.join(species)}"
    return f"{amount} {name}, placed {defect.get('placement', 'random')}"


def _potential_name(recipe):
    table = recipe.get("potential", {})
    return str(table.get("name") or table.get("calculator") or "unknown")


def _window(window_ps):
    if window_ps is None or not all(math.isfinite(end) for end in window_ps):
        return "none"
    return f"{format_number(window_ps[0])} to {format_number(window_ps[1])}"


def _first_outcome(run):
    for point in production_points(run):
        if point.outcome:
            return point.outcome
    return {}


def _recorded_sha256(run):
    for point in run.points:
        potential = point.spec.get("inputs", {}).get("potential", {})
        if potential.get("sha256"):
            return potential["sha256"]
    return None


def _flat(record, prefix=""):
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", value


def _label(name):
    return name.replace("_", " ").strip().capitalize()


def _text(value):
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        return format_number(value, digits=3)
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return str(value)


def _duration(seconds):
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _per_step(outcome):
    if not outcome.get("wall_s") or not outcome.get("n_steps"):
        return "–"
    return f"{1000 * outcome['wall_s'] / outcome['n_steps']:.2f}"


def _drift(outcome):
    drift = outcome.get("drift")
    return "–" if drift is None else _text(drift) if not isinstance(drift, dict) else _text(drift.get("value"))


def _number_or_dash(value, form):
    return "–" if value is None else form.format(value)
