"""Correlation functions of rotors and ions: angular and linear velocity, joint reorientation and stay."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simtools.analysers.kernels import coupling as kernels
from simtools.analysers.orientations import Orientations
from simtools.analysers.rotor_surroundings import checked_cells
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Result, quantity
from simtools.md.trajectory import Trajectory

__all__ = ["JointCorrelation", "VelocityCoherence", "joint_correlation", "velocity_coherence"]

_FEWEST_SEGMENTS = 8
_BAND = 0.95
_MOST_ORIGINS = 300
_N_LAGS = 30
_N_BLOCKS = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class VelocityCoherence(Result):
    r"""Coherence of a rotor's angular velocity with the turning of the ions about it.

    .. math:: \gamma^2(\nu) = |S_{\omega F}|^2 / (S_{\omega\omega} S_{FF}), \qquad
        F_j = \langle \hat r_{ij} \times v_i \rangle_i

    Attributes
    ----------
    coherence, band
        At each frequency, and the height that 95 % of shifted copies stay below at all of them.
    correlation : float
        :math:`\langle \omega \cdot F \rangle` over the root of the two mean squares, at lag zero.
    p_value
        Of the highest coherence, in units of its spread, against shifts.
    """

    n_segments: int
    n_shifts: int
    frequencies_THz: np.ndarray = quantity("THz", shape="(n_frequencies,)")
    coherence: np.ndarray = quantity("1", shape="(n_frequencies,)")
    band: np.ndarray = quantity("1", shape="(n_frequencies,)")
    correlation: float = quantity("1")
    p_value: float = quantity("1")


def velocity_coherence(
    orientations: Orientations | Sequence[Orientations],
    trajectories: Trajectory | Sequence[Trajectory],
    *,
    mobile: str,
    radius_A: float,
    resolution_THz: float = 1.0,
    n_shifts: int = 200,
    seed: int = 0,
) -> VelocityCoherence:
    """Return at which frequencies rotors and the ions beside them turn together.

    Parameters
    ----------
    orientations, trajectories
        Of one run or of each replica; velocities are differences between frames.
    mobile
        The ion.
    radius_A
        Distance from a rotor's centre within which ions are near, Å.
    resolution_THz
        Distance between frequencies, THz: segments are its inverse long.
    n_shifts, seed
        Each rotor's segments are paired with later ones of its surroundings, around the run.

    Raises
    ------
    ConfigError
        For a run shorter than eight segments, or where nothing turns.

    Notes
    -----
    Limit: independent motion has a coherence of 1/(number of segments, rotors and axes). Forces between
    neighbours make them coherent in every crystal: this says how strongly they are tied, not that rotations
    drive hops.
    """
    pairs = _pairs(orientations, trajectories)
    interval_ps = pairs[0][1].frame_interval_ps
    length = max(4, round(1 / (resolution_THz * interval_ps)))
    used = [(turned, item, (item.n_frames - 1) // length) for turned, item in pairs]
    n_segments = sum(number for *_, number in used)
    if n_segments < _FEWEST_SEGMENTS:
        raise ConfigError(
            f"{sum(item.n_frames for _, item in pairs)} frames give {n_segments} segments of "
            f"{resolution_THz:g} THz resolution, expected {_FEWEST_SEGMENTS}: ask for a coarser one"
        )
    n_frequencies = length // 2 + 1
    power, moments = np.zeros((2, n_frequencies)), np.zeros((3, 2))
    cross = np.zeros((n_shifts + 1, n_frequencies), dtype=complex)
    rng = np.random.default_rng(seed)
    for turned, item, number in used:
        if number > 1:
            _add_spectra(turned, item, mobile, radius_A, (number, length), rng, (power, moments, cross))
    if not (power[0].sum() > 0 and power[1].sum() > 0):
        raise ConfigError("rotors or the ions near them do not move: there is no coherence")
    found = np.abs(cross) ** 2 / np.maximum(power[0] * power[1], 1e-300)
    mean, spread = found.mean(axis=0), np.maximum(found.std(axis=0), 1e-300)
    highest = ((found - mean) / spread).max(axis=1)
    scale = np.sqrt(moments[1, 0] * moments[2, 0])
    return VelocityCoherence(
        n_segments=n_segments,
        n_shifts=n_shifts,
        frequencies_THz=np.fft.rfftfreq(length, interval_ps),
        coherence=found[0],
        band=mean + np.quantile(highest[1:], _BAND) * spread,
        correlation=float(moments[0, 0] / scale),
        p_value=float((1 + (highest[1:] >= highest[0]).sum()) / len(highest)),
        provenance=collect_provenance(
            mobile=mobile, radius_A=radius_A, resolution_THz=resolution_THz, n_shifts=n_shifts, seed=seed
        ),
    )


def _pairs(orientations, trajectories):
    """Return (orientations, trajectory) of each run."""
    parts = (orientations,) if isinstance(orientations, Orientations) else tuple(orientations)
    runs = (trajectories,) if isinstance(trajectories, Trajectory) else tuple(trajectories)
    return list(zip(parts, runs, strict=True))


def _add_spectra(orientations, trajectory, mobile, radius_A, shape, rng, sums):
    """Add the spectra of one run: powers, products at lag zero and cross spectra as seen and shifted."""
    power, moments, cross = sums
    n_segments, length = shape
    interval_ps = trajectory.frame_interval_ps
    cells = checked_cells(trajectory.cells_A, radius_A)
    r_tnc = trajectory.positions_of(mobile)
    v_tnc = np.diff(r_tnc, axis=0) / interval_ps
    middle = np.ascontiguousarray(0.5 * (r_tnc[1:] + r_tnc[:-1]))
    centres = np.ascontiguousarray(0.5 * (orientations.centres_A[1:] + orientations.centres_A[:-1]))
    field = np.empty_like(centres)
    kernels.near_field(middle, v_tnc, centres, cells, np.linalg.inv(cells), radius_A, field)
    omega = orientations.step_vectors() / interval_ps
    for row, product in zip(moments, (omega * field, omega**2, field**2), strict=True):
        row += product.sum(), product.size
    taper = np.hanning(length + 1)[:-1]
    kept = n_segments * length
    spectra = [
        np.fft.rfft(item[:kept].reshape(n_segments, length, -1, 3) * taper[:, None, None], axis=1)
        for item in (omega, field)
    ]
    for row, spectrum in zip(power, spectra, strict=True):
        row += np.sum(np.abs(spectrum) ** 2, axis=(0, 2, 3))
    for draw in range(len(cross)):
        for rotor in range(orientations.n_rotors):
            shift = int(rng.integers(1, n_segments)) if draw else 0
            moved = np.roll(spectra[1][:, :, rotor], -shift, axis=0)
            cross[draw] += np.einsum("sfc,sfc->f", np.conj(spectra[0][:, :, rotor]), moved)


@dataclass(frozen=True, eq=False, kw_only=True)
class JointCorrelation(Result):
    r"""Whether rotors keep their orientation as long as ions keep their place.

    .. math:: J_l(t) = \langle h(t) P_l(\hat u(0)\cdot\hat u(t)) \rangle - \langle h(t) \rangle
        \langle P_l(\hat u(0)\cdot\hat u(t)) \rangle

    over pairs of a rotor and an ion that is near at time 0; h(t) = 1 while it is near. Positive where ions
    that stay have rotors that stay.

    Attributes
    ----------
    stay, p1, p2
        :math:`\langle h \rangle`, :math:`\langle P_1 \rangle` and :math:`\langle P_2 \rangle` over the same
        pairs.
    joint1, joint2, joint1_stderr, joint2_stderr
        J_1 and J_2, errors from eight stretches of time of each run.
    """

    n_origins: int
    radius_A: float = quantity("angstrom")
    lag_times_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    stay: np.ndarray = quantity("1", shape="(n_lags,)")
    p1: np.ndarray = quantity("1", shape="(n_lags,)")
    p2: np.ndarray = quantity("1", shape="(n_lags,)")
    joint1: np.ndarray = quantity("1", shape="(n_lags,)")
    joint1_stderr: np.ndarray = quantity("1", shape="(n_lags,)")
    joint2: np.ndarray = quantity("1", shape="(n_lags,)")
    joint2_stderr: np.ndarray = quantity("1", shape="(n_lags,)")


def joint_correlation(
    orientations: Orientations | Sequence[Orientations],
    trajectories: Trajectory | Sequence[Trajectory],
    *,
    mobile: str,
    radius_A: float,
    max_lag_ps: float | None = None,
) -> JointCorrelation:
    """Return the joint correlation of the orientation of rotors and the stay of ions beside them.

    Parameters
    ----------
    orientations, trajectories
        Of one run or of each replica; the first bond of each molecule is followed.
    mobile
        The ion.
    radius_A
        Distance from a rotor's centre within which ions are near, Å.
    max_lag_ps
        Longest lag, ps; by default a third of the run.

    Raises
    ------
    ConfigError
        If no ion is near a rotor, or the lag does not fit.

    Notes
    -----
    Limit: zero where ions do not care how the rotor turns.
    """
    pairs = _pairs(orientations, trajectories)
    interval_ps = pairs[0][1].frame_interval_ps
    n_frames = min(item.n_frames for _, item in pairs)
    longest = n_frames // 3 if max_lag_ps is None else round(max_lag_ps / interval_ps)
    if not 1 <= longest < n_frames - _N_BLOCKS:
        raise ConfigError(f"a longest lag of {longest} frames does not fit a run of {n_frames}")
    lags = np.unique(np.round(np.geomspace(1, longest, _N_LAGS)).astype(np.int64))
    lags = np.concatenate([[0], lags])
    sums = np.concatenate([_joint_sums(*pair, mobile, radius_A, lags) for pair in pairs])
    if sums[:, 0, 0].sum() == 0:
        raise ConfigError(f"no {mobile} comes within {radius_A:g} Å of a rotor: expected a larger radius_A")
    total = sums.sum(axis=0)
    averages = total / total[:, :1]
    joints, errors = [], []
    for l_column, joint_column in ((2, 4), (3, 5)):
        joints.append(averages[:, joint_column] - averages[:, 1] * averages[:, l_column])
        parts = sums / np.maximum(sums[:, :, :1], 1.0)
        scatter = parts[..., joint_column] - parts[..., 1] * parts[..., l_column]
        errors.append(scatter.std(axis=0, ddof=1) / np.sqrt(len(sums)) if len(sums) > 1 else 0 * lags)
    return JointCorrelation(
        n_origins=sum(min(_MOST_ORIGINS, item.n_frames - int(lags[-1])) for _, item in pairs),
        radius_A=float(radius_A),
        lag_times_ps=interval_ps * lags,
        stay=averages[:, 1],
        p1=averages[:, 2],
        p2=averages[:, 3],
        joint1=joints[0],
        joint1_stderr=errors[0],
        joint2=joints[1],
        joint2_stderr=errors[1],
        provenance=collect_provenance(mobile=mobile, radius_A=radius_A, max_lag_ps=interval_ps * longest),
    )


def _joint_sums(orientations, trajectory, mobile, radius_A, lags):
    """Return the sums over pairs of one run, shape (stretches of time, lags, 6)."""
    cells = checked_cells(trajectory.cells_A, radius_A)
    u = np.ascontiguousarray(orientations.vectors[:, :, 0])
    centres = np.ascontiguousarray(orientations.centres_A)
    r_tnc, inverse = trajectory.positions_of(mobile), np.linalg.inv(cells)
    last = trajectory.n_frames - 1 - lags[-1]
    origins = np.unique(np.linspace(0, last, _MOST_ORIGINS).astype(np.int64))
    blocks = np.array_split(origins, min(_N_BLOCKS, len(origins)))
    sums = np.zeros((len(blocks), len(lags), 6))
    for block, out in zip(blocks, sums, strict=True):
        kernels.joint_sums(r_tnc, u, centres, cells, inverse, radius_A, block, lags, out)
    return sums
