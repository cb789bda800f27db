"""The lattice parameter at zero pressure, with any ASE calculator. Scaled positions stay fixed."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from scipy.optimize import brentq, minimize_scalar

from simtools.core.errors import SimtoolsError
from simtools.core.units import EV_PER_A3_TO_GPA
from simtools.structures.antiperovskite import check_length

logger = logging.getLogger(__name__)

_BRACKET_STEP = 0.02
_LARGEST_STRAIN = 0.35
_BULK_MODULUS_STRAIN = 1e-3
_LARGEST_JUMP = 0.05


class RelaxationError(SimtoolsError, RuntimeError):
    """No lattice parameter with the requested pressure lies within reach of the first guess."""

    def __init__(self, guess_A, low_A, high_A, pressure_low_GPa, pressure_high_GPa):
        super().__init__(guess_A, low_A, high_A, pressure_low_GPa, pressure_high_GPa)
        self.guess_A, self.low_A, self.high_A = guess_A, low_A, high_A
        self.pressure_low_GPa, self.pressure_high_GPa = pressure_low_GPa, pressure_high_GPa

    def __str__(self):
        return (
            f"no equilibrium between a = {self.low_A:.3f} and {self.high_A:.3f} Å (first guess "
            f"{self.guess_A:.3f} Å): the pressure goes from {self.pressure_low_GPa:.3g} to "
            f"{self.pressure_high_GPa:.3g} GPa; give a guess nearer the crystal's lattice parameter, or "
            "check that the potential binds this structure"
        )


class PressureJumpError(SimtoolsError, RuntimeError):
    """The pressure changes sign in a jump, so there is no lattice parameter where it has its target."""

    def __init__(self, a_A, pressure_GPa, span_GPa):
        super().__init__(a_A, pressure_GPa, span_GPa)
        self.a_A, self.pressure_GPa, self.span_GPa = a_A, pressure_GPa, span_GPa

    def __str__(self):
        return (
            f"the pressure jumps across its target at a = {self.a_A:.6f} Å: {self.pressure_GPa:.3g} GPa is "
            f"left, where {self.span_GPa:.3g} GPa is the whole change over 2 % in a; the stress is "
            "not continuous there, so check its cutoffs"
        )


@dataclass(frozen=True, kw_only=True)
class LatticeRelaxation:
    """Outcome of `relax_lattice_parameter`.

    Attributes
    ----------
    a_A
        Lattice parameter, Å.
    energy_eV
        Energy per formula unit, eV.
    bulk_modulus_GPa
        ``-V dP/dV`` at `a_A` by central difference with all scaled positions fixed, GPa.
    pressure_GPa
        Pressure left at `a_A`, GPa (with stress: the residual of the root search).
    formula_units
        Formula units in the cell that was relaxed.
    n_evaluations
        Energy and stress evaluations spent.
    """

    a_A: float
    energy_eV: float
    bulk_modulus_GPa: float
    pressure_GPa: float
    formula_units: int
    n_evaluations: int


def relax_lattice_parameter(
    build: Callable[[float], Atoms],
    calculator,
    *,
    guess_A: float,
    pressure_GPa: float = 0.0,
    tolerance_A: float = 1e-8,
) -> LatticeRelaxation:
    r"""Return the lattice parameter at which the crystal is under `pressure_GPa`.

    With a calculator that gives stress, this is the root of

    .. math:: -P(a) = \tfrac{1}{3}\,\mathrm{tr}\,\sigma(a)

    found by bracketing from the guess and Brent's method. It does not notice the steps a truncated potential
    makes in E(a) when a shell of neighbours crosses the cutoff. Without stress, E(a) + P V is minimised by
    Brent's method, which does notice them.

    Parameters
    ----------
    build
        Returns the crystal for a lattice parameter in Å, scaled positions and composition unchanged; for
        example ``lambda a: build_antiperovskite("Li3OCl", lattice_parameter_A=a)``.
    calculator
        Any ASE calculator.
    guess_A
        First guess, Å; the search reaches a third longer and a quarter shorter (without stress a sixth).
    pressure_GPa
        Target pressure, GPa.
    tolerance_A
        Absolute tolerance in the lattice parameter, Å (with stress; about 1e-5 relative without).

    Raises
    ------
    RelaxationError
        If the pressure does not change sign within reach, or E(a) has no minimum there.
    PressureJumpError
        If the stress is discontinuous where the pressure changes sign, by more than 5 % of the pressure's
        change over 2 % in a.
    ConfigError
        If the guess or the tolerance is not a positive number.
    """
    guess_A = check_length(guess_A, "guess_A")
    tolerance_A = check_length(tolerance_A, "tolerance_A")
    crystal = _Crystal(build, calculator)
    target = pressure_GPa / EV_PER_A3_TO_GPA
    if crystal.has_stress(guess_A):
        a_A = _root_of_pressure(crystal, guess_A, target, tolerance_A)
    else:
        a_A = _minimum_of_enthalpy(crystal, guess_A, target)
    pressure = crystal.pressure(a_A)
    step = _BULK_MODULUS_STRAIN
    slope = (crystal.pressure(a_A * math.exp(step)) - crystal.pressure(a_A * math.exp(-step))) / (2 * step)
    result = LatticeRelaxation(
        a_A=a_A,
        energy_eV=crystal.energy(a_A) / crystal.formula_units,
        bulk_modulus_GPa=-slope / 3 * EV_PER_A3_TO_GPA,
        pressure_GPa=pressure * EV_PER_A3_TO_GPA,
        formula_units=crystal.formula_units,
        n_evaluations=crystal.n_evaluations,
    )
    logger.info("relaxed a = %.6f Å after %d evaluations", result.a_A, result.n_evaluations)
    return result


class _Crystal:
    """E(a) and P(a) of one structure, counting evaluations and remembering the points already done."""

    def __init__(self, build, calculator):
        self.build, self.calculator = build, calculator
        self.n_evaluations = 0
        self.formula_units = 1
        self._energies, self._pressures = {}, {}
        self._stress = None

    def has_stress(self, a_A):
        if self._stress is None:
            atoms = self._atoms(a_A)
            try:
                atoms.get_stress()
            except PropertyNotImplementedError:
                self._stress = False
            else:
                self._stress = True
                self._evaluate(a_A)
        return self._stress

    def energy(self, a_A):
        if a_A not in self._energies:
            self._evaluate(a_A)
        return self._energies[a_A]

    def volume(self, a_A):
        return self.build(a_A).get_volume()

    def pressure(self, a_A):
        if self._stress:
            if a_A not in self._pressures:
                self._evaluate(a_A)
            return self._pressures[a_A]
        step = 1e-3
        low, high = a_A * math.exp(-step), a_A * math.exp(step)
        slope = (self.energy(high) - self.energy(low)) / (2 * step)
        return -slope / (3 * self.volume(a_A))

    def _atoms(self, a_A):
        atoms = self.build(a_A)
        counts = np.unique(atoms.numbers, return_counts=True)[1]
        self.formula_units = int(np.gcd.reduce(counts))
        atoms.calc = self.calculator
        return atoms

    def _evaluate(self, a_A):
        atoms = self._atoms(a_A)
        self._energies[a_A] = float(atoms.get_potential_energy())
        if self._stress:
            self._pressures[a_A] = -float(atoms.get_stress()[:3].mean())
        self.n_evaluations += 1


def _root_of_pressure(crystal, guess_A, target, tolerance_A):
    low = high = guess_A
    too_high = crystal.pressure(guess_A) > target
    for n in range(1, round(math.log1p(_LARGEST_STRAIN) / _BRACKET_STEP) + 1):
        moved = guess_A * math.exp((_BRACKET_STEP if too_high else -_BRACKET_STEP) * n)
        low, high = (high, moved) if too_high else (moved, low)
        if (crystal.pressure(moved) > target) != too_high:
            a_A = float(
                brentq(lambda a: crystal.pressure(a) - target, low, high, xtol=tolerance_A, rtol=1e-14)
            )
            span = abs(crystal.pressure(low) - crystal.pressure(high))
            if abs(crystal.pressure(a_A) - target) > _LARGEST_JUMP * span:
                raise PressureJumpError(
                    a_A, crystal.pressure(a_A) * EV_PER_A3_TO_GPA, span * EV_PER_A3_TO_GPA
                )
            return a_A
    ends = sorted((guess_A, moved))
    raise RelaxationError(guess_A, *ends, *(crystal.pressure(a) * EV_PER_A3_TO_GPA for a in ends))


def _minimum_of_enthalpy(crystal, guess_A, target):
    low, high = guess_A * (1 - _LARGEST_STRAIN / 2), guess_A * (1 + _LARGEST_STRAIN)
    grid = np.linspace(low, high, 41)
    enthalpies = [crystal.energy(a) + target * crystal.volume(a) for a in grid.tolist()]
    best = int(np.argmin(enthalpies))
    if best in (0, len(grid) - 1):
        raise RelaxationError(
            guess_A, low, high, *(crystal.pressure(a) * EV_PER_A3_TO_GPA for a in (low, high))
        )
    found = minimize_scalar(
        lambda a: crystal.energy(float(a)) + target * crystal.volume(float(a)),
        bounds=(grid[best - 1], grid[best + 1]),
        method="bounded",
        options={"xatol": 1e-7 * guess_A},
    )
    return float(found.x)


__all__ = ["LatticeRelaxation", "PressureJumpError", "RelaxationError", "relax_lattice_parameter"]
