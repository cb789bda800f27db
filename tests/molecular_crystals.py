"""Small crystals with molecular ions for the tests of the engine, built by hand and shaken."""

import numpy as np
from ase import Atoms

from potentials.schema import load_force_field

TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
FACES = [(0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]


def lithium_hydroxide(bond_A=0.97):
    """Return the cell of LiOH, two formula units."""
    z, h = 0.194, bond_A / 4.34
    scaled = [(0, 0, 0), (0.5, 0.5, 0), (0, 0.5, z), (0.5, 0, -z), (0, 0.5, z + h), (0.5, 0, -z - h)]
    return Atoms("Li2O2H2", scaled_positions=scaled, cell=[3.55, 3.55, 4.34], pbc=True)


def sodium_borohydride_oxide():
    """Return the cell of Na3OBH4, one formula unit, the anion across the cell's corner."""
    frame = Atoms("Na3OB", scaled_positions=[*FACES, (0.5,) * 3, (0, 0, 0)], cell=[4.6] * 3, pbc=True)
    return frame + Atoms("H4", positions=1.22 * TETRAHEDRON)


def sodium_nitrite_oxide():
    """Return the cell of Na3O(NO2), one formula unit."""
    half = np.radians(116.86 / 2)
    frame = Atoms("Na3ON", scaled_positions=[*FACES, (0.5,) * 3, (0, 0, 0)], cell=[4.6] * 3, pbc=True)
    arms = 1.2554 * np.array([[np.sin(half), 0, np.cos(half)], [-np.sin(half), 0, np.cos(half)]])
    return frame + Atoms("O2", positions=arms)


def lithium_hydroxide_chloride():
    """Return Li3OCl with a hydroxide for an oxide and the vacancy that it needs: Li2OHCl beside Li3OCl."""
    frame = Atoms("Li3OCl", scaled_positions=[*FACES, (0.5,) * 3, (0, 0, 0)], cell=[3.9] * 3, pbc=True)
    crystal = frame * (2, 1, 1)
    del crystal[0]
    oxygen = int(np.flatnonzero(crystal.numbers == 8)[0])
    return crystal + Atoms("H", positions=[crystal.positions[oxygen] + [0.0, 0.0, 0.97]])


CRYSTALS = {
    "li2ohcl_catlow_oh": lithium_hydroxide,
    "na3obh4_esp": sodium_borohydride_oxide,
    "na3no3_esp": sodium_nitrite_oxide,
}


def shaken(name, *, repeat=(2, 2, 1), seed=1, wrapped=True):
    """Return force field and a hot, skewed supercell of its crystal, every atom wrapped into the cell."""
    atoms = CRYSTALS[name]() * repeat
    atoms.rattle(0.05, seed=seed)
    skew = np.array([[1, 0.05, 0], [0.02, 1, 0.04], [0, 0.03, 1]])
    atoms.set_cell(atoms.cell.array @ skew, scale_atoms=True)
    if wrapped:
        atoms.wrap()
    return load_force_field(name), atoms
