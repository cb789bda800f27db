"""VASP's XDATCAR and vasprun.xml, constant or changing cell, in double precision as written.

Formats: https://www.vasp.at/wiki/XDATCAR and https://www.vasp.at/wiki/Vasprun.xml
"""

from xml.etree import ElementTree

import numpy as np

from simtools.md.formats.raw import (
    DamagedFileError,
    FrameLines,
    Place,
    RawFrame,
    TruncatedFileError,
    cell_from_rows,
    last_digit,
    numbers_of,
)
from simtools.md.formats.text_stream import READING_ERRORS, UnreadableTextError, open_text

__all__ = ["nominal_interval_ps", "read_vasprun", "read_xdatcar"]

_FS = 1e-3
_LONGEST_TEXT, _MOST_ELEMENTS = 1 << 22, 5_000_000


def read_xdatcar(path, *, survey=False):
    """Yield `RawFrame` of an XDATCAR: fractions, no times; configurations are numbered.

    Raises
    ------
    DamagedFileError
        If a header or a configuration is not what VASP writes, or is cut off.
    """
    with FrameLines(path) as lines:
        cell, labels, rounding = None, None, None
        while not lines.at_end():
            if "configuration=" not in lines.peek():
                cell, labels = _head(lines)
            line = lines.next("Direct configuration=")
            number = line.partition("configuration=")[2].strip()
            if "Direct" not in line or not number.isdigit():
                raise lines.wrong(f"expected Direct configuration= and a number, got {line.strip()[:40]!r}")
            if labels is None:
                raise lines.wrong("expected the lattice and the species before the first configuration")
            rows = lines.table(len(labels), "positions")
            fractions = None
            if not survey or rounding is None:
                words = [row.split()[:3] for row in rows]
                short = next((k for k, row in enumerate(words) if len(row) < 3), None)
                if short is not None:
                    raise lines.wrong(
                        f"expected three fractions for atom {short + 1}, got {rows[short].strip()!r}"
                    )
                flat = [word for row in words for word in row]
                fractions = numbers_of(lines, flat, "a fraction").reshape(-1, 3)
                rounding = np.linalg.norm(cell, axis=1).max() * last_digit(flat)
            yield RawFrame(labels, fractions, cell, scaled=True, step=int(number), rounding_A=rounding)
            lines.frame += 1


def _head(lines):
    lines.next("a comment line")
    scale = lines.vector(1, "the scaling factor")[0]
    rows = np.array([lines.vector(3, "a lattice vector") for _ in range(3)])
    volume = abs(np.linalg.det(rows))
    factor = scale if scale > 0 else (-scale / max(volume, 1e-300)) ** (1 / 3)
    cell = cell_from_rows(lines, factor * rows)
    names = lines.next("the names of the species").split()
    counts = lines.next("the numbers of atoms").split()
    if (
        len(names) != len(counts)
        or not counts
        or not all(word.isdigit() and len(word) < 13 and int(word) for word in counts)
    ):
        raise lines.wrong(f"expected one number of atoms for each of {' '.join(names)[:40]!r}")
    lines.fits(sum(int(word) for word in counts))
    return cell, [name for name, n in zip(names, counts, strict=True) for _ in range(int(n))]


def read_vasprun(path, *, survey=False):
    """Yield `RawFrame` of vasprun.xml, one for each ionic step; nothing outside the file is looked up.

    Raises
    ------
    DamagedFileError
        If an ionic step is not what VASP writes, or the file ends within one.
    """
    lines = Place(path)
    labels = []
    with open_text(path) as stream:
        try:
            for element in _elements(stream):
                if element.tag == "atominfo":
                    labels = [
                        row[0].text.strip()
                        for row in element.findall("array[@name='atoms']/set/rc")
                        if len(row) and row[0].text
                    ]
                elif element.tag == "calculation":
                    yield _calculation(lines, element, labels)
                    lines.frame += 1
        except (ElementTree.ParseError, EOFError) as error:
            raise TruncatedFileError(
                path, lines.frame, f"expected a whole ionic step and the end of the file ({error})"
            ) from error
        except DamagedFileError:
            raise
        except READING_ERRORS as error:
            raise lines.wrong(f"expected vasprun.xml as VASP writes it: {error}") from error


def _elements(stream):
    """Yield the elements of a vasprun.xml as they end; those of a calculation are dropped after it."""
    held = 0
    for _, element in ElementTree.iterparse(_Undeclared(stream), events=("end",)):
        yield element
        held += 1
        if element.tag == "calculation":
            element.clear()
            held = 0
        elif held > _MOST_ELEMENTS:
            raise UnreadableTextError(f"over {_MOST_ELEMENTS} elements belong to one ionic step")


class _Undeclared:
    """Text without document types or entities, which VASP does not write and which can name other files."""

    def __init__(self, stream):
        self._stream, self._last, self._since_tag = stream, "", 0

    def read(self, n_characters):
        """Return the next characters."""
        text = self._stream.read(n_characters)
        if "<!DOCTYPE" in self._last + text or "<!ENTITY" in self._last + text:
            raise UnreadableTextError("it declares a document type or entities")
        self._last = text[-8:]
        tag = text.rfind("<")
        self._since_tag = self._since_tag + len(text) if tag < 0 else len(text) - tag
        if self._since_tag > _LONGEST_TEXT:
            raise UnreadableTextError(f"{_LONGEST_TEXT} characters follow one another without a tag")
        return text


def _calculation(lines, element, labels):
    structure = element.find("structure")
    if structure is None or not labels:
        raise lines.wrong("expected a structure and the atoms' species in vasprun.xml")
    basis = structure.findall("crystal/varray[@name='basis']/v")
    words = [(row.text or "").split() for row in structure.findall("varray[@name='positions']/v")]
    axes = [word for row in basis for word in (row.text or "").split()]
    if len(axes) != 9 or len(words) != len(labels) or any(len(row) != 3 for row in words):
        raise lines.wrong(
            f"expected 3 lattice vectors and {len(labels)} positions, got {len(words)} positions"
        )
    flat = [word for row in words for word in row]
    cell = cell_from_rows(lines, numbers_of(lines, axes, "a lattice vector"))
    fractions = numbers_of(lines, flat, "a fraction").reshape(-1, 3)
    rounding = np.linalg.norm(cell, axis=1).max() * last_digit(flat)
    return RawFrame(labels, fractions, cell, scaled=True, rounding_A=rounding)


def nominal_interval_ps(path):
    """Return POTIM of a molecular dynamics run (IBRION = 0) from vasprun.xml, ps, or None."""
    with open_text(path) as stream:
        try:
            for element in _elements(stream):
                if element.tag == "parameters":
                    found = {
                        item.get("name"): (item.text or "").strip()
                        for item in element.iter("i")
                        if item.get("name") in ("POTIM", "IBRION")
                    }
                    if found.get("IBRION") == "0" and float(found.get("POTIM", 0)) > 0:
                        return float(found["POTIM"]) * _FS
                    return None
                if element.tag == "calculation":
                    return None
        except (ElementTree.ParseError, *READING_ERRORS):
            return None  # read_vasprun names the damage
    return None
