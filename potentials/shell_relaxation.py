"""Massless shells come to rest: where to start looking, and how to get there. What pulls: core_shell.py."""

import logging

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from potentials.errors import (
    CloseContactError,
    NonFiniteError,
    PolarizationCatastropheError,
    ShellsNotRelaxedError,
)

logger = logging.getLogger(__name__)

MEMORY = 12
"""Earlier iterations that the next step is built from."""
NEARBY_EV_PER_A = 0.05
"""A guess with larger forces on the shells is too far from the last configuration for its curvature."""
LARGEST_STEP_A = 0.1
"""No shell moves further in one iteration."""
SHELL_REACH_A = 1.0
"""A shell further from its core than this has left it; relaxed displacements are below 0.3 Å."""
MAX_ITERATIONS = 200
PATIENCE = 4
"""Iterations without half the force before, after which a cutoff is suspected."""
PAIRS_AT_CUTOFF = 2.0
"""Jumps that may come together."""
HISTORY = 6
"""Configurations that the starting guess is extrapolated from."""
ROUNDING = 1e-13
"""Eigenvalues of squared rows that are smaller relative to the largest are rounding errors."""
PROBE_A = 1e-3
"""Displacement by which the curvature is probed."""


class Curvature:
    """What earlier steps of the shells told about their curvature: moves, and how the residual changed.

    It hardly differs from one configuration of a trajectory to the next, so it is kept between them. Moves
    and residuals are flat arrays, scaled by the square root of the stiffness.
    """

    def __init__(self):
        self.moves, self.changes = [], []

    def forget(self):
        """Start anew."""
        self.moves, self.changes = [], []

    def add(self, move, change):
        """Remember one step, and forget the oldest."""
        self.moves.append(move)
        self.changes.append(change)
        del self.moves[:-MEMORY], self.changes[:-MEMORY]

    def step(self, residual):
        """Return the step to where the residual vanishes, as far as the remembered steps can tell."""
        if not self.changes:
            return residual
        change_ki = np.array(self.changes)
        size_k = np.sqrt(np.einsum("ki,ki->k", change_ki, change_ki))
        change_ki /= size_k[:, None]
        weights = _least_squares(change_ki, residual, 0.0) / size_k
        steps_ki = np.array(self.moves) + np.array(self.changes)
        return residual - np.einsum("k,ki->i", weights, steps_ki)


def _least_squares(rows_ki, target_i, variance):
    """Return the weights of rows that come closest to a target, their squares weighing `variance`.

    Without BLAS, whose threads cost more than these few rows and change the last bits.
    """
    normal = np.einsum("ki,li->kl", rows_ki, rows_ki)
    values, vectors = np.linalg.eigh(normal)
    keep = values > ROUNDING * values[-1]
    projected = np.einsum("km,k->m", vectors, np.einsum("ki,i->k", rows_ki, target_i))
    return np.einsum("km,m->k", vectors[:, keep], projected[keep] / (values[keep] + variance))


def relax_shells(
    gradient, start_mc, stiffness_m, tolerance_eV_per_A, resolution_eV_per_A=0.0, curvature=None
):
    """Return displacements at which no shell feels more than `tolerance_eV_per_A`.

    Anderson's mixing of preconditioned steps: for a quadratic energy as good as conjugate gradients, and each
    iteration costs one evaluation of the forces. The last evaluation was at the displacements returned.

    Parameters
    ----------
    gradient
        Function of the displacements (M, 3), Å, that returns dE/d(displacement), eV/Å.
    start_mc
        First guess, Å, shape (M, 3).
    stiffness_m
        Rough stiffness against moving one shell alone, eV/Å², shape (M,).
    tolerance_eV_per_A
        Largest force on any shell.
    resolution_eV_per_A
        By how much forces jump where a pair crosses a cutoff. A shell may come to rest at such a place, with
        a force of that size to one side: where iterations end there, their best is returned.
    curvature
        The `Curvature` of a relaxation nearby, which is used and kept up.

    Raises
    ------
    PolarizationCatastropheError
        If the energy bends downwards along the way, or a shell leaves its core.
    ShellsNotRelaxedError
        After `MAX_ITERATIONS`.

    References
    ----------
    .. [1] D. G. Anderson, J. ACM 12, 547 (1965). doi:10.1145/321296.321305
    .. [2] H. F. Walker, P. Ni, SIAM J. Numer. Anal. 49, 1715 (2011). doi:10.1137/10078356X
    """
    scale = 1.0 / np.sqrt(stiffness_m)[:, None]
    curvature = Curvature() if curvature is None else curvature
    displacement_mc, move = start_mc, None
    residual, best, idle = None, (np.inf, start_mc), 0
    for _ in range(MAX_ITERATIONS):
        slope_mc = gradient(displacement_mc)
        largest = np.sqrt(np.einsum("mc,mc->m", slope_mc, slope_mc).max())
        last, residual = residual, (-slope_mc * scale).ravel()
        if move is None:
            if not largest <= NEARBY_EV_PER_A:
                curvature.forget()
        else:
            change = residual - last
            if move @ change < 0.0:
                curvature.add(move, change)
            elif np.abs(change / scale.repeat(3)).max() > PAIRS_AT_CUTOFF * resolution_eV_per_A:
                raise _unstable(displacement_mc)
        if largest <= tolerance_eV_per_A:
            return displacement_mc
        idle = 0 if largest < 0.5 * best[0] else idle + 1
        if largest < best[0]:
            best = largest, displacement_mc
        if idle == PATIENCE and best[0] <= PAIRS_AT_CUTOFF * resolution_eV_per_A:
            gradient(best[1])
            return best[1]
        step_mc = curvature.step(residual).reshape(-1, 3) * scale
        longest = np.sqrt(np.einsum("mc,mc->m", step_mc, step_mc).max())
        step_mc *= min(1.0, LARGEST_STEP_A / longest)
        move = (step_mc / scale).ravel()
        displacement_mc = displacement_mc + step_mc
        if not np.abs(displacement_mc).max() < SHELL_REACH_A:
            raise _unstable(displacement_mc)
    raise ShellsNotRelaxedError(MAX_ITERATIONS, float(largest), tolerance_eV_per_A)


