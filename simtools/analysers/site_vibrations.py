"""How ions vibrate about their sites, and what their jumps pay. Spectra: velocity_correlation.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import stats

from simtools.analysers.jump_rates import JumpRates
from simtools.analysers.sites import ions_on_sites
from simtools.analysers.uncertainty import log_interval
from simtools.analysers.velocity_correlation import UnresolvedVibrationsError
from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.md.trajectory import Trajectory

__all__ = ["SiteVibrations", "hop_free_energies", "site_vibrations"]

_MOST_CROSSINGS_PER_FRAME = 0.25
_SHORTEST_STAY_FRAMES = 20
_FEWEST_STAYS = 4


@dataclass(frozen=True, eq=False, kw_only=True)
class SiteVibrations(Result):
    """Vibration of ions about the centres of their own stays on sites.

    Attributes
    ----------
    attempt_frequency_THz : Estimate
        Half the number of times per ps that an ion passes the centre of its stay along an axis, mean over the
        axes: the rate at which it comes to the barrier on either side of a harmonic well.
    frequencies_THz
        The same along the principal axes of the displacement about each site, softest first.
    amplitude_A : Estimate
        Root of the mean squared displacement along one axis, mean over the axes.
    n_stays, n_ions : int
        Stretches of time without a change of site, and the ions that had them.
    """

    species: str
    n_ions: int
    n_stays: int
    temperature_K: float | None = quantity("K")
    attempt_frequency_THz: Estimate = quantity("THz")
    frequencies_THz: np.ndarray = quantity("THz", shape="(3,)")
    amplitude_A: Estimate = quantity("angstrom")


def site_vibrations(trajectories: Trajectory | Sequence[Trajectory], *, species: str) -> SiteVibrations:
    r"""Return how often and how far ions vibrate about their sites.

    Parameters
    ----------
    trajectories
        One run or replicas, with `lattice_sites`, frames at least four times per crossing.
    species
        The ion.

    Returns
    -------
    SiteVibrations
        Intervals from the scatter over ions: each counts as one sample.

    Raises
    ------
    UnresolvedVibrationsError
        If ions cross the centre in over a quarter of the intervals between frames along some axis.
    ConfigError
        Without sites, or with fewer than four ions that stay for 20 frames.
    UnknownSpeciesError
        If there is no such ion, or it has no sites.

    Notes
    -----
    Limits: an ion in a harmonic well crosses its centre :math:`2\nu` times per unit of time along every axis,
    whatever its amplitude; with Gaussian motion of spectrum g(ν) the rate is that of the root mean square
    frequency of displacements (S. O. Rice, Bell Syst. Tech. J. 24, 46 (1945)). The mean of the *velocity*
    spectrum (`analyse_vibrations`) weighs fast modes more, and lies higher.
    """
    parts = (trajectories,) if isinstance(trajectories, Trajectory) else tuple(trajectories)
    if not parts:
        raise ConfigError("site_vibrations needs at least one trajectory, got none")
    rows, n_stays = [], 0
    for part in parts:
        for stays in _stays_of_ions(part, species):
            n_stays += len(stays)
            rows.append(_ion(stays, part.frame_interval_ps))
    if len(rows) < _FEWEST_STAYS:
        raise ConfigError(
            f"{len(rows)} {species} ions stay on a site for {_SHORTEST_STAY_FRAMES} frames, expected at "
            f"least {_FEWEST_STAYS}: store frames more often"
        )
    crossings, squares, axes = (np.array(column) for column in zip(*rows, strict=True))
    interval_ps = max(part.frame_interval_ps for part in parts)
    often = float(2 * axes.mean(axis=0).max() * interval_ps)
    if often > _MOST_CROSSINGS_PER_FRAME:
        raise UnresolvedVibrationsError(
            interval_ps,
            interval_ps * _MOST_CROSSINGS_PER_FRAME / (2 * often),
            f"ions cross the centre of their site in {100 * often:.0f} % of the intervals",
        )
    return SiteVibrations(
        species=species,
        n_ions=len(rows),
        n_stays=n_stays,
        temperature_K=parts[0].temperature_K,
        attempt_frequency_THz=_over_ions(crossings, "crossings of the centre of a stay, half of them"),
        frequencies_THz=axes.mean(axis=0),
        amplitude_A=_root(_over_ions(squares, "displacement about the centre of a stay")),
        provenance=collect_provenance(species=species),
    )


def _stays_of_ions(trajectory, species):
    """Yield for each ion the displacements in its stays, each (n_frames, 3) about its mean, Å."""
    sited = ions_on_sites(trajectory, species=species)
    columns = np.flatnonzero(trajectory.species[sited.atom_indices] == species)
    if len(columns) == 0:
        raise UnknownSpeciesError(species, sorted(set(trajectory.species.tolist())))
    mean_cell = sited.cells_A.mean(axis=0)
    for n in columns:
        changes = np.flatnonzero(np.diff(sited.sites[:, n])) + 1
        edges = np.concatenate([[0], changes, [len(sited.sites)]])
        stays = []
        for first, last in pairwise(edges):
            if last - first >= _SHORTEST_STAY_FRAMES:
                part = sited.scaled_positions[first:last, n] @ mean_cell
                stays.append(part - part.mean(axis=0))
        if stays:
            yield stays


def _ion(stays, interval_ps):
    """Return the frequency over all axes, the mean square per axis, and frequencies by principal axis."""
    together = np.concatenate(stays)
    _, axes = np.linalg.eigh(together.T @ together)
    frequency = _frequencies(stays, interval_ps).mean()
    turned = _frequencies([stay @ axes[:, ::-1] for stay in stays], interval_ps)
    return frequency, float(np.square(together).mean()), turned


def _frequencies(stays, interval_ps):
    """Return half the rate of crossings per axis, THz, extrapolated from every frame and every second one.

    A damped ion may cross and come back between frames: what is missed is proportional to the interval.
    """
    rates = []
    for stride in (1, 2):
        crossed = sum((np.signbit(stay[stride:]) != np.signbit(stay[:-stride])).sum(axis=0) for stay in stays)
        time_ps = sum(len(stay) - stride for stay in stays) * stride * interval_ps
        rates.append(crossed / (2 * time_ps))
    return 2 * rates[0] - rates[1]


def _over_ions(values, method):
    value, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    half = stats.t.ppf(0.975, len(values) - 1) * error
    return Estimate(
        value=value,
        stderr=error,
        ci95=(value - half, value + half),
        method=f"{method}; scatter over ions",
        n_eff=float(len(values)),
    )


def _root(estimate):
    value = float(np.sqrt(estimate.value))
    return Estimate(
        value=value,
        stderr=estimate.stderr / (2 * value),
        ci95=tuple(float(np.sqrt(max(bound, 0.0))) for bound in estimate.ci95),
        method=f"root mean square {estimate.method}",
        n_eff=estimate.n_eff,
    )


def hop_free_energies(
    rates: JumpRates, vibrations: SiteVibrations, *, temperature_K: float | None = None, ways: int = 1
) -> tuple[Estimate, ...]:
    r"""Return the free energy that the jumps of each length pay, eV.

    .. math:: \Delta F = k_B T \ln\frac{w\,\nu}{\Gamma}

    with the attempt frequency ν, w equivalent ways out of a site and the rate Γ of jumps of that length.

    Parameters
    ----------
    rates
        From `jump_rates`: one value for each of its `lengths_A`, per ion.
    vibrations
        From `site_vibrations`, of the same species.
    temperature_K
        Of the run; by default the one that `vibrations` carries.
    ways
        Neighbouring sites that a jump could go to, free or not.

    Returns
    -------
    tuple of Estimate
        Per ion, so the rarity of vacant neighbours is part of it: a vacancy fraction x adds
        :math:`-k_BT\ln x`. One number at one temperature; it is not the slope of an Arrhenius line, which
        `simtools.analysers.rate_temperatures` fits.

    Raises
    ------
    ConfigError
        For different species, no temperature, or a number of ways below one.
    """
    if rates.species != vibrations.species:
        raise ConfigError(f"rates are of {rates.species}, vibrations of {vibrations.species}")
    temperature_K = vibrations.temperature_K if temperature_K is None else temperature_K
    if not (temperature_K is not None and temperature_K > 0):
        raise ConfigError(f"a free energy needs temperature_K > 0, got {temperature_K!r}")
    if ways < 1:
        raise ConfigError(f"ways must be 1 or more, got {ways!r}")
    kT_eV, attempts = BOLTZMANN_EV_PER_K * temperature_K, vibrations.attempt_frequency_THz
    energies = []
    for rate in rates.length_rates:
        value = float(kT_eV * np.log(ways * attempts.value / rate.value))
        relative = (rate.stderr / rate.value) ** 2 + (attempts.stderr / attempts.value) ** 2
        wide = log_interval(1.0, (attempts.stderr / attempts.value) ** 2, attempts.n_eff - 1)
        low, high = (
            np.hypot(np.log(bound / rate.value), np.log(edge))
            for bound, edge in zip(rate.ci95, wide, strict=True)
        )
        energies.append(
            Estimate(
                value=value,
                stderr=float(kT_eV * np.sqrt(relative)),
                ci95=(float(value - kT_eV * high), float(value + kT_eV * low)),
                method="attempt frequency over jump rate; Poisson and Student intervals in quadrature",
                n_eff=rate.n_eff,
            )
        )
    return tuple(energies)
