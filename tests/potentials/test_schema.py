"""A force-field file that cannot be meant is refused: the message names file, place and value."""

import pickle
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from potentials.schema import (
    CONFIDENCE_MARKS,
    ForceFieldError,
    _Reader,
    list_force_fields,
    load_force_field,
    parse_force_field,
)
from simtools.core.errors import ConfigError, UnknownSpeciesError

GOOD = """
[model]
name = "toy"
version = "1.0.0"
description = "two ions"
units = { energy = "eV", length = "angstrom", charge = "e", mass = "amu" }

[cutoff]
radius_A = 8.0
mode = "shifted"
source = "paper"
confidence = "D"
note = "why not"

[references.paper]
citation = "A. Author, Journal 1, 1 (2000)"

[species.Li]
charge_e = { value = 0.9, source = "paper", confidence = "V" }
formal_charge_e = { value = 1, source = "paper", confidence = "D" }
mass_amu = { value = 6.94, source = "paper", confidence = "V" }

[species.Cl]
charge_e = { value = -0.9, source = "paper", confidence = "V" }
formal_charge_e = { value = -1, source = "paper", confidence = "D" }
mass_amu = { value = 35.45, source = "paper", confidence = "V" }

[[buckingham]]
pair = ["Li", "Cl"]
A = 400.0
rho = 0.33
C = 0.0
source = "paper"
confidence = "R"

[[lennard_jones]]
pair = ["Cl", "Cl"]
epsilon = 0.01
sigma = 3.4
source = "paper"
confidence = { epsilon = "V", sigma = "F" }

[[no_interaction]]
pair = ["Li", "Li"]
reason = "too small"
source = "paper"
confidence = "D"

[[regression]]
quantity = "lattice_parameter_A"
prototype = "rocksalt"
formula = "LiCl"
value = 5.1
tolerance = 0.1
source = "paper"
confidence = "C"
"""


def parse(text):
    return parse_force_field(text.encode(), path="toy.toml")


def test_good_file_becomes_a_frozen_force_field():
    field = parse(GOOD)
    assert field.species == ("Li", "Cl")
    assert field.charges_e == {"Li": 0.9, "Cl": -0.9}
    assert field.formal_charges_e == {"Li": 1, "Cl": -1}
    assert all(type(z) is int for z in field.formal_charges_e.values())
    assert field.is_charged
    assert set(field.pairs) == {("Cl", "Li"), ("Cl", "Cl")}
    assert field.no_interaction == {("Li", "Li"): "too small"}
    assert field.formula_charge_e(["Li", "Li", "Cl"]) == pytest.approx(0.9)
    with pytest.raises(AttributeError):
        field.name = "other"


def test_pair_energy_is_the_same_in_either_order_and_the_shift_zeroes_it_at_the_cutoff():
    field = parse(GOOD)
    assert field.pair_energy("Li", "Cl", 2.5) == field.pair_energy("Cl", "Li", 2.5) > 0
    assert field.pair_energy("Li", "Li", 2.5) == 0.0
    assert field.pair_derivative("Li", "Li", np.array([1.0, 2.0])).tolist() == [0.0, 0.0]
    assert field.pair_energy("Cl", "Cl", field.cutoff_A) - field.shift("Cl", "Cl") == 0.0
    assert parse(GOOD.replace('"shifted"', '"truncated"')).shift("Cl", "Cl") == 0.0
    with pytest.raises(UnknownSpeciesError, match="available: Li, Cl"):
        field.pair_energy("Li", "Na", 2.5)


def test_two_forms_on_one_pair_add_up():
    extra = '\n[[born_mayer]]\npair = ["Cl", "Li"]\nA = 10.0\nrho = 0.3\nsource = "paper"\nconfidence = "V"\n'
    one, two = parse(GOOD), parse(GOOD + extra)
    added = two.pair_energy("Li", "Cl", 2.0) - one.pair_energy("Li", "Cl", 2.0)
    assert added == pytest.approx(10.0 * np.exp(-2.0 / 0.3), rel=1e-10)


def test_every_number_has_a_source_and_a_mark_and_weak_ones_are_named():
    field = parse(GOOD)
    assert all(row.source in field.references for row in field.parameters)
    assert all(row.confidence in CONFIDENCE_MARKS for row in field.parameters)
    weak = {(row.subject, row.name) for row in field.low_confidence()}
    assert weak == {("Cl-Li", "A"), ("Cl-Li", "rho"), ("Cl-Li", "C"), ("Cl-Cl", "sigma")}
    assert {row.name for row in field.low_confidence(["Cl"])} == {"sigma"}
    (lennard_jones,) = field.terms("Cl", "Cl")
    assert lennard_jones.confidence == "F"
    assert lennard_jones.parameter_confidence == {"epsilon": "V", "sigma": "F"}


