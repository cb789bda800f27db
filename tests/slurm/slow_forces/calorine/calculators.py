"""Lennard-Jones argon that takes its time: each evaluation waits, without using the processor."""

import os
import time

import numpy as np
from ase.calculators.calculator import Calculator

_EPSILON_EV, _SIGMA_A, _CUTOFF_A = 0.0104, 3.4, 5.7


class CPUNEP(Calculator):
    """Truncated Lennard-Jones in an orthorhombic cell, nearest images only; the model file is not read."""

    implemented_properties = ("energy", "forces")
    supported_species = ("Ar",)

    def __init__(self, model):
        super().__init__()
        self.pause_s = float(os.environ.get("SLOW_FORCES_PAUSE_S", "0"))

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        """Fill `results`; the answer depends on the atoms alone."""
        time.sleep(self.pause_s)
        edges = np.diag(atoms.cell)
        r_nnc = atoms.positions[:, None] - atoms.positions[None]
        r_nnc -= edges * np.round(r_nnc / edges)
        r2 = np.einsum("ijc,ijc->ij", r_nnc, r_nnc)
        np.fill_diagonal(r2, np.inf)
        r2[r2 > _CUTOFF_A**2] = np.inf
        s6 = (_SIGMA_A**2 / r2) ** 3
        slope = 24 * _EPSILON_EV * (2 * s6**2 - s6) / r2
        self.results = {
            "energy": float(2 * _EPSILON_EV * np.sum(s6**2 - s6)),
            "forces": np.einsum("ij,ijc->ic", slope, r_nnc),
        }
