"""Velocity autocorrelation, vibrational density of states and attempt frequency of one species."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.replicas import check_replicas
from simtools.core.errors import ConfigError, SimtoolsError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity

__all__ = ["UnresolvedVibrationsError", "VibrationResult", "analyse_vibrations"]

_HIGHEST_THZ = {"H": 130.0, "D": 95.0}
_HIGHEST_OTHERS_THZ = 25.0
_SAMPLES_PER_PERIOD = 2.5
_TOP_SHARE = 0.02
_LEAST_SEGMENT = 16
_LONGEST_CHUNK = 64


class UnresolvedVibrationsError(SimtoolsError, ValueError):
    """Frames are too far apart to see vibrations."""

    def __init__(self, interval_ps, needed_ps, why):
        super().__init__(interval_ps, needed_ps, why)
        self.interval_ps, self.needed_ps, self.why = interval_ps, needed_ps, why

    def __str__(self):
        return (
            f"frames every {1000 * self.interval_ps:g} fs do not resolve the vibrations ({self.why}): sample "
            f"every {1000 * self.needed_ps:.3g} fs or less"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class VibrationResult(Result):
    r"""Velocity autocorrelation and vibrational density of states.

    `density_of_states_per_THz` integrates to `degrees_of_freedom` over the frequencies (sum times spacing,
    exactly). `attempt_frequency_THz` is its mean frequency, `einstein_frequency_THz` the root of its mean
    square. `source` says whether velocities were stored or are differences of positions.
    """

    species: str
    n_ions: int
    n_replicas: int
    n_segments: int
    source: str
    degrees_of_freedom: float = quantity("1")
    lag_times_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    autocorrelation: np.ndarray = quantity("1", shape="(n_lags,)")
    mean_square_velocity_A2_per_ps2: float = quantity("angstrom^2/ps^2")
    frequencies_THz: np.ndarray = quantity("THz", shape="(n_frequencies,)")
    density_of_states_per_THz: np.ndarray = quantity("1/THz", shape="(n_frequencies,)")
    density_stderr_per_THz: np.ndarray = quantity("1/THz", shape="(n_frequencies,)")
    attempt_frequency_THz: Estimate = quantity("THz")
    einstein_frequency_THz: Estimate = quantity("THz")


def analyse_vibrations(trajectories, *, species, resolution_THz=0.25, highest_frequency_THz=None):
    r"""Return the velocity autocorrelation, the vibrational density of states and the attempt frequency.

    .. math::
        Z(t) = \frac{\langle v_i(0) \cdot v_i(t)\rangle}{\langle v_i^2 \rangle}, \qquad
        g(\nu) = 4 f \int_0^\infty Z(t) \cos(2\pi\nu t)\, dt, \qquad \int_0^\infty g\,d\nu = f = 3

    Parameters
    ----------
    trajectories
        Replicas with velocities, or with positions often enough for finite differences.
    species
        Symbol of the ion, a molecular ion included.
    resolution_THz
        Distance between frequencies, THz: segments are its inverse long, Hann-tapered, half overlapping.
    highest_frequency_THz
        Highest frequency that may occur, which frames must sample 2.5 times per period; by default 130 THz
        for H, 95 THz for D and 25 THz for others (a molecular ion moves as a whole).

    Returns
    -------
    VibrationResult
        Errors are the scatter over segments that do not overlap, replicas together; modes that live longer
        than a segment make them too small.

    Raises
    ------
    UnresolvedVibrationsError
        If frames are too far apart for the highest frequency, or over 2 % of the power lies in the top tenth
        of the band.
    ConfigError
        For a resolution that is not positive, a run shorter than two segments, or no motion at all.
    UnknownSpeciesError
        If there is no such ion.

    Notes
    -----
    A difference of positions over one frame carries :math:`\mathrm{sinc}^2(\pi\nu\Delta t)` of a frequency's
    power; that is divided out. Limits: a harmonic ion gives one line at each of its frequencies, of weight 1;
    a free one a peak at zero. The value at zero is :math:`12 D^* / \langle v^2\rangle` for f = 3.

    References
    ----------
    .. [1] J. M. Dickey and A. Paskin, Phys. Rev. 188, 1407 (1969): density of states from velocities.
    .. [2] N. J. J. de Klerk, E. van der Maas and M. Wagemaker, ACS Appl. Energy Mater. 1, 3230 (2018): the
       attempt frequency as the mean of a spectrum of the ions' motion.
    """
    trajectories = tuple(trajectories)
    if not trajectories:
        raise ConfigError("analyse_vibrations needs at least one trajectory, got none")
    if not (np.isfinite(resolution_THz) and resolution_THz > 0):
        raise ConfigError(f"resolution_THz must be positive, got {resolution_THz!r}")
    check_replicas(trajectories, species)
    interval_ps = trajectories[0].frame_interval_ps
    highest = _highest(species, highest_frequency_THz)
    needed_ps = 1 / (_SAMPLES_PER_PERIOD * highest)
    if interval_ps > needed_ps * (1 + 1e-9):
        raise UnresolvedVibrationsError(interval_ps, needed_ps, f"{species} may vibrate at {highest:g} THz")
    stored = all(item.velocities_A_per_ps is not None for item in trajectories)
    length = max(_LEAST_SEGMENT, round(1 / (resolution_THz * interval_ps)))
    frequencies = np.fft.rfftfreq(length, interval_ps)
    spectra, correlations, squares = [], [], []
    for number, item in enumerate(trajectories):
        v_tnc = _velocities(item, species, stored)
        if len(v_tnc) < 2 * length:
            raise ConfigError(
                f"replica {number} has {len(v_tnc)} frames, a resolution of {resolution_THz:g} THz needs "
                f"{2 * length}: ask for a coarser one or run longer"
            )
        spectra.append(_segment_spectra(v_tnc, length))
        square, correlation = _autocorrelation(v_tnc, length)
        correlations.append(correlation)
        squares.append(square)
    power_sf = np.concatenate(spectra)
    if not power_sf.sum() > 0:
        raise ConfigError(f"the {species} do not move at all: there is no spectrum")
    if not stored:
        power_sf = power_sf / np.sinc(frequencies * interval_ps) ** 2
    mean = power_sf.mean(axis=0)
    top = mean[int(0.9 * len(mean)) :].sum() / mean.sum()
    if top > _TOP_SHARE:
        raise UnresolvedVibrationsError(
            interval_ps, interval_ps / 4, f"{100 * top:.0f} % of the power lies at the end of the band"
        )
    spacing, freedom = frequencies[1], 3.0
    scale = freedom / (mean.sum() * spacing)
    # neighbouring segments overlap by half: every other one is independent
    independent = max(2.0, sum(-(-len(item) // 2) for item in spectra))
    autocorrelation = np.sum(correlations, axis=0) / np.sum(squares)
    return VibrationResult(
        species=species,
        n_ions=trajectories[0].n_of(species),
        n_replicas=len(trajectories),
        n_segments=len(power_sf),
        source="velocities" if stored else "differences of positions",
        degrees_of_freedom=freedom,
        lag_times_ps=interval_ps * np.arange(length),
        autocorrelation=autocorrelation,
        mean_square_velocity_A2_per_ps2=float(np.mean(squares)),
        frequencies_THz=frequencies,
        density_of_states_per_THz=scale * mean,
        density_stderr_per_THz=scale * power_sf.std(axis=0, ddof=1) / np.sqrt(independent),
        attempt_frequency_THz=_moment(power_sf, frequencies, 1, independent),
        einstein_frequency_THz=_moment(power_sf, frequencies, 2, independent),
        provenance=collect_provenance(
            species=species, resolution_THz=resolution_THz, highest_frequency_THz=highest
        ),
    )


def _highest(species, asked):
    if asked is not None:
        if not (np.isfinite(asked) and asked > 0):
            raise ConfigError(f"highest_frequency_THz must be positive, got {asked!r}")
        return float(asked)
    if species in _HIGHEST_THZ:
        return _HIGHEST_THZ[species]
    return _HIGHEST_OTHERS_THZ


def _velocities(trajectory, species, stored):
    indices = trajectory.indices_of(species)
    if stored:
        return np.ascontiguousarray(trajectory.velocities_A_per_ps[:, indices])
    return np.diff(trajectory.positions_A[:, indices], axis=0) / trajectory.frame_interval_ps


def _segment_spectra(v_tnc, length):
    """Return the one-sided power of every segment, summed over ions and axes: (n_segments, n_frequencies)."""
    taper = np.hanning(length + 1)[:-1]
    starts = range(0, len(v_tnc) - length + 1, length // 2)
    power = np.zeros((len(starts), length // 2 + 1))
    for s, start in enumerate(starts):
        for first in range(0, v_tnc.shape[1], _LONGEST_CHUNK):
            part = v_tnc[start : start + length, first : first + _LONGEST_CHUNK] * taper[:, None, None]
            amplitude = np.fft.rfft(part, axis=0)
            power[s] += (amplitude.real**2 + amplitude.imag**2).sum(axis=(1, 2))
    power[:, 1 : (length + 1) // 2] *= 2
    return power


def _autocorrelation(v_tnc, n_lags):
    """Return the mean square velocity and the autocorrelation at the first lags, Å²/ps²."""
    n, total = len(v_tnc), np.zeros(n_lags)
    for ion in range(v_tnc.shape[1]):
        amplitude = np.fft.rfft(v_tnc[:, ion], n=2 * n, axis=0)
        total += np.fft.irfft((amplitude.real**2 + amplitude.imag**2).sum(axis=1))[:n_lags]
    total /= (n - np.arange(n_lags)) * v_tnc.shape[1]
    return float(total[0]), total


def _moment(power_sf, frequencies, power, independent):
    """Return the power-th root of the mean power of the frequency, with the scatter over segments."""
    weight_s = power_sf.sum(axis=1)
    moment_s = power_sf @ frequencies**power
    mean = moment_s.mean() / weight_s.mean()
    residual = (moment_s - mean * weight_s) / weight_s.mean()
    error = residual.std(ddof=1) / np.sqrt(independent)
    value = mean ** (1 / power)
    error *= value / (power * mean)
    half = stats.t.ppf(0.975, max(independent - 1, 1)) * error
    return Estimate(
        value=float(value),
        stderr=float(error),
        ci95=(float(value - half), float(value + half)),
        method="mean of the vibrational density of states, scatter over segments, Student interval",
        n_eff=float(independent),
    )
