"""Rotors over temperature and beside vacancies, and tilts of octahedra."""

from __future__ import annotations

from dataclasses import replace

from simtools.plots.style import (
    BLUE,
    GREEN,
    GREY,
    NOTE_SIZE,
    ORANGE,
    SEQUENCE,
    add_legend,
    dress,
    interval_bars,
    is_limit,
    is_value,
    new_axes,
    plain,
)

_A2_PER_PS = 1e4  # in a cm²/s


def plot_vacancy_pointing(results, *, ax=None):
    """Draw the density of the cosine between bonds and the direction to the nearest vacancy.

    Parameters
    ----------
    results
        Pairs of a label and a `VacancyPointing`; bars are one standard error.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    for number, (label, result) in enumerate(results):
        middles = 0.5 * (result.cosine_edges[1:] + result.cosine_edges[:-1])
        ax.errorbar(
            middles,
            result.density,
            yerr=result.density_stderr,
            color=SEQUENCE[number % len(SEQUENCE)],
            capsize=2,
            linewidth=1.2,
            label=f"{label}: mean {result.cosine.value:.2g}",
        )
    ax.axhline(0.5, color=GREY, linestyle="--", linewidth=1.0, label="random orientation")
    ax.set_xlim(-1, 1)
    ax.set_ylim(bottom=0)
    add_legend(ax, loc="upper left")
    return dress(ax, xlabel="cosine of bond and direction to the vacancy", ylabel="density")


def plot_rotation_arrhenius(points, line=None, *, transports=(), hop_length_A=None, ax=None):
    """Draw rates of rotation, 1/tau_1 and diffusion as a rate against 1000/T.

    Parameters
    ----------
    points
        (temperature in K, `ReorientationRates`, `ReorientationResult`) of each temperature. A tau_1 that was
        extrapolated beyond the longest lag is left out.
    line
        `RotationArrhenius`: the fit of the rate of rotation and its band.
    transports
        `TransportResult` of the mobile ion, drawn as 6 D*/d².
    hop_length_A
        d, Å; without it diffusion is left out.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        With the temperature in kelvin along the top.
    """
    ax = new_axes(width_in=7.2, height_in=4.8) if ax is None else ax
    ax.set_yscale("log")
    series = [("rotations per rotor", "o", BLUE, [(t, rates.rate_per_rotor) for t, rates, _ in points])]
    known = [(t, f.tau1) for t, _, f in points if is_value(f.tau1) and f.relaxed[0]]
    relaxation = [
        (t, replace(tau, value=1 / tau.value, ci95=(1 / tau.ci95[1], 1 / tau.ci95[0]))) for t, tau in known
    ]
    series.append((r"$1/\tau_1$", "s", ORANGE, relaxation))
    if hop_length_A is not None:
        factor = 6 * _A2_PER_PS / hop_length_A**2
        series += [
            (
                f"6D*/d² of {plain(name)}, d = {hop_length_A:.3g} Å",
                "D",
                GREEN,
                [
                    (item.temperature_K, item.tracer_diffusivity_cm2_per_s.scaled(factor))
                    for item in transports
                    if item.species == name
                ],
            )
            for name in dict.fromkeys(item.species for item in transports)
        ]
    for label, marker, colour, estimates in series:
        _draw_rates(ax, label, marker, colour, estimates)
    if line is not None:
        x = 1000 / line.curve_temperatures_K
        energy = line.rate_activation_energy_eV
        text = f"$E_a$ of rotation {energy.value:.3f} ({energy.ci95[0]:.3f} to {energy.ci95[1]:.3f}) eV"
        if line.diffusion_activation_energy_eV is not None:
            other = line.diffusion_activation_energy_eV
            text += f"; of diffusion {other.value:.3f} ({other.ci95[0]:.3f} to {other.ci95[1]:.3f}) eV"
        ax.plot(x, line.curve_rate, color=BLUE, linewidth=1.2)
        ax.fill_between(x, *line.curve_rate_ci95, color=BLUE, alpha=0.15, linewidth=0)
        ax.set_title(text, fontsize=NOTE_SIZE)
    add_legend(ax, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, frameon=False)
    dress(ax, xlabel="1000 / T (1/K)", ylabel="rate (1/ps)")
    return kelvin_on_top(ax, [t for t, *_ in points])


def _draw_rates(ax, label, marker, colour, estimates):
    known = [(1000 / t, item) for t, item in estimates if is_value(item) and item.value > 0]
    limits = [(1000 / t, item.upper_limit) for t, item in estimates if is_limit(item)]
    if known:
        values, bars = interval_bars([item for _, item in known])
        bars[0] = [min(bar, 0.999 * value) for bar, value in zip(bars[0], values, strict=True)]
        places = [x for x, _ in known]
        ax.errorbar(places, values, yerr=bars, fmt=marker, color=colour, capsize=3, label=label)
    if limits:
        ax.plot(
            *zip(*limits, strict=True),
            linestyle="none",
            marker=r"$\downarrow$",
            markersize=11,
            color=colour,
            label=None if known else f"{label} (95 % upper limit)",
        )


def kelvin_on_top(ax, temperatures_K):
    """Write the temperatures of the data in kelvin along the top of an axis of 1000/T; return `ax`."""
    top = ax.secondary_xaxis("top")
    distinct = sorted(set(temperatures_K))
    top.set_ticks([1000 / t for t in distinct], [f"{t:g} K" for t in distinct])
    top.tick_params(labelsize=NOTE_SIZE, direction="in")
    return ax


def plot_tilt_density(result, *, ax=None):
    """Draw the density of octahedral tilts about x, y and z.

    Parameters
    ----------
    result
        An `OctahedralTilts`.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    for axis, colour, density in zip("xyz", SEQUENCE, result.density_per_deg, strict=False):
        ax.step(result.angles_deg, density, where="mid", color=colour, label=f"about {axis}")
    ax.set_ylim(bottom=0)
    ax.set_title(f"{result.n_octahedra} octahedra", fontsize=NOTE_SIZE)
    add_legend(ax, loc="upper right")
    return dress(ax, xlabel="tilt (degrees)", ylabel="density (1/degree)")


def plot_tilt_autocorrelation(result, *, ax=None):
    """Draw how long octahedral tilts about x, y and z last.

    Parameters
    ----------
    result
        An `OctahedralTilts`.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    for axis, colour, values in zip("xyz", SEQUENCE, result.autocorrelation, strict=False):
        ax.plot(result.lag_times_ps, values, color=colour, label=f"about {axis}")
    ax.axhline(0.0, color=GREY, linewidth=0.8)
    add_legend(ax, loc="upper right")
    return dress(ax, xlabel="lag time (ps)", ylabel="autocorrelation of the tilt")
