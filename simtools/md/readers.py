"""Open anybody's trajectory: what the file is, whose atoms, which times; then whole paths, frame by frame.

Formats: simtools/md/formats. Unwrapping: unwrapping.py. Nothing in a file is unpickled or evaluated.
"""

from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from simtools.core.errors import ConfigError
from simtools.md.atom_names import masses_of, name_atoms
from simtools.md.formats.cells import read_cells
from simtools.md.formats.detect import READERS, detect_format
from simtools.md.formats.raw import DamagedFileError
from simtools.md.frame_checks import (
    check_atoms,
    check_finite,
    check_order,
    check_unwrapped,
    doubled_frame,
)
from simtools.md.frames import FrameSource
from simtools.md.h5md import read_trajectory, recorded_charges_e, segment_files
from simtools.md.step_limit import AVERAGED_PS, StepLimit, neighbour_distance_A
from simtools.md.survey import Request, clock_of, frames_of, interval_of, look_over
from simtools.md.trajectory import Trajectory
from simtools.md.trajectory_index import FOLDER, INDEX
from simtools.md.unwrapping import Unwrapper

__all__ = ["is_run", "load_trajectory", "open_trajectory"]

_COORDINATES = ("auto", "wrapped", "unwrapped")
_NOTABLE_ROUNDING_A = 1e-5  # single precision keeps more below 256 A; adds 2e-10 A^2


def open_trajectory(
    paths,
    *,
    topology=None,
    species=None,
    frame_interval_ps=None,
    cell_A=None,
    hop_length_A=None,
    hop_species=None,
    allow_long_steps=False,
    coordinates="auto",
    format=None,
    drop_truncated=False,
    skip_ps=0.0,
    stride=1,
):
    """Open trajectory files of one simulation and look over all of their frames once.

    Parameters
    ----------
    paths
        A file, or several that follow one another. LAMMPS dump, DCD, XDATCAR, vasprun.xml, XYZ (extended,
        CP2K, plain), ASE .traj, DL_POLY HISTORY, XTC, TRR, H5MD; text may be compressed with gzip or bzip2. A
        run directory of ours counts as its production stage.
    topology
        File that names the atoms where the trajectory does not: LAMMPS data, .gro, .pdb, .xyz, .cif, POSCAR
        or CONFIG, atoms in the trajectory's order (LAMMPS: by id).
    species
        {name in the file: species}, for example ``{"1": "Li", "2": "O"}`` for LAMMPS types; or one species
        per atom.
    frame_interval_ps
        Time between frames, ps: needed where the file has no times in a known unit.
    cell_A
        Three edges or the lattice vectors as rows, Å, where the file has no cell; or the .cell file that CP2K
        writes beside its XYZ file, with a cell for every step.
    hop_length_A
        Shortest distance between sites, Å: wrapped positions that step farther than half of it between frames
        are refused. Steps over half the shortest height of the cell always are.
    hop_species
        Species whose steps are held against `hop_length_A`; by default all. Without a `hop_length_A` that of
        each of these species is its distance between neighbours in the first picosecond. Names of no atom
        (molecules) are passed over.
    allow_long_steps
        Count wrapped steps over half of a hop and warn, instead of refusing them.
    coordinates
        "auto": folded, unless the format says that images are counted; "wrapped"; "unwrapped": as they are.
    format
        Name of the format; by default told from the content.
    drop_truncated
        Leave out a last frame that the file's end cuts off, with a warning; by default it is an error.
    skip_ps
        Time to leave out at the start, ps.
    stride
        Keep every n-th frame (all are read, so that paths are followed).

    Returns
    -------
    FrameSource

    Raises
    ------
    ConfigError
        One line that names file, frame and what was expected: damaged, cut off, uneven or doubled frames,
        other atoms, a step whose image is open, no times, no names of the atoms.
    """
    request, names = _request(
        paths, cell_A, coordinates, format, drop_truncated, stride, skip_ps, frame_interval_ps, hop_length_A
    )
    survey = look_over(request)
    interval_ps = interval_of(survey, request, frame_interval_ps)
    symbols = name_atoms(request.paths[0], survey.labels, survey.n_atoms, topology, species)
    reference = survey.cell_sum / len(survey.places) if survey.varies else survey.first_cell
    first = int(np.ceil(skip_ps / interval_ps - 1e-9))
    kept = len(range(first, len(survey.places), stride))
    if kept < 2:
        raise ConfigError(
            f"{names}: expected at least 2 frames, got {kept} of {len(survey.places)} (skip {skip_ps:g} ps, "
            f"stride {stride})"
        )
    follow = partial(_follow, request, symbols, reference, survey, interval_ps)
    if hop_species is not None:
        hop_length_A = {
            name: hop_length_A or _measured_hop_A(follow, symbols, reference, interval_ps, name)
            for name in hop_species
            if name in symbols
        }
    limit = StepLimit(
        Unwrapper(reference).half_height_A, hop_length_A, allow=allow_long_steps, interval_ps=interval_ps
    )
    return FrameSource(
        species=symbols,
        n_frames=kept,
        frame_interval_ps=interval_ps * stride,
        masses_amu=masses_of(survey.masses, symbols),
        rounding_A=survey.rounding_A,
        format=request.format,
        paths=tuple(str(path) for path in request.paths),
        reference_cell_A=reference,
        warnings=tuple(_notes(survey, request.format)),
        reader=partial(follow, limit, first, stride),
        step_limit=limit,
        metadata={"varying_cell": survey.varies, "clock": clock_of(survey, first, stride)},
    )


