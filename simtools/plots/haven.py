"""Haven ratio against temperature, beside the lone vacancy's geometric value."""

from __future__ import annotations

from simtools.plots.style import (
    BLUE,
    GREY,
    NOTE_SIZE,
    VERMILION,
    add_legend,
    as_tuple,
    dress,
    interval_bars,
    is_value,
    new_axes,
)

#: Tracer correlation factor of one vacancy on the cation sublattice of cubic X3BA (Monte Carlo, 0.6935(17)).
LONE_VACANCY_HAVEN_RATIO = 0.69


def plot_haven_ratio(results, *, reference=LONE_VACANCY_HAVEN_RATIO, ax=None):
    """Draw H_R with 95 % intervals against temperature and return the Axes.

    Parameters
    ----------
    results
        One `TransportResult` or several; temperatures where H_R is only a limit or unknown are left out
        and counted in a note on the figure.
    reference
        Value of the dashed line; None for no line. The default belongs to a lone vacancy on the cation
        sublattice of the cubic anti-perovskite.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    results = as_tuple(results)
    ax = new_axes() if ax is None else ax
    shown = [result for result in results if is_value(result.haven_ratio)]
    if reference is not None:
        ax.axhline(
            reference, color=VERMILION, linestyle="--", linewidth=1.2, label=f"lone vacancy, {reference:g}"
        )
    ax.axhline(1.0, color=GREY, linestyle=":", linewidth=1.2, label="independent ions, 1")
    if shown:
        values, bars = interval_bars([result.haven_ratio for result in shown])
        temperatures = [result.temperature_K for result in shown]
        ax.errorbar(
            temperatures, values, yerr=bars, fmt="o", color=BLUE, capsize=3, markersize=6, label="this work"
        )
    hidden = len(results) - len(shown)
    if hidden:
        note = f"{hidden} temperature{'s' if hidden > 1 else ''} without a value"
        ax.annotate(note, (0.02, 0.02), xycoords="axes fraction", fontsize=NOTE_SIZE, color=GREY)
    ax.set_ylim(bottom=0)
    ax.margins(x=0.1)
    add_legend(ax, loc="best")
    return dress(ax, xlabel="temperature (K)", ylabel=r"Haven ratio $H_R$")
