"""Put defects into a perfect supercell: counted, charge-balanced, placed by a seed. No forces here."""

import logging
import math
import numbers
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.defects.charge_balance import check_balance
from simtools.defects.kroger_vink import KrogerVink, formal_charge
from simtools.defects.placement import PLACEMENTS, SiteGeometry, place_sets

logger = logging.getLogger(__name__)

KINDS = ("vacancy", "schottky")


@dataclass(frozen=True, kw_only=True)
class DefectRequest:
    """One kind of defect, how many, and where: the table ``[[defects]]`` of a recipe.

    Attributes
    ----------
    kind
        ``"vacancy"``: `species` names one species, whose ions are removed one by one. ``"schottky"``:
        `species` names the ions one neutral set removes, ``("Li", "Cl")`` or ``("Li", "Li", "O")``.
    species
        One symbol or a sequence of them.
    count
        Number of vacancies or of Schottky sets. Give either this or `fraction`.
    fraction
        Fraction of the sites of the **first named species** that become vacant, 0 to 1: for ``("Li", "Cl")``
        and ``("Li", "Li", "O")`` it is the fraction of lithium sites. The number of sets is rounded to the
        nearest integer, halves up.
    placement
        ``"random"``: every vacancy on a random free site. ``"associated"`` (only schottky): the vacancies of
        a set at their nearest distance, the sets at random. ``"separated"``: all vacancies, partners
        included, as far from each other as a search finds.
    minimum_separation_A
        No two vacancies closer than this, Å; 0 for no rule. Partners of an associated set are exempt.
    """

    kind: str
    species: tuple[str, ...]
    count: int | None = None
    fraction: float | None = None
    placement: str = "random"
    minimum_separation_A: float = 0.0

    def __post_init__(self):
        names = (self.species,) if isinstance(self.species, str) else self.species
        try:
            names = tuple(names)
        except TypeError:
            names = ()
        if not names or not all(isinstance(name, str) for name in names):
            raise ConfigError(f'species must be symbols such as ["Li"] or ["Li", "Cl"], got {self.species!r}')
        object.__setattr__(self, "species", names)
        _check_word("kind", self.kind, KINDS)
        _check_word("placement", self.placement, PLACEMENTS)
        if self.kind == "vacancy" and len(names) != 1:
            raise ConfigError(
                f"kind = 'vacancy' takes one species, got {list(names)}; give each its own request, or use "
                "kind = 'schottky' for a neutral set"
            )
        if self.kind == "schottky" and len(names) < 2:
            raise ConfigError(
                f"kind = 'schottky' takes the ions of one set, such as ['Li', 'Cl'], got {list(names)}"
            )
        if self.kind == "vacancy" and self.placement == "associated":
            raise ConfigError(
                "placement = 'associated' needs a partner, which kind = 'vacancy' has not; use kind = "
                "'schottky', or placement 'random' or 'separated'"
            )
        self._check_amount()

    def _check_amount(self):
        if (self.count is None) == (self.fraction is None):
            raise ConfigError(
                f"give either count or fraction for {self.kind} {'+'.join(self.species)}, got "
                f"count = {self.count!r} and fraction = {self.fraction!r}"
            )
        if self.count is not None and not _is_number(self.count, numbers.Integral):
            raise ConfigError(f"count must be a positive integer, got {self.count!r}")
        if self.count is not None and self.count < 1:
            raise ConfigError(f"count must be a positive integer, got {self.count!r}")
        if self.fraction is not None and not (
            _is_number(self.fraction, numbers.Real) and 0 < self.fraction <= 1
        ):
            raise ConfigError(f"fraction must lie in (0, 1], got {self.fraction!r}")
        distance = self.minimum_separation_A
        if not (_is_number(distance, numbers.Real) and 0 <= distance < math.inf):
            raise ConfigError(f"minimum_separation_A must be a distance in Å, 0 or more, got {distance!r}")

    def n_sets(self, atoms: Atoms) -> int:
        """Return how many vacancies or sets this asks for in a perfect supercell.

        Raises
        ------
        ConfigError
            If a fraction rounds to zero; the message names the smallest supercell that holds one.
        """
        if self.count is not None:
            return int(self.count)
        species = self.species[0]
        n_sites = int(np.sum(np.array(atoms.get_chemical_symbols()) == species))
        per_set = self.species.count(species)
        n_sets = math.floor(self.fraction * n_sites / per_set + 0.5)
        if n_sets == 0:
            raise ConfigError(
                f"fraction = {self.fraction:g} of {n_sites} {species} sites is "
                f"{self.fraction * n_sites:.3g} vacancies and rounds to no {self.kind}; "
                + _smallest_cell(self.fraction, per_set, n_sites, atoms.info.get("supercell"))
            )
        return n_sets


