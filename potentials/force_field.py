"""What a force field is once it has been read: frozen, sourced, ready for an engine.

Reading and checking the TOML files is `schema.py`; the functional forms are in `forms.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from potentials.forms import PairForm
from potentials.molecules import Molecule
from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.core.units import COULOMB_EV_A

CONFIDENCE_MARKS = {
    "V": "verified: read in a public text",
    "R": "recalled from the paper, not seen in a text that could be opened",
    "R, corroborated": "recalled from the paper; static tests reproduce published physics",
    "F": "fitted or estimated for this project by the rule stated",
    "C": "calculated with this very set: a regression value, not literature",
    "D": "definition or choice of the model (a formal charge, a cutoff): nothing was measured or fitted",
}
LOW_CONFIDENCE = ("R", "R, corroborated", "F", "C")


class ForceFieldError(ConfigError):
    """A force-field file is missing or says something that cannot be meant."""


@dataclass(frozen=True)
class Parameter:
    """One number of a force field with where it comes from: a row of ``simtools potentials NAME``."""

    subject: str  # species, pair or molecule, e.g. "Li", "Li-O" or "OH"
    group: str  # "charge", "mass", "shell", "cutoff", "bond", "angle" or the name of the pair form
    name: str
    value: float
    unit: str
    source: str  # key of `ForceField.references`
    confidence: str  # key of `CONFIDENCE_MARKS`
    note: str = ""


@dataclass(frozen=True)
class PairTerm:
    """One functional form between two species."""

    species: tuple[str, str]  # alphabetical
    kind: str  # key of `forms.FORMS`
    form: PairForm
    source: str
    confidence: str  # the weakest mark of its parameters
    parameter_confidence: dict[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Shell:
    """A massless charge on a spring about its core: V(r) = k r²/2 + k4 r⁴/24, as GULP writes it.

    LAMMPS' harmonic bond is K r², so K = k/2. The ion's other charge sits on the core; pair terms act on the
    shell.

    B. G. Dick, A. W. Overhauser, Phys. Rev. 112, 90 (1958). doi:10.1103/PhysRev.112.90
    """

    charge_e: float
    spring_eV_per_A2: float
    quartic_spring_eV_per_A4: float = 0.0

    @property
    def polarizability_A3(self) -> float:
        """Polarisability of the free ion, k_e q²/k, Å³; in a crystal the short-range terms stiffen it."""
        return COULOMB_EV_A * self.charge_e**2 / self.spring_eV_per_A2


@dataclass(frozen=True)
class Regression:
    """A value that this force field must keep giving, beside what another code gave for it."""

    quantity: str  # key of `REGRESSION_UNITS`
    prototype: str  # one of `PROTOTYPES`
    formula: str
    value: float
    unit: str
    tolerance: float
    source: str
    confidence: str
    earlier_value: float | None = None
    earlier_cutoff_A: float | None = None  # truncated there; `value` is at this file's own cutoff
    note: str = ""


@dataclass(frozen=True, eq=False)
class ForceField:
    """A published (or fitted) model: charges, shells, pair terms, cutoff, and the source of every number.

    `charges_e` are those of whole ions, core and shell together. Pair terms between ions act on the shell of
    an ion that has one. A species is an element, or one of several kinds of it (``O_h`` beside ``O``).
    Inside one of `molecules` neither pair terms nor Coulomb act, only its own bonds and angles.

    The pair energy that acts is ``pair_energy(a, b, r) - shift(a, b)`` for ``r < cutoff_A`` and 0 beyond;
    ``shift`` is 0 when `cutoff_mode` is "truncated". Coulomb (all images) comes on top when `is_charged`.
    """

    name: str
    version: str
    description: str
    species: tuple[str, ...]  # the order is the type index
    charges_e: dict[str, float]
    formal_charges_e: dict[str, int]
    masses_amu: dict[str, float]
    pairs: dict[tuple[str, str], tuple[PairTerm, ...]]
    no_interaction: dict[tuple[str, str], str]  # pair -> reason
    cutoff_A: float
    cutoff_mode: str
    references: dict[str, dict[str, str]]
    regression: tuple[Regression, ...]
    parameters: tuple[Parameter, ...]
    sha256: str
    path: str
    shells: dict[str, Shell] = field(default_factory=dict)  # species -> shell, where there is one
    elements: dict[str, str] = field(default_factory=dict)  # species -> element, where they differ
    molecules: dict[str, Molecule] = field(default_factory=dict)

    @property
    def is_charged(self) -> bool:
        """Whether any core, shell or rigid ion carries a charge, so that Coulomb sums are needed."""
        return bool(self.shells) or any(charge != 0.0 for charge in self.charges_e.values())

    @property
    def has_topology(self) -> bool:
        """Whether elements alone do not say what an atom is: there are molecules, or labelled species."""
        return bool(self.molecules) or bool(self.elements)

    def element_of(self, species: str) -> str:
        """Return the chemical element of a species."""
        return self.elements.get(species, species)

    @property
    def element_formal_charges_e(self) -> dict[str, int]:
        """Integer formal charges by element: the same for every species of one, e."""
        return {self.element_of(species): charge for species, charge in self.formal_charges_e.items()}

    @property
    def element_masses_amu(self) -> dict[str, float]:
        """Masses by element: the same for every species of one, amu."""
        return {self.element_of(species): mass for species, mass in self.masses_amu.items()}

    def core_charge_e(self, species: str) -> float:
        """Return the charge of the core, e: that of the ion less its shell's, if it has one."""
        if species not in self.charges_e:
            raise UnknownSpeciesError(species, self.species)
        shell = self.shells.get(species)
        return self.charges_e[species] - (shell.charge_e if shell else 0.0)

    def terms(self, a: str, b: str) -> tuple[PairTerm, ...]:
        """Return the pair terms between species `a` and `b`, in either order; empty where none act."""
        for species in (a, b):
            if species not in self.charges_e:
                raise UnknownSpeciesError(species, self.species)
        return self.pairs.get(sorted_pair(a, b), ())

    def pair_energy(self, a: str, b: str, r):
        """Return the sum of the pair terms at distance `r` (Å), eV: no cutoff, no shift, no Coulomb."""
        r = np.asarray(r, dtype=float)
        return sum((term.form.energy(r) for term in self.terms(a, b)), np.zeros_like(r))[()]

    def pair_derivative(self, a: str, b: str, r):
        """Return the slope of `pair_energy`, eV/Å."""
        r = np.asarray(r, dtype=float)
        return sum((term.form.derivative(r) for term in self.terms(a, b)), np.zeros_like(r))[()]

    def shift(self, a: str, b: str) -> float:
        """Return what is subtracted from `pair_energy` inside the cutoff, eV."""
        return float(self.pair_energy(a, b, self.cutoff_A)) if self.cutoff_mode == "shifted" else 0.0

    def parameters_table(self, species=None) -> tuple[Parameter, ...]:
        """Return every number with its unit, source and mark; with `species`, what acts among those only."""
        if species is None:
            return self.parameters
        for symbol in species:
            if symbol not in self.charges_e:
                raise UnknownSpeciesError(symbol, self.species)
        idle = set(self.species) - set(species)
        idle |= {name for name, molecule in self.molecules.items() if idle & set(molecule.species)}
        return tuple(row for row in self.parameters if not idle & set(row.subject.split("-")))

    def low_confidence(self, species=None) -> tuple[Parameter, ...]:
        """Return the parameters not read in a public text (marks R, F, C); `species` as above."""
        return tuple(row for row in self.parameters_table(species) if row.confidence in LOW_CONFIDENCE)

    def is_neutral(self, symbols) -> bool:
        """Return whether ions of these species close their charge: formally exactly, and here to rounding.

        The formal charges are integers, so one missing ion shows in a cell of any size; the charges of a
        partial-charge set are tabulated with six or seven digits, so their sum may differ by 1e-6 of all.
        """
        counts = Counter(symbols)
        formal = sum(n * self.formal_charges_e[symbol] for symbol, n in counts.items())
        total = math.fsum(n * self.charges_e[symbol] for symbol, n in counts.items())
        return formal == 0 and abs(total) <= 1e-6 * sum(
            n * abs(self.charges_e[symbol]) for symbol, n in counts.items()
        )

    def formula_charge_e(self, symbols) -> float:
        """Return the summed force-field charge of a sequence of species symbols, e."""
        for symbol in symbols:
            if symbol not in self.charges_e:
                raise UnknownSpeciesError(symbol, self.species)
        return math.fsum(self.charges_e[symbol] for symbol in symbols)


def sorted_pair(a: str, b: str) -> tuple[str, str]:
    """Return the two species in alphabetical order: the key of `ForceField.pairs`."""
    return (a, b) if a <= b else (b, a)
