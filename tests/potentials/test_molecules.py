"""Molecular ions in the engine: nothing between their own atoms but bonds and angles, slopes that fit."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose

from potentials.bonded import Intramolecular
from potentials.calculator import IonicCalculator
from potentials.errors import BrokenMoleculeError
from potentials.schema import load_force_field
from potentials.topology import find_topology, set_topology
from tests.molecular_crystals import CRYSTALS, lithium_hydroxide_chloride, shaken
from tests.reference import ewald


def exact(field, **options):
    return IonicCalculator(field, coulomb="ewald", **options)


def inner_energy(field, atoms):
    """The bonds and angles of every molecule, by the forms themselves."""
    topology, energy = find_topology(field, atoms), 0.0
    for name, members in zip(topology.kind_m, topology.members_m, strict=True):
        molecule = field.molecules[name]

        def arm(i, j, members=members):
            return atoms.get_distance(members[i], members[j], mic=True, vector=True)

        for bond in molecule.bonds:
            energy += sum(bond.form.energy(np.linalg.norm(arm(i, j))) for i, j in bond.pairs)
        for angle in molecule.angles:
            for i, j, k in angle.triples:
                u, v = arm(j, i), arm(j, k)
                cosine = u @ v / np.sqrt((u @ u) * (v @ v))
                energy += angle.form.energy(np.arccos(cosine))
    return energy


@pytest.mark.parametrize("name", CRYSTALS)
def test_energy_is_that_of_all_pairs_less_the_pairs_inside_molecules(name):
    field, atoms = shaken(name)
    topology = find_topology(field, atoms)
    labels = np.array(topology.labels(field))
    # the textbook twin knows no molecules: it sums every pair under labels of its own
    marked = atoms.copy()
    marked.get_chemical_symbols = lambda: labels.tolist()
    all_pairs = ewald.evaluate(field, marked).energy_eV
    inside = 0.0
    for members in topology.members_m:
        for a, i in enumerate(members):
            for j in members[a + 1 :]:
                r = atoms.get_distance(i, j, mic=True)
                pair = (labels[i], labels[j])
                product = ewald.COULOMB_EV_A * field.charges_e[pair[0]] * field.charges_e[pair[1]]
                inside += field.pair_energy(*pair, r) - field.shift(*pair) + product / r
    expected = all_pairs - inside + inner_energy(field, atoms)
    assert exact(field).get_property("energy", atoms) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("options", [{"coulomb": "ewald"}, {"accuracy": 1e-6}])
def test_forces_are_slopes_of_the_energy(name, options):
    field, atoms = shaken(name)
    calculator = IonicCalculator(field, **options)
    forces, h = calculator.get_property("forces", atoms), 1e-4
    for n in np.random.default_rng(0).choice(len(atoms), 6, replace=False):
        energies = []
        for step in (h, -h):
            moved = atoms.copy()
            moved.positions[n, n % 3] += step
            energies.append(calculator.get_property("energy", moved))
        slope = -(energies[0] - energies[1]) / (2 * h)
        assert forces[n, n % 3] == pytest.approx(slope, abs=1e-6 if "coulomb" in options else 2e-4)
    assert_allclose(forces.sum(axis=0), 0.0, atol=1e-10)


@pytest.mark.parametrize("name", CRYSTALS)
def test_stress_is_the_slope_of_the_energy_by_strain_bonds_included(name):
    field, atoms = shaken(name)
    calculator, h = exact(field), 1e-5
    stress = calculator.get_property("stress", atoms)
    for voigt, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        energies = []
        for step in (h, -h):
            strain = np.zeros((3, 3))
            strain[i, j] += step / 2
            strain[j, i] += step / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            energies.append(calculator.get_property("energy", strained))
        slope = (energies[0] - energies[1]) / (2 * h * atoms.get_volume())
        assert stress[voigt] == pytest.approx(slope, abs=1e-9)


@pytest.mark.parametrize("name", CRYSTALS)
def test_fast_path_comes_within_its_accuracy_of_the_exact_sums(name):
    field, atoms = shaken(name, repeat=(3, 3, 2))
    found = IonicCalculator(field, accuracy=1e-5).self_check(atoms)
    assert found["relative_rms_force_error"] < 1e-5
    assert abs(found["energy_error_eV_per_atom"]) < 1e-5


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("options", [{"coulomb": "ewald"}, {}])
def test_energies_of_the_atoms_sum_to_the_energy(name, options):
    field, atoms = shaken(name)
    calculator = IonicCalculator(field, **options)
    energies = calculator.get_property("energies", atoms)
    assert energies.sum() == pytest.approx(calculator.get_property("energy", atoms), rel=1e-12)


def test_an_isolated_molecule_has_the_energy_of_its_bonds_alone():
    field = load_force_field("na3obh4_esp")
    molecule = field.molecules["BH4"]
    stretched = molecule.geometry_A * 1.03
    energies = []
    for edge in (30.0, 60.0):
        atoms = Atoms(molecule.elements, positions=stretched, cell=[edge] * 3, pbc=True)
        neutral = replace(field, charges_e=field.charges_e | {"B": 4 * 0.178275})
        energies.append(exact(neutral, net_charge="background").get_property("energy", atoms))
    bonds = 4 * 0.5 * 19.0 * (0.03 * 1.22) ** 2
    assert energies[1] == pytest.approx(bonds, abs=2e-5)  # images of an octupole are left
    assert abs(energies[1] - bonds) < abs(energies[0] - bonds)


@pytest.mark.parametrize("options", [{"coulomb": "ewald"}, {"accuracy": 1e-6}])
def test_a_molecule_feels_its_own_periodic_images(options):
    field = load_force_field("na3obh4_esp")
    one = CRYSTALS["na3obh4_esp"]()
    eight = one * (2, 2, 2)
    calculator = IonicCalculator(field, **options)
    ratio = calculator.get_property("energy", eight) / calculator.get_property("energy", one)
    assert ratio == pytest.approx(8.0, rel=1e-10 if "coulomb" in options else 1e-6)


@pytest.mark.parametrize("name", CRYSTALS)
def test_wrapping_atoms_one_by_one_changes_nothing(name):
    field, whole = shaken(name, wrapped=False)
    calculator = exact(field)
    energy, forces = calculator.get_property("energy", whole), calculator.get_property("forces", whole)
    torn = whole.copy()
    torn.positions += np.random.default_rng(3).integers(-2, 3, size=(len(torn), 3)) @ torn.cell.array
    assert calculator.get_property("energy", torn) == pytest.approx(energy, rel=1e-12)
    assert_allclose(calculator.get_property("forces", torn), forces, atol=1e-9)
    order = np.random.default_rng(4).permutation(len(whole))
    assert calculator.get_property("energy", whole[order]) == pytest.approx(energy, rel=1e-12)
    assert_allclose(calculator.get_property("forces", whole[order]), forces[order], atol=1e-9)


def test_oxide_beside_hydroxide_are_two_species_of_one_element():
    field, atoms = load_force_field("li2ohcl_catlow_oh"), lithium_hydroxide_chloride()
    labels = find_topology(field, atoms).labels(field)
    assert labels.count("O_h") == labels.count("H") == 1
    assert labels.count("O") == 1
    calculator = exact(field)
    assert calculator.settings(atoms)["net_charge_e"] == pytest.approx(0.0, abs=1e-9)
    del atoms[-1]  # without its H the oxygen is an oxide, and the cell one vacancy short of neutral
    with pytest.raises(ValueError, match=r"net charge of -1 e"):
        calculator.get_property("energy", atoms)


def test_host_without_molecules_is_that_of_the_formal_charge_set():
    atoms = Atoms(
        "Li3OCl",
        scaled_positions=[(0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5), (0.5, 0.5, 0.5), (0, 0, 0)],
        cell=[3.9] * 3,
        pbc=True,
    )
    atoms *= (2, 1, 1)
    atoms.rattle(0.05, seed=2)
    energies = [exact(load_force_field(name)).get_property("energy", atoms) for name in
                ("li2ohcl_catlow_oh", "li3ocl_mouta_formal")]  # fmt: skip
    assert energies[0] == pytest.approx(energies[1], rel=1e-13)


def test_other_molecules_of_the_same_elements_are_found_anew():
    field, atoms = shaken("li2ohcl_catlow_oh", repeat=(2, 1, 1))
    calculator = exact(field)
    calculator.get_property("energy", atoms)
    swapped = atoms.copy()  # the same numbers, but every H now sits at another O
    hydrogens = np.flatnonzero(atoms.numbers == 1)
    swapped.positions[hydrogens] = atoms.positions[np.roll(hydrogens, 1)]
    expected = exact(field).get_property("energy", swapped)
    assert calculator.get_property("energy", swapped) == expected
    assert expected == pytest.approx(calculator.get_property("energy", atoms), rel=1e-12)


def test_named_molecules_are_refused_once_they_break():
    field, atoms = shaken("li2ohcl_catlow_oh")
    set_topology(field, atoms)
    calculator = exact(field)
    calculator.get_property("energy", atoms)
    hydrogen = int(np.flatnonzero(atoms.numbers == 1)[0])
    oxygen = next(int(n) for n in np.flatnonzero(atoms.numbers == 8)
                  if atoms.arrays["molecule_id"][n] == atoms.arrays["molecule_id"][hydrogen])  # fmt: skip
    bond = atoms.get_distance(oxygen, hydrogen, mic=True, vector=True)
    atoms.positions[hydrogen] += 0.5 * bond / np.linalg.norm(bond)
    with pytest.raises(BrokenMoleculeError, match=r"is broken: for atom .* \(H\) its partner, atom"):
        calculator.get_property("energy", atoms)


@pytest.mark.parametrize("with_arrays", [False, True])
def test_state_continues_bit_for_bit(with_arrays):
    field, atoms = shaken("li2ohcl_catlow_oh")
    if with_arrays:
        set_topology(field, atoms)
    first = IonicCalculator(field)
    first.get_property("forces", atoms)
    atoms.rattle(0.01, seed=5)
    forces = first.get_property("forces", atoms)
    second = IonicCalculator(field)
    second.set_state(first.get_state())
    assert np.array_equal(second.get_property("forces", atoms), forces)
    atoms.rattle(0.01, seed=6)
    assert np.array_equal(second.get_property("forces", atoms), first.get_property("forces", atoms))


def test_charges_of_an_electric_field_pull_on_the_atoms_of_molecules():
    field, atoms = shaken("na3obh4_esp")
    still = exact(field).get_property("forces", atoms)
    pulled = exact(field, electric_field_V_per_A=(0.0, 0.0, 0.1)).get_property("forces", atoms)
    charges = [field.charges_e[label] for label in find_topology(field, atoms).labels(field)]
    assert_allclose(pulled - still, 0.1 * np.outer(charges, [0, 0, 1]), atol=1e-9)


def test_molecules_come_out_whole():
    field, atoms = shaken("na3obh4_esp")
    topology = find_topology(field, atoms)
    inside = Intramolecular(field, topology, np.zeros(len(atoms)), 0.0)
    inside.compute(atoms.positions, atoms.cell.array, np.zeros((len(atoms), 3)))
    for members in topology.members_m:
        size = np.linalg.norm(inside.whole_nc[list(members)] - inside.whole_nc[members[0]], axis=1)
        assert size.max() < 1.5
    shift = np.linalg.solve(atoms.cell.array.T, (inside.whole_nc - atoms.positions).T).T
    assert_allclose(shift, np.round(shift), atol=1e-12)
