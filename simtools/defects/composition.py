"""A target formula as defects of the perfect crystal: which ions leave, come in or change, in whole ions."""

import math
from collections.abc import Mapping
from fractions import Fraction

from ase import Atoms

from simtools.core.errors import ConfigError
from simtools.defects.cell_sizes import smallest_box
from simtools.defects.compensation import HostSpeciesError, default_cation
from simtools.defects.kroger_vink import formal_charge
from simtools.defects.requests import DefectRequest
from simtools.structures.antiperovskite import parse_formula

__all__ = ["requests_for_composition"]

_FEWEST_ANIONS = 0.75
"""A formula with a smaller share of the crystal's anions is taken to be counted per another unit."""


def requests_for_composition(
    request: DefectRequest, perfect: Atoms, *, formal_charges_e: Mapping[str, int]
) -> tuple[DefectRequest, ...]:
    """Return requests, each with its count, that turn the crystal into the formula of a composition.

    Ions that the formula lacks leave. Foreign ions, and host ions in excess, take the sites of ions of like
    sign that are lacking, together with the cation vacancies or dumbbells that compensate them as far as the
    formula has these. Cations in excess of all sites become dumbbells or interstitials. H makes a hydroxide
    of an O.

    Parameters
    ----------
    request
        Of kind ``"composition"``: ``Li2.96OCl0.96``, ``Na2.75Ca0.125OCl``, ``Li2.9Mg0.05OCl``.
    perfect
        The perfect supercell.
    formal_charges_e
        Integer formal charges of host and foreign ions, e.

    Raises
    ------
    ConfigError
        If the formula is the perfect crystal, is not neutral (with the balance and the amount of each species
        that would close it), would empty more than a quarter of the anion sites (it is then counted per
        another unit than the smallest formula unit of the crystal), leaves a choice of site, or does not come
        out in whole ions: the message names the smallest supercell with which it does.
    """
    symbols = perfect.get_chemical_symbols()
    host = {name: symbols.count(name) for name in dict.fromkeys(symbols)}
    if request.on is not None and request.on not in host:
        raise HostSpeciesError(request.on, tuple(host), request)
    n_units = math.gcd(*host.values())
    target = {name: Fraction(str(amount)) for name, amount in parse_formula(request.formula).items()}
    change = _change(request, host, n_units, target)
    charges = {name: formal_charge(name, formal_charges_e) for name in change}
    _check_neutral(request, host, n_units, target, charges)
    _check_unit(request, host, n_units, target, charges)
    _check_whole(request, target, n_units, perfect.info.get("supercell"))
    lacking = {name: -int(n * n_units) for name, n in change.items() if n < 0}
    coming = {name: int(n * n_units) for name, n in change.items() if n > 0}
    hydroxides = coming.pop("H", 0) if "H" not in host and "O" in host else 0
    placed = _on_sites(request, coming, lacking, charges)
    added = {name: n - sum(k for (s, _), k in placed.items() if s == name) for name, n in coming.items()}
    parts = tuple(_as_requests(request, host, charges, hydroxides, placed, added, lacking))
    if request.compensation_placement and not any(part.compensation_placement for part in parts):
        raise ConfigError(
            f"compensation_placement = {request.compensation_placement!r} has no meaning for formula = "
            f"{request.formula!r}, in which no ion on another's site is compensated; for vacancies side by "
            "side use placement = 'associated'"
        )
    return parts


def _change(request, host, n_units, target):
    change = {name: target.get(name, Fraction(0)) - Fraction(n, n_units) for name, n in host.items()}
    change.update({name: amount for name, amount in target.items() if name not in host})
    if not any(change.values()):
        raise ConfigError(f"formula = {request.formula!r} is the perfect crystal; leave the request out")
    return change


def _check_neutral(request, host, n_units, target, charges):
    total = sum(amount * charges[name] for name, amount in target.items())
    if total == 0:
        return
    terms = " ".join(f"{float(amount * charges[name]):+.6g} ({name})" for name, amount in target.items())
    closing = [
        f"{name}{_decimal(target[name] - total / charges[name])}"
        for name in target
        if charges[name]
        and _can_close(name, target[name] - total / charges[name], host, n_units, target, charges)
    ]
    hint = f"change one amount to {' or '.join(closing)}" if closing else "change several amounts"
    raise ConfigError(
        f"formula = {request.formula!r} is not neutral: {terms} = {float(total):+.6g} e per formula unit; to "
        f"close it {hint}"
    )


def _can_close(name, amount, host, n_units, target, charges):
    """Return whether `amount` of `name` is a decimal, its anions have sites, and the crystal is changed."""
    if amount <= 0 or _decimal(amount) is None:
        return False
    if {**target, name: amount} == {other: Fraction(n, n_units) for other, n in host.items()}:
        return False
    anions = sum(n for other, n in {**target, name: amount}.items() if charges[other] < 0)
    return anions <= _anions_per_unit(host, n_units, charges)


def _decimal(amount):
    """Return a fraction as a decimal, or None where it has none of up to six places."""
    text = f"{float(amount):.6f}".rstrip("0").rstrip(".")
    return text if Fraction(text) == amount else None


def _anions_per_unit(host, n_units, charges):
    return Fraction(sum(n for name, n in host.items() if charges[name] < 0), n_units)


