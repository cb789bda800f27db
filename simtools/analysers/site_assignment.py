"""Which site each ion is on, by three conventions side by side. The crystal's sites: sites.py."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from simtools.analysers.kernels import sites as kernels
from simtools.analysers.sites import SitedIons, host_ions, ions_on_sites
from simtools.core.errors import ConfigError
from simtools.core.periodic import shortest_distance_A
from simtools.md.trajectory import Trajectory

__all__ = [
    "CONVENTIONS",
    "NOWHERE",
    "SiteAssignment",
    "assign_ions",
    "check_on_sites",
    "dynamic_centres",
    "ions_on_moving_sites",
]

CONVENTIONS = ("voronoi", "spherical", "dynamic")
NOWHERE = -1
"""In place of a site: an ion in no sphere."""

_SHELL_WIDTH = 1.15
_N_NEAR = 27
_FRAMES_LOOKED_AT = 100
_FAR_FROM_SITES = 0.9


@dataclass(frozen=True, eq=False, kw_only=True)
class SiteAssignment:
    """Ions of one sublattice on its sites.

    Attributes
    ----------
    convention : str
        "voronoi", "spherical" or "dynamic".
    site_indices, atom_indices : ndarray of int
        Indices of the sites into ``trajectory.lattice_sites``, and of the ions into the trajectory.
    sites : ndarray of int32
        Site of each ion, counted within `site_indices`, -1 for nowhere, shape (n_frames, n_ions).
    shifts_A : ndarray or None
        How far the centre of each site is off the crystal's, shape (n_frames, n_sites, 3), Å; None where
        centres stay.
    radius_A : float
        Of the spheres, Å; infinite without.
    """

    convention: str
    site_indices: np.ndarray
    atom_indices: np.ndarray
    sites: np.ndarray
    shifts_A: np.ndarray | None
    radius_A: float

    @property
    def unassigned_fraction(self) -> float:
        """Share of ions and frames that are on no site."""
        return float((self.sites == NOWHERE).mean())

    @property
    def mean_occupations(self) -> np.ndarray:
        """Mean number of ions on each site, shape (n_sites,)."""
        counted = np.bincount(self.sites[self.sites != NOWHERE], minlength=len(self.site_indices))
        return counted / len(self.sites)

    def agreement(self, other: "SiteAssignment") -> float:
        """Return the share of ions and frames that both put on the same site, of those both put somewhere."""
        both = (self.sites != NOWHERE) & (other.sites != NOWHERE)
        return float((self.sites == other.sites)[both].mean()) if both.any() else float("nan")


def assign_ions(
    trajectory: Trajectory,
    *,
    species: str,
    convention: str = "voronoi",
    radius_A: float | None = None,
) -> SiteAssignment:
    """Assign the ions of one sublattice to its sites, frame by frame.

    Parameters
    ----------
    trajectory
        Unwrapped, with `lattice_sites`: from the builder, or from `simtools.analysers.density.find_sites`.
    species
        The species that belongs on the sites.
    convention
        "voronoi": the nearest site. "spherical": the site in whose sphere an ion is, or none. "dynamic": the
        nearest site, where sites move with the mean of the host ions around them.
    radius_A
        Of the spheres; by default half the smallest distance between sites, the largest that do not overlap.

    Returns
    -------
    SiteAssignment

    Raises
    ------
    ConfigError
        If the trajectory carries no sites, there is no host to follow, spheres overlap or have no radius.
    UnknownSpeciesError
        If no site belongs to `species`.

    Notes
    -----
    Limits: inside spheres all three agree on a crystal at rest; a distortion of the whole crystal that moves
    host and ions together changes nothing in "dynamic". Jumps are counted on sites at rest or moving ones
    (`find_jumps`), with their own criteria against noise at borders.
    Moving centres: `site_analysis` (B. J. Morgan).
    """
    if convention not in CONVENTIONS:
        raise ConfigError(f"convention must be one of {', '.join(CONVENTIONS)}; got {convention!r}")
    if radius_A is not None and convention != "spherical":
        raise ConfigError(f'radius_A belongs to the convention "spherical", not to {convention!r}')
    sited = ions_on_sites(trajectory, species=species)
    sites, shifts_A, reach_A = sited.sites, None, np.inf
    if convention == "spherical":
        sites, reach_A = _in_spheres(sited, radius_A)
    elif convention == "dynamic":
        shift_tsc = dynamic_centres(trajectory, species=species)
        shifts_A = shift_tsc @ (sited.cells_A[0] if len(sited.cells_A) == 1 else sited.cells_A)
        sites = _nearest_moving(sited, shift_tsc)
    return SiteAssignment(
        convention=convention,
        site_indices=sited.site_indices,
        atom_indices=sited.atom_indices,
        sites=sites,
        shifts_A=shifts_A,
        radius_A=float(reach_A),
    )


def check_on_sites(sited: SitedIons) -> None:
    """Refuse ions that are not where the sites are: another origin, another unit, or a melt.

    Raises
    ------
    ConfigError
        If half of the ions are farther from their nearest site than 0.9 times half the spacing of sites.
    """
    if sited.sites.shape[1] == 0 or not sited.inscribed_A.min() > 0:
        return
    some = slice(None, None, max(1, len(sited.sites) // _FRAMES_LOOKED_AT))
    offsets = sited.scaled_positions[some] - sited.scaled_sites[sited.sites[some]]
    apart_A = np.linalg.norm((offsets - np.round(offsets)) @ sited.cells_A.mean(axis=0), axis=-1)
    median_A, half_A = float(np.median(apart_A)), float(sited.inscribed_A.mean())
    if median_A > _FAR_FROM_SITES * half_A:
        raise ConfigError(
            f"half of the ions are over {median_A:.2g} Å from their nearest site, with sites "
            f"{2 * half_A:.3g} Å apart: check origin, unit and order of lattice_sites, or take those of "
            "simtools.analysers.density.find_sites; a melt has none"
        )


def ions_on_moving_sites(trajectory: Trajectory, *, species: str | Sequence[str]) -> SitedIons:
    """Return what `ions_on_sites` does, for the convention "dynamic".

    Each ion's position is given relative to where its site is at that time, so that sites are at rest.
    """
    sited = ions_on_sites(trajectory, species=species)
    shift_tsc = dynamic_centres(trajectory, species=species)
    sites = _nearest_moving(sited, shift_tsc)
    positions = sited.scaled_positions - np.take_along_axis(shift_tsc, sites[..., None].astype(int), axis=1)
    return replace(sited, scaled_positions=positions, sites=sites)


def _nearest_moving(sited, shift_tsc):
    return kernels.assign_to_moving(
        sited.scaled_positions, sited.cells_A, sited.scaled_sites, shift_tsc, sited.sites, _near(sited)
    )


def _near(sited):
    """Return the sites nearest to each site, itself included, shape (n_sites, n_near)."""
    n_near = min(len(sited.scaled_sites), _N_NEAR)
    near_sk = np.empty((len(sited.scaled_sites), n_near), dtype=np.int64)
    cell = sited.cells_A.mean(axis=0)
    for site, place in enumerate(sited.scaled_sites):
        offsets = sited.scaled_sites - place
        squares = np.square((offsets - np.round(offsets)) @ cell).sum(axis=1)
        near_sk[site] = np.argpartition(squares, n_near - 1)[:n_near]
    return near_sk


def _in_spheres(sited: SitedIons, radius_A):
    cell = sited.cells_A.mean(axis=0)
    largest = 0.5 * shortest_distance_A(sited.scaled_sites @ cell, cell)
    radius_A = largest if radius_A is None else radius_A
    if not 0 < radius_A <= largest * (1 + 1e-6):
        raise ConfigError(
            f"radius_A must be positive and at most {largest:.3g} Å, half the smallest distance between "
            f"sites; got {radius_A!r}"
        )
    inside = kernels.within(
        sited.scaled_positions, sited.cells_A, sited.scaled_sites, sited.sites, float(radius_A)
    )
    return np.where(inside, sited.sites, np.int32(NOWHERE)), radius_A


def dynamic_centres(trajectory: Trajectory, *, species: str | Sequence[str]) -> np.ndarray:
    """Return how far the sites of one sublattice are off the crystal's because the host around them is.

    Parameters
    ----------
    trajectory, species
        As for `assign_ions`.

    Returns
    -------
    ndarray
        Fractional, in the basis of `ions_on_sites`, shape (n_frames, n_sites, 3): the mean over the nearest
        shell of sites of each host species of how far the ions on them are off. A host ion that hops moves
        on to another site and drags none along; an empty host site counts as being in place.

    Raises
    ------
    ConfigError
        If no other sublattice has ions.
    """
    host = host_ions(trajectory, species=species)
    if host.sites.shape[1] == 0:
        raise ConfigError(
            f"sites of {species} have no host to follow: the trajectory has no other sublattice with sites; "
            'use convention="voronoi"'
        )
    n_frames, n_sites = len(host.residuals), len(host.site_indices)
    at_sites_tsc = np.zeros((n_frames, len(host.scaled_sites), 3))
    counts_ts = np.zeros((n_frames, len(host.scaled_sites)))
    frames = np.arange(n_frames)[:, None]
    np.add.at(at_sites_tsc, (frames, host.sites), host.residuals)
    np.add.at(counts_ts, (frames, host.sites), 1.0)
    at_sites_tsc /= np.maximum(counts_ts, 1.0)[..., None]
    around = _shells(host, n_sites)
    return np.stack([at_sites_tsc[:, near].mean(axis=1) for near in around], axis=1)


def _shells(host, n_sites):
    """Return for each site the host sites of the nearest shell of every host species."""
    around = [[] for _ in range(n_sites)]
    for name in dict.fromkeys(host.species.tolist()):
        members = np.flatnonzero(host.species == name)
        for site in range(n_sites):
            offsets = host.scaled_sites[members] - host.own_sites[site]
            distances = np.linalg.norm((offsets - np.round(offsets)) @ host.cell_A, axis=1)
            around[site].append(members[distances <= _SHELL_WIDTH * distances.min()])
    return [np.concatenate(parts) for parts in around]
