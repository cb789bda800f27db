"""The cone restraint: exact forces and stress, conserved energy, exact continuation."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from potentials.calculator import IonicCalculator
from simtools.core.errors import ConfigError
from simtools.md.dynamics import VelocityVerlet
from simtools.md.forces import ForceEvaluator
from simtools.md.protocols import StoppedInTime, load_final_atoms, run_stages
from simtools.md.restraints import ConeRestraint, RestrainedCalculator, RestrainedMolecules
from simtools.md.rigid import RigidVerlet
from simtools.md.rigid_bodies import RigidMolecules
from simtools.md.stages import Stage
from tests.molecular_crystals import shaken
from tests.simtools.md.rigid_toys import SHAPES, bodies_of

KINDS = list(SHAPES)
CONE = ConeRestraint(angle_deg=20.0, stiffness_eV_per_rad2=3.0)


def turned(kind, degrees, *, rattle_A=0.0, seed=2):
    """Reference, and the same turned by `degrees` about an axis square to a linear molecule's own."""
    reference = bodies_of(kind, n=3).atoms
    atoms, rng, axes = reference.copy(), np.random.default_rng(seed), []
    for k in range(3):
        members = np.flatnonzero(atoms.arrays["molecule_id"] == k)
        masses, place = atoms.get_masses()[members, None], atoms.positions[members]
        centre = (masses * place).sum(axis=0) / masses.sum()
        axis = rng.normal(size=3)
        if kind == "linear":
            axis = np.cross(axis, place[1] - place[0])
        axes.append(axis / np.linalg.norm(axis))
        rotation = Rotation.from_rotvec(np.radians(degrees) * axes[-1])
        atoms.positions[members] = centre + rotation.apply(place - centre)
    atoms.positions += rng.normal(0.0, rattle_A, size=atoms.positions.shape) if rattle_A else 0.0
    return reference, atoms, np.array(axes)


