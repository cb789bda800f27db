"""Results into Axes; the only importer of matplotlib."""

from simtools.plots.arrhenius import plot_arrhenius, plot_arrhenius_overlay
from simtools.plots.association import plot_association, plot_binding
from simtools.plots.defect_energies import (
    plot_binding_against_distance,
    plot_concentrations,
    plot_reaction_energies,
)
from simtools.plots.haven import plot_haven_ratio
from simtools.plots.msd import plot_charge_msd, plot_local_exponent, plot_msd
from simtools.plots.style import SEQUENCE, new_axes, new_row
from simtools.plots.text import format_estimate, format_number
from simtools.plots.traces import mark_stages, plot_energy_trace, plot_temperature_trace

__all__ = [
    "SEQUENCE",
    "format_estimate",
    "format_number",
    "mark_stages",
    "new_axes",
    "new_row",
    "plot_arrhenius",
    "plot_arrhenius_overlay",
    "plot_association",
    "plot_binding",
    "plot_binding_against_distance",
    "plot_charge_msd",
    "plot_concentrations",
    "plot_energy_trace",
    "plot_haven_ratio",
    "plot_local_exponent",
    "plot_msd",
    "plot_reaction_energies",
    "plot_temperature_trace",
]
