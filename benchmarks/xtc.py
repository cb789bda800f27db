"""Reading XTC: ours beside MDAnalysis' compiled reader, nanoseconds of processor time per atom and frame.

    python benchmarks/xtc.py [--repeats 7]

Ours returns ångström in double precision from whole numbers and checks every bit it takes; theirs single
precision in nanometres. Repeats are interleaved; medians are printed.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from MDAnalysis.lib.formats.libmdaxdr import XTCFile

from simtools.md.formats.gromacs import read_xtc

SIZES = ((320, 3000), (10_000, 100))


def write(path, n_atoms, n_frames):
    """Write rattling ions of a salt, listed in no order of place."""
    rng = np.random.default_rng(0)
    edge = int(np.ceil(n_atoms ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(edge)] * 3), axis=-1).reshape(-1, 3)
    places = 0.2 * rng.permutation(grid)[:n_atoms]
    with XTCFile(str(path), "w") as file:
        for t in range(n_frames):
            x = places + 0.02 * rng.standard_normal((n_atoms, 3))
            file.write(x.astype("f4"), 0.2 * edge * np.eye(3, dtype="f4"), t, 0.1 * t, 1000.0)


def ours(path):
    """Read all frames."""
    for frame in read_xtc(path):
        frame.coordinates.sum()


def theirs(path):
    """Read all frames."""
    with XTCFile(str(path)) as file:
        for frame in file:
            frame.x.sum()


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    print("atoms  frames  ours (ns)  MDAnalysis (ns)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.xtc"
        for n_atoms, n_frames in SIZES:
            write(path, n_atoms, n_frames)
            ours(path)
            spent = {ours: [], theirs: []}
            for _ in range(repeats):
                for reader, times in spent.items():
                    start = time.process_time()
                    reader(path)
                    times.append((time.process_time() - start) / n_atoms / n_frames * 1e9)
            medians = [statistics.median(times) for times in spent.values()]
            print(f"{n_atoms:5d}  {n_frames:6d}  {medians[0]:9.1f}  {medians[1]:15.1f}")


if __name__ == "__main__":
    main()
