"""Reactions of the textbooks balance, what lacks a term does not; no energy sees where its zero lies."""

import pickle
from fractions import Fraction

import pytest
from ase.formula import Formula
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.mathtext import MathTextParser

from simtools.core.errors import ConfigError
from simtools.defects.kroger_vink import DefectComplex, DefectLabelError, KrogerVink
from simtools.defects.reaction_balance import members
from simtools.defects.reactions import Reaction, ReactionBalanceError

CHARGES = {"Li": 1, "Na": 1, "O": -2, "Cl": -1, "F": -1, "Mg": 2, "Al": 3, "H": 1, "OH": -1}

BALANCED = [
    ("Li_Li + Cl_Cl -> V_Li' + V_Cl. + LiCl", None),
    ("2 Li_Li + O_O -> 2 V_Li' + V_O.. + Li2O", None),
    ("0 <-> 3 V_Li' + V_O.. + V_Cl.", "Li3OCl"),
    ("0 -> V_Li' + 1/3 V_O.. + 1/3 V_Cl.", "Li3OCl"),
    ("0 -> 2 V_Li' + V_(OH). + V_Cl.", "Li2(OH)Cl"),
    ("Li_Li ⇌ V_Li' + Li_i.", None),
    ("2 Li_Li → V_Li' + (Li2)_Li.", "Li3OCl"),
    ("O_O + Cl_Cl -> O_Cl' + Cl_O.", None),
    ("MgCl2 + 2 Li_Li -> Mg_Li. + V_Li' + 2 LiCl", None),
    ("AlCl3 + 3 Li_Li -> Al_Li.. + 2 V_Li' + 3 LiCl", None),
    ("Mg_Li. + V_Li' <=> {Mg_Li. V_Li'}", None),
    ("LiF + O_O + Li_Li -> F_O. + V_Li' + Li2O", None),
    ("LiOH + O_O + Li_Li -> (OH)_O. + V_Li' + Li2O", None),
    ("Li2O + Cl_Cl -> O_Cl' + Li_i. + LiCl", None),
    ("1/2 Na2O + Li_Li -> Na_Li + 1/2 Li2O", None),
    ("3 Li2O + 3 LiCl -> 3 Li3OCl", None),
]
REACTIONS = [Reaction.parse(text, host=host) for text, host in BALANCED]
EVERY_TERM = [
    (reaction, side, place)
    for reaction in REACTIONS
    for side in ("reactants", "products")
    for place in range(len(getattr(reaction, side)))
]


def _rebuilt(reaction, **sides):
    terms = {"reactants": reaction.reactants, "products": reaction.products} | sides
    return Reaction(terms["reactants"], terms["products"], reaction.host)


@pytest.mark.parametrize("reaction", REACTIONS, ids=str)
def test_a_printed_reaction_parses_back(reaction):
    assert Reaction.parse(str(reaction), host=reaction.host) == reaction
    assert Reaction.parse(reaction.to_unicode(), host=reaction.host) == reaction
    assert Reaction.parse(str(reaction), host=reaction.host, formal_charges_e=CHARGES) == reaction
    MathTextParser("path").parse(f"${reaction.to_latex()}$")


@pytest.mark.parametrize(("reaction", "side", "place"), EVERY_TERM)
def test_what_would_close_a_reaction_that_lacks_a_term_closes_it(reaction, side, place):
    terms = getattr(reaction, side)
    with pytest.raises(ReactionBalanceError) as raised:
        _rebuilt(reaction, **{side: terms[:place] + terms[place + 1 :]})
    error = raised.value
    assert error.open_charge_e == 0
    sides = {"reactants": reaction.reactants, "products": reaction.products}
    sides[side] = terms[:place] + terms[place + 1 :]
    texts = {name: [f"{n} {term}" for n, term in kept] for name, kept in sides.items()}
    for where, what in error.remedies:
        texts["reactants" if where == "left" else "products"].append(what)
    closed = " -> ".join(" + ".join(texts[name]) or "0" for name in ("reactants", "products"))
    Reaction.parse(closed, host=error.implied_host or reaction.host)


