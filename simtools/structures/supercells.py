"""Repeat a perfect cell. Defects are introduced afterwards, in simtools.defects."""

import numbers

from ase import Atoms

from simtools.core.errors import ConfigError


def build_supercell(atoms: Atoms, repeats) -> Atoms:
    """Return `atoms` repeated along its three cell vectors.

    Parameters
    ----------
    atoms
        A periodic cell; per-atom arrays (such as ``site``) and ``info`` are carried over.
    repeats
        Three positive integers, or one for all three directions.

    Returns
    -------
    Atoms
        With ``info["supercell"] = [nx, ny, nz]``, counted from the primitive block if `atoms` was itself a
        supercell.

    Raises
    ------
    ConfigError
        If `repeats` is not one or three positive integers, or if `atoms` already holds defects: repeating
        those would make an ordered array of copies.
    """
    counts = check_repeats(repeats)
    if atoms.info.get("defects"):
        raise ConfigError("build the supercell before the defects: repeating a defect makes copies in step")
    repeated = atoms.repeat(counts)
    earlier = atoms.info.get("supercell", (1, 1, 1))
    repeated.info["supercell"] = [n * m for n, m in zip(counts, earlier, strict=True)]
    repeated.info.pop("lattice_sites", None)
    return repeated


def check_repeats(repeats) -> tuple[int, int, int]:
    """Return `repeats` as three positive integers or raise `ConfigError`."""
    given = (repeats,) * 3 if isinstance(repeats, numbers.Integral) else repeats
    try:
        counts = tuple(given)
    except TypeError:
        counts = ()
    whole = all(isinstance(n, numbers.Integral) and not isinstance(n, bool) and n > 0 for n in counts)
    if len(counts) != 3 or not whole:
        raise ConfigError(f"supercell must be three positive integers such as [4, 4, 4], got {repeats!r}")
    return tuple(int(n) for n in counts)
