"""Zero-frequency value of a power spectrum from one or many noisy series, with its error."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from simtools.core.errors import ConfigError

__all__ = ["ZeroFrequency", "mean_periodogram", "zero_frequency"]

_FEWEST_POINTS = 48
_BANDS_PER_OCTAVE = 1
_APART = 1.5
_UNDERSMOOTHING = 2


@dataclass(frozen=True, eq=False)
class ZeroFrequency:
    """Logarithm of a spectrum at zero frequency.

    Attributes
    ----------
    ln_value : float
        ln S(0).
    stderr : float
        Standard error of it.
    n_coefficients : float
        Cepstral coefficients kept, mean over the Akaike weights.
    band_THz : float
        Highest frequency used.
    bands_THz, ln_values, stderrs : ndarray
        The same for every band that was looked at, shape (n_bands,).
    """

    ln_value: float
    stderr: float
    n_coefficients: float
    band_THz: float
    bands_THz: np.ndarray
    ln_values: np.ndarray
    stderrs: np.ndarray


def mean_periodogram(series, interval_ps):
    r"""Return frequencies and the two-sided power spectrum averaged over series.

    Parameters
    ----------
    series
        Shape (n_samples, n_series); the series are independent.
    interval_ps
        Time between samples, ps.

    Returns
    -------
    frequencies_THz : ndarray
        Shape (n_frequencies,), from 0.
    power : ndarray
        :math:`S(\nu) = \int C(t) e^{2\pi i \nu t} dt` of one series, in the unit of its square times ps.
    """
    n = len(series)
    amplitude = np.fft.rfft(series, axis=0)
    power = (amplitude.real**2 + amplitude.imag**2).mean(axis=1) * (interval_ps / n)
    return np.fft.rfftfreq(n, interval_ps), power


def zero_frequency(frequencies_THz, power, *, n_series):
    r"""Return ln S(0) by cepstral analysis of the averaged periodogram.

    Parameters
    ----------
    frequencies_THz, power
        From `mean_periodogram`; evenly spaced from 0, at least 24 points.
    n_series
        Independent series behind the average, l.

    Returns
    -------
    ZeroFrequency

    Raises
    ------
    ConfigError
        For fewer points, or power that is not positive.

    Notes
    -----
    The logarithm of a periodogram averaged over l series scatters independently at each frequency with the
    variance :math:`\psi'(l)` about :math:`\ln S + \psi(l) - \ln l`. Its cosine coefficients beyond the first
    P are noise when ln S is smooth, and with N points of the full period

    .. math:: \ln S(0) = C_0 + 2 \sum_{n=1}^{P-1} C_n, \qquad \mathrm{var} = \psi'(l) (4P - 2) / N

    P is averaged over with Akaike weights, and the spread of the answers adds to the variance. The band of
    frequencies is halved from the full one down; the widest is taken whose answer lies within two of *their*
    standard errors of those of all narrower ones (Lepski), so vibrations far above the band of hops do not
    cost coefficients and a dip at low frequency is not smoothed over.

    References
    ----------
    .. [1] L. Ercole, A. Marcolongo and S. Baroni, Sci. Rep. 7, 15835 (2017): cepstral analysis.
    .. [2] O. V. Lepski, Theory Probab. Appl. 35, 454 (1991): the choice of the band.
    """
    if len(power) < _FEWEST_POINTS:
        raise ConfigError(
            f"cepstral analysis needs at least {_FEWEST_POINTS} frequencies, got {len(power)}: run longer"
        )
    if not (np.isfinite(power).all() and (power > 0).all()):
        raise ConfigError("the power spectrum must be positive and finite: is the series constant?")
    half = np.full(len(power), float(n_series))
    half[0] /= 2  # one real number, not a complex one
    logarithm = np.log(power) - special.digamma(half) + np.log(half)
    sizes = []
    size = len(power)
    while size >= _FEWEST_POINTS:
        sizes.append(size)
        size = int(size / 2 ** (1 / _BANDS_PER_OCTAVE))
    answers = np.array([_averaged(logarithm[:size], n_series) for size in sizes])
    value, error, kept = answers.T
    chosen = next(
        j for j in range(len(sizes)) if (np.abs(value[j] - value[j + 1 :]) <= _APART * error[j + 1 :]).all()
    )
    bands = frequencies_THz[np.array(sizes) - 1]
    return ZeroFrequency(
        ln_value=float(value[chosen]),
        stderr=float(error[chosen]),
        n_coefficients=float(kept[chosen]),
        band_THz=float(bands[chosen]),
        bands_THz=bands,
        ln_values=value,
        stderrs=error,
    )


def _averaged(logarithm, n_series):
    """Return (ln S(0), its standard error, coefficients) averaged over cut-offs with Akaike weights."""
    full = np.concatenate([logarithm, logarithm[-2:0:-1]])
    n = len(full)
    coefficients = np.fft.rfft(full).real / n
    scatter = special.polygamma(1, n_series)
    keep = np.arange(1, len(coefficients) // 2)
    used = np.minimum(_UNDERSMOOTHING * keep, len(coefficients) - 1)
    answers = coefficients[0] + 2 * np.append(0.0, np.cumsum(coefficients[1:]))[used - 1]
    left = np.cumsum(coefficients[::-1] ** 2)[::-1]
    akaike = n / scatter * left[keep] + 2 * keep
    weights = np.exp(-0.5 * (akaike - akaike.min()))
    weights /= weights.sum()
    mean = weights @ answers
    variance = weights @ (scatter * (4 * used - 2) / n + (answers - mean) ** 2)
    return mean, np.sqrt(variance), weights @ used
