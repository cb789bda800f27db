"""Damaged trajectory files by number: what was done to which format, and what may come of it."""

import gzip
import signal
from contextlib import contextmanager
from dataclasses import replace

import h5py
import numpy as np

from simtools.core.errors import ConfigError
from simtools.md.readers import load_trajectory
from tests.simtools.md import foreign_files as files

HOP_A = 2.8
NAMED = {"species": files.SPECIES.tolist()}
UNTIMED = {"frame_interval_ps": files.INTERVAL_PS}
FORMATS = {
    "a.dump": (lambda p, w: files.write_dump(p, w, "x"), {}),
    "u.dump": (lambda p, w: files.write_dump(p, w, "xu"), {}),
    "b.dump.gz": (lambda p, w: files.write_dump(p, w, "x+i"), {}),
    "XDATCAR": (files.write_xdatcar, UNTIMED),
    "vasprun.xml": (files.write_vasprun, {}),
    "a.extxyz": (files.write_extxyz, UNTIMED),
    "pos.xyz": (files.write_cp2k, {"cell_A": files.CELL_A}),
    "HISTORY": (files.write_history, {}),
    "a.traj": (files.write_traj, UNTIMED),
    "a.h5md": (files.write_h5md, {}),
    "a.xtc": (files.write_xtc, NAMED),
    "a.trr": (lambda p, w: files.write_xtc(p, w, "TRR"), NAMED),
    "a.dcd": (files.write_dcd, {**NAMED, **UNTIMED}),
}
TEXT = {"a.dump", "u.dump", "b.dump.gz", "XDATCAR", "a.extxyz", "pos.xyz", "HISTORY", "vasprun.xml"}
N_FRAMES = 24


def _truth(rng):
    return files.walk(N_FRAMES, seed=int(rng.integers(1000)), step_A=0.1)


def _changed(rng, truth, change):
    """Apply `change` to a copy of the fractions in one frame; return the walk and the frame."""
    fractions, frame = truth.whole_s.copy(), int(rng.integers(2, N_FRAMES - 1))
    change(fractions, frame)
    return replace(truth, whole_s=fractions), frame


def _not_a_number(rng, truth):
    def change(fractions, frame):
        fractions[frame, rng.integers(16), rng.integers(3)] = np.nan

    return _changed(rng, truth, change)


def _reordered(rng, truth):
    def change(fractions, frame):
        fractions[frame:, :12] = fractions[frame:, rng.permutation(12)]

    return _changed(rng, truth, change)


def _doubled(rng, truth):
    def change(fractions, frame):
        fractions[frame] = fractions[frame - 1]

    return _changed(rng, truth, change)


FRAME_DAMAGE = {"NaN": _not_a_number, "reordered": _reordered, "doubled": _doubled}
BYTE_DAMAGE = ("truncated", "zero bytes", "header", "noise", "species", "lost line")


def _byte_damage(rng, kind, name, path):
    packed = name.endswith(".gz") and kind in ("species", "lost line")
    data = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    if kind == "truncated":
        del data[int(rng.integers(1, len(data) - 1)) :]
    elif kind == "zero bytes":
        data.clear()
    elif kind == "header":
        n = int(rng.integers(4, 40))
        data[:n] = rng.integers(0, 256, n, dtype=np.uint8).tobytes()
    elif kind == "noise":
        n, start = int(rng.integers(8, 200)), int(rng.integers(0, len(data) - 1))
        data[start : start + n] = rng.integers(0, 256, n, dtype=np.uint8).tobytes()
    elif kind == "lost line" and name not in TEXT:
        n, start = int(rng.integers(1, 200)), int(rng.integers(100, len(data) - 200))
        del data[start : start + n]
    elif kind == "species":
        places = [k for k in range(len(data) - 4) if data[k : k + 2] == b"Li"]
        k = places[int(rng.integers(len(places)))]
        data[k : k + 2] = b"Na"
    else:
        lines = data.splitlines(keepends=True)
        del lines[int(rng.integers(1, len(lines) - 1))]
        data = bytearray(b"".join(lines))
    path.write_bytes(gzip.compress(bytes(data)) if packed else bytes(data))


def _other_species(rng, name, path, options):
    """Species that are wrong in a file of binary numbers: in one frame, in the header, or in number."""
    if name == "a.traj":
        files.write_traj(path, _truth(rng), sodium_frame=int(rng.integers(1, N_FRAMES)))
    elif name == "a.h5md":
        with h5py.File(path, "r+") as file:
            file["particles/all/species"][int(rng.integers(16))] = 7  # no name for it in the file
    else:
        options = {**options, "species": [*NAMED["species"], "Li"]}
    return options


@contextmanager
def _within(seconds):
    def stop(number, frame):
        raise TimeoutError(f"still reading after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def describe(number):
    """Return (format, damage) of the damaged file of this number."""
    kinds = [*FRAME_DAMAGE, *BYTE_DAMAGE]
    return list(FORMATS)[number % len(FORMATS)], kinds[(number // len(FORMATS)) % len(kinds)]


def check(number, folder):
    """Make the damaged file `number` and read it: a clear error, or the truth; nothing else.

    Returns
    -------
    str
        "refused" or "unharmed".
    """
    rng = np.random.default_rng(number)
    name, kind = describe(number)
    if name == "a.xtc" and kind == "NaN":
        kind = "noise"  # its whole numbers cannot be NaN
    writer, options = FORMATS[name]
    truth, path = _truth(rng), folder / name
    if kind in FRAME_DAMAGE:
        damaged, frame = FRAME_DAMAGE[kind](rng, truth)
        writer(path, damaged)
    else:
        writer(path, truth)
        frame = None
        if kind == "species" and name not in TEXT:
            options = _other_species(rng, name, path, options)
        else:
            _byte_damage(rng, kind, name, path)
    try:
        with _within(20):
            found = load_trajectory(path, hop_length_A=HOP_A, **options)
    except ConfigError as error:
        text = str(error)
        assert name in text, text
        assert "\n" not in text
        assert len(text) < 700
        if frame is not None:
            assert f"frame {frame}" in text, text
        assert "expected" in text or "is no element" in text or "species names" in text or "name" in text, (
            text
        )
        return "refused"
    refusal = kind in ("NaN", "doubled", "zero bytes") or (kind == "species" and name not in TEXT)
    assert not refusal, f"{name} with {kind} was read"
    exact = truth.paths_A[: found.n_frames]
    error = np.abs(found.positions_A - found.positions_A[0] - (exact - exact[0]))
    assert error.max() < 2.1 * max(found.metadata["rounding_A"], 5e-6), f"{name} with {kind}: wrong numbers"
    told_once = kind == "species" and name in ("XDATCAR", "vasprun.xml")  # nothing else says otherwise
    assert set(found.species.tolist()) <= ({"Li", "O", "Na"} if told_once else {"Li", "O"})
    return "unharmed"
