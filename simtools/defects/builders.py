"""Put defects into a perfect supercell: counted, charge-balanced, placed by a seed. No forces here."""

import logging
import numbers
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from ase import Atoms

from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.defects.arrangement import MINIMUM_DISTANCE_A, Arrangement, interstitial_kind
from simtools.defects.charge_balance import check_balance
from simtools.defects.compensation import defect_set
from simtools.defects.composition import requests_for_composition
from simtools.defects.insertion import check_perfect, insert_defects
from simtools.defects.kroger_vink import formal_charge
from simtools.defects.mixing import ordered_sites, special_quasirandom_sites
from simtools.defects.placement import PlacementError, place_sets
from simtools.defects.requests import DefectRequest, is_number
from simtools.defects.sites import equivalent_positions, interstitial_sites
from simtools.defects.sublattice import SiteGeometry

__all__ = ["DefectRequest", "build_defects", "defect_ensemble"]

logger = logging.getLogger(__name__)


def build_defects(
    atoms: Atoms,
    requests: Sequence[DefectRequest],
    *,
    formal_charges_e: Mapping[str, int],
    net_charge: str | None = None,
    seed: int,
    minimum_distance_A: float = MINIMUM_DISTANCE_A,
) -> Atoms:
    """Return the supercell with defects in it.

    Parameters
    ----------
    atoms
        A perfect, periodic supercell; not changed.
    requests
        Placed in this order. May be empty: the result then only remembers its lattice sites.
    formal_charges_e
        Integer formal charge of every species in `atoms` and of every ion that is put in, e, whatever charges
        the force field uses.
    net_charge
        ``"background"`` declares that a uniform background compensates a net charge; without it a net charge
        is an error.
    seed
        Settles every random choice: the same seed gives the same cell.
    minimum_distance_A
        Ions that are put in come no closer to others, Å. The two ions of a hydroxide are exempt.

    Returns
    -------
    Atoms
        As `insert_defects` describes it: the remaining ions in their original order, then the added ones; in
        ``info`` the ``lattice_sites``, the ``defects`` (``request`` is the index into `requests`; defects
        that were placed together, such as a dopant and the vacancies that compensate it, share ``set``),
        ``net_charge_e``, ``formal_charges_e``, and ``defect_seed``.

    Raises
    ------
    ChargeBalanceError
        If a net charge is left and no background is declared; lists every defect and what would close it.
    UnknownSpeciesError, PlacementError, ConfigError
        If a species is not in the crystal, there are more defects than sites, an amount does not come out in
        whole ions, a set cannot be neutral, the arrangement does not fit, or `atoms` already holds defects.
    """
    if not isinstance(requests, Iterable):
        raise ConfigError(f"requests must be a list of DefectRequest, got {requests}; write [request]")
    requests = tuple(requests)
    check_perfect(atoms)
    _check_seed(seed)
    _check_distance(minimum_distance_A)
    species = np.array(atoms.get_chemical_symbols())
    host_counts = {name: int(np.sum(species == name)) for name in dict.fromkeys(species.tolist())}
    charges = {**formal_charges_e, **{name: formal_charge(name, formal_charges_e) for name in host_counts}}
    jobs = [
        job
        for number, request in enumerate(requests)
        for job in _jobs(number, request, atoms, host_counts, charges)
    ]
    _check_enough_sites(jobs, host_counts)
    labels = [label for _, _, members, n_sets in jobs for label in members.members * n_sets]
    check_balance(
        labels,
        host_counts=host_counts,
        formal_charges_e=charges,
        net_charge=net_charge,
        requests=tuple(map(str, requests)),
    )
    geometry = _geometry(atoms, species, jobs, minimum_distance_A)
    arrangement = Arrangement(
        geometry, len(atoms), minimum_distance_A=minimum_distance_A, rng=np.random.default_rng(seed)
    )
    for number, request, members, n_sets in jobs:
        if request.kind in ("vacancy", "schottky"):
            sets = _sites_of_sets(arrangement, request, request.species, n_sets, number)
            arrangement.add_vacancies(sets, members.anchors, request=number)
        else:
            choose = _choice_of_anchors(atoms, arrangement, request, members, n_sets, number)
            arrangement.place(request, members, n_sets, number=number, choose_anchors=choose)
    built = insert_defects(atoms, arrangement.placed, formal_charges_e=charges, net_charge=net_charge)
    built.info["defect_seed"] = int(seed)
    logger.info("built %d defects, net charge %+d e", len(arrangement.placed), built.info["net_charge_e"])
    return built


def defect_ensemble(
    atoms: Atoms,
    requests: Sequence[DefectRequest],
    n: int,
    *,
    formal_charges_e: Mapping[str, int],
    net_charge: str | None = None,
    seed: int,
    minimum_distance_A: float = MINIMUM_DISTANCE_A,
) -> Iterator[Atoms]:
    """Yield `n` cells with the same defects, placed independently.

    Parameters
    ----------
    atoms, requests, formal_charges_e, net_charge, minimum_distance_A
        As for `build_defects`.
    n
        How many.
    seed
        Settles the whole ensemble; its first cells are the same whatever `n` is.

    Yields
    ------
    Atoms
        With its own ``defect_seed`` in ``info``, with which `build_defects` alone gives it again, and
        ``ensemble_seed`` and ``ensemble_index``.

    Raises
    ------
    ConfigError
        As `build_defects`.
    """
    _check_seed(seed)
    if not is_number(n, numbers.Integral) or n < 1:
        raise ConfigError(f"an ensemble has a positive whole number of cells, got n = {n!r}")
    for index, child in enumerate(np.random.SeedSequence(int(seed)).spawn(int(n))):
        cell = build_defects(
            atoms,
            requests,
            formal_charges_e=formal_charges_e,
            net_charge=net_charge,
            seed=int(child.generate_state(1, np.uint32)[0]),
            minimum_distance_A=minimum_distance_A,
        )
        cell.info.update(ensemble_seed=int(seed), ensemble_index=index)
        yield cell


