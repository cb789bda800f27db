"""Displacement kernels: sums over window starts, and hop counting. No units or defaults: see ../msd.py."""

import numpy as np

from simtools.analysers.kernels.streams import advance_hops
from simtools.core.accelerate import kernel


@kernel
def blocked_displacements(r_tnc, lags, n_blocks):
    """Average |r(t+k) - r(t)|^2 over ions and over the window starts of each time block.

    The F - k starts of lag k are cut into `n_blocks` equal parts, so the mean over blocks is the mean
    over all starts. Returns the averages, shape (n_lags, n_blocks), and the mean over everything of
    |r(t+k) - r(t)|^4, shape (n_lags,).
    """
    n_frames, n_atoms = r_tnc.shape[0], r_tnc.shape[1]
    mean_kb = np.zeros((len(lags), n_blocks))
    quartic_k = np.zeros(len(lags))
    for j in range(len(lags)):
        k = lags[j]
        n_starts = n_frames - k
        total4 = 0.0
        for b in range(n_blocks):
            first, last = b * n_starts // n_blocks, (b + 1) * n_starts // n_blocks
            total2 = 0.0
            for t in range(first, last):
                frame2, frame4 = 0.0, 0.0
                for n in range(n_atoms):
                    x = r_tnc[t + k, n, 0] - r_tnc[t, n, 0]
                    y = r_tnc[t + k, n, 1] - r_tnc[t, n, 1]
                    z = r_tnc[t + k, n, 2] - r_tnc[t, n, 2]
                    square = x * x + y * y + z * z
                    frame2 += square
                    frame4 += square * square
                total2 += frame2
                total4 += frame4
            mean_kb[j, b] = total2 / ((last - first) * n_atoms)
        quartic_k[j] = total4 / (n_starts * n_atoms)
    return mean_kb, quartic_k


@kernel
def count_hops(r_tnc, window, threshold):
    """Count lasting displacements larger than `threshold` of the `window`-frame mean position, per ion.

    A hop counts when two windows in a row both lie farther than `threshold` from the ion's last home and
    closer than that to each other; the second becomes the new home. Returns (hops, largest squared distance
    of a home from the first one), each of shape (n_atoms,).
    """
    n_atoms = r_tnc.shape[1]
    hops_n = np.zeros(n_atoms, dtype=np.int64)
    reach_n = np.zeros(n_atoms)
    here_nc, previous_nc = np.zeros((n_atoms, 3)), np.zeros((n_atoms, 3))
    home_nc, first_nc = np.zeros((n_atoms, 3)), np.zeros((n_atoms, 3))
    counters = np.zeros(2, dtype=np.int64)
    advance_hops(
        r_tnc, window, threshold, False, counters, here_nc, previous_nc, home_nc, first_nc, hops_n, reach_n
    )
    return hops_n, reach_n
