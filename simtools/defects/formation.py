"""Energies of point defects: one relaxed cell, the isolated limit of several, reactions between defects.

The energy of a defect is that of its cell less that of the perfect one. Cells of different composition are
compared, so it is physical only in a balanced reaction (see `reaction_energy`); by itself it is the energy of
taking ions to and from infinity, as in the ionic model.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from scipy.stats import t as student

from simtools.core.errors import ConfigError
from simtools.core.results import Estimate
from simtools.core.units import EV_PER_A3_TO_GPA
from simtools.defects.charge_correction import IsolatedLimit, extrapolate_to_isolated
from simtools.defects.insertion import PlacedDefect, insert_defects
from simtools.defects.reactions import Reaction
from simtools.structures.ionic_relaxation import relax_ions
from simtools.structures.supercells import build_supercell

__all__ = [
    "Crystal",
    "DefectCell",
    "DefectEnergy",
    "ReactionEnergy",
    "isolated_energy",
    "place_in_supercell",
    "reaction_energy",
    "relax_crystal",
    "relax_defect",
]

START_DISPLACEMENT_A = 0.01
"""Standard deviation of the random displacements a relaxation starts with, so that it can leave a saddle."""
_CRYSTAL_FORCE_SHARE = 0.02
_NORMAL_95 = 1.96


@dataclass(frozen=True, kw_only=True)
class Crystal:
    """A perfect crystal at rest.

    Attributes
    ----------
    atoms
        One conventional cell, relaxed, without calculator.
    energy_eV
        Per formula unit, eV.
    formula_units
        Formula units in `atoms`.
    pressure_GPa
        Pressure that is left, GPa.
    """

    atoms: Atoms
    energy_eV: float
    formula_units: int
    pressure_GPa: float

    def enthalpy_eV(self, pressure_GPa: float) -> float:
        """Return E + pV per formula unit at the pressure that it was relaxed at, eV.

        This is what a phase contributes to a reaction under pressure; a defect at constant volume contributes
        its energy, because the changes of F at constant volume and of G at constant pressure are the same.
        """
        work_eV = pressure_GPa / EV_PER_A3_TO_GPA * self.atoms.get_volume()
        return self.energy_eV + work_eV / self.formula_units


@dataclass(frozen=True, kw_only=True)
class DefectCell:
    """One relaxed cell with a defect in it.

    Attributes
    ----------
    atoms
        Relaxed cell, without calculator; what was put in stands in ``info["defects"]``.
    energy_eV
        Energy (at constant pressure: enthalpy) less that of the perfect supercell, eV.
    repeats
        Supercell, conventional cells along each axis.
    cell_A
        Lattice vectors, rows, Å.
    n_steps, max_force_eV_per_A, max_displacement_A
        Of the relaxation.
    """

    atoms: Atoms
    energy_eV: float
    repeats: tuple[int, int, int]
    cell_A: np.ndarray
    n_steps: int
    max_force_eV_per_A: float
    max_displacement_A: float


@dataclass(frozen=True, kw_only=True)
class DefectEnergy:
    """Energy of one kind of defect, alone in an infinite crystal.

    Attributes
    ----------
    label
        Kröger-Vink label.
    charge_e
        Effective charge in the charges of the model, e: that of the cell.
    repeats
        Supercells, increasing.
    cell_energies_eV
        In each of them.
    corrected_eV
        Isolated limit with the image term of the given dielectric tensor, the remaining 1/V fitted.
    extrapolated_eV
        Isolated limit from the sizes alone.
    limit
        The fits in full; None for a neutral cell.
    """

    label: str
    charge_e: float
    repeats: tuple[int, ...]
    cell_energies_eV: tuple[float, ...]
    corrected_eV: Estimate
    extrapolated_eV: Estimate
    limit: IsolatedLimit | None

    @property
    def energy_eV(self) -> Estimate:
        """The corrected limit; its error covers the extrapolated one as well."""
        gap = abs(self.difference_eV)
        stderr = max(self.corrected_eV.stderr, gap / _NORMAL_95)
        half = max((self.corrected_eV.ci95[1] - self.corrected_eV.ci95[0]) / 2, gap)
        value = self.corrected_eV.value
        return Estimate(
            value=value,
            stderr=stderr,
            ci95=(value - half, value + half),
            method="isolated limit with the image term; the interval covers the limit without it",
            n_eff=self.corrected_eV.n_eff,
        )

    @property
    def difference_eV(self) -> float:
        """Extrapolated less corrected, eV: what the dielectric tensor does not explain."""
        return self.extrapolated_eV.value - self.corrected_eV.value


@dataclass(frozen=True, kw_only=True)
class ReactionEnergy:
    """Energy of a balanced defect reaction.

    Attributes
    ----------
    name
        What the field calls it, such as ``"LiCl Schottky"``.
    reaction
        The balanced reaction.
    energy_eV
        With all defects isolated, eV.
    n_defects
        Point defects that it makes, those it uses up not counted.
    """

    name: str
    reaction: Reaction
    energy_eV: Estimate
    n_defects: int

    @property
    def per_defect_eV(self) -> Estimate | None:
        """Energy divided by the number of defects made; None where none is."""
        if self.n_defects == 0:
            return None
        return self.energy_eV.scaled(1 / self.n_defects)


def relax_crystal(
    unit: Atoms, calculator, *, pressure_GPa: float = 0.0, max_force_eV_per_A: float = 0.005
) -> Crystal:
    """Return a perfect crystal, cell and ions relaxed.

    Parameters
    ----------
    unit
        Conventional cell near its equilibrium; its symmetry is kept.
    calculator
        ASE calculator with stress.
    pressure_GPa
        Hydrostatic pressure.
    max_force_eV_per_A
        Tolerance for the defects that will be put in; the crystal itself is relaxed fifty times better.

    Raises
    ------
    NotRelaxedError
        If it does not come to rest.
    """
    relaxation = relax_ions(
        unit,
        calculator,
        pressure_GPa=pressure_GPa,
        max_force_eV_per_A=_CRYSTAL_FORCE_SHARE * max_force_eV_per_A,
    )
    units = int(np.gcd.reduce(np.unique(unit.numbers, return_counts=True)[1]))
    return Crystal(
        atoms=relaxation.atoms,
        energy_eV=relaxation.energy_eV / units,
        formula_units=units,
        pressure_GPa=relaxation.pressure_GPa,
    )


def place_in_supercell(placed: Sequence[PlacedDefect], repeats: int) -> tuple[PlacedDefect, ...]:
    """Return defects of the conventional cell as defects of its supercell, in the supercell's first cell."""
    moved = []
    for defect in placed:
        values = {name: getattr(defect, name) for name in defect.__dataclass_fields__}
        if defect.scaled_position is not None:
            values["scaled_position"] = tuple(float(x) / repeats for x in defect.scaled_position)
        moved.append(PlacedDefect(**values))
    return tuple(moved)


