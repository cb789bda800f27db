"""Rigid molecules brought to rest where they lie, orientations held. Dynamics from there: protocols.py."""

import logging
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from simtools.core.errors import ConfigError, RunFailedError
from simtools.md.forces import ForceEvaluator
from simtools.md.rigid_bodies import RigidBodies, RigidMolecules

__all__ = ["SettledMolecules", "settle_rigid_molecules"]

logger = logging.getLogger(__name__)

_LONGEST_STEP_A = 0.1
_FIRST_STEP, _LONGEST = 0.05, 0.3
_GROW, _SHRINK, _MIXING, _MIXING_KEPT, _STEPS_DOWNHILL = 1.1, 0.5, 0.1, 0.99, 5
"""Of FIRE, Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006), for units of mass 1 and forces in eV/Å."""


@dataclass(frozen=True, kw_only=True)
class SettledMolecules:
    """Outcome of `settle_rigid_molecules`.

    Attributes
    ----------
    atoms
        At rest, without calculator; `info` and arrays as given, molecules whole.
    energy_gain_eV
        Potential energy given up, eV.
    max_force_eV_per_A
        Largest force left on an ion or a molecule's centre of mass, eV/Å.
    max_displacement_A
        Furthest that an ion or a centre of mass went, Å.
    n_steps
        Steps taken.
    """

    atoms: Atoms
    energy_gain_eV: float
    max_force_eV_per_A: float
    max_displacement_A: float
    n_steps: int


def settle_rigid_molecules(
    atoms: Atoms, calculator, *, max_force_eV_per_A: float = 0.05, max_steps: int = 2000
) -> SettledMolecules:
    """Move ions and centres of mass downhill to rest; no molecule turns or changes its shape.

    Parameters
    ----------
    atoms
        With ``molecule_id``; not changed.
    calculator
        Any ASE calculator.
    max_force_eV_per_A
        Largest force allowed on an ion or on a molecule as a whole, eV/Å.
    max_steps
        Steps before giving up.

    Raises
    ------
    RunFailedError
        If it does not come to rest: ions at impossible places, or a force field that lets them fall into
        each other.
    ConfigError
        Without molecules, or for limits that are not positive.

    Notes
    -----
    The end is a local minimum near the start, found by FIRE with at most 0.1 Å per step and unit; it is not
    the lowest. Limits: a crystal at rest stays; two free ions of a spring pair end at its length.
    """
    if not max_force_eV_per_A > 0 or not max_steps > 0:
        raise ConfigError(
            f"max_force_eV_per_A and max_steps must be positive, got {max_force_eV_per_A!r} and {max_steps!r}"
        )
    settled = atoms.copy()
    if not settled.has("momenta"):
        settled.set_momenta(np.zeros((len(settled), 3)))
    bodies = RigidBodies(settled, RigidMolecules(frozen_orientation=True))
    evaluator = ForceEvaluator(settled, calculator)
    start_uc = bodies.centres_uc.copy()
    try:
        evaluator.evaluate()
        first_eV = evaluator.energy_eV
        largest, n_steps = _descend(bodies, evaluator, max_force_eV_per_A, max_steps)
    finally:
        evaluator.release()
        settled.calc = None
    if not largest <= max_force_eV_per_A:
        raise RunFailedError(
            f"the ions did not come to rest about the orientations of {bodies.n_bodies} molecules in "
            f"{n_steps} steps: the largest force is {largest:.3g} eV/Å, {max_force_eV_per_A:g} was asked for"
        )
    if "momenta" not in atoms.arrays:
        del settled.arrays["momenta"]
    found = SettledMolecules(
        atoms=settled,
        energy_gain_eV=first_eV - evaluator.energy_eV,
        max_force_eV_per_A=largest,
        max_displacement_A=float(np.linalg.norm(bodies.centres_uc - start_uc, axis=1).max()),
        n_steps=n_steps,
    )
    logger.info(
        "ions settled about %d fixed orientations in %d steps: %.3f eV below, %.2f A at most",
        bodies.n_bodies,
        n_steps,
        found.energy_gain_eV,
        found.max_displacement_A,
    )
    return found


def _descend(bodies, evaluator, tolerance, max_steps):
    """Take FIRE steps from evaluated forces; return the largest force and the number of steps."""
    velocity = np.zeros_like(bodies.centres_uc)
    dt, mixing, downhill = _FIRST_STEP, _MIXING, 0
    for n_steps in range(max_steps + 1):
        forces, _ = bodies.forces_and_torques(evaluator.forces_eV_A)
        largest = float(np.linalg.norm(forces, axis=1).max())
        if largest <= tolerance or not np.isfinite(largest) or n_steps == max_steps:
            break
        if np.vdot(forces, velocity) > 0:
            speed = np.linalg.norm(velocity) / np.linalg.norm(forces)
            velocity = (1 - mixing) * velocity + mixing * speed * forces
            downhill += 1
            if downhill > _STEPS_DOWNHILL:
                dt, mixing = min(_GROW * dt, _LONGEST), _MIXING_KEPT * mixing
        else:
            velocity[:] = 0.0
            dt, mixing, downhill = _SHRINK * dt if n_steps else dt, _MIXING, 0
        velocity += dt * forces
        step = dt * velocity
        length = np.linalg.norm(step, axis=1, keepdims=True)
        bodies.centres_uc += step * np.minimum(1.0, _LONGEST_STEP_A / np.maximum(length, 1e-12))
        bodies.place(evaluator.atoms.arrays["positions"])
        evaluator.evaluate()
    return largest, n_steps
