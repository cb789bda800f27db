"""The log of temperatures, energies and volume: a CSV file cut back to the checkpoint on resuming."""

import csv
import os
from pathlib import Path

from simtools.core.errors import ConfigError

__all__ = ["COLUMNS", "ThermoLog", "read_thermo"]

NAME = "thermo.csv"
COLUMNS = (
    "stage",
    "time_ps",
    "temperature_K",
    "potential_energy_eV",
    "kinetic_energy_eV",
    "conserved_energy_eV",
    "volume_A3",
    "pressure_GPa",
    "host_displacement_A",
    "host_displaced_fraction",
)


class ThermoLog:
    """Rows are kept in memory and written at checkpoints, so the file never runs ahead by a torn row.

    Numbers are written so that they read back bit for bit.
    """

    def __init__(self, directory):
        self._path = Path(directory) / NAME
        self._rows = []

    def resume(self, n_bytes):
        """Cut the file back to the length that the checkpoint saw; zero starts a new file."""
        if n_bytes == 0:
            self._path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
            return
        size = self._path.stat().st_size if self._path.exists() else 0
        if size < n_bytes:
            raise ConfigError(
                f"{self._path} has {size} bytes, expected at least the {n_bytes} that the checkpoint follows"
            )
        os.truncate(self._path, n_bytes)

    def append(self, *values):
        """Add one row, in the order of `COLUMNS`."""
        self._rows.append(",".join(value if isinstance(value, str) else repr(value) for value in values))

    def flush(self):
        """Write the rows to the disk and return the length of the file in bytes."""
        with open(self._path, "a", encoding="utf-8") as stream:
            stream.writelines(row + "\n" for row in self._rows)
            stream.flush()
            os.fsync(stream.fileno())
        self._rows.clear()
        return self._path.stat().st_size


def read_thermo(directory):
    """Return the log as a `pandas.DataFrame` with the columns of `COLUMNS`.

    `time_ps` counts from the start of the first stage; each stage begins with a row at its starting point,
    so the last row of one stage and the first of the next share their time. `conserved_energy_eV` is the
    quantity that exact dynamics of that ensemble keeps constant within its stage. `pressure_GPa` is NaN where
    the calculator gives no stress. `host_displacement_A` is the root mean square displacement of the host
    species from their starting sites, in their own centre of mass; NaN where no host is known.
    """
    import pandas as pd

    path = Path(directory) / NAME
    if not path.exists():
        raise ConfigError(f"{directory} holds no thermodynamic log: expected {path}")
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            header, *rows = csv.reader(stream)
        if not {"stage", "time_ps"} <= set(header):
            raise ValueError(f"its columns are {', '.join(header) or 'missing'}")
        columns = (
            dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(header, ())
        )
        values = {name: list(map(str if name == "stage" else float, columns[name])) for name in header}
    except (ValueError, csv.Error) as error:
        raise ConfigError(
            f"{path} is damaged ({error}); expected the columns {', '.join(COLUMNS)}"
        ) from error
    return pd.DataFrame(values)
