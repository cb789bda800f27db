"""Any builders on any crystal against counts, charges and distances worked out without them; impossible
requests against what their messages promise.
"""

import itertools
import random
import re
from collections import Counter

import numpy as np
import pytest
from ase.neighborlist import neighbor_list
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from simtools.core.errors import ConfigError
from simtools.core.periodic import minimum_image
from simtools.defects import (
    ChargeBalanceError,
    DefectRequest,
    HostSpeciesError,
    KrogerVink,
    PlacementError,
    build_defects,
    defect_ensemble,
    net_charge_e,
)
from simtools.defects.arrangement import DUMBBELL_SEPARATION, MINIMUM_DISTANCE_A
from simtools.defects.insertion import HYDROXIDE_BOND_A
from simtools.structures import build_prototype, build_supercell

CHARGES = {
    **dict.fromkeys(("Li", "Na", "K", "Cs", "Ag", "H"), 1),
    **dict.fromkeys(("Mg", "Ca", "Sr", "Ba"), 2),
    **dict.fromkeys(("Al", "Ga"), 3),
    **dict.fromkeys(("F", "Cl", "Br", "I"), -1),
    **dict.fromkeys(("O", "S"), -2),
}
CRYSTALS = {
    name: (build_supercell(build_prototype(prototype, name, lattice_parameter_A=a), repeats))
    for prototype, name, a, repeats in (
        ("cubic", "Li3OCl", 3.9, (3, 3, 3)),
        ("cubic", "Na3OBr", 4.6, (3, 3, 4)),
        ("cubic", "K3SI", 6.1, (3, 3, 3)),
        ("antifluorite", "Li2O", 4.6, (2, 2, 2)),
        ("antifluorite", "Na2S", 6.5, (2, 2, 2)),
        ("rocksalt", "NaCl", 5.6, (3, 3, 3)),
        ("cscl", "CsBr", 4.3, (4, 4, 4)),
    )
}
A = 3.9


def built(*requests, host="Li3OCl", seed=1, **options):
    return build_defects(CRYSTALS[host], requests, formal_charges_e=CHARGES, seed=seed, **options)


def request(kind, species=(), **options):
    return DefectRequest(kind=kind, species=species, **options)


def positions_of(atoms, sign):
    """Return positions of the negative (sign -1) or positive defects, set by set."""
    by_set = {}
    for row in atoms.info["defects"]:
        if row["effective_charge_e"] * sign > 0:
            by_set.setdefault(row["set"], []).append(row["position_A"])
    return [np.array(by_set[key]) for key in sorted(by_set)]


def partner_distances(atoms):
    """Return the distances of every positive to every negative defect of its own set."""
    offsets = [
        p - n
        for positive, negative in zip(positions_of(atoms, 1), positions_of(atoms, -1), strict=True)
        for p, n in itertools.product(positive, negative)
    ]
    return np.linalg.norm(minimum_image(np.array(offsets), atoms.cell.array), axis=1)


