"""Do vacancies get away, or circle where they began? A bound pair hops for ever and carries no current."""

from dataclasses import dataclass

import numpy as np
from ase.geometry import minkowski_reduce
from scipy.optimize import linear_sum_assignment

from simtools.analysers.displacements import HOP_FRACTION
from simtools.analysers.kernels import msd as kernels
from simtools.analysers.sites import site_occupation
from simtools.analysers.uncertainty import poisson_upper_limit
from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.core.periodic import shortest_distance_A

__all__ = ["ESCAPE_HOPS", "Escapes", "count_escapes", "escapes_of_ions", "vacancy_paths"]

ESCAPE_HOPS = 2.12
"""Sites around a partner lie at most two hops apart; the next distance on the X3 sublattice is 2.24 hops."""
_FAR_ION_HOPS = 2.2
_FEWEST_ESCAPES = 2
_CERTAINTY = 0.999
_TOO_RARE = 3.0


@dataclass(frozen=True)
class Escapes:
    """How often vacancies went farther than across the shell of sites around a partner.

    Attributes
    ----------
    n_vacancies : int
        Vacancies followed, over all replicas; 0 where the sites are unknown.
    n_escapes : int
        Times a vacancy settled more than 2.12 hops from where it was, counted anew from there.
    n_far_ions : int
        Ions that settled more than 2.2 hops from their first home.
    length_A : float
        Distance that counts as an escape, Å.
    """

    n_vacancies: int
    n_escapes: int
    n_far_ions: int
    length_A: float

    @property
    def bound_A2(self):
        """Largest summed squared displacement that these escapes allow (95 %), Å²."""
        return poisson_upper_limit(self.n_escapes) * self.length_A**2

    def verdict(self, travelled_A2):
        """Return why the motion seen is not diffusion, or an empty string.

        Parameters
        ----------
        travelled_A2
            Summed squared displacement over all ions and the whole time that the fitted slope implies, Å².
            Vacancies that diffuse escape once in each `length_A` squared of it, so a slope that implies far
            more escapes than were seen belongs to circling.

        Returns
        -------
        str
            Empty, too, where the sites are unknown.
        """
        if self.n_vacancies == 0:
            return ""
        seen = max(self.n_escapes, self.n_far_ions)
        implied = travelled_A2 / self.length_A**2
        if seen >= _FEWEST_ESCAPES and implied <= _TOO_RARE * poisson_upper_limit(seen, level=_CERTAINTY):
            return ""
        return (
            "vacancies stay within two hops of where they were: bound or trapped, or the run is too short "
            f"({self.n_vacancies} vacancies got farther {self.n_escapes} times)"
        )


def count_escapes(trajectories, positions, *, species, hop_length_A, window):
    """Count how often the vacancies of `species` got away, in all replicas.

    Parameters
    ----------
    trajectories
        Replicas; vacancies are followed where all of them carry `lattice_sites` with vacant sites of
        `species`.
    positions
        Of the mobile ions in the frame of the host, one array per replica, (n_frames, n_ions, 3), Å.
    species
        Symbol of the mobile ion.
    hop_length_A
        Distance between neighbouring sites, Å; where sites are known to lie farther apart, that counts.
    window
        Frames over which positions are averaged: an attempt that comes back at once is no escape.

    Returns
    -------
    Escapes
    """
    reach = [kernels.count_hops(r_tnc, window, HOP_FRACTION * hop_length_A)[1] for r_tnc in positions]
    unknown = escapes_of_ions(np.concatenate(reach), hop_length_A=hop_length_A)
    far_ions, length_A = unknown.n_far_ions, unknown.length_A
    n_vacancies, n_escapes = 0, 0
    for item in trajectories:
        try:
            r_tvc, spacing_A = vacancy_paths(item, species=species)
        except (ConfigError, UnknownSpeciesError):
            return unknown
        length_A = max(length_A, ESCAPE_HOPS * spacing_A)
        escapes_v, _ = kernels.count_hops(r_tvc, window, length_A)
        n_vacancies += r_tvc.shape[1]
        n_escapes += int(escapes_v.sum())
    return Escapes(n_vacancies, n_escapes, far_ions, length_A)


def escapes_of_ions(reach_A2, *, hop_length_A):
    """Return the `Escapes` where no vacancies can be followed, only ions.

    Parameters
    ----------
    reach_A2
        Largest squared distance of each ion's home from its first one, Å².
    hop_length_A
        Distance between neighbouring sites, Å.
    """
    far_ions = int((np.asarray(reach_A2) > (_FAR_ION_HOPS * hop_length_A) ** 2).sum())
    return Escapes(0, 0, far_ions, ESCAPE_HOPS * hop_length_A)


def vacancy_paths(trajectory, *, species):
    """Follow each vacancy from site to site, across the cell's faces.

    Parameters
    ----------
    trajectory
        Unwrapped, with `lattice_sites`.
    species
        The species that belongs on the vacant sites.

    Returns
    -------
    positions_A : ndarray
        Unwrapped site of each vacancy in the mean cell, shape (n_frames, n_vacancies, 3), Å. Vacancies keep
        their identity from frame to frame by the assignment with the smallest summed squared displacement.
    spacing_A : float
        Smallest distance between sites (images included), Å.

    Raises
    ------
    ConfigError, UnknownSpeciesError
        As `site_occupation`: without sites of `species` there are no vacancies to follow.
    """
    occupation = site_occupation(trajectory, species=species)
    cells = trajectory.cells_A
    cell = cells if cells.ndim == 2 else cells.mean(axis=0)
    sites_A = trajectory.lattice_sites.scaled_positions[occupation.site_indices] @ cell
    compact, _ = minkowski_reduce(cell, pbc=True)  # where nearest images are found by rounding
    sites_sc = sites_A @ np.linalg.inv(compact)
    current = occupation.vacancies[0].copy()
    unwrapped_vc = sites_A[current].copy()
    r_tvc = np.empty((trajectory.n_frames, len(current), 3))
    r_tvc[0] = unwrapped_vc
    changed = (occupation.vacancies[1:] != occupation.vacancies[:-1]).any(axis=1)
    for t in range(1, trajectory.n_frames):
        if changed[t - 1]:
            vacant = occupation.vacancies[t]
            steps = sites_sc[vacant][None, :, :] - sites_sc[current][:, None, :]
            steps = (steps - np.round(steps)) @ compact
            order = linear_sum_assignment(np.sum(steps**2, axis=-1))
            unwrapped_vc += steps[order]
            current = vacant[order[1]]
        r_tvc[t] = unwrapped_vc
    return r_tvc, shortest_distance_A(sites_A, cell)
