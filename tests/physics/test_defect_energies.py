"""Defect energies of the formal sets against regression values found with other code, and against each other.

Binding energies: nearest against farthest pair of a 4 x 4 x 4 cell, all ions relaxed at constant volume,
found before with an independent Ewald code (rigid ions, other cutoffs, other Ca-O, Sr-O and Ba-O terms):
-0.58 (Mg), -0.80 (Ca), -0.97 (Sr), -1.21 (Ba), -0.94 eV (F). LiCl Schottky pair by Makov-Payne: 2.62 eV.
"""

import functools

import numpy as np
import pytest

from potentials.calculator import IonicCalculator
from potentials.schema import load_force_field
from simtools.defects.binding import pair_counts, pair_of, placed_pair
from simtools.defects.candidates import defect_candidates
from simtools.defects.configurations import distinct_configurations
from simtools.defects.formation import (
    isolated_energy,
    place_in_supercell,
    relax_crystal,
    relax_defect,
)
from simtools.defects.kroger_vink import KrogerVink
from simtools.structures import build_antiperovskite, build_prototype, build_supercell
from simtools.structures.dielectric import born_charges, static_dielectric
from simtools.structures.hessian import hessian

pytestmark = pytest.mark.physics

FIELD = load_force_field("oxyhalide_doped_formal")
CHARGES = dict(FIELD.formal_charges_e)
SIZES = (4, 5, 6, 8)


def exact():
    return IonicCalculator(FIELD, coulomb="ewald")


def engine():
    return IonicCalculator(FIELD, accuracy=1e-5, net_charge="background")


@functools.cache
def crystal():
    return relax_crystal(build_antiperovskite("Li3OCl", lattice_parameter_A=3.87), exact())


@functools.cache
def dielectric():
    atoms = crystal().atoms
    return static_dielectric(atoms, hessian(atoms, exact()), born_charges(atoms, exact()), np.eye(3))


def start(label, axis=0):
    found = defect_candidates(KrogerVink.parse(label), crystal().atoms, separation_A=1.9)
    return found[axis].placed


def cell(placed, repeats):
    return relax_defect(
        crystal().atoms,
        place_in_supercell([placed], repeats),
        repeats,
        engine(),
        formal_charges_e=CHARGES,
    )


@functools.cache
def isolated(label, axis=0):
    cells = [cell(start(label, axis), n) for n in SIZES]
    return isolated_energy(
        label,
        SIZES,
        [item.cell_A for item in cells],
        [item.energy_eV for item in cells],
        charge_e=KrogerVink.parse(label).charge,
        dielectric_tensor=dielectric(),
    )


@pytest.mark.parametrize(
    ("associate", "known_eV"),
    [
        ("{Mg_Li. V_Li'}", -0.58),
        ("{Ca_Li. V_Li'}", -0.80),
        ("{Sr_Li. V_Li'}", -0.97),
        ("{Ba_Li. V_Li'}", -1.21),
        ("{F_O. V_Li'}", -0.94),
    ],
)
def test_dopants_bind_a_vacancy_as_found_before(associate, known_eV):
    supercell = build_supercell(crystal().atoms, 4)
    pairs = distinct_configurations(supercell, pair_counts(pair_of(associate)))
    near, far = (
        relax_defect(
            crystal().atoms, placed_pair(pair.defects), 4, engine(), formal_charges_e=CHARGES
        ).energy_eV
        for pair in (pairs[0], pairs[-1])
    )
    assert near - far == pytest.approx(known_eV, abs=0.015)


def test_correction_and_extrapolation_of_a_vacancy_agree_between_4_and_8():
    vacancy = isolated("V_Li'")
    corrected = vacancy.limit.corrected_eV
    assert dielectric()[0, 0] == pytest.approx(6.30, abs=0.01)
    assert np.ptp(corrected) < 0.05
    assert abs(vacancy.difference_eV) < 0.05
    assert corrected[0] == pytest.approx(vacancy.extrapolated_eV.value, abs=0.05)
    assert vacancy.energy_eV.value == pytest.approx(5.548, abs=0.005)


def test_lithium_chloride_leaves_most_cheaply_and_interstitials_are_costly():
    chloride = relax_crystal(build_prototype("rocksalt", "LiCl", lattice_parameter_A=5.17), exact())
    oxide = relax_crystal(build_prototype("antifluorite", "Li2O", lattice_parameter_A=4.66), exact())
    energies = {label: isolated(label).energy_eV.value for label in ("V_Li'", "V_Cl.", "V_O..")}
    dumbbell = isolated("(Li2)_Li.", axis=1).energy_eV.value
    schottky = energies["V_Li'"] + energies["V_Cl."] + chloride.energy_eV
    oxide_schottky = 2 * energies["V_Li'"] + energies["V_O.."] + oxide.energy_eV
    frenkel = energies["V_Li'"] + dumbbell
    assert schottky == pytest.approx(2.62, abs=0.03)
    assert schottky / 2 < frenkel / 2 < oxide_schottky / 3
    assert frenkel == pytest.approx(3.62, abs=0.02)


def test_every_dumbbell_and_interstitial_becomes_the_one_across_the_axis():
    found = [
        cell(start(label, axis), 4).energy_eV
        for label, n in (("(Li2)_Li.", 5), ("Li_i.", 2))
        for axis in range(n)
    ]
    assert np.ptp(found) < 2e-3
