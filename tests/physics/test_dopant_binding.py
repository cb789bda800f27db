"""Binding of a lithium vacancy to a dopant in Li3OCl, against another code's values for the same terms."""

import numpy as np
import pytest

from potentials.calculator import IonicCalculator
from potentials.schema import load_force_field
from simtools.structures import build_prototype, build_supercell
from simtools.structures.ionic_relaxation import relax_ions

pytestmark = pytest.mark.physics


def pair_energy_eV(dopant, site, vacancy, crystal):
    doped = crystal.copy()
    doped.symbols[site] = dopant
    del doped[[vacancy]]
    calculator = IonicCalculator(load_force_field("oxyhalide_doped_formal"), accuracy=1e-5)
    return relax_ions(doped, calculator).energy_eV


@pytest.mark.parametrize(
    ("dopant", "host", "binding_eV"),
    [("Mg", "Li", -0.58), ("Ca", "Li", -0.80), ("Sr", "Li", -0.97), ("Ba", "Li", -1.21), ("F", "O", -0.94)],
)
def test_nearest_pair_against_the_farthest(dopant, host, binding_eV):
    crystal = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=3.8660266), (4, 4, 4))
    symbols = np.array(crystal.get_chemical_symbols())
    site = int(np.flatnonzero(symbols == host)[0])
    lithium = np.flatnonzero(symbols == "Li")
    lithium = lithium[lithium != site]
    distances = crystal.get_distances(site, lithium, mic=True)
    near, far = int(lithium[distances.argmin()]), int(lithium[distances.argmax()])
    binding = pair_energy_eV(dopant, site, near, crystal) - pair_energy_eV(dopant, site, far, crystal)
    assert binding == pytest.approx(binding_eV, abs=0.02)
