"""A Lennard-Jones crystal whose forces depend, in the last bits, on the past of its calculator."""

import numpy as np
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes

ARGON = {"epsilon": 0.0104, "sigma": 3.405}


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it and tidy up."""


class LaggingLennardJones(Calculator):
    """All pairs in a rectangular cell; sums run in the order of positions remembered from some time ago."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(
        self, epsilon=ARGON["epsilon"], sigma=ARGON["sigma"], memory_A=0.05, cutoff_A=5.0, dies_after=None
    ):
        super().__init__()
        self.epsilon, self.sigma, self.memory_A = epsilon, sigma, memory_A
        self.cutoff_A = cutoff_A
        self.reference = None
        self.n_calls = 0
        self.dies_after = dies_after

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        if self.n_calls == self.dies_after:
            raise Killed
        self.atoms = atoms.copy()
        self.n_calls += 1
        positions, lengths = atoms.positions, atoms.cell.lengths()
        lag = np.inf if self.reference is None else np.abs(positions - self.reference).max()
        if lag > self.memory_A:
            self.reference = positions.copy()
        order = np.argsort(np.sin(37.0 * self.reference.sum(axis=1)), kind="stable")
        vectors = positions[order][None, :, :] - positions[:, None, :]
        vectors -= lengths * np.round(vectors / lengths)
        r2 = (vectors**2).sum(axis=2)
        r2[r2 < 1e-8] = np.inf
        cutoff2 = self.cutoff_A**2
        s6 = np.where(r2 < cutoff2, (self.sigma**2 / r2) ** 3, 0.0)
        c6 = (self.sigma**2 / cutoff2) ** 3
        inside = r2 < cutoff2
        smooth = np.where(inside, 1 - r2 / cutoff2, 0.0) ** 2
        smooth_slope = np.where(inside, -4 * (1 - r2 / cutoff2) / cutoff2, 0.0)  # (d/dr)/r
        pair = 4 * self.epsilon * (s6**2 - s6 - (c6**2 - c6))
        slope_over_r = -24 * self.epsilon * np.where(inside, (2 * s6**2 - s6) / r2, 0.0)
        g = np.where(inside, slope_over_r * smooth + pair * smooth_slope, 0.0)
        energy = 0.5 * float(np.where(inside, pair * smooth, 0.0).sum())
        virial = 0.5 * np.einsum("ij,ijc,ijd->cd", g, vectors, vectors) / atoms.get_volume()
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": np.einsum("ij,ijc->ic", g, vectors),
        }
        self.results["stress"] = virial.ravel()[[0, 4, 8, 5, 2, 1]]

    def fixed_settings(self):
        names = ("epsilon", "sigma", "memory_A", "cutoff_A")
        return {name: getattr(self, name) for name in names}

    def get_state(self):
        return {} if self.reference is None else {"reference": self.reference.copy()}

    def set_state(self, state):
        self.reference = np.array(state["reference"]) if "reference" in state else None


def argon(repeats=2, lattice_A=5.4):
    atoms = bulk("Ar", "fcc", a=lattice_A, cubic=True) * (repeats, repeats, repeats)
    atoms.info["lattice_sites"] = {
        "species": atoms.get_chemical_symbols(),
        "scaled_positions": atoms.get_scaled_positions().tolist(),
    }
    atoms.info["defects"] = [{"kind": "none", "label": "x"}]
    return atoms
