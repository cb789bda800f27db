"""Rotation, coupling and verdict inside a run: a tiny real one, and toys with planted truth."""

import json

import pytest

import simtools
from simtools.analysers.verdict import VERDICTS
from simtools.core.errors import ConfigError
from simtools.testing.rotor_crystals import hydroxide_crystal
from workflows.cli import main
from workflows.forces import forces_of
from workflows.recipe import read_recipe
from workflows.run_rotation import anions_of, rotation_blocks, temperature_rotations
from workflows.system_checks import check_recipe

RECIPE = """
title = "rotors"
[structure]
formula = "{formula}"
supercell = [3, 3, 3]
[potential]
name = "{potential}"
[md]
temperatures_K = [900, 1100]
timestep_fs = 1
equilibration_ps = 0.3
production_ps = 1.2
sample_every_fs = 4
lattice_parameter_A = {a}
{md}
[analysis]
mobile = "Li"
{analysis}
"""
HYDROXIDE = {"formula": "Li2OHCl", "potential": "li2ohcl_catlow_oh", "a": 4.0, "analysis": "", "md": ""}


def recipe_file(tmp_path, **keys):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(**{**HYDROXIDE, **keys}))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rotors")
    out = folder / "out"
    recipe = recipe_file(folder, md="rigid_molecules = true")
    assert main(["run", str(recipe), "-o", str(out), "--executor", "inline", "-q"]) == 0
    return out


def quantity_is_whole(entry):
    return ("upper_limit" in entry) != ("value" in entry) and "method" in entry


def test_a_run_says_how_its_anions_turn(run):
    summary = json.loads((run / "summary.json").read_text())
    assert [entry["temperature_K"] for entry in summary["rotation"]] == [900.0, 1100.0]
    for entry in summary["rotation"]:
        assert entry["anion"] == "OH"
        assert entry["n_rotors"] == 27
        assert entry["n_bond_changes"] == 0
        for name in ("tau1_ps", "tau2_ps", "tau1_over_tau2", "order_parameter_squared"):
            assert quantity_is_whole(entry[name])
        assert quantity_is_whole(entry["reorientation_rate_per_ps"])
        hydrogen = entry["ligand_tracer_diffusivity_cm2_per_s"]["H"]
        assert "0 lasting hops" in hydrogen["method"]
        assert hydrogen["upper_limit"] > 0
    (line,) = summary["rotation_arrhenius"]
    assert quantity_is_whole(line["rate_activation_energy_eV"])


def test_a_run_says_what_rotation_has_to_do_with_hops(run):
    summary = json.loads((run / "summary.json").read_text())
    assert len(summary["coupling"]) == len(summary["verdict"]) == 2
    for coupling, verdict in zip(summary["coupling"], summary["verdict"], strict=True):
        assert coupling["mobile"] == verdict["mobile"] == "Li"
        assert {test["name"] for test in coupling["tests"]} >= {
            "rotations lead hops",
            "tilt at hops, below 45 degrees",
        }
        for test in coupling["tests"]:
            assert test["null"]
            assert 0 < test["p"] <= 1
            assert 0 < test["q"] <= 1
        pointing = coupling["vacancy_pointing"]
        assert pointing["angle_to_nearest_vacancy_deg"]["ci95"][1] < 80
        assert verdict["verdict"] in VERDICTS
        assert verdict["reason"]
        assert verdict["ladder"][0]["answer"] in ("yes", "no")
        assert 0 < verdict["excluded_coupled_fraction"] <= 1


def test_the_report_has_the_section_and_its_figures(run):
    page = (run / "report.html").read_text()
    assert "Rotation and its coupling to hops" in page
    assert "Were there enough of both?" in page
    assert "H of OH shows no long-range diffusion" in page
    for name in (
        "orientations-OH",
        "correlogram-OH-Li",
        "tilt-OH-Li",
        "rotation-arrhenius-OH",
        "hazard-OH-Li",
    ):
        assert f'id="figure-{name}"' in page
        assert (run / "figures" / f"{name}.png").exists()


