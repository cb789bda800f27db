"""Paths in the mean cell of a cell that breathes by 3 %: neighbours are those of the exact positions."""

from dataclasses import replace

import numpy as np
import pytest

from simtools.analysers.breathing_cells import in_own_cells, in_reference_cell
from simtools.analysers.rdf import radial_distribution
from simtools.md.trajectory import Trajectory


@pytest.fixture(scope="module")
def breathing():
    """Return a salt whose ions went through faces: in its own cells, and as readers give it."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3) / 4
    sites = np.concatenate([grid, grid + 0.125])
    sites += rng.integers(-2, 3, size=sites.shape)
    cells = 16.0 * np.eye(3) * (1 + 0.03 * np.sin(np.arange(60) / 5))[:, None, None]
    scaled = sites + 0.004 * rng.normal(size=(60, *sites.shape))
    reference = cells.mean(axis=0)
    exact = Trajectory(
        positions_A=np.einsum("tnc,tcd->tnd", scaled, cells),
        species=np.repeat(["Li", "Cl"], 64),
        cells_A=cells,
        frame_interval_ps=0.1,
    )
    paths = replace(
        exact, positions_A=scaled @ reference, metadata={"reference_cell_A": reference.tolist(), "clock": 1}
    )
    return exact, paths


def test_radial_distribution_is_that_of_the_exact_positions(breathing):
    paths = breathing[1]
    options = {"centre": "Li", "neighbour": "Cl", "r_max_A": 7.0}
    truth, found = (radial_distribution(item, **options) for item in breathing)
    assert truth.g.max() > 8
    assert found.g == pytest.approx(truth.g, abs=1e-9)
    mixed = radial_distribution(replace(paths, metadata={}), **options)
    assert mixed.g.max() < 0.5 * truth.g.max()


def test_each_view_is_consistent(breathing):
    exact, paths = breathing
    own = in_own_cells(paths)
    assert own.positions_A == pytest.approx(exact.positions_A, abs=1e-9)
    assert own.metadata == {"clock": 1}
    assert in_own_cells(own) is own
    assert in_own_cells(exact) is in_reference_cell(exact) is exact
    assert in_reference_cell(paths).cells_A.shape == (3, 3)
