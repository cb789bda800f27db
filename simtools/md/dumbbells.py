"""Dumbbells: two ions that share a site, in their lowest orientation, and the hops out of it.

In an interstitialcy one ion of the dumbbell takes the site, the other pushes a neighbour off its own and
forms the next dumbbell with it. Nobody has to list which ions these are: see matching.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from simtools.core.errors import SimtoolsError
from simtools.core.periodic import minimum_image
from simtools.defects.arrangement import DUMBBELL_SEPARATION
from simtools.defects.insertion import PlacedDefect, insert_defects
from simtools.defects.kroger_vink import KrogerVink
from simtools.defects.sublattice import FAMILIES, family_indices, nearest_distance_A
from simtools.md.hops import SHELL_WIDTH, Hop
from simtools.md.matching import LONGEST_HOP_A, MatchError, match_ions, nearest_sites
from simtools.structures.ionic_relaxation import relax_ions
from simtools.structures.symmetry import CrystalSymmetry, crystal_symmetry

__all__ = ["NoDumbbellError", "RelaxedDumbbell", "dumbbell_hops", "relax_dumbbells"]

HIGH_SYMMETRY_AXES = tuple(axis for family in FAMILIES for axis in sorted(family_indices(family)))
"""<100>, <110> and <111>, one of each pair of opposite directions."""
_SNAP_COSINE = np.cos(np.radians(10.0))
_SAME_AXIS = 1e-3
_SAME_SITE_A = 1e-3


class NoDumbbellError(SimtoolsError, RuntimeError):
    """No orientation relaxes to two ions on one site."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RelaxedDumbbell:
    """A dumbbell at rest.

    Attributes
    ----------
    atoms
        The relaxed cell.
    energy_eV
        Its potential energy, eV.
    site_index
        The site that the two ions share.
    direction
        Unit vector from one to the other.
    separation_A
        Their distance, Å.
    start_direction
        The axis it relaxed from.
    n_steps
        Steps of the relaxation.
    """

    atoms: Atoms
    energy_eV: float
    site_index: int
    direction: tuple[float, float, float]
    separation_A: float
    start_direction: tuple[int, int, int]
    n_steps: int


def relax_dumbbells(
    perfect: Atoms,
    species: str,
    calculator: Callable[[], Calculator],
    *,
    formal_charges_e: Mapping[str, int],
    net_charge: str | None = None,
    site: int | None = None,
    max_force_eV_per_A: float = 0.002,
    rattle_A: float = 0.01,
    seed: int = 0,
    symmetry: CrystalSymmetry | None = None,
) -> tuple[RelaxedDumbbell, ...]:
    """Relax a dumbbell from each distinct <100>, <110> and <111> orientation on a site; the lowest first.

    Parameters
    ----------
    perfect
        The crystal without defects.
    species
        Symbol of its two ions.
    calculator
        Called for a new ASE calculator.
    formal_charges_e, net_charge
        As in `simtools.defects.insertion.insert_defects`.
    site
        Index of the site; by default the first of the species.
    max_force_eV_per_A
        Tolerance of the relaxation.
    rattle_A
        Standard deviation of the random displacement of the two ions and of those nearer than 1.5 times the
        shortest distance between sites, from which the relaxation starts, Å.
    seed
        Of these displacements.
    symmetry
        Of `perfect`, where it is known already.

    Raises
    ------
    NoDumbbellError
        If no orientation ends as two ions on one site.
    """
    nearest = nearest_distance_A(perfect, species)
    symbols = np.array(perfect.get_chemical_symbols())
    site = int(np.flatnonzero(symbols == species)[0]) if site is None else site
    symmetry = crystal_symmetry(perfect) if symmetry is None else symmetry
    label = KrogerVink(f"{species}2", species, int(formal_charges_e[species]))
    rng = np.random.default_rng(seed)
    relaxed, elsewhere = [], []
    for axis in _distinct_axes(symmetry, site):
        placed = PlacedDefect(
            label=label, site_index=site, direction=axis, separation_A=DUMBBELL_SEPARATION * nearest
        )
        start = insert_defects(perfect, [placed], formal_charges_e=formal_charges_e, net_charge=net_charge)
        near = (
            np.linalg.norm(minimum_image(start.positions - perfect.positions[site], start.cell.array), axis=1)
            < 1.5 * nearest
        )
        start.positions[near] += rng.normal(0, rattle_A, (int(near.sum()), 3))
        outcome = relax_ions(start, calculator(), max_force_eV_per_A=max_force_eV_per_A)
        shared = _shared_site(outcome.atoms)
        if shared is None:
            elsewhere.append(str(list(axis)))
            continue
        where, vector = shared
        length = float(np.linalg.norm(vector))
        relaxed.append(
            RelaxedDumbbell(
                atoms=_relabelled(outcome.atoms, perfect, where, vector),
                energy_eV=outcome.energy_eV,
                site_index=where,
                direction=tuple((vector / length).tolist()),
                separation_A=length,
                start_direction=axis,
                n_steps=outcome.n_steps,
            )
        )
    if not relaxed:
        raise NoDumbbellError(
            f"no dumbbell of {species} stays on its site: from {', '.join(elsewhere)} the ions relax to "
            "other places; treat it as an interstitial"
        )
    return tuple(sorted(relaxed, key=lambda found: found.energy_eV))


