"""Files of MDAnalysis' own tests, by our readers and by its: every atom is at the same place in every frame.

MDAnalysis keeps cells as lengths and angles, so a DL_POLY cell with entries above the diagonal is turned
there and the positions are not. Hence cells are compared by lengths and angles, positions in our cells.
"""

import MDAnalysis
import numpy as np
import pytest
from MDAnalysis.lib.mdamath import triclinic_box

from simtools.md.readers import load_trajectory
from tests.peers.published import published

pytestmark = pytest.mark.filterwarnings("ignore")
NEEDS_A_TIME = {"frame_interval_ps": 1.0}
LARGE = "lammps/spce_all_coords.lammpstrj.bz2"
FILES = {
    "dlpoly/HISTORY": ({"species": {"K+": "K", "Cl-": "Cl"}}, {"format": "HISTORY"}),
    "dlpoly/HISTORY_order": ({"species": {"A": "Li", "B": "O", "C": "Cl"}}, {"format": "HISTORY"}),
    LARGE: (
        {"species": {"1": "O", "2": "H"}, **NEEDS_A_TIME},
        {"format": "LAMMPSDUMP", "lammps_coordinate_convention": "unwrapped"},
    ),
    "lammps/wat.lammpstrj.bz2": (
        {"species": {"1": "O", "2": "H"}, **NEEDS_A_TIME},
        {"format": "LAMMPSDUMP"},
    ),
    "lammps/chain_dump_1.lammpstrj": (
        {"species": {"1": "C", "2": "H"}, **NEEDS_A_TIME},
        {"format": "LAMMPSDUMP"},
    ),
    "trr_test_only_10_frame_10_atoms.trr": ({"species": ["C"] * 10}, {}),
    "xtc_test_only_10_frame_10_atoms.xtc": ({"species": ["C"] * 10}, {}),
    "cu.h5md": ({"species": ["Cu"] * 108}, {}),
}


def open_theirs(path, options):
    """Return an MDAnalysis universe of a file with as many nameless atoms as it holds."""
    if options:
        return MDAnalysis.Universe(str(path), topology_format=options["format"], **options)
    universe = MDAnalysis.Universe.empty(108 if path.suffix == ".h5md" else 10, trajectory=True)
    universe.load_new(str(path))
    return universe


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.physics] if name == LARGE else []) for name in FILES]
)
def test_every_atom_is_where_mdanalysis_has_it(name):
    path = published("MDAnalysisTests", "data", name)
    options, theirs = FILES[name]
    found = load_trajectory(path, **options)
    universe = open_theirs(path, theirs)
    assert len(universe.trajectory) == found.n_frames
    cells_A = np.broadcast_to(found.cells_A, (found.n_frames, 3, 3))
    ours_s = found.positions_A @ np.linalg.inv(cells_A.mean(axis=0))
    for frame, step in enumerate(universe.trajectory):
        np.testing.assert_allclose(triclinic_box(*cells_A[frame]), step.dimensions, rtol=1e-6)
        between_s = ours_s[frame] - step.positions.astype(float) @ np.linalg.inv(cells_A[frame])
        # the corner of a LAMMPS cell that a barostat moves is ours to take off, and not theirs
        between_s -= np.round(between_s)
        between_s -= between_s[0]
        apart_A = (between_s - np.round(between_s)) @ cells_A[frame]
        assert np.abs(apart_A).max() < 4 * found.metadata["rounding_A"] + 2e-5


@pytest.mark.physics
def test_the_oxygens_of_its_water_have_the_mean_squared_displacement_of_mdanalysis():
    pytest.importorskip("tidynamics", reason="tidynamics (extra peers) is not installed")
    from MDAnalysis.analysis.msd import EinsteinMSD

    path = published("MDAnalysisTests", "data", LARGE)
    options, theirs = FILES[LARGE]
    r_tnc = load_trajectory(path, **options).positions_of("O")
    expected = EinsteinMSD(open_theirs(path, theirs), select="type 1", fft=False).run().results.timeseries
    found = [np.mean(np.sum((r_tnc[k:] - r_tnc[:-k]) ** 2, axis=-1)) for k in range(1, len(r_tnc))]
    np.testing.assert_allclose(found, expected[1:], rtol=1e-4)
