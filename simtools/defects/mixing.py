"""Which sites of a sublattice an isovalent ion takes: at random, in order, or special quasirandom.

The ions themselves are replaced elsewhere: see builders.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from simtools.core.errors import ConfigError, SimtoolsError, UnknownSpeciesError
from simtools.defects.placement import place_sets
from simtools.defects.sublattice import SHELL_TOLERANCE_A, SiteGeometry, shell_numbers

__all__ = [
    "ORDERINGS",
    "PairCorrelations",
    "QuasirandomSearchError",
    "ordered_sites",
    "pair_correlations",
    "random_sites",
    "special_quasirandom_sites",
]

_PARITIES = {"rocksalt": (1, 1, 1), "layered": (0, 0, 1), "columnar": (1, 1, 0)}
ORDERINGS = ("separated", *_PARITIES)


class QuasirandomSearchError(SimtoolsError, RuntimeError):
    """The library refused the search; its message is passed on."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PairCorrelations:
    """Short-range order of two kinds of ions on one sublattice, shell by shell.

    Attributes
    ----------
    distances_A
        Mean distance of each shell of neighbours on the sublattice, shape (n_shells,), Å.
    coordination
        Mean number of neighbours in it, shape (n_shells,). Every pair of sites is counted once, at its
        nearest image.
    warren_cowley
        1 - P(AB) / x_B, with P(AB) the share of B among the neighbours of A, shape (n_shells,): 0 for an
        infinite random crystal, -1/(N - 1) on the average over random placements on N sites, 1 for separated
        phases, negative for order.

    References
    ----------
    .. [1] J. M. Cowley, J. Appl. Phys. 21, 24 (1950).
    """

    distances_A: np.ndarray
    coordination: np.ndarray
    warren_cowley: np.ndarray


def random_sites(crystal: Atoms, species: str, count: int, *, seed: int) -> np.ndarray:
    """Return `count` random sites of a sublattice, every choice equally likely.

    Parameters
    ----------
    crystal
        The perfect supercell.
    species
        Whose sites they are.
    count
        From 0 to the number of these sites.
    seed
        The same seed gives the same sites.

    Returns
    -------
    ndarray
        Atom indices, rising.

    Raises
    ------
    ConfigError
        If the species is not there, or the count or the seed cannot be met.
    """
    sites = _sublattice(crystal, species, count)
    return np.sort(_generator(seed).choice(sites, size=count, replace=False))


def ordered_sites(
    crystal: Atoms, species: str, count: int, *, ordering: str = "separated", seed: int = 0
) -> np.ndarray:
    """Return `count` sites of a sublattice in order.

    Parameters
    ----------
    crystal, species, count, seed
        As for `random_sites`. The seed decides between equivalent arrangements, and only in ``"separated"``.
    ordering
        ``"separated"``: the chosen sites as far from each other as a farthest-point search with local
        improvement finds, for any count and any sublattice; of few ions among many.

        The others are exact, take half the sites, and need a sublattice with one site per primitive cell
        (A or B of X3BA) in a supercell with an even number of cells where the order alternates:
        ``"rocksalt"`` alternates along all three axes, in (111) planes; ``"layered"`` along c, in (001)
        planes; ``"columnar"`` along a and b, in (110) planes.

    Returns
    -------
    ndarray
        Atom indices, rising.

    Raises
    ------
    ConfigError
        If the ordering does not fit the crystal or the count.

    Notes
    -----
    Limits, for the Warren-Cowley parameters of the simple cubic sublattice's first three shells: rocksalt
    (-1, 1, -1), layered (1/3, -1/3, -1), columnar (-1/3, -1/3, 1).
    """
    sites = _sublattice(crystal, species, count)
    if ordering not in ORDERINGS:
        raise ConfigError(f"ordering = {ordering!r} is not known; expected one of: {', '.join(ORDERINGS)}")
    if ordering == "separated":
        geometry = SiteGeometry(
            crystal.get_scaled_positions(wrap=True), crystal.get_chemical_symbols(), crystal.cell.array
        )
        if count == len(sites):
            return sites
        found = place_sets(
            geometry,
            [species],
            count,
            placement="separated",
            taken=(),
            minimum_separation_A=0.0,
            rng=_generator(seed),
        )
        return np.sort(np.array([site for (site,) in found], dtype=int))
    return _alternating(crystal, species, sites, count, ordering)


