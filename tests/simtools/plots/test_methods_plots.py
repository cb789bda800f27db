"""Figures that set methods and temperatures side by side show the numbers they were given."""

import numpy as np
import pytest

from simtools import plots
from simtools.analysers.method_agreement import compare_methods
from simtools.analysers.transport import analyse_transport
from simtools.core.results import Estimate
from simtools.testing import lattice_walkers


def estimate(value):
    return Estimate(value=value, stderr=0.1 * value, ci95=(0.8 * value, 1.2 * value), method="", n_eff=9.0)


@pytest.fixture(scope="module")
def comparison():
    runs = [lattice_walkers(400, 16, seed=seed, temperature_K=700) for seed in (1, 2, 3)]
    return compare_methods(runs, analyse_transport(runs, species="Li", hop_length_A=1.0))


def test_methods_stand_below_each_other_with_the_reported_one_on_top(comparison):
    quantity = "tracer_diffusivity_cm2_per_s"
    ax = plots.plot_methods(comparison, quantity)
    rows = comparison.of(quantity)
    assert [item.get_text() for item in ax.get_yticklabels()] == list(rows)
    power = np.floor(np.log10(max(item.value for item in rows.values())))
    drawn = [container.lines[0].get_xdata()[0] for container in ax.containers]
    np.testing.assert_allclose(drawn, [item.value / 10**power for item in rows.values()])
    assert f"10^{{{int(power)}}}" in ax.get_xlabel()
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_limits_are_arrows_and_values_have_bars():
    series = {
        "Li": [(700.0, estimate(0.01)), (800.0, estimate(0.02))],
        "O": [(700.0, Estimate.limit(1e-4, method=""))],
    }
    ax = plots.plot_against_temperature(
        series, ylabel="y", log=True, band=("null", [700, 800], [0.005, 0.01], [0.02, 0.03])
    )
    (bars,) = ax.containers
    np.testing.assert_allclose(bars.lines[0].get_ydata(orig=False), [0.01, 0.02])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[0] == "Li"
    assert set(labels) == {"Li", "O (95 % upper limit)", "null"}
    arrow = next(line for line in ax.lines if line.get_label().startswith("O"))
    assert arrow.get_ydata().tolist() == [1e-4]
