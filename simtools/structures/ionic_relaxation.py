"""Ions (and the cell, under a pressure) relaxed to rest, with any ASE calculator.

Lattice parameters of perfect crystals at fixed scaled positions: see relaxation.py.
"""

import logging
import math
import numbers
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.filters import UnitCellFilter
from ase.optimize import FIRE, LBFGS

from simtools.core.errors import ConfigError, SimtoolsError
from simtools.core.periodic import minimum_image
from simtools.core.units import EV_PER_A3_TO_GPA
from simtools.structures.hessian import positive

logger = logging.getLogger(__name__)

__all__ = ["IonicRelaxation", "NotRelaxedError", "relax_ions"]

_INITIAL_CURVATURE_EV_PER_A2 = 20.0
"""First guess of the curvature: about a cation's in Li3OCl; L-BFGS learns the rest."""
_LONGEST_STEP_A = 0.1
_STEPS_DOWN_A_RIDGE = 40
_STRESS_PER_FORCE_GPA = 2.0
"""Residual pressure allowed per eV/Å of residual force when the cell relaxes: 0.01 GPa at 0.005 eV/Å."""


class NotRelaxedError(SimtoolsError, RuntimeError):
    """The forces did not fall below the tolerance.

    Attributes
    ----------
    atoms
        The configuration that was reached.
    max_force_eV_per_A
        Its largest force, eV/Å.
    n_steps
        Steps taken.
    """

    def __init__(self, atoms, max_force_eV_per_A, tolerance_eV_per_A, n_steps):
        super().__init__(atoms, max_force_eV_per_A, tolerance_eV_per_A, n_steps)
        self.atoms, self.max_force_eV_per_A = atoms, max_force_eV_per_A
        self.tolerance_eV_per_A, self.n_steps = tolerance_eV_per_A, n_steps

    def __str__(self):
        return (
            f"{len(self.atoms)} ions did not come to rest in {self.n_steps} steps: the largest force is "
            f"{self.max_force_eV_per_A:.3g} eV/Å where {self.tolerance_eV_per_A:g} was asked for; allow more "
            "steps, start nearer the minimum, or ask for forces that the calculator's accuracy can give"
        )


@dataclass(frozen=True, kw_only=True)
class IonicRelaxation:
    """Outcome of `relax_ions`.

    Attributes
    ----------
    atoms
        The relaxed configuration, without a calculator; `info`, arrays and constraints as given.
    energy_eV
        Potential energy, eV.
    max_force_eV_per_A
        Largest force left on a free ion, eV/Å.
    pressure_GPa
        Pressure left, GPa; nan at constant volume.
    max_displacement_A
        Largest displacement of an ion from where it started, at constant volume; in fractional coordinates
        of the relaxed cell otherwise, Å.
    n_steps
        Steps taken.
    """

    atoms: Atoms
    energy_eV: float
    max_force_eV_per_A: float
    pressure_GPa: float
    max_displacement_A: float
    n_steps: int


