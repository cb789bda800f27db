"""Interstitial sites of any crystal, found from its geometry. Split interstitials: see dumbbells.py."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from scipy.spatial import Voronoi, cKDTree
from scipy.special import erfc

from simtools.core.errors import ConfigError
from simtools.core.periodic import cell_heights_A, minimum_image, wrap
from simtools.core.units import COULOMB_EV_A
from simtools.structures.supercells import check_repeats
from simtools.structures.symmetry import CrystalSymmetry, crystal_symmetry

__all__ = ["InterstitialSite", "equivalent_positions", "interstitial_sites"]

_NEIGHBOUR_REACH = 1.25
"""Ions up to this many times the nearest distance are counted as neighbours."""


@dataclass(frozen=True, kw_only=True)
class InterstitialSite:
    """One of the symmetry-distinct interstitial sites of a crystal.

    Attributes
    ----------
    scaled_position
        Of one representative, fractions of the cell given, in [0, 1).
    equivalent_scaled_positions
        Of all equivalent sites in the cell, the representative first.
    site_symmetry, wyckoff_letter
        Of the infinite crystal, in spglib's standard setting.
    nearest_A
        Distance to the nearest ion, Å.
    neighbours
        How many ions of each species lie within 1.25 times `nearest_A`.
    distances_A
        Distance to the nearest ion of each species, Å.
    potential_V
        Electrostatic potential of the perfect crystal's formal charges at the site, V, its mean over the
        cell being zero; None where no charges were given.
    """

    scaled_position: tuple[float, float, float]
    equivalent_scaled_positions: tuple[tuple[float, float, float], ...]
    site_symmetry: str
    wyckoff_letter: str
    nearest_A: float
    neighbours: dict[str, int]
    distances_A: dict[str, float]
    potential_V: float | None = None

    @property
    def multiplicity(self) -> int:
        """Number of equivalent sites in the cell given."""
        return len(self.equivalent_scaled_positions)

    def __str__(self):
        position = " ".join(f"{x:.4g}" for x in self.scaled_position)
        around = " ".join(f"{n} {species}" for species, n in self.neighbours.items())
        where = f"({position}) x{self.multiplicity}, {self.site_symmetry}"
        return f"{where}, nearest {self.nearest_A:.3f} Å: {around}"


def interstitial_sites(
    crystal: Atoms,
    *,
    minimum_distance_A: float = 1.0,
    merge_A: float = 0.5,
    formal_charges_e: Mapping[str, float] | None = None,
    symmetry: CrystalSymmetry | None = None,
) -> tuple[InterstitialSite, ...]:
    """Return the symmetry-distinct interstitial sites of a crystal, the widest first.

    Candidates are the vertices of the Voronoi diagram of all ions, the points with four or more nearest ions
    at equal distance, among which are all points that are farther from every ion than their surroundings.
    A vertex is moved to the special position it is nearest to, if one lies within `merge_A`, and stands for
    all vertices within `merge_A` of it and of its equivalents.

    Parameters
    ----------
    crystal
        Any periodic cell, one unit cell for preference: its supercell gives the same sites with more
        equivalents (a supercell of lower symmetry splits them). Not changed.
    minimum_distance_A
        Vertices nearer to an ion than this are no sites, Å.
    merge_A
        Sites are at least about this far apart, Å.
    formal_charges_e
        Of every species, e: to have the potential at the sites. A cation is drawn to the lowest potential.
    symmetry
        Of `crystal`, where it is known already.

    Returns
    -------
    tuple of InterstitialSite
        In the order of falling `nearest_A`. Geometry only: whether an ion is stable there, the forces
        decide, and in X3BA an extra X ion prefers to split a regular site (see dumbbells.py).

    Raises
    ------
    ConfigError
        If a distance is negative, the cell is empty or not periodic, or the charges do not close.

    Notes
    -----
    Limits: fcc has the octahedral hole (nearest a/2, one per atom) and the tetrahedral one (√3 a/4, two per
    atom); rocksalt the cube centre (√3 a/4, four ions of each kind); antifluorite the octahedral hole. Cubic
    X3BA, whose X and A make up an fcc lattice with B in one quarter of its octahedra, has the other octahedra
    at the edge centres (a/2, four X and two A) and the tetrahedra at (1/4, 1/4, 1/4) (√3 a/4, three X, one A
    and one B).
    """
    for name, value in (("minimum_distance_A", minimum_distance_A), ("merge_A", merge_A)):
        if not 0 <= value < np.inf:
            raise ConfigError(f"{name} must be a distance in Å, 0 or more, got {value!r}")
    symmetry = crystal_symmetry(crystal) if symmetry is None else symmetry
    cell = crystal.cell.array
    ions_A, ion_of = _with_images(crystal.get_scaled_positions(wrap=True), cell, _covering_radius_A(cell))
    ions = cKDTree(ions_A)
    vertices_A, radii_A = _vertices(ions, cell, minimum_distance_A)
    orbits = []
    left = np.ones(len(vertices_A), dtype=bool)
    for k in np.argsort(-radii_A, kind="stable"):
        if not left[k]:
            continue
        centre = _onto_special_position(vertices_A[k] @ np.linalg.inv(cell), symmetry, merge_A)
        orbit = _orbit(centre, symmetry)
        images_A, _ = _with_images(orbit, cell, merge_A)
        left &= cKDTree(images_A).query(vertices_A)[0] > merge_A
        left[k] = False
        if ions.query(orbit[0] @ cell)[0] >= minimum_distance_A:
            orbits.append(orbit)
    names = _names_of(crystal, orbits, symmetry.tolerance_A)
    potentials_V = [None] * len(orbits)
    if formal_charges_e is not None and orbits:
        potentials_V = _potentials_V(crystal, formal_charges_e, np.array([orbit[0] for orbit in orbits]))
    symbols, species = np.array(crystal.get_chemical_symbols()), dict.fromkeys(crystal.get_chemical_symbols())
    sites = [
        _site(orbit, name, potential_V, ions, symbols[ion_of], species, cell)
        for orbit, name, potential_V in zip(orbits, names, potentials_V, strict=True)
    ]
    return tuple(sorted(sites, key=lambda site: (-round(site.nearest_A, 3), site.scaled_position)))


def equivalent_positions(site: InterstitialSite, *, repeats=1) -> np.ndarray:
    """Return all sites equivalent to `site` in a supercell.

    Parameters
    ----------
    site
        From `interstitial_sites` of the unit cell.
    repeats
        Of that cell, as in `simtools.structures.build_supercell`.

    Returns
    -------
    ndarray
        Fractional coordinates in the supercell, shape (n_cells * multiplicity, 3); cell by cell in the order
        in which ``Atoms.repeat`` puts the atoms.
    """
    counts = check_repeats(repeats)
    corners = np.array(list(itertools.product(*map(range, counts))), dtype=float)
    positions = np.array(site.equivalent_scaled_positions)
    return ((corners[:, None] + positions) / counts).reshape(-1, 3)


def _covering_radius_A(cell):
    """Return an upper bound of the distance of any point to the nearest lattice point.

    Half the diagonal of the box of the Gram-Schmidt vectors: L. Babai, Combinatorica 6, 1 (1986).
    """
    return 0.5 * float(np.linalg.norm(np.linalg.qr(cell.T, mode="r").diagonal()))


def _with_images(scaled, cell, margin_A):
    """Return Cartesian points and their images within a margin around the cell, and whose image each is."""
    margin = margin_A / cell_heights_A(cell)
    ranges = [np.arange(-np.ceil(m), np.ceil(m) + 1) for m in margin]
    shifts = np.array(list(itertools.product(*ranges)))
    points = (scaled[None] + shifts[:, None]).reshape(-1, 3)
    owner = np.tile(np.arange(len(scaled)), len(shifts))
    inside = np.all((points >= -margin - 1e-9) & (points <= 1 + margin + 1e-9), axis=1)
    return points[inside] @ cell, owner[inside]


def _vertices(ions, cell, minimum_distance_A):
    """Return the Voronoi vertices inside the cell and the radius of the empty sphere around each."""
    vertices_A = Voronoi(ions.data).vertices
    scaled = vertices_A @ np.linalg.inv(cell)
    vertices_A = vertices_A[np.all((scaled > -1e-6) & (scaled < 1 + 1e-6), axis=1)]
    radii_A = ions.query(vertices_A)[0]
    wide = radii_A >= minimum_distance_A
    return vertices_A[wide], radii_A[wide]


def _onto_special_position(scaled, symmetry, reach_A):
    """Return the mean of the images of a point nearer than `reach_A`, if their operations all keep it."""
    images = symmetry.images_of(scaled)
    offsets = minimum_image((images - scaled) @ symmetry.cell_A, symmetry.cell_A)
    distances = np.linalg.norm(offsets, axis=1)
    inverse = np.linalg.inv(symmetry.cell_A)
    while True:
        near = distances <= max(reach_A, symmetry.tolerance_A)
        centre = scaled + offsets[near].mean(axis=0) @ inverse
        moved = symmetry.rotations[near] @ centre + symmetry.translations[near] - centre
        moved = (moved - np.round(moved)) @ symmetry.cell_A
        if np.linalg.norm(moved, axis=1).max() <= 2 * symmetry.tolerance_A or reach_A < symmetry.tolerance_A:
            return centre
        reach_A /= 2


def _orbit(scaled, symmetry):
    """Return the distinct images of a point, shape (multiplicity, 3), the smallest coordinates first."""
    cell = symmetry.cell_A
    images = symmetry.images_of(scaled)
    images = np.where(images > 1 - 1e-6, 0.0, np.where(images < 1e-6, 0.0, images))
    reach = 4 * symmetry.tolerance_A * np.linalg.norm(np.linalg.inv(cell), 2)
    groups = cKDTree(images, boxsize=1.0).query_ball_point(images, reach)
    firsts = np.unique([min(group) for group in groups])
    distinct = images[firsts]
    return distinct[np.lexsort(np.round(distinct, 6).T[::-1])]


def _names_of(crystal, orbits, tolerance_A):
    """Return site symmetry and Wyckoff letter of each orbit: they are sites of a crystal that has them."""
    if not orbits:
        return []
    filled = crystal + Atoms(
        "X" * sum(map(len, orbits)),
        scaled_positions=np.concatenate(orbits),
        cell=crystal.cell,
        pbc=True,
    )
    labels = [-1] * len(crystal) + [k for k, orbit in enumerate(orbits) for _ in orbit]
    symmetry = crystal_symmetry(filled, labels=labels, tolerance_A=tolerance_A)
    firsts = len(crystal) + np.cumsum([0, *map(len, orbits[:-1])])
    return [(symmetry.site_symmetries[k], symmetry.wyckoff_letters[k]) for k in firsts.tolist()]


def _potentials_V(crystal, formal_charges_e, scaled):
    """Return the potential at points that are no ions, shape (n_points,), V, by Ewald's sum.

    P. P. Ewald, Ann. Phys. 369, 253 (1921). Both sums end where their terms are below 1e-10 of the leading
    ones; without the term k = 0 the mean over the cell is zero.
    """
    symbols = crystal.get_chemical_symbols()
    missing = sorted(set(symbols) - set(formal_charges_e))
    if missing:
        raise ConfigError(f"formal_charges_e must name every species, {', '.join(missing)} is missing")
    charges = np.array([float(formal_charges_e[symbol]) for symbol in symbols])
    if abs(charges.sum()) > 1e-9:
        raise ConfigError(f"the formal charges of the crystal must close, they sum to {charges.sum():+g} e")
    cell, volume_A3 = crystal.cell.array, crystal.get_volume()
    alpha = math.sqrt(math.pi) * (len(crystal) / volume_A3**2) ** (1 / 6)
    reach = math.sqrt(-math.log(1e-10))
    own = crystal.get_scaled_positions()
    near_A, owner = _with_images(own % 1.0, cell, reach / alpha)
    distances_A = np.linalg.norm(near_A - (scaled @ cell)[:, None], axis=-1)
    real = (charges[owner] * erfc(alpha * distances_A) / distances_A).sum(axis=1)
    reciprocal = 2 * math.pi * np.linalg.inv(cell).T
    waves = 2 * reach * alpha / cell_heights_A(reciprocal)
    indices = np.array(list(itertools.product(*(np.arange(-np.ceil(n), np.ceil(n) + 1) for n in waves))))
    indices = indices[np.any(indices != 0, axis=1)]
    k2 = np.sum((indices @ reciprocal) ** 2, axis=1)
    weights = 4 * math.pi / volume_A3 * np.exp(-k2 / (4 * alpha**2)) / k2
    structure = np.exp(2j * math.pi * indices @ own.T) @ charges
    waves_at = np.exp(-2j * math.pi * scaled @ indices.T)
    return COULOMB_EV_A * (real + np.real(waves_at @ (weights * structure)))


def _site(orbit, name, potential_V, ions, symbols, species, cell):
    point_A = wrap(orbit[0] @ cell, cell)
    nearest_A = float(ions.query(point_A)[0])
    around = symbols[ions.query_ball_point(point_A, _NEIGHBOUR_REACH * nearest_A)].tolist()
    distances_A = np.linalg.norm(ions.data - point_A, axis=1)
    species = sorted(species, key=lambda symbol: round(distances_A[symbols == symbol].min(), 6))
    return InterstitialSite(
        scaled_position=tuple(orbit[0].tolist()),
        equivalent_scaled_positions=tuple(map(tuple, orbit.tolist())),
        site_symmetry=name[0],
        wyckoff_letter=name[1],
        nearest_A=nearest_A,
        neighbours={symbol: around.count(symbol) for symbol in species if symbol in around},
        distances_A={symbol: float(distances_A[symbols == symbol].min()) for symbol in species},
        potential_V=None if potential_V is None else float(potential_V),
    )
