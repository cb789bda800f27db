r"""How many defects of each kind at equilibrium: formation energies, charge neutrality, temperature.

Per formula unit of the host, configuration *j* (a point defect, or an associate) has the concentration

.. math:: c_j = m_j \, \mathrm{e}^{-(E_j + q_j \varphi)/kT} \prod_k \lambda_k^{n_{kj}} \prod_s f_s^{n_{sj}}

with its multiplicity :math:`m_j`, formation energy :math:`E_j` and effective charge :math:`q_j`. Three
conditions settle the rest:

- **charge**: :math:`\sum_j q_j c_j = 0` settles :math:`\varphi`. There are no electrons in an ionic model;
  its chemical potentials are known only up to :math:`\mu_i + z_i \varphi`, which neutrality fixes;
- **sites**: no site is used twice. The share :math:`f_s` of the sites *s* that is regular and the defects on
  them sum to one: :math:`f_s + \sum_j n_{sj} c_j/N_s = 1`. For point defects alone this is the lattice gas
  without interactions (the Langmuir, or Fermi-Dirac, form) :math:`\theta_j = x_j/(1 + \sum_k x_k)`. Ions in
  interstitial positions exclude those of their own configuration only;
- **dopants**: what is fixed, dopant ions or frozen defects, is as much as was put in, free and bound; its
  fugacity is :math:`\lambda_k`. Then only differences of its energies matter, such as the binding energy.

These are the conditions for the least :math:`\sum_j c_j (E_j + kT \ln (c_j/m_j) - kT) + kT \sum_s N_s f_s
(\ln f_s - 1)`. A convex function has one minimum: there is one answer. Limits: a Schottky pair,
:math:`c = \sqrt{m_1 m_2}\, \mathrm{e}^{-E_S/2kT}`; a doped crystal, :math:`c_V \to c_\mathrm{dopant}`; an
associate, :math:`c_{12}/c_1 c_2 = (m_{12}/m_1 m_2)\, \mathrm{e}^{-E_b/kT}`.

Interactions beyond associates (Debye-Hückel) and the entropy of vibration are left out; what is known of the
latter belongs in :math:`E_j`. Sources: F. A. Kröger, *The Chemistry of Imperfect Crystals*, 2nd ed.,
North-Holland 1974; A. B. Lidiard, *Ionic Conductivity*, Handbuch der Physik **20**, 246 (1957).
"""

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.defects.kroger_vink import DefectComplex, KrogerVink, parse_defect
from simtools.defects.mass_action import EquilibriumError, MassAction
from simtools.defects.reaction_balance import host_sites, members

__all__ = ["DefectSpecies", "Equilibrium", "EquilibriumError", "equilibrium_concentrations"]


