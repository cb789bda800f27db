"""Which atoms of a cell belong to which molecule, and what species each atom is: found from bonds, checked.

A topology travels with the atoms as two arrays, ``molecule_id`` (whole number, -1 for none) and
``species_label`` (species of the force field); without them it is found anew. Forces inside molecules:
bonded.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from potentials.errors import BrokenMoleculeError, TopologyError
from potentials.force_field import ForceField
from potentials.kernels.pair import list_pairs
from potentials.molecules import Molecule
from potentials.neighbours import NeighbourList
from simtools.core.errors import UnknownSpeciesError
from simtools.core.periodic import cell_heights_A

MOLECULE_ID, SPECIES = "molecule_id", "species_label"
"""Names of the arrays on ASE's Atoms."""
NEAR_A = 4.0
"""How far the nearest partner of an atom without one is looked for, for the message."""


@dataclass(frozen=True, eq=False)
class Topology:
    """What each atom is, and the molecules.

    `type_n` indexes `ForceField.species`; `molecule_n` numbers the molecules from 0 in the order of their
    first atoms, -1 for none; `kind_m` names each molecule; `members_m` lists its atoms in the order of
    `Molecule.species`.
    """

    type_n: np.ndarray
    molecule_n: np.ndarray
    kind_m: tuple[str, ...]
    members_m: tuple[tuple[int, ...], ...]

    def labels(self, field: ForceField) -> list[str]:
        """Return the species of every atom."""
        return [field.species[t] for t in self.type_n]


def find_topology(field: ForceField, atoms: Atoms) -> Topology:
    """Return the `Topology` of `atoms`.

    Atoms are bonded that are nearer than the ``longest_A`` of a bond between their elements; what hangs
    together must be one of the force field's molecules, and an atom by itself one of its other species. The
    arrays ``molecule_id`` and ``species_label``, where the atoms have them, must say the same.

    Raises
    ------
    BrokenMoleculeError
        If a molecule that ``molecule_id`` names does not hang together.
    TopologyError
        If atoms that hang together are no molecule of the force field, an atom has no partner, a label is
        another than the bonds say, or the cell is too small.
    UnknownSpeciesError
        For an element that the force field does not have.
    """
    elements = sorted({field.element_of(species) for species in field.species})
    symbols = atoms.get_chemical_symbols()
    for symbol in dict.fromkeys(symbols):
        if symbol not in elements:
            raise UnknownSpeciesError(symbol, elements)
    given = _given_molecules(atoms)
    i_p, j_p = _bonds(field, atoms, elements)
    if given is not None:
        _check_given(field, atoms, given, i_p, j_p)
    graph = coo_matrix((np.ones(len(i_p)), (i_p, j_p)), shape=(len(atoms),) * 2)
    _, component_n = connected_components(graph, directed=False)
    sizes = np.bincount(component_n)
    partners = [set() for _ in range(len(atoms))]
    for i, j in zip(i_p.tolist(), j_p.tolist(), strict=True):
        partners[i].add(j)
        partners[j].add(i)
    label_n = [""] * len(atoms)
    kinds, members = [], []
    molecule_n = np.full(len(atoms), -1, dtype=np.int64)
    seen = set()
    for n in np.flatnonzero(sizes[component_n] > 1).tolist():
        if component_n[n] in seen:
            continue
        seen.add(component_n[n])
        group = _walk(n, partners)
        molecule, order = _match(field, symbols, group, partners)
        molecule_n[group] = len(kinds)
        for label, atom in zip(molecule.species, order, strict=True):
            label_n[atom] = label
        kinds.append(molecule.name)
        members.append(tuple(order))
    _label_the_rest(field, atoms, symbols, label_n)
    if atoms.has(SPECIES):
        _check_labels(atoms.arrays[SPECIES], label_n, symbols)
    index = {species: t for t, species in enumerate(field.species)}
    type_n = np.array([index[label] for label in label_n], dtype=np.int64)
    return Topology(type_n, molecule_n, tuple(kinds), tuple(members))


def species_labels(field: ForceField, atoms: Atoms) -> list[str]:
    """Return the species of every atom: its element, or what `find_topology` says where there are more."""
    if not field.has_topology:
        return atoms.get_chemical_symbols()
    return find_topology(field, atoms).labels(field)


