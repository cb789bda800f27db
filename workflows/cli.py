"""The command line ``simtools``: a thin layer over functions that a notebook can call too.

Exit status: 0 done; 1 the run failed (or a bug of ours: its traceback is in the log named on stderr); 2 bad
input; 75 stopped in time by Ctrl-C, SIGTERM or SIGUSR1: the same command continues.
"""

import argparse
import errno
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

from simtools.core.errors import ConfigError, SimtoolsError
from workflows import cli_runs
from workflows.cli_cluster import (
    add_export,
    add_point,
    add_slurm_options,
    refuse_slurm_options,
    slurm_settings_of,
)
from workflows.safety import printable

__all__ = ["BAD_INPUT", "DONE", "FAILED", "STOPPED", "main"]

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 75
_TOPICS = ("collective", "vibrations", "structure", "jumps", "density")
_LARGEST_CHARGE_E = 99
_MOST_RETRIES = 1_000_000
_SMALLEST, _LARGEST = 1e-9, 1e9  # of a temperature, length, time or memory that can be meant
_DISK_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)


def main(argv=None):
    """Run the command line; return its exit status."""
    arguments = None
    try:
        arguments = _parser().parse_args(argv)
        return arguments.command(arguments)
    except _UsageError as error:
        return _complain(str(error), BAD_INPUT)
    except ConfigError as error:
        return _complain(str(error), BAD_INPUT)
    except SimtoolsError as error:
        return _complain(str(error), FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted; what was checkpointed is kept; the same command continues", STOPPED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            place = error.filename or getattr(arguments, "directory", None) or "disk"
            return _complain(f"{place}: {error.strerror}; what was written is kept", BAD_INPUT)
        log = _write_traceback(getattr(arguments, "directory", None))
        return _complain(
            f"{type(error).__name__} inside simtools: {_line(error)}; traceback in {log}", FAILED
        )


class _UsageError(Exception):
    """The command line itself cannot be read."""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise _UsageError(f"{message} (see {self.prog} --help)")


def _parser():
    parser = _Parser(
        prog="simtools",
        description="Simulation and transport analysis of anti-perovskite solid electrolytes.",
        epilog="Exit status: 0 done, 1 failed, 2 bad input, 75 stopped in time (the same command continues).",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="build, run, analyse, report; the same command resumes")
    _add_recipe(run)
    run.add_argument("--quick", action="store_true", help="the recipe's short form, its table [quick]")
    run.add_argument("-o", "--output", dest="directory", type=Path, metavar="DIR", help="run directory")
    run.add_argument("--executor", default="local", metavar="NAME", help="local (default), inline or slurm")
    run.add_argument("--workers", type=int, metavar="N", help="worker processes (default: one per core)")
    add_slurm_options(run)
    cli_runs.add_campaign_options(run)
    run.add_argument("-q", "--quiet", action="store_true", help="no progress")
    run.set_defaults(command=_run)

    cli_runs.add_status(commands)

    report = commands.add_parser("report", help="analyse and report again, also an unfinished run")
    report.add_argument("directory", type=Path, metavar="DIR")
    report.set_defaults(command=cli_runs.report)

    cli_runs.add_reproduce(commands)

    compare = commands.add_parser("compare", help="finished runs side by side, and beside the literature")
    compare.add_argument(
        "directories", type=Path, nargs="+", metavar="DIR", help="of simtools run; also of simtools defects"
    )
    compare.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="write summary.json, figures and report.html there"
    )
    compare.set_defaults(command=_compare)

    defects = commands.add_parser(
        "defects", help="energies of defects, reactions and associates; the same command resumes"
    )
    _add_recipe(defects)
    defects.add_argument(
        "-o", "--output", dest="directory", type=Path, metavar="DIR", help="where to keep everything"
    )
    defects.add_argument("--workers", type=int, metavar="N", help="worker processes (default: one per core)")
    defects.add_argument("-q", "--quiet", action="store_true", help="no progress")
    defects.set_defaults(command=_defects)

    _add_analyse(commands)
    _add_rotations(commands)

    build = commands.add_parser("build", help="the simulation cell only")
    _add_recipe(build)
    build.add_argument(
        "-o", "--output", dest="file", type=Path, required=True, metavar="FILE", help="format by suffix (ASE)"
    )
    build.set_defaults(command=_build)

    barrier = commands.add_parser("barrier", help="migration paths and barriers of a recipe's hops")
    _add_recipe(barrier)
    barrier.add_argument("-o", "--output", dest="directory", type=Path, metavar="DIR", help="output folder")
    barrier.add_argument(
        "--verify", choices=["lammps"], help="evaluate ends and saddle points in LAMMPS as well"
    )
    barrier.add_argument("-q", "--quiet", action="store_true", help="no progress")
    barrier.set_defaults(command=_barrier)

    potentials = commands.add_parser("potentials", help="force fields, with sources and confidence marks")
    potentials.add_argument("name", nargs="?", metavar="NAME", help="a shipped force field, or a TOML file")
    potentials.add_argument("--check", action="store_true", help="recompute its regression values")
    potentials.add_argument(
        "--export", nargs=2, metavar=("lammps|gulp", "FILE"), help="write it in another program's format"
    )
    potentials.set_defaults(command=_potentials)

    add_export(commands)
    add_point(commands)

    recipes = commands.add_parser("recipes", help="the recipes shipped with simtools")
    recipes.set_defaults(command=_recipes)
    return parser


