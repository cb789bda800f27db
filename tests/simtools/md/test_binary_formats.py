"""XTC, TRR and DCD against MDAnalysis' compiled readers, and under noise that those do not survive."""

import struct
import tracemalloc

import numpy as np
import pytest
from MDAnalysis.lib.formats.libdcd import DCDFile
from MDAnalysis.lib.formats.libmdaxdr import TRRFile, XTCFile

from simtools.core.errors import ConfigError
from simtools.md.formats import gromacs
from simtools.md.formats.dcd import read_dcd
from simtools.md.formats.raw import DamagedFileError, TruncatedFileError
from simtools.md.readers import load_trajectory
from tests.simtools.md import foreign_files as files

BOX_NM = np.array([[3.0, 0, 0], [-0.5, 3.1, 0], [0.4, 0.6, 2.9]], dtype="f4")
READERS = {"XTC": gromacs.read_xtc, "TRR": gromacs.read_trr, "DCD": read_dcd}
WRITERS = {"XTC": files.write_xtc, "TRR": lambda p, w: files.write_xtc(p, w, "TRR"), "DCD": files.write_dcd}


def _crowd(kind, n, size_nm, rng):
    if kind == "spread":
        return rng.uniform(-size_nm, size_nm, (n, 3))
    if kind == "water":
        return np.repeat(rng.uniform(0, size_nm, ((n + 2) // 3, 3)), 3, axis=0)[:n] + rng.normal(
            0, 0.05, (n, 3)
        )
    if kind == "row":
        return np.outer(np.linspace(0, size_nm, n), [1.0, 0, 0])
    return np.full((n, 3), size_nm)


@pytest.mark.parametrize("kind", ["spread", "water", "row", "one place"])
@pytest.mark.parametrize("n_atoms", [1, 9, 10, 11, 50, 1000])
def test_xtc_is_decoded_bit_for_bit(tmp_path, monkeypatch, kind, n_atoms):
    """From 0.02 Å to 1.5 µm in units of 1e-4 to 0.1 Å; over 2^24 units apart GROMACS' own table ends."""
    path, rng, decoded = tmp_path / "a.xtc", np.random.default_rng(n_atoms), []

    def spy(*arguments, decode=gromacs.decode_positions):
        code = decode(*arguments)
        decoded.append(arguments[-1].copy())
        return code

    monkeypatch.setattr(gromacs, "decode_positions", spy)
    for size_nm, precision in ((0.002, 1e3), (1.0, 1e2), (3.0, 1e3), (40.0, 1e5), (1.5e3, 1e3)):
        decoded.clear()
        with XTCFile(str(path), "w") as file:
            for t in range(2):
                x = _crowd(kind, n_atoms, size_nm, rng).astype("f4")
                file.write(x, BOX_NM * np.float32(1 + 0.01 * t), 7 * t, 0.1 * t, precision)
        with XTCFile(str(path)) as file:
            theirs = list(file)
        ours = list(gromacs.read_xtc(path))
        for t, (frame, other) in enumerate(zip(ours, theirs, strict=True)):
            if n_atoms > 9:
                single = decoded[t].astype("f4") * np.float32(1 / float(np.float32(precision)))
                np.testing.assert_array_equal(single.view("u4"), other.x.view("u4"))
            np.testing.assert_allclose(frame.coordinates, 10.0 * other.x, rtol=3e-7)
            np.testing.assert_allclose(frame.cell_A, 10.0 * other.box, rtol=1e-7)
            assert frame.step == other.step
            assert frame.time_ps == pytest.approx(other.time, rel=1e-6)
            assert (
                frame.rounding_A < 1e-3 if n_atoms <= 9 else frame.rounding_A == pytest.approx(5 / precision)
            )
        assert [frame.coordinates is None for frame in gromacs.read_xtc(path, survey=True)] == [
            False,
            n_atoms > 9,
        ]


def test_xtc_of_hundreds_of_millions_of_atoms_has_a_wider_header(tmp_path):
    """GROMACS 2023 writes the number of bytes in 64 bits and says so in the magic number."""
    path = files.write_xtc(tmp_path / "a.xtc", files.walk(3))
    exact, data, wide = list(gromacs.read_xtc(path)), path.read_bytes(), b""
    while data:
        (length,) = struct.unpack(">i", data[88:92])
        whole = 92 + (length + 3) // 4 * 4
        wide += struct.pack(">i", 2023) + data[4:88] + struct.pack(">q", length) + data[92:whole]
        data = data[whole:]
    path.write_bytes(wide)
    for frame, other in zip(gromacs.read_xtc(path), exact, strict=True):
        np.testing.assert_array_equal(frame.coordinates, other.coordinates)


def test_trr_in_single_precision_is_that_of_mdanalysis(tmp_path):
    path, rng = tmp_path / "a.trr", np.random.default_rng(0)
    with TRRFile(str(path), "w") as file:
        for t in range(3):
            x, v = rng.normal(size=(2, 20, 3)).astype("f4")
            file.write(x if t != 1 else None, v, None, BOX_NM, 5 * t, 0.2 * t, 0.0, 20)
    with TRRFile(str(path)) as file:
        theirs = [frame for frame in file if frame.hasx]
    ours = list(gromacs.read_trr(path))
    assert len(ours) == 2
    for frame, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(frame.coordinates, 10.0 * other.x.astype(float))
        np.testing.assert_array_equal(frame.velocities_A_per_ps, 10.0 * other.v.astype(float))
        np.testing.assert_array_equal(frame.cell_A, 10.0 * other.box.astype(float))
        assert frame.step == other.step


def _double_trr(path, truth):
    """As GROMACS in double precision writes it."""
    x = truth.positions_A(truth.wrapped_s) / 10
    n = x.shape[1]
    with open(path, "wb") as file:
        for t in range(truth.n_frames):
            file.write(struct.pack(">iii", 1993, 13, 12) + b"GMX_trn_file")
            file.write(struct.pack(">13i", 0, 0, 72, 0, 0, 0, 0, 24 * n, 0, 0, n, 100 * t, 0))
            file.write(struct.pack(">2d", t * files.INTERVAL_PS, 0.0))
            file.write((truth.cells_A[t] / 10).astype(">f8").tobytes() + x[t].astype(">f8").tobytes())
    return path


def test_trr_in_double_precision_keeps_it(tmp_path):
    truth = files.walk(20, breathing=0.01)
    path = _double_trr(tmp_path / "a.trr", truth)
    with TRRFile(str(path)) as file:
        np.testing.assert_allclose(file.read().x, truth.positions_A(truth.wrapped_s)[0] / 10, rtol=1e-6)
    found = load_trajectory(path, species=files.SPECIES.tolist())
    exact = truth.paths_A - truth.paths_A[0]
    np.testing.assert_allclose(found.positions_A - found.positions_A[0], exact, atol=1e-12)
    assert found.metadata["rounding_A"] < 1e-14


def _swapped(data):
    """The same DCD in the other byte order: whole words but for the title's letters and the double cells."""
    head = np.frombuffer(data[:92], "<i4").astype(">i4").tobytes()
    (title,) = struct.unpack("<i", data[92:96])
    (lines,) = struct.unpack("<i", data[96:100])
    out = head[:4] + b"CORD" + head[8:] + struct.pack(">2i", title, lines) + data[100 : 96 + title]
    rest = data[96 + title :]
    out += np.frombuffer(rest[:16], "<i4").astype(">i4").tobytes()
    rest = rest[16:]
    while rest:
        (size,) = struct.unpack("<i", rest[:4])
        body = np.frombuffer(rest[4 : 4 + size], "<f8" if size == 48 else "<f4")
        swapped = body.astype(body.dtype.newbyteorder(">")).tobytes()
        out += struct.pack(">i", size) + swapped + struct.pack(">i", size)
        rest = rest[8 + size :]
    return out


def test_dcd_is_that_of_mdanalysis_in_either_byte_order(tmp_path):
    truth = files.walk(4, breathing=0.01)
    path = files.write_dcd(tmp_path / "a.dcd", truth)
    with DCDFile(str(path)) as file:
        theirs = [frame.xyz.astype(float) for frame in file]
    other = tmp_path / "b.dcd"
    other.write_bytes(_swapped(path.read_bytes()))
    for name in (path, other):
        for t, frame in enumerate(read_dcd(name)):
            np.testing.assert_array_equal(frame.coordinates, theirs[t])
            np.testing.assert_allclose(frame.cell_A @ frame.cell_A.T, truth.cells_A[t] @ truth.cells_A[t].T)


def test_frames_that_a_dcd_promises_must_be_there(tmp_path):
    path = files.write_dcd(tmp_path / "a.dcd", files.walk(6))
    data = path.read_bytes()
    path.write_bytes(data[: -(4 * 56 + 3 * 16)])  # one frame: four records around 48 bytes and 3 x 16 floats
    with pytest.raises(TruncatedFileError, match=r"expected 6 frames as the header says, found 5"):
        list(read_dcd(path))


@pytest.mark.parametrize("kind", READERS)
def test_noise_anywhere_is_named_or_leaves_finite_numbers(tmp_path, kind):
    """No other error, no crash, no hang: 400 files, a byte to a hundred of them random."""
    path, rng = WRITERS[kind](tmp_path / "a.bin", files.walk(6)), np.random.default_rng(0)
    whole, messages = path.read_bytes(), []
    for _ in range(400):
        data, n = bytearray(whole), int(rng.integers(1, 100))
        start = int(rng.integers(0, len(data) - n))
        data[start : start + n] = rng.integers(0, 256, n, dtype=np.uint8).tobytes()
        path.write_bytes(bytes(data))
        try:
            frames = list(READERS[kind](path))
        except DamagedFileError as error:
            messages.append(str(error))
            continue
        assert kind != "XTC" or all(np.isfinite(frame.coordinates).all() for frame in frames)
        assert all(frame.coordinates.shape == (16, 3) for frame in frames)
    assert all("a.bin, frame" in text and "expected" in text and "\n" not in text for text in messages)
    assert len(messages) > (250 if kind == "XTC" else 60)


@pytest.mark.parametrize(
    ("kind", "places"), [("XTC", (4, 52, 88)), ("TRR", (52, 64, 32)), ("DCD", (92, 96, 104))]
)
def test_a_length_in_a_header_takes_no_memory_before_it_is_believed(tmp_path, kind, places):
    """Two thousand million atoms, bytes or lines in a file of two kilobytes."""
    path = WRITERS[kind](tmp_path / "a.bin", files.walk(6))
    whole = path.read_bytes()
    title = struct.unpack("<i", whole[92:96])[0] if kind == "DCD" else 0  # its number of atoms is behind it
    for place in (*places[:-1], places[-1] + title):
        for number in (2**31 - 1, 2**30, -1, -(2**31)):
            order = "<i" if kind == "DCD" else ">i"
            path.write_bytes(whole[:place] + struct.pack(order, number) + whole[place + 4 :])
            tracemalloc.start()
            with pytest.raises(ConfigError, match=r"a\.bin, frame 0: expected"):
                list(READERS[kind](path))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 1e6
