"""Ions at rest about held orientations: a known minimum, a crystal that stays, and a fall without end."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator

from simtools.core.errors import ConfigError, RunFailedError
from simtools.md.rigid_settling import settle_rigid_molecules


class Spring(Calculator):
    """Ion 0 and atom 1 of the molecule (1, 2) joined by a spring of length 2 Å; `sign` -1 repels for ever."""

    implemented_properties = ("energy", "forces")

    def __init__(self, sign=1.0):
        super().__init__()
        self.sign = sign

    def calculate(self, atoms=None, properties=None, system_changes=None):
        """Give energy and forces."""
        gap = atoms.positions[1] - atoms.positions[0]
        length = np.linalg.norm(gap)
        forces = np.zeros((3, 3))
        forces[0] = self.sign * (length - 2.0) * gap / length
        forces[1] = -forces[0]
        self.results = {"energy": 0.5 * self.sign * (length - 2.0) ** 2, "forces": forces}


def molecule_and_ion(x=4.0):
    atoms = Atoms("LiOH", positions=[[0, 0, 0], [x, 0, 0], [x, 0.96, 0]], cell=[30] * 3, pbc=True)
    atoms.set_array("molecule_id", np.array([-1, 0, 0]))
    return atoms


def test_ions_end_at_the_length_of_their_spring_and_no_molecule_turns():
    start = molecule_and_ion()
    settled = settle_rigid_molecules(start, Spring(), max_force_eV_per_A=1e-6)
    end = settled.atoms.positions
    assert np.linalg.norm(end[1] - end[0]) == pytest.approx(2.0, abs=1e-6)
    assert end[2] - end[1] == pytest.approx([0, 0.96, 0], abs=1e-12)
    assert settled.energy_gain_eV == pytest.approx(2.0, abs=1e-9)
    assert start.positions == pytest.approx(molecule_and_ion().positions)


def test_what_is_at_rest_stays():
    settled = settle_rigid_molecules(molecule_and_ion(2.0), Spring())
    assert settled.n_steps == 0
    assert settled.max_displacement_A == 0.0


def test_a_fall_without_end_is_said_in_one_line():
    with pytest.raises(RunFailedError, match="did not come to rest about the orientations of 1 molecules"):
        settle_rigid_molecules(molecule_and_ion(), Spring(-1.0), max_steps=40)


def test_atoms_without_molecules_and_tolerances_of_nothing_are_refused():
    with pytest.raises(ConfigError, match="molecule_id"):
        settle_rigid_molecules(Atoms("Li2", positions=np.eye(3)[:2], cell=[9] * 3, pbc=True), Spring())
    with pytest.raises(ConfigError, match="must be positive"):
        settle_rigid_molecules(molecule_and_ion(), Spring(), max_force_eV_per_A=0.0)
