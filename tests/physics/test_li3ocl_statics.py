"""Static defects in the shipped sets: binding of the relaxed neutral pair, barrier of the vacancy.

Cell: 4 x 4 x 4 at the set's own static lattice parameter, constant volume, every ion relaxed. Energies of a
pair are relative to the farthest pair the cell holds (11.3 Å).
"""

import numpy as np
import pytest
from ase.constraints import FixedPlane
from ase.mep import NEB
from ase.optimize import FIRE, LBFGS

from potentials.calculator import IonicCalculator
from potentials.schema import load_force_field
from simtools.structures import build_antiperovskite, build_supercell, relax_lattice_parameter

pytestmark = pytest.mark.physics

SETS = {
    "Li3OCl": "li3ocl_mouta_formal",
    "Na3OCl": "mna_oxyhalide_formal",
    "Na3OCl partial": "na3ocl_popoff_q067",
}


def calculator(name, **options):
    return IonicCalculator(load_force_field(SETS[name]), accuracy=1e-5, **options)


def perfect(name):
    formula = name.split()[0]
    cell = relax_lattice_parameter(
        lambda a: build_antiperovskite(formula, lattice_parameter_A=a), calculator(name), guess_A=4.1
    )
    return cell.a_A, build_supercell(build_antiperovskite(formula, lattice_parameter_A=cell.a_A), 4)


def site_at(crystal, a_A, position):
    offsets = crystal.positions / a_A - np.asarray(position)
    return int(np.argmin(np.linalg.norm(offsets - 4 * np.round(offsets / 4), axis=1)))


def without(crystal, sites):
    atoms = crystal.copy()
    del atoms[list(sites)]
    return atoms


def relaxed_energy(atoms, calc, *, fmax=0.003):
    atoms.calc = calc
    optimiser = LBFGS(atoms, logfile=None, alpha=60, maxstep=0.1)
    assert optimiser.run(fmax=fmax, steps=400)
    return atoms.get_potential_energy()


def test_relaxed_pair_binds_by_a_third_of_an_electronvolt():
    a_A, crystal = perfect("Li3OCl")
    chloride = site_at(crystal, a_A, (0, 0, 0))
    energies = {}
    for name, lithium in {
        "first": (0.5, 0.5, 0),
        "second": (0.5, 0.5, 1),
        "far": (2, 1.5, 1.5),
    }.items():
        atoms = without(crystal, [chloride, site_at(crystal, a_A, lithium)])
        atoms.rattle(1e-3, seed=1)
        energies[name] = relaxed_energy(atoms, calculator("Li3OCl"))
    assert a_A / np.sqrt(2) == pytest.approx(2.73, abs=0.01)
    assert a_A * np.sqrt(1.5) == pytest.approx(4.73, abs=0.01)
    assert energies["first"] - energies["far"] == pytest.approx(-0.31, abs=0.01)
    assert energies["second"] - energies["far"] == pytest.approx(-0.26, abs=0.01)


@pytest.mark.parametrize(
    ("name", "barrier_eV"), [("Li3OCl", 0.327), ("Na3OCl", 0.305), ("Na3OCl partial", 0.247)]
)
def test_vacancy_barrier_at_the_symmetric_saddle(name, barrier_eV):
    a_A, crystal = perfect(name)
    start, end = site_at(crystal, a_A, (1, 1.5, 1.5)), site_at(crystal, a_A, (1.5, 1, 1.5))
    initial = without(crystal, [start])
    ion = end - (start < end)
    saddle = initial.copy()
    saddle.positions[ion] = (crystal.positions[start] + crystal.positions[end]) / 2
    saddle.set_constraint(FixedPlane([ion], [1, -1, 0]))
    lower = relaxed_energy(initial, calculator(name, net_charge="background"))
    upper = relaxed_energy(saddle, calculator(name, net_charge="background"))
    assert upper - lower == pytest.approx(barrier_eV, abs=0.005)


def test_elastic_band_finds_the_same_barrier_between_equal_ends():
    a_A, crystal = perfect("Li3OCl")
    start, end = site_at(crystal, a_A, (1, 1.5, 1.5)), site_at(crystal, a_A, (1.5, 1, 1.5))
    initial = without(crystal, [start])
    ion = end - (start < end)
    final = initial.copy()
    final.positions[ion] = crystal.positions[start]
    energies = [
        relaxed_energy(atoms, calculator("Li3OCl", net_charge="background")) for atoms in (initial, final)
    ]
    assert energies[0] == pytest.approx(energies[1], abs=1e-3)
    images = [initial, *(initial.copy() for _ in range(5)), final]
    for image in images[1:-1]:
        image.calc = calculator("Li3OCl", net_charge="background")
    band = NEB(images, climb=True, method="improvedtangent")
    band.interpolate()
    assert FIRE(band, logfile=None).run(fmax=0.02, steps=300)
    path = [image.get_potential_energy() - energies[0] for image in images]
    assert max(path) == path[3] == pytest.approx(0.327, abs=0.005)
    assert path == pytest.approx(path[::-1], abs=2e-3)
