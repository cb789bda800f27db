"""Reorientation events without recrossings, their rates and their activation energy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.arrhenius import TooFewTemperaturesError, fit_arrhenius_line
from simtools.analysers.jump_rates import poisson_rate
from simtools.analysers.kernels import jumps as visit_kernels
from simtools.analysers.kernels import reorientations as kernels
from simtools.analysers.orientations import Orientations, rotation_vectors
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity

__all__ = [
    "LARGE_ANGLE_DEG",
    "ReorientationRates",
    "Reorientations",
    "find_reorientations",
    "reorientation_rates",
    "rotation_activation_energy",
]

LARGE_ANGLE_DEG = 45.0
"""Beyond librations (10 to 25 degrees) and half of the 90 degrees between <100> directions."""

_SHORTEST_STAY_PS = 0.2
_CORE_FRACTION = 0.6
_MEMORY = 20.0
_CLASS_EDGES_DEG = (0.0, 60.0, 105.0, 150.0, 180.0)
_CLUSTERED = 0.01


@dataclass(frozen=True, eq=False, kw_only=True)
class Reorientations(Result):
    """Every lasting rotation of the molecules of one kind, in order of time.

    Attributes
    ----------
    rotors : ndarray of int
        Index of the molecule.
    times_ps
        Frame in which the new orientation was entered (or the middle of leaving and entering cores).
    vectors_rad
        From the mean orientation before to that after, shortest way round.
    initial_basins, final_basins : ndarray of int
        Index of the basin, -1 without basins.
    initial_directions
        Where the bond of a linear rotor pointed before; None for other rotors.
    centres_A
        Mean positions of the molecules' central atoms.
    n_recrossings : int
        Excursions that ended within the shortest stay where they began.
    observed_ps
        Start and end of the time in which events can be seen.
    """

    name: str
    n_rotors: int
    n_recrossings: int
    rotors: np.ndarray = quantity("1", shape="(n_events,)")
    times_ps: np.ndarray = quantity("ps", shape="(n_events,)")
    vectors_rad: np.ndarray = quantity("rad", shape="(n_events, 3)")
    initial_basins: np.ndarray = quantity("1", shape="(n_events,)")
    final_basins: np.ndarray = quantity("1", shape="(n_events,)")
    observed_ps: np.ndarray = quantity("ps", shape="(2,)")
    frame_interval_ps: float = quantity("ps")
    threshold_deg: float = quantity("degree")
    shortest_stay_ps: float = quantity("ps")
    centres_A: np.ndarray = quantity("angstrom", shape="(n_rotors, 3)")
    cell_A: np.ndarray = quantity("angstrom", shape="(3, 3)")
    initial_directions: np.ndarray | None = quantity("1", shape="(n_events, 3)", default=None)

    @property
    def n_events(self):
        """Number of lasting rotations."""
        return len(self.rotors)

    @property
    def angles_deg(self):
        """Angle of each rotation, degrees, shape (n_events,)."""
        return np.degrees(np.linalg.norm(self.vectors_rad, axis=1))

    @property
    def duration_ps(self):
        """Length of the time in which events can be seen, ps."""
        return float(self.observed_ps[1] - self.observed_ps[0])


def find_reorientations(
    orientations: Orientations,
    *,
    basins: np.ndarray | None = None,
    threshold_deg: float = LARGE_ANGLE_DEG,
    shortest_stay_ps: float = _SHORTEST_STAY_PS,
) -> Reorientations:
    """Find the rotations that last.

    Without `basins`, a rotor has turned when it is further than `threshold_deg` from the mean orientation of
    its present stay and the mean of the `shortest_stay_ps` that follow is, too; what comes back sooner is a
    recrossing. With basins (linear rotors), it has turned when it enters the core of another one, a cone of
    0.6 times half the smallest angle between them, and is not back within `shortest_stay_ps`.

    Parameters
    ----------
    orientations
        From `orientations_of`.
    basins
        Unit vectors that a linear rotor prefers (`find_basins`, `star_of`), shape (n_basins, 3).
    threshold_deg
        Angle of a rotation; librations must stay below it.
    shortest_stay_ps
        Time within which a return undoes a rotation, ps.

    Returns
    -------
    Reorientations

    Raises
    ------
    ConfigError
        For options out of range, basins of rotors that are not linear, or a run shorter than two stays.

    Notes
    -----
    Limits: libration gives no events; jumps between basins that are slower than the shortest stay are all
    found, with their angles. A permutation of like ligands is a rotation: diffraction does not see it, NMR
    and quasi-elastic neutron scattering do. Quaternions are compared by the full angle, twice the arc cosine
    of their product.
    """
    if not 0 < threshold_deg < 180:
        raise ConfigError(f"threshold_deg must lie between 0 and 180, got {threshold_deg!r}")
    if not shortest_stay_ps >= 0:
        raise ConfigError(f"shortest_stay_ps must be 0 or more, got {shortest_stay_ps!r}")
    interval_ps = orientations.frame_interval_ps
    stay = max(1, int(np.ceil(shortest_stay_ps / interval_ps - 1e-9)))
    if orientations.n_frames <= 2 * stay:
        raise ConfigError(
            f"{orientations.n_frames} frames show no stays of {stay}: expected more than twice as many"
        )
    if basins is None:
        found = _by_threshold(orientations, threshold_deg, stay)
    else:
        found = _by_basins(orientations, np.asarray(basins, dtype=float), stay)
    cells = orientations.cells_A
    observed = np.array([stay, orientations.n_frames - stay]) * interval_ps
    kept = (found["times_ps"] >= observed[0]) & (found["times_ps"] <= observed[1])
    order = np.flatnonzero(kept)[np.argsort(found["times_ps"][kept], kind="stable")]
    directions = found.pop("initial_directions")
    return Reorientations(
        name=orientations.name,
        n_rotors=orientations.n_rotors,
        n_recrossings=found.pop("n_recrossings"),
        observed_ps=observed,
        frame_interval_ps=interval_ps,
        threshold_deg=float(found.pop("threshold_deg")),
        shortest_stay_ps=stay * interval_ps,
        centres_A=orientations.centres_A.mean(axis=0),
        cell_A=cells if cells.ndim == 2 else cells.mean(axis=0),
        initial_directions=None if directions is None else directions[order],
        provenance=collect_provenance(
            threshold_deg=threshold_deg,
            shortest_stay_ps=shortest_stay_ps,
            basins=None if basins is None else np.asarray(basins).tolist(),
        ),
        **{name: values[order] for name, values in found.items()},
    )


def _by_threshold(orientations, threshold_deg, stay):
    x = orientations.points()
    half = np.radians(threshold_deg) / (1 if orientations.is_linear else 2)
    events, means, n_back = kernels.lasting_turns(x, np.cos(half), stay, _MEMORY * stay)
    none = np.full(len(events), -1, dtype=np.int64)
    return {
        "rotors": events[:, 0],
        "times_ps": (events[:, 1] - 0.5) * orientations.frame_interval_ps,
        "vectors_rad": rotation_vectors(means[:, 0], means[:, 1]),
        "initial_basins": none,
        "final_basins": none,
        "initial_directions": means[:, 0] if orientations.is_linear else None,
        "n_recrossings": int(n_back),
        "threshold_deg": threshold_deg,
    }


def _by_basins(orientations, basins, stay):
    if not orientations.is_linear:
        raise ConfigError(f"basins are directions and {orientations.name} is not linear: leave them out")
    if basins.ndim != 2 or basins.shape[1] != 3 or len(basins) < 2:
        raise ConfigError(f"basins must be at least two directions, (n, 3), got shape {basins.shape}")
    basins = basins / np.linalg.norm(basins, axis=1, keepdims=True)
    cosine = basins @ basins.T
    np.fill_diagonal(cosine, -1.0)
    apart = np.arccos(np.clip(cosine.max(), -1, 1))
    core = _CORE_FRACTION * apart / 2
    visits = kernels.basin_visits(orientations.points(), basins, np.cos(core))
    visits, n_back = visit_kernels.lasting_visits(visits, stay - 1e-9)
    follows = np.flatnonzero(visits[1:, 0] == visits[:-1, 0])
    before, after = visits[follows], visits[follows + 1]
    interval_ps = orientations.frame_interval_ps
    return {
        "rotors": before[:, 0],
        "times_ps": 0.5 * interval_ps * (before[:, visit_kernels.LAST] + after[:, visit_kernels.FIRST]),
        "vectors_rad": rotation_vectors(basins[before[:, 1]], basins[after[:, 1]]),
        "initial_basins": before[:, 1],
        "final_basins": after[:, 1],
        "initial_directions": basins[before[:, 1]],
        "n_recrossings": int(n_back),
        "threshold_deg": np.degrees(apart / 2),
    }


@dataclass(frozen=True, eq=False, kw_only=True)
class ReorientationRates(Result):
    """How often rotors turn, and by how much.

    Attributes
    ----------
    rate_per_rotor : Estimate
        Lasting rotations per rotor and ps, or an upper limit.
    dispersion : float
        Variance of the counts of rotors over their mean, 1 where all turn alike at random; where it is above
        1 with p < 0.01 the interval is widened by its root; so it is where replicas differ by more than that.
    class_edges_deg, class_rates
        Rates by angle: below 60, 60 to 105, 105 to 150 and 150 to 180 degrees.
    """

    name: str
    n_events: int
    n_rotors: int
    n_replicas: int
    n_recrossings: int
    rate_per_rotor: Estimate = quantity("1/ps")
    dispersion: float = quantity("1")
    class_edges_deg: np.ndarray = quantity("degree", shape="(5,)")
    class_rates: tuple = quantity("1/ps", shape="(4,)")


def reorientation_rates(events: Reorientations | Sequence[Reorientations]) -> ReorientationRates:
    """Return rates of rotation of one run or of replicas, with Poisson intervals.

    Raises
    ------
    ConfigError
        For no runs, or molecules of different kinds.

    Notes
    -----
    Limit: rotors that jump at a given rate; 95 % intervals hold it in 95 % of repeats. Where some rotors turn
    often and others never, counts differ by more than chance and the interval is that much wider.
    """
    parts = (events,) if isinstance(events, Reorientations) else tuple(events)
    if len({part.name for part in parts}) != 1:
        raise ConfigError("expected reorientations of molecules of one kind, from at least one run")
    counts = np.concatenate([np.bincount(part.rotors, minlength=part.n_rotors) for part in parts])
    exposure_ps = sum(part.n_rotors * part.duration_ps for part in parts)
    n_events = int(counts.sum())
    dispersion, widening = float("nan"), 1.0
    if n_events and len(counts) > 1:
        squares = np.square(counts - counts.mean()).sum() / counts.mean()
        dispersion = float(squares / (len(counts) - 1))
        if dispersion > 1 and stats.chi2.sf(squares, len(counts) - 1) < _CLUSTERED:
            widening = dispersion
    widening = max(widening, _between_replicas(parts, widening)) if n_events else widening
    angles = np.concatenate([part.angles_deg for part in parts])
    by_class, _ = np.histogram(angles, (*_CLASS_EDGES_DEG[:-1], _CLASS_EDGES_DEG[-1] + 1e-6))
    return ReorientationRates(
        name=parts[0].name,
        n_events=n_events,
        n_rotors=len(counts),
        n_replicas=len(parts),
        n_recrossings=sum(part.n_recrossings for part in parts),
        rate_per_rotor=poisson_rate(n_events, exposure_ps, dispersion=widening),
        dispersion=dispersion,
        class_edges_deg=np.array(_CLASS_EDGES_DEG),
        class_rates=tuple(poisson_rate(int(n), exposure_ps, dispersion=widening) for n in by_class),
        provenance=collect_provenance(events=[part.provenance["arguments"] for part in parts]),
    )


def _between_replicas(parts, widening):
    """Return the variance over mean of the replicas' counts where it is more than `widening` by chance."""
    counts = np.array([part.n_events for part in parts], dtype=float)
    exposure = np.array([part.n_rotors * part.duration_ps for part in parts])
    expected = counts.sum() * exposure / exposure.sum()
    squares = np.sum((counts - expected) ** 2 / expected)
    dof = len(parts) - 1
    if dof and stats.chi2.sf(squares / widening, dof) < _CLUSTERED:
        return float(squares / dof)
    return 1.0


