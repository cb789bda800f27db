"""XYZ files: extended (Lattice, Properties), CP2K's (step and time in the comment) and plain.

MDAnalysis keeps single precision and drops the lattice of the comment; ASE reads slowly and takes whatever
follows a short frame; hence our own.
"""

import re

from simtools.md.formats.raw import FrameLines, RawFrame, cell_from_rows, last_digit, numbers_of

__all__ = ["read_xyz"]

_PAIR = re.compile(r"(\w+)\s*=\s*(\"[^\"]*\"|'[^']*'|\{[^}]*\}|[^\s,]+)")
_CP2K = re.compile(r"\bi\s*=\s*(\d+)\s*,\s*time\s*=\s*([-+.\deE]+)")
_FS = 1e-3


def read_xyz(path, *, survey=False):
    """Yield `RawFrame` of an XYZ file of any of the three kinds.

    Times are taken from CP2K comments only (fs); a ``time`` of an extended file has no unit, so that it
    serves to check that frames are even.

    Raises
    ------
    DamagedFileError
        If a frame is not an XYZ frame, is cut off or not periodic in three directions.
    """
    with FrameLines(path) as lines:
        while not lines.at_end():
            n_atoms = lines.count("the number of atoms")
            comment = lines.next("a comment line")
            about = _about(lines, comment)
            rows = lines.table(n_atoms, "atoms")
            if survey and lines.frame:
                yield RawFrame([], None, about["cell"], time_ps=about["time_ps"], step=about["step"])
                lines.frame += 1
                continue
            names, first, width = about["species"], about["pos"], about["width"]
            words = [row.split() for row in rows]
            need = max(names, first + 2) + 1 if width is None else width
            for k, row in enumerate(words):
                if len(row) < need or (width is not None and len(row) != width):
                    raise lines.wrong(
                        f"expected a name and {need - 1} more columns for atom {k + 1}, got "
                        f"{rows[k].strip()[:40]!r}"
                    )
            flat = [word for row in words for word in row[first : first + 3]]
            coordinates = numbers_of(lines, flat, "a coordinate").reshape(-1, 3)
            yield RawFrame(
                [row[names] for row in words],
                coordinates,
                about["cell"],
                time_ps=about["time_ps"],
                step=about["step"],
                rounding_A=last_digit(flat),
            )
            lines.frame += 1


def _about(lines, comment):
    """Return cell, time, step and the columns that the comment line of a frame gives."""
    found = {"cell": None, "time_ps": None, "step": None, "species": 0, "pos": 1, "width": None}
    cp2k = _CP2K.search(comment)
    if cp2k:
        found["step"] = float(cp2k[1])
        found["time_ps"] = numbers_of(lines, [cp2k[2]], "a time")[0] * _FS
        return found
    pairs = {key.lower(): value.strip("\"'{}") for key, value in _PAIR.findall(comment)}
    if "lattice" in pairs:
        words = pairs["lattice"].replace(",", " ").split()
        if len(words) != 9:
            raise lines.wrong(f"expected nine numbers in Lattice, got {len(words)}")
        found["cell"] = cell_from_rows(lines, numbers_of(lines, words, "a lattice vector"))
    if "pbc" in pairs and set(pairs["pbc"].replace(",", " ").upper().split()) - {"T", "TRUE", "1"}:
        raise lines.wrong(f'expected pbc="T T T", got {pairs["pbc"]!r}')
    for key in ("time", "step"):
        if key in pairs:
            found["step"] = float(numbers_of(lines, [pairs[key]], f"a {key}")[0])
            break
    if "properties" in pairs:
        _columns(lines, pairs["properties"], found)
    return found


def _columns(lines, text, found):
    fields = text.split(":")
    if len(fields) % 3 or not all(word.isdigit() for word in fields[2::3]):
        raise lines.wrong(f"expected Properties=name:kind:columns:..., got {text[:40]!r}")
    start, places = 0, {}
    for name, count in zip(fields[::3], fields[2::3], strict=True):
        places[name.lower()] = (start, int(count))
        start += int(count)
    if places.get("pos", (0, 0))[1] != 3 or places.get("species", (0, 0))[1] != 1:
        raise lines.wrong("expected species:S:1 and pos:R:3 in Properties")
    found["species"], found["pos"], found["width"] = places["species"][0], places["pos"][0], start
