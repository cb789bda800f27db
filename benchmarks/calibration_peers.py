"""Do the intervals of other packages tell the truth? kinisi, pymatgen and GEMDAT on our synthetic systems.

Run as ``python -m benchmarks.calibration_peers --work FOLDER``: every tool is given the same replicas of
the same repeats, round after round until each has its number of repeats; what was done is kept in FOLDER,
so a run may be stopped and continued. ``--collect`` writes the scores of what is there to
``benchmarks/results``. How the packages are used: peers.py. Systems and columns are those of
calibration.py; an interval is the value plus and minus 1.96 of the errors given.
"""

import argparse
import importlib.metadata
import json
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.calibration_cases import CageCase, TwoSpeciesCase, VacancyCase, WalkerCase
from benchmarks.peers import gemdat_transport, kinisi_transport, pymatgen_transport
from simtools.core.provenance import library_versions

QUANTITIES = ("D*", "D_sigma", "H_R")
#: Each case with the start of the diffusive regime, ps, that kinisi is told: a frame for walkers, eight hops
#: of a vacancy, a few relaxation times of a cage.
CASES = (
    (WalkerCase(1), 1.0),
    (WalkerCase(8), 1.0),
    (WalkerCase(32), 1.0),
    (WalkerCase(1, n_replicas=1, n_ions=48), 1.0),
    (VacancyCase(2, n_replicas=4), 10.0),
    (VacancyCase(2, n_replicas=1), 10.0),
    (CageCase(n_replicas=4), 2.0),
    (TwoSpeciesCase(n_replicas=4), 1.0),
)
EVERY_LAG = "kinisi, every lag"
#: {tool: most repeats of a case}
TOOLS = {
    "simtools": 1000,
    "pymatgen": 1000,
    "GEMDAT": 100,
    "kinisi, 30 lags": 400,
    EVERY_LAG: 100,
}
#: Those that are cheap enough to give kinisi every lag.
EVERY_LAG_CASES = (WalkerCase(1), VacancyCase(2, n_replicas=4))
ROUNDS = (25, 50, 100, 200, 400, 700, 1000)
VERSIONS = ("kinisi", "pymatgen-analysis-diffusion", "pymatgen", "gemdat")


def analysis(tool, case, start_ps):
    """Return the function of replicas that gives {quantity: estimate}; None for our own analysis."""
    host = ("O",) if isinstance(case, TwoSpeciesCase) and sum(case.charges_e) else ()
    run = {
        "pymatgen": pymatgen_transport,
        "GEMDAT": gemdat_transport,
        "kinisi, 30 lags": partial(kinisi_transport, start_ps=start_ps, chain=False),
        EVERY_LAG: partial(kinisi_transport, start_ps=start_ps, chain=False, n_lags=None),
    }
    return partial(run[tool], host_species=host) if tool in run else None


def quantities(case):
    """Return those that one-species tools can be held to: of two species, only D* of the first."""
    return ("D*",) if isinstance(case, TwoSpeciesCase) else QUANTITIES


def repeat(tool, case, start_ps, seed):
    """Return {quantity: [value, low, high]} of one repeat; low and high are None where there is no error."""
    run = analysis(tool, case, start_ps)
    found = case.analyse(seed) if run is None else run(case.trajectories(seed))
    rows = {}
    for label in quantities(case):
        if label not in found:
            continue
        item = found[label]
        limit = getattr(item, "is_limit", False)
        rows[label] = None if limit else [float(item.value), *map(_number, item.ci95 or (None, None))]
    return rows


def _number(value):
    return None if value is None else float(value)


def score(rows, truth):
    """Return coverage, width ratio and bias of one quantity, as calibration.py; None without an interval."""
    known = np.array([row for row in rows if row is not None], dtype=float)
    values, low, high = known.T
    spread = values.std(ddof=1)
    given = bool(np.isfinite(low).all())
    return {
        "truth": float(truth),
        "n": len(known),
        "n_limits": len(rows) - len(known),
        "coverage": float(np.mean((low <= truth) & (truth <= high))) if given else None,
        "width_ratio": float(np.mean(high - low) / (2 * 1.96 * spread)) if given else None,
        "relative_bias": float(values.mean() / truth - 1),
        "relative_spread": float(spread / truth),
        "median_over_truth": float(np.median(values) / truth),
    }


