"""One quantity by several methods, and quantities against temperature with limits among them."""

from __future__ import annotations

import math

import numpy as np

from simtools.plots.style import (
    BLUE,
    GREY,
    SEQUENCE,
    VERMILION,
    add_legend,
    dress,
    interval_bars,
    is_limit,
    is_value,
    new_axes,
    plain,
)

__all__ = ["plot_against_temperature", "plot_methods"]

_MARKERS = "osD^vP"


def plot_methods(result, *, ax=None):
    """Draw the estimates of one quantity below each other, the reported one on top with its 95 % band.

    Parameters
    ----------
    result
        A `MethodAgreement`. Open symbols have no interval; arrows point down from 95 % upper limits.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes(width_in=6.4, height_in=0.9 + 0.38 * len(result.labels)) if ax is None else ax
    for row, (label, estimate) in enumerate(zip(result.labels, result.estimates, strict=True)):
        colour = VERMILION if row == 0 else BLUE
        if is_value(estimate):
            known = all(math.isfinite(end) for end in estimate.ci95)
            values, bars = interval_bars([estimate])
            fill = colour if known else "white"
            ax.errorbar(values, [row], xerr=bars, fmt="o", color=colour, markerfacecolor=fill, capsize=3)
            if row == 0 and known:
                ax.axvspan(*estimate.ci95, color=VERMILION, alpha=0.08, linewidth=0)
        elif is_limit(estimate) and math.isfinite(estimate.upper_limit):
            ax.plot([estimate.upper_limit], [row], marker="<", color=colour)
    ax.set_yticks(range(len(result.labels)), [plain(label) for label in result.labels])
    ax.set_ylim(len(result.labels) - 0.5, -0.5)
    ax.margins(x=0.12)
    names = {
        "tracer_diffusivity": f"D* of {result.species} (cm²/s)",
        "ionic_conductivity": "ionic conductivity (S/cm)",
    }
    return dress(ax, xlabel=names.get(result.quantity_name, f"{result.quantity_name} ({result.unit})"))


def plot_against_temperature(series, *, ylabel, log=False, band=None, ax=None):
    """Draw estimates against temperature, one colour per series, with 95 % intervals.

    Parameters
    ----------
    series
        {label: [(temperature in K, Estimate)]}; an upper limit is an arrow that points down.
    ylabel
        What the ordinate is, with its unit.
    log
        Logarithmic ordinate.
    band
        (temperatures, low, high) to shade, or None.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    temperatures = [t for points in series.values() for t, _ in points]
    apart = 0.008 * (max(temperatures) - min(temperatures)) if temperatures else 0.0
    if band is not None:
        ax.fill_between(*(np.asarray(item) for item in band), color=GREY, alpha=0.18, linewidth=0)
    for number, (label, points) in enumerate(series.items()):
        colour, marker = SEQUENCE[number % len(SEQUENCE)], _MARKERS[number % len(_MARKERS)]
        shift = apart * (number - (len(series) - 1) / 2)
        known = [(t, item) for t, item in points if is_value(item)]
        limits = [
            (t, item.upper_limit) for t, item in points if is_limit(item) and math.isfinite(item.upper_limit)
        ]
        if known:
            values, bars = interval_bars([item for _, item in known])
            places = [t + shift for t, _ in known]
            ax.errorbar(places, values, yerr=bars, fmt=marker, color=colour, capsize=3, label=plain(label))
        if limits:
            places, tops = zip(*((t + shift, top) for t, top in limits), strict=True)
            name = None if known else f"{plain(label)} (95 % upper limit)"
            ax.plot(
                places,
                tops,
                linestyle="none",
                marker=r"$\downarrow$",
                markersize=11,
                color=colour,
                label=name,
            )
    if log:
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=0)
    ax.margins(x=0.1)
    add_legend(ax, loc="best")
    return dress(ax, xlabel="temperature (K)", ylabel=ylabel)
