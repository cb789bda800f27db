"""Molecules keep their names through a run, and a run stops where one breaks."""

import numpy as np
import pytest

from potentials.calculator import IonicCalculator
from simtools.core.errors import ConfigError, RunFailedError
from simtools.md.h5md import read_trajectory
from simtools.md.protocols import load_final_atoms, run_stages
from simtools.md.stages import Stage
from simtools.md.trajectory import Trajectory
from tests.molecular_crystals import shaken
from tests.simtools.md.md_toys import argon


def stage(**options):
    common = {"name": "production", "ensemble": "NVT", "temperature_K": 300.0, "timestep_fs": 0.5}
    common |= {"duration_ps": 0.02, "sample_every_fs": 2.0, "write_trajectory": True, "seed": 1}
    return Stage(**{**common, **options})


@pytest.mark.parametrize("name", ["na3obh4_esp", "li2ohcl_catlow_oh"])
def test_molecules_are_named_at_the_start_and_kept(name, tmp_path):
    field, atoms = shaken(name)
    run_stages(atoms, IonicCalculator(field), [stage()], tmp_path)
    assert not atoms.has("molecule_id")  # the caller's atoms are left alone
    trajectory, last = read_trajectory(tmp_path), load_final_atoms(tmp_path)
    assert np.array_equal(trajectory.molecule_id, last.arrays["molecule_id"])
    (molecule,) = field.molecules.values()
    for k in range(trajectory.molecule_id.max() + 1):
        members = np.flatnonzero(trajectory.molecule_id == k)
        assert sorted(trajectory.species[members]) == sorted(molecule.elements)
    assert set(last.arrays["species_label"]) >= set(molecule.species)


def test_a_run_stops_where_a_molecule_breaks(tmp_path):
    field, atoms = shaken("li2ohcl_catlow_oh")
    hot = stage(temperature_K=60000.0, ensemble="NVE")
    with pytest.raises(RunFailedError, match=r"molecule .* is broken: for atom \d+ \((H|O)\)"):
        run_stages(atoms, IonicCalculator(field), [hot], tmp_path)
    assert (tmp_path / "failure.xyz").exists()


def test_a_force_field_without_molecules_names_none(tmp_path):
    atoms = argon()
    run_stages(atoms, IonicCalculator("lennard_jones"), [stage(temperature_K=30.0)], tmp_path)
    assert read_trajectory(tmp_path).molecule_id is None
    assert "molecule_id" not in load_final_atoms(tmp_path).arrays


def test_rigid_force_fields_ask_for_rigid_dynamics(tmp_path):
    field, atoms = shaken("li2ohcl_catlow_oh")
    calculator = IonicCalculator(field)
    calculator.__class__ = type("Rigid", (IonicCalculator,), {"has_rigid_molecules": True})
    with pytest.raises(ConfigError, match="this force field has rigid molecules"):
        run_stages(atoms, calculator, [stage()], tmp_path)


def test_numbers_of_molecules_come_one_per_atom():
    with pytest.raises(ValueError, match=r"molecule_id must have shape \(2,\), got \(3,\)"):
        Trajectory(
            positions_A=np.zeros((1, 2, 3)),
            species=["O", "H"],
            cells_A=np.eye(3),
            frame_interval_ps=1.0,
            molecule_id=[0, 0, 0],
        )
