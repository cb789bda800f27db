"""What a hop turned out to be: the result of pathways.py."""

from dataclasses import dataclass, fields

import numpy as np
from ase import Atoms

from simtools.core.results import Result, quantity

__all__ = ["MigrationPath"]


@dataclass(frozen=True, eq=False, kw_only=True)
class MigrationPath(Result):
    """A minimum-energy path between two minima and the barrier on it.

    Attributes
    ----------
    name
        What hops where.
    reaction_coordinate_A
        Arc length of the path in the space of all ions, Å, shape (n_images,), ends included.
    energies_eV
        Relative to the first end, eV, shape (n_images,).
    slopes_eV_per_A
        dE/ds, eV/Å, shape (n_images,): with the energies they make the spline of the figure.
    perpendicular_forces_eV_per_A
        Largest force on an ion across the path; the whole force at the ends and at the saddle point; eV/Å,
        shape (n_images,).
    barrier_forward_eV, barrier_backward_eV
        Energy of the saddle point above the first and above the last end, eV.
    barrier_uncertainty_eV
        Numerical: how far saddle point and ends are from stationary points by their residual forces and the
        curvatures in their direction, plus what the spline rises above the highest image, plus the difference
        of ends that symmetry makes equal. The error of the forces themselves (the model's, the calculator's)
        is not in it.
    reaction_energy_eV
        Energy of the last end relative to the first, eV.
    initial_energy_eV
        Potential energy of the first end, eV.
    saddle_index
        Index of the highest image.
    saddle_force_eV_per_A
        Largest force on an ion there, eV/Å.
    tangent_curvature_eV_per_A2
        Curvature along the path at the saddle point, eV/Å²; negative.
    lowest_curvatures_eV_per_A2
        The two lowest curvatures there of all directions, eV/Å², shape (2,): one is negative at a first-order
        saddle point. nan where they were not asked for.
    intermediate_minima_A
        Reaction coordinates of minima between the ends that are more than 2 meV deep, Å: there the path is
        a chain of hops, and the barrier that of the highest.
    moving_ions
        The displacement table (`simtools.md.matching.moving_ions`).
    end_displacements_A
        How far the farthest ion moved while each end relaxed, Å, shape (2,).
    n_steps, n_evaluations
        Steps of the band, force evaluations altogether.
    max_force_eV_per_A
        Tolerance that was asked for and met.
    warnings
        What to know before the number is used.
    positions_A, symbols, cell_A, pbc
        The images: shapes (n_images, n_atoms, 3), (n_atoms,), (3, 3), (3,); see `images`.
    """

    name: str
    reaction_coordinate_A: np.ndarray = quantity("Å", shape=("n_images",))
    energies_eV: np.ndarray = quantity("eV", shape=("n_images",))
    slopes_eV_per_A: np.ndarray = quantity("eV/Å", shape=("n_images",))
    perpendicular_forces_eV_per_A: np.ndarray = quantity("eV/Å", shape=("n_images",))
    barrier_forward_eV: float = quantity("eV")
    barrier_backward_eV: float = quantity("eV")
    barrier_uncertainty_eV: float = quantity("eV")
    reaction_energy_eV: float = quantity("eV")
    initial_energy_eV: float = quantity("eV")
    saddle_index: int
    saddle_force_eV_per_A: float = quantity("eV/Å")
    tangent_curvature_eV_per_A2: float = quantity("eV/Å^2")
    lowest_curvatures_eV_per_A2: np.ndarray = quantity("eV/Å^2", shape=(2,))
    intermediate_minima_A: np.ndarray = quantity("Å", shape=("n_minima",))
    moving_ions: tuple[dict, ...]
    end_displacements_A: np.ndarray = quantity("Å", shape=(2,))
    n_steps: int
    n_evaluations: int
    max_force_eV_per_A: float = quantity("eV/Å")
    warnings: tuple[str, ...]
    positions_A: np.ndarray = quantity("Å", shape=("n_images", "n_atoms", 3))
    symbols: np.ndarray
    cell_A: np.ndarray = quantity("Å", shape=(3, 3))
    pbc: np.ndarray

    @property
    def images(self) -> list[Atoms]:
        """The path as a list of Atoms without calculators."""
        return [
            Atoms(list(self.symbols), positions=positions, cell=self.cell_A, pbc=self.pbc)
            for positions in self.positions_A
        ]

    def to_summary(self) -> dict:
        """Return the entry of this path in ``summary.json``: all but the images, quantities with units."""
        record = {"name": self.name}
        for item in fields(self):
            if item.name in ("name", "provenance", "positions_A", "symbols", "cell_A", "pbc"):
                continue
            value, unit = getattr(self, item.name), item.metadata.get("unit")
            plain = value.tolist() if isinstance(value, np.ndarray) else value
            record[item.name] = plain if unit is None else {"value": plain, "unit": unit}
        return record
