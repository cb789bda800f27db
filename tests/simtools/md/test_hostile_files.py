"""Files made to harm: nothing in them is executed, followed or believed, in bounded time and memory."""

import gzip
import json
import pickle
import subprocess
import sys
import zlib

import h5py
import numpy as np
import pytest

from simtools.core.errors import ConfigError
from simtools.md.readers import load_trajectory
from tests.simtools.md import foreign_files as files

UNTIMED = {"frame_interval_ps": files.INTERVAL_PS}


class _Trap:
    """Pickles into a call that leaves a file behind."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def _refused(path, message, **options):
    with pytest.raises(ConfigError, match=message) as caught:
        load_trajectory(path, **options)
    assert "\n" not in str(caught.value)
    assert str(path.name) in str(caught.value)


@pytest.mark.parametrize("name", ["a.traj", "a.npz", "a.h5md", "a.xtc", "XDATCAR"])
def test_no_pickle_is_opened(tmp_path, name):
    mark, path = tmp_path / "mark", tmp_path / name
    if name == "a.npz":
        np.savez(path, positions=np.array([_Trap(mark)], dtype=object))
    else:
        path.write_bytes(pickle.dumps(_Trap(mark)))
    _refused(path, "frame 0: expected one of LAMMPS dump, DCD")
    assert not mark.exists()


def _ulm(path, items, *, n_items=None):
    """An ASE trajectory whose items are given as plain JSON."""
    heads = [json.dumps(item).encode() for item in items]
    with open(path, "wb") as file:
        file.write(b"- of UlmASE-Trajectory  ")
        start = 48 + sum(8 + len(head) for head in heads)
        file.write(np.array([3, len(items) if n_items is None else n_items, start], "<i8").tobytes())
        places = []
        for head in heads:
            places.append(file.tell())
            file.write(np.array([len(head)], "<i8").tobytes() + head)
        file.write(np.array(places, "<i8").tobytes())
    return path


PBC = {"pbc": [True] * 3, "cell": [[9, 0, 0], [0, 9, 0], [0, 0, 9]]}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"numbers.": {"ndarray": [[2], "object", 48]}}, "expected numbers as numbers of shape"),
        ({"numbers.": {"ndarray": [[2**40], "int64", 48]}}, "8796093022208 bytes of numbers"),
        ({"numbers.": {"ndarray": [[2**62, 4], "int64", 48]}}, "expected numbers as numbers of shape"),
        ({"numbers.": {"ndarray": [[1], "int64", 2**62]}}, "expected numbers within the"),
        ({"numbers": {"__ndarray__": [[10**12], "float64", [0]]}}, "expected numbers as an array"),
        (
            {"numbers": {"__ase_objtype__": "atoms", "numbers": [3]}},
            "expected numbers as an array",
        ),
    ],
)
def test_a_traj_is_numbers_of_the_size_it_has(tmp_path, item, message, monkeypatch):
    monkeypatch.setattr("ase.Atoms.__init__", lambda *_, **__: pytest.fail("something was built"))
    _refused(_ulm(tmp_path / "a.traj", [{**PBC, **item}] * 2), message, **UNTIMED)


def test_a_traj_of_thousands_of_millions_of_frames(tmp_path):
    path = _ulm(tmp_path / "a.traj", [PBC], n_items=2**60)
    _refused(path, "a.traj, frame 0: expected an index of 1152921504606846976 frames", **UNTIMED)
    (tmp_path / "deep.traj").write_bytes(path.read_bytes().replace(b'{"pbc"', b"[" * 6))
    _refused(tmp_path / "deep.traj", "expected an index of", **UNTIMED)


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">',
        "<!-- " + "x" * 9000 + ' --><!DOCTYPE x [<!ENTITY a "a">]>',
    ],
)
def test_xml_declares_nothing(tmp_path, declaration):
    path = files.write_vasprun(tmp_path / "vasprun.xml", files.walk(4))
    text = (
        path.read_text().replace("<modeling>", declaration + "<modeling>", 1).replace("Li</c>", "&a;</c>", 1)
    )
    path.write_text(text)
    _refused(path, "frame 0: expected vasprun.xml as VASP writes it: it declares a document type or entities")


def _linked(path, make):
    """An H5MD file whose positions are replaced by what `make(element)` puts there."""
    files.write_h5md(path, files.walk(6))
    with h5py.File(path, "r+") as file:
        element = file["particles/all/position"]
        values = element["value"][:]
        del element["value"]
        make(element, values)
    return path


def test_links_of_an_h5md_lead_nowhere_else(tmp_path):
    other = files.write_h5md(tmp_path / "other.h5md", files.walk(6))

    def external(element, values):
        element["value"] = h5py.ExternalLink(str(other), "particles/all/position/value")

    def virtual(element, values):
        layout = h5py.VirtualLayout(values.shape, "f8")
        layout[:] = h5py.VirtualSource(str(other), "particles/all/position/value", values.shape)
        element.create_virtual_dataset("value", layout)

    def outside(element, values):
        raw = tmp_path / "raw.bin"
        values.tofile(raw)
        element.create_dataset("value", values.shape, "f8", external=[(str(raw), 0, values.nbytes)])

    def loop(element, values):
        element["value"] = h5py.SoftLink("/particles/all/position/value")

    def inside(element, values):
        element.file["kept"] = values
        element["value"] = h5py.SoftLink("/kept")

    for make, message in (
        (external, "expected value in the file itself: links to other files are not followed"),
        (virtual, "in the file itself, its numbers are kept in other files"),
        (outside, "in the file itself, its numbers are kept in other files"),
        (loop, "links through links are not followed"),
    ):
        _refused(_linked(tmp_path / f"{make.__name__}.h5md", make), f"frame 0: .*{message}")
    found = load_trajectory(_linked(tmp_path / "inside.h5md", inside))
    truth = files.walk(6).paths_A
    np.testing.assert_allclose(found.positions_A - found.positions_A[0], truth - truth[0], atol=1e-10)


def test_sizes_of_an_h5md_are_those_it_holds(tmp_path):
    def declared(element, values):
        element.create_dataset("value", (6, 10**12, 3), "f8", chunks=(1, 1000, 3))

    def wide(element, values):
        element.create_dataset("value", (6, 2 * 10**7, 3), "f8", chunks=(1, 2 * 10**7, 3), compression="gzip")

    def long(element, values):
        element.create_dataset("value", (10**12, 16, 3), "f8", chunks=(1000, 16, 3))

    def absent(element, values):
        element.create_dataset("value", (6, 5000, 3), "f8", chunks=(1, 5000, 3))

    for make, message in (
        (declared, "in pieces below"),
        (wide, "in pieces below"),
        (long, "the file holds 0 bytes"),
        (absent, "the file holds 0 bytes"),
    ):
        _refused(_linked(tmp_path / f"{make.__name__}.h5md", make), f"frame 0: expected .*{message}")


HEADS = {
    "line": (b"ITEM: TIMESTEP\n", b"A" * 1000, "a line goes on for over 4194304 bytes"),
    "blank": (b"1\n\nLi 0 0 0\n", b"\n" * 1000, "expected a frame, got 1000 blank lines"),
    "atoms": (
        b"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n300000\nITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\n"
        b"ITEM: ATOMS id element x y z\n",
        b"1 Li 0.5 0.5 0.5\n" * 60,
        "expected every atom once, atom id 1 is there twice",
    ),
    "names": (b"1\n\n", b"Li" * 500, "a line goes on"),
    "text": (
        b"<?xml version='1.0'?>\n<modeling>",
        b" \n" * 500,
        "characters follow one another without a tag",
    ),
}
READ_ALL = """
import resource, sys, time
from simtools.core.errors import ConfigError
from simtools.md.readers import load_trajectory
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
for path in sys.argv[1:]:
    start = time.process_time()
    try:
        load_trajectory(path, cell_A=[9, 9, 9], frame_interval_ps=0.1)
    except ConfigError as error:
        print(f"{time.process_time() - start:.2f}", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, error)
