"""What no choice of path, frame, cut or cell may change, through files, streams and memory alike."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.analysers.displacement_accumulator import stream_displacements
from simtools.analysers.displacements import blocked_displacements
from simtools.analysers.full_lag import full_lag_sums
from simtools.analysers.stream_transport import stream_transport
from simtools.md.readers import load_trajectory, open_trajectory
from simtools.md.trajectory import Trajectory
from tests.reference import msd as reference
from tests.simtools.md import foreign_files as files

FOLLOWED = {"mobile_species": ("Li",), "hop_length_A": 2.0}


def mean_square(source):
    """Return the streamed mean squared displacement of lithium, its lags and the summed displacement."""
    result = stream_displacements([source], dense_frames=64, **FOLLOWED)
    return result.blocks["Li"].lags, result.blocks["Li"].msd_k, result.summed_A["Li"][0]


@pytest.mark.parametrize("kind", ["x", "xs", "xu", "x+i"])
def test_a_breathing_cell_adds_no_displacement_to_ions_at_rest(tmp_path, kind):
    # at rest in fractions of the cell, some across its borders, images away where they are counted
    rest = files.walk(1, seed=3).whole_s[0] + (np.array([3.0, -2.0, 1.0]) if kind != "x" else 0.0)
    breath = 1 + 0.01 * np.sin(np.arange(200) * 0.4)
    truth = files.Walk(np.repeat(rest[None], 200, axis=0), files.CELL_A * breath[:, None, None])
    path = files.write_dump(tmp_path / "a.dump", truth, kind)
    # the reader takes frames that are equal for damage: let one host ion rattle
    moved = truth.whole_s.copy()
    moved[:, -1] += 0.001 * np.random.default_rng(0).normal(size=(200, 3))
    files.write_dump(path, files.Walk(moved, truth.cells_A), kind)
    assert np.ptp(truth.positions_A(truth.whole_s), axis=0).max() > 0.15
    found = load_trajectory(path)
    own_kc, collective_kc = full_lag_sums(found.positions_of("Li"))
    assert max(own_kc.max(), collective_kc.max()) < 1e-20
    _, msd_k, summed_tc = mean_square(open_trajectory(path))
    assert msd_k.max() < 1e-20
    assert np.abs(summed_tc).max() < 1e-10


def test_a_breathing_cell_leaves_the_displacement_of_walkers_as_it_is(tmp_path):
    still, breathing = (files.walk(300, seed=2, breathing=share) for share in (0.0, 0.01))
    paths = [files.write_dump(tmp_path / f"{k}.dump", walk) for k, walk in enumerate((still, breathing))]
    (lags, one, _), (_, two, _) = (mean_square(open_trajectory(path)) for path in paths)
    assert_allclose(two, one, rtol=1e-9)
    loaded = [load_trajectory(path).positions_of("Li") for path in paths]
    assert_allclose(full_lag_sums(loaded[1])[0], full_lag_sums(loaded[0])[0], rtol=1e-9, atol=1e-12)
    naive = breathing.positions_A(breathing.whole_s)[:, :12]
    assert np.abs(np.array([reference.msd(naive, k).mean() for k in lags]) / one - 1).max() > 1e-3


def test_direct_fourier_blocked_and_decimated_sums_agree_at_the_lags_they_share():
    walk = np.cumsum(np.random.default_rng(1).normal(size=(1024, 5, 3)), axis=0) + 100.0
    source = Trajectory(
        positions_A=walk, species=np.array(["Li"] * 5), cells_A=10 * np.eye(3), frame_interval_ps=0.1
    )
    lags, msd_k, _ = mean_square(source)
    whole = blocked_displacements([walk], frame_interval_ps=0.1, hop_length_A=2.0)
    shared = lags <= 64
    assert shared.sum() > 12
    assert (~shared).sum() > 5
    direct = np.array([reference.msd(walk, k).mean() for k in lags])
    tensor = stream_displacements([source], dense_frames=64, **FOLLOWED).msd_tensor_A2["Li"]
    assert_allclose(np.trace(tensor[shared], axis1=1, axis2=2), direct[shared], rtol=1e-12)
    assert_allclose(full_lag_sums(walk)[0][lags].sum(axis=1), direct, rtol=1e-10)
    assert_allclose(msd_k[shared], whole.msd_k[np.isin(whole.lags, lags[shared])], rtol=1e-12)
    # beyond, every n-th origin: the same average over fewer of them
    for k, trace in zip(lags[~shared], np.trace(tensor[~shared], axis1=1, axis2=2), strict=True):
        stride = 1 << int(np.ceil(np.log2(k / 64)))
        assert trace == pytest.approx(reference.msd(walk[::stride], k // stride).mean(), rel=1e-12)


def test_the_streamed_conductivity_does_not_see_a_common_drift():
    rng = np.random.default_rng(6)
    steps = rng.normal(scale=0.4, size=(600, 16, 3))
    steps[:, 8:] = 0.0
    r_tnc = np.cumsum(steps, axis=0) + 20 * rng.random((16, 3)) + rng.normal(scale=0.05, size=(600, 16, 3))
    t = np.arange(600)[:, None, None]
    drift = 0.05 * t + 3 * np.sin(0.1 * t) + np.cumsum(rng.normal(scale=0.5, size=(600, 1, 3)), axis=0)
    estimates = []
    for moved in (r_tnc, r_tnc + drift):
        source = Trajectory(
            positions_A=moved,
            species=np.repeat(["Li", "Cl"], 8),
            cells_A=20 * np.eye(3),
            frame_interval_ps=0.1,
        )
        found = stream_transport(
            [source],
            mobile_species=("Li",),
            hop_length_A=2.0,
            temperature_K=600.0,
            formal_charges_e={"Li": 1, "Cl": -1},
            dense_frames=64,
        )["Li"]
        estimates.append((found.ionic_conductivity_S_per_cm, found.haven_ratio))
    for one, two in zip(*estimates, strict=True):
        assert two.value == pytest.approx(one.value, rel=1e-9)
        assert two.ci95 == pytest.approx(one.ci95, rel=1e-9)
