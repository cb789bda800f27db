"""Defect energies against sums known beforehand: cut bonds of a Lennard-Jones crystal, exact image terms,
reactions added by hand."""

import numpy as np
import pytest
from ase.calculators.lj import LennardJones

from simtools.core.errors import ConfigError
from simtools.core.results import Estimate
from simtools.core.units import EV_PER_A3_TO_GPA
from simtools.defects.charge_correction import isolated_correction_eV
from simtools.defects.formation import (
    isolated_energy,
    place_in_supercell,
    reaction_energy,
    relax_crystal,
    relax_defect,
)
from simtools.defects.insertion import PlacedDefect
from simtools.defects.kroger_vink import KrogerVink
from simtools.defects.reactions import Reaction
from simtools.structures import build_antiperovskite, build_prototype

NEUTRAL = {"Ar": 0}
CHARGES = {"Li": 1, "O": -2, "Cl": -1}


def argon():
    calculator = LennardJones(sigma=3.4, epsilon=0.0104, rc=7.8, smooth=True)
    return relax_crystal(build_prototype("fcc", "Ar", lattice_parameter_A=5.2), calculator), calculator


def placed(label, site=0):
    return PlacedDefect(label=KrogerVink.parse(label), site_index=site)


def sure(value, stderr=0.0):
    return Estimate(
        value=value, stderr=stderr, ci95=(value - 2 * stderr, value + 2 * stderr), method="given", n_eff=5.0
    )


def test_crystal_comes_to_rest_at_the_pressure_asked_for():
    crystal, calculator = argon()
    again = crystal.atoms.copy()
    again.calc = calculator
    assert np.abs(again.get_stress()).max() < 1e-5
    assert crystal.formula_units == 4
    assert crystal.energy_eV == pytest.approx(again.get_potential_energy() / 4, abs=1e-9)


def test_vacancy_costs_the_bonds_of_one_atom_less_some_relaxation():
    crystal, calculator = argon()
    cell = relax_defect(
        crystal.atoms, [placed("V_Ar")], 3, calculator, formal_charges_e=NEUTRAL, max_force_eV_per_A=1e-4
    )
    cut = -2 * crystal.energy_eV
    assert 0.97 * cut < cell.energy_eV < cut
    assert len(cell.atoms) == 4 * 27 - 1
    assert cell.atoms.info["defects"][0]["label"] == "V_Ar"
    assert cell.repeats == (3, 3, 3)


def test_constant_pressure_lets_the_cell_shrink_around_a_vacancy():
    crystal, calculator = argon()
    options = {"formal_charges_e": NEUTRAL, "max_force_eV_per_A": 1e-4}
    fixed = relax_defect(crystal.atoms, [placed("V_Ar")], 3, calculator, **options)
    free = relax_defect(crystal.atoms, [placed("V_Ar")], 3, calculator, pressure_GPa=0.0, **options)
    assert np.linalg.det(free.cell_A) < np.linalg.det(fixed.cell_A)
    assert free.energy_eV < fixed.energy_eV


def test_under_pressure_a_phase_counts_with_its_enthalpy():
    _, calculator = argon()
    low, high = (
        relax_crystal(build_prototype("fcc", "Ar", lattice_parameter_A=5.2), calculator, pressure_GPa=p)
        for p in (0.95, 1.05)
    )
    volume_A3 = (low.atoms.get_volume() + high.atoms.get_volume()) / 8
    gain = high.enthalpy_eV(1.05) - low.enthalpy_eV(0.95)
    assert gain == pytest.approx(0.1 / EV_PER_A3_TO_GPA * volume_A3, rel=1e-3)


def test_charged_cell_has_no_pressure():
    crystal = build_antiperovskite("Li3OCl", lattice_parameter_A=3.9)
    with pytest.raises(ConfigError, match="charged cell has no pressure"):
        relax_defect(crystal, [placed("V_Li'")], 2, None, formal_charges_e=CHARGES, pressure_GPa=0.0)


def test_interstitial_keeps_its_place_in_the_first_cell():
    label = KrogerVink.parse("Ar_i")
    start = PlacedDefect(label=label, site_index=None, scaled_position=(0.5, 0.5, 0.25))
    (moved,) = place_in_supercell([start], 4)
    assert moved.scaled_position == (0.125, 0.125, 0.0625)
    assert place_in_supercell([placed("V_Ar", 2)], 4)[0].site_index == 2


