"""How many cation vacancies sit beside their partner: an anion vacancy or a dopant. Energies: binding.py."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.binding import binding_free_energy
from simtools.analysers.fractions import average_fraction
from simtools.analysers.kernels.sites import nearest_shell
from simtools.analysers.sites import INTERSTITIAL, site_occupation, sublattice_of_atoms
from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.core.periodic import minimum_image
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.md.trajectory import Trajectory

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class AssociationResult(Result):
    """Association of cation vacancies with their partners at one temperature, from all replicas.

    A vacancy is *bound* when its nearest partner lies in the first shell of sites around it. Fractions are
    averages over vacancies, frames and replicas; their standard error is ``sqrt(variance / n)`` with n
    counted by the integrated correlation time about the mean over all replicas, or that of the replicas'
    scatter where it is larger (three replicas or more): arrangements that do not exchange within a run, such
    as those of dopants, differ only between replicas. The 95 % interval is Jeffreys' for the number of
    independent vacancies that reproduces that error, widened by Student's t for few samples.

    Attributes
    ----------
    temperature_K
        K, or nan where the trajectories do not say.
    species, partner
        The vacancies' species; the partner's symbol.
    partner_kind
        ``"vacancy"`` or ``"dopant"``.
    n_replicas, n_vacancies, n_partners
        Replicas, and net vacancies and partners in each cell.
    bound_fraction, second_shell_fraction
        Nearest partner in the first, in the second shell.
    random_fraction, random_second_shell_fraction
        The same for partners placed at random on their sublattice, exact for this cell and count.
    shell_distances_A
        Distance between perfect sites in each shell, shape (n_shells,), Å.
    shell_fractions, random_shell_fractions
        Fraction of vacancies whose nearest partner lies in each shell; the rest is farther away.
    bound_fraction_per_replica
        Time average of each replica, shape (n_replicas,).
    correlation_time_ps
        Integrated correlation time of the bound fraction, ps.
    excess_fraction
        Cations per cation that share a site with another (mostly ions halfway through a hop). Each cancels
        its nearest empty site before vacancies are counted.
    warnings
        What to know before quoting the numbers.
    """

    temperature_K: float = quantity("K")
    species: str
    partner: str
    partner_kind: str
    n_replicas: int
    n_vacancies: int
    n_partners: int
    bound_fraction: Estimate = quantity("1")
    second_shell_fraction: Estimate = quantity("1")
    random_fraction: float = quantity("1")
    random_second_shell_fraction: float = quantity("1")
    shell_distances_A: np.ndarray = quantity("angstrom", shape="(n_shells,)")
    shell_fractions: np.ndarray = quantity("1", shape="(n_shells,)")
    random_shell_fractions: np.ndarray = quantity("1", shape="(n_shells,)")
    bound_fraction_per_replica: np.ndarray = quantity("1", shape="(n_replicas,)")
    correlation_time_ps: float = quantity("ps")
    excess_fraction: float = quantity("1")
    warnings: tuple[str, ...] = ()

    @property
    def binding_free_energy_eV(self) -> Estimate:
        """Effective free energy of binding, eV: see `simtools.analysers.binding`."""
        return binding_free_energy(self.bound_fraction, self.random_fraction, self.temperature_K)

    def to_summary(self) -> dict:
        """Return the entry of ``summary.json``: plain data, fractions as quantities with intervals."""
        return {
            "temperature_K": self.temperature_K if np.isfinite(self.temperature_K) else None,
            "species": self.species,
            "partner": self.partner,
            "partner_kind": self.partner_kind,
            "n_replicas": self.n_replicas,
            "n_vacancies": self.n_vacancies,
            "n_partners": self.n_partners,
            "bound_fraction": self.bound_fraction.to_dict(),
            "second_shell_fraction": self.second_shell_fraction.to_dict(),
            "random_fraction": self.random_fraction,
            "random_second_shell_fraction": self.random_second_shell_fraction,
            "binding_free_energy_eV": self.binding_free_energy_eV.to_dict(),
            "shell_distances_A": self.shell_distances_A.tolist(),
            "warnings": list(self.warnings),
        }


def association_partners(trajectory: Trajectory, *, species: str) -> tuple[str, ...]:
    """Return the possible partners of `species` vacancies: sublattices with vacancies, then foreign ions.

    Empty where `bound_fraction` has no meaning: isolated vacancies, no vacancies of `species` on balance (as
    many interstitials or dumbbells, or more), or a trajectory without lattice sites.
    """
    if trajectory.lattice_sites is None:
        return ()
    home = sublattice_of_atoms(trajectory)
    sites = trajectory.lattice_sites.species
    vacant = [name for name in dict.fromkeys(sites.tolist()) if np.sum(sites == name) > np.sum(home == name)]
    if species not in vacant:
        return ()
    foreign = [
        name
        for name in dict.fromkeys(trajectory.species.tolist())
        if name not in sites and INTERSTITIAL not in home[trajectory.species == name]
    ]
    return (*(name for name in vacant if name != species), *foreign)


def bound_fraction(
    trajectories: Trajectory | Sequence[Trajectory],
    *,
    species: str,
    partner: str,
    n_shells: int = 6,
    shell_tolerance_A: float = 0.2,
) -> AssociationResult:
    r"""Return the fraction of `species` vacancies bound to a `partner`.

    For partners placed at random on a sublattice of N sites, a vacancy with z partner sites in its first
    shell has none of the n partners there with probability

    .. math:: \binom{N - z}{n} \Big/ \binom{N}{n}

    Parameters
    ----------
    trajectories
        One replica or several, of the same cell, composition and temperature, with `lattice_sites`.
    species
        Whose vacancies.
    partner
        A species of the host, meaning its vacancies (``"Cl"``), or a foreign ion (``"Mg"``).
    n_shells
        Number of neighbour shells to resolve.
    shell_tolerance_A
        Site distances closer than this belong to one shell, Å.

    Returns
    -------
    AssociationResult

    Raises
    ------
    ConfigError
        If there is no vacancy or no partner, the replicas differ in composition or temperature, or a
        trajectory carries no lattice sites.

    Notes
    -----
    Limits: partners and vacancies at random give `random_fraction`; a cell where nothing moved gives 0 or 1
    with an interval that knows only as many samples as there are vacancies.
    """
    replicas = [trajectories] if isinstance(trajectories, Trajectory) else list(trajectories)
    if not replicas:
        raise ConfigError("bound_fraction needs at least one trajectory, got none")
    _check_alike(replicas)
    kind, sublattice = _partner_kind(replicas[0], species, partner)
    vacancies, partners, excess = [], [], []
    for replica in replicas:
        cations = site_occupation(replica, species=species)
        vacancies.append(cations.vacancies)
        excess.append(cations.excess_fraction)
        hosts = cations if sublattice == species else site_occupation(replica, species=sublattice)
        if kind == "vacancy":
            partners.append(hosts.vacancies)
        else:
            ions = replica.species[hosts.atom_indices] == partner
            partners.append(np.ascontiguousarray(hosts.sites[:, ions]))
    n_vacancies, n_partners = vacancies[0].shape[1], partners[0].shape[1]
    if n_vacancies == 0 or n_partners == 0:
        raise ConfigError(
            f"association needs {species} vacancies and {partner} partners; this cell has {n_vacancies} and "
            f"{n_partners}"
        )

    distances_A, shell_vp = _shells(replicas[0], species, sublattice, n_shells, shell_tolerance_A)
    shells = [
        nearest_shell(vacancy_tv, partner_tp, shell_vp, len(distances_A))
        for vacancy_tv, partner_tp in zip(vacancies, partners, strict=True)
    ]
    in_shell = [np.stack([(shell == k).mean(axis=1) for k in range(len(distances_A))]) for shell in shells]
    observed = np.average(
        [series.mean(axis=1) for series in in_shell], axis=0, weights=[s.shape[1] for s in in_shell]
    )
    expected = _random_fractions(shell_vp, n_partners, len(distances_A), same=sublattice == species)
    interval_ps = replicas[0].frame_interval_ps
    first, tau_ps, notes = average_fraction([series[0] for series in in_shell], n_vacancies, interval_ps)
    second = average_fraction([series[1] for series in in_shell], n_vacancies, interval_ps)[0]
    temperature_K = replicas[0].temperature_K
    logger.info("bound fraction of %s vacancies to %s: %.3f", species, partner, observed[0])
    return AssociationResult(
        temperature_K=float("nan") if temperature_K is None else float(temperature_K),
        species=species,
        partner=partner,
        partner_kind=kind,
        n_replicas=len(replicas),
        n_vacancies=n_vacancies,
        n_partners=n_partners,
        bound_fraction=first,
        second_shell_fraction=second,
        random_fraction=float(expected[0]),
        random_second_shell_fraction=float(expected[1]),
        shell_distances_A=distances_A,
        shell_fractions=observed,
        random_shell_fractions=expected,
        bound_fraction_per_replica=np.array([series[0].mean() for series in in_shell]),
        correlation_time_ps=tau_ps,
        excess_fraction=float(np.mean(excess)),
        warnings=notes,
        provenance=collect_provenance(
            species=species, partner=partner, n_shells=n_shells, shell_tolerance_A=shell_tolerance_A
        ),
    )


def _check_alike(replicas):
    first = replicas[0]
    for replica in replicas[1:]:
        if not np.array_equal(replica.species, first.species):
            same = sorted(replica.species.tolist()) == sorted(first.species.tolist())
            if not same:
                raise ConfigError("replicas must have the same composition to be averaged over")
        if replica.temperature_K != first.temperature_K:
            raise ConfigError(
                "replicas must share one temperature, got "
                f"{first.temperature_K} and {replica.temperature_K} K"
            )
        if replica.frame_interval_ps != first.frame_interval_ps:
            raise ConfigError(
                "replicas must share one frame interval, got "
                f"{first.frame_interval_ps} and {replica.frame_interval_ps} ps"
            )


def _partner_kind(trajectory, species, partner):
    lattice = trajectory.lattice_sites
    if lattice is not None and partner in lattice.species:
        if partner == species:
            raise ConfigError(f"partner must differ from species, got {species!r} for both")
        return "vacancy", partner
    if partner not in trajectory.species:
        available = dict.fromkeys([*(lattice.species if lattice is not None else ()), *trajectory.species])
        raise UnknownSpeciesError(partner, tuple(str(name) for name in available))
    homes = set(sublattice_of_atoms(trajectory)[trajectory.species == partner].tolist())
    if INTERSTITIAL in homes:
        raise ConfigError(
            f"{partner} ions are interstitials or part of a molecule; association counts partners on sites"
        )
    if len(homes) != 1:
        raise ConfigError(f"{partner} ions start on several sublattices ({', '.join(sorted(homes))})")
    return "dopant", homes.pop()


def _shells(trajectory, species, sublattice, n_shells, tolerance_A):
    """Return shell distances, Å, and the shell of every pair of sites (n_shells where farther)."""
    if n_shells < 2:
        raise ConfigError(f"n_shells must be at least 2, got {n_shells!r}")
    lattice = trajectory.lattice_sites
    cell = trajectory.cells_A if trajectory.cells_A.ndim == 2 else trajectory.cells_A[0]
    from_sites = lattice.scaled_positions[lattice.species == species]
    to_sites = lattice.scaled_positions[lattice.species == sublattice]
    distance_vp = np.empty((len(from_sites), len(to_sites)))
    for row, site in enumerate(from_sites):
        distance_vp[row] = np.linalg.norm(minimum_image((to_sites - site) @ cell, cell), axis=1)
    ordered = np.unique(np.round(distance_vp[distance_vp > tolerance_A], 6))
    breaks = np.flatnonzero(np.diff(ordered) > tolerance_A) + 1
    groups = np.split(ordered, breaks)[:n_shells]
    if len(groups) < 2:
        raise ConfigError("the cell is too small to tell a first from a second shell of neighbours")
    shell_vp = np.full(distance_vp.shape, len(groups), dtype=np.int32)
    for k, group in enumerate(groups):
        inside = (distance_vp > group[0] - tolerance_A / 2) & (distance_vp < group[-1] + tolerance_A / 2)
        shell_vp[inside] = k
    return np.array([group.mean() for group in groups]), shell_vp


def _random_fractions(shell_vp, n_partners, n_shells, *, same):
    """Return the chance that the nearest of partners placed at random is in each shell, (n_shells,)."""
    n_sites = shell_vp.shape[1] - (1 if same else 0)
    within = np.cumsum([np.sum(shell_vp == k, axis=1) for k in range(n_shells)], axis=0)
    none_within = stats.hypergeom.pmf(0, n_sites, within, n_partners).mean(axis=1)
    return -np.diff(none_within, prepend=1.0)