def special_quasirandom_sites(
    crystal: Atoms,
    species: str,
    count: int,
    *,
    seed: int,
    n_shells: int = 3,
    n_trials: int = 100_000,
) -> np.ndarray:
    """Return `count` sites of a sublattice whose pairs are as those of an infinite random crystal.

    The library sqsgenerator draws `n_trials` random arrangements and keeps the one with the smallest sum of
    the Warren-Cowley parameters' magnitudes, the n-th shell weighted by 1/n.

    Parameters
    ----------
    crystal, species, count, seed
        As for `random_sites`; at least one site must be chosen and one left.
    n_shells
        How many shells of neighbours on the sublattice are made random.
    n_trials
        Arrangements drawn.

    Returns
    -------
    ndarray
        Atom indices, rising. The same for the same seed and release of the library.

    Raises
    ------
    ConfigError
        If sqsgenerator is not installed, or the cell has fewer shells than asked for.
    QuasirandomSearchError
        If the library cannot do the search.

    References
    ----------
    .. [1] A. Zunger, S.-H. Wei, L. G. Ferreira, J. E. Bernard, Phys. Rev. Lett. 65, 353 (1990).
    .. [2] D. Gehringer, M. Friák, D. Holec, Comput. Phys. Commun. 286, 108664 (2023), sqsgenerator.
    """
    sites = _sublattice(crystal, species, count)
    if not 0 < count < len(sites):
        raise ConfigError(
            f"a quasirandom arrangement needs both kinds of ions, got {count} of {len(sites)} {species} sites"
        )
    if isinstance(n_trials, bool) or not isinstance(n_trials, int | np.integer) or n_trials < 1:
        raise ConfigError(f"n_trials must be a positive integer, got {n_trials!r}")
    sqsgenerator = _import_sqsgenerator()
    shells = _shells(crystal, sites, n_shells)
    search = {
        "structure": {
            "lattice": crystal.cell.array.tolist(),
            "coords": crystal.get_scaled_positions(wrap=True)[sites].tolist(),
            "species": ["H"] * len(sites),
        },
        "composition": {"H": len(sites) - int(count), "He": int(count)},
        "shell_radii": _boundaries_A(crystal, sites, shells),
        "shell_weights": {shell: 1.0 / shell for shell in range(1, n_shells + 1)},
        "iteration_mode": "random",
        "iterations": int(n_trials),
        "seed": [int(_generator(seed).integers(2**31))],
        "thread_config": 1,  # with more, the seed does not settle the result
        "prec": "double",
    }
    settings = sqsgenerator.parse_config(search)
    if not hasattr(settings, "shell_radii"):
        raise QuasirandomSearchError(f"sqsgenerator refuses {settings.key}: {settings.msg}")
    _, best = sqsgenerator.optimize(settings)[0]
    replaced = min(tuple(result.structure().species) for result in best)
    return sites[np.array(replaced) == 2]


def pair_correlations(
    crystal: Atoms, species: str, chosen: Sequence[int], *, n_shells: int = 3
) -> PairCorrelations:
    """Return how random a choice of sites on a sublattice is.

    Parameters
    ----------
    crystal
        The perfect supercell, before the ions are replaced.
    species
        Whose sites make up the sublattice.
    chosen
        Atom indices of the sites that were chosen; at least one, and at least one is left.
    n_shells
        Shells of neighbours on the sublattice.

    Raises
    ------
    ConfigError
        If a chosen atom is not on the sublattice, or the cell has fewer shells.
    """
    chosen = np.unique(np.asarray(chosen, dtype=int))
    sites = _sublattice(crystal, species, len(chosen))
    if not np.isin(chosen, sites).all() or not 0 < len(chosen) < len(sites):
        raise ConfigError(f"chosen must be some, not all, of the {len(sites)} {species} sites, by atom index")
    shells = _shells(crystal, sites, n_shells)
    is_chosen = np.isin(sites, chosen)
    distances_A = _distances_A(crystal, sites)
    parameters = []
    for shell in shells:
        unlike = np.sum(shell[is_chosen][:, ~is_chosen])
        parameters.append(1 - unlike / (np.sum(shell[is_chosen]) * np.mean(~is_chosen)))
    return PairCorrelations(
        distances_A=np.array([distances_A[shell].mean() for shell in shells]),
        coordination=np.array([shell.sum() / len(sites) for shell in shells]),
        warren_cowley=np.array(parameters),
    )


