"""Write densities and free energies for other programs: cube, CHGCAR and legacy VTK."""

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.vasp import VaspChargeDensity
from ase.io.cube import write_cube
from ase.units import Bohr

from simtools.analysers.density import IonDensity
from simtools.core.errors import ConfigError

__all__ = ["write_chgcar", "write_density_cube", "write_vtk"]


def write_density_cube(density: IonDensity, path) -> Path:
    """Write the density as a Gaussian cube file, in ions per cubic bohr as the format wants it.

    Parameters
    ----------
    density
        From `ion_density`.
    path
        File to write; an existing one is replaced.

    Returns
    -------
    Path

    Notes
    -----
    Read with `ase.io.cube.read_cube`, VESTA, OVITO, VMD. Values are those of voxels that begin at grid
    points, so maps lie half a voxel off.
    """
    path = Path(path)
    with path.open("w", encoding="utf-8") as file:
        comment = f"density of {density.species} ions, 1/bohr^3"
        write_cube(file, _atoms(density), density.density_per_A3 * Bohr**3, comment=comment)
    return path


def write_chgcar(density: IonDensity, path) -> Path:
    """Write the density in VASP's CHGCAR format, with ions in place of electrons (density times volume).

    Parameters
    ----------
    density, path
        As for `write_density_cube`.

    Returns
    -------
    Path
    """
    path = Path(path)
    file = VaspChargeDensity(filename=None)
    file.atoms = [_atoms(density)]
    file.chg = [density.density_per_A3]
    file.write(str(path), format="chgcar")
    return path


def write_vtk(density: IonDensity, path, *, fields: dict[str, np.ndarray] | None = None) -> Path:
    """Write the density, and other maps on its grid, as legacy VTK text for ParaView or VisIt.

    Parameters
    ----------
    density, path
        As for `write_density_cube`.
    fields
        More maps by name, shape of the grid; what is not finite (a free energy where no ion was) is written
        as the largest finite value.

    Returns
    -------
    Path

    Raises
    ------
    ConfigError
        If a map has another shape, or a name has spaces.

    Notes
    -----
    Values sit at the middles of voxels, in any triclinic cell.
    """
    path = Path(path)
    shape = density.counts.shape
    maps = {"density_per_A3": density.density_per_A3, **(fields or {})}
    for name, values in maps.items():
        if np.shape(values) != shape or len(name.split()) != 1:
            raise ConfigError(
                f"field {name!r} has shape {np.shape(values)}: expected a name without spaces and {shape}"
            )
    middles = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n for n in shape], indexing="ij"), axis=-1)
    points = (middles @ density.cell_A).transpose(2, 1, 0, 3).reshape(-1, 3)
    with path.open("w", encoding="ascii") as file:
        file.write("# vtk DataFile Version 3.0\n")
        file.write(
            f"density of {density.species} ions, lengths in angstrom\nASCII\nDATASET STRUCTURED_GRID\n"
        )
        file.write(f"DIMENSIONS {shape[0]} {shape[1]} {shape[2]}\nPOINTS {points.shape[0]} float\n")
        np.savetxt(file, points, fmt="%.5f")
        file.write(f"POINT_DATA {points.shape[0]}\n")
        for name, values in maps.items():
            values = np.asarray(values, dtype=float)
            finite = np.isfinite(values)
            values = np.where(finite, values, values[finite].max(initial=0.0))
            file.write(f"SCALARS {name} float 1\nLOOKUP_TABLE default\n")
            np.savetxt(file, values.transpose(2, 1, 0).ravel(), fmt="%.6e")
    return path


def _atoms(density):
    return Atoms(
        list(density.frame_species), scaled_positions=density.frame_scaled, cell=density.cell_A, pbc=True
    )
