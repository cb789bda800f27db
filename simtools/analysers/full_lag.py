"""Displacements at every lag by Fourier transform, of ions, species and charge, along each direction."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy import fft

from simtools.analysers.kernels import full_lag as kernels
from simtools.analysers.msd import LagRangeError
from simtools.analysers.replicas import formal_charge_e
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Result, quantity

__all__ = ["FullLagDisplacements", "full_lag_displacements", "full_lag_sums"]

_BATCH_BYTES = 4_000_000
_FEWEST_BATCHES = 16
_IONS_PER_TASK = 64


@dataclass(frozen=True, eq=False, kw_only=True)
class FullLagDisplacements(Result):
    """Mean squared displacements of one trajectory at every lag, averaged over every origin.

    `collective_msd_A2` is that of the summed displacement of a species, divided by its number of ions;
    `charge_msd_e2_A2` that of the formal charges' summed displacement, not divided by anything, None where
    the trajectory does not give all charges. The last axis is x, y, z.
    """

    species: tuple
    n_ions: tuple
    lag_times_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    msd_A2: np.ndarray = quantity("angstrom^2", shape="(n_species, n_lags, 3)")
    collective_msd_A2: np.ndarray = quantity("angstrom^2", shape="(n_species, n_lags, 3)")
    charge_msd_e2_A2: np.ndarray | None = quantity("e^2 angstrom^2", shape="(n_lags, 3)")

    @property
    def haven_ratios(self):
        """Ratio of both displacements at each lag, shape (n_species, n_lags); NaN where nothing moves.

        The Haven ratio is its value at long lags; for an interval see `analyse_transport`.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.msd_A2.sum(axis=-1) / self.collective_msd_A2.sum(axis=-1)


