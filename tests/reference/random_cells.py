"""Random periodic cells for every shipped force field: what the engines are compared on.

Perturbed crystals in skewed supercells (with and without vacancies) and random packings; seeded, so that a
number names a cell for good.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from ase import Atoms
from ase.build import make_supercell

from potentials.check import prototype_cell
from potentials.schema import list_force_fields, load_force_field

CRYSTALS = {
    # force field: (prototype, formula, lattice parameter, {symbol: what it may be replaced by})
    "li3ocl_mouta_formal": ("antiperovskite", "Li3OCl", 3.9, {}),
    "na3ocl_popoff_q067": ("antiperovskite", "Na3OCl", 4.45, {}),
    "mna_oxyhalide_formal": ("antiperovskite", "Na3OCl", 4.4, {"Na": "Li", "Cl": "Br"}),
    "oxyhalide_doped_formal": ("antiperovskite", "Li3OCl", 3.9, {"Li": "Mg", "O": "F"}),
    "lennard_jones": ("fcc", "Ar", 5.4, {}),
    "lennard_jones_binary": ("fcc", "Ar", 5.2, {"Ar": "Ne"}),
}
N_CELLS = 60  # sizes from 40 to 2000 ions are spread evenly (in the logarithm) over so many cells
CLOSEST_A = {"like": 2.6, "unlike": 1.75, "neutral": 2.9}


@dataclass(frozen=True)
class RandomCell:
    """One cell with the force field and options it is meant for."""

    label: str
    force_field: object
    atoms: Atoms
    net_charge: str | None

    @property
    def options(self):
        """Keyword for the calculator and for LAMMPS."""
        return {"net_charge": self.net_charge} if self.net_charge else {}


def rigid_force_fields():
    """Return the names of the shipped force fields without shells and molecules."""
    fields = {name: load_force_field(name) for name in list_force_fields()}
    return [name for name, field in fields.items() if not (field.shells or field.molecules)]


def random_cell(number, *, n_ions=None):
    """Return cell `number`; force fields take turns, sizes run from about 40 to 2000 ions."""
    names = rigid_force_fields()
    missing = set(names) - set(CRYSTALS)
    if missing:
        raise KeyError(f"say in CRYSTALS which crystal suits {sorted(missing)}")
    rng = np.random.default_rng([20, number])
    force_field = load_force_field(names[number % len(names)])
    if n_ions is None:
        n_ions = round(46 * (2000 / 46) ** (37 * number % N_CELLS / (N_CELLS - 1)))
    kind = ("crystal", "vacancies", "packing")[(number // len(names)) % 3]
    if kind == "packing":
        atoms = random_packing(force_field, min(n_ions, 400), rng)
    else:
        atoms = perturbed_crystal(force_field, n_ions, rng)
    if kind == "vacancies":
        gone = rng.choice(len(atoms), size=rng.integers(1, 4), replace=False)
        del atoms[sorted(gone.tolist())]
    atoms.positions += rng.integers(-2, 3, size=(len(atoms), 3)) @ atoms.cell[:]  # ions may be anywhere
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    atoms.set_cell(atoms.cell[:] @ turn, scale_atoms=True)
    charge = force_field.formula_charge_e(atoms.get_chemical_symbols())
    background = "background" if abs(charge) > 1e-8 else None
    label = f"{number}-{force_field.name}-{kind}-{len(atoms)}"
    return RandomCell(label, force_field, atoms, background)


def perturbed_crystal(force_field, n_ions, rng):
    """Return a hot, slightly strained crystal in a supercell of random shape: cubic to strongly triclinic."""
    prototype, formula, a, replaced = CRYSTALS[force_field.name]
    unit = prototype_cell(prototype, formula, a)
    edge = (n_ions / len(unit)) ** (1 / 3)
    cubic = rng.uniform() < 0.15
    shape = np.diag(rng.permutation(repeats_of_about(n_ions / len(unit))))
    skew = np.eye(3, dtype=int)
    for row, column in ((1, 0), (2, 0), (2, 1)):
        skew[row, column] = rng.integers(-1, 2)
    if cubic:
        shape = max(1, round(edge)) * np.eye(3, dtype=int)
    elif rng.uniform() < 0.8:  # the others stay nearly rectangular
        shape = skew @ shape
    atoms = make_supercell(unit, shape)
    symbols = np.array(atoms.get_chemical_symbols())
    for old, new in replaced.items():
        symbols[(symbols == old) & (rng.uniform(size=len(symbols)) < 0.3)] = new
    atoms.set_chemical_symbols(symbols.tolist())
    strain = np.eye(3) + (0.0 if cubic else 0.03) * rng.normal(size=(3, 3))
    atoms.set_cell(atoms.cell[:] @ strain, scale_atoms=True)
    atoms.positions += 0.12 * rng.normal(size=(len(atoms), 3))
    return atoms


def repeats_of_about(n_units):
    """Return three unequal repeats whose product is as near to `n_units` as such numbers come."""
    edge = n_units ** (1 / 3)
    sides = range(max(1, round(0.6 * edge)), max(2, round(1.7 * edge)) + 1)
    return min(product(sides, repeat=3), key=lambda abc: (abs(np.prod(abc) - n_units), -len(set(abc)), abc))


def random_packing(force_field, n_ions, rng):
    """Return ions dropped one by one into a random triclinic cell, none too close to another's image."""
    prototype, formula, a, replaced = CRYSTALS[force_field.name]
    unit = prototype_cell(prototype, formula, a)
    symbols = unit.get_chemical_symbols() * max(1, round(n_ions / len(unit)))
    symbols = [replaced[s] if s in replaced and rng.uniform() < 0.3 else s for s in symbols]
    cell = np.eye(3) + np.tril(rng.uniform(-0.8, 0.8, size=(3, 3)), -1)
    cell *= (len(symbols) * unit.get_volume() / len(unit) * 2.2 / np.linalg.det(cell)) ** (1 / 3)
    images = np.array(list(product((-1, 0, 1), repeat=3))) @ cell
    placed = np.empty((0, 3))
    charges = np.array([force_field.charges_e[s] for s in symbols])
    while len(placed) < len(symbols):
        here = rng.uniform(size=3) @ cell
        if len(placed):
            offsets = (placed - here)[:, None, :] + images
            nearest = np.linalg.norm(offsets, axis=2).min(1)
            product_qq = charges[: len(placed)] * charges[len(placed)]
            allowed = np.where(product_qq > 0, CLOSEST_A["like"], CLOSEST_A["unlike"])
            allowed[product_qq == 0] = CLOSEST_A["neutral"]
            if (nearest < allowed).any():
                continue
        placed = np.vstack([placed, here])
    return Atoms(symbols, positions=placed, cell=cell, pbc=True)