@st.composite
def neutral_requests(draw, host):
    """Return a request and what it does to the ions, by arithmetic of its own."""
    ions = list(dict.fromkeys(CRYSTALS[host].get_chemical_symbols()))
    cation, *anions = ions
    z = {name: CHARGES[name] for name in ions}
    n = draw(st.integers(1, 2))
    where = draw(st.sampled_from([None, "random", "separated", "nearest", 2]))
    axes = [None, "100", "110", "111"][: 3 if host in ("Li2O", "Na2S") else 4]  # there <111> hits the anion
    shape = {
        "direction": draw(st.sampled_from(axes)),
        "placement": draw(st.sampled_from(["random", "separated"])),
    }
    kinds = ["frenkel", "dopant", "schottky", "cation pair"]
    kinds += ["hydroxide", "fluoride"] if "O" in ions else ["isovalent"]
    kinds += ["antisite", "antisite", "exchange"] if len(anions) == 2 else []
    kind = draw(st.sampled_from(kinds))
    form = draw(st.sampled_from(["dumbbell", "interstitial"]))
    if kind == "frenkel":
        where = where if where != 2 else 3
        asked = request(kind, cation, count=n, compensation=form, compensation_placement=where, **shape)
        return asked, {}
    if kind == "cation pair":
        asked = request(form, cation, count=n, compensation="vacancy", compensation_placement=where, **shape)
        return asked, {}
    if kind == "dopant":
        dopant = draw(st.sampled_from(["Mg", "Ca", "Sr", "Ba", "Al", "Ga"]))
        asked = request(kind, dopant, on=cation, count=n, compensation_placement=where, **shape)
        return asked, {dopant: n, cation: -n * CHARGES[dopant]}
    if kind == "schottky":
        anion = draw(st.sampled_from(anions))
        placement = draw(st.sampled_from(["random", "associated", "separated"]))
        asked = request(kind, (*(cation,) * -z[anion], anion), count=n, placement=placement)
        return asked, {cation: n * z[anion], anion: -n}
    if kind == "hydroxide":
        asked = request("substitution", "OH", on="O", count=n, compensation_placement=where, **shape)
        return asked, {"H": n, cation: -n}
    if kind == "fluoride":
        asked = request("substitution", "F", on="O", count=n, compensation_placement=where, **shape)
        return asked, {"F": n, "O": -n, cation: -n}
    if kind == "isovalent":
        asked = request("substitution", "F" if z[anions[0]] == -1 else "O", on=anions[0], count=n, **shape)
        return asked, {asked.species[0]: n, anions[0]: -n}
    divalent, halide = sorted(anions, key=CHARGES.get)
    if kind == "exchange":
        placement = draw(st.sampled_from(["random", "associated", "separated"]))
        return request(kind, (divalent, halide), count=n, placement=placement), {}
    if draw(st.booleans()):
        asked = request(kind, halide, on=divalent, count=n, compensation_placement=where, **shape)
        return asked, {halide: n, divalent: -n, cation: -n}
    asked = request(
        kind, divalent, on=halide, count=n, compensation=form, compensation_placement=where, **shape
    )
    return asked, {divalent: n, halide: -n, cation: n}


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), host=st.sampled_from(sorted(CRYSTALS)), seed=st.integers(0, 2**32))
def test_any_builders_leave_exact_counts_zero_charge_room_and_one_cell_per_seed(data, host, seed):
    asked = data.draw(st.lists(neutral_requests(host), min_size=1, max_size=3))
    requests = [one for one, _ in asked]
    try:
        atoms = built(*requests, host=host, seed=seed)
    except PlacementError as error:
        # two vacancies of Li2O may reach every hole of a cell this small
        if "Frenkel pairs" not in str(error):
            raise
        return

    expected = Counter(CRYSTALS[host].get_chemical_symbols())
    for _, change in asked:
        expected.update(change)
    assert Counter(atoms.get_chemical_symbols()) == +expected
    assert sum(CHARGES[name] for name in atoms.get_chemical_symbols()) == 0

    rows = atoms.info["defects"]
    labels = [KrogerVink.parse(row["label"]) for row in rows]
    assert [str(label) for label in labels] == [row["label"] for row in rows]
    assert net_charge_e(labels) == atoms.info["net_charge_e"] == 0
    for row, label in zip(rows, labels, strict=True):
        assert sorted(atoms.symbols[ion] for ion in row["atom_indices"]) == sorted(label.elements)
    for number in range(len(requests)):
        assert net_charge_e(x for x, row in zip(labels, rows, strict=True) if row["request"] == number) == 0
    sites = [row["site_index"] for row in rows if row["site_index"] is not None]
    assert len(set(sites)) == len(sites)

    first, second = neighbor_list("ij", atoms, MINIMUM_DISTANCE_A - 1e-9)
    molecule = atoms.arrays.get("molecule_id", np.full(len(atoms), -1))
    assert np.all((molecule[first] == molecule[second]) & (molecule[first] >= 0))

    again = built(*requests, host=host, seed=seed)
    assert np.array_equal(again.positions, atoms.positions)
    assert again.info["defects"] == rows


def test_the_sites_of_the_first_recipes_stay_where_they_were():
    # recorded before anything but vacancies could be built: shipped recipes reproduce their runs
    crystal = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=3.9), 4)

    def sites(asked, **options):
        atoms = build_defects(crystal, [asked], formal_charges_e=CHARGES, seed=7, **options)
        return [row["site_index"] for row in atoms.info["defects"]]

    assert sites(request("vacancy", "Li", fraction=0.03), net_charge="background") == [
        182,
        215,
        282,
        292,
        195,
        246,
    ]
    assert sites(request("schottky", ("Li", "Cl"), count=3)) == [297, 264, 197, 74, 217, 244]
    assert sites(request("schottky", ("Li", "Li", "O"), count=2, placement="associated")) == [
        101,
        81,
        83,
        255,
        15,
        258,
    ]


@pytest.mark.parametrize(
    ("asked", "distance"),
    [
        # cations of X3BA have neighbours at a/sqrt(2), a, a sqrt(3/2); O has them at a/2; Cl at a/sqrt(2)
        (request("dopant", "Mg", on="Li", count=2, compensation_placement="nearest"), A / np.sqrt(2)),
        (request("dopant", "Al", on="Li", count=2, compensation_placement=1), A / np.sqrt(2)),
        (request("dopant", "Mg", on="Li", count=2, compensation_placement=2), A),
        (request("dopant", "Mg", on="Li", count=2, compensation_placement=3), A * np.sqrt(1.5)),
        (request("substitution", "F", on="O", count=2, compensation_placement="nearest"), A / 2),
        (request("substitution", "OH", on="O", count=2, compensation_placement=1), A / 2),
        (request("antisite", "O", on="Cl", count=2, compensation_placement="nearest"), A / np.sqrt(2)),
        (
            request(
                "antisite",
                "O",
                on="Cl",
                count=2,
                compensation="interstitial",
                compensation_placement="nearest",
                interstitial_site=1,  # the tetrahedra; 0 are the octahedra at the edge centres
            ),
            A * np.sqrt(3) / 4,
        ),
        (request("frenkel", "Li", count=2, compensation_placement="nearest"), A * np.sqrt(1.5)),
        (request("frenkel", "Li", count=2, compensation_placement=2), A),
        (request("exchange", ("O", "Cl"), count=2, placement="associated"), A * np.sqrt(3) / 2),
    ],
    ids=str,
)
def test_partners_stand_in_the_shell_that_was_asked_for(asked, distance):
    for seed in range(3):
        assert_allclose(partner_distances(built(asked, seed=seed)), distance, rtol=1e-9)