def load_trajectory(paths, *, temperature_K=None, formal_charges_e=None, **options):
    """Read trajectory files into memory, unwrapped.

    Parameters
    ----------
    paths, options
        As for `open_trajectory`.
    temperature_K
        Temperature, K.
    formal_charges_e
        {species: integer formal charge}, e; by default those that a run of ours recorded.

    Returns
    -------
    Trajectory
        ``metadata`` holds the format, the rounding of the source (Å) and its warnings.
    """
    if isinstance(paths, (str, Path)) and not options and is_run(paths):
        found = read_trajectory(paths)
        changes = {}
        if temperature_K is not None:
            changes["temperature_K"] = temperature_K
        if formal_charges_e:
            changes["formal_charges_e"] = dict(formal_charges_e)
        return replace(found, **changes)
    if not formal_charges_e:
        runs = [paths] if isinstance(paths, (str, Path)) else list(paths)
        formal_charges_e = recorded_charges_e(runs[0]) if runs and is_run(runs[0]) else {}
    source = open_trajectory(paths, **options)
    n_atoms = source.n_atoms
    positions = np.empty((source.n_frames, n_atoms, 3))
    cells = np.empty((source.n_frames, 3, 3))
    velocities = None
    for chunk in source.chunks(256):
        part = slice(chunk.first_frame, chunk.first_frame + chunk.n_frames)
        positions[part], cells[part] = chunk.positions_A, chunk.cells_A
        if chunk.velocities_A_per_ps is not None:
            velocities = np.empty_like(positions) if velocities is None else velocities
            velocities[part] = chunk.velocities_A_per_ps
    return Trajectory(
        positions_A=positions,
        species=source.species,
        cells_A=cells if source.metadata["varying_cell"] else cells[0],
        frame_interval_ps=source.frame_interval_ps,
        temperature_K=temperature_K,
        formal_charges_e=dict(formal_charges_e),
        masses_amu=source.masses_amu,
        velocities_A_per_ps=velocities,
        metadata={
            "format": source.format,
            "paths": list(source.paths),
            "rounding_A": source.rounding_A,
            "warnings": source.notes(),
            "clock": source.metadata["clock"],
            # paths are in this cell, whatever the cell of the frame: see unwrapping.py
            **(
                {"reference_cell_A": source.reference_cell_A.tolist()}
                if source.metadata["varying_cell"]
                else {}
            ),
        },
    )


def is_run(path):
    """Return whether `path` is a run directory of ours, or its production stage."""
    folder = Path(path)
    return (folder / INDEX).is_file() or (folder / FOLDER / INDEX).is_file()


