"""The elastic band itself. Its highest image examined: saddle.py; ends and results: pathways.py."""

import logging
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.mep import NEB
from ase.optimize import FIRE
from scipy.interpolate import CubicHermiteSpline, CubicSpline

from simtools.core.errors import SimtoolsError
from simtools.structures.ionic_relaxation import check_steps

logger = logging.getLogger(__name__)

__all__ = ["Band", "PathNotConvergedError", "describe_band", "optimise_band"]

_CLIMB_BELOW_EV_PER_A = 0.1
"""The highest image climbs once the band is this near its path; before, it climbs along a wrong tangent."""


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
    ConfigError
        If `max_steps` is no whole number.
    """
    check_steps(max_steps)
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