def _check_unit(request, host, n_units, target, charges):
    """Refuse a formula that would empty the crystal because it is counted per another unit."""
    wanted = sum(n for name, n in target.items() if charges[name] < 0)
    there = _anions_per_unit(host, n_units, charges)
    if wanted < Fraction(_FEWEST_ANIONS) * there:
        unit = "".join(f"{name}{n // n_units if n > n_units else ''}" for name, n in host.items())
        raise ConfigError(
            f"formula = {request.formula!r} would leave {float(1 - wanted / there):.0%} of the anion sites "
            f"empty; amounts are counted per formula unit of the crystal, {unit}"
        )


def _check_whole(request, target, n_units, supercell):
    needed = math.lcm(*(amount.denominator for amount in target.values()))
    if n_units % needed == 0:
        return
    broken = ", ".join(
        f"{float(amount * n_units):.6g} {name}"
        for name, amount in target.items()
        if (amount * n_units).denominator > 1
    )
    raise ConfigError(
        f"formula = {request.formula!r} does not come out in whole ions in {n_units} formula units "
        f"({broken}); " + smallest_box(needed, n_units, supercell)
    )


def _on_sites(request, coming, lacking, charges):
    """Return {(species, host species): how many} and take them off `lacking`."""
    placed = {}
    for name, n in coming.items():
        sites = [site for site in lacking if lacking[site] and charges[site] * charges[name] > 0]
        if request.on in sites:
            sites = [request.on]
        if len(sites) > 1:
            raise ConfigError(
                f"formula = {request.formula!r}: {name} could take sites of {' or of '.join(sites)}; say "
                f"which by on = {sites[0]!r} or on = {sites[1]!r}"
            )
        for site in sites:
            placed[name, site] = min(n, lacking[site])
            lacking[site] -= placed[name, site]
    return placed


def _as_requests(request, host, charges, hydroxides, placed, added, lacking):
    """Yield the requests; `lacking` and `added` count what no earlier one has used up."""
    apart = {"minimum_separation_A": request.minimum_separation_A}
    common = {
        **apart,
        "direction": request.direction,
        "separation_A": request.separation_A,
        "interstitial_site": request.interstitial_site,
    }
    single = "random" if request.placement == "associated" else request.placement
    near = request.compensation_placement or ("nearest" if request.placement == "associated" else None)
    form = request.compensation or "dumbbell"
    cation = _compensating_cation(request, host, charges, placed, hydroxides)
    arrivals = [("substitution", "OH", "O", charges.get("H", 0), hydroxides)] if hydroxides else []
    for (name, site), n in placed.items():
        charge = charges[name] - charges[site]
        kind = "antisite" if name in host else "dopant" if charge else "substitution"
        arrivals.append((kind, name, site, charge, n))
    for kind, name, site, charge, n in arrivals:
        pool = lacking if charge > 0 else added
        per_defect = abs(charge) // charges[cation] if cation and charge % charges[cation] == 0 else 0
        paired = min(n, pool.get(cation, 0) // per_defect) if per_defect else 0
        if paired:
            pool[cation] -= paired * per_defect
            yield DefectRequest(
                kind=kind,
                species=name,
                on=site,
                count=paired,
                placement=single,
                compensation="vacancy" if charge > 0 else form,
                compensating_species=cation,
                compensation_placement=near,
                **common,
            )
        if n > paired:
            yield DefectRequest(
                kind=kind,
                species=name,
                on=site,
                count=n - paired,
                placement=single,
                compensation="none" if charge else None,
                **common,
            )
    if request.placement == "associated":
        yield from _schottky_sets(lacking, charges, cation, apart)
    for name, n in lacking.items():
        if n:
            yield DefectRequest(kind="vacancy", species=name, count=n, placement=single, **apart)
    for name, n in added.items():
        if n and charges[name] < 0:
            raise ConfigError(
                f"formula = {request.formula!r} has {n} {name} more than there are sites; only "
                "cations can be added"
            )
        if n and name not in host and form == "dumbbell":
            raise ConfigError(
                f"formula = {request.formula!r} has {n} {name} for which no site is free; give compensation "
                "= 'interstitial' or take as many host cations out"
            )
        if n:
            yield DefectRequest(kind=form, species=name, count=n, placement=single, **common)


def _compensating_cation(request, host, charges, placed, hydroxides):
    """Return the cation that compensates arrivals and completes sets, or None where nothing needs one."""
    charged = any(charges[name] != charges[site] for name, site in placed)
    if not (hydroxides or charged or request.placement == "associated"):
        return None
    if request.compensating_species is None:
        return default_cation(request, host, charges)
    if request.compensating_species not in host:
        raise HostSpeciesError(request.compensating_species, tuple(host), request)
    if charges[request.compensating_species] <= 0:
        raise ConfigError(
            f"{request}: compensating_species = {request.compensating_species!r} of a composition must be a "
            "cation of the host"
        )
    return request.compensating_species


def _schottky_sets(lacking, charges, cation, apart):
    for name in list(lacking):
        if cation is None or charges[name] >= 0 or -charges[name] % charges[cation]:
            continue
        per_set = -charges[name] // charges[cation]
        n = min(lacking[name], lacking.get(cation, 0) // per_set)
        if n:
            lacking[name] -= n
            lacking[cation] -= n * per_set
            yield DefectRequest(
                kind="schottky",
                species=(*(cation,) * per_set, name),
                count=n,
                placement="associated",
                **apart,
            )