def test_frenkel_pairs_stay_apart_and_separated_partners_go_farther():
    for form in ("dumbbell", "interstitial"):
        pairs = request("frenkel", "Li", count=3, compensation=form)
        at_random = np.concatenate([partner_distances(built(pairs, seed=seed)) for seed in range(10)])
        # beyond the second shell of Li (a), or of the octahedra (0.866 a) around a vacancy
        assert at_random.min() > (1.0 if form == "dumbbell" else 0.867) * A + 0.01
        farthest = partner_distances(
            built(request("frenkel", "Li", count=1, compensation=form, compensation_placement="separated"))
        )
        assert farthest.min() >= at_random.max() - 1e-9


CROWD = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=A), 4)


@pytest.mark.parametrize(("form", "second_shell"), [("dumbbell", 1.0), ("interstitial", np.sqrt(3) / 2)])
@pytest.mark.parametrize(
    "others", [[], ["schottky"], ["schottky first"], ["dopant"]], ids=["alone", "before", "after", "dopant"]
)
@pytest.mark.parametrize("placement", ["random", "separated"])
def test_no_ion_of_a_frenkel_pair_is_within_reach_of_any_vacancy(form, second_shell, others, placement):
    asked = [request("frenkel", "Li", count=5, compensation=form, placement=placement)]
    if others == ["dopant"]:
        asked.append(request("dopant", "Mg", on="Li", count=3))
    elif others:
        asked.append(request("schottky", ("Li", "Cl"), count=3))
        asked = asked[::-1] if others == ["schottky first"] else asked
    for seed in range(3):
        cell = build_defects(CROWD, asked, formal_charges_e=CHARGES, seed=seed)
        rows = cell.info["defects"]
        vacancies = np.array([row["position_A"] for row in rows if row["label"] == "V_Li'"])
        added = np.array([row["position_A"] for row in rows if row["kind"] in ("dumbbell", "interstitial")])
        apart = np.linalg.norm(minimum_image(added[:, None] - vacancies, cell.cell.array), axis=-1)
        assert apart.min() > second_shell * A + 0.1


def test_a_shell_asked_for_holds_within_its_pair_alone():
    cell = built(request("frenkel", "Li", count=3, compensation_placement=1))
    vacancies, added = (np.concatenate(positions_of(cell, sign)) for sign in (-1, 1))
    apart = np.linalg.norm(minimum_image(added[:, None] - vacancies, cell.cell.array), axis=-1)
    assert_allclose(np.diag(apart), A / np.sqrt(2), rtol=1e-9)
    assert apart[~np.eye(3, dtype=bool)].min() > A + 0.1


def test_more_frenkel_pairs_than_can_be_kept_apart_are_refused_in_one_line():
    with pytest.raises(PlacementError, match=r"no arrangement of 30 .* was found in 50 attempts") as caught:
        built(request("frenkel", "Li", count=30))
    assert "\n" not in str(caught.value)
    pairs = request("frenkel", "Li", count=8)
    with pytest.raises(PlacementError, match="away from the ions of Frenkel pairs was found in 50 attempts"):
        built(pairs, request("schottky", ("Li", "Cl"), count=27))


def test_a_crowded_request_is_given_up_after_a_stated_number_of_attempts():
    crystal = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=A), 6)
    asked = request("dopant", "Mg", on="Li", count=310, compensation_placement="nearest")
    with pytest.raises(PlacementError, match=r"found in 16 attempts: at most \d+ were placed"):
        build_defects(crystal, [asked], formal_charges_e=CHARGES, seed=0)


def test_a_dumbbell_takes_the_roomiest_axis_of_its_family():
    background = {"net_charge": "background"}
    for family, angle_to_oxygen in (("100", 90.0), ("110", 90.0), ("111", np.degrees(np.arccos(3**-0.5)))):
        axes = set()
        for seed in range(6):
            atoms = built(request("dumbbell", "Li", count=3, direction=family), seed=seed, **background)
            for row in atoms.info["defects"]:
                first, second = row["atom_indices"]
                axis = atoms.get_distance(first, second, mic=True, vector=True)
                assert_allclose(np.linalg.norm(axis), DUMBBELL_SEPARATION * A / np.sqrt(2), rtol=1e-9)
                oxygen = np.eye(3)[row["site_index"] % 5]  # Li 0, 1, 2 of a cell has O along x, y, z
                cosine = abs(axis @ oxygen) / np.linalg.norm(axis)
                assert_allclose(np.degrees(np.arccos(cosine)), angle_to_oxygen, atol=1e-6)
                axes.add(tuple(np.round(np.array(row["direction"]), 6)))
        assert len(axes) == {"100": 3, "110": 6, "111": 4}[family]


