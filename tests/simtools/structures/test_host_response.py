"""Hessian, elastic constants, dielectric tensors and phonons against lattice sums, and against relaxation.

Lattice sums: Lennard-Jones argon (elastic constants, phonons) and rigid-ion rock salt (Clausius-Mossotti form
of the dielectric constant), written out here. Relaxation: wurtzite LiCl, whose ions move under any strain.
"""

import math
from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.lj import LennardJones
from scipy.constants import atomic_mass, elementary_charge

from potentials.calculator import IonicCalculator
from potentials.schema import load_force_field
from simtools.core.errors import ConfigError, ShapeError
from simtools.core.units import COULOMB_EV_A, EV_PER_A3_TO_GPA
from simtools.structures import build_prototype, relax_lattice_parameter
from simtools.structures.dielectric import (
    born_charges,
    high_frequency_dielectric,
    static_dielectric,
    static_dielectric_by_finite_field,
)
from simtools.structures.elastic import (
    ElasticConstants,
    StressedCrystalError,
    elastic_constants,
    elastic_constants_by_finite_strain,
)
from simtools.structures.hessian import Hessian, NotAtRestError, UnstableCrystalError, hessian
from simtools.structures.ionic_relaxation import relax_ions
from simtools.structures.phonons import phonon_stability
from simtools.structures.response import HostResponse, host_response
from tests.reference.ewald import pair_form

MOUTA = "li3ocl_mouta_formal"


def ionic(name=MOUTA, field=None):
    return IonicCalculator(name, coulomb="ewald", electric_field_V_per_A=field)


def relaxed(prototype, formula, guess_A, calculator):
    def build(a_A):
        return build_prototype(prototype, formula, lattice_parameter_A=a_A)

    return build(relax_lattice_parameter(build, calculator, guess_A=guess_A).a_A)


@pytest.fixture(scope="module")
def argon():
    return relaxed("fcc", "Ar", 5.3, IonicCalculator("lennard_jones", pair_terms="exact"))


@pytest.fixture(scope="module")
def li3ocl():
    return relaxed("cubic", "Li3OCl", 3.9, ionic())


@pytest.fixture(scope="module")
def wurtzite():
    start = bulk("LiCl", "wurtzite", a=3.8)
    return relax_ions(start, ionic(), max_force_eV_per_A=1e-4, pressure_GPa=0.0).atoms


def argon_vectors(a_A):
    """Return vectors to all neighbours within the cutoff, and V', V'' of the shipped pair form there."""
    field = load_force_field("lennard_jones")
    (term,) = next(iter(field.pairs.values()))
    sites = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    vectors = np.array(
        [
            a_A * (np.array(n) + site)
            for n in product(range(-3, 4), repeat=3)
            for site in sites
            if any(n) or any(site)
        ]
    )
    r = np.linalg.norm(vectors, axis=1)
    vectors, r = vectors[r < field.cutoff_A], r[r < field.cutoff_A]
    slope = pair_form(term.kind, term.form, r)[1]
    h = 1e-5
    curvature = (pair_form(term.kind, term.form, r + h)[1] - pair_form(term.kind, term.form, r - h)[1]) / (
        2 * h
    )
    return vectors, r, slope, curvature


def test_elastic_constants_of_argon_equal_the_lattice_sum(argon):
    vectors, r, slope, curvature = argon_vectors(argon.cell[0, 0])
    voigt = np.array(
        [vectors[:, i] * vectors[:, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))]
    )
    weights = (curvature - slope / r) / r**2 / (2 * argon.get_volume() / len(argon))
    expected = np.einsum("ik,jk,k->ij", voigt, voigt, weights) * EV_PER_A3_TO_GPA
    calculator = IonicCalculator("lennard_jones", pair_terms="exact")
    found = elastic_constants(argon, calculator)
    assert found.constants_GPa == pytest.approx(expected, abs=2e-4 * expected[0, 0])
    assert found.constants_GPa == pytest.approx(found.clamped_GPa, abs=1e-6)
    assert found.is_stable


