import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from simtools.analysers.displacements import blocked_displacements, lag_grid
from simtools.analysers.kernels import msd as kernels
from simtools.analysers.msd import (
    LagRangeError,
    collective_mean_squared_displacement,
    mean_squared_displacement,
    windowed_msd,
)
from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.md.trajectory import Trajectory
from tests.reference import msd as reference


def lithium(r_tnc, interval_ps=0.5):
    r_tnc = np.broadcast_to(r_tnc, (*np.shape(r_tnc)[:2], 3))
    return Trajectory(
        positions_A=np.ascontiguousarray(r_tnc),
        species=np.full(r_tnc.shape[1], "Li"),
        cells_A=10 * np.eye(3),
        frame_interval_ps=interval_ps,
        formal_charges_e={"Li": 1},
    )


def walkers(n_frames, n_ions, seed=0):
    return np.cumsum(np.random.default_rng(seed).normal(size=(n_frames, n_ions, 3)), axis=0)


def test_ballistic_flight_gives_v_squared_t_squared():
    velocity, times = np.array([1.0, -2.0, 0.5]), 0.5 * np.arange(40)
    result = mean_squared_displacement(lithium(times[:, None, None] * velocity), species="Li")
    assert_allclose(result.msd_A2, velocity @ velocity * result.lag_times_ps**2, rtol=1e-11, atol=1e-12)


def test_lock_step_ions_have_n_times_the_collective_displacement():
    trajectory = lithium(np.repeat(walkers(200, 1), 8, axis=1))
    single = mean_squared_displacement(trajectory, species="Li")
    summed = collective_mean_squared_displacement(trajectory, species="Li")
    assert_allclose(summed.msd_A2, 8 * single.msd_A2, rtol=1e-10)


def test_the_displacement_far_from_the_origin_is_not_lost_to_rounding():
    r_tnc = walkers(60, 3)
    assert_allclose(windowed_msd(r_tnc + 1e6, 30), windowed_msd(r_tnc, 30), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("k", [0, 1, 7, 29])
def test_the_fourier_route_matches_the_formula(k):
    r_tnc = walkers(60, 5)
    assert_allclose(windowed_msd(r_tnc, 30)[:, k], reference.msd(r_tnc, k), rtol=1e-11, atol=1e-12)


@pytest.mark.kernel
def test_blocks_match_the_formula_and_average_to_the_whole():
    r_tnc, lags = walkers(60, 5), np.array([1, 4, 20])
    mean_kb, quartic_k = kernels.blocked_displacements(r_tnc, lags, 4)
    for row, k in zip(mean_kb, lags, strict=True):
        assert_allclose(row, reference.blocked_msd(r_tnc, k, 4), rtol=1e-12)
    squares = np.sum((r_tnc[4:] - r_tnc[:-4]) ** 2, axis=-1)
    assert_allclose(quartic_k[1], np.mean(squares**2), rtol=1e-12)


@pytest.mark.kernel
def test_hops_are_counted_as_the_definition_says():
    rng = np.random.default_rng(3)
    steps = rng.choice([0.0, 2.7, -2.7], p=[0.96, 0.02, 0.02], size=(200, 4, 3))
    r_tnc = np.cumsum(steps, axis=0) + rng.normal(0, 0.15, size=steps.shape)
    hops_n, reach_n = kernels.count_hops(r_tnc, 5, 1.6)
    assert hops_n.tolist() == [reference.hops(r_tnc[:, n], 5, 1.6) for n in range(4)]
    assert hops_n.sum() > 10
    assert (reach_n > 0).all()


@pytest.mark.kernel
def test_rattling_and_brief_excursions_are_not_hops():
    rng = np.random.default_rng(4)
    r_tnc = rng.normal(0, 0.2, size=(300, 6, 3))
    r_tnc[100:104, 0] += 2.7
    hops_n, reach_n = kernels.count_hops(r_tnc, 5, 1.6)
    assert hops_n.sum() == 0
    assert reach_n.sum() == 0


@settings(max_examples=30)
@given(scale=st.floats(0.1, 10), shift=st.floats(-1e3, 1e3), seed=st.integers(0, 99))
def test_msd_ignores_origin_and_order_and_scales_as_length_squared(scale, shift, seed):
    r_tnc = walkers(30, 4, seed)
    moved = np.ascontiguousarray(scale * r_tnc[:, ::-1] + shift)
    assert_allclose(windowed_msd(moved, 15), scale**2 * windowed_msd(r_tnc, 15)[::-1], rtol=1e-7, atol=1e-9)


def test_lags_are_geometric_and_end_at_half_of_the_run():
    lags = lag_grid(1000)
    assert lags[0] == 1
    assert lags[-1] == 500
    assert (np.diff(lags) > 0).all()
    assert len(lags) < 40


def test_replicas_of_different_length_count_by_their_length():
    long, short = walkers(400, 3, 1), walkers(100, 3, 2)
    blocks = blocked_displacements([long, short], frame_interval_ps=0.1, hop_length_A=1.0)
    assert_allclose(blocks.weights_r, [0.8, 0.2])
    expected = 0.8 * reference.msd(long, 1).mean() + 0.2 * reference.msd(short, 1).mean()
    assert_allclose(blocks.msd_k[0], expected, rtol=0.02)


def test_smoothing_takes_out_the_optical_vibration_and_keeps_the_slope():
    rng = np.random.default_rng(13)
    times = 0.04 * np.arange(4000)
    walk = np.cumsum(rng.normal(0, 0.05, size=(4000, 1, 3)), axis=0)
    swing = 0.4 * np.cos(2 * np.pi * 5.5 * times + 1.0)[:, None, None]
    calm, ringing = (
        blocked_displacements([r_tnc], frame_interval_ps=0.04, hop_length_A=1.0)
        for r_tnc in (walk, walk + swing)
    )
    late = calm.lags >= 2 * len(calm.smoothing)
    assert_allclose(ringing.smooth_charge_msd_k[late], calm.smooth_charge_msd_k[late], rtol=0.02)
    assert ringing.charge_msd_k[late][0] > 1.1 * calm.charge_msd_k[late][0]
    slopes = [
        np.gradient(msd[late], calm.lags[late])[2] for msd in (calm.charge_msd_k, calm.smooth_charge_msd_k)
    ]
    assert slopes[0] == pytest.approx(slopes[1], rel=0.1)


def test_frames_far_apart_are_not_smoothed():
    blocks = blocked_displacements([walkers(400, 3)], frame_interval_ps=0.5, hop_length_A=1.0)
    assert blocks.smoothing == (1.0,)
    assert_allclose(blocks.smooth_charge_rbk, blocks.charge_rbk, rtol=0)


def test_missing_species_lists_what_is_there():
    with pytest.raises(UnknownSpeciesError, match="available: Li"):
        mean_squared_displacement(lithium(walkers(9, 1)), species="Na")


@pytest.mark.parametrize("max_lag_ps", [0.1, 100.0])
def test_a_lag_that_does_not_fit_is_refused(max_lag_ps):
    with pytest.raises(LagRangeError, match="max_lag_ps"):
        mean_squared_displacement(lithium(walkers(9, 1)), species="Li", max_lag_ps=max_lag_ps)


def test_a_run_of_a_few_frames_is_refused():
    with pytest.raises(ConfigError, match="at least 8 frames"):
        blocked_displacements([walkers(5, 2)], frame_interval_ps=0.1, hop_length_A=1.0)
