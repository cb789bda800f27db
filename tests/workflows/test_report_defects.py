"""Requests for defects as a reader would say them, and what the cells hold by their own labels."""

from types import SimpleNamespace

import pytest

from workflows.report_defects import defect_in_words, defects_made


@pytest.mark.parametrize(
    ("defect", "words"),
    [
        (
            {"kind": "vacancy", "species": ["Li"], "fraction": 0.04, "placement": "random"},
            "4 % V_Li vacancies, placed at random",
        ),
        (
            {"kind": "schottky", "species": ["Li", "Cl"], "count": 4, "placement": "associated"},
            "4 Schottky units (V_Li + V_Cl), placed together",
        ),
        (
            {
                "kind": "dopant",
                "species": ["Mg"],
                "on": "Li",
                "count": 4,
                "compensation": "vacancy",
                "compensation_placement": "nearest",
            },
            "4 Mg on Li sites, placed at random, compensated by vacancies nearest",
        ),
        (
            {"kind": "antisite", "species": ["O"], "on": "Cl", "count": 1, "compensation": "none"},
            "1 O on Cl sites, placed at random, not compensated",
        ),
        (
            {"kind": "dumbbell", "species": ["Li"], "count": 2, "direction": "110"},
            "2 Li dumbbells along <110>, placed at random",
        ),
        ({"kind": "composition", "formula": "Li2.96OCl0.96"}, "what makes Li2.96OCl0.96, placed at random"),
    ],
)
def test_each_kind_in_words(defect, words):
    assert defect_in_words(defect) == words


def test_what_the_cells_hold_is_counted_by_label():
    labels = ["Mg_Li.", "Mg_Li.", "V_Li'", "V_Li'"]
    done = SimpleNamespace(outcome={"defects": [{"label": label} for label in labels]})
    unfinished = SimpleNamespace(outcome=None)
    assert defects_made(SimpleNamespace(points=[unfinished, done])) == "2 Mg_Li•, 2 V_Li′"
    assert defects_made(SimpleNamespace(points=[unfinished])) == ""
