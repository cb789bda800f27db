"""The figures of a report: Results drawn by `simtools.plots`, each as one piece of SVG for the page."""

import io
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from markupsafe import Markup

from simtools import plots

__all__ = [
    "ReportFigure",
    "association_figures",
    "displacement_figures",
    "panel_figure",
    "save_figures",
    "single_figure",
    "trace_figures",
]

_REFERENCE = re.compile(r'(\bid="|href="#|url\(#)')
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
MAX_TRACE_PANELS = 12
_PICTURE_DPI = 150
_MOST_NAMED_RUNS = 6
_PANEL_TITLE_SIZE = 9


@dataclass(frozen=True, eq=False)
class ReportFigure:
    """One figure of the report; `drawn` is the matplotlib Figure."""

    name: str
    title: str
    caption: str
    drawn: object = field(repr=False)

    @cached_property
    def svg(self):
        """The figure as SVG markup that can stand inside an HTML page beside others.

        Text is drawn as outlines, so that no font has to be there; identifiers are prefixed with the
        figure's name, because they are global in a page.
        """
        buffer = io.StringIO()
        self.drawn.savefig(buffer, format="svg", metadata={"Date": None, "Title": self.title})
        text = buffer.getvalue()
        text = _METADATA.sub("", text[text.index("<svg") :])
        return Markup(_REFERENCE.sub(lambda match: f"{match[1]}{self.name}-", text))


def save_figures(figures, directory):
    """Write every figure as SVG and as PNG into `directory`; return the paths."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for figure in figures:
        drawing, picture = (directory / f"{figure.name}{suffix}" for suffix in (".svg", ".png"))
        drawing.write_text(figure.svg, encoding="utf-8")
        figure.drawn.savefig(picture, dpi=_PICTURE_DPI)
        written += [drawing, picture]
    return written


def single_figure(name, title, caption, plot, *arguments, width_in=6.4, height_in=4.4, **options):
    """Return the figure that ``plot(*arguments, ax=..., **options)`` draws."""
    ax = plots.new_axes(width_in=width_in, height_in=height_in)
    plot(*arguments, ax=ax, **options)
    return ReportFigure(name, title, caption, ax.figure)


def association_figures(results, *, static_eV=None):
    """Return how many vacancies are bound and what holds them, or nothing where none can be bound.

    Parameters
    ----------
    results, static_eV
        As for `simtools.plots.plot_binding`.
    """
    if not results:
        return []
    size = {"width_in": 5.6, "height_in": 4.0}
    at_rest = ", with the energy of the relaxed pair at 0 K" if static_eV else ""
    return [
        single_figure(
            "association",
            "Vacancies bound to their partner",
            "Fraction of the cation vacancies whose nearest partner is in the first shell of sites around "
            "them, averaged over production and replicas, with 95 % intervals; dashed: partners placed at "
            "random.",
            plots.plot_association,
            results,
            **size,
        ),
        single_figure(
            "binding",
            "Binding free energy",
            "Effective free energy of the first shell against all other sites, from the bound fraction, with "
            f"95 % intervals{at_rest}. Negative: held.",
            plots.plot_binding,
            results,
            static_eV=static_eV,
            **size,
        ),
    ]


def panel_figure(name, title, caption, plot, items, *, height_in=3.5, panel_width_in=4.0, rows=False):
    """Return one figure with a panel for each of `items`, or None without any.

    Parameters
    ----------
    name, title, caption
        As for `single_figure`.
    plot
        Function of a Result and ``ax``.
    items
        Pairs of what heads the panel and the Result.
    height_in, panel_width_in
        Height of the figure and width of each panel, inches.
    rows
        Panels share the names of their rows, which stand on the left only.
    """
    if not items:
        return None
    width_in = max(5.6, panel_width_in * len(items))
    axes = plots.new_row(len(items), width_in=width_in, height_in=height_in)
    for ax, (heading, result) in zip(axes, items, strict=True):
        plot(result, ax=ax)
        if rows and ax is not axes[0]:
            ax.tick_params(axis="y", labelleft=False)
        below = ax.get_title()
        ax.set_title(f"{heading}\n{below}" if below else heading, fontsize=_PANEL_TITLE_SIZE)
    return ReportFigure(name, title, caption, axes[0].figure)


def displacement_figures(transport):
    """Return the mean squared displacement, its local exponent, the charge MSD and the Haven ratio."""
    one = len(transport) == 1
    band = "shaded" if one else "the broad translucent part of each curve"
    size = {"width_in": 5.6, "height_in": 4.3}
    figures = [
        single_figure(
            "msd",
            "Mean squared displacement",
            f"Average over window starts, ions and replicas (thick) and each replica (thin). The window that "
            f"was fitted is {band}.",
            plots.plot_msd,
            transport,
            **size,
        ),
        single_figure(
            "local-exponent",
            "Local exponent of the mean squared displacement",
            "1 is diffusion (dashed). It is approached from below, because vibrations add a constant to the "
            "displacement, which the fit allows for; a rattling cage stays near 0.",
            plots.plot_local_exponent,
            transport,
            **size,
        ),
    ]
    if any(_moves_as_a_whole(item) for item in transport):
        figures.append(
            single_figure(
                "charge-msd",
                "Charge displacement",
                "Square of the summed displacement of all mobile ions, per ion, as it was sampled. Its slope "
                "gives the charge diffusivity and with it the ionic conductivity. The fit is to the same sum "
                "without the vibration of the sublattice as a whole (the ripples of this curve), over the "
                "broad translucent part.",
                plots.plot_charge_msd,
                transport,
                **size,
            )
        )
    if any(item.haven_ratio is not None and not item.haven_ratio.is_limit for item in transport):
        figures.append(
            single_figure(
                "haven-ratio",
                "Haven ratio",
                "Tracer over charge diffusivity, with 95 % intervals, beside the value of a lone vacancy on "
                "the cation sublattice of the cubic anti-perovskite and that of independent ions.",
                plots.plot_haven_ratio,
                transport,
                **size,
            )
        )
    return figures


def _moves_as_a_whole(result):
    """Return whether the mobile ions' centre moves: not where they are all there is."""
    charge = result.charge_diffusivity_cm2_per_s
    return not charge.is_limit or charge.upper_limit > 0


