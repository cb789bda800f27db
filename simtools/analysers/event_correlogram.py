"""Do ions hop when rotors turn? Pairs of events in time and distance against shifted copies of each rotor."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.fft import irfft, rfft

from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.kernels import coupling as kernels
from simtools.analysers.shift_null import circular_shifts, stretch_count
from simtools.analysers.uncertainty import poisson_upper_limit
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity

__all__ = ["EventCorrelogram", "checked_runs", "event_correlogram", "in_stretches", "randomisation_p"]

_FEWEST_BINS = 20
_BAND = 0.95
_FEW_PAIRS = 20
_MOST_BLOCKS = 40
_WINDOWS_PER_BLOCK = 10


@dataclass(frozen=True, eq=False, kw_only=True)
class EventCorrelogram(Result):
    r"""Pairs of a rotation and a hop, by lag and distance, over what independent rotors give.

    .. math:: g_{RH}(\tau, r) = \frac{N(\text{rotation at } t,\ \text{hop at } t + \tau \text{ within } r)}
        {\langle N \rangle_\text{shifted}}

    Positive lags: the rotation came first.

    Attributes
    ----------
    lag_edges_ps, distance_edges_A
        Bins of the lag and of the distance from the rotor's centre to the middle of the hop.
    observed, expected
        Pairs in each bin, and their mean over shifts.
    band_low, band_high
        95 % of shifted copies lie within these in *all* bins at once.
    p_value
        Chance of a bin as far out of its expectation, anywhere, if every rotor were independent of the hops.
    common_p_value
        The same where all rotors are shifted together, which also keeps what rotors do to each other: where
        this is large and the first small, rotors turn in concert and the band is too narrow.
    window_ps
        Longest lag, before and after, of the numbers below; they count the nearest shell only.
    excess_hops_per_rotation : Estimate
        Hops within the window above expectation, per rotation.
    coupled_fraction : Estimate
        The same per hop near a rotor: the share of hops that come with a rotation beyond chance.
    excess_p_value, excess_common_p_value
        Two-sided, under both kinds of shift.
    excess_upper_limit, coupled_fraction_upper_limit
        One-sided 95 % limits: more coupling than this is excluded.
    lead : Estimate
        Pairs within the window in which the rotation came first less those in which the hop did, per
        rotation: positive where rotations lead.
    lead_p_value
        Two-sided. Interval and p are Student's over stretches of time: a common cause, which has no first and
        second, makes pairs come in clumps, and shifted copies do not know that.
    peak_lag_ps : float
        Middle of the bin of the nearest shell with the largest deviation in units of its spread.
    """

    n_rotations: int
    n_hops: int
    n_near_hops: int
    n_rotors: int
    n_runs: int
    n_shifts: int
    lag_edges_ps: np.ndarray = quantity("ps", shape="(n_lags + 1,)")
    distance_edges_A: np.ndarray = quantity("angstrom", shape="(n_shells + 1,)")
    observed: np.ndarray = quantity("1", shape="(n_shells, n_lags)")
    expected: np.ndarray = quantity("1", shape="(n_shells, n_lags)")
    band_low: np.ndarray = quantity("1", shape="(n_shells, n_lags)")
    band_high: np.ndarray = quantity("1", shape="(n_shells, n_lags)")
    p_value: float = quantity("1")
    common_p_value: float = quantity("1")
    window_ps: float = quantity("ps")
    excess_hops_per_rotation: Estimate = quantity("1")
    coupled_fraction: Estimate = quantity("1")
    excess_p_value: float = quantity("1")
    excess_common_p_value: float = quantity("1")
    excess_upper_limit: float = quantity("1")
    coupled_fraction_upper_limit: float = quantity("1")
    lead: Estimate = quantity("1")
    lead_p_value: float = quantity("1")
    peak_lag_ps: float = quantity("ps")

    @property
    def lags_ps(self):
        """Middles of the lag bins, ps."""
        return 0.5 * (self.lag_edges_ps[1:] + self.lag_edges_ps[:-1])

    @property
    def ratio(self):
        """g_RH, shape (n_shells, n_lags); nan where nothing is expected."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.expected > 0, self.observed / self.expected, np.nan)


