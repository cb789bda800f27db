"""The one door to numba: every compiled kernel of the project takes its options from here."""

import os

import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

__all__ = ["compute_threads", "fma", "kernel", "look", "prange", "publish", "take_next"]

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
    campaign have it set to their share of the machine. One without the compiler.
    """
    return 1 if numba.config.DISABLE_JIT else int(numba.config.NUMBA_NUM_THREADS)


def _take_next(counter):
    value = counter[0]
    counter[0] += 1
    return value


def _publish(counter, value):
    counter[0] = value


def _look(counter):
    return counter[0]


def _is_counter(counter):
    return isinstance(counter, types.Array) and counter.dtype == types.int64 and counter.layout == "C"


def _fma(a, b, c):
    return a * b + c


if numba.config.DISABLE_JIT:
    take_next, publish, look, fma = _take_next, _publish, _look, _fma
else:

    @intrinsic
    def fma(typing_context, a, b, c):
        """Return a b + c, rounded once, in every loop alike: "contract" leaves it to the compiler."""
        if (a, b, c) != (types.float64,) * 3:
            return None

        def generate(context, builder, signature, arguments):
            return builder.fma(*arguments)

        return types.float64(a, b, c), generate

    @intrinsic
    def take_next(typing_context, counter):
        """Return ``counter[0]`` and add 1 to it in one indivisible step: no two threads get one value.

        For kernels only; `counter` is a contiguous array of int64.
        """
        if not _is_counter(counter):
            return None

        def generate(context, builder, signature, arguments):
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            return builder.atomic_rmw("add", array.data, ir.Constant(ir.IntType(64), 1), "seq_cst")

        return types.int64(counter), generate

    @intrinsic
    def look(typing_context, counter):
        """Return ``counter[0]`` as another thread has last set it."""
        if not _is_counter(counter):
            return None

        def generate(context, builder, signature, arguments):
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            return builder.load_atomic(array.data, "seq_cst", 8)

        return types.int64(counter), generate

    @intrinsic
    def publish(typing_context, counter, value):
        """Set ``counter[0]`` to an int64 `value`: who takes it sees everything that was written before."""
        if not (_is_counter(counter) and value == types.int64):
            return None

        def generate(context, builder, signature, arguments):
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            builder.atomic_rmw("xchg", array.data, arguments[1], "seq_cst")
            return context.get_dummy_value()

        return types.none(counter, value), generate
