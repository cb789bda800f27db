import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.interpolate import BSpline

from potentials.ewald_sum import EwaldSum
from potentials.mesh import ORDERS, ParticleMesh, alias_sums, compact_basis, spline_polynomials
from potentials.splitting import choose_splitting
from simtools.core.errors import ConfigError, ShapeError
from tests.reference import mesh as reference

TRICLINIC = np.array([[6.1, 0.0, 0.0], [2.6, 5.7, 0.0], [-1.9, 2.4, 6.4]])


def ions(n, *, cell=TRICLINIC, net=0.0, seed=3):
    """Return positions, some outside the cell, and charges that sum to `net`."""
    rng = np.random.default_rng(seed)
    charges = rng.normal(0.0, 1.5, n)
    charges += (net - charges.sum()) / n
    return rng.uniform(-1.0, 2.0, (n, 3)) @ cell, charges


def rms(forces):
    return np.sqrt(np.mean(np.sum(forces**2, axis=1)))


@pytest.mark.kernel
@pytest.mark.parametrize("order", ORDERS)
def test_spline_pieces_are_the_cardinal_b_spline(order):
    values, slopes = spline_polynomials(order)
    spline = BSpline.basis_element(np.arange(order + 1.0), extrapolate=False)
    fractions = np.linspace(0.01, 0.99, 7)
    powers = fractions[:, None] ** np.arange(8)
    points = fractions[:, None] + order - 1 - np.arange(order)
    assert_allclose((powers @ values)[:, :order], spline(points), rtol=1e-12, atol=1e-15)
    assert_allclose((powers @ slopes)[:, :order], spline.derivative()(points), rtol=0, atol=1e-12)
    assert not values[:, order:].any()
    assert_allclose((powers @ values).sum(axis=1), 1.0, rtol=1e-13)
    assert_allclose((powers @ slopes).sum(axis=1), 0.0, atol=1e-13)


@pytest.mark.kernel
def test_alias_sums_of_the_squared_transform_are_those_of_the_sampled_spline():
    # Poisson: the sum over aliases of U_p^2 = U_2p is the transform of the samples of the spline of order 2p
    n_points, order = 12, 4
    spline = BSpline.basis_element(np.arange(2 * order + 1.0), extrapolate=False)
    samples = np.nan_to_num(spline(np.arange(2 * order + 0.0)))
    waves = np.exp(2j * np.pi * np.outer(np.arange(n_points), np.arange(2 * order)) / n_points)
    assert_allclose(alias_sums(n_points, order)[1], np.abs(waves @ samples), rtol=1e-5)


@pytest.mark.kernel
@pytest.mark.parametrize(("order", "mesh_shape"), [(4, (6, 4, 5)), (5, (5, 6, 8)), (7, (8, 7, 7))])
def test_the_mesh_matches_its_slow_twin(order, mesh_shape):
    positions, charges = ions(3, net=0.8)
    alpha = 0.4
    mesh = ParticleMesh(TRICLINIC, charges, alpha, mesh_shape=mesh_shape, order=order)
    energy, energies, _, _ = mesh.compute(positions, TRICLINIC)
    constant = EwaldSum(TRICLINIC, charges, alpha, k_cut=1e-9).compute(positions, TRICLINIC)[0]
    expected = reference.reciprocal_energy(positions, TRICLINIC, charges, alpha, mesh_shape, order)
    assert_allclose(energy - constant, expected, rtol=1e-11)
    assert_allclose(energies.sum(), energy, rtol=1e-14)


@pytest.mark.parametrize("order", ORDERS)
def test_the_error_falls_with_the_order_of_the_spline(order):
    positions, charges = ions(40)
    alpha, errors = 0.5, []
    exact = EwaldSum(TRICLINIC, charges, alpha).compute(positions, TRICLINIC)
    for n_points in (16, 32):
        mesh = ParticleMesh(TRICLINIC, charges, alpha, mesh_shape=(n_points,) * 3, order=order)
        errors.append(rms(mesh.compute(positions, TRICLINIC)[2] - exact[2]))
    assert order - 1.0 < np.log2(errors[0] / errors[1]) < order + 1.0


