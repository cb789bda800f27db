"""Jumps by symmetry: which of the crystal's distinct pairs of sites they joined. Rates: jump_rates.py."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from scipy import stats

from simtools.analysers.jump_rates import poisson_rate
from simtools.analysers.jumps import Jumps
from simtools.core.errors import ConfigError
from simtools.core.periodic import shortest_distance_A
from simtools.core.provenance import collect_provenance
from simtools.core.results import Result, quantity
from simtools.structures.symmetry import crystal_symmetry

__all__ = ["JumpKinds", "jump_kinds"]

_SAME_LENGTH_A = 0.05
_LONGEST = 1.5
_STRAINED = 0.1


@dataclass(frozen=True, eq=False, kw_only=True)
class JumpKinds(Result):
    """Jumps counted by the symmetry-distinct pairs of sites they join, shortest first.

    Attributes
    ----------
    space_group : str
        Of the sites and their surroundings.
    from_sites, to_sites
        One pair of each kind, as indices into the crystal's sites.
    from_wyckoff, to_wyckoff
        Wyckoff letters of its ends.
    lengths_A
        Distance of its sites, Å.
    ways
        How many such jumps lead out of each site of the kind they start from.
    counts, rates
        Jumps seen, and per such site's ion and ps with Poisson's interval; a limit where none was seen.
    reverse
        Index of the kind that leads back; the kind itself where a symmetry operation turns the pair around.
    balance_p_values
        Chance of counts there and back as different as these, if equilibrium made them equal; 1 for a kind
        that is its own reverse.
    n_other : int
        Jumps that joined no pair within reach.
    """

    species: str
    space_group: str
    from_sites: np.ndarray = quantity("1", shape="(n_kinds,)")
    to_sites: np.ndarray = quantity("1", shape="(n_kinds,)")
    from_wyckoff: tuple
    to_wyckoff: tuple
    lengths_A: np.ndarray = quantity("angstrom", shape="(n_kinds,)")
    ways: np.ndarray = quantity("1", shape="(n_kinds,)")
    counts: np.ndarray = quantity("1", shape="(n_kinds,)")
    rates: tuple = quantity("1/ps", shape="(n_kinds,)")
    reverse: np.ndarray = quantity("1", shape="(n_kinds,)")
    balance_p_values: np.ndarray = quantity("1", shape="(n_kinds,)")
    n_other: int


def jump_kinds(
    jumps: Jumps | Sequence[Jumps],
    crystal: Atoms,
    *,
    longest_A: float | None = None,
    tolerance_A: float = 0.02,
) -> JumpKinds:
    """Count jumps by the distinct kinds of jump that the crystal has, those never made included.

    Parameters
    ----------
    jumps
        From `find_jumps`: one run, or replicas in the same cell.
    crystal
        The perfect crystal in the cell of the run, its atoms in the order of `lattice_sites`.
    longest_A
        Longest jump, Å; by default 1.5 times the shortest distance between sites of the species.
    tolerance_A
        Positions closer than this are the same when symmetry is looked for, Å; raise it for a mean cell.

    Returns
    -------
    JumpKinds

    Raises
    ------
    ConfigError
        If the crystal is not the one that jumps were found on, or replicas are of different species.

    Notes
    -----
    Limits: cubic Li3OCl has one kind of nearest jump, with eight ways out, which is its own reverse, and two
    kinds of second-nearest ones, a lattice parameter long: two ways past O, four past Cl.
    """
    parts = (jumps,) if isinstance(jumps, Jumps) else tuple(jumps)
    species = {part.species for part in parts}
    if len(species) != 1:
        raise ConfigError(f"expected jumps of one species, got {', '.join(sorted(species)) or 'none'}")
    (name,) = species
    own = np.flatnonzero(np.array(crystal.get_chemical_symbols()) == name)
    for part in parts:
        if not np.array_equal(part.site_indices, own):
            raise ConfigError(
                f"the crystal's {len(own)} {name} atoms are not the {part.n_sites} sites that jumps were "
                "found on: give the perfect crystal in the order of lattice_sites"
            )
    reach_A = _LONGEST * shortest_distance_A(crystal.positions[own], crystal.cell.array)
    reach_A = reach_A if longest_A is None else longest_A
    symmetry = crystal_symmetry(crystal, tolerance_A=tolerance_A)
    i, j, d = neighbor_list("ijd", crystal[own], reach_A + _SAME_LENGTH_A)
    table, members = _kinds(symmetry, own[i], own[j], d)
    counts, n_other = np.zeros(len(members), dtype=np.int64), 0
    for part in parts:
        for a, b, length in zip(part.initial_sites, part.final_sites, part.lengths_A, strict=True):
            kind = _kind_of(table, a, b, length)
            if kind is None:
                n_other += 1
            else:
                counts[kind] += 1
    order = np.argsort([d[pairs[0]] for pairs in members], kind="stable")
    place = np.argsort(order)
    first = np.array([members[kind][0] for kind in order])
    reverse = np.array([place[_kind_of(table, own[j[pair]], own[i[pair]], float(d[pair]))] for pair in first])
    counts = counts[order]
    n_from = np.array([len(np.unique(i[members[kind]])) for kind in order])
    exposure = sum(part.duration_ps * part.n_ions / part.n_sites for part in parts)
    return JumpKinds(
        species=name,
        space_group=symmetry.space_group,
        from_sites=own[i[first]],
        to_sites=own[j[first]],
        from_wyckoff=tuple(symmetry.wyckoff_letters[site] for site in own[i[first]]),
        to_wyckoff=tuple(symmetry.wyckoff_letters[site] for site in own[j[first]]),
        lengths_A=d[first],
        ways=np.array([len(members[kind]) for kind in order]) // n_from,
        counts=counts,
        rates=tuple(
            poisson_rate(int(n), exposure * int(sites)) for n, sites in zip(counts, n_from, strict=True)
        ),
        reverse=reverse,
        balance_p_values=np.array(
            [
                stats.binomtest(int(counts[k]), int(counts[k] + counts[r])).pvalue
                if r != k and counts[k] + counts[r]
                else 1.0
                for k, r in enumerate(reverse)
            ]
        ),
        n_other=n_other,
        provenance=collect_provenance(longest_A=longest_A, tolerance_A=tolerance_A),
    )


def _kinds(symmetry, i, j, d):
    """Return {(site, site): [(length, kind)]} and the directed pairs of each kind."""
    order = np.argsort(d)
    shell = np.empty(len(d), dtype=np.int64)
    shell[order] = np.concatenate([[0], np.cumsum(np.diff(d[order]) > _SAME_LENGTH_A)])
    n_atoms, n_shells = symmetry.permutations.shape[1], int(shell.max()) + 1

    def code(first, second):
        return (first.astype(np.int64) * n_atoms + second) * n_shells + shell

    lowest = code(i, j)
    known = np.unique(lowest)
    for permutation in symmetry.permutations:
        np.minimum(lowest, code(permutation[i], permutation[j]), out=lowest)
    if not np.isin(lowest, known).all():
        raise ConfigError("the crystal's sites are not symmetric to within tolerance_A: lower it")
    _, kind = np.unique(lowest, return_inverse=True)
    table = {}
    for a, b, length, number in zip(i.tolist(), j.tolist(), d.tolist(), kind.tolist(), strict=True):
        table.setdefault((a, b), []).append((length, number))
    return table, [np.flatnonzero(kind == number) for number in range(kind.max() + 1)]


def _kind_of(table, a, b, length_A):
    """Return the kind of a jump, or None: of several images of a site the one at its distance."""
    apart, kind = min(
        ((abs(length - length_A), kind) for length, kind in table.get((int(a), int(b)), ())),
        default=(np.inf, None),
    )
    return kind if apart < _STRAINED * length_A else None
