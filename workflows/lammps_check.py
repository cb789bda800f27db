"""The ends and the saddle point of a path, evaluated by our engine and by LAMMPS."""

from dataclasses import dataclass

import numpy as np

from potentials.lammps import evaluate_with_lammps
from simtools.md.migration_path import MigrationPath

__all__ = ["ImageCheck", "verify_in_lammps"]

_LAMMPS_ACCURACY = 1e-9


@dataclass(frozen=True, kw_only=True)
class ImageCheck:
    """One image evaluated by another program.

    Attributes
    ----------
    image
        Index on the path.
    ours_eV, theirs_eV
        Potential energies, eV.
    largest_force_difference_eV_per_A
        Largest difference of the force on an ion, eV/Å.
    """

    image: int
    ours_eV: float
    theirs_eV: float
    largest_force_difference_eV_per_A: float


def verify_in_lammps(force_field, path: MigrationPath, calculator) -> tuple[ImageCheck, ...]:
    """Return both ends and the saddle point of a path as our engine and LAMMPS evaluate them.

    LAMMPS sums the Coulomb interaction with its Ewald sum to a relative accuracy of 1e-9.

    Parameters
    ----------
    force_field
        A `potentials.schema.ForceField`.
    path
        Any path made with it.
    calculator
        Our engine for the same cell.

    Raises
    ------
    LammpsUnavailableError
        If LAMMPS is not installed.
    """
    images, checks = path.images, []
    options = {"kspace": "ewald", "accuracy": _LAMMPS_ACCURACY} if force_field.is_charged else {}
    if not force_field.is_neutral(list(path.symbols)):
        options["net_charge"] = "background"
    for i in (0, path.saddle_index, len(images) - 1):
        image = images[i]
        theirs = evaluate_with_lammps(force_field, image, **options)
        image.calc = calculator
        difference = image.get_forces() - theirs.forces_eV_per_A
        checks.append(
            ImageCheck(
                image=i,
                ours_eV=float(image.get_potential_energy()),
                theirs_eV=theirs.energy_eV,
                largest_force_difference_eV_per_A=float(np.linalg.norm(difference, axis=1).max()),
            )
        )
    return tuple(checks)
