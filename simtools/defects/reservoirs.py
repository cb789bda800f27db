r"""Where ions come from and go to: chemical potentials from phases, formation energies from those.

In an ionic model only neutral groups of ions have an energy of their own. Phases in equilibrium with the
crystal give :math:`\sum_i n_i \mu_i = E_\mathrm{phase}`; each is neutral, so the potentials stay open by
:math:`\mu_i + z_i \varphi`. Here :math:`\sum_i z_i \mu_i = 0` by convention; whatever is physical (the energy
of a neutral set, concentrations at charge neutrality) does not depend on it.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from simtools.core.errors import ConfigError
from simtools.defects.kroger_vink import DefectComplex, KrogerVink, formal_charge, ions_of, parse_defect
from simtools.defects.reaction_balance import composition, members

__all__ = ["chemical_potentials_eV", "formation_energy_eV"]

_AGREE_EV = 1e-6


def chemical_potentials_eV(
    phase_energies_eV: Mapping[str, float], formal_charges_e: Mapping[str, int]
) -> dict[str, float]:
    """Return the chemical potentials of the ions in equilibrium with `phase_energies_eV`.

    Parameters
    ----------
    phase_energies_eV
        Energy per formula unit of each phase that is there, the crystal itself among them, eV. With n kinds
        of ions it takes n - 1 independent phases: ``Li3OCl`` and ``LiCl`` for LiCl-rich Li3OCl, ``Li3OCl``
        and ``Li2O`` for LiCl-poor.
    formal_charges_e
        Integer formal charge of each ion, e.

    Returns
    -------
    dict
        Potential of each ion, eV, on the scale of the phases' energies, in the gauge of this module.

    Raises
    ------
    ConfigError
        If the phases are too few, are not neutral, or cannot coexist.
    """
    phases = {name: dict(composition(name)) for name in phase_energies_eV}
    ions = list(dict.fromkeys(symbol for counts in phases.values() for symbol in sorted(counts)))
    for name, counts in phases.items():
        charge = sum(n * formal_charge(symbol, formal_charges_e) for symbol, n in counts.items())
        if charge:
            raise ConfigError(f"the phase {name} carries {charge:+d} e by the formal charges")
    numbers = np.array(
        [[counts.get(symbol, 0) for symbol in ions] for counts in phases.values()], dtype=float
    )
    energies = np.array(list(phase_energies_eV.values()), dtype=float)
    if not phases or not np.isfinite(energies).all():
        raise ConfigError(f"each phase needs a finite energy, got {dict(phase_energies_eV)!r}")
    potentials, _, rank, _ = np.linalg.lstsq(numbers, energies, rcond=None)
    if rank < len(ions) - 1:
        raise ConfigError(
            f"{', '.join(phases)} leave {len(ions) - 1 - rank} of the potentials of {', '.join(ions)} open; "
            f"give {len(ions) - 1} independent phases"
        )
    miss = np.abs(numbers @ potentials - energies).max()
    if miss > _AGREE_EV:
        raise ConfigError(
            f"{', '.join(phases)} cannot all be in equilibrium: their energies miss one set of potentials by "
            f"{miss:.3g} eV per formula unit; leave one out"
        )
    return {symbol: float(value) for symbol, value in zip(ions, potentials, strict=True)}


def formation_energy_eV(
    label: str | KrogerVink | DefectComplex,
    defect_energy_eV: float,
    potentials_eV: Mapping[str, float],
) -> float:
    """Return E(crystal with the defect) - E(perfect) less the potentials of what came, plus of what left, eV.

    Parameters
    ----------
    label
        The defect or associate.
    defect_energy_eV
        E(crystal with it) - E(perfect crystal), eV, in the isolated limit.
    potentials_eV
        Chemical potentials of the ions, eV, from `chemical_potentials_eV`.

    Raises
    ------
    ConfigError
        If a potential is missing.
    """
    if isinstance(label, str):
        label = parse_defect(label)
    added = Counter(label.elements)
    for member in members(label):
        if member.site != "i":
            added.subtract((member.site,) if member.site == "V" else ions_of(member.site))
    missing = [symbol for symbol, n in added.items() if n and symbol not in potentials_eV]
    if missing:
        raise ConfigError(
            f"{label} needs the chemical potential of {' and '.join(missing)}; add a phase that holds it"
        )
    return float(defect_energy_eV) - sum(n * potentials_eV[symbol] for symbol, n in added.items() if n)
