"""The embedded engine for `engine.py` and `engine_scaling.py`: crystal and molecular dynamics step."""

import time
from pathlib import Path

import numpy as np
from ase import Atoms

from potentials.calculator import IonicCalculator
from potentials.schema import load_force_field
from simtools.core import threads
from simtools.md.dynamics import BussiDynamics, LangevinDynamics, draw_momenta
from simtools.md.forces import ForceEvaluator
from simtools.structures.antiperovskite import build_antiperovskite
from simtools.structures.supercells import build_supercell

FORCE_FIELD = "li3ocl_mouta_formal"
TEMPERATURE_K = 1000.0
RESULTS = Path(__file__).parent / "results"


def crystal(repeat, rng):
    """Return Li3OCl, ``5 repeat^3`` sites with 1 % lithium vacancies, and momenta of twice 1000 K."""
    atoms = build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=3.95), (repeat,) * 3)
    lithium = np.flatnonzero(atoms.numbers == 3)
    stays = np.ones(len(atoms), dtype=bool)
    stays[rng.choice(lithium, max(1, round(0.01 * len(lithium))), replace=False)] = False
    atoms = Atoms(numbers=atoms.numbers[stays], positions=atoms.positions[stays], cell=atoms.cell, pbc=True)
    field = load_force_field(FORCE_FIELD)
    masses = np.zeros(119)
    for symbol, mass in field.masses_amu.items():
        masses[Atoms(symbol).numbers[0]] = mass
    atoms.set_masses(masses[atoms.numbers])
    atoms.set_momenta(draw_momenta(atoms.get_masses(), 2 * TEMPERATURE_K, rng))
    return atoms


def hot_crystal(repeat, *, steps=300, seed=1):
    """Return the crystal after a short run at 1000 K, with velocities."""
    rng = np.random.default_rng(seed)
    atoms = crystal(repeat, rng)
    evaluator = ForceEvaluator(atoms, IonicCalculator(FORCE_FIELD, net_charge="background"))
    dynamics = LangevinDynamics(evaluator, 1.0, temperature_K=TEMPERATURE_K, tau_ps=0.05, rng=rng)
    dynamics.start()
    for _ in range(steps):
        dynamics.step()
    return atoms


class Ours:
    """The embedded engine under Bussi's thermostat, on one thread or two."""

    def __init__(self, atoms, accuracy=None, *, n_threads=1):
        self.atoms = atoms.copy()
        self.n_threads = n_threads
        self.calculator = IonicCalculator(FORCE_FIELD, net_charge="background", accuracy=accuracy)
        self.evaluator = ForceEvaluator(self.atoms, self.calculator)
        self.dynamics = BussiDynamics(
            self.evaluator, 1.0, temperature_K=TEMPERATURE_K, tau_ps=0.5, rng=np.random.default_rng(1)
        )
        self.dynamics.start()
        self.forces = self.evaluator.forces_eV_A.copy()
        chosen = self.calculator.settings(self.atoms)
        self.name = (
            f"cutoff {chosen['coulomb_cutoff_A']:g} Å, mesh {chosen['mesh_shape'][0]}, "
            f"order {chosen['mesh_order']}, skin {chosen['skin_A']:g} Å, {n_threads} thread(s)"
        )

    def run(self, steps):
        """Return (processor, wall) seconds of `steps` steps."""
        threads.compute_threads = lambda: self.n_threads
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(steps):
            self.dynamics.step()
        return time.process_time() - processor, time.perf_counter() - wall
