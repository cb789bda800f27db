"""Rotating anions in our own runs: which there are, what is analysed of them, what ``summary.json`` says."""

from simtools.analysers.rotation_arrhenius import fit_rotation_arrhenius
from simtools.analysers.rotor_study import study_rotors
from simtools.core.errors import SimtoolsError
from simtools.structures import has_molecules, parse_molecular_formula
from workflows.molecular import MOLECULAR_PROTOTYPES, molecules_of

__all__ = [
    "anions_of",
    "rotation_blocks",
    "rotation_lines",
    "site_symmetry_of",
    "temperature_rotations",
]

_CUBIC_SITES = {"cubic": "m-3m"}


def anions_of(recipe, forces):
    """Return the formulas of the anions whose rotation is analysed: as asked, else those in the crystal."""
    if recipe.analysis.anions is not None:
        return recipe.analysis.anions
    formula = recipe.structure.formula
    known = {molecule.name: molecule for molecule in molecules_of(forces)}
    if recipe.structure.prototype not in MOLECULAR_PROTOTYPES or not has_molecules(formula, known):
        return ()
    return tuple(parse_molecular_formula(formula, known).molecules)


def site_symmetry_of(recipe):
    """Return the point group of the anions' sites for orientation maps; "1" where it is not known."""
    return _CUBIC_SITES.get(recipe.structure.prototype, "1")


def temperature_rotations(
    trajectories, *, anions, mobile, temperature_K, host_species, site_symmetry, notes, counterfactuals=None
):
    """Return one `RotorStudy` for each kind of anion at one temperature; why one is missing goes to `notes`.

    Parameters
    ----------
    trajectories
        Production trajectories of the replicas.
    anions
        Formulas, central atom first.
    mobile, temperature_K, host_species, site_symmetry
        As for `study_rotors`.
    notes
        List of warnings to extend.
    counterfactuals
        `simtools.analysers.verdict.Counterfactuals` at this temperature, or None.
    """
    found = []
    for anion in anions:
        options = {
            "anion": anion,
            "temperature_K": temperature_K,
            "host_species": host_species or None,
            "site_symmetry": site_symmetry,
        }
        try:
            study = study_rotors(trajectories, mobile=(mobile,), counterfactuals=counterfactuals, **options)
        except SimtoolsError as error:
            notes.append(f"{temperature_K:g} K: no coupling of {anion} and {mobile}: {error}")
            try:
                study = study_rotors(trajectories, **options)
            except SimtoolsError as failure:
                notes.append(f"{temperature_K:g} K: no rotation of {anion}: {failure}")
                continue
        found.append(study)
        notes += [f"{temperature_K:g} K: {note}" for note in study.warnings]
    return found


def rotation_lines(studies, arrhenius, notes):
    """Return one `RotationArrhenius` for each kind of anion that turned at two temperatures or more.

    Parameters
    ----------
    studies
        `RotorStudy` of every temperature.
    arrhenius
        `ArrheniusResult` of the mobile ion, or None.
    notes
        List of warnings to extend.
    """
    diffusion = None if arrhenius is None else arrhenius.tracer_activation_energy_eV
    lines = []
    for anion in dict.fromkeys(item.anion for item in studies):
        own = [item for item in studies if item.anion == anion and item.temperature_K is not None]
        if len({item.temperature_K for item in own}) < 2:
            continue
        try:
            line = fit_rotation_arrhenius(
                [item.temperature_K for item in own],
                [item.rotation.rates for item in own],
                [item.rotation.functions for item in own],
                diffusion=diffusion,
            )
        except SimtoolsError as error:
            notes.append(f"no activation energy of rotation of {anion}: {error}")
            continue
        lines.append(line)
        notes += line.warnings
    return lines


def rotation_blocks(studies, lines):
    """Return the blocks ``rotation``, ``coupling``, ``verdict`` and ``rotation_arrhenius``, if not empty."""
    blocks = {
        "rotation": [item.rotation_summary() for item in studies],
        "coupling": [entry for item in studies for entry in item.coupling_summaries()],
        "verdict": [entry for item in studies for entry in item.verdict_summaries()],
        "rotation_arrhenius": [item.to_summary() for item in lines],
    }
    return {name: entries for name, entries in blocks.items() if entries}
