"""How many replicas of which length a wanted error needs, from a pilot run or from a guess."""

from dataclasses import dataclass
from math import ceil, isfinite

import numpy as np

from simtools.analysers.displacements import lag_grid
from simtools.analysers.lines import brownian_covariance, least_squares
from simtools.core.errors import ConfigError

__all__ = ["QUANTITIES", "RunPlan", "plan_from_guess", "plan_from_pilot"]

QUANTITIES = {
    "haven_ratio": "H_R",
    "tracer_diffusivity": "D*",
    "charge_diffusivity": "D_sigma",
    "ionic_conductivity": "sigma",
}
_FEWEST_REPLICAS = 4
_WINDOWS_PER_RUN = 12.0
_MOVED_HOPS_SQUARED = 0.4
_SMOOTHING_PS = 0.8
_SPAN = 2.5
_NEARLY = 0.9


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Replicas and their length for a wanted relative standard error.

    Attributes
    ----------
    quantity : str
        A key of `QUANTITIES`.
    relative_stderr : float
        Wanted standard error over value.
    temperature_K : float or None
        Temperature, K.
    n_replicas : int
        Replicas to run, at least four, so that their scatter is seen.
    duration_ps : float
        Production time of each, ps.
    shortest_ps : float
        A replica must not be shorter than this, whatever the error: twelve fit windows, ps.
    total_ps : float
        Production time of all, ps.
    expected_relative_stderr : float
        What that is expected to give.
    basis : str
        What the plan rests on.
    """

    quantity: str
    relative_stderr: float
    temperature_K: float | None
    n_replicas: int
    duration_ps: float
    shortest_ps: float
    total_ps: float
    expected_relative_stderr: float
    basis: str

    def __str__(self):
        at = "" if self.temperature_K is None else f" at {self.temperature_K:g} K"
        return (
            f"for {100 * self.relative_stderr:g} % on {QUANTITIES[self.quantity]}{at} run about "
            f"{self.n_replicas} replicas of {self.duration_ps:.3g} ps ({self.basis}){self._surplus()}"
        )

    def _surplus(self):
        if self.expected_relative_stderr > _NEARLY * self.relative_stderr:
            return ""
        return (
            f"; that gives {100 * self.expected_relative_stderr:.2g} %, as shorter replicas would hold fewer "
            f"than {_WINDOWS_PER_RUN:g} fit windows"
        )


def plan_from_pilot(result, *, pilot_ps, quantity="haven_ratio", relative_stderr=0.10, n_replicas=None):
    r"""Return the `RunPlan` that a pilot's own error implies: errors fall with the root of the total time.

    Parameters
    ----------
    result
        `TransportResult` of the pilot.
    pilot_ps
        Production time of all the pilot's replicas together, ps.
    quantity
        One of `QUANTITIES`.
    relative_stderr
        Wanted standard error over value.
    n_replicas
        Replicas to run; by default as many as make each as long as a pilot's replica, at least four.

    Returns
    -------
    RunPlan

    Raises
    ------
    ConfigError
        For an unknown quantity, numbers that are not positive, or a pilot in which the quantity is only a
        limit: plan that from a guess.

    Notes
    -----
    The error of a pilot of R replicas is known to about :math:`1/\sqrt{2R}` at best, so is the plan. Limit:
    asking for the pilot's own error gives the pilot's total time.
    """
    name = _checked(quantity, relative_stderr, n_replicas, pilot_ps=pilot_ps)
    estimate = getattr(result, name)
    if estimate.is_limit or not isfinite(estimate.stderr):
        raise ConfigError(
            f"the pilot gives {QUANTITIES[quantity]} only as a limit: run it longer or use plan_from_guess"
        )
    variance_time = (estimate.stderr / estimate.value) ** 2 * pilot_ps
    window_ps = result.window_ps[1] if quantity == "tracer_diffusivity" else result.charge_window_ps[1]
    shortest = _WINDOWS_PER_RUN * float(max(window_ps, result.window_ps[0]))
    return _plan(
        variance_time,
        shortest,
        max(pilot_ps / result.n_replicas, shortest),
        quantity,
        relative_stderr,
        result.temperature_K,
        n_replicas,
        f"from a pilot of {result.n_replicas} x {pilot_ps / result.n_replicas:.3g} ps with "
        f"{100 * estimate.stderr / estimate.value:.2g} %",
    )


def plan_from_guess(
    *,
    diffusivity_cm2_per_s,
    n_ions,
    hop_length_A,
    frame_interval_ps,
    quantity="haven_ratio",
    relative_stderr=0.10,
    haven_ratio=1.0,
    n_replicas=None,
    temperature_K=None,
):
    r"""Return the `RunPlan` for ions that hop at random with a guessed diffusivity.

    Parameters
    ----------
    diffusivity_cm2_per_s
        Guess of D*, cm²/s.
    n_ions
        Mobile ions in the cell.
    hop_length_A, frame_interval_ps
        Distance between sites, Å, and time between frames, ps.
    quantity, relative_stderr, n_replicas
        As for `plan_from_pilot`.
    haven_ratio
        Guess of H_R: ions that move in groups of 1/H_R are as many fewer.
    temperature_K
        For the sentence only.

    Returns
    -------
    RunPlan

    Raises
    ------
    ConfigError
        For an unknown quantity or numbers that are not positive.

    Notes
    -----
    The collective slope is one Brownian walker's, fitted where an ion has moved by 0.4 squared hops and not
    before 0.8 ps, plus one over the number of (group) hops; its variance is exact (`brownian_covariance`).
    The tracer's is 2/3 of the windows over the independent ions, plus the hops. H_R adds both.
    """
    _checked(
        quantity,
        relative_stderr,
        n_replicas,
        diffusivity_cm2_per_s=diffusivity_cm2_per_s,
        n_ions=n_ions,
        hop_length_A=hop_length_A,
        frame_interval_ps=frame_interval_ps,
        haven_ratio=haven_ratio,
    )
    slope = 6e4 * diffusivity_cm2_per_s
    first_ps = max(frame_interval_ps, _SMOOTHING_PS if frame_interval_ps < _SMOOTHING_PS / 3 else 0.0)
    settled_ps = max(first_ps, _MOVED_HOPS_SQUARED * hop_length_A**2 / slope)
    hops = slope / hop_length_A**2 * n_ions * min(haven_ratio, 1.0)
    charge = _walker_variance_time(first_ps, frame_interval_ps) + 1 / hops
    tracer = _walker_variance_time(settled_ps, settled_ps) / (n_ions * min(haven_ratio, 1.0)) + 1 / hops
    variance_time = {"haven_ratio": charge + tracer, "tracer_diffusivity": tracer}.get(quantity, charge)
    shortest = _WINDOWS_PER_RUN * max(_SPAN * first_ps, settled_ps)
    return _plan(
        variance_time,
        shortest,
        shortest,
        quantity,
        relative_stderr,
        temperature_K,
        n_replicas,
        f"guessed D* = {diffusivity_cm2_per_s:.2g} cm^2/s, {n_ions} ions",
    )


def _walker_variance_time(first_ps, frame_interval_ps):
    """Return the relative variance of one walker's slope, times the time it was watched, ps."""
    lag = max(1, round(first_ps / frame_interval_ps))
    n_frames = 100 * lag
    lags = lag_grid(n_frames)
    start = int(np.searchsorted(lags, lag))
    stop = int(np.searchsorted(lags, _SPAN * lag)) + 1
    used = tuple(lags[start : max(stop, start + 2)].tolist())
    covariance = brownian_covariance(used, n_frames)[0]
    weights = least_squares(np.array(used), covariance)
    return float(weights @ covariance @ weights) * n_frames * frame_interval_ps


