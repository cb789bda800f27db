"""What may be asked for: one kind of defect, how many, where, and what compensates it. Checked on arrival."""

import math
import numbers
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from simtools.core.errors import ConfigError
from simtools.defects.cell_sizes import smallest_cube
from simtools.defects.sublattice import FAMILIES

__all__ = ["COMPENSATIONS", "DIRECTIONS", "KINDS", "PLACEMENTS", "DefectRequest"]

KINDS = (
    "vacancy",
    "schottky",
    "interstitial",
    "dumbbell",
    "frenkel",
    "antisite",
    "exchange",
    "dopant",
    "substitution",
    "composition",
)
PLACEMENTS = ("random", "associated", "separated", "rocksalt", "layered", "columnar", "sqs")
_MIXED = ("rocksalt", "layered", "columnar", "sqs")
COMPENSATIONS = ("vacancy", "interstitial", "dumbbell", "none")
DIRECTIONS = FAMILIES

_PUT_ON_A_SITE = ("antisite", "dopant", "substitution")
_COMPENSATED = ("interstitial", "dumbbell", *_PUT_ON_A_SITE)
_WITH_PARTNER = ("schottky", "exchange", "composition")


@dataclass(frozen=True, kw_only=True)
class DefectRequest:
    """One kind of defect, how many, and where: the table ``[[defects]]`` of a recipe.

    Attributes
    ----------
    kind
        ========================  =========================================================================
        ``"vacancy"``             ions of one species leave, one by one
        ``"schottky"``            `species` names the ions that one neutral set removes: ``("Li", "Cl")``
        ``"interstitial"``        ions of one species come in, on the interstitial sites of the crystal
        ``"dumbbell"``            two ions of `species` share a site of `on` (by default their own)
        ``"frenkel"``             a vacancy and, out of its reach, the same ion as dumbbell or interstitial
        ``"antisite"``            a host species takes a site of another host species, `on`
        ``"exchange"``            an ion of each of two species trade places
        ``"dopant"``              a foreign ion takes a site of `on`
        ``"substitution"``        the same, for ions of equal charge (Br on Cl) and for ``"OH"`` on O
        ``"composition"``         whatever turns the crystal into `formula`
        ========================  =========================================================================
    species
        One symbol or a sequence of them.
    on
        Host species whose site is taken. For a composition it settles which site a foreign ion takes where
        the formula leaves a choice.
    count
        Number of defects of this kind (vacancies, dopants, sets, pairs). Give this, `fraction` or `formula`.
    fraction
        Share of the sites of the first named species (of `on` where that is given), 0 to 1, that become
        vacant, take the defect, or see an ion of theirs added. With ``("Li", "Li", "O")`` it is the fraction
        of lithium sites. The number is rounded to the nearest integer, halves up.
    formula
        Only for a composition: what the crystal is to become, per formula unit, as ``"Li2.96OCl0.96"`` or
        ``"Na2.75Ca0.125OCl"``. It must come out in whole ions. An H in it is that of a hydroxide on O.
    placement
        ``"random"``: on random free sites. ``"separated"``: as far from each other, and from the defects that
        are there, as a search finds. ``"associated"`` (schottky, exchange, composition): the members of a set
        at their nearest distance, the sets at random; in a composition also dopants and what compensates
        them. ``"rocksalt"``, ``"layered"``, ``"columnar"`` (ordered)
        and ``"sqs"`` (special quasirandom), for a substitution: see `simtools.defects.mixing`.
    minimum_separation_A
        No two defects closer than this, Å; 0 for no rule. Partners at a chosen distance are exempt.
    direction
        Axis of dumbbells: the family ``"100"`` (default), ``"110"`` or ``"111"`` along the cell's own axes.
        Of its members each dumbbell takes one that leaves most room, by the seed where several do.
    separation_A
        Distance of the two ions of a dumbbell before relaxation, Å. The default is
        `simtools.defects.arrangement.DUMBBELL_SEPARATION` times the distance of nearest sites.
    compensation
        What makes up for the charge: ``"vacancy"``, ``"interstitial"`` or ``"dumbbell"`` of
        `compensating_species`, or ``"none"``. By default a dopant, substitution or antisite of positive
        effective charge gets vacancies of the cation, a negative one dumbbells of it; an interstitial or
        dumbbell gets nothing. Of a Frenkel pair, and of excess ions in a composition, it says in what
        form the ion is added (default dumbbell).
    compensating_species
        By default the most abundant cation of the host, or `on` where a cation is replaced; also in a
        composition. Of equally abundant ones it must be named.
    compensation_placement
        ``"random"`` (default), ``"separated"``, ``"nearest"``, or n for the n-th shell of neighbours around
        the defect it compensates; sites whose distances follow each other within
        `simtools.defects.sublattice.SHELL_TOLERANCE_A` are one shell, and ``"nearest"`` is the first. In a
        Frenkel pair ``"nearest"`` and ``"random"`` begin at shell
        `simtools.defects.arrangement.FRENKEL_SHELL`; no other vacancy of the species is nearer to the added
        ion either.
    interstitial_site
        Which of the distinct interstitial sites, by room: 0 is the widest.
    """

    kind: str
    species: tuple[str, ...] = ()
    count: int | None = None
    fraction: float | None = None
    placement: str = "random"
    minimum_separation_A: float = 0.0
    on: str | None = None
    formula: str | None = None
    direction: str | None = None
    separation_A: float | None = None
    compensation: str | None = None
    compensating_species: str | None = None
    compensation_placement: str | int | None = None
    interstitial_site: int = 0

    def __post_init__(self):
        object.__setattr__(self, "species", _symbols(self.species, self.kind))
        check_word("kind", self.kind, KINDS)
        check_word("placement", self.placement, PLACEMENTS)
        self._check_species()
        self._check_placement()
        self._check_compensation()
        self._check_geometry()
        self._check_amount()

    def __str__(self):
        words = [self.kind, "+".join(self.species) or self.formula]
        if self.on is not None:
            words.append(f"on {self.on}")
        if self.count is not None:
            words.append(f"count = {self.count}")
        if self.fraction is not None:
            words.append(f"fraction = {self.fraction:g}")
        if self.compensation is not None:
            words.append(f"compensation = {self.compensation}")
        return " ".join(words)

    @property
    def counted_on(self) -> str:
        """The host species whose sites a fraction counts."""
        return self.on or self.species[0]

    def _check_species(self):
        kind, names = self.kind, self.species
        if kind == "vacancy" and len(names) != 1:
            raise ConfigError(
                f"kind = 'vacancy' takes one species, got species = {list(names)}; give each its own "
                "request, or use kind = 'schottky' for a neutral set"
            )
        if kind == "schottky" and len(names) < 2:
            raise ConfigError(
                "kind = 'schottky' takes the ions of one set, such as ['Li', 'Cl'], got species = "
                f"{list(names)}"
            )
        if kind == "exchange" and (len(names) != 2 or names[0] == names[1]):
            raise ConfigError(
                "kind = 'exchange' takes two species that trade places, as ['O', 'Cl'], got species = "
                f"{list(names)}"
            )
        if kind not in ("schottky", "exchange", "composition") and len(names) != 1:
            raise ConfigError(f"kind = {kind!r} takes one species, got species = {list(names)}")
        if kind == "composition" and (names or self.formula is None):
            raise ConfigError(
                f"kind = 'composition' takes a formula such as 'Li2.96OCl0.96' and no species, got formula = "
                f"{self.formula!r} and species = {list(names)}"
            )
        if kind != "composition" and self.formula is not None:
            raise ConfigError(f"formula = {self.formula!r} is for kind = 'composition', got kind = {kind!r}")
        if kind in _PUT_ON_A_SITE and (not isinstance(self.on, str) or self.on == names[0]):
            raise ConfigError(
                f"kind = {kind!r} needs on, the host species whose site {names[0]} takes (on = 'Li'), got "
                f"{self.on!r}"
            )
        if "V" in names and kind not in ("vacancy", "schottky"):
            raise ConfigError(
                f"kind = {kind!r} cannot put in species = {list(names)}: in a label V is a vacancy, never "
                "vanadium"
            )
        if self.on is not None and kind not in (*_PUT_ON_A_SITE, "dumbbell", "composition"):
            raise ConfigError(f"on = {self.on!r} has no meaning for kind = {kind!r}; leave it out")

    def _check_placement(self):
        if self.placement == "associated" and self.kind not in _WITH_PARTNER:
            raise ConfigError(
                f"placement = 'associated' needs a partner, which kind = {self.kind!r} has not; use "
                + (
                    "kind = 'schottky', or placement 'random' or 'separated'"
                    if self.kind == "vacancy"
                    else "compensation_placement = 'nearest' for what compensates it"
                )
            )
        if self.placement in _MIXED and self.kind != "substitution":
            raise ConfigError(
                f"placement = {self.placement!r} is for kind = 'substitution', got kind = {self.kind!r}"
            )

    def _check_compensation(self):
        kind, way = self.kind, self.compensation
        if way is not None:
            check_word("compensation", way, COMPENSATIONS)
            if kind in ("frenkel", "composition"):
                check_word(f"compensation of a {kind}", way, ("interstitial", "dumbbell"))
            elif kind not in _COMPENSATED:
                raise ConfigError(f"compensation = {way!r} has no meaning for kind = {kind!r}; leave it out")
        if self.compensating_species is not None and kind not in (*_COMPENSATED, "composition"):
            raise ConfigError(
                f"compensating_species = {self.compensating_species!r} has no meaning for kind = {kind!r}"
            )
        where = self.compensation_placement
        if where is None:
            return
        if kind not in (*_COMPENSATED, "frenkel", "composition") or way == "none":
            raise ConfigError(
                f"compensation_placement = {where!r} has no meaning without compensation; leave it out"
            )
        if not (is_number(where, numbers.Integral) and where >= 1) and where not in (
            "nearest",
            "random",
            "separated",
        ):
            raise ConfigError(
                "compensation_placement must be 'nearest', 'random', 'separated' or the number of a shell "
                f"(1 is the nearest), got {where!r}"
            )

    def _check_geometry(self):
        if self.kind in ("vacancy", "schottky", "exchange"):
            for name, unused in (("direction", None), ("separation_A", None), ("interstitial_site", 0)):
                value = getattr(self, name)
                if value != unused:
                    raise ConfigError(
                        f"{name} = {value!r} has no meaning for kind = {self.kind!r}; leave it out"
                    )
        if self.direction is not None:
            check_word("direction", self.direction, DIRECTIONS)
        distance = self.minimum_separation_A
        if not (is_number(distance, numbers.Real) and 0 <= distance < math.inf):
            raise ConfigError(f"minimum_separation_A must be a distance in Å, 0 or more, got {distance!r}")
        distance = self.separation_A
        if distance is not None and not (is_number(distance, numbers.Real) and 0 < distance < math.inf):
            raise ConfigError(f"separation_A must be a distance in Å above 0, got {distance!r}")
        if not is_number(self.interstitial_site, numbers.Integral) or self.interstitial_site < 0:
            raise ConfigError(
                f"interstitial_site must be a whole number from 0, got {self.interstitial_site!r}"
            )

    def _check_amount(self):
        if self.kind == "composition":
            if self.count is not None or self.fraction is not None:
                raise ConfigError(
                    f"formula = {self.formula!r} says how many; leave out count and fraction, got count = "
                    f"{self.count!r} and fraction = {self.fraction!r}"
                )
            return
        if (self.count is None) == (self.fraction is None):
            raise ConfigError(
                f"give either count or fraction for {self.kind} {'+'.join(self.species)}, got "
                f"count = {self.count!r} and fraction = {self.fraction!r}"
            )
        if self.count is not None and not (is_number(self.count, numbers.Integral) and self.count >= 1):
            raise ConfigError(f"count must be a positive integer, got {self.count!r}")
        if self.fraction is not None and not (
            is_number(self.fraction, numbers.Real) and 0 < self.fraction <= 1
        ):
            raise ConfigError(f"fraction must lie in (0, 1], got {self.fraction!r}")

    def n_sets(self, atoms: Atoms, *, per_set: int | None = None) -> int:
        """Return how many defects or sets this asks for in a perfect supercell.

        Parameters
        ----------
        atoms
            The perfect supercell.
        per_set
            Defects of this kind in one neutral set; by default 1, or the number of ions of the first named
            species in a Schottky set (of which `count` counts the sets).

        Raises
        ------
        ConfigError
            If a fraction rounds to zero (the message names the smallest supercell that holds one), or a
            count is no multiple of the defects in a set.
        """
        if per_set is None:
            per_set = self.species.count(self.species[0])
            if self.count is not None:
                return int(self.count)
        if self.count is not None:
            if self.count % per_set:
                raise ConfigError(
                    f"{self}: {per_set} of them are compensated together; ask for a multiple of {per_set}"
                )
            return int(self.count) // per_set
        species = self.counted_on
        n_sites = int(np.sum(np.array(atoms.get_chemical_symbols()) == species))
        if n_sites == 0:
            raise ConfigError(
                f"fraction = {self.fraction:g} counts {species} sites, of which the crystal has none; give "
                "count"
            )
        n_sets = math.floor(self.fraction * n_sites / per_set + 0.5)
        if n_sets == 0:
            plural = {"vacancy": "vacancies", "antisite": "antisite ions"}.get(self.kind, f"{self.kind}s")
            if self.kind == "schottky":
                plural = "vacancies"
            raise ConfigError(
                f"fraction = {self.fraction:g} of {n_sites} {species} sites is "
                f"{self.fraction * n_sites:.3g} {plural} and rounds to no {self.kind}; "
                + smallest_cube(self.fraction, per_set, n_sites, atoms.info.get("supercell"))
            )
        return n_sets


def check_word(name, value, known):
    """Raise `ConfigError` unless `value` is one of the words `known`."""
    if not isinstance(value, str) or value not in known:
        raise ConfigError(f"{name} = {value!r} is not known; expected one of: {', '.join(known)}")


def is_number(value, kind) -> bool:
    """Return whether `value` is a number of this kind, and not true or false."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _symbols(species, kind):
    names = (species,) if isinstance(species, str) else species
    try:
        names = tuple(names)
    except TypeError:
        names = (None,)
    if not all(isinstance(name, str) and name for name in names) or not (names or kind == "composition"):
        raise ConfigError(f'species must be symbols such as ["Li"] or ["Li", "Cl"], got {species!r}')
    return names