@pytest.mark.parametrize("net", [0.0, 2.0])
def test_a_fine_mesh_gives_the_exact_sum(net):
    positions, charges = ions(20, net=net)
    alpha = 0.4
    exact = EwaldSum(TRICLINIC, charges, alpha).compute(positions, TRICLINIC)
    mesh = ParticleMesh(TRICLINIC, charges, alpha, mesh_shape=(54, 48, 60), order=8)
    result = mesh.compute(positions, TRICLINIC)
    assert_allclose(result[0], exact[0], rtol=1e-10)
    for left, right in zip(result[1:], exact[1:], strict=True):
        assert_allclose(left, right, rtol=0, atol=2e-9 * np.abs(right).max())


@pytest.mark.kernel
@pytest.mark.parametrize("mesh_shape", [(6, 6, 6), (7, 5, 9)])
def test_forces_and_virial_are_derivatives_of_the_mesh_energy(mesh_shape):
    positions, charges = ions(3, net=0.5)
    mesh = ParticleMesh(TRICLINIC, charges, 0.5, mesh_shape=mesh_shape, order=5)
    _, _, forces, virial = mesh.compute(positions, TRICLINIC)
    forces = forces + mesh.last_net_force / len(charges)
    h = 1e-4
    for n, c in [(0, 0), (1, 1), (2, 2)]:
        step = np.zeros_like(positions)
        step[n, c] = h
        up, down = (mesh.compute(positions + sign * step, TRICLINIC, stress=False)[0] for sign in (1, -1))
        assert forces[n, c] == pytest.approx(-(up - down) / (2 * h), rel=1e-6)
    for a, b in [(0, 0), (1, 2), (2, 0)]:
        strain = np.zeros((3, 3))
        strain[a, b] += h / 2
        strain[b, a] += h / 2
        up, down = (
            mesh.compute(positions @ (np.eye(3) + sign * strain), TRICLINIC @ (np.eye(3) + sign * strain))[0]
            for sign in (1, -1)
        )
        assert virial[a, b] == pytest.approx((up - down) / (2 * h), rel=1e-6)


@pytest.mark.kernel
def test_the_net_force_is_removed_and_reported():
    positions, charges = ions(5)
    mesh = ParticleMesh(TRICLINIC, charges, 0.5, mesh_shape=(6, 6, 6), order=4)
    forces = mesh.compute(positions, TRICLINIC)[2]
    assert_allclose(forces.sum(axis=0), 0.0, atol=1e-13)
    assert np.abs(mesh.last_net_force).max() > 1e-4


@pytest.mark.parametrize("skew", [(1, 0, 0), (2, -3, 1), (20, -37, 13)])
def test_the_same_lattice_has_the_same_forces_however_its_vectors_lean(skew):
    # with a mesh along the leaning vectors the forces of the last one were wrong by 30 %
    positions, charges = ions(20)
    leaning = np.array([[1, 0, 0], [skew[0], 1, 0], [skew[1], skew[2], 1]]) @ TRICLINIC
    found = []
    for cell in (TRICLINIC, leaning):
        chosen = choose_splitting(cell, charges, accuracy=1e-4)
        mesh = ParticleMesh(cell, charges, chosen.alpha, mesh_shape=chosen.mesh_shape, order=chosen.order)
        exact = EwaldSum(cell, charges, chosen.alpha).compute(positions, cell)
        energy, _, forces, virial = mesh.compute(positions, cell)
        assert rms(forces - exact[2]) < 1e-4 * chosen.rms_force_eV_per_A
        assert_allclose(virial, exact[3], atol=1e-3)
        found.append((sorted(chosen.mesh_shape), chosen.order, energy))
    assert found[0][:2] == found[1][:2]
    assert found[0][2] == pytest.approx(found[1][2], abs=1e-3)


