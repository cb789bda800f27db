"""The embedded engine beside LAMMPS on one core, at measured force error: time per molecular dynamics step.

    python benchmarks/engine.py [--cells 4 8 12] [--repeats 5] [--output benchmarks/results/engine.json]

Li3OCl with 1 % of the lithium ions missing (uniform background in both codes), taken from a short run at
1000 K. Force errors are RMS and maximum over ions against exact Ewald sums, relative to the RMS force. LAMMPS
(buck/coul/long with its Coulomb tables, pppm) is tried at every Coulomb cutoff, order and accuracy listed
here; of those whose measured error is no larger than the limit the fastest is kept. Two limits: the error
measured for our defaults, and the 1e-4 that our defaults promise. Repeats are interleaved; medians are
printed. Times are processor time of the one thread that either engine uses, so that a shared machine
disturbs them less. Our step includes ASE's velocity Verlet, LAMMPS' its own.
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import units
from ase.constraints import FixCom
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet

from potentials.calculator import IonicCalculator
from potentials.lammps import write_lammps
from potentials.lammps_library import import_lammps
from potentials.schema import load_force_field
from simtools.core.provenance import collect_provenance
from simtools.structures.antiperovskite import build_antiperovskite
from simtools.structures.supercells import build_supercell

FORCE_FIELD = "li3ocl_mouta_formal"
PROMISED_ERROR = 1e-4
CUTOFFS_A = (7.0, 8.0, 9.0, 10.0, 12.0)
ORDERS = (5, 6, 7)
ACCURACIES = (1e-4, 5e-5, 2e-5, 1e-5, 5e-6)
SKINS_A = (1.0, 2.0)
SUFFIXES = (None, "omp")


def hot_crystal(repeat, *, temperature_K=1000.0, steps=300, seed=1):
    """Return Li3OCl with 1 % lithium vacancies after a short run at `temperature_K`, with velocities."""
    rng = np.random.default_rng(seed)
    atoms = build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=3.95), (repeat,) * 3)
    lithium = np.flatnonzero(atoms.symbols == "Li")
    del atoms[rng.choice(lithium, max(1, round(0.01 * len(lithium))), replace=False)]
    field = load_force_field(FORCE_FIELD)
    atoms.set_masses([field.masses_amu[symbol] for symbol in atoms.symbols])
    thermalize_momenta(atoms, temperature_K=2 * temperature_K, rng=rng)
    atoms.calc = IonicCalculator(field, net_charge="background")
    atoms.set_constraint(FixCom())
    Langevin(
        atoms, units.fs, temperature_K=temperature_K, friction=0.02 / units.fs, fixcm=False, rng=rng
    ).run(steps)
    atoms.set_constraint()
    atoms.calc = None
    return atoms


class Ours:
    """The embedded engine under ASE's velocity Verlet."""

    def __init__(self, atoms, **options):
        self.atoms = atoms.copy()
        self.calculator = IonicCalculator(FORCE_FIELD, net_charge="background", **options)
        self.atoms.calc = self.calculator
        self.forces = self.atoms.get_forces()
        self.dynamics = VelocityVerlet(self.atoms, units.fs)
        self.dynamics.run(2)
        chosen = self.calculator.settings(self.atoms)
        self.name = (
            f"ours, defaults: cutoff {chosen['coulomb_cutoff_A']:g} Å, mesh {chosen['mesh_shape'][0]}, "
            f"order {chosen['mesh_order']}"
        )

    def run(self, steps):
        """Return the seconds that `steps` steps take."""
        start = time.process_time()
        self.dynamics.run(steps)
        return time.process_time() - start


class Lammps:
    """LAMMPS' own velocity Verlet on the files that `write_lammps` writes."""

    def __init__(self, atoms, directory, *, cutoff_A, order, accuracy, skin_A=2.0, suffix=None):
        field = load_force_field(FORCE_FIELD)
        files = write_lammps(
            field,
            atoms,
            Path(directory) / "cell",
            accuracy=accuracy,
            coulomb_cutoff_A=cutoff_A,
            net_charge="background",
        )
        text = files.input.read_text(encoding="utf-8")
        text = text.replace(files.data.name, str(files.data)).replace("neighbor 2.0", f"neighbor {skin_A}")
        text = text.replace(
            "\nrun 0", f"\nkspace_modify order {order}\ntimestep 0.001\nfix move all nve\nrun 0"
        )
        arguments = ["-screen", "none", "-log", "none", "-nocite"]
        if suffix is not None:
            arguments += ["-sf", suffix] + (["-pk", "omp", "1"] if suffix == "omp" else [])
        self.engine = import_lammps().lammps(cmdargs=arguments)
        self.engine.commands_string(text + f"\nthermo {10**9}\n")
        # gather in the original orientation: the benchmark cell is cubic and right-handed, so no rotation
        self.forces = np.array(self.engine.gather_atoms("f", 1, 3), dtype=float).reshape(-1, 3)
        self.name = (
            f"LAMMPS{'' if suffix is None else ' ' + suffix}: cutoff {cutoff_A:g} Å, order {order}, "
            f"accuracy {accuracy:g}, skin {skin_A:g} Å"
        )

    def run(self, steps):
        """Return the seconds that `steps` steps take."""
        start = time.process_time()
        self.engine.command(f"run {steps} pre no post no")
        return time.process_time() - start

    def close(self):
        """Free LAMMPS' memory."""
        self.engine.close()


