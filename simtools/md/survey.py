"""A first look over all frames of a trajectory: cells, times, atoms. Following the atoms: readers.py."""

from dataclasses import dataclass, replace

import numpy as np

from simtools.core.errors import ConfigError
from simtools.md.formats.cells import CellTable
from simtools.md.formats.detect import READERS
from simtools.md.formats.raw import DamagedFileError, TruncatedFileError
from simtools.md.formats.vasp import nominal_interval_ps
from simtools.md.frame_checks import check_cell_change, check_finite, even_interval, required_interval

__all__ = ["Request", "Survey", "clock_of", "frames_of", "interval_of", "look_over"]

_INTERVAL_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Request:
    """What the user said about the files."""

    paths: tuple
    format: str
    cells: object  # None, lattice vectors (3, 3), or a `CellTable`
    coordinates: str
    drop_truncated: bool


@dataclass
class Survey:
    """What a first look over all frames tells."""

    places: list
    times: list
    steps: list
    cell_sum: np.ndarray
    labels: list
    n_atoms: int
    masses: np.ndarray | None
    rounding_A: float
    cut: str | None = None
    varies: bool = False
    first_cell: np.ndarray | None = None


def frames_of(request, *, survey, on_cut=None):
    """Yield ((path, frame), RawFrame) over all parts; a cut last frame ends the last part where allowed."""
    total = 0
    for number, path in enumerate(request.paths):
        count = 0
        try:
            for frame in READERS[request.format](path, survey=survey):
                if frame.cell_A is not None and request.cells is not None:
                    raise DamagedFileError(
                        path,
                        count,
                        "the file has a cell of its own, expected none: leave out cell_A (--cell)",
                    )
                cell = frame.cell_A if frame.cell_A is not None else request.cells
                if isinstance(cell, CellTable):
                    cell = cell.cell_of((path, count), frame, total)
                if cell is None:
                    raise DamagedFileError(
                        path, count, "expected a cell, the file has none: give cell_A (--cell)"
                    )
                yield (path, count), replace(frame, cell_A=cell)
                count, total = count + 1, total + 1
        except TruncatedFileError as error:
            if not (request.drop_truncated and count and number == len(request.paths) - 1):
                raise
            if on_cut is not None:
                on_cut(str(path), count, error.expected)
        if not count:
            raise DamagedFileError(path, 0, f"expected frames of {request.format}, found none")


def look_over(request):
    """Return the `Survey` of all frames; refuse cells that leap and numbers that are not finite."""
    found, before, cut, scaled, longest_A = None, None, [], False, 0.0
    on_cut = lambda path, frame, why: cut.append(f"{path}: frame {frame} is cut off and left out ({why})")  # noqa: E731
    for place, frame in frames_of(request, survey=True, on_cut=on_cut):
        if found is None:
            found = Survey([], [], [], np.zeros((3, 3)), frame.labels, 0, frame.masses_amu, 0.0)
            found.n_atoms, found.first_cell = len(frame.coordinates), frame.cell_A
            scaled = frame.scaled
        check_finite(place, "coordinates", frame.coordinates, frame.labels or ["?"] * found.n_atoms)
        check_cell_change(place, before, frame.cell_A)
        found.varies |= before is not None and not np.array_equal(frame.cell_A, found.first_cell)
        before = frame.cell_A
        found.cell_sum += frame.cell_A
        found.places.append(place)
        found.times.append(frame.time_ps)
        found.steps.append(frame.step)
        found.rounding_A = max(found.rounding_A, frame.rounding_A or 0.0)
        longest_A = max(longest_A, float(np.linalg.norm(frame.cell_A, axis=1).max()))
    if scaled:
        found.rounding_A *= longest_A / np.linalg.norm(found.first_cell, axis=1).max()
    found.cut = cut[0] if cut else None
    return found


def _running_steps(survey, format):
    """Return the frames' steps; over parts of an XDATCAR, which each run of VASP counts anew, they run on."""
    steps = list(survey.steps)
    for k in range(2, len(steps)):
        usual = steps[1] - steps[0]
        begins = format == "XDATCAR" and survey.places[k][1] == 0 and survey.steps[k] == survey.steps[0]
        if begins:
            shift = steps[k - 1] + usual - steps[k]
            steps[k:] = [step + shift for step in steps[k:]]
    return steps


def clock_of(survey, first, stride):
    """Return where the times (else steps) of all frames and of the kept ones begin and end, or None.

    Parameters
    ----------
    survey
        `Survey` whose frames are even.
    first, stride
        First frame that is kept, and every which one.

    Returns
    -------
    dict or None
        ``unit`` ("ps" or "step"), ``first``, ``last``, ``kept_first``, ``kept_last``, ``per_frame``,
        ``per_kept_frame``.
    """
    for unit, values in (("ps", survey.times), ("step", survey.steps)):
        if None not in values:
            kept = values[first::stride]
            per_frame = (values[-1] - values[0]) / (len(values) - 1)
            return {
                "unit": unit,
                "first": values[0],
                "last": values[-1],
                "kept_first": kept[0],
                "kept_last": kept[-1],
                "per_frame": per_frame,
                "per_kept_frame": per_frame * stride,
            }
    return None


def interval_of(survey, request, given_ps):
    """Return the time between frames, ps, after checking that frames are even."""
    if len(survey.places) < 2:
        raise DamagedFileError(*survey.places[0], "expected at least 2 frames, this is the only one")
    for what, values in (("time", survey.times), ("step", survey.steps)):
        lacking = next((k for k, value in enumerate(values) if value is None), None)
        if lacking is not None and any(value is not None for value in values):
            raise DamagedFileError(*survey.places[lacking], f"expected a {what}, as in other frames")
    if None not in survey.steps:
        even_interval(_running_steps(survey, request.format), survey.places, "step")
    if None in survey.times:
        nominal = None
        if request.format == "vasprun.xml" and given_ps is None:
            nominal = nominal_interval_ps(request.paths[0])
        return nominal or required_interval(given_ps, str(request.paths[0]))
    found = even_interval(survey.times, survey.places, "time (ps)")
    if given_ps is None:
        return found
    if abs(given_ps / found - 1) > _INTERVAL_TOLERANCE:
        raise ConfigError(
            f"{request.paths[0]} has a frame every {found:.6g} ps, frame_interval_ps says {given_ps:.6g} ps: "
            "leave it out, or correct it"
        )
    return float(given_ps)
