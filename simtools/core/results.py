"""Results that can be archived: frozen, every quantity with its unit, lossless in JSON."""

import json
import math
from dataclasses import MISSING, dataclass, field, fields

import numpy as np

from simtools.core.errors import SimtoolsError

__all__ = ["Estimate", "Result", "UnitMismatchError", "quantity"]


class UnitMismatchError(SimtoolsError, ValueError):
    """A stored quantity carries another unit than the one declared in code."""

    def __init__(self, name, stored, declared):
        super().__init__(name, stored, declared)
        self.name, self.stored, self.declared = name, stored, declared

    def __str__(self):
        return f"{self.name} is stored in {self.stored!r}, but this version declares {self.declared!r}"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its uncertainty and origin, or an upper limit where nothing was seen.

    Attributes
    ----------
    value : float or None
        The estimate; None when only a limit is known.
    stderr : float or None
        Standard error, same unit.
    ci95 : tuple of float or None
        95 % interval, same unit; not symmetric where the method says so.
    method : str
        How the value and its interval were obtained.
    n_eff : float
        Number of independent samples behind the value.
    upper_limit : float or None
        One-sided 95 % limit, given instead of a value.
    """

    value: float | None
    stderr: float | None
    ci95: tuple[float, float] | None
    method: str
    n_eff: float
    upper_limit: float | None = None

    @classmethod
    def limit(cls, upper_limit, *, method, n_eff=0.0):
        """Return an upper limit: nothing was seen, so there is no value to quote."""
        return cls(
            value=None, stderr=None, ci95=None, method=method, n_eff=n_eff, upper_limit=float(upper_limit)
        )

    @property
    def is_limit(self):
        """True when only an upper limit is known."""
        return self.value is None

    def scaled(self, factor):
        """Return the same estimate in another unit: every number times a positive `factor`."""
        if self.is_limit:
            return Estimate.limit(self.upper_limit * factor, method=self.method, n_eff=self.n_eff)
        return Estimate(
            value=self.value * factor,
            stderr=self.stderr * factor,
            ci95=(self.ci95[0] * factor, self.ci95[1] * factor),
            method=self.method,
            n_eff=self.n_eff,
        )

    def to_dict(self):
        """Return the JSON form used in ``summary.json``."""
        if self.is_limit:
            return {
                "upper_limit": _jsonable(self.upper_limit),
                "method": self.method,
                "n_eff": _jsonable(self.n_eff),
            }
        return {
            "value": self.value,
            "stderr": _jsonable(self.stderr),
            "ci95": [_jsonable(bound) for bound in self.ci95],
            "method": self.method,
            "n_eff": _jsonable(self.n_eff),
        }

    @classmethod
    def from_dict(cls, record):
        """Read what `to_dict` wrote."""
        if "upper_limit" in record:
            return cls.limit(
                _number(record["upper_limit"]), method=record["method"], n_eff=_number(record["n_eff"])
            )
        low, high = record["ci95"]
        return cls(
            value=_measured(record["value"]),
            stderr=_number(record["stderr"]),
            ci95=(_number(low), _number(high)),
            method=record["method"],
            n_eff=_number(record["n_eff"]),
        )


_KINDS = {
    float: (int, float),
    int: (int,),
    str: (str,),
    bool: (bool,),
    dict: (dict,),
    tuple: (tuple,),
    np.ndarray: (np.ndarray,),
    Estimate: (Estimate,),
}


def quantity(unit, *, shape=None, **field_options):
    """Declare a field of a `Result` with its unit and, for arrays, its shape."""
    return field(metadata={"unit": unit, "shape": shape}, **field_options)


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """Outcome of one analysis; subclasses declare fields with `quantity`."""

    provenance: dict

    def __post_init__(self):
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                frozen = value.copy()
                frozen.flags.writeable = False
                object.__setattr__(self, name, frozen)

    def to_dict(self):
        """Return plain data; each quantity becomes ``{"value": ..., "unit": ...}``."""
        record = {"result": type(self).__name__}
        for item in fields(self):
            value = _plain(getattr(self, item.name))
            unit = item.metadata.get("unit")
            record[item.name] = value if unit is None else {"value": value, "unit": unit}
        return record

    def to_json(self):
        """Return the result as JSON text; floats survive bit for bit."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    @classmethod
    def from_dict(cls, record):
        """Rebuild a result; refuse another class, a missing field or another unit."""
        if record.get("result") != cls.__name__:
            raise UnitMismatchError("result", record.get("result"), cls.__name__)
        values = {}
        for item in fields(cls):
            if item.name not in record:
                if item.default is MISSING and item.default_factory is MISSING:
                    raise UnitMismatchError(item.name, "nothing", item.metadata.get("unit"))
                continue
            stored, unit = record[item.name], item.metadata.get("unit")
            if unit is not None:
                if stored.get("unit") != unit:
                    raise UnitMismatchError(item.name, stored.get("unit"), unit)
                stored = stored["value"]
            values[item.name] = _rebuilt(stored)
            _check_kind(item.name, values[item.name], item.type)
        return cls(**values)

    @classmethod
    def from_json(cls, text):
        """Read what `to_json` wrote."""
        return cls.from_dict(json.loads(text))

    def to_dataframe(self):
        """Return the one-dimensional quantities of the most common length as columns (pandas)."""
        import pandas as pd

        columns = {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if isinstance(getattr(self, item.name), np.ndarray) and getattr(self, item.name).ndim == 1
        }
        lengths = [len(column) for column in columns.values()]
        length = max(set(lengths), key=lengths.count, default=0)
        return pd.DataFrame({name: column for name, column in columns.items() if len(column) == length})


