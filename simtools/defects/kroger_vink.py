"""Kröger-Vink notation as data: parse it, print it, compute with it. Building defects: see builders.py.

Grammar (no blanks inside a label)::

    defect    = label | associate
    associate = "{" label " " label ... "}" [charge]      two labels or more
    label     = species "_" site [charge]
    species   = "V" | element | "(" formula ")"           "V" is a vacancy
    site      = "i" | element | "(" formula ")"           "i" is an interstitial position
    formula   = element [number] ...                      at least two ions, each element once, no V
    charge    = "'" ... | "." ... | "x"                   one mark per e, or x

The effective charge, relative to the perfect crystal, is negative by one e per ``'`` and positive by one per
``.``; ``x`` or nothing is zero. A charge is written out mark by mark: ``V_Al'''``, never ``V_Al3'``.
For ``'`` may stand ``′`` ``’`` ``″`` ``‴``, for ``.`` may stand ``•`` ``·`` ``˙``, for ``x`` may stand ``ˣ``
``×``. The charge of an associate is the sum over its members; where it is written, it is checked.

======================  ==============================================================================
``V_Li'``, ``V_Cl.``    vacancies. As everywhere in this notation, ``V`` as a species is never vanadium
``Li_i.``               an interstitial
``Mg_Li.``, ``O_Cl'``   a dopant, an antisite ion
``Cl_Cl``               an ion on its own site
``(Li2)_Li.``           a dumbbell: two ions share one site; ``(LiNa)_Li.`` likewise
``(OH)_O.``             a molecular ion on a site; ``V_(OH).`` is its vacancy
``{Mg_Li. V_Li'}``      an associate
======================  ==============================================================================

Notation: F. A. Kröger and H. J. Vink, *Solid State Phys.* **3**, 307 (1956); IUPAC *Red Book* 2005, IR-11.4.
The underscore for the subscript and the parentheses around ions that share a site are ours.
"""

import math
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ase.data import chemical_symbols

from simtools.core.errors import ConfigError

__all__ = ["DefectComplex", "DefectLabelError", "KrogerVink", "formal_charge", "ions_of", "parse_defect"]

_ELEMENT = "|".join(sorted(chemical_symbols[1:], key=len, reverse=True))
_ION = re.compile(rf"(?P<symbol>{_ELEMENT})(?P<number>[2-9]|[1-9][0-9]+)?")
_MARKS = "'+|[.]+|x"
_LABEL = re.compile(
    rf"(?P<species>\([^()_]+\)|{_ELEMENT})_(?P<site>\([^()_]+\)|i|{_ELEMENT})(?P<charge>{_MARKS})?"
)
_ASSOCIATE = re.compile(rf"\{{(?P<members>[^{{}}]*)\}}(?P<charge>{_MARKS})?")
_PLAIN = str.maketrans(
    {"′": "'", "’": "'", "″": "''", "‴": "'''", "•": ".", "·": ".", "˙": ".", "ˣ": "x", "×": "x"}
)
_NONMETALS = "He Ne Ar Kr Xe Rn Si Ge B Sb Te As P At C Se S I Br N Cl O F H".split()
"""Noble gases, then by rising electronegativity (A. L. Allred, J. Inorg. Nucl. Chem. 17, 215 (1961)), H last:
the order in which a molecular ion is written, OH, NH2, BH4, CO3, ClO4."""


class DefectLabelError(ConfigError):
    """A text is not a Kröger-Vink label."""

    def __init__(self, label, reason=""):
        super().__init__(label, reason)
        self.label, self.reason = label, reason

    def __str__(self):
        why = f" ({self.reason})" if self.reason else ""
        return (
            f"{self.label!r} is not a Kröger-Vink label{why}; expected for example V_Li', V_Cl., Li_i., "
            "Cl_Cl, (Li2)_Li. or (OH)_O."
        )