def test_a_hydroxide_keeps_its_bond_and_its_topology():
    atoms = built(request("substitution", "OH", on="O", count=5))
    bonds = []
    for k in range(5):
        oxygen, hydrogen = np.flatnonzero(atoms.arrays["molecule_id"] == k)
        assert (atoms.symbols[oxygen], atoms.symbols[hydrogen]) == ("O", "H")
        bonds.append(atoms.get_distance(oxygen, hydrogen, mic=True, vector=True))
    assert_allclose(np.linalg.norm(bonds, axis=1), HYDROXIDE_BOND_A, rtol=1e-9)
    assert len(np.unique(np.round(bonds, 3), axis=0)) == 5


@pytest.mark.parametrize(
    ("formula", "labels"),
    [
        ("Li2.96OCl0.96", {"V_Li'": 4, "V_Cl.": 4}),
        ("Li2.9Mg0.05OCl", {"Mg_Li.": 5, "V_Li'": 5}),
        ("Li2.94Al0.02OCl", {"Al_Li..": 2, "V_Li'": 4}),
        ("Li2.9O0.9F0.1Cl", {"F_O.": 10, "V_Li'": 10}),
        ("Li2.9OH0.1Cl", {"(OH)_O.": 10, "V_Li'": 10}),
        ("Li3.04O1.04Cl0.96", {"O_Cl'": 4, "(Li2)_Li.": 4}),
        ("Li3OCl0.75Br0.25", {"Br_Cl": 25}),
        ("Li2.92Mg0.01OCl0.94", {"Mg_Li.": 1, "V_Li'": 7, "V_Cl.": 6}),
        ("Li2.9O0.95Cl", {"V_Li'": 10, "V_O..": 5}),
        ("Li2.8Na0.2OCl", {"Na_Li": 20}),
    ],
)
@pytest.mark.parametrize("placement", ["random", "associated"])
def test_a_formula_becomes_whole_defects(formula, labels, placement):
    crystal = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=A), (4, 5, 5))
    atoms = build_defects(
        crystal,
        [request("composition", formula=formula, placement=placement)],
        formal_charges_e=CHARGES,
        seed=2,
    )
    assert Counter(row["label"] for row in atoms.info["defects"]) == labels
    assert atoms.info["net_charge_e"] == 0


def test_sodium_with_calcium_as_in_the_issue():
    crystal = build_supercell(build_prototype("cubic", "Na3OCl", lattice_parameter_A=4.4), (2, 2, 4))
    atoms = build_defects(
        crystal,
        [request("composition", formula="Na2.75Ca0.125OCl", compensation_placement="nearest")],
        formal_charges_e=CHARGES,
        seed=0,
    )
    assert Counter(atoms.get_chemical_symbols()) == {"Na": 44, "Ca": 2, "O": 16, "Cl": 16}
    assert_allclose(partner_distances(atoms), 4.4 / np.sqrt(2), rtol=1e-9)


def test_the_cell_that_a_formula_is_said_to_need_is_the_smallest_that_holds_it():
    unit = build_prototype("cubic", "Li3OCl", lattice_parameter_A=A)
    for formula, needed in (("Li2.96OCl0.96", 25), ("Li2.875Mg0.0625OCl", 16), ("Li2.9OCl0.9", 10)):
        asked = request("composition", formula=formula)
        with pytest.raises(ConfigError, match=f"a multiple of {needed} formula units") as caught:
            build_defects(build_supercell(unit, 3), [asked], formal_charges_e=CHARGES, seed=0)
        repeats = tuple(map(int, re.search(r"is (\d+) x (\d+) x (\d+)", str(caught.value)).groups()))
        larger = build_supercell(unit, repeats)
        assert len(build_defects(larger, [asked], formal_charges_e=CHARGES, seed=0).info["defects"]) > 0
        smaller = [
            cell
            for cell in itertools.product(range(3, 9), repeat=3)
            if np.prod(cell) % needed == 0 and max(cell) <= 2 * min(cell)
        ]
        assert np.prod(repeats) == min(np.prod(cell) for cell in smaller)


def test_partners_leave_the_sites_of_dopants_that_are_still_to_come():
    crystal = build_supercell(build_prototype("rocksalt", "NaCl", lattice_parameter_A=5.6), (2, 1, 1))
    crowded = request("dopant", "Mg", on="Na", count=4, placement="separated")
    for seed in range(5):
        atoms = build_defects(crystal, [crowded], formal_charges_e=CHARGES, seed=seed)
        assert Counter(atoms.get_chemical_symbols()) == {"Mg": 4, "Cl": 8}