def _checked(quantity, relative_stderr, n_replicas, **positive):
    if quantity not in QUANTITIES:
        raise ConfigError(f"quantity must be one of {', '.join(QUANTITIES)}, got {quantity!r}")
    for name, value in {"relative_stderr": relative_stderr, **positive}.items():
        if not (isfinite(value) and value > 0):
            raise ConfigError(f"{name} must be positive and finite, got {value!r}")
    if n_replicas is not None and n_replicas < 1:
        raise ConfigError(f"n_replicas must be at least 1, got {n_replicas!r}")
    return {
        "haven_ratio": "haven_ratio",
        "tracer_diffusivity": "tracer_diffusivity_cm2_per_s",
        "charge_diffusivity": "charge_diffusivity_cm2_per_s",
        "ionic_conductivity": "ionic_conductivity_S_per_cm",
    }[quantity]


def _plan(variance_time, shortest, usual, quantity, relative_stderr, temperature_K, n_replicas, basis):
    total = variance_time / relative_stderr**2
    if n_replicas is None:
        n_replicas = max(_FEWEST_REPLICAS, ceil(total / usual - 1e-9))
    duration = max(total / n_replicas, shortest)
    return RunPlan(
        quantity=quantity,
        relative_stderr=relative_stderr,
        temperature_K=temperature_K,
        n_replicas=n_replicas,
        duration_ps=duration,
        shortest_ps=shortest,
        total_ps=n_replicas * duration,
        expected_relative_stderr=float(np.sqrt(variance_time / (n_replicas * duration))),
        basis=basis,
    )
