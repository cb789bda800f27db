"""Rotor functions of order 3 and 4 held against bodies whose motion is known on paper."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation
from scipy.special import eval_legendre

from simtools.analysers.molecules import find_molecules
from simtools.analysers.orientations import orientations_of
from simtools.analysers.reorientation import reorientation
from simtools.analysers.rotation import analyse_rotation
from simtools.analysers.rotor_functions import cubic_harmonics, rotor_correlation, rotor_functions
from simtools.core.errors import ConfigError, ShapeError
from simtools.testing.rigid_rotors import LIGAND_DIRECTIONS, rigid_rotors, rotor_quaternions


def body(quaternions, n_ligands):
    return orientations_of(
        find_molecules(rigid_rotors(quaternions, n_ligands=n_ligands), centre="B", ligands="H")
    )


@pytest.mark.parametrize("order", [3, 4])
def test_cubic_harmonics_obey_the_addition_theorem_and_are_orthogonal(order):
    rng = np.random.default_rng(order)
    u, v = rng.normal(size=(2, 50, 3))
    u, v = (item / np.linalg.norm(item, axis=1, keepdims=True) for item in (u, v))
    products = np.sum(cubic_harmonics(u, order) * cubic_harmonics(v, order), axis=1)
    assert_allclose(products, eval_legendre(order, np.sum(u * v, axis=1)), atol=1e-12)
    # exact for polynomials up to degree 15: Gauss points in z, even ones around it
    z, weight = np.polynomial.legendre.leggauss(10)
    angle = 2 * np.pi * np.arange(20) / 20
    flat = np.sqrt(1 - z**2)[:, None]
    sphere = np.stack([flat * np.cos(angle), flat * np.sin(angle), z[:, None] + 0 * angle], axis=-1)
    values = cubic_harmonics(sphere, order)
    gram = np.einsum("z,zak,zal->kl", weight / 40, values, values)
    assert_allclose(gram, np.eye(2 * order + 1) / (2 * order + 1), atol=1e-12)


@pytest.mark.parametrize(("order", "n_ligands"), [(3, 4), (4, 4), (4, 6), (3, 1), (4, 1)])
def test_isotropic_diffusion_decays_with_l_times_l_plus_one(order, n_ligands):
    diffusivity = 0.01
    quaternions = rotor_quaternions(
        1500, 24, seed=10 * order + n_ligands, rotational_diffusivity_per_ps=diffusivity
    )
    found = rotor_functions(body(quaternions, n_ligands), order=order, max_lag_ps=60)
    truth = np.exp(-order * (order + 1) * diffusivity * found.lag_times_ps)
    pull = (found.c - truth)[1:] / found.c_stderr[1:]
    assert np.sqrt(np.mean(pull**2)) < 2.0
    assert abs(found.tau.value - 1 / (order * (order + 1) * diffusivity)) < 4 * found.tau.stderr
    assert found.relaxed
    assert abs(found.means).max() < 0.15
    assert_allclose(found.mean_squares, 1 / (2 * order + 1), atol=0.05)
    assert found.mean_squares.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("order", "n_ligands"), [(3, 4), (4, 6)])
def test_jumps_to_anywhere_decay_with_their_rate(order, n_ligands):
    quaternions = rotor_quaternions(2000, 24, seed=order, jump_rate_per_ps=0.05)
    found = rotor_functions(body(quaternions, n_ligands), order=order, max_lag_ps=120)
    assert abs(found.tau.value - 20.0) < 4 * found.tau.stderr
    assert found.tau.stderr < 2.0


def jumping(n_ligands, rotations, n_frames=2000, n_rotors=8, seed=0):
    """Return quaternions of bodies that jump by one of the rotations of their own ligands."""
    rng = np.random.default_rng(seed)
    now = Rotation.random(n_rotors, rng=rng)
    found = np.empty((n_frames, n_rotors, 4))
    for t in range(n_frames):
        turn = Rotation.from_rotvec(
            np.where(
                rng.random((n_rotors, 1)) < 0.1, rotations[rng.integers(len(rotations), size=n_rotors)], 0
            )
        )
        now = now * turn
        found[t] = now.as_quat()
    return found


@pytest.mark.parametrize(("order", "n_ligands", "angle_deg"), [(3, 4, 120.0), (4, 4, 120.0), (4, 6, 90.0)])
def test_jumps_that_permute_ligands_are_no_reorientation_of_the_body(order, n_ligands, angle_deg):
    axes = LIGAND_DIRECTIONS[n_ligands]
    bodies = body(jumping(n_ligands, np.radians(angle_deg) * axes), n_ligands)
    found = rotor_functions(bodies, order=order, max_lag_ps=200)
    assert_allclose(found.c, 1.0, atol=1e-6)
    bonds = reorientation(bodies, max_lag_ps=200)
    # bonds forget: P_1 and P_2 between the places of a tetrahedron or an octahedron add up to zero
    assert abs(bonds.c1[-1]) < 0.1
    assert bonds.c2[-1] == pytest.approx(0.0, abs=0.1)


def test_functions_do_not_know_the_permutations_of_a_tetrahedron():
    """The 12 rotations of the group T, and one that is not of it."""
    four = LIGAND_DIRECTIONS[4]
    group = [Rotation.identity(), *(Rotation.from_rotvec(np.pi * axis) for axis in np.eye(3))]
    group += [Rotation.from_rotvec(sign * 2 * np.pi / 3 * axis) for axis in four for sign in (1, -1)]
    turn = Rotation.from_rotvec([0.3, -0.8, 0.5])
    for order in (3, 4):
        plain = cubic_harmonics(turn.apply(four), order).sum(axis=0)
        for element in group:
            assert_allclose(
                cubic_harmonics(turn.apply(element.apply(four)), order).sum(axis=0), plain, atol=1e-12
            )
        quarter = Rotation.from_rotvec([0, 0, np.pi / 2]).apply(four)
        other = cubic_harmonics(turn.apply(quarter), order).sum(axis=0)
        # a quarter turn swaps the two tetrahedra of a cube: odd for l = 3, the same for l = 4
        assert_allclose(other, -plain if order == 3 else plain, atol=1e-12)


def test_a_body_that_spins_about_a_bond_keeps_what_is_along_it():
    rng = np.random.default_rng(2)
    turns = rng.uniform(0, 2 * np.pi, size=(4000, 6))[..., None] * LIGAND_DIRECTIONS[4][0]
    quaternions = Rotation.from_rotvec(turns.reshape(-1, 3)).as_quat().reshape(4000, 6, 4)
    bodies = body(quaternions, 4)
    for order in (3, 4):
        third = eval_legendre(order, -1 / 3)
        plateau = (1 + 3 * third) ** 2 / (4 + 12 * third)
        found = rotor_functions(bodies, order=order, max_lag_ps=50)
        assert found.c[1:].mean() == pytest.approx(plateau, abs=0.02)


def test_ordered_bodies_on_cubic_sites_have_one_function():
    still = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (40, 3, 4))
    one = rotor_functions(body(still, 4), order=3)
    assert one.means == pytest.approx([1, 0, 0, 0, 0, 0, 0], abs=1e-9)
    assert_allclose(one.c, 1.0, atol=1e-12)
    other = Rotation.from_rotvec([0, 0, np.pi / 2]).as_quat()
    assert rotor_functions(body(np.broadcast_to(other, (40, 3, 4)), 4), order=3).means[0] == pytest.approx(-1)
    assert rotor_functions(body(still, 6), order=4).means[0] == pytest.approx(1)
    axes = Rotation.from_rotvec([0.2, 0.1, 0.7])
    turned = np.broadcast_to(axes.as_quat(), (40, 3, 4))
    found = rotor_functions(body(turned, 4), order=3, axes=axes.as_matrix().T)
    assert found.means == pytest.approx([1, 0, 0, 0, 0, 0, 0], abs=1e-9)


def test_transform_equals_the_double_loop_and_replicas_add_up():
    quaternions = rotor_quaternions(60, 2, seed=5, rotational_diffusivity_per_ps=0.05)
    bodies = body(quaternions, 4)
    u = bodies.vectors[:, 0]
    for order in (3, 4):
        fast = rotor_correlation(u, 10, order=order)
        for lag in (0, 1, 7):
            cosine = np.einsum("tic,tjc->tij", u[: 60 - lag], u[lag:])
            assert fast[lag] == pytest.approx(eval_legendre(order, cosine).sum(axis=(1, 2)).mean(), abs=1e-9)
    both = rotor_functions([bodies, bodies], order=3, max_lag_ps=10)
    assert (both.n_rotors, both.n_replicas) == (4, 2)


def test_what_vanishes_is_refused_and_analyses_hold_what_does_not():
    quaternions = rotor_quaternions(60, 2, seed=1, rotational_diffusivity_per_ps=0.05)
    with pytest.raises(ConfigError, match="order 3 vanish for"):
        rotor_functions(body(quaternions, 6), order=3)
    with pytest.raises(ConfigError, match="of order 3 or 4, got 2"):
        rotor_functions(body(quaternions, 4), order=2)
    with pytest.raises(ShapeError, match="orthonormal"):
        rotor_functions(body(quaternions, 4), order=3, axes=2 * np.eye(3))
    for n_ligands, orders in ((2, []), (4, [3, 4]), (6, [4])):
        found = analyse_rotation([rigid_rotors(quaternions, n_ligands=n_ligands)], anion=f"BH{n_ligands}")
        assert [item["order"] for item in found.to_summary()["rotor_functions"]] == orders
        assert {f"rotor_functions_{order}" for order in orders} <= set(found.results)
