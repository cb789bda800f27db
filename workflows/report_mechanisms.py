"""What a report of a run says about how its ions move. Foreign trajectories: analysis_page.py."""

from simtools import plots
from simtools.plots import format_estimate, format_number
from workflows.hop_tables import hop_table, methods_table_of, transport_number_table
from workflows.report_figures import single_figure

__all__ = ["disagreements", "law_rows", "mechanism_figures", "mechanism_tables"]

_SIZE = {"width_in": 5.6, "height_in": 4.2}
_LAWS = {
    "arrhenius": "one Arrhenius line",
    "bend": "two lines that meet",
    "transition": "two lines with a step",
    "vtf": "a VTF curve",
}


def mechanism_tables(run):
    """Return the tables of the section: jumps, transport numbers; and of methods, which fold."""
    mobile = run.recipe.get("analysis", {}).get("mobile")
    hops = sorted(run.hops, key=lambda item: (item.temperature_K, item.species != mobile, item.species))
    shown = [hop_table(hops)] if hops else []
    shown += [transport_number_table(run.onsager)] if run.onsager else []
    return shown, [methods_table_of(run.comparisons)] if run.comparisons else []


def disagreements(run):
    """Return what methods contradict each other on, with the temperature."""
    return [f"{item.temperature_K:g} K: {text}" for item in run.comparisons for text in item.disagreements]


def law_rows(run):
    """Return (name, text) of the temperature laws that were compared."""
    law = run.temperature_laws
    if law is None:
        return []
    shares = "; ".join(f"{_LAWS[name]} {share:.2g}" for name, share in law.probabilities.items())
    rows = [("Temperature laws, probabilities", f"{shares}. Preferred: {_LAWS[law.preferred]}")]
    if law.break_temperature_K is not None:
        rows.append(("Break", format_estimate(law.break_temperature_K, "K")))
        rows += [
            (f"Activation energy, {side} temperatures", format_estimate(energy, "eV"))
            for side, energy in law.activation_energies_eV.items()
        ]
    return rows


def mechanism_figures(run):
    """Return figures against temperature: jump rates, correlation factor, Green–Kubo; and one spectrum."""
    figures = []
    mobile = run.recipe.get("analysis", {}).get("mobile")
    own = [item for item in run.hops if item.species == mobile]
    if run.hops:
        names = dict.fromkeys([mobile, *(item.species for item in run.hops)])
        series = {
            name: [(item.temperature_K, item.rate_per_ion) for item in run.hops if item.species == name]
            for name in names
        }
        figures.append(
            single_figure(
                "jump-rates",
                "Jump rates",
                "Lasting jumps between sites per ion, with 95 % Poisson intervals; arrows point down from "
                "95 % upper limits of species that did not jump.",
                plots.plot_against_temperature,
                {name: points for name, points in series.items() if points},
                ylabel="jumps per ion (1/ps)",
                log=True,
                **_SIZE,
            )
        )
    figures += _correlation_figure([item for item in own if item.correlation_factor is not None])
    if run.green_kubo:
        figures += _green_kubo_figures(run)
    return figures


def _correlation_figure(hops):
    if not hops:
        return []
    beside = [item for item in hops if item.lattice_gas_factor is not None]
    band = None
    if len(beside) > 1:
        low, high = zip(*(item.lattice_gas_range for item in beside), strict=True)
        band = "lattice gas, 95 %", [item.temperature_K for item in beside], low, high
    series = {"this work": [(item.temperature_K, item.correlation_factor) for item in hops]}
    if beside:
        series["lattice gas, mean"] = [(item.temperature_K, item.lattice_gas_factor) for item in beside]
    return [
        single_figure(
            "correlation-factor",
            f"Tracer correlation factor of {hops[0].species}",
            "How far ions get over how far as many unrelated jumps would take them. Lattice gas: vacancies "
            "that know of each other by site exclusion only, on the same sites at the same rate; the band "
            "holds 95 % of repeats as long as the run. Below the band, ions go back more often than "
            "vacancies alone explain.",
            plots.plot_against_temperature,
            series,
            ylabel="tracer correlation factor",
            band=band,
            **_SIZE,
        )
    ]


def _green_kubo_figures(run):
    series = {
        "Einstein–Helfand": [
            (item.temperature_K, item.ionic_conductivity_S_per_cm) for item in run.transport if item.charge_e
        ],
        "Green–Kubo": [(item.temperature_K, item.ionic_conductivity_S_per_cm) for item in run.green_kubo],
    }
    hottest = run.green_kubo[-1]
    step = f"{format_number(1000 * hottest.interval_ps)} fs"
    return [
        single_figure(
            "green-kubo",
            "Conductivity by two routes",
            "From the displacement of the charge (Einstein–Helfand, the value reported) and from the charge "
            f"current sampled every {step} (Green–Kubo), with 95 % intervals. Both come from the same run, "
            "so they should lie closer together than their intervals.",
            plots.plot_against_temperature,
            {name: points for name, points in series.items() if points},
            ylabel="ionic conductivity (S/cm)",
            log=True,
            **_SIZE,
        ),
        single_figure(
            "conductivity-spectrum",
            f"Conductivity spectrum at {hottest.temperature_K:g} K",
            "Grey: spectrum of the charge current, mean over replicas and axes, averaged in logarithmic "
            "bins; its limit at zero frequency, from the shaded band by cepstral analysis, is the "
            "Green–Kubo conductivity. The bars at the left are 95 % intervals.",
            plots.plot_green_kubo,
            hottest,
            **_SIZE,
        ),
    ]
