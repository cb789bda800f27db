"""Cases of a campaign below each other: conductivity and activation energy."""

from __future__ import annotations

import math

from simtools.plots.style import (
    BLUE,
    add_legend,
    dress,
    interval_bars,
    is_limit,
    is_value,
    new_row,
    plain,
    temperature_colours,
)

__all__ = ["plot_cases"]

_LONGEST = 40


def plot_cases(cases, *, axes=None):
    """Draw the ionic conductivity at every temperature, and its activation energy, one row per case.

    Parameters
    ----------
    cases
        {label: (transports, arrhenius)}: `TransportResult` of one species at several temperatures, and their
        `ArrheniusResult` or None. Where ions carry no charge the tracer diffusivity is drawn.
    axes
        Two Axes; a new figure by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        Left σ (S/cm) or D* (cm²/s), right E_a (eV); bars are 95 % intervals, triangles point from 95 % upper
        limits towards zero.
    """
    from matplotlib.ticker import NullFormatter

    if axes is None:
        axes = new_row(2, width_in=10.5, height_in=1.4 + 0.34 * max(len(cases), 1))
    left, right = axes
    transports = [item for results, _ in cases.values() for item in results]
    charged = any(item.charge_e for item in transports)
    name = "ionic_conductivity_S_per_cm" if charged else "tracer_diffusivity_cm2_per_s"
    energy = "activation_energy_eV" if charged else "tracer_activation_energy_eV"
    colours = temperature_colours([item.temperature_K for item in transports])
    labelled = set()
    for row, (results, arrhenius) in enumerate(cases.values()):
        for item in sorted(results, key=lambda item: item.temperature_K):
            label = None if item.temperature_K in labelled else f"{item.temperature_K:g} K"
            colour = colours[item.temperature_K]
            drawn = _draw(left, row, getattr(item, name), colour=colour, label=label, positive=True)
            labelled |= {item.temperature_K} if drawn else set()
        if arrhenius is not None:
            _draw(right, row, getattr(arrhenius, energy), colour=BLUE)
    if left.lines or left.containers:
        left.set_xscale("log")
        low, high = left.get_xlim()
        if high > 10 * low:  # within a decade the ticks between are needed; beyond, their labels overlap
            left.xaxis.set_minor_formatter(NullFormatter())
    labels = [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in map(str, cases)]
    for ax in axes:
        ax.set_ylim(len(cases) - 0.5, -0.5)
        ax.set_yticks(range(len(cases)), [plain(text) for text in labels] if ax is left else [])
    add_legend(left, loc="best")
    dress(left, xlabel="conductivity (S/cm)" if charged else "D* (cm²/s)")
    dress(right, xlabel=r"$E_a$ of $\sigma T$ (eV)" if charged else r"$E_a$ of D* (eV)")
    return axes


def _draw(ax, row, estimate, *, colour, label=None, positive=False):
    """Draw one estimate; return whether there was something to draw."""
    if is_value(estimate) and (estimate.value > 0 or not positive):
        values, bars = interval_bars([estimate])
        if positive:  # a logarithmic axis has no place for an interval that reaches zero
            bars[0] = [min(bars[0][0], values[0] * (1 - 1e-3))]
        ax.errorbar(values, [row], xerr=bars, fmt="o", color=colour, capsize=3, label=label)
        return True
    if is_limit(estimate) and math.isfinite(estimate.upper_limit) and estimate.upper_limit > 0:
        ax.plot([estimate.upper_limit], [row], marker="<", linestyle="none", color=colour, label=label)
        return True
    return False