def full_lag_sums(r_tnc, *, ions=None, n_lags=None, workers=None):
    r"""Return the mean squared displacement of ions and of their sum at each lag, along each direction.

    Parameters
    ----------
    r_tnc
        Unwrapped positions, shape (n_frames, n_atoms, 3), Å.
    ions
        Which atoms; all by default. Positions are not copied.
    n_lags
        Lags 0 ... n_lags - 1 frames; all by default.
    workers
        Threads; by default one per processor. Their number changes no bit of the result.

    Returns
    -------
    msd_kc : ndarray
        Averaged over ions and origins, shape (n_lags, 3), Å².
    collective_kc : ndarray
        Of the summed displacement, divided by the number of ions, shape (n_lags, 3), Å².

    Raises
    ------
    LagRangeError
        If there are more lags than frames, or none.

    Notes
    -----
    In :math:`\langle x_{t+k}^2 + x_t^2 \rangle - 2 \langle x_{t+k} x_t \rangle` squares and correlation are
    summed over ions before anything is transformed back, so that there is one transform for each ion and
    direction [1]_. Displacements since the first frame, in float64, keep the loss by cancellation at about
    1e-16 times the largest squared displacement over the result: below 1e-10 of it in runs of 10⁴ frames.
    Ions are taken in batches of a few megabytes. Limits: flight gives v²t² along its direction, lock-step
    ions n_ions times their own displacement in the sum.

    References
    ----------
    .. [1] V. Calandrini, E. Pellegrini, P. Calligari, K. Hinsen and G. R. Kneller,
       Collection SFN 12, 201 (2011), section 4.2 (fast correlation algorithm).
    """
    n_frames = r_tnc.shape[0]
    ions = np.arange(r_tnc.shape[1]) if ions is None else np.asarray(ions)
    n_ions = len(ions)
    n_lags = n_frames if n_lags is None else n_lags
    if not 0 < n_lags <= n_frames:
        raise LagRangeError(n_lags - 1, n_frames - 1)
    workers = workers or os.cpu_count() or 1
    n_fft = fft.next_fast_len(n_frames + n_lags - 1, real=True)
    batch = max(1, min(-(-n_ions // _FEWEST_BATCHES), _BATCH_BYTES // (24 * n_fft)))

    share = max(batch, _IONS_PER_TASK)
    kept = threading.local()

    def transform(first):
        if not hasattr(kept, "x_cnt"):
            kept.x_cnt = np.zeros((3, batch, n_fft))
            kept.spectrum_cnf = np.empty((3, batch, n_fft // 2 + 1), dtype=complex)
        square_ct, summed_ct = np.zeros((3, n_frames)), np.zeros((3, n_frames))
        power_cf = np.zeros((3, n_fft // 2 + 1))
        last = min(first + share, n_ions)
        for start in range(first, last, batch):
            chosen = ions[start : min(start + batch, last)]
            x_cnt = kept.x_cnt[:, : len(chosen)]
            kernels.gather(r_tnc, chosen, x_cnt, square_ct, summed_ct)
            # numpy's transform writes into memory that is there; a new array each time costs as much again
            spectrum_cnf = np.fft.rfft(x_cnt, axis=-1, out=kept.spectrum_cnf[:, : x_cnt.shape[1]])
            kernels.add_power(spectrum_cnf, power_cf)
        return square_ct, summed_ct, power_cf

    square_ct, summed_ct = np.zeros((3, n_frames)), np.zeros((3, n_frames))
    power_cf = np.zeros((3, n_fft // 2 + 1))
    firsts = range(0, n_ions, share)
    with ThreadPoolExecutor(workers) as pool:
        # a few batches at a time: what waits to be added is memory
        for group in range(0, len(firsts), 4 * workers):
            for squares, sums, powers in pool.map(transform, firsts[group : group + 4 * workers]):
                square_ct += squares
                summed_ct += sums
                power_cf += powers
    own_kc = _mean_square(square_ct, power_cf, n_fft, n_lags) / n_ions
    power_cf = np.abs(fft.rfft(summed_ct, n=n_fft, axis=-1)) ** 2
    return own_kc, _mean_square(summed_ct**2, power_cf, n_fft, n_lags) / n_ions


def full_lag_displacements(trajectory, *, species, max_lag_ps=None, workers=None):
    """Return the `FullLagDisplacements` of several species of a trajectory.

    Parameters
    ----------
    trajectory
        Unwrapped (`Trajectory`), in the frame of the immobile sublattice where species alone are looked at;
        the charge of a neutral cell is indifferent to it.
    species
        Symbols.
    max_lag_ps
        Longest lag, ps; the whole trajectory by default. Lags beyond half of it have few independent origins.
    workers
        Threads; by default one per processor.

    Raises
    ------
    ConfigError
        For no species, or a formal charge that is not an integer.
    LagRangeError
        If the longest lag does not fit.
    UnknownSpeciesError
        If there is no such species.
    """
    species = tuple(species)
    if not species:
        raise ConfigError("species must name at least one species, got none")
    interval_ps = trajectory.frame_interval_ps
    n_lags = trajectory.n_frames if max_lag_ps is None else round(max_lag_ps / interval_ps) + 1
    if not 1 < n_lags <= trajectory.n_frames:
        raise LagRangeError(max_lag_ps, trajectory.duration_ps)
    sums = [
        full_lag_sums(
            trajectory.positions_A, ions=trajectory.indices_of(name), n_lags=n_lags, workers=workers
        )
        for name in species
    ]
    return FullLagDisplacements(
        species=species,
        n_ions=tuple(trajectory.n_of(name) for name in species),
        lag_times_ps=interval_ps * np.arange(n_lags),
        msd_A2=np.array([own for own, _ in sums]),
        collective_msd_A2=np.array([collective for _, collective in sums]),
        charge_msd_e2_A2=_charge_msd(trajectory, n_lags),
        provenance=collect_provenance(species=list(species), max_lag_ps=max_lag_ps),
    )


def _charge_msd(trajectory, n_lags):
    charges = {name: formal_charge_e(trajectory, name) for name in sorted(set(trajectory.species.tolist()))}
    if None in charges.values():
        return None
    charge_n = np.array([charges[name] for name in trajectory.species.tolist()], dtype=float)
    charge_tc = np.einsum("n,tnc->tc", charge_n, trajectory.positions_A)
    return full_lag_sums(charge_tc[:, None, :], n_lags=n_lags, workers=1)[0]


def _mean_square(square_ct, power_cf, n_fft, n_lags):
    """Return the mean squared difference along each direction, shape (n_lags, 3)."""
    n_frames, lags = square_ct.shape[1], np.arange(n_lags)
    product_ck = fft.irfft(power_cf, n=n_fft, axis=-1)[:, :n_lags]
    running = np.concatenate([np.zeros((3, 1)), np.cumsum(square_ct, axis=1)], axis=1)
    heads, tails = running[:, n_frames - lags], running[:, -1:] - running[:, lags]
    mean_ck = (heads + tails - 2 * product_ck) / (n_frames - lags)
    mean_ck[:, 0] = 0.0
    return np.ascontiguousarray(np.maximum(mean_ck, 0.0).T)
