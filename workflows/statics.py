"""Recipes of calculations at rest: what `simtools defects` and `simtools barrier` read.

They need [structure] and [potential], and tolerate the tables of a run ([[defects]], [md], [analysis]), so
that one file can serve both; every key of every table is checked all the same.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from simtools.core.errors import ConfigError
from workflows import values as v
from workflows.recipe import read_lists, read_record, read_title
from workflows.recipe_tables import (
    AnalysisTable,
    DefectTable,
    MDTable,
    PotentialTable,
    StructureTable,
    check_potential,
    table_to_dict,
)
from workflows.slurm_settings import SlurmTable
from workflows.static_tables import EnergeticsTable, HopTable

__all__ = [
    "EnergeticsTable",
    "HopTable",
    "StaticRecipe",
    "read_static_recipe",
    "refuse_lammps",
    "static_recipe_from_dict",
]

DEFAULT_ACCURACY = 1e-5
"""Of the embedded engine in calculations at rest: 0.1 meV in the formation energy of a defect in Li3OCl."""

_TABLES = {"structure": StructureTable, "potential": PotentialTable, "energetics": EnergeticsTable}
_LISTS = ("defects", "hops")
_RUN_TABLES = {"md": MDTable, "analysis": AnalysisTable, "slurm": SlurmTable}


@dataclass(frozen=True, kw_only=True)
class StaticRecipe:
    """What a recipe says about calculations at rest; `source` is the file it came from, for messages."""

    title: str
    structure: StructureTable
    potential: PotentialTable
    defects: tuple[DefectTable, ...]
    energetics: EnergeticsTable | None
    hops: tuple[HopTable, ...]
    source: Path

    def to_dict(self):
        """Return the resolved recipe as TOML-able data: every default spelt out, absent keys left out."""
        record = {"title": self.title, "structure": table_to_dict(self.structure)}
        if self.defects:
            record["defects"] = [table_to_dict(row) for row in self.defects]
        record["potential"] = table_to_dict(self.potential)
        if self.energetics is not None:
            record["energetics"] = table_to_dict(self.energetics)
        if self.hops:
            record["hops"] = [table_to_dict(row) for row in self.hops]
        return record


def read_static_recipe(name_or_path, overrides=()):
    """Read and check a recipe for calculations at rest.

    Parameters
    ----------
    name_or_path
        A TOML file, or the name of a shipped recipe.
    overrides
        ``table.key=value`` texts from ``--set``.

    Raises
    ------
    ConfigError
        Naming the file, the key, the value and what was expected.
    """
    path, record, names = read_record(name_or_path, overrides)
    return static_recipe_from_dict(record, source=path, overrides=names)


def refuse_lammps(recipe):
    """Refuse a recipe that asks for LAMMPS: it runs dynamics only.

    Raises
    ------
    ConfigError
        Naming the key.
    """
    if recipe.potential.engine == "lammps":
        raise ConfigError(
            f'{recipe.source}: [potential] engine = "lammps": runs dynamics only (simtools run); remove it '
            "and mpi_ranks for calculations at rest"
        )


def static_recipe_from_dict(record, *, source, overrides=()):
    """Build a `StaticRecipe` from parsed TOML; its keys are checked one by one."""
    title = read_title(record, source, known=("title", "counterfactual", *_TABLES, *_LISTS, *_RUN_TABLES))
    for name in ("structure", "potential"):
        if name not in record:
            raise ConfigError(f"{source}: the table [{name}] is missing")
    read = {
        name: v.read_table(cls, record[name], where=name, source=source, overrides=overrides)
        for name, cls in {**_TABLES, **_RUN_TABLES}.items()
        if name in record
    }
    rows = read_lists(record, source, overrides)
    check_potential(read["potential"], source)
    potential = read["potential"]
    if potential.name is not None and potential.accuracy is None:
        potential = replace(potential, accuracy=DEFAULT_ACCURACY)
    return StaticRecipe(
        title=title,
        structure=read["structure"],
        potential=potential,
        defects=rows["defects"],
        energetics=read.get("energetics"),
        hops=rows["hops"],
        source=Path(source),
    )
