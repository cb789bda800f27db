"""What is beside a rotor: vacancies, ions, and where its dipole points. Levels for hazard.py."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.event_correlogram import randomisation_p
from simtools.analysers.kernels import coupling as kernels
from simtools.analysers.orientations import Orientations, rotation_vectors
from simtools.analysers.sites import ions_on_sites, site_occupation
from simtools.core.errors import ConfigError
from simtools.core.periodic import cell_heights_A
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.md.trajectory import Trajectory

__all__ = [
    "DipoleToVacancies",
    "TiltAtHops",
    "checked_cells",
    "coordination_levels",
    "dipole_to_vacancies",
    "directions_to_vacancies",
    "ions_near",
    "tilt_at_hops",
    "vacancies_near",
    "vacancy_positions",
]

_MOST_VACANCIES = 3
_SMALL_DEG = 45.0
_N_COSINES = 20
_MOST_FRAMES = 4000


def ions_near(
    trajectory: Trajectory, orientations: Orientations, *, mobile: str, radius_A: float
) -> np.ndarray:
    """Return how many ions are within `radius_A` of each rotor's centre, shape (n_frames, n_rotors)."""
    return _count(trajectory.positions_of(mobile), orientations, trajectory.cells_A, radius_A)


def coordination_levels(counts: np.ndarray) -> np.ndarray:
    """Return 0, 1 or 2 where there are fewer ions than usual (the median of all), as many, or more."""
    usual = np.median(counts)
    return (1 + np.sign(counts - usual)).astype(np.int8)


def vacancy_positions(trajectory: Trajectory, *, mobile: str) -> np.ndarray:
    """Return where the vacancies of one sublattice are, shape (n_frames, n_vacancies, 3), Å.

    In the frame of the trajectory: sites follow the host (see `site_occupation`).

    Raises
    ------
    ConfigError
        If the trajectory carries no sites or has no vacancies.
    """
    occupation = site_occupation(trajectory, species=mobile)
    if occupation.vacancies.shape[1] == 0:
        raise ConfigError(f"there are no vacancies among the sites of {mobile}")
    sited = ions_on_sites(trajectory, species=mobile)
    cells = np.broadcast_to(trajectory.cells_A, (trajectory.n_frames, 3, 3))
    first = sited.atom_indices[0]
    scaled = np.einsum("tc,tcd->td", trajectory.positions_A[:, first], np.linalg.inv(cells))
    drift = scaled - sited.scaled_positions[:, 0]
    places = sited.scaled_sites[occupation.vacancies] + drift[:, None]
    return np.einsum("tvc,tcd->tvd", places, cells)


def vacancies_near(vacancies_A: np.ndarray, orientations: Orientations, *, radius_A: float) -> np.ndarray:
    """Return how many vacancies are within `radius_A` of each rotor, 3 at most, (n_frames, n_rotors)."""
    counts = _count(vacancies_A, orientations, orientations.cells_A, radius_A)
    return np.minimum(counts, _MOST_VACANCIES)


def _count(r_tnc, orientations, cells_A, radius_A):
    cells = checked_cells(cells_A, radius_A)
    counts = np.zeros((len(r_tnc), orientations.n_rotors), dtype=np.int8)
    centres = np.ascontiguousarray(orientations.centres_A)
    kernels.count_near(np.ascontiguousarray(r_tnc), centres, cells, np.linalg.inv(cells), radius_A, counts)
    return counts


def checked_cells(cells_A, radius_A: float) -> np.ndarray:
    """Return cells of shape (n, 3, 3); refuse a radius over half the smallest height of any."""
    cells = np.ascontiguousarray(np.reshape(cells_A, (-1, 3, 3)))
    room_A = 0.5 * min(float(cell_heights_A(cell).min()) for cell in cells)
    if not 0 < radius_A <= room_A:
        raise ConfigError(f"radius_A must be positive and at most {room_A:.4g} Å here, got {radius_A!r}")
    return cells


@dataclass(frozen=True, eq=False, kw_only=True)
class DipoleToVacancies(Result):
    """Angle between a linear rotor and the vacancies beside it.

    Attributes
    ----------
    cosine : Estimate
        Mean cosine between the bond and the direction to a near vacancy, above that of shifted rotors: 0
        where the rotor does not know of the vacancy, positive where its end points there.
    mean_cosine, null_cosine : float
        The mean itself, and over shifts.
    p_value
        Two-sided.
    cosine_edges, counts, null_counts
        Histogram of the cosine, and its mean over shifts.
    """

    n_pairs: int
    n_shifts: int
    radius_A: float = quantity("angstrom")
    cosine: Estimate = quantity("1")
    mean_cosine: float = quantity("1")
    null_cosine: float = quantity("1")
    p_value: float = quantity("1")
    cosine_edges: np.ndarray = quantity("1", shape="(n_bins + 1,)")
    counts: np.ndarray = quantity("1", shape="(n_bins,)")
    null_counts: np.ndarray = quantity("1", shape="(n_bins,)")