def rotation_activation_energy(rates: Sequence[ReorientationRates], temperatures_K) -> Estimate:
    """Return the activation energy of rotation, eV, from the rates at several temperatures.

    Temperatures without an event are left out. The line is that of `fit_arrhenius_line`, with room for
    scatter beyond the Poisson errors.

    Raises
    ------
    TooFewTemperaturesError
        With events at fewer than two temperatures.
    ConfigError
        For rates and temperatures of different number.
    """
    if len(rates) != len(temperatures_K):
        raise ConfigError(
            f"got {len(rates)} rates at {len(temperatures_K)} temperatures, expected one at each"
        )
    used = [(t, r.rate_per_rotor) for t, r in zip(temperatures_K, rates, strict=True) if r.n_events]
    if len({t for t, _ in used}) < 2:
        raise TooFewTemperaturesError(len(used), len(rates) - len(used))
    line = fit_arrhenius_line(
        [t for t, _ in used],
        [np.log(rate.value) for _, rate in used],
        [rate.stderr / rate.value for _, rate in used],
        dof=[max(2.0, rate.n_eff) for _, rate in used],
    )
    stderr = float(np.sqrt(line.covariance[1, 1]))
    half = line.half_width(stderr)
    return Estimate(
        value=line.activation_energy_eV,
        stderr=stderr,
        ci95=(line.activation_energy_eV - half, line.activation_energy_eV + half),
        method=f"hierarchical Arrhenius fit of ln(rate of rotation), {len(used)} temperatures",
        n_eff=float(len(used)),
    )