def build_defects(
    atoms: Atoms,
    requests: Sequence[DefectRequest],
    *,
    formal_charges_e: Mapping[str, int],
    net_charge: str | None = None,
    seed: int,
) -> Atoms:
    """Return the supercell with defects in it.

    Parameters
    ----------
    atoms
        A perfect, periodic supercell; not changed.
    requests
        Placed in this order. May be empty: the result then only remembers its lattice sites.
    formal_charges_e
        Integer formal charge of every species in `atoms`, e, whatever charges the force field uses.
    net_charge
        ``"background"`` declares that a uniform background compensates a net charge; without it a net charge
        is an error.
    seed
        Settles every random choice: the same seed gives the same cell.

    Returns
    -------
    Atoms
        The remaining ions in their original order with their per-atom arrays. In ``info`` (plain data, so
        that extended XYZ keeps it):

        - ``lattice_sites``: ``{"species": [...], "scaled_positions": [[...], ...]}`` of the perfect cell;
        - ``defects``: one dict per vacancy with ``kind``, ``label`` (Kröger-Vink), ``site_species``,
          ``site_index`` (into `lattice_sites`), ``position_A``, ``effective_charge_e``, ``set`` (vacancies of
          one Schottky set share its number) and ``request`` (index into `requests`);
        - ``net_charge_e``, ``formal_charges_e`` and ``defect_seed``.

    Raises
    ------
    ChargeBalanceError
        If a net charge is left and no background is declared; lists every defect and what would close it.
    UnknownSpeciesError, PlacementError, ConfigError
        If a species is not in the crystal, there are more vacancies than sites, a fraction rounds to zero, a
        Schottky set is not neutral, the arrangement does not fit, or `atoms` already holds defects.
    """
    requests = tuple(requests)
    _check_perfect(atoms)
    _check_seed(seed)
    species = np.array(atoms.get_chemical_symbols())
    host_counts = {name: int(np.sum(species == name)) for name in dict.fromkeys(species.tolist())}
    charges = {name: formal_charge(name, formal_charges_e) for name in host_counts}
    amounts = [_amount(request, atoms, host_counts, charges) for request in requests]
    _check_enough_sites(requests, amounts, host_counts)
    expected = [
        KrogerVink.from_charges("V", name, charges)
        for request, n_sets in zip(requests, amounts, strict=True)
        for name in request.species * n_sets
    ]
    total = check_balance(expected, host_counts=host_counts, formal_charges_e=charges, net_charge=net_charge)
    geometry = SiteGeometry(atoms.get_scaled_positions(wrap=True), species, atoms.cell.array)
    defects = _place(geometry, requests, amounts, charges, np.random.default_rng(seed))

    built = atoms.copy()
    built.info.update(
        lattice_sites={"species": species.tolist(), "scaled_positions": geometry.scaled_positions.tolist()},
        defects=defects,
        net_charge_e=total,
        formal_charges_e=charges,
        defect_seed=int(seed),
    )
    del built[[defect["site_index"] for defect in defects]]
    if len(built) == 0:
        raise ConfigError("the requests remove every ion of the cell; ask for fewer vacancies")
    logger.info("built %d vacancies, net charge %+d e", len(defects), total)
    return built


