import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.core.errors import ConfigError
from simtools.structures import (
    FormulaError,
    build_antiperovskite,
    build_supercell,
    parse_antiperovskite_formula,
    parse_formula,
)


@pytest.mark.parametrize(
    ("formula", "species"),
    [
        ("Li3OCl", ("Li", "O", "Cl")),
        ("Li3ClO", ("Li", "O", "Cl")),
        ("OLi3Cl", ("Li", "O", "Cl")),
        ("Li₃OCl", ("Li", "O", "Cl")),
        ("Na3OBr", ("Na", "O", "Br")),
        ("Li3OBr", ("Li", "O", "Br")),
        ("Na3OCl", ("Na", "O", "Cl")),
        ("Na3SI", ("Na", "S", "I")),
        ("Li3HS", ("Li", "H", "S")),
        ("Li3OF", ("Li", "O", "F")),
    ],
)
def test_divalent_anion_sits_in_the_octahedron_and_monovalent_in_the_cage(formula, species):
    assert parse_antiperovskite_formula(formula).species == species


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("Li2OHCl", "hydroxide"),
        ("Li3OS", r"do not close: \+3 \(Li\) -2 \(O\) -2 \(S\) = -1 e"),
        ("Li3FCl", r"do not close.*\+1 e"),
        ("Li4OCl2", "Li 4, O 1, Cl 2 where 3:1:1"),
        ("Li6O2Cl2", "did you mean Li3OCl"),
        ("Li2.96OCl0.96", "build the perfect crystal and remove ions"),
        ("Li2NaOCl", "2 cation species"),
        ("LiCl", "1 cation species .Li. and 1 anion species"),
        ("Mg3NAs", "Mg, N, As has no place"),
        ("li3ocl", "capital first"),
        ("Li3O(Cl)", "cannot read"),
        ("Xx3OCl", "'Xx' is not an element"),
        ("Li0OCl", "count 0"),
        ("", "expected a chemical formula"),
        (3, "expected a chemical formula"),
        ("Na3SF", "say which by anion_centre"),
    ],
)
def test_formula_that_is_no_antiperovskite_says_why(formula, words):
    with pytest.raises(FormulaError, match=words):
        parse_antiperovskite_formula(formula)


def test_an_ambiguous_pair_of_anions_is_decided_by_the_user():
    assert parse_antiperovskite_formula("Na3SF", anion_centre="F").species == ("Na", "F", "S")
    assert parse_antiperovskite_formula("Na3SF", anion_centre="S").species == ("Na", "S", "F")
    with pytest.raises(FormulaError, match="not one of its anions"):
        parse_antiperovskite_formula("Na3SF", anion_centre="Cl")


def test_formula_error_is_bad_input_and_survives_a_process_pool():
    with pytest.raises(ConfigError) as caught:
        parse_antiperovskite_formula("LiCl")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_repeated_elements_add_up():
    assert parse_formula("LiOLi2Cl") == {"Li": 3.0, "O": 1.0, "Cl": 1.0}


def test_every_cation_has_two_anion_centres_and_four_cages():
    atoms = build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=4.0), 2)
    distances = atoms.get_all_distances(mic=True)
    symbols = np.array(atoms.get_chemical_symbols())
    for i in np.flatnonzero(symbols == "Li"):
        assert np.sum(np.isclose(distances[i, symbols == "O"], 2.0)) == 2
        assert np.sum(np.isclose(distances[i, symbols == "Cl"], np.sqrt(8.0))) == 4
    for i in np.flatnonzero(symbols == "O"):
        assert np.sum(np.isclose(distances[i, symbols == "Li"], 2.0)) == 6


def test_formal_charges_close_and_sites_are_named():
    atoms = build_antiperovskite("Na3OBr", lattice_parameter_A=4.57)
    charges = parse_antiperovskite_formula("Na3OBr").formal_charges_e
    assert sum(charges[symbol] for symbol in atoms.get_chemical_symbols()) == 0
    assert atoms.arrays["site"].tolist() == ["X", "X", "X", "B", "A"]
    assert atoms.info["formula"] == "Na3OBr"
    assert_allclose(atoms.get_volume(), 4.57**3, rtol=1e-14)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "3.9", True, None])
def test_lattice_parameter_must_be_a_length(value):
    with pytest.raises(ConfigError, match="lattice_parameter_A must be a positive number"):
        build_antiperovskite("Li3OCl", lattice_parameter_A=value)


def test_unknown_prototype_lists_the_known_ones():
    with pytest.raises(ConfigError, match="expected one of: cubic"):
        build_antiperovskite("Li3OCl", lattice_parameter_A=3.9, prototype="tetragonal")
