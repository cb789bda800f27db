"""Molecules found and followed: any number of ligands, any images, bonds that break by name."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.analysers.molecules import bond_cutoff_A, find_molecules
from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.md.trajectory import Trajectory
from simtools.testing.rigid_rotors import rigid_rotors, rotor_quaternions


@pytest.mark.parametrize("n_ligands", [1, 2, 3, 4, 6])
def test_molecules_of_any_size_are_found_in_wrapped_and_unwrapped_positions(n_ligands):
    quaternions = rotor_quaternions(5, 9, seed=n_ligands, jump_rate_per_ps=1.0)
    options = {"n_ligands": n_ligands, "centre": "P", "ligand": "S", "bond_A": 2.05}
    flat = find_molecules(rigid_rotors(quaternions, **options), centre="P", ligands="S")
    folded = find_molecules(rigid_rotors(quaternions, **options, wrapped=True), centre="P", ligands="S")
    assert flat.ligands.shape == (9, n_ligands)
    assert flat.changes == ()
    assert_allclose(flat.bond_lengths_A, 2.05, rtol=1e-12)
    assert_allclose(folded.bonds_A, flat.bonds_A, atol=1e-12)


@pytest.mark.kernel
def test_bonds_follow_a_sheared_cell_that_changes():
    rng = np.random.default_rng(3)
    cells = np.array([[8.0, 0, 0], [3.5, 7.0, 0], [-2.0, 1.0, 9.0]]) * rng.uniform(0.95, 1.05, (20, 1, 1))
    bond = rng.normal(size=(20, 3))
    bond *= 0.97 / np.linalg.norm(bond, axis=1, keepdims=True)
    images = np.einsum("ti,tij->tj", rng.integers(-3, 4, (20, 3)).astype(float), cells)
    positions = np.stack([np.zeros((20, 3)), bond + images], axis=1)
    trajectory = Trajectory(positions_A=positions, species=["O", "H"], cells_A=cells, frame_interval_ps=1.0)
    assert_allclose(find_molecules(trajectory, centre="O", ligands="H").bonds_A[:, 0, 0], bond, atol=1e-12)


def hydroxides(x_t):
    """Return two O 2.5 Å apart, an H that goes from one to the other at distance x, and a bystander OH."""
    r_tnc = np.zeros((len(x_t), 5, 3))
    r_tnc[:, 1, 0] = 2.5
    r_tnc[:, 2, 0] = x_t
    r_tnc[:, 3] = [6.0, 6.0, 6.0]
    r_tnc[:, 4] = [6.0, 6.0, 6.97]
    return Trajectory(
        positions_A=r_tnc, species=["O", "O", "H", "O", "H"], cells_A=12 * np.eye(3), frame_interval_ps=0.1
    )


@pytest.mark.kernel
def test_an_exchange_and_a_dissociation_are_named_and_left_out():
    exchanged = find_molecules(hydroxides([0.97, 1.0, 1.5, 1.53, 0.97]), centre="O", ligands="H")
    (change,) = exchanged.changes
    assert (change.kind, change.molecule, change.ligand, change.new_centre) == ("exchange", 0, 2, 1)
    assert (change.first_frame, change.n_frames) == (2, 2)
    whole, notes = exchanged.intact()
    assert whole.centres.tolist() == [3]
    assert "1 of 2 OH do not stay whole" in notes[0]
    assert "exchange of atom 2" in notes[0]
    gone = find_molecules(hydroxides([0.97, -1.5, -3.0, -3.0, -3.0]), centre="O", ligands="H")
    (change,) = gone.changes
    assert (change.kind, change.first_frame, change.new_centre) == ("dissociation", 2, None)
    assert change.longest_A == pytest.approx(3.0)


def test_a_stretched_bond_is_no_break():
    assert find_molecules(hydroxides([0.97, -1.3, -1.5, 0.9]), centre="O", ligands="H").changes == ()


def test_oxide_and_water_beside_hydroxide_are_counted_not_mixed():
    water = hydroxides([0.97, 0.97])
    positions = np.concatenate([water.positions_A, np.broadcast_to([6.97, 6.0, 6.0], (2, 1, 3))], axis=1)
    mixed = replace(water, positions_A=positions, species=[*water.species, "H"])
    with pytest.raises(ConfigError, match="different numbers of ligands"):
        find_molecules(mixed, centre="O", ligands="H")
    hydroxide = find_molecules(mixed, centre="O", ligands="H", n_ligands=1)
    assert hydroxide.centres.tolist() == [0]
    assert hydroxide.others == {0: 1, 2: 1}


def test_topology_replaces_the_search_and_everything_is_checked():
    trajectory = hydroxides([0.97, 1.6])
    given = find_molecules(trajectory, centre="O", ligands="H", topology=([3], [[4]]))
    assert given.centres.tolist() == [3]
    assert given.name == "OH"
    for options, message in (
        ({"topology": ([3], [[9]])}, "names atom 9"),
        ({"topology": ([3, 0], [[4]])}, "must be"),
        ({"cutoffs_A": 5.0}, "cannot be told from their images"),
        ({"cutoffs_A": -1.0}, "must be positive"),
        ({"cutoffs_A": {"D": 1.0}}, "no entry for 'H'"),
        ({"n_ligands": 4}, "no O has 4 ligands"),
        ({"cutoffs_A": 1.6}, "expected 1 at most"),
        ({"cutoffs_A": 0.5}, "expected molecules"),
    ):
        with pytest.raises(ConfigError, match=message):
            find_molecules(trajectory, centre="O", ligands="H", **options)
    with pytest.raises(UnknownSpeciesError):
        find_molecules(trajectory, centre="O", ligands="D")


def test_typed_cutoffs_and_isotopes():
    assert bond_cutoff_A("O", "D") == bond_cutoff_A("O", "H") == pytest.approx(1.25 * 0.97)
    with pytest.raises(ConfigError, match="no element"):
        bond_cutoff_A("Vac", "H")
    trajectory = hydroxides([0.97, 0.97])
    mixed = replace(trajectory, species=["O", "O", "D", "O", "H"])
    both = find_molecules(mixed, centre="O", ligands=("H", "D"), cutoffs_A={"H": 1.2, "D": 1.1})
    assert both.centres.tolist() == [0, 3]
    assert both.ligand_masses_amu[:, 0] == pytest.approx([2.014, 1.008], abs=1e-3)


def test_nothing_whole_is_an_error():
    lone = find_molecules(hydroxides([0.97, 3.5]), centre="O", ligands="H", topology=([0], [[2]]))
    with pytest.raises(ConfigError, match="none of 1 OH stays whole"):
        lone.intact()
