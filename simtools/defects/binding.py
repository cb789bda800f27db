"""How strongly two defects hold each other, against their distance.

Pairs come from `distinct_configurations`; their cells are relaxed by formation.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from scipy.spatial import cKDTree

from simtools.core.errors import ConfigError
from simtools.core.periodic import minimum_image
from simtools.core.units import COULOMB_EV_A
from simtools.defects.charge_correction import isolated_correction_eV
from simtools.defects.formation import DefectEnergy
from simtools.defects.insertion import PlacedDefect
from simtools.defects.kroger_vink import DefectComplex, KrogerVink

__all__ = [
    "SAME_SHELL_A",
    "BindingCurve",
    "PairState",
    "binding_curve",
    "isolated_reference",
    "pair_counts",
    "pair_distance_A",
    "pair_of",
    "placed_pair",
    "sites_changed",
]

SAME_DISTANCE_A = 0.1
"""A pair whose lattice distance has changed by more than this in the relaxation is another pair."""


SAME_SHELL_A = 0.3
"""Distances this near belong to one shell: tilts spread the shells of Na3OCl by less, and the shells of cubic
Li3OCl are farther apart."""


@dataclass(frozen=True, kw_only=True)
class PairState:
    """Two defects at one lattice distance, relaxed.

    Attributes
    ----------
    distance_A
        Between their sites in the perfect crystal, where they were put, Å.
    shell
        1 for the nearest distance that occurs, 2 for the next, and so on.
    multiplicity
        Equivalent ways to place the pair in the cell.
    energy_eV
        Of the relaxed cell less the perfect one.
    final_distance_A
        Between the sites on which they are after the relaxation, Å; None where they are on no two sites any
        more.
    """

    distance_A: float
    shell: int
    multiplicity: int
    energy_eV: float
    final_distance_A: float | None

    @property
    def moved(self) -> bool:
        """Whether the relaxation took the pair to another distance: its energy is not that of this one."""
        return self.final_distance_A is None or abs(self.final_distance_A - self.distance_A) > SAME_DISTANCE_A


@dataclass(frozen=True, kw_only=True)
class BindingCurve:
    """Energy of a pair of defects against their distance; negative is attraction.

    Attributes
    ----------
    associate
        Kröger-Vink label of the pair.
    states
        By distance.
    far_distance_A, far_energy_eV
        The lowest of the farthest shell that stayed where it was put: the reference of `relative_to_far_eV`.
        It is still within reach of the other's charge.
    isolated_energy_eV
        Sum of the isolated defects' energies: the reference of `relative_to_isolated_eV`; nan if unknown. For
        a charged pair less the image term of its cell, which the energies of `states` lack.
    isolated_half_width_eV
        Half the 95 % interval of `relative_to_isolated_eV`: isolated limits and the finite cell of the pair.
    """

    associate: str
    states: tuple[PairState, ...]
    far_distance_A: float
    far_energy_eV: float
    isolated_energy_eV: float
    isolated_half_width_eV: float

    @property
    def nearest(self) -> PairState:
        """The lowest in energy of the nearest shell at which the pair stays."""
        staying = [state for state in self.states if not state.moved]
        reach = min(state.distance_A for state in staying) + SAME_SHELL_A
        return min(
            (state for state in staying if state.distance_A <= reach), key=lambda state: state.energy_eV
        )

    def relative_to_far_eV(self, state: PairState) -> float:
        """Return the binding energy of `state` relative to the farthest pair in the cell, eV."""
        return state.energy_eV - self.far_energy_eV

    def relative_to_isolated_eV(self, state: PairState) -> float:
        """Return the binding energy of `state` relative to isolated defects, eV."""
        return state.energy_eV - self.isolated_energy_eV


def pair_of(associate: str) -> tuple[KrogerVink, KrogerVink]:
    """Return the two members of an associate such as ``{Mg_Li. V_Li'}``.

    Raises
    ------
    ConfigError
        If it has not two members, or a member is neither a vacancy nor one ion on a site.
    """
    complex_ = DefectComplex.parse(associate)
    members = complex_.members
    if len(members) != 2:
        raise ConfigError(f"{associate} has {len(members)} members: binding against distance needs two")
    for member in members:
        if member.site == "i" or (not member.is_vacancy and len(member.elements) > 1):
            raise ConfigError(
                f"{associate}: {member} has no one site; expected vacancies, dopants or antisite ions"
            )
    return members


def binding_curve(
    associate: str,
    states: Sequence[PairState],
    *,
    isolated_energy_eV: float = float("nan"),
    isolated_half_width_eV: float = float("nan"),
) -> BindingCurve:
    """Return the binding curve of relaxed pairs.

    Parameters
    ----------
    associate
        Kröger-Vink label of the pair.
    states
        All distances, any order.
    isolated_energy_eV, isolated_half_width_eV
        As in `BindingCurve`, eV.

    Raises
    ------
    ConfigError
        If no pair stayed where it was put.
    """
    ordered = tuple(sorted(states, key=lambda state: (state.distance_A, state.energy_eV)))
    staying = [state for state in ordered if not state.moved]
    if not staying:
        raise ConfigError(f"{associate}: no pair stayed at the distance at which it was put")
    reach = max(state.distance_A for state in staying) - SAME_SHELL_A
    far = min((state for state in staying if state.distance_A >= reach), key=lambda state: state.energy_eV)
    return BindingCurve(
        associate=associate,
        states=ordered,
        far_distance_A=far.distance_A,
        far_energy_eV=far.energy_eV,
        isolated_energy_eV=float(isolated_energy_eV),
        isolated_half_width_eV=float(isolated_half_width_eV),
    )


def isolated_reference(
    members: Sequence[DefectEnergy],
    *,
    repeats: int,
    cell_A,
    distance_A: float,
    dielectric_tensor=None,
    tolerance_eV: float = 0.0,
) -> tuple[float, float]:
    r"""Return the energy of two isolated defects for a pair in a finite cell, and half its 95 % interval, eV.

    A charged pair's cell lacks the image term of its net charge, so the reference lacks it as well. The
    interval holds, in quadrature: those of the isolated limits, what their own cells still lack at the size
    of the pair's cell (as 1/V), the images of the pair's dipole,
    :math:`2\pi k_e (qd)^2/(3\epsilon V)`, and the tolerance of the relaxations.

    Parameters
    ----------
    members
        The two isolated defects.
    repeats, cell_A
        Supercell of the pair, counted as in `members`, and its lattice vectors.
    distance_A
        Between the two.
    dielectric_tensor
        Static; None without charges.
    tolerance_eV
        Of relaxed energies.
    """
    energy = sum(member.energy_eV.value for member in members)
    parts = [tolerance_eV]
    for member in members:
        low, high = member.energy_eV.ci95
        smallest = member.cell_energies_eV[0] if member.limit is None else member.limit.corrected_eV[0]
        parts.append((high - low) / 2)
        parts.append((smallest - member.energy_eV.value) * (member.repeats[0] / repeats) ** 3)
    if dielectric_tensor is not None:
        charge = sum(member.charge_e for member in members)
        largest = max(abs(member.charge_e) for member in members)
        epsilon = float(np.trace(np.asarray(dielectric_tensor))) / 3
        volume = abs(float(np.linalg.det(cell_A)))
        parts.append(2 * np.pi * COULOMB_EV_A * (largest * distance_A) ** 2 / (3 * epsilon * volume))
        if charge:
            energy -= isolated_correction_eV(charge, cell_A, dielectric_tensor)
    return energy, float(np.linalg.norm(parts))


def sites_changed(atoms: Atoms) -> tuple[tuple[KrogerVink, int], ...]:
    """Return which lattice sites of a relaxed cell hold something else than in the perfect crystal.

    Every ion belongs to the site nearest to it. An ion that left its site shows as a vacancy there and as a
    second ion elsewhere, so this follows what a relaxation did to the defects that were put in.

    Parameters
    ----------
    atoms
        With the ``info`` of `simtools.defects.insertion.insert_defects`.

    Returns
    -------
    tuple of (KrogerVink, int)
        What is there, by the formal charges, and the site's index; by index. Two ions on one site are a
        dumbbell label.
    """
    info = atoms.info
    scaled = np.asarray(info["lattice_sites"]["scaled_positions"], dtype=float)
    species = info["lattice_sites"]["species"]
    own = atoms.get_scaled_positions(wrap=True)
    tree = cKDTree(np.mod(scaled, 1.0), boxsize=1.0)
    nearest = _nearest_sites(tree, own, atoms.cell.array)
    symbols = atoms.get_chemical_symbols()
    there: dict[int, list[str]] = {}
    for symbol, site in zip(symbols, nearest.tolist(), strict=True):
        there.setdefault(site, []).append(symbol)
    changed = []
    for site, name in enumerate(species):
        ions = sorted(there.get(site, []))
        if ions == [name]:
            continue
        content = "".join(f"{ion}{n if n > 1 else ''}" for ion, n in _counted(ions)) or "V"
        changed.append((KrogerVink.from_charges(content, name, info["formal_charges_e"]), site))
    return tuple(changed)


def pair_distance_A(
    changed: Sequence[tuple[KrogerVink, int]], pair: Sequence[KrogerVink], perfect: Atoms
) -> float | None:
    """Return the distance between the sites on which a pair of defects is, Å, or None if it is not there.

    Parameters
    ----------
    changed
        From `sites_changed`.
    pair
        The two defects looked for.
    perfect
        The perfect cell whose sites are counted.
    """
    left = list(changed)
    sites = []
    for member in pair:
        found = [item for item in left if item[0] == member]
        if not found:
            return None
        sites.append(found[0][1])
        left.remove(found[0])
    if left:
        return None
    vector = perfect.positions[sites[1]] - perfect.positions[sites[0]]
    return float(np.linalg.norm(minimum_image(vector[None], perfect.cell.array)[0]))


def placed_pair(defects: Sequence[tuple[str, int]]) -> tuple[PlacedDefect, ...]:
    """Return the defects of a `Configuration` as `PlacedDefect`."""
    return tuple(PlacedDefect(label=KrogerVink.parse(label), site_index=site) for label, site in defects)


def pair_counts(pair: Sequence[KrogerVink]) -> Mapping[str, int]:
    """Return how many of each label a pair holds, as `distinct_configurations` asks for it."""
    counts: dict[str, int] = {}
    for member in pair:
        counts[str(member)] = counts.get(str(member), 0) + 1
    return counts


def _nearest_sites(tree, scaled, cell_A):
    """Return the nearest site of each ion by Cartesian distance, among the few nearest in fractions."""
    k = min(8, tree.n)
    candidates = np.asarray(tree.query(np.where(scaled >= 1.0, 0.0, scaled), k=k)[1]).reshape(len(scaled), k)
    vectors = tree.data[candidates] - scaled[:, None, :]
    vectors = (vectors - np.round(vectors)) @ cell_A
    return candidates[np.arange(len(scaled)), np.linalg.norm(vectors, axis=2).argmin(axis=1)]


def _counted(ions):
    return [(ion, ions.count(ion)) for ion in dict.fromkeys(ions)]
