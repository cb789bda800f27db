"""From two ends of a hop to its minimum-energy path and barrier, with any ASE calculator.

Which hops there are: hops.py. Relaxed and matched ends: endpoints.py. The band: band.py.
"""

import logging
import math
from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator

from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.md.band import Band, PathNotConvergedError, optimise_band
from simtools.md.endpoints import EndPointError, UnequalEndsError, interpolate_images, relax_ends
from simtools.md.matching import LONGEST_HOP_A, moving_ions
from simtools.md.migration_path import MigrationPath
from simtools.md.saddle import examine_saddle, residual_error_eV
from simtools.structures.ionic_relaxation import check_steps

logger = logging.getLogger(__name__)

__all__ = [
    "EndPointError",
    "MigrationPath",
    "PathNotConvergedError",
    "UnequalEndsError",
    "continue_path",
    "find_path",
]

END_FORCE_SHARE = 0.1
"""Forces at the ends, as part of those allowed in the band: their error enters every barrier."""
_SHALLOW_EV = 2e-3
_LANCZOS_DIRECTIONS = 12
_INTERPOLATIONS = ("linear", "idpp")


def find_path(
    initial: Atoms,
    final: Atoms,
    calculator: Callable[[], Calculator],
    *,
    name: str = "hop",
    n_images: int = 7,
    max_force_eV_per_A: float = 0.02,
    max_steps: int = 1000,
    interpolation: str = "linear",
    spring_eV_per_A2: float = 1.0,
    rattle_A: float = 0.01,
    seed: int = 0,
    equivalent_ends: bool = False,
    longest_hop_A: float = LONGEST_HOP_A,
    shared_calculator: bool = False,
    all_curvatures: bool = True,
    on_step=None,
) -> MigrationPath:
    """Return the minimum-energy path from `initial` to `final` at constant cell.

    Both ends are relaxed, their ions matched, the path interpolated between nearest images and optimised
    with a climbing image; then the highest image is checked to be a saddle point. Limit with a known answer:
    a particle in E = h (1 - x²)² + k y²/2 has the barrier h.

    Parameters
    ----------
    initial, final
        The ends, relaxed or not, ions in any order.
    calculator
        Called without arguments for a new ASE calculator, once per image; once only with
        `shared_calculator`.
    name
        For messages and the result.
    n_images
        Images between the ends, 1 or more; an odd number puts one on the middle of a symmetric path.
    max_force_eV_per_A
        Tolerance in the band; a tenth of it holds at the ends.
    max_steps
        Steps of the band before giving up.
    interpolation
        "linear", or "idpp" (S. Smidstrup et al., J. Chem. Phys. 140, 214106 (2014)), which keeps ions
        that pass each other apart.
    spring_eV_per_A2
        Spring between neighbouring images; only the spacing of the images depends on it.
    rattle_A
        Standard deviation of the random displacement from which ends and images start, Å: it lets them leave
        stationary points that symmetry alone makes.
    seed
        Of these displacements.
    equivalent_ends
        The ends are images of each other by symmetry: refuse energies that differ by more than 1 meV, and
        count their difference as an uncertainty.
    longest_hop_A
        No ion moves farther between the ends.
    shared_calculator
        Use one calculator for all images: less memory, more work where a calculator remembers neighbours.
    all_curvatures
        False: check only the curvature along the path, and take the uncertainty from one direction (8
        instead of about 150 force evaluations).
    on_step
        Called as ``on_step(images, step)`` with images that carry energies and forces.

    Raises
    ------
    PathNotConvergedError
        If the band does not come to rest, or there is no saddle point between the ends.
    EndPointError
        If an end leaves its basin while it relaxes, or both relax to one configuration.
    UnequalEndsError
        If equivalent ends differ in energy.
    MatchError, ConfigError
        If the ends are not the same ions one hop apart, the interpolation drives ions into each other, or an
        argument is out of range.
    """
    _check(n_images, max_force_eV_per_A, interpolation, rattle_A)
    check_steps(max_steps)
    ends, moved, n_evaluations = relax_ends(
        initial,
        final,
        calculator(),
        name=name,
        max_force_eV_per_A=END_FORCE_SHARE * max_force_eV_per_A,
        rattle_A=rattle_A,
        seed=seed,
        equivalent_ends=equivalent_ends,
        longest_hop_A=longest_hop_A,
    )
    images = interpolate_images(*ends, n_images, interpolation=interpolation, rattle_A=rattle_A, seed=seed)
    return continue_path(
        images,
        calculator,
        name=name,
        max_force_eV_per_A=max_force_eV_per_A,
        max_steps=max_steps,
        spring_eV_per_A2=spring_eV_per_A2,
        equivalent_ends=equivalent_ends,
        shared_calculator=shared_calculator,
        all_curvatures=all_curvatures,
        on_step=on_step,
        end_displacements_A=moved,
        n_evaluations=n_evaluations,
    )


