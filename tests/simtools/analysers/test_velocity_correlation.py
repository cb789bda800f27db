"""Vibrational densities of states held against harmonic ions whose spectrum is known."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.analysers.velocity_correlation import (
    UnresolvedVibrationsError,
    VibrationResult,
    analyse_vibrations,
)
from simtools.core.errors import ConfigError
from simtools.testing import harmonic_ions


def damped_mean_THz(frequencies=(3.0, 5.0, 8.0), friction=4.0, end=50.0):
    """Return the mean frequency of damped oscillators' density of states below `end`."""
    nu = np.linspace(0, end, 200_001)[1:]
    w = 2 * np.pi * nu
    density = sum(w**2 / ((w**2 - (2 * np.pi * f) ** 2) ** 2 + (friction * w) ** 2) for f in frequencies)
    return (density @ nu) / density.sum()


def test_lines_lie_where_the_oscillators_are_and_integrate_to_three():
    result = analyse_vibrations([harmonic_ions(2000, 60, seed=1)], species="Li")
    nu, g = result.frequencies_THz, result.density_of_states_per_THz
    assert g.sum() * nu[1] == pytest.approx(3.0, rel=1e-12)
    for frequency in (3.0, 5.0, 8.0):
        assert g[np.abs(nu - frequency) < 1].sum() * nu[1] == pytest.approx(1.0, abs=0.35)
    assert set(nu[np.argsort(g)[-3:]]) == {3.0, 5.0, 8.0}


def test_the_autocorrelation_is_the_mean_of_the_cosines():
    result = analyse_vibrations([harmonic_ions(2000, 300, seed=2)], species="Li")
    t = result.lag_times_ps
    exact = np.mean([np.cos(2 * np.pi * f * t) for f in (3.0, 5.0, 8.0)], axis=0)
    assert_allclose(result.autocorrelation, exact, atol=0.08)
    thermal = 3 * 8.314462618 * 600 / 6.94e-3 * 1e-4  # 3 kB T / m in Å²/ps²
    assert result.mean_square_velocity_A2_per_ps2 == pytest.approx(thermal, rel=0.08)


def test_the_interval_of_the_attempt_frequency_covers():
    exact, hits = damped_mean_THz(), 0
    for seed in range(30):
        low, high = analyse_vibrations(
            [harmonic_ions(2000, 8, seed=seed, friction_per_ps=4.0)], species="Li"
        ).attempt_frequency_THz.ci95
        hits += low < exact < high
    assert hits >= 26


def test_positions_often_enough_give_the_spectrum_of_velocities():
    full = harmonic_ions(2000, 30, seed=3, friction_per_ps=1.0)
    whole = analyse_vibrations([full], species="Li")
    other = analyse_vibrations([replace(full, velocities_A_per_ps=None)], species="Li")
    assert other.source == "differences of positions"
    assert other.attempt_frequency_THz.value == pytest.approx(whole.attempt_frequency_THz.value, rel=0.01)
    assert_allclose(other.density_of_states_per_THz, whole.density_of_states_per_THz, rtol=0.06, atol=0.01)
    assert VibrationResult.from_json(other.to_json()).to_json() == other.to_json()


def test_frames_too_far_apart_are_refused_in_one_line():
    coarse = harmonic_ions(400, 4, seed=4, frame_interval_ps=0.1)
    for trajectory in (coarse, replace(coarse, velocities_A_per_ps=None)):
        with pytest.raises(UnresolvedVibrationsError, match=r"every 100 fs .* every 16 fs or less") as caught:
            analyse_vibrations([trajectory], species="Li")
        assert "\n" not in str(caught.value)
    with pytest.raises(UnresolvedVibrationsError, match="130 THz"):
        analyse_vibrations([harmonic_ions(400, 4, seed=4, species="H")], species="H")


def test_power_at_the_end_of_the_band_is_refused():
    folded = harmonic_ions(4000, 4, seed=5, frequencies_THz=(52.0, 49.0, 53.0))
    with pytest.raises(UnresolvedVibrationsError, match="at the end of the band"):
        analyse_vibrations([folded], species="Li")


def test_bad_requests_are_refused():
    short = harmonic_ions(300, 2, seed=6)
    with pytest.raises(ConfigError, match="300 frames"):
        analyse_vibrations([short], species="Li")
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(ConfigError, match="resolution_THz"):
            analyse_vibrations([short], species="Li", resolution_THz=bad)
    still = replace(short, velocities_A_per_ps=np.zeros((300, 2, 3)))
    with pytest.raises(ConfigError, match="do not move"):
        analyse_vibrations([still], species="Li", resolution_THz=1.0)
