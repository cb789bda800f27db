"""The elastic band itself: optimised, then its highest image examined. Ends and results: pathways.py."""

import logging
import math
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.mep import NEB
from ase.optimize import FIRE
from scipy.interpolate import CubicHermiteSpline, CubicSpline
from scipy.sparse.linalg import LinearOperator, eigsh

from simtools.core.errors import SimtoolsError

logger = logging.getLogger(__name__)

__all__ = [
    "Band",
    "PathNotConvergedError",
    "SaddlePoint",
    "examine_saddle",
    "optimise_band",
    "residual_gain_eV",
]

_CLIMB_BELOW_EV_PER_A = 0.1
"""The highest image climbs once the band is this near its path; before, it climbs along a wrong tangent."""
_STEP_A = 0.01
_SMALL = 30
_ZERO_MODE_EV_PER_A2 = 1e-2


class PathNotConvergedError(SimtoolsError, RuntimeError):
    """The band did not reach a minimum-energy path.

    Attributes
    ----------
    images
        The band as it was left, with energies and forces: a start for another attempt.
    reason
        What is not fulfilled.
    """

    def __init__(self, reason, images):
        super().__init__(reason, images)
        self.reason, self.images = reason, images

    def __str__(self):
        return self.reason


@dataclass(frozen=True, kw_only=True, eq=False)
class Band:
    """A band of images that follows a path.

    Attributes
    ----------
    images
        The ends included, each with its energy and forces.
    reaction_coordinate_A
        Arc length in the space of all ions, Å, shape (n_images,).
    energies_eV
        Relative to the first image, eV, shape (n_images,).
    slopes_eV_per_A
        dE/ds along the spline through the images, eV/Å, shape (n_images,).
    perpendicular_forces_eV_per_A
        Largest force on an ion across the path, eV/Å, shape (n_images,); at the ends and at the highest
        image the whole force.
    tangents
        Unit tangents of the band, shape (n_images, n_atoms, 3).
    n_steps, n_evaluations
        Steps of the optimiser, force evaluations.
    """

    images: list[Atoms]
    reaction_coordinate_A: np.ndarray
    energies_eV: np.ndarray
    slopes_eV_per_A: np.ndarray
    perpendicular_forces_eV_per_A: np.ndarray
    tangents: np.ndarray
    n_steps: int
    n_evaluations: int

    @property
    def highest(self):
        """Index of the image with the highest energy, ends excluded."""
        return 1 + int(np.argmax(self.energies_eV[1:-1]))

    def spline(self):
        """Return E(s) through energies and slopes, a `scipy.interpolate.CubicHermiteSpline`."""
        return CubicHermiteSpline(self.reaction_coordinate_A, self.energies_eV, self.slopes_eV_per_A)


def optimise_band(
    images: list[Atoms],
    *,
    max_force_eV_per_A: float,
    max_steps: int,
    spring_eV_per_A2: float,
    shared_calculator: bool = False,
    on_step=None,
) -> Band:
    """Bring a band onto the nearest minimum-energy path and its highest image onto the saddle point.

    Nudged elastic band with the improved tangent (G. Henkelman and H. Jónsson, J. Chem. Phys. 113, 9978
    (2000)) and a climbing image (G. Henkelman, B. P. Uberuaga and H. Jónsson, J. Chem. Phys. 113, 9901
    (2000)), as in ASE, moved by FIRE.

    Parameters
    ----------
    images
        Changed in place. The ends carry their energies and forces, the others their calculators.
    max_force_eV_per_A
        Largest force of the band (across the path, and of the springs along it) on any ion, and largest
        force on an ion of the climbing image, eV/Å.
    max_steps
        Steps before giving up.
    spring_eV_per_A2
        Spring between neighbouring images.
    shared_calculator
        The images share one calculator.
    on_step
        Called as ``on_step(images, step)`` after each step, for a file to continue from.

    Raises
    ------
    PathNotConvergedError
        If the forces stay above the tolerance.
    """
    neb = _Neb(
        images, k=spring_eV_per_A2, method="improvedtangent", allow_shared_calculator=shared_calculator
    )
    n_steps = 0
    for climb, tolerance in (
        (False, max(_CLIMB_BELOW_EV_PER_A, max_force_eV_per_A)),
        (True, max_force_eV_per_A),
    ):
        neb.start(climb=climb)
        optimiser = FIRE(neb, logfile=None)
        for _ in optimiser.irun(fmax=0.0, steps=max(max_steps - n_steps, 0)):
            if on_step is not None:
                on_step(neb.with_results(), n_steps + optimiser.nsteps)
            if neb.residual() <= tolerance:
                break
        n_steps += optimiser.nsteps
        if not neb.residual() <= tolerance:
            raise PathNotConvergedError(
                f"the band did not come to rest in {n_steps} steps: its largest force is "
                f"{neb.residual():.3g} eV/Å where {tolerance:g} was asked for; allow more steps or images, "
                "or interpolate otherwise",
                neb.with_results(),
            )
    logger.info("band of %d images converged in %d steps", len(images), n_steps)
    return describe_band(neb.with_results(), n_steps=n_steps, n_evaluations=neb.n_evaluations)


