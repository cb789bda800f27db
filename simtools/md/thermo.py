"""The log of temperatures, energies and volume: a CSV file cut back to the checkpoint on resuming."""

import csv
import io
import os
from pathlib import Path

from simtools.core.errors import ConfigError, LeaseLostError
from simtools.core.files import open_regular, read_regular
from simtools.md.checkpoint import replace_file

__all__ = ["COLUMNS", "ThermoLog", "read_thermo"]

_LARGEST = 1 << 31
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

    Numbers are written so that they read back bit for bit. Resuming makes a new file of the old rows, so that
    a predecessor that still has the old one open appends to nothing.

    Parameters
    ----------
    directory
        Where the file is.
    fence
        See `simtools.md.checkpoint.replace_file`.
    """

    def __init__(self, directory, *, fence=None):
        self._path = Path(directory) / NAME
        self._fence = fence
        self._rows = []
        self._stream = None

    def resume(self, n_bytes):
        """Cut the file back to the length that the checkpoint saw; zero starts a new file."""
        if n_bytes == 0:
            content = (",".join(COLUMNS) + "\n").encode()
        else:
            content = read_regular(self._path, most_bytes=_LARGEST)[:n_bytes] if self._path.exists() else b""
            if len(content) < n_bytes:
                raise ConfigError(
                    f"{self._path} has {len(content)} bytes, expected at least the {n_bytes} that the "
                    "checkpoint follows"
                )
        self.close()
        replace_file(self._path, lambda stream: stream.write(content), fence=self._fence)
        self._stream = open(self._path, "ab", buffering=0)

    def close(self):
        """Let go of the file; rows that are not flushed are dropped."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def append(self, *values):
        """Add one row, in the order of `COLUMNS`."""
        self._rows.append(",".join(value if isinstance(value, str) else repr(value) for value in values))

    def flush(self):
        """Write the rows to the disk and return the length of the file in bytes.

        Raises
        ------
        LeaseLostError
            If the file is no longer the one that was resumed: another process works here, or it was moved.
        """
        left = "".join(row + "\n" for row in self._rows).encode()
        while left:
            left = left[self._stream.write(left) :]
        os.fsync(self._stream.fileno())
        self._rows.clear()
        here = os.fstat(self._stream.fileno())
        if not self._path.exists() or not os.path.samestat(here, self._path.stat()):
            raise LeaseLostError(
                f"{self._path} was replaced or removed while this run was writing it; the same command goes "
                "on from the last checkpoint that is there"
            )
        return here.st_size


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
        with io.TextIOWrapper(open_regular(path), encoding="utf-8", newline="") as stream:
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
