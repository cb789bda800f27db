"""Rotation over temperature: activation energies of reorientation beside that of diffusion."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.arrhenius import fit_arrhenius_line
from simtools.analysers.reorientation import ReorientationResult
from simtools.analysers.reorientations import ReorientationRates, rotation_activation_energy
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity

__all__ = ["RotationArrhenius", "fit_rotation_arrhenius"]

_N_CURVE = 60


@dataclass(frozen=True, eq=False, kw_only=True)
class RotationArrhenius(Result):
    """Activation energies of rotation.

    Attributes
    ----------
    temperatures_K
        Of the data.
    rate_activation_energy_eV : Estimate
        From the rate of lasting rotations per rotor.
    relaxation_activation_energy_eV : Estimate or None
        From 1/tau_1, temperatures at which C_1 relaxes; None with fewer than two.
    diffusion_activation_energy_eV : Estimate or None
        Of the tracer diffusivity of the mobile ion, where it was given.
    difference_eV : Estimate or None
        Rotation (rate) less diffusion; half-widths of the intervals added in squares.
    curve_temperatures_K, curve_rate, curve_rate_ci95
        The line of the rate and its 95 % band.
    """

    anion: str
    temperatures_K: np.ndarray = quantity("K", shape="(n_temperatures,)")
    rate_activation_energy_eV: Estimate = quantity("eV")
    relaxation_activation_energy_eV: Estimate | None = quantity("eV")
    diffusion_activation_energy_eV: Estimate | None = quantity("eV")
    difference_eV: Estimate | None = quantity("eV")
    curve_temperatures_K: np.ndarray = quantity("K", shape="(n_curve,)")
    curve_rate: np.ndarray = quantity("1/ps", shape="(n_curve,)")
    curve_rate_ci95: np.ndarray = quantity("1/ps", shape="(2, n_curve)")
    warnings: tuple = ()

    def to_summary(self):
        """Return the ``rotation_arrhenius`` entry of ``summary.json``."""
        return {
            "anion": self.anion,
            "n_temperatures": len(self.temperatures_K),
            "rate_activation_energy_eV": self.rate_activation_energy_eV.to_dict(),
            "relaxation_activation_energy_eV": _dict(self.relaxation_activation_energy_eV),
            "diffusion_activation_energy_eV": _dict(self.diffusion_activation_energy_eV),
            "rotation_less_diffusion_eV": _dict(self.difference_eV),
        }


def fit_rotation_arrhenius(
    temperatures_K: Sequence[float],
    rates: Sequence[ReorientationRates],
    functions: Sequence[ReorientationResult],
    *,
    diffusion: Estimate | None = None,
) -> RotationArrhenius:
    """Return the activation energies of rotation, beside that of diffusion.

    Parameters
    ----------
    temperatures_K
        Temperatures, K.
    rates, functions
        From `reorientation_rates` and `reorientation`, one at each temperature.
    diffusion
        Activation energy of the tracer diffusivity, eV.

    Raises
    ------
    TooFewTemperaturesError
        With rotations at fewer than two temperatures.
    ConfigError
        For numbers that do not match.

    Notes
    -----
    Lines are those of `fit_arrhenius_line`. Limit: rates on a line give its slope.
    """
    if not len(temperatures_K) == len(rates) == len(functions):
        raise ConfigError(
            f"got {len(temperatures_K)} temperatures, {len(rates)} rates and {len(functions)} functions, "
            "expected one of each"
        )
    energy = rotation_activation_energy(rates, temperatures_K)
    warnings = []
    used = [(t, item.rate_per_rotor) for t, item in zip(temperatures_K, rates, strict=True) if item.n_events]
    if len(used) < len(rates):
        warnings.append(
            f"{rates[0].name}: no rotation at {len(rates) - len(used)} of {len(rates)} temperatures, which "
            "the activation energy leaves out: it is that of the others"
        )
    line = _line(used)
    curve_T = np.linspace(min(t for t, _ in used), max(t for t, _ in used), _N_CURVE)
    mean, stderr = line.predict(curve_T)
    half = line.half_width(stderr)
    relaxed = [
        (t, _inverse(item.tau1))
        for t, item in zip(temperatures_K, functions, strict=True)
        if item.relaxed[0] and np.isfinite(item.tau1.stderr)
    ]
    relaxation = None
    if len({t for t, _ in relaxed}) >= 2:
        relaxation = _energy(_line(relaxed), "ln(1/tau_1)", len(relaxed))
    known = diffusion is not None and not diffusion.is_limit and np.isfinite(diffusion.value)
    return RotationArrhenius(
        anion=rates[0].name,
        temperatures_K=np.array(temperatures_K, dtype=float),
        rate_activation_energy_eV=energy,
        relaxation_activation_energy_eV=relaxation,
        diffusion_activation_energy_eV=diffusion if known else None,
        difference_eV=_difference(energy, line.dof, diffusion) if known else None,
        curve_temperatures_K=curve_T,
        curve_rate=np.exp(mean),
        curve_rate_ci95=np.exp(np.stack([mean - half, mean + half])),
        warnings=tuple(warnings),
        provenance=collect_provenance(),
    )


def _line(points):
    return fit_arrhenius_line(
        [t for t, _ in points],
        [np.log(item.value) for _, item in points],
        [item.stderr / item.value for _, item in points],
        dof=[max(2.0, item.n_eff) for _, item in points],
    )


def _inverse(tau):
    return Estimate(
        value=1 / tau.value,
        stderr=tau.stderr / tau.value**2,
        ci95=(1 / tau.ci95[1], 1 / tau.ci95[0]),
        method=tau.method,
        n_eff=tau.n_eff,
    )


def _energy(line, what, n):
    stderr = float(np.sqrt(line.covariance[1, 1]))
    half = line.half_width(stderr)
    value = line.activation_energy_eV
    return Estimate(
        value=value,
        stderr=stderr,
        ci95=(float(value - half), float(value + half)),
        method=f"hierarchical Arrhenius fit of {what}, {n} temperatures",
        n_eff=float(n),
    )


def _difference(rotation, dof, diffusion):
    """Return the difference of two activation energies; half-widths keep their own Student quantiles."""
    value = rotation.value - diffusion.value
    error = float(np.hypot(rotation.stderr, diffusion.stderr))
    half = stats.t.ppf(0.975, max(dof, 1.0)) * rotation.stderr
    width = float(np.hypot(half, 0.5 * (diffusion.ci95[1] - diffusion.ci95[0])))
    return Estimate(
        value=float(value),
        stderr=error,
        ci95=(float(value - width), float(value + width)),
        method="difference of two Arrhenius fits, half-widths added in squares",
        n_eff=float(min(rotation.n_eff, diffusion.n_eff)),
    )


def _dict(estimate):
    return None if estimate is None else estimate.to_dict()
