"""Supercells that would hold what this one cannot, in words for a refusal."""

import math
from collections.abc import Sequence

__all__ = ["smallest_box", "smallest_cube"]

_LARGEST_EDGE = 40
_MOST_UNEQUAL = 2.0


def smallest_cube(fraction: float, per_set: int, n_sites: int, supercell: Sequence[int] | None) -> str:
    """Say which cubic supercell is the smallest in which a fraction of sites rounds to one set."""
    needed = math.ceil(0.5 * per_set / fraction - 1e-9)
    if supercell is None:
        return f"it takes at least {needed} such sites to hold one"
    per_cell = n_sites / math.prod(supercell)
    edge = math.ceil((needed / per_cell) ** (1 / 3) - 1e-9)
    return (
        f"the smallest cubic supercell that would hold one is {edge} x {edge} x {edge} "
        f"({round(per_cell * edge**3)} sites)"
    )


def smallest_box(needed: int, n_units: int, supercell: Sequence[int] | None) -> str:
    """Say which supercell is the smallest with a multiple of `needed` formula units and no edge shorter."""
    multiple = f"it takes a multiple of {needed} formula units"
    if supercell is None:
        return multiple
    per_cell = n_units // math.prod(supercell)
    shortest = min(supercell)
    best = None
    for a in range(shortest, _LARGEST_EDGE + 1):
        for b in range(a, _LARGEST_EDGE + 1):
            for c in range(b, min(_LARGEST_EDGE, int(_MOST_UNEQUAL * a)) + 1):
                size = (a * b * c, c - a)
                if a * b * c * per_cell % needed == 0 and (best is None or size < best[0]):
                    best = size, (a, b, c)
    if best is None:
        return multiple + "; round its numbers"
    a, b, c = best[1]
    return (
        f"{multiple}; the smallest supercell that does, with no edge below {shortest}, is {a} x {b} x {c} "
        f"({a * b * c * per_cell} formula units)"
    )
