"""Every shipped force field, forever: its numbers are sourced and its crystals stay what they were."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from ase.formula import Formula
from numpy.testing import assert_allclose

from potentials.check import (
    check_force_field,
    dielectric_constants,
    exact_calculator,
    prototype_cell,
    static_properties,
)
from potentials.describe import describe, describe_all, weak_parameters
from potentials.schema import LOW_CONFIDENCE, ForceFieldError, list_force_fields, load_force_field
from tests.reference import ewald

SHIPPED = list_force_fields()
EARLIER_TOLERANCE = {  # the earlier code's values are rounded to about this
    "lattice_parameter_A": 6e-4,
    "energy_per_formula_unit_eV": 6e-4,
    "C11_GPa": 0.11,
    "C12_GPa": 0.11,
    "C44_GPa": 0.11,
    "high_frequency_dielectric_constant": 0.006,
    "static_dielectric_constant": 0.03,
}


def bound_species(field):
    return {species for molecule in field.molecules.values() for species in molecule.species}


@pytest.fixture(params=SHIPPED)
def force_field(request):
    return load_force_field(request.param)


def test_file_name_is_the_model_name(force_field):
    assert force_field.path.endswith(f"{force_field.name}.toml")


def test_every_form_has_the_slope_it_claims(force_field):
    r, h = np.linspace(1.5, 7.5, 61), 1e-4
    for a, b in force_field.pairs:
        points = [force_field.pair_energy(a, b, r + k * h) for k in (-2, -1, 1, 2)]
        slope = (points[0] - 8 * points[1] + 8 * points[2] - points[3]) / (12 * h)
        assert_allclose(force_field.pair_derivative(a, b, r), slope, rtol=1e-7, atol=1e-9)


def test_regression_values_are_met(force_field):
    report = check_force_field(force_field)
    assert force_field.regression
    assert report.passed, str(report)


def test_earlier_values_are_met_at_the_cutoff_they_were_computed_with(force_field):
    entries = [entry for entry in force_field.regression if entry.earlier_value is not None]
    for prototype, formula in sorted({(entry.prototype, entry.formula) for entry in entries}):
        chosen = [entry for entry in entries if (entry.prototype, entry.formula) == (prototype, formula)]
        (cutoff,) = {entry.earlier_cutoff_A for entry in chosen}
        truncated = dataclasses.replace(force_field, cutoff_A=cutoff, cutoff_mode="truncated")
        found = static_properties(truncated, prototype, formula, near_A=chosen[0].earlier_value)
        if not {entry.quantity for entry in chosen} <= set(found):
            found |= dielectric_constants(truncated, prototype, formula, found["lattice_parameter_A"])
        for entry in chosen:
            assert found[entry.quantity] == pytest.approx(
                entry.earlier_value, abs=EARLIER_TOLERANCE[entry.quantity]
            )


def test_rigid_ions_have_the_dielectric_constants_listed():
    for name, formula, a, static in (
        ("li3ocl_mouta_formal", "Li3OCl", 3.8660266, 6.30),
        ("mna_oxyhalide_formal", "Na3OCl", 4.4060464, 7.76),
    ):
        found = dielectric_constants(load_force_field(name), "antiperovskite", formula, a)
        assert found["high_frequency_dielectric_constant"] == 1.0
        assert found["static_dielectric_constant"] == pytest.approx(static, abs=0.01)


def test_crystals_of_the_regression_are_neutral(force_field):
    for entry in force_field.regression:
        counts = Formula(entry.formula).count()
        assert sum(n * force_field.element_formal_charges_e[symbol] for symbol, n in counts.items()) == 0
        if not force_field.molecules:
            total = sum(n * force_field.charges_e[symbol] for symbol, n in counts.items())
            assert total == pytest.approx(0.0, abs=1e-9)


def test_charges_of_ions_and_molecules_are_one_multiple_of_their_formal_charges(force_field):
    bound = bound_species(force_field)
    charges = {
        (force_field.charges_e[s], z) for s, z in force_field.formal_charges_e.items() if s not in bound
    }
    for molecule in force_field.molecules.values():
        charges.add((sum(force_field.charges_e[s] for s in molecule.species), molecule.formal_charge_e))
    assert len({round(charge / z, 7) for charge, z in charges if z != 0}) <= 1


def test_masses_are_those_of_ase(force_field):
    for species, mass in force_field.masses_amu.items():
        assert mass == pytest.approx(atomic_masses[atomic_numbers[force_field.element_of(species)]], rel=1e-9)


def test_marks_of_the_literature_list_are_kept():
    marks = {}
    for row in load_force_field("mna_oxyhalide_formal").parameters:
        if row.group == "buckingham":
            marks.setdefault(row.subject, set()).add(row.confidence)
    assert marks["Li-Li"] == {"R"}
    assert marks["Li-O"] == marks["Cl-Li"] == {"R, corroborated"}
    assert all(marks[pair] == {"F"} for pair in ("Br-Li", "Br-Na", "Br-O", "Br-Cl"))
    assert marks["Br-Br"] == {"V", "F"}
    assert all(marks[pair] == {"V"} for pair in ("O-O", "Cl-O", "Cl-Cl", "Na-Na", "Na-O", "Cl-Na"))


def test_mixed_set_repeats_the_lithium_set():
    lithium, mixed = load_force_field("li3ocl_mouta_formal"), load_force_field("mna_oxyhalide_formal")
    for pair, terms in lithium.pairs.items():
        assert [term.form for term in mixed.pairs[pair]] == [term.form for term in terms]


def test_doped_set_repeats_its_host():
    host, doped = load_force_field("mna_oxyhalide_formal"), load_force_field("oxyhalide_doped_formal")
    for pair, terms in host.pairs.items():
        if "Br" not in pair:
            assert [term.form for term in doped.pairs[pair]] == [term.form for term in terms]
    assert (doped.cutoff_A, doped.cutoff_mode) == (host.cutoff_A, host.cutoff_mode)


def test_marks_of_the_dopant_terms_are_kept():
    doped = load_force_field("oxyhalide_doped_formal")
    for metal in ("Mg", "Ca", "Sr", "Ba"):
        assert [term.confidence for term in doped.terms(metal, "O")] == ["V"]
        assert [term.confidence for term in doped.terms(metal, "Cl")] == ["F"]
        assert [term.confidence for term in doped.terms(metal, "F")] == ["F"]
    assert {term.confidence for pair in (("F", "O"), ("F", "Cl")) for term in doped.terms(*pair)} == {"F"}


@pytest.mark.parametrize(("metal", "a_A"), [("Ca", 5.463), ("Sr", 5.800), ("Ba", 6.200)])
def test_fluoride_rule_holds_fluorite_at_its_cell(metal, a_A):
    a = 0.993 * a_A
    atoms = Atoms(
        [metal] * 4 + ["F"] * 8,
        scaled_positions=[
            *[(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)],
            *itertools.product((0.25, 0.75), repeat=3),
        ],
        cell=[a, a, a],
        pbc=True,
    )
    atoms.calc = exact_calculator(load_force_field("oxyhalide_doped_formal"))
    assert_allclose(atoms.get_stress()[:3], 0.0, atol=1e-5)


def test_ions_of_opposite_charge_never_lack_a_repulsion(force_field):
    inside = bound_species(force_field)  # B of BH4- is kept apart from cations by its hydrogens
    for i, a in enumerate(force_field.species):
        for b in force_field.species[i:]:
            if force_field.charges_e[a] * force_field.charges_e[b] >= 0:
                continue
            if {a, b} & inside and not force_field.terms(a, b):
                continue
            attraction = ewald.COULOMB_EV_A * force_field.charges_e[a] * force_field.charges_e[b]
            r = np.linspace(1.0, 3.5, 51)
            assert np.argmin(force_field.pair_energy(a, b, r) + attraction / r) > 0, (a, b)


def test_description_shows_every_number_with_its_mark(force_field):
    text = describe(force_field)
    for row in force_field.parameters:
        lines = [x for x in text.splitlines() if x.startswith(f"{row.subject} ") and f" {row.group} " in x]
        assert any(f" {row.name} " in x and row.unit in x and row.confidence in x for x in lines)
    for line in weak_parameters(force_field):
        assert line in text
    for row in force_field.low_confidence():
        assert row.confidence in LOW_CONFIDENCE
        assert any(line.startswith(f"{row.subject} ") for line in weak_parameters(force_field))
    assert force_field.sha256 in text
    assert all(key in text for key in force_field.references)


def test_overview_names_every_shipped_file():
    text = describe_all()
    assert all(name in text for name in SHIPPED)
    assert "not for runs: alh4 bcl4 bf4" in text


def test_wrong_value_is_reported_as_different():
    force_field = load_force_field("lennard_jones")
    wrong = dataclasses.replace(force_field.regression[0], value=5.27)
    report = check_force_field(dataclasses.replace(force_field, regression=(wrong,)))
    assert not report.passed
    assert "DIFFERS" in str(report)


def test_crystal_without_a_pressure_zero_is_refused():
    with pytest.raises(ForceFieldError, match="no zero of pressure between 2"):
        static_properties(load_force_field("lennard_jones"), "fcc", "Ar", near_A=3.0)


def test_formula_must_fit_its_prototype():
    with pytest.raises(ForceFieldError, match="'Li2OCl' is not of the prototype 'antiperovskite'"):
        prototype_cell("antiperovskite", "Li2OCl", 4.0)


@pytest.mark.parametrize(
    ("prototype", "madelung"), [("rocksalt", 1.7475645946331822), ("cscl", 1.76267477307099)]
)
def test_twin_gives_madelung_constants(prototype, madelung):
    field = load_force_field("li3ocl_mouta_formal")
    coulomb_only = dataclasses.replace(field, pairs={})
    a = 5.0
    atoms = prototype_cell(prototype, "LiCl", a)
    nearest = a / 2 if prototype == "rocksalt" else a * math.sqrt(3) / 2
    expected = -madelung * ewald.COULOMB_EV_A / nearest * len(atoms) / 2
    for alpha in (0.3, 0.6):
        found = ewald.evaluate(coulomb_only, atoms, alpha_per_A=alpha)
        assert found.energy_eV == pytest.approx(expected, rel=1e-13)
        assert np.trace(found.stress_eV_per_A3) * atoms.get_volume() == pytest.approx(-expected, rel=1e-12)


def test_twin_does_not_depend_on_the_splitting_with_a_background():
    field = load_force_field("li3ocl_mouta_formal")
    atoms = prototype_cell("antiperovskite", "Li3OCl", 3.9) * (2, 1, 1)
    del atoms[0]
    atoms.set_cell(atoms.cell[:] @ np.array([[1, 0.2, 0], [0, 1, 0.1], [0.3, 0, 1]]), scale_atoms=True)
    one, two = (ewald.evaluate(field, atoms, alpha_per_A=alpha) for alpha in (0.35, 0.7))
    assert one.energy_eV == pytest.approx(two.energy_eV, rel=1e-13)
    assert_allclose(one.energies_eV, two.energies_eV, rtol=1e-12)
    assert_allclose(one.forces_eV_per_A, two.forces_eV_per_A, atol=1e-11)
    assert_allclose(one.stress_eV_per_A3, two.stress_eV_per_A3, atol=1e-13)


def test_twin_forces_and_stress_are_slopes_of_its_energy():
    field = load_force_field("mna_oxyhalide_formal")
    atoms = prototype_cell("antiperovskite", "Na3OBr", 4.4) * (2, 1, 1)
    del atoms[0]
    atoms.rattle(0.1, seed=1)
    reference, h = ewald.evaluate(field, atoms), 1e-4

    def energy(displacement=None, strain=None):
        moved = atoms.copy()
        if strain is not None:
            moved.set_cell(moved.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
        if displacement is not None:
            moved.positions[4] += displacement
        return ewald.evaluate(field, moved).energy_eV

    for axis in range(3):
        step = h * np.eye(3)[axis]
        slope = (energy(step) - energy(-step)) / (2 * h)
        assert reference.forces_eV_per_A[4, axis] == pytest.approx(-slope, rel=1e-6, abs=1e-7)
    for i, j in ((0, 0), (1, 2), (2, 0)):
        strain = np.zeros((3, 3))
        strain[i, j] = h / 10
        slope = (energy(strain=strain) - energy(strain=-strain)) / (h / 5)
        assert reference.stress_eV_per_A3[i, j] * atoms.get_volume() == pytest.approx(
            slope, rel=1e-6, abs=1e-5
        )
