"""How often vacancies or dumbbells jump, how far they get, how long they live. Tracks: defect_tracks.py."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from simtools.analysers.defect_tracks import VACANCY, DefectTracks
from simtools.analysers.jump_rates import poisson_rate
from simtools.analysers.trapping import ESCAPE_HOPS, Escapes
from simtools.analysers.uncertainty import log_interval, poisson_upper_limit
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import A2_PER_PS_TO_CM2_PER_S

__all__ = ["DefectDiffusion", "defect_diffusion"]

_LAG_JUMPS = 2.0
_GRID = 4
_FEWEST_STRETCHES = 8
_SHARE_FOLLOWED = 0.5
_SIGNIFICANT = 2.0
_MANY_FOR_A_LIMIT = 32


@dataclass(frozen=True, eq=False, kw_only=True)
class DefectDiffusion(Result):
    """Jumps, diffusivity and life of one kind of defect.

    Attributes
    ----------
    kind : str
        "vacancy" or "dumbbell".
    n_defects, n_jumps, n_replicas : int
        What was followed.
    defect_time_ps
        Life of all of them together.
    mean_number
        Their number per frame, averaged.
    jump_rate : Estimate
        Jumps per defect and ps; an upper limit where none was seen.
    diffusivity_cm2_per_s : Estimate
        Of the defect itself, from the growth of its mean squared displacement on sites; with too few jumps
        an upper limit, that of as many unrelated jumps.
    correlation_factor : Estimate or None
        D over that of as many unrelated jumps: 1 for a walk without memory, below where the defect is bound
        or trapped; None where D is a limit.
    annihilation_rate, creation_rate : Estimate
        Ends per defect and ps, and pairs that appear per ps and replica.
    lag_ps
        Displacements are compared at this lag and at half of it.
    """

    kind: str
    species: str
    n_defects: int
    n_jumps: int
    n_replicas: int
    defect_time_ps: float = quantity("ps")
    mean_number: float = quantity("1")
    jump_rate: Estimate = quantity("1/ps")
    diffusivity_cm2_per_s: Estimate = quantity("cm^2/s")
    correlation_factor: Estimate | None = quantity("1")
    annihilation_rate: Estimate = quantity("1/ps")
    creation_rate: Estimate = quantity("1/ps")
    lag_ps: float = quantity("ps")


def defect_diffusion(
    tracks: DefectTracks | Sequence[DefectTracks], *, kind: str, lag_ps: float | None = None
) -> DefectDiffusion:
    r"""Return how one kind of defect moves.

    .. math:: D = \frac{\mathrm{MSD}(\tau) - \mathrm{MSD}(\tau/2)}{6\,\tau/2}

    Parameters
    ----------
    tracks
        From `follow_defects`: one run, or replicas.
    kind
        "vacancy" or "dumbbell".
    lag_ps
        τ, ps; by default the time of two jumps, doubled as long as the slope at longer lags is lower by more
        than two standard errors: a defect that is bound goes to and fro for longer.

    Returns
    -------
    DefectDiffusion
        The error of D is the scatter over stretches of time of twice the lag, the interval Student's for its
        logarithm.

    Raises
    ------
    ConfigError
        If there never was such a defect, replicas are of different species, or `lag_ps` is longer than
        defects live.

    Notes
    -----
    Limits: a lone vacancy or dumbbell with rate ν to each of z sites at distance a has D = z ν a²/6 and a
    correlation factor of 1 (the tracer's is 0.69 for the vacancy on the X3 sublattice of cubic X3BA).
    A vacancy that circles a trap has a limit. So has what jumps too little to look at two lags (about 64
    jumps are needed), a defect whose slope falls up to the longest lag, and kinds that live, for over half
    of their time, shorter than twice the lag and so say nothing about D.
    """
    parts = (tracks,) if isinstance(tracks, DefectTracks) else tuple(tracks)
    species = {part.species for part in parts}
    if len(species) != 1:
        raise ConfigError(f"expected tracks of one species, got {', '.join(sorted(species)) or 'none'}")
    members = [part.of_kind(kind) for part in parts]
    time_ps = sum(part.defect_time_ps(kind) for part in parts)
    if not time_ps > 0:
        raise ConfigError(f"there is no {kind} of {species.pop()} to follow in any frame")
    squares = [_squares(part, which) for part, which in zip(parts, members, strict=True)]
    n_jumps = sum(len(item) for item in squares)
    rate = poisson_rate(n_jumps, time_ps)
    spacing_A = max(part.spacing_A for part in parts)
    square_A2 = float(np.concatenate(squares).mean()) if n_jumps else spacing_A**2
    if lag_ps is not None and not lag_ps > 0:
        raise ConfigError(f"lag_ps must be positive, got {lag_ps!r}")
    slope, why = _settled_slope(parts, members, n_jumps, time_ps, lag_ps)
    escapes = _escapes(parts, members, spacing_A)
    if slope.n and not why and escapes.verdict(slope.value * time_ps):
        why = f"bound or trapped, it got farther than two hops {escapes.n_escapes} times"
    diffusivity, factor = _diffusivity(slope, why, n_jumps, time_ps, square_A2)
    run_ps = sum(float(part.times_ps[-1]) for part in parts)
    ends = sum(int(part.annihilated[which].sum()) for part, which in zip(parts, members, strict=True))
    return DefectDiffusion(
        kind=kind,
        species=species.pop(),
        n_defects=sum(len(which) for which in members),
        n_jumps=n_jumps,
        n_replicas=len(parts),
        defect_time_ps=time_ps,
        mean_number=float(
            np.concatenate(
                [part.n_vacancies if kind == VACANCY else part.n_dumbbells for part in parts]
            ).mean()
        ),
        jump_rate=rate,
        diffusivity_cm2_per_s=diffusivity,
        correlation_factor=factor,
        annihilation_rate=poisson_rate(ends, time_ps),
        creation_rate=poisson_rate(sum(part.n_pairs_created for part in parts), run_ps),
        lag_ps=slope.lag_ps,
        provenance=collect_provenance(kind=kind, lag_ps=lag_ps),
    )


def _squares(part, which):
    return np.square(part.jump_vectors_A[np.isin(part.jump_defects, which)]).sum(axis=1)


def _escapes(parts, members, spacing_A):
    """Return how often the defects got farther than across the shell of sites around a trap."""
    length_A, n_escapes = ESCAPE_HOPS * spacing_A, 0
    for part, which in zip(parts, members, strict=True):
        for defect in which:
            anchor = here = np.zeros(3)
            for vector in part.jumps_of(defect)[1]:
                here = here + vector
                if np.linalg.norm(here - anchor) > length_A:
                    anchor, n_escapes = here, n_escapes + 1
    n_defects = sum(len(which) for which in members)
    return Escapes(n_vacancies=n_defects, n_escapes=n_escapes, n_far_ions=0, length_A=length_A)


@dataclass(frozen=True)
class _Slope:
    """6 D at one lag, Å²/ps, from stretches of time; `bound` is the 95 % limit from above at the first lag.

    Slopes fall with the lag where jumps are undone later, so that bound holds for D, and is no fluctuation
    that was chosen because it is low.
    """

    value: float
    error: float
    n: int
    lag_ps: float
    bound: float = 0.0


def _settled_slope(parts, members, n_jumps, time_ps, lag_ps):
    """Return the slope at the first lag from which on it does not fall, and why it is only a limit, if so."""
    if lag_ps is not None:
        slope = _slope(parts, members, time_ps, lag_ps)
        return slope, "" if slope.n else "too few for a slope"
    first = _LAG_JUMPS * time_ps / max(n_jumps, 1)
    ladder = []
    while not ladder or ladder[-1].n:
        ladder.append(_slope(parts, members, time_ps, first * 2 ** len(ladder)))
    ladder = ladder[:-1] or ladder
    if len(ladder) < 2:
        return replace(ladder[0], n=0), "too few to know whether jumps back have died out"
    chosen = 0
    while any(_falls(ladder[chosen], longer) for longer in ladder[chosen + 1 :]):
        chosen += 1
    why = "the slope still falls at the longest usable lag" if chosen and chosen == len(ladder) - 1 else ""
    return replace(ladder[chosen], bound=ladder[0].bound), why


def _falls(shorter, longer):
    return shorter.value - longer.value > 2 * np.hypot(shorter.error, longer.error)


def _slope(parts, members, time_ps, lag_ps):
    """Return the `_Slope` at one lag; of no stretches where there are too few of them."""
    slopes, weights = _stretches(parts, members, lag_ps)
    if len(slopes) < _FEWEST_STRETCHES or 2 * lag_ps * len(slopes) < _SHARE_FOLLOWED * time_ps:
        return _Slope(0.0, 0.0, 0, float(lag_ps))
    share = weights / weights.sum()
    value = float(share @ slopes)
    variance = float(share**2 @ (slopes - value) ** 2) * len(slopes) / (len(slopes) - 1)
    error = float(np.sqrt(variance))
    bound = max(value, 0.0) + float(stats.t.ppf(0.95, len(slopes) - 1)) * error
    return _Slope(value, error, len(slopes), float(lag_ps), bound)


def _stretches(parts, members, lag_ps):
    """Return 6 D of every stretch of at least twice the lag, Å²/ps, and its length, ps."""
    slopes, weights = [], []
    for part, which in zip(parts, members, strict=True):
        for defect in which:
            born, gone = part.born_ps[defect], part.gone_ps[defect]
            n = int((gone - born) / (2 * lag_ps) * (1 + 1e-12))
            if n == 0:
                continue
            length = (gone - born) / n
            step = lag_ps / (2 * _GRID)
            per_stretch = int(length / step * (1 + 1e-12)) + 1
            when, vectors = part.jumps_of(defect)
            path = np.concatenate([np.zeros((1, 3)), np.cumsum(vectors, axis=0)])
            starts = born + length * np.arange(n)
            grid = starts[:, None] + step * np.arange(per_stretch)
            r_sgc = path[np.searchsorted(when, grid.ravel(), side="right")].reshape(n, per_stretch, 3)
            far, near = (
                np.square(r_sgc[:, lag:] - r_sgc[:, :-lag]).sum(axis=2).mean(axis=1)
                for lag in (2 * _GRID, _GRID)
            )
            slopes.extend((far - near) / (lag_ps / 2))
            weights.extend([length] * n)
    return np.array(slopes), np.array(weights)


def _diffusivity(slope, why, n_jumps, time_ps, square_A2):
    unit = A2_PER_PS_TO_CM2_PER_S / 6
    unrelated = n_jumps / time_ps * square_A2
    if slope.n == 0 or not n_jumps:
        # whether there is a value depends on the count itself: near that border low counts are picked out
        level = 0.975 if n_jumps > _MANY_FOR_A_LIMIT else 0.95
        bound = poisson_upper_limit(n_jumps, level=level) / time_ps * square_A2
        method = f"Poisson limit of unrelated jumps; {n_jumps} jumps are {why or 'too few for a slope'}"
        return Estimate.limit(bound * unit, method=method, n_eff=float(n_jumps)), None
    method = (
        f"slope of the defect's MSD, {slope.lag_ps / 2:.4g} to {slope.lag_ps:.4g} ps; scatter over stretches"
    )
    if why or not slope.value > _SIGNIFICANT * slope.error:
        method = f"{why or 'no significant slope'}: limit from the slope at the first lag"
        return Estimate.limit(slope.bound * unit, method=method, n_eff=float(slope.n)), None
    low, high = log_interval(slope.value, (slope.error / slope.value) ** 2, slope.n - 1)
    estimate = Estimate(
        value=slope.value, stderr=slope.error, ci95=(low, high), method=method, n_eff=float(slope.n)
    )
    return estimate.scaled(unit), estimate.scaled(1 / unrelated)
