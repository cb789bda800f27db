"""A vacancy's size correction up to 8 x 8 x 8; the response of a crystal that has relaxed into its tilts."""

import numpy as np
import pytest

from potentials.calculator import IonicCalculator
from simtools.defects.charge_correction import extrapolate_to_isolated
from simtools.structures import build_antiperovskite, build_supercell, relax_lattice_parameter
from simtools.structures.dielectric import high_frequency_dielectric
from simtools.structures.ionic_relaxation import relax_ions
from simtools.structures.response import host_response
from simtools.structures.symmetry import crystal_symmetry

pytestmark = pytest.mark.physics


def exact(name, field=None):
    return IonicCalculator(name, coulomb="ewald", electric_field_V_per_A=field)


def relaxed(formula, guess_A, calculator):
    def build(a_A):
        return build_antiperovskite(formula, lattice_parameter_A=a_A)

    return build(relax_lattice_parameter(build, calculator, guess_A=guess_A).a_A)


def test_vacancy_in_4x4x4_and_8x8x8_agree_once_corrected():
    name = "li3ocl_mouta_formal"
    crystal = relaxed("Li3OCl", 3.9, exact(name))
    epsilon = host_response(crystal, exact(name), high_frequency=np.eye(3), supercell=None).dielectric_static
    cells, energies = [], []
    for n in (4, 5, 6, 7, 8):
        calculator = IonicCalculator(name, accuracy=1e-6, net_charge="background")
        perfect = build_supercell(crystal, n)
        perfect.calc = calculator
        defect = perfect.copy()
        del defect[0]
        defect.rattle(0.02, seed=n)
        energy = relax_ions(defect, calculator, max_force_eV_per_A=1e-3).energy_eV
        energies.append(energy - perfect.get_potential_energy())
        cells.append(perfect.cell.array)
    found = extrapolate_to_isolated(cells, energies, charge_e=-1, dielectric_tensor=epsilon)
    assert energies[-1] - energies[0] == pytest.approx(0.109, abs=0.002)
    assert abs(found.corrected_eV[-1] - found.corrected_eV[0]) < 0.005
    assert abs(found.extrapolated_eV.value - found.corrected_limit_eV.value) < 0.01
    assert np.abs(found.corrected_eV - found.extrapolated_eV.value).max() < 0.02
    assert found.screening_ratio.value == pytest.approx(1.0, abs=0.08)


def test_vacancy_among_clamped_ions_is_screened_by_the_shells_alone():
    """Ions at their sites, shells relaxed: the dielectric constant at high frequency corrects every size."""
    name = "li3ocl_mouta_clshell"
    crystal = relaxed("Li3OCl", 3.9, exact(name))
    epsilon = high_frequency_dielectric(crystal, lambda field: exact(name, field))
    assert epsilon == pytest.approx(1.73 * np.eye(3), abs=0.01)
    cells, energies = [], []
    for n in (3, 4, 5, 6):
        perfect = build_supercell(crystal, n)
        defect = perfect.copy()
        del defect[0]
        perfect.calc = defect.calc = IonicCalculator(name, accuracy=1e-6, net_charge="background")
        energies.append(defect.get_potential_energy() - perfect.get_potential_energy())
        cells.append(perfect.cell.array)
    found = extrapolate_to_isolated(cells, energies, charge_e=-1, dielectric_tensor=epsilon)
    assert np.ptp(found.energies_eV) > 0.5
    assert np.ptp(found.corrected_eV) < 0.002
    assert found.screening_ratio.value == pytest.approx(1.0, abs=0.02)


def test_tilted_crystal_answers_as_its_dynamical_matrix_says():
    """Forty ions whose softest mode lies at 0.3 THz: half of C12 comes from ions that move under strain."""
    name = "mna_oxyhalide_formal"
    start = build_supercell(relaxed("Na3OCl", 4.4, exact(name)), 2)
    start.rattle(0.05, seed=1)
    for tolerance in (1e-4, 1e-6):
        start = relax_ions(start, exact(name), max_force_eV_per_A=tolerance, pressure_GPa=0.0).atoms
    response = host_response(
        start,
        exact(name),
        calculator_with_field=lambda field: exact(name, field),
        supercell=(1, 1, 1),
        strain=2e-4,
        max_force_eV_per_A=1e-6,
    )
    assert crystal_symmetry(start, tolerance_A=0.02).space_group == "R-3c"
    assert response.is_stable
    assert response.elastic_difference < 0.01
    assert response.dielectric_difference < 0.01
    internal = np.abs(response.elastic_clamped_GPa - response.elastic_GPa).max()
    assert internal > 0.1 * response.elastic_GPa.max()