def test_mixed_anions_in_order():
    crystal = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=A), (4, 4, 4))
    half = request("substitution", "Br", on="Cl", count=32, placement="rocksalt")
    atoms = build_defects(crystal, [half], formal_charges_e=CHARGES, seed=0)
    bromine = crystal[[row["site_index"] for row in atoms.info["defects"]]]
    assert neighbor_list("i", bromine, A + 0.1).size == 0
    with pytest.raises(PlacementError, match="put this request first"):
        build_defects(
            crystal,
            [request("schottky", ("Li", "Cl"), count=5), half],
            formal_charges_e=CHARGES,
            seed=0,
        )


def test_an_ensemble_records_seeds_that_give_its_cells_again():
    asked = [request("dopant", "Mg", on="Li", count=2)]
    crystal = CRYSTALS["Li3OCl"]
    cells = list(defect_ensemble(crystal, asked, 5, formal_charges_e=CHARGES, seed=3))
    assert [cell.info["ensemble_index"] for cell in cells] == list(range(5))
    for cell in cells:
        alone = build_defects(crystal, asked, formal_charges_e=CHARGES, seed=cell.info["defect_seed"])
        assert alone.info["defects"] == cell.info["defects"]
    fewer = list(defect_ensemble(crystal, asked, 2, formal_charges_e=CHARGES, seed=3))
    assert [cell.info["defects"] for cell in fewer] == [cell.info["defects"] for cell in cells[:2]]
    sites = {tuple(row["site_index"] for row in cell.info["defects"]) for cell in cells}
    assert len(sites) == 5
    with pytest.raises(ConfigError, match="n = 0"):
        next(defect_ensemble(crystal, asked, 0, formal_charges_e=CHARGES, seed=3))


def impossible_requests(n):
    """Yield host, requests, and the kind of impossibility."""
    rng = random.Random(20)
    dopants = ["Mg", "Ca", "Sr", "Ba", "Al", "Ga"]
    for k in range(n):
        host = rng.choice(["Li3OCl", "Na3OBr", "K3SI"])
        cation, divalent, halide = dict.fromkeys(CRYSTALS[host].get_chemical_symbols())
        n_sites = CRYSTALS[host].get_chemical_symbols().count(halide)
        count = rng.randint(1, 5)
        dopant = rng.choice(dopants)
        alone = {"compensation": "none", "count": count}
        problem = ("charged", "mismatched", "crowded", "strange", "fractional", "unbalanced", "broken")[k % 7]
        if problem == "charged":
            lone = [
                request("dopant", dopant, on=cation, **alone),
                request("antisite", divalent, on=halide, **alone),
                request("antisite", halide, on=divalent, **alone),
                request("vacancy", rng.choice([cation, halide, divalent]), count=count),
                request("dumbbell", cation, count=count),
                request("interstitial", halide, count=count),
            ]
            asked = [rng.choice(lone), request("schottky", (cation, halide), count=1)]
        elif problem == "mismatched":
            asked = [
                rng.choice(
                    [
                        request("dopant", dopant, on=cation, count=count, compensating_species=halide),
                        request("dopant", dopant, on=cation, count=count, compensation="dumbbell"),
                        request("antisite", divalent, on=halide, count=count, compensation="vacancy"),
                    ]
                )
            ]
        elif problem == "crowded":
            asked = [request("antisite", divalent, on=halide, count=n_sites + count)]
        elif problem == "strange":
            asked = [request("dopant", dopant, on=rng.choice(["Ag", "Xe", "Cs"]), count=count)]
        elif problem == "fractional":
            share = rng.uniform(1e-5, 0.2 / n_sites)
            asked = [request("antisite", halide, on=divalent, fraction=share)]
        elif problem == "unbalanced":
            amount = 3 - rng.randint(1, 200) / 1000
            asked = [request("composition", formula=f"{cation}{amount:g}{divalent}{halide}")]
        else:
            x = rng.choice([7, 11, 13, 17, 19]) / 100
            asked = [request("composition", formula=f"{cation}{3 - x:g}{divalent}{halide}{1 - x:g}")]
        yield host, asked, problem