def relax_defect(
    crystal: Atoms,
    placed: Sequence[PlacedDefect],
    repeats: int,
    calculator,
    *,
    formal_charges_e: Mapping[str, int],
    max_force_eV_per_A: float = 0.005,
    pressure_GPa: float | None = None,
    max_steps: int = 1000,
    seed: int = 1,
) -> DefectCell:
    """Return the relaxed supercell with defects in it and its energy relative to the perfect one.

    Parameters
    ----------
    crystal
        Conventional cell of the perfect crystal, at rest; not changed.
    placed
        Defects in its supercell (site indices: those of the conventional cell are those of the first cell).
    repeats
        Conventional cells along each axis.
    calculator
        ASE calculator. It must accept a charged cell where the defects are charged (a declared background).
    formal_charges_e
        Integer formal charges, for the balance that the cell records.
    max_force_eV_per_A
        Tolerance, eV/Å.
    pressure_GPa
        None: constant volume. A number: the cell relaxes too; only neutral cells have a pressure.
    max_steps
        Steps before giving up.
    seed
        Of the small random displacements that the relaxation starts from.

    Raises
    ------
    ConfigError
        For constant pressure with a charged cell, or defects that do not fit the crystal.
    NotRelaxedError
        If the ions do not come to rest.
    """
    perfect = build_supercell(crystal, repeats)
    atoms = insert_defects(perfect, placed, formal_charges_e=formal_charges_e, net_charge="background")
    if pressure_GPa is not None and atoms.info["net_charge_e"]:
        raise ConfigError(
            f"the cell with {' '.join(str(defect.label) for defect in placed)} carries "
            f"{atoms.info['net_charge_e']:+d} e, and a charged cell has no pressure: relax it at constant "
            "volume, or add what makes it neutral"
        )
    atoms.rattle(START_DISPLACEMENT_A, seed=seed)
    relaxation = relax_ions(
        atoms,
        calculator,
        max_force_eV_per_A=max_force_eV_per_A,
        pressure_GPa=pressure_GPa,
        max_steps=max_steps,
    )
    perfect.calc = calculator
    energy = relaxation.energy_eV - float(perfect.get_potential_energy())
    if pressure_GPa is not None:
        growth_A3 = relaxation.atoms.get_volume() - perfect.get_volume()
        energy += pressure_GPa / EV_PER_A3_TO_GPA * growth_A3
    return DefectCell(
        atoms=relaxation.atoms,
        energy_eV=energy,
        repeats=(repeats,) * 3,
        cell_A=relaxation.atoms.cell.array.copy(),
        n_steps=relaxation.n_steps,
        max_force_eV_per_A=relaxation.max_force_eV_per_A,
        max_displacement_A=relaxation.max_displacement_A,
    )


