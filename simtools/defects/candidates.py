"""Where a defect may sit: the symmetry-distinct starts for a label; the lowest in energy is the defect."""

from dataclasses import dataclass

from ase import Atoms

from simtools.core.errors import UnknownSpeciesError
from simtools.defects.dumbbells import dumbbell_orientations
from simtools.defects.insertion import PlacedDefect
from simtools.defects.kroger_vink import KrogerVink
from simtools.defects.sites import interstitial_sites
from simtools.structures.symmetry import CrystalSymmetry, crystal_symmetry, distinct_sites

__all__ = ["Candidate", "defect_candidates"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One start for a defect.

    Attributes
    ----------
    description
        Where it is, for a table: ``"Li site c"``, ``"Li site c: <100> across its axis"``.
    placed
        The defect in the conventional cell.
    multiplicity
        Equivalent places (and axes) in the conventional cell.
    """

    description: str
    placed: PlacedDefect
    multiplicity: int


def defect_candidates(
    label: KrogerVink,
    crystal: Atoms,
    *,
    separation_A: float,
    symmetry: CrystalSymmetry | None = None,
) -> tuple[Candidate, ...]:
    """Return the symmetry-distinct starts for a defect.

    Parameters
    ----------
    label
        Vacancy, substitution, interstitial, or dumbbell.
    crystal
        Conventional cell of the perfect crystal.
    separation_A
        Of the two ions of a dumbbell before relaxation, Å.
    symmetry
        Of `crystal`, where it is known already.

    Returns
    -------
    tuple of Candidate
        Vacancies and substitutions: one per distinct site. Interstitials: one per site that
        `interstitial_sites` finds. Dumbbells: one per distinct site and distinct axis out of the families
        <100>, <110> and <111>.

    Raises
    ------
    UnknownSpeciesError
        If the crystal has no such site.
    """
    symmetry = crystal_symmetry(crystal) if symmetry is None else symmetry
    if label.is_interstitial:
        return tuple(
            Candidate(
                description=f"site ({' '.join(f'{x:.3g}' for x in site.scaled_position)})",
                placed=PlacedDefect(
                    label=label, site_index=None, scaled_position=tuple(map(float, site.scaled_position))
                ),
                multiplicity=site.multiplicity,
            )
            for site in interstitial_sites(crystal, symmetry=symmetry)
        )
    sites = [site for site in distinct_sites(crystal, symmetry=symmetry) if site.species == label.site]
    if not sites:
        raise UnknownSpeciesError(label.site, dict.fromkeys(crystal.get_chemical_symbols()))
    candidates = []
    for site in sites:
        where = f"{site.species} site {site.wyckoff_letter}"
        if not label.is_dumbbell:
            candidates.append(
                Candidate(
                    description=where,
                    placed=PlacedDefect(label=label, site_index=site.index),
                    multiplicity=site.multiplicity,
                )
            )
            continue
        for axis in dumbbell_orientations(crystal, site.index, symmetry=symmetry):
            candidates.append(
                Candidate(
                    description=f"{where}: {_axis_in_words(axis)}",
                    placed=PlacedDefect(
                        label=label,
                        site_index=site.index,
                        direction=axis.direction,
                        separation_A=float(separation_A),
                    ),
                    multiplicity=site.multiplicity * axis.multiplicity,
                )
            )
    return tuple(candidates)


def _axis_in_words(axis):
    text = f"<{axis.family}>"
    if axis.site_axis_angle_deg is not None:
        angle = axis.site_axis_angle_deg
        text += {0: " parallel to its axis", 90: " across its axis"}.get(round(angle), f" at {angle:.0f}°")
    return text if axis.towards is None else f"{text}, towards {axis.towards}"
