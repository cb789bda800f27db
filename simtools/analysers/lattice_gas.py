"""Vacancies that walk on the sites of a crystal with nothing but site exclusion: the reference for jumps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from scipy import stats

from simtools.analysers.jumps import Jumps
from simtools.analysers.kernels import strings as kernels
from simtools.core.errors import ConfigError, SimtoolsError
from simtools.core.periodic import shortest_distance_A
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate
from simtools.md.hops import SHELL_WIDTH
from simtools.md.kernels.lattice_walk import positions_at_frames, vacancy_events

__all__ = [
    "SiteNetwork",
    "TooFewJumpsError",
    "independent_vacancies",
    "site_network",
    "tracer_correlation_factor",
    "vacancy_lattice_gas",
]

_FEWEST_JUMPS = 50
_LAG_JUMPS = 2.0
_GRID = 4
_RATE_STEPS = 30
_LEAST_LASTING = 0.2


class TooFewJumpsError(SimtoolsError, RuntimeError):
    """There are too few jumps for the quantity asked for."""

    def __init__(self, quantity_name, n_jumps, needed):
        super().__init__(quantity_name, n_jumps, needed)
        self.quantity_name, self.n_jumps, self.needed = quantity_name, n_jumps, needed

    def __str__(self):
        return (
            f"{self.n_jumps} jumps are too few for {self.quantity_name}: expected at least {self.needed}; "
            "run longer, hotter or with more replicas"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class SiteNetwork:
    """Sites and the jumps between neighbours.

    Attributes
    ----------
    sites_A : ndarray
        Shape (n_sites, 3), Å.
    cell_A : ndarray
        Shape (3, 3), Å.
    neighbours : ndarray of int
        Shape (n_sites, most), padded with -1.
    steps_A : ndarray
        Vectors to those neighbours, shape (n_sites, most, 3), Å.
    """

    sites_A: np.ndarray
    cell_A: np.ndarray
    neighbours: np.ndarray
    steps_A: np.ndarray

    @property
    def coordination(self):
        """Mean number of neighbours of a site."""
        return float((self.neighbours >= 0).sum() / len(self.neighbours))


def site_network(sites_A, cell_A, *, longest_A: float | None = None) -> SiteNetwork:
    """Connect each site to its neighbours, through the faces of the cell.

    Parameters
    ----------
    sites_A, cell_A
        Sites, shape (n_sites, 3), and cell, shape (3, 3), Å; `Jumps.sites_A` and `Jumps.cell_A` fit.
    longest_A
        Longest jump, Å; by default 1.15 times the shortest distance between sites.

    Returns
    -------
    SiteNetwork

    Raises
    ------
    ConfigError
        If a site has no neighbour within `longest_A`.
    """
    sites = Atoms("X" * len(sites_A), positions=sites_A, cell=cell_A, pbc=True)
    if longest_A is None:
        longest_A = SHELL_WIDTH * shortest_distance_A(sites.positions, sites.cell.array)
    i, j, vector = neighbor_list("ijD", sites, longest_A)
    per_site = np.bincount(i, minlength=len(sites))
    if per_site.min() == 0:
        raise ConfigError(
            f"site {per_site.argmin()} has no neighbour within {longest_A:g} Å: raise longest_A"
        )
    column = np.arange(len(i)) - np.repeat(np.cumsum(per_site) - per_site, per_site)
    neighbours = np.full((len(sites), per_site.max()), -1, dtype=np.int64)
    steps = np.zeros((*neighbours.shape, 3))
    order = np.argsort(i, kind="stable")
    neighbours[i[order], column] = j[order]
    steps[i[order], column] = vector[order]
    return SiteNetwork(
        sites_A=np.asarray(sites_A, dtype=float),
        cell_A=np.asarray(cell_A, dtype=float),
        neighbours=neighbours,
        steps_A=steps,
    )


def vacancy_lattice_gas(
    network: SiteNetwork,
    *,
    n_vacancies: int,
    jump_rate_per_ps: float,
    duration_ps: float,
    seed: int,
    species: str = "Li",
) -> Jumps:
    """Return the jumps of ions on `network` that know of each other by site exclusion only.

    Parameters
    ----------
    network
        From `site_network`.
    n_vacancies
        Vacant sites, at random places.
    jump_rate_per_ps
        Rate at which a vacancy changes places with each of its neighbours, 1/ps.
    duration_ps
        Simulated time, ps.
    seed
        Seed of the random generator.
    species
        Symbol written into the result.

    Returns
    -------
    Jumps
        Of the same kind as `find_jumps` returns, so every analysis of jumps applies to it; exact in time.

    Notes
    -----
    Limit: a lone vacancy on the X3 sublattice of cubic X3BA has the tracer correlation factor 0.69.
    """
    n_sites = len(network.sites_A)
    if not 0 < n_vacancies < n_sites:
        raise ConfigError(f"n_vacancies must lie between 1 and {n_sites - 1}, got {n_vacancies!r}")
    if not (jump_rate_per_ps > 0 and duration_ps > 0):
        raise ConfigError(
            f"jump_rate_per_ps and duration_ps must be positive, got {jump_rate_per_ps!r} and {duration_ps!r}"
        )
    rng = np.random.default_rng(seed)
    vacancies = rng.permutation(n_sites)[:n_vacancies]
    occupied = np.setdiff1d(np.arange(n_sites), vacancies)
    ion_on_site = np.full(n_sites, -1, dtype=np.int64)
    ion_on_site[occupied] = np.arange(len(occupied))
    times_ps, events = vacancy_events(
        rng, network.neighbours, vacancies, ion_on_site, jump_rate_per_ps, duration_ps
    )
    return Jumps(
        species=species,
        n_ions=len(occupied),
        n_sites=n_sites,
        n_vacancies=n_vacancies,
        n_crossings=len(times_ps),
        n_recrossings=0,
        ions=events[:, 0],
        initial_sites=events[:, 1],
        final_sites=events[:, 2],
        last_ps=times_ps,
        first_ps=times_ps,
        vectors_A=-network.steps_A[events[:, 2], events[:, 3]],
        observed_ps=np.array([0.0, duration_ps]),
        frame_interval_ps=0.0,
        core_radius_A=0.0,
        shortest_stay_ps=0.0,
        site_indices=np.arange(n_sites),
        sites_A=network.sites_A,
        cell_A=network.cell_A,
        provenance=collect_provenance(
            n_vacancies=n_vacancies, jump_rate_per_ps=jump_rate_per_ps, duration_ps=duration_ps, seed=seed
        ),
    )


def independent_vacancies(
    jumps: Jumps, *, seed: int, duration_ps: float | None = None, network: SiteNetwork | None = None
) -> Jumps:
    """Return the jumps of a lattice gas like a run: its sites, its number of vacancies, its rate of jumps.

    Parameters
    ----------
    jumps
        From `find_jumps`, with vacancies and at least one jump.
    seed
        Seed of the random generator.
    duration_ps
        Simulated time, ps; the observed one by default.
    network
        The jumps that are possible; by default those between nearest neighbours (`site_network`).

    Returns
    -------
    Jumps
        Of the lattice gas as it would be seen: without the returns that the run's frames and shortest stay
        take out, at a rate for which as many jumps are left. All ions on the sublattice move alike (a dopant
        that stays put in the run moves here).

    Raises
    ------
    ConfigError
        If the run has no vacancies.
    TooFewJumpsError
        If it has no jumps.

    Notes
    -----
    Limit: put in place of its own original, a lattice gas gives the same correlation factor and strings.
    """
    if jumps.n_vacancies == 0:
        raise ConfigError(
            f"there are no vacancies among the {jumps.n_sites} {jumps.species} sites to walk on"
        )
    if jumps.n_jumps == 0:
        raise TooFewJumpsError("the rate of a lattice gas", 0, 1)
    if network is None:
        network = site_network(jumps.sites_A, jumps.cell_A)
    rate = jumps.n_jumps / (jumps.duration_ps * jumps.n_vacancies)
    unseen_ps = max(jumps.shortest_stay_ps, 0.5 * jumps.frame_interval_ps)
    made = rate = rate / network.coordination
    for _ in range(_RATE_STEPS):
        # a jump is undone where, of all ways out of the vacancy, the one back is the first taken, in time
        undone = -np.expm1(-made * network.coordination * unseen_ps) / network.coordination
        made = rate / max(1 - 2 * undone, _LEAST_LASTING)
    free = (jumps.n_sites - jumps.n_vacancies) / max(1, jumps.n_sites - 1)
    gas = vacancy_lattice_gas(
        network,
        n_vacancies=jumps.n_vacancies,
        jump_rate_per_ps=made / free,
        duration_ps=jumps.duration_ps if duration_ps is None else duration_ps,
        seed=seed,
        species=jumps.species,
    )
    if jumps.frame_interval_ps == 0 and jumps.shortest_stay_ps == 0:
        return gas
    return _lasting(gas, jumps.shortest_stay_ps, jumps.frame_interval_ps)


def _lasting(gas, shortest_stay_ps, frame_interval_ps):
    """Return a lattice gas without the jumps that frames and a shortest stay would not show."""
    step_ps = frame_interval_ps or 1e-3 * shortest_stay_ps
    order = np.lexsort((gas.times_ps, gas.ions))
    kept = kernels.lasting(
        np.ceil(gas.times_ps[order] / step_ps),
        gas.ions[order],
        gas.vectors_A[order],
        shortest_stay_ps / step_ps - 1e-9,
    )
    left = np.sort(order[kept])
    columns = ("ions", "initial_sites", "final_sites", "last_ps", "first_ps", "vectors_A")
    return replace(
        gas,
        n_recrossings=(gas.n_jumps - len(left)) // 2,
        **{name: getattr(gas, name)[left] for name in columns},
    )


def tracer_correlation_factor(jumps: Jumps | Sequence[Jumps], *, lag_ps: float | None = None) -> Estimate:
    r"""Return how far ions get over how far the same number of unrelated jumps would take them.

    .. math:: f = \frac{\mathrm{MSD}(\tau) - \mathrm{MSD}(\tau/2)}{(\tau/2)\,\langle\sum v^2\rangle/T}

    with the mean squared displacement along sites and the summed squared lengths v² of jumps in the time T.
    The difference takes out what the returns within one encounter add at short times.

    Parameters
    ----------
    jumps
        Of one species: one run, or replicas.
    lag_ps
        τ, ps; by default the time in which an ion makes two jumps, at most half of the observed time.

    Returns
    -------
    Estimate
        Without unit; interval by the jackknife over ions, Student's t.

    Raises
    ------
    TooFewJumpsError
        With fewer than 50 jumps.
    ConfigError
        If `lag_ps` is longer than the observed time.

    Notes
    -----
    Limits: 1 for unrelated jumps; 0.69 for a lone vacancy on the X3 sublattice of cubic X3BA; 0 for ions
    that only go to and fro. Compare with `independent_vacancies` at the same `lag_ps`:
    what differs is not due to site exclusion alone.
    """
    parts = (jumps,) if isinstance(jumps, Jumps) else tuple(jumps)
    n_jumps = sum(part.n_jumps for part in parts)
    if n_jumps < _FEWEST_JUMPS:
        raise TooFewJumpsError("a tracer correlation factor", n_jumps, _FEWEST_JUMPS)
    exposure_ps = sum(part.n_ions * part.duration_ps for part in parts)
    shortest_ps = min(part.duration_ps for part in parts)
    if lag_ps is None:
        lag_ps = min(_LAG_JUMPS * exposure_ps / n_jumps, 0.5 * shortest_ps)
    if not 0 < lag_ps < shortest_ps:
        raise ConfigError(f"lag_ps must lie within the observed {shortest_ps:g} ps, got {lag_ps!r}")
    gained, walked = (np.concatenate(items) for items in zip(*(_gain(p, lag_ps) for p in parts), strict=True))
    value = gained.sum() / walked.sum()
    n_ions = len(gained)
    left_out = (gained.sum() - gained) / (walked.sum() - walked)
    stderr = float(np.sqrt((n_ions - 1) * left_out.var()))
    half = stats.t.ppf(0.975, n_ions - 1) * stderr
    return Estimate(
        value=float(value),
        stderr=stderr,
        ci95=(float(value - half), float(value + half)),
        method=f"slope of the site MSD, {lag_ps / 2:.4g} to {lag_ps:.4g} ps, over jumps; jackknife over ions",
        n_eff=float(n_ions),
    )


def _gain(jumps, lag_ps):
    """Return per ion the growth of its MSD from half the lag to the lag, and what unrelated jumps give."""
    atoms, ions = np.unique(jumps.ions, return_inverse=True)
    step_ps = lag_ps / (2 * _GRID)
    n_frames = int(jumps.duration_ps / step_ps * (1 + 1e-12)) + 1
    r_tnc = positions_at_frames(
        np.asarray(jumps.times_ps - jumps.observed_ps[0]),
        ions.astype(np.int64),
        np.asarray(jumps.vectors_A),
        np.zeros((len(atoms), 3)),
        n_frames,
        step_ps,
    )
    msd = [np.square(r_tnc[lag:] - r_tnc[:-lag]).sum(axis=2).mean(axis=0) for lag in (_GRID, 2 * _GRID)]
    squares = np.bincount(ions, weights=np.square(jumps.lengths_A), minlength=len(atoms))
    still = np.zeros(jumps.n_ions - len(atoms))
    gained = np.concatenate([msd[1] - msd[0], still])
    return gained, np.concatenate([squares * (lag_ps / 2) / jumps.duration_ps, still])
