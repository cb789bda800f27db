"""Polarisable ions against classical electrostatics, the numpy twin of the engine, and finite differences."""

import math
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import erf

from potentials.calculator import IonicCalculator
from potentials.check import dielectric_constants
from potentials.errors import CloseContactError, NetChargeError, PolarizationCatastropheError
from potentials.schema import ForceFieldError, load_force_field, parse_force_field
from potentials.shells import particle_field, screened_self_term, shell_name
from simtools.core.errors import ConfigError
from simtools.core.units import COULOMB_EV_A
from tests.reference import ewald

POPOFF, CL_SHELL, FITTED = "na3ocl_popoff_coreshell", "li3ocl_mouta_clshell", "li3ocl_mouta_shells_fitted"
FIELD_V_PER_A = np.array([0.01, -0.02, 0.015])

POLARIZABLE_ATOM = """
[model]
name = "polarizable"
version = "1.0.0"
description = "neutral atoms with shells and nothing else"
units = { energy = "eV", length = "angstrom", charge = "e", mass = "amu" }
[cutoff]
radius_A = 6.0
mode = "shifted"
source = "here"
confidence = "D"
note = "no pair terms"
[references.here]
citation = "made up"
[species.Ar]
charge_e = { value = 0.0, source = "here", confidence = "D" }
formal_charge_e = { value = 0, source = "here", confidence = "D" }
mass_amu = { value = 39.9, source = "here", confidence = "D" }
[species.Ar.shell]
charge_e = { value = -3.0, source = "here", confidence = "D" }
spring_eV_per_A2 = { value = 80.0, source = "here", confidence = "D" }
[[no_interaction]]
pair = ["Ar", "Ar"]
reason = "Coulomb only"
source = "here"
confidence = "D"
"""
POLARIZABILITY_A3 = COULOMB_EV_A * 9.0 / 80.0


def polarizable_atoms(text=POLARIZABLE_ATOM):
    return parse_force_field(text.encode(), path="polarizable.toml")


def crystal(name, repeat=1, *, rattle_A=0.08, strain=0.1, seed=1):
    """Return a rattled and sheared anti-perovskite that suits the force field."""
    rng = np.random.default_rng(seed)
    metal, a = ("Na", 4.45) if name == POPOFF else ("Li", 3.9)
    cell = Atoms(
        f"ClO{metal}3",
        scaled_positions=[[0, 0, 0], [0.5] * 3, [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
        cell=[a] * 3,
        pbc=True,
    )
    atoms = cell.repeat(repeat)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain * rng.uniform(-1, 1, (3, 3))), scale_atoms=True)
    atoms.positions += rng.normal(0.0, rattle_A, atoms.positions.shape)
    return atoms


def slope(calculator, atoms, move, step):
    energies = [calculator.get_property("energy", move(atoms.copy(), sign * step)) for sign in (1, -1)]
    return (energies[0] - energies[1]) / (2 * step)


@pytest.mark.kernel
def test_screened_self_term_and_its_slope_are_smooth_down_to_zero_distance():
    alpha, r = 0.7, np.geomspace(1e-2, 3.0, 400)
    value, slope_over_r = screened_self_term(r**2, alpha)
    assert_allclose(value, erf(alpha * r) / r, rtol=1e-14)
    gauss = 2 * alpha / math.sqrt(math.pi) * np.exp(-((alpha * r) ** 2))
    assert_allclose(slope_over_r, (gauss - erf(alpha * r) / r) / r**2, rtol=1e-10)
    value, slope_over_r = screened_self_term(np.array([0.0, 1e-20]), alpha)
    assert_allclose(value, 2 * alpha / math.sqrt(math.pi), rtol=1e-15)
    assert_allclose(slope_over_r, -4 * alpha**3 / (3 * math.sqrt(math.pi)), rtol=1e-14)