def test_a_notebook_gets_the_same_results(run):
    loaded = simtools.load_run(run)
    assert [(item.anion, item.temperature_K) for item in loaded.rotors] == [("OH", 900.0), ("OH", 1100.0)]
    summary = loaded.summary["rotation"][0]
    assert loaded.rotors[0].rotation["reorientation"].tau1.value == pytest.approx(summary["tau1_ps"]["value"])
    assert loaded.rotors[0].verdict("Li").verdict == loaded.summary["verdict"][0]["verdict"]
    frame = loaded.rotation_dataframe()
    assert list(frame["temperature_K"]) == [900.0, 1100.0]
    assert loaded.rotation_arrhenius[0].rate_activation_energy_eV.value == pytest.approx(
        loaded.summary["rotation_arrhenius"][0]["rate_activation_energy_eV"]["value"]
    )


@pytest.mark.parametrize(
    ("keys", "anions"),
    [
        ({}, ("OH",)),
        ({"formula": "Li3OCl", "potential": "li3ocl_mouta_formal"}, ()),
        ({"formula": "Li3OCl", "potential": "li3ocl_mouta_formal", "analysis": 'anions = ["OCl"]'}, ("OCl",)),
    ],
)
def test_which_anions_are_looked_at(tmp_path, keys, anions):
    path = recipe_file(tmp_path, **keys)
    recipe = read_recipe(path)
    forces = forces_of(recipe.to_dict()["potential"], relative_to=tmp_path)
    assert anions_of(recipe, forces) == anions


@pytest.mark.parametrize(
    ("analysis", "words"),
    [('anions = ["BH4"]', "there is no B in Li2OHCl"), ('anions = ["O"]', "central atoms first")],
)
def test_anions_that_are_not_there_are_refused(tmp_path, analysis, words):
    path = recipe_file(tmp_path, analysis=analysis)

    def check():
        recipe = read_recipe(path)
        check_recipe(recipe, forces_of(recipe.to_dict()["potential"], relative_to=tmp_path))

    with pytest.raises(ConfigError, match=words):
        check()


@pytest.mark.parametrize(
    ("motion", "words"),
    [("follow vacancies", {"co-triggered"}), ("independent", {"uncoupled", "undetermined"})],
)
def test_planted_truth_comes_back_from_replicas(motion, words):
    replicas = [
        hydroxide_crystal(900, seed=seed, motion=motion, turn_rate_per_ps=0.06, hop_rate_per_ps=0.05)
        for seed in (21, 22)
    ]
    notes = []
    studies = temperature_rotations(
        replicas,
        anions=("OH",),
        mobile="Li",
        temperature_K=600.0,
        host_species=("Cl", "O"),
        site_symmetry="m-3m",
        notes=notes,
    )
    blocks = rotation_blocks(studies, [])
    (verdict,), (coupling,), (rotation,) = blocks["verdict"], blocks["coupling"], blocks["rotation"]
    assert verdict["verdict"] in words
    assert rotation["n_replicas"] == 2
    assert rotation["n_rotors"] == 54
    assert coupling["n_hops"] > 100
    angle = coupling["vacancy_pointing"]["angle_to_nearest_vacancy_deg"]["ci95"]
    assert angle[1] < 70 if motion == "follow vacancies" else angle[0] < 90 < angle[1]


def test_a_run_too_short_for_coupling_still_has_its_rotation():
    notes = []
    options = {"mobile": "Li", "temperature_K": 600.0, "host_species": ("Cl", "O"), "site_symmetry": "1"}
    studies = temperature_rotations([hydroxide_crystal(40, seed=1)], anions=("OH",), notes=notes, **options)
    assert len(studies) == 1
    assert studies[0].couplings == ()
    assert any("no coupling of OH and Li" in note for note in notes)
    assert (
        temperature_rotations([hydroxide_crystal(40, seed=1)], anions=("BH4",), notes=notes, **options) == []
    )
    assert "no rotation of BH4" in notes[-1]
