"""Two-atom rotors with exactly known reorientation, as trajectories. They are oracles for analysers."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import dawsn

from simtools.core.accelerate import kernel
from simtools.core.errors import ConfigError
from simtools.md.trajectory import Trajectory

__all__ = ["rotor_orientations", "rotors"]

_LARGEST_STEP = 0.01


def rotor_orientations(
    n_frames,
    n_rotors,
    *,
    seed,
    rotational_diffusivity_per_ps=0.0,
    jump_rate_per_ps=0.0,
    frame_interval_ps=1.0,
):
    r"""Return unit vectors that reorient by rotational diffusion, by jumps to a random direction, or by both.

    .. math:: C_l(t) = \langle P_l(\hat u(0) \cdot \hat u(t)) \rangle = e^{-l(l+1) D_r t - k t}

    Parameters
    ----------
    n_frames, n_rotors
        Size of the result.
    seed
        Seed of the random generator.
    rotational_diffusivity_per_ps
        D_r, 1/ps. C_1 is exact; C_2 has a relative error below 0.002 per correlation time.
    jump_rate_per_ps
        k, the rate of jumps to a uniformly random direction, 1/ps; exact for every l.
    frame_interval_ps
        Time between frames, ps.

    Returns
    -------
    ndarray
        Shape (n_frames, n_rotors, 3), independent rotors, starting in uniformly random directions.

    Raises
    ------
    ConfigError
        If a rate is negative or the interval is not positive.
    """
    if rotational_diffusivity_per_ps < 0 or jump_rate_per_ps < 0 or not frame_interval_ps > 0:
        raise ConfigError(
            "rates must be 0 or more and frame_interval_ps positive, got "
            f"rotational_diffusivity_per_ps = {rotational_diffusivity_per_ps!r}, "
            f"jump_rate_per_ps = {jump_rate_per_ps!r}, frame_interval_ps = {frame_interval_ps!r}"
        )
    rng = np.random.default_rng(seed)
    turn = 2 * rotational_diffusivity_per_ps * frame_interval_ps
    n_substeps = int(np.ceil(turn / _LARGEST_STEP))
    width = _tangent_width(turn / n_substeps) if n_substeps else 0.0
    jumps = rng.random((n_frames, n_rotors)) < -np.expm1(-jump_rate_per_ps * frame_interval_ps)
    fresh = rng.normal(size=(n_frames, n_rotors, 3))
    fresh /= np.linalg.norm(fresh, axis=-1, keepdims=True)
    u_tnc = np.empty((n_frames, n_rotors, 3))
    u_tnc[0] = fresh[0]
    _reorient(rng, u_tnc, fresh, jumps, n_substeps, width)
    return u_tnc


def rotors(
    n_frames,
    n_rotors,
    *,
    seed,
    rotational_diffusivity_per_ps=0.0,
    jump_rate_per_ps=0.0,
    frame_interval_ps=1.0,
    bond_A=0.97,
    spacing_A=4.0,
    centre="O",
    end="H",
    temperature_K=None,
):
    """Return rigid two-atom rotors on a cubic grid; see `rotor_orientations` for their motion.

    Parameters
    ----------
    n_frames, n_rotors, seed, rotational_diffusivity_per_ps, jump_rate_per_ps, frame_interval_ps
        As in `rotor_orientations`.
    bond_A
        Distance between the two atoms, Å.
    spacing_A
        Distance between neighbouring centres, Å.
    centre, end
        Symbols; the centres never move.
    temperature_K
        Written into the trajectory, K.

    Returns
    -------
    Trajectory
        Atoms in the order centre, end, centre, end, ...
    """
    u_tnc = rotor_orientations(
        n_frames,
        n_rotors,
        seed=seed,
        rotational_diffusivity_per_ps=rotational_diffusivity_per_ps,
        jump_rate_per_ps=jump_rate_per_ps,
        frame_interval_ps=frame_interval_ps,
    )
    per_axis = int(np.ceil(np.cbrt(n_rotors) - 1e-9))
    grid = np.stack(np.meshgrid(*[np.arange(per_axis)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    centres = spacing_A * (grid[:n_rotors] + 0.5)
    r_tnc = np.empty((n_frames, 2 * n_rotors, 3))
    r_tnc[:, 0::2] = centres
    r_tnc[:, 1::2] = centres + bond_A * u_tnc
    return Trajectory(
        positions_A=r_tnc,
        species=np.array([centre, end] * n_rotors),
        cells_A=spacing_A * per_axis * np.eye(3),
        frame_interval_ps=frame_interval_ps,
        temperature_K=temperature_K,
    )


def _tangent_width(turn):
    """Return the width per axis of Gaussian tangent steps whose mean cosine is exp(-turn).

    The angle is then Rayleigh distributed and <cos> = 1 - sqrt(2) w F(w / sqrt(2)), with Dawson's integral F.
    """
    wanted = -np.expm1(-turn)
    return brentq(lambda w: np.sqrt(2) * w * dawsn(w / np.sqrt(2)) - wanted, 0.0, 1.0, xtol=1e-14)


@kernel
def _reorient(rng, u_tnc, fresh_tnc, jumps_tn, n_substeps, width):
    """Fill u_tnc[1:]: Gaussian steps in the tangent plane followed as geodesics, then the jumps."""
    x_c = np.empty(3)
    step_c = np.empty(3)
    for t in range(1, u_tnc.shape[0]):
        for n in range(u_tnc.shape[1]):
            x_c[:] = u_tnc[t - 1, n]
            for _ in range(n_substeps):
                along = 0.0
                for c in range(3):
                    step_c[c] = width * rng.normal(0.0, 1.0)
                    along += step_c[c] * x_c[c]
                angle = 0.0
                for c in range(3):
                    step_c[c] -= along * x_c[c]
                    angle += step_c[c] * step_c[c]
                angle = np.sqrt(angle)
                norm = 0.0
                for c in range(3):
                    x_c[c] = np.cos(angle) * x_c[c] + np.sin(angle) * step_c[c] / angle
                    norm += x_c[c] * x_c[c]
                for c in range(3):
                    x_c[c] /= np.sqrt(norm)
            if jumps_tn[t, n]:
                x_c[:] = fresh_tnc[t, n]
            u_tnc[t, n] = x_c
