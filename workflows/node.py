"""What one task sets on its node before numerical libraries are imported: threads and the kernel cache.

Imports nothing but the standard library: the variables count only when they are set first.
"""

import os
import stat
import tempfile
from pathlib import Path

__all__ = ["THREAD_VARIABLES", "local_cache", "prepare_node", "thread_lines"]

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def thread_lines(threads):
    """Return lines of shell that give the task `threads` threads and note when its job began."""
    return [
        "export SIMTOOLS_JOB_START=$(date +%s)",
        *(f"export {name}={threads:d}" for name in THREAD_VARIABLES),
    ]


def prepare_node(threads, environment=os.environ):
    """Set the thread count of every library, and a cache of compiled kernels on the node's own disk.

    Parameters
    ----------
    threads
        Threads of this task.
    environment
        Changed in place. A ``NUMBA_CACHE_DIR`` that is set already is kept.
    """
    environment.update(dict.fromkeys(THREAD_VARIABLES, str(int(threads))))
    if not environment.get("NUMBA_CACHE_DIR"):
        environment["NUMBA_CACHE_DIR"] = str(local_cache(environment))


def local_cache(environment=os.environ):
    """Return a folder on the node's disk that nobody but the user can write in; compiled code is kept there.

    ``simtools-numba-UID`` in ``$SLURM_TMPDIR``, ``$TMPDIR`` or the system's own folder, shared by the tasks
    that run there one after the other; a fresh one where that name is somebody else's.
    """
    named = (environment.get("SLURM_TMPDIR"), environment.get("TMPDIR"), tempfile.gettempdir())
    base = next(Path(name) for name in named if name and os.path.isdir(name))
    folder = base / f"simtools-numba-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
        if not ours:
            return Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=base))
    return folder
