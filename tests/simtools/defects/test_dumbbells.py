"""Orientations against site symmetries worked out by hand; separations against a spring and by forces."""

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes
from numpy.testing import assert_allclose

from potentials.calculator import IonicCalculator
from simtools.core.errors import ConfigError
from simtools.defects.dumbbells import dumbbell_orientations, dumbbell_positions, relaxed_separation
from simtools.structures import build_prototype, build_supercell

A = 3.866025
CHARGES_E = {"Li": 1, "O": -2, "Cl": -1}


def li3ocl(repeats=1):
    return build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=A), repeats)


class SpringInAFrozenHost(Calculator):
    """A spring between the two ions of the dumbbell, and one from every other ion to where it starts."""

    implemented_properties = ("energy", "forces")

    def __init__(self, site, length_A, origin):
        super().__init__()
        self.site, self.length_A, self.origin = site, length_A, origin

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        positions = self.atoms.positions
        vector = positions[self.site] - positions[-1]
        length = np.linalg.norm(vector)
        away = positions[:-1] - self.origin
        away[self.site] = 0.0
        pull = -4.0 * (length - self.length_A) * vector / length
        forces = np.vstack([-away, np.zeros(3)])
        forces[self.site] += pull
        forces[-1] -= pull
        self.results["energy"] = 2.0 * (length - self.length_A) ** 2 + 0.5 * np.sum(away**2)
        self.results["forces"] = forces


def test_the_face_centre_has_the_orientations_of_its_4_mmm_symmetry():
    """The first X site's fourfold axis is a, from B to B; A lies in the plane's diagonals."""
    found = [
        (o.family, o.multiplicity, round(o.site_axis_angle_deg, 3), o.towards, o.towards_A)
        for o in dumbbell_orientations(li3ocl(), 0)
    ]
    diagonal = A / np.sqrt(2)
    expected = [
        ("100", 1, 0.0, "O", A / 2),
        ("100", 2, 90.0, "Li", A),
        ("110", 4, 45.0, "Li", diagonal),
        ("110", 2, 90.0, "Cl", diagonal),
        ("111", 4, 54.736, None, None),
    ]
    assert [entry[:4] for entry in found] == [entry[:4] for entry in expected]
    for (*_, distance), (*_, known) in zip(found, expected, strict=True):
        assert distance is known is None or distance == pytest.approx(known)


@pytest.mark.parametrize("site", [3, 4])
def test_a_cubic_site_has_one_orientation_per_family(site):
    found = dumbbell_orientations(li3ocl(), site)
    assert [(o.multiplicity, o.site_axis_angle_deg) for o in found] == [(3, None), (6, None), (4, None)]


def test_every_x_site_of_a_supercell_has_the_same_orientations_about_its_own_axis():
    crystal = li3ocl(2)
    for site, axis in ((0, 0), (6, 1), (12, 2)):
        parallel, perpendicular = dumbbell_orientations(crystal, site, families=["100"])
        assert_allclose(np.abs(parallel.direction), np.eye(3)[axis], atol=1e-12)
        assert {int(np.argmax(np.abs(d))) for d in perpendicular.equivalent_directions} == {0, 1, 2} - {axis}


def test_a_tetragonal_cell_tells_more_orientations_apart():
    crystal = li3ocl()
    crystal.set_cell(np.diag([A, A, 1.06 * A]), scale_atoms=True)
    assert [o.multiplicity for o in dumbbell_orientations(crystal, 0)] == [1, 1, 1, 2, 2, 2, 4]
    assert [o.multiplicity for o in dumbbell_orientations(crystal, 2)] == [1, 2, 4, 2, 4]


