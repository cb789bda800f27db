import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from potentials.lammps_library import LammpsUnavailableError
from potentials.lammps_process import find_lammps
from simtools.md.h5md import read_trajectory
from workflows import cli_cluster

NASTY = 'it\'s; $(touch hacked) `id` "x" & {name} \\'
VOLUMES = (
    ("lattice_parameter_A = 5.8", "npt_ps = 0.5\nnpt_equilibration_ps = 0.5"),
    ("replicas = 2", "replicas = 3"),
)
RANKS = """
title = "three ranks of two processors"
[structure]
prototype = "cubic"
formula = "Li3OCl"
supercell = [3, 3, 3]
[potential]
name = "li3ocl_mouta_formal"
engine = "lammps"
mpi_ranks = 3
[md]
temperatures_K = [1000]
lattice_parameter_A = 3.95
timestep_fs = 2
production_ps = 1
[analysis]
mobile = "Li"
[slurm]
time_limit_min = 9
cpus_per_task = 2
"""


@pytest.fixture(autouse=True)
def untouched_environment(monkeypatch, tmp_path):
    """Keep the threads and caches of the tests, and the user's settings out of them."""
    monkeypatch.setattr(cli_cluster, "prepare_node", lambda threads: None)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


@pytest.fixture
def nasty(argon):
    """A recipe whose title tries to be shell, and that asks for a job of two minutes."""
    title = json.dumps(NASTY)
    text = argon.read_text(encoding="utf-8").replace('"argon, very small"', title)
    argon.write_text(
        text + "[slurm]\ntime_limit_min = 2\npartition = 'short'\nmemory_GB = 0.5\n", encoding="utf-8"
    )
    return argon


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """An sbatch that notes how it was called and counts jobs from 101."""
    log, counter = tmp_path / "sbatch.log", tmp_path / "count"
    counter.write_text("100")
    program = tmp_path / "bin" / "sbatch"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/bash\nn=$(($(cat {counter}) + 1))\necho $n >{counter}\n"
        f'echo "$*" >>{log}\necho "$n;cluster"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return log


def with_volumes(recipe):
    text = recipe.read_text(encoding="utf-8")
    for old, new in VOLUMES:
        text = text.replace(old, new)
    recipe.write_text(text.replace("[2, 2, 2]", "[3, 3, 3]"), encoding="utf-8")


