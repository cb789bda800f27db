"""Counting of points on a periodic grid. No units: see ../density.py."""

import numpy as np

from simtools.core.accelerate import kernel


@kernel
def add_counts(counts_xyz, s_tnc, repeats_c):
    """Add one to the voxel of every point, in place; `repeats_c` cells are folded into one."""
    n_frames, n_points, _ = s_tnc.shape
    for t in range(n_frames):
        for n in range(n_points):
            voxel = np.empty(3, dtype=np.int64)
            for c in range(3):
                fraction = s_tnc[t, n, c] * repeats_c[c]
                fraction -= np.floor(fraction)
                size = counts_xyz.shape[c]
                voxel[c] = min(int(fraction * size), size - 1)
            counts_xyz[voxel[0], voxel[1], voxel[2]] += 1
