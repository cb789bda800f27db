"""Files that other packages ship with their tests, or a skip that says what is missing."""

from importlib.util import find_spec
from pathlib import Path

import pytest


def need(*modules):
    """Skip unless all of these modules are there."""
    for name in modules:
        try:
            found = find_spec(name) is not None
        except ModuleNotFoundError:
            found = False
        if not found:
            pytest.skip(f"{name}, an optional test dependency (extra peers), is not installed")


def published(package, folder, name):
    """Return the path of a file that an installed package ships, or skip."""
    need(package)
    path = Path(find_spec(package).origin).parent / folder / name
    if not path.is_file():
        pytest.skip(f"this {package} ships no {name}")
    return path
