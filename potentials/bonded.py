"""The inside of molecules: bonds, angles, and Coulomb taken off between atoms that do not see each other.

Loops: kernels/bonded.py. Which atoms form a molecule: topology.py.
"""

import itertools

import numpy as np

from potentials.errors import BrokenMoleculeError
from potentials.kernels import bonded as kernels
from potentials.molecules import spanning_order
from potentials.system import IonicSystem
from simtools.core.units import COULOMB_EV_A

KINDS = {"harmonic": (kernels.HARMONIC, ("k", "r0")), "morse": (kernels.MORSE, ("D", "a", "r0"))}


class Intramolecular:
    """Everything inside the molecules of one cell.

    Parameters
    ----------
    field
        The force field.
    topology
        The `Topology` of the atoms.
    charges_n
        Charges, shape (n_atoms,), e.
    alpha
        Ewald splitting, 1/Å; 0 without Coulomb.

    Attributes
    ----------
    molecule_n
        Number of the molecule of every atom, -1 for none: pairs of the same molecule are not summed.
    whole_nc
        Positions last seen, Å, every molecule in one piece beside its first atom.

    Notes
    -----
    Limit: an isolated molecule in a large cell has the energy of its bonds and angles alone.
    """

    def __init__(self, field, topology, charges_n, alpha):
        self.field, self.topology, self.alpha = field, topology, alpha
        self.molecule_n = topology.molecule_n
        n_atoms = len(topology.type_n)
        self.whole_nc = np.empty((n_atoms, 3))
        self._shift_nc = np.zeros((n_atoms, 3), dtype=np.int64)
        walk, links, terms, reach, angles, excluded = [], [], [], [], [], []
        for name, members in zip(topology.kind_m, topology.members_m, strict=True):
            molecule = field.molecules[name]
            walk += [
                (members[atom], -1 if parent < 0 else members[parent])
                for atom, parent in spanning_order(molecule)
            ]
            for bond in molecule.bonds:
                for i, j in bond.pairs:
                    links.append((members[i], members[j]))
                    reach.append(bond.longest_A)
                    if bond.form is not None:
                        kind, names = KINDS[bond.kind]
                        values = [getattr(bond.form, key) for key in names]
                        terms.append((len(links) - 1, kind, *values, *[0.0] * (3 - len(values))))
            for angle in molecule.angles:
                angles += [
                    (members[i], members[j], members[k], angle.form.k, angle.form.theta0_rad)
                    for i, j, k in angle.triples
                ]
            excluded += itertools.combinations(members, 2)
        self._walk = _columns(walk, 2)
        self._links, self._reach_b = _columns(links, 2), np.array(reach, dtype=float)
        terms = np.array(terms, dtype=float).reshape(-1, 5)
        self._bonds = (
            *(column[terms[:, 0].astype(np.int64)] for column in self._links),
            terms[:, 1].astype(np.int64),
            np.ascontiguousarray(terms[:, 2:]),
        )
        angles = np.array(angles, dtype=float).reshape(-1, 5)
        self._angles = (*_columns(angles[:, :3], 3), angles[:, 3].copy(), angles[:, 4].copy())
        i_e, j_e = _columns(excluded, 2)
        self._excluded = (i_e, j_e, COULOMB_EV_A * charges_n[i_e] * charges_n[j_e])

    def shifts(self, positions_nc, cell):
        """Return the lattice vectors that put every atom beside its molecule's first, shape (n_atoms, 3)."""
        self._make_whole(positions_nc, cell)
        return self._shift_nc

    def _make_whole(self, positions_nc, cell):
        kernels.make_whole(
            positions_nc, cell, np.linalg.inv(cell), *self._walk, self.whole_nc, self._shift_nc
        )

    def compute(self, positions_nc, cell, force_nc):
        """Add the forces to `force_nc` (eV/Å); return energies per atom (eV) and dE/dstrain (eV, (3, 3))."""
        self._make_whole(positions_nc, cell)
        broken = kernels.longest_bond(self.whole_nc, *self._links, self._reach_b)
        if broken >= 0:
            raise self._broken(broken)
        energy_n, virial_cc = np.zeros(len(positions_nc)), np.zeros((3, 3))
        kernels.bond_forces(self.whole_nc, *self._bonds, energy_n, force_nc, virial_cc)
        kernels.angle_forces(self.whole_nc, *self._angles, energy_n, force_nc, virial_cc)
        if self.alpha > 0.0:
            kernels.excluded_coulomb(
                self.whole_nc, *self._excluded, self.alpha, energy_n, force_nc, virial_cc
            )
        return energy_n, virial_cc

    def _broken(self, b):
        i, j = (int(column[b]) for column in self._links)
        molecule = int(self.molecule_n[i])
        return BrokenMoleculeError(
            j,
            self.field.element_of(self.field.species[self.topology.type_n[j]]),
            f"{molecule} ({self.topology.kind_m[molecule]})",
            i,
            float(np.linalg.norm(self.whole_nc[j] - self.whole_nc[i])),
            float(self._reach_b[b]),
        )


class MolecularSystem(IonicSystem):
    """One composition in (nearly) one cell with molecular ions: what acts between them, and inside them."""

    def _prepare(self, calculator, cell):
        self.inside = Intramolecular(
            calculator.field, self.topology, self.charges_n, self.tuning["alpha_per_A"]
        )
        self._prepare_sums(
            calculator, cell, calculator.field, self.type_n, self.charges_n, molecules=self.inside
        )

    def _sum(self, positions_nc, cell, stress):
        energy, forces_nc, virial_cc, reciprocal_n = super()._sum(positions_nc, cell, stress)
        inside_n, inside_cc = self.inside.compute(positions_nc, cell, forces_nc)
        if stress:
            virial_cc = virial_cc + inside_cc
        return energy + float(inside_n.sum()), forces_nc, virial_cc, reciprocal_n + inside_n


def _columns(rows, n):
    """Return the columns of a list of rows of atom indices as contiguous arrays."""
    table = np.array(rows, dtype=np.int64).reshape(-1, n)
    return tuple(np.ascontiguousarray(table[:, k]) for k in range(n))