def _jsonable(number):
    """Return `number`, or its name where JSON has no word for it (inf, nan)."""
    number = float(number)
    return number if math.isfinite(number) else repr(number)


def _number(stored):
    """Undo `_jsonable`."""
    return float(stored)


def _measured(stored):
    """Return a stored value if it is a number; `_jsonable` never wrote it as a text."""
    if isinstance(stored, bool) or not isinstance(stored, (int, float)):
        raise TypeError(f"expected a number, got {str(stored)[:40]!r}")
    return stored


def _check_kind(name, value, kind):
    """Refuse a stored value of another kind than its field declares; None and other kinds pass."""
    allowed = _KINDS.get(kind)
    if allowed is None or value is None:
        return
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{name}: expected {kind.__name__}, got {str(value)[:40]!r}")


def _plain(value):
    if isinstance(value, Estimate):
        return {"estimate": value.to_dict()}
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "US":
            return {"array": value.tolist(), "dtype": "str"}
        flat = [_jsonable(x) for x in value.ravel()] if value.dtype.kind == "f" else value.ravel().tolist()
        return {"array": flat, "dtype": str(value.dtype), "shape": list(value.shape)}
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return {"float": repr(value)} if not math.isfinite(value) else value
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _rebuilt(stored):
    if isinstance(stored, dict):
        if set(stored) == {"estimate"}:
            return Estimate.from_dict(stored["estimate"])
        if set(stored) == {"float"}:
            return float(stored["float"])
        if set(stored) == {"array", "dtype"}:
            return np.array(stored["array"], dtype=str)
        if set(stored) == {"array", "dtype", "shape"}:
            values = stored["array"]
            if np.dtype(stored["dtype"]).kind not in "fiub":
                raise TypeError(f"expected an array of numbers, got dtype {str(stored['dtype'])[:40]!r}")
            if np.dtype(stored["dtype"]).kind == "f":
                values = [float(x) for x in values]
            return np.array(values, dtype=stored["dtype"]).reshape(stored["shape"])
        return {key: _rebuilt(item) for key, item in stored.items()}
    if isinstance(stored, list):
        return tuple(_rebuilt(item) for item in stored)
    return stored
