"""Jumps: how long ions stay, where they go, and whether they go together."""

from __future__ import annotations

import numpy as np

from simtools.plots.style import (
    BLUE,
    GREY,
    NOTE_SIZE,
    ORANGE,
    SEQUENCE,
    add_legend,
    as_tuple,
    dress,
    interval_bars,
    new_axes,
)


def plot_stays(results, *, labels=None, ax=None):
    """Draw the share of stays that last longer than a time; dotted, what a single rate gives.

    Parameters
    ----------
    results
        One `JumpRates` or several.
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
    for index, (result, label) in enumerate(zip(results, labels, strict=True)):
        colour = SEQUENCE[index % len(SEQUENCE)]
        ax.step(result.stay_times_ps, result.stay_survival, where="post", color=colour, label=label)
        if result.mean_residence is not None:
            times = np.linspace(0, result.stay_times_ps[-1], 100)
            single = np.exp(-times / result.mean_residence.value)
            ax.plot(times, single, color=colour, linestyle=":", linewidth=1.0)
    ax.set_ylim(0, 1.02)
    ax.set_xlim(left=0)
    add_legend(ax, loc="upper right")
    return dress(ax, xlabel="time since the jump (ps)", ylabel="share still on the site (dotted: one rate)")


def plot_jump_lengths(result, *, ax=None):
    """Draw the rate of each class of jumps against its length, with 95 % intervals.

    Parameters
    ----------
    result
        A `JumpRates` with at least one jump.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    values, bars = interval_bars(result.length_rates)
    ax.errorbar(result.lengths_A, values, yerr=bars, fmt="o", color=BLUE, capsize=3)
    for length, value, count in zip(result.lengths_A, values, result.length_counts, strict=True):
        ax.annotate(
            f"{count}", (length, value), xytext=(6, 4), textcoords="offset points", fontsize=NOTE_SIZE
        )
    if values:
        ax.set_yscale("log")
        ax.set_xlim(0, 1.25 * max(result.lengths_A))
    return dress(ax, xlabel="length of the jump (Å)", ylabel=f"jumps per {result.species} (1/ps)")


def plot_strings(result, *, ax=None):
    """Draw how many strings of each length there were, beside the mean and 95 % range of the null.

    Parameters
    ----------
    result
        A `ConcertedJumps`.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    shown = (result.counts > 0) | (result.null_high > 0)
    lengths = result.lengths[shown]
    mean, low, high = (item[shown] for item in (result.null_counts, result.null_low, result.null_high))
    seen = np.where(result.counts[shown] > 0, result.counts[shown], np.nan)
    ax.errorbar(
        lengths + 0.08,
        mean,
        yerr=[mean - np.minimum(low, mean), np.maximum(high, mean) - mean],
        fmt="s",
        color=ORANGE,
        capsize=3,
        label=f"independent ({result.null})",
    )
    ax.plot(lengths - 0.08, seen, "o", color=BLUE, label="seen")
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.3)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_title(
        f"in strings: {result.concerted_fraction:.0%}, independent {result.null_fraction:.0%} "
        f"(p = {result.p_value:.2g})",
        fontsize=NOTE_SIZE,
    )
    add_legend(ax, loc="upper right")
    return dress(ax, xlabel=f"jumps in the string (within {result.window_ps:g} ps)", ylabel="strings")


def plot_lead_and_lag(result, *, ax=None):
    """Draw when a site that an ion left was filled: right of zero into the gap, left of it by a push.

    Parameters
    ----------
    result
        A `ConcertedJumps`.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    width = result.delays_ps[1] - result.delays_ps[0]
    ax.bar(result.delays_ps, result.delay_counts, width=0.9 * width, color=BLUE, label="seen")
    ax.step(
        result.delays_ps,
        result.null_delay_counts,
        where="mid",
        color=ORANGE,
        label=f"independent ({result.null})",
    )
    ax.axvline(0.0, color=GREY, linestyle="--", linewidth=1.0)
    add_legend(ax, loc="upper left")
    return dress(ax, xlabel="filled after it was left (ps)", ylabel="linked pairs of jumps")
