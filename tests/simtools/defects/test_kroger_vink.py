"""Labels against the textbook's: read, printed and read again, their charges against formal charges."""

import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from matplotlib.mathtext import MathTextParser

from simtools.core.errors import ConfigError
from simtools.defects.kroger_vink import (
    DefectComplex,
    DefectLabelError,
    KrogerVink,
    formal_charge,
    ions_of,
    parse_defect,
)

CHARGES = {"Li": 1, "O": -2, "Cl": -1, "Mg": 2, "F": -1, "H": 1}

SPECIES = [
    "V",
    "Li",
    "O",
    "Cl",
    "Mg",
    "Xe",
    "Co",
    "I",
    "Li2",
    "Na2",
    "LiNa",
    "NaLi",
    "OH",
    "HO",
    "BH4",
    "H4B",
    "CO",
    "Li12",
]


@st.composite
def point_defects(draw):
    species = draw(st.sampled_from(SPECIES))
    site = draw(st.sampled_from(["Li", "O", "Cl", "N", "V", "I", "i", "OH", "HO", "BH4"]))
    assume((species, site) != ("V", "i"))
    return KrogerVink(species, site, draw(st.integers(-5, 5)))


ASSOCIATES = st.lists(point_defects(), min_size=2, max_size=4).map(DefectComplex)


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
        ("V_Al‴", ("V", "Al", -3)),
        ("V_O··", ("V", "O", 2)),
        ("V_Li′", ("V", "Li", -1)),
        ("V_Li’", ("V", "Li", -1)),
        ("I_I×", ("I", "I", 0)),
        ("(Li2)_Li.", ("Li2", "Li", 1)),
        ("(NaLi)_Li.", ("LiNa", "Li", 1)),
        ("(OH)_O.", ("OH", "O", 1)),
        ("V_(OH).", ("V", "OH", 1)),
        ("(BH4)_Clˣ", ("BH4", "Cl", 0)),
        ("Li_V", ("Li", "V", 0)),
    ],
)
def test_label_reads_as_chemists_write_it(label, parts):
    defect = KrogerVink.parse(label)
    assert (defect.species, defect.site, defect.charge) == parts


@given(st.one_of(point_defects(), ASSOCIATES))
def test_a_printed_label_parses_back(defect):
    assert parse_defect(str(defect)) == defect
    assert parse_defect(defect.to_unicode()) == defect


@given(st.one_of(point_defects(), ASSOCIATES))
def test_latex_is_valid_mathtext(defect):
    assert MathTextParser("path").parse(f"${defect.to_latex()}$").width > 0


@given(st.text(alphabet="VLiOHClNaMg2(){}_'.x ", max_size=16))
def test_any_text_is_read_and_printed_back_or_refused(text):
    try:
        defect = parse_defect(text)
    except DefectLabelError:
        return
    assert parse_defect(str(defect)) == defect


@pytest.mark.parametrize(
    "label",
    [
        "V_i'",
        "VLi'",
        "V_Li'.",
        "V_Li*",
        "v_Li'",
        "V_Qq",
        "",
        "V_Li ",
        "V_Lixx",
        None,
        "V_",
        "Li2_Li.",
        "(Li)_Li",
        "(LiLi)_Li.",
        "(V2)_Li",
        "V_O2.",
        "V_O.'",
        "(Li1)_Li",
        "(O H)_O",
        "{V_Li'}",
        "{V_Li' Qq_Cl}",
        "V_(i)",
    ],
)
def test_what_is_no_label_is_refused_by_name(label):
    with pytest.raises(DefectLabelError, match="is not a Kröger-Vink label"):
        parse_defect(label)


@pytest.mark.parametrize(("species", "site", "charge"), [("V", "i", 0), ("Li", "Qq", 0), ("Li", "Li", 0.5)])
def test_no_label_can_be_made_that_would_not_parse(species, site, charge):
    with pytest.raises(DefectLabelError):
        KrogerVink(species, site, charge)


