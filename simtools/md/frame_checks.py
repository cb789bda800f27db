"""Are these frames one even, whole trajectory of the same atoms? Each answer names file and frame."""

import numpy as np

from simtools.core.errors import ConfigError
from simtools.md.formats.raw import DamagedFileError
from simtools.md.unwrapping import shortest_images

__all__ = [
    "check_atoms",
    "check_cell_change",
    "check_finite",
    "check_order",
    "even_interval",
    "required_interval",
]

_SINGLE = 2.5e-7  # relative rounding of a time kept in single precision, twice over
_UNEVEN = 1e-4
_CELL_JUMP = 0.25
_LARGEST = 1e9
_LONG_STEP_A = 1.5
_FAR_EXCHANGE_A = 4.0
_SAME_PLACE_A = 0.6
_MOST_COMPARED = 300


def even_interval(values, places, what):
    """Return the common difference of times or steps, one value per frame.

    Parameters
    ----------
    values
        Times or steps, shape (n_frames,).
    places
        (path, frame in that file) of each.
    what
        What the values are, for the message.

    Raises
    ------
    DamagedFileError
        If a value repeats, goes back, or is not where an even series has it: the first such frame is named.
    """
    values = np.asarray(values, dtype=float)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DamagedFileError(*places[bad[0]], f"expected a finite {what}, got {values[bad[0]]}")
    strides = np.diff(values)
    usual = float(np.median(strides))
    allowed = _UNEVEN * abs(usual) + _SINGLE * np.maximum(np.abs(values[1:]), np.abs(values[:-1]))
    if what == "step":
        allowed = np.full(len(strides), 1e-9 * abs(usual))
    wrong = np.flatnonzero((np.abs(strides - usual) > allowed) | (strides <= 0))
    if not len(wrong):
        return float((values[-1] - values[0]) / (len(values) - 1))
    k = int(wrong[0])
    place, before, now = places[k + 1], values[k], values[k + 1]
    if now == before:
        raise DamagedFileError(*place, f"doubled frame: {what} {now:.10g} was there before, expected it once")
    if now < before:
        raise DamagedFileError(
            *place, f"{what} goes back from {before:.10g} to {now:.10g}, expected it to grow"
        )
    raise DamagedFileError(
        *place,
        f"uneven frames: {what} {now:.10g} follows {before:.10g}, expected {before + usual:.10g} "
        "(frames are missing, or were written at changing intervals)",
    )


def check_cell_change(place, before, cell):
    """Refuse a cell that leaps by over a quarter of its longest edge, or whose vectors were flipped."""
    if before is None:
        return
    change_A = float(np.abs(cell - before).max())
    if change_A > _CELL_JUMP * np.abs(before).max():
        raise DamagedFileError(
            *place,
            f"expected a cell like that of the frame before, an entry changes by {change_A:.4g} A (damage, "
            "or lattice vectors were flipped: run LAMMPS with fix npt ... flip no)",
        )


def check_atoms(place, labels, first_labels, n_atoms, expected):
    """Refuse a frame with another number of atoms or other species than the first."""
    if n_atoms != expected:
        raise DamagedFileError(*place, f"expected {expected} atoms as before, got {n_atoms}")
    if labels and labels != first_labels:
        k = next(i for i, (new, old) in enumerate(zip(labels, first_labels, strict=True)) if new != old)
        raise DamagedFileError(
            *place, f"expected atom {k + 1} to be {first_labels[k]} as in the first frame, got {labels[k]}"
        )


def check_finite(place, name, values, species):
    """Refuse a value that is not finite, or over 1e9, naming the atom."""
    if values is not None and not (np.abs(values) < _LARGEST).all():
        k = int(np.argwhere(~(np.abs(values) < _LARGEST))[0, 0])
        raise DamagedFileError(
            *place, f"expected finite {name}, got {values[k]} for atom {k + 1} ({species[k]})"
        )


def check_order(place, species, before_s, now_s, steps_A, cell, reduction):
    """Refuse a frame in which atoms have changed places in the list.

    Told by an atom that steps over 4 Å and lands where another atom of its species was, which leaves too:
    that is no motion between two frames.
    """
    far = np.flatnonzero(steps_A > _LONG_STEP_A)
    if len(far) < 2 or steps_A.max() <= _FAR_EXCHANGE_A:
        return
    far = far[np.argsort(-steps_A[far])[:_MOST_COMPARED]]
    between = now_s[far][:, None, :] - before_s[far][None, :, :]
    flat = between.reshape(-1, 3)
    distance = np.linalg.norm((flat - shortest_images(flat, cell, reduction)) @ cell, axis=1)
    distance = distance.reshape(len(far), len(far))
    same = (species[far][:, None] == species[far][None, :]) & (distance < _SAME_PLACE_A)
    taken = np.flatnonzero(same.any(axis=1) & (steps_A[far] > _FAR_EXCHANGE_A))
    if len(taken):
        i = far[taken[0]]
        j = far[int(np.argmax(same[taken[0]]))]
        raise DamagedFileError(
            *place,
            f"atoms are in another order: atom {i + 1} ({species[i]}) is where atom {j + 1} was one frame "
            f"before, {steps_A[i]:.3g} A away; expected the same order in every frame",
        )


def required_interval(frame_interval_ps, name):
    """Return the interval that the user must give where the file has no times."""
    if frame_interval_ps is None:
        raise ConfigError(
            f"{name} holds no times in ps: give frame_interval_ps (--frame-interval), the time between frames"
        )
    return float(frame_interval_ps)
