"""Energies, forces and stress of the embedded engine against formulas and published numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress
from numpy.testing import assert_allclose

from potentials.calculator import IonicCalculator
from potentials.forms import LennardJones
from potentials.schema import load_force_field
from simtools.core.units import COULOMB_EV_A
from tests.reference import ewald
from tests.reference.random_cells import rigid_force_fields

DATA = Path(__file__).parents[1] / "data"
LI3OCL = "li3ocl_mouta_formal"


def exact_calculator(field):
    """Return a calculator whose every sum is exact."""
    if field.is_charged:
        return IonicCalculator(field, coulomb="ewald", net_charge="background")
    return IonicCalculator(field, pair_terms="exact")


def crystal(repeat=2, *, seed=1, rattle_A=0.1, strain=0.0, vacancies=0):
    """Return rattled cubic Li3OCl, sheared by `strain`, with so many lithium ions missing."""
    rng = np.random.default_rng(seed)
    cell = Atoms(
        "ClOLi3",
        scaled_positions=[[0, 0, 0], [0.5] * 3, [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
        cell=[3.9] * 3,
        pbc=True,
    )
    atoms = cell.repeat(repeat)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain * rng.uniform(-1, 1, (3, 3))), scale_atoms=True)
    atoms.positions += rng.normal(0.0, rattle_A, atoms.positions.shape)
    lithium = np.flatnonzero(atoms.symbols == "Li")
    del atoms[lithium[:vacancies]]
    return atoms


def random_ions(field, n_ions, edge_A, seed):
    """Return ions of random species on a jittered grid in a strongly triclinic cell, wrapped or not."""
    rng = np.random.default_rng(seed)
    cell = edge_A * (np.eye(3) + rng.uniform(-0.35, 0.35, (3, 3)))
    side = int(np.ceil(n_ions ** (1 / 3)))
    grid = np.array([(i, j, k) for i in range(side) for j in range(side) for k in range(side)])
    chosen = rng.choice(len(grid), n_ions, replace=False)
    fractions = (grid[chosen] + rng.uniform(-0.1, 0.1, (n_ions, 3))) / side + rng.integers(-2, 3, (n_ions, 3))
    return Atoms(rng.choice(field.species, n_ions), positions=fractions @ cell, cell=cell, pbc=True)


def slope(calculator, atoms, move, step):
    """Return the central difference of the energy along `move(atoms, size)`."""
    energies = [calculator.get_property("energy", move(atoms.copy(), sign * step)) for sign in (1, -1)]
    return (energies[0] - energies[1]) / (2 * step)


@pytest.mark.parametrize("name", rigid_force_fields())
@pytest.mark.parametrize(("n_ions", "edge_A"), [(1, 3.1), (3, 4.2), (40, 11.0), (90, 14.0)])
def test_exact_sums_agree_with_the_formulas_in_cells_of_any_size(name, n_ions, edge_A):
    field = load_force_field(name)
    atoms = random_ions(field, n_ions, edge_A, seed=n_ions)
    calculator, expected = exact_calculator(field), ewald.evaluate(field, atoms)
    assert calculator.get_property("energy", atoms) == pytest.approx(expected.energy_eV, rel=1e-10)
    forces = expected.forces_eV_per_A
    assert_allclose(
        calculator.get_property("forces", atoms), forces, rtol=0, atol=1e-10 * (np.abs(forces).max() + 1)
    )
    stress = full_3x3_to_voigt_6_stress(expected.stress_eV_per_A3)
    assert_allclose(
        calculator.get_property("stress", atoms), stress, rtol=0, atol=1e-10 * np.abs(stress).max()
    )
    energies = expected.energies_eV
    assert_allclose(
        calculator.get_property("energies", atoms), energies, rtol=0, atol=1e-10 * np.abs(energies).max()
    )


@pytest.mark.parametrize("strain", [0.0, 0.2])
def test_production_forces_keep_the_accuracy_asked_for(strain):
    atoms = crystal(3, strain=strain, vacancies=1)
    check = IonicCalculator(LI3OCL, net_charge="background").self_check(atoms)
    assert check["relative_rms_force_error"] < 1e-4
    assert check["max_relative_force_error"] < 1e-3
    assert abs(check["energy_error_eV_per_atom"]) < 1e-4
    tight = IonicCalculator(LI3OCL, net_charge="background", accuracy=1e-7).self_check(atoms)
    assert tight["relative_rms_force_error"] < 1e-7


def test_lennard_jones_tables_keep_the_accuracy_asked_for():
    atoms = random_ions(load_force_field("lennard_jones_binary"), 100, 18.0, seed=4)
    for accuracy in (1e-4, 1e-7):
        check = IonicCalculator("lennard_jones_binary", accuracy=accuracy).self_check(atoms)
        assert check["relative_rms_force_error"] < accuracy


@pytest.mark.parametrize("kind", ["exact", "tight mesh"])
def test_forces_are_minus_the_slope_of_the_energy(kind):
    options = {"coulomb": "ewald"} if kind == "exact" else {"accuracy": 1e-8}
    calculator = IonicCalculator(LI3OCL, net_charge="background", **options)
    atoms = crystal(2, strain=0.1, vacancies=1)
    forces = calculator.get_property("forces", atoms)
    for n, c in ((0, 0), (7, 1), (30, 2)):

        def move(moved, size, n=n, c=c):
            moved.positions[n, c] += size
            return moved

        assert forces[n, c] == pytest.approx(-slope(calculator, atoms, move, 1e-4), rel=1e-6, abs=2e-7)


@pytest.mark.parametrize(("vacancies", "kind"), [(0, "exact"), (2, "exact"), (2, "tight mesh")])
def test_stress_is_the_slope_of_the_energy_with_strain_charged_cell_included(vacancies, kind):
    options = {"coulomb": "ewald"} if kind == "exact" else {"accuracy": 1e-8}
    calculator = IonicCalculator(LI3OCL, net_charge="background", **options)
    atoms = crystal(2, strain=0.1, vacancies=vacancies)
    stress = voigt_6_to_full_3x3_stress(calculator.get_property("stress", atoms))
    for a, b in ((0, 0), (1, 1), (2, 0), (1, 2)):

        def move(moved, size, a=a, b=b):
            strain = np.zeros((3, 3))
            strain[a, b] += size / 2
            strain[b, a] += size / 2
            moved.set_cell(moved.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            return moved

        by_difference = slope(calculator, atoms, move, 2e-5) / atoms.get_volume()
        assert stress[a, b] == pytest.approx(by_difference, rel=1e-6, abs=2e-8)


def test_background_energy_closes_a_charged_cell_as_published_for_a_lone_charge():
    # One unit charge per cubic cell of edge L in a uniform background: E = -2.837297 k_e / (2 L).
    ion = Atoms("Li", positions=[[0.3, 0.1, 0.2]], cell=[7.0] * 3, pbc=True)
    energy = IonicCalculator(LI3OCL, coulomb="ewald", net_charge="background").get_property("energy", ion)
    short_range = IonicCalculator(LI3OCL, coulomb="ewald", net_charge="background").field.pair_energy(
        "Li", "Li", 7.0
    )
    assert energy == pytest.approx(-2.837297479 * COULOMB_EV_A / (2 * 7.0), rel=1e-8)
    assert abs(short_range) < 1e-9


@pytest.mark.parametrize("options", [{"coulomb": "ewald"}, {}])
def test_forces_sum_to_zero_and_energies_to_the_energy(options):
    calculator = IonicCalculator(LI3OCL, net_charge="background", **options)
    atoms = crystal(2, strain=0.1, vacancies=1)
    assert_allclose(calculator.get_property("forces", atoms).sum(axis=0), 0, atol=1e-11)
    energy = calculator.get_property("energy", atoms)
    assert calculator.get_property("energies", atoms).sum() == pytest.approx(energy, rel=1e-13)
    assert calculator.get_property("free_energy", atoms) == energy


def test_energy_ignores_origin_order_images_and_orientation():
    calculator = IonicCalculator(LI3OCL, coulomb="ewald")
    atoms = crystal(2, strain=0.15)
    energy, forces = calculator.get_property("energy", atoms), calculator.get_property("forces", atoms)
    rng = np.random.default_rng(3)

    shifted = atoms.copy()
    shifted.positions += [1.3, -20.0, 0.7]
    assert calculator.get_property("energy", shifted) == pytest.approx(energy, rel=1e-13)

    order = rng.permutation(len(atoms))
    assert_allclose(calculator.get_property("forces", atoms[order]), forces[order], atol=1e-11)

    images = atoms.copy()
    images.positions += rng.integers(-3, 4, (len(atoms), 3)) @ atoms.cell.array
    assert_allclose(calculator.get_property("forces", images), forces, atol=1e-10)

    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ rotation)
    turned.positions = atoms.positions @ rotation
    assert_allclose(calculator.get_property("forces", turned), forces @ rotation, atol=1e-11)

    skewed = atoms.copy()  # the same lattice, other vectors
    skewed.set_cell(np.array([[1, 0, 0], [2, 1, 0], [0, -1, 1]]) @ atoms.cell.array)
    assert_allclose(calculator.get_property("forces", skewed), forces, atol=1e-10)


@pytest.mark.parametrize("options", [{"coulomb": "ewald"}, {"accuracy": 1e-8}])
def test_a_supercell_is_so_many_cells(options):
    atoms = crystal(1, rattle_A=0.05)
    calculator = IonicCalculator(LI3OCL, **options)
    energy, forces = calculator.get_property("energy", atoms), calculator.get_property("forces", atoms)
    stress = calculator.get_property("stress", atoms)
    doubled = atoms.repeat((2, 1, 3))
    assert calculator.get_property("energy", doubled) == pytest.approx(6 * energy, rel=1e-9)
    assert_allclose(calculator.get_property("forces", doubled), np.tile(forces, (6, 1)), atol=1e-7)
    assert_allclose(calculator.get_property("stress", doubled), stress, atol=1e-8)


@pytest.mark.parametrize(
    ("structure", "madelung"), [("rocksalt", 1.747564594633), ("cesiumchloride", 1.76267477307)]
)
@pytest.mark.parametrize("options", [{"coulomb": "ewald"}, {"accuracy": 1e-8}])
def test_point_charges_give_the_madelung_constants(structure, madelung, options):
    field = load_force_field(LI3OCL)
    bare = replace(field, pairs={})
    atoms = bulk("LiCl", structure, a=5.0)
    nearest = 5.0 / 2 if structure == "rocksalt" else 5.0 * np.sqrt(3) / 2
    energy = IonicCalculator(bare, **options).get_property("energy", atoms)
    assert energy == pytest.approx(-madelung * COULOMB_EV_A / nearest, rel=3e-9)


def reduced_lennard_jones(cutoff):
    """Return Lennard-Jones in units of sigma and epsilon, truncated at `cutoff`."""
    field = load_force_field("lennard_jones")
    (term,) = field.pairs[("Ar", "Ar")]
    pairs = {("Ar", "Ar"): (replace(term, form=LennardJones(epsilon=1.0, sigma=1.0)),)}
    return replace(field, pairs=pairs, cutoff_A=cutoff, cutoff_mode="truncated")


@pytest.mark.parametrize(("cutoff", "energy", "virial"), [(3.0, -16.790, -46.249), (4.0, -17.060, -47.869)])
@pytest.mark.parametrize("pair_terms", ["exact", "tables"])
def test_nist_reference_configuration_has_the_published_energy_and_virial(cutoff, energy, virial, pair_terms):
    positions = np.loadtxt(DATA / "nist_lennard_jones_4.txt")
    atoms = Atoms("Ar30", positions=positions, cell=[8.0] * 3, pbc=True)
    calculator = IonicCalculator(reduced_lennard_jones(cutoff), pair_terms=pair_terms)
    assert calculator.get_property("energy", atoms) == pytest.approx(energy, abs=5e-4)
    # W is the sum of r . f over pairs: minus the trace of dE/dstrain.
    trace = calculator.get_property("stress", atoms)[:3].sum() * atoms.get_volume()
    assert -trace == pytest.approx(virial, abs=5e-4)
    if cutoff == 3.0:
        assert calculator.get_property("energy", atoms) == pytest.approx(-16.790321304625856, abs=1e-5)


def test_fcc_lennard_jones_tends_to_the_published_lattice_sums():
    # Per atom 2 epsilon (A12/d^12 - A6/d^6) with A6 = 14.45392, A12 = 12.13188, tail by an integral.
    cutoff, nearest = 9.0, 1.09
    atoms = bulk("Ar", "fcc", a=nearest * np.sqrt(2))
    energy = IonicCalculator(reduced_lennard_jones(cutoff), pair_terms="exact").get_property("energy", atoms)
    density = np.sqrt(2) / nearest**3
    tail = 2 * np.pi * density * 4 * (1 / (9 * cutoff**9) - 1 / (3 * cutoff**3))
    expected = 2 * (12.13188 / nearest**12 - 14.45392 / nearest**6)
    assert energy + tail == pytest.approx(expected, abs=3e-4)
