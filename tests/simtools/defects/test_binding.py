"""Pairs followed through a relaxation, and binding curves, against cells made by hand."""

import math

import numpy as np
import pytest

from simtools.core.errors import ConfigError
from simtools.defects.binding import (
    PairState,
    binding_curve,
    pair_counts,
    pair_distance_A,
    pair_of,
    placed_pair,
    sites_changed,
)
from simtools.defects.configurations import distinct_configurations
from simtools.defects.insertion import PlacedDefect, insert_defects
from simtools.defects.kroger_vink import KrogerVink
from simtools.structures import build_antiperovskite, build_supercell

CHARGES = {"Li": 1, "O": -2, "Cl": -1, "Mg": 2}
PAIR = pair_of("{Mg_Li. V_Li'}")
A = 4.0


def crystal():
    return build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=A), 3)


def doped(sites):
    defects = [("Mg_Li.", sites[0]), ("V_Li'", sites[1])]
    return insert_defects(crystal(), placed_pair(defects), formal_charges_e=CHARGES)


def lithium(n):
    return np.flatnonzero(np.array(crystal().get_chemical_symbols()) == "Li")[n]


def state(distance, energy, *, final=None, shell=1):
    return PairState(
        distance_A=distance,
        shell=shell,
        multiplicity=1,
        energy_eV=energy,
        final_distance_A=distance if final is None else final,
    )


def test_what_was_put_in_is_found_again_after_a_rattle():
    first, second = int(lithium(0)), int(lithium(20))
    atoms = doped((first, second))
    atoms.rattle(0.1, seed=3)
    found = dict((site, str(label)) for label, site in sites_changed(atoms))
    assert found == {first: "Mg_Li.", second: "V_Li'"}
    expected = crystal().get_distance(first, second, mic=True)
    assert pair_distance_A(sites_changed(atoms), PAIR, crystal()) == pytest.approx(expected)


def test_hop_of_a_neighbour_into_the_vacancy_is_noticed():
    perfect = crystal()
    first, second = int(lithium(0)), int(lithium(20))
    atoms = doped((first, second))
    others = [i for i, symbol in enumerate(perfect.get_chemical_symbols()) if symbol == "Li"]
    near = min(
        (i for i in others if i not in (first, second)),
        key=lambda i: perfect.get_distance(i, second, mic=True),
    )
    atoms.positions[near - (near > second)] = perfect.positions[second]
    assert {site for label, site in sites_changed(atoms) if label.is_vacancy} == {near}
    moved = pair_distance_A(sites_changed(atoms), PAIR, perfect)
    assert moved == pytest.approx(perfect.get_distance(first, near, mic=True))


def test_two_ions_on_one_site_are_a_dumbbell_and_no_pair():
    label = KrogerVink.parse("(Li2)_Li.")
    placed = PlacedDefect(label=label, site_index=int(lithium(4)), direction=(1, 0, 0), separation_A=1.8)
    atoms = insert_defects(crystal(), [placed], formal_charges_e=CHARGES, net_charge="background")
    assert sites_changed(atoms) == ((label, int(lithium(4))),)
    assert pair_distance_A(sites_changed(atoms), PAIR, crystal()) is None


def test_perfect_cell_has_nothing_changed():
    atoms = doped((int(lithium(0)), int(lithium(20))))
    perfect = crystal()
    perfect.info.update({name: atoms.info[name] for name in ("lattice_sites", "formal_charges_e")})
    perfect.translate([0.3, 0.0, 0.0])
    assert sites_changed(perfect) == ()


def test_distances_of_pairs_are_those_of_the_sublattice():
    configurations = distinct_configurations(crystal(), pair_counts(PAIR))
    assert configurations[0].distances_A[0] == pytest.approx(A / math.sqrt(2))
    assert sum(item.multiplicity for item in configurations) == 81 * 80


def test_curve_refers_to_the_farthest_pair_that_stayed():
    states = [
        state(8.0, -6.9, final=2.8),
        state(2.8, -7.6),
        state(4.0, -7.2, shell=2),
        state(6.9, -7.05, shell=3),
    ]
    curve = binding_curve("{Mg_Li. V_Li'}", states, isolated_energy_eV=-6.8)
    assert curve.far_distance_A == 6.9
    assert curve.nearest.distance_A == 2.8
    assert curve.relative_to_far_eV(curve.nearest) == pytest.approx(-0.55)
    assert curve.relative_to_isolated_eV(curve.nearest) == pytest.approx(-0.8)
    assert [item.distance_A for item in curve.states] == [2.8, 4.0, 6.9, 8.0]
    assert [item.moved for item in curve.states] == [False, False, False, True]


def test_nearest_is_the_lowest_of_a_shell_that_tilts_have_split():
    curve = binding_curve("{Mg_Li. V_Li'}", [state(3.10, -1.0), state(3.14, -1.2), state(6.0, -0.5)])
    assert curve.nearest.energy_eV == -1.2
    assert math.isnan(curve.relative_to_isolated_eV(curve.nearest))


def test_nothing_that_stays_is_refused():
    with pytest.raises(ConfigError, match="no pair stayed"):
        binding_curve("{Mg_Li. V_Li'}", [state(4.0, -7.0, final=2.8)])


@pytest.mark.parametrize("associate", ["{Mg_Li. V_Li' V_Li'}", "{Mg_Li. Li_i.}", "{(Li2)_Li. V_Li'}"])
def test_only_pairs_of_defects_on_sites_have_a_distance(associate):
    with pytest.raises(ConfigError):
        pair_of(associate)
