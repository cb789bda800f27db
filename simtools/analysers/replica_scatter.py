"""Errors of estimates from several runs: wider where runs differ by more than their parts explain."""

import numpy as np
from scipy import stats

__all__ = ["with_replica_scatter"]

_SIGNIFICANCE = (0.001, 0.01)
_SEVERAL = 4


def with_replica_scatter(left_out, stderr: float, dof: float) -> tuple[float, float, bool]:
    """Return standard error, degrees of freedom, and whether the replicas' own scatter had to be taken.

    What is collective shows only between runs: rotors that turn together are no independent witnesses. A
    jackknife over whole replicas is taken in place of `stderr` where it is larger by more than chance (F
    test, 1 % from four replicas on, 0.1 % for two or three).

    Parameters
    ----------
    left_out
        The estimate without each replica in turn, shape (n_replicas,).
    stderr, dof
        Standard error from the parts of runs (rotors, stretches of time), and its degrees of freedom.

    Notes
    -----
    Limit: runs whose parts are independent keep `stderr` in 99 % of repeats or more.
    """
    left_out = np.asarray(left_out, dtype=float)
    n = len(left_out)
    if n < 2 or not np.isfinite(left_out).all():
        return stderr, dof, False
    scatter = float(np.sqrt((n - 1) / n * np.sum((left_out - left_out.mean()) ** 2)))
    level = _SIGNIFICANCE[n >= _SEVERAL]
    if scatter**2 > stderr**2 * stats.f.isf(level, n - 1, dof):
        return scatter, n - 1.0, True
    return stderr, dof, False