def set_topology(field: ForceField, atoms: Atoms) -> None:
    """Write the arrays ``molecule_id`` and ``species_label`` onto `atoms`, in place.

    They stay with the atoms through supercells, copies and files that keep arrays. Does nothing for a force
    field without molecules and labelled species.
    """
    if not field.has_topology:
        return
    bare = atoms.copy()
    for name in (MOLECULE_ID, SPECIES):
        bare.arrays.pop(name, None)
    topology = find_topology(field, bare)
    atoms.set_array(MOLECULE_ID, topology.molecule_n)
    atoms.set_array(SPECIES, np.array(topology.labels(field)))


def _given_molecules(atoms):
    """Return the array of molecule numbers, or None; in copies side by side a number may come again."""
    if not atoms.has(MOLECULE_ID):
        return None
    given = np.asarray(atoms.arrays[MOLECULE_ID])
    if given.shape != (len(atoms),) or given.dtype.kind not in "iu":
        raise TopologyError(
            f"the array {MOLECULE_ID!r} must hold one whole number per atom (-1 for none), got "
            f"{given.dtype} of shape {given.shape}"
        )
    return given


def _bonds(field, atoms, elements):
    """Return the bonded pairs of atoms, each once."""
    index = {element: t for t, element in enumerate(elements)}
    reach_tt = np.zeros((len(elements),) * 2)
    for molecule in field.molecules.values():
        for i, j in molecule.bonded_pairs:
            a, b = index[molecule.elements[i]], index[molecule.elements[j]]
            reach_tt[a, b] = reach_tt[b, a] = max(reach_tt[a, b], molecule.longest_bond_A(i, j))
    if not np.any(reach_tt):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    height = float(cell_heights_A(atoms.cell.array).min())
    if height <= 2.0 * reach_tt.max():
        raise TopologyError(
            f"the cell is {height:.2f} Å high at its lowest, expected more than twice the longest bond of "
            f"{reach_tt.max():g} Å; use a larger cell"
        )
    numbers = {symbol: index[symbol] for symbol in elements}
    type_n = np.array([numbers[chemical_symbols[z]] for z in atoms.numbers], dtype=np.int64)
    i_p, j_p, _ = _near_pairs(atoms, type_n, reach_tt)
    return i_p, j_p


def _near_pairs(atoms, type_n, reach_tt):
    neighbours = NeighbourList(type_n, reach_tt, 0.0)
    neighbours.update(np.ascontiguousarray(atoms.positions, dtype=float), atoms.cell.array)
    i_p = np.empty(len(neighbours.neighbour_k), dtype=np.int64)
    j_p, r_p = np.empty_like(i_p), np.empty(len(i_p))
    listed = (neighbours.r_xc, neighbours.type_x, neighbours.first_it, neighbours.neighbour_k)
    found = list_pairs(*listed, reach_tt**2, i_p, j_p, r_p)
    owner_x = neighbours.owner_x
    return owner_x[i_p[:found]], owner_x[j_p[:found]], r_p[:found]


def _check_given(field, atoms, given, i_p, j_p):
    """Refuse bonds between molecules, and molecules of one number that hang together at no bond."""
    symbols = atoms.get_chemical_symbols()
    across = np.flatnonzero((given[i_p] != given[j_p]) | (given[i_p] < 0))
    if len(across):
        i, j = int(i_p[across[0]]), int(j_p[across[0]])
        raise TopologyError(
            f"atoms {i} ({symbols[i]}) and {j} ({symbols[j]}) are as near as a bond, but {MOLECULE_ID} is "
            f"{given[i]} and {given[j]}: molecules came too close, or remove the array to have it found"
        )
    lonely = np.setdiff1d(np.flatnonzero(given >= 0), np.concatenate([i_p, j_p]))
    if len(lonely):
        atom = int(lonely[0])
        raise BrokenMoleculeError(
            atom, symbols[atom], int(given[atom]), *_nearest_partner(field, atoms, atom)
        )


def _walk(start, partners):
    group, todo = {start}, [start]
    while todo:
        for other in partners[todo.pop()]:
            if other not in group:
                group.add(other)
                todo.append(other)
    return sorted(group)


