"""The tables and the figure of docs/results.md on doped Li3OCl from the finished runs of the shipped recipes.

Run each recipe with ``simtools run NAME -o RUNS/NAME`` (and ``simtools defects li3ocl-defects -o
RUNS/li3ocl-defects`` for the energies at rest), then::

    python benchmarks/doped_results.py RUNS --figures docs/figures

Prints Markdown and writes benchmarks/results/doped_results.json.
"""

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure

from simtools.plots import (
    format_estimate,
    format_number,
    plot_arrhenius_overlay,
    plot_association,
    plot_binding,
)
from workflows.compare import read_comparison
from workflows.report_defects import defects_made

RECIPES = {"Mg": "li3ocl-mg-doped", "F": "li3ocl-f-doped"}
AT_REST = "li3ocl-defects"
_NOT_RECORDED = ("host", "platform", "arguments")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--figures", type=Path, default=Path("docs/figures"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/doped_results.json"))
    options = parser.parse_args()
    directories = [options.runs / name for name in RECIPES.values()]
    if (options.runs / AT_REST / "summary.json").is_file():
        directories.append(options.runs / AT_REST)
    comparison = read_comparison(directories)
    print_lengths(comparison)
    print_transport(comparison)
    print_binding(comparison)
    for entry in comparison.verdicts:
        print(f"\n{entry['text']}")
    for text in comparison.warnings:
        print(f"\nwarning: {text}")
    options.figures.mkdir(parents=True, exist_ok=True)
    draw(comparison, options.figures / "li3ocl-doped.png")
    options.output.write_text(json.dumps(record(comparison), indent=1) + "\n", encoding="utf-8")


def print_lengths(comparison):
    for label, run in comparison.runs.items():
        md = run.recipe["md"]
        production = [point for point in run.points if point.outcome and point.spec["role"] == "production"]
        total_ns = len(production) * md["production_ps"] / 1000
        print(
            f"\n{label}: {len(production)} production runs of {md['production_ps']:g} ps after "
            f"{md['equilibration_ps']:g} ps, {total_ns:g} ns in all; each cell: {defects_made(run)}"
        )
        for text in run.warnings:
            print(f"  warning: {text}")


def print_transport(comparison):
    print("\n| T (K) | dopant | hops | D* (cm² s⁻¹) | σ (S cm⁻¹) | H_R |")
    print("| --- | --- | --- | --- | --- | --- |")
    for dopant, name in RECIPES.items():
        for item in comparison.runs[name].transport:
            print(
                f"| {item.temperature_K:g} | {dopant} | {item.n_hops} "
                f"| {format_estimate(item.tracer_diffusivity_cm2_per_s)} "
                f"| {format_estimate(item.ionic_conductivity_S_per_cm)} "
                f"| {format_estimate(item.haven_ratio)} |"
            )
    for dopant, name in RECIPES.items():
        fit = comparison.runs[name].arrhenius
        if fit is not None:
            print(
                f"\n{dopant}: E_a(σT) {format_estimate(fit.activation_energy_eV)} eV, E_a(D*) "
                f"{format_estimate(fit.tracer_activation_energy_eV)} eV"
            )
    print("\n| T (K) | ratio of σ, Mg / F | ratio of D* |")
    print("| --- | --- | --- |")
    for entry in comparison.transport:
        print(
            f"| {entry['temperature_K']:g} | {format_estimate(entry['ionic_conductivity_ratio'])} "
            f"| {format_estimate(entry['tracer_diffusivity_ratio'])} |"
        )


def print_binding(comparison):
    print("\n| T (K) | dopant | bound | at random | second shell | at random | ΔF (eV) | τ (ps) |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for holder in comparison.holders:
        for item in holder.results:
            print(
                f"| {item.temperature_K:g} | {item.partner} | {format_estimate(item.bound_fraction)} "
                f"| {item.random_fraction:.3f} | {format_estimate(item.second_shell_fraction)} "
                f"| {item.random_second_shell_fraction:.3f} "
                f"| {format_estimate(item.binding_free_energy_eV)} | {item.correlation_time_ps:.2g} |"
            )
    print("\n| T (K) | bound, Mg less F | ΔF, Mg less F (eV) |")
    print("| --- | --- | --- |")
    for entry in comparison.binding:
        print(
            f"| {entry['temperature_K']:g} | {format_estimate(entry['bound_fraction_difference'])} "
            f"| {format_estimate(entry['binding_free_energy_difference_eV'])} |"
        )
    for run in comparison.runs.values():
        for item in run.binding:
            if item.enthalpy_eV is not None:
                print(
                    f"\n{item.partner}: enthalpy {format_estimate(item.enthalpy_eV)} eV, entropy "
                    f"{format_estimate(item.entropy_kB)} k_B, p = {item.p_value:.2g}"
                )
    for item in comparison.static:
        energy = format_number(item.energy_eV, digits=3)
        print(f"\n{item.associate} at rest, {item.distance_A:.2f} Å: {energy} eV, {item.reference}")


def draw(comparison, path):
    """Draw conductivity, bound fraction and binding free energy side by side."""
    figure = Figure(figsize=(13.2, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    short = {name: dopant for dopant, name in RECIPES.items()}
    runs = {f"{short[name]}-doped": run for name, run in comparison.runs.items()}
    fits = {label: run.arrhenius for label, run in runs.items()}
    plot_arrhenius_overlay({label: run.transport for label, run in runs.items()}, fits=fits, ax=left)
    left.legend(loc="best", fontsize=9)
    holders = {f"{holder.partner}-doped": holder.results for holder in comparison.holders}
    plot_association(holders, ax=middle)
    static = {f"{item.partner}-doped": item.energy_eV for item in comparison.static}
    plot_binding(holders, static_eV={k: v for k, v in static.items() if k in holders}, ax=right)
    figure.savefig(path, dpi=130)


def record(comparison):
    """Return what is kept: numbers, and where they came from without the machine's name."""
    summary = comparison.to_summary()
    provenance = {k: v for k, v in summary.pop("provenance").items() if k not in _NOT_RECORDED}
    return {
        "provenance": provenance,
        **summary,
        "transport": {k: run.summary["transport"] for k, run in comparison.runs.items()},
        "association": {k: run.summary["association"] for k, run in comparison.runs.items()},
        "binding": {k: run.summary["binding"] for k, run in comparison.runs.items()},
        "run_warnings": {k: list(run.warnings) for k, run in comparison.runs.items()},
    }


if __name__ == "__main__":
    main()