def test_phonons_of_argon_equal_the_lattice_sum(argon):
    a_A = argon.cell[0, 0]
    vectors, r, slope, curvature = argon_vectors(a_A)
    unit = vectors / r[:, None]
    matrices = (curvature - slope / r)[:, None, None] * np.einsum("ki,kj->kij", unit, unit)
    matrices += (slope / r)[:, None, None] * np.eye(3)
    primitive = bulk("Ar", "fcc", a=a_A)
    primitive.set_masses([load_force_field("lennard_jones").masses_amu["Ar"]])
    found = phonon_stability(primitive, IonicCalculator("lennard_jones", pair_terms="exact"), 2, step_A=0.003)
    assert found.labels == ("G", "L", "X")
    assert found.weights.tolist() == [1, 4, 3]
    for q, frequencies in zip(found.q_points, found.frequencies_THz, strict=True):
        k = 2 * np.pi * np.linalg.inv(primitive.cell.array) @ q
        dynamical = np.einsum("kij,k->ij", matrices, 1 - np.cos(vectors @ k)) / primitive.get_masses()[0]
        omega = np.sqrt(np.abs(np.linalg.eigvalsh(dynamical)) * elementary_charge * 1e20 / atomic_mass)
        assert frequencies == pytest.approx(omega / (2e12 * np.pi), abs=1e-3)
    assert found.is_stable


def test_rock_salt_of_rigid_ions_has_the_clausius_mossotti_dielectric_constant():
    r"""eps = 1 + x / (k_SR - x/3), x = 4 pi K q^2/V, k_SR = sum over neighbours (V'' + 2 V'/r)/3."""
    field = load_force_field(MOUTA)
    conventional = relaxed("rocksalt", "LiCl", 5.1, ionic())
    crystal = bulk("LiCl", "rocksalt", a=conventional.cell[0, 0])
    terms = field.pairs[("Cl", "Li")] if ("Cl", "Li") in field.pairs else field.pairs[("Li", "Cl")]
    half = conventional.cell[0, 0] / 2
    r = half * np.array([math.hypot(*n) for n in product(range(-5, 6), repeat=3) if sum(n) % 2])
    r = r[r < field.cutoff_A]
    stiffness, h = 0.0, 1e-5
    for term in terms:
        slope = pair_form(term.kind, term.form, r)[1]
        ahead, behind = (pair_form(term.kind, term.form, r + s)[1] for s in (h, -h))
        stiffness += ((ahead - behind) / (2 * h) + 2 * slope / r).sum() / 3
    x = 4 * math.pi * COULOMB_EV_A / crystal.get_volume()
    expected = 1 + x / (stiffness - x / 3)
    charges = born_charges(crystal, ionic())
    assert charges == pytest.approx(np.array([np.eye(3), -np.eye(3)]), abs=1e-9)
    found = static_dielectric(crystal, hessian(crystal, ionic(), step_A=0.003), charges, np.eye(3))
    assert found == pytest.approx(expected * np.eye(3), rel=5e-4, abs=1e-3)


def test_strained_wurtzite_relaxes_to_what_the_dynamical_matrix_says(wurtzite):
    by_matrix = elastic_constants(wurtzite, ionic())
    by_strain = elastic_constants_by_finite_strain(wurtzite, ionic())
    largest = by_matrix.constants_GPa.max()
    assert np.abs(by_matrix.constants_GPa - by_strain.constants_GPa).max() < 1e-3 * largest
    assert np.abs(by_matrix.constants_GPa - by_matrix.clamped_GPa).max() > 0.3 * largest
    c = by_strain.constants_GPa
    assert c[5, 5] == pytest.approx((c[0, 0] - c[0, 1]) / 2, rel=2e-3)  # hexagonal


def test_wurtzite_in_a_field_relaxes_to_what_the_dynamical_matrix_says(wurtzite):
    by_field = static_dielectric_by_finite_field(wurtzite, lambda field: ionic(field=field))
    charges = born_charges(wurtzite, ionic())
    by_matrix = static_dielectric(wurtzite, hessian(wurtzite, ionic()), charges, np.eye(3))
    assert by_field == pytest.approx(by_matrix, rel=2e-3, abs=2e-3)
    assert by_matrix[2, 2] > by_matrix[0, 0] + 0.1
    assert high_frequency_dielectric(wurtzite, lambda field: ionic(field=field)) == pytest.approx(
        np.eye(3), abs=1e-12
    )


def test_li3ocl_has_the_constants_of_the_literature_set(li3ocl):
    response = host_response(li3ocl, ionic(), calculator_with_field=lambda field: ionic(field=field))
    c = response.elastic_GPa
    assert (c[0, 0], c[0, 1], c[3, 3]) == pytest.approx((111.8, 51.04, 51.04), abs=0.05)
    assert response.dielectric_static == pytest.approx(6.30 * np.eye(3), abs=0.01)
    assert response.elastic_difference < 0.01
    assert response.dielectric_difference < 0.01
    assert response.is_stable
    assert response.bulk_modulus_GPa == pytest.approx((c[0, 0] + 2 * c[0, 1]) / 3, rel=1e-6)
    assert "C11, C12, C44               111.8, 51.0, 51.0 GPa" in str(response)
    again = HostResponse.from_json(response.to_json())
    assert again.dielectric_static.tolist() == response.dielectric_static.tolist()
    assert str(again) == str(response)