def relax_ions(
    atoms: Atoms,
    calculator,
    *,
    max_force_eV_per_A: float = 0.005,
    pressure_GPa: float | None = None,
    max_steps: int = 1000,
) -> IonicRelaxation:
    """Return `atoms` relaxed to a minimum (or, from a symmetric start, to a stationary point) of the energy.

    L-BFGS keeps every symmetry that forces and start share: displace the ions slightly (``atoms.rattle``)
    where a lower minimum may break the symmetry.

    Parameters
    ----------
    atoms
        Start; not changed. Constraints are honoured.
    calculator
        Any ASE calculator; with `pressure_GPa` it must give stress.
    max_force_eV_per_A
        Tolerance of the largest force on an ion, eV/Å.
    pressure_GPa
        None: the cell stays. A number: the cell relaxes, shape included, to this hydrostatic pressure, until
        no component of the stress differs by more than 2 GPa per eV/Å of the force tolerance.
    max_steps
        Steps before giving up.

    Raises
    ------
    NotRelaxedError
        If the forces stay above the tolerance.
    ConfigError
        If a tolerance is not positive, `max_steps` is no whole number, or there are no atoms.
    """
    tolerance = positive("max_force_eV_per_A", max_force_eV_per_A)
    check_steps(max_steps)
    if len(atoms) == 0:
        raise ConfigError("there are no atoms to relax")
    relaxed = atoms.copy()
    relaxed.calc = calculator
    moving = relaxed
    if pressure_GPa is not None:
        number = isinstance(pressure_GPa, numbers.Real) and not isinstance(pressure_GPa, bool)
        if not number or not math.isfinite(pressure_GPa):
            raise ConfigError(f"pressure_GPa must be a finite number, got {pressure_GPa!r}")
        moving = UnitCellFilter(relaxed, scalar_pressure=pressure_GPa / EV_PER_A3_TO_GPA)
    n_steps = 0
    for n_steps in _descend(moving, max_steps):  # noqa: B007
        if _largest_force(relaxed) <= tolerance and _stress_is_met(relaxed, pressure_GPa, tolerance):
            break
    largest = _largest_force(relaxed)
    if not (largest <= tolerance and _stress_is_met(relaxed, pressure_GPa, tolerance)):
        energy_free = relaxed.copy()
        raise NotRelaxedError(energy_free, largest, tolerance, n_steps)
    energy = float(relaxed.get_potential_energy())
    pressure = math.nan
    if pressure_GPa is not None:
        pressure = -float(relaxed.get_stress()[:3].mean()) * EV_PER_A3_TO_GPA
    logger.info("relaxed %d ions in %d steps: %.6f eV, %.2g eV/Å", len(atoms), n_steps, energy, largest)
    relaxed.calc = None
    return IonicRelaxation(
        atoms=relaxed,
        energy_eV=energy,
        max_force_eV_per_A=largest,
        pressure_GPa=pressure,
        max_displacement_A=_largest_displacement(atoms, relaxed),
        n_steps=n_steps,
    )


def check_steps(max_steps):
    """Raise `ConfigError` unless this is a whole number of steps, 0 or more."""
    whole = isinstance(max_steps, numbers.Integral) and not isinstance(max_steps, bool)
    if not whole or max_steps < 0:
        raise ConfigError(f"max_steps must be a whole number, 0 or more, got {max_steps!r}")


def _descend(moving, max_steps):
    """Yield 0, 1, ... up to `max_steps` as `moving` goes downhill by that many steps.

    L-BFGS; where it meets a negative curvature, with which its steps lose their sense (Nocedal and Wright,
    *Numerical Optimization*, 2nd ed., section 6.1), FIRE for some steps and then L-BFGS afresh.
    """
    optimiser, steps_left = _lbfgs(moving), 0
    yield 0
    for n_steps in range(1, max_steps + 1):
        position, force = moving.get_positions(), moving.get_forces()
        optimiser.step()
        yield n_steps
        if isinstance(optimiser, FIRE):
            steps_left -= 1
            if steps_left == 0:
                optimiser = _lbfgs(moving)
        elif np.vdot(moving.get_positions() - position, moving.get_forces() - force) >= 0:
            optimiser = FIRE(moving, logfile=None, maxstep=_LONGEST_STEP_A)
            steps_left = _STEPS_DOWN_A_RIDGE


def _lbfgs(moving):
    return LBFGS(moving, logfile=None, alpha=_INITIAL_CURVATURE_EV_PER_A2, maxstep=_LONGEST_STEP_A)


def _largest_force(atoms):
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max())


def _stress_is_met(atoms, pressure_GPa, tolerance_eV_per_A):
    if pressure_GPa is None:
        return True
    excess_GPa = atoms.get_stress() * EV_PER_A3_TO_GPA + np.array([1, 1, 1, 0, 0, 0]) * pressure_GPa
    return bool(np.abs(excess_GPa).max() <= _STRESS_PER_FORCE_GPA * tolerance_eV_per_A)


def _largest_displacement(start, end):
    offsets = end.get_scaled_positions(wrap=False) - start.get_scaled_positions(wrap=False)
    vectors = offsets @ end.cell.array if start.cell.rank == 3 else end.positions - start.positions
    if end.pbc.all():
        vectors = minimum_image(vectors, end.cell.array)
    return float(np.linalg.norm(vectors, axis=1).max())
