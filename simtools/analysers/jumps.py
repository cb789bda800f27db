"""Jumps of ions between the sites of the crystal, without recrossings. Rates: jump_rates.py."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simtools.analysers.kernels import jumps as kernels
from simtools.analysers.site_assignment import check_on_sites, ions_on_moving_sites
from simtools.analysers.sites import ions_on_sites, sublattice_of_atoms
from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Result, quantity
from simtools.md.trajectory import Trajectory

__all__ = ["CORE_FRACTION", "SHORTEST_STAY_PS", "Jumps", "find_jumps"]

CORE_FRACTION = 0.6
"""Radius of a core over half the smallest distance between sites: 0.84 Å for Li in Li3OCl (2.8 Å), wider
than its thermal vibration, so that ions at rest are always seen; and two cores are 1.1 Å apart."""

SHORTEST_STAY_PS = 0.2
"""One period of 5 THz, the order of a cation's attempt frequency: an ion that comes back sooner has not
been through one vibration on the new site."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Jumps(Result):
    """Every lasting jump of one species, in order of time.

    Attributes
    ----------
    species : str
        The ion that jumps, among the sites of its own sublattice.
    n_ions, n_sites, n_vacancies : int
        Ions of the species; sites of the sublattice; sites less all ions on it, dopants included.
    n_crossings : int
        Changes of the nearest site, frame by frame, before anything is removed.
    n_recrossings : int
        Excursions to another core that ended within `shortest_stay_ps` where they began.
    ions, initial_sites, final_sites : ndarray of int
        Index of the atom in the trajectory and of sites in its `lattice_sites`.
    last_ps, first_ps
        Last time in the core of the old site and first time in that of the new one.
    vectors_A
        From site to site, in the mean cell and through its faces.
    observed_ps
        Start and end of the time in which jumps count: those nearer to an end of the trajectory than
        `shortest_stay_ps` are left out, because what came before or after is unknown.
    sites_A, cell_A
        The sites of the sublattice and the mean cell, for a skewed one the compact cell of the same lattice;
        `site_indices` are their places in `lattice_sites`.
    """

    species: str
    n_ions: int
    n_sites: int
    n_vacancies: int
    n_crossings: int
    n_recrossings: int
    ions: np.ndarray = quantity("1", shape="(n_jumps,)")
    initial_sites: np.ndarray = quantity("1", shape="(n_jumps,)")
    final_sites: np.ndarray = quantity("1", shape="(n_jumps,)")
    last_ps: np.ndarray = quantity("ps", shape="(n_jumps,)")
    first_ps: np.ndarray = quantity("ps", shape="(n_jumps,)")
    vectors_A: np.ndarray = quantity("angstrom", shape="(n_jumps, 3)")
    observed_ps: np.ndarray = quantity("ps", shape="(2,)")
    frame_interval_ps: float = quantity("ps")
    core_radius_A: float = quantity("angstrom")
    shortest_stay_ps: float = quantity("ps")
    site_indices: np.ndarray = quantity("1", shape="(n_sites,)")
    sites_A: np.ndarray = quantity("angstrom", shape="(n_sites, 3)")
    cell_A: np.ndarray = quantity("angstrom", shape="(3, 3)")

    @property
    def n_jumps(self):
        """Number of lasting jumps."""
        return len(self.ions)

    @property
    def times_ps(self):
        """Middle between leaving the old core and entering the new one, ps, shape (n_jumps,)."""
        return 0.5 * (self.last_ps + self.first_ps)

    @property
    def lengths_A(self):
        """Distance between the two sites, Å, shape (n_jumps,)."""
        return np.linalg.norm(self.vectors_A, axis=1)

    @property
    def duration_ps(self):
        """Length of the time in which jumps count, ps."""
        return float(self.observed_ps[1] - self.observed_ps[0])


