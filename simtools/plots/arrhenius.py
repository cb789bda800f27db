"""Conductivity against inverse temperature, with the fit, its band, and what the literature says."""

from __future__ import annotations

import numpy as np

from simtools.plots.style import (
    BLUE,
    GREEN,
    GREY,
    NOTE_SIZE,
    ORANGE,
    PURPLE,
    SEQUENCE,
    SKY,
    VERMILION,
    add_legend,
    as_tuple,
    dress,
    interval_bars,
    is_limit,
    is_value,
    new_axes,
    plain,
)

ROOM_TEMPERATURE_K = 300.0
_KELVIN_TICKS = (1000, 500, 300, 200, 100, 700, 400, 2000, 600, 250, 150, 1500, 800, 1200, 350, 120, 180, 900)
_LOWEST_SHARE = 1e-9  # a bar that reaches zero ends at this share of its value: the axis is logarithmic
_TICK_DISTANCE = 0.08  # of the width of the axis

_LITERATURE_STYLE = (("s", VERMILION), ("D", GREEN), ("^", ORANGE), ("p", PURPLE), ("h", SKY), ("*", GREY))


def plot_arrhenius(transports, fit=None, *, literature=(), ax=None):
    r"""Draw :math:`\sigma T` against 1000/T on a log axis and return the Axes.

    Parameters
    ----------
    transports
        One `TransportResult` or several of one species: the ionic conductivity (from the charge
        diffusivity) as filled circles, Nernst-Einstein as open ones, both with 95 % intervals. Upper
        limits are arrows that point down from the limit. Where no ion carries a formal charge the tracer
        diffusivity is drawn instead.
    fit
        `ArrheniusResult`: its line, its 95 % band and its value at 300 K, which lies outside the data and is
        marked as extrapolated. None (one temperature, nothing moved) leaves the line out.
    literature
        Points of `simtools.reference.literature_points`: the conductivities among them are drawn, one
        marker for each study, open for experiments.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        With the temperature in kelvin along the top.
    """
    transports = as_tuple(transports)
    ax = new_axes(width_in=7.2, height_in=5.2) if ax is None else ax
    ax.set_yscale("log")
    if not any(result.charge_e for result in transports):
        pairs = [(result.temperature_K, result.tracer_diffusivity_cm2_per_s) for result in transports]
        _draw_estimates(ax, pairs, power=0, label="this work, D*", fmt="o", color=BLUE, markersize=6.5)
        add_legend(ax, loc="best")
        return _dress(ax, "D*  (cm² s⁻¹)")
    _draw_estimates(
        ax,
        [
            (result.temperature_K, result.nernst_einstein_conductivity_S_per_cm)
            for result in transports
            if is_value(result.nernst_einstein_conductivity_S_per_cm)
        ],
        label="this work, Nernst–Einstein (from D*)",
        fmt="o",
        color=SKY,
        markerfacecolor="white",
        markersize=6,
        zorder=3,
    )
    _draw_estimates(
        ax,
        [(result.temperature_K, result.ionic_conductivity_S_per_cm) for result in transports],
        label="this work, ionic (from D_σ)",
        fmt="o",
        color=BLUE,
        markersize=6.5,
        zorder=5,
    )
    if fit is not None:
        _draw_fit(ax, fit)
    _draw_literature(ax, literature)
    add_legend(
        ax, first="this work", loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, frameon=False
    )
    return _dress(ax, "σT  (S K cm⁻¹)")


