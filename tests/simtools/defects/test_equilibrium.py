"""Concentrations against mass action at any strength, the least free energy, and the limits of textbooks."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.defects.equilibrium import DefectSpecies, equilibrium_concentrations

ENERGIES_EV = st.floats(0.3, 2.5)
TEMPERATURES_K = st.floats(100.0, 1500.0)


def species(label, energy_eV, multiplicity):
    return DefectSpecies(
        label=label, formation_energy_eV=energy_eV, multiplicity_per_formula_unit=multiplicity
    )


def weight(energy_eV, temperature_K):
    return math.exp(-energy_eV / (BOLTZMANN_EV_PER_K * temperature_K))


@given(pair_eV=st.floats(0.5, 5.0), gauge_eV=st.floats(-20, 20), temperature_K=TEMPERATURES_K)
def test_schottky_pair_obeys_the_lattice_gas_at_any_concentration(pair_eV, gauge_eV, temperature_K):
    cation, anion = species("V_Li'", pair_eV - gauge_eV, 3), species("V_Cl.", gauge_eV, 1)
    result = equilibrium_concentrations([cation, anion], host="Li3OCl", temperature_K=temperature_K)
    n_cation, n_anion = result.per_formula_unit
    assert n_cation == pytest.approx(n_anion, rel=1e-9)
    law = n_cation / (3 - n_cation) * n_anion / (1 - n_anion)
    assert law == pytest.approx(weight(pair_eV, temperature_K), rel=1e-8)
    assert result.regular_fraction["Li"] == pytest.approx(1 - n_cation / 3, abs=1e-12)
    assert result.regular_fraction["O"] == 1.0


def test_dilute_schottky_pair_is_a_square_root_even_at_100_K():
    defects = [species("V_Li'", 3.0, 3), species("V_Cl.", 2.0, 1)]
    result = equilibrium_concentrations(defects, host="Li3OCl", temperature_K=100.0)
    expected = 0.5 * math.log(3) - 2.5 / (BOLTZMANN_EV_PER_K * 100.0)
    np.testing.assert_allclose(result.ln_per_formula_unit, expected, atol=1e-9)
    assert expected < -289, "a concentration of 1e-126, whose square no float can hold to this accuracy"


@given(frenkel_eV=st.floats(0.8, 5.0), temperature_K=TEMPERATURES_K)
def test_dilute_frenkel_pair(frenkel_eV, temperature_K):
    defects = [species("V_Li'", 1.7, 3), species("Li_i.", frenkel_eV - 1.7, 6)]
    result = equilibrium_concentrations(defects, host="Li3OCl", temperature_K=temperature_K)
    vacancy, interstitial = result.per_formula_unit
    law = vacancy / (3 - vacancy) * interstitial / (6 - interstitial)
    assert law == pytest.approx(weight(frenkel_eV, temperature_K), rel=1e-8)
    assert result.ratio("V_Li'", "Li_i.") == pytest.approx(1.0, rel=1e-9)


def test_activation_energy_of_intrinsic_vacancies_is_half_that_of_the_pair():
    defects = [species("V_Li'", 1.1, 3), species("V_Cl.", 1.3, 1)]
    temperatures_K = np.linspace(200, 800, 25)
    ln_c = [
        equilibrium_concentrations(defects, host="Li3OCl", temperature_K=T).ln_per_formula_unit[0]
        for T in temperatures_K
    ]
    slope_eV = -np.polyfit(1 / (BOLTZMANN_EV_PER_K * temperatures_K), ln_c, 1)[0]
    assert slope_eV == pytest.approx(1.2, rel=1e-6)


@given(
    pair_eV=st.floats(0.5, 5.0),
    dopant=st.floats(1e-8, 1e-3),
    dopant_eV=st.floats(-5, 5),
    temperature_K=TEMPERATURES_K,
)
def test_doping_from_intrinsic_to_extrinsic(pair_eV, dopant, dopant_eV, temperature_K):
    defects = [
        species("V_Li'", pair_eV - 1.0, 3),
        species("V_Cl.", 1.0, 1),
        species("Mg_Li.", dopant_eV, 3),
    ]
    result = equilibrium_concentrations(
        defects, host="Li3OCl", temperature_K=temperature_K, fixed_per_formula_unit={"Mg": dopant}
    )
    vacancy, anion_vacancy, free = result.per_formula_unit
    assert free == pytest.approx(dopant, rel=1e-9)
    assert vacancy == pytest.approx(anion_vacancy + dopant, rel=1e-9)
    product = vacancy / (3 - vacancy - dopant) * anion_vacancy / (1 - anion_vacancy)
    assert product == pytest.approx(weight(pair_eV, temperature_K), rel=1e-8)


@given(
    binding_eV=st.floats(-1.2, 0.3),
    dopant=st.floats(1e-6, 0.1),
    dopant_eV=st.floats(-5, 5),
    temperature_K=st.floats(200, 1500),
)
def test_association_obeys_mass_action(binding_eV, dopant, dopant_eV, temperature_K):
    defects = [
        species("V_Li'", 0.9, 3),
        species("Mg_Li.", dopant_eV, 3),
        species("{Mg_Li. V_Li'}", 0.9 + dopant_eV + binding_eV, 12),
    ]
    result = equilibrium_concentrations(
        defects, host="Li3OCl", temperature_K=temperature_K, fixed_per_formula_unit={"Mg": dopant}
    )
    vacancy, free, bound = result.per_formula_unit
    assert vacancy == pytest.approx(free, rel=1e-8)
    assert free + bound == pytest.approx(dopant, rel=1e-9)
    law = 12 / 9 * weight(binding_eV, temperature_K)
    assert bound / (vacancy * free) == pytest.approx(law, rel=1e-7)
    degree = 4 * law * dopant / (1 + math.sqrt(1 + 4 * law * dopant)) ** 2
    assert result.bound_fraction("V_Li'") == pytest.approx(degree, rel=1e-6)
    assert result.bound_fraction("Mg_Li.") == pytest.approx(degree, rel=1e-6)
    assert result.regular_fraction["Li"] == pytest.approx(1 - (vacancy + free + 2 * bound) / 3, abs=1e-10)


def test_neither_the_gauge_nor_the_energy_of_a_fixed_dopant_changes_anything():
    def solved(gauge_eV, dopant_eV):
        energies = {
            "V_Li'": 0.7,
            "V_Cl.": 0.9,
            "Li_i.": 1.2,
            "Mg_Li.": dopant_eV,
            "{Mg_Li. V_Li'}": 0.2 + dopant_eV,
        }
        charges = {"V_Li'": -1, "{Mg_Li. V_Li'}": 0}
        defects = [
            species(label, energy + gauge_eV * charges.get(label, 1), 3) for label, energy in energies.items()
        ]
        return equilibrium_concentrations(
            defects, host="Li3OCl", temperature_K=700.0, fixed_per_formula_unit={"Mg": 0.03}
        )

    reference, moved = solved(0.0, 0.0), solved(7.5, -3.0)
    np.testing.assert_allclose(moved.ln_per_formula_unit, reference.ln_per_formula_unit, atol=1e-9)
    assert moved.potential_eV == pytest.approx(reference.potential_eV - 7.5)
    assert moved.fugacity_eV["Mg"] == pytest.approx(reference.fugacity_eV["Mg"] - 3.0)


@given(
    energies_eV=st.lists(st.floats(0.05, 0.6), min_size=4, max_size=4),
    temperature_K=st.floats(600, 2000),
    steps=st.lists(st.floats(-1, 1), min_size=3, max_size=3),
    size=st.sampled_from([1e-3, 1e-2, 0.1]),
)
def test_no_other_neutral_composition_has_less_free_energy(energies_eV, temperature_K, steps, size):
    """The free energy here counts arrangements: the logarithm of the multinomial of each kind of site."""
    labels, sites, numbers = ["V_Li'", "V_Cl.", "V_O..", "O_Cl'"], [0, 1, 2, 1], np.array([3.0, 1.0, 1.0])
    kT_eV = BOLTZMANN_EV_PER_K * temperature_K
    defects = [
        species(label, energy, numbers[site])
        for label, energy, site in zip(labels, energies_eV, sites, strict=True)
    ]
    result = equilibrium_concentrations(defects, host="Li3OCl", temperature_K=temperature_K)

    def free_energy_kT(c):
        used = np.bincount(sites, weights=c)
        regular = numbers - used
        arrangements = (numbers * np.log(numbers)).sum() - (regular * np.log(regular)).sum() - c @ np.log(c)
        return c @ energies_eV / kT_eV - arrangements

    least = result.per_formula_unit
    other = least * np.exp(size * np.array([0.0, *steps]))
    other[0] = other[1] + 2 * other[2] - other[3]
    assume((other > 0).all() and (np.bincount(sites, weights=other) < numbers).all())
    assert free_energy_kT(other) >= free_energy_kT(least) - 1e-14


@given(
    energies_eV=st.lists(st.floats(-1.0, 4.0), min_size=6, max_size=6),
    dopant=st.floats(1e-9, 0.9),
    temperature_K=st.floats(50.0, 2500.0),
)
def test_the_conditions_hold_whatever_the_energies(energies_eV, dopant, temperature_K):
    labels = ["V_Li'", "V_Cl.", "V_O..", "(Li2)_Li.", "Mg_Li.", "{Mg_Li. V_Li'}"]
    energies_eV[5] = energies_eV[0] + energies_eV[4] - 0.3
    defects = [species(*row) for row in zip(labels, energies_eV, [3, 1, 1, 9, 3, 12], strict=True)]
    result = equilibrium_concentrations(
        defects, host="Li3OCl", temperature_K=temperature_K, fixed_per_formula_unit={"Mg": dopant}
    )
    c = result.per_formula_unit
    charges = np.array([defect.label.charge for defect in defects])
    assert abs(charges @ c) < 1e-9 * (np.abs(charges) @ c)
    assert c[4] + c[5] == pytest.approx(dopant, rel=1e-9)
    occupied = (c[0] + c[3] + c[4] + 2 * c[5]) / 3
    assert result.regular_fraction["Li"] + occupied == pytest.approx(1.0, abs=1e-9)


def test_frozen_loss_of_salt_sets_the_vacancies():
    defects = [species("V_Li'", 1.0, 3), species("V_Cl.", 1.0, 1), species("Li_i.", 1.5, 6)]
    result = equilibrium_concentrations(
        defects, host="Li3OCl", temperature_K=600.0, fixed_per_formula_unit={"V_Cl.": 0.06}
    )
    assert result.concentration("V_Li'") == pytest.approx(0.06, rel=1e-6)
    assert result.ratio("V_Li'", "Li_i.") == pytest.approx(
        0.06**2 / (6 * 3 * 0.98 * weight(2.5, 600.0)), rel=1e-6
    )


def test_high_energies_of_both_signs_are_no_obstacle():
    defects = [species("V_Li'", 60.0, 3), species("Mg_Li.", 60.0, 3)]
    result = equilibrium_concentrations(
        defects, host="Li3OCl", temperature_K=200.0, fixed_per_formula_unit={"Mg": 1e-4}
    )
    assert result.concentration("V_Li'") == pytest.approx(1e-4, rel=1e-9)


def test_configurations_of_one_label_are_counted_together():
    pair = [species("V_Li'", 1.0, 3), species("V_Cl.", 1.0, 1)]
    halves = [species("V_Li'", 1.0, 1), species("V_Li'", 1.0, 2), species("V_Cl.", 1.0, 1)]
    whole = equilibrium_concentrations(pair, host="Li3OCl", temperature_K=900.0)
    parts = equilibrium_concentrations(halves, host="Li3OCl", temperature_K=900.0)
    assert parts.concentration("V_Li'") == pytest.approx(whole.concentration("V_Li'"), rel=1e-12)
    assert parts.bound_fraction("V_Li'") == 0.0


def test_neutral_defects_need_no_compensation():
    result = equilibrium_concentrations([species("Na_Li", 0.4, 3)], host="Li3OCl", temperature_K=1000.0)
    x = weight(0.4, 1000.0)
    assert result.concentration("Na_Li") == pytest.approx(3 * x / (1 + x), rel=1e-12)
    assert result.potential_eV == 0.0


@pytest.mark.parametrize(
    ("defects", "fixed", "message"),
    [
        ([], {}, "DefectSpecies, one at least"),
        ([("V_Li'", 1.0, 3)], {}, "no defect has a positive charge"),
        ([("V_Br.", 1.0, 1)], {}, "Li3OCl has no Br site"),
        ([("Mg_Li.", 1.0, 3), ("V_Li'", 1.0, 3)], {"Ca": 0.1}, "Ca is fixed, but no defect holds it"),
        ([("Mg_Li.", 1.0, 3), ("V_Li'", 1.0, 3)], {"Mg": 4.0}, "4 Mg per formula unit do not fit on 3 sites"),
        ([("Mg_Li.", 1.0, 3), ("V_Li'", 1.0, 3)], {"Mg": 2.0}, "no potential makes the crystal neutral"),
        ([("V_Li'", 1.0, 3), ("V_Cl.", 1.0, 1)], {"Li": 0.1}, "Li is an element of the host"),
        ([("V_Li'", 1.0, 3), ("V_Cl.", 1.0, 1)], {"V_Cl.": -0.1}, "must be a positive number"),
    ],
)
def test_what_cannot_be_is_refused(defects, fixed, message):
    with pytest.raises(ConfigError, match=message):
        equilibrium_concentrations(
            [species(*row) for row in defects],
            host="Li3OCl",
            temperature_K=500.0,
            fixed_per_formula_unit=fixed,
        )


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, "3"])
def test_numbers_out_of_range_are_refused(value):
    with pytest.raises(ConfigError, match="multiplicity_per_formula_unit of V_Li' must be a positive number"):
        species("V_Li'", 1.0, value)
    with pytest.raises(ConfigError, match="temperature_K must be a positive number"):
        equilibrium_concentrations([species("Na_Li", 1.0, 1)], host="LiCl", temperature_K=value)


def test_unknown_labels_are_refused_by_name():
    result = equilibrium_concentrations([species("Na_Li", 1.0, 1)], host="LiCl", temperature_K=500.0)
    with pytest.raises(ConfigError, match=r"no concentration is known of Li_i\.; given: Na_Li"):
        result.concentration("Li_i.")
    with pytest.raises(ConfigError, match="on its own site"):
        species("Li_Li", 1.0, 1)
