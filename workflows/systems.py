"""From a recipe's tables to atoms and forces, and the checks that come before any run.

This is where the two halves of the house meet: structures and defects on one side, potentials on the other.
"""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from potentials.schema import ForceField, load_force_field
from potentials.topology import set_topology, species_labels
from simtools.analysers.replicas import default_host
from simtools.analysers.rotation import parse_anion
from simtools.core.errors import ConfigError
from simtools.core.periodic import cell_heights_A
from simtools.defects import DefectRequest, build_defects
from simtools.defects.kroger_vink import ions_of
from simtools.structures import build_prototype, build_supercell, relax_lattice_parameter
from workflows.counterfactual_tables import check_counterfactuals, variants_of
from workflows.molecular import (
    build_molecular_cell,
    framework_species,
    guess_lattice_parameter_A,
    is_molecular,
    molecules_of,
    with_vacant_sites,
)
from workflows.values import shown, suggestion

__all__ = [
    "SHORTEST_HEIGHT_A",
    "Forces",
    "build_cell",
    "check_recipe",
    "describe_system",
    "forces_of",
    "start_lattice_parameter_A",
]

SHORTEST_HEIGHT_A = 10.0
HEIGHT_IN_HOPS = 2.0
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
DEFAULT_ACCURACY = 1e-4


@dataclass(frozen=True)
class Forces:
    """The forces of a recipe: a force field of ours, or somebody else's calculator by name."""

    table: dict
    force_field: ForceField | None

    @property
    def formal_charges_e(self):
        """Integer formal charges by species, e."""
        if self.force_field is None:
            return dict(self.table["formal_charges_e"])
        return self.force_field.element_formal_charges_e

    def identity(self):
        """Return what fixes the forces, for the hash of a point: no path, but the file's SHA-256."""
        if self.force_field is None:
            identity = dict(sorted(self.table.items()))
            if "model" in identity:
                identity["model_sha256"] = hashlib.sha256(Path(identity["model"]).read_bytes()).hexdigest()
            return identity
        identity = {
            "name": self.force_field.name,
            "sha256": self.force_field.sha256,
            "engine": "lammps" if self.in_lammps else "embedded",
            "accuracy": self.table.get("accuracy", DEFAULT_ACCURACY),
        }
        if self.in_lammps:
            identity["lammps_version"] = self.table.get("lammps_version") or self._lammps_version()
        if "net_charge" in self.table:
            identity["net_charge"] = self.table["net_charge"]
        return identity

    @property
    def in_lammps(self):
        """Whether LAMMPS runs the dynamics."""
        return self.table.get("engine") == "lammps"

    def _lammps_version(self):
        from potentials.lammps_process import find_lammps

        return find_lammps().version

    def engine(self, *, mpi_ranks=None):
        """Return what runs the dynamics: a new ASE calculator, or LAMMPS on `mpi_ranks` processes.

        Raises
        ------
        LammpsUnavailableError
            If LAMMPS is asked for and cannot be started here.
        """
        if not self.in_lammps:
            return self.calculator()
        from potentials.lammps_dynamics import LammpsEngine

        return LammpsEngine(
            self.force_field,
            mpi_ranks=mpi_ranks or self.table.get("mpi_ranks", 1),
            accuracy=self.table.get("accuracy", DEFAULT_ACCURACY),
            net_charge=self.table.get("net_charge"),
        )

    def calculator(self):
        """Return a new ASE calculator: of a force field of ours, that of the embedded engine."""
        if self.force_field is None:
            from potentials.external import external_calculator

            given = {key: self.table[key] for key in ("model", "options") if key in self.table}
            return external_calculator(self.table["calculator"], **given)
        from potentials.calculator import IonicCalculator

        return IonicCalculator(
            self.force_field,
            accuracy=self.table.get("accuracy", DEFAULT_ACCURACY),
            net_charge=self.table.get("net_charge"),
        )


