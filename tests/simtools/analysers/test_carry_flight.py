"""Dipoles that leave a vacancy for an ion do not carry it; those that sweep it along do."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.transform import Rotation

from benchmarks import paddlewheel_calibration as calibration
from simtools.analysers.carry import CarryTest, carry_test
from simtools.analysers.carry_flight import cosine_of_carry, turned
from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.molecules import find_molecules
from simtools.analysers.orientations import orientations_of, rotation_vectors
from simtools.analysers.reorientations import find_reorientations
from simtools.core.errors import ConfigError, ShapeError
from simtools.testing.coupled import planted_events
from simtools.testing.fleeing import fleeing_dipoles
from simtools.testing.uncoupled import uncoupled_motion


def unit(rng, n):
    u = rng.normal(size=(n, 3))
    return u / np.linalg.norm(u, axis=1, keepdims=True)


def test_the_cosine_is_that_of_the_shortest_turn():
    rng = np.random.default_rng(1)
    old, new, place, step = (unit(rng, 50) for _ in range(4))
    turn = Rotation.from_rotvec(rotation_vectors(old, new))
    carry = turn.apply(place) - place
    expected = np.sum(carry * step, axis=1) / np.linalg.norm(carry, axis=1)
    # near half a turn the mean over axes stands instead
    near = np.sum(old * new, axis=1) > -0.98
    assert cosine_of_carry(old, new, place, step)[near] == pytest.approx(expected[near], abs=1e-9)
    assert turned(old, rotation_vectors(old, new)) == pytest.approx(new, abs=1e-12)


def test_half_a_turn_counts_with_the_mean_over_its_axes():
    x, y = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    axes = np.stack([0 * angles, np.cos(angles), np.sin(angles)], axis=1)
    mean = (Rotation.from_rotvec(np.pi * axes).apply(y) - y).mean(axis=0)
    expected = mean @ (x - y) / np.linalg.norm(mean) / np.sqrt(2)
    assert float(cosine_of_carry(x, -x, y, x - y)) == pytest.approx(expected, abs=1e-9)
    assert float(cosine_of_carry(x, -y, y, x - y)) == pytest.approx(1.0)
    assert float(cosine_of_carry(x, np.array([0.0, 0.0, 1.0]), y, x - y)) == 0.0


def test_fifty_repeats_of_dipoles_that_clear_the_way_keep_the_level():
    rows = [calibration.one_dipole("dipoles leave vacancies", 50_000 + k) for k in range(50)]
    most = stats.binom.ppf(0.999, 50, 0.05) / 50
    assert np.mean([row["p"]["carry, polar"] <= 0.05 for row in rows]) <= most
    assert np.mean([row["carried"] for row in rows]) == pytest.approx(0.0, abs=0.05)
    assert np.mean([row["shifts_alone"] for row in rows]) > 0.5


def test_dipoles_that_sweep_ions_along_are_found():
    rows = [calibration.one_dipole("10 % swept by dipoles", 50_000 + k) for k in range(12)]
    assert np.mean([row["p"]["carry, polar"] <= 0.05 for row in rows]) >= 0.9
    assert np.mean([row["carried"] for row in rows]) == pytest.approx(1.0, abs=0.15)


def test_only_linear_rotors_have_alternatives():
    run = RotorHops(**planted_events(seed=0, duration_ps=100.0).events)
    found = carry_test(run, radius_A=2.2, n_shifts=20)
    assert not found.is_adjusted
    assert found.evidence == (found.cosine_excess, found.p_value, found.carried)
    dipoles = RotorHops(**fleeing_dipoles(seed=0, duration_ps=100.0))
    adjusted = carry_test(dipoles, radius_A=2.2, n_shifts=20)
    assert adjusted.is_adjusted
    assert adjusted.evidence == (adjusted.flight_excess, adjusted.flight_p_value, adjusted.flight_carried)
    again = CarryTest.from_dict(adjusted.to_dict())
    assert again.flight_p_value == adjusted.flight_p_value
    quiet = replace(dipoles, hop_starts_A=dipoles.hop_starts_A + 100.0, hop_times_ps=dipoles.hop_times_ps)
    assert carry_test(quiet, radius_A=0.1, n_shifts=20).flight_p_value == 1.0


def test_bonds_before_a_turn_are_handed_on():
    motion = uncoupled_motion(seed=3, n_frames=800)
    orientations = orientations_of(find_molecules(motion.trajectory, centre="O", ligands="H"))
    events = find_reorientations(orientations)
    after = turned(events.initial_directions, events.vectors_rad)
    assert events.n_events > 20
    for rotor in range(events.n_rotors):
        own = np.flatnonzero(events.rotors == rotor)
        same = np.sum(after[own[:-1]] * events.initial_directions[own[1:]], axis=1)
        assert np.median(same) > np.cos(np.radians(20.0))


def test_nonsense_is_refused():
    with pytest.raises(ConfigError, match="flights in"):
        fleeing_dipoles(seed=0, flights=1.0)
    good = fleeing_dipoles(seed=0, duration_ps=20.0)
    with pytest.raises(ShapeError, match="rotation_starts"):
        RotorHops(**{**good, "rotation_starts": good["rotation_starts"][:-1]})
