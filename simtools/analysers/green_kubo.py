"""Conductivity from the charge current, beside the one from displacements."""

from dataclasses import dataclass, replace

import numpy as np

from simtools.analysers.cepstral import mean_periodogram, zero_frequency
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import A2_PER_PS_TO_CM2_PER_S, conductivity_S_per_cm

__all__ = ["GreenKuboResult", "analyse_green_kubo"]

_NORMAL_95 = 1.959963984540054
_ALIASED = 0.05
_INTERVAL_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False, kw_only=True)
class GreenKuboResult(Result):
    """Green-Kubo conductivity, the spectrum and the running integral that belong to it.

    `agrees` compares with the Einstein-Helfand conductivity: False where their logarithms differ by more
    than 1.96 of the larger standard error (both come from the same run, so their difference is no wider than
    that), None where there is none to compare with.
    """

    temperature_K: float = quantity("K")
    volume_A3: float = quantity("angstrom^3")
    n_series: int
    interval_ps: float = quantity("ps")
    ionic_conductivity_S_per_cm: Estimate = quantity("S/cm")
    einstein_helfand_S_per_cm: Estimate | None = quantity("S/cm", default=None)
    agrees: bool | None = None
    n_coefficients: float
    band_THz: float = quantity("THz")
    bands_THz: np.ndarray = quantity("THz", shape="(n_bands,)")
    conductivity_per_band_S_per_cm: np.ndarray = quantity("S/cm", shape="(n_bands,)")
    frequencies_THz: np.ndarray = quantity("THz", shape="(n_frequencies,)")
    spectrum_S_per_cm: np.ndarray = quantity("S/cm", shape="(n_frequencies,)")
    lag_times_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    running_integral_S_per_cm: np.ndarray = quantity("S/cm", shape="(n_lags,)")
    running_stderr_S_per_cm: np.ndarray = quantity("S/cm", shape="(n_lags,)")
    warnings: tuple = ()

    def coarse(self, n_points=500):
        """Return the same numbers with curves of at most about `n_points`, for archives and figures.

        The spectrum is averaged in logarithmic bins, the running integral keeps logarithmically spaced lags.
        """
        n, k = len(self.frequencies_THz), len(self.lag_times_ps)
        ends = np.unique(np.geomspace(1, n, n_points).astype(int)) if n > n_points else np.arange(1, n + 1)
        starts = np.concatenate([[0], ends[:-1]])
        width = np.diff(np.append(starts, n))
        kept = np.unique(np.concatenate([[0], np.geomspace(1, k - 1, min(k, n_points)).astype(int)]))
        return replace(
            self,
            frequencies_THz=np.add.reduceat(self.frequencies_THz, starts) / width,
            spectrum_S_per_cm=np.add.reduceat(self.spectrum_S_per_cm, starts) / width,
            lag_times_ps=self.lag_times_ps[kept],
            running_integral_S_per_cm=self.running_integral_S_per_cm[kept],
            running_stderr_S_per_cm=self.running_stderr_S_per_cm[kept],
        )


