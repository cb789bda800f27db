"""Split interstitials: two ions that share one site. Which site and how many: see builders.py."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from simtools.core.errors import ConfigError
from simtools.core.periodic import minimum_image
from simtools.defects.arrangement import DUMBBELL_SEPARATION
from simtools.defects.insertion import PlacedDefect, insert_defects
from simtools.defects.kroger_vink import KrogerVink
from simtools.defects.sublattice import FAMILIES, SiteGeometry, family_axes, family_indices
from simtools.structures.ionic_relaxation import relax_ions
from simtools.structures.symmetry import CrystalSymmetry, crystal_symmetry

__all__ = [
    "DumbbellOrientation",
    "RelaxedDumbbell",
    "dumbbell_orientations",
    "dumbbell_positions",
    "relaxed_separation",
]

_SAME_AXIS = 1e-3
_ON_THE_AXIS_DEG = 10.0


@dataclass(frozen=True, kw_only=True)
class DumbbellOrientation:
    """One of the symmetry-distinct axes of a dumbbell on a site.

    Attributes
    ----------
    family
        ``"100"``, ``"110"`` or ``"111"``.
    direction
        Cartesian unit vector of one of them, shape (3,).
    equivalent_directions
        All of them, this one first; an axis and its reverse are one.
    site_axis_angle_deg
        Angle to the highest rotation axis of the site, 0 to 90 degrees: 0 is parallel, 90 perpendicular.
        None where the site has no such axis, or several (as in a cubic one).
    towards, towards_A
        Species and distance (Å) of the first ion the axis points at, within 10 degrees and twice the nearest
        distance of the site's own species; None where there is none.
    """

    family: str
    direction: tuple[float, float, float]
    equivalent_directions: tuple[tuple[float, float, float], ...]
    site_axis_angle_deg: float | None
    towards: str | None
    towards_A: float | None

    @property
    def multiplicity(self) -> int:
        """Number of equivalent axes on the site."""
        return len(self.equivalent_directions)

    def __str__(self):
        text = f"<{self.family}> along ({' '.join(f'{x:.3g}' for x in self.direction)}) x{self.multiplicity}"
        if self.site_axis_angle_deg is not None:
            angle = self.site_axis_angle_deg
            words = {0: "parallel to", 90: "perpendicular to"}.get(round(angle), f"{angle:.0f}° from")
            text += f", {words} the site's axis"
        if self.towards is not None:
            text += f", towards {self.towards} at {self.towards_A:.3f} Å"
        return text


@dataclass(frozen=True, eq=False, kw_only=True)
class RelaxedDumbbell:
    """A dumbbell at rest.

    Attributes
    ----------
    atoms
        The relaxed cell; the defect is in its ``info``.
    energy_eV
        Of the cell, eV.
    separation_A
        Distance of the two ions, Å.
    direction
        Their axis, shape (3,), a unit vector on the side of the start.
    turned_deg
        Angle between it and the start.
    centre_shift_A
        How far their midpoint moved from the site, Å. A large shift or separation says that the ions no
        longer share this site.
    """

    atoms: Atoms
    energy_eV: float
    separation_A: float
    direction: tuple[float, float, float]
    turned_deg: float
    centre_shift_A: float


def dumbbell_orientations(
    crystal: Atoms,
    site_index: int,
    *,
    families: Sequence[str] = FAMILIES,
    symmetry: CrystalSymmetry | None = None,
) -> tuple[DumbbellOrientation, ...]:
    """Return the symmetry-distinct orientations of a dumbbell on a site.

    Parameters
    ----------
    crystal
        The perfect cell or supercell. Directions are along its own (normalised) cell vectors: <110> is a + b
        and so on, which means what it says in a cell that is cubic or nearly so.
    site_index
        Atom whose site is shared.
    families
        Of ``"100"``, ``"110"``, ``"111"``.
    symmetry
        Of `crystal`, where it is known already.

    Returns
    -------
    tuple of DumbbellOrientation
        In the order of `families`, within one by rising angle to the site's axis. Multiplicities add up to 3,
        6 and 4 per family.

    Raises
    ------
    ConfigError
        If there is no such site or family.

    Notes
    -----
    Limits: on a site of cubic symmetry each family is one. On the X site of cubic X3BA (4/mmm, the axis runs
    from B to B) <100> splits into one axis parallel, towards B, and two perpendicular, towards the empty edge
    centres; <110> into two perpendicular, towards A, and four at 45 degrees, towards X; <111> stays one.
    """
    site, families = _check_site(crystal, site_index), list(families)
    for family in families:
        if family not in FAMILIES:
            raise ConfigError(f"family {family!r} is not known; expected one of: {', '.join(FAMILIES)}")
    symmetry = crystal_symmetry(crystal) if symmetry is None else symmetry
    turns = symmetry.cartesian_rotations[symmetry.stabiliser(site)]
    turns = turns[np.unique(np.round(turns, 3).reshape(len(turns), -1), axis=0, return_index=True)[1]]
    site_axis = _site_axis(turns)
    neighbours = _neighbours(crystal, site)
    found = []
    for family in families:
        axes, indices = family_axes(crystal.cell.array, family), family_indices(family)
        left = [axes[k] for k in sorted(range(len(axes)), key=indices.__getitem__, reverse=True)]
        while left:
            images = turns @ left[0]
            same = [axis for axis in left if np.abs(images @ axis).max() > 1 - _SAME_AXIS**2]
            left = [axis for axis in left if not any(axis is other for other in same)]
            towards, towards_A = _first_ion(same[0], *neighbours)
            found.append(
                DumbbellOrientation(
                    family=family,
                    direction=tuple(same[0].tolist()),
                    equivalent_directions=tuple(tuple(axis.tolist()) for axis in same),
                    site_axis_angle_deg=None if site_axis is None else _angle_deg(same[0], site_axis),
                    towards=towards,
                    towards_A=towards_A,
                )
            )
    found.sort(
        key=lambda orientation: (families.index(orientation.family), orientation.site_axis_angle_deg or 0)
    )
    return tuple(found)


def dumbbell_positions(crystal: Atoms, site_index: int, direction, *, separation_A: float) -> np.ndarray:
    """Return the positions of two ions half a separation on either side of a site, shape (2, 3), Å."""
    site = _check_site(crystal, site_index)
    arm = 0.5 * _check_separation(separation_A) * _unit(direction)
    return crystal.positions[site] + np.array([arm, -arm])


def relaxed_separation(
    crystal: Atoms,
    site_index: int,
    direction,
    calculator,
    *,
    formal_charges_e: Mapping[str, int],
    start_separation_A: float | None = None,
    rattle_A: float = 0.0,
    seed: int = 0,
    max_force_eV_per_A: float = 0.01,
) -> RelaxedDumbbell:
    """Return a dumbbell of the site's own species, all ions relaxed at constant volume.

    Parameters
    ----------
    crystal
        The perfect supercell, relaxed for the calculator.
    site_index, direction
        The site, and the Cartesian axis to start from.
    calculator
        Any ASE calculator; if it takes charges, it must accept the net charge of one extra ion (a uniform
        background).
    formal_charges_e
        Integer formal charge of every element, e: they go into the defect's record.
    start_separation_A
        Å; by default `simtools.defects.arrangement.DUMBBELL_SEPARATION` times the nearest distance of the
        site's own species.
    rattle_A, seed
        Standard deviation of random displacements of all ions before relaxation, Å. With 0 the symmetry of
        the start is kept, so that a stationary point may come out that is no minimum.
    max_force_eV_per_A
        As in `simtools.structures.ionic_relaxation.relax_ions`.

    Raises
    ------
    ConfigError
        If the request makes no sense.
    NotRelaxedError
        If the ions do not come to rest.
    """
    site = _check_site(crystal, site_index)
    axis = _unit(direction)
    symbol = crystal.symbols[site]
    if start_separation_A is None:
        start_separation_A = DUMBBELL_SEPARATION * SiteGeometry.of(crystal).nearest_alike_A(site)
    label = KrogerVink.from_charges(f"{symbol}2", symbol, formal_charges_e)
    placed = PlacedDefect(
        label=label,
        site_index=site,
        direction=tuple(axis.tolist()),
        separation_A=_check_separation(start_separation_A),
    )
    start = insert_defects(
        crystal,
        [placed],
        formal_charges_e=formal_charges_e,
        net_charge="background" if label.charge else None,
    )
    if rattle_A:
        start.positions += np.random.default_rng(seed).normal(0.0, rattle_A, size=(len(start), 3))
    relaxation = relax_ions(start, calculator, max_force_eV_per_A=max_force_eV_per_A)
    first, second = relaxation.atoms.info["defects"][0]["atom_indices"]
    cell = crystal.cell.array
    positions = relaxation.atoms.positions
    vector = minimum_image(positions[first] - positions[second], cell)
    middle = minimum_image(positions[second] + 0.5 * vector - crystal.positions[site], cell)
    separation = float(np.linalg.norm(vector))
    found = vector / separation
    return RelaxedDumbbell(
        atoms=relaxation.atoms,
        energy_eV=relaxation.energy_eV,
        separation_A=separation,
        direction=tuple((found if found @ axis >= 0 else -found).tolist()),
        turned_deg=_angle_deg(found, axis),
        centre_shift_A=float(np.linalg.norm(middle)),
    )


def _check_site(crystal, site_index):
    whole = isinstance(site_index, int | np.integer) and not isinstance(site_index, bool)
    if not whole or not 0 <= site_index < len(crystal):
        raise ConfigError(
            f"site_index must be an atom index from 0 to {len(crystal) - 1}, got {site_index!r}"
        )
    return int(site_index)


def _check_separation(separation_A):
    if isinstance(separation_A, bool) or not 0 < separation_A < math.inf:
        raise ConfigError(
            f"the separation of a dumbbell must be a positive number of Å, got {separation_A!r}"
        )
    return float(separation_A)


def _unit(direction):
    axis = np.asarray(direction, dtype=float)
    if axis.shape != (3,) or not 0 < np.linalg.norm(axis) < np.inf:
        raise ConfigError(f"direction must be a Cartesian axis such as (1, 0, 0), got {direction!r}")
    return axis / np.linalg.norm(axis)


def _site_axis(turns):
    """Return the only rotation axis of highest order of a site, or None."""
    orders = {}
    for turn in turns:
        proper = turn * np.sign(np.linalg.det(turn))
        angle = math.acos(np.clip((np.trace(proper) - 1) / 2, -1, 1))
        if angle < 0.1:
            continue
        values, vectors = np.linalg.eig(proper)
        axis = np.real(vectors[:, np.argmin(np.abs(values - 1))])
        orders.setdefault(round(2 * math.pi / angle), []).append(axis / np.linalg.norm(axis))
    if not orders:
        return None
    axes = np.array(orders[max(orders)])
    return axes[0] if np.abs(axes @ axes[0]).min() > 1 - _SAME_AXIS else None


def _neighbours(crystal, site):
    """Return the vectors to the ions around a site and their symbols, nearest first."""
    first, second, vectors = neighbor_list(
        "ijD", crystal, 2 * SiteGeometry.of(crystal).nearest_alike_A(site) + 1e-6
    )
    mine = first == site
    vectors, symbols = vectors[mine], np.array(crystal.get_chemical_symbols())[second[mine]]
    order = np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")
    return vectors[order], symbols[order]


def _first_ion(axis, vectors, symbols):
    for vector, symbol in zip(vectors, symbols.tolist(), strict=True):
        if _angle_deg(axis, vector) <= _ON_THE_AXIS_DEG:
            return symbol, float(np.linalg.norm(vector))
    return None, None


def _angle_deg(first, second):
    """Return the angle between two axes, 0 to 90 degrees."""
    cosine = abs(np.dot(first, second)) / (np.linalg.norm(first) * np.linalg.norm(second))
    return math.degrees(math.acos(min(cosine, 1.0)))
