"""Unbounded angular displacement, rotational diffusion and the spectrum of librations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.orientations import Orientations, rotation_matrices
from simtools.analysers.replica_scatter import with_replica_scatter
from simtools.analysers.velocity_correlation import analyse_vibrations
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.md.trajectory import Trajectory

__all__ = [
    "LibrationSpectrum",
    "RotationalDiffusion",
    "angular_displacements",
    "libration_spectrum",
    "rotational_diffusion",
]

_UNRESOLVED_DEG = 60.0
_FEW_UNRESOLVED = 0.01
_N_LAGS = 60
_MOST_ORIGINS = 2_000_000
_FRAMES = ("lab", "body")


@dataclass(frozen=True, eq=False, kw_only=True)
class RotationalDiffusion(Result):
    r"""How fast rotors turn, from the angles they have turned through in all.

    Attributes
    ----------
    mean_squared_angle_rad2
        :math:`\langle |\phi(t) - \phi(0)|^2 \rangle`; 360 degrees count as such, not as none.
    diffusivity : Estimate
        D_r, rad²/ps: slope between two lags over 4 for linear rotors, over 6 for others.
    tensor_rad2_per_ps, tensor_stderr_rad2_per_ps
        :math:`D_{ij}` of :math:`\langle \Delta\phi_i \Delta\phi_j \rangle = 2 D_{ij} t`, in the laboratory or
        in the axes of the molecule's first frame.
    slope_lags_ps
        The two lags.
    largest_step_deg, unresolved_fraction
        Largest rotation between two frames, and the share of those over 60 degrees.
    warnings : tuple of str
    """

    name: str
    frame: str
    n_rotors: int
    n_replicas: int
    lag_times_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    mean_squared_angle_rad2: np.ndarray = quantity("rad^2", shape="(n_lags,)")
    mean_squared_angle_stderr_rad2: np.ndarray = quantity("rad^2", shape="(n_lags,)")
    diffusivity: Estimate = quantity("rad^2/ps")
    tensor_rad2_per_ps: np.ndarray = quantity("rad^2/ps", shape="(3, 3)")
    tensor_stderr_rad2_per_ps: np.ndarray = quantity("rad^2/ps", shape="(3, 3)")
    slope_lags_ps: np.ndarray = quantity("ps", shape="(2,)")
    largest_step_deg: float = quantity("degree")
    unresolved_fraction: float = quantity("1")
    warnings: tuple = ()


def angular_displacements(orientations: Orientations, *, frame: str = "lab") -> np.ndarray:
    """Return the sum of all rotations since the first frame, rad, shape (n_frames, n_rotors, 3).

    Parameters
    ----------
    orientations
        From `orientations_of`.
    frame
        "lab", or "body": each rotation about the axes of the molecule as it then stands (not for linear
        rotors).
    """
    if frame not in _FRAMES:
        raise ConfigError(f"frame must be one of {', '.join(_FRAMES)}; got {frame!r}")
    steps = orientations.step_vectors()
    if frame == "body":
        if orientations.is_linear:
            raise ConfigError(
                f"{orientations.name} is linear and has no axes across itself: expected frame='lab'"
            )
        turns = rotation_matrices(orientations.quaternions[:-1])
        steps = np.einsum("tmji,tmj->tmi", turns, steps)
    angles = np.zeros((orientations.n_frames, orientations.n_rotors, 3))
    np.cumsum(steps, axis=0, out=angles[1:])
    return angles


def rotational_diffusion(
    orientations: Orientations | Sequence[Orientations],
    *,
    slope_lags_ps: tuple[float, float] | None = None,
    frame: str = "lab",
) -> RotationalDiffusion:
    """Return the mean squared angle and the rotational diffusion tensor of one run or of replicas.

    Parameters
    ----------
    orientations
        From `orientations_of`; replicas add up.
    slope_lags_ps
        Lags between which the slope is taken, ps; by default a 20th and a 10th of the run. Both must be
        beyond the librations.
    frame
        "lab" or "body", see `angular_displacements`.

    Returns
    -------
    RotationalDiffusion
        Errors are the scatter between rotors, or that of replicas where these differ by more than their
        rotors explain (`with_replica_scatter`), with Student's interval.

    Raises
    ------
    ConfigError
        With fewer than two rotors in all, or lags that do not fit.

    Notes
    -----
    Limit: isotropic rotational diffusion gives D_r. Frames must be close: rotations between two of them are
    taken as the shortest, and steps over 60 degrees are counted and warned of.
    """
    parts = (orientations,) if isinstance(orientations, Orientations) else tuple(orientations)
    n_rotors = sum(part.n_rotors for part in parts)
    if n_rotors < 2:
        raise ConfigError(f"errors come from the scatter between rotors: expected at least 2, got {n_rotors}")
    interval_ps = parts[0].frame_interval_ps
    n_frames = min(part.n_frames for part in parts)
    if slope_lags_ps is None:
        pair = np.array([n_frames // 20, n_frames // 10])
    else:
        pair = np.round(np.asarray(slope_lags_ps) / interval_ps).astype(int)
    if not 1 <= pair[0] < pair[1] < n_frames:
        raise ConfigError(
            f"slope lags of {pair[0]} and {pair[1]} frames do not fit a run of {n_frames}: expected two that "
            "increase, the first at least 1"
        )
    lags = np.unique(
        np.concatenate([np.round(np.geomspace(1, n_frames // 3 or 1, _N_LAGS)), pair]).astype(int)
    )
    squares, tensors, steps = [], [], []
    for part in parts:
        angles = angular_displacements(part, frame=frame)
        squares.append(_mean_squares(angles, lags))
        tensors.append(
            (_mean_products(angles, pair[1]) - _mean_products(angles, pair[0]))
            / (2 * interval_ps * (pair[1] - pair[0]))
        )
        steps.append(np.degrees(np.linalg.norm(part.step_vectors(), axis=-1)).ravel())
    squares, tensors, steps = (np.concatenate(item) for item in (squares, tensors, steps))
    ways = 2 if parts[0].is_linear else 3
    scalars = np.trace(tensors, axis1=1, axis2=2) / ways
    ends = np.cumsum([part.n_rotors for part in parts])[:-1]
    without = [
        (scalars.sum() - own.sum()) / (n_rotors - len(own))
        for own in np.split(scalars, ends)
        if len(parts) > 1
    ]
    error, dof, widened = with_replica_scatter(
        without, scalars.std(ddof=1) / np.sqrt(n_rotors), n_rotors - 1.0
    )
    half = stats.t.ppf(0.975, dof) * error
    between = f"{len(parts)} replicas, which differ" if widened else "rotors"
    unresolved = float((steps > _UNRESOLVED_DEG).mean())
    warnings = ()
    if unresolved > _FEW_UNRESOLVED:
        warnings = (
            f"{100 * unresolved:.2g} % of rotations of {parts[0].name} between frames are over "
            f"{_UNRESOLVED_DEG:g} degrees: write frames more often for a rotational diffusivity",
        )
    return RotationalDiffusion(
        name=parts[0].name,
        frame=frame,
        n_rotors=n_rotors,
        n_replicas=len(parts),
        lag_times_ps=interval_ps * lags,
        mean_squared_angle_rad2=squares.mean(axis=0),
        mean_squared_angle_stderr_rad2=squares.std(axis=0, ddof=1) / np.sqrt(n_rotors),
        diffusivity=Estimate(
            value=float(scalars.mean()),
            stderr=float(error),
            ci95=(float(scalars.mean() - half), float(scalars.mean() + half)),
            method=f"slope of the mean squared angle, scatter between {between}, Student interval",
            n_eff=float(len(parts) if widened else n_rotors),
        ),
        tensor_rad2_per_ps=tensors.mean(axis=0),
        tensor_stderr_rad2_per_ps=tensors.std(axis=0, ddof=1) / np.sqrt(n_rotors),
        slope_lags_ps=interval_ps * pair,
        largest_step_deg=float(steps.max()),
        unresolved_fraction=unresolved,
        warnings=warnings,
        provenance=collect_provenance(slope_lags_ps=(interval_ps * pair).tolist(), frame=frame),
    )


def _origins(n_frames, n_rotors, lag):
    return slice(0, n_frames - lag, max(1, (n_frames - lag) * n_rotors // _MOST_ORIGINS))


def _mean_squares(angles, lags):
    found = np.empty((angles.shape[1], len(lags)))
    for k, lag in enumerate(lags):
        origins = _origins(*angles.shape[:2], lag)
        moved = angles[lag:][origins] - angles[:-lag][origins]
        found[:, k] = np.einsum("tmi,tmi->m", moved, moved) / len(moved)
    return found


def _mean_products(angles, lag):
    origins = _origins(*angles.shape[:2], lag)
    moved = angles[lag:][origins] - angles[:-lag][origins]
    return np.einsum("tmi,tmj->mij", moved, moved) / len(moved)


@dataclass(frozen=True, eq=False, kw_only=True)
class LibrationSpectrum(Result):
    """Power spectrum of the angular velocity of rotors.

    `density_per_THz` integrates to the rotational degrees of freedom, 2 for linear rotors and 3 for others;
    `mean_frequency_THz` is its mean, and its value at zero frequency is proportional to D_r.
    """

    name: str
    n_rotors: int
    n_segments: int
    degrees_of_freedom: float = quantity("1")
    frequencies_THz: np.ndarray = quantity("THz", shape="(n_frequencies,)")
    density_per_THz: np.ndarray = quantity("1/THz", shape="(n_frequencies,)")
    density_stderr_per_THz: np.ndarray = quantity("1/THz", shape="(n_frequencies,)")
    mean_frequency_THz: Estimate = quantity("THz")
    mean_square_angular_velocity_rad2_per_ps2: float = quantity("rad^2/ps^2")


def libration_spectrum(
    orientations: Orientations | Sequence[Orientations],
    *,
    resolution_THz: float = 0.5,
    highest_frequency_THz: float | None = None,
) -> LibrationSpectrum:
    """Return the spectrum of librations, from rotations between frames.

    Parameters
    ----------
    orientations
        From `orientations_of`; replicas add up.
    resolution_THz
        Distance between frequencies, THz.
    highest_frequency_THz
        Highest frequency that may occur; by default 40 % of the frame rate, so that only a spectrum that
        runs into the end of the band is refused.

    Returns
    -------
    LibrationSpectrum

    Raises
    ------
    UnresolvedVibrationsError
        If frames are too far apart (`simtools.analysers.velocity_correlation.analyse_vibrations`).
    ConfigError
        If nothing turns, or the run is shorter than two segments.

    Notes
    -----
    Limit: a harmonic libration is one line at its frequency.
    """
    parts = (orientations,) if isinstance(orientations, Orientations) else tuple(orientations)
    interval_ps = parts[0].frame_interval_ps
    name = parts[0].name
    spectrum = analyse_vibrations(
        [
            Trajectory(
                positions_A=angular_displacements(part),
                species=np.full(part.n_rotors, name),
                cells_A=np.eye(3),
                frame_interval_ps=part.frame_interval_ps,
            )
            for part in parts
        ],
        species=name,
        resolution_THz=resolution_THz,
        highest_frequency_THz=0.4 / interval_ps if highest_frequency_THz is None else highest_frequency_THz,
    )
    freedom = 2.0 if parts[0].is_linear else 3.0
    share = freedom / spectrum.degrees_of_freedom
    return LibrationSpectrum(
        name=name,
        n_rotors=sum(part.n_rotors for part in parts),
        n_segments=spectrum.n_segments,
        degrees_of_freedom=freedom,
        frequencies_THz=spectrum.frequencies_THz,
        density_per_THz=share * spectrum.density_of_states_per_THz,
        density_stderr_per_THz=share * spectrum.density_stderr_per_THz,
        mean_frequency_THz=spectrum.attempt_frequency_THz,
        mean_square_angular_velocity_rad2_per_ps2=spectrum.mean_square_velocity_A2_per_ps2,
        provenance=spectrum.provenance,
    )