def test_usual_cells_keep_their_vectors_for_the_mesh():
    fcc = 3.0 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    hexagonal = np.array([[3.0, 0, 0], [-1.5, 1.5 * np.sqrt(3), 0], [0, 0, 20.0]])
    for cell in (np.diag([4.0, 5.0, 60.0]), TRICLINIC, fcc, hexagonal):
        assert_allclose(compact_basis(cell), np.eye(3))
    basis = compact_basis([[4.0, 0, 0], [9.0, 4.0, 0], [0, 0, 4.0]])
    assert abs(np.linalg.det(basis)) == pytest.approx(1.0)
    assert_allclose(compact_basis(basis @ np.array([[4.0, 0, 0], [9.0, 4.0, 0], [0, 0, 4.0]])), np.eye(3))


def test_a_call_remembers_nothing_of_the_calls_before():
    positions, charges = ions(30)
    mesh = ParticleMesh(TRICLINIC, charges, 0.5, mesh_shape=(12, 15, 16), order=6)
    first = mesh.compute(positions, TRICLINIC)
    mesh.compute(positions[::-1] * 1.1, TRICLINIC * 1.02)
    again = mesh.compute(positions, TRICLINIC)
    fresh = ParticleMesh(TRICLINIC * 0.9, charges, 0.5, mesh_shape=(12, 15, 16), order=6).compute(
        positions, TRICLINIC
    )
    for a, b, c in zip(first, again, fresh, strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(a, c)


def test_the_virial_is_left_out_on_request_and_changes_nothing_else():
    positions, charges = ions(10)
    mesh = ParticleMesh(TRICLINIC, charges, 0.5, mesh_shape=(12, 12, 12), order=6)
    with_virial, without = (mesh.compute(positions, TRICLINIC, stress=stress) for stress in (True, False))
    assert without[3] is None
    for left, right in zip(with_virial[:3], without[:3], strict=True):
        assert np.array_equal(left, right)


def test_whole_lattice_vectors_change_nothing():
    positions, charges = ions(12)
    mesh = ParticleMesh(TRICLINIC, charges, 0.5, mesh_shape=(12, 15, 10), order=7)
    moved = positions + np.random.default_rng(0).integers(-3, 4, positions.shape) @ TRICLINIC
    for left, right in zip(mesh.compute(positions, TRICLINIC), mesh.compute(moved, TRICLINIC), strict=True):
        assert_allclose(left, right, rtol=0, atol=1e-11)


@pytest.mark.kernel
def test_a_position_a_hair_below_the_boundary_is_safe():
    charges = np.array([1.0, -1.0])
    mesh = ParticleMesh(4 * np.eye(3), charges, 0.5, mesh_shape=(4, 4, 4), order=4)
    inside, below = (
        mesh.compute(np.array([[x, x, x], [1.0, 1.2, 2.1]]), 4 * np.eye(3))[2] for x in (0.0, -1e-17)
    )
    assert_allclose(below, inside, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_position_that_is_no_number_gives_no_number(bad):
    positions, charges = ions(4)
    positions[2, 1] = bad
    mesh = ParticleMesh(TRICLINIC, charges, 0.5, mesh_shape=(6, 6, 6), order=5)
    energy, _, forces, _ = mesh.compute(positions, TRICLINIC)
    assert np.isnan(energy)
    assert np.isnan(forces).any()


def test_bad_input_is_named():
    cell = 8 * np.eye(3)
    with pytest.raises(ConfigError, match="order must be one of"):
        ParticleMesh(cell, [1.0], 0.3, mesh_shape=(8, 8, 8), order=9)
    with pytest.raises(ConfigError, match="mesh_shape needs three"):
        ParticleMesh(cell, [1.0], 0.3, mesh_shape=(8, 8, 5), order=6)
    with pytest.raises(ConfigError, match="alpha must be positive"):
        ParticleMesh(cell, [1.0], -0.3, mesh_shape=(8, 8, 8), order=6)
    with pytest.raises(ShapeError, match="positions_nc"):
        ParticleMesh(cell, [1.0], 0.3, mesh_shape=(8, 8, 8), order=6).compute(np.zeros((2, 3)), cell)
