"""Counterfactual runs by recipe: what is refused, whose hash stays, one small campaign to its report."""

import json
import tomllib
from functools import partial

import numpy as np
import pytest

from simtools.core.errors import ConfigError
from simtools.core.periodic import minimum_image
from simtools.md.h5md import read_trajectory
from simtools.md.rigid_settling import settle_rigid_molecules
from simtools.runs import load_run
from workflows.campaign import Campaign
from workflows.cli import main
from workflows.counterfactual_tables import variants_of
from workflows.counterfactuals import _cone_drifts
from workflows.forces import forces_of
from workflows.molecular import held_framework
from workflows.point import PointJob, _system, run_point
from workflows.recipe import read_recipe, recipe_from_dict, to_toml
from workflows.statepoints import production_point, volume_point
from workflows.status import status_of
from workflows.system_checks import check_recipe

RECIPE = """
title = "altered"
[structure]
formula = "{formula}"
supercell = [3, 3, 3]
{structure}
[potential]
name = "{potential}"
[md]
temperatures_K = {temperatures}
timestep_fs = 0.5
equilibration_ps = 0.02
production_ps = 0.05
sample_every_fs = 2.5
lattice_parameter_A = 3.95
{md}
[analysis]
mobile = "Li"
"""
DEFAULTS = {"formula": "Li2OHCl", "potential": "li2ohcl_catlow_oh", "temperatures": "[600, 700, 800]"}
DEFAULTS |= {"structure": "", "md": ""}
TABLES = {
    "cone": 'kind = "cone_restraint"\nangle_deg = 30',
    "heavy": 'kind = "heavy_rotor"\ninertia_scale = [4, 16]',
    "frozen": 'kind = "frozen_orientation"',
    "framework": 'kind = "frozen_framework"',
    "quenched": 'kind = "quenched_orientations"',
    "atoms": 'kind = "heavy_atoms"\nmasses_amu = { H = 17.0 }',
    "even": 'kind = "even_mass"\nmasses_amu = { H = 17.0 }',
}


def recipe_text(*tables, **keys):
    rows = "".join(f"[[counterfactual]]\n{TABLES.get(table, table)}\n" for table in tables)
    return RECIPE.format(**{**DEFAULTS, **keys}) + rows


def recipe_of(*tables, **keys):
    return recipe_from_dict(tomllib.loads(recipe_text(*tables, **keys)), source="r.toml")


def checked(tmp_path, *tables, **keys):
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_text(*tables, **keys))
    recipe = read_recipe(path)
    forces = forces_of(recipe.to_dict()["potential"], relative_to=tmp_path)
    return recipe, forces, check_recipe(recipe, forces)


def test_lists_expand_and_references_come_first():
    found = variants_of(recipe_of("cone", "heavy", "frozen", "framework", "quenched", "atoms"))
    assert [(item.label, item.reference, item.temperatures_K) for item in found] == [
        ("rigid", None, (700.0,)),
        ("even-H17", None, (700.0,)),
        ("cone30", None, (700.0,)),
        ("inertia4", "rigid", (700.0,)),
        ("inertia16", "rigid", (700.0,)),
        ("frozen", "rigid", (700.0,)),
        ("framework", None, (700.0,)),
        ("quenched", "rigid", (700.0,)),
        ("heavy-H17", "even-H17", (700.0,)),
    ]


def test_rigid_free_runs_need_no_other_reference_and_references_follow_all_temperatures():
    assert [item.reference for item in variants_of(recipe_of("heavy", md="rigid_molecules = true"))] == [
        None,
        None,
    ]
    at_two = TABLES["heavy"] + "\ntemperatures_K = [600, 800]"
    found = {item.label: item.temperatures_K for item in variants_of(recipe_of(at_two, "frozen"))}
    assert found["rigid"] == (600.0, 700.0, 800.0)
    assert found["inertia4"] == (600.0, 800.0)
    found = {item.label: item.temperatures_K for item in variants_of(recipe_of("even", "atoms"))}
    assert list(found) == ["even-H17", "heavy-H17"]


