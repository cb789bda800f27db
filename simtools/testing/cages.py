"""Ions with inertia that vibrate in cages and hop, with exactly known diffusion. Oracles for analysers."""

from functools import lru_cache

import numpy as np
from scipy.linalg import expm

from simtools.core.accelerate import kernel
from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_J_PER_K
from simtools.md.trajectory import Trajectory

__all__ = ["caged_hoppers"]

_AMU_KG = 1.66053906892e-27  # CODATA 2022
_SMALLEST_CELL_HOPS = 20


def caged_hoppers(
    n_frames,
    n_ions,
    *,
    seed,
    group_size=1,
    hop_rate_per_ps=0.2,
    hop_length_A=2.76,
    frequency_THz=4.0,
    friction_per_ps=4.0,
    mass_amu=6.94,
    frame_interval_ps=0.02,
    temperature_K=800.0,
    species="Li",
    charge_e=1,
):
    r"""Return ions on damped springs whose anchors hop on a cubic lattice.

    .. math:: \ddot{\mathbf r} = -(2\pi\nu)^2 [\mathbf r - \mathbf s(t)] - \gamma\,\dot{\mathbf r} + \xi(t)

    The ion follows its anchor s with inertia and thermal noise: displacements grow as t² first, stay on the
    plateau of the cage, and grow with the hops of the anchors in the end. As r - s is stationary, the hops
    alone give

    .. math:: D^* = \Gamma a^2 / 6, \qquad D_\sigma = g D^*, \qquad H_R = 1/g

    Parameters
    ----------
    n_frames, n_ions
        Size of the trajectory; `n_ions` is a multiple of `group_size`.
    seed
        Seed of the random generator.
    group_size
        g, the number of ions whose anchors always hop together; every ion vibrates on its own.
    hop_rate_per_ps
        Gamma, the hops of an anchor per ps (Poisson), made between frames.
    hop_length_A
        Length a of one hop along a Cartesian axis, Å.
    frequency_THz, friction_per_ps
        nu and gamma of the spring, propagated exactly.
    mass_amu, temperature_K
        They set the thermal velocity, and with it the width of the cage.
    frame_interval_ps
        Time between frames, ps.
    species, charge_e
        Symbol and integer formal charge of the ions.

    Returns
    -------
    Trajectory

    Raises
    ------
    ConfigError
        If `group_size` does not divide `n_ions`, or frequency, friction, mass or interval is not positive.

    Notes
    -----
    A hop leaves the ion displaced by a whole a from its new anchor, so velocities are hotter than thermal
    while that energy is lost to friction.

    Limit: without hops the mean squared displacement is :math:`6u^2 [1 - c(t)]` with the width
    :math:`u^2 = k_B T / m (2\pi\nu)^2` and the damped oscillator's correlation c.
    """
    if n_ions % group_size:
        raise ConfigError(f"group_size must divide n_ions = {n_ions}, got {group_size}")
    positive = {
        "frequency_THz": frequency_THz,
        "friction_per_ps": friction_per_ps,
        "mass_amu": mass_amu,
        "frame_interval_ps": frame_interval_ps,
    }
    for name, value in positive.items():
        if not value > 0:
            raise ConfigError(f"{name} must be positive, got {value!r}")
    rng = np.random.default_rng(seed)
    thermal_A_per_ps = np.sqrt(BOLTZMANN_J_PER_K * temperature_K / (mass_amu * _AMU_KG)) * 1e-2
    widths, flow, noise = _oscillator(frequency_THz, friction_per_ps, thermal_A_per_ps, frame_interval_ps)
    n_groups = n_ions // group_size
    hops = rng.poisson(hop_rate_per_ps * frame_interval_ps, size=(n_frames - 1, n_groups))
    steps_tgc = np.zeros((n_frames - 1, n_groups, 3))
    for hop in range(int(hops.max(initial=0))):
        frame, group = np.nonzero(hops > hop)
        axis = rng.integers(0, 3, size=len(frame))
        steps_tgc[frame, group, axis] += rng.choice([-hop_length_A, hop_length_A], size=len(frame))
    edge = hop_length_A * max(np.ceil(np.cbrt(n_ions)), _SMALLEST_CELL_HOPS)
    anchor_nc = rng.uniform(0, edge, size=(n_ions, 3))
    state_ncq = rng.standard_normal((n_ions, 3, 2)) * widths
    r_tnc = np.empty((n_frames, n_ions, 3))
    kicks_tncq = rng.standard_normal((n_frames - 1, n_ions, 3, 2), dtype=np.float32)
    _follow(steps_tgc, group_size, anchor_nc, state_ncq, flow, noise, kicks_tncq, r_tnc)
    return Trajectory(
        positions_A=r_tnc,
        species=np.full(n_ions, species),
        masses_amu=np.full(n_ions, mass_amu),
        cells_A=edge * np.eye(3),
        frame_interval_ps=frame_interval_ps,
        temperature_K=temperature_K,
        formal_charges_e={species: charge_e},
    )


@lru_cache(maxsize=8)
def _oscillator(frequency_THz, friction_per_ps, thermal_A_per_ps, interval_ps):
    """Return stationary widths of (r - s, v), their propagator over an interval and the noise it needs."""
    omega = 2 * np.pi * frequency_THz
    widths = thermal_A_per_ps * np.array([1 / omega, 1.0])
    flow = expm(np.array([[0.0, 1.0], [-(omega**2), -friction_per_ps]]) * interval_ps)
    noise = np.linalg.cholesky(np.diag(widths**2) - flow @ np.diag(widths**2) @ flow.T)
    return widths, flow, noise


@kernel
def _follow(steps_tgc, group_size, anchor_nc, state_ncq, flow, noise, kicks_tncq, r_tnc):
    """Propagate (r - s, v) of every ion from frame to frame; anchors and states are changed in place."""
    for n in range(r_tnc.shape[1]):
        for c in range(3):
            r_tnc[0, n, c] = anchor_nc[n, c] + state_ncq[n, c, 0]
    for t in range(len(steps_tgc)):
        for n in range(r_tnc.shape[1]):
            for c in range(3):
                step = steps_tgc[t, n // group_size, c]
                anchor_nc[n, c] += step
                x, v = state_ncq[n, c, 0] - step, state_ncq[n, c, 1]
                a, b = kicks_tncq[t, n, c, 0], kicks_tncq[t, n, c, 1]
                state_ncq[n, c, 0] = flow[0, 0] * x + flow[0, 1] * v + noise[0, 0] * a
                state_ncq[n, c, 1] = flow[1, 0] * x + flow[1, 1] * v + noise[1, 0] * a + noise[1, 1] * b
                r_tnc[t + 1, n, c] = anchor_nc[n, c] + state_ncq[n, c, 0]
