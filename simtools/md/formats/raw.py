"""What every reader of a foreign format hands on, and the errors that all of them share."""

import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from simtools.core.errors import ConfigError
from simtools.md.formats.text_stream import READING_ERRORS, open_text

__all__ = [
    "DamagedFileError",
    "FrameLines",
    "Place",
    "RawFrame",
    "TruncatedFileError",
    "cell_from_rows",
    "last_digit",
    "numbers_of",
]

_NUMBER = re.compile(r"[+-]?(\d*)\.?(\d*)(?:[eEdD]([+-]?\d+))?$")


_LONGEST_A = 1e6  # more is no cell of atoms
_MOST_BLANK = 1000


class DamagedFileError(ConfigError):
    """A trajectory file is not what its format says; names the file, the frame and what was expected."""

    def __init__(self, path, frame, expected):
        super().__init__(path, frame, expected)
        self.path, self.frame, self.expected = str(path), frame, expected

    def __str__(self):
        where = self.path if self.frame is None else f"{self.path}, frame {self.frame}"
        return f"{where}: {self.expected}"


class TruncatedFileError(DamagedFileError):
    """The file ends within a frame."""

    def __str__(self):
        return f"{super().__str__()}; the frames before it can be had with drop_truncated (--drop-truncated)"


@dataclass(frozen=True, eq=False)
class RawFrame:
    """One frame as the file has it, in Å and ps, atoms in one order throughout.

    Attributes
    ----------
    labels : list of str
        What the file calls each atom; empty where it does not say.
    coordinates : ndarray or None
        Shape (n_atoms, 3); Å, or fractions where `scaled`. None in a survey.
    cell_A : ndarray or None
        Lattice vectors as rows, shape (3, 3).
    scaled : bool
        Whether coordinates are fractions.
    whole : bool
        Whether coordinates are known to be unwrapped.
    images : ndarray or None
        Image flags to add to the fractions, shape (n_atoms, 3).
    time_ps : float or None
        Time, ps.
    step : float or None
        A number that must grow evenly: step, or time in a unit that the file does not give.
    velocities_A_per_ps : ndarray or None
        Shape (n_atoms, 3).
    masses_amu : ndarray or None
        Shape (n_atoms,), where the file has them.
    rounding_A : float or None
        Error from the digits of this frame, where the reader looked.
    """

    labels: list
    coordinates: np.ndarray | None
    cell_A: np.ndarray | None
    scaled: bool = False
    whole: bool = False
    images: np.ndarray | None = None
    time_ps: float | None = None
    step: float | None = None
    velocities_A_per_ps: np.ndarray | None = None
    masses_amu: np.ndarray | None = None
    rounding_A: float | None = None


class Place:
    """A file and the present frame, for complaints."""

    def __init__(self, path):
        self.path, self.frame = Path(path), 0

    def wrong(self, expected):
        """Return the error for a malformed frame."""
        return DamagedFileError(self.path, self.frame, expected)

    def cut(self, expected):
        """Return the error for a frame that the file's end cuts off."""
        return TruncatedFileError(self.path, self.frame, expected)


