"""Time and memory of a molecular dynamics step against the number of ions, from 40 to a million.

    python benchmarks/engine_scaling.py [--cells 2 3 4 6 8 12 20 28 40 58] [--output STEM]

Li3OCl with 1 % lithium vacancies, hot, velocity Verlet with Bussi's thermostat, default accuracy, one thread.
Every size runs in a process of its own. Processor time (medians over blocks of steps; neighbour lists are
made as often as the run needs them) and peak memory of the whole process. The exponent is that of a power law
through the sizes from 1000 ions on, beside that of N log N over the same sizes.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine_ours import Ours, crystal
from simtools.core.provenance import collect_provenance

CELLS = (2, 3, 4, 6, 8, 12, 20, 28, 40, 58)
BLOCKS = 5
LARGEST_GB = 8.0


def measure(repeat, seconds):
    """Return times and memory of one size; in this process."""
    start = time.process_time()
    engine = Ours(crystal(repeat, np.random.default_rng(1)))
    prepared = time.process_time() - start
    engine.run(2)
    one = engine.run(3)[0] / 3
    steps = max(2, int(seconds / one / BLOCKS))
    lists = engine.calculator._system.real_space.neighbours
    before = lists.n_builds
    samples = [1e3 * engine.run(steps)[0] / steps for _ in range(BLOCKS)]
    made = lists.n_builds - before
    start = time.process_time()
    lists.rebuild(engine.atoms.positions, engine.atoms.cell.array)
    list_ms = 1e3 * (time.process_time() - start)
    peak_kB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "n_ions": len(engine.atoms),
        "settings": engine.name,
        "ms_per_step": statistics.median(samples),
        "ms_per_step_samples": samples,
        "steps": steps * BLOCKS,
        "lists_made": made,
        "ms_per_list": list_ms,
        "s_to_first_forces": prepared,
        "peak_memory_GB": peak_kB * (1 if sys.platform == "darwin" else 1024) / 1e9,
    }


def exponent(rows):
    """Return the slopes of log time and of log(N log N) against log N, from 1000 ions on."""
    large = [row for row in rows if row["n_ions"] >= 1000]
    if len(large) < 2:
        return None
    n = np.array([row["n_ions"] for row in large], dtype=float)
    slopes = [
        float(np.polyfit(np.log(n), np.log(times), 1)[0])
        for times in ([row["ms_per_step"] for row in large], n * np.log(n))
    ]
    return {"measured": slopes[0], "n_log_n": slopes[1]}


def table(rows):
    """Return the sizes as a table in markdown."""
    lines = [
        "| ions | ms/step | µs/(ion step) | lists/step | ms/list | s to first forces | peak memory (GB) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        lines.append(
            f"| {row['n_ions']} | {row['ms_per_step']:.3f} | "
            f"{1e3 * row['ms_per_step'] / row['n_ions']:.2f} | "
            f"{row['lists_made'] / row['steps']:.3f} | {row['ms_per_list']:.1f} | "
            f"{row['s_to_first_forces']:.2f} | {row['peak_memory_GB']:.2f} |"
        )
    return "\n".join(lines)


def main():
    """Measure every size, print the table, write it if asked; 1 where a limit is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, nargs="+", default=list(CELLS), help="5 n^3 sites each")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="of processor time for each size, at least"
    )
    parser.add_argument("--output", type=Path, help="stem of a .json and a .md file")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measure(arguments.one, arguments.seconds)))
        return 0
    rows, load = [], [os.getloadavg()]
    environment = {**os.environ, "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    for repeat in arguments.cells:
        done = subprocess.run(
            [sys.executable, __file__, "--one", str(repeat), "--seconds", str(arguments.seconds)],
            env=environment, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        rows.append(json.loads(done.stdout))
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    load.append(os.getloadavg())
    slopes = exponent(rows)
    text = table(rows) + "\n"
    if slopes is not None:
        text += f"\nExponent from 1000 ions on: {slopes['measured']:.3f}; N log N: {slopes['n_log_n']:.3f}.\n"
    print(text)
    if arguments.output is not None:
        provenance = collect_provenance(cells=arguments.cells, seconds=arguments.seconds)
        provenance.pop("host", None)
        document = {
            "provenance": provenance,
            "load_average_before_and_after": load,
            "exponent": slopes,
            "sizes": rows,
        }
        arguments.output.with_suffix(".json").write_text(
            json.dumps(document, indent=1) + "\n", encoding="utf-8"
        )
        heading = (
            f"# Cost against the number of ions\n\n{provenance.get('processor')}, one thread, commit "
            f"{provenance.get('git_commit')}, load average before {load[0][0]:.1f} and after "
            f"{load[1][0]:.1f} (processor time is given); how it is measured stands in "
            "`engine_scaling.py`.\n\n"
        )
        arguments.output.with_suffix(".md").write_text(heading + text, encoding="utf-8")
    fits = max(row["peak_memory_GB"] for row in rows) < LARGEST_GB
    grows = slopes is None or slopes["measured"] <= slopes["n_log_n"] + 0.05
    return 0 if fits and grows and all(math.isfinite(row["ms_per_step"]) for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
