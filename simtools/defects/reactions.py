"""Reactions of defects: written, balanced, printed, and their energy. Labels: see kroger_vink.py.

Grammar::

    reaction = side arrow side
    arrow    = "->" | "→" | "<->" | "<=>" | "⇌"           the last three say that it runs both ways
    side     = "0" | "null" | "∅"                         the perfect crystal and nothing else
             | term { "+" term }
    term     = [number ["/" number]] (label | associate | formula)

A formula without a subscript is a phase beside the crystal, such as ``LiCl``; in it V is vanadium.

Three balances hold in a reaction that may occur (Kröger and Vink, *Solid State Phys.* **3**, 307 (1956);
Chiang, Birnie and Kingery, *Physical Ceramics*, Wiley 1997, chapter 2):

- **mass**: as many ions of each element on either side;
- **sites**: a crystal keeps the ratio of its sites. They are made and destroyed only in the proportions
  of the host's formula: none, one formula unit, two (or fractions, where a reaction is written per defect).
  An interstitial position is no such site, a dumbbell takes one, a vacancy one;
- **charge**: effective charges sum to the same number on either side.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from simtools.core.errors import ConfigError
from simtools.defects.kroger_vink import DefectLabelError, KrogerVink, formal_charge, parse_defect
from simtools.defects.reaction_balance import (
    ReactionBalanceError,
    Term,
    check_balance,
    composition,
    formula_units_made,
    members,
)

__all__ = ["Reaction", "ReactionBalanceError"]

_ARROW = re.compile(r"<->|<=>|⇌|->|→")
_TERM = re.compile(r"(?P<coefficient>[0-9]+(?:/[0-9]+)?)?\s*(?P<name>[^\s0-9/].*)")
_NOTHING = ("0", "null", "∅")
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


@dataclass(frozen=True)
class Reaction:
    """A balanced reaction of point defects, ions on their sites, and phases beside the crystal.

    Attributes
    ----------
    reactants, products
        Pairs of a coefficient and a `KrogerVink`, a `DefectComplex` or the formula of a phase. None at all
        stands for the perfect crystal.
    host
        Formula of the crystal, ``"Li3OCl"``: then whole formula units of sites may appear or vanish. A
        molecular ion with a site of its own stands in parentheses: ``"Li2(OH)Cl"``. Without it the sites of
        each element must be as many on either side.
    reversible
        Whether it was written to run both ways.

    Raises
    ------
    ReactionBalanceError
        If mass, sites or charge do not balance.
    ConfigError
        If a coefficient is not positive, or a site is not one of the host's.

    Examples
    --------
    >>> print(Reaction.parse("MgCl2 + 2 Li_Li -> Mg_Li. + V_Li' + 2 LiCl").to_unicode())
    MgCl₂ + 2 Li_Liˣ → Mg_Li• + V_Li′ + 2 LiCl
    """

    reactants: tuple[tuple[Fraction, Term], ...]
    products: tuple[tuple[Fraction, Term], ...]
    host: str | None = None
    reversible: bool = False

    def __post_init__(self):
        for side in ("reactants", "products"):
            object.__setattr__(self, side, _merged(getattr(self, side)))
        if not self.reactants and not self.products:
            raise ConfigError("a reaction needs a term on at least one side, as in Li_Li -> V_Li' + Li_i.")
        check_balance(self.reactants, self.products, host=self.host, text=str(self))

    @classmethod
    def parse(
        cls, text: str, *, host: str | None = None, formal_charges_e: Mapping[str, int] | None = None
    ) -> "Reaction":
        """Read a reaction by the grammar of this module and verify its balances.

        Parameters
        ----------
        text
            For example ``"Li_Li + Cl_Cl -> V_Li' + V_Cl. + LiCl"``.
        host
            As the attribute.
        formal_charges_e
            Where given, the charge of every label must be the one that these make, and phases neutral.

        Raises
        ------
        ReactionBalanceError, ConfigError
            As for the class; also if the text is no reaction or a charge contradicts the formal charges.
        """
        sides = _ARROW.split(text) if isinstance(text, str) else []
        if len(sides) != 2:
            raise ConfigError(
                f"a reaction is written with one arrow, as in Li_Li -> V_Li' + Li_i., got {text!r}"
            )
        reactants, products = (_parse_side(side, text) for side in sides)
        if formal_charges_e is not None:
            _check_formal_charges((term for _, term in reactants + products), formal_charges_e)
        arrow = _ARROW.search(text)[0]
        return cls(reactants, products, host, reversible=arrow not in ("->", "→"))

    @property
    def formula_units_made(self) -> Fraction:
        """Formula units of sites that the reaction adds to the crystal; negative where it takes them away."""
        return formula_units_made(self.reactants, self.products, self.host)

    def energy_eV(
        self, defect_energies_eV: Mapping[str, float], phase_energies_eV: Mapping[str, float]
    ) -> float:
        """Return the energy of the reaction: that of the products less that of the reactants, eV.

        Parameters
        ----------
        defect_energies_eV
            Of each defect by its label, E(crystal with it) - E(perfect crystal), eV, no reservoir subtracted.
            Ions on their own sites belong to the perfect crystal and count zero.
        phase_energies_eV
            Of each phase by its formula, per formula unit as written, eV. The host's is needed where sites
            are made or destroyed, since the crystal then grows or shrinks by formula units.

        Returns
        -------
        float
            Does not depend on the energies of the free ions, as long as all energies share them.

        Raises
        ------
        ConfigError
            If an energy is missing.
        """
        defects = {_key(name): energy for name, energy in defect_energies_eV.items()}
        phases = {composition(name): energy for name, energy in phase_energies_eV.items()}
        total = 0.0
        made = self.formula_units_made
        terms = [(-n, term) for n, term in self.reactants] + list(self.products)
        if made:
            terms.append((made, self.host))
        for coefficient, term in terms:
            if isinstance(term, str):
                energy = _lookup(phases, composition(term), f"the phase {term}", phase_energies_eV)
            elif isinstance(term, KrogerVink) and term.is_regular:
                energy = 0.0
            else:
                energy = _lookup(defects, term, f"the defect {term}", defect_energies_eV)
            total += float(coefficient) * energy
        return total

    def __str__(self):
        return self._print(str, str, "0", "<->" if self.reversible else "->")

    def to_unicode(self) -> str:
        """Return the reaction with typographic charges, subscripts and arrow; it parses too."""
        arrow = "⇌" if self.reversible else "→"
        return self._print(
            lambda term: term.to_unicode(), lambda name: name.translate(_SUBSCRIPTS), "∅", arrow
        )

    def to_latex(self) -> str:
        """Return the reaction for math mode."""
        arrow = r"\rightleftharpoons" if self.reversible else r"\rightarrow"
        return self._print(lambda term: term.to_latex(), _latex_phase, r"\varnothing", arrow, r"\,", r"\frac")

    def _print(self, defect, phase, nothing, arrow, blank=" ", fraction=None):
        def coefficient(n):
            if n == 1:
                return ""
            if fraction is None or n.denominator == 1:
                return f"{n}{blank}"
            return f"{fraction}{{{n.numerator}}}{{{n.denominator}}}{blank}"

        def side(terms):
            texts = (
                coefficient(n) + (phase(term) if isinstance(term, str) else defect(term)) for n, term in terms
            )
            return " + ".join(texts) or nothing

        return f"{side(self.reactants)} {arrow} {side(self.products)}"


def _parse_side(side, text):
    side = side.strip()
    if side in _NOTHING:
        return ()
    terms = []
    for part in side.split("+"):
        match = _TERM.fullmatch(part.strip())
        if match is None:
            raise ConfigError(
                f"{part.strip()!r} in {text!r} is no term; expected as 2 Li_Li or LiCl; nothing is 0"
            )
        coefficient = match["coefficient"] or "1"
        if coefficient.endswith("/0"):
            raise ConfigError(f"the coefficient {coefficient} in {text!r} divides by zero")
        terms.append((Fraction(coefficient), _parse_term(match["name"])))
    return tuple(terms)


def _parse_term(name):
    if "_" in name or name.startswith("{"):
        return parse_defect(name)
    name = name.translate(_DIGITS)
    if name == "V":
        raise DefectLabelError(name, "a vacancy needs its site")
    composition(name)
    return name


def _merged(terms):
    counts = {}
    for coefficient, term in terms:
        if coefficient <= 0:
            raise ConfigError(f"the coefficient of {term} must be positive, got {coefficient}")
        counts[term] = counts.get(term, Fraction(0)) + Fraction(coefficient)
    return tuple((n, term) for term, n in counts.items())


def _check_formal_charges(terms: Iterable[Term], formal_charges_e):
    for term in terms:
        if isinstance(term, str):
            charge = sum(n * formal_charge(name, formal_charges_e) for name, n in composition(term))
            if charge:
                raise ConfigError(f"the phase {term} carries {charge:+d} e by the formal charges")
        for member in members(term):
            expected = KrogerVink.from_charges(member.species, member.site, formal_charges_e)
            if member != expected:
                raise ConfigError(f"{member} should be {expected} by the formal charges")


def _key(name):
    return parse_defect(name) if isinstance(name, str) else name


def _lookup(energies, key, what, given):
    if key not in energies:
        known = ", ".join(map(str, given)) or "none"
        raise ConfigError(f"no energy is given for {what}; given: {known}")
    return energies[key]


def _latex_phase(formula):
    return re.sub(
        r"([A-Z][a-z]?)|([0-9]+)", lambda m: rf"\mathrm{{{m[1]}}}" if m[1] else f"_{{{m[2]}}}", formula
    )
