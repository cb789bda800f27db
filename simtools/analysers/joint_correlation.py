"""Whether rotors keep their orientation as long as ions keep their place beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import signal

from simtools.analysers.coupling_velocities import paired
from simtools.analysers.event_correlogram import randomisation_p
from simtools.analysers.kernels import coupling as kernels
from simtools.analysers.orientations import Orientations
from simtools.analysers.rotor_surroundings import checked_cells
from simtools.analysers.shift_null import (
    above_shifts,
    circular_shifts,
    correlation_steps,
    stretch_slices,
    upper_p,
)
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.md.trajectory import Trajectory

__all__ = ["JointCorrelation", "joint_correlation"]

_MOST_ORIGINS = 600
_N_LAGS = 30
_N_BLOCKS = 8
_BAND = 0.95
_TESTED_SHARE = 0.02


@dataclass(frozen=True, eq=False, kw_only=True)
class JointCorrelation(Result):
    r"""Whether rotors keep their orientation as long as ions keep their place.

    .. math:: J_l(t) = \langle h(t) P_l(\hat u(0)\cdot\hat u(t)) \rangle - \langle h(t) \rangle
        \langle P_l(\hat u(0)\cdot\hat u(t)) \rangle

    over pairs of a rotor and an ion that is near at time 0; h(t) = 1 while it is near. Positive where ions
    that stay have rotors that stay. Rotors and ions that are fast or slow together by place or as the run
    ages give J_l without coupling: that part is in the mean over shifts.

    Attributes
    ----------
    stay, p1, p2
        :math:`\langle h \rangle`, :math:`\langle P_1 \rangle` and :math:`\langle P_2 \rangle` over the same
        pairs.
    joint1, joint2, joint1_stderr, joint2_stderr
        J_1 and J_2, errors from eight stretches of time of each run.
    null1, null2
        Their mean over circular shifts of each rotor.
    band1, band2
        95 % of shifted copies of the part within rotors lie within this of their mean, at all tested lags of
        both at once; nan at lags that are not tested.
    tested_ps
        Longest lag that is tested: a fiftieth of the run at most, for shifts to be longer.
    excess : Estimate
        Mean over the tested lags of the part of J_1 that is within rotors, with a straight line in time taken
        out of each: of which shifts keep nothing.
    p_value
        Two-sided, of that mean.
    anywhere_p_value
        Of the largest deviation of that part of J_1 or J_2 at any tested lag.
    """

    n_origins: int
    n_shifts: int
    radius_A: float = quantity("angstrom")
    lag_times_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    stay: np.ndarray = quantity("1", shape="(n_lags,)")
    p1: np.ndarray = quantity("1", shape="(n_lags,)")
    p2: np.ndarray = quantity("1", shape="(n_lags,)")
    joint1: np.ndarray = quantity("1", shape="(n_lags,)")
    joint1_stderr: np.ndarray = quantity("1", shape="(n_lags,)")
    joint2: np.ndarray = quantity("1", shape="(n_lags,)")
    joint2_stderr: np.ndarray = quantity("1", shape="(n_lags,)")
    null1: np.ndarray = quantity("1", shape="(n_lags,)")
    null2: np.ndarray = quantity("1", shape="(n_lags,)")
    band1: np.ndarray = quantity("1", shape="(n_lags,)")
    band2: np.ndarray = quantity("1", shape="(n_lags,)")
    tested_ps: float = quantity("ps")
    excess: Estimate = quantity("1")
    p_value: float = quantity("1")
    anywhere_p_value: float = quantity("1")


def joint_correlation(
    orientations: Orientations | Sequence[Orientations],
    trajectories: Trajectory | Sequence[Trajectory],
    *,
    mobile: str,
    radius_A: float,
    max_lag_ps: float | None = None,
    n_shifts: int = 200,
    seed: int = 0,
) -> JointCorrelation:
    """Return the joint correlation of the orientation of rotors and the stay of ions beside them.

    Parameters
    ----------
    orientations, trajectories
        Of one run, or of replicas, which add up; the first bond of each molecule is followed.
    mobile
        The ion.
    radius_A
        Distance from a rotor's centre within which ions are near, Å.
    max_lag_ps
        Longest lag, ps; by default a third of the shortest run.
    n_shifts, seed
        Circular shifts of each rotor within stretches of the run (`shift_null`), and their seed.

    Raises
    ------
    ConfigError
        If no ion is near a rotor, or the lag does not fit.

    Notes
    -----
    Limit: as shifted copies where ions do not care how the rotor turns.
    """
    rotors, runs = paired(orientations, trajectories)
    interval_ps = runs[0].frame_interval_ps
    if any(abs(run.frame_interval_ps - interval_ps) > 1e-6 * interval_ps for run in runs):
        raise ConfigError("replicas have different times between frames: expected one")
    n_frames = min(run.n_frames for run in runs)
    longest = n_frames // 3 if max_lag_ps is None else round(max_lag_ps / interval_ps)
    if not 1 <= longest < n_frames - _N_BLOCKS:
        raise ConfigError(f"a longest lag of {longest} frames does not fit a run of {n_frames}")
    lags = np.unique(np.round(np.geomspace(1, longest, _N_LAGS)).astype(np.int64))
    lags = np.concatenate([[0], lags])
    tested = (lags > 0) & (lags <= max(1, _TESTED_SHARE * n_frames))
    parts = [
        _pairs(turned, run, mobile, radius_A, lags, longest) for turned, run in zip(rotors, runs, strict=True)
    ]
    n_pairs = sum(near.sum() for near, _, _ in parts)
    if n_pairs == 0:
        raise ConfigError(f"no {mobile} comes within {radius_A:g} Å of a rotor: expected a larger radius_A")
    stay = sum(stayed.sum(axis=(0, 1)) for _, stayed, _ in parts) / n_pairs
    means = [sum(np.einsum("om,omk->k", near, p[i]) for near, _, p in parts) / n_pairs for i in (0, 1)]
    rng = np.random.default_rng(seed)
    joint, within = (np.zeros((n_shifts + 1, 2, len(lags))) for _ in range(2))
    blocks = []
    for near, stayed, legendre in parts:
        weight = (stayed - stay * near[..., None]) / n_pairs
        level = signal.detrend(weight, axis=0)
        at = int(np.flatnonzero(tested)[-1])
        memory = correlation_steps(legendre[0][..., at])
        for stretch in stretch_slices(len(near), memory):
            here, flat = weight[stretch], level[stretch]
            shifts = circular_shifts(rng, n_shifts, near.shape[1], len(here))
            for i in (0, 1):
                kernels.shifted_products(here, legendre[i][stretch], shifts, joint[:, i])
                straight = signal.detrend(legendre[i], axis=0)[stretch]
                kernels.shifted_products(flat, straight, shifts, within[:, i])
        blocks += _by_block(near, stayed, legendre)
    null = joint[1:].mean(axis=0)
    centre, spread = within.mean(axis=0), np.maximum(within.std(axis=0), 1e-300)
    away = (np.abs(within - centre) / spread)[..., tested].reshape(len(within), -1).max(axis=1)
    band = np.where(tested, np.quantile(away[1:], _BAND) * spread, np.nan)
    averages = within[:, 0, tested].mean(axis=1)
    errors = np.std(blocks, axis=0, ddof=1) / np.sqrt(len(blocks))
    return JointCorrelation(
        n_origins=sum(len(near) for near, _, _ in parts),
        n_shifts=n_shifts,
        radius_A=float(radius_A),
        lag_times_ps=interval_ps * lags,
        stay=stay,
        p1=means[0],
        p2=means[1],
        joint1=joint[0, 0],
        joint1_stderr=errors[0],
        joint2=joint[0, 1],
        joint2_stderr=errors[1],
        null1=null[0],
        null2=null[1],
        band1=band[0],
        band2=band[1],
        tested_ps=float(interval_ps * lags[tested][-1]),
        excess=above_shifts(
            averages, method="mean of J_1 within rotors above circular shifts of each rotor", n_eff=n_pairs
        ),
        p_value=randomisation_p(averages),
        anywhere_p_value=upper_p(away),
        provenance=collect_provenance(
            mobile=mobile,
            radius_A=radius_A,
            max_lag_ps=interval_ps * longest,
            n_shifts=n_shifts,
            seed=seed,
        ),
    )


def _pairs(orientations, trajectory, mobile, radius_A, lags, longest):
    """Return ions near each rotor (origin, rotor), those that stay (.., lag), and P_1 and P_2 (.., lag)."""
    cells = checked_cells(trajectory.cells_A, radius_A)
    u = orientations.vectors[:, :, 0]
    origins = np.linspace(0, trajectory.n_frames - 1 - longest, _MOST_ORIGINS).astype(np.int64)
    origins = np.unique(origins)
    near = np.zeros((len(origins), u.shape[1]))
    stayed = np.zeros((*near.shape, len(lags)))
    kernels.near_and_stay(
        trajectory.positions_of(mobile),
        np.ascontiguousarray(orientations.centres_A),
        cells,
        np.linalg.inv(cells),
        radius_A,
        origins,
        lags,
        near,
        stayed,
    )
    cosine = np.stack([np.einsum("omc,omc->om", u[origins], u[origins + lag]) for lag in lags], axis=-1)
    return near, stayed, (cosine, 1.5 * cosine**2 - 0.5)


def _by_block(near, stayed, legendre):
    """Return J_1 and J_2 of successive stretches of time, a list of arrays (2, n_lags)."""
    found = []
    for block in np.array_split(np.arange(len(near)), min(_N_BLOCKS, len(near))):
        number = max(near[block].sum(), 1.0)
        stay = stayed[block].sum(axis=(0, 1)) / number
        weight = (stayed[block] - stay * near[block][..., None]) / number
        found.append([np.einsum("omk,omk->k", weight, item[block]) for item in legendre])
    return found