def forces_of(table, *, where="", path=None, relative_to=None):
    """Return the `Forces` of a [potential] table.

    Parameters
    ----------
    table
        Keys of `workflows.recipe.PotentialTable`, absent ones left out.
    where
        Start of error messages: the recipe's name and table.
    path
        Force-field file to read instead of the one `table` names (the copy in a run directory).
    relative_to
        Folder that a relative path in `table` starts from.
    """
    table = dict(table)
    if "name" not in table:
        return Forces(_checked_calculator(table, where, relative_to), None)
    name = path or table["name"]
    try:
        if relative_to is not None and (Path(relative_to) / name).is_file():
            name = Path(relative_to) / name
        force_field = load_force_field(str(name))
    except (ConfigError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{where}name = {shown(table['name'])}: {reason}") from error
    if not force_field.is_charged and "net_charge" in table:
        raise ConfigError(
            f"{where}net_charge = {shown(table['net_charge'])}: has no effect: the "
            f"ions of {force_field.name!r} carry no charges; remove it"
        )
    return Forces(table, force_field)


def _checked_calculator(table, where, relative_to):
    """Return the table of an external calculator with its model's absolute path."""
    from potentials.external import list_external_calculators

    known = list_external_calculators()
    if table["calculator"] not in known:
        hint = suggestion(table["calculator"], known)
        raise ConfigError(f"{where}calculator = {shown(table['calculator'])}: unknown{hint}")
    if "model" in table:
        path = (Path(relative_to or ".") / table["model"]).resolve()
        if not path.is_file():
            raise ConfigError(f"{where}model = {shown(table['model'])}: no such file")
        table["model"] = str(path)
    return table


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
    return _relaxed_lattice_parameter_A(recipe, forces)


def _relaxed_lattice_parameter_A(recipe, forces):
    structure = recipe.to_dict()["structure"]
    relaxation = relax_lattice_parameter(
        lambda a: build_perfect_cell({**structure, "supercell": [1, 1, 1]}, a),
        forces.calculator(),
        guess_A=GUESSES_A[structure["prototype"]],
    )
    return round(relaxation.a_A, 6)


def check_recipe(recipe, forces, *, lattice_parameter_A=None):
    """Refuse a recipe whose system cannot be simulated as asked; return a cell like those to be run.

    Parameters
    ----------
    recipe, forces
        What was asked for.
    lattice_parameter_A
        Å; by default one that is near enough to check with before anything is computed.

    Raises
    ------
    ConfigError
        For species the force field does not know, a mobile species that is not there, a charge that does not
        close, NPT with a charged cell, a cell too small.
    """
    source = recipe.source
    resolved = recipe.to_dict()
    structure = resolved["structure"]
    guess = lattice_parameter_A or _first_lattice_parameter_A(recipe, forces)
    try:
        perfect = build_perfect_cell(structure, guess, forces, seed=recipe.md.seed)
    except ConfigError as error:
        raise ConfigError(f"{source}: [structure] {error}") from error
    present = sorted(set(perfect.get_chemical_symbols()))
    known = sorted(forces.formal_charges_e)
    for symbol in present:
        if symbol not in known:
            raise ConfigError(
                f"{source}: [structure] formula = {structure['formula']!r} contains {symbol}, which "
                f"{forces.table.get('name', 'formal_charges_e')!r} does not know{suggestion(symbol, known)}"
            )
    _check_analysis(recipe, present)
    for i, row in enumerate(resolved.get("defects", [])):
        _check_ions(row, f"{source}: [defects.{i}]", structure["formula"], present, forces)
    _check_size(recipe, perfect, guess, forces)
    try:
        cell = build_cell(
            structure, resolved.get("defects", []), forces, lattice_parameter_A=guess, seed=recipe.md.seed
        )
    except ConfigError as error:
        raise ConfigError(f"{source}: [[defects]] {error}") from error
    if recipe.analysis.mobile not in cell.get_chemical_symbols():
        raise ConfigError(f"{source}: [[defects]] leave no {recipe.analysis.mobile} in the cell")
    for key in ("rigid_molecules", "cone_restraint_deg"):
        wanted = getattr(recipe.md, key)
        if wanted and not np.any(cell.arrays.get("molecule_id", np.array([-1])) >= 0):
            shown = "true" if wanted is True else f"{wanted:g}"
            raise ConfigError(
                f"{source}: [md] {key} = {shown}: {structure['formula']} holds no molecules; remove it"
            )
    check_counterfactuals(recipe, cell)
    _check_charged_volume(recipe, forces, cell)
    if forces.in_lammps:
        _check_lammps(recipe, forces)
    if forces.force_field is None and lattice_parameter_A is None:
        _check_external(recipe, forces)
    return cell


def _check_ions(row, where, formula, present, forces):
    """Refuse defects of ions that the crystal does not have, or the forces do not know."""
    comes_in = row["kind"] in ("interstitial", "dopant", "substitution")
    hosts = {"species": [] if comes_in else row.get("species", [])}
    hosts |= {key: [row[key]] for key in ("on", "compensating_species") if key in row}
    for key, symbols in hosts.items():
        for symbol in symbols:
            if symbol not in present:
                hint = suggestion(symbol, present)
                raise ConfigError(f"{where} {key} = {shown(row[key])}: no {symbol} in {formula}{hint}")
    known = sorted(forces.formal_charges_e)
    for ion in row.get("species", []) if comes_in else []:
        for symbol in ions_of(ion):
            if symbol not in known:
                field = forces.table.get("name", "formal_charges_e")
                raise ConfigError(
                    f"{where} species = {row['species']}: {field!r} does not know {symbol}"
                    f"{suggestion(symbol, known)}"
                )


def warm_up(recipe, forces):
    """Compile what the dynamics will call, so that the workers find it in the cache."""
    resolved = recipe.to_dict()
    cell = build_cell(
        resolved["structure"],
        resolved.get("defects", []),
        forces,
        lattice_parameter_A=_first_lattice_parameter_A(recipe, forces),
        seed=recipe.md.seed,
    )
    if forces.force_field is None or forces.in_lammps:
        return
    cell.calc = forces.calculator()
    cell.get_forces()
    if recipe.md.lattice_parameter_A is None:
        cell.get_stress()


def build_for_export(recipe):
    """Return the simulation cell of a recipe: at its first lattice parameter, else the relaxed one."""
    forces = forces_of(
        recipe.to_dict()["potential"],
        where=f"{recipe.source}: [potential] ",
        relative_to=recipe.source.parent,
    )
    check_recipe(recipe, forces)
    lattice = recipe.md.lattice_parameter_at(recipe.md.temperatures_K[0])
    resolved = recipe.to_dict()
    return build_cell(
        resolved["structure"],
        resolved.get("defects", []),
        forces,
        lattice_parameter_A=lattice or _export_lattice_parameter_A(recipe, forces),
        seed=recipe.md.seed,
    )


def _export_lattice_parameter_A(recipe, forces):
    structure = recipe.to_dict()["structure"]
    if is_molecular(structure, forces):
        return guess_lattice_parameter_A(structure, forces)
    return _relaxed_lattice_parameter_A(recipe, forces)


def write_cell(atoms, path):
    """Write a cell with ASE, the format by the file's suffix.

    Raises
    ------
    ConfigError
        If the suffix names no format that ASE writes, or the file cannot be written.
    """
    from ase.io import write
    from ase.io.formats import UnknownFileTypeError

    try:
        write(path, atoms)
    except (UnknownFileTypeError, LookupError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{path}: ASE cannot write a crystal in the format of this suffix ({error}); try .extxyz, .cif "
            "or .vasp"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error


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


def _first_lattice_parameter_A(recipe, forces):
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


def _check_lammps(recipe, forces):
    """Refuse what LAMMPS is not asked to do; a missing LAMMPS is said now, not in every worker."""
    from potentials.lammps_commands import check_stage
    from potentials.lammps_library import LammpsUnavailableError

    md = recipe.md
    given = [
        f'[[counterfactual]] kind = "{item.kind}" with rigid_molecules'
        for item in variants_of(recipe)
        if item.kind == "frozen_framework" and md.rigid_molecules
    ]
    if md.rigid_molecules or any(item.md.get("rigid_molecules") for item in variants_of(recipe)):
        given += ['[md] thermostat = "nose-hoover" with rigid_molecules'] * (md.thermostat == "nose-hoover")
        given += ["[md] rigid_molecules without lattice_parameter_A"] * (md.lattice_parameter_A is None)
        given += ["[md] rigid_molecules with the shells of this force field"] * bool(
            forces.force_field.shells
        )
    if given:
        raise ConfigError(
            f'{recipe.source}: {given[0]}: not available with engine = "lammps"; leave engine out for the '
            "embedded engine"
        )
    try:
        check_stage(forces.force_field, md.timestep_fs)
        engine = forces.engine()
    except LammpsUnavailableError as error:
        raise ConfigError(f'{recipe.source}: [potential] engine = "lammps": {error}') from error
    except ConfigError as error:
        raise ConfigError(f"{recipe.source}: [md] {error}") from error
    if engine.has_rigid_molecules and not md.rigid_molecules:
        raise ConfigError(
            f"{recipe.source}: [potential] name = {forces.table['name']!r}: has rigid molecules; give "
            "rigid_molecules = true in [md]"
        )


def _check_external(recipe, forces):
    """Load the calculator once: a missing package is said now, not in every worker."""
    try:
        calculator = forces.calculator()
    except ConfigError as error:
        raise ConfigError(f"{recipe.source}: [potential] {error}") from error
    if recipe.md.lattice_parameter_A is None and "stress" not in calculator.implemented_properties:
        raise ConfigError(
            f"{recipe.source}: [potential] calculator = {forces.table['calculator']!r} gives no stress, "
            "which the volume stage needs; give [md] lattice_parameter_A"
        )


def _check_analysis(recipe, present):
    source, analysis = recipe.source, recipe.analysis
    for key, symbols in (("mobile", (analysis.mobile,)), ("host", analysis.host or ())):
        for symbol in symbols:
            if symbol not in present:
                raise ConfigError(
                    f"{source}: [analysis] {key} = {shown(symbol)}: not in {recipe.structure.formula}"
                    f"{suggestion(symbol, present)}"
                )
    for anion in analysis.anions or ():
        centre, ligands, _ = parse_anion(anion)
        for symbol in (centre, *ligands):
            if symbol not in present:
                raise ConfigError(
                    f"{source}: [analysis] anions = {shown(anion)}: there is no {symbol} in "
                    f"{recipe.structure.formula}{suggestion(symbol, present)}"
                )


def _check_size(recipe, perfect, lattice_parameter_A, forces):
    structure = recipe.to_dict()["structure"]
    height = float(min(cell_heights_A(np.asarray(perfect.cell))))
    hop = hop_length_A(structure, recipe.analysis.mobile, lattice_parameter_A, forces)
    needed = max(SHORTEST_HEIGHT_A, HEIGHT_IN_HOPS * hop)
    if height < needed:
        repeats = [max(n, math.ceil(needed / lattice_parameter_A - 1e-9)) for n in structure["supercell"]]
        raise ConfigError(
            f"{recipe.source}: [structure] supercell = {structure['supercell']} is {height:.1f} Å at its "
            f"shortest: MD needs {needed:.1f} Å ({SHORTEST_HEIGHT_A:g} Å and two hops of {hop:.2f} Å), "
            f"such as {repeats}"
        )


def _check_charged_volume(recipe, forces, cell):
    charge = net_formal_charge_e(cell, forces)
    if charge and recipe.md.volume_from == "cell":
        raise ConfigError(
            f"{recipe.source}: [md] volume_from = 'cell': the cell carries {charge:+d} e, and a "
            'charged cell has no pressure for NPT; give volume_from = "perfect_crystal" (the volume of the '
            "neutral host) or lattice_parameter_A"
        )
