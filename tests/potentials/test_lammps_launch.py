"""How LAMMPS is started, with launchers that tell what they were asked. Real ones: tests/slurm."""

import pytest

from potentials.lammps_library import LammpsError
from potentials.lammps_process import LammpsProcess, LammpsProgram, check_ranks

SITES = LammpsProgram("/site/bin/lmp", "2 Aug 2023", False, None)


def launcher(folder, name, *lines):
    path = folder / name
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def in_a_job(tmp_path, monkeypatch):
    """The inside of a Slurm job with an ``srun`` and an ``mpiexec`` on the PATH."""
    for name in ("srun", "mpiexec"):
        launcher(tmp_path, name, "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    return tmp_path


def test_srun_gives_the_input_to_one_rank_and_lets_other_steps_run(in_a_job, monkeypatch):
    assert SITES.command(2) == ["srun", "--input=0", "--overlap", "--ntasks", "2", "/site/bin/lmp"]
    assert SITES.command(1)[0] == "srun"
    monkeypatch.delenv("SLURM_JOB_ID")
    assert SITES.command(2) == [str(in_a_job / "mpiexec"), "-n", "2", "/site/bin/lmp"]
    assert SITES.command(1) == ["/site/bin/lmp"]


def test_what_srun_refuses_is_told(in_a_job):
    launcher(in_a_job, "srun", "echo 'srun: error: Unable to create step: More processors requested' >&2")
    process = LammpsProcess(SITES, mpi_ranks=5, folder=in_a_job, log=in_a_job / "lammps.log")
    with pytest.raises(LammpsError, match=r"^LAMMPS: srun: error: .*More processors requested; its log is"):
        process.command("units metal")
    process.close()


def test_ranks_that_do_not_know_of_each_other_are_refused():
    together = ["  orthogonal box = (0 0 0) to (1 1 1)", "  2 by 1 by 3 MPI processor grid"]
    check_ranks(together, 6)
    check_ranks(["nothing about a grid"], 6)
    alone = ["  1 by 1 by 1 MPI processor grid"] * 2
    with pytest.raises(LammpsError, match=r"started on 2 ranks and works on 1: .*SLURM_MPI_TYPE=pmix"):
        check_ranks(alone, 2)
    check_ranks(alone, 1)
