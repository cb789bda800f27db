import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtools.core.errors import ConfigError
from simtools.defects import DefectLabelError, KrogerVink

CHARGES = {"Li": 1, "O": -2, "Cl": -1, "Mg": 2, "F": -1}


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("V_Li'", ("V", "Li", -1)),
        ("V_O..", ("V", "O", 2)),
        ("V_Cl•", ("V", "Cl", 1)),
        ("Mg_Li.", ("Mg", "Li", 1)),
        ("Li_i.", ("Li", "i", 1)),
        ("Cl_Cl", ("Cl", "Cl", 0)),
        ("O_Ox", ("O", "O", 0)),
        ("O_Cl'", ("O", "Cl", -1)),
        ("V_Al'''", ("V", "Al", -3)),
    ],
)
def test_label_reads_as_chemists_write_it(label, parts):
    defect = KrogerVink.parse(label)
    assert (defect.species, defect.site, defect.charge) == parts


@given(
    species=st.sampled_from(["V", "Li", "O", "Cl", "Mg", "Na", "Xe"]),
    site=st.sampled_from(["Li", "O", "Cl", "N", "i"]),
    charge=st.integers(-4, 4),
)
def test_a_printed_label_parses_back(species, site, charge):
    if species == "V" and site == "i":
        return
    defect = KrogerVink(species, site, charge)
    assert KrogerVink.parse(str(defect)) == defect


@pytest.mark.parametrize(
    "label", ["V_i'", "VLi'", "V_Li'.", "V_Li*", "v_Li'", "V_Qq", "", "V_Li ", "V_Lixx", None, "V_"]
)
def test_what_is_no_label_is_refused_by_name(label):
    with pytest.raises(DefectLabelError, match="is not a Kröger-Vink label"):
        KrogerVink.parse(label)


def test_effective_charge_is_what_arrives_minus_what_leaves():
    assert str(KrogerVink.from_charges("V", "Li", CHARGES)) == "V_Li'"
    assert str(KrogerVink.from_charges("V", "O", CHARGES)) == "V_O.."
    assert str(KrogerVink.from_charges("Mg", "Li", CHARGES)) == "Mg_Li."
    assert str(KrogerVink.from_charges("F", "O", CHARGES)) == "F_O."
    assert str(KrogerVink.from_charges("Li", "i", CHARGES)) == "Li_i."
    assert str(KrogerVink.from_charges("F", "Cl", CHARGES)) == "F_Cl"


def test_missing_or_fractional_formal_charge_is_refused():
    with pytest.raises(ConfigError, match="no formal charge is given for Na; given: Li"):
        KrogerVink.from_charges("V", "Na", CHARGES)
    with pytest.raises(ConfigError, match="must be an integer"):
        KrogerVink.from_charges("V", "Li", {"Li": 0.67})


def test_typographic_forms():
    defect = KrogerVink("V", "O", 2)
    assert defect.to_unicode() == "V_O••"
    assert defect.to_latex() == r"\mathrm{V}_{\mathrm{O}}^{\bullet\bullet}"
    assert KrogerVink("V", "Li", -1).to_latex() == r"\mathrm{V}_{\mathrm{Li}}^{\prime}"
    assert KrogerVink("Cl", "Cl", 0).to_unicode() == "Cl_Clˣ"


def test_label_error_survives_a_process_pool():
    error = DefectLabelError("V-Li")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
