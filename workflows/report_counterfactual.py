"""What a report says about runs with something taken away. Numbers: counterfactuals.py."""

import numpy as np

from simtools import plots
from simtools.plots import format_estimate, format_number
from workflows.report_figures import single_figure

__all__ = ["counterfactual_figures", "counterfactual_rows", "counterfactual_table"]

_WORDS = {
    "cone_restraint": "turns beyond {:g}° held back",
    "frozen_orientation": "orientations frozen at the start",
    "frozen_framework": "framework held on its sites",
    "heavy_rotor": "inertia of rotors × {:g}",
    "heavy_atoms": "masses moved to one end of molecules",
    "even_mass": "mass added evenly to molecules",
    "quenched_orientations": "random orientations, frozen",
    "rigid_reference": "free, molecules rigid",
}


def counterfactual_table(run):
    """Return ratios of D with intervals and what is left of the orientations, one row per altered run."""
    rows = [
        [
            f"{item.temperature_K:g}",
            _in_words(item),
            item.reference,
            f"{item.n_replicas}, {item.n_reference_replicas}",
            format_estimate(item.diffusivity_cm2_per_s),
            format_estimate(item.reference_diffusivity_cm2_per_s),
            format_estimate(item.ratio),
            _left(item, item.c1, item.reference_c1),
            _left(item, item.c2, item.reference_c2),
        ]
        for item in run.counterfactuals
    ]
    columns = [
        "T (K)",
        "altered",
        "compared with",
        "replicas of both",
        "D* (cm² s⁻¹)",
        "D* compared with (cm² s⁻¹)",
        "ratio",
        "C₁ (compared with)",
        "C₂ (compared with)",
    ]
    lags = sorted({item.lag_ps for item in run.counterfactuals if item.lag_ps is not None})
    when = f" after {', '.join(f'{lag:.3g}' for lag in lags)} ps" if lags else ""
    caption = (
        "Runs that differ from those they are compared with in one thing only, at the same volume, seeds and "
        "length. The interval of the ratio is a Student interval of its logarithm from the "
        f"scatter of replicas. C₁, C₂: what is left of the orientations{when}; 1 is frozen, 0 relaxed."
    )
    return {"columns": columns, "rows": rows, "caption": caption}


def counterfactual_rows(run):
    """Return (name, text) of differences of activation energies and of the exponent of inertia."""
    rows = [
        (
            f"E_a of {item.variant} less that of {item.reference}",
            f"{format_estimate(item.difference_eV, 'eV')}; {item.difference_eV.method}",
        )
        for item in run.activation_differences
    ]
    return rows + [
        (
            f"Exponent p of D ~ I^−p at {item.temperature_K:g} K",
            f"{format_estimate(item.exponent)}; {item.exponent.method}{_straightness(item)}",
        )
        for item in run.inertia_exponents
    ]


def _straightness(item):
    """Return how well one power of the inertia describes the runs; empty for two inertias."""
    if not np.isfinite(item.misfit):
        return ""
    return f"; scatter about the line over that of replicas {item.misfit:.2g} (p = {item.misfit_p_value:.2g})"


def counterfactual_figures(run):
    """Return the figure of the ratios, or nothing without altered runs."""
    if not run.counterfactuals:
        return []
    return [
        single_figure(
            "counterfactual",
            "Diffusion with something taken away",
            "D* of altered runs over that of the runs they are compared with, 95 % intervals from the "
            "scatter of replicas; dashed: no change. Arrows: upper limits.",
            plots.plot_counterfactual_ratios,
            run.counterfactuals,
            width_in=7.6,
            height_in=1.6 + 0.4 * len(run.counterfactuals),
        )
    ]


def _in_words(item):
    words = _WORDS.get(item.kind, item.kind)
    return words.format(item.parameter) if item.parameter is not None else words


def _left(item, values, reference):
    parts = [
        f"{name} {format_number(value)} ({format_number(reference[name]) if name in reference else '–'})"
        for name, value in values.items()
    ]
    return ", ".join(parts) or "–"
