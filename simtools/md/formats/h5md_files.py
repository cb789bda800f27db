"""Any program's H5MD file (ours, MDAnalysis', LAMMPS', ESPResSo's) through h5py, in the file's own precision.

Format: P. de Buyl, P. H. Colberg and F. Höfling, Comput. Phys. Commun. 185, 1546 (2014); http://h5md.nongnu.org
"""

import math

import numpy as np

from simtools.md.formats.raw import DamagedFileError, Place, RawFrame, cell_from_rows

__all__ = ["read_h5md"]

_MOST_AT_ONCE = 1 << 28
_EXPANSION, _DEFLATE = 100, 1100  # of positions, and as far as HDF5's deflate filter can go
_READ_WHOLE = ("time", "step", "species", "mass")
_SMALL = 1 << 16  # kept in the header of the dataset, or never written
_A_PER_LENGTH = {"Angstrom": 1.0, "angstrom": 1.0, "Å": 1.0, "A": 1.0, "nm": 10.0}
_PS_PER_TIME = {"ps": 1.0, "fs": 1e-3, "ns": 1e3}
_VELOCITY = {"Angstrom ps-1": 1.0, "Angstrom/ps": 1.0, "nm ps-1": 10.0, "nm/ps": 10.0, "Angstrom fs-1": 1e3}


def read_h5md(path, *, survey=False):
    """Yield `RawFrame` of the one particles group of an H5MD file.

    Raises
    ------
    DamagedFileError
        If the file is cut off, has no single group of particles, no periodic cell, or units that are not
        lengths and times.
    """
    import h5py

    place = Place(path)
    try:
        with h5py.File(path, "r") as file:
            yield from _frames(place, file, survey)
    except (OSError, KeyError, RuntimeError, TypeError, AttributeError, MemoryError, ValueError) as error:
        if isinstance(error, DamagedFileError):
            raise
        raise place.wrong(f"expected a whole H5MD file ({' '.join(str(error).split())[:120]})") from error


def _frames(place, file, survey):
    import h5py

    particles = _member(place, file, "particles")
    if not isinstance(particles, h5py.Group):
        raise place.wrong("expected a group named particles, as H5MD has it")
    found = [_member(place, particles, name) for name in particles]
    found = [group for group in found if isinstance(group, h5py.Group) and group.id.links.exists(b"position")]
    if len(found) != 1:
        raise place.wrong(f"expected one group of particles with positions, found {len(found)}")
    (group,) = found
    element, box = _member(place, group, "position"), _member(place, group, "box")
    values = _data(place, element, "value") if isinstance(element, h5py.Group) else None
    edges = _data(place, box, "edges") if isinstance(box, h5py.Group) else None
    if values is None or edges is None:
        raise place.wrong("expected position/value and box/edges of the particles, one is missing")
    if values.ndim != 3 or values.shape[2] != 3:
        raise place.wrong(f"expected positions of shape (frames, atoms, 3), got {values.shape}")
    scale = _factor(place, values, _A_PER_LENGTH, "positions", {"", None})
    time_of, step_of = _times(place, element, len(values))
    varies = isinstance(_member(place, box, "edges"), h5py.Group)
    if varies and len(edges) != len(values):
        raise place.wrong(f"expected {len(values)} cells, one for each frame, found {len(edges)}")
    boundary = [_text(word) for word in np.atleast_1d(box.attrs.get("boundary", []))]
    if any(word != "periodic" for word in boundary):
        raise place.wrong(f"expected periodic boundaries, got {boundary}")
    edge_scale = _factor(place, edges, _A_PER_LENGTH, "box edges", {"", None})
    labels = _labels(place, group)
    images = _data(place, group, "image")
    if images is not None and images.shape != values.shape:
        raise place.wrong(f"expected image flags of shape {values.shape}, got {images.shape}")
    velocities = _data(place, group, "velocity")
    if velocities is not None and (velocities.shape != values.shape or _unit(velocities) not in _VELOCITY):
        velocities = None
    ours = "rounding_A" in element.attrs
    masses = _data(place, group, "mass")[:] if ours and "mass" in group else None
    if masses is not None and not (masses.dtype.kind == "f" and np.all((masses > 0) & (masses < np.inf))):
        raise place.wrong("expected masses above 0")
    for number in range(len(values)):
        place.frame = number
        rows = np.asarray(edges[number] if varies else edges[...], dtype=float) * edge_scale
        cell = cell_from_rows(place, rows if rows.shape == (3, 3) else np.diag(rows))
        about = {"time_ps": time_of(number), "step": step_of(number)}
        if survey and number:
            yield RawFrame([], None, cell, **about)
            continue
        positions = values[number]
        rounding = scale * float(np.spacing(np.abs(positions).max())) / 2 if positions.size else 0.0
        yield RawFrame(
            labels,
            positions.astype(float) * scale,
            cell,
            whole=ours or images is not None,
            images=None if images is None else images[number].astype(float),
            velocities_A_per_ps=(
                None
                if velocities is None
                else velocities[number].astype(float) * _VELOCITY[_unit(velocities)]
            ),
            masses_amu=masses,
            rounding_A=rounding,
            **about,
        )