def _request(paths, cell_A, coordinates, format, drop_truncated, stride, skip_ps, interval_ps, hop_length_A):
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not paths:
        raise ConfigError("open_trajectory needs at least one file, got none")
    files = []
    for path in paths:
        files += segment_files(path) if is_run(path) else [path]
    if coordinates not in _COORDINATES:
        raise ConfigError(f"coordinates must be one of {', '.join(_COORDINATES)}, got {coordinates!r}")
    if format is not None and format not in READERS:
        raise ConfigError(f"format must be one of {', '.join(READERS)}, got {format!r}")
    for name, value in (("hop_length_A", hop_length_A), ("frame_interval_ps", interval_ps)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ConfigError(f"{name} must be positive, got {value!r}")
    if int(stride) != stride or stride < 1:
        raise ConfigError(f"stride must be a positive whole number, got {stride!r}")
    if not (np.isfinite(skip_ps) and skip_ps >= 0):
        raise ConfigError(f"skip_ps must not be negative, got {skip_ps!r}")
    kinds = [detect_format(path) for path in files]
    if format is None and len(set(kinds)) > 1:
        raise ConfigError(
            f"parts of one trajectory must have one format, got {', '.join(sorted(set(kinds)))}"
        )
    if isinstance(cell_A, (str, Path)):
        if not Path(cell_A).is_file():
            raise ConfigError(f"{cell_A}: expected a CP2K cell file, there is no such file")
        cell_A = read_cells(cell_A)
    elif cell_A is not None:
        cell_A = np.asarray(cell_A, dtype=float)
        cell_A = np.diag(cell_A) if cell_A.shape == (3,) else cell_A
        if cell_A.shape != (3, 3) or not abs(np.linalg.det(cell_A)) > 0:
            raise ConfigError("cell_A must be three edges or three independent lattice vectors as rows")
    request = Request(tuple(files), format or kinds[0], cell_A, coordinates, bool(drop_truncated))
    return request, ", ".join(str(path) for path in paths)


def _notes(survey, kind):
    if survey.cut:
        yield survey.cut
    if survey.rounding_A > _NOTABLE_ROUNDING_A:
        yield (
            f"coordinates in {kind} are rounded by up to {survey.rounding_A:.1e} A; random rounding adds up "
            f"to {2 * survey.rounding_A**2:.1e} A^2 to every mean squared displacement, none to its slope"
        )


def _measured_hop_A(follow, symbols, reference, interval_ps, species):
    """Return the distance between neighbours in the first picosecond, which is read for it."""
    if np.count_nonzero(symbols == species) == 1:
        return np.inf  # its only neighbours are its images: the cell's height limits its steps
    n_frames = 1 + int(AVERAGED_PS / interval_ps)
    positions = [frame[1] for frame in islice(follow(None, 0, 1), n_frames)]
    start = Trajectory(
        positions_A=np.array(positions), species=symbols, cells_A=reference, frame_interval_ps=interval_ps
    )
    return neighbour_distance_A(start, species)


def _follow(request, symbols, reference, survey, interval_ps, limit, first, stride):
    """Read all frames, check them against each other and yield whole paths."""
    unwrapper = Unwrapper(reference)
    if limit is not None:
        limit.found.clear()
    before, held, low, high = None, None, np.inf, -np.inf
    for number, (place, frame) in enumerate(frames_of(request, survey=False)):
        if number >= len(survey.places):
            raise DamagedFileError(*place, f"expected {len(survey.places)} frames, the file has grown since")
        check_atoms(place, frame.labels, survey.labels, len(frame.coordinates), survey.n_atoms)
        for name, values in (
            ("coordinates", frame.coordinates),
            ("image flags", frame.images),
            ("velocities", frame.velocities_A_per_ps),
        ):
            check_finite(place, name, values, symbols)
        fractions = frame.coordinates if frame.scaled else frame.coordinates @ np.linalg.inv(frame.cell_A)
        if frame.images is not None:
            fractions = fractions + frame.images
        if (
            before is not None
            and np.array_equal(frame.coordinates, before)
            and np.array_equal(fractions, held)
        ):
            raise doubled_frame(survey.places[number - 1], place)
        whole = request.coordinates == "unwrapped" or (request.coordinates == "auto" and frame.whole)
        positions_A, steps_A = unwrapper.unwrap(fractions, frame.cell_A, whole=whole)
        low, high = np.minimum(low, fractions.min(axis=0)), np.maximum(high, fractions.max(axis=0))
        if held is not None:
            if request.coordinates == "unwrapped":
                check_unwrapped(
                    place, symbols, held, fractions, high - low, steps_A, frame.cell_A, unwrapper.reduction
                )
            check_order(place, symbols, held, fractions, steps_A, frame.cell_A, unwrapper.reduction)
            if limit is not None and not whole:
                limit.check(place, symbols, steps_A)
        before, held = frame.coordinates, fractions
        if number >= first and (number - first) % stride == 0:
            yield number * interval_ps, positions_A, frame.cell_A, frame.velocities_A_per_ps
