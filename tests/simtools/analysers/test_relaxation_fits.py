"""Fits of relaxation held against functions and rotors whose time is known, librations included."""

import numpy as np
import pytest
from scipy.signal import lfilter

from simtools.analysers.orientations import Orientations
from simtools.analysers.relaxation_fits import RELAXED, fit_relaxation
from simtools.analysers.reorientation import reorientation
from simtools.testing.rotors import rotor_orientations

INTERVAL_PS = 0.01
TIMES_PS = INTERVAL_PS * np.arange(1331)


def librating(slow, tau_ps, plateau=0.0, fast_ps=0.03):
    fast = (1 - slow - plateau) * np.exp(-TIMES_PS / fast_ps)
    return plateau + slow * np.exp(-TIMES_PS / tau_ps) + fast


@pytest.mark.parametrize(
    ("slow", "tau_ps"), [(0.85, 8.0), (0.85, 5.0), (0.85, 12.0), (0.7, 3.0), (0.3, 1.0), (1.0, 4.0)]
)
def test_a_fast_drop_is_no_relaxation(slow, tau_ps):
    fit = fit_relaxation(INTERVAL_PS, librating(slow, tau_ps))
    assert fit.tau_ps == pytest.approx(tau_ps, rel=0.1)
    assert 0 <= fit.plateau < 0.03
    assert not fit.stretched
    if TIMES_PS[-1] < 2 * tau_ps:
        assert fit.left > RELAXED


def test_a_plateau_and_a_stretched_slow_part_are_found():
    fit = fit_relaxation(INTERVAL_PS, librating(0.5, 2.0, plateau=0.3))
    assert fit.tau_ps == pytest.approx(2.0, rel=0.05)
    assert fit.plateau == pytest.approx(0.3, abs=0.005)
    assert fit.left < RELAXED
    c = 0.8 * np.exp(-((TIMES_PS / 1.0) ** 0.6)) + 0.2 * np.exp(-TIMES_PS / 0.01)
    fit = fit_relaxation(INTERVAL_PS, c)
    assert fit.stretched
    assert fit.parameters[3] == pytest.approx(0.6, abs=0.06)
    assert fit.tau_ps == pytest.approx(1.5046, rel=0.1)


def test_slow_relaxation_that_a_plateau_mimics_is_not_called_relaxed():
    """Two thirds of a broad decay by the end: an exponential and a plateau fit it nearly as well."""
    rng = np.random.default_rng(0)
    c = np.exp(-((TIMES_PS / 12.0) ** 0.5))
    walks = np.cumsum(rng.normal(size=(40, len(c))), axis=1) / np.sqrt(len(c))
    units = c + 0.15 * walks
    fit = fit_relaxation(INTERVAL_PS, units.mean(axis=0), units_uk=units)
    assert fit.left > RELAXED


def librating_jumpers(n_frames, n_rotors, *, seed, jump_rate_per_ps, width=0.35, memory_ps=0.03):
    """Return jumpers to anywhere that wobble by `width` about their direction, with a memory."""
    u = rotor_orientations(
        n_frames, n_rotors, seed=seed, jump_rate_per_ps=jump_rate_per_ps, frame_interval_ps=INTERVAL_PS
    )
    keep = np.exp(-INTERVAL_PS / memory_ps)
    noise = np.random.default_rng(seed + 1).normal(size=(n_frames + 100, n_rotors, 3))
    wobble = lfilter([np.sqrt(1 - keep**2)], [1.0, -keep], noise, axis=0)[100:]
    u = u + width * wobble
    return u / np.linalg.norm(u, axis=-1, keepdims=True)


def as_rotors(u_tnc):
    return Orientations(
        name="OH",
        vectors=u_tnc[:, :, None],
        quaternions=None,
        reference_A=None,
        misfit_A=None,
        centres_A=np.zeros_like(u_tnc),
        cells_A=10 * np.eye(3),
        frame_interval_ps=INTERVAL_PS,
    )


def test_librating_jumpers_keep_the_time_of_their_jumps():
    u = librating_jumpers(6000, 40, seed=3, jump_rate_per_ps=0.5)
    result = reorientation(as_rotors(u), max_lag_ps=13.3)
    assert result.c2[10] < 0.75, "librations drop C_2 by more than a quarter"
    assert result.relaxed == (True, True)
    for tau in (result.tau1, result.tau2):
        assert tau.ci95[0] < 2.0 < tau.ci95[1]
        assert tau.value == pytest.approx(2.0, rel=0.12)
    assert result.motion == "large jumps"
    assert 0 <= result.plateau2.value < 0.05


def test_slow_jumpers_have_no_interval():
    u = librating_jumpers(4000, 30, seed=5, jump_rate_per_ps=1 / 40.0)
    result = reorientation(as_rotors(u))
    assert result.relaxed == (False, False)
    assert result.motion == "not relaxed"
    assert np.isnan(result.tau1.stderr)
    assert np.isnan(result.ratio.ci95).all()
    assert "does not reach" in result.tau1.method
