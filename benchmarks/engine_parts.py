"""Where a step of the embedded engine spends its time, and what this machine allows at best.

The bound adds, part by part, the larger of two times: operations over what a matrix product reaches here, and
bytes that have to move over what a triad reaches here on a working set of the same size. Operations and bytes
are counted from the algorithm (see `work_of`), nothing is fitted.
"""

import math
import time
from contextlib import contextmanager

import numpy as np

import potentials.mesh
import potentials.real_space
from potentials.real_space import RealSpace
from simtools.core.accelerate import kernel

PARTS = ("lists", "pairs", "spread", "FFT and convolution", "gather", "motion and Python")


@kernel(fastmath={"contract"})
def triad(a, b, c, factor):
    """Set a = b + factor c."""
    for i in range(len(a)):
        a[i] = b[i] + factor * c[i]


def triad_GB_per_s(working_set_bytes, *, seconds=0.2):
    """Return what one core moves in a triad over three arrays that fill the working set together."""
    n = max(1000, int(working_set_bytes) // 24)
    a, b, c = np.zeros(n), np.ones(n), np.ones(n)
    triad(a, b, c, 0.5)
    best, end = math.inf, time.perf_counter() + seconds
    repeats = max(1, 2_000_000 // n)
    while time.perf_counter() < end:
        start = time.process_time()
        for _ in range(repeats):
            triad(a, b, c, 0.5)
        best = min(best, (time.process_time() - start) / repeats)
    return 24.0 * n / best / 1e9


def matrix_product_Gflop_per_s(*, size=768, seconds=0.5):
    """Return double-precision operations per second of one core in a matrix product."""
    a = np.random.default_rng(0).normal(size=(size, size))
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.process_time()
        a @ a
        best = min(best, time.process_time() - start)
    return 2.0 * size**3 / best / 1e9


def work_of(system):
    """Return {part: (operations, bytes)} of one step of an `IonicSystem` with a particle mesh."""
    nb, mesh = system.real_space.neighbours, system.reciprocal
    n_pairs, n_places, n_ions = len(nb.neighbour_k), len(nb.r_xc), nb.n_local
    points, order = math.prod(mesh.mesh_shape), mesh.order
    splines = 8 * n_ions * 384  # both sets of weights, 8 bytes each of 3 x 8
    return {
        "pairs": (33.0 * n_pairs, 4.0 * n_pairs + 5 * 32.0 * n_places),
        "spread": (n_ions * (16.0 * order**2 + 96.0 * order), splines / 8 + 8.0 * 3 * points),
        "FFT and convolution": (5.0 * points * math.log2(points) + 3.0 * points, 8.0 * 15 * points),
        "gather": (n_ions * (32.0 * order**2 + 64.0 * order), splines / 8 + 8.0 * points),
    }


def bound_ms(system):
    """Return the bound of every part in ms, and the two speeds of this machine behind them."""
    work = work_of(system)
    nb = system.real_space.neighbours
    sizes = {
        "pairs": nb.neighbour_k.nbytes + 2 * nb.r_xc.nbytes,
        "spread": 8 * math.prod(system.reciprocal.mesh_shape) + 384 * nb.n_local,
        "FFT and convolution": 24 * math.prod(system.reciprocal.mesh_shape),
        "gather": 8 * math.prod(system.reciprocal.mesh_shape) + 384 * nb.n_local,
    }
    peak = matrix_product_Gflop_per_s()
    speeds = {part: triad_GB_per_s(size) for part, size in sizes.items()}
    bounds = {
        part: 1e-6 * max(operations / peak, moved / speeds[part])
        for part, (operations, moved) in work.items()
    }
    return {
        "bound_ms": bounds,
        "limited_by": {
            part: "arithmetic" if operations / peak > moved / speeds[part] else "memory"
            for part, (operations, moved) in work.items()
        },
        "matrix_product_Gflop_per_s": peak,
        "triad_GB_per_s": speeds,
    }


@contextmanager
def _timed(found):
    """Add the processor seconds of lists, pairs and mesh parts to `found` while inside."""
    mesh_kernels, pair_kernels = potentials.mesh.kernels, potentials.real_space.kernels
    targets = [
        (RealSpace, "_rebuild", "lists"),
        (pair_kernels, "place_and_sum", "pairs"),
        (pair_kernels, "table_forces", "pairs"),
        (pair_kernels, "join_blocks", "pairs"),
        (mesh_kernels, "spread", "spread"),
        (mesh_kernels, "gather_at_rest", "gather"),
        (potentials.mesh.ParticleMesh, "compute", "mesh"),
    ]
    kept = [(place, name, getattr(place, name)) for place, name, _ in targets]

    def wrapped(function, part):
        def call(*arguments, **options):
            start = time.process_time()
            result = function(*arguments, **options)
            found[part] = found.get(part, 0.0) + time.process_time() - start
            return result

        return call

    for (place, name, function), (_, _, part) in zip(kept, targets, strict=True):
        setattr(place, name, wrapped(function, part))
    try:
        yield
    finally:
        for place, name, function in kept:
            setattr(place, name, function)


def parts_ms(run, steps):
    """Return processor milliseconds per step of each part; `run(steps)` makes the steps, on one thread."""
    found = {}
    with _timed(found):
        start = time.process_time()
        run(steps)
        total = time.process_time() - start
    found["FFT and convolution"] = (
        found.pop("mesh", 0.0) - found.get("spread", 0.0) - found.get("gather", 0.0)
    )
    found["motion and Python"] = total - sum(found.values())
    return {part: 1e3 * found.get(part, 0.0) / steps for part in PARTS}
