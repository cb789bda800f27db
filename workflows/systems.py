"""From a recipe's tables to atoms: cells, their lattice parameters, and what a report says of them.

This is where the two halves of the house meet: structures and defects on one side, potentials on the other.
Forces are in forces.py, the checks that come before any run in system_checks.py.
"""

import math

import numpy as np

from potentials.topology import set_topology, species_labels
from simtools.analysers.replicas import default_host
from simtools.core.errors import ConfigError
from simtools.defects import DefectRequest, build_defects
from simtools.structures import build_prototype, build_supercell, relax_lattice_parameter
from workflows.molecular import (
    build_molecular_cell,
    framework_species,
    guess_lattice_parameter_A,
    is_molecular,
    molecules_of,
    with_vacant_sites,
)

__all__ = [
    "GUESSES_A",
    "build_cell",
    "build_perfect_cell",
    "describe_system",
    "first_lattice_parameter_A",
    "hop_length_A",
    "host_species",
    "net_formal_charge_e",
    "relaxed_lattice_parameter_A",
    "start_lattice_parameter_A",
    "warm_up",
]

_FORCE_FIELD_PROTOTYPES = {"cubic": "antiperovskite"}
GUESSES_A = {
    "cubic": 4.2,
    "lioh": 3.55,
    "fcc": 5.4,
    "rocksalt": 5.6,
    "cscl": 4.1,
    "antifluorite": 4.6,
    "l1_0": 5.4,
}


def build_perfect_cell(structure, lattice_parameter_A, forces=None, *, seed=0):
    """Return the perfect supercell of a [structure] table at `lattice_parameter_A`.

    With `forces` the formula may hold molecular anions, which are placed and turned by `seed`.
    """
    if forces is not None and is_molecular(structure, forces):
        return build_molecular_cell(structure, forces, lattice_parameter_A=lattice_parameter_A, seed=seed)
    options = {"anion_centre": structure["anion_centre"]} if "anion_centre" in structure else {}
    unit = build_prototype(
        structure["prototype"], structure["formula"], lattice_parameter_A=lattice_parameter_A, **options
    )
    return build_supercell(unit, tuple(structure["supercell"]))


def build_cell(structure, defects, forces, *, lattice_parameter_A, seed):
    """Return the simulation cell: the perfect supercell with its defects.

    Parameters
    ----------
    structure, defects
        The tables of the recipe or of a point's inputs.
    forces
        Its `Forces`: their formal charges decide whether the cell is neutral.
    lattice_parameter_A
        Å.
    seed
        Of the placement, and of the orientation of molecules.
    """
    perfect = build_perfect_cell(structure, lattice_parameter_A, forces, seed=seed)
    cell = build_defects(
        perfect,
        [DefectRequest(**row) for row in defects],
        formal_charges_e=forces.formal_charges_e,
        net_charge=forces.table.get("net_charge"),
        seed=seed,
    )
    if forces.force_field is not None:
        set_topology(forces.force_field, cell)
    return with_vacant_sites(cell, perfect)


def hop_length_A(structure, mobile, lattice_parameter_A, forces=None):
    """Return the distance between nearest sites of `mobile` in the perfect crystal, Å."""
    if forces is not None and is_molecular(structure, forces):
        return lattice_parameter_A / math.sqrt(2.0)  # of the cations in every prototype that holds molecules
    unit = build_perfect_cell({**structure, "supercell": [2, 2, 2]}, lattice_parameter_A)
    sites = np.flatnonzero(np.asarray(unit.get_chemical_symbols()) == mobile)
    distances = unit.get_distances(sites[0], sites[1:], mic=True)
    return float(distances.min())


def start_lattice_parameter_A(recipe, forces):
    """Return where the cell starts, Å: the force field's own regression value, else a relaxation.

    It only has to be near: the volume stage finds the mean at temperature. Rounded to 1e-6 Å so that
    machines agree on the hash of what follows.
    """
    structure = recipe.to_dict()["structure"]
    if is_molecular(structure, forces):
        return guess_lattice_parameter_A(structure, forces)
    prototype = _FORCE_FIELD_PROTOTYPES.get(structure["prototype"], structure["prototype"])
    if forces.force_field is not None:
        for row in forces.force_field.regression:
            if (row.quantity, row.prototype, row.formula) == (
                "lattice_parameter_A",
                prototype,
                structure["formula"],
            ):
                return round(float(row.value), 6)
    return relaxed_lattice_parameter_A(recipe, forces)


