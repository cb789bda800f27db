"""The checks that come before any run: what a recipe's system must be to be simulated as asked."""

import math

import numpy as np

from simtools.analysers.rotation import parse_anion
from simtools.core.errors import ConfigError
from simtools.core.periodic import cell_heights_A
from simtools.defects.kroger_vink import ions_of
from workflows.counterfactual_tables import check_counterfactuals, variants_of
from workflows.systems import (
    build_cell,
    build_perfect_cell,
    first_lattice_parameter_A,
    hop_length_A,
    net_formal_charge_e,
)
from workflows.values import shown, suggestion

__all__ = ["SHORTEST_HEIGHT_A", "check_recipe"]

SHORTEST_HEIGHT_A = 10.0
HEIGHT_IN_HOPS = 2.0


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
    guess = lattice_parameter_A or first_lattice_parameter_A(recipe, forces)
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
        _check_external(recipe, forces, cell)
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


def _check_external(recipe, forces, cell):
    """Load the calculator once: a missing package is said now, not in every worker."""
    try:
        calculator = forces.calculator()
        forces.check_elements(cell.get_chemical_symbols(), calculator=calculator)
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
