"""Which species is each atom of a foreign file? From the file, a topology, or the user."""

from pathlib import Path

import numpy as np

from simtools.core.errors import ConfigError
from simtools.md.formats.ase_files import read_structure
from simtools.md.formats.dlpoly import read_config

__all__ = ["masses_of", "name_atoms"]


def name_atoms(name, labels, n_atoms, topology=None, species=None):
    """Return the species of every atom, shape (n_atoms,).

    Parameters
    ----------
    name
        The trajectory file, for complaints.
    labels
        What the file calls its atoms; may be empty.
    n_atoms
        Their number.
    topology, species
        As for `simtools.md.readers.open_trajectory`.

    Raises
    ------
    ConfigError
        If atoms stay without a name, or have one that is no element and not explained.
    """
    from ase.data import chemical_symbols

    if topology is not None:
        config = Path(topology).name.upper().startswith(("CONFIG", "REVCON"))
        labels = read_config(topology).labels if config else read_structure(topology)
        if len(labels) != n_atoms:
            raise ConfigError(
                f"topology {topology} has {len(labels)} atoms, expected the {n_atoms} of {name}"
            )
    if species is not None and not isinstance(species, dict):
        listed = np.asarray(species, dtype=str)
        if listed.shape != (n_atoms,):
            raise ConfigError(
                f"species must name each of the {n_atoms} atoms of {name}, got shape {listed.shape}"
            )
        return listed
    if not labels:
        raise ConfigError(
            f"{name} does not name its atoms: give a topology (--topology), or one species per atom"
        )
    mapping = {str(key): str(value) for key, value in (species or {}).items()}
    unused = sorted(set(mapping) - set(labels))
    if unused:
        raise ConfigError(f"species names {unused[0]!r}, {name} has {', '.join(sorted(set(labels))[:12])}")
    known = set(chemical_symbols[1:])
    unknown = sorted({label for label in labels if label not in mapping and label not in known})
    if unknown:
        listed = ", ".join(sorted(set(labels))[:12])
        raise ConfigError(
            f"{name}: {unknown[0]!r} is no element (the atoms are called {listed}): say what it is with "
            f"species={{{unknown[0]!r}: ...}} (--species {unknown[0]}=ELEMENT)"
        )
    return np.array([mapping.get(label, label) for label in labels])


def masses_of(given, symbols):
    """Return the masses that the file gives, else those of the elements, else None; amu."""
    from ase.data import atomic_masses, atomic_numbers

    if given is not None:
        return given
    if set(symbols.tolist()) <= set(atomic_numbers):
        return atomic_masses[[atomic_numbers[name] for name in symbols]]
    return None
