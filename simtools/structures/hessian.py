"""Force constants of one periodic cell by central differences of forces, with any ASE calculator.

What rests on them: elastic.py, dielectric.py. Force constants between cells, for phonons: phonons.py.
"""

import math
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from simtools.core.errors import ConfigError, SimtoolsError

__all__ = ["Hessian", "NotAtRestError", "UnstableCrystalError", "hessian"]

DEFAULT_STEP_A = 0.01
"""Relative error of a Born-Mayer curvature from the step: (step/rho)^2/6 = 2e-4 at rho = 0.3 Å."""
LARGEST_FORCE_EV_PER_A = 0.01
_SOFTEST = 1e-4


class NotAtRestError(ConfigError):
    """The response of a crystal was asked for at a configuration that is not a stationary point."""

    def __init__(self, max_force_eV_per_A):
        super().__init__(max_force_eV_per_A)
        self.max_force_eV_per_A = max_force_eV_per_A

    def __str__(self):
        return (
            f"the largest force on an ion is {self.max_force_eV_per_A:.3g} eV/Å where at most "
            f"{LARGEST_FORCE_EV_PER_A:g} was expected: relax the crystal first (relax_ions)"
        )


class UnstableCrystalError(SimtoolsError, RuntimeError):
    """The crystal has a soft or unstable mode in this very cell, so its static response is undefined.

    Attributes
    ----------
    curvature_eV_per_A2
        Smallest curvature of the energy, translations aside, eV/Å².
    largest_eV_per_A2
        Largest curvature, eV/Å².
    """

    def __init__(self, curvature_eV_per_A2, largest_eV_per_A2):
        super().__init__(curvature_eV_per_A2, largest_eV_per_A2)
        self.curvature_eV_per_A2, self.largest_eV_per_A2 = curvature_eV_per_A2, largest_eV_per_A2

    def __str__(self):
        return (
            f"the crystal is not stable in this cell: the softest mode has curvature "
            f"{self.curvature_eV_per_A2:.3g} eV/Å² (the stiffest {self.largest_eV_per_A2:.3g}), so its "
            "static response is undefined; displace its ions (atoms.rattle) and relax it"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Hessian:
    """Second derivatives of the energy with respect to the positions in one periodic cell.

    Attributes
    ----------
    matrix_eV_per_A2
        Shape (3N, 3N), index 3 n + component; symmetric and exactly free of forces under a translation.
    step_A
        Displacement of the central differences, Å.
    asymmetry
        Largest element of H - H^T before symmetrisation, over the largest of H.
    acoustic_violation
        Largest sum over all ions of one row before it was enforced, over the largest element of H.
    max_force_eV_per_A
        Largest force on an ion at the undisplaced positions, eV/Å.
    """

    matrix_eV_per_A2: np.ndarray
    step_A: float
    asymmetry: float
    acoustic_violation: float
    max_force_eV_per_A: float

    def __post_init__(self):
        self.matrix_eV_per_A2.flags.writeable = False

    @property
    def curvatures_eV_per_A2(self):
        """Eigenvalues without the three translations, ascending, shape (3N - 3,), eV/Å²."""
        basis = _without_translations(len(self.matrix_eV_per_A2) // 3)
        return np.linalg.eigvalsh(basis.T @ self.matrix_eV_per_A2 @ basis)

    def displacements_A(self, forces_eV_per_A):
        """Return the displacements with which the ions answer small forces: the pseudo-inverse at work.

        Parameters
        ----------
        forces_eV_per_A
            Shape (3N,) or (3N, k), eV/Å; a net force, which nothing would balance, is left out.

        Returns
        -------
        ndarray
            Same shape, Å; the unweighted mean displacement is zero.

        Raises
        ------
        UnstableCrystalError
            If a curvature is not larger than 1e-4 of the largest.
        """
        basis = _without_translations(len(self.matrix_eV_per_A2) // 3)
        curvatures, modes = np.linalg.eigh(basis.T @ self.matrix_eV_per_A2 @ basis)
        if curvatures[0] <= _SOFTEST * curvatures[-1]:
            raise UnstableCrystalError(float(curvatures[0]), float(curvatures[-1]))
        modes = basis @ modes
        return (modes / curvatures) @ (modes.T @ forces_eV_per_A)


def hessian(atoms: Atoms, calculator, *, step_A: float = DEFAULT_STEP_A) -> Hessian:
    r"""Return the Hessian of a crystal at rest, from 6 N evaluations of the forces.

    .. math:: H_{ij} = -\frac{F_i(+h\,e_j) - F_i(-h\,e_j)}{2h} + O(h^2)

    The matrix is symmetrised and projected on the space orthogonal to the three translations, which enforces
    the acoustic sum rule on rows and columns at once; by how much it was violated is reported.

    Parameters
    ----------
    atoms
        Periodic crystal with forces below 0.01 eV/Å; not changed.
    calculator
        Any ASE calculator. One that relaxes shells inside gives the Hessian of whole ions, shells following.
    step_A
        Displacement h, Å.

    Raises
    ------
    NotAtRestError
        If a force is larger than that: the response to a small perturbation would not be a minimum's.
    ConfigError
        If the cell is not periodic or the step not a positive number.
    """
    step_A = positive("step_A", step_A)
    check_periodic(atoms)
    work = atoms.copy()
    work.set_constraint()
    work.calc = calculator
    largest_force = check_at_rest(work)
    n = 3 * len(work)
    raw = np.empty((n, n))
    start = work.positions.copy()
    for j in range(n):
        raw[:, j] = -central_difference(work, start, j, step_A, lambda moved: moved.get_forces().ravel())
    scale = np.abs(raw).max()
    if scale == 0.0:
        raise ConfigError("no force answers a displacement: this calculator does not bind the crystal")
    symmetric = (raw + raw.T) / 2
    translations = _translations(len(work))
    projector = np.eye(n) - translations @ translations.T
    return Hessian(
        matrix_eV_per_A2=projector @ symmetric @ projector,
        step_A=step_A,
        asymmetry=float(np.abs(raw - raw.T).max() / scale),
        acoustic_violation=float(np.abs(raw.reshape(n, -1, 3).sum(axis=1)).max() / scale),
        max_force_eV_per_A=largest_force,
    )


def central_difference(atoms, start_nc, index, step_A, observe):
    """Return d observe(atoms) / d coordinate `index` at `start_nc`, where the atoms are put back."""
    ion, component = divmod(index, 3)
    ends = []
    for sign in (1.0, -1.0):
        positions_nc = start_nc.copy()
        positions_nc[ion, component] += sign * step_A
        atoms.positions = positions_nc
        ends.append(np.array(observe(atoms), dtype=float))
    atoms.positions = start_nc
    return (ends[0] - ends[1]) / (2 * step_A)


def check_at_rest(atoms):
    """Return the largest force on an ion, eV/Å, or raise `NotAtRestError`."""
    largest = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    if not largest <= LARGEST_FORCE_EV_PER_A:
        raise NotAtRestError(largest)
    return largest


def check_periodic(atoms):
    """Raise `ConfigError` unless `atoms` is a crystal: ions in a cell that is periodic in all directions."""
    if len(atoms) == 0 or not atoms.pbc.all() or atoms.cell.rank < 3:
        raise ConfigError(
            f"expected a crystal, periodic in all three directions; got {len(atoms)} atoms with pbc = "
            f"{atoms.pbc.tolist()} and a cell of rank {atoms.cell.rank}"
        )


def positive(name, value):
    """Return `value` as a float, or raise `ConfigError` unless it is a positive finite number."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise ConfigError(f"{name} must be a positive number, got {value!r}")
    return float(value)


def _translations(n_ions):
    """Return the three normalised translations as columns, shape (3 n_ions, 3)."""
    return np.tile(np.eye(3), (n_ions, 1)) / math.sqrt(n_ions)


def _without_translations(n_ions):
    """Return an orthonormal basis of all displacements with zero mean, shape (3 n_ions, 3 n_ions - 3)."""
    full, _ = np.linalg.qr(_translations(n_ions), mode="complete")
    return full[:, 3:]
