"""Three hundred files that somebody might send: recipes, trajectories, records and folders that mean harm.

`watched` sees what Python opens for writing, renames, deletes, starts or unpickles while they are read.
"""

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

SCRIPT = "<script>window.evil = 1</script>"
ATTACKS = (
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "--><svg onload=alert(1)>",
    "{{ 7 * 7 }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}",
    "__import__('os').system('touch canary')",
    "$(touch canary)",
    "`touch canary`",
    "; touch canary #",
    "../../../canary",
    "/etc/passwd",
    "!!python/object/apply:os.system ['touch canary']",
    "\\input{/etc/passwd}",
    "$\\write18{touch canary}$",
    "x" * 100_000,
    "\u202egpj.exe",
)
NUMBERS = (
    "1e308",
    "-1e308",
    "nan",
    "inf",
    "-inf",
    "9" * 400,
    "-1",
    "0",
    "1e-320",
    "9" * 5000,
    "0x7fffffffffffffff",
)
_SEALED = (
    "os.rename os.remove os.rmdir os.mkdir os.link os.symlink os.truncate os.chmod os.chown shutil.rmtree"
).split()
_STARTS = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "pickle.find_class",
    "ctypes.dlopen",
)


@dataclass
class Watch:
    """What was seen: files written outside `allowed`, and programs started."""

    allowed: tuple
    seen: list = field(default_factory=list)


_watching = []


