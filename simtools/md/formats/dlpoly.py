"""DL_POLY's HISTORY (Classic and 4) and CONFIG, in double precision as written.

ASE and MDAnalysis trust the frame count and the record length of the header, and MDAnalysis keeps single
precision; hence our own. Format: DL_POLY_4 user manual, section "The HISTORY file".
"""

import numpy as np

from simtools.md.formats.raw import FrameLines, RawFrame, cell_from_rows, last_digit, numbers_of

__all__ = ["read_config", "read_history"]


def read_history(path, *, survey=False):
    """Yield `RawFrame` of a HISTORY file; atoms are sorted by their index.

    Raises
    ------
    DamagedFileError
        If the header or a frame is not what DL_POLY writes, is cut off, or frames are fewer than promised.
    """
    with FrameLines(path) as lines:
        lines.next("a title")
        head = lines.vector(3, "levcfg, imcon and the number of atoms")
        words = lines.peek().split()
        promised = None
        if not words or words[0] != "timestep":
            raise lines.wrong(f"expected a line timestep ..., got {lines.peek().strip()[:40]!r}")
        n_atoms = int(head[2]) if np.isfinite(head[2]) else 0
        lines.fits(n_atoms)
        while not lines.at_end():
            yield _frame(lines, n_atoms, survey and lines.frame > 0)
            lines.frame += 1
        promised = _promised(path)
        if promised is not None and promised != lines.frame:
            raise lines.cut(f"expected {promised} frames as the header says, found {lines.frame}")


def _promised(path):
    """Return the number of frames in the header of a DL_POLY_4 HISTORY file, or None."""
    with FrameLines(path) as lines:
        lines.next("a title")
        words = lines.next("the header").split()
    return int(words[3]) if len(words) == 5 and words[3].isdigit() and int(words[3]) else None


def _frame(lines, n_atoms, survey):
    line = lines.next("a line timestep")
    words = line.split()
    if len(words) < 6 or words[0] != "timestep":
        raise lines.wrong(
            f"expected timestep, step, atoms, levcfg, imcon, time step, got {line.strip()[:40]!r}"
        )
    values = numbers_of(lines, words[1:7], "the numbers of a timestep line")
    step, n, level, images = (int(v) if np.isfinite(v) else -1 for v in values[:4])
    if n != n_atoms:
        raise lines.wrong(f"expected {n_atoms} atoms as in the header, got {n}")
    if images not in (1, 2, 3):
        raise lines.wrong(f"expected a cell periodic in all directions (imcon 1, 2 or 3), got imcon {images}")
    if level not in (0, 1, 2):
        raise lines.wrong(f"expected levcfg 0, 1 or 2, got {level}")
    time_ps = float(values[5]) if len(values) > 5 else step * float(values[4])
    cell = cell_from_rows(lines, [lines.vector(3, "a lattice vector") for _ in range(3)])
    rows = lines.table(n * (level + 2), "atom lines")
    if survey:
        return RawFrame([], None, cell, time_ps=time_ps, step=step)
    heads = [row.split() for row in rows[:: level + 2]]
    short = next((k for k, words in enumerate(heads) if len(words) < 3 or not words[1].isdigit()), None)
    if short is not None:
        raise lines.wrong(f"expected name, index, mass for atom {short + 1}, got {heads[short]}")
    order = np.argsort([int(words[1]) for words in heads], kind="stable")
    if not np.array_equal(np.sort([int(words[1]) for words in heads]), np.arange(1, n + 1)):
        raise lines.wrong(f"expected atom indices 1 to {n}, each once")

    def vectors(offset, what):
        words = [row.split() for row in rows[offset :: level + 2]]
        bad = next((k for k, row in enumerate(words) if len(row) != 3), None)
        if bad is not None:
            raise lines.wrong(f"expected {what} of atom {bad + 1}: three numbers, got {len(words[bad])}")
        return [word for row in words for word in row]

    flat = vectors(1, "the position")
    return RawFrame(
        [heads[k][0] for k in order],
        numbers_of(lines, flat, "a coordinate").reshape(-1, 3)[order],
        cell,
        time_ps=time_ps,
        step=step,
        velocities_A_per_ps=(
            numbers_of(lines, vectors(2, "the velocity"), "a velocity").reshape(-1, 3)[order]
            if level
            else None
        ),
        masses_amu=numbers_of(lines, [words[2] for words in heads], "a mass")[order],
        rounding_A=last_digit(flat),
    )


def read_config(path):
    """Return the single `RawFrame` of a CONFIG or REVCON file."""
    with FrameLines(path) as lines:
        lines.next("a title")
        level, images = lines.vector(2, "levcfg and imcon").astype(int)
        if images not in (1, 2, 3) or level not in (0, 1, 2):
            raise lines.wrong(f"expected levcfg 0-2 and imcon 1-3, got {level} and {images}")
        cell = cell_from_rows(lines, [lines.vector(3, "a lattice vector") for _ in range(3)])
        labels, positions, index = [], [], []
        while not lines.at_end():
            words = lines.next("an atom's name").split()
            labels.append(words[0])
            index.append(int(words[1]) if len(words) > 1 and words[1].isdigit() else len(index) + 1)
            positions.append(lines.vector(3, f"the position of atom {len(labels)}"))
            for _ in range(level):
                lines.vector(3, f"velocity or force of atom {len(labels)}")
        if not labels:
            raise lines.wrong("expected atoms, found none")
        order = np.argsort(index, kind="stable")
        return RawFrame([labels[k] for k in order], np.array(positions)[order], cell)
