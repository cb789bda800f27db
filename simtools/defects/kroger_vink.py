"""Kröger-Vink notation as data: parse it, print it, compute with it. Building defects: see builders.py.

Grammar of a label (no blanks)::

    label     = species "_" site [charge]
    species   = "V" | element           "V" is a vacancy
    site      = "i" | element           "i" is an interstitial position, else the element that belongs there
    charge    = "'" ... | "." ... | "•" ... | "x"

The effective charge, relative to the perfect crystal, is negative by one e per ``'`` and positive by one
per ``.`` (or ``•``); ``x`` or nothing is zero: ``V_Li'``, ``V_Cl.``, ``Mg_Li.``, ``Li_i.``, ``Cl_Cl``.
As everywhere in this notation, ``V`` as a species is a vacancy, never vanadium.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ase.data import chemical_symbols

from simtools.core.errors import ConfigError

_ELEMENTS = "|".join(sorted(chemical_symbols[1:], key=len, reverse=True))
_LABEL = re.compile(
    rf"(?P<species>{_ELEMENTS})_(?P<site>i|{_ELEMENTS})(?P<charge>'+|[.•]+|x)?"  # V is an element too
)


class DefectLabelError(ConfigError):
    """A text is not a Kröger-Vink label."""

    def __init__(self, label):
        super().__init__(label)
        self.label = label

    def __str__(self):
        return f"{self.label!r} is not a Kröger-Vink label; expected for example V_Li', V_Cl., Li_i. or Cl_Cl"


@dataclass(frozen=True, order=True)
class KrogerVink:
    """A point defect.

    Attributes
    ----------
    species
        What is there: an element, or ``"V"`` for a vacancy.
    site
        The element that belongs there, or ``"i"`` for an interstitial.
    charge
        Effective charge relative to the perfect site, e.
    """

    species: str
    site: str
    charge: int = 0

    @classmethod
    def parse(cls, label: str) -> "KrogerVink":
        """Read a label by the grammar above; raises `DefectLabelError`."""
        match = _LABEL.fullmatch(label) if isinstance(label, str) else None
        if match is None or (match["species"] == "V" and match["site"] == "i"):
            raise DefectLabelError(label)
        marks = match["charge"] or "x"
        charge = len(marks) - 2 * marks.count("'") if marks != "x" else 0
        return cls(match["species"], match["site"], charge)

    @classmethod
    def from_charges(cls, species: str, site: str, formal_charges_e: Mapping[str, int]) -> "KrogerVink":
        """Return the defect with its effective charge worked out from integer formal charges.

        Raises
        ------
        ConfigError
            If a formal charge is missing or not an integer.
        """
        arrives = 0 if species == "V" else formal_charge(species, formal_charges_e)
        leaves = 0 if site == "i" else formal_charge(site, formal_charges_e)
        return cls(species, site, arrives - leaves)

    @property
    def is_vacancy(self) -> bool:
        """True when nothing is left on the site."""
        return self.species == "V"

    def __str__(self):
        return f"{self.species}_{self.site}" + self._marks("'", ".", "")

    def to_unicode(self) -> str:
        """Return the label with typographic charges, for example ``V_Li′`` or ``V_Cl•``."""
        return f"{self.species}_{self.site}" + self._marks("′", "•", "ˣ")

    def to_latex(self) -> str:
        r"""Return the label for math mode, for example ``\mathrm{V}_{\mathrm{Li}}^{\prime}``."""
        charge = self._marks(r"\prime", r"\bullet", r"\times")
        return rf"\mathrm{{{self.species}}}_{{\mathrm{{{self.site}}}}}^{{{charge}}}"

    def _marks(self, negative, positive, neutral):
        if self.charge == 0:
            return neutral
        return (negative if self.charge < 0 else positive) * abs(self.charge)


def formal_charge(species: str, formal_charges_e: Mapping[str, int]) -> int:
    """Return the integer formal charge of `species`, e; `ConfigError` if it is missing or fractional."""
    if species not in formal_charges_e:
        known = ", ".join(f"{name} {charge:+g}" for name, charge in formal_charges_e.items()) or "none"
        raise ConfigError(f"no formal charge is given for {species}; given: {known}")
    charge = formal_charges_e[species]
    if charge != int(charge):
        raise ConfigError(f"the formal charge of {species} must be an integer (in e), got {charge!r}")
    return int(charge)