def continue_path(
    images: list[Atoms],
    calculator: Callable[[], Calculator],
    *,
    name: str = "hop",
    max_force_eV_per_A: float = 0.02,
    max_steps: int = 1000,
    spring_eV_per_A2: float = 1.0,
    equivalent_ends: bool = False,
    shared_calculator: bool = False,
    all_curvatures: bool = True,
    on_step=None,
    end_displacements_A=(math.nan, math.nan),
    n_evaluations: int = 0,
) -> MigrationPath:
    """Return the path that the band `images` relaxes to: the second half of `find_path`.

    Parameters
    ----------
    images
        A band, for example one that ``on_step`` received: its ends are relaxed and carry energies and forces.
    end_displacements_A, n_evaluations
        What came before, for the record.

    Notes
    -----
    Other parameters and errors as in `find_path`.
    """
    band_images = [image.copy() for image in images]
    for image, given in zip(band_images, images, strict=True):
        image.calc = None
        image.info = dict(given.info)
    for i in (0, -1):
        band_images[i].calc = _frozen(images[i])
    shared = calculator() if shared_calculator else None
    for image in band_images[1:-1]:
        image.calc = shared or calculator()
    band = optimise_band(
        band_images,
        max_force_eV_per_A=max_force_eV_per_A,
        max_steps=max_steps,
        spring_eV_per_A2=spring_eV_per_A2,
        shared_calculator=shared_calculator,
        on_step=on_step,
    )
    _check_maximum(band, name)
    probe = shared or calculator()
    top = band.highest
    saddle = examine_saddle(band.images[top], probe, band.tangents[top], all_directions=all_curvatures)
    if not saddle.tangent_curvature_eV_per_A2 < 0:
        raise PathNotConvergedError(
            f"{name}: the highest image is no saddle point: the energy curves upwards along the path "
            f"({saddle.tangent_curvature_eV_per_A2:.3g} eV/Å²); use more images",
            band.images,
        )
    minima = _intermediate_minima(band)
    uncertainty, n_probes = _uncertainty(
        band, probe, equivalent_ends, _LANCZOS_DIRECTIONS if all_curvatures else 1
    )
    first = band.images[0]
    return MigrationPath(
        name=name,
        reaction_coordinate_A=band.reaction_coordinate_A,
        energies_eV=band.energies_eV,
        slopes_eV_per_A=band.slopes_eV_per_A,
        perpendicular_forces_eV_per_A=band.perpendicular_forces_eV_per_A,
        barrier_forward_eV=float(band.energies_eV[top]),
        barrier_backward_eV=float(band.energies_eV[top] - band.energies_eV[-1]),
        barrier_uncertainty_eV=uncertainty,
        reaction_energy_eV=float(band.energies_eV[-1]),
        initial_energy_eV=float(first.get_potential_energy()),
        saddle_index=top,
        saddle_force_eV_per_A=float(band.perpendicular_forces_eV_per_A[top]),
        tangent_curvature_eV_per_A2=saddle.tangent_curvature_eV_per_A2,
        lowest_curvatures_eV_per_A2=np.array(saddle.lowest_curvatures_eV_per_A2),
        intermediate_minima_A=minima,
        moving_ions=moving_ions(band.images),
        end_displacements_A=np.array(end_displacements_A, dtype=float),
        n_steps=band.n_steps,
        n_evaluations=n_evaluations + band.n_evaluations + saddle.n_evaluations + n_probes,
        max_force_eV_per_A=float(max_force_eV_per_A),
        warnings=_warnings(saddle, minima),
        positions_A=np.array([image.positions for image in band.images]),
        symbols=np.array(first.get_chemical_symbols()),
        cell_A=first.cell.array,
        pbc=np.array(first.pbc),
        provenance=collect_provenance(
            name=name,
            calculator=type(probe).__name__,
            n_images=len(images) - 2,
            max_force_eV_per_A=max_force_eV_per_A,
            spring_eV_per_A2=spring_eV_per_A2,
        ),
    )


