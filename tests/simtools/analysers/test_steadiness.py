"""Runs that change their pace and replicas of several paces are told from steady ones."""

import numpy as np
import pytest

from simtools.analysers.steadiness import compare_halves, replicas_apart
from simtools.analysers.transport import analyse_transport
from simtools.md.trajectory import Trajectory


def walk(pace_t, *, seed, n_ions=32):
    """Return hops of 2 Å at 0.025 per frame times `pace_t`, with vibrations."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.025 * np.asarray(pace_t)[:, None] * np.ones(n_ions))
    axes = rng.multinomial(counts, np.full(6, 1 / 6))
    moved = 2.0 * np.cumsum(axes[..., ::2] - axes[..., 1::2], axis=0)
    return Trajectory(
        positions_A=moved + 20 * rng.random((1, n_ions, 3)) + 0.1 * rng.normal(size=moved.shape),
        species=np.full(n_ions, "Li"),
        cells_A=20 * np.eye(3),
        frame_interval_ps=0.5,
        temperature_K=800,
        formal_charges_e={"Li": 1},
    )


def notes(pace_rt, seed):
    replicas = [walk(pace_t, seed=100 * seed + r) for r, pace_t in enumerate(pace_rt)]
    return " ".join(analyse_transport(replicas, species="Li", hop_length_A=2.0).warnings)


def test_steady_runs_raise_no_alarm():
    for seed in range(15):
        told = notes(np.ones((4, 300)), seed)
        assert "another pace" not in told
        assert "replicas differ" not in told


@pytest.mark.parametrize(
    "pace_t",
    [np.repeat([1.8, 0.2], 150), np.repeat([0.2, 1.8], 150), np.linspace(0.1, 1.9, 300)],
    ids=["slows down", "speeds up", "ramp"],
)
def test_runs_that_change_their_pace_are_named(pace_t):
    assert all("another pace" in notes([pace_t] * 4, seed) for seed in range(5))


def test_replicas_of_different_pace_are_named():
    assert all("replicas differ" in notes(np.outer([0.4, 1.0, 2.2], np.ones(300)), seed) for seed in range(5))


def test_chances_of_steady_noise_are_those_of_noise():
    rng = np.random.default_rng(0)
    options = {"weights_r": np.full(4, 0.25), "correlation": 1.0}
    halves, apart = [], []
    for _ in range(400):
        influence_rb = 1 + 0.3 * rng.normal(size=(4, 25))
        influence_rb = (influence_rb[:, 1:] + influence_rb[:, :-1]) / 2
        halves.append(compare_halves(influence_rb, **options).p_value)
        apart.append(replicas_apart(influence_rb, **options))
    for chances in (halves, apart):
        assert np.mean(np.array(chances) < 0.05) < 0.09
        assert 0.3 < np.median(chances) < 0.8


def test_too_few_blocks_and_a_single_replica_are_no_test():
    assert compare_halves(np.ones((2, 3)), weights_r=np.full(2, 0.5), correlation=1.0) is None
    assert np.isnan(replicas_apart(np.ones((1, 24)), weights_r=np.ones(1), correlation=1.0))
