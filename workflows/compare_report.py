"""A comparison as text for the terminal, as ``summary.json``, figures and one self-contained page."""

from pathlib import Path

from simtools import plots
from simtools.core.errors import ConfigError
from simtools.plots import format_estimate, format_number
from workflows.report import render_page, write_page
from workflows.report_association import pair_in_words
from workflows.report_figures import association_figures, single_figure
from workflows.report_tables import grouped_warnings, lead, literature_table
from workflows.statepoints import check_directory, check_owner, write_json

__all__ = ["comparison_text", "write_comparison"]


def comparison_text(comparison):
    """Return the comparison as plain text: what each run gave, differences, the literature, verdicts."""
    parts = []
    for heading, table in _tables(comparison):
        if table["rows"]:
            parts.append(f"{heading}\n{_aligned(table)}")
    if comparison.verdicts:
        parts.append("\n".join(entry["text"] for entry in comparison.verdicts))
    parts += [f"warning: {text}" for text in comparison.warnings]
    return "\n\n".join(parts)


def write_comparison(comparison, directory):
    """Write ``summary.json``, ``figures/`` and ``report.html`` into `directory`; return the page's path.

    Raises
    ------
    ConfigError
        If `directory` holds a run, whose summary and report would be lost, or a link that leads out of it.
    """
    directory = Path(directory)
    if (directory / "recipe.toml").exists():
        raise ConfigError(f"{directory} holds a run; choose another -o DIR for the comparison")
    check_owner(directory, "compare")
    check_directory(directory)
    write_json(directory / "summary.json", comparison.to_summary())
    figures = _figures(comparison)
    context = {
        "title": "Comparison of " + ", ".join(comparison.runs),
        "runs": [(label, lead(run)) for label, run in comparison.runs.items()],
        "verdicts": comparison.verdicts,
        "warnings": grouped_warnings(comparison.warnings),
        "run_warnings": [
            (label, grouped_warnings(run.warnings)) for label, run in comparison.runs.items() if run.warnings
        ],
        "figures": figures,
        "tables": [(heading, table) for heading, table in _tables(comparison)[:-1] if table["rows"]],
        "literature_table": literature_table(comparison.literature),
    }
    return write_page(render_page("comparison.html.j2", context), figures, directory)


def _tables(comparison):
    """Return [(heading, table)]; the literature comes last."""
    literature = literature_table(comparison.literature)
    keep = [literature["columns"].index(name) for name in ("quantity", "value", "T (K)", "method", "mark")]
    brief = {
        "columns": [*(literature["columns"][i] for i in keep), "study"],
        "rows": [
            [*(row[i] for i in keep), point.short]
            for row, point in zip(literature["rows"], comparison.literature, strict=True)
        ],
        "caption": None,
    }
    return [
        ("Transport", _transport_table(comparison)),
        ("Transport, ratios", _ratio_table(comparison)),
        ("Vacancies and what holds them", _holder_table(comparison)),
        ("Holding, differences", _difference_table(comparison)),
        ("Binding enthalpy and energy at rest", _energy_table(comparison)),
        ("Literature", brief),
    ]


def _transport_table(comparison):
    rows = [
        [
            f"{item.temperature_K:g}",
            label,
            item.species,
            format_estimate(item.ionic_conductivity_S_per_cm),
            format_estimate(item.tracer_diffusivity_cm2_per_s),
            format_estimate(item.haven_ratio),
            item.n_hops,
        ]
        for label, run in comparison.runs.items()
        for item in run.transport
    ]
    rows.sort(key=lambda row: float(row[0]))
    rows += [
        [
            "all",
            label,
            "",
            f"Eₐ of σT {format_estimate(run.arrhenius.activation_energy_eV, 'eV')}",
            "",
            "",
            "",
        ]
        for label, run in comparison.runs.items()
        if run.arrhenius is not None
    ]
    columns = ["T (K)", "run", "ion", "σ, ionic (S cm⁻¹)", "D* (cm² s⁻¹)", "H_R", "hops"]
    return _table(columns, rows, "Values with 95 % intervals; “<” is a 95 % upper limit.")


def _ratio_table(comparison):
    rows = [
        [
            f"{entry['temperature_K']:g}",
            f"{entry['first']} / {entry['second']}",
            entry["species"],
            format_estimate(entry["ionic_conductivity_ratio"]),
            format_estimate(entry["tracer_diffusivity_ratio"]),
        ]
        for entry in comparison.transport
    ]
    return _table(["T (K)", "runs", "ion", "ratio of σ", "ratio of D*"], rows)


def _holder_table(comparison):
    rows = [
        [
            f"{item.temperature_K:g}",
            holder.label,
            pair_in_words(item),
            format_estimate(item.bound_fraction),
            format_number(item.random_fraction),
            format_estimate(item.second_shell_fraction),
            format_number(item.random_second_shell_fraction),
            format_estimate(item.binding_free_energy_eV),
        ]
        for holder in comparison.holders
        for item in holder.results
    ]
    rows.sort(key=lambda row: float(row[0]))
    columns = [
        "T (K)",
        "run",
        "pair",
        "bound (first shell)",
        "if random",
        "second shell",
        "if random",
        "binding free energy (eV)",
    ]
    return _table(columns, rows)


def _difference_table(comparison):
    rows = [
        [
            f"{entry['temperature_K']:g}",
            f"{entry['first']} less {entry['second']}",
            format_estimate(entry["bound_fraction_difference"]),
            format_estimate(entry["binding_free_energy_difference_eV"]),
        ]
        for entry in comparison.binding
    ]
    return _table(["T (K)", "runs", "bound fraction", "binding free energy (eV)"], rows)


def _energy_table(comparison):
    rows = [
        [label, pair_in_words(item), format_estimate(item.enthalpy_eV), item.enthalpy_eV.method]
        for label, run in comparison.runs.items()
        for item in run.binding
        if item.enthalpy_eV is not None
    ]
    rows += [
        [
            item.source,
            item.associate,
            format_number(item.energy_eV, digits=3),
            f"relaxed pair at {item.distance_A:.2f} Å, {item.reference}",
        ]
        for item in comparison.static
    ]
    return _table(["run", "pair", "eV", "what"], rows)


def _figures(comparison):
    series = {label: run.transport for label, run in comparison.runs.items()}
    fits = {label: run.arrhenius for label, run in comparison.runs.items()}
    figures = []
    if any(item.charge_e for items in series.values() for item in items):
        figures.append(
            single_figure(
                "arrhenius",
                "Conductivity against temperature",
                "Ionic conductivity with 95 % intervals; lines: Arrhenius fits within their temperatures. "
                "Other symbols: the literature on these compositions, open for experiments.",
                plots.plot_arrhenius_overlay,
                series,
                fits=fits,
                literature=comparison.literature,
                width_in=8.6,
                height_in=5.2,
            )
        )
    static = {
        holder.label: item.energy_eV
        for item in comparison.static
        for holder in comparison.holders
        if holder.partner == item.partner
    }
    holders = {holder.label: holder.results for holder in comparison.holders}
    return [*figures, *association_figures(holders, static_eV=static)]


def _table(columns, rows, caption=None):
    return {"columns": columns, "rows": rows, "caption": caption}


def _aligned(table):
    rows = [table["columns"], *([str(cell) for cell in row] for row in table["rows"])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
