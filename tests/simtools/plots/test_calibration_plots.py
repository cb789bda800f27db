"""Figures of the calibration show its numbers."""

import numpy as np

from simtools import plots

RECORDS = [
    {
        "case": "walkers",
        "scores": {
            name: {"coverage": 0.95, "width_ratio": 1.1} for name in ("D*", "D_sigma", "sigma", "H_R")
        },
    },
    {"case": "costs $5", "scores": {"E_a(D*)": {"coverage": 0.4, "width_ratio": 7.25}}},
]


def points(ax):
    return np.array([item.lines[0].get_xydata()[0] for item in ax.containers])


def test_coverage_shows_every_quantity_once_with_its_binomial_error():
    ax = plots.plot_coverage(RECORDS, repeats=1000)
    assert points(ax)[:, 0].tolist() == [95.0, 95.0, 95.0, 88.0]
    assert len(set(points(ax)[:3, 1])) == 3
    ((low, _), (high, _)) = ax.containers[0].lines[2][0].get_segments()[0]
    np.testing.assert_allclose(high - low, 2 * 100 * np.sqrt(0.95 * 0.05 / 1000))
    assert [item.get_text() for item in ax.texts] == ["40"]
    assert [item.get_text() for item in ax.get_yticklabels()] == ["walkers", r"costs \$5"]


def test_widths_beyond_the_axis_are_told():
    ax = plots.plot_interval_widths(RECORDS)
    assert points(ax)[:, 0].tolist() == [1.1, 1.1, 1.1, 2.2]
    assert [item.get_text() for item in ax.texts] == ["7.2"]
    ax.figure.canvas.draw()
