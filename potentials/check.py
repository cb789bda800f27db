"""Recompute the regression values a force-field file stores: ``simtools potentials NAME --check``.

Only small cubic prototypes of one free length; real structures are built in `simtools.structures`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from scipy.optimize import brentq

from potentials.check_molecules import molecule_in, relaxed_molecular_crystal
from potentials.schema import ForceField, ForceFieldError, Regression
from simtools.core.units import COULOMB_EV_A, EV_PER_A3_TO_GPA

ELASTIC_STRAIN = 1e-5  # small enough that no neighbour shell crosses the cutoff
HESSIAN_STEP_A = 1e-4
FIELD_V_PER_A = 1e-3
SHELL_FORCE_EV_PER_A = 1e-10  # what the small steps above need
LENGTH_TOLERANCE_A = 1e-10
SITES = {
    # name: (formula pattern, [(which element of the formula, fractional coordinates)])
    "antiperovskite": (
        r"([A-Z][a-z]?)3([A-Z][a-z]?)([A-Z][a-z]?)",
        [(0, (0.5, 0.5, 0)), (0, (0.5, 0, 0.5)), (0, (0, 0.5, 0.5)), (1, (0.5, 0.5, 0.5)), (2, (0, 0, 0))],
    ),
    "rocksalt": (
        r"([A-Z][a-z]?)([A-Z][a-z]?)",
        [
            *[(0, (0, 0, 0)), (0, (0, 0.5, 0.5)), (0, (0.5, 0, 0.5)), (0, (0.5, 0.5, 0))],
            *[(1, (0.5, 0.5, 0.5)), (1, (0.5, 0, 0)), (1, (0, 0.5, 0)), (1, (0, 0, 0.5))],
        ],
    ),
    "fcc": (r"([A-Z][a-z]?)", [(0, (0, 0, 0)), (0, (0, 0.5, 0.5)), (0, (0.5, 0, 0.5)), (0, (0.5, 0.5, 0))]),
    "cscl": (r"([A-Z][a-z]?)([A-Z][a-z]?)", [(0, (0, 0, 0)), (1, (0.5, 0.5, 0.5))]),
}


@dataclass(frozen=True)
class RegressionCheck:
    """One stored value beside the one just computed."""

    expected: Regression
    recomputed: float

    @property
    def passed(self) -> bool:
        """Whether the recomputed value lies within the stored tolerance."""
        return abs(self.recomputed - self.expected.value) <= self.expected.tolerance


@dataclass(frozen=True)
class CheckReport:
    """All stored values of one force field, recomputed; ``str`` gives a table to read."""

    name: str
    checks: tuple[RegressionCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether every value was met."""
        return all(check.passed for check in self.checks)

    def __str__(self):
        if not self.checks:
            return f"{self.name}: stores no regression values; nothing to check"
        lines = [f"{self.name}: {len(self.checks)} regression values recomputed"]
        for check in self.checks:
            entry = check.expected
            stored = f"stored {entry.value:.7f} +- {entry.tolerance:g} {entry.unit}"
            verdict = "ok" if check.passed else "DIFFERS"
            lines.append(
                f"  {entry.formula:<8}{entry.quantity:<36}{check.recomputed:>14.7f}  {stored}  {verdict}"
            )
        return "\n".join(lines)


def prototype_cell(prototype: str, formula: str, lattice_parameter_A: float) -> Atoms:
    """Return the conventional cubic cell of `formula` in `prototype` (a key of `SITES`).

    Raises
    ------
    ForceFieldError
        If the formula does not fit the prototype.
    """
    pattern, sites = SITES[prototype]
    match = re.fullmatch(pattern, formula)
    if match is None:
        raise ForceFieldError(f"formula {formula!r} is not of the prototype {prototype!r}")
    elements = match.groups()
    return Atoms(
        [elements[which] for which, _ in sites],
        scaled_positions=[position for _, position in sites],
        cell=[lattice_parameter_A] * 3,
        pbc=True,
    )


def formula_units(prototype: str) -> int:
    """Return the number of formula units in the conventional cell of `prototype`."""
    return 4 if prototype in ("rocksalt", "fcc") else 1


def exact_calculator(force_field: ForceField) -> Calculator:
    """Return the embedded engine with exact pair terms and exact Ewald sums."""
    from potentials.calculator import IonicCalculator  # kernels compile only when something is computed

    coulomb = "ewald" if force_field.is_charged else "none"
    return IonicCalculator(force_field, coulomb=coulomb, pair_terms="exact")


