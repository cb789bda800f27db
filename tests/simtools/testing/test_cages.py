"""Caged ions: flight, cage and hops against the damped oscillator on paper."""

import numpy as np
import pytest

from simtools.analysers.msd import mean_squared_displacement, windowed_msd
from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_J_PER_K
from simtools.testing import caged_hoppers

OMEGA, FRICTION = 2 * np.pi * 4.0, 4.0
THERMAL2 = BOLTZMANN_J_PER_K * 800.0 / (6.94 * 1.66053906892e-27) * 1e-4  # Å²/ps²


def test_without_hops_the_displacement_is_that_of_a_damped_oscillator():
    result = mean_squared_displacement(
        caged_hoppers(2000, 60, seed=1, hop_rate_per_ps=0.0), species="Li", max_lag_ps=1.0
    )
    t, damped = result.lag_times_ps, np.sqrt(OMEGA**2 - FRICTION**2 / 4)
    correlation = np.exp(-FRICTION * t / 2) * (
        np.cos(damped * t) + FRICTION / 2 / damped * np.sin(damped * t)
    )
    plateau = 6 * THERMAL2 / OMEGA**2
    np.testing.assert_allclose(result.msd_A2, plateau * (1 - correlation), atol=0.03 * plateau)


def test_flight_begins_with_the_thermal_velocity():
    result = mean_squared_displacement(
        caged_hoppers(400, 400, seed=2, hop_rate_per_ps=0.0, frame_interval_ps=0.002),
        species="Li",
        max_lag_ps=0.002,
    )
    assert result.msd_A2[1] == pytest.approx(3 * THERMAL2 * 0.002**2, rel=0.05)


@pytest.mark.parametrize("group_size", [1, 4])
def test_hops_alone_make_the_long_time_slope(group_size):
    item = caged_hoppers(6000, 64, seed=3, hop_rate_per_ps=0.5, group_size=group_size)
    lag = 250
    msd = windowed_msd(item.positions_A, lag + 1)[:, [lag // 2, lag]].mean(axis=0)
    slope = (msd[1] - msd[0]) / (lag // 2 * 0.02)
    hops = 0.5 * 120 * 64 / group_size
    assert slope == pytest.approx(0.5 * 2.76**2, rel=4 / np.sqrt(hops))


def test_a_group_that_does_not_divide_the_ions_is_refused():
    with pytest.raises(ConfigError, match="group_size must divide n_ions = 10, got 4"):
        caged_hoppers(10, 10, seed=0, group_size=4)


def test_a_spring_without_friction_is_refused():
    with pytest.raises(ConfigError, match="friction_per_ps must be positive, got 0"):
        caged_hoppers(10, 10, seed=0, friction_per_ps=0)
