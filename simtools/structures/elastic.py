"""Elastic constants of a crystal at zero pressure, from stresses, by two routes that check each other."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_strain

from simtools.core.errors import ConfigError
from simtools.core.units import EV_PER_A3_TO_GPA
from simtools.structures.hessian import Hessian, check_at_rest, check_periodic, hessian, positive
from simtools.structures.ionic_relaxation import relax_ions

__all__ = [
    "ElasticConstants",
    "StressedCrystalError",
    "elastic_constants",
    "elastic_constants_by_finite_strain",
]

DEFAULT_STRAIN = 2e-3
LARGEST_STRESS_GPA = 0.1
DEFAULT_MAX_FORCE_EV_PER_A = 1e-5
"""A force left on an ion enters the stress in first order: 1e-5 eV/Å is 1e-3 of a stress at strain 2e-3."""


class StressedCrystalError(ConfigError):
    """Elastic constants were asked for away from zero stress, where their definitions part."""

    def __init__(self, stress_GPa):
        super().__init__(stress_GPa)
        self.stress_GPa = stress_GPa

    def __str__(self):
        return (
            f"the crystal is under a stress of up to {np.abs(self.stress_GPa).max():.3g} GPa where at most "
            f"{LARGEST_STRESS_GPA:g} was expected: elastic constants are given at zero stress only (under "
            "stress the second derivative of the energy and the stress-strain slope differ by that stress); "
            "relax the cell first (relax_lattice_parameter, or relax_ions with pressure_GPa = 0)"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class ElasticConstants:
    """Relaxed-ion elastic constants in Voigt order xx, yy, zz, yz, xz, xy with engineering shear strains.

    Attributes
    ----------
    constants_GPa
        Shape (6, 6), symmetric, GPa.
    clamped_GPa
        The same with ions at fixed scaled positions, GPa; None by finite strain.
    method
        "dynamical matrix" or "finite strain".
    strain
        Strain of the central differences.
    asymmetry_GPa
        Largest element of C - C^T before symmetrisation, GPa: the residual stress and the noise.
    stress_GPa
        Stress at zero strain, shape (6,), GPa.
    """

    constants_GPa: np.ndarray
    clamped_GPa: np.ndarray | None
    method: str
    strain: float
    asymmetry_GPa: float
    stress_GPa: np.ndarray

    @property
    def eigenvalues_GPa(self):
        """Eigenvalues of the matrix, ascending, GPa."""
        return np.linalg.eigvalsh(self.constants_GPa)

    @property
    def is_stable(self):
        """Born's criterion for any symmetry (Mouhat and Coudert, Phys. Rev. B 90, 224104 (2014)).

        Every homogeneous strain costs energy: all eigenvalues are positive.
        """
        return bool(self.eigenvalues_GPa[0] > 0.0)

    @property
    def bulk_moduli_GPa(self):
        """Bulk modulus after Voigt, Reuss and Hill (their mean), GPa; equal in a cubic crystal."""
        upper = self.constants_GPa[:3, :3].sum() / 9
        lower = 1.0 / np.linalg.inv(self.constants_GPa)[:3, :3].sum()
        return float(upper), float(lower), float((upper + lower) / 2)

    @property
    def shear_moduli_GPa(self):
        """Shear modulus of a polycrystal after Voigt, Reuss and Hill (their mean), GPa.

        R. Hill, Proc. Phys. Soc. A 65, 349 (1952); ((C11 - C12)/2 + ...) and C44 combined as there.
        """
        c, s = self.constants_GPa, np.linalg.inv(self.constants_GPa)
        upper = (3 * np.trace(c[:3, :3]) - c[:3, :3].sum() + 6 * np.trace(c[3:, 3:])) / 30
        lower = 15 / (6 * np.trace(s[:3, :3]) - 2 * s[:3, :3].sum() + 3 * np.trace(s[3:, 3:]))
        return float(upper), float(lower), float((upper + lower) / 2)


def elastic_constants(
    atoms: Atoms, calculator, *, ionic_hessian: Hessian | None = None, strain: float = DEFAULT_STRAIN
) -> ElasticConstants:
    r"""Return the elastic constants by the dynamical matrix: nothing is relaxed.

    .. math::
        C_{ij} = \frac{\partial\sigma_i}{\partial\varepsilon_j}\Big|_{\mathrm{clamped}}
        - \frac1V \Lambda_{ki}\,(H^+)_{kl}\,\Lambda_{lj},
        \qquad \Lambda_{kj} = -\frac{\partial F_k}{\partial\varepsilon_j}

    (M. Born and K. Huang, *Dynamical Theory of Crystal Lattices* (1954), section 11; X. Wu, D. Vanderbilt and
    D. R. Hamann, Phys. Rev. B 72, 035105 (2005)), at zero macroscopic electric field.

    Parameters
    ----------
    atoms
        Crystal at rest and free of stress (0.01 eV/Å, 0.1 GPa).
    calculator
        Any ASE calculator with stress.
    ionic_hessian
        The crystal's `hessian`, if it is at hand.
    strain
        Strain of the central differences.

    Raises
    ------
    StressedCrystalError, NotAtRestError
        If the crystal was not relaxed.
    UnstableCrystalError
        If ions would leave their sites in this very cell.
    """
    strain = positive("strain", strain)
    work = _prepared(atoms, calculator)
    stress_GPa = _check_unstressed(work)
    if ionic_hessian is None:
        ionic_hessian = hessian(atoms, calculator)

    def observe(strained):
        return strained.get_stress(), strained.get_forces().ravel()

    clamped, coupling = np.empty((6, 6)), np.empty((3 * len(work), 6))
    for j in range(6):
        (stress_up, force_up), (stress_down, force_down) = (
            observe(_strained(work, j, sign * strain, calculator)) for sign in (1, -1)
        )
        clamped[:, j] = (stress_up - stress_down) / (2 * strain)
        coupling[:, j] = -(force_up - force_down) / (2 * strain)
    relaxation = coupling.T @ ionic_hessian.displacements_A(coupling) / work.get_volume()
    return _constants(clamped - relaxation, clamped, "dynamical matrix", strain, stress_GPa)


def elastic_constants_by_finite_strain(
    atoms: Atoms,
    calculator,
    *,
    strain: float = DEFAULT_STRAIN,
    max_force_eV_per_A: float = DEFAULT_MAX_FORCE_EV_PER_A,
) -> ElasticConstants:
    r"""Return the elastic constants by straining the cell and relaxing the ions: twelve relaxations.

    .. math:: C_{ij} = \frac{\sigma_i(+\varepsilon_j) - \sigma_i(-\varepsilon_j)}{2\varepsilon}

    Parameters
    ----------
    atoms, calculator, strain
        As for `elastic_constants`.
    max_force_eV_per_A
        Tolerance of the relaxations, eV/Å; a force left on an ion enters the stress in first order.

    Raises
    ------
    StressedCrystalError, NotAtRestError
        If the crystal was not relaxed.
    NotRelaxedError
        If the calculator's forces cannot reach the tolerance.
    """
    strain = positive("strain", strain)
    work = _prepared(atoms, calculator)
    stress_GPa = _check_unstressed(work)
    constants = np.empty((6, 6))
    for j in range(6):
        ends = []
        for sign in (1, -1):
            strained = _strained(work, j, sign * strain, None)
            relaxed = relax_ions(strained, calculator, max_force_eV_per_A=max_force_eV_per_A).atoms
            relaxed.calc = calculator
            ends.append(relaxed.get_stress())
        constants[:, j] = (ends[0] - ends[1]) / (2 * strain)
    return _constants(constants, None, "finite strain", strain, stress_GPa)


def _constants(raw, clamped, method, strain, stress_GPa):
    raw_GPa = raw * EV_PER_A3_TO_GPA
    return ElasticConstants(
        constants_GPa=(raw_GPa + raw_GPa.T) / 2,
        clamped_GPa=None if clamped is None else (clamped + clamped.T) / 2 * EV_PER_A3_TO_GPA,
        method=method,
        strain=strain,
        asymmetry_GPa=float(np.abs(raw_GPa - raw_GPa.T).max()),
        stress_GPa=stress_GPa,
    )


def _prepared(atoms, calculator):
    check_periodic(atoms)
    work = atoms.copy()
    work.set_constraint()
    work.calc = calculator
    check_at_rest(work)
    return work


def _check_unstressed(atoms):
    stress_GPa = atoms.get_stress() * EV_PER_A3_TO_GPA
    if not np.abs(stress_GPa).max() <= LARGEST_STRESS_GPA:
        raise StressedCrystalError(stress_GPa)
    return stress_GPa


def _strained(atoms, component, strain, calculator):
    """Return `atoms` under one Voigt strain, scaled positions unchanged; shear strains are engineering's."""
    voigt = np.zeros(6)
    voigt[component] = strain
    strained = atoms.copy()
    # ASE's function returns 1 + strain, a symmetric matrix: it may multiply the rows from the right
    strained.set_cell(atoms.cell.array @ voigt_6_to_full_3x3_strain(voigt), scale_atoms=True)
    strained.calc = calculator
    return strained
