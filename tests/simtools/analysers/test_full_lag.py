"""Fourier sums against flight, lock-step ions and double sums; invariance of charge; memory and threads."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simtools.analysers import full_lag
from simtools.analysers.full_lag import full_lag_displacements, full_lag_sums
from simtools.analysers.msd import LagRangeError
from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.md.trajectory import Trajectory


def walkers(n_frames, n_ions, seed=0):
    return np.cumsum(np.random.default_rng(seed).normal(size=(n_frames, n_ions, 3)), axis=0)


def trajectory(r_tnc, species, charges=None):
    return Trajectory(
        positions_A=r_tnc,
        species=np.array(species),
        cells_A=10 * np.eye(3),
        frame_interval_ps=0.5,
        formal_charges_e=charges or {},
    )


@pytest.mark.parametrize("n_frames", [2, 3, 64, 65, 200])
def test_every_lag_and_direction_is_the_double_sum(n_frames):
    r_tnc = walkers(n_frames, 5) + 1e4
    own_kc, collective_kc = full_lag_sums(r_tnc)
    summed = r_tnc.sum(axis=1)
    for k in range(1, n_frames):
        assert_allclose(own_kc[k], ((r_tnc[k:] - r_tnc[:-k]) ** 2).mean(axis=(0, 1)), rtol=1e-9)
        assert_allclose(collective_kc[k], ((summed[k:] - summed[:-k]) ** 2).mean(axis=0) / 5, rtol=1e-8)
    assert_array_equal(own_kc[0], 0)


def test_flight_grows_with_the_square_of_time_along_its_direction():
    velocity = np.array([1.0, -2.0, 0.0])
    own_kc, collective_kc = full_lag_sums(np.arange(50)[:, None, None] * velocity + np.ones((7, 1)))
    expected = np.arange(50)[:, None] ** 2 * velocity**2
    assert_allclose(own_kc, expected, rtol=1e-12, atol=1e-10)
    assert_allclose(collective_kc, 7 * expected, rtol=1e-12, atol=1e-9)


def test_the_largest_loss_to_cancellation_is_as_stated():
    r_tnc = walkers(10_000, 3) * 0.1
    own_kc, _ = full_lag_sums(r_tnc, n_lags=100)
    for k in (1, 10, 99):
        assert_allclose(own_kc[k], ((r_tnc[k:] - r_tnc[:-k]) ** 2).mean(axis=(0, 1)), rtol=1e-10)


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    r_tnc = walkers(300, 40)
    monkeypatch.setattr(full_lag, "_BATCH_BYTES", 24 * 600 * 9)
    assert_array_equal(full_lag_sums(r_tnc, workers=1)[0], full_lag_sums(r_tnc, workers=3)[0])


def test_memory_stays_below_half_a_copy_of_many_positions():
    r_tnc = walkers(2000, 1000)
    full_lag_sums(r_tnc[:, :3], workers=2)
    tracemalloc.start()
    full_lag_sums(r_tnc, workers=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * r_tnc.nbytes


def test_the_displacements_of_a_trajectory_take_no_copy_of_its_positions():
    walk = trajectory(walkers(2000, 1000), ["Li", "O"] * 500)
    full_lag_displacements(trajectory(walkers(2000, 6), ["Li", "O"] * 3), species=("Li",), workers=2)
    tracemalloc.start()
    result = full_lag_displacements(walk, species=("Li",), workers=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    own_kc, collective_kc = full_lag_sums(walk.positions_of("Li"))
    assert_array_equal(result.msd_A2[0], own_kc)
    assert_array_equal(result.collective_msd_A2[0], collective_kc)
    # batches of two threads take 16 MB here; the lithium's positions alone would take 24 more
    assert peak < 0.45 * walk.positions_A.nbytes


def test_lock_step_ions_have_a_haven_ratio_of_one_over_their_number():
    result = full_lag_displacements(
        trajectory(np.repeat(walkers(100, 1), 6, axis=1), ["Li"] * 6), species=("Li",)
    )
    assert_allclose(result.haven_ratios[0, 1:], 1 / 6, rtol=1e-9)
    assert result.charge_msd_e2_A2 is None
    assert_allclose(result.lag_times_ps[[0, 1, 99]], [0, 0.5, 49.5])


def test_the_charge_of_a_neutral_cell_does_not_see_a_common_drift():
    species, charges = ["Li"] * 4 + ["O"] * 2, {"Li": 1, "O": -2}
    r_tnc = walkers(80, 6)
    drift = walkers(80, 1, seed=9)
    still = full_lag_displacements(trajectory(r_tnc, species, charges), species=("Li", "O"))
    moved = full_lag_displacements(trajectory(r_tnc + drift, species, charges), species=("Li", "O"))
    assert_allclose(moved.charge_msd_e2_A2, still.charge_msd_e2_A2, rtol=1e-9, atol=1e-9)
    charge_tc = r_tnc[:, :4].sum(axis=1) - 2 * r_tnc[:, 4:].sum(axis=1)
    expected = ((charge_tc[7:] - charge_tc[:-7]) ** 2).mean(axis=0)
    assert_allclose(still.charge_msd_e2_A2[7], expected, rtol=1e-10)
    assert moved.msd_A2[0, 20].sum() > 1.2 * still.msd_A2[0, 20].sum()


def test_what_does_not_fit_is_refused():
    walk = trajectory(walkers(20, 2), ["Li"] * 2)
    with pytest.raises(LagRangeError):
        full_lag_displacements(walk, species=("Li",), max_lag_ps=10.0)
    with pytest.raises(UnknownSpeciesError):
        full_lag_displacements(walk, species=("Na",))
    with pytest.raises(ConfigError, match="at least one species"):
        full_lag_displacements(walk, species=())
    with pytest.raises(LagRangeError):
        full_lag_sums(walkers(20, 2), n_lags=21)
