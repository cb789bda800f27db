"""The bottleneck of hops held against windows that open for them, or do not."""

from dataclasses import replace

import numpy as np
import pytest

from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.hop_geometry import bottleneck_at_hops
from simtools.core.errors import ConfigError
from simtools.md.trajectory import Trajectory

CENTRES = np.array([[3.0, 3.0, 3.0], [9.0, 9.0, 9.0]])
TRIANGLE = np.array([[1.0, 0, 0], [-0.5, np.sqrt(0.75), 0], [-0.5, -np.sqrt(0.75), 0]])


def windows(seed, *, opening_A):
    """Return a triangle of Cl about each of two hop middles, which widens at the hops."""
    rng = np.random.default_rng(seed)
    n_frames, interval = 3000, 0.05
    hops = np.sort(rng.uniform(2.0, 145.0, 80))
    which = rng.integers(2, size=80)
    radius = 2.0 + 0.1 * rng.normal(size=(n_frames, 2, 3))
    for time, site in zip(hops, which, strict=True):
        frame = round(time / interval)
        radius[frame - 3 : frame + 4, site] += opening_A
    r_tnc = np.full((n_frames, 7, 3), 6.0)
    for site in range(2):
        r_tnc[:, 3 * site : 3 * site + 3] = CENTRES[site] + radius[:, site, :, None] * TRIANGLE
    trajectory = Trajectory(
        positions_A=r_tnc, species=["Cl"] * 6 + ["Li"], cells_A=12 * np.eye(3), frame_interval_ps=interval
    )
    step = np.array([0.0, 0.0, 2.8])
    run = RotorHops(
        rotation_rotors=np.zeros(0, dtype=int),
        rotation_times_ps=np.zeros(0),
        rotation_vectors_rad=np.zeros((0, 3)),
        hop_times_ps=hops - 1.0,
        hop_starts_A=CENTRES[which] - 0.5 * step,
        hop_vectors_A=np.tile(step, (80, 1)),
        rotor_centres_A=CENTRES,
        cell_A=12 * np.eye(3),
        duration_ps=146.0,
        start_ps=1.0,
    )
    return trajectory, run


def test_a_window_that_opens_for_ions_is_wider_at_hops():
    found = bottleneck_at_hops(*windows(0, opening_A=0.3), mobile="Li", window_ps=0.1)
    assert found.excess.value == pytest.approx(0.3, abs=0.05)
    assert found.p_value == 1 / 201
    assert abs(found.lags_ps[found.widths_A.argmax()]) <= 0.15
    assert found.widths_A[np.abs(found.lags_ps) > 0.5].mean() == pytest.approx(2.0, abs=0.03)


def test_a_window_that_does_not_care_is_not():
    p = [
        bottleneck_at_hops(*windows(seed, opening_A=0.0), mobile="Li", n_shifts=99).p_value
        for seed in range(20)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.2


def test_hops_and_host_atoms_are_needed():
    trajectory, run = windows(0, opening_A=0.0)
    none = replace(
        run, hop_times_ps=np.zeros(0), hop_starts_A=np.zeros((0, 3)), hop_vectors_A=np.zeros((0, 3))
    )
    with pytest.raises(ConfigError, match="got 0 hops"):
        bottleneck_at_hops(trajectory, none, mobile="Li")
    with pytest.raises(ConfigError, match="6 atoms"):
        bottleneck_at_hops(trajectory, run, mobile="Li", n_nearest=9)