def dumbbell_hops(
    perfect: Atoms,
    dumbbell: RelaxedDumbbell,
    *,
    longest_A: float | None = None,
    symmetry: CrystalSymmetry | None = None,
) -> tuple[Hop, ...]:
    """Return the distinct hops of a dumbbell to equivalent ones on its own site and on neighbouring sites.

    Parameters
    ----------
    perfect
        The crystal that it was put into.
    dumbbell
        One of `relax_dumbbells`. A direction within 10° of a <100>, <110> or <111> axis counts as that axis.
    longest_A
        Farthest site, Å; by default the nearest neighbours, 1.15 times the shortest distance between sites.
    symmetry
        Of `perfect`, where it is known already.

    Returns
    -------
    tuple of Hop
        The final end is the image of the relaxed initial one under a symmetry operation of the crystal; of
        several operations, the one with the shortest path. Shortest path first. Limit: four for a dumbbell
        across the B-X-B axis of cubic X3BA (with both axes in the plane of the hop, one of them, or none;
        and turning on its site).
    """
    symmetry = crystal_symmetry(perfect) if symmetry is None else symmetry
    site = dumbbell.site_index
    species = perfect.get_chemical_symbols()[site]
    reach = longest_A or SHELL_WIDTH * nearest_distance_A(perfect, species)
    axes, turned = _orbit_of_axis(symmetry, _snapped(dumbbell.direction))
    codes = symmetry.permutations * len(axes)
    start = site * len(axes)
    images = symmetry.permutations[:, site] * len(axes) + turned[:, 0]
    vectors = minimum_image(perfect.positions - perfect.positions[site], perfect.cell.array)
    distances = np.linalg.norm(vectors, axis=1)
    targets = [
        int(code) for code in np.unique(images) if code != start and distances[code // len(axes)] <= reach
    ]
    orbits = {}
    for target in targets:
        where, axis = divmod(target, len(axes))
        ends = np.sort(np.stack([images, codes[:, where] + turned[:, axis]]), axis=0)
        orbits.setdefault(int((ends[0] * codes.size + ends[1]).min()), []).append(target)
    found = []
    label = dumbbell.atoms.info["defects"][0]["label"]
    for members in orbits.values():
        where, axis = divmod(members[0], len(axes))
        path = _shortest(dumbbell, symmetry, np.flatnonzero(images == members[0]), label)
        if path is None:
            continue
        length, final = path
        found.append((length, vectors[where], axes[0], axes[axis], len(members), final))
    found.sort(key=lambda row: row[0])
    return tuple(
        Hop(
            name=_name(label, number, vector, before, after),
            initial=dumbbell.atoms,
            final=final,
            length_A=float(np.linalg.norm(vector)),
            multiplicity=multiplicity,
            equivalent_ends=True,
        )
        for number, (_, vector, before, after, multiplicity, final) in enumerate(found, start=1)
    )


def _distinct_axes(symmetry, site):
    """Return the high-symmetry axes that the operations fixing `site` do not take into each other."""
    turns = symmetry.cartesian_rotations[symmetry.stabiliser(site)]
    distinct = []
    for axis in HIGH_SYMMETRY_AXES:
        unit = np.array(axis) / np.linalg.norm(axis)
        images = np.abs(turns @ unit @ np.array([_unit(other) for other in distinct]).reshape(-1, 3).T)
        if not (images > 1 - _SAME_AXIS).any():
            distinct.append(axis)
    return distinct


def _shared_site(atoms):
    """Return the only site with two ions and the vector between them, or None."""
    nearest = nearest_sites(atoms)
    sites, counts = np.unique(nearest, return_counts=True)
    if (counts > 2).any() or (counts == 2).sum() != 1:
        return None
    site = int(sites[counts == 2][0])
    first, second = np.flatnonzero(nearest == site)
    return site, minimum_image(atoms.positions[first] - atoms.positions[second], atoms.cell.array)


def _relabelled(atoms, perfect, site, vector):
    """Return `atoms` whose record of the dumbbell tells where it is now."""
    nearest = nearest_sites(atoms)
    length = float(np.linalg.norm(vector))
    record = {
        **atoms.info["defects"][0],
        "site_index": site,
        "position_A": perfect.positions[site].tolist(),
        "direction": (vector / length).tolist(),
        "separation_A": length,
        "atom_indices": np.flatnonzero(nearest == site).tolist(),
    }
    atoms = atoms.copy()
    atoms.info = {**atoms.info, "defects": [record]}
    return atoms


def _snapped(direction):
    best = max((_unit(axis) for axis in HIGH_SYMMETRY_AXES), key=lambda axis: abs(axis @ direction))
    return best if abs(best @ direction) > _SNAP_COSINE else np.array(direction)


def _orbit_of_axis(symmetry, direction):
    """Return the axes that the operations make of one, (n, 3), and which of them each makes of each."""
    turns = symmetry.cartesian_rotations
    axes = [np.asarray(direction, dtype=float)]
    for turn in turns:
        image = turn @ axes[0]
        if max(abs(image @ axis) for axis in axes) < 1 - _SAME_AXIS:
            axes.append(image)
    axes = np.array(axes)
    return axes, np.abs(np.einsum("oij,aj,bi->oab", turns, axes, axes)).argmax(axis=2)


def _shortest(dumbbell, symmetry, operations, label):
    best = None
    for operation in operations:
        final = _image(dumbbell.atoms, symmetry, int(operation))
        try:
            matched = match_ions(dumbbell.atoms, final, longest_hop_A=LONGEST_HOP_A)
        except MatchError:
            continue
        length = float(np.linalg.norm(matched.positions - dumbbell.atoms.positions))
        if best is None or length < best[0] - 1e-6:
            best = (length, final)
    return best


def _image(atoms, symmetry, operation):
    """Return `atoms` moved by a symmetry operation of the perfect crystal."""
    image = atoms.copy()
    turn, shift = symmetry.rotations[operation], symmetry.translations[operation]
    image.set_scaled_positions(atoms.get_scaled_positions(wrap=False) @ turn.T + shift)
    records = []
    for row in atoms.info["defects"]:
        moved = dict(row)
        if row["site_index"] is not None:
            moved["site_index"] = int(symmetry.permutations[operation, row["site_index"]])
            scaled = np.array(atoms.info["lattice_sites"]["scaled_positions"][moved["site_index"]])
            moved["position_A"] = (scaled @ atoms.cell.array).tolist()
        if "direction" in row:
            moved["direction"] = (symmetry.cartesian_rotations[operation] @ row["direction"]).tolist()
        records.append(moved)
    image.info = {**atoms.info, "defects": records}
    return image


def _name(label, number, vector, before, after):
    turn = f"{_text(before)} to {_text(after)}"
    length = float(np.linalg.norm(vector))
    if length < _SAME_SITE_A:
        return f"{label} turn {number} ({turn})"
    return f"{label} hop {number} ({length:.2f} Å along {_text(vector)}, {turn})"


def _unit(axis):
    return np.array(axis, dtype=float) / np.linalg.norm(axis)


def _text(axis):
    scaled = axis / np.abs(axis).max()
    whole = np.round(scaled)
    if np.abs(scaled - whole).max() < 0.05:
        return "[" + " ".join(f"{value:.0f}" for value in whole + 0.0) + "]"
    return "[" + " ".join(f"{value:.2f}" for value in axis) + "]"
