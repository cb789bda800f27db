"""Ions matched between ends whose hops are known: one ion, three ions in concert, across the boundary."""

import numpy as np
import pytest
from ase import Atoms

from simtools.defects.insertion import PlacedDefect, insert_defects
from simtools.defects.kroger_vink import KrogerVink
from simtools.md.matching import MatchError, match_ions, moving_ions, nearest_sites
from simtools.structures import build_antiperovskite, build_supercell

CHARGES = {"Li": 1, "O": -2, "Cl": -1}
A = 3.9
CRYSTAL = build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=A), 3)


def site_at(*position):
    offsets = CRYSTAL.positions / A - np.array(position)
    return int(np.argmin(np.linalg.norm(offsets - 3 * np.round(offsets / 3), axis=1)))


def defect_at(label, position, **options):
    placed = PlacedDefect(label=KrogerVink.parse(label), site_index=site_at(*position), **options)
    return insert_defects(CRYSTAL, [placed], formal_charges_e=CHARGES, net_charge="background")


def dumbbell_at(position, axis):
    return defect_at("(Li2)_Li.", position, direction=axis, separation_A=A / 2)


def test_vacancy_hop_moves_one_ion():
    initial, final = defect_at("V_Li'", (1, 1.5, 1.5)), defect_at("V_Li'", (1.5, 1, 1.5))
    matched = match_ions(initial, final)
    (ion,) = moving_ions([initial, matched])
    assert ion["displacement_A"] == pytest.approx(A / np.sqrt(2))
    assert (ion["from_site"], ion["to_site"]) == (site_at(1.5, 1, 1.5), site_at(1, 1.5, 1.5))
    assert ion["species"] == "Li"


def test_interstitialcy_moves_three_ions_without_an_index_map():
    initial, final = dumbbell_at((1, 1.5, 1.5), (0, 1, 0)), dumbbell_at((1.5, 2, 1.5), (1, 0, 0))
    ions = moving_ions([initial, match_ions(initial, final)])
    assert [ion["displacement_A"] for ion in ions] == pytest.approx([A / np.sqrt(8), A / 4, A / 4])
    shared = {site_at(1, 1.5, 1.5), site_at(1.5, 2, 1.5)}
    assert {ion["from_site"] for ion in ions} == {ion["to_site"] for ion in ions} == shared


def test_order_and_wrapping_of_the_final_end_do_not_matter():
    initial, final = defect_at("V_Li'", (0, 0.5, 0.5)), defect_at("V_Li'", (0.5, 3, 0.5))
    expected = match_ions(initial, final)
    rng = np.random.default_rng(3)
    shuffled = final[rng.permutation(len(final))]
    shuffled.positions += 3 * A * rng.integers(-2, 3, (len(final), 3))
    again = match_ions(initial, shuffled)
    assert again.positions == pytest.approx(expected.positions, abs=1e-9)
    assert np.array_equal(again.numbers, initial.numbers)
    assert np.linalg.norm(again.positions - initial.positions, axis=1).max() == pytest.approx(A / np.sqrt(2))


def test_excursion_on_the_way_is_seen():
    start = Atoms("Li2", positions=[[0, 0, 0], [3, 0, 0]])
    middle, end = start.copy(), start.copy()
    middle.positions[1, 1] = 0.8
    end.positions[0, 0] = 1.0
    rows = moving_ions([start, middle, end])
    assert [(row["index"], row["displacement_A"], row["max_displacement_A"]) for row in rows] == [
        (0, 1.0, 1.0),
        (1, 0.0, 0.8),
    ]
    assert rows[1]["path_length_A"] == pytest.approx(1.6)
    assert rows[0]["from_site"] is None


def test_sites_of_interstitials_count():
    placed = PlacedDefect(
        label=KrogerVink.parse("Li_i."), site_index=None, scaled_position=(1 / 12, 1 / 12, 1 / 12)
    )
    atoms = insert_defects(CRYSTAL, [placed], formal_charges_e=CHARGES, net_charge="background")
    assert nearest_sites(atoms).tolist() == list(range(len(CRYSTAL) + 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda atoms: atoms.set_cell(atoms.cell * 1.01), "different cells"),
        (lambda atoms: atoms.symbols.__setitem__(0, "Na"), "same ions"),
    ],
)
def test_ends_that_are_no_hop_are_refused(change, message):
    initial = defect_at("V_Li'", (1, 1.5, 1.5))
    final = initial.copy()
    change(final)
    with pytest.raises(MatchError, match=message):
        match_ions(initial, final)


def test_hop_longer_than_expected_is_refused():
    initial, final = defect_at("V_Li'", (1, 1.5, 1.5)), defect_at("V_Li'", (1.5, 1, 1.5))
    with pytest.raises(MatchError, match=r"Li \d+ would move 2.76 Å .* not one hop apart"):
        match_ions(initial, final, longest_hop_A=2.5)
