import numpy as np
import pytest
from scipy.special import erfc

from potentials.ewald_sum import EwaldSum
from potentials.mesh import ParticleMesh
from potentials.splitting import (
    Splitting,
    choose_splitting,
    measure_mesh_error,
    predict_mesh_error_eV_per_A,
    predict_real_error_eV_per_A,
    thermal_force_eV_per_A,
)
from simtools.core.errors import ConfigError, ShapeError
from simtools.core.units import COULOMB_EV_A
from tests.reference import ewald as reference

CUBIC = np.eye(3)
TRICLINIC = np.array([[1.0, 0.0, 0.0], [0.55, 0.8, 0.0], [-0.35, 0.5, 0.75]])
LOW = np.array([[1.0, 0.0, 0.0], [0.0, 1.3, 0.0], [0.4, 0.0, 0.9]])


def crystal(repeat, *, shape=CUBIC, vacancies=0, displacement_A=0.15, seed=1):
    """Return an X3BA crystal of ions vibrating as at about 1000 K: positions, cell, charges."""
    rng = np.random.default_rng(seed)
    basis = np.array([[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0, 0, 0], [0.5, 0.5, 0.5]])
    images = np.array(list(np.ndindex(*repeat)))
    fractions = ((images[:, None] + basis).reshape(-1, 3)) / repeat
    charges = np.tile([1.0, 1.0, 1.0, -2.0, -1.0], len(images))
    kept = np.ones(len(charges), dtype=bool)
    kept[rng.choice(np.flatnonzero(charges == 1.0), vacancies, replace=False)] = False
    cell = 3.91 * np.array(repeat)[:, None] * shape / abs(np.linalg.det(shape)) ** (1 / 3)
    positions = fractions @ cell + rng.normal(0.0, displacement_A, fractions.shape)
    return positions[kept], cell, charges[kept]


def random_ions(n, *, shape=CUBIC, seed=2):
    """Return ions placed at random, at the density of the crystal."""
    rng = np.random.default_rng(seed)
    cell = shape * (n * 3.91**3 / 5 / abs(np.linalg.det(shape))) ** (1 / 3)
    return rng.random((n, 3)) @ cell, cell, rng.permutation(np.resize([1.0, 1.0, 1.0, -2.0, -1.0], n))


SYSTEMS = {
    "40 ions": crystal((2, 2, 2)),
    "vacancies": crystal((4, 4, 4), vacancies=6),
    "triclinic": crystal((3, 4, 3), shape=TRICLINIC, vacancies=2),
    "monoclinic slab": crystal((2, 3, 8), shape=LOW),
    "random": random_ions(160),
    "few random": random_ions(40),
    "random triclinic": random_ions(200, shape=TRICLINIC),
}


def cut_pair_forces(positions, cell, charges, alpha, inner_A, outer_A):
    """Return the forces of the erfc half between two distances."""
    forces = np.zeros_like(positions)
    wrapped = np.linalg.solve(cell.T, positions.T).T % 1.0 @ cell
    for i, j, d in reference.neighbours(wrapped, cell, outer_A):
        r = np.linalg.norm(d, axis=1)
        slope = erfc(alpha * r) / r + 2 * alpha / np.sqrt(np.pi) * np.exp(-((alpha * r) ** 2))
        pull = np.where(r > inner_A, -COULOMB_EV_A * charges[i] * charges[j] * slope / r**2, 0.0)
        np.add.at(forces, i, pull[:, None] * d)
    return forces


def rms(forces):
    return np.sqrt(np.mean(np.sum(forces**2, axis=1)))


def error_of(splitting, positions, cell, charges):
    """Return the force error of pairs and mesh together, shape (n_atoms, 3), from its definition."""
    exact = EwaldSum(cell, charges, splitting.alpha).compute(positions, cell)[2]
    mesh = ParticleMesh(
        cell, charges, splitting.alpha, mesh_shape=splitting.mesh_shape, order=splitting.order
    ).compute(positions, cell)[2]
    left_out = cut_pair_forces(
        positions, cell, charges, splitting.alpha, splitting.cutoff_A, 1.35 * splitting.cutoff_A
    )
    return mesh - exact - left_out


