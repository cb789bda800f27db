"""Displacements of all replicas at one temperature, cut into time blocks. Error bars: see uncertainty.py."""

from dataclasses import dataclass

import numpy as np

from simtools.analysers.kernels import msd as kernels
from simtools.analysers.lag_sums import geometric_lags
from simtools.analysers.msd import summed_displacement
from simtools.core.errors import ConfigError

__all__ = [
    "HOP_FRACTION",
    "DisplacementBlocks",
    "blocked_displacements",
    "charge_blocks",
    "count_blocks",
    "hop_window",
    "lag_grid",
    "observed_frames",
    "smoothing_weights",
    "travelled_A2",
]

_MAX_BLOCKS = 24
_SETTLING_PS = 0.5
_SMOOTHING_PS = 0.8
HOP_FRACTION = 0.6
# a hop must come after 0.6 of the first window and before 0.4 of the last but one
_BLIND_WINDOWS = 2 * HOP_FRACTION + 1
_TRAVELLED_HOPS = 1.2


@dataclass(frozen=True, eq=False)
class DisplacementBlocks:
    """Window-averaged squared displacements per replica and time block, on a geometric grid of lags.

    Attributes
    ----------
    lags : ndarray of int
        Lag times in frames, shape (n_lags,).
    frame_interval_ps : float
        Time between frames, ps.
    n_frames : tuple of int
        Frames of each replica.
    n_ions : int
        Mobile ions in one replica.
    tracer_rbk : ndarray
        Squared displacement averaged over ions, shape (n_replicas, n_blocks, n_lags), Å².
    charge_rbk : ndarray
        Squared summed displacement divided by the number of ions, same shape, Å².
    smooth_charge_rbk : ndarray
        The same as `charge_rbk` after the running mean `smoothing` over frames, which takes out the optical
        vibrations of the whole sublattice and leaves slopes as they are.
    smoothing : tuple of float
        Weights of that running mean, adding up to 1; (1.0,) for none.
    quartic_k : ndarray
        Fourth power of the ions' displacements, averaged over everything, shape (n_lags,), Å⁴.
    n_hops : int
        Lasting displacements by a hop, summed over ions and replicas.
    n_travelled : int
        Ions, over all replicas, that settled more than 1.2 hops from their first home: what swaps places
        with one neighbour for ever has none.
    hop_window : int
        Frames over which positions are averaged when hops are counted.
    observed_frames : float
        Frames, over all replicas, in which a hop is sure to be counted: one that begins so late that it
        cannot be seen to last, or so early that it moves the first home, is not.
    """

    lags: np.ndarray
    frame_interval_ps: float
    n_frames: tuple
    n_ions: int
    tracer_rbk: np.ndarray
    charge_rbk: np.ndarray
    smooth_charge_rbk: np.ndarray
    smoothing: tuple
    quartic_k: np.ndarray
    n_hops: int
    n_travelled: int
    hop_window: int
    observed_frames: float

    @property
    def n_replicas(self):
        """Number of replicas."""
        return len(self.n_frames)

    @property
    def n_blocks(self):
        """Time blocks in each replica."""
        return self.tracer_rbk.shape[1]

    @property
    def weights_r(self):
        """Weight of each replica in a mean: its share of all frames."""
        frames = np.asarray(self.n_frames, dtype=float)
        return frames / frames.sum()

    @property
    def lag_times_ps(self):
        """Lag times, shape (n_lags,), ps."""
        return self.lags * self.frame_interval_ps

    @property
    def msd_k(self):
        """Mean squared displacement over all replicas, shape (n_lags,), Å²."""
        return self.weights_r @ self.tracer_rbk.mean(axis=1)

    @property
    def charge_msd_k(self):
        """Mean squared summed displacement per ion over all replicas, shape (n_lags,), Å²."""
        return self.weights_r @ self.charge_rbk.mean(axis=1)

    @property
    def smooth_charge_msd_k(self):
        """Mean squared summed displacement per ion after smoothing, shape (n_lags,), Å²."""
        return self.weights_r @ self.smooth_charge_rbk.mean(axis=1)


