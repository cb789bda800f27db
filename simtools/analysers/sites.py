"""Ions on the sites of the perfect crystal, and the vacancies between them. Pairs: see association.py."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase.geometry import minkowski_reduce

from simtools.analysers.kernels import sites as kernels
from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.core.periodic import shortest_distance_A
from simtools.md.trajectory import Trajectory

INTERSTITIAL = "i"
"""In place of a species: an ion that belongs to no lattice site (the `site_species` of such a defect)."""

_OFFSET_ITERATIONS = 3
_OFFSET_FRAMES = 4
_CLOSEST_SITES_A = 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class SiteOccupation:
    """Where the ions of one sublattice are, frame by frame.

    Attributes
    ----------
    sublattice : str
        The species that belongs on these sites.
    site_indices : ndarray of int
        Index of each site into ``trajectory.lattice_sites``, shape (n_sites,).
    atom_indices : ndarray of int
        The ions followed: those of the species itself and foreign ions that started on its sites, shape
        (n_ions,).
    sites : ndarray of int32
        The site each ion is nearest to, counted within `site_indices`, shape (n_frames, n_ions).
    vacancies : ndarray of int32
        Net vacancies, counted within `site_indices`, shape (n_frames, n_sites - n_ions), in ascending order
        within a frame.
    n_excess : ndarray of int32
        Ions in excess of one per site, per frame: doubly occupied sites and interstitials, each of which has
        cancelled its nearest empty site.
    """

    sublattice: str
    site_indices: np.ndarray
    atom_indices: np.ndarray
    sites: np.ndarray
    vacancies: np.ndarray
    n_excess: np.ndarray

    @property
    def excess_fraction(self) -> float:
        """Ions in excess per ion, averaged over frames."""
        return float(self.n_excess.mean() / self.sites.shape[1])


@dataclass(frozen=True, eq=False, kw_only=True)
class SitedIons:
    """Ions of one sublattice in the frame of its sites.

    Attributes
    ----------
    site_indices, atom_indices : ndarray of int
        As in `SiteOccupation`.
    scaled_positions : ndarray
        Unwrapped fractional positions of the ions, shape (n_frames, n_ions, 3).
    scaled_sites : ndarray
        Fractional positions of the sites, shape (n_sites, 3).
    cells_A : ndarray
        Shape (n_frames or 1, 3, 3), Å. A skewed cell is replaced by the compact one of the same lattice, and
        fractions refer to that: nearest images are then found by rounding.
    basis : ndarray
        Whole numbers, shape (3, 3): ``basis @ cell`` of the trajectory gives `cells_A`.
    inscribed_A : ndarray
        Half the smallest distance between sites (a lower bound) per cell, shape (n_frames or 1,), Å.
    sites : ndarray of int32
        The site each ion is nearest to, counted within `site_indices`, shape (n_frames, n_ions).
    """

    site_indices: np.ndarray
    atom_indices: np.ndarray
    scaled_positions: np.ndarray
    scaled_sites: np.ndarray
    cells_A: np.ndarray
    basis: np.ndarray
    inscribed_A: np.ndarray
    sites: np.ndarray

    def positions_in_cell(self):
        """Return the fractional positions in the trajectory's own cell, shape (n_frames, n_ions, 3)."""
        if np.array_equal(self.basis, np.eye(3)):
            return self.scaled_positions
        return self.scaled_positions @ self.basis


@dataclass(frozen=True, eq=False, kw_only=True)
class HostIons:
    """The ions of all other sublattices, in the basis and the frame of `SitedIons`.

    Attributes
    ----------
    site_indices : ndarray of int
        As in `SitedIons`: the sublattice whose host this is.
    own_sites : ndarray
        Fractional positions of its sites, shape (n_sites, 3).
    scaled_sites, species
        Fractional positions of the host's sites, shape (n_host_sites, 3), and which species belongs there.
    cell_A : ndarray
        Mean cell, shape (3, 3), Å.
    sites : ndarray of int
        The site each host ion is nearest to, shape (n_frames, n_host), and
    residuals : ndarray
        its fractional distance from it, shape (n_frames, n_host, 3).
    """

    site_indices: np.ndarray
    own_sites: np.ndarray
    scaled_sites: np.ndarray
    species: np.ndarray
    cell_A: np.ndarray
    sites: np.ndarray
    residuals: np.ndarray


