"""Born charges and dielectric tensors of an insulating crystal, by two routes that check each other.

The cell is held fixed: where a crystal is piezoelectric, a freely straining sample answers more.
"""

import math
from collections.abc import Callable

import numpy as np
from ase import Atoms

from simtools.core.errors import ConfigError, ShapeError
from simtools.core.units import COULOMB_EV_A
from simtools.structures.hessian import (
    DEFAULT_STEP_A,
    Hessian,
    central_difference,
    check_at_rest,
    check_periodic,
    positive,
)
from simtools.structures.ionic_relaxation import relax_ions

__all__ = [
    "born_charges",
    "high_frequency_dielectric",
    "static_dielectric",
    "static_dielectric_by_finite_field",
]

DEFAULT_FIELD_V_PER_A = 5e-3
DEFAULT_MAX_FORCE_EV_PER_A = 1e-5


def born_charges(atoms: Atoms, calculator, *, step_A: float = DEFAULT_STEP_A) -> np.ndarray:
    r"""Return the Born effective charges, by central differences of the polarisation.

    .. math:: Z^*_{n,\alpha\beta} = \partial P_\alpha / \partial u_{n\beta}

    at zero macroscopic field, shells (electrons) following. For rigid ions they are the charges times the
    unit matrix.

    Parameters
    ----------
    atoms
        Neutral crystal; not changed.
    calculator
        With a method ``polarization_e_A(atoms)``: the cell's dipole moment, shape (3,), e Å; its differences
        are physical.
    step_A
        Displacement, Å.

    Returns
    -------
    ndarray
        Shape (N, 3, 3), e: [ion, direction of P, direction of u]. Their sum, zero in an insulator, is
        enforced by an equal share of every ion.

    Raises
    ------
    ConfigError
        If the calculator gives no polarisation, or the sum is not zero within 1 % of the largest charge: the
        cell is charged.
    """
    step_A = positive("step_A", step_A)
    check_periodic(atoms)
    polarization = _polarization(calculator)
    work = atoms.copy()
    start = work.positions.copy()
    charges = np.empty((3, 3 * len(work)))
    for j in range(3 * len(work)):
        charges[:, j] = central_difference(work, start, j, step_A, polarization)
    return _summing_to_zero(charges.reshape(3, len(work), 3).transpose(1, 0, 2))


def high_frequency_dielectric(
    atoms: Atoms,
    calculator_with_field: Callable,
    *,
    field_V_per_A: float = DEFAULT_FIELD_V_PER_A,
) -> np.ndarray:
    r"""Return the dielectric tensor at clamped ions: what shells or electrons alone answer to a field.

    .. math:: \epsilon^\infty_{\alpha\beta} = \delta_{\alpha\beta} + \frac{4\pi k_e}{V}
        \frac{\partial P_\alpha}{\partial E_\beta}

    with the polarisation in e Å and k_e = 14.3996 eV Å. Rigid ions give 1.

    Parameters
    ----------
    atoms
        Neutral crystal; not changed.
    calculator_with_field
        Called with a field, shape (3,), V/Å; returns a calculator in that uniform macroscopic field, with the
        energy -E.P included in its forces and with ``polarization_e_A(atoms)``.
    field_V_per_A
        Field of the central differences, V/Å.

    Raises
    ------
    ConfigError
        If the calculator gives no polarisation.
    """
    check_periodic(atoms)
    return _dielectric(atoms, calculator_with_field, field_V_per_A, lambda calculator: atoms)


