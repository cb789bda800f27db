"""CP2K's .cell file: the lattice vectors of every step, beside an XYZ file that has none.

Written by MOTION/PRINT/CELL: a heading, then step, time (fs), Ax Ay Az Bx By Bz Cx Cy Cz and the volume.
"""

from dataclasses import dataclass

import numpy as np

from simtools.md.formats.raw import DamagedFileError, FrameLines, cell_from_rows

__all__ = ["CellTable", "read_cells"]

_VOLUME = 1e-4  # by how much the volume beside the vectors may differ from theirs


@dataclass(frozen=True, eq=False)
class CellTable:
    """Cells by step.

    Attributes
    ----------
    path : Path
        The file.
    cells_A : dict
        {step: lattice vectors as rows, shape (3, 3), Å}, in the order of the file.
    """

    path: object
    cells_A: dict

    def cell_of(self, place, frame, number):
        """Return the cell of a frame: that of its step, or where it has none that of its number."""
        if frame.step is not None:
            if frame.step not in self.cells_A:
                raise DamagedFileError(*place, f"expected a cell of step {frame.step:g} in {self.path}")
            return self.cells_A[frame.step]
        if number >= len(self.cells_A):
            raise DamagedFileError(*place, f"expected as many cells as frames, {self.path} has {number}")
        return list(self.cells_A.values())[number]


def read_cells(path):
    """Return the `CellTable` of a CP2K .cell file.

    Raises
    ------
    DamagedFileError
        If a line is not what CP2K writes, a step is there twice or a volume is not that of its vectors.
    """
    cells_A = {}
    with FrameLines(path) as lines:
        if "Ax" not in lines.peek() or "Cz" not in lines.peek():
            raise lines.wrong(
                "expected the heading of a CP2K cell file: # Step Time [fs] Ax [Angstrom] ... Volume"
            )
        lines.next("a heading")
        while not lines.at_end():
            step, _, *rows, volume = lines.vector(12, "step, time, nine components and the volume")
            cell = cell_from_rows(lines, rows)
            if step in cells_A:
                raise lines.wrong(f"expected every step once, {step:g} is there twice")
            if not abs(abs(np.linalg.det(cell)) / volume - 1) < _VOLUME:
                raise lines.wrong(f"expected vectors of the volume beside them, {volume:g} A^3")
            cells_A[step] = cell
            lines.frame += 1
    if not cells_A:
        raise DamagedFileError(path, 0, "expected cells, found none")
    return CellTable(path, cells_A)