def host_ions(trajectory: Trajectory, *, species: str | Sequence[str]) -> HostIons:
    """Return the host of a sublattice, each ion with the site it is nearest to.

    Parameters
    ----------
    trajectory, species
        As for `ions_on_sites`.

    Returns
    -------
    HostIons
        Empty where there is no other sublattice.

    Raises
    ------
    ConfigError, UnknownSpeciesError
        As `ions_on_sites`.
    """
    lattice, cells, _ = _compact(trajectory)
    own = _sites_of(lattice, species)
    home = sublattice_of_atoms(trajectory)
    others = np.setdiff1d(np.arange(len(lattice.species)), own)
    host = np.flatnonzero(~_among(home, species) & np.isin(home, lattice.species))
    inverse = np.linalg.inv(cells)
    s_tnc = _scaled(trajectory, host, inverse)
    if len(host):
        s_tnc -= _host_offset(trajectory, lattice, home, species, cells, inverse)[:, None, :]
    residual_tnc, site_tn = _residuals(s_tnc, _kinds(home[host], lattice, cells), cells)
    place = np.full(len(lattice.species), -1)
    place[others] = np.arange(len(others))
    return HostIons(
        site_indices=own,
        own_sites=lattice.scaled_positions[own],
        scaled_sites=lattice.scaled_positions[others],
        species=lattice.species[others],
        cell_A=cells.mean(axis=0),
        sites=place[site_tn],
        residuals=residual_tnc,
    )


def sublattice_of_atoms(trajectory: Trajectory) -> np.ndarray:
    """Return the sublattice of every atom.

    An ion belongs to the sites of its own species; a foreign ion to those of its first site, if it is within
    half the smallest distance between such sites (else to none, ``"i"``: sites of one species only, as from
    a density, have the rest of the crystal between them). Where the
    trajectory remembers what the builder put in, that decides: a dopant or an antisite ion belongs to the
    site it took, an interstitial foreign ion and all but the first ion of a molecular one to none, ``"i"``.
    Interstitials and dumbbells of a host species stay with it, because they change places with its ions.

    Returns
    -------
    ndarray of str
        Shape (n_atoms,).

    Raises
    ------
    ConfigError
        If the trajectory carries no lattice sites.
    """
    lattice, cells, _ = _compact(trajectory)
    home = trajectory.species.copy().astype(object)
    foreign = np.flatnonzero(~np.isin(trajectory.species, lattice.species))
    if len(foreign):
        cells = cells[:1]
        s_tnc = trajectory.positions_A[:1, foreign] @ np.linalg.inv(cells[0])
        first = kernels.assign_sites(s_tnc, cells, lattice.scaled_positions, np.zeros(1))[0]
        home[foreign] = np.where(
            _on_site(s_tnc[0], first, lattice, cells[0]), lattice.species[first], INTERSTITIAL
        )
    for defect in trajectory.defects:
        ions = defect.get("atom_indices", ())
        if defect["kind"] == "interstitial" and set(trajectory.species[list(ions)]) <= set(lattice.species):
            continue
        if defect["kind"] not in ("vacancy", "dumbbell"):
            home[list(ions[:1])] = defect["site_species"]
            home[list(ions[1:])] = INTERSTITIAL
    return home.astype(str)


def site_occupation(trajectory: Trajectory, *, species: str) -> SiteOccupation:
    """Assign the ions of one sublattice to its sites and list the vacancies.

    Each ion belongs to the nearest site of its sublattice, in the frame in which the other sublattices sit
    on their sites on average (so neither a drift of the cell's content nor hops of a few host ions matter),
    at any cell shape, with the cell of each frame.

    Parameters
    ----------
    trajectory
        Unwrapped, with `lattice_sites`.
    species
        The species that belongs on the sites.

    Returns
    -------
    SiteOccupation

    Raises
    ------
    UnknownSpeciesError
        If no site belongs to `species`.
    ConfigError
        If the trajectory carries no lattice sites, or has more ions than sites (interstitials, dumbbells).
    """
    ions = ions_on_sites(trajectory, species=species)
    if len(ions.atom_indices) > len(ions.site_indices):
        raise ConfigError(
            f"{len(ions.atom_indices)} ions for {len(ions.site_indices)} {species} sites, none vacant on "
            "balance: the cell holds interstitials or dumbbells, or lattice_sites are not of the perfect "
            "supercell"
        )
    vacancy_tv, excess_t = kernels.empty_sites(ions.sites, ions.scaled_sites, ions.cells_A)
    return SiteOccupation(
        sublattice=species,
        site_indices=ions.site_indices,
        atom_indices=ions.atom_indices,
        sites=ions.sites,
        vacancies=vacancy_tv,
        n_excess=excess_t,
    )