def force_error(forces, reference):
    """Return (RMS, maximum) error over ions relative to the RMS force."""
    rms = math.sqrt((reference**2).sum() / len(reference))
    error_n = np.linalg.norm(forces - reference, axis=1)
    return math.sqrt((error_n**2).mean()) / rms, float(error_n.max()) / rms


def scan_lammps(atoms, reference, directory, largest_error, *, seconds=0.25):
    """Return (ms per step, options, errors) of every setting whose RMS error stays below `largest_error`."""
    found = []
    for cutoff_A in CUTOFFS_A:
        for order in ORDERS:
            for accuracy in ACCURACIES:
                options = {"cutoff_A": cutoff_A, "order": order, "accuracy": accuracy}
                engine = Lammps(atoms, directory, **options)
                try:
                    errors = force_error(engine.forces, reference)
                    if errors[0] <= largest_error:
                        first = engine.run(3) / 3
                        steps = max(5, int(seconds / first))
                        found.append((1e3 * engine.run(steps) / steps, options, errors))
                finally:
                    engine.close()
    return sorted(found, key=lambda entry: entry[0])


def best_of(candidates, limit, atoms, directory):
    """Return the options of the fastest candidate within `limit`, skin and accelerator package tuned too."""
    within = [entry for entry in candidates if entry[2][0] <= limit][:2]
    timed = []
    for _, options, _ in within:
        for skin_A in SKINS_A:
            for suffix in SUFFIXES:
                engine = Lammps(atoms, directory, **options, skin_A=skin_A, suffix=suffix)
                try:
                    engine.run(2)
                    steps = max(20, int(0.4 / (engine.run(5) / 5)))
                    timed.append((engine.run(steps) / steps, {**options, "skin_A": skin_A, "suffix": suffix}))
                finally:
                    engine.close()
    return min(timed, key=lambda entry: entry[0])[1] if timed else None


def compare(repeat, *, repeats, seconds, seed):
    """Return one table entry: times and errors of our defaults and of LAMMPS' best for each limit."""
    atoms = hot_crystal(repeat, seed=seed)
    reference = IonicCalculator(FORCE_FIELD, coulomb="ewald", net_charge="background").get_property(
        "forces", atoms
    )
    rms = math.sqrt((reference**2).sum() / len(reference))
    engines = {"ours": Ours(atoms)}
    ours_error = force_error(engines["ours"].forces, reference)
    with tempfile.TemporaryDirectory(prefix="simtools-benchmark-") as directory:
        candidates = scan_lammps(atoms, reference, directory, max(PROMISED_ERROR, ours_error[0]))
        for label, limit in (
            ("lammps, error as ours", ours_error[0]),
            ("lammps, error 1e-4", PROMISED_ERROR),
        ):
            options = best_of(candidates, limit, atoms, directory)
            if options is not None:
                engines[label] = Lammps(atoms, directory, **options)
        samples = {label: [] for label in engines}
        for _ in range(repeats):
            for label, engine in engines.items():
                steps = max(10, int(seconds / max(engine.run(5) / 5, 1e-6)))
                samples[label].append(1e3 * engine.run(steps) / steps)
    rows = []
    for label, engine in engines.items():
        rms_error, largest = force_error(engine.forces, reference)
        rows.append(
            {
                "engine": label,
                "settings": engine.name,
                "ms_per_step": statistics.median(samples[label]),
                "ms_per_step_samples": samples[label],
                "relative_rms_force_error": rms_error,
                "relative_max_force_error": largest,
            }
        )
        if isinstance(engine, Lammps):
            engine.close()
    return {"n_ions": len(atoms), "rms_force_eV_per_A": rms, "engines": rows}


def main():
    """Measure, print the table, write JSON if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cells", type=int, nargs="+", default=[4, 8, 12], help="cubic supercells, 5 n^3 ions"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="per engine and repeat")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    results = []
    for repeat in arguments.cells:
        entry = compare(repeat, repeats=arguments.repeats, seconds=arguments.seconds, seed=arguments.seed)
        results.append(entry)
        print(f"{entry['n_ions']} ions, RMS force {entry['rms_force_eV_per_A']:.3f} eV/Å", flush=True)
        for row in entry["engines"]:
            print(
                f"  {row['ms_per_step']:8.3f} ms/step  RMS error {row['relative_rms_force_error']:.1e}  "
                f"max {row['relative_max_force_error']:.1e}  {row['settings']}",
                flush=True,
            )
    if arguments.output is not None:
        provenance = collect_provenance(cells=arguments.cells, repeats=arguments.repeats, seed=arguments.seed)
        provenance.pop("host", None)
        document = {"provenance": provenance, "force_field": FORCE_FIELD, "results": results}
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