@pytest.mark.parametrize("measured", [True, False], ids=["measured", "predicted"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_the_accuracy_asked_for_is_kept(name, measured):
    positions, cell, charges = SYSTEMS[name]
    splitting = choose_splitting(cell, charges, positions_nc=positions if measured else None)
    error = error_of(splitting, positions, cell, charges)
    assert splitting.mesh_error_is_measured == measured
    assert rms(error) <= 1e-4 * splitting.rms_force_eV_per_A
    assert np.linalg.norm(error, axis=1).max() <= 1e-3 * splitting.rms_force_eV_per_A


@pytest.mark.parametrize("accuracy", [1e-3, 1e-6])
def test_other_accuracies_are_kept_too(accuracy):
    positions, cell, charges = SYSTEMS["vacancies"]
    splitting = choose_splitting(cell, charges, accuracy=accuracy, positions_nc=positions)
    assert rms(error_of(splitting, positions, cell, charges)) <= accuracy * splitting.rms_force_eV_per_A


def test_a_given_cutoff_is_kept_and_larger_ones_need_coarser_meshes():
    _, cell, charges = SYSTEMS["vacancies"]
    short, long = (choose_splitting(cell, charges, cutoff_A=cutoff) for cutoff in (6.0, 11.0))
    assert (short.cutoff_A, long.cutoff_A) == (6.0, 11.0)
    assert short.alpha > long.alpha
    assert np.prod(short.mesh_shape) > np.prod(long.mesh_shape)


@pytest.mark.parametrize("shape", [CUBIC, TRICLINIC], ids=["cubic", "triclinic"])
@pytest.mark.parametrize("order", [4, 6, 8])
def test_the_mesh_error_of_random_ions_is_the_predicted_one(shape, order):
    ratios = []
    for seed in range(4):
        positions, cell, charges = random_ions(200, shape=shape, seed=seed)
        settings = {"alpha": 0.4, "mesh_shape": (15, 16, 18), "order": order}
        measured = measure_mesh_error(positions, cell, charges, **settings)
        ratios.append(measured.rms_eV_per_A / predict_mesh_error_eV_per_A(cell, charges, **settings))
        assert measured.max_eV_per_A >= measured.rms_eV_per_A
    assert 0.9 < np.mean(ratios) < 1.3


def test_the_predicted_mesh_error_of_a_piece_is_that_of_the_whole():
    _, cell, charges = crystal((4, 4, 4), displacement_A=0.0)
    _, large_cell, more_charges = crystal((8, 8, 8), displacement_A=0.0)
    small = predict_mesh_error_eV_per_A(cell, charges, alpha=0.35, mesh_shape=(18, 18, 18), order=6)
    large = predict_mesh_error_eV_per_A(large_cell, more_charges, alpha=0.35, mesh_shape=(36,) * 3, order=6)
    assert large == pytest.approx(small, rel=0.02)


def test_the_pair_error_of_random_ions_is_the_predicted_one():
    ratios = []
    for seed in range(4):
        positions, cell, charges = random_ions(200, seed=seed)
        left_out = cut_pair_forces(positions, cell, charges, 0.4, 7.0, 11.0)
        predicted = predict_real_error_eV_per_A(charges, np.linalg.det(cell), alpha=0.4, cutoff_A=7.0)
        ratios.append(rms(left_out) / predicted)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.15)


def test_the_force_that_errors_are_relative_to_has_a_floor():
    positions, cell, charges = crystal((3, 3, 3), displacement_A=0.0)
    floor = thermal_force_eV_per_A(charges, np.linalg.det(cell))
    assert 0.4 < floor < 1.5
    perfect = choose_splitting(cell, charges, rms_force_eV_per_A=0.0, positions_nc=positions)
    hot = choose_splitting(cell, charges, rms_force_eV_per_A=10 * floor, positions_nc=positions)
    assert perfect.rms_force_eV_per_A == floor
    assert hot.rms_force_eV_per_A == 10 * floor
    assert np.prod(hot.mesh_shape) < np.prod(perfect.mesh_shape)


def test_the_choice_is_reproducible_and_plain_data():
    positions, cell, charges = SYSTEMS["triclinic"]
    first, second = (choose_splitting(cell, charges, positions_nc=positions) for _ in range(2))
    assert first == second
    assert isinstance(first, Splitting)
    assert first.predicted_error <= 1e-4
    assert all(type(n) is int for n in first.mesh_shape)
    assert all(210**9 % n == 0 for n in first.mesh_shape)  # no prime factor above 7: quick transforms


def test_bad_input_is_named():
    _, cell, charges = SYSTEMS["40 ions"]
    with pytest.raises(ConfigError, match="no ion carries a charge"):
        choose_splitting(cell, 0 * charges)
    with pytest.raises(ConfigError, match="accuracy must lie"):
        choose_splitting(cell, charges, accuracy=0.0)
    with pytest.raises(ConfigError, match="cutoff_A must be positive"):
        choose_splitting(cell, charges, cutoff_A=-1.0)
    with pytest.raises(ConfigError, match="no mesh"):
        choose_splitting(cell, charges, accuracy=1e-14, cutoff_A=2.0)
    with pytest.raises(ShapeError, match="positions_nc"):
        choose_splitting(cell, charges, positions_nc=np.zeros((3, 3)))
