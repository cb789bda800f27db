"""Displacement kernels: sums over window starts, and hop counting. No units or defaults: see ../msd.py."""

import numpy as np

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
                for n in range(n_atoms):
                    x = r_tnc[t + k, n, 0] - r_tnc[t, n, 0]
                    y = r_tnc[t + k, n, 1] - r_tnc[t, n, 1]
                    z = r_tnc[t + k, n, 2] - r_tnc[t, n, 2]
                    square = x * x + y * y + z * z
                    total2 += square
                    total4 += square * square
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
    n_frames, n_atoms = r_tnc.shape[0], r_tnc.shape[1]
    n_windows = n_frames // window
    limit = threshold * threshold
    hops_n = np.zeros(n_atoms, dtype=np.int64)
    reach_n = np.zeros(n_atoms)
    home, previous, here, first = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
    for n in range(n_atoms):
        for w in range(n_windows):
            here[:] = 0.0
            for t in range(w * window, (w + 1) * window):
                for c in range(3):
                    here[c] += r_tnc[t, n, c]
            for c in range(3):
                here[c] /= window
            if w == 0:
                home[:] = here
                first[:] = here
            else:
                away_here, away_previous, apart = 0.0, 0.0, 0.0
                for c in range(3):
                    away_here += (here[c] - home[c]) ** 2
                    away_previous += (previous[c] - home[c]) ** 2
                    apart += (here[c] - previous[c]) ** 2
                if away_here > limit and away_previous > limit and apart < limit:
                    hops_n[n] += 1
                    home[:] = here
                    reach = 0.0
                    for c in range(3):
                        reach += (here[c] - first[c]) ** 2
                    reach_n[n] = max(reach_n[n], reach)
            previous[:] = here
    return hops_n, reach_n
