"""Jumps that fill the place another has left, and the strings they form. No units: see ../concerted.py."""

import numpy as np

from simtools.core.accelerate import kernel


@kernel
def replacements(times, ions, initial, final, window):
    """Return pairs (leaver, filler) of jumps within `window`, int64 (n_pairs, 2).

    The filler ends on the site where the leaver began, as another ion; of several candidates for one leaver
    the nearest in time counts, and each jump fills once and is filled once. Jumps are in order of time.
    """
    n_jumps = len(times)
    pairs = np.empty((n_jumps, 2), dtype=np.int64)
    filler_used = np.zeros(n_jumps, dtype=np.bool_)
    n_pairs = 0
    for i in range(n_jumps):
        best, closest = -1, np.inf
        j = i - 1
        while j >= 0 and times[i] - times[j] <= window:
            apart = times[i] - times[j]
            if final[j] == initial[i] and ions[j] != ions[i] and not filler_used[j] and apart < closest:
                best, closest = j, apart
            j -= 1
        j = i + 1
        while j < n_jumps and times[j] - times[i] <= window:
            apart = times[j] - times[i]
            if final[j] == initial[i] and ions[j] != ions[i] and not filler_used[j] and apart < closest:
                best, closest = j, apart
            j += 1
        if best >= 0:
            filler_used[best] = True
            pairs[n_pairs, 0] = i
            pairs[n_pairs, 1] = best
            n_pairs += 1
    return pairs[:n_pairs].copy()
