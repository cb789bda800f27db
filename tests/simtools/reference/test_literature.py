import re
from importlib import resources

import pytest

from simtools.core.errors import ConfigError
from simtools.reference import (
    LiteratureTableError,
    literature_compounds,
    literature_points,
    load_literature,
)
from simtools.reference.literature import CONFIDENCE, QUANTITIES, read_table

GOOD_ROW = """
[references.someone]
citation = "A. Someone, J. Nothing 1, 1 (2000)"
short = "Someone 2000"
[[point]]
compound = "Li3OCl"
quantity = "ionic_conductivity"
unit = "S/cm"
temperature_K = 300
value = 1e-3
method = "experiment"
source = "someone"
confidence = "V"
"""


def test_main_compound_has_its_review_rows():
    points = literature_points("Li3OCl", quantity="ionic_conductivity")
    rows = {(point.short, point.temperature_K): point.value for point in points}
    assert rows[("Zhao & Daemen 2012", 298.0)] == 0.85e-3
    assert rows[("Zhao & Daemen 2012", 523.0)] == 4.82e-3
    assert rows[("Zhang 2013", 300.0)] == 0.12e-3
    assert rows[("Zhang 2013", 480.0)] == 4.58e-2
    assert rows[("Dawson 2018", 500.0)] == 5e-3
    (dawson,) = [
        point
        for point in literature_points("Li3OCl", quantity="activation_energy")
        if point.short == "Dawson 2018"
    ]
    assert (dawson.low, dawson.high) == (0.27, 0.31)


def test_compounds_are_found_by_composition():
    assert literature_points("Li3ClO") == literature_points("Li3OCl")
    assert literature_points("Li3OI") == []


@pytest.mark.parametrize("formula", ["", "li3ocl", 3, "Li3O Cl"])
def test_what_is_no_formula_is_refused(formula):
    with pytest.raises(ConfigError, match="expected a plain chemical formula"):
        literature_points(formula)


def test_unknown_quantity_lists_the_known():
    with pytest.raises(ConfigError, match="ionic_conductivity, activation_energy"):
        literature_points("Li3OCl", quantity="conductance")


def test_every_row_is_cited_and_marked():
    points = load_literature()
    assert len(points) > 40
    assert set(literature_compounds()) >= {"Li3OCl", "Li3OBr", "Na3OCl", "Na3OBr"}
    for point in points:
        assert re.search(r"\d{4}", point.citation) or "PopOff" in point.citation
        assert point.confidence in CONFIDENCE
        assert point.unit == QUANTITIES[point.quantity]
        assert point.doi is None or point.doi.startswith("10.")


def test_every_reference_of_the_shipped_file_is_used():
    text = resources.files("simtools.reference").joinpath("literature.toml").read_text(encoding="utf-8")
    names = set(re.findall(r"^\[references\.(\w+)\]", text, flags=re.M))
    used = set(re.findall(r'^(?:source|read_in) = "(\w+)"', text, flags=re.M))
    assert names == used


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('source = "someone"', 'source = "nobody"', "no entry of .references"),
        ('unit = "S/cm"', 'unit = "S/m"', "kept in S/cm"),
        ('confidence = "V"', 'confidence = "sure"', "confidence = 'sure'"),
        ("temperature_K = 300\n", "", "needs its temperature_K"),
        ("value = 1e-3", "value = -1e-3", "must be positive"),
        ("value = 1e-3", "value = 1e-3\nlow = 2e-3\nhigh = 3e-3", "do not order"),
        ("value = 1e-3", "valu = 1e-3", "missing keys .'value'.*unknown keys .'valu'"),
    ],
)
def test_a_bad_row_dies_on_load_by_name(old, new, words):
    assert len(read_table(GOOD_ROW, where="table")) == 1
    with pytest.raises(LiteratureTableError, match=rf"table, point 1: .*{words}"):
        read_table(GOOD_ROW.replace(old, new), where="table")
