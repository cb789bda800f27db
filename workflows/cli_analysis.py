"""The commands ``analyse`` and ``rotations``: options, how they are read, and what is printed."""

from pathlib import Path

from simtools.core.errors import ConfigError
from workflows.cli_base import DONE, UsageError

__all__ = ["add_analyse", "add_rotations"]

_TOPICS = ("collective", "vibrations", "structure", "jumps", "density")
_LARGEST_CHARGE_E = 99
_SMALLEST, _LARGEST = 1e-9, 1e9  # of a temperature, length, time or memory that can be meant


def add_analyse(commands):
    """Add ``simtools analyse``."""
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


def add_rotations(commands):
    """Add ``simtools rotations``."""
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
        raise UsageError("give --anion FORMULA, --tilts BX6, or both")
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
        raise UsageError("--at K FILE ... takes the place of TRAJECTORY, --replica and --temperature")
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
        raise UsageError("give either TRAJECTORY files or --replica groups")
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