def analyse_green_kubo(trajectories, *, temperature_K=None, einstein_helfand=None, host_species=()):
    r"""Return the conductivity from the charge current's spectrum at zero frequency.

    .. math:: \sigma = \frac{1}{3 V k_B T} \int_0^\infty \langle J(0) \cdot J(t) \rangle dt
        = \frac{1}{2 V k_B T} S_{J}(\nu \to 0)

    Parameters
    ----------
    trajectories
        Replicas with `charge_current_e_A_per_ps` (integer formal charges) at one fine interval. Longer ones
        are cut to the shortest.
    temperature_K
        Temperature, K; the trajectories' own by default.
    einstein_helfand
        Conductivity from displacements (`Estimate`, S/cm) to compare with.
    host_species
        Symbols of the immobile sublattice. Only a charged cell needs them: its current depends on the frame,
        and the velocity of their centre of mass, from `species_momenta_amu_A_per_ps`, is taken out.

    Returns
    -------
    GreenKuboResult
        The interval is normal in ln sigma; see `zero_frequency` for the cut-off and its error. The running
        integral is shown with the scatter over series, and is not what the value is read from.

    Raises
    ------
    ConfigError
        For a charged cell without host, momenta or masses; where a trajectory has no charge current, the fine
        intervals differ, or the series is too short.

    Notes
    -----
    Every Cartesian component of every replica is one series: the three are taken to have one spectrum, as in
    a cubic or isotropic cell.

    Limits: an Ornstein-Uhlenbeck current of variance A and time tau has the integral A tau; an ion that only
    vibrates has none, and its sigma falls with the length of the run.
    """
    trajectories = tuple(trajectories)
    series, interval_ps = _series(trajectories, tuple(host_species))
    temperature_K = trajectories[0].temperature_K if temperature_K is None else temperature_K
    if temperature_K is None or not temperature_K > 0:
        raise ConfigError(f"temperature_K must be given and positive, got {temperature_K!r}")
    volume_A3 = float(np.mean([item.mean_volume_A3 for item in trajectories]))
    n_series = series.shape[1]
    frequencies, power = mean_periodogram(series, interval_ps)
    answer = zero_frequency(frequencies, power, n_series=n_series)
    # sigma = integral / (V kB T), the integral from zero being half of the two-sided spectrum
    factor = conductivity_S_per_cm(
        A2_PER_PS_TO_CM2_PER_S, number_density_per_A3=1 / volume_A3, charge_e=1, temperature_K=temperature_K
    )
    value = 0.5 * factor * np.exp(answer.ln_value)
    sigma = Estimate(
        value=float(value),
        stderr=float(value * answer.stderr),
        ci95=tuple(float(value * np.exp(sign * _NORMAL_95 * answer.stderr)) for sign in (-1, 1)),
        method="Green-Kubo, cepstral analysis with Akaike weights, normal interval of the logarithm",
        n_eff=float(2 / answer.stderr**2),
    )
    warnings = []
    top = power[-max(1, len(power) // 20) :].mean()
    if top > _ALIASED * power.max():
        warnings.append(
            f"the spectrum has not decayed at {frequencies[-1]:.3g} THz: sample the current more often, "
            "faster motion folds back"
        )
    agrees = _agreement(sigma, einstein_helfand)
    if agrees is False:
        warnings.append(
            f"Green-Kubo {sigma.value:.3g} and Einstein-Helfand {einstein_helfand.value:.3g} S/cm disagree: "
            "one of the windows is not diffusive, or the run is too short"
        )
    lags, running, running_stderr = _running_integral(series, interval_ps)
    return GreenKuboResult(
        temperature_K=float(temperature_K),
        volume_A3=volume_A3,
        n_series=n_series,
        interval_ps=interval_ps,
        ionic_conductivity_S_per_cm=sigma,
        einstein_helfand_S_per_cm=einstein_helfand,
        agrees=agrees,
        n_coefficients=answer.n_coefficients,
        band_THz=answer.band_THz,
        bands_THz=answer.bands_THz,
        conductivity_per_band_S_per_cm=0.5 * factor * np.exp(answer.ln_values),
        frequencies_THz=frequencies,
        spectrum_S_per_cm=0.5 * factor * power,
        lag_times_ps=lags,
        running_integral_S_per_cm=factor * running,
        running_stderr_S_per_cm=factor * running_stderr,
        warnings=tuple(f"{temperature_K:g} K: {note}" for note in warnings),
        provenance=collect_provenance(temperature_K=temperature_K),
    )


def _series(trajectories, host_species):
    if not trajectories:
        raise ConfigError("analyse_green_kubo needs at least one trajectory, got none")
    for number, item in enumerate(trajectories):
        if item.charge_current_e_A_per_ps is None or item.fine_interval_ps is None:
            raise ConfigError(
                f"replica {number} has no charge current: run with charge_current_every_fs, or use the "
                "Einstein-Helfand conductivity"
            )
        if not np.isfinite(item.charge_current_e_A_per_ps).all():
            raise ConfigError(f"replica {number} has a charge current that is not finite")
    interval_ps = trajectories[0].fine_interval_ps
    for number, item in enumerate(trajectories):
        if abs(item.fine_interval_ps / interval_ps - 1) > _INTERVAL_TOLERANCE:
            raise ConfigError(
                f"replica {number} has a current every {item.fine_interval_ps} ps, replica 0 every "
                f"{interval_ps} ps: replicas must be sampled alike"
            )
    shortest = min(len(item.charge_current_e_A_per_ps) for item in trajectories)
    currents = [_current(item, number, host_species)[:shortest] for number, item in enumerate(trajectories)]
    return np.concatenate(currents, axis=1), float(interval_ps)


def _current(trajectory, number, host_species):
    """Return the charge current seen from the host, shape (n_fine, 3), e Å/ps."""
    charge = sum(trajectory.formal_charges_e.get(name, 0) for name in trajectory.species.tolist())
    if charge == 0:
        return trajectory.charge_current_e_A_per_ps
    if not host_species:
        raise ConfigError(
            f"the cell carries a charge of {charge:+g} e, so the frame matters: name host_species"
        )
    momenta = trajectory.species_momenta_amu_A_per_ps
    missing = [name for name in host_species if name not in momenta]
    if missing or trajectory.masses_amu is None:
        what = f"momenta of {', '.join(missing)}" if missing else "masses_amu"
        raise ConfigError(
            f"replica {number} has no {what} to see the current of a charged cell from its host"
        )
    mass = sum(trajectory.masses_amu[trajectory.indices_of(name)].sum() for name in host_species)
    velocity = sum(momenta[name] for name in host_species) / mass
    return trajectory.charge_current_e_A_per_ps - charge * velocity


def _agreement(sigma, other):
    if other is None or other.is_limit or not other.value > 0:
        return None
    error = max(sigma.stderr / sigma.value, other.stderr / other.value)
    return bool(abs(np.log(sigma.value / other.value)) <= _NORMAL_95 * error)


def _running_integral(series, interval_ps):
    """Return lags, the integral of the correlation function up to each, and its error over series."""
    n, n_series = series.shape
    n_lags = max(2, n // 10)
    spectrum = np.fft.rfft(series, n=2 * n, axis=0)
    correlation = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, axis=0)[:n_lags]
    correlation /= (n - np.arange(n_lags))[:, None]
    steps = 0.5 * (correlation[1:] + correlation[:-1]) * interval_ps
    running = np.concatenate([np.zeros((1, n_series)), np.cumsum(steps, axis=0)])
    stderr = running.std(axis=1, ddof=1) / np.sqrt(n_series)
    return interval_ps * np.arange(n_lags), running.mean(axis=1), stderr
