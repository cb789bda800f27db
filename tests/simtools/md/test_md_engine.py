"""The embedded engine hands neighbour list, mesh and shells through a checkpoint without changing a bit."""

import numpy as np
import pytest

from potentials.calculator import IonicCalculator
from simtools.md.h5md import read_trajectory
from simtools.md.protocols import Stage, load_final_atoms, run_stages
from simtools.structures.antiperovskite import build_antiperovskite
from simtools.structures.supercells import build_supercell

CHARGES = {"Li": 1, "Na": 1, "O": -2, "Cl": -1}
RIGID = {
    "field": "li3ocl_mouta_formal",
    "formula": "Li3OCl",
    "a_A": 3.95,
    "temperature_K": 1500.0,
    "duration_ps": 0.16,
}
SHELLS = {
    "field": "na3ocl_popoff_coreshell",
    "formula": "Na3OCl",
    "a_A": 4.5,
    "temperature_K": 900.0,
    "duration_ps": 0.08,
}


class Killed(BaseException):
    pass


class Mortal(IonicCalculator):
    lives = -1

    def calculate(self, *arguments, **options):
        if self.lives == 0:
            raise Killed
        self.lives -= 1
        super().calculate(*arguments, **options)


def run(directory, ensemble, lives=-1, *, field, formula, a_A, temperature_K, duration_ps):
    stage = Stage(
        name="production",
        ensemble=ensemble,
        temperature_K=temperature_K,
        duration_ps=duration_ps,
        sample_every_fs=10.0,
        thermo_every_fs=10.0,
        checkpoint_every_ps=0.03,
        write_trajectory=True,
    )
    atoms = build_supercell(build_antiperovskite(formula, lattice_parameter_A=a_A), (2, 2, 2))
    calculator = Mortal(field, skin_A=0.4)
    calculator.lives = lives
    run_stages(atoms, calculator, [stage], directory, info={"formal_charges_e": CHARGES})
    return calculator


def everything(directory):
    trajectory, final = read_trajectory(directory), load_final_atoms(directory)
    arrays = (
        trajectory.positions_A,
        trajectory.cells_A,
        trajectory.charge_current_e_A_per_ps,
        *trajectory.species_momenta_amu_A_per_ps.values(),
        final.positions,
        final.get_momenta(),
        np.array(final.cell),
    )
    return [(directory / "thermo.csv").read_bytes(), *(values.tobytes() for values in arrays)]


@pytest.mark.parametrize(
    ("system", "deaths", "fewest_lists"), [(RIGID, (47, 100, 151), 3), (SHELLS, (33, 61), 0)]
)
@pytest.mark.parametrize("ensemble", ["NVT", "NPT"])
def test_the_engine_continues_bit_for_bit(tmp_path, ensemble, system, deaths, fewest_lists):
    whole = run(tmp_path / "whole", ensemble, **system)
    atoms = load_final_atoms(tmp_path / "whole")
    assert whole.settings(atoms)["neighbour_list_builds"] > fewest_lists
    assert read_trajectory(tmp_path / "whole").positions_A.shape[1:] == (40, 3)
    expected = everything(tmp_path / "whole")
    for lives in deaths:
        directory = tmp_path / str(lives)
        with pytest.raises(Killed):
            run(directory, ensemble, lives, **system)
        run(directory, ensemble, **system)
        assert everything(directory) == expected
