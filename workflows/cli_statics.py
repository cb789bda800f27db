"""The commands ``defects``, ``barrier`` and ``build``: a recipe's system without dynamics."""

import sys
from pathlib import Path

from workflows.cli_base import DONE, FAILED, add_recipe, complain

__all__ = ["add_barrier", "add_build", "add_defects"]


def add_defects(commands):
    """Add ``simtools defects``."""
    defects = commands.add_parser(
        "defects", help="energies of defects, reactions and associates; the same command resumes"
    )
    add_recipe(defects)
    defects.add_argument(
        "-o", "--output", dest="directory", type=Path, metavar="DIR", help="where to keep everything"
    )
    defects.add_argument("--workers", type=int, metavar="N", help="worker processes (default: one per core)")
    defects.add_argument("-q", "--quiet", action="store_true", help="no progress")
    defects.set_defaults(command=_defects)


def add_build(commands):
    """Add ``simtools build``."""
    build = commands.add_parser("build", help="the simulation cell only")
    add_recipe(build)
    build.add_argument(
        "-o", "--output", dest="file", type=Path, required=True, metavar="FILE", help="format by suffix (ASE)"
    )
    build.set_defaults(command=_build)


def add_barrier(commands):
    """Add ``simtools barrier``."""
    barrier = commands.add_parser("barrier", help="migration paths and barriers of a recipe's hops")
    add_recipe(barrier)
    barrier.add_argument("-o", "--output", dest="directory", type=Path, metavar="DIR", help="output folder")
    barrier.add_argument(
        "--verify", choices=["lammps"], help="evaluate ends and saddle points in LAMMPS as well"
    )
    barrier.add_argument("-q", "--quiet", action="store_true", help="no progress")
    barrier.set_defaults(command=_barrier)


def _defects(arguments):
    from workflows.defect_energies import compute_defect_energies
    from workflows.defect_plan import DefectPlan
    from workflows.defect_report import defect_table, write_defect_report
    from workflows.executors import StopRequest, get_executor
    from workflows.progress import count_line
    from workflows.statepoints import hold_directory
    from workflows.statics import read_static_recipe

    recipe = read_static_recipe(arguments.recipe, arguments.overrides)
    workers = get_executor("local", arguments.workers).workers
    if arguments.directory is None:
        arguments.directory = Path(f"{Path(arguments.recipe).stem}-energies")
    DefectPlan(recipe)
    with hold_directory(arguments.directory, "defects"):
        with StopRequest().listening() as stop, count_line(quiet=arguments.quiet) as show:
            result = compute_defect_energies(
                recipe, arguments.directory, workers=workers, stop=stop, on_progress=show
            )
        page = write_defect_report(result, arguments.directory)
    print(f"{defect_table(result)}\n\nsummary: {arguments.directory / 'summary.json'}\nreport: {page}")
    return DONE


def _build(arguments):
    from workflows.cell_files import build_for_export, write_cell
    from workflows.recipe import read_recipe

    recipe = read_recipe(arguments.recipe, arguments.overrides)
    atoms = build_for_export(recipe)
    write_cell(atoms, arguments.file)
    print(f"{arguments.file}: {len(atoms)} ions, {atoms.get_chemical_formula()}")
    return DONE


def _barrier(arguments):
    from workflows.barrier_report import barrier_table, moving_table, write_barriers
    from workflows.barriers import compute_barriers
    from workflows.executors import StopRequest
    from workflows.statepoints import hold_directory
    from workflows.statics import read_static_recipe

    recipe = read_static_recipe(arguments.recipe, arguments.overrides)
    if arguments.directory is None:
        arguments.directory = Path(f"{Path(arguments.recipe).stem.removesuffix('-barriers')}-barriers")

    def tell(message):
        if not arguments.quiet:
            print(message, file=sys.stderr)

    with hold_directory(arguments.directory, "barrier"):
        with StopRequest().listening() as stop:
            barriers = compute_barriers(
                recipe, arguments.directory, verify=arguments.verify, stop=stop, on_progress=tell
            )
        write_barriers(barriers, arguments.directory)
    print(f"{barrier_table(barriers)}\n\n{moving_table(barriers)}\n")
    print(f"summary: {arguments.directory / 'summary.json'}")
    failed = [outcome for outcome in barriers.outcomes if outcome.failed]
    if failed:
        return complain(
            f"{len(failed)} of {len(barriers.outcomes)} paths were not found; the others are kept; the same "
            "command continues",
            FAILED,
        )
    return DONE
