"""Do files given as replicas go on from one another? Replicas must be independent; parts of a run are not."""

from itertools import permutations

import numpy as np

from simtools.core.periodic import minimum_image

__all__ = ["START_FRAMES", "consecutive_parts"]

START_FRAMES = 32
_MOST_ATOMS = 200
_ONE_STEP = 1.5
_APART_FRAMES = 10
_CLOSER = 0.5
_EVEN = 1e-2


def consecutive_parts(names, starts_tnc, ends_nc, cells_A, clocks):
    """Return a warning for every two files of which one goes on where the other ends.

    Told by positions: the first frame of one is no farther from the last of the other than one step goes
    (root mean square over atoms). Where ions move little between frames, replicas of one crystal are that
    close too; so either the times or steps go on as well, or the frames are so dense that ten steps go
    over twice as far.

    Parameters
    ----------
    names
        What to call each replica.
    starts_tnc
        Its first frames, up to `START_FRAMES`, unwrapped, shape (n_frames, n_atoms, 3), Å.
    ends_nc
        Its last frame, shape (n_atoms, 3), Å.
    cells_A
        Its cell, lattice vectors as rows, shape (3, 3), Å.
    clocks
        What `open_trajectory` gives as ``metadata["clock"]``, or None where the files count nothing.

    Returns
    -------
    list of str
    """
    notes = []
    for one, two in permutations(range(len(names)), 2):
        start, end = starts_tnc[two], ends_nc[one]
        if end.shape != start.shape[1:] or len(start) < 2:
            continue
        atoms = np.unique(np.linspace(0, len(end) - 1, _MOST_ATOMS).astype(int))
        gone_A = _root_mean_square(minimum_image(start[0, atoms] - end[atoms], cells_A[two]))
        steps_A = _root_mean_square(start[:, atoms] - start[0, atoms])
        lag = _frames_between(clocks[one], clocks[two])
        if lag is None:
            dense = len(steps_A) > _APART_FRAMES
            goes_on = dense and gone_A < min(_ONE_STEP * steps_A[1], _CLOSER * steps_A[_APART_FRAMES:].min())
        else:
            goes_on = gone_A <= _ONE_STEP * steps_A[min(lag, len(steps_A) - 1)]
        if goes_on:
            counted = "" if lag is None else ", and its times or steps go on"
            notes.append(
                f"{names[one]} and {names[two]} look like consecutive parts of one run (the second starts "
                f"{gone_A:.2g} A from where the first ends{counted}), "
                "expected independent replicas: give them as one with --concatenate, or --replica"
            )
    return notes


def _root_mean_square(vectors_A):
    return np.sqrt(np.mean(np.sum(vectors_A**2, axis=-1), axis=-1))


def _frames_between(one, two):
    """Return by how many kept frames the second starts behind the end of the first; None if it does not."""
    if one is None or two is None or one["unit"] != two["unit"]:
        return None
    gap = (two["first"] - one["last"]) / one["per_frame"]
    if not min(abs(gap), abs(gap - 1)) < _EVEN:
        return None
    return max(1, round((two["kept_first"] - one["kept_last"]) / two["per_kept_frame"]))