@pytest.mark.parametrize("coulomb", ["ewald", "pme"])
def test_cubic_lattice_of_polarizable_atoms_obeys_clausius_and_mossotti(coulomb):
    field = polarizable_atoms()
    for positions, edge_A in (
        ([[0, 0, 0]], 3.0),
        ([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], 5.0),
    ):
        atoms = Atoms(f"Ar{len(positions)}", scaled_positions=positions, cell=[edge_A] * 3, pbc=True)
        calculator = IonicCalculator(
            field,
            coulomb=coulomb,
            electric_field_V_per_A=(0, 0, 1e-3),
            accuracy=1e-8 if coulomb == "pme" else None,
        )
        dipole = calculator.polarization_e_A(atoms)
        assert_allclose(dipole[:2], 0.0, atol=1e-9)
        eps = 1.0 + 4 * math.pi * COULOMB_EV_A / atoms.get_volume() * dipole[2] / 1e-3
        expected = 4 * math.pi / 3 * len(atoms) * POLARIZABILITY_A3 / atoms.get_volume()
        assert (eps - 1) / (eps + 2) == pytest.approx(expected, rel=1e-5)


def test_pair_of_polarizable_atoms_has_silbersteins_polarizability():
    # Along and across the axis: 2a/(1 - 2a/r³) and 2a/(1 + a/r³), in a large box in which each unit cell
    # feels the depolarisation of the others: p = A (E + 4 pi k p / 3V).
    distance_A, edge_A = 3.5, 32.0
    atoms = Atoms("Ar2", positions=[[1, 2, 3], [1, 2, 3 + distance_A]], cell=[edge_A] * 3, pbc=True)
    along = 2 * POLARIZABILITY_A3 / (1 - 2 * POLARIZABILITY_A3 / distance_A**3)
    across = 2 * POLARIZABILITY_A3 / (1 + POLARIZABILITY_A3 / distance_A**3)
    for axis, polarizability in ((2, along), (0, across)):
        applied = np.zeros(3)
        applied[axis] = 1e-3
        dipole = IonicCalculator(
            polarizable_atoms(), accuracy=1e-6, cutoff_A=9.0, electric_field_V_per_A=applied
        ).polarization_e_A(atoms)
        expected = polarizability * 1e-3 / (1 - 4 * math.pi * polarizability / (3 * edge_A**3)) / COULOMB_EV_A
        assert dipole[axis] == pytest.approx(expected, rel=1e-4)


def test_quartic_spring_is_the_one_of_gulp():
    quartic = 'quartic_spring_eV_per_A4 = { value = 6e4, source = "here", confidence = "D" }\n[[no_inter'
    field = polarizable_atoms(POLARIZABLE_ATOM.replace("[[no_inter", quartic))
    atoms = Atoms("Ar", cell=[40.0] * 3, pbc=True)
    calculator = IonicCalculator(field, cutoff_A=9.0, electric_field_V_per_A=(2.0, 0, 0))
    displacement = calculator.shell_displacements_A(atoms)[0, 0]
    pull = -3.0 * (2.0 + 4 * math.pi / 3 * COULOMB_EV_A * -3.0 * displacement / 40.0**3)
    assert 80.0 * displacement + 6e4 / 6 * displacement**3 == pytest.approx(pull, rel=1e-5)
    assert displacement < -0.05


