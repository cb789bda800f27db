"""Angular displacement, densities on the sphere and reorientation events held against known motion."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from simtools.analysers.angular_displacement import (
    angular_displacements,
    libration_spectrum,
    rotational_diffusion,
)
from simtools.analysers.arrhenius import TooFewTemperaturesError
from simtools.analysers.orientation_density import (
    LEAST_BASIN,
    find_basins,
    orientation_density,
    point_group,
    smoothed_extremes,
    star_of,
)
from simtools.analysers.orientations import Orientations
from simtools.analysers.reorientations import (
    find_reorientations,
    reorientation_rates,
    rotation_activation_energy,
)
from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.testing import rotor_orientations
from simtools.testing.rigid_rotors import rotor_quaternions


def rotors_of(points, *, interval_ps=1.0, name="OH"):
    """Return orientations from unit vectors (t, n, 3) or quaternions (x, y, z, w) (t, n, 4)."""
    linear = points.shape[-1] == 3
    return Orientations(
        name=name,
        vectors=(points if linear else np.zeros((*points.shape[:2], 3)))[:, :, None, :],
        quaternions=None if linear else np.roll(points, 1, axis=-1),
        reference_A=None,
        misfit_A=None,
        centres_A=np.zeros((*points.shape[:2], 3)),
        cells_A=10 * np.eye(3),
        frame_interval_ps=interval_ps,
    )


def turning(angle_t, axis=(0, 0, 1.0), *, quaternions=False):
    """Return one rotor that has turned by an angle about an axis."""
    turns = Rotation.from_rotvec(np.multiply.outer(np.asarray(angle_t, dtype=float), axis))
    if quaternions:
        return turns.as_quat()[:, None]
    return turns.apply([1.0, 0, 0])[:, None]


@pytest.mark.parametrize("quaternions", [False, True])
def test_full_turns_add_up(quaternions):
    path = turning(np.linspace(0, 6 * np.pi, 200), quaternions=quaternions)
    assert_allclose(angular_displacements(rotors_of(path))[-1, 0], [0, 0, 6 * np.pi], rtol=1e-9)


@pytest.mark.parametrize("kind", ["linear", "rigid"])
def test_rotational_diffusion_is_found_with_its_error(kind):
    diffusivity, pulls = 0.004, []
    for seed in range(8):
        if kind == "linear":
            points = rotor_orientations(600, 24, seed=seed, rotational_diffusivity_per_ps=diffusivity)
        else:
            points = rotor_quaternions(600, 24, seed=seed, rotational_diffusivity_per_ps=diffusivity)
        found = rotational_diffusion(rotors_of(points)).diffusivity
        pulls.append((found.value - diffusivity) / found.stderr)
    assert abs(np.mean(pulls)) < 1.1
    assert 0.4 < np.std(pulls) < 1.9


def test_a_rotor_that_spins_about_its_own_axis_has_one_component_in_its_body_frame():
    rng = np.random.default_rng(1)
    tilt = Rotation.random(30, rng=rng)
    spin = np.cumsum(0.1 * rng.normal(size=(500, 30)), axis=0)
    body = Rotation.from_rotvec(np.stack([0 * spin, 0 * spin, spin], axis=-1).reshape(-1, 3))
    tilts = Rotation.from_quat(np.tile(tilt.as_quat(), (500, 1)))
    points = (tilts * body).as_quat().reshape(500, 30, 4)
    lab = rotational_diffusion(rotors_of(points))
    own = rotational_diffusion(rotors_of(points), frame="body")
    expected = 0.1**2 / 2
    assert own.tensor_rad2_per_ps[2, 2] == pytest.approx(
        expected, abs=5 * own.tensor_stderr_rad2_per_ps[2, 2]
    )
    assert np.abs(own.tensor_rad2_per_ps[:2]).max() < 1e-12
    assert lab.diffusivity.value == pytest.approx(own.diffusivity.value, rel=1e-9)
    assert own.diffusivity.value == pytest.approx(expected / 3, abs=5 * own.diffusivity.stderr)


def test_replicas_that_differ_give_the_error_of_the_diffusivity():
    rng = np.random.default_rng(8)

    def replica(width):
        points = np.cumsum(width * rng.normal(size=(600, 12)), axis=0)
        return rotors_of(np.stack([np.cos(points), np.sin(points), 0 * points], axis=-1))

    alike = rotational_diffusion([replica(0.1) for _ in range(4)]).diffusivity
    differ = rotational_diffusion([replica(width) for width in (0.05, 0.1, 0.15, 0.2)]).diffusivity
    assert "between rotors" in alike.method
    assert "4 replicas, which differ" in differ.method
    assert differ.n_eff == 4
    values = np.array([0.05, 0.1, 0.15, 0.2]) ** 2 / 4
    assert differ.stderr == pytest.approx(values.std(ddof=1) / 2, rel=0.15)


def test_steps_that_are_not_resolved_are_counted_and_warned_of():
    jumps = rotors_of(rotor_orientations(400, 4, seed=0, jump_rate_per_ps=0.3))
    found = rotational_diffusion(jumps)
    assert found.unresolved_fraction > 0.1
    assert "write frames more often" in found.warnings[0]
    with pytest.raises(ConfigError, match="linear"):
        rotational_diffusion(jumps, frame="body")
    with pytest.raises(ConfigError, match="do not fit"):
        rotational_diffusion(jumps, slope_lags_ps=(5.0, 4.0))


def test_a_libration_is_one_line():
    t = 0.01 * np.arange(4000)
    path = turning(0.2 * np.sin(2 * np.pi * 6.0 * t))
    spectrum = libration_spectrum(rotors_of(path, interval_ps=0.01))
    assert spectrum.mean_frequency_THz.value == pytest.approx(6.0, rel=0.03)
    assert spectrum.frequencies_THz[spectrum.density_per_THz.argmax()] == pytest.approx(6.0)
    area = spectrum.density_per_THz.sum() * spectrum.frequencies_THz[1]
    assert area == pytest.approx(spectrum.degrees_of_freedom) == pytest.approx(2.0)


@pytest.mark.parametrize(("name", "order"), [("1", 1), ("mmm", 8), ("4/mmm", 16), ("-43m", 24), ("m-3m", 48)])
def test_point_groups_have_their_orders(name, order):
    assert len(point_group(name)) == order


def test_stars_of_cubic_directions():
    cubic = point_group("m-3m")
    assert [len(star_of(d, cubic)) for d in ((1, 0, 0), (1, 1, 1), (1, 1, 0), (3, 2, 1))] == [6, 8, 12, 48]
    assert len(star_of((1, 1, 1), point_group("-43m"))) == 4


def test_free_rotors_fill_the_sphere_evenly_and_basins_are_found():
    free = rotors_of(rotor_orientations(400, 100, seed=1, jump_rate_per_ps=5.0))
    even = orientation_density(free, temperature_K=500.0, n_z=12, n_angles=24)
    expected = even.counts.mean()
    assert np.sum((even.counts - expected) ** 2) / expected / (even.counts.size - 1) == pytest.approx(
        1, abs=0.25
    )
    assert even.density.mean() == pytest.approx(1.0, rel=1e-12)
    assert len(find_basins(even)) == 0
    low, high = smoothed_extremes(even)
    assert 0.9 < low < 1 < high < 1.1
    rng = np.random.default_rng(2)
    near = np.array([0, 0, 1.0]) + 0.2 * rng.normal(size=(400, 10, 3))
    near /= np.linalg.norm(near, axis=-1, keepdims=True)
    cubic = orientation_density(rotors_of(near), site_symmetry="m-3m", temperature_K=500.0)
    basins = find_basins(cubic)
    assert len(basins) == 6
    assert smoothed_extremes(cubic)[1] > LEAST_BASIN
    assert np.abs(basins).max(axis=1).min() > 0.97
    seen = np.isfinite(cubic.free_energy_eV)
    kT = BOLTZMANN_EV_PER_K * 500
    ratio = cubic.density[seen] / cubic.density.max()
    assert_allclose(np.exp(-cubic.free_energy_eV[seen] / kT), ratio, rtol=1e-9)
    images = orientation_density(rotors_of(near), site_symmetry=point_group("m-3m"))
    assert_allclose(images.counts, cubic.counts)


def librating(index_tn, basins, *, width=0.15, seed=0):
    """Return rotors that librate about the basin given for every frame."""
    noisy = basins[index_tn] + width * np.random.default_rng(seed).normal(size=(*index_tn.shape, 3))
    return noisy / np.linalg.norm(noisy, axis=-1, keepdims=True)


def hopping(n_frames, n_rotors, rate, seed):
    """Return basin indices of rotors that jump to one of the four neighbours of six at a rate per frame."""
    rng = np.random.default_rng(seed)
    index = np.zeros((n_frames, n_rotors), dtype=int)
    jumps = rng.random((n_frames, n_rotors)) < rate
    for t in range(1, n_frames):
        axis = index[t - 1] // 2
        other = (axis + rng.integers(1, 3, n_rotors)) % 3
        index[t] = np.where(jumps[t], 2 * other + rng.integers(0, 2, n_rotors), index[t - 1])
    return index


SIX = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1.0, 0], [0, -1, 0], [0, 0, 1.0], [0, 0, -1]])


@pytest.mark.parametrize("with_basins", [False, True])
def test_jumps_between_basins_are_found_and_librations_are_not(with_basins):
    index = hopping(3000, 12, 0.004, seed=3)
    true = int((index[1:] != index[:-1]).sum())
    events = find_reorientations(
        rotors_of(librating(index, SIX), interval_ps=0.02), basins=SIX if with_basins else None
    )
    assert abs(events.n_events - true) <= 0.07 * true
    assert np.median(np.abs(events.angles_deg - 90)) < 10
    first = events.rotors == 0
    frames = np.flatnonzero(index[1:, 0] != index[:-1, 0]) + 0.5
    gaps = np.abs(events.times_ps[first][:, None] / 0.02 - frames).min(axis=1)
    assert np.quantile(gaps, 0.9) <= 1.0
    still = np.zeros((3000, 12), dtype=int)
    assert find_reorientations(rotors_of(librating(still, SIX), interval_ps=0.02)).n_events == 0


@pytest.mark.kernel
@pytest.mark.parametrize("with_basins", [False, True])
def test_an_excursion_is_a_recrossing_and_what_stays_is_an_event(with_basins):
    index = np.zeros((200, 1), dtype=int)
    index[50:54] = 2
    index[120:] = 2
    events = find_reorientations(
        rotors_of(librating(index, SIX, width=0.02), interval_ps=0.02), basins=SIX if with_basins else None
    )
    assert events.times_ps == pytest.approx([119.5 * 0.02])
    assert events.n_recrossings == 1
    assert_allclose(events.vectors_rad, [[0, 0, np.pi / 2]], atol=0.05)


@pytest.mark.kernel
def test_permutations_of_a_tetrahedron_are_rotations_by_the_full_angle():
    third = 2 * np.pi / 3
    angles = np.repeat([0.0, third, 2 * third, 3 * third], 100) + 0.1 * np.random.default_rng(0).normal(
        size=400
    )
    axis = np.ones(3) / np.sqrt(3)
    events = find_reorientations(rotors_of(turning(angles, axis, quaternions=True), interval_ps=0.05))
    assert events.n_events == 3
    assert events.angles_deg == pytest.approx(120.0, abs=6.0)
    assert_allclose(
        events.vectors_rad / np.radians(events.angles_deg)[:, None], np.tile(axis, (3, 1)), atol=0.1
    )


def test_poisson_intervals_hold_the_rate_and_slow_and_fast_rotors_widen_them():
    held = []
    for seed in range(60):
        index = hopping(800, 8, 0.01, seed=seed)
        events = find_reorientations(rotors_of(SIX[index], interval_ps=1.0), basins=SIX, shortest_stay_ps=1.0)
        low, high = reorientation_rates(events).rate_per_rotor.ci95
        held.append(low < 0.01 < high)
    assert np.mean(held) > 0.88
    mixed = np.concatenate([hopping(4000, 6, 0.03, 1), hopping(4000, 6, 0.003, 2)], axis=1)
    rates = reorientation_rates(find_reorientations(rotors_of(SIX[mixed]), basins=SIX))
    assert rates.dispersion > 3
    assert rates.rate_per_rotor.stderr > 1.5 * rates.rate_per_rotor.value / np.sqrt(rates.n_events)


def test_rotational_activation_energy_and_limits():
    temperatures, rates = [500.0, 600.0, 800.0], []
    for seed, temperature in enumerate(temperatures):
        rate = 0.4 * np.exp(-0.2 / (BOLTZMANN_EV_PER_K * temperature))
        index = hopping(6000, 30, rate, seed=seed)
        rates.append(reorientation_rates(find_reorientations(rotors_of(SIX[index]), basins=SIX)))
    found = rotation_activation_energy(rates, temperatures)
    assert found.ci95[0] < 0.2 < found.ci95[1]
    assert found.stderr < 0.03
    still = np.zeros((500, 4), dtype=int)
    none = reorientation_rates(find_reorientations(rotors_of(SIX[still]), basins=SIX))
    assert none.rate_per_rotor.upper_limit == pytest.approx(3.0 / (4 * 498.0), rel=0.01)
    with pytest.raises(TooFewTemperaturesError):
        rotation_activation_energy([rates[0], none], [500.0, 600.0])


def test_options_are_checked():
    rotors = rotors_of(SIX[np.zeros((10, 2), dtype=int)])
    for options, message in (
        ({"threshold_deg": 200.0}, "between 0 and 180"),
        ({"shortest_stay_ps": -1.0}, "0 or more"),
        ({"shortest_stay_ps": 6.0}, "show no stays"),
        ({"basins": SIX[:1]}, "at least two"),
    ):
        with pytest.raises(ConfigError, match=message):
            find_reorientations(rotors, **options)
    with pytest.raises(ConfigError, match="no point group"):
        point_group("m-4m")