def ions_of(species: str) -> tuple[str, ...]:
    """Return the symbols of a species ion by ion: ``Li2`` gives two Li, ``OH`` O and H, a vacancy none.

    Raises
    ------
    DefectLabelError
        If `species` is neither ``"V"`` nor an element nor a formula in which every element stands once.
    """
    if species == "V":
        return ()
    matches = list(_ION.finditer(species)) if isinstance(species, str) else []
    symbols = [match["symbol"] for match in matches]
    if not matches or "".join(match[0] for match in matches) != species or len(set(symbols)) < len(symbols):
        raise DefectLabelError(species, "a species is V, an element, or a formula with each element once")
    if "V" in symbols:
        raise DefectLabelError(species, "V is a vacancy and cannot be part of a molecular ion")
    return tuple(match["symbol"] for match in matches for _ in range(int(match["number"] or 1)))


def _in_order(species):
    """Return a formula with its metals first, alphabetically, then its nonmetals in their order."""
    ions = [(ion["symbol"], ion[0]) for ion in _ION.finditer(species)]
    ranks = {symbol: rank for rank, symbol in enumerate(_NONMETALS, start=1)}
    return "".join(text for _, text in sorted(ions, key=lambda ion: (ranks.get(ion[0], 0), ion[0])))


@dataclass(frozen=True, order=True)
class KrogerVink:
    """A point defect, or an ion of the perfect crystal on its site.

    Attributes
    ----------
    species
        What is there: an element; ``"V"`` for a vacancy; a formula where several ions share the site, such
        as ``"Li2"`` (dumbbell) or ``"OH"`` (molecular ion). Its elements are put in one order, metals first
        (alphabetically), then nonmetals by rising electronegativity, H last, for ``NaLi`` and ``LiNa`` are
        the same dumbbell and ``HO`` and ``OH`` the same ion; so is the site's.
    site
        The element (or molecular ion) that belongs there, or ``"i"`` for an interstitial.
    charge
        Effective charge relative to the perfect site, e.

    Raises
    ------
    DefectLabelError
        If the three do not make a label of the grammar.
    """

    species: str
    site: str
    charge: int = 0

    def __post_init__(self):
        ions = ions_of(self.species)
        if self.site not in ("i", "V"):
            ions_of(self.site)
        if self.is_vacancy and self.site == "i":
            raise DefectLabelError("V_i", "an interstitial position is empty in the perfect crystal")
        if not isinstance(self.charge, numbers.Integral) or isinstance(self.charge, bool):
            raise DefectLabelError(f"{self.species}_{self.site}", f"charge = {self.charge!r} is no integer")
        object.__setattr__(self, "charge", int(self.charge))
        if len(ions) > 1:
            object.__setattr__(self, "species", _in_order(self.species))
        if self.site not in ("i", "V"):
            object.__setattr__(self, "site", _in_order(self.site))

    @classmethod
    def parse(cls, label: str) -> "KrogerVink":
        """Read a label by the grammar of this module; raises `DefectLabelError`."""
        match = _LABEL.fullmatch(label.translate(_PLAIN)) if isinstance(label, str) else None
        if match is None:
            raise DefectLabelError(label)
        names = []
        for name in (match["species"], match["site"]):
            if name.startswith("("):
                name = name[1:-1]
                if len(_ions_in(label, name)) < 2:
                    raise DefectLabelError(label, "parentheses hold two ions or more")
            names.append(name)
        if names == ["V", "i"]:
            raise DefectLabelError(label, "an interstitial position is empty in the perfect crystal")
        return cls(*names, _charge_of(match["charge"]))

    @classmethod
    def from_charges(cls, species: str, site: str, formal_charges_e: Mapping[str, int]) -> "KrogerVink":
        """Return the defect with its effective charge: what arrives less what leaves, by `formal_charge`.

        Raises
        ------
        ConfigError
            If a formal charge is missing or not an integer.
        """
        arrives = 0 if species == "V" else formal_charge(species, formal_charges_e)
        leaves = 0 if site == "i" else formal_charge(site, formal_charges_e)
        return cls(species, site, arrives - leaves)

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the ions that are there, one per ion; empty for a vacancy."""
        return ions_of(self.species)

    @property
    def n_ions(self) -> int:
        """How many ions are there: 0 for a vacancy, 2 for a dumbbell."""
        return len(self.elements)

    @property
    def is_vacancy(self) -> bool:
        """True when nothing is left on the site."""
        return self.species == "V"

    @property
    def is_interstitial(self) -> bool:
        """True when it sits where the perfect crystal has nothing; a dumbbell does not: it shares a site."""
        return self.site == "i"

    @property
    def is_dumbbell(self) -> bool:
        """True for two ions of one element, or of two metals (``O2`` counts, be it meant as a peroxide)."""
        ions = self.elements
        return len(ions) == 2 and (ions[0] == ions[1] or not set(ions).intersection(_NONMETALS))

    @property
    def is_molecular(self) -> bool:
        """True for several ions, one of them a nonmetal, that are no dumbbell: OH, BH4, N3."""
        return self.n_ions > 1 and not self.is_dumbbell and not set(self.elements).isdisjoint(_NONMETALS)

    @property
    def is_regular(self) -> bool:
        """True for an ion on its own site, ``Li_Li``: no defect."""
        return self.species == self.site and self.charge == 0 and not self.is_vacancy

    def __str__(self):
        return f"{_bracket(self.species)}_{_bracket(self.site, is_site=True)}" + _marks(
            self.charge, "'", ".", ""
        )

    def to_unicode(self) -> str:
        """Return the label with typographic charges, for example ``V_Li′`` or ``V_Cl•``; it parses too."""
        name = f"{_bracket(self.species)}_{_bracket(self.site, is_site=True)}"
        return name + _marks(self.charge, "′", "•", "ˣ")

    def to_latex(self) -> str:
        r"""Return the label for math mode, for example ``\mathrm{V}_{\mathrm{Li}}^{\prime}``."""
        species, site = _latex_formula(self.species), _latex_formula(self.site, is_site=True)
        return f"{species}_{{{site}}}^{{{_latex_charge(self.charge)}}}"


@dataclass(frozen=True, order=True)
class DefectComplex:
    """Point defects that are bound to each other: an associate.

    Attributes
    ----------
    members
        Two `KrogerVink` or more, vacancies last, else alphabetical: the order given does not matter.
    """

    members: tuple[KrogerVink, ...]

    def __post_init__(self):
        members = tuple(self.members)
        if len(members) < 2 or not all(isinstance(member, KrogerVink) for member in members):
            text = "{" + " ".join(map(str, members)) + "}"
            raise DefectLabelError(text, "an associate has two point defects or more")
        order = sorted(members, key=lambda member: (member.is_vacancy, member))
        object.__setattr__(self, "members", tuple(order))

    @classmethod
    def parse(cls, label: str) -> "DefectComplex":
        """Read ``{Mg_Li. V_Li'}`` by the grammar of this module; raises `DefectLabelError`."""
        match = _ASSOCIATE.fullmatch(label.translate(_PLAIN)) if isinstance(label, str) else None
        if match is None:
            raise DefectLabelError(label, "an associate is written as {Mg_Li. V_Li'}")
        try:
            associate = cls(tuple(KrogerVink.parse(member) for member in match["members"].split()))
        except DefectLabelError as error:
            raise DefectLabelError(label, error.reason or f"{error.label!r} in it is none") from error
        if match["charge"] and _charge_of(match["charge"]) != associate.charge:
            raise DefectLabelError(label, f"its members carry {associate.charge:+d} e together")
        return associate

    @property
    def charge(self) -> int:
        """Effective charge, e: the sum over the members."""
        return sum(member.charge for member in self.members)

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the ions that are there, one per ion."""
        return tuple(symbol for member in self.members for symbol in member.elements)

    @property
    def n_ions(self) -> int:
        """How many ions are there."""
        return len(self.elements)

    def __str__(self):
        return "{" + " ".join(map(str, self.members)) + "}"

    def to_unicode(self) -> str:
        """Return ``{Mg_Li• V_Li′}ˣ``, with the charge of the whole; it parses too."""
        inside = " ".join(member.to_unicode() for member in self.members)
        return "{" + inside + "}" + _marks(self.charge, "′", "•", "ˣ")

    def to_latex(self) -> str:
        """Return the associate for math mode, in braces, with the charge of the whole."""
        inside = r"\,".join(member.to_latex() for member in self.members)
        return rf"\{{{inside}\}}^{{{_latex_charge(self.charge)}}}"


def parse_defect(label: str) -> KrogerVink | DefectComplex:
    """Read a label or an associate; raises `DefectLabelError`."""
    is_associate = isinstance(label, str) and label.startswith("{")
    return DefectComplex.parse(label) if is_associate else KrogerVink.parse(label)


def formal_charge(species: str, formal_charges_e: Mapping[str, int]) -> int:
    """Return the integer formal charge of an ion, or of several that share a site, e.

    Several ions (``Li2``, ``OH``) carry the charge given under their formula, its elements in any order, and
    the sum over their elements where none is given: O -2 and H +1 make OH -1.

    Raises
    ------
    ConfigError
        If a charge is missing or fractional.
    """
    species = name_given(species, formal_charges_e) or species
    if species not in formal_charges_e:
        ions = () if species in chemical_symbols else ions_of(species)
        missing = [symbol for symbol in dict.fromkeys(ions) if symbol not in formal_charges_e]
        if missing or not ions:
            known = ", ".join(f"{name} {charge:+g}" for name, charge in formal_charges_e.items()) or "none"
            part = f" (nor for {' and '.join(missing)} in it)" if ions else ""
            raise ConfigError(f"no formal charge is given for {species}{part}; given: {known}")
        return sum(formal_charge(symbol, formal_charges_e) for symbol in ions)
    charge = formal_charges_e[species]
    if not isinstance(charge, numbers.Real) or not math.isfinite(charge) or charge != int(charge):
        raise ConfigError(f"the formal charge of {species} must be an integer (in e), got {charge!r}")
    return int(charge)


def name_given(species: str, formal_charges_e: Mapping[str, int]) -> str | None:
    """Return the key that gives the charge of a species, with or None; its elements may be in any order."""
    if species in formal_charges_e:
        return species
    alike = [name for name in formal_charges_e if isinstance(name, str) and len(name) == len(species)]
    return next((name for name in alike if _in_order(name) == _in_order(species) != ""), None)


def _ions_in(label, formula):
    try:
        return ions_of(formula)
    except DefectLabelError as error:
        raise DefectLabelError(label, error.reason) from error


def _charge_of(marks):
    if not marks or marks == "x":
        return 0
    return len(marks) if marks[0] == "." else -len(marks)


def _marks(charge, negative, positive, neutral):
    return (negative if charge < 0 else positive) * abs(charge) if charge else neutral


def _latex_charge(charge):
    return _marks(charge, r"\prime", r"\bullet", r"\times")


def _bracket(name, *, is_site=False):
    return name if _is_single(name, is_site) else f"({name})"


def _is_single(name, is_site):
    return name == "V" or (is_site and name == "i") or name in chemical_symbols


def _latex_formula(name, *, is_site=False):
    if _is_single(name, is_site):
        return rf"\mathrm{{{name}}}"
    parts = (
        rf"\mathrm{{{ion['symbol']}}}" + (f"_{{{ion['number']}}}" if ion["number"] else "")
        for ion in _ION.finditer(name)
    )
    return "(" + "".join(parts) + ")"
