"""Perfect crystals: prototypes, supercells, and the relaxation of their lattice parameter."""

from simtools.structures.antiperovskite import (
    Antiperovskite,
    FormulaError,
    build_antiperovskite,
    parse_antiperovskite_formula,
    parse_formula,
)
from simtools.structures.molecular import ORIENTATIONS, build_molecular_crystal
from simtools.structures.molecular_formula import MolecularFormula, has_molecules, parse_molecular_formula
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
    "ORIENTATIONS",
    "PROTOTYPES",
    "Antiperovskite",
    "CrystalSymmetry",
    "DistinctSite",
    "FormulaError",
    "LatticeRelaxation",
    "MolecularFormula",
    "PressureJumpError",
    "RelaxationError",
    "build_antiperovskite",
    "build_molecular_crystal",
    "build_prototype",
    "build_supercell",
    "crystal_symmetry",
    "distinct_sites",
    "has_molecules",
    "parse_antiperovskite_formula",
    "parse_formula",
    "parse_molecular_formula",
    "relax_lattice_parameter",
]
