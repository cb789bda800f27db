"""Recipes with molecular anions: which formulas hold them, their shapes, and the framework they leave.

The crystals are built in `simtools.structures.molecular`; forces on molecules are the potentials' business.
"""

import numpy as np
from ase.data import atomic_masses

from potentials.templates import list_templates, load_template
from simtools.core.errors import ConfigError
from simtools.structures import build_molecular_crystal, has_molecules, parse_molecular_formula
from workflows.values import shown

__all__ = [
    "MOLECULAR_PROTOTYPES",
    "build_molecular_cell",
    "framework_species",
    "guess_lattice_parameter_A",
    "held_framework",
    "is_molecular",
    "molecules_of",
    "with_molecular_masses",
    "with_vacant_sites",
]

MOLECULAR_PROTOTYPES = ("cubic", "rocksalt", "lioh")
_CUBIC_GUESSES_A = {"Li": 3.93, "Na": 4.6}
_GUESSES_A = {"cubic": 4.6, "rocksalt": 6.15, "lioh": 3.55}


def molecules_of(forces):
    """Return the molecular anions that forces may act on: those of the force field, or all shipped shapes."""
    if forces.force_field is not None:
        return list(forces.force_field.molecules.values())
    return [load_template(name).molecule for name in list_templates()]


def is_molecular(structure, forces):
    """Return whether a [structure] table asks for molecular anions; refuse those the forces do not know."""
    formula, prototype = structure["formula"], structure["prototype"]
    known = {molecule.name: molecule for molecule in molecules_of(forces)}
    if prototype in MOLECULAR_PROTOTYPES and has_molecules(formula, known):
        return True
    every = {}
    for name in list_templates():
        molecule = load_template(name).molecule
        every[molecule.name] = molecule
    if forces.force_field is not None and has_molecules(formula, every):
        held = parse_molecular_formula(formula, every).molecules
        has = ", ".join(known) or "none"
        raise ConfigError(
            f"formula = {shown(formula)} holds {', '.join(held)}, for which {forces.force_field.name!r} has "
            f"no molecule (it has {has}); choose another force field"
        )
    if "orientations" in structure:
        raise ConfigError(
            f"orientations = {shown(structure['orientations'])}: {formula} holds no molecular anions to "
            "turn; remove it"
        )
    return False


def build_molecular_cell(structure, forces, *, lattice_parameter_A, seed):
    """Return the supercell of a [structure] table with molecular anions."""
    if "anion_centre" in structure:
        raise ConfigError(
            f"anion_centre = {shown(structure['anion_centre'])}: has no meaning with molecular anions; "
            "remove it"
        )
    return build_molecular_crystal(
        structure["formula"],
        molecules_of(forces),
        prototype=structure["prototype"],
        lattice_parameter_A=lattice_parameter_A,
        supercell=tuple(structure["supercell"]),
        orientations=structure.get("orientations", "best-packed"),
        seed=seed,
    )


def with_vacant_sites(atoms, perfect):
    """Add the sites that charge balance leaves empty to the lattice sites, in place; return `atoms`."""
    vacant = perfect.info.get("vacant_sites", {"species": []})
    if vacant["species"]:
        sites = atoms.info["lattice_sites"]
        atoms.info["lattice_sites"] = {
            "species": [*sites["species"], *vacant["species"]],
            "scaled_positions": [*sites["scaled_positions"], *vacant["scaled_positions"]],
        }
    return atoms


def guess_lattice_parameter_A(structure, forces):
    """Return where a molecular crystal starts, Å: a regression value of this formula, else the usual one."""
    formula, prototype = structure["formula"], structure["prototype"]
    if forces.force_field is not None:
        for row in forces.force_field.regression:
            if (row.quantity, row.formula) == ("lattice_parameter_A", formula):
                return round(float(row.value), 6)
    known = {molecule.name: molecule for molecule in molecules_of(forces)}
    cation = parse_molecular_formula(formula, known).cation
    return (
        _CUBIC_GUESSES_A.get(cation, _GUESSES_A["cubic"]) if prototype == "cubic" else _GUESSES_A[prototype]
    )


def framework_species(species, molecules):
    """Return host species without the elements that only turn about the centre of a molecule.

    The centre stands for its molecule: B for borohydride, whose hydrogens rotate.
    """
    centres, turning = set(), set()
    for molecule in molecules:
        bonds = molecule.bonded_pairs
        n_bonds = [sum(k in pair for pair in bonds) for k in range(molecule.n_atoms)]
        centre = n_bonds.index(max(n_bonds))
        centres.add(molecule.elements[centre])
        turning |= {element for k, element in enumerate(molecule.elements) if k != centre}
    fixed = {name for name in species if name not in turning or name in centres}
    return tuple(sorted(fixed | centres))


def held_framework(atoms, mobile):
    """Return the atoms of the framework: every ion by itself that is not mobile, and each molecule's centre.

    The centre is the atom nearest to the centre of mass (usual masses): O of OH-, B of BH4-, N of NO2-.

    Parameters
    ----------
    atoms
        With ``molecule_id`` where there are molecules.
    mobile
        Species that stays free.

    Returns
    -------
    tuple of int
    """
    identity = atoms.arrays.get("molecule_id", np.full(len(atoms), -1))
    symbols = np.array(atoms.get_chemical_symbols())
    held = np.flatnonzero((identity < 0) & (symbols != mobile)).tolist()
    masses = atomic_masses[atoms.numbers]
    for molecule in np.unique(identity[identity >= 0]):
        members = np.flatnonzero(identity == molecule)
        arms = atoms.get_distances(members[0], members, mic=True, vector=True)
        away = np.linalg.norm(arms - np.average(arms, axis=0, weights=masses[members]), axis=1)
        held.append(int(members[np.argmin(away)]))
    return tuple(sorted(held))


def with_molecular_masses(atoms, masses_amu, *, spread_over_n=None):
    """Give atoms of molecules other masses, in place.

    Parameters
    ----------
    atoms
        With ``molecule_id``.
    masses_amu
        {species: amu}, for atoms of molecules only.
    spread_over_n
        Masses of all atoms, shape (n_atoms,): each molecule gets the total that `masses_amu` gives it, shared
        among its atoms in proportion to these. By default `masses_amu` stands as it is.

    Raises
    ------
    ConfigError
        If no molecule holds one of the species.
    """
    identity = atoms.arrays.get("molecule_id", np.full(len(atoms), -1))
    symbols = np.array(atoms.get_chemical_symbols())
    masses = atoms.get_masses()
    for name, mass in masses_amu.items():
        chosen = (identity >= 0) & (symbols == name)
        if not chosen.any():
            raise ConfigError(f"masses_amu: no molecule holds {name}; name an element of a molecule")
        masses[chosen] = mass
    if spread_over_n is not None:
        for molecule in np.unique(identity[identity >= 0]):
            members = identity == molecule
            masses[members] = spread_over_n[members] * masses[members].sum() / spread_over_n[members].sum()
    atoms.set_masses(masses)
