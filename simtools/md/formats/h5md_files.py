"""Any program's H5MD file (ours, MDAnalysis', LAMMPS', ESPResSo's) through h5py, in the file's own precision.

Format: P. de Buyl, P. H. Colberg and F. Höfling, Comput. Phys. Commun. 185, 1546 (2014); http://h5md.nongnu.org
"""

import numpy as np

from simtools.md.formats.raw import DamagedFileError, Place, RawFrame, cell_from_rows

__all__ = ["read_h5md"]

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
    groups = [name for name in file["particles"] if "position" in file["particles"][name]]
    if len(groups) != 1:
        raise place.wrong(f"expected one group of particles with positions, found {len(groups)}")
    group = file["particles"][groups[0]]
    element = group["position"]
    values = element["value"]
    if values.ndim != 3 or values.shape[2] != 3:
        raise place.wrong(f"expected positions of shape (frames, atoms, 3), got {values.shape}")
    scale = _factor(place, values, _A_PER_LENGTH, "positions", {"", None})
    time_of, step_of = _times(place, element, len(values))
    box = group["box/edges"]
    edges = box["value"] if hasattr(box, "keys") else box
    if hasattr(box, "keys") and len(edges) != len(values):
        raise place.wrong(f"expected {len(values)} cells, one for each frame, found {len(edges)}")
    boundary = [_text(word) for word in np.atleast_1d(group["box"].attrs.get("boundary", []))]
    if any(word != "periodic" for word in boundary):
        raise place.wrong(f"expected periodic boundaries, got {boundary}")
    edge_scale = _factor(place, edges, _A_PER_LENGTH, "box edges", {"", None})
    labels = _labels(group)
    images = group["image/value"] if "image" in group and "value" in group["image"] else None
    velocities = group["velocity/value"] if "velocity" in group and "value" in group["velocity"] else None
    if velocities is not None and (velocities.shape != values.shape or _unit(velocities) not in _VELOCITY):
        velocities = None
    ours = "rounding_A" in element.attrs
    masses = group["mass"][:] if ours and "mass" in group else None
    for number in range(len(values)):
        place.frame = number
        rows = np.asarray(edges[number] if hasattr(box, "keys") else edges[...], dtype=float) * edge_scale
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


def _times(place, element, n_frames):
    """Return functions from frame number to time (ps) and step, or to None."""
    time_of = step_of = lambda number: None
    if "time" in element:
        times = element["time"]
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
    if "step" in element and element["step"].shape == (n_frames,):
        steps = element["step"][:]
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


def _labels(group):
    import h5py

    if "species" not in group:
        return []
    data = group["species"]
    if not isinstance(data, h5py.Dataset):
        data = data["value"]
    values = data[0] if data.ndim == 2 else data[:]
    names = h5py.check_enum_dtype(data.dtype)
    if names:
        back = {number: name for name, number in names.items()}
        return [back[number] for number in values.tolist()]
    return [_text(value) for value in values.tolist()]
