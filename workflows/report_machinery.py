"""What a report says about forces, cost, seeds and versions. The science is in report_tables.py."""

import json
import math
from collections import Counter
from pathlib import Path

from potentials.schema import CONFIDENCE_MARKS, ForceFieldError, load_force_field
from simtools.core.errors import ConfigError
from simtools.plots import format_number
from workflows.cost import cost_of, total_core_hours
from workflows.point import FORCE_FIELD_FILE
from workflows.report_tables import system_of

__all__ = ["cost_table", "engine_rows", "points_table", "potential_block", "provenance_rows"]

_PARAMETER_COLUMNS = ("ion or pair", "term", "parameter", "value", "unit", "mark", "source")
_NEEDS_A_LOOK = ("R", "R, corroborated", "F")
_ENGINE_LABELS = {
    "engine": "Engine",
    "mpi_ranks": "MPI ranks",
    "kspace_accuracy": "Accuracy given to LAMMPS (of 14.4 eV/Å)",
    "thermostats": "Thermostats and barostat in LAMMPS",
    "path": "How forces were summed",
    "threads": "Threads of one calculation",
    "coulomb": "Coulomb sums",
    "pair_terms": "Pair terms",
    "accuracy": "Accuracy asked for (relative RMS force error)",
    "net_charge_e": "Net charge (force-field charges, e)",
    "background": "Uniform background",
    "skin_A": "Skin of the neighbour list (Å)",
    "pair_cutoff_A": "Pair cutoff (Å)",
    "pair_cutoff_mode": "At the pair cutoff",
    "closest_distance_A": "Turning points of the pair terms: closest distance allowed (Å)",
    "table_force_error_eV_per_A": "Error of the pair tables (eV/Å)",
    "removed_net_force_eV_per_A": "Net force of the mesh, removed (eV/Å)",
    "relative_rms_force_error": "Measured relative RMS force error",
    "max_relative_force_error": "Measured largest force error / RMS force",
    "rms_force_eV_per_A": "RMS force (eV/Å)",
    "energy_error_eV_per_atom": "Measured energy error (eV per ion)",
    "stress_error_eV_per_A3": "Measured stress error (eV/Å³)",
    "alpha_per_A": "Ewald splitting parameter (1/Å)",
    "coulomb_cutoff_A": "Cutoff of the real-space part (Å)",
    "mesh_shape": "Mesh",
    "mesh_order": "Order of the splines",
    "estimated_relative_rms_force_error": "Estimated relative RMS force error",
    "neighbour_list_builds": "Neighbour lists made",
}
_ENGINE_HIDDEN = {
    "force_field",
    "force_field_version",
    "force_field_sha256",
    "force_scale_eV_per_A",
    "table_bins_per_octave",
}
_COULOMB_NAMES = {"pme": "smooth particle mesh Ewald", "ewald": "exact Ewald sum", "none": "none: no charges"}


def potential_block(run):
    """Return everything about the forces: model, parameters with their marks, sources."""
    table = run.recipe.get("potential", {})
    block = {
        "rows": [],
        "problem": None,
        "low_confidence": None,
        "parameters": [],
        "columns": _PARAMETER_COLUMNS,
        "marks": [],
        "references": [],
    }
    if table.get("calculator"):
        block["rows"] = [("Calculator", str(table["calculator"]))]
        block["problem"] = "An external ASE calculator: its parameters and their sources are not known here."
        return block
    copy = Path(run.directory) / FORCE_FIELD_FILE
    try:
        field = load_force_field(copy if copy.exists() else table.get("name", ""))
    except (ForceFieldError, ConfigError) as error:
        block["rows"] = [("Name", str(table.get("name")))]
        block["problem"] = f"The force field cannot be shown: {error}"
        return block
    used = _recorded_sha256(run)
    if used and used != field.sha256:
        block["problem"] = (
            f"The runs used another file (SHA-256 {used[:16]}…) than the one shown here; the table below is "
            "not what was simulated."
        )
    block["rows"] = [
        ("Name", f"{field.name}, version {field.version}"),
        ("Model", field.description),
        ("Pair cutoff", f"{field.cutoff_A:g} Å, {field.cutoff_mode} there; Coulomb is never cut"),
        ("SHA-256 of the file", field.sha256),
    ]
    present = [name for name in system_of(run).get("composition", field.species) if name in field.species]
    parameters = field.parameters_table(present)
    block["low_confidence"] = _low_confidence(parameters)
    block["parameters"] = [
        {
            "cells": [
                row.subject,
                row.group.replace("_", " "),
                row.name.replace("_e", "").replace("_amu", "").replace("_", " "),
                f"{row.value:.8g}".replace("-", "−"),
                row.unit.replace("^6", "⁶").replace("^8", "⁸"),
            ],
            "mark": row.confidence,
            "source": row.source + (f": {row.note}" if row.note else ""),
        }
        for row in parameters
    ]
    marks = {row.confidence for row in parameters}
    block["marks"] = [(mark, meaning) for mark, meaning in CONFIDENCE_MARKS.items() if mark in marks]
    block["references"] = [
        (name, ", ".join(str(text) for text in entry.values())) for name, entry in field.references.items()
    ]
    return block


