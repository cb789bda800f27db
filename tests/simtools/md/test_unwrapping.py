"""Unwrapped paths against the paths that were wrapped, and breathing cells against ions at rest in them."""

import numpy as np
import pytest

from simtools.core.periodic import minimum_image
from simtools.md.unwrapping import Unwrapper, shortest_images

SKEWED = np.array([[10.0, 0, 0], [9.0, 8.0, 0], [-7.0, 5.0, 9.0]])


def _unwrap(fractions_ts, cells):
    unwrapper = Unwrapper(cells.mean(axis=0))
    return np.array([unwrapper.unwrap(s, h)[0] for s, h in zip(fractions_ts, cells, strict=True)])


@pytest.mark.parametrize("cell", [np.diag([9.0, 10, 11]), SKEWED])
def test_shortest_images_are_the_minimum_image(cell):
    from ase.geometry import minkowski_reduce

    steps = np.random.default_rng(0).uniform(-2, 2, (400, 3))
    _, reduction = minkowski_reduce(cell, pbc=True)
    images = shortest_images(steps, cell, reduction)
    assert (images == np.round(images)).all()
    found = np.linalg.norm((steps - images) @ cell, axis=1)
    np.testing.assert_allclose(found, np.linalg.norm(minimum_image(steps @ cell, cell), axis=1), rtol=1e-10)


@pytest.mark.parametrize("cell", [np.diag([9.0, 10, 11]), SKEWED])
def test_wrapping_is_undone(cell):
    rng = np.random.default_rng(1)
    paths = np.cumsum(rng.normal(0, 0.6, (500, 5, 3)), axis=0)
    fractions = paths @ np.linalg.inv(cell)
    found = _unwrap(fractions - np.floor(fractions), np.broadcast_to(cell, (500, 3, 3)))
    np.testing.assert_allclose(found - found[0], paths - paths[0], atol=1e-10)


def test_breathing_adds_no_displacement_even_to_an_ion_on_the_border():
    """TOR on positions (Bullerjahn et al.) lets an ion that vibrates across a face of the cell walk away."""
    rng = np.random.default_rng(2)
    n = 4000
    edges = 12 * (1 + 0.01 * rng.standard_normal(n))
    fractions = np.zeros((n, 2, 3))
    fractions[:, 0] = 0.01 * rng.standard_normal((n, 3))
    fractions[:, 1] = 0.3
    cells = edges[:, None, None] * np.eye(3)
    wrapped = fractions - np.floor(fractions)
    found = _unwrap(wrapped, cells)
    assert np.ptp(found[:, 1]) < 1e-10
    exact = fractions[:, 0] * edges.mean()
    np.testing.assert_allclose(found[:, 0] - found[0, 0], exact - exact[0], atol=1e-9)
    positions = wrapped[:, 0] * edges[:, None]
    steps = np.diff(positions, axis=0)
    steps -= np.floor(steps / edges[1:, None] + 0.5) * edges[1:, None]
    assert np.abs(np.cumsum(steps, axis=0)).max() > 3


def test_whole_coordinates_are_not_folded():
    paths = np.cumsum(np.random.default_rng(3).normal(0, 6, (20, 4, 3)), axis=0)
    unwrapper = Unwrapper(10 * np.eye(3))
    for frame in paths:
        found, steps = unwrapper.unwrap(frame / 10, 10 * np.eye(3), whole=True)
        np.testing.assert_allclose(found, frame, atol=1e-12)
    np.testing.assert_allclose(steps, np.linalg.norm(paths[-1] - paths[-2], axis=1))
