"""Energies, forces and stresses from any ASE calculator, without ASE's per-step bookkeeping.

Moving the atoms is left to dynamics.py. ``Atoms.get_forces`` compares and copies the whole configuration at
every call; with an `ase.calculators.calculator.Calculator` its ``calculate`` is called directly instead.
"""

import logging

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

logger = logging.getLogger(__name__)

__all__ = ["ForceEvaluator"]


class ForceEvaluator:
    """The forces at the present positions, and what a calculator needs to continue bit for bit.

    Parameters
    ----------
    atoms
        Its positions and cell are read in place at each `evaluate`.
    calculator
        Any ASE calculator. Optional ``get_state()`` and ``set_state(state)`` carry whatever makes its next
        answer depend on its past (neighbour lists, tuned meshes); a calculator without them must give
        answers that depend on the atoms alone if a continued run is to be bit-identical.

    Attributes
    ----------
    energy_eV : float
        Potential energy (the force-consistent one where the calculator has it), eV.
    forces_eV_A : ndarray
        Shape (n_atoms, 3), eV/Å.
    stress_eV_A3 : ndarray or None
        Voigt order xx, yy, zz, yz, xz, xy, eV/Å³, tension positive; None when not asked for.
    """

    def __init__(self, atoms, calculator):
        self.atoms = atoms
        self.calculator = calculator
        self.energy_eV = None
        self.forces_eV_A = None
        self.stress_eV_A3 = None
        self._direct = isinstance(calculator, Calculator)
        self._changes = list(all_changes)
        self.has_stress = "stress" in getattr(calculator, "implemented_properties", ())
        self._force_consistent = "free_energy" in getattr(calculator, "implemented_properties", ())

    @property
    def has_state(self):
        """True when the calculator can hand over and take back its internal state."""
        return hasattr(self.calculator, "get_state") and hasattr(self.calculator, "set_state")

    def evaluate(self, *, stress=False, cell_moved=False):
        """Compute energy and forces, and the stress if asked, at the present positions and cell."""
        if self._direct:
            results = self._calculate(stress, cell_moved)
            self.energy_eV = float(results["free_energy" if "free_energy" in results else "energy"])
            self.forces_eV_A = np.array(results["forces"], dtype=float)
            self.stress_eV_A3 = np.array(results["stress"], dtype=float) if stress else None
            return
        self.atoms.calc = self.calculator
        self.forces_eV_A = np.array(self.atoms.get_forces(), dtype=float)
        self.energy_eV = float(self.atoms.get_potential_energy(force_consistent=self._force_consistent))
        self.stress_eV_A3 = np.array(self.atoms.get_stress(), dtype=float) if stress else None

    def _calculate(self, stress, cell_moved):
        properties = ["energy", "forces", "stress"] if stress else ["energy", "forces"]
        changes = ["positions", "cell"] if cell_moved and self._changes == ["positions"] else self._changes
        self.calculator.results = {}
        self.calculator.calculate(self.atoms, properties, changes)
        self._changes = ["positions"]
        return self.calculator.results

    def release(self):
        """Make the calculator forget its last answer, which belongs to atoms that its caller never saw."""
        if hasattr(self.calculator, "reset"):
            self.calculator.reset()

    def get_state(self):
        """Return the last answer and the calculator's internal state."""
        state = {"energy_eV": self.energy_eV, "forces_eV_A": self.forces_eV_A.copy()}
        if self.stress_eV_A3 is not None:
            state["stress_eV_A3"] = self.stress_eV_A3.copy()
        if self.has_state:
            state["calculator"] = self.calculator.get_state()
        return state

    def set_state(self, state):
        """Take back what `get_state` gave: the next `evaluate` is the one the first run would have made."""
        self.energy_eV = state["energy_eV"]
        self.forces_eV_A = np.array(state["forces_eV_A"])
        self.stress_eV_A3 = np.array(state["stress_eV_A3"]) if "stress_eV_A3" in state else None
        if self.has_state and "calculator" in state:
            self.calculator.set_state(state["calculator"])
