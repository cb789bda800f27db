"""SIGKILL runs at random moments, continue them, and compare with runs that were left alone.

    python benchmarks/kill_resume.py [--kills 50] [--seed 1] [--output FILE.json]

Every kill is a real SIGKILL of a process of its own, at a moment drawn evenly over the run. Compared are the
bytes of the log, every array of the trajectory and the final configuration. Recomputed steps are counted by
the calls of the calculator: those before the kill plus those after it, less those of the uninterrupted run.
"""

import argparse
import json
import mmap
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from potentials.calculator import IonicCalculator
from simtools.core.provenance import collect_provenance
from simtools.md.h5md import read_trajectory
from simtools.md.protocols import Stage, load_final_atoms, run_stages
from simtools.structures.antiperovskite import build_antiperovskite
from simtools.structures.supercells import build_supercell

CHECKPOINT_STEPS = 100
CHARGES = {"Li": 1, "O": -2, "Cl": -1}
ENSEMBLES = {
    "NVE": ("NVE", None),
    "NVT bussi": ("NVT", "bussi"),
    "NVT nose-hoover": ("NVT", "nose-hoover"),
    "NPT": ("NPT", "nose-hoover"),
}


class CountingCalculator(IonicCalculator):
    """Counts its calls where the parent process can still read them after a kill."""

    counter = mmap.mmap(-1, 8)

    def calculate(self, *arguments, **options):
        """Count, then calculate."""
        count = int.from_bytes(self.counter[:8], "little") + 1
        self.counter[:8] = count.to_bytes(8, "little")
        super().calculate(*arguments, **options)


def stages(ensemble, thermostat):
    common = {"temperature_K": 1000.0, "checkpoint_every_ps": CHECKPOINT_STEPS / 1000}
    return [
        Stage(name="equilibration", ensemble="NVT", thermostat="langevin", duration_ps=0.3, seed=1, **common),
        Stage(
            name="production",
            ensemble=ensemble,
            thermostat=thermostat,
            duration_ps=1.2,
            sample_every_fs=20.0,
            thermo_every_fs=20.0,
            seed=2,
            write_trajectory=True,
            **common,
        ),
    ]


def start(directory, which):
    """Fork a process that runs or continues `directory`; return its number."""
    CountingCalculator.counter[:8] = bytes(8)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            atoms = build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=3.91), (2, 2, 2))
            calculator = CountingCalculator("li3ocl_mouta_formal")
            run_stages(atoms, calculator, which, directory, info={"formal_charges_e": CHARGES})
            status = 0
        finally:
            os._exit(status)
    return child


def count():
    return int.from_bytes(CountingCalculator.counter[:8], "little")


def finish(directory, which):
    """Run to the end and return the calls it took."""
    _, status = os.waitpid(start(directory, which), 0)
    if status:
        sys.exit(f"{directory}: the run failed with status {status}")
    return count()


def run_and_kill(directory, which, delay_s):
    """Return the calls made before the kill, or None when the run was over by then."""
    child = start(directory, which)
    time.sleep(delay_s)
    if os.waitpid(child, os.WNOHANG)[0]:
        return None
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return count()


def record(directory):
    trajectory, final = read_trajectory(directory), load_final_atoms(directory)
    arrays = [
        trajectory.positions_A,
        trajectory.cells_A,
        trajectory.charge_current_e_A_per_ps,
        *(trajectory.species_momenta_amu_A_per_ps[name] for name in sorted(CHARGES)),
        final.positions,
        final.get_momenta(),
        np.array(final.cell),
    ]
    return [(directory / "thermo.csv").read_bytes(), *(values.tobytes() for values in arrays)]


def trial(name, kills, rng, folder):
    which = stages(*ENSEMBLES[name])
    began = time.monotonic()
    calls = finish(folder / "whole", which)
    took_s = time.monotonic() - began
    expected = record(folder / "whole")
    recomputed, identical = [], 0
    while len(recomputed) < kills:
        directory = folder / "killed"
        shutil.rmtree(directory, ignore_errors=True)
        before = run_and_kill(directory, which, rng.uniform(0, took_s))
        if before is None:
            continue
        recomputed.append(before + finish(directory, which) - calls)
        identical += record(directory) == expected
    return {
        "ensemble": name,
        "kills": kills,
        "bit_identical": identical,
        "most_recomputed_steps": max(recomputed),
        "mean_recomputed_steps": float(np.mean(recomputed)),
        "checkpoint_interval_steps": CHECKPOINT_STEPS,
        "steps": sum(stage.n_steps for stage in which),
        "uninterrupted_s": took_s,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=ENSEMBLES, help="one ensemble instead of all")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        finish(Path(folder) / "compile", stages("NPT", None))
        rows = []
        for name in [options.only] if options.only else ENSEMBLES:
            row = trial(name, options.kills, rng, Path(folder) / name.replace(" ", "-"))
            rows.append(row)
            print(
                f"{name:16s} {row['bit_identical']}/{row['kills']} bit-identical, recomputed at most "
                f"{row['most_recomputed_steps']} steps (one interval is {CHECKPOINT_STEPS}), "
                f"{row['uninterrupted_s']:.1f} s per run",
                flush=True,
            )
    if options.output:
        report = {"seed": options.seed, "rows": rows, "provenance": collect_provenance()}
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    good = all(row["bit_identical"] == row["kills"] for row in rows)
    good = good and all(row["most_recomputed_steps"] <= CHECKPOINT_STEPS for row in rows)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