def find_jumps(
    trajectory: Trajectory,
    *,
    species: str | Sequence[str],
    sublattice: str | Sequence[str] | None = None,
    core_fraction: float = CORE_FRACTION,
    shortest_stay_ps: float = SHORTEST_STAY_PS,
    moving_sites: bool = False,
) -> Jumps:
    """Find the jumps of a species between the sites of its sublattice.

    An ion has jumped when it enters the core of another site, a sphere around it: crossing the border
    between two sites, however often, is no jump. An ion that is back in the core that it came from within
    `shortest_stay_ps` has not jumped either; one that goes on to a third site has jumped twice.

    Parameters
    ----------
    trajectory
        Unwrapped, with `lattice_sites` (from the builder, or from `simtools.analysers.density.find_sites`).
    species
        The ion: mobile cations, O and halides on their own sublattices, or a foreign ion on another's.
        Several count together, as is right for `concerted_jumps` where all of them move.
    sublattice
        On whose sites; by default those of the species, or those that the foreign ion started on. Several
        where ions exchange between the sites of two species, which are then one sublattice.
    core_fraction
        Radius of the cores over half the smallest distance between sites, between 0 and 1.
    shortest_stay_ps
        Time within which a return undoes a jump, ps; 0 keeps all that frames show.
    moving_sites
        Let the centre of each site follow the host ions around it
        (`simtools.analysers.site_assignment.assign_ions`, "dynamic"): for crystals that distort.

    Returns
    -------
    Jumps

    Raises
    ------
    ConfigError
        If the trajectory carries no sites, its ions are not on them, it is too short, or an option is out
        of range.
    UnknownSpeciesError
        If the species is not there, or has no sites.

    Notes
    -----
    Limits: telegraph noise across a border gives none; a walk on the lattice, all its jumps but those
    undone between two frames. An ion of a dumbbell is in no core: with more ions than sites, an ion has
    jumped when it comes to rest alone, and `simtools.analysers.defect_tracks` shows the steps. Cores instead
    of borders: N.-V. Buchete and G. Hummer, J. Phys. Chem. B 112, 6057 (2008).
    """
    if not 0 < core_fraction <= 1:
        raise ConfigError(f"core_fraction must lie above 0 and at most at 1, got {core_fraction!r}")
    if not shortest_stay_ps >= 0:
        raise ConfigError(f"shortest_stay_ps must be 0 or more, got {shortest_stay_ps!r}")
    margin_ps = trajectory.frame_interval_ps * np.ceil(shortest_stay_ps / trajectory.frame_interval_ps - 1e-9)
    if trajectory.duration_ps <= 2 * margin_ps:
        raise ConfigError(
            f"a trajectory of {trajectory.duration_ps:g} ps shows no stays of {shortest_stay_ps:g} ps; "
            "expected more than twice that"
        )
    locate = ions_on_moving_sites if moving_sites else ions_on_sites
    names = (species,) if isinstance(species, str) else tuple(species)
    sited = locate(trajectory, species=_sublattice(trajectory, names) if sublattice is None else sublattice)
    check_on_sites(sited)
    columns = np.flatnonzero(np.isin(trajectory.species[sited.atom_indices], names))
    if len(columns) == 0:
        raise UnknownSpeciesError(", ".join(names), sorted(set(trajectory.species.tolist())))
    radius_t = core_fraction * _half_spacing_A(sited)
    site_tn = _columns(sited.sites, columns)
    visits = kernels.core_visits(
        _columns(sited.scaled_positions, columns),
        sited.cells_A,
        sited.scaled_sites,
        site_tn,
        radius_t,
    )
    visits, n_recrossings = kernels.lasting_visits(
        visits, shortest_stay_ps / trajectory.frame_interval_ps - 1e-9
    )
    follows = np.flatnonzero(visits[1:, kernels.ION] == visits[:-1, kernels.ION])
    before, after = visits[follows], visits[follows + 1]
    observed_ps = np.array([margin_ps, trajectory.duration_ps - margin_ps])
    last_ps = before[:, kernels.LAST] * trajectory.frame_interval_ps
    first_ps = after[:, kernels.FIRST] * trajectory.frame_interval_ps
    middle_ps = 0.5 * (last_ps + first_ps)
    counted = np.flatnonzero((middle_ps >= observed_ps[0]) & (middle_ps <= observed_ps[1]))
    order = counted[np.argsort(middle_ps[counted], kind="stable")]
    before, after = before[order], after[order]
    cell = sited.cells_A.mean(axis=0)
    places = [
        sited.scaled_sites[visit[:, kernels.SITE]] + visit[:, kernels.IMAGE : kernels.IMAGE + 3]
        for visit in (before, after)
    ]
    return Jumps(
        species=", ".join(names),
        n_ions=len(columns),
        n_sites=len(sited.site_indices),
        n_vacancies=max(0, len(sited.site_indices) - len(sited.atom_indices)),
        n_crossings=int((site_tn[1:] != site_tn[:-1]).sum()),
        n_recrossings=int(n_recrossings),
        ions=sited.atom_indices[columns][before[:, kernels.ION]],
        initial_sites=sited.site_indices[before[:, kernels.SITE]],
        final_sites=sited.site_indices[after[:, kernels.SITE]],
        last_ps=last_ps[order],
        first_ps=first_ps[order],
        vectors_A=(places[1] - places[0]) @ cell,
        observed_ps=observed_ps,
        frame_interval_ps=trajectory.frame_interval_ps,
        core_radius_A=float(radius_t.mean()),
        shortest_stay_ps=float(shortest_stay_ps),
        site_indices=sited.site_indices,
        sites_A=sited.scaled_sites @ cell,
        cell_A=cell,
        provenance=collect_provenance(
            species=list(names),
            sublattice=sublattice if sublattice is None or isinstance(sublattice, str) else list(sublattice),
            core_fraction=core_fraction,
            shortest_stay_ps=shortest_stay_ps,
            moving_sites=moving_sites,
        ),
    )


def _sublattice(trajectory, names):
    """Return the species on whose sites the ions of these species are."""
    lattice = trajectory.lattice_sites
    if lattice is None or set(names) <= set(lattice.species.tolist()):
        return names
    foreign = np.isin(trajectory.species, [name for name in names if name not in lattice.species])
    homes = set(sublattice_of_atoms(trajectory)[foreign].tolist()) | (
        set(names) & set(lattice.species.tolist())
    )
    if len(homes) > 1:
        raise ConfigError(
            f"{', '.join(names)} are on more than one sublattice ({', '.join(sorted(homes))}): name one"
        )
    return tuple(homes) or names


def _columns(values, columns):
    return values if len(columns) == values.shape[1] else np.ascontiguousarray(values[:, columns])


def _half_spacing_A(sited):
    """Return half the smallest distance between sites, images of a lone site included, per cell, Å."""
    if len(sited.scaled_sites) > 1:
        return sited.inscribed_A
    edges = np.linalg.norm(sited.cells_A, axis=2).min(axis=1)
    return 0.5 * edges