def relax_from(guess_mc, gradient, stiffness_m, tolerance_eV_per_A, resolution_eV_per_A, curvature):
    """Relax from `guess_mc`; where that fails, once more from all shells on their cores."""
    options = stiffness_m, tolerance_eV_per_A, resolution_eV_per_A, curvature
    try:
        return relax_shells(gradient, guess_mc, *options)
    except (PolarizationCatastropheError, ShellsNotRelaxedError, CloseContactError, NonFiniteError) as error:
        curvature.forget()
        if not np.any(guess_mc):
            raise
        logger.debug("shells start again from their cores: %s", error)
    return relax_shells(gradient, np.zeros_like(guess_mc), *options)


def refuse_unstable(gradient, displacement_mc, stiffness_m):
    """Raise PolarizationCatastropheError if relaxed shells rest on a saddle, as symmetry may hold them there.

    The lowest curvature, relative to `stiffness_m`, comes from Lanczos iteration with differences of the
    gradient.
    """
    scale = np.repeat(1.0 / np.sqrt(stiffness_m), 3)
    here = gradient(displacement_mc)

    def bend(vector):
        move = np.ravel(vector) * scale
        size = PROBE_A / np.abs(move).max()
        there = gradient(displacement_mc + size * move.reshape(-1, 3))
        return (there - here).ravel() * scale / size

    n = displacement_mc.size
    start = np.random.default_rng(0).normal(size=n)
    try:
        (lowest,) = eigsh(
            LinearOperator((n, n), matvec=bend, dtype=float),
            k=1, which="SA", v0=start, ncv=min(n, 12), tol=0.05, maxiter=4, return_eigenvectors=False,
        )  # fmt: skip
    except ArpackNoConvergence as error:
        logger.debug("lowest curvature of the shells not converged: %s", error)
        return
    logger.debug("lowest curvature of the shells relative to their springs: %.3f", lowest)
    if lowest <= 0.0:
        raise _unstable(displacement_mc)


def _unstable(displacement_mc):
    """Return the error that names the shell furthest from its core, by its number among the shells."""
    distance_m = np.sqrt(np.einsum("mc,mc->m", displacement_mc, displacement_mc))
    shell = int(np.argmax(np.where(np.isfinite(distance_m), distance_m, np.inf)))
    return PolarizationCatastropheError(shell, "shell", float(distance_m[shell]))


class ShellHistory:
    """The last configurations and their relaxed shells, from which the next ones are guessed.

    The new positions are written as a combination of the earlier ones, with weights by regularised least
    squares, and the shells follow the same combination: in dynamics that is the polynomial extrapolation in
    time of the order that the noise of the shells allows, in a relaxation or a path it is linear response.
    The weights are kept so small that the tolerance of the shells is not blown up.

    Attributes
    ----------
    positions_knc, displacements_kmc : list of ndarray
        Newest first; positions continue without jumps by lattice vectors.
    """

    def __init__(self):
        self.positions_knc, self.displacements_kmc = [], []

    def guess(self, positions_nc, cell, noise_A):
        """Return a guess of the shells at `positions_nc`, or None without history.

        `noise_A` is the error of stored displacements as seen in positions. The guess is exact where the
        positions are the last ones.
        """
        if not self.positions_knc:
            return None
        newest_nc, displacement_mc = self.positions_knc[0], self.displacements_kmc[0]
        moved = _without_jumps(positions_nc - newest_nc, cell).ravel()
        if len(self.positions_knc) == 1 or not np.any(moved):
            return displacement_mc
        earlier_ki = np.array([(earlier - newest_nc).ravel() for earlier in self.positions_knc[1:]])
        weights = _least_squares(earlier_ki, moved, noise_A**2 * len(moved))
        changes = (
            weight * (earlier - displacement_mc)
            for weight, earlier in zip(weights, self.displacements_kmc[1:], strict=True)
        )
        return displacement_mc + sum(changes)

    def add(self, positions_nc, cell, displacement_mc):
        """Remember the relaxed shells of these positions."""
        if self.positions_knc:
            moved = _without_jumps(positions_nc - self.positions_knc[0], cell)
            if not np.any(moved):
                self.displacements_kmc[0] = displacement_mc
                return
            positions_nc = self.positions_knc[0] + moved
        self.positions_knc.insert(0, np.array(positions_nc))
        self.displacements_kmc.insert(0, displacement_mc)
        del self.positions_knc[HISTORY:], self.displacements_kmc[HISTORY:]


def _without_jumps(moved_nc, cell):
    return moved_nc - np.round(moved_nc @ np.linalg.inv(cell)) @ cell