def static_properties(
    force_field: ForceField,
    prototype: str,
    formula: str,
    *,
    near_A: float,
    calculator_for: Callable[[ForceField], Calculator] = exact_calculator,
) -> dict[str, float]:
    """Return lattice parameter, energy and elastic constants of a cubic crystal at zero stress, 0 K.

    Parameters
    ----------
    force_field
        The model; its cutoff and cutoff mode count.
    prototype, formula
        What to build: see `prototype_cell`.
    near_A
        Lattice parameter to start from, Å: the root of the pressure is sought within 5 % of it.
    calculator_for
        Makes an ASE calculator with analytic stress from a force field.

    Returns
    -------
    dict
        `lattice_parameter_A`, `energy_per_formula_unit_eV`, `C11_GPa`, `C12_GPa`, `C44_GPa`. The elastic
        constants hold the ions at their scaled positions: exact here, where every site is an inversion
        centre under any homogeneous strain.

    Raises
    ------
    ForceFieldError
        If the pressure does not change sign within 5 % of `near_A`.
    """
    calculator = calculator_for(force_field)

    def stress(a: float, strain: float = 0.0, shear: float = 0.0) -> np.ndarray:
        atoms = prototype_cell(prototype, formula, a)
        deformation = np.diag([1.0 + strain, 1.0, 1.0])
        deformation[1, 2] = deformation[2, 1] = 0.5 * shear
        atoms.set_cell(atoms.cell[:] @ deformation, scale_atoms=True)
        atoms.calc = calculator
        return atoms.get_stress(voigt=True)

    low, high = 0.95 * near_A, 1.05 * near_A
    if stress(low)[:3].sum() * stress(high)[:3].sum() > 0:
        raise ForceFieldError(
            f"{force_field.name}: {formula} has no zero of pressure between {low:.3f} and {high:.3f} Å"
        )
    a = brentq(lambda length: stress(length)[:3].sum(), low, high, xtol=LENGTH_TOLERANCE_A)
    slope = (stress(a, ELASTIC_STRAIN) - stress(a, -ELASTIC_STRAIN)) / (2 * ELASTIC_STRAIN) * EV_PER_A3_TO_GPA
    sheared = stress(a, shear=ELASTIC_STRAIN) - stress(a, shear=-ELASTIC_STRAIN)
    atoms = prototype_cell(prototype, formula, a)
    atoms.calc = calculator
    return {
        "lattice_parameter_A": float(a),
        "energy_per_formula_unit_eV": float(atoms.get_potential_energy()) / formula_units(prototype),
        "C11_GPa": float(slope[0]),
        "C12_GPa": float(slope[1]),
        "C44_GPa": float(sheared[3] / (2 * ELASTIC_STRAIN) * EV_PER_A3_TO_GPA),
    }


def dielectric_constants(
    force_field: ForceField, prototype: str, formula: str, lattice_parameter_A: float
) -> dict[str, float]:
    """Return the dielectric constants of a cubic crystal: with ions held, and with ions free to follow.

    The dipole moment of the cell and the forces on its ions change with a small field (finite differences);
    the ions follow as the forces' derivatives by their positions say. Without shells the first is 1.

    Returns
    -------
    dict
        `high_frequency_dielectric_constant`, ``1 + 4 pi k_e / V dP/dE`` with the ions held, and
        `static_dielectric_constant`, which adds ``4 pi k_e / V Z H^-1 Z``.

    Raises
    ------
    ForceFieldError
        If the crystal is unstable against displacements of the ions within its cell.
    """
    from potentials.calculator import IonicCalculator

    def calculator(field_V_per_A):
        return IonicCalculator(
            force_field,
            coulomb="ewald",
            electric_field_V_per_A=(0.0, 0.0, field_V_per_A),
            shell_tolerance_eV_per_A=SHELL_FORCE_EV_PER_A if force_field.shells else None,
        )

    atoms = prototype_cell(prototype, formula, lattice_parameter_A)
    up, down = calculator(FIELD_V_PER_A), calculator(-FIELD_V_PER_A)
    along = 2.0 * FIELD_V_PER_A
    polarizability = (up.polarization_e_A(atoms) - down.polarization_e_A(atoms))[2] / along
    born_charges = (up.get_property("forces", atoms) - down.get_property("forces", atoms)).ravel() / along
    still = calculator(0.0)
    hessian = np.empty((3 * len(atoms), 3 * len(atoms)))
    for row in range(len(hessian)):
        forces = []
        for step in (HESSIAN_STEP_A, -HESSIAN_STEP_A):
            moved = atoms.copy()
            moved.positions.flat[row] += step
            forces.append(still.get_property("forces", moved).ravel())
        hessian[row] = (forces[1] - forces[0]) / (2.0 * HESSIAN_STEP_A)
    stiffness, modes = np.linalg.eigh(0.5 * (hessian + hessian.T))
    inner = np.abs(stiffness) > 1e-5 * stiffness.max()
    if np.any(stiffness[inner] < 0.0):
        raise ForceFieldError(
            f"{force_field.name}: {formula} is unstable against displacements within its cell (curvature "
            f"{stiffness.min():.3g} eV/Å²), so it has no static dielectric constant"
        )
    response = np.sum((born_charges @ modes[:, inner]) ** 2 / stiffness[inner])
    per_e2_A2_per_eV = 4.0 * np.pi * COULOMB_EV_A / atoms.get_volume()
    return {
        "high_frequency_dielectric_constant": float(1.0 + per_e2_A2_per_eV * polarizability),
        "static_dielectric_constant": float(1.0 + per_e2_A2_per_eV * (polarizability + response)),
    }


def check_force_field(
    force_field: ForceField, *, calculator_for: Callable[[ForceField], Calculator] = exact_calculator
) -> CheckReport:
    """Recompute every regression value stored in the file of `force_field`."""
    crystals: dict[tuple[str, str], dict[str, float]] = {}
    for entry in force_field.regression:
        if entry.quantity == "lattice_parameter_A":
            molecular = molecule_in(force_field, entry.prototype, entry.formula) is not None
            relaxed = relaxed_molecular_crystal if molecular else static_properties
            crystals[entry.prototype, entry.formula] = relaxed(
                force_field,
                entry.prototype,
                entry.formula,
                near_A=entry.value,
                calculator_for=calculator_for,
            )
    for entry in force_field.regression:
        crystal = crystals[entry.prototype, entry.formula]
        if entry.quantity not in crystal:
            crystal |= dielectric_constants(
                force_field, entry.prototype, entry.formula, crystal["lattice_parameter_A"]
            )
    checks = tuple(
        RegressionCheck(entry, crystals[entry.prototype, entry.formula][entry.quantity])
        for entry in force_field.regression
    )
    return CheckReport(force_field.name, checks)
