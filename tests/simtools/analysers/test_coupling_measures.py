"""Every measure of coupling on motion without any; 500 repeats of each case are in benchmarks/results."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from benchmarks import coupling_measures_calibration as calibration
from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.coupling_series import RotorSeries, conditional_displacement
from simtools.analysers.coupling_velocities import velocity_coherence
from simtools.analysers.event_correlogram import event_correlogram, in_stretches
from simtools.analysers.hazard import hazard_ratio
from simtools.analysers.hop_geometry import bottleneck_at_hops
from simtools.analysers.joint_correlation import joint_correlation
from simtools.analysers.molecules import find_molecules, without_ligands
from simtools.analysers.orientations import orientations_of
from simtools.analysers.shift_null import (
    circular_shifts,
    correlation_steps,
    stretch_count,
    stretch_slices,
    upper_p,
)
from simtools.analysers.tilt_at_hops import tilt_at_hops
from simtools.core.errors import ConfigError
from simtools.testing.coupled import planted_events
from simtools.testing.uncoupled import uncoupled_motion

COMMITTED = Path(calibration.__file__).with_name("results") / "coupling_measures_calibration.json"


def test_fifty_repeats_with_regions_and_drift_keep_the_level():
    rows = [calibration.one_repeat("both", 50_000 + repeat) for repeat in range(50)]
    most = stats.binom.ppf(0.999, 50, 0.05) / 50
    for name, share in calibration.shares(rows).items():
        assert share <= most, name


@pytest.mark.skipif(not COMMITTED.exists(), reason="the benchmark's results are not in this tree")
def test_the_committed_calibration_is_within_what_is_promised():
    """3 to 7 % are promised; the bounds leave room for the chance of 500 repeats."""
    cases = json.loads(COMMITTED.read_text(encoding="utf-8"))["cases"]
    for case in calibration.NULL_CASES:
        n = cases[case]["repeats"]
        low, high = stats.binom.ppf(0.001, n, 0.03) / n, stats.binom.ppf(0.999, n, 0.07) / n
        for name, share in cases[case]["positive"].items():
            assert low <= share <= high, (case, name)


def test_a_run_that_ages_is_no_coupling():
    """Rates that fall together were called coupled by shifts around the whole run in 60 % of runs."""
    p = []
    for seed in range(25):
        run = RotorHops(**planted_events(seed=seed, drift=0.8).events)
        found = event_correlogram(run, distance_edges_A=(0.0, 2.2), n_shifts=99, seed=seed)
        p.append([found.p_value, found.excess_p_value, hazard_ratio(run, radius_A=2.2).p_value])
    most = stats.binom.ppf(0.999, 25, 0.05) / 25
    assert (np.mean(np.array(p) <= 0.05, axis=0) <= most).all()


def test_series_that_fall_together_are_no_coupling():
    p = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        fall = np.linspace(1.8, 0.2, 400)[:, None]
        angles = fall * np.abs(rng.normal(size=(400, 12))) * 0.7
        series = RotorSeries(angles, fall * rng.exponential(size=angles.shape), 1.0)
        found = conditional_displacement(series, n_shifts=99, seed=seed)
        p.append([found.large_p_value, found.small_p_value, found.information_p_value])
    assert (np.mean(np.array(p) <= 0.05, axis=0) <= 0.25).all()


def test_memory_stretches_and_shifts():
    rng = np.random.default_rng(0)
    white = rng.normal(size=(2000, 8))
    assert correlation_steps(white) == 1
    assert correlation_steps(white + np.linspace(0, 50, 2000)[:, None]) == 1
    slow = lfilter([1.0], [1.0, -np.exp(-1 / 10)], white, axis=0)
    assert correlation_steps(slow) == pytest.approx(23, abs=4)
    assert correlation_steps(np.ones((50, 2))) == 1
    assert [stretch_count(n, 2) for n in (10, 79, 80, 10_000)] == [1, 1, 2, 8]
    parts = stretch_slices(103, 1)
    assert np.concatenate([np.arange(103)[part] for part in parts]).tolist() == list(range(103))
    shifts = circular_shifts(rng, 500, 3, 10)
    assert shifts.shape == (501, 3)
    assert not shifts[0].any()
    assert set(shifts[1:].ravel()) == set(range(10))
    assert upper_p(np.array([3.0, 1.0, 3.0, 5.0])) == 0.75


def test_stretches_hold_every_event_once():
    run = RotorHops(**planted_events(seed=1, duration_ps=200.0).events)
    pieces = in_stretches([run], 2.0)
    assert len(pieces) == 5
    for name, total in (("n_rotations", run.n_rotations), ("n_hops", run.n_hops)):
        assert sum(getattr(piece, name) for piece in pieces) == total
    times = np.concatenate([piece.hop_times_ps + piece.start_ps for piece in pieces])
    assert np.sort(times) == pytest.approx(np.sort(run.hop_times_ps))
    assert all(piece.duration_ps == pytest.approx(40.0) for piece in pieces)


@pytest.fixture(scope="module")
def replicas():
    found = []
    for seed in (1, 2):
        motion = uncoupled_motion(seed=seed, n_frames=1000, follow=0.5)
        molecules = find_molecules(motion.trajectory, centre="O", ligands="H")
        host = without_ligands(motion.trajectory, molecules)
        found.append((motion.trajectory, host, orientations_of(molecules), RotorHops(**motion.events)))
    return tuple(zip(*found, strict=True))


def test_replicas_add_up_in_measures_that_need_frames(replicas):
    whole, hosts, rotors, runs = replicas
    ions = {"mobile": "Li", "radius_A": 2.9, "n_shifts": 20}
    for measure, arguments, options, number in (
        (velocity_coherence, (rotors, hosts), ions, "n_segments"),
        (joint_correlation, (rotors, hosts), ions, "n_origins"),
        (tilt_at_hops, (rotors, runs), {"radius_A": 2.2, "n_shifts": 20}, "n_pairs"),
        (bottleneck_at_hops, (whole, runs), {"mobile": "Li", "n_shifts": 20}, "n_hops"),
    ):
        both = getattr(measure(*arguments, **options), number)
        alone = [getattr(measure(*part, **options), number) for part in zip(*arguments, strict=True)]
        assert both == sum(alone)
        with pytest.raises(ConfigError, match="expected the same"):
            measure(arguments[0], arguments[1][:1], **options)


def test_hops_that_turn_their_rotor_are_found(replicas):
    _, _, _, runs = replicas
    found = event_correlogram(runs, distance_edges_A=(0.0, 2.2), longest_lag_ps=1.0, n_shifts=99)
    assert found.excess_p_value == 0.01
    assert found.coupled_fraction.ci95[0] < 0.5 < found.coupled_fraction.ci95[1] + 0.05


def test_toys_refuse_shares_beyond_one():
    with pytest.raises(ConfigError, match="heterogeneity and drift"):
        uncoupled_motion(seed=0, drift=1.5)
