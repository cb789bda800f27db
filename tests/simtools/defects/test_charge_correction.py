"""The image potential against Madelung constants, the corrected energies against their own size."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from potentials.calculator import IonicCalculator
from simtools.core.errors import ConfigError, ShapeError
from simtools.core.units import COULOMB_EV_A
from simtools.defects.charge_correction import (
    IsolatedLimit,
    extrapolate_to_isolated,
    image_potential_V_per_e,
    isolated_correction_eV,
)
from simtools.structures import build_antiperovskite, build_supercell
from simtools.structures.ionic_relaxation import relax_ions

# A charge in a uniform background, per Wigner-Seitz radius: R. A. Coldwell-Horsfall and A. A. Maradudin,
# J. Math. Phys. 1, 395 (1960); the energy there, in rydbergs and bohr, is the potential here.
WIGNER = {
    "sc": (np.eye(3), 1.760119),
    "bcc": (np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2, 1.791858),
    "fcc": (np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2, 1.791747),
}
STATIC_A = 3.866026
EPSILON = 6.300


@pytest.mark.parametrize("lattice", WIGNER)
def test_cubic_lattices_have_their_madelung_constants(lattice):
    cell, constant = WIGNER[lattice]
    cell = 7.0 * cell
    radius = (3 * abs(np.linalg.det(cell)) / (4 * np.pi)) ** (1 / 3)
    assert image_potential_V_per_e(cell, 1.0) * radius / COULOMB_EV_A == pytest.approx(-constant, abs=1e-6)


def test_simple_cubic_correction_is_that_of_makov_and_payne():
    correction = isolated_correction_eV(-2, 12.0 * np.eye(3), 5.0 * np.eye(3))
    assert correction == pytest.approx(2.837297479 * COULOMB_EV_A * 4 / (2 * 5.0 * 12.0), rel=1e-9)


def test_anisotropic_medium_is_a_rescaled_cell_in_vacuum():
    epsilon = np.array([2.0, 3.0, 11.0])
    cell = np.array([[9.0, 0.0, 0.0], [2.0, 8.0, 0.0], [1.0, -3.0, 12.0]])
    found = image_potential_V_per_e(cell, np.diag(epsilon))
    rescaled = image_potential_V_per_e(cell / np.sqrt(epsilon), 1.0) / np.sqrt(epsilon.prod())
    assert found == pytest.approx(rescaled, rel=1e-12)


def test_turning_cell_and_medium_together_changes_nothing():
    turn = Rotation.from_rotvec([0.3, -0.7, 0.2]).as_matrix()
    tensor, cell = np.diag([2.0, 3.0, 11.0]), np.diag([9.0, 8.0, 12.0])
    turned = image_potential_V_per_e(cell @ turn.T, turn @ tensor @ turn.T)
    assert turned == pytest.approx(image_potential_V_per_e(cell, tensor), rel=1e-12)


def test_synthetic_sizes_give_back_their_limit():
    cells = [n * np.diag([4.0, 4.0, 5.0]) for n in (2, 3, 4, 5)]
    tensor = np.diag([6.0, 6.0, 9.0])
    energies = [
        5.5 - 1.07 * isolated_correction_eV(2, cell, tensor) - 16.0 / np.linalg.det(cell) for cell in cells
    ]
    found = extrapolate_to_isolated(cells, energies, charge_e=2, dielectric_tensor=tensor)
    assert found.extrapolated_eV.value == pytest.approx(5.5, abs=1e-10)
    assert found.screening_ratio.value == pytest.approx(1.07, abs=1e-10)
    assert not found.corrected_limit_eV.value == pytest.approx(5.5, abs=0.01)
    again = IsolatedLimit.from_json(found.to_json())
    assert again.extrapolated_eV == found.extrapolated_eV
    exact = extrapolate_to_isolated(cells[:3], energies[:3], charge_e=2, dielectric_tensor=tensor)
    assert exact.extrapolated_eV.stderr == np.inf


def vacancy_energies(n, *, relax):
    """Return cell and energy of V_Li' in n x n x n Li3OCl relative to the perfect crystal, eV."""
    calculator = IonicCalculator("li3ocl_mouta_formal", accuracy=1e-6, net_charge="background")
    perfect = build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=STATIC_A), n)
    perfect.calc = calculator
    energy = perfect.get_potential_energy()
    defect = perfect.copy()
    del defect[0]
    if relax:
        return perfect.cell.array, relax_ions(defect, calculator, max_force_eV_per_A=1e-3).energy_eV - energy
    defect.calc = calculator
    return perfect.cell.array, defect.get_potential_energy() - energy


def test_rigid_vacancy_needs_the_vacuum_term_and_nothing_else():
    """Nothing screens a point charge among ions at rest: the corrected energy is the same at every size."""
    cells, energies = zip(*(vacancy_energies(n, relax=False) for n in (2, 3, 4)), strict=True)
    found = extrapolate_to_isolated(cells, energies, charge_e=-1, dielectric_tensor=1.0)
    assert np.ptp(found.corrected_eV) < 2e-5
    assert np.ptp(found.energies_eV) > 1.0
    assert found.screening_ratio.value == pytest.approx(1.0, abs=1e-4)


def test_relaxed_vacancy_agrees_between_small_cells_once_corrected():
    cells, energies = zip(*(vacancy_energies(n, relax=True) for n in (3, 4, 5, 6)), strict=True)
    found = extrapolate_to_isolated(cells, energies, charge_e=-1, dielectric_tensor=EPSILON)
    assert np.ptp(found.energies_eV) > 0.13
    assert np.ptp(found.corrected_eV) < 0.005
    assert found.corrected_limit_eV.value == pytest.approx(found.extrapolated_eV.value, abs=0.03)


def test_what_cannot_be_meant_is_refused():
    cells = [n * np.eye(3) for n in (2, 3, 4)]
    with pytest.raises(ConfigError, match="at least three different volumes"):
        extrapolate_to_isolated(cells[:2], [1, 2], charge_e=1, dielectric_tensor=1)
    with pytest.raises(ConfigError, match="different shapes"):
        extrapolate_to_isolated([*cells, np.diag([1, 1, 3])], [1, 2, 3, 4], charge_e=1, dielectric_tensor=1)
    with pytest.raises(ConfigError, match="charge_e is 0"):
        extrapolate_to_isolated(cells, [1, 2, 3], charge_e=0, dielectric_tensor=1)
    with pytest.raises(ConfigError, match="positive definite"):
        image_potential_V_per_e(np.eye(3), np.diag([1, 1, -1]))
    with pytest.raises(ConfigError, match="have a volume"):
        image_potential_V_per_e(np.zeros((3, 3)), 1)
    with pytest.raises(ConfigError, match="too flat"):
        image_potential_V_per_e(np.diag([1, 1, 1e8]), 1)
    with pytest.raises(ShapeError, match="dielectric_tensor"):
        image_potential_V_per_e(np.eye(3), [1, 2, 3])
