"""Displacements against lag time, with the window that was fitted. No fitting here: see analysers."""

from __future__ import annotations

import numpy as np

from simtools.plots.style import GREY, NOTE_SIZE, add_legend, as_tuple, dress, new_axes, temperature_colours


def plot_msd(results, *, ax=None):
    """Draw the mean squared displacement at each temperature on log axes and return the Axes.

    Parameters
    ----------
    results
        One `TransportResult` or several of one species: replicas are thin, their mean is thick, and the
        fit window is marked by a broad translucent band along the curve (and across the whole height
        where there is only one temperature). A temperature with only an upper limit has no window.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    results = as_tuple(results)
    ax = _draw(results, lambda result: result.msd_A2, _replicas_of, _window_of, ax)
    return dress(ax, xlabel="lag time (ps)", ylabel=f"MSD of {_species(results)} (Å²)")


def plot_charge_msd(results, *, ax=None):
    r"""Draw :math:`\langle|\sum_i\Delta r_i|^2\rangle/N` at each temperature on log axes.

    Parameters
    ----------
    results
        One `TransportResult` or several of one species.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    results = as_tuple(results)
    ax = _draw(
        results,
        lambda result: result.charge_msd_A2,
        lambda result: None,
        lambda result: None if result.charge_diffusivity_cm2_per_s.is_limit else result.charge_window_ps,
        ax,
    )
    return dress(ax, xlabel="lag time (ps)", ylabel=f"charge MSD per {_species(results)} (Å²)")


def plot_local_exponent(results, *, ax=None):
    r"""Draw :math:`d\ln\mathrm{MSD}/d\ln t` against lag time; 1 is diffusion.

    Parameters
    ----------
    results
        One `TransportResult` or several of one species.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    results = as_tuple(results)
    ax = new_axes() if ax is None else ax
    colours = temperature_colours(result.temperature_K for result in results)
    for result in results:
        colour = colours[float(result.temperature_K)]
        lags, exponent = _positive(result.lag_times_ps, result.local_exponent, any_value=True)
        ax.semilogx(lags, exponent, color=colour, linewidth=1.4, label=f"{result.temperature_K:.0f} K")
        _mark_window(ax, lags, exponent, _window_of(result), colour)
    ax.axhline(1.0, color=GREY, linestyle="--", linewidth=1.0, zorder=1)
    ax.set_ylim(-0.5, 2.1)
    add_legend(ax, loc="lower right", ncols=2)
    return dress(ax, xlabel="lag time (ps)", ylabel="d ln MSD / d ln t")


def _draw(results, curve_of, replicas_of, window_of, ax):
    ax = new_axes() if ax is None else ax
    colours = temperature_colours(result.temperature_K for result in results)
    highest = None
    for result in sorted(results, key=lambda result: result.temperature_K):
        colour = colours[float(result.temperature_K)]
        replicas = replicas_of(result)
        if replicas is not None:
            for replica in replicas:
                ax.loglog(*_positive(result.lag_times_ps, replica), color=colour, linewidth=0.6, alpha=0.55)
        lags, curve = _positive(result.lag_times_ps, curve_of(result))
        ax.loglog(lags, curve, color=colour, linewidth=1.8, label=f"{result.temperature_K:.0f} K")
        _mark_window(ax, lags, curve, window_of(result), colour)
        if len(lags) and (highest is None or curve[-1] > highest[1][-1]):
            highest = lags, curve
    if len(results) == 1 and _has_window(window_of(results[0])):
        ax.axvspan(*window_of(results[0]), color=GREY, alpha=0.12, linewidth=0, label="fit window")
    if highest is not None:
        _slope_guide(ax, *highest)
    return add_legend(ax, loc="upper left", ncols=1 if len(results) < 6 else 2)


def _slope_guide(ax, lags, curve):
    start = len(lags) // 8
    ends = np.array([lags[start], lags[-1]])
    ax.loglog(ends, 2.5 * curve[-1] * ends / lags[-1], color=GREY, linestyle=":", linewidth=1.2)
    ax.annotate(
        "slope 1",
        (ends[-1], 2.5 * curve[-1]),
        xytext=(-4, 2),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=NOTE_SIZE,
        color=GREY,
    )


def _mark_window(ax, lags, curve, window_ps, colour):
    if not _has_window(window_ps):
        return
    used = (lags >= window_ps[0] * (1 - 1e-9)) & (lags <= window_ps[1] * (1 + 1e-9))
    ax.plot(lags[used], curve[used], color=colour, linewidth=8, alpha=0.25, solid_capstyle="butt")


def _window_of(result):
    return None if result.tracer_diffusivity_cm2_per_s.is_limit else result.window_ps


def _has_window(window_ps):
    return window_ps is not None and len(window_ps) == 2 and np.all(np.isfinite(window_ps))


def _positive(lags, curve, *, any_value=False):
    lags, curve = np.asarray(lags, float), np.asarray(curve, float)
    shown = (lags > 0) & np.isfinite(curve) & (any_value | (curve > 0))
    return lags[shown], curve[shown]


def _replicas_of(result):
    replicas = np.atleast_2d(result.msd_per_replica_A2)
    return replicas if len(replicas) > 1 else None


def _species(results):
    return ", ".join(dict.fromkeys(str(result.species) for result in results))
