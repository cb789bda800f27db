"""Ions with shells move as ions: runs continue bit for bit."""

import pytest

from potentials.calculator import IonicCalculator
from simtools.md.h5md import read_trajectory
from simtools.md.protocols import Stage, load_final_atoms, run_stages
from simtools.structures.antiperovskite import build_antiperovskite
from simtools.structures.supercells import build_supercell

FORCE_FIELD = "na3ocl_popoff_coreshell"
CHARGES = {"Na": 1, "O": -2, "Cl": -1}


class Killed(BaseException):
    pass


class Mortal(IonicCalculator):
    lives = -1

    def calculate(self, *arguments, **options):
        if self.lives == 0:
            raise Killed
        self.lives -= 1
        super().calculate(*arguments, **options)


def run(directory, ensemble, lives=-1, **changes):
    stage = Stage(
        name="production",
        ensemble=ensemble,
        temperature_K=900.0,
        duration_ps=0.08,
        sample_every_fs=10.0,
        thermo_every_fs=10.0,
        checkpoint_every_ps=0.02,
        write_trajectory=True,
    )
    atoms = build_supercell(build_antiperovskite("Na3OCl", lattice_parameter_A=4.5), (2, 2, 2))
    calculator = Mortal(FORCE_FIELD, skin_A=0.3, **changes)
    calculator.lives = lives
    run_stages(atoms, calculator, [stage], directory, info={"formal_charges_e": CHARGES})
    return calculator


def everything(directory):
    trajectory, final = read_trajectory(directory), load_final_atoms(directory)
    arrays = (trajectory.positions_A, trajectory.cells_A, final.positions, final.get_momenta())
    return [(directory / "thermo.csv").read_bytes(), *(values.tobytes() for values in arrays)]


@pytest.mark.parametrize("ensemble", ["NVT", "NPT"])
def test_a_run_with_shells_continues_bit_for_bit(tmp_path, ensemble):
    run(tmp_path / "whole", ensemble)
    expected = everything(tmp_path / "whole")
    trajectory = read_trajectory(tmp_path / "whole")
    assert trajectory.positions_A.shape[1:] == (40, 3)
    for lives in (33, 61):
        directory = tmp_path / str(lives)
        with pytest.raises(Killed):
            run(directory, ensemble, lives)
        run(directory, ensemble)
        assert everything(directory) == expected
