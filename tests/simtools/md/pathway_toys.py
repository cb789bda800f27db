"""Energy landscapes whose minima and saddle points are known, as ASE calculators."""

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes


class Landscape(Calculator):
    """Each atom feels E(x, y, z) by itself; subclasses give energies (n,) and forces (n, 3)."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        energies, forces = self.evaluate(atoms.positions)
        self.results = {"energy": float(energies.sum()), "forces": forces}


class DoubleWell(Landscape):
    """E = h (1 - x²)² + t x + k (y² + z²)/2: with t = 0 minima at x = -1 and 1, saddle point h above at 0."""

    def __init__(self, height_eV=0.3, stiffness_eV_per_A2=2.0, tilt_eV_per_A=0.0):
        super().__init__()
        self.height, self.stiffness, self.tilt = height_eV, stiffness_eV_per_A2, tilt_eV_per_A

    def evaluate(self, positions):
        x, across = positions[:, 0], positions[:, 1:]
        energies = self.height * (1 - x**2) ** 2 + self.tilt * x + 0.5 * self.stiffness * (across**2).sum(1)
        forces = np.column_stack([4 * self.height * x * (1 - x**2) - self.tilt, -self.stiffness * across])
        return energies, forces


class Fork(Landscape):
    """E = (1 - x²)² + y² (x² - 1/2) + y⁴/2 + z²: minima with E = 0 at (±1, 0).

    On the line y = 0 between them lies a second-order saddle point with E = 1; saddle points of first order
    with E = 7/8 lie at (0, ±1/√2).
    """

    def evaluate(self, positions):
        x, y, z = positions.T
        energies = (1 - x**2) ** 2 + y**2 * (x**2 - 0.5) + y**4 / 2 + z**2
        forces = np.column_stack(
            [4 * x * (1 - x**2) - 2 * x * y**2, -2 * y * (x**2 - 0.5) - 2 * y**3, -2 * z]
        )
        return energies, forces


class MuellerBrown(Landscape):
    """K. Müller and L. D. Brown, Theor. Chim. Acta 53, 75 (1979), in units of 10 meV; z in a harmonic well.

    Minima at (-0.558, 1.442), (-0.050, 0.467), (0.623, 0.028) with -146.700, -80.768, -108.167; saddle points
    at (-0.822, 0.624), (0.212, 0.293) with -40.665, -72.249.
    """

    UNIT_EV = 0.01
    ROWS = (
        (-200, -1, 0, -10, 1, 0),
        (-100, -1, 0, -10, 0, 0.5),
        (-170, -6.5, 11, -6.5, -0.5, 1.5),
        (15, 0.7, 0.6, 0.7, -1, 1),
    )

    def evaluate(self, positions):
        x, y, z = positions.T
        energies, forces = 5 * z**2, np.zeros_like(positions)
        forces[:, 2] = -10 * z
        for height, a, b, c, x0, y0 in self.ROWS:
            dx, dy = x - x0, y - y0
            term = self.UNIT_EV * height * np.exp(a * dx**2 + b * dx * dy + c * dy**2)
            energies = energies + term
            forces[:, 0] -= term * (2 * a * dx + b * dy)
            forces[:, 1] -= term * (b * dx + 2 * c * dy)
        return energies, forces


def particle(*position):
    """Return one atom at `position`."""
    return Atoms("Li", positions=[position])
