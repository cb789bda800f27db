import json
import os
import shutil
import subprocess
from ast import literal_eval
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
    assert "'170K-r03': '170K-volume'," in text
    assert "'170K-volume': None," in text
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


CASES = """
[[case]]
name = "null"
md.npt_ps = 0.5
md.npt_equilibration_ps = 0.5
[[case]]
name = "A+b,c=1"
md.lattice_parameter_A = 5.9
"""


@pytest.fixture
def cases(nasty):
    """Two cases: one finds its own volumes, the other is given one."""
    text = nasty.read_text(encoding="utf-8").replace("lattice_parameter_A = 5.8\n", "")
    nasty.write_text(text.replace("[2, 2, 2]", "[3, 3, 3]") + CASES, encoding="utf-8")
    return nasty


def test_every_case_is_submitted_and_replicas_wait_for_the_volume_of_their_own(
    cases, simtools, tmp_path, sbatch
):
    directory = tmp_path / NASTY.replace("/", "")
    status, _, err = simtools("export", directory, "--slurm", "--recipe", cases)
    assert status == 0, err
    names = (directory / "slurm" / "points.txt").read_text().split()
    own = [f"A+b,c=1/{label}" for label in ("130K-r01", "130K-r02", "170K-r01", "170K-r02")]
    assert names[:6] == ["null/130K-volume", "null/170K-volume", *own]
    assert names[6:] == [f"null/{label}" for label in ("130K-r01", "130K-r02", "170K-r01", "170K-r02")]
    submit(directory)
    assert sbatch.read_text().splitlines()[:3] == [
        "--parsable --array=0,1,2,3,4,5 slurm/task.sh 0",
        "--parsable --array=0,1 --dependency=afterok:101_0 --kill-on-invalid-dep=yes slurm/task.sh 6",
        "--parsable --array=0,1 --dependency=afterok:101_1 --kill-on-invalid-dep=yes slurm/task.sh 8",
    ]
    sbatch.unlink()
    for name in ("null/130K-volume", "A+b,c=1/170K-r02", "null/130K-r01"):
        case, label = name.split("/")
        done = directory / "cases" / case / "points" / f"{label}-0123456789" / "done.json"
        done.parent.mkdir(parents=True)
        done.write_text("{}")
    submit(directory)
    assert sbatch.read_text().splitlines()[:3] == [
        "--parsable --array=1,2,3,4 slurm/task.sh 0",
        "--parsable --array=1 slurm/task.sh 6",
        "--parsable --array=0,1 --dependency=afterok:105_1 --kill-on-invalid-dep=yes slurm/task.sh 8",
    ]
    assert not list(tmp_path.rglob("hacked"))


def test_the_snakefile_holds_the_points_of_all_cases(cases, simtools, tmp_path):
    assert simtools("export", tmp_path / "run", "--snakemake", "--recipe", cases)[0] == 0
    text = (tmp_path / "run" / "Snakefile").read_text(encoding="utf-8")
    after = literal_eval(text.partition("AFTER = ")[2].partition("\n}")[0] + "\n}")
    assert len(after) == 10
    assert after["null/170K-r02"] == "null/170K-volume"
    assert after["A+b,c=1/170K-r02"] is None


@pytest.mark.usefixtures("no_figures")
def test_the_points_of_cases_one_by_one_give_the_bits_of_a_run(argon, simtools, run_inline, tmp_path):
    text = argon.read_text().replace("replicas = 2", "replicas = 1").replace("[130, 170]", "[130]")
    argon.write_text(text + "[sweep]\nmd.seed = [1, 2]\n")
    expected = run_inline(argon, tmp_path / "whole")
    directory = tmp_path / "run"
    assert simtools("export", directory, "--snakemake", "--recipe", argon)[0] == 0
    for case in ("seed=1", "seed=2"):
        status, out, err = simtools("point", directory, f"{case}/130K-r01", "-q")
        assert status == 0, err
        mine, theirs = Path(out.strip()), next((expected / "cases" / case / "points").iterdir())
        assert mine.name == theirs.name
        np.testing.assert_array_equal(read_trajectory(mine).positions_A, read_trajectory(theirs).positions_A)
    assert simtools("report", directory)[0] == 0
    status, out, _ = simtools("status", directory, "--json")
    assert status == 0
    assert json.loads(out)["n_done"] == 2
    for name, words in (
        ("130K-r01", "name the point CASE/POINT"),
        ("seed=3/130K-r01", "has no case 'seed=3'; did you mean"),
        ("../seed=1/130K-r01", "has no case"),
        ("seed=1/130K-r02", "no point"),
    ):
        status, _, err = simtools("point", directory, name)
        assert status == 2
        assert words in err, err


def test_cases_that_ask_for_different_jobs_are_refused(nasty, simtools, tmp_path):
    nasty.write_text(nasty.read_text() + "[sweep]\nslurm.time_limit_min = [1, 2]\n")
    for kind in ("--slurm", "--snakemake"):
        status, _, err = simtools("export", tmp_path / "run", kind, "--recipe", nasty)
        assert status == 2
        assert "[slurm] differs between the cases" in err


def test_a_task_is_requeued_until_three_jobs_in_a_row_have_made_no_checkpoint(
    nasty, simtools, tmp_path, monkeypatch
):
    log, directory = tmp_path / "scontrol.log", tmp_path / "run"
    program, scontrol = tmp_path / "point", tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/bash\necho "$*" >>{log}\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{scontrol.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("workflows.export._PROGRAM", ("bash", str(program)))
    assert simtools("export", directory, "--slurm", "--recipe", nasty)[0] == 0
    folder = directory / "points" / "130K-r02-0123456789"
    environment = {**os.environ, "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"}

    def run(text):
        program.write_text(text)
        command = ["bash", directory / "slurm" / "task.sh", "0"]
        return subprocess.run(command, env=environment, check=False).returncode

    step = f"mkdir -p {folder}; date +%N >>{folder}/checkpoint-0.npz; exit 75\n"
    assert [run(text) for text in (step, "exit 75", "exit 75", step, "exit 75", "exit 75")] == [0] * 6
    assert log.read_text() == "requeue 7_1\n" * 6
    assert run("exit 75") == 1
    assert log.read_text() == "requeue 7_1\n" * 6
    assert "no new checkpoint" in (directory / "slurm" / "logs" / "130K-r02.log").read_text()
    assert run("exit 2") == 2
    assert run("exit 75") == 0
