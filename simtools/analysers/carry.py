"""Does an ion move where the turning rotor would carry it? The vector test."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.carry_flight import flight_test
from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.event_correlogram import checked_runs, in_stretches, randomisation_p
from simtools.analysers.kernels import coupling as kernels
from simtools.analysers.uncertainty import normal_estimate
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity

__all__ = ["CarryTest", "carry_test"]


@dataclass(frozen=True, eq=False, kw_only=True)
class CarryTest(Result):
    r"""Steps of ions against the step of a point fixed to the rotor, :math:`\Delta = (R - 1)(r_i - r_j)`.

    Attributes
    ----------
    n_pairs, null_pairs
        Pairs of a rotation and a near hop within the window, and their mean over shifts.
    cosine, null_cosine : float
        Mean cosine between step and carry, here and over shifts.
    cosine_excess : Estimate
        Sum of cosines above that of as many pairs of the null, per pair.
    p_value
        Two-sided, of that sum.
    carried : Estimate or None
        Slope s of the step along the carry on the carry, for the pairs beyond chance, as (s - s0)/(1 - s0)
        with s0 that of shifted pairs: 1 where the rotor carries the ion, 0 where it turns without doing so.
        (Any step from one place on a sphere to another lies along any other from there: s0 is about one
        half.) None where there are too few pairs beyond chance.
    flight_pairs : int or None
        Linear (polar) rotors only, as are all that follow; None for others. Rotations at hops that have
        alternatives: turns from the same direction while no ion hopped, both ends of the hop left out.
    flight_excess : Estimate or None
        Mean cosine above that of the alternatives: what a dipole that merely clears the way does not give.
    flight_p_value
        Two-sided.
    flight_carried : Estimate or None
        That excess for the pairs beyond chance, over the most it could be (a cosine of 1): 0 where the dipole
        only gets out of the way, 1 where it takes the ion along. None where there are too few pairs.
    """

    n_pairs: int
    n_shifts: int
    null_pairs: float = quantity("1")
    window_ps: np.ndarray = quantity("ps", shape="(2,)")
    radius_A: float = quantity("angstrom")
    cosine: float = quantity("1")
    null_cosine: float = quantity("1")
    cosine_excess: Estimate = quantity("1")
    p_value: float = quantity("1")
    carried: Estimate | None = quantity("1")
    flight_pairs: int | None = None
    flight_excess: Estimate | None = quantity("1", default=None)
    flight_p_value: float | None = quantity("1", default=None)
    flight_carried: Estimate | None = quantity("1", default=None)

    @property
    def is_adjusted(self):
        """Whether the rotors are polar, so that turns which only clear the way are taken off."""
        return self.flight_p_value is not None

    @property
    def evidence(self):
        """(estimate, p, carried) that decide: above turns that only clear the way, for polar rotors."""
        if self.is_adjusted:
            return self.flight_excess, self.flight_p_value, self.flight_carried
        return self.cosine_excess, self.p_value, self.carried


def carry_test(
    runs: RotorHops | Sequence[RotorHops],
    *,
    radius_A: float,
    window_ps: tuple[float, float] = (-1.0, 1.0),
    n_shifts: int = 1000,
    seed: int = 0,
) -> CarryTest:
    """Return how far hops near a turning rotor go where it would carry the ion.

    Parameters
    ----------
    runs
        From `common_events`; replicas add up.
    radius_A
        Hops whose middle is within this of a rotor are near it, Å.
    window_ps
        Lags from rotation to hop that count, ps.
    n_shifts, seed
        Circular shifts of each rotor, as in `event_correlogram`, and their seed.

    Returns
    -------
    CarryTest

    Raises
    ------
    ConfigError
        For a window that does not increase, no shift, or a radius that is not positive.

    Notes
    -----
    Limits: hops that follow in time but not in space give 0 carried within the error; ions that the rotor
    carries give 1. Both ends of the hop are sites, and the rotor's turn is from basin to basin, so real
    paddle wheels come out near 1 but not exactly there. The end of a dipole that leaves a vacancy when an ion
    hops in may go anywhere but to both ends of the hop, which alone gives more carry than circular shifts do:
    `flight_excess` and what follows it are free of that (`carry_flight`).
    """
    runs = checked_runs(runs)
    low, high = map(float, window_ps)
    if not (low < high and n_shifts >= 1 and radius_A > 0):
        raise ConfigError(
            "expected a window that increases, a positive radius_A and n_shifts of at least 1, got "
            f"{window_ps!r}, {radius_A!r} and {n_shifts!r}"
        )
    rng = np.random.default_rng(seed)
    sums = np.zeros((n_shifts + 1, 4))
    for run in in_stretches(runs, high - low):
        near = run.near(radius_A)
        order, first = run.rotations_by_rotor()
        shifts = rng.uniform(0, run.duration_ps, size=(n_shifts + 1, run.n_rotors))
        shifts[0] = 0.0
        kernels.carried(
            first,
            run.rotation_times_ps[order],
            run.rotation_vectors_rad[order],
            near.first,
            run.hop_times_ps[near.hops],
            near.starts_A,
            run.hop_vectors_A[near.hops],
            shifts,
            run.duration_ps,
            low,
            high,
            sums,
        )
    count, cosine, product, square = sums.T
    mean = sums[1:].mean(axis=0)
    null_cosine = float(mean[1] / mean[0]) if mean[0] > 0 else 0.0
    deviation = cosine - null_cosine * count
    # more pairs than in the null, directed as the null, would spread more
    spread = np.sqrt(deviation[1:].var() + max(0.0, count[0] - mean[0]))
    n_pairs = int(count[0])
    half = stats.norm.ppf(0.975) * spread
    per = max(n_pairs, 1)
    return CarryTest(
        n_pairs=n_pairs,
        n_shifts=n_shifts,
        null_pairs=float(mean[0]),
        window_ps=np.array([low, high]),
        radius_A=float(radius_A),
        cosine=float(cosine[0] / per),
        null_cosine=null_cosine,
        cosine_excess=Estimate(
            value=float(deviation[0] / per),
            stderr=float(spread / per),
            ci95=(float((deviation[0] - half) / per), float((deviation[0] + half) / per)),
            method="cosines above circular shifts of each rotor",
            n_eff=float(n_pairs),
        ),
        p_value=_p(deviation, count, mean[0]),
        carried=_slope(count, product, square),
        **_flight(runs, radius_A, (low, high), n_shifts, rng),
        provenance=collect_provenance(window_ps=[low, high], radius_A=radius_A, n_shifts=n_shifts, seed=seed),
    )


def _p(deviation, count, null_count):
    """Return the two-sided p of the sum of cosines, with the null spread to as many pairs as were seen."""
    widened = deviation.copy()
    if null_count > 0 and count[0] > null_count:
        widened[1:] = deviation[1:] * np.sqrt(count[0] / null_count)
    return randomisation_p(widened)


def _slope(count, product, square):
    """Return the slope of step on carry of the pairs beyond chance, over that of chance: see `CarryTest`."""
    mean, mean_product, mean_square = count[1:].mean(), product[1:].mean(), square[1:].mean()
    beyond = square[0] - mean_square
    if not (count[0] > mean + 2 * count[1:].std() and beyond > 0 and mean_square > 0):
        return None
    chance = mean_product / mean_square
    if not chance < 1:
        return None
    slope = (product[0] - mean_product) / beyond
    residual = product[1:] - slope * square[1:]
    # a step that is not carried has a component along the carry of its own, of the carry's size
    own = (count[0] - mean) * (square[0] / count[0]) ** 2 / 2
    value = (slope - chance) / (1 - chance)
    error = np.sqrt(residual.var() + own) / beyond / (1 - chance)
    method = "step along carry over carry, pairs beyond circular shifts of each rotor"
    return normal_estimate(value, error, method=method, n_eff=count[0] - mean)


def _flight(runs, radius_A, window_ps, n_draws, rng):
    """Return the fields of `CarryTest` that are free of turns that clear the way; none if not linear."""
    if any(run.rotation_starts is None for run in runs):
        return {}
    stretches = in_stretches(runs, window_ps[1] - window_ps[0])
    found = flight_test(
        runs, stretches=stretches, radius_A=radius_A, window_ps=window_ps, n_draws=n_draws, rng=rng
    )
    if found.n_pairs == 0:
        return {"flight_pairs": 0, "flight_p_value": 1.0}
    spread, n = found.deviations[1:].std(), found.n_pairs
    method = "cosines above redrawn turns of each rotor"
    excess = normal_estimate(found.deviations[0] / n, spread / n, method=method, n_eff=n)
    beyond, scatter, carried = found.beyond_chance, found.beyond_chance_error, None
    if beyond > 2 * scatter and found.most > 0:
        most = found.most
        value = found.deviations[0] / most
        error = np.hypot(spread / most, value * scatter / beyond)
        method = "cosine above redrawn turns over the most it could be"
        carried = normal_estimate(value, error, method=method, n_eff=beyond)
    return {
        "flight_pairs": n,
        "flight_excess": excess,
        "flight_p_value": randomisation_p(found.deviations),
        "flight_carried": carried,
    }