def describe_band(images: list[Atoms], *, n_steps: int, n_evaluations: int) -> Band:
    """Return energies, slopes and forces across the path of images that carry energies and forces."""
    positions = np.array([image.positions for image in images])
    forces = np.array([image.get_forces() for image in images])
    energies = np.array([image.get_potential_energy() for image in images])
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=(1, 2))
    coordinate = np.concatenate([[0.0], np.cumsum(steps)])
    slopes = -np.sum(forces * CubicSpline(coordinate, positions)(coordinate, 1), axis=(1, 2))
    tangents = _tangents(positions, energies)
    along = np.sum(forces * tangents, axis=(1, 2))
    across = forces - along[:, None, None] * tangents
    for i in (0, 1 + int(np.argmax(energies[1:-1])), len(images) - 1):
        across[i] = forces[i]
    return Band(
        images=images,
        reaction_coordinate_A=coordinate,
        energies_eV=energies - energies[0],
        slopes_eV_per_A=slopes,
        perpendicular_forces_eV_per_A=np.linalg.norm(across, axis=2).max(axis=1),
        tangents=tangents,
        n_steps=n_steps,
        n_evaluations=n_evaluations,
    )


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


def residual_gain_eV(atoms: Atoms, calculator, forces_eV_per_A: np.ndarray) -> float:
    """Return the energy that a line search along residual forces would still gain, g²/2κ, eV."""
    norm = float(np.linalg.norm(forces_eV_per_A))
    if norm == 0.0:
        return 0.0
    direction = forces_eV_per_A / norm
    curvature = float(np.vdot(direction, _HessianProduct(atoms, calculator)(direction)))
    return norm**2 / (2 * abs(curvature)) if curvature else math.inf


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


def _tangents(positions, energies):
    """Return unit improved tangents (Henkelman and Jónsson, eqs 8-11), shape (n_images, n_atoms, 3)."""
    steps = np.diff(positions, axis=0)
    tangents = np.empty_like(positions)
    tangents[0], tangents[-1] = steps[0], steps[-1]
    for i in range(1, len(positions) - 1):
        rise, fall = energies[i + 1] - energies[i], energies[i - 1] - energies[i]
        if rise > 0 > fall:
            tangents[i] = steps[i]
        elif fall > 0 > rise:
            tangents[i] = steps[i - 1]
        else:
            large, small = max(abs(rise), abs(fall)), min(abs(rise), abs(fall))
            ahead = energies[i + 1] > energies[i - 1]
            tangents[i] = steps[i] * (large if ahead else small) + steps[i - 1] * (small if ahead else large)
    norms = np.linalg.norm(tangents, axis=(1, 2), keepdims=True)
    return tangents / np.where(norms > 0, norms, 1.0)


class _Neb(NEB):
    """A band that evaluates each set of positions once, and knows its last forces."""

    _seen = _forces = None
    n_evaluations = 0

    def start(self, *, climb):
        """Switch climbing, which changes the forces at the same positions."""
        self.climb, self._seen = climb, None

    def get_forces(self):
        """Return the forces of the band at the present positions."""
        positions = self.get_positions()
        if self._seen is None or not np.array_equal(positions, self._seen):
            self._forces = super().get_forces()
            self._seen = positions
            self.n_evaluations += self.nimages - 2
        return self._forces.copy()

    def residual(self):
        """Return the largest force of the band on an ion, and of the climbing image itself, eV/Å."""
        largest = _largest(self.get_forces())
        if self.climb:
            top = self.images[self.imax].copy()
            top.calc = SinglePointCalculator(top, forces=self.real_forces[self.imax])
            largest = max(largest, _largest(top.get_forces()))
        return largest

    def with_results(self):
        """Return copies of the images that carry their energies and forces."""
        images = []
        for i, image in enumerate(self.images):
            copy = image.copy()
            inside = 0 < i < self.nimages - 1
            energy = self.energies[i] if inside else image.get_potential_energy()
            forces = self.real_forces[i] if inside else image.get_forces()
            copy.calc = SinglePointCalculator(copy, energy=float(energy), forces=np.array(forces))
            images.append(copy)
        return images


def _largest(forces):
    return float(np.linalg.norm(forces, axis=1).max())
