"""Pair forms V(r) and their slopes, plain numpy: the reference every kernel is tested against.

No cutoff, shift or Coulomb term here: see `schema.ForceField` for the first two, the engine for the third.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.interpolate import CubicSpline

from simtools.core.errors import SimtoolsError


class TableRangeError(SimtoolsError, ValueError):
    """A tabulated potential was asked for a distance outside its table."""

    def __init__(self, distance_A: float, first_A: float, last_A: float):
        super().__init__(distance_A, first_A, last_A)
        self.distance_A, self.first_A, self.last_A = distance_A, first_A, last_A

    def __str__(self):
        return (
            f"tabulated potential: r = {self.distance_A:g} Å lies outside the table "
            f"({self.first_A:g} to {self.last_A:g} Å); extend the table or shorten the cutoff"
        )


@dataclass(frozen=True)
class Buckingham:
    """V(r) = A exp(-r/rho) - C/r^6: A in eV, rho in Å, C in eV Å^6; V in eV, dV/dr in eV/Å."""

    A: float
    rho: float
    C: float

    units: ClassVar[dict[str, str]] = {"A": "eV", "rho": "Å", "C": "eV Å^6"}

    def energy(self, r):
        """Return V(r), eV, same shape as `r` (Å)."""
        return self.A * np.exp(-r / self.rho) - self.C / r**6

    def derivative(self, r):
        """Return dV/dr, eV/Å."""
        return -self.A / self.rho * np.exp(-r / self.rho) + 6.0 * self.C / r**7


@dataclass(frozen=True)
class BornMayer:
    """V(r) = A exp(-r/rho): A in eV, rho in Å; V in eV, dV/dr in eV/Å."""

    A: float
    rho: float

    units: ClassVar[dict[str, str]] = {"A": "eV", "rho": "Å"}

    def energy(self, r):
        """Return V(r), eV, same shape as `r` (Å)."""
        return self.A * np.exp(-r / self.rho)

    def derivative(self, r):
        """Return dV/dr, eV/Å."""
        return -self.A / self.rho * np.exp(-r / self.rho)


@dataclass(frozen=True)
class BornMayerHuggins:
    """V(r) = A exp((sigma - r)/rho) - C/r^6 - D/r^8 (Fumi-Tosi).

    A in eV, rho and sigma in Å, C in eV Å^6, D in eV Å^8; V in eV, dV/dr in eV/Å. The sign of D is Fumi and
    Tosi's (D > 0 attracts); LAMMPS' `born` writes + D/r^8.
    """

    A: float
    rho: float
    sigma: float
    C: float
    D: float

    units: ClassVar[dict[str, str]] = {"A": "eV", "rho": "Å", "sigma": "Å", "C": "eV Å^6", "D": "eV Å^8"}

    def energy(self, r):
        """Return V(r), eV, same shape as `r` (Å)."""
        return self.A * np.exp((self.sigma - r) / self.rho) - self.C / r**6 - self.D / r**8

    def derivative(self, r):
        """Return dV/dr, eV/Å."""
        repulsion = -self.A / self.rho * np.exp((self.sigma - r) / self.rho)
        return repulsion + 6.0 * self.C / r**7 + 8.0 * self.D / r**9


@dataclass(frozen=True)
class LennardJones:
    """V(r) = 4 epsilon [(sigma/r)^12 - (sigma/r)^6]: epsilon in eV, sigma in Å; V in eV, dV/dr in eV/Å."""

    epsilon: float
    sigma: float

    units: ClassVar[dict[str, str]] = {"epsilon": "eV", "sigma": "Å"}

    def energy(self, r):
        """Return V(r), eV, same shape as `r` (Å)."""
        s6 = (self.sigma / r) ** 6
        return 4.0 * self.epsilon * (s6 * s6 - s6)

    def derivative(self, r):
        """Return dV/dr, eV/Å."""
        s6 = (self.sigma / r) ** 6
        return -24.0 * self.epsilon / r * (2.0 * s6 * s6 - s6)


@dataclass(frozen=True)
class Morse:
    """V(r) = D [(1 - exp(-a (r - r0)))^2 - 1]: D in eV, a in 1/Å, r0 in Å; -D at r0, 0 far away."""

    D: float
    a: float
    r0: float

    units: ClassVar[dict[str, str]] = {"D": "eV", "a": "1/Å", "r0": "Å"}

    def energy(self, r):
        """Return V(r), eV, same shape as `r` (Å)."""
        x = np.exp(-self.a * (r - self.r0))
        return self.D * (x * x - 2.0 * x)

    def derivative(self, r):
        """Return dV/dr, eV/Å."""
        x = np.exp(-self.a * (r - self.r0))
        return 2.0 * self.D * self.a * (x - x * x)


@dataclass(frozen=True)
class Tabulated:
    """V(r) through the points (r, V) by the natural cubic spline: r in Å (ascending), V in eV.

    Energy and slope come from the same spline, so they agree exactly. Outside the table it raises
    `TableRangeError`; the schema refuses a table that ends before the cutoff.
    """

    r: tuple[float, ...]
    V: tuple[float, ...]

    units: ClassVar[dict[str, str]] = {"r": "Å", "V": "eV"}

    def __post_init__(self):
        object.__setattr__(self, "r", tuple(float(x) for x in self.r))
        object.__setattr__(self, "V", tuple(float(x) for x in self.V))
        spline = CubicSpline(self.r, self.V, bc_type="natural", extrapolate=False)
        object.__setattr__(self, "_spline", spline)

    def _check_range(self, r):
        outside = (r < self.r[0]) | (r > self.r[-1])
        if np.any(outside):
            worst = float(np.asarray(r)[outside].flat[0]) if np.ndim(r) else float(r)
            raise TableRangeError(worst, self.r[0], self.r[-1])

    def energy(self, r):
        """Return V(r), eV, same shape as `r` (Å)."""
        self._check_range(r)
        return self._spline(r)[()]

    def derivative(self, r):
        """Return dV/dr, eV/Å."""
        self._check_range(r)
        return self._spline(r, 1)[()]


PairForm = Buckingham | BornMayer | BornMayerHuggins | LennardJones | Morse | Tabulated

FORMS: dict[str, type] = {
    "buckingham": Buckingham,
    "born_mayer": BornMayer,
    "born_mayer_huggins": BornMayerHuggins,
    "lennard_jones": LennardJones,
    "morse": Morse,
    "tabulated": Tabulated,
}