def ions_on_sites(trajectory: Trajectory, *, species: str | Sequence[str]) -> SitedIons:
    """Bring the ions of one sublattice into the frame of its sites and assign each to the nearest.

    Parameters
    ----------
    trajectory
        As for `site_occupation`; there may be more ions than sites.
    species
        The species that belongs on the sites, or several whose sites are one sublattice to the ions: cations
        of two kinds that exchange places.

    Returns
    -------
    SitedIons

    Raises
    ------
    UnknownSpeciesError
        If no site belongs to `species`.
    ConfigError
        If the trajectory carries no lattice sites, or two of them are less than 0.5 Å apart.
    """
    lattice, cells, basis = _compact(trajectory)
    site_indices = _sites_of(lattice, species)
    home = sublattice_of_atoms(trajectory)
    atom_indices = np.flatnonzero(_among(home, species))
    inverse = np.linalg.inv(cells)
    sites_sc = np.ascontiguousarray(lattice.scaled_positions[site_indices])
    offset_tc = _host_offset(trajectory, lattice, home, species, cells, inverse)
    s_tnc = _scaled(trajectory, atom_indices, inverse)
    s_tnc -= offset_tc[:, None, :]
    inscribed_A = _inscribed_A(sites_sc, cells)
    if len(sites_sc) > 1 and inscribed_A.min() < 0.5 * _CLOSEST_SITES_A:
        raise ConfigError(
            f"two {' or '.join(_names(species))} sites lie {2 * inscribed_A.min():.2g} Å apart, expected at "
            f"least {_CLOSEST_SITES_A} Å: sites are listed twice, or merge them (split sites are one here)"
        )
    return SitedIons(
        site_indices=site_indices,
        atom_indices=atom_indices,
        scaled_positions=s_tnc,
        scaled_sites=sites_sc,
        cells_A=cells,
        basis=basis,
        inscribed_A=inscribed_A,
        sites=kernels.assign_sites(s_tnc, cells, sites_sc, inscribed_A),
    )


def _names(species):
    return (species,) if isinstance(species, str) else tuple(species)


def _among(values, species):
    return np.isin(values, _names(species))


def _sites_of(lattice, species):
    for name in _names(species):
        if name not in lattice.species:
            raise UnknownSpeciesError(name, tuple(dict.fromkeys(lattice.species.tolist())))
    return np.flatnonzero(_among(lattice.species, species))


def _on_site(s_nc, sites, lattice, cell):
    """Return which ions are within half the smallest distance between sites like their nearest one."""
    on_site = np.zeros(len(s_nc), dtype=bool)
    for name in dict.fromkeys(lattice.species[sites].tolist()):
        alike = lattice.scaled_positions[lattice.species == name]
        here = lattice.species[sites] == name
        offsets = s_nc[here] - lattice.scaled_positions[sites[here]]
        reach_A = 0.5 * shortest_distance_A(alike @ cell, cell)
        on_site[here] = np.linalg.norm((offsets - np.round(offsets)) @ cell, axis=1) < reach_A
    return on_site


def _compact(trajectory):
    """Return lattice sites and cells, (n_frames or 1, 3, 3), in a compact basis, and that basis."""
    lattice = _lattice(trajectory)
    cells = np.asarray(trajectory.cells_A)
    cells = np.ascontiguousarray(cells[None] if cells.ndim == 2 else cells)
    mean = cells.mean(axis=0)
    reduced, basis = minkowski_reduce(mean, pbc=True)
    if np.square(reduced).sum() > np.square(mean).sum() * (1 - 1e-9):
        return lattice, cells, np.eye(3, dtype=int)
    sites_sc = lattice.scaled_positions @ np.linalg.inv(basis)
    return replace(lattice, scaled_positions=sites_sc), np.ascontiguousarray(basis @ cells), basis