def test_a_thousand_impossible_requests_are_refused_with_what_would_close_them():
    for host, asked, problem in impossible_requests(1000):
        with pytest.raises(ConfigError) as caught:
            built(*asked, host=host)
        message = str(caught.value)
        assert "\n" not in message
        assert str(asked[0]) in message
        if problem == "charged":
            _check_remedies(caught.value, host, asked)
        elif problem == "mismatched":
            carried = re.search(r": (\S+) carries ([+-]\d+) e and (\S+) ([+-]\d+) e", message).groups()
            for label, charge in zip(carried[::2], carried[1::2], strict=True):
                assert KrogerVink.parse(label).charge == int(charge)
            way, species = re.search(
                r'compensation = "(\w+)" with compensating_species = "(\w+)"', message
            ).groups()
            (old,) = asked
            n = old.count * 2  # pairs of compensating charge 1 and 2
            closed = request(
                old.kind, old.species, on=old.on, count=n, compensation=way, compensating_species=species
            )
            assert built(closed, host=host).info["net_charge_e"] == 0
        elif problem == "crowded":
            n_sites = CRYSTALS[host].get_chemical_symbols().count(asked[0].on)
            assert f"{asked[0].count} {asked[0].on} sites" in message
            assert f"has {n_sites} {asked[0].on} sites" in message
        elif problem == "strange":
            assert isinstance(caught.value, HostSpeciesError)
            assert f"no species {asked[0].on!r}; available: " in message
        elif problem == "fractional":
            edge = int(re.search(r"is (\d+) x \1 x \1 \(\d+ sites\)", message)[1])
            assert asked[0].fraction * edge**3 >= 0.5 > asked[0].fraction * (edge - 1) ** 3
        elif problem == "unbalanced":
            total = float(re.search(r"= (\S+) e per formula unit", message)[1])
            cation, amount = re.match(r"([A-Z][a-z]?)([\d.]+)", asked[0].formula).groups()
            assert_allclose(total, float(amount) - 3, atol=1e-9)
            offered = message.split("to close it change one amount to ")[1].split(" or ")
            assert len(offered) == 2  # fewer anions; with 3 of the cation it is the perfect crystal
            assert not any(text.startswith(cation) for text in offered)
        else:
            assert "does not come out in whole ions" in message
            assert "a multiple of 100 formula units" in message


def _check_remedies(error, host, asked):
    assert isinstance(error, ChargeBalanceError)
    terms = re.findall(r"(\d+) x (\S+) = ([+-]\d+)", str(error))
    assert sum(int(charge) for *_, charge in terms) == error.total_e
    for n, label, charge in terms:
        assert int(n) * KrogerVink.parse(label).charge == int(charge)
    additions = re.findall(r'kind = "(\w+)", species = \["(\w+)"\], count = (\d+)', str(error))
    assert additions
    for kind, species, count in additions:
        closed = built(*asked, request(kind, species, count=int(count)), host=host)
        assert closed.info["net_charge_e"] == 0
    assert 'declare net_charge = "background"' in str(error)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"kind": "dopant", "species": "Mg", "count": 1}, "needs on"),
        ({"kind": "dopant", "species": "Mg", "on": "Mg", "count": 1}, "needs on"),
        ({"kind": "vacancy", "species": "Li", "on": "Li", "count": 1}, "on = 'Li' has no meaning"),
        ({"kind": "exchange", "species": ["O", "O"], "count": 1}, "two species that trade places"),
        ({"kind": "composition", "species": "Li", "formula": "Li2OCl"}, "takes a formula"),
        ({"kind": "composition"}, "takes a formula"),
        ({"kind": "composition", "formula": "Li2OCl", "count": 1}, "leave out count"),
        ({"kind": "vacancy", "species": "Li", "formula": "Li2OCl"}, "is for kind = 'composition'"),
        ({"kind": "dopant", "species": "Mg", "on": "Li", "count": 1, "placement": "associated"}, "nearest"),
        ({"kind": "dopant", "species": "Mg", "on": "Li", "count": 1, "placement": "sqs"}, "substitution"),
        ({"kind": "vacancy", "species": "Li", "count": 1, "compensation": "vacancy"}, "no meaning for kind"),
        ({"kind": "frenkel", "species": "Li", "count": 1, "compensation": "none"}, "interstitial, dumbbell"),
        (
            {"kind": "vacancy", "species": "Li", "count": 1, "compensating_species": "Cl"},
            "compensating_species = 'Cl' has no meaning",
        ),
        (
            {"kind": "dopant", "species": "Mg", "on": "Li", "count": 1, "compensation_placement": 0},
            "number of a shell",
        ),
        (
            {"kind": "schottky", "species": ["Li", "Cl"], "count": 1, "compensation_placement": 1},
            "has no meaning without compensation",
        ),
        ({"kind": "dumbbell", "species": "Li", "count": 1, "direction": "210"}, "100, 110, 111"),
        ({"kind": "dumbbell", "species": "Li", "count": 1, "separation_A": 0}, "above 0"),
        ({"kind": "interstitial", "species": "Li", "count": 1, "interstitial_site": -1}, "from 0"),
        ({"kind": "vacancy", "species": "Li", "count": 1, "direction": "110"}, "'110' has no meaning"),
        ({"kind": "schottky", "species": ["Li", "Cl"], "count": 1, "separation_A": 2.0}, "has no meaning"),
        ({"kind": "exchange", "species": ["O", "Cl"], "count": 1, "interstitial_site": 1}, "has no meaning"),
        ({"kind": "dopant", "species": "V", "on": "Li", "count": 1}, "V is a vacancy, never vanadium"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(table, words):
    with pytest.raises(ConfigError, match=words):
        DefectRequest(**table)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (request("dopant", "Li", on="Cl", count=1), "kind = 'antisite'"),
        (request("dopant", "Zn", on="Li", count=1), "no formal charge is given for Zn"),
        *(
            (request("substitution", "F", on="Cl", count=1, **keys), f"F_Cl is neutral and needs no.*{words}")
            for keys, words in (
                ({"compensation": "vacancy"}, "leave out compensation = 'vacancy'"),
                ({"compensation": "none"}, "leave out compensation = 'none'"),
                ({"compensating_species": "Li"}, "leave out compensating_species = 'Li'"),
                ({"compensation_placement": "nearest"}, "leave out compensation_placement = 'nearest'"),
            )
        ),
        (request("dumbbell", "Li", count=1, compensation_placement=1), "nothing compensates by default"),
        (
            request("antisite", "O", on="Cl", count=3, compensation="vacancy", compensating_species="O"),
            "ask for a multiple of 2",
        ),
        (request("dopant", "Mg", on="Li", count=1, compensation_placement=40), "no shell 40"),
        (
            request("interstitial", "Li", count=1, compensation="vacancy", interstitial_site=9),
            "has 2 distinct",
        ),
        (request("composition", formula="Li3OCl"), "is the perfect crystal"),
        (request("composition", formula="Li2O0.5Cl"), "Li2O0.5Cl.*13.5 O"),
        (
            request("composition", formula=f"Li{80 / 27:.12g}O{26 / 27:.12g}Cl{26 / 27:.12g}F{1 / 27:.12g}"),
            "not neutral",
        ),
        (request("dumbbell", "Li", count=60, compensation="vacancy"), "120 Li sites for defects"),
        (
            request("dumbbell", "Li", count=2, separation_A=0.9, compensation="vacancy"),
            "0.9 Å apart, below the minimum of 1.2 Å; give a larger separation_A",
        ),
        (
            request("dumbbell", "Li", count=2, separation_A=3.0, compensation="vacancy"),
            "do not share a site: the nearest Li sites are 2.76 Å apart",
        ),
        (request("frenkel", "O", count=1), "give another direction or separation_A"),
        (request("interstitial", "OH", count=1, compensation="dumbbell"), "an interstitial is one ion"),
        (request("interstitial", "Ag", fraction=0.1), "counts Ag sites, of which the crystal has none"),
        (request("composition", formula="Li1.5O0.5Cl0.5"), "50% of the anion sites.*crystal, Li3OCl"),
    ],
    ids=str,
)
def test_what_the_crystal_cannot_hold_is_refused(asked, words):
    with pytest.raises(ConfigError, match=words):
        built(asked)


