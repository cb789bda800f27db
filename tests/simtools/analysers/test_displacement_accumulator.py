"""Streams against sums over all pairs of frames, other cuts of themselves, replicas, and a saved state."""

import pickle
import tracemalloc
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simtools.analysers.diffusion import fit_slopes
from simtools.analysers.displacement_accumulator import DisplacementAccumulator, stream_displacements
from simtools.analysers.displacements import blocked_displacements
from simtools.analysers.full_lag import full_lag_sums
from simtools.analysers.lag_sums import LagSums
from simtools.core.errors import ConfigError, ShapeError, UnknownSpeciesError
from simtools.md.frames import FrameChunk
from simtools.testing.walkers import lattice_walkers
from tests.reference import msd as reference

INTERVAL_PS, HOP_A = 0.05, 1.5
SPECIES = np.array(["Li"] * 4 + ["O"] * 3)
MASSES = np.where(SPECIES == "Li", 6.94, 16.0)


def run(n_frames, seed=0, drift_A=0.01):
    """Rattling ions, the first four of which walk, over a common drift."""
    rng = np.random.default_rng(seed)
    r_tnc = rng.normal(scale=0.1, size=(n_frames, len(SPECIES), 3)) + 10 * rng.random((len(SPECIES), 3))
    r_tnc[:, :4] += np.cumsum(rng.normal(scale=0.1, size=(n_frames, 4, 3)), axis=0)
    return r_tnc + drift_A * np.arange(n_frames)[:, None, None]


def cut(r_tnc, *, at, start=0, interval_ps=INTERVAL_PS):
    edges = [0, *at, len(r_tnc)]
    for first, last in pairwise(edges):
        frames = start + np.arange(first, last)
        yield FrameChunk(
            first_frame=start + first,
            times_ps=5.0 + frames * interval_ps,
            positions_A=r_tnc[first:last],
            cells_A=np.broadcast_to(10 * np.eye(3), (last - first, 3, 3)),
        )


def accumulator(n_frames=None, host=("O",), **options):
    settings = {
        "species": SPECIES,
        "frame_interval_ps": INTERVAL_PS,
        "mobile_species": ("Li",),
        "hop_length_A": HOP_A,
        "host_species": host,
        "masses_amu": MASSES,
        "n_frames": n_frames,
        "dense_frames": 64,
    }
    return DisplacementAccumulator(**settings | options)


def streamed(r_tnc, *, at=(), **options):
    result = accumulator(len(r_tnc), **options)
    result.extend(cut(r_tnc, at=at))
    return result


def in_host_frame(r_tnc):
    centre_tc = np.average(r_tnc[:, 4:], axis=1)
    return r_tnc[:, :4] - (centre_tc - centre_tc[0])[:, None, :]


def assert_same_bits(a, b):
    for item in fields(a):
        assert_array_equal(getattr(a, item.name), getattr(b, item.name), err_msg=item.name)


def state_of(item):
    return {name: value.tobytes() for name, value in item.get_state().items()}


@pytest.mark.parametrize("at", [(1, 2, 3), (64, 65, 200), range(7, 1000, 7), range(1, 1000)])
def test_any_cut_of_a_trajectory_gives_the_same_bits(at):
    r_tnc = run(1000)
    assert state_of(streamed(r_tnc, at=at)) == state_of(streamed(r_tnc))


def test_a_stream_with_every_origin_has_the_bits_of_the_blocks_in_memory():
    r_tnc = run(1024)
    mine = streamed(r_tnc, at=(100, 613), host=(), dense_frames=512).result().blocks["Li"]
    whole = blocked_displacements(
        [np.ascontiguousarray(r_tnc[:, :4])], frame_interval_ps=INTERVAL_PS, hop_length_A=HOP_A
    )
    assert mine.n_hops > 10
    assert_same_bits(mine, whole)