def test_force_field_crosses_a_process_boundary():
    field = pickle.loads(pickle.dumps(parse(GOOD)))
    assert field.pair_energy("Li", "Cl", 2.0) == parse(GOOD).pair_energy("Li", "Cl", 2.0)


def test_hash_follows_the_content_of_the_file(tmp_path):
    path = tmp_path / "toy.toml"
    path.write_text(GOOD, encoding="utf-8")
    field = load_force_field(path)
    assert field.sha256 == parse(GOOD).sha256 != parse(GOOD + "# a comment\n").sha256
    assert load_force_field(str(path)).path == str(path)


SHELL = """
[species.Cl.shell]
charge_e = { value = -2.5, source = "paper", confidence = "R", note = "why" }
spring_eV_per_A2 = { value = 30.0, source = "paper", confidence = "F" }

[[buckingham]]"""


def with_shell(old="", new=""):
    assert old in SHELL
    return GOOD.replace("\n[[buckingham]]", SHELL.replace(old, new) if old else SHELL, 1)


def test_shell_leaves_the_rest_of_the_charge_on_the_core():
    field = parse(with_shell())
    assert field.charges_e["Cl"] == -0.9
    assert field.core_charge_e("Cl") == pytest.approx(1.6)
    assert field.core_charge_e("Li") == 0.9
    shell = field.shells["Cl"]
    assert (shell.charge_e, shell.spring_eV_per_A2, shell.quartic_spring_eV_per_A4) == (-2.5, 30.0, 0.0)
    assert shell.polarizability_A3 == pytest.approx(14.39964547 * 2.5**2 / 30.0)
    rows = {(row.group, row.name): row for row in field.parameters if row.group == "shell"}
    assert rows["shell", "charge_e"].confidence == "R"
    assert rows["shell", "spring_eV_per_A2"].unit == "eV/Å²"
    assert ("Cl", "charge_e") in {(row.subject, row.name) for row in field.low_confidence(["Cl"])}
    quartic = 'quartic_spring_eV_per_A4 = { value = 9.0, source = "paper", confidence = "V" }\n\n[[buck'
    assert parse(with_shell("\n[[buck", quartic)).shells["Cl"].quartic_spring_eV_per_A4 == 9.0
    assert not parse(GOOD).shells
    with pytest.raises(UnknownSpeciesError, match="available: Li, Cl"):
        field.core_charge_e("Na")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("spring_eV_per_A2 =", "k =", r"\[species.Cl.shell\]: unknown key 'k'; known: charge_e, spring"),
        ("charge_e = { value = -2.5", "charge_e = { value = 0", r"shell\]: charge_e = 0 polarises nothing"),
        ("value = 30.0", "value = 0.0", r"spring_eV_per_A2 = 0 must be greater than 0"),
        ("value = 30.0", "value = -3.0", r"spring_eV_per_A2 = -3 must be greater than 0"),
        ("value = 30.0", "value = nan", r"shell\] spring_eV_per_A2: value = nan must be a finite number"),
        ('value = 30.0, source = "paper"', 'value = 30.0, source = "x"', r"source = 'x' names no entry"),
        ("[species.Cl.shell]", "[species.Cl.shel]", r"unknown key 'shel'; did you mean 'shell'"),
        ("charge_e = {", "# charge_e = {", r"\[species.Cl.shell\]: key 'charge_e' is missing"),
        (
            "[[buck",
            'quartic_spring_eV_per_A4 = { value = -1, source = "paper", confidence = "V" }\n[[buck',
            r"quartic_spring_eV_per_A4 = -1 must not be negative",
        ),
    ],
)
def test_shell_that_cannot_be_meant_is_refused_in_one_line(old, new, message):
    with pytest.raises(ForceFieldError, match=message) as caught:
        parse(with_shell(old, new))
    assert "\n" not in str(caught.value)


