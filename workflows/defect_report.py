"""What `simtools defects` prints and writes: the table, summary.json, figures, report.html."""

from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from simtools import plots
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate
from simtools.defects.kroger_vink import DefectComplex, KrogerVink, parse_defect
from workflows.defect_energies import SAME_ENERGY_EV, DefectEnergetics
from workflows.defect_equilibrium import ratio_temperature_K
from workflows.recipe import to_toml
from workflows.relaxation_jobs import PROTOCOL
from workflows.report_figures import save_figures, single_figure
from workflows.safety import on_a_page
from workflows.statepoints import write_json
from workflows.summary import SCHEMA, numbers_or_null

__all__ = ["defect_table", "write_defect_report"]

_NORMAL_95 = 1.96
_RATIO = 1e6
"""Carrier ratio whose temperature is told: six orders of magnitude, as reported for Li3OCl by Mouta 2014."""
_ISOTROPIC = 1e-3


def write_defect_report(result: DefectEnergetics, directory) -> Path:
    """Write recipe.toml, summary.json, figures/ and report.html into `directory`; return the page's path."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "recipe.toml").write_text(to_toml(result.recipe.to_dict()), encoding="utf-8")
    write_json(directory / "summary.json", summary_of(result))
    figures = figures_of(result)
    save_figures(figures, directory / "figures")
    loader = PackageLoader("workflows", "templates")
    environment = Environment(
        loader=loader,
        autoescape=True,
        finalize=on_a_page,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("defects.html.j2").render(
        css=Markup(loader.get_source(environment, "report.css")[0]),
        title=result.recipe.title,
        tables=_tables(result),
        figures=figures,
        warnings=result.warnings,
        recipe_text=to_toml(result.recipe.to_dict()),
    )
    path = directory / "report.html"
    partial = path.with_suffix(".html.partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
    return path


def defect_table(result: DefectEnergetics) -> str:
    """Return everything as plain text tables."""
    parts = [result.recipe.title]
    for table in _tables(result):
        rows = [table["columns"], *table["rows"]]
        widths = [max(len(row[k]) for row in rows) for k in range(len(table["columns"]))]
        lines = [
            "  ".join(
                cell.ljust(width) if k == 0 or k in table["words"] else cell.rjust(width)
                for k, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        parts.append("\n".join([table["caption"], lines[0], "-" * len(lines[0]), *lines[1:]]))
    if result.warnings:
        parts.append("\n".join(["Note", *(f"- {note}" for note in result.warnings)]))
    return "\n\n".join(parts)


def summary_of(result: DefectEnergetics) -> dict:
    """Return what ``summary.json`` holds.

    The block ``defects`` has entries of ``kind`` defect, reaction, pair and equilibrium; each quantity is
    ``{"value", "stderr", "ci95", "method", "n_eff"}``.
    """
    host = result.host
    return {
        "schema": SCHEMA,
        "title": result.recipe.title,
        "provenance": collect_provenance(
            recipe=result.recipe.to_dict(),
            protocol=PROTOCOL,
            potential=result.force_identity,
            **({"calculator": result.force_facts} if result.force_facts else {}),
        ),
        "host": {
            "formula": host.formula,
            "space_group": host.settled.space_group,
            "imaginary_modes_of_the_prototype": [list(mode) for mode in host.settled.imaginary_modes],
            "cell_A": host.crystal.atoms.cell.array.tolist(),
            "energy_eV": host.crystal.energy_eV,
            "dielectric_static": _plain_tensor(host.dielectric_static),
            "dielectric_high_frequency": _plain_tensor(host.dielectric_high_frequency),
            "phases": {
                formula: {"energy_eV": phase.energy_eV, "cell_A": phase.atoms.cell.array.tolist()}
                for formula, phase in host.phases.items()
            },
        },
        "defects": [
            *(_defect_entry(row) for row in result.defects),
            *(_reaction_entry(item) for item in result.reactions),
            *(_pair_entry(curve, result) for curve in result.binding),
            *(_equilibrium_entry(row) for row in result.equilibria),
        ],
        "warnings": list(result.warnings),
    }


def figures_of(result: DefectEnergetics):
    """Return the figures that there is something to draw for."""
    figures = []
    if any(item.n_defects for item in result.reactions):
        figures.append(
            single_figure(
                "reactions",
                "Energies of defect reactions",
                "Energy per defect made, and in brackets that of the reaction as written, isolated defects; "
                "dark: Schottky, orange: solution of a dopant. Bars of error cover both ways to the isolated "
                "limit, not the force field.",
                plots.plot_reaction_energies,
                result.reactions,
                width_in=7.6,
                height_in=1.2 + 0.36 * sum(bool(item.n_defects) for item in result.reactions),
            )
        )
    if result.binding:
        repeats = result.recipe.energetics.binding_supercell
        figures.append(
            single_figure(
                "binding",
                "Binding against distance",
                f"Relaxed pairs in {repeats} × {repeats} × {repeats} cells, relative to the farthest pair; "
                "the line joins the lowest at each distance.",
                plots.plot_binding_against_distance,
                result.binding,
                width_in=7.6,
                height_in=5.0,
            )
        )
    for number, condition in enumerate(dict.fromkeys(row.condition for row in result.equilibria), start=1):
        rows = [row for row in result.equilibria if row.condition == condition]
        if len(rows) > 1:
            figures.append(
                single_figure(
                    f"equilibrium-{number}",
                    f"Equilibrium concentrations, {condition}",
                    f"Defects per formula unit in equilibrium with {rows[0].phase}; ideal mixing on the "
                    "sites, no vibrational entropy, no association.",
                    plots.plot_concentrations,
                    rows,
                    width_in=7.6,
                    height_in=4.6,
                )
            )
    return figures


def _tables(result):
    tables = [_host_table(result), _defects_table(result)]
    if result.reactions:
        tables.append(_reactions_table(result))
    if result.binding:
        tables.append(_binding_table(result))
    if result.equilibria:
        tables.append(_equilibrium_table(result))
    return tables


def _host_table(result):
    host = result.host
    rows = [
        _crystal_row(host.formula, host.crystal, host.repeats),
        *(_crystal_row(formula, crystal, 1) for formula, crystal in host.phases.items()),
    ]
    caption = "Perfect crystals at rest"
    if host.dielectric_static is not None:
        static, high = _tensor(host.dielectric_static), _tensor(host.dielectric_high_frequency)
        caption += f"; {host.formula}: dielectric constant {static} (static), {high} (high-frequency)"
    return {
        "caption": caption,
        "columns": ["crystal", "edge of the cell (Å)", "energy per formula unit (eV)"],
        "rows": rows,
        "words": (),
    }


def _crystal_row(formula, crystal, repeats):
    mean_A = crystal.atoms.get_volume() ** (1 / 3) / repeats
    return [formula, f"{mean_A:.4f}", f"{crystal.energy_eV:.4f}"]


def _defects_table(result):
    largest = result.defects[0].energy.repeats[-1]
    rows = []
    for row in result.defects:
        energy = row.energy
        rows.append(
            [
                parse_defect(energy.label).to_unicode(),
                f"{energy.cell_energies_eV[-1]:.3f}",
                f"{energy.corrected_eV.value:.3f}",
                f"{energy.extrapolated_eV.value:.3f}",
                f"{energy.difference_eV:+.3f}",
                f"{row.per_formula_unit:g}",
                row.description,
            ]
        )
    return {
        "caption": "Defects: energy less that of the perfect crystal, ions at infinity (eV)",
        "columns": [
            "defect",
            f"in {largest}×{largest}×{largest}",
            "isolated, corrected",
            "extrapolated",
            "difference",
            "per f.u.",
            "lowest state",
        ],
        "rows": rows,
        "words": (6,),
    }


def _reactions_table(result):
    rows = []
    for item in result.reactions:
        half = (item.energy_eV.ci95[1] - item.energy_eV.ci95[0]) / 2
        per_defect = item.per_defect_eV
        rows.append(
            [
                item.name,
                f"{item.energy_eV.value:.3f} ± {half:.3f}",
                "" if per_defect is None else f"{per_defect.value:.3f}",
                item.reaction.to_unicode(),
            ]
        )
    return {
        "caption": "Reactions between isolated defects (eV; the error is that of the isolated limits)",
        "columns": ["reaction", "energy", "per defect", "written out"],
        "rows": rows,
        "words": (3,),
    }


def _binding_table(result):
    rows = []
    for curve in result.binding:
        near = curve.nearest
        rows.append(
            [
                DefectComplex.parse(curve.associate).to_unicode(),
                f"{near.distance_A:.2f}",
                f"{curve.relative_to_far_eV(near):.3f}",
                f"{curve.far_distance_A:.1f}",
                f"{curve.relative_to_isolated_eV(near):.3f} ± {curve.isolated_half_width_eV:.3f}",
            ]
        )
    repeats = result.recipe.energetics.binding_supercell
    return {
        "caption": f"Binding of the nearest pair in {repeats}×{repeats}×{repeats} (eV; negative binds)",
        "columns": ["pair", "at (Å)", "to the farthest pair", "at (Å)", "to isolated defects"],
        "rows": rows,
        "words": (),
    }


def _equilibrium_table(result):
    labels = list(result.equilibria[0].per_formula_unit)
    species = list(result.equilibria[0].carrier_ratios)
    rows = []
    for row in result.equilibria:
        rows.append(
            [
                f"{row.condition}, {row.temperature_K:g} K",
                *(f"{row.per_formula_unit[label].value:.1e}" for label in labels),
                *(f"{row.carrier_ratios[name].value:.1e}" for name in species),
            ]
        )
    where = []
    for condition in dict.fromkeys(row.condition for row in result.equilibria):
        mine = [row for row in result.equilibria if row.condition == condition]
        for name in species:
            kelvin = ratio_temperature_K(mine, name, _RATIO)
            if kelvin is not None:
                where.append(f"{condition}: {kelvin:.0f} K")
    caption = "Equilibrium concentrations per formula unit; last: vacancies per interstitial or dumbbell"
    if where:
        caption += f" (10⁶ at {', '.join(where)})"
    return {
        "caption": caption,
        "columns": [
            "condition",
            *(KrogerVink.parse(label).to_unicode() for label in labels),
            *(f"V:i of {name}" for name in species),
        ],
        "rows": rows,
        "words": (),
    }


def _defect_entry(row):
    energy = row.energy
    corrected = energy.cell_energies_eV if energy.limit is None else energy.limit.corrected_eV.tolist()
    return {
        "kind": "defect",
        "label": energy.label,
        "charge_e": energy.charge_e,
        "site": row.description,
        "per_formula_unit": row.per_formula_unit,
        "energy_eV": _numbers(energy.energy_eV),
        "corrected_eV": _numbers(energy.corrected_eV),
        "extrapolated_eV": _numbers(energy.extrapolated_eV),
        "difference_eV": energy.difference_eV,
        "cells": [
            {"supercell": [n, n, n], "energy_eV": raw, "corrected_eV": better}
            for n, raw, better in zip(energy.repeats, energy.cell_energies_eV, corrected, strict=True)
        ],
        "starts": [
            {"start": start, "above_lowest_eV": above, "became": became}
            for start, above, became in row.starts
        ],
    }


def _reaction_entry(item):
    per_defect = item.per_defect_eV
    return {
        "kind": "reaction",
        "name": item.name,
        "reaction": str(item.reaction),
        "energy_eV": _numbers(item.energy_eV),
        "per_defect_eV": None if per_defect is None else _numbers(per_defect),
        "n_defects": item.n_defects,
    }


def _pair_entry(curve, result):
    near, repeats = curve.nearest, result.recipe.energetics.binding_supercell
    return {
        "kind": "pair",
        "associate": curve.associate,
        "supercell": [repeats, repeats, repeats],
        "distance_A": near.distance_A,
        "binding_energy_eV": _numbers(
            _relaxed_difference(
                curve.relative_to_far_eV(near),
                SAME_ENERGY_EV,
                f"relaxed cells, relative to the pair at {curve.far_distance_A:.2f} Å in the same cell; the "
                "interval is the tolerance of the relaxations",
            )
        ),
        "binding_energy_to_isolated_eV": _numbers(
            _relaxed_difference(
                curve.relative_to_isolated_eV(near),
                curve.isolated_half_width_eV,
                "relaxed cells, relative to the isolated limits of both defects; the interval covers their "
                "intervals and the images of the pair",
            )
        ),
        "far_distance_A": curve.far_distance_A,
        "states": [
            {
                "distance_A": state.distance_A,
                "shell": state.shell,
                "multiplicity": state.multiplicity,
                "binding_eV": curve.relative_to_far_eV(state),
                "final_distance_A": state.final_distance_A,
                "moved": state.moved,
            }
            for state in curve.states
        ],
    }


def _equilibrium_entry(row):
    return {
        "kind": "equilibrium",
        "condition": row.condition,
        "phase": row.phase,
        "temperature_K": row.temperature_K,
        "per_formula_unit": {label: _numbers(value) for label, value in row.per_formula_unit.items()},
        "formation_energies_eV": row.formation_energies_eV,
        "carrier_ratios": {name: _numbers(value) for name, value in row.carrier_ratios.items()},
    }


def _relaxed_difference(value, half, method):
    return Estimate(
        value=value,
        stderr=half / _NORMAL_95,
        ci95=(value - half, value + half),
        method=method,
        n_eff=1.0,
    )


def _numbers(estimate):
    return numbers_or_null(estimate.to_dict())


def _plain_tensor(tensor):
    return None if tensor is None else tensor.tolist()


def _tensor(tensor):
    if np.abs(tensor - tensor[0, 0] * np.eye(3)).max() < _ISOTROPIC * abs(tensor[0, 0]):
        return f"{tensor[0, 0]:.2f}"
    return "(" + ", ".join(f"{value:.2f}" for value in np.linalg.eigvalsh(tensor)) + ")"
