"""Whether a run directory may be continued with a recipe: the same kind of run, and the same inputs."""

import tomllib

from simtools.core.errors import ConfigError
from workflows.recipe import recipe_from_dict
from workflows.statepoints import read_json

__all__ = ["check_same_inputs", "refuse_cases"]

_MAY_CHANGE = {
    "md": ("temperatures_K", "replicas", "lattice_parameter_A", "checkpoint_every_ps"),
    "potential": ("mpi_ranks",),
}


def refuse_cases(directory):
    """Refuse a directory that holds a campaign of cases: its report and index would be written over.

    Raises
    ------
    ConfigError
    """
    if (directory / "campaign.json").exists():
        raise ConfigError(
            f"{directory} holds several cases, and this is a recipe without lists; choose another -o DIR"
        )


def check_same_inputs(recipe, forces, directory):
    """Refuse a directory whose recipe differs in anything but what may grow.

    Raises
    ------
    ConfigError
        Naming up to four differences.
    """
    earlier_file = directory / "recipe.toml"
    if not earlier_file.exists():
        return
    try:
        earlier = tomllib.loads(earlier_file.read_text(encoding="utf-8"))
        recipe_from_dict(earlier, source=earlier_file)
    except (ValueError, OSError) as error:
        raise ConfigError(f"{earlier_file}: cannot be read back ({error}); choose another -o DIR") from error
    resolved = recipe.to_dict()
    differences = []
    for table in ("structure", "defects", "potential", "md"):
        old, new = _fixed(earlier, table), _fixed(resolved, table)
        for key in sorted(set(old) | set(new)):
            if old.get(key) != new.get(key):
                differences.append(f"{key} = {_shown(old.get(key))} there, {_shown(new.get(key))} now")
    differences += _lattice_differences(earlier.get("md", {}), resolved["md"])
    system_file = directory / "system.json"
    if forces.force_field is not None and system_file.exists() and not differences:
        stored = read_json(system_file)["potential"].get("sha256")
        if stored != forces.force_field.sha256:
            differences.append("the force field's file has changed")
    if forces.in_lammps and system_file.exists() and not differences:
        stored = read_json(system_file)["potential"].get("lammps_version")
        version = forces.identity()["lammps_version"]
        if stored != version:
            differences.append(f"LAMMPS {stored} there, LAMMPS {version} now")
    if differences:
        raise ConfigError(
            f"{directory} was made from other inputs: {'; '.join(differences[:4])}; choose another -o DIR"
        )


def _fixed(record, table):
    """Return {dotted key: value} of a table without the keys that may grow."""
    content = record.get(table, {})
    if isinstance(content, list):
        return {f"{table}.{i}.{key}": value for i, row in enumerate(content) for key, value in row.items()}
    free = _MAY_CHANGE.get(table, ())
    return {f"{table}.{key}": value for key, value in content.items() if key not in free}


def _lattice_differences(old, new):
    def by_temperature(md):
        given = md.get("lattice_parameter_A")
        values = given if isinstance(given, list) else [given] * len(md["temperatures_K"])
        return dict(zip(md["temperatures_K"], values, strict=True))

    earlier, present = by_temperature(old), by_temperature(new)
    return [
        f"md.lattice_parameter_A at {temperature:g} K = {_shown(earlier[temperature])} there, "
        f"{_shown(present[temperature])} now"
        for temperature in present
        if temperature in earlier and earlier[temperature] != present[temperature]
    ]


def _shown(value):
    return "absent" if value is None else repr(value)
