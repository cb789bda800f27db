"""The tables and figures of docs/results.md from the finished runs of the shipped recipes.

Run each recipe with ``simtools run NAME -o RUNS/NAME``, then::

    python benchmarks/converged_results.py RUNS --figures docs/figures

Prints Markdown. Missing or unfinished runs are named and left out.
"""

import argparse
from pathlib import Path

import numpy as np

import simtools
from simtools.analysers.sites import site_occupation
from simtools.core.errors import SimtoolsError
from simtools.core.periodic import minimum_image
from simtools.plots import format_estimate, new_axes
from simtools.plots.style import BLUE, GREEN, VERMILION, add_legend, dress, interval_bars

RECIPES = ("li3ocl-vacancies-1pc", "li3ocl-vacancies-3pc", "li3ocl-schottky", "li3ocl-haven")
LABELS = {
    "li3ocl-vacancies-1pc": ("isolated, 1.07 %", BLUE, "o"),
    "li3ocl-vacancies-3pc": ("isolated, 2.93 %", VERMILION, "s"),
    "li3ocl-schottky": ("LiCl Schottky pairs, 1.07 %", GREEN, "D"),
}
PAIR_SHELLS = (0.3, 0.85, 1.1, 1.3, 1.7, 2.3)  # edges in lattice parameters: 2.7, 3.9, 4.8, 5.9, 7-8 Å ...


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--figures", type=Path, default=Path("docs/figures"))
    options = parser.parse_args()
    runs = {}
    for name in RECIPES:
        try:
            run = simtools.load_run(options.runs / name)
        except SimtoolsError as error:
            print(f"<!-- {name}: {error} -->")
            continue
        if run.transport:
            runs[name] = run
        else:
            print(f"<!-- {name}: nothing analysed yet -->")
    options.figures.mkdir(parents=True, exist_ok=True)
    for name, run in runs.items():
        print_run(name, run)
    print_proportionality(runs)
    draw_mobility(runs, options.figures / "li3ocl-mobility.png")
    for name in runs:
        if name.startswith("li3ocl-vacancies"):
            print_vacancy_pairs(name, runs[name])


def vacancy_fraction(run):
    """Return the cation vacancies per cation site."""
    record = next(point.trajectory() for point in run.points if point.outcome and "-r" in point.name)
    n_sites = int(np.sum(record.lattice_sites.species == "Li"))
    return (n_sites - record.n_of("Li")) / n_sites


def print_run(name, run):
    print(f"\n### {name}\n")
    print("| T (K) | replicas | hops | D* (cm² s⁻¹) | σ (S cm⁻¹) | H_R |")
    print("| --- | --- | --- | --- | --- | --- |")
    for item in run.transport:
        print(
            f"| {item.temperature_K:g} | {item.n_replicas} | {item.n_hops} "
            f"| {format_estimate(item.tracer_diffusivity_cm2_per_s)} "
            f"| {format_estimate(item.ionic_conductivity_S_per_cm)} | {format_estimate(item.haven_ratio)} |"
        )
    if run.arrhenius is not None:
        fit = run.arrhenius
        print(f"\nE_a(σT) {format_estimate(fit.activation_energy_eV)} eV, ", end="")
        if fit.tracer_activation_energy_eV is not None:
            print(f"E_a(D*) {format_estimate(fit.tracer_activation_energy_eV)} eV, ", end="")
        print(f"σ(300 K, extrapolated) {format_estimate(fit.conductivity_300K_S_per_cm)} S/cm")
    for item in run.association:
        print(
            f"\n{item.temperature_K:g} K: first shell {format_estimate(item.bound_fraction)} (random "
            f"{item.random_fraction:.2f}), second {format_estimate(item.second_shell_fraction)} (random "
            f"{item.random_second_shell_fraction:.2f})"
        )


def print_proportionality(runs):
    """Print D* at 3 % over D* at 1 %, divided by the ratio of the fractions: 1 if proportional."""
    low, high = (runs.get(f"li3ocl-vacancies-{percent}pc") for percent in (1, 3))
    if low is None or high is None:
        return
    expected = vacancy_fraction(high) / vacancy_fraction(low)
    print(f"\n### D* ratio over fraction ratio ({expected:.3f})\n")
    for item in low.transport:
        other = [x for x in high.transport if x.temperature_K == item.temperature_K]
        if not other:
            continue
        pair = (other[0].tracer_diffusivity_cm2_per_s, item.tracer_diffusivity_cm2_per_s)
        ratio = pair[0].value / pair[1].value / expected
        relative = np.hypot(*(x.stderr / x.value for x in pair))
        print(f"{item.temperature_K:g} K: {ratio:.3f} ± {ratio * relative:.3f} ({100 * relative:.1f} %)")


def print_vacancy_pairs(name, run):
    """Print how often two vacancies are found at a distance, relative to random sites."""
    print(f"\n### Vacancy pairs in {name}, relative to random; edges {PAIR_SHELLS} a\n")
    for temperature_K in sorted({item.temperature_K for item in run.transport}):
        shares = []
        for point in run.points:
            if point.outcome is None or "-r" not in point.name:
                continue
            record = point.trajectory()
            if record.temperature_K == temperature_K:
                shares.append(pair_shares(record))
        mean = np.mean(shares, axis=0)
        error = np.std(shares, axis=0, ddof=1) / np.sqrt(len(shares))
        shown = ", ".join(f"{m:.2f} ± {e:.2f}" for m, e in zip(mean, error, strict=True))
        print(f"{temperature_K:g} K: {shown}")


def pair_shares(record):
    occupation = site_occupation(record, species="Li")
    cell = record.cells_A if record.cells_A.ndim == 2 else record.cells_A[0]
    sites = record.lattice_sites.scaled_positions[occupation.site_indices] @ cell
    lattice_parameter = (abs(np.linalg.det(cell)) * 3 / len(sites)) ** (1 / 3)
    distances = np.linalg.norm(minimum_image(sites[:, None] - sites[None], cell), axis=-1) / lattice_parameter
    i, j = np.triu_indices(len(sites), 1)
    random = np.histogram(distances[i, j], PAIR_SHELLS)[0] / len(i)
    vacancies = occupation.vacancies[::10]
    i, j = np.triu_indices(vacancies.shape[1], 1)
    found = np.histogram(distances[vacancies[:, i], vacancies[:, j]], PAIR_SHELLS)[0]
    return found / vacancies[:, i].size / random


def draw_mobility(runs, path):
    """Draw D* per vacancy fraction against 1000/T: one line if diffusion is proportional to vacancies."""
    ax = new_axes(width_in=6.4, height_in=4.6)
    ax.set_yscale("log")
    for name, (label, colour, marker) in LABELS.items():
        if name not in runs:
            continue
        fraction = vacancy_fraction(runs[name])
        items = [x for x in runs[name].transport if not x.tracer_diffusivity_cm2_per_s.is_limit]
        estimates = [x.tracer_diffusivity_cm2_per_s.scaled(1 / fraction) for x in items]
        values, bars = interval_bars(estimates)
        ax.errorbar(
            [1000 / x.temperature_K for x in items],
            values,
            yerr=bars,
            fmt=f"{marker}-",
            color=colour,
            label=label,
            linewidth=1.0,
            capsize=3,
        )
    dress(ax, xlabel="1000 / T  (K⁻¹)", ylabel="D* / vacancy fraction  (cm² s⁻¹)")
    add_legend(ax)
    ax.figure.savefig(path, dpi=150, bbox_inches="tight")


if __name__ == "__main__":
    main()