def _match(field, symbols, group, partners):
    """Return the molecule that these atoms are, and the atoms in its order."""
    found = sorted(symbols[n] for n in group)
    for molecule in field.molecules.values():
        if sorted(molecule.elements) == found:
            order = _assign(molecule, symbols, group, partners)
            if order is not None:
                return molecule, order
    known = "; ".join(
        f"{molecule.name} of {' '.join(molecule.elements)}" for molecule in field.molecules.values()
    )
    counts = " ".join(f"{symbol}{found.count(symbol)}" for symbol in dict.fromkeys(found))
    shown = ", ".join(f"{n} ({symbols[n]})" for n in group[:8]) + (", ..." if len(group) > 8 else "")
    raise TopologyError(
        f"atoms {shown} hang together ({counts}), which is no molecule of {field.name}; it has {known}: a "
        "molecule is broken, or two came as near as a bond"
    )


def _assign(molecule: Molecule, symbols, group, partners):
    """Return the atoms of `group` in the molecule's order, lowest numbers first; None if it is no match."""
    bonds = [set() for _ in range(molecule.n_atoms)]
    for i, j in molecule.bonded_pairs:
        bonds[i].add(j)
        bonds[j].add(i)
    order: list[int] = []

    def place(k):
        if k == molecule.n_atoms:
            return True
        for atom in group:
            if atom in order or symbols[atom] != molecule.elements[k]:
                continue
            if len(partners[atom]) != len(bonds[k]):
                continue
            if all((order[m] in partners[atom]) == (m in bonds[k]) for m in range(k)):
                order.append(atom)
                if place(k + 1):
                    return True
                order.pop()
        return False

    return order if place(0) else None


def _label_the_rest(field, atoms, symbols, label_n):
    """Name the atoms outside molecules: the species of their element that belongs to none."""
    bound = {label for molecule in field.molecules.values() for label in molecule.species}
    free: dict[str, list[str]] = {}
    for species in field.species:
        if species not in bound:
            free.setdefault(field.element_of(species), []).append(species)
    given = atoms.arrays.get(SPECIES)
    for n, symbol in enumerate(symbols):
        if label_n[n]:
            continue
        choices = free.get(symbol, [])
        if not choices:
            owner = next(m.name for m in field.molecules.values() if symbol in m.elements)
            nearest, distance_A, longest_A = _nearest_partner(field, atoms, n)
            where = (
                f"none lies within {NEAR_A:g} Å"
                if nearest is None
                else f"the nearest is atom {nearest}, {distance_A:.3f} Å away "
                f"(a bond reaches {longest_A:g} Å)"
            )
            raise TopologyError(
                f"atom {n} ({symbol}) has no partner: in {field.name} every {symbol} belongs to {owner}; "
                f"{where}"
            )
        if len(choices) > 1 and given is not None and str(given[n]) in choices:
            label_n[n] = str(given[n])
        elif len(choices) > 1:
            raise TopologyError(
                f"atom {n} ({symbol}) may be {' or '.join(choices)} in {field.name}; say which in the array "
                f"{SPECIES!r} of the atoms"
            )
        else:
            label_n[n] = choices[0]


def _nearest_partner(field, atoms, atom):
    """Return the nearest atom that `atom` could be bonded to, its distance and that bond's reach, Å."""
    symbols = np.array(atoms.get_chemical_symbols())
    reach = {}
    for molecule in field.molecules.values():
        for i, j in molecule.bonded_pairs:
            for here, there in ((i, j), (j, i)):
                if molecule.elements[here] == symbols[atom]:
                    longest = molecule.longest_bond_A(i, j)
                    reach[molecule.elements[there]] = max(reach.get(molecule.elements[there], 0.0), longest)
    candidates = np.flatnonzero(np.isin(symbols, list(reach)))
    candidates = candidates[candidates != atom]
    if len(candidates) == 0:
        return None, float("nan"), max(reach.values())
    distances = atoms.get_distances(atom, candidates, mic=True)
    nearest = int(candidates[np.argmin(distances)])
    longest = reach[str(symbols[nearest])]
    if distances.min() > NEAR_A:
        return None, float("nan"), longest
    return nearest, float(distances.min()), longest


def _check_labels(given, label_n, symbols):
    for n, (said, found) in enumerate(zip(given, label_n, strict=True)):
        if str(said) != found:
            raise TopologyError(
                f"the array {SPECIES!r} calls atom {n} ({symbols[n]}) {str(said)!r}, its bonds make it "
                f"{found!r}; correct or remove the array"
            )