def relaxed_lattice_parameter_A(recipe, forces):
    """Return the lattice parameter of the perfect unit cell without pressure, rounded to 1e-6 Å."""
    structure = recipe.to_dict()["structure"]
    relaxation = relax_lattice_parameter(
        lambda a: build_perfect_cell({**structure, "supercell": [1, 1, 1]}, a),
        forces.calculator(),
        guess_A=GUESSES_A[structure["prototype"]],
    )
    return round(relaxation.a_A, 6)


def first_lattice_parameter_A(recipe, forces):
    """Return a lattice parameter good enough for checks that come before anything is computed."""
    asked = recipe.md.lattice_parameter_A
    if asked is not None:
        return min(asked) if isinstance(asked, tuple) else asked
    if forces.force_field is not None:
        for row in forces.force_field.regression:
            if row.quantity == "lattice_parameter_A" and row.formula == recipe.structure.formula:
                return row.value
    structure = recipe.to_dict()["structure"]
    try:
        molecular = is_molecular(structure, forces)
    except ConfigError as error:
        raise ConfigError(f"{recipe.source}: [structure] {error}") from error
    if molecular:
        return guess_lattice_parameter_A(structure, forces)
    return GUESSES_A[recipe.structure.prototype]


def warm_up(recipe, forces):
    """Compile what the dynamics will call, so that the workers find it in the cache."""
    resolved = recipe.to_dict()
    cell = build_cell(
        resolved["structure"],
        resolved.get("defects", []),
        forces,
        lattice_parameter_A=first_lattice_parameter_A(recipe, forces),
        seed=recipe.md.seed,
    )
    if forces.force_field is None or forces.in_lammps:
        return
    cell.calc = forces.calculator()
    cell.get_forces()
    if recipe.md.lattice_parameter_A is None:
        cell.get_stress()


def net_formal_charge_e(atoms, forces):
    """Return the sum of the formal charges of `atoms`, e."""
    charges = forces.formal_charges_e
    return sum(charges[symbol] for symbol in atoms.get_chemical_symbols())


def describe_system(recipe, forces, cell):
    """Return what was simulated, as the report tells it: composition, cell, charge, forces."""
    symbols = cell.get_chemical_symbols()
    description = {
        "formula": recipe.structure.formula,
        "prototype": recipe.structure.prototype,
        "supercell": list(recipe.structure.supercell),
        "n_atoms": len(cell),
        "composition": {symbol: symbols.count(symbol) for symbol in sorted(set(symbols))},
        "n_defects": len(cell.info.get("defects", [])),
        "net_charge_e": net_formal_charge_e(cell, forces),
        "formal_charges_e": forces.formal_charges_e,
        "hop_length_A": recipe.analysis.hop_length_A
        or hop_length_A(
            recipe.to_dict()["structure"],
            recipe.analysis.mobile,
            float(np.linalg.norm(cell.cell[0])) / recipe.structure.supercell[0],
            forces,
        ),
        "host": list(host_species(recipe, symbols, forces)),
        "potential": forces.identity(),
    }
    if forces.force_field is not None:
        field = forces.force_field
        description["potential"].update(
            version=field.version,
            description=field.description,
            low_confidence=[
                {
                    "subject": row.subject,
                    "group": row.group,
                    "name": row.name,
                    "value": row.value,
                    "unit": row.unit,
                    "source": row.source,
                    "confidence": row.confidence,
                }
                for row in field.low_confidence(sorted(set(species_labels(field, cell))))
            ],
        )
    return description


def host_species(recipe, symbols, forces):
    """Return the species whose drift is removed: as asked, else those charged opposite to the mobile one.

    Of molecular anions only the centres count: the rest turns.
    """
    if recipe.analysis.host is not None:
        return recipe.analysis.host
    host = default_host(recipe.analysis.mobile, symbols, forces.formal_charges_e)
    present = [molecule for molecule in molecules_of(forces) if set(molecule.elements) <= set(symbols)]
    if forces.force_field is None or not present:
        return host
    return framework_species(host, present)
