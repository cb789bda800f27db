"""Sites that a trajectory came without: the same jumps as on the sites that were known all along."""

from dataclasses import replace

import numpy as np
import pytest

from simtools.analysers.crystal_sites import (
    equal_cells,
    in_mean_cell,
    with_sites_from_crystal,
    with_sites_from_density,
)
from simtools.analysers.jumps import find_jumps
from simtools.core.errors import ConfigError
from simtools.md.trajectory import Trajectory
from tests.crystal_walks import REPEATS, UNIT, crystal_walk, without_sites


@pytest.fixture(scope="module")
def walk():
    return crystal_walk()


def _same_jumps(trajectory, walk):
    found, known = (find_jumps(item, species="Li") for item in (trajectory, walk))
    assert known.n_jumps > 100
    assert found.n_jumps == known.n_jumps
    assert found.n_vacancies == known.n_vacancies == 6
    np.testing.assert_array_equal(found.ions, known.ions)
    np.testing.assert_allclose(found.vectors_A, known.vectors_A, atol=0.2)


def test_a_supercell_divides_into_its_unit_cells_and_a_gas_does_not(walk):
    assert equal_cells(walk) == REPEATS
    assert equal_cells(without_sites(walk)) == REPEATS
    rng = np.random.default_rng(3)
    gas = replace(without_sites(walk), positions_A=15.6 * rng.random(walk.positions_A.shape))
    assert equal_cells(gas) == (1, 1, 1)


@pytest.mark.parametrize("shift_A", [0.0, 0.6])
def test_a_unit_cell_gives_the_jumps_of_the_known_sites_wherever_its_origin(shift_A):
    shifted = crystal_walk(shift_A=shift_A)
    _same_jumps(with_sites_from_crystal(without_sites(shifted), UNIT, species="Li"), crystal_walk())


def test_peaks_of_the_folded_density_give_the_jumps_of_the_known_sites(walk):
    repeats = equal_cells(without_sites(walk))
    found = with_sites_from_density(without_sites(walk), species=["Li", "O", "Cl"], repeats=repeats)
    assert (found.lattice_sites.species == "Li").sum() == 192  # with those that were empty all the time
    _same_jumps(found, walk)


def test_sites_of_another_crystal_are_refused(walk):
    bare = without_sites(walk)
    with pytest.raises(ConfigError, match="no Li site"):
        with_sites_from_crystal(bare, UNIT[[3, 4]], species="Li")
    wide = UNIT.copy()
    wide.set_cell([4.6, 4.6, 4.6], scale_atoms=True)
    with pytest.raises(ConfigError, match="does not fill"):
        with_sites_from_crystal(bare, wide, species="Li")
    elsewhere = UNIT.copy()
    elsewhere.symbols = ["Li", "O", "Cl", "Li", "Li"]
    with pytest.raises(ConfigError, match="off their sites"):
        with_sites_from_crystal(bare, elsewhere, species="Li")


def test_a_breathing_cell_becomes_its_mean():
    cells = np.eye(3) * np.array([9.0, 10.0, 11.0])[:, None, None]
    trajectory = Trajectory(
        positions_A=np.zeros((3, 1, 3)), species=["Li"], cells_A=cells, frame_interval_ps=1.0
    )
    np.testing.assert_allclose(in_mean_cell(trajectory).cells_A, 10 * np.eye(3))
