"""Where bonds point: density and free energy on the sphere, symmetry of the site, basins."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simtools.analysers.orientations import Orientations
from simtools.core.errors import ConfigError, ShapeError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Result, quantity
from simtools.core.units import BOLTZMANN_EV_PER_K

__all__ = [
    "LEAST_BASIN",
    "POINT_GROUPS",
    "OrientationDensity",
    "find_basins",
    "orientation_density",
    "point_group",
    "smoothed_extremes",
    "star_of",
]

_MOST_IMAGES = 1_000_000
_SAME = 1e-6
_WIDTH_DEG = 10.0
LEAST_BASIN = 1.5
"""Density over that of free rotors from which a direction counts as a basin: 0.4 kT below them."""
_C4Z = ((0, -1, 0), (1, 0, 0), (0, 0, 1))
_C4X = ((1, 0, 0), (0, 0, -1), (0, 1, 0))
_C3 = ((0, 0, 1), (1, 0, 0), (0, 1, 0))
_C2Z = ((-1, 0, 0), (0, -1, 0), (0, 0, 1))
_C2X = ((1, 0, 0), (0, -1, 0), (0, 0, -1))
_INVERSION = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))
_MIRROR_DIAGONAL = ((0, 1, 0), (1, 0, 0), (0, 0, 1))
_MIRROR_X = ((-1, 0, 0), (0, 1, 0), (0, 0, 1))

POINT_GROUPS = {
    "1": (),
    "-1": (_INVERSION,),
    "mmm": (_C2Z, _C2X, _INVERSION),
    "4mm": (_C4Z, _MIRROR_X),
    "4/mmm": (_C4Z, _C2X, _INVERSION),
    "m-3": (_C2Z, _C2X, _C3, _INVERSION),
    "-43m": (_C2Z, _C2X, _C3, _MIRROR_DIAGONAL),
    "432": (_C4Z, _C4X),
    "m-3m": (_C4Z, _C4X, _INVERSION),
}
"""Generators of site symmetries with axes along x, y and z: both anion sites of cubic X3BA are m-3m."""


@dataclass(frozen=True, eq=False, kw_only=True)
class OrientationDensity(Result):
    """Density of bond directions on a grid of equal areas.

    Cell (i, j) lies between ``z_edges[i]`` and ``z_edges[i + 1]`` and between ``angle_edges_deg[j]`` and
    ``angle_edges_deg[j + 1]`` (from x towards y).

    Attributes
    ----------
    counts
        Directions seen, images under the site's symmetry included.
    density
        Over that of directions spread evenly: 1 for free rotors, averages to 1 exactly.
    free_energy_eV
        -k_B T ln of the density over its maximum, infinite where nothing was seen; nan without a
        temperature.
    n_directions : int
        Directions before symmetry: frames (thinned to a million images in all) times bonds times rotors.
    site_symmetry : str
    """

    name: str
    n_directions: int
    site_symmetry: str
    temperature_K: float | None = quantity("K")
    z_edges: np.ndarray = quantity("1", shape="(n_z + 1,)")
    angle_edges_deg: np.ndarray = quantity("degree", shape="(n_angles + 1,)")
    counts: np.ndarray = quantity("1", shape="(n_z, n_angles)")
    density: np.ndarray = quantity("1", shape="(n_z, n_angles)")
    free_energy_eV: np.ndarray = quantity("eV", shape="(n_z, n_angles)")

    @property
    def directions(self):
        """Unit vectors to the centres of the cells, shape (n_z, n_angles, 3)."""
        z = 0.5 * (self.z_edges[1:] + self.z_edges[:-1])[:, None]
        angle = np.radians(0.5 * (self.angle_edges_deg[1:] + self.angle_edges_deg[:-1]))[None, :]
        flat = np.sqrt(1 - z**2)
        return np.stack([flat * np.cos(angle), flat * np.sin(angle), z + 0 * angle], axis=-1)


def point_group(name: str) -> np.ndarray:
    """Return the operations of a point group with axes along x, y and z, shape (n_operations, 3, 3).

    Raises
    ------
    ConfigError
        For a name that is not in `POINT_GROUPS`.
    """
    if name not in POINT_GROUPS:
        raise ConfigError(f"no point group {name!r}; available: {', '.join(POINT_GROUPS)}")
    found = {tuple(np.eye(3, dtype=int).ravel())}
    fresh = set(found)
    generators = [np.array(item) for item in POINT_GROUPS[name]]
    while fresh:
        made = {tuple((g @ np.reshape(item, (3, 3))).ravel()) for item in fresh for g in generators}
        fresh = made - found
        found |= fresh
    return np.array(sorted(found), dtype=float).reshape(-1, 3, 3)


def star_of(direction, operations) -> np.ndarray:
    """Return the distinct images of a direction, unit vectors of shape (n, 3): six for 100 under m-3m."""
    direction = np.asarray(direction, dtype=float)
    if direction.shape != (3,) or not np.linalg.norm(direction) > 0:
        raise ConfigError(
            f"a direction must be three numbers that are not all zero, got {direction.tolist()}"
        )
    images = operations @ (direction / np.linalg.norm(direction))
    _, first = np.unique(np.round(images / _SAME).astype(np.int64), axis=0, return_index=True)
    return images[np.sort(first)]


def orientation_density(
    orientations: Orientations | Sequence[Orientations],
    *,
    site_symmetry: str | np.ndarray = "1",
    temperature_K: float | None = None,
    n_z: int = 36,
    n_angles: int = 72,
) -> OrientationDensity:
    """Count where the bonds of rotors point, on a grid of equal areas.

    Parameters
    ----------
    orientations
        From `orientations_of`; replicas add up.
    site_symmetry
        Name in `POINT_GROUPS`, or Cartesian operations (n, 3, 3), as `CrystalSymmetry.cartesian_rotations`:
        directions count with all their images, which takes out sampling noise and static order alike.
    temperature_K
        For the free energy, K.
    n_z, n_angles
        Cells in z and around it.

    Returns
    -------
    OrientationDensity

    Notes
    -----
    Limit: free rotors fill all cells alike.
    """
    parts = (orientations,) if isinstance(orientations, Orientations) else tuple(orientations)
    if n_z < 2 or n_angles < 3:
        raise ConfigError(f"a sphere needs at least 2 by 3 cells, got {n_z} by {n_angles}")
    operations = point_group(site_symmetry) if isinstance(site_symmetry, str) else np.asarray(site_symmetry)
    if operations.ndim != 3 or operations.shape[1:] != (3, 3):
        raise ShapeError("site_symmetry", "(n_operations, 3, 3)", operations.shape)
    counts = np.zeros(n_z * n_angles, dtype=np.int64)
    n_directions = 0
    for part in parts:
        share = max(1, _MOST_IMAGES // (len(parts) * len(operations)))
        stride = max(1, part.vectors.size // 3 // share)
        u = part.vectors[::stride].reshape(-1, 3)
        n_directions += len(u)
        for operation in operations:
            v = u @ operation.T
            row = np.clip(((v[:, 2] + 1) / 2 * n_z).astype(int), 0, n_z - 1)
            turn = np.arctan2(v[:, 1], v[:, 0]) / (2 * np.pi) % 1.0
            column = np.minimum((turn * n_angles).astype(int), n_angles - 1)
            counts += np.bincount(row * n_angles + column, minlength=len(counts))
    counts = counts.reshape(n_z, n_angles)
    density = counts / counts.mean()
    if temperature_K is None:
        free_energy = np.full(counts.shape, np.nan)
    else:
        with np.errstate(divide="ignore"):
            free_energy = -BOLTZMANN_EV_PER_K * temperature_K * np.log(density / density.max()) + 0.0
    return OrientationDensity(
        name=parts[0].name,
        n_directions=n_directions,
        site_symmetry=site_symmetry if isinstance(site_symmetry, str) else f"{len(operations)} operations",
        temperature_K=temperature_K,
        z_edges=np.linspace(-1, 1, n_z + 1),
        angle_edges_deg=np.linspace(0, 360, n_angles + 1),
        counts=counts,
        density=density,
        free_energy_eV=free_energy,
        provenance=collect_provenance(n_z=n_z, n_angles=n_angles),
    )


def find_basins(
    density: OrientationDensity,
    *,
    width_deg: float = _WIDTH_DEG,
    apart_deg: float = 35.0,
    least: float = LEAST_BASIN,
) -> np.ndarray:
    """Return the directions that hold bonds, most frequent first, unit vectors of shape (n_basins, 3).

    Parameters
    ----------
    density
        From `orientation_density`, best with the symmetry of the site.
    width_deg
        Standard deviation of the smoothing, degrees.
    apart_deg
        Smallest angle between two basins, degrees.
    least
        Smallest density, after smoothing, of a basin. A shallower maximum shows in the map, but a well of
        less than 0.4 kT holds no rotor; `smoothed_extremes` says how deep it is.

    Returns
    -------
    ndarray
        Empty where no direction is preferred by that much.
    """
    directions, cosine, smooth = _smoothed(density, width_deg)
    found = []
    for index in np.argsort(-smooth, kind="stable"):
        if smooth[index] < least:
            break
        if all(cosine[index, other] < np.cos(np.radians(apart_deg)) for other in found):
            near = cosine[index] > np.cos(np.radians(0.5 * apart_deg))
            if smooth[index] >= smooth[near].max() * (1 - 1e-9):
                found.append(int(index))
    return directions[found]


def smoothed_extremes(density: OrientationDensity, *, width_deg: float = _WIDTH_DEG) -> tuple[float, float]:
    """Return the least and the largest density of directions over that of free rotors, after smoothing.

    Parameters
    ----------
    density
        From `orientation_density`.
    width_deg
        Standard deviation of the smoothing, degrees, as in `find_basins`.

    Notes
    -----
    The landscape of orientations is uneven by kT ln of their ratio. Limit: 1 and 1 for free rotors, but for
    the noise of sampling.
    """
    smooth = _smoothed(density, width_deg)[2]
    return float(smooth.min()), float(smooth.max())


def _smoothed(density, width_deg):
    """Return directions, the cosines between them, and the density smoothed on the sphere."""
    directions = density.directions.reshape(-1, 3)
    cosine = directions @ directions.T
    kernel = np.exp((cosine - 1) / np.radians(width_deg) ** 2)
    return directions, cosine, kernel @ density.density.ravel() / kernel.sum(axis=1)
