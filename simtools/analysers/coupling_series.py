"""Angles of rotors against displacements of the ions beside them: conditional displacement, information."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.event_correlogram import checked_runs, randomisation_p
from simtools.analysers.kernels import coupling as kernels
from simtools.analysers.orientations import Orientations, rotation_vectors
from simtools.analysers.shift_null import circular_shifts, correlation_steps, stretch_slices, upper_p
from simtools.analysers.uncertainty import normal_estimate
from simtools.core.errors import ConfigError, ShapeError
from simtools.core.periodic import cell_heights_A
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.md.trajectory import Trajectory

__all__ = [
    "ConditionalDisplacement",
    "InformationFlow",
    "RotorSeries",
    "conditional_displacement",
    "information_flow",
    "rotor_series",
]

_ANGLE_EDGES_DEG = (10.0, 20.0, 30.0, 45.0, 90.0)
_SMALL_DEG = 45.0
_N_QUANTILES = 4


@dataclass(frozen=True, eq=False)
class RotorSeries:
    """What each rotor and the ions beside it did in successive steps of time.

    Attributes
    ----------
    angles_rad : ndarray
        Angle between the orientations at the ends of each step, shape (n_steps, n_rotors).
    displacements_A2 : ndarray
        Mean squared displacement over the step of the ions that were near at its start; -1 where none was.
    step_ps : float
    """

    angles_rad: np.ndarray
    displacements_A2: np.ndarray
    step_ps: float

    def __post_init__(self):
        if self.angles_rad.ndim != 2 or self.displacements_A2.shape != self.angles_rad.shape:
            raise ShapeError(
                "angles_rad and displacements_A2",
                "(n_steps, n_rotors)",
                (self.angles_rad.shape, self.displacements_A2.shape),
            )


def rotor_series(
    orientations: Orientations, trajectory: Trajectory, *, mobile: str, radius_A: float, step_ps: float = 1.0
) -> RotorSeries:
    """Return angles of rotors and displacements of the ions near them, in steps that do not overlap.

    Parameters
    ----------
    orientations
        Of the same trajectory.
    trajectory
        Unwrapped, in the frame of its host.
    mobile
        The ion.
    radius_A
        Distance from a rotor's centre within which ions are near, Å.
    step_ps
        Length of a step, ps: about the time of a hop.

    Raises
    ------
    ConfigError
        For a step under one frame or over a tenth of the run, or a radius over half the smallest height.
    """
    stride = round(step_ps / trajectory.frame_interval_ps)
    if stride < 1 or trajectory.n_frames < 10 * stride + 1:
        raise ConfigError(
            f"steps of {step_ps:g} ps do not fit {trajectory.n_frames} frames of "
            f"{trajectory.frame_interval_ps:g} ps: expected one frame to a tenth of the run"
        )
    cells = np.ascontiguousarray(trajectory.cells_A.reshape(-1, 3, 3))
    room_A = 0.5 * min(float(cell_heights_A(cell).min()) for cell in cells)
    if not 0 < radius_A <= room_A:
        raise ConfigError(f"radius_A must be positive and at most {room_A:.4g} Å here, got {radius_A!r}")
    x = orientations.points()[::stride]
    r_tnc = np.ascontiguousarray(trajectory.positions_of(mobile)[::stride])
    centres = np.ascontiguousarray(orientations.centres_A[::stride][:-1])
    if len(cells) > 1:
        cells = np.ascontiguousarray(cells[::stride])
    values = np.empty((len(x) - 1, orientations.n_rotors))
    kernels.near_squares(r_tnc[:-1], r_tnc[1:], centres, cells, np.linalg.inv(cells), radius_A, values)
    angles = np.linalg.norm(rotation_vectors(x[:-1], x[1:]), axis=-1)
    return RotorSeries(angles, values, stride * trajectory.frame_interval_ps)


@dataclass(frozen=True, eq=False, kw_only=True)
class ConditionalDisplacement(Result):
    """Displacement of ions beside rotors that turned by so much, over that beside all.

    Attributes
    ----------
    angle_edges_deg
        Classes of the angle: below the first, between, above the last.
    ratios
        Mean squared displacement in each class over that of all; nan where no rotor turned so far.
    band_low, band_high
        95 % of circular shifts of each rotor, class by class.
    large : Estimate or None
        The ratio beside rotors that turned by over 45 degrees; None where none did.
    large_p_value, small_p_value
        Two-sided p of that ratio, and of the covariance of angle and displacement among angles below 45
        degrees: small-angle motion that goes with ions.
    small_correlation : Estimate
        Correlation of angle and class of displacement below 45 degrees.
    mutual_information : Estimate
        Of angle class and quartile of displacement, less its mean over shifts, bit.
    information_p_value
        One-sided, against shifts.
    """

    n_steps: int
    n_shifts: int
    step_ps: float = quantity("ps")
    angle_edges_deg: np.ndarray = quantity("degree", shape="(n_edges,)")
    ratios: np.ndarray = quantity("1", shape="(n_edges + 1,)")
    band_low: np.ndarray = quantity("1", shape="(n_edges + 1,)")
    band_high: np.ndarray = quantity("1", shape="(n_edges + 1,)")
    large: Estimate | None = quantity("1")
    large_p_value: float = quantity("1")
    small_correlation: Estimate = quantity("1")
    small_p_value: float = quantity("1")
    mutual_information: Estimate = quantity("bit")
    information_p_value: float = quantity("1")


def conditional_displacement(
    series: RotorSeries | Sequence[RotorSeries], *, n_shifts: int = 500, seed: int = 0
) -> ConditionalDisplacement:
    """Return how far ions go beside rotors that turn, and how much the one says about the other.

    Parameters
    ----------
    series
        From `rotor_series`; replicas add up.
    n_shifts, seed
        Circular shifts of each rotor within stretches of the run (`shift_null`).

    Returns
    -------
    ConditionalDisplacement

    Raises
    ------
    ConfigError
        If no ion is ever near a rotor.

    Notes
    -----
    Limit: independent motion gives ratios of 1, no correlation and no information. A passing vacancy gives
    all of them: this is no evidence of rotations that drive hops; see `hazard_ratio`.
    """
    parts = (series,) if isinstance(series, RotorSeries) else tuple(series)
    edges = np.radians(_ANGLE_EDGES_DEG)
    present = np.concatenate([part.displacements_A2[part.displacements_A2 >= 0] for part in parts])
    if len(present) == 0:
        raise ConfigError("no ion is ever near a rotor: expected a larger radius_A")
    quantiles = np.quantile(present, np.arange(1, _N_QUANTILES) / _N_QUANTILES)
    rng = np.random.default_rng(seed)
    counts = np.zeros((n_shifts + 1, len(edges) + 1, _N_QUANTILES))
    sums = np.zeros((n_shifts + 1, len(edges) + 1))
    for part in parts:
        angle = np.searchsorted(edges, part.angles_rad, side="right").astype(np.int8)
        moved = np.searchsorted(quantiles, part.displacements_A2, side="right").astype(np.int8)
        moved[part.displacements_A2 < 0] = -1
        memory = correlation_steps(part.angles_rad)
        for stretch in stretch_slices(len(angle), memory):
            tables = angle[stretch], moved[stretch], part.displacements_A2[stretch]
            shifts = circular_shifts(rng, n_shifts, angle.shape[1], len(tables[0]))
            kernels.shifted_tables(*tables, shifts, counts, sums)
    number = counts.sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = sums / number / (sums.sum(axis=1) / number.sum(axis=1))[:, None]
        n_small = int(np.searchsorted(edges, np.radians(_SMALL_DEG) - 1e-9)) + 1
        large = sums[:, n_small:].sum(axis=1) / number[:, n_small:].sum(axis=1)
        large /= sums.sum(axis=1) / number.sum(axis=1)
    low, high = _nan_band(ratios[1:])
    correlation = _correlation(counts[:, :n_small])
    information = _information(counts)
    seen = number[0, n_small:].sum() > 0
    usable = np.isfinite(large)
    return ConditionalDisplacement(
        n_steps=int(number[0].sum()),
        n_shifts=n_shifts,
        step_ps=parts[0].step_ps,
        angle_edges_deg=np.array(_ANGLE_EDGES_DEG),
        ratios=ratios[0],
        band_low=low,
        band_high=high,
        large=_shifted(large[usable], 0.0, number[0, n_small:].sum()) if seen else None,
        large_p_value=randomisation_p(large[usable]) if seen else 1.0,
        small_correlation=_shifted(correlation, correlation[1:].mean(), number[0, :n_small].sum()),
        small_p_value=randomisation_p(correlation),
        mutual_information=_shifted(information, information[1:].mean(), number[0].sum()),
        information_p_value=upper_p(information),
        provenance=collect_provenance(n_shifts=n_shifts, seed=seed),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class InformationFlow(Result):
    """Transfer entropy between rotations and hops of ions near the rotor, in bins of time.

    Attributes
    ----------
    rotation_to_hop, hop_to_rotation : Estimate
        What the other's present bin says about the next bin beyond one's own present, less its mean over
        shifts (the bias), bit per bin and rotor.
    rotation_to_hop_p_value, hop_to_rotation_p_value
        One-sided, against shifts.
    """

    bin_ps: float = quantity("ps")
    n_shifts: int
    rotation_to_hop: Estimate = quantity("bit")
    rotation_to_hop_p_value: float = quantity("1")
    hop_to_rotation: Estimate = quantity("bit")
    hop_to_rotation_p_value: float = quantity("1")


def information_flow(
    runs: RotorHops | Sequence[RotorHops],
    *,
    radius_A: float,
    bin_ps: float = 0.5,
    n_shifts: int = 500,
    seed: int = 0,
) -> InformationFlow:
    """Return the transfer entropy from rotations to hops and back.

    Parameters
    ----------
    runs
        From `common_events`; replicas add up.
    radius_A
        Hops whose middle is within this of a rotor are near it, Å.
    bin_ps
        Width of the bins, ps: about the lag that is looked for.
    n_shifts, seed
        Circular shifts of each rotor, as in `event_correlogram`.

    Notes
    -----
    Limits: independent events give zero, within the spread of shifts; hops that follow rotations by about one
    bin, only the first. A common cause gives both.

    References
    ----------
    .. [1] T. Schreiber, Phys. Rev. Lett. 85, 461 (2000).
    """
    runs = checked_runs(runs)
    rng = np.random.default_rng(seed)
    forward, backward = np.zeros((n_shifts + 1, 8)), np.zeros((n_shifts + 1, 8))
    for run in runs:
        n_bins = int(run.duration_ps / bin_ps)
        if n_bins < 10:
            raise ConfigError(f"a run of {run.duration_ps:g} ps has fewer than 10 bins of {bin_ps:g} ps")
        rotated = np.zeros((n_bins, run.n_rotors), dtype=np.int8)
        hopped = np.zeros((n_bins, run.n_rotors), dtype=np.int8)
        place = np.minimum((run.rotation_times_ps / bin_ps).astype(int), n_bins - 1)
        rotated[place, run.rotation_rotors] = 1
        near = run.near(radius_A)
        owner = np.repeat(np.arange(run.n_rotors), np.diff(near.first))
        hopped[np.minimum((run.hop_times_ps[near.hops] / bin_ps).astype(int), n_bins - 1), owner] = 1
        memory = correlation_steps(rotated)
        for stretch in stretch_slices(n_bins, memory):
            pair = rotated[stretch], hopped[stretch]
            shifts = circular_shifts(rng, n_shifts, run.n_rotors, len(pair[0]))
            kernels.shifted_triples(*pair, shifts, forward, backward)
    flows = [_transfer(table.reshape(-1, 2, 2, 2)) for table in (forward, backward)]
    n_bins = forward[0].sum()
    return InformationFlow(
        bin_ps=float(bin_ps),
        n_shifts=n_shifts,
        rotation_to_hop=_shifted(flows[0], flows[0][1:].mean(), n_bins),
        rotation_to_hop_p_value=upper_p(flows[0]),
        hop_to_rotation=_shifted(flows[1], flows[1][1:].mean(), n_bins),
        hop_to_rotation_p_value=upper_p(flows[1]),
        provenance=collect_provenance(bin_ps=bin_ps, radius_A=radius_A, n_shifts=n_shifts, seed=seed),
    )


def _transfer(table):
    """Return I(next; other | own) of tables (draw, next, own, other), bit."""
    p = table / table.sum(axis=(1, 2, 3), keepdims=True)
    own_other, next_own, own = p.sum(axis=1, keepdims=True), p.sum(axis=3, keepdims=True), p.sum(axis=(1, 3))
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = p * np.log2(p * own[:, None, :, None] / (own_other * next_own))
    return np.nansum(terms, axis=(1, 2, 3))


def _information(counts):
    p = counts / counts.sum(axis=(1, 2), keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = p * np.log2(p / (p.sum(axis=1, keepdims=True) * p.sum(axis=2, keepdims=True)))
    return np.nansum(terms, axis=(1, 2))


def _correlation(counts):
    """Return the correlation of the numbers of the two classes, shape (n_draws,)."""
    a, b = np.arange(counts.shape[1])[:, None], np.arange(counts.shape[2])[None, :]
    n = counts.sum(axis=(1, 2))
    mean_a, mean_b = ((counts * item).sum(axis=(1, 2)) / n for item in (a, b))
    covariance = (counts * a * b).sum(axis=(1, 2)) / n - mean_a * mean_b
    spread_a = (counts * a**2).sum(axis=(1, 2)) / n - mean_a**2
    spread_b = (counts * b**2).sum(axis=(1, 2)) / n - mean_b**2
    return covariance / np.sqrt(np.maximum(spread_a * spread_b, 1e-300))


def _nan_band(ratios):
    found = np.full((2, ratios.shape[1]), np.nan)
    for k, column in enumerate(ratios.T):
        finite = column[np.isfinite(column)]
        if len(finite):
            found[:, k] = np.percentile(finite, [2.5, 97.5])
    return found


def _shifted(values, bias, n):
    return normal_estimate(
        values[0] - bias, values[1:].std(), method="error: spread of circular shifts of each rotor", n_eff=n
    )
