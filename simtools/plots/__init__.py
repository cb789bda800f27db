"""Results into Axes; the only importer of matplotlib."""

from simtools.plots.arrhenius import plot_arrhenius, plot_arrhenius_overlay
from simtools.plots.association import plot_association, plot_binding
from simtools.plots.calibration import plot_coverage, plot_interval_widths
from simtools.plots.cases import plot_cases
from simtools.plots.collective import (
    plot_green_kubo,
    plot_onsager_matrix,
    plot_temperature_laws,
    plot_vibrations,
)
from simtools.plots.counterfactual import plot_counterfactual_ratios
from simtools.plots.defect_energies import (
    plot_binding_against_distance,
    plot_concentrations,
    plot_reaction_energies,
)
from simtools.plots.density import plot_free_energy
from simtools.plots.haven import plot_haven_ratio
from simtools.plots.jumps import plot_jump_lengths, plot_lead_and_lag, plot_stays, plot_strings
from simtools.plots.methods import plot_against_temperature, plot_methods
from simtools.plots.msd import plot_charge_msd, plot_local_exponent, plot_msd
from simtools.plots.rotation import (
    plot_bottleneck_at_hops,
    plot_event_correlogram,
    plot_false_positives,
    plot_hazard_ratios,
    plot_orientation_map,
    plot_reorientation,
    plot_tilt_at_hops,
)
from simtools.plots.rotors import (
    plot_rotation_arrhenius,
    plot_tilt_autocorrelation,
    plot_tilt_density,
    plot_vacancy_pointing,
)
from simtools.plots.structure import (
    plot_distinct_van_hove,
    plot_non_gaussian_parameter,
    plot_radial_distribution,
    plot_self_van_hove,
)
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
    "plot_against_temperature",
    "plot_arrhenius",
    "plot_arrhenius_overlay",
    "plot_association",
    "plot_binding",
    "plot_binding_against_distance",
    "plot_bottleneck_at_hops",
    "plot_cases",
    "plot_charge_msd",
    "plot_concentrations",
    "plot_counterfactual_ratios",
    "plot_coverage",
    "plot_distinct_van_hove",
    "plot_energy_trace",
    "plot_event_correlogram",
    "plot_false_positives",
    "plot_free_energy",
    "plot_green_kubo",
    "plot_haven_ratio",
    "plot_hazard_ratios",
    "plot_interval_widths",
    "plot_jump_lengths",
    "plot_lead_and_lag",
    "plot_local_exponent",
    "plot_methods",
    "plot_msd",
    "plot_non_gaussian_parameter",
    "plot_onsager_matrix",
    "plot_orientation_map",
    "plot_radial_distribution",
    "plot_reaction_energies",
    "plot_reorientation",
    "plot_rotation_arrhenius",
    "plot_self_van_hove",
    "plot_stays",
    "plot_strings",
    "plot_temperature_laws",
    "plot_temperature_trace",
    "plot_tilt_at_hops",
    "plot_tilt_autocorrelation",
    "plot_tilt_density",
    "plot_vacancy_pointing",
    "plot_vibrations",
]
