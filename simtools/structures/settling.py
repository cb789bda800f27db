"""A crystal that is unstable in its unit cell, brought to rest in a larger one: tilted octahedra."""

import logging
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from simtools.core.errors import RunFailedError
from simtools.structures.ionic_relaxation import relax_ions
from simtools.structures.phonons import phonon_stability
from simtools.structures.supercells import build_supercell
from simtools.structures.symmetry import crystal_symmetry

__all__ = ["SettledCrystal", "settle_crystal"]

logger = logging.getLogger(__name__)

START_DISPLACEMENT_A = 0.1
"""Standard deviation of the random displacements it starts from: a third of the tilts of Na3OCl."""
_SEEDS = (0, 1, 2, 3)
_MAX_STEPS = 3000
_SAME_ENERGY_EV = 1e-6


@dataclass(frozen=True, kw_only=True)
class SettledCrystal:
    """A crystal with no imaginary phonon left, as far as its own supercell can tell.

    Attributes
    ----------
    atoms
        The cell given where that was stable; else its supercell, relaxed, without calculator.
    repeats
        Of the cell given along each axis: 1 where it was stable.
    energy_gain_eV
        Per formula unit, eV, 0 or more.
    imaginary_modes
        Labels of the wave vectors at which the cell given was unstable, one per mode, with the frequencies in
        THz as negative numbers.
    space_group
        Of the crystal that came out.
    """

    atoms: Atoms
    repeats: int
    energy_gain_eV: float
    imaginary_modes: tuple[tuple[str, float], ...]
    space_group: str


def settle_crystal(
    crystal: Atoms,
    calculator,
    *,
    repeats: int = 2,
    pressure_GPa: float = 0.0,
    max_force_eV_per_A: float = 1e-5,
) -> SettledCrystal:
    """Return the crystal itself if it is stable, else what it relaxes into in a supercell.

    Parameters
    ----------
    crystal
        Conventional cell at rest; not changed.
    calculator
        Any ASE calculator with stress.
    repeats
        The supercell along each axis in which stability is judged: 2 holds the modes at Γ, X, M and R of a
        simple cubic crystal, among them all tilts of its octahedra.
    pressure_GPa
        The cell relaxes to this pressure, shape included.
    max_force_eV_per_A
        Tolerance. Soft crystals need a fine one, or their symmetry is not found.

    Returns
    -------
    SettledCrystal
        The lowest of four relaxations from random displacements. Another start may find a lower one still;
        the tilt systems of one crystal differ by little.

    Raises
    ------
    RunFailedError
        If the relaxed supercell is not below the cell given although that has imaginary modes.
    NotRelaxedError
        If a relaxation does not end.

    Notes
    -----
    Limits: Li3OCl with `li3ocl_mouta_formal` stays; Na3OCl with `mna_oxyhalide_formal` tilts into Pnma
    (a⁻a⁻c⁺), 1.7 meV per formula unit below.
    """
    modes = phonon_stability(crystal, calculator, (repeats,) * 3).imaginary_modes
    if not modes:
        return SettledCrystal(
            atoms=crystal.copy(),
            repeats=1,
            energy_gain_eV=0.0,
            imaginary_modes=(),
            space_group=crystal_symmetry(crystal).space_group,
        )
    start = build_supercell(crystal, repeats)
    start.calc = calculator
    reference = float(start.get_potential_energy())
    start.calc = None
    best = None
    for seed in _SEEDS:
        displaced = start.copy()
        displaced.rattle(START_DISPLACEMENT_A, seed=seed)
        relaxation = relax_ions(
            displaced,
            calculator,
            max_force_eV_per_A=max_force_eV_per_A,
            pressure_GPa=pressure_GPa,
            max_steps=_MAX_STEPS,
        )
        if best is None or relaxation.energy_eV < best.energy_eV - _SAME_ENERGY_EV:
            best = relaxation
    units = int(np.gcd.reduce(np.unique(start.numbers, return_counts=True)[1]))
    gain = (reference - best.energy_eV) / units
    if gain <= 0:
        raise RunFailedError(
            f"the crystal has imaginary phonons, but no lower state was found in {repeats} x {repeats} x "
            f"{repeats} cells ({-gain:.3g} eV per formula unit above); try a larger supercell"
        )
    atoms = best.atoms
    atoms.info.pop("supercell", None)
    group = crystal_symmetry(atoms).space_group
    logger.info("settled into %s, %.4f eV per formula unit below", group, gain)
    return SettledCrystal(
        atoms=atoms,
        repeats=repeats,
        energy_gain_eV=gain,
        imaginary_modes=tuple((mode.label, float(mode.frequency_THz)) for mode in modes),
        space_group=group,
    )
