"""Coverage of 95 % intervals of collective transport over 150 repeats with known truth."""

from dataclasses import replace

import numpy as np
import pytest

from simtools.analysers.cepstral import mean_periodogram, zero_frequency
from simtools.analysers.onsager import analyse_onsager
from simtools.analysers.tracer_tensor import analyse_tracer_tensor
from simtools.analysers.velocity_correlation import analyse_vibrations
from simtools.core.units import conductivity_S_per_cm
from simtools.testing import correlated_species, harmonic_ions, langevin_current

pytestmark = pytest.mark.physics

REPEATS = 150
FEWEST = 0.90  # of 150 intervals that cover with 95 %, fewer than 135 do so once in 200 trials
D_CL, D_LI, PAIRS = 0.008, 0.02, 16


@pytest.mark.parametrize("n_replicas", [1, 2, 4, 16])
@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.5])
def test_onsager_intervals(n_replicas, correlation):
    cross = correlation * np.sqrt(D_CL * D_LI)
    sigma = D_CL + D_LI - 2 * cross
    unit = PAIRS * conductivity_S_per_cm(
        1e-4, number_density_per_A3=1 / 50**3, charge_e=1, temperature_K=1000
    )
    covered, values, widths = np.zeros(5), [], []
    for seed in range(REPEATS):
        replicas = [
            correlated_species(300, PAIRS, seed=1000 * seed + r, correlation=correlation)
            for r in range(n_replicas)
        ]
        result = analyse_onsager(
            replicas, mobile="Li", hop_length_A=1.0, host_species=(), n_resamples=10, seed=seed
        )
        estimate, share = result.ionic_conductivity_S_per_cm, result.transport_numbers["Li"]
        off = abs(result.coefficients_A2_per_ps[0, 1] - PAIRS * cross)
        tensor = analyse_tracer_tensor(replicas, species="Li", hop_length_A=1.0, host_species=())
        ratio = result.haven_ratio
        axis = tensor.components_cm2_per_s["zz"]
        covered += [
            estimate.ci95[0] < sigma * unit < estimate.ci95[1],
            share.ci95[0] < (D_LI - cross) / sigma < share.ci95[1],
            off < 2 * result.stderr_A2_per_ps[0, 1],
            axis.ci95[0] < D_LI * 1e-4 < axis.ci95[1],
            ratio.ci95[0] < (D_LI + D_CL) / sigma < ratio.ci95[1],
        ]
        values.append(np.log(estimate.value))
        widths.append(estimate.stderr / estimate.value)
    print(
        f"R={n_replicas} rho={correlation}: {covered / REPEATS}, width {np.mean(widths) / np.std(values):.2f}"
    )
    assert (covered >= FEWEST * REPEATS).all(), covered / REPEATS
    assert np.mean(widths) / np.std(values) < 1.5


CURRENTS = {
    "hops": {"modes": ((1.0, 0.5, 0.0),), "interval_ps": 0.05},
    "hops and vibrations": {"modes": ((1.0, 0.5, 0.0), (30.0, 0.3, 4.0)), "interval_ps": 0.02},
    "white": {"modes": (), "white": 1.0, "interval_ps": 0.02},
}


@pytest.mark.parametrize("n_replicas", [1, 4, 8])
@pytest.mark.parametrize("name", CURRENTS)
def test_green_kubo_intervals(name, n_replicas):
    options = CURRENTS[name]
    deviations, errors = np.empty(REPEATS), np.empty(REPEATS)
    for seed in range(REPEATS):
        current, integral = langevin_current(4000, seed=seed, n_components=3 * n_replicas, **options)
        spectrum = mean_periodogram(current, options["interval_ps"])
        answer = zero_frequency(*spectrum, n_series=3 * n_replicas)
        deviations[seed], errors[seed] = answer.ln_value - np.log(2 * integral), answer.stderr
    covered = np.mean(np.abs(deviations) < 1.96 * errors)
    print(f"{name} R={n_replicas}: {covered:.3f}, width {errors.mean() / deviations.std():.2f}")
    assert covered >= 0.87  # bands and cut-offs are chosen from the data; see docs/theory.md
    assert abs(deviations.mean()) < errors.mean()


@pytest.mark.parametrize("stored", [True, False])
def test_attempt_frequency_intervals(stored):
    nu = np.linspace(0, 50, 200_001)[1:]
    w = 2 * np.pi * nu
    density = sum(w**2 / ((w**2 - (2 * np.pi * f) ** 2) ** 2 + (4.0 * w) ** 2) for f in (3.0, 5.0, 8.0))
    truth, covered = (density @ nu) / density.sum(), 0
    for seed in range(REPEATS):
        item = harmonic_ions(2000, 8, seed=seed, friction_per_ps=4.0)
        item = item if stored else replace(item, velocities_A_per_ps=None)
        low, high = analyse_vibrations([item], species="Li").attempt_frequency_THz.ci95
        covered += low < truth < high
    print(f"velocities stored {stored}: {covered / REPEATS:.3f}")
    assert covered >= FEWEST * REPEATS
