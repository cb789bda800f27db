"""A trajectory in memory: unwrapped positions with all that gives them meaning. Files: see h5md.py."""

from dataclasses import dataclass, field, replace

import numpy as np

from simtools.core.errors import ConfigError, ShapeError, UnknownSpeciesError
from simtools.md.frames import FrameChunk, check_chunk_size

__all__ = ["LatticeSites", "Trajectory"]

_LEAST_VOLUME_A3 = 1e-6


@dataclass(frozen=True, eq=False)
class LatticeSites:
    """The sites of the perfect crystal that a defective cell was cut from.

    Attributes
    ----------
    scaled_positions : ndarray
        Fractional coordinates, shape (n_sites, 3).
    species : ndarray of str
        The species that belongs on each site, shape (n_sites,).
    """

    scaled_positions: np.ndarray
    species: np.ndarray

    def __post_init__(self):
        positions = _read_only(np.asarray(self.scaled_positions, dtype=float))
        species = _read_only(np.asarray(self.species, dtype=str))
        if positions.shape != (len(species), 3):
            raise ShapeError("scaled_positions", f"({len(species)}, 3)", positions.shape)
        if not np.isfinite(positions).all():
            site = int(np.argwhere(~np.isfinite(positions))[0, 0])
            raise ConfigError(f"scaled_positions of lattice sites are not finite, first at site {site}")
        object.__setattr__(self, "scaled_positions", positions)
        object.__setattr__(self, "species", species)


