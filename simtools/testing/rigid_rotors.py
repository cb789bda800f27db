"""Rigid molecules of one to six ligands with exactly known reorientation. Two-atom ones: rotors.py."""

import numpy as np
from scipy.spatial.transform import Rotation

from simtools.core.accelerate import kernel
from simtools.core.errors import ConfigError
from simtools.md.trajectory import Trajectory

__all__ = ["LIGAND_DIRECTIONS", "cone_orientations", "rigid_rotors", "rotor_quaternions"]

_BENT = np.radians(104.5) / 2

LIGAND_DIRECTIONS = {
    1: np.array([[0.0, 0.0, 1.0]]),
    2: np.array([[np.sin(_BENT), 0.0, np.cos(_BENT)], [-np.sin(_BENT), 0.0, np.cos(_BENT)]]),
    3: np.array([[1.0, 0.0, 0.0], [-0.5, np.sqrt(0.75), 0.0], [-0.5, -np.sqrt(0.75), 0.0]]),
    4: np.array([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]) / np.sqrt(3),
    6: np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0], [0, 0, 1.0], [0, 0, -1.0]]),
}
"""Unit vectors to the ligands: linear, bent (104.5 degrees), planar triangle, tetrahedron, octahedron."""

_LARGEST_STEP = 0.005


def rotor_quaternions(
    n_frames,
    n_rotors,
    *,
    seed,
    rotational_diffusivity_per_ps=0.0,
    jump_rate_per_ps=0.0,
    frame_interval_ps=1.0,
):
    r"""Return orientations that diffuse on SO(3), jump to random ones, or both.

    .. math:: C_l(t) = e^{-l(l+1) D_r t - k t}, \qquad \langle \phi^2 \rangle = 6 D_r t

    Parameters
    ----------
    n_frames, n_rotors, seed, rotational_diffusivity_per_ps, jump_rate_per_ps, frame_interval_ps
        As in `simtools.testing.rotor_orientations`. Steps are Gaussian rotation vectors of variance 2 D_r dt
        per axis, dt short enough for a relative error below 0.005 per correlation time.

    Returns
    -------
    ndarray
        Unit quaternions (x, y, z, w), shape (n_frames, n_rotors, 4).
    """
    if rotational_diffusivity_per_ps < 0 or jump_rate_per_ps < 0 or not frame_interval_ps > 0:
        raise ConfigError("rates must be 0 or more and frame_interval_ps positive")
    rng = np.random.default_rng(seed)
    turn = 2 * rotational_diffusivity_per_ps * frame_interval_ps
    n_substeps = int(np.ceil(turn / _LARGEST_STEP))
    start = Rotation.random(n_rotors, rng=rng)
    q_tn = np.empty((n_frames, n_rotors, 4))
    q_tn[0] = start.as_quat()
    width = np.sqrt(turn / n_substeps) if n_substeps else 0.0
    chance = -np.expm1(-jump_rate_per_ps * frame_interval_ps)
    now = start
    for t in range(1, n_frames):
        for _ in range(n_substeps):
            now = Rotation.from_rotvec(width * rng.normal(size=(n_rotors, 3))) * now
        q = now.as_quat()
        jumps = np.flatnonzero(rng.random(n_rotors) < chance)
        if len(jumps):
            q[jumps] = Rotation.random(len(jumps), rng=rng).as_quat()
            now = Rotation.from_quat(q)
        q_tn[t] = q
    return q_tn


def cone_orientations(n_frames, n_rotors, *, seed, half_angle_deg, step_deg=10.0):
    r"""Return unit vectors that wobble in a cone about z and fill it evenly.

    The plateau of C_2 is

    .. math:: S^2 = [\tfrac12 \cos\theta_0 (1 + \cos\theta_0)]^2

    Parameters
    ----------
    n_frames, n_rotors, seed
        Size and seed.
    half_angle_deg
        Half opening angle of the cone, degrees.
    step_deg
        Width of one attempted step, degrees; steps out of the cone are not made (Metropolis).

    Returns
    -------
    ndarray
        Shape (n_frames, n_rotors, 3).
    """
    rng = np.random.default_rng(seed)
    lowest = np.cos(np.radians(half_angle_deg))
    z = rng.uniform(lowest, 1.0, size=n_rotors)
    angle = rng.uniform(0, 2 * np.pi, size=n_rotors)
    u_tnc = np.empty((n_frames, n_rotors, 3))
    u_tnc[0] = np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], axis=-1)
    _wobble(rng, u_tnc, np.radians(step_deg), lowest)
    return u_tnc


@kernel
def _wobble(rng, u_tnc, width, lowest):
    trial = np.empty(3)
    for t in range(1, u_tnc.shape[0]):
        for n in range(u_tnc.shape[1]):
            norm = 0.0
            for c in range(3):
                trial[c] = u_tnc[t - 1, n, c] + width * rng.normal(0.0, 1.0)
                norm += trial[c] * trial[c]
            trial /= np.sqrt(norm)
            if trial[2] >= lowest:
                u_tnc[t, n] = trial
            else:
                u_tnc[t, n] = u_tnc[t - 1, n]


def rigid_rotors(
    quaternions,
    *,
    n_ligands,
    bond_A=1.2,
    spacing_A=5.0,
    frame_interval_ps=1.0,
    centre="B",
    ligand="H",
    temperature_K=None,
    wrapped=False,
):
    """Return rigid molecules on a cubic grid with given orientations.

    Parameters
    ----------
    quaternions
        From `rotor_quaternions`, shape (n_frames, n_rotors, 4).
    n_ligands
        1, 2, 3, 4 or 6; their directions are `LIGAND_DIRECTIONS`.
    bond_A, spacing_A
        Distance from centre to ligand and between neighbouring centres, Å.
    frame_interval_ps, temperature_K
        Written into the trajectory.
    centre, ligand
        Symbols; the centres never move.
    wrapped
        Fold every atom into the cell, as many programs write them: some molecules lie across faces.

    Returns
    -------
    Trajectory
        Atoms in the order centre, its ligands, next centre, ...
    """
    if n_ligands not in LIGAND_DIRECTIONS:
        raise ConfigError(
            f"n_ligands must be one of {', '.join(map(str, LIGAND_DIRECTIONS))}, got {n_ligands}"
        )
    n_frames, n_rotors, _ = quaternions.shape
    per_axis = int(np.ceil(np.cbrt(n_rotors) - 1e-9))
    grid = np.stack(np.meshgrid(*[np.arange(per_axis)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    r_tnc = np.empty((n_frames, n_rotors, n_ligands + 1, 3))
    r_tnc[:, :, 0] = spacing_A * grid[:n_rotors]
    rotations = Rotation.from_quat(quaternions.reshape(-1, 4))
    for index, direction in enumerate(LIGAND_DIRECTIONS[n_ligands]):
        turned = rotations.apply(direction).reshape(n_frames, n_rotors, 3)
        r_tnc[:, :, index + 1] = r_tnc[:, :, 0] + bond_A * turned
    edge = spacing_A * per_axis
    positions = r_tnc.reshape(n_frames, -1, 3)
    return Trajectory(
        positions_A=positions % edge if wrapped else positions,
        species=np.array(([centre] + [ligand] * n_ligands) * n_rotors),
        cells_A=edge * np.eye(3),
        frame_interval_ps=frame_interval_ps,
        temperature_K=temperature_K,
    )
