import io
import json
import pickle
from collections import Counter

import ase.io
import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.core.periodic import minimum_image
from simtools.defects import (
    ChargeBalanceError,
    DefectRequest,
    KrogerVink,
    PlacementError,
    build_defects,
    net_charge_e,
)
from simtools.structures import build_antiperovskite, build_prototype, build_supercell

CHARGES = {"Li": 1, "O": -2, "Cl": -1}
A = 3.9


def perfect(repeats=(3, 3, 3)):
    return build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=A), repeats)


def built(*requests, repeats=(3, 3, 3), seed=1, **options):
    return build_defects(perfect(repeats), requests, formal_charges_e=CHARGES, seed=seed, **options)


def vacancies(count=None, species="Li", **options):
    return DefectRequest(kind="vacancy", species=[species], count=count, **options)


def schottky(count=None, species=("Li", "Cl"), **options):
    return DefectRequest(kind="schottky", species=species, count=count, **options)


def distances_between(atoms, first, second):
    position = {d["site_index"]: np.array(d["position_A"]) for d in atoms.info["defects"]}
    return np.linalg.norm(minimum_image(position[first] - position[second], atoms.cell.array))


def pairs(atoms):
    sites = [d["site_index"] for d in atoms.info["defects"]]
    return [distances_between(atoms, a, b) for k, a in enumerate(sites) for b in sites[:k]]


requests = st.one_of(
    st.builds(schottky, st.integers(1, 3), placement=st.sampled_from(["random", "associated", "separated"])),
    st.builds(
        schottky,
        st.integers(1, 2),
        species=st.just(("Li", "Li", "O")),
        placement=st.sampled_from(["random", "associated", "separated"]),
    ),
)


@settings(max_examples=60)
@given(asked=st.lists(requests, min_size=1, max_size=2), seed=st.integers(0, 2**32))
def test_any_schottky_sets_leave_exact_counts_zero_charge_and_one_cell_per_seed(asked, seed):
    atoms = built(*asked, seed=seed)
    host = Counter(perfect().get_chemical_symbols())
    gone = Counter(name for request in asked for name in request.species * request.count)
    assert Counter(atoms.get_chemical_symbols()) == host - gone
    labels = [KrogerVink.parse(d["label"]) for d in atoms.info["defects"]]
    assert net_charge_e(labels) == atoms.info["net_charge_e"] == 0
    assert sum(CHARGES[name] for name in atoms.get_chemical_symbols()) == 0
    sites = [d["site_index"] for d in atoms.info["defects"]]
    assert len(set(sites)) == sum(gone.values())
    again = built(*asked, seed=seed)
    assert np.array_equal(again.positions, atoms.positions)
    assert again.info["defects"] == atoms.info["defects"]


@settings(max_examples=40)
@given(
    count=st.integers(1, 4),
    separation=st.floats(0, 5.0),
    placement=st.sampled_from(["random", "separated"]),
    seed=st.integers(0, 10**6),
)
def test_minimum_separation_holds_or_is_refused(count, separation, placement, seed):
    request = vacancies(count, minimum_separation_A=separation, placement=placement)
    atoms = built(request, seed=seed, net_charge="background")
    assert min(pairs(atoms), default=np.inf) >= separation


def test_minimum_separation_reaches_across_requests_but_spares_partners():
    atoms = built(
        schottky(2, placement="associated", minimum_separation_A=5.0),
        vacancies(2, minimum_separation_A=5.0),
        net_charge="background",
        repeats=(4, 4, 4),
    )
    defects = atoms.info["defects"]
    for k, one in enumerate(defects):
        for other in defects[:k]:
            gap = distances_between(atoms, one["site_index"], other["site_index"])
            if one["set"] == other["set"]:
                assert_allclose(gap, A / np.sqrt(2), rtol=1e-9)
            else:
                assert gap >= 5.0


@pytest.mark.parametrize(
    ("species", "nearest"),
    [(("Li", "Cl"), A / np.sqrt(2)), (("Li", "Li", "O"), A / 2), (("Cl", "Li"), A / np.sqrt(2))],
)
def test_associated_partners_sit_at_the_nearest_distance(species, nearest):
    atoms = built(schottky(3, species=species, placement="associated"))
    by_set = {}
    for defect in atoms.info["defects"]:
        by_set.setdefault(defect["set"], []).append(defect)
    for members in by_set.values():
        (anion,) = [d["site_index"] for d in members if d["site_species"] != "Li"]
        for cation in [d["site_index"] for d in members if d["site_species"] == "Li"]:
            assert_allclose(distances_between(atoms, cation, anion), nearest, rtol=1e-9)


def test_a_separated_pair_is_as_far_apart_as_the_cell_allows():
    atoms = built(schottky(1, placement="separated"), repeats=(4, 4, 4))
    # Cl at the corner, Li at (2, 1.5, 1.5) a
    assert_allclose(pairs(atoms), [A * np.sqrt(2**2 + 2 * 1.5**2)], rtol=1e-9)


