"""Symmetry-distinct ways to put defects on sites, and hops between sites. Energies are computed elsewhere."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.core.periodic import minimum_image
from simtools.defects.kroger_vink import KrogerVink
from simtools.defects.sublattice import shell_numbers
from simtools.structures.hessian import positive
from simtools.structures.symmetry import CrystalSymmetry, crystal_symmetry

__all__ = ["Configuration", "DistinctHop", "distinct_configurations", "distinct_hops"]


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One of the symmetry-distinct ways to place defects in a periodic cell.

    Attributes
    ----------
    defects
        Pairs (label, site index). Indices from the number of atoms upwards count the interstitial positions
        that were given.
    multiplicity
        Number of equivalent ways in the cell, this one included.
    distances_A
        Nearest-image distances of the pairs of defects, in the order of ``itertools.combinations``, Å.
    shell
        For two defects: 1 where they are nearest, 2 in the next shell that occurs, and so on (distances
        within `simtools.defects.sublattice.SHELL_TOLERANCE_A` of the one before share it). None otherwise.
    """

    defects: tuple[tuple[str, int], ...]
    multiplicity: int
    distances_A: tuple[float, ...]
    shell: int | None = None


@dataclass(frozen=True, kw_only=True)
class DistinctHop:
    """One of the symmetry-distinct straight paths between two sites of a species.

    Attributes
    ----------
    initial, final
        Site indices. They are equal where an ion goes to the next periodic image of its site.
    vector_A
        From `initial` to `final`, shape (3,), Å: the image of the final site that is meant.
    distance_A
        Its length, Å.
    multiplicity
        Number of equivalent paths in the cell, each counted once whatever its direction.
    n_from_initial, n_from_final
        How many of them end at the initial site, and at the final site. They are equal if the sites are
        equivalent.
    reversible
        Whether a symmetry operation takes the path into itself backwards: the barrier is then the same
        both ways. False says that symmetry does not demand it.
    """

    initial: int
    final: int
    vector_A: tuple[float, float, float]
    distance_A: float
    multiplicity: int
    n_from_initial: int
    n_from_final: int
    reversible: bool


