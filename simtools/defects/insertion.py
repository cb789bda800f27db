"""Put given defects on given sites: ions leave, change, come in. Which sites: see builders.py."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers

from simtools.core.errors import ConfigError
from simtools.core.periodic import minimum_image
from simtools.defects.charge_balance import check_balance
from simtools.defects.kroger_vink import KrogerVink, formal_charge, name_given

__all__ = ["HYDROXIDE_BOND_A", "PlacedDefect", "check_perfect", "insert_defects"]

HYDROXIDE_BOND_A = 0.97
"""O-H distance of a hydroxide ion that is put in, Å: 0.9643 Å in free OH- (Huber and Herzberg, *Constants of
Diatomic Molecules*, 1979), up to 0.98 Å in hydroxides by neutron diffraction. A start, not a result."""

_COINCIDENT_A = 0.3


@dataclass(frozen=True, kw_only=True)
class PlacedDefect:
    """One point defect with its place.

    Attributes
    ----------
    label
        What it is, for example ``V_Li'``, ``Mg_Li.``, ``Li_i.``, ``(Li2)_Li.`` (two ions that share a site)
        or ``(OH)_O.``.
    site_index
        Index into the perfect crystal of the ion whose site it takes; None for an interstitial.
    scaled_position
        Only for an interstitial: fractional coordinates in the supercell.
    direction
        Cartesian axis of a dumbbell, or from O to H; its length does not matter.
    separation_A
        Only for a dumbbell: the distance of its two ions, Å, half of it on either side of the site.
    set
        Defects that were placed together share it.
    request
        Which request asked for it.
    """

    label: KrogerVink
    site_index: int | None
    scaled_position: tuple[float, float, float] | None = None
    direction: tuple[float, float, float] | None = None
    separation_A: float | None = None
    set: int = 0
    request: int = 0


def insert_defects(
    perfect: Atoms,
    placed: Sequence[PlacedDefect],
    *,
    formal_charges_e: Mapping[str, int],
    net_charge: str | None = None,
) -> Atoms:
    """Return the crystal with `placed` in it, unrelaxed.

    Parameters
    ----------
    perfect
        The perfect, periodic supercell; not changed.
    placed
        At most one defect per site.
    formal_charges_e
        Integer formal charges, e, of every element of the host and of the defects; a molecular ion may be
        given as one (``"OH": -1``), else it carries the sum of its elements.
    net_charge
        ``"background"`` declares that a uniform background compensates a net charge; without it a net charge
        is an error.

    Returns
    -------
    Atoms
        The ions that remain in their order, with their per-atom arrays; those that are substituted change
        their symbol in place; those that are added come last: interstitials, the second ion of each dumbbell
        (the host's ion is its first), the H of each hydroxide. Added ions have ``"i"`` in the array ``site``
        (if there is one), or the letter of the site that they share, and zero in other arrays. Initial
        charges and a force field's ``species_label`` are left out, for they are those of the perfect crystal.
        With molecular ions the array ``molecule_id`` numbers them from 0 (on from the host's, where it has
        some); it is -1 elsewhere. In ``info``, as plain data that extended XYZ keeps:

        - ``lattice_sites``: ``{"species": [...], "scaled_positions": [[...], ...]}`` of the perfect cell;
        - ``defects``: a dict per defect with ``kind`` (vacancy, interstitial, dumbbell, antisite, dopant or
          substitution), ``label``, ``species``, ``site_species`` (``"i"`` for an interstitial),
          ``site_index`` (into `lattice_sites`, or None), ``atom_indices`` (of its ions in this cell),
          ``position_A``, ``effective_charge_e``, ``set``, ``request``, and where they mean something
          ``direction`` (a unit vector) and ``separation_A``;
        - ``net_charge_e`` and ``formal_charges_e``.

    Raises
    ------
    ChargeBalanceError
        If a net charge is left and no background is declared.
    ConfigError
        If the crystal is not perfect or not periodic, a site is used twice or holds another ion, a label's
        charge contradicts the formal charges, a defect lacks what its kind needs, or two ions would coincide.
    """
    check_perfect(perfect)
    symbols = perfect.get_chemical_symbols()
    charges = _charges_of(symbols, placed, formal_charges_e)
    for defect in placed:
        _check_defect(defect, symbols, charges)
    _check_one_per_site(placed)
    host_counts = {name: symbols.count(name) for name in dict.fromkeys(symbols)}
    total = check_balance(
        [defect.label for defect in placed],
        host_counts=host_counts,
        formal_charges_e=charges,
        net_charge=net_charge,
    )
    scaled = perfect.get_scaled_positions(wrap=True)
    built = perfect.copy()
    built.calc = None
    built.arrays.pop("initial_charges", None)
    built.arrays.pop("species_label", None)
    records, own_ions = [], []
    n_molecules = 1 + int(built.arrays.get("molecule_id", np.array([-1])).max())
    for defect in placed:
        ions, molecule = _put_in(built, defect, n_molecules)
        n_molecules += molecule
        own_ions.append(ions)
        records.append(_record(defect, symbols, scaled, perfect.cell.array, formal_charges_e=charges))
    _remove_vacated(built, placed, records, own_ions)
    _check_apart(built, records)
    built.info.update(
        lattice_sites={"species": symbols, "scaled_positions": scaled.tolist()},
        defects=records,
        net_charge_e=total,
        formal_charges_e=charges,
    )
    return built


def check_perfect(perfect: Atoms):
    """Raise `ConfigError` unless the crystal is periodic in three directions and holds no defects yet."""
    if perfect.info.get("defects"):
        raise ConfigError(
            "this cell already holds defects; give all requests in one call on the perfect cell"
        )
    if not perfect.pbc.all():
        raise ConfigError(
            f"defects need a crystal periodic in three directions, got pbc = {perfect.pbc.tolist()}"
        )


def _charges_of(symbols, placed, formal_charges_e):
    """Return the formal charges of the host and of what comes in, host first."""
    names = dict.fromkeys(symbols)
    for defect in placed:
        if not isinstance(defect, PlacedDefect):
            raise ConfigError(f"expected a PlacedDefect, got {defect!r}")
        parts = defect.label.elements
        if name_given(defect.label.species, formal_charges_e):
            names[defect.label.species] = None
            parts = [symbol for symbol in parts if symbol in formal_charges_e]
        names.update(dict.fromkeys(parts))
    return {name: formal_charge(name, formal_charges_e) for name in names}


def _check_defect(defect, symbols, charges):
    label, site = defect.label, defect.site_index
    if (label.site == "i") != (site is None):
        raise ConfigError(
            f"{label}: an interstitial has site_index = None and every other defect has one, got {site!r}"
        )
    if site is None:
        position = defect.scaled_position
        if position is None or np.shape(position) != (3,) or not np.isfinite(position).all():
            raise ConfigError(f"{label}: scaled_position must be three numbers, got {position!r}")
    else:
        if not 0 <= site < len(symbols):
            raise ConfigError(f"{label}: site_index must lie in 0 to {len(symbols) - 1}, got {site!r}")
        if symbols[site] != label.site:
            raise ConfigError(f"{label}: site {site} belongs to {symbols[site]}, not to {label.site}")
    expected = KrogerVink.from_charges(label.species, label.site, charges)
    if expected != label:
        raise ConfigError(f"{label}: by the formal charges it is {expected} ({expected.charge:+d} e)")
    if label.n_ions == 2:
        direction = defect.direction
        if direction is None or np.shape(direction) != (3,) or not 0 < np.linalg.norm(direction) < math.inf:
            raise ConfigError(
                f"{label}: direction must be a Cartesian axis such as (1, 0, 0), got {direction!r}"
            )
    if label.is_dumbbell and not (defect.separation_A is not None and 0 < defect.separation_A < math.inf):
        raise ConfigError(f"{label}: separation_A must be a distance in Å, got {defect.separation_A!r}")
    if label.n_ions > 1 and not label.is_dumbbell and sorted(label.elements) != ["H", "O"]:
        raise ConfigError(f"{label}: of the molecular ions only OH has a shape here, got {label.species}")


def _check_one_per_site(placed):
    first = {}
    for defect in placed:
        if defect.site_index is None:
            continue
        other = first.setdefault(defect.site_index, defect)
        if other is not defect:
            raise ConfigError(f"site {defect.site_index} is taken twice: by {other.label} and {defect.label}")


def _put_in(built, defect, n_molecules):
    """Change `built` by one defect; return the indices of its ions and whether it is a molecular ion."""
    label, site = defect.label, defect.site_index
    if label.is_vacancy:
        return [], False
    first, *others = sorted(label.elements, key=lambda symbol: (symbol != label.site, symbol != "O"))
    if site is None:
        centre = np.asarray(defect.scaled_position, dtype=float) @ built.cell.array
        shared_site = "i"
        ions = [_append(built, first, centre, shared_site)]
    else:
        centre = built.positions[site].copy()
        shared_site = built.arrays["site"][site] if "site" in built.arrays else None
        _substitute(built, site, first)
        ions = [site]
    if not others:
        return ions, False
    axis = np.asarray(defect.direction, dtype=float)
    axis = axis / np.linalg.norm(axis)
    if label.is_dumbbell:
        arm = 0.5 * defect.separation_A * axis
        built.positions[ions[0]] = centre + arm
        return [*ions, _append(built, others[0], centre - arm, shared_site)], False
    ions.append(_append(built, others[0], centre + HYDROXIDE_BOND_A * axis, shared_site))
    if "molecule_id" not in built.arrays:
        built.set_array("molecule_id", np.full(len(built), -1))
    built.arrays["molecule_id"][ions] = n_molecules
    return ions, True


def _substitute(built, index, symbol):
    if built.symbols[index] == symbol:
        return
    built.symbols[index] = symbol
    if "masses" in built.arrays:
        built.arrays["masses"][index] = atomic_masses[atomic_numbers[symbol]]


def _append(built, symbol, position_A, site):
    built.extend(Atoms([symbol], positions=[position_A]))
    if "site" in built.arrays:
        built.arrays["site"][-1] = site
    if "masses" in built.arrays:
        built.arrays["masses"][-1] = atomic_masses[atomic_numbers[symbol]]
    if "molecule_id" in built.arrays:
        built.arrays["molecule_id"][-1] = -1
    return len(built) - 1


def _record(defect, symbols, scaled, cell_A, *, formal_charges_e):
    label, site = defect.label, defect.site_index
    position = defect.scaled_position if site is None else scaled[site]
    record = {
        "kind": _kind(label, set(symbols)),
        "label": str(label),
        "species": label.species,
        "site_species": label.site,
        "site_index": None if site is None else int(site),
        "position_A": (np.asarray(position, dtype=float) @ cell_A).tolist(),
        "effective_charge_e": label.charge,
        "set": int(defect.set),
        "request": int(defect.request),
    }
    if label.n_ions == 2:
        axis = np.asarray(defect.direction, dtype=float)
        record["direction"] = (axis / np.linalg.norm(axis)).tolist()
    if label.is_dumbbell:
        record["separation_A"] = float(defect.separation_A)
    return record


def _kind(label, host):
    if label.is_vacancy:
        return "vacancy"
    if label.is_interstitial:
        return "interstitial"
    if label.is_dumbbell:
        return "dumbbell"
    if label.species in host:
        return "antisite"
    if label.n_ions == 1 and label.charge:
        return "dopant"
    return "substitution"


def _remove_vacated(built, placed, records, own_ions):
    vacated = [defect.site_index for defect in placed if defect.label.is_vacancy]
    kept = np.ones(len(built), dtype=bool)
    kept[vacated] = False
    new_index = np.cumsum(kept) - 1
    for record, ions in zip(records, own_ions, strict=True):
        record["atom_indices"] = [int(new_index[ion]) for ion in ions]
    del built[vacated]
    if len(built) == 0:
        raise ConfigError("the requests remove every ion of the cell; ask for fewer vacancies")


def _check_apart(built, records):
    """Refuse added ions on top of others; substituted ones sit on their sites."""
    for record in records:
        if len(record["atom_indices"]) < 2 and record["site_index"] is not None:
            continue
        for ion in record["atom_indices"]:
            offsets = np.delete(built.positions, ion, axis=0) - built.positions[ion]
            nearest = np.linalg.norm(minimum_image(offsets, built.cell.array), axis=1).min(initial=np.inf)
            if nearest < _COINCIDENT_A:
                raise ConfigError(
                    f"{record['label']}: its {built.symbols[ion]} at "
                    f"{np.round(built.positions[ion], 3).tolist()} Å would sit {nearest:.2g} Å from another "
                    "ion; move the defects apart"
                )
