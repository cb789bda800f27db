"""Disturb a campaign of twenty points at random, finish it, and compare it with one that was left alone.

    python benchmarks/chaos.py [--minutes 10] [--seed 1] [--output FILE.json]

Disturbances: SIGKILL of a worker, SIGKILL of the driver, SIGTERM of the driver, SIGSTOP of a worker that
wakes up later, a run directory moved away and back and, as root, a disk that fills up (the run directory lies
on a small tmpfs). Compared are the bits of every log, frame, current and momentum. The exit status is 0 if no
point is lost, doubled, set aside or different.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from simtools.core.provenance import collect_provenance
from workflows.reproduce import bits_of
from workflows.status import is_running

ROOT = Path(__file__).resolve().parents[1]
DISK_MB = 200
#: The command line without analysis and report: the points are what is disturbed and compared.
DRIVER = """
from workflows import campaign, cli
campaign.collect = lambda finished: None
raise SystemExit(cli.main())
"""
RECIPE = """
title = "chaos"
[structure]
prototype = "fcc"
formula = "Ar"
supercell = [2, 2, 2]
[potential]
name = "lennard_jones"
[md]
temperatures_K = {temperatures_K}
replicas = 2
lattice_parameter_A = 5.8
timestep_fs = 5
equilibration_ps = 1
production_ps = {production_ps}
sample_every_fs = {sample_every_fs}
charge_current_every_fs = 5
checkpoint_every_ps = {checkpoint_ps}
[analysis]
mobile = "Ar"
"""


class Chaos:
    """A campaign in `folder` and what is done to it."""

    def __init__(self, folder, recipe, rng, *, workers=2):
        self.place = folder / "disk"
        self.place.mkdir()
        self.mounted = self._mount()
        self.directory = self.place / "run"
        self.said = folder / "stderr.txt"
        self.recipe, self.rng, self.workers = recipe, rng, workers
        self.driver = None
        self.counts = Counter()
        self.asleep = []

    def _mount(self):
        """Put the run directory on a small disk of its own; return whether that may be done here."""
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}M", "tmpfs", str(self.place)]
        try:
            return subprocess.run(command, capture_output=True).returncode == 0
        except OSError:
            return False

    def close(self):
        """Stop what runs and give the disk back."""
        self._wake()
        if self.driver is not None and self.driver.poll() is None:
            self.driver.terminate()
            self.driver.wait()
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.place)], check=True)

    def start(self):
        """Start the driver if it does not run."""
        if self.driver is not None and self.driver.poll() is None:
            return
        if self.driver is not None:
            self.counts[f"exit status {self.driver.returncode}"] += 1
        command = [sys.executable, "-c", DRIVER, "run", self.recipe, "-o", self.directory, "-q"]
        command += ["--workers", self.workers, "--retries", 100_000]
        with open(self.said, "w", encoding="utf-8") as stream:  # a pipe would wait for sleeping workers
            self.driver = subprocess.Popen(
                [*map(str, command)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stream
            )

    def disturb(self):
        """Do one thing at random."""
        acts = [self.kill_worker, self.kill_driver, self.end_driver, self.stop_worker, self.move_away]
        act = self.rng.choice([*acts, self.fill_disk] if self.mounted else acts)
        self._wake()
        act()

    def kill_worker(self):
        """SIGKILL a worker."""
        workers = self._workers()
        if workers:
            os.kill(self.rng.choice(workers), signal.SIGKILL)
            self.counts["worker killed"] += 1

    def stop_worker(self):
        """SIGSTOP a worker and kill the driver: the worker wakes up beside its successor."""
        workers = self._workers()
        if workers:
            pid = self.rng.choice(workers)
            os.kill(pid, signal.SIGSTOP)
            self.asleep.append(pid)
            self.driver.kill()
            self.driver.wait()
            self.counts["worker asleep"] += 1

    def kill_driver(self):
        """SIGKILL the driver."""
        self.driver.kill()
        self.driver.wait()
        self.counts["driver killed"] += 1

    def end_driver(self):
        """SIGTERM the driver."""
        self.driver.terminate()
        self.driver.wait()
        self.counts["driver terminated"] += 1

    def move_away(self):
        """Move the run directory away and back."""
        if self.directory.exists() and is_running(self.directory):
            away = self.directory.with_name("away")
            self.directory.rename(away)
            time.sleep(self.rng.uniform(0.1, 1.5))
            away.rename(self.directory)
            self.counts["directory moved"] += 1

    def fill_disk(self):
        """Fill the disk for a moment."""
        ballast = self.place / "ballast"
        with open(ballast, "wb", buffering=0) as stream:
            try:
                while True:
                    stream.write(bytes(1 << 20))
            except OSError:
                self.counts["disk full"] += 1
        time.sleep(self.rng.uniform(0.5, 3.0))
        ballast.unlink()

    def finish(self, most=30):
        """Run to the end; return the last exit status and what was said."""
        self._wake()
        for _ in range(most):
            self.start()
            self.driver.wait()
            if self.driver.returncode == 0:
                break
        return self.driver.returncode, self.said.read_text(encoding="utf-8")

    def _wake(self):
        for pid in self.asleep:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                self.counts["sleeper gone"] += 1
        self.asleep = []

    def _workers(self):
        try:
            threads = list(Path(f"/proc/{self.driver.pid}/task").iterdir())
            children = [pid for thread in threads for pid in (thread / "children").read_text().split()]
            return [
                int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
        except OSError:
            return []


def trial(
    folder,
    *,
    duration_s,
    production_ps,
    checkpoint_ps,
    seed,
    pause_s=(0.5, 4.0),
    workers=2,
    n_temperatures=10,
    least=0,
):
    """Disturb a campaign for `duration_s` and at least `least` times, finish it, and return what came of it.

    Returns
    -------
    dict
        ``status`` of the last run, ``lost``, ``doubled``, ``different`` and ``set_aside`` names, and the
        counts of what was done to it.
    """
    recipe = folder / "chaos.toml"
    sample_fs = max(100, 10 * round(production_ps / 5))
    text = RECIPE.format(
        temperatures_K=[90 + 10 * k for k in range(n_temperatures)],
        production_ps=production_ps,
        checkpoint_ps=checkpoint_ps,
        sample_every_fs=sample_fs,
    )
    recipe.write_text(text, encoding="utf-8")
    rng = random.Random(seed)
    chaos = Chaos(folder, recipe, rng, workers=workers)
    try:
        began = time.monotonic()
        while time.monotonic() - began < duration_s or sum(chaos.counts.values()) < least:
            chaos.start()
            time.sleep(rng.uniform(*pause_s))
            chaos.disturb()
        status, said = chaos.finish()
        alone = folder / "alone"
        command = [sys.executable, "-c", DRIVER, "run", recipe, "-o", alone, "-q", "--workers", workers]
        subprocess.run([*map(str, command)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        expected = {path.name: path for path in (alone / "points").iterdir()}
        found = {path.name: path for path in (chaos.directory / "points").iterdir()}
        return {
            "status": status,
            "said": said if status else "",
            "points": len(expected),
            "lost": sorted(name for name in expected if not _done(found.get(name))),
            "doubled": sorted(set(found) - set(expected)),
            "different": sorted(
                name
                for name in expected
                if _done(found.get(name)) and bits_of(expected[name]) != bits_of(found[name])
            ),
            "set_aside": sorted(name for name, path in found.items() if (path / "quarantine.json").exists()),
            "left_over": sorted(str(path.name) for path in chaos.directory.rglob("*.partial")),
            "done_to_it": dict(chaos.counts),
            "small_disk": chaos.mounted,
        }
    finally:
        chaos.close()


def _done(path):
    return path is not None and (path / "done.json").exists()


def is_good(result):
    """Return whether nothing was lost, doubled, set aside or changed."""
    bad = ("lost", "doubled", "different", "set_aside", "left_over")
    return result["status"] == 0 and not any(result[name] for name in bad)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--production-ps", type=float, default=500.0, help="length of each point")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = trial(
            Path(folder),
            duration_s=60 * options.minutes,
            production_ps=options.production_ps,
            checkpoint_ps=10.0,
            seed=options.seed,
        )
    print(json.dumps(result, indent=1))
    if options.output:
        report = {**result, "minutes": options.minutes, "provenance": collect_provenance()}
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if is_good(result) else 1)


if __name__ == "__main__":
    main()
