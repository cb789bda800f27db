"""Starts for a defect in cubic Li3OCl against the counts that its site symmetries give."""

import pytest

from simtools.core.errors import UnknownSpeciesError
from simtools.defects.candidates import defect_candidates
from simtools.defects.kroger_vink import KrogerVink
from simtools.structures import build_antiperovskite

CRYSTAL = build_antiperovskite("Li3OCl", lattice_parameter_A=4.0)


def starts(label):
    return defect_candidates(KrogerVink.parse(label), CRYSTAL, separation_A=1.6)


@pytest.mark.parametrize(
    ("label", "places"), [("V_Li'", [3]), ("O_Cl'", [1]), ("Cl_O.", [1]), ("Mg_Li.", [3])]
)
def test_one_start_per_distinct_site(label, places):
    found = starts(label)
    assert [start.multiplicity for start in found] == places
    assert all(CRYSTAL.symbols[start.placed.site_index] == start.placed.label.site for start in found)


def test_dumbbells_take_every_distinct_axis_of_three_families():
    found = starts("(Li2)_Li.")
    assert [start.multiplicity for start in found] == [3, 6, 12, 6, 12]
    assert sum(start.multiplicity for start in found) == 3 * 13
    assert all(start.placed.separation_A == 1.6 for start in found)
    assert found[0].description.startswith("Li site c: <100> parallel")


def test_interstitials_start_on_the_sites_that_are_found():
    found = starts("Li_i.")
    assert sorted(start.multiplicity for start in found) == [3, 8]
    assert all(start.placed.site_index is None for start in found)


def test_site_that_is_not_there_is_told():
    with pytest.raises(UnknownSpeciesError, match="Na"):
        starts("V_Na'")
