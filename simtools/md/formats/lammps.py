"""LAMMPS text dumps: wrapped, scaled, unwrapped or with image flags; any cell; atoms in any order.

MDAnalysis' reader keeps single precision and multiplies image flags with edge lengths, which is wrong in a
triclinic cell; hence our own. Format: https://docs.lammps.org/dump.html
"""

import numpy as np

from simtools.md.formats.raw import FrameLines, RawFrame, cell_from_rows, last_digit, numbers_of

__all__ = ["read_dump"]

_COORDINATES = (
    (("xsu", "ysu", "zsu"), True, True),
    (("xu", "yu", "zu"), False, True),
    (("xs", "ys", "zs"), True, False),
    (("x", "y", "z"), False, False),
)
_PS_PER_TIME = {"metal": 1.0, "real": 1e-3}


def read_dump(path, *, survey=False):
    """Yield `RawFrame` of a LAMMPS dump.

    Raises
    ------
    DamagedFileError
        If a frame is not what LAMMPS writes, is cut off, not periodic, or has no coordinates.
    """
    with FrameLines(path) as lines:
        units, order = None, None
        while not lines.at_end():
            head, units = _header(lines, units)
            frame, order = _atoms(lines, head, units, order, survey)
            yield frame
            lines.frame += 1


def _header(lines, units):
    """Return the items before the atoms: time, step, number, cell, origin, columns."""
    head = {"time": None}
    while True:
        line = lines.next("an ITEM: line")
        if line.startswith("ITEM: UNITS"):
            units = lines.next("the name of the units").strip()
            if units not in _PS_PER_TIME:
                raise lines.wrong(f"expected units metal or real (angstrom), got {units!r}")
        elif line.startswith("ITEM: TIMESTEP"):
            word = lines.next("a step number").strip()
            if not word.lstrip("-").isdigit():
                raise lines.wrong(f"expected a step number, got {word[:40]!r}")
            head["step"] = int(word)
        elif line.startswith("ITEM: TIME"):
            head["time"] = float(lines.vector(1, "a time")[0])
        elif line.startswith("ITEM: NUMBER OF ATOMS"):
            head["n"] = lines.count("the number of atoms")
        elif line.startswith("ITEM: BOX BOUNDS"):
            head["cell"], head["origin"] = _box(lines, line.split()[3:])
        elif line.startswith("ITEM: ATOMS"):
            head["columns"] = line.split()[2:]
            break
        else:
            raise lines.wrong(f"expected an ITEM: line of a LAMMPS dump, got {line.strip()[:40]!r}")
    for key, what in (("step", "TIMESTEP"), ("n", "NUMBER OF ATOMS"), ("cell", "BOX BOUNDS")):
        if key not in head:
            raise lines.wrong(f"expected ITEM: {what} before ITEM: ATOMS, it is missing")
    return head, units


def _box(lines, words):
    flags = [word for word in words if len(word) == 2 and set(word) <= set("pfsm")]
    if any(flag != "pp" for flag in flags):
        raise lines.wrong(f"expected periodic boundaries pp pp pp, got {' '.join(flags)}")
    if "abc" in words:
        rows = np.array([lines.vector(4, "a lattice vector and the origin") for _ in range(3)])
        return cell_from_rows(lines, rows[:, :3]), rows[:, 3]
    if "xy" not in words:
        rows = np.array([lines.vector(2, "bounds of the box") for _ in range(3)])
        return cell_from_rows(lines, np.diag(rows[:, 1] - rows[:, 0])), rows[:, 0]
    rows = np.array([lines.vector(3, "bounds of the box and a tilt") for _ in range(3)])
    xy, xz, yz = rows[:, 2]
    low, high = rows[:, 0].copy(), rows[:, 1].copy()
    low[0] -= min(0.0, xy, xz, xy + xz)
    high[0] -= max(0.0, xy, xz, xy + xz)
    low[1] -= min(0.0, yz)
    high[1] -= max(0.0, yz)
    x, y, z = high - low
    return cell_from_rows(lines, [[x, 0, 0], [xy, y, 0], [xz, yz, z]]), low


def _atoms(lines, head, units, order, survey):
    time_ps = None if head["time"] is None or units is None else head["time"] * _PS_PER_TIME[units]
    about = {"cell_A": head["cell"], "time_ps": time_ps, "step": head["step"]}
    columns, n = head["columns"], head["n"]
    rows = lines.table(n, "atoms")
    if survey and order is not None:
        return RawFrame([], None, **about), order
    words = " ".join(rows).split()
    width = len(columns)
    if len(words) != n * width or any(len(row.split()) != width for row in (rows[0], rows[-1])):
        short = next((k for k, row in enumerate(rows) if len(row.split()) != width), 0)
        raise lines.wrong(
            f"expected {width} columns ({' '.join(columns)[:60]}) in every atom line, got "
            f"{len(rows[short].split())} in atom line {short + 1}"
        )
    column = {name: words[k::width] for k, name in enumerate(columns)}

    def numbers(names, what):
        return np.stack([numbers_of(lines, column[name], f"{what} {name}") for name in names], axis=1)

    kind = next((kind for kind in _COORDINATES if set(kind[0]) <= set(columns)), None)
    if kind is None:
        raise lines.wrong("expected columns x y z, xs ys zs, xu yu zu or xsu ysu zsu")
    if "id" not in column:
        raise lines.wrong("expected a column id: LAMMPS writes atoms in changing order")
    ids = numbers(["id"], "an atom")[:, 0]
    if order is not None and np.array_equal(ids, order[0]):
        sorting = order[1]
    else:
        sorting = np.argsort(ids, kind="stable")
        repeated = np.flatnonzero(np.diff(ids[sorting]) == 0)
        if len(repeated):
            raise lines.wrong(
                f"expected every atom once, atom id {ids[sorting][repeated[0]]:g} is there twice"
            )
        if order is not None and not np.array_equal(ids[sorting], order[2]):
            lost = np.setdiff1d(order[2], ids)
            raise lines.wrong(
                f"expected the same atoms as before, id {f'{lost[0]:g}' if len(lost) else 'new'} differs"
            )
    names, scaled, whole = kind
    coordinates = numbers(names, "a coordinate")
    if not scaled:
        coordinates = coordinates - head["origin"]
    images = None
    if not whole and {"ix", "iy", "iz"} <= set(columns):
        images = numbers(("ix", "iy", "iz"), "an image flag")
        if (images != np.round(images)).any():
            raise lines.wrong("expected whole numbers as image flags ix iy iz")
        images, whole = images[sorting], True
    velocities = None
    if {"vx", "vy", "vz"} <= set(columns) and units is not None:
        velocities = numbers(("vx", "vy", "vz"), "a velocity")[sorting] / _PS_PER_TIME[units]
    labels = column.get("element") or column.get("type")
    if labels is None:
        labels = []
    rounding = None
    if order is None:
        edge = np.linalg.norm(head["cell"], axis=1).max() if scaled else 1.0
        words = [word for name in names for word in column[name]]
        rounding = edge * last_digit(words, largest=1.0 if scaled else 0.0)
    frame = RawFrame(
        [labels[k] for k in sorting] if labels else [],
        coordinates[sorting],
        scaled=scaled,
        whole=whole,
        images=images,
        velocities_A_per_ps=velocities,
        rounding_A=rounding,
        **about,
    )
    return frame, (ids, sorting, ids[sorting])
