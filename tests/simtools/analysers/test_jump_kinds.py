"""Kinds of jumps counted by symmetry, where the crystal says how many there are."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from simtools.analysers.jump_kinds import JumpKinds, jump_kinds
from simtools.analysers.jump_rates import jump_rates
from simtools.analysers.lattice_gas import site_network, vacancy_lattice_gas
from simtools.core.errors import ConfigError
from simtools.structures.prototypes import build_prototype
from simtools.structures.supercells import build_supercell


def gas_on(atoms, *, species="Li", duration_ps=300.0, longest_A=None, seed=0):
    own = np.flatnonzero(np.array(atoms.get_chemical_symbols()) == species)
    gas = vacancy_lattice_gas(
        site_network(atoms.positions[own], atoms.cell.array, longest_A=longest_A),
        n_vacancies=4,
        jump_rate_per_ps=0.1,
        duration_ps=duration_ps,
        seed=seed,
        species=species,
    )
    return replace(
        gas,
        initial_sites=own[gas.initial_sites],
        final_sites=own[gas.final_sites],
        site_indices=own,
    )


def test_the_cubic_crystal_has_one_near_jump_and_two_far_ones():
    atoms = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=3.9), (3, 3, 3))
    gas = gas_on(atoms)
    kinds = jump_kinds(gas, atoms)
    assert kinds.space_group == "Pm-3m"
    assert kinds.lengths_A == pytest.approx([3.9 / np.sqrt(2), 3.9, 3.9])
    assert kinds.ways[0] == 8
    assert sorted(kinds.ways[1:].tolist()) == [2, 4]
    assert kinds.reverse.tolist() == [0, 1, 2]
    assert kinds.counts.tolist() == [gas.n_jumps, 0, 0]
    assert kinds.rates[0].value == pytest.approx(jump_rates(gas).rate_per_ion.value)
    assert [rate.is_limit for rate in kinds.rates] == [False, True, True]
    assert kinds.n_other == 0
    assert JumpKinds.from_json(kinds.to_json()).to_json() == kinds.to_json()


def test_a_cell_that_breathes_or_is_small_keeps_its_kinds():
    atoms = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=3.9), (2, 2, 2))
    gas = gas_on(atoms, longest_A=4.0)
    grown = replace(gas, vectors_A=1.02 * gas.vectors_A, sites_A=1.02 * gas.sites_A, cell_A=1.02 * gas.cell_A)
    for jumps in (gas, grown):
        kinds = jump_kinds([jumps, jumps], atoms)
        assert kinds.n_other == 0
        assert kinds.counts.sum() == 2 * gas.n_jumps
        assert (kinds.counts > 0).all()
        # every way out is tried at one rate
        per_way = kinds.counts / kinds.ways
        assert np.ptp(per_way) < 5 * np.sqrt(per_way.mean())


def test_jumps_between_unlike_sites_come_in_pairs_of_kinds_that_balance():
    # a row along x with two distances in turn, and a neighbour on one side of every second site
    atoms = Atoms(
        ["Li", "Li", "O"],
        positions=[[0, 0, 0], [3.0, 0, 0], [0, 2.0, 0]],
        cell=[6.5, 8.0, 8.0],
        pbc=True,
    )
    atoms = build_supercell(atoms, (6, 2, 2))
    kinds = jump_kinds(gas_on(atoms, longest_A=3.6), atoms, longest_A=3.6)
    assert kinds.lengths_A == pytest.approx([3.0, 3.0, 3.5, 3.5])
    assert kinds.reverse.tolist() == [1, 0, 3, 2]
    assert (kinds.ways == 1).all()
    assert (kinds.balance_p_values > 1e-3).all()
    lopsided = gas_on(atoms, longest_A=3.6)
    kept = np.ones(lopsided.n_jumps, dtype=bool)
    kept[np.flatnonzero(np.isclose(lopsided.lengths_A, 3.0) & (lopsided.initial_sites == 0))] = False
    first = lopsided.initial_sites % 3 == 0
    kept &= ~(np.isclose(lopsided.lengths_A, 3.0) & first)
    fields = ("ions", "initial_sites", "final_sites", "last_ps", "first_ps", "vectors_A")
    one_way = replace(lopsided, **{name: getattr(lopsided, name)[kept] for name in fields})
    assert jump_kinds(one_way, atoms, longest_A=3.6).balance_p_values[:2].max() < 1e-6


def test_another_crystal_is_refused():
    atoms = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=3.9), (2, 2, 2))
    gas = gas_on(atoms)
    with pytest.raises(ConfigError, match="are not the 24 sites"):
        jump_kinds(
            gas, build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=3.9), (3, 2, 2))
        )
    with pytest.raises(ConfigError, match="one species"):
        jump_kinds([gas, replace(gas, species="Na")], atoms)
