"""Expand and look at a campaign of ten thousand points, also after a SIGKILL in the middle of an index write.

    python benchmarks/status.py [--points 10000] [--output FILE.json]

Expansion is timed in this process, from the recipe's text to the hash of every point. ``simtools status`` is
timed as a command of its own, from its start to its end, with the most memory that it held. The index is
written by a process that is killed at a random moment while it appends. Limits are asked of the processor's
time, which other work on the machine hardly changes; the time by the clock is told beside it.
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from simtools.core.provenance import collect_provenance
from workflows.campaign import Campaign
from workflows.forces import forces_of
from workflows.index import NAME, StatusIndex, read_index
from workflows.sweep import read_cases

ROOT = Path(__file__).resolve().parents[1]
MOST_S, MOST_MB = 2.0, 300.0
RECIPE = """
title = "ten thousand points"
[structure]
formula = "Li3OCl"
supercell = [3, 3, 3]
[potential]
name = "li3ocl_mouta_formal"
[md]
temperatures_K = {temperatures}
replicas = {replicas}
lattice_parameter_A = 3.95
equilibration_ps = 10
production_ps = 100
[analysis]
mobile = "Li"
[sweep]
md.seed = {seeds}
"""


def recipe_of(n_points, folder):
    """Write a recipe of about `n_points` points: 25 cases, 20 temperatures, the rest replicas."""
    text = RECIPE.format(
        temperatures=[400 + 40 * k for k in range(20)],
        replicas=max(1, n_points // 500),
        seeds=list(range(1, 26)),
    )
    path = folder / "many.toml"
    path.write_text(text, encoding="utf-8")
    return path


def expand(path):
    """Return every point's name, and how long that took, s: by the clock and of the processor."""
    began, cpu = time.perf_counter(), time.process_time()
    _, cases = read_cases(path)
    names = []
    for case in cases:
        forces = forces_of(case.recipe.to_dict()["potential"])
        campaign = Campaign(case.recipe, path.parent / "cases" / case.name, forces, {}, case=case.name)
        for temperature in case.recipe.md.temperatures_K:
            names += [job.name for job in campaign.production_jobs(temperature)]
    return names, time.perf_counter() - began, time.process_time() - cpu


def write_index(directory, names, rng):
    """Write the events of a campaign under way, the last of them by a process that is killed at it."""
    index = StatusIndex(directory)
    index.append({"event": "plan", "n_points": len(names)}, *(about("known", name) for name in names))
    child = os.fork()
    if child == 0:
        for name in names * 1000:
            index.append(about("started", name))
            index.append({**about("done", name), "temperature_K": 700.0})
        os._exit(0)
    time.sleep(rng.uniform(1.0, 2.0))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    state = read_index(directory)
    for name in names[len(names) // 2 :]:
        if state.points[name]["event"] == "known":
            index.append(about("started", name))
    size = (directory / NAME).stat().st_size
    os.truncate(directory / NAME, size - rng.randrange(1, 60))


def about(event, name):
    """Return an event as the campaign writes it."""
    case, _, label = name.rpartition("/")
    return {"event": event, "point": name, "label": f"{case}/{label[:-11]}", "case": case}


def status(directory, *options):
    """Return what ``simtools status`` says, its times (clock, processor; s) and its peak memory (MB)."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "workflows", "status", directory, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout, (took, cpu), after.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        names, *expansion_s = expand(recipe_of(options.points, directory))
        expansion_MB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if len(set(names)) != len(names):
            sys.exit("two points have one name")
        (directory / "campaign.json").write_text('{"title": "many", "cases": []}', encoding="utf-8")
        write_index(directory, names, rng)
        status(directory)
        table, table_s, _ = status(directory)
        text, json_s, status_MB = status(directory, "--json")
    found = json.loads(text)
    row = {
        "points": len(names),
        "expansion_s": [round(value, 3) for value in expansion_s],
        "expansion_MB": round(expansion_MB),
        "status_table_s": [round(value, 3) for value in table_s],
        "status_json_s": [round(value, 3) for value in json_s],
        "status_MB": round(status_MB),
        "damaged_lines": found["n_damaged_lines"],
    }
    print(row)
    complete = len(found["points"]) == len(names) and len(table.splitlines()) == len(names) + 1
    if options.output:
        report = {**row, "provenance": collect_provenance()}
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    fast = max(expansion_s[1], table_s[1], json_s[1]) < MOST_S and max(expansion_MB, status_MB) < MOST_MB
    sys.exit(0 if fast and complete and found["n_damaged_lines"] >= 1 else 1)


if __name__ == "__main__":
    main()