def _audit(event, arguments):
    if not _watching:
        return
    watch = _watching[-1]
    if event in _STARTS:
        watch.seen.append((event, str(arguments)[:200]))
    elif event == "open":
        path, mode, flags = arguments
        writes = (
            any(letter in (mode or "") for letter in "wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR)
        )
        if writes and not isinstance(path, int):
            _place(watch, event, path)
    elif event in _SEALED:
        for path in arguments[:2]:
            if isinstance(path, (str, bytes, os.PathLike)):
                _place(watch, event, path)


def _place(watch, event, path):
    place = Path(os.fsdecode(path))
    real = place.parent.resolve() / place.name
    if event == "open":
        real = place.resolve()
    if "__pycache__" in real.parts:  # compiled code of the packages themselves
        return
    if not any(real.is_relative_to(folder) for folder in watch.allowed):
        watch.seen.append((event, str(path)))


sys.addaudithook(_audit)


@contextmanager
def watched(*allowed):
    """Yield a `Watch`; writing inside `allowed` and to devices is nobody's business."""
    watch = Watch((*(Path(folder).resolve() for folder in allowed), Path("/dev"), Path("/proc")))
    _watching.append(watch)
    try:
        yield watch
    finally:
        _watching.remove(watch)


def recipes(plain):
    """Yield (name, text) of recipes made from a good one."""
    keys = ("structure.formula", "potential.name", "analysis.mobile", "structure.prototype", "title")
    for k, attack in enumerate(ATTACKS):
        for key in keys:
            yield f"{key}-{k}", with_value(plain, key, json.dumps(attack))
    for key in ("md.temperatures_K", "md.replicas", "md.production_ps", "md.seed", "structure.supercell"):
        for k, number in enumerate(NUMBERS):
            value = f"[{number}]" if key == "md.temperatures_K" else number
            value = f"[{number}, {number}, {number}]" if key == "structure.supercell" else value
            yield f"{key}-{k}", with_value(plain, key, value)
    for depth in (10, 1000, 100_000):
        yield f"deep-list-{depth}", with_value(plain, "md.replicas", "[" * depth + "]" * depth)
        yield f"deep-table-{depth}", plain + "\n[" + ".".join(["a"] * depth) + "]\n"
    yield "many-keys", plain + "\n" + "\n".join(f"key{k} = {k}" for k in range(20_000))
    yield "binary", "\x00\x01\x02"
    yield "not-utf8", b"\xff\xfe" + plain.encode()
    yield "empty", ""
    yield "escape", plain.replace('title = "', 'title = "\\u001b]0;owned\\u0007')
    yield "case-up", plain + '\n[[case]]\nname = "../../canary"\n'
    yield "case-root", plain + '\n[[case]]\nname = "/tmp/canary"\n'
    yield "case-script", plain + f"\n[[case]]\nname = {json.dumps(SCRIPT)}\n"
    yield "case-deep", plain + "\n[[case]]\n" + ".".join(["md"] * 500) + " = 1\n"
    yield "sweep-huge", plain + "\n[sweep]\n" + "".join(f"md.k{k} = {list(range(100))}\n" for k in range(10))
    yield "sweep-up", plain + '\n[sweep]\npotential.name = ["../../canary", "/etc/passwd"]\n'
    yield "sweep-dunder", plain + "\n[sweep]\n__class__.__init__.__globals__ = [1]\n"
    yield "model", with_value(plain, "potential.calculator", '"mace"')
    yield "folder-name", with_value(plain, "potential.name", '"."')


def with_value(plain, key, value):
    """Return a recipe with one value replaced or added."""
    table, _, name = key.rpartition(".")
    lines, inside, done = [], table == "", False
    for line in plain.splitlines():
        if line.startswith("["):
            if inside and not done:
                lines.append(f"{name} = {value}")
                done = True
            inside = line.strip() == f"[{table}]"
        if inside and line.split("=")[0].strip() == name:
            line, done = f"{name} = {value}", True
        lines.append(line)
    if not done:
        lines.append(f"{name} = {value}")
    return "\n".join(lines) + "\n"


def segments(folder, outside):
    """Yield (name, change) of H5MD segments of ours: `change(file)` spoils an open h5py file."""

    def replace(path, make):
        def change(file):
            del file[path]
            make(file)

        return change

    paths = (
        "particles/trajectory/position/value",
        "particles/trajectory/position/step",
        "particles/trajectory/box/edges/value",
        "particles/trajectory/species",
        "particles/trajectory/mass",
        "parameters/metadata",
    )
    for path in paths:
        yield (
            f"external-{path}",
            replace(path, lambda f, p=path: f.__setitem__(p, h5py.ExternalLink(str(outside), p))),
        )
        yield f"soft-{path}", replace(path, lambda f, p=path: f.__setitem__(p, h5py.SoftLink("/" + p)))
        yield f"gone-{path}", replace(path, lambda f: None)
        yield f"text-{path}", replace(path, lambda f, p=path: f.__setitem__(p, SCRIPT))
        yield (
            f"huge-{path}",
            replace(
                path,
                lambda f, p=path: f.create_dataset(
                    p, shape=(10**9, 10**4, 3), chunks=(1, 100, 3), dtype="f8"
                ),
            ),
        )
        yield (
            f"raw-{path}",
            replace(
                path,
                lambda f, p=path: f.create_dataset(
                    p, shape=(4,), dtype="f4", external=[(str(outside), 0, 16)]
                ),
            ),
        )

    def deep(file):
        del file["parameters/metadata"]
        file["parameters"].create_dataset("metadata", data="[" * 100_000, dtype=h5py.string_dtype())

    def stage(file):
        file["parameters"].attrs["stage"] = "[" * 50_000

    def number(file):
        file["parameters"].attrs["stage"] = '{"timestep_fs": ' + "9" * 5000 + "}"

    def circle(file):
        file["parameters/loop"] = file["parameters"]

    def infinite(file):
        file["particles/trajectory/position/value"][...] = np.inf

    def bush(file):
        """Groups that hold the next one twice: 2^60 ways through them."""
        group = file.create_group("bush")
        for _ in range(60):
            below = group.create_group("a")
            group["b"] = below
            group = below

    def virtual(file):
        shape = file[paths[0]].shape
        del file[paths[0]]
        layout = h5py.VirtualLayout(shape, dtype="f4")
        layout[:] = h5py.VirtualSource(str(outside), "x", shape=shape)
        file.create_virtual_dataset(paths[0], layout)

    def masses(value):
        def change(file):
            file["particles/trajectory/mass"][...] = value

        return change

    def other(path, **options):
        return replace(path, lambda f: f.create_dataset(path, **options))

    charges = "parameters/formal_charges_e"
    text = {"dtype": h5py.string_dtype()}
    yield from (
        ("bush", bush),
        ("virtual", virtual),
        ("mass-nan", masses(np.nan)),
        ("mass-negative", masses(-1.0)),
        ("unwritten", other(paths[0], shape=(10**6, 10**3, 3), dtype="f4", chunks=(1, 1000, 3))),
        ("no-frame", other(paths[0], shape=(0, 32, 3), dtype="f4")),
        ("no-step", other(paths[1], shape=(0,), dtype="i8")),
        ("references", other(paths[0], shape=(11, 32, 3), dtype=h5py.ref_dtype)),
        ("compound", other(paths[0], data=np.zeros((11, 32, 3), dtype=[("a", "f4")]))),
        ("charges-text", other(charges, data='{"Ar": "x"}', **text)),
        ("charges-list", other(charges, data="[1]", **text)),
        ("metadata-list", other(paths[5], data="[1]", **text)),
        ("one-without-series", replace("parameters/fine_series", lambda f: None)),
        ("deep", deep),
        ("stage", stage),
        ("number", number),
        ("circle", circle),
        ("infinite", infinite),
    )


def frames():
    """Yield (name, bytes) of extended XYZ files."""
    lattice = 'Lattice="9 0 0 0 9 0 0 0 9"'
    atom = "Li 1.0 2.0 3.0\n"
    for k, attack in enumerate(ATTACKS):
        line = attack.replace("\n", " ")[:5000]
        yield f"comment-{k}", f"1\n{line}\n{atom}".encode()
        yield f"species-{k}", f"1\n{lattice}\n{line.replace(' ', '_') or 'X'} 1 2 3\n".encode()
    for k, number in enumerate(NUMBERS):
        yield f"count-{k}", f"{number}\n{lattice}\n{atom}".encode()
        yield f"position-{k}", f"1\n{lattice}\nLi {number} 2 3\n".encode()
        yield f"cell-{k}", f'1\nLattice="{number} 0 0 0 9 0 0 0 9"\n{atom}'.encode()
    yield "deep", f"1\n{lattice} info={'[' * 50_000}\n{atom}".encode()
    yield "properties", f"1\n{lattice} Properties=species:S:1:pos:R:{10**12}\n{atom}".encode()
    yield "binary", bytes(range(256)) * 20
    yield "gzip-bomb", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + b"\x00" * 50


def records():
    """Yield (name, text) of JSON records."""
    yield "script", json.dumps({"title": SCRIPT, "warnings": [SCRIPT, "--><script>"], "schema": 1})
    yield "list", "[]"
    yield "null", "null"
    yield "deep", "[" * 100_000
    yield "deep-object", '{"a":' * 50_000 + "1" + "}" * 50_000
    yield "number", '{"warnings": ' + "9" * 5000 + "}"
    yield "infinite", '{"warnings": [1e999], "schema": 1e999}'
    yield "half", '{"title": "a'
    yield "empty", ""
    yield "class", '{"__class__": "os.system", "__reduce__": ["touch canary"]}'
    yield "types", json.dumps({"warnings": 3, "provenance": [1], "transport": {"a": 1}})
    yield "surrogate", '{"title": "\\ud800"}'


def unchanged(outside):
    """Assert that what the fixture `outside` made is as it was."""
    assert sorted(path.name for path in outside.iterdir()) == ["secret.bin", "secret.txt"]
    assert (outside / "secret.txt").read_text() == "secret"
    assert not list(outside.parent.rglob("canary*"))


def one_line(message, path):
    """Assert that a message is one line which names the file."""
    text = str(message)
    assert str(path) in text or path.name in text, text[:300]
    assert len(text) < 1500
    assert "\n" not in text.strip()


def names():
    """Return names that point elsewhere."""
    return [
        "../../canary",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a/b",
        "a\x00b",
        "~/canary",
        "../canary.h5md",
        "x" * 300,
    ]
