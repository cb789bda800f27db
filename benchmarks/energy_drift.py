"""Energy conservation of velocity Verlet on Li3OCl (4x4x4, 320 ions) at 1000 K.

    python benchmarks/energy_drift.py [--ps 100] [--replicas 2] [--output FILE.json]

Three measurements: the root mean square fluctuation of the total energy against the time step (tight forces:
second order means a slope of 2), the drift of the total energy at 1 fs and default accuracy, and that of
LAMMPS (fix nve) from the same positions and velocities, at the settings that give it our force error here
(cutoff 10 Å, order 7, accuracy 1e-5, skin 1 Å: the best that `engine.py` finds).
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine_lammps import commands, start
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
LAMMPS_SETTINGS = {"cutoff_A": 10.0, "order": 7, "accuracy": 1e-5, "skin_A": 1.0}
DRIFT_LIMIT = 1e-4  # eV/atom/ns


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


def constant_energy_in_lammps(atoms, folder, *, duration_ps, every_fs):
    """Return the same as `constant_energy` of LAMMPS' own run at 1 fs."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.lammps"
    engine = start(commands(FORCE_FIELD, atoms, folder, **LAMMPS_SETTINGS), "omp", log)
    try:
        engine.commands_string(
            "thermo_style custom step etotal temp\nthermo_modify format float %.15g\n"
            f"thermo {round(every_fs)}\nrun {round(1000 * duration_ps)}\n"
        )
        engine.command("log none")
    finally:
        engine.close()
    text = log.read_text(encoding="utf-8").rsplit("TotEng", 1)[-1]
    rows = re.findall(r"^ *([0-9]+) +(\S+) +(\S+) *$", text.split("Loop time")[0], re.M)
    table = np.array(rows, dtype=float)
    return table[:, 0] / 1000, table[:, 1] / len(atoms), float(table[:, 2].mean())


def drift(repeats, replicas, duration_ps, folder, with_lammps):
    """Return {engine: drift at 1 fs}, per replica and pooled, from the same starts."""
    found = {"ours": []} | ({"lammps": []} if with_lammps else {})
    for k in range(replicas):
        atoms = warm(repeats, 200 + k, folder / f"drift-warm-{k}", 2.0)
        for engine, runs in found.items():
            if engine == "ours":
                times, energy, temperature = constant_energy(
                    atoms,
                    IonicCalculator(FORCE_FIELD),
                    folder / f"drift-{k}",
                    duration_ps=duration_ps,
                    timestep_fs=1.0,
                    every_fs=50.0,
                )
            else:
                times, energy, temperature = constant_energy_in_lammps(
                    atoms, folder / f"drift-lammps-{k}", duration_ps=duration_ps, every_fs=50.0
                )
            rate = drift_rate(times / 1000, energy)
            runs.append((rate, temperature, float(energy.std())))
            print(
                f"replica {k}, {engine}: {temperature:.0f} K, {rate.value:+.2e} ± {rate.stderr:.1e} "
                f"eV/atom/ns, fluctuation {energy.std():.1e} eV/atom",
                flush=True,
            )
    return {engine: pooled(runs, duration_ps) for engine, runs in found.items()}


def pooled(runs, duration_ps):
    """Return the mean drift of the replicas of one engine with its error."""
    rates = [rate for rate, _, _ in runs]
    values = np.array([rate.value for rate in rates])
    inside = np.sqrt(sum(rate.stderr**2 for rate in rates)) / len(rates)
    between = values.std(ddof=1) / np.sqrt(len(rates)) if len(rates) > 1 else 0.0
    return {
        "timestep_fs": 1.0,
        "duration_ps": duration_ps,
        "mean_temperatures_K": [temperature for _, temperature, _ in runs],
        "rms_fluctuations_eV_per_atom": [fluctuation for _, _, fluctuation in runs],
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
    parser.add_argument("--no-lammps", action="store_true", help="leave LAMMPS out")
    parser.add_argument("--folder", type=Path, help="keep the runs here (and continue them)")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        report = {
            "ions": 5 * options.repeats**3,
            "order": order_of_the_integrator(options.repeats, options.starts, folder),
            "drift": drift(options.repeats, options.replicas, options.ps, folder, not options.no_lammps),
            "lammps_settings": LAMMPS_SETTINGS,
            "provenance": {k: v for k, v in collect_provenance().items() if k != "host"},
        }
    order, leak = report["order"], report["drift"]
    error = "" if order["slope_stderr"] is None else f" ± {order['slope_stderr']:.3f}"
    print(f"slope {order['slope']:.3f}{error} (expected 2.0 ± 0.1)")
    for engine, found in leak.items():
        print(f"{engine}: {found['drift_eV_per_atom_per_ns']:+.2e} ± {found['stderr']:.1e} eV/atom/ns")
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    ours = abs(leak["ours"]["drift_eV_per_atom_per_ns"])
    good = abs(order["slope"] - 2) <= 0.1 and ours < DRIFT_LIMIT
    if "lammps" in leak:
        errors = 2.0 * np.hypot(leak["ours"]["stderr"], leak["lammps"]["stderr"])
        good = good and ours <= abs(leak["lammps"]["drift_eV_per_atom_per_ns"]) + errors
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