def lag_grid(n_frames):
    """Return lags in frames, three per octave, from 1 to half of `n_frames`."""
    longest = max(1, n_frames // 2)
    return np.unique(np.append(geometric_lags(longest), longest))


def blocked_displacements(positions, *, frame_interval_ps, hop_length_A):
    """Return the `DisplacementBlocks` of replicas.

    Parameters
    ----------
    positions
        One array per replica: unwrapped positions of the mobile ions in the frame of the host, shape
        (n_frames, n_ions, 3), Å. Replicas may differ in length.
    frame_interval_ps
        Time between frames, ps.
    hop_length_A
        Distance between neighbouring sites, Å. A hop counts when the ion's position, averaged over half a
        picosecond (at least three frames), has moved by more than 0.6 of it and stays.

    Returns
    -------
    DisplacementBlocks

    Raises
    ------
    ConfigError
        If a replica has fewer than eight frames: there is no lag to fit.
    """
    shortest = min(len(r_tnc) for r_tnc in positions)
    n_blocks = count_blocks(shortest)
    lags = lag_grid(shortest)
    window = hop_window(frame_interval_ps, shortest)
    smoothing = smoothing_weights(frame_interval_ps, shortest)
    tracer, charge, smooth, quartic, n_hops, n_travelled, observed = [], [], [], [], 0, 0, 0.0
    for r_tnc in positions:
        n_ions = r_tnc.shape[1]
        blocks_kb, quartic_k = kernels.blocked_displacements(r_tnc, lags, n_blocks)
        tracer.append(blocks_kb.T)
        charge_bk, smooth_bk = charge_blocks(summed_displacement(r_tnc), n_ions, lags, n_blocks, smoothing)
        charge.append(charge_bk)
        smooth.append(smooth_bk)
        quartic.append(quartic_k)
        hops_n, reach_n = kernels.count_hops(r_tnc, window, HOP_FRACTION * hop_length_A)
        n_hops += int(hops_n.sum())
        observed += observed_frames([len(r_tnc)], window)
        n_travelled += int((reach_n > travelled_A2(hop_length_A)).sum())
    frames = np.array([len(r_tnc) for r_tnc in positions], dtype=float)
    return DisplacementBlocks(
        lags=lags,
        frame_interval_ps=frame_interval_ps,
        n_frames=tuple(int(count) for count in frames),
        n_ions=n_ions,
        tracer_rbk=np.array(tracer),
        charge_rbk=np.array(charge),
        smooth_charge_rbk=np.array(smooth),
        smoothing=smoothing,
        quartic_k=frames @ np.array(quartic) / frames.sum(),
        n_hops=n_hops,
        n_travelled=n_travelled,
        hop_window=window,
        observed_frames=observed,
    )


def count_blocks(n_frames):
    """Return the number of time blocks of a replica of `n_frames` frames.

    Raises
    ------
    ConfigError
        For fewer than eight frames: there is no lag to fit.
    """
    if n_frames < 8:
        raise ConfigError(f"transport needs at least 8 frames in every replica, got {n_frames}")
    return int(min(_MAX_BLOCKS, n_frames // 4))


def hop_window(frame_interval_ps, n_frames=None):
    """Return the frames in half a picosecond, at least three but no more than 5 % of a run."""
    longest = np.inf if n_frames is None else max(1, n_frames // 20)
    return int(np.clip(round(_SETTLING_PS / frame_interval_ps), 3, longest))


def observed_frames(pieces, window):
    """Return the frames of a run, counted in `pieces` of so many, in which a hop is sure to be counted."""
    return window * max(sum(max(count // window - _BLIND_WINDOWS, 0.0) for count in pieces), 1.0)


def travelled_A2(hop_length_A):
    """Return the squared distance beyond which an ion has gone farther than a neighbouring site, Å²."""
    return (_TRAVELLED_HOPS * hop_length_A) ** 2


def charge_blocks(summed_tc, n_ions, lags, n_blocks, smoothing):
    """Return `charge_rbk` and `smooth_charge_rbk` of one replica from its summed displacement.

    Parameters
    ----------
    summed_tc
        Shape (n_frames, 3), Å.
    n_ions
        Number of ions summed over.
    lags, n_blocks, smoothing
        As in `DisplacementBlocks`.

    Returns
    -------
    tuple of ndarray
        Two arrays of shape (n_blocks, n_lags), Å².
    """
    summed_tnc = np.ascontiguousarray(summed_tc[:, None, :])
    charge_kb, _ = kernels.blocked_displacements(summed_tnc, lags, n_blocks)
    smooth_kb = charge_kb
    if len(smoothing) > 1:
        smoothed_tnc = np.apply_along_axis(np.convolve, 0, summed_tnc, smoothing, "valid")
        smooth_kb, _ = kernels.blocked_displacements(np.ascontiguousarray(smoothed_tnc), lags, n_blocks)
    return charge_kb.T / n_ions, smooth_kb.T / n_ions


def smoothing_weights(frame_interval_ps, n_frames):
    """Return the weights of a Hann window 0.8 ps wide (zero at 2.5 THz), or no more than 5 % of a run."""
    width = min(round(_SMOOTHING_PS / frame_interval_ps), n_frames // 20)
    if width < 3:
        return (1.0,)
    weights = np.hanning(width + 2)[1:-1]
    return tuple((weights / weights.sum()).tolist())