@pytest.mark.parametrize("case", ["cubic", "sheared", "with a dopant"])
def test_orientations_of_a_family_always_add_up(case):
    crystal = li3ocl(2)
    if case == "sheared":
        crystal.set_cell(crystal.cell.array @ [[1, 0.03, 0], [0, 1, 0.05], [0, 0, 1]], scale_atoms=True)
    if case == "with a dopant":
        crystal.symbols[0] = "Mg"
    for site in (1, 12):
        counts = {}
        for orientation in dumbbell_orientations(crystal, site):
            counts[orientation.family] = counts.get(orientation.family, 0) + orientation.multiplicity
        assert counts == {"100": 3, "110": 6, "111": 4}


def test_an_orientation_says_in_words_what_it_is():
    parallel, perpendicular, *_ = map(str, dumbbell_orientations(li3ocl(), 0))
    assert parallel == "<100> along (1 0 0) x1, parallel to the site's axis, towards O at 1.933 Å"
    assert perpendicular == "<100> along (0 1 0) x2, perpendicular to the site's axis, towards Li at 3.866 Å"


def test_the_two_ions_stand_on_either_side_of_their_site():
    crystal = li3ocl(2)
    first, second = dumbbell_positions(crystal, 7, (0, 3, -3), separation_A=1.8)
    assert_allclose((first + second) / 2, crystal.positions[7])
    assert_allclose(first - second, 1.8 * np.array([0, 1, -1]) / np.sqrt(2))


@pytest.mark.parametrize("length_A", [1.5, 2.4])
def test_a_spring_relaxes_to_its_length(length_A):
    crystal = li3ocl(2)
    calculator = SpringInAFrozenHost(1, length_A, crystal.positions.copy())
    relaxed = relaxed_separation(
        crystal, 1, (1, 1, 0), calculator, formal_charges_e=CHARGES_E, max_force_eV_per_A=1e-4
    )
    assert relaxed.separation_A == pytest.approx(length_A, abs=1e-4)
    assert relaxed.energy_eV == pytest.approx(0, abs=1e-6)
    assert relaxed.turned_deg == pytest.approx(0, abs=0.01)
    assert relaxed.centre_shift_A < 1e-4
    assert_allclose(relaxed.direction, [np.sqrt(0.5), np.sqrt(0.5), 0], atol=1e-4)
    assert relaxed.atoms.info["defects"][0]["label"] == "(Li2)_Li."


def test_the_dumbbell_of_li3ocl_lies_in_the_face_of_the_cube():
    """<100> across the O-Li-O axis, as the machine-learned NEP89 has it too (2.08 Å); along it, no rest."""
    crystal = li3ocl(2)
    calculator = IonicCalculator("li3ocl_mouta_formal", accuracy=1e-5, net_charge="background")
    known = {"formal_charges_e": CHARGES_E, "seed": 1}
    parallel, across = dumbbell_orientations(crystal, 0, families=["100"])
    flat = relaxed_separation(crystal, 0, across.direction, calculator, **known)
    assert flat.turned_deg < 1
    assert 1.8 < flat.separation_A < 2.1
    upright = relaxed_separation(crystal, 0, parallel.direction, calculator, **known)
    assert upright.energy_eV > flat.energy_eV + 1.0
    fallen = relaxed_separation(crystal, 0, parallel.direction, calculator, rattle_A=0.02, **known)
    assert fallen.energy_eV == pytest.approx(flat.energy_eV, abs=2e-3)
    assert fallen.turned_deg == pytest.approx(90, abs=2)


def test_bad_requests_are_refused():
    crystal = li3ocl()
    with pytest.raises(ConfigError, match="site_index"):
        dumbbell_orientations(crystal, 5)
    with pytest.raises(ConfigError, match="expected one of: 100, 110, 111"):
        dumbbell_orientations(crystal, 0, families=["112"])
    with pytest.raises(ConfigError, match="separation"):
        dumbbell_positions(crystal, 0, (1, 0, 0), separation_A=0.0)
    with pytest.raises(ConfigError, match="Cartesian axis"):
        dumbbell_positions(crystal, 0, (0, 0, 0), separation_A=1.0)