def _add_analyse(commands):
    analyse = commands.add_parser(
        "analyse", help="transport and mechanisms from trajectory files of any program"
    )
    add = analyse.add_argument
    _add_files(analyse)
    add("--mobile", action="append", required=True, metavar="SPECIES", help="mobile ion; may be repeated")
    add("--charge", action="append", default=[], metavar="SPECIES=E", help="integer formal charge, e")
    add("--temperature", type=float, required=True, metavar="K", help="temperature, K")
    add("--host", metavar="A,B", help="immobile species; default: those of opposite charge")
    add("--hop-length", type=float, metavar="ANGSTROM", help="between neighbouring sites; default: measured")
    add("--molecule", action="append", default=[], metavar="NAME", help="one ion, such as OH; --charge OH=-1")
    add("--only", metavar="A,B", help=f"transport and some of {', '.join(_TOPICS)}; default: all of them")
    add("--sites", metavar="FILE", help="the perfect crystal, whose atoms are the sites (POSCAR, CIF, XYZ)")
    add("--density", action="append", default=[], metavar="FILE", help="write it: .cube, .chgcar or .vtk")
    add("--stream", action="store_true", help="one pass in bounded memory, whatever the size")
    add("--memory", type=float, default=1000.0, metavar="MB", help="stream if positions take more (1000)")
    add("-o", "--output", dest="directory", type=Path, default=Path("analysis"), metavar="DIR")
    analyse.set_defaults(command=_analyse)


def _add_rotations(commands):
    rotations = commands.add_parser(
        "rotations", help="rotation of molecular anions, and what it has to do with hops of ions"
    )
    add = rotations.add_argument
    _add_files(rotations)
    add("--anion", metavar="FORMULA", help="central atom first: OH, BH4, PS4, NO2, CN")
    add(
        "--tilts",
        action="append",
        default=[],
        metavar="BX6",
        help="tilts of octahedra, centre first, as OLi6; may be repeated",
    )
    add(
        "--at",
        action="append",
        nargs="+",
        metavar=("K", "FILE"),
        help="a temperature and its files, each a replica; repeat it for an activation energy",
    )
    add(
        "--mobile", action="append", default=[], metavar="SPECIES", help="hopping ion; without: rotation only"
    )
    add("--temperature", type=float, metavar="K", help="temperature, K")
    add("--host", metavar="A,B", help="species in whose frame hops are seen; default: all others")
    add("--bond", type=float, metavar="ANGSTROM", help="longest bond; default: from covalent radii")
    add("--radius", type=float, metavar="ANGSTROM", help="of hops beside a rotor; default: measured")
    add("--site-symmetry", default="1", metavar="GROUP", help="of the anion's site, as m-3m, for its map")
    add("--angle", type=float, default=45.0, metavar="DEGREES", help="smallest rotation that counts")
    add("--shifts", type=int, default=1000, metavar="N", help="shifted copies behind every p")
    add("--seed", type=int, default=0, metavar="N", help="of the shifted copies")
    add("-o", "--output", dest="directory", type=Path, default=Path("rotations"), metavar="DIR")
    rotations.set_defaults(command=_rotations)