def distinct_configurations(
    crystal: Atoms,
    counts: Mapping[str, int],
    *,
    interstitial_positions=None,
    symmetry: CrystalSymmetry | None = None,
    limit: int = 20_000,
) -> tuple[Configuration, ...]:
    """Return every symmetry-distinct way to place defects, nearest together first.

    Parameters
    ----------
    crystal
        The perfect cell, usually a supercell. All operations that map this periodic cell onto itself are
        used, so that the images of the defects are equivalent too.
    counts
        How many of each defect, by Kröger-Vink label: ``{"Mg_Li.": 1, "V_Li'": 1}`` for pairs at all
        distances, ``{"V_Li'": 3}``, ``{"Br_Cl": 4}`` for orderings. The site in the label says which atoms
        they may take; defects of one label are indistinguishable. An orientation (dumbbell, O-H) is not
        distinguished: see `simtools.defects.dumbbells`.
    interstitial_positions
        Fractional coordinates in `crystal`, shape (n, 3), for labels on site ``i``; complete orbits, as
        `simtools.defects.sites.equivalent_positions` returns them, or symmetry is lost.
    symmetry
        Of `crystal`, where it is known already (not with `interstitial_positions`).
    limit
        Largest number of distinct configurations, of all the defects or of the first few of them.

    Returns
    -------
    tuple of Configuration
        Multiplicities add up to the number of all ways: for one label the binomial coefficient of sites
        and count, for several their product, each over the sites that are left.

    Raises
    ------
    ConfigError
        If a label cannot be placed, there are more defects than sites, or more than `limit` configurations.

    Notes
    -----
    Defects are added one by one; of the sites equivalent under the operations that keep the earlier defects,
    one is tried, and each result is reduced to the smallest of its images. The multiplicity is the order of
    the group over that of the configuration's stabiliser. Enumeration of derivative structures in general:
    G. L. W. Hart and R. W. Forcade, Phys. Rev. B 77, 224115 (2008).
    """
    labels, wanted = _labels(counts)
    crystal = _with_interstitials(crystal, interstitial_positions)
    sites = [_sites_of(label, crystal) for label in labels]
    total = _number_of_ways(labels, wanted, sites)
    if symmetry is None or interstitial_positions is not None:
        symmetry = crystal_symmetry(crystal)
    if symmetry.permutations.shape[1] != len(crystal):
        raise ConfigError(
            f"symmetry is of {symmetry.permutations.shape[1]} atoms, the crystal has {len(crystal)}; "
            "give the symmetry of this very cell"
        )
    permutations = symmetry.permutations
    if -(-total // len(permutations)) > limit:
        raise _too_many(wanted, labels, -(-total // len(permutations)), limit, "at least ")
    found = {(): len(permutations)}
    groups: list[slice] = []
    for n, candidates in zip(wanted, sites, strict=True):
        start = groups[-1].stop if groups else 0
        for k in range(1, n + 1):
            found = _extend(found, candidates, [*groups, slice(start, start + k)], permutations)
            if len(found) > limit:
                placed = dict(zip(labels, [*wanted[: len(groups)], k], strict=False))
                raise _too_many(placed.values(), placed, len(found), limit, "")
        groups.append(slice(start, start + n))
    names = [label for label, n in zip(labels, wanted, strict=True) for _ in range(n)]
    scaled, cell = crystal.get_scaled_positions(), crystal.cell.array
    configurations = [
        _configuration(scaled, cell, names, chosen, len(permutations) // n_fixing)
        for chosen, n_fixing in found.items()
    ]
    configurations.sort(key=lambda found: (np.round(np.sort(found.distances_A), 3).tolist(), found.defects))
    return _with_shells(configurations)


def distinct_hops(
    crystal: Atoms,
    species: str,
    *,
    max_distance_A: float,
    symmetry: CrystalSymmetry | None = None,
) -> tuple[DistinctHop, ...]:
    """Return the symmetry-distinct hops between sites of one species, shortest first.

    Parameters
    ----------
    crystal
        Any periodic cell: cubic, distorted, mixed, or with a dopant in it.
    species
        Symbol of the ion that hops.
    max_distance_A
        Longest hop, Å. Whether another ion is in the way is not asked.
    symmetry
        Of `crystal`, where it is known already.

    Returns
    -------
    tuple of DistinctHop
        Multiplicities add up to half the number of neighbours within `max_distance_A`, summed over the sites.

    Raises
    ------
    ConfigError
        If the species is not there, or `max_distance_A` is not positive.

    Notes
    -----
    Limit: in cubic X3BA the nearest X-X hop (a/√2, eight from every site, twelve per cell) is one; a
    tetragonal distortion splits it into two.
    """
    if species not in crystal.get_chemical_symbols():
        raise UnknownSpeciesError(species, dict.fromkeys(crystal.get_chemical_symbols()))
    max_distance_A = positive("max_distance_A", max_distance_A)
    symmetry = crystal_symmetry(crystal) if symmetry is None else symmetry
    shells = _HopsFromRepresentatives(crystal, species, max_distance_A, symmetry)
    hops = []
    done = set()
    for key, (final, vector, n_out) in shells.orbits.items():
        if key in done:
            continue
        back = shells.find(final, -vector, key[0])
        done |= {key, back}
        n_sites = int(np.sum(symmetry.orbits == key[0]))
        hops.append(
            DistinctHop(
                initial=key[0],
                final=final,
                vector_A=tuple(vector.tolist()),
                distance_A=float(np.linalg.norm(vector)),
                multiplicity=n_sites * n_out // (2 if back == key else 1),
                n_from_initial=n_out + (shells.orbits[back][2] if _same_ends(key, back) else 0),
                n_from_final=shells.orbits[back][2] + (n_out if _same_ends(key, back) else 0),
                reversible=back == key,
            )
        )
    return tuple(sorted(hops, key=lambda hop: (round(hop.distance_A, 3), hop.initial, hop.final)))


class _HopsFromRepresentatives:
    """Directed hops out of the first site of every orbit, grouped by the site's own symmetry."""

    def __init__(self, crystal, species, max_distance_A, symmetry):
        self.symmetry, self.turns = symmetry, symmetry.cartesian_rotations
        self.site_orbits = symmetry.orbits
        first, second, vectors = neighbor_list("ijD", crystal, float(max_distance_A))
        symbols = np.array(crystal.get_chemical_symbols())
        self.orbits, self._members = {}, {}
        for start in np.unique(self.site_orbits[symbols == species]).tolist():
            mine = (first == start) & (symbols[second] == species)
            self._group(start, second[mine], vectors[mine])

    def _group(self, start, ends, vectors):
        order = np.lexsort((*-np.round(vectors, 3).T, ends, np.round(np.linalg.norm(vectors, axis=1), 3)))
        ends, vectors = ends[order], vectors[order]
        self._members[start] = (ends, vectors, np.full(len(ends), -1))
        owner = self._members[start][2]
        fixing = self.symmetry.stabiliser(start)
        for k, (end, vector) in enumerate(zip(ends.tolist(), vectors, strict=True)):
            if owner[k] >= 0:
                continue
            ends_here = self.symmetry.permutations[fixing, end].tolist()
            turned = self.turns[fixing] @ vector
            images = {self._index(start, *image) for image in zip(ends_here, turned, strict=True)}
            owner[list(images)] = k
            self.orbits[(start, k)] = (end, vector, len(images))

    def _index(self, start, end, vector):
        ends, vectors, _ = self._members[start]
        apart = np.linalg.norm(vectors - vector, axis=1) + np.where(ends == end, 0.0, np.inf)
        return int(apart.argmin())

    def find(self, start, vector, end):
        """Return the orbit to which the hop from any site `start` along `vector` to `end` belongs."""
        first = int(self.site_orbits[start])
        g = int(np.flatnonzero(self.symmetry.permutations[:, start] == first)[0])
        image = self._index(first, int(self.symmetry.permutations[g, end]), self.turns[g] @ vector)
        return first, int(self._members[first][2][image])


def _same_ends(key, back):
    """Return whether a hop and its reverse start from equivalent sites without being equivalent."""
    return key != back and key[0] == back[0]


def _labels(counts):
    labels, wanted = [], []
    if not isinstance(counts, Mapping) or not counts:
        raise ConfigError(
            f'counts must map labels to numbers, as in {{"Mg_Li.": 1, "V_Li\'": 1}}, got {counts!r}'
        )
    for text, n in counts.items():
        label = text if isinstance(text, KrogerVink) else KrogerVink.parse(text)
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise ConfigError(f"the count of {text} must be a positive integer, got {n!r}")
        labels.append(label)
        wanted.append(int(n))
    if len(set(labels)) < len(labels):
        raise ConfigError(f"a label is given twice in {', '.join(map(str, labels))}; add up its counts")
    return labels, wanted


def _with_interstitials(crystal, positions):
    if positions is None:
        return crystal
    positions = np.asarray(positions, dtype=float)
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise ConfigError(f"interstitial_positions must have shape (n, 3), got {positions.shape}")
    return crystal + Atoms("X" * len(positions), scaled_positions=positions, cell=crystal.cell, pbc=True)


def _sites_of(label, crystal):
    symbol = "X" if label.site == "i" else label.site
    symbols = np.array(crystal.get_chemical_symbols())
    sites = np.flatnonzero(symbols == symbol)
    if len(sites) == 0 and label.site == "i":
        raise ConfigError(f"{label} needs interstitial_positions: give those of the cell, shape (n, 3)")
    if len(sites) == 0:
        raise UnknownSpeciesError(symbol, dict.fromkeys(symbols.tolist()))
    return sites


def _number_of_ways(labels, wanted, sites):
    total, left = 1, {}
    for label, n, mine in zip(labels, wanted, sites, strict=True):
        free = left.get(label.site, len(mine))
        if n > free:
            raise ConfigError(f"{n} x {label} do not fit: {free} of {len(mine)} {label.site} sites are left")
        total *= math.comb(free, n)
        left[label.site] = free - n
    return total


def _too_many(wanted, labels, number, limit, how):
    what = ", ".join(f"{n} x {label}" for n, label in zip(wanted, labels, strict=True))
    return ConfigError(
        f"{what} have {how}{number} distinct configurations, more than limit = {limit}; take a smaller cell "
        "or fewer defects, draw random ones instead, or raise the limit"
    )


def _extend(found, candidates, groups, permutations):
    """Return the distinct configurations with one more site, and the order of the stabiliser of each."""
    extended = {}
    for chosen in found:
        fixing = _canonical(chosen, groups, permutations)[1] if chosen else np.arange(len(permutations))
        free = np.setdiff1d(candidates, chosen)
        firsts = np.unique(permutations[np.ix_(fixing, free)].min(axis=0))
        for site in firsts.tolist():
            child, keeping = _canonical((*chosen, site), groups, permutations)
            extended[child] = len(keeping)
    return extended


def _canonical(chosen, groups, permutations):
    """Return the smallest image of a configuration and the operations that lead to it."""
    images = permutations[:, list(chosen)]
    for group in groups:
        images[:, group] = np.sort(images[:, group], axis=1)
    rows = np.arange(len(images))
    for column in images.T:
        values = column[rows]
        rows = rows[values == values.min()]
    return tuple(images[rows[0]].tolist()), rows


def _configuration(scaled, cell, names, chosen, multiplicity):
    pairs = list(combinations(chosen, 2))
    vectors = np.array([scaled[j] - scaled[i] for i, j in pairs]).reshape(-1, 3) @ cell
    distances = np.linalg.norm(minimum_image(vectors, cell), axis=1) if pairs else np.array([])
    return Configuration(
        defects=tuple((str(name), site) for name, site in zip(names, chosen, strict=True)),
        multiplicity=multiplicity,
        distances_A=tuple(distances.tolist()),
    )


def _with_shells(configurations):
    if not configurations or len(configurations[0].defects) != 2:
        return tuple(configurations)
    shells = 1 + shell_numbers([configuration.distances_A[0] for configuration in configurations])
    return tuple(
        replace(configuration, shell=shell)
        for configuration, shell in zip(configurations, shells.tolist(), strict=True)
    )
