"""Crystals with molecular anions: whole numbers of ions, closed charges, molecules turned as asked."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from potentials.schema import load_force_field
from potentials.templates import list_templates, load_template
from potentials.topology import find_topology
from simtools.core.errors import ConfigError
from simtools.defects import DefectRequest, build_defects
from simtools.structures import (
    ORIENTATIONS,
    FormulaError,
    build_antiperovskite,
    build_molecular_crystal,
    build_supercell,
    has_molecules,
    parse_molecular_formula,
)

SHAPES = {m.name: m for m in (load_template(name).molecule for name in list_templates())}
CRYSTALS = [
    # force field, formula, prototype, a (Å), repeats, atoms of each element, vacant sites
    ("li2ohcl_catlow_oh", "Li2OHCl", "cubic", 3.93, 2, {"Li": 16, "O": 8, "H": 8, "Cl": 8}, 8),
    ("li2ohcl_catlow_oh", "Li2.5OH0.5Cl", "cubic", 3.9, 2, {"Li": 20, "O": 8, "H": 4, "Cl": 8}, 4),
    ("li2ohcl_catlow_oh", "LiOH", "lioh", 3.55, 3, {"Li": 54, "O": 54, "H": 54}, 0),
    ("na3obh4_esp", "Na3OBH4", "cubic", 4.6, 2, {"Na": 24, "O": 8, "B": 8, "H": 32}, 0),
    ("na3obh4_esp", "Na3O(BH4)0.5Cl0.5", "cubic", 4.6, 2, {"Na": 24, "O": 8, "B": 4, "H": 16, "Cl": 4}, 0),
    ("na3obh4_esp", "NaBH4", "rocksalt", 6.15, 1, {"Na": 4, "B": 4, "H": 16}, 0),
    ("na3no3_esp", "Na3NO3", "cubic", 4.6, 2, {"Na": 24, "O": 24, "N": 8}, 0),
]


def built(case, **options):
    name, formula, prototype, a, n, _, _ = case
    field = load_force_field(name)
    options = {"prototype": prototype, "lattice_parameter_A": a, "supercell": [n] * 3} | options
    return field, build_molecular_crystal(formula, field.molecules.values(), **options)


@pytest.mark.parametrize("case", CRYSTALS, ids=lambda case: case[1])
@pytest.mark.parametrize("orientations", ORIENTATIONS)
def test_ions_come_out_whole_and_neutral_and_molecules_are_found(case, orientations):
    field, atoms = built(case, orientations=orientations, seed=3)
    symbols = atoms.get_chemical_symbols()
    assert {symbol: symbols.count(symbol) for symbol in set(symbols)} == case[5]
    assert len(atoms.info["vacant_sites"]["species"]) == case[6]
    assert sum(field.element_formal_charges_e[symbol] for symbol in symbols) == 0
    topology = find_topology(field, atoms)  # also checks the array molecule_id
    assert len(topology.members_m) == len(set(atoms.arrays["molecule_id"])) - 1
    if "Cl" in symbols or case[2] == "cubic":
        assert set(atoms.arrays["site"]) == {"X", "B", "A"}


@pytest.mark.parametrize("case", CRYSTALS, ids=lambda case: case[1])
def test_seed_settles_everything(case):
    one, two, three = (built(case, seed=seed)[1] for seed in (7, 7, 8))
    assert np.array_equal(one.positions, two.positions)
    assert not np.array_equal(one.positions, three.positions)


def test_random_orientations_point_nowhere_on_average():
    field = load_force_field("na3obh4_esp")
    atoms = build_molecular_crystal(
        "Na3OBH4",
        field.molecules.values(),
        lattice_parameter_A=4.6,
        supercell=8,
        orientations="random",
        seed=1,
    )
    members = np.array(find_topology(field, atoms).members_m)
    bonds = atoms.positions[members[:, 1]] - atoms.positions[members[:, 0]]
    unit = bonds / np.linalg.norm(bonds, axis=1)[:, None]
    assert_allclose(unit.mean(axis=0), 0.0, atol=4 / np.sqrt(3 * len(unit)))
    # second moments of an isotropic unit vector: a third each, with the spread 4/45 of u_z^2
    assert_allclose(unit.T @ unit / len(unit), np.eye(3) / 3, atol=4 * np.sqrt(4 / 45 / len(unit)))


def test_ordered_molecules_are_all_alike():
    _, atoms = built(CRYSTALS[3], orientations="ordered")
    body = atoms.positions[atoms.arrays["molecule_id"] == 0]
    for k in range(1, 8):
        other = atoms.positions[atoms.arrays["molecule_id"] == k]
        assert_allclose(other - other[0], body - body[0], atol=1e-12)


def test_hydroxide_turns_its_hydrogen_to_a_vacancy_when_best_packed():
    _, atoms = built(CRYSTALS[0], orientations="best-packed", seed=2)
    empty = np.array(atoms.info["vacant_sites"]["scaled_positions"]) @ atoms.cell.array
    lithium = atoms.positions[atoms.numbers == 3]

    def nearest(points, others):
        gap = points[:, None, :] - others[None]
        scaled = gap @ np.linalg.inv(atoms.cell.array)
        return np.linalg.norm((scaled - np.round(scaled)) @ atoms.cell.array, axis=-1).min(axis=1)

    hydrogen, oxygen = (atoms.positions[atoms.numbers == z] for z in (1, 8))
    beside_vacancy = nearest(oxygen, empty) < 2.0
    assert beside_vacancy.sum() >= 4
    closer = nearest(hydrogen, empty)[beside_vacancy] < nearest(hydrogen, lithium)[beside_vacancy]
    assert closer.mean() > 0.7


@pytest.mark.parametrize("case", CRYSTALS, ids=lambda case: case[1])
def test_centres_of_mass_sit_on_the_sites(case):
    field, atoms = built(case, seed=5)
    masses = atoms.get_masses()
    for members in find_topology(field, atoms).members_m:
        members = list(members)
        place = masses[members] @ atoms.positions[members] / masses[members].sum()
        halves = place / case[3] * 2
        check = halves[:2] if case[2] == "lioh" else halves
        assert_allclose(check, np.round(check), atol=1e-9)


def test_defects_are_put_into_molecular_hosts_and_molecules_stay():
    field, atoms = built(CRYSTALS[3], seed=4)
    requests = [DefectRequest(kind="vacancy", species=["Na"], count=1)]
    charges = field.element_formal_charges_e
    cell = build_defects(atoms, requests, formal_charges_e=charges, net_charge="background", seed=1)
    topology = find_topology(field, cell)
    assert len(topology.members_m) == 8
    assert cell.info["net_charge_e"] == -1


def test_hydroxide_put_in_by_the_defect_builder_is_a_molecule_of_the_force_field():
    field = load_force_field("li2ohcl_catlow_oh")
    host = build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=3.9), 3)
    request = DefectRequest(kind="substitution", species=["OH"], on="O", count=3)
    cell = build_defects(host, [request], formal_charges_e=field.element_formal_charges_e, seed=2)
    topology = find_topology(field, cell)
    assert topology.kind_m == ("OH",) * 3
    assert sorted(set(cell.arrays["molecule_id"])) == [-1, 0, 1, 2]
    assert topology.labels(field).count("O") == 24


@pytest.mark.parametrize(
    ("formula", "anions"),
    [
        ("Li2OHCl", {"Cl": 1, "OH": 1}),
        ("Li2.8OH0.2Cl", {"O": 0.8, "Cl": 1, "OH": 0.2}),
        ("Na3OBH4", {"O": 1, "BH4": 1}),
        ("Na3NO3", {"O": 1, "NO2": 1}),
        ("Na3ONO2", {"O": 1, "NO2": 1}),
        ("Na3OCN", {"O": 1, "CN": 1}),
        ("Na3OBF4", {"O": 1, "BF4": 1}),
        ("Na3OAlH4", {"O": 1, "AlH4": 1}),
        ("Na3ONH2", {"O": 1, "NH2": 1}),
        ("Li3O(BCl4)0.25Cl0.75", {"O": 1, "Cl": 0.75, "BCl4": 0.25}),
        ("Li2(OH)Cl", {"Cl": 1, "OH": 1}),
    ],
)
def test_formulas_are_read(formula, anions):
    found = parse_molecular_formula(formula, SHAPES)
    assert found.anions.keys() == anions.keys()
    assert all(found.anions[name] == pytest.approx(n) for name, n in anions.items())
    assert has_molecules(formula, SHAPES)


@pytest.mark.parametrize("formula", ["Li3OCl", "Na3OBr", "Li2O", "Ar", ""])
def test_formulas_without_molecules_are_left_to_others(formula):
    assert not has_molecules(formula, SHAPES)


@pytest.mark.parametrize(
    ("formula", "prototype", "words"),
    [
        ("Li3OHCl", "cubic", "formal charges do not close: .* carry [+]1 e"),
        ("Li2O(XY)Cl", "cubic", "the molecule .XY. is not known; known: "),
        ("Li2.9OH0.1Cl", "cubic", "2.9 Li make 23.2 in 24 X sites; expected a whole number"),
        ("Na2(OH)(BH4)", "rocksalt", "2 cations for the 1 X site of prototype 'rocksalt'"),
        ("LiNa2OBH4", "cubic", "found 2 cation species"),
        ("Mg1O(BH4)", "cubic", "Mg has no place beside molecular anions"),
    ],
)
def test_formulas_that_do_not_fit_say_why(formula, prototype, words):
    with pytest.raises(FormulaError, match=words):
        build_molecular_crystal(
            formula, SHAPES.values(), prototype=prototype, lattice_parameter_A=4.0, supercell=2
        )


def test_unknown_options_are_refused():
    for options, words in (
        ({"orientations": "up"}, "orientations = 'up' must be one of random, ordered, best-packed"),
        ({"prototype": "fcc"}, "prototype 'fcc' holds no molecular anions; expected one of: cubic"),
        ({"lattice_parameter_A": -1.0}, "lattice_parameter_A must be a positive number"),
    ):
        options = {"lattice_parameter_A": 4.0} | options
        with pytest.raises(ConfigError, match=words):
            build_molecular_crystal("Na3OBH4", SHAPES.values(), **options)


@pytest.mark.parametrize("name", list_templates())
def test_templates_have_the_shape_they_are_known_for(name):
    template = load_template(name)
    molecule = template.molecule
    assert molecule.is_rigid
    total = sum(template.charges_e[species] for species in molecule.species)
    assert total == pytest.approx(molecule.formal_charge_e, abs=1e-9)
    assert {row.confidence for row in template.parameters if row.group in ("charge", "geometry")} == {"C"}
    lengths = {round(float(np.linalg.norm(molecule.geometry_A[i] - molecule.geometry_A[j])), 6)
               for i, j in molecule.bonded_pairs}  # fmt: skip
    assert len(lengths) == 1
    if molecule.n_atoms == 5:
        ligands = molecule.geometry_A[1:] - molecule.geometry_A[0]
        apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(ligands, 2)]
        assert_allclose(apart, np.sqrt(8 / 3) * lengths.pop(), atol=1e-5)


def test_a_template_is_refused_for_a_run_in_one_line():
    words = "'bf4' is a template .* the pair terms of its atoms .* are missing"
    with pytest.raises(ConfigError, match=words) as said:
        load_force_field("bf4")
    assert "\n" not in str(said.value)
    with pytest.raises(ConfigError, match="no template 'bf3'; did you mean 'bf4'"):
        load_template("bf3")
