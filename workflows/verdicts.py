"""What a comparison of runs comes to: which conducts better, which holds the vacancy more, or neither."""

import itertools
import math

from simtools.analysers.comparison import difference, pooled
from simtools.core.results import Estimate
from simtools.plots import format_estimate

__all__ = ["conducting_verdicts", "holding_verdicts"]


def conducting_verdicts(entries):
    """Yield for each pair of runs which conducts better: the geometric mean ratio over temperatures.

    Parameters
    ----------
    entries
        `workflows.compare.Comparison.transport`.
    """
    for (first, second), group in _pairs(entries):
        logs = [
            _logarithm(entry["ionic_conductivity_ratio"])
            for entry in group
            if not entry["ionic_conductivity_ratio"].is_limit
        ]
        mean = pooled(logs)
        if mean is None:
            continue
        estimate = _exponential(mean)
        low, high = estimate.ci95
        answer = first if low > 1 else second if high < 1 else None
        words = "the data cannot tell which" if answer is None else answer
        temperatures = [entry["temperature_K"] for entry in group]
        yield {
            "question": "which conducts better",
            "first": first,
            "second": second,
            "answer": answer,
            "text": f"{words} conducts better (conductivity of {first} over that of {second}: "
            f"{format_estimate(estimate)}, {_over(temperatures)})",
            "ionic_conductivity_ratio": estimate,
        }


def holding_verdicts(holders):
    """Yield for each pair of holders which holds the vacancy more, by their binding free energies.

    The differences at the temperatures they share are averaged; where one of the two was bound all the time,
    its limit decides if it can.

    Parameters
    ----------
    holders
        `workflows.compare.Holder`.
    """
    for first, second in itertools.combinations(holders, 2):
        temperatures = [item.temperature_K for item in first.results if second.at(item.temperature_K)]
        if not temperatures:
            continue
        one, other = (
            [holder.at(t).binding_free_energy_eV for t in temperatures] for holder in (first, second)
        )
        less = list(map(difference, one, other))
        estimate, ahead, behind = pooled(less), first.label, second.label
        if estimate is None:  # only limits: one of the two was bound all the time
            estimate = min(less, key=lambda item: item.upper_limit)
            if math.isinf(estimate.upper_limit):
                estimate = min(map(difference, other, one), key=lambda item: item.upper_limit)
                ahead, behind = behind, ahead
            answer = ahead if estimate.upper_limit < 0 else None
        else:
            low, high = estimate.ci95
            answer = ahead if high < 0 else behind if low > 0 else None
        words = "the data cannot tell which" if answer is None else answer
        yield {
            "question": "which holds the vacancy more",
            "first": ahead,
            "second": behind,
            "answer": answer,
            "text": f"{words} holds the vacancy more (binding free energy of {ahead} less that of {behind}: "
            f"{format_estimate(estimate, 'eV')}, {_over(temperatures)})",
            "binding_free_energy_difference_eV": estimate,
        }


def _pairs(entries):
    grouped = {}
    for entry in entries:
        grouped.setdefault((entry["first"], entry["second"]), []).append(entry)
    return grouped.items()


def _over(temperatures_K):
    listed = ", ".join(f"{temperature:g}" for temperature in temperatures_K)
    return f"{'over' if len(temperatures_K) > 1 else 'at'} {listed} K"


def _logarithm(estimate):
    low, high = estimate.ci95
    return Estimate(
        value=math.log(estimate.value),
        stderr=estimate.stderr / estimate.value,
        ci95=(math.log(low) if low > 0 else -math.inf, math.log(high)),
        method=estimate.method,
        n_eff=estimate.n_eff,
    )


def _exponential(estimate):
    value = math.exp(estimate.value)
    return Estimate(
        value=value,
        stderr=value * estimate.stderr,
        ci95=tuple(map(math.exp, estimate.ci95)),
        method=f"geometric {estimate.method}",
        n_eff=estimate.n_eff,
    )
