"""Density of one species on a grid, its free energy, and the sites it has. Files: density_files.py."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from simtools.analysers.kernels import density as kernels
from simtools.analysers.rdf import frame_cells, replicas_of
from simtools.analysers.sites import ions_on_sites
from simtools.core.errors import ConfigError
from simtools.core.periodic import minimum_image
from simtools.core.provenance import collect_provenance
from simtools.core.results import Result, quantity
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.md.trajectory import LatticeSites, Trajectory

__all__ = ["IonDensity", "find_sites", "free_energy_map", "ion_density"]

_MOST_VOXELS = 20_000_000
_IMAGES = 2
_SAME_CELL = 1e-3


@dataclass(frozen=True, eq=False, kw_only=True)
class IonDensity(Result):
    """Where ions of one species were, averaged over time.

    Attributes
    ----------
    counts
        Times an ion was seen in each voxel; voxel (i, j, k) begins at the fractions (i/n1, j/n2, k/n3).
    n_samples : int
        Frames times folded cells: ``counts / (n_samples * voxel volume)`` is the density.
    frame_species, frame_scaled
        What surrounds the ions: the sites of the crystal of other species, else the first frame's atoms.
    """

    species: str
    n_samples: int
    temperature_K: float | None = quantity("K")
    cell_A: np.ndarray = quantity("angstrom", shape="(3, 3)")
    counts: np.ndarray = quantity("1", shape="(n1, n2, n3)")
    frame_species: np.ndarray
    frame_scaled: np.ndarray = quantity("1", shape="(n_frame, 3)")

    @property
    def voxel_volume_A3(self):
        """Volume of one voxel, Å³."""
        return float(abs(np.linalg.det(self.cell_A)) / self.counts.size)

    @property
    def density_per_A3(self):
        """Ions per volume, shape (n1, n2, n3), 1/Å³; its integral over the cell is their number."""
        return self.counts / (self.n_samples * self.voxel_volume_A3)


def ion_density(
    trajectory: Trajectory | Sequence[Trajectory],
    *,
    species: str,
    spacing_A: float = 0.25,
    repeats: tuple[int, int, int] = (1, 1, 1),
) -> IonDensity:
    """Count the ions of one species on a grid that moves and breathes with the host.

    Parameters
    ----------
    trajectory
        One, or replicas that share origin and cell. With `lattice_sites`, positions are taken relative to the
        sites of the other species; without them, as they are, so remove a drift first
        (`Trajectory.in_host_frame`).
    species
        Symbol of the ion.
    spacing_A
        Largest edge of a voxel, Å.
    repeats
        Fold the cell this many times along each lattice vector: a supercell of equivalent cells into one of
        them, for that much better statistics.

    Returns
    -------
    IonDensity

    Raises
    ------
    ConfigError
        If the grid is empty or larger than 20 million voxels, or replicas have different cells.
    UnknownSpeciesError
        If there is no such ion.

    Notes
    -----
    Limit: an ideal gas fills all voxels alike, with Poisson scatter.
    """
    repeats = np.asarray(repeats)
    if repeats.shape != (3,) or repeats.dtype.kind != "i" or (repeats < 1).any():
        raise ConfigError(f"repeats must be three whole numbers of 1 or more, got {repeats.tolist()!r}")
    if not spacing_A > 0:
        raise ConfigError(f"spacing_A must be positive, got {spacing_A!r}")
    parts = replicas_of(trajectory)
    cells = [frame_cells(part).mean(axis=0) for part in parts]
    if not np.allclose(cells, cells[0], rtol=_SAME_CELL, atol=_SAME_CELL * np.abs(cells[0]).max()):
        raise ConfigError("replicas have different cells: map each by itself")
    cell = cells[0] / repeats[:, None]
    shape = np.maximum(1, np.ceil(np.linalg.norm(cell, axis=1) / spacing_A - 1e-9)).astype(np.int64)
    if shape.prod() > _MOST_VOXELS:
        raise ConfigError(
            f"a grid of {' x '.join(map(str, shape))} voxels is too large: "
            f"raise spacing_A above {spacing_A:g} Å"
        )
    counts = np.zeros(shape, dtype=np.int64)
    for part in parts:
        kernels.add_counts(counts, _in_the_host(part, species), repeats)
    frame_species, frame_scaled = _surroundings(parts[0], species, repeats)
    return IonDensity(
        species=species,
        n_samples=int(sum(part.n_frames for part in parts) * repeats.prod()),
        temperature_K=parts[0].temperature_K,
        cell_A=cell,
        counts=counts,
        frame_species=frame_species,
        frame_scaled=frame_scaled,
        provenance=collect_provenance(species=species, spacing_A=spacing_A, repeats=repeats.tolist()),
    )


def free_energy_map(density: IonDensity, *, temperature_K: float | None = None) -> np.ndarray:
    r"""Return :math:`F = -k_B T \ln(\rho/\rho_{max})` in every voxel, eV; infinite where no ion was seen.

    Parameters
    ----------
    density
        From `ion_density`.
    temperature_K
        Of the run; by default the one the density carries.

    Returns
    -------
    ndarray
        Shape of the grid, eV.

    Raises
    ------
    ConfigError
        If no temperature is known.

    Notes
    -----
    Limit: a harmonic well gives a paraboloid. F is that of one ion in a voxel: it depends on the voxels'
    size only where density changes within a voxel.
    """
    temperature_K = density.temperature_K if temperature_K is None else temperature_K
    if not (temperature_K is not None and temperature_K > 0):
        raise ConfigError(
            f"a free energy needs the temperature: expected temperature_K > 0, got {temperature_K!r}"
        )
    with np.errstate(divide="ignore"):
        return -BOLTZMANN_EV_PER_K * temperature_K * np.log(density.counts / density.counts.max())


def find_sites(
    density: IonDensity, *, min_distance_A: float = 1.5, min_occupation: float = 0.1
) -> tuple[LatticeSites, np.ndarray]:
    """Find the sites of the ions from where their density peaks.

    Parameters
    ----------
    density
        From `ion_density`, best with voxels of 0.3 Å or less.
    min_distance_A
        Of two peaks nearer than this, the lower is no site.
    min_occupation
        Smallest mean number of ions nearest to a site.

    Returns
    -------
    sites : LatticeSites
        In the density's cell; ``dataclasses.replace(trajectory, lattice_sites=sites)`` prepares a trajectory
        in that cell for `find_jumps`.
    occupations : ndarray
        Mean number of ions nearest to each site, shape (n_sites,); they add up to the number of ions (less
        what sites too empty had).

    Raises
    ------
    ConfigError
        If nothing is left.

    Notes
    -----
    Limit: ions that vibrate about known places give these places, to a fraction of a voxel.
    """
    shape = np.array(density.counts.shape)
    smooth = ndimage.gaussian_filter(density.counts.astype(float), 1.0, mode="wrap")
    is_peak = (smooth == ndimage.maximum_filter(smooth, size=3, mode="wrap")) & (smooth > 0)
    peaks = np.argwhere(is_peak)
    peaks = peaks[np.argsort(-smooth[tuple(peaks.T)], kind="stable")]
    kept = np.zeros((0, 3))
    for peak in (peaks + 0.5) / shape:
        if len(kept) == 0 or _distances_A(kept - peak, density.cell_A).min() >= min_distance_A:
            kept = np.vstack([kept, peak])
    seen = np.argwhere(density.counts > 0)
    weight = density.counts[tuple(seen.T)]
    places = (seen + 0.5) / shape
    nearest, offsets = _nearest(places, kept, density.cell_A)
    total = np.bincount(nearest, weights=weight, minlength=len(kept))
    shift = np.stack(
        [np.bincount(nearest, weights=weight * offsets[:, c], minlength=len(kept)) for c in range(3)], axis=1
    )
    with np.errstate(invalid="ignore"):
        kept = kept + (shift / total[:, None]) @ np.linalg.inv(density.cell_A)
    occupations = total / density.n_samples
    filled = occupations >= min_occupation
    if not filled.any():
        raise ConfigError(f"no site is occupied for {min_occupation:g} of the time: lower min_occupation")
    return LatticeSites(kept[filled] % 1.0, [density.species] * int(filled.sum())), occupations[filled]


def _distances_A(scaled, cell_A):
    return np.linalg.norm(minimum_image(scaled @ cell_A, cell_A), axis=-1)


def _nearest(places, sites, cell_A):
    """Return the nearest site of each place, both fractional and inside the cell, and the way there, Å."""
    span = np.arange(-_IMAGES, _IMAGES + 1)
    shifts = np.stack(np.meshgrid(span, span, span, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    images = ((sites + shifts) @ cell_A).reshape(-1, 3)
    _, index = cKDTree(images).query(places @ cell_A)
    return index % len(sites), places @ cell_A - images[index]


def _in_the_host(trajectory, species):
    """Return fractional positions of `species`, in the frame of the host's sites where these are known."""
    atoms = trajectory.indices_of(species)
    lattice = trajectory.lattice_sites
    if lattice is not None and species in lattice.species and (lattice.species != species).any():
        sited = ions_on_sites(trajectory, species=species)
        here = np.flatnonzero(trajectory.species[sited.atom_indices] == species)
        if len(here) == len(atoms):
            return sited.positions_in_cell()[:, here]
    return trajectory.positions_A[:, atoms] @ np.linalg.inv(trajectory.cells_A)


def _surroundings(trajectory, species, repeats):
    lattice = trajectory.lattice_sites
    if lattice is not None and (lattice.species != species).any():
        others = lattice.species != species
        names, scaled = lattice.species[others], lattice.scaled_positions[others] * repeats
    else:
        others = trajectory.species != species
        cells = np.asarray(trajectory.cells_A)
        inverse = np.linalg.inv(cells if cells.ndim == 2 else cells[0])
        names, scaled = trajectory.species[others], trajectory.positions_A[0, others] @ inverse * repeats
    scaled = scaled - np.floor(scaled + 1e-9)
    _, first = np.unique(np.round(scaled, 3) % 1.0, axis=0, return_index=True)
    first = np.sort(first)
    return names[first], scaled[first]
