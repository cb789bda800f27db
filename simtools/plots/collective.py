"""Onsager matrix, Green-Kubo beside Einstein-Helfand, vibrations, and temperature laws."""

from __future__ import annotations

import numpy as np

from simtools.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    NOTE_SIZE,
    ORANGE,
    TICK_SIZE,
    VERMILION,
    add_legend,
    as_tuple,
    dress,
    interval_bars,
    is_value,
    new_axes,
    plain,
)

__all__ = ["plot_green_kubo", "plot_onsager_matrix", "plot_temperature_laws", "plot_vibrations"]


def plot_onsager_matrix(result, *, ax=None):
    """Draw the correlations between species' summed displacements as a coloured table and return the Axes.

    Parameters
    ----------
    result
        `OnsagerResult`. The diagonal shows the coefficient in Å²/ps, the rest the correlation; a dash where
        one of the two species is at rest within its error.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes(width_in=4.6, height_in=4.2) if ax is None else ax
    matrix = result.correlation_coefficients()
    ax.imshow(np.nan_to_num(matrix), vmin=-1, vmax=1, cmap="RdBu_r")
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            own = f"{result.coefficients_A2_per_ps[i, i]:.3g}" if np.isfinite(value) else "at rest"
            shown = own if i == j else _signed(value)
            dark = np.isfinite(value) and abs(value) > 0.6
            ax.text(j, i, shown, ha="center", va="center", color="white" if dark else BLACK)
    labels = [
        f"{plain(name)} ({z:+d})".replace("-", "−")
        for name, z in zip(result.species, result.charges_e, strict=True)
    ]
    ax.set_xticks(range(len(labels)), labels, fontsize=TICK_SIZE)
    ax.set_yticks(range(len(labels)), labels, fontsize=TICK_SIZE)
    ax.set_title(f"{result.temperature_K:g} K", fontsize=NOTE_SIZE)
    return ax


def _signed(value):
    return f"{value:+.2f}".replace("-", "−") if np.isfinite(value) else "–"


def plot_green_kubo(result, *, ax=None):
    """Draw the conductivity spectrum with the value at zero frequency and return the Axes.

    Parameters
    ----------
    result
        `GreenKuboResult`. The Green-Kubo and, where there is one, the Einstein-Helfand conductivity stand at
        the left with 95 % intervals; the band that was used is shaded.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    frequencies, spectrum = result.frequencies_THz[1:], result.spectrum_S_per_cm[1:]
    ax.loglog(frequencies, spectrum, color=GREY, linewidth=0.6, alpha=0.6, label="periodogram")
    ax.axvspan(frequencies[0], result.band_THz, color=BLUE, alpha=0.06, linewidth=0)
    left = frequencies[0]
    for place, colour, label, estimate in (
        (0.8, BLUE, "Green-Kubo", result.ionic_conductivity_S_per_cm),
        (0.6, VERMILION, "Einstein-Helfand", result.einstein_helfand_S_per_cm),
    ):
        if is_value(estimate):
            values, bars = interval_bars([estimate])
            ax.errorbar([left * place], values, yerr=bars, fmt="o", color=colour, capsize=3, label=label)
    add_legend(ax, loc="best")
    return dress(ax, xlabel="frequency (THz)", ylabel="conductivity (S/cm)")


def plot_vibrations(results, *, ax=None):
    """Draw vibrational densities of states with their standard errors and return the Axes.

    Parameters
    ----------
    results
        One `VibrationResult` or several; attempt frequencies are marked by dashed lines.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    results = as_tuple(results)
    ax = new_axes() if ax is None else ax
    for colour, result in zip(
        (BLUE, ORANGE, GREEN, VERMILION, BLACK, GREY) * len(results), results, strict=False
    ):
        nu, g, error = result.frequencies_THz, result.density_of_states_per_THz, result.density_stderr_per_THz
        ax.plot(nu, g, color=colour, linewidth=1.2, label=plain(result.species))
        ax.fill_between(nu, g - error, g + error, color=colour, alpha=0.2, linewidth=0)
        ax.axvline(result.attempt_frequency_THz.value, color=colour, linestyle="--", linewidth=0.8)
    ends = [_end(result) for result in results]
    ax.set_xlim(0, max(ends))
    ax.set_ylim(bottom=0)
    add_legend(ax, loc="best")
    return dress(ax, xlabel="frequency (THz)", ylabel="density of states per ion (1/THz)")


def _end(result):
    """Return the frequency below which 99.9 % of the density lies, and a tenth more."""
    share = np.cumsum(result.density_of_states_per_THz)
    return 1.1 * result.frequencies_THz[int(np.searchsorted(share, 0.999 * share[-1]))]


def plot_temperature_laws(result, *, ylabel=r"$\ln y$", ax=None):
    """Draw the points, the preferred law and its break against 1000/T and return the Axes.

    Parameters
    ----------
    result
        `TemperatureLawResult`; bars are 95 % of the points' own errors.
    ylabel
        What y is.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    inverse = 1000 / result.temperatures_K
    ax.errorbar(inverse, result.ln_values, yerr=1.96 * result.ln_stderr, fmt="o", color=BLUE, capsize=3)
    share = result.probabilities[result.preferred]
    label = f"{result.preferred} (probability {share:.2g})"
    ax.plot(1000 / result.curve_temperatures_K, result.curve_ln, color=BLACK, linewidth=1.2, label=label)
    walls = list(result.known_transitions_K)
    if result.break_temperature_K is not None:
        walls.append(result.break_temperature_K.value)
    for wall in walls:
        ax.axvline(
            1000 / wall, color=VERMILION, linestyle="--", linewidth=1.0, label=f"break at {wall:.4g} K"
        )
    add_legend(ax, loc="best")
    return dress(ax, xlabel="1000/T (1/K)", ylabel=ylabel)