def _import_sqsgenerator():
    try:
        import sqsgenerator
    except ImportError as error:
        raise ConfigError(
            "a special quasirandom arrangement needs the package sqsgenerator, which is not installed: pip "
            'install "antiperovskite-simtools[sqs]", or ask for a random or an ordered arrangement'
        ) from error
    return sqsgenerator


def _sublattice(crystal, species, count):
    symbols = np.array(crystal.get_chemical_symbols())
    sites = np.flatnonzero(symbols == species)
    if len(sites) == 0:
        raise UnknownSpeciesError(species, dict.fromkeys(symbols.tolist()))
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 0 <= count <= len(sites):
        raise ConfigError(
            f"count must be an integer from 0 to the {len(sites)} {species} sites, got {count!r}"
        )
    return sites


def _generator(seed):
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigError(f"seed must be an integer, 0 or more, got {seed!r}")
    return np.random.default_rng(seed)


def _alternating(crystal, species, sites, count, ordering):
    repeats = np.array(crystal.info.get("supercell", (1, 1, 1)))
    axes = np.array(_PARITIES[ordering])
    scaled = crystal.get_scaled_positions()[sites]
    cells = (scaled - scaled[0]) * repeats
    whole = np.rint(cells)
    size = "x".join(map(str, repeats))
    if len(sites) != repeats.prod() or np.abs(cells - whole).max() > 0.25:
        raise ConfigError(
            f"ordering = {ordering!r} needs one {species} site in each of the {size} cells, got {len(sites)} "
            "sites; use ordering = 'separated'"
        )
    if np.any(repeats[axes == 1] % 2):
        directions = " and ".join(name for name, parity in zip("abc", axes, strict=True) if parity)
        raise ConfigError(
            f"ordering = {ordering!r} needs an even number of cells along {directions}, got {size}; take "
            "another supercell or ordering = 'separated'"
        )
    if 2 * count != len(sites):
        raise ConfigError(
            f"ordering = {ordering!r} takes half of the {len(sites)} {species} sites, got count = {count}; "
            "use ordering = 'separated'"
        )
    return sites[(whole @ axes).astype(int) % 2 == 1]


def _distances_A(crystal, sites):
    geometry = SiteGeometry.of(crystal)
    return np.array([geometry.distances_from(site)[sites] for site in sites])


def _shells(crystal, sites, n_shells):
    """Return which pairs are neighbours in each shell, a list of boolean arrays (n_sites, n_sites)."""
    if isinstance(n_shells, bool) or not isinstance(n_shells, int | np.integer) or n_shells < 1:
        raise ConfigError(f"n_shells must be a positive integer, got {n_shells!r}")
    distances_A = _distances_A(crystal, sites)
    np.fill_diagonal(distances_A, np.inf)
    values = np.unique(distances_A[np.isfinite(distances_A)])
    starts = values[np.diff(shell_numbers(values), prepend=-1) > 0]
    if len(starts) < n_shells:
        raise ConfigError(
            f"n_shells = {n_shells}, but this cell has {len(starts)} shells of neighbours on the sublattice; "
            "ask for fewer or take a larger supercell"
        )
    ends = np.append(starts[1:], np.inf)[:n_shells]
    return [(distances_A >= start) & (distances_A < end) for start, end in zip(starts, ends, strict=False)]


def _boundaries_A(crystal, sites, shells):
    """Return 0 and the distances between which the shells lie."""
    distances_A = _distances_A(crystal, sites)
    inner = [distances_A[shell].min() for shell in shells]
    outer = [distances_A[shell].max() for shell in shells]
    between = [0.5 * (low + high) for low, high in zip(outer[:-1], inner[1:], strict=True)]
    return [0.0, *map(float, between), float(outer[-1] + 0.5 * SHELL_TOLERANCE_A)]
