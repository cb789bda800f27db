"""Do the intervals tell the truth? Coverage and width of D*, D_sigma, sigma, H_R and E_a on synthetic truth.

Run as ``python -m benchmarks.calibration --repeats 1000 --output benchmarks/results/calibration.json``
(three quarters of an hour on one core; finished cases are kept, so a run that was stopped goes on). To share
the work, give each process its own ``--only`` and ``--output`` and collect them with ``--join``; ``--figure``
draws what is there. ``coverage`` is the fraction of 95 % intervals that hold the truth; ``width_ratio`` is
their mean width over that of the true sampling interval, 2 x 1.96 standard deviations of the estimates. The
test suite runs a few cases with 50 repeats.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.calibration_cases import CASES
from simtools.core.errors import SimtoolsError
from simtools.core.provenance import library_versions
from simtools.plots import plot_coverage, plot_interval_widths


def score(estimates, truth):
    """Return coverage, width ratio and bias of estimates of one quantity."""
    known = [item for item in estimates if not item.is_limit]
    values = np.array([item.value for item in known])
    low, high = np.array([item.ci95 for item in known]).T
    spread = values.std(ddof=1)
    return {
        "truth": truth,
        "n": len(known),
        "n_limits": len(estimates) - len(known),
        "coverage": float(np.mean((low <= truth) & (truth <= high))),
        "truth_below": float(np.mean(truth < low)),
        "truth_above": float(np.mean(truth > high)),
        "width_ratio": float(np.mean(high - low) / (2 * 1.96 * spread)),
        "relative_bias": float(values.mean() / truth - 1),
        "relative_spread": float(spread / truth),
    }


def calibrate(case, *, repeats, first_seed=0):
    """Return {quantity: score} of one case; refused repeats are counted apart."""
    results = []
    for repeat in range(repeats):
        try:
            results.append(case.analyse(first_seed + repeat))
        except SimtoolsError as error:
            print(f"{case.name}, seed {first_seed + repeat}: {error}")
    scores = {label: score([item[label] for item in results], truth) for label, truth in case.truth.items()}
    return {label: {**entry, "n_refused": repeats - len(results)} for label, entry in scores.items()}


def table(records):
    """Return the scores as a Markdown table."""
    lines = [
        "| case | quantity | truth | bias (%) | spread (%) | coverage (%) | width / true |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for record in records:
        for label, entry in record["scores"].items():
            bias, spread, coverage = (
                100 * entry[name] for name in ("relative_bias", "relative_spread", "coverage")
            )
            lines.append(
                f"| {record['case']} | {label} | {entry['truth']:.4g} | {bias:+.1f} | {spread:.1f} | "
                f"{coverage:.1f} | {entry['width_ratio']:.2f} |"
            )
    return "\n".join(lines) + "\n"


def main():
    """Run every case and write JSON and a Markdown table beside it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/calibration.json"))
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--join", type=Path, nargs="*", default=[], help="further files with finished cases")
    parser.add_argument("--figure", type=Path, help="folder for calibration-coverage.png and -width.png")
    arguments = parser.parse_args()
    seeds = [arguments.first_seed, arguments.first_seed + arguments.repeats - 1]
    stored = {}
    for path in (arguments.output, *arguments.join):
        report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"seeds": None}
        if report["seeds"] == seeds:
            stored |= {record["case"]: record for record in report["records"]}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        if case.name not in stored and arguments.only in case.name:
            started = time.process_time()
            scores = calibrate(case, repeats=arguments.repeats, first_seed=arguments.first_seed)
            cpu_s = round(time.process_time() - started, 1)
            stored[case.name] = {"case": case.name, "scores": scores, "cpu_s": cpu_s}
        _write(arguments.output, arguments.repeats, seeds, stored)
    if arguments.figure:
        records = json.loads(arguments.output.read_text(encoding="utf-8"))["records"]
        arguments.figure.mkdir(parents=True, exist_ok=True)
        for name, ax in (
            ("coverage", plot_coverage(records, repeats=arguments.repeats)),
            ("width", plot_interval_widths(records)),
        ):
            path = arguments.figure / f"calibration-{name}.png"
            ax.figure.savefig(path, dpi=100)
            Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


def _write(path, repeats, seeds, stored):
    records = [stored[case.name] for case in CASES if case.name in stored]
    report = {"repeats": repeats, "seeds": seeds, "versions": library_versions(), "records": records}
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(table(records), encoding="utf-8")


if __name__ == "__main__":
    main()
