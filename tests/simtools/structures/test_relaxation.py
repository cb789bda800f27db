import pickle

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.calculators.lj import LennardJones
from numpy.testing import assert_allclose

from simtools.core.errors import ConfigError
from simtools.core.units import EV_PER_A3_TO_GPA
from simtools.structures import (
    PressureJumpError,
    RelaxationError,
    build_prototype,
    relax_lattice_parameter,
)


class Spring(Calculator):
    """E = k (V^(1/3) - a0)^2 / 2 per cell; everything about it is known on paper."""

    implemented_properties = ("energy", "stress")

    def __init__(self, k, a0, *, stress=True, jump=0.0):
        super().__init__()
        self.k, self.a0, self.with_stress, self.jump = k, a0, stress, jump

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if "stress" in properties and not self.with_stress:
            raise PropertyNotImplementedError("stress")
        a = np.cbrt(atoms.get_volume())
        slope = self.k * (a - self.a0) + (self.jump if a > self.a0 else -self.jump)
        self.results["energy"] = 0.5 * self.k * (a - self.a0) ** 2 + self.jump * abs(a - self.a0)
        if self.with_stress:
            self.results["stress"] = np.array([1.0, 1, 1, 0, 0, 0]) * slope / (3 * a**2)


def crystal(a):
    return build_prototype("cscl", "ArKr", lattice_parameter_A=a)


@pytest.mark.parametrize("guess_A", [3.3, 4.0, 4.9])
def test_spring_crystal_relaxes_to_its_known_cell(guess_A):
    result = relax_lattice_parameter(crystal, Spring(2.0, 4.0), guess_A=guess_A)
    assert_allclose(result.a_A, 4.0, atol=1e-7)
    assert_allclose(result.energy_eV, 0.0, atol=1e-12)
    # B = V d2E/dV2 = k / (9 a)
    assert_allclose(result.bulk_modulus_GPa, 2.0 / (9 * 4.0) * EV_PER_A3_TO_GPA, rtol=1e-5)
    assert abs(result.pressure_GPa) < 1e-6


def test_without_stress_the_energy_minimum_is_found():
    result = relax_lattice_parameter(crystal, Spring(2.0, 4.0, stress=False), guess_A=4.2)
    assert_allclose(result.a_A, 4.0, atol=1e-5)
    assert_allclose(result.bulk_modulus_GPa, 2.0 / (9 * 4.0) * EV_PER_A3_TO_GPA, rtol=1e-4)


def test_pressure_is_the_one_that_was_asked_for():
    result = relax_lattice_parameter(crystal, Spring(2.0, 4.0), guess_A=4.0, pressure_GPa=0.5)
    assert_allclose(result.pressure_GPa, 0.5, rtol=1e-6)
    assert result.a_A < 4.0


def test_long_ranged_lennard_jones_fcc_has_its_published_lattice_sums():
    # A6 = 14.45392, A12 = 12.13188 (Kittel): a = (2 A12/A6)^(1/6) sqrt(2), E = -A6^2 / (2 A12)
    result = relax_lattice_parameter(
        lambda a: build_prototype("fcc", "Ar", lattice_parameter_A=a), LennardJones(rc=9.0), guess_A=1.6
    )
    assert_allclose(result.a_A, (2 * 12.13188 / 14.45392) ** (1 / 6) * np.sqrt(2), rtol=2e-4)
    assert_allclose(result.energy_eV, -(14.45392**2) / (2 * 12.13188), rtol=5e-3)
    assert result.formula_units == 4


@pytest.mark.parametrize("stress", [True, False])
def test_a_crystal_that_does_not_bind_says_so(stress):
    with pytest.raises(RelaxationError, match="no equilibrium between"):
        relax_lattice_parameter(crystal, Spring(2.0, 12.0, stress=stress), guess_A=4.0)


def test_a_jump_of_the_pressure_is_no_equilibrium():
    with pytest.raises(PressureJumpError, match="jumps across its target"):
        relax_lattice_parameter(crystal, Spring(2.0, 4.0, jump=0.5), guess_A=4.3)


def test_bad_guess_is_refused():
    with pytest.raises(ConfigError, match="guess_A"):
        relax_lattice_parameter(crystal, Spring(2.0, 4.0), guess_A=-1)


def test_relaxation_errors_survive_a_process_pool():
    for error in (RelaxationError(4.0, 3.0, 5.0, 1.0, 2.0), PressureJumpError(4.0, 1.0, 50.0)):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
