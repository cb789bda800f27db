"""What a molecular ion is to a force field: atoms, rest geometry, bonds, angles. Frozen, nothing computed.

Which atoms of a cell form one is found in topology.py; energies and forces inside them in bonded.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from potentials.forms import Morse


@dataclass(frozen=True)
class HarmonicBond:
    """V(r) = k (r - r0)²/2: k in eV/Å², r0 in Å. LAMMPS' bond_style harmonic is K (r - r0)², so K = k/2."""

    k: float
    r0: float

    def energy(self, r):
        """Return V(r), eV, same shape as `r` (Å)."""
        return 0.5 * self.k * (r - self.r0) ** 2

    def derivative(self, r):
        """Return dV/dr, eV/Å."""
        return self.k * (r - self.r0)


@dataclass(frozen=True)
class HarmonicAngle:
    """V(theta) = k (theta - theta0)²/2: k in eV/rad², theta0 in degrees. LAMMPS' K is k/2."""

    k: float
    theta0_deg: float

    @property
    def theta0_rad(self) -> float:
        """Angle at rest, rad."""
        return math.radians(self.theta0_deg)

    def energy(self, theta_rad):
        """Return V(theta), eV, same shape as `theta_rad`."""
        return 0.5 * self.k * (theta_rad - self.theta0_rad) ** 2

    def derivative(self, theta_rad):
        """Return dV/dtheta, eV/rad."""
        return self.k * (theta_rad - self.theta0_rad)


BOND_FORMS: dict[str, type | None] = {"harmonic": HarmonicBond, "morse": Morse, "rigid": None}
"""Bonds of a rigid molecule hold by themselves: they have a length and no energy."""
BOND_UNITS = {
    "harmonic": {"k": "eV/Å²", "r0": "Å"},
    "morse": {"D": "eV", "a": "1/Å", "r0": "Å"},
    "rigid": {},
}
ANGLE_UNITS = {"k": "eV/rad²", "theta0_deg": "°"}


@dataclass(frozen=True)
class Bond:
    """One kind of bond: which pairs of atoms of the molecule share it, its form, how long it may get.

    Beyond `longest_A` the molecule counts as broken; atoms nearer than that count as bonded.
    """

    pairs: tuple[tuple[int, int], ...]
    kind: str  # key of `BOND_FORMS`
    form: HarmonicBond | Morse | None
    longest_A: float


@dataclass(frozen=True)
class Angle:
    """One kind of angle: triples of atoms (the vertex in the middle) and its form."""

    triples: tuple[tuple[int, int, int], ...]
    form: HarmonicAngle


@dataclass(frozen=True)
class Molecule:
    """A molecular ion: its atoms in order, their rest geometry, and what acts inside it.

    Coulomb and pair terms between its own atoms are left out; they act between different molecules and
    between a molecule and every other ion, its own periodic images included.
    """

    name: str
    species: tuple[str, ...]
    elements: tuple[str, ...]
    positions_A: tuple[tuple[float, float, float], ...]
    formal_charge_e: int
    is_rigid: bool
    bonds: tuple[Bond, ...]
    angles: tuple[Angle, ...]

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.species)

    @property
    def geometry_A(self) -> np.ndarray:
        """Rest positions, Å, shape (n_atoms, 3)."""
        return np.array(self.positions_A)

    @property
    def bonded_pairs(self) -> tuple[tuple[int, int], ...]:
        """All bonds as pairs of atom indices, the lower first."""
        return tuple(sorted((min(p), max(p)) for bond in self.bonds for p in bond.pairs))

    def longest_bond_A(self, i: int, j: int) -> float:
        """Return how long the bond of atoms `i` and `j` may get, Å; 0 where there is none."""
        pair = (min(i, j), max(i, j))
        reach = [bond.longest_A for bond in self.bonds for p in bond.pairs if (min(p), max(p)) == pair]
        return reach[0] if reach else 0.0

    def formula(self) -> str:
        """Return the formula with its charge, such as ``BH4-`` or ``SO4 2-``."""
        charge, sign = abs(self.formal_charge_e), "-" if self.formal_charge_e < 0 else "+"
        return f"{self.name}{sign}" if charge == 1 else f"{self.name} {charge}{sign}"


def spanning_order(molecule: Molecule) -> list[tuple[int, int]]:
    """Return (atom, parent) of a walk over the bonds from atom 0, parents first; the first parent is -1."""
    order, seen = [(0, -1)], {0}
    for atom, _ in order:
        for i, j in molecule.bonded_pairs:
            for here, there in ((i, j), (j, i)):
                if here == atom and there not in seen:
                    seen.add(there)
                    order.append((there, atom))
    return order
