"""A stationary point examined: its curvatures, and how far the energy is from it. The band: band.py."""

import math
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import LinearOperator, eigsh

__all__ = ["SaddlePoint", "examine_saddle", "residual_error_eV"]

_STEP_A = 0.01
_SMALL = 30
_BREAKDOWN = 1e-6
_ZERO_MODE_EV_PER_A2 = 1e-2


@dataclass(frozen=True, kw_only=True)
class SaddlePoint:
    """Curvatures of the energy at the highest image.

    Attributes
    ----------
    tangent_curvature_eV_per_A2
        Along the path, eV/Å²: negative at a saddle point.
    lowest_curvatures_eV_per_A2
        The two lowest of all directions, translations aside, eV/Å²; nan where they were not asked for.
    n_evaluations
        Force evaluations it took.
    """

    tangent_curvature_eV_per_A2: float
    lowest_curvatures_eV_per_A2: tuple[float, float]
    n_evaluations: int

    @property
    def n_negative(self):
        """Number of negative ones among the two lowest curvatures: 1 at a first-order saddle."""
        return sum(value < 0 for value in self.lowest_curvatures_eV_per_A2)


def examine_saddle(
    atoms: Atoms, calculator, tangent: np.ndarray, *, all_directions: bool = True
) -> SaddlePoint:
    """Return the curvatures at `atoms` from central differences of forces, 0.01 Å to either side.

    The two lowest curvatures come from Lanczos iteration on products of the Hessian with a vector, each of
    two force evaluations; the matrix itself is never built.

    Parameters
    ----------
    atoms
        The saddle point; constraints are honoured.
    calculator
        Any ASE calculator.
    tangent
        Unit tangent of the path, shape (n_atoms, 3).
    all_directions
        False: only the curvature along the path, two evaluations.
    """
    product = _HessianProduct(atoms, calculator)
    along = float(np.vdot(tangent, product(tangent)))
    lowest = _lowest_two(product, tangent) if all_directions else (math.nan, math.nan)
    return SaddlePoint(
        tangent_curvature_eV_per_A2=along,
        lowest_curvatures_eV_per_A2=lowest,
        n_evaluations=product.n_evaluations,
    )


def residual_error_eV(
    atoms: Atoms, calculator, forces_eV_per_A: np.ndarray, *, n_directions: int = 12
) -> tuple[float, int]:
    """Return how far the energy is from that of the stationary point nearby, eV, and the evaluations it took.

    With g the forces that are left and H the Hessian the difference is g H^-1 g / 2. Lanczos iteration from g
    gives it without H (G. H. Golub and G. Meurant, *Matrices, Moments and Quadrature*, 2010, chapter 4), here
    with the absolute value of every curvature. With one direction it is what a line search would change, a
    lower bound where curvatures differ much.

    Parameters
    ----------
    atoms
        Near a minimum or a saddle point.
    calculator
        Any ASE calculator.
    forces_eV_per_A
        Shape (n_atoms, 3).
    n_directions
        Lanczos vectors, of two force evaluations each.
    """
    norm = float(np.linalg.norm(forces_eV_per_A))
    if norm == 0.0:
        return 0.0, 0
    product = _HessianProduct(atoms, calculator)
    basis = [forces_eV_per_A.ravel() / norm]
    diagonal, beside = [], []
    for _ in range(min(n_directions, forces_eV_per_A.size)):
        image = product(basis[-1]).ravel()
        diagonal.append(float(basis[-1] @ image))
        done = np.array(basis)
        for _ in range(2):
            image = image - done.T @ (done @ image)
        length = float(np.linalg.norm(image))
        if length < _BREAKDOWN * abs(diagonal[0]):
            break
        beside.append(length)
        basis.append(image / length)
    values, vectors = eigh_tridiagonal(diagonal, beside[: len(diagonal) - 1])
    error = 0.5 * norm**2 * float(np.sum(vectors[0] ** 2 / np.abs(values)))
    return error, product.n_evaluations


class _HessianProduct:
    def __init__(self, atoms, calculator):
        self.atoms, self.centre = atoms.copy(), atoms.positions.copy()
        self.atoms.calc = calculator
        self.n_evaluations = 0

    def __call__(self, direction):
        direction = direction.reshape(-1, 3)
        norm = float(np.linalg.norm(direction))
        forces = []
        for sign in (1, -1):
            self.atoms.set_positions(self.centre + sign * _STEP_A * direction / norm, apply_constraint=False)
            forces.append(self.atoms.get_forces())
        self.n_evaluations += 2
        return (forces[1] - forces[0]) * norm / (2 * _STEP_A)


def _lowest_two(product, tangent):
    size = tangent.size
    shifted = []
    for axis in np.eye(3):
        translation = np.tile(axis, size // 3) / math.sqrt(size / 3)
        if np.linalg.norm(product(translation)) < _ZERO_MODE_EV_PER_A2:
            shifted.append(translation)
    lifted = np.array(shifted).reshape(-1, size)

    def apply(vector):
        vector = vector.ravel()
        inside = vector - lifted.T @ (lifted @ vector)
        if not np.linalg.norm(inside) > 0:
            return 1e3 * vector
        image = product(inside).ravel()
        return image - lifted.T @ (lifted @ image) + 1e3 * lifted.T @ (lifted @ vector)

    if size <= _SMALL:
        matrix = np.array([apply(unit) for unit in np.eye(size)])
        values = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    else:
        start = tangent.ravel() + 0.1 * np.random.default_rng(0).standard_normal(size) / math.sqrt(size)
        operator = LinearOperator((size, size), matvec=apply, dtype=float)
        values = eigsh(operator, k=2, which="SA", v0=start, tol=1e-2, return_eigenvectors=False)
    low, next_one = sorted(values)[:2]
    return float(low), float(next_one)
