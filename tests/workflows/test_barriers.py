"""`simtools barrier` from a recipe to its files: numbers, resumption, exit status, and what it refuses."""

import json

import pytest
from ase.io import read

from simtools.core.errors import ConfigError
from workflows import barriers
from workflows.barriers import compute_barriers
from workflows.cli import main
from workflows.cli_base import BAD_INPUT, DONE, FAILED
from workflows.path_files import BandSaver, read_path
from workflows.statics import read_static_recipe, static_recipe_from_dict

RECIPE = """
title = "Hops"
[structure]
prototype = "cubic"
formula = "Li3OCl"
supercell = [2, 2, 2]
[potential]
name = "oxyhalide_doped_formal"
accuracy = 1e-4
net_charge = "background"
[[hops]]
kind = "vacancy"
species = "Li"
images = 1
max_force_eV_per_A = 0.05
"""


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "hops.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def run(recipe_file, folder, *more):
    return main(["barrier", str(recipe_file), "-o", str(folder), "-q", *more])


def test_hop_longer_than_the_cell_is_refused(recipe_file, tmp_path, capsys):
    assert run(recipe_file, tmp_path / "out", "--set", "hops.0.longest_A=49") == BAD_INPUT
    assert "leads to an image" in capsys.readouterr().err


def test_barrier_is_printed_summarised_and_drawn(recipe_file, tmp_path, capsys):
    folder = tmp_path / "out"
    assert run(recipe_file, folder) == DONE
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    (entry,) = summary["barriers"]
    assert summary["schema"] == 1
    assert entry["status"] == "path"
    assert entry["ways"] == 8
    assert entry["barrier_forward_eV"]["unit"] == "eV"
    assert entry["barrier_forward_eV"]["value"] == pytest.approx(0.3, abs=0.1)
    assert {"value", "stderr", "ci95", "method", "n_eff"} <= set(entry["barrier_forward_eV"])
    assert any("7.7 Å at its shortest" in note for note in summary["warnings"])
    assert entry["moving_ions"][0]["species"] == "Li"
    assert summary["host"]["lattice_parameter"]["value"] == pytest.approx(3.866, abs=0.002)
    images = read(folder / "path-1.extxyz", index=":")
    assert len(images) == 3
    barrier = images[1].get_potential_energy() - images[0].get_potential_energy()
    assert barrier == pytest.approx(entry["barrier_forward_eV"]["value"], abs=1e-6)
    assert (folder / "figures" / "path-1.svg").read_text(encoding="utf-8").startswith("<svg")
    printed = capsys.readouterr().out
    assert "V_Li' hop 1 (2.73 Å)" in printed
    assert f"{entry['barrier_forward_eV']['value']:.4f}" in printed


def test_second_run_computes_nothing_again(recipe_file, tmp_path, monkeypatch):
    assert run(recipe_file, tmp_path / "out") == DONE
    first = (tmp_path / "out" / "summary.json").read_text(encoding="utf-8")

    def never(*arguments, **options):
        raise AssertionError("computed again")

    monkeypatch.setattr(barriers, "find_path", never)
    assert run(recipe_file, tmp_path / "out") == DONE
    again = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert again["barriers"] == json.loads(first)["barriers"]


def test_band_that_was_given_up_is_continued(recipe_file, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "out"
    assert run(recipe_file, folder, "--set", "hops.0.max_steps=3") == FAILED
    captured = capsys.readouterr()
    assert "did not come to rest in 3 steps" in captured.out
    assert "1 of 1 paths were not found" in captured.err
    assert len(list((folder / "paths").glob("*.band.extxyz"))) == 1
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["barriers"][0]["status"] == "failed"
    monkeypatch.setattr(barriers, "find_path", None)
    assert run(recipe_file, folder) == DONE
    assert not list((folder / "paths").glob("*.band.extxyz"))
    (path,) = [read_path(file) for file in (folder / "paths").glob("*.json")]
    assert path.barrier_forward_eV == pytest.approx(0.3, abs=0.1)


def test_other_forces_are_another_path(recipe_file, tmp_path):
    folder = tmp_path / "out"
    assert run(recipe_file, folder) == DONE
    assert run(recipe_file, folder, "--set", "potential.accuracy=2e-4") == DONE
    assert len(list((folder / "paths").glob("*.json"))) == 2


def test_damaged_path_is_named(recipe_file, tmp_path, capsys):
    folder = tmp_path / "out"
    assert run(recipe_file, folder) == DONE
    (file,) = (folder / "paths").glob("*.json")
    file.write_text(file.read_text(encoding="utf-8")[:300], encoding="utf-8")
    assert run(recipe_file, folder) == BAD_INPUT
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("hops.0.species=Na", "no species 'Na'; available: Li, O, Cl"),
        ("hops.0.kind=jump", "'vacancy' or 'dumbbell'"),
        ("hops.0.only=[7]", "there are hops 1 to"),
        ("hops.0.only=[1, 77]", "there are hops 1 to"),
        ("hops.0.beside=Mg_Cl.", "formal charges"),
        ("hops.0.beside=V_Cl.", "one substituted ion"),
        ("hops.0.beside=lithium", "not a Kröger-Vink label"),
        ("hops.0.imges=3", "did you mean 'images'"),
        ("hops.0.longest_A=1.0", "leaves no hop"),
    ],
)
def test_mistakes_are_named_in_one_line(recipe_file, tmp_path, capsys, change, message):
    assert run(recipe_file, tmp_path / "out", "--set", change) == BAD_INPUT
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_charged_cell_without_background_is_refused(recipe_file, tmp_path, capsys):
    recipe_file.write_text(RECIPE.replace('net_charge = "background"\n', ""), encoding="utf-8")
    assert run(recipe_file, tmp_path / "out") == BAD_INPUT
    assert "[hops.0]" in capsys.readouterr().err


def test_recipe_without_hops_is_refused(tmp_path):
    record = {
        "structure": {"formula": "Li3OCl", "supercell": [2, 2, 2]},
        "potential": {"name": "li3ocl_mouta_formal"},
    }
    recipe = static_recipe_from_dict(record, source="here.toml")
    with pytest.raises(ConfigError, match=r"no \[\[hops\]\]"):
        compute_barriers(recipe, tmp_path)


@pytest.mark.parametrize("name", ["li3ocl-barriers", "na3ocl-barriers"])
def test_shipped_recipes_can_be_read(name):
    recipe = read_static_recipe(name)
    assert {row.kind for row in recipe.hops} == {"vacancy", "dumbbell"}
    assert static_recipe_from_dict(recipe.to_dict(), source=recipe.source).hops == recipe.hops


def test_stop_keeps_the_band_and_the_same_command_continues(recipe_file, tmp_path, monkeypatch):
    folder, asked = tmp_path / "out", []

    def stop_at_the_fourth():
        asked.append(None)
        return len(asked) == 4

    recipe = read_static_recipe(recipe_file)
    with pytest.raises(KeyboardInterrupt):
        compute_barriers(recipe, _existing(folder), stop=stop_at_the_fourth)
    (band,) = (folder / "paths").glob("*.band.extxyz")
    assert len(read(band, index=":")) == 3
    monkeypatch.setattr(barriers, "find_path", None)
    assert compute_barriers(recipe, folder).outcomes[0].path is not None
    assert not band.exists()


def _existing(folder):
    folder.mkdir()
    return folder


def test_band_is_saved_only_at_intervals(tmp_path):
    saver = BandSaver(tmp_path / "band.extxyz", every_s=1e6)
    saver([], 1)
    assert not list(tmp_path.iterdir())
