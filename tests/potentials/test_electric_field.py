"""Rigid ions in a uniform electric field, against -E.P and its derivatives."""

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose

from potentials.calculator import IonicCalculator
from simtools.core.errors import ConfigError

LI3OCL = "li3ocl_mouta_formal"
FIELD_V_PER_A = np.array([0.02, -0.01, 0.03])
CHARGES_E = {"Li": 1.0, "O": -2.0, "Cl": -1.0}


def crystal(seed=3):
    atoms = Atoms(
        "ClOLi3",
        scaled_positions=[[0, 0, 0], [0.5] * 3, [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
        cell=[3.9, 4.0, 4.1],
        pbc=True,
    ).repeat((2, 1, 1))
    atoms.positions += np.random.default_rng(seed).normal(0.0, 0.1, atoms.positions.shape)
    return atoms


@pytest.mark.parametrize("coulomb", ["ewald", "pme"])
def test_field_adds_minus_field_times_polarization_and_pulls_every_ion(coulomb):
    atoms, charges = crystal(), np.array([CHARGES_E[s] for s in crystal().symbols])
    plain = IonicCalculator(LI3OCL, coulomb=coulomb)
    pulled = IonicCalculator(LI3OCL, coulomb=coulomb, electric_field_V_per_A=FIELD_V_PER_A)
    dipole = (charges[:, None] * atoms.positions).sum(axis=0)
    assert_allclose(pulled.polarization_e_A(atoms), dipole, atol=1e-12)
    gained = pulled.get_property("energy", atoms) - plain.get_property("energy", atoms)
    assert gained == pytest.approx(-dipole @ FIELD_V_PER_A, abs=1e-11)
    forces = pulled.get_property("forces", atoms) - plain.get_property("forces", atoms)
    assert_allclose(forces, np.outer(charges, FIELD_V_PER_A), atol=1e-12)
    assert pulled.get_property("energies", atoms).sum() == pytest.approx(
        pulled.get_property("energy", atoms), abs=1e-10
    )


def test_ion_moved_by_a_lattice_vector_gains_the_work_of_the_field():
    calculator = IonicCalculator(LI3OCL, coulomb="ewald", electric_field_V_per_A=FIELD_V_PER_A)
    atoms = crystal()
    before = calculator.get_property("energy", atoms)
    atoms.positions[1] += atoms.cell[2]
    gained = calculator.get_property("energy", atoms) - before
    assert gained == pytest.approx(2.0 * FIELD_V_PER_A @ atoms.cell[2], abs=1e-10)


def test_state_of_another_field_is_refused():
    atoms = crystal()
    plain, pulled = (
        IonicCalculator(LI3OCL, coulomb="ewald", electric_field_V_per_A=field)
        for field in (None, FIELD_V_PER_A)
    )
    for calculator in (plain, pulled):
        calculator.get_property("energy", atoms)
    pulled.set_state(pulled.get_state())
    for state, other in ((plain.get_state(), pulled), (pulled.get_state(), plain)):
        with pytest.raises(ConfigError, match="electric_field_V_per_A"):
            other.set_state(state)


def test_fields_that_cannot_be_meant_are_refused():
    for value in (0.1, (0.1, 0.2), "north", (0.0, np.nan, 0.0)):
        with pytest.raises(ConfigError, match="electric_field_V_per_A must be three finite numbers"):
            IonicCalculator(LI3OCL, electric_field_V_per_A=value)
    with pytest.raises(ConfigError, match="no ion is charged"):
        IonicCalculator("lennard_jones", electric_field_V_per_A=(0.0, 0.0, 0.1))
    charged = crystal()
    del charged[1]
    calculator = IonicCalculator(LI3OCL, net_charge="background", electric_field_V_per_A=FIELD_V_PER_A)
    with pytest.raises(ConfigError, match=r"needs a neutral cell, got a net charge of \+2 e"):
        calculator.get_property("energy", charged)