def dipole_to_vacancies(
    orientations: Orientations | Sequence[Orientations],
    vacancies_A: np.ndarray | Sequence[np.ndarray],
    *,
    radius_A: float,
    n_shifts: int = 200,
    seed: int = 0,
) -> DipoleToVacancies:
    """Return whether linear rotors point to the vacancies beside them.

    Parameters
    ----------
    orientations
        Linear rotors, of one run or of each replica.
    vacancies_A
        From `vacancy_positions`, of the same.
    radius_A
        Vacancies within this of a rotor count, Å.
    n_shifts, seed
        Circular shifts of each rotor, as in `event_correlogram`: they keep which directions it prefers.

    Raises
    ------
    ConfigError
        For rotors that are not linear, or no vacancy near any.

    Notes
    -----
    Limit: a rotor that always points to its vacancy has a mean cosine of 1.
    """
    parts = (orientations,) if isinstance(orientations, Orientations) else tuple(orientations)
    places = (vacancies_A,) if isinstance(vacancies_A, np.ndarray) else tuple(vacancies_A)
    edges = np.linspace(-1, 1, _N_COSINES + 1)
    sums, histograms = np.zeros(n_shifts + 1), np.zeros((n_shifts + 1, _N_COSINES))
    rng = np.random.default_rng(seed)
    n_pairs = 0
    for part, vacancies in zip(parts, places, strict=True):
        u, frames, rotors, directions, _ = directions_to_vacancies(part, vacancies, radius_A=radius_A)
        n_pairs += len(frames)
        for draw in range(n_shifts + 1):
            shift = rng.integers(0, len(u), size=part.n_rotors) if draw else np.zeros(1, dtype=int)
            moved = (frames + (shift[rotors] if draw else 0)) % len(u)
            cosine = np.einsum("pc,pc->p", u[moved, rotors], directions)
            sums[draw] += cosine.sum()
            histograms[draw] += np.histogram(cosine, edges)[0]
    if n_pairs == 0:
        raise ConfigError(f"no vacancy comes within {radius_A:g} Å of a rotor: expected a larger radius_A")
    means = sums / n_pairs
    spread, null = means[1:].std(), means[1:].mean()
    half = stats.norm.ppf(0.975) * spread
    value = means[0] - null
    return DipoleToVacancies(
        n_pairs=n_pairs,
        n_shifts=n_shifts,
        radius_A=float(radius_A),
        cosine=Estimate(
            value=float(value),
            stderr=float(spread),
            ci95=(float(value - half), float(value + half)),
            method="mean cosine above circular shifts of each rotor",
            n_eff=float(n_pairs),
        ),
        mean_cosine=float(means[0]),
        null_cosine=float(null),
        p_value=randomisation_p(means),
        cosine_edges=edges,
        counts=histograms[0],
        null_counts=histograms[1:].mean(axis=0),
        provenance=collect_provenance(radius_A=radius_A, n_shifts=n_shifts, seed=seed),
    )