def _add_files(parser):
    """Add what says which trajectory files to read, and how."""
    add = parser.add_argument
    add("trajectories", nargs="*", metavar="TRAJECTORY", help="each file a replica, unless --concatenate")
    add("--concatenate", action="store_true", help="the files are consecutive parts of one trajectory")
    add("--replica", action="append", nargs="+", metavar="FILE", help="consecutive parts of one replica")
    add("--topology", metavar="FILE", help="names the atoms where the trajectory does not")
    add("--species", action="append", default=[], metavar="NAME=ELEMENT", help="what a type or name means")
    add("--frame-interval", type=float, metavar="PS", help="where the files hold no times in ps")
    add(
        "--cell",
        metavar="A,B,C",
        help="edges (3) or lattice vectors (9 numbers) where the files have none, or CP2K's .cell file",
    )
    add("--unwrapped", action="store_true", help="positions are unwrapped: take them as they are")
    add(
        "--allow-long-steps",
        action="store_true",
        help="count and report wrapped steps over half of the hop length instead of refusing them",
    )
    add("--drop-truncated", action="store_true", help="leave out a last frame that is cut off")
    add("--skip", type=float, default=0.0, metavar="PS", help="leave out the start")
    add("--stride", type=int, default=1, metavar="N", help="every n-th frame")


def _add_recipe(parser):
    parser.add_argument("recipe", metavar="RECIPE", help="a TOML file, or the name of a shipped recipe")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        help="replace one value of the recipe, such as md.replicas=4; may be repeated",
    )


def _run(arguments):
    from simtools.runs import load_run
    from workflows.cost import cost_lines
    from workflows.executors import StopRequest, get_executor
    from workflows.progress import progress_display
    from workflows.sweep import read_cases

    if arguments.executor != "slurm":
        refuse_slurm_options(arguments, f"--executor {arguments.executor}")
    title, cases = read_cases(arguments.recipe, arguments.overrides, quick=arguments.quick)
    if not 0 <= arguments.retries <= _MOST_RETRIES:
        raise ConfigError(f"--retries {arguments.retries}: expected a whole number from 0 to {_MOST_RETRIES}")
    executor = get_executor(
        arguments.executor,
        arguments.workers,
        cores_per_point=max(case.recipe.potential.mpi_ranks or 1 for case in cases),
        slurm_settings=lambda: slurm_settings_of(arguments, *(case.recipe for case in cases)),
    )
    if arguments.directory is None:
        short = "-quick" if arguments.quick else ""
        arguments.directory = Path(f"{Path(arguments.recipe).stem}{short}-run")
    if arguments.plan:
        return cli_runs.print_plan(title, cases, arguments.directory)
    with StopRequest().listening() as stop, progress_display(quiet=arguments.quiet) as display:
        result = cli_runs.run(title, cases, arguments, executor=executor, stop=stop, display=display)
    again = "the same command continues"
    if result.status == "stopped":
        done = f"{result.n_done} of {result.n_points} points done"
        return _complain(f"stopped at a checkpoint, {done}; {again}", STOPPED)
    if result.status == "failed":
        return _complain(cli_runs.failure_text(result, again), FAILED)
    if [case.name for case in cases] == [""]:
        print("\n".join(cost_lines(load_run(arguments.directory))))
    print(f"summary: {arguments.directory / 'summary.json'}\nreport: {result.report}")
    return DONE


def _compare(arguments):
    from workflows.compare import read_comparison
    from workflows.compare_report import comparison_text, write_comparison

    comparison = read_comparison(arguments.directories)
    print(comparison_text(comparison))
    if arguments.output is not None:
        print(f"\nreport: {write_comparison(comparison, arguments.output)}")
    return DONE


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


