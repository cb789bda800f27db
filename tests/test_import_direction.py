"""The house has one direction: a room imports only from rooms below it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = [
    "simtools.core",
    "simtools.structures",
    "simtools.defects",
    "simtools.md",
    "simtools.analysers",
    "simtools.plots",
    "simtools.runs",
]
SIDE_ROOMS = {
    "simtools.testing": {"simtools.core", "simtools.structures", "simtools.md"},
    "simtools.reference": {"simtools.core"},
    "potentials": {"simtools.core"},
}
SOURCES = sorted(
    path for top in ("simtools", "potentials", "workflows") for path in (ROOT / top).rglob("*.py")
)


def room_of(module):
    """Return the room of a dotted module name, or None for somebody else's package."""
    top = module.split(".")[0]
    if top in {"potentials", "workflows", "tests", "benchmarks"}:
        return top
    if top == "simtools":
        return ".".join(module.split(".")[:2])
    return None


def imports_of(path):
    """Yield every absolute module imported in `path`, lazy imports included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            if node.module == "simtools":
                yield from (f"simtools.{alias.name}" for alias in node.names)
            else:
                yield node.module


def allowed(room):
    if room == "workflows":
        return {"workflows", "potentials", "simtools", *LAYERS, *SIDE_ROOMS}
    if room == "simtools":
        return {*LAYERS, "simtools.reference"}
    if room in SIDE_ROOMS:
        return {room, *SIDE_ROOMS[room]}
    below = set(LAYERS[: LAYERS.index(room) + 1])
    return below | ({"simtools.reference"} if room in {"simtools.plots", "simtools.runs"} else set())


def test_there_is_something_to_check():
    assert len(SOURCES) > 20


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    room = room_of(module)
    wrong = {
        name for name in imports_of(path) if room_of(name) is not None and room_of(name) not in allowed(room)
    }
    assert not wrong, f"{module} may not import {sorted(wrong)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_matplotlib_lives_in_plots_only(path):
    names = {name.split(".")[0] for name in imports_of(path)}
    assert "matplotlib" not in names or "plots" in path.parts


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_numba_has_one_door(path):
    names = {name.split(".")[0] for name in imports_of(path)}
    assert "numba" not in names or path.name == "accelerate.py"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unpickles_or_evaluates(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {name.split(".")[0] for name in imports_of(path)}
    calls = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not names & {"pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
    assert not calls & {"eval", "exec", "compile"}