def plot_arrhenius_overlay(series, *, fits=None, literature=(), ax=None):
    r"""Draw the ionic :math:`\sigma T` of several systems against 1000/T and return the Axes.

    Parameters
    ----------
    series
        {label: `TransportResult` of each temperature}; values with 95 % intervals, limits as arrows.
    fits
        {label: `ArrheniusResult`}: the line of each within its temperatures, its activation energy in the
        legend.
    literature, ax
        As for `plot_arrhenius`.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes(width_in=7.2, height_in=5.2) if ax is None else ax
    ax.set_yscale("log")
    for number, (label, transports) in enumerate(series.items()):
        colour, name = SEQUENCE[number % len(SEQUENCE)], plain(label)
        fit = (fits or {}).get(label)
        if fit is not None and is_value(fit.activation_energy_eV):
            low, high = fit.activation_energy_eV.ci95
            name += f"\nEₐ = {fit.activation_energy_eV.value:.2f} ({low:.2f} to {high:.2f}) eV"
            x = 1000 / np.array([max(fit.temperatures_K), min(fit.temperatures_K)], float)
            curve_x, curve = 1000 / np.asarray(fit.curve_temperatures_K), np.log(fit.curve_sigma_T)
            order = np.argsort(curve_x)
            line = np.exp(np.interp(x, curve_x[order], curve[order]))  # straight: two ends say all
            ax.plot(x, line, color=colour, linewidth=1.6, zorder=4)
        _draw_estimates(
            ax,
            [(item.temperature_K, item.ionic_conductivity_S_per_cm) for item in transports],
            label=name,
            fmt="o",
            color=colour,
            markersize=6.5,
            zorder=5 + number,
        )
    _draw_literature(ax, literature)
    add_legend(ax, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, frameon=False)
    return _dress(ax, "σT  (S K cm⁻¹)")


def _dress(ax, ylabel):
    dress(ax, xlabel="1000 / T  (K⁻¹)", ylabel=ylabel)
    ax.tick_params(which="both", top=False)
    _kelvin_axis(ax)
    return ax


def _draw_estimates(ax, pairs, *, label, power=1, **style):
    known = [(temperature, estimate) for temperature, estimate in pairs if is_value(estimate)]
    if known:
        temperatures = np.array([temperature for temperature, _ in known], float)
        scale = temperatures**power
        values, bars = interval_bars([estimate for _, estimate in known], scale=scale)
        bars[0] = np.minimum(bars[0], np.array(values) * (1 - _LOWEST_SHARE))
        ax.errorbar(1000 / temperatures, values, yerr=bars, capsize=3, label=label, **style)
    limits = [
        (temperature, estimate.upper_limit)
        for temperature, estimate in pairs
        if is_limit(estimate) and 0 < estimate.upper_limit < np.inf
    ]
    for number, (temperature, limit) in enumerate(limits):
        named = None if number else f"{label}: 95 % upper limit"
        _draw_limit(ax, 1000 / temperature, limit * temperature**power, style["color"], named)


def _draw_limit(ax, x, y, colour, label):
    style = {"marker": "_", "markersize": 12, "markeredgewidth": 2, "linestyle": "none"}
    ax.plot([x], [y], color=colour, label=label, **style)
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
    _draw_estimates(
        ax,
        [(ROOM_TEMPERATURE_K, fit.conductivity_300K_S_per_cm)],
        label="300 K, extrapolated",
        fmt="X",
        color=BLUE,
        markerfacecolor="white",
        markersize=8,
        zorder=6,
    )


def _fit_label(fit):
    low, high = fit.activation_energy_eV.ci95
    return f"fit, Eₐ = {fit.activation_energy_eV.value:.2f} ({low:.2f} to {high:.2f}) eV"


def _draw_literature(ax, points):
    studies = {}
    for point in points:
        if point.quantity != "ionic_conductivity" or point.temperature_K is None:
            continue
        label = f"{plain(point.short)}, {point.method}"
        marker, colour = studies.setdefault(label, _LITERATURE_STYLE[len(studies) % len(_LITERATURE_STYLE)])
        known = label in ax.get_legend_handles_labels()[1]
        low, high = (point.low, point.high) if point.low is not None else (point.value, point.value)
        temperature = point.temperature_K
        bars = [[(point.value - low) * temperature], [(high - point.value) * temperature]]
        ax.errorbar(
            [1000 / temperature],
            [point.value * temperature],
            yerr=bars if high > low else None,
            marker=marker,
            color=colour,
            markerfacecolor="white" if point.method == "experiment" else colour,
            markeredgewidth=1.2,
            markersize=7,
            linestyle="none",
            label=None if known else label,
            zorder=4,
        )


def _kelvin_axis(ax):
    from matplotlib.ticker import FixedLocator, NullLocator

    top = ax.secondary_xaxis("top", functions=(_reciprocal, _reciprocal))
    top.set_xlabel("T (K)", fontsize=NOTE_SIZE)
    top.xaxis.set_major_locator(FixedLocator(_spaced_kelvins(*ax.get_xlim())))
    top.xaxis.set_minor_locator(NullLocator())
    top.tick_params(labelsize=NOTE_SIZE, direction="in")


def _spaced_kelvins(left, right):
    """Return round temperatures between the ends of a 1000/T axis whose labels do not collide."""
    chosen = []
    for kelvin in _KELVIN_TICKS:
        x = 1000 / kelvin
        apart = all(abs(x - 1000 / other) > _TICK_DISTANCE * (right - left) for other in chosen)
        if left < x < right and apart:
            chosen.append(kelvin)
    return chosen


def _reciprocal(x):
    with np.errstate(divide="ignore"):
        return 1000 / np.asarray(x, float)
