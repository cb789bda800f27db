"""Slow twins of the displacement kernels and of the least-squares fit: they read like the formulas."""

from itertools import pairwise

import numpy as np


def msd(r_tnc, k):
    """|r(t+k) - r(t)|^2 averaged over window starts, for each atom."""
    return np.mean(np.sum((r_tnc[k:] - r_tnc[: len(r_tnc) - k]) ** 2, axis=-1), axis=0)


def blocked_msd(r_tnc, k, n_blocks):
    """The same, averaged over atoms, for each of `n_blocks` equal parts of the window starts."""
    starts = len(r_tnc) - k
    squares = np.sum((r_tnc[k:] - r_tnc[:starts]) ** 2, axis=-1).mean(axis=1)
    edges = [b * starts // n_blocks for b in range(n_blocks + 1)]
    return np.array([squares[a:b].mean() for a, b in pairwise(edges)])


def hops(path_tc, window, threshold):
    """Lasting displacements of one ion: two window means in a row away from home and near each other."""
    means = [path_tc[w * window : (w + 1) * window].mean(axis=0) for w in range(len(path_tc) // window)]
    home, count = means[0], 0
    for before, now in pairwise(means):
        away = min(np.linalg.norm(now - home), np.linalg.norm(before - home)) > threshold
        if away and np.linalg.norm(now - before) < threshold:
            home, count = now, count + 1
    return count


def gls(times, msd, variance, n_independent, exponent):
    """Generalised least squares with the full matrix s_i^2 N_i / N_j built and inverted."""
    n = np.asarray(n_independent, float)
    scale = np.exp(np.mean(np.log(variance * n) - exponent * np.log(times)))
    own = scale * times**exponent / n**2
    sigma = np.array(
        [[own[min(i, j)] * n[min(i, j)] / n[max(i, j)] for j in range(len(times))] for i in range(len(times))]
    )
    design = np.column_stack([np.ones_like(times), times])
    inverse = np.linalg.inv(sigma)
    covariance = np.linalg.inv(design.T @ inverse @ design)
    return covariance @ design.T @ inverse @ msd, covariance
