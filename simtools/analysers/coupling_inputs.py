"""What rotation_coupling.py needs of runs first: sites, distances, windows, what else may drive hops."""

import numpy as np

from simtools.analysers.density import find_sites, ion_density
from simtools.analysers.rotor_surroundings import (
    coordination_levels,
    ions_near,
    vacancies_near,
    vacancy_positions,
)
from simtools.core.errors import ConfigError
from simtools.core.periodic import minimum_image
from simtools.md.trajectory import LatticeSites

__all__ = ["common_windows", "density_sites", "nearest_ion_A", "rotor_covariates"]

_LAG_PS, _WINDOW_PS = 2.0, 1.0
_WINDOWS_IN_ALL = 90.0
_FRAMES_IN_WINDOW = 5
_LAGS_IN_RUN = 25.0
_VOXEL_A = 0.3


def density_sites(trajectory, mobile):
    """Return the sites of the mobile ions where their density peaks, and of all others where they are."""
    sites, _ = find_sites(ion_density(trajectory, species=mobile, spacing_A=_VOXEL_A))
    others = np.flatnonzero(trajectory.species != mobile)
    inverse = np.linalg.inv(trajectory.cells_A)
    mean = (trajectory.positions_A[:, others] @ inverse).mean(axis=0) % 1.0
    return LatticeSites(
        np.concatenate([sites.scaled_positions, mean]),
        np.concatenate([sites.species, trajectory.species[others]]),
    )


def nearest_ion_A(host, orientations, mobile):
    """Return the usual distance from a rotor to its nearest ion in the first frame, Å."""
    cell = host.cells_A if host.cells_A.ndim == 2 else host.cells_A[0]
    ions = host.positions_of(mobile)[0]
    gaps = [
        np.linalg.norm(minimum_image(ions - centre, cell), axis=1).min()
        for centre in orientations.centres_A[0]
    ]
    return float(np.median(gaps))


def common_windows(runs, interval_ps):
    """Return the window and the longest lag, ps, that the runs have room for.

    The window is no longer than the time in which half of the rotors turn, if frames resolve that: after a
    rotor that turns all the time every hop comes after a rotation, and nothing is left to compare it with.
    """
    total, shortest = sum(run.duration_ps for run in runs), min(run.duration_ps for run in runs)
    window_ps = min(_WINDOW_PS, total / _WINDOWS_IN_ALL)
    lag_ps = min(_LAG_PS, shortest / _LAGS_IN_RUN)
    window_ps = min(window_ps, lag_ps)
    turns = sum(len(run.rotation_times_ps) for run in runs)
    if turns:
        rate = turns / sum(run.duration_ps * len(run.rotor_centres_A) for run in runs)
        window_ps = min(window_ps, max(np.log(2) / rate, _FRAMES_IN_WINDOW * interval_ps))
    if window_ps < 2 * interval_ps:
        raise ConfigError(
            f"{total:g} ps with frames every {interval_ps:g} ps leave a window of {window_ps:.2g} ps between "
            "rotation and hop: expected at least two frames, so longer runs or more frames"
        )
    return window_ps, lag_ps


def rotor_covariates(hosts, rotation, runs, mobile, reach_A, notes):
    """Return levels of what may drive both, one array per run, and vacancies, (n_frames, n, 3) of each run.

    Without the vacancies of every run there are none, and a line in `notes` says why.
    """
    vacancies, coordination, everywhere = [], [], []
    for host, orientations, run in zip(hosts, rotation.orientations, runs, strict=True):
        start = round(run.start_ps / host.frame_interval_ps)
        part = slice(start, start + max(1, round(run.duration_ps / host.frame_interval_ps)))
        counts = ions_near(host, orientations, mobile=mobile, radius_A=reach_A)
        coordination.append(coordination_levels(counts)[part])
        try:
            places = vacancy_positions(host, mobile=mobile)
        except ConfigError as error:
            notes.append(f"adjusted for coordination only, vacancies are unknown: {error}")
            continue
        everywhere.append(places)
        vacancies.append(vacancies_near(places, orientations, radius_A=reach_A)[part])
    covariates = {"coordination": coordination}
    if len(vacancies) < len(runs):
        return covariates, None
    return {"vacancies": vacancies, **covariates}, everywhere
