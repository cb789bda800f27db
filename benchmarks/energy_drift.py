"""Energy conservation of velocity Verlet on Li3OCl (4x4x4, 320 ions) at 1000 K.

    python benchmarks/energy_drift.py [--ps 100] [--replicas 2] [--output FILE.json]

Two measurements: the root mean square fluctuation of the total energy against the time step (tight forces:
second order means a slope of 2), and the drift of the total energy at 1 fs and default accuracy.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from potentials.calculator import IonicCalculator
from simtools.core.provenance import collect_provenance
from simtools.md.averages import drift_rate
from simtools.md.protocols import Stage, load_final_atoms, run_stages
from simtools.md.thermo import read_thermo
from simtools.structures.antiperovskite import build_antiperovskite
from simtools.structures.supercells import build_supercell

TEMPERATURE_K = 1000.0
LATTICE_A = 3.956  # no pressure at 1000 K
FORCE_FIELD = "li3ocl_mouta_formal"
TIMESTEPS_FS = (0.5, 1.0, 2.0)
TIGHT_ACCURACY = 1e-7


def crystal(repeats):
    cell = build_antiperovskite("Li3OCl", lattice_parameter_A=LATTICE_A)
    return build_supercell(cell, (repeats, repeats, repeats))


def warm(repeats, seed, folder, duration_ps):
    """Return a configuration in equilibrium at 1000 K."""
    stage = Stage(
        name="equilibration",
        ensemble="NVT",
        thermostat="langevin",
        temperature_K=TEMPERATURE_K,
        duration_ps=duration_ps,
        seed=seed,
    )
    run_stages(crystal(repeats), IonicCalculator(FORCE_FIELD), [stage], folder)
    return load_final_atoms(folder)


def constant_energy(atoms, calculator, folder, *, duration_ps, timestep_fs, every_fs):
    """Return (times in ps, total energy per atom in eV, mean temperature in K) of a constant-energy run."""
    stage = Stage(
        name="nve",
        ensemble="NVE",
        temperature_K=TEMPERATURE_K,
        duration_ps=duration_ps,
        timestep_fs=timestep_fs,
        thermo_every_fs=every_fs,
        sample_every_fs=every_fs,
        current_every_fs=every_fs,
    )
    run_stages(atoms, calculator, [stage], folder, momenta="keep")
    table = read_thermo(folder)
    energy = table["conserved_energy_eV"].to_numpy() / len(atoms)
    return table["time_ps"].to_numpy(), energy, float(table["temperature_K"].mean())


def order_of_the_integrator(repeats, starts, folder):
    """Return the fluctuation at each time step and the slope with its error over independent starts."""
    fluctuations = np.empty((starts, len(TIMESTEPS_FS)))
    for k in range(starts):
        atoms = warm(repeats, 100 + k, folder / f"warm-{k}", 1.0)
        for j, timestep_fs in enumerate(TIMESTEPS_FS):
            _, energy, _ = constant_energy(
                atoms,
                IonicCalculator(FORCE_FIELD, accuracy=TIGHT_ACCURACY),
                folder / f"order-{k}-{j}",
                duration_ps=1.0,
                timestep_fs=timestep_fs,
                every_fs=2.0,
            )
            fluctuations[k, j] = energy.std()
            print(f"start {k}: {timestep_fs:3.1f} fs: {energy.std():.3e} eV/atom", flush=True)
    slopes = [np.polyfit(np.log(TIMESTEPS_FS), np.log(row), 1)[0] for row in fluctuations]
    return {
        "accuracy": TIGHT_ACCURACY,
        "timesteps_fs": TIMESTEPS_FS,
        "rms_fluctuation_eV_per_atom": fluctuations.mean(axis=0).tolist(),
        "slope": float(np.mean(slopes)),
        "slope_stderr": float(np.std(slopes, ddof=1) / np.sqrt(starts)) if starts > 1 else None,
        "starts": starts,
    }


def drift(repeats, replicas, duration_ps, folder):
    """Return the energy drift at 1 fs and default accuracy, per replica and pooled."""
    rates, temperatures = [], []
    for k in range(replicas):
        atoms = warm(repeats, 200 + k, folder / f"drift-warm-{k}", 2.0)
        times, energy, temperature = constant_energy(
            atoms,
            IonicCalculator(FORCE_FIELD),
            folder / f"drift-{k}",
            duration_ps=duration_ps,
            timestep_fs=1.0,
            every_fs=50.0,
        )
        rates.append(drift_rate(times / 1000, energy))
        temperatures.append(temperature)
        print(
            f"replica {k}: {temperature:.0f} K, {rates[-1].value:+.2e} ± {rates[-1].stderr:.1e} eV/atom/ns",
            flush=True,
        )
    values = np.array([rate.value for rate in rates])
    inside = np.sqrt(sum(rate.stderr**2 for rate in rates)) / replicas
    between = values.std(ddof=1) / np.sqrt(replicas) if replicas > 1 else 0.0
    return {
        "accuracy": "default",
        "timestep_fs": 1.0,
        "duration_ps": duration_ps,
        "mean_temperatures_K": temperatures,
        "drift_eV_per_atom_per_ns": float(values.mean()),
        "stderr": float(max(inside, between)),
        "replicas": [rate.to_dict() for rate in rates],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ps", type=float, default=100.0, help="length of each drift run")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=4, help="unit cells along each axis")
    parser.add_argument("--folder", type=Path, help="keep the runs here (and continue them)")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        report = {
            "ions": 5 * options.repeats**3,
            "order": order_of_the_integrator(options.repeats, options.starts, folder),
            "drift": drift(options.repeats, options.replicas, options.ps, folder),
            "provenance": collect_provenance(),
        }
    order, leak = report["order"], report["drift"]
    error = "" if order["slope_stderr"] is None else f" ± {order['slope_stderr']:.3f}"
    print(f"slope {order['slope']:.3f}{error} (expected 2.0 ± 0.1)")
    print(f"drift {leak['drift_eV_per_atom_per_ns']:+.2e} ± {leak['stderr']:.1e} eV/atom/ns (limit 1e-4)")
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    good = abs(order["slope"] - 2) <= 0.1 and abs(leak["drift_eV_per_atom_per_ns"]) < 1e-4
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
