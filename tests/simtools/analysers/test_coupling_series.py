"""Conditional displacement and information flow held against series whose coupling is known."""

import numpy as np
import pytest
from scipy import stats

from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.coupling_series import (
    RotorSeries,
    conditional_displacement,
    information_flow,
    rotor_series,
)
from simtools.analysers.molecules import find_molecules
from simtools.analysers.orientations import orientations_of
from simtools.core.errors import ConfigError, ShapeError
from simtools.md.trajectory import Trajectory
from simtools.testing.coupled import planted_events


def series(seed, *, coupling=0.0, heterogeneity=0.0, small=False, n_steps=400, n_rotors=12):
    """Return angles and displacements with a common part; heterogeneity makes both larger at some rotors."""
    rng = np.random.default_rng(seed)
    scale = 1 + heterogeneity * np.linspace(-1, 1, n_rotors)
    angles = scale * np.abs(rng.normal(size=(n_steps, n_rotors))) * np.radians(12 if small else 40)
    common = angles / angles.mean()
    moved = scale * rng.exponential(size=angles.shape) * (1 - coupling + coupling * common**2)
    return RotorSeries(angles, moved, 1.0)


def test_independent_series_keep_the_level_and_have_ratio_one():
    p = []
    for seed in range(60):
        found = conditional_displacement(series(seed, heterogeneity=0.8), n_shifts=99, seed=seed)
        p.append([found.large_p_value, found.small_p_value, found.information_p_value])
    most = stats.binom.ppf(0.999, 60, 0.05) / 60
    assert (np.mean(np.array(p) <= 0.05, axis=0) <= most).all()
    plain = conditional_displacement(series(1), n_shifts=99)
    assert plain.large.value == pytest.approx(1.0, abs=4 * plain.large.stderr)
    assert plain.ratios == pytest.approx(1.0, abs=0.35)
    assert abs(plain.mutual_information.value) < 4 * plain.mutual_information.stderr


def test_ions_that_move_with_large_turns_are_found_and_small_ones_too():
    large = conditional_displacement(series(2, coupling=0.5), n_shifts=199)
    assert large.large.value > 1.3
    assert large.large_p_value == large.information_p_value == 1 / 200
    assert large.ratios[-1] > large.band_high[-1]
    cradle = conditional_displacement(series(3, coupling=0.5, small=True), n_shifts=199)
    assert cradle.small_p_value == 1 / 200
    assert cradle.small_correlation.value > 0.1


@pytest.mark.kernel
def test_steps_are_those_of_the_trajectory():
    n_frames = 41
    r_tnc = np.zeros((n_frames, 4, 3))
    r_tnc[:, 0] = [1.0, 1.0, 1.0]
    turn = np.repeat(np.arange(5), 10)[:n_frames] * np.pi / 2
    r_tnc[:, 1] = r_tnc[:, 0] + 0.97 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=-1)
    r_tnc[:, 2] = [9.5, 1.0, 1.0]
    r_tnc[20:, 2, 1] += 0.6
    r_tnc[:, 3] = [5.0, 5.0, 5.0]
    trajectory = Trajectory(
        positions_A=r_tnc, species=["O", "H", "Li", "Li"], cells_A=10 * np.eye(3), frame_interval_ps=0.1
    )
    rotors = orientations_of(find_molecules(trajectory, centre="O", ligands="H"))
    found = rotor_series(rotors, trajectory, mobile="Li", radius_A=2.5, step_ps=0.4)
    assert found.angles_rad[:, 0] == pytest.approx(np.abs(np.diff(turn[::4])), abs=1e-9)
    expected = np.zeros(10)
    expected[4] = 0.36
    assert found.displacements_A2[:, 0] == pytest.approx(expected)
    alone = rotor_series(rotors, trajectory, mobile="Li", radius_A=0.5, step_ps=0.4)
    assert (alone.displacements_A2 == -1).all()
    with pytest.raises(ConfigError, match="larger radius_A"):
        conditional_displacement(alone)
    for options, message in (
        ({"radius_A": 6.0, "step_ps": 0.4}, "at most 5"),
        ({"radius_A": 2.0, "step_ps": 0.01}, "do not fit"),
        ({"radius_A": 2.0, "step_ps": 3.0}, "do not fit"),
    ):
        with pytest.raises(ConfigError, match=message):
            rotor_series(rotors, trajectory, mobile="Li", **options)
    with pytest.raises(ShapeError):
        RotorSeries(np.zeros((3, 2)), np.zeros((2, 2)), 1.0)


def flow(seed, **options):
    run = RotorHops(**planted_events(seed=seed, duration_ps=400.0, **options).events)
    return information_flow(run, radius_A=2.2, bin_ps=0.5, n_shifts=99, seed=seed)


def test_information_flows_from_the_cause_to_the_effect():
    planted = flow(1, coupled_fraction=0.3, lag_ps=0.6)
    assert planted.rotation_to_hop_p_value == 0.01
    assert planted.rotation_to_hop.value > 5 * planted.rotation_to_hop.stderr
    assert planted.hop_to_rotation.value < 0.3 * planted.rotation_to_hop.value
    none = [flow(seed, heterogeneity=0.8) for seed in range(20)]
    most = stats.binom.ppf(0.999, 20, 0.05) / 20
    assert np.mean([item.rotation_to_hop_p_value <= 0.05 for item in none]) <= most
    assert np.mean([item.hop_to_rotation_p_value <= 0.05 for item in none]) <= most
    with pytest.raises(ConfigError, match="fewer than 10 bins"):
        information_flow(RotorHops(**planted_events(seed=0).events), radius_A=2.2, bin_ps=100.0)
