"""Ratios of D from whole trajectories: planted walkers, the analysis of runs, the scatter of replicas."""

import numpy as np
import pytest

from simtools.analysers.replica_ratios import diffusivity_ratio, mean_diffusivity
from simtools.analysers.transport import analyse_transport
from simtools.testing.walkers import lattice_walkers

N_REPEATS = 120


def measured(seed, rate, *, n_replicas, scatter, group_size):
    """Return mean D* of replicas of walkers whose rates scatter from replica to replica."""
    rng = np.random.default_rng([seed, 7])
    factors = np.exp(scatter * rng.standard_normal(n_replicas) - scatter**2 / 2)
    walks = [
        lattice_walkers(
            300,
            24,
            seed=10 * seed + i,
            hops_per_frame=rate * factors[i],
            rattle_A=0.1,
            temperature_K=500.0,
            group_size=group_size,
        )
        for i in range(n_replicas)
    ]
    return mean_diffusivity(analyse_transport(walks, species="Li", hop_length_A=1.0, temperature_K=500.0))


@pytest.mark.physics
@pytest.mark.parametrize(("n_replicas", "scatter", "group_size"), [(4, 0.0, 1), (4, 0.3, 1), (3, 0.0, 4)])
def test_ratios_of_planted_walkers_have_the_errors_that_are_told(n_replicas, scatter, group_size):
    kind = {"n_replicas": n_replicas, "scatter": scatter, "group_size": group_size}
    ratios = [
        diffusivity_ratio(measured(2 * k, 0.1, **kind), measured(2 * k + 1, 0.2, **kind))
        for k in range(N_REPEATS)
    ]
    logs = np.log([item.value for item in ratios])
    told = np.sqrt(np.mean([(item.stderr / item.value) ** 2 for item in ratios]))
    assert np.mean(logs) == pytest.approx(np.log(0.5), abs=4 * logs.std() / np.sqrt(N_REPEATS))
    assert told / logs.std() == pytest.approx(1.0, abs=0.25)
    assert 0.88 < np.mean([item.ci95[0] <= 0.5 <= item.ci95[1] for item in ratios])
