"""How often vacancies or dumbbells jump, how far they get, how long they live. Tracks: defect_tracks.py."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simtools.analysers.defect_tracks import VACANCY, DefectTracks
from simtools.analysers.jump_rates import poisson_rate
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
        τ, ps; by default the time of two jumps. Longer where jumps back take longer to die out.

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
    correlation factor of 1 (the tracer's is 0.69 for the vacancy on the X3 sublattice of cubic X3BA). Defects
    that live shorter than twice the lag say nothing about D; where that is over half of their time, D is a
    limit.
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
    if lag_ps is None:
        lag_ps = _LAG_JUMPS * time_ps / max(n_jumps, 1)
    elif not lag_ps > 0:
        raise ConfigError(f"lag_ps must be positive, got {lag_ps!r}")
    slopes, weights = _stretches(parts, members, lag_ps)
    diffusivity, factor = _diffusivity(
        slopes, weights, n_jumps, time_ps, square_A2, lag_ps, followed=2 * lag_ps * len(slopes) / time_ps
    )
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
        lag_ps=float(lag_ps),
        provenance=collect_provenance(kind=kind, lag_ps=lag_ps),
    )


def _squares(part, which):
    return np.square(part.jump_vectors_A[np.isin(part.jump_defects, which)]).sum(axis=1)


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


def _diffusivity(slopes, weights, n_jumps, time_ps, square_A2, lag_ps, followed):
    unit = A2_PER_PS_TO_CM2_PER_S / 6
    unrelated = n_jumps / time_ps * square_A2
    if len(slopes) >= _FEWEST_STRETCHES and n_jumps and followed >= _SHARE_FOLLOWED:
        share = weights / weights.sum()
        value = float(share @ slopes)
        variance = float(share**2 @ (slopes - value) ** 2) * len(slopes) / (len(slopes) - 1)
        if value > 2 * np.sqrt(variance):
            low, high = log_interval(value, variance / value**2, len(slopes) - 1)
            method = f"slope of the defect's MSD, {lag_ps / 2:.4g} to {lag_ps:.4g} ps; scatter over stretches"
            estimate = Estimate(
                value=value,
                stderr=float(np.sqrt(variance)),
                ci95=(low, high),
                method=method,
                n_eff=float(len(slopes)),
            )
            return estimate.scaled(unit), estimate.scaled(1 / unrelated)
    bound = poisson_upper_limit(n_jumps) / time_ps * square_A2
    why = f"{n_jumps} jumps in {len(slopes)} stretches of time are too few for a slope"
    return Estimate.limit(
        bound * unit, method=f"Poisson limit of unrelated jumps; {why}", n_eff=float(n_jumps)
    ), None