def isolated_energy(
    label: str,
    repeats: Sequence[int],
    cells_A: Sequence[np.ndarray],
    energies_eV: Sequence[float],
    *,
    charge_e: float,
    dielectric_tensor,
) -> DefectEnergy:
    r"""Return the energy of the isolated defect from its cells of several sizes.

    A charged defect goes through `extrapolate_to_isolated`. A neutral one has no image term: its energy is
    fitted with E_inf + b/V (dipoles and the elastic interaction of the images), by both names.

    Parameters
    ----------
    label
        Kröger-Vink label, for the record.
    repeats, cells_A, energies_eV
        Supercells, their lattice vectors in Å, and `DefectCell.energy_eV` of each.
    charge_e
        Net charge of the cells in the model's charges, e.
    dielectric_tensor
        Static dielectric tensor of the perfect crystal in the same model; unused for a neutral cell.

    Raises
    ------
    ConfigError
        With fewer than three sizes.
    """
    order = np.argsort(repeats)
    repeats = tuple(int(repeats[i]) for i in order)
    energies = np.array([float(energies_eV[i]) for i in order])
    cells = np.array([cells_A[i] for i in order])
    if charge_e:
        limit = extrapolate_to_isolated(
            cells, energies, charge_e=charge_e, dielectric_tensor=dielectric_tensor
        )
        extrapolated, corrected = limit.extrapolated_eV, limit.corrected_limit_eV
    else:
        limit = None
        extrapolated = corrected = _neutral_limit(cells, energies)
    return DefectEnergy(
        label=label,
        charge_e=float(charge_e),
        repeats=repeats,
        cell_energies_eV=tuple(energies.tolist()),
        corrected_eV=corrected,
        extrapolated_eV=extrapolated,
        limit=limit,
    )


def reaction_energy(
    name: str,
    reaction: Reaction,
    defect_energies_eV: Mapping[str, Estimate],
    phase_energies_eV: Mapping[str, float],
) -> ReactionEnergy:
    """Return the energy of a balanced reaction between isolated defects.

    Parameters
    ----------
    name
        What to call it.
    reaction
        Balanced, as `Reaction` is.
    defect_energies_eV
        Of each defect by its label, eV.
    phase_energies_eV
        Of each phase, the host included, per formula unit, eV.

    Returns
    -------
    ReactionEnergy
        Errors add up linearly, each defect by its coefficient: the limits are reached the same way and err
        to the same side. They measure the extrapolation to the isolated limit, not the force field.

    Raises
    ------
    ConfigError
        If an energy is missing.
    """
    values = {label: estimate.value for label, estimate in defect_energies_eV.items()}
    value = reaction.energy_eV(values, phase_energies_eV)
    net = Counter()
    for sign, terms in ((-1, reaction.reactants), (1, reaction.products)):
        for coefficient, term in terms:
            if not isinstance(term, str) and str(term) in values:
                net[str(term)] += sign * coefficient
    estimates = [(float(n), defect_energies_eV[label]) for label, n in net.items()]
    stderr = sum(abs(n) * estimate.stderr for n, estimate in estimates)
    half = sum(abs(n) * (estimate.ci95[1] - estimate.ci95[0]) / 2 for n, estimate in estimates)
    return ReactionEnergy(
        name=name,
        reaction=reaction,
        energy_eV=Estimate(
            value=value,
            stderr=stderr,
            ci95=(value - half, value + half),
            method="products less reactants; errors of the isolated limits added up",
            n_eff=float(min((estimate.n_eff for _, estimate in estimates), default=1.0)),
        ),
        n_defects=int(sum(n for n in net.values() if n > 0)),
    )


def _neutral_limit(cells_A, energies_eV):
    """Return E_inf of E = E_inf + b/V by least squares."""
    volumes = np.abs(np.linalg.det(cells_A))
    if len(volumes) < 3:
        raise ConfigError(
            f"expected cells of at least three sizes, got {len(volumes)}: two leave no measure of the error"
        )
    design = np.column_stack([np.ones_like(volumes), volumes.min() / volumes])
    coefficients, *_ = np.linalg.lstsq(design, energies_eV)
    residual = energies_eV - design @ coefficients
    freedom = len(volumes) - 2
    covariance = np.linalg.inv(design.T @ design) * float(residual @ residual) / freedom
    value, stderr = float(coefficients[0]), math.sqrt(covariance[0, 0])
    half = float(student.ppf(0.975, freedom)) * stderr
    return Estimate(
        value=value,
        stderr=stderr,
        ci95=(value - half, value + half),
        method=f"least squares, E_inf + b/V; {freedom} degrees of freedom",
        n_eff=float(freedom),
    )
