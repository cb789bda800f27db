"""Perfect crystals: prototypes, supercells, and the relaxation of their lattice parameter."""

from simtools.structures.antiperovskite import (
    Antiperovskite,
    FormulaError,
    build_antiperovskite,
    parse_antiperovskite_formula,
    parse_formula,
)
from simtools.structures.prototypes import PROTOTYPES, build_prototype
from simtools.structures.relaxation import (
    LatticeRelaxation,
    PressureJumpError,
    RelaxationError,
    relax_lattice_parameter,
)
from simtools.structures.supercells import build_supercell

__all__ = [
    "PROTOTYPES",
    "Antiperovskite",
    "FormulaError",
    "LatticeRelaxation",
    "PressureJumpError",
    "RelaxationError",
    "build_antiperovskite",
    "build_prototype",
    "build_supercell",
    "parse_antiperovskite_formula",
    "parse_formula",
    "relax_lattice_parameter",
]
