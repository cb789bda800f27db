"""Barriers found on landscapes with known saddle points, and what must be refused."""

import numpy as np
import pytest

from simtools.core.errors import ConfigError
from simtools.md.endpoints import EndPointError
from simtools.md.pathways import MigrationPath, PathNotConvergedError, continue_path, find_path
from tests.simtools.md.pathway_toys import DoubleWell, Fork, MuellerBrown, particle

LEFT, RIGHT = particle(-0.9, 0.1, 0), particle(1.1, -0.1, 0)


def test_double_well_has_its_height_as_barrier():
    path = find_path(LEFT, RIGHT, lambda: DoubleWell(0.3), equivalent_ends=True)
    assert path.barrier_forward_eV == pytest.approx(0.3, abs=1e-4)
    assert path.barrier_backward_eV == pytest.approx(0.3, abs=1e-4)
    assert path.barrier_uncertainty_eV < 1e-3
    assert path.reaction_coordinate_A[-1] == pytest.approx(2.0, abs=0.01)
    assert path.tangent_curvature_eV_per_A2 == pytest.approx(-4 * 0.3, rel=0.01)
    assert path.lowest_curvatures_eV_per_A2 == pytest.approx([-1.2, 2.0], rel=0.01)
    assert path.saddle_force_eV_per_A < 0.02
    assert path.warnings == ()


def test_tilt_makes_forward_and_backward_differ_by_the_reaction_energy():
    tilt = 0.05
    path = find_path(LEFT, RIGHT, lambda: DoubleWell(0.3, tilt_eV_per_A=tilt), max_force_eV_per_A=0.005)
    x = np.sort(np.roots([4 * 0.3, 0, -4 * 0.3, tilt]).real)
    minimum, top, other = 0.3 * (1 - x**2) ** 2 + tilt * x
    assert path.barrier_forward_eV == pytest.approx(top - minimum, abs=1e-4)
    assert path.barrier_backward_eV == pytest.approx(top - other, abs=1e-4)
    assert path.reaction_energy_eV == pytest.approx(other - minimum, abs=1e-4)


def test_few_images_find_the_same_saddle_point():
    paths = [find_path(LEFT, RIGHT, lambda: DoubleWell(0.3), n_images=n, seed=n) for n in (1, 2, 6)]
    assert [path.barrier_forward_eV for path in paths] == pytest.approx([0.3] * 3, abs=1e-3)


@pytest.mark.parametrize(
    ("start", "end", "saddle", "minimum"),
    [
        ((-0.558, 1.442, 0), (-0.050, 0.467, 0), -40.665, -146.700),
        ((0.623, 0.028, 0), (-0.050, 0.467, 0), -72.249, -108.167),
    ],
)
def test_mueller_brown_saddle_points(start, end, saddle, minimum):
    path = find_path(particle(*start), particle(*end), MuellerBrown, n_images=9, max_force_eV_per_A=0.01)
    assert path.barrier_forward_eV == pytest.approx(0.01 * (saddle - minimum), abs=2e-4)
    assert path.lowest_curvatures_eV_per_A2[0] < 0 < path.lowest_curvatures_eV_per_A2[1]
    assert len(path.intermediate_minima_A) == 0


def test_minimum_between_the_ends_is_reported():
    path = find_path(
        particle(-0.558, 1.442, 0),
        particle(0.623, 0.028, 0),
        MuellerBrown,
        n_images=15,
        max_force_eV_per_A=0.01,
    )
    assert path.barrier_forward_eV == pytest.approx(0.01 * (146.700 - 40.665), abs=2e-4)
    assert len(path.intermediate_minima_A) == 1
    assert "chain of hops" in path.warnings[0]


def test_second_order_saddle_is_named_and_left_when_displaced():
    ends = particle(-1, 0, 0), particle(1, 0, 0)
    ridge = find_path(*ends, Fork, rattle_A=0.0)
    assert ridge.barrier_forward_eV == pytest.approx(1.0, abs=1e-3)
    assert ridge.lowest_curvatures_eV_per_A2 == pytest.approx([-4.0, -1.0], rel=0.01)
    assert "higher order" in ridge.warnings[0]
    path = find_path(*ends, Fork, max_force_eV_per_A=0.005)
    assert path.barrier_forward_eV == pytest.approx(0.875, abs=1e-3)
    assert path.warnings == ()


def test_band_can_be_continued_from_what_was_saved():
    saved = []
    whole = find_path(LEFT, RIGHT, DoubleWell, on_step=lambda images, step: saved.append(images))
    path = continue_path(saved[3], DoubleWell)
    assert path.barrier_forward_eV == pytest.approx(whole.barrier_forward_eV, abs=1e-3)
    assert path.n_steps < whole.n_steps


def test_shared_calculator_gives_the_same_barrier_and_is_made_once():
    made = []

    def factory():
        made.append(DoubleWell())
        return made[-1]

    path = find_path(LEFT, RIGHT, factory, shared_calculator=True)
    assert path.barrier_forward_eV == pytest.approx(0.3, abs=1e-3)
    assert len(made) == 2


def test_result_survives_json():
    path = find_path(LEFT, RIGHT, DoubleWell, n_images=3)
    again = MigrationPath.from_json(path.to_json())
    assert np.array_equal(again.positions_A, path.positions_A)
    assert again.moving_ions == path.moving_ions
    assert again.images[2].positions == pytest.approx(path.positions_A[2])


def test_same_basin_is_refused():
    with pytest.raises(EndPointError, match="same configuration"):
        find_path(LEFT, particle(-1.1, 0, 0), DoubleWell)


def test_unequal_ends_that_should_be_equal_are_refused():
    with pytest.raises(EndPointError, match="differ by"):
        find_path(LEFT, RIGHT, lambda: DoubleWell(0.3, tilt_eV_per_A=0.01), equivalent_ends=True)


def test_band_that_does_not_converge_says_so_and_hands_over_its_images():
    with pytest.raises(PathNotConvergedError, match="did not come to rest in 2 steps") as caught:
        find_path(particle(-0.558, 1.442, 0), particle(-0.050, 0.467, 0), MuellerBrown, max_steps=2)
    assert len(caught.value.images) == 9
    assert caught.value.images[3].get_potential_energy() != 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_images": 0}, "n_images"),
        ({"n_images": 2.5}, "n_images"),
        ({"max_force_eV_per_A": -1}, "max_force"),
        ({"interpolation": "cubic"}, "linear, idpp"),
        ({"rattle_A": 1.0}, "rattle_A"),
        ({"max_steps": 2.5}, "max_steps must be a whole number, 0 or more, got 2.5"),
    ],
)
def test_bad_arguments_are_named(changed, message):
    with pytest.raises(ConfigError, match=message):
        find_path(LEFT, RIGHT, DoubleWell, **changed)
