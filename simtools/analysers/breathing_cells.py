"""Breathing cells: paths read from files are in one reference cell, bonds in that of each frame."""

from dataclasses import replace

import numpy as np

from simtools.md.trajectory import Trajectory

__all__ = ["in_own_cells", "in_reference_cell"]


def in_own_cells(trajectory: Trajectory) -> Trajectory:
    """Return atoms where they were in the cell of their frame, for distances and bonds.

    Readers express paths from files of a breathing cell in one reference cell (`simtools.md.unwrapping`).
    Taken with the cell of their frame, an ion that went through a face is off by the strain times the edge.
    Trajectories in whose metadata there is no ``reference_cell_A`` are in their own cells, or in a constant
    one, and are returned as they are.
    """
    reference = _reference(trajectory)
    if reference is None:
        return trajectory
    stretch = np.linalg.inv(reference) @ trajectory.cells_A
    return replace(
        trajectory,
        positions_A=np.einsum("tnc,tcd->tnd", trajectory.positions_A, stretch),
        metadata={name: value for name, value in trajectory.metadata.items() if name != "reference_cell_A"},
    )


def in_reference_cell(trajectory: Trajectory) -> Trajectory:
    """Return paths with the constant cell that they are expressed in, for sites and neighbours."""
    reference = _reference(trajectory)
    return trajectory if reference is None else replace(trajectory, cells_A=reference)


def _reference(trajectory):
    reference = trajectory.metadata.get("reference_cell_A")
    if reference is None or trajectory.cells_A.ndim == 2:
        return None
    return np.asarray(reference, dtype=float)
