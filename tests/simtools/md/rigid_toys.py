"""Free and held rigid bodies for the tests of the integrator: no force, or springs to where atoms started."""

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from simtools.md.dynamics import draw_momenta
from simtools.md.forces import ForceEvaluator

TETRAHEDRON = 1.22 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
SHAPES = {
    "linear": ("OH", np.array([[0, 0, 0], [0, 0, 0.96]])),
    "spherical top": ("BH4", np.vstack([[0, 0, 0], TETRAHEDRON])),
    "asymmetric top": ("NO2", np.array([[0, 0, 0], [1.07, 0, 0.66], [-1.07, 0, 0.66]])),
}


class Springs(Calculator):
    """Every atom held to a point by a spring and to every other atom by a weaker one through the cell."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 (ASE's contract)

    def __init__(self, scaled, stiffness):
        super().__init__()
        self.scaled, self.stiffness = scaled, stiffness

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Springs between atoms and points that follow the cell."""
        cell = atoms.cell.array
        away = atoms.positions - self.scaled @ cell
        forces = -self.stiffness * away
        energy = 0.5 * self.stiffness * float((away**2).sum())
        stress = -(away.T @ forces) / atoms.get_volume()
        voigt = [stress[0, 0], stress[1, 1], stress[2, 2], stress[1, 2], stress[0, 2], stress[0, 1]]
        self.results = {"energy": energy, "free_energy": energy, "forces": forces, "stress": np.array(voigt)}


def bodies_of(kind, *, n=4, temperature_K=300.0, seed=1, stiffness=2.0):
    """Return an evaluator of `n` molecules and as many single atoms, thermal, held by springs."""
    symbols, shape = SHAPES[kind]
    rng = np.random.default_rng(seed)
    atoms = Atoms(cell=[12.0, 13.0, 14.0], pbc=True)
    for _ in range(n):
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        atoms += Atoms(symbols, positions=shape @ turn.T + rng.uniform(2, 10, 3))
    atoms += Atoms(f"Na{n}", positions=rng.uniform(2, 10, size=(n, 3)))
    identity = np.concatenate([np.repeat(np.arange(n), len(shape)), np.full(n, -1)])
    atoms.set_array("molecule_id", identity)
    atoms.set_momenta(draw_momenta(atoms.get_masses(), temperature_K, rng))
    anchors = atoms.positions + rng.normal(0.0, 0.1, size=(len(atoms), 3))
    scaled = np.linalg.solve(atoms.cell.array.T, anchors.T).T
    return ForceEvaluator(atoms, Springs(scaled, stiffness))