@pytest.mark.parametrize("name", [POPOFF, CL_SHELL, FITTED])
def test_relaxed_shells_are_ions_at_rest_for_the_twin(name):
    field, atoms = load_force_field(name), crystal(name)
    calculator = IonicCalculator(field, coulomb="ewald")
    displacement = calculator.shell_displacements_A(atoms)
    shelled = [n for n, symbol in enumerate(atoms.symbols) if symbol in field.shells]
    stand_in = dict(zip([shell_name(s) for s in field.shells], ("Ne", "Ar"), strict=False))
    particles = particle_field(field)
    particles = replace(
        particles,
        species=tuple(stand_in.get(s, s) for s in particles.species),
        charges_e={stand_in.get(s, s): q for s, q in particles.charges_e.items()},
        pairs={
            tuple(sorted(stand_in.get(s, s) for s in pair)): terms for pair, terms in particles.pairs.items()
        },
    )
    shells = Atoms(
        [stand_in[shell_name(atoms.symbols[n])] for n in shelled],
        positions=atoms.positions[shelled] + displacement[shelled],
    )
    twin = ewald.evaluate(particles, atoms + shells)
    energy, forces = twin.energy_eV, twin.forces_eV_per_A[: len(atoms)].copy()
    for k, n in enumerate(shelled):
        shell, d = field.shells[atoms.symbols[n]], displacement[n]
        r = np.linalg.norm(d)
        product = COULOMB_EV_A * shell.charge_e * field.core_charge_e(atoms.symbols[n])
        energy += shell.spring_eV_per_A2 * r**2 / 2 - product / r
        own_force = -(shell.spring_eV_per_A2 + product / r**3) * d
        on_shell = twin.forces_eV_per_A[len(atoms) + k]
        assert_allclose(on_shell + own_force, 0.0, atol=1e-6)
        forces[n] += on_shell
    assert calculator.get_property("energy", atoms) == pytest.approx(energy, abs=1e-8)
    assert_allclose(calculator.get_property("forces", atoms), forces, atol=1e-7)


@pytest.mark.parametrize("name", [POPOFF, CL_SHELL, FITTED])
def test_forces_and_stress_are_slopes_of_the_energy_of_the_ions(name):
    atoms = crystal(name, (2, 1, 1))
    plain = IonicCalculator(name, coulomb="ewald", shell_tolerance_eV_per_A=1e-10)
    pulled = IonicCalculator(
        name, coulomb="ewald", shell_tolerance_eV_per_A=1e-10, electric_field_V_per_A=FIELD_V_PER_A
    )
    for calculator in (plain, pulled):
        forces = calculator.get_property("forces", atoms)
        for n, c in ((0, 0), (1, 2), (5, 1), (8, 0)):

            def move(moved, size, n=n, c=c):
                moved.positions[n, c] += size
                return moved

            assert forces[n, c] == pytest.approx(-slope(calculator, atoms, move, 1e-4), abs=1e-6)
    stress = voigt_6_to_full_3x3_stress(plain.get_property("stress", atoms))
    in_field = voigt_6_to_full_3x3_stress(pulled.get_property("stress", atoms))
    charges = np.array([plain.field.charges_e[symbol] for symbol in atoms.symbols])
    of_positions = -np.outer(FIELD_V_PER_A, charges @ atoms.positions) / atoms.get_volume()
    in_field = in_field + (of_positions + of_positions.T) / 2
    for a, b in ((0, 0), (1, 2), (2, 0)):

        def strain(moved, size, a=a, b=b):
            tensor = np.zeros((3, 3))
            tensor[a, b] += size / 2
            tensor[b, a] += size / 2
            moved.set_cell(moved.cell.array @ (np.eye(3) + tensor), scale_atoms=True)
            return moved

        for calculator, found in ((plain, stress), (pulled, in_field)):
            by_difference = slope(calculator, atoms, strain, 2e-5) / atoms.get_volume()
            assert found[a, b] == pytest.approx(by_difference, abs=1e-6)