def trace_figures(points):
    """Return one figure for each temperature: temperature, potential and conserved energy of its points.

    Parameters
    ----------
    points
        Pairs of a temperature (K) and a list of (label, thermo DataFrame, number of ions or None).
    """
    return [_trace_figure(*point) for point in points[:MAX_TRACE_PANELS]]


def _trace_figure(temperature_K, records):
    axes = plots.new_row(3)
    for number, (label, thermo, n_atoms) in enumerate(records):
        colour = plots.SEQUENCE[number % len(plots.SEQUENCE)]
        plots.plot_temperature_trace(thermo, ax=axes[0], label=label, color=colour)
        for ax, quantity in ((axes[1], "potential_energy_eV"), (axes[2], "conserved_energy_eV")):
            if quantity in thermo and thermo[quantity].notna().any():
                plots.plot_energy_trace(thermo, quantity=quantity, n_atoms=n_atoms, ax=ax, color=colour)
    axes[0].axhline(temperature_K, color="black", linewidth=1.0, linestyle="--", zorder=4)
    if records:
        plots.mark_stages(axes[0], records[-1][1])
    if 1 < len(records) <= _MOST_NAMED_RUNS:
        axes[0].legend(loc="lower right", fontsize=7, framealpha=0.8, handlelength=1.2, labelspacing=0.2)
    return ReportFigure(
        f"traces-{temperature_K:g}K".replace(".", "p"),
        f"{temperature_K:g} K",
        f"Runs: {', '.join(label for label, _, _ in records)}.",
        axes[0].figure,
    )
