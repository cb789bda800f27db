"""Orientations and reorientation functions held against rotors whose motion is known on paper."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from simtools.analysers.molecules import find_molecules
from simtools.analysers.orientations import Orientations, orientations_of, rotation_matrices, rotation_vectors
from simtools.analysers.reorientation import legendre_correlations, reorientation
from simtools.core.errors import ConfigError
from simtools.testing import rotor_orientations
from simtools.testing.rigid_rotors import (
    LIGAND_DIRECTIONS,
    cone_orientations,
    rigid_rotors,
    rotor_quaternions,
)


def linear(u_tnc, *, interval_ps=1.0, name="OH"):
    """Return orientations of linear rotors that sit at the origin."""
    return Orientations(
        name=name,
        vectors=u_tnc[:, :, None, :],
        quaternions=None,
        reference_A=None,
        misfit_A=None,
        centres_A=np.zeros_like(u_tnc),
        cells_A=10 * np.eye(3),
        frame_interval_ps=interval_ps,
    )


def rigid(quaternions, n_ligands, **options):
    trajectory = rigid_rotors(quaternions, n_ligands=n_ligands, **options)
    return orientations_of(find_molecules(trajectory, centre="B", ligands="H"))


@pytest.mark.parametrize("n_ligands", [2, 3, 4, 6])
def test_rigid_molecules_are_recovered_with_no_misfit(n_ligands):
    true = rotor_quaternions(50, 3, seed=n_ligands, rotational_diffusivity_per_ps=0.05)
    found = rigid(true, n_ligands, wrapped=True)
    assert found.misfit_A.max() < 1e-7
    relative = (
        Rotation.from_quat(true.reshape(-1, 4))
        * Rotation.from_quat(np.broadcast_to(true[0], true.shape).reshape(-1, 4)).inv()
    )
    assert_allclose(rotation_matrices(found.quaternions).reshape(-1, 3, 3), relative.as_matrix(), atol=1e-7)
    assert (np.sum(found.quaternions[1:] * found.quaternions[:-1], axis=-1) > 0).all()


def test_misfit_is_the_distortion_and_masses_weigh():
    quaternions = rotor_quaternions(400, 2, seed=5, jump_rate_per_ps=1.0)
    trajectory = rigid_rotors(quaternions, n_ligands=4)
    noise = 0.05 * np.random.default_rng(0).normal(size=trajectory.positions_A.shape)
    shaken = type(trajectory)(
        positions_A=trajectory.positions_A + noise,
        species=trajectory.species,
        cells_A=trajectory.cells_A,
        frame_interval_ps=1.0,
    )
    misfit = orientations_of(find_molecules(shaken, centre="B", ligands="H")).misfit_A
    masses = np.array([10.81, 1.008, 1.008, 1.008, 1.008])
    # 15 coordinates less 3 of the centre and 3 of the turn: weights say what each leaves
    lost = 3 * np.sum(masses**2) / masses.sum() ** 2
    total = 3 * np.sum(masses) / masses.sum()
    assert 0.6 * 0.05 < np.sqrt(np.mean(misfit**2)) < 0.05 * np.sqrt(total - lost)


@pytest.mark.parametrize("kind", ["vectors", "quaternions"])
def test_rotation_vectors_turn_one_orientation_into_the_other(kind):
    rng = np.random.default_rng(1)
    if kind == "vectors":
        before, after = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(size=(2, 50, 3)))
        after[0] = -before[0]
        turned = Rotation.from_rotvec(rotation_vectors(before, after)).apply(before)
    else:
        a, b = Rotation.random(50, rng=rng), Rotation.random(50, rng=rng)
        before, after = (np.roll(item.as_quat(), 1, axis=1) for item in (a, b))
        turned = Rotation.from_rotvec(rotation_vectors(before, after)) * a
        turned, after = turned.as_matrix(), b.as_matrix()
    assert_allclose(turned, after, atol=1e-10)


def test_correlations_by_transform_equal_the_double_loop():
    u = rotor_orientations(40, 1, seed=2, rotational_diffusivity_per_ps=0.1)[:, 0]
    cosines = u @ u.T
    fast = legendre_correlations(u[:, None], 20)
    for lag in range(20):
        pairs = np.diagonal(cosines, lag)
        assert fast[0, lag] == pytest.approx(pairs.mean(), abs=1e-12)
        assert fast[1, lag] == pytest.approx((1.5 * pairs**2 - 0.5).mean(), abs=1e-12)


def test_small_steps_decay_three_times_faster_for_l_2():
    diffusivity = 0.02
    u = rotor_orientations(4000, 40, seed=4, rotational_diffusivity_per_ps=diffusivity)
    result = reorientation(linear(u), max_lag_ps=200)
    for c, stderr, power in ((result.c1, result.c1_stderr, 2), (result.c2, result.c2_stderr, 6)):
        pull = (c - np.exp(-power * diffusivity * result.lag_times_ps))[1:] / stderr[1:]
        assert np.sqrt(np.mean(pull**2)) < 2.0
    assert result.tau1.ci95[0] < 1 / (2 * diffusivity) < result.tau1.ci95[1]
    assert result.tau2.ci95[0] < 1 / (6 * diffusivity) < result.tau2.ci95[1]
    assert result.ratio.ci95[0] < 3.0 < result.ratio.ci95[1]
    assert result.motion == "small steps"
    assert result.relaxed == (True, True)


def test_jumps_to_anywhere_decay_alike():
    u = rotor_orientations(4000, 40, seed=6, jump_rate_per_ps=0.05)
    result = reorientation(linear(u), max_lag_ps=200)
    assert result.ratio.value == pytest.approx(1.0, abs=0.1)
    assert result.ratio.ci95[0] < 1.0 < result.ratio.ci95[1]
    assert result.motion == "large jumps"
    assert result.tau1.ci95[0] < 20.0 < result.tau1.ci95[1]
    assert result.integral2.value == pytest.approx(20.0, rel=0.1)


@pytest.mark.parametrize("half_angle_deg", [20.0, 50.0])
def test_wobble_in_a_cone_leaves_its_order_parameter(half_angle_deg):
    u = cone_orientations(6000, 24, seed=1, half_angle_deg=half_angle_deg)
    result = reorientation(linear(u), max_lag_ps=600)
    cosine = np.cos(np.radians(half_angle_deg))
    squared = (0.5 * cosine * (1 + cosine)) ** 2
    assert result.plateau2.value == pytest.approx(squared, rel=0.03)
    assert abs(result.plateau2.value - squared) < 4 * result.plateau2.stderr + 0.002
    assert result.static_order == pytest.approx((1 + cosine) / 2, abs=0.03)


@pytest.mark.parametrize("n_ligands", [1, 2, 3, 4, 6])
def test_every_number_of_ligands_gives_the_same_law(n_ligands):
    quaternions = rotor_quaternions(1500, 20, seed=n_ligands, rotational_diffusivity_per_ps=0.02)
    result = reorientation(rigid(quaternions, n_ligands), max_lag_ps=150)
    for c, stderr, power in ((result.c1, result.c1_stderr, 2), (result.c2, result.c2_stderr, 6)):
        pull = (c - np.exp(-power * 0.02 * result.lag_times_ps))[1:] / stderr[1:]
        assert np.sqrt(np.mean(pull**2)) < 2.0
    assert result.n_units == 20


@pytest.mark.parametrize("n_ligands", [1, 2, 3, 4, 6])
def test_every_number_of_ligands_jumps_alike(n_ligands):
    quaternions = rotor_quaternions(1500, 20, seed=20 + n_ligands, jump_rate_per_ps=0.05)
    result = reorientation(rigid(quaternions, n_ligands), max_lag_ps=100)
    for c, stderr in ((result.c1, result.c1_stderr), (result.c2, result.c2_stderr)):
        pull = (c - np.exp(-0.05 * result.lag_times_ps))[1:] / stderr[1:]
        # neighbouring lags share their errors
        assert np.sqrt(np.mean(pull**2)) < 3.0
    assert result.ratio.value == pytest.approx(1.0, abs=4 * result.ratio.stderr)
    assert result.ratio.stderr < 0.2


@pytest.mark.parametrize("n_ligands", [1, 2, 3, 4, 6])
def test_every_number_of_ligands_wobbles_in_a_cone(n_ligands):
    """A body whose first bond fills a cone, and which spins about it: S^2 times the mean P_2(cos beta)^2."""
    half_angle_deg = 35.0
    u = cone_orientations(4000, 12, seed=n_ligands, half_angle_deg=half_angle_deg, step_deg=20.0)
    flat = u.reshape(-1, 3)
    rng = np.random.default_rng(n_ligands)
    directions = LIGAND_DIRECTIONS[n_ligands]
    up, _ = Rotation.align_vectors([[0, 0, 1]], [directions[0]])
    tilt_axis = np.cross([0.0, 0.0, 1.0], flat)
    sine = np.linalg.norm(tilt_axis, axis=1, keepdims=True)
    tilt = Rotation.from_rotvec(tilt_axis * (np.arctan2(sine, flat[:, 2:]) / np.maximum(sine, 1e-12)))
    spin = Rotation.from_rotvec(rng.uniform(0, 2 * np.pi, len(flat))[:, None] * np.array([0.0, 0, 1]))
    quaternions = (tilt * spin * up).as_quat().reshape(*u.shape[:2], 4)
    bodies = rigid(quaternions, n_ligands)
    cosine = np.cos(np.radians(half_angle_deg))
    squared = (0.5 * cosine * (1 + cosine)) ** 2
    result = reorientation(bodies, max_lag_ps=400)
    along = directions @ directions[0]
    share = np.mean((1.5 * along**2 - 0.5) ** 2)
    tail = result.c2[result.lag_times_ps > 150].mean()
    assert tail == pytest.approx(squared * share, abs=0.02 * share + 0.004)
    first = replace(bodies, vectors=bodies.vectors[:, :, :1])
    assert reorientation(first, max_lag_ps=400).plateau2.value == pytest.approx(squared, rel=0.04)


def test_a_frozen_rotor_keeps_its_direction_and_few_rotors_still_have_errors():
    still = np.broadcast_to([0.0, 0.0, 1.0], (60, 3, 3)).copy()
    assert_allclose(reorientation(linear(still)).c2, 1.0, rtol=1e-12)
    u = rotor_orientations(6000, 2, seed=8, rotational_diffusivity_per_ps=0.05)
    few = reorientation(linear(u), max_lag_ps=60)
    assert few.n_units == 12
    assert few.tau1.ci95[0] < 10.0 < few.tau1.ci95[1]


def test_a_run_too_short_to_relax_says_so():
    u = rotor_orientations(300, 20, seed=9, rotational_diffusivity_per_ps=0.0005)
    assert reorientation(linear(u)).motion == "not relaxed"


def test_replicas_add_up_and_must_match():
    runs = [linear(rotor_orientations(300, 8, seed=s, jump_rate_per_ps=0.1)) for s in (0, 1)]
    assert reorientation(runs).n_units == 16
    with pytest.raises(ConfigError, match="one kind"):
        reorientation([runs[0], linear(runs[1].vectors[:, :, 0], name="CN")])
    with pytest.raises(ConfigError, match="expected one"):
        reorientation([runs[0], linear(runs[1].vectors[:, :, 0], interval_ps=2.0)])
    with pytest.raises(ConfigError, match="longest lag"):
        reorientation(runs, max_lag_ps=1000)
