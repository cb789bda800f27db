"""How far our engine, its production path and LAMMPS are from the twin on one random cell."""

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress

from potentials.calculator import IonicCalculator
from potentials.lammps import evaluate_with_lammps
from tests.reference import ewald

TIGHT_LAMMPS = {"kspace": "ewald", "accuracy": 1e-8, "coulomb_cutoff_A": 12.0}
LIMITS = {
    "exact_energy": 1e-10,  # relative
    "exact_energies": 1e-10,  # relative to the largest
    "exact_forces": 1e-10,
    "exact_stress": 1e-10,
    "lammps_energy": 1e-6,  # relative; LAMMPS' erfc polynomial limits it
    "lammps_forces_eV_per_A": 1e-5,
    "default_rms_force": 1e-4,  # RMS force error over RMS force
    "default_max_force": 1e-3,  # largest force error over RMS force
}


def compare_with_the_twin(cell, *, with_lammps=True):
    """Return the deviations named in `LIMITS` for a `RandomCell`."""
    field, atoms = cell.force_field, cell.atoms
    twin = ewald.evaluate(field, atoms)
    forces, stress = twin.forces_eV_per_A, full_3x3_to_voigt_6_stress(twin.stress_eV_per_A3)
    rms = np.sqrt((forces**2).sum(1).mean())

    coulomb = "ewald" if field.is_charged else "none"
    exact = IonicCalculator(field, coulomb=coulomb, pair_terms="exact", **cell.options)
    default = IonicCalculator(field, **cell.options)
    error = np.linalg.norm(default.get_property("forces", atoms) - forces, axis=1)
    found = {
        "exact_energy": abs(exact.get_property("energy", atoms) / twin.energy_eV - 1),
        "exact_energies": _relative(exact.get_property("energies", atoms), twin.energies_eV),
        "exact_forces": _relative(exact.get_property("forces", atoms), forces),
        "exact_stress": _relative(exact.get_property("stress", atoms), stress),
        "default_rms_force": np.sqrt((error**2).mean()) / rms,
        "default_max_force": error.max() / rms,
    }
    if with_lammps:
        options = TIGHT_LAMMPS if field.is_charged else {}
        lammps = evaluate_with_lammps(field, atoms, **cell.options, **options)
        found["lammps_energy"] = abs(lammps.energy_eV / twin.energy_eV - 1)
        found["lammps_forces_eV_per_A"] = np.abs(lammps.forces_eV_per_A - forces).max()
    return {name: float(value) for name, value in found.items()}


def _relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()