def _lattice(trajectory):
    if trajectory.lattice_sites is None:
        raise ConfigError(
            "this trajectory carries no lattice_sites, so vacancies cannot be located; build the cell with "
            "simtools.defects.build_defects or set Trajectory.lattice_sites"
        )
    return trajectory.lattice_sites


def _scaled(trajectory, atoms, inverse):
    positions = trajectory.positions_A[:, atoms]
    return np.ascontiguousarray(positions @ (inverse[0] if len(inverse) == 1 else inverse))


def _inscribed_A(sites_sc, cells):
    """Return half the smallest distance between sites, a lower bound per cell, shape (n_cells,)."""
    if len(sites_sc) < 2:
        return np.zeros(len(cells))
    smallest = np.inf
    for site in range(len(sites_sc) - 1):
        offsets = sites_sc[site + 1 :] - sites_sc[site]
        offsets -= np.round(offsets)
        smallest = min(smallest, np.linalg.norm(offsets @ cells[0], axis=1).min())
    stretch = np.linalg.svd(np.linalg.inv(cells[0]) @ cells, compute_uv=False)[..., -1]
    return 0.5 * smallest * stretch


def _host_offset(trajectory, lattice, home, species, cells, inverse):
    """Return how far the host sits off its sites, fractional, shape (n_frames, 3); zero without a host."""
    offset_tc = np.zeros((trajectory.n_frames, 3))
    host = np.flatnonzero(~_among(home, species) & np.isin(home, lattice.species))
    if len(host) == 0:
        return offset_tc
    s_tnc = _scaled(trajectory, host, inverse)
    kinds = _kinds(home[host], lattice, cells)
    for _ in range(_OFFSET_ITERATIONS):
        residual = _residuals(s_tnc[:1] - offset_tc[0], kinds, cells[:1], slice(0, 1))[0][0]
        offset_tc[0] += np.median(residual, axis=0)
    # step by step, because ions of a mobile host leave their first sites for good
    before_c, before_nc = offset_tc[0].copy(), s_tnc[0]
    for start in range(0, len(s_tnc), _OFFSET_FRAMES):
        block = slice(start, start + _OFFSET_FRAMES)
        guess_tc = before_c + np.median(s_tnc[block] - before_nc, axis=1)
        residual_tnc, _ = _residuals(s_tnc[block] - guess_tc[:, None, :], kinds, cells, block)
        offset_tc[block] = guess_tc + residual_tnc.mean(axis=1)
        before_c, before_nc = offset_tc[block][-1], s_tnc[block][-1]
    return offset_tc


def _kinds(home, lattice, cells):
    """Return (ions, sites, fractional sites, `_inscribed_A`) of each kind of host ion."""
    kinds = []
    for name in dict.fromkeys(home.tolist()):
        alike = np.flatnonzero(lattice.species == name)
        sites_sc = np.ascontiguousarray(lattice.scaled_positions[alike])
        kinds.append((np.flatnonzero(home == name), alike, sites_sc, _inscribed_A(sites_sc, cells)))
    return kinds


def _residuals(s_tnc, kinds, cells, frames=slice(None)):
    """Return each host ion's fractional distance from its nearest site, and that site of the lattice."""
    residual, nearest = np.empty_like(s_tnc), np.zeros(s_tnc.shape[:2], dtype=np.int64)
    cells = cells if len(cells) == 1 else cells[frames]
    for members, alike, sites_sc, inscribed_A in kinds:
        part = np.ascontiguousarray(s_tnc[:, members])
        near_A = inscribed_A if len(inscribed_A) == 1 else inscribed_A[frames]
        sites = kernels.assign_sites(part, cells, sites_sc, near_A)
        difference = part - sites_sc[sites]
        residual[:, members] = difference - np.round(difference)
        nearest[:, members] = alike[sites]
    return residual, nearest
