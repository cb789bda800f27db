"""Does a run keep its pace, and do replicas share one? Slopes and their errors: see diffusion.py."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.uncertainty import covariance_of_means
from simtools.core.units import A2_PER_PS_TO_CM2_PER_S

__all__ = ["Halves", "compare_halves", "pace_warnings", "replicas_apart"]

_FEWEST_BLOCKS = 4
_UNSTEADY = 0.001
_THEORY_DOF = 8.0  # as for the tracer's error in diffusion.py


@dataclass(frozen=True)
class Halves:
    """The slope of the first and the second half of all runs, with their errors.

    `p_value` is the chance of so large a difference between halves of steady runs.
    """

    values: tuple
    stderr: tuple
    dof: tuple
    p_value: float


def compare_halves(influence_rb, *, weights_r, correlation, expected=None):
    """Return the `Halves` of one slope, None for runs of fewer than four time blocks.

    Parameters
    ----------
    influence_rb
        Contributions of replicas and time blocks to the slope, shape (n_replicas, n_blocks).
    weights_r
        Weight of each replica, adding up to 1.
    correlation
        Length over which blocks share data, in blocks.
    expected
        Variance of the mean slope by theory, which the test then counts as 8 degrees of freedom beside the
        scatter in each half: a pace that changes within a half, too, inflates that scatter.
    """
    middle = influence_rb.shape[1] // 2
    if 2 * middle < _FEWEST_BLOCKS:
        return None
    parts = influence_rb[:, :middle], influence_rb[:, -middle:]
    measured = [
        covariance_of_means(part[..., None], weights_r=weights_r, correlation=correlation) for part in parts
    ]
    one, two = (float(weights_r @ part.mean(axis=1)) for part in parts)
    variances = np.array([max(item.covariance[0, 0], 0.0) for item in measured])
    dofs = np.array([item.dof for item in measured])
    stderr = tuple(np.sqrt(variances).tolist())
    tested, tested_dofs = variances, dofs
    if expected is not None:
        tested = (_THEORY_DOF * 2 * expected + dofs * variances) / (_THEORY_DOF + dofs)
        tested_dofs = _THEORY_DOF + dofs
    error, shares = np.sqrt(tested.sum()), np.sum(tested**2 / tested_dofs)
    p_value = 1.0
    if shares > 0:
        p_value = float(2 * stats.t.sf(abs(two - one) / error, tested.sum() ** 2 / shares))
    return Halves((one, two), stderr, tuple(dofs.tolist()), p_value)


def replicas_apart(influence_rb, *, weights_r, correlation):
    """Return the chance that replicas of one slope scatter as much as they do, nan for a single one.

    Their scatter is held against blocks' deviations from the mean of their *own* replica (an F-test), which
    a difference between replicas cannot inflate.

    Parameters
    ----------
    influence_rb, weights_r, correlation
        As for `compare_halves`.
    """
    n_replicas = len(weights_r)
    if n_replicas < 2:
        return np.nan
    own_r = influence_rb.mean(axis=1)
    within = [
        covariance_of_means(part[None, :, None], weights_r=np.ones(1), correlation=correlation)
        for part in influence_rb
    ]
    variance_r = np.array([item.covariance[0, 0] for item in within])
    expected = float(np.mean(variance_r * weights_r) * n_replicas)
    if not expected > 0:
        return np.nan
    scatter = float(n_replicas * weights_r @ (own_r - weights_r @ own_r) ** 2 / (n_replicas - 1))
    return float(stats.f.sf(scatter / expected, n_replicas - 1, within[0].dof * n_replicas))


def pace_warnings(blocks, slopes):
    """Yield what one diffusivity for all times and replicas would hide.

    Parameters
    ----------
    blocks
        `simtools.analysers.displacements.DisplacementBlocks`.
    slopes
        Their `simtools.analysers.diffusion.Slopes`.

    Notes
    -----
    Steady walkers raise no alarm (0 of 700 sets of one to eight runs); a rate that falls to a ninth half-way
    does in all, one that decays as 1/t within a tenth of the run in three quarters of sets of four runs.
    """
    influence_rb = blocks.tracer_rbk @ slopes.weights_qk[0]
    measured = {"weights_r": blocks.weights_r, "correlation": float(slopes.correlation_blocks[0])}
    grouping = max(1.0, slopes.values[1] / slopes.values[0]) if slopes.values[0] > 0 else 1.0
    halves = compare_halves(influence_rb, **measured, expected=grouping * slopes.independent_stderr**2)
    if halves is not None and halves.p_value < _UNSTEADY:
        one, two = (value * A2_PER_PS_TO_CM2_PER_S / 6 for value in halves.values)
        yield (
            f"ions move at another pace in the second half of the runs (D* {two:.3g} cm2/s) than in the "
            f"first ({one:.3g}), so no interval holds for both: the system ages, or skip more of its start"
        )
    if not slopes.replicas_differ and replicas_apart(influence_rb, **measured) < _UNSTEADY:
        yield (
            "replicas differ more than each one's own time blocks explain, and intervals hold only part of "
            "that; run more replicas"
        )
