"""What the digits that a trajectory file keeps do to a diffusivity. The digits: simtools/md/readers.py."""

import numpy as np

from simtools.core.units import A2_PER_PS_TO_CM2_PER_S

__all__ = ["rounding_effect_cm2_per_s"]


def rounding_effect_cm2_per_s(rounding_A, *, msd_A2, window_ps, n_windows):
    r"""Return by how much rounded positions move a diffusivity at most, cm²/s.

    .. math:: \frac{2 r^2 + 9 r \sqrt{8 M / 3 n}}{6 (t_2 - t_1)}

    Errors within :math:`\pm r` of each coordinate, independent from frame to frame, add :math:`2 r^2` to
    every mean squared displacement, and scatter it, through their product with the displacements, with a
    standard deviation of :math:`r \sqrt{8 M / 3 n}`. Here all of the first and nine deviations of the
    second fall between the two ends of the window: three, and three times that because a slope by generalised
    least squares leans on a part of it and its trend is taken off. Of 180 diffusivities of rounded
    walkers none moved by over half of this.

    Parameters
    ----------
    rounding_A
        Largest error r of a coordinate, Å.
    msd_A2
        Mean squared displacement M (or that of the sum, per ion) at the end of the window, Å².
    window_ps
        Lags from which the slope is taken, shape (2,), ps.
    n_windows
        Number n of displacements averaged over: frames, times ions for the tracer diffusivity.

    Returns
    -------
    float

    Notes
    -----
    Limits: no rounding, no effect; grows as r for moving ions and as r² for ions at rest.
    """
    start_ps, end_ps = window_ps
    scatter_A2 = rounding_A * np.sqrt(8.0 * msd_A2 / (3.0 * n_windows))
    shift_A2 = 2.0 * rounding_A**2 + 9.0 * scatter_A2
    return float(shift_A2 / (6.0 * (end_ps - start_ps)) * A2_PER_PS_TO_CM2_PER_S)
