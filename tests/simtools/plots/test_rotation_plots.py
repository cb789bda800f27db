"""Figures of rotation show the numbers of their results."""

import numpy as np
import pytest

from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.event_correlogram import event_correlogram
from simtools.analysers.hazard import hazard_ratio
from simtools.analysers.orientation_density import orientation_density
from simtools.analysers.orientations import Orientations
from simtools.analysers.reorientation import reorientation
from simtools.analysers.tilt_at_hops import tilt_at_hops
from simtools.plots import (
    plot_event_correlogram,
    plot_false_positives,
    plot_hazard_ratios,
    plot_orientation_map,
    plot_reorientation,
    plot_tilt_at_hops,
)
from simtools.testing import rotor_orientations
from simtools.testing.coupled import planted_events


@pytest.fixture(scope="module")
def rotors():
    u = rotor_orientations(2000, 27, seed=0, rotational_diffusivity_per_ps=0.02, frame_interval_ps=0.05)
    centres = 4.0 * np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return Orientations(
        name="OH",
        vectors=u[:, :, None],
        quaternions=None,
        reference_A=None,
        misfit_A=None,
        centres_A=np.broadcast_to(centres, u.shape),
        cells_A=12 * np.eye(3),
        frame_interval_ps=0.05,
    )


@pytest.fixture(scope="module")
def run():
    return RotorHops(**planted_events(seed=0, duration_ps=95.0, coupled_fraction=0.2).events)


def test_reorientation_and_map_show_the_arrays(rotors):
    result = reorientation(rotors)
    ax = plot_reorientation(result)
    drawn = {line.get_label(): line for line in ax.get_lines()}
    assert np.allclose(drawn["$C_1$"].get_ydata(), result.c1[1:])
    assert np.allclose(drawn["$C_2$"].get_ydata(), result.c2[1:])
    density = orientation_density(rotors, n_z=8, n_angles=12)
    mesh = plot_orientation_map(density).collections[0]
    assert np.allclose(np.asarray(mesh.get_array()).ravel(), density.density.ravel())


def test_correlogram_hazards_and_tilts_show_the_arrays(rotors, run):
    correlogram = event_correlogram(run, distance_edges_A=(0.0, 2.2, 3.6), n_shifts=50)
    ax = plot_event_correlogram(correlogram)
    seen = next(line for line in ax.get_lines() if line.get_label() == "seen")
    assert np.allclose(seen.get_ydata(), correlogram.ratio[0], equal_nan=True)
    ratio = hazard_ratio(run, radius_A=2.2)
    forest = plot_hazard_ratios([ratio])
    assert forest.get_lines()[0].get_xdata()[0] == ratio.ratio.value
    assert "crude" in forest.get_yticklabels()[0].get_text()
    tilts = tilt_at_hops(rotors, run, radius_A=2.2, n_shifts=20)
    assert np.allclose(plot_tilt_at_hops(tilts).get_lines()[0].get_ydata(), tilts.tilts_deg)


def test_false_positives_are_drawn_in_percent():
    ax = plot_false_positives({"one": {"a": 0.05, "b": 0.04}, "two": {"a": 0.06}}, ["a", "b"])
    points = {line.get_label(): line.get_xdata() for line in ax.get_lines()}
    assert np.allclose(points["one"], [5.0, 4.0])
    assert np.allclose(points["two"], [6.0])
