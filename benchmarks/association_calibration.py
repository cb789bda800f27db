"""Do the intervals of bound fractions hold the truth where partners are frozen? A lattice gas says.

Lithium vacancies hop (Metropolis) on the lithium sites of a 4x4x4 Li3OCl cell, held by an energy in the first
shell of dopants that never move; each replica has its own arrangement, and its own energy where a spread is
asked for. The truth is the mean over all replicas. Also: the binding free energy beside the energy put in.

Writes benchmarks/results/association_calibration.json.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import stats

from simtools.analysers.binding import binding_free_energy
from simtools.analysers.fractions import average_fraction
from simtools.core.provenance import library_versions
from simtools.core.results import Estimate
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.structures import build_antiperovskite, build_supercell

N_DOPANTS = N_VACANCIES = 4
N_FRAMES, HOPS_PER_FRAME, EQUILIBRATION = 3000, 2, 4000
ENERGY_KT = -4.0
TEMPERATURE_K = 1000.0


def neighbours():
    """Return the eight nearest lithium sites of every lithium site, shape (192, 8)."""
    crystal = build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=1.0), 4)
    lithium = [atom.index for atom in crystal if atom.symbol == "Li"]
    distance = np.array([crystal.get_distances(i, lithium, mic=True) for i in lithium])
    return np.array([np.flatnonzero(np.abs(row - np.sqrt(0.5)) < 0.1) for row in distance])


def run(near, energies_kT, rng):
    """Return the bound fraction of each replica against time, shape (n_replicas, n_frames)."""
    n_replicas, n_sites = len(energies_kT), len(near)
    row = np.arange(n_replicas)
    sites = np.argsort(rng.random((n_replicas, n_sites)), axis=1)[:, : N_DOPANTS + N_VACANCIES]
    vacancies, taken = sites[:, N_DOPANTS:].copy(), np.zeros((n_replicas, n_sites), dtype=bool)
    np.put_along_axis(taken, sites, True, axis=1)
    held = np.zeros((n_replicas, n_sites), dtype=np.int8)
    for dopant in sites[:, :N_DOPANTS].T:
        held[row[:, None], near[dopant]] = 1
    series = np.empty((n_replicas, N_FRAMES))
    for step in range(EQUILIBRATION + N_FRAMES * HOPS_PER_FRAME):
        which, direction = rng.integers(N_VACANCIES, size=n_replicas), rng.integers(8, size=n_replicas)
        here = vacancies[row, which]
        there = near[here, direction]
        change = held[row, there] - held[row, here]
        moves = ~taken[row, there] & (rng.random(n_replicas) < np.exp(-energies_kT * change))
        taken[row[moves], here[moves]], taken[row[moves], there[moves]] = False, True
        vacancies[row[moves], which[moves]] = there[moves]
        frame, between = divmod(step - EQUILIBRATION, HOPS_PER_FRAME)
        if frame >= 0 and between == 0:
            series[:, frame] = held[row[:, None], vacancies].mean(axis=1)
    return series


def score(series, n_replicas):
    """Return coverage, width over that of a known error, and the binding free energy over the energy."""
    truth, held, widths, values = series.mean(), [], [], []
    for group in series[: len(series) // n_replicas * n_replicas].reshape(-1, n_replicas, N_FRAMES):
        estimate = average_fraction(list(group), N_VACANCIES, 1.0)[0]
        held.append(estimate.ci95[0] < truth < estimate.ci95[1])
        widths.append(estimate.ci95[1] - estimate.ci95[0])
        values.append(estimate.value)
    ideal = 2 * stats.norm.ppf(0.975) * np.std(values)
    return {"coverage": float(np.mean(held)), "width_over_ideal": float(np.mean(widths) / ideal)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/association_calibration.json")
    )
    arguments = parser.parse_args()
    near, rng, rows = neighbours(), np.random.default_rng(arguments.seed), []
    none_held = stats.hypergeom.pmf(0, len(near) - 1, 8, N_DOPANTS)
    for spread_kT in (0.0, 0.15, 0.3, 0.6):
        for n_replicas in (4, 10):
            energies = ENERGY_KT + spread_kT * rng.standard_normal(arguments.groups * n_replicas)
            series = run(near, energies, rng)
            known = Estimate(
                value=series.mean(), stderr=0.0, ci95=(series.mean(),) * 2, method="all replicas", n_eff=1.0
            )
            effective_eV = binding_free_energy(known, 1 - none_held, TEMPERATURE_K).value
            row = {
                "spread_kT": spread_kT,
                "n_replicas": n_replicas,
                "bound_fraction": float(series.mean()),
                "binding_free_energy_kT": effective_eV / BOLTZMANN_EV_PER_K / TEMPERATURE_K,
                **score(series, n_replicas),
            }
            rows.append(row)
            print(row, flush=True)
    report = {
        "energy_kT": ENERGY_KT,
        "groups": arguments.groups,
        "seed": arguments.seed,
        "versions": library_versions(),
        "rows": rows,
    }
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
