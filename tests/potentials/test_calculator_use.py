"""The calculator as a guest of ASE: options, refusals, caching, and states that continue bit for bit."""

import copy
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms, units
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet
from numpy.testing import assert_array_equal

from potentials.calculator import IonicCalculator
from potentials.errors import CloseContactError, NetChargeError, NonFiniteError
from potentials.schema import load_force_field
from simtools.core.errors import ConfigError, UnknownSpeciesError

LI3OCL = "li3ocl_mouta_formal"


def crystal(repeat=2, seed=1):
    """Return rattled cubic Li3OCl."""
    cell = Atoms(
        "ClOLi3",
        scaled_positions=[[0, 0, 0], [0.5] * 3, [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
        cell=[3.9] * 3,
        pbc=True,
    )
    atoms = cell.repeat(repeat)
    atoms.positions += np.random.default_rng(seed).normal(0.0, 0.1, atoms.positions.shape)
    return atoms


def hot_crystal():
    atoms = crystal()
    thermalize_momenta(atoms, temperature_K=1200, rng=np.random.default_rng(2))
    return atoms


@pytest.mark.parametrize("stress_first", [False, True])
def test_a_run_continued_from_its_state_has_the_bits_of_an_uninterrupted_one(stress_first):
    atoms = hot_crystal()
    atoms.calc = IonicCalculator(LI3OCL, skin_A=0.5)
    if stress_first:
        atoms.get_stress()
    dynamics = VelocityVerlet(atoms, 2.0 * units.fs)
    dynamics.run(23)
    assert atoms.calc.settings(atoms)["neighbour_list_builds"] > 1
    state, positions, momenta = atoms.calc.get_state(), atoms.positions.copy(), atoms.get_momenta()
    dynamics.run(40)

    again = Atoms(atoms.symbols, positions=positions, momenta=momenta, cell=atoms.cell, pbc=True)
    again.calc = IonicCalculator(LI3OCL, skin_A=0.5)
    again.calc.set_state(state)
    VelocityVerlet(again, 2.0 * units.fs).run(40)
    assert_array_equal(again.positions, atoms.positions)
    assert_array_equal(again.get_momenta(), atoms.get_momenta())
    assert again.get_potential_energy() == atoms.get_potential_energy()


def test_a_state_holds_only_arrays_numbers_and_strings_and_survives_numpy_storage(tmp_path):
    atoms = crystal()
    first = IonicCalculator(LI3OCL)
    first.get_property("forces", atoms)
    state = first.get_state()
    assert {type(value) for value in state.values()} <= {np.ndarray, int, float, str}
    np.savez(tmp_path / "state.npz", **state)
    with np.load(tmp_path / "state.npz") as stored:
        second = IonicCalculator(LI3OCL)
        second.set_state(dict(stored))
    atoms.positions += 0.01
    assert_array_equal(second.get_property("forces", atoms), first.get_property("forces", atoms))
    fresh = IonicCalculator(LI3OCL)
    fresh.set_state(IonicCalculator(LI3OCL).get_state())
    assert fresh.get_property("energy", atoms) == pytest.approx(first.get_property("energy", atoms), rel=1e-9)


def test_a_state_of_another_force_field_or_setting_is_refused():
    state = IonicCalculator(LI3OCL).get_state()
    with pytest.raises(ConfigError, match="force_field_sha256"):
        IonicCalculator("na3ocl_popoff_q067").set_state(state)
    with pytest.raises(ConfigError, match="skin_A"):
        IonicCalculator(LI3OCL, skin_A=2.0).set_state(state)


def test_results_do_not_depend_on_the_history_of_the_neighbour_list():
    atoms, moved = crystal(), crystal(seed=9)
    used, fresh = IonicCalculator(LI3OCL), IonicCalculator(LI3OCL)
    for seed in range(4):
        used.get_property("forces", crystal(seed=seed))
    used.get_property("forces", atoms)
    np.testing.assert_allclose(
        used.get_property("forces", moved), fresh.get_property("forces", moved), rtol=0, atol=1e-11
    )


def test_asking_for_the_stress_leaves_the_force_bits_alone():
    atoms = crystal()
    plain, stressed = IonicCalculator(LI3OCL), IonicCalculator(LI3OCL)
    stressed.get_property("stress", atoms)
    assert_array_equal(plain.get_property("forces", atoms), stressed.get_property("forces", atoms))
    assert plain.get_property("energy", atoms) == stressed.get_property("energy", atoms)


def test_results_follow_the_atoms_and_are_copies():
    atoms = crystal()
    atoms.calc = IonicCalculator(LI3OCL)
    forces, energy = atoms.get_forces(), atoms.get_potential_energy()
    assert atoms.calc.get_property("stress", atoms, allow_calculation=False) is None
    atoms.get_forces()[:] = 0.0
    assert_array_equal(atoms.get_forces(), forces)
    atoms.positions[0] += 0.1
    assert atoms.calc.check_state(atoms) == ["positions"]
    assert atoms.get_potential_energy() != energy
    atoms.set_cell(atoms.cell.array * 1.01)
    assert atoms.calc.check_state(atoms) == ["cell"]
    larger = crystal(3)
    larger.calc = atoms.calc
    assert len(larger.get_forces()) == len(larger)


def test_a_cell_that_grew_far_is_tuned_again():
    atoms = crystal()
    calculator = IonicCalculator(LI3OCL)
    before = calculator.settings(atoms)["mesh_shape"]
    atoms.set_cell(atoms.cell.array * 1.03, scale_atoms=True)
    assert calculator.settings(atoms)["mesh_shape"] == before
    atoms.set_cell(atoms.cell.array * 2.0, scale_atoms=True)
    assert calculator.settings(atoms)["mesh_shape"] != before
    assert calculator.self_check(atoms)["relative_rms_force_error"] < 1e-4


def test_settings_are_json_and_say_what_was_chosen():
    atoms = crystal()
    settings = IonicCalculator(LI3OCL, accuracy=1e-5).settings(atoms)
    assert json.loads(json.dumps(settings)) == settings
    assert settings["accuracy"] == 1e-5
    assert 0 < settings["alpha_per_A"] < 2
    assert settings["estimated_relative_rms_force_error"] <= 1e-5
    assert settings["closest_distance_A"]["Li-O"] == pytest.approx(0.198, abs=1e-3)
    assert not settings["background"]
    json.dumps(IonicCalculator("lennard_jones").settings(Atoms("Ar", cell=[5] * 3, pbc=True)))


def test_a_net_charge_must_be_declared():
    atoms = crystal()
    del atoms[2]
    with pytest.raises(NetChargeError, match=r"-1 e.*net_charge = \"background\"") as caught:
        IonicCalculator(LI3OCL).get_property("energy", atoms)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    declared = IonicCalculator(LI3OCL, net_charge="background")
    assert declared.settings(atoms)["background"]
    assert declared.settings(atoms)["net_charge_e"] == pytest.approx(-1.0)


def test_ions_inside_the_turning_point_are_named():
    atoms = crystal(3)
    oxygen = int(np.flatnonzero(atoms.symbols == "O")[0])
    atoms.positions[7] = atoms.positions[oxygen] + [0.12, 0.0, 0.0]
    species = atoms.get_chemical_symbols()
    for options in ({}, {"coulomb": "ewald"}):
        with pytest.raises(CloseContactError) as caught:
            IonicCalculator(LI3OCL, **options).get_property("forces", atoms)
        assert set(caught.value.atoms) == {7, oxygen}
        assert caught.value.distance_A == pytest.approx(0.12)
        caught.value.when = "step 12 (0.012 ps)"
        message = str(pickle.loads(pickle.dumps(caught.value)))
        assert species[7] in message
        assert "0.1200 Å" in message
        assert "step 12" in message


def test_two_atoms_on_one_place_are_named_even_without_a_turning_point():
    atoms = Atoms("Ar2", positions=[[0, 0, 0], [10.0, 0, 0]], cell=[10.0] * 3, pbc=True)
    for pair_terms in ("tables", "exact"):
        with pytest.raises(CloseContactError):
            IonicCalculator("lennard_jones", pair_terms=pair_terms).get_property("energy", atoms)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", [LI3OCL, "lennard_jones"])
def test_positions_that_are_no_numbers_raise(bad, name):
    atoms = (
        crystal()
        if name == LI3OCL
        else Atoms("Ar8", positions=np.arange(24).reshape(8, 3), cell=[30] * 3, pbc=True)
    )
    calculator = IonicCalculator(name)
    calculator.get_property("forces", atoms)
    atoms.positions[3, 1] = bad
    with pytest.raises(NonFiniteError, match="position of atom 3"):
        calculator.get_property("forces", atoms)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coulomb": "pppm"}, "coulomb must be one of"),
        ({"coulomb": "none"}, "carry charges"),
        ({"net_charge": "ignore"}, "net_charge must be"),
        ({"accuracy": 0.5}, "between 1e-9 and 0.1"),
        ({"accuracy": -1.0}, "accuracy must be a positive number"),
        ({"accuracy": 1e-5, "coulomb": "ewald"}, "has no meaning"),
        ({"skin_A": 0}, "skin_A must be a positive number"),
        ({"cutoff_A": "9"}, "cutoff_A must be a positive number"),
        ({"pair_terms": "splines"}, "pair_terms must be one of"),
        ({"pair_terms": "tables", "coulomb": "ewald"}, "pair_terms = 'exact' only"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        IonicCalculator(LI3OCL, **options)


def test_coulomb_options_are_refused_where_no_ion_is_charged():
    for options in ({"coulomb": "pme"}, {"net_charge": "background"}, {"cutoff_A": 9.0}):
        with pytest.raises(ConfigError):
            IonicCalculator("lennard_jones", **options)
    with pytest.raises(TypeError, match="cutof_A"):
        IonicCalculator(LI3OCL, cutof_A=9.0)


def test_atoms_that_do_not_fit_are_refused():
    calculator = IonicCalculator(LI3OCL)
    atoms = crystal()
    atoms.symbols[0] = "K"
    with pytest.raises(UnknownSpeciesError, match=r"'K'; available: .*Li"):
        calculator.get_property("energy", atoms)
    slab = crystal()
    slab.pbc = [True, True, False]
    with pytest.raises(ConfigError, match="periodic in all three directions"):
        calculator.get_property("energy", slab)
    with pytest.raises(ConfigError, match="three independent lattice vectors"):
        calculator.get_property("energy", Atoms("LiCl", positions=[[0, 0, 0], [2, 0, 0]], pbc=True))
    with pytest.raises(ConfigError, match="no atoms"):
        calculator.calculate()


def test_partial_charges_that_nearly_cancel_count_as_neutral():
    field = load_force_field(LI3OCL)
    charges = {"Li": 0.670596, "O": -1.341191, "Cl": -0.670596}
    rounded = replace(field, charges_e=charges)
    assert IonicCalculator(rounded).settings(crystal())["background"] is False


def test_a_copied_calculator_has_a_memory_of_its_own():
    first, second = (crystal(seed=seed) for seed in (1, 2))
    calculator = IonicCalculator(LI3OCL)
    energy_1 = calculator.get_property("energy", first)
    energy_2 = copy.copy(calculator).get_property("energy", second)
    assert abs(energy_1 - energy_2) > 1e-3
    assert calculator.get_property("energy", second) == pytest.approx(energy_2, rel=1e-12)
    assert calculator.get_property("energy", first) == pytest.approx(energy_1, rel=1e-12)


def test_one_missing_ion_is_a_net_charge_in_a_cell_of_any_size():
    field = load_force_field("na3ocl_popoff_q067")
    crystal = ["Na", "Na", "Na", "O", "Cl"] * 300_000
    assert field.is_neutral(crystal)
    assert not field.is_neutral(crystal[1:])
