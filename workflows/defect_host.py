"""The perfect crystals of a recipe at rest: the host, settled where it is unstable, and the binary phases."""

from dataclasses import dataclass

import numpy as np

from potentials.calculator import IonicCalculator
from simtools.core.errors import ConfigError, RunFailedError, SimtoolsError
from simtools.defects.formation import Crystal, relax_crystal
from simtools.structures import build_prototype, relax_lattice_parameter
from simtools.structures.dielectric import born_charges, high_frequency_dielectric, static_dielectric
from simtools.structures.hessian import hessian
from simtools.structures.settling import SettledCrystal, settle_crystal
from workflows.systems import GUESSES_A

__all__ = ["HostRow", "relax_host"]

_SHARES_OF_GUESS = np.geomspace(0.65, 1.4, 16)


@dataclass(frozen=True, kw_only=True)
class HostRow:
    """The perfect crystal.

    Attributes
    ----------
    formula
        As in the recipe.
    crystal
        At rest, settled.
    repeats
        Conventional cells of the recipe's prototype along each axis of `crystal`.
    settled
        How it was settled: whether the prototype is stable, and what it became.
    dielectric_static, dielectric_high_frequency
        Computed tensors, shape (3, 3); None where the calculator gives no polarisation.
    phases
        Formula -> binary phase at rest.
    """

    formula: str
    crystal: Crystal
    repeats: int
    settled: SettledCrystal
    dielectric_static: np.ndarray | None
    dielectric_high_frequency: np.ndarray | None
    phases: dict[str, Crystal]


def relax_host(plan, notes) -> HostRow:
    """Return the host and the phases of a `DefectPlan` at rest.

    A host with imaginary phonons is no reference for a defect: in a large cell any defect sets off the
    transformation, and its energy grows with the cell. It is settled first, and `notes` says so.

    Raises
    ------
    RunFailedError
        If a crystal does not come to rest.
    """
    forces = plan.forces
    crystal = _relaxed_phase(plan, plan.structure)
    calculator = _exact_calculator(forces)
    settled = settle_crystal(crystal.atoms, calculator, pressure_GPa=plan.table.pressure_GPa)
    if settled.repeats > 1:
        crystal = Crystal(
            atoms=settled.atoms,
            energy_eV=crystal.energy_eV - settled.energy_gain_eV,
            formula_units=crystal.formula_units * settled.repeats**3,
            pressure_GPa=plan.table.pressure_GPa,
        )
        modes = ", ".join(f"{label} {-frequency:.2f}i THz" for label, frequency in settled.imaginary_modes)
        n, gain_meV = settled.repeats, 1000 * settled.energy_gain_eV
        notes.append(
            f"{plan.formula} as {plan.structure['prototype']} is unstable at rest with these forces "
            f"({modes}); all defects are in what it relaxes into: {settled.space_group} in a cell of "
            f"{n} x {n} x {n}, {gain_meV:.1f} meV per formula unit below"
        )
    phases = {
        formula: _relaxed_phase(plan, {"formula": formula, "prototype": prototype})
        for formula, prototype in plan.phases.items()
    }
    static = high = None
    if forces.force_field is not None and forces.force_field.is_charged:
        static, high = _dielectric(forces, crystal.atoms)
    return HostRow(
        formula=plan.formula,
        crystal=crystal,
        repeats=settled.repeats,
        settled=settled,
        dielectric_static=static,
        dielectric_high_frequency=high,
        phases=phases,
    )


def _relaxed_phase(plan, structure) -> Crystal:
    options = {"anion_centre": structure["anion_centre"]} if "anion_centre" in structure else {}
    prototype, formula = structure["prototype"], structure["formula"]

    def build(a_A):
        return build_prototype(prototype, formula, lattice_parameter_A=a_A, **options)

    calculator, pressure = _exact_calculator(plan.forces), plan.table.pressure_GPa
    try:
        lattice = relax_lattice_parameter(
            build,
            calculator,
            guess_A=_lowest_of(build, calculator, GUESSES_A[prototype]),
            pressure_GPa=pressure,
        )
        return relax_crystal(
            build(lattice.a_A),
            calculator,
            pressure_GPa=pressure,
            max_force_eV_per_A=plan.table.max_force_eV_per_A,
        )
    except ConfigError as error:
        raise ConfigError(f"{plan.where} {formula} as {prototype}: {error}") from error
    except SimtoolsError as error:
        raise RunFailedError(f"{formula} as {prototype}: {error}") from error


def _lowest_of(build, calculator, guess_A):
    """Return the lattice parameter of lowest energy on a coarse grid around a guess, Å."""

    def energy(a_A):
        atoms = build(a_A)
        atoms.calc = calculator
        return atoms.get_potential_energy()

    return min((float(share * guess_A) for share in _SHARES_OF_GUESS), key=energy)


def _exact_calculator(forces, **options):
    """Return a calculator for one conventional cell: exact sums instead of a mesh tuned to every volume."""
    if forces.force_field is None or not forces.force_field.is_charged:
        return forces.calculator()
    return IonicCalculator(forces.force_field, coulomb="ewald", **options)


def _dielectric(forces, atoms):
    """Return the static and high-frequency dielectric tensors of the host."""
    calculator = _exact_calculator(forces)
    high = high_frequency_dielectric(
        atoms, lambda field: _exact_calculator(forces, electric_field_V_per_A=field)
    )
    curvatures = hessian(atoms, calculator)
    return static_dielectric(atoms, curvatures, born_charges(atoms, calculator), high), high
