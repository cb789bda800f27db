"""Charged species, currents and oscillators with exactly known transport. They are oracles for analysers."""

import numpy as np
from scipy.signal import lfilter

from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_J_PER_K
from simtools.md.trajectory import Trajectory

__all__ = ["correlated_species", "harmonic_ions", "langevin_current"]

_AMU_KG = 1.66053906892e-27  # CODATA 2022


def correlated_species(
    n_frames,
    n_pairs,
    *,
    seed,
    diffusivities_A2_per_ps=(0.02, 0.008),
    correlation=0.0,
    names=("Li", "Cl"),
    charges_e=(1, -1),
    host=None,
    edge_A=50.0,
    frame_interval_ps=1.0,
    temperature_K=1000.0,
):
    r"""Return Brownian ions of two species, each ion of one tied to its partner of the other.

    .. math:: D^*_a = D_a, \qquad L_{ab} V k_B T = N \rho \sqrt{D_a D_b} \;(a \ne b), \quad N D_a \;(a = b)

    so that :math:`\sigma V k_B T / e^2 N = z_a^2 D_a + z_b^2 D_b + 2 z_a z_b \rho \sqrt{D_a D_b}`.

    Parameters
    ----------
    n_frames, n_pairs
        Size of the trajectory.
    seed
        Seed of the random generator.
    diffusivities_A2_per_ps
        D of both species, Å²/ps.
    correlation
        Correlation rho of a pair's steps, between -1 and 1.
    names, charges_e
        Symbols and integer formal charges, e.
    host
        Symbol and formal charge of a third species, one resting ion per pair; none by default.
    edge_A
        Edge of the cubic cell, Å.
    frame_interval_ps, temperature_K
        Time between frames, ps, and temperature, K.

    Returns
    -------
    Trajectory

    Raises
    ------
    ConfigError
        For a correlation outside [-1, 1].
    """
    if not -1 <= correlation <= 1:
        raise ConfigError(f"correlation must lie between -1 and 1, got {correlation!r}")
    rng = np.random.default_rng(seed)
    one, two = rng.standard_normal((2, n_frames - 1, n_pairs, 3))
    two = correlation * one + np.sqrt(1 - correlation**2) * two
    steps = np.concatenate(
        [
            np.sqrt(2 * d * frame_interval_ps) * w
            for d, w in zip(diffusivities_A2_per_ps, (one, two), strict=True)
        ],
        axis=1,
    )
    r_tnc = np.empty((n_frames, 2 * n_pairs, 3))
    r_tnc[0] = rng.uniform(0, edge_A, size=(2 * n_pairs, 3))
    r_tnc[1:] = r_tnc[0] + np.cumsum(steps, axis=0)
    if host is not None:
        rest_tnc = np.broadcast_to(rng.uniform(0, edge_A, size=(n_pairs, 3)), (n_frames, n_pairs, 3))
        r_tnc = np.concatenate([r_tnc, rest_tnc], axis=1)
        names, charges_e = (*names, host[0]), (*charges_e, host[1])
    return Trajectory(
        positions_A=r_tnc,
        species=np.repeat(names, n_pairs),
        cells_A=edge_A * np.eye(3),
        frame_interval_ps=frame_interval_ps,
        temperature_K=temperature_K,
        formal_charges_e=dict(zip(names, charges_e, strict=True)),
    )


def langevin_current(
    n_samples, *, seed, interval_ps, modes=((1.0, 0.5, 0.0),), substeps=4, white=0.0, n_components=3
):
    r"""Return a stationary Gaussian current: damped modes and white noise with known integrals.

    A mode (A, tau, nu) adds :math:`C(t) = A e^{-t/\tau} \cos 2\pi\nu t` per component, whose integral is

    .. math:: \int_0^\infty C\,dt = \frac{A \tau}{1 + (2\pi\nu\tau)^2}

    (nu = 0: Ornstein-Uhlenbeck). White noise of strength w adds w.

    Parameters
    ----------
    n_samples
        Samples of the series.
    seed
        Seed of the random generator.
    interval_ps
        Time between samples, ps.
    modes
        Rows of (variance, decay time in ps, frequency in THz).
    substeps
        Each sample is the mean over this many finer steps, which leaves the integral as it is and keeps fast
        modes from folding back into the band.
    white
        Integral of the white part, in the current's unit squared times ps.
    n_components
        Independent components.

    Returns
    -------
    current : ndarray
        Shape (n_samples, n_components).
    integral : float
        Integral of the correlation function of one component from zero to infinity.
    """
    rng = np.random.default_rng(seed)
    fine, dt = n_samples * substeps, interval_ps / substeps
    total = np.zeros((fine, n_components))
    exact = white
    for variance, tau_ps, frequency_THz in modes:
        factor = np.exp(-dt / tau_ps + 2j * np.pi * frequency_THz * dt)
        noise = rng.standard_normal((fine, n_components, 2)) @ np.array([1.0, 1.0j])
        noise[1:] *= np.sqrt(1 - np.exp(-2 * dt / tau_ps))
        total += np.sqrt(variance) * _first_order(noise, factor).real
        # the sampled process has the trapezoidal integral of its correlation function
        exact += variance * dt * (0.5 + (factor / (1 - factor)).real)
    current = total.reshape(n_samples, substeps, n_components).mean(axis=1)
    current += np.sqrt(2 * white / interval_ps) * rng.standard_normal(current.shape)
    return current, float(exact)


