"""What a cone takes away and what it leaves: hydroxide turns far when free, librates in the cone."""

import numpy as np
import pytest

from potentials.calculator import IonicCalculator
from potentials.schema import load_force_field
from potentials.topology import set_topology
from simtools.analysers.molecules import find_molecules
from simtools.analysers.orientations import orientations_of
from simtools.analysers.reorientation import reorientation
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.md.h5md import read_trajectory
from simtools.md.protocols import run_stages
from simtools.md.restraints import ConeRestraint
from simtools.md.rigid_bodies import RigidMolecules
from simtools.md.stages import Stage
from simtools.structures import build_molecular_crystal

pytestmark = pytest.mark.physics

CONE_DEG, STIFFNESS, HOT_K = 30.0, 5.0, 700.0


def start():
    field = load_force_field("li2ohcl_catlow_oh")
    atoms = build_molecular_crystal(
        "Li2OHCl",
        field.molecules.values(),
        prototype="cubic",
        lattice_parameter_A=3.99,
        supercell=2,
        orientations="best-packed",
        seed=3,
    )
    atoms.set_masses([field.element_masses_amu[symbol] for symbol in atoms.get_chemical_symbols()])
    set_topology(field, atoms)
    return field, atoms


def hydroxide(directory, **options):
    """Angles from the start, degrees (n_frames, n_molecules), and C_1 with its error at the longest lag."""
    field, atoms = start()
    common = {"temperature_K": HOT_K, "timestep_fs": 0.5, "seed": 4}
    stages = (
        Stage(name="warm", ensemble="NVT", thermostat="langevin", duration_ps=1.0, **common),
        Stage(
            name="production",
            ensemble="NVT",
            duration_ps=15.0,
            sample_every_fs=10.0,
            write_trajectory=True,
            **common,
        ),
    )
    run_stages(atoms, IonicCalculator(field), stages, directory, **options)
    trajectory = read_trajectory(directory)
    oxygen, hydrogen = (np.flatnonzero(atoms.symbols == symbol) for symbol in "OH")
    first = {atoms.arrays["molecule_id"][k]: k for k in oxygen}
    oxygen = np.array([first[atoms.arrays["molecule_id"][k]] for k in hydrogen])

    def axes(positions):
        bonds = positions[..., hydrogen, :] - positions[..., oxygen, :]
        bonds -= np.round(bonds / 7.98) * 7.98
        return bonds / np.linalg.norm(bonds, axis=-1, keepdims=True)

    cosines = np.sum(axes(trajectory.positions_A) * axes(atoms.positions), axis=-1)
    found = reorientation(orientations_of(find_molecules(trajectory, centre="O", ligands="H")))
    return np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))), found.c1, found.c1_stderr


@pytest.mark.parametrize("rigid", [None, RigidMolecules()], ids=["flexible", "rigid"])
def test_large_turns_go_and_librations_stay(tmp_path, rigid):
    cone = ConeRestraint(angle_deg=CONE_DEG, stiffness_eV_per_rad2=STIFFNESS)
    free, free_c1, _ = hydroxide(tmp_path / "free", rigid=rigid)
    held, held_c1, held_stderr = hydroxide(tmp_path / "held", rigid=rigid, restraint=cone)
    width_deg = np.degrees(np.sqrt(BOLTZMANN_EV_PER_K * HOT_K / STIFFNESS))
    assert free.max() > 150.0
    assert held.max() < CONE_DEG + 5 * width_deg
    assert held.std(axis=0).min() > 1.0  # librations, in every molecule
    edge = np.cos(np.radians(CONE_DEG + width_deg))
    bound = edge**2  # two directions in one cone about its axis, uncorrelated: C_1 >= <cos>^2
    assert held_c1.min() > bound - 3 * held_stderr.max()
    assert free_c1[-1] < held_c1.min() - 0.1


def test_frozen_orientations_keep_c1_at_one(tmp_path):
    angles, c1, _ = hydroxide(tmp_path, rigid=RigidMolecules(frozen_orientation=True))
    assert angles.max() < 0.1  # float32 positions
    assert c1 == pytest.approx(1.0, abs=1e-5)