@dataclass(frozen=True, eq=False, kw_only=True)
class Trajectory:
    """Evenly sampled, unwrapped positions of one run, checked once so that no analyser has to.

    Attributes
    ----------
    positions_A : ndarray
        Unwrapped positions, shape (n_frames, n_atoms, 3), Å.
    species : ndarray of str
        Species of each atom, shape (n_atoms,).
    cells_A : ndarray
        Lattice vectors as rows, shape (3, 3) or (n_frames, 3, 3), Å.
    frame_interval_ps : float
        Time between frames, ps.
    temperature_K : float or None
        Nominal temperature, K.
    formal_charges_e : dict
        Integer formal charge of each species, e.
    masses_amu : ndarray or None
        Shape (n_atoms,), amu.
    charge_current_e_A_per_ps : ndarray or None
        Sum of formal charge times velocity over all ions, shape (n_fine, 3), e Å/ps.
    fine_interval_ps : float or None
        Time between samples of the charge current and of the momenta, ps.
    species_momenta_amu_A_per_ps : dict
        Total momentum of each species, shape (n_fine, 3), amu Å/ps.
    velocities_A_per_ps : ndarray or None
        Shape (n_frames, n_atoms, 3), Å/ps; only where asked for.
    lattice_sites : LatticeSites or None
        Sites of the perfect crystal.
    molecule_id : ndarray of int or None
        Number of the molecule that each atom belongs to, -1 for none, shape (n_atoms,).
    defects : tuple of dict
        What the builder put in.
    metadata : dict
        Seeds, provenance, whatever else travelled with the file.
    """

    positions_A: np.ndarray
    species: np.ndarray
    cells_A: np.ndarray
    frame_interval_ps: float
    temperature_K: float | None = None
    formal_charges_e: dict = field(default_factory=dict)
    masses_amu: np.ndarray | None = None
    charge_current_e_A_per_ps: np.ndarray | None = None
    fine_interval_ps: float | None = None
    species_momenta_amu_A_per_ps: dict = field(default_factory=dict)
    velocities_A_per_ps: np.ndarray | None = None
    lattice_sites: LatticeSites | None = None
    molecule_id: np.ndarray | None = None
    defects: tuple = ()
    metadata: dict = field(default_factory=dict)

    def __post_init__(self):
        positions = np.asarray(self.positions_A, dtype=float)
        species = np.asarray(self.species, dtype=str)
        cells = np.asarray(self.cells_A, dtype=float)
        if positions.ndim != 3 or positions.shape[1:] != (len(species), 3):
            raise ShapeError("positions_A", f"(n_frames, {len(species)}, 3)", positions.shape)
        if cells.shape not in {(3, 3), (len(positions), 3, 3)}:
            raise ShapeError("cells_A", f"(3, 3) or ({len(positions)}, 3, 3)", cells.shape)
        if not self.frame_interval_ps > 0:
            raise ConfigError(f"frame_interval_ps must be positive, got {self.frame_interval_ps!r}")
        if not np.isfinite(positions).all():
            frame = int(np.argwhere(~np.isfinite(positions))[0, 0])
            raise ConfigError(f"positions_A holds a value that is not finite, first in frame {frame}")
        if not np.isfinite(cells).all():
            raise ConfigError("cells_A holds a value that is not finite")
        if not (np.abs(np.linalg.det(cells)) > _LEAST_VOLUME_A3).all():
            raise ConfigError("cells_A must span a volume: its three vectors lie in one plane")
        object.__setattr__(self, "positions_A", _read_only(positions))
        object.__setattr__(self, "species", _read_only(species))
        object.__setattr__(self, "cells_A", _read_only(cells))
        if self.masses_amu is not None:
            masses = np.asarray(self.masses_amu, dtype=float)
            if masses.shape != species.shape:
                raise ShapeError("masses_amu", f"({len(species)},)", masses.shape)
            object.__setattr__(self, "masses_amu", _read_only(masses))
        if self.molecule_id is not None:
            molecules = np.asarray(self.molecule_id, dtype=np.int64)
            if molecules.shape != species.shape:
                raise ShapeError("molecule_id", f"({len(species)},)", molecules.shape)
            object.__setattr__(self, "molecule_id", _read_only(molecules))
        self._check_series(positions.shape)

    def _check_series(self, shape):
        if self.velocities_A_per_ps is not None:
            velocities = np.asarray(self.velocities_A_per_ps, dtype=float)
            if velocities.shape != shape:
                raise ShapeError("velocities_A_per_ps", str(shape), velocities.shape)
            object.__setattr__(self, "velocities_A_per_ps", _read_only(velocities))
        if self.charge_current_e_A_per_ps is not None:
            current = _vectors("charge_current_e_A_per_ps", self.charge_current_e_A_per_ps)
            object.__setattr__(self, "charge_current_e_A_per_ps", current)
        momenta = {
            name: _vectors(f"species_momenta_amu_A_per_ps[{name!r}]", values)
            for name, values in self.species_momenta_amu_A_per_ps.items()
        }
        object.__setattr__(self, "species_momenta_amu_A_per_ps", momenta)

    @property
    def n_frames(self):
        """Number of frames."""
        return len(self.positions_A)

    @property
    def duration_ps(self):
        """Time from the first frame to the last, ps."""
        return (self.n_frames - 1) * self.frame_interval_ps

    @property
    def mean_volume_A3(self):
        """Volume of the cell averaged over frames, Å³."""
        return float(np.mean(np.abs(np.linalg.det(self.cells_A))))

    def indices_of(self, species):
        """Return the atom indices of `species`, shape (n_ions,)."""
        indices = np.flatnonzero(self.species == species)
        if len(indices) == 0:
            raise UnknownSpeciesError(species, sorted(set(self.species.tolist())))
        return indices

    def n_of(self, species):
        """Return the number of ions of `species`."""
        return len(self.indices_of(species))

    def positions_of(self, species):
        """Return unwrapped positions of `species`: C-contiguous, shape (n_frames, n_ions, 3), Å."""
        return np.ascontiguousarray(self.positions_A[:, self.indices_of(species)])

    def chunks(self, frames_per_chunk):
        """Yield `simtools.md.frames.FrameChunk` of at most `frames_per_chunk` frames: views, no copies."""
        check_chunk_size(frames_per_chunk)
        cells = np.broadcast_to(self.cells_A, (self.n_frames, 3, 3))
        for first in range(0, self.n_frames, frames_per_chunk):
            part = slice(first, min(first + frames_per_chunk, self.n_frames))
            velocities = self.velocities_A_per_ps
            yield FrameChunk(
                first_frame=first,
                times_ps=np.arange(part.start, part.stop) * self.frame_interval_ps,
                positions_A=self.positions_A[part],
                cells_A=cells[part],
                velocities_A_per_ps=None if velocities is None else velocities[part],
            )

    def in_host_frame(self, host_species):
        """Return the trajectory seen from the centre of mass of the immobile sublattice.

        Parameters
        ----------
        host_species
            Symbols of the species that make up the host, for example ``("O", "Cl")``. Without
            masses all host atoms weigh the same.

        Returns
        -------
        Trajectory
            The displacement of the host's centre of mass since the first frame is subtracted from
            every atom. The charge current and the momenta are left as they are.
        """
        indices = np.concatenate([self.indices_of(species) for species in host_species])
        weights = np.ones(len(indices)) if self.masses_amu is None else self.masses_amu[indices]
        centre_tc = np.einsum("n,tnc->tc", weights, self.positions_A[:, indices]) / weights.sum()
        return replace(self, positions_A=self.positions_A - (centre_tc - centre_tc[0])[:, None, :])


def _vectors(name, values):
    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or array.shape[1] != 3:
        raise ShapeError(name, "(n_fine, 3)", array.shape)
    return _read_only(array)


def _read_only(array):
    view = array.view()
    view.flags.writeable = False
    return view
