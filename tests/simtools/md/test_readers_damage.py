"""Damaged files: a hundred by number, and the plain cases by name; the message says file, frame and what."""

import numpy as np
import pytest

from simtools.core.errors import ConfigError
from simtools.md.readers import load_trajectory, open_trajectory
from tests.simtools.md import foreign_files as files
from tests.simtools.md.damage import check, describe

UNTIMED = {"frame_interval_ps": files.INTERVAL_PS}


@pytest.mark.parametrize("number", range(117), ids=lambda n: "{}-{}-{}".format(n, *describe(n)))
def test_damage_is_named_or_harmless(tmp_path, number):
    check(number, tmp_path)


def _refused(path, message, **options):
    with pytest.raises(ConfigError, match=message):
        load_trajectory(path, **options)


def test_frames_written_twice_or_lost_are_named(tmp_path):
    truth = files.walk(12)
    steps = [100 * t for t in range(12)]
    lost = steps[:7] + [s + 100 for s in steps[7:]]
    twice = [*steps[:7], 600, *steps[8:]]
    options = {"units": False, "steps": lost}
    path = files.write_dump(tmp_path / "lost.dump", truth, **options)
    _refused(path, r"lost.dump, frame 7: uneven frames: step 800 follows 600, expected 700", **UNTIMED)
    path = files.write_dump(tmp_path / "twice.dump", truth, units=False, steps=twice)
    _refused(path, r"twice.dump, frame 7: doubled frame: step 600 was there before", **UNTIMED)
    path = files.write_xdatcar(tmp_path / "XDATCAR", truth, numbers=[*range(1, 9), *range(1, 5)])
    _refused(path, r"XDATCAR, frame 8: step goes back from 8 to 1", **UNTIMED)
    path = files.write_dump(tmp_path / "uneven.dump", truth)
    path.write_text(path.read_text().replace("\n0.5\n", "\n0.55\n"))
    _refused(path, r"uneven.dump, frame 5: uneven frames: time \(ps\) 0.55 follows 0.4, expected 0.5")


def test_a_cut_last_frame_can_be_left_out_explicitly(tmp_path):
    truth = files.walk(12)
    path = files.write_dump(tmp_path / "cut.dump", truth)
    whole = path.read_text()
    path.write_text(whole[:-30])
    _refused(path, r"cut.dump, frame 11: .*the file ends within it")
    with pytest.raises(ConfigError, match="frame 11"):
        open_trajectory(path)
    found = load_trajectory(path, drop_truncated=True)
    assert found.n_frames == 11
    assert "frame 11 is cut off and left out" in found.metadata["warnings"][0]
    np.testing.assert_allclose(
        found.positions_A - found.positions_A[0], truth.paths_A[:11] - truth.paths_A[0], atol=1e-10
    )


def test_atoms_that_change_are_named(tmp_path):
    path = files.write_extxyz(tmp_path / "a.xyz", files.walk(6))
    blocks = path.read_text().split("16\nLattice")
    blocks[4] = blocks[4].replace("Li", "Na", 3)
    path.write_text("16\nLattice".join(blocks))
    _refused(path, r"a.xyz, frame 3: expected atom 1 to be Li as in the first frame, got Na", **UNTIMED)
    path = files.write_dump(tmp_path / "a.dump", files.walk(6))
    path.write_text(path.read_text().replace("\n16 O", "\n17 O", 3).replace("\n17 O", "\n16 O", 2))
    _refused(path, r"a.dump, frame 2: expected the same atoms as before, id 16 differs")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pp pp pp", "pp pp ff", "expected periodic boundaries"),
        ("NUMBER OF ATOMS\n16", "NUMBER OF ATOMS\n-3", "expected the number of atoms, got '-3'"),
        ("id element x y z", "id element q q q", "expected columns x y z"),
        ("id element", "nr element", "expected a column id"),
        ("metal", "lj", "expected units metal or real"),
    ],
)
def test_headers_of_a_dump(tmp_path, old, new, message):
    path = files.write_dump(tmp_path / "a.dump", files.walk(4))
    path.write_text(path.read_text().replace(old, new))
    _refused(path, message)


def test_what_is_no_trajectory_is_refused(tmp_path):
    for name, data in (("empty", b""), ("text", b"hello\nworld\n"), ("pickle", b"\x80\x04\x95trash")):
        path = tmp_path / name
        path.write_bytes(data)
        _refused(path, f"{name}, frame 0: expected")
    _refused(tmp_path / "absent", "there is no such file")
    packed = files.gzipped(files.write_xtc)(tmp_path / "a.xtc.gz", files.walk(3))
    _refused(packed, r"it starts like none of them \(text may be compressed, binary files must be unpacked\)")


def test_a_traj_file_builds_nothing_but_arrays(tmp_path, monkeypatch):
    """ASE would build the constraints that the file names; here not even `Atoms` is made."""
    from ase import Atoms
    from ase.constraints import FixAtoms
    from ase.io.trajectory import Trajectory

    truth = files.walk(5)
    path = tmp_path / "a.traj"
    with Trajectory(path, "w") as file:
        for x in truth.positions_A(truth.wrapped_s):
            file.write(Atoms(files.SPECIES, x, cell=files.CELL_A, pbc=True, constraint=FixAtoms([0])))

    def never(*arguments, **options):
        raise AssertionError("something was built")

    monkeypatch.setattr("ase.constraints.dict2constraint", never)
    monkeypatch.setattr("ase.Atoms.__init__", never)
    assert load_trajectory(path, **UNTIMED).n_frames == 5


def test_lattice_vectors_that_flip_are_named(tmp_path):
    """LAMMPS exchanges a tilted lattice vector for its image when the tilt passes half an edge."""
    truth = files.walk(8)
    cells = truth.cells_A.copy()
    cells[5:, 2] -= cells[5:, 1]
    fractions = np.einsum("tni,tij,tjk->tnk", truth.whole_s, truth.cells_A, np.linalg.inv(cells))
    path = files.write_dump(tmp_path / "flip.dump", files.Walk(fractions, cells))
    _refused(path, r"flip.dump, frame 5: expected a cell like that of the frame before.*flipped")