def _analyse(arguments):
    from workflows.analyse import analyse_files, analysis_text, check_output, write_analysis
    from workflows.analyse_stream import open_large, stream_files

    replicas = _replicas(arguments)
    for name, value in (
        ("--temperature", arguments.temperature),
        ("--hop-length", arguments.hop_length),
        ("--memory", arguments.memory),
        ("--frame-interval", arguments.frame_interval),
    ):
        if value is not None and not _SMALLEST <= value <= _LARGEST:
            raise ConfigError(f"{name} must be positive ({_SMALLEST:g} to {_LARGEST:g}), got {value:g}")
    twice = [name for k, name in enumerate(arguments.mobile) if name in arguments.mobile[:k]]
    if twice:
        raise ConfigError(f"--mobile {twice[0]} is given twice, expected every species once")
    reading, topics = _reading_options(arguments), _topics(arguments)
    check_output(arguments.directory)
    hops = {"hop_length_A": arguments.hop_length, "hop_species": tuple(arguments.mobile)}
    large = None if arguments.stream else open_large(replicas, arguments.memory, **hops, **reading)
    streamed = arguments.stream or large is not None
    if streamed:
        _refuse_streamed(arguments)
        analyse, place = stream_files, {"directory": arguments.directory, "sources": large}
    else:
        analyse = analyse_files
        place = {"molecules": arguments.molecule, "sites": arguments.sites, "topics": topics}
    analysis = analyse(
        replicas,
        mobile=arguments.mobile,
        temperature_K=arguments.temperature,
        charges_e={name: _integer(name, text) for name, text in _pairs("--charge", arguments.charge)},
        host_species=arguments.host.split(",") if arguments.host else None,
        hop_length_A=arguments.hop_length,
        **place,
        **reading,
    )
    page = write_analysis(analysis, arguments.directory, density_files=arguments.density)
    if streamed:
        analysis.checkpoint.clear()
    print(f"{analysis_text(analysis)}\n\nsummary: {arguments.directory / 'summary.json'}\nreport: {page}")
    return DONE


def _rotations(arguments):
    from workflows.rotations import analyse_rotation_files, rotations_text, write_rotations

    groups = _groups(arguments)
    if arguments.anion is None and not arguments.tilts:
        raise _UsageError("give --anion FORMULA, --tilts BX6, or both")
    for name in ("temperature", "bond", "radius"):
        value = getattr(arguments, name)
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"--{name} must be positive, got {value:g}")
    analysis = analyse_rotation_files(
        groups,
        anion=arguments.anion,
        tilts=arguments.tilts,
        mobile=arguments.mobile,
        host_species=arguments.host.split(",") if arguments.host else None,
        cutoff_A=arguments.bond,
        radius_A=arguments.radius,
        site_symmetry=arguments.site_symmetry,
        threshold_deg=arguments.angle,
        n_shifts=arguments.shifts,
        seed=arguments.seed,
        **_reading_options(arguments),
    )
    page = write_rotations(analysis, arguments.directory)
    print(f"{rotations_text(analysis)}\n\nsummary: {arguments.directory / 'summary.json'}\nreport: {page}")
    return DONE


def _groups(arguments):
    """Return (temperature, replicas) of each temperature: from ``--at``, or one group of files."""
    if arguments.at is None:
        return [(arguments.temperature, _replicas(arguments))]
    if arguments.trajectories or arguments.replica or arguments.temperature is not None:
        raise _UsageError("--at K FILE ... takes the place of TRAJECTORY, --replica and --temperature")
    groups = []
    for text, *files in arguments.at:
        try:
            temperature_K = float(text)
        except ValueError:
            temperature_K = float("nan")
        if not 0 < temperature_K < float("inf") or not files:
            raise ConfigError(
                f"--at {' '.join([text, *files])}: expected a temperature in K and at least one file"
            )
        groups.append((temperature_K, [files] if arguments.concatenate else [[path] for path in files]))
    return groups


def _replicas(arguments):
    if bool(arguments.trajectories) == bool(arguments.replica):
        raise _UsageError("give either TRAJECTORY files or --replica groups")
    return arguments.replica or (
        [arguments.trajectories] if arguments.concatenate else [[path] for path in arguments.trajectories]
    )


