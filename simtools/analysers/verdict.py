"""The paddlewheel question, answered step by step from all the evidence, never by one number."""

from dataclasses import dataclass

import numpy as np

from simtools.analysers.carry import CarryTest
from simtools.analysers.event_correlogram import EventCorrelogram
from simtools.analysers.hazard import HazardRatio
from simtools.analysers.multiple_testing import CouplingTest, with_q
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity

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
_FEWEST_EVENTS = 20
_NEGLIGIBLE = 0.05
_LEVEL = 0.05
_CARRIED = 0.5
_SMALL_ANGLE_DEG = 45.0
_SAME_D = 0.8
_NO_SLOPE = -0.05  # a fifth off D for rotors 64 times as heavy
_RUNS = "Do runs without large rotations agree?"

_EXCESS = "hops with a rotation beyond chance"
_LEAD = "rotations lead hops"
_CRUDE = "hazard ratio of hops after a rotation, crude"
_ADJUSTED = "hazard ratio of hops after a rotation, adjusted"
_REVERSE = "hazard ratio of rotations after a hop, adjusted"
_CARRY = "hops along the carry of the rotor"


@dataclass(frozen=True, kw_only=True)
class Counterfactuals:
    """Diffusivities of runs in which something was taken away, over that of the free run.

    Attributes
    ----------
    restrained, frozen : Estimate or None
        Large rotations prevented; all rotation prevented. An upper limit where ions then did not diffuse.
    inertia_exponent : Estimate or None
        d ln D / d ln I of rotors made heavier.
    """

    restrained: Estimate | None = None
    frozen: Estimate | None = None
    inertia_exponent: Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One step of the ladder: the question, the answer ("yes", "no" or "open") and what it rests on."""

    question: str
    answer: str
    evidence: str

    def to_summary(self):
        """Return the JSON form."""
        return {"question": self.question, "answer": self.answer, "evidence": self.evidence}


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
            name=_EXCESS,
            estimate=correlogram.coupled_fraction,
            unit="per hop",
            null_value=0.0,
            null=shifts,
            p_value=max(correlogram.excess_p_value, correlogram.excess_common_p_value),
        ),
        CouplingTest(
            name=_LEAD,
            estimate=correlogram.lead,
            unit="per rotation",
            null_value=0.0,
            null="scatter between stretches of time",
            p_value=correlogram.lead_p_value,
        ),
    ]
    for name, result in ((_CRUDE, crude), (_ADJUSTED, adjusted), (_REVERSE, reverse)):
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
        tests.append(
            CouplingTest(
                name=_CARRY,
                estimate=carry.cosine_excess,
                unit="cosine",
                null_value=0.0,
                null="circular shifts of each rotor",
                p_value=carry.p_value,
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
    ladder = _Ladder(
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
        provenance=collect_provenance(level=_LEVEL, negligible=_NEGLIGIBLE),
    )


class _Ladder:
    def __init__(self, correlogram, *, crude, adjusted, reverse, carry, angle, cradle, q, counterfactuals):
        self.correlogram, self.crude, self.adjusted = correlogram, crude, adjusted
        self.reverse, self.carry, self.angle = reverse, carry, angle
        self.cradle, self.q, self.counterfactuals = cradle, q, counterfactuals
        self.rungs, self.confirmed = [], False

    def say(self, question, answer, evidence):
        self.rungs.append(Rung(question=question, answer=answer, evidence=evidence))
        return answer

    @property
    def exclusion(self):
        limit = self.correlogram.coupled_fraction_upper_limit
        return f"more than {100 * limit:.2g} % of hops with a rotation beyond chance are excluded"

    def climb(self):
        """Return the verdict and its reason; runs with something taken away are heard wherever it ended."""
        word, reason = self._climb()
        runs = self.counterfactuals
        if runs is not None and runs.restrained is not None and self.rungs[-1].question != _RUNS:
            word, reason = self._reconciled(word, reason)
        if runs is not None and runs.inertia_exponent is not None:
            word, reason = self._weighed(word, reason)
        return word, reason

    def _climb(self):
        c = self.correlogram
        enough = min(c.n_rotations, c.n_near_hops) >= _FEWEST_EVENTS
        counts = f"{c.n_rotations} rotations, {c.n_near_hops} hops near rotors"
        if self.say("Were there enough of both?", "yes" if enough else "no", counts) == "no":
            if max(c.n_rotations, c.n_near_hops) < _FEWEST_EVENTS:
                what = "too few rotations and hops"
            else:
                what = "too few rotations" if c.n_rotations < _FEWEST_EVENTS else "too few hops near rotors"
            return "undetermined", f"{what} were seen; {self.exclusion}"
        together = min(self.q[_EXCESS], self.q[_CRUDE]) <= _LEVEL
        evidence = (
            f"{100 * c.coupled_fraction.value:.2g} % of hops beyond chance, 95 % interval "
            f"{100 * c.coupled_fraction.ci95[0]:.2g} to {100 * c.coupled_fraction.ci95[1]:.2g} %, "
            f"q = {self.q[_EXCESS]:.2g}; crude hazard ratio q = {self.q[_CRUDE]:.2g}"
        )
        if self.say("Do they come together beyond chance?", "yes" if together else "no", evidence) == "no":
            return self._apart()
        if c.coupled_fraction.value < 0:
            return "undetermined", "hops are rarer near rotations than chance: neither mechanism does that"
        return self._at_equal_surroundings()

    def _apart(self):
        small = [test for test in self.cradle if test.q_value <= _LEVEL and test.estimate.value > 0]
        if small:
            names = ", ".join(test.name for test in small)
            self.say("Does small-angle motion go with ions?", "yes", names)
            return "soft cradle", f"ions move with librations ({names}), not with rotations; {self.exclusion}"
        if self.correlogram.coupled_fraction_upper_limit <= _NEGLIGIBLE:
            return "uncoupled", f"no coupling was found, and {self.exclusion}"
        share = 100 * self.correlogram.coupled_fraction_upper_limit
        return "undetermined", f"no coupling was found, but up to {share:.2g} % of hops are not excluded"

    def _at_equal_surroundings(self):
        question = "Also at equal surroundings (vacancies)?"
        if self.adjusted is None or self.adjusted.ratio is None:
            self.say(question, "open", "no record of vacancies, or too few events")
            return "undetermined", (
                "rotations and hops come together, but a passing vacancy may trigger both: expected lattice "
                "sites, so that vacancies are known"
            )
        ratio, crude = self.adjusted.ratio, self.crude.ratio
        survives = self.q[_ADJUSTED] <= _LEVEL and ratio.value > 1
        text = (
            f"hazard ratio {ratio.value:.3g} ({ratio.ci95[0]:.3g} to {ratio.ci95[1]:.3g}) adjusted for "
            f"{', '.join(self.adjusted.covariates)}, crude {crude.value:.3g}, q = {self.q[_ADJUSTED]:.2g}"
            if crude is not None
            else f"hazard ratio {ratio.value:.3g} adjusted, crude unknown"
        )
        if survives:
            self.say(question, "yes", text)
            return self._who_leads()
        explained = crude is not None and crude.value > self.adjusted.upper_limit
        self.say(question, "no" if explained else "open", text)
        if self._reversed():
            return "co-triggered", "rotors turn after ions have hopped, not before: they follow the vacancy"
        if explained:
            return "co-triggered", (
                "vacancies that pass make rotors turn and ions hop; beyond that nothing was found"
            )
        return "undetermined", (
            "rotations and hops come together; whether beyond what vacancies do to both is within the error"
        )

    def _reversed(self):
        return (
            self.reverse is not None
            and self.reverse.ratio is not None
            and self.q[_REVERSE] <= _LEVEL
            and self.reverse.ratio.value > 1
        )

    def _who_leads(self):
        lead = self.correlogram.lead
        clear = self.q[_LEAD] <= _LEVEL
        text = (
            f"{lead.value:.3g} ({lead.ci95[0]:.3g} to {lead.ci95[1]:.3g}) more hops per rotation after "
            f"it than before, q = {self.q[_LEAD]:.2g}"
        )
        if clear and lead.value < 0:
            self.say("Does the rotation not follow the hop?", "no", text)
            return "co-triggered", "rotors turn after ions have hopped: they follow, they do not drive"
        self.say("Does the rotation not follow the hop?", "yes" if clear else "open", text)
        return self._who_carries(clear)

    def _who_carries(self, leads):
        question = "Do ions go where the rotor carries them?"
        if self.carry is None or self.carry.carried is None:
            self.say(question, "open", "too few pairs beyond chance")
            return "undetermined", "rotations drive hops, but whether they carry the ions is open"
        carried = self.carry.carried
        text = (
            f"carried {carried.value:.2g} ({carried.ci95[0]:.2g} to {carried.ci95[1]:.2g}; 1 carries, 0 "
            f"not), q = {self.q[_CARRY]:.2g}"
        )
        if self.q[_CARRY] <= _LEVEL and carried.ci95[0] > 0 and carried.ci95[1] >= _CARRIED:
            self.say(question, "yes", text)
            return self._counterfactual(leads)
        self.say(question, "no" if carried.ci95[1] < _CARRIED else "open", text)
        if self.angle is not None and self.angle < _SMALL_ANGLE_DEG:
            return "soft cradle", f"ions hop with tilts of {self.angle:.0f} degrees that do not carry them"
        if carried.ci95[1] < _CARRIED:
            return "undetermined", (
                "rotations come before hops but do not carry the ions: they open a way, which counterfactual "
                "runs can test"
            )
        return "undetermined", "rotations come with hops; whether they carry the ions is within the error"

    def _counterfactual(self, leads):
        runs = self.counterfactuals
        rests = "rotations come with hops beyond what vacancies do, and ions go where rotors carry them"
        if not leads:
            rests += "; which comes first is not resolved"
        if runs is None or runs.restrained is None:
            self.say(_RUNS, "open", "no such runs")
            return "paddlewheel", f"{rests}; not yet tested by runs without large rotations"
        answer = self._ask_runs()
        if answer == "yes":
            self.confirmed = True
            return "paddlewheel", f"{rests}; without large rotations ions are slower"
        if answer == "no":
            if runs.frozen is not None and _bounds(runs.frozen)[1] < 1:
                self.confirmed = True
                return "soft cradle", "without large rotations ions are as fast; without librations slower"
            return "co-triggered", "without large rotations ions are as fast: hops do not need them"
        return "paddlewheel", f"{rests}; runs without large rotations are too short to tell"

    def _ask_runs(self):
        """Say whether ions are slower without large rotations: "yes", "no" (as fast) or "open"."""
        ratio = self.counterfactuals.restrained
        low, high = _bounds(ratio)
        text = (
            f"D over that of the free run below {high:.3g}"
            if ratio.is_limit
            else f"D over that of the free run {ratio.value:.3g} ({low:.3g} to {high:.3g})"
        )
        return self.say(_RUNS, "yes" if high < 1 else "no" if low > _SAME_D else "open", text)

    def _reconciled(self, word, reason):
        """Return the verdict of a ladder that ended early, with what runs without large rotations say."""
        together = len(self.rungs) > 1 and self.rungs[1].answer == "yes"
        answer = self._ask_runs()
        if answer == "no" and word == "undetermined" and together:
            return "co-triggered", (
                "rotations and hops come together, but without large rotations ions are as fast: hops do not "
                "need them"
            )
        if answer == "no":
            return word, f"{reason}; without large rotations ions are as fast"
        if answer == "yes":
            word = "undetermined" if word == "uncoupled" else word
            return word, f"{reason}; yet without large rotations ions are slower"
        return word, reason

    def _weighed(self, word, reason):
        """Return the verdict with what heavier rotors, which turn more slowly, say."""
        slope = self.counterfactuals.inertia_exponent
        low, high = slope.ci95
        answer = self.say(
            "Are ions slower beside heavier rotors?",
            "yes" if high < 0 else "no" if low > _NO_SLOPE else "open",
            f"d ln D / d ln I {slope.value:.2g} ({low:.2g} to {high:.2g})",
        )
        if answer == "no" and word == "paddlewheel":
            self.confirmed = False
            return "undetermined", (
                f"{reason}; yet heavier rotors, which turn more slowly, leave ions as fast: where anions point "
                "may count, how fast they turn does not"
            )
        if answer == "yes":
            return word, f"{reason}; beside heavier rotors, which turn more slowly, ions are slower"
        return word, reason


def _bounds(ratio):
    """Return the ends of the interval of a ratio; from zero where only an upper limit is known."""
    return (0.0, ratio.upper_limit) if ratio.is_limit else ratio.ci95


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
