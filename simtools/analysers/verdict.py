"""The paddlewheel question, answered step by step from all the evidence, never by one number."""

from dataclasses import dataclass

import numpy as np

from simtools.analysers.carry import CarryTest
from simtools.analysers.event_correlogram import EventCorrelogram
from simtools.analysers.evidence_ladder import (
    ADJUSTED,
    CARRY,
    CRUDE,
    EXCESS,
    LEAD,
    LEVEL,
    NEGLIGIBLE,
    REVERSE,
    Counterfactuals,
    Ladder,
    Rung,
)
from simtools.analysers.hazard import HazardRatio
from simtools.analysers.multiple_testing import CouplingTest, with_q
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Result, quantity

__all__ = [
    "VERDICTS",
    "Counterfactuals",
    "Rung",
    "Verdict",
    "event_tests",
    "reach_verdict",
    "typical_angle_deg",
]

VERDICTS = ("uncoupled", "co-triggered", "soft cradle", "paddlewheel", "undetermined")


@dataclass(frozen=True, eq=False, kw_only=True)
class Verdict(Result):
    """What the evidence says about rotating anions and hopping ions.

    Attributes
    ----------
    verdict : str
        One of `VERDICTS`.
    reason : str
        One sentence.
    confirmed : bool
        Whether counterfactual runs support it.
    rungs : tuple of dict
        The ladder, as `Rung.to_summary`.
    tests : tuple of dict
        All tests with estimate, interval, null, p and q, as `CouplingTest.to_summary`.
    excluded_coupled_fraction
        The data exclude that more than this share of hops come with a rotation beyond chance (95 %).
    """

    verdict: str
    reason: str
    confirmed: bool
    rungs: tuple
    tests: tuple
    n_rotations: int
    n_hops: int
    excluded_coupled_fraction: float = quantity("1")


def event_tests(
    correlogram: EventCorrelogram,
    *,
    crude: HazardRatio,
    adjusted: HazardRatio | None = None,
    reverse: HazardRatio | None = None,
    carry: CarryTest | None = None,
) -> list[CouplingTest]:
    """Return the tests of events, in the order of the ladder, without q."""
    shifts = "circular shifts of each rotor, and of all together"
    tests = [
        CouplingTest(
            name=EXCESS,
            estimate=correlogram.coupled_fraction,
            unit="per hop",
            null_value=0.0,
            null=shifts,
            p_value=max(correlogram.excess_p_value, correlogram.excess_common_p_value),
        ),
        CouplingTest(
            name=LEAD,
            estimate=correlogram.lead,
            unit="per rotation",
            null_value=0.0,
            null="scatter between stretches of time",
            p_value=correlogram.lead_p_value,
        ),
    ]
    for name, result in ((CRUDE, crude), (ADJUSTED, adjusted), (REVERSE, reverse)):
        if result is not None:
            tests.append(
                CouplingTest(
                    name=name,
                    estimate=result.ratio,
                    unit="",
                    null_value=1.0,
                    null="score between stretches of time",
                    p_value=result.p_value,
                )
            )
    if carry is not None:
        excess, p_value, _ = carry.evidence
        tests.append(
            CouplingTest(
                name=CARRY,
                estimate=excess,
                unit="cosine",
                null_value=0.0,
                null="turns that only clear the way"
                if carry.is_adjusted
                else "circular shifts of each rotor",
                p_value=p_value,
            )
        )
    return tests


def reach_verdict(
    correlogram: EventCorrelogram,
    *,
    crude: HazardRatio,
    adjusted: HazardRatio | None = None,
    reverse: HazardRatio | None = None,
    carry: CarryTest | None = None,
    coupled_angle_deg: float | None = None,
    cradle: tuple = (),
    further: tuple = (),
    counterfactuals: Counterfactuals | None = None,
) -> Verdict:
    """Return the verdict on coupled rotation and hopping, with the ladder that led there.

    The steps: were there enough of both; do they come together beyond chance; also at equal surroundings (a
    vacancy that passes makes rotors turn and ions hop); does the rotation not follow the hop; does the ion go
    where the rotor would carry it; do counterfactual runs agree.

    Parameters
    ----------
    correlogram
        From `event_correlogram`.
    crude, adjusted
        From `hazard_ratio`, without covariates and with them.
    reverse
        The same from hop to rotation, adjusted.
    carry
        From `carry_test`.
    coupled_angle_deg
        Median angle of the rotations that come with hops, degrees.
    cradle
        Tests (`CouplingTest`) of small-angle motion at hops: librations, not rotations.
    further
        Tests that belong to the table but decide nothing.
    counterfactuals
        Ratios of diffusivities.

    Returns
    -------
    Verdict
        Answers are decided at q <= 0.05, Benjamini-Hochberg over all tests. "undetermined" always states the
        coupling that the data exclude.

    Notes
    -----
    Limits: no coupling, with static or shared rates, is "uncoupled" or, with few events, "undetermined"; a
    vacancy that triggers both, "co-triggered"; ions carried by rotors, "paddlewheel".
    """
    if adjusted is not None and not adjusted.covariates:
        raise ConfigError("adjusted must be a hazard ratio with covariates, got one without")
    tests = with_q(
        [
            *event_tests(correlogram, crude=crude, adjusted=adjusted, reverse=reverse, carry=carry),
            *cradle,
            *further,
        ]
    )
    q = {test.name: test.q_value for test in tests}
    limit = correlogram.coupled_fraction_upper_limit
    ladder = Ladder(
        correlogram,
        crude=crude,
        adjusted=adjusted,
        reverse=reverse,
        carry=carry,
        angle=coupled_angle_deg,
        cradle=[test for test in tests if test.name in {item.name for item in cradle}],
        q=q,
        counterfactuals=counterfactuals,
    )
    verdict, reason = ladder.climb()
    return Verdict(
        verdict=verdict,
        reason=reason,
        confirmed=ladder.confirmed,
        rungs=tuple(rung.to_summary() for rung in ladder.rungs),
        tests=tuple(test.to_summary() for test in tests),
        n_rotations=correlogram.n_rotations,
        n_hops=correlogram.n_hops,
        excluded_coupled_fraction=limit,
        provenance=collect_provenance(level=LEVEL, negligible=NEGLIGIBLE),
    )


def typical_angle_deg(runs, *, radius_A: float, window_ps: float) -> float | None:
    """Return the median angle of rotations with a near hop within the window, degrees; None without any."""
    angles = []
    for run in runs:
        near = run.near(radius_A)
        for rotor in range(run.n_rotors):
            hops = run.hop_times_ps[near.hops[near.first[rotor] : near.first[rotor + 1]]]
            own = np.flatnonzero(run.rotation_rotors == rotor)
            if len(hops) == 0 or len(own) == 0:
                continue
            times = run.rotation_times_ps[own]
            after = np.searchsorted(hops, times - window_ps)
            close = (after < len(hops)) & (hops[np.minimum(after, len(hops) - 1)] <= times + window_ps)
            angles.append(np.degrees(np.linalg.norm(run.rotation_vectors_rad[own[close]], axis=1)))
    angles = np.concatenate(angles) if angles else np.zeros(0)
    return float(np.median(angles)) if len(angles) else None