class FrameLines(Place):
    """Lines of a text file, with the file and the present frame for complaints.

    A file whose last line has no end is taken to be cut off: a number that lost digits looks whole.
    """

    def __init__(self, path):
        super().__init__(path)
        self._ahead, self._size = None, self.path.stat().st_size
        self._stream = open_text(path)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._stream.close()

    def _read(self, n_lines):
        """Return up to `n_lines` lines; complain where the file is damaged or ends within one."""
        try:
            lines = list(islice(self._stream, n_lines))
        except EOFError as error:
            raise self.cut("expected a whole compressed file, it ends early") from error
        except READING_ERRORS as error:
            raise self.wrong(f"expected a text file, plain or compressed: {error}") from error
        if lines and not lines[-1].endswith("\n"):
            raise self.cut("expected a whole last line, the file ends within it")
        return lines

    def peek(self):
        """Return the next line without taking it; empty at the end of the file."""
        if self._ahead is None:
            self._ahead = next(iter(self._read(1)), "")
        return self._ahead

    def next(self, what):
        """Return the next line; `what` says what was expected where there is none."""
        line, self._ahead = self.peek(), None
        if not line:
            raise self.cut(f"expected {what}, found the end of the file")
        return line

    def at_end(self):
        """Return whether only blank lines are left (which are taken)."""
        for _ in range(_MOST_BLANK):
            line = self.peek()
            if not line or line.strip():
                return not line
            self._ahead = None
        raise self.wrong(f"expected a frame, got {_MOST_BLANK} blank lines")

    def table(self, n_rows, what):
        """Return the next `n_rows` lines."""
        rows = [] if self._ahead is None else [self._ahead]
        self._ahead = None
        rows += self._read(n_rows - len(rows))
        if len(rows) < n_rows or not rows[0]:
            raise self.cut(f"expected {n_rows} {what}, found {len([row for row in rows if row])}")
        return rows

    def vector(self, n, what):
        """Return at least `n` numbers of the next line, the first `n` of them."""
        line = self.next(what)
        words = line.split()
        if len(words) < n:
            raise self.wrong(f"expected {what}: {n} numbers, got {_short(line)}")
        return numbers_of(self, words[:n], what)

    def count(self, what):
        """Return the whole number that the next line holds: of atoms, each of which takes a byte or more."""
        word = self.next(what).strip()
        if not (word.isascii() and word.isdigit() and len(word) < 13 and int(word)):
            raise self.wrong(f"expected {what}, got {_short(word)}")
        self.fits(int(word))
        return int(word)

    def fits(self, n_atoms):
        """Refuse more atoms than the file has bytes, compressed or not."""
        if n_atoms > self._size:
            raise self.wrong(
                f"expected at most {self._size} atoms, as many as the file has bytes, got {n_atoms}"
            )


def numbers_of(lines, words, what):
    """Return words as floats; complain by name where one is no number."""
    try:
        values = np.array(words, dtype=float)
    except ValueError:
        values = None
    if values is None or "_" in "".join(words):
        bad = next((word for word in words if _NUMBER.match(word) is None), words[0])
        raise lines.wrong(f"expected {what}, got {_short(bad)}")
    return values


def cell_from_rows(lines, rows):
    """Return a cell matrix from three lattice vectors; refuse a flat or infinite one."""
    cell = np.asarray(rows, dtype=float).reshape(3, 3)
    longest = float(np.abs(cell).max())
    if not 1e-3 < longest < _LONGEST_A or not abs(np.linalg.det(cell)) > 1e-6 * longest**3:
        raise lines.wrong("expected three independent lattice vectors: a cell periodic in all directions")
    return cell


def last_digit(words, *, largest=0.0):
    """Return half a unit in the last digit that a text file keeps of these numbers.

    Columns of fixed decimals count their decimals; others (LAMMPS' ``%g``) their significant digits, because
    zeros at the end are left out there; `largest` is how large other frames' numbers get at least.
    """
    decimals, digits = set(), 0
    for word in words:
        match = _NUMBER.match(word)
        if match is None:
            continue
        whole, fraction, exponent = match.groups()
        decimals.add((len(fraction), exponent is not None))
        digits = max(digits, len((whole + fraction).lstrip("0")))
        largest = max(largest, abs(float(word.replace("d", "e").replace("D", "e"))))
    if not decimals or largest == 0:
        return 0.0
    (places, powered), *others = decimals
    if not others and not powered:
        return 0.5 * 10.0**-places
    return 0.5 * 10.0 ** (np.floor(np.log10(largest)) + 1 - max(digits, 1))


def _short(text):
    text = " ".join(str(text).split())
    return repr(text if len(text) <= 40 else text[:37] + "...")