@pytest.mark.parametrize("remedy", [{"direction": "110"}, {"separation_A": 1.3}])
def test_what_a_tight_dumbbell_is_offered_gives_it_room(remedy):
    cell = built(request("frenkel", "O", count=1, **remedy))
    assert Counter(row["label"] for row in cell.info["defects"]) == {"V_O..": 1, "(O2)_O''": 1}


def test_interstitials_keep_away_from_dumbbells():
    asked = [
        request("dumbbell", "Li", count=30),
        request("interstitial", "Li", count=30),
    ]
    for seed in range(3):
        cell = built(*asked, seed=seed, net_charge="background")
        assert neighbor_list("d", cell, 3.0).min() >= MINIMUM_DISTANCE_A


def test_equal_charges_of_two_compensate_one_for_one():
    asked = request("dopant", "Al", on="Li", count=3, compensation="interstitial", compensating_species="O")
    labels = Counter(row["label"] for row in built(asked).info["defects"])
    assert labels == {"Al_Li..": 3, "O_i''": 3}


def test_associated_sets_stay_nearest_when_the_crystal_is_crowded():
    for seed in range(6):
        cell = built(request("schottky", ("Li", "Li", "O"), count=27, placement="associated"), seed=seed)
        positions = np.array([row["position_A"] for row in cell.info["defects"]]).reshape(27, 3, 3)
        offsets = minimum_image(positions[:, :2] - positions[:, 2:], cell.cell.array)
        assert_allclose(np.linalg.norm(offsets, axis=2), A / 2, atol=1e-6)


def test_an_associated_formula_puts_vacancies_beside_their_dopants():
    crystal = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=A), (4, 5, 3))
    for placement, all_nearest in (("associated", True), ("random", False)):
        asked = request("composition", formula="Li2.9Mg0.05OCl", placement=placement)
        cells = defect_ensemble(crystal, [asked], 4, formal_charges_e=CHARGES, seed=1)
        positions = np.array([[row["position_A"] for row in cell.info["defects"]] for cell in cells])
        offsets = minimum_image(positions[:, ::2] - positions[:, 1::2], crystal.cell.array)
        nearest = np.isclose(np.linalg.norm(offsets, axis=2), A / np.sqrt(2))
        assert nearest.all() == all_nearest


