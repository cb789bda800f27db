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
_AXIS = {
    "tracer_diffusivity_cm2_per_s": ("D*", "cm²/s"),
    "charge_diffusivity_cm2_per_s": (r"$D_\sigma$", "cm²/s"),
    "haven_ratio": ("Haven ratio", ""),
    "ionic_conductivity_S_per_cm": ("conductivity", "S/cm"),
}


def plot_methods(comparison, quantity, *, ax=None):
    """Draw the estimates of one quantity below each other, the reported one on top with its 95 % band.

    Parameters
    ----------
    comparison
        A `MethodComparison`.
    quantity
        One of its quantities, such as ``"tracer_diffusivity_cm2_per_s"``. Triangles point down from 95 %
        upper limits.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    estimates = comparison.of(quantity)
    ax = new_axes(width_in=6.4, height_in=0.9 + 0.38 * len(estimates)) if ax is None else ax
    sizes = [item.upper_limit if item.is_limit else abs(item.value) for item in estimates.values()]
    largest = max((size for size in sizes if math.isfinite(size) and size > 0), default=1.0)
    power = 0 if 1e-3 <= largest < 1e4 else math.floor(math.log10(largest))
    for row, estimate in enumerate(estimates.values()):
        colour = VERMILION if row == 0 else BLUE
        if is_value(estimate):
            values, bars = interval_bars([estimate.scaled(10.0**-power)])
            ax.errorbar(values, [row], xerr=bars, fmt="o", color=colour, capsize=3)
            if row == 0 and all(math.isfinite(end) for end in estimate.ci95):
                low, high = (end * 10.0**-power for end in estimate.ci95)
                ax.axvspan(low, high, color=VERMILION, alpha=0.08, linewidth=0)
        elif is_limit(estimate) and math.isfinite(estimate.upper_limit):
            ax.plot([estimate.upper_limit * 10.0**-power], [row], marker="<", color=colour)
    ax.set_yticks(range(len(estimates)), [plain(method) for method in estimates])
    ax.set_ylim(len(estimates) - 0.5, -0.5)
    ax.margins(x=0.12)
    symbol, unit = _AXIS.get(quantity, (quantity, ""))
    scale = rf"$10^{{{power}}}$ " if power else ""
    inside = f"{scale}{unit}".strip()
    return dress(ax, xlabel=f"{symbol} of {plain(comparison.species)}" + (f" ({inside})" if inside else ""))


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
        (label, temperatures, low, high) to shade, or None.
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
        label, *edges = band
        ax.fill_between(
            *(np.asarray(item) for item in edges), color=GREY, alpha=0.18, linewidth=0, label=label
        )
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
    add_legend(ax, loc="best", first=plain(next(iter(series), "")))
    return dress(ax, xlabel="temperature (K)", ylabel=ylabel)
