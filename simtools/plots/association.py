"""Fraction of cation vacancies bound to their partner, and the free energy of that, against temperature."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from simtools.plots.style import (
    GREY,
    SEQUENCE,
    add_legend,
    as_tuple,
    dress,
    interval_bars,
    is_limit,
    is_value,
    new_axes,
    plain,
)

MARKERS = ("o", "s", "D", "^", "v", "p")


def plot_association(results, *, ax=None):
    """Draw the bound fraction with 95 % intervals against temperature and return the Axes.

    Parameters
    ----------
    results
        One association result or several, each with `temperature_K` and an Estimate `bound_fraction`;
        `random_fraction`, what a random arrangement would give, is drawn as well where it is present. Or
        ``{label: results}`` for several series; without labels each kind of partner is one series.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    series = _series(results)
    for number, (label, items) in enumerate(series.items()):
        colour = _draw(ax, number, label, items, "bound_fraction", below=0.05)
        random = [item for item in items if getattr(item, "random_fraction", None) is not None]
        if random:
            ax.plot(
                [item.temperature_K for item in random],
                [float(item.random_fraction) for item in random],
                color=GREY if len(series) == 1 else colour,
                linestyle="--",
                linewidth=1.2,
                label="random arrangement" if number == 0 else None,
            )
    ax.set_ylim(-0.02, 1.02)
    ax.margins(x=0.1)
    add_legend(ax, loc="best")
    return dress(ax, xlabel="temperature (K)", ylabel="vacancies bound to a partner (fraction)")


def plot_binding(results, *, static_eV=None, ax=None):
    """Draw the effective binding free energy with 95 % intervals against temperature and return the Axes.

    Parameters
    ----------
    results
        As for `plot_association`; each result has an Estimate `binding_free_energy_eV`.
    static_eV
        {label of a series: binding energy of the relaxed pair at rest, eV}, drawn at 0 K.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    static_eV = static_eV or {}
    for number, (label, items) in enumerate(_series(results).items()):
        colour = _draw(ax, number, label, items, "binding_free_energy_eV", below=0.03)
        if label in static_eV:
            ax.plot(
                [0],
                [static_eV[label]],
                marker="*",
                markersize=12,
                linestyle="none",
                color=colour,
                label=f"{plain(label)}: relaxed pair, 0 K",
            )
    ax.axhline(0, color=GREY, linewidth=1.2, linestyle="--", label="no binding")
    ax.margins(x=0.1, y=0.12)
    if static_eV:
        ax.set_xlim(left=-40)
    add_legend(ax, loc="best")
    return dress(ax, xlabel="temperature (K)", ylabel="binding free energy (eV)")


def _series(results):
    """Return {label: results by rising temperature}."""
    if not isinstance(results, Mapping):
        items = as_tuple(results)
        partners = dict.fromkeys(getattr(item, "partner", None) for item in items)
        grouped = {name: [i for i in items if getattr(i, "partner", None) == name] for name in partners}
        results = (
            {"this work": items}
            if len(grouped) < 2
            else {f"beside {name}": group for name, group in grouped.items()}
        )
    return {
        label: sorted(items, key=lambda item: item.temperature_K) for label, items in results.items() if items
    }


def _draw(ax, number, label, items, name, *, below):
    """Draw values with bars and limits with arrows; return the colour."""
    colour, marker = SEQUENCE[number % len(SEQUENCE)], MARKERS[number % len(MARKERS)]
    known = [item for item in items if is_value(getattr(item, name))]
    if known:
        values, bars = interval_bars([getattr(item, name) for item in known])
        ax.errorbar(
            [item.temperature_K for item in known],
            values,
            yerr=bars,
            fmt=marker,
            color=colour,
            capsize=3,
            markersize=6,
            label=plain(label),
        )
    limits = [
        item
        for item in items
        if is_limit(getattr(item, name)) and np.isfinite(getattr(item, name).upper_limit)
    ]
    for i, item in enumerate(limits):
        ax.errorbar(
            [item.temperature_K],
            [getattr(item, name).upper_limit],
            yerr=below,
            uplims=True,
            fmt="v",
            color=colour,
            label=f"{plain(label)}: upper limit" if i == 0 else None,
        )
    return colour
