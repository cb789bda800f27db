"""Disturb a campaign of twenty points at random, finish it, and compare it with one that was left alone.

    python benchmarks/chaos.py [--minutes 10] [--seed 1] [--slurm] [--output FILE.json]

Disturbances: SIGKILL of a worker, SIGKILL of the driver, SIGTERM of the driver, SIGSTOP of a worker that
wakes up later, a run directory moved away and back and, as root, a disk that fills up (the run directory lies
on a small tmpfs). With ``--slurm`` every point is a job of the Slurm that ``SLURM_CONF`` names (one of its
own: see tests/slurm/cluster.sh), and jobs are cancelled with scancel as well. Two disturbances of three wait
until a point is at work, the third comes when it comes: also while Python starts. Compared are the bits of
every log, frame, current and momentum. The exit status is 0 if no point is lost, doubled, set aside or
different.
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
#: Longest wait for a point to be at work before a disturbance, s.
PATIENCE_S = 60.0
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
supercell = [{cells}, {cells}, {cells}]
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
{more}
"""


class Chaos:
    """A campaign in `folder` and what is done to it."""

    #: Names of the methods of which `disturb` chooses one; a full disk is added where it may be made.
    acts = ("kill_worker", "kill_driver", "end_driver", "stop_worker", "move_away")

    def __init__(self, folder, recipe, rng, *, workers=2):
        self.place = folder / "disk"
        self.place.mkdir()
        self.mounted = self._mount()
        self.directory = self.place / "run"
        self.said = folder / "stderr.txt"
        self.recipe, self.rng, self.workers = recipe, rng, workers
        self.driver = None
        self.counts, self.at_work, self.ended = Counter(), Counter(), Counter()
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
            self.ended[f"exit status {self.driver.returncode}"] += 1
        command = [sys.executable, "-c", DRIVER, "run", self.recipe, "-o", self.directory, "-q"]
        command += ["--retries", 100_000, *self.options()]
        with open(self.said, "w", encoding="utf-8") as stream:  # a pipe would wait for sleeping workers
            self.driver = subprocess.Popen(
                [*map(str, command)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stream
            )

    def options(self):
        """Return how the driver is told where points run."""
        return ["--workers", self.workers]

    def disturb(self):
        """Do one thing at random, and count it twice if a point was at work."""
        act = self.rng.choice([*self.acts, "fill_disk"] if self.mounted else self.acts)
        self._wake()
        before, busy = self.counts.copy(), self.n_at_work() > 0
        getattr(self, act)()
        self.at_work.update((self.counts - before) if busy else {})

    def n_at_work(self):
        """Return how many points are held by a worker that lives."""
        workers = set(self._workers())
        return sum(pid in workers for pid in self._owners())

    def wait_for_work(self, most_s=PATIENCE_S):
        """Wait until a point is at work, the driver has ended or `most_s` are over."""
        end = time.monotonic() + most_s
        while time.monotonic() < end and self.driver.poll() is None and not self.n_at_work():
            time.sleep(0.1)

    def _owners(self):
        """Yield the process numbers that leases name."""
        for path in self.directory.glob("points/*/lease/*.lease"):
            try:
                yield json.loads(path.read_text(encoding="utf-8")).get("pid")
            except (OSError, ValueError):  # let go, or moved away, meanwhile
                continue

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
    cells=2,
    chaos_of=Chaos,
    more="",
):
    """Disturb a campaign for `duration_s` and at least `least` times, finish it, and return what came of it.

    Parameters
    ----------
    folder
        Empty; the campaign, its disk and its undisturbed twin go there.
    duration_s
        How long to disturb, s of wall time.
    production_ps, checkpoint_ps, n_temperatures, cells
        Of each point, ps; temperatures with two replicas each; edge of the cell in conventional cells.
    seed
        Of the choice of disturbances.
    pause_s
        Shortest and longest pause before a disturbance, s.
    workers
        Local processes.
    chaos_of
        `Chaos`, or what derives from it.
    more
        Further lines of the recipe.

    Returns
    -------
    dict
        ``status`` of the last run; names of points ``lost``, ``doubled``, ``different``, ``set_aside``;
        ``done_to_it``, and ``at_work``: those that met a point at work; ``done_meanwhile``: points that were
        done when the last disturbance came; ``drivers_ended``: how drivers ended that had to be started
        again; ``continued``: how often points went on from a checkpoint.
    """
    recipe = folder / "chaos.toml"
    sample_fs = max(100, 10 * round(production_ps / 5))
    text = RECIPE.format(
        temperatures_K=[90 + 10 * k for k in range(n_temperatures)],
        production_ps=production_ps,
        checkpoint_ps=checkpoint_ps,
        sample_every_fs=sample_fs,
        cells=cells,
        more=more,
    )
    recipe.write_text(text, encoding="utf-8")
    rng = random.Random(seed)
    chaos = chaos_of(folder, recipe, rng, workers=workers)
    try:
        began = time.monotonic()
        while time.monotonic() - began < duration_s or sum(chaos.counts.values()) < least:
            chaos.start()
            if rng.random() < 2 / 3:
                chaos.wait_for_work()
            time.sleep(rng.uniform(*pause_s))
            chaos.disturb()
        done_meanwhile = len(list(chaos.directory.glob("points/*/done.json")))
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
            "at_work": dict(chaos.at_work),
            "done_meanwhile": done_meanwhile,
            "drivers_ended": dict(chaos.ended),
            "continued": sum(_continued(path) for path in found.values()),
            "small_disk": chaos.mounted,
        }
    finally:
        chaos.close()


def _continued(path):
    return (path / "log.txt").read_text(encoding="utf-8").count("continuing from step")


def _done(path):
    return path is not None and (path / "done.json").exists()


def is_good(result):
    """Return whether nothing was lost, doubled, set aside or changed."""
    bad = ("lost", "doubled", "different", "set_aside", "left_over")
    return result["status"] == 0 and not any(result[name] for name in bad)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--production-ps", type=float, default=150.0, help="length of each point")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slurm", action="store_true", help="points are jobs of the Slurm in SLURM_CONF")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    of_slurm = {}
    if options.slurm:
        from benchmarks.chaos_slurm import TABLE, SlurmChaos

        of_slurm = {"chaos_of": SlurmChaos, "more": TABLE}
    with tempfile.TemporaryDirectory() as folder:
        result = trial(
            Path(folder),
            duration_s=60 * options.minutes,
            production_ps=options.production_ps,
            checkpoint_ps=5.0,
            seed=options.seed,
            pause_s=(0.5, 10.0),
            cells=3,
            **of_slurm,
        )
    print(json.dumps(result, indent=1))
    if options.output:
        report = {**result, "minutes": options.minutes, "provenance": collect_provenance()}
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if is_good(result) else 1)


if __name__ == "__main__":
    main()
