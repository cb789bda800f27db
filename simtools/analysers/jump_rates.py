"""Rates of jumps with Poisson intervals, by length and direction, and how long ions stay."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.jumps import Jumps
from simtools.analysers.uncertainty import poisson_upper_limit
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity

__all__ = ["JumpRates", "jump_rates", "poisson_rate"]

_MOST_BLOCKS = 20
_JUMPS_PER_BLOCK = 5
_CLUSTERED = 0.01
_SAME_LENGTH_A = 0.2
_MOST_POINTS = 200


@dataclass(frozen=True, eq=False, kw_only=True)
class JumpRates(Result):
    """How often ions jump, how far, in which directions, and how long they stay.

    Attributes
    ----------
    n_jumps, n_replicas : int
        What was counted.
    rate_per_ion, rate_per_vacancy : Estimate
        Lasting jumps per ion, or per vacancy, and ps; the second is None without vacancies. A run without
        jumps has upper limits.
    dispersion : float
        Variance of the counts in time blocks over their mean; 1 for a Poisson process. Where it is above 1
        with p < 0.01 (jumps come in bursts, `widened`), the intervals are widened by its root.
    ion_time_ps, vacancy_time_ps
        Time in which jumps could be seen, times ions, or vacancies.
    mean_residence : Estimate
        Mean time between jumps of an ion, ps: time observed over jumps, unfinished stays included.
    lengths_A, length_counts, length_rates
        Mean length of each class of jumps (gaps of 0.2 Å separate classes), its count, its rate per ion.
    directions_A, direction_counts
        Distinct vectors, most frequent first; those within 0.2 Å of each other are one.
    stay_times_ps, stay_survival
        Share of stays, begun by a jump, that lasted longer than each time (Kaplan and Meier's estimate, so
        unfinished stays are no bias).
    """

    species: str
    n_jumps: int
    n_replicas: int
    n_recrossings: int
    rate_per_ion: Estimate = quantity("1/ps")
    rate_per_vacancy: Estimate | None = quantity("1/ps")
    dispersion: float = quantity("1")
    widened: bool = False
    ion_time_ps: float = quantity("ps")
    vacancy_time_ps: float = quantity("ps")
    mean_residence: Estimate | None = quantity("ps")
    lengths_A: np.ndarray = quantity("angstrom", shape="(n_classes,)")
    length_counts: np.ndarray = quantity("1", shape="(n_classes,)")
    length_rates: tuple = quantity("1/ps", shape="(n_classes,)")
    directions_A: np.ndarray = quantity("angstrom", shape="(n_directions, 3)")
    direction_counts: np.ndarray = quantity("1", shape="(n_directions,)")
    stay_times_ps: np.ndarray = quantity("ps", shape="(n_times,)")
    stay_survival: np.ndarray = quantity("1", shape="(n_times,)")


def jump_rates(jumps: Jumps | Sequence[Jumps]) -> JumpRates:
    """Return rates, lengths, directions and residence times of the jumps of one run or of replicas.

    Parameters
    ----------
    jumps
        From `find_jumps` or `vacancy_lattice_gas`; replicas add up.

    Returns
    -------
    JumpRates

    Raises
    ------
    ConfigError
        If there is nothing to count, or replicas are of different species.

    Notes
    -----
    Limit: a Poisson process of known rate is covered by 95 % intervals in at least 95 % of repeats.
    """
    parts = (jumps,) if isinstance(jumps, Jumps) else tuple(jumps)
    species = {part.species for part in parts}
    if len(species) != 1:
        raise ConfigError(f"expected jumps of one species, got {', '.join(sorted(species)) or 'none'}")
    n_jumps = sum(part.n_jumps for part in parts)
    ion_time_ps = sum(part.n_ions * part.duration_ps for part in parts)
    vacancy_time_ps = sum(part.n_vacancies * part.duration_ps for part in parts)
    dispersion, widening = _dispersion(parts)
    lengths = np.concatenate([part.lengths_A for part in parts])
    order = np.argsort(lengths)
    classes = np.split(lengths[order], np.flatnonzero(np.diff(lengths[order]) > _SAME_LENGTH_A) + 1)
    classes = [item for item in classes if len(item)]
    directions_A, direction_counts = _directions(np.concatenate([part.vectors_A for part in parts]))
    rate = poisson_rate(n_jumps, ion_time_ps, dispersion=widening)
    stay_times_ps, survival = _stays(parts)
    return JumpRates(
        species=species.pop(),
        n_jumps=n_jumps,
        n_replicas=len(parts),
        n_recrossings=sum(part.n_recrossings for part in parts),
        rate_per_ion=rate,
        rate_per_vacancy=poisson_rate(n_jumps, vacancy_time_ps, dispersion=widening)
        if vacancy_time_ps
        else None,
        dispersion=dispersion,
        widened=widening > 1,
        ion_time_ps=float(ion_time_ps),
        vacancy_time_ps=float(vacancy_time_ps),
        mean_residence=None if rate.is_limit else _inverse(rate),
        lengths_A=np.array([item.mean() for item in classes]),
        length_counts=np.array([len(item) for item in classes], dtype=np.int64),
        length_rates=tuple(poisson_rate(len(item), ion_time_ps, dispersion=widening) for item in classes),
        directions_A=directions_A,
        direction_counts=direction_counts,
        stay_times_ps=stay_times_ps,
        stay_survival=survival,
        provenance=collect_provenance(jumps=[part.provenance["arguments"] for part in parts]),
    )


def poisson_rate(count: int, exposure_ps: float, *, dispersion: float = 1.0) -> Estimate:
    """Return a rate with its exact 95 % interval (F. Garwood, Biometrika 28, 437 (1936)), 1/ps.

    Parameters
    ----------
    count
        Events seen; without any, the result is an upper limit.
    exposure_ps
        Time in which they could be seen, times the number of what could do it, ps.
    dispersion
        Variance of counts over their mean; the interval is that of ``count / dispersion`` events.

    Returns
    -------
    Estimate
    """
    if not exposure_ps > 0:
        raise ConfigError(f"a rate needs a time in which events could be seen, got {exposure_ps!r} ps")
    if count == 0:
        return Estimate.limit(poisson_upper_limit(0) / exposure_ps, method="no event; Poisson limit")
    independent = count / dispersion
    low = stats.chi2.ppf(0.025, 2 * independent) / 2
    high = stats.chi2.ppf(0.975, 2 * independent + 2) / 2
    scale = dispersion / exposure_ps
    method = "events over time; Garwood's Poisson interval"
    if dispersion > 1:
        method += f", of events in bursts (variance over mean {dispersion:.2f})"
    return Estimate(
        value=count / exposure_ps,
        stderr=float(np.sqrt(independent) * scale),
        ci95=(float(low * scale), float(high * scale)),
        method=method,
        n_eff=float(independent),
    )


def _inverse(rate):
    low, high = rate.ci95
    return Estimate(
        value=1 / rate.value,
        stderr=rate.stderr / rate.value**2,
        ci95=(1 / high, 1 / low),
        method=f"inverse of the rate: {rate.method}",
        n_eff=rate.n_eff,
    )


def _directions(vectors_A):
    """Return distinct vectors, most frequent first, and how often each was seen."""
    rounded, counts = np.unique(np.round(vectors_A, 2) + 0.0, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rounded, counts = rounded[order], counts[order]
    distinct, seen = [], []
    while len(rounded):
        near = np.linalg.norm(rounded - rounded[0], axis=1) < _SAME_LENGTH_A
        distinct.append(rounded[0])
        seen.append(counts[near].sum())
        rounded, counts = rounded[~near], counts[~near]
    order = np.argsort(-np.array(seen, dtype=np.int64), kind="stable")
    return np.array(distinct).reshape(-1, 3)[order], np.array(seen, dtype=np.int64)[order]


def _dispersion(parts):
    """Return variance over mean of counts in time blocks, and the same where it is significant, else 1."""
    squares, dof = 0.0, 0
    for part in parts:
        n_blocks = min(_MOST_BLOCKS, part.n_jumps // _JUMPS_PER_BLOCK)
        if n_blocks < 2:
            continue
        counts, _ = np.histogram(part.times_ps, bins=n_blocks, range=tuple(part.observed_ps))
        squares += np.square(counts - counts.mean()).sum() / counts.mean()
        dof += n_blocks - 1
    if dof == 0:
        return float("nan"), 1.0
    dispersion = float(squares / dof)
    clustered = stats.chi2.sf(squares, dof) < _CLUSTERED
    return dispersion, dispersion if clustered else 1.0


def _stays(parts):
    """Return Kaplan and Meier's survival of stays that began with a jump: times, ps, and shares."""
    lengths, finished = [], []
    for part in parts:
        order = np.lexsort((part.times_ps, part.ions))
        ions, times = part.ions[order], part.times_ps[order]
        if len(ions) == 0:
            continue
        same = np.append(ions[1:] == ions[:-1], False)
        ends = np.where(same, np.append(times[1:], 0.0), part.observed_ps[1])
        lengths.append(ends - times)
        finished.append(same)
    if not lengths:
        return np.zeros(1), np.ones(1)
    lengths, finished = np.concatenate(lengths), np.concatenate(finished)
    result = stats.ecdf(stats.CensoredData.right_censored(lengths, ~finished)).sf
    times_ps, shares = np.append(0.0, result.quantiles), np.append(1.0, result.probabilities)
    shown = np.unique(np.linspace(0, len(times_ps) - 1, _MOST_POINTS).astype(int))
    return times_ps[shown], shares[shown]
