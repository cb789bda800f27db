import numpy as np
import pytest

from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.coupling_inputs import common_windows
from simtools.core.errors import ConfigError


def run_of(rate_per_ps, duration_ps=360.0, n_rotors=27, seed=0):
    rng = np.random.default_rng(seed)
    n = rng.poisson(rate_per_ps * duration_ps * n_rotors)
    return RotorHops(
        rotation_rotors=rng.integers(0, n_rotors, n),
        rotation_times_ps=rng.uniform(0, duration_ps, n),
        rotation_vectors_rad=np.ones((n, 3)),
        hop_times_ps=rng.uniform(0, duration_ps, 50),
        hop_starts_A=rng.uniform(0, 14, (50, 3)),
        hop_vectors_A=np.full((50, 3), 2.0),
        rotor_centres_A=rng.uniform(0, 14, (n_rotors, 3)),
        cell_A=14.0 * np.eye(3),
        duration_ps=duration_ps,
    )


def test_the_window_leaves_half_of_the_time_of_fast_rotors_to_compare_with():
    window, lag = common_windows([run_of(3.0)], 0.02)
    assert window == pytest.approx(np.log(2) / 3.0, rel=0.02)
    assert lag == 2.0


def test_slow_rotors_have_the_window_of_one_picosecond():
    assert common_windows([run_of(0.06)], 0.02)[0] == 1.0


def test_a_window_never_falls_below_five_frames():
    assert common_windows([run_of(10.0)], 0.05)[0] == pytest.approx(0.25)


def test_too_few_frames_for_a_window_are_refused():
    with pytest.raises(ConfigError, match="at least two frames"):
        common_windows([run_of(0.1, duration_ps=5.0)], 0.05)
