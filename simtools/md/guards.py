"""What must not go unnoticed: a run that blows up stops, a host that melts or an energy that drifts is told.

Limits are wide on purpose: they catch what is wrong, not what is unusual.
"""

import math

import numpy as np

from simtools.core.errors import RunFailedError
from simtools.core.periodic import minimum_image
from simtools.core.units import BOLTZMANN_EV_PER_K

__all__ = ["Guards", "HostSublattice", "host_species_of"]

_HOTTEST = 5.0  # times the target temperature
_ENERGY_LIMIT = 1.0  # kT per atom that the conserved energy may stray
_DRIFT_LIMIT = 0.02  # kT per atom over a stage before a drift is reported
_LINDEMANN_LIMIT = 0.2
_DISPLACED_LIMIT = 0.05


def host_species_of(formal_charges_e, info):
    """Return the species of the immobile sublattice: ``info["host_species"]``, or else the anions."""
    if info.get("host_species"):
        return tuple(info["host_species"])
    return tuple(sorted(name for name, charge in formal_charges_e.items() if charge < 0))


class HostSublattice:
    """How far the host ions are from where they started, in units of their spacing.

    Parameters
    ----------
    atoms
        The starting structure: ions on or near their sites.
    host_species
        Species of the host; with none, or with fewer than two ions, nothing is measured.
    """

    def __init__(self, atoms, host_species):
        symbols = np.array(atoms.get_chemical_symbols())
        self._indices = np.flatnonzero(np.isin(symbols, host_species))
        self.spacing_A = math.nan
        if len(self._indices) < 2:
            self._indices = self._indices[:0]
            return
        self._cell0_inverse = np.linalg.inv(np.array(atoms.cell))
        self._start = atoms.positions[self._indices].copy()
        self._weights = atoms.get_masses()[self._indices, None]
        self.spacing_A = _nearest_spacing(self._start, np.array(atoms.cell))

    def displacement(self, positions, cell):
        """Return (root mean square displacement in Å, fraction of ions beyond half a spacing).

        Displacements are taken in the host's own centre of mass, from starting sites that follow the cell.
        """
        if len(self._indices) == 0:
            return math.nan, math.nan
        moved = positions[self._indices] - self._start @ self._cell0_inverse @ np.array(cell)
        moved -= (self._weights * moved).sum(axis=0) / self._weights.sum()
        squares = (moved * moved).sum(axis=1)
        far = float(np.count_nonzero(squares > (0.5 * self.spacing_A) ** 2)) / len(squares)
        return float(np.sqrt(squares.sum() / len(squares))), far

    def warnings(self, displacement_A, displaced_fraction):
        """Return what to say about a melting or diffusing host, from values late in a stage."""
        if not math.isfinite(displacement_A):
            return ()
        lindemann = displacement_A / self.spacing_A
        if lindemann <= _LINDEMANN_LIMIT and displaced_fraction <= _DISPLACED_LIMIT:
            return ()
        return (
            f"the host sublattice has left its sites: root mean square displacement {displacement_A:.2f} Å "
            f"is {lindemann:.2f} of its spacing (limit {_LINDEMANN_LIMIT}), {displaced_fraction:.0%} of its "
            f"ions are beyond half a spacing (limit {_DISPLACED_LIMIT:.0%}); the crystal may be melting",
        )


def _nearest_spacing(positions, cell):
    """Return the mean distance from an ion to its nearest neighbour."""
    nearest = [
        np.sqrt((minimum_image(np.delete(positions, i, axis=0) - positions[i], cell) ** 2).sum(axis=1).min())
        for i in range(min(len(positions), 16))
    ]
    return float(np.mean(nearest))


class Guards:
    """Stops a stage that has left physics, with the numbers that show it."""

    def __init__(self, stage, n_atoms):
        self._stage = stage
        self._n_atoms = n_atoms
        self._kT = BOLTZMANN_EV_PER_K * stage.temperature_K
        self._start_eV = None

    def check_energy(self, step, energy_eV):
        """Raise unless the potential energy is a number; called at every step."""
        if not math.isfinite(energy_eV):
            raise RunFailedError(f"{self._where(step)}: the potential energy is {energy_eV}")

    def check(self, step, temperature_K, conserved_eV):
        """Raise when temperature or conserved energy run away."""
        hottest = _HOTTEST * self._stage.temperature_K
        if not temperature_K <= hottest:
            raise RunFailedError(
                f"{self._where(step)}: the temperature is {temperature_K:.0f} K, expected below "
                f"{hottest:.0f} K for a target of {self._stage.temperature_K:g} K; shorten timestep_fs "
                "or relax the structure"
            )
        if self._start_eV is None:
            self._start_eV = conserved_eV
        strayed = (conserved_eV - self._start_eV) / self._n_atoms
        if not abs(strayed) <= _ENERGY_LIMIT * self._kT:
            raise RunFailedError(
                f"{self._where(step)}: the conserved energy has strayed by {strayed:.3g} eV/atom, expected "
                f"within {_ENERGY_LIMIT * self._kT:.3g}; shorten timestep_fs or relax the structure"
            )

    def drift_warnings(self, drift_eV_per_atom_per_ns, duration_ps):
        """Return what to say about a conserved energy that drifts."""
        total = drift_eV_per_atom_per_ns.value * duration_ps / 1000
        low, high = drift_eV_per_atom_per_ns.ci95
        if abs(total) <= _DRIFT_LIMIT * self._kT or low <= 0 <= high:
            return ()
        return (
            f"the conserved energy drifts by {drift_eV_per_atom_per_ns.value:.2g} eV/atom/ns, "
            f"{abs(total) / self._kT:.1%} of kT per atom over the stage",
        )

    def get_state(self):
        """Return the conserved energy that the stage started from."""
        return {"start_eV": self._start_eV}

    def set_state(self, state):
        """Take back what `get_state` gave."""
        self._start_eV = state["start_eV"]

    def _where(self, step):
        return f"stage {self._stage.name!r}, step {step} ({step * self._stage.timestep_fs / 1000:g} ps)"