def test_separated_vacancies_spread_out_better_than_random_ones():
    spread = built(vacancies(4, placement="separated"), net_charge="background", repeats=(4, 4, 4))
    loose = [
        min(pairs(built(vacancies(4), net_charge="background", repeats=(4, 4, 4), seed=seed)))
        for seed in range(20)
    ]
    assert min(pairs(spread)) >= max(loose)


def test_fraction_counts_sites_of_the_first_named_species():
    li_sites = 3 * 64
    atoms = built(vacancies(fraction=0.03), net_charge="background", repeats=(4, 4, 4))
    assert len(atoms.info["defects"]) == round(0.03 * li_sites) == 6
    pair = built(schottky(fraction=0.03), repeats=(4, 4, 4))
    assert Counter(d["site_species"] for d in pair.info["defects"]) == {"Li": 6, "Cl": 6}
    triple = built(schottky(fraction=0.03, species=("Li", "Li", "O")), repeats=(4, 4, 4))
    assert Counter(d["site_species"] for d in triple.info["defects"]) == {"Li": 6, "O": 3}


def test_fraction_that_rounds_to_nothing_names_the_cell_it_needs():
    with pytest.raises(ConfigError, match=r"rounds to no vacancy.* 6 x 6 x 6 \(648 sites\)"):
        built(vacancies(fraction=0.001), net_charge="background")
    assert (
        len(built(vacancies(fraction=0.001), net_charge="background", repeats=(6, 6, 6)).info["defects"]) == 1
    )


def test_net_charge_is_refused_with_the_balance_and_what_would_close_it():
    with pytest.raises(ChargeBalanceError) as caught:
        built(vacancies(4), vacancies(1, species="O"))
    message = str(caught.value)
    assert "net charge of -2 e (4 x V_Li' = -4, 1 x V_O.. = +2)" in message
    assert 'species = ["O"], count = 1' in message
    assert 'species = ["Cl"], count = 2' in message
    assert 'net_charge = "background"' in message
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


def test_the_remedy_that_the_message_offers_closes_the_charge():
    assert built(vacancies(4), vacancies(4, species="Cl")).info["net_charge_e"] == 0


def test_declared_background_keeps_the_charge_and_says_so():
    atoms = built(vacancies(4), net_charge="background")
    assert atoms.info["net_charge_e"] == -4
    with pytest.raises(ConfigError, match='must be "background"'):
        built(vacancies(4), net_charge="ignore")


def test_a_charged_host_is_blamed_on_its_formal_charges():
    with pytest.raises(ConfigError, match="perfect crystal carries"):
        build_defects(perfect(), [], formal_charges_e={"Li": 1, "O": -1, "Cl": -1}, seed=0)


def test_a_schottky_set_that_is_not_neutral_is_refused_with_one_that_is():
    with pytest.raises(ConfigError, match=r"V_Li' \+ V_O.. = \+1 e.*\['Li', 'Li', 'O'\] or \['Li', 'Cl'\]"):
        built(schottky(1, species=("Li", "O")), net_charge="background")


def test_more_vacancies_than_sites_gives_both_numbers():
    with pytest.raises(ConfigError, match=r"82 Li vacancies.*81 Li sites"):
        built(vacancies(40), vacancies(42), net_charge="background")


def test_what_does_not_fit_says_how_much_did():
    with pytest.raises(PlacementError, match=r"at most [1-9] were placed"):
        built(vacancies(20, minimum_separation_A=6.0), net_charge="background")


def test_unknown_species_lists_the_known():
    with pytest.raises(UnknownSpeciesError, match="available: Li, O, Cl"):
        built(vacancies(1, species="Na"))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"kind": "vacancie", "species": ["Li"], "count": 1}, "kind = 'vacancie'.*vacancy, schottky"),
        ({"kind": "vacancy", "species": ["Li"], "count": 1, "placement": "near"}, "placement = 'near'"),
        ({"kind": "vacancy", "species": ["Li", "Cl"], "count": 1}, "takes one species"),
        ({"kind": "schottky", "species": ["Li"], "count": 1}, "takes the ions of one set"),
        ({"kind": "vacancy", "species": ["Li"], "count": 1, "placement": "associated"}, "needs a partner"),
        ({"kind": "vacancy", "species": ["Li"]}, "either count or fraction"),
        ({"kind": "vacancy", "species": ["Li"], "count": 1, "fraction": 0.1}, "either count or fraction"),
        ({"kind": "vacancy", "species": ["Li"], "count": 0}, "positive integer"),
        ({"kind": "vacancy", "species": ["Li"], "count": 1.5}, "positive integer"),
        ({"kind": "vacancy", "species": ["Li"], "count": True}, "positive integer"),
        ({"kind": "vacancy", "species": ["Li"], "fraction": 0.0}, r"in \(0, 1\]"),
        ({"kind": "vacancy", "species": ["Li"], "fraction": 1.2}, r"in \(0, 1\]"),
        ({"kind": "vacancy", "species": ["Li"], "fraction": float("nan")}, r"in \(0, 1\]"),
        ({"kind": "vacancy", "species": ["Li"], "fraction": "1%"}, r"in \(0, 1\]"),
        ({"kind": "vacancy", "species": [], "count": 1}, "species must be symbols"),
        ({"kind": "vacancy", "species": 3, "count": 1}, "species must be symbols"),
        (
            {"kind": "vacancy", "species": ["Li"], "count": 1, "minimum_separation_A": -1},
            "minimum_separation_A",
        ),
    ],
)
def test_impossible_requests_name_the_key_the_value_and_what_is_expected(table, words):
    with pytest.raises(ConfigError, match=words):
        DefectRequest(**table)


