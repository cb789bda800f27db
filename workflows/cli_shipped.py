"""The commands ``potentials`` and ``recipes``: what is shipped, checked and exported."""

from simtools.core.errors import ConfigError
from workflows.cli_base import DONE, FAILED, UsageError

__all__ = ["add_potentials", "add_recipes"]


def add_potentials(commands):
    """Add ``simtools potentials``."""
    potentials = commands.add_parser("potentials", help="force fields, with sources and confidence marks")
    potentials.add_argument("name", nargs="?", metavar="NAME", help="a shipped force field, or a TOML file")
    potentials.add_argument("--check", action="store_true", help="recompute its regression values")
    potentials.add_argument(
        "--export", nargs=2, metavar=("lammps|gulp", "FILE"), help="write it in another program's format"
    )
    potentials.set_defaults(command=_potentials)


def add_recipes(commands):
    """Add ``simtools recipes``."""
    recipes = commands.add_parser("recipes", help="the recipes shipped with simtools")
    recipes.set_defaults(command=_recipes)


def _potentials(arguments):
    if arguments.name is None:
        if arguments.check or arguments.export:
            raise UsageError("--check and --export need the NAME of a force field (see simtools potentials)")
        from potentials.describe import describe_all

        print(describe_all())
        return DONE
    if arguments.check and arguments.export:
        raise UsageError("--check and --export are two commands; give one of them")
    from potentials.schema import load_force_field

    force_field = load_force_field(arguments.name)
    if arguments.export:
        return _export(force_field, *arguments.export)
    if arguments.check:
        from potentials.check import check_force_field

        report = check_force_field(force_field)
        print(report)
        return DONE if report.passed else FAILED
    from potentials.describe import describe

    print(describe(force_field))
    return DONE


def _export(force_field, program, file):
    if program not in ("lammps", "gulp"):
        raise ConfigError(f"--export {program}: expected lammps or gulp")
    if program == "gulp":
        from potentials.gulp import write_gulp

        write_gulp(force_field, file)
    else:
        from potentials.lammps import write_force_field

        write_force_field(force_field, file)
    print(f"{file}: {force_field.name} for {program.upper()}")
    return DONE


def _recipes(arguments):
    from workflows.recipe import list_recipes
    from workflows.statics import read_static_recipe

    for name, path in list_recipes().items():
        print(f"{name:<24}{read_static_recipe(path).title}")
    return DONE
