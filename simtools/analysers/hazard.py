"""How much likelier ions hop after a rotation, crude and at equal surroundings (a passing vacancy)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.event_correlogram import checked_runs
from simtools.analysers.kernels import coupling as kernels
from simtools.core.errors import ConfigError, ShapeError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity

__all__ = ["HazardRatio", "hazard_ratio"]

_MOST_BLOCKS = 40
_FEWEST_BLOCKS = 8
_WINDOWS_PER_BLOCK = 10
_BLOCKS_PER_STRETCH = 4
_MOST_STRETCHES = 8
_LARGEST_LN = 6.0
_FEWEST_EVENTS = 5
_NEWTON = 30
_ROOT = 1e-3
_SECANTS = 8
_RIDGE = 1e-9
_DIRECTIONS = ("rotation to hop", "hop to rotation")


@dataclass(frozen=True, eq=False, kw_only=True)
class HazardRatio(Result):
    """Rate of an event in the window after another near it, over the rate at all other times.

    Attributes
    ----------
    direction : str
        "rotation to hop": hops after rotations; "hop to rotation": rotations after hops.
    ratio : Estimate or None
        The hazard ratio, at equal surroundings where covariates were given; None where there are fewer than
        5 events or 5 are never expected in the window.
    p_value
        Score test of a ratio of 1.
    upper_limit
        One-sided 95 % limit of the ratio.
    covariates : tuple of str
        What it is adjusted for; empty: crude.
    n_events, n_exposed
        Events in all, and those in a window.
    n_blocks : int
        Stretches of time that errors were drawn from.
    """

    direction: str
    covariates: tuple
    n_events: int
    n_exposed: int
    n_blocks: int
    window_ps: float = quantity("ps")
    radius_A: float = quantity("angstrom")
    ratio: Estimate | None = quantity("1")
    p_value: float = quantity("1")
    upper_limit: float = quantity("1")


def hazard_ratio(
    runs: RotorHops | Sequence[RotorHops],
    *,
    radius_A: float,
    window_ps: float = 1.0,
    bin_ps: float = 0.05,
    covariates: dict | None = None,
    direction: str = "rotation to hop",
) -> HazardRatio:
    r"""Return the hazard ratio of a Poisson model in which every rotor has its own rate, which may drift.

    .. math:: \ln \lambda_{jb} = \alpha_{j, s(b)} + \beta x_{jb} + \gamma_{c(j, b)}

    with x = 1 where rotor j turned within the window before bin b and c the level of its surroundings then;
    s is one of up to eight stretches of the run, so that a run that slows down as it ages is no coupling.

    Parameters
    ----------
    runs
        From `common_events`; replicas add up, every rotor of every run with its own rate.
    radius_A
        Hops whose middle is within this of a rotor are near it, Å.
    window_ps
        Time after a rotation, ps.
    bin_ps
        Width of the bins, ps: short against the window.
    covariates
        {name: one integer array (n_bins, n_rotors) per run}: levels of what may drive both, at the start of
        each bin, as the number of vacancies next to the rotor. All combinations of levels have their own
        rate. Arrays of another number of bins are read at the same fractions of the run.
    direction
        "rotation to hop" or "hop to rotation".

    Returns
    -------
    HazardRatio
        Test and interval from the efficient score, with its variance taken between stretches of time that
        hold at least 10 windows, all rotors together: hops near several rotors and rotors that turn in
        concert count once. Student's quantiles.

    Raises
    ------
    ConfigError
        For an unknown direction, options out of range, or runs too short for eight stretches.
    ShapeError
        For covariates of another shape.

    Notes
    -----
    Limits: independent processes give 1; where a vacancy makes rotors turn and ions hop, the crude ratio is
    above 1 and the adjusted one is 1; triggered hops give the planted ratio. Events in the same bin do not
    count as one after the other, so a ratio loses about bin/(2 window) of what is above 1.
    """
    runs = checked_runs(runs)
    if direction not in _DIRECTIONS:
        raise ConfigError(f"direction must be one of {', '.join(_DIRECTIONS)}; got {direction!r}")
    if not (0 < bin_ps <= window_ps and radius_A > 0):
        raise ConfigError(
            f"expected 0 < bin_ps <= window_ps and a positive radius_A, got {bin_ps!r}, {window_ps!r} and "
            f"{radius_A!r}"
        )
    covariates = covariates or {}
    duration = sum(run.duration_ps for run in runs)
    n_blocks = int(min(_MOST_BLOCKS, duration / (_WINDOWS_PER_BLOCK * window_ps)))
    per_run = max(1, n_blocks // len(runs))
    if per_run * len(runs) < _FEWEST_BLOCKS:
        raise ConfigError(
            f"{duration:g} ps in {len(runs)} runs are too short for a window of {window_ps:g} ps: expected "
            f"{_FEWEST_BLOCKS * _WINDOWS_PER_BLOCK * window_ps:g} ps or more"
        )
    levels, n_levels = _levels(runs, covariates, bin_ps)
    tables = [
        _table(run, level, radius_A, window_ps, bin_ps, per_run, n_levels, direction)
        for run, level in zip(runs, levels, strict=True)
    ]
    model = _Model(tables, n_levels)
    ratio, p_value, upper = model.estimate("score of a Poisson model with a rate per rotor")
    return HazardRatio(
        direction=direction,
        covariates=tuple(covariates),
        n_events=int(model.events.sum()),
        n_exposed=int(model.events[..., 1::2].sum()),
        n_blocks=model.n_blocks,
        window_ps=float(window_ps),
        radius_A=float(radius_A),
        ratio=ratio,
        p_value=p_value,
        upper_limit=upper,
        provenance=collect_provenance(window_ps=window_ps, bin_ps=bin_ps, radius_A=radius_A),
    )


def _levels(runs, covariates, bin_ps):
    """Return one level per bin and rotor for each run, and the number of levels that occur."""
    combined = []
    for index, run in enumerate(runs):
        n_bins = max(1, int(run.duration_ps / bin_ps + 1e-9))
        code = np.zeros((n_bins, run.n_rotors), dtype=np.int64)
        for name, arrays in covariates.items():
            if len(arrays) != len(runs):
                raise ConfigError(f"covariate {name!r} has {len(arrays)} arrays for {len(runs)} runs")
            values = np.asarray(arrays[index])
            if values.ndim != 2 or values.shape[1] != run.n_rotors or len(values) == 0:
                raise ShapeError(f"covariate {name!r}", f"(n_bins, {run.n_rotors})", values.shape)
            at = (np.arange(n_bins) * len(values)) // n_bins
            low = min(int(np.asarray(item).min()) for item in arrays)
            high = max(int(np.asarray(item).max()) for item in arrays)
            code = code * (high - low + 1) + (values[at] - low)
        combined.append(code)
    highest = max(int(code.max()) for code in combined)
    present = np.zeros(highest + 1, dtype=bool)
    for code in combined:
        present |= np.bincount(code.ravel(), minlength=highest + 1) > 0
    number = np.cumsum(present) - 1
    return [number[code] for code in combined], int(present.sum())


def _table(run, level, radius_A, window_ps, bin_ps, n_blocks, n_levels, direction):
    order, turn_first = run.rotations_by_rotor()
    turns = run.rotation_times_ps[order]
    near = run.near(radius_A)
    hops = run.hop_times_ps[near.hops]
    cause, effect = (turn_first, turns), (near.first, hops)
    if direction == _DIRECTIONS[1]:
        cause, effect = effect, cause
    out = np.zeros((2, run.n_rotors, n_blocks, 2 * n_levels))
    kernels.hazard_table(*cause, *effect, level, bin_ps, round(window_ps / bin_ps), n_blocks, n_levels, out)
    return out


def _stretches(n_blocks):
    return int(np.clip(n_blocks // _BLOCKS_PER_STRETCH, 1, _MOST_STRETCHES))


class _Model:
    """Conditional Poisson likelihood with a rate per rotor and stretch, and scores by block of time."""

    def __init__(self, tables, n_levels):
        groups = [np.array_split(np.arange(item.shape[2]), _stretches(item.shape[2])) for item in tables]
        n_rows = sum(item.shape[1] * len(group) for item, group in zip(tables, groups, strict=True))
        longest = max(len(part) for group in groups for part in group)
        # a row has the blocks of its own stretch only; what is empty counts as none of block 0
        full = np.zeros((2, n_rows, longest, 2 * n_levels))
        place_jb = np.zeros((n_rows, longest), dtype=np.int64)
        row = block = 0
        for table, group in zip(tables, groups, strict=True):
            for part in group:
                rows = slice(row, row + table.shape[1])
                full[:, rows, : len(part)] = table[:, :, part]
                place_jb[rows, : len(part)] = block + part
                row += table.shape[1]
            block += table.shape[2]
        n_blocks = block
        kept = full[1].sum(axis=(1, 2)) > 0
        self.exposure, self.events, self.place_jb = full[0][kept], full[1][kept], place_jb[kept]
        self.n_blocks = n_blocks
        seen = self.events.reshape(-1, n_levels, 2).sum(axis=(0, 2)) if kept.any() else np.zeros(n_levels)
        # a level without events has a rate of zero: it says nothing and leaves
        used = np.flatnonzero(seen > 0)
        pattern = np.stack([2 * used, 2 * used + 1], axis=1).ravel()
        self.exposure, self.events = self.exposure[..., pattern], self.events[..., pattern]
        self.design = np.zeros((len(pattern), max(1, len(used))))
        self.design[1::2, 0] = 1.0
        for k in range(1, len(used)):
            self.design[2 * k : 2 * k + 2, k] = 1.0
        self.total_j = self.events.sum(axis=(1, 2))
        self.exposure_jp = self.exposure.sum(axis=1)
        self.events_p = self.events.sum(axis=(0, 1))

    def _expected(self, parameters):
        rate_p = np.exp(self.design @ parameters)
        share_jp = self.exposure_jp * rate_p
        scale_j = self.total_j / share_jp.sum(axis=1)
        share_jp *= scale_j[:, None]
        return rate_p, scale_j, share_jp

    def _information(self, share_jp):
        mean = share_jp @ self.design / self.total_j[:, None]
        return (self.design.T * share_jp.sum(axis=0)) @ self.design - (mean.T * self.total_j) @ mean

    def _fitted(self, ln_ratio, start):
        """Return the parameters with the first held and the others at their maximum."""
        parameters = start.copy()
        parameters[0] = ln_ratio
        for _ in range(_NEWTON if len(parameters) > 1 else 0):
            _, _, share = self._expected(parameters)
            score = (self.events_p - share.sum(axis=0)) @ self.design
            step = np.clip(_solved(self._information(share)[1:, 1:], score[1:]), -2.0, 2.0)
            parameters[1:] += step
            if np.abs(step).max() < 1e-6:
                break
        return parameters

    def _statistic(self, ln_ratio, start):
        """Return the efficient score over its standard error between blocks, and the parameters."""
        parameters = self._fitted(ln_ratio, start)
        rate_p, scale_j, share = self._expected(parameters)
        information = self._information(share)
        weight = np.ones(len(parameters))
        weight[1:] = -_solved(information[1:, 1:], information[1:, 0])
        z_p = self.design @ weight
        # rates of rows are fitted to all their blocks: their own scores are projected out, block by block
        z_jp = z_p - (share @ z_p / self.total_j)[:, None]
        expected_jbp = self.exposure * (scale_j[:, None] * rate_p)[:, None, :]
        lever_jb = np.einsum("jbp,jp->jb", expected_jbp, z_jp)
        score_jb = np.einsum("jbp,jp->jb", self.events, z_jp) - lever_jb
        score_b = np.bincount(self.place_jb.ravel(), score_jb.ravel(), self.n_blocks)
        # a rate fitted to few events follows them: what that takes from the scatter between blocks
        followed = np.sum(np.square(lever_jb).sum(axis=1) / self.total_j)
        error = np.sqrt(self.n_blocks * score_b.var(ddof=1) + followed)
        return score_b.sum() / error if error > 0 else 0.0, parameters

    def estimate(self, method):
        """Return the ratio with its interval, the p of a ratio of 1, and a one-sided upper limit."""
        exposed = self.exposure_jp[:, 1::2].sum() if len(self.total_j) else 0.0
        if self.total_j.sum() < _FEWEST_EVENTS or exposed == 0:
            return None, 1.0, float("inf")
        start = np.zeros(self.design.shape[1])
        at_one, parameters = self._statistic(0.0, start)
        expected = self._expected(parameters)[2][:, 1::2].sum()
        p_value = float(2 * stats.t.sf(abs(at_one), self.n_blocks - 1))
        if expected < _FEWEST_EVENTS and self.events[..., 1::2].sum() < _FEWEST_EVENTS:
            return None, p_value, float("inf")
        half = stats.t.ppf(0.975, self.n_blocks - 1)
        one_sided = stats.t.ppf(0.95, self.n_blocks - 1)
        roots = [self._root(0.0, parameters, 0.1 * np.sign(at_one))]
        error = 1.0
        for quantile in (half, -half, -one_sided):
            roots.append(self._root(quantile, parameters, roots[0] - quantile * error))
            if np.isfinite(roots[0] - roots[1]):
                error = (roots[0] - roots[1]) / half
        middle, low, high, upper = np.exp(roots)
        estimate = Estimate(
            value=float(middle),
            stderr=float(middle * (roots[2] - roots[1]) / (2 * half)),
            ci95=(float(low), float(high)),
            method=f"{method}, {self.n_blocks} stretches of time",
            n_eff=float(self.events[..., 1::2].sum()),
        )
        return estimate, p_value, float(upper)

    def _root(self, quantile, start, guess):
        """Return ln of the ratio at which the score statistic is `quantile`; it falls as the ratio grows."""

        def gap(ln_ratio):
            return self._statistic(ln_ratio, start)[0] - quantile

        before, now = guess - 0.1, guess + 0.1
        at_before, at_now = gap(before), gap(now)
        for _ in range(_SECANTS):
            if not (at_now - at_before) * (now - before) < 0:
                break
            before, now = now, now - at_now * (now - before) / (at_now - at_before)
            if not abs(now) < _LARGEST_LN:
                break
            if abs(now - before) < _ROOT:
                return now
            at_before, at_now = at_now, gap(now)
        if gap(-_LARGEST_LN) < 0:
            return -np.inf
        if gap(_LARGEST_LN) > 0:
            return np.inf
        return optimize.brentq(gap, -_LARGEST_LN, _LARGEST_LN, xtol=_ROOT)


def _solved(matrix, right):
    """Return matrix^-1 right; levels that cannot be told apart within rotors get a ridge."""
    return np.linalg.solve(matrix + _RIDGE * (1 + np.trace(matrix)) * np.eye(len(matrix)), right)
