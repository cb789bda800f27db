"""Radial distributions, van Hove functions and the non-Gaussian parameter."""

from __future__ import annotations

from simtools.plots.style import GREY, SEQUENCE, add_legend, as_tuple, dress, new_axes

_LOWEST = 1e-3


def plot_radial_distribution(results, *, ax=None):
    """Draw g(r) with its 95 % band, and the coordination number (dashed) where there is one pair only.

    Parameters
    ----------
    results
        One `RadialDistribution` or several.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    results = as_tuple(results)
    ax = new_axes() if ax is None else ax
    for result, colour in zip(results, _colours(len(results)), strict=True):
        label = f"{result.centre}–{result.neighbour}"
        ax.plot(result.r_A, result.g, color=colour, linewidth=1.4, label=label)
        low, high = result.g - result.g_half_width, result.g + result.g_half_width
        ax.fill_between(result.r_A, low, high, color=colour, alpha=0.25, linewidth=0)
    ax.axhline(1.0, color=GREY, linestyle=":", linewidth=1.0, zorder=1)
    ax.set_xlim(0, max(result.r_A[-1] for result in results))
    ax.set_ylim(bottom=0)
    if len(results) == 1:
        result = results[0]
        twin = ax.twinx()
        twin.plot(result.outer_edge_A, result.coordination, color=GREY, linestyle="--", linewidth=1.2)
        dress(twin, ylabel="neighbours inside r (dashed)")
        twin.grid(visible=False)
        twin.set_ylim(bottom=0)
    add_legend(ax, loc="upper right")
    return dress(ax, xlabel="r (Å)", ylabel="g(r)")


def plot_self_van_hove(result, *, ax=None):
    """Draw 4πr²G_s(r, t) for each lag time: peaks at the distances of sites are hops.

    Parameters
    ----------
    result
        A `SelfVanHove`.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    lags = result.lag_times_ps
    for curve, lag, colour in zip(result.radial_density_per_A, lags, _graded(len(lags)), strict=True):
        shown = curve > 0
        ax.plot(result.r_A[shown], curve[shown], color=colour, linewidth=1.3, label=f"{lag:g} ps")
    ax.set_yscale("log")
    highest = result.radial_density_per_A.max()
    ax.set_ylim(_LOWEST * highest, 2 * highest)
    ax.set_xlim(0, result.r_A[-1])
    add_legend(ax, loc="upper right")
    return dress(ax, xlabel=f"displacement of {result.species} (Å)", ylabel="4πr²Gₛ(r, t) (1/Å)")


def plot_distinct_van_hove(result, *, ax=None):
    """Draw G_d(r, t)/ρ for each lag time: what grows at r = 0 are ions in places that others left.

    Parameters
    ----------
    result
        A `DistinctVanHove`.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    lags = result.lag_times_ps
    for curve, lag, colour in zip(result.ratio, lags, _graded(len(lags)), strict=True):
        ax.plot(result.r_A, curve, color=colour, linewidth=1.3, label=f"{lag:g} ps")
    ax.axhline(1.0, color=GREY, linestyle=":", linewidth=1.0, zorder=1)
    ax.set_xlim(0, result.r_A[-1])
    ax.set_ylim(bottom=0)
    add_legend(ax, loc="upper right")
    return dress(ax, xlabel="r (Å)", ylabel=f"{result.centre}–{result.neighbour}: G_d(r, t)/ρ")


def plot_non_gaussian_parameter(results, *, labels=None, ax=None):
    """Draw α₂ against lag time with 95 % bands; 0 is Gaussian.

    Parameters
    ----------
    results
        One `NonGaussianParameter` or several.
    labels
        Of the curves; species by default.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    results = as_tuple(results)
    labels = [result.species for result in results] if labels is None else labels
    ax = new_axes() if ax is None else ax
    for result, label, colour in zip(results, labels, _colours(len(results)), strict=True):
        ax.semilogx(result.lag_times_ps, result.alpha_2, color=colour, linewidth=1.5, label=label)
        low = result.alpha_2 - result.alpha_2_half_width
        high = result.alpha_2 + result.alpha_2_half_width
        ax.fill_between(result.lag_times_ps, low, high, color=colour, alpha=0.25, linewidth=0)
    ax.axhline(0.0, color=GREY, linestyle="--", linewidth=1.0, zorder=1)
    add_legend(ax)
    return dress(ax, xlabel="lag time (ps)", ylabel="non-Gaussian parameter α₂")


def _graded(n):
    from matplotlib import colormaps

    return [colormaps["viridis"](0.85 * i / max(1, n - 1)) for i in range(n)]


def _colours(n):
    return [SEQUENCE[i % len(SEQUENCE)] for i in range(n)]
