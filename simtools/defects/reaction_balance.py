"""Do the mass, the sites and the charge of a reaction balance? If not: what is missing, and where."""

import math
import re
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

from ase.formula import Formula

from simtools.core.errors import ConfigError
from simtools.defects.kroger_vink import DefectComplex, DefectLabelError, KrogerVink, ions_of

__all__ = [
    "ReactionBalanceError",
    "Term",
    "check_balance",
    "composition",
    "formula_units_made",
    "host_sites",
    "members",
]

Term = KrogerVink | DefectComplex | str
"""A point defect or an ion on its site, an associate, or the formula of a phase beside the crystal."""

Side = Iterable[tuple[Fraction, Term]]

_GROUP = re.compile(r"(\([^()]+\)|[A-Z][a-z]?)([1-9][0-9]*)?")
_DIRECTIONS = (("left", 1), ("right", -1))


class ReactionBalanceError(ConfigError):
    """A reaction loses or gains mass, sites or charge.

    Attributes
    ----------
    reaction
        The text of the reaction.
    imbalances
        Tuple of (``"mass"``, ``"sites"`` or ``"charge"``; element or ``"e"``; left; right).
    remedies
        Tuple of (``"left"`` or ``"right"``, what to add there). Together they close mass and sites, and the
        charge where one charged defect can.
    open_charge_e
        Positive charge that the left side still lacks then, e; negative where the right side does.
    implied_host
        Formula of the crystal for which the sites balance as they are; None where there is none.
    """

    def __init__(self, reaction, imbalances, remedies, open_charge_e, implied_host):
        super().__init__(reaction, tuple(imbalances), tuple(remedies), open_charge_e, implied_host)
        self.reaction, self.imbalances, self.remedies = reaction, tuple(imbalances), tuple(remedies)
        self.open_charge_e, self.implied_host = open_charge_e, implied_host

    def __str__(self):
        what = "; ".join(
            f"{balance} of {name}: {left} left, {right} right"
            if balance != "charge"
            else f"charge: {_signed(left)} e left, {_signed(right)} e right"
            for balance, name, left, right in self.imbalances
        )
        hints = [f"add {term} to the {side}" for side, term in self.remedies]
        if self.open_charge_e:
            side = "left" if self.open_charge_e > 0 else "right"
            hints.append(f"add defects of {_signed(abs(self.open_charge_e))} e to the {side}")
        if self.implied_host:
            hints.append(f'say that whole formula units are made: host = "{self.implied_host}"')
        return f"{self.reaction!r} does not balance ({what}); to close it " + ", ".join(hints)


def check_balance(left: Side, right: Side, *, host: str | None, text: str) -> None:
    """Refuse a reaction that does not balance.

    Parameters
    ----------
    left, right
        Pairs of a coefficient and a term.
    host
        Formula of the crystal, or None where no sites may be made.
    text
        The reaction, for the message.

    Raises
    ------
    ReactionBalanceError
        If it does not balance.
    ConfigError
        If `host` is no formula, or a term stands on a site that the host does not have.
    """
    site_gap = _gap(left, right, _sites)
    formula = host_sites(host)
    if host is not None:
        for name in site_gap:
            if name not in formula:
                raise ConfigError(f"{host} has no {name} site; its sites are {', '.join(formula)}")
    imbalances = []
    units = formula_units_made(left, right, host)
    sites = _left_over(site_gap, formula, units)
    mass = _gap(left, right, _mass)
    for balance, gaps, what in (("mass", mass, _mass), ("sites", sites, _sites)):
        n_left, n_right = _count(left, what), _count(right, what)
        imbalances += [(balance, name, n_left[name], n_right[name]) for name, gap in gaps.items() if gap]
    charge_left, charge_right = _charge(left), _charge(right)
    charge = charge_right - charge_left
    if charge:
        imbalances.append(("charge", "e", charge_left, charge_right))
    if not imbalances:
        return
    implied = None if host is not None or charge or any(mass.values()) else _implied_host(site_gap)
    remedies, open_charge = ([], Fraction(0)) if implied else _remedies(mass, sites, charge)
    raise ReactionBalanceError(text, imbalances, remedies, open_charge, implied)


def formula_units_made(left: Side, right: Side, host: str | None) -> Fraction:
    """Return how many formula units of sites appear from left to right; 0 where there is no host.

    Where the change of sites is no multiple of the formula: the number that leaves the fewest kinds over.
    """
    gap, formula = _gap(left, right, _sites), host_sites(host)
    candidates = [Fraction(0), *(Fraction(gap.get(name, 0)) / n for name, n in formula.items())]

    def n_kinds_left_over(units):
        return sum(rest != 0 for rest in _left_over(gap, formula, units).values())

    return min(candidates, key=n_kinds_left_over)


def composition(formula: str) -> frozenset[tuple[str, int]]:
    """Return the elements of a phase with their numbers, in no order; `ConfigError` if it is no formula."""
    try:
        counts = Formula(formula).count()
        elements = all(symbol == "V" or len(ions_of(symbol)) == 1 for symbol in counts)
    except (ValueError, DefectLabelError):
        counts, elements = {}, False
    if not counts or not elements or min(counts.values()) < 1:
        raise ConfigError(f"{formula!r} is neither a Kröger-Vink label nor the formula of a phase")
    return frozenset(counts.items())


