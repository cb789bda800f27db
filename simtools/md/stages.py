"""What one stretch of dynamics is: ensemble, length, how often to sample. Running it: see protocols.py."""

import math
import numbers
import re
from dataclasses import asdict, dataclass

from simtools.core.errors import ConfigError

__all__ = ["Stage"]

_DEFAULT_TAU_PS = {"bussi": 0.5, "nose-hoover": 0.5, "langevin": 0.1}
_DEFAULT_BAROSTAT = {"pressure_GPa": 0.0, "barostat_tau_ps": 1.0}
_GENTLE_TAU_PS = 0.5
_LONGEST_CURRENT_FS = 5.0
_POSITIVE = (
    "temperature_K",
    "duration_ps",
    "timestep_fs",
    "tau_ps",
    "barostat_tau_ps",
    "sample_every_fs",
    "current_every_fs",
    "thermo_every_fs",
    "checkpoint_every_ps",
)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a run.

    Attributes
    ----------
    name : str
        Letters, digits, ``_`` and ``-``; names the files.
    ensemble : str
        "NVE", "NVT" or "NPT" (isotropic: the cell keeps its shape).
    temperature_K : float
        Target; in NVE the temperature that the starting momenta are drawn for.
    duration_ps, timestep_fs : float
        The duration must be a whole number of steps.
    thermostat : str or None
        "bussi", "nose-hoover" or "langevin"; by default "bussi" in NVT and "nose-hoover" in NPT, which
        knows no other.
    tau_ps : float or None
        Characteristic time of the thermostat; 0.5 by default, 0.1 for Langevin (friction 10/ps), None in NVE.
    pressure_GPa, barostat_tau_ps : float or None
        Only for NPT; 0 and 1 by default there, None elsewhere.
    sample_every_fs, current_every_fs, thermo_every_fs : float
        Strides of the frames, of charge current and momenta (at most 5), and of the log.
    checkpoint_every_ps : float
        At most this much is recomputed after a kill. Does not change any result.
    seed : int
        Of the momenta (first stage) and of the thermostat's noise.
    write_trajectory : bool
        Production: frames and fine series are written, and Langevin friction or a tau below 0.5 ps refused.
    velocities : bool
        Write velocities with the frames.
    """

    name: str
    ensemble: str
    temperature_K: float
    duration_ps: float
    timestep_fs: float = 1.0
    thermostat: str | None = None
    tau_ps: float | None = None
    pressure_GPa: float | None = None
    barostat_tau_ps: float | None = None
    sample_every_fs: float = 50.0
    current_every_fs: float = 5.0
    thermo_every_fs: float = 50.0
    checkpoint_every_ps: float = 5.0
    seed: int = 0
    write_trajectory: bool = False
    velocities: bool = False

    def __post_init__(self):
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise ConfigError(f"stage name {self.name!r} may hold only letters, digits, '_' and '-'")
        if self.ensemble not in {"NVE", "NVT", "NPT"}:
            raise self._error("ensemble", self.ensemble, "'NVE', 'NVT' or 'NPT'")
        self._settle_barostat()
        for key in _POSITIVE:
            value = getattr(self, key)
            if value is not None and not (_is_number(value) and value > 0):
                raise self._error(key, value, "a positive number")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise self._error("seed", self.seed, "an integer of at least 0")
        self._settle_thermostat()
        for key in ("sample_every_fs", "current_every_fs", "thermo_every_fs"):
            self._strides_of(getattr(self, key), key)
        self._strides_of(1000 * self.duration_ps, "duration_ps")
        self._strides_of(1000 * self.checkpoint_every_ps, "checkpoint_every_ps")
        if self.write_trajectory:
            self._check_production()

    def _settle_barostat(self):
        for key, default in _DEFAULT_BAROSTAT.items():
            value = getattr(self, key)
            if self.ensemble != "NPT":
                if value is not None:
                    raise self._error(key, value, f"none in {self.ensemble}")
            elif value is None:
                object.__setattr__(self, key, default)
        if self.pressure_GPa is not None and not _is_number(self.pressure_GPa):
            raise self._error("pressure_GPa", self.pressure_GPa, "a number")

    def _settle_thermostat(self):
        default = {"NVE": None, "NVT": "bussi", "NPT": "nose-hoover"}[self.ensemble]
        thermostat = self.thermostat or default
        allowed = {"NVE": {None}, "NVT": set(_DEFAULT_TAU_PS), "NPT": {"nose-hoover"}}[self.ensemble]
        if thermostat not in allowed:
            names = " or ".join(repr(name) for name in sorted(allowed - {None})) or "none"
            raise self._error("thermostat", thermostat, f"{names} in {self.ensemble}")
        tau_ps = self.tau_ps
        if thermostat is None and tau_ps is not None:
            raise self._error("tau_ps", tau_ps, f"none in {self.ensemble}, which has no thermostat")
        if tau_ps is None and thermostat is not None:
            tau_ps = _DEFAULT_TAU_PS[thermostat]
        if thermostat is not None and tau_ps * 1000 < 5 * self.timestep_fs:
            raise self._error("tau_ps", tau_ps, f"at least 5 time steps of {self.timestep_fs:g} fs")
        object.__setattr__(self, "thermostat", thermostat)
        object.__setattr__(self, "tau_ps", tau_ps)

    def _check_production(self):
        if self.thermostat == "langevin":
            raise self._error(
                "thermostat",
                "langevin",
                "'bussi' or 'nose-hoover' in a stage that is analysed: Langevin friction changes D",
            )
        if self.thermostat is not None and self.tau_ps < _GENTLE_TAU_PS:
            raise self._error("tau_ps", self.tau_ps, f"at least {_GENTLE_TAU_PS} in a stage that is analysed")
        if self.current_every_fs > _LONGEST_CURRENT_FS:
            raise self._error("current_every_fs", self.current_every_fs, "at most 5 (Green-Kubo)")
        if self.n_steps % self.sample_stride:
            raise self._error(
                "duration_ps", self.duration_ps, f"a multiple of sample_every_fs = {self.sample_every_fs:g}"
            )

    def _error(self, key, value, expected):
        return ConfigError(f"stage {self.name!r}: {key} = {value!r}, expected {expected}")

    def _strides_of(self, interval_fs, key):
        """Return `interval_fs` in steps; refuse anything but a whole number of them."""
        steps = round(interval_fs / self.timestep_fs)
        if steps < 1 or abs(steps * self.timestep_fs - interval_fs) > 1e-6 * interval_fs:
            raise self._error(
                key, getattr(self, key), f"a whole number of time steps of {self.timestep_fs:g} fs"
            )
        return steps

    @property
    def n_steps(self):
        """Time steps in the stage."""
        return self._strides_of(1000 * self.duration_ps, "duration_ps")

    @property
    def sample_stride(self):
        """Steps between frames."""
        return self._strides_of(self.sample_every_fs, "sample_every_fs")

    @property
    def current_stride(self):
        """Steps between samples of the fine series."""
        return self._strides_of(self.current_every_fs, "current_every_fs")

    @property
    def thermo_stride(self):
        """Steps between rows of the log."""
        return self._strides_of(self.thermo_every_fs, "thermo_every_fs")

    @property
    def checkpoint_stride(self):
        """Steps between checkpoints."""
        return self._strides_of(1000 * self.checkpoint_every_ps, "checkpoint_every_ps")

    def to_dict(self):
        """Return plain data."""
        return asdict(self)


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
