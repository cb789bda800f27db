"""Differences and ratios of independent estimates, with intervals that keep the shape of theirs."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from simtools.core.errors import ConfigError
from simtools.core.results import Estimate

__all__ = ["difference", "pooled", "ratio"]

_UNKNOWN = Estimate.limit(math.inf, method="one of the two has no value to compare with")


def difference(a: Estimate, b: Estimate) -> Estimate:
    """Return a − b of independent estimates.

    The interval is recovered from theirs [1]_: each side adds, in squares, the sides of the two that lead
    there, so asymmetric and wide (Student's) intervals stay so.

    Parameters
    ----------
    a, b
        In one unit. Where `a` is an upper limit, so is the difference (from the lower end of `b`); where `b`
        is one, the difference has neither value nor limit (infinity).

    Returns
    -------
    Estimate

    References
    ----------
    .. [1] G. Y. Zou and A. Donner, Construction of confidence limits about effect measures, Stat. Med. 27,
       1693 (2008), doi:10.1002/sim.3095.

    Notes
    -----
    Limit: for normal intervals it is the difference of normal variables.
    """
    if b.is_limit:
        return _UNKNOWN
    if a.is_limit:
        return Estimate.limit(
            a.upper_limit - b.ci95[0], method=f"{a.method}; less the lower end of the other"
        )
    low, high = _recovered(a.value, a.ci95, b.value, b.ci95)
    return Estimate(
        value=a.value - b.value,
        stderr=math.hypot(a.stderr, b.stderr),
        ci95=(low, high),
        method="difference; interval from both intervals (Zou and Donner)",
        n_eff=min(a.n_eff, b.n_eff),
    )


def ratio(a: Estimate, b: Estimate) -> Estimate:
    """Return a / b of independent positive estimates: `difference` of their logarithms.

    Raises
    ------
    ConfigError
        If a value is not positive.
    """
    if b.is_limit:
        return _UNKNOWN
    for item in (a, b):
        if not item.is_limit and not item.value > 0:
            raise ConfigError(f"a ratio needs positive values, got {item.value!r}")
    if a.is_limit:
        end = b.ci95[0]
        return Estimate.limit(
            a.upper_limit / end if end > 0 else math.inf,
            method=f"{a.method}; over the lower end of the other",
        )
    low, high = _recovered(math.log(a.value), _logs(a.ci95), math.log(b.value), _logs(b.ci95))
    value = a.value / b.value
    return Estimate(
        value=value,
        stderr=value * math.hypot(a.stderr / a.value, b.stderr / b.value),
        ci95=(math.exp(low), math.exp(high)),
        method="ratio; interval from both intervals in the logarithm (Zou and Donner)",
        n_eff=min(a.n_eff, b.n_eff),
    )


def pooled(estimates: Sequence[Estimate]) -> Estimate | None:
    """Return the mean of independent estimates weighted by their inverse variances; None without any value.

    Limits are left out, so are values without a standard error. The interval is Student's with the degrees of
    freedom that Satterthwaite's formula gives for ``n_eff - 1`` of each.
    """
    known = [item for item in estimates if not item.is_limit and 0 < item.stderr < math.inf]
    if not known:
        return None
    values, stderrs = (np.array([getattr(item, name) for item in known]) for name in ("value", "stderr"))
    weights = stderrs**-2 / np.sum(stderrs**-2)
    stderr = float(np.sum(stderrs**-2) ** -0.5)
    dof = 1 / np.sum(weights**2 / [max(item.n_eff - 1, 1.0) for item in known])
    value = float(weights @ values)
    half = float(stats.t.ppf(0.975, dof)) * stderr
    return Estimate(
        value=value,
        stderr=stderr,
        ci95=(value - half, value + half),
        method=f"mean of {len(known)}, weighted by inverse variance",
        n_eff=float(dof + 1),
    )


def _recovered(a, a_ends, b, b_ends):
    low = math.hypot(a - a_ends[0], b_ends[1] - b)
    high = math.hypot(a_ends[1] - a, b - b_ends[0])
    return a - b - low, a - b + high


def _logs(ends):
    return tuple(math.log(end) if end > 0 else -math.inf for end in ends)