def event_correlogram(
    runs: RotorHops | Sequence[RotorHops],
    *,
    distance_edges_A: Sequence[float],
    longest_lag_ps: float = 2.0,
    lag_bin_ps: float = 0.1,
    window_ps: float = 1.0,
    n_shifts: int = 1000,
    seed: int = 0,
) -> EventCorrelogram:
    """Return the correlogram of rotations and hops with its null.

    The null shifts all rotations of one rotor by one random time around each of up to eight stretches of the
    run (20 of the longest lags or more each). That keeps each rotor's rate, its bursts, its place among fast
    and slow ions and its slow changes as the run ages, and breaks only what ties it to single hops.
    Times must not be shuffled among rotors: with fast and slow regions that finds coupling where there is
    none.

    Parameters
    ----------
    runs
        From `common_events`; replicas add up.
    distance_edges_A
        Edges of shells about a rotor, the first usually 0, Å; the nearest one should hold the ions that
        touch it.
    longest_lag_ps, lag_bin_ps
        Range and width of lag bins, ps; the width should not be below the time between frames.
    window_ps
        Longest lag of the summed numbers, ps.
    n_shifts
        Shifted copies; the smallest p is 1/(n_shifts + 1).
    seed
        Seed of the shifts.

    Returns
    -------
    EventCorrelogram
        Intervals of excess numbers rest on the spread of shifted copies plus, for what is beyond expectation,
        Poisson's.

    Raises
    ------
    ConfigError
        For edges that do not increase, runs shorter than 20 of the longest lags, or options out of range.

    Notes
    -----
    Limits: independent processes, also with static or shared rates, give p evenly over (0, 1); a planted
    share of triggered hops is found with its lag. Stretches are taken as periodic, so every shift has the
    same number of pairs and the test is exact but for what straddles their ends.
    """
    replicas = checked_runs(runs)
    edges_A = np.asarray(distance_edges_A, dtype=float)
    if edges_A.ndim != 1 or len(edges_A) < 2 or not (np.diff(edges_A) > 0).all() or edges_A[0] < 0:
        raise ConfigError(
            f"distance_edges_A must be two or more that increase from 0, got {edges_A.tolist()}"
        )
    if not 0 < lag_bin_ps <= window_ps <= longest_lag_ps:
        raise ConfigError(
            "expected 0 < lag_bin_ps <= window_ps <= longest_lag_ps, got "
            f"{lag_bin_ps!r}, {window_ps!r}, {longest_lag_ps!r}"
        )
    if n_shifts < 1:
        raise ConfigError(f"n_shifts must be at least 1, got {n_shifts!r}")
    half = round(longest_lag_ps / lag_bin_ps)
    shortest = min(run.duration_ps for run in replicas)
    if shortest < _FEWEST_BINS * longest_lag_ps:
        raise ConfigError(
            f"a run of {shortest:g} ps is too short for lags of {longest_lag_ps:g} ps: expected 20 times that"
        )
    runs = in_stretches(replicas, longest_lag_ps)
    rng = np.random.default_rng(seed)
    n_lags, n_shells = 2 * half + 1, len(edges_A) - 1
    shape = (n_shifts + 1, n_shells, n_lags)
    own, common, leads = np.zeros(shape), np.zeros(shape), []
    n_near = 0
    longest = sum(run.duration_ps for run in runs) / (_WINDOWS_PER_BLOCK * window_ps)
    per_run = max(2, int(min(_MOST_BLOCKS, longest)) // len(runs))
    for run in runs:
        near = run.near(edges_A[-1])
        n_bins = max(n_lags, round(run.duration_ps / lag_bin_ps))
        together = circular_shifts(rng, n_shifts, 1, n_bins)[:, 0]
        order, first = run.rotations_by_rotor()
        turned = _bins(run.rotation_times_ps[order], run.duration_ps, n_bins)
        hopped = _bins(run.hop_times_ps[near.hops], run.duration_ps, n_bins)
        shell = np.searchsorted(edges_A, near.distances_A, side="right") - 1
        n_near += len(np.unique(near.hops[shell == 0]))
        nearest = np.flatnonzero(shell == 0)
        leads.append(_leads(run, near, nearest, window_ps, per_run))
        for rotor in range(run.n_rotors):
            hops = slice(near.first[rotor], near.first[rotor + 1])
            turns = turned[first[rotor] : first[rotor + 1]]
            alone = circular_shifts(rng, n_shifts, 1, n_bins)[:, 0]
            if len(turns) == 0 or hops.start == hops.stop:
                continue
            pairs = _circular_pairs(turns, hopped[hops], shell[hops], n_shells, n_bins)
            kernels.add_shifted(pairs, n_bins - half, n_lags, alone, own)
            kernels.add_shifted(pairs, n_bins - half, n_lags, together, common)
    leads = np.concatenate(leads)
    return _result(replicas, own, common, leads, edges_A, half, lag_bin_ps, window_ps, n_near, seed)


def checked_runs(runs):
    """Return runs as a tuple; refuse none."""
    runs = (runs,) if isinstance(runs, RotorHops) else tuple(runs)
    if not runs:
        raise ConfigError("expected the events of at least one run, got none")
    return runs


def in_stretches(runs, memory_ps):
    """Return the stretches of all runs in which rotors are shifted, 20 of `memory_ps` long at least."""
    return tuple(piece for run in runs for piece in run.stretches(stretch_count(run.duration_ps, memory_ps)))


def randomisation_p(values):
    """Return the two-sided p of the first value among draws of the null, which follow it.

    Deviations are from the mean of all, the first included, so that it is one among equals.
    """
    draws = values[1:]
    centre = values.mean()
    away = np.abs(draws - centre) >= abs(values[0] - centre) * (1 - 1e-12)
    return float((1 + away.sum()) / (len(draws) + 1))


def _bins(times_ps, duration_ps, n_bins):
    return np.minimum((times_ps / duration_ps * n_bins).astype(np.int64), n_bins - 1)


def _circular_pairs(turns, hops, shell, n_shells, n_bins):
    """Return pairs by shell and by bins from rotation to hop, around the run, int (n_shells, n_bins)."""
    if len(turns) * len(hops) < 8 * n_shells * n_bins:
        lags = (hops[None, :] - turns[:, None]) % n_bins
        flat = (shell[None, :] * n_bins + lags).ravel()
        return np.bincount(flat, minlength=n_shells * n_bins).reshape(n_shells, n_bins).astype(np.int32)
    spectrum = np.conj(rfft(np.bincount(turns, minlength=n_bins).astype(float)))
    seen = np.bincount(shell * n_bins + hops, minlength=n_shells * n_bins).reshape(n_shells, n_bins)
    return np.rint(irfft(spectrum * rfft(seen.astype(float)), n_bins)).astype(np.int32)


def _largest(counts):
    """Return the largest deviation of each draw, the run among them, in units of its bin's spread."""
    mean, spread = counts.mean(axis=0), counts.std(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.abs(counts - mean) / spread
    return np.where(spread > 0, away, 0.0).reshape(len(counts), -1).max(axis=1)


def _result(runs, own, common, leads, edges_A, half, lag_bin_ps, window_ps, n_near, seed):
    observed = own[0]
    expected, spread = own[1:].mean(axis=0), own[1:].std(axis=0)
    largest, common_largest = _largest(own), _largest(common)
    reach = np.quantile(largest[1:], _BAND)
    width = round(window_ps / lag_bin_ps)
    inside = slice(half - width, half + width + 1)
    excess, excess_common = (item[:, 0, inside].sum(axis=1) for item in (own, common))
    n_rotations = sum(run.n_rotations for run in runs)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.where(spread[0] > 0, (observed[0] - expected[0]) / spread[0], 0.0)
    lead, lead_p = _lead(leads, n_rotations)
    values = [_above(excess, scale) for scale in (n_rotations, n_near)]
    return EventCorrelogram(
        n_rotations=n_rotations,
        n_hops=sum(run.n_hops for run in runs),
        n_near_hops=int(n_near),
        n_rotors=sum(run.n_rotors for run in runs),
        n_runs=len(runs),
        n_shifts=len(own) - 1,
        lag_edges_ps=lag_bin_ps * (np.arange(-half, half + 2) - 0.5),
        distance_edges_A=edges_A,
        observed=observed,
        expected=expected,
        band_low=np.maximum(0.0, expected - reach * spread),
        band_high=expected + reach * spread,
        p_value=float((1 + (largest[1:] >= largest[0]).sum()) / len(largest)),
        common_p_value=float((1 + (common_largest[1:] >= common_largest[0]).sum()) / len(common_largest)),
        window_ps=lag_bin_ps * (width + 0.5),
        excess_hops_per_rotation=values[0],
        coupled_fraction=values[1],
        excess_p_value=randomisation_p(excess),
        excess_common_p_value=randomisation_p(excess_common),
        excess_upper_limit=_upper(excess, n_rotations),
        coupled_fraction_upper_limit=min(1.0, _upper(excess, n_near)),
        lead=lead,
        lead_p_value=lead_p,
        peak_lag_ps=float(lag_bin_ps * (int(deviation.argmax()) - half)),
        provenance=collect_provenance(
            longest_lag_ps=half * lag_bin_ps, lag_bin_ps=lag_bin_ps, n_shifts=len(own) - 1, seed=seed
        ),
    )


def _leads(run, near, nearest, window_ps, n_blocks):
    """Return hops after less hops before near rotations, summed over stretches of time, shape (n_blocks,)."""
    order, first = run.rotations_by_rotor()
    hop_first = np.searchsorted(nearest, near.first)
    hop_times = run.hop_times_ps[near.hops[nearest]]
    found = np.zeros(n_blocks)
    for rotor in range(run.n_rotors):
        hops = hop_times[hop_first[rotor] : hop_first[rotor + 1]]
        turns = run.rotation_times_ps[order[first[rotor] : first[rotor + 1]]]
        start, now, end = (
            np.searchsorted(hops, turns + lag, side="left") for lag in (-window_ps, 0.0, window_ps)
        )
        block = np.minimum((turns / run.duration_ps * n_blocks).astype(int), n_blocks - 1)
        found += np.bincount(block, weights=end - 2 * now + start, minlength=n_blocks)
    return found


def _lead(leads, n_rotations):
    """Return the lead per rotation with Student's interval over stretches of time, and its p."""
    scale, n = max(n_rotations, 1), len(leads)
    error = np.sqrt(n * leads.var(ddof=1))
    total = leads.sum()
    half = stats.t.ppf(0.975, n - 1) * error
    p_value = float(2 * stats.t.sf(abs(total) / error, n - 1)) if error > 0 else 1.0
    estimate = Estimate(
        value=float(total / scale),
        stderr=float(error / scale),
        ci95=(float((total - half) / scale), float((total + half) / scale)),
        method=f"hops after less hops before, {n} stretches of time, Student",
        n_eff=float(n),
    )
    return estimate, p_value


def _above(values, scale):
    """Return what is above the null's mean, over `scale`: its spread, and Poisson's of the excess."""
    scale = max(scale, 1)
    above = values[0] - values[1:].mean()
    error = np.sqrt(values[1:].var() + abs(above))
    half = stats.norm.ppf(0.975) * error
    return Estimate(
        value=float(above / scale),
        stderr=float(error / scale),
        ci95=(float((above - half) / scale), float((above + half) / scale)),
        method="pairs above circular shifts of each rotor",
        n_eff=float(scale),
    )


def _upper(values, scale):
    """Return the one-sided 95 % limit of what is above the null's mean, over `scale`; Poisson's if few."""
    if scale == 0:
        return float("inf")
    above = _above(values, scale)
    limit = max(above.value, 0.0) + stats.norm.ppf(_BAND) * above.stderr
    if values[0] < _FEW_PAIRS:
        limit = max(limit, (poisson_upper_limit(int(values[0])) - values[1:].mean()) / scale)
    return float(max(0.0, limit))