def energy_of(molecules, positions, cell):
    return molecules.energy_forces_and_virial(positions, cell)[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("degrees", [0.0, 5.0, 60.0, 170.0])
def test_the_angle_is_that_of_the_turn(kind, degrees):
    reference, atoms, _ = turned(kind, degrees)
    molecules = RestrainedMolecules(reference, CONE)
    atoms.positions += [3.0, -40.0, 2.0]  # where a molecule is does not matter, nor across which boundary
    atoms.wrap()
    assert_allclose(molecules.angles_deg(atoms.positions, atoms.cell.array), degrees, atol=1e-5)
    excess = np.radians(max(degrees - 20.0, 0.0))
    energy = energy_of(molecules, atoms.positions, atoms.cell.array)
    assert energy == pytest.approx(3 * 0.5 * 3.0 * excess**2, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rigid_turn_feels_the_springs_torque_and_no_push(kind):
    reference, atoms, axes = turned(kind, 50.0)
    molecules = RestrainedMolecules(reference, CONE)
    _, forces, _ = molecules.energy_forces_and_virial(atoms.positions, atoms.cell.array)
    for k in range(3):
        members = np.flatnonzero(atoms.arrays["molecule_id"] == k)
        assert_allclose(forces[members].sum(axis=0), 0.0, atol=1e-13)
        torque = np.cross(atoms.positions[members], forces[members]).sum(axis=0)
        assert_allclose(torque, -3.0 * np.radians(30.0) * axes[k], atol=1e-10)
    assert_allclose(forces[atoms.arrays["molecule_id"] < 0], 0.0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_forces_of_bent_and_stretched_molecules_are_the_gradient(kind):
    reference, atoms, _ = turned(kind, 50.0, rattle_A=0.08)
    molecules, cell = RestrainedMolecules(reference, CONE), atoms.cell.array
    _, forces, virial = molecules.energy_forces_and_virial(atoms.positions, cell)
    numerical, step = np.zeros_like(forces), 1e-5
    for atom, axis in np.ndindex(*forces.shape):
        ends = []
        for sign in (1, -1):
            moved = atoms.positions.copy()
            moved[atom, axis] += sign * step
            ends.append(energy_of(molecules, moved, cell))
        numerical[atom, axis] = -(ends[0] - ends[1]) / (2 * step)
    assert np.abs(forces).max() > 0.3
    assert_allclose(forces, numerical, atol=2e-8)
    assert np.trace(virial) == pytest.approx(0.0, abs=1e-13)
    for a, b in ((0, 0), (2, 2), (0, 1), (1, 2)):
        ends = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * step / 2
            strain[b, a] += sign * step / 2
            ends.append(energy_of(molecules, atoms.positions @ strain, cell @ strain))
        assert virial[a, b] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-7)


def test_inside_the_cone_nothing_acts():
    name, atoms = shaken("li2ohcl_catlow_oh")
    plain = IonicCalculator(name)
    plain.name_molecules(atoms)
    restrained = RestrainedCalculator(IonicCalculator(name), atoms, CONE)
    for quantity in ("energy", "free_energy", "forces", "stress"):
        assert np.array_equal(restrained.get_property(quantity, atoms), plain.get_property(quantity, atoms))


def test_stress_and_forces_through_ase_hold_both_parts():
    reference, atoms, _ = turned("asymmetric top", 50.0)
    inner = bodies_of("asymmetric top", n=3).calculator
    atoms.calc = RestrainedCalculator(inner, reference, CONE)
    bare = atoms.copy()
    bare.calc = inner
    energy, forces, virial = atoms.calc.molecules.energy_forces_and_virial(atoms.positions, atoms.cell.array)
    assert atoms.get_potential_energy() - bare.get_potential_energy() == pytest.approx(energy, rel=1e-12)
    assert_allclose(atoms.get_forces() - bare.get_forces(), forces, atol=1e-12)
    assert_allclose(
        (atoms.get_stress(voigt=False) - bare.get_stress(voigt=False)) * atoms.get_volume(),
        virial,
        atol=1e-11,
    )


@pytest.mark.parametrize("rigid", [True, False], ids=["rigid", "flexible"])
@pytest.mark.parametrize("name", ["li2ohcl_catlow_oh", "na3obh4_esp", "na3no3_esp"])
def test_energy_is_conserved_to_second_order_and_the_cone_holds(name, rigid):
    """Pushed hard: molecules with ten times room temperature against a wall 10 degrees away."""
    spreads, reached = [], []
    for dt in (0.4, 0.2):
        field, atoms = shaken(name, repeat=(2, 1, 1), wrapped=False)
        calculator = IonicCalculator(field, accuracy=1e-7)
        calculator.name_molecules(atoms)
        cone = ConeRestraint(angle_deg=10.0, stiffness_eV_per_rad2=4.0)
        wrapped = RestrainedCalculator(calculator, atoms, cone)
        rng = np.random.default_rng(5)
        momenta = rng.normal(size=(len(atoms), 3)) * np.sqrt(atoms.get_masses() * 0.05)[:, None]
        atoms.set_momenta(momenta - momenta.mean(axis=0))
        evaluator = ForceEvaluator(atoms, wrapped)
        dynamics = (
            RigidVerlet(evaluator, dt, rigid=RigidMolecules()) if rigid else VelocityVerlet(evaluator, dt)
        )
        dynamics.start()
        energies, angles = [], []
        for _ in range(round(60 / dt)):
            dynamics.step()
            energies.append(dynamics.conserved_energy_eV())
            angles.append(wrapped.molecules.angles_deg(atoms.positions, atoms.cell.array).max())
        spreads.append(np.std(energies))
        reached.append(max(angles))
    assert min(reached) > 12.0  # the wall was met
    assert np.log2(spreads[0] / spreads[1]) == pytest.approx(2.0, abs=0.5)


def stages():
    common = {"temperature_K": 600.0, "timestep_fs": 0.5, "thermo_every_fs": 5.0, "seed": 3}
    return (
        Stage(name="warm", ensemble="NVT", thermostat="langevin", duration_ps=0.02, **common),
        Stage(
            name="production", ensemble="NVT", duration_ps=0.04, write_trajectory=True, sample_every_fs=5.0,
            checkpoint_every_ps=0.01, **common,
        ),
    )  # fmt: skip


@pytest.mark.parametrize("rigid", [None, RigidMolecules()], ids=["flexible", "rigid"])
def test_run_stopped_anywhere_continues_bit_for_bit(tmp_path, rigid):
    field, atoms = shaken("na3obh4_esp", repeat=(2, 1, 1))
    cone = ConeRestraint(angle_deg=2.0)
    options = {"rigid": rigid, "restraint": cone}
    run_stages(atoms, IonicCalculator(field), stages(), tmp_path / "whole", **options)
    calls = []

    def stop_now_and_then():
        calls.append(None)
        return len(calls) % 3 == 0

    stops = 0
    for _ in range(60):
        try:
            run_stages(
                atoms, IonicCalculator(field), stages(), tmp_path / "parts",
                should_stop=stop_now_and_then, **options,
            )  # fmt: skip
            break
        except StoppedInTime:
            stops += 1
    one, two = load_final_atoms(tmp_path / "whole"), load_final_atoms(tmp_path / "parts")
    assert stops >= 1
    assert np.array_equal(one.positions, two.positions)
    assert np.array_equal(one.get_momenta(), two.get_momenta())
    run_stages(atoms, IonicCalculator(field), stages(), tmp_path / "free", rigid=rigid)
    assert not np.array_equal(one.positions, load_final_atoms(tmp_path / "free").positions)
    with pytest.raises(ConfigError, match="cone_restraint differ"):
        run_stages(atoms, IonicCalculator(field), stages(), tmp_path / "whole", rigid=rigid)


def test_given_references_take_the_place_of_the_start():
    reference, atoms, _ = turned("spherical top", 50.0)
    cone = ConeRestraint(angle_deg=20.0, reference_positions_A=reference.positions)
    molecules = RestrainedMolecules(atoms, cone)
    assert_allclose(molecules.angles_deg(atoms.positions, atoms.cell.array), 50.0, atol=1e-5)
    assert cone.to_dict()["reference"] != ConeRestraint(
        angle_deg=20.0, reference_positions_A=atoms.positions
    ).to_dict()["reference"]  # fmt: skip


class Foreign:
    """A calculator that is not built on ASE's base class."""

    implemented_properties = ("energy", "forces")

    def get_potential_energy(self, atoms=None, force_consistent=False):
        return 1.5

    def get_forces(self, atoms=None):
        return np.full((len(atoms), 3), 0.25)


def test_a_calculator_of_another_make_is_wrapped_too():
    assert not isinstance(Foreign(), Calculator)
    reference, atoms, _ = turned("linear", 50.0)
    evaluator = ForceEvaluator(atoms, RestrainedCalculator(Foreign(), reference, CONE))
    assert not evaluator.has_stress
    evaluator.evaluate()
    energy, forces, _ = RestrainedMolecules(reference, CONE).energy_forces_and_virial(
        atoms.positions, atoms.cell.array
    )
    assert evaluator.energy_eV == 1.5 + energy
    assert_allclose(evaluator.forces_eV_A, 0.25 + forces, atol=1e-14)


def test_what_cannot_be_restrained_is_refused(tmp_path):
    for options, words in (
        ({"angle_deg": 0.0}, "angle_deg must be a positive number below 180, got 0.0"),
        ({"angle_deg": 180.0}, "below 180"),
        ({"angle_deg": 30.0, "stiffness_eV_per_rad2": -1.0}, "stiffness_eV_per_rad2 must be a positive"),
        ({"angle_deg": 30.0, "reference_positions_A": np.zeros(3)}, r"shape \(n_atoms, 3\)"),
    ):
        with pytest.raises(ConfigError, match=words):
            ConeRestraint(**options)
    evaluator = bodies_of("linear")
    with pytest.raises(ConfigError, match="holds 1 atoms, expected 12"):
        RestrainedMolecules(
            evaluator.atoms, ConeRestraint(angle_deg=30.0, reference_positions_A=np.zeros((1, 3)))
        )
    with pytest.raises(ConfigError, match="no effect with frozen_orientation"):
        run_stages(
            evaluator.atoms, evaluator.calculator, stages(), tmp_path,
            rigid=RigidMolecules(frozen_orientation=True), restraint=CONE,
        )  # fmt: skip
    with pytest.raises(ConfigError, match="needs the array molecule_id"):
        RestrainedMolecules(Atoms("OH", positions=np.eye(3)[:2], cell=np.eye(3) * 9, pbc=True), CONE)