def engine_rows(run):
    """Return the settings of the force engine and its measured error in the production runs."""
    settings, origin = {}, ""
    for point in run.points:
        engine = (point.outcome or {}).get("engine") or {}
        if point.spec.get("role") != "volume" and (not settings or "self_check" in engine):
            settings, origin = engine, point.name.rsplit("-", 1)[0]
    rows = [("Chosen and measured in", f"{origin}, at its last configuration")] if settings else []
    for name, value in _flat(settings):
        if name in _ENGINE_HIDDEN or value is None:
            continue
        label = _ENGINE_LABELS.get(name, name.replace("_", " ").capitalize())
        rows.append((label, _COULOMB_NAMES.get(value, value) if name == "coulomb" else _text(value)))
    return rows


def cost_table(run):
    """Return steps, cost, mean temperature and drift of each finished point."""
    rows = []
    for point in run.points:
        outcome = point.outcome
        if not outcome:
            continue
        last = (outcome.get("stages") or [{}])[-1]
        cost = cost_of(point)
        rate = None if cost is None else cost.ns_per_day
        rows.append(
            [
                point.name.rsplit("-", 1)[0],
                str(outcome.get("n_steps", "–")),
                _duration(outcome.get("wall_s")),
                "–" if cost is None else f"{cost.ms_per_step:.2f}",
                "–" if rate is None else format_number(rate, digits=3),
                "–" if cost is None else format_number(cost.core_hours, digits=2),
                _mean_and_error(last.get("temperature_K"), "{:.1f}".format),
                _mean_and_error(last.get("volume_A3"), "{:.1f}".format),
                _mean_and_error(last.get("conserved_drift_eV_per_atom_per_ns"), format_number),
            ]
        )
    columns = ["point", "steps", "wall time", "ms/step", "ns/day", "core-hours", "T (K)", "V (Å³)"]
    columns.append("drift (eV/ion/ns)")
    total = total_core_hours(run)
    caption = (
        "Cost and conservation of each finished point; temperature, volume and drift of the conserved energy "
        "of its last stage, ± one standard error. Core-hours are wall time times threads or MPI ranks"
        + ("." if total is None else f": {format_number(total, digits=2)} in all.")
        + " On a machine shared with other work they include the waiting."
    )
    return {"columns": columns, "rows": rows, "caption": caption}


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
    return {"columns": ["point", "state", "seeds", "wall time"], "rows": rows, "caption": None}


def provenance_rows(run):
    """Return versions, commit, host and the seed of the recipe; what ran where it differs from that."""
    record = run.summary.get("provenance", {})
    rows = []
    if record.get("versions"):
        rows.append(("Versions, analysis", _versions(record["versions"])))
    ran = Counter(_what_ran(item["provenance"]) for item in _records(run) if item.get("provenance"))
    rows += [(f"Versions, {n} point(s)", text) for text, n in ran.items()]
    for name, heading in (
        ("git_commit", "Commit, analysis"),
        ("host", "Host"),
        ("platform", "Platform"),
        ("processor", "Processor"),
        ("time_utc", "Analysed (UTC)"),
    ):
        if record.get(name):
            rows.append((heading, str(record[name])))
    seed = run.recipe.get("md", {}).get("seed")
    if seed is not None:
        rows.append(("Seed of the recipe", str(seed)))
    rows.append(("Wall time of all finished points", _duration(_total_wall_s(run))))
    return rows


def _low_confidence(parameters):
    weak = [row for row in parameters if row.confidence in _NEEDS_A_LOOK]
    if not weak:
        return None
    counts = ", ".join(f"{n} marked {mark}" for mark, n in Counter(row.confidence for row in weak).items())
    by_subject = {}
    for row in weak:
        by_subject.setdefault(f"{row.subject} ({row.group.replace('_', ' ')})", row.confidence)
    listed = ", ".join(f"{subject} {mark}" for subject, mark in by_subject.items())
    return (
        f"{len(weak)} of the {len(parameters)} parameters that act here were recalled or fitted, not read "
        f"in a public text ({counts}): {listed}. No interval in this report covers that."
    )


def _records(run):
    """Return the ``done.json`` of the finished points, production first."""
    finished = [point for point in run.points if point.outcome]
    finished.sort(key=lambda point: point.spec.get("role") != "production")
    paths = [Path(point.directory) / "done.json" for point in finished]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


def _recorded_sha256(run):
    for point in run.points:
        digest = point.spec.get("inputs", {}).get("potential", {}).get("sha256")
        if digest:
            return digest
    return None


def _flat(record):
    for name, value in record.items():
        if isinstance(value, dict) and name in {"self_check", "tuning"}:
            yield from ((key, item) for key, item in _flat(value) if key not in record)
        else:
            yield name, value


def _text(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return format_number(value, digits=3)
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items()) or "none"
    return str(value)


def _what_ran(provenance):
    commit, processor = provenance.get("git_commit") or "unknown", provenance.get("processor")
    return f"{_versions(provenance.get('versions', {}))}; commit {commit}; {processor}"


def _versions(versions):
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _duration(seconds):
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _total_wall_s(run):
    times = [point.outcome["wall_s"] for point in run.points if point.outcome and "wall_s" in point.outcome]
    return sum(times) if times else None


def _mean_and_error(quantity, written):
    if not isinstance(quantity, dict) or "value" not in quantity:
        return "–"
    value, stderr = float(quantity["value"]), float(quantity["stderr"])
    if not math.isfinite(stderr) or stderr < 1e-9 * abs(value):
        return written(value)
    return f"{written(value)} ± {written(stderr)}"
