"""Are error bars honest? Coverage and width of intervals on synthetic truth, one row for each system."""

from __future__ import annotations

import math

from simtools.plots.style import (
    BLUE,
    GREEN,
    GREY,
    NOTE_SIZE,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    dress,
    new_axes,
    plain,
)

__all__ = ["plot_coverage", "plot_interval_widths"]

_STYLES = {
    "D*": ("$D^*$", BLUE, "o"),
    "D_sigma": (r"$D_\sigma$ and $\sigma$", ORANGE, "s"),
    "sigma": (r"$D_\sigma$ and $\sigma$", ORANGE, "s"),
    "H_R": ("$H_R$", GREEN, "D"),
    "t(Li)": ("transport number", PURPLE, "^"),
    "E_a(sigma)": (r"$E_a$ of $\sigma T$", VERMILION, "v"),
    "E_a(D*)": ("$E_a$ of $D^*$", SKY, ">"),
}
_ROW_IN = 0.18
_SPREAD = 0.26
_LOWEST_SHOWN = 88.0
_WIDEST_SHOWN = 2.2


def plot_coverage(records, *, repeats, wanted=(93.0, 97.0), ax=None):
    """Draw the share of 95 % intervals that hold the truth, with its standard error, and return the Axes.

    Parameters
    ----------
    records
        Rows of a calibration: ``{"case": name, "scores": {quantity: {"coverage": share, ...}}}``. Where
        D_sigma is given, sigma is its multiple and is not drawn again.
    repeats
        Number of intervals behind each share.
    wanted
        Band that is shaded, %. Shares below 88 % are drawn there, with their number beside them.
    ax
        Axes to draw on; a new figure by default, as high as there are rows.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _new(records) if ax is None else ax
    ax.axvspan(*wanted, color=GREY, alpha=0.15, linewidth=0)
    ax.axvline(95.0, color=GREY, linewidth=0.8)
    for row, offset, name, entry in _points(records):
        share = entry["coverage"]
        error = 100 * math.sqrt(share * (1 - share) / repeats)
        _dot(ax, max(100 * share, _LOWEST_SHOWN), row + offset, name, xerr=error)
        if 100 * share < _LOWEST_SHOWN:
            _tell(ax, _LOWEST_SHOWN, row + offset, f"{100 * share:.0f}")
    ax.set_xlim(_LOWEST_SHOWN - 0.5, 100.6)
    return _finish(ax, records, f"coverage of 95 % intervals (%), {repeats} repeats each")


def plot_interval_widths(records, *, widest=1.5, ax=None):
    """Draw the mean width of intervals over that of the true sampling interval and return the Axes.

    Parameters
    ----------
    records
        As for `plot_coverage`, with ``"width_ratio"`` in every score. Ratios above 2.2 are drawn there, with
        their number beside them.
    widest
        Ratio that should not be exceeded, a dashed line.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _new(records) if ax is None else ax
    ax.axvline(1.0, color=GREY, linewidth=0.8)
    ax.axvline(widest, color=VERMILION, linestyle="--", linewidth=1.0)
    for row, offset, name, entry in _points(records):
        ratio = entry["width_ratio"]
        _dot(ax, min(ratio, _WIDEST_SHOWN), row + offset, name)
        if ratio > _WIDEST_SHOWN:
            _tell(ax, _WIDEST_SHOWN, row + offset, f"{ratio:.1f}")
    ax.set_xlim(0.6, _WIDEST_SHOWN + 0.15)
    return _finish(ax, records, "mean width / width of the true sampling interval")


def _new(records):
    return new_axes(width_in=8.0, height_in=1.4 + _ROW_IN * len(records))


def _points(records):
    """Yield row, offset within the row, quantity and score, from top to bottom."""
    for row, record in enumerate(records):
        names = [name for name in record["scores"] if not (name == "sigma" and "D_sigma" in record["scores"])]
        for index, name in enumerate(names):
            place = index / (len(names) - 1) - 0.5 if len(names) > 1 else 0.0
            yield row, 2 * _SPREAD * place, name, record["scores"][name]


def _dot(ax, x, y, name, xerr=None):
    label, colour, marker = _STYLES.get(name, (plain(name), GREY, "o"))
    _, known = ax.get_legend_handles_labels()
    ax.errorbar(
        x,
        y,
        xerr=xerr,
        fmt=marker,
        color=colour,
        markersize=3.4,
        elinewidth=0.8,
        label=None if label in known else label,
    )


def _tell(ax, x, y, text):
    ax.annotate(text, (x, y), xytext=(5, 0), textcoords="offset points", fontsize=NOTE_SIZE - 2, va="center")


def _finish(ax, records, xlabel):
    dress(ax, xlabel=xlabel)
    ax.set_ylim(len(records) - 0.5, -0.5)
    ax.set_yticks(
        range(len(records)), [plain(record["case"]) for record in records], fontsize=NOTE_SIZE - 1.5
    )
    for row in range(1, len(records), 2):
        ax.axhspan(row - 0.5, row + 0.5, color=GREY, alpha=0.06, linewidth=0)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    handles, labels = ax.get_legend_handles_labels()
    ax.figure.legend(
        handles, labels, loc="outside upper center", ncols=len(labels), fontsize=NOTE_SIZE, frameon=False
    )
    return ax
