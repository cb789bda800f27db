"""Temperature and energy along a run, from its thermodynamic log."""

from __future__ import annotations

from simtools.plots.style import BLACK, GREY, NOTE_SIZE, dress, new_axes, plain

#: Longest curve drawn, in points: every k-th record beyond that, so that a report stays small.
MAX_POINTS = 600


def plot_temperature_trace(thermo, *, target_K=None, ax=None, **line_style):
    """Draw the instantaneous temperature against time and return the Axes.

    Parameters
    ----------
    thermo
        DataFrame with columns `stage`, `time_ps` and `temperature_K`.
    target_K
        Temperature asked for, drawn as a line.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _plot(thermo, "temperature_K", ax, line_style)
    if target_K is not None:
        ax.axhline(target_K, color=BLACK, linewidth=1.0, linestyle="--", zorder=4)
    return dress(ax, xlabel="time (ps)", ylabel="temperature (K)")


def plot_energy_trace(thermo, *, quantity="potential_energy_eV", n_atoms=None, ax=None, **line_style):
    """Draw an energy against time, relative to its last record, and return the Axes.

    The conserved energy is drawn relative to the last record of each stage: every stage has a reservoir of
    its own, and a step between two stages means nothing.

    Parameters
    ----------
    thermo
        DataFrame with columns `stage`, `time_ps` and `quantity`.
    quantity
        "potential_energy_eV", "kinetic_energy_eV" or "conserved_energy_eV".
    n_atoms
        Number of ions: the energy is drawn in meV per ion. Without it, in eV per cell.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    if quantity == "conserved_energy_eV":
        shift = thermo.groupby("stage")[quantity].transform("last")
    else:
        known = thermo[quantity].dropna()
        shift = known.iloc[-1] if len(known) else 0.0
    factor = 1000.0 / n_atoms if n_atoms else 1.0
    ax = _plot(thermo.assign(**{quantity: (thermo[quantity] - shift) * factor}), quantity, ax, line_style)
    ax.ticklabel_format(axis="y", style="sci", scilimits=(-2, 4), useMathText=True)
    name = {"potential_energy_eV": "ΔE potential", "kinetic_energy_eV": "ΔE kinetic"}.get(
        quantity, "ΔE conserved"
    )
    return dress(ax, xlabel="time (ps)", ylabel=f"{name} ({'meV/ion' if n_atoms else 'eV'})")


def mark_stages(ax, thermo):
    """Draw a thin line where each stage of `thermo` but the first begins, with its name; return `ax`."""
    first = thermo.groupby("stage", sort=False)["time_ps"].min()
    for stage, start_ps in first.iloc[1:].items():
        ax.axvline(start_ps, color=GREY, linewidth=0.8, linestyle=":")
        ax.annotate(
            plain(stage),
            (start_ps, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, -3),
            textcoords="offset points",
            va="top",
            fontsize=NOTE_SIZE - 1,
            color=GREY,
        )
    return ax


def _plot(thermo, column, ax, line_style):
    ax = new_axes(height_in=3.0) if ax is None else ax
    thinned = thermo.iloc[:: max(1, -(-len(thermo) // MAX_POINTS))]
    style = {"linewidth": 0.8, "alpha": 0.9} | line_style
    ax.plot(thinned["time_ps"].to_numpy(), thinned[column].to_numpy(), **style)
    return ax
