"""Conductivity against inverse temperature, with the fit, its band, and what the literature says."""

from __future__ import annotations

import numpy as np

from simtools.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    NOTE_SIZE,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    add_legend,
    dress,
    interval_bars,
    is_limit,
    is_value,
    new_axes,
    plain,
)

ROOM_TEMPERATURE_K = 300.0

_LITERATURE_STYLE = (("s", VERMILION), ("D", GREEN), ("^", ORANGE), ("p", PURPLE), ("h", SKY), ("*", GREY))


def plot_arrhenius(transports, fit=None, *, literature=(), ax=None):
    r"""Draw :math:`\sigma T` against 1000/T on a log axis and return the Axes.

    Parameters
    ----------
    transports
        One `TransportResult` or several of one species: the ionic conductivity (from the charge
        diffusivity) as filled circles, Nernst-Einstein as open ones, both with 95 % intervals. Upper
        limits are arrows that point down from the limit.
    fit
        `ArrheniusResult`: its line, its 95 % band and its value at 300 K, which lies outside the data and is
        marked as extrapolated. None (one temperature, nothing moved) leaves the line out.
    literature
        Points of `simtools.reference.literature_points`, one marker for each study.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        With the temperature in kelvin along the top.
    """
    transports = tuple(transports) if isinstance(transports, (list, tuple)) else (transports,)
    ax = new_axes(width_in=7.2, height_in=5.2) if ax is None else ax
    ax.set_yscale("log")
    _draw_estimates(
        ax,
        [(result.temperature_K, result.nernst_einstein_conductivity_S_per_cm) for result in transports],
        label="Nernst–Einstein, from D*",
        fmt="o",
        color=SKY,
        markerfacecolor="white",
        markersize=6,
        zorder=3,
    )
    _draw_estimates(
        ax,
        [(result.temperature_K, result.ionic_conductivity_S_per_cm) for result in transports],
        label="this work, ionic conductivity",
        fmt="o",
        color=BLUE,
        markersize=6.5,
        zorder=5,
    )
    if fit is not None:
        _draw_fit(ax, fit)
    _draw_literature(ax, literature)
    _kelvin_axis(ax)
    add_legend(ax, loc="best")
    return dress(ax, xlabel="1000 / T  (K⁻¹)", ylabel="σT  (S K cm⁻¹)")


def _draw_estimates(ax, pairs, *, label, **style):
    known = [(temperature, estimate) for temperature, estimate in pairs if is_value(estimate)]
    if known:
        temperatures = np.array([temperature for temperature, _ in known], float)
        values, bars = interval_bars([estimate for _, estimate in known], scale=temperatures)
        floor = np.array(values) * 1e-3
        bars[0] = np.minimum(bars[0], np.array(values) - floor)
        ax.errorbar(1000 / temperatures, values, yerr=bars, capsize=3, label=label, **style)
    limits = [(temperature, estimate.upper_limit) for temperature, estimate in pairs if is_limit(estimate)]
    for number, (temperature, limit) in enumerate(limits):
        _draw_limit(
            ax,
            temperature,
            limit,
            style["color"],
            None if number or known else f"{label}: upper limit",
        )


def _draw_limit(ax, temperature_K, limit_S_per_cm, colour, label=None):
    x, y = 1000 / temperature_K, limit_S_per_cm * temperature_K
    ax.plot(
        [x], [y], marker="_", markersize=12, markeredgewidth=2, color=colour, linestyle="none", label=label
    )
    ax.annotate(
        "",
        xy=(x, y),
        xytext=(0, -26),
        textcoords="offset points",
        arrowprops={"arrowstyle": "<|-", "color": colour, "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0},
    )


def _draw_fit(ax, fit):
    temperatures = np.asarray(fit.curve_temperatures_K)
    line, band = fit.curve_sigma_T, fit.curve_sigma_T_ci95
    fitted = (temperatures >= min(fit.temperatures_K)) & (temperatures <= max(fit.temperatures_K))
    x = 1000 / temperatures
    ax.plot(x, line, color=BLUE, linewidth=1.0, linestyle="--", zorder=2)
    ax.plot(x[fitted], np.asarray(line)[fitted], color=BLUE, linewidth=1.8, zorder=2, label=_fit_label(fit))
    ax.fill_between(x, band[0], band[1], color=BLUE, alpha=0.13, linewidth=0, label="95 % band of the fit")


def _fit_label(fit):
    low, high = fit.activation_energy_eV.ci95
    return f"fit, Eₐ = {fit.activation_energy_eV.value:.2f} ({low:.2f} to {high:.2f}) eV"


def _draw_literature(ax, points):
    styles = {}
    for point in points:
        label = plain(point.label)
        if label not in styles:
            styles[label] = _LITERATURE_STYLE[len(styles) % len(_LITERATURE_STYLE)]
            shown = label
        else:
            shown = None
        marker, colour = styles[label]
        ax.plot(
            [1000 / point.temperature_K],
            [point.conductivity_S_per_cm * point.temperature_K],
            marker=marker,
            color=colour,
            markeredgecolor=BLACK,
            markeredgewidth=0.5,
            markersize=7,
            linestyle="none",
            label=shown,
            zorder=4,
        )


def _kelvin_axis(ax):
    top = ax.secondary_xaxis("top", functions=(_reciprocal, _reciprocal))
    top.set_xlabel("T (K)", fontsize=NOTE_SIZE)
    top.tick_params(labelsize=NOTE_SIZE)


def _reciprocal(x):
    with np.errstate(divide="ignore"):
        return 1000 / np.asarray(x, float)
