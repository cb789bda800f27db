"""One self-contained HTML page about a run: what it was, what came out, and what to distrust.

The numbers are those of `simtools.runs.Run`; nothing is analysed here. Figures are in report_figures.py, what
the tables say in report_tables.py and report_machinery.py.
"""

from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from simtools import plots
from workflows import report_machinery as machinery
from workflows import report_tables as tables
from workflows.recipe import to_toml
from workflows.report_association import association_table, binding_rows
from workflows.report_counterfactual import (
    counterfactual_figures,
    counterfactual_rows,
    counterfactual_table,
)
from workflows.report_figures import (
    association_figures,
    displacement_figures,
    save_figures,
    single_figure,
    trace_figures,
)
from workflows.report_mechanisms import law_rows, mechanism_figures, mechanism_tables
from workflows.report_rotation import rotation_statements, rotation_tables, tables_of_tests
from workflows.report_rotation_figures import rotation_figures
from workflows.safety import on_a_page

__all__ = ["render_page", "render_report", "write_page", "write_report"]


def write_report(run):
    """Write ``report.html`` and ``figures/`` into the run's directory.

    Parameters
    ----------
    run
        `simtools.runs.Run`; it may be unfinished, have one temperature, or hold upper limits only.

    Returns
    -------
    pathlib.Path
        The page. It needs no other file and no network.
    """
    context, figures = _context(run)
    return write_page(render_page("report.html.j2", context), figures, Path(run.directory))


def render_report(run):
    """Return the page as text, writing nothing."""
    return render_page("report.html.j2", _context(run)[0])


def write_page(text, figures, directory):
    """Write a page as ``report.html`` and its figures into ``figures/``; return the page's path."""
    save_figures(figures, directory / "figures")
    path = directory / "report.html"
    partial = path.with_suffix(".html.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path


def render_page(template, context):
    """Return a template of ours filled with `context`, with the house's style in it."""
    loader = PackageLoader("workflows", "templates")
    environment = Environment(
        loader=loader,
        autoescape=True,
        finalize=on_a_page,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup(loader.get_source(environment, "report.css")[0])
    about = {
        "css": style,
        "version": metadata.version("antiperovskite-simtools"),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return environment.get_template(template).render(**about, **context)


def _context(run):
    literature = tables.literature_of(run)
    arrhenius = _arrhenius_figure(run, literature)
    displacements = displacement_figures(run.transport) if run.transport else []
    association = association_figures(run.association)
    mechanisms = mechanism_figures(run)
    shown, folded = mechanism_tables(run)
    altered = counterfactual_figures(run)
    rotation = rotation_figures(
        run.rotors, run.rotation_arrhenius, run.transport, hop_length_A=_hop_length_A(run)
    )
    traces = trace_figures(tables.traces_of(run))
    state, partial = tables.state_of(run)
    context = {
        "title": str(run.recipe.get("title", Path(run.directory).name)),
        "lead": tables.lead(run),
        "state": state,
        "partial": partial,
        "cards": tables.headline_cards(run),
        "cautions": tables.cautions(run),
        "simulated": tables.simulated_rows(run),
        "background": tables.background_statement(run),
        "arrhenius_figure": arrhenius,
        "arrhenius_absent": tables.why_no_arrhenius(run),
        "arrhenius_rows": [*tables.arrhenius_rows(run), *law_rows(run)],
        "transport_table": tables.transport_table(run),
        "sampling_table": tables.sampling_table(run),
        "methods_table": tables.methods_table(run),
        "literature_table": tables.literature_table(literature),
        "displacement_figures": displacements,
        "mechanism_figures": mechanisms,
        "mechanism_tables": shown,
        "methods_tables": folded,
        "disagreements": [
            f"{item.temperature_K:g} K: {text}" for item in run.comparisons for text in item.disagreements
        ],
        "rotation_statements": rotation_statements(run.rotors, run.rotation_arrhenius, run.transport),
        "rotation_tables": rotation_tables(run.rotors, run.rotation_arrhenius),
        "rotation_figures": rotation,
        "rotation_tests": tables_of_tests(run.rotors),
        "association_figures": association,
        "association_table": association_table(run),
        "binding_rows": binding_rows(run),
        "counterfactual_figures": altered,
        "counterfactual_table": counterfactual_table(run),
        "counterfactual_rows": counterfactual_rows(run),
        "warnings": tables.grouped_warnings(run.warnings),
        "potential": machinery.potential_block(run),
        "engine_rows": machinery.engine_rows(run),
        "cost_table": machinery.cost_table(run),
        "trace_figures": traces,
        "points_table": machinery.points_table(run),
        "provenance": machinery.provenance_rows(run),
        "recipe_text": to_toml(run.recipe),
    }
    every = (arrhenius, *displacements, *mechanisms, *rotation, *association, *altered, *traces)
    figures = [item for item in every if item is not None]
    return context, figures


def _hop_length_A(run):
    """Return the distance between neighbouring sites that the run was analysed with, Å, or None."""
    about = run.summary.get("provenance", {}).get("arguments", {})
    return about.get("system", {}).get("hop_length_A")


def _arrhenius_figure(run, literature):
    if not run.transport:
        return None
    title, caption = (
        "Conductivity against temperature",
        "This work: ionic conductivity (filled) and Nernst–Einstein (open); bars are 95 % intervals, "
        "arrows point down from 95 % upper limits. Line and band: Arrhenius fit of the ionic σT and its 95 % "
        "band, dashed where extrapolated. Other symbols: the literature on this composition, open for "
        "experiments; carrier concentrations differ and are often unknown.",
    )
    if not any(result.charge_e for result in run.transport):
        title, caption = "Tracer diffusivity against temperature", "Bars are 95 % intervals."
    return single_figure(
        "arrhenius",
        title,
        caption,
        plots.plot_arrhenius,
        run.transport,
        run.arrhenius,
        literature=literature,
        width_in=8.6,
        height_in=5.4,
    )
