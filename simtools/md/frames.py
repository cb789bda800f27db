"""Frames in pieces: what one pass over a trajectory of any length hands to an accumulator."""

from dataclasses import dataclass, field

import numpy as np

from simtools.core.errors import ConfigError

__all__ = ["FrameChunk", "FrameSource", "check_chunk_size"]


@dataclass(frozen=True, eq=False)
class FrameChunk:
    """Consecutive frames of one trajectory.

    Attributes
    ----------
    first_frame : int
        Number of the first frame within its source.
    times_ps : ndarray
        Shape (n,), ps.
    positions_A : ndarray
        Unwrapped positions, shape (n, n_atoms, 3), Å.
    cells_A : ndarray
        Lattice vectors as rows, shape (n, 3, 3), Å.
    velocities_A_per_ps : ndarray or None
        Shape (n, n_atoms, 3), Å/ps.
    """

    first_frame: int
    times_ps: np.ndarray
    positions_A: np.ndarray
    cells_A: np.ndarray
    velocities_A_per_ps: np.ndarray | None = None

    @property
    def n_frames(self):
        """Number of frames in this piece."""
        return len(self.positions_A)


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameSource:
    """A trajectory on disk that is read in pieces, as often as wanted.

    Attributes
    ----------
    species : ndarray of str
        Species of each atom, shape (n_atoms,).
    n_frames : int or None
        Number of frames, None where only reading tells.
    frame_interval_ps : float
        Time between frames, ps.
    masses_amu : ndarray or None
        Shape (n_atoms,), amu.
    rounding_A : float
        Largest error of a coordinate from the digits that the file keeps, Å.
    format : str
        What kind of file it is.
    paths : tuple of str
        The files, in order.
    reference_cell_A : ndarray
        Cell in which displacements are expressed: the mean over all frames, shape (3, 3), Å.
    warnings : tuple of str
        What to distrust.
    reader : callable
        Called without arguments, it starts a pass and returns an iterator over
        (time_ps, positions_A, cell_A, velocities_A_per_ps or None) of single frames.
    step_limit : StepLimit or None
        What wrapped positions are held against, and what the last pass found beyond it.
    metadata : dict
        Whatever else the file says.
    """

    species: np.ndarray
    n_frames: int | None
    frame_interval_ps: float
    masses_amu: np.ndarray | None
    rounding_A: float
    format: str
    paths: tuple
    reference_cell_A: np.ndarray
    reader: object = field(repr=False)
    warnings: tuple = ()
    step_limit: object = field(default=None, repr=False)
    metadata: dict = field(default_factory=dict)

    @property
    def n_atoms(self):
        """Number of atoms."""
        return len(self.species)

    def notes(self):
        """Return the warnings, with those that the last pass over all frames added."""
        return [*self.warnings, *(self.step_limit.notes() if self.step_limit else [])]

    def chunks(self, frames_per_chunk):
        """Yield `FrameChunk` of at most `frames_per_chunk` frames; every call reads the files afresh.

        Raises
        ------
        ConfigError
            If a frame is damaged, atoms change, or wrapped positions leave their images open.
        """
        check_chunk_size(frames_per_chunk)
        held, first = [], 0
        for frame in self.reader():
            held.append(frame)
            if len(held) == frames_per_chunk:
                yield _chunk(first, held)
                first, held = first + len(held), []
        if held:
            yield _chunk(first, held)


def check_chunk_size(frames_per_chunk):
    """Refuse a chunk size that is not a positive whole number."""
    if int(frames_per_chunk) != frames_per_chunk or frames_per_chunk < 1:
        raise ConfigError(f"frames_per_chunk must be a positive whole number, got {frames_per_chunk!r}")


def _chunk(first, frames):
    times, positions, cells, velocities = zip(*frames, strict=True)
    return FrameChunk(
        first_frame=first,
        times_ps=np.array(times),
        positions_A=np.array(positions),
        cells_A=np.array(cells),
        velocities_A_per_ps=None if velocities[0] is None else np.array(velocities),
    )
