"""The search for shells at rest, on energies whose minimum is known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from potentials.errors import PolarizationCatastropheError, ShellsNotRelaxedError
from potentials.shell_relaxation import Curvature, ShellHistory, refuse_unstable, relax_from, relax_shells

N_SHELLS = 20


class Quadratic:
    """Shells on springs that also feel each other; counts the questions and remembers the last."""

    def __init__(self, lowest=0.7, highest=1.5, seed=1, stiffness=60.0):
        rng = np.random.default_rng(seed)
        n = 3 * N_SHELLS
        modes = np.linalg.qr(rng.normal(size=(n, n)))[0]
        self.stiffness_m = np.full(N_SHELLS, stiffness)
        self.hessian = stiffness * (modes * np.linspace(lowest, highest, n)) @ modes.T
        self.rest_mc = rng.normal(0.0, 0.02, (N_SHELLS, 3))
        self.n_calls, self.last = 0, None

    def __call__(self, displacement_mc):
        self.n_calls, self.last = self.n_calls + 1, displacement_mc
        return (self.hessian @ (displacement_mc - self.rest_mc).ravel()).reshape(-1, 3)


def test_shells_reach_their_rest_about_as_fast_as_conjugate_gradients():
    energy = Quadratic()
    found = relax_shells(energy, np.zeros((N_SHELLS, 3)), energy.stiffness_m, 1e-8)
    assert_allclose(found, energy.rest_mc, atol=1e-9)
    assert energy.last is found
    # Condition 2.1: the residual falls by (1.46 + 1)/(1.46 - 1) = 5.3 an iteration, from 2 to 1e-8 in 12.
    assert energy.n_calls <= 15


def test_shells_that_repel_their_rest_are_a_catastrophe():
    energy = Quadratic(lowest=-0.2)
    with pytest.raises(PolarizationCatastropheError):
        relax_shells(energy, np.zeros((N_SHELLS, 3)), energy.stiffness_m, 1e-8)
    with pytest.raises(PolarizationCatastropheError):
        refuse_unstable(energy, energy.rest_mc, energy.stiffness_m)
    stable = Quadratic(lowest=0.1)
    refuse_unstable(stable, stable.rest_mc, stable.stiffness_m)


def test_shell_may_rest_where_a_force_jumps():
    # V = |x - x0| jump + k x²/2 has its minimum at x0 as long as k x0 is smaller than the jump.
    stiffness, jump, x0 = np.array([60.0]), 4e-5, 3e-7
    asked = []

    def slope(displacement_mc):
        asked.append(displacement_mc)
        side = 1.0 if displacement_mc[0, 0] > x0 else -1.0
        return stiffness * displacement_mc + [[side * jump, 0.0, 0.0]]

    found = relax_shells(slope, np.full((1, 3), 0.01), stiffness, 1e-6, jump)
    assert abs(found[0, 0] - x0) < jump / 60.0
    assert asked[-1] is found
    with pytest.raises((ShellsNotRelaxedError, PolarizationCatastropheError)):
        relax_shells(slope, np.full((1, 3), 0.01), stiffness, 1e-6)


def test_what_was_learnt_of_the_curvature_saves_iterations_nearby():
    energy, curvature = Quadratic(), Curvature()
    rng = np.random.default_rng(3)
    pattern = rng.normal(size=(4, N_SHELLS, 3))
    counts = []
    for _ in range(12):
        start = energy.rest_mc + 1e-5 * np.tensordot(rng.normal(size=4), pattern, 1)
        before = energy.n_calls
        relax_shells(energy, start, energy.stiffness_m, 1e-5, 0.0, curvature)
        counts.append(energy.n_calls - before)
    assert counts[0] > 3
    assert max(counts[-4:]) < counts[0]


def test_a_bad_guess_is_given_up_for_the_cores():
    energy = Quadratic()

    def slope(displacement_mc):
        if np.abs(displacement_mc).max() > 0.2:
            return -60.0 * displacement_mc
        return energy(displacement_mc)

    guess = np.full((N_SHELLS, 3), 0.5)
    found = relax_from(guess, slope, energy.stiffness_m, 1e-8, 0.0, Curvature())
    assert_allclose(found, energy.rest_mc, atol=1e-9)


def remembered(times, cell, response, jump=False):
    """Return a history of shells that follow smoothly moving ions, and the motion."""
    rng = np.random.default_rng(5)
    waves = rng.normal(0.0, 0.1, (3, 7, 3))

    def positions(t):
        return waves[0] + waves[1] * np.sin(0.06 * t) + waves[2] * np.cos(0.04 * t)

    history = ShellHistory()
    for t in times:
        shift = rng.integers(-1, 2, (7, 3)) @ cell if jump else 0.0
        history.add(positions(t) + shift, cell, response(positions(t)))
    return history, positions


@pytest.mark.parametrize("jump", [False, True])
def test_guess_follows_the_ions_and_knows_no_jumps_by_lattice_vectors(jump):
    cell = np.array([[6.0, 0, 0], [1, 7, 0], [0, -1, 8]])
    rng = np.random.default_rng(6)
    matrix, curl = rng.normal(0.0, 0.2, (21, 15)), rng.normal(0.0, 0.1, (21, 15))

    def response(positions_nc):
        flat = positions_nc.ravel()
        return (flat @ matrix + flat**2 @ curl).reshape(5, 3)

    history, positions = remembered(range(6), cell, response, jump)
    assert ShellHistory().guess(positions(0), cell, 1e-7) is None
    assert_allclose(history.guess(positions(5), cell, 1e-7), response(positions(5)), rtol=1e-12)
    error = np.abs(history.guess(positions(6), cell, 1e-7) - response(positions(6))).max()
    step = np.abs(response(positions(6)) - response(positions(5))).max()
    assert error < 1e-2 * step


def test_noise_of_the_shells_is_not_blown_up():
    cell, rng, noise_A = np.eye(3) * 9.0, np.random.default_rng(7), 1e-4
    matrix = rng.normal(0.0, 0.2, (21, 15))
    errors = []
    for _ in range(30):

        def noisy(positions_nc):
            return (positions_nc.ravel() @ matrix).reshape(5, 3) + rng.normal(0.0, noise_A, (5, 3))

        history, positions = remembered(range(6), cell, noisy)
        exact = (positions(6).ravel() @ matrix).reshape(5, 3)
        errors.append(history.guess(positions(6), cell, noise_A) - exact)
    # Five-point extrapolation in time would multiply it by 16 (the root of the sum of squared weights).
    assert np.sqrt(np.mean(np.square(errors))) < 5 * noise_A


def test_equal_positions_are_remembered_once():
    history = ShellHistory()
    here, cell = np.zeros((2, 3)), np.eye(3) * 5.0
    for size in (1.0, 2.0):
        history.add(here, cell, np.full((1, 3), size))
    assert len(history.positions_knc) == 1
    assert_array_equal(history.guess(here, cell, 1e-7), np.full((1, 3), 2.0))
    for number in range(10):
        history.add(here + 0.01 * (number % 2 + 1), cell, np.full((1, 3), 0.1 * number))
    assert len(history.positions_knc) == 6
    assert np.isfinite(history.guess(here + 0.015, cell, 0.0)).all()
