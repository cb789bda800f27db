"""Window-averaged displacements, of ions and of their summed charge. No fitting here: see diffusion.py."""

from dataclasses import dataclass

import numpy as np
from scipy import fft

from simtools.analysers.kernels.streams import weighted_sums
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Result, quantity

__all__ = [
    "LagRangeError",
    "MSDResult",
    "collective_mean_squared_displacement",
    "mean_squared_displacement",
    "windowed_msd",
]

_CHUNK_BYTES = 64_000_000


class LagRangeError(ConfigError):
    """The lag asked for does not fit into the trajectory."""

    def __init__(self, max_lag_ps, longest_ps):
        super().__init__(max_lag_ps, longest_ps)
        self.max_lag_ps, self.longest_ps = max_lag_ps, longest_ps

    def __str__(self):
        return (
            f"max_lag_ps = {self.max_lag_ps} must be at least one frame interval and "
            f"at most the trajectory's {self.longest_ps:g} ps"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class MSDResult(Result):
    """Mean squared displacement of one species, averaged over window starts."""

    species: str
    lag_times_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    msd_A2: np.ndarray = quantity("angstrom^2", shape="(n_lags,)")
    msd_per_ion_A2: np.ndarray = quantity("angstrom^2", shape="(n_ions, n_lags)")


def windowed_msd(r_tnc, n_lags):
    r"""Average :math:`|r(t+k) - r(t)|^2` over every window start t, for each atom, by FFT.

    Parameters
    ----------
    r_tnc
        Unwrapped positions, shape (n_frames, n_atoms, 3). The first frame is subtracted and all sums are
        float64: a float32 transform of raw coordinates misses a plateau by up to 8 %.
    n_lags
        Lags 0 ... n_lags - 1 frames.

    Returns
    -------
    ndarray
        Shape (n_atoms, n_lags), in the square of the unit of `r_tnc`.

    References
    ----------
    .. [1] V. Calandrini, E. Pellegrini, P. Calligari, K. Hinsen and G. R. Kneller,
       Collection SFN 12, 201 (2011), section 4.2 (fast correlation algorithm).
    """
    n_frames, n_atoms, _ = r_tnc.shape
    msd_nk = np.empty((n_atoms, n_lags))
    n_fft = fft.next_fast_len(n_frames + n_lags, real=True)
    chunk = max(1, _CHUNK_BYTES // (24 * n_fft))
    starts = n_frames - np.arange(n_lags)
    for first in range(0, n_atoms, chunk):
        part = np.asarray(r_tnc[:, first : first + chunk], dtype=float)
        x_nct = np.ascontiguousarray(np.moveaxis(part - part[0], 0, -1))
        spectrum = fft.rfft(x_nct, n=n_fft, axis=-1)
        product = fft.irfft(spectrum.real**2 + spectrum.imag**2, n=n_fft, axis=-1)[..., :n_lags].sum(axis=1)
        square_nt = np.zeros((len(x_nct), n_frames + 1))
        np.cumsum(np.einsum("nct,nct->nt", x_nct, x_nct), axis=1, out=square_nt[:, 1:])
        heads = square_nt[:, n_frames - np.arange(n_lags)]
        tails = square_nt[:, -1:] - square_nt[:, :n_lags]
        msd_nk[first : first + chunk] = (heads + tails - 2 * product) / starts
    msd_nk[:, 0] = 0.0
    return np.maximum(msd_nk, 0.0)


def mean_squared_displacement(trajectory, *, species, max_lag_ps=None):
    r"""Return the mean squared displacement of `species`, averaged over all ions and window starts.

    .. math:: \mathrm{MSD}(t) = \langle |r_i(t_0 + t) - r_i(t_0)|^2 \rangle_{i, t_0}

    Parameters
    ----------
    trajectory
        Unwrapped, in the frame of the immobile sublattice (`Trajectory.in_host_frame`).
    species
        Symbol of the mobile ion.
    max_lag_ps
        Longest lag time, ps; half of the trajectory by default.

    Returns
    -------
    MSDResult

    Raises
    ------
    LagRangeError
        If the longest lag is shorter than a frame or longer than the trajectory.
    UnknownSpeciesError
        If there is no such ion.

    Notes
    -----
    Limits: ballistic flight gives v²t², a rattling ion a plateau of 6 u².
    """
    msd_nk, lag_times_ps = _windowed(trajectory, trajectory.positions_of(species), max_lag_ps)
    return MSDResult(
        species=species,
        lag_times_ps=lag_times_ps,
        msd_A2=msd_nk.mean(axis=0),
        msd_per_ion_A2=msd_nk,
        provenance=collect_provenance(species=species, max_lag_ps=max_lag_ps),
    )


def collective_mean_squared_displacement(trajectory, *, species, max_lag_ps=None):
    r"""Return the mean squared summed displacement of `species`, per ion.

    .. math:: \frac{1}{N} \Big\langle \Big| \sum_i^N [r_i(t_0 + t) - r_i(t_0)] \Big|^2 \Big\rangle_{t_0}

    Parameters
    ----------
    trajectory, species, max_lag_ps
        As for `mean_squared_displacement`.

    Returns
    -------
    MSDResult
        With one row in `msd_per_ion_A2`: the sum is one walker.

    Raises
    ------
    LagRangeError, UnknownSpeciesError
        As for `mean_squared_displacement`.

    Notes
    -----
    Limits: independent ions give their mean squared displacement, N ions in lock-step N times it.
    """
    r_tnc = trajectory.positions_of(species)
    summed_tnc = summed_displacement(r_tnc)[:, None, :] / np.sqrt(r_tnc.shape[1])
    msd_nk, lag_times_ps = _windowed(trajectory, summed_tnc, max_lag_ps)
    return MSDResult(
        species=species,
        lag_times_ps=lag_times_ps,
        msd_A2=msd_nk[0],
        msd_per_ion_A2=msd_nk,
        provenance=collect_provenance(species=species, max_lag_ps=max_lag_ps),
    )


def summed_displacement(r_tnc):
    """Return the sum over ions of the displacement since the first frame, shape (n_frames, 3)."""
    summed_tc = np.empty((len(r_tnc), 3))
    weighted_sums(r_tnc, r_tnc[0], np.ones(r_tnc.shape[1]), summed_tc)
    return summed_tc


def _windowed(trajectory, r_tnc, max_lag_ps):
    interval_ps = trajectory.frame_interval_ps
    n_lags = len(r_tnc) // 2 if max_lag_ps is None else round(max_lag_ps / interval_ps) + 1
    if not 1 < n_lags <= len(r_tnc):
        raise LagRangeError(max_lag_ps, (len(r_tnc) - 1) * interval_ps)
    return windowed_msd(r_tnc, n_lags), interval_ps * np.arange(n_lags)