@pytest.mark.parametrize("name", [POPOFF, CL_SHELL, FITTED])
def test_energy_does_not_depend_on_how_coulomb_is_split(name):
    atoms = crystal(name)
    energies = [
        IonicCalculator(name, coulomb="ewald", cutoff_A=cutoff_A).get_property("energy", atoms)
        for cutoff_A in (3.0, 6.0, 12.0)
    ]
    assert_allclose(energies, energies[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", [POPOFF, CL_SHELL, FITTED])
def test_production_forces_keep_the_accuracy_asked_for(name):
    atoms = crystal(name, 2)
    for accuracy in (1e-4, 1e-6):
        check = IonicCalculator(name, accuracy=accuracy).self_check(atoms)
        assert check["relative_rms_force_error"] < accuracy
        assert abs(check["energy_error_eV_per_atom"]) < accuracy


def test_stiff_springs_make_rigid_ions_of_the_total_charges():
    field = load_force_field(POPOFF)
    stiff = replace(
        field, shells={s: replace(shell, spring_eV_per_A2=1e8) for s, shell in field.shells.items()}
    )
    atoms = crystal(POPOFF)
    shelled, rigid = (
        IonicCalculator(f, coulomb="ewald") for f in (stiff, load_force_field("na3ocl_popoff_q067"))
    )
    assert shelled.get_property("energy", atoms) == pytest.approx(
        rigid.get_property("energy", atoms), abs=2e-6
    )
    assert_allclose(
        shelled.get_property("forces", atoms), rigid.get_property("forces", atoms), rtol=0, atol=1e-5
    )
    soft = IonicCalculator(field, coulomb="ewald").get_property("energy", atoms)
    assert soft < rigid.get_property("energy", atoms) - 1e-4


def test_atoms_hold_ions_only_wherever_they_were_put():
    atoms = crystal(POPOFF, (2, 1, 1))
    calculator = IonicCalculator(POPOFF, coulomb="ewald")
    energy, forces = calculator.get_property("energy", atoms), calculator.get_property("forces", atoms)
    displacement, dipole = calculator.shell_displacements_A(atoms), calculator.polarization_e_A(atoms)
    sodium = np.array(atoms.symbols) == "Na"
    assert displacement.shape == forces.shape == (len(atoms), 3)
    assert_array_equal(displacement[sodium], 0.0)
    assert np.all(np.linalg.norm(displacement[~sodium], axis=1) > 1e-3)
    assert_allclose(forces.sum(axis=0), 0.0, atol=1e-9)
    assert calculator.get_property("energies", atoms).sum() == pytest.approx(energy, abs=1e-9)
    shifts = np.random.default_rng(3).integers(-2, 3, (len(atoms), 3)) @ atoms.cell.array
    moved = atoms.copy()
    moved.positions += shifts
    fresh = IonicCalculator(POPOFF, coulomb="ewald")
    assert fresh.get_property("energy", moved) == pytest.approx(energy, abs=1e-9)
    assert_allclose(fresh.shell_displacements_A(moved), displacement, atol=1e-9)
    charges = np.array([fresh.field.charges_e[symbol] for symbol in atoms.symbols])
    assert_allclose(fresh.polarization_e_A(moved) - dipole, charges @ shifts, atol=1e-7)


def test_answers_do_not_depend_on_the_past_beyond_the_tolerance():
    calculator, rng = IonicCalculator(CL_SHELL, coulomb="ewald"), np.random.default_rng(5)
    atoms = crystal(CL_SHELL)
    for step_A in (0.01, 0.01, 0.01, 0.02, 0.3, 0.01):
        atoms.positions += rng.normal(0.0, step_A, atoms.positions.shape) * (step_A < 0.1)
        atoms.positions[0] += step_A if step_A > 0.1 else 0.0
        fresh = IonicCalculator(CL_SHELL, coulomb="ewald")
        assert_allclose(
            calculator.get_property("forces", atoms), fresh.get_property("forces", atoms), atol=2e-8
        )


def test_shells_are_found_faster_along_a_trajectory_than_from_their_cores():
    atoms = crystal(POPOFF, 2)
    rng = np.random.default_rng(1)
    waves = rng.normal(0.0, 0.05, (2, *atoms.positions.shape))
    start = atoms.positions.copy()
    calculator = IonicCalculator(POPOFF)
    counts = []
    for step in range(12):
        atoms.positions = start + waves[0] * np.sin(0.06 * step) + waves[1] * np.cos(0.05 * step)
        calculator.get_property("forces", atoms)
        counts.append(calculator.settings(atoms)["shell_evaluations"])
    fresh = np.diff(counts)[-4:]
    assert fresh.max() <= 4
    assert counts[0] > 6


def test_state_continues_bit_for_bit():
    atoms, rng = crystal(POPOFF, 2), np.random.default_rng(4)
    steps = rng.normal(0.0, 0.01, (8, *atoms.positions.shape))
    whole, first, second = (IonicCalculator(POPOFF) for _ in range(3))
    moved = atoms.copy()
    for step in steps[:5]:
        moved.positions += step
        for calculator in (whole, first):
            calculator.get_property("forces", moved)
    second.set_state(first.get_state())
    assert_array_equal(second.get_property("forces", moved), whole.get_property("forces", moved))
    for step in steps[5:]:
        moved.positions += step
        assert_array_equal(second.get_property("forces", moved), whole.get_property("forces", moved))
        assert second.get_property("energy", moved) == whole.get_property("energy", moved)
    with pytest.raises(ConfigError, match="shell_tolerance_eV_per_A"):
        IonicCalculator(POPOFF, shell_tolerance_eV_per_A=1e-5).set_state(first.get_state())


def test_polarization_catastrophe_has_its_own_error():
    field = load_force_field(FITTED)
    strong = replace(field, shells=field.shells | {"O": replace(field.shells["O"], charge_e=-24.0)})
    for rattle_A in (0.0, 0.05):
        atoms = crystal(FITTED, 2, rattle_A=rattle_A, strain=0.0)
        with pytest.raises(PolarizationCatastropheError, match=r"polarisation catastrophe.*atom \d+ \(\w+\)"):
            IonicCalculator(strong, coulomb="ewald").get_property("energy", atoms)


def test_crystal_that_is_unstable_only_with_its_ions_has_no_static_dielectric_constant():
    # O shells of -8 e are stable in Li3OCl, of -9.2 e are not: the listed limit of this model.
    field = load_force_field(FITTED)
    for charge_e, stable in ((-8.8, True), (-9.4, False)):
        tried = replace(field, shells=field.shells | {"O": replace(field.shells["O"], charge_e=charge_e)})
        if stable:
            found = dielectric_constants(tried, "antiperovskite", "Li3OCl", 3.866)
            assert found["static_dielectric_constant"] > 14.1
        else:
            with pytest.raises(ForceFieldError, match="unstable against displacements"):
                dielectric_constants(tried, "antiperovskite", "Li3OCl", 3.866)


def test_errors_speak_of_ions():
    atoms = crystal(POPOFF)
    ion = int(np.flatnonzero(atoms.symbols == "O")[0])
    other = int(np.flatnonzero(atoms.symbols == "Cl")[0])
    atoms.positions[ion] = atoms.positions[other] + [0.3, 0.0, 0.0]
    with pytest.raises(CloseContactError) as caught:
        IonicCalculator(POPOFF).get_property("energy", atoms)
    assert set(caught.value.atoms) == {ion, other}
    assert set(caught.value.species) == {"O shell", "Cl shell"}
    charged = crystal(POPOFF)
    del charged[2]
    with pytest.raises(NetChargeError, match=r"net charge of -0\.670596 e"):
        IonicCalculator(POPOFF).get_property("energy", charged)
    with pytest.raises(ConfigError, match="no ion has a shell"):
        IonicCalculator("li3ocl_mouta_formal", shell_tolerance_eV_per_A=1e-5)
    with pytest.raises(ConfigError, match="shell_tolerance_eV_per_A must be a positive number"):
        IonicCalculator(POPOFF, shell_tolerance_eV_per_A=0.0)


def test_shells_do_not_matter_where_no_ion_present_has_one():
    sodium = Atoms("Na2", positions=[[0, 0, 0], [2.5, 0.3, 0.1]], cell=[6.0] * 3, pbc=True)
    options = {"net_charge": "background", "coulomb": "ewald"}
    shelled, rigid = (IonicCalculator(n, **options) for n in (POPOFF, "na3ocl_popoff_q067"))
    assert_array_equal(shelled.get_property("forces", sodium), rigid.get_property("forces", sodium))
    assert_array_equal(shelled.shell_displacements_A(sodium), 0.0)
