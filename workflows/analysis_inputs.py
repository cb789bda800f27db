"""What stands beside a trajectory: molecular ions, a crystal of sites, what a run of ours recorded."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from simtools.analysers.molecular_ions import with_molecular_ions
from simtools.core.errors import ConfigError
from simtools.md.h5md import read_trajectory

__all__ = ["MolecularIon", "parse_molecule", "read_crystal", "with_molecules", "with_records"]

_MOLECULE = re.compile(r"([A-Z][a-z]?)([A-Z][a-z]?)(\d*)")
_STRUCTURES = {
    ".cif": "cif",
    ".vasp": "vasp",
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".pdb": "proteindatabank",
}
_BOND_STRETCH = 1.35
_EVEN = 1e-6


@dataclass(frozen=True)
class MolecularIon:
    """A molecule that counts as one ion, such as ``OH``: central atom, ligand, number of ligands."""

    name: str
    centre: str
    ligand: str
    n_ligands: int


def parse_molecule(name):
    """Read ``OH``, ``NH2``, ``BH4``: one central atom, then the atoms bound to it.

    Raises
    ------
    ConfigError
        If it does not read so.
    """
    match = _MOLECULE.fullmatch(name)
    if match is None or match[1] == match[2] or match[3] == "0":
        raise ConfigError(f"--molecule needs a central atom and its ligands, such as OH or BH4, got {name!r}")
    return MolecularIon(name, match[1], match[2], int(match[3] or 1))


def with_molecules(trajectory, molecules):
    """Return the trajectory with every molecule as one ion at its centre of mass; charges as given.

    Parameters
    ----------
    trajectory
        With masses, and ``formal_charges_e`` of the molecules by their names.
    molecules
        `MolecularIon` each.

    Raises
    ------
    ConfigError
        If the charge of a molecule is missing, or as `with_molecular_ions`.
    """
    from ase.data import atomic_numbers, covalent_radii

    for molecule in molecules:
        charge_e = trajectory.formal_charges_e.get(molecule.name)
        if charge_e is None:
            raise ConfigError(f"--molecule {molecule.name} needs its charge: --charge {molecule.name}=E")
        radii = [covalent_radii[atomic_numbers[name]] for name in (molecule.centre, molecule.ligand)]
        trajectory = with_molecular_ions(
            trajectory,
            name=molecule.name,
            centre=molecule.centre,
            ligand=molecule.ligand,
            n_ligands=molecule.n_ligands,
            bond_length_A=_BOND_STRETCH * float(sum(radii)),
            charge_e=charge_e,
        )
        left = set(trajectory.species.tolist())
        charges_e = {
            name: charge
            for name, charge in trajectory.formal_charges_e.items()
            if name in left or name not in (molecule.centre, molecule.ligand)
        }
        # the builder's defects name atoms by their old places
        trajectory = replace(trajectory, formal_charges_e=charges_e, defects=())
    return trajectory


def read_crystal(path):
    """Return the structure in a POSCAR, CIF, extended XYZ or PDB file as `ase.Atoms`.

    Raises
    ------
    ConfigError
        For another kind of file, or one that cannot be read.
    """
    from ase.io import read

    path = Path(path)
    kind = _STRUCTURES.get(path.suffix.lower())
    if path.name.upper().startswith(("POSCAR", "CONTCAR")):
        kind = "vasp"
    if kind is None:
        raise ConfigError(f"--sites {path}: expected POSCAR or a file {' '.join(_STRUCTURES)}")
    if not path.is_file():
        raise ConfigError(f"--sites {path}: no such file")
    try:
        return read(path, index=0, format=kind)
    except Exception as error:  # ASE's readers raise whatever their parsing meets
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ConfigError(f"--sites {path}: expected a {kind} file, it cannot be read ({reason})") from error


def with_records(trajectory, files, *, skip_ps=0.0):
    """Return the trajectory with what a run of ours stores beside frames, where `files` is such a run.

    The sites of the crystal, the molecules and the defects; the charge current and the momenta at their finer
    stride, if the charges are those that the run had.
    """
    if len(files) != 1 or not _is_run(Path(files[0])):
        return trajectory
    run = read_trajectory(files[0])
    if not np.array_equal(run.species, trajectory.species):
        return trajectory
    found = replace(
        trajectory, lattice_sites=run.lattice_sites, defects=run.defects, molecule_id=run.molecule_id
    )
    if run.fine_interval_ps is None or run.charge_current_e_A_per_ps is None:
        return found
    if dict(run.formal_charges_e) != dict(trajectory.formal_charges_e):
        return found
    first = int(np.ceil(skip_ps / run.fine_interval_ps - _EVEN))
    return replace(
        found,
        charge_current_e_A_per_ps=run.charge_current_e_A_per_ps[first:],
        fine_interval_ps=run.fine_interval_ps,
        species_momenta_amu_A_per_ps={
            name: series[first:] for name, series in run.species_momenta_amu_A_per_ps.items()
        },
    )


def _is_run(path):
    return (path / "index.json").is_file() or (path / "trajectory" / "index.json").is_file()
