"""Energy along minimum-energy paths."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicHermiteSpline

from simtools.plots.style import BLACK, BLUE, GREY, NOTE_SIZE, SEQUENCE, add_legend, dress, new_axes, plain

__all__ = ["plot_path", "plot_paths"]

_FINE = 400
_SHALLOW = 0.4
"""A barrier below this part of the drawn range is written under its level, clear of the curve."""


def plot_path(path, *, ax=None, color=BLUE):
    """Draw the energy along one path: images, the spline through energies and slopes, the barriers.

    Parameters
    ----------
    path
        A `simtools.md.pathways.MigrationPath`.
    ax
        Axes to draw on; a new figure by default.
    color
        Of curve and points.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    coordinate, energies = _spline(path)
    ax.plot(coordinate, energies, color=color, linewidth=1.6, zorder=3)
    top = path.saddle_index
    images = np.arange(len(path.energies_eV))
    others = images != top
    points = dict(linestyle="none", marker="o", markersize=6, zorder=4)
    ax.plot(path.reaction_coordinate_A[others], path.energies_eV[others], color=color, **points)
    saddle = path.reaction_coordinate_A[top], path.energies_eV[top]
    ax.plot(*saddle, color="white", markeredgecolor=BLACK, markeredgewidth=1.5, **points)
    _mark_barriers(ax, path)
    ax.margins(x=0.05)
    low, high = min(0.0, energies.min()), energies.max()
    ax.set_ylim(low - 0.08 * (high - low), high + 0.22 * (high - low))
    return dress(ax, xlabel="reaction coordinate (Å)", ylabel="energy (eV)")


def plot_paths(paths, *, labels=None, ax=None):
    """Draw several paths in one figure, their highest points at zero on the reaction coordinate.

    Parameters
    ----------
    paths
        `simtools.md.pathways.MigrationPath`, one or more.
    labels
        For the legend; the paths' names by default.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    labels = [path.name for path in paths] if labels is None else labels
    for i, (path, label) in enumerate(zip(paths, labels, strict=True)):
        coordinate, energies = _spline(path)
        centre = path.reaction_coordinate_A[path.saddle_index]
        color, style = SEQUENCE[i % len(SEQUENCE)], ("-", "--", ":")[i // len(SEQUENCE) % 3]
        ax.plot(
            coordinate - centre, energies, color=color, linestyle=style, linewidth=1.6, label=plain(label)
        )
        ax.plot(
            path.reaction_coordinate_A - centre,
            path.energies_eV,
            color=color,
            linestyle="none",
            marker="o",
            markersize=4,
        )
    dress(ax, xlabel="distance from the saddle point along the path (Å)", ylabel="energy (eV)")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.06 * (len(paths) + 1) * (high - low))
    return add_legend(ax, loc="upper left")


def _spline(path):
    fine = np.linspace(0, path.reaction_coordinate_A[-1], _FINE)
    spline = CubicHermiteSpline(path.reaction_coordinate_A, path.energies_eV, path.slopes_eV_per_A)
    return fine, spline(fine)


def _mark_barriers(ax, path):
    """Draw the levels of the ends and the height of the saddle point above each."""
    length, top = path.reaction_coordinate_A[-1], path.energies_eV[path.saddle_index]
    place = path.reaction_coordinate_A[path.saddle_index]
    last = path.energies_eV[-1]
    ax.hlines([0.0], 0, length, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
    ends = [(0.0, path.barrier_forward_eV, "forward" if abs(last) > 1e-3 else "")]
    if abs(last) > 1e-3:
        ax.hlines([last], place, length, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
        ends.append((last, path.barrier_backward_eV, "backward"))
    for i, (level, barrier, word) in enumerate(ends):
        x = place + (0 if len(ends) == 1 else (i - 0.5) * 0.06 * length)
        ax.annotate(
            "",
            (x, top),
            (x, level),
            arrowprops={"arrowstyle": "<->", "color": GREY, "shrinkA": 0, "shrinkB": 4, "linewidth": 1.0},
            zorder=2,
        )
        text = f"{barrier:.3f} eV" + (f" {word}" if word else "")
        low = barrier < _SHALLOW * (top - min(0.0, last))
        ax.annotate(
            text,
            (x, level if low else level + 0.45 * (top - level)),
            xytext=(-5 if i == 0 else 5, -5 if low else 0),
            textcoords="offset points",
            ha="right" if i == 0 else "left",
            va="top" if low else "center",
            fontsize=NOTE_SIZE,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
            zorder=5,
        )