def test_the_frame_of_the_host_is_that_of_its_centre_of_mass():
    r_tnc = run(512)
    mine = streamed(r_tnc, at=(200,), dense_frames=256).result().blocks["Li"]
    whole = blocked_displacements([in_host_frame(r_tnc)], frame_interval_ps=INTERVAL_PS, hop_length_A=HOP_A)
    for item in fields(mine):
        assert_allclose(getattr(mine, item.name), getattr(whole, item.name), rtol=1e-10, err_msg=item.name)


def test_decimated_lags_are_the_direct_sums_over_every_nth_frame():
    r_tnc = run(1500)
    sums = LagSums(4, dense_frames=64)
    walk = np.ascontiguousarray(r_tnc[:, :4])
    sums.update(walk)
    results = sums.results()
    assert {part.stride for part in results} == {1, 2, 4, 8, 16, 32}
    for part in results:
        expected = reference.msd(walk[:: part.stride], part.lag // part.stride).mean()
        assert_allclose(part.totals_q[0] / (part.n_starts * 4), expected, rtol=1e-12)


def test_direct_fourier_and_streamed_sums_agree_at_shared_lags():
    r_tnc = run(600)
    walk = np.ascontiguousarray(r_tnc[:, :4])
    result = streamed(r_tnc, host=(), dense_frames=512).result()
    msd_kc, collective_kc = full_lag_sums(walk)
    lags = result.blocks["Li"].lags
    direct = np.array([reference.msd(walk, k).mean() for k in lags])
    tensor_kcc = result.msd_tensor_A2["Li"]
    assert_allclose(np.trace(tensor_kcc, axis1=1, axis2=2), direct, rtol=1e-12)
    assert_allclose(np.einsum("kcc->kc", tensor_kcc), msd_kc[lags], rtol=1e-10)
    assert_allclose(msd_kc[lags].sum(axis=1), direct, rtol=1e-10)
    summed_tc = (walk - walk[0]).sum(axis=1)
    assert_allclose(result.summed_A["Li"][0], summed_tc, atol=1e-12)
    collective = np.array([reference.msd(summed_tc[:, None], k)[0] / 4 for k in lags])
    assert_allclose(collective_kc[lags].sum(axis=1), collective, rtol=1e-10)
    # blocks differ by one in their number of origins, and weigh the same
    assert_allclose(result.blocks["Li"].msd_k, direct, rtol=0.01)
    assert_allclose(result.blocks["Li"].charge_msd_k, collective, rtol=0.01)


def test_the_tensor_is_the_mean_of_the_products():
    r_tnc = run(300)
    result = streamed(r_tnc, host=()).result()
    index = 9
    k = result.blocks["Li"].lags[index]
    step_tnc = r_tnc[k:, :4] - r_tnc[:-k, :4]
    expected = np.einsum("tna,tnb->ab", step_tnc, step_tnc) / (len(step_tnc) * 4)
    assert_allclose(result.msd_tensor_A2["Li"][index], expected, rtol=1e-11)


def test_folded_segments_keep_the_sum_and_share_it_between_blocks():
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.normal(size=(10_000, 1, 3)), axis=0)
    sums = LagSums(1, dense_frames=64)
    sums.update(walk)
    part = next(item for item in sums.results() if item.lag == 8)
    assert part.length == 4
    squares = ((walk[8:] - walk[:-8]) ** 2).sum(axis=(1, 2))
    sums_b, starts_b = part.block_sums(24)
    assert_allclose([sums_b.sum(), starts_b.sum()], [squares.sum(), len(squares)], rtol=1e-12)
    edges = np.arange(25) * len(squares) // 24
    exact = [squares[first:last].mean() for first, last in pairwise(edges)]
    assert_allclose(sums_b / starts_b, exact, rtol=0.03)


