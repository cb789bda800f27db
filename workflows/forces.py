"""The forces of a recipe: which force field or calculator, and what runs it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from potentials.schema import ForceField, load_force_field
from simtools.core.errors import ConfigError
from workflows.values import shown, suggestion

__all__ = ["Forces", "forces_of"]

DEFAULT_ACCURACY = 1e-4


@dataclass(frozen=True)
class Forces:
    """The forces of a recipe: a force field of ours, or somebody else's calculator by name."""

    table: dict
    force_field: ForceField | None

    @property
    def formal_charges_e(self):
        """Integer formal charges by species, e."""
        if self.force_field is None:
            return dict(self.table["formal_charges_e"])
        return self.force_field.element_formal_charges_e

    def identity(self):
        """Return what fixes the forces, for the hash of a point: no path, but the file's SHA-256."""
        if self.force_field is None:
            identity = dict(sorted(self.table.items()))
            if "model" in identity:
                identity["model_sha256"] = hashlib.sha256(Path(identity["model"]).read_bytes()).hexdigest()
            return identity
        identity = {
            "name": self.force_field.name,
            "sha256": self.force_field.sha256,
            "engine": "lammps" if self.in_lammps else "embedded",
            "accuracy": self.table.get("accuracy", DEFAULT_ACCURACY),
        }
        if self.in_lammps:
            identity["lammps_version"] = self.table.get("lammps_version") or self._lammps_version()
        if "net_charge" in self.table:
            identity["net_charge"] = self.table["net_charge"]
        return identity

    @property
    def in_lammps(self):
        """Whether LAMMPS runs the dynamics."""
        return self.table.get("engine") == "lammps"

    def _lammps_version(self):
        from potentials.lammps_process import find_lammps

        return find_lammps().version

    def engine(self, *, mpi_ranks=None):
        """Return what runs the dynamics: a new ASE calculator, or LAMMPS on `mpi_ranks` processes.

        Raises
        ------
        LammpsUnavailableError
            If LAMMPS is asked for and cannot be started here.
        """
        if not self.in_lammps:
            return self.calculator()
        from potentials.lammps_dynamics import LammpsEngine

        return LammpsEngine(
            self.force_field,
            mpi_ranks=mpi_ranks or self.table.get("mpi_ranks", 1),
            accuracy=self.table.get("accuracy", DEFAULT_ACCURACY),
            net_charge=self.table.get("net_charge"),
        )

    def calculator(self):
        """Return a new ASE calculator: of a force field of ours, that of the embedded engine."""
        if self.force_field is None:
            from potentials.external import external_calculator

            given = {key: self.table[key] for key in ("model", "options") if key in self.table}
            return external_calculator(self.table["calculator"], **given)
        from potentials.calculator import IonicCalculator

        return IonicCalculator(
            self.force_field,
            accuracy=self.table.get("accuracy", DEFAULT_ACCURACY),
            net_charge=self.table.get("net_charge"),
        )


def forces_of(table, *, where="", path=None, relative_to=None):
    """Return the `Forces` of a [potential] table.

    Parameters
    ----------
    table
        Keys of `workflows.recipe_tables.PotentialTable`, absent ones left out.
    where
        Start of error messages: the recipe's name and table.
    path
        Force-field file to read instead of the one `table` names (the copy in a run directory).
    relative_to
        Folder that a relative path in `table` starts from.
    """
    table = dict(table)
    if "name" not in table:
        return Forces(_checked_calculator(table, where, relative_to), None)
    name = path or table["name"]
    try:
        if relative_to is not None and (Path(relative_to) / name).is_file():
            name = Path(relative_to) / name
        force_field = load_force_field(str(name))
    except (ConfigError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{where}name = {shown(table['name'])}: {reason}") from error
    if not force_field.is_charged and "net_charge" in table:
        raise ConfigError(
            f"{where}net_charge = {shown(table['net_charge'])}: has no effect: the "
            f"ions of {force_field.name!r} carry no charges; remove it"
        )
    return Forces(table, force_field)


def _checked_calculator(table, where, relative_to):
    """Return the table of an external calculator with its model's absolute path."""
    from potentials.external import list_external_calculators

    known = list_external_calculators()
    if table["calculator"] not in known:
        hint = suggestion(table["calculator"], known)
        raise ConfigError(f"{where}calculator = {shown(table['calculator'])}: unknown{hint}")
    if "model" in table:
        path = (Path(relative_to or ".") / table["model"]).resolve()
        if not path.is_file():
            raise ConfigError(f"{where}model = {shown(table['model'])}: no such file")
        table["model"] = str(path)
    return table
