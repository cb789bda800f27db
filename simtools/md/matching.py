"""Which ion of one end of a hop is which of the other, and which ions moved. The path: pathways.py."""

import numpy as np
from ase import Atoms
from scipy.optimize import linear_sum_assignment

from simtools.core.errors import ConfigError
from simtools.core.periodic import minimum_image

__all__ = ["LONGEST_HOP_A", "MatchError", "match_ions", "moving_ions", "nearest_sites"]

LONGEST_HOP_A = 5.0
"""Longer than between nearest equal sites of the crystals at hand (2.7 Å in Li3OCl, 4.5 Å between anions)."""
MOVING_A = 0.5
"""An ion that moves farther than this takes part in the hop; its neighbours only give way."""


class MatchError(ConfigError):
    """The two ends of a path cannot be the same ions one hop apart."""


def match_ions(initial: Atoms, final: Atoms, *, longest_hop_A: float = LONGEST_HOP_A) -> Atoms:
    """Return `final` with its ions in the order of `initial`, at the periodic image next to where they were.

    Ions of one species are interchangeable: of all assignments the one with the smallest sum of squared
    displacements is taken, which is the shortest straight path in configuration space (D. F. Crouse, IEEE
    Trans. Aerosp. Electron. Syst. 52, 1679 (2016), as implemented in scipy). So a concerted hop, in which
    each ion pushes the next, needs no list of indices.

    Parameters
    ----------
    initial, final
        The same ions in the same cell, each in any order and wrapped or not.
    longest_hop_A
        No ion may have moved farther, Å.

    Returns
    -------
    Atoms
        Positions of `final`; arrays and order of `initial`; ``info`` of `final`.

    Raises
    ------
    MatchError
        If cells or compositions differ, or an ion would have moved farther than `longest_hop_A`.
    """
    if not np.allclose(initial.cell.array, final.cell.array, atol=1e-8) or (initial.pbc != final.pbc).any():
        raise MatchError(
            "the two ends of a path lie in different cells: relax both at the same constant volume"
        )
    ours, theirs = np.array(initial.get_chemical_symbols()), np.array(final.get_chemical_symbols())
    matched = initial.copy()
    matched.calc, matched.info = None, dict(final.info)
    for species in sorted({*ours, *theirs}):
        here, there = np.flatnonzero(ours == species), np.flatnonzero(theirs == species)
        if len(here) != len(there):
            raise MatchError(
                f"the two ends of a path hold {len(here)} and {len(there)} {species} ions: expected the same "
                "ions at both ends"
            )
        vectors = final.positions[there] - initial.positions[here][:, None, :]
        if initial.pbc.all():
            vectors = minimum_image(vectors, initial.cell.array)
        rows, columns = linear_sum_assignment(np.sum(vectors**2, axis=-1))
        moved = vectors[rows, columns]
        longest = np.linalg.norm(moved, axis=1)
        worst = int(np.argmax(longest))
        if longest[worst] > longest_hop_A:
            raise MatchError(
                f"{species} {here[worst]} would move {longest[worst]:.3g} Å between the two ends, farther "
                f"than the longest hop expected ({longest_hop_A:g} Å): they are not one hop apart; choose "
                "nearer ends, or allow a longer hop"
            )
        matched.positions[here] = initial.positions[here] + moved
    return matched


def nearest_sites(atoms: Atoms) -> np.ndarray | None:
    """Return the index of the lattice site next to each ion, or None where no sites are recorded.

    Sites are ``info["lattice_sites"]`` of the perfect crystal, followed by the places of the interstitials in
    ``info["defects"]``.
    """
    record = atoms.info.get("lattice_sites")
    if record is None:
        return None
    sites = np.array(record["scaled_positions"]) @ atoms.cell.array
    added = [row["position_A"] for row in atoms.info.get("defects", []) if row["site_index"] is None]
    sites = np.concatenate([sites, np.array(added).reshape(-1, 3)])
    vectors = minimum_image(sites - atoms.positions[:, None, :], atoms.cell.array)
    return np.argmin(np.sum(vectors**2, axis=-1), axis=1)


def moving_ions(images: list[Atoms]) -> tuple[dict, ...]:
    """Return the displacement table of a path: a row per ion that moves more than 0.5 Å, the farthest first.

    Parameters
    ----------
    images
        The path, ions in one order and positions not wrapped.

    Returns
    -------
    tuple of dict
        ``index`` of the ion; ``species``; ``from_site`` and ``to_site``, the lattice sites next to it at the
        ends (None where the images record none); ``displacement_A`` from end to end; ``max_displacement_A``
        from where it started, anywhere on the path; ``path_length_A``.
    """
    positions = np.array([image.positions for image in images])
    along = np.linalg.norm(positions - positions[0], axis=2)
    lengths = np.linalg.norm(np.diff(positions, axis=0), axis=2).sum(axis=0)
    sites = [nearest_sites(images[0]), nearest_sites(images[-1])]
    farthest = along.max(axis=0)
    symbols = images[0].get_chemical_symbols()
    return tuple(
        {
            "index": int(ion),
            "species": symbols[ion],
            "from_site": None if sites[0] is None else int(sites[0][ion]),
            "to_site": None if sites[1] is None else int(sites[1][ion]),
            "displacement_A": float(along[-1, ion]),
            "max_displacement_A": float(farthest[ion]),
            "path_length_A": float(lengths[ion]),
        }
        for ion in np.argsort(-farthest, kind="stable")
        if farthest[ion] > MOVING_A
    )
