"""Tests that stand in one table: what each found, its null, p, and p corrected for the number of tests."""

from dataclasses import dataclass, replace

import numpy as np

from simtools.core.errors import ConfigError
from simtools.core.results import Estimate

__all__ = ["CouplingTest", "adjusted_p", "with_q"]

_METHODS = ("Benjamini-Hochberg", "Benjamini-Yekutieli")


@dataclass(frozen=True, kw_only=True)
class CouplingTest:
    """One line of the table.

    Attributes
    ----------
    name : str
        What is measured.
    estimate : Estimate or None
        With its interval; None where there was too little to estimate.
    unit : str
    null_value : float
        What no coupling gives.
    null : str
        How that was obtained.
    p_value, q_value : float
        Two-sided; q is corrected for all tests of the table.
    """

    name: str
    estimate: Estimate | None
    unit: str
    null_value: float
    null: str
    p_value: float
    q_value: float = float("nan")

    def to_summary(self):
        """Return the JSON form."""
        return {
            "name": self.name,
            "estimate": None if self.estimate is None else self.estimate.to_dict(),
            "unit": self.unit,
            "null_value": self.null_value,
            "null": self.null,
            "p": self.p_value,
            "q": self.q_value,
        }


def adjusted_p(p_values, *, method: str = "Benjamini-Hochberg") -> np.ndarray:
    """Return p values corrected for their number: the false discovery rate at which each would be reported.

    Parameters
    ----------
    p_values
        Shape (n,).
    method
        "Benjamini-Hochberg" (independent or positively dependent tests) or "Benjamini-Yekutieli" (any).

    References
    ----------
    .. [1] Y. Benjamini and Y. Hochberg, J. R. Stat. Soc. B 57, 289 (1995).
    .. [2] Y. Benjamini and D. Yekutieli, Ann. Stat. 29, 1165 (2001).
    """
    if method not in _METHODS:
        raise ConfigError(f"method must be one of {', '.join(_METHODS)}; got {method!r}")
    p = np.asarray(p_values, dtype=float)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ConfigError("p values must be a list of numbers between 0 and 1")
    n = len(p)
    if n == 0:
        return p
    order = np.argsort(p)
    factor = n / np.arange(1, n + 1)
    if method == _METHODS[1]:
        factor = factor * np.sum(1 / np.arange(1, n + 1))
    running = np.minimum.accumulate((p[order] * factor)[::-1])[::-1]
    q = np.empty(n)
    q[order] = np.minimum(1.0, running)
    return q


def with_q(tests, *, method: str = "Benjamini-Hochberg") -> tuple:
    """Return the tests with their q values, over all of them."""
    q_values = adjusted_p([test.p_value for test in tests], method=method)
    return tuple(replace(test, q_value=float(q)) for test, q in zip(tests, q_values, strict=True))
