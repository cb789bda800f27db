"""Straight lines through correlated displacements, in closed form. Which lags to use: see window.py."""

from functools import lru_cache

import numpy as np

from simtools.core.errors import ConfigError

__all__ = ["brownian_covariance", "fit_variance_exponent", "gls_line", "gls_weights", "least_squares"]


def gls_weights(lag_times, variance_exponent):
    r"""Return the matrix that turns mean squared displacements into intercept and slope.

    Generalised least squares for :math:`\mathrm{MSD}(t) = c + m t` with the covariance

    .. math:: \Sigma_{ij} = s_i^2 N_i / N_j \quad (t_i \le t_j), \qquad s_i^2 N_i^2 \propto t_i^q,
        \quad N_i \propto 1/t_i

    of averages over :math:`N_i` independent stretches. This matrix is that of a Wiener process in
    :math:`w = t^q`, so its inverse is tridiagonal and the fit is a plain one in the increments of
    :math:`N_i\,\mathrm{MSD}(t_i)`. The smooth power law replaces the measured variances, whose noise would
    make the matrix indefinite.

    Parameters
    ----------
    lag_times
        Increasing positive lag times, shape (n_lags,), at least two.
    variance_exponent
        q > 0; 1 for Brownian motion.

    Returns
    -------
    ndarray
        Shape (2, n_lags): rows give the intercept and the slope.

    References
    ----------
    .. [1] A. R. McCluskey, S. W. Coles and B. J. Morgan, J. Chem. Theory Comput. (2024),
       doi:10.1021/acs.jctc.4c01249.
    """
    t = np.asarray(lag_times, dtype=float)
    if t.ndim != 1 or len(t) < 2 or t[0] <= 0 or not (np.diff(t) > 0).all():
        raise ConfigError(f"lag_times must be at least two increasing positive times, got {lag_times!r}")
    root = np.sqrt(np.diff(t**variance_exponent, prepend=0.0))
    scaled = np.column_stack([1.0 / t, np.ones_like(t)])
    design = np.diff(scaled, axis=0, prepend=np.zeros((1, 2))) / root[:, None]
    pseudo_inverse = np.linalg.pinv(design)
    over_root = pseudo_inverse / root
    whitened = over_root.copy()
    whitened[:, :-1] -= over_root[:, 1:]
    return whitened / t


def gls_line(lag_times, msd, *, variance, n_independent, variance_exponent=None):
    """Fit a straight line to a mean squared displacement by closed-form generalised least squares.

    Parameters
    ----------
    lag_times
        Lag times, shape (n_lags,), ps.
    msd
        Mean squared displacement at those lags, shape (n_lags,), Å².
    variance
        Variance over ions and windows of the squared displacement itself at those lags, Å⁴.
    n_independent
        Independent stretches behind each average: ions (as many as move independently) times trajectory
        length over lag, shape (n_lags,).
    variance_exponent
        q of `gls_weights`; fitted to `variance` by default.

    Returns
    -------
    parameters : ndarray
        Intercept (Å²) and slope (Å²/ps).
    covariance : ndarray
        Their covariance, shape (2, 2). Exact for independent ions whose variance is a power law of time.

    Notes
    -----
    Limits: for exactly straight data the line is returned whatever the weights.
    """
    t = np.asarray(lag_times, dtype=float)
    n = np.asarray(n_independent, dtype=float)
    w = np.asarray(variance, dtype=float) * n
    q = fit_variance_exponent(t, variance) if variance_exponent is None else variance_exponent
    scale = np.exp(np.mean(np.log(w) - q * np.log(t))) / np.mean(n * t) ** 2
    design = np.diff(np.column_stack([1.0 / t, np.ones_like(t)]), axis=0, prepend=np.zeros((1, 2)))
    information = design.T @ (design / np.diff(t**q, prepend=0.0)[:, None])
    return gls_weights(t, q) @ np.asarray(msd, dtype=float), scale * np.linalg.inv(information)


def fit_variance_exponent(lag_times, variance):
    r"""Return q of :math:`s_i^2 N_i^2 \propto t^q` from the variance of single squared displacements.

    The variance grows as :math:`t^{q+1}`: q = 1 for Brownian motion, near 0 where few ions hop once. The
    result is kept between 0.25 and 2, where the covariance is safely positive definite.
    """
    t, v = np.log(np.asarray(lag_times, dtype=float)), np.asarray(variance, dtype=float)
    known = v > 0
    if known.sum() < 2:
        return 1.0
    return float(np.clip(np.polyfit(t[known], np.log(v[known]), 1)[0] - 1.0, 0.25, 2.0))


def least_squares(lags, covariance):
    """Return the slope weights of generalised least squares with intercept for a given covariance."""
    design = np.column_stack([np.ones(len(lags)), np.asarray(lags, dtype=float)])
    solved = np.linalg.solve(covariance, design)
    return np.linalg.solve(design.T @ solved, solved.T)[1]


@lru_cache(maxsize=64)
def brownian_covariance(lags, n_frames, smoothing=(1.0,)):
    r"""Return the covariance of the window-averaged MSD of one Brownian walker seen through white noise.

    Parameters
    ----------
    lags
        Tuple of lags in frames.
    n_frames
        Frames of the (smoothed) trajectory; every window start is used.
    smoothing
        Weights, adding up to 1, of the running mean that positions went through (walker and noise alike).

    Returns
    -------
    ndarray
        Shape (3, n_lags, n_lags): :math:`\Sigma_0, \Sigma_1, \Sigma_2` for a walker in three dimensions
        whose MSD is 1 per frame; with noise of variance :math:`\epsilon / 3` per axis in every frame the
        covariance is :math:`\Sigma_0 + \epsilon \Sigma_1 + \epsilon^2 \Sigma_2`, exact.

    References
    ----------
    .. [1] H. Qian, M. P. Sheetz and E. L. Elson, Biophys. J. 60, 910 (1991);
       X. Michalet, Phys. Rev. E 82, 041914 (2010): the same sums, here for any pair of lags.
    """
    spread = np.convolve(smoothing, smoothing[::-1])
    reach = len(smoothing) - 1
    covariance = np.empty((3, len(lags), len(lags)))
    for i, a in enumerate(lags):
        for j in range(i, len(lags)):
            b = lags[j]
            m = np.arange(-a, b + 1)
            overlap = np.maximum(np.minimum(m + a, b) - np.maximum(m, 0), 0).astype(float)
            noise = np.zeros(len(m))
            np.add.at(noise, np.array([a, b]), 1.0)
            np.add.at(noise, np.array([0, a + b]), -1.0)
            overlap, noise = np.convolve(overlap, spread), np.convolve(noise, spread)
            m = np.arange(-a - reach, b + reach + 1)
            pairs = np.maximum(np.minimum(n_frames - b, n_frames - a - m) - np.maximum(0, -m), 0)
            sums = pairs @ np.column_stack([overlap**2, 2 * overlap * noise, noise**2])
            sums *= 2 / 3 / ((n_frames - a) * (n_frames - b))
            covariance[:, i, j] = covariance[:, j, i] = sums
    return covariance
