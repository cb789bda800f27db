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


@kernel
def lasting(frames, ions, vectors, shortest):
    """Return which jumps are left when returns within `shortest` frames undo what came before, bool (n,).

    Jumps are ordered by ion and time; `frames` are those in which the new site is first seen. A return in the
    same frame was never seen. As `lasting_visits`, from jumps instead of visits.
    """
    n = len(frames)
    kept = np.ones(n, dtype=np.bool_)
    stack = np.empty(n, dtype=np.int64)
    n_stack = 0
    for v in range(n):
        if n_stack and ions[stack[n_stack - 1]] != ions[v]:
            n_stack = 0
        if n_stack:
            last = stack[n_stack - 1]
            apart = 0.0
            for c in range(3):
                apart += abs(vectors[v, c] + vectors[last, c])
            stay = frames[v] - frames[last]
            if apart < 1e-6 and (stay < shortest or stay == 0):
                kept[v] = False
                kept[last] = False
                n_stack -= 1
                continue
        stack[n_stack] = v
        n_stack += 1
    return kept
