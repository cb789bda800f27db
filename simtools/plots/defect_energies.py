"""Energies of defect reactions, binding against distance, concentrations against temperature."""

from __future__ import annotations

import re

import numpy as np

from simtools.defects.kroger_vink import parse_defect
from simtools.plots.style import (
    BLACK,
    BLUE,
    GREY,
    NOTE_SIZE,
    ORANGE,
    SEQUENCE,
    SKY,
    add_legend,
    dress,
    new_axes,
    plain,
)
from simtools.plots.text import format_number

__all__ = ["plot_binding_against_distance", "plot_concentrations", "plot_reaction_energies"]

_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_FEWEST_SHOWN = 1e-40
_LABEL_SHARE = 0.012


def plot_reaction_energies(reactions, *, ax=None):
    """Draw reaction energies per defect as bars, the cheapest at the top, and return the Axes.

    Parameters
    ----------
    reactions
        `ReactionEnergy`, one or more; those that make no defect are left out. Each bar carries its energy
        per reaction in words.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    shown = sorted(
        (item for item in reactions if item.n_defects),
        key=lambda item: item.per_defect_eV.value,
        reverse=True,
    )
    ax = new_axes(width_in=7.2, height_in=1.2 + 0.36 * len(shown)) if ax is None else ax
    values = np.array([item.per_defect_eV.value for item in shown])
    ax.barh(range(len(shown)), values, color=[_bar_colour(item) for item in shown], height=0.68, zorder=2)
    halves = [(item.per_defect_eV.ci95[1] - item.per_defect_eV.ci95[0]) / 2 for item in shown]
    ax.errorbar(
        values, range(len(shown)), xerr=halves, fmt="none", ecolor=BLACK, elinewidth=1, capsize=2, zorder=3
    )
    span = max(values.max(), 0) - min(values.min(), 0)
    for k, item in enumerate(shown):
        ax.text(
            max(values[k] + halves[k], 0) + _LABEL_SHARE * span,
            k,
            f"{format_number(values[k], digits=3)}  ({format_number(item.energy_eV.value, digits=3)} for "
            f"{item.n_defects})",
            va="center",
            fontsize=NOTE_SIZE,
        )
    ax.set_yticks(range(len(shown)), [_named(item.name) for item in shown])
    ax.set_xlim(min(values.min(), 0) * 1.05, max(values.max(), 0) + 0.42 * span)
    ax.axvline(0, color=BLACK, linewidth=0.8)
    dress(ax, xlabel="energy per defect (eV)")
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    return ax


def plot_binding_against_distance(curves, *, ax=None):
    """Draw binding energies against the distance of the pair and return the Axes.

    Parameters
    ----------
    curves
        `BindingCurve`, one or more: energies relative to the farthest pair of the cell. A line joins the
        lowest state at each distance; pairs that did not stay where they were put are hollow, at the distance
        at which they were put and with the energy of what they became.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes(width_in=7.2, height_in=4.8) if ax is None else ax
    for k, curve in enumerate(curves):
        colour, marker = SEQUENCE[k % len(SEQUENCE)], _MARKERS[k % len(_MARKERS)]
        staying = [state for state in curve.states if not state.moved]
        lowest = {}
        for state in staying:
            distance = round(state.distance_A, 2)
            lowest[distance] = min(lowest.get(distance, np.inf), curve.relative_to_far_eV(state))
        ax.plot(list(lowest), list(lowest.values()), color=colour, linewidth=1.0, alpha=0.6, zorder=2)
        near = f"{format_number(curve.relative_to_far_eV(curve.nearest), digits=3)} eV"
        _draw_states(ax, curve, staying, colour, marker, colour, f"{_typeset(curve.associate)}: {near}")
        moved = [state for state in curve.states if state.moved]
        _draw_states(ax, curve, moved, colour, marker, "white", None)
    if any(state.moved for curve in curves for state in curve.states):
        hollow = {"marker": "o", "color": GREY, "markerfacecolor": "white", "linestyle": "none"}
        ax.plot([], [], label="hollow: fell to a nearer pair", **hollow)
    ax.axhline(0, color=BLACK, linewidth=0.8, zorder=1)
    dress(ax, xlabel="distance of the pair (Å)", ylabel="energy relative to the farthest pair (eV)")
    return add_legend(ax, loc="lower right")


