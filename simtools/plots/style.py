"""Colours, sizes and number formats shared by the figures. Nothing here touches matplotlib's global state."""

from __future__ import annotations

import math

#: Okabe and Ito's palette: distinguishable with every common colour-vision deficiency.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
GREY = "#6b7280"
SEQUENCE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION)

LABEL_SIZE = 11
TICK_SIZE = 10
NOTE_SIZE = 9


def as_tuple(results):
    """Return one result, or several, as a tuple."""
    return tuple(results) if isinstance(results, (list, tuple)) else (results,)


def new_axes(*, width_in=6.4, height_in=4.4):
    """Return the Axes of a new figure that pyplot knows nothing of (no backend, no state, no leak)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    return figure.add_subplot()


def new_row(n_axes, *, width_in=11.4, height_in=2.5):
    """Return `n_axes` Axes side by side in one new figure, an array; see `new_axes`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained").subplots(1, n_axes, squeeze=False)[0]


def dress(ax, *, xlabel=None, ylabel=None):
    """Give `ax` the house's labels, sizes and light grid; return it."""
    if xlabel is not None:
        ax.set_xlabel(xlabel, fontsize=LABEL_SIZE)
    if ylabel is not None:
        ax.set_ylabel(ylabel, fontsize=LABEL_SIZE)
    ax.tick_params(which="both", labelsize=TICK_SIZE, direction="in", top=True, right=True)
    ax.grid(visible=True, which="major", color="#d1d5db", linewidth=0.6, alpha=0.7)
    ax.set_axisbelow(True)
    return ax


def add_legend(ax, *, first="", **options):
    """Draw a legend if anything on `ax` is labelled; labels that begin with `first` lead it."""
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        order = sorted(range(len(labels)), key=lambda i: not labels[i].startswith(first))
        handles, labels = [handles[i] for i in order], [labels[i] for i in order]
        ax.legend(
            handles, labels, **{"fontsize": NOTE_SIZE, "framealpha": 0.9, "edgecolor": "#d1d5db"} | options
        )
    return ax


def temperature_colours(temperatures_K):
    """Return {temperature: colour}, cold to hot along the part of `viridis` that is legible on white."""
    from matplotlib import colormaps

    distinct = sorted(set(map(float, temperatures_K)))
    span = max(len(distinct) - 1, 1)
    return {t: colormaps["viridis"](0.85 * i / span) for i, t in enumerate(distinct)}


def plain(text):
    """Return `text` with nothing left that matplotlib would read as mathematics."""
    return str(text).replace("$", r"\$")


def is_limit(estimate):
    """Return whether `estimate` says only that the quantity is below something."""
    return estimate is not None and estimate.is_limit


def is_value(estimate):
    """Return whether `estimate` carries a finite value."""
    return estimate is not None and not estimate.is_limit and math.isfinite(estimate.value)


def interval_bars(estimates, *, scale=None):
    """Return values and the (2, n) distances to the ends of their 95 % intervals, as `errorbar` wants them.

    Ends that are unknown (nan) or infinite give a bar of length zero: the caller marks those points.
    """
    scale = [1.0] * len(estimates) if scale is None else scale
    values, below, above = [], [], []
    for estimate, factor in zip(estimates, scale, strict=True):
        low, high = estimate.ci95
        values.append(estimate.value * factor)
        below.append(_length(estimate.value - low) * factor)
        above.append(_length(high - estimate.value) * factor)
    return values, [below, above]


def _length(distance):
    return distance if math.isfinite(distance) and distance > 0 else 0.0
