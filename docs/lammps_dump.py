"""The LAMMPS run whose dump foreign-dump.ipynb analyses: Li3OCl with four LiCl Schottky pairs at 1100 K.

    python docs/lammps_dump.py runs/li3ocl.lammpstrj --ps 60

needs the extra ``lammps``. The dump has types instead of elements, folded positions with image flags,
velocities, and (``dump_modify units yes time yes``) the times of its frames.
"""

import argparse
import contextlib
import tempfile
from pathlib import Path

from potentials.lammps import write_lammps
from potentials.lammps_library import import_lammps
from potentials.schema import load_force_field
from simtools.defects import DefectRequest, build_defects
from simtools.structures import build_antiperovskite, build_supercell

FRAME_INTERVAL_PS = 0.016
TEMPERATURE_K = 1100
_STEP_PS = 0.002
_COLUMNS = "id type x y z ix iy iz vx vy vz"


def write_dump(path, *, duration_ps, equilibration_ps=4.0, supercell=(4, 4, 4), n_pairs=4, seed=1):
    """Run LAMMPS and write its dump; return {type: species} as the notebook must say it."""
    charges = {"Li": 1, "O": -2, "Cl": -1}
    crystal = build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=4.0), supercell)
    pairs = [DefectRequest(kind="schottky", species=["Li", "Cl"], count=n_pairs)]
    atoms = build_defects(crystal, pairs, formal_charges_e=charges, seed=seed)
    force_field = load_force_field("li3ocl_mouta_formal")
    every = round(FRAME_INTERVAL_PS / _STEP_PS)
    path = Path(path).resolve()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        files = write_lammps(force_field, atoms, Path(folder) / "cell")
        engine = import_lammps().lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
        engine.commands_string(
            f"{files.input.read_text(encoding='utf-8')}\n"
            f"timestep {_STEP_PS}\n"
            f"velocity all create {2 * TEMPERATURE_K} {seed} mom yes rot no dist gaussian\n"
            f"fix heat all nvt temp {TEMPERATURE_K} {TEMPERATURE_K} 0.1\n"
            f"run {round(equilibration_ps / _STEP_PS)}\n"
            f"reset_timestep 0\ndump frames all custom {every} {path} {_COLUMNS}\n"
            "dump_modify frames units yes time yes\n"
            f"run {round(duration_ps / _STEP_PS)}\n"
        )
        engine.close()
    present = [name for name in force_field.species if name in atoms.get_chemical_symbols()]
    return {str(number): name for number, name in enumerate(present, start=1)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="dump to write")
    parser.add_argument("--ps", type=float, default=60.0, help="length, ps")
    options = parser.parse_args()
    options.path.parent.mkdir(parents=True, exist_ok=True)
    print(write_dump(options.path, duration_ps=options.ps))