BAD = {
    "misspelt key": ("rho = 0.33", "roh = 0.33", r"\[\[buckingham\]\].*'roh'; did you mean 'rho'\?"),
    "misspelt table": (
        "[[buckingham]]",
        "[[buckingam]]",
        r"top level.*'buckingam'; did you mean 'buckingham'",
    ),
    "missing parameter": ("C = 0.0\n", "", r"\[\[buckingham\]\] Cl-Li: key 'C' is missing"),
    "missing source": ('C = 0.0\nsource = "paper"\n', "C = 0.0\n", r"Cl-Li: key 'source' is missing"),
    "unknown reference": (
        'C = 0.0\nsource = "paper"',
        'C = 0.0\nsource = "papre"',
        r"'papre' names no entry.*'paper'",
    ),
    "missing mark": ('\nconfidence = "R"', "", r"Cl-Li: key 'confidence' is missing"),
    "unknown mark": ('"R"', '"sure"', r"confidence = 'sure' must be one of 'V', 'R'"),
    "unmarked parameter": (
        '{ epsilon = "V", sigma = "F" }',
        '{ epsilon = "V" }',
        r"Cl-Cl confidence: key 'sigma'",
    ),
    "pair declared absent": (
        'pair = ["Li", "Li"]\nreason = "too small"',
        'pair = ["Cl", "Cl"]\nreason = "too small"',
        r"pair Cl-Cl: has a pair term and is declared",
    ),
    "unknown species": ('pair = ["Li", "Cl"]', 'pair = ["Li", "Br"]', r"'Br' has no \[species\] table"),
    "three species": ('pair = ["Li", "Cl"]', 'pair = ["Li", "Cl", "Cl"]', r"must be two species"),
    "NaN": ("A = 400.0", "A = nan", r"A = nan must be a finite number"),
    "text for a number": ("A = 400.0", 'A = "400"', r"A = '400' must be a number"),
    "truth for a number": ("A = 400.0", "A = true", r"A = True must be a number"),
    "negative A": ("A = 400.0", "A = -400.0", r"A = -400 must not be negative"),
    "zero rho": ("rho = 0.33", "rho = 0.0", r"rho = 0 must be greater than 0"),
    "negative rho": ("rho = 0.33", "rho = -0.33", r"rho = -0.33 must be greater than 0"),
    "missing charge": (
        'charge_e = { value = 0.9, source = "paper", confidence = "V" }\n',
        "",
        r"'charge_e' is missing",
    ),
    "missing mass": (
        'mass_amu = { value = 6.94, source = "paper", confidence = "V" }',
        "",
        r"Li\]: key 'mass_amu'",
    ),
    "zero mass": ("value = 6.94", "value = 0", r"mass_amu = 0 must be greater than 0"),
    "broken formal charge": ("value = 1,", "value = 0.9,", r"formal_charge_e = 0.9 must be an integer"),
    "opposite charge": ("value = 1,", "value = -1,", r"have opposite signs"),
    "bare charge": (
        'charge_e = { value = 0.9, source = "paper", confidence = "V" }',
        "charge_e = 0.9",
        r"expected a table",
    ),
    "missing cutoff": ("radius_A = 8.0\n", "", r"\[cutoff\]: key 'radius_A' is missing"),
    "missing cutoff reason": ('note = "why not"\n', "", r"\[cutoff\]: key 'note' is missing"),
    "unknown cutoff mode": ('"shifted"', '"shfted"', r"mode = 'shfted'.*did you mean 'shifted'"),
    "strange unit": ('energy = "eV"', 'energy = "kcal"', r"energy = 'kcal' is not understood; expected 'eV'"),
    "missing unit": ('energy = "eV", ', "", r"unit of energy is missing"),
    "no citation": ("citation =", "title =", r"\[references.paper\].*unknown key 'title'"),
    "unknown quantity": (
        '"lattice_parameter_A"',
        '"latice_parameter_A"',
        r"did you mean 'lattice_parameter_A'",
    ),
    "unknown prototype": ('"rocksalt"', '"rock"', r"prototype = 'rock' must be one of"),
    "unknown formula": ('"LiCl"', '"LiBr"', r"'Br' has no \[species\] table"),
    "not an array": ("[[buckingham]]", "[buckingham]", r"expected an array of tables"),
    "broken TOML": ("[model]", "[model", r"not valid TOML"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_file_is_refused_by_name(case):
    old, new, message = BAD[case]
    assert old in GOOD
    with pytest.raises(ForceFieldError, match=message) as caught:
        parse(GOOD.replace(old, new, 1))
    assert str(caught.value).startswith("toy.toml: ")
    assert isinstance(caught.value, ConfigError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_pair_given_twice_with_one_form_is_refused():
    block = GOOD[GOOD.index("[[buckingham]]") : GOOD.index("[[lennard_jones]]")]
    with pytest.raises(ForceFieldError, match=r"\[\[buckingham\]\] Cl-Li: this pair is given twice"):
        parse(GOOD + block.replace('["Li", "Cl"]', '["Cl", "Li"]'))


def test_pair_neither_given_nor_declared_absent_is_refused():
    start, end = GOOD.index("[[no_interaction]]"), GOOD.index("[[regression]]")
    with pytest.raises(ForceFieldError, match=r"pair Li-Li: has no pair term; give one, or declare"):
        parse(GOOD[:start] + GOOD[end:])


def test_regression_of_a_crystal_needs_its_lattice_parameter():
    text = GOOD.replace('"lattice_parameter_A"', '"C11_GPa"')
    with pytest.raises(ForceFieldError, match="needs a lattice_parameter_A entry"):
        parse(text)


TABLE = """
[[tabulated]]
pair = ["Li", "Li"]
r = [1.0, 2.0, 4.0, 8.0]
V = [1.0, 0.5, 0.1, 0.0]
source = "paper"
confidence = "V"
"""


def with_table(text):
    start, end = GOOD.index("[[no_interaction]]"), GOOD.index("[[regression]]")
    return GOOD[:start] + text + GOOD[end:]


def test_table_is_read():
    field = parse(with_table(TABLE))
    assert field.pair_energy("Li", "Li", 4.0) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[1.0, 2.0, 4.0, 8.0]", "[1.0, 2.0, 4.0, 7.9]", r"ends at r = 7.9 Å, before the cutoff of 8 Å"),
        ("[1.0, 2.0, 4.0, 8.0]", "[1.0, 4.0, 2.0, 8.0]", r"strictly ascending"),
        ("[1.0, 2.0, 4.0, 8.0]", "[0.0, 2.0, 4.0, 8.0]", r"must be positive"),
        ("[1.0, 0.5, 0.1, 0.0]", "[1.0, 0.5, 0.0]", r"same length, at least 4; got 4 and 3"),
        ("[1.0, 0.5, 0.1, 0.0]", "[1.0, inf, 0.1, 0.0]", r"V\[1\] = inf must be a finite number"),
        ("[1.0, 0.5, 0.1, 0.0]", "1.0", r"V must be an array of numbers"),
    ],
)
def test_impossible_table_is_refused(old, new, message):
    with pytest.raises(ForceFieldError, match=message):
        parse(with_table(TABLE.replace(old, new)))


def test_misspelt_force_field_is_answered_with_a_suggestion():
    with pytest.raises(ForceFieldError, match=r"did you mean 'li3ocl_mouta_formal'\?; shipped: lenn"):
        load_force_field("li3ocl_muota_formal")


def test_missing_and_unreadable_files_are_named(tmp_path):
    with pytest.raises(ForceFieldError, match=re.escape(str(tmp_path / "no.toml"))):
        load_force_field(tmp_path / "no.toml")
    with pytest.raises(ForceFieldError, match="cannot read this force field"):
        load_force_field(Path(tmp_path))
    broken = tmp_path / "latin.toml"
    broken.write_bytes("[model]\nname = 'Å'".encode("latin-1"))
    with pytest.raises(ForceFieldError, match="not UTF-8"):
        load_force_field(broken)


def test_shipped_list_is_complete():
    assert {"li3ocl_mouta_formal", "na3ocl_popoff_q067", "mna_oxyhalide_formal"} <= set(list_force_fields())
    assert {"lennard_jones", "lennard_jones_binary"} <= set(list_force_fields())


def paths_of(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths_of(inner, (*path, key))


PATHS = [path for path in paths_of(tomllib.loads(with_table(TABLE))) if path]
NUMBERS = [0, -1, 1.5, float("nan"), float("-inf")]
STRANGE = [*NUMBERS, True, "", "Li", [], ["Li"], {}, {"value": 1}, [1.0, 2.0], [{}]]


@pytest.mark.parametrize("strange", STRANGE, ids=repr)
def test_any_strange_value_anywhere_is_understood_or_refused_by_name(strange):
    for path in PATHS:
        data = tomllib.loads(with_table(TABLE))
        table = data
        for key in path[:-1]:
            table = table[key]
        table[path[-1]] = strange
        try:
            field = _Reader(data, "toy.toml").force_field("0" * 64)
        except ForceFieldError as error:
            complaint = str(error)
        else:
            complaint = "toy.toml: " * bool(np.isfinite(field.pair_energy("Li", "Cl", 2.0)))
        assert complaint.startswith("toy.toml: "), path
