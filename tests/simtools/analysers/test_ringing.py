from dataclasses import replace

import numpy as np
import pytest

from simtools.analysers.transport import analyse_transport
from simtools.testing import lattice_walkers


def ringing(rng, n_frames, *, period, lifetime, amplitude_A):
    """Return a damped oscillation kept alive by noise, shape (n_frames, 3)."""
    turn = np.exp(2j * np.pi / period - 1 / lifetime)
    kicks = rng.standard_normal((n_frames, 3, 2)) @ np.array([1, 1j])
    swing = np.empty((n_frames, 3), dtype=complex)
    swing[0] = kicks[0] / np.sqrt(1 - abs(turn) ** 2)
    for t in range(1, n_frames):
        swing[t] = turn * swing[t - 1] + kicks[t]
    return amplitude_A * np.sqrt(1 - abs(turn) ** 2) * swing.real


@pytest.mark.parametrize("period", [4.0, 7.3])
def test_a_sublattice_that_rings_as_a_whole_does_not_bend_the_charge_diffusivity(period):
    """As in Li3OCl, whose summed displacement rings for a picosecond."""
    rng = np.random.default_rng(5)
    pulls, ratios = [], []
    for seed in range(10):
        replicas = []
        for number in range(2):
            walk = lattice_walkers(1000, 30, seed=100 * seed + number, temperature_K=1000)
            swing = ringing(rng, 1000, period=period, lifetime=15.0, amplitude_A=0.3)
            mobile = (walk.species == "Li")[:, None]
            replicas.append(replace(walk, positions_A=walk.positions_A + swing[:, None] * mobile))
        result = analyse_transport(replicas, species="Li", hop_length_A=1.0)
        estimate = result.charge_diffusivity_cm2_per_s
        truth = 0.2 / 6 * 1e-4
        pulls.append(np.log(estimate.value / truth) / (estimate.stderr / estimate.value))
        ratios.append(estimate.value / truth)
    assert 0.8 < np.mean(ratios) < 1.25, ratios
    assert np.sqrt(np.mean(np.square(pulls))) < 1.8, pulls