def test_polarisable_na3ocl_has_the_constants_of_the_fitted_set():
    """PopOff's fit of Na3OCl: the whole-ion response follows from shells that relax inside the calculator."""

    def engine(field=None):
        return ionic("na3ocl_popoff_coreshell", field)

    crystal = relaxed("cubic", "Na3OCl", 4.4, engine())
    response = host_response(crystal, engine(), calculator_with_field=engine, supercell=None)
    c = response.elastic_GPa
    assert (c[0, 0], c[0, 1], c[3, 3]) == pytest.approx((77.24, 16.08, 16.08), abs=0.05)
    assert response.dielectric_high_frequency == pytest.approx(1.38 * np.eye(3), abs=0.005)
    assert response.dielectric_static == pytest.approx(6.11 * np.eye(3), abs=0.01)
    assert response.dielectric_difference < 1e-3
    assert response.elastic_difference < 1e-3


def test_both_routes_agree_where_shells_and_ions_move_under_any_strain_and_field():
    def engine(field=None):
        return ionic("li3ocl_mouta_clshell", field)

    start = bulk("LiCl", "wurtzite", a=3.8)
    crystal = relax_ions(start, engine(), max_force_eV_per_A=1e-4, pressure_GPa=0.0).atoms
    response = host_response(crystal, engine(), calculator_with_field=engine, supercell=None)
    assert response.elastic_difference < 2e-3
    assert response.dielectric_difference < 2e-3
    assert response.dielectric_high_frequency[0, 0] > 2.0
    assert np.abs(response.elastic_clamped_GPa - response.elastic_GPa).max() > 10.0


def test_optical_modes_at_gamma_are_those_of_the_hessian(li3ocl):
    found = phonon_stability(li3ocl, ionic(), 1)
    root = np.sqrt(np.repeat(li3ocl.get_masses(), 3))
    squared = np.linalg.eigvalsh(hessian(li3ocl, ionic()).matrix_eV_per_A2 / np.outer(root, root))
    omega = np.sqrt(np.abs(squared[3:]) * elementary_charge * 1e20 / atomic_mass)
    assert found.frequencies_THz[0, 3:] == pytest.approx(omega / (2e12 * np.pi), rel=1e-9)
    assert np.abs(found.frequencies_THz[0, :3]).max() < 1e-4


def test_imaginary_mode_of_na3ocl_is_the_octahedral_tilt_that_lowers_the_energy():
    calculator = IonicCalculator("mna_oxyhalide_formal", accuracy=1e-6)
    crystal = relaxed("cubic", "Na3OCl", 4.4, calculator)
    found = phonon_stability(crystal, calculator, 2)
    assert [mode.label for mode in found.imaginary_modes] == ["R", "R", "R", "M"]
    mode = found.imaginary_modes[-1]
    assert mode.species_shares["Na"] == pytest.approx(1.0, abs=1e-6)
    assert np.abs(mode.displacements[3:]).max() < 1e-6
    cells = crystal.repeat(2)
    blocks = np.array(list(product(range(2), repeat=3)))
    step = 0.02
    shift = np.concatenate(
        [step * np.cos(2 * np.pi * block @ mode.q) * mode.displacements for block in blocks]
    )
    tilted = cells.copy()
    tilted.positions += shift
    cells.calc = tilted.calc = calculator
    gained = tilted.get_potential_energy() - cells.get_potential_energy()
    omega_squared = -((2e12 * np.pi * mode.frequency_THz) ** 2) * atomic_mass / (elementary_charge * 1e20)
    expected = 0.5 * omega_squared * (cells.get_masses()[:, None] * shift**2).sum()
    assert expected < 0
    assert gained == pytest.approx(expected, rel=0.02)


class Pinned(Calculator):
    """Argon whose atoms are also tied to their sites by weak springs: no translation is free."""

    implemented_properties = ("energy", "forces")

    def __init__(self, sites, stiffness):
        super().__init__()
        self.sites, self.stiffness = sites, stiffness
        self.argon = IonicCalculator("lennard_jones", pair_terms="exact")

    def calculate(self, atoms, properties, system_changes):
        offsets = atoms.positions - self.sites
        self.results = {
            "energy": self.argon.get_property("energy", atoms) + self.stiffness * (offsets**2).sum() / 2,
            "forces": self.argon.get_property("forces", atoms) - self.stiffness * offsets,
        }


