import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.core.errors import ConfigError, ShapeError, UnknownSpeciesError
from simtools.md.trajectory import LatticeSites, Trajectory


def walk(n_frames=5, **changes):
    rng = np.random.default_rng(0)
    options = {
        "positions_A": rng.normal(size=(n_frames, 3, 3)).cumsum(axis=0),
        "species": ["Li", "O", "Li"],
        "cells_A": 4 * np.eye(3),
        "frame_interval_ps": 0.5,
    }
    return Trajectory(**{**options, **changes})


def test_a_trajectory_answers_questions():
    trajectory = walk()
    assert trajectory.duration_ps == 2.0
    assert trajectory.mean_volume_A3 == pytest.approx(64.0)
    assert trajectory.n_of("Li") == 2
    assert trajectory.positions_of("Li").flags.c_contiguous


def test_wrong_shapes_are_named():
    with pytest.raises(ShapeError, match=r"positions_A must have shape \(n_frames, 3, 3\)"):
        walk(positions_A=np.zeros((5, 2, 3)))
    with pytest.raises(ShapeError, match="cells_A"):
        walk(cells_A=np.eye(2))
    with pytest.raises(ShapeError, match="scaled_positions"):
        LatticeSites(np.zeros((2, 3)), ["Li"])


def test_wrong_shapes_of_what_travels_with_the_frames_are_named():
    with pytest.raises(ShapeError, match=r"charge_current_e_A_per_ps must have shape \(n_fine, 3\)"):
        walk(charge_current_e_A_per_ps=np.zeros((7, 2)), fine_interval_ps=0.1)
    with pytest.raises(ShapeError, match="velocities_A_per_ps"):
        walk(velocities_A_per_ps=np.zeros((4, 3, 3)))
    with pytest.raises(ShapeError, match="'Li'"):
        walk(species_momenta_amu_A_per_ps={"Li": np.zeros(7)}, fine_interval_ps=0.1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_cell_that_is_not_finite_is_refused(value):
    cell = 4 * np.eye(3)
    cell[0, 1] = value
    with pytest.raises(ConfigError, match="cells_A holds a value that is not finite"):
        walk(cells_A=cell)


def test_a_nan_is_named_by_its_frame():
    positions = np.zeros((5, 3, 3))
    positions[3, 1, 2] = np.nan
    with pytest.raises(ConfigError, match="frame 3"):
        walk(positions_A=positions)


def test_unknown_species_lists_what_is_there():
    with pytest.raises(UnknownSpeciesError, match="available: Li, O"):
        walk().indices_of("Na")


def test_the_host_frame_removes_a_common_drift_only():
    drift = np.linspace(0, 3, 5)[:, None, None] * np.array([1.0, -2.0, 0.5])
    still = walk(positions_A=np.broadcast_to(np.arange(9.0).reshape(3, 3), (5, 3, 3)))
    moved = walk(positions_A=still.positions_A + drift, masses_amu=[7.0, 16.0, 7.0])
    assert_allclose(moved.in_host_frame(["O"]).positions_A, still.positions_A, atol=1e-12)
