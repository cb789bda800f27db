"""What a report says about vacancies and what holds them. Figures: report_figures.py."""

from simtools.plots import format_estimate, format_number

__all__ = ["association_table", "binding_rows", "pair_in_words"]


def association_table(run):
    """Return bound fractions and what they say of the binding, one row per temperature and partner."""
    rows = [
        [
            f"{result.temperature_K:g}",
            pair_in_words(result),
            format_estimate(result.bound_fraction),
            format_number(result.random_fraction),
            format_estimate(result.second_shell_fraction),
            format_number(result.random_second_shell_fraction),
            format_estimate(result.binding_free_energy_eV),
            format_number(result.correlation_time_ps),
        ]
        for result in run.association
    ]
    columns = [
        "T (K)",
        "pair",
        "bound (first shell)",
        "if random",
        "second shell",
        "if random",
        "binding free energy (eV)",
        "correlation time (ps)",
    ]
    caption = (
        "Fraction of time that a vacancy has a partner in the first shell of sites around it, or the nearest "
        "in the second. Binding free energy: −kT times the logarithm of the odds of being bound over the "
        "odds at random; effective, as every partner in the cell counts."
    )
    return {"columns": columns, "rows": rows, "caption": caption}


def binding_rows(run):
    """Return (name, text) of the binding enthalpies that a line through the free energies gives."""
    return [
        (
            f"Binding enthalpy, {pair_in_words(result)}",
            f"{format_estimate(result.enthalpy_eV, 'eV')}; entropy "
            f"{format_estimate(result.entropy_kB, 'k_B')}; {result.enthalpy_eV.method}",
        )
        for result in run.binding
        if result.enthalpy_eV is not None
    ]


def pair_in_words(result):
    """Return which vacancy is held by what: ``V_Li, Mg dopant``."""
    return f"V_{result.species}, {result.partner} {result.partner_kind}"
