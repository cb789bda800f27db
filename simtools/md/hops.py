"""Which hops there are out of a defect, each with its two ends as cells. Their paths: pathways.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from simtools.core.errors import ConfigError
from simtools.core.periodic import minimum_image
from simtools.defects.configurations import distinct_hops
from simtools.defects.insertion import PlacedDefect, insert_defects
from simtools.defects.kroger_vink import KrogerVink, ions_of
from simtools.defects.sublattice import nearest_distance_A
from simtools.structures.symmetry import CrystalSymmetry, crystal_symmetry

__all__ = ["SHELL_WIDTH", "Hop", "vacancy_hops"]

SHELL_WIDTH = 1.15
"""Sites up to this times the shortest distance are neighbours: a distortion splits a shell by a few per cent,
and the next shell of the crystals at hand begins at 1.41."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Hop:
    """One of the symmetry-distinct hops of a defect.

    Attributes
    ----------
    name
        What hops, numbered, with its length.
    initial, final
        Both ends, unrelaxed or relaxed; `simtools.md.pathways.find_path` takes them.
    length_A
        Distance between the two sites of the defect, Å; 0 where it turns on its site.
    multiplicity
        Number of equivalent hops out of the initial state.
    equivalent_ends
        Whether a symmetry operation takes one end into the other, so that their energies are equal.
    """

    name: str
    initial: Atoms
    final: Atoms
    length_A: float
    multiplicity: int
    equivalent_ends: bool


def vacancy_hops(
    perfect: Atoms,
    species: str,
    *,
    formal_charges_e: Mapping[str, int],
    net_charge: str | None = None,
    others: Sequence[PlacedDefect] = (),
    longest_A: float | None = None,
    within_A: float | None = None,
    symmetry: CrystalSymmetry | None = None,
) -> tuple[Hop, ...]:
    """Return every symmetry-distinct exchange of a vacancy with a neighbouring ion of its species.

    Parameters
    ----------
    perfect
        The crystal without defects, cubic, distorted or mixed.
    species
        Symbol of the ion that hops.
    formal_charges_e, net_charge
        As in `simtools.defects.insertion.insert_defects`.
    others
        Defects that are there besides the vacancy and stay: dopants, other vacancies.
    longest_A
        Longest hop, Å; by default the nearest neighbours, 1.15 times the shortest distance between sites of
        the species.
    within_A
        With `others`: keep hops of which an end is this near one of them, Å; by default 1.15 times the
        distance of the nearest site of the species.
    symmetry
        Of `perfect` without `others`, where it is known already (not used with `others`).

    Returns
    -------
    tuple of Hop
        Shortest first. Limits: one in a cubic X3BA; five next to a dopant on its X site.

    Raises
    ------
    ConfigError
        If the species is not there, or something else than substituted ions and vacancies is among `others`.
    """
    decorated = _decorated(perfect, others)
    if others or symmetry is None:
        symmetry = crystal_symmetry(decorated)
    reach = longest_A or SHELL_WIDTH * nearest_distance_A(perfect, species)
    label = KrogerVink.from_charges("V", species, formal_charges_e)
    hops = []
    for found in distinct_hops(decorated, species, max_distance_A=reach, symmetry=symmetry):
        if found.initial == found.final:
            continue
        sites = (found.initial, found.final)
        away = [_distance_to(perfect, others, site) for site in sites] if others else []
        if others and min(away) > (within_A or _nearest_to(perfect, decorated, others, species)):
            continue
        if others and away[1] < away[0] - 1e-6:
            sites, away = sites[::-1], away[::-1]
        ends = [
            insert_defects(
                perfect,
                [*others, PlacedDefect(label=label, site_index=int(site), set=len(others))],
                formal_charges_e=formal_charges_e,
                net_charge=net_charge,
            )
            for site in sites
        ]
        name = f"{label} hop {len(hops) + 1} ({found.distance_A:.2f} Å)"
        if others:
            beside = " ".join(dict.fromkeys(str(other.label) for other in others))
            name += f" {away[0]:.2f} to {away[1]:.2f} Å from {beside}"
        hops.append(
            Hop(
                name=name,
                initial=ends[0],
                final=ends[1],
                length_A=found.distance_A,
                multiplicity=found.n_from_initial if sites[0] == found.initial else found.n_from_final,
                equivalent_ends=bool(symmetry.orbits[sites[0]] == symmetry.orbits[sites[1]]),
            )
        )
    return tuple(hops)


def _decorated(perfect, others):
    """Return the crystal with `others` marked on their sites, all indices kept."""
    decorated = perfect.copy()
    for other in others:
        parts = ions_of(other.label.species)
        if other.site_index is None or len(parts) > 1:
            raise ConfigError(
                f"{other.label} cannot accompany a hopping vacancy: expected substituted ions, such as "
                "Mg_Li., or vacancies"
            )
        decorated.symbols[other.site_index] = parts[0] if parts else "X"
    return decorated


def _distance_to(perfect, others, site):
    places = perfect.positions[[other.site_index for other in others]]
    vectors = minimum_image(places - perfect.positions[site], perfect.cell.array)
    return float(np.linalg.norm(vectors, axis=1).min())


def _nearest_to(perfect, decorated, others, species):
    sites = np.flatnonzero(np.array(decorated.get_chemical_symbols()) == species)
    return SHELL_WIDTH * min(_distance_to(perfect, others, site) for site in sites)