@pytest.mark.parametrize(
    ("tables", "options", "words"),
    [
        (['kind = "cone"'], {}, r"kind = 'cone': expected 'cone_restraint' or"),
        (['kind = "cone_restraint"\nangel_deg = 30'], {}, "did you mean 'angle_deg'"),
        (['kind = "cone_restraint"'], {}, r"needs angle_deg, such as angle_deg = 30"),
        (['kind = "cone_restraint"\nangle_deg = 180'], {}, "angle_deg = 180: expected a number above 0"),
        (['kind = "heavy_rotor"'], {}, r"needs inertia_scale, such as"),
        (['kind = "heavy_rotor"\ninertia_scale = [1, 4]'], {}, "is the free run itself"),
        (['kind = "heavy_rotor"\ninertia_scale = [4, 0.25]'], {}, "0.25: expected above 1; lighter rotors"),
        (['kind = "cone_restraint"\nangle_deg = 91'], {}, "angle_deg = 91: expected a number above 0.* 90"),
        (['kind = "heavy_atoms"\nmasses_amu = { H = 0.5 }'], {}, "H = 0.5 amu is lighter than the 1.008 amu"),
        (["atoms"], {"md": "masses_amu = { H = 20.0 }"}, "lighter than the 20 amu of the free run"),
        (['kind = "even_mass"\nmasses_amu = { H = 0.5 }'], {}, "H = 0.5 amu is lighter"),
        (['kind = "frozen_orientation"\nangle_deg = 30'], {}, "has no effect with kind = .*, only with cone"),
        (['kind = "even_mass"'], {}, "expected masses_amu here or in"),
        (['kind = "heavy_atoms"\nmasses_amu = { H = -1 }'], {}, "a table of masses in amu"),
        (['kind = "heavy_atoms"\nmasses_amu = { Cl = 40 }'], {}, "no molecule holds Cl"),
        ([TABLES["cone"] + "\ntemperatures_K = [650]"], {}, "650 K is not in"),
        (["cone", "cone"], {}, r"counterfactual.1\] is cone30 again"),
        (["cone"], {"md": "cone_restraint_deg = 20"}, "compares with a free run; remove cone_restraint_deg"),
        (["frozen"], {"structure": 'orientations = "random"'}, "quenched_orientations"),
        (["cone"], {"formula": "Li3OCl"}, "Li3OCl holds no molecules"),
        (["frozen"], {"formula": "Li3OCl"}, "Li3OCl holds no molecules"),
        ([], {"md": "masses_amu = { Na = 23 }"}, "masses_amu names Na, which is not in the cell"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, tables, options, words):
    with pytest.raises(ConfigError, match=words):
        checked(tmp_path, *tables, **options)


def test_double_brackets_are_asked_for():
    text = recipe_text() + '[counterfactual]\nkind = "frozen_orientation"\n'
    with pytest.raises(ConfigError, match=r"expected \[\[counterfactual\]\]"):
        recipe_from_dict(tomllib.loads(text), source="r.toml")


def test_free_points_keep_their_hashes():
    plain = """
    [structure]
    formula = "Li2OHCl"
    supercell = [3, 3, 3]
    [potential]
    name = "x"
    [md]
    temperatures_K = [600, 700, 800]
    production_ps = 1
    rigid_molecules = true
    [analysis]
    mobile = "Li"
    """
    altered = plain + '[[counterfactual]]\nkind = "heavy_rotor"\ninertia_scale = 4\n'
    for text in (plain, altered):
        recipe = recipe_from_dict(tomllib.loads(text), source="r.toml")
        point = production_point(
            recipe, 700.0, 1, potential={"name": "x"}, lattice_parameter_A=3.9, volume_from="abc"
        )
        volume = volume_point(recipe, 700.0, potential={"name": "x"}, start_lattice_parameter_A=3.9)
        assert point.name == "700K-r01-01f46c6cf9"  # as before there were counterfactual runs
        assert volume.name == "700K-volume-4782b9c09b"
    (variant,) = variants_of(recipe)
    heavy = production_point(
        recipe, 700.0, 1, potential={"name": "x"}, lattice_parameter_A=3.9, volume_from="abc", variant=variant
    )
    assert heavy.label == "700K-inertia4-r01"
    assert heavy.inputs["seeds"] == point.inputs["seeds"]
    assert heavy.role == "production"
    again = recipe_from_dict(tomllib.loads(to_toml(recipe.to_dict())), source="r.toml")
    assert variants_of(again) == variants_of(recipe)


def test_altered_runs_share_the_volume_of_the_free_run(tmp_path):
    text = recipe_text("cone", "framework", temperatures="[600, 700]").replace(
        "lattice_parameter_A = 3.95", ""
    )
    (tmp_path / "recipe.toml").write_text(text)
    recipe = read_recipe(tmp_path / "recipe.toml")
    forces = forces_of(recipe.to_dict()["potential"], relative_to=tmp_path)
    campaign = Campaign(recipe, tmp_path, forces, {"start_lattice_parameter_A": 3.95})
    jobs = campaign.production_jobs(700.0, {"mean_volume_A3": 27 * 4.0**3})
    assert [job.spec.variant for job in jobs] == [None, "cone30", "framework"]
    cells = [job.spec.inputs["cell"] for job in jobs]
    assert cells[0] == cells[1] == cells[2]
    assert cells[0]["volume_point"] == campaign.volume_job(700.0).spec.digest
    assert cells[0]["lattice_parameter_A"] == pytest.approx(4.0)
    assert len(campaign.production_jobs(600.0, {"mean_volume_A3": 27 * 4.0**3})) == 1
    assert campaign.n_points == 2 + 2 + 2


def test_masses_are_part_of_a_point_and_the_total_is_kept(tmp_path):
    recipe, forces, _ = checked(tmp_path, "atoms", md="masses_amu = { Li = 6.0 }")
    (tmp_path / "recipe.toml").write_text(recipe_text("atoms", md="masses_amu = { Li = 6.0 }"))
    masses = {}
    for variant in (None, *variants_of(recipe)):
        spec = production_point(
            recipe, 700.0, 1, potential=forces.identity(), lattice_parameter_A=3.95, variant=variant
        )
        assert spec.inputs["md"]["masses_amu"] == {"Li": 6.0}
        job = PointJob(run_directory=str(tmp_path), spec=spec)
        atoms, _ = _system(job)
        masses[spec.variant] = atoms
    symbols = np.array(masses[None].get_chemical_symbols())
    free, even, heavy = (masses[k].get_masses() for k in (None, "even-H17", "heavy-H17"))
    for item in (free, even, heavy):
        assert np.all(item[symbols == "Li"] == 6.0)
        assert np.array_equal(item[symbols == "Cl"], free[symbols == "Cl"])
    assert np.all(heavy[symbols == "H"] == 17.0)
    bound = np.isin(symbols, ["O", "H"])
    assert even[bound].sum() == pytest.approx(heavy[bound].sum())
    ratio = even[bound] / free[bound]
    assert np.ptp(ratio) < 1e-12
    assert ratio[0] > 1.5


def test_the_framework_is_every_other_ion_and_the_centres_of_molecules(tmp_path):
    _, _, cell = checked(tmp_path, "framework")
    held = held_framework(cell, "Li")
    symbols = np.array(cell.get_chemical_symbols())
    assert sorted(held) == np.flatnonzero(np.isin(symbols, ["O", "Cl"])).tolist()


def test_a_campaign_grows_by_counterfactual_runs_and_tells_what_they_change(tmp_path):
    path, out = tmp_path / "recipe.toml", tmp_path / "out"
    command = ["run", str(path), "-o", str(out), "--executor", "inline"]
    path.write_text(recipe_text(temperatures="[700]"))
    assert main(command) == 0
    (free,) = (item.name for item in (out / "points").iterdir())
    began = (out / "points" / free / "done.json").stat().st_mtime_ns
    heavy = 'kind = "heavy_rotor"\ninertia_scale = 16'
    path.write_text(recipe_text("cone", heavy, "frozen", "framework", temperatures="[700]"))
    assert main(command) == 0
    assert (out / "points" / free / "done.json").stat().st_mtime_ns == began
    points = {item.name.rsplit("-", 1)[0]: item for item in (out / "points").iterdir()}
    names = ["rigid", "cone30", "inertia16", "frozen", "framework"]
    assert set(points) == {"700K-r01", *(f"700K-{name}-r01" for name in names)}
    rows = status_of(out)["points"]
    assert [(row["label"], row["state"]) for row in rows][:2] == [
        ("700K-r01", "done"),
        ("700K-rigid-r01", "done"),
    ]

    summary = json.loads((out / "summary.json").read_text())
    assert len(summary["transport"]) == 1
    block = {row["variant"]: row for row in summary["counterfactual"]}
    assert list(block) == names
    assert {name: block[name]["reference"] for name in names} == {
        "rigid": "free", "cone30": "free", "inertia16": "rigid", "frozen": "rigid", "framework": "free",
    }  # fmt: skip
    for row in block.values():
        assert set(row["diffusivity_ratio"]) >= {"method", "n_eff"}
        assert row["n_replicas"] == 1
    shifts = {name: block[name]["potential_energy_difference_eV_per_anion"]["value"] for name in names}
    ends = {
        name: json.loads((points[name] / "done.json").read_text())["outcome"]["stages"][-1]
        for name in ("700K-r01", "700K-cone30-r01")
    }
    between = [ends[name]["potential_energy_eV"]["value"] for name in ends]
    assert shifts["cone30"] == pytest.approx((between[1] - between[0]) / 27)
    assert block["frozen"]["reorientation"]["OH"]["c1"] == pytest.approx(1.0, abs=1e-9)
    assert block["inertia16"]["reorientation"]["OH"]["c1"] > block["rigid"]["reorientation"]["OH"]["c1"]
    page = (out / "report.html").read_text()
    assert "Runs with something taken away" in page
    assert (out / "figures" / "counterfactual.svg").exists()
    run = load_run(out)
    assert [item.variant for item in run.counterfactuals] == names
    assert run.plot_counterfactuals().get_xscale() == "log"

    framework = read_trajectory(points["700K-framework-r01"])
    moved = np.abs(framework.positions_A - framework.positions_A[0]).max(axis=(0, 2))
    assert not moved[np.isin(framework.species, ["O", "Cl"])].any()
    assert moved[framework.species == "H"].min() > 0.0
    assert (
        json.loads((points["700K-framework-r01"] / "inputs.json").read_text())["held_atoms"]["n_atoms"] == 54
    )


def test_cones_whose_energy_drifts_are_named_one_by_one():
    def outcome(value, half, said=()):
        drift = {"value": value, "stderr": half / 2, "ci95": [value - half, value + half]}
        return {"stages": [{"conserved_drift_eV_per_atom_per_ns": drift, "warnings": list(said)}]}

    points = [
        ("a", outcome(0.03, 0.005)),
        ("b", outcome(0.03, 0.04)),
        ("c", outcome(0.005, 0.001)),
        ("d", outcome(-0.02, 0.005)),
        ("e", outcome(0.03, 0.005, ["stage 'production': the conserved energy drifts by 0.03 eV/atom/ns"])),
        ("f", {"stages": [{"conserved_drift_eV_per_atom_per_ns": None, "warnings": []}]}),
    ]
    lines = _cone_drifts(points)
    assert [line[:2] for line in lines] == ["a:", "d:"]
    assert "0.03 eV/atom/ns, more than 0.01" in lines[0]
    assert "halve timestep_fs" in lines[0]


def test_quenched_orientations_stay_and_differ_between_replicas(tmp_path):
    recipe, forces, _ = checked(tmp_path, "quenched")
    variant = variants_of(recipe)[-1]
    bonds = []
    for replica in (1, 2):
        spec = production_point(
            recipe, 700.0, replica, potential=forces.identity(), lattice_parameter_A=3.95, variant=variant
        )
        assert spec.inputs["md"]["frozen_orientation"] is True
        atoms, _ = _system(PointJob(run_directory=str(tmp_path), spec=spec))
        pairs = [np.flatnonzero(atoms.arrays["molecule_id"] == k) for k in range(27)]
        bonds.append(np.array([atoms.get_distance(*pair, mic=True, vector=True) for pair in pairs]))
    assert np.abs(bonds[0] - bonds[1]).max() > 0.5
    assert np.linalg.norm(bonds[0].mean(axis=0)) < 0.5 * np.linalg.norm(bonds[0][0])


def test_quenched_runs_start_at_rest_and_stay_near_their_temperature(tmp_path, monkeypatch):
    recipe, forces, _ = checked(tmp_path, "quenched")
    variant = variants_of(recipe)[-1]
    spec = production_point(
        recipe, 700.0, 1, potential=forces.identity(), lattice_parameter_A=3.95, variant=variant
    )
    job = PointJob(str(tmp_path), spec)
    atoms, _ = _system(job)
    pairs = np.array([np.flatnonzero(atoms.arrays["molecule_id"] == k) for k in range(27)])

    def bonds_of(r_nc):
        return minimum_image(r_nc[pairs[:, 1]] - r_nc[pairs[:, 0]], np.array(atoms.cell))

    done = run_point(job)
    assert done.status == "done", done.message
    assert done.outcome["settling"]["energy_gain_eV"] > 20
    assert done.outcome["mean_temperature_K"] < 1200  # 50 fs after the start; 3900 K without settling
    trajectory = read_trajectory(job.directory)
    assert bonds_of(trajectory.positions_A[-1]) == pytest.approx(bonds_of(atoms.positions), abs=1e-6)
    (job.directory / "done.json").unlink()
    assert run_point(job).outcome["settling"] == done.outcome["settling"]

    monkeypatch.setattr(
        "workflows.point.settle_rigid_molecules", partial(settle_rigid_molecules, max_steps=3)
    )
    (tmp_path / "other").mkdir()
    other = PointJob(str(tmp_path / "other"), spec)
    failed = run_point(other)
    assert failed.status == "failed"
    assert "did not come to rest" in failed.message
    assert "another [md] seed" in failed.message
    assert "\n" not in failed.message