def plot_concentrations(rows, *, ax=None):
    """Draw equilibrium concentrations under one condition against 1000/T and return the Axes.

    Parameters
    ----------
    rows
        `EquilibriumRow` of one condition, any order.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        Concentrations per formula unit on a logarithmic axis, with the temperature in kelvin along the top;
        what never reaches 1e-40 is left out and said in the legend.
    """
    ax = new_axes(width_in=7.2, height_in=4.8) if ax is None else ax
    ordered = sorted(rows, key=lambda row: row.temperature_K)
    x = np.array([1000 / row.temperature_K for row in ordered])
    style = {label: k for k, label in enumerate(ordered[0].per_formula_unit)}
    highest = {label: max(row.per_formula_unit[label].value for row in ordered) for label in style}
    for label in sorted(style, key=lambda label: -highest[label]):
        k, name = style[label], _typeset(label)
        if highest[label] < _FEWEST_SHOWN:
            ax.plot([], [], linestyle="none", label=f"{name}: below 10⁻⁴⁰")
            continue
        y = np.array([row.per_formula_unit[label].value for row in ordered])
        ax.plot(
            x,
            y,
            color=(*SEQUENCE, GREY, BLACK)[k % (len(SEQUENCE) + 2)],
            marker=_MARKERS[k % len(_MARKERS)],
            markersize=5,
            linewidth=1.4,
            label=name,
        )
    ax.set_yscale("log")
    bottom = max(ax.get_ylim()[0], _FEWEST_SHOWN)
    ax.set_ylim(bottom, None)
    dress(ax, xlabel="1000 / T  (K⁻¹)", ylabel="concentration per formula unit")
    ax.tick_params(which="both", top=False)
    _kelvin_axis(ax, [row.temperature_K for row in ordered])
    return add_legend(ax, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, frameon=False)


def _bar_colour(item):
    if "Schottky" in item.name:
        return BLUE
    return ORANGE if "solution" in item.name else SKY


def _draw_states(ax, curve, states, colour, marker, face, label):
    ax.plot(
        [state.distance_A for state in states],
        [curve.relative_to_far_eV(state) for state in states],
        linestyle="none",
        marker=marker,
        markersize=5.5,
        color=colour,
        markerfacecolor=face,
        label=label,
        zorder=4,
    )


def _typeset(label):
    """Return a Kröger-Vink label or associate as matplotlib's mathematics."""
    defect = parse_defect(label)
    members = getattr(defect, "members", (defect,))
    return " – ".join(f"${member.to_latex()}$" for member in members)


def _named(text):
    """Return the name of a reaction with the numbers of its formulae as subscripts."""
    return plain(re.sub(r"(?<=[A-Za-z])[0-9]+", lambda match: match[0].translate(_SUBSCRIPTS), text))


def _kelvin_axis(ax, temperatures_K):
    from matplotlib.ticker import FixedLocator, NullLocator

    top = ax.secondary_xaxis("top", functions=(_reciprocal, _reciprocal))
    top.set_xlabel("T (K)", fontsize=NOTE_SIZE)
    left, right = ax.get_xlim()
    shown = []
    for kelvin in sorted(temperatures_K):
        if all(abs(1000 / kelvin - 1000 / other) > 0.06 * (right - left) for other in shown):
            shown.append(kelvin)
    top.xaxis.set_major_locator(FixedLocator(shown))
    top.xaxis.set_minor_locator(NullLocator())
    top.tick_params(labelsize=NOTE_SIZE, direction="in")


def _reciprocal(x):
    with np.errstate(divide="ignore"):
        return 1000 / np.asarray(x, float)
