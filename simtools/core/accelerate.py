"""The one door to numba: every compiled kernel of the project takes its options from here."""

import os

import numba

__all__ = ["compute_threads", "kernel", "prange"]

prange = numba.prange

# Short unrolled rows (a spline's eight mesh points) become vector instructions only with this LLVM pass,
# which numba leaves off; it reads the variable before each compilation.
os.environ.setdefault("NUMBA_SLP_VECTORIZE", "1")

_OPTIONS = {
    "nogil": True,
    "cache": os.environ.get("SIMTOOLS_NUMBA_CACHE", "1") == "1",
    "error_model": "numpy",  # 1/0 gives inf, as in array code
    "fastmath": False,  # NaN stays NaN and sums keep their order
}


def kernel(function=None, **overrides):
    """Compile a kernel: bare ``@kernel`` or ``@kernel(fastmath={"reassoc", "contract"})``."""
    compiler = numba.njit(**{**_OPTIONS, **overrides})
    return compiler if function is None else compiler(function)


def compute_threads():
    """Return how many threads one calculation may use.

    ``NUMBA_NUM_THREADS`` of the environment, by default the cores this process may run on. Workers of a
    campaign have it set to their share of the machine.
    """
    return int(numba.config.NUMBA_NUM_THREADS)
