"""The sites of a species seen from one of them: distances, shells, and the directions between."""

import itertools
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.cell import Cell

from simtools.core.errors import UnknownSpeciesError
from simtools.core.periodic import minimum_image

__all__ = [
    "FAMILIES",
    "SHELL_TOLERANCE_A",
    "SiteGeometry",
    "family_axes",
    "family_indices",
    "nearest_distance_A",
    "shell_numbers",
]

SHELL_TOLERANCE_A = 0.1
"""Distances that follow each other within this, Å, are one shell: wider than the splitting of nearest
distances by a distortion of 3 per cent, narrower than the steps between shells of a cubic crystal of a = 4 Å,
a²/8d at the distance d, up to d = 20 Å."""

FAMILIES = ("100", "110", "111")
"""Families of directions, along the cell's own axes."""


class SiteGeometry:
    """Periodic distances between the sites of a perfect crystal.

    Parameters
    ----------
    scaled_positions
        Fractional coordinates, shape (n_sites, 3).
    species
        What belongs on each site, shape (n_sites,).
    cell_A
        Lattice vectors as rows, shape (3, 3), Å.
    """

    def __init__(self, scaled_positions, species, cell_A):
        self.scaled_positions = np.asarray(scaled_positions, dtype=float)
        self.species = np.asarray(species, dtype=str)
        self.cell_A = np.asarray(cell_A, dtype=float)
        self._orthogonal = np.allclose(self.cell_A, np.diag(np.diag(self.cell_A)), atol=1e-12)
        self._distances = {}

    @classmethod
    def of(cls, crystal: Atoms) -> "SiteGeometry":
        """Return the geometry of the atoms of a perfect crystal."""
        return cls(
            crystal.get_scaled_positions(wrap=True), crystal.get_chemical_symbols(), crystal.cell.array
        )

    def __len__(self):
        return len(self.species)

    def sites_of(self, species: str) -> np.ndarray:
        """Return the indices of the sites where `species` belongs."""
        return np.flatnonzero(self.species == species)

    def distances_from(self, site: int) -> np.ndarray:
        """Return the distance from one site to the nearest image of every site, shape (n_sites,), Å."""
        site = int(site)
        if site not in self._distances:
            self._distances[site] = self.lengths_A(self.scaled_positions - self.scaled_positions[site])
        return self._distances[site]

    def lengths_A(self, offsets_sc: np.ndarray) -> np.ndarray:
        """Return the lengths of the nearest images of fractional offsets of shape (n, 3), Å."""
        vectors = (offsets_sc - np.round(offsets_sc)) @ self.cell_A
        if not self._orthogonal:
            vectors = minimum_image(vectors, self.cell_A)
        return np.linalg.norm(vectors, axis=1)

    def nearest_alike_A(self, site: int) -> float:
        """Return the distance from a site to the nearest of its species, its own images included, Å."""
        alike = self.sites_of(self.species[site])
        others = self.distances_from(site)[alike[alike != site]]
        return float(min(others.min(initial=np.inf), Cell(self.cell_A).minkowski_reduce()[0].lengths().min()))

    def distance_to_nearest(self, chosen: Sequence[int]) -> np.ndarray:
        """Return the distance of every site to the nearest of `chosen`, Å (infinite where none is chosen)."""
        nearest = np.full(len(self), np.inf)
        for site in chosen:
            np.minimum(nearest, self.distances_from(site), out=nearest)
        return nearest


def shell_numbers(distances_A: np.ndarray) -> np.ndarray:
    """Return the shell of each distance, shape (n,): 0 for the nearest, by `SHELL_TOLERANCE_A`.

    Limit: distances that fall into groups farther apart than the tolerance are numbered group by group.
    """
    distances_A = np.asarray(distances_A, dtype=float)
    order = np.argsort(distances_A, kind="stable")
    numbers = np.empty(len(distances_A), dtype=int)
    numbers[order] = np.cumsum(
        np.diff(distances_A[order], prepend=distances_A[order[:1]]) > SHELL_TOLERANCE_A
    )
    return numbers


def nearest_distance_A(crystal: Atoms, species: str) -> float:
    """Return the shortest distance between sites of a species, periodic images of one site included, Å.

    Raises
    ------
    UnknownSpeciesError
        If the species is not in the crystal.
    """
    geometry = SiteGeometry.of(crystal)
    sites = geometry.sites_of(species)
    if len(sites) == 0:
        raise UnknownSpeciesError(species, dict.fromkeys(crystal.get_chemical_symbols()))
    return min(map(geometry.nearest_alike_A, sites.tolist()))


def family_indices(family: str) -> list[tuple[int, int, int]]:
    """Return the axes of a family in cell vectors, one of each pair of opposite ones: three, six or four."""
    wanted = sorted(map(int, family))
    return [
        indices
        for indices in itertools.product((0, 1, -1), repeat=3)
        if sorted(map(abs, indices)) == wanted and next(filter(None, indices)) > 0
    ]


def family_axes(cell_A: np.ndarray, family: str) -> np.ndarray:
    """Return the axes of a family as Cartesian unit vectors, shape (n, 3), in the order of `family_indices`.

    <110> is a + b and so on of the normalised cell vectors.
    """
    cell_A = np.asarray(cell_A, dtype=float)
    unit = cell_A / np.linalg.norm(cell_A, axis=1, keepdims=True)
    axes = np.array(family_indices(family), dtype=float) @ unit
    return axes / np.linalg.norm(axes, axis=1, keepdims=True)