@dataclass(frozen=True, kw_only=True)
class DefectSpecies:
    """One configuration of a defect, with its energy. Several may share a label (orientations, distances).

    Attributes
    ----------
    label
        A point defect or an associate; text is parsed.
    formation_energy_eV
        Energy of making one, eV, with the chemical potentials of the ions in it (see reservoirs.py), in any
        gauge: adding q times a constant to every energy changes nothing but the potential.
    multiplicity_per_formula_unit
        How many such configurations a formula unit has: 3 for V_Li in Li3OCl, 3 times the number of
        orientations for a dumbbell on Li, the number of neighbour pairs for an associate.
    """

    label: KrogerVink | DefectComplex
    formation_energy_eV: float
    multiplicity_per_formula_unit: float

    def __post_init__(self):
        if isinstance(self.label, str):
            object.__setattr__(self, "label", parse_defect(self.label))
        if any(member.is_regular for member in members(self.label)):
            raise ConfigError(f"{self.label} holds an ion on its own site, which is no defect")
        _check_number(f"formation_energy_eV of {self.label}", self.formation_energy_eV, -math.inf)
        _check_number(
            f"multiplicity_per_formula_unit of {self.label}", self.multiplicity_per_formula_unit, 0.0
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Equilibrium:
    """Concentrations at equilibrium, per formula unit of the host.

    Attributes
    ----------
    temperature_K
        Temperature, K.
    defects
        The configurations, in the order given.
    ln_per_formula_unit
        (n,) natural logarithm of the concentration of each; it never underflows.
    potential_eV
        The potential phi, times e, that makes the crystal neutral: a defect of charge q costs its formation
        energy plus q phi, eV. Depends on the gauge of the formation energies.
    regular_fraction
        Share of the sites of each kind that holds its own ion, in no defect and no associate.
    fugacity_eV
        kT ln lambda of whatever was fixed: how far its chemical potential is from that in the formation
        energies, eV.
    """

    temperature_K: float
    defects: tuple[DefectSpecies, ...]
    ln_per_formula_unit: np.ndarray
    potential_eV: float
    regular_fraction: dict[str, float]
    fugacity_eV: dict[str, float]

    @property
    def per_formula_unit(self) -> np.ndarray:
        """(n,) concentration of each configuration per formula unit."""
        return np.exp(self.ln_per_formula_unit)

    def concentration(self, label: str | KrogerVink | DefectComplex) -> float:
        """Return how many of a defect there are per formula unit, all its configurations together.

        Of a point defect, those that are free: not the ones in associates.
        """
        return math.exp(self._ln_concentration(label))

    def ratio(
        self, label: str | KrogerVink | DefectComplex, other: str | KrogerVink | DefectComplex
    ) -> float:
        """Return the concentration of `label` over that of `other`."""
        return math.exp(self._ln_concentration(label) - self._ln_concentration(other))

    def bound_fraction(self, label: str | KrogerVink) -> float:
        """Return the share of a point defect that sits in associates, 0 to 1."""
        label = _parsed(label)
        counts = np.array([_count_label(defect.label, label) for defect in self.defects], dtype=float)
        bound = np.array([isinstance(defect.label, DefectComplex) for defect in self.defects])
        if not counts.any():
            raise ConfigError(_unknown(label, self.defects))
        if not (bound & (counts > 0)).any():
            return 0.0
        with np.errstate(divide="ignore"):
            ln_each = self.ln_per_formula_unit + np.log(counts)
        return math.exp(logsumexp(ln_each[bound]) - logsumexp(ln_each))

    def _ln_concentration(self, label):
        label = _parsed(label)
        chosen = [defect.label == label for defect in self.defects]
        if not any(chosen):
            raise ConfigError(_unknown(label, self.defects))
        return float(logsumexp(self.ln_per_formula_unit[chosen]))


def equilibrium_concentrations(
    defects: Sequence[DefectSpecies],
    *,
    host: str,
    temperature_K: float,
    fixed_per_formula_unit: Mapping[str, float] | None = None,
) -> Equilibrium:
    """Return the concentrations of defects at equilibrium.

    Parameters
    ----------
    defects
        Every configuration that counts.
    host
        Formula of the crystal, ``"Li3OCl"``; it says how many sites of each kind there are.
    temperature_K
        Temperature, K.
    fixed_per_formula_unit
        What does not equilibrate with a reservoir, per formula unit, free and bound together: a dopant by its
        element (``{"Mg": 0.05}``), a frozen defect by its label (``{"V_Cl.": 0.05}`` for lost LiCl).

    Raises
    ------
    ConfigError
        If the charge cannot be balanced by what is given, a site is not one of the host's, more is fixed than
        there are sites, or a number is out of range.
    EquilibriumError
        If the sites of associates fill up and the sweeps over the conditions do not settle.
    """
    defects = tuple(defects)
    if not defects or not all(isinstance(defect, DefectSpecies) for defect in defects):
        raise ConfigError("defects must be a sequence of DefectSpecies, one at least")
    _check_number("temperature_K", temperature_K, 0.0)
    kT_eV = BOLTZMANN_EV_PER_K * temperature_K
    conditions = _Conditions(defects, host, dict(fixed_per_formula_unit or {}), kT_eV)
    potential = conditions.neutral_potential() if conditions.charges.any() else 0.0
    ln_c, multipliers = conditions.solve(potential)
    n_sites = len(conditions.site_names)
    return Equilibrium(
        temperature_K=float(temperature_K),
        defects=defects,
        ln_per_formula_unit=ln_c,
        potential_eV=potential * kT_eV,
        regular_fraction={
            name: math.exp(multipliers[k])
            for k, name in enumerate(conditions.site_names)
            if name in conditions.host_sites
        },
        fugacity_eV={
            name: float(multipliers[n_sites + k]) * kT_eV for k, name in enumerate(conditions.fixed_names)
        },
    )


class _Conditions:
    """What the sites, the dopants and the charge ask for, at a reduced potential e phi/kT."""

    def __init__(self, defects, host, fixed, kT_eV):
        self.host_sites = host_sites(host)
        self.charges = np.array([defect.label.charge for defect in defects], dtype=float)
        self.ln_weights = np.array(
            [
                math.log(defect.multiplicity_per_formula_unit) - defect.formation_energy_eV / kT_eV
                for defect in defects
            ]
        )
        self.defects = defects
        sites = dict(self.host_sites)
        rows = {name: np.zeros(len(defects)) for name in sites}
        for j, defect in enumerate(defects):
            for member in members(defect.label):
                if member.site == "i":
                    continue
                if member.site not in rows:
                    raise ConfigError(f"{defect.label}: {host} has no {member.site} site")
                rows[member.site][j] += 1
            if isinstance(defect.label, KrogerVink) and defect.label.is_interstitial:
                name = f"interstitial {j}"
                sites[name] = defect.multiplicity_per_formula_unit
                rows[name] = np.eye(len(defects))[j]
        self.site_names, self.fixed_names = tuple(sites), tuple(fixed)
        for name, amount in fixed.items():
            rows[f"fixed {name}"] = _fixed_row(name, amount, defects, self.host_sites)
        self.mass_action = MassAction(
            counts=list(rows.values()),
            totals=[*sites.values(), *fixed.values()],
            is_site=np.arange(len(rows)) < len(sites),
        )

    def solve(self, potential):
        """Return ln c (n,) and the logarithms of f of each kind of site and of lambda of what is fixed."""
        return self.mass_action.solve(self.ln_weights - self.charges * potential)

    def neutral_potential(self):
        """Return e phi/kT of the neutral crystal; the charge falls steadily as it rises."""
        positive, negative = self.charges > 0, self.charges < 0
        if not (positive.any() and negative.any()):
            sign = "negative" if positive.any() else "positive"
            raise ConfigError(f"no defect has a {sign} charge, so nothing can compensate {self._charged()}")
        ln_size = np.log(np.where(self.charges, np.abs(self.charges), 1.0))

        def imbalance(potential):
            ln_charge = self.solve(potential)[0] + ln_size
            return logsumexp(ln_charge[positive]) - logsumexp(ln_charge[negative])

        start = imbalance(0.0)
        if start == 0:
            return 0.0
        direction = 1.0 if start > 0 else -1.0
        largest = 10.0 * (np.abs(self.ln_weights).max() + 100.0)
        inner, outer = 0.0, direction
        while imbalance(outer) * direction > 0:
            inner, outer = outer, 2.0 * outer
            if abs(outer) > largest:
                raise ConfigError(
                    f"no potential makes the crystal neutral: what is fixed leaves a "
                    f"{'positive' if direction > 0 else 'negative'} charge that {self._charged()} cannot "
                    "compensate; add a defect that can, or fix less"
                )
        return brentq(imbalance, inner, outer, xtol=1e-13, rtol=1e-14)

    def _charged(self):
        return ", ".join(str(defect.label) for defect in self.defects if defect.label.charge)


def _fixed_row(name, amount, defects, sites):
    _check_number(f"fixed_per_formula_unit of {name}", amount, 0.0)
    if "_" in name:
        label = KrogerVink.parse(name)
        row = [_count_label(defect.label, label) for defect in defects]
        available = sites.get(label.site, math.inf)
    else:
        if name in sites:
            raise ConfigError(
                f"{name} is an element of the host; fix a defect by its label, such as V_{name}"
            )
        row = [defect.label.elements.count(name) for defect in defects]
        used = {
            member.site for defect in defects for member in members(defect.label) if name in member.elements
        }
        available = sum(sites.get(site, math.inf) for site in used)
    if not any(row):
        raise ConfigError(f"{name} is fixed, but no defect holds it; {_listed(defects)}")
    if amount >= available:
        raise ConfigError(f"{amount:g} {name} per formula unit do not fit on {available:g} sites")
    return np.array(row, dtype=float)


def _parsed(label):
    return parse_defect(label) if isinstance(label, str) else label


def _count_label(label, wanted):
    return sum(member == wanted for member in members(label))


def _unknown(label, defects):
    return f"no concentration is known of {label}; {_listed(defects)}"


def _listed(defects):
    return "given: " + ", ".join(dict.fromkeys(str(defect.label) for defect in defects))


def _check_number(name, value, above):
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not above < value < math.inf:
        wanted = "positive" if above == 0 else "finite"
        raise ConfigError(f"{name} must be a {wanted} number, got {value!r}")
