"""Octahedral tilts held against octahedra that were turned by known angles."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from simtools.analysers.reorientation import reorientation
from simtools.analysers.tilts import octahedra_of, octahedral_tilts
from simtools.core.errors import ConfigError
from simtools.md.trajectory import Trajectory
from simtools.testing.rigid_rotors import rigid_rotors

GRID = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


def turned(angle_tm, axis=(0, 0, 1.0)):
    """Return 64 octahedra of O and 6 Li turned by angles (degrees) about an axis."""
    turns = Rotation.from_rotvec(np.multiply.outer(np.radians(angle_tm).ravel(), axis))
    quaternions = turns.as_quat().reshape(*np.shape(angle_tm), 4)
    return rigid_rotors(quaternions, n_ligands=6, bond_A=1.95, spacing_A=5.5, centre="O", ligand="Li")


@pytest.mark.parametrize(("phase", "along_z"), [("in", 1.0), ("out", -1.0)])
def test_a_frozen_pattern_is_read_as_glazer_writes_it(phase, along_z):
    sign = (-1.0) ** (GRID[:, 0] + GRID[:, 1] + (GRID[:, 2] if phase == "out" else 0))
    angles = np.tile(8.0 * sign, (30, 1))
    tilts = octahedral_tilts(octahedra_of(turned(angles), centre="O", vertex="Li"))
    assert_allclose(tilts.neighbour_correlation[2], [-1.0, -1.0, along_z], atol=1e-9)
    assert_allclose(tilts.mean_square_deg2, [0, 0, 64.0], atol=1e-6)
    assert tilts.static_square_deg2[2] == pytest.approx(64.0)
    assert_allclose(tilts.autocorrelation[2], 1.0, rtol=1e-9)


def test_tilts_that_come_and_go_decay_and_have_no_static_part():
    rng = np.random.default_rng(0)
    angles = np.zeros((2000, 64))
    keep = np.exp(-1 / 20.0)
    for t in range(1, 2000):
        angles[t] = keep * angles[t - 1] + 5.0 * np.sqrt(1 - keep**2) * rng.normal(size=64)
    octahedra = octahedra_of(turned(angles), centre="O", vertex="Li")
    tilts = octahedral_tilts(octahedra, max_lag_ps=60.0)
    assert tilts.mean_square_deg2[2] == pytest.approx(25.0, rel=0.05)
    assert tilts.static_square_deg2[2] < 1.0
    expected = np.exp(-tilts.lag_times_ps / 20.0)
    assert np.abs(tilts.autocorrelation[2] - expected).max() < 0.06
    assert np.abs(tilts.neighbour_correlation[2]).max() < 0.1
    assert (tilts.density_per_deg.sum(axis=1) * np.diff(tilts.angles_deg)[0]) == pytest.approx(1.0)
    assert reorientation(octahedra, max_lag_ps=100.0).plateau2.value > 0.9


def test_a_corner_may_be_missing_and_shared_corners_may_be_wrapped():
    full = turned(np.full((6, 64), 6.0))
    gone = np.delete(np.arange(len(full.species)), [1, 9])
    positions = full.positions_A[:, gone] % 22.0
    short = Trajectory(
        positions_A=positions, species=full.species[gone], cells_A=full.cells_A, frame_interval_ps=1.0
    )
    tilts = octahedral_tilts(octahedra_of(short, centre="O", vertex="Li"))
    assert_allclose(tilts.mean_square_deg2, [0, 0, 36.0], atol=1e-6)


@pytest.mark.kernel
def test_other_axes_and_limits_of_use():
    tilted = turned(np.full((3, 64), 45.0))
    axes = Rotation.from_rotvec([0, 0, np.pi / 4]).as_matrix().T
    found = octahedral_tilts(octahedra_of(tilted, centre="O", vertex="Li", axes=axes))
    assert_allclose(found.mean_square_deg2, 0.0, atol=1e-6)
    for options, message in (
        ({"cutoff_A": 1.0}, "expected at least 4"),
        ({"cutoff_A": 50.0}, "at most 11"),
    ):
        with pytest.raises(ConfigError, match=message):
            octahedra_of(tilted, centre="O", vertex="Li", **options)
    with pytest.raises(ConfigError, match="does not fit"):
        octahedral_tilts(octahedra_of(tilted, centre="O", vertex="Li"), max_lag_ps=50.0)
