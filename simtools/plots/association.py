"""Fraction of cation vacancies bound to their partner, against temperature."""

from __future__ import annotations

from simtools.plots.style import BLUE, GREY, add_legend, dress, interval_bars, is_limit, is_value, new_axes


def plot_association(results, *, ax=None):
    """Draw the bound fraction with 95 % intervals against temperature and return the Axes.

    Parameters
    ----------
    results
        One association result or several, each with `temperature_K` and an Estimate `bound_fraction`;
        `random_fraction`, what a random arrangement would give, is drawn as well where it is present.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    results = tuple(results) if isinstance(results, (list, tuple)) else (results,)
    results = sorted(results, key=lambda result: result.temperature_K)
    ax = new_axes() if ax is None else ax
    known = [result for result in results if is_value(result.bound_fraction)]
    if known:
        values, bars = interval_bars([result.bound_fraction for result in known])
        temperatures = [result.temperature_K for result in known]
        ax.errorbar(
            temperatures, values, yerr=bars, fmt="o", color=BLUE, capsize=3, markersize=6, label="this work"
        )
    limits = [result for result in results if is_limit(result.bound_fraction)]
    for number, result in enumerate(limits):
        ax.errorbar(
            [result.temperature_K],
            [result.bound_fraction.upper_limit],
            yerr=0.05,
            uplims=True,
            fmt="v",
            color=BLUE,
            label="upper limit" if number == 0 else None,
        )
    random = [result for result in results if getattr(result, "random_fraction", None) is not None]
    if random:
        ax.plot(
            [result.temperature_K for result in random],
            [float(result.random_fraction) for result in random],
            color=GREY,
            linestyle="--",
            linewidth=1.2,
            label="random arrangement",
        )
    ax.set_ylim(-0.02, 1.02)
    ax.margins(x=0.1)
    add_legend(ax, loc="best")
    return dress(ax, xlabel="temperature (K)", ylabel="vacancies bound to a partner (fraction)")
