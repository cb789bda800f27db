"""The two ends of a path: relaxed, matched, joined by a first guess. The path itself: pathways.py."""

import math

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.mep import idpp_interpolate
from ase.neighborlist import neighbor_list

from simtools.core.errors import ConfigError, SimtoolsError
from simtools.md.matching import LONGEST_HOP_A, match_ions, nearest_sites
from simtools.structures.ionic_relaxation import relax_ions

__all__ = ["EndPointError", "UnequalEndsError", "interpolate_images", "relax_ends"]

SAME_CONFIGURATION_A = 0.2
EQUIVALENT_ENDS_EV = 1e-3
_CLOSEST_SHARE = 0.6


class EndPointError(SimtoolsError, RuntimeError):
    """An end of the path is not the minimum that it was meant to be: there is no such hop."""


class UnequalEndsError(EndPointError):
    """Ends that symmetry makes equal relaxed to different energies."""


def relax_ends(
    initial: Atoms,
    final: Atoms,
    calculator: Calculator,
    *,
    name: str,
    max_force_eV_per_A: float,
    rattle_A: float,
    seed: int,
    equivalent_ends: bool,
    longest_hop_A: float = LONGEST_HOP_A,
) -> tuple[tuple[Atoms, Atoms], tuple[float, float], int]:
    """Return both ends relaxed and matched, how far they moved, Å, and the number of force evaluations.

    Each end carries its energy and forces. Parameters and errors as in `find_path`.
    """
    relaxed, moved, n_evaluations = [], [], 0
    for number, (atoms, which) in enumerate(((initial, "first"), (final, "last"))):
        start = atoms.copy()
        start.positions += np.random.default_rng([seed, number]).normal(0, rattle_A, atoms.positions.shape)
        outcome = relax_ions(start, calculator, max_force_eV_per_A=max_force_eV_per_A)
        _check_basin(atoms, outcome.atoms, f"{name}: the {which} end")
        end = outcome.atoms
        end.calc = calculator
        forces = end.get_forces()
        end.calc = SinglePointCalculator(end, energy=outcome.energy_eV, forces=forces)
        relaxed.append(end)
        moved.append(outcome.max_displacement_A)
        n_evaluations += outcome.n_steps + 1
    first, last = relaxed
    matched = match_ions(first, last, longest_hop_A=longest_hop_A)
    farthest = float(np.linalg.norm(matched.positions - first.positions, axis=1).max())
    if farthest < SAME_CONFIGURATION_A:
        raise EndPointError(
            f"{name}: both ends relax to the same configuration (no ion differs by more than {farthest:.2g} "
            "Å): there is no barrier between them; place the ends farther apart"
        )
    energies = [end.get_potential_energy() for end in relaxed]
    matched.calc = calculator
    matched.calc = SinglePointCalculator(matched, energy=energies[1], forces=matched.get_forces())
    if equivalent_ends and abs(energies[1] - energies[0]) > EQUIVALENT_ENDS_EV:
        raise UnequalEndsError(
            f"{name}: ends that symmetry makes equal relax to energies that differ by "
            f"{1000 * (energies[1] - energies[0]):.3g} meV: one of them has found another minimum; relax "
            "further, or start both from the lower one"
        )
    return (first, matched), (moved[0], moved[1]), n_evaluations + 1


def interpolate_images(
    first: Atoms,
    last: Atoms,
    n_images: int,
    *,
    interpolation: str = "linear",
    rattle_A: float = 0.0,
    seed: int = 0,
) -> list[Atoms]:
    """Return a band between two matched ends, which it contains as they are.

    Raises
    ------
    ConfigError
        If ions come closer on the way than 0.6 of the shortest distance at the ends.
    """
    images = [first]
    for i in range(1, n_images + 1):
        image = first.copy()
        image.positions += (last.positions - first.positions) * (i / (n_images + 1))
        images.append(image)
    images.append(last)
    if interpolation == "idpp":
        between = [image.copy() for image in images]
        idpp_interpolate(between, traj=None, log=None, mic=bool(first.pbc.any()))
        for image, shaped in zip(images[1:-1], between[1:-1], strict=True):
            image.positions = shaped.positions
    _check_contacts(images)
    rng = np.random.default_rng([seed, 2])
    for image in images[1:-1]:
        image.positions += rng.normal(0, rattle_A, image.positions.shape)
    return images


def _check_basin(built, relaxed, which):
    """Refuse an end in which an ion relaxed to another lattice site."""
    before, after = nearest_sites(built), nearest_sites(relaxed)
    if before is None:
        return
    changed = np.flatnonzero(before != after)
    if len(changed):
        symbols = built.get_chemical_symbols()
        moves = ", ".join(f"{symbols[i]} from site {before[i]} to {after[i]}" for i in changed[:4])
        more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
        raise EndPointError(
            f"{which} is no minimum: while it relaxed, {moves}{more} moved; choose another end"
        )


def _check_contacts(images):
    def shortest(image, reach):
        found = neighbor_list("d", image, reach)
        return found.min(initial=np.inf)

    reach = 1.0
    limit = min(shortest(images[0], reach), shortest(images[-1], reach))
    while not math.isfinite(limit) and reach < 10:
        reach *= 1.5
        limit = min(shortest(images[0], reach), shortest(images[-1], reach))
    if not math.isfinite(limit):
        return
    closest = min(shortest(image, limit) for image in images)
    if closest < _CLOSEST_SHARE * limit:
        raise ConfigError(
            f"on the interpolated path two ions pass at {closest:.2g} Å (at the ends: {limit:.3g} Å): "
            "use interpolation = 'idpp' where it is linear, or check that the ends are one hop apart"
        )