def _jobs(number, request, atoms, host_counts, charges):
    """Return (number, request, one set of it, how many sets) of each request, a composition taken apart."""
    if not isinstance(request, DefectRequest):
        raise ConfigError(f"expected a DefectRequest, got {request!r}")
    try:
        if request.kind == "composition":
            parts = requests_for_composition(request, atoms, formal_charges_e=charges)
            return [job for part in parts for job in _jobs(number, part, atoms, host_counts, charges)]
        members = defect_set(request, host_counts=host_counts, formal_charges_e=charges)
        per_set = None if request.kind == "schottky" else len(members.anchors)
        return [(number, request, members, request.n_sets(atoms, per_set=per_set))]
    except UnknownSpeciesError:
        raise
    except ConfigError as error:
        if str(request) in str(error):
            raise
        raise ConfigError(f"{request}: {error}") from error


def _check_enough_sites(jobs, host_counts):
    wanted, only_vacancies = Counter(), Counter()
    for _, _, members, n_sets in jobs:
        for label in members.members:
            wanted[label.site] += n_sets
            only_vacancies[label.site] += n_sets * label.is_vacancy
    for name, n in wanted.items():
        if name in host_counts and n > host_counts[name]:
            what = "vacancies" if only_vacancies[name] == n else "sites for defects"
            asked = "; ".join(dict.fromkeys(str(request) for _, request, _, _ in jobs))
            raise ConfigError(
                f"{n} {name} {what} were asked for, but the supercell has {host_counts[name]} {name} sites "
                f"({asked})"
            )


def _geometry(atoms, species, jobs, minimum_distance_A):
    """Return the sites of the crystal and the interstitial ones that the requests use."""
    scaled = atoms.get_scaled_positions(wrap=True)
    used = {
        request.interstitial_site: request
        for _, request, members, _ in jobs
        if any(label.is_interstitial for label in members.members)
    }
    if not used:
        return SiteGeometry.of(atoms)
    unit, repeats = _unit_cell(atoms)
    sites = interstitial_sites(unit, minimum_distance_A=minimum_distance_A)
    names = [species]
    for number, request in used.items():
        if number >= len(sites):
            raise ConfigError(
                f"{request}: interstitial_site = {number}, but the crystal has {len(sites)} distinct "
                f"interstitial sites at least {minimum_distance_A:g} Å from every ion (numbered from 0)"
            )
        positions = equivalent_positions(sites[number], repeats=repeats)
        scaled = np.concatenate([scaled, positions])
        names.append([interstitial_kind(number)] * len(positions))
    return SiteGeometry(scaled, np.concatenate(names), atoms.cell.array)


def _unit_cell(atoms):
    """Return the block that `build_supercell` repeated and how often, or the whole cell and once."""
    repeats = tuple(atoms.info.get("supercell", (1, 1, 1)))
    n_atoms = len(atoms) // int(np.prod(repeats))
    unit = atoms[:n_atoms]
    unit.set_cell(atoms.cell.array / np.array(repeats)[:, None])
    whole = unit.repeat(repeats)
    same = len(whole) == len(atoms) and np.array_equal(whole.numbers, atoms.numbers)
    if same and np.allclose(whole.positions, atoms.positions, atol=1e-6):
        return unit, repeats
    return atoms, (1, 1, 1)


def _choice_of_anchors(atoms, arrangement, request, members, n_sets, number):
    """Return a function that chooses the sites of all anchors together, or None where they go one by one."""
    (label, *_), n = members.anchors, n_sets * len(members.anchors)
    if request.placement == "separated" and label.n_ions < 2 and not label.is_interstitial:
        whose = number if label.is_vacancy else None
        return lambda: [site for (site,) in _sites_of_sets(arrangement, request, (label.site,), n, whose)]
    if request.placement in ("random", "separated", "associated"):
        return None
    return lambda: _mixed_sites(atoms, arrangement, request, label.site, n)


def _mixed_sites(atoms, arrangement, request, species, n):
    seed = int(arrangement.rng.integers(2**31))
    if request.placement == "sqs":
        chosen = special_quasirandom_sites(atoms, species, n, seed=seed)
    else:
        chosen = ordered_sites(atoms, species, n, ordering=request.placement, seed=seed)
    lost = np.intersect1d(chosen, arrangement.taken)
    if len(lost):
        raise PlacementError(
            f"{request}: placement {request.placement!r} needs {len(lost)} sites that earlier requests took; "
            "put this request first"
        )
    return arrangement.rng.permutation(chosen).tolist()


def _sites_of_sets(arrangement, request, site_species, n_sets, vacancies_of):
    """Return sets of sites, away from the ions of Frenkel pairs if they are to be vacancies of a request."""
    barred = []
    if vacancies_of is not None:
        for name in dict.fromkeys(site_species):
            barred += arrangement.barred_to_vacancies(name, vacancies_of)
    return place_sets(
        arrangement.geometry,
        site_species,
        n_sets,
        placement=request.placement,
        taken=arrangement.taken,
        minimum_separation_A=float(request.minimum_separation_A),
        rng=arrangement.rng,
        barred=barred,
    )


def _check_seed(seed):
    if not is_number(seed, numbers.Integral) or seed < 0:
        raise ConfigError(f"seed must be an integer, 0 or more, got {seed!r}")


def _check_distance(distance):
    if not is_number(distance, numbers.Real) or not 0 <= distance < np.inf:
        raise ConfigError(f"minimum_distance_A must be a distance in Å, 0 or more, got {distance!r}")