@given(
    case=st.sampled_from(EVERY_TERM),
    factor=st.fractions(min_value=Fraction(1, 9), max_value=9, max_denominator=9).filter(lambda n: n != 1),
)
def test_another_coefficient_never_balances(case, factor):
    reaction, side, place = case
    terms = list(getattr(reaction, side))
    if len(reaction.reactants) + len(reaction.products) == 1:
        return
    terms[place] = (terms[place][0] * factor, terms[place][1])
    with pytest.raises(ReactionBalanceError):
        _rebuilt(reaction, **{side: tuple(terms)})


@given(
    st.lists(
        st.tuples(
            st.sampled_from([reaction for reaction in REACTIONS if reaction.host in (None, "Li3OCl")]),
            st.fractions(min_value=Fraction(1, 9), max_value=9, max_denominator=9),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_sum_of_balanced_reactions_balances(parts):
    sides = {
        side: tuple((n * factor, term) for reaction, factor in parts for n, term in getattr(reaction, side))
        for side in ("reactants", "products")
    }
    total = Reaction(sides["reactants"], sides["products"], "Li3OCl")
    made = sum((factor * reaction.formula_units_made for reaction, factor in parts), start=Fraction(0))
    assert total.formula_units_made == made


@pytest.mark.parametrize(
    ("text", "host", "imbalances", "closing"),
    [
        (
            "Li_Li + Cl_Cl -> V_Li' + V_Cl.",
            None,
            "mass of Li: 1 left, 0 right; mass of Cl",
            "add LiCl to the right",
        ),
        (
            "MgCl2 + Li_Li -> Mg_Li. + V_Li' + LiCl",
            None,
            "sites of Li: 1 left, 2 right",
            "add Li_Li to the left",
        ),
        ("Li_Li -> V_Li'", None, r"charge: 0 e left, -1 e right", r"add Li_i\. to the right"),
        ("0 -> 3 V_Li' + V_O.. + V_Cl.", None, "sites of O: 0 left, 1 right", 'host = "Li3OCl"'),
        ("0 -> V_Li' + V_Cl.", "Li3OCl", "sites of Cl: 0 left, 1 right", "add LiCl to the right"),
        ("Li_Li + Cl_Cl -> V_Li. + V_Cl. + LiCl", None, r"\+2 e right", r"add defects of \+2 e to the left"),
    ],
)
def test_the_error_names_the_balance_and_what_would_close_it(text, host, imbalances, closing):
    with pytest.raises(ReactionBalanceError, match=imbalances) as raised:
        Reaction.parse(text, host=host)
    with pytest.raises(ReactionBalanceError, match=closing):
        raise pickle.loads(pickle.dumps(raised.value))


@pytest.mark.parametrize(
    ("text", "host", "message"),
    [
        ("Li_Li + V_Li'", None, "written with one arrow"),
        (None, None, "written with one arrow"),
        ("Li_Li -> ", None, "'' in 'Li_Li -> ' is no term"),
        ("Li_Li -> Li_Li -> Li_Li", None, "written with one arrow"),
        ("Qq -> Li", None, "'Qq' is neither"),
        ("V -> V_Li'", None, "a vacancy needs its site"),
        ("0 Li_Li -> Li_Li", None, "must be positive"),
        ("1/0 Li_Li -> Li_Li", None, "divides by zero"),
        ("0 -> 0", None, "at least one side"),
        ("Mg_Mg -> Mg_Mg", "Li3OCl", "Li3OCl has no Mg site; its sites are Li, O, Cl"),
        ("Li_Li -> Li_Li", "li", "host must be a formula"),
    ],
)
def test_what_is_no_reaction_is_refused(text, host, message):
    with pytest.raises(ConfigError, match=message):
        Reaction.parse(text, host=host)


def test_formal_charges_find_the_wrong_label():
    text = "Li_Li + Cl_Cl -> V_Li. + V_Cl' + LiCl"
    Reaction.parse(text)
    with pytest.raises(ConfigError, match=r"V_Li\. should be V_Li' by the formal charges"):
        Reaction.parse(text, formal_charges_e=CHARGES)
    with pytest.raises(ConfigError, match=r"the phase LiCl2 carries -1 e"):
        Reaction.parse("LiCl2 -> LiCl2", formal_charges_e=CHARGES)
    with pytest.raises(DefectLabelError):
        Reaction.parse("V_Qq -> Li")


def test_energy_of_a_schottky_pair_by_hand():
    reaction = Reaction.parse("Li_Li + Cl_Cl -> V_Li' + V_Cl. + LiCl")
    energy = reaction.energy_eV({"V_Li'": 7.5, "V_Cl•": 5.0}, {"ClLi": -10.25})
    assert energy == 2.25
    with pytest.raises(ConfigError, match="no energy is given for the phase LiCl; given: none"):
        reaction.energy_eV({"V_Li'": 7.5, "V_Cl.": 5.0}, {})
    with pytest.raises(ConfigError, match=r"no energy is given for the defect V_Cl\.; given: V_Li'"):
        reaction.energy_eV({"V_Li'": 7.5}, {"LiCl": -10.25})


def test_full_schottky_is_the_sum_of_both_partial_ones_less_the_decomposition():
    defects = {"V_Li'": 7.5, "V_Cl.": 5.0, "V_O..": 24.0}
    phases = {"LiCl": -10.25, "Li2O": -30.5, "Li3OCl": -40.5}
    salt = Reaction.parse("Li_Li + Cl_Cl -> V_Li' + V_Cl. + LiCl").energy_eV(defects, phases)
    oxide = Reaction.parse("2 Li_Li + O_O -> 2 V_Li' + V_O.. + Li2O").energy_eV(defects, phases)
    full = Reaction.parse("0 -> 3 V_Li' + V_O.. + V_Cl.", host="Li3OCl").energy_eV(defects, phases)
    decomposition = Reaction.parse("Li3OCl -> Li2O + LiCl").energy_eV(defects, phases)
    assert full == salt + oxide - decomposition == 11.0


@given(
    reaction=st.sampled_from(REACTIONS),
    ion_energy_eV=st.fixed_dictionaries({name: st.floats(-50, 50) for name in CHARGES if len(name) < 3}),
    seed=st.integers(0, 1000),
)
def test_energy_does_not_depend_on_the_energies_of_free_ions(reaction, ion_energy_eV, seed):
    defects, phases = {}, {}
    for _, term in reaction.reactants + reaction.products:
        number = (len(str(term)) * 31 + seed) % 97 / 7
        (phases if isinstance(term, str) else defects)[term] = number
    if reaction.host:
        phases[reaction.host] = -40.0

    def shift(term):
        if isinstance(term, str):
            return _ion_sum(term, ion_energy_eV)
        return sum(
            sum(ion_energy_eV[symbol] for symbol in member.elements)
            - (
                0
                if member.site == "i"
                else sum(ion_energy_eV[x] for x in KrogerVink(member.site, "i").elements)
            )
            for member in members(term)
        )

    moved_defects = {term: energy + shift(term) for term, energy in defects.items()}
    moved_phases = {term: energy + shift(term) for term, energy in phases.items()}
    before, after = reaction.energy_eV(defects, phases), reaction.energy_eV(moved_defects, moved_phases)
    assert after == pytest.approx(before, abs=1e-9)


def _ion_sum(formula, ion_energy_eV):
    return sum(n * ion_energy_eV[name] for name, n in Formula(formula).count().items())


def test_terms_are_collected_and_regular_ions_may_be_left_out_of_the_energies():
    reaction = Reaction.parse("Li_Li + Li_Li -> V_Li' + (Li2)_Li.")
    assert reaction.reactants == ((Fraction(2), KrogerVink("Li", "Li")),)
    assert reaction.energy_eV({"V_Li'": 1.0, "(Li2)_Li.": 2.0}, {}) == 3.0
    bound = Reaction.parse("Mg_Li. + V_Li' -> {V_Li' Mg_Li.}")
    assert isinstance(bound.products[0][1], DefectComplex)
    assert bound.energy_eV({"V_Li'": 1.0, "Mg_Li.": 2.0, "{V_Li' Mg_Li.}": 2.5}, {}) == -0.5
