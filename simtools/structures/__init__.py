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
from simtools.structures.symmetry import CrystalSymmetry, DistinctSite, crystal_symmetry, distinct_sites

__all__ = [
    "PROTOTYPES",
    "Antiperovskite",
    "CrystalSymmetry",
    "DistinctSite",
    "FormulaError",
    "LatticeRelaxation",
    "PressureJumpError",
    "RelaxationError",
    "build_antiperovskite",
    "build_prototype",
    "build_supercell",
    "crystal_symmetry",
    "distinct_sites",
    "parse_antiperovskite_formula",
    "parse_formula",
    "relax_lattice_parameter",
]
