"""Figures of structure, jumps and densities show the numbers of their results."""

import numpy as np
import pytest

from simtools import plots
from simtools.analysers.concerted import concerted_jumps
from simtools.analysers.density import free_energy_map, ion_density
from simtools.analysers.jump_rates import jump_rates
from simtools.analysers.jumps import find_jumps
from simtools.analysers.rdf import radial_distribution
from simtools.analysers.van_hove import distinct_van_hove, non_gaussian_parameter, self_van_hove
from simtools.testing import vacancy_walk


@pytest.fixture(scope="module")
def walk():
    return vacancy_walk(
        800,
        seed=3,
        n_vacancies=4,
        rattle_A=0.15,
        hop_rate_per_ps=0.2,
        frame_interval_ps=0.1,
        temperature_K=900,
    )


@pytest.fixture(scope="module")
def jumps(walk):
    return find_jumps(walk, species="Li")


def test_structure(walk):
    g = radial_distribution(walk, centre="Li", neighbour="Li", every=40)
    ax = plots.plot_radial_distribution(g)
    assert np.array_equal(ax.lines[0].get_ydata(), g.g)
    assert np.array_equal(ax.figure.axes[1].lines[0].get_ydata(), g.coordination)
    assert len(plots.plot_radial_distribution([g, g]).figure.axes) == 1
    moved = self_van_hove(walk, species="Li", lag_times_ps=[1.0, 20.0])
    assert len(plots.plot_self_van_hove(moved).lines) == 2
    others = distinct_van_hove(walk, centre="Li", neighbour="Li", lag_times_ps=[0.0, 20.0])
    assert np.array_equal(plots.plot_distinct_van_hove(others).lines[1].get_ydata(), others.ratio[1])
    alpha = non_gaussian_parameter(walk, species="Li")
    ax = plots.plot_non_gaussian_parameter([alpha], labels=["900 K"])
    assert np.array_equal(ax.lines[0].get_ydata(), alpha.alpha_2)
    ax.figure.canvas.draw()


def test_jumps(jumps):
    rates = jump_rates(jumps)
    ax = plots.plot_stays(rates)
    assert np.array_equal(ax.lines[0].get_ydata(), rates.stay_survival)
    ax = plots.plot_jump_lengths(rates)
    assert ax.containers[0].lines[0].get_ydata()[0] == pytest.approx(rates.rate_per_ion.value)
    concerted = concerted_jumps(jumps, n_repeats=10)
    ax = plots.plot_strings(concerted)
    assert ax.lines[-1].get_ydata()[0] == concerted.counts[0]
    ax.figure.canvas.draw()
    ax = plots.plot_lead_and_lag(concerted)
    assert [bar.get_height() for bar in ax.patches] == concerted.delay_counts.tolist()


@pytest.mark.parametrize("fraction", [None, 0.25])
def test_free_energy(walk, fraction):
    density = ion_density(walk, species="Li", spacing_A=0.4, repeats=(4, 4, 4))
    free_energy = free_energy_map(density)
    ax = plots.plot_free_energy(density, free_energy, fraction=fraction, axis=2)
    drawn = ax.collections[0].get_array()
    expected = free_energy.min(axis=2) if fraction is None else free_energy[:, :, int(0.25 * 10)]
    assert drawn.count() == np.isfinite(expected).sum()
    assert np.allclose(drawn.compressed(), expected[np.isfinite(expected)])
    assert ax.get_ylabel() == "along b (Å)"
    ax.figure.canvas.draw()
