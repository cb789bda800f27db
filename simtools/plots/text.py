"""Estimates as text a reader can quote: no more digits than the interval carries."""

from __future__ import annotations

import math

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def format_estimate(estimate, unit=""):
    """Return an estimate as text: the value and its 95 % interval, or the upper limit.

    Parameters
    ----------
    estimate
        `Estimate`, or None for a quantity that was not determined.
    unit
        Written behind the numbers.

    Returns
    -------
    str
        The distance to the nearer end of the interval has two significant digits; below 0.01 and from 10⁴
        all numbers share one power of ten, unless the interval spans more than two decades.

    Examples
    --------
    >>> from simtools.core.results import Estimate
    >>> format_estimate(
    ...     Estimate(value=0.3012, stderr=0.012, ci95=(0.2754, 0.3269), method="fit", n_eff=8), "eV"
    ... )
    '0.301 (0.275 to 0.327) eV'
    >>> format_estimate(Estimate.limit(2.1e-9, method="no hop"), "cm² s⁻¹")
    '< 2.1 × 10⁻⁹ cm² s⁻¹'
    """
    if estimate is None:
        return "not determined"
    tail = f" {unit}" if unit else ""
    if estimate.is_limit:
        if not math.isfinite(estimate.upper_limit):
            return "not determined"
        if estimate.upper_limit == 0:
            return "0"
        return f"< {format_number(estimate.upper_limit)}{tail}"
    value = estimate.value
    if not math.isfinite(value):
        return "not determined"
    low, high = estimate.ci95
    if math.isfinite(low) and high == math.inf:
        return f"{format_number(value)} ({format_number(low)} or more){tail}"
    if math.isfinite(high) and low == -math.inf:
        return f"{format_number(value)} ({format_number(high)} or less){tail}"
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{format_number(value)}{tail} (interval unknown)"
    if value == low == high == 0:
        return "0"
    if low > 0 and high / low > 100:
        return f"{format_number(value)} ({format_number(low)} to {format_number(high)}){tail}"
    largest = max(abs(value), abs(low), abs(high))
    exponent = 0 if largest == 0 or 0.01 <= largest < 1e4 else math.floor(math.log10(largest))
    nearest = min((abs(end - value) for end in (low, high) if end != value), default=0.0)
    decimals = 2
    if nearest > 0:
        decimals = min(max(1 - math.floor(math.log10(nearest)) + exponent, 0), 8)
    shown = [_minus(f"{number / 10.0**exponent:.{decimals}f}") for number in (value, low, high)]
    power = f" × 10{str(exponent).translate(_SUPERSCRIPTS)}" if exponent else ""
    return f"{shown[0]} ({shown[1]} to {shown[2]}){power}{tail}"


def format_number(value, *, digits=2):
    """Return one number with `digits` significant digits and a real minus sign."""
    value = float(value)
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if 0.01 <= abs(value) < 1e4:
        return _minus(f"{value:.{max(digits - 1 - math.floor(math.log10(abs(value))), 0)}f}")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{_minus(mantissa)} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def _minus(text):
    return text.replace("-", "−")
