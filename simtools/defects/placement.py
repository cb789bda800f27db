"""Which sites the defects take: random, associated or separated. Counts and charges: see builders.py."""

from collections.abc import Sequence

import numpy as np

from simtools.core.errors import ConfigError
from simtools.defects.sublattice import SiteGeometry, shell_numbers

_MOST_ATTEMPTS, _FEWEST_ATTEMPTS = 50, 3
_DEFECTS_IN_ALL_ATTEMPTS = 10_000
_SPREADING_STARTS = 4
_SPREADING_SWEEPS = 20
_SAME_DISTANCE_A = 1e-3


class PlacementError(ConfigError):
    """The requested arrangement does not fit on the sites that are left."""


def n_attempts(n_defects: int) -> int:
    """Return how many random arrangements of so many defects are tried: 50, fewer above 200, 3 at least."""
    return max(_FEWEST_ATTEMPTS, min(_MOST_ATTEMPTS, _DEFECTS_IN_ALL_ATTEMPTS // max(n_defects, 1)))


def place_sets(
    geometry: SiteGeometry,
    members: Sequence[str],
    n_sets: int,
    *,
    placement: str,
    taken: Sequence[int],
    minimum_separation_A: float,
    rng: np.random.Generator,
    barred: Sequence[int] = (),
) -> list[tuple[int, ...]]:
    """Return `n_sets` tuples of site indices, one index per species in `members`.

    Parameters
    ----------
    geometry
        The perfect crystal.
    members
        Species whose sites one set occupies: ``["Li"]`` for a vacancy, ``["Li", "Li", "O"]`` for a set.
    n_sets
        How many sets to place.
    placement
        ``"random"``: every member on a random free site of its species. ``"associated"``: the rarest member
        of a set on a random site, the others on its nearest sites. ``"separated"``: all members of all sets,
        and the sites already taken, as far from each other as a farthest-point search with local
        improvement finds.
    taken
        Sites that are already used.
    minimum_separation_A
        Smallest distance allowed between members of different sets (and, unless ``"associated"``, within a
        set) and to `taken`, Å.
    rng
        Source of every random choice.
    barred
        Sites that are free and must stay so.

    Raises
    ------
    PlacementError
        If no arrangement was found in `n_attempts` of them: the message says how many sets did fit.
    """
    search = {"random": _random_sets, "associated": _associated_sets, "separated": _separated_sets}[placement]
    most = 0
    attempts = 1 if placement == "separated" else n_attempts(n_sets * len(members))
    for _ in range(attempts):
        sets = search(geometry, members, n_sets, list(taken), list(barred), minimum_separation_A, rng)
        if len(sets) == n_sets:
            return sets
        most = max(most, len(sets))
    apart = f" at least {minimum_separation_A:g} Å apart" if minimum_separation_A else ""
    near = " and away from the ions of Frenkel pairs" if len(barred) else ""
    raise PlacementError(
        f"no arrangement of {n_sets} x {'+'.join(members)} with placement {placement!r}{apart}{near} was "
        f"found in {attempts} attempt{'s' * (attempts > 1)}: at most {most} were placed; ask for fewer, a "
        "smaller minimum_separation_A or a larger supercell"
    )


def _nearest_with_none_at(geometry, taken, barred):
    """Return the distance of every site to the nearest of `taken`, Å, and zero where none may go."""
    nearest = geometry.distance_to_nearest(taken)
    nearest[barred] = 0.0
    return nearest


def _random_sets(geometry, members, n_sets, taken, barred, separation, rng):
    if separation == 0:
        free = np.ones(len(geometry), dtype=bool)
        free[[*taken, *barred]] = False
        columns = [None] * len(members)
        for species in dict.fromkeys(members):
            places = [k for k, member in enumerate(members) if member == species]
            candidates = np.flatnonzero(free & (geometry.species == species))
            if len(candidates) < n_sets * len(places):
                return []
            chosen = rng.choice(candidates, size=n_sets * len(places), replace=False)
            for k, column in zip(places, np.split(chosen, len(places)), strict=True):
                columns[k] = column.tolist()
        return list(zip(*columns, strict=True))
    sets = []
    nearest = _nearest_with_none_at(geometry, taken, barred)
    for _ in range(n_sets):
        chosen = []
        for species in members:
            candidates = np.flatnonzero(
                (geometry.species == species) & (nearest >= separation) & (nearest > 0)
            )
            if len(candidates) == 0:
                return sets
            site = int(rng.choice(candidates))
            chosen.append(site)
            nearest = np.minimum(nearest, geometry.distances_from(site))
        sets.append(tuple(chosen))
    return sets


def _associated_sets(geometry, members, n_sets, taken, barred, separation, rng):
    anchor_species = min(reversed(members), key=members.count)
    anchor_place = members.index(anchor_species)
    partners = {
        species: [k for k, member in enumerate(members) if member == species and k != anchor_place]
        for species in dict.fromkeys(members)
    }
    sets = []
    nearest = _nearest_with_none_at(geometry, taken, barred)
    for _ in range(n_sets):
        free = (nearest >= separation) & (nearest > 0)
        anchors = rng.permutation(np.flatnonzero(free & (geometry.species == anchor_species)))
        for anchor in anchors.tolist():
            chosen = _nearest_partners(geometry, anchor, anchor_place, partners, free, rng)
            if chosen is not None:
                break
        else:
            return sets
        sets.append(chosen)
        for site in chosen:
            nearest = np.minimum(nearest, geometry.distances_from(site))
    return sets


def _nearest_partners(geometry, anchor, anchor_place, partners, free, rng):
    """Return one associated set around `anchor`, or None where the nearest partner sites are not free."""
    distances = geometry.distances_from(anchor)
    chosen = {anchor_place: anchor}
    for species, places in partners.items():
        sites = geometry.sites_of(species)
        sites = sites[sites != anchor]
        if len(sites) < len(places):
            return None
        shells = np.zeros(len(geometry), dtype=int)
        shells[sites] = shell_numbers(distances[sites])
        available = rng.permutation(sites[free[sites]])
        closest = available[np.argsort(shells[available], kind="stable")[: len(places)]]
        if not np.array_equal(shells[closest], np.sort(shells[sites])[: len(places)]):
            return None
        chosen.update(zip(places, closest.tolist(), strict=True))
    return tuple(chosen[k] for k in range(len(chosen)))


def _separated_sets(geometry, members, n_sets, taken, barred, separation, rng):
    order = list(members) * n_sets
    places = _nearest_with_none_at(geometry, taken, barred) > 0
    if any(np.sum(places[geometry.sites_of(name)]) < order.count(name) for name in set(order)):
        return []
    best, best_gap = None, -np.inf
    for _ in range(_SPREADING_STARTS):
        chosen = _spread(geometry, order, taken, barred, rng)
        gap = _smallest_gap(geometry, chosen, taken)
        if gap > best_gap + _SAME_DISTANCE_A:
            best, best_gap = chosen, gap
    kept = len(best) if best_gap >= separation else 0
    width = len(members)
    return [tuple(best[k : k + width]) for k in range(0, kept, width)]


def _spread(geometry, order, taken, barred, rng):
    chosen = []
    nearest = _nearest_with_none_at(geometry, taken, barred)
    for species in order:
        site = _farthest(geometry, species, nearest, rng)
        chosen.append(site)
        nearest = np.minimum(nearest, geometry.distances_from(site))
    distances = np.array([geometry.distances_from(site) for site in chosen])
    fixed = _nearest_with_none_at(geometry, taken, barred)
    for _ in range(_SPREADING_SWEEPS if len(chosen) > 1 else 0):
        moved = False
        first, second = np.partition(distances, 1, axis=0)[:2]
        owner = distances.argmin(axis=0)
        for k, species in enumerate(order):
            others = np.minimum(np.where(owner == k, second, first), fixed)
            site = _farthest(geometry, species, others, rng)
            if others[site] > others[chosen[k]] + _SAME_DISTANCE_A:
                chosen[k], moved = site, True
                distances[k] = geometry.distances_from(site)
                first, second = np.partition(distances, 1, axis=0)[:2]
                owner = distances.argmin(axis=0)
        if not moved:
            break
    return chosen


def _farthest(geometry, species, nearest, rng):
    sites = geometry.sites_of(species)
    sites = sites[nearest[sites] > 0]
    gaps = nearest[sites]
    return int(rng.choice(sites[gaps >= gaps.max() - _SAME_DISTANCE_A]))


def _smallest_gap(geometry, chosen, taken):
    return min(
        (
            geometry.distance_to_nearest([*taken, *chosen[:k], *chosen[k + 1 :]])[site]
            for k, site in enumerate(chosen)
        ),
        default=np.inf,
    )
