"""Concentrations of a recipe's own defects at equilibrium, under each condition and temperature it names."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import logsumexp

from simtools.core.results import Estimate
from simtools.defects.equilibrium import DefectSpecies, equilibrium_concentrations
from simtools.defects.kroger_vink import KrogerVink
from simtools.defects.reservoirs import chemical_potentials_eV, formation_energy_eV

__all__ = ["EquilibriumRow", "equilibria", "ratio_temperature_K"]

_SAME_STATE_EV = 5e-3
"""Isolated limits this near belong to one state that two labels describe (an interstitial that became a
dumbbell)."""
_NORMAL_95 = 1.96


@dataclass(frozen=True, kw_only=True)
class EquilibriumRow:
    """Concentrations under one condition at one temperature.

    Attributes
    ----------
    condition, phase
        Its name, and the phase that the crystal is in equilibrium with.
    temperature_K
        K.
    per_formula_unit
        Label -> concentration per formula unit of the host; intervals symmetric in the logarithm.
    formation_energies_eV
        Label -> energy of making one, its charge at the potential that makes the crystal neutral, eV.
    carrier_ratios
        Species -> vacancies over dumbbells (or interstitials) of it, where both are there.
    """

    condition: str
    phase: str
    temperature_K: float
    per_formula_unit: dict[str, Estimate]
    formation_energies_eV: dict[str, float]
    carrier_ratios: dict[str, Estimate]


def equilibria(recipe, host, rows, formal_charges_e, notes) -> tuple[EquilibriumRow, ...]:
    """Return the concentrations of the host's own defects; foreign ions are left out.

    Parameters
    ----------
    recipe
        With [energetics] conditions, each naming one of the phases (`DefectPlan` has checked that).
    host, rows
        `HostRow` and the `DefectRow` of every label.
    formal_charges_e
        Integer formal charges, e.
    notes
        Takes what a reader must know.
    """
    table, own = recipe.energetics, set(host.crystal.atoms.get_chemical_symbols())
    native = _distinct_states([row for row in rows if _is_native(row, own)], notes)
    found = []
    for condition, phase in (table.conditions or {}).items():
        phases = {
            formula: crystal.enthalpy_eV(table.pressure_GPa)
            for formula, crystal in ((host.formula, host.crystal), (phase, host.phases[phase]))
        }
        potentials = chemical_potentials_eV(phases, formal_charges_e)
        for temperature in table.temperatures_K:
            found.append(_row(condition, phase, temperature, host.formula, native, potentials))
    return tuple(found)


def _is_native(row, own):
    label = KrogerVink.parse(row.energy.label)
    return set(label.elements) <= own


def _distinct_states(rows, notes):
    """Return the rows without those that relaxed into the state of another of the same composition."""
    kept = []
    for row in rows:
        label = KrogerVink.parse(row.energy.label)
        twin = next((other for other in rows if other is not row and _same_state(row, other)), None)
        if label.is_interstitial and twin is not None:
            notes.append(
                f"{label} relaxes into {twin.energy.label} (the same energy): counted once, as the latter"
            )
            continue
        kept.append(row)
    return kept


def _same_state(row, other):
    labels = [KrogerVink.parse(item.energy.label) for item in (row, other)]
    added = []
    for label in labels:
        ions = list(label.elements)
        if label.site in ions:
            ions.remove(label.site)
        elif not label.is_interstitial:
            return False
        added.append(sorted(ions))
    gap = abs(row.energy.corrected_eV.value - other.energy.corrected_eV.value)
    return added[0] == added[1] and gap < _SAME_STATE_EV


def _row(condition, phase, temperature_K, formula, rows, potentials):
    labels = [row.energy.label for row in rows]
    energies = [formation_energy_eV(row.energy.label, row.energy.energy_eV.value, potentials) for row in rows]

    def solve(shifts_eV):
        species = [
            DefectSpecies(
                label=row.energy.label,
                formation_energy_eV=energy + shift + above,
                multiplicity_per_formula_unit=places,
            )
            for row, energy, shift in zip(rows, energies, shifts_eV, strict=True)
            for places, above in row.states
        ]
        solved = equilibrium_concentrations(species, host=formula, temperature_K=temperature_K)
        kinds = [str(item.label) for item in solved.defects]
        ln_c = [logsumexp(solved.ln_per_formula_unit[[kind == label for kind in kinds]]) for label in labels]
        return np.array(ln_c), solved.potential_eV

    ln_c, potential = solve(np.zeros(len(rows)))
    errors = np.array([row.energy.energy_eV.stderr for row in rows])
    shifts = [solve(step)[0] - ln_c for step in np.diag(errors)]
    charges = [KrogerVink.parse(label).charge for label in labels]
    return EquilibriumRow(
        condition=condition,
        phase=phase,
        temperature_K=float(temperature_K),
        per_formula_unit={
            label: _log_estimate(ln_c[j], [shift[j] for shift in shifts]) for j, label in enumerate(labels)
        },
        formation_energies_eV={
            label: float(energy + charge * potential)
            for label, energy, charge in zip(labels, energies, charges, strict=True)
        },
        carrier_ratios=_carrier_ratios(labels, ln_c, shifts),
    )


def _carrier_ratios(labels, ln_c, shifts):
    ratios = {}
    parsed = [KrogerVink.parse(label) for label in labels]
    for j, vacancy in enumerate(parsed):
        if not vacancy.is_vacancy:
            continue
        partners = [
            k
            for k, other in enumerate(parsed)
            if (other.is_dumbbell and other.elements == (vacancy.site,) * 2 and other.site == vacancy.site)
            or (other.is_interstitial and other.elements == (vacancy.site,))
        ]
        if partners:
            k = max(partners, key=lambda k: ln_c[k])
            ratios[vacancy.site] = _log_estimate(ln_c[j] - ln_c[k], [shift[j] - shift[k] for shift in shifts])
    return ratios


def _log_estimate(ln_value, ln_shifts):
    error = math.sqrt(sum(float(shift) ** 2 for shift in ln_shifts))
    value = math.exp(ln_value)
    spread = math.exp(min(_NORMAL_95 * error, 700.0))
    return Estimate(
        value=value,
        stderr=value * error,
        ci95=(value / spread, value * spread),
        method="equilibrium of the isolated limits; their errors one by one in quadrature, in the logarithm",
        n_eff=1.0,
    )


def ratio_temperature_K(rows, species, ratio):
    """Return the temperature at which the carrier ratio has a value, K, or None if it lies outside.

    Parameters
    ----------
    rows
        `EquilibriumRow` of one condition.
    species
        Whose ratio.
    ratio
        Value looked for; interpolated linearly in ln(ratio) against 1/T.
    """
    points = sorted(
        (1 / row.temperature_K, math.log(row.carrier_ratios[species].value))
        for row in rows
        if species in row.carrier_ratios
    )
    wanted = math.log(ratio)
    for (x0, y0), (x1, y1) in pairwise(points):
        if min(y0, y1) <= wanted <= max(y0, y1) and y0 != y1:
            return 1 / (x0 + (wanted - y0) * (x1 - x0) / (y1 - y0))
    return None
