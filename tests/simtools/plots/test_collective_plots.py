"""Figures of collective transport show the numbers of their results."""

from dataclasses import replace

import numpy as np
import pytest

from simtools import plots
from simtools.analysers.green_kubo import analyse_green_kubo
from simtools.analysers.onsager import analyse_onsager
from simtools.analysers.temperature_laws import compare_temperature_laws
from simtools.analysers.velocity_correlation import analyse_vibrations
from simtools.testing import correlated_species, harmonic_ions, langevin_current


def test_the_matrix_shows_coefficients_and_correlations():
    result = analyse_onsager(
        [correlated_species(200, 8, seed=1, correlation=0.5)],
        mobile="Li",
        hop_length_A=1.0,
        host_species=(),
        n_resamples=20,
    )
    ax = plots.plot_onsager_matrix(result)
    shown = [item.get_text() for item in ax.texts]
    assert shown[0] == f"{result.coefficients_A2_per_ps[0, 0]:.3g}"
    assert shown[1] == f"{result.correlation_coefficients()[0, 1]:+.2f}".replace("-", "−")
    assert [item.get_text() for item in ax.get_xticklabels()] == ["Cl (−1)", "Li (+1)"]


def test_a_host_at_rest_has_no_correlation():
    items = [correlated_species(200, 8, seed=1)]
    r_tnc = items[0].positions_A.copy()
    r_tnc[:, 8:] = r_tnc[:1, 8:]
    result = analyse_onsager(
        [replace(items[0], positions_A=r_tnc)], mobile="Li", hop_length_A=1.0, n_resamples=20
    )
    assert np.isnan(result.correlation_coefficients()[0]).all()
    assert [item.get_text() for item in plots.plot_onsager_matrix(result).texts][1] == "–"


def test_green_kubo_stands_beside_einstein_helfand():
    current, _ = langevin_current(2000, seed=1, interval_ps=0.05)
    base = correlated_species(20, 4, seed=1)
    base = replace(base, charge_current_e_A_per_ps=current, fine_interval_ps=0.05)
    alone = analyse_green_kubo([base])
    both = analyse_green_kubo([base], einstein_helfand=alone.ionic_conductivity_S_per_cm)
    for result, names in ((alone, {"Green-Kubo"}), (both, {"Green-Kubo", "Einstein-Helfand"})):
        ax = plots.plot_green_kubo(result)
        bars = {item.get_label(): item for item in ax.containers}
        assert set(bars) == names
        (value,) = bars["Green-Kubo"].lines[0].get_ydata()
        assert value == result.ionic_conductivity_S_per_cm.value


def test_vibrations_mark_the_attempt_frequency():
    result = analyse_vibrations(
        [harmonic_ions(600, 8, seed=1, friction_per_ps=2.0)], species="Li", resolution_THz=0.5
    )
    ax = plots.plot_vibrations(result)
    assert ax.lines[1].get_xdata()[0] == result.attempt_frequency_THz.value
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), result.density_of_states_per_THz)
    assert ax.get_xlim()[1] < 50


@pytest.mark.parametrize("known", [(), (311.0,)])
def test_breaks_are_drawn(known):
    t = np.array([500.0, 600, 700, 800, 1000, 1200])
    y = 5 - 3500 / t - 2 * (t < 750)
    result = compare_temperature_laws(t, y, np.full(6, 0.05), known_transitions_K=known)
    ax = plots.plot_temperature_laws(result)
    labels = ax.get_legend_handles_labels()[1]
    assert labels[0].startswith("transition")
    assert len(labels) == 2 + len(known)
