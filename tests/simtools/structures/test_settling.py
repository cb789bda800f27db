"""Crystals that stay and one that does not: a stable one comes back untouched, Na3OCl tilts."""

import numpy as np
import pytest
from ase.calculators.lj import LennardJones

from potentials.calculator import IonicCalculator
from simtools.defects.formation import relax_crystal
from simtools.structures import build_antiperovskite, build_prototype
from simtools.structures.phonons import phonon_stability
from simtools.structures.settling import settle_crystal


def test_stable_crystal_is_left_alone():
    calculator = LennardJones(sigma=3.4, epsilon=0.0104, rc=7.8, smooth=True)
    crystal = relax_crystal(build_prototype("fcc", "Ar", lattice_parameter_A=5.2), calculator).atoms
    settled = settle_crystal(crystal, calculator)
    assert settled.repeats == 1
    assert settled.imaginary_modes == ()
    assert settled.energy_gain_eV == 0
    assert settled.space_group == "Fm-3m"
    assert np.array_equal(settled.atoms.positions, crystal.positions)


@pytest.mark.physics
def test_na3ocl_tilts_and_is_stable_then():
    calculator = IonicCalculator("mna_oxyhalide_formal", coulomb="ewald")
    crystal = relax_crystal(build_antiperovskite("Na3OCl", lattice_parameter_A=4.4), calculator)
    settled = settle_crystal(crystal.atoms, calculator)
    assert settled.repeats == 2
    assert sorted(label for label, _ in settled.imaginary_modes) == ["M", "R", "R", "R"]
    assert settled.space_group == "Pnma"
    assert settled.energy_gain_eV == pytest.approx(1.70e-3, abs=5e-5)
    assert phonon_stability(settled.atoms, calculator, (1, 1, 1)).imaginary_modes == ()
    settled.atoms.calc = calculator
    own = settled.atoms.get_potential_energy() / 8
    assert own == pytest.approx(crystal.energy_eV - settled.energy_gain_eV, abs=1e-9)