def test_merged_accumulators_are_replicas():
    first, second = run(600, seed=1), run(700, seed=2)
    merged = streamed(first, dense_frames=512, host=())
    other = accumulator(600, dense_frames=512, host=())
    other.extend(cut(second, at=(333,)))
    merged.merge(other)
    blocks = merged.result().blocks["Li"]
    whole = blocked_displacements(
        [np.ascontiguousarray(r_tnc[:, :4]) for r_tnc in (first, second)],
        frame_interval_ps=INTERVAL_PS,
        hop_length_A=HOP_A,
    )
    shared = np.isin(whole.lags, blocks.lags)
    assert blocks.n_replicas == 2
    assert blocks.n_hops == whole.n_hops
    assert_array_equal(blocks.lags, whole.lags[shared])
    assert_array_equal(blocks.tracer_rbk, whole.tracer_rbk[..., shared])
    assert_array_equal(blocks.smooth_charge_rbk, whole.smooth_charge_rbk[..., shared])


def test_a_saved_state_goes_on_mid_file_bit_for_bit(tmp_path):
    r_tnc = run(900)
    begun = accumulator(900)
    begun.extend(cut(r_tnc[:411], at=(17, 130)))
    np.savez(tmp_path / "state.npz", **begun.get_state())
    resumed = accumulator(900)
    with np.load(tmp_path / "state.npz") as state:
        resumed.set_state(dict(state))
    resumed.extend(cut(r_tnc[411:], at=(5,), start=411))
    assert state_of(resumed) == state_of(streamed(r_tnc))
    assert_same_bits(resumed.result().blocks["Li"], streamed(r_tnc).result().blocks["Li"])


def test_slopes_of_a_decimated_stream_agree_with_those_in_memory():
    walk = lattice_walkers(4000, 16, seed=5, frame_interval_ps=0.1)
    stream = DisplacementAccumulator(
        species=walk.species,
        frame_interval_ps=0.1,
        mobile_species=("Li",),
        hop_length_A=1.0,
        n_frames=4000,
        dense_frames=64,
    )
    stream.extend(cut(walk.positions_A, at=range(300, 4000, 300), interval_ps=0.1))
    whole = blocked_displacements([walk.positions_A], frame_interval_ps=0.1, hop_length_A=1.0)
    mine = fit_slopes(stream.result().blocks["Li"], hop_length_A=1.0)
    theirs = fit_slopes(whole, hop_length_A=1.0)
    error = np.sqrt(np.diag(theirs.covariance))
    assert np.all(np.abs(mine.values - theirs.values) < 0.3 * error)
    assert_allclose(np.sqrt(np.diag(mine.covariance)), error, rtol=0.25)