def directions_to_vacancies(
    orientations: Orientations, vacancies_A: np.ndarray, *, radius_A: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the bonds of linear rotors and where the vacancies beside them are, 4000 frames at most.

    Parameters
    ----------
    orientations, vacancies_A
        Of one run, as for `dipole_to_vacancies`.
    radius_A
        Vacancies within this of a rotor count, Å.

    Returns
    -------
    tuple of ndarray
        Bonds, shape (n_kept, n_rotors, 3), and for every pair of a rotor and a near vacancy the frame (of
        those kept), the rotor, the direction (n_pairs, 3) and the distance, Å. Pairs are in order of rotors.

    Raises
    ------
    ConfigError
        For rotors that are not linear, or a radius over half the smallest height of the cell.
    """
    if not orientations.is_linear:
        raise ConfigError(f"{orientations.name} has no axis to point with: expected linear rotors")
    cells = checked_cells(orientations.cells_A, radius_A)
    stride = max(1, orientations.n_frames // _MOST_FRAMES)
    u = orientations.points()[::stride]
    centres, vacancies = orientations.centres_A[::stride], vacancies_A[::stride]
    cells = np.broadcast_to(cells, (orientations.n_frames, 3, 3))[::stride]
    inverse = np.linalg.inv(cells)
    found = []
    for rotor in range(orientations.n_rotors):
        gaps = np.einsum("tvc,tcd->tvd", vacancies - centres[:, rotor, None], inverse)
        gaps = np.einsum("tvc,tcd->tvd", gaps - np.round(gaps), cells)
        length = np.linalg.norm(gaps, axis=-1)
        t, v = np.nonzero((length <= radius_A) & (length > 0))
        found.append((t, np.full(len(t), rotor), gaps[t, v] / length[t, v][:, None], length[t, v]))
    frames, rotors, directions, lengths = (np.concatenate(item) for item in zip(*found, strict=True))
    return u, frames, rotors, directions, lengths


@dataclass(frozen=True, eq=False, kw_only=True)
class TiltAtHops(Result):
    """How far rotors turn about the time of a hop beside them, large rotations left out.

    Attributes
    ----------
    lags_ps, tilts_deg
        Mean angle between the orientations `span_ps` apart, centred that long after the hop (negative:
        before), over hops and near rotors; angles over 45 degrees are left out.
    band_low_deg, band_high_deg
        95 % of circular shifts of each rotor, lag by lag.
    excess : Estimate
        Mean over lags within `window_ps` above that of shifts, degrees.
    p_value
        Two-sided.
    """

    n_pairs: int
    n_shifts: int
    span_ps: float = quantity("ps")
    window_ps: float = quantity("ps")
    lags_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    tilts_deg: np.ndarray = quantity("degree", shape="(n_lags,)")
    band_low_deg: np.ndarray = quantity("degree", shape="(n_lags,)")
    band_high_deg: np.ndarray = quantity("degree", shape="(n_lags,)")
    excess: Estimate | None = quantity("degree")
    p_value: float = quantity("1")


def tilt_at_hops(
    orientations: Orientations | Sequence[Orientations],
    runs: RotorHops | Sequence[RotorHops],
    *,
    radius_A: float,
    span_ps: float = 0.5,
    longest_lag_ps: float = 2.0,
    window_ps: float = 0.5,
    n_shifts: int = 200,
    seed: int = 0,
) -> TiltAtHops:
    """Return whether rotors tilt more when an ion hops beside them: the soft cradle.

    Parameters
    ----------
    orientations, runs
        Of one trajectory (`common_events`), or of each replica; all hops count alike.
    radius_A
        Hops whose middle is within this of a rotor are near it, Å.
    span_ps
        Time over which a tilt is measured, ps.
    longest_lag_ps, window_ps
        Range of the profile, and of the tested mean, ps.
    n_shifts, seed
        Circular shifts of each rotor, as in `event_correlogram`.

    Notes
    -----
    Limit: rotors that do not know of hops have no excess. A vacancy that comes by can make rotors tilt and
    ions hop, too.
    """
    parts = (orientations,) if isinstance(orientations, Orientations) else tuple(orientations)
    runs = (runs,) if isinstance(runs, RotorHops) else tuple(runs)
    interval_ps = parts[0].frame_interval_ps
    half = max(1, round(0.5 * span_ps / interval_ps))
    reach = round(longest_lag_ps / interval_ps)
    stride = max(1, reach // 20)
    steps = np.arange(-(reach // stride), reach // stride + 1) * stride
    inside = np.abs(steps) * interval_ps <= window_ps
    rng = np.random.default_rng(seed)
    sums, weights = np.zeros((n_shifts + 1, len(steps))), np.zeros((n_shifts + 1, len(steps)))
    n_pairs = 0
    for part, run in zip(parts, runs, strict=True):
        n_pairs += _add_tilts(part, run, radius_A, half, steps, rng, sums, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        profiles = sums / weights
        means = sums[:, inside].sum(axis=1) / weights[:, inside].sum(axis=1)
    if n_pairs == 0 or not np.isfinite(means).all():
        excess, p_value = None, 1.0
        low = high = np.full(len(steps), np.nan)
    else:
        spread, value = means[1:].std(), means[0] - means[1:].mean()
        width = stats.norm.ppf(0.975) * spread
        excess = Estimate(
            value=float(value),
            stderr=float(spread),
            ci95=(float(value - width), float(value + width)),
            method="mean tilt above circular shifts of each rotor",
            n_eff=float(n_pairs),
        )
        p_value = randomisation_p(means)
        low, high = np.nanpercentile(profiles[1:], [2.5, 97.5], axis=0)
    return TiltAtHops(
        n_pairs=n_pairs,
        n_shifts=n_shifts,
        span_ps=2 * half * interval_ps,
        window_ps=float(window_ps),
        lags_ps=steps * interval_ps,
        tilts_deg=profiles[0],
        band_low_deg=low,
        band_high_deg=high,
        excess=excess,
        p_value=p_value,
        provenance=collect_provenance(radius_A=radius_A, span_ps=span_ps, n_shifts=n_shifts, seed=seed),
    )


def _add_tilts(orientations, run, radius_A, half, steps, rng, sums, weights):
    """Add the tilts about the hops of one run, as seen and shifted; return the number of pairs."""
    interval_ps = orientations.frame_interval_ps
    x = orientations.points()
    first, last = round(run.start_ps / interval_ps), round((run.start_ps + run.duration_ps) / interval_ps)
    frames = np.arange(max(first, half), min(last, len(x) - half))
    tilt = np.degrees(np.linalg.norm(rotation_vectors(x[frames - half], x[frames + half]), axis=-1))
    small = tilt < _SMALL_DEG
    tilt = np.where(small, tilt, 0.0)
    near = run.near(radius_A)
    rotors = np.repeat(np.arange(run.n_rotors), np.diff(near.first))
    times = np.rint((run.hop_times_ps[near.hops] + run.start_ps) / interval_ps).astype(int) - frames[0]
    for draw in range(len(sums)):
        shift = rng.integers(0, len(tilt), size=run.n_rotors) if draw else np.zeros(run.n_rotors, dtype=int)
        place = (times + shift[rotors])[:, None] + steps[None, :]
        place %= len(tilt)
        sums[draw] += tilt[place, rotors[:, None]].sum(axis=0)
        weights[draw] += small[place, rotors[:, None]].sum(axis=0)
    return len(times)
