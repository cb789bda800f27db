"""Displacement products per direction, averaged over ions and time blocks; see ../tracer_tensor.py."""

import numpy as np

from simtools.core.accelerate import kernel


@kernel
def blocked_tensors(r_tnc, lags, n_blocks):
    """Average the products xx, yy, zz, yz, xz, xy of r(t+k) - r(t) over ions and each time block's starts.

    Blocks are those of `kernels.msd.blocked_displacements`. Returns shape (n_blocks, n_lags, 6).
    """
    n_frames, n_atoms = r_tnc.shape[0], r_tnc.shape[1]
    mean_bkv = np.zeros((n_blocks, len(lags), 6))
    total = np.zeros(6)
    for j in range(len(lags)):
        k = lags[j]
        n_starts = n_frames - k
        for b in range(n_blocks):
            first, last = b * n_starts // n_blocks, (b + 1) * n_starts // n_blocks
            total[:] = 0.0
            for t in range(first, last):
                for n in range(n_atoms):
                    x = r_tnc[t + k, n, 0] - r_tnc[t, n, 0]
                    y = r_tnc[t + k, n, 1] - r_tnc[t, n, 1]
                    z = r_tnc[t + k, n, 2] - r_tnc[t, n, 2]
                    total[0] += x * x
                    total[1] += y * y
                    total[2] += z * z
                    total[3] += y * z
                    total[4] += x * z
                    total[5] += x * y
            mean_bkv[b, j] = total / ((last - first) * n_atoms)
    return mean_bkv
