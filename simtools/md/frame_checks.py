"""Are these frames one even, whole trajectory of the same atoms? Each answer names file and frame."""

import numpy as np
from scipy.spatial import cKDTree

from simtools.core.errors import ConfigError
from simtools.core.periodic import cell_heights_A
from simtools.md.formats.raw import DamagedFileError
from simtools.md.unwrapping import shortest_images

__all__ = [
    "check_atoms",
    "check_cell_change",
    "check_finite",
    "check_order",
    "check_unwrapped",
    "doubled_frame",
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
_MOST = 0.5
_NEARLY_ALL = 0.8
_JUMP_A = 6.0
_OUTSIDE_A = 1.0  # LAMMPS folds atoms back when it rebuilds its neighbour lists, not when it writes


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
        said = f"doubled frame: {what} {now:.10g} was there before, expected it once"
        raise DamagedFileError(*place, said + _remedy(places[k], place))
    if now < before:
        raise DamagedFileError(
            *place, f"{what} goes back from {before:.10g} to {now:.10g}, expected it to grow"
        )
    raise DamagedFileError(
        *place,
        f"uneven frames: {what} {now:.10g} follows {before:.10g}, expected {before + usual:.10g} "
        "(frames are missing, or were written at changing intervals)",
    )


def _remedy(before, place):
    """Return what to do where one file ends with the frame that the next begins with, else nothing."""
    if place[0] == before[0]:
        return ""
    return (
        f"; {before[0]} ends with it, and a restart writes it again: cut the first frame of {place[0]} "
        "(or the last of the other)"
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


def doubled_frame(before, place):
    """Return the error for a frame with the coordinates of the one before it, (path, frame) each."""
    return DamagedFileError(
        *place,
        "doubled frame: every atom is where it was one frame before, expected motion"
        + _remedy(before, place),
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

    Told by atoms that step over 4 Å and land where another of their species was, which leaves too. Ions
    that hop several times between sparse frames do that as well, but most of them go to a neighbouring site.
    Hence at least half of the atoms that moved at all must have gone so far; and where most of a species
    moved, nearly all of those that went far must have landed on each other's places.
    """
    far = np.flatnonzero(steps_A > _LONG_STEP_A)
    distant = far[steps_A[far] > _FAR_EXCHANGE_A]
    if len(far) < 2 or 2 * len(distant) < len(far):
        return
    former = _former_places(species, far, distant, before_s, now_s, cell, reduction)
    landed = np.flatnonzero(former >= 0)
    moved = len(far) / np.isin(species, species[far]).sum()
    if len(landed) >= (_NEARLY_ALL * len(distant) if moved > _MOST else 1):
        i, j = distant[landed[0]], former[landed[0]]
        raise DamagedFileError(
            *place,
            f"atoms are in another order: atom {i + 1} ({species[i]}) is where atom {j + 1} was one frame "
            f"before, {steps_A[i]:.3g} A away; expected the same order in every frame",
        )


def check_unwrapped(place, species, before_s, now_s, span_s, steps_A, cell, reduction):
    """Refuse positions said to be unwrapped in which atoms jump across the cell.

    Told by steps over half of the cell whose shortest image is less than a quarter of them, while most atoms
    hardly move and none has yet left one cell, but for an ångström: not so where ions travel far between
    sparse frames. Jumps below 6 Å, in the smallest cells, may be hops and are passed over.

    Parameters
    ----------
    place
        (path, frame in that file).
    species
        Species of each atom, shape (n_atoms,).
    before_s, now_s
        Scaled positions one frame before and now, shape (n_atoms, 3).
    span_s
        Highest minus lowest scaled position of all frames so far, shape (3,).
    steps_A
        Lengths of the steps as they are, shape (n_atoms,), Å.
    cell, reduction
        Lattice vectors as rows, Å, and what reduces them (`shortest_images`).

    Raises
    ------
    DamagedFileError
        Naming file, frame and the atom.
    """
    heights_A = cell_heights_A(cell)
    half_A = 0.5 * float(heights_A.min())
    far = np.flatnonzero(steps_A > max(half_A, _JUMP_A))
    if not len(far) or np.median(steps_A) > half_A / 4 or (span_s > 1 + 2 * _OUTSIDE_A / heights_A).any():
        return
    steps_s = now_s[far] - before_s[far]
    folds = shortest_images(steps_s, cell, reduction)
    folded_A = np.linalg.norm((steps_s - folds) @ cell, axis=1)
    jumps = np.flatnonzero(folded_A < steps_A[far] / 4)
    if len(jumps):
        k, i = int(jumps[0]), int(far[jumps[0]])
        vector = " ".join(f"{n:+.0f}" for n in folds[k])
        raise DamagedFileError(
            *place,
            f"atom {i + 1} ({species[i]}) jumps {steps_A[i]:.3g} A, by the lattice vector ({vector}) but for "
            f"{folded_A[k]:.2g} A: expected unwrapped positions, these are wrapped; leave out "
            'coordinates="unwrapped" (--unwrapped)',
        )


def _former_places(species, far, distant, before_s, now_s, cell, reduction):
    """Return for each of `distant` which of `far`, of its species, was where it is now; -1 for none."""
    nearest = far[cKDTree(before_s[far] % 1.0 % 1.0, boxsize=1.0).query(now_s[distant] % 1.0 % 1.0)[1]]
    between = now_s[distant] - before_s[nearest]
    distance_A = np.linalg.norm((between - shortest_images(between, cell, reduction)) @ cell, axis=1)
    same = (species[distant] == species[nearest]) & (nearest != distant) & (distance_A < _SAME_PLACE_A)
    return np.where(same, nearest, -1)


def required_interval(frame_interval_ps, name):
    """Return the interval that the user must give where the file has no times."""
    if frame_interval_ps is None:
        raise ConfigError(
            f"{name} holds no times in ps: give frame_interval_ps (--frame-interval), the time between frames"
        )
    return float(frame_interval_ps)
