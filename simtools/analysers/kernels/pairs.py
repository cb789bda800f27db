"""Histograms of distances and displacements. No units or defaults: see ../rdf.py and ../van_hove.py."""

import numpy as np

from simtools.analysers.kernels.sites import squared_distance
from simtools.core.accelerate import kernel


@kernel
def pair_histogram(a_tnc, b_tnc, cells_tcc, same, width, n_bins):
    """Count pairs by distance, each frame by itself, int64 (n_frames, n_bins).

    `a` and `b` are fractional; the histogram must end below half the smallest height of every cell. With
    `same` the two groups are one, and an ion is no neighbour of itself.
    """
    n_frames, n_a, _ = a_tnc.shape
    n_b = b_tnc.shape[1]
    counts = np.zeros((n_frames, n_bins), dtype=np.int64)
    limit = (width * n_bins) ** 2
    for t in range(n_frames):
        cell = cells_tcc[t if cells_tcc.shape[0] > 1 else 0]
        for i in range(n_a):
            for j in range(i + 1 if same else 0, n_b):
                squared = squared_distance(a_tnc[t, i], b_tnc[t, j], cell)
                if squared < limit:
                    b = min(int(np.sqrt(squared) / width), n_bins - 1)
                    counts[t, b] += 2 if same else 1
    return counts


@kernel
def distinct_histogram(a_tnc, b_tnc, starts, lag, cell_cc, same, width, n_bins):
    """Count |b_j(t + lag) - a_i(t)|, j not i where `same`, over `starts`; int64 (n_bins,)."""
    counts = np.zeros(n_bins, dtype=np.int64)
    limit = (width * n_bins) ** 2
    for t in starts:
        for i in range(a_tnc.shape[1]):
            for j in range(b_tnc.shape[1]):
                if same and i == j:
                    continue
                squared = squared_distance(a_tnc[t, i], b_tnc[t + lag, j], cell_cc)
                if squared < limit:
                    counts[min(int(np.sqrt(squared) / width), n_bins - 1)] += 1
    return counts


@kernel
def displacement_histogram(r_tnc, lags, width, n_bins):
    """Count |r(t+k) - r(t)| over all starts and atoms, int64 (n_lags, n_bins + 1); the last bin overflows."""
    n_frames, n_atoms, _ = r_tnc.shape
    counts = np.zeros((len(lags), n_bins + 1), dtype=np.int64)
    for j in range(len(lags)):
        k = lags[j]
        for t in range(n_frames - k):
            for n in range(n_atoms):
                squared = 0.0
                for c in range(3):
                    squared += (r_tnc[t + k, n, c] - r_tnc[t, n, c]) ** 2
                distance = np.sqrt(squared) / width
                counts[j, int(distance) if distance < n_bins else n_bins] += 1
    return counts


@kernel
def displacement_moments(r_tnc, lags):
    """Average |r(t+k) - r(t)|^2 and its square over starts, each of shape (n_lags, n_atoms)."""
    n_frames, n_atoms, _ = r_tnc.shape
    second = np.zeros((len(lags), n_atoms))
    fourth = np.zeros((len(lags), n_atoms))
    for j in range(len(lags)):
        k = lags[j]
        for t in range(n_frames - k):
            for n in range(n_atoms):
                squared = 0.0
                for c in range(3):
                    squared += (r_tnc[t + k, n, c] - r_tnc[t, n, c]) ** 2
                second[j, n] += squared
                fourth[j, n] += squared * squared
        second[j] /= n_frames - k
        fourth[j] /= n_frames - k
    return second, fourth