def static_dielectric(
    atoms: Atoms,
    ionic_hessian: Hessian,
    born_charges_e: np.ndarray,
    high_frequency: np.ndarray,
) -> np.ndarray:
    r"""Return the static dielectric tensor by the dynamical matrix: nothing is relaxed.

    .. math:: \epsilon^0 = \epsilon^\infty + \frac{4\pi k_e}{V} Z^{*} H^{+} Z^{*T}

    (X. Gonze and C. Lee, Phys. Rev. B 55, 10355 (1997)). Born charges and Hessian are those at zero
    macroscopic field, as periodic sums without the term k = 0 give them.

    Parameters
    ----------
    atoms
        The crystal.
    ionic_hessian
        Its `hessian`.
    born_charges_e
        Shape (N, 3, 3), e, from `born_charges` or from elsewhere.
    high_frequency
        Tensor at clamped ions, shape (3, 3): identity for rigid ions, from `high_frequency_dielectric`, or
        from elsewhere.

    Raises
    ------
    UnstableCrystalError
        If ions would leave their sites in this very cell.
    ConfigError
        If the Born charges do not sum to zero within 1 % of the largest.
    ShapeError
        If an array has another shape.
    """
    charges = np.asarray(born_charges_e, dtype=float)
    if charges.shape != (len(atoms), 3, 3):
        raise ShapeError("born_charges_e", f"({len(atoms)}, 3, 3)", charges.shape)
    high_frequency = np.asarray(high_frequency, dtype=float)
    if high_frequency.shape != (3, 3):
        raise ShapeError("high_frequency", "(3, 3)", high_frequency.shape)
    flat = _summing_to_zero(charges).transpose(1, 0, 2).reshape(3, -1)
    ionic = flat @ ionic_hessian.displacements_A(flat.T)
    return high_frequency + 4 * math.pi * COULOMB_EV_A / atoms.get_volume() * (ionic + ionic.T) / 2


def static_dielectric_by_finite_field(
    atoms: Atoms,
    calculator_with_field: Callable,
    *,
    field_V_per_A: float = DEFAULT_FIELD_V_PER_A,
    max_force_eV_per_A: float = DEFAULT_MAX_FORCE_EV_PER_A,
) -> np.ndarray:
    """Return the static dielectric tensor by relaxing all ions in a field: six relaxations.

    Parameters
    ----------
    atoms
        Neutral crystal at rest; not changed.
    calculator_with_field, field_V_per_A
        As for `high_frequency_dielectric`.
    max_force_eV_per_A
        Tolerance of the relaxations, eV/Å. A force left on an ion enters in first order, against
        charge x field = 5e-3 eV/Å.

    Raises
    ------
    NotAtRestError
        If the crystal is not at rest without a field.
    NotRelaxedError
        If the calculator's forces cannot reach the tolerance.
    ConfigError
        If the calculator gives no polarisation.
    """
    check_periodic(atoms)
    unperturbed = atoms.copy()
    unperturbed.calc = calculator_with_field(np.zeros(3))
    check_at_rest(unperturbed)

    def relaxed(calculator):
        return relax_ions(atoms, calculator, max_force_eV_per_A=max_force_eV_per_A).atoms

    return _dielectric(atoms, calculator_with_field, field_V_per_A, relaxed)


def _dielectric(atoms, calculator_with_field, field_V_per_A, configuration):
    """Return 1 + 4 pi k/V dP/dE with the ions where `configuration(calculator)` puts them."""
    field_V_per_A = positive("field_V_per_A", field_V_per_A)
    susceptibility = np.empty((3, 3))
    for direction in range(3):
        ends = []
        for sign in (1.0, -1.0):
            field = np.zeros(3)
            field[direction] = sign * field_V_per_A
            calculator = calculator_with_field(field)
            polarization = _polarization(calculator)
            ends.append(np.asarray(polarization(configuration(calculator)), dtype=float))
        susceptibility[:, direction] = (ends[0] - ends[1]) / (2 * field_V_per_A)
    factor = 4 * math.pi * COULOMB_EV_A / atoms.get_volume()
    return np.eye(3) + factor * (susceptibility + susceptibility.T) / 2


def _polarization(calculator):
    method = getattr(calculator, "polarization_e_A", None)
    if method is None:
        raise ConfigError(
            f"{type(calculator).__name__} gives no polarisation (no method polarization_e_A): pass the Born "
            "charges and the high-frequency dielectric tensor as numbers"
        )
    return method


def _summing_to_zero(charges):
    total = charges.sum(axis=0)
    if np.abs(total).max() > 0.01 * np.abs(charges).max():
        raise ConfigError(
            f"the Born charges sum to {np.diag(total).round(4).tolist()} e where zero was expected: a "
            "dielectric constant belongs to a neutral crystal"
        )
    return charges - total / len(charges)
