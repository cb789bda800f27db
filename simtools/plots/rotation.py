"""Rotating molecules and hopping ions: reorientation functions, orientation maps, correlograms, hazards."""

from __future__ import annotations

import math

import numpy as np

from simtools.plots.style import (
    BLUE,
    GREY,
    NOTE_SIZE,
    ORANGE,
    SKY,
    VERMILION,
    add_legend,
    dress,
    interval_bars,
    new_axes,
)


def plot_reorientation(result, *, ax=None):
    """Draw C_1 and C_2 with their standard errors.

    Parameters
    ----------
    result
        A `ReorientationResult`.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    times = result.lag_times_ps[1:]
    for order, colour in ((1, BLUE), (2, ORANGE)):
        c, error = getattr(result, f"c{order}")[1:], getattr(result, f"c{order}_stderr")[1:]
        ax.plot(times, c, color=colour, label=f"$C_{order}$")
        if np.isfinite(error).all():
            ax.fill_between(times, c - error, c + error, color=colour, alpha=0.25, linewidth=0)
    ax.axhline(0.0, color=GREY, linewidth=0.8)
    ax.set_xscale("log")
    ax.set_title(f"{result.name}, {result.n_rotors} rotors: {result.motion}", fontsize=NOTE_SIZE)
    add_legend(ax, loc="best")
    return dress(ax, xlabel="lag time (ps)", ylabel="reorientation function")


def plot_orientation_map(density, *, highest=None, ax=None):
    """Draw the density of bond directions on the sphere, on axes on which areas are true.

    Parameters
    ----------
    density
        An `OrientationDensity`.
    highest
        Density at the end of the colours, so that maps can be compared; by default the largest of this one.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes(width_in=6.8, height_in=3.8) if ax is None else ax
    mesh = ax.pcolormesh(
        density.angle_edges_deg,
        density.z_edges,
        density.density,
        cmap="viridis",
        vmin=0,
        vmax=highest,
        rasterized=True,
    )
    ax.figure.colorbar(mesh, ax=ax).set_label("density over that of free rotors")
    ax.set_xticks(range(0, 361, 90))
    ax.set_title(f"{density.name}, site symmetry {density.site_symmetry}", fontsize=NOTE_SIZE)
    dress(ax, xlabel="angle about z (degrees)", ylabel="cosine to z")
    ax.grid(visible=False)
    return ax


def plot_event_correlogram(result, *, shell=0, ax=None):
    """Draw hops after (right) and before (left) rotations over chance, with the simultaneous 95 % band.

    Parameters
    ----------
    result
        An `EventCorrelogram`.
    shell
        Index of the shell of distances.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    expected = np.where(result.expected[shell] > 0, result.expected[shell], np.nan)
    low, high = result.band_low[shell] / expected, result.band_high[shell] / expected
    ax.fill_between(result.lags_ps, low, high, step="mid", color=SKY, alpha=0.35, linewidth=0, label="95 %")
    ax.step(result.lags_ps, result.ratio[shell], where="mid", color=BLUE, label="seen")
    ax.axhline(1.0, color=GREY, linewidth=0.8)
    ax.axvline(0.0, color=GREY, linestyle="--", linewidth=0.8)
    near, far = result.distance_edges_A[shell : shell + 2]
    ax.set_title(
        f"{result.n_rotations} rotations, {result.n_hops} hops; {near:.3g} to {far:.3g} Å; "
        f"p = {result.p_value:.2g}",
        fontsize=NOTE_SIZE,
    )
    ax.set_ylim(0, 1.35 * max(np.nanmax(high, initial=1.0), np.nanmax(result.ratio[shell], initial=1.0)))
    add_legend(ax, loc="upper left")
    return dress(ax, xlabel="time of hop less time of rotation (ps)", ylabel="pairs over chance")


def plot_tilt_at_hops(result, *, ax=None):
    """Draw the tilt of rotors about the time of a hop beside them, with 95 % of shifted rotors.

    Parameters
    ----------
    result
        A `TiltAtHops`.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    ax.fill_between(
        result.lags_ps, result.band_low_deg, result.band_high_deg, color=SKY, alpha=0.35, linewidth=0
    )
    ax.plot(result.lags_ps, result.tilts_deg, color=BLUE)
    ax.axvline(0.0, color=GREY, linestyle="--", linewidth=0.8)
    ax.set_title(f"{result.n_pairs} hops beside rotors, p = {result.p_value:.2g}", fontsize=NOTE_SIZE)
    return dress(ax, xlabel="from hop (ps)", ylabel=f"tilt in {result.span_ps:.2g} ps, below 45°")


def plot_bottleneck_at_hops(result, *, ax=None):
    """Draw how far the host is from the middle of a hop about its time, with 95 % of other times.

    Parameters
    ----------
    result
        A `BottleneckAtHops`.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    ax.fill_between(result.lags_ps, result.band_low_A, result.band_high_A, color=SKY, alpha=0.35, linewidth=0)
    ax.plot(result.lags_ps, result.widths_A, color=BLUE)
    ax.axvline(0.0, color=GREY, linestyle="--", linewidth=0.8)
    ax.set_title(f"{result.n_hops} hops, p = {result.p_value:.2g}", fontsize=NOTE_SIZE)
    return dress(ax, xlabel="from hop (ps)", ylabel=f"{result.n_nearest} nearest host atoms (Å)")


def plot_hazard_ratios(results, *, ax=None):
    """Draw hazard ratios with their 95 % intervals, one row each.

    Parameters
    ----------
    results
        Several `HazardRatio`; those without a ratio are named and left empty.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes(height_in=2.8) if ax is None else ax
    names = []
    for row, result in enumerate(results):
        adjusted = f"adjusted for {' and '.join(result.covariates)}" if result.covariates else "crude"
        names.append(f"{result.direction},\n{adjusted}")
        if result.ratio is not None and math.isfinite(result.ratio.value):
            values, bars = interval_bars([result.ratio])
            ax.errorbar(values, [row], xerr=bars, fmt="o", color=BLUE, capsize=3)
    ax.axvline(1.0, color=VERMILION, linestyle="--", linewidth=1.0)
    ax.set_yticks(range(len(names)), names, fontsize=NOTE_SIZE)
    ax.set_ylim(len(names) - 0.5, -0.5)
    return dress(ax, xlabel="hazard ratio")


def plot_false_positives(cases, tests, *, ax=None):
    """Draw how often tests say yes at 5 %, one row per test and a symbol per case without coupling.

    Parameters
    ----------
    cases
        {name: {test: share}}.
    tests
        Which tests, in order.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes(height_in=3.6) if ax is None else ax
    ax.axvspan(3, 7, color=SKY, alpha=0.3, linewidth=0)
    ax.axvline(5, color=GREY, linewidth=0.8)
    markers = ("o", "s", "^", "D", "v", "P")
    for number, (name, shares) in enumerate(cases.items()):
        shown = [(row, 100 * shares[test]) for row, test in enumerate(tests) if shares.get(test) is not None]
        rows = [row + 0.12 * (number - 1.5) for row, _ in shown]
        ax.plot([value for _, value in shown], rows, markers[number % len(markers)], label=name)
    ax.set_yticks(range(len(tests)), tests, fontsize=NOTE_SIZE)
    ax.set_ylim(len(tests) - 0.5, -0.5)
    ax.set_xlim(0, 18)
    add_legend(ax, loc="lower right")
    return dress(ax, xlabel="says yes without coupling (%), at a level of 5 %")
