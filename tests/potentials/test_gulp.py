"""The GULP file holds the numbers of the force field; GULP itself is not run here."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from potentials.force_field import sorted_pair
from potentials.gulp import gulp_labels, gulp_text, write_gulp
from potentials.schema import list_force_fields, load_force_field
from simtools.core.errors import ConfigError
from tests.potentials.test_lammps import force_field_of_all_forms
from workflows.cli import main

HAND_CHECKED = """\
species
Na core 0.6705956
O core 1.3884888
O shel -2.72968
Cl core 1.2472234
Cl shel -1.917819
element
mass Na 22.98976928
mass O 15.999
mass Cl 35.45
end
buck
Cl shel Cl shel 35155.254 0.213632 14.53 0.0 10.0
Cl shel Na core 20907.7383 0.21657 0.0 0.0 10.0
Cl shel O shel 47777.0706 0.24374 62.2 0.0 10.0
Na core Na core 996.2821 0.288325 0.0 0.0 10.0
Na core O shel 12439.2223 0.201494 0.0 0.0 10.0
O shel O shel 35546.8531 0.120556 13.19 0.0 10.0
spring
O 68.89783
Cl 56.499894
"""
"""PopOff's output file read by eye: 2 x 34.448915 = 68.89783 eV/Å²; core of O: 2.72968 - 1.3411912 e."""
HEADS = ("species", "element", "buck", "lennard", "morse", "spring", "harmonic", "three", "end")


def sections(text):
    """Return {option line: rows} of a GULP file, comments left out."""
    found, rows = {}, None
    for line in text.splitlines():
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if words[0] in HEADS:
            rows = found.setdefault(line, [])
        else:
            rows.append(words)
    return found


def energy(potential, numbers, r):
    """Return V(r) of a GULP pair potential, as its manual defines it."""
    name, *powers = [word for word in potential.split() if word != "inter"]
    if name == "buck":
        a, rho, c = numbers[:3]
        return a * np.exp(-r / rho) - c / r**6
    if name == "lennard":
        m, n = map(int, powers)
        return numbers[0] / r**m - numbers[1] / r**n
    depth, a, r0, coulomb = numbers[:4]
    assert (name, coulomb) == ("morse", 0.0)
    return depth * ((1.0 - np.exp(-a * (r - r0))) ** 2 - 1.0)


@pytest.mark.parametrize("name", list_force_fields())
def test_the_numbers_read_back_are_the_force_field(name):
    field = load_force_field(name)
    parts = sections(gulp_text(field))
    labels = gulp_labels(field)
    assert len(set(labels.values())) == len(field.species)
    charges = {name: 0.0 for name in labels.values()}
    for label, _, charge in parts["species"]:
        charges[label] += float(charge)
    for species, label in labels.items():
        assert charges[label] == pytest.approx(field.charges_e.get(species, 0.0), abs=1e-12)
    masses = {element: float(mass) for _, element, mass in parts["element"]}
    assert masses == field.element_masses_amu
    r = np.linspace(1.2, field.cutoff_A, 50)
    total = {pair: np.zeros(50) for pair in field.pairs}
    names = {label: species for species, label in labels.items()}
    for potential, rows in parts.items():
        if potential.split()[0] not in ("buck", "lennard", "morse") or "intra" in potential:
            continue
        assert ("inter" in potential) == bool(field.molecules)
        for a, kind_a, b, kind_b, *numbers in rows:
            for label, kind in ((a, kind_a), (b, kind_b)):
                assert kind == ("shel" if names[label] in field.shells else "core")
            numbers = list(map(float, numbers))
            assert numbers[-2:] == [0.0, field.cutoff_A]
            total[sorted_pair(names[a], names[b])] += energy(potential, numbers, r)
    for pair, terms in field.pairs.items():
        expected = sum((term.form.energy(r) for term in terms), start=np.zeros(50))
        assert_allclose(total[pair], expected, rtol=1e-12, atol=1e-12, err_msg=str(pair))
    springs = {row[0]: list(map(float, row[1:])) for row in parts.get("spring", [])}
    for species, shell in field.shells.items():
        quartic = shell.quartic_spring_eV_per_A4
        assert springs[labels[species]] == [shell.spring_eV_per_A2, *([quartic] if quartic else [])]
    assert len(springs) == len(field.shells)


def test_molecules_keep_their_bonds_and_angles():
    parts = sections(gulp_text(load_force_field("na3no3_esp")))
    (molecule,) = load_force_field("na3no3_esp").molecules.values()
    bond, angle = molecule.bonds[0].form, molecule.angles[0].form
    assert parts["harmonic intra bond"] == [["N", "core", "O2", "core", repr(bond.k), repr(bond.r0)]]
    assert parts["three intra bond"] == [
        ["N", "core", "O2", "core", "O2", "core", repr(angle.k), repr(angle.theta0_deg)]
    ]
    text = gulp_text(load_force_field("li2ohcl_catlow_oh"))
    assert "keyword molecule" in text
    assert "O2 is O_h" in text
    (molecule,) = load_force_field("li2ohcl_catlow_oh").molecules.values()
    morse = molecule.bonds[0].form
    assert sections(text)["morse intra bond"] == [
        ["O2", "core", "H", "core", repr(morse.D), repr(morse.a), repr(morse.r0)]
    ]


def test_a_file_checked_by_hand(tmp_path, capsys):
    file = tmp_path / "popoff.lib"
    assert main(["potentials", "na3ocl_popoff_coreshell", "--export", "gulp", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: na3ocl_popoff_coreshell for GULP\n"
    text = file.read_text(encoding="utf-8")
    assert text.partition("\n\n")[2] == HAND_CHECKED
    assert "here it is only cut" in text
    assert main(["potentials", "na3ocl_popoff_coreshell", "--export", "dlpoly", str(file)]) == 2
    assert "expected lammps or gulp" in capsys.readouterr().err


def test_a_born_mayer_huggins_term_takes_two_and_a_table_is_refused(tmp_path):
    field = force_field_of_all_forms(1, "truncated")
    with pytest.raises(ConfigError, match="Cl-Cl: a tabulated pair is not written for GULP"):
        gulp_text(field)
    analytic = {
        pair: tuple(term for term in terms if term.kind != "tabulated") for pair, terms in field.pairs.items()
    }
    parts = sections(gulp_text(replace(field, pairs=analytic)))
    assert set(parts) == {"species", "element", "end", "buck", "lennard 12 6", "lennard 8 6", "morse"}
    r = np.linspace(2.0, 7.0, 20)
    found = np.zeros(20)
    for potential, rows in parts.items():
        for row in rows:
            if row[:4] == ["Cl", "core", "Cl", "core"]:
                found += energy(potential, list(map(float, row[4:])), r)
    assert_allclose(found, analytic["Cl", "Cl"][0].form.energy(r), rtol=1e-12)
    with pytest.raises(ConfigError, match="cannot write the GULP file here"):
        write_gulp(load_force_field("lennard_jones"), tmp_path / "no" / "file.lib")