def submit(directory):
    done = subprocess.run(
        ["bash", directory / "slurm" / "submit.sh"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_scripts_are_shell_whatever_the_names(nasty, simtools, tmp_path, sbatch):
    directory = tmp_path / NASTY.replace("/", "")
    status, out, err = simtools("export", directory, "--slurm", "--recipe", nasty)
    assert status == 0, err
    assert "submit.sh" in out
    for name in ("submit.sh", "task.sh"):
        checked = subprocess.run(
            ["bash", "-n", directory / "slurm" / name], capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, "")
    submit(directory)
    calls = sbatch.read_text().splitlines()
    assert calls[0] == "--parsable --array=0,1,2,3 slurm/task.sh 0"
    assert calls[1].startswith("--dependency=afterany:101 --partition=short --mem=512M --time=2")
    assert not list(tmp_path.rglob("hacked"))
    assert (directory / "slurm" / "points.txt").read_text().split() == [
        "130K-r01",
        "130K-r02",
        "170K-r01",
        "170K-r02",
    ]


def test_replicas_wait_for_their_own_volume_and_done_points_are_left_out(nasty, simtools, tmp_path, sbatch):
    with_volumes(nasty)
    directory = tmp_path / "run"
    options = ("--slurm", "--recipe", nasty, "--max-concurrent", 2)
    assert simtools("export", directory, *options)[0] == 0
    submit(directory)
    assert sbatch.read_text().splitlines()[:3] == [
        "--parsable --array=0,1%2 slurm/task.sh 0",
        "--parsable --array=0,1,2%2 --dependency=afterok:101_0 --kill-on-invalid-dep=yes slurm/task.sh 2",
        "--parsable --array=0,1,2%2 --dependency=afterok:101_1 --kill-on-invalid-dep=yes slurm/task.sh 5",
    ]
    sbatch.unlink()
    for label in ("130K-volume", "170K-r02"):
        done = directory / "points" / f"{label}-0123456789" / "done.json"
        done.parent.mkdir(parents=True)
        done.write_text("{}")
    submit(directory)
    assert sbatch.read_text().splitlines()[:3] == [
        "--parsable --array=1%2 slurm/task.sh 0",
        "--parsable --array=0,1,2%2 slurm/task.sh 2",
        "--parsable --array=0,2%2 --dependency=afterok:105_1 --kill-on-invalid-dep=yes slurm/task.sh 5",
    ]


def test_what_the_user_wants_before_python_is_in_the_script(nasty, simtools, tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text('[slurm]\ncpus_per_task = 4\nsetup = ["module load x"]\noptions = { gres = "gpu:1" }\n')
    simtools("export", tmp_path / "run", "--slurm", mine, "--recipe", nasty)
    task = (tmp_path / "run" / "slurm" / "task.sh").read_text()
    for line in (
        "module load x",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --cpus-per-task=4",
        "export NUMBA_NUM_THREADS=4",
    ):
        assert line in task.splitlines()


def test_the_ranks_of_lammps_are_tasks_of_the_job_and_threads_of_the_snakefile(simtools, tmp_path):
    try:
        find_lammps()
    except LammpsUnavailableError as missing:
        pytest.skip(str(missing))
    recipe = tmp_path / "ranks.toml"
    recipe.write_text(RANKS, encoding="utf-8")
    for kind in ("--slurm", "--snakemake"):
        status, _, err = simtools("export", tmp_path / "run", kind, "--recipe", recipe)
        assert status == 0, err
    task = (tmp_path / "run" / "slurm" / "task.sh").read_text().splitlines()
    assert {"#SBATCH --ntasks=3", "#SBATCH --cpus-per-task=2", "#SBATCH --nodes=1"} <= set(task)
    text = (tmp_path / "run" / "Snakefile").read_text()
    assert "threads: 6" in text
    assert "--quiet --threads 2 --time-limit 9" in text


def test_a_directory_that_was_not_prepared_is_refused(simtools, tmp_path):
    status, _, err = simtools("export", tmp_path, "--slurm")
    assert status == 2
    assert "--recipe RECIPE" in err
    status, _, err = simtools("export", tmp_path, "--snakemake", "--max-concurrent", 3)
    assert status == 2
    assert "no effect with --snakemake" in err


def test_the_snakefile_names_points_and_what_they_wait_for(nasty, simtools, tmp_path):
    with_volumes(nasty)
    directory = tmp_path / NASTY
    assert simtools("export", directory, "--snakemake", "--recipe", nasty)[0] == 0
    text = (directory / "Snakefile").read_text(encoding="utf-8")
    assert '"170K-r03": "170K-volume"' in text
    assert '"170K-volume": None' in text
    assert f"workdir: {str(directory)!r}" in text
    assert "retries: 20" in text
    assert "mem_mb=512" in text


@pytest.mark.skipif(shutil.which("snakemake") is None, reason="snakemake is not installed")
def test_snakemake_reads_the_snakefile(nasty, simtools, tmp_path):
    with_volumes(nasty)
    assert simtools("export", tmp_path / NASTY, "--snakemake", "--recipe", nasty)[0] == 0
    command = ["snakemake", "--cores", "1", "--dry-run", "--snakefile", tmp_path / NASTY / "Snakefile"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "170K-volume" in done.stdout + done.stderr


def test_points_one_by_one_give_the_bits_of_a_run(argon, simtools, run_inline, no_figures, tmp_path):
    expected = run_inline(argon, tmp_path / "whole", "md.replicas=1")
    argon.write_text(argon.read_text().replace("replicas = 2", "replicas = 1"))
    directory = tmp_path / "run"
    assert simtools("export", directory, "--snakemake", "--recipe", argon)[0] == 0
    status, _, err = simtools("point", directory, "130K-r01", "-q", "--time-limit", 1, "--lead", 59.99)
    assert status == 75
    assert "130K-r01 stopped (wall time); the same command continues" in err
    for name in ("130K-r01", "170K-r01"):
        status, out, err = simtools("point", directory, name, "-q", "--time-limit", 60)
        assert status == 0, err
        mine, theirs = Path(out.strip()), next((expected / "points").glob(f"{name}-*"))
        assert mine.name == theirs.name
        np.testing.assert_array_equal(read_trajectory(mine).positions_A, read_trajectory(theirs).positions_A)
    assert simtools("point", directory, mine.name, "-q")[0] == 0
    assert simtools("report", directory)[0] == 0


def test_a_point_that_cannot_be_is_bad_input(argon, simtools, tmp_path):
    with_volumes(argon)
    directory = tmp_path / "run"
    assert simtools("export", directory, "--snakemake", "--recipe", argon)[0] == 0
    for arguments, words in (
        (("130K-r02",), "waits for 130K-volume"),
        (("130K-r04",), "did you mean '130K-r0"),
        (("../../x",), "no point"),
        (("130K-volume", "--threads", 0), "--threads 0"),
        (("130K-volume", "--lead", 5), "--lead has no effect"),
        (("130K-volume", "--time-limit", 0), "--time-limit 0"),
    ):
        status, _, err = simtools("point", directory, *arguments)
        assert status == 2, arguments
        assert words in err