def cubes(edges):
    return [np.eye(3) * edge for edge in edges]


def test_both_ways_find_the_limit_of_exact_image_terms():
    cells = cubes([12.0, 16.0, 20.0, 24.0])
    tensor = np.diag([6.0, 6.0, 6.0])
    energies = [5.5 - isolated_correction_eV(-1, cell, tensor) + 40 / np.linalg.det(cell) for cell in cells]
    found = isolated_energy(
        "V_Li'", [6, 4, 3, 5], [cells[k] for k in (3, 1, 0, 2)], [energies[k] for k in (3, 1, 0, 2)],
        charge_e=-1, dielectric_tensor=tensor,
    )  # fmt: skip
    assert found.repeats == (3, 4, 5, 6)
    assert found.corrected_eV.value == pytest.approx(5.5, abs=1e-9)
    assert found.extrapolated_eV.value == pytest.approx(5.5, abs=1e-9)
    assert found.difference_eV == pytest.approx(0, abs=1e-9)


def test_wrong_dielectric_constant_shows_as_a_difference_that_the_interval_covers():
    cells = cubes([12.0, 16.0, 20.0, 24.0])
    energies = [5.5 - isolated_correction_eV(-1, cell, 6.0) for cell in cells]
    found = isolated_energy("V_Li'", [3, 4, 5, 6], cells, energies, charge_e=-1, dielectric_tensor=4.0)
    assert found.extrapolated_eV.value == pytest.approx(5.5, abs=1e-9)
    assert found.corrected_eV.value != pytest.approx(5.5, abs=0.01)
    low, high = found.energy_eV.ci95
    assert low <= 5.5 + 1e-9
    assert high >= 5.5 - 1e-9


def test_neutral_cells_are_extrapolated_in_their_volume():
    cells = cubes([10.0, 15.0, 20.0])
    energies = [2.0 + 30 / np.linalg.det(cell) for cell in cells]
    found = isolated_energy("Br_Cl", [2, 3, 4], cells, energies, charge_e=0, dielectric_tensor=None)
    assert found.energy_eV.value == pytest.approx(2.0, abs=1e-9)
    assert found.limit is None
    with pytest.raises(ConfigError, match="three sizes"):
        isolated_energy("Br_Cl", [2, 3], cells[:2], energies[:2], charge_e=0, dielectric_tensor=None)


def test_schottky_energy_is_products_less_reactants():
    reaction = Reaction.parse("Li_Li + Cl_Cl -> V_Li' + V_Cl. + LiCl", host="Li3OCl")
    found = reaction_energy(
        "LiCl Schottky", reaction, {"V_Li'": sure(5.5, 0.03), "V_Cl.": sure(5.6, 0.04)}, {"LiCl": -8.5}
    )
    assert found.energy_eV.value == pytest.approx(2.6)
    assert found.energy_eV.stderr == pytest.approx(0.07)
    assert found.energy_eV.ci95 == pytest.approx((2.46, 2.74))
    assert found.n_defects == 2
    assert found.per_defect_eV.value == pytest.approx(1.3)


def test_coefficients_weigh_the_errors_and_count_the_defects():
    reaction = Reaction.parse("3 Li_Li + O_O + Cl_Cl -> 3 V_Li' + V_O.. + V_Cl. + Li3OCl", host="Li3OCl")
    energies = {"V_Li'": sure(5.0, 0.01), "V_Cl.": sure(6.0), "V_O..": sure(25.0, 0.04)}
    found = reaction_energy("full", reaction, energies, {"Li3OCl": -39.0})
    assert found.energy_eV.value == pytest.approx(15 + 6 + 25 - 39)
    assert found.energy_eV.stderr == pytest.approx(3 * 0.01 + 0.04)
    assert found.n_defects == 5


def test_reaction_of_phases_makes_no_defect():
    reaction = Reaction.parse("Li3OCl -> LiCl + Li2O", host="Li3OCl")
    found = reaction_energy("decomposition", reaction, {}, {"Li3OCl": -39.0, "LiCl": -8.5, "Li2O": -30.0})
    assert found.energy_eV.value == pytest.approx(0.5)
    assert found.per_defect_eV is None