def host_sites(host: str | None) -> Counter[str]:
    """Return how many sites of each kind a formula unit of the host has; none for None.

    ``Li3OCl`` has Li 3, O 1, Cl 1; ``Li2(OH)Cl`` has OH 1 for its O and H. Raises `ConfigError`.
    """
    if host is None:
        return Counter()
    groups = list(_GROUP.finditer(host)) if isinstance(host, str) else []
    if not groups or "".join(group[0] for group in groups) != host:
        raise ConfigError(f"host must be a formula such as Li3OCl or Li2(OH)Cl, got {host!r}")
    sites = Counter()
    for group in groups:
        name = group[1].strip("()")
        _ions_on(name)
        sites[name] += int(group[2] or 1)
    return sites


def members(term: Term) -> tuple[KrogerVink, ...]:
    """Return the point defects of a term: several of an associate, none of a phase."""
    if isinstance(term, str):
        return ()
    return term.members if isinstance(term, DefectComplex) else (term,)


def _mass(term):
    return dict(composition(term)) if isinstance(term, str) else Counter(term.elements)


def _sites(term):
    return Counter(member.site for member in members(term) if member.site != "i")


def _count(side, what):
    total = Counter()
    for coefficient, term in side:
        for name, n in what(term).items():
            total[name] += coefficient * n
    return total


def _gap(left, right, what):
    n_left, n_right = _count(left, what), _count(right, what)
    return {name: n_right[name] - n_left[name] for name in {**n_left, **n_right}}


def _charge(side):
    return sum((n * term.charge for n, term in side if not isinstance(term, str)), start=Fraction(0))


def _ions_on(site):
    return ("V",) if site == "V" else ions_of(site)


def _left_over(gap, formula, units):
    return {name: gap.get(name, 0) - units * formula.get(name, 0) for name in {**gap, **formula}}


def _implied_host(site_gap):
    """Return the formula of which whole units appear, or vanish; None where sites of both signs are left."""
    numbers = [gap for gap in site_gap.values() if gap]
    if not (all(n > 0 for n in numbers) or all(n < 0 for n in numbers)):
        return None
    unit = _unit(abs(n) for n in numbers)
    names = {name: name if len(_ions_on(name)) == 1 else f"({name})" for name in site_gap}
    return "".join(f"{names[name]}{_number(abs(gap) / unit)}" for name, gap in site_gap.items() if gap)


def _remedies(mass, sites, charge):
    """Return what to add, as (side, text), and the charge that stays open; gaps are right less left."""
    mass, placed = Counter(mass), []
    for side, sign in _DIRECTIONS:
        for site, gap in sites.items():
            n = sign * gap
            if n > 0:
                lacking = {name for name, ions in mass.items() if sign * ions >= n}
                species = _occupant(site, lacking, is_charge_open=bool(charge))
                placed.append((side, n, species, site))
                for symbol in _ions_on(site) if species == site else ions_of(species):
                    mass[symbol] -= sign * n
    phases = []
    for side, sign in _DIRECTIONS:
        ions = {name: sign * gap for name, gap in mass.items() if sign * gap > 0}
        phases += [(side, ions)] if ions else []
    labelled, phases, charge = _carry(charge, placed, phases)
    return labelled + [(side, _phase(ions)) for side, ions in phases], charge


def _occupant(site, lacking, *, is_charge_open):
    """Return what should stand on a missing site: an ion that is missing too, or nothing, or its own."""
    if lacking.issuperset(_ions_on(site)) or not (is_charge_open or lacking):
        return site
    return min(lacking - {"V"}, default="V")


def _carry(charge, placed, phases):
    """Give the open charge to the one defect that can carry it: on a site, or the missing ion itself."""
    open_ones = [item for item in placed if item[2] != item[3]]
    if charge and not open_ones and len(phases) == 1 and len(phases[0][1]) == 1:
        side, ions = phases[0]
        ((symbol, n),) = ions.items()
        if symbol != "V" and (charge / n).denominator == 1:
            placed, open_ones, phases = [*placed, (side, n, symbol, "i")], [(side, n, symbol, "i")], []
    carried = {}
    if charge and len(open_ones) == 1:
        side, n = open_ones[0][:2]
        each = dict(_DIRECTIONS)[side] * charge / n
        if each.denominator == 1:
            carried, charge = {open_ones[0]: int(each)}, Fraction(0)
    labelled = [
        (item[0], _times(item[1], str(KrogerVink(item[2], item[3], carried.get(item, 0))))) for item in placed
    ]
    return labelled, phases, charge


def _phase(ions):
    unit = _unit(ions.values())
    return _times(unit, Formula.from_dict({name: int(n / unit) for name, n in ions.items()}).format("metal"))


def _unit(numbers):
    """Return the largest fraction of which all are whole multiples."""
    numbers = list(numbers)
    return Fraction(math.gcd(*(n.numerator for n in numbers)), math.lcm(*(n.denominator for n in numbers)))


def _number(n):
    return "" if n == 1 else str(n)


def _times(n, text):
    return text if n == 1 else f"{n} {text}"


def _signed(charge):
    return str(charge) if charge <= 0 else f"+{charge}"
