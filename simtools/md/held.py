"""Atoms that never move, a frozen framework among others. Integrators: dynamics.py, rigid.py."""

import hashlib
from dataclasses import dataclass

import numpy as np

from simtools.core.errors import ConfigError

__all__ = ["HeldAtoms"]


@dataclass(frozen=True, kw_only=True)
class HeldAtoms:
    """Atoms that `run_stages` holds where they start, at rest, in every stage.

    With rigid molecules, one held atom of a molecule holds the molecule's centre of mass, about which it goes
    on turning. What is held takes momentum up, so the cell as a whole is not at rest and no drift is removed:
    the degrees of freedom are 3 per free atom (or centre of mass) and those of rotation, none less. The
    volume cannot change (NPT is refused), and a pressure of such a run means nothing.

    Attributes
    ----------
    indices : tuple of int
        Atoms, at least one, each named once.
    """

    indices: tuple[int, ...]

    def __post_init__(self):
        given = tuple(self.indices)
        if not given or any(isinstance(i, bool) or int(i) != i or i < 0 for i in given):
            raise ConfigError(f"held atoms must be indices from 0, at least one, got {given[:8]!r}")
        object.__setattr__(self, "indices", tuple(sorted(int(i) for i in given)))
        if len(set(self.indices)) < len(self.indices):
            raise ConfigError("held atoms are named twice; expected each once")

    def mask(self, n_atoms):
        """Return which of `n_atoms` are held, shape (n_atoms,).

        Raises
        ------
        ConfigError
            If an index is beyond the last atom, or nothing is left to move.
        """
        if self.indices[-1] >= n_atoms:
            raise ConfigError(f"held atom {self.indices[-1]}: there are {n_atoms} atoms, counted from 0")
        held_n = np.zeros(n_atoms, dtype=bool)
        held_n[list(self.indices)] = True
        if held_n.all():
            raise ConfigError("all atoms are held; expected some that move")
        return held_n

    def to_dict(self):
        """Return plain data: how many, and the digest of which."""
        listed = np.array(self.indices, dtype="<i8").tobytes()
        return {"n_atoms": len(self.indices), "sha256": hashlib.sha256(listed).hexdigest()}
