"""What is on the axes is what is in the results, and matplotlib is left as it was found."""

import dataclasses
import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from simtools import plots
from simtools.core.results import Estimate
from simtools.plots.haven import LONE_VACANCY_HAVEN_RATIO
from simtools.reference import literature_points
from tests.synthetic_results import (
    association_result,
    synthetic_run,
    thermo_table,
    transport_result,
)

TEMPERATURES = (700, 900, 1150)


def labels_of(ax):
    return ax.get_legend_handles_labels()[1]


def container(ax, label):
    """The errorbar drawn under `label`."""
    return next(item for item in ax.containers if item.get_label() == label)


def points_of(ax, label):
    """x and y of the markers under `label`."""
    return np.array(container(ax, label).lines[0].get_data(), dtype=float)


def ends_of(bars):
    """Lower and upper ends of an errorbar's vertical lines, shape (2, n)."""
    segments = np.array(bars.lines[2][0].get_segments())
    return segments[:, :, 1].T


def test_importing_the_plots_does_not_import_matplotlib():
    code = "import sys, simtools.plots; raise SystemExit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_plot_touches_pyplot_or_rcparams():
    before = dict(matplotlib.rcParams)
    results = [transport_result(t) for t in TEMPERATURES]
    for plot in (plots.plot_msd, plots.plot_charge_msd, plots.plot_local_exponent, plots.plot_haven_ratio):
        plot(results).figure.canvas.draw()
    plots.plot_arrhenius(results).figure.canvas.draw()
    assert dict(matplotlib.rcParams) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_arrhenius_points_and_bars_are_sigma_times_temperature():
    results = [transport_result(t) for t in TEMPERATURES]
    bars = container(plots.plot_arrhenius(results), "this work, ionic (from D_σ)")
    x, y = np.array(bars.lines[0].get_data(), dtype=float)
    np.testing.assert_allclose(x, [1000 / t for t in TEMPERATURES])
    estimates = [result.ionic_conductivity_S_per_cm for result in results]
    np.testing.assert_allclose(y, [e.value * t for e, t in zip(estimates, TEMPERATURES, strict=True)])
    expected = np.array([e.ci95 for e in estimates]).T * TEMPERATURES
    np.testing.assert_allclose(ends_of(bars), expected)


def test_arrhenius_line_is_dashed_where_it_is_extrapolated_and_300_K_is_marked(tmp_path):
    run = synthetic_run(tmp_path, temperatures_K=TEMPERATURES)
    ax = plots.plot_arrhenius(run.transport, run.arrhenius)
    solid = next(line for line in ax.lines if str(line.get_label()).startswith("fit, Eₐ"))
    assert solid.get_xdata().min() == pytest.approx(1000 / 1150)
    assert solid.get_xdata().max() <= 1000 / 700
    room = points_of(ax, "300 K, extrapolated")
    np.testing.assert_allclose(room[0], [1000 / 300])
    np.testing.assert_allclose(room[1], [300 * run.arrhenius.conductivity_300K_S_per_cm.value])


def test_an_upper_limit_is_an_arrow_that_points_down_and_never_a_point():
    results = [transport_result(700, moved=False), transport_result(900)]
    ax = plots.plot_arrhenius(results)
    ax.figure.canvas.draw()
    assert points_of(ax, "this work, ionic (from D_σ)").shape == (2, 1)
    limit = results[0].ionic_conductivity_S_per_cm.upper_limit * 700
    arrow = next(text for text in ax.texts if text.arrow_patch is not None)
    assert arrow.xy == pytest.approx((1000 / 700, limit))
    assert type(arrow.arrow_patch.get_arrowstyle()).__name__ == "CurveFilledA"  # head at the text's end
    assert arrow.get_position()[1] < 0


def test_literature_shows_every_conductivity_once_in_the_legend():
    points = literature_points("Li3OCl")
    ax = plots.plot_arrhenius([transport_result(900)], literature=points)
    shown = {label for label in labels_of(ax) if "this work" not in label}
    wanted = {f"{p.short}, {p.method}" for p in points if p.quantity == "ionic_conductivity"}
    assert shown == wanted


def test_without_formal_charge_the_diffusivity_is_drawn():
    results = [transport_result(t, charge_e=0) for t in TEMPERATURES]
    ax = plots.plot_arrhenius(results)
    np.testing.assert_allclose(
        points_of(ax, "this work, D*")[1],
        [result.tracer_diffusivity_cm2_per_s.value for result in results],
    )
    assert "cm² s⁻¹" in ax.get_ylabel()


def test_a_single_result_needs_no_list_and_shades_its_window():
    result = transport_result(900)
    ax = plots.plot_msd(result)
    shaded = next(patch for patch in ax.patches if patch.get_label() == "fit window")
    assert (shaded.get_x(), shaded.get_x() + shaded.get_width()) == pytest.approx(tuple(result.window_ps))


