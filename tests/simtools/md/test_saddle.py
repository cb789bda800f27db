"""Curvatures and residual errors held against quadratic forms whose answers are known."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from simtools.md.saddle import examine_saddle, residual_error_eV


class Quadratic(Calculator):
    """E = x H x / 2 with a given Hessian."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, hessian):
        super().__init__()
        self.hessian = hessian

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        image = self.hessian @ atoms.positions.ravel()
        self.results = {
            "energy": 0.5 * atoms.positions.ravel() @ image,
            "forces": -image.reshape(-1, 3),
        }


def hessian_with(curvatures, seed=0):
    rotation, _ = np.linalg.qr(
        np.random.default_rng(seed).standard_normal((len(curvatures), len(curvatures)))
    )
    return rotation @ np.diag(curvatures) @ rotation.T, rotation


@pytest.mark.parametrize("n_atoms", [3, 20])
def test_lowest_curvatures_of_a_known_hessian(n_atoms):
    curvatures = np.concatenate([[-0.7, 0.2], np.linspace(1, 40, 3 * n_atoms - 2)])
    hessian, modes = hessian_with(curvatures)
    tangent = (modes[:, 0] + 0.1 * modes[:, 5]).reshape(-1, 3)
    tangent /= np.linalg.norm(tangent)
    saddle = examine_saddle(
        Atoms(f"Li{n_atoms}", positions=np.zeros((n_atoms, 3))), Quadratic(hessian), tangent
    )
    assert saddle.lowest_curvatures_eV_per_A2 == pytest.approx((-0.7, 0.2), abs=0.01)
    along = (-0.7 + 0.01 * curvatures[5]) / 1.01
    assert saddle.tangent_curvature_eV_per_A2 == pytest.approx(along, rel=1e-6)
    assert saddle.n_negative == 1


def test_translations_of_a_free_crystal_are_not_counted():
    n_atoms = 20
    free = np.eye(n_atoms) - np.full((n_atoms, n_atoms), 1 / n_atoms)
    hessian = np.kron(free, np.diag([2.0, 3.0, 4.0]))
    tangent = np.zeros((n_atoms, 3))
    tangent[0, 0], tangent[1, 0] = np.sqrt(0.5), -np.sqrt(0.5)
    saddle = examine_saddle(
        Atoms(f"Li{n_atoms}", positions=np.zeros((n_atoms, 3))), Quadratic(hessian), tangent
    )
    assert saddle.lowest_curvatures_eV_per_A2 == pytest.approx((2.0, 2.0), abs=0.01)


def test_residual_error_is_the_energy_above_a_minimum():
    curvatures = np.geomspace(0.3, 40, 30)
    hessian, _ = hessian_with(curvatures)
    atoms = Atoms("Li10", positions=np.random.default_rng(1).normal(0, 0.01, (10, 3)))
    atoms.calc = Quadratic(hessian)
    exact = atoms.get_potential_energy()
    error, n_evaluations = residual_error_eV(atoms, atoms.calc, atoms.get_forces(), n_directions=12)
    assert error == pytest.approx(exact, rel=0.05)
    assert n_evaluations == 24
    line_search, _ = residual_error_eV(atoms, atoms.calc, atoms.get_forces(), n_directions=1)
    assert line_search < error


def test_residual_error_counts_a_negative_curvature_as_error_too():
    hessian, _ = hessian_with([-0.5, 1.0, 2.0])
    atoms = Atoms("Li", positions=[[0.01, 0.02, -0.01]])
    atoms.calc = Quadratic(hessian)
    values, modes = np.linalg.eigh(hessian)
    expected = 0.5 * np.sum(np.abs(values) * (modes.T @ atoms.positions.ravel()) ** 2)
    error, _ = residual_error_eV(atoms, atoms.calc, atoms.get_forces())
    assert error == pytest.approx(expected, rel=1e-6)


def test_no_force_is_no_error():
    atoms = Atoms("Li", positions=np.zeros((1, 3)))
    assert residual_error_eV(atoms, Quadratic(np.eye(3)), np.zeros((1, 3))) == (0.0, 0)