def _first_order(noise, factor):
    """Return z with z[t] = factor z[t-1] + noise[t]."""
    return lfilter([1.0], [1.0, -factor], noise, axis=0)


def harmonic_ions(
    n_frames,
    n_ions,
    *,
    seed,
    frequencies_THz=(3.0, 5.0, 8.0),
    friction_per_ps=0.0,
    frame_interval_ps=0.01,
    mass_amu=6.94,
    temperature_K=600.0,
    species="Li",
):
    r"""Return ions in harmonic wells: one frequency along each Cartesian axis, with velocities.

    Undamped, velocities are cosines with random phases and Maxwell-Boltzmann amplitudes, so the vibrational
    density of states is one line at each frequency, each of weight 1 per ion. With friction gamma each is
    a damped oscillator's,

    .. math:: g(\nu) = \frac{4 \gamma\, \omega^2}{(\omega^2 - \omega_0^2)^2 + \gamma^2 \omega^2}

    (integral 1 over nu from 0), sampled exactly as a Gaussian process on the circle of frames.

    Parameters
    ----------
    n_frames, n_ions
        Size of the trajectory.
    seed
        Seed of the random generator.
    frequencies_THz
        Along x, y and z.
    friction_per_ps
        gamma, 1/ps.
    frame_interval_ps
        Time between frames, ps.
    mass_amu, temperature_K, species
        Of the ions.

    Returns
    -------
    Trajectory
    """
    rng = np.random.default_rng(seed)
    thermal = np.sqrt(BOLTZMANN_J_PER_K * temperature_K / (mass_amu * _AMU_KG)) * 1e-2
    t = frame_interval_ps * np.arange(n_frames)
    v_tnc = np.empty((n_frames, n_ions, 3))
    r_tnc = np.empty((n_frames, n_ions, 3))
    grid = np.fft.rfftfreq(2 * n_frames, frame_interval_ps)[1:-1]
    for axis, frequency in enumerate(frequencies_THz):
        if friction_per_ps == 0:
            nu, weight = np.array([frequency]), np.ones(1)
        else:
            nu = grid
            w, w0 = 2 * np.pi * nu, 2 * np.pi * frequency
            density = 4 * friction_per_ps * w**2 / ((w**2 - w0**2) ** 2 + (friction_per_ps * w) ** 2)
            weight = density * (nu[1] - nu[0])
        z = rng.standard_normal((n_ions, len(nu), 2)) @ np.array([1.0, 1.0j]) * thermal * np.sqrt(weight)
        if len(nu) == 1:
            wave = z[:, 0, None] * np.exp(2j * np.pi * frequency * t)
            moved = wave / (2j * np.pi * frequency)
        else:
            full = np.zeros((n_ions, 2 * n_frames), dtype=complex)
            full[:, 1 : len(nu) + 1] = z
            wave = 2 * n_frames * np.fft.ifft(full, axis=1)[:, :n_frames]
            full[:, 1 : len(nu) + 1] = z / (2j * np.pi * nu)
            moved = 2 * n_frames * np.fft.ifft(full, axis=1)[:, :n_frames]
        v_tnc[:, :, axis], r_tnc[:, :, axis] = wave.real.T, moved.real.T
    edge = 30.0
    return Trajectory(
        positions_A=r_tnc + rng.uniform(0, edge, size=(n_ions, 3)),
        velocities_A_per_ps=v_tnc,
        species=np.full(n_ions, species),
        masses_amu=np.full(n_ions, mass_amu),
        cells_A=edge * np.eye(3),
        frame_interval_ps=frame_interval_ps,
        temperature_K=temperature_K,
        formal_charges_e={species: 1},
    )
