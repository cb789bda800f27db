"""Walkers whose positions are rounded, and whether their diffusivities move by what is said."""

import numpy as np
import pytest

from simtools.analysers.rounding import rounding_effect_cm2_per_s
from simtools.analysers.transport import analyse_transport
from simtools.md.trajectory import Trajectory

N_FRAMES, N_IONS = 1000, 20


def _transport(positions_A):
    trajectory = Trajectory(
        positions_A=positions_A,
        species=np.full(N_IONS, "Li"),
        cells_A=20.0 * np.eye(3),
        frame_interval_ps=0.1,
        temperature_K=600.0,
        formal_charges_e={"Li": 1},
    )
    return analyse_transport([trajectory], species="Li", hop_length_A=2.0, host_species=())


@pytest.mark.parametrize("rounding_A", [0.005, 0.05])
def test_rounding_moves_a_diffusivity_by_less_than_is_said_but_not_by_nothing(rounding_A):
    shares = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        paths = np.cumsum(rng.normal(0, 0.5, (N_FRAMES, N_IONS, 3)), axis=0)
        exact = _transport(paths)
        rounded = _transport(2 * rounding_A * np.round(paths / (2 * rounding_A)))
        for name, msd_A2, window_ps, n in (
            ("tracer_diffusivity_cm2_per_s", exact.msd_A2, exact.window_ps, N_FRAMES * N_IONS),
            ("charge_diffusivity_cm2_per_s", exact.charge_msd_A2, exact.charge_window_ps, N_FRAMES),
        ):
            end_A2 = np.interp(window_ps[1], exact.lag_times_ps, msd_A2)
            told = rounding_effect_cm2_per_s(rounding_A, msd_A2=end_A2, window_ps=window_ps, n_windows=n)
            shares.append(abs(getattr(rounded, name).value - getattr(exact, name).value) / told)
    assert max(shares) < 1.1
    assert np.median(shares) > 0.02


def test_ions_at_rest_feel_the_square():
    at_rest = [
        rounding_effect_cm2_per_s(r, msd_A2=0.0, window_ps=(1.0, 3.0), n_windows=100)
        for r in (0.0, 0.01, 0.02)
    ]
    assert at_rest[0] == 0
    assert at_rest[1] == pytest.approx(2 * 0.01**2 / 12 * 1e-4)
    assert at_rest[2] == pytest.approx(4 * at_rest[1])
