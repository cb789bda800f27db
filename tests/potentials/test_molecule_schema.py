"""[[molecule]] tables that cannot be meant are refused: the message names file, place and value."""

import tomllib

import numpy as np
import pytest
from numpy.testing import assert_allclose

from potentials.bonded import KINDS
from potentials.describe import describe
from potentials.kernels import bonded as kernels
from potentials.molecules import HarmonicAngle, HarmonicBond, spanning_order
from potentials.schema import ForceFieldError, list_force_fields, load_force_field, parse_force_field

HYDROXIDE = "li2ohcl_catlow_oh"
MOLECULAR = [name for name in list_force_fields() if load_force_field(name).molecules]


def source_of(name=HYDROXIDE):
    with open(load_force_field(name).path, encoding="utf-8") as stream:
        return stream.read()


def refused(old, new, match, name=HYDROXIDE):
    text = source_of(name)
    assert old in text
    with pytest.raises(ForceFieldError, match=match):
        parse_force_field(text.replace(old, new, 1).encode(), path="toy.toml")


def test_shipped_molecules_are_what_they_are_called():
    found = {name: load_force_field(name).molecules for name in MOLECULAR}
    assert {name: [m.formula() for m in molecules.values()] for name, molecules in found.items()} == {
        "li2ohcl_catlow_oh": ["OH-"],
        "na3obh4_esp": ["BH4-"],
        "na3no3_esp": ["NO2-"],
    }


@pytest.mark.parametrize("name", MOLECULAR)
def test_bonds_and_angles_rest_at_the_geometry_given(name):
    field = load_force_field(name)
    for molecule in field.molecules.values():
        geometry = molecule.geometry_A
        for bond in molecule.bonds:
            for i, j in bond.pairs:
                length = np.linalg.norm(geometry[i] - geometry[j])
                assert bond.form.derivative(length) == pytest.approx(0.0, abs=1e-4)
        for angle in molecule.angles:
            for i, j, k in angle.triples:
                u, v = geometry[i] - geometry[j], geometry[k] - geometry[j]
                theta = np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v))
                assert angle.form.derivative(theta) == pytest.approx(0.0, abs=1e-4)
        assert spanning_order(molecule)[0] == (0, -1)
        assert len(spanning_order(molecule)) == molecule.n_atoms


@pytest.mark.parametrize("name", MOLECULAR)
def test_every_number_of_a_molecule_has_a_source_and_a_mark(name):
    field, data = load_force_field(name), tomllib.loads(source_of(name))
    for table in data["molecule"]:
        rows = [row for row in field.parameters if row.subject == table["name"]]
        numbers = sum(len(set(bond) & {"k", "r0", "D", "a", "longest_A"}) for bond in table["bonds"])
        numbers += 2 * len(table.get("angles", []))
        distances = {row.name for row in rows if row.group == "geometry"}
        assert len(rows) == 1 + numbers + len(distances)
        assert all(row.source in field.references and row.confidence for row in rows)
    text = describe(field)
    assert all(f"{molecule} " in text for molecule in field.molecules)


def test_parameters_of_a_molecule_are_left_out_where_it_is_not_present():
    field = load_force_field(HYDROXIDE)
    subjects = {row.subject for row in field.parameters_table(["Li", "O", "Cl"])}
    assert subjects == {"all pairs", "Li", "O", "Cl", "Li-Li", "Li-O", "Cl-Li", "O-O", "Cl-O", "Cl-Cl"}
    assert "OH" in {row.subject for row in field.parameters_table(["Li", "O_h", "H", "Cl"])}


def test_low_confidence_of_nitrite_is_said():
    field = load_force_field("na3no3_esp")
    assert "LOW CONFIDENCE" in field.description
    assert {row.confidence for row in field.parameters if row.subject in ("Na-O_n", "N-Na", "NO2")} <= {
        "F",
        "C",
        "D",
    }


def test_misspelt_keys_and_impossible_values_are_refused():
    refused("rigid = false", "rigid = 0", r"\[\[molecule\]\] OH: rigid = 0 must be true or false")
    refused('exclude = "intramolecular"', 'exclude = "bonds"', "exclude = 'bonds' must be 'intramolecular'")
    refused("longest_A", "longest", "unknown key 'longest'; did you mean 'longest_A'")
    refused("longest_A = 1.4", "longest_A = 0.9", "rest 0.9485 Å apart, beyond longest_A")
    refused("r0 = 0.9485", "r0 = 0.99", r"atoms \[0, 1\] rest 0.9485 Å apart, r0 = 0.99 Å: expected the same")
    refused(
        "pairs = [[0, 1]]", "pairs = [[0, 2]]", "must list groups of 2 different atoms, counted from 0 to 1"
    )
    refused("pairs = [[0, 1]]", "pairs = [[0, 0]]", "must list groups of 2 different atoms")
    refused("pairs = [[0, 1]]", "pairs = [[0, 1], [1, 0]]", r"the bond of atoms \[0, 1\] is given twice")
    refused('form = "morse"', 'form = "quartic"', "form = 'quartic' must be one of harmonic, morse, rigid")
    refused("rigid = false", "rigid = true", "form = 'morse', expected form = \"rigid\" with rigid = true")
    refused('element = "O"', 'element = "Ox"', "element = 'Ox' is no chemical symbol")
    refused('name = "OH"', 'name = "O_h"', "a molecule's name may hold only letters")
    refused(
        'species = "O_h", position', 'species = "O_x", position', "species = 'O_x' has no .species. table"
    )
    refused("D = 7.0525", "D = -7.0525", "D = -7.0525 must be greater than 0")


