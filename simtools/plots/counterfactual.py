"""Diffusivities of runs with something taken away, over those of their references."""

from __future__ import annotations

import math

from simtools.plots.style import (
    BLUE,
    GREY,
    NOTE_SIZE,
    add_legend,
    as_tuple,
    dress,
    interval_bars,
    is_value,
    new_axes,
    plain,
    temperature_colours,
)

_WORDS = {
    "cone_restraint": "cone {:g}°",
    "frozen_orientation": "orientations frozen",
    "quenched_orientations": "random, frozen",
    "frozen_framework": "framework held",
    "heavy_rotor": "inertia × {:g}",
}


def plot_counterfactual_ratios(results, *, ax=None):
    """Draw D altered over D reference with 95 % intervals on a logarithmic axis and return the Axes.

    Parameters
    ----------
    results
        One `CounterfactualResult` or several; one row for each. Upper limits are arrows to the left; where
        the reference did not diffuse there is no ratio, which is written in its row.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    results = as_tuple(results)
    ax = new_axes() if ax is None else ax
    several = len({item.temperature_K for item in results}) > 1
    colours = temperature_colours([item.temperature_K for item in results])
    labelled = set()
    for row, item in enumerate(results):
        colour = colours[item.temperature_K] if several else BLUE
        label = f"{item.temperature_K:g} K" if item.temperature_K not in labelled else None
        if is_value(item.ratio):
            labelled.add(item.temperature_K)
            values, bars = interval_bars([item.ratio])
            ax.errorbar(values, [row], xerr=bars, fmt="o", color=colour, capsize=3, markersize=6, label=label)
        elif math.isfinite(item.ratio.upper_limit):
            ax.plot([item.ratio.upper_limit], [row], marker="<", color=colour, markersize=8, linestyle="none")
        else:
            ax.annotate(
                "no ratio: the reference did not diffuse",
                (0.02, row),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=NOTE_SIZE,
                color=GREY,
            )
    ax.axvline(1.0, color=GREY, linestyle="--", linewidth=1.2)
    ax.set_xscale("log")
    ax.set_yticks(range(len(results)), [plain(_name(item)) for item in results])
    ax.set_ylim(len(results) - 0.5, -0.5)
    low, high = ax.get_xlim()
    low, high = min(low, 0.3), max(high, 3.0)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    digits = (1, 2, 5) if len(decades) <= 3 else (1,)
    ticks = [digit * 10.0**decade for decade in decades for digit in digits]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlim(low, high)
    dress(ax, xlabel="D altered / D reference")
    return add_legend(ax, loc="best")


def _name(item):
    name = _WORDS[item.kind].format(item.parameter) if item.kind in _WORDS else item.variant
    return name if item.reference == "free" else f"{name} / {item.reference}"
