r"""Concentrations that use up what there is, no more: mass action under conditions on sites and dopants.

.. math:: c_j = w_j \prod_k \lambda_k^{n_{kj}}, \qquad \sum_j n_{kj} c_j \; [+ \; N_k \lambda_k] = N_k

The term in brackets, sites that stay regular, is there for sites and not for dopants. The solution is where
the convex function :math:`\sum_j c_j + \sum_k ([N_k \lambda_k] - N_k \ln \lambda_k)` of all :math:`\ln
\lambda_k` is least: there is one. All is done in logarithms, for :math:`10^{-196}` occurs (3 eV at 77 K).
"""

import numpy as np

from simtools.core.errors import RunFailedError

__all__ = ["EquilibriumError", "MassAction"]

_MAX_STEPS = 2000
_NEAR = 3.0
_LONGEST_STEP = 10.0
_FLATTEST = 1e-12
_LARGEST_EXPONENT = 700.0


class EquilibriumError(RunFailedError):
    """The concentrations did not converge."""


class MassAction:
    """The conditions of this module, to be solved for any weights.

    Parameters
    ----------
    counts : array_like of shape (k, n)
        How much of what condition k counts is in configuration j: its sites, its dopant ions.
    totals : array_like of shape (k,)
        How much there is of it per formula unit, positive.
    is_site : array_like of bool, shape (k,)
        True where what is not used stays regular, as sites do; false where all of it is used, as dopants are.
    """

    def __init__(self, counts, totals, is_site):
        self.counts, self.totals = np.asarray(counts, dtype=float), np.asarray(totals, dtype=float)
        self.is_site = np.asarray(is_site, dtype=bool)
        with np.errstate(divide="ignore"):
            self.ln_counts = np.log(self.counts)

    def solve(self, ln_weights):
        """Return ln c (n,) and ln lambda (k,), from ln w (n,).

        Newton's method with shortened steps near the solution; far from it one condition after the other,
        which is slow but sure (J. N. Darroch and D. Ratcliff, *Ann. Math. Stat.* **43**, 1470 (1972)).

        Raises
        ------
        EquilibriumError
            If it does not converge.
        """
        multipliers = np.zeros(len(self.counts))
        tolerance = 1e-14 * (20.0 + np.abs(ln_weights).max())
        for _ in range(_MAX_STEPS):
            excess, slopes = self._excess(ln_weights, multipliers)
            if np.abs(excess).max() < tolerance:
                return ln_weights + multipliers @ self.counts, multipliers
            if np.abs(excess).max() < _NEAR:
                multipliers = self._newton(ln_weights, multipliers, excess, slopes)
            else:
                for k in range(len(multipliers)):
                    excess, slopes = self._excess(ln_weights, multipliers)
                    multipliers[k] -= excess[k] / slopes[k, k]
        raise EquilibriumError(
            f"the shares of sites are unsettled after {_MAX_STEPS} steps, by {np.abs(excess).max():.1e}; "
            "the crystal is far from dilute"
        )

    def _newton(self, ln_weights, multipliers, excess, slopes):
        hessian = (self.totals * np.exp(excess))[:, None] * slopes
        scale = np.sqrt(np.diag(hessian))
        curvatures, modes = np.linalg.eigh(hessian / np.outer(scale, scale))
        descent = -(modes.T @ (self.totals * np.expm1(excess) / scale)) / np.maximum(curvatures, _FLATTEST)
        step = (modes @ descent) / scale
        step /= max(1.0, np.abs(step).max() / _LONGEST_STEP)
        least, worst = self._convex(ln_weights, multipliers), np.abs(excess).max()
        while np.abs(step).max() > 1e-15:
            trial = multipliers + step
            if (
                self._convex(ln_weights, trial) < least
                or np.abs(self._excess(ln_weights, trial)[0]).max() < worst
            ):
                return trial
            step = step / 2
        return multipliers

    def _convex(self, ln_weights, multipliers):
        ln_regular = np.where(self.is_site, multipliers, -np.inf)
        regular, used = (
            np.exp(np.minimum(ln, _LARGEST_EXPONENT))
            for ln in (ln_regular, ln_weights + multipliers @ self.counts)
        )
        return used.sum() + self.totals @ (regular - multipliers)

    def _excess(self, ln_weights, multipliers):
        """Return (k,) ln(what is used/what there is) of each condition, and its (k, k) derivatives."""
        ln_used = self.ln_counts + (ln_weights + multipliers @ self.counts) - np.log(self.totals)[:, None]
        ln_regular = np.where(self.is_site, multipliers, -np.inf)
        largest = np.maximum(ln_used.max(axis=1), ln_regular)
        used, regular = np.exp(ln_used - largest[:, None]), np.exp(ln_regular - largest)
        total = used.sum(axis=1) + regular
        slopes = (used / total[:, None]) @ self.counts.T + np.diag(regular / total)
        return largest + np.log(total), slopes
