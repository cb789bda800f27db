"""Literature values as a cited table. Nothing is computed here; plots draw the points beside ours."""

import functools
import math
import re
import tomllib
from dataclasses import dataclass
from importlib import resources

from simtools.core.errors import ConfigError

QUANTITIES = {
    "ionic_conductivity": "S/cm",
    "activation_energy": "eV",
    "migration_barrier": "eV",
    "lattice_parameter": "angstrom",
    "vacancies_per_interstitial": "1",
}
METHODS = ("experiment", "AIMD", "classical MD", "machine-learned MD", "classical statics", "DFT")
CONFIDENCE = {
    "V": "read in a public text",
    "R": "recalled from the paper, not seen in a text that could be opened",
}

_ELEMENT = re.compile(r"([A-Z][a-z]?)(\d+(?:\.\d+)?)?")
_KEYS = {
    "compound",
    "quantity",
    "unit",
    "value",
    "low",
    "high",
    "temperature_K",
    "at_room_temperature",
    "method",
    "source",
    "read_in",
    "confidence",
    "note",
}


class LiteratureTableError(ConfigError):
    """A row of a literature table is incomplete or inconsistent."""


@dataclass(frozen=True, kw_only=True)
class LiteraturePoint:
    """One printed value.

    Attributes
    ----------
    compound
        As printed in the source.
    quantity
        ``"ionic_conductivity"`` (S/cm), ``"activation_energy"``, ``"migration_barrier"`` (eV),
        ``"lattice_parameter"`` (Å) or ``"vacancies_per_interstitial"`` (of the mobile species).
    value, low, high
        The number, and the range where one is printed (else both None); `value` is then its middle.
    unit
        Of `value`.
    temperature_K
        K; 298 where the text says room temperature, None where the quantity has no temperature.
    at_room_temperature
        True where the text gives no number but room temperature.
    method
        One of `METHODS`.
    citation, short, doi
        The study: full, for a legend (``"Dawson 2018"``), and its DOI where known.
    read_in
        Citation of the text the value was actually read in, when it is not the study itself.
    confidence
        A key of `CONFIDENCE`.
    note
        What a reader must know before comparing.
    """

    compound: str
    quantity: str
    value: float
    unit: str
    temperature_K: float | None
    at_room_temperature: bool
    method: str
    citation: str
    short: str
    doi: str | None
    read_in: str | None
    confidence: str
    note: str
    low: float | None = None
    high: float | None = None


def literature_points(formula: str, *, quantity: str | None = None) -> list[LiteraturePoint]:
    """Return what the literature reports for a compound, in the order of the table.

    Parameters
    ----------
    formula
        Compared by composition, so ``Li3ClO`` finds Li3OCl.
    quantity
        Keep only this one of `QUANTITIES`.

    Returns
    -------
    list of LiteraturePoint
        Empty when the table has nothing on this compound.

    Raises
    ------
    ConfigError
        If `formula` is not a formula or `quantity` is not in the table's vocabulary.
    """
    if quantity is not None and quantity not in QUANTITIES:
        raise ConfigError(f"quantity {quantity!r} is not known; expected one of: {', '.join(QUANTITIES)}")
    wanted = _composition(formula)
    return [
        point
        for point in load_literature()
        if _composition(point.compound) == wanted and quantity in (None, point.quantity)
    ]


def literature_compounds() -> list[str]:
    """Return the compounds of the table, each once, in its order."""
    return list(dict.fromkeys(point.compound for point in load_literature()))


@functools.cache
def load_literature() -> tuple[LiteraturePoint, ...]:
    """Return every row of the shipped table."""
    text = resources.files("simtools.reference").joinpath("literature.toml").read_text(encoding="utf-8")
    return read_table(text, where="literature.toml")


def read_table(text: str, *, where: str) -> tuple[LiteraturePoint, ...]:
    """Return the rows of a table in the shipped format; raises `LiteratureTableError` naming a bad row."""
    data = tomllib.loads(text)
    references = data.get("references", {})
    return tuple(
        _point(row, references, f"{where}, point {number}")
        for number, row in enumerate(data.get("point", ()), start=1)
    )


def _point(row, references, where):
    missing = {"compound", "quantity", "unit", "value", "method", "source", "confidence"} - row.keys()
    unknown = row.keys() - _KEYS
    if missing or unknown:
        raise LiteratureTableError(
            f"{where}: missing keys {sorted(missing)}, unknown keys {sorted(unknown)}; "
            f"expected {sorted(_KEYS)}"
        )
    for key, known in (("quantity", QUANTITIES), ("method", METHODS), ("confidence", CONFIDENCE)):
        if row[key] not in known:
            raise LiteratureTableError(f"{where}: {key} = {row[key]!r}; expected one of {', '.join(known)}")
    if row["unit"] != QUANTITIES[row["quantity"]]:
        raise LiteratureTableError(
            f"{where}: {row['quantity']} is kept in {QUANTITIES[row['quantity']]}, got {row['unit']!r}"
        )
    for key in ("source", "read_in"):
        if key in row and row[key] not in references:
            raise LiteratureTableError(f"{where}: {key} = {row[key]!r} is no entry of [references]")
    if row["quantity"] == "ionic_conductivity" and "temperature_K" not in row:
        raise LiteratureTableError(f"{where}: a conductivity needs its temperature_K")
    low, high = row.get("low"), row.get("high")
    if (low is None) != (high is None) or (low is not None and not low <= row["value"] <= high):
        raise LiteratureTableError(
            f"{where}: low = {low}, value = {row['value']}, high = {high} do not order"
        )
    if not math.isfinite(row["value"]) or row["value"] <= 0:
        raise LiteratureTableError(f"{where}: value = {row['value']!r} must be positive")
    study = references[row["source"]]
    return LiteraturePoint(
        compound=row["compound"],
        quantity=row["quantity"],
        value=float(row["value"]),
        unit=row["unit"],
        temperature_K=float(row["temperature_K"]) if "temperature_K" in row else None,
        at_room_temperature=row.get("at_room_temperature", False),
        method=row["method"],
        citation=study["citation"],
        short=study["short"],
        doi=study.get("doi"),
        read_in=references[row["read_in"]]["citation"] if "read_in" in row else None,
        confidence=row["confidence"],
        note=row.get("note", ""),
        low=low,
        high=high,
    )


def _composition(formula):
    if not isinstance(formula, str) or not _ELEMENT.sub("", formula) == "" or not formula:
        raise ConfigError(f"expected a plain chemical formula such as 'Li3OCl', got {formula!r}")
    counts: dict[str, float] = {}
    for symbol, number in _ELEMENT.findall(formula):
        counts[symbol] = counts.get(symbol, 0.0) + float(number or 1)
    return counts
