"""Green-Kubo conductivities held against currents and walks whose integral is known on paper."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.analysers.cepstral import mean_periodogram, zero_frequency
from simtools.analysers.green_kubo import GreenKuboResult, analyse_green_kubo
from simtools.analysers.onsager import analyse_onsager
from simtools.core.errors import ConfigError
from simtools.core.results import Estimate
from simtools.core.units import BOLTZMANN_J_PER_K, ELEMENTARY_CHARGE_C
from simtools.testing import correlated_species, langevin_current

INTERVAL_PS = 0.05


def run(seed=0, n=4000, modes=((1.0, 0.5, 0.0),), white=0.0):
    """Return a trajectory that carries a Langevin current, and the current's integral."""
    current, integral = langevin_current(n, seed=seed, interval_ps=INTERVAL_PS, modes=modes, white=white)
    base = correlated_species(20, 4, seed=seed)
    return replace(base, charge_current_e_A_per_ps=current, fine_interval_ps=INTERVAL_PS), integral


def test_the_langevin_current_has_the_integral_on_paper():
    for mode in ((2.0, 0.5, 0.0), (3.0, 0.4, 1.5)):
        _, integral = langevin_current(10, seed=0, interval_ps=0.001, modes=(mode,))
        variance, tau, nu = mode
        assert integral == pytest.approx(variance * tau / (1 + (2 * np.pi * nu * tau) ** 2), rel=1e-4)


def test_the_spectrum_integrates_to_the_variance():
    series = np.random.default_rng(0).normal(size=(512, 2))
    _, power = mean_periodogram(series, 0.1)
    two_sided = np.concatenate([power, power[-2:0:-1]])
    assert_allclose(two_sided.sum() / (512 * 0.1), (series**2).mean(), rtol=1e-12)


def test_a_flat_spectrum_gives_its_level_with_few_coefficients():
    series = np.random.default_rng(3).normal(size=(4096, 12))
    answer = zero_frequency(*mean_periodogram(series, 1.0), n_series=12)
    assert abs(answer.ln_value) < 3 * answer.stderr < 0.15
    assert answer.n_coefficients < 12


@pytest.mark.parametrize(
    "modes", [((1.0, 0.5, 0.0),), ((1.0, 0.5, 0.0), (30.0, 0.3, 4.0))], ids=["hops", "hops and vibrations"]
)
def test_intervals_cover_the_integral(modes):
    hits = 0
    for seed in range(30):
        trajectories = [run(10 * seed + r, modes=modes) for r in range(2)]
        result = analyse_green_kubo([item for item, _ in trajectories])
        low, high = result.ionic_conductivity_S_per_cm.ci95
        # sigma = e^2/(Å ps) integral / (V kB T), to S/cm
        unit = ELEMENTARY_CHARGE_C**2 * 1e-20 / 1e-12 / 1e-30 / (BOLTZMANN_J_PER_K * 1000) / 100
        hits += low < unit * trajectories[0][1] / 50**3 < high
    assert hits >= 25


def test_the_same_walk_gives_one_conductivity_both_ways():
    agreements = 0
    for seed in range(8):
        walks = [correlated_species(600, 16, seed=10 * seed + r, correlation=0.5) for r in range(4)]
        # the current of a Brownian walk is its step; the mean over an interval leaves the integral as it is
        walks = [
            replace(
                item,
                charge_current_e_A_per_ps=np.diff(item.positions_A, axis=0).transpose(0, 2, 1)
                @ np.repeat([1.0, -1.0], 16),
                fine_interval_ps=1.0,
            )
            for item in walks
        ]
        einstein = analyse_onsager(walks, mobile="Li", hop_length_A=1.0, host_species=(), n_resamples=20)
        result = analyse_green_kubo(walks, einstein_helfand=einstein.ionic_conductivity_S_per_cm)
        agreements += result.agrees
        assert any("fold" in note for note in result.warnings)  # a white spectrum never decays
    assert agreements >= 7


def test_the_current_of_a_charged_cell_is_seen_from_its_host():
    neutral, _ = run()
    drift = np.random.default_rng(1).normal(size=(4000, 3))
    charged = replace(
        neutral,
        formal_charges_e={"Li": 2, "Cl": -1},  # four of each: +4 e
        masses_amu=np.repeat([7.0, 35.0], 4),
        charge_current_e_A_per_ps=neutral.charge_current_e_A_per_ps + 4 * drift,
        species_momenta_amu_A_per_ps={"Cl": 4 * 35.0 * drift},
    )
    with pytest.raises(ConfigError, match="name host_species"):
        analyse_green_kubo([charged])
    with pytest.raises(ConfigError, match="no momenta of Li"):
        analyse_green_kubo([charged], host_species=("Li",))
    one, two = analyse_green_kubo([neutral]), analyse_green_kubo([charged], host_species=("Cl",))
    assert two.ionic_conductivity_S_per_cm.value == pytest.approx(one.ionic_conductivity_S_per_cm.value)


def test_a_disagreement_is_said():
    trajectory, _ = run()
    far = Estimate(value=1e3, stderr=1.0, ci95=(998.0, 1002.0), method="made up", n_eff=100.0)
    result = analyse_green_kubo([trajectory], einstein_helfand=far)
    assert result.agrees is False
    assert "disagree" in result.warnings[-1]
    assert GreenKuboResult.from_json(result.to_json()).to_json() == result.to_json()


def test_what_is_missing_is_named():
    trajectory, _ = run()
    with pytest.raises(ConfigError, match="replica 1 has no charge current"):
        analyse_green_kubo([trajectory, correlated_species(20, 4, seed=1)])
    with pytest.raises(ConfigError, match="sampled alike"):
        analyse_green_kubo([trajectory, replace(trajectory, fine_interval_ps=0.1)])
    with pytest.raises(ConfigError, match="at least 48 frequencies"):
        analyse_green_kubo([run(n=50)[0]])
    silent = replace(trajectory, charge_current_e_A_per_ps=np.zeros((400, 3)))
    with pytest.raises(ConfigError, match="constant"):
        analyse_green_kubo([silent])


def test_coarse_curves_keep_the_numbers_and_the_area():
    trajectory, _ = run(n=6000)
    result = analyse_green_kubo([trajectory])
    coarse = result.coarse(200)
    assert coarse.ionic_conductivity_S_per_cm == result.ionic_conductivity_S_per_cm
    assert len(coarse.frequencies_THz) <= 201
    assert len(coarse.lag_times_ps) <= 201
    assert coarse.frequencies_THz[0] == 0
    assert coarse.lag_times_ps[-1] == result.lag_times_ps[-1]
    # every frequency is in one bin: a bin's mean times its width adds up to the whole
    edges = np.searchsorted(result.frequencies_THz, coarse.frequencies_THz)
    assert (np.diff(edges) >= 1).all()
    first = coarse.frequencies_THz < result.frequencies_THz[10]
    assert_allclose(coarse.spectrum_S_per_cm[first], result.spectrum_S_per_cm[: first.sum()])
    assert_allclose(coarse.coarse(10_000).spectrum_S_per_cm, coarse.spectrum_S_per_cm)