def test_a_formula_without_dopants_has_nothing_to_put_beside_them():
    crystal = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=A), (5, 5, 1))
    asked = request("composition", formula="Li2.96OCl0.96", compensation_placement="nearest")
    with pytest.raises(ConfigError, match="use placement = 'associated'"):
        build_defects(crystal, [asked], formal_charges_e=CHARGES, seed=0)


def test_vanadium_of_a_formula_is_refused_rather_than_built_as_a_vacancy():
    asked = request("composition", formula="Na0.5V0.5Cl")
    with pytest.raises(ConfigError, match="never vanadium"):
        build_defects(CRYSTALS["NaCl"], [asked], formal_charges_e={**CHARGES, "V": 1}, seed=0)


@pytest.mark.parametrize("charge", [None, float("nan"), "1", 0.5])
def test_a_formal_charge_that_is_no_whole_number_is_refused(charge):
    with pytest.raises(ConfigError, match="formal charge of Li must be an integer"):
        build_defects(
            CRYSTALS["Li3OCl"],
            [request("vacancy", "Li", count=1)],
            formal_charges_e={**CHARGES, "Li": charge},
            seed=0,
        )


@pytest.mark.parametrize(
    "formula",
    ["Li2.9375Al0.03125OCl", "Li2.9375O0.953125Cl", "Li3.0625O0.9375F0.0625Cl", "Mg2OCl", "Li3"],
)
def test_what_is_offered_to_close_a_formula_closes_it(formula):
    crystal = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=A), 4)

    def attempt(text):
        asked = request("composition", formula=text)
        return build_defects(crystal, [asked], formal_charges_e=CHARGES, seed=0)

    with pytest.raises(ConfigError, match="not neutral") as caught:
        attempt(formula)
    offered = str(caught.value).split("to close it ")[1]
    if offered == "change several amounts":
        return
    for amount in offered.removeprefix("change one amount to ").split(" or "):
        symbol, number = re.fullmatch(r"([A-Z][a-z]?)([\d.]+)", amount).groups()
        changed = re.sub(rf"{symbol}(?![a-z])[\d.]*", symbol + number, formula)
        assert attempt(changed).info["net_charge_e"] == 0


def test_amounts_of_a_mixed_crystal_are_those_of_its_formula_unit():
    crystal = CRYSTALS["Li3OCl"].copy()
    crystal.symbols[np.flatnonzero(crystal.symbols == "Cl")[:9]] = "Br"

    def attempt(formula):
        asked = request("composition", formula=formula)
        return build_defects(crystal, [asked], formal_charges_e=CHARGES, seed=0)

    with pytest.raises(ConfigError, match=r"68% of the anion sites .* of the crystal, Li9O3BrCl2"):
        attempt("Li2.9OBr0.3Cl0.6")
    assert attempt("Li8O3BrCl").info["net_charge_e"] == 0


def test_equally_abundant_cations_leave_a_choice_to_dopants_and_formulas_alike():
    crystal = CROWD.copy()
    crystal.symbols[np.flatnonzero(crystal.symbols == "Li")[::2]] = "Na"  # Li3Na3O2Cl2
    dopant = {"kind": "substitution", "species": "F", "on": "O", "count": 4}
    formula = {"kind": "composition", "formula": "Li2.875Na3O1.875F0.125Cl2"}
    for keys in (dopant, formula):
        with pytest.raises(ConfigError, match=r"2 most abundant cations \(Na, Li\); say which compensates"):
            build_defects(crystal, [DefectRequest(**keys)], formal_charges_e=CHARGES, seed=0)
        asked = DefectRequest(**keys, compensating_species="Li")
        cell = build_defects(crystal, [asked], formal_charges_e=CHARGES, seed=0)
        assert Counter(row["label"] for row in cell.info["defects"]) == {"F_O.": 4, "V_Li'": 4}
    asked = DefectRequest(**formula, compensating_species="Cl")
    with pytest.raises(ConfigError, match="must be a cation of the host"):
        build_defects(crystal, [asked], formal_charges_e=CHARGES, seed=0)
    asked = request("composition", formula="Li3Na3O2Cl1.9375Br0.0625")
    cell = build_defects(crystal, [asked], formal_charges_e=CHARGES, seed=0)
    assert [row["label"] for row in cell.info["defects"]] == ["Br_Cl"] * 2


def test_a_choice_of_site_is_left_to_the_user():
    crystal = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=A), (4, 5, 1))
    formula = "Li2.9O0.95F0.05Cl0.95"

    def labels(**options):
        asked = request("composition", formula=formula, **options)
        atoms = build_defects(crystal, [asked], formal_charges_e=CHARGES, seed=0)
        return Counter(row["label"] for row in atoms.info["defects"])

    with pytest.raises(ConfigError, match="F could take sites of O or of Cl; say which by on = 'O'"):
        labels()
    assert labels(on="O") == {"F_O.": 1, "V_Li'": 2, "V_Cl.": 1}
    assert labels(on="Cl") == {"F_Cl": 1, "V_Li'": 2, "V_O..": 1}
