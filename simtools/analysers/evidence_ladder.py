"""The ladder of evidence that a verdict climbs: what is asked, in which order, and what each answer means."""

from dataclasses import dataclass
from math import inf

from simtools.core.results import Estimate

__all__ = [
    "ADJUSTED",
    "CARRY",
    "CRUDE",
    "EXCESS",
    "LEAD",
    "LEVEL",
    "NEGLIGIBLE",
    "REVERSE",
    "Counterfactuals",
    "Ladder",
    "Rung",
]

_FEWEST_EVENTS = 20
NEGLIGIBLE = 0.05
LEVEL = 0.05
_CARRIED = 0.5
_SMALL_ANGLE_DEG = 45.0
_SAME_D = 0.8
_RUNS = "Do runs without large rotations agree?"
_HEAVY = "Are ions slower beside heavier rotors?"

EXCESS = "hops with a rotation beyond chance"
LEAD = "rotations lead hops"
CRUDE = "hazard ratio of hops after a rotation, crude"
ADJUSTED = "hazard ratio of hops after a rotation, adjusted"
REVERSE = "hazard ratio of rotations after a hop, adjusted"
CARRY = "hops along the carry of the rotor"


@dataclass(frozen=True, kw_only=True)
class Counterfactuals:
    """Diffusivities of runs in which something was taken away, over that of the free run.

    Attributes
    ----------
    restrained, frozen : Estimate or None
        Large rotations prevented; all rotation prevented. An upper limit where ions then did not diffuse.
    inertia_exponent : Estimate or None
        d ln D / d ln I of rotors made heavier.
    heaviest_scale : float or None
        The largest factor on the inertia.
    heaviest : Estimate or None
        D at that factor over that of its reference.
    too_wide_deg : float or None
        The narrowest cone where every cone is too wide to take large rotations away.
    elsewhere_K : float or None
        The temperature of these runs where it is not that of the verdict: they then confirm nothing.
    """

    restrained: Estimate | None = None
    frozen: Estimate | None = None
    inertia_exponent: Estimate | None = None
    heaviest_scale: float | None = None
    heaviest: Estimate | None = None
    too_wide_deg: float | None = None
    elsewhere_K: float | None = None


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One step of the ladder: the question, the answer ("yes", "no" or "open") and what it rests on."""

    question: str
    answer: str
    evidence: str

    def to_summary(self):
        """Return the JSON form."""
        return {"question": self.question, "answer": self.answer, "evidence": self.evidence}


class Ladder:
    """The evidence, asked step by step; `climb` gives the verdict, `rungs` what was answered."""

    def __init__(self, correlogram, *, crude, adjusted, reverse, carry, angle, cradle, q, counterfactuals):
        self.correlogram, self.crude, self.adjusted = correlogram, crude, adjusted
        self.reverse, self.carry, self.angle = reverse, carry, angle
        self.cradle, self.q, self.counterfactuals = cradle, q, counterfactuals
        self.rungs, self.confirmed = [], False

    def say(self, question, answer, evidence):
        """Put a rung on the ladder; return the answer."""
        self.rungs.append(Rung(question=question, answer=answer, evidence=evidence))
        return answer

    @property
    def exclusion(self):
        """The coupling that the data exclude, as text."""
        limit = self.correlogram.coupled_fraction_upper_limit
        return f"more than {100 * limit:.2g} % of hops with a rotation beyond chance are excluded"

    def climb(self):
        """Return the verdict and its reason; runs with something taken away are heard wherever it ended."""
        word, reason = self._climb()
        runs = self.counterfactuals
        asked = {rung.question for rung in self.rungs}
        if runs is not None and runs.restrained is not None and _RUNS not in asked:
            word, reason = self._reconciled(word, reason)
        if runs is not None and runs.inertia_exponent is not None and _HEAVY not in asked:
            if self._ask_heavy() == "yes":
                word = "undetermined" if word == "uncoupled" else word
                reason += "; beside heavier rotors, which turn more slowly, ions are slower"
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
        together = min(self.q[EXCESS], self.q[CRUDE]) <= LEVEL
        evidence = (
            f"{100 * c.coupled_fraction.value:.2g} % of hops beyond chance, 95 % interval "
            f"{100 * c.coupled_fraction.ci95[0]:.2g} to {100 * c.coupled_fraction.ci95[1]:.2g} %, "
            f"q = {self.q[EXCESS]:.2g}; crude hazard ratio q = {self.q[CRUDE]:.2g}"
        )
        if self.say("Do they come together beyond chance?", "yes" if together else "no", evidence) == "no":
            return self._apart()
        if c.coupled_fraction.value < 0:
            return "undetermined", "hops are rarer near rotations than chance: neither mechanism does that"
        return self._at_equal_surroundings()

    def _apart(self):
        small = [test for test in self.cradle if test.q_value <= LEVEL and test.estimate.value > 0]
        if small:
            names = ", ".join(test.name for test in small)
            self.say("Does small-angle motion go with ions?", "yes", names)
            return "soft cradle", f"ions move with librations ({names}), not with rotations; {self.exclusion}"
        if self.correlogram.coupled_fraction_upper_limit <= NEGLIGIBLE:
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
        survives = self.q[ADJUSTED] <= LEVEL and ratio.value > 1
        text = (
            f"hazard ratio {ratio.value:.3g} ({ratio.ci95[0]:.3g} to {ratio.ci95[1]:.3g}) adjusted for "
            f"{', '.join(self.adjusted.covariates)}, crude {crude.value:.3g}, q = {self.q[ADJUSTED]:.2g}"
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
            and self.q[REVERSE] <= LEVEL
            and self.reverse.ratio.value > 1
        )

    def _who_leads(self):
        lead = self.correlogram.lead
        clear = self.q[LEAD] <= LEVEL
        text = (
            f"{lead.value:.3g} ({lead.ci95[0]:.3g} to {lead.ci95[1]:.3g}) more hops per rotation after "
            f"it than before, q = {self.q[LEAD]:.2g}"
        )
        if clear and lead.value < 0:
            self.say("Does the rotation not follow the hop?", "no", text)
            return "co-triggered", "rotors turn after ions have hopped: they follow, they do not drive"
        text += self._both_ways()
        self.say("Does the rotation not follow the hop?", "yes" if clear else "open", text)
        if not clear and self._follows():
            return "undetermined", (
                "rotations come with hops beyond what vacancies do, but they follow hops at least as much as "
                "they precede them"
            )
        return self._who_carries(clear)

    def _follows(self):
        """Return whether a rotation after a hop is significant and more than a hop after a rotation."""
        return (
            self._reversed()
            and self.reverse.ratio.ci95[0] > 1
            and self.reverse.ratio.value > self.adjusted.ratio.value
        )

    def _both_ways(self):
        """Return the words on rotations that follow hops where these are significant too."""
        if not self._reversed():
            return ""
        behind, ahead = self.reverse.ratio, self.adjusted.ratio
        overlap = behind.ci95[0] <= ahead.ci95[1] and ahead.ci95[0] <= behind.ci95[1]
        return (
            f"; rotations also follow hops: hazard ratio {behind.value:.3g} ({behind.ci95[0]:.3g} to "
            f"{behind.ci95[1]:.3g}), q = {self.q[REVERSE]:.2g}, beside {ahead.value:.3g} of hops after "
            f"rotations{', whose interval overlaps' if overlap else ''}"
        )

    def _who_carries(self, leads):
        question = "Do ions go where the rotor carries them?"
        carried = None if self.carry is None else self.carry.evidence[2]
        polar = self.carry is not None and self.carry.is_adjusted
        beyond = ", beyond dipoles that only clear the way for the ion" if polar else ""
        if carried is None:
            self.say(question, "open", f"too few pairs beyond chance{beyond}")
            return "undetermined", "rotations drive hops, but whether they carry the ions is open"
        text = (
            f"carried {carried.value:.2g} ({carried.ci95[0]:.2g} to {carried.ci95[1]:.2g}; 1 carries, 0 "
            f"not){beyond}, q = {self.q[CARRY]:.2g}"
        )
        if self.q[CARRY] <= LEVEL and carried.ci95[0] > 0 and carried.ci95[1] >= _CARRIED:
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
            wide = None if runs is None else runs.too_wide_deg
            told = "" if wide is None else f": a cone of {wide:g} degrees lets rotors turn too far to count"
            self.say(_RUNS, "open", f"no such runs{told}")
            return "paddlewheel", f"{rests}; not yet tested by runs without large rotations"
        answer = self._ask_runs()
        if answer == "yes":
            return self._heavy_rotors(rests, leads)
        if answer == "no":
            if runs.frozen is not None and _bounds(runs.frozen)[1] < 1:
                self.confirmed = self._here
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
        text += self._where
        return self.say(_RUNS, "yes" if high < 1 else "no" if low > _SAME_D else "open", text)

    @property
    def _here(self):
        return self.counterfactuals.elsewhere_K is None

    @property
    def _where(self):
        return "" if self._here else f", at {self.counterfactuals.elsewhere_K:g} K"

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

    def _heavy_rotors(self, rests, leads):
        """Ask for what a cone cannot show: it takes configurations away, inertia changes dynamics only."""
        confirmed = self._here and leads
        if self.counterfactuals.inertia_exponent is None:
            self.say(_HEAVY, "open", "no such runs")
            self.confirmed = confirmed
            return "paddlewheel", f"{rests}; without large rotations ions are slower"
        if self._ask_heavy() == "yes":
            self.confirmed = confirmed
            return (
                "paddlewheel",
                f"{rests}; ions are slower without large rotations and beside heavier rotors",
            )
        return "undetermined", (
            f"{rests}; without large rotations ions are slower, but a cone also takes configurations away, "
            "and that heavier rotors slow ions is not seen within the error"
        )

    def _ask_heavy(self):
        """Say whether ions are slower beside heavier rotors, which turn more slowly: "yes" or "open"."""
        slope = self.counterfactuals.inertia_exponent
        low, high = slope.ci95
        text = f"d ln D / d ln I {slope.value:.2g} ({_interval(low, high)}; 0 none, -0.5 all){self._where}"
        text += self._fall()
        return self.say(_HEAVY, "yes" if high < 0 else "open", text)

    def _fall(self):
        """Return in words what is left of D at the largest inertia."""
        ratio = self.counterfactuals.heaviest
        if ratio is None:
            return ""
        low, high = _bounds(ratio)
        left = f"below {high:.2g}" if ratio.is_limit else f"{ratio.value:.2g} ({low:.2g} to {high:.2g})"
        return f"; at {self.counterfactuals.heaviest_scale:g} times the inertia D is {left} of its reference"


def _interval(low, high):
    """Return an interval in words, of which an end may be unknown."""
    if -inf < low and high < inf:
        return f"{low:.2g} to {high:.2g}"
    if low == -inf and high == inf:
        return "no interval known"
    return f"{high:.2g} or less" if low == -inf else f"{low:.2g} or more"


def _bounds(ratio):
    """Return the ends of the interval of a ratio; from zero where only an upper limit is known."""
    return (0.0, ratio.upper_limit) if ratio.is_limit else ratio.ci95