def _check(n_images, max_force_eV_per_A, interpolation, rattle_A):
    if isinstance(n_images, bool) or not isinstance(n_images, int) or n_images < 1:
        raise ConfigError(f"n_images must be a whole number of at least 1, got {n_images!r}")
    if not 0 < max_force_eV_per_A < math.inf:
        raise ConfigError(f"max_force_eV_per_A must be a positive number, got {max_force_eV_per_A!r}")
    if interpolation not in _INTERPOLATIONS:
        raise ConfigError(f"interpolation must be one of {', '.join(_INTERPOLATIONS)}, got {interpolation!r}")
    if not 0 <= rattle_A < 0.1:
        raise ConfigError(f"rattle_A must lie between 0 and 0.1 Å, got {rattle_A!r}")


def _check_maximum(band: Band, name):
    top = band.highest
    if band.energies_eV[top] <= max(0.0, band.energies_eV[-1]):
        raise PathNotConvergedError(
            f"{name}: no image lies above both ends (highest {band.energies_eV[top]:.4f} eV, last end "
            f"{band.energies_eV[-1]:.4f} eV): an end is not a minimum, or the barrier is lower than the "
            "images resolve; use more images or tighter forces",
            band.images,
        )


def _intermediate_minima(band):
    """Return where E(s) has minima between the ends that are deeper than 2 meV on both sides, Å."""
    coordinate = band.reaction_coordinate_A
    fine = np.linspace(0, coordinate[-1], 50 * len(coordinate))
    energies = band.spline()(fine)
    found = []
    for i in range(1, len(fine) - 1):
        if energies[i] < energies[i - 1] and energies[i] <= energies[i + 1]:
            rim = min(energies[:i].max(), energies[i + 1 :].max())
            deeper = min(energies[:i].max() - energies[i], energies[i + 1 :].max() - energies[i])
            if deeper > _SHALLOW_EV and rim > _SHALLOW_EV:
                found.append(fine[i])
    return np.array(found)


def _uncertainty(band, probe, equivalent_ends, n_directions):
    """Return the numerical uncertainty of the barrier, eV, and the force evaluations spent on it."""
    top, total, n_probes = band.highest, 0.0, 0
    for i in (0, top, len(band.images) - 1):
        image = band.images[i]
        error, n_evaluations = residual_error_eV(image, probe, image.get_forces(), n_directions=n_directions)
        total += error
        n_probes += n_evaluations
    coordinate = band.reaction_coordinate_A
    fine = np.linspace(coordinate[top - 1], coordinate[top + 1], 400)
    total += max(0.0, float(band.spline()(fine).max() - band.energies_eV[top]))
    if equivalent_ends:
        total += abs(float(band.energies_eV[-1]))
    return total, n_probes


def _warnings(saddle, minima):
    notes = []
    if saddle.n_negative > 1:
        low = saddle.lowest_curvatures_eV_per_A2
        notes.append(
            f"the saddle point is of higher order (curvatures {low[0]:.3g} and {low[1]:.3g} eV/Å²): a lower "
            "path passes beside it; start from images displaced further (rattle_A)"
        )
    if len(minima):
        places = ", ".join(f"{value:.2f}" for value in minima)
        notes.append(
            f"the path has minima between its ends, at {places} Å: it is a chain of hops, and the barrier is "
            "that of the highest"
        )
    return tuple(notes)


def _frozen(image):
    return SinglePointCalculator(
        image, energy=float(image.get_potential_energy()), forces=np.array(image.get_forces())
    )