def test_acoustic_sum_rule_is_enforced_and_its_violation_reported(argon):
    free = IonicCalculator("lennard_jones", pair_terms="exact")
    pinned = Pinned(argon.positions, 0.01)
    expected, found = hessian(argon, free), hessian(argon, pinned)
    assert found.acoustic_violation > 0.01 > 1e-9 > expected.acoustic_violation
    assert found.matrix_eV_per_A2.reshape(12, 4, 3).sum(axis=1) == pytest.approx(0, abs=1e-12)
    by_phonons = phonon_stability(argon, pinned, 1)
    assert by_phonons.acoustic_violation > 0.01
    assert by_phonons.frequencies_THz[0] == pytest.approx(
        phonon_stability(argon, free, 1).frequencies_THz[0], abs=1e-4
    )


def test_dielectric_tensor_keeps_apart_where_a_charge_moves_and_where_it_polarises():
    """Two ions on springs k1, k2, k3: moving along y polarises along x, so eps_xx holds 1/k2."""
    springs = np.diag([1.0, 2.0, 4.0])
    bond = Hessian(
        matrix_eV_per_A2=np.block([[springs, -springs], [-springs, springs]]),
        step_A=0.01,
        asymmetry=0.0,
        acoustic_violation=0.0,
        max_force_eV_per_A=0.0,
    )
    charge = np.zeros((3, 3))
    charge[0, 1] = 1.5
    crystal = Atoms("LiCl", cell=[5, 5, 4], pbc=True)
    found = static_dielectric(crystal, bond, [charge, -charge], np.eye(3))
    expected = np.eye(3)
    expected[0, 0] += 4 * math.pi * COULOMB_EV_A / 100.0 * 1.5**2 / 2.0
    assert found == pytest.approx(expected, abs=1e-9)


def test_weights_count_every_wave_vector_of_a_lopsided_supercell(li3ocl):
    found = phonon_stability(li3ocl, ionic(), (1, 1, 3))
    assert found.weights.tolist() == [1, 2]
    assert found.labels == ("G", "")


def test_moduli_of_an_isotropic_body():
    young, shear = 100.0, 40.0
    lam = shear * (young - 2 * shear) / (3 * shear - young)
    c = np.diag([2 * shear] * 3 + [shear] * 3)
    c[:3, :3] += lam
    elastic = ElasticConstants(
        constants_GPa=c, clamped_GPa=None, method="", strain=0.0, asymmetry_GPa=0.0, stress_GPa=np.zeros(6)
    )
    assert elastic.bulk_moduli_GPa == pytest.approx([lam + 2 * shear / 3] * 3)
    assert elastic.shear_moduli_GPa == pytest.approx([shear] * 3)


def test_crystals_that_were_not_relaxed_are_refused(li3ocl):
    squeezed = li3ocl.copy()
    squeezed.set_cell(squeezed.cell * 0.999, scale_atoms=True)
    for elastic in (elastic_constants, elastic_constants_by_finite_strain):
        with pytest.raises(StressedCrystalError, match=r"up to 0\.2.* GPa where at most 0\.1"):
            elastic(squeezed, ionic())
    moved = li3ocl.copy()
    moved.positions[0, 0] += 0.05
    with pytest.raises(NotAtRestError, match="relax the crystal first"):
        hessian(moved, ionic())
    molecule = Atoms("LiCl", positions=[[0, 0, 0], [2, 0, 0]])
    with pytest.raises(ConfigError, match="periodic in all three directions"):
        hessian(molecule, ionic())


def test_a_crystal_that_would_leave_its_sites_has_no_static_response():
    """One formula unit has no room for the tilt of its octahedra; eight have."""
    calculator = IonicCalculator("mna_oxyhalide_formal", accuracy=1e-6)
    crystal = relaxed("cubic", "Na3OCl", 4.4, calculator)
    doubled = crystal.repeat(2)
    assert elastic_constants(crystal, calculator).is_stable
    with pytest.raises(UnstableCrystalError, match="softest mode has curvature -0"):
        elastic_constants(doubled, calculator)


def test_what_the_calculator_cannot_say_is_asked_for(li3ocl):
    with pytest.raises(ConfigError, match=r"pass calculator_with_field .* or high_frequency"):
        host_response(li3ocl, ionic())
    argon = bulk("Ar", "fcc", a=5.3)
    with pytest.raises(ConfigError, match="LennardJones gives no polarisation"):
        born_charges(argon, LennardJones())
    curvatures = hessian(li3ocl, ionic())
    with pytest.raises(ShapeError, match="born_charges_e"):
        static_dielectric(li3ocl, curvatures, np.eye(3), np.eye(3))
    with pytest.raises(ConfigError, match="neutral crystal"):
        static_dielectric(li3ocl, curvatures, np.array([np.eye(3)] * 5), np.eye(3))
    with pytest.raises(ConfigError, match="step_A must be a positive number"):
        hessian(li3ocl, ionic(), step_A=-1)
