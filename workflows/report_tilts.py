"""Tilts of octahedra on a page: tables and figures. Nothing is analysed here."""

from simtools import plots
from simtools.plots import format_estimate
from workflows.report_figures import panel_figure

__all__ = ["tilt_figures", "tilt_tables"]

_AXES = "xyz"


def tilt_tables(studies):
    """Return one table for each kind of octahedra: tilts about x, y and z at each temperature.

    Parameters
    ----------
    studies
        `TiltStudy` of each kind and temperature.
    """
    tables = []
    for name, own in _by_kind(studies).items():
        rows = [
            [f"root mean square tilt about {axis}", *(format_estimate(s.tilts.rms_deg[k], "°") for s in own)]
            for k, axis in enumerate(_AXES)
        ]
        rows += [
            [f"share of it frozen in, {axis}", *(_share(s.tilts, k) for s in own)]
            for k, axis in enumerate(_AXES)
        ]
        rows += [
            [
                f"correlation of neighbours along {axis}: tilts about {', '.join(_AXES)}",
                *(", ".join(_number(value) for value in s.tilts.neighbour_correlation[:, k]) for s in own),
            ]
            for k, axis in enumerate(_AXES)
        ]
        tables.append(
            {
                "columns": [f"tilts of {name}", *(_heading(s) for s in own)],
                "rows": rows,
                "caption": f"Tilts of {name} octahedra, 95 % intervals. Neighbours along the axis of a tilt: "
                "+1 in phase, −1 out of phase; across it −1 where they share corners.",
            }
        )
    return tables


def tilt_figures(studies):
    """Return, for each kind of octahedra, densities of tilts and how long they last."""
    figures = []
    for name, own in _by_kind(studies).items():
        items = [(_heading(item), item.tilts) for item in own]
        figures += [
            panel_figure(
                f"tilts-{name}",
                f"Tilts of {name}",
                "Density of the tilt about each axis over octahedra, time and replicas.",
                plots.plot_tilt_density,
                items,
            ),
            panel_figure(
                f"tilt-times-{name}",
                f"How long tilts of {name} last",
                "Autocorrelation of the tilt about each axis over its mean square; a plateau is frozen in.",
                plots.plot_tilt_autocorrelation,
                items,
            ),
        ]
    return figures


def _by_kind(studies):
    found = {}
    for study in studies:
        found.setdefault(study.octahedra, []).append(study)
    return found


def _heading(study):
    return "value" if study.temperature_K is None else f"{study.temperature_K:g} K"


def _share(tilts, axis):
    square = tilts.mean_square_deg2[axis]
    return f"{tilts.static_square_deg2[axis] / square:.2f}" if square > 0 else "–"


def _number(value):
    return "–" if value != value else f"{value:.2f}"