@pytest.mark.parametrize("requests", [vacancies(1), None, 3, "Li"])
def test_requests_come_as_a_list(requests):
    with pytest.raises(ConfigError, match=r"list of DefectRequest, got|expected a DefectRequest, got"):
        build_defects(perfect(), requests, formal_charges_e=CHARGES, seed=0)


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1"])
def test_seed_must_be_a_whole_number(seed):
    with pytest.raises(ConfigError, match="seed must be an integer"):
        built(schottky(1), seed=seed)


def test_defects_are_not_put_in_twice_nor_into_a_slab():
    atoms = built(schottky(1))
    with pytest.raises(ConfigError, match="already holds defects"):
        build_defects(atoms, [schottky(1)], formal_charges_e=CHARGES, seed=0)
    slab = perfect()
    slab.pbc = (True, True, False)
    with pytest.raises(ConfigError, match="periodic in three directions"):
        build_defects(slab, [schottky(1)], formal_charges_e=CHARGES, seed=0)


def test_removing_everything_is_refused():
    atoms = build_prototype("fcc", "Ar", lattice_parameter_A=5.3)
    with pytest.raises(ConfigError, match="remove every ion"):
        build_defects(atoms, [vacancies(4, species="Ar")], formal_charges_e={"Ar": 0}, seed=0)


def test_the_perfect_crystal_is_left_alone_and_its_sites_remembered():
    crystal = perfect()
    atoms = build_defects(crystal, [schottky(2)], formal_charges_e=CHARGES, seed=3)
    assert len(crystal) == 135
    assert "defects" not in crystal.info
    sites = atoms.info["lattice_sites"]
    assert sites["species"] == crystal.get_chemical_symbols()
    assert_allclose(np.array(sites["scaled_positions"]) @ crystal.cell.array, crystal.positions, atol=1e-12)
    for defect in atoms.info["defects"]:
        assert sites["species"][defect["site_index"]] == defect["site_species"]
        assert_allclose(crystal.positions[defect["site_index"]], defect["position_A"], atol=1e-12)


def test_defects_survive_json_and_extended_xyz():
    atoms = built(schottky(2, placement="associated"))
    assert json.loads(json.dumps(atoms.info["defects"])) == atoms.info["defects"]
    text = io.StringIO()
    ase.io.write(text, atoms, format="extxyz")
    text.seek(0)
    back = ase.io.read(text, format="extxyz")
    assert back.info["defects"] == atoms.info["defects"]
    assert back.info["lattice_sites"] == atoms.info["lattice_sites"]
    assert back.arrays["site"].tolist() == atoms.arrays["site"].tolist()


def test_neutral_atoms_have_neutral_vacancies():
    atoms = build_supercell(build_prototype("fcc", "Ar", lattice_parameter_A=5.3), 2)
    holey = build_defects(atoms, [vacancies(3, species="Ar")], formal_charges_e={"Ar": 0}, seed=0)
    assert [d["label"] for d in holey.info["defects"]] == ["V_Ar"] * 3
    assert len(holey) == 29


def test_placement_in_a_skewed_cell_uses_true_distances():
    cubic = build_antiperovskite("Li3OCl", lattice_parameter_A=A)
    base = build_supercell(cubic, (4, 4, 4))
    skewed = Atoms(
        base.get_chemical_symbols(),
        positions=base.positions,
        cell=np.array([[1, 0, 0], [2, 1, 0], [-1, 3, 1]]) @ base.cell.array,
        pbc=True,
    )
    atoms = build_defects(skewed, [schottky(3, placement="associated")], formal_charges_e=CHARGES, seed=2)
    for k in range(3):
        first, second = [d["site_index"] for d in atoms.info["defects"] if d["set"] == k]
        assert_allclose(distances_between(atoms, first, second), A / np.sqrt(2), rtol=1e-9)
