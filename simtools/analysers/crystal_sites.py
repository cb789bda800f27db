"""Sites for a trajectory that came without any: from a reference crystal, or from where its ions were."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ase import Atoms
from scipy.spatial import cKDTree

from simtools.analysers.density import find_sites, ion_density
from simtools.analysers.sites import ions_on_sites
from simtools.core.errors import ConfigError
from simtools.md.trajectory import LatticeSites, Trajectory

__all__ = ["equal_cells", "in_mean_cell", "with_sites_from_crystal", "with_sites_from_density"]

_STRETCH = 0.05
_ANGLE_DEG = 3.0
_OFF_SITE = 0.5
_SAME_PLACE_A = 0.5
_SHORTEST_EDGE_A = 2.5
_SHARE = 0.8
_SPACING_A = 0.25
_AVERAGED_FRAMES = 50


def in_mean_cell(trajectory: Trajectory) -> Trajectory:
    """Return a trajectory read from a file with its mean cell in place of one that changes.

    Paths of `simtools.md.readers` are expressed in that cell, so fractional positions belong to it.
    """
    if trajectory.cells_A.ndim == 2:
        return trajectory
    return replace(trajectory, cells_A=trajectory.cells_A.mean(axis=0))


def with_sites_from_crystal(trajectory: Trajectory, crystal: Atoms, *, species: str) -> Trajectory:
    """Return the trajectory with the sites of a perfect crystal.

    Parameters
    ----------
    trajectory
        Unwrapped, in a constant cell (`in_mean_cell`).
    crystal
        Every site occupied by what belongs there: the whole cell, or a smaller one that fills it when
        repeated along its own lattice vectors.
    species
        The mobile ion, which must have sites.

    Returns
    -------
    Trajectory

    Raises
    ------
    ConfigError
        If the crystal has no such site, does not fill the cell (edges within 5 %, angles within 3 degrees),
        or the other ions are not on its sites: another origin, orientation or phase.

    Notes
    -----
    An offset between crystal and trajectory of less than half the distance between sites is found and taken
    out, so origins need not agree exactly.
    """
    names = np.array(crystal.get_chemical_symbols())
    if species not in names:
        raise ConfigError(
            f"the crystal of sites has {', '.join(sorted(set(names.tolist())))} and no {species} site"
        )
    cell = trajectory.cells_A
    lengths = np.linalg.norm(cell, axis=1)
    edges = crystal.cell.lengths()
    if not (edges > 0).all():
        raise ConfigError("the crystal of sites has no cell")
    repeats = np.maximum(1, np.rint(lengths / edges)).astype(int)
    stretch = np.abs(repeats * edges / lengths - 1).max()
    turned = np.abs(crystal.cell.angles() - Atoms(cell=cell).cell.angles()).max()
    if stretch > _STRETCH or turned > _ANGLE_DEG:
        raise ConfigError(
            f"the crystal of sites ({_edges(edges)}) does not fill the trajectory's cell ({_edges(lengths)}) "
            "when repeated along its own vectors"
        )
    found = replace(
        trajectory, lattice_sites=LatticeSites(*_repeated(crystal.get_scaled_positions(), names, repeats))
    )
    _check_registry(found, species)
    return found


def with_sites_from_density(
    trajectory: Trajectory, *, species: Sequence[str], repeats: tuple[int, int, int] = (1, 1, 1)
) -> Trajectory:
    """Return the trajectory with sites where the density of its ions peaks.

    Parameters
    ----------
    trajectory
        Unwrapped, in the frame of the host and in a constant cell.
    species
        The ions whose sites are wanted.
    repeats
        From `equal_cells`: densities are folded into one of so many equal cells, and the sites repeated, so
        that a site counts that happened to be empty all the time.

    Returns
    -------
    Trajectory

    Raises
    ------
    ConfigError
        As `find_sites`.

    Notes
    -----
    Without repeats only places that were occupied for a tenth of the time are sites, so vacancies that never
    moved are not seen.
    """
    plain = replace(trajectory, lattice_sites=None, defects=())
    scaled, names = [], []
    for name in species:
        density = ion_density(plain, species=name, spacing_A=_SPACING_A, repeats=repeats)
        sites, _ = find_sites(density)
        places, symbols = _repeated(sites.scaled_positions, sites.species, np.asarray(repeats))
        scaled.append(places)
        names.append(symbols)
    return replace(plain, lattice_sites=LatticeSites(np.concatenate(scaled), np.concatenate(names)))


def equal_cells(trajectory: Trajectory) -> tuple[int, int, int]:
    """Return into how many equal cells the supercell divides along each lattice vector.

    The largest numbers for which four fifths of the places of every species, shifted by that share of the
    cell, come within 0.5 Å of a place of the same species. Places are the sites where the trajectory has
    some, else medians of positions over the first fifty frames.

    Returns
    -------
    tuple of int

    Notes
    -----
    Limits: a supercell of n perfect cells gives n; a liquid gives 1. Distortions of less than 0.5 Å (a small
    tilt) are folded over.
    """
    cell = trajectory.cells_A if trajectory.cells_A.ndim == 2 else trajectory.cells_A.mean(axis=0)
    lattice = trajectory.lattice_sites
    if lattice is not None:
        names, scaled = lattice.species, lattice.scaled_positions
    else:
        names = trajectory.species
        scaled = np.median(trajectory.positions_A[:_AVERAGED_FRAMES], axis=0) @ np.linalg.inv(cell)
    lengths = np.linalg.norm(cell, axis=1)
    groups = [scaled[names == name] for name in dict.fromkeys(names.tolist())]
    repeats = []
    for axis in range(3):
        most = max(1, int(lengths[axis] / _SHORTEST_EDGE_A))
        shifts = (n for n in range(most, 1, -1) if all(_maps(group, n, axis, cell) for group in groups))
        repeats.append(next(shifts, 1))
    return tuple(repeats)


def _maps(scaled, n, axis, cell):
    """Return whether most places, shifted by 1/n of the cell along one axis, come to others."""
    shift = np.zeros(3)
    shift[axis] = 1 / n
    span = np.arange(-1, 2)
    images = np.stack(np.meshgrid(span, span, span, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    tree = cKDTree(((scaled % 1.0 + images) @ cell).reshape(-1, 3))
    gaps_A, _ = tree.query(((scaled + shift) % 1.0) @ cell)
    return (gaps_A < _SAME_PLACE_A).sum() >= _SHARE * len(scaled)


def _repeated(scaled, names, repeats):
    """Return the places of a supercell, fractional, and their names."""
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in repeats], indexing="ij"), axis=-1).reshape(-1, 1, 3)
    places = ((np.asarray(scaled) + grid) / repeats).reshape(-1, 3)
    return places % 1.0, np.tile(np.asarray(names), len(grid))


def _check_registry(trajectory, species):
    """Refuse sites that the other ions do not sit on."""
    present = set(trajectory.species.tolist())
    others = sorted({str(name) for name in trajectory.lattice_sites.species} & present - {species})
    few = replace(
        trajectory,
        positions_A=trajectory.positions_A[:_AVERAGED_FRAMES],
        velocities_A_per_ps=None,
        charge_current_e_A_per_ps=None,
    )
    for name in others or [species]:
        sited = ions_on_sites(few, species=name)
        gaps = sited.scaled_positions.mean(axis=0) - sited.scaled_sites[sited.sites[0]]
        off_A = np.linalg.norm((gaps - np.round(gaps)) @ trajectory.cells_A, axis=1)
        spacing_A = 2 * float(sited.inscribed_A.mean()) or np.linalg.norm(trajectory.cells_A, axis=1).min()
        if np.median(off_A) > _OFF_SITE * 0.5 * spacing_A:
            raise ConfigError(
                f"{name} ions are {np.median(off_A):.2f} Å off their sites (median): the crystal of sites "
                "has another origin, orientation or phase"
            )


def _edges(lengths):
    return " x ".join(f"{length:.4g}" for length in lengths) + " Å"