def _place(geometry, requests, amounts, charges, rng):
    defects, taken, first_set = [], [], 0
    for number, (request, n_sets) in enumerate(zip(requests, amounts, strict=True)):
        sets = place_sets(
            geometry,
            request.species,
            n_sets,
            placement=request.placement,
            taken=taken,
            minimum_separation_A=float(request.minimum_separation_A),
            rng=rng,
        )
        for offset, sites in enumerate(sets):
            for name, site in zip(request.species, sites, strict=True):
                label = KrogerVink.from_charges("V", name, charges)
                defects.append(
                    {
                        "kind": "vacancy",
                        "label": str(label),
                        "site_species": name,
                        "site_index": int(site),
                        "position_A": (geometry.scaled_positions[site] @ geometry.cell_A).tolist(),
                        "effective_charge_e": label.charge,
                        "set": first_set + offset,
                        "request": number,
                    }
                )
                taken.append(int(site))
        first_set += n_sets
    return defects


def _amount(request, atoms, host_counts, charges):
    if not isinstance(request, DefectRequest):
        raise ConfigError(f"expected a DefectRequest, got {request!r}")
    for name in request.species:
        if name not in host_counts:
            raise UnknownSpeciesError(name, tuple(host_counts))
    if request.kind == "schottky":
        labels = [KrogerVink.from_charges("V", name, charges) for name in request.species]
        charge = sum(label.charge for label in labels)
        if charge:
            raise ConfigError(
                f"a Schottky set {'+'.join(request.species)} would be {' + '.join(map(str, labels))} = "
                f"{charge:+d} e; a set is neutral, as {_neutral_example(charges)}"
            )
    return request.n_sets(atoms)


def _neutral_example(charges):
    cations = [name for name, charge in charges.items() if charge > 0]
    sets = [
        [cations[0]] * (-charge // charges[cations[0]]) + [name]
        for name, charge in charges.items()
        if cations and charge < 0 and -charge % charges[cations[0]] == 0
    ]
    return " or ".join(map(str, sets)) or "one of compensating charges"


def _check_enough_sites(requests, amounts, host_counts):
    wanted = Counter()
    for request, n_sets in zip(requests, amounts, strict=True):
        for name in request.species:
            wanted[name] += n_sets
    for name, n in wanted.items():
        if n > host_counts[name]:
            raise ConfigError(
                f"{n} {name} vacancies were asked for, but the supercell has {host_counts[name]} {name} sites"
            )


def _check_perfect(atoms):
    if atoms.info.get("defects"):
        raise ConfigError(
            "this cell already holds defects; give all requests in one call on the perfect cell"
        )
    if not atoms.pbc.all():
        raise ConfigError(
            f"defects need a crystal periodic in three directions, got pbc = {atoms.pbc.tolist()}"
        )


def _check_seed(seed):
    if not _is_number(seed, numbers.Integral) or seed < 0:
        raise ConfigError(f"seed must be an integer, 0 or more, got {seed!r}")


def _check_word(name, value, known):
    if value not in known:
        raise ConfigError(f"{name} = {value!r} is not known; expected one of: {', '.join(known)}")


def _is_number(value, kind):
    return isinstance(value, kind) and not isinstance(value, bool)


def _smallest_cell(fraction, per_set, n_sites, supercell):
    needed = math.ceil(0.5 * per_set / fraction - 1e-9)
    if supercell is None:
        return f"it takes at least {needed} such sites to hold one"
    per_cell = n_sites / math.prod(supercell)
    edge = math.ceil((needed / per_cell) ** (1 / 3) - 1e-9)
    return (
        f"the smallest cubic supercell that would hold one is {edge} x {edge} x {edge} "
        f"({round(per_cell * edge**3)} sites)"
    )