"""


def test_bombs_go_off_in_seconds_and_within_the_memory(tmp_path):
    """400 kB of gzip that stand for 400 MB; hundreds of gigabytes would be left at the same point."""
    paths = []
    for name, (head, filling, _) in HEADS.items():
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        block = packer.compress(filling * (1 << 24 >> 10)) + packer.flush()
        paths.append(tmp_path / f"{name}.gz")
        paths[-1].write_bytes(gzip.compress(head) + block * (400_000 // len(block)))
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, *map(str, paths)], capture_output=True, text=True, timeout=120
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(HEADS), done.stderr[-2000:]
    for line, path, (_, _, message) in zip(lines, paths, HEADS.values(), strict=True):
        print(line)
        seconds, kilobytes, said = line.split(" ", 2)
        assert path.name in said
        assert any(part in said for part in message.split("|")), said
        assert float(seconds) < 20
        assert int(kilobytes) < 1e6


def test_elements_of_one_ionic_step_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("simtools.md.formats.vasp._MOST_ELEMENTS", 1000)
    path = files.write_vasprun(tmp_path / "vasprun.xml", files.walk(60))
    assert load_trajectory(path).n_frames == 60
    path.write_text(path.read_text().replace("</structure>", "</structure>" + "<i/>" * 1000, 1))
    _refused(path, "frame 0: expected vasprun.xml .*: over 1000 elements belong to one ionic step")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.dump", "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n99999999999\n"),
        ("a.xyz", "99999999999\ncomment\nLi 0 0 0\n"),
        ("XDATCAR", "x\n1\n9 0 0\n0 9 0\n0 0 9\nLi\n99999999999\nDirect configuration= 1\n0 0 0\n"),
        ("HISTORY", "title\n0 3 99999999999\ntimestep 0 99999999999 0 3 0.001 0.0\n"),
    ],
)
def test_more_atoms_than_bytes_are_no_atoms(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    _refused(path, r"frame 0: expected at most \d+ atoms, as many as the file has bytes, got 99999999999")
