"""What energies at rest say of the bound fractions of doped Li3OCl: a lattice gas beside the dynamics.

Every pair of a lithium vacancy with a dopant or with another vacancy is relaxed in the 4x4x4 cell, at the
lattice parameter of the runs. Vacancies then move (Metropolis) on the lithium sites among four frozen dopants
with the sum of these pair energies. No vibration, no third body: what is left to explain the difference.

Writes benchmarks/results/doped_lattice_gas.json.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import stats

from potentials.calculator import IonicCalculator
from potentials.schema import load_force_field
from simtools.analysers.binding import binding_free_energy
from simtools.analysers.fractions import average_fraction
from simtools.core.provenance import library_versions
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.structures import build_prototype, build_supercell
from simtools.structures.ionic_relaxation import relax_ions

FORCE_FIELD = "oxyhalide_doped_formal"
LATTICE_PARAMETER_A = 3.96  # of the doped cells at 1000 K
N = 4
N_DOPANTS = N_VACANCIES = 4
EQUILIBRATION, FRAMES, STEPS_PER_FRAME = 40000, 2000, 10
HOT = 4.0  # times the temperature, at the start of the equilibration


def crystal_and_sites():
    """Return the cell, and for O and Li their sites in half lattice parameters, whole numbers modulo 2N."""
    crystal = build_supercell(
        build_prototype("cubic", "Li3OCl", lattice_parameter_A=LATTICE_PARAMETER_A), (N, N, N)
    )
    grid = np.rint(crystal.get_scaled_positions() * 2 * N).astype(int) % (2 * N)
    symbols = np.array(crystal.get_chemical_symbols())
    return crystal, {name: np.flatnonzero(symbols == name) for name in ("Li", "O")}, grid


def pair_energies(crystal, lithium, site, dopant, tolerance):
    """Return the energy, eV, of a vacancy on each lithium site beside `dopant` (or a vacancy) on `site`.

    Relative to the farthest pair; infinite where an ion hops in the relaxation, so that the pair is another.
    """
    field = load_force_field(FORCE_FIELD)
    energies = np.full(len(lithium), np.inf)
    charge = "background" if dopant == "V" else None
    for number, vacancy in enumerate(lithium):
        if vacancy == site:
            continue
        cell = crystal.copy()
        gone = [int(vacancy)]
        if dopant == "V":
            gone.append(int(site))
        else:
            cell.symbols[site] = dopant
        kept = np.delete(np.arange(len(cell)), gone)
        del cell[gone]
        relaxed = relax_ions(
            cell, IonicCalculator(field, accuracy=1e-5, net_charge=charge), max_force_eV_per_A=tolerance
        )
        home = crystal.positions[kept]
        moved = relaxed.atoms.positions - home
        moved -= np.rint(moved @ np.linalg.inv(crystal.cell.array)) @ crystal.cell.array
        if np.linalg.norm(moved, axis=1).max() < LATTICE_PARAMETER_A / np.sqrt(8):
            energies[number] = relaxed.energy_eV
    farthest = np.argmax(crystal.get_distances(site, lithium, mic=True))
    return energies - energies[farthest]


def all_pairs(energies, sites, grid, lithium, reference):
    """Return the energies of every (site, lithium site) pair by translation and the threefold axis."""
    index = {tuple(grid[atom]): number for number, atom in enumerate(lithium)}
    full = np.empty((len(sites), len(lithium)))
    for row, site in enumerate(sites):
        turn = next(k for k in range(3) if np.array_equal(np.roll(grid[site], k) % 2, grid[reference] % 2))
        apart = np.roll((grid[lithium] - grid[site]) % (2 * N), turn, axis=1)
        images = (grid[reference] + apart) % (2 * N)
        full[row] = energies[[index[tuple(image)] for image in images]]
    return full


def lattice_gas(held, repelled, near, kT_eV, n_replicas, rng):
    """Return the bound fraction of each replica against time.

    `held` and `near` (dopant site, lithium site) are the pair energy and whether it is in the first shell.
    """
    row, n_sites = np.arange(n_replicas), held.shape[1]
    same = held.shape[0] == n_sites
    dopants = np.argsort(rng.random((n_replicas, held.shape[0])), axis=1)[:, :N_DOPANTS]
    field = held[dopants].sum(axis=1)
    bound = near[dopants].any(axis=1)
    free = np.isfinite(field)
    if same:
        np.put_along_axis(free, dopants, False, axis=1)
    order = np.where(free, rng.random((n_replicas, n_sites)), 2.0)
    vacancies = np.argsort(order, axis=1)[:, :N_VACANCIES]
    series = np.empty((n_replicas, FRAMES))
    for step in range(EQUILIBRATION + FRAMES * STEPS_PER_FRAME):
        which, there = rng.integers(N_VACANCIES, size=n_replicas), rng.integers(n_sites, size=n_replicas)
        here = vacancies[row, which]
        change = np.where(free[row, there], field[row, there], np.inf) - field[row, here]
        for k in range(N_VACANCIES):
            (others,) = np.nonzero(which != k)
            other = vacancies[others, k]
            change[others] += repelled[there[others], other] - repelled[here[others], other]
        heat = 1 + (HOT - 1) * max(0.0, 1 - 1.25 * step / EQUILIBRATION)
        moves = rng.random(n_replicas) < np.exp(-np.maximum(change, 0) / (heat * kT_eV))
        vacancies[row[moves], which[moves]] = there[moves]
        frame, between = divmod(step - EQUILIBRATION, STEPS_PER_FRAME)
        if frame >= 0 and between == 0:
            series[:, frame] = bound[row[:, None], vacancies].mean(axis=1)
    return series


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--temperatures", type=float, nargs="+", default=[900.0, 1000.0, 1150.0])
    parser.add_argument("--replicas", type=int, default=400)
    parser.add_argument("--tolerance", type=float, default=0.02)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/doped_lattice_gas.json"))
    options = parser.parse_args()
    crystal, sites, grid = crystal_and_sites()
    lithium, rng, rows = sites["Li"], np.random.default_rng(1), []
    first = int(lithium[0])
    energies = pair_energies(crystal, lithium, first, "V", options.tolerance)
    repelled = all_pairs(energies, lithium, grid, lithium, first)
    for dopant, host in (("Mg", "Li"), ("F", "O")):
        reference = int(sites[host][0])
        energies = pair_energies(crystal, lithium, reference, dopant, options.tolerance)
        held = all_pairs(energies, sites[host], grid, lithium, reference)
        distance = np.array([crystal.get_distances(site, lithium, mic=True) for site in sites[host]])
        distance[distance < 0.1] = np.inf
        near = distance < distance.min() + 0.1
        n_sites = len(sites[host]) - (host == "Li")
        random = 1 - stats.hypergeom.pmf(0, n_sites, near[:, 0].sum(), N_DOPANTS)
        for temperature_K in options.temperatures:
            series = lattice_gas(
                held, repelled, near, BOLTZMANN_EV_PER_K * temperature_K, options.replicas, rng
            )
            fraction = average_fraction(list(series), N_VACANCIES, 1.0)[0]
            binding = binding_free_energy(fraction, random, temperature_K)
            one = np.exp(-held[0][np.isfinite(held[0])] / BOLTZMANN_EV_PER_K / temperature_K)
            first_shell = near[0][np.isfinite(held[0])]
            row = {
                "dopant": dopant,
                "temperature_K": temperature_K,
                "nearest_pair_eV": float(energies.min()),
                "bound_fraction_one_pair": float(one[first_shell].sum() / one.sum()),
                "random_fraction": float(random),
                "bound_fraction": fraction.to_dict(),
                "spread_of_replicas": float(series.mean(axis=1).std()),
                "binding_free_energy_eV": binding.to_dict(),
            }
            rows.append(row)
            print(
                f"{dopant} {temperature_K:g} K: bound {fraction.value:.3f}, replicas spread by "
                f"{row['spread_of_replicas']:.3f}, binding free energy {binding.value:.3f} eV; one pair "
                f"{row['bound_fraction_one_pair']:.3f} at {row['nearest_pair_eV']:.3f} eV",
                flush=True,
            )
    report = {"lattice_parameter_A": LATTICE_PARAMETER_A, "versions": library_versions(), "rows": rows}
    options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
