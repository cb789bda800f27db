"""Rotations and hops of one run in common time and space. Coupling: event_correlogram.py and others."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from simtools.analysers.jumps import Jumps
from simtools.analysers.kernels import coupling as kernels
from simtools.analysers.reorientations import Reorientations
from simtools.core.errors import ConfigError, ShapeError
from simtools.core.periodic import cell_heights_A

__all__ = ["NearHops", "RotorHops", "common_events"]


@dataclass(frozen=True, eq=False, kw_only=True)
class RotorHops:
    """Rotations of molecules and hops of ions in one run.

    Attributes
    ----------
    rotation_rotors : ndarray of int
        Which molecule turned, shape (n_rotations,).
    rotation_times_ps : ndarray
        From 0 to `duration_ps`, shape (n_rotations,).
    rotation_vectors_rad : ndarray
        Shape (n_rotations, 3).
    hop_times_ps : ndarray
        Shape (n_hops,).
    hop_starts_A, hop_vectors_A : ndarray
        Where each hop began and its vector, shape (n_hops, 3), Å; a hop is near what its middle is near.
    rotor_centres_A : ndarray
        Shape (n_rotors, 3), Å.
    cell_A : ndarray
        Shape (3, 3), Å.
    duration_ps : float
        Time in which both can be seen, ps.
    start_ps : float
        Where it begins in the trajectory, ps.
    rotation_starts : ndarray or None
        Where a linear rotor's bond pointed before it turned, unit vectors, shape (n_rotations, 3).
    """

    rotation_rotors: np.ndarray
    rotation_times_ps: np.ndarray
    rotation_vectors_rad: np.ndarray
    hop_times_ps: np.ndarray
    hop_starts_A: np.ndarray
    hop_vectors_A: np.ndarray
    rotor_centres_A: np.ndarray
    cell_A: np.ndarray
    duration_ps: float
    start_ps: float = 0.0
    rotation_starts: np.ndarray | None = None

    def __post_init__(self):
        n, m = len(self.rotation_rotors), len(self.hop_times_ps)
        for name, shape in (
            ("rotation_times_ps", (n,)),
            ("rotation_vectors_rad", (n, 3)),
            ("hop_starts_A", (m, 3)),
            ("hop_vectors_A", (m, 3)),
            ("cell_A", (3, 3)),
        ):
            if getattr(self, name).shape != shape:
                raise ShapeError(name, str(shape), getattr(self, name).shape)
        if self.rotation_starts is not None and self.rotation_starts.shape != (n, 3):
            raise ShapeError("rotation_starts", str((n, 3)), self.rotation_starts.shape)
        for name in ("rotation_times_ps", "hop_times_ps"):
            times = getattr(self, name)
            if len(times) and not (times.min() >= 0 and times.max() <= self.duration_ps):
                raise ConfigError(f"{name} must lie between 0 and {self.duration_ps:g} ps")

    @property
    def n_rotors(self):
        """Number of molecules."""
        return len(self.rotor_centres_A)

    @property
    def n_rotations(self):
        """Number of rotations."""
        return len(self.rotation_rotors)

    @property
    def n_hops(self):
        """Number of hops."""
        return len(self.hop_times_ps)

    def rotations_by_rotor(self):
        """Return the order that sorts rotations by rotor and time, and where each rotor's begin."""
        order = np.lexsort((self.rotation_times_ps, self.rotation_rotors))
        return order, np.searchsorted(self.rotation_rotors[order], np.arange(self.n_rotors + 1))

    def stretches(self, number):
        """Return the run in `number` pieces of equal length, each a `RotorHops` of its own."""
        edges = np.linspace(0.0, self.duration_ps, number + 1)
        pieces = []
        for index, (low, high) in enumerate(pairwise(edges)):
            turned, hopped = (
                (times >= low) & ((times < high) | (index == number - 1))
                for times in (self.rotation_times_ps, self.hop_times_ps)
            )
            length = float(high - low)
            pieces.append(
                RotorHops(
                    rotation_rotors=self.rotation_rotors[turned],
                    rotation_times_ps=np.clip(self.rotation_times_ps[turned] - low, 0.0, length),
                    rotation_vectors_rad=self.rotation_vectors_rad[turned],
                    hop_times_ps=np.clip(self.hop_times_ps[hopped] - low, 0.0, length),
                    hop_starts_A=self.hop_starts_A[hopped],
                    hop_vectors_A=self.hop_vectors_A[hopped],
                    rotor_centres_A=self.rotor_centres_A,
                    cell_A=self.cell_A,
                    duration_ps=length,
                    start_ps=self.start_ps + float(low),
                    rotation_starts=None if self.rotation_starts is None else self.rotation_starts[turned],
                )
            )
        return tuple(pieces)

    def near(self, radius_A):
        """Return the hops whose middle is within `radius_A` of each rotor, by rotor and time, `NearHops`.

        Raises
        ------
        ConfigError
            For a radius over half the smallest height of the cell, where a hop would be near two images.
        """
        room_A = 0.5 * float(cell_heights_A(self.cell_A).min())
        if not 0 < radius_A <= room_A:
            raise ConfigError(
                f"hops within {radius_A:g} Å of a rotor: expected a positive radius of at most half the "
                f"smallest height of the cell, {room_A:.4g} Å"
            )
        order = np.argsort(self.hop_times_ps, kind="stable")
        middles = (self.hop_starts_A + 0.5 * self.hop_vectors_A)[order]
        hops, first, gaps = kernels.near_pairs(
            middles,
            np.ascontiguousarray(self.rotor_centres_A),
            np.ascontiguousarray(self.cell_A),
            np.linalg.inv(self.cell_A),
            float(radius_A),
        )
        hops = order[hops]
        return NearHops(first, hops, gaps - 0.5 * self.hop_vectors_A[hops], np.linalg.norm(gaps, axis=1))


