"""Bars, points and lines of the defect figures are the numbers of the results."""

import numpy as np
import pytest

from simtools import plots
from simtools.core.results import Estimate
from simtools.defects.binding import PairState, binding_curve
from simtools.defects.formation import ReactionEnergy
from simtools.defects.reactions import Reaction
from workflows.defect_equilibrium import EquilibriumRow


def estimate(value, half=0.1):
    return Estimate(
        value=value, stderr=half / 2, ci95=(value - half, value + half), method="given", n_eff=1.0
    )


def reaction(name, text, value, n_defects):
    parsed = Reaction.parse(text, host="Li3OCl")
    return ReactionEnergy(name=name, reaction=parsed, energy_eV=estimate(value), n_defects=n_defects)


REACTIONS = (
    reaction("Li2O Schottky", "2 Li_Li + O_O -> 2 V_Li' + V_O.. + Li2O", 6.0, 3),
    reaction("LiCl Schottky", "Li_Li + Cl_Cl -> V_Li' + V_Cl. + LiCl", 2.6, 2),
    reaction("decomposition", "Li3OCl -> LiCl + Li2O", 0.4, 0),
)


def state(distance, energy, final):
    return PairState(distance_A=distance, shell=1, multiplicity=1, energy_eV=energy, final_distance_A=final)


def row(kelvin, vacancy, oxygen):
    amounts = {"V_Li'": estimate(vacancy, 0.0), "V_O..": estimate(oxygen, 0.0)}
    return EquilibriumRow(
        condition="rich",
        phase="LiCl",
        temperature_K=kelvin,
        per_formula_unit=amounts,
        formation_energies_eV={},
        carrier_ratios={},
    )


def test_bars_are_energies_per_defect_with_the_cheapest_on_top():
    ax = plots.plot_reaction_energies(REACTIONS)
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([2.0, 1.3])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Li₂O Schottky", "LiCl Schottky"]
    assert any("2.60 for 2" in text.get_text() for text in ax.texts)


def test_pairs_that_moved_are_hollow_and_no_part_of_the_line():
    states = [state(2.7, -7.6, 2.7), state(4.3, -7.6, 2.7), state(6.0, -7.1, 6.0), state(9.0, -7.0, 9.0)]
    curve = binding_curve("{Mg_Li. V_Li'}", states)
    ax = plots.plot_binding_against_distance([curve])
    line, stayed, moved = ax.lines[:3]
    assert np.array(line.get_data()) == pytest.approx(np.array([[2.7, 6.0, 9.0], [-0.6, -0.1, 0.0]]))
    assert stayed.get_xdata() == pytest.approx([2.7, 6.0, 9.0])
    assert list(moved.get_xdata()) == [4.3]
    assert moved.get_markerfacecolor() == "white"
    assert "−0.600 eV" in stayed.get_label()


def test_concentrations_fall_along_inverse_temperature_and_the_invisible_is_said():
    ax = plots.plot_concentrations([row(1000, 1e-6, 1e-60), row(500, 1e-12, 1e-90)])
    vacancy = ax.lines[0]
    assert np.array(vacancy.get_data()) == pytest.approx(np.array([[2.0, 1.0], [1e-12, 1e-6]]))
    assert ax.get_yscale() == "log"
    labels = ax.get_legend_handles_labels()[1]
    assert len(labels) == 2
    assert "below 10⁻⁴⁰" in labels[1]
