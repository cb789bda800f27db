"""Potentials reproduce the phases they came from; formation energies sum to the energies of reactions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtools.core.errors import ConfigError
from simtools.defects.reactions import Reaction
from simtools.defects.reservoirs import chemical_potentials_eV, formation_energy_eV

CHARGES = {"Li": 1, "O": -2, "Cl": -1, "Mg": 2}
LABELS = ["V_Li'", "V_Cl.", "V_O..", "Li_i.", "O_Cl'", "Cl_O.", "Mg_Li.", "(Li2)_Li.", "{Mg_Li. V_Li'}"]


@given(host_eV=st.floats(-60, -20), salt_eV=st.floats(-20, -1))
def test_potentials_reproduce_the_phases_in_a_fixed_gauge(host_eV, salt_eV):
    potentials = chemical_potentials_eV({"Li3OCl": host_eV, "LiCl": salt_eV}, CHARGES)
    lithium, oxygen, chlorine = (potentials[symbol] for symbol in ("Li", "O", "Cl"))
    assert 3 * lithium + oxygen + chlorine == pytest.approx(host_eV)
    assert lithium + chlorine == pytest.approx(salt_eV)
    assert lithium - 2 * oxygen - chlorine == pytest.approx(0.0, abs=1e-9)


@given(
    energies=st.fixed_dictionaries({label: st.floats(-30, 30) for label in LABELS}),
    host_eV=st.floats(-60, -20),
    salt_eV=st.floats(-20, -1),
    dopant_eV=st.floats(-40, -1),
)
def test_formation_energies_sum_to_the_energy_of_each_neutral_reaction(energies, host_eV, salt_eV, dopant_eV):
    phases = {"Li3OCl": host_eV, "LiCl": salt_eV, "MgCl2": dopant_eV}
    potentials = chemical_potentials_eV(phases, CHARGES)
    phases["Li2O"] = host_eV - salt_eV
    for text in (
        "Li_Li + Cl_Cl -> V_Li' + V_Cl. + LiCl",
        "2 Li_Li + O_O -> 2 V_Li' + V_O.. + Li2O",
        "0 -> 3 V_Li' + V_O.. + V_Cl.",
        "O_O + Cl_Cl -> O_Cl' + Cl_O.",
        "Li2O + Cl_Cl -> O_Cl' + Li_i. + LiCl",
        "2 Li_Li -> V_Li' + (Li2)_Li.",
        "MgCl2 + 2 Li_Li -> {Mg_Li. V_Li'} + 2 LiCl",
        "Mg_Li. + V_Li' -> {Mg_Li. V_Li'}",
    ):
        reaction = Reaction.parse(text, host="Li3OCl", formal_charges_e=CHARGES)
        terms = [(-n, term) for n, term in reaction.reactants] + list(reaction.products)
        total = sum(
            float(n) * formation_energy_eV(term, energies[str(term)], potentials)
            for n, term in terms
            if str(term) in energies
        )
        assert total == pytest.approx(reaction.energy_eV(energies, phases), abs=1e-8)


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ({"Li3OCl": -40.0}, "leave 1 of the potentials of Cl, Li, O open; give 2 independent phases"),
        ({"Li3OCl": -40.0, "LiCl": -10.0, "Li2O": -29.0}, "cannot all be in equilibrium"),
        ({"LiCl2": -40.0}, "the phase LiCl2 carries -1 e"),
        ({}, "each phase needs a finite energy"),
        ({"LiCl": float("nan")}, "each phase needs a finite energy"),
    ],
)
def test_phases_that_give_no_potentials_are_refused(phases, message):
    with pytest.raises(ConfigError, match=message):
        chemical_potentials_eV(phases, CHARGES)


def test_a_phase_more_that_agrees_is_no_contradiction():
    potentials = chemical_potentials_eV({"Li3OCl": -40.0, "LiCl": -10.0, "Li2O": -30.0}, CHARGES)
    assert 2 * potentials["Li"] + potentials["O"] == pytest.approx(-30.0)


def test_missing_potential_is_named():
    potentials = chemical_potentials_eV({"LiCl": -10.0}, CHARGES)
    with pytest.raises(ConfigError, match=r"Mg_Li\. needs the chemical potential of Mg"):
        formation_energy_eV("Mg_Li.", 1.0, potentials)
