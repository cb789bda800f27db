import json
from pathlib import Path

import numpy as np
import pytest

from simtools.core.provenance import collect_provenance
from workflows.cli import main

ARGON = """
title = "argon, very small"
[structure]
prototype = "fcc"
formula = "Ar"
supercell = [2, 2, 2]
[potential]
name = "lennard_jones"
[md]
temperatures_K = [130, 170]
replicas = 2
lattice_parameter_A = 5.8
timestep_fs = 5
equilibration_ps = 1
production_ps = 6
sample_every_fs = 100
checkpoint_every_ps = 1
[analysis]
mobile = "Ar"
"""


@pytest.fixture
def no_figures(monkeypatch):
    """Write a one-line report: figures take longer than everything else in a toy run."""

    def write(run):
        path = Path(run.directory) / "report.html"
        path.write_text(f"{len(run.transport)} temperatures", encoding="utf-8")
        return path

    monkeypatch.setattr("workflows.report.write_report", write)


@pytest.fixture
def argon(tmp_path):
    """A recipe of 32 argon atoms: two temperatures, two replicas, a second or two in all."""
    path = tmp_path / "argon.toml"
    path.write_text(ARGON, encoding="utf-8")
    return path


@pytest.fixture
def simtools(capsys):
    """Call the command line in this process: ``status, stdout, stderr = simtools("run", ...)``."""

    def call(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def run_inline(simtools):
    """Run a recipe in this process and insist that it is done."""

    def run(recipe, directory, *overrides):
        options = [part for override in overrides for part in ("--set", override)]
        status, _, err = simtools("run", recipe, "-o", directory, "--executor", "inline", "-q", *options)
        assert status == 0, err
        return Path(directory)

    return run


def summary_of(directory):
    return json.loads((Path(directory) / "summary.json").read_text(encoding="utf-8"))


#: Options that make the shortest run of `ARGON`.
SMALL = ("md.temperatures_K=[130]", "md.replicas=1", "md.production_ps=2")


@pytest.fixture(scope="session")
def good_run(tmp_path_factory):
    """A finished run of one point, to be copied and spoilt."""
    folder = tmp_path_factory.mktemp("good")
    recipe = folder / "argon.toml"
    recipe.write_text(ARGON, encoding="utf-8")
    options = [part for override in SMALL for part in ("--set", override)]
    assert main(["run", str(recipe), "-o", str(folder / "run"), "--executor", "inline", "-q", *options]) == 0
    return folder / "run"


@pytest.fixture
def outside(tmp_path):
    """Something beside the run directory that must stay as it is."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "secret.txt").write_text("secret")
    np.arange(1000.0).tofile(place / "secret.bin")
    collect_provenance()
    return place
