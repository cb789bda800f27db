"""Which point defects one neutral set consists of. How many sets: requests.py. Where: arrangement.py."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.defects.kroger_vink import KrogerVink
from simtools.defects.requests import DefectRequest

__all__ = ["DefectSet", "HostSpeciesError", "default_cation", "defect_set"]


class HostSpeciesError(UnknownSpeciesError):
    """A request names a species that the crystal does not have."""

    def __init__(self, species, available, request):
        super().__init__(species, available)
        self.args = (species, tuple(available), str(request))
        self.request = str(request)

    def __str__(self):
        return f"{self.request}: {super().__str__()}"


@dataclass(frozen=True, kw_only=True)
class DefectSet:
    """The point defects that are placed together.

    Attributes
    ----------
    anchors
        Placed by the request's `placement`.
    partners
        Placed relative to the anchors.
    """

    anchors: tuple[KrogerVink, ...]
    partners: tuple[KrogerVink, ...] = ()

    @property
    def members(self) -> tuple[KrogerVink, ...]:
        """Anchors, then partners."""
        return (*self.anchors, *self.partners)


def defect_set(
    request: DefectRequest, *, host_counts: Mapping[str, int], formal_charges_e: Mapping[str, int]
) -> DefectSet:
    """Return the smallest set of point defects that serves a request.

    Parameters
    ----------
    request
        Of any kind but a composition.
    host_counts
        Ions of each species in the perfect crystal.
    formal_charges_e
        Integer formal charges of host and foreign ions, e.

    Returns
    -------
    DefectSet
        Neutral, unless the request asks for isolated defects. For example Mg on Li has one V_Li' as partner,
        Al on Li two; O on Cl one (Li2)_Li. [1]_; Ca on Na compensated by V_Cl. does not exist.

    Raises
    ------
    HostSpeciesError
        An `UnknownSpeciesError`: species should be in the host and is not.
    ConfigError
        If a Schottky set is not neutral, a dopant is a host species, or what was chosen cannot compensate;
        the message says what each carries and what would.

    References
    ----------
    .. [1] R. Mouta, M. A. B. Melo, E. M. Diniz, C. W. A. Paschoal, Chem. Mater. 26, 7137 (2014).
    """
    kind, names = request.kind, request.species

    def label(species, site):
        return KrogerVink.from_charges(species, site, formal_charges_e)

    hosts = {"dopant": (), "substitution": (), "interstitial": ()}.get(kind, names)
    for name in (*hosts, *((request.on,) if request.on else ())):
        if name not in host_counts:
            raise HostSpeciesError(name, tuple(host_counts), request)
    if kind == "vacancy":
        return DefectSet(anchors=(label("V", names[0]),))
    if kind == "schottky":
        return _schottky(names, host_counts, formal_charges_e)
    if kind == "exchange":
        return DefectSet(anchors=(label(names[0], names[1]),), partners=(label(names[1], names[0]),))
    if kind == "frenkel":
        added = _added(names[0], request.compensation or "dumbbell", label)
        return DefectSet(anchors=(label("V", names[0]),), partners=(added,))
    if kind == "interstitial":
        defect = label(names[0], "i")
        if defect.n_ions != 1:
            raise ConfigError(f"{request}: an interstitial is one ion; for two on one site use a dumbbell")
    elif kind == "dumbbell":
        defect = _dumbbell(names[0], request.on or names[0], label)
    else:
        if kind in ("dopant", "substitution") and names[0] in host_counts:
            raise ConfigError(
                f"{request}: {names[0]} belongs to the crystal; a host species on another site is kind = "
                "'antisite'"
            )
        defect = label(names[0], request.on)
    return _compensated(request, defect, host_counts, formal_charges_e)


def _schottky(names, host_counts, charges):
    labels = tuple(KrogerVink.from_charges("V", name, charges) for name in names)
    charge = sum(label.charge for label in labels)
    if charge:
        raise ConfigError(
            f"a Schottky set {'+'.join(names)} would be {' + '.join(map(str, labels))} = "
            f"{charge:+d} e; a set is neutral, as {_neutral_example(host_counts, charges)}"
        )
    return DefectSet(anchors=labels)


def _compensated(request, defect, host_counts, charges):
    way = request.compensation
    isolated = request.kind in ("interstitial", "dumbbell")
    given = [
        f"{name} = {getattr(request, name)!r}"
        for name in ("compensation", "compensating_species", "compensation_placement")
        if getattr(request, name) is not None
    ]
    if defect.charge == 0 and given:
        raise ConfigError(
            f"{request}: {defect} is neutral and needs no compensation; leave out {' and '.join(given)}"
        )
    if isolated and way is None and given:
        raise ConfigError(
            f"{request}: {' and '.join(given)} has no meaning for {defect}, which nothing compensates by "
            "default; give compensation = 'vacancy' too, or leave it out"
        )
    if way == "none" or (way is None and (isolated or defect.charge == 0)):
        return DefectSet(anchors=(defect,))
    way = way or ("vacancy" if defect.charge > 0 else "dumbbell")
    partner = _partner(request, defect, way, host_counts, charges)
    if partner.charge * defect.charge >= 0:
        others = _compensators(defect, host_counts, charges)
        raise ConfigError(
            f"{request}: {defect} carries {defect.charge:+d} e and {partner} {partner.charge:+d} e, which do "
            f"not compensate; to close it use {others}"
        )
    common = math.gcd(defect.charge, partner.charge)
    return DefectSet(
        anchors=(defect,) * (abs(partner.charge) // common),
        partners=(partner,) * (abs(defect.charge) // common),
    )


def _partner(request, defect, way, host_counts, charges):
    species = request.compensating_species or default_cation(request, host_counts, charges)
    if species not in host_counts:
        raise HostSpeciesError(species, tuple(host_counts), request)
    if way == "vacancy":
        return KrogerVink.from_charges("V", species, charges)
    return _added(species, way, lambda name, site: KrogerVink.from_charges(name, site, charges))


def default_cation(request: DefectRequest, host_counts: Mapping[str, int], charges: Mapping[str, int]) -> str:
    """Return the cation that compensates where none is named: the one replaced, or the most abundant.

    Raises
    ------
    ConfigError
        If several are equally abundant, or there is none.
    """
    cations = {name: n for name, n in host_counts.items() if charges[name] > 0}
    if request.on in cations:
        return request.on
    most = [name for name, n in cations.items() if n == max(cations.values())]
    if len(most) != 1:
        raise ConfigError(
            f"{request}: the host has {len(most)} most abundant cations ({', '.join(most) or 'none'}); say "
            "which compensates by compensating_species"
        )
    return most[0]


def _added(species, way, label):
    return label(species, "i") if way == "interstitial" else _dumbbell(species, species, label)


def _dumbbell(species, site, label):
    single = label(species, site)
    if single.n_ions != 1:
        raise ConfigError(f"a dumbbell is made of two ions of one element, got species {species!r}")
    return label(f"{species}2", site)


def _compensators(defect, host_counts, charges):
    found = []
    for name in host_counts:
        charge = charges[name] * (1 if defect.charge < 0 else -1)
        if charge * defect.charge < 0:
            way = "vacancy" if defect.charge > 0 else "dumbbell"
            found.append(f'compensation = "{way}" with compensating_species = "{name}"')
        elif charge:
            way = "dumbbell" if defect.charge > 0 else "vacancy"
            found.append(f'compensation = "{way}" with compensating_species = "{name}"')
    return " or ".join(found) or 'compensation = "none" with net_charge = "background"'


def _neutral_example(host_counts, charges):
    cations = [name for name in host_counts if charges[name] > 0]
    sets = [
        [cations[0]] * (-charges[name] // charges[cations[0]]) + [name]
        for name in host_counts
        if cations and charges[name] < 0 and -charges[name] % charges[cations[0]] == 0
    ]
    return " or ".join(map(str, sets)) or "one of compensating charges"