def _refuse_streamed(arguments):
    """Refuse what one pass over files of any size cannot give."""
    for option, value in (
        ("--molecule", arguments.molecule),
        ("--sites", arguments.sites),
        ("--density", arguments.density),
        ("--only", arguments.only not in (None, "transport")),
    ):
        if value:
            raise ConfigError(
                f"{option} needs the whole trajectory in memory, expected less than --memory "
                f"{arguments.memory:g} MB: leave it out, raise --memory, or take fewer frames (--stride)"
            )


def _topics(arguments):
    """Return what to analyse beside transport; check early what can be checked before reading."""
    from workflows.analysis_files import check_density_file

    for path in map(Path, arguments.density):
        check_density_file(path)
        if not path.parent.is_dir() and path.parent.resolve() != arguments.directory.resolve():
            raise ConfigError(f"--density {path}: there is no folder {path.parent}")
    if arguments.only is None:
        return _TOPICS
    wanted = arguments.only.split(",")
    for name in wanted:
        if name not in (*_TOPICS, "transport"):
            raise ConfigError(f"--only {name}: expected some of transport, {', '.join(_TOPICS)}")
    topics = tuple(name for name in _TOPICS if name in wanted)
    if arguments.density and "density" not in topics:
        raise ConfigError("--density needs density among --only")
    return topics


def _reading_options(arguments):
    options = {
        "topology": arguments.topology,
        "species": dict(_pairs("--species", arguments.species)) or None,
        "frame_interval_ps": arguments.frame_interval,
        "coordinates": "unwrapped" if arguments.unwrapped else "auto",
        "allow_long_steps": arguments.allow_long_steps,
        "drop_truncated": arguments.drop_truncated,
        "skip_ps": arguments.skip,
        "stride": arguments.stride,
    }
    if arguments.cell is not None and Path(arguments.cell).is_file():
        options["cell_A"] = arguments.cell
    elif arguments.cell is not None:
        try:
            numbers = [float(word) for word in arguments.cell.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in (3, 9):
            raise ConfigError(f"--cell needs 3 or 9 numbers with commas, or a file, got {arguments.cell!r}")
        options["cell_A"] = numbers if len(numbers) == 3 else [numbers[k : k + 3] for k in (0, 3, 6)]
    return options


def _pairs(option, texts):
    seen = set()
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise ConfigError(f"{option} needs NAME=VALUE, got {text!r}")
        if name in seen:
            raise ConfigError(f"{option} {name} is given twice, expected one value")
        seen.add(name)
        yield name, value


def _integer(name, text):
    try:
        charge_e = int(text)
    except ValueError:
        raise ConfigError(f"--charge {name} must be an integer (formal charge), got {text!r}") from None
    if abs(charge_e) > _LARGEST_CHARGE_E:
        raise ConfigError(
            f"--charge {name} must be a formal charge, at most {_LARGEST_CHARGE_E} e, got {text[:20]}"
        )
    return charge_e


def _build(arguments):
    from workflows.recipe import read_recipe
    from workflows.systems import build_for_export, write_cell

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
        return _complain(
            f"{len(failed)} of {len(barriers.outcomes)} paths were not found; the others are kept; the same "
            "command continues",
            FAILED,
        )
    return DONE


def _potentials(arguments):
    if arguments.name is None:
        if arguments.check or arguments.export:
            raise _UsageError("--check and --export need the NAME of a force field (see simtools potentials)")
        from potentials.describe import describe_all

        print(describe_all())
        return DONE
    if arguments.check and arguments.export:
        raise _UsageError("--check and --export are two commands; give one of them")
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


def _complain(message, status):
    print(f"simtools: {printable(message)}", file=sys.stderr)
    return status


def _line(error):
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:196] + " ..."


def _write_traceback(directory):
    """Write the present traceback where it can be found; return the place."""
    name = f"simtools-error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    text = f"{sys.argv}\n{traceback.format_exc()}"
    for folder in (directory, Path(tempfile.gettempdir())):
        if folder is None:
            continue
        path = Path(folder) / name
        try:
            path.write_text(text, encoding="utf-8")
        except OSError:
            continue
        return path
    sys.stderr.write(text)
    return "the lines above"


if __name__ == "__main__":
    sys.exit(main())