def test_msd_draws_the_mean_every_replica_and_the_window():
    result = transport_result(900, n_replicas=3)
    ax = plots.plot_msd([result, transport_result(1150)])
    drawn = [line.get_ydata() for line in ax.lines]
    for curve in (result.msd_A2, *result.msd_per_replica_A2):
        assert any(len(y) == len(curve) and np.allclose(y, curve) for y in drawn)
    broad = [line for line in ax.lines if line.get_linewidth() == 8]
    assert len(broad) == 2
    x = broad[0].get_xdata()
    assert result.window_ps[0] <= x.min() < x.max() <= result.window_ps[1]


def test_no_window_is_marked_where_nothing_diffused():
    ax = plots.plot_msd(transport_result(700, moved=False))
    assert not ax.patches
    assert all(line.get_linewidth() != 8 for line in ax.lines)


def test_haven_ratio_stands_beside_the_lone_vacancy_and_counts_what_is_missing():
    results = [transport_result(700, moved=False), transport_result(900)]
    ax = plots.plot_haven_ratio(results)
    assert f"lone vacancy, {LONE_VACANCY_HAVEN_RATIO:g}" in labels_of(ax)
    assert [text.get_text() for text in ax.texts] == ["1 temperature without a value"]
    np.testing.assert_allclose(points_of(ax, "this work")[1], [results[1].haven_ratio.value])


def test_association_is_drawn_beside_the_random_arrangement():
    ax = plots.plot_association([association_result(t) for t in TEMPERATURES])
    assert set(labels_of(ax)) == {"this work", "random arrangement"}
    np.testing.assert_allclose(points_of(ax, "this work")[0], TEMPERATURES)


def test_each_kind_of_partner_and_each_label_is_a_series():
    chloride = [association_result(t) for t in TEMPERATURES]
    magnesium = [dataclasses.replace(item, partner="Mg") for item in chloride]
    ax = plots.plot_association([*chloride, *magnesium])
    assert {"beside Cl", "beside Mg"} <= set(labels_of(ax))
    ax = plots.plot_binding({"Mg": magnesium, "$F": chloride}, static_eV={"Mg": -0.57})
    assert {"Mg", r"\$F", "Mg: relaxed pair, 0 K", "no binding"} <= set(labels_of(ax))
    values = [item.binding_free_energy_eV.value for item in magnesium]
    np.testing.assert_allclose(points_of(ax, "Mg")[1], values)


def test_a_vacancy_always_bound_is_an_arrow_below_its_limit():
    always = Estimate(value=1.0, stderr=0.01, ci95=(0.97, 1.0), method="constant", n_eff=40)
    result = dataclasses.replace(association_result(900), bound_fraction=always)
    ax = plots.plot_binding([result])
    assert "this work: upper limit" in labels_of(ax)
    assert points_of(ax, "this work: upper limit")[1] == [result.binding_free_energy_eV.upper_limit]


def test_overlay_draws_each_line_from_its_first_to_its_last_temperature(tmp_path):
    run = synthetic_run(tmp_path, temperatures_K=TEMPERATURES)
    ax = plots.plot_arrhenius_overlay({"one": run.transport}, fits={"one": run.arrhenius})
    (line,) = (item for item in ax.lines if len(item.get_xdata()) == 2)
    np.testing.assert_allclose(line.get_xdata(), [1000 / 1150, 1000 / 700])
    fit, kT = run.arrhenius, 8.617333262e-5 * np.array([1150, 700])
    expected = np.exp(fit.ln_prefactor.value - fit.activation_energy_eV.value / kT)
    np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-6)


def test_traces_are_thinned_but_keep_their_range_of_time():
    thermo = thermo_table(900)
    ax = plots.plot_temperature_trace(thermo, target_K=900)
    assert ax.lines[0].get_xdata()[0] == thermo["time_ps"].iloc[0]
    assert len(ax.lines[0].get_xdata()) <= 600
    ax = plots.plot_energy_trace(thermo, n_atoms=312)
    assert "meV/ion" in ax.get_ylabel()
    assert ax.lines[0].get_ydata()[-1] == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("value", "ci95", "shown"),
    [
        (0.3012, (0.2754, 0.3269), "0.301 (0.275 to 0.327) eV"),
        (0.69, (0.57, 0.81), "0.69 (0.57 to 0.81) eV"),
        (3.284e-7, (3.01e-7, 3.55e-7), "3.28 (3.01 to 3.55) × 10⁻⁷ eV"),
        (1.9e-3, (1.4e-5, 0.27), "1.9 × 10⁻³ (1.4 × 10⁻⁵ to 0.27) eV"),
        (-0.5, (-0.9, -0.1), "−0.50 (−0.90 to −0.10) eV"),
        (12.0, (float("nan"), float("nan")), "12 eV (interval unknown)"),
    ],
)
def test_estimates_are_rounded_to_what_their_interval_carries(value, ci95, shown):
    estimate = Estimate(value=value, stderr=1.0, ci95=ci95, method="", n_eff=1.0)
    assert plots.format_estimate(estimate, "eV") == shown


def test_limits_are_written_as_limits():
    assert plots.format_estimate(Estimate.limit(2.1e-9, method=""), "S") == "< 2.1 × 10⁻⁹ S"
    assert plots.format_estimate(Estimate.limit(float("inf"), method="")) == "not determined"