def test_charges_that_do_not_close_are_refused():
    refused(
        "value = 0.426,", "value = 1.426,", "charges of its atoms add up to 0 e, its formal charge is -1 e"
    )
    refused(
        '[[molecule]]\nname = "OH"\nformal_charge_e = { value = -1',
        '[[molecule]]\nname = "OH"\nformal_charge_e = { value = -2',
        "formal_charge_e = -2, but the formal charges of its atoms add up to -1",
    )


def test_species_of_one_element_must_agree_in_what_is_counted_by_element():
    text = source_of().split("[species.O_h]")
    wrong = text[1].replace("formal_charge_e = { value = -2", "formal_charge_e = { value = -1", 1)
    with pytest.raises(ForceFieldError, match=r"\[species.O_h\]: formal_charge_e = -1 differs from -2 of O"):
        parse_force_field("[species.O_h]".join([text[0], wrong]).encode(), path="toy.toml")


def test_angles_must_fit_the_geometry():
    refused("theta0_deg = 116.86", "theta0_deg = 120.0", r"atoms \[1, 0, 2\] rest at 116.860°", "na3no3_esp")
    refused("theta0_deg = 116.86", "theta0_deg = 180.0", "must be less than 180", "na3no3_esp")
    refused("triples = [[1, 0, 2]]", "triples = [[1, 0]]", "groups of 3 different atoms", "na3no3_esp")


def test_a_geometry_in_pieces_is_refused():
    refused("pairs = [[0, 1], [0, 2]]", "pairs = [[0, 1]]", "do not hold all its atoms", "na3no3_esp")


def test_shells_and_molecules_do_not_go_together():
    shell = (
        '[species.Cl.shell]\ncharge_e = { value = -2.5, source = "project", confidence = "F" }\n'
        'spring_eV_per_A2 = { value = 30.0, source = "project", confidence = "F" }\n[[molecule]]'
    )
    refused("[[molecule]]", shell, "shells and molecules .* do not go together")


def test_two_molecules_share_no_species():
    data = tomllib.loads(source_of())
    second = data["molecule"][0]
    body = source_of().split("[[molecule]]")[1].split("[[buckingham]]")[0]
    text = source_of() + "\n[[molecule]]" + body.replace(f'name = "{second["name"]}"', 'name = "OD"')
    with pytest.raises(ForceFieldError, match=r"species (O_h|H) belongs to OH already"):
        parse_force_field(text.encode(), path="toy.toml")


@pytest.mark.kernel
@pytest.mark.parametrize("name", MOLECULAR)
def test_kernels_match_the_forms_and_their_slopes(name):
    field = load_force_field(name)
    rng = np.random.default_rng(1)
    for molecule in field.molecules.values():
        place = molecule.geometry_A + rng.normal(0.0, 0.05, size=(molecule.n_atoms, 3))
        energy_n, forces, virial = (
            np.zeros(molecule.n_atoms),
            np.zeros((molecule.n_atoms, 3)),
            np.zeros((3, 3)),
        )
        expected = 0.0
        for bond in molecule.bonds:
            kind, names = KINDS[bond.kind]
            values = [getattr(bond.form, key) for key in names]
            for i, j in bond.pairs:
                expected += bond.form.energy(np.linalg.norm(place[i] - place[j]))
                kernels.bond_forces(
                    place, np.array([i]), np.array([j]), np.array([kind]),
                    np.array([values + [0.0] * (3 - len(values))]), energy_n, forces, virial,
                )  # fmt: skip
        assert energy_n.sum() == pytest.approx(expected, rel=1e-13)
        assert_allclose(forces.sum(axis=0), 0.0, atol=1e-13)
        assert_allclose(virial, -place.T @ forces, atol=1e-13)


def test_forms_have_the_slopes_they_claim():
    x, h = np.linspace(0.9, 1.4, 21), 1e-6
    for form in (HarmonicBond(k=19.0, r0=1.22), HarmonicAngle(k=2.76, theta0_deg=70.0)):
        slope = (form.energy(x + h) - form.energy(x - h)) / (2 * h)
        assert_allclose(form.derivative(x), slope, atol=1e-7)
