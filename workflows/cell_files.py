"""The simulation cell alone, for a file: built as a run would, at its first lattice parameter."""

from simtools.core.errors import ConfigError
from workflows.forces import forces_of
from workflows.molecular import guess_lattice_parameter_A, is_molecular
from workflows.system_checks import check_recipe
from workflows.systems import build_cell, relaxed_lattice_parameter_A

__all__ = ["build_for_export", "write_cell"]


def build_for_export(recipe):
    """Return the simulation cell of a recipe: at its first lattice parameter, else the relaxed one."""
    forces = forces_of(
        recipe.to_dict()["potential"],
        where=f"{recipe.source}: [potential] ",
        relative_to=recipe.source.parent,
    )
    check_recipe(recipe, forces)
    lattice = recipe.md.lattice_parameter_at(recipe.md.temperatures_K[0])
    resolved = recipe.to_dict()
    return build_cell(
        resolved["structure"],
        resolved.get("defects", []),
        forces,
        lattice_parameter_A=lattice or _export_lattice_parameter_A(recipe, forces),
        seed=recipe.md.seed,
    )


def _export_lattice_parameter_A(recipe, forces):
    structure = recipe.to_dict()["structure"]
    if is_molecular(structure, forces):
        return guess_lattice_parameter_A(structure, forces)
    return relaxed_lattice_parameter_A(recipe, forces)


def write_cell(atoms, path):
    """Write a cell with ASE, the format by the file's suffix.

    Raises
    ------
    ConfigError
        If the suffix names no format that ASE writes, or the file cannot be written.
    """
    from ase.io import write
    from ase.io.formats import UnknownFileTypeError

    try:
        write(path, atoms)
    except (UnknownFileTypeError, LookupError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{path}: ASE cannot write a crystal in the format of this suffix ({error}); try .extxyz, .cif "
            "or .vasp"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error
