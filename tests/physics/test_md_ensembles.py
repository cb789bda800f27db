"""Whether the dynamics samples the ensemble that it names."""

import numpy as np
import pytest
from ase.build import bulk
from scipy.optimize import brentq
from scipy.stats import chi2, kstest

from potentials.calculator import IonicCalculator
from simtools.core.units import BOLTZMANN_EV_PER_K, EV_PER_A3_TO_GPA
from simtools.md.averages import block_average
from simtools.md.dynamics import (
    BussiDynamics,
    IsotropicNPT,
    LangevinDynamics,
    NoseHooverDynamics,
    draw_momenta,
)
from simtools.md.forces import ForceEvaluator

pytestmark = pytest.mark.physics

TIMESTEP_FS = 5.0
EVERY = 60
N_SAMPLES = 1500
KINDS = {"bussi": BussiDynamics, "langevin": LangevinDynamics, "nose-hoover": NoseHooverDynamics}


def sample(kind, temperature_K, *, seed, n_samples=N_SAMPLES, repeats=2, **options):
    """Return kinetic energies, potential energies, volumes and pressures every 0.3 ps of solid argon."""
    atoms = bulk("Ar", "fcc", a=5.35, cubic=True) * (repeats, repeats, repeats)
    rng = np.random.default_rng(seed)
    atoms.set_momenta(draw_momenta(atoms.get_masses(), 2 * temperature_K, rng))
    evaluator = ForceEvaluator(atoms, IonicCalculator("lennard_jones"))
    if kind in {BussiDynamics, LangevinDynamics}:
        options["rng"] = rng
    dynamics = kind(evaluator, TIMESTEP_FS, temperature_K=temperature_K, tau_ps=0.1, **options)
    dynamics.start()
    rows = np.empty((n_samples, 4))
    for k in range(-n_samples // 10, n_samples):
        for step in range(EVERY):
            dynamics.step(step == EVERY - 1)
        row = dynamics.kinetic_energy_eV(), evaluator.energy_eV, dynamics.volume_A3(), dynamics.pressure_GPa()
        if k >= 0:
            rows[k] = row
    return rows.T


def decorrelated(series):
    """Return every m-th sample, m the integrated correlation time."""
    x = series - series.mean()
    correlation = np.correlate(x, x, "full")[len(x) - 1 :] / (x @ x)
    first_negative = int(np.argmax(correlation < 0.05))
    return series[:: max(1, round(1 + 2 * correlation[1:first_negative].sum()))]


def log_ratio_slope(first, second):
    """Return the slope b of ln p2(x)/p1(x) = a + b x by maximum likelihood, and its standard error."""
    x = np.r_[first, second]
    centre, scale = x.mean(), x.std()
    z, label = (x - centre) / scale, np.r_[np.zeros(len(first)), np.ones(len(second))]
    a = b = 0.0
    for _ in range(50):
        p = 1 / (1 + np.exp(-(a + b * z)))
        w = p * (1 - p)
        hessian = np.array([[w.sum(), (w * z).sum()], [(w * z).sum(), (w * z * z).sum()]])
        a, b = np.array([a, b]) + np.linalg.solve(hessian, [(label - p).sum(), ((label - p) * z).sum()])
    return b / scale, np.sqrt(np.linalg.inv(hessian)[1, 1]) / scale


@pytest.mark.parametrize("name", list(KINDS))
def test_the_kinetic_energy_is_canonical_with_3n_minus_3_degrees_of_freedom(name):
    temperature_K, n_dof = 60.0, 3 * 32 - 3
    kinetic, *_ = sample(KINDS[name], temperature_K, seed=1)
    reduced = decorrelated(2 * kinetic / (BOLTZMANN_EV_PER_K * temperature_K))
    assert len(reduced) > 200
    assert kstest(reduced, chi2(n_dof).cdf).pvalue > 1e-3
    assert abs(reduced.mean() - n_dof) < 4 * np.sqrt(2 * n_dof / len(reduced))


@pytest.mark.parametrize("name", list(KINDS))
def test_the_potential_energy_is_canonical(name):
    cold, warm = 55.0, 60.0
    first = decorrelated(sample(KINDS[name], cold, seed=2)[1])
    second = decorrelated(sample(KINDS[name], warm, seed=3)[1])
    slope, error = log_ratio_slope(first, second)
    expected = (1 / cold - 1 / warm) / BOLTZMANN_EV_PER_K
    assert abs(slope - expected) < 4 * error
    assert error < 0.2 * expected


def test_constant_pressure_holds_the_pressure_and_samples_the_volume():
    temperature_K, pressures = 60.0, (0.0, 0.03)
    volumes = []
    for seed, pressure_GPa in enumerate(pressures):
        kinetic, _, volume, pressure = sample(
            IsotropicNPT, temperature_K, seed=seed, pressure_GPa=pressure_GPa, barostat_tau_ps=0.5
        )
        mean = block_average(pressure)
        assert abs(mean.value - pressure_GPa) < 4 * mean.stderr
        reduced = decorrelated(2 * kinetic / (BOLTZMANN_EV_PER_K * temperature_K))
        assert kstest(reduced, chi2(3 * 32 - 3).cdf).pvalue > 1e-3
        volumes.append(decorrelated(volume))
    slope, error = log_ratio_slope(*volumes)
    expected = -(pressures[1] - pressures[0]) / EV_PER_A3_TO_GPA / (BOLTZMANN_EV_PER_K * temperature_K)
    assert abs(slope - expected) < 4 * error
    assert error < 0.2 * abs(expected)


def test_the_mean_volume_is_where_the_pressure_of_constant_volume_vanishes():
    temperature_K = 40.0
    _, _, volume, _ = sample(
        IsotropicNPT, temperature_K, seed=7, n_samples=800, pressure_GPa=0.0, barostat_tau_ps=0.5
    )
    mean = block_average(volume, discard_fraction=0.1)

    def pressure_at(volume_A3):
        atoms = bulk("Ar", "fcc", a=(volume_A3 / 8) ** (1 / 3), cubic=True) * (2, 2, 2)
        rng = np.random.default_rng(8)
        atoms.set_momenta(draw_momenta(atoms.get_masses(), 2 * temperature_K, rng))
        evaluator = ForceEvaluator(atoms, IonicCalculator("lennard_jones"))
        dynamics = BussiDynamics(evaluator, TIMESTEP_FS, temperature_K=temperature_K, tau_ps=0.1, rng=rng)
        dynamics.start()
        seen = []
        for step in range(24000):
            due = step % 60 == 59
            dynamics.step(due)
            if due and step > 4000:
                seen.append(dynamics.pressure_GPa())
        return float(np.mean(seen))

    found = brentq(pressure_at, 0.98 * mean.value, 1.02 * mean.value, xtol=1e-3 * mean.value)
    assert found == pytest.approx(mean.value, rel=3e-3)
