"""Recipes with molecular anions: built, refused where the forces do not know them, run to a trajectory."""

import json

import numpy as np
import pytest
from ase.io import read

from simtools.core.errors import ConfigError
from simtools.md.h5md import read_trajectory
from simtools.md.protocols import load_final_atoms
from workflows.cell_files import build_for_export
from workflows.cli import main
from workflows.forces import forces_of
from workflows.recipe import read_recipe
from workflows.system_checks import check_recipe
from workflows.systems import describe_system

RECIPE = """
title = "molecules"
[structure]
formula = "{formula}"
supercell = [3, 3, 3]
{structure}
[potential]
name = "{potential}"
[md]
temperatures_K = [600]
timestep_fs = 0.5
equilibration_ps = 0.1
production_ps = 0.02
sample_every_fs = 2
lattice_parameter_A = {a}
{md}
[analysis]
mobile = "{mobile}"
"""

HYDROXIDE = {"formula": "Li2OHCl", "potential": "li2ohcl_catlow_oh", "a": 3.95, "mobile": "Li"}
HYDROXIDE |= {"structure": "", "md": ""}


def recipe_file(tmp_path, **keys):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(**{**HYDROXIDE, **keys}))
    return path


def checked(path):
    recipe = read_recipe(path)
    forces = forces_of(recipe.to_dict()["potential"], relative_to=path.parent)
    return recipe, forces, check_recipe(recipe, forces)


@pytest.mark.parametrize(
    ("options", "composition", "host"),
    [
        ({}, {"Li": 54, "O": 27, "H": 27, "Cl": 27}, ["Cl", "O"]),
        (
            {"formula": "Na3OBH4", "potential": "na3obh4_esp", "a": 4.6, "mobile": "Na"},
            {"Na": 81, "O": 27, "B": 27, "H": 108},
            ["B", "O"],
        ),
    ],
)
def test_formula_and_orientations_reach_the_builder(tmp_path, options, composition, host):
    path = recipe_file(tmp_path, structure='orientations = "best-packed"', **options)
    recipe, forces, cell = checked(path)
    assert describe_system(recipe, forces, cell)["composition"] == composition
    assert describe_system(recipe, forces, cell)["host"] == host
    assert cell.info["orientations"] == "best-packed"
    exported = build_for_export(recipe)
    assert np.array_equal(exported.positions, cell.positions)
    n_sites = len(cell.info["lattice_sites"]["species"])
    assert n_sites - len(cell) == len(cell.info["vacant_sites"]["species"])


def test_build_writes_molecules_and_labels(tmp_path):
    path = recipe_file(tmp_path)
    assert main(["build", str(path), "-o", str(tmp_path / "cell.extxyz")]) == 0
    cell = read(tmp_path / "cell.extxyz")
    assert sorted(set(cell.arrays["species_label"])) == ["Cl", "H", "Li", "O_h"]
    assert len(set(cell.arrays["molecule_id"])) == 28


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"potential": "li3ocl_mouta_formal"}, "holds OH, for which 'li3ocl_mouta_formal' has no molecule"),
        ({"formula": "Li3OCl", "structure": 'orientations = "random"'}, "holds no molecular anions to turn"),
        ({"structure": 'orientations = "up"'}, "orientations"),
        ({"formula": "Li2.9OH0.1Cl"}, "make 78.3 in 81 X sites; expected a whole number"),
        ({"potential": "so4"}, "'so4' is a template"),
        ({"md": "inertia_scale = 4.0"}, "inertia_scale has no effect without rigid_molecules = true"),
        (
            {"md": "rigid_molecules = true\ninertia_scale = 4.0\nfrozen_orientation = true"},
            "inertia_scale has no effect with frozen_orientation = true",
        ),
        ({"formula": "Li3OCl", "md": "rigid_molecules = true"}, "Li3OCl holds no molecules; remove it"),
        ({"formula": "Li3OCl", "md": "cone_restraint_deg = 30"}, "= 30: Li3OCl holds no molecules"),
        ({"md": "cone_stiffness_eV_per_rad2 = 5"}, "has no effect without cone_restraint_deg"),
        ({"md": "cone_restraint_deg = 180"}, "cone_restraint_deg"),
        (
            {"md": "rigid_molecules = true\ncone_restraint_deg = 30\nfrozen_orientation = true"},
            "cone_restraint_deg has no effect with frozen_orientation = true",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, options, words):
    with pytest.raises(ConfigError, match=words):
        checked(recipe_file(tmp_path, **options))


@pytest.mark.parametrize("md", ["", "rigid_molecules = true\ninertia_scale = 16.0"])
def test_run_keeps_the_molecules_in_trajectory_and_checkpoint(tmp_path, md):
    path = recipe_file(tmp_path, md=md)
    out = tmp_path / "out"
    assert main(["run", str(path), "-o", str(out), "--executor", "inline"]) == 0
    (point,) = (out / "points").iterdir()
    trajectory, last = read_trajectory(point), load_final_atoms(point)
    assert np.array_equal(trajectory.molecule_id, last.arrays["molecule_id"])
    for k in range(27):
        oxygen, hydrogen = np.flatnonzero(trajectory.molecule_id == k)
        bond = trajectory.positions_A[:, hydrogen] - trajectory.positions_A[:, oxygen]
        bond -= np.round(bond @ np.linalg.inv(trajectory.cells_A)) @ trajectory.cells_A
        lengths = np.linalg.norm(bond, axis=1)
        assert lengths.max() < 1.3
        assert np.ptp(lengths) < 1e-5 if md else np.ptp(lengths) > 1e-3  # float32 positions
    assert sorted(set(last.arrays["species_label"])) == ["Cl", "H", "Li", "O_h"]


def test_a_cone_reaches_the_dynamics(tmp_path):
    path = recipe_file(tmp_path, md="cone_restraint_deg = 10\ncone_stiffness_eV_per_rad2 = 8.0")
    out = tmp_path / "out"
    assert main(["run", str(path), "-o", str(out), "--executor", "inline"]) == 0
    (point,) = (out / "points").iterdir()
    assert json.loads((point / "inputs.json").read_text())["cone_restraint"] == {
        "angle_deg": 10.0,
        "stiffness_eV_per_rad2": 8.0,
        "reference": "start",
    }
