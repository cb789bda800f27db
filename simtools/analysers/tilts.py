"""Tilts of BX6 octahedra and how neighbours tilt together, by the machinery of rotors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.kernels import molecules as kernels
from simtools.analysers.orientations import Orientations, align, rotation_vectors
from simtools.analysers.replica_scatter import with_replica_scatter
from simtools.core.errors import ConfigError, ShapeError
from simtools.core.periodic import cell_heights_A, minimum_image
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.md.trajectory import Trajectory

__all__ = ["OctahedralTilts", "octahedra_of", "octahedral_tilts"]

_FEWEST_VERTICES = 4
_LONGEST_OVER_NEAREST = 1.35
_STRAIGHT = np.cos(np.radians(20.0))
_MOST_TIMES_NEAREST = 1.2
_STRETCHES = 10


def octahedra_of(
    trajectory: Trajectory, *, centre: str, vertex: str, cutoff_A: float | None = None, axes=None
) -> Orientations:
    """Return the orientations of octahedra, whichever ions stand at their corners just then.

    In every frame the nearest vertex ion about each of the six axes through a centre counts, so corners may
    be shared, hop away and come back; a corner without an ion is left out of the fit.

    Parameters
    ----------
    trajectory
        Wrapped or unwrapped.
    centre, vertex
        Symbols of the centre and of the corners, ``"O"`` and ``"Li"`` in Li3OCl.
    cutoff_A
        Longest distance of a corner, Å; by default 1.35 times the usual distance of the nearest.
    axes
        The three axes of untilted octahedra as rows, shape (3, 3); by default x, y and z.

    Returns
    -------
    Orientations
        Quaternions from the untilted octahedron; the unit vectors are its three turned axes. Where fewer than
        four corners have an ion the orientation of the frame before stands.

    Raises
    ------
    ConfigError
        If a centre has fewer than four corners in the first frame, or the cutoff is over half the smallest
        height of the cell.

    Notes
    -----
    Limit: rigid octahedra give the angles they were turned by.
    """
    axes = np.eye(3) if axes is None else np.asarray(axes, dtype=float)
    if axes.shape != (3, 3):
        raise ShapeError("axes", "(3, 3)", axes.shape)
    axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    six = np.concatenate([axes, -axes])
    centres = trajectory.positions_of(centre)
    corners = trajectory.positions_of(vertex)
    cells = np.ascontiguousarray(trajectory.cells_A.reshape(-1, 3, 3))
    if cutoff_A is None:
        gaps = [minimum_image(corners[0] - place, cells[0]) for place in centres[0]]
        nearest = np.median([np.linalg.norm(gap, axis=1).min() for gap in gaps])
        cutoff_A = _LONGEST_OVER_NEAREST * nearest
    room_A = 0.5 * min(float(cell_heights_A(cell).min()) for cell in cells)
    if not 0 < cutoff_A <= room_A:
        raise ConfigError(f"cutoff_A must be positive and at most {room_A:.4g} Å here, got {cutoff_A!r}")
    shape = (*centres.shape[:2], 6)
    vertices, found = np.zeros((*shape, 3)), np.zeros(shape)
    kernels.octahedron_vertices(
        corners, centres, cells, np.linalg.inv(cells), six, float(cutoff_A), vertices, found
    )
    count = found.sum(axis=2)
    if (count[0] < _FEWEST_VERTICES).any():
        index = int(np.flatnonzero(count[0] < _FEWEST_VERTICES)[0])
        raise ConfigError(
            f"{centre} number {index} has {int(count[0, index])} {vertex} within {cutoff_A:.3g} Å in frame 0,"
            f" expected at least {_FEWEST_VERTICES}: give a longer cutoff_A, or other axes"
        )
    size = np.sqrt(np.sum(vertices**2) / found.sum())
    reference = np.broadcast_to(size * six, (shape[1], 6, 3))
    weights = found / np.maximum(count, 1)[..., None]
    quaternions, misfit = align(reference, vertices, weights)
    known = count >= _FEWEST_VERTICES
    last = np.maximum.accumulate(np.where(known, np.arange(len(count))[:, None], 0), axis=0)
    quaternions = np.take_along_axis(quaternions, last[..., None], axis=0)
    misfit = np.take_along_axis(misfit, last, axis=0)
    quaternions *= np.where(quaternions[..., :1] < 0, -1.0, 1.0)
    vectors = _turned(quaternions, axes)
    return Orientations(
        name=f"{centre}{vertex}6",
        vectors=vectors,
        quaternions=quaternions,
        reference_A=np.ascontiguousarray(reference),
        misfit_A=misfit,
        centres_A=centres,
        cells_A=trajectory.cells_A,
        frame_interval_ps=trajectory.frame_interval_ps,
    )


def _turned(quaternions, axes):
    w, xyz = quaternions[..., None, :1], quaternions[..., None, 1:]
    v = np.broadcast_to(axes, (*quaternions.shape[:2], 3, 3))
    return v + 2 * np.cross(xyz, np.cross(xyz, v) + w * v)


@dataclass(frozen=True, eq=False, kw_only=True)
class OctahedralTilts(Result):
    """Tilts of octahedra about x, y and z.

    Attributes
    ----------
    angles_deg, density_per_deg
        Histogram of the tilt about each axis.
    rms_deg : tuple of Estimate
        Root mean square tilt about each axis; the error is the scatter of ten stretches of time of each
        replica, or of replicas where these differ by more than that explains.
    mean_square_deg2, static_square_deg2
        Mean square of the tilt, and that of each octahedron's mean over time: equal where tilts are frozen
        in, the second zero where they come and go.
    neighbour_correlation
        Correlation of tilts about axis i (row) of octahedra that are neighbours along j (column): -1 across
        the axis is what shared corners force; along it +1 is in phase and -1 out of phase (Glazer's + and -).
        nan where there are no such neighbours.
    lag_times_ps, autocorrelation
        Of the tilt about each axis, over its mean square.
    """

    name: str
    n_octahedra: int
    n_replicas: int
    rms_deg: tuple = quantity("degree", shape="(3,)")
    angles_deg: np.ndarray = quantity("degree", shape="(n_bins,)")
    density_per_deg: np.ndarray = quantity("1/degree", shape="(3, n_bins)")
    mean_square_deg2: np.ndarray = quantity("degree^2", shape="(3,)")
    static_square_deg2: np.ndarray = quantity("degree^2", shape="(3,)")
    neighbour_correlation: np.ndarray = quantity("1", shape="(3, 3)")
    lag_times_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    autocorrelation: np.ndarray = quantity("1", shape="(3, n_lags)")


def octahedral_tilts(
    octahedra: Orientations | Sequence[Orientations], *, max_lag_ps: float | None = None
) -> OctahedralTilts:
    """Return how octahedra tilt, how long, and whether neighbours tilt in phase.

    Parameters
    ----------
    octahedra
        From `octahedra_of`, of one run or of each replica. C_1, events, librations: pass it to the
        functions for rotors.
    max_lag_ps
        Longest lag, ps; by default a third of the shortest run.

    Returns
    -------
    OctahedralTilts
        Replicas count alike.

    Raises
    ------
    ConfigError
        For linear rotors, or a lag that does not fit.

    Notes
    -----
    Limit: a frozen a0a0c+ pattern has correlations -1, -1, +1 about its axis and no decay.

    References
    ----------
    .. [1] A. M. Glazer, Acta Crystallogr. B 28, 3384 (1972): the notation of tilts.
    """
    parts = (octahedra,) if isinstance(octahedra, Orientations) else tuple(octahedra)
    if parts[0].is_linear:
        raise ConfigError(f"{parts[0].name} are linear rotors: expected octahedra")
    tilts = []
    for part in parts:
        none = np.zeros_like(part.quaternions)
        none[..., 0] = 1.0
        tilts.append(np.degrees(rotation_vectors(none, part.quaternions)))
    n_frames, interval_ps = min(part.n_frames for part in parts), parts[0].frame_interval_ps
    n_lags = max(1, n_frames // 3) if max_lag_ps is None else round(max_lag_ps / interval_ps) + 1
    if not 1 <= n_lags <= n_frames:
        raise ConfigError(f"a longest lag of {n_lags - 1} frames does not fit a run of {n_frames}")
    widest = max(5.0, *(float(np.abs(tilt).max()) for tilt in tilts))
    edges = np.linspace(-widest, widest, 61)

    def mean(values):
        return np.mean(list(values), axis=0)

    density = [
        mean(np.histogram(tilt[..., axis], edges, density=True)[0] for tilt in tilts) for axis in range(3)
    ]
    square = mean(np.mean(tilt**2, axis=(0, 1)) for tilt in tilts)
    sums = mean(_autocorrelation(tilt, n_lags) for tilt in tilts)
    return OctahedralTilts(
        name=parts[0].name,
        n_octahedra=sum(part.n_rotors for part in parts),
        n_replicas=len(parts),
        rms_deg=tuple(_root_mean_square([tilt[..., axis] for tilt in tilts]) for axis in range(3)),
        angles_deg=0.5 * (edges[1:] + edges[:-1]),
        density_per_deg=np.array(density),
        mean_square_deg2=square,
        static_square_deg2=mean(np.mean(tilt.mean(axis=0) ** 2, axis=0) for tilt in tilts),
        neighbour_correlation=mean(
            _neighbours(part, tilt, square) for part, tilt in zip(parts, tilts, strict=True)
        ),
        lag_times_ps=interval_ps * np.arange(n_lags),
        autocorrelation=(sums / np.maximum(square, 1e-300)).T,
        provenance=collect_provenance(max_lag_ps=float(interval_ps * (n_lags - 1))),
    )


def _autocorrelation(tilt, n_lags):
    """Return the mean product of tilts some lags apart, octahedra and origins averaged, (n_lags, 3)."""
    n_frames = len(tilt)
    spectrum = np.fft.rfft(tilt, n=2 * n_frames, axis=0)
    power = np.sum(spectrum.real**2 + spectrum.imag**2, axis=1)
    sums = np.fft.irfft(power, axis=0)[:n_lags]
    return sums / ((n_frames - np.arange(n_lags))[:, None] * tilt.shape[1])


def _root_mean_square(tilts):
    """Return the root mean square of one component over replicas with its interval."""
    number = min([_STRETCHES, *(len(tilt) for tilt in tilts)])
    values = np.array([[np.mean(part**2) for part in np.array_split(tilt, number)] for tilt in tilts])
    square = values.mean()
    n = values.size
    error = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    without = [np.delete(values, r, axis=0).mean() for r in range(len(values))] if len(values) > 1 else []
    error, dof, widened = with_replica_scatter(without, error, n - 1.0)
    value = float(np.sqrt(square))
    error = 0.5 * error / value if value > 0 else 0.0
    half = stats.t.ppf(0.975, dof) * error
    what = "replicas" if widened else f"{number} stretches of time of each replica"
    return Estimate(
        value=value,
        stderr=float(error),
        ci95=(float(max(0.0, value - half)), float(value + half)),
        method=f"scatter between {what}, Student",
        n_eff=float(dof + 1),
    )


def _neighbours(octahedra, tilt, square):
    """Return correlations of tilts about each axis between neighbours along each axis, shape (3, 3)."""
    cells = octahedra.cells_A
    cell = cells if cells.ndim == 2 else cells.mean(axis=0)
    places = octahedra.centres_A.mean(axis=0)
    gaps = minimum_image(places[None] - places[:, None], cell)
    length = np.linalg.norm(gaps, axis=-1)
    np.fill_diagonal(length, np.inf)
    nearest = length.min() if len(length) > 1 else np.inf
    found = np.full((3, 3), np.nan)
    for along in range(3):
        straight = np.abs(gaps[..., along]) / length > _STRAIGHT
        first, second = np.nonzero(straight & (length < _MOST_TIMES_NEAREST * nearest))
        if len(first):
            products = np.mean(tilt[:, first] * tilt[:, second], axis=(0, 1))
            found[:, along] = products / np.maximum(square, 1e-300)
    return found