def _member(place, group, name, *, linked=False):
    """Return a member of a group of this file, or None; refuse a link to another file or through a link.

    Links that lead through links can be written so that no end of them is ever reached.
    """
    import h5py

    links = group.id.links
    if not links.exists(name.encode()):
        return None
    kind = links.get_info(name.encode()).type
    if kind == h5py.h5l.TYPE_SOFT and linked:
        raise place.wrong(f"expected {name} in the file itself: links through links are not followed")
    if kind == h5py.h5l.TYPE_SOFT:
        path = links.get_val(name.encode()).decode()
        member = group.file if path.startswith("/") else group
        for word in path.split("/"):
            member = _member(place, member, word, linked=True) if word and member is not None else member
        return member
    if kind != h5py.h5l.TYPE_HARD:
        raise place.wrong(f"expected {name} in the file itself: links to other files are not followed")
    return group[name]


def _data(place, group, name):
    """Return a dataset, or that of an element's values, or None; refuse what the file does not hold.

    A dataset may be declared far larger than the file, kept in other files, or packed into chunks that fill
    the memory when one number is read.
    """
    import h5py

    found = _member(place, group, name)
    if isinstance(found, h5py.Group):
        found = _member(place, found, "value")
    if found is None or isinstance(found, h5py.Group):
        return None
    if found.is_virtual or found.external:
        raise place.wrong(f"expected {found.name} in the file itself, its numbers are kept in other files")
    held, most = found.id.get_storage_size(), max(_MOST_AT_ONCE, 4 * place.path.stat().st_size)
    pieces = 1 if name in _READ_WHOLE or not found.ndim else max(len(found), 1)
    if max(math.prod(found.chunks or (1,)) * found.dtype.itemsize, found.nbytes // pieces) > most:
        raise place.wrong(
            f"expected to read {found.name} in pieces below {most} bytes, got shape {found.shape}, chunks "
            f"{found.chunks}"
        )
    expansion = 1 if found.chunks is None else _EXPANSION if "position" in found.name else _DEFLATE
    if found.nbytes > expansion * held + _SMALL:
        raise place.wrong(f"expected {found.name} of shape {found.shape}, the file holds {held} bytes of it")
    return found


def _times(place, element, n_frames):
    """Return functions from frame number to time (ps) and step, or to None."""
    time_of = step_of = lambda number: None
    times, numbers = _data(place, element, "time"), _data(place, element, "step")
    if times is not None and _unit(times) is None:
        # a number without a unit is no time in ps, but must grow evenly
        if numbers is None and times.shape == (n_frames,):
            counts = times[:] / max(
                float(np.median(np.abs(np.diff(times[:])))) if n_frames > 1 else 0.0, 1e-300
            )
            step_of = lambda number: float(np.round(counts[number], 2))  # noqa: E731
    elif times is not None:
        factor = _factor(place, times, _PS_PER_TIME, "times", set())
        if times.shape == ():
            start = float(times.attrs.get("offset", 0.0))
            time_of = lambda number: (start + number * float(times[()])) * factor  # noqa: E731
        elif len(times) != n_frames:
            raise place.wrong(f"expected {n_frames} times, one for each frame, found {len(times)}")
        else:
            held = times[:] * factor
            digits = 7 if times.dtype.itemsize == 4 else 15
            time_of = lambda number: float(f"{held[number]:.{digits}g}")  # noqa: E731
    if numbers is not None and numbers.shape == (n_frames,):
        steps = numbers[:]
        step_of = lambda number: float(steps[number])  # noqa: E731
    return time_of, step_of


def _factor(place, data, known, what, unsaid):
    unit = _unit(data)
    if unit in unsaid:
        return 1.0
    if unit not in known:
        raise place.wrong(f"expected {what} in {', '.join(known)}, got {unit!r}")
    return known[unit]


def _unit(data):
    return None if "unit" not in data.attrs else _text(data.attrs["unit"])


def _text(word):
    return word.decode() if isinstance(word, bytes) else str(word)


def _labels(place, group):
    import h5py

    data = _data(place, group, "species")
    if data is None:
        return []
    values = data[0] if data.ndim == 2 else data[:]
    names = h5py.check_enum_dtype(data.dtype)
    if names:
        back = {number: name for name, number in names.items()}
        unnamed = sorted(set(values.tolist()) - set(back))
        if unnamed:
            raise place.wrong(f"expected species among {', '.join(names)}, got number {unnamed[0]}")
        return [back[number] for number in values.tolist()]
    return [_name(value) for value in values.tolist()]


def _name(value):
    """Return a species as text. A number stays one, whole where it is: H5MD does not say what it counts."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else _text(value)