def test_effective_charge_is_what_arrives_minus_what_leaves():
    assert str(KrogerVink.from_charges("V", "Li", CHARGES)) == "V_Li'"
    assert str(KrogerVink.from_charges("V", "O", CHARGES)) == "V_O.."
    assert str(KrogerVink.from_charges("Mg", "Li", CHARGES)) == "Mg_Li."
    assert str(KrogerVink.from_charges("F", "O", CHARGES)) == "F_O."
    assert str(KrogerVink.from_charges("Li", "i", CHARGES)) == "Li_i."
    assert str(KrogerVink.from_charges("F", "Cl", CHARGES)) == "F_Cl"
    assert str(KrogerVink.from_charges("Li2", "Li", CHARGES)) == "(Li2)_Li."
    assert str(KrogerVink.from_charges("NaLi", "Li", {"Li": 1, "Na": 1})) == "(LiNa)_Li."
    assert str(KrogerVink.from_charges("O2", "O", CHARGES)) == "(O2)_O''"
    assert str(KrogerVink.from_charges("OH", "O", CHARGES)) == "(OH)_O."
    assert str(KrogerVink.from_charges("V", "OH", CHARGES)) == "V_(OH)."


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("(HO)_O.", "(OH)_O."),
        ("(H4B)_Cl", "(BH4)_Cl"),
        ("(H2N)_Cl", "(NH2)_Cl"),
        ("(O3C)_O", "(CO3)_O"),
        ("(O4Cl)_Cl", "(ClO4)_Cl"),
        ("(H4Al)_Cl", "(AlH4)_Cl"),
        ("V_(HO).", "V_(OH)."),
        ("(Na3Li)_Li...", "(LiNa3)_Li..."),
    ],
)
def test_one_composition_is_one_defect_written_as_chemists_do(one, same):
    assert KrogerVink.parse(one) == KrogerVink.parse(same)
    assert str(KrogerVink.parse(one)) == str(KrogerVink.parse(same)) == same


def test_the_charge_of_a_molecular_ion_is_found_whatever_its_order():
    assert formal_charge("HO", {"OH": -1}) == formal_charge("OH", {"HO": -1}) == -1
    assert str(KrogerVink.from_charges("HO", "O", {"HO": -1, "O": -2})) == "(OH)_O."


def test_a_molecular_ion_may_have_its_own_charge():
    assert formal_charge("OH", {"OH": -1}) == -1
    assert formal_charge("O2", {"O": -2, "O2": -2}) == -2, "a peroxide is not two oxide ions"
    with pytest.raises(ConfigError, match=r"given for BH4 \(nor for B in it\); given: H \+1"):
        formal_charge("BH4", {"H": 1})


@given(point_defects())
def test_ions_are_counted(defect):
    assert defect.n_ions == len(defect.elements) == len(ions_of(defect.species))
    assert defect.is_vacancy == (defect.n_ions == 0)
    assert not (defect.is_dumbbell and defect.is_molecular)


@pytest.mark.parametrize(
    ("label", "elements", "kind"),
    [
        ("V_Li'", (), "vacancy"),
        ("Li_i.", ("Li",), "interstitial"),
        ("(Li2)_Li.", ("Li", "Li"), "dumbbell"),
        ("(MgLi)_Li..", ("Li", "Mg"), "dumbbell"),
        ("(OH)_O.", ("O", "H"), "molecular"),
        ("(BH4)_Cl", ("B", "H", "H", "H", "H"), "molecular"),
        ("Li_Li", ("Li",), "regular"),
    ],
)
def test_the_kind_of_a_defect_is_in_its_name(label, elements, kind):
    defect = KrogerVink.parse(label)
    assert defect.elements == elements
    kinds = ["vacancy", "interstitial", "dumbbell", "molecular", "regular"]
    assert [name for name in kinds if getattr(defect, f"is_{name}")] == [kind]


def test_a_vacancy_on_vanadium_is_no_vanadium():
    assert KrogerVink.parse("V_V").is_vacancy
    assert not KrogerVink.parse("V_V").is_regular


def test_associate_does_not_depend_on_the_order_of_its_members():
    associate = DefectComplex.parse("{V_Na' Ca_Na. V_O..}")
    assert str(associate) == "{Ca_Na. V_Na' V_O..}"
    assert associate.charge == 2
    assert associate == DefectComplex.parse("{V_O•• V_Na′ Ca_Na•}••")
    assert associate.elements == ("Ca",)


@given(ASSOCIATES)
def test_charge_of_an_associate_is_the_sum_over_its_members(associate):
    assert associate.charge == sum(member.charge for member in associate.members)
    assert DefectComplex(associate.members[::-1]) == associate


def test_wrong_charge_of_an_associate_is_refused():
    with pytest.raises(DefectLabelError, match=r"its members carry \+0 e together"):
        DefectComplex.parse("{Mg_Li. V_Li'}.")


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
    assert KrogerVink("OH", "O", 1).to_latex() == r"(\mathrm{O}\mathrm{H})_{\mathrm{O}}^{\bullet}"
    associate = DefectComplex.parse("{Mg_Li. V_Li'}")
    assert associate.to_unicode() == "{Mg_Li• V_Li′}ˣ"
    assert associate.to_latex().endswith(r"\}^{\times}")


def test_integers_of_numpy_become_plain():
    assert type(KrogerVink("V", "Li", np.int64(-1)).charge) is int


def test_label_error_survives_a_process_pool():
    error = DefectLabelError("V-Li")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
