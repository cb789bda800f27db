"""Paths on disk: finished ones as JSON, bands under way as extended XYZ to continue from."""

import time

from ase import Atoms
from ase.io import read, write

from simtools.core.errors import ConfigError
from simtools.core.files import read_text
from simtools.core.results import UnitMismatchError
from simtools.md.migration_path import MigrationPath

__all__ = ["BandSaver", "read_band", "read_path", "write_band", "write_path"]

_SAVE_EVERY_S = 10.0


class BandSaver:
    """Writes the band every few seconds, for the same command to continue from.

    Parameters
    ----------
    path
        Extended XYZ.
    every_s
        Seconds between two writes.
    stop
        Asked at every step; True writes the band and raises KeyboardInterrupt.
    """

    def __init__(self, path, every_s=_SAVE_EVERY_S, stop=lambda: False):
        self.every_s, self.stop = every_s, stop
        self.path, self.last = path, time.monotonic()

    def __call__(self, images, step):
        """Take images that carry energies and forces."""
        stopping = self.stop()
        if stopping or time.monotonic() - self.last >= self.every_s:
            write_band(self.path, images)
            self.last = time.monotonic()
        if stopping:
            raise KeyboardInterrupt


def write_band(path, images):
    """Write a band under way: positions, energies and forces, whole or not at all."""
    bare = []
    for image in images:
        copy = Atoms(image.symbols, positions=image.positions, cell=image.cell, pbc=image.pbc)
        copy.calc = image.calc
        bare.append(copy)
    partial = path.with_suffix(".partial")
    write(partial, bare, format="extxyz")
    partial.replace(path)


def read_band(path, hop, table):
    """Return the images of a band under way, or None if there is none or it is not of this hop."""
    if not path.is_file():
        return None
    images = read(path, index=":", format="extxyz")
    whole = len(images) == table.images + 2 and all(len(image) == len(hop.initial) for image in images)
    if not whole:
        return None
    images[0].info, images[-1].info = dict(hop.initial.info), dict(hop.final.info)
    return images


def read_path(path):
    """Return a finished path, or None if there is none.

    Raises
    ------
    ConfigError
        If the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        return MigrationPath.from_json(read_text(path))
    except (ValueError, KeyError, UnitMismatchError) as error:
        raise ConfigError(f"{path}: damaged ({error}); remove it to compute this path again") from error


def write_path(path, found):
    """Write a finished path, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(found.to_json(), encoding="utf-8")
    partial.replace(path)
