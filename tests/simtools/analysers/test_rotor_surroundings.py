"""Vacancies, tilts, coherence and joint correlations beside rotors of toys that obey or ignore them."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from simtools.analysers.coupled_events import RotorHops
from simtools.analysers.coupling_velocities import velocity_coherence
from simtools.analysers.joint_correlation import joint_correlation
from simtools.analysers.molecules import find_molecules, without_ligands
from simtools.analysers.orientations import Orientations, orientations_of
from simtools.analysers.rotor_surroundings import (
    coordination_levels,
    dipole_to_vacancies,
    ions_near,
    vacancies_near,
    vacancy_positions,
)
from simtools.analysers.tilt_at_hops import tilt_at_hops
from simtools.core.errors import ConfigError
from simtools.md.trajectory import Trajectory
from simtools.testing.rotor_crystals import hydroxide_crystal


def crystal(seed=0, n_frames=1500, **options):
    trajectory = hydroxide_crystal(n_frames, seed=seed, **options)
    molecules = find_molecules(trajectory, centre="O", ligands="H")
    return without_ligands(trajectory, molecules), orientations_of(molecules)


def test_ions_and_vacancies_fill_the_six_places_of_a_rotor():
    trajectory, rotors = crystal(n_frames=200)
    vacancies = vacancy_positions(trajectory, mobile="Li")
    ions = ions_near(trajectory, rotors, mobile="Li", radius_A=2.9)
    empty = vacancies_near(vacancies, rotors, radius_A=2.9)
    assert vacancies.shape == (200, 4, 3)
    assert (ions + empty == 6).mean() > 0.99
    assert empty.mean() == pytest.approx(4 * 2 / 27)
    levels = coordination_levels(np.array([[6, 5], [7, 6]]))
    assert levels.tolist() == [[1, 0], [2, 1]]


def test_molecule_numbers_of_a_run_of_ours_go_with_the_ligands():
    trajectory = hydroxide_crystal(4, seed=0)
    molecules = find_molecules(trajectory, centre="O", ligands="H")
    numbers = np.full(len(trajectory.species), -1)
    for k, (centre, ligands) in enumerate(zip(molecules.centres, molecules.ligands, strict=True)):
        numbers[[centre, *ligands]] = k
    chlorides = np.flatnonzero(trajectory.species == "Cl")[:2]
    numbers[chlorides] = len(molecules.centres)
    bare = without_ligands(replace(trajectory, molecule_id=numbers), molecules)
    assert "H" not in bare.species
    assert (bare.molecule_id[bare.species == "O"] == -1).all()
    assert np.count_nonzero(bare.molecule_id == len(molecules.centres)) == 2


def test_vacancies_move_with_a_host_that_drifts():
    trajectory, _ = crystal(n_frames=100, rattle_A=0.0)
    drift = np.linspace(0, 3, 100)[:, None, None] * np.array([1.0, 0.5, 0.0])
    moved = Trajectory(
        positions_A=trajectory.positions_A + drift,
        species=trajectory.species,
        cells_A=trajectory.cells_A,
        frame_interval_ps=0.05,
        lattice_sites=trajectory.lattice_sites,
    )
    before, after = (vacancy_positions(item, mobile="Li") for item in (trajectory, moved))
    assert_allclose(after - before, np.broadcast_to(drift, before.shape), atol=1e-6)


def test_hydroxides_that_follow_vacancies_point_to_them_and_others_do_not():
    trajectory, rotors = crystal(1, motion="follow vacancies")
    pointing = dipole_to_vacancies(rotors, vacancy_positions(trajectory, mobile="Li"), radius_A=2.9)
    assert pointing.mean_cosine > 0.6
    assert pointing.cosine.ci95[0] > 0.3
    assert pointing.p_value == 1 / 201
    assert pointing.counts.argmax() >= 17
    p = []
    for seed in range(20):
        trajectory, rotors = crystal(seed, n_frames=500, turn_rate_per_ps=0.3)
        vacancies = vacancy_positions(trajectory, mobile="Li")
        p.append(dipole_to_vacancies(rotors, vacancies, radius_A=2.9, n_shifts=60).p_value)
    assert np.mean(np.array(p) <= 0.05) <= stats.binom.ppf(0.999, 20, 0.05) / 20


def test_tilts_at_hops_are_seen_where_planted():
    rng = np.random.default_rng(3)
    n_frames, n_rotors, interval = 4000, 8, 0.05
    tilt = 0.12 * rng.normal(size=(n_frames, n_rotors, 2))
    hops = rng.integers(100, n_frames - 100, size=(n_rotors, 20))
    grid = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(-1, 3) * 5.0

    def at_hops(planted):
        path = tilt.copy()
        for rotor in range(n_rotors):
            for hop in hops[rotor]:
                path[hop : hop + 6, rotor] += planted
        u = np.concatenate([path, np.ones((n_frames, n_rotors, 1))], axis=-1)
        u /= np.linalg.norm(u, axis=-1, keepdims=True)
        rotors = Orientations(
            name="OH",
            vectors=u[:, :, None],
            quaternions=None,
            reference_A=None,
            misfit_A=None,
            centres_A=np.broadcast_to(grid, u.shape),
            cells_A=10 * np.eye(3),
            frame_interval_ps=interval,
        )
        run = RotorHops(
            rotation_rotors=np.zeros(0, dtype=int),
            rotation_times_ps=np.zeros(0),
            rotation_vectors_rad=np.zeros((0, 3)),
            hop_times_ps=(hops.ravel() - 20) * interval,
            hop_starts_A=np.repeat(grid, 20, axis=0) + np.array([1.0, 0, 0]),
            hop_vectors_A=np.zeros((160, 3)),
            rotor_centres_A=grid,
            cell_A=10 * np.eye(3),
            duration_ps=(n_frames - 41) * interval,
            start_ps=20 * interval,
        )
        return tilt_at_hops(rotors, run, radius_A=2.0)

    found = at_hops(0.3)
    assert found.p_value == 1 / 201
    assert found.excess.value > 2.0
    peak = found.lags_ps[np.nanargmax(found.tilts_deg)]
    assert abs(peak) <= 0.5
    assert found.tilts_deg.max() > 1.2 * found.band_high_deg.max()
    none = at_hops(0.0)
    assert none.p_value > 0.01
    assert abs(none.excess.value) < 4 * none.excess.stderr


def driven(seed, share, n_frames=2048, interval=0.02):
    """Return a rotor and an ion on its x axis: the ion's turning about it is partly the rotor's."""
    rng = np.random.default_rng(seed)
    frequency = np.fft.rfftfreq(n_frames, interval)
    shape = np.exp(-(((frequency - 8.0) / 3.0) ** 2))

    def noise():
        return np.fft.irfft(
            shape * (rng.normal(size=len(shape)) + 1j * rng.normal(size=len(shape))), n_frames
        )

    angle = noise()
    other = noise()
    angle, other = (0.15 * item / item.std() for item in (angle, other))
    ion = share * angle + np.sqrt(1 - share**2) * other
    r_tnc = np.zeros((n_frames, 3, 3))
    r_tnc[:, 1] = 0.97 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    r_tnc[:, 2] = 2.0 * np.stack([np.cos(ion), np.sin(ion), 0 * ion], axis=-1)
    trajectory = Trajectory(
        positions_A=r_tnc, species=["O", "H", "Li"], cells_A=10 * np.eye(3), frame_interval_ps=interval
    )
    return trajectory, orientations_of(find_molecules(trajectory, centre="O", ligands="H"))


def test_coherence_is_the_share_of_common_motion():
    trajectory, rotors = driven(0, 0.8)
    found = velocity_coherence(rotors, trajectory, mobile="Li", radius_A=3.0, n_shifts=99)
    inside = np.abs(found.frequencies_THz - 8.0) < 2.0
    assert found.coherence[inside].mean() == pytest.approx(0.64, abs=0.12)
    assert found.correlation.value == pytest.approx(0.8, abs=0.07)
    assert found.p_value == 0.01
    p = [
        velocity_coherence(*driven(seed, 0.0)[::-1], mobile="Li", radius_A=3.0, n_shifts=40).p_value
        for seed in range(20)
    ]
    assert np.mean(np.array(p) <= 0.05) <= stats.binom.ppf(0.999, 20, 0.05) / 20
    with pytest.raises(ConfigError, match="expected 8"):
        velocity_coherence(rotors, trajectory, mobile="Li", radius_A=3.0, resolution_THz=0.05)


def test_joint_correlation_is_zero_for_independent_motion_and_positive_where_both_stay():
    trajectory, rotors = crystal(2, n_frames=1500, hop_rate_per_ps=0.1, turn_rate_per_ps=0.1)
    free = joint_correlation(rotors, trajectory, mobile="Li", radius_A=2.9)
    pull = free.joint1[1:] / np.maximum(free.joint1_stderr[1:], 1e-4)
    assert np.sqrt(np.mean(pull**2)) < 3
    assert free.stay[0] == free.p1[0] == 1.0
    assert np.abs(free.joint1).max() < 0.03
    rng = np.random.default_rng(5)
    n_frames = 1200
    gone = np.zeros(n_frames, dtype=int)
    for start in np.sort(rng.integers(0, n_frames, 12)):
        gone[start:] = 1 - gone[start]
    r_tnc = np.zeros((n_frames, 3, 3))
    r_tnc[:, 1, 0] = np.where(gone, -0.97, 0.97)
    r_tnc[:, 2, 0] = np.where(gone, 4.0, 2.0)
    tied = Trajectory(
        positions_A=r_tnc, species=["O", "H", "Li"], cells_A=10 * np.eye(3), frame_interval_ps=0.1
    )
    rotors = orientations_of(find_molecules(tied, centre="O", ligands="H"))
    found = joint_correlation(rotors, tied, mobile="Li", radius_A=3.0)
    assert found.joint1[1:].max() > 0.2
    with pytest.raises(ConfigError, match="larger radius_A"):
        joint_correlation(rotors, tied, mobile="Li", radius_A=0.5)


def test_limits_of_use_are_said():
    trajectory, rotors = crystal(n_frames=100)
    with pytest.raises(ConfigError, match="at most"):
        ions_near(trajectory, rotors, mobile="Li", radius_A=7.0)
    with pytest.raises(ConfigError, match="no vacancies"):
        vacancy_positions(trajectory, mobile="Cl")
    with pytest.raises(ConfigError, match="no vacancy comes"):
        dipole_to_vacancies(rotors, vacancy_positions(trajectory, mobile="Li"), radius_A=0.5)
    with pytest.raises(ConfigError, match="motion must be"):
        hydroxide_crystal(10, seed=0, motion="spin")
