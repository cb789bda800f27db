"""Templates of molecular anions: geometry and charges with their sources, but no pair terms.

Enough to build structures and to start a force field of one's own; not enough to run.
"""

from __future__ import annotations

from dataclasses import dataclass

from potentials.force_field import ForceFieldError, Parameter
from potentials.molecules import Molecule
from potentials.schema import TEMPLATE_DIRECTORY, list_templates, read_template
from potentials.table_reader import suggestion

__all__ = ["MoleculeTemplate", "list_templates", "load_template"]


@dataclass(frozen=True, eq=False)
class MoleculeTemplate:
    """One molecular anion: its `Molecule`, charges and masses by species, and the source of every number."""

    name: str
    version: str
    description: str
    molecule: Molecule
    charges_e: dict[str, float]
    formal_charges_e: dict[str, int]
    masses_amu: dict[str, float]
    references: dict[str, dict[str, str]]
    parameters: tuple[Parameter, ...]
    path: str


def load_template(name: str) -> MoleculeTemplate:
    """Return a shipped template, such as ``"bf4"``.

    Raises
    ------
    ForceFieldError
        If there is none of this name, or its file is damaged.
    """
    shipped = list_templates()
    if name not in shipped:
        hint = suggestion(name, shipped)
        raise ForceFieldError(f"no template {name!r}{hint}; shipped: {', '.join(shipped)}")
    path = TEMPLATE_DIRECTORY / f"{name}.toml"
    return MoleculeTemplate(**read_template(path.read_bytes(), path=str(path)), path=str(path))
