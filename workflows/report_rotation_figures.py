"""Figures of rotation and its coupling to hops. Tables and sentences: report_rotation.py."""

from functools import partial

import numpy as np

from simtools import plots
from workflows.report_figures import panel_figure, single_figure
from workflows.report_rotation import by_anion, column_of

__all__ = ["rotation_figures"]

_MOST_PANELS = 4


def rotation_figures(records, lines=(), transports=(), hop_length_A=None):
    """Return the figures of the section.

    Parameters
    ----------
    records, lines, transports
        As for `rotation_statements`.
    hop_length_A
        Between neighbouring sites of the mobile ion, Å, to draw diffusion as a rate.
    """
    figures = []
    for anion, every in by_anion(records).items():
        own = _chosen(every)
        maps = _results(own, "orientation_density")
        figures += [
            panel_figure(
                f"orientations-{anion}",
                f"Where bonds of {anion} point",
                "Density over that of free rotors, averaged over rotors, replicas and the symmetry of the "
                "site; areas are true, and all maps have the same colours.",
                partial(
                    plots.plot_orientation_map,
                    highest=max((float(found.density.max()) for _, found in maps), default=None),
                ),
                maps,
            ),
            panel_figure(
                f"reorientation-{anion}",
                f"Reorientation functions of {anion}",
                "C₁ and C₂ over bonds, rotors, replicas and time; bands are one standard error.",
                plots.plot_reorientation,
                _results(own, "reorientation"),
            ),
        ]
        figures += [
            single_figure(
                f"rotation-arrhenius-{anion}",
                f"Rotation of {anion} beside diffusion",
                "Rates with 95 % intervals; arrows point down from 95 % upper limits. 1/τ₁ is drawn only "
                "where C₁ was seen to relax. Line and band: Arrhenius fit of the rate of rotation. Diffusion "
                "is drawn as 6D*/d², the rate of independent hops of length d that would give D*.",
                plots.plot_rotation_arrhenius,
                [
                    (item.temperature_K, item.rotation["reorientation_rates"], item.rotation["reorientation"])
                    for item in every
                ],
                line,
                transports=transports,
                hop_length_A=hop_length_A,
                width_in=7.2,
                height_in=4.8,
            )
            for line in lines
            if line.anion == anion
        ]
        for mobile in dict.fromkeys(name for item in every for name in item.couplings):
            figures += _coupling_figures(anion, mobile, [item for item in every if mobile in item.couplings])
    return [figure for figure in figures if figure is not None]


def _coupling_figures(anion, mobile, records):
    own = _chosen(records)

    def of(name):
        return [
            (column_of(item), item.couplings[mobile][name]) for item in own if name in item.couplings[mobile]
        ]

    hazards = [
        (
            column_of(item),
            [
                item.couplings[mobile][name]
                for name in ("hazard_crude", "hazard_adjusted", "hazard_reverse")
                if name in item.couplings[mobile]
            ],
        )
        for item in own
    ]
    figures = [
        panel_figure(
            f"correlogram-{anion}-{mobile}",
            f"Hops of {mobile} about rotations of {anion}",
            "Pairs of a rotation and a hop beside it over those of rotors shifted in time; the band holds "
            "95 % of shifted copies at all lags at once. Right of zero the rotation came first.",
            plots.plot_event_correlogram,
            of("event_correlogram"),
        ),
        panel_figure(
            f"tilt-{anion}-{mobile}",
            f"Tilts of {anion} about hops of {mobile}",
            "Mean over hops, rotors beside them and replicas; rotations over 45 degrees are left out. The "
            "band holds 95 % of shifted rotors, lag by lag.",
            plots.plot_tilt_at_hops,
            [pair for pair in of("tilt_at_hops") if pair[1].excess is not None],
        ),
        panel_figure(
            f"bottleneck-{anion}-{mobile}",
            f"Width of the way of {mobile} about its hops",
            "Mean distance from the middle of the hop to the nearest atoms of the host; the band holds 95 % "
            "of the same places at other times, lag by lag.",
            plots.plot_bottleneck_at_hops,
            of("bottleneck_at_hops"),
        ),
        panel_figure(
            f"hazard-{anion}-{mobile}",
            f"Hazard ratios of {anion} and {mobile}",
            "Rate of one event in the window after the other, over its rate otherwise, with 95 % intervals; "
            "crude, and at equal surroundings. Dashed: no coupling.",
            plots.plot_hazard_ratios,
            hazards,
            height_in=2.8,
            rows=True,
        ),
    ]
    pointing = of("vacancy_pointing")
    if pointing:
        figures.append(
            single_figure(
                f"pointing-{anion}-{mobile}",
                f"Bonds of {anion} and vacancies of {mobile}",
                "Density of the cosine between the bond and the direction to the nearest vacancy within "
                "reach; bars are one standard error over rotors. Dashed: random orientation.",
                plots.plot_vacancy_pointing,
                pointing,
            )
        )
    return figures


def _chosen(records):
    """Return up to four of the records, evenly chosen, coldest and hottest among them."""
    if len(records) <= _MOST_PANELS:
        return list(records)
    return [records[i] for i in np.linspace(0, len(records) - 1, _MOST_PANELS).round().astype(int)]


def _results(records, name):
    return [(column_of(item), item.rotation[name]) for item in records if name in item.rotation]
