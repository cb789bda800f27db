"""What is sampled along the way: frames, charge current and momenta. Files: see h5md_writer.py."""

import numbers

import numpy as np

from simtools.core.errors import ConfigError
from simtools.md.dynamics import ASE_TIME_PER_PS
from simtools.md.h5md_writer import Segment

__all__ = ["Sampler", "formal_charges_of"]


def formal_charges_of(symbols, info):
    """Return {species: integer formal charge} for the species present, or {} where none are given.

    Raises
    ------
    ConfigError
        If a species present has no charge or one that is not an integer.
    """
    charges = info.get("formal_charges_e") or {}
    if not isinstance(charges, dict):
        raise ConfigError(f"formal_charges_e must be a dict of integers by species, got {charges!r}")
    if not charges:
        return {}
    present = sorted(set(symbols))
    missing = [name for name in present if name not in charges]
    if missing:
        raise ConfigError(
            f"formal_charges_e has no {', '.join(missing)}; expected one integer for each of "
            f"{', '.join(present)}"
        )
    for name in present:
        charge = charges[name]
        if isinstance(charge, bool) or not isinstance(charge, numbers.Real) or charge % 1 != 0:
            raise ConfigError(f"formal_charges_e.{name} must be an integer, got {charges[name]!r}")
    return {name: int(charges[name]) for name in present}


class Sampler:
    """Collects frames and the fine series of one stage until a checkpoint makes a segment of them.

    Parameters
    ----------
    stage
        A `simtools.md.protocols.Stage`.
    dynamics
        The integrator whose positions (never wrapped) and momenta are read.
    species_names
        Order of the species momenta.
    formal_charges_e
        {species: integer charge}, or {} for no charge current.
    """

    def __init__(self, stage, dynamics, species_names, formal_charges_e):
        self._stage = stage
        self._dynamics = dynamics
        symbols = np.array(dynamics.atoms.get_chemical_symbols())
        self._groups = [np.flatnonzero(symbols == name) for name in species_names]
        self._charge_over_m = None
        if formal_charges_e:
            charges = np.array([formal_charges_e[name] for name in symbols], dtype=float)
            self._charge_over_m = charges[:, None] / dynamics.masses * ASE_TIME_PER_PS
        self.segment = Segment()

    def record(self, step):
        """Take what is due at `step`."""
        if step % self._stage.current_stride == 0:
            self._record_fine(step)
        if step % self._stage.sample_stride == 0:
            self._record_frame(step)

    def _record_fine(self, step):
        momenta, segment = self._dynamics.momenta, self.segment
        segment.fine_steps.append(step)
        totals = np.array([momenta[group].sum(axis=0) for group in self._groups])
        segment.species_momenta_amu_A_per_ps.append(totals * ASE_TIME_PER_PS)
        if self._charge_over_m is not None:
            segment.charge_current_e_A_per_ps.append((momenta * self._charge_over_m).sum(axis=0))

    def _record_frame(self, step):
        dynamics, segment = self._dynamics, self.segment
        segment.frame_steps.append(step)
        segment.positions_A.append(dynamics.positions.copy())
        segment.cells_A.append(np.array(dynamics.atoms.cell))
        if self._stage.velocities:
            segment.velocities_A_per_ps.append(dynamics.momenta / dynamics.masses * ASE_TIME_PER_PS)

    def take(self):
        """Hand over what was collected and start afresh."""
        taken, self.segment = self.segment, Segment()
        return taken

    def get_state(self):
        """Return what no segment holds yet."""
        return self.segment.get_state()

    def set_state(self, state):
        """Take back what `get_state` gave."""
        self.segment = Segment.from_state(state)
