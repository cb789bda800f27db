"""Molecules are found from bonds, travel with the atoms, and are refused by name where they do not fit."""

import numpy as np
import pytest
from ase.io import read, write

from potentials.calculator import IonicCalculator
from potentials.errors import BrokenMoleculeError, TopologyError
from potentials.schema import load_force_field
from potentials.topology import MOLECULE_ID, SPECIES, find_topology, set_topology, species_labels
from simtools.core.errors import UnknownSpeciesError
from simtools.structures import build_supercell
from tests.molecular_crystals import CRYSTALS, lithium_hydroxide, lithium_hydroxide_chloride, shaken


@pytest.mark.parametrize("name", CRYSTALS)
def test_every_molecule_is_found_across_the_boundaries_of_any_cell(name):
    field, atoms = shaken(name, repeat=(3, 2, 2))
    (molecule,) = field.molecules.values()
    topology = find_topology(field, atoms)
    units = 2 if name == "li2ohcl_catlow_oh" else 1
    assert topology.kind_m == (molecule.name,) * (12 * units)
    members = np.concatenate(topology.members_m)
    assert len(set(members.tolist())) == len(members) == 12 * units * molecule.n_atoms
    for number, atoms_of in enumerate(topology.members_m):
        assert [atoms.symbols[n] for n in atoms_of] == list(molecule.elements)
        assert set(topology.molecule_n[list(atoms_of)]) == {number}
    labels = np.array(topology.labels(field))
    assert np.all((topology.molecule_n >= 0) == np.isin(labels, molecule.species))


def test_arrays_survive_supercells_and_files(tmp_path):
    field, atoms = load_force_field("li2ohcl_catlow_oh"), lithium_hydroxide_chloride()
    set_topology(field, atoms)
    large = build_supercell(atoms, (2, 2, 2))
    assert sorted(set(large.arrays[SPECIES])) == ["Cl", "H", "Li", "O", "O_h"]
    topology = find_topology(field, large)  # numbers of copies come again; what they hold together counts
    assert len(topology.members_m) == 8
    set_topology(field, large)
    assert sorted(set(large.arrays[MOLECULE_ID])) == list(range(-1, 8))
    write(tmp_path / "cell.extxyz", large)
    back = read(tmp_path / "cell.extxyz")
    assert np.array_equal(back.arrays[MOLECULE_ID], large.arrays[MOLECULE_ID])
    assert back.arrays[SPECIES].tolist() == large.arrays[SPECIES].tolist()
    assert back.get_chemical_symbols() == large.get_chemical_symbols()
    assert find_topology(field, back).members_m == find_topology(field, large).members_m


def test_a_force_field_without_molecules_needs_none():
    field = load_force_field("li3ocl_mouta_formal")
    atoms = lithium_hydroxide_chloride()
    del atoms[-1]
    set_topology(field, atoms)
    assert not atoms.has(MOLECULE_ID)
    assert species_labels(field, atoms) == atoms.get_chemical_symbols()


def test_a_hydrogen_without_partner_is_named_with_the_nearest():
    field, atoms = load_force_field("li2ohcl_catlow_oh"), lithium_hydroxide(bond_A=1.45)
    words = (
        r"atom 4 \(H\) has no partner: .*every H belongs to OH; the nearest is atom 2, 1.450 Å away "
        r"\(a bond reaches 1.4 Å\)"
    )
    with pytest.raises(TopologyError, match=words):
        find_topology(field, atoms)
    del atoms[atoms.numbers == 8]
    with pytest.raises(TopologyError, match="none lies within 4 Å"):
        find_topology(field, atoms)


def test_a_molecule_that_lost_an_atom_is_refused():
    field, atoms = shaken("na3obh4_esp")
    del atoms[int(np.flatnonzero(atoms.numbers == 1)[0])]
    with pytest.raises(TopologyError, match=r"hang together \(B1 H3\), which is no molecule of na3obh4_esp"):
        find_topology(field, atoms)


def test_two_molecules_that_touch_are_refused():
    field = load_force_field("li2ohcl_catlow_oh")
    atoms = lithium_hydroxide()
    atoms.positions[5] = atoms.positions[2] + [0.0, 0.9, 0.0]
    with pytest.raises(TopologyError, match=r"hang together \(H2 O1\)"):
        find_topology(field, atoms)


def test_given_molecules_must_be_those_of_the_bonds():
    field, atoms = shaken("na3no3_esp")
    set_topology(field, atoms)
    nitrogen = int(np.flatnonzero(atoms.numbers == 7)[0])
    broken = atoms.copy()
    oxygen = int(np.flatnonzero((atoms.arrays[MOLECULE_ID] == 0) & (atoms.numbers == 8))[0])
    bond = broken.get_distance(nitrogen, oxygen, mic=True, vector=True)
    broken.positions[oxygen] += bond
    with pytest.raises(BrokenMoleculeError, match=rf"molecule 0 is broken: for atom {oxygen} \(O\)"):
        find_topology(field, broken)
    atoms.arrays[MOLECULE_ID][nitrogen] = 3
    with pytest.raises(TopologyError, match="are as near as a bond, but molecule_id is"):
        find_topology(field, atoms)
    atoms.arrays[MOLECULE_ID] = atoms.arrays[MOLECULE_ID].astype(float)
    with pytest.raises(TopologyError, match="one whole number per atom"):
        find_topology(field, atoms)


def test_given_labels_must_be_those_of_the_bonds():
    field, atoms = shaken("li2ohcl_catlow_oh")
    set_topology(field, atoms)
    oxygen = int(np.flatnonzero(atoms.numbers == 8)[0])
    atoms.arrays[SPECIES][oxygen] = "O"
    with pytest.raises(TopologyError, match=rf"calls atom {oxygen} \(O\) 'O', its bonds make it 'O_h'"):
        IonicCalculator(field).get_property("energy", atoms)


def test_unknown_elements_are_named():
    field, atoms = load_force_field("li2ohcl_catlow_oh"), lithium_hydroxide()
    atoms.symbols[0] = "Na"
    with pytest.raises(UnknownSpeciesError, match="no species 'Na'; available: Cl, H, Li, O"):
        find_topology(field, atoms)


def test_a_cell_lower_than_two_bonds_is_refused():
    field, atoms = load_force_field("na3obh4_esp"), CRYSTALS["na3obh4_esp"]()
    atoms.set_cell([3.2, 5.0, 5.0])
    with pytest.raises(TopologyError, match=r"3\.20 Å high at its lowest, expected more"):
        find_topology(field, atoms)
