"""Relaxed ions against minima known beforehand: two Lennard-Jones atoms, a strained crystal, a constraint,
a ridge to leave on the right side."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms

from potentials.calculator import IonicCalculator
from simtools.core.errors import ConfigError
from simtools.structures import build_antiperovskite, build_supercell
from simtools.structures.ionic_relaxation import NotRelaxedError, relax_ions


def dimer(distance_A):
    return Atoms("Ar2", positions=[[0, 0, 0], [distance_A, 0, 0]], cell=[30, 30, 30], pbc=True)


def lennard_jones():
    return LennardJones(sigma=3.4, epsilon=0.01, rc=14.0)


def test_dimer_finds_its_minimum():
    start = dimer(4.1)
    result = relax_ions(start, lennard_jones(), max_force_eV_per_A=1e-6)
    assert result.atoms.get_distance(0, 1) == pytest.approx(2 ** (1 / 6) * 3.4, abs=1e-3)
    assert result.atoms.calc is None
    assert start.get_distance(0, 1) == 4.1
    assert result.max_displacement_A == pytest.approx((4.1 - 2 ** (1 / 6) * 3.4) / 2, abs=1e-3)
    assert np.isnan(result.pressure_GPa)


class Corrugation(Calculator):
    """V = -h cos(2 pi x / a) for every atom: minima at x = 0, a, ..., maxima between."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 (ASE's contract)

    def calculate(self, atoms, properties, system_changes):
        super().calculate(atoms, properties, system_changes)
        phase = 2 * np.pi * atoms.positions[:, 0] / 4.0
        forces = np.zeros((len(atoms), 3))
        forces[:, 0] = -0.3 * 2 * np.pi / 4.0 * np.sin(phase)
        self.results = {"energy": float(-0.3 * np.cos(phase).sum()), "forces": forces}


def test_ridge_is_left_on_the_downhill_side():
    start = Atoms("Ar2", positions=[[1.9, 0, 0], [2.1, 5, 0]], cell=[12, 12, 12], pbc=True)
    result = relax_ions(start, Corrugation(), max_force_eV_per_A=1e-4, max_steps=200)
    assert result.atoms.positions[:, 0] == pytest.approx([0, 4], abs=1e-3)
    assert result.energy_eV == pytest.approx(-0.6, abs=1e-6)


def test_constraint_holds():
    start = dimer(4.1)
    start.set_constraint(FixAtoms([0]))
    result = relax_ions(start, lennard_jones(), max_force_eV_per_A=1e-6)
    assert np.array_equal(result.atoms.positions[0], [0, 0, 0])
    assert result.atoms.get_distance(0, 1) == pytest.approx(2 ** (1 / 6) * 3.4, abs=1e-3)


def test_strained_crystal_comes_back_to_zero_pressure():
    crystal = build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=3.9), 2)
    crystal.set_cell(crystal.cell.array @ np.diag([1.01, 0.99, 1.0]), scale_atoms=True)
    crystal.rattle(0.02, seed=3)
    calculator = IonicCalculator("li3ocl_mouta_formal", accuracy=1e-6)
    result = relax_ions(crystal, calculator, max_force_eV_per_A=0.002, pressure_GPa=0.0)
    assert result.atoms.cell.lengths() == pytest.approx(2 * 3.8660266, abs=1e-3)
    assert result.energy_eV == pytest.approx(8 * -39.3233682, abs=1e-4)
    assert abs(result.pressure_GPa) < 0.01


def test_too_few_steps_are_told():
    with pytest.raises(NotRelaxedError, match="did not come to rest in 2 steps") as caught:
        relax_ions(dimer(4.1), lennard_jones(), max_force_eV_per_A=1e-9, max_steps=2)
    assert caught.value.atoms.get_distance(0, 1) < 4.1


@pytest.mark.parametrize(
    "options",
    [
        {"max_force_eV_per_A": 0},
        {"pressure_GPa": float("nan")},
        {"max_steps": 2.5},
        {"max_steps": "many"},
        {"max_steps": -1},
    ],
)
def test_meaningless_options_are_refused(options):
    with pytest.raises(ConfigError):
        relax_ions(dimer(4.1), lennard_jones(), **options)


def test_any_number_is_a_tolerance_and_no_word_a_pressure():
    loose = relax_ions(dimer(4.1), lennard_jones(), max_force_eV_per_A=np.float32(1e-3))
    assert 0 < loose.max_force_eV_per_A <= 1e-3
    with pytest.raises(ConfigError, match="pressure_GPa must be a finite number, got 'high'"):
        relax_ions(dimer(4.1), lennard_jones(), pressure_GPa="high")
