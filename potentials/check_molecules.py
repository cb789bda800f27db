"""Static crystals with molecular ions, for the regression values of `check.py`: built, and relaxed.

Only what the stored values need; structures for runs are built in `simtools.structures`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_masses, atomic_numbers
from ase.stress import voigt_6_to_full_3x3_stress

from potentials.molecules import Molecule
from potentials.schema import ForceField, ForceFieldError

GEOMETRY_STEP = 1e-6
SLOPE_EV = 1e-8
NEWTON_STEPS, NEWTON_PROBE, LONGEST_STEP = 25, 1e-5, 0.05
FARTHEST = 0.05
"""The relaxed lattice parameter is sought within this fraction of where the search starts."""
C_OVER_A, OXYGEN_HEIGHT = 1.225, 0.1950  # of LiOH, where the search starts
PATTERNS = {
    # prototype: (formula pattern, which group names the molecule)
    "antiperovskite": r"(?P<cation>[A-Z][a-z]?)3(?P<anion>[A-Z][a-z]?)(?P<molecule>\w+)",
    "rocksalt": r"(?P<cation>[A-Z][a-z]?)(?P<molecule>\w+)",
    "lioh": r"(?P<cation>[A-Z][a-z]?)(?P<molecule>\w+)",
}


def molecule_in(force_field: ForceField, prototype: str, formula: str) -> Molecule | None:
    """Return the molecule in a formula such as ``Na3OBH4``, or None if there is none."""
    match = re.fullmatch(PATTERNS.get(prototype, r"(?P<molecule>.*)"), formula)
    return None if match is None else force_field.molecules.get(match["molecule"])


def relaxed_molecular_crystal(
    force_field: ForceField,
    prototype: str,
    formula: str,
    *,
    near_A: float,
    calculator_for: Callable[[ForceField], Calculator],
) -> dict[str, float]:
    """Return lattice parameters, energy and bond length of an ordered molecular crystal at rest, 0 K.

    Parameters
    ----------
    force_field, prototype, formula
        "antiperovskite" (Na3OBH4: the molecule on the cage site, all alike), "rocksalt" (NaBH4, likewise) or
        "lioh" (P4/nmm).
    near_A
        Lattice parameter a to start from, Å.
    calculator_for
        Makes an ASE calculator with analytic stress from a force field.

    Returns
    -------
    dict
        `lattice_parameter_A`, `energy_per_formula_unit_eV`, `bond_length_A` (of the molecule's first bond),
        and for "lioh" `lattice_parameter_c_A`. The molecules breathe but keep their orientation and centre,
        which symmetry allows for BH4-; for NO2- it is a stated constraint. In "lioh" O and H move along c.

    Raises
    ------
    ForceFieldError
        If no minimum is found within 5 % of `near_A`.
    """
    molecule = molecule_in(force_field, prototype, formula)
    calculator = calculator_for(force_field)
    build, start = _builder(force_field, prototype, formula, molecule, near_A)

    def slope(values):
        atoms = build(values)
        atoms.calc = calculator
        forces = atoms.get_forces()
        stress = voigt_6_to_full_3x3_stress(atoms.get_stress()) * atoms.get_volume()
        slopes = np.empty(len(values))
        for k, step in enumerate(GEOMETRY_STEP * np.eye(len(values))):
            up, down = build(values + step), build(values - step)
            strain = np.linalg.solve(atoms.cell.array, up.cell.array - down.cell.array)
            moved = up.positions - down.positions - atoms.positions @ strain
            slopes[k] = (np.sum(stress * strain) - np.sum(forces * moved)) / (2.0 * GEOMETRY_STEP)
        return slopes

    values = _newton(slope, start)
    a = float(values[0])
    if values is start or abs(a / near_A - 1.0) > FARTHEST:
        raise ForceFieldError(
            f"{force_field.name}: {formula} ({prototype}) finds no rest within {FARTHEST:.0%} of "
            f"a = {near_A:g} Å"
        )
    atoms = build(values)
    atoms.calc = calculator
    units = {"antiperovskite": 1, "rocksalt": 1, "lioh": 2}[prototype]
    i, j = molecule.bonded_pairs[0]
    first = len(atoms) - molecule.n_atoms
    result = {
        "lattice_parameter_A": a,
        "energy_per_formula_unit_eV": float(atoms.get_potential_energy()) / units,
        "bond_length_A": float(np.linalg.norm(atoms.positions[first + i] - atoms.positions[first + j])),
    }
    if prototype == "lioh":
        result["lattice_parameter_c_A"] = float(values[1])
    return result


def _newton(slope, values):
    """Return where `slope` vanishes, from `values` on; `values` themselves where the search does not end."""
    start = values
    for _ in range(NEWTON_STEPS):
        here = slope(values)
        if np.abs(here).max() < SLOPE_EV:
            return values
        bend = np.array(
            [(slope(values + h) - here) / NEWTON_PROBE for h in NEWTON_PROBE * np.eye(len(values))]
        )
        step = np.linalg.solve(0.5 * (bend + bend.T), here)
        values = values - step * min(1.0, LONGEST_STEP / np.abs(step).max())
    return start


def _builder(force_field, prototype, formula, molecule, near_A):
    """Return (function of the free lengths, where they start)."""
    match = re.fullmatch(PATTERNS[prototype], formula)
    shape = _centred(molecule)
    if prototype == "lioh":
        if molecule.n_atoms != 2:
            raise ForceFieldError(f"formula {formula!r} does not fit the prototype 'lioh' (two-atom anions)")
        length = float(np.linalg.norm(shape[1] - shape[0]))

        def layers(values):
            a, c, z, bond = values
            atoms = Atoms(cell=[a, a, c], pbc=True)
            atoms += Atoms([match["cation"]] * 2, positions=[[0, 0, 0], [a / 2, a / 2, 0]])
            for x, y, sign in ((0.0, a / 2, 1.0), (a / 2, 0.0, -1.0)):
                heights = sign * np.array([z * c, z * c + bond])
                atoms += Atoms(molecule.elements, positions=[[x, y, h] for h in heights])
            return atoms

        return layers, np.array([near_A, C_OVER_A * near_A, OXYGEN_HEIGHT, length])
    if prototype == "antiperovskite":
        sites = [(match["cation"], s) for s in ((0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5))]
        sites.append((match["anion"], (0.5, 0.5, 0.5)))
        lattice = np.eye(3)
    else:
        sites = [(match["cation"], (0.5, 0.5, 0.5))]
        lattice = 0.5 * (1.0 - np.eye(3))

    def cubic(values):
        a, breathing = values
        atoms = Atoms(
            [symbol for symbol, _ in sites],
            scaled_positions=[site for _, site in sites],
            cell=a * lattice,
            pbc=True,
        )
        return atoms + Atoms(molecule.elements, positions=breathing * shape)

    return cubic, np.array([near_A, 1.0])


def _centred(molecule: Molecule) -> np.ndarray:
    """Return the rest geometry about its centre of mass, Å."""
    masses = np.array([atomic_masses[atomic_numbers[element]] for element in molecule.elements])
    return molecule.geometry_A - masses @ molecule.geometry_A / masses.sum()
