"""Through how high a free energy do ions get around the cell: percolation of their density."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.density import IonDensity
from simtools.analysers.kernels import percolation as kernels
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import BOLTZMANN_EV_PER_K

__all__ = ["Percolation", "percolation"]

_FEWEST_PARTS = 4


@dataclass(frozen=True, eq=False, kw_only=True)
class Percolation(Result):
    """The lowest free energies at which the region an ion visits connects to its own periodic images.

    Attributes
    ----------
    dimension : int
        Number of independent directions in which visited voxels connect: 0 to 3.
    levels : tuple of Estimate
        For one, two, three directions: the free energy of the last voxel needed, over that of the densest,
        eV. The interval is that of Poisson's counts in that voxel, n_eff the count over its dispersion. An
        ion that stays in a voxel for several frames is counted several times, so the interval from a single
        density is too narrow; from four or more parts the dispersion is measured.
    windings : ndarray of int
        The direction that each level adds, in lattice vectors.
    """

    species: str
    dimension: int
    temperature_K: float = quantity("K")
    levels: tuple = quantity("eV", shape="(dimension,)")
    windings: np.ndarray = quantity("1", shape="(dimension, 3)")


def percolation(
    density: IonDensity | Sequence[IonDensity], *, temperature_K: float | None = None
) -> Percolation:
    """Return in how many directions the density of ions percolates, and through what free energy.

    Voxels are filled from the densest down; neighbours share a face. A cluster percolates when it reaches
    its own image across the cell's faces.

    Parameters
    ----------
    density
        From `ion_density`; voxels of 0.2 to 0.4 Å, so that the saddle is resolved and well counted. Several
        of one grid, from stretches of time or replicas, are added up, and their scatter about the mean in
        and around the decisive voxel widens the interval where it exceeds Poisson's.
    temperature_K
        Of the run; by default the one the density carries.

    Returns
    -------
    Percolation

    Raises
    ------
    ConfigError
        If no temperature is known, or grids or species differ.

    Notes
    -----
    Limits: a channel gives 1, a plane 2, a connected network 3. The level is the free energy along the path
    of one ion; where ions move together it is not the activation energy of D. Passages that were never seen
    occupied do not connect.
    """
    parts = (density,) if isinstance(density, IonDensity) else tuple(density)
    kinds = {(part.species, part.counts.shape) for part in parts}
    if len(kinds) != 1 or not all(np.allclose(part.cell_A, parts[0].cell_A, rtol=0.01) for part in parts):
        raise ConfigError("expected densities of one species on one grid: fold them alike, in one cell")
    density = parts[0]
    temperature_K = density.temperature_K if temperature_K is None else temperature_K
    if not (temperature_K is not None and temperature_K > 0):
        raise ConfigError(
            f"a free energy needs the temperature: expected temperature_K > 0, got {temperature_K!r}"
        )
    counts = np.sum([part.counts for part in parts], axis=0)
    flat = counts.ravel()
    order = np.argsort(-flat, kind="stable")
    order = order[: np.count_nonzero(flat)]
    at, windings = kernels.windings(order, np.array(counts.shape, dtype=np.int64), 3)
    return Percolation(
        species=density.species,
        dimension=len(at),
        temperature_K=float(temperature_K),
        levels=tuple(
            _level(
                int(flat[order[position]]),
                int(flat.max()),
                BOLTZMANN_EV_PER_K * temperature_K,
                _dispersion(parts, np.unravel_index(order[position], counts.shape)),
            )
            for position in at
        ),
        windings=windings,
        provenance=collect_provenance(temperature_K=temperature_K, density=density.provenance["arguments"]),
    )


def _dispersion(parts, voxel):
    """Return variance over mean of the parts' counts in and around a voxel, at least 1."""
    if len(parts) < _FEWEST_PARTS:
        return 1.0
    around = np.ix_(*[np.unique((place + np.arange(-1, 2)) % size) for place, size in zip(
        voxel, parts[0].counts.shape, strict=True)])  # fmt: skip
    seen = np.array([part.counts[around].ravel() for part in parts], dtype=float)
    share = np.array([part.n_samples for part in parts], dtype=float)
    expected = np.outer(share / share.sum(), seen.sum(axis=0))
    visited = expected[0] > 0
    squares = np.square(seen - expected)[:, visited] / expected[:, visited]
    return max(1.0, float(squares.sum() / ((len(parts) - 1) * visited.sum())))


def _level(count, densest, kT_eV, dispersion):
    independent = count / dispersion
    low = dispersion * stats.chi2.ppf(0.025, 2 * independent) / 2
    high = dispersion * stats.chi2.ppf(0.975, 2 * independent + 2) / 2
    value = -kT_eV * np.log(count / densest)
    return Estimate(
        value=float(value),
        stderr=float(kT_eV / np.sqrt(independent)),
        ci95=(float(max(0.0, -kT_eV * np.log(high / densest))), float(-kT_eV * np.log(low / densest))),
        method="free energy of the last voxel needed; Poisson interval of its count",
        n_eff=float(independent),
    )
