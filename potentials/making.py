"""Which kind of system the engine makes of some atoms, and whether one made earlier still fits them."""

import json

import numpy as np

from potentials.bonded import MolecularSystem
from potentials.core_shell import CoreShellSystem
from potentials.system import IonicSystem, find_types
from potentials.topology import MOLECULE_ID, SPECIES, Topology, find_topology

TOPOLOGY_ARRAYS = (MOLECULE_ID, SPECIES)


def make_system(calculator, numbers, cell, tuning, topology=None):
    """Return the system of these atoms: with molecules, with shells, or of rigid ions, as they are present.

    `topology` is needed where the force field has molecules or several species of one element.
    """
    field = calculator.field
    if topology is not None:
        kind = MolecularSystem if topology.kind_m else IonicSystem
        return kind(calculator, numbers, cell, tuning, topology)
    present = {field.species[i] for i in np.unique(find_types(field, numbers))}
    kind = CoreShellSystem if present & set(field.shells) else IonicSystem
    return kind(calculator, numbers, cell, tuning)


def system_of(calculator, atoms):
    """Return a new system of `atoms`, with the topology that their arrays or bonds say."""
    topology = find_topology(calculator.field, atoms) if calculator.field.has_topology else None
    system = make_system(calculator, atoms.arrays["numbers"].copy(), atoms.cell.array.copy(), None, topology)
    if topology is not None:
        system.given = given_topology(atoms)
    return system


def given_topology(atoms):
    """Return copies of the arrays that say what the atoms are; None for each that is not there."""
    return tuple(atoms.arrays[name].copy() if name in atoms.arrays else None for name in TOPOLOGY_ARRAYS)


def changed_arrays(old, atoms):
    """Return the names of the topology arrays that differ between `old` (as given) and `atoms`."""
    return [
        name
        for name, before in zip(TOPOLOGY_ARRAYS, old, strict=True)
        if not _same(before, atoms.arrays.get(name))
    ]


def still_fits(field, system, atoms):
    """Return whether `atoms`, of the same elements, are the molecules that `system` was made for.

    Without arrays that say so, bonds are held against their limits at every evaluation instead.
    """
    if not field.has_topology:
        return True
    if system.given is None:  # made from a checkpoint
        found = find_topology(field, atoms)
        same = np.array_equal(found.type_n, system.type_n) and found.members_m == system.topology.members_m
        if same and found.kind_m == system.topology.kind_m:
            system.given = given_topology(atoms)
            return True
        return False
    return not changed_arrays(system.given, atoms)


def is_given(system):
    """Return whether the atoms themselves said which molecule each of them belongs to."""
    return system.given is not None and system.given[0] is not None


def topology_state(topology):
    """Return a `Topology` as arrays and text; nothing for None."""
    if topology is None:
        return {}
    return {
        "type_n": topology.type_n.copy(),
        "molecules": json.dumps([topology.kind_m, topology.members_m]),
    }


def topology_from(state, plain):
    """Return what `topology_state` gave, or None."""
    if "molecules" not in state:
        return None
    kinds, members = json.loads(plain(state["molecules"]))
    type_n = np.array(state["type_n"], dtype=np.int64)
    molecule_n = np.full(len(type_n), -1, dtype=np.int64)
    for number, atoms in enumerate(members):
        molecule_n[atoms] = number
    return Topology(type_n, molecule_n, tuple(kinds), tuple(map(tuple, members)))


def _same(a, b):
    return a is b or (a is not None and b is not None and np.array_equal(a, b))
