"""The collective slope of vacancies that circle their partners before they get away."""

import numpy as np
import pytest

from simtools.analysers.diffusion import fit_slopes
from simtools.analysers.displacements import blocked_displacements

HOP_A = 2.8
INTERVAL_PS = 0.05
RETURN_PS = 4.0


def loose_then_free(seed, n_frames=4000, n_ions=40):
    """Return ions that walk slowly while a common-mode excursion of one hop comes and goes in `RETURN_PS`."""
    rng = np.random.default_rng(seed)
    kicks = rng.normal(size=(n_frames, n_ions, 3))
    keep = np.exp(-INTERVAL_PS / RETURN_PS)
    circling = np.empty_like(kicks)
    circling[0] = kicks[0]
    for frame in range(1, n_frames):
        circling[frame] = keep * circling[frame - 1] + np.sqrt(1 - keep**2) * kicks[frame]
    free = (rng.random((n_frames, n_ions)) < 0.004) * 1.0
    axes = rng.integers(0, 3, size=(n_frames, n_ions))
    steps = np.zeros_like(kicks)
    frames, ions = np.nonzero(free)
    steps[frames, ions, axes[frames, ions]] = HOP_A * rng.choice([-1.0, 1.0], size=len(frames))
    return 0.9 * circling + np.cumsum(steps, axis=0)


def test_the_collective_window_waits_until_the_tracer_has_stopped_circling():
    true_slope = 0.004 * HOP_A**2 / INTERVAL_PS
    blocks = blocked_displacements(
        [loose_then_free(seed) for seed in range(4)], frame_interval_ps=INTERVAL_PS, hop_length_A=HOP_A
    )
    slopes = fit_slopes(blocks, hop_length_A=HOP_A)
    assert slopes.windows_ps[1, 0] > RETURN_PS
    assert slopes.values[1] == pytest.approx(true_slope, rel=0.45)