def test_memory_stays_bounded_while_the_run_grows():
    n_ions, n_frames = 50, 20_000
    sums = LagSums(n_ions, dense_frames=64)
    chunk = np.random.default_rng(0).normal(size=(500, n_ions, 3))
    sums.update(chunk)
    tracemalloc.start()
    for _ in range(n_frames // 500):
        sums.update(chunk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.3 * n_frames * n_ions * 24
    # one more ring and three more lags for each doubling
    assert peak <= 8 * (64 * n_ions * 24 + 3 * 4096 * 64) * 1.05


@dataclass
class Source:
    positions_A: np.ndarray
    species: np.ndarray
    frame_interval_ps: float = INTERVAL_PS
    masses_amu: np.ndarray | None = None

    @property
    def n_frames(self):
        return len(self.positions_A)

    def chunks(self, n):
        return cut(self.positions_A, at=range(n, self.n_frames, n))


def test_sources_are_read_as_replicas():
    sources = [Source(run(400, seed=seed), SPECIES, masses_amu=MASSES) for seed in (1, 2)]
    options = {"mobile_species": ("Li",), "hop_length_A": HOP_A, "host_species": ("O",), "dense_frames": 64}
    result = stream_displacements(sources, frames_per_chunk=37, **options)
    by_hand = streamed(sources[0].positions_A)
    by_hand.merge(streamed(sources[1].positions_A))
    assert_same_bits(result.blocks["Li"], by_hand.result().blocks["Li"])
    assert result.mean_volumes_A3 == pytest.approx((1000.0, 1000.0))
    assert [len(item) for item in result.summed_A["Li"]] == [400, 400]


def test_chunks_out_of_order_are_refused_in_one_line():
    r_tnc = run(30)
    chunks = list(cut(r_tnc, at=(10, 20)))
    stream = accumulator()
    stream.update(chunks[0])
    before = state_of(stream)
    for wrong in (chunks[2], chunks[0]):
        with pytest.raises(ConfigError, match="frame 10 comes next") as caught:
            stream.update(wrong)
        assert "\n" not in str(caught.value)
    assert state_of(stream) == before
    stream.extend(chunks[1:])
    assert stream.n_frames == 30


def test_uneven_frames_other_atoms_and_lost_positions_are_named():
    r_tnc = run(20)
    stream = accumulator()
    stream.extend(cut(r_tnc[:10], at=()))
    (chunk,) = cut(r_tnc[10:], at=(), start=10)
    shift = 0.05 * (np.arange(10) == 3)
    late = FrameChunk(chunk.first_frame, chunk.times_ps + shift, chunk.positions_A, chunk.cells_A)
    with pytest.raises(ConfigError, match="frame 13 has the time"):
        stream.update(late)
    broken = r_tnc[10:].copy()
    broken[6, 2, 1] = np.nan
    with pytest.raises(ConfigError, match="frame 16 holds a position that is not finite"):
        stream.extend(cut(broken, at=(), start=10))
    with pytest.raises(ShapeError):
        stream.extend(cut(r_tnc[10:, :6], at=(), start=10))


def pieces(r_tnc, borders, **options):
    """The trajectory summed in pieces, each as if it came back from a process of its own."""
    (opening,) = cut(r_tnc[:40], at=())
    result = []
    for first, last in pairwise([0, *borders, len(r_tnc)]):
        item = accumulator(len(r_tnc), start_frame=first, opening=opening, **options)
        item.extend(cut(r_tnc[first:last], at=range(11, last - first, 11), start=first))
        result.append(pickle.loads(pickle.dumps(item)))
    return result


@pytest.mark.parametrize("borders", [(700,), (64, 129, 1000, 1003, 1500), range(90, 2100, 90), (1, 2, 2099)])
def test_pieces_joined_across_their_borders_are_one_pass(borders):
    r_tnc = run(2100)
    first, *others = pieces(r_tnc, borders)
    for other in others:
        first.join(other)
    whole = streamed(r_tnc)
    mine, theirs = state_of(first), state_of(whole)
    # every segment of origins holds one, so that no sum has another order
    kept = [name for name in theirs if "/hops/" not in name and not name.endswith(("borders", "volume_sum"))]
    assert len(kept) > 30
    for name in kept:
        assert mine[name] == theirs[name], name
    blocks, expected = first.result().blocks["Li"], whole.result().blocks["Li"]
    assert_array_equal(blocks.tracer_rbk, expected.tracer_rbk)
    assert_array_equal(blocks.smooth_charge_rbk, expected.smooth_charge_rbk)
    assert blocks.observed_frames <= expected.observed_frames


def test_pieces_with_many_origins_in_a_segment_are_one_pass_to_rounding():
    walk = np.cumsum(np.random.default_rng(4).normal(size=(20_011, 2, 3)), axis=0)
    whole = LagSums(2, dense_frames=64)
    whole.update(walk)
    for borders in ([4999], [9000, 17_001, 20_000]):
        edges = [0, *borders, len(walk)]
        parts = [LagSums(2, dense_frames=64, start_frame=first) for first in edges[:-1]]
        for part, (first, last) in zip(parts, pairwise(edges), strict=True):
            part.update(walk[first:last])
        for part in parts[1:]:
            parts[0].join(part)
        for mine, theirs in zip(parts[0].results(), whole.results(), strict=True):
            assert (mine.lag, mine.n_starts, mine.length) == (theirs.lag, theirs.n_starts, theirs.length)
            assert_allclose(mine.sums_sq, theirs.sums_sq, rtol=1e-12)
        assert max(part.length for part in whole.results()) == 8


def test_frames_go_on_after_a_join_and_a_saved_piece():
    r_tnc = run(1200)
    first, second = pieces(r_tnc[:900], (500,))
    state, settings = second.get_state(), {"n_frames": 900}
    (opening,) = cut(r_tnc[:40], at=())
    resumed = accumulator(start_frame=500, opening=opening, **settings)
    resumed.set_state(state)
    first.join(resumed)
    first.extend(cut(r_tnc[900:], at=(100,), start=900))
    whole = streamed(r_tnc)
    for name, value in state_of(whole).items():
        if "/lags/" in name or name.endswith("/summed"):
            assert state_of(first)[name] == value, name


def test_hops_within_pieces_are_those_of_one_pass_away_from_borders():
    walk = lattice_walkers(3000, 16, seed=2, hops_per_frame=0.01, rattle_A=0.05, frame_interval_ps=0.1)
    settings = {"species": walk.species, "frame_interval_ps": 0.1, "masses_amu": None, "hop_length_A": 1.0}
    settings |= {"host": (), "n_frames": 3000}
    positions = np.array(walk.positions_A)

    def summed(first, last, **piece):
        item = accumulator(**settings, **piece)
        item.extend(cut(positions[first:last], at=(), start=first, interval_ps=0.1))
        return item

    (opening,) = cut(positions[:40], at=(), interval_ps=0.1)
    joined = summed(0, 1500)
    joined.join(summed(1500, 3000, start_frame=1500, opening=opening))
    mine, theirs = joined.result(), summed(0, 3000).result()
    assert theirs.blocks["Li"].n_hops > 300
    assert 0 <= theirs.blocks["Li"].n_hops - mine.blocks["Li"].n_hops <= 8
    assert mine.blocks["Li"].n_travelled == theirs.blocks["Li"].n_travelled
    assert_allclose(np.sqrt(mine.reach_A2["Li"]), np.sqrt(theirs.reach_A2["Li"]), atol=0.2)


def test_pieces_that_do_not_follow_each_other_are_refused():
    r_tnc = run(300)
    first, second, third = pieces(r_tnc, (100, 200))
    with pytest.raises(ConfigError, match="frame 100 comes next, got a piece from frame 200"):
        first.join(third)
    with pytest.raises(ConfigError, match="onto the one that begins with frame 0"):
        second.join(third)
    with pytest.raises(ConfigError, match="has no result of its own"):
        second.result()
    with pytest.raises(ConfigError, match="needs the opening of its run"):
        accumulator(start_frame=5)
    foreign = pieces(run(300, seed=1), (100,))[1]
    with pytest.raises(ConfigError, match="their first frames differ"):
        first.join(foreign)
    with pytest.raises(ConfigError, match="cannot join accumulators with different hop_length_A"):
        first.join(accumulator(hop_length_A=2.0))
    first.join(second)
    first.merge(streamed(r_tnc))
    with pytest.raises(ConfigError, match="join the pieces of each, then merge"):
        first.join(third)


def test_other_settings_are_neither_merged_nor_resumed():
    with pytest.raises(ConfigError, match="different hop_length_A"):
        accumulator().merge(accumulator(hop_length_A=2.0))
    with pytest.raises(ConfigError, match="another host_species"):
        accumulator().set_state(accumulator(host=()).get_state())
    with pytest.raises(UnknownSpeciesError):
        accumulator(mobile_species=("Na",))
    with pytest.raises(ConfigError, match="power of two"):
        accumulator(dense_frames=100)