def read(path):
    """Return the finished repeats of one case and tool, {seed: row}."""
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {line["seed"]: line["rows"] for line in lines}


def place(work, tool, case):
    """Return the file of one case and tool."""
    name = f"{tool} {case.name}".replace(",", "").replace(" ", "-")
    return work / f"{name}.jsonl"


def run(work, tools, stop_at):
    """Do repeats, round after round, until there are enough or the clock says `stop_at` (s since 1970)."""
    work.mkdir(parents=True, exist_ok=True)
    for target in ROUNDS:
        for case, start_ps in CASES:
            for tool in tools:
                if tool == EVERY_LAG and case not in EVERY_LAG_CASES:
                    continue
                path = place(work, tool, case)
                done = read(path)
                for seed in range(min(target, TOOLS[tool])):
                    if seed in done:
                        continue
                    if stop_at is not None and time.time() > stop_at:
                        return
                    started = time.process_time()
                    rows = repeat(tool, case, start_ps, seed)
                    line = {"seed": seed, "rows": rows, "cpu_s": round(time.process_time() - started, 3)}
                    with path.open("a", encoding="utf-8") as stream:
                        stream.write(json.dumps(line) + "\n")


def collect(work):
    """Return one record for every case and tool that has repeats."""
    records = []
    for case, start_ps in CASES:
        truth = case.truth
        for tool in TOOLS:
            done = read(place(work, tool, case))
            if len(done) < 2:
                continue
            rows = [done[seed] for seed in sorted(done)]
            scores = {
                label: score([row[label] for row in rows], truth[label])
                for label in quantities(case)
                if label in rows[0]
            }
            record = {"case": case.name, "tool": tool, "repeats": len(rows), "scores": scores}
            if tool.startswith("kinisi"):
                record["start_ps"] = start_ps
            records.append(record)
    return records


def table(records):
    """Return the scores as a Markdown table."""
    lines = [
        "| case | quantity | truth | tool | repeats | bias (%) | spread (%) | coverage (%) | width / true |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in dict.fromkeys(record["case"] for record in records):
        for label in QUANTITIES:
            for record in records:
                if record["case"] != case or label not in record["scores"]:
                    continue
                entry = record["scores"][label]
                covered, width = entry["coverage"], entry["width_ratio"]
                error = "none | none" if covered is None else f"{100 * covered:.1f} | {width:.2g}"
                lines.append(
                    f"| {case} | {label} | {entry['truth']:.4g} | {record['tool']} | {entry['n']} | "
                    f"{100 * entry['relative_bias']:+.1f} | {100 * entry['relative_spread']:.1f} | {error} |"
                )
    return "\n".join(lines) + "\n"


def coverage_table(records):
    """Return coverage and bias of all tools side by side as a Markdown table."""
    tools = [tool for tool in TOOLS if any(record["tool"] == tool for record in records)]
    lines = ["| case | quantity | " + " | ".join(tools) + " |", "| --- " * (2 + len(tools)) + "|"]
    for case in dict.fromkeys(record["case"] for record in records):
        found = {record["tool"]: record["scores"] for record in records if record["case"] == case}
        for label in QUANTITIES:
            cells = [_cell(found.get(tool, {}).get(label)) for tool in tools]
            if set(cells) != {"–"}:
                lines.append(f"| {case} | {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(entry):
    if entry is None:
        return "–"
    covered = "none" if entry["coverage"] is None else f"{100 * entry['coverage']:.0f}"
    return f"{covered} ({100 * entry['relative_bias']:+.0f})"


def main():
    """Run, or collect what was run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the finished repeats")
    parser.add_argument("--tools", nargs="*", default=list(TOOLS), choices=list(TOOLS))
    parser.add_argument("--minutes", type=float, help="stop after so many minutes")
    parser.add_argument("--collect", action="store_true", help="only write the scores")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/calibration_peers.json"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if not arguments.collect:
        stop_at = None if arguments.minutes is None else time.time() + 60 * arguments.minutes
        run(arguments.work, arguments.tools, stop_at)
    records = collect(arguments.work)
    versions = library_versions() | {name: importlib.metadata.version(name) for name in VERSIONS}
    report = {"versions": versions, "records": records}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    arguments.output.with_suffix(".md").write_text(
        table(records) + "\nCoverage in %, bias in brackets:\n\n" + coverage_table(records), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
