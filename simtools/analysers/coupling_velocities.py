"""Coherence of the angular velocity of rotors with the velocity of ions beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simtools.analysers.event_correlogram import randomisation_p
from simtools.analysers.kernels import coupling as kernels
from simtools.analysers.orientations import Orientations
from simtools.analysers.rotor_surroundings import checked_cells
from simtools.analysers.shift_null import circular_shifts, correlation_steps, stretch_slices, upper_p
from simtools.analysers.uncertainty import normal_estimate
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.md.trajectory import Trajectory

__all__ = ["VelocityCoherence", "paired", "velocity_coherence"]

_FEWEST_SEGMENTS = 8
_BAND = 0.95


@dataclass(frozen=True, eq=False, kw_only=True)
class VelocityCoherence(Result):
    r"""Coherence of a rotor's angular velocity with the turning of the ions about it.

    .. math:: \gamma^2(\nu) = |S_{\omega F}|^2 / (S_{\omega\omega} S_{FF}), \qquad
        F_j = \langle \hat r_{ij} \times v_i \rangle_i

    Attributes
    ----------
    coherence, band
        At each frequency, and the height that 95 % of shifted copies stay below at all of them.
    correlation : Estimate
        :math:`\langle \omega \cdot F \rangle` over the root of the two mean squares, at lag zero, 0
        for independent motion; error: the spread of shifted copies.
    correlation_p_value
        Two-sided.
    p_value
        Of the highest coherence, in units of its spread, against shifts.
    """

    n_segments: int
    n_shifts: int
    frequencies_THz: np.ndarray = quantity("THz", shape="(n_frequencies,)")
    coherence: np.ndarray = quantity("1", shape="(n_frequencies,)")
    band: np.ndarray = quantity("1", shape="(n_frequencies,)")
    correlation: Estimate = quantity("1")
    correlation_p_value: float = quantity("1")
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
        Of one run, or of replicas, which add up; velocities are differences between frames.
    mobile
        The ion.
    radius_A
        Distance from a rotor's centre within which ions are near, Å.
    resolution_THz
        Distance between frequencies, THz: segments are its inverse long.
    n_shifts, seed
        Each rotor's segments are paired with others of its surroundings, around each stretch of the run
        (`shift_null`), and the seed of that.

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
    rotors, runs = paired(orientations, trajectories)
    interval_ps = runs[0].frame_interval_ps
    if any(abs(run.frame_interval_ps - interval_ps) > 1e-6 * interval_ps for run in runs):
        raise ConfigError("replicas have different times between frames: expected one")
    length = max(4, round(1 / (resolution_THz * interval_ps)))
    counts = [(run.n_frames - 1) // length for run in runs]
    if sum(counts) < _FEWEST_SEGMENTS:
        raise ConfigError(
            f"{sum(run.n_frames for run in runs)} frames give {sum(counts)} segments of {resolution_THz:g} "
            f"THz resolution, expected {_FEWEST_SEGMENTS}: ask for a coarser one"
        )
    rng = np.random.default_rng(seed)
    cross = np.zeros((n_shifts + 1, length // 2 + 1), dtype=complex)
    power = np.zeros((2, length // 2 + 1))
    for turned, run, n_segments in zip(rotors, runs, counts, strict=True):
        spectra = _segments(turned, run, mobile, radius_A, n_segments, length)
        for which in (0, 1):
            power[which] += np.sum(np.abs(spectra[which]) ** 2, axis=(0, 2, 3))
        strength = np.log(np.sum(np.abs(spectra[0]) ** 2, axis=(1, 3)) + 1e-300)
        memory = correlation_steps(strength)
        for stretch in stretch_slices(n_segments, memory):
            first, second = np.conj(spectra[0][stretch]), spectra[1][stretch]
            number = np.arange(len(first))[:, None]
            for draw, shift in enumerate(circular_shifts(rng, n_shifts, turned.n_rotors, len(first))):
                place = ((number + shift) % len(first))[:, None, :, None]
                moved = np.take_along_axis(second, place, axis=0)
                cross[draw] += np.einsum("sfmc,sfmc->f", first, moved)
    if not (power[0].sum() > 0 and power[1].sum() > 0):
        raise ConfigError("rotors or the ions near them do not move: there is no coherence")
    found = np.abs(cross) ** 2 / np.maximum(power[0] * power[1], 1e-300)
    mean, spread = found.mean(axis=0), np.maximum(found.std(axis=0), 1e-300)
    highest = ((found - mean) / spread).max(axis=1)
    # twice all frequencies but the first, and the last of an even number of steps: Parseval
    twice = np.full(length // 2 + 1, 2.0)
    twice[0] = 1.0
    if length % 2 == 0:
        twice[-1] = 1.0
    common = cross.real @ twice / np.sqrt((power[0] @ twice) * (power[1] @ twice))
    return VelocityCoherence(
        n_segments=sum(counts),
        n_shifts=n_shifts,
        frequencies_THz=np.fft.rfftfreq(length, interval_ps),
        coherence=found[0],
        band=mean + np.quantile(highest[1:], _BAND) * spread,
        correlation=normal_estimate(
            common[0],
            common[1:].std(),
            method="error: spread of circular shifts of each rotor",
            n_eff=sum(counts),
        ),
        correlation_p_value=randomisation_p(common),
        p_value=upper_p(highest),
        provenance=collect_provenance(
            mobile=mobile, radius_A=radius_A, resolution_THz=resolution_THz, n_shifts=n_shifts, seed=seed
        ),
    )


def paired(orientations, others):
    """Return orientations and what belongs to them, of one run or of replicas, as two tuples."""
    rotors = (orientations,) if isinstance(orientations, Orientations) else tuple(orientations)
    others = tuple(others) if isinstance(others, Sequence) else (others,)
    if len(rotors) != len(others) or not rotors:
        raise ConfigError(f"got orientations of {len(rotors)} runs and {len(others)} runs: expected the same")
    return rotors, others


def _segments(orientations, trajectory, mobile, radius_A, n_segments, length):
    """Return tapered spectra of omega and F, two arrays (n_segments, n_frequencies, n_rotors, 3)."""
    interval_ps = trajectory.frame_interval_ps
    cells = checked_cells(trajectory.cells_A, radius_A)
    r_tnc = trajectory.positions_of(mobile)
    v_tnc = np.diff(r_tnc, axis=0) / interval_ps
    middle = np.ascontiguousarray(0.5 * (r_tnc[1:] + r_tnc[:-1]))
    centres = np.ascontiguousarray(0.5 * (orientations.centres_A[1:] + orientations.centres_A[:-1]))
    field = np.empty_like(centres)
    kernels.near_field(middle, v_tnc, centres, cells, np.linalg.inv(cells), radius_A, field)
    omega = orientations.step_vectors() / interval_ps
    taper = np.hanning(length + 1)[:-1]
    used = n_segments * length
    return [
        np.fft.rfft(item[:used].reshape(n_segments, length, -1, 3) * taper[:, None, None], axis=1)
        for item in (omega, field)
    ]
