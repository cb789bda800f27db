"""The whole workflow on an ASE calculator by name: dynamics with analysis, defects, barriers."""

import importlib.util
import json
import shutil

import pytest

from workflows.cli import main
from workflows.cli_base import BAD_INPUT, DONE

POTENTIAL = """
[potential]
calculator = "lj"
formal_charges_e = { Ar = 0 }
options = { sigma = 3.405, epsilon = 0.0103235652, rc = 7.0, smooth = true }
"""
STRUCTURE = """
[structure]
prototype = "fcc"
formula = "Ar"
supercell = [2, 2, 2]
"""
DYNAMICS = """
[[defects]]
kind = "vacancy"
species = ["Ar"]
count = 1
[md]
temperatures_K = [130]
replicas = 2
lattice_parameter_A = 5.8
timestep_fs = 5
equilibration_ps = 0.5
production_ps = 3
sample_every_fs = 50
[analysis]
mobile = "Ar"
"""
ENERGETICS = """
[energetics]
defects = ["V_Ar"]
supercells = [2, 3, 4]
max_force_eV_per_A = 0.01
"""
HOPS = """
[[hops]]
kind = "vacancy"
species = "Ar"
images = 1
max_force_eV_per_A = 0.02
"""


@pytest.fixture
def recipe(tmp_path):
    def write(text, potential=POTENTIAL):
        path = tmp_path / "recipe.toml"
        path.write_text('title = "argon by ASE"' + STRUCTURE + potential + text, encoding="utf-8")
        return str(path)

    return write


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def test_dynamics_analysis_and_resumption(recipe, tmp_path, capsys, no_figures):
    folder = tmp_path / "run"
    command = ["run", recipe(DYNAMICS), "-o", str(folder), "--executor", "inline", "-q"]
    assert main(command) == DONE
    assert "cost: " in capsys.readouterr().out
    (entry,) = summary_of(folder)["transport"]
    assert entry["temperature_K"] == 130
    assert entry["n_replicas"] == 2
    points = sorted((folder / "points").iterdir())
    shutil.rmtree(points[0])
    assert main(command) == DONE  # from the point's own record, options included
    assert sorted((folder / "points").iterdir()) == points
    assert summary_of(folder)["transport"][0] == entry


def test_defects(recipe, tmp_path):
    folder = tmp_path / "defects"
    assert main(["defects", recipe(ENERGETICS), "-o", str(folder), "-q"]) == DONE
    (entry,) = summary_of(folder)["defects"][:1]
    assert "V_Ar" in json.dumps(entry)


def test_barrier(recipe, tmp_path):
    folder = tmp_path / "hops"
    assert main(["barrier", recipe(HOPS), "-o", str(folder), "-q"]) == DONE
    (entry,) = summary_of(folder)["barriers"]
    assert entry["status"] == "path"
    # a vacancy in a Lennard-Jones crystal moves over a good half of its energy of formation, 7 epsilon
    assert 3.0 < entry["barrier_forward_eV"]["value"] / 0.0103 < 9.0


@pytest.mark.parametrize(
    ("potential", "message"),
    [
        (POTENTIAL.replace('"lj"', '"gpaw"'), "calculator 'gpaw' is not installed"),
        (POTENTIAL.replace('"lj"', '"ljj"'), "did you mean 'lj'"),
        (POTENTIAL.replace("options = {", 'options = "fast" #'), "a table of plain values such as"),
        ('[potential]\nname = "lennard_jones"\noptions = { a = 1 }\n', "only a calculator takes options"),
    ],
)
def test_what_cannot_run_is_said_in_one_line(recipe, tmp_path, capsys, potential, message):
    if "gpaw" in message and importlib.util.find_spec("gpaw") is not None:
        pytest.skip("gpaw is installed here")
    folder = tmp_path / "run"
    assert main(["run", recipe(DYNAMICS, potential), "-o", str(folder), "-q"]) == BAD_INPUT
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
