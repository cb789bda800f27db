"""LAMMPS' bonds, angles and special_bonds give the energies, forces and stress of our molecules."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from potentials.calculator import IonicCalculator
from potentials.force_field import PairTerm
from potentials.forms import BornMayer
from potentials.lammps import evaluate_with_lammps, write_lammps
from potentials.lammps_library import LammpsUnavailableError, import_lammps
from potentials.lammps_molecules import molecule_lines, zero_of_bonds_eV
from potentials.schema import load_force_field
from potentials.topology import find_topology
from simtools.core.errors import ConfigError
from tests.molecular_crystals import CRYSTALS, lithium_hydroxide_chloride, shaken

TIGHT = {"kspace": "ewald", "accuracy": 1e-10, "coulomb_cutoff_A": 12.0}
try:
    import_lammps()
    WHY_NOT = ""
except LammpsUnavailableError as error:
    WHY_NOT = str(error)
needs_lammps = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


def bonded_only(field):
    """Return the force field without charges, its pair terms made zero: bonds and angles are left."""
    nothing = {
        pair: (PairTerm(pair, "born_mayer", BornMayer(A=0.0, rho=0.3), "project", "D"),)
        for pair in [*field.pairs, *field.no_interaction]
    }
    return replace(field, charges_e=dict.fromkeys(field.charges_e, 0.0), pairs=nothing, no_interaction={})


@needs_lammps
@pytest.mark.parametrize("name", CRYSTALS)
def test_bonded_terms_agree_to_a_millionth(name):
    field, atoms = shaken(name)
    bare = bonded_only(field)
    ours = IonicCalculator(bare, pair_terms="exact")
    found = evaluate_with_lammps(bare, atoms)
    assert abs(ours.get_property("energy", atoms)) > 0.1
    assert found.energy_eV == pytest.approx(ours.get_property("energy", atoms), abs=1e-9, rel=1e-10)
    assert_allclose(found.forces_eV_per_A, ours.get_property("forces", atoms), atol=1e-9)
    assert_allclose(found.stress_eV_per_A3, ours.get_property("stress", atoms), atol=1e-10)


@needs_lammps
@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("repeat", [(1, 1, 1), (2, 2, 1)])
def test_whole_crystals_agree(name, repeat):
    field, atoms = shaken(name, repeat=repeat)
    ours = IonicCalculator(field, coulomb="ewald")
    found = evaluate_with_lammps(field, atoms, **TIGHT)
    # LAMMPS' erfc polynomial, good to 1e-7, limits it: it takes off all of a close pair's Coulomb
    assert found.energy_eV == pytest.approx(ours.get_property("energy", atoms), rel=2e-6)
    assert_allclose(found.forces_eV_per_A, ours.get_property("forces", atoms), atol=5e-6)
    assert_allclose(found.stress_eV_per_A3, ours.get_property("stress", atoms), atol=1e-6)


@needs_lammps
def test_oxide_beside_hydroxide_agrees_too():
    field, atoms = load_force_field("li2ohcl_catlow_oh"), lithium_hydroxide_chloride() * (1, 2, 2)
    atoms.rattle(0.05, seed=3)
    found = evaluate_with_lammps(field, atoms, **TIGHT)
    ours = IonicCalculator(field, coulomb="ewald")
    assert found.energy_eV == pytest.approx(ours.get_property("energy", atoms), rel=2e-6)
    assert_allclose(found.forces_eV_per_A, ours.get_property("forces", atoms), atol=5e-6)


def test_files_say_what_the_molecules_are(tmp_path):
    field, atoms = shaken("na3obh4_esp")
    files = write_lammps(field, atoms, tmp_path / "cell")
    data, text = files.data.read_text(encoding="utf-8"), files.input.read_text(encoding="utf-8")
    assert "16 bonds\n24 angles\n1 bond types\n1 angle types" in data
    assert data.count("\nAngles\n") == 1
    assert "special_bonds lj/coul 0.0 0.0 0.0\nbond_style harmonic\nbond_coeff 1 9.5 1.22  # BH4" in text
    assert "angle_coeff 1 1.38 109.471221  # BH4" in text
    assert "atom_style full" in text
    rows = [line.split() for line in data.split("Atoms  # full\n\n")[1].split("\n\n")[0].splitlines()]
    numbers = np.array([int(row[1]) for row in rows])
    topology = find_topology(field, atoms)
    for members in topology.members_m:
        assert len(set(numbers[list(members)])) == 1
    assert len(set(numbers)) == len(topology.kind_m) + np.sum(topology.molecule_n < 0)


def test_morse_bonds_count_from_free_atoms_here_and_from_their_minimum_there():
    field, atoms = shaken("li2ohcl_catlow_oh")
    assert zero_of_bonds_eV(field, find_topology(field, atoms)) == pytest.approx(-8 * 7.0525)


def test_a_chain_longer_than_special_bonds_reach_is_refused():
    field = load_force_field("li2ohcl_catlow_oh")
    molecule = field.molecules["OH"]
    bond = replace(molecule.bonds[0], pairs=((0, 1), (1, 2), (2, 3), (3, 4)))
    chain = replace(molecule, species=("O_h", "H", "O_h", "H", "O_h"), bonds=(bond,))
    with pytest.raises(ConfigError, match="more than 3 bonds apart"):
        molecule_lines(replace(field, molecules={"OH": chain}))
