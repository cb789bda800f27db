"""Time and memory of C_1, C_2, reorientation events and the correlogram for 100 000 frames of 256 rotors.

Asked for: under 60 s on two cores and 2 GB. The trajectory's unit vectors alone are 0.6 GB. Prints seconds of
each step, their sum and the largest memory.
"""

import argparse
import json
import resource
import time

import numpy as np

from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.event_correlogram import event_correlogram
from simtools.analysers.orientations import Orientations
from simtools.analysers.reorientation import reorientation
from simtools.analysers.reorientations import find_reorientations

INTERVAL_PS, SPACING_A = 0.02, 4.0
DIRECTIONS = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1.0, 0], [0, -1, 0], [0, 0, 1.0], [0, 0, -1]])


def librating_rotors(n_frames, n_rotors, rng):
    """Return unit vectors that librate about axes and jump between them, once in 10 ps."""
    jumps = rng.random((n_frames, n_rotors), dtype=np.float32) < INTERVAL_PS / 10.0
    basin = np.zeros((n_frames, n_rotors), dtype=np.int8)
    frames, rotors = np.nonzero(jumps)
    basin[frames, rotors] = rng.integers(1, 6, len(frames))
    np.cumsum(basin, axis=0, out=basin, dtype=np.int8)
    basin %= 6
    u_tnc = DIRECTIONS[basin]
    for start in range(0, n_frames, 5000):
        part = u_tnc[start : start + 5000]
        part += 0.2 * rng.standard_normal(part.shape, dtype=np.float32)
        part /= np.linalg.norm(part, axis=-1, keepdims=True)
    return u_tnc


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--rotors", type=int, default=256)
    parser.add_argument("--hops", type=int, default=50_000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    centres = SPACING_A * grid[: arguments.rotors].astype(float)
    cell = 8 * SPACING_A * np.eye(3)
    small = librating_rotors(500, 8, rng)
    seconds = {}
    for u_tnc in (small, librating_rotors(arguments.frames, arguments.rotors, rng)):
        n_frames, n_rotors = u_tnc.shape[:2]
        rotors = Orientations(
            name="OH",
            vectors=u_tnc[:, :, None, :],
            quaternions=None,
            reference_A=None,
            misfit_A=None,
            centres_A=np.broadcast_to(centres[:n_rotors], u_tnc.shape),
            cells_A=cell,
            frame_interval_ps=INTERVAL_PS,
        )
        start = time.perf_counter(), time.process_time()
        result = reorientation(rotors)
        seconds["C_1, C_2 and relaxation times"] = elapsed(start)
        start = time.perf_counter(), time.process_time()
        found = find_reorientations(rotors)
        seconds["reorientation events"] = elapsed(start)
        duration = found.duration_ps
        n_hops = arguments.hops if n_frames > 1000 else 20
        kept = found.times_ps - found.observed_ps[0]
        run = RotorHops(
            rotation_rotors=found.rotors,
            rotation_times_ps=kept,
            rotation_vectors_rad=found.vectors_rad,
            hop_times_ps=rng.uniform(0, duration, n_hops),
            hop_starts_A=rng.uniform(0, 8 * SPACING_A, (n_hops, 3)),
            hop_vectors_A=rng.normal(size=(n_hops, 3)),
            rotor_centres_A=centres[:n_rotors],
            cell_A=cell,
            duration_ps=duration,
        )
        start = time.perf_counter(), time.process_time()
        shells, lag_ps = (0.0, 2.5, 4.0), min(2.0, duration / 25)
        correlogram = event_correlogram(
            run, distance_edges_A=shells, longest_lag_ps=lag_ps, window_ps=lag_ps / 2, n_shifts=1000
        )
        seconds["correlogram, 1000 shifts"] = elapsed(start)
    report = {
        "frames": arguments.frames,
        "rotors": arguments.rotors,
        "events": found.n_events,
        "hops": n_hops,
        "pairs": int(correlogram.observed.sum()),
        "tau1_ps": result.tau1.value,
        "seconds": seconds,
        "wall_s": round(sum(item["wall"] for item in seconds.values()), 1),
        "cpu_s": round(sum(item["cpu"] for item in seconds.values()), 1),
        "largest_memory_GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2, 2),
    }
    print(json.dumps(report, indent=1))


def elapsed(start):
    """Return wall and processor seconds since `start`."""
    return {
        "wall": round(time.perf_counter() - start[0], 2),
        "cpu": round(time.process_time() - start[1], 2),
    }


if __name__ == "__main__":
    main()