@dataclass(frozen=True, eq=False)
class NearHops:
    """Hops near each rotor, rotor by rotor in order of time; a hop can be near several.

    Attributes
    ----------
    first : ndarray of int
        Where each rotor's begin, shape (n_rotors + 1,).
    hops : ndarray of int
        Index of the hop.
    starts_A : ndarray
        Where it began, from the rotor's centre, shape (n, 3), Å.
    distances_A : ndarray
        From the rotor's centre to the middle of the hop, Å.
    """

    first: np.ndarray
    hops: np.ndarray
    starts_A: np.ndarray
    distances_A: np.ndarray


def common_events(reorientations: Reorientations, jumps: Jumps) -> RotorHops:
    """Return rotations and hops of one run over the time in which both can be seen.

    Parameters
    ----------
    reorientations
        From `find_reorientations`.
    jumps
        From `find_jumps`, of the same trajectory in the frame of its host.

    Raises
    ------
    ConfigError
        If the two have no time in common.
    """
    start = max(reorientations.observed_ps[0], jumps.observed_ps[0])
    end = min(reorientations.observed_ps[1], jumps.observed_ps[1])
    if not end > start:
        raise ConfigError("rotations and hops have no time in common: expected those of one trajectory")
    rotated = (reorientations.times_ps >= start) & (reorientations.times_ps <= end)
    hopped = (jumps.times_ps >= start) & (jumps.times_ps <= end)
    place = {int(site): index for index, site in enumerate(jumps.site_indices)}
    starts = np.array([place[int(site)] for site in jumps.initial_sites[hopped]], dtype=np.int64)
    return RotorHops(
        rotation_rotors=reorientations.rotors[rotated],
        rotation_times_ps=reorientations.times_ps[rotated] - start,
        rotation_vectors_rad=reorientations.vectors_rad[rotated],
        hop_times_ps=jumps.times_ps[hopped] - start,
        hop_starts_A=jumps.sites_A[starts].reshape(-1, 3),
        hop_vectors_A=jumps.vectors_A[hopped],
        rotor_centres_A=reorientations.centres_A,
        cell_A=jumps.cell_A,
        duration_ps=float(end - start),
        start_ps=float(start),
        rotation_starts=None
        if reorientations.initial_directions is None
        else reorientations.initial_directions[rotated],
    )
